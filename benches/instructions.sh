#!/usr/bin/env bash
# Counts the instructions of one run of each benchmark of the SIP core, with valgrind.
#
#   benches/instructions.sh [WORD...]    only benchmarks whose names contain a word
#
# A benchmark is run once (--test), so the figure includes what a first run costs beyond later ones;
# the figure of an empty filter is the cost of the program itself and is taken off.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=$(cargo bench --bench sip --no-run --message-format=json 2>/dev/null |
    sed -n 's/.*"name":"sip".*"executable":"\([^"]*\)".*/\1/p' | tail -1)
[ -x "$binary" ] || { echo "the benchmark was not built" >&2; exit 1; }

count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$binary" --bench --test "$1" 2>&1 |
        sed -n 's/.*Collected : //p'
}

empty=$(count "no benchmark has this name")
printf '%-50s %14s\n' benchmark instructions
"$binary" --bench --list 2>/dev/null | sed -n 's/: benchmark$//p' | while read -r name; do
    if [ $# -gt 0 ]; then
        wanted=no
        for word in "$@"; do case "$name" in *"$word"*) wanted=yes ;; esac; done
        [ $wanted = yes ] || continue
    fi
    printf '%-50s %14s\n' "$name" $(($(count "$name") - empty))
done
