//! Offers of both sides that meet: RFC 3261 14.1 and 14.2, RFC 3311 5.2.

use super::super::{State, in_dialog};
use super::*;

fn offer(pair: &mut Pair, end: usize, session: SessionId, text: &str) -> RequestId {
    let request = pair.act(end, |e, now, out| e.offer(now, session, sdp(text), vec![], out));
    request.expect("the session is up")
}

fn answer(pair: &mut Pair, end: usize, text: &str) {
    let server = pair.waiting(end);
    pair.act(end, |e, now, out| e.reply(now, server, Response::new(200).with_body(sdp(text)), out));
}

#[test]
fn rfc_3261_14_1_after_491_the_side_without_the_call_id_comes_first_and_both_succeed() {
    let (mut pair, caller, callee) = Pair::established(Transport::Udp);
    offer(&mut pair, CALLER, caller, "caller's");
    offer(&mut pair, CALLEE, callee, "callee's");
    pair.run_ms(5);
    assert_eq!((pair.count("0 SIP/2.0 491"), pair.count("1 SIP/2.0 491")), (1, 1));
    // "If the UAC is not the owner of the Call-ID of the dialog ID, T has [...] between 0 and 2 seconds".
    let started = pair.now;
    while pair.events[CALLER].is_empty() {
        pair.run_ms(10);
    }
    assert!(pair.now.since(started) <= Duration::from_millis(2_020));
    answer(&mut pair, CALLER, "yes");
    pair.run_ms(5);
    pair.check(CALLER, &["offer INVITE callee's", "acknowledged -"]);
    pair.check(CALLEE, &["response 200"]);
    // "If the UAC is the owner of the Call-ID [...] between 2.1 and 4 seconds".
    while pair.events[CALLEE].is_empty() {
        pair.run_ms(10);
    }
    let waited = pair.now.since(started);
    assert!(waited >= Duration::from_millis(2_090) && waited <= Duration::from_millis(4_030), "{waited:?}");
    answer(&mut pair, CALLEE, "yes");
    pair.run_ms(5);
    pair.check(CALLER, &["response 200"]);
    pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
    pair.check_empty();
}

#[test]
fn an_offer_waits_for_the_answer_to_the_peers_and_a_later_one_replaces_it() {
    let (mut pair, caller, callee) = Pair::established(Transport::Udp);
    offer(&mut pair, CALLER, caller, "first");
    pair.run_ms(5);
    let one = offer(&mut pair, CALLEE, callee, "old");
    let two = offer(&mut pair, CALLEE, callee, "new");
    assert_eq!((one, pair.count("1 INVITE")), (two, 0));
    answer(&mut pair, CALLEE, "yes");
    pair.run_ms(20);
    pair.check(CALLEE, &["offer INVITE first", "acknowledged -"]);
    answer(&mut pair, CALLER, "fine");
    pair.run_ms(5);
    pair.check(CALLER, &["response 200", "offer INVITE new", "acknowledged -"]);
    pair.check(CALLEE, &["response 200"]);
    pair.act(CALLEE, |e, now, out| e.terminate(now, callee, None, out));
    pair.check_empty();
}

#[test]
fn rfc_3261_14_2_an_offer_that_meets_an_unanswered_one_gets_500_and_is_sent_again() {
    let (mut pair, caller, callee) = Pair::established(Transport::Udp);
    let update = |pair: &mut Pair, text: &str| {
        pair.act(CALLER, |e, now, out| e.request_in_dialog(now, caller, Method::Update, sdp(text), vec![], out))
    };
    update(&mut pair, "one");
    pair.run_ms(5);
    // The same peer offers once more although the first is not answered: by hand, for no endpoint of ours does.
    let State::Established(established) = &mut pair.ends[CALLER].sessions.get_mut(caller).expect("a session").state
    else {
        panic!("established")
    };
    established.offer = in_dialog::Offer::None;
    offer(&mut pair, CALLER, caller, "two");
    pair.run_ms(5);
    assert_eq!(pair.count("1 SIP/2.0 500"), 1);
    answer(&mut pair, CALLEE, "yes");
    pair.run_ms(11_000);
    pair.check(CALLEE, &["offer UPDATE one", "offer INVITE two"]);
    pair.act(CALLEE, |e, now, out| e.terminate(now, callee, None, out));
    pair.check_empty();
}

#[test]
fn an_offer_made_before_the_answer_is_sent_after_it() {
    let mut pair = Pair::new(Transport::Udp);
    let (caller, callee) = pair.call(sdp("first"));
    offer(&mut pair, CALLER, caller, "second");
    pair.act(CALLEE, |e, now, out| e.accept(now, callee, sdp("answer"), out));
    pair.run_ms(5);
    pair.check(CALLEE, &["incoming first", "established -", "offer INVITE second"]);
    pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
    pair.check_empty();
    let events = pair.take(CALLER);
    assert_eq!(events.iter().filter(|e| e.starts_with("failed")).count(), 1, "{events:?}");
}

#[test]
fn an_offer_that_waits_is_settled_when_the_session_ends() {
    let mut pair = Pair::new(Transport::Udp);
    let (caller, callee) = pair.call(sdp("first"));
    offer(&mut pair, CALLER, caller, "second");
    pair.act(CALLEE, |e, now, out| e.reject(now, callee, 486, vec![], out));
    pair.run_ms(5);
    pair.check(CALLER, &["failed SessionEnded", "ended 486"]);
    assert_eq!(pair.act(CALLER, |e, now, out| e.offer(now, caller, None, vec![], out)), None);
    pair.check_empty();
    assert!(pair.ends[CALLER].outgoing.is_empty());
}

#[test]
fn rfc_3261_22_3_a_proxy_that_challenges_bye_is_told_who_we_are() {
    let mut it = Scripted::new();
    let mut invite = Pair::new(Transport::Udp).outgoing(sdp("offer"));
    invite.credentials =
        Some(Credentials { username: "201".into(), password: "secret".into(), realm: None, peer: "peer".into() });
    let session = it.act(|e, now, out| e.invite(now, invite, out));
    let sent = it.sent.pop().expect("an INVITE");
    it.receive(&response_to(&sent, "200 OK", "one", ""));
    it.sent.clear();
    it.act(|e, now, out| e.terminate(now, session, None, out));
    let bye = it.sent.pop().expect("a BYE");
    let challenge = "Proxy-Authenticate: Digest realm=\"p\", nonce=\"n\", algorithm=MD5\r\n";
    it.receive(&response_to(&bye, "407 Proxy Authentication Required", "one", challenge));
    let again = it.sent.pop().expect("a second BYE");
    assert!(again.starts_with("BYE ") && again.contains("\r\nCSeq: 3 BYE\r\n"), "{again}");
    assert!(again.contains("\r\nProxy-Authorization: Digest "), "{again}");
    it.receive(&response_to(&again, "407 Proxy Authentication Required", "one", challenge));
    assert!(it.sent.is_empty(), "once");
}
