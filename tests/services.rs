//! Services of the exchange through the whole gateway in virtual time: ring groups, several contacts,
//! races, redirects, forwarding, transfer, pick-up, click-to-dial. Every test ends with nothing left.

use std::time::Duration;
use tipring::call::record::CallRecord;
use tipring::config::{Config, NoReader};
use tipring::simulator::peers::{Habits, Noticed};
use tipring::simulator::player::phone_settings;
use tipring::simulator::world::{PhoneId, World, WorldSettings};

/// Virtual time after which nothing may be left, see `tests/calls.rs`.
const QUIET: Duration = Duration::from_secs(520);

const OFFICE: &str = r#"
[sip]
listen = ["udp:127.0.0.1:5060"]
domain = "127.0.0.1"

[phone.201]
password = "secret"
[phone.202]
password = "secret"
forward = { busy = "203", no-answer = "105", after = "10s", unreachable = "204" }
[phone.203]
password = "secret"
[phone.204]
password = "secret"
[phone.301]
password = "secret"
forward = { always = "302" }
[phone.302]
password = "secret"
forward = { always = "301" }
[phone.303]
password = "secret"
redirects = "pass"
[phone.304]
password = "secret"
redirects = "refuse"

[card.demo]
driver = "virtual"
[station.105]
card = "demo"
port = 0
[station.106]
card = "demo"
port = 1
handset = { answers-after = "1s" }

[trunk.outside]
from = ["127.0.9.0/24"]

[group.sales]
members = ["phone/201", "phone/203", "station/105"]
for = "15s"
[group.turns]
members = ["phone/201", "phone/203"]
ring = "rotate"
for = "5s"
[group.idle]
members = ["phone/201", "phone/203"]
ring = "longest-idle"

[[route]]
name = "extensions"
match = ["1XX", "2XX", "3XX"]
from = "any"
to = "extension/{number}"
[[route]]
name = "groups"
match = "70"
from = "any"
to = "group/sales"
[[route]]
name = "turns"
match = "71"
from = "any"
to = "group/turns"
[[route]]
name = "idle"
match = "72"
from = "any"
to = "group/idle"
[[route]]
name = "main number"
match = "73"
from = "any"
ring = [
  { to = "phone/201", for = "5s" },
  { all = ["phone/203", "extension/204", "station/105"], for = "5s" },
  { group = "turns" },
]
[[route]]
name = "echo"
match = "600"
from = "any"
to = "service/echo"
"#;

/// The exchange of [`OFFICE`] with its people.
struct Office {
    world: World,
    phones: Vec<PhoneId>,
}

impl Office {
    fn new(seed: u64) -> Office {
        let config = Config::parse("office.toml", OFFICE, &NoReader).expect("a valid configuration");
        Office { world: World::new(WorldSettings::new(config, seed)), phones: Vec::new() }
    }

    fn add(&mut self, user: &str, network: u8) -> PhoneId {
        let number = self.phones.len() as u8 + 1;
        let config = Config::parse("office.toml", OFFICE, &NoReader).expect("a valid configuration");
        let password = (network == 1).then(|| "secret".to_owned());
        let address = ([127, 0, network, number], 5_060).into();
        let mut settings = phone_settings(&config, user, address, password);
        settings.habits.more_calls = 3;
        let id = self.world.add_phone(settings);
        self.phones.push(id);
        id
    }

    /// A registered phone.
    fn phone(&mut self, user: &str) -> PhoneId {
        let id = self.add(user, 1);
        self.world.at_phone(id, |phone, now, sent| phone.register(now, true, sent));
        self.run(100);
        id
    }

    /// Somebody outside.
    fn outsider(&mut self, user: &str) -> PhoneId {
        self.add(user, 9)
    }

    fn run(&mut self, millis: u64) {
        self.world.run_for(Duration::from_millis(millis));
    }

    fn habits(&mut self, id: PhoneId, habits: Habits) {
        self.world.at_phone(id, |phone, _, _| phone.set_habits(Habits { more_calls: 3, ..habits }));
    }

    fn call(&mut self, id: PhoneId, number: &str) {
        self.world.at_phone(id, |phone, now, sent| phone.call(now, number, sent));
        self.run(200);
    }

    fn answer(&mut self, id: PhoneId) {
        self.world.at_phone(id, |phone, now, sent| phone.answer(now, sent));
    }

    fn hang_up(&mut self, id: PhoneId) {
        self.world.at_phone(id, |phone, now, sent| phone.hang_up(now, sent));
    }

    fn log(&self, id: PhoneId) -> Vec<&Noticed> {
        self.world.phone(id).log().iter().map(|entry| &entry.noticed).collect()
    }

    fn count(&self, id: PhoneId, wanted: &Noticed) -> usize {
        self.log(id).into_iter().filter(|noticed| *noticed == wanted).count()
    }

    fn rings(&self, id: PhoneId) -> usize {
        self.count(id, &Noticed::Ringing)
    }

    #[track_caller]
    fn was_completed_elsewhere(&self, id: PhoneId) {
        let is_it = |noticed: &&Noticed| matches!(noticed, Noticed::Released { elsewhere: true, how: "cancelled", .. });
        assert!(self.log(id).iter().any(|n| is_it(n)), "{:?}", self.log(id));
    }

    fn releases(&self, id: PhoneId) -> Vec<(Option<u16>, Option<u8>)> {
        let released = |noticed: &Noticed| match noticed {
            Noticed::Released { status, cause, .. } => Some((*status, *cause)),
            _ => None,
        };
        self.log(id).into_iter().filter_map(released).collect()
    }

    fn transfers(&self, id: PhoneId) -> Vec<u16> {
        let told = |noticed: &Noticed| match noticed {
            Noticed::Transferred(status) => Some(*status),
            _ => None,
        };
        self.log(id).into_iter().filter_map(told).collect()
    }

    fn history(&self, id: PhoneId) -> Vec<String> {
        let sent_on = |noticed: &Noticed| match noticed {
            Noticed::SentOn(value) => Some(value.clone()),
            _ => None,
        };
        self.log(id).into_iter().filter_map(sent_on).collect()
    }

    fn lift(&mut self, station: &str) {
        let now = self.world.now();
        self.world.station_mut(station).expect("a station").lift(now);
    }

    fn put_down(&mut self, station: &str) {
        let now = self.world.now();
        self.world.station_mut(station).expect("a station").put_down(now);
    }

    /// Whether the bell of a station rings: it rang an odd number of times... on, off, on.
    fn bell_changes(&self, station: &str) -> usize {
        self.world.station(station).expect("a station").bells().len()
    }

    /// The packets that a phone's latest call has heard so far.
    fn hears(&self, id: PhoneId) -> u64 {
        self.world.phone(id).received().packets
    }

    /// Everybody hangs up; the records of all calls.
    #[track_caller]
    fn close(mut self) -> Vec<CallRecord> {
        for id in self.phones.clone() {
            self.world.at_phone(id, |phone, now, sent| phone.hang_up_all(now, sent));
        }
        self.run(500);
        for station in ["105", "106"] {
            if self.world.station(station).expect("a station").off_hook() {
                self.put_down(station);
            }
        }
        self.world.run_for(QUIET);
        let problems = self.world.checkers().after_quiet(&self.world.gateway().counts());
        assert!(problems.is_empty(), "{problems:#?}\n{:#?}", self.world.gateway().call_summaries());
        self.world.records().to_vec()
    }
}

fn released(status: u16, cause: u8) -> (Option<u16>, Option<u8>) {
    (Some(status), Some(cause))
}

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
    let mut office = Office::new(3);
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
    for delay in 0..6 {
        let mut office = Office::new(4 + delay);
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
