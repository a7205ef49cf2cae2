//! The roles of proxy and redirect server through the whole control core.

use super::super::{Gateway, Input, Outbox, Output};
use crate::config::{Config, NoReader};
use crate::rng::Seed;
use crate::sip::registration::Binding;
use crate::sip::{Flow, Question, Records, Transport};
use crate::time::Instant;

const CONFIG: &str = r#"
[sip]
listen = ["udp:127.0.0.1:5060"]
domain = "example.com"

[rtp]
address = "127.0.0.1"
ports = "20000-20099"

[phone.201]
password = "secret"
calls = "proxy"

[phone.202]
password = "secret"
calls = "redirect"

[phone.203]
password = "secret"

[domain."other.example"]
to = "sip:127.0.0.7:5060"
calls = "proxy"

[domain."named.example"]
to = "sip:proxy.named.example:5070"
calls = "proxy"

[domain."gone.example"]
to = "sip:new.example"
calls = "redirect"

[domain."moved.example"]
to = "sip:127.0.0.7:5060"
calls = "redirect"

[trunk.peer]
from = ["127.0.0.2"]

[[route]]
name = "phones"
match = "20X"
from = ["inside", "trunk/peer"]
to = "phone/{number}"
"#;

fn flow(remote: &str) -> Flow {
    let address = |text: &str| text.parse().expect("an address");
    Flow { transport: Transport::Udp, local: address("127.0.0.1:5060"), remote: address(remote), connection: None }
}

/// Start lines of what an INVITE from the peer for `uri` causes, with where they go.
fn invite(gateway: &mut Gateway, uri: &str) -> Vec<String> {
    let text = format!(
        "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2;branch=z9hG4bK{}\r\nFrom: <sip:1000@h>;tag=a\r\n\
         To: <{uri}>\r\nCall-ID: {uri}\r\nCSeq: 1 INVITE\r\nContact: <sip:1000@127.0.0.2>\r\nMax-Forwards: 70\r\n\r\n",
        uri.len()
    );
    let mut out = Outbox::default();
    gateway.handle(
        Instant::from_millis(5),
        Input::Datagram { flow: flow("127.0.0.2:5060"), bytes: text.as_bytes() },
        &mut out,
    );
    let datagrams = out.drain().filter_map(|output| match output {
        Output::Datagram { flow, bytes } => Some((flow.remote, String::from_utf8_lossy(&bytes).into_owned())),
        _ => None,
    });
    datagrams
        .map(|(remote, text)| {
            let contact = text.lines().filter(|line| line.starts_with("Contact:")).collect::<Vec<_>>().join(" ");
            format!("{remote} {} {contact}", text.lines().next().unwrap_or_default())
        })
        .collect()
}

fn gateway() -> Gateway {
    let config = Config::parse("test.toml", CONFIG, &NoReader).expect("a valid configuration");
    Gateway::new(config, Seed::from_number(1), Instant::ZERO)
}

#[test]
fn a_call_to_a_domain_is_passed_on_and_nothing_of_it_is_carried() {
    let mut gateway = gateway();
    let sent = invite(&mut gateway, "sip:anybody@other.example");
    assert!(sent[0].starts_with("127.0.0.2:5060 SIP/2.0 100"), "{sent:?}");
    assert!(sent[1].starts_with("127.0.0.7:5060 INVITE sip:anybody@other.example SIP/2.0"), "{sent:?}");
    let counts = gateway.counts();
    assert_eq!((counts.calls, counts.streams, counts.sip.sessions, counts.sip.proxied), (0, 0, 0, 1));
}

#[test]
fn a_domain_whose_way_is_a_name_is_located() {
    let mut gateway = gateway();
    let sent = invite(&mut gateway, "sip:anybody@named.example");
    assert!(sent.len() == 1 && sent[0].starts_with("127.0.0.2:5060 SIP/2.0 100"), "{sent:?}");
    let mut out = Outbox::default();
    let question = Question::Ipv4("proxy.named.example".to_owned());
    let records = Records { addresses: vec!["127.0.0.9".parse().expect("an address")], ..Records::default() };
    gateway.handle(Instant::from_millis(6), Input::Resolved { question, records }, &mut out);
    let outputs: Vec<Output> = out.drain().collect();
    let [Output::Datagram { flow, bytes }] = outputs.as_slice() else { panic!("{outputs:?}") };
    let text = String::from_utf8_lossy(bytes);
    assert_eq!(flow.remote.to_string(), "127.0.0.9:5070");
    assert!(text.starts_with("INVITE sip:anybody@named.example SIP/2.0\r\nVia: "), "{text}");
    assert_eq!((text.matches("Via: ").count(), text.matches("Record-Route: ").count()), (2, 1), "{text}");

    let gone = invite(&mut self::gateway(), "sip:anybody@gone.example");
    assert_eq!(gone, ["127.0.0.2:5060 SIP/2.0 302 Moved Temporarily Contact: <sip:anybody@new.example>"]);
}

#[test]
fn a_caller_is_redirected_to_where_a_domain_went() {
    let sent = invite(&mut gateway(), "sip:anybody@moved.example");
    assert_eq!(sent, ["127.0.0.2:5060 SIP/2.0 302 Moved Temporarily Contact: <sip:anybody@127.0.0.7:5060>"]);
}

#[test]
fn a_telephone_that_is_not_registered_is_absent_in_every_role() {
    for uri in ["sip:201@example.com", "sip:202@example.com", "sip:203@example.com"] {
        let mut gateway = gateway();
        let sent = invite(&mut gateway, uri);
        assert!(sent.last().expect("an answer").contains("480 Temporarily Unavailable"), "{uri}: {sent:?}");
        assert_eq!(gateway.counts().sip.proxied, 0);
    }
}

#[test]
fn every_method_is_passed_on_to_another_domain_and_dialogs_come_back_this_way() {
    let to_domain = |method: &str, uri: &str| {
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2;branch=z9hG4bK1\r\nFrom: <sip:1000@h>;tag=a\r\n\
             To: <{uri}>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\nRequire: novelty\r\nMax-Forwards: 70\r\n\r\n"
        );
        let mut gateway = gateway();
        let mut out = Outbox::default();
        let input = Input::Datagram { flow: flow("127.0.0.2:5060"), bytes: text.as_bytes() };
        gateway.handle(Instant::from_millis(5), input, &mut out);
        let sent = out.drain().filter_map(|output| match output {
            Output::Datagram { flow, bytes } => Some((flow.remote, String::from_utf8_lossy(&bytes).into_owned())),
            _ => None,
        });
        sent.last().expect("something is sent")
    };
    for method in ["OPTIONS", "MESSAGE", "SUBSCRIBE", "PUBLISH", "REFER", "NOVEL"] {
        let (remote, text) = to_domain(method, "sip:anybody@other.example");
        assert_eq!(remote.to_string(), "127.0.0.7:5060", "{method}: {text}");
        assert!(text.starts_with(&format!("{method} sip:anybody@other.example SIP/2.0")), "{text}");
        let is_recorded = text.contains("Record-Route:");
        assert_eq!(is_recorded, matches!(method, "SUBSCRIBE" | "REFER"), "{method}: {text}");
        // Require is for the user agent there (16.3 step 5 looks at Proxy-Require alone).
        assert!(text.contains("Require: novelty"), "{text}");
        let (remote, text) = to_domain(method, "sip:anybody@moved.example");
        assert!(remote.to_string() == "127.0.0.2:5060" && text.starts_with("SIP/2.0 302"), "{text}");
    }
    // REGISTER is for the registrar, whatever its domain.
    let (remote, _) = to_domain("REGISTER", "sip:other.example");
    assert_eq!(remote.to_string(), "127.0.0.2:5060");
}

/// A gateway between a peer, an account and its telephone, on texts.
struct World {
    gateway: Gateway,
    at: u64,
    outputs: Vec<Output>,
}

impl World {
    fn new(config: &str) -> World {
        let config = Config::parse("test.toml", config, &NoReader).expect("a valid configuration");
        let mut world =
            World { gateway: Gateway::new(config, Seed::from_number(1), Instant::ZERO), at: 5, outputs: Vec::new() };
        world.restore();
        world
    }

    /// The telephone 201 is registered at 127.0.0.5.
    fn restore(&mut self) {
        let binding = Binding {
            uri: "sip:201@127.0.0.5:5060".parse().expect("a URI"),
            q: 1000,
            call_id: "r".to_owned(),
            sequence: 1,
            path: Vec::new(),
            instance: None,
            expires: Instant::from_millis(3_600_000),
            flow: flow("127.0.0.5:5060"),
        };
        self.input(Input::Restore(vec![("201".to_owned(), binding)]));
    }

    fn input(&mut self, input: Input<'_>) {
        self.at += 1;
        let mut out = Outbox::default();
        self.gateway.handle(Instant::from_millis(self.at), input, &mut out);
        self.outputs.extend(out.drain());
    }

    fn datagram(&mut self, from: &str, text: &str) {
        self.input(Input::Datagram { flow: flow(from), bytes: text.as_bytes() });
    }

    fn request(&mut self, from: &str, method: &str, uri: &str, to: &str, more: &str) {
        let host = from.trim_end_matches(":5060");
        let at = self.at;
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {host};branch=z9hG4bK{at}\r\nFrom: <sip:1000@h>;tag=a\r\n\
             To: {to}\r\nCall-ID: c\r\nCSeq: {at} {method}\r\nContact: <sip:1000@{host}>\r\nMax-Forwards: 70\r\n{more}\r\n"
        );
        self.datagram(from, &text);
    }

    /// What was sent since the last look, with where to.
    fn sent(&mut self) -> Vec<(String, String)> {
        let sent = self.outputs.iter().filter_map(|output| match output {
            Output::Datagram { flow, bytes } => {
                Some((flow.remote.to_string(), String::from_utf8_lossy(bytes).into_owned()))
            }
            _ => None,
        });
        let sent = sent.collect();
        self.outputs.retain(|output| matches!(output, Output::Record(_)));
        sent
    }

    /// The telephone answers.
    fn answer(&mut self, request: &str, status: u16) -> String {
        let field = |name: &str| {
            request.lines().filter(|line| line.starts_with(name)).fold(String::new(), |all, line| all + line + "\r\n")
        };
        let text = format!(
            "SIP/2.0 {status} X\r\n{}{}{};tag=b\r\n{}{}{}Contact: <sip:201@127.0.0.5>\r\nContent-Length: 0\r\n\r\n",
            field("Via:"),
            field("From:"),
            field("To:").trim_end(),
            field("Call-ID:"),
            field("CSeq:"),
            field("Record-Route:"),
        );
        self.datagram("127.0.0.5:5060", &text);
        field("Record-Route:").trim().replace("Record-Route:", "Route:")
    }

    fn records(&mut self) -> Vec<String> {
        let records = self.outputs.iter().filter_map(|output| match output {
            Output::Record(r) => Some(format!(
                "{} {} -> {} by {} cause {} status {:?} answered {}",
                r.from,
                r.called,
                r.to.as_deref().unwrap_or("-"),
                r.released_by.as_str(),
                r.release.cause.value(),
                r.status,
                r.answered_at.is_some(),
            )),
            _ => None,
        });
        let records = records.collect();
        self.outputs.clear();
        records
    }
}

const PEER: &str = "127.0.0.2:5060";
const PHONE: &str = "127.0.0.5:5060";
const URI: &str = "sip:201@example.com";

#[test]
fn requests_that_are_no_dialogs_reach_a_telephone_whose_calls_are_passed_on() {
    for (method, more) in [
        ("OPTIONS", ""),
        ("REFER", "Refer-To: <sip:1@h>\r\n"),
        ("SUBSCRIBE", "Event: line-seize\r\nExpires: 15\r\n"),
        ("MESSAGE", "Content-Type: text/plain\r\n"),
        ("NOVEL", "Require: novelty\r\n"),
    ] {
        let mut world = World::new(CONFIG);
        world.request(PEER, method, URI, "<sip:201@example.com>", more);
        let sent = world.sent();
        let (to, text) = sent.last().expect("something is sent");
        assert!(to == PHONE && text.starts_with(&format!("{method} sip:201@127.0.0.5:5060 ")), "{method}: {sent:?}");
        world.answer(text, 200);
        let sent = world.sent();
        assert!(sent.iter().any(|(to, text)| to == PEER && text.starts_with("SIP/2.0 200 ")), "{method}: {sent:?}");
        assert_eq!(world.records(), [""; 0], "a call it is not");
    }
    // What we do for telephones we do for this one, too; nor is another one asked.
    for (method, uri, more, status) in [
        ("SUBSCRIBE", URI, "Event: dialog\r\nExpires: 600\r\n", "200"),
        ("OPTIONS", "sip:202@example.com", "", "200"),
        ("OPTIONS", "sip:203@example.com", "", "200"),
    ] {
        let mut world = World::new(CONFIG);
        world.request(PEER, method, uri, &format!("<{uri}>"), more);
        let sent = world.sent();
        assert!(
            sent.iter().any(|(to, t)| to == PEER && t.starts_with(&format!("SIP/2.0 {status}"))),
            "{method} {uri} {sent:?}"
        );
        assert!(!sent.iter().any(|(to, _)| to == PHONE), "{method} {uri}");
    }
}

#[test]
fn calls_that_are_passed_on_are_recorded_once_they_end() {
    let call = |world: &mut World, status: u16| {
        world.request(PEER, "INVITE", URI, "<sip:201@example.com>", "");
        let sent = world.sent();
        let invite = sent.iter().find(|(to, _)| to == PHONE).unwrap_or_else(|| panic!("{sent:?}")).1.clone();
        world.answer(&invite, status)
    };
    let mut world = World::new(CONFIG);
    call(&mut world, 486);
    assert_eq!(world.records(), ["trunk/peer 201 -> phone/201 by callee cause 17 status Some(486) answered false"]);

    for (from, by) in [(PEER, "caller"), (PHONE, "callee")] {
        let mut world = World::new(CONFIG);
        let route = call(&mut world, 200);
        assert_eq!((world.records(), world.gateway.passed_talks()), (Vec::new(), 1), "it is under way");
        let (uri, tags) = match from {
            PEER => ("sip:201@127.0.0.5", ("a", "b")),
            _ => ("sip:1000@127.0.0.2", ("b", "a")),
        };
        let text = format!(
            "BYE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKbye\r\nFrom: <sip:1000@h>;tag={}\r\n\
             To: <sip:201@example.com>;tag={}\r\nCall-ID: c\r\nCSeq: 99 BYE\r\n{route}\r\nMax-Forwards: 70\r\n\r\n",
            tags.0, tags.1
        );
        world.datagram(from, &text);
        let expected = format!("trunk/peer 201 -> phone/201 by {by} cause 16 status None answered true");
        assert_eq!((world.records(), world.gateway.passed_talks()), (vec![expected], 0));
    }
    // One that says no BYE is written at the end.
    let mut world = World::new(CONFIG);
    call(&mut world, 200);
    world.input(Input::Drain);
    assert_eq!(world.records(), ["trunk/peer 201 -> phone/201 by gateway cause 16 status None answered true"]);
}

#[test]
fn answered_calls_that_never_say_bye_are_bounded_and_the_oldest_is_written() {
    let mut world = World::new(CONFIG);
    for call in 0..=crate::limits::PASSED_CALLS {
        let text = format!(
            "INVITE {URI} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2;branch=z9hG4bK{call}\r\nFrom: <sip:1000@h>;tag=a\r\n\
             To: <{URI}>\r\nCall-ID: {call}\r\nCSeq: 1 INVITE\r\nContact: <sip:1000@127.0.0.2>\r\nMax-Forwards: 70\r\n\r\n"
        );
        world.datagram(PEER, &text);
        let sent = world.sent();
        let invite = sent.iter().find(|(to, _)| to == PHONE).expect("it is passed on").1.clone();
        world.answer(&invite, 200);
        assert_eq!(world.gateway.passed_talks(), (call + 1).min(crate::limits::PASSED_CALLS));
    }
    assert_eq!(world.records().len(), 1);
}

#[test]
fn a_stranger_who_may_call_is_passed_on_to_no_other_domain() {
    let mut world = World::new(
        &CONFIG.replace("domain = \"example.com\"", "domain = \"example.com\"\nopen = [\"INVITE\", \"MESSAGE\"]"),
    );
    for method in ["INVITE", "MESSAGE"] {
        world.request("192.0.2.9:5060", method, "sip:201@other.example", "<sip:201@other.example>", "");
        let sent = world.sent();
        assert!(!sent.is_empty() && sent.iter().all(|(to, _)| to == "192.0.2.9:5060"), "{method}: {sent:?}");
    }
}
