#!/usr/bin/env bash
# Dory beside its peers, in one run on this machine: prints tables in Markdown, ratios first.
# Needs Debian or Ubuntu and root. Takes about half an hour; what it makes goes when it ends.
#
#   scripts/bench.sh            everything
#   scripts/bench.sh window     the stop window of a PostgreSQL, beside bare stop and start
#   scripts/bench.sh clones     the same on a file system that can clone files
#   scripts/bench.sh engines    first, unchanged, 1 % changed, restore: a PostgreSQL folder and a tree of small files
#   scripts/bench.sh overhead   a whole backup of a tiny volume, beside `docker run --rm`
#   scripts/bench.sh requests   what every tool asks the store for
#   DORY_BINARY=path            take this binary instead of building a release
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh bench
if [ -z "${DORY_BINARY:-}" ]; then
    cargo build --release --quiet -p dory-cli
    DORY_BINARY=$PWD/target/release/dory
fi
# Nothing of it is timed.
cargo build --quiet --workspace
DORY_GCS_SERVER=$PWD/target/debug/gcs-server
export DORY_BINARY DORY_GCS_SERVER
scripts/demo/image.sh dory-demo-postgres
exec python3 scripts/bench/main.py "$@"
