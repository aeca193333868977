#!/bin/sh
# Builds the daemon as it is installed: one static file that needs no library of the host's. Prints its path, last.
#
# usage: contrib/build.sh
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin

machine=$(uname -m)
target=$machine-unknown-linux-gnu
flags='-C target-feature=+crt-static'
if [ -d "$(rustc --print sysroot)/lib/rustlib/$machine-unknown-linux-musl" ] && command -v musl-gcc >/dev/null; then
    # Its libc looks names up without modules of the host's.
    target=$machine-unknown-linux-musl
elif [ "$machine" = x86_64 ]; then
    # What the toolchain's own linker, LLD, can do for a smaller file, of which every process keeps less in memory:
    # relocations in their short form (glibc 2.36 or newer applies them), one copy of functions that are equal, and no
    # tables for unwinding.
    for option in -z,pack-relative-relocs --icf=all --no-eh-frame-hdr -T,contrib/layout.ld; do
        flags="$flags -C link-arg=-Wl,$option"
    done
fi
if [ "$machine" = x86_64 ]; then
    # One copy of sequences of instructions that recur, where that saves enough to be worth the jump.
    flags="$flags -C llvm-args=-enable-machine-outliner=always -C llvm-args=-outliner-benefit-threshold=16"
fi
RUSTFLAGS=$flags cargo build --locked --release --target "$target" --bin engram-deployer >&2
program=${CARGO_TARGET_DIR:-target}/$target/release/engram-deployer
"$program" version >&2
echo "$program"
