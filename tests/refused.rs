//! What a stranger's packet costs: nothing that is allocated, and one packet of at most twice the bytes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use tipring::config::{Config, NoReader};
use tipring::gateway::{Gateway, Input, Outbox, Output};
use tipring::rng::Seed;
use tipring::sip::{ConnectionId, Flow, Transport};
use tipring::time::{Duration, Instant};

/// Counts what the calling thread allocates and frees.
struct Counting;

thread_local! {
    static TOUCHED: Cell<u64> = const { Cell::new(0) };
}

fn touch() {
    TOUCHED.with(|touched| touched.set(touched.get() + 1));
}

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract;
// counting touches only a constant-initialised thread-local, which does not allocate.
#[allow(unsafe_code, reason = "an allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        touch();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        touch();
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(place, layout) }
    }
    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        touch();
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CONFIG: &str = "sip.listen = [\"udp:127.0.0.1:5060\"]\nphone.201 = { password = \"x\" }\n\
                      phone.202 = { password = \"y\", digest = [\"SHA-512-256\", \"SHA-256\", \"MD5\"] }\n";

/// One packet through the whole control core and back out, as the shell does it. Gives what was allocated
/// and freed, and the answer's first bytes and length.
fn cost(
    gateway: &mut Gateway,
    out: &mut Outbox,
    now: Instant,
    transport: Transport,
    packet: &str,
) -> (u64, usize, bool) {
    let address = |text: &str| text.parse().expect("an address");
    let flow = Flow {
        transport,
        local: address("127.0.0.1:5060"),
        remote: address("192.0.2.7:5070"),
        connection: (transport != Transport::Udp).then_some(ConnectionId(ConnectionId::ACCEPTED)),
    };
    let before = TOUCHED.with(Cell::get);
    let input = match transport {
        Transport::Udp => Input::Datagram { flow, bytes: packet.as_bytes() },
        _ => Input::StreamBytes { flow, bytes: packet.as_bytes() },
    };
    gateway.handle(now, input, out);
    let (mut sent, mut length, mut challenged) = (None, 0, false);
    for output in out.drain() {
        let (Output::Datagram { bytes, .. } | Output::StreamBytes { bytes, .. }) = output else { continue };
        assert!(sent.is_none(), "one packet for one packet");
        length = bytes.len();
        challenged = bytes.starts_with(b"SIP/2.0 401 ");
        sent = Some(bytes);
    }
    if let Some(buffer) = sent {
        out.reuse(buffer);
    }
    (TOUCHED.with(Cell::get) - before, length, challenged)
}

#[test]
fn a_refused_packet_allocates_nothing_and_is_answered_with_at_most_twice_its_bytes() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
        refused_over(transport);
    }
}

fn refused_over(transport: Transport) {
    let config = Config::parse("test.toml", CONFIG, &NoReader).expect("a valid configuration");
    let mut gateway = Gateway::new(config, Seed::from_number(1), Instant::ZERO);
    let mut out = Outbox::default();
    let mut now = Instant::ZERO;
    for (number, method) in ["INVITE", "REGISTER", "OPTIONS", "MESSAGE", "SUBSCRIBE", "BREW"].into_iter().enumerate() {
        for user in ["201", "202", "nobody"] {
            for proof in
                ["", "Authorization: Digest realm=\"127.0.0.1\", username=\"201\", nonce=\"no\", response=\"\"\r\n"]
            {
                let packet = format!(
                    "{method} sip:600@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7:5070;branch=z9hG4bK{number};rport\r\n\
                     Max-Forwards: 70\r\nFrom: \"A\" <sip:{user}@127.0.0.1>;tag=1\r\nTo: <sip:600@127.0.0.1>\r\n\
                     Call-ID: {number}@192.0.2.7\r\nCSeq: 1 {method}\r\nContact: <sip:{user}@192.0.2.7:5070>\r\n\
                     User-Agent: a stranger\r\n{proof}Content-Length: 0\r\n\r\n"
                );
                now += Duration::from_millis(100);
                // The first one makes room that is kept.
                cost(&mut gateway, &mut out, now, transport, &packet);
                for _ in 0..3 {
                    let (touched, length, challenged) = cost(&mut gateway, &mut out, now, transport, &packet);
                    // Only over UDP can a sender be somebody else, whom the answer would hit.
                    let bound = if transport == Transport::Udp { 2 * packet.len() } else { usize::MAX };
                    assert!(challenged && length <= bound, "{method} of {user} over {transport:?}: {length} bytes");
                    assert_eq!(touched, 0, "{method} of {user} over {transport:?}");
                }
            }
        }
    }
    // Above the rate there is silence, which costs no more.
    let packet = "REGISTER sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7:5070;branch=z9hG4bKf\r\n\
                  From: <sip:201@127.0.0.1>;tag=1\r\nTo: <sip:201@127.0.0.1>\r\nCall-ID: f\r\nCSeq: 1 REGISTER\r\n\
                  Content-Length: 0\r\n\r\n";
    let mut silent = 0;
    for _ in 0..1_000 {
        let (touched, length, _) = cost(&mut gateway, &mut out, now, transport, packet);
        if length == 0 {
            silent += 1;
            // The first silence is told to the operator.
            assert!(touched == 0 || silent == 1, "{touched}");
        }
    }
    assert!(silent >= 700, "{silent}");
    let counts = gateway.counts().sip;
    assert_eq!((counts.server_transactions, counts.sessions), (0, 0));
    // A connection has the deadline of its own end.
    assert_eq!(counts.deadlines, usize::from(transport != Transport::Udp));
}

/// A stranger may make up the tag of a dialog, and bytes that are no message: that is refused without state, too,
/// and whatever comes back is at most twice as much.
#[test]
fn a_dialog_that_is_made_up_leaves_no_state_and_no_answer_is_more_than_twice_the_bytes() {
    let config = Config::parse("test.toml", CONFIG, &NoReader).expect("a valid configuration");
    let mut gateway = Gateway::new(config, Seed::from_number(1), Instant::ZERO);
    let mut out = Outbox::default();
    let mut now = Instant::ZERO;
    let methods =
        "INVITE ACK CANCEL BYE OPTIONS REGISTER PRACK SUBSCRIBE NOTIFY PUBLISH INFO REFER MESSAGE UPDATE BREW";
    let mut answered = 0;
    for method in methods.split(' ') {
        for packet in [
            format!(
                "{method} sip:a SIP/2.0\r\nv:SIP/2.0/UDP a;branch=z9hG4bKa\r\nf:sip:a@b;tag=a\r\nt:sip:a@b;tag=a\r\n\
                 i:{method}\r\nCSeq:1 {method}\r\n\r\n"
            ),
            format!("{method} sip:a SIP/9.0\r\nv:SIP/2.0/UDP a\r\nf:a:b\r\nt:a:b\r\ni:a\r\nCSeq:1 X\r\n\r\n"),
            format!(
                "{method} sip:a SIP/2.0\r\nv:SIP/2.0/UDP a\r\nf:a:b;tag=a\r\nt:a:b;tag=b\r\ni:a\r\nCSeq:1 X\r\n\r\n"
            ),
            format!("{method} x SIP/2.0\r\nv:SIP/2.0/UDP a\r\nf:a:b;tag=a\r\nt:a:b\r\ni:a\r\nCSeq:1 X\r\nl:9\r\n\r\n"),
        ] {
            now += Duration::from_millis(100);
            let (_, length, _) = cost(&mut gateway, &mut out, now, Transport::Udp, &packet);
            assert!(length <= 2 * packet.len(), "{length} bytes for {} of {packet}", packet.len());
            answered += usize::from(length > 0);
            let counts = gateway.counts().sip;
            let state = (counts.server_transactions, counts.sessions, counts.subscriptions, counts.deadlines);
            assert_eq!(state, (0, 0, 0, 0), "{packet}");
        }
    }
    assert!(answered > 0, "some are told why");
}

/// Twice as many calls as are allowed: those that are allowed complete, and the rest gets 503 at once.
#[test]
fn at_twice_the_cap_the_cap_completes_and_the_rest_is_told_to_come_back() {
    const CAP: u64 = 100;
    const SECONDS: u64 = 10;
    let config = format!(
        "sip.listen = [\"udp:127.0.0.1:5060\"]\nlimits.calls-per-second = {CAP}\ntrunk.peer.from = \"192.0.2.7\"\n\
         [[route]]\nname = \"echo\"\nmatch = \"600\"\nfrom = \"trunk/peer\"\nto = \"service/echo\"\n"
    );
    let config = Config::parse("test.toml", &config, &NoReader).expect("a valid configuration");
    let mut gateway = Gateway::new(config, Seed::from_number(1), Instant::ZERO);
    let address = |text: &str| text.parse().expect("an address");
    let flow = Flow {
        transport: Transport::Udp,
        local: address("127.0.0.1:5060"),
        remote: address("192.0.2.7:5070"),
        connection: None,
    };
    let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n";
    let mut out = Outbox::default();
    let mut now = Instant::ZERO;
    let (mut answered, mut refused) = (0, 0);
    for call in 0..2 * CAP * SECONDS {
        now += Duration::from_micros(1_000_000 / (2 * CAP));
        while gateway.deadline().is_some_and(|at| at <= now) {
            gateway.handle(now, Input::Tick, &mut out);
            out.drain().for_each(drop);
        }
        let invite = format!(
            "INVITE sip:600@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7:5070;branch=z9hG4bK{call}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:1000@192.0.2.7>;tag={call}\r\nTo: <sip:600@127.0.0.1>\r\n\
             Call-ID: {call}\r\nCSeq: 1 INVITE\r\nContact: <sip:1000@192.0.2.7:5070>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        );
        let before = gateway.counts().sip;
        gateway.handle(now, Input::Datagram { flow, bytes: invite.as_bytes() }, &mut out);
        for output in out.drain() {
            let Output::Datagram { bytes, .. } = output else { continue };
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if text.starts_with("SIP/2.0 200 ") {
                answered += 1;
            } else if text.starts_with("SIP/2.0 503 ") {
                assert!(text.contains("\r\nRetry-After: "), "{text}");
                let after = gateway.counts().sip;
                assert_eq!((before.sessions, before.server_transactions), (after.sessions, after.server_transactions));
                refused += 1;
            }
        }
    }
    assert_eq!(answered + refused, 2 * CAP * SECONDS);
    assert!(answered >= CAP * SECONDS * 95 / 100, "{answered} of {} completed", CAP * SECONDS);
    assert!(refused >= CAP * SECONDS * 3 / 4, "{refused}");
    assert_eq!(gateway.counts().calls as u64, answered, "running calls go on");
}
