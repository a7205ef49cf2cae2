//! Thousands of calls in both directions through thirty circuits, with alarms, glare and lost messages.
//!
//! Every call ends once on each side, with one cause, and no circuit is stuck: at the end thirty calls find all
//! thirty of them. `TIPRING_CALLS` sets the number of calls (10,000 in long runs), `TIPRING_SEED` the seed:
//!
//! ```text
//! TIPRING_CALLS=10000 cargo test --release --test isup storm -- --nocapture
//! ```

use std::collections::BTreeMap;
use tipring::call::record::ReleasedBy;
use tipring::config::{Config, NoReader};
use tipring::dialplan::Pattern;
use tipring::ids::GroupId;
use tipring::isup::number::NatureOfAddress;
use tipring::rng::{Rng, Seed};
use tipring::simulator::peers::{Habits, Noticed};
use tipring::simulator::player::phone_settings;
use tipring::simulator::world::{PhoneId, World, WorldSettings};
use tipring::switch::{Alarm, Call, Number, Script, Step, Trouble};
use tipring::time::Duration;
use tipring::trunk::Cause;

const CIRCUITS: u16 = 30;
const PHONES: usize = 10;
const GROUP: GroupId = GroupId(0);
/// Longer than any timer of Q.764 and SIP that may still run.
const QUIET: Duration = Duration::from_secs(4_200);
/// A new call begins so often on average.
const PACE: Duration = Duration::from_millis(150);

fn config(script: Script) -> Config {
    let mut text = String::from(
        r#"
[sip]
listen = ["udp:127.0.0.1:5060"]
domain = "127.0.0.1"

[rtp]
address = "127.0.0.1"
ports = "20000-29999"

[trunk.loopback]
from = ["127.0.0.0/8"]

[isup.switch]
transport = "simulated"
circuits = "1-30"
control = "odd"
timers = { t7 = "5s", t9 = "9s", meant = ["t7", "t9"] }

[[route]]
name = "telephones"
match = "2XX"
from = ["inside", "trunk/loopback", "isup/switch"]
to = "extension/{number}"
transit = true

[[route]]
name = "switch"
match = "7."
from = ["inside", "trunk/loopback"]
transit = true
to = "isup/switch"
"#,
    );
    for number in 0..PHONES {
        text.push_str(&format!("\n[phone.{}]\npassword = \"tipring-demo\"\n", 200 + number));
    }
    let mut config = Config::parse("storm.toml", &text, &NoReader).unwrap_or_else(|f| panic!("{}", f.render(false)));
    config.isups[0].script = Some(script);
    config
}

fn environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What answers 70... to 76...: the rest of the number makes each call one of its own.
fn numbers() -> Vec<Number> {
    let cause = |value: u8| Cause::new(value).expect("a cause");
    let wait = |ms: u64| Step::Wait(Duration::from_millis(ms));
    let acm = |free: bool, in_band: bool| Step::Acm { free, in_band };
    let kinds: [(&str, Vec<Step>); 7] = [
        ("70X.", vec![wait(100), Step::release(cause(17))]),
        ("71X.", vec![acm(true, false), wait(1_000), Step::Anm, wait(2_000), Step::release(cause(16))]),
        ("72X.", vec![acm(true, false), wait(500), Step::Anm]),
        ("73X.", vec![acm(false, true), Step::Announcement, wait(700), Step::release(cause(1))]),
        ("74X.", vec![Step::Con, wait(1_500), Step::release(cause(41))]),
        ("75X.", vec![]),
        ("76X.", vec![Step::Glare, acm(true, false), wait(300), Step::Anm, wait(1_000), Step::release(cause(16))]),
    ];
    let number = |(pattern, steps): (&str, Vec<Step>)| Number {
        matches: vec![Pattern::parse(pattern).expect("a pattern")],
        steps,
    };
    kinds.into_iter().map(number).collect()
}

/// The other half of the calls: the switch makes them to the telephones.
fn calls(rng: &mut Rng, count: u64) -> Vec<Call> {
    let call = |index: u64| Call {
        at: Duration::from_millis(2_000 + index * 2 * PACE.as_millis() as u64 + rng.below(200)),
        times: 1,
        every: Duration::ZERO,
        calling: rng.chance(7, 8).then(|| format!("3{index:07}")),
        called: (200 + rng.below(PHONES as u64 + 1)).to_string(), // 210 is nobody's
        nature: NatureOfAddress::UNKNOWN,
        anonymous: rng.chance(1, 8),
        overlap: rng.chance(1, 3).then_some(1),
        digit_every: Duration::from_millis(150),
        continuity: rng.chance(1, 6).then(|| rng.chance(7, 8)),
        steps: vec![
            Step::Wait(Duration::from_millis(rng.between(100, 4_000))),
            Step::release(Cause::new(16).expect("a cause")),
        ],
        gives_up: Duration::from_millis(rng.between(1_000, 12_000)),
    };
    (0..count).map(call).collect()
}

/// Something happens to some circuits every few seconds; what is blocked is unblocked a while later.
fn alarms(rng: &mut Rng, time: Duration) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    let mut at = Duration::from_secs(5);
    while at < time {
        let first = 1 + rng.below(u64::from(CIRCUITS)) as u16;
        let last = (first + rng.below(8) as u16).min(CIRCUITS);
        let circuits: Vec<u16> = (first..=last).collect();
        let hardware = rng.chance(1, 2);
        let (what, after) = match rng.below(6) {
            0 => (Trouble::Block, Some(Trouble::Unblock)),
            1 => (Trouble::Reset, None),
            2 => (Trouble::GroupReset, None),
            3 => (Trouble::Amnesia, None),
            _ => (Trouble::GroupBlock { hardware }, Some(Trouble::GroupUnblock { hardware })),
        };
        let alarm = |at, what, circuits| Alarm { at, times: 1, every: Duration::ZERO, what, circuits };
        alarms.push(alarm(at, what, circuits.clone()));
        if let Some(after) = after {
            alarms.push(alarm(at + Duration::from_millis(rng.between(500, 9_000)), after, circuits));
        }
        at += Duration::from_millis(rng.between(1_000, 9_000));
    }
    // What one alarm blocks another may unblock, and the other way round: at the end nothing is blocked.
    let all: Vec<u16> = (1..=CIRCUITS).collect();
    let end = time + Duration::from_secs(20);
    for what in [Trouble::Unblock, Trouble::GroupUnblock { hardware: true }, Trouble::GroupUnblock { hardware: false }]
    {
        alarms.push(Alarm { at: end, times: 1, every: Duration::ZERO, what, circuits: all.clone() });
    }
    alarms
}

/// What a step of the storm does.
struct Weather {
    loss_tenth_percent: u16,
    alarms: bool,
}

struct Storm {
    world: World,
    rng: Rng,
    phones: Vec<PhoneId>,
}

impl Storm {
    fn new(seed: u64, weather: &Weather, calls_in: u64) -> Storm {
        let mut rng = Seed::from_number(seed).fork("storm").rng();
        let time = PACE * 2 * calls_in as u32;
        let script = Script {
            numbers: numbers(),
            demo: false,
            calls: calls(&mut rng, calls_in),
            alarms: if weather.alarms { alarms(&mut rng, time) } else { Vec::new() },
            loss_tenth_percent: weather.loss_tenth_percent,
            delay: Duration::from_millis(20),
            loss_until: Some(time + Duration::from_secs(600)),
            ..Script::default()
        };
        let config = config(script);
        let mut world = World::new(WorldSettings::new(config.clone(), seed));
        let phone = |index: usize| {
            let address = ([127, 0, 1, 1 + index as u8], 5_060).into();
            let password = Some("tipring-demo".to_owned());
            world.add_phone(phone_settings(&config, &(200 + index).to_string(), address, password))
        };
        let phones: Vec<PhoneId> = (0..PHONES).map(phone).collect();
        for phone in &phones {
            world.at_phone(*phone, |phone, now, sent| phone.register(now, true, sent));
        }
        world.run_for(Duration::from_secs(1));
        Storm { world, rng, phones }
    }

    /// A telephone calls a number that nobody else calls.
    fn call(&mut self, index: u64) {
        let rng = &mut self.rng;
        let some = |rng: &mut Rng, from: u64, to: u64| Some(Duration::from_millis(rng.between(from, to)));
        let habits = Habits {
            answers_after: some(rng, 0, 2_000),
            rejects_with: rng.chance(1, 6).then_some(603),
            hangs_up_after: some(rng, 0, 5_000),
            gives_up_after: some(rng, 500, 20_000),
            more_calls: 8,
            ..Habits::default()
        };
        let number = format!("7{}{index:06}", rng.below(7));
        let phone = self.phones[rng.below(PHONES as u64) as usize];
        self.world.at_phone(phone, |phone, now, sent| {
            phone.set_habits(habits);
            phone.call(now, &number, sent);
        });
    }

    fn run(&mut self, calls: u64) {
        for index in 0..calls {
            self.call(index);
            let pause = self.rng.between(0, 4 * PACE.as_millis() as u64);
            self.world.run_for(Duration::from_millis(pause));
        }
        self.world.run_for(Duration::from_secs(60));
        for phone in self.phones.clone() {
            self.world.at_phone(phone, |phone, now, sent| phone.hang_up_all(now, sent));
        }
        self.world.run_for(QUIET);
    }

    /// Every call ended once on each side, and nothing is left.
    #[track_caller]
    fn check(&self) {
        let world = &self.world;
        let problems = world.checkers().after_quiet(&world.gateway().counts());
        assert!(problems.is_empty(), "{problems:#?}\n{:#?}", world.gateway().call_summaries());
        for phone in world.phones() {
            let mut ends: BTreeMap<u64, u32> = BTreeMap::new();
            for entry in phone.log() {
                match &entry.noticed {
                    Noticed::Released { how: "last word", .. } => {}
                    Noticed::Released { .. } => *ends.entry(entry.call).or_default() += 1,
                    Noticed::Ringing | Noticed::Ringback => drop(ends.entry(entry.call).or_default()),
                    _ => {}
                }
            }
            let wrong: Vec<_> = ends.iter().filter(|(_, times)| **times != 1).collect();
            assert!(wrong.is_empty(), "calls of {} did not end once: {wrong:?}", phone.settings().user);
            assert_eq!(phone.call_count(), 0, "left at {}", phone.settings().user);
        }
        let far_end = world.far_ends().switch(GROUP).expect("a switch");
        assert_eq!(far_end.busy(), [], "circuits are stuck");
        let counts = far_end.counts();
        let ended =
            |from_gateway| world.far_end_calls().iter().filter(|(.., e)| e.from_gateway == from_gateway).count();
        assert_eq!((ended(true) as u64, ended(false) as u64), (counts.calls_in, counts.calls_out), "{counts:?}");
    }

    /// Thirty calls at once find thirty circuits, and the next one finds none.
    #[track_caller]
    fn check_circuits(&mut self) {
        let before = self.world.far_end_calls().len();
        let records = self.world.records().len();
        let phone = self.phones[0];
        self.world.at_phone(phone, |phone, _, _| {
            phone.set_habits(Habits { more_calls: 40, ..Habits::default() });
        });
        for index in 0..=CIRCUITS {
            let number = format!("72999{index:03}");
            self.world.at_phone(phone, |phone, now, sent| phone.call(now, &number, sent));
            self.world.run_for(Duration::from_millis(10));
        }
        self.world.run_for(Duration::from_secs(3));
        self.world.at_phone(phone, |phone, now, sent| phone.hang_up_all(now, sent));
        self.world.run_for(QUIET);
        let mut circuits: Vec<u16> =
            self.world.far_end_calls()[before..].iter().filter_map(|(_, _, ended)| ended.cic).collect();
        circuits.sort_unstable();
        assert_eq!(circuits, (1..=CIRCUITS).collect::<Vec<u16>>());
        let answered: Vec<bool> = self.world.far_end_calls()[before..].iter().map(|(.., e)| e.answered).collect();
        assert_eq!(answered, [true; CIRCUITS as usize]);
        let causes = self.world.records()[records..].iter().map(|record| record.release.cause.value());
        assert_eq!(causes.filter(|cause| *cause == 34).count(), 1, "one call finds no circuit");
    }
}

fn storm(name: &str, weather: &Weather) -> Storm {
    let seed = environment("TIPRING_SEED").unwrap_or(1);
    let calls = environment("TIPRING_CALLS").unwrap_or(1_000);
    println!("seed {seed}; to repeat: TIPRING_SEED={seed} TIPRING_CALLS={calls} cargo test --test isup {name}");
    let mut storm = Storm::new(seed, weather, calls / 2);
    storm.run(calls - calls / 2);
    let counts = storm.world.far_ends().switch(GROUP).map(|switch| switch.counts());
    let answered = storm.world.records().iter().filter(|record| record.answered_at.is_some()).count();
    println!("{name}: {calls} calls, {} records, {answered} answered, {counts:?}", storm.world.records().len());
    storm.check();
    storm.check_circuits();
    storm
}

#[test]
fn calls_in_fair_weather_end_with_the_same_cause_on_both_sides() {
    let weather = Weather { loss_tenth_percent: 0, alarms: false };
    let storm = storm("calls_in_fair_weather_end_with_the_same_cause_on_both_sides", &weather);
    let records = storm.world.records();
    let (mut compared, mut crossings) = (0, 0);
    for (_, _, ended) in storm.world.far_end_calls().iter().filter(|(_, _, ended)| ended.from_gateway) {
        let of_it: Vec<_> = records.iter().filter(|record| record.called == ended.called).collect();
        let [record] = of_it.as_slice() else { panic!("{} records of {ended:?}", of_it.len()) };
        // REL of the caller may cross REL or ANM of the switch.
        let is_by_caller = record.released_by == ReleasedBy::Caller;
        let crossed = is_by_caller && (!ended.by_gateway || ended.answered && record.answered_at.is_none());
        crossings += usize::from(crossed);
        assert!(crossed || record.release.cause == ended.cause, "{ended:?}\n{record:?}");
        assert!(crossed || record.answered_at.is_some() == ended.answered, "{ended:?}\n{record:?}");
        compared += 1;
    }
    assert!(crossings * 20 <= compared, "{crossings} of {compared} releases crossed");
    assert!(compared > records.len() / 4, "only {compared} of {} calls were compared", records.len());
}

#[test]
fn calls_through_alarms_and_glare_leave_no_circuit_stuck() {
    let weather = Weather { loss_tenth_percent: 0, alarms: true };
    storm("calls_through_alarms_and_glare_leave_no_circuit_stuck", &weather);
}

#[test]
fn calls_through_alarms_glare_and_lost_messages_leave_no_circuit_stuck() {
    let weather = Weather { loss_tenth_percent: 30, alarms: true };
    storm("calls_through_alarms_glare_and_lost_messages_leave_no_circuit_stuck", &weather);
}
