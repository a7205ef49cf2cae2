#!/usr/bin/env bash
# Twice as many calls as the gateway may take: how many of those that it may take complete, and whether
# the others are told when to come again.
#
#   benches/overload.sh [CAP]     calls a second that the gateway may take; 1000 when none is given
. "$(dirname "$0")/outside.sh"
cap=${1:-1000}
{ cat "$root/dialplans/bench.toml"; printf '\n[limits]\ncalls-per-second = %d\n' "$cap"; } > "$scratch/overload.toml"
answer
start "$tipring" run -c "$scratch/overload.toml"
before=$(ticks)
call $((2 * cap)) $((2 * cap * seconds)) "$hold_ms" 200000
after=$(ticks)
good=$(column 'SuccessfulCall(C)')
offered=$((2 * cap * seconds))
refused=$(cat "$scratch"/uac_*_errors.log 2> /dev/null | grep -c "SIP/2.0 503" || true)
retry=$(cat "$scratch"/uac_*_errors.log 2> /dev/null | grep -c "^Retry-After:" || true)
echo "cap $cap/s, offered $((2 * cap))/s for $seconds s: $good of $offered completed," \
    "$((100 * good / (cap * seconds))) % of the cap"
echo "refused with 503: $refused, of them with Retry-After: $retry; other failures: $((offered - good - refused))"
echo "processor: $(awk -v t=$((after - before)) -v s="$seconds" 'BEGIN { print t / s }') % of a core;" \
    "INVITE to 200 p50/p99: $(percentile 0.5)/$(percentile 0.99) ms"
stop
