#!/usr/bin/env bash
# Calls between two SIP peers through the gateway, from outside: processor time, failed calls, memory.
#
#   benches/calls.sh [RATE...]     calls a second, one rate after another; 100 400 1250 when none is given
#
# Then the same through Kamailio as a stateful proxy, where it is installed: a proxy has less to do
# than a gateway, and shows what the machine is worth at that hour.
. "$(dirname "$0")/outside.sh"
rates=("$@")
[ $# -gt 0 ] || rates=(100 400 1250)

measure() { # LABEL
    local idle rate before after good
    idle=$(kilobytes)
    for rate in "${rates[@]}"; do
        before=$(ticks)
        call "$rate" $((rate * seconds)) "$hold_ms" 200000
        after=$(ticks)
        good=$(column 'SuccessfulCall(C)')
        printf '%-10s %6d %8.3f %7d of %-7d %6d/%-6d %8d\n' "$1" "$rate" \
            "$(awk -v t=$((after - before)) -v n="$good" 'BEGIN { print n ? t * 10 / n : 0 }')" \
            $((rate * seconds - good)) $((rate * seconds)) "$(percentile 0.5)" "$(percentile 0.99)" "$(kilobytes)"
        sleep 1
    done
    echo "$1: $idle kB when idle"
}

printf '%-10s %6s %8s %18s %13s %8s\n' who cps "s/1000" failed "p50/p99 ms" kB
answer
start "$tipring" run -c "$root/dialplans/bench.toml"
measure tipring
stop
if command -v kamailio > /dev/null; then
    modules=$(dirname "$(find /usr/lib /usr/local/lib -name tm.so -path '*kamailio*' 2> /dev/null | head -1)")
    cat > "$scratch/kamailio.cfg" << EOF
debug=0
log_stderror=yes
children=1
listen=udp:127.0.0.10:5060
disable_tcp=yes
mpath="$modules"
loadmodule "tm.so"
loadmodule "tmx.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "siputils.so"
loadmodule "textops.so"
request_route {
    if (!mf_process_maxfwd_header("10")) exit;
    if (has_totag()) {
        # SIPp's own scenario knows no routes.
        if (!loose_route()) \$du = "sip:127.0.0.3:5080";
        t_relay();
        exit;
    }
    t_check_trans();
    record_route();
    \$du = "sip:127.0.0.3:5080";
    if (!t_relay()) sl_reply_error();
}
EOF
    start kamailio -DD -E -f "$scratch/kamailio.cfg" -Y "$scratch" -m 256 -M 16
    measure Kamailio
    stop
else
    echo "Kamailio is not installed: no peer beside these figures"
fi
