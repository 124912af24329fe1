#!/usr/bin/env bash
# Builds Dory's image, dory:latest, which holds Dory, duplicity, gpg and rclone. No image registry is needed.
#
#   DORY_BINARY=path   take this binary instead of building a release
#   DORY_IMAGE=name    the image's name instead of dory:latest
set -euo pipefail
cd "$(dirname "$0")/.."

image=${DORY_IMAGE:-dory:latest}
base=dory-image-base
say() { printf 'image: %s\n' "$*" >&2; }

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT

if [ -n "${DORY_BINARY:-}" ]; then
    say "taking $DORY_BINARY"
    cp "$DORY_BINARY" "$context/dory"
else
    say "building dory (release)"
    cargo build --release --quiet -p dory-cli
    cp target/release/dory "$context/dory"
fi
strip --strip-debug "$context/dory"

if ! docker image inspect "$base" >/dev/null 2>&1; then
    if docker image inspect debian:trixie-slim >/dev/null 2>&1; then
        docker tag debian:trixie-slim "$base"
    else
        say "making a Debian base from packages (no registry is asked)"
        mmdebstrap --quiet --variant=minbase trixie "$context/base.tar"
        docker import "$context/base.tar" "$base" >/dev/null
        rm "$context/base.tar"
    fi
fi

say "fetching duplicity"
machine=$(uname -m)
pip=${DORY_TOOLS:-/opt/dory-tools}/venv/bin/pip
[ -x "$pip" ] || pip="python3 -m pip"
$pip download --quiet --no-deps --dest "$context" --only-binary=:all: --python-version 3.13 \
    --platform "manylinux_2_28_$machine" --platform "manylinux_2_17_$machine" --platform "manylinux2014_$machine" \
    duplicity==3.2.1
mv "$context"/duplicity-*.whl "$context/duplicity.whl"

say "building $image"
cp Dockerfile "$context/Dockerfile"
docker build --quiet --build-arg BASE="$base" --tag "$image" "$context" >/dev/null
say "$image: $(docker image inspect -f '{{.Size}}' "$image" | awk '{printf "%.0f MB", $1 / 1000000}')"
