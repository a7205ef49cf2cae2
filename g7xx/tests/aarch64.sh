#!/bin/sh
# Runs tests of this crate compiled for aarch64 in an emulator: all inputs of G.711 and slices of it, and the
# vectors of G.729. Needs the target of rustup, a cross linker and qemu-user (Debian: gcc-aarch64-linux-gnu,
# qemu-user); says so and does nothing where one is missing. Arguments go to `cargo test` instead of the
# list of tests.
set -eu
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu
for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
    if ! command -v "$tool" >/dev/null; then
        echo "SKIPPED: tests for aarch64 need $tool" >&2
        exit 0
    fi
done
if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
    echo "SKIPPED: tests for aarch64 need 'rustup target add $target'" >&2
    exit 0
fi
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
if [ $# = 0 ]; then
    set -- --test g711_vectors --test g711_slices --test g729_vectors
fi
exec cargo test --release -p g7xx --target "$target" "$@"
