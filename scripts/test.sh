#!/usr/bin/env bash
# Everything CI runs: formatting, lints, layers, docs, and every test, live parts included.
# What is not on this machine is skipped and says so; DORY_REQUIRE=docker,dockerd,mount,servers,stunnel,duplicity,restic,gcs,s3,smtp makes that a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s (%s s)\n' "$1" "$SECONDS"; }

step "what the tests need"
scripts/setup.sh

helpers() { docker ps -a --filter label=dory.helper --format '{{.ID}}' 2>/dev/null | sort || true; }
helpers_before=$(helpers)

step "formatting"
cargo fmt --all --check

step "layers: the core alone knows no container engine and no cloud, and never a frontend"
alone=$(cargo tree -p dory-core --no-default-features -e normal --prefix none)
if grep -E '^(bollard|object_store|reqwest|rustic_core|hyper|lettre) ' <<<"$alone"; then
    echo "dory-core without features depends on the above: put it behind a feature" >&2
    exit 1
fi
whole=$(cargo tree -p dory-core -e normal --prefix none)
if grep -E '^(clap|axum) ' <<<"$whole"; then
    echo "dory-core depends on a frontend's library" >&2
    exit 1
fi

step "licences and sources of what is linked in"
# It looks at what is linked in on other machines too, which no build here brings along.
cargo fetch --locked --quiet
cargo deny --offline --log-level error check licenses bans sources

step "lints"
cargo clippy --workspace --all-targets --quiet -- -D warnings
for feature in docker duplicity email object-store restic webhook; do
    cargo clippy -p dory-core --no-default-features --features "$feature" --quiet -- -D warnings
done

step "tests"
cargo nextest run --workspace --no-fail-fast

step "examples in the docs"
cargo test --workspace --doc --quiet

step "the image, and the documents' own command with it"
scripts/image-test.sh

step "docs"
RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --quiet

step "nothing was left behind"
left=$(comm -13 <(printf '%s\n' "$helpers_before") <(helpers))
if [ -n "$left" ]; then
    echo "these helpers were left behind: $left" >&2
    exit 1
fi
step "done"
