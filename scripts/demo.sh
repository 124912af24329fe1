#!/usr/bin/env bash
# Dory's main job, for real: a PostgreSQL in a container is backed up, loses a table, and gets it back.
# Needs Debian or Ubuntu and root; installs a Docker engine if there is none. Removes what it made, whatever happens.
set -euo pipefail
cd "$(dirname "$0")/.."

name=dory-demo-postgres
work=$(mktemp -d "${TMPDIR:-/tmp}/dory-demo.XXXXXX")
export DORY_STORE=file://$work/store DORY_SERVER=demo
engine_ran=$(docker version --format yes 2>/dev/null || true)

clean_up() {
    local code=$?
    docker rm -f "$name" >/dev/null 2>&1 || true
    docker volume rm "$name" >/dev/null 2>&1 || true
    rm -rf "$work"
    step "cleaned up: container, volume and store are gone"
    [ -n "$engine_ran" ] || echo "still here: the Docker engine that scripts/setup.sh started, and the image $name"
    exit "$code"
}
step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
show() { printf '$'; printf ' %q' "$@"; echo; "$@"; }
psql() { docker exec -i "$name" psql -X -q -U postgres -h /tmp "$@"; }
wait_healthy() {
    for _ in $(seq 120); do
        [ "$(docker inspect -f '{{.State.Health.Status}}' "$name")" = healthy ] && return
        sleep 0.5
    done
    echo "PostgreSQL did not become healthy" >&2
    return 1
}

step "setting up"
scripts/setup.sh engine
trap clean_up EXIT

step "building dory"
cargo build --quiet -p dory-cli
dory() { "$PWD/target/debug/dory" "$@"; }

step "making a PostgreSQL image from Debian's packages"
scripts/demo/image.sh "$name"

step "starting it, with some rows in it"
docker volume create "$name" >/dev/null
docker run -d --name "$name" -v "$name:/var/lib/postgresql/data" "$name" >/dev/null
wait_healthy
psql <<'SQL'
create table fish (id int primary key, name text not null, remembers boolean not null, notes text);
insert into fish select n, 'fish ' || n, n % 7 = 0, repeat(md5(n::text), 20) from generate_series(1, 200000) n;
checkpoint;
SQL
psql -c "select count(*) as rows, pg_size_pretty(pg_database_size('postgres')) as size from fish"

step "setting up the store: a folder, with a key"
mkdir "$work/store"
show dory init --sheet "$work/recovery.txt"
DORY_PASSPHRASE=$(awk '$1 == "passphrase" { print $2 }' "$work/recovery.txt")
export DORY_PASSPHRASE

step "what a backup would do"
show dory backup "$name" --dry-run

step "backing up"
show dory backup "$name" --name "before the accident"

step "breaking it"
psql -c 'drop table fish' -c 'checkpoint'
psql -c 'select count(*) from fish' 2>&1 || true

step "restoring"
show dory restore "$name" --at "before the accident" --yes
wait_healthy
rows=$(psql -At -c 'select count(*) from fish')
echo "rows in fish: $rows"
[ "$rows" = 200000 ] || { echo "the rows did not come back" >&2; exit 1; }

step "backing up again: only what changed is added"
show dory backup "$name"
show dory show "$name"

if docker ps -a --filter label=dory.helper --format '{{.Names}}' | grep .; then
    echo "helpers were left behind" >&2
    exit 1
fi
