//! Calls through a network that loses, reorders and doubles: all end, and nothing is left.

use super::pair::{CALLEE, CALLER, Pair};
use crate::rng::Seed;
use crate::sip::*;
use crate::time::Instant;
use std::collections::BTreeMap;

/// What the caller does with a call, drawn from the seed.
struct Plan {
    re_invite: bool,
    hangs_up: bool,
}

/// Runs calls one after another in overlapping time; returns how they ended at both ends.
fn run(seed: u64, calls: usize) -> BTreeMap<String, usize> {
    let mut pair = Pair::seeded(Transport::Udp, seed);
    pair.chances = (10, 5, 400);
    let mut rng = Seed::from_number(seed).fork("people").rng();
    let mut agenda: BTreeMap<(Instant, u64), (usize, SessionId, Deed)> = BTreeMap::new();
    let mut plans: BTreeMap<SessionId, Plan> = BTreeMap::new();
    let mut ends = BTreeMap::new();
    let mut ended = [BTreeMap::new(), BTreeMap::new()];
    let mut sequence = 0;
    let mut made = 0;
    let start = pair.now;
    loop {
        let next_call = start + Duration::from_millis(300 * made as u64);
        let wire = agenda.keys().next().map(|(at, _)| *at);
        let next = if made < calls { Some(wire.map_or(next_call, |at| at.min(next_call))) } else { wire };
        // Short steps, so that people react to what happened.
        let until = next.map_or(pair.now + Duration::from_secs(40), |at| at.min(pair.now + Duration::from_millis(50)));
        pair.run_until(until.max(pair.now));
        if made < calls && next_call <= pair.now {
            made += 1;
            let invite = pair.outgoing((rng.chance(3, 4)).then(|| Body::sdp("offer")));
            let id = pair.act(CALLER, |e, now, out| e.invite(now, invite, out));
            let plan = Plan { re_invite: rng.chance(1, 3), hangs_up: rng.chance(1, 2) };
            let give_up = if rng.chance(1, 3) { rng.below(4000) } else { 60_000 };
            sequence += 1;
            agenda.insert((pair.now + Duration::from_millis(give_up), sequence), (CALLER, id, Deed::Terminate));
            plans.insert(id, plan);
        }
        while let Some(((at, order), (end, id, deed))) = agenda.pop_first() {
            if at > pair.now {
                agenda.insert((at, order), (end, id, deed));
                break;
            }
            pair.act(end, |e, now, out| match deed {
                Deed::Terminate => e.terminate(now, id, Some(Reason::q850(16)), out),
                Deed::Ring => e.progress(now, id, 180, None, vec![], out),
                Deed::Accept => e.accept(now, id, Some(Body::sdp("answer")), out),
                Deed::Reject => e.reject(now, id, 486, vec![], out),
                Deed::Reinvite => {
                    let _ = e.request_in_dialog(now, id, Method::Invite, Some(Body::sdp("again")), vec![], out);
                }
            });
        }
        let mut quiet = true;
        for end in [CALLER, CALLEE] {
            for event in std::mem::take(&mut pair.events[end]) {
                quiet = false;
                let at = pair.now;
                let mut soon = |ms: u64, end, id, deed| {
                    sequence += 1;
                    agenda.insert((at + Duration::from_millis(ms), sequence), (end, id, deed));
                };
                match event {
                    Event::Incoming { session, .. } => {
                        soon(rng.below(400), CALLEE, session, Deed::Ring);
                        match [Some(true), Some(true), Some(false), None][rng.below(4) as usize] {
                            Some(true) => soon(rng.below(3000), CALLEE, session, Deed::Accept),
                            Some(false) => soon(rng.below(3000), CALLEE, session, Deed::Reject),
                            None => {}
                        }
                    }
                    Event::Answered { session, .. } => {
                        pair.act(CALLER, |e, now, out| e.acknowledge(now, session, Some(Body::sdp("answer")), out));
                        let plan = &plans[&session];
                        if plan.re_invite {
                            soon(rng.below(2000), CALLER, session, Deed::Reinvite);
                        }
                        if plan.hangs_up {
                            soon(rng.below(5000), CALLER, session, Deed::Terminate);
                        }
                    }
                    Event::Established { session, .. } => {
                        soon(4000 + rng.below(4000), CALLEE, session, Deed::Terminate)
                    }
                    Event::Offer { server, .. } | Event::InDialog { server, .. } => {
                        pair.act(end, |e, now, out| {
                            e.reply(now, server, Response::new(200).with_body(Some(Body::sdp("ok"))), out)
                        });
                    }
                    Event::Request { server, .. } => {
                        pair.act(end, |e, now, out| e.reply(now, server, Response::new(200), out))
                    }
                    Event::Ended { session, how } => {
                        assert_eq!(ended[end].insert(session, ()), None, "seed {seed}: ended twice");
                        let word = format!("{how:?}").split([' ', '{']).next().unwrap().to_owned();
                        *ends.entry(format!("{end} {word}")).or_insert(0) += 1;
                    }
                    _ => {}
                }
            }
        }
        if made == calls && agenda.is_empty() && quiet {
            break;
        }
    }
    assert_eq!(ended[CALLER].len(), calls, "seed {seed}: every call of ours ends");
    pair.run_until(Instant::MAX);
    for end in [CALLER, CALLEE] {
        assert_eq!(pair.ends[end].counts(), Counts::default(), "seed {seed}, end {end}");
    }
    ends
}

#[derive(Clone, Copy)]
enum Deed {
    Ring,
    Accept,
    Reject,
    Reinvite,
    Terminate,
}

#[test]
fn calls_over_a_bad_network_all_end_and_leave_nothing() {
    let mut all = BTreeMap::new();
    for seed in 1..=8 {
        for (how, count) in run(seed, 100) {
            *all.entry(how).or_insert(0) += count;
        }
    }
    println!("{all:?}");
    for how in ["0 Rejected", "0 Bye", "0 Local", "1 Cancelled", "1 Bye", "1 Local"] {
        assert!(all.get(how).is_some_and(|count| *count > 10), "{how}: {all:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_calls() {
    assert_eq!(run(5, 30), run(5, 30));
}
