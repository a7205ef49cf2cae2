//! The roles of proxy and redirect server through the whole control core.

use super::super::{Gateway, Input, Outbox, Output};
use crate::config::{Config, NoReader};
use crate::rng::Seed;
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
to = "phone/${number}"
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
