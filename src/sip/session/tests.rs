mod expiry;
mod glare;
mod lossy;
mod pair;
mod reliable;

use super::super::transaction::{ClientMachine, ServerMachine};
use super::super::*;
use crate::time::Instant;
use pair::{CALLEE, CALLER, Pair};

const BOTH: [Transport; 2] = [Transport::Udp, Transport::Tcp];

fn sdp(text: &str) -> Option<Body> {
    Some(Body::sdp(text))
}

#[test]
fn a_call_is_set_up_and_the_caller_hangs_up() {
    for transport in BOTH {
        let mut pair = Pair::new(transport);
        let (caller, callee) = pair.call(sdp("offer"));
        pair.check(CALLEE, &["incoming offer"]);
        pair.act(CALLEE, |e, now, out| e.progress(now, callee, 180, None, vec![], out));
        pair.act(CALLEE, |e, now, out| e.progress(now, callee, 183, sdp("early"), vec![], out));
        pair.run_ms(5);
        pair.check(CALLER, &["progress 180 -", "progress 183 early"]);
        pair.act(CALLEE, |e, now, out| e.accept(now, callee, sdp("answer"), out));
        pair.run_ms(5);
        pair.check(CALLER, &["answered answer"]);
        pair.check(CALLEE, &["established -"]);
        pair.act(CALLER, |e, now, out| e.terminate(now, caller, Some(Reason::q850(16)), out));
        pair.check(CALLER, &["ended Local"]);
        pair.run_ms(5);
        match pair.events[CALLEE].as_slice() {
            [Event::Ended { how: Ended::Bye { request }, .. }] => assert_eq!(request.reasons(), [Reason::q850(16)]),
            other => panic!("{other:?}"),
        }
        assert!(pair.log.iter().all(|line| !line.contains("100 Trying")), "answered within 200 ms");
        pair.check_empty();
        assert_eq!(pair.count("0 ACK"), 1);
        assert_eq!(pair.count("0 BYE"), 1);
    }
}

#[test]
fn the_callee_hangs_up() {
    for transport in BOTH {
        let (mut pair, _, callee) = Pair::established(transport);
        pair.act(CALLEE, |e, now, out| e.terminate(now, callee, None, out));
        pair.run_ms(5);
        pair.check(CALLER, &["ended bye"]);
        pair.check(CALLEE, &["ended Local"]);
        pair.check_empty();
        assert_eq!(
            pair.log,
            ["1 BYE sip:alice@10.0.0.1:5060 SIP/2.0", "0 SIP/2.0 200 OK"].map(|line| match transport {
                Transport::Udp => line.to_owned(),
                stream => line.replace(":5060", &format!(":5060;transport={}", stream.word())),
            })
        );
    }
}

#[test]
fn both_hang_up_at_once() {
    let (mut pair, caller, callee) = Pair::established(Transport::Udp);
    pair.act(CALLEE, |e, now, out| e.terminate(now, callee, None, out));
    pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
    pair.run_ms(5);
    pair.check(CALLER, &["ended Local"]);
    pair.check(CALLEE, &["ended Local"]);
    assert_eq!(pair.count("0 SIP/2.0 200") + pair.count("1 SIP/2.0 200"), 2);
    pair.check_empty();
}

#[test]
fn the_offer_may_come_in_the_200() {
    for transport in BOTH {
        let mut pair = Pair::new(transport);
        let (caller, callee) = pair.call(None);
        pair.act(CALLEE, |e, now, out| e.accept(now, callee, sdp("offer"), out));
        pair.run_ms(5);
        pair.check(CALLER, &["answered offer"]);
        assert_eq!(pair.count("0 ACK"), 0, "the answer is the application's");
        pair.run_ms(600);
        assert_eq!(pair.count("1 SIP/2.0 200"), 2, "repeated, over TCP too");
        pair.act(CALLER, |e, now, out| e.acknowledge(now, caller, sdp("answer"), out));
        pair.run_ms(5);
        pair.check(CALLEE, &["incoming -", "established answer"]);
        pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
        pair.check_empty();
    }
}

#[test]
fn an_owed_ack_is_sent_before_bye() {
    let mut pair = Pair::new(Transport::Udp);
    let (caller, callee) = pair.call(None);
    pair.act(CALLEE, |e, now, out| e.accept(now, callee, sdp("offer"), out));
    pair.run_ms(5);
    pair.log.clear();
    pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
    assert_eq!(pair.log.len(), 2);
    assert!(pair.log[0].starts_with("0 ACK") && pair.log[1].starts_with("0 BYE"), "{:?}", pair.log);
    pair.check_empty();
    pair.check(CALLEE, &["incoming -", "established -", "ended bye"]);
}

#[test]
fn a_refusal_is_repeated_until_its_ack() {
    let mut pair = Pair::new(Transport::Udp);
    let mut acks = 0;
    pair.loses = Box::new(move |_, line| {
        acks += usize::from(line.starts_with("ACK"));
        line.starts_with("ACK") && acks <= 2
    });
    let (_, callee) = pair.call(sdp("offer"));
    let reason = Header::new(HeaderName::Reason, Reason::q850(17));
    pair.act(CALLEE, |e, now, out| e.reject(now, callee, 486, vec![reason], out));
    pair.check(CALLEE, &["incoming offer", "ended Local"]);
    pair.run_ms(10);
    match pair.events[CALLER].as_slice() {
        [Event::Ended { how: Ended::Rejected { status: 486, response }, .. }] => {
            assert_eq!(response.reasons(), [Reason::q850(17)]);
        }
        other => panic!("{other:?}"),
    }
    pair.check_empty();
    assert_eq!((pair.count("1 SIP/2.0 486"), pair.count("0 ACK")), (3, 3));
}

#[test]
fn cancel_waits_for_a_provisional_response() {
    for transport in BOTH {
        let mut pair = Pair::new(transport);
        let (caller, _) = pair.call(sdp("offer"));
        pair.act(CALLER, |e, now, out| e.terminate(now, caller, Some(Reason::sip(200)), out));
        pair.check(CALLER, &["ended Local"]);
        pair.run_ms(100);
        assert_eq!(pair.count("0 CANCEL"), 0);
        pair.run_ms(110);
        assert_eq!(pair.count("1 SIP/2.0 100"), 1, "after 200 ms");
        assert_eq!(pair.count("0 CANCEL"), 1);
        pair.check_empty();
        pair.check(CALLER, &[]);
        match pair.events[CALLEE].as_slice() {
            [_, Event::Ended { how: Ended::Cancelled { request }, .. }] => {
                assert_eq!(request.reasons(), [Reason::sip(200)]);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(pair.count("1 SIP/2.0 487"), 1);
    }
}

#[test]
fn a_200_that_crosses_cancel_is_acknowledged_and_ended_by_bye() {
    let mut pair = Pair::new(Transport::Udp);
    let (caller, callee) = pair.call(sdp("offer"));
    pair.act(CALLEE, |e, now, out| e.progress(now, callee, 180, None, vec![], out));
    pair.run_ms(5);
    pair.act(CALLEE, |e, now, out| e.accept(now, callee, sdp("answer"), out));
    pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
    pair.run_ms(5);
    pair.check(CALLER, &["progress 180 -", "ended Local"]);
    pair.check(CALLEE, &["incoming offer", "established -", "ended bye"]);
    assert_eq!((pair.count("0 CANCEL"), pair.count("0 ACK"), pair.count("0 BYE")), (1, 1, 1));
    pair.check_empty();
}

#[test]
fn a_lost_ack_is_sent_again_when_the_200_comes_again() {
    let mut pair = Pair::new(Transport::Udp);
    let mut acks = 0;
    pair.loses = Box::new(move |_, line| {
        acks += usize::from(line.starts_with("ACK"));
        line.starts_with("ACK") && acks <= 3
    });
    let (caller, callee) = pair.call(sdp("offer"));
    pair.act(CALLEE, |e, now, out| e.accept(now, callee, sdp("answer"), out));
    pair.run_ms(3000);
    assert_eq!(pair.count("1 SIP/2.0 200"), 3, "0, 500 and 1500 ms");
    pair.run_ms(1000);
    pair.check(CALLEE, &["incoming offer", "established -"]);
    pair.check(CALLER, &["answered answer"]);
    pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
    pair.check_empty();
}

#[test]
fn a_200_without_ack_ends_by_bye_after_64_t1() {
    let mut pair = Pair::new(Transport::Udp);
    pair.loses = Box::new(|_, line| line.starts_with("ACK"));
    let (_, callee) = pair.call(sdp("offer"));
    pair.act(CALLEE, |e, now, out| e.accept(now, callee, sdp("answer"), out));
    pair.run_ms(31_990);
    pair.check(CALLEE, &["incoming offer"]);
    pair.run_ms(100);
    pair.check(CALLEE, &["ended AckMissing"]);
    pair.check(CALLER, &["answered answer", "ended bye"]);
    pair.check_empty();
}

#[test]
fn terminating_before_the_ack_waits_for_it() {
    let mut pair = Pair::new(Transport::Udp);
    let (_, callee) = pair.call(sdp("offer"));
    pair.act(CALLEE, |e, now, out| e.accept(now, callee, sdp("answer"), out));
    pair.act(CALLEE, |e, now, out| e.terminate(now, callee, None, out));
    assert_eq!(pair.count("1 BYE"), 0);
    pair.run_ms(5);
    pair.check(CALLEE, &["incoming offer", "ended Local"]);
    pair.check(CALLER, &["answered answer", "ended bye"]);
    pair.check_empty();
}

#[test]
fn an_invite_that_nobody_answers_times_out() {
    let mut pair = Pair::new(Transport::Udp);
    pair.loses = Box::new(|_, _| true);
    let invite = pair.outgoing(None);
    pair.act(CALLER, |e, now, out| e.invite(now, invite, out));
    pair.run_ms(31_999);
    pair.check(CALLER, &[]);
    pair.run_ms(2);
    pair.check(CALLER, &["ended Timeout"]);
    assert_eq!(pair.count("0 INVITE"), 7);
    pair.check_empty();
}

#[test]
fn an_invite_that_rings_too_long_is_cancelled() {
    let mut pair = Pair::new(Transport::Udp);
    let (_, callee) = pair.call(None);
    pair.act(CALLEE, |e, now, out| e.progress(now, callee, 180, None, vec![], out));
    pair.run_ms(61_000);
    assert_eq!(pair.count("1 SIP/2.0 180"), 2, "every minute");
    pair.loses = Box::new(|_, line| line.contains(" 180 "));
    pair.run_ms(300_000);
    assert_eq!(pair.take(CALLER).last().unwrap(), "ended Timeout");
    pair.check_empty();
    pair.check(CALLEE, &["incoming -", "ended cancelled"]);
}

#[test]
fn unreachable_peers_and_lost_connections_are_reported() {
    let mut pair = Pair::new(Transport::Udp);
    let invite = pair.outgoing(None);
    pair.act(CALLER, |e, now, out| e.invite(now, invite, out));
    let flow = pair.flow(CALLER);
    pair.act(CALLER, |e, now, out| e.handle_unreachable(now, flow, out));
    pair.check(CALLER, &["ended TransportFailure"]);

    let mut pair = Pair::new(Transport::Tcp);
    let invite = pair.outgoing(None);
    pair.act(CALLER, |e, now, out| e.invite(now, invite, out));
    pair.act(CALLER, |e, now, out| e.handle_stream_closed(now, ConnectionId(1), out));
    pair.check(CALLER, &["ended TransportFailure"]);
    assert_eq!(pair.ends[CALLER].counts().connections, 0);
}

#[test]
fn offers_in_a_dialog_reach_the_application_and_are_acknowledged() {
    for transport in BOTH {
        let (mut pair, caller, callee) = Pair::established(transport);
        let request =
            pair.act(CALLEE, |e, now, out| e.request_in_dialog(now, callee, Method::Invite, sdp("hold"), vec![], out));
        assert!(request.is_some());
        let second =
            pair.act(CALLEE, |e, now, out| e.request_in_dialog(now, callee, Method::Update, sdp("more"), vec![], out));
        assert_eq!(second, None, "one offer at a time");
        pair.run_ms(5);
        let server = pair.waiting(CALLER);
        pair.check(CALLER, &["offer INVITE hold"]);
        pair.act(CALLER, |e, now, out| e.reply(now, server, Response::new(200).with_body(sdp("held")), out));
        pair.run_ms(5);
        pair.check(CALLEE, &["response 200"]);
        pair.check(CALLER, &["acknowledged -"]);
        pair.act(CALLER, |e, now, out| e.request_in_dialog(now, caller, Method::Update, sdp("video"), vec![], out));
        pair.run_ms(5);
        let server = pair.waiting(CALLEE);
        pair.check(CALLEE, &["offer UPDATE video"]);
        pair.act(CALLEE, |e, now, out| e.reply(now, server, Response::new(488), out));
        pair.run_ms(5);
        pair.check(CALLER, &["response 488"]);
        pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
        pair.check_empty();
    }
}

#[test]
fn a_re_invite_without_offer_leaves_the_ack_to_the_application() {
    let (mut pair, caller, callee) = Pair::established(Transport::Udp);
    pair.act(CALLER, |e, now, out| e.request_in_dialog(now, caller, Method::Invite, None, vec![], out));
    pair.run_ms(5);
    let server = pair.waiting(CALLEE);
    pair.act(CALLEE, |e, now, out| e.reply(now, server, Response::new(200).with_body(sdp("offer")), out));
    pair.run_ms(5);
    pair.check(CALLER, &["response 200"]);
    let early = pair.act(CALLEE, |e, now, out| e.request_in_dialog(now, callee, Method::Invite, None, vec![], out));
    assert_eq!(early, None, "its own offer is not answered yet");
    pair.act(CALLER, |e, now, out| e.acknowledge(now, caller, sdp("answer"), out));
    pair.run_ms(5);
    pair.check(CALLEE, &["offer INVITE -", "acknowledged answer"]);
    pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
    pair.check_empty();
}

#[test]
fn offers_that_cross_are_refused_with_491() {
    let (mut pair, caller, callee) = Pair::established(Transport::Udp);
    for (end, session) in [(CALLER, caller), (CALLEE, callee)] {
        pair.act(end, |e, now, out| e.request_in_dialog(now, session, Method::Invite, sdp("mine"), vec![], out));
    }
    pair.run_ms(5);
    pair.check(CALLER, &["response 491"]);
    pair.check(CALLEE, &["response 491"]);
    pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
    pair.check_empty();
}

#[test]
fn other_requests_in_a_dialog_are_passed_up() {
    let (mut pair, caller, _) = Pair::established(Transport::Udp);
    let body = Some(Body { content_type: "application/dtmf-relay".into(), bytes: b"Signal=5".to_vec() });
    pair.act(CALLER, |e, now, out| e.request_in_dialog(now, caller, Method::Info, body, vec![], out));
    pair.run_ms(5);
    let server = pair.waiting(CALLEE);
    pair.check(CALLEE, &["request INFO"]);
    pair.act(CALLEE, |e, now, out| e.reply(now, server, Response::new(200), out));
    pair.act(CALLEE, |e, now, out| e.reply(now, server, Response::new(500), out));
    pair.run_ms(5);
    pair.check(CALLER, &["response 200"]);
    assert_eq!(pair.count("1 SIP/2.0"), 1, "a second reply is ignored");
    pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
    pair.check_empty();
}

#[test]
fn a_session_whose_peer_forgot_it_ends() {
    let (mut pair, caller, callee) = Pair::established(Transport::Udp);
    pair.loses = Box::new(|_, line| line.starts_with("BYE"));
    pair.act(CALLEE, |e, now, out| e.terminate(now, callee, None, out));
    pair.run_ms(33_000);
    pair.check(CALLEE, &["ended Local"]);
    pair.loses = Box::new(|_, _| false);
    pair.act(CALLER, |e, now, out| e.request_in_dialog(now, caller, Method::Info, None, vec![], out));
    pair.run_ms(5);
    pair.check(CALLER, &["response 481", "ended 481"]);
    pair.check_empty();
}

#[test]
fn a_pending_request_of_the_peer_is_answered_when_the_session_ends() {
    let (mut pair, caller, callee) = Pair::established(Transport::Udp);
    pair.act(CALLER, |e, now, out| e.request_in_dialog(now, caller, Method::Invite, sdp("x"), vec![], out));
    pair.run_ms(5);
    pair.act(CALLEE, |e, now, out| e.terminate(now, callee, None, out));
    pair.check_empty();
    assert_eq!(pair.count("1 SIP/2.0 487"), 1);
    let events = pair.take(CALLER);
    assert_eq!(events.iter().filter(|e| e.starts_with("ended")).count(), 1, "{events:?}");
    assert_eq!(events.iter().filter(|e| e.starts_with("response") || e.starts_with("failed")).count(), 1, "{events:?}");
}

#[test]
fn challenges_are_answered_once() {
    let mut pair = Pair::new(Transport::Udp);
    let mut invite = pair.outgoing(sdp("offer"));
    invite.credentials = Some(Credentials {
        username: "201".into(),
        password: "secret".into(),
        realm: Some("tipring".into()),
        peer: "peer".into(),
    });
    let mut authenticator =
        digest::Authenticator::new("tipring", Duration::from_secs(60), &crate::rng::Seed::from_number(1));
    pair.act(CALLER, |e, now, out| e.invite(now, invite, out));
    pair.run_ms(5);
    let first = pair.incoming();
    let now = pair.now;
    let peer = std::net::IpAddr::from([127, 0, 0, 1]);
    let challenge = authenticator.challenge(
        now,
        peer,
        &[digest::Algorithm::Sha256, digest::Algorithm::Md5],
        digest::server::Form::default(),
    );
    pair.act(CALLEE, |e, now, out| e.reject(now, first, 401, challenge, out));
    pair.events[CALLEE].clear();
    pair.run_ms(5);
    let second = pair.incoming();
    let Event::Incoming { request, .. } = &pair.events[CALLEE][0] else { panic!() };
    assert_eq!(request.cseq().unwrap().number, 2);
    let account = digest::Account {
        username: "201".into(),
        secret: digest::Secret::new("201", "tipring", "secret"),
        algorithms: vec![digest::Algorithm::Sha256],
        without_qop: false,
    };
    let given = authenticator.credentials(request.headers.all(&HeaderName::Authorization));
    let covered = digest::Covered { method: b"INVITE", body: &request.body };
    assert_eq!(authenticator.verify(pair.now, peer, given, Some(&account), covered), digest::Verdict::Accepted);
    pair.act(CALLEE, |e, now, out| e.accept(now, second, sdp("answer"), out));
    pair.run_ms(5);
    pair.check(CALLER, &["answered answer"]);
    pair.act(CALLEE, |e, now, out| e.terminate(now, second, None, out));
    pair.check_empty();
    pair.check(CALLER, &["ended bye"]);
}

#[test]
fn requests_outside_of_dialogs_get_their_response() {
    for transport in BOTH {
        let mut pair = Pair::new(transport);
        let invite = pair.outgoing(None);
        let request = OutgoingRequest {
            method: Method::Options,
            target: invite.target,
            next_hop: invite.next_hop,
            from: invite.from,
            to: invite.to,
            contact_user: None,
            sequence: None,
            headers: vec![],
            body: None,
            credentials: None,
        };
        pair.act(CALLER, |e, now, out| e.request(now, request.clone(), out));
        pair.run_ms(5);
        let server = pair.waiting(CALLEE);
        pair.check(CALLEE, &["request OPTIONS"]);
        let response = pair.ends[CALLEE].capabilities();
        pair.act(CALLEE, |e, now, out| e.reply(now, server, response, out));
        pair.run_ms(5);
        let [Event::Response { outcome: Ok(response), session: None, .. }] = pair.events[CALLER].as_slice() else {
            panic!()
        };
        assert!(response.headers.tokens(&HeaderName::Allow).contains(&"INVITE".to_owned()));
        pair.take(CALLER);
        pair.check_empty();
        pair.loses = Box::new(|_, _| true);
        if transport == Transport::Udp {
            pair.act(CALLER, |e, now, out| e.request(now, request, out));
            pair.check_empty();
            pair.check(CALLER, &["failed Timeout"]);
        }
    }
}

/// One endpoint and a peer whose messages are written by hand.
struct Scripted {
    endpoint: Endpoint,
    now: Instant,
    events: Vec<Event>,
    sent: Vec<String>,
}

impl Scripted {
    fn new() -> Scripted {
        let listeners = vec![(Transport::Udp, pair::address(CALLER))];
        let settings = Settings { listeners, ..Settings::default() };
        let endpoint = Endpoint::new(settings, &crate::rng::Seed::from_number(3));
        Scripted { endpoint, now: Instant::from_millis(1), events: vec![], sent: vec![] }
    }

    fn act<R>(&mut self, f: impl FnOnce(&mut Endpoint, Instant, &mut Actions) -> R) -> R {
        let mut out = Actions::default();
        let result = f(&mut self.endpoint, self.now, &mut out);
        self.events.append(&mut out.events);
        self.sent.extend(out.sends.into_iter().map(|send| match send {
            Send::Datagram { bytes, .. } => String::from_utf8(bytes).unwrap(),
            other => panic!("{other:?}"),
        }));
        result
    }

    fn receive(&mut self, text: &str) {
        let flow = Flow {
            transport: Transport::Udp,
            local: pair::address(CALLER),
            remote: pair::address(CALLEE),
            connection: None,
        };
        self.act(|e, now, out| e.handle_datagram(now, flow, text.as_bytes(), out));
    }

    fn starts(&mut self) -> Vec<String> {
        self.sent.drain(..).map(|m| m.lines().next().unwrap().to_owned()).collect()
    }

    fn request(&mut self, method: &str, branch: &str, to: &str, more: &str) -> Vec<String> {
        self.receive(&format!(
            "{method} sip:101@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK{branch}\r\nFrom: <sip:b@h>;tag=f\r\nTo: {to}\r\nCall-ID: c\r\nCSeq: 1 {method}\r\nContact: <sip:b@10.0.0.2>\r\n{more}\r\n"
        ));
        self.starts()
    }
}

/// A response written by hand: what it copies from a request of ours, a tag of the peer, more fields.
fn response_to(request: &str, status: &str, tag: &str, more: &str) -> String {
    let copied = ["Via", "From", "Call-ID", "CSeq"];
    let lines = request.lines().filter(|l| copied.iter().any(|name| l.starts_with(name)));
    let copied: String = lines.map(|line| format!("{line}\r\n")).collect();
    format!("SIP/2.0 {status}\r\n{copied}To: <sip:b@h>;tag={tag}\r\nContact: <sip:b@10.0.0.2>\r\n{more}\r\n")
}

#[test]
fn surplus_branches_of_a_fork_get_ack_and_bye() {
    let mut it = Scripted::new();
    let invite = Pair::new(Transport::Udp).outgoing(sdp("offer"));
    it.act(|e, now, out| e.invite(now, invite, out));
    let sent = it.sent.pop().unwrap();
    let answer = |tag: &str| {
        let mut response = String::from("SIP/2.0 200 OK\r\n");
        for line in sent.lines().filter(|l| ["Via", "From", "Call-", "CSeq"].iter().any(|n| l.starts_with(n))) {
            response += &format!("{line}\r\n");
        }
        response + &format!("To: <sip:b@h>;tag={tag}\r\nContact: <sip:b@10.0.0.2>\r\nContent-Length: 0\r\n\r\n")
    };
    it.receive(&answer("one"));
    assert_eq!(it.starts(), ["ACK sip:b@10.0.0.2 SIP/2.0"]);
    it.receive(&answer("two"));
    assert_eq!(it.starts(), ["ACK sip:b@10.0.0.2 SIP/2.0", "BYE sip:b@10.0.0.2 SIP/2.0"]);
    it.receive(&answer("two"));
    it.receive(&answer("one"));
    assert_eq!(it.starts(), ["ACK sip:b@10.0.0.2 SIP/2.0"; 2], "each again, without another BYE");
    assert!(matches!(it.events.as_slice(), [Event::Answered { .. }]), "{:?}", it.events);
}

#[test]
fn repeated_and_merged_requests_are_told_apart() {
    let mut it = Scripted::new();
    assert!(it.request("INVITE", "1", "<sip:a@h>", "").is_empty());
    let [Event::Incoming { session, .. }] = it.events[..] else { panic!() };
    assert!(it.request("INVITE", "1", "<sip:a@h>", "").is_empty(), "nothing to repeat yet");
    assert_eq!(it.request("INVITE", "2", "<sip:a@h>", ""), ["SIP/2.0 482 Loop Detected"]);
    it.act(|e, now, out| e.progress(now, session, 180, None, vec![], out));
    it.sent.clear();
    assert_eq!(it.request("INVITE", "1", "<sip:a@h>", ""), ["SIP/2.0 180 Ringing"]);
    assert_eq!(it.events.len(), 1);
}

#[test]
fn requests_for_unknown_dialogs_and_transactions_get_481() {
    let mut it = Scripted::new();
    for method in ["BYE", "INFO", "UPDATE", "INVITE", "OPTIONS"] {
        assert_eq!(
            it.request(method, method, "<sip:a@h>;tag=none", ""),
            ["SIP/2.0 481 Call/Transaction Does Not Exist"]
        );
    }
    assert_eq!(it.request("BYE", "b", "<sip:a@h>", ""), ["SIP/2.0 481 Call/Transaction Does Not Exist"]);
    assert_eq!(it.request("CANCEL", "c", "<sip:a@h>", ""), ["SIP/2.0 481 Call/Transaction Does Not Exist"]);
    assert!(it.request("ACK", "d", "<sip:a@h>;tag=none", "").is_empty());
    assert!(it.events.is_empty());
}

#[test]
fn cancel_and_bye_end_a_ringing_call() {
    let mut it = Scripted::new();
    it.request("INVITE", "1", "<sip:a@h>", "");
    let answers = it.request("CANCEL", "1", "<sip:a@h>", "Reason: Q.850;cause=16\r\n");
    assert_eq!(answers, ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]);
    assert!(
        matches!(&it.events[1], Event::Ended { how: Ended::Cancelled { request }, .. } if request.reasons() == [Reason::q850(16)])
    );
    assert_eq!(it.request("CANCEL", "1", "<sip:a@h>", ""), ["SIP/2.0 200 OK"], "repeated");
    let tag = |m: &String| m.lines().find(|l| l.starts_with("To:")).unwrap().split("tag=").nth(1).unwrap().to_owned();

    let mut it = Scripted::new();
    it.request("INVITE", "1", "<sip:a@h>", "");
    let Event::Incoming { session, .. } = it.events[0] else { panic!() };
    it.act(|e, now, out| e.progress(now, session, 180, None, vec![], out));
    let to = format!("<sip:a@h>;tag={}", tag(&it.sent.pop().unwrap()));
    it.receive(&format!(
        "BYE sip:101@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK9\r\nFrom: <sip:b@h>;tag=f\r\nTo: {to}\r\nCall-ID: c\r\nCSeq: 2 BYE\r\n\r\n"
    ));
    assert_eq!(it.starts(), ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]);
    assert!(matches!(it.events[1], Event::Ended { how: Ended::Bye { .. }, .. }));
}

#[test]
fn new_calls_over_the_limit_get_503() {
    let mut it = Scripted::new();
    it.endpoint.settings.sessions_max = 1;
    it.request("INVITE", "1", "<sip:a@h>", "");
    it.receive("INVITE sip:101@h SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK2\r\nFrom: <sip:b@h>;tag=g\r\nTo: <sip:a@h>\r\nCall-ID: d\r\nCSeq: 1 INVITE\r\n\r\n");
    let refused = it.sent.pop().unwrap();
    assert!(refused.starts_with("SIP/2.0 503") && refused.contains("\r\nRetry-After: "), "{refused}");
}

#[test]
fn requests_over_the_limit_get_503_until_the_answered_ones_are_forgotten() {
    let options = |n: usize| {
        format!(
            "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK{n}\r\nFrom: <sip:b@h>;tag=g\r\nTo: <sip:h>\r\nCall-ID: {n}\r\nCSeq: 1 OPTIONS\r\n\r\n"
        )
    };
    let mut it = Scripted::new();
    it.endpoint.settings.transactions_max = 2;
    for n in 1..=2 {
        it.receive(&options(n));
        assert!(it.sent.is_empty(), "the application answers them");
    }
    it.receive(&options(3));
    let refused = it.sent.pop().unwrap();
    assert!(refused.starts_with("SIP/2.0 503") && refused.contains("\r\nRetry-After: "), "{refused}");
    it.receive(&options(1));
    assert!(it.sent.is_empty(), "a repetition is none");
}

#[test]
fn of_an_answered_call_little_is_kept_until_its_timers_have_run() {
    let (pair, ..) = Pair::established(Transport::Udp);
    let (_, client) = pair.ends[CALLER].table.clients.iter().next().expect("timer M runs");
    assert!(client.bytes.is_empty() && client.request.body.is_empty() && client.describes);
    assert!(client.request.headers.has(&HeaderName::From), "a 2xx of another branch makes a dialog with it");
    assert!(!client.request.headers.has(&HeaderName::Allow));
    let (_, server) = pair.ends[CALLEE].table.servers.iter().next().expect("timer L runs");
    assert!(server.last.is_empty() && server.request.body.is_empty(), "the ACK came");
}

#[test]
fn transactions_are_of_the_kind_of_their_method() {
    let mut it = Scripted::new();
    it.request("INVITE", "1", "<sip:a@h>", "");
    let invite = Pair::new(Transport::Udp).outgoing(None);
    it.act(|e, now, out| e.invite(now, invite, out));
    assert!(it.endpoint.table.servers.iter().all(|(_, s)| matches!(s.machine, ServerMachine::Invite(_))));
    assert!(it.endpoint.table.clients.iter().all(|(_, c)| matches!(c.machine, ClientMachine::Invite(_))));
}

#[test]
fn what_a_call_asked_to_be_woken_for_is_forgotten_with_it() {
    let mut pair = Pair::new(Transport::Udp);
    for _ in 0..300 {
        let (_, callee) = pair.call(None);
        pair.act(CALLEE, |e, now, out| e.reject(now, callee, 486, vec![], out));
        pair.run_ms(5);
        pair.events[CALLEE].clear();
    }
    pair.run_ms(40_000);
    for end in [CALLER, CALLEE] {
        let counts = pair.ends[end].counts();
        assert!(counts.sessions == 0 && counts.deadlines <= 64, "ring_max has 260 s to go: {counts:?}");
    }
    pair.check_empty();
}

#[test]
fn bytes_of_a_closed_connection_do_not_bring_it_back() {
    let mut endpoint = Endpoint::new(Settings::default(), &crate::rng::Seed::from_number(1));
    let connection = Some(ConnectionId(ConnectionId::ACCEPTED));
    let flow =
        Flow { transport: Transport::Tcp, local: pair::address(CALLER), remote: pair::address(CALLEE), connection };
    let mut out = Actions::default();
    endpoint.handle_stream_bytes(Instant::ZERO, flow, b"OPTIONS sip:h SIP/2.0\r\n\r\n", &mut out);
    assert!(matches!(out.sends.last(), Some(Send::CloseStream { .. })));
    endpoint.handle_stream_bytes(Instant::ZERO, flow, b"more", &mut out);
    assert_eq!(endpoint.counts().connections, 0);
}

#[test]
fn a_re_invite_that_is_never_answered_ends_the_session() {
    let (mut pair, caller, _) = Pair::established(Transport::Udp);
    pair.act(CALLER, |e, now, out| e.request_in_dialog(now, caller, Method::Invite, sdp("x"), vec![], out));
    pair.run_ms(5);
    let server = pair.waiting(CALLEE);
    pair.act(CALLEE, |e, now, out| e.reply(now, server, Response::new(100), out));
    pair.run_ms(299_000);
    pair.check(CALLER, &[]);
    pair.run_ms(2_000);
    pair.check(CALLER, &["failed Timeout", "ended Timeout"]);
    pair.check_empty();
}

#[test]
fn requests_in_the_early_dialog_do_not_disturb_the_ack() {
    let mut it = Scripted::new();
    it.request("INVITE", "1", "<sip:a@h>", "");
    let Event::Incoming { session, .. } = it.events[0] else { panic!() };
    it.act(|e, now, out| e.progress(now, session, 180, None, vec![], out));
    let ringing = it.sent.pop().unwrap();
    let to = ringing.lines().find(|l| l.starts_with("To:")).unwrap().to_owned();
    let in_dialog = |method: &str, number: u32| {
        format!(
            "{method} sip:101@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK{method}{number}\r\nFrom: <sip:b@h>;tag=f\r\n{to}\r\nCall-ID: c\r\nCSeq: {number} {method}\r\n\r\n"
        )
    };
    it.receive(&in_dialog("INFO", 2));
    it.act(|e, now, out| e.accept(now, session, sdp("answer"), out));
    it.receive(&in_dialog("ACK", 1));
    assert!(matches!(it.events.last(), Some(Event::Established { .. })), "{:?}", it.events);
}

#[test]
fn a_dialog_outlives_its_connection() {
    let (mut pair, _, callee) = Pair::established(Transport::Tcp);
    let accepted = ConnectionId(ConnectionId::ACCEPTED);
    pair.act(CALLEE, |e, now, out| e.handle_stream_closed(now, accepted, out));
    pair.act(CALLER, |e, now, out| e.handle_stream_closed(now, ConnectionId(1), out));
    pair.act(CALLEE, |e, now, out| e.terminate(now, callee, None, out));
    pair.run_ms(10);
    pair.check(CALLER, &["ended bye"]);
    pair.check_empty();
}
