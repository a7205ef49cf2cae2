use super::super::*;
use crate::config::NoReader;
use crate::sip::Transport;
use crate::sip::digest::{self, Algorithm, Authenticator};

const CONFIG: &str = r#"
[sip]
listen = ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"]
domain = "example.com"

[rtp]
address = "127.0.0.1"

[trunk.carrier]
to = "sip:192.0.2.1:5060"
register = true
expires = "10m"
username = "me"
password = "secret"
domain = "carrier.example"
PROXY

[[route]]
name = "out"
match = "9X."
from = ["inside", "trunk/peer"]
transit = true
to = "trunk/carrier"

[[route]]
name = "in"
match = "600"
from = "trunk/carrier"
to = "service/echo"

[trunk.peer]
from = ["127.0.0.2"]
"#;

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.2\r\ns=-\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\nm=audio 6000 RTP/AVP 8 0\r\n";

/// The gateway and a carrier at the other end of its wire.
struct Bench {
    gateway: Gateway,
    now: Instant,
    registrar: Authenticator,
    outputs: Vec<Output>,
}

impl Bench {
    fn new(proxy: &str) -> Bench {
        let text = CONFIG.replace("PROXY", proxy);
        let config = Config::parse("test.toml", &text, &NoReader).expect("a valid configuration");
        let gateway = Gateway::new(config, Seed::from_number(1), Instant::ZERO);
        let registrar = Authenticator::new("carrier", Duration::from_secs(300), &Seed::from_number(2));
        Bench { gateway, now: Instant::ZERO, registrar, outputs: Vec::new() }
    }

    fn input(&mut self, input: Input<'_>) {
        let mut out = Outbox::default();
        self.gateway.handle(self.now, input, &mut out);
        self.outputs.extend(out.drain());
    }

    /// Lets time pass until something is sent; gives it.
    fn sent(&mut self) -> String {
        for _ in 0..1_000 {
            let place = self.outputs.iter().position(|output| matches!(output, Output::Datagram { .. }));
            if let Some(Output::Datagram { flow, bytes }) = place.map(|at| self.outputs.remove(at)) {
                assert_eq!(flow.transport, Transport::Udp);
                return String::from_utf8(bytes).expect("text");
            }
            self.now = self.now.max(self.gateway.deadline().expect("something is due"));
            self.input(Input::Tick);
        }
        panic!("nothing is sent");
    }

    fn datagram(&mut self, from: &str, text: &str) {
        let (local, remote) = ("127.0.0.1:5060".parse(), from.parse());
        let flow = Flow {
            transport: Transport::Udp,
            local: local.expect("an address"),
            remote: remote.expect("an address"),
            connection: None,
        };
        self.input(Input::Datagram { flow, bytes: text.as_bytes() });
    }

    /// The carrier's response to a request.
    fn respond(&mut self, request: &str, status: &str, more: &str) {
        let copied: String = request
            .lines()
            .filter(|line| ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name)))
            .map(|line| if line.starts_with("To:") { format!("{line};tag=c\r\n") } else { format!("{line}\r\n") })
            .collect();
        self.datagram("192.0.2.1:5060", &format!("SIP/2.0 {status}\r\n{copied}{more}Content-Length: 0\r\n\r\n"));
    }

    fn challenge(&mut self, request: &str) {
        let offers = [Algorithm::Sha512_256, Algorithm::Md5];
        let peer = "127.0.0.1".parse().expect("an address");
        let fields = self.registrar.challenge(self.now, peer, &offers, digest::server::Form::default());
        let lines: String =
            fields.iter().map(|field| format!("{}: {}\r\n", field.name.as_str(), field.text())).collect();
        self.respond(request, "401 Unauthorized", &lines);
    }

    /// Registers; gives our contact.
    fn register(&mut self) -> String {
        let first = self.sent();
        assert!(first.starts_with("REGISTER sip:carrier.example SIP/2.0\r\n"), "{first}");
        assert!(!first.contains("Authorization"), "nothing is said before it is asked");
        self.challenge(&first);
        let second = self.sent();
        assert!(second.contains("algorithm=SHA-512-256"), "RFC 8760 2.4: {second}");
        let contact = line(&second, "Contact: ").to_owned();
        self.respond(&second, "200 OK", &format!("Contact: {contact};expires=300\r\n"));
        contact
    }

    fn state(&self) -> String {
        self.gateway.trunk_summaries(self.now).remove(0).state
    }
}

fn line<'t>(text: &'t str, name: &str) -> &'t str {
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name} in {text}"))
}

#[test]
fn a_trunk_is_registered_refreshed_with_the_same_nonce_and_left_at_the_end() {
    let mut bench = Bench::new("");
    assert!(bench.state().starts_with("not registered, next attempt in"), "{}", bench.state());
    bench.register();
    assert_eq!(bench.state(), "registered for 300 s more");
    let began = bench.now;
    let refresh = bench.sent();
    assert!(refresh.starts_with("REGISTER ") && line(&refresh, "CSeq: ") == "3 REGISTER", "{refresh}");
    assert!(refresh.contains("nc=00000002"), "RFC 7616 3.4: {refresh}");
    let after = bench.now.since(began);
    assert!(after >= Duration::from_secs(238) && after <= Duration::from_secs(268), "{after:?}");
    bench.respond(&refresh, "200 OK", "Expires: 600\r\n");
    assert_eq!(bench.state(), "registered for 600 s more");

    assert!(!bench.gateway.is_at_rest());
    bench.input(Input::Drain);
    let leaving = bench.sent();
    assert_eq!(line(&leaving, "Expires: "), "0");
    assert_eq!(bench.state(), "unregistering");
    bench.respond(&leaving, "200 OK", "");
    assert_eq!(bench.state(), "unregistered");
    assert!(bench.gateway.is_at_rest());
}

#[test]
fn a_refused_registration_is_tried_again_later_and_says_why() {
    let mut bench = Bench::new("");
    let first = bench.sent();
    bench.respond(&first, "403 Forbidden", "");
    let state = bench.state();
    assert!(state.starts_with("not registered: 403 Forbidden, next attempt in"), "{state}");
    let began = bench.now;
    let second = bench.sent();
    assert!(second.starts_with("REGISTER "));
    assert!(bench.now.since(began) >= Duration::from_secs(15), "RFC 5626 4.5");
    bench.respond(&second, "423 Interval Too Brief", "Min-Expires: 1200\r\n");
    assert_eq!(line(&bench.sent(), "Expires: "), "1200");
}

/// The INVITE to the carrier that a call from the loopback to 9123 causes.
fn invite_to_carrier(bench: &mut Bench, number: u32) -> String {
    let call = format!(
        "INVITE sip:9123@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:5070;branch=z9hG4bKs{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:1000@127.0.0.2>;tag=a\r\nTo: <sip:9123@127.0.0.1>\r\nCall-ID: s{number}\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:1000@127.0.0.2:5070>\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{SDP}",
        SDP.len()
    );
    bench.datagram("127.0.0.2:5070", &call);
    loop {
        let text = bench.sent();
        if text.starts_with("INVITE ") {
            return text;
        }
    }
}

fn routes(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("Route: ")).collect()
}

#[test]
fn rfc_3608_calls_pass_the_service_route_and_registrations_do_not() {
    let mut bench = Bench::new("");
    let first = bench.sent();
    assert_eq!(line(&first, "Supported: "), "path", "RFC 3327 5.1");
    let two = "Service-Route: <sip:192.0.2.1:5062;lr>, <sip:inner.carrier.example;lr>\r\n";
    bench.respond(&first, "200 OK", &format!("Expires: 300\r\n{two}"));
    let invite = invite_to_carrier(&mut bench, 1);
    assert!(invite.starts_with("INVITE sip:9123@carrier.example SIP/2.0\r\n"), "{invite}");
    assert_eq!(routes(&invite), ["<sip:192.0.2.1:5062;lr>", "<sip:inner.carrier.example;lr>"]);
    let refresh = loop {
        let text = bench.sent();
        if text.starts_with("REGISTER ") {
            break text;
        }
    };
    assert!(routes(&refresh).is_empty(), "{refresh}");
    // What cannot be taken, and what is there no more, is not kept.
    bench.respond(&refresh, "200 OK", "Expires: 300\r\nService-Route: <sip:strict.example>\r\n");
    assert!(routes(&invite_to_carrier(&mut bench, 2)).is_empty());

    let mut bench = Bench::new("outbound-proxy = \"sip:192.0.2.1:5062\"");
    let first = bench.sent();
    bench.respond(&first, "200 OK", &format!("Expires: 300\r\n{two}"));
    let invite = invite_to_carrier(&mut bench, 1);
    assert_eq!(routes(&invite), ["<sip:192.0.2.1:5062;lr>", "<sip:inner.carrier.example;lr>"], "the proxy once");
}

#[test]
fn a_redirect_of_a_registrar_leads_nowhere_and_its_password_stays_here() {
    for status in ["301 Moved Permanently", "302 Moved Temporarily", "305 Use Proxy"] {
        let mut bench = Bench::new("");
        let first = bench.sent();
        bench.respond(&first, status, "Contact: <sip:203.0.113.9>\r\n");
        assert!(bench.state().starts_with(&format!("not registered: {status}, next attempt in")), "{}", bench.state());
        let began = bench.now;
        let next = bench.sent();
        assert!(next.starts_with("REGISTER sip:carrier.example ") && bench.now.since(began).as_secs() >= 15);
    }
}

#[test]
fn a_second_refusal_of_the_password_is_final_and_a_stale_nonce_is_not() {
    let mut bench = Bench::new("");
    let first = bench.sent();
    bench.challenge(&first);
    let second = bench.sent();
    assert!(second.contains("Authorization: Digest"), "{second}");
    bench.challenge(&second);
    assert!(bench.state().contains("401 Unauthorized"), "the same challenge again: {}", bench.state());

    let mut bench = Bench::new("");
    let first = bench.sent();
    bench.challenge(&first);
    let second = bench.sent();
    let stale = "WWW-Authenticate: Digest realm=\"carrier\", nonce=\"another\", qop=\"auth\", stale=true\r\n";
    bench.respond(&second, "401 Unauthorized", stale);
    let third = bench.sent();
    assert!(third.starts_with("REGISTER ") && third.contains("nonce=\"another\""), "{third}");
    bench.respond(&third, "200 OK", "Expires: 300\r\n");
    assert_eq!(bench.state(), "registered for 300 s more");
}

#[test]
fn another_realm_than_the_configured_one_is_not_answered() {
    let mut bench = Bench::new("realm = \"somewhere else\"");
    let first = bench.sent();
    bench.challenge(&first);
    assert!(bench.state().contains("401 Unauthorized"), "{}", bench.state());
}

#[test]
fn a_call_to_the_registered_contact_is_the_carriers_and_goes_to_the_number_in_to() {
    let mut bench = Bench::new("");
    let contact = bench.register();
    let uri = contact.trim_matches(['<', '>']).to_owned();
    let invite = |n: u32| {
        format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{n}\r\nMax-Forwards: 70\r\n\
             From: <sip:1000@carrier.example>;tag=a\r\nTo: <sip:600@carrier.example>\r\nCall-ID: in{n}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:1000@192.0.2.1>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
            SDP.len()
        )
    };
    bench.datagram("192.0.2.99:5060", &invite(1));
    assert!(bench.sent().starts_with("SIP/2.0 401"), "who overheard the contact is not the carrier");
    bench.datagram("192.0.2.1:5060", &invite(2));
    let answers = [bench.sent(), bench.sent()];
    assert!(answers.iter().any(|text| text.starts_with("SIP/2.0 200 OK")), "{answers:?}");
    let calls = bench.gateway.call_summaries();
    assert_eq!((calls[0].from.as_str(), calls[0].called.as_str()), ("trunk/carrier", "600"));
}

#[test]
fn calls_log_in_ahead_and_take_the_outbound_proxy() {
    let mut bench = Bench::new("outbound-proxy = \"sip:192.0.2.1:5062\"");
    let first = bench.sent();
    assert_eq!(line(&first, "Route: "), "<sip:192.0.2.1:5062;lr>");
    bench.challenge(&first);
    let second = bench.sent();
    bench.respond(&second, "200 OK", "Expires: 300\r\n");
    let call = format!(
        "INVITE sip:9123@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:5070;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n\
         From: <sip:1000@127.0.0.2>;tag=a\r\nTo: <sip:9123@127.0.0.1>\r\nCall-ID: out\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:1000@127.0.0.2:5070>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
        SDP.len()
    );
    bench.datagram("127.0.0.2:5070", &call);
    let invite = loop {
        let text = bench.sent();
        if text.starts_with("INVITE ") {
            break text;
        }
    };
    assert!(invite.starts_with("INVITE sip:9123@carrier.example SIP/2.0\r\n"), "{invite}");
    assert_eq!(line(&invite, "Route: "), "<sip:192.0.2.1:5062;lr>");
    assert!(line(&invite, "Authorization: ").contains("nc=00000002"), "{invite}");
    // The nonce has ended meanwhile: once more, with the next one.
    bench.challenge(&invite);
    let ack = bench.sent();
    assert!(ack.starts_with("ACK "), "{ack}");
    let again = bench.sent();
    assert!(again.starts_with("INVITE ") && line(&again, "Authorization: ").contains("nc=00000001"), "{again}");
}

#[test]
fn registrations_are_told_and_taken_back_by_the_next_gateway() {
    const PHONES: &str = "[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\n[phone.201]\npassword = \"p\"\n";
    let config = || Config::parse("test.toml", PHONES, &NoReader).expect("a valid configuration");
    let mut bench = Bench { gateway: Gateway::new(config(), Seed::from_number(1), Instant::ZERO), ..Bench::new("") };
    let request = |n: u32, more: &str| {
        format!(
            "REGISTER sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7:5070;branch=z9hG4bK{n}\r\nMax-Forwards: 70\r\n\
             From: <sip:201@127.0.0.1>;tag=a\r\nTo: <sip:201@127.0.0.1>\r\nCall-ID: r\r\nCSeq: {n} REGISTER\r\n\
             Contact: <sip:201@192.0.2.7:5070>;expires=100\r\n{more}Content-Length: 0\r\n\r\n"
        )
    };
    bench.datagram("192.0.2.7:5070", &request(1, ""));
    let challenge = bench.sent();
    let me = Credentials { username: "201".into(), password: "p".into(), realm: None, peer: "x".into() };
    let asking = digest::client::Asking {
        covered: digest::Covered { method: b"REGISTER", body: b"" },
        uri: "sip:127.0.0.1",
        cnonce: "c",
    };
    let field = line(&challenge, "WWW-Authenticate: ").as_bytes();
    let proof = digest::Logins::default().answer(std::iter::once(field), false, &me, asking).expect("answered");
    bench.datagram("192.0.2.7:5070", &request(2, &format!("Authorization: {}\r\n", proof.text())));
    assert!(bench.sent().starts_with("SIP/2.0 200"));
    let told: Vec<(String, Binding)> = bench
        .outputs
        .drain(..)
        .filter_map(|output| match output {
            Output::Binding(Change::Bound { account, binding }) => Some((account, *binding)),
            _ => None,
        })
        .collect();
    assert_eq!(told.len(), 1);

    let mut next = Bench { gateway: Gateway::new(config(), Seed::from_number(9), Instant::ZERO), ..Bench::new("") };
    let stranger = (String::from("299"), told[0].1.clone());
    next.input(Input::Restore(vec![told[0].clone(), stranger]));
    assert_eq!(next.gateway.phone_summaries(next.now)[0].contacts, ["sip:201@192.0.2.7:5070"]);
    let forgotten =
        |output: &Output| matches!(output, Output::Binding(Change::Unbound { account, .. }) if account == "299");
    assert!(next.outputs.iter().any(forgotten), "an account that is no more loses its registrations");
    next.now = Instant::from_millis(100_000);
    next.input(Input::Tick);
    assert!(next.gateway.phone_summaries(next.now)[0].contacts.is_empty());
}

use crate::sip::Credentials;
