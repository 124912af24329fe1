#!/usr/bin/env bash
# What takes too long for every test run: the whole kill matrix, each point a death by SIGKILL at one step of a run.
# Needs what scripts/test.sh needs, and about half an hour on two cores. Prints a table of what was kept, and how fast.
#
#   scripts/soak.sh                    every point
#   scripts/soak.sh 'test(dockerd)'    those that a filter of cargo-nextest names
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
# What cannot run here must not look as if it had.
export DORY_REQUIRE=${DORY_REQUIRE:-docker,dockerd}
DORY_SOAK_RESULTS=$(mktemp "${TMPDIR:-/tmp}/dory-soak.XXXXXX")
export DORY_SOAK_RESULTS
trap 'rm -f "$DORY_SOAK_RESULTS"' EXIT

filter="binary(kill_matrix)"
[ $# -eq 0 ] || filter="$filter and ($1)"
code=0
cargo nextest run --workspace --profile soak --run-ignored all -E "$filter" || code=$?

printf '\n| run | step | killed | containers | after | helpers gone after |\n| --- | --- | --- | --- | ---: | ---: |\n'
sort "$DORY_SOAK_RESULTS"
printf '\n%s points kept every promise; the runner above tells which did not\n' "$(wc -l <"$DORY_SOAK_RESULTS")"
exit "$code"
