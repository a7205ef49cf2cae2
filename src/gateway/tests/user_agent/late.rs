//! INVITE without offer from a SIP caller to a SIP callee.

use super::*;

/// A description with both codecs.
fn both(end: usize, first: &str) -> Option<Body> {
    let text = String::from_utf8(body(end, 1, "0")?.bytes).expect("text");
    Some(Body::sdp(text.replace("RTP/AVP 0", &format!("RTP/AVP {first}"))))
}

fn offer_that_left_got(it: &Between) -> String {
    let body = it.events[LEFT].iter().rev().find_map(|event| match event {
        Event::Answered { body: Some(body), .. } | Event::Progress { body: Some(body), .. } => Some(body.clone()),
        _ => None,
    });
    String::from_utf8_lossy(&body.unwrap_or_else(|| panic!("no offer: {:#?}", it.sent[LEFT])).bytes).into_owned()
}

/// What the right got last in a request of this method.
fn answer_that_right_got(it: &Between, method: &str) -> String {
    let found = it.sent[RIGHT].iter().rev().find(|text| text.starts_with(method));
    found.unwrap_or_else(|| panic!("no {method}: {:#?}", it.sent[RIGHT])).clone()
}

#[test]
fn rfc_3261_13_2_1_the_offer_of_the_callee_goes_to_the_caller_and_its_answer_back() {
    let mut it = Between::new("", "");
    let caller = it.invite("70", None, Vec::new());
    let (callee, request) = it.incoming();
    assert!(request.body.is_empty(), "the caller asks for an offer, and so do we");
    it.act(RIGHT, |e, now, out| e.progress(now, callee, 180, None, vec![], out));
    it.act(RIGHT, |e, now, out| e.accept(now, callee, both(RIGHT, "8 0"), out));
    let offer = offer_that_left_got(&it);
    assert!(offer.contains(" RTP/AVP 8 0 ") && !offer.contains("127.0.0.3"), "{offer}");
    assert!(!it.sent[RIGHT].iter().any(|text| text.starts_with("ACK ")), "the caller has not answered");
    it.act(LEFT, |e, now, out| e.acknowledge(now, caller, body(LEFT, 1, "0"), out));
    let ack = answer_that_right_got(&it, "ACK ");
    assert!(ack.contains(" RTP/AVP 0\r\n") && !ack.contains("127.0.0.2"), "the codec that the caller took: {ack}");
    assert_eq!(it.settings().last(), Some(&(true, true)));
    // From here on it is a call like any other.
    it.clear();
    it.offer(LEFT, caller, 2, "0 sendonly");
    assert_eq!(it.answer(RIGHT, "0 recvonly"), "sendonly");
    it.end(caller);
}

#[test]
fn rfc_3262_5_an_early_offer_goes_on_where_that_is_reliable_and_prack_answers_it() {
    let mut it = Between::new("", "");
    let caller = it.invite("70", None, Vec::new());
    let (callee, _) = it.incoming();
    it.act(RIGHT, |e, now, out| e.progress(now, callee, 183, body(RIGHT, 1, "0"), vec![], out));
    offer_that_left_got(&it);
    assert!(!it.sent[RIGHT].iter().any(|text| text.starts_with("PRACK ")), "the caller has not answered");
    it.act(LEFT, |e, now, out| e.acknowledge(now, caller, body(LEFT, 1, "0"), out));
    let prack = answer_that_right_got(&it, "PRACK ");
    assert!(prack.contains("m=audio"), "{prack}");
    it.act(RIGHT, |e, now, out| e.accept(now, callee, None, out));
    assert!(it.events[LEFT].iter().any(|e| matches!(e, Event::Answered { .. })));
    assert!(it.settings().contains(&(true, true)), "{:?}", it.settings());
    it.end(caller);
}

#[test]
fn an_early_offer_that_the_caller_can_not_be_told_is_answered_by_us() {
    let mut it = Between::new("100rel = \"off\"", "");
    let caller = it.invite("70", None, Vec::new());
    let (callee, _) = it.incoming();
    it.act(RIGHT, |e, now, out| e.progress(now, callee, 183, body(RIGHT, 1, "8"), vec![], out));
    let prack = answer_that_right_got(&it, "PRACK ");
    assert!(prack.contains(" RTP/AVP 8\r\n"), "{prack}");
    it.act(RIGHT, |e, now, out| e.accept(now, callee, None, out));
    assert!(offer_that_left_got(&it).contains(" RTP/AVP 8 0 "));
    it.act(LEFT, |e, now, out| e.acknowledge(now, caller, body(LEFT, 1, "8"), out));
    assert_eq!(it.gateway.counts().calls, 1);
    it.end(caller);
}

#[test]
fn a_description_in_an_unreliable_response_is_no_offer() {
    let mut it = Between::new("", "100rel = \"off\"");
    let caller = it.invite("70", None, Vec::new());
    let (callee, _) = it.incoming();
    it.act(RIGHT, |e, now, out| e.progress(now, callee, 183, body(RIGHT, 1, "8"), vec![], out));
    assert!(!it.sent[LEFT].iter().any(|text| text.contains("m=audio")), "{:#?}", it.sent[LEFT]);
    it.act(RIGHT, |e, now, out| e.accept(now, callee, body(RIGHT, 2, "0"), out));
    assert!(offer_that_left_got(&it).contains(" RTP/AVP 0 8 "));
    it.act(LEFT, |e, now, out| e.acknowledge(now, caller, body(LEFT, 1, "0"), out));
    it.end(caller);
}

#[test]
fn a_callee_that_answers_holding_is_shown_so_to_a_caller_that_asked_for_an_offer() {
    let mut it = Between::new("", "");
    let caller = it.invite("70", None, Vec::new());
    let (callee, _) = it.incoming();
    it.act(RIGHT, |e, now, out| e.accept(now, callee, body(RIGHT, 1, "0 sendonly"), out));
    assert_eq!(direction_in(offer_that_left_got(&it).as_bytes()), "sendonly");
    it.act(LEFT, |e, now, out| e.acknowledge(now, caller, body(LEFT, 1, "0 recvonly"), out));
    assert_eq!(direction_in(answer_that_right_got(&it, "ACK ").as_bytes()), "recvonly");
    it.run(Duration::from_secs(5));
    assert!(!it.events.iter().flatten().any(|e| matches!(e, Event::Offer { .. })), "everybody knows already");
    it.end(caller);
}

#[test]
fn a_caller_that_does_not_answer_the_offer_ends_the_call_on_both_sides() {
    let mut it = Between::new("", "");
    let caller = it.invite("70", None, Vec::new());
    let (callee, _) = it.incoming();
    it.act(RIGHT, |e, now, out| e.accept(now, callee, body(RIGHT, 1, "0"), out));
    it.act(LEFT, |e, now, out| e.acknowledge(now, caller, None, out));
    it.run(Duration::from_secs(1));
    assert!(it.events[RIGHT].iter().any(|e| matches!(e, Event::Ended { how: Ended::Bye { .. }, .. })));
    assert_eq!(it.gateway.counts().calls, 0);
    it.end(caller);
}

#[test]
fn an_offer_without_a_common_codec_ends_the_call_before_the_caller_is_answered() {
    let mut it = Between::new("", "");
    let caller = it.invite("70", None, Vec::new());
    let (callee, _) = it.incoming();
    it.act(RIGHT, |e, now, out| e.accept(now, callee, body(RIGHT, 1, "3"), out));
    it.run(Duration::from_secs(1));
    assert!(it.events[RIGHT].iter().any(|e| matches!(e, Event::Ended { how: Ended::Bye { .. }, .. })));
    assert!(it.events[LEFT].iter().any(|e| matches!(e, Event::Ended { how: Ended::Rejected { .. }, .. })));
    it.end(caller);
}

#[test]
fn a_caller_that_leaves_while_the_offer_waits_leaves_nothing_behind() {
    let mut it = Between::new("", "");
    let caller = it.invite("70", None, Vec::new());
    let (callee, _) = it.incoming();
    it.silent[LEFT] = true;
    it.act(RIGHT, |e, now, out| e.accept(now, callee, body(RIGHT, 1, "0"), out));
    // The 200 never arrives: after 64 T1 the call ends, and the callee gets an ACK before its BYE.
    it.run(Duration::from_secs(40));
    let ends: Vec<&str> = it.sent[RIGHT].iter().filter_map(|text| text.split(' ').next()).collect();
    assert_eq!(it.gateway.counts().calls, 0, "{ends:?}");
    it.silent[LEFT] = false;
    it.end(caller);
}

#[test]
fn rfc_3261_8_2_3_a_body_that_we_do_not_read_is_routed_before_it_is_refused() {
    let isup = || Some(Body { content_type: "application/isup;version=itu-t92+".to_owned(), bytes: vec![1, 2] });
    let mut it = Between::new("", "");
    let caller = it.invite("70", isup(), Vec::new());
    let invite = it.sent[RIGHT].iter().find(|text| text.starts_with("INVITE ")).expect("it goes on");
    assert!(invite.contains("Content-Type: application/isup;version=itu-t92+\r\n"), "{invite}");
    // This callee does not read it either, and is called without it (8.1.3.5).
    let (callee, _) = it.incoming();
    it.act(RIGHT, |e, now, out| e.accept(now, callee, body(RIGHT, 1, "0"), out));
    it.act(LEFT, |e, now, out| e.acknowledge(now, caller, body(LEFT, 1, "0"), out));
    it.end(caller);
    // Nobody else reads it: a service, or a trunk that lets no such body pass.
    for (right, number) in [("", "600"), ("pass-bodies = \"none\"", "70")] {
        let mut it = Between::new("", right);
        it.invite(number, isup(), Vec::new());
        let refusal = it.sent[LEFT].iter().find(|text| text.starts_with("SIP/2.0 415 ")).expect("a refusal");
        assert!(refusal.contains("\r\nAccept: application/sdp, multipart/mixed\r\n"), "{refusal}");
    }
    // An encoding that we don't know is not for others when the description itself is encoded.
    let mut it = Between::new("", "");
    it.invite("70", body(LEFT, 1, "0"), vec![Header::new(HeaderName::ContentEncoding, "gzip")]);
    assert!(it.sent[LEFT].iter().any(|text| text.starts_with("SIP/2.0 415 ")), "{:#?}", it.sent[LEFT]);
}

#[test]
fn a_trunk_that_wants_an_offer_gets_ours() {
    let mut it = Between::new("", "early-offer = true");
    let caller = it.invite("70", None, Vec::new());
    let (callee, request) = it.incoming();
    assert!(request.describes());
    it.act(RIGHT, |e, now, out| e.progress(now, callee, 183, body(RIGHT, 1, "0"), vec![], out));
    offer_that_left_got(&it);
    it.act(LEFT, |e, now, out| e.acknowledge(now, caller, body(LEFT, 1, "0"), out));
    it.act(RIGHT, |e, now, out| e.accept(now, callee, body(RIGHT, 1, "0"), out));
    assert!(it.events[LEFT].iter().any(|e| matches!(e, Event::Answered { .. })));
    assert!(it.settings().contains(&(true, true)), "{:?}", it.settings());
    it.end(caller);
}
