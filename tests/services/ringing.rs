//! Ring groups, several contacts, steps, races between answers and with the caller.

use super::office::{Office, released};
use tipring::simulator::peers::{Habits, Noticed};

#[test]
fn a_group_rings_two_phones_and_a_station_and_the_first_answer_wins() {
    let mut office = Office::new(1);
    let (one, two, caller) = (office.phone("201"), office.phone("203"), office.outsider("99"));
    office.call(caller, "70");
    assert_eq!((office.rings(one), office.rings(two)), (1, 1));
    office.run(500);
    assert_eq!(office.bell_changes("105"), 1, "the bell rings");
    assert_eq!(office.count(caller, &Noticed::Ringback), 1);
    office.answer(two);
    office.run(500);
    assert_eq!(office.count(caller, &Noticed::Answered), 1);
    office.was_completed_elsewhere(one);
    let bells = office.bell_changes("105");
    office.run(8_000);
    assert_eq!(office.bell_changes("105"), bells, "the bell stopped");
    assert!(office.hears(caller) > 300, "{}", office.hears(caller));
    let records = office.close();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].to.as_deref(), Some("phone/203"));
}

#[test]
fn a_station_of_a_group_wins_against_phones() {
    let mut office = Office::new(2);
    let (one, two, caller) = (office.phone("201"), office.phone("203"), office.outsider("99"));
    office.call(caller, "70");
    office.run(1_000);
    office.lift("105");
    office.run(2_000);
    assert_eq!(office.count(caller, &Noticed::Answered), 1);
    office.was_completed_elsewhere(one);
    office.was_completed_elsewhere(two);
    assert!(office.hears(caller) > 50, "{}", office.hears(caller));
    let records = office.close();
    assert_eq!((records.len(), records[0].to.as_deref()), (1, Some("station/105")));
}

#[test]
fn two_answers_at_once_leave_one_call_and_one_bye() {
    let mut office = Office::far_away(3, 5);
    let (one, two, caller) = (office.phone("201"), office.phone("203"), office.outsider("99"));
    office.call(caller, "70");
    office.answer(one);
    office.answer(two);
    office.run(1_000);
    assert_eq!(office.count(caller, &Noticed::Answered), 1);
    let ended: Vec<usize> = [one, two].iter().map(|id| office.releases(*id).len()).collect();
    assert_eq!(ended.iter().sum::<usize>(), 1, "the slower one was told BYE: {ended:?}");
    assert_eq!(office.world.gateway().counts().calls, 1);
    assert_eq!(office.close().len(), 1);
}

#[test]
fn a_caller_who_cancels_while_somebody_answers_ends_everything() {
    // Messages take 5 ms: the CANCEL meets the answer before it, on its way, at the gateway, and after it.
    for delay in 0..14 {
        let mut office = Office::far_away(4, 5);
        let (one, two, caller) = (office.phone("201"), office.phone("203"), office.outsider("99"));
        office.call(caller, "70");
        office.answer(one);
        office.run(delay);
        office.hang_up(caller);
        office.run(2_000);
        assert_eq!(office.releases(one).len(), 1);
        assert_eq!(office.releases(two).len(), 1);
        assert_eq!(office.world.gateway().counts().calls, 0, "{delay} ms");
        assert_eq!(office.close().len(), 1);
    }
}

#[test]
fn a_group_that_nobody_answers_ends_with_no_answer_and_a_busy_one_with_busy() {
    let mut office = Office::new(11);
    let (one, two, caller) = (office.phone("201"), office.phone("203"), office.outsider("99"));
    office.call(caller, "70");
    office.run(16_000);
    assert_eq!(office.releases(caller), [released(480, 19)]);
    assert_eq!((office.releases(one).len(), office.releases(two).len()), (1, 1));
    for id in [one, two] {
        office.habits(id, Habits { rejects_with: Some(486), ..Habits::default() });
    }
    office.lift("105");
    office.run(1_000);
    office.call(caller, "70");
    office.run(1_000);
    assert_eq!(office.releases(caller).last(), Some(&released(486, 17)));
    assert_eq!(office.close().len(), 2);
}

#[test]
fn members_ring_in_turn_and_begin_with_another_one_each_time() {
    let mut office = Office::new(12);
    let (one, two, caller) = (office.phone("201"), office.phone("203"), office.outsider("99"));
    office.call(caller, "71");
    assert_eq!((office.rings(one), office.rings(two)), (1, 0));
    office.run(5_500);
    assert_eq!((office.rings(one), office.rings(two)), (1, 1));
    assert_eq!(office.releases(one).len(), 1, "its time is over");
    office.run(6_000);
    assert_eq!(office.releases(caller), [released(480, 19)]);
    office.call(caller, "71");
    assert_eq!((office.rings(one), office.rings(two)), (1, 2), "the other one first");
    office.hang_up(caller);
    office.run(500);
    assert_eq!(office.close().len(), 2);
}

#[test]
fn a_route_rings_in_steps() {
    let mut office = Office::new(30);
    let (one, two, four, caller) =
        (office.phone("201"), office.phone("203"), office.phone("204"), office.outsider("99"));
    office.call(caller, "73");
    assert_eq!((office.rings(one), office.rings(two)), (1, 0));
    office.run(5_000);
    assert_eq!((office.rings(one), office.rings(two), office.rings(four)), (1, 1, 1));
    office.run(500);
    assert_eq!(office.bell_changes("105"), 1);
    // Who refuses ends nothing for the others; when all have, the next step comes at once.
    for id in [two, four] {
        office.world.at_phone(id, |phone, now, sent| phone.reject(now, 603, sent));
    }
    office.run(5_000);
    assert_eq!(office.rings(one), 2, "the group is the third step");
    office.answer(one);
    office.run(500);
    assert_eq!(office.count(caller, &Noticed::Answered), 1);
    let records = office.close();
    assert_eq!((records.len(), records[0].to.as_deref()), (1, Some("phone/201")));
}

#[test]
fn whoever_has_had_no_call_for_longest_rings_first() {
    let mut office = Office::new(13);
    let (one, two, caller) = (office.phone("201"), office.phone("203"), office.outsider("99"));
    office.call(caller, "201");
    office.answer(one);
    office.run(1_000);
    office.hang_up(caller);
    office.run(1_000);
    office.call(caller, "72");
    assert_eq!((office.rings(one), office.rings(two)), (1, 1), "201 has just talked");
    office.hang_up(caller);
    office.run(500);
    assert_eq!(office.close().len(), 2);
}

#[test]
fn all_contacts_of_a_phone_ring_and_lower_preference_comes_later() {
    let mut office = Office::new(14);
    let (desk, mobile, caller) = (office.phone("201"), office.phone("201"), office.outsider("99"));
    let attic = office.add("201", 1);
    office.world.at_phone(attic, |phone, now, sent| phone.register_with_q(now, "0.5", sent));
    office.run(500);
    office.call(caller, "201");
    assert_eq!((office.rings(desk), office.rings(mobile), office.rings(attic)), (1, 1, 0));
    office.run(20_500);
    assert_eq!(office.rings(attic), 1, "its turn");
    office.answer(attic);
    office.run(500);
    assert_eq!(office.count(caller, &Noticed::Answered), 1);
    office.hang_up(caller);
    office.run(500);
    // 6xx from one contact is the answer for all of them.
    office.habits(desk, Habits { rejects_with: Some(603), ..Habits::default() });
    office.call(caller, "201");
    office.run(1_000);
    assert_eq!(office.releases(caller).last(), Some(&released(603, 21)));
    assert_eq!(office.rings(attic), 1);
    assert_eq!(office.close().len(), 2);
}

#[test]
fn early_media_of_one_branch_is_heard_and_the_answer_of_another_replaces_it() {
    let mut office = Office::new(15);
    let (one, two, caller) = (office.phone("201"), office.phone("203"), office.outsider("99"));
    office.habits(one, Habits { announces: true, speaks: true, ..Habits::default() });
    office.habits(two, Habits { speaks: true, ..Habits::default() });
    office.call(caller, "70");
    office.run(1_500);
    let announced = office.hears(caller);
    assert!(announced > 40, "the announcement is heard: {announced}");
    office.answer(two);
    office.run(2_000);
    assert!(office.hears(caller) > announced + 60, "{} then {}", announced, office.hears(caller));
    office.was_completed_elsewhere(one);
    let records = office.close();
    assert_eq!(records[0].to.as_deref(), Some("phone/203"));
}

#[test]
fn a_call_has_at_most_sixty_four_branches() {
    let members = vec!["\"trunk/nobody/1\""; 32].join(", ");
    let more = format!(
        "[trunk.nobody]\nto = \"sip:127.0.8.1:5060\"\n[group.crowd]\nmembers = [{members}]\nfor = \"1s\"\n\
         [[route]]\nname = \"crowd\"\nmatch = \"74\"\nfrom = \"any\"\ntransit = true\n\
         ring = [{{ group = \"crowd\" }}, {{ group = \"crowd\" }}, {{ group = \"crowd\" }}]\n"
    );
    let mut office = Office::of(34, &more);
    let caller = office.outsider("99");
    office.call(caller, "74");
    assert_eq!(office.world.misdirected(), 32);
    office.run(1_000);
    assert_eq!(office.world.misdirected(), 64);
    // Less than T1 of this exchange: nothing was said twice.
    office.run(2_000);
    assert_eq!(office.world.misdirected(), 64);
    assert_eq!(office.releases(caller).len(), 1);
}
