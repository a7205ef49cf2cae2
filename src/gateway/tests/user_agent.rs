//! The gateway between two user agents: offers passed on, reliable responses, identities, digits by
//! INFO, trunks that do not answer, calls that nobody ends.

mod carried;
mod circuits;

use super::*;
use crate::media::End;
use crate::sip::{
    Body, Ended, Event, Header, HeaderName, Method, NameAddr, OutgoingInvite, Reliable, Request, Response, Settings,
    Uri,
};

const LEFT: usize = 0;
const RIGHT: usize = 1;

const CONFIG: &str = r#"
[sip]
listen = ["udp:127.0.0.1:5060"]
domain = "example.com"

[rtp]
address = "127.0.0.1"
ports = "20000-20019"

[trunk.left]
from = ["127.0.0.2"]
to = "sip:127.0.0.2:5060"
LEFT

[trunk.right]
from = ["127.0.0.3"]
to = "sip:127.0.0.3:5060"
RIGHT

[[route]]
name = "to the right"
match = "7X"
from = ["trunk/left"]
transit = true
to = "trunk/right"

[[route]]
name = "echo"
match = "600"
from = ["trunk/left"]
to = "service/echo"
"#;

/// The gateway and a user agent on either side, on a network without delay and loss.
struct Between {
    gateway: Gateway,
    now: Instant,
    ends: [Endpoint; 2],
    events: [Vec<Event>; 2],
    /// What the gateway wanted of others than the network.
    outputs: Vec<Output>,
    /// What the gateway sent to each end.
    sent: [Vec<String>; 2],
    silent: [bool; 2],
}

fn address(end: usize) -> SocketAddr {
    ["127.0.0.2:5060", "127.0.0.3:5060"][end].parse().expect("an address")
}

fn flow(end: usize) -> Flow {
    let remote = "127.0.0.1:5060".parse().expect("an address");
    Flow { transport: Transport::Udp, local: address(end), remote, connection: None }
}

fn body(end: usize, version: u32, what: &str) -> Option<Body> {
    let ip = address(end).ip();
    let (codec, direction) = what.split_once(' ').unwrap_or((what, "sendrecv"));
    let (connection, direction) =
        if direction == "0.0.0.0" { ("0.0.0.0".to_owned(), "sendrecv") } else { (ip.to_string(), direction) };
    let text = format!(
        "v=0\r\no=- 7 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {connection}\r\nt=0 0\r\nm=audio 6000 RTP/AVP {codec}\r\na={direction}\r\n"
    );
    Some(Body::sdp(text))
}

fn direction_in(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    text.lines()
        .filter_map(|l| l.strip_prefix("a="))
        .find(|l| l.contains("send") || *l == "inactive" || *l == "recvonly")
        .map_or(text.clone(), str::to_owned)
}

impl Between {
    fn new(left: &str, right: &str) -> Between {
        Between::with(&CONFIG.replace("LEFT", left).replace("RIGHT", right))
    }

    fn with(config: &str) -> Between {
        let config = Config::parse("test.toml", config, &NoReader).expect("a valid configuration");
        let end = |end: usize| {
            let settings = Settings {
                listeners: vec![(Transport::Udp, address(end))],
                supported: vec!["100rel".to_owned()],
                server: String::new(),
                ..Settings::default()
            };
            Endpoint::new(settings, &Seed::from_number(1).fork(["left", "right"][end]))
        };
        let now = Instant::from_millis(1);
        Between {
            gateway: Gateway::new(config, Seed::from_number(1), now),
            now,
            ends: [end(LEFT), end(RIGHT)],
            events: [Vec::new(), Vec::new()],
            outputs: Vec::new(),
            sent: [Vec::new(), Vec::new()],
            silent: [false; 2],
        }
    }

    fn act<R>(&mut self, end: usize, f: impl FnOnce(&mut Endpoint, Instant, &mut Actions) -> R) -> R {
        let mut out = Actions::default();
        let result = f(&mut self.ends[end], self.now, &mut out);
        self.events[end].append(&mut out.events);
        for send in out.sends {
            let sip::Send::Datagram { bytes, .. } = send else { continue };
            let flow = Flow { local: flow(end).remote, remote: flow(end).local, ..flow(end) };
            self.input(Input::Datagram { flow, bytes: &bytes });
        }
        result
    }

    fn input(&mut self, input: Input<'_>) {
        let mut out = Outbox::default();
        self.gateway.handle(self.now, input, &mut out);
        for output in out.drain().collect::<Vec<_>>() {
            let Output::Datagram { flow: way, bytes } = output else {
                self.outputs.push(output);
                continue;
            };
            let Some(end) = [LEFT, RIGHT].into_iter().find(|end| address(*end) == way.remote) else { continue };
            self.sent[end].push(String::from_utf8_lossy(&bytes).into_owned());
            if !self.silent[end] {
                self.act(end, |e, now, out| e.handle_datagram(now, flow(end), &bytes, out));
            }
        }
    }

    /// Lets time pass.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let deadlines = [self.gateway.deadline(), self.ends[LEFT].deadline(), self.ends[RIGHT].deadline()];
            let Some(next) = deadlines.into_iter().flatten().min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            if self.gateway.deadline().is_some_and(|at| at <= self.now) {
                self.input(Input::Tick);
            }
            for end in [LEFT, RIGHT] {
                if self.ends[end].deadline().is_some_and(|at| at <= self.now) {
                    self.act(end, |e, now, out| e.handle_timeout(now, out));
                }
            }
        }
        self.now = end;
    }

    fn invite(&mut self, number: &str, body: Option<Body>, headers: Vec<Header>) -> SessionId {
        let remote = flow(LEFT).remote;
        let invite = OutgoingInvite {
            target: Uri::at(Some(number), Transport::Udp, remote),
            next_hop: flow(LEFT).into(),
            from: NameAddr::new("sip:100@left.example".parse().expect("a URI")).with_display(Some("Ann")),
            to: NameAddr::new(Uri::at(Some(number), Transport::Udp, remote)),
            contact_user: "100".to_owned(),
            body,
            headers,
            max_forwards: 70,
            reliable: Reliable::Supported,
            credentials: None,
        };
        self.act(LEFT, |e, now, out| e.invite(now, invite, out))
    }

    /// The INVITE that came out on the right.
    fn incoming(&self) -> (SessionId, Request) {
        let incoming = self.events[RIGHT].iter().find_map(|event| match event {
            Event::Incoming { session, request, .. } => Some((*session, request.clone())),
            _ => None,
        });
        incoming.unwrap_or_else(|| panic!("no INVITE: {:#?}", self.sent))
    }

    /// A call from left to right that has been answered.
    fn established(left: &str, right: &str) -> (Between, [SessionId; 2]) {
        let mut it = Between::new(left, right);
        let caller = it.invite("70", body(LEFT, 1, "0 8"), Vec::new());
        let (callee, _) = it.incoming();
        it.act(RIGHT, |e, now, out| e.accept(now, callee, body(RIGHT, 1, "0"), out));
        it.clear();
        (it, [caller, callee])
    }

    fn clear(&mut self) {
        self.events.iter_mut().for_each(Vec::clear);
        self.sent.iter_mut().for_each(Vec::clear);
        self.outputs.clear();
    }

    /// Answers what was offered to an end; returns the direction of the offer.
    fn answer(&mut self, end: usize, answer: &str) -> String {
        let at = self.events[end].iter().position(|event| matches!(event, Event::Offer { .. }));
        let at = at.unwrap_or_else(|| panic!("nothing is offered: {:#?}", self.sent));
        let Event::Offer { server, request, .. } = self.events[end].remove(at) else { unreachable!("just found") };
        let version = 1 + u32::try_from(self.sent[end].len()).expect("few messages");
        let response = Response::new(200).with_body(body(end, version, answer));
        self.act(end, |e, now, out| e.reply(now, server, response, out));
        direction_in(&request.body)
    }

    fn offer(&mut self, end: usize, session: SessionId, version: u32, what: &str) {
        let request = self.act(end, |e, now, out| e.offer(now, session, body(end, version, what), vec![], out));
        assert!(request.is_some(), "the session is up");
    }

    /// Direction of the answer that an end got last.
    fn answered(&mut self, end: usize) -> String {
        let found = self.events[end].iter().rev().find_map(|event| match event {
            Event::Response { outcome: Ok(response), .. } => Some(direction_in(&response.body)),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("no answer: {:#?}", self.events[end]))
    }

    /// Whether the streams of the call send and receive, in the order of their latest settings.
    fn settings(&self) -> Vec<(bool, bool)> {
        let settings = self.outputs.iter().filter_map(|output| match output {
            Output::Media(_, MediaCommand::Update(_, settings)) => Some((settings.sends, settings.receives)),
            _ => None,
        });
        settings.collect()
    }

    fn end(mut self, session: SessionId) {
        self.act(LEFT, |e, now, out| e.terminate(now, session, None, out));
        self.run(Duration::from_secs(400));
        let counts = self.gateway.counts();
        assert_eq!((counts.calls, counts.sip.sessions, counts.sip.server_transactions), (0, 0, 0));
    }
}

#[test]
fn rfc_3264_8_4_hold_and_resume_reach_the_far_party() {
    for (hold, offered, answered) in [
        ("0 sendonly", "sendonly", "recvonly"),
        ("0 inactive", "inactive", "inactive"),
        ("0 0.0.0.0", "sendonly", "recvonly"),
    ] {
        let (mut it, [caller, _]) = Between::established("", "");
        it.offer(LEFT, caller, 2, hold);
        assert_eq!(it.answered(LEFT), answered, "{hold}");
        assert_eq!(it.settings().first().map(|(sends, _)| *sends), Some(false), "nothing is sent to who holds");
        assert_eq!(it.answer(RIGHT, &format!("0 {answered}")), offered, "{hold}");
        it.clear();
        it.offer(LEFT, caller, 3, "0");
        assert_eq!(it.answered(LEFT), "sendrecv");
        assert_eq!(it.answer(RIGHT, "0"), "sendrecv");
        assert_eq!(it.settings(), [(true, true), (true, true)]);
        it.end(caller);
    }
}

#[test]
fn a_party_that_holds_is_not_resumed_by_the_other_one() {
    let (mut it, [caller, callee]) = Between::established("", "");
    it.offer(RIGHT, callee, 2, "0 sendonly");
    assert_eq!(it.answer(LEFT, "0 recvonly"), "sendonly");
    it.clear();
    it.offer(LEFT, caller, 2, "0 sendonly");
    assert_eq!(it.answered(LEFT), "inactive", "the right one holds too");
    it.answer(RIGHT, "0 inactive");
    it.clear();
    it.offer(LEFT, caller, 3, "0");
    assert_eq!(it.answered(LEFT), "sendonly", "held still");
    assert_eq!(it.answer(RIGHT, "0 sendonly"), "recvonly");
    it.run(Duration::from_secs(10));
    assert!(!it.events.iter().flatten().any(|e| matches!(e, Event::Offer { .. })), "nothing goes to and fro");
    it.end(caller);
}

#[test]
fn rfc_3261_14_1_holds_that_cross_both_come_through() {
    let (mut it, [caller, callee]) = Between::established("", "");
    it.silent[RIGHT] = true;
    it.offer(LEFT, caller, 2, "0 inactive");
    it.silent[RIGHT] = false;
    // The gateway's offer to the right is under way, and the right offers by itself: 491, and later both.
    it.offer(RIGHT, callee, 2, "0 sendonly");
    for _ in 0..100 {
        it.run(Duration::from_millis(100));
        for end in [LEFT, RIGHT] {
            if it.events[end].iter().any(|e| matches!(e, Event::Offer { .. })) {
                it.answer(end, "0 inactive");
            }
        }
    }
    assert!(it.sent[RIGHT].iter().any(|text| text.starts_with("SIP/2.0 491 ")), "{:#?}", it.sent[RIGHT]);
    assert!(it.sent[RIGHT].iter().any(|text| text.starts_with("SIP/2.0 200 ") && text.contains("INVITE")));
    assert_eq!(it.gateway.counts().calls, 1);
    it.end(caller);
}

#[test]
fn an_offer_that_the_far_party_refuses_changes_nothing() {
    let (mut it, [caller, _]) = Between::established("", "");
    it.offer(LEFT, caller, 2, "0 sendonly");
    let Some(Event::Offer { server, .. }) = it.events[RIGHT].pop() else { panic!("an offer") };
    it.act(RIGHT, |e, now, out| e.reply(now, server, Response::new(488), out));
    assert_eq!(it.gateway.counts().calls, 1);
    it.end(caller);
}

#[test]
fn another_codec_is_offered_to_a_far_party_that_can_take_it() {
    let (mut it, [caller, _]) = Between::established("", "");
    it.offer(LEFT, caller, 2, "8");
    let Some(Event::Offer { request, .. }) = it.events[RIGHT].last() else { panic!("an offer") };
    let text = String::from_utf8_lossy(&request.body).into_owned();
    assert!(text.contains(" RTP/AVP 8 0 "), "{text}");
    it.answer(RIGHT, "8");
    it.end(caller);
    // One that cannot is left alone: the gateway transcodes.
    let (mut it, [caller, _]) = Between::established("", "codecs = [\"pcmu\"]");
    it.offer(LEFT, caller, 2, "8");
    assert!(!it.events[RIGHT].iter().any(|e| matches!(e, Event::Offer { .. })));
    it.end(caller);
}

#[test]
fn a_re_invite_without_offer_gets_ours_and_its_answer_counts() {
    let (mut it, [caller, _]) = Between::established("", "");
    let request = it.act(LEFT, |e, now, out| e.offer(now, caller, None, vec![], out));
    assert!(request.is_some());
    assert_eq!(it.answered(LEFT), "sendrecv");
    it.act(LEFT, |e, now, out| e.acknowledge(now, caller, body(LEFT, 2, "0 sendonly"), out));
    assert_eq!(it.answer(RIGHT, "0 recvonly"), "sendonly");
    it.end(caller);
}

#[test]
fn rfc_3262_early_media_comes_through_reliably_on_both_legs() {
    let mut it = Between::new("", "");
    let caller = it.invite("70", body(LEFT, 1, "0 8"), Vec::new());
    let (callee, request) = it.incoming();
    assert!(request.headers.tokens(&HeaderName::Supported).contains(&"100rel".to_owned()));
    it.act(RIGHT, |e, now, out| e.progress(now, callee, 183, body(RIGHT, 1, "0"), vec![], out));
    let early = it.sent[LEFT].iter().find(|text| text.starts_with("SIP/2.0 183 ")).expect("a 183");
    assert!(early.contains("\r\nRSeq: ") && early.contains("m=audio"), "{early}");
    assert!(it.sent[RIGHT].iter().any(|text| text.starts_with("PRACK ")));
    assert!(it.sent[LEFT].iter().any(|text| text.starts_with("SIP/2.0 200 ") && text.contains(" PRACK\r\n")));
    it.act(RIGHT, |e, now, out| e.accept(now, callee, body(RIGHT, 1, "0"), out));
    assert!(it.events[LEFT].iter().any(|e| matches!(e, Event::Answered { body: Some(_), .. })));
    it.end(caller);
}

#[test]
fn rfc_3262_an_invite_without_offer_is_offered_early_where_that_is_reliable() {
    let mut it = Between::new("", "");
    let caller = it.invite("70", None, Vec::new());
    let (callee, request) = it.incoming();
    assert!(!request.body.is_empty(), "the gateway offers to the right by itself");
    it.act(RIGHT, |e, now, out| e.progress(now, callee, 183, body(RIGHT, 1, "0"), vec![], out));
    let offered = it.events[LEFT].iter().any(|e| matches!(e, Event::Progress { body: Some(_), .. }));
    assert!(offered, "{:#?}", it.sent[LEFT]);
    it.act(LEFT, |e, now, out| e.acknowledge(now, caller, body(LEFT, 1, "0"), out));
    it.act(RIGHT, |e, now, out| e.accept(now, callee, body(RIGHT, 1, "0"), out));
    assert!(it.events[LEFT].iter().any(|e| matches!(e, Event::Answered { .. })));
    assert!(it.settings().contains(&(true, true)), "{:?}", it.settings());
    it.end(caller);
}

#[test]
fn a_trunk_without_100rel_is_neither_asked_nor_obeyed() {
    let mut it = Between::new("100rel = \"off\"", "100rel = \"off\"");
    it.invite("70", body(LEFT, 1, "0"), vec![Header::new(HeaderName::Require, "100rel")]);
    let refusal = it.sent[LEFT].iter().find(|text| text.starts_with("SIP/2.0 420 ")).expect("a refusal");
    assert!(refusal.contains("\r\nUnsupported: 100rel\r\n"), "{refusal}");
    it.invite("70", body(LEFT, 1, "0"), Vec::new());
    let (_, request) = it.incoming();
    assert!(!request.headers.tokens(&HeaderName::Supported).contains(&"100rel".to_owned()));
}

#[test]
fn rfc_3325_an_anonymous_caller_is_known_to_trusted_trunks_alone() {
    let headers = || {
        vec![
            Header::new(HeaderName::PAssertedIdentity, "\"Ann\" <sip:+4930100@left.example>"),
            Header::new(HeaderName::Privacy, "id"),
        ]
    };
    let check = |left: &str, right: &str, asserted: Option<&str>, from: &str| {
        let mut it = Between::new(left, right);
        it.invite("70", body(LEFT, 1, "0"), headers());
        let (_, request) = it.incoming();
        let found = request.headers.text(&HeaderName::PAssertedIdentity).map(|value| value.into_owned());
        assert_eq!(found.as_deref(), asserted, "{left} {right}");
        let shown = request.from().expect("a caller").to_string();
        assert!(shown.starts_with(from), "{left} {right}: {shown}");
        assert_eq!(request.headers.text(&HeaderName::Privacy).as_deref(), Some("id"));
    };
    let nobody = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";
    check("trust = true", "trust = true", Some("\"Ann\" <sip:+4930100@example.com>"), nobody);
    check("trust = true", "", None, nobody);
    check("", "trust = true", Some("\"Ann\" <sip:100@example.com>"), nobody);
}

#[test]
fn rfc_5806_diversions_pass_from_trusted_trunks_to_those_that_want_them() {
    let headers = || vec![Header::new(HeaderName::Diversion, "<sip:200@left.example>;reason=no-answer")];
    let check = |left: &str, right: &str, expected: Option<&str>| {
        let mut it = Between::new(left, right);
        it.invite("70", body(LEFT, 1, "0"), headers());
        let (_, request) = it.incoming();
        let found = request.headers.text(&HeaderName::Diversion).map(|value| value.into_owned());
        assert_eq!(found.as_deref(), expected, "{left} {right}");
    };
    check("trust = true", "diversion = \"diversion\"", Some("<sip:200@example.com>;reason=no-answer;counter=1"));
    check("trust = true", "", None);
    check("", "diversion = \"diversion\"", None);
}

fn info(it: &mut Between, end: usize, session: SessionId, content_type: &str, text: &str, headers: Vec<Header>) {
    let body = Some(Body { content_type: content_type.to_owned(), bytes: text.as_bytes().to_vec() });
    it.act(end, |e, now, out| e.request_in_dialog(now, session, Method::Info, body, headers, out));
}

fn status(it: &mut Between, end: usize) -> u16 {
    match it.events[end].pop() {
        Some(Event::Response { outcome: Ok(response), .. }) => response.status,
        other => panic!("no response: {other:?}"),
    }
}

#[test]
fn rfc_6086_digits_by_info_go_on_as_the_far_party_takes_them() {
    let (mut it, [caller, _]) = Between::established("", "");
    info(&mut it, LEFT, caller, "application/dtmf-relay", "Signal=5\r\nDuration=100\r\n", vec![]);
    assert_eq!(status(&mut it, LEFT), 200);
    let ordered = it.outputs.iter().find_map(|output| match output {
        Output::Media(_, MediaCommand::SendDigit(End::Stream(_), digit)) => Some(digit.as_char()),
        _ => None,
    });
    assert_eq!(ordered, Some('5'), "as telephone-event");
    it.end(caller);

    let (mut it, [caller, _]) = Between::established("", "dtmf = \"info\"");
    info(&mut it, LEFT, caller, "application/dtmf", "11", vec![]);
    let relayed = it.sent[RIGHT].iter().find(|text| text.starts_with("INFO ")).expect("an INFO");
    assert!(relayed.contains("Content-Type: application/dtmf-relay") && relayed.contains("Signal=#\r\n"), "{relayed}");
    it.end(caller);
}

#[test]
fn digits_heard_in_the_media_are_told_by_info_to_who_wants_them_so() {
    let (mut it, [caller, _]) = Between::established("", "dtmf = \"info\"");
    let stream = it.gateway.calls.iter().find_map(|(_, call)| match &call.a {
        crate::call::leg::Leg::Sip(leg) => Some(leg.stream),
        _ => None,
    });
    let end = End::Stream(stream.expect("a stream"));
    let digit = tipring_hal::Digit::from_char('7').expect("a digit");
    it.input(Input::Media(WorkerId(0), MediaEvent::Digit { end, digit, at: it.now }));
    assert!(it.sent[RIGHT].iter().any(|text| text.starts_with("INFO ") && text.contains("Signal=7\r\n")));
    it.end(caller);
}

#[test]
fn rfc_6086_packages_and_bodies_that_may_not_pass_are_refused_and_options_answered() {
    let (mut it, [caller, _]) = Between::established("", "pass-bodies = \"none\"");
    let package = vec![Header::new(HeaderName::InfoPackage, "g.3gpp.x")];
    info(&mut it, LEFT, caller, "application/x", "x", package);
    assert_eq!(status(&mut it, LEFT), 469);
    info(&mut it, LEFT, caller, "application/x", "x", vec![]);
    assert_eq!(status(&mut it, LEFT), 415);
    it.act(LEFT, |e, now, out| e.request_in_dialog(now, caller, Method::Info, None, vec![], out));
    assert_eq!(status(&mut it, LEFT), 200);
    it.act(LEFT, |e, now, out| e.request_in_dialog(now, caller, Method::Options, None, vec![], out));
    assert_eq!(status(&mut it, LEFT), 200);
    let unknown = Method::Other("FOO".to_owned());
    it.act(LEFT, |e, now, out| e.request_in_dialog(now, caller, unknown, None, vec![], out));
    assert_eq!(status(&mut it, LEFT), 501);
    it.end(caller);
}

#[test]
fn a_trunk_that_does_not_answer_options_is_passed_over_until_it_does() {
    let mut it = Between::new("", "keepalive = \"30s\"");
    it.silent[RIGHT] = true;
    it.run(Duration::from_secs(1));
    assert_eq!(it.gateway.trunk_reach("right"), Some(Reach::Unknown));
    it.run(Duration::from_secs(40));
    assert_eq!(it.gateway.trunk_reach("right"), Some(Reach::Silent));
    it.invite("70", body(LEFT, 1, "0"), Vec::new());
    let refused = it.events[LEFT].iter().any(|e| matches!(e, Event::Ended { how: Ended::Rejected { .. }, .. }));
    assert!(refused, "without waiting for a time-out");
    assert!(!it.sent[RIGHT].iter().any(|text| text.starts_with("INVITE ")));
    it.silent[RIGHT] = false;
    for _ in 0..700 {
        it.run(Duration::from_millis(100));
        if let Some(Event::Request { server, .. }) = it.events[RIGHT].pop() {
            it.act(RIGHT, |e, now, out| e.reply(now, server, Response::new(405), out));
        }
    }
    assert_eq!(it.gateway.trunk_reach("right"), Some(Reach::Reachable), "whatever it says");
    assert_eq!(it.gateway.trunk_reach("left"), None);
    it.clear();
    it.invite("70", body(LEFT, 1, "0"), Vec::new());
    it.incoming();
}

#[test]
fn rfc_4028_a_call_whose_parties_are_gone_ends_by_itself() {
    let (mut it, _) = Between::established("", "");
    it.silent = [true, true];
    it.run(Duration::from_secs(899));
    assert_eq!(it.gateway.counts().calls, 1);
    it.run(Duration::from_secs(60));
    assert_eq!(it.gateway.counts().calls, 0, "asked after 15 minutes, and nobody answered");
}

#[test]
fn rfc_5621_a_description_among_other_parts_is_an_offer() {
    let mut it = Between::new("", "");
    let sdp = String::from_utf8(body(LEFT, 1, "0").expect("a body").bytes).expect("text");
    let text = format!(
        "--b\r\nContent-Type: application/isup\r\n\r\nx\r\n--b\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--b--\r\n"
    );
    let parts = Body { content_type: "multipart/mixed;boundary=b".to_owned(), bytes: text.into_bytes() };
    it.invite("600", Some(parts), Vec::new());
    assert!(it.events[LEFT].iter().any(|e| matches!(e, Event::Answered { body: Some(_), .. })), "{:#?}", it.sent[LEFT]);
}
