//! RFC 3665, basic call flows: the gateway stands where the figures have registrar and proxies.
//!
//! It is a back-to-back user agent: each side has a dialog of its own, and what a proxy would pass on
//! is said again. 3.5 (an ALG) has no counterpart here.

use super::TRANSPORT;
use super::stage::{Stage, by, sdp};
use tipring::sip::{HeaderName, Method, NameAddr, Response, Transport};
use tipring::time::Duration;

fn contacts(response: &Response) -> Vec<String> {
    let values: Vec<String> = response.headers.tokens(&HeaderName::Contact);
    let uri = |text: &String| NameAddr::parse(text.as_bytes()).expect("an address").uri.to_string();
    values.iter().map(uri).collect()
}

/// Alice (202) and Bob (201), both registered.
fn alice_and_bob() -> (Stage, super::stage::Party, super::stage::Party) {
    let mut stage = Stage::new("");
    let (mut alice, mut bob) = (stage.party("202", 2), stage.party("201", 1));
    stage.register(&mut alice);
    stage.register(&mut bob);
    alice.again();
    bob.again();
    (stage, alice, bob)
}

#[test]
fn section_2_1_successful_new_registration() {
    let mut stage = Stage::new("");
    let mut bob = stage.party("201", 1);
    let f1 = bob.register("", true);
    stage.send(&bob, &f1);
    let f2 = stage.expects(&mut bob, 401);
    assert!(f2.headers.text(&HeaderName::WwwAuthenticate).expect("a challenge").starts_with("Digest "));
    let f3 = bob.register("", true);
    stage.send(&bob, &f3);
    let f4 = stage.expects(&mut bob, 200);
    assert_eq!(contacts(&f4), [bob.uri()]);
    assert!(f4.headers.text(&HeaderName::Contact).expect("Contact").contains("expires="));
    stage.silence(Duration::from_secs(60));
}

#[test]
fn section_2_2_update_of_the_contact_list() {
    let mut stage = Stage::new("");
    let mut bob = stage.party("201", 1);
    stage.register(&mut bob);
    let second = "Contact: <sip:201@127.0.4.9:5070>\r\nExpires: 600\r\n";
    let f1 = bob.register(second, false);
    stage.send(&bob, &f1);
    stage.expects(&mut bob, 401);
    let f3 = bob.register(second, false);
    stage.send(&bob, &f3);
    let f4 = stage.expects(&mut bob, 200);
    let mut all = contacts(&f4);
    all.sort();
    assert_eq!(all, [bob.uri(), "sip:201@127.0.4.9:5070".to_owned()]);
}

#[test]
fn section_2_3_request_for_the_current_contact_list() {
    let mut stage = Stage::new("");
    let mut bob = stage.party("201", 1);
    stage.register(&mut bob);
    for status in [401, 200] {
        let ask = bob.register("", false);
        stage.send(&bob, &ask);
        let response = stage.expects(&mut bob, status);
        if status == 200 {
            assert_eq!(contacts(&response), [bob.uri()]);
        }
    }
}

#[test]
fn section_2_4_cancellation_of_a_registration() {
    let mut stage = Stage::new("");
    let (mut alice, mut bob) = (stage.party("peer", 2), stage.party("201", 1));
    stage.register(&mut bob);
    for status in [401, 200] {
        let remove = bob.register("Contact: *\r\nExpires: 0\r\n", false);
        stage.send(&bob, &remove);
        let response = stage.expects(&mut bob, status);
        if status == 200 {
            assert_eq!(contacts(&response), [""; 0]);
        }
    }
    // Nobody is reached there any more.
    stage.invite(&mut alice, "201");
    stage.expects_after_trying(&mut alice, 480);
    let ack = alice.ack_failure();
    stage.send(&alice, &ack);
    stage.finish(1);
}

#[test]
fn section_2_5_unsuccessful_registration() {
    let mut stage = Stage::new("");
    let mut intruder = stage.party("201", 1);
    let f1 = intruder.register("", true);
    stage.send(&intruder, &f1);
    stage.expects(&mut intruder, 401);
    let f3 = intruder.register("", true);
    let at = f3.find("response=\"").expect("digest") + 10;
    let digit = if &f3[at..=at] == "0" { "1" } else { "0" };
    let wrong = format!("{}{digit}{}", &f3[..at], &f3[at + 1..]);
    stage.send(&intruder, &wrong);
    stage.expects(&mut intruder, 401);
    stage.silence(Duration::from_secs(60));
}

#[test]
fn section_3_1_successful_session_establishment() {
    let (mut stage, mut alice, mut bob) = alice_and_bob();
    stage.invite(&mut alice, "201"); // F1
    let f2 = stage.expect(&mut bob, Method::Invite);
    assert_ne!(f2.call_id().as_deref(), Some("202-call-1x"), "the two sides are not linked");
    assert!(!f2.body.is_empty());
    let ringing = bob.answer(180, "", "");
    stage.send(&bob, &ringing);
    let f3 = stage.expects_after_trying(&mut alice, 180);
    assert!(f3.to().expect("To").tag().is_some());
    let body = sdp(bob.address, 3456);
    let ok = bob.answer(200, "", &body);
    stage.send(&bob, &ok);
    stage.expect(&mut bob, Method::Ack); // F5, said again
    let f4 = stage.expects(&mut alice, 200);
    assert!(!f4.body.is_empty() && f4.contact().is_some());
    let ack = alice.ack("");
    stage.send(&alice, &ack);
    stage.silence(Duration::from_secs(2)); // both way RTP
    let bye = bob.inside("BYE", "", "");
    stage.send(&bob, &bye); // F6
    stage.expects(&mut bob, 200); // F7
    stage.expect(&mut alice, Method::Bye);
    let ok = alice.answer(200, "", "");
    stage.send(&alice, &ok);
    stage.finish(1);
}

/// As 3.1, with proxies that stay in the way on the caller's side: two Record-Routes.
#[test]
fn section_3_2_session_establishment_through_two_proxies() {
    let (mut stage, mut alice, mut bob) = alice_and_bob();
    // The second proxy (F3 of the figure) is where the gateway's responses and requests go.
    let mut proxy = stage.party("proxy", 20);
    let route = format!("<sip:{}{};lr>", proxy.address, by());
    let further = "<sip:ss1.atlanta.example.com;lr>";
    let through = |text: &str, proxy: &super::stage::Party| {
        let via = format!("Via: SIP/2.0/{} {};branch=z9hG4bKproxy{}\r\nVia:", TRANSPORT.name(), proxy.address, text.len());
        text.replacen("Via:", &via, 1).replacen(
            "From:",
            &format!("Record-Route: {route}\r\nRecord-Route: {further}\r\nFrom:"),
            1,
        )
    };
    let invite = alice.invite("201", true);
    stage.send(&proxy, &through(&invite, &proxy));
    let challenge = stage.expects(&mut proxy, 401);
    assert_eq!(challenge.headers.tokens(&HeaderName::Via).len(), 2, "the response takes the way back");
    alice.learn(&challenge);
    let ack = alice.ack_failure();
    let via = format!("Via: SIP/2.0/{} {};branch=z9hG4bKproxy{}\r\nVia:", TRANSPORT.name(), proxy.address, invite.len());
    stage.send(&proxy, &ack.replacen("Via:", &via, 1));
    let invite = alice.invite("201", true);
    stage.send(&proxy, &through(&invite, &proxy));
    stage.expect(&mut bob, Method::Invite);
    let ok = bob.answer(200, "", &sdp(bob.address, 3456));
    stage.send(&bob, &ok);
    stage.expect(&mut bob, Method::Ack);
    let ok = stage.expects_after_trying(&mut proxy, 200);
    assert_eq!(ok.headers.tokens(&HeaderName::RecordRoute), [route.clone(), further.to_owned()], "copied (12.1.1)");
    alice.learn(&ok);
    let ack = alice.ack("");
    stage.send(&proxy, &ack);
    let bye = bob.inside("BYE", "", "");
    stage.send(&bob, &bye);
    stage.expects(&mut bob, 200);
    // 12.2.1.1: Request-URI is the remote target, Route the recorded ones in order.
    let bye = stage.expect(&mut proxy, Method::Bye);
    assert_eq!(bye.uri.to_string(), alice.uri());
    assert_eq!(bye.headers.tokens(&HeaderName::Route), [route, further.to_owned()]);
    let ok = proxy.answer(200, "", "");
    stage.send(&proxy, &ok);
    stage.finish(1);
}

/// A carrier with two servers at which we log in; calls to 9XXX go there.
fn carrier() -> (Stage, super::stage::Party, super::stage::Party, super::stage::Party) {
    let to = |last: u8, port: u16| format!("\"sip:127.0.4.{last}:{port}{}\"", by());
    let port = if TRANSPORT == Transport::Tls { 5061 } else { 5060 };
    let mut stage = Stage::new(&format!(
        "[trunk.carrier]\nto = [{}, {}]\nusername = \"office\"\npassword = \"tipring-demo\"\nrealm = \"carrier\"\n\
         [[route]]\nname = \"out\"\nmatch = \"9XXX\"\nfrom = \"inside\"\nto = \"trunk/carrier\"\n",
        to(31, port),
        to(32, port)
    ));
    let mut alice = stage.party("202", 2);
    let (first, second) = (stage.party("first", 31), stage.party("second", 32));
    stage.register(&mut alice);
    alice.again();
    (stage, alice, first, second)
}

/// The answer of the carrier's side, and the end of the call.
fn answer_and_hang_up(mut stage: Stage, alice: &mut super::stage::Party, server: &mut super::stage::Party) {
    let ok = server.answer(200, "", &sdp(server.address, 3456));
    stage.send(server, &ok);
    stage.expect(server, Method::Ack);
    stage.expects_after_trying(alice, 200);
    let ack = alice.ack("");
    stage.send(alice, &ack);
    stage.silence(Duration::from_secs(1));
    let bye = alice.inside("BYE", "", "");
    stage.send(alice, &bye);
    stage.expects(alice, 200);
    stage.expect(server, Method::Bye);
    let ok = server.answer(200, "", "");
    stage.send(server, &ok);
    stage.finish(1);
}

/// The first challenge is ours to Alice, the second one the carrier's to us: each answers its own.
#[test]
fn section_3_3_session_with_multiple_proxy_authentication() {
    let (mut stage, mut alice, mut proxy, _second) = carrier();
    stage.invite(&mut alice, "9123"); // F1 to F4
    let f5 = stage.expect(&mut proxy, Method::Invite);
    assert!(!f5.headers.has(&HeaderName::Authorization), "Alice's credentials are for us alone");
    let challenge = "Proxy-Authenticate: Digest realm=\"carrier\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"\r\n";
    let f7 = proxy.answer(407, challenge, "");
    stage.send(&proxy, &f7);
    stage.expect(&mut proxy, Method::Ack);
    let f12 = stage.expect(&mut proxy, Method::Invite);
    let credentials = f12.headers.text(&HeaderName::ProxyAuthorization).expect("credentials").into_owned();
    for part in ["username=\"office\"", "realm=\"carrier\"", "nonce=\"n1\"", "nc=00000001"] {
        assert!(credentials.contains(part), "{part} in {credentials}");
    }
    assert!(!f12.headers.has(&HeaderName::Authorization));
    assert_eq!(f12.call_id(), f5.call_id());
    assert_eq!(f12.cseq().map(|c| c.number), f5.cseq().map(|c| c.number + 1), "8.1.3.5");
    answer_and_hang_up(stage, &mut alice, &mut proxy);
}

/// The first server says 503, or nothing at all: the second one takes the call (RFC 3263 4.3).
#[test]
fn section_3_4_successful_session_with_proxy_failure() {
    for answers in [true, false] {
        let (mut stage, mut alice, mut first, mut second) = carrier();
        stage.invite(&mut alice, "9123");
        stage.expect(&mut first, Method::Invite);
        if answers {
            let unavailable = first.answer(503, "", "");
            stage.send(&first, &unavailable);
            stage.expect(&mut first, Method::Ack);
            stage.expect(&mut second, Method::Invite);
            answer_and_hang_up(stage, &mut alice, &mut second);
            continue;
        }
        // Over UDP it is asked again and again until we go to the other one.
        let mut reached = false;
        for _ in 0..70 {
            while let Some(super::stage::Came::Request(again)) = stage.next(&first, Duration::ZERO) {
                assert_eq!(again.method, Method::Invite);
            }
            if let Some(super::stage::Came::Request(request)) = stage.next(&second, Duration::from_millis(500)) {
                second.learn_request(&request);
                reached = true;
                break;
            }
        }
        assert!(reached, "the second server is asked");
        let busy = second.answer(486, "", "");
        stage.send(&second, &busy);
        stage.expect(&mut second, Method::Ack);
        stage.expects_after_trying(&mut alice, 486);
        let ack = alice.ack_failure();
        stage.send(&alice, &ack);
        stage.finish_but(1, "without a final response");
    }
}

/// The offer comes in the 200 and the answer in the ACK (SDP in ACK), as on the far side of 3.6.
#[test]
fn section_3_6_session_with_sdp_in_ack() {
    let (mut stage, mut alice, mut bob) = alice_and_bob();
    let invite = alice.invite("201", false);
    stage.send(&alice, &invite);
    stage.expects(&mut alice, 401);
    let ack = alice.ack_failure();
    stage.send(&alice, &ack);
    let invite = alice.invite("201", false);
    stage.send(&alice, &invite);
    let f2 = stage.expect(&mut bob, Method::Invite);
    assert!(f2.body.is_empty(), "Bob is asked for his offer");
    let ringing = bob.answer(180, "", "");
    stage.send(&bob, &ringing);
    stage.expects_after_trying(&mut alice, 180);
    let ok = bob.answer(200, "", &sdp(bob.address, 3456));
    stage.send(&bob, &ok);
    let ok = stage.expects(&mut alice, 200);
    assert!(!ok.body.is_empty(), "the offer");
    let ack = alice.ack(&sdp(alice.address, 49172));
    stage.send(&alice, &ack);
    let ack = stage.expect(&mut bob, Method::Ack);
    assert!(!ack.body.is_empty(), "the answer");
    stage.silence(Duration::from_secs(1));
    let bye = alice.inside("BYE", "", "");
    stage.send(&alice, &bye);
    stage.expects(&mut alice, 200);
    stage.expect(&mut bob, Method::Bye);
    let ok = bob.answer(200, "", "");
    stage.send(&bob, &ok);
    stage.finish(1);
}

/// Bob moves to another address and port in a call: his new description is answered.
#[test]
fn section_3_7_session_with_re_invite() {
    let (mut stage, mut alice, mut bob) = alice_and_bob();
    stage.invite(&mut alice, "201");
    stage.expect(&mut bob, Method::Invite);
    let ok = bob.answer(200, "", &sdp(bob.address, 3456));
    stage.send(&bob, &ok);
    stage.expect(&mut bob, Method::Ack);
    stage.expects_after_trying(&mut alice, 200);
    let ack = alice.ack("");
    stage.send(&alice, &ack);
    stage.silence(Duration::from_secs(1));
    let moved = sdp(bob.address, 47172).replace("o=- 1 1", "o=- 1 2");
    let reinvite = bob.inside("INVITE", "", &moved);
    stage.send(&bob, &reinvite);
    let ok = loop {
        match stage.next(&bob, Duration::from_secs(2)) {
            Some(super::stage::Came::Response(response)) if response.status == 100 => {}
            Some(super::stage::Came::Response(response)) => break response,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ok.status, 200);
    let answer = String::from_utf8(ok.body).expect("text");
    assert!(answer.contains("m=audio ") && !answer.contains("m=audio 0 "), "{answer}");
    let ack = bob.ack("");
    stage.send(&bob, &ack);
    stage.silence(Duration::from_secs(1));
    let bye = bob.inside("BYE", "", "");
    stage.send(&bob, &bye);
    stage.expects(&mut bob, 200);
    stage.expect(&mut alice, Method::Bye);
    let ok = alice.answer(200, "", "");
    stage.send(&alice, &ok);
    stage.finish(1);
}

#[test]
fn section_3_8_unsuccessful_no_answer() {
    let (mut stage, mut alice, mut bob) = alice_and_bob();
    stage.invite(&mut alice, "201");
    stage.expect(&mut bob, Method::Invite);
    let ringing = bob.answer(180, "", "");
    let invite = bob.clone();
    stage.send(&bob, &ringing);
    stage.expects_after_trying(&mut alice, 180);
    stage.silence(Duration::from_secs(10));
    let cancel = alice.cancel(); // F9
    stage.send(&alice, &cancel);
    stage.expects(&mut alice, 200); // F10
    let terminated = stage.expects(&mut alice, 487); // F15 of the figure
    assert_eq!(terminated.cseq().expect("CSeq").method, Method::Invite);
    let ack = alice.ack_failure();
    stage.send(&alice, &ack);
    stage.expect(&mut bob, Method::Cancel); // F13
    let ok = bob.answer(200, "", "");
    stage.send(&bob, &ok);
    let terminated = invite.answer(487, "", "");
    stage.send(&bob, &terminated);
    stage.expect(&mut bob, Method::Ack);
    stage.finish(1);
}

#[test]
fn section_3_9_unsuccessful_busy() {
    let (mut stage, mut alice, mut bob) = alice_and_bob();
    stage.invite(&mut alice, "201");
    stage.expect(&mut bob, Method::Invite);
    let busy = bob.answer(486, "", "");
    stage.send(&bob, &busy);
    stage.expect(&mut bob, Method::Ack);
    stage.expects_after_trying(&mut alice, 486);
    let ack = alice.ack_failure();
    stage.send(&alice, &ack);
    stage.finish(1);
}

/// Bob's phone is gone: the INVITE is repeated by Timer A until Timer B, and then Alice is told.
#[test]
fn section_3_10_unsuccessful_no_response_from_user_agent() {
    let (mut stage, mut alice, mut bob) = alice_and_bob();
    stage.invite(&mut alice, "201");
    let begun = stage.world.now();
    let mut times = Vec::new();
    let expected: &[u128] = match TRANSPORT {
        Transport::Udp => &[0, 500, 1_500, 3_500, 7_500, 15_500, 31_500],
        // Nothing is repeated over connections.
        Transport::Tcp | Transport::Tls => &[0],
    };
    for _ in expected {
        stage.expect_within(&mut bob, Method::Invite, Duration::from_secs(17));
        times.push(stage.world.now().since(begun).as_millis());
    }
    assert_eq!(times, expected);
    stage.expects(&mut alice, 100);
    let response = match stage.next(&alice, Duration::from_secs(33)) {
        Some(super::stage::Came::Response(response)) => response,
        other => panic!("{other:?}"),
    };
    assert!([408, 480, 504].contains(&response.status), "{}", response.status);
    alice.learn(&response);
    let ack = alice.ack_failure();
    stage.send(&alice, &ack);
    // Bob never answered: that is the point.
    stage.finish_but(1, "without a final response");
}

#[test]
fn section_3_11_unsuccessful_temporarily_unavailable() {
    let (mut stage, mut alice, mut bob) = alice_and_bob();
    stage.invite(&mut alice, "201");
    stage.expect(&mut bob, Method::Invite);
    let ringing = bob.answer(180, "", "");
    stage.send(&bob, &ringing);
    stage.expects_after_trying(&mut alice, 180);
    let unavailable = bob.answer(480, "", "");
    stage.send(&bob, &unavailable);
    stage.expect(&mut bob, Method::Ack);
    stage.expects(&mut alice, 480);
    let ack = alice.ack_failure();
    stage.send(&alice, &ack);
    stage.finish(1);
}
