//! What passes from one leg to the other beside the call: header fields, bodies, INFO and MESSAGE.

use super::*;
use crate::limits::CROSSING_PER_LEG;
use crate::sip::{Carried, Part};

fn header(name: &str, value: &str) -> Header {
    Header::new(HeaderName::from_text(name), value)
}

fn part(content_type: &str, text: &str) -> Part {
    let body = Body { content_type: content_type.to_owned(), bytes: text.as_bytes().to_vec() };
    Part { body, fields: vec![Header::new(HeaderName::ContentDisposition, "signal;handling=optional")] }
}

/// A description of the left one, and what it says beside it.
fn with_parts(parts: &[Part]) -> (Option<Body>, Vec<Header>) {
    Carried { headers: Vec::new(), parts: parts.to_vec() }.content(body(LEFT, 1, "0 8"))
}

fn parts_in(text: &str) -> usize {
    text.matches("Content-Type: application/isup").count()
}

fn last_with<'t>(sent: &'t [String], start: &str) -> &'t str {
    sent.iter().rev().find(|text| text.starts_with(start)).unwrap_or_else(|| panic!("no {start}: {sent:#?}"))
}

#[test]
fn fields_and_parts_of_an_invite_and_its_responses_come_through() {
    let mut it = Between::new("", "");
    let (content, mut headers) = with_parts(&[part("application/isup", "\u{1}\u{2}")]);
    headers.extend([
        header("User-to-User", "56a3;encoding=hex"),
        header("X-Ours", "yes"),
        header("Subject", "lunch"),
        header("Remote-Party-ID", "<sip:100@left.example>"),
        header("Record-Route", "<sip:127.0.0.2;lr>"),
    ]);
    let caller = it.invite("70", content, headers);
    let (callee, request) = it.incoming();
    let text = last_with(&it.sent[RIGHT], "INVITE ").to_owned();
    for field in ["User-to-User: 56a3;encoding=hex\r\n", "X-Ours: yes\r\n", "Subject: lunch\r\n"] {
        assert!(text.contains(field), "{field}: {text}");
    }
    for own in ["Remote-Party-ID", "127.0.0.2", "left.example"] {
        assert!(!text.contains(own), "{own}: {text}");
    }
    assert_eq!(parts_in(&text), 1);
    assert!(request.describes(), "the description of the gateway stands beside it");
    let brings = Carried {
        headers: vec![header("Alert-Info", "<urn:alert:service:call-waiting>"), header("Server", "callee")],
        parts: vec![part("application/isup", "\u{6}")],
    };
    it.act(RIGHT, |e, now, out| e.progress_with(now, callee, 180, None, brings.clone(), out));
    let text = last_with(&it.sent[LEFT], "SIP/2.0 180");
    assert!(text.contains("Alert-Info: <urn:alert:service:call-waiting>\r\n") && !text.contains("callee"), "{text}");
    assert_eq!(parts_in(text), 1, "who sends several parts reads them: {text}");
    it.act(RIGHT, |e, now, out| e.accept_with(now, callee, body(RIGHT, 1, "0"), brings, out));
    let text = last_with(&it.sent[LEFT], "SIP/2.0 200");
    assert!(text.contains("multipart/mixed") && text.contains("m=audio"), "{text}");
    assert_eq!((parts_in(text), it.gateway.counts().calls), (1, 1));
    it.end(caller);
}

#[test]
fn a_caller_that_does_not_read_parts_gets_none() {
    let mut it = Between::new("", "");
    let caller = it.invite("70", body(LEFT, 1, "0"), Vec::new());
    let (callee, _) = it.incoming();
    let brings = Carried { headers: vec![header("X-A", "1")], parts: vec![part("application/isup", "\u{6}")] };
    it.act(RIGHT, |e, now, out| e.accept_with(now, callee, body(RIGHT, 1, "0"), brings, out));
    let text = last_with(&it.sent[LEFT], "SIP/2.0 200");
    assert!(text.contains("X-A: 1\r\n") && text.contains("Content-Type: application/sdp\r\n"), "{text}");
    it.end(caller);
}

#[test]
fn rfc_3261_8_1_3_5_a_callee_that_does_not_read_parts_is_called_without_them() {
    let mut it = Between::new("", "");
    let (content, headers) = with_parts(&[part("application/isup", "\u{1}")]);
    let caller = it.invite("70", content, headers);
    let (callee, _) = it.incoming();
    it.events[RIGHT].clear();
    it.act(RIGHT, |e, now, out| e.reject(now, callee, 415, vec![header("Accept", "application/sdp")], out));
    let (callee, request) = it.incoming();
    assert_eq!(request.headers.text(&HeaderName::ContentType).as_deref(), Some("application/sdp"));
    assert!(!request.headers.has(&HeaderName::from_text("MIME-Version")));
    it.act(RIGHT, |e, now, out| e.accept(now, callee, body(RIGHT, 1, "0"), out));
    assert!(it.events[LEFT].iter().any(|event| matches!(event, Event::Answered { .. })));
    it.end(caller);
}

#[test]
fn bye_and_refusals_bring_their_fields_to_the_other_leg() {
    for hangs_up in [LEFT, RIGHT] {
        let (mut it, sessions) = Between::established("", "");
        let brings =
            Carried { headers: vec![header("User-to-User", "bye")], parts: vec![part("application/isup", "\u{c}")] };
        it.act(hangs_up, |e, now, out| e.terminate_with(now, sessions[hangs_up], None, brings, out));
        let other = 1 - hangs_up;
        let text = last_with(&it.sent[other], "BYE ");
        assert!(text.contains("User-to-User: bye\r\n"), "{text}");
        assert!(text.contains("Content-Type: application/isup\r\n") && text.contains("handling=optional"), "{text}");
        it.end(sessions[LEFT]);
    }
    let mut it = Between::new("", "");
    let caller = it.invite("70", body(LEFT, 1, "0"), vec![header("User-to-User", "invite")]);
    let (callee, _) = it.incoming();
    let refusal = vec![header("User-to-User", "busy"), header("Warning", "399 right.example \"no\"")];
    it.act(RIGHT, |e, now, out| e.reject(now, callee, 486, refusal, out));
    let text = last_with(&it.sent[LEFT], "SIP/2.0 486");
    assert!(text.contains("User-to-User: busy\r\n") && !text.contains("right.example"), "{text}");
    it.end(caller);
}

#[test]
fn what_a_call_began_with_is_not_said_again_when_the_gateway_ends_it() {
    let mut it = Between::new("", "");
    it.invite("70", body(LEFT, 1, "0"), vec![header("User-to-User", "invite")]);
    let (callee, _) = it.incoming();
    it.act(RIGHT, |e, now, out| e.accept(now, callee, body(RIGHT, 1, "0"), out));
    it.clear();
    it.input(Input::Hangup { call: 1 });
    for end in [LEFT, RIGHT] {
        assert!(!last_with(&it.sent[end], "BYE ").contains("User-to-User"));
    }
}

#[test]
fn each_trunk_has_its_rules_and_both_must_let_it_through() {
    let passes = |left: &str, right: &str| {
        let mut it = Between::new(left, right);
        let (content, mut headers) = with_parts(&[part("application/isup", "\u{1}")]);
        headers.extend([header("X-A", "1"), header("User-to-User", "2")]);
        let caller = it.invite("70", content, headers);
        let text = last_with(&it.sent[RIGHT], "INVITE ").to_owned();
        it.end(caller);
        (text.contains("X-A: 1"), text.contains("User-to-User: 2"), parts_in(&text) == 1)
    };
    assert_eq!(passes("", ""), (true, true, true));
    assert_eq!(passes("pass-headers = \"none\"", ""), (false, false, true));
    assert_eq!(passes("", "pass-headers = [\"x-*\"]"), (true, false, true));
    assert_eq!(passes("pass-headers = [\"User-to-User\"]", "pass-headers = [\"x-*\"]"), (false, false, true));
    assert_eq!(passes("pass-bodies = [\"application/isup\"]", "pass-bodies = \"none\""), (true, true, false));
    assert_eq!(passes("pass-bodies = [\"application/isup\"]", ""), (true, true, true));
}

#[test]
fn rfc_3323_5_3_an_unknown_caller_stays_so_and_rfc_7315_3_private_fields_need_trust() {
    let passes = |left: &str, right: &str, privacy: &str| {
        let mut it = Between::new(left, right);
        let headers = vec![
            header("Privacy", privacy),
            header("Organization", "Ann's"),
            header("P-Charging-Vector", "icid-value=1"),
        ];
        let caller = it.invite("70", body(LEFT, 1, "0"), headers);
        let text = last_with(&it.sent[RIGHT], "INVITE ").to_owned();
        it.end(caller);
        (text.contains("Organization"), text.contains("P-Charging-Vector"))
    };
    assert_eq!(passes("", "", "none"), (true, false));
    assert_eq!(passes("trust = true", "", "id"), (false, false));
    assert_eq!(passes("trust = true", "trust = true", "id"), (true, true));
}

/// Sends a request in the dialog of an end, and lets the other end answer; what came there and back.
fn cross(
    it: &mut Between,
    from: usize,
    session: SessionId,
    method: Method,
    what: Part,
    answer: Response,
) -> (Request, Response) {
    let (content, headers) = Carried { headers: vec![header("X-A", "1")], parts: vec![what] }.content(None);
    it.act(from, |e, now, out| e.request_in_dialog(now, session, method, content, headers, out));
    let to = 1 - from;
    let at = it.events[to].iter().position(|event| matches!(event, Event::InDialog { .. }));
    let at = at.unwrap_or_else(|| panic!("nothing came: {:#?} {:#?}", it.sent, it.events));
    let Event::InDialog { server, request, .. } = it.events[to].remove(at) else { unreachable!("just found") };
    it.act(to, |e, now, out| e.reply(now, server, answer, out));
    let answered = it.events[from].iter().rev().find_map(|event| match event {
        Event::Response { outcome: Ok(response), .. } => Some(response.clone()),
        _ => None,
    });
    (request, answered.unwrap_or_else(|| panic!("no answer: {:#?}", it.sent)))
}

#[test]
fn info_of_a_type_that_is_not_ours_is_answered_by_the_other_leg() {
    for from in [LEFT, RIGHT] {
        let (mut it, sessions) = Between::established("", "");
        let answer = Response::new(200).with_headers([header("X-B", "2"), header("Server", "far")]);
        let answer = answer.with_body(Some(Body { content_type: "text/x".to_owned(), bytes: b"pong".to_vec() }));
        let (request, response) = cross(&mut it, from, sessions[from], Method::Info, part("text/x", "ping"), answer);
        assert_eq!((request.body.as_slice(), response.body.as_slice()), (&b"ping"[..], &b"pong"[..]));
        assert_eq!(request.headers.text(&HeaderName::ContentDisposition).as_deref(), Some("signal;handling=optional"));
        assert!(
            request.headers.has(&HeaderName::from_text("X-A")) && response.headers.has(&HeaderName::from_text("X-B"))
        );
        assert!(!String::from_utf8_lossy(&response.to_bytes()).contains("far"));
        let (_, response) =
            cross(&mut it, from, sessions[from], Method::Info, part("text/x", "ping"), Response::new(415));
        assert_eq!(response.status, 415);
        assert!(it.gateway.crossings.is_empty());
        it.end(sessions[LEFT]);
    }
}

#[test]
fn rfc_6086_info_packages_are_the_matter_of_the_two_ends() {
    let mut it = Between::new("", "");
    let caller = it.invite("70", body(LEFT, 1, "0"), vec![header("Recv-Info", "infoDtmf")]);
    let (callee, request) = it.incoming();
    assert_eq!(request.headers.text(&HeaderName::RecvInfo).as_deref(), Some("infoDtmf"));
    let brings = Carried::from(vec![header("Recv-Info", "nil")]);
    it.act(RIGHT, |e, now, out| e.accept_with(now, callee, body(RIGHT, 1, "0"), brings, out));
    assert!(last_with(&it.sent[LEFT], "SIP/2.0 200").contains("Recv-Info: nil\r\n"));
    let headers = vec![header("Info-Package", "infoDtmf")];
    it.act(RIGHT, |e, now, out| e.request_in_dialog(now, callee, Method::Info, None, headers, out));
    let info = it.events[LEFT].iter().any(|event| match event {
        Event::InDialog { request, .. } => request.headers.has(&HeaderName::InfoPackage),
        _ => false,
    });
    assert!(info, "{:#?}", it.sent);
    it.end(caller);
}

#[test]
fn what_nobody_reads_is_refused_as_the_standard_says() {
    // A service has no other leg that could read it, and a trunk may not be told.
    for (number, left) in [("600", ""), ("70", "pass-bodies = \"none\"")] {
        let mut it = Between::new(left, "");
        let caller = it.invite(number, body(LEFT, 1, "0"), Vec::new());
        if number == "70" {
            let (callee, _) = it.incoming();
            it.act(RIGHT, |e, now, out| e.accept(now, callee, body(RIGHT, 1, "0"), out));
        }
        for (method, expected) in [(Method::Info, 415), (Method::Message, 405)] {
            it.events[LEFT].clear();
            let what = Some(Body { content_type: "text/plain".to_owned(), bytes: b"hello".to_vec() });
            it.act(LEFT, |e, now, out| e.request_in_dialog(now, caller, method, what, vec![], out));
            let status = it.events[LEFT].iter().find_map(|event| match event {
                Event::Response { outcome: Ok(response), .. } => Some(response.status),
                _ => None,
            });
            assert_eq!(status, Some(expected), "{number}");
        }
        it.end(caller);
    }
}

#[test]
fn requests_that_the_other_leg_does_not_answer_are_bounded_and_leave_nothing() {
    let (mut it, [caller, _]) = Between::established("", "");
    for n in 0..=CROSSING_PER_LEG {
        let what = Some(Body { content_type: "text/x".to_owned(), bytes: b"ping".to_vec() });
        it.act(LEFT, |e, now, out| e.request_in_dialog(now, caller, Method::Info, what, vec![], out));
        let refused = it.sent[LEFT].iter().any(|text| text.starts_with("SIP/2.0 500 "));
        assert_eq!(refused, n == CROSSING_PER_LEG, "{n}");
    }
    assert_eq!(it.gateway.crossings.len(), CROSSING_PER_LEG);
    it.act(LEFT, |e, now, out| e.terminate(now, caller, None, out));
    assert!(it.gateway.crossings.is_empty());
    it.end(caller);
}
