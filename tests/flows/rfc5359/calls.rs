//! Hold, forwarding, screening.

use super::super::stage::{Came, Party, Stage, sdp};
use tipring::sip::{HeaderName, Method, Request, Response};
use tipring::time::Duration;

/// A gateway on which telephone 203 (Carol) forwards so, with Alice (202), Bob (201) and Carol registered.
fn three(forward: &str) -> (Stage, Party, Party, Party) {
    let changed = format!("[phone.203]\nforward = {{ {forward} }}\n");
    let mut stage = match forward {
        "" => Stage::new(""),
        _ => Stage::changed("[phone.203]\n", &changed),
    };
    let (mut alice, mut bob, mut carol) = (stage.party("202", 2), stage.party("201", 1), stage.party("203", 3));
    for party in [&mut alice, &mut bob, &mut carol] {
        stage.register(party);
        party.again();
    }
    (stage, alice, bob, carol)
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}

/// A call from Alice to Bob, answered.
fn talk(stage: &mut Stage, alice: &mut Party, bob: &mut Party, number: &str) {
    stage.invite(alice, number);
    answer(stage, alice, bob);
}

/// Bob answers what comes to him; Alice hears it.
fn answer(stage: &mut Stage, alice: &mut Party, bob: &mut Party) {
    stage.expect(bob, Method::Invite);
    let ok = bob.answer(200, "", &sdp(bob.address, 3456));
    stage.send(bob, &ok);
    stage.expect(bob, Method::Ack);
    until_final(stage, alice, 200);
    let ack = alice.ack("");
    stage.send(alice, &ack);
    stage.silence(Duration::from_millis(500));
}

/// Provisional responses, and then this final one.
fn until_final(stage: &mut Stage, party: &mut Party, status: u16) -> (Vec<u16>, Response) {
    let mut before = Vec::new();
    loop {
        match stage.next(party, Duration::from_secs(30)) {
            Some(Came::Response(response)) if response.status < 200 => before.push(response.status),
            Some(Came::Response(response)) if response.status == status => {
                party.learn(&response);
                return (before, response);
            }
            other => panic!("{} expected {status} after {before:?}, got {other:#?}", party.user),
        }
    }
}

fn hang_up(mut stage: Stage, alice: &mut Party, bob: &mut Party, records: usize) {
    let bye = alice.inside("BYE", "", "");
    stage.send(alice, &bye);
    stage.expects(alice, 200);
    stage.expect(bob, Method::Bye);
    let ok = bob.answer(200, "", "");
    stage.send(bob, &ok);
    stage.finish(records);
}

/// Offers again in the dialog of `from`; what is answered there, and what the other side was offered.
fn offer(stage: &mut Stage, from: &mut Party, to: &mut Party, body: &str) -> (String, Option<Request>) {
    let reinvite = from.inside("INVITE", "", body);
    stage.send(from, &reinvite);
    let mut passed_on = None;
    // A gateway may answer by itself, or ask the other side first.
    if let Some(Came::Request(request)) = stage.next(to, Duration::from_millis(400)) {
        assert!([Method::Invite, Method::Update].contains(&request.method), "{request:?}");
        to.learn_request(&request);
        let direction = if text(&request.body).contains("a=sendonly") { "recvonly" } else { "sendrecv" };
        let answer = sdp(to.address, 3456).replace("a=sendrecv", &format!("a={direction}"));
        let ok = to.answer(200, "", &answer);
        stage.send(to, &ok);
        if request.method == Method::Invite {
            stage.expect(to, Method::Ack);
        }
        passed_on = Some(request);
    }
    let (_, ok) = until_final(stage, from, 200);
    let ack = from.ack("");
    stage.send(from, &ack);
    stage.silence(Duration::from_millis(300));
    (text(&ok.body), passed_on)
}

/// Bob holds with sendonly and takes the call back; so do phones that write 0.0.0.0 or inactive.
#[test]
fn section_2_1_call_hold() {
    let inactive = |body: &str| body.replace("a=sendrecv", "a=inactive");
    let sendonly = |body: &str| body.replace("a=sendrecv", "a=sendonly");
    let zero = |body: &str| body.replace("c=IN IP4 127.0.4.1", "c=IN IP4 0.0.0.0");
    type Hold<'a> = &'a dyn Fn(&str) -> String;
    let ways: [(Hold<'_>, &[&str]); 3] = [
        (&sendonly, &["a=recvonly", "a=inactive"]),
        (&inactive, &["a=inactive"]),
        // RFC 3264 8.4: the old way; whatever the direction, no media goes to 0.0.0.0.
        (&zero, &["a=recvonly", "a=inactive", "a=sendrecv"]),
    ];
    for (hold, answers) in ways {
        let (mut stage, mut alice, mut bob, _) = three("");
        talk(&mut stage, &mut alice, &mut bob, "201");
        let held = hold(&sdp(bob.address, 3456)).replace("o=- 1 1", "o=- 1 2");
        let (answer, _) = offer(&mut stage, &mut bob, &mut alice, &held);
        assert!(answers.iter().any(|a| answer.contains(a)), "{held}\nwas answered\n{answer}");
        stage.silence(Duration::from_secs(3));
        let back = sdp(bob.address, 3456).replace("o=- 1 1", "o=- 1 3");
        let (answer, _) = offer(&mut stage, &mut bob, &mut alice, &back);
        assert!(!answer.contains("a=recvonly") && !answer.contains("a=inactive"), "taken back: {answer}");
        hang_up(stage, &mut alice, &mut bob, 1);
    }
}

/// Both sides hold, and each takes its own hold back.
#[test]
fn section_2_1_call_hold_by_both() {
    let (mut stage, mut alice, mut bob, _) = three("");
    talk(&mut stage, &mut alice, &mut bob, "201");
    let sendonly = |party: &Party, port, version: u32| {
        let body = sdp(party.address, port).replace("a=sendrecv", "a=sendonly");
        body.replace("o=- 1 1", &format!("o=- 1 {version}"))
    };
    let held = sendonly(&bob, 3456, 2);
    offer(&mut stage, &mut bob, &mut alice, &held);
    let held = sendonly(&alice, 49172, 2);
    let (answer, _) = offer(&mut stage, &mut alice, &mut bob, &held);
    assert!(answer.contains("a=recvonly") || answer.contains("a=inactive"), "{answer}");
    let back = sdp(bob.address, 3456).replace("o=- 1 1", "o=- 1 3");
    offer(&mut stage, &mut bob, &mut alice, &back);
    let back = sdp(alice.address, 49172).replace("o=- 1 1", "o=- 1 3");
    let (answer, _) = offer(&mut stage, &mut alice, &mut bob, &back);
    assert!(!answer.contains("a=inactive"), "{answer}");
    hang_up(stage, &mut alice, &mut bob, 1);
}

/// Bob has a second call while the first is held (2.2 without the transfer).
#[test]
fn section_2_2_consultation_hold() {
    let (mut stage, mut alice, mut bob, mut carol) = three("");
    talk(&mut stage, &mut alice, &mut bob, "201");
    let held = sdp(bob.address, 3456).replace("a=sendrecv", "a=sendonly").replace("o=- 1 1", "o=- 1 2");
    offer(&mut stage, &mut bob, &mut alice, &held);
    let mut second = bob.clone();
    second.again();
    talk(&mut stage, &mut second, &mut carol, "203");
    let bye = carol.inside("BYE", "", "");
    stage.send(&carol, &bye);
    stage.expects(&mut carol, 200);
    stage.expect(&mut second, Method::Bye);
    let ok = second.answer(200, "", "");
    stage.send(&second, &ok);
    let back = sdp(bob.address, 3456).replace("o=- 1 1", "o=- 1 3");
    offer(&mut stage, &mut bob, &mut alice, &back);
    hang_up(stage, &mut alice, &mut bob, 2);
}

/// Who was called first stands in what the new one gets.
fn assert_says_who_forwarded(invite: &Request, why: &str) {
    let diversion = invite.headers.text(&HeaderName::from_text("Diversion")).map(|v| v.into_owned());
    let history = invite.headers.text(&HeaderName::from_text("History-Info")).map(|v| v.into_owned());
    let said = format!("{} {}", diversion.unwrap_or_default(), history.unwrap_or_default());
    assert!(said.contains(&format!("<sip:203@127.0.0.1>;reason={why};counter=1")), "Diversion: {said}");
    assert!(said.contains("index=1"), "History-Info: {said}");
}

#[test]
fn section_2_7_call_forwarding_unconditional() {
    let (mut stage, mut alice, mut bob, _) = three("always = \"201\"");
    stage.invite(&mut alice, "203");
    let invite = stage.expect(&mut bob, Method::Invite);
    assert_says_who_forwarded(&invite, "unconditional");
    let ok = bob.answer(200, "", &sdp(bob.address, 3456));
    stage.send(&bob, &ok);
    stage.expect(&mut bob, Method::Ack);
    let (before, _) = until_final(&mut stage, &mut alice, 200);
    assert!(before.contains(&181), "\"181 Call Is Being Forwarded\": {before:?}");
    let ack = alice.ack("");
    stage.send(&alice, &ack);
    stage.silence(Duration::from_secs(1));
    hang_up(stage, &mut alice, &mut bob, 1);
}

#[test]
fn section_2_8_call_forwarding_busy() {
    let (mut stage, mut alice, mut bob, mut carol) = three("busy = \"201\"");
    stage.invite(&mut alice, "203");
    stage.expect(&mut carol, Method::Invite);
    let busy = carol.answer(486, "", "");
    stage.send(&carol, &busy);
    stage.expect(&mut carol, Method::Ack);
    let invite = stage.expect(&mut bob, Method::Invite);
    assert_says_who_forwarded(&invite, "user-busy");
    let ok = bob.answer(200, "", &sdp(bob.address, 3456));
    stage.send(&bob, &ok);
    stage.expect(&mut bob, Method::Ack);
    let (before, _) = until_final(&mut stage, &mut alice, 200);
    assert!(before.contains(&181), "{before:?}");
    let ack = alice.ack("");
    stage.send(&alice, &ack);
    hang_up(stage, &mut alice, &mut bob, 1);
}

#[test]
fn section_2_9_call_forwarding_no_answer() {
    let (mut stage, mut alice, mut bob, mut carol) = three("no-answer = \"201\", after = \"8s\"");
    stage.invite(&mut alice, "203");
    stage.expect(&mut carol, Method::Invite);
    let ringing = carol.answer(180, "", "");
    let invite = carol.clone();
    stage.send(&carol, &ringing);
    let began = stage.world.now();
    stage.expect_within(&mut carol, Method::Cancel, Duration::from_secs(9));
    let rang = stage.world.now().since(began).as_secs();
    assert_eq!(rang, 8, "rang for {rang} s");
    let ok = carol.answer(200, "", "");
    stage.send(&carol, &ok);
    let terminated = invite.answer(487, "", "");
    stage.send(&carol, &terminated);
    stage.expect(&mut carol, Method::Ack);
    stage.expect(&mut bob, Method::Invite);
    let ok = bob.answer(200, "", &sdp(bob.address, 3456));
    stage.send(&bob, &ok);
    stage.expect(&mut bob, Method::Ack);
    let (before, _) = until_final(&mut stage, &mut alice, 200);
    assert!(before.contains(&180) && before.contains(&181), "{before:?}");
    let ack = alice.ack("");
    stage.send(&alice, &ack);
    hang_up(stage, &mut alice, &mut bob, 1);
}

/// 3xx from the telephone (Find-Me and forwarding at the telephone): the gateway calls the next one.
#[test]
fn section_2_12_find_me_by_redirection() {
    let (mut stage, mut alice, mut bob, mut carol) = three("");
    stage.invite(&mut alice, "203");
    stage.expect(&mut carol, Method::Invite);
    let refusal = carol.answer(302, "", "");
    let contact = refusal.lines().find(|line| line.starts_with("Contact:")).expect("every answer has one");
    let moved = refusal.replace(contact, "Contact: <sip:201@127.0.0.1>");
    stage.send(&carol, &moved);
    stage.expect(&mut carol, Method::Ack);
    answer(&mut stage, &mut alice, &mut bob);
    hang_up(stage, &mut alice, &mut bob, 1);
}

/// The dial plan is what screens: the number may be dialled by some, and Alice is none of them.
#[test]
fn section_2_14_outgoing_call_screening() {
    let dear = "[[route]]\nname = \"dear\"\nmatch = \"1900.\"\nfrom = \"phone/201\"\nto = \"phone/203\"\n";
    let mut stage = Stage::new(dear);
    let mut parties = [stage.party("202", 2), stage.party("201", 1), stage.party("203", 3)];
    for party in &mut parties {
        stage.register(party);
        party.again();
    }
    let [mut alice, mut bob, mut carol] = parties;
    stage.invite(&mut alice, "190055");
    let (_, refused) = until_final(&mut stage, &mut alice, 404);
    assert_eq!(refused.status, 404);
    let ack = alice.ack_failure();
    stage.send(&alice, &ack);
    stage.invite(&mut bob, "190055");
    answer(&mut stage, &mut bob, &mut carol);
    hang_up(stage, &mut bob, &mut carol, 2);
}
