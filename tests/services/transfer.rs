//! Transfer, pick-up, click-to-dial.

use super::office::Office;
use tipring::simulator::peers::{Habits, Noticed};
use tipring::simulator::world::PhoneId;

#[test]
fn a_blind_transfer_gives_the_caller_to_another_phone() {
    let mut office = Office::new(19);
    let (clerk, colleague, caller) = (office.phone("201"), office.phone("203"), office.outsider("99"));
    office.call(caller, "201");
    office.answer(clerk);
    office.run(1_000);
    office.world.at_phone(clerk, |phone, now, sent| phone.transfer(now, "203", sent));
    office.run(1_000);
    assert_eq!(office.rings(colleague), 1);
    assert_eq!(office.transfers(clerk), [100, 180]);
    assert!(office.history(colleague).iter().any(|value| value.starts_with("Referred-By: <sip:201@")));
    office.answer(colleague);
    office.run(1_000);
    assert_eq!(office.transfers(clerk), [100, 180, 200]);
    assert_eq!(office.releases(clerk).len(), 1, "the clerk is out");
    assert_eq!(office.releases(caller).len(), 0);
    let heard = office.hears(caller);
    office.run(2_000);
    assert!(office.hears(caller) > heard + 80, "the caller hears the colleague");
    office.hang_up(colleague);
    office.run(500);
    assert_eq!(office.releases(caller).len(), 1);
    let records = office.close();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].to.as_deref(), Some("phone/203"));
    assert_eq!(records[0].transferred_by.as_deref(), Some("phone/201"));
}

#[test]
fn a_caller_transfers_whom_it_called_to_a_station() {
    let mut office = Office::new(20);
    let (clerk, customer) = (office.phone("201"), office.phone("203"));
    office.call(clerk, "203");
    office.answer(customer);
    office.run(1_000);
    // The stream of the customer has to move to the worker of the card.
    office.world.at_phone(clerk, |phone, now, sent| phone.transfer(now, "106", sent));
    office.run(4_000);
    assert_eq!(office.transfers(clerk), [100, 180, 200]);
    assert_eq!((office.releases(clerk).len(), office.releases(customer).len()), (1, 0));
    let heard = office.hears(customer);
    office.run(2_000);
    assert!(office.hears(customer) > heard + 80, "the customer hears the station: {heard}");
    office.hang_up(customer);
    office.run(3_000);
    let records = office.close();
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].from.as_str(), records[0].to.as_deref()), ("phone/203", Some("station/106")));
}

#[test]
fn a_transfer_that_fails_brings_the_call_back() {
    let mut office = Office::new(21);
    let (clerk, colleague, caller) = (office.phone("201"), office.phone("203"), office.outsider("99"));
    office.habits(colleague, Habits { rejects_with: Some(486), ..Habits::default() });
    office.call(caller, "201");
    office.answer(clerk);
    office.run(1_000);
    for (number, status) in [("203", 486), ("299", 404), ("301", 482)] {
        office.world.at_phone(clerk, |phone, now, sent| phone.transfer(now, number, sent));
        office.run(1_000);
        assert_eq!(office.transfers(clerk).last(), Some(&status), "{number}");
        assert_eq!((office.releases(clerk).len(), office.releases(caller).len()), (0, 0));
        let heard = office.hears(caller);
        office.run(1_000);
        assert!(office.hears(caller) > heard + 30, "they still hear each other");
    }
    assert_eq!(office.close().len(), 1);
}

#[test]
fn whoever_transfers_may_hang_up_before_the_target_answers() {
    let mut office = Office::new(22);
    let (clerk, colleague, caller) = (office.phone("201"), office.phone("203"), office.outsider("99"));
    office.call(caller, "201");
    office.answer(clerk);
    office.run(1_000);
    office.world.at_phone(clerk, |phone, now, sent| phone.transfer(now, "203", sent));
    office.run(200);
    office.hang_up(clerk);
    office.run(1_000);
    assert_eq!(office.releases(caller).len(), 0);
    // Nobody speaks to the caller any more but the gateway: ringback.
    let heard = office.hears(caller);
    office.run(2_000);
    assert!((95..=105).contains(&(office.hears(caller) - heard)), "a packet every 20 ms");
    office.answer(colleague);
    office.run(2_000);
    let heard = office.hears(caller);
    office.run(1_000);
    assert!(office.hears(caller) > heard + 30);
    office.hang_up(caller);
    office.run(500);
    assert_eq!(office.releases(colleague).len(), 1);

    // And when the target does not come to the phone, the caller is released.
    office.call(caller, "201");
    office.answer(clerk);
    office.run(1_000);
    office.habits(colleague, Habits::default());
    office.world.at_phone(clerk, |phone, now, sent| phone.transfer(now, "203", sent));
    office.run(200);
    office.hang_up(clerk);
    office.world.at_phone(colleague, |phone, now, sent| phone.reject(now, 486, sent));
    office.run(1_000);
    assert_eq!(office.releases(caller).last(), Some(&(None, Some(17))));
    assert_eq!(office.close().len(), 2);
}

#[test]
fn an_attended_transfer_joins_the_two_others() {
    let mut office = Office::new(23);
    let (clerk, colleague, caller) = (office.phone("201"), office.phone("203"), office.outsider("99"));
    office.call(caller, "201");
    office.answer(clerk);
    office.run(1_000);
    office.call(clerk, "203");
    office.answer(colleague);
    office.run(1_000);
    office.world.at_phone(clerk, |phone, now, sent| phone.transfer_attended(now, sent));
    office.run(1_000);
    assert_eq!(office.transfers(clerk), [100, 200]);
    assert_eq!(office.releases(clerk).len(), 2, "the clerk is out of both calls");
    let heard = (office.hears(caller), office.hears(colleague));
    office.run(2_000);
    assert!(office.hears(caller) > heard.0 + 80 && office.hears(colleague) > heard.1 + 80);
    assert_eq!(office.world.gateway().counts().calls, 1);
    office.hang_up(caller);
    office.run(500);
    assert_eq!(office.releases(colleague).len(), 1);
    let records = office.close();
    assert_eq!(records.len(), 2);
    assert_eq!(records[1].to.as_deref(), Some("phone/203"));
}

#[test]
fn an_attended_transfer_to_a_station_moves_the_stream_to_its_card() {
    let mut office = Office::new(24);
    let (clerk, caller) = (office.phone("201"), office.outsider("99"));
    office.call(caller, "201");
    office.answer(clerk);
    office.run(1_000);
    office.call(clerk, "106");
    office.run(3_000);
    office.world.at_phone(clerk, |phone, now, sent| phone.transfer_attended(now, sent));
    office.run(1_000);
    assert_eq!(office.transfers(clerk), [100, 200]);
    let heard = office.hears(caller);
    office.run(2_000);
    assert!(office.hears(caller) > heard + 80);
    office.hang_up(caller);
    office.run(3_000);
    assert_eq!(office.close().len(), 2);
}

#[test]
fn nobody_outside_can_transfer_and_nobody_can_name_the_dialog_of_another() {
    let mut office = Office::new(25);
    let (clerk, colleague, caller) = (office.phone("201"), office.phone("203"), office.outsider("99"));
    office.call(caller, "201");
    office.answer(clerk);
    office.run(1_000);
    office.world.at_phone(caller, |phone, now, sent| phone.transfer(now, "203", sent));
    office.run(1_000);
    assert_eq!((office.rings(colleague), office.transfers(caller)), (0, vec![]));
    // 204 is in no group with 201.
    let stranger = office.phone("204");
    let session = office.world.phone(clerk).latest_session().expect("a call");
    let replaces = office.world.phone(clerk).replaces(session).expect("a dialog");
    office.world.at_phone(stranger, |phone, now, sent| phone.call_replacing(now, &replaces, sent));
    office.run(1_000);
    assert_eq!(office.releases(stranger).first().map(|(status, _)| *status), Some(Some(403)));
    office.world.at_phone(stranger, |phone, now, sent| {
        let _ = phone.call_replacing(now, "none;to-tag=1;from-tag=2", sent);
    });
    office.run(1_000);
    assert_eq!(office.releases(stranger).last().map(|(status, _)| *status), Some(Some(481)));
    assert_eq!(office.releases(caller).len(), 0);
    assert_eq!(office.close().len(), 1);
}

#[test]
fn a_trunk_transfers_when_its_table_says_so_with_the_rights_of_its_calls() {
    let mut office = Office::of(25, "[trunk.partner]\nfrom = [\"127.0.8.0/24\"]\ntransfer = true\n");
    let (clerk, colleague) = (office.phone("201"), office.phone("203"));
    let caller = office.add("98", 8);
    office.call(caller, "201");
    office.answer(clerk);
    office.run(1_000);
    // A number that calls of the trunk don't reach, then one that they do.
    office.world.at_phone(caller, |phone, now, sent| phone.transfer(now, "9999", sent));
    office.run(1_000);
    assert_eq!(office.transfers(caller), [100, 404]);
    office.world.at_phone(caller, |phone, now, sent| phone.transfer(now, "203", sent));
    office.run(1_000);
    office.answer(colleague);
    office.run(1_000);
    assert_eq!((office.releases(caller).len(), office.releases(clerk).len()), (1, 0));
    office.hang_up(clerk);
    office.run(1_000);
    let records = office.close();
    assert_eq!((records.len(), records[0].transferred_by.as_deref()), (1, Some("trunk/partner")));
}

#[test]
fn a_ringing_call_is_picked_up_by_a_member_of_the_same_group() {
    let mut office = Office::new(26);
    let (ringing, helper, caller) = (office.phone("201"), office.phone("203"), office.outsider("99"));
    office.call(caller, "201");
    let session = office.world.phone(ringing).latest_session().expect("it rings");
    let replaces = office.world.phone(ringing).replaces(session).expect("a dialog");
    office.world.at_phone(helper, |phone, now, sent| phone.call_replacing(now, &replaces, sent));
    office.run(1_000);
    assert_eq!((office.count(caller, &Noticed::Answered), office.count(helper, &Noticed::Answered)), (1, 1));
    office.was_completed_elsewhere(ringing);
    let heard = office.hears(caller);
    office.run(1_000);
    assert!(office.hears(caller) > heard + 30);
    let records = office.close();
    assert_eq!((records.len(), records[0].to.as_deref()), (1, Some("phone/203")));
}

#[test]
fn a_confirmed_dialog_is_replaced_by_another_phone_of_the_group() {
    let mut office = Office::new(27);
    let (desk, other, caller) = (office.phone("201"), office.phone("203"), office.outsider("99"));
    office.call(caller, "201");
    office.answer(desk);
    office.run(1_000);
    let session = office.world.phone(desk).latest_session().expect("a call");
    let replaces = office.world.phone(desk).replaces(session).expect("a dialog");
    let early = format!("{replaces};early-only");
    office.world.at_phone(other, |phone, now, sent| phone.call_replacing(now, &early, sent));
    office.run(1_000);
    assert_eq!(office.releases(other).last().map(|(status, _)| *status), Some(Some(486)), "RFC 3891 3: early-only");
    office.world.at_phone(other, |phone, now, sent| phone.call_replacing(now, &replaces, sent));
    office.run(1_000);
    assert_eq!(office.releases(desk).len(), 1);
    let heard = office.hears(caller);
    office.run(1_000);
    assert!(office.hears(caller) > heard + 30);
    let records = office.close();
    assert_eq!((records.len(), records[0].to.as_deref()), (1, Some("phone/203")));
}

#[test]
fn click_to_dial_joins_two_phones_or_a_station_and_a_phone() {
    let mut office = Office::new(28);
    let (one, two) = (office.phone("201"), office.phone("203"));
    assert_eq!(office.world.dial("phone/201", "203"), Ok(1));
    office.run(300);
    assert_eq!((office.rings(one), office.rings(two)), (1, 0));
    office.answer(one);
    office.run(300);
    assert_eq!(office.rings(two), 1);
    office.answer(two);
    office.run(2_000);
    assert!(office.hears(one) > 50 && office.hears(two) > 50);
    office.hang_up(two);
    office.run(500);
    assert_eq!(office.releases(one).len(), 1);

    assert_eq!(office.world.dial("106", "203"), Ok(2));
    office.run(3_000);
    office.answer(two);
    let heard = office.hears(two);
    office.run(2_000);
    assert!(office.hears(two) > heard + 50);
    office.hang_up(two);
    office.run(3_000);

    assert!(office.world.dial("phone/299", "203").is_err());
    assert!(office.world.dial("phone/201", "999").is_err());
    // Nobody comes to the first phone.
    assert_eq!(office.world.dial("201", "203"), Ok(3));
    office.run(61_000);
    let records = office.close();
    let ends: Vec<_> = records.iter().map(|r| (r.from.as_str(), r.called.as_str(), r.answered_at.is_some())).collect();
    assert_eq!(ends, [("phone/201", "203", true), ("station/106", "203", true), ("phone/201", "203", false)]);
}

#[test]
fn the_two_sides_of_a_call_know_nothing_of_each_other() {
    let mut office = Office::new(29);
    let (callee, caller) = (office.phone("201"), office.outsider("99"));
    office.call(caller, "201");
    office.answer(callee);
    office.run(500);
    let names = |office: &Office, id: PhoneId| {
        let session = office.world.phone(id).latest_session().expect("a call");
        office.world.phone(id).endpoint().names(session).expect("a dialog")
    };
    let (a, b) = (names(&office, caller), names(&office, callee));
    let values = |(call_id, ours, theirs): (String, String, String)| [call_id, ours, theirs];
    for value in values(a) {
        assert!(!values(b.clone()).contains(&value), "{value}");
    }
    assert_eq!(office.close().len(), 1);
}
