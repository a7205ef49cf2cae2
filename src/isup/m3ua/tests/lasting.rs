//! Destinations, heartbeats, withdrawal and associations that are gone.

use super::*;

#[test]
fn a_destination_that_cannot_be_reached_stops_calls_and_one_that_can_lets_them_go_on() {
    let mut world = World::up(settings(Role::Asp, 1), vec![answering(Role::Sgp)]);
    let about = |kind, mask: u32, code: PointCode| {
        Message::new(kind).with_word(tag::ROUTING_CONTEXT, 7).with_word(tag::AFFECTED, mask << 24 | code.value())
    };
    world.say(&about(Kind::DUNA, 0, code("1-1-3")));
    world.pass(3 * SECOND);
    assert_eq!(world.availability, [true], "another exchange");
    world.say(&about(Kind::DUNA, 0, code("1-1-2")));
    world.pass(3 * SECOND);
    assert_eq!(world.availability, [true, false]);
    assert!(world.caller.summary(world.now).ends_with("active, 1-1-2 unavailable"));
    world.say(&about(Kind::DAVA, 3, code("1-1-0")));
    assert_eq!(world.availability, [true, false, true], "one of a cluster of eight");
    world.say(&about(Kind::SCON, 0, code("1-1-2")).with(tag::CONGESTION, &[0, 0, 0, 2]));
    world.pass(3 * SECOND);
    assert_eq!(world.availability.len(), 3, "congestion stops nothing");
    assert!(world.caller.summary(world.now).ends_with("1-1-2 congested"));
    world.say(&about(Kind::SCON, 0, code("1-1-2")).with(tag::CONGESTION, &[0, 0, 0, 0]));
    assert!(world.caller.summary(world.now).ends_with("active"));
}

#[test]
fn an_exchange_without_isup_is_left_alone_for_a_while_or_until_it_speaks() {
    let mut world = World::up(settings(Role::Asp, 1), vec![answering(Role::Sgp)]);
    let without = |user: u32| {
        Message::new(Kind::DUPU)
            .with_word(tag::AFFECTED, code("1-1-2").value())
            .with_word(tag::USER_CAUSE, 2 << 16 | user)
    };
    world.say(&without(3));
    world.pass(3 * SECOND);
    assert_eq!(world.availability, [true], "SCCP is not our concern");
    world.say(&without(5));
    world.pass(3 * SECOND);
    assert_eq!(world.availability, [true, false]);
    world.pass(limits::M3UA_USER_PART_PAUSE);
    assert_eq!(world.availability, [true, false, true]);
    world.say(&without(5));
    world.say(&data(|_| ()));
    world.pass(3 * SECOND);
    assert_eq!(world.availability, [true, false, true]);
}

#[test]
fn heartbeats_are_answered_and_a_silent_peer_is_left() {
    let beating = |s: Settings| Settings { heartbeat: Some(10 * SECOND), ..s };
    let mut world = World::up(beating(settings(Role::Asp, 1)), vec![answering(Role::Sgp)]);
    world.trace.clear();
    world.pass(35 * SECOND);
    assert_eq!(world.said(), "BEAT beat+ BEAT beat+ BEAT beat+");
    world.say(&Message::new(Kind::BEAT).with(tag::HEARTBEAT, b"opaque"));
    let (_, answer, _) = world.trace.pop().expect("an answer");
    assert_eq!((answer.kind, answer.value(tag::HEARTBEAT)), (Kind::BEAT_ACK, Some(&b"opaque"[..])));
    world.say(&Message::new(Kind::BEAT));
    assert_eq!(world.trace.pop().expect("an answer").1.parameters, []);
    world.deaf = usize::MAX;
    world.pass(25 * SECOND);
    assert!(world.notices.contains(&What::Lost("the peer has fallen silent".to_owned())));
    // The side that was called notices too.
    let mut world = World::up(settings(Role::Asp, 1), vec![beating(answering(Role::Sgp))]);
    assert_eq!(world.answerers[0].deadline().map(|at| at.since(world.now)), Some(10 * SECOND));
    world.joined.clear();
    world.pass(25 * SECOND);
    assert!(world.answerers[0].summary(world.now).ends_with("nobody has connected"));
}

#[test]
fn withdrawing_says_inactive_and_down_and_nothing_is_set_up_any_more() {
    let mut world = World::up(settings(Role::Asp, 2), vec![answering(Role::Sgp), answering(Role::Sgp)]);
    world.trace.clear();
    let mut out = Vec::new();
    world.caller.withdraw(world.now, &mut out);
    world.carry_out(None, out);
    let said = world.said();
    assert!(said.contains("INACTIVE") && said.contains("DOWN"), "{said}");
    assert!(world.caller.is_withdrawn());
    assert!(world.joined.is_empty());
    assert_eq!(world.availability, [true, false], "at once: nothing waits");
    world.pass(60 * SECOND);
    assert_eq!(world.said(), "");
    // With a peer that does not answer it comes to an end all the same.
    let mut world = World::up(settings(Role::Asp, 1), vec![answering(Role::Sgp)]);
    world.deaf = usize::MAX;
    let mut out = Vec::new();
    world.caller.withdraw(world.now, &mut out);
    world.carry_out(None, out);
    world.pass(13 * SECOND);
    assert!(world.caller.is_withdrawn());
    // An end that is called lets go.
    let mut world = World::up(settings(Role::Asp, 1), vec![answering(Role::Sgp)]);
    let mut out = Vec::new();
    world.answerers[0].withdraw(world.now, &mut out);
    world.carry_out(Some(0), out);
    assert!(world.answerers[0].is_withdrawn() && world.joined.is_empty());
    assert_eq!(world.answerers[0].handle_accepted(world.now, peer(0)), None);
}

#[test]
fn as_many_associations_are_accepted_as_the_limit_says() {
    let mut gateway = Endpoint::new(answering(Role::Sgp), &Seed::from_number(1));
    let now = Instant::from_millis(1);
    let accepted: Vec<_> =
        (0..limits::M3UA_ASSOCIATIONS).filter_map(|n| gateway.handle_accepted(now, peer(n))).collect();
    assert_eq!(accepted.len(), limits::M3UA_ASSOCIATIONS);
    assert_eq!(gateway.handle_accepted(now, peer(99)), None);
    gateway.handle_closed(now, accepted[3], "gone", &mut Vec::new());
    assert!(gateway.handle_accepted(now, peer(99)).is_some());
    let mut caller = Endpoint::new(settings(Role::Asp, 1), &Seed::from_number(1));
    assert_eq!(caller.handle_accepted(now, peer(0)), None, "who calls is not called");
}

#[test]
fn what_comes_late_from_an_association_that_is_gone_does_nothing() {
    let mut world = World::up(settings(Role::Asp, 1), vec![answering(Role::Sgp)]);
    let old = *world.joined.keys().next().expect("an association");
    world.cut(0);
    let before = world.caller.summary(world.now);
    let mut out = Vec::new();
    world.caller.handle_octets(world.now, old, &data(|_| ()).encode().expect("short"), &mut out);
    world.caller.handle_closed(world.now, old, "again", &mut out);
    assert_eq!(out, []);
    world.caller.handle_opened(world.now, old, &mut out);
    assert_eq!(out, [Output::Close(old)]);
    assert_eq!(world.caller.summary(world.now), before);
}
