set -euf
# A server reads its RDB file when it starts, and none is to be restarted: a second, private one starts from the dump, and
# the first becomes its replica for as long as it takes to have the same data.
if [ -z "${REDISCLI_AUTH:-}" ]; then
    password="${REDIS_PASSWORD:-}"
    [ -n "$password" ] || [ -z "${REDIS_PASSWORD_FILE:-}" ] || password=$(cat "$REDIS_PASSWORD_FILE")
    [ -z "$password" ] || export REDISCLI_AUTH="$password"
fi
cli=$(command -v redis-cli || command -v valkey-cli)
server=$(command -v redis-server || command -v valkey-server)
fail() { printf '%s\n' "$*" >&2; exit 1; }
# Commands by standard input, for one of them holds a password; and redis-cli ends well whatever the server answers.
ask() { printf '%s\n' "$1" | "$cli"; }
must() { answer=$(ask "$1"); [ "$answer" = OK ] || fail "$answer"; }
field() { ask "INFO $1" | tr -d '\r' | sed -n "s/^$2://p"; }

[ "$(field replication role)" = master ] || fail 'this server is a replica: load the dump into the one it copies'
masterauth=$(ask 'CONFIG GET masterauth' | sed -n 2p)
secret=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
work=$(mktemp -d)
private='' follows=''
end() {
    code=$?
    trap - EXIT
    # Never left as the replica of a server that is about to go.
    if [ -n "$follows" ]; then
        ask 'REPLICAOF NO ONE' >/dev/null || code=1
        ask "CONFIG SET masterauth \"$masterauth\"" >/dev/null || code=1
    fi
    # Waited for, too: the container's first process may be one that takes care of nobody's children.
    [ -z "$private" ] || { kill "$private" && wait "$private"; } 2>/dev/null || true
    rm -rf "$work"
    exit "$code"
}
trap end EXIT
trap 'exit 143' TERM INT HUP
cat >"$work/dump.rdb"

# A replica reaches its master by TCP alone: on loopback, with a password that nobody else knows, on the first free port.
for port in 16379 16380 16381 16382 16383; do
    printf '%s\n' "port $port" 'bind 127.0.0.1' "unixsocket $work/socket" "requirepass $secret" "dir $work" \
        'dbfilename dump.rdb' 'save ""' 'appendonly no' 'daemonize no' "logfile $work/log" |
        "$server" - >/dev/null 2>&1 &
    private=$!
    while kill -0 "$private" 2>/dev/null; do
        state=$(REDISCLI_AUTH="$secret" "$cli" -s "$work/socket" PING 2>/dev/null || true)
        [ "$state" != PONG ] || break 2
        sleep 0.1
    done
    # Only a port that is taken is worth another try; a dump that cannot be read is not.
    grep -q 'Address already in use' "$work/log" || { tail -n 5 "$work/log" >&2; fail 'the dump cannot be loaded'; }
    private=''
done
[ -n "$private" ] || fail 'no port is free for the server that hands the dump over'

follows=yes
must "CONFIG SET masterauth $secret"
must "REPLICAOF 127.0.0.1 $port"
until [ "$(field replication master_link_status)" = up ] && [ "$(field replication master_sync_in_progress)" = 0 ]; do
    kill -0 "$private" 2>/dev/null || { tail -n 5 "$work/log" >&2; fail 'the server that hands the dump over ended'; }
    sleep 0.1
done
# The process that sent the data is a child of the private server, which must have seen its end before its own: nobody
# else would.
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    saving=$(echo 'INFO persistence' | REDISCLI_AUTH="$secret" "$cli" -s "$work/socket" 2>/dev/null |
        tr -d '\r' | sed -n 's/^rdb_bgsave_in_progress://p')
    [ "$saving" = 1 ] || break
    sleep 0.1
done
