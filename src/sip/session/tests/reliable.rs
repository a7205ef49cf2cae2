//! Reliable provisional responses: RFC 3262 by section, offers and answers in them by RFC 6337.

use super::super::{State, reliable};
use super::*;

/// Two ends that know 100rel; the callee with this policy.
fn pair(policy: Reliable) -> (Pair, SessionId, SessionId) {
    pair_with(policy, sdp("offer"), Reliable::Supported)
}

fn pair_with(policy: Reliable, body: Option<Body>, caller: Reliable) -> (Pair, SessionId, SessionId) {
    let mut pair = Pair::new(Transport::Udp);
    for end in [CALLER, CALLEE] {
        pair.ends[end].settings.supported = vec!["100rel".to_owned()];
    }
    let mut invite = pair.outgoing(body);
    invite.reliable = caller;
    let caller = pair.act(CALLER, |e, now, out| e.invite(now, invite, out));
    pair.run_ms(5);
    let callee = pair.incoming();
    let agreed = pair.act(CALLEE, |e, _, _| e.agree_on_reliability(callee, policy));
    assert_eq!(agreed, Ok(()));
    pair.take(CALLEE);
    (pair, caller, callee)
}

fn progress(pair: &mut Pair, callee: SessionId, status: u16, body: Option<Body>) {
    pair.act(CALLEE, |e, now, out| e.progress(now, callee, status, body, vec![], out));
}

fn accept(pair: &mut Pair, callee: SessionId, body: Option<Body>) {
    pair.act(CALLEE, |e, now, out| e.accept(now, callee, body, out));
}

#[test]
fn section_3_the_answer_in_a_183_is_acknowledged_and_the_200_does_not_repeat_it() {
    let (mut pair, caller, callee) = pair(Reliable::Supported);
    progress(&mut pair, callee, 180, None);
    progress(&mut pair, callee, 183, sdp("answer"));
    pair.run_ms(5);
    assert_eq!(pair.count("0 PRACK"), 1, "the 180 carried nothing that must not be lost");
    assert_eq!(pair.count("1 SIP/2.0 200"), 1);
    accept(&mut pair, callee, sdp("answer"));
    pair.run_ms(5);
    pair.check(CALLER, &["progress 180 -", "progress 183 answer", "answered answer"]);
    pair.check(CALLEE, &["established -"]);
    pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
    pair.check_empty();
}

#[test]
fn section_3_a_response_is_repeated_until_its_prack_and_passed_on_once() {
    let (mut pair, caller, callee) = pair(Reliable::Supported);
    let mut pracks = 0;
    pair.loses = Box::new(move |_, line| {
        pracks += usize::from(line.starts_with("PRACK"));
        line.starts_with("PRACK") && pracks <= 2
    });
    progress(&mut pair, callee, 183, sdp("answer"));
    pair.run_ms(3_000);
    assert_eq!(pair.count("1 SIP/2.0 183"), 3, "0, 500 and 1500 ms: {:#?}", pair.log);
    pair.check(CALLER, &["progress 183 answer"]);
    pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
    pair.check_empty();
}

#[test]
fn section_3_without_prack_the_invite_is_refused_after_64_t1() {
    let (mut pair, _, callee) = pair(Reliable::Supported);
    pair.loses = Box::new(|_, line| line.starts_with("PRACK"));
    progress(&mut pair, callee, 183, sdp("answer"));
    pair.run_ms(31_900);
    pair.check(CALLEE, &[]);
    pair.run_ms(200);
    pair.check(CALLEE, &["ended PrackMissing"]);
    pair.check(CALLER, &["progress 183 answer", "ended 500"]);
    pair.check_empty();
}

#[test]
fn section_3_a_second_response_waits_for_the_prack_of_the_first_and_the_200_for_that_of_a_description() {
    let (mut pair, caller, callee) = pair_with(Reliable::Supported, sdp("offer"), Reliable::Required);
    progress(&mut pair, callee, 180, None);
    progress(&mut pair, callee, 183, sdp("answer"));
    assert_eq!((pair.count("1 SIP/2.0 180"), pair.count("1 SIP/2.0 183")), (1, 0));
    pair.run_ms(3);
    assert_eq!(pair.count("1 SIP/2.0 183"), 1);
    accept(&mut pair, callee, sdp("answer"));
    assert_eq!(pair.count("1 SIP/2.0 200"), 1, "to the first PRACK");
    pair.run_ms(5);
    pair.check(CALLER, &["progress 180 -", "progress 183 answer", "answered answer"]);
    assert_eq!(pair.count("0 PRACK"), 2);
    pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
    pair.check_empty();
}

#[test]
fn section_3_a_200_does_not_wait_for_a_response_without_description() {
    let (mut pair, caller, callee) = pair(Reliable::Required);
    progress(&mut pair, callee, 180, None);
    accept(&mut pair, callee, sdp("answer"));
    pair.run_ms(5);
    pair.check(CALLER, &["progress 180 -", "answered answer"]);
    pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
    pair.check_empty();
}

#[test]
fn section_5_an_offer_in_a_183_is_answered_by_prack() {
    let (mut pair, caller, callee) = pair_with(Reliable::Supported, None, Reliable::Supported);
    assert!(pair.ends[CALLEE].carries_offers_early(callee));
    progress(&mut pair, callee, 183, sdp("offer"));
    pair.run_ms(5);
    pair.check(CALLER, &["progress 183 offer"]);
    assert_eq!(pair.count("0 PRACK"), 0, "the answer is the application's");
    pair.act(CALLER, |e, now, out| e.acknowledge(now, caller, sdp("answer"), out));
    pair.run_ms(5);
    pair.check(CALLEE, &["early answer answer"]);
    accept(&mut pair, callee, sdp("offer"));
    pair.run_ms(5);
    pair.check(CALLER, &["answered -"]);
    pair.check(CALLEE, &["established -"]);
    assert_eq!(pair.count("0 ACK"), 1, "no answer is owed any more");
    pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
    pair.check_empty();
}

#[test]
fn section_3_the_policy_of_a_peer_decides_with_what_it_asks_for() {
    let check = |asks: Reliable, policy: Reliable, status: Option<u16>| {
        let mut pair = Pair::new(Transport::Udp);
        for end in [CALLER, CALLEE] {
            pair.ends[end].settings.supported = vec!["100rel".to_owned()];
        }
        let mut invite = pair.outgoing(sdp("offer"));
        invite.reliable = asks;
        pair.act(CALLER, |e, now, out| e.invite(now, invite, out));
        pair.run_ms(5);
        let callee = pair.incoming();
        let refusal = pair.act(CALLEE, |e, _, _| e.agree_on_reliability(callee, policy)).err();
        assert_eq!(refusal.map(|r| r.status), status, "{asks:?} {policy:?}");
    };
    check(Reliable::Required, Reliable::Off, Some(420));
    check(Reliable::Off, Reliable::Required, Some(421));
    check(Reliable::Supported, Reliable::Off, None);
    check(Reliable::Off, Reliable::Supported, None);
    check(Reliable::Required, Reliable::Required, None);
}

#[test]
fn section_3_a_peer_without_100rel_gets_ordinary_responses() {
    let mut pair = Pair::new(Transport::Udp);
    pair.ends[CALLEE].settings.supported = vec!["100rel".to_owned()];
    let (_, callee) = pair.call(sdp("offer"));
    assert!(!pair.ends[CALLEE].carries_offers_early(callee));
    progress(&mut pair, callee, 183, sdp("answer"));
    pair.run_ms(5);
    let Event::Progress { response, .. } = &pair.events[CALLER][0] else { panic!() };
    assert!(!response.headers.has(&HeaderName::RSeq) && !response.headers.has(&HeaderName::Require));
    accept(&mut pair, callee, sdp("answer"));
    pair.run_ms(5);
    pair.check(CALLER, &["progress 183 answer", "answered answer"]);
}

/// A call of ours whose early responses are written by hand.
fn scripted() -> (Scripted, String) {
    let mut it = Scripted::new();
    it.endpoint.settings.supported = vec!["100rel".to_owned()];
    let mut invite = Pair::new(Transport::Udp).outgoing(sdp("offer"));
    invite.reliable = Reliable::Supported;
    it.act(|e, now, out| e.invite(now, invite, out));
    let sent = it.sent.pop().expect("an INVITE");
    assert!(sent.contains("\r\nSupported: 100rel\r\n"), "{sent}");
    (it, sent)
}

#[test]
fn section_4_only_the_next_number_of_each_dialog_is_acknowledged() {
    let (mut it, invite) = scripted();
    let reliable = |tag: &str, rseq: u32| {
        response_to(&invite, "180 Ringing", tag, &format!("Require: 100rel\r\nRSeq: {rseq}\r\n"))
    };
    it.receive(&reliable("one", 7));
    let prack = it.sent.pop().expect("a PRACK");
    assert!(prack.contains("\r\nRAck: 7 1 INVITE\r\n") && prack.contains("\r\nCSeq: 2 PRACK\r\n"), "{prack}");
    assert!(prack.contains("tag=one"), "{prack}");
    it.receive(&reliable("one", 7));
    it.receive(&reliable("one", 9));
    assert!(it.sent.is_empty(), "repeated, and out of order");
    it.receive(&reliable("one", 8));
    it.receive(&reliable("two", 100));
    assert_eq!(it.starts(), ["PRACK sip:b@10.0.0.2 SIP/2.0"; 2]);
    assert_eq!(it.events.len(), 3, "{:?}", it.events);
    // The numbers that PRACK used are not used again in the dialog (12.2.1.1), and ACK bears that of INVITE.
    it.receive(&response_to(&invite, "200 OK", "one", ""));
    let ack = it.sent.pop().expect("an ACK");
    assert!(ack.contains("\r\nCSeq: 1 ACK\r\n"), "{ack}");
    let Some(Event::Answered { session, .. }) = it.events.last() else { panic!() };
    let session = *session;
    it.act(|e, now, out| e.terminate(now, session, None, out));
    let bye = it.sent.pop().expect("a BYE");
    assert!(bye.contains("\r\nCSeq: 4 BYE\r\n"), "{bye}");
}

#[test]
fn section_4_the_answer_of_the_fork_that_wins_counts() {
    let (mut it, invite) = scripted();
    for (tag, body) in [("one", "first"), ("two", "second")] {
        let more = format!("Require: 100rel\r\nRSeq: 1\r\nContent-Type: application/sdp\r\n\r\n{body}");
        it.receive(response_to(&invite, "183 Session Progress", tag, &more).trim_end());
    }
    it.receive(&response_to(&invite, "200 OK", "one", ""));
    match it.events.last() {
        Some(Event::Answered { body: Some(body), .. }) => assert_eq!(body.bytes, b"first"),
        other => panic!("{other:?}"),
    }
}

/// A call to us that requires reliable responses, and the tag of our first one.
fn called() -> (Scripted, SessionId, String, u32) {
    let mut it = Scripted::new();
    it.endpoint.settings.supported = vec!["100rel".to_owned()];
    it.request("INVITE", "1", "<sip:a@h>", "Require: 100rel\r\nContent-Type: application/sdp\r\n\r\noffer");
    let Some(Event::Incoming { session, .. }) = it.events.pop() else { panic!() };
    it.act(|e, now, out| e.progress(now, session, 183, sdp("answer"), vec![], out));
    let response = it.sent.pop().expect("a 183");
    let field = |name: &str| response.lines().find_map(|l| l.strip_prefix(name)).expect("a field").to_owned();
    assert_eq!(field("Require: "), "100rel");
    (it, session, field("To: "), field("RSeq: ").parse().expect("a number"))
}

fn in_dialog(it: &mut Scripted, to: &str, cseq: u32, method: &str, more: &str) -> Vec<String> {
    it.receive(&format!(
        "{method} sip:101@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK{method}{cseq}\r\nFrom: <sip:b@h>;tag=f\r\nTo: {to}\r\nCall-ID: c\r\nCSeq: {cseq} {method}\r\n{more}"
    ));
    it.starts()
}

#[test]
fn section_3_a_prack_that_fits_nothing_gets_481() {
    let (mut it, _, to, rseq) = called();
    for (cseq, rack) in [(2, "1 1 INVITE"), (3, &*format!("{rseq} 2 INVITE")), (4, &*format!("{rseq} 1 BYE")), (5, "x")]
    {
        let answers = in_dialog(&mut it, &to, cseq, "PRACK", &format!("RAck: {rack}\r\n\r\n"));
        assert_eq!(answers, ["SIP/2.0 481 Call/Transaction Does Not Exist"], "{rack}");
    }
    let rack = format!("RAck: {rseq} 1 INVITE\r\n\r\n");
    assert_eq!(in_dialog(&mut it, &to, 6, "PRACK", &rack), ["SIP/2.0 200 OK"]);
    assert_eq!(in_dialog(&mut it, &to, 7, "PRACK", &rack), ["SIP/2.0 481 Call/Transaction Does Not Exist"]);
}

#[test]
fn rfc_3311_5_2_update_before_the_answer_needs_a_settled_offer() {
    let (mut it, session, to, rseq) = called();
    let offer = "Content-Type: application/sdp\r\n\r\nmore";
    let answers = in_dialog(&mut it, &to, 2, "UPDATE", offer);
    assert_eq!(answers, ["SIP/2.0 500 Server Internal Error"], "the offer of the INVITE is not answered for certain");
    in_dialog(&mut it, &to, 3, "PRACK", &format!("RAck: {rseq} 1 INVITE\r\n\r\n"));
    assert!(in_dialog(&mut it, &to, 4, "UPDATE", offer).is_empty());
    let Some(Event::Offer { server, .. }) = it.events.pop() else { panic!() };
    assert_eq!(in_dialog(&mut it, &to, 5, "UPDATE", offer), ["SIP/2.0 500 Server Internal Error"], "one at a time");
    it.act(|e, now, out| e.reply(now, server, Response::new(200).with_body(sdp("fine")), out));
    assert_eq!(it.starts(), ["SIP/2.0 200 OK"]);
    assert_eq!(in_dialog(&mut it, &to, 6, "UPDATE", "\r\n"), ["SIP/2.0 200 OK"], "it offers nothing");
    it.act(|e, now, out| e.accept(now, session, sdp("answer"), out));
    assert_eq!(it.starts(), ["SIP/2.0 200 OK"]);
}

#[test]
fn section_5_prack_may_bring_a_new_offer() {
    let (mut it, _, to, rseq) = called();
    let more = format!("RAck: {rseq} 1 INVITE\r\nContent-Type: application/sdp\r\n\r\nmore");
    assert!(in_dialog(&mut it, &to, 2, "PRACK", &more).is_empty());
    let Some(Event::Offer { server, request, .. }) = it.events.pop() else { panic!() };
    assert_eq!(request.method, Method::Prack);
    it.act(|e, now, out| e.reply(now, server, Response::new(200).with_body(sdp("fine")), out));
    assert_eq!(it.starts(), ["SIP/2.0 200 OK"]);
}

#[test]
fn responses_that_wait_for_a_prack_are_bounded() {
    let (mut it, session, ..) = called();
    for _ in 0..reliable::QUEUE_MAX + 3 {
        it.act(|e, now, out| e.progress(now, session, 180, None, vec![], out));
    }
    let State::Ringing(ringing) = &it.endpoint.sessions.get(session).expect("a session").state else { panic!() };
    assert_eq!(ringing.provisionals.waiting(), reliable::QUEUE_MAX);
}
