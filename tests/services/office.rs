//! An exchange with people, and what they noticed.

use std::time::Duration;
use tipring::call::record::CallRecord;
use tipring::config::{Config, NoReader};
use tipring::simulator::network::Faults;
use tipring::simulator::peers::{Habits, Noticed};
use tipring::simulator::player::phone_settings;
use tipring::simulator::world::{PhoneId, World, WorldSettings};

/// Virtual time after which nothing may be left, see `tests/calls.rs`.
const QUIET: Duration = Duration::from_secs(520);

const OFFICE: &str = r#"
[sip]
listen = ["udp:127.0.0.1:5060"]
domain = "127.0.0.1"
t1 = "4s"

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
match = ["1XX", "2XX", "3XX", "4XX", "5XX"]
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
pub struct Office {
    pub world: World,
    phones: Vec<PhoneId>,
}

impl Office {
    pub fn new(seed: u64) -> Office {
        Office::of(seed, "")
    }

    /// The same with more tables.
    pub fn of(seed: u64, more: &str) -> Office {
        let text = format!("{OFFICE}{more}");
        let config = Config::parse("office.toml", &text, &NoReader).unwrap_or_else(|findings| panic!("{findings:?}"));
        Office { world: World::new(WorldSettings::new(config, seed)), phones: Vec::new() }
    }

    /// The same, with a network on which messages can cross.
    pub fn far_away(seed: u64, delay_ms: u64) -> Office {
        let config = Config::parse("office.toml", OFFICE, &NoReader).expect("a valid configuration");
        let signalling = Faults { delay: Duration::from_millis(delay_ms), ..Faults::default() };
        let world = World::new(WorldSettings { signalling, ..WorldSettings::new(config, seed) });
        Office { world, phones: Vec::new() }
    }

    pub fn add(&mut self, user: &str, network: u8) -> PhoneId {
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
    pub fn phone(&mut self, user: &str) -> PhoneId {
        let id = self.add(user, 1);
        self.world.at_phone(id, |phone, now, sent| phone.register(now, true, sent));
        self.run(100);
        id
    }

    /// Somebody outside.
    pub fn outsider(&mut self, user: &str) -> PhoneId {
        self.add(user, 9)
    }

    pub fn run(&mut self, millis: u64) {
        self.world.run_for(Duration::from_millis(millis));
    }

    pub fn habits(&mut self, id: PhoneId, habits: Habits) {
        self.world.at_phone(id, |phone, _, _| phone.set_habits(Habits { more_calls: 3, ..habits }));
    }

    pub fn call(&mut self, id: PhoneId, number: &str) {
        self.world.at_phone(id, |phone, now, sent| phone.call(now, number, sent));
        self.run(200);
    }

    pub fn answer(&mut self, id: PhoneId) {
        self.world.at_phone(id, |phone, now, sent| phone.answer(now, sent));
    }

    pub fn hang_up(&mut self, id: PhoneId) {
        self.world.at_phone(id, |phone, now, sent| phone.hang_up(now, sent));
    }

    pub fn log(&self, id: PhoneId) -> Vec<&Noticed> {
        self.world.phone(id).log().iter().map(|entry| &entry.noticed).collect()
    }

    pub fn count(&self, id: PhoneId, wanted: &Noticed) -> usize {
        self.log(id).into_iter().filter(|noticed| *noticed == wanted).count()
    }

    pub fn rings(&self, id: PhoneId) -> usize {
        self.count(id, &Noticed::Ringing)
    }

    #[track_caller]
    pub fn was_completed_elsewhere(&self, id: PhoneId) {
        let is_it = |noticed: &&Noticed| matches!(noticed, Noticed::Released { elsewhere: true, how: "cancelled", .. });
        assert!(self.log(id).iter().any(is_it), "{:?}", self.log(id));
    }

    pub fn releases(&self, id: PhoneId) -> Vec<(Option<u16>, Option<u8>)> {
        let released = |noticed: &Noticed| match noticed {
            Noticed::Released { status, cause, .. } => Some((*status, *cause)),
            _ => None,
        };
        self.log(id).into_iter().filter_map(released).collect()
    }

    pub fn transfers(&self, id: PhoneId) -> Vec<u16> {
        let told = |noticed: &Noticed| match noticed {
            Noticed::Transferred(status) => Some(*status),
            _ => None,
        };
        self.log(id).into_iter().filter_map(told).collect()
    }

    pub fn history(&self, id: PhoneId) -> Vec<String> {
        let sent_on = |noticed: &Noticed| match noticed {
            Noticed::SentOn(value) => Some(value.clone()),
            _ => None,
        };
        self.log(id).into_iter().filter_map(sent_on).collect()
    }

    pub fn lift(&mut self, station: &str) {
        let now = self.world.now();
        self.world.station_mut(station).expect("a station").lift(now);
    }

    pub fn put_down(&mut self, station: &str) {
        let now = self.world.now();
        self.world.station_mut(station).expect("a station").put_down(now);
    }

    /// Whether the bell of a station rings: it rang an odd number of times... on, off, on.
    pub fn bell_changes(&self, station: &str) -> usize {
        self.world.station(station).expect("a station").bells().len()
    }

    /// The packets that a phone's latest call has heard so far.
    pub fn hears(&self, id: PhoneId) -> u64 {
        self.world.phone(id).received().packets
    }

    /// Everybody hangs up; the records of all calls.
    #[track_caller]
    pub fn close(mut self) -> Vec<CallRecord> {
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

pub fn released(status: u16, cause: u8) -> (Option<u16>, Option<u8>) {
    (Some(status), Some(cause))
}
