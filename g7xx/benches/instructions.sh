#!/bin/sh
# Instructions per frame of G.729 at each level, counted by callgrind: repeatable, for comparing
# changes. Argument: a file of speech, 16-bit little endian, 8 kHz.
set -eu
file=$(realpath "$1")
cd "$(dirname "$0")/.."
cargo build --release -p g7xx --example g729_frames
run=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/examples/g729_frames
count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$run" "$1" "$2" "$3" "$4" "$file" 2>&1 |
        sed -n 's/.*Collected : //p'
}
for level in scalar avx2; do
    for variant in a base; do
        for what in encode decode; do
            few=$(count $what $variant $level 350)
            many=$(count $what $variant $level 550)
            echo "$what $variant $level: $(((many - few) / 200)) instructions per frame"
        done
    done
done
for what in encode-batch decode-batch; do
    few=$(count $what a avx2 400)
    many=$(count $what a avx2 800)
    echo "$what a avx2: $(((many - few) / 400)) instructions per frame"
done
