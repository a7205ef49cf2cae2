//! Forwarding by configuration and redirects by telephones.

use super::office::Office;
use tipring::simulator::peers::{Habits, Noticed};

#[test]
fn calls_are_forwarded_when_busy_in_vain_and_unreachable() {
    let mut office = Office::new(16);
    let (forwarder, busy_target, caller) = (office.phone("202"), office.phone("203"), office.outsider("99"));
    office.habits(forwarder, Habits { rejects_with: Some(486), ..Habits::default() });
    office.call(caller, "202");
    assert_eq!(office.rings(busy_target), 1);
    let history = office.history(busy_target);
    assert_eq!(
        history,
        [
            "Diversion: <sip:202@127.0.0.1>;reason=user-busy;counter=1".to_owned(),
            "History-Info: <sip:202@127.0.0.1?Reason=SIP%3Bcause%3D486>;index=1".to_owned(),
            format!("History-Info: <sip:203@{}>;index=1.1;mp=1", "127.0.1.2:5060"),
        ]
    );
    office.answer(busy_target);
    office.run(500);
    office.hang_up(caller);
    office.run(500);

    office.habits(forwarder, Habits::default());
    office.call(caller, "202");
    office.run(9_000);
    assert_eq!(office.bell_changes("105"), 0);
    office.run(2_000);
    assert_eq!(office.bell_changes("105"), 1, "after ten seconds the station rings");
    office.lift("105");
    office.run(1_000);
    assert_eq!(office.count(caller, &Noticed::Answered), 2);
    office.hang_up(caller);
    office.run(3_000);
    office.put_down("105");

    let last = office.phone("204");
    office.world.at_phone(forwarder, |phone, now, sent| phone.register(now, false, sent));
    office.run(500);
    office.call(caller, "202");
    assert_eq!(office.rings(last), 1);
    office.hang_up(caller);
    office.run(500);
    let records = office.close();
    let to: Vec<_> = records.iter().map(|record| (record.called.as_str(), record.to.as_deref())).collect();
    assert_eq!(to, [("202", Some("phone/203")), ("202", Some("station/105")), ("202", Some("phone/204"))]);
}

#[test]
fn forwarding_that_goes_round_ends() {
    let mut office = Office::new(17);
    let caller = office.outsider("99");
    office.call(caller, "301");
    office.run(1_000);
    let statuses: Vec<_> = office.releases(caller).into_iter().map(|(status, _)| status).collect();
    assert_eq!(statuses, [Some(482)]);
    assert_eq!(office.close().len(), 1);
}

#[test]
fn redirects_are_followed_passed_on_or_refused() {
    let mut office = Office::new(18);
    let (sender, target, caller) = (office.phone("201"), office.phone("203"), office.outsider("99"));
    let sends_on = Habits { redirects_to: Some("203"), ..Habits::default() };
    office.habits(sender, sends_on);
    office.call(caller, "201");
    assert_eq!(office.rings(target), 1);
    assert!(office.history(target).iter().any(|value| value.contains("reason=unconditional")));
    office.answer(target);
    office.run(500);
    assert_eq!(office.count(caller, &Noticed::Answered), 1);
    office.hang_up(caller);
    office.run(500);

    let (passes, refuses) = (office.phone("303"), office.phone("304"));
    office.habits(passes, sends_on);
    office.habits(refuses, sends_on);
    office.call(caller, "303");
    office.run(500);
    assert_eq!(office.releases(caller).last().map(|(status, _)| *status), Some(Some(302)));
    office.call(caller, "304");
    office.run(500);
    let refused = office.releases(caller).last().copied().expect("released");
    assert!(refused.0.is_some_and(|status| status >= 400), "{refused:?}");
    assert_eq!(office.rings(target), 1);

    // Two who send calls to each other.
    office.habits(target, Habits { redirects_to: Some("201"), ..Habits::default() });
    office.call(caller, "201");
    office.run(2_000);
    assert_eq!(office.releases(caller).len(), 4, "it ends");
    assert_eq!(office.close().len(), 4);
}

/// A chain of phones that send calls on, `4X1` to `4X7`.
fn chain(number: u32, last: u32) -> String {
    let forward = |n: u32| format!("[phone.{n}]\npassword = \"secret\"\nforward = {{ always = \"{}\" }}\n", n + 1);
    let end = format!("[phone.{last}]\npassword = \"secret\"\n");
    (number..last).map(forward).collect::<String>() + &end
}

#[test]
fn a_call_is_forwarded_five_times_and_not_six() {
    let mut office = Office::of(31, &chain(401, 407));
    let (last, caller) = (office.phone("407"), office.outsider("99"));
    office.call(caller, "402");
    assert_eq!(office.rings(last), 1);
    office.hang_up(caller);
    office.run(500);
    office.call(caller, "401");
    office.run(500);
    assert_eq!((office.rings(last), office.releases(caller).last().map(|(status, _)| *status)), (1, Some(Some(482))));
    assert_eq!(office.close().len(), 2);
}

#[test]
fn a_call_is_redirected_five_times_and_not_six() {
    let phones: String = (501..508).map(|n| format!("[phone.{n}]\npassword = \"secret\"\n")).collect();
    let mut office = Office::of(32, &phones);
    let caller = office.outsider("99");
    for (number, to) in [("501", "502"), ("502", "503"), ("503", "504"), ("504", "505"), ("505", "506"), ("506", "507")]
    {
        let phone = office.phone(number);
        office.habits(phone, Habits { redirects_to: Some(to), ..Habits::default() });
    }
    let last = office.phone("507");
    office.call(caller, "502");
    office.run(500);
    assert_eq!(office.rings(last), 1);
    office.hang_up(caller);
    office.run(500);
    office.call(caller, "501");
    office.run(1_000);
    let refused = office.releases(caller).last().and_then(|(status, _)| *status);
    assert!(office.rings(last) == 1 && refused.is_some_and(|status| status >= 400), "{refused:?}");
    assert_eq!(office.close().len(), 2);
}

#[test]
fn of_a_redirect_with_many_contacts_the_first_eight_are_tried() {
    let mut office = Office::new(33);
    let (sender, target, caller) = (office.phone("201"), office.phone("203"), office.outsider("99"));
    for (numbers, rings) in [("199 199 199 199 199 199 199 199 203", 0), ("199 199 199 199 199 199 199 203 199", 1)] {
        office.habits(sender, Habits { redirects_to: Some(numbers), ..Habits::default() });
        office.call(caller, "201");
        office.run(500);
        assert_eq!(office.rings(target), rings);
        office.hang_up(caller);
        office.run(500);
    }
    assert_eq!(office.close().len(), 2);
}
