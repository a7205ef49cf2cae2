//! The transport of a transaction is killed in every state of the four machines: RFC 3261 17.1.4, 17.2.4 (RFC
//! 6026 8.8) and 18.4.
//!
//! A row brings a transaction into its state, sees that it is there, kills what it stands on, and says what its
//! user hears, what still reaches the other side, and that nothing is left in the end.

use super::pair::{CALLEE, CALLER, Pair};
use crate::sip::*;
use crate::time::Duration;

fn sdp(text: &str) -> Option<Body> {
    Some(Body::sdp(text))
}

/// How what carries the transaction ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kills {
    /// Both ends of the connection hear that it is gone.
    Connection,
    /// The network says to this end that the other one is not reached.
    Unreachable(usize),
}

impl Kills {
    fn kill(self, pair: &mut Pair) {
        match self {
            Kills::Connection => pair.kill_connections(),
            Kills::Unreachable(end) => {
                let flow = pair.flow(end);
                pair.act(end, |e, now, out| e.handle_unreachable(now, flow, out));
            }
        }
    }
}

/// Both ways to kill, with the transport that has them, as end `at` sees it.
fn ways(at: usize) -> [(Transport, Kills); 2] {
    [(Transport::Tcp, Kills::Connection), (Transport::Udp, Kills::Unreachable(at))]
}

fn transactions(pair: &Pair, end: usize) -> (usize, usize) {
    let counts = pair.ends[end].counts();
    (counts.client_transactions, counts.server_transactions)
}

/// Whether the user heard this, whatever came with it.
#[track_caller]
fn hears(pair: &mut Pair, end: usize, word: &str, what: &str) {
    let heard = pair.take(end);
    assert!(heard.iter().any(|event| event == word), "{what}: {heard:?} without {word:?}; {:#?}", pair.log);
}

/// Nothing more is told to a user who knows how it ended.
#[track_caller]
fn ends_quietly(pair: &mut Pair, end: usize, what: &str) {
    pair.run_until(pair.now + Duration::from_secs(400));
    let heard = pair.take(end);
    let again: Vec<_> = heard.iter().filter(|event| event.starts_with("ended")).collect();
    assert!(again.is_empty(), "{what}: told again {heard:?}");
    pair.kill_connections();
    pair.check_empty();
}

#[test]
fn section_17_1_4_invite_client_in_calling_tells_its_user() {
    for (transport, kills) in ways(CALLER) {
        let what = format!("Calling, {transport:?}");
        let mut pair = Pair::new(transport);
        // Nobody answers before a 100 is due after 200 ms.
        let (_, callee) = pair.call(sdp("offer"));
        assert_eq!(transactions(&pair, CALLER).0, 1, "{what}");
        kills.kill(&mut pair);
        pair.run_ms(5);
        hears(&mut pair, CALLER, "ended TransportFailure", &what);
        pair.act(CALLEE, |e, now, out| e.reject(now, callee, 486, vec![], out));
        ends_quietly(&mut pair, CALLER, &what);
    }
}

#[test]
fn section_17_1_4_invite_client_in_proceeding_tells_its_user() {
    for (transport, kills) in ways(CALLER) {
        let what = format!("Proceeding, {transport:?}");
        let mut pair = Pair::new(transport);
        let (_, callee) = pair.call(sdp("offer"));
        pair.act(CALLEE, |e, now, out| e.progress(now, callee, 180, None, vec![], out));
        pair.run_ms(5);
        hears(&mut pair, CALLER, "progress 180 -", &what);
        kills.kill(&mut pair);
        pair.run_ms(5);
        hears(&mut pair, CALLER, "ended TransportFailure", &what);
        pair.act(CALLEE, |e, now, out| e.reject(now, callee, 486, vec![], out));
        ends_quietly(&mut pair, CALLER, &what);
    }
}

/// 17.1.1.2: over UDP it stays for Timer D; over TCP the state has no time, and there is nothing to kill.
#[test]
fn invite_client_in_completed_keeps_what_it_said() {
    let what = "Completed";
    let mut pair = Pair::new(Transport::Udp);
    let (_, callee) = pair.call(sdp("offer"));
    pair.act(CALLEE, |e, now, out| e.reject(now, callee, 486, vec![], out));
    pair.run_ms(5);
    hears(&mut pair, CALLER, "ended 486", what);
    assert_eq!(transactions(&pair, CALLER), (1, 0));
    Kills::Unreachable(CALLER).kill(&mut pair);
    assert_eq!(transactions(&pair, CALLER), (1, 0), "it goes on absorbing");
    ends_quietly(&mut pair, CALLER, what);
}

/// RFC 6026 7.2: 2xx was told; the session lives on whatever becomes of the connection.
#[test]
fn invite_client_in_accepted_keeps_its_session() {
    for (transport, kills) in ways(CALLER) {
        let what = format!("Accepted, {transport:?}");
        let mut pair = Pair::new(transport);
        let (caller, callee) = pair.call(sdp("offer"));
        pair.act(CALLEE, |e, now, out| e.accept(now, callee, sdp("answer"), out));
        pair.run_ms(5);
        hears(&mut pair, CALLER, "answered answer", &what);
        assert_eq!(transactions(&pair, CALLER).0, 1, "{what}");
        kills.kill(&mut pair);
        pair.run_ms(5);
        assert_eq!(pair.take(CALLER), [""; 0], "{what}: the call goes on");
        pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
        pair.run_ms(50);
        hears(&mut pair, CALLEE, "ended bye", &what);
        pair.take(CALLER);
        ends_quietly(&mut pair, CALLER, &what);
    }
}

/// A request that is no INVITE, in an established call: Trying.
#[test]
fn section_17_1_4_non_invite_client_in_trying_tells_its_user() {
    for (transport, kills) in ways(CALLER) {
        let what = format!("Trying, {transport:?}");
        let (mut pair, caller, _) = Pair::established(transport);
        pair.act(CALLER, |e, now, out| {
            let _ = e.request_in_dialog(now, caller, Method::Info, None, vec![], out);
        });
        pair.run_ms(5);
        kills.kill(&mut pair);
        pair.run_ms(5);
        hears(&mut pair, CALLER, "failed Transport", &what);
        let server = pair.waiting(CALLEE);
        pair.act(CALLEE, |e, now, out| e.reply(now, server, Response::new(200), out));
        pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
        pair.take(CALLER);
        ends_quietly(&mut pair, CALLER, &what);
    }
}

#[test]
fn section_17_1_4_non_invite_client_in_proceeding_tells_its_user() {
    for (transport, kills) in ways(CALLER) {
        let what = format!("Proceeding, {transport:?}");
        let (mut pair, caller, _) = Pair::established(transport);
        pair.act(CALLER, |e, now, out| {
            let _ = e.request_in_dialog(now, caller, Method::Info, None, vec![], out);
        });
        pair.run_ms(5);
        let server = pair.waiting(CALLEE);
        pair.act(CALLEE, |e, now, out| e.reply(now, server, Response::new(100), out));
        pair.run_ms(5);
        assert_eq!(pair.count("1 SIP/2.0 100"), 1, "{what}");
        kills.kill(&mut pair);
        pair.run_ms(5);
        hears(&mut pair, CALLER, "failed Transport", &what);
        pair.act(CALLEE, |e, now, out| e.reply(now, server, Response::new(200), out));
        pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
        pair.take(CALLER);
        ends_quietly(&mut pair, CALLER, &what);
    }
}

/// Timer K exists over UDP only; what was told stays told.
#[test]
fn non_invite_client_in_completed_keeps_what_it_said() {
    let what = "Completed";
    let (mut pair, caller, _) = Pair::established(Transport::Udp);
    pair.act(CALLER, |e, now, out| {
        let _ = e.request_in_dialog(now, caller, Method::Info, None, vec![], out);
    });
    pair.run_ms(5);
    let server = pair.waiting(CALLEE);
    pair.act(CALLEE, |e, now, out| e.reply(now, server, Response::new(200), out));
    pair.run_ms(5);
    hears(&mut pair, CALLER, "response 200", what);
    Kills::Unreachable(CALLER).kill(&mut pair);
    pair.run_ms(5);
    assert_eq!(pair.take(CALLER), [""; 0]);
    pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
    pair.take(CALLER);
    ends_quietly(&mut pair, CALLER, what);
}

/// RFC 6026 8.8: the server transaction remains in its state. Its answer takes another connection (18.2.2).
#[test]
fn invite_server_in_proceeding_answers_over_another_connection() {
    for (transport, kills) in ways(CALLEE) {
        for status in [180, 486, 200] {
            let what = format!("Proceeding, {transport:?}, then {status}");
            let mut pair = Pair::new(transport);
            let (_, callee) = pair.call(sdp("offer"));
            kills.kill(&mut pair);
            pair.run_ms(5);
            assert_eq!(transactions(&pair, CALLEE).1, 1, "{what}: it waits for its user");
            match status {
                180 => pair.act(CALLEE, |e, now, out| e.progress(now, callee, 180, None, vec![], out)),
                200 => pair.act(CALLEE, |e, now, out| e.accept(now, callee, sdp("answer"), out)),
                _ => pair.act(CALLEE, |e, now, out| e.reject(now, callee, status, vec![], out)),
            }
            pair.run_ms(50);
            assert!(pair.count(&format!("1 SIP/2.0 {status}")) >= 1, "{what}: {:#?}", pair.log);
            pair.act(CALLEE, |e, now, out| e.terminate(now, callee, None, out));
            pair.run_until(pair.now + Duration::from_secs(400));
            let ended = pair.take(CALLEE).iter().filter(|event| event.starts_with("ended")).count();
            assert_eq!(ended, 1, "{what}");
            pair.kill_connections();
            pair.check_empty();
        }
    }
}

/// The refusal was sent and its ACK does not come: Timer H ends it. Over UDP Timer G goes on.
#[test]
fn invite_server_in_completed_ends_by_timer_h() {
    for (transport, kills) in ways(CALLEE) {
        let what = format!("Completed, {transport:?}");
        let mut pair = Pair::new(transport);
        pair.loses = Box::new(|end, line| end == CALLER && line.starts_with("ACK"));
        let (_, callee) = pair.call(sdp("offer"));
        pair.act(CALLEE, |e, now, out| e.reject(now, callee, 486, vec![], out));
        kills.kill(&mut pair);
        pair.run_ms(20);
        assert_eq!(transactions(&pair, CALLEE).1, 1, "{what}: it remains");
        pair.run_until(pair.now + Duration::from_secs(32));
        assert_eq!(transactions(&pair, CALLEE).1, 0, "{what}: Timer H");
        let repeats = pair.count("1 SIP/2.0 486");
        assert!(if transport == Transport::Udp { repeats > 5 } else { repeats <= 1 }, "{what}: {repeats}");
        pair.take(CALLEE);
        ends_quietly(&mut pair, CALLEE, &what);
    }
}

/// Timer I exists over UDP only.
#[test]
fn invite_server_in_confirmed_goes_on_absorbing() {
    let what = "Confirmed";
    let mut pair = Pair::new(Transport::Udp);
    let (_, callee) = pair.call(sdp("offer"));
    pair.act(CALLEE, |e, now, out| e.reject(now, callee, 486, vec![], out));
    pair.run_ms(5);
    assert_eq!((pair.count("0 ACK"), transactions(&pair, CALLEE).1), (1, 1), "acknowledged");
    pair.take(CALLEE);
    Kills::Unreachable(CALLEE).kill(&mut pair);
    assert_eq!(transactions(&pair, CALLEE).1, 1);
    pair.run_until(pair.now + Duration::from_secs(5));
    assert_eq!(transactions(&pair, CALLEE).1, 0, "Timer I");
    ends_quietly(&mut pair, CALLEE, what);
}

/// The 2xx is repeated by its session over whatever connection there is, until the ACK comes (13.3.1.4).
#[test]
fn invite_server_in_accepted_repeats_its_2xx_until_the_ack_comes() {
    for (transport, kills) in ways(CALLEE) {
        let what = format!("Accepted, {transport:?}");
        let mut pair = Pair::new(transport);
        let (caller, callee) = pair.call(sdp("offer"));
        pair.act(CALLEE, |e, now, out| e.accept(now, callee, sdp("answer"), out));
        kills.kill(&mut pair);
        pair.run_until(pair.now + Duration::from_secs(3));
        assert!(pair.count("1 SIP/2.0 200") >= 1, "{what}: {:#?}", pair.log);
        pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
        pair.act(CALLEE, |e, now, out| e.terminate(now, callee, None, out));
        pair.run_until(pair.now + Duration::from_secs(400));
        let ended = pair.take(CALLEE).iter().filter(|event| event.starts_with("ended")).count();
        assert_eq!(ended, 1, "{what}");
        pair.kill_connections();
        pair.check_empty();
    }
}

/// Trying and Proceeding wait for their user; the answer takes another connection.
#[test]
fn non_invite_server_in_trying_and_proceeding_answers_over_another_connection() {
    for (transport, kills) in ways(CALLEE) {
        for provisional in [false, true] {
            let what = format!("{transport:?}, after 100: {provisional}");
            let (mut pair, caller, _) = Pair::established(transport);
            pair.act(CALLER, |e, now, out| {
                let _ = e.request_in_dialog(now, caller, Method::Info, None, vec![], out);
            });
            pair.run_ms(5);
            let server = pair.waiting(CALLEE);
            if provisional {
                pair.act(CALLEE, |e, now, out| e.reply(now, server, Response::new(100), out));
                pair.run_ms(5);
            }
            kills.kill(&mut pair);
            pair.run_ms(5);
            pair.act(CALLEE, |e, now, out| e.reply(now, server, Response::new(200), out));
            pair.run_ms(20);
            assert_eq!(pair.count("1 SIP/2.0 200"), 1, "{what}: {:#?}", pair.log);
            pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
            pair.take(CALLEE);
            pair.take(CALLER);
            ends_quietly(&mut pair, CALLER, &what);
        }
    }
}

/// Timer J exists over UDP only: a request that comes again still gets its answer.
#[test]
fn non_invite_server_in_completed_answers_what_comes_again() {
    let what = "Completed";
    let (mut pair, caller, _) = Pair::established(Transport::Udp);
    // The first answer is lost, and the network complains about it.
    let mut answers = 0;
    pair.loses = Box::new(move |end, line| {
        let is_answer = end == CALLEE && line.starts_with("SIP/2.0 200");
        answers += u32::from(is_answer);
        is_answer && answers == 1
    });
    pair.act(CALLER, |e, now, out| {
        let _ = e.request_in_dialog(now, caller, Method::Info, None, vec![], out);
    });
    pair.run_ms(5);
    let server = pair.waiting(CALLEE);
    pair.act(CALLEE, |e, now, out| e.reply(now, server, Response::new(200), out));
    Kills::Unreachable(CALLEE).kill(&mut pair);
    pair.run_ms(600);
    assert_eq!(pair.count("1 SIP/2.0 200"), 2, "{:#?}", pair.log);
    hears(&mut pair, CALLER, "response 200", what);
    pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
    pair.take(CALLER);
    ends_quietly(&mut pair, CALLER, what);
}
