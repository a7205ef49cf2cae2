# Two gateways with kernel SCTP, and two signalling transfer points (Debian's osmo-stp) between them: a SIP call at one
# end comes out as a SIP call at the other; the first transfer point dies, and calls go by the second.
#
#   SIPp ── SIP ── near ── SCTP, M3UA ──┬── osmo-stp 1 ──┬── SCTP, M3UA ── far ── SIP ── SIPp
#                                       └── osmo-stp 2 ──┘
#
# Runs in the guest of the hardware laboratory; `cargo xtask lab` takes it there.
modprobe sctp || { echo "FAIL modprobe sctp"; exit 1; }
d=/tmp/m3ua; mkdir -p $d; cd $d

say() { if [ "$1" = 0 ]; then echo "PASS $2"; else echo "FAIL $2"; fi; }

stp() { # number, port
  cat > stp$1.cfg <<C
log stderr
 logging filter all 1
 logging level set-all notice
line vty
 no login
 bind 127.0.0.10$1
cs7 instance 0
 point-code 0.0.$1
 asp near 0 $2 m3ua
  remote-ip 127.0.0.11
  role sg
  sctp-role server
 asp far 0 $2 m3ua
  remote-ip 127.0.0.12
  role sg
  sctp-role server
 as as-near m3ua
  asp near
  routing-key 7 1.1.1
  traffic-mode override
 as as-far m3ua
  asp far
  routing-key 8 1.1.2
  traffic-mode override
 route-table system
  update route 1.1.1 7.255.7 linkset as-near
  update route 1.1.2 7.255.7 linkset as-far
 listen m3ua $2
  accept-asp-connections pre-configured
C
  osmo-stp -c stp$1.cfg > stp$1.log 2>&1 &
  eval stp$1=$!
}

cat > near.toml <<'C'
sip.listen = ["udp:127.0.0.1:5060"]
log.level = "debug"
[trunk.caller]
from = "127.0.0.1"
[isup.far]
transport = "m3ua"
circuits = "1-30"
own-point-code = "1-1-1"
peer-point-code = "1-1-2"
m3ua = { peers = ["127.0.0.1:2905", "127.0.0.1:2906"], local = "127.0.0.11", routing-context = 7, traffic-mode = "override" }
[[route]]
name = "far"
match = "7|XXX"
from = "trunk/caller"
transit = true
to = "isup/far"
C
cat > far.toml <<'C'
sip.listen = ["udp:127.0.0.2:5060"]
log.level = "debug"
[trunk.called]
to = "sip:127.0.0.1:5090"
from = "127.0.0.1"
[isup.near]
transport = "m3ua"
circuits = "1-30"
own-point-code = "1-1-2"
peer-point-code = "1-1-1"
m3ua = { peers = ["127.0.0.1:2905", "127.0.0.1:2906"], local = "127.0.0.12", routing-context = 8, traffic-mode = "override" }
[[route]]
name = "called"
match = "XXX"
from = "isup/near"
transit = true
to = "trunk/called"
C

stp 1 2905; stp 2 2906
sleep 1
for end in near far; do
  TIPRING_CONTROL=$d/$end.sock tipring run -c $end.toml > $end.log 2>&1 &
  eval $end=$!
done
trunks() { TIPRING_CONTROL=$d/$1.sock tipring trunks 2>/dev/null | grep isup/; }
waits() { # end, text: until the trunk says so
  for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    trunks $1 | grep -q "$2" && return 0
    sleep 1
  done
  return 1
}
for end in near far; do
  waits $end "active: 127.0.0.1:2905 active; 127.0.0.1:2906 inactive"
  say $? "$end is active at the first transfer point and stands by at the second"
  trunks $end
done

sipp -sn uas -i 127.0.0.1 -p 5090 -bg > uas.log 2>&1
call() { # what it proves
  sipp -sn uac -s 7500 -i 127.0.0.1 -p 5080 -m 1 -d 1000 -timeout 30s 127.0.0.1:5060 > uac.log 2>&1
  rc=$?
  say $rc "$1"
  [ $rc = 0 ] || tail -40 uac.log
}
call "a SIP call goes by ISUP over SCTP and a transfer point, is answered and released"
grep -q 'call answered.*isup/far' near.log; say $? "near answered over isup/far"
grep -q 'call answered.*trunk/called' far.log; say $? "far answered over trunk/called"
grep -E 'call (begins|rings|answered|released)' near.log far.log

kill -9 $stp1
for end in near far; do
  waits $end "active: 127.0.0.1:2905 .*; 127.0.0.1:2906 active"
  say $? "$end goes by the second transfer point"
  trunks $end
done
call "a call after the first transfer point died"

stp 1 2905
for end in near far; do
  waits $end "active: 127.0.0.1:2905 inactive; 127.0.0.1:2906 active"
  say $? "$end stands by at the first transfer point again"
done
kill -9 $stp2
for end in near far; do
  waits $end "active: 127.0.0.1:2905 active"
  say $? "$end is back at the first transfer point"
done
call "a call after the way back"

kill $near $far
sleep 2
grep -q "isup/far: unavailable" near.log; say $? "near takes its process out of service at the end"
cat /proc/net/sctp/snmp 2>/dev/null | grep -E "SctpCurrEstab|SctpActiveEstabs|SctpOutOrderChunks|SctpInSCTPPacks"
grep -hE "WARN|ERROR" near.log far.log | head -30
grep -v "notice\|NOTICE" stp1.log | tail -5
