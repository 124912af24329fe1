#!/usr/bin/env bash
# Makes the image $1: PostgreSQL, MariaDB and Redis from Debian's packages, for the tests of dumps, with no registry asked.
# One that is there stays.
set -euo pipefail
cd "$(dirname "$0")"

docker image inspect "$1" >/dev/null 2>&1 && exit
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mmdebstrap --quiet --variant=minbase --include=postgresql,mariadb-server,redis-server trixie "$work/base.tar"
docker import "$work/base.tar" dory-servers-base >/dev/null
# The old builder is everywhere; it says at length that it is.
docker build --quiet --tag "$1" . >/dev/null 2>"$work/log" || { cat "$work/log"; exit 1; }
