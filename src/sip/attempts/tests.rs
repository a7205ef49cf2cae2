//! Fail-over (RFC 3263 4.3) and the switch to TCP (RFC 3261 18.1.1), message by message.

use super::super::{
    Actions, Body, ConnectionId, Ended, Endpoint, Event, Header, HeaderName, Host, Method, NameAddr, NextHop,
    OutgoingInvite, OutgoingRequest, Question, Records, Send, SessionId, Settings, Transport, Uri,
};
use super::*;
use crate::rng::Seed;
use crate::time::Duration;
use std::net::SocketAddr;

/// An endpoint, and all that it sent since last time.
struct Bench {
    endpoint: Endpoint,
    now: Instant,
    out: Actions,
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

impl Bench {
    fn new(listeners: &[(Transport, &str)]) -> Bench {
        let listeners = listeners.iter().map(|(transport, text)| (*transport, address(text))).collect();
        let settings = Settings { listeners, ..Settings::default() };
        let endpoint = Endpoint::new(settings, &Seed::from_number(7));
        Bench { endpoint, now: Instant::from_millis(1), out: Actions::default() }
    }

    fn udp() -> Bench {
        Bench::new(&[(Transport::Udp, "10.0.0.1:5060")])
    }

    fn invite(&mut self, uris: &[&str], body_bytes: usize) -> SessionId {
        let uris: Vec<Uri> = uris.iter().map(|uri| uri.parse().expect("a URI")).collect();
        let from = NameAddr::new(Uri::sip(Some("100"), Host::from_text("gw.example"), None));
        let invite = OutgoingInvite {
            target: uris[0].with_user("200"),
            to: NameAddr::new(uris[0].with_user("200")),
            next_hop: NextHop::Uris(uris),
            from,
            contact_user: "100".to_owned(),
            body: Some(Body::sdp(vec![b'x'; body_bytes])),
            headers: Vec::new(),
            max_forwards: 70,
            reliable: super::super::Reliable::default(),
            credentials: None,
        };
        self.endpoint.invite(self.now, invite, &mut self.out)
    }

    /// What has been sent since: `REMOTE METHOD` or `tcp REMOTE`, with the whole text.
    fn sent(&mut self) -> Vec<(String, String)> {
        let sends = std::mem::take(&mut self.out.sends);
        sends
            .into_iter()
            .map(|send| match send {
                Send::Datagram { flow, bytes } => {
                    let text = String::from_utf8(bytes).expect("text");
                    (format!("{} {}", flow.remote, text.split(' ').next().unwrap_or("")), text)
                }
                Send::Stream { connection, bytes } => {
                    let text = String::from_utf8(bytes).expect("text");
                    (format!("#{} {}", connection.0, text.split(' ').next().unwrap_or("")), text)
                }
                Send::OpenStream { transport, remote, domain, .. } => {
                    (format!("open {} {remote}", transport.word()), domain.unwrap_or_default())
                }
                Send::CloseStream { .. } => ("close".to_owned(), String::new()),
                Send::Resolve { question } => (format!("{question:?}"), String::new()),
            })
            .collect()
    }

    fn expect(&mut self, expected: &[&str]) -> Vec<String> {
        let (lines, texts): (Vec<String>, Vec<String>) = self.sent().into_iter().unzip();
        assert_eq!(lines, expected);
        texts
    }

    fn answer(&mut self, request: &str, status: u16, more: &str) {
        let line = |name: &str| request.lines().find(|l| l.starts_with(name)).expect("a header field").to_owned();
        let to = if status > 100 { format!("{};tag=peer", line("To:")) } else { line("To:") };
        let text = format!(
            "SIP/2.0 {status} X\r\n{}\r\n{}\r\n{to}\r\n{}\r\n{}\r\n{more}Content-Length: 0\r\n\r\n",
            line("Via:"),
            line("From:"),
            line("Call-ID:"),
            line("CSeq:")
        );
        let flow = Flow {
            transport: Transport::Udp,
            local: address("10.0.0.1:5060"),
            remote: address("10.0.0.2:5060"),
            connection: None,
        };
        self.endpoint.handle_datagram(self.now, flow, text.as_bytes(), &mut self.out);
    }

    fn resolve(&mut self, question: &Question, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| text.parse().expect("an address")).collect();
        let records = Records { addresses, ..Records::default() };
        self.endpoint.handle_resolved(self.now, question, &records, &mut self.out);
    }

    /// Lets time run until something is sent that is no repetition of the first request, or nothing is due.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.endpoint.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.endpoint.handle_timeout(self.now, &mut self.out);
        }
        self.now = end;
    }

    fn ended(&mut self) -> Option<Ended> {
        self.out.events.drain(..).find_map(|event| match event {
            Event::Ended { how, .. } => Some(how),
            _ => None,
        })
    }
}

fn field<'t>(text: &'t str, name: &str) -> &'t str {
    text.lines().find(|line| line.starts_with(name)).expect("a header field")
}

const TWO: [&str; 2] = ["sip:10.0.0.2", "sip:10.0.0.3"];

#[test]
fn rfc_3263_4_3_after_503_the_same_request_goes_to_the_next_server_in_a_new_branch() {
    let mut bench = Bench::udp();
    let session = bench.invite(&TWO, 10);
    let first = bench.expect(&["10.0.0.2:5060 INVITE"]).remove(0);
    bench.answer(&first, 100, "");
    bench.answer(&first, 503, "Retry-After: 60 (later)\r\n");
    let texts = bench.expect(&["10.0.0.2:5060 ACK", "10.0.0.3:5060 INVITE"]);
    let second = &texts[1];
    assert!(second.starts_with("INVITE sip:200@10.0.0.3 SIP/2.0"), "{second}");
    assert_ne!(field(&first, "Via:"), field(second, "Via:"));
    for name in ["Call-ID:", "CSeq:", "From:", "To:", "Max-Forwards:", "User-Agent:"] {
        assert_eq!(field(&first, name), field(second, name));
        assert_eq!(second.lines().filter(|line| line.starts_with(name)).count(), 1);
    }
    // The 503 comes again, since its ACK was lost: absorbed by what is left of the first transaction.
    bench.answer(&first, 503, "");
    bench.expect(&["10.0.0.2:5060 ACK"]);
    bench.answer(second, 200, "Contact: <sip:200@10.0.0.3>\r\n");
    bench.expect(&["10.0.0.3:5060 ACK"]);
    assert!(bench.out.events.iter().any(|e| matches!(e, Event::Answered { session: s, .. } if *s == session)));
    // The server that refused is left alone for the time it asked for.
    bench.out.events.clear();
    bench.run(Duration::from_secs(59));
    bench.sent();
    bench.invite(&["sip:one.example:5060"], 10);
    bench.expect(&["Ipv4(\"one.example\")"]);
    bench.resolve(&Question::Ipv4("one.example".to_owned()), &["10.0.0.2", "10.0.0.9"]);
    bench.expect(&["10.0.0.9:5060 INVITE"]);
}

#[test]
fn rfc_3263_4_3_a_server_that_is_silent_is_followed_by_the_next_and_the_last_has_the_whole_time() {
    let mut bench = Bench::udp();
    bench.invite(&TWO, 10);
    bench.run(Duration::from_millis(4_900));
    assert!(bench.sent().iter().all(|(line, _)| line == "10.0.0.2:5060 INVITE"), "it has some time");
    bench.run(Duration::from_millis(200));
    bench.expect(&["10.0.0.3:5060 INVITE"]);
    bench.run(Duration::from_secs(31));
    assert!(bench.sent().iter().all(|(line, _)| line == "10.0.0.3:5060 INVITE"), "the first is left alone");
    assert_eq!(bench.ended(), None, "timer B runs still");
    bench.run(Duration::from_secs(1));
    bench.sent();
    assert_eq!(bench.ended(), Some(Ended::Timeout));
    bench.run(Duration::from_secs(60));
    let counts = bench.endpoint.counts();
    assert_eq!((counts.sessions, counts.client_transactions), (0, 0));
}

/// Two servers, the first of which was left because it said nothing: both INVITEs.
fn left() -> (Bench, String, String) {
    let mut bench = Bench::udp();
    bench.invite(&TWO, 10);
    let first = bench.sent().remove(0).1;
    bench.run(Duration::from_millis(5_000));
    let second = bench.sent().pop().expect("the next server");
    assert_eq!(second.0, "10.0.0.3:5060 INVITE");
    (bench, first, second.1)
}

#[test]
fn a_server_that_rings_after_it_was_left_is_cancelled_once() {
    let (mut bench, first, second) = left();
    bench.answer(&first, 100, "");
    let cancel = bench.expect(&["10.0.0.2:5060 CANCEL"]).remove(0);
    assert_eq!(field(&cancel, "Via:"), field(&first, "Via:"), "9.1");
    bench.answer(&cancel, 200, "");
    bench.answer(&first, 180, "");
    bench.expect(&[]);
    bench.answer(&first, 487, "");
    bench.expect(&["10.0.0.2:5060 ACK"]);
    bench.answer(&second, 200, "Contact: <sip:200@10.0.0.3>\r\n");
    bench.expect(&["10.0.0.3:5060 ACK"]);
    assert_eq!(bench.ended(), None, "the call is the second server's");
    bench.run(Duration::from_secs(80));
    assert_eq!(bench.endpoint.counts().client_transactions, 0);
}

#[test]
fn a_server_that_answers_after_it_was_left_is_acknowledged_and_hung_up() {
    let (mut bench, first, second) = left();
    let ok = "Contact: <sip:200@10.0.0.2>\r\n";
    bench.answer(&first, 200, ok);
    bench.expect(&["10.0.0.2:5060 ACK", "10.0.0.2:5060 BYE"]);
    bench.answer(&first, 200, ok);
    bench.expect(&["10.0.0.2:5060 ACK"]);
    assert_eq!(bench.ended(), None);
    bench.answer(&second, 486, "");
    bench.expect(&["10.0.0.3:5060 ACK"]);
    assert!(matches!(bench.ended(), Some(Ended::Rejected { status: 486, .. })));
    bench.run(Duration::from_secs(80));
    let counts = bench.endpoint.counts();
    assert_eq!((counts.sessions, counts.client_transactions), (0, 0));
}

/// A dialog whose peer is a name with two addresses, and our re-INVITE to the first of them, which was left.
fn left_inside_a_dialog() -> (Bench, SessionId, String, String) {
    let mut bench = Bench::udp();
    let session = bench.invite(&TWO, 10);
    let invite = bench.sent().remove(0).1;
    bench.answer(&invite, 200, "Contact: <sip:200@far.example:5060>\r\n");
    bench.sent();
    let addresses = ["10.0.0.8", "10.0.0.9"].map(|text| text.parse().expect("an address")).into();
    let records = Records { addresses, ttl: Duration::from_secs(600), ..Records::default() };
    let question = Question::Ipv4("far.example".to_owned());
    bench.endpoint.handle_resolved(bench.now, &question, &records, &mut bench.out);
    assert_eq!(bench.sent().remove(0).0, "10.0.0.8:5060 ACK");
    bench.out.events.clear();
    let body = Some(Body::sdp("v=0"));
    bench.endpoint.offer(bench.now, session, body, Vec::new(), &mut bench.out).expect("the session is up");
    let first = bench.sent().remove(0);
    assert_eq!(first.0, "10.0.0.8:5060 INVITE");
    bench.run(Duration::from_millis(4_900));
    assert!(bench.sent().iter().all(|(line, _)| line == "10.0.0.8:5060 INVITE"), "it has some time");
    bench.run(Duration::from_millis(200));
    let second = bench.sent().pop().expect("the next server");
    assert_eq!(second.0, "10.0.0.9:5060 INVITE");
    assert_eq!(field(&first.1, "CSeq:"), field(&second.1, "CSeq:"), "the same request in another branch");
    (bench, session, first.1, second.1)
}

#[test]
fn rfc_3263_4_3_a_re_invite_goes_on_to_the_next_server_of_a_silent_peer() {
    let (mut bench, session, _, second) = left_inside_a_dialog();
    bench.answer(&second, 200, "Contact: <sip:200@far.example:5060>\r\n");
    let sent = bench.sent();
    assert!(sent.iter().any(|(line, _)| line.ends_with(" ACK")), "{sent:?}");
    let answered = |event: &Event| matches!(event, Event::Response { outcome: Ok(r), .. } if r.status == 200);
    assert!(bench.out.events.iter().any(answered));
    bench.run(Duration::from_secs(80));
    assert_eq!(bench.ended(), None, "the transaction that was left ends nothing");
    bench.endpoint.terminate(bench.now, session, None, &mut bench.out);
    bench.run(Duration::from_secs(80));
    let counts = bench.endpoint.counts();
    assert_eq!((counts.sessions, counts.client_transactions), (0, 0));
}

#[test]
fn a_re_invite_that_came_through_the_server_that_was_left_is_answered_all_the_same() {
    let (mut bench, session, first, second) = left_inside_a_dialog();
    bench.answer(&first, 200, "Contact: <sip:200@far.example:5060>\r\n");
    let sent = bench.sent();
    assert!(sent.iter().any(|(line, _)| line.ends_with(" ACK")), "{sent:?}");
    let answers = |bench: &Bench| bench.out.events.iter().filter(|e| matches!(e, Event::Response { .. })).count();
    assert_eq!(answers(&bench), 1);
    // The peer finds the second copy to be one of the first (8.2.2.2), which is no news.
    bench.answer(&second, 482, "");
    assert_eq!(answers(&bench), 1);
    bench.run(Duration::from_secs(80));
    assert_eq!(bench.ended(), None);
    bench.endpoint.terminate(bench.now, session, None, &mut bench.out);
    bench.run(Duration::from_secs(80));
    let counts = bench.endpoint.counts();
    assert_eq!((counts.sessions, counts.client_transactions), (0, 0));
}

#[test]
fn a_server_that_has_said_something_is_not_left() {
    let mut bench = Bench::udp();
    bench.invite(&TWO, 10);
    let first = bench.sent().remove(0).1;
    bench.answer(&first, 100, "");
    bench.run(Duration::from_secs(60));
    bench.expect(&[]);
}

#[test]
fn a_call_that_was_given_up_does_not_go_on_to_the_next_server() {
    let mut bench = Bench::udp();
    let session = bench.invite(&TWO, 10);
    bench.sent();
    bench.endpoint.terminate(bench.now, session, None, &mut bench.out);
    bench.run(Duration::from_secs(10));
    assert!(bench.sent().iter().all(|(line, _)| line == "10.0.0.2:5060 INVITE"));
}

#[test]
fn requests_in_a_dialog_go_where_the_name_in_its_contact_leads() {
    let mut bench = Bench::udp();
    let session = bench.invite(&["sip:10.0.0.2"], 10);
    let invite = bench.sent().remove(0).1;
    let ok = "Contact: <sip:200@phone.example:5070>\r\nContent-Type: application/sdp\r\n";
    bench.answer(&invite, 200, ok);
    // The ACK is no transaction, and is located all the same (13.2.2.4).
    bench.expect(&["Ipv4(\"phone.example\")"]);
    bench.answer(&invite, 200, ok);
    bench.expect(&[]);
    bench.resolve(&Question::Ipv4("phone.example".to_owned()), &["10.0.0.7"]);
    let ack = bench.expect(&["10.0.0.7:5070 ACK"]).remove(0);
    assert!(ack.starts_with("ACK sip:200@phone.example:5070 SIP/2.0\r\n"), "{ack}");
    bench.answer(&invite, 200, ok);
    assert_eq!(bench.expect(&["10.0.0.7:5070 ACK"]), [ack], "the same again");
    bench.endpoint.terminate(bench.now, session, None, &mut bench.out);
    let bye = bench.sent();
    let asked_or_sent: Vec<&str> = bye.iter().map(|(line, _)| line.as_str()).collect();
    assert_eq!(asked_or_sent, ["Ipv4(\"phone.example\")"], "the answer had no time to live");
    bench.resolve(&Question::Ipv4("phone.example".to_owned()), &["10.0.0.7"]);
    bench.expect(&["10.0.0.7:5070 BYE"]);
}

#[test]
fn a_name_that_leads_nowhere_is_followed_by_the_way_of_the_dialog() {
    let mut bench = Bench::udp();
    let session = bench.invite(&["sip:10.0.0.2"], 10);
    let invite = bench.sent().remove(0).1;
    bench.answer(&invite, 200, "Contact: <sip:200@laptop.local:5070>\r\n");
    bench.expect(&["Ipv4(\"laptop.local\")"]);
    bench.resolve(&Question::Ipv4("laptop.local".to_owned()), &[]);
    bench.expect(&["10.0.0.2:5060 ACK"]);
    bench.endpoint.terminate(bench.now, session, None, &mut bench.out);
    bench.expect(&["Ipv4(\"laptop.local\")"]);
    // And so is a host that does not answer there.
    bench.resolve(&Question::Ipv4("laptop.local".to_owned()), &["10.9.9.9"]);
    bench.expect(&["10.9.9.9:5070 BYE"]);
    bench.run(Duration::from_millis(5_000));
    let last = bench.sent().pop().expect("sent").0;
    assert_eq!(last, "10.0.0.2:5060 BYE");
}

#[test]
fn a_domain_of_several_servers_is_asked_first_at_the_one_that_has_the_dialog() {
    let mut bench = Bench::udp();
    bench.invite(&["sip:10.0.0.2"], 10);
    let invite = bench.sent().remove(0).1;
    bench.answer(&invite, 200, "Contact: <sip:200@cluster.example:5060>\r\n");
    bench.expect(&["Ipv4(\"cluster.example\")"]);
    bench.resolve(&Question::Ipv4("cluster.example".to_owned()), &["10.0.0.9", "10.0.0.2"]);
    bench.expect(&["10.0.0.2:5060 ACK"]);
}

#[test]
fn rfc_3263_4_3_a_server_that_cannot_be_reached_is_followed_by_the_next() {
    let mut bench = Bench::udp();
    bench.invite(&TWO, 10);
    bench.expect(&["10.0.0.2:5060 INVITE"]);
    let flow = |remote: &str| Flow {
        transport: Transport::Udp,
        local: address("10.0.0.1:5060"),
        remote: address(remote),
        connection: None,
    };
    bench.endpoint.handle_unreachable(bench.now, flow("10.0.0.2:5060"), &mut bench.out);
    bench.expect(&["10.0.0.3:5060 INVITE"]);
    bench.endpoint.handle_unreachable(bench.now, flow("10.0.0.3:5060"), &mut bench.out);
    assert_eq!(bench.ended(), Some(Ended::TransportFailure));
}

#[test]
fn the_503_of_the_last_server_is_the_outcome() {
    let mut bench = Bench::udp();
    bench.invite(&["sip:10.0.0.2"], 10);
    let first = bench.expect(&["10.0.0.2:5060 INVITE"]).remove(0);
    bench.answer(&first, 503, "");
    bench.expect(&["10.0.0.2:5060 ACK"]);
    assert!(matches!(bench.ended(), Some(Ended::Rejected { status: 503, .. })));
}

#[test]
fn other_failures_and_a_503_after_ringing_are_not_carried_elsewhere() {
    for (provisional, status) in [(None, 500), (None, 486), (Some(180), 503)] {
        let mut bench = Bench::udp();
        bench.invite(&TWO, 10);
        let first = bench.expect(&["10.0.0.2:5060 INVITE"]).remove(0);
        if let Some(provisional) = provisional {
            bench.answer(&first, provisional, "");
        }
        bench.answer(&first, status, "");
        bench.expect(&["10.0.0.2:5060 ACK"]);
        assert!(matches!(bench.ended(), Some(Ended::Rejected { status: s, .. }) if s == status), "{status}");
    }
}

#[test]
fn a_call_that_is_cancelled_is_not_carried_elsewhere() {
    let mut bench = Bench::udp();
    let session = bench.invite(&TWO, 10);
    let first = bench.expect(&["10.0.0.2:5060 INVITE"]).remove(0);
    bench.answer(&first, 100, "");
    bench.endpoint.terminate(bench.now, session, None, &mut bench.out);
    bench.expect(&["10.0.0.2:5060 CANCEL"]);
    bench.answer(&first, 503, "");
    bench.expect(&["10.0.0.2:5060 ACK"]);
}

#[test]
fn a_call_that_ends_while_its_server_is_located_sends_nothing() {
    let mut bench = Bench::udp();
    let session = bench.invite(&["sip:carrier.example:5060"], 10);
    bench.expect(&["Ipv4(\"carrier.example\")"]);
    bench.endpoint.terminate(bench.now, session, None, &mut bench.out);
    assert_eq!(bench.ended(), Some(Ended::Local));
    bench.resolve(&Question::Ipv4("carrier.example".to_owned()), &["10.0.0.2"]);
    bench.expect(&[]);
    bench.run(Duration::from_secs(60));
    let counts = bench.endpoint.counts();
    assert_eq!((counts.sessions, counts.client_transactions), (0, 0));
}

#[test]
fn a_name_that_leads_nowhere_or_is_never_answered_ends_the_call() {
    let mut bench = Bench::udp();
    bench.invite(&["sip:carrier.example:5060"], 10);
    bench.resolve(&Question::Ipv4("carrier.example".to_owned()), &[]);
    assert_eq!(bench.ended(), Some(Ended::TransportFailure));
    bench.invite(&["sip:silent.example:5060"], 10);
    bench.run(Duration::from_secs(29));
    assert_eq!(bench.ended(), None);
    bench.run(Duration::from_secs(2));
    assert_eq!(bench.ended(), Some(Ended::TransportFailure));
    assert_eq!(bench.endpoint.counts().client_transactions, 0);
}

#[test]
fn contact_and_via_name_the_listener_that_the_server_is_reached_from() {
    let listeners = [(Transport::Udp, "10.0.0.1:5060"), (Transport::Udp, "[2001:db8::1]:5062")];
    let mut bench = Bench::new(&listeners);
    bench.invite(&["sip:[2001:db8::2]"], 10);
    let text = bench.expect(&["[2001:db8::2]:5060 INVITE"]).remove(0);
    assert!(field(&text, "Via:").starts_with("Via: SIP/2.0/UDP [2001:db8::1]:5062;"), "{text}");
    assert_eq!(field(&text, "Contact:"), "Contact: <sip:100@[2001:db8::1]:5062>");
}

const WITH_TCP: [(Transport, &str); 2] = [(Transport::Udp, "10.0.0.1:5060"), (Transport::Tcp, "10.0.0.1:5060")];

#[test]
fn rfc_3261_18_1_1_a_large_request_goes_by_tcp_and_by_udp_when_that_cannot_be_opened() {
    let mut bench = Bench::new(&WITH_TCP);
    bench.invite(&["sip:10.0.0.2"], 1_300);
    bench.expect(&["open tcp 10.0.0.2:5060"]);
    bench.endpoint.handle_stream_closed(bench.now, ConnectionId(1), &mut bench.out);
    let text = bench.expect(&["10.0.0.2:5060 INVITE"]).remove(0);
    assert!(field(&text, "Via:").starts_with("Via: SIP/2.0/UDP 10.0.0.1:5060;"));
    assert_eq!(text.lines().filter(|line| line.starts_with("Via:")).count(), 1);
    // A host without TCP is not tried again for a while: each try may take seconds.
    bench.invite(&["sip:10.0.0.2"], 1_300);
    bench.expect(&["10.0.0.2:5060 INVITE"]);
    bench.invite(&["sip:10.0.0.4"], 10);
    bench.expect(&["10.0.0.4:5060 INVITE"]);
}

#[test]
fn rfc_3261_18_1_1_over_tcp_the_via_says_so() {
    let mut bench = Bench::new(&WITH_TCP);
    bench.invite(&["sip:10.0.0.2"], 1_300);
    bench.expect(&["open tcp 10.0.0.2:5060"]);
    let flow = Flow {
        transport: Transport::Tcp,
        local: address("10.0.0.1:40000"),
        remote: address("10.0.0.2:5060"),
        connection: Some(ConnectionId(1)),
    };
    bench.endpoint.handle_stream_opened(bench.now, ConnectionId(1), flow, &mut bench.out);
    let text = bench.expect(&["#1 INVITE"]).remove(0);
    assert!(field(&text, "Via:").starts_with("Via: SIP/2.0/TCP 10.0.0.1:5060;"), "{text}");
    assert!(field(&text, "Via:").contains(";alias"), "RFC 5923 5");
}

#[test]
fn the_edge_of_a_datagram_is_1300_bytes() {
    let sizes = |body: usize| {
        let mut bench = Bench::new(&WITH_TCP);
        bench.invite(&["sip:10.0.0.2"], body);
        bench.sent().remove(0)
    };
    let (_, small) = sizes(100);
    let room = limits::SIP_DATAGRAM_BYTES - small.len();
    // One more digit stands in Content-Length.
    let (line, text) = sizes(100 + room - 1);
    assert!(text.len() <= limits::SIP_DATAGRAM_BYTES && line.ends_with("INVITE"), "{line} {}", text.len());
    assert!(sizes(100 + room + 1).0.starts_with("open tcp"));
}

#[test]
fn tls_is_opened_for_the_domain_of_the_uri() {
    let mut bench = Bench::new(&[(Transport::Tls, "10.0.0.1:5061")]);
    bench.invite(&["sips:carrier.example:5071"], 10);
    bench.expect(&["Ipv4(\"carrier.example\")"]);
    bench.resolve(&Question::Ipv4("carrier.example".to_owned()), &["10.0.0.2"]);
    assert_eq!(bench.expect(&["open tls 10.0.0.2:5071"]), ["carrier.example"]);
    let flow = Flow {
        transport: Transport::Tls,
        local: address("10.0.0.1:40000"),
        remote: address("10.0.0.2:5071"),
        connection: Some(ConnectionId(1)),
    };
    bench.endpoint.handle_stream_opened(bench.now, ConnectionId(1), flow, &mut bench.out);
    let text = bench.expect(&["#1 INVITE"]).remove(0);
    assert!(field(&text, "Via:").starts_with("Via: SIP/2.0/TLS 10.0.0.1:5061;"), "{text}");
    assert_eq!(field(&text, "Contact:"), "Contact: <sips:100@10.0.0.1:5061>", "RFC 3261 8.1.1.8");
}

#[test]
fn a_request_outside_of_dialogs_goes_to_the_next_server_too() {
    let mut bench = Bench::udp();
    let request = OutgoingRequest {
        method: Method::Options,
        target: "sip:10.0.0.2".parse().expect("a URI"),
        next_hop: NextHop::Uris(TWO.map(|uri| uri.parse().expect("a URI")).into()),
        from: NameAddr::new("sip:gw.example".parse().expect("a URI")),
        to: NameAddr::new("sip:10.0.0.2".parse().expect("a URI")),
        contact_user: None,
        sequence: None,
        headers: vec![Header::new(HeaderName::Accept, "application/sdp")],
        body: None,
        credentials: None,
    };
    let id = bench.endpoint.request(bench.now, request, &mut bench.out);
    let first = bench.expect(&["10.0.0.2:5060 OPTIONS"]).remove(0);
    bench.answer(&first, 503, "");
    let second = bench.expect(&["10.0.0.3:5060 OPTIONS"]).remove(0);
    assert!(bench.out.events.is_empty());
    bench.answer(&second, 200, "");
    let [Event::Response { request, outcome: Ok(response), .. }] = bench.out.events.as_slice() else {
        panic!("{:?}", bench.out.events)
    };
    assert_eq!((*request, response.status), (id, 200));
    bench.run(Duration::from_secs(60));
    assert_eq!(bench.endpoint.counts().client_transactions, 0);
}
