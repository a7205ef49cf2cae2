//! Races between the two ends of a call, by name, and transports killed at every moment of a call.

use super::pair::{CALLEE, CALLER, Pair};
use crate::sip::*;
use crate::time::{Duration, Instant};

fn sdp(text: &str) -> Option<Body> {
    Some(Body::sdp(text))
}

const BOTH: [Transport; 2] = [Transport::Udp, Transport::Tcp];

/// Whether both ends were told once that their session is over, and nothing is left.
fn check_ended(pair: &mut Pair, what: &str) {
    pair.run_until(Instant::MAX);
    for end in [CALLER, CALLEE] {
        let counts = Counts { connections: 0, ..pair.ends[end].counts() };
        assert_eq!(counts, Counts::default(), "{what}: left at end {end}: {:#?}", pair.log);
    }
}

fn ends(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Ended { .. })).count()
}

/// 9.1, 15.1.2: the CANCEL is sent while the 200 is on its way, at every distance of the two.
#[test]
fn cancel_against_200_at_every_distance() {
    for transport in BOTH {
        for distance in 0..6_u64 {
            for cancel_first in [false, true] {
                let what = format!("{transport:?} {distance} ms, CANCEL first: {cancel_first}");
                let mut pair = Pair::new(transport);
                let (caller, callee) = pair.call(sdp("offer"));
                pair.act(CALLEE, |e, now, out| e.progress(now, callee, 180, None, vec![], out));
                pair.run_ms(5);
                let hang_up = |pair: &mut Pair| pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
                let answer =
                    |pair: &mut Pair| pair.act(CALLEE, |e, now, out| e.accept(now, callee, sdp("answer"), out));
                if cancel_first {
                    hang_up(&mut pair);
                    pair.run_ms(distance);
                    answer(&mut pair);
                } else {
                    answer(&mut pair);
                    pair.run_ms(distance);
                    hang_up(&mut pair);
                }
                pair.run_ms(40_000);
                check_ended(&mut pair, &what);
                let refused = pair.count("1 SIP/2.0 487") > 0;
                let answered = pair.log.iter().any(|line| line.starts_with("1 SIP/2.0 200") && !refused);
                assert!(refused != answered, "{what}: one final response to the INVITE: {:#?}", pair.log);
                assert_eq!(pair.count("0 BYE"), usize::from(answered), "{what}: a call that exists is ended by BYE");
                assert_eq!(pair.count("0 ACK"), 1, "{what}");
                assert_eq!((ends(&pair.events[CALLER]), ends(&pair.events[CALLEE])), (1, 1), "{what}");
            }
        }
    }
}

/// 15, 14.1: one end says BYE while the other offers again.
#[test]
fn bye_against_re_invite_at_every_distance() {
    for transport in BOTH {
        for method in [Method::Invite, Method::Update] {
            for distance in 0..4_u64 {
                for bye_first in [false, true] {
                    let what = format!("{transport:?} {method} {distance} ms, BYE first: {bye_first}");
                    let (mut pair, caller, callee) = Pair::established(transport);
                    let offer = |pair: &mut Pair| {
                        pair.act(CALLER, |e, now, out| {
                            let _ = e.request_in_dialog(now, caller, method.clone(), sdp("again"), vec![], out);
                        });
                    };
                    let bye = |pair: &mut Pair| pair.act(CALLEE, |e, now, out| e.terminate(now, callee, None, out));
                    if bye_first {
                        bye(&mut pair);
                        pair.run_ms(distance);
                        offer(&mut pair);
                    } else {
                        offer(&mut pair);
                        pair.run_ms(distance);
                        bye(&mut pair);
                    }
                    pair.run_ms(40_000);
                    check_ended(&mut pair, &what);
                    assert_eq!(pair.count("1 BYE"), 1, "{what}: {:#?}", pair.log);
                    assert_eq!((ends(&pair.events[CALLER]), ends(&pair.events[CALLEE])), (1, 1), "{what}");
                    let offers = pair.count(&format!("0 {method}"));
                    let finals = pair.count("1 SIP/2.0 4") + pair.count("1 SIP/2.0 2");
                    assert!(finals >= offers, "{what}: the offer has a final response: {:#?}", pair.log);
                }
            }
        }
    }
}

/// 13.3.1.4: the 2xx is repeated until the ACK comes, and each repetition gets its ACK.
#[test]
fn lost_200s_are_repeated() {
    for lost in 1..=5 {
        let mut pair = Pair::new(Transport::Udp);
        let mut seen = 0;
        pair.loses = Box::new(move |end, line| {
            seen += usize::from(end == CALLEE && line.starts_with("SIP/2.0 200"));
            end == CALLEE && line.starts_with("SIP/2.0 200") && seen <= lost
        });
        let (caller, callee) = pair.call(sdp("offer"));
        pair.act(CALLEE, |e, now, out| e.accept(now, callee, sdp("answer"), out));
        pair.run_ms(20_000);
        pair.check(CALLER, &["answered answer"]);
        pair.check(CALLEE, &["incoming offer", "established -"]);
        assert_eq!(pair.count("1 SIP/2.0 200"), lost + 1);
        pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
        check_ended(&mut pair, "lost 200");
    }
}

/// 13.3.1.4: an ACK that never comes ends the call by BYE, for a re-INVITE as for the first.
#[test]
fn lost_acks_are_sent_again_or_end_the_call() {
    for lost in [1, 3, usize::MAX] {
        let mut pair = Pair::new(Transport::Udp);
        let mut seen = 0;
        pair.loses = Box::new(move |_, line| {
            seen += usize::from(line.starts_with("ACK"));
            line.starts_with("ACK") && seen <= lost
        });
        let (caller, callee) = pair.call(sdp("offer"));
        pair.act(CALLEE, |e, now, out| e.accept(now, callee, sdp("answer"), out));
        pair.run_ms(33_000);
        if lost == usize::MAX {
            pair.check(CALLEE, &["incoming offer", "ended AckMissing"]);
            pair.check(CALLER, &["answered answer", "ended bye"]);
        } else {
            pair.check(CALLEE, &["incoming offer", "established -"]);
            pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
        }
        check_ended(&mut pair, "lost ACK");
    }
}

/// 14.1, 14.2: both offer at once; both get 491, nobody's session ends.
#[test]
fn glare_of_re_invites_is_refused_on_both_sides() {
    for transport in BOTH {
        let (mut pair, caller, callee) = Pair::established(transport);
        for (end, session) in [(CALLER, caller), (CALLEE, callee)] {
            pair.act(end, |e, now, out| {
                let _ = e.request_in_dialog(now, session, Method::Invite, sdp("again"), vec![], out);
            });
        }
        pair.run_ms(50);
        assert_eq!((pair.count("0 SIP/2.0 491"), pair.count("1 SIP/2.0 491")), (1, 1), "{:#?}", pair.log);
        assert_eq!((pair.count("0 ACK"), pair.count("1 ACK")), (1, 1));
        pair.act(CALLEE, |e, now, out| e.terminate(now, callee, None, out));
        check_ended(&mut pair, "glare");
        assert_eq!((ends(&pair.events[CALLER]), ends(&pair.events[CALLEE])), (1, 1));
    }
}

/// RFC 3311 5.2: an UPDATE with an offer that meets an offer of ours gets 491.
#[test]
fn glare_of_updates_is_refused_on_both_sides() {
    for transport in BOTH {
        for (ours, theirs) in
            [(Method::Update, Method::Update), (Method::Update, Method::Invite), (Method::Invite, Method::Update)]
        {
            let what = format!("{transport:?} {ours} {theirs}");
            let (mut pair, caller, callee) = Pair::established(transport);
            for (end, session, method) in [(CALLER, caller, ours.clone()), (CALLEE, callee, theirs)] {
                pair.act(end, |e, now, out| {
                    let _ = e.request_in_dialog(now, session, method, sdp("again"), vec![], out);
                });
            }
            pair.run_ms(50);
            assert_eq!((pair.count("0 SIP/2.0 491"), pair.count("1 SIP/2.0 491")), (1, 1), "{what}: {:#?}", pair.log);
            pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
            check_ended(&mut pair, &what);
        }
    }
}

/// A whole call, one deed every 4 ms, so that each millisecond has another state of the transactions.
fn call_with(transport: Transport, refuses: bool, cancels: bool, mut each_ms: impl FnMut(&mut Pair, u64)) -> Pair {
    let mut pair = Pair::new(transport);
    let invite = pair.outgoing(sdp("offer"));
    let caller = pair.act(CALLER, |e, now, out| e.invite(now, invite, out));
    let mut callee = None;
    for ms in 0..60_u64 {
        let found = pair.events[CALLEE].iter().find_map(|event| match event {
            Event::Incoming { session, .. } => Some(*session),
            _ => None,
        });
        callee = callee.or(found);
        for end in [CALLER, CALLEE] {
            let waiting: Vec<_> = pair.events[end]
                .iter()
                .filter_map(|event| match event {
                    Event::Offer { server, .. } | Event::InDialog { server, .. } => Some(*server),
                    _ => None,
                })
                .collect();
            if ms % 4 == 3 {
                for server in waiting {
                    let reply = Response::new(200).with_body(sdp("ok"));
                    pair.act(end, |e, now, out| e.reply(now, server, reply, out));
                }
            }
        }
        match (ms, callee) {
            (8, Some(id)) => pair.act(CALLEE, |e, now, out| e.progress(now, id, 180, None, vec![], out)),
            (12, _) if cancels => pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out)),
            (16, Some(id)) if refuses => pair.act(CALLEE, |e, now, out| e.reject(now, id, 486, vec![], out)),
            (16, Some(id)) => pair.act(CALLEE, |e, now, out| e.accept(now, id, sdp("answer"), out)),
            (24 | 30, Some(id)) => {
                let (end, id) = if ms == 24 { (CALLER, caller) } else { (CALLEE, id) };
                pair.act(end, |e, now, out| {
                    let _ = e.request_in_dialog(now, id, Method::Invite, sdp("again"), vec![], out);
                });
            }
            (36, _) => pair.act(CALLER, |e, now, out| {
                let _ = e.request_in_dialog(now, caller, Method::Info, None, vec![], out);
            }),
            (44, _) => pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out)),
            _ => {}
        }
        pair.run_ms(1);
        each_ms(&mut pair, ms);
    }
    // Whoever has heard nothing for a while hangs up.
    if let Some(id) = callee {
        pair.act(CALLEE, |e, now, out| e.terminate(now, id, None, out));
    }
    pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
    pair
}

#[test]
fn a_connection_killed_in_any_state_ends_no_call_twice_and_leaves_nothing() {
    for (refuses, cancels) in [(false, false), (true, false), (false, true)] {
        for at in 0..60 {
            let what = format!("killed at {at} ms, refuses {refuses}, cancels {cancels}");
            let mut pair = call_with(Transport::Tcp, refuses, cancels, |pair, ms| {
                if ms == at {
                    pair.kill_connections();
                }
            });
            check_ended(&mut pair, &what);
            let begun = pair.events[CALLEE].iter().filter(|e| matches!(e, Event::Incoming { .. })).count();
            assert_eq!((ends(&pair.events[CALLER]), ends(&pair.events[CALLEE])), (1, begun), "{what}: {:#?}", pair.log);
        }
    }
}

/// 18.4: the network says that a datagram could not be delivered, at every moment of a call.
#[test]
fn an_unreachable_peer_in_any_state_ends_no_call_twice_and_leaves_nothing() {
    for (refuses, cancels) in [(false, false), (true, false), (false, true)] {
        for at in 0..60 {
            for end in [CALLER, CALLEE] {
                let what = format!("end {end} told at {at} ms, refuses {refuses}, cancels {cancels}");
                let mut pair = call_with(Transport::Udp, refuses, cancels, |pair, ms| {
                    if ms == at {
                        let flow = Flow { ..pair.flow(CALLER) };
                        let flow =
                            if end == CALLER { flow } else { Flow { local: flow.remote, remote: flow.local, ..flow } };
                        pair.act(end, |e, now, out| e.handle_unreachable(now, flow, out));
                    }
                });
                check_ended(&mut pair, &what);
                let begun = pair.events[CALLEE].iter().filter(|e| matches!(e, Event::Incoming { .. })).count();
                assert_eq!(
                    (ends(&pair.events[CALLER]), ends(&pair.events[CALLEE])),
                    (1, begun),
                    "{what}: {:#?}",
                    pair.log
                );
            }
        }
    }
}

/// The peer vanishes for good at every moment of a call: nothing that it sends arrives any more.
#[test]
fn a_peer_that_vanishes_in_any_state_leaves_nothing() {
    for (refuses, cancels) in [(false, false), (true, false), (false, true)] {
        for at in (0..60).step_by(2) {
            for silent in [CALLER, CALLEE] {
                let what = format!("end {silent} vanishes at {at} ms, refuses {refuses}, cancels {cancels}");
                let mut pair = call_with(Transport::Udp, refuses, cancels, |pair, ms| {
                    if ms == at {
                        pair.loses = Box::new(move |end, _| end == silent);
                    }
                });
                pair.run_until(pair.now + Duration::from_secs(400));
                check_ended(&mut pair, &what);
                let begun = pair.events[CALLEE].iter().filter(|e| matches!(e, Event::Incoming { .. })).count();
                assert_eq!(
                    (ends(&pair.events[CALLER]), ends(&pair.events[CALLEE])),
                    (1, begun),
                    "{what}: {:#?}",
                    pair.log
                );
            }
        }
    }
}

/// The offer waits for its next try when the call ends, while its refused transactions still absorb what
/// comes again: they must not keep the session for ever.
#[test]
fn a_call_that_ends_while_a_refused_offer_waits_leaves_nothing() {
    for refusals in 1..=3 {
        for wait in [0, 100, 1_000, 5_000] {
            let (mut pair, caller, callee) = Pair::established(Transport::Udp);
            pair.act(CALLER, |e, now, out| e.offer(now, caller, sdp("again"), vec![], out));
            for _ in 0..refusals {
                // At most four seconds until the next try (14.1).
                for _ in 0..900 {
                    if pair.events[CALLEE].iter().any(|event| matches!(event, Event::Offer { .. })) {
                        break;
                    }
                    pair.run_ms(5);
                }
                let server = pair.waiting(CALLEE);
                pair.act(CALLEE, |e, now, out| e.reply(now, server, Response::new(491), out));
                pair.events[CALLEE].clear();
            }
            pair.run_ms(wait);
            pair.act(CALLEE, |e, now, out| e.terminate(now, callee, None, out));
            check_ended(&mut pair, "a refused offer waits");
        }
    }
}

/// RFC 3261 18.2.2, RFC 3263 5: the connection of an INVITE died before its refusal, and the next ones do not open.
#[test]
fn a_refusal_whose_connection_died_goes_over_another_one_if_any_of_four_opens() {
    for refused in 0..=4 {
        let mut pair = Pair::new(Transport::Tcp);
        let (_, callee) = pair.call(sdp("offer"));
        pair.kill_connections();
        pair.run_ms(1);
        pair.refused_streams = refused;
        pair.act(CALLEE, |e, now, out| e.reject(now, callee, 486, vec![], out));
        pair.run_ms(50);
        let arrived = usize::from(refused < 4);
        assert_eq!(pair.count("1 SIP/2.0 486"), arrived, "{refused} refused: {:#?}", pair.log);
        check_ended(&mut pair, "a refusal without connection");
    }
}

/// The offer was refused for the moment, and when its time has come one of the peer is under way, which its user
/// takes long to answer. The core must not ask to be woken again and again meanwhile.
#[test]
fn an_offer_whose_time_has_come_waits_for_its_turn_without_a_clock() {
    let (mut pair, caller, callee) = Pair::established(Transport::Udp);
    pair.act(CALLER, |e, now, out| e.offer(now, caller, sdp("again"), vec![], out));
    pair.run_ms(5);
    let server = pair.waiting(CALLEE);
    pair.act(CALLEE, |e, now, out| e.reply(now, server, Response::new(491), out));
    pair.run_ms(5);
    pair.act(CALLEE, |e, now, out| e.offer(now, callee, sdp("theirs"), vec![], out));
    pair.run_ms(5);
    let server = pair.waiting(CALLER);
    // At most four seconds until the next try (14.1).
    pair.run_ms(4_500);
    let mut woken = 0;
    while woken < 100 && pair.ends[CALLER].deadline().is_some_and(|at| at <= pair.now) {
        pair.act(CALLER, |e, now, out| e.handle_timeout(now, out));
        woken += 1;
    }
    assert!(woken < 10, "woken {woken} times without need");
    let sent = pair.count("0 INVITE");
    pair.act(CALLER, |e, now, out| e.reply(now, server, Response::new(200).with_body(sdp("ok")), out));
    pair.run_ms(50);
    assert_eq!(pair.count("0 INVITE"), sent + 1, "its turn has come: {:#?}", pair.log);
    pair.act(CALLER, |e, now, out| e.terminate(now, caller, None, out));
    check_ended(&mut pair, "an offer that waited");
}
