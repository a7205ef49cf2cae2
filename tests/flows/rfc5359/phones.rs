//! Between registered telephones: transfer, find-me, pick-up, click to dial.
//!
//! The gateway carries transfers out itself: where the RFC lets the transferee send an INVITE, the gateway does, and
//! the transferee gets a new offer. Whoever transfers is then sent BYE.

use super::super::stage::{Party, Stage, sdp};
use tipring::sip::{HeaderName, Method, Request};
use tipring::time::Duration;

/// Alice (202) and Bob (201) registered, with Carol (203); more tables of the configuration.
fn registered(more: &str) -> (Stage, Party, Party, Party) {
    let mut stage = Stage::new(more);
    let mut parties = [stage.party("202", 2), stage.party("201", 1), stage.party("203", 3)];
    for party in &mut parties {
        stage.register(party);
        party.again();
    }
    let [alice, bob, carol] = parties;
    (stage, alice, bob, carol)
}

/// `from` calls `number`, which rings and answers at `to`.
#[track_caller]
fn call(stage: &mut Stage, from: &mut Party, number: &str, to: &mut Party) {
    stage.invite(from, number);
    stage.expect(to, Method::Invite);
    say(stage, to, 180);
    stage.expects_after_trying(from, 180);
    answer(stage, to);
    stage.expects(from, 200);
    let ack = from.ack("");
    stage.send(from, &ack);
}

/// The one who was called answers with a description and gets its ACK.
#[track_caller]
fn answer(stage: &mut Stage, party: &mut Party) {
    let ok = party.answer(200, "", &sdp(party.address, 3456));
    stage.send(party, &ok);
    stage.expect(party, Method::Ack);
}

fn say(stage: &mut Stage, party: &Party, status: u16) {
    let response = party.answer(status, "", "");
    stage.send(party, &response);
}

/// A NOTIFY about a transfer, answered; its status line and the state of the subscription.
#[track_caller]
fn notified(stage: &mut Stage, party: &mut Party) -> (String, String) {
    let notify = stage.expect(party, Method::Notify);
    assert!(notify.headers.text(&HeaderName::Event).expect("Event").starts_with("refer"));
    assert!(notify.contact().is_some(), "RFC 6665 8.2.1: NOTIFY refreshes the target");
    assert_eq!(notify.headers.text(&HeaderName::ContentType).as_deref(), Some("message/sipfrag;version=2.0"));
    say(stage, party, 200);
    let state = notify.headers.text(&HeaderName::SubscriptionState).expect("Subscription-State").into_owned();
    let state = state.split(';').next().unwrap_or_default().to_owned();
    (String::from_utf8_lossy(&notify.body).trim_end().to_owned(), state)
}

/// The gateway offers anew; the party agrees.
#[track_caller]
fn reoffered(stage: &mut Stage, party: &mut Party) -> Request {
    let offer = stage.expect(party, Method::Invite);
    assert!(offer.to().expect("To").tag().is_some(), "a re-INVITE");
    answer(stage, party);
    offer
}

#[track_caller]
fn bye_from(stage: &mut Stage, party: &mut Party, others: &mut [&mut Party]) {
    let bye = party.inside("BYE", "", "");
    stage.send(party, &bye);
    stage.expects(party, 200);
    for other in others {
        stage.expect(other, Method::Bye);
        say(stage, other, 200);
    }
}

#[test]
fn section_2_4_transfer_unattended() {
    let (mut stage, mut alice, mut bob, mut carol) = registered("");
    call(&mut stage, &mut alice, "201", &mut bob);
    let refer = bob.inside("REFER", "Refer-To: <sip:203@127.0.0.1>\r\nReferred-By: <sip:201@127.0.0.1>\r\n", "");
    stage.send(&bob, &refer);
    stage.expects(&mut bob, 202);
    assert_eq!(notified(&mut stage, &mut bob), ("SIP/2.0 100 Trying".to_owned(), "active".to_owned()));
    let invite = stage.expect(&mut carol, Method::Invite);
    assert_eq!(invite.headers.text(&HeaderName::ReferredBy).as_deref(), Some("<sip:201@127.0.0.1>"));
    assert_eq!(invite.from().expect("From").uri.user().as_deref(), Some("202"), "it is Alice who calls");
    say(&mut stage, &carol, 180);
    assert_eq!(notified(&mut stage, &mut bob).0, "SIP/2.0 180 Ringing");
    answer(&mut stage, &mut carol);
    assert_eq!(notified(&mut stage, &mut bob), ("SIP/2.0 200 OK".to_owned(), "terminated".to_owned()));
    stage.expect(&mut bob, Method::Bye);
    say(&mut stage, &bob, 200);
    reoffered(&mut stage, &mut alice);
    stage.silence(Duration::from_secs(2)); // both way RTP between Alice and Carol
    bye_from(&mut stage, &mut alice, &mut [&mut carol]);
    let world = stage.finish(1);
    assert_eq!(world.records()[0].to.as_deref(), Some("phone/203"));
}

#[test]
fn section_2_4_a_target_that_is_busy_leaves_the_call_as_it_was() {
    let (mut stage, mut alice, mut bob, mut carol) = registered("");
    call(&mut stage, &mut alice, "201", &mut bob);
    let refer = bob.inside("REFER", "Refer-To: <sip:203@127.0.0.1>\r\n", "");
    stage.send(&bob, &refer);
    stage.expects(&mut bob, 202);
    notified(&mut stage, &mut bob);
    stage.expect(&mut carol, Method::Invite);
    say(&mut stage, &carol, 486);
    stage.expect(&mut carol, Method::Ack);
    assert_eq!(notified(&mut stage, &mut bob), ("SIP/2.0 486 Busy Here".to_owned(), "terminated".to_owned()));
    bye_from(&mut stage, &mut bob, &mut [&mut alice]);
    stage.finish(1);
}

#[test]
fn section_2_4_without_a_subscription_when_none_is_wanted() {
    let (mut stage, mut alice, mut bob, mut carol) = registered("");
    call(&mut stage, &mut alice, "201", &mut bob);
    let refer = bob.inside("REFER", "Refer-To: <sip:203@127.0.0.1>\r\nRefer-Sub: false\r\n", "");
    stage.send(&bob, &refer);
    let accepted = stage.expects(&mut bob, 202);
    assert_eq!(accepted.headers.text(&HeaderName::ReferSub).as_deref(), Some("false"));
    stage.expect(&mut carol, Method::Invite);
    answer(&mut stage, &mut carol);
    stage.expect(&mut bob, Method::Bye);
    say(&mut stage, &bob, 200);
    reoffered(&mut stage, &mut alice);
    bye_from(&mut stage, &mut carol, &mut [&mut alice]);
    stage.finish(1);
}

#[test]
fn section_2_5_transfer_attended() {
    let (mut stage, mut alice, mut bob, mut carol) = registered("");
    call(&mut stage, &mut alice, "201", &mut bob);
    let mut consulting = bob.clone();
    consulting.again();
    call(&mut stage, &mut consulting, "203", &mut carol);
    let replaces = consulting.replaces();
    let refer_to = format!("Refer-To: <sip:203@127.0.0.1?Replaces={replaces}>\r\n");
    let refer = bob.inside("REFER", &refer_to, "");
    stage.send(&bob, &refer);
    stage.expects(&mut bob, 202);
    assert_eq!(notified(&mut stage, &mut bob).0, "SIP/2.0 100 Trying");
    // The consultation ends, and so does the first call of Bob.
    stage.expect(&mut consulting, Method::Bye);
    say(&mut stage, &consulting, 200);
    assert_eq!(notified(&mut stage, &mut bob), ("SIP/2.0 200 OK".to_owned(), "terminated".to_owned()));
    stage.expect(&mut bob, Method::Bye);
    say(&mut stage, &bob, 200);
    reoffered(&mut stage, &mut alice);
    reoffered(&mut stage, &mut carol);
    bye_from(&mut stage, &mut carol, &mut [&mut alice]);
    stage.finish(2);
}

#[test]
fn section_2_12_find_me_in_parallel_and_call_completed_elsewhere() {
    let group = "[group.home]\nmembers = [\"phone/201\", \"phone/203\"]\n\
                 [[route]]\nname = \"home\"\nmatch = \"77\"\nto = \"group/home\"\n";
    let (mut stage, mut alice, mut bob, mut carol) = registered(group);
    stage.invite(&mut alice, "77");
    stage.expect(&mut bob, Method::Invite);
    stage.expect(&mut carol, Method::Invite);
    say(&mut stage, &bob, 180);
    stage.expects_after_trying(&mut alice, 180);
    say(&mut stage, &carol, 180); // of which Alice hears nothing
    answer(&mut stage, &mut carol);
    stage.expects(&mut alice, 200);
    let ack = alice.ack("");
    stage.send(&alice, &ack);
    let mut invited = bob.clone();
    let cancel = stage.expect(&mut bob, Method::Cancel);
    let reason = cancel.headers.text(&HeaderName::Reason).expect("Reason").into_owned();
    assert_eq!(reason, "SIP;cause=200;text=\"Call completed elsewhere\"");
    say(&mut stage, &bob, 200);
    say(&mut stage, &invited, 487);
    stage.expect(&mut invited, Method::Ack);
    bye_from(&mut stage, &mut alice, &mut [&mut carol]);
    let world = stage.finish(1);
    assert_eq!(world.records()[0].to.as_deref(), Some("phone/203"));
}

#[test]
fn two_answers_that_cross_get_ack_each_and_the_later_one_bye() {
    let group = "[group.home]\nmembers = [\"phone/201\", \"phone/203\"]\n\
                 [[route]]\nname = \"home\"\nmatch = \"77\"\nto = \"group/home\"\n";
    let (mut stage, mut alice, mut bob, mut carol) = registered(group);
    stage.invite(&mut alice, "77");
    stage.expect(&mut bob, Method::Invite);
    stage.expect(&mut carol, Method::Invite);
    say(&mut stage, &bob, 180);
    stage.expects_after_trying(&mut alice, 180);
    for party in [&bob, &carol] {
        let ok = party.answer(200, "", &sdp(party.address, 3456));
        stage.send(party, &ok);
    }
    stage.expect(&mut bob, Method::Ack);
    stage.expects(&mut alice, 200);
    let ack = alice.ack("");
    stage.send(&alice, &ack);
    stage.expect(&mut carol, Method::Ack);
    stage.expect(&mut carol, Method::Bye);
    say(&mut stage, &carol, 200);
    bye_from(&mut stage, &mut alice, &mut [&mut bob]);
    let world = stage.finish(1);
    assert_eq!(world.records()[0].to.as_deref(), Some("phone/201"));
}

#[test]
fn section_2_16_call_pickup() {
    let group = "[group.home]\nmembers = [\"phone/201\", \"phone/203\"]\n";
    let (mut stage, mut alice, mut bob, mut carol) = registered(group);
    stage.invite(&mut alice, "201");
    stage.expect(&mut bob, Method::Invite);
    say(&mut stage, &bob, 180);
    stage.expects_after_trying(&mut alice, 180);
    // Carol learned the names of the dialog by a subscription to it (RFC 4235).
    let replaces = bob.replaces().replace("%3B", ";").replace("%3D", "=");
    let invite = |stage: &mut Stage, carol: &mut Party| {
        let text = carol.invite("201", true).replacen("Contact:", &format!("Replaces: {replaces}\r\nContact:"), 1);
        stage.send(carol, &text);
    };
    invite(&mut stage, &mut carol);
    stage.expects(&mut carol, 401);
    let ack = carol.ack_failure();
    stage.send(&carol, &ack);
    invite(&mut stage, &mut carol);
    stage.expects_after_trying(&mut carol, 200);
    let ack = carol.ack("");
    stage.send(&carol, &ack);
    let mut invited = bob.clone();
    stage.expect(&mut bob, Method::Cancel);
    say(&mut stage, &bob, 200);
    say(&mut stage, &invited, 487);
    stage.expect(&mut invited, Method::Ack);
    stage.expects(&mut alice, 200);
    let ack = alice.ack("");
    stage.send(&alice, &ack);
    bye_from(&mut stage, &mut carol, &mut [&mut alice]);
    let world = stage.finish(1);
    assert_eq!(world.records()[0].to.as_deref(), Some("phone/203"));
}

#[test]
fn section_2_18_click_to_dial() {
    let (mut stage, mut alice, mut bob, _) = registered("");
    assert_eq!(stage.world.dial("phone/202", "201"), Ok(1));
    let first = stage.expect(&mut alice, Method::Invite);
    assert_eq!(first.from().expect("From").uri.user().as_deref(), Some("201"), "Alice sees whom she will talk to");
    say(&mut stage, &alice, 180);
    answer(&mut stage, &mut alice);
    let second = stage.expect(&mut bob, Method::Invite);
    assert_eq!(second.from().expect("From").uri.user().as_deref(), Some("202"));
    assert_ne!(first.call_id(), second.call_id());
    say(&mut stage, &bob, 180);
    answer(&mut stage, &mut bob);
    stage.silence(Duration::from_secs(2)); // both way RTP
    bye_from(&mut stage, &mut bob, &mut [&mut alice]);
    stage.finish(1);
}
