//! Session timers: RFC 4028, by section.

use super::*;

/// Two ends of which those in `with` know session timers.
fn pair_with(with: &[usize], interval_s: u64) -> Pair {
    let mut pair = Pair::new(Transport::Udp);
    for end in with {
        let settings = &mut pair.ends[*end].settings;
        settings.session_expires = Some(Duration::from_secs(interval_s));
        settings.supported = vec!["timer".to_owned()];
    }
    pair
}

fn establish(pair: &mut Pair) -> (SessionId, SessionId) {
    let (caller, callee) = pair.call(sdp("offer"));
    pair.act(CALLEE, |e, now, out| e.accept(now, callee, sdp("answer"), out));
    pair.run_ms(5);
    pair.take(CALLER);
    pair.take(CALLEE);
    (caller, callee)
}

#[test]
fn section_7_4_the_caller_refreshes_by_update_after_half_of_the_interval() {
    let mut pair = pair_with(&[CALLER, CALLEE], 600);
    let (caller, _) = establish(&mut pair);
    pair.run_ms(299_000);
    assert_eq!(pair.count("0 UPDATE"), 0);
    pair.run_ms(2_000);
    assert_eq!((pair.count("0 UPDATE"), pair.count("1 UPDATE")), (1, 0));
    pair.run_ms(1_800_000);
    assert_eq!((pair.count("0 UPDATE"), pair.count("1 UPDATE")), (7, 0), "the roles stay");
    pair.check(CALLER, &[]);
    pair.check(CALLEE, &[]);
    pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
    pair.check_empty();
}

#[test]
fn section_7_4_a_peer_without_update_is_refreshed_by_the_description_that_stands() {
    let mut pair = pair_with(&[CALLER], 600);
    pair.ends[CALLEE].settings.allow.retain(|method| *method != Method::Update);
    let (caller, _) = establish(&mut pair);
    pair.run_ms(301_000);
    pair.check(CALLEE, &["offer INVITE offer"]);
    pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
    pair.check_empty();
}

#[test]
fn section_7_2_and_9_one_side_that_knows_timers_is_enough() {
    for knows in [CALLER, CALLEE] {
        let mut pair = pair_with(&[knows], 600);
        establish(&mut pair);
        pair.run_ms(301_000);
        assert_eq!(pair.count(&format!("{knows} UPDATE")), 1);
        pair.check(1 - knows, &[]);
        // The peer disappears: within the interval the session is over.
        pair.loses = Box::new(move |end, _| end != knows);
        pair.run_ms(600_000);
        pair.check(knows, &["ended Timeout"]);
    }
}

#[test]
fn section_10_a_session_that_the_peer_does_not_refresh_ends_32_s_before_its_time() {
    let mut pair = pair_with(&[CALLER, CALLEE], 600);
    let (caller, _) = establish(&mut pair);
    pair.ends[CALLER].sessions.get_mut(caller).expect("a session").expiry = None; // it never refreshes
    pair.run_ms(567_000);
    pair.check(CALLEE, &[]);
    pair.run_ms(2_000);
    pair.check(CALLEE, &["ended Expired"]);
    match pair.events[CALLER].as_slice() {
        [Event::Ended { how: Ended::Bye { request }, .. }] => {
            assert_eq!(request.reasons(), [Reason::q850(102).with_text("session timer")]);
        }
        other => panic!("{other:?}"),
    }
    pair.check_empty();
}

#[test]
fn section_7_3_a_422_is_answered_with_the_interval_that_it_names() {
    let mut pair = pair_with(&[CALLER, CALLEE], 100);
    pair.ends[CALLEE].settings.min_se = Duration::from_secs(1_200);
    let (caller, _) = establish(&mut pair);
    assert_eq!((pair.count("1 SIP/2.0 422"), pair.count("0 INVITE")), (1, 2));
    let expiry = pair.ends[CALLER].sessions.get_mut(caller).and_then(|s| s.expiry).expect("a timer");
    assert!(expiry.deadline() >= pair.now + Duration::from_secs(590), "half of 1200 s: {expiry:?}");
    pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
    pair.check_empty();
}

fn invite_with(headers: &str) -> (Scripted, String) {
    let mut it = Scripted::new();
    it.endpoint.settings.session_expires = Some(Duration::from_secs(1_800));
    it.endpoint.settings.supported = vec!["timer".to_owned()];
    it.receive(&format!(
        "INVITE sip:101@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK1\r\nFrom: <sip:b@h>;tag=f\r\nTo: <sip:a@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContact: <sip:b@10.0.0.2>\r\n{headers}\r\n"
    ));
    let Some(Event::Incoming { session, .. }) = it.events.pop() else {
        let refusal = it.sent.pop().expect("a refusal");
        return (it, refusal);
    };
    it.act(|e, now, out| e.accept(now, session, sdp("offer"), out));
    let response = it.sent.pop().expect("a 200");
    (it, response)
}

#[test]
fn section_9_table_2_who_refreshes() {
    let check = |headers: &str, expected: &str, required: bool| {
        let (_, response) = invite_with(headers);
        assert!(response.contains(&format!("\r\nSession-Expires: {expected}\r\n")), "{headers}: {response}");
        assert_eq!(response.contains("\r\nRequire: timer\r\n"), required, "{headers}: {response}");
    };
    check("", "1800;refresher=uas", false);
    check("Session-Expires: 600\r\n", "600;refresher=uas", false);
    check("Supported: timer\r\n", "1800;refresher=uas", false);
    check("k: timer\r\nx: 600\r\n", "600;refresher=uac", true);
    check("Supported: timer\r\nSession-Expires: 600;refresher=uac\r\n", "600;refresher=uac", true);
    check("Supported: timer\r\nSession-Expires: 600;refresher=uas\r\n", "600;refresher=uas", false);
    check("Supported: timer\r\nSession-Expires: 7200\r\n", "1800;refresher=uac", true);
    check("Supported: timer\r\nSession-Expires: 7200\r\nMin-SE: 3600\r\n", "3600;refresher=uac", true);
    check("Supported: timer\r\nSession-Expires: x\r\n", "1800;refresher=uas", false);
}

#[test]
fn section_9_an_interval_below_the_minimum_gets_422_from_those_who_understand_it() {
    let (_, refusal) = invite_with("Supported: timer\r\nSession-Expires: 60\r\n");
    assert!(refusal.starts_with("SIP/2.0 422 ") && refusal.contains("\r\nMin-SE: 90\r\n"), "{refusal}");
    let (_, response) = invite_with("Session-Expires: 60\r\n");
    assert!(response.starts_with("SIP/2.0 200 ") && response.contains("Session-Expires: 90;"), "{response}");
}

#[test]
fn section_7_1_the_invite_asks_for_the_configured_interval() {
    let mut pair = pair_with(&[CALLER], 600);
    pair.call(sdp("offer"));
    let Event::Incoming { request, .. } = &pair.events[CALLEE][0] else { panic!() };
    assert_eq!(request.headers.text(&HeaderName::SessionExpires).as_deref(), Some("600"));
    assert_eq!(request.headers.tokens(&HeaderName::Supported), ["timer"]);
    assert!(!request.headers.has(&HeaderName::MinSe), "90 s need not be said");
}

#[test]
fn section_7_2_a_refused_refresh_is_tried_again_before_the_session_ends() {
    let mut pair = pair_with(&[CALLER], 600);
    pair.ends[CALLEE].settings.allow.retain(|method| *method != Method::Update);
    let (caller, _) = establish(&mut pair);
    // Refreshes at half of the interval, then at half of what is left until 568 s.
    for (after_ms, status) in [(301_000, 503), (134_500, 488), (67_500, 200)] {
        pair.run_ms(after_ms);
        let server = pair.waiting(CALLEE);
        pair.check(CALLEE, &["offer INVITE offer"]);
        pair.act(CALLEE, |e, now, out| e.reply(now, server, Response::new(status).with_body(sdp("answer")), out));
        pair.run_ms(5);
    }
    pair.take(CALLEE);
    pair.run_ms(290_000);
    assert_eq!(pair.ends[CALLER].counts().sessions, 1, "the one that came through counts");
    pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
    pair.check_empty();
}

/// Lets time pass, and answers each UPDATE with this status; how many there were.
fn run_and_refuse(it: &mut Scripted, until: Instant, status: &str) -> usize {
    let mut refused = 0;
    while let Some(at) = it.endpoint.deadline().filter(|at| *at <= until) {
        it.now = it.now.max(at);
        it.act(|e, now, out| e.handle_timeout(now, out));
        for update in it.sent.drain(..).collect::<Vec<_>>() {
            if update.starts_with("UPDATE ") {
                refused += 1;
                it.receive(&response_to(&update, status, "t", ""));
            }
        }
    }
    it.now = until;
    refused
}

#[test]
fn section_7_2_and_14_1_of_rfc_3261_a_refresh_in_glare_is_tried_again_soon_and_408_and_481_end_the_session() {
    for (status, least, ends) in [("491 No", 2, false), ("500 No", 1, false), ("408 No", 1, true), ("481 No", 1, true)]
    {
        let mut it = Scripted::new();
        it.endpoint.settings.session_expires = Some(Duration::from_secs(600));
        it.endpoint.settings.supported = vec!["timer".to_owned()];
        let invite = Pair::new(Transport::Udp).outgoing(sdp("offer"));
        it.act(|e, now, out| e.invite(now, invite, out));
        let sent = it.sent.pop().expect("an INVITE");
        it.receive(&response_to(&sent, "200 OK", "t", "Allow: UPDATE\r\n"));
        it.sent.clear();
        let begun = it.now;
        assert_eq!(run_and_refuse(&mut it, begun + Duration::from_secs(299), status), 0, "{status}");
        let refused = run_and_refuse(&mut it, begun + Duration::from_secs(306), status);
        assert!(refused >= least && refused <= 4, "{status}: {refused}");
        let ended = it.events.iter().any(|event| matches!(event, Event::Ended { .. }));
        assert_eq!(ended, ends, "{status}");
        // Whoever never lets it through loses the session when its time is over, after few tries.
        if status.starts_with("500") {
            assert!(run_and_refuse(&mut it, begun + Duration::from_secs(566), status) <= 8);
            assert!(!it.events.iter().any(|event| matches!(event, Event::Ended { .. })));
            run_and_refuse(&mut it, begun + Duration::from_secs(569), status);
            assert!(it.events.iter().any(|event| matches!(event, Event::Ended { how: Ended::Expired, .. })));
        }
    }
}
