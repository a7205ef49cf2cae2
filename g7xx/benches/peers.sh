#!/bin/sh
# Channels per core of G.729A, ours at each level and libbcg729 (Debian: libbcg729-dev), in one run.
# Argument: a file of speech, 16-bit little endian, 8 kHz. BCG729 may name another build of the library
# (a shared object, such as one made with -O3 -march=native), which is measured beside the system's.
set -eu
file=$(realpath "$1")
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cc -O2 benches/bcg729.c -o "$work/system" -lbcg729
if [ -n "${BCG729:-}" ]; then
    other=$(realpath "$BCG729")
    cc -O2 benches/bcg729.c -o "$work/other" "$other" -Wl,-rpath,"$(dirname "$other")"
fi
cargo build --release -p g7xx --example g729_frames
run=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/examples/g729_frames
grep -m1 'model name' /proc/cpuinfo
for round in 1 2 3; do
    echo "round $round"
    "$work/system" "$file"
    if [ -n "${BCG729:-}" ]; then
        printf '%s: ' "$(basename "$BCG729")"
        "$work/other" "$file"
    fi
    for level in scalar avx2; do
        for what in encode decode; do "$run" "$what" a "$level" 40000 "$file"; done
    done
    for what in encode-batch decode-batch; do "$run" "$what" a avx2 40000 "$file"; done
done
