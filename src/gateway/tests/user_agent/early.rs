//! Offers before the answer, what they mean for the other leg, and offers that are refused.

use super::*;

/// A call that rings with early media agreed reliably on both legs.
fn early(left: &str, right: &str) -> (Between, [SessionId; 2]) {
    let mut it = Between::new(left, right);
    let caller = it.invite("70", body(LEFT, 1, "0 8"), Vec::new());
    let (callee, _) = it.incoming();
    it.act(RIGHT, |e, now, out| e.progress(now, callee, 183, body(RIGHT, 1, "0"), vec![], out));
    it.run(Duration::from_millis(1));
    it.clear();
    (it, [caller, callee])
}

fn update(it: &mut Between, end: usize, session: SessionId, version: u32, what: &str) {
    let body = body(end, version, what).expect("a body");
    let request = it.act(end, |e, now, out| e.offer_early(now, session, body, vec![], out));
    assert!(request.is_some(), "UPDATE may be sent");
}

#[test]
fn rfc_3311_an_offer_before_the_answer_reaches_the_other_leg() {
    let (mut it, [caller, callee]) = early("", "");
    update(&mut it, LEFT, caller, 2, "0 sendonly");
    assert_eq!(it.answered(LEFT), "recvonly");
    assert!(it.sent[RIGHT].iter().any(|text| text.starts_with("UPDATE ")), "{:#?}", it.sent[RIGHT]);
    assert_eq!(it.answer(RIGHT, "0 recvonly"), "sendonly");
    it.clear();
    update(&mut it, RIGHT, callee, 3, "0 inactive");
    assert_eq!(it.answered(RIGHT), "inactive");
    assert_eq!(it.answer(LEFT, "0 inactive"), "inactive");
    it.clear();
    it.act(RIGHT, |e, now, out| e.accept(now, callee, None, out));
    it.run(Duration::from_secs(5));
    assert!(!it.events.iter().flatten().any(|e| matches!(e, Event::Offer { .. })), "both know already");
    it.end(caller);
}

#[test]
fn a_hold_before_the_answer_is_told_at_the_answer_where_it_can_not_be_told_before() {
    // Without 100rel the early dialog on the right takes no offer.
    let mut it = Between::new("", "100rel = \"off\"");
    let caller = it.invite("70", body(LEFT, 1, "0 8"), Vec::new());
    let (callee, _) = it.incoming();
    it.act(RIGHT, |e, now, out| e.progress(now, callee, 183, body(RIGHT, 1, "0"), vec![], out));
    update(&mut it, LEFT, caller, 2, "0 sendonly");
    assert_eq!(it.answered(LEFT), "recvonly");
    assert!(!it.sent[RIGHT].iter().any(|text| text.starts_with("UPDATE ")));
    it.act(RIGHT, |e, now, out| e.accept(now, callee, body(RIGHT, 1, "0"), out));
    it.run(Duration::from_millis(1));
    assert_eq!(it.answer(RIGHT, "0 recvonly"), "sendonly");
    it.end(caller);
}

#[test]
fn a_caller_that_offers_a_hold_is_shown_so_to_the_callee_at_once() {
    let mut it = Between::new("", "");
    let caller = it.invite("70", body(LEFT, 1, "0 sendonly"), Vec::new());
    let (callee, request) = it.incoming();
    assert_eq!(direction_in(&request.body), "sendonly");
    it.act(RIGHT, |e, now, out| e.accept(now, callee, body(RIGHT, 1, "0 recvonly"), out));
    it.run(Duration::from_secs(5));
    assert!(!it.events.iter().flatten().any(|e| matches!(e, Event::Offer { .. })));
    it.clear();
    it.offer(LEFT, caller, 2, "0");
    assert_eq!(it.answer(RIGHT, "0"), "sendrecv");
    assert_eq!(it.settings(), [(true, true), (true, true)]);
    it.end(caller);
}

#[test]
fn a_callee_that_answers_holding_is_shown_so_to_the_caller() {
    let mut it = Between::new("", "");
    let caller = it.invite("70", body(LEFT, 1, "0"), Vec::new());
    let (callee, _) = it.incoming();
    it.act(RIGHT, |e, now, out| e.accept(now, callee, body(RIGHT, 1, "0 sendonly"), out));
    let ok = it.sent[LEFT].iter().find(|text| text.starts_with("SIP/2.0 200 ")).expect("an answer");
    assert_eq!(direction_in(ok.as_bytes()), "sendonly");
    it.run(Duration::from_secs(5));
    assert!(!it.events.iter().flatten().any(|e| matches!(e, Event::Offer { .. })));
    it.end(caller);
}

#[test]
fn rfc_3311_5_2_offers_that_cross_before_the_answer_meet_491_and_are_told_at_the_answer() {
    let (mut it, [caller, callee]) = early("", "");
    it.silent[RIGHT] = true;
    update(&mut it, LEFT, caller, 2, "0 sendonly");
    it.silent[RIGHT] = false;
    // The UPDATE of the gateway is on its way to the right, which offers itself.
    update(&mut it, RIGHT, callee, 2, "0 inactive");
    assert!(it.sent[RIGHT].iter().any(|text| text.starts_with("SIP/2.0 491 ")), "{:#?}", it.sent[RIGHT]);
    it.run(Duration::from_secs(1));
    if it.events[RIGHT].iter().any(|e| matches!(e, Event::Offer { .. })) {
        it.answer(RIGHT, "0 recvonly");
    }
    it.act(RIGHT, |e, now, out| e.accept(now, callee, None, out));
    for _ in 0..100 {
        it.run(Duration::from_millis(100));
        if it.events[RIGHT].iter().any(|e| matches!(e, Event::Offer { .. })) {
            it.answer(RIGHT, "0 recvonly");
        }
    }
    assert_eq!(it.gateway.counts().calls, 1);
    it.end(caller);
}

#[test]
fn fields_and_parts_of_an_offer_go_along_with_the_offer_that_it_causes() {
    let (mut it, [caller, _]) = Between::established("", "");
    let field = || vec![Header::new(HeaderName::Other("X-Ours".to_owned()), "yes")];
    it.act(LEFT, |e, now, out| e.offer(now, caller, body(LEFT, 2, "0 sendonly"), field(), out));
    let text = it.sent[RIGHT].iter().find(|text| text.starts_with("INVITE ")).expect("an offer").clone();
    assert!(text.contains("\r\nX-Ours: yes\r\n"), "{text}");
    it.answer(RIGHT, "0 recvonly");
    it.clear();
    // A field alone is no reason for an offer: peers repeat theirs in every refresh.
    it.act(LEFT, |e, now, out| e.offer(now, caller, body(LEFT, 3, "0 sendonly"), field(), out));
    assert!(!it.sent[RIGHT].iter().any(|text| text.starts_with("INVITE ")));
    it.clear();
    // A part is; an UPDATE without description may bring it, too.
    let isup = Body { content_type: "application/isup".to_owned(), bytes: vec![1] };
    let sent = it.act(LEFT, |e, now, out| e.request_in_dialog(now, caller, Method::Update, Some(isup), vec![], out));
    assert!(sent.is_some());
    let Some(Event::Offer { request, .. }) = it.events[RIGHT].last() else { panic!("{:#?}", it.sent) };
    assert!(request.describes() && request.typed_body().is_some_and(|b| b.part("application/isup").is_some()));
    it.answer(RIGHT, "0 recvonly");
    it.end(caller);
}

#[test]
fn a_part_that_the_other_trunk_may_not_get_is_refused_inside_the_dialog() {
    let (mut it, [caller, _]) = Between::established("", "pass-bodies = \"none\"");
    let isup = Body { content_type: "application/isup".to_owned(), bytes: vec![1] };
    it.act(LEFT, |e, now, out| e.request_in_dialog(now, caller, Method::Update, Some(isup), vec![], out));
    assert!(it.sent[LEFT].iter().any(|text| text.starts_with("SIP/2.0 415 ")), "{:#?}", it.sent[LEFT]);
    assert_eq!(it.gateway.counts().calls, 1);
    it.end(caller);
}

#[test]
fn rfc_3261_8_1_3_5_a_party_that_does_not_read_parts_is_offered_the_description_alone() {
    let (mut it, [caller, _]) = Between::established("", "");
    let isup = Body { content_type: "application/isup".to_owned(), bytes: vec![1] };
    it.act(LEFT, |e, now, out| e.request_in_dialog(now, caller, Method::Update, Some(isup), vec![], out));
    let Some(Event::Offer { server, .. }) = it.events[RIGHT].pop() else { panic!("an offer") };
    it.act(RIGHT, |e, now, out| e.reply(now, server, Response::new(415), out));
    it.run(Duration::from_secs(1));
    let Some(Event::Offer { request, .. }) = it.events[RIGHT].last() else { panic!("{:#?}", it.sent[RIGHT]) };
    assert!(request.typed_body().is_some_and(|body| body.is("application/sdp")));
    it.answer(RIGHT, "0");
    it.end(caller);
}

#[test]
fn rfc_6141_3_3_a_refused_re_invite_leaves_the_session_and_the_target_as_they_were() {
    let (mut it, [caller, _]) = Between::established("", "");
    // Nothing in common: refused, and with it the Contact that it came with (RFC 6141 4.9, RFC 3261 12.2.2).
    it.act(LEFT, |e, now, out| e.offer(now, caller, body(LEFT, 2, "3"), vec![], out));
    assert!(it.sent[LEFT].iter().any(|text| text.starts_with("SIP/2.0 488 ")), "{:#?}", it.sent[LEFT]);
    assert_eq!(it.settings(), [], "no stream changed");
    assert!(it.sent[RIGHT].is_empty(), "nobody else heard of it");
    it.run(Duration::from_secs(5));
    // The next one is judged by what was agreed before.
    it.clear();
    it.offer(LEFT, caller, 3, "0 sendonly");
    assert_eq!(it.answer(RIGHT, "0 recvonly"), "sendonly");
    it.end(caller);
}

#[test]
fn rfc_6141_3_3_what_a_party_refused_is_offered_anew_with_the_next_change() {
    let (mut it, [caller, callee]) = Between::established("", "");
    it.offer(LEFT, caller, 2, "0 sendonly");
    let Some(Event::Offer { server, .. }) = it.events[RIGHT].pop() else { panic!("an offer") };
    it.clear();
    it.act(RIGHT, |e, now, out| e.reply(now, server, Response::new(488), out));
    assert_eq!(it.settings(), [], "its stream stays as it was");
    // Its own offer is answered by what holds: the left one holds still.
    it.offer(RIGHT, callee, 2, "0");
    assert_eq!(it.answered(RIGHT), "sendonly");
    it.end(caller);
}

#[test]
fn rfc_6141_3_4_an_update_while_a_re_invite_waits_is_glare_and_changes_nothing() {
    let (mut it, [caller, callee]) = Between::established("", "");
    it.offer(LEFT, caller, 2, "0 sendonly");
    // The right has our re-INVITE and sends an UPDATE with an offer before it answers.
    let sdp = body(RIGHT, 2, "0 inactive");
    let bytes = it.sent[RIGHT].iter().find(|text| text.starts_with("INVITE ")).expect("a re-INVITE").clone();
    let field = |name: &str| bytes.lines().find(|line| line.starts_with(name)).expect("a field").to_owned();
    let swap = |line: &str, from: &str, to: &str| line.replacen(from, to, 1);
    let text = format!(
        "UPDATE sip:127.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.3:5060;branch=z9hG4bKup\r\n{}\r\n{}\r\n{}\r\n\
         CSeq: 77 UPDATE\r\nMax-Forwards: 70\r\nContact: <sip:127.0.0.3:5060>\r\nContent-Type: application/sdp\r\n\r\n{}",
        swap(&field("To:"), "To:", "From:"),
        swap(&field("From:"), "From:", "To:"),
        field("Call-ID:"),
        String::from_utf8_lossy(&sdp.expect("a body").bytes)
    );
    it.clear();
    let way = Flow { local: flow(RIGHT).remote, remote: flow(RIGHT).local, ..flow(RIGHT) };
    it.input(Input::Datagram { flow: way, bytes: text.as_bytes() });
    assert!(it.sent[RIGHT].iter().any(|text| text.starts_with("SIP/2.0 491 ")), "{:#?}", it.sent[RIGHT]);
    assert_eq!(it.settings(), []);
    let _ = callee;
    it.end(caller);
}
