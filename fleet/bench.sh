#!/bin/sh
# The figures of the fleet's tool beside their goals; a row each. Ends with 0 only when none is short. Loopback only.
#
# usage: ./bench.sh [WORD...]    only rows with one of these words
# Needs root (the network half gives privileges up), nats-server and python3. Half an hour is plenty; most of it is the build.
set -u
cd "$(dirname "$0")" || exit 1
# shellcheck source=tests/support/parts.sh
. ../tests/support/parts.sh
begin
need_cargo
need install nats-server=nats-server python3=python3
[ "$(id -u)" -eq 0 ] || die "run this as root"
target=${CARGO_TARGET_DIR:-target}

say "building"
cargo build --release --locked || die "no release build"
host=$(rustc -vV | sed -n 's/^host: //p')
# As contrib/build.sh links the daemon, without its order of functions.
flags='-C target-feature=+crt-static'
if [ "$(uname -m)" = x86_64 ]; then
    for option in -z,pack-relative-relocs --icf=all --no-eh-frame-hdr; do flags="$flags -C link-arg=-Wl,$option"; done
    flags="$flags -C llvm-args=-enable-machine-outliner=always -C llvm-args=-outliner-benefit-threshold=16"
fi
RUSTFLAGS=$flags cargo build --release --locked --target "$host" --target-dir "$target/static" || die "no static build"

say "measuring"
python3 tests/support/bench.py "$target/release/homelab-deploy" "$target/static/$host/release/homelab-deploy" "$@"
