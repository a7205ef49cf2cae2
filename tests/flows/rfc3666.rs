//! RFC 3666, PSTN call flows, SIP side: analog telephones of the demo exchange stand for the PSTN.
//!
//! 2.2 and 3.3 (a PBX) look the same from the side of SIP as 2.1 and 3.1, 2.3 (overflow) is RFC 3665 3.4 with
//! other causes, and ENUM (2.4) is asked by nobody here. A telephone gives no treatment of its own (2.5).

use super::stage::{Party, Stage, sdp};
use tipring::sip::{HeaderName, Method, Reason, Response};
use tipring::time::Duration;

fn cause(response: &Response) -> Option<u32> {
    let q850 = response.reasons().into_iter().find(|reason: &Reason| reason.protocol == "Q.850");
    q850.and_then(|reason| reason.cause)
}

fn alice() -> (Stage, Party) {
    let mut stage = Stage::new("");
    let mut alice = stage.party("202", 2);
    stage.register(&mut alice);
    alice.again();
    stage.silence(Duration::from_secs(1));
    (stage, alice)
}

/// The exchange's telephone 105 dials.
fn dial(stage: &mut Stage, number: &str) {
    let now = stage.world.now();
    let digits: Vec<_> = number.chars().filter_map(tipring_hal::Digit::from_char).collect();
    stage.world.station_mut("105").expect("a station").lift(now);
    stage.world.run_for(Duration::from_millis(800));
    let now = stage.world.now();
    stage.world.station_mut("105").expect("a station").dial(now, &digits);
}

fn hang_up_105(stage: &mut Stage) {
    let now = stage.world.now();
    stage.world.station_mut("105").expect("a station").put_down(now);
}

#[test]
fn section_2_1_sip_to_pstn_the_pstn_hangs_up() {
    let (mut stage, mut alice) = alice();
    stage.invite(&mut alice, "106"); // F1
    let ringing = stage.expects_after_trying(&mut alice, 180);
    assert!(ringing.to().expect("To").tag().is_some());
    let ok = stage.expects(&mut alice, 200); // F8, a second later
    assert!(!ok.body.is_empty());
    let ack = alice.ack("");
    stage.send(&alice, &ack);
    stage.silence(Duration::from_secs(2));
    // REL of the PSTN: BYE with its cause.
    let bye = stage.expect_within(&mut alice, Method::Bye, Duration::from_secs(4));
    assert!(bye.reasons().iter().any(|r| r.cause == Some(16)));
    let ok = alice.answer(200, "", "");
    stage.send(&alice, &ok);
    stage.finish(1);
}

#[test]
fn section_2_1_sip_to_pstn_the_caller_hangs_up() {
    let (mut stage, mut alice) = alice();
    stage.invite(&mut alice, "101");
    stage.expects_after_trying(&mut alice, 180);
    stage.expects(&mut alice, 200);
    let ack = alice.ack("");
    stage.send(&alice, &ack);
    stage.silence(Duration::from_secs(2));
    let bye = alice.inside("BYE", "", "");
    stage.send(&alice, &bye);
    stage.expects(&mut alice, 200);
    stage.finish(1);
}

#[test]
fn section_2_6_sip_to_pstn_unallocated_number() {
    let (mut stage, mut alice) = alice();
    stage.invite(&mut alice, "199");
    let response = stage.expects_after_trying(&mut alice, 404);
    assert_eq!(cause(&response), Some(1));
    let ack = alice.ack_failure();
    stage.send(&alice, &ack);
    stage.finish(1);
}

#[test]
fn section_2_6_sip_to_pstn_called_party_busy() {
    let (mut stage, mut alice) = alice();
    stage.invite(&mut alice, "104");
    let response = stage.expects_after_trying(&mut alice, 486);
    assert_eq!(cause(&response), Some(17));
    let ack = alice.ack_failure();
    stage.send(&alice, &ack);
    stage.finish(1);
}

#[test]
fn section_2_7_sip_to_pstn_no_answer_times_out() {
    let (mut stage, mut alice) = alice();
    stage.invite(&mut alice, "103");
    stage.expects_after_trying(&mut alice, 180);
    let response = loop {
        match stage.next(&alice, Duration::from_secs(70)) {
            Some(super::stage::Came::Response(response)) if response.status == 180 => {}
            Some(super::stage::Came::Response(response)) => break response,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((response.status, cause(&response)), (480, Some(19)));
    let to = response.headers.text(&HeaderName::To).expect("To").into_owned();
    alice.learn(&response);
    let ack = alice.ack_failure();
    assert!(ack.contains(&to));
    stage.send(&alice, &ack);
    stage.finish(1);
}

#[test]
fn sip_to_pstn_the_caller_gives_up() {
    let (mut stage, mut alice) = alice();
    stage.invite(&mut alice, "105");
    stage.expects_after_trying(&mut alice, 180);
    stage.silence(Duration::from_secs(5));
    let cancel = alice.cancel();
    stage.send(&alice, &cancel);
    stage.expects(&mut alice, 200);
    stage.expects(&mut alice, 487);
    let ack = alice.ack_failure();
    stage.send(&alice, &ack);
    stage.finish(1);
}

#[test]
fn section_3_1_pstn_to_sip_both_ends_hang_up() {
    for sip_hangs_up in [true, false] {
        let (mut stage, mut alice) = alice();
        dial(&mut stage, "202");
        let invite = stage.expect_within(&mut alice, Method::Invite, Duration::from_secs(9)); // F3
        assert_eq!(invite.from().and_then(|from| from.uri.user()).as_deref(), Some("105"));
        let ringing = alice.answer(180, "", "");
        stage.send(&alice, &ringing);
        stage.silence(Duration::from_secs(1));
        let ok = alice.answer(200, "", &sdp(alice.address, 49172));
        stage.send(&alice, &ok);
        stage.expect(&mut alice, Method::Ack);
        stage.silence(Duration::from_secs(1));
        if sip_hangs_up {
            let bye = alice.inside("BYE", "", "");
            stage.send(&alice, &bye);
            stage.expects(&mut alice, 200);
            stage.silence(Duration::from_secs(3));
            hang_up_105(&mut stage);
        } else {
            hang_up_105(&mut stage);
            let bye = stage.expect_within(&mut alice, Method::Bye, Duration::from_secs(3));
            assert!(bye.reasons().iter().any(|reason| reason.cause == Some(16)));
            let ok = alice.answer(200, "", "");
            stage.send(&alice, &ok);
        }
        stage.finish(1);
    }
}

#[test]
fn section_3_5_pstn_to_sip_the_sip_phone_is_busy() {
    let (mut stage, mut alice) = alice();
    dial(&mut stage, "202");
    stage.expect_within(&mut alice, Method::Invite, Duration::from_secs(9));
    let busy = alice.answer(486, "", "");
    stage.send(&alice, &busy);
    stage.expect(&mut alice, Method::Ack);
    stage.silence(Duration::from_secs(3));
    hang_up_105(&mut stage);
    stage.finish(1);
}

#[test]
fn section_3_9_pstn_to_sip_the_caller_gives_up() {
    let (mut stage, mut alice) = alice();
    dial(&mut stage, "202");
    stage.expect_within(&mut alice, Method::Invite, Duration::from_secs(9));
    let invite = alice.clone();
    let ringing = alice.answer(180, "", "");
    stage.send(&alice, &ringing);
    stage.silence(Duration::from_secs(2));
    hang_up_105(&mut stage);
    stage.expect_within(&mut alice, Method::Cancel, Duration::from_secs(3));
    let ok = alice.answer(200, "", "");
    stage.send(&alice, &ok);
    let terminated = invite.answer(487, "", "");
    stage.send(&alice, &terminated);
    stage.expect(&mut alice, Method::Ack);
    stage.finish(1);
}

#[test]
fn section_3_2_pstn_to_sip_fast_answer() {
    let (mut stage, mut alice) = alice();
    dial(&mut stage, "202");
    stage.expect_within(&mut alice, Method::Invite, Duration::from_secs(9));
    // ANM without ACM: 200 is the first thing that is said.
    let ok = alice.answer(200, "", &sdp(alice.address, 49172));
    stage.send(&alice, &ok);
    stage.expect(&mut alice, Method::Ack);
    stage.silence(Duration::from_secs(1));
    hang_up_105(&mut stage);
    stage.expect_within(&mut alice, Method::Bye, Duration::from_secs(3));
    let ok = alice.answer(200, "", "");
    stage.send(&alice, &ok);
    let world = stage.finish(1);
    assert!(world.records()[0].answered_at.is_some());
}

/// 3.4 and 3.6: an error of SIP is a cause for the PSTN, which hears a tone until it hangs up.
#[test]
fn section_3_4_and_3_6_pstn_to_sip_errors_are_causes() {
    for (status, causes) in [(404, [1, 1]), (480, [18, 20]), (500, [41, 41]), (603, [21, 21])] {
        let (mut stage, mut alice) = alice();
        dial(&mut stage, "202");
        stage.expect_within(&mut alice, Method::Invite, Duration::from_secs(9));
        let refused = alice.answer(status, "", "");
        stage.send(&alice, &refused);
        stage.expect(&mut alice, Method::Ack);
        stage.silence(Duration::from_secs(3));
        hang_up_105(&mut stage);
        let world = stage.finish(1);
        let cause = world.records()[0].release.cause.value();
        assert!(causes.contains(&cause), "{status} became cause {cause}");
    }
}

/// Nobody answers the INVITE: the PSTN is released when Timer B has passed.
#[test]
fn section_3_7_pstn_to_sip_acm_timeout() {
    let (mut stage, mut alice) = alice();
    dial(&mut stage, "202");
    stage.expect_within(&mut alice, Method::Invite, Duration::from_secs(9));
    if super::TRANSPORT == tipring::sip::Transport::Udp {
        for _ in 0..6 {
            stage.expect_within(&mut alice, Method::Invite, Duration::from_secs(17));
        }
    }
    stage.silence(Duration::from_secs(34));
    hang_up_105(&mut stage);
    stage.finish_but(1, "without a final response");
}
