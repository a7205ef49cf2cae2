//! The control core as its shell sees it: bytes in, outputs out, on a made-up clock.

mod user_agent;

use super::*;
use crate::config::NoReader;
use crate::sip::Transport;

const CONFIG: &str = r#"
[sip]
listen = ["udp:127.0.0.1:5060"]
domain = "example.com"

[rtp]
address = "127.0.0.1"
ports = "20000-20003"

[phone.201]
password = "secret"
digest = ["SHA-256", "MD5"]

[trunk.peer]
from = ["127.0.0.2"]
to = "sip:127.0.0.3:5080"

[[route]]
name = "out"
match = "7X"
from = ["inside", "trunk/peer"]
transit = true
to = "trunk/peer"

[[route]]
name = "echo"
match = "600"
from = ["inside", "trunk/peer"]
to = "service/echo"
"#;

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.2\r\ns=-\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\nm=audio 6000 RTP/AVP 8 0\r\n";

struct Bench {
    gateway: Gateway,
    now: Instant,
    outputs: Vec<Output>,
    sent: u32,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(CONFIG)
    }

    fn with(config: &str) -> Bench {
        let config = Config::parse("test.toml", config, &NoReader).expect("a valid configuration");
        let gateway = Gateway::new(config, Seed::from_number(1), Instant::ZERO);
        Bench { gateway, now: Instant::from_millis(1), outputs: Vec::new(), sent: 0 }
    }

    fn input(&mut self, input: Input<'_>) {
        let mut out = Outbox::default();
        self.gateway.handle(self.now, input, &mut out);
        self.outputs.extend(out.drain());
    }

    fn datagram(&mut self, from: &str, text: &str) {
        let flow = Flow {
            transport: Transport::Udp,
            local: "127.0.0.1:5060".parse().expect("an address"),
            remote: from.parse().expect("an address"),
            connection: None,
        };
        self.input(Input::Datagram { flow, bytes: text.as_bytes() });
    }

    /// An INVITE from `address` of the user `from` to `number`.
    fn invite(&mut self, address: &str, from: &str, number: &str, max_forwards: u8) {
        self.sent += 1;
        let n = self.sent;
        let text = format!(
            "INVITE sip:{number}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {address};branch=z9hG4bK{n}\r\n\
             From: <sip:{from}@127.0.0.2>;tag=a{n}\r\nTo: <sip:{number}@127.0.0.1>\r\nCall-ID: c{n}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:{from}@{address}>\r\nMax-Forwards: {max_forwards}\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{SDP}",
            SDP.len()
        );
        self.datagram(address, &text);
    }

    /// What was sent since the last look, as text.
    fn datagrams(&mut self) -> Vec<String> {
        self.outputs
            .drain(..)
            .filter_map(|output| match output {
                Output::Datagram { bytes, .. } => Some(String::from_utf8_lossy(&bytes).into_owned()),
                _ => None,
            })
            .collect()
    }

    /// Lets time pass until nothing is due any more.
    fn quiet(&mut self) {
        for _ in 0..10_000 {
            let Some(at) = self.gateway.deadline() else { return };
            self.now = self.now.max(at);
            self.input(Input::Tick);
            self.outputs.clear();
        }
        panic!("never quiet: {:?}", self.gateway.counts());
    }
}

fn first_lines(datagrams: &[String]) -> Vec<&str> {
    datagrams.iter().filter_map(|text| text.lines().next()).collect()
}

#[test]
fn hops_are_counted_down_and_the_last_one_is_not_forwarded() {
    let mut bench = Bench::new();
    bench.invite("127.0.0.2:5070", "1000", "71", 0);
    assert_eq!(first_lines(&bench.datagrams()), ["SIP/2.0 483 Too Many Hops"]);
    bench.invite("127.0.0.2:5070", "1000", "71", 1);
    let sent = bench.datagrams();
    let invite = sent.iter().find(|text| text.starts_with("INVITE ")).expect("the call goes on");
    assert!(invite.contains("\r\nMax-Forwards: 0\r\n"), "{invite}");
    let mut bench = Bench::new();
    bench.invite("127.0.0.2:5070", "1000", "600", 0);
    let sent = bench.datagrams();
    assert!(first_lines(&sent).contains(&"SIP/2.0 200 OK"), "a call that ends here is taken: {sent:?}");
}

#[test]
fn nobody_learns_which_accounts_exist() {
    let shape = |from: &str| {
        let mut bench = Bench::new();
        bench.invite("192.0.2.9:5070", from, "600", 70);
        let mut sent = bench.datagrams();
        sent.retain(|text| text.starts_with("SIP/2.0 401"));
        assert_eq!(sent.len(), 1, "{from}");
        sent[0].replace(from, "USER").len()
    };
    assert_eq!(shape("201"), shape("299"));
}

#[test]
fn an_offer_that_nobody_can_meet_is_refused_before_it_rings() {
    let mut bench = Bench::new();
    let text = "INVITE sip:600@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:5070;branch=z9hG4bKx\r\n\
        From: <sip:1000@127.0.0.2>;tag=a\r\nTo: <sip:600@127.0.0.1>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\
        Contact: <sip:1000@127.0.0.2:5070>\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\n\r\n\
        v=0\r\no=- 1 1 IN IP4 127.0.0.2\r\ns=-\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\nm=audio 6000 RTP/AVP 3\r\n";
    bench.datagram("127.0.0.2:5070", text);
    let sent = bench.datagrams();
    assert!(first_lines(&sent).contains(&"SIP/2.0 488 Not Acceptable Here"), "{sent:?}");
    assert_eq!((bench.gateway.counts().rtp_ports, bench.gateway.counts().streams), (0, 0));
}

#[test]
fn without_a_free_rtp_port_the_next_call_gets_503_and_cause_47() {
    let mut bench = Bench::new();
    for expected in ["SIP/2.0 200 OK", "SIP/2.0 200 OK", "SIP/2.0 503 Service Unavailable"] {
        bench.invite("127.0.0.2:5070", "1000", "600", 70);
        let sent = bench.datagrams();
        assert!(first_lines(&sent).contains(&expected), "{sent:?}");
        if expected.contains("503") {
            let refusal = sent.iter().find(|text| text.contains(" 503 ")).expect("just found");
            assert!(refusal.contains("Q.850;cause=47") && refusal.contains("Retry-After:"), "{refusal}");
        }
    }
}

#[test]
fn a_port_that_cannot_be_opened_ends_its_call_and_is_given_back() {
    let mut bench = Bench::new();
    bench.invite("127.0.0.2:5070", "1000", "600", 70);
    let start = bench.outputs.drain(..).find_map(|output| match output {
        Output::Media(worker, MediaCommand::Start(stream)) => Some((worker, stream)),
        _ => None,
    });
    let (worker, stream) = start.expect("a stream starts");
    bench.input(Input::Media(worker, MediaEvent::BindFailed(stream)));
    assert!(!bench.outputs.iter().any(|o| matches!(o, Output::Media(_, MediaCommand::Stop(_)))));
    bench.quiet();
    let counts = bench.gateway.counts();
    assert_eq!((counts.calls, counts.streams, counts.rtp_ports, counts.sip.sessions), (0, 0, 0, 0));
}

#[test]
fn a_broken_assumption_ends_its_call_and_no_other() {
    let mut bench = Bench::new();
    bench.gateway.survive_broken_assumptions();
    bench.invite("127.0.0.2:5070", "1000", "600", 70);
    bench.invite("127.0.0.2:5070", "1000", "600", 70);
    bench.outputs.clear();
    let victim = bench.gateway.calls.iter().map(|(id, _)| id).next().expect("a call");
    let mut out = Outbox::default();
    let mut step = Step {
        now: bench.now,
        out: &mut out,
        sip: Actions::default(),
        queue: VecDeque::new(),
        carried: Carried::default(),
    };
    bench.gateway.guarded(blast::Guarded::Call(victim), &mut step, |_, step| {
        step.out.push(Output::CloseStream { connection: ConnectionId(9) });
        panic!("an assumption of this test");
    });
    bench.gateway.work_off(&mut step);
    let outputs: Vec<Output> = out.drain().collect();
    assert!(!outputs.iter().any(|o| matches!(o, Output::CloseStream { .. })), "what it had said is taken back");
    let record = outputs.iter().find_map(|output| match output {
        Output::Record(record) => Some(record.release.cause),
        _ => None,
    });
    assert_eq!(record, Some(Cause::TEMPORARY));
    let counts = bench.gateway.counts();
    assert_eq!((counts.calls, counts.faults), (1, 1));
}

#[test]
fn a_drain_refuses_new_calls_and_ends_running_ones() {
    let mut bench = Bench::new();
    bench.invite("127.0.0.2:5070", "1000", "600", 70);
    bench.outputs.clear();
    bench.input(Input::Drain);
    bench.invite("127.0.0.2:5070", "1000", "600", 70);
    let sent = bench.datagrams();
    assert!(first_lines(&sent).contains(&"SIP/2.0 503 Service Unavailable"), "{sent:?}");
    bench.quiet();
    assert_eq!(bench.gateway.counts().calls, 0);
}

#[test]
fn a_trunk_is_told_the_status_of_its_own_table_and_the_cause_as_it_is() {
    let config =
        CONFIG.replace("[trunk.peer]\n", "[trunk.peer]\noverrides = [\"cause 47 -> 500\", \"cause 1 -> 604\"]\n");
    let mut bench = Bench::with(&config);
    for (number, expected, cause) in [("99", "604", "1"), ("600", "200", ""), ("600", "200", ""), ("600", "500", "47")]
    {
        bench.invite("127.0.0.2:5070", "1000", number, 70);
        let sent = bench.datagrams();
        let last = sent.last().expect("an answer");
        assert!(last.starts_with(&format!("SIP/2.0 {expected} ")), "{sent:?}");
        assert!(cause.is_empty() || last.contains(&format!("Reason: Q.850;cause={cause};")), "{last}");
    }
}

#[test]
fn a_status_of_a_trunk_is_released_with_the_cause_of_its_table() {
    let cause_of = |config: &str, headers: &str| {
        let mut bench = Bench::with(config);
        bench.invite("127.0.0.2:5070", "1000", "71", 70);
        let sent = bench.datagrams();
        let invite = sent.iter().find(|text| text.starts_with("INVITE ")).expect("the call goes on").clone();
        let field = |name: &str| invite.lines().find(|line| line.starts_with(name)).expect("a field").to_owned();
        let response = format!(
            "SIP/2.0 480 Temporarily Unavailable\r\n{}\r\n{}\r\n{};tag=b\r\n{}\r\n{}\r\n{headers}Content-Length: 0\r\n\r\n",
            field("Via:"),
            field("From:"),
            field("To:"),
            field("Call-ID:"),
            field("CSeq:")
        );
        bench.datagram("127.0.0.3:5080", &response);
        let refusal =
            bench.datagrams().into_iter().find(|text| text.starts_with("SIP/2.0 480 ")).expect("the caller hears");
        refusal.lines().find(|line| line.starts_with("Reason:")).expect("a cause").to_owned()
    };
    let differs = CONFIG.replace("[trunk.peer]\n", "[trunk.peer]\noverrides = [\"status 480 -> 20\"]\n");
    assert!(cause_of(CONFIG, "").contains("cause=18;"));
    assert!(cause_of(&differs, "").contains("cause=20;"));
    let reason = "Reason: Q.850;cause=19\r\n";
    assert!(cause_of(&differs, reason).contains("cause=19;"), "what the far end really said wins");
}

#[test]
fn an_address_that_is_shut_out_stays_so_over_a_restart() {
    let register = |bench: &mut Bench, nonce: &str| {
        bench.sent += 1;
        let n = bench.sent;
        let text = format!(
            "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK{n}\r\n\
             From: <sip:201@example.com>;tag=a\r\nTo: <sip:201@example.com>\r\nCall-ID: r\r\nCSeq: {n} REGISTER\r\n\
             Max-Forwards: 70\r\nAuthorization: Digest username=\"201\", realm=\"example.com\", nonce=\"{nonce}\", \
             uri=\"sip:example.com\", algorithm=MD5, qop=auth, nc=0000000{n}, cnonce=\"a\", response=\"{}\"\r\n\r\n",
            "0".repeat(32)
        );
        bench.datagram("192.0.2.9:5060", &text);
    };
    let config = CONFIG.replace("[rtp]", "[ban]\nfailures = 3\nwithin = \"60s\"\nlasts = \"600s\"\n\n[rtp]");
    let mut bench = Bench::with(&config);
    register(&mut bench, "of another run");
    let refusal = bench.datagrams().pop().expect("a challenge");
    let nonce = refusal.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a nonce").to_owned();
    for _ in 0..5 {
        register(&mut bench, &nonce);
    }
    let bans: Vec<_> = bench
        .outputs
        .iter()
        .filter_map(|output| match output {
            Output::Ban { address, until } => Some((*address, *until)),
            _ => None,
        })
        .collect();
    let address: IpAddr = "192.0.2.9".parse().expect("an address");
    assert_eq!(bans, [(address, bench.now + Duration::from_secs(600))]);
    let mut next = Bench::with(&config);
    next.input(Input::RestoreBans(vec![
        (address, Instant::from_millis(5_000)),
        (address, Instant::from_millis(9_999_999)),
    ]));
    next.invite("192.0.2.9:5060", "201", "600", 70);
    assert!(next.datagrams().is_empty(), "silence");
    // No longer than the rule has it now.
    next.now = Instant::from_millis(600_001);
    next.invite("192.0.2.9:5060", "201", "600", 70);
    assert_eq!(first_lines(&next.datagrams()), ["SIP/2.0 401 Unauthorized"]);
}
