set -euf
# redis-cli takes a password from REDISCLI_AUTH; images call theirs otherwise.
if [ -z "${REDISCLI_AUTH:-}" ]; then
    password="${REDIS_PASSWORD:-}"
    [ -n "$password" ] || [ -z "${REDIS_PASSWORD_FILE:-}" ] || password=$(cat "$REDIS_PASSWORD_FILE")
    [ -z "$password" ] || export REDISCLI_AUTH="$password"
fi
cli=$(command -v redis-cli || command -v valkey-cli)
# As a replica gets it: one moment, in the server's own format, with nobody locked out. `-` is standard output.
exec "$cli" --rdb -
