use super::super::message::Header;
use super::super::parser::parse;
use super::super::{Event, HeaderName, Question, Records, Send, Settings, Transport};
use super::*;
use crate::rng::Seed;

const CALLER: &str = "10.0.0.2:5060";
const FIRST: &str = "10.0.0.3:5060";
const SECOND: &str = "10.0.0.4:5060";

fn flow(remote: &str) -> Flow {
    let local = "10.0.0.1:5060".parse().expect("an address");
    Flow { transport: Transport::Udp, local, remote: remote.parse().expect("an address"), connection: None }
}

/// A proxy between peers that are texts.
struct Bench {
    endpoint: Endpoint,
    now: Instant,
    /// Where to, and what.
    sent: Vec<(String, String)>,
    targets: Vec<Vec<ProxyTarget>>,
    branches: u32,
    /// What was told of requests that are passed on.
    passed: Vec<(Method, Option<u16>)>,
    /// What was asked of the resolver.
    asked: Vec<Question>,
}

impl Bench {
    fn new(groups: &[&[&str]]) -> Bench {
        let settings = Settings {
            listeners: vec![(Transport::Udp, flow(CALLER).local)],
            asks_first: ["202".to_owned()].into(),
            realm: "ours".to_owned(),
            ..Settings::default()
        };
        let target = |address: &&str| ProxyTarget {
            uri: format!("sip:phone@{}", address.trim_end_matches(":5060")).parse().expect("a URI"),
            next_hop: flow(address).into(),
        };
        let targets = groups.iter().map(|group| group.iter().map(target).collect()).collect();
        let endpoint = Endpoint::new(settings, &Seed::from_number(3));
        Bench {
            endpoint,
            now: Instant::ZERO,
            sent: Vec::new(),
            targets,
            branches: 0,
            passed: Vec::new(),
            asked: Vec::new(),
        }
    }

    fn act(&mut self, act: impl FnOnce(&mut Endpoint, Instant, &mut Actions)) {
        let mut out = Actions::default();
        act(&mut self.endpoint, self.now, &mut out);
        for event in std::mem::take(&mut out.events) {
            if let Event::PassedOn { request, status, .. } = event {
                self.passed.push((request.method, status));
                continue;
            }
            let Event::Undecided { server, flow, .. } = event else { panic!("{event:?}") };
            let targets = self.targets.clone();
            self.endpoint.proxy(self.now, server, flow, targets, &mut out);
        }
        for send in out.sends {
            if let Send::Resolve { question } = send {
                self.asked.push(question);
                continue;
            }
            let Send::Datagram { flow, bytes } = send else { panic!("{send:?}") };
            self.sent.push((flow.remote.to_string(), String::from_utf8(bytes).expect("text")));
        }
    }

    fn datagram(&mut self, from: &str, text: &str) {
        self.act(|endpoint, now, out| endpoint.handle_datagram(now, flow(from), text.as_bytes(), out));
    }

    /// A request from `from`; `to` is To with or without tag.
    fn request(&mut self, from: &str, method: &str, uri: &str, to: &str, headers: &str) {
        self.branches += 1;
        let host = from.trim_end_matches(":5060");
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {host};branch=z9hG4bKb{}\r\nFrom: <sip:a@h>;tag=a\r\n\
             To: {to}\r\nCall-ID: c\r\nCSeq: {} {method}\r\nContact: <sip:a@{host}>\r\n{headers}\r\n",
            self.branches,
            if method == "ACK" { 1 } else { self.branches },
        );
        self.datagram(from, &text);
    }

    fn invite(&mut self, headers: &str) {
        self.request(CALLER, "INVITE", "sip:202@h", "<sip:202@h>", headers);
    }

    /// The last request with this method that went to a peer.
    fn last(&self, to: &str, method: &str) -> Request {
        let found = self.sent.iter().rev().find(|(at, text)| at == to && text.starts_with(&format!("{method} ")));
        let (_, text) = found.unwrap_or_else(|| panic!("no {method} to {to}: {:#?}", self.sent));
        parse(text.as_bytes()).expect("readable").to_request().expect("a request")
    }

    /// A peer answers the last request with this method.
    fn answer(&mut self, peer: &str, method: &str, status: u16, headers: &[Header]) {
        let request = self.last(peer, method);
        let copied = |h: &&Header| {
            use HeaderName::{CSeq, CallId, From, RecordRoute, Via};
            matches!(h.name, Via | From | CallId | CSeq | RecordRoute)
        };
        let to = format!("<sip:202@h>;tag=t{}", peer.replace(['.', ':'], ""));
        let response = Response::new(status)
            .with_headers(request.headers.iter().filter(copied).cloned())
            .with(HeaderName::To, to)
            .with(HeaderName::Contact, format!("<sip:phone@{}>", peer.trim_end_matches(":5060")))
            .with_headers(headers.iter().cloned());
        let text = String::from_utf8(response.to_bytes()).expect("text");
        self.datagram(peer, &text);
    }

    /// Statuses that the caller got since the last look.
    fn statuses(&mut self) -> Vec<u16> {
        let mut statuses = Vec::new();
        self.sent.retain(|(to, text)| {
            let status = text.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)).filter(|_| to == CALLER);
            statuses.extend(status.and_then(|status| status.parse::<u16>().ok()));
            status.is_none()
        });
        statuses
    }

    fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while let Some(at) = self.endpoint.deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.act(|endpoint, now, out| endpoint.handle_timeout(now, out));
        }
        self.now = until;
    }

    fn check_empty(&mut self) {
        self.advance(Duration::from_secs(400));
        let counts = self.endpoint.counts();
        assert_eq!((counts.proxied, counts.client_transactions, counts.server_transactions), (0, 0, 0));
    }
}

fn texts(request: &Request, name: HeaderName) -> Vec<String> {
    request.headers.all(&name).map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

#[test]
fn a_call_passes_and_the_dialog_comes_this_way_again() {
    // RFC 3261 16.6, 16.7, 16.11
    let mut bench = Bench::new(&[&[FIRST]]);
    bench.invite("Max-Forwards: 9\r\nX-Unknown: kept\r\n");
    assert_eq!(bench.statuses(), [100]);
    let copy = bench.last(FIRST, "INVITE");
    assert_eq!(copy.uri.to_string(), "sip:phone@10.0.0.3");
    assert_eq!(copy.max_forwards(), Some(8));
    assert_eq!(texts(&copy, HeaderName::Via).len(), 2);
    assert_eq!(texts(&copy, HeaderName::from_text("X-Unknown")), ["kept"]);
    let routes = texts(&copy, HeaderName::RecordRoute);
    assert!(routes.len() == 1 && routes[0].contains(";lr"), "{routes:?}");
    bench.answer(FIRST, "INVITE", 180, &[]);
    bench.answer(FIRST, "INVITE", 200, &[]);
    let (_, ok) = bench.sent.iter().find(|(_, t)| t.starts_with("SIP/2.0 200")).expect("passed on").clone();
    assert_eq!(ok.matches("Via: ").count(), 1, "{ok}");
    assert!(ok.contains("Contact: <sip:phone@10.0.0.3>"), "untouched: {ok}");
    assert_eq!(bench.statuses(), [180, 200]);
    let route = format!("Route: {}\r\n", routes[0]);
    let to = "<sip:202@h>;tag=t100035060";
    bench.request(CALLER, "ACK", "sip:phone@10.0.0.3", to, &route);
    let ack = bench.last(FIRST, "ACK");
    assert!(texts(&ack, HeaderName::Route).is_empty() && texts(&ack, HeaderName::Via).len() == 2);
    bench.request(CALLER, "BYE", "sip:phone@10.0.0.3", to, &route);
    assert!(texts(&bench.last(FIRST, "BYE"), HeaderName::RecordRoute).is_empty(), "the route set is fixed");
    bench.answer(FIRST, "BYE", 200, &[]);
    assert_eq!(bench.statuses(), [200]);
    bench.check_empty();
}

#[test]
fn the_first_answer_wins_and_the_other_branch_is_cancelled() {
    let mut bench = Bench::new(&[&[FIRST, SECOND]]);
    bench.invite("");
    bench.answer(FIRST, "INVITE", 180, &[]);
    bench.answer(SECOND, "INVITE", 180, &[]);
    bench.answer(SECOND, "INVITE", 200, &[]);
    assert_eq!(bench.statuses(), [100, 180, 180, 200]);
    let cancel = bench.last(FIRST, "CANCEL");
    assert_eq!(texts(&cancel, HeaderName::Via).len(), 1);
    bench.answer(FIRST, "CANCEL", 200, &[]);
    bench.answer(FIRST, "INVITE", 487, &[]);
    assert_eq!(bench.statuses(), Vec::<u16>::new(), "the caller has its answer");
    assert!(bench.sent.iter().any(|(to, text)| to == FIRST && text.starts_with("ACK ")), "17.1.1.3");
    bench.check_empty();
}

#[test]
fn two_answers_both_go_back() {
    // 16.7 step 5: the caller ends the dialog that it does not want.
    let mut bench = Bench::new(&[&[FIRST, SECOND]]);
    bench.invite("");
    bench.answer(FIRST, "INVITE", 200, &[]);
    bench.answer(SECOND, "INVITE", 200, &[]);
    assert_eq!(bench.statuses(), [100, 200, 200]);
    bench.check_empty();
}

#[test]
fn a_branch_that_has_said_nothing_is_cancelled_when_it_does() {
    // 9.1
    let mut bench = Bench::new(&[&[FIRST, SECOND]]);
    bench.invite("");
    bench.answer(FIRST, "INVITE", 200, &[]);
    assert!(!bench.sent.iter().any(|(_, text)| text.starts_with("CANCEL")));
    bench.answer(SECOND, "INVITE", 100, &[]);
    bench.last(SECOND, "CANCEL");
}

#[test]
fn the_next_preference_is_tried_when_the_first_has_failed() {
    let mut bench = Bench::new(&[&[FIRST], &[SECOND]]);
    bench.invite("");
    assert!(!bench.sent.iter().any(|(to, _)| to == SECOND));
    bench.answer(FIRST, "INVITE", 486, &[]);
    assert_eq!(bench.statuses(), [100]);
    bench.answer(SECOND, "INVITE", 404, &[]);
    assert_eq!(bench.statuses(), [404], "the best of both");
    bench.check_empty();
}

#[test]
fn the_best_of_all_failures_goes_back() {
    for (first, second, best) in [(486, 302, 302), (503, 503, 500), (486, 603, 603), (408, 486, 486)] {
        let mut bench = Bench::new(&[&[FIRST, SECOND]]);
        bench.invite("");
        bench.answer(FIRST, "INVITE", first, &[]);
        bench.answer(SECOND, "INVITE", second, &[]);
        assert_eq!(bench.statuses(), [100, best], "{first} {second}");
        bench.check_empty();
    }
}

#[test]
fn challenges_of_all_branches_go_back_together() {
    // 16.7 step 7
    let mut bench = Bench::new(&[&[FIRST, SECOND]]);
    bench.invite("");
    bench.answer(FIRST, "INVITE", 401, &[Header::new(HeaderName::WwwAuthenticate, "Digest realm=\"a\", nonce=\"1\"")]);
    bench.answer(
        SECOND,
        "INVITE",
        407,
        &[Header::new(HeaderName::ProxyAuthenticate, "Digest realm=\"b\", nonce=\"2\"")],
    );
    let (_, response) = bench.sent.iter().find(|(_, t)| t.starts_with("SIP/2.0 401")).expect("the best").clone();
    assert!(response.contains("realm=\"a\"") && response.contains("realm=\"b\""), "{response}");
}

#[test]
fn a_global_failure_ends_the_search() {
    let mut bench = Bench::new(&[&[FIRST, SECOND], &["10.0.0.5:5060"]]);
    bench.invite("");
    bench.answer(SECOND, "INVITE", 180, &[]);
    bench.answer(FIRST, "INVITE", 603, &[]);
    bench.last(SECOND, "CANCEL");
    bench.answer(SECOND, "INVITE", 487, &[]);
    assert_eq!(bench.statuses(), [100, 180, 603]);
    assert!(!bench.sent.iter().any(|(to, _)| to == "10.0.0.5:5060"));
}

#[test]
fn a_cancel_reaches_every_branch() {
    // 16.10
    let mut bench = Bench::new(&[&[FIRST, SECOND]]);
    bench.invite("");
    bench.answer(FIRST, "INVITE", 180, &[]);
    bench.answer(SECOND, "INVITE", 180, &[]);
    bench.statuses();
    let text = "CANCEL sip:202@h SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKb1\r\nFrom: <sip:a@h>;tag=a\r\n\
        To: <sip:202@h>\r\nCall-ID: c\r\nCSeq: 1 CANCEL\r\n\r\n";
    bench.datagram(CALLER, text);
    assert_eq!(bench.statuses(), [200]);
    for peer in [FIRST, SECOND] {
        bench.answer(peer, "CANCEL", 200, &[]);
        bench.answer(peer, "INVITE", 487, &[]);
    }
    assert_eq!(bench.statuses(), [487]);
    bench.check_empty();
}

#[test]
fn whoever_rings_too_long_is_cancelled_by_timer_c() {
    // 16.8
    let mut bench = Bench::new(&[&[FIRST]]);
    bench.invite("");
    bench.answer(FIRST, "INVITE", 180, &[]);
    bench.advance(Duration::from_secs(100));
    bench.answer(FIRST, "INVITE", 180, &[]);
    bench.advance(Duration::from_secs(180));
    assert!(!bench.sent.iter().any(|(_, text)| text.starts_with("CANCEL")), "a provisional response resets it");
    bench.advance(Duration::from_secs(2));
    bench.last(FIRST, "CANCEL");
    bench.advance(Duration::from_secs(33));
    let mut statuses = bench.statuses();
    statuses.dedup();
    assert_eq!(statuses, [100, 180, 408], "and again as long as no ACK comes");
    bench.check_empty();
}

#[test]
fn nobody_at_all_is_480_and_nobody_who_answers_408() {
    let mut bench = Bench::new(&[]);
    bench.invite("");
    assert_eq!(bench.statuses(), [100, 480]);
    let mut bench = Bench::new(&[&[FIRST]]);
    bench.invite("");
    bench.advance(Duration::from_secs(33));
    let mut statuses = bench.statuses();
    statuses.dedup();
    assert_eq!(statuses, [100, 408]);
    bench.check_empty();
}

#[test]
fn what_must_not_be_passed_on_is_refused() {
    // 16.3
    for (headers, status) in [("Max-Forwards: 0\r\n", 483), ("Proxy-Require: foo\r\n", 420)] {
        let mut bench = Bench::new(&[&[FIRST]]);
        bench.invite(headers);
        assert_eq!(bench.statuses(), [status]);
        bench.check_empty();
    }
}

#[test]
fn a_request_that_comes_back_unchanged_is_a_loop() {
    // 16.3 step 4, RFC 5393: the target sends it to us again, for the same user.
    let mut bench = Bench::new(&[&[FIRST]]);
    bench.targets[0][0].uri = "sip:202@h".parse().expect("a URI");
    bench.invite("");
    let copy = bench.last(FIRST, "INVITE");
    let mut again = copy.clone();
    again.headers.0.insert(0, Header::new(HeaderName::Via, "SIP/2.0/UDP 10.0.0.3;branch=z9hG4bKother"));
    let text = String::from_utf8(again.to_bytes()).expect("text");
    bench.datagram(FIRST, &text);
    assert!(bench.sent.iter().any(|(to, text)| to == FIRST && text.starts_with("SIP/2.0 482")), "{:#?}", bench.sent);
}

#[test]
fn nobody_can_use_us_as_a_relay() {
    let mut bench = Bench::new(&[&[FIRST]]);
    for route in ["<sip:10.0.0.1;lr>", "<sip:10.0.0.1;lr;tip=0123456789abcdef>"] {
        bench.request(CALLER, "BYE", "sip:victim@10.0.0.9", "<sip:v@h>;tag=x", &format!("Route: {route}\r\n"));
        assert_eq!(bench.statuses(), [481], "{route}");
    }
    assert!(bench.sent.is_empty());
}

#[test]
fn credentials_for_us_go_no_further() {
    // 22.3
    let mut bench = Bench::new(&[&[FIRST]]);
    bench.invite(
        "Authorization: Digest username=\"a\", realm=\"ours\", nonce=\"1\", uri=\"x\", response=\"y\"\r\n\
         Proxy-Authorization: Digest username=\"a\", realm=\"theirs\", nonce=\"1\", uri=\"x\", response=\"y\"\r\n",
    );
    let copy = bench.last(FIRST, "INVITE");
    assert!(texts(&copy, HeaderName::Authorization).is_empty());
    assert_eq!(texts(&copy, HeaderName::ProxyAuthorization).len(), 1);
}

/// A proxy whose only target may be reached by two servers, the first of which has been silent for too long.
fn left() -> Bench {
    let mut bench = Bench::new(&[]);
    let uris = [FIRST, SECOND].map(|address| format!("sip:{address}").parse().expect("a URI"));
    let uri = "sip:phone@10.0.0.3".parse().expect("a URI");
    bench.targets = vec![vec![ProxyTarget { uri, next_hop: NextHop::Uris(uris.into()) }]];
    bench.invite("");
    bench.last(FIRST, "INVITE");
    bench.advance(Duration::from_millis(4_900));
    assert!(!bench.sent.iter().any(|(to, _)| to == SECOND), "it has some time");
    bench.advance(Duration::from_millis(200));
    let copy = bench.last(SECOND, "INVITE");
    assert_eq!(copy.uri.to_string(), "sip:phone@10.0.0.3", "16.5: the Request-URI stays");
    bench
}

#[test]
fn rfc_3263_4_3_an_invite_of_others_goes_on_to_the_next_server_of_a_silent_target() {
    let mut bench = left();
    bench.answer(SECOND, "INVITE", 180, &[]);
    // What the first one has made of it is ended, and nobody hears of it.
    bench.answer(FIRST, "INVITE", 183, &[]);
    bench.last(FIRST, "CANCEL");
    bench.answer(FIRST, "CANCEL", 200, &[]);
    bench.answer(FIRST, "INVITE", 487, &[]);
    bench.answer(SECOND, "INVITE", 200, &[]);
    assert_eq!(bench.statuses(), [100, 180, 200]);
    bench.advance(Duration::from_secs(300));
    assert_eq!((bench.endpoint.counts().proxied, bench.endpoint.counts().client_transactions), (0, 0));
}

#[test]
fn an_answer_of_the_server_that_was_left_goes_back_as_every_2xx_does() {
    let mut bench = left();
    bench.answer(SECOND, "INVITE", 180, &[]);
    bench.answer(FIRST, "INVITE", 200, &[]);
    assert_eq!(bench.statuses(), [100, 180, 200]);
    bench.last(SECOND, "CANCEL");
    bench.answer(SECOND, "INVITE", 487, &[]);
    bench.advance(Duration::from_secs(300));
    assert_eq!((bench.endpoint.counts().proxied, bench.endpoint.counts().client_transactions), (0, 0));
}

#[test]
fn a_server_that_was_left_does_not_hold_up_the_refusal_of_the_next() {
    let mut bench = left();
    bench.answer(SECOND, "INVITE", 486, &[]);
    assert_eq!(bench.statuses(), [100, 486]);
    assert_eq!(bench.passed, [(Method::Invite, Some(486))]);
    bench.advance(Duration::from_secs(300));
    assert_eq!((bench.endpoint.counts().proxied, bench.endpoint.counts().client_transactions), (0, 0));
}

#[test]
fn rfc_3263_requests_inside_a_dialog_are_located_where_their_next_hop_is_a_name() {
    let mut bench = Bench::new(&[&[FIRST]]);
    bench.invite("");
    let copy = bench.last(FIRST, "INVITE");
    let route = copy.headers.text(&HeaderName::RecordRoute).expect("a recorded route");
    bench.answer(FIRST, "INVITE", 200, &[]);
    let headers = format!("Route: {route}\r\n");
    let question = Question::Ipv4("far.example".to_owned());
    for method in ["ACK", "BYE"] {
        let to = "<sip:202@h>;tag=t10003";
        bench.request(CALLER, method, "sip:phone@far.example:5062", to, &headers);
        if method == "ACK" {
            assert_eq!(bench.asked, std::slice::from_ref(&question), "{method}");
            let records = Records {
                addresses: vec!["10.0.0.4".parse().expect("an address")],
                ttl: Duration::from_secs(60),
                ..Records::default()
            };
            bench.act(|endpoint, now, out| endpoint.handle_resolved(now, &question, &records, out));
        }
        let passed = bench.last("10.0.0.4:5062", method);
        assert_eq!(passed.uri.to_string(), "sip:phone@far.example:5062");
        assert_eq!(passed.headers.all(&HeaderName::Via).count(), 2, "{method}");
        assert!(!passed.headers.has(&HeaderName::Route) && !passed.headers.has(&HeaderName::UserAgent), "{method}");
    }
    assert_eq!(bench.passed, [(Method::Invite, Some(200)), (Method::Bye, None)]);
    // A name that leads nowhere is told, not waited for.
    bench.request(CALLER, "INFO", "sip:phone@gone.example:5062", "<sip:202@h>;tag=t10003", &headers);
    let question = Question::Ipv4("gone.example".to_owned());
    bench.statuses();
    bench.act(|endpoint, now, out| endpoint.handle_resolved(now, &question, &Records::default(), out));
    assert_eq!(bench.statuses(), [500]);
}
