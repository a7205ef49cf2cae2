//! Several ways out, and when the next one is tried.

use super::office::Office;
use tipring::simulator::peers::{Habits, Noticed};
use tipring::simulator::world::PhoneId;

/// A caller, and who answers on the second way out; the first one is `first`.
fn office(seed: u64, first: &str, failover: &str) -> (Office, PhoneId, PhoneId) {
    let more = format!(
        "[failover]\n{failover}\n[trunk.first]\nto = \"sip:{first}:5060\"\n[trunk.second]\nto = \"sip:127.0.8.2:5060\"\n\
         [[route]]\nname = \"out\"\nmatch = \"9|X.\"\nvia = [\"trunk/first\", \"trunk/second\"]\n"
    );
    let mut office = Office::of(seed, &more);
    let caller = office.phone("201");
    let second = office.add("second", 8);
    (office, caller, second)
}

#[test]
fn a_way_out_that_says_nothing_is_given_up_for_the_next_one() {
    let (mut office, caller, second) = office(61, "127.0.8.99", "answer-within = \"6s\"");
    office.call(caller, "9555");
    office.run(5_000);
    assert_eq!(office.rings(second), 0);
    office.run(2_000);
    assert_eq!(office.rings(second), 1);
    // The last way has all the time of the call.
    office.run(20_000);
    office.answer(second);
    office.run(500);
    assert_eq!(office.count(caller, &Noticed::Answered), 1);
    office.hang_up(second);
    // The INVITE to nobody is repeated until timer B.
    office.run(300_000);
    assert_eq!(office.world.records()[0].to.as_deref(), Some("trunk/second"));
    assert_eq!(office.world.gateway().counts().calls, 0);
}

#[test]
fn a_way_out_that_rings_in_time_is_not_given_up() {
    let (mut office, caller, second) = office(62, "127.0.8.3", "answer-within = \"6s\"");
    let first = office.add("first", 8);
    office.call(caller, "9555");
    office.run(30_000);
    assert_eq!((office.rings(first), office.rings(second)), (1, 0));
    office.answer(first);
    office.run(500);
    assert_eq!(office.count(caller, &Noticed::Answered), 1);
    office.close();
}

#[test]
fn the_next_way_is_tried_for_the_failures_that_are_named() {
    // The failure of the first way, what is configured, and whether the second way rings.
    let cases = [
        (503, "", 1),
        (486, "", 0),
        (486, "again = [\"busy\"]", 1),
        (503, "again = [\"busy\"]", 0),
        (503, "never = [\"unavailable\", \"congestion\"]", 0),
        (404, "again = [\"unassigned\"]", 1),
    ];
    for (status, failover, rings) in cases {
        let (mut office, caller, second) = office(63, "127.0.8.3", failover);
        let first = office.add("first", 8);
        office.habits(first, Habits { rejects_with: Some(status), ..Habits::default() });
        office.call(caller, "9555");
        office.run(2_000);
        assert_eq!(office.rings(second), rings, "{status} with {failover}");
        office.close();
    }
}
