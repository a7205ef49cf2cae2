# Read by the other scripts here: starts what is measured, and SIPp on both sides of it.
#
# TIPRING   the program; target/release/tipring when it is not set
# SECONDS_A_RATE, HOLD_MS   how long each rate is offered (8), how long a call lasts (1000)
#
# Addresses: callers 127.0.0.2:5070, callee 127.0.0.3:5080, gateway 127.0.0.10:5060. With two cores or
# more the gateway has the first and SIPp the second, in real-time priority where that is allowed.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tipring=${TIPRING:-$root/target/release/tipring}
seconds=${SECONDS_A_RATE:-8}
hold_ms=${HOLD_MS:-1000}
scratch=$(mktemp -d)
measured=
callee=
for program in sipp taskset; do
    command -v "$program" > /dev/null || { echo "$program is not installed (Debian: sip-tester, util-linux)" >&2; exit 1; }
done
finish() {
    [ -z "$callee" ] || kill "$callee" 2> /dev/null || true
    [ -z "$measured" ] || kill "$measured" 2> /dev/null || true
    rm -rf "$scratch"
}
trap finish EXIT

on_core() { # CORE PRIORITY COMMAND...: real time when it may be
    local core=$1 priority=$2
    shift 2
    [ "$(nproc)" -gt 1 ] || core=0
    if chrt -f 1 true 2> /dev/null; then exec chrt "${priority%% *}" "${priority##* }" taskset -c "$core" "$@"; fi
    exec taskset -c "$core" "$@"
}

start() { # COMMAND...: as the leader of a session, so that all its processes are counted
    cd "$scratch"
    (on_core 0 "-r 5" setsid --wait "$@") > "$scratch/measured.log" 2>&1 &
    local parent=$!
    sleep 1
    measured=$(pgrep -P "$(pgrep -P "$parent" | head -1 || echo "$parent")" | head -1 || true)
    [ -n "$measured" ] || measured=$(pgrep -P "$parent" | head -1 || true)
    [ -n "$measured" ] || measured=$parent
    cd "$root"
}

stop() {
    kill "$measured" 2> /dev/null || true
    sleep 1
    measured=
}

ticks() { # user and system time of the session, in hundredths of a second
    local session
    session=$(ps -o sid= -p "$measured" | tr -d ' ')
    cat $(ps -o pid= -s "$session" | sed 's|^ *\(.*\)$|/proc/\1/stat|') 2> /dev/null |
        sed 's/.*) //' | awk '{ sum += $12 + $13 } END { print sum + 0 }'
}

kilobytes() { # proportional set size of the session
    local session
    session=$(ps -o sid= -p "$measured" | tr -d ' ')
    cat $(ps -o pid= -s "$session" | sed 's|^ *\(.*\)$|/proc/\1/smaps_rollup|') 2> /dev/null |
        awk '/^Pss:/ { sum += $2 } END { print sum + 0 }'
}

answer() { # the callee
    (cd "$scratch" && on_core 1 "-f 10" sipp -sn uas -i 127.0.0.3 -p 5080 -mi 127.0.0.3 -nostdin -skip_rlimit \
        -buff_size 4194304) > /dev/null 2>&1 &
    callee=$!
    sleep 0.5
}

call() { # RATE CALLS HOLD_MS NUMBER: returns when all calls have ended
    rm -f "$scratch"/uac_*
    (cd "$scratch" && on_core 1 "-f 10" sipp -sn uac -i 127.0.0.2 -p 5070 -mi 127.0.0.2 -s "$4" -r "$1" -m "$2" -d "$3" \
        -l 20000 -nostdin -skip_rlimit -buff_size 4194304 -recv_timeout 8000 -trace_rtt -rtt_freq 1 -trace_stat -fd 1 \
        -trace_err 127.0.0.10:5060) > /dev/null 2>&1 || true
}

column() { # NAME: of the last line of SIPp's statistics
    awk -F';' -v name="$1" 'NR == 1 { for (n = 1; n <= NF; n++) if ($n == name) wanted = n } END { print $wanted + 0 }' \
        "$scratch"/uac_*_.csv
}

percentile() { # PART: of the times from INVITE to 200, in ms
    cat "$scratch"/uac_*_rtt.csv | awk -F';' '$2 + 0 == $2 { print $2 }' | sort -n |
        awk -v part="$1" '{ times[NR] = $1 } END { n = int(part * NR) + 1; if (n > NR) n = NR; print times[n] + 0 }'
}
