//! Watching and texting as a telephone sees it: bytes in, bytes out.

use super::super::{Input, Outbox, Output};
use super::*;
use crate::config::{Config, NoReader};
use crate::gateway::{CardId, Gateway, Text, TextChange};
use crate::rng::Seed;
use crate::sip::parser::{Start, parse};
use crate::sip::{Credentials, Method, Transport, digest};
use tipring_hal::{LineEvent, LineEventKind, PortIndex};

const CONFIG: &str = r#"
[sip]
listen = ["udp:127.0.0.1:5060"]
domain = "example.com"

[rtp]
address = "127.0.0.1"
ports = "20000-20099"

[phone.201]
password = "secret"
caller-name = "Anna"

[phone.202]
password = "secret"

[trunk.peer]
from = ["127.0.0.2"]
to = "sip:127.0.0.3:5080"

[card.demo]
driver = "virtual"

[station.105]
card = "demo"
port = 0
country = "US"

[[route]]
name = "lines"
match = "105"
from = ["inside", "trunk/peer"]
to = "station/105"
"#;

const ANNA: &str = "127.0.0.9:5070";
const BERT: &str = "127.0.0.8:5070";
const PEER: &str = "127.0.0.2:5070";

struct World {
    gateway: Gateway,
    now: Instant,
    sent: Vec<(String, String)>,
    /// What a store would have of waiting texts.
    stored: Vec<Text>,
    branches: u32,
}

impl World {
    fn new() -> World {
        let config = Config::parse("test.toml", CONFIG, &NoReader).expect("a valid configuration");
        let gateway = Gateway::new(config, Seed::from_number(1), Instant::ZERO);
        World { gateway, now: Instant::from_millis(1), sent: Vec::new(), stored: Vec::new(), branches: 0 }
    }

    fn input(&mut self, input: Input<'_>) {
        let mut out = Outbox::default();
        self.gateway.handle(self.now, input, &mut out);
        for output in out.drain() {
            match output {
                Output::Datagram { flow, bytes } => {
                    self.sent.push((flow.remote.to_string(), String::from_utf8_lossy(&bytes).into_owned()));
                }
                Output::Text(TextChange::Kept(text)) => self.stored.push(*text),
                Output::Text(TextChange::Gone(number)) => self.stored.retain(|text| text.number != number),
                _ => {}
            }
        }
    }

    fn datagram(&mut self, from: &str, text: &str) {
        let address = |text: &str| text.parse().expect("an address");
        let flow = Flow {
            transport: Transport::Udp,
            local: address("127.0.0.1:5060"),
            remote: address(from),
            connection: None,
        };
        self.input(Input::Datagram { flow, bytes: text.as_bytes() });
    }

    /// A request of `user` at `address` about `about`; credentials are added when they are asked for.
    fn request(&mut self, address: &str, user: &str, method: Method, about: &str, headers: &str, body: &str) -> u16 {
        let mut authorization = String::new();
        for number in 1..=2 {
            self.branches += 1;
            let n = self.branches;
            let text = format!(
                "{method} sip:{about}@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {address};branch=z9hG4bK{n}\r\n\
                 From: <sip:{user}@example.com>;tag=t{n}\r\nTo: <sip:{about}@example.com>\r\nCall-ID: c{n}\r\n\
                 CSeq: {number} {method}\r\nContact: <sip:{user}@{address}>\r\nMax-Forwards: 70\r\n\
                 {headers}{authorization}Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            self.datagram(address, &text);
            let at = self.sent.iter().rposition(|(_, t)| t.starts_with("SIP/2.0") && t.contains(&format!("bK{n}\r\n")));
            let Some(at) = at else { return 0 };
            let (_, answer) = self.sent.remove(at);
            let message = parse(answer.as_bytes()).expect("readable");
            let Start::Response(status) = message.start else { panic!("{answer}") };
            if status != 401 {
                return status;
            }
            let response = message.to_response().expect("a response");
            let challenges = response.headers.all(&HeaderName::WwwAuthenticate);
            let (username, password) = (user.to_owned(), "secret".to_owned());
            let credentials = Credentials { username, password, realm: None, peer: "gateway".to_owned() };
            let uri = format!("sip:{about}@example.com");
            let covered = digest::Covered { method: method.as_str().as_bytes(), body: body.as_bytes() };
            let asking = digest::client::Asking { covered, uri: &uri, cnonce: "c" };
            let field = digest::Logins::default().answer(challenges, false, &credentials, asking);
            authorization = format!("Authorization: {}\r\n", field.expect("a known challenge").text());
        }
        401
    }

    fn register(&mut self, address: &str, user: &str, expires: u32) -> u16 {
        self.request(address, user, Method::Register, user, &format!("Expires: {expires}\r\n"), "")
    }

    fn subscribe(&mut self, address: &str, user: &str, about: &str, package: &str) -> u16 {
        self.request(address, user, Method::Subscribe, about, &format!("Event: {package}\r\nExpires: 600\r\n"), "")
    }

    fn text(&mut self, address: &str, user: &str, about: &str, text: &str) -> u16 {
        self.request(address, user, Method::Message, about, "Content-Type: text/plain\r\n", text)
    }

    /// Requests that came to `address` since the last look, each answered with `status`: their bodies.
    fn answer(&mut self, address: &str, method: &str, status: u16) -> Vec<String> {
        let mut bodies = Vec::new();
        while let Some(at) = self.sent.iter().position(|(to, text)| to == address && text.starts_with(method)) {
            let (_, text) = self.sent.remove(at);
            let request = parse(text.as_bytes()).expect("readable").to_request().expect("a request");
            bodies.push(String::from_utf8_lossy(&request.body).into_owned());
            let copied = |h: &&crate::sip::Header| {
                use HeaderName::{CSeq, CallId, From, To, Via};
                matches!(h.name, Via | From | To | CallId | CSeq)
            };
            let response = Response::new(status).with_headers(request.headers.iter().filter(copied).cloned());
            self.datagram(address, &String::from_utf8(response.to_bytes()).expect("text"));
        }
        bodies
    }

    fn line(&mut self, kind: LineEventKind) {
        let event = LineEvent { at: self.now, port: PortIndex(0), kind };
        self.input(Input::Line(CardId(0), event));
    }

    fn advance_ms(&mut self, ms: u64) {
        let until = Instant::from_nanos(self.now.as_nanos() + ms * 1_000_000);
        while let Some(at) = self.gateway.deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.input(Input::Tick);
        }
        self.now = until;
    }
}

fn state_of(document: &str) -> Vec<&str> {
    document.split("<state>").skip(1).filter_map(|rest| rest.split('<').next()).collect()
}

#[test]
fn the_busy_lamp_of_an_analog_line_follows_its_calls() {
    // RFC 4235: idle, ringing, talking, idle
    let mut world = World::new();
    world.line(LineEventKind::OnHook);
    world.advance_ms(1000);
    assert_eq!(world.subscribe(ANNA, "201", "105", "dialog"), 200);
    let first = world.answer(ANNA, "NOTIFY", 200);
    assert_eq!((first.len(), state_of(&first[0])), (1, vec![]), "idle");
    let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.2\r\ns=-\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n";
    world.request(PEER, "1000", Method::Invite, "105", "Content-Type: application/sdp\r\n", sdp);
    let ringing = world.answer(ANNA, "NOTIFY", 200);
    assert_eq!(state_of(ringing.last().expect("news")), ["early"], "{ringing:?}");
    assert!(ringing.last().expect("news").contains("direction=\"recipient\""));
    assert!(ringing.last().expect("news").contains("sip:1000@example.com"));
    world.line(LineEventKind::OffHook);
    world.advance_ms(500);
    let talking = world.answer(ANNA, "NOTIFY", 200);
    assert_eq!(talking.len(), 1, "only what is new is said: {talking:?}");
    assert_eq!(state_of(&talking[0]), ["confirmed"]);
    assert!(talking[0].contains("version=\"2\""), "{}", talking[0]);
    world.line(LineEventKind::OnHook);
    world.advance_ms(5000);
    let idle = world.answer(ANNA, "NOTIFY", 200);
    assert_eq!(state_of(idle.last().expect("news")), Vec::<&str>::new(), "{idle:?}");
}

#[test]
fn a_line_that_is_off_hook_is_busy_before_it_has_a_call() {
    let mut world = World::new();
    assert_eq!(world.subscribe(PEER, "1000", "105", "dialog"), 200);
    world.answer(PEER, "NOTIFY", 200);
    world.line(LineEventKind::OffHook);
    world.advance_ms(300);
    let news = world.answer(PEER, "NOTIFY", 200);
    assert_eq!(state_of(news.last().expect("news")), ["trying"]);
}

#[test]
fn presence_and_reg_follow_the_registration() {
    let mut world = World::new();
    assert_eq!(world.subscribe(ANNA, "201", "202", "presence"), 200);
    assert_eq!(world.subscribe(BERT, "202", "202", "reg"), 200);
    assert!(world.answer(ANNA, "NOTIFY", 200)[0].contains("<basic>closed</basic>"));
    assert!(world.answer(BERT, "NOTIFY", 200)[0].contains("state=\"init\""));
    assert_eq!(world.register(BERT, "202", 60), 200);
    assert!(world.answer(ANNA, "NOTIFY", 200)[0].contains("<basic>open</basic>"));
    assert!(world.answer(BERT, "NOTIFY", 200)[0].contains("<uri>sip:202@127.0.0.8:5070</uri>"));
    world.advance_ms(61_000);
    assert!(world.answer(ANNA, "NOTIFY", 200)[0].contains("<basic>closed</basic>"), "expired");
}

#[test]
fn a_phone_publishes_its_own_presence_and_nobody_elses() {
    let mut world = World::new();
    assert_eq!(world.subscribe(ANNA, "201", "202", "presence"), 200);
    world.answer(ANNA, "NOTIFY", 200);
    let headers = "Event: presence\r\nContent-Type: application/pidf+xml\r\nExpires: 60\r\n";
    assert_eq!(world.request(ANNA, "201", Method::Publish, "202", headers, "<mine/>"), 403);
    assert_eq!(world.request(BERT, "202", Method::Publish, "202", headers, "<at-lunch/>"), 200);
    assert_eq!(world.answer(ANNA, "NOTIFY", 200), ["<at-lunch/>"]);
    world.advance_ms(61_000);
    assert!(world.answer(ANNA, "NOTIFY", 200)[0].contains("<basic>closed</basic>"), "the publication is over");
    let dialog = "Event: dialog\r\nContent-Type: application/dialog-info+xml\r\n";
    assert_eq!(world.request(BERT, "202", Method::Publish, "202", dialog, "<x/>"), 489);
}

#[test]
fn a_voice_mail_that_is_trusted_lights_the_lamp_of_a_phone() {
    let mut world = World::new();
    assert_eq!(world.subscribe(ANNA, "201", "201", "message-summary"), 200);
    assert!(world.answer(ANNA, "NOTIFY", 200)[0].starts_with("Messages-Waiting: no\r\n"));
    let headers = "Event: message-summary\r\nContent-Type: application/simple-message-summary\r\n";
    let summary = "Messages-Waiting: yes\r\nVoice-Message: 2/1 (0/0)\r\n";
    assert_eq!(world.request(PEER, "mail", Method::Publish, "201", headers, summary), 200);
    assert_eq!(world.answer(ANNA, "NOTIFY", 200), [summary]);
}

#[test]
fn who_may_watch_what() {
    let mut world = World::new();
    assert_eq!(world.subscribe(ANNA, "201", "105", "weather"), 489);
    assert_eq!(world.subscribe(ANNA, "201", "999", "dialog"), 404);
    assert_eq!(world.subscribe(ANNA, "201", "202", "message-summary"), 403);
    assert_eq!(world.subscribe(ANNA, "201", "202", "reg"), 403);
    assert_eq!(world.subscribe(PEER, "mail", "105", "reg"), 404);
    let accept = "Event: dialog\r\nAccept: text/html\r\n";
    assert_eq!(world.request(ANNA, "201", Method::Subscribe, "105", accept, ""), 406);
    assert_eq!(world.subscribe("192.0.2.1:5060", "nobody", "105", "dialog"), 401);
    assert_eq!(world.gateway.counts().sip.subscriptions, 0);
}

#[test]
fn a_text_reaches_a_registered_phone() {
    let mut world = World::new();
    world.register(BERT, "202", 60);
    assert_eq!(world.text(ANNA, "201", "202", "hello"), 0, "not answered before the phone has answered");
    let (_, request) = world.sent.iter().find(|(to, t)| to == BERT && t.starts_with("MESSAGE")).expect("sent").clone();
    assert!(request.contains("From: \"Anna\" <sip:201@example.com>"), "{request}");
    assert_eq!(world.answer(BERT, "MESSAGE", 200), ["hello"]);
    assert!(world.sent.pop().expect("an answer").1.starts_with("SIP/2.0 200"));
}

#[test]
fn a_text_waits_for_the_phone_to_register_and_keeps_its_place() {
    let mut world = World::new();
    assert_eq!(world.subscribe(BERT, "202", "202", "message-summary"), 200);
    world.answer(BERT, "NOTIFY", 200);
    assert_eq!(world.text(ANNA, "201", "202", "one"), 202);
    assert_eq!(world.text(ANNA, "201", "202", "two"), 202);
    assert!(world.answer(BERT, "NOTIFY", 200).last().expect("news").contains("Text-Message: 2/0"));
    world.register(BERT, "202", 600);
    assert_eq!(world.answer(BERT, "MESSAGE", 480), ["one"], "one at a time, and not now");
    assert_eq!(world.text(ANNA, "201", "202", "three"), 202, "behind the others");
    assert_eq!(world.answer(BERT, "MESSAGE", 200), ["one", "two", "three"]);
    assert!(world.answer(BERT, "NOTIFY", 200).last().expect("news").starts_with("Messages-Waiting: no"));
}

#[test]
fn a_phone_that_does_not_answer_gets_its_text_later() {
    // RFC 4320: the sender is answered in time.
    let mut world = World::new();
    world.register(BERT, "202", 600);
    world.text(ANNA, "201", "202", "hello");
    world.advance_ms(16_000);
    assert!(world.sent.iter().any(|(to, text)| to == ANNA && text.starts_with("SIP/2.0 202")));
    world.advance_ms(60_000);
    world.sent.clear();
    world.register(BERT, "202", 600);
    assert_eq!(world.answer(BERT, "MESSAGE", 200), ["hello"]);
    world.sent.clear();
    world.register(BERT, "202", 600);
    assert_eq!(world.answer(BERT, "MESSAGE", 200), Vec::<String>::new(), "once");
}

#[test]
fn a_text_is_kept_from_the_202_until_it_is_delivered_and_over_a_restart() {
    let mut world = World::new();
    assert_eq!(world.text(ANNA, "201", "202", "one"), 202);
    assert_eq!(world.text(ANNA, "201", "202", "two"), 202);
    assert_eq!(world.stored.len(), 2);
    // The next process: the texts of accounts that are no more are forgotten.
    let mut next = World::new();
    next.stored = world.stored.clone();
    next.stored[1].phone = "299".to_owned();
    next.input(Input::RestoreTexts(next.stored.clone()));
    assert_eq!(next.stored.len(), 1);
    assert_eq!(next.text(ANNA, "201", "202", "three"), 202);
    assert!(next.stored[0].number != next.stored[1].number);
    next.register(BERT, "202", 600);
    assert_eq!(next.answer(BERT, "MESSAGE", 480), ["one"], "not now");
    assert_eq!(next.stored.len(), 2, "a text that was not taken is kept");
    next.register(BERT, "202", 600);
    assert_eq!(next.answer(BERT, "MESSAGE", 200), ["one", "three"]);
    assert!(next.stored.is_empty());

    // One that is on its way when the sender is told 202 is kept from then on.
    assert_eq!(next.text(ANNA, "201", "202", "four"), 0);
    assert!(next.stored.is_empty());
    next.advance_ms(15_000);
    assert_eq!(next.stored.len(), 1);
    next.answer(BERT, "MESSAGE", 200);
    assert!(next.stored.is_empty());
    // And one that is too old is not kept for ever.
    let mut old = World::new();
    assert_eq!(old.text(ANNA, "201", "202", "old"), 202);
    old.advance_ms(8 * 24 * 3600 * 1000);
    assert!(old.stored.is_empty());
}

#[test]
fn texts_that_nobody_can_read_are_refused() {
    let mut world = World::new();
    assert_eq!(world.text(ANNA, "201", "105", "hello"), 488, "an analog telephone");
    assert_eq!(world.text(ANNA, "201", "999", "hello"), 404);
    assert_eq!(world.text(ANNA, "201", "202", &"x".repeat(crate::limits::TEXT_BYTES + 1)), 413);
    assert_eq!(world.text(ANNA, "201", "202", &"x".repeat(crate::limits::TEXT_BYTES)), 202);
    for _ in 1..crate::limits::TEXTS_PER_PHONE {
        assert_eq!(world.text(ANNA, "201", "202", "x"), 202);
    }
    assert_eq!(world.text(ANNA, "201", "202", "x"), 486);
    world.advance_ms(8 * 24 * 3600 * 1000);
    assert_eq!(world.gateway.texts_waiting("phone/202"), 0, "too old");
}
