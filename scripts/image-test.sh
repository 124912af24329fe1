#!/usr/bin/env bash
# Proves the image that scripts/image.sh builds: the documents' own command backs a container up to a Google Cloud
# Storage stand-in with nothing but Google's three variables and a passphrase, with both engines; and from a container
# into a folder of the host. Cleans up after itself.
set -euo pipefail
cd "$(dirname "$0")/.."

image=dory:test
work=$(mktemp -d "${TMPDIR:-/tmp}/dory-image.XXXXXX")
name=dory-image-test-$$
say() { printf 'image-test: %s\n' "$*" >&2; }
fail() { say "FAILED: $*"; exit 1; }

cargo build --quiet -p dory-cli -p dory-testkit
DORY_BINARY=target/debug/dory DORY_IMAGE=$image scripts/image.sh

clean_up() {
    local code=$?
    [ -z "${server:-}" ] || kill "$server" 2>/dev/null || true
    docker rm -f "$name" >/dev/null 2>&1 || true
    docker volume rm "$name" >/dev/null 2>&1 || true
    rm -rf "$work"
    exit "$code"
}
trap clean_up EXIT

target/debug/gcs-server --bucket other --project shop --access-key GOOGTEST --secret s3cret >"$work/url" &
server=$!
for _ in $(seq 100); do [ -s "$work/url" ] && break; sleep 0.1; done
url=$(head -n 1 "$work/url")

docker volume create "$name" >/dev/null
docker run -d --name "$name" --stop-timeout 1 -v "$name:/data" --entrypoint sleep "$image" infinity >/dev/null
in_volume() { docker exec "$name" sh -c "$1"; }

# The documents' own command, with an address for the stand-in, which listens on this host's loopback.
documents_own() {
    docker run --rm -i --network host -v /var/run/docker.sock:/var/run/docker.sock \
        -e GS_PROJECT_ID=shop -e GS_ACCESS_KEY=GOOGTEST -e GS_SECRET_ACCESS_KEY=s3cret \
        -e DORY_STORE_ENDPOINT="$url" -e DORY_SERVER=image-test "${key[@]}" "$image" "$@"
}

say "without a word about the key, nothing is touched and the error names both ways out"
key=()
if documents_own backup "$name" 2>"$work/error"; then fail "it went on without a key"; fi
grep -q DORY_PASSPHRASE "$work/error" && grep -q 'DORY_ENCRYPTION=none' "$work/error" || fail "$(cat "$work/error")"

key=(-e DORY_PASSPHRASE=correct-horse-battery)
for engine in restic duplicity; do
    say "engine $engine: backed up, broken, restored"
    in_volume 'echo "three words here" >/data/file && mkdir -p /data/folder && echo inside >/data/folder/inside'
    documents_own backup "$name" --engine "$engine" --name "with $engine"
    in_volume 'rm -rf /data/folder && echo broken >/data/file'
    documents_own restore "$name" --at "with $engine" --yes
    [ "$(in_volume 'cat /data/file /data/folder/inside')" = "three words here
inside" ] || fail "the data did not come back with $engine"
    [ "$(documents_own cat "$name" /data/folder/inside --at "with $engine")" = inside ] || fail "cat with $engine"
done

say "a store that is a folder must be mounted, and the error says how"
folder() {
    docker run --rm -i -v /var/run/docker.sock:/var/run/docker.sock "${mount[@]}" -e DORY_STORE="file://$1" \
        -e DORY_ENCRYPTION=none -e DORY_SERVER=image-test "$image" backup "$name" --new
}
mkdir "$work/store"
mount=(-v "$work/store:/srv/dory")
folder /srv/dory
find "$work/store/data" -name config | grep -q . || fail "no repository came into being in the mounted folder"
mount=()
if folder /srv/dory 2>"$work/error"; then fail "it wrote into its own container"; fi
grep -q -- "-v " "$work/error" || fail "$(cat "$work/error")"

if docker ps -a --filter label=dory.helper --format '{{.Names}}' | grep image-test; then fail "helpers were left"; fi
say "all is well"
