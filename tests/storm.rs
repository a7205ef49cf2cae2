//! Many calls at once through the whole gateway, over networks from good to hopeless: UDP, TCP and TLS,
//! loss, reordering, duplicates, dying connections.
//!
//! Every call ends on both sides, each has exactly one record, and the gateway is empty afterwards.
//! `TIPRING_CALLS` sets the number of calls per step (10,000 in long runs), `TIPRING_SEED` the seed:
//!
//! ```text
//! TIPRING_CALLS=10000 cargo test --release --test storm -- --nocapture
//! ```
//!
//! 10,000 calls take 11 to 14 s a step beside other work on two cores, and 37 MiB.
//!
//! `TIPRING_RECORD=FILE` keeps the packets of the gateway as pcapng, for one step at a time.

use std::collections::BTreeMap;
use std::net::IpAddr;
use tipring::config::Config;
use tipring::rng::{Rng, Seed};
use tipring::simulator::network::{Faults, Millionths};
use tipring::simulator::papers::Papers;
use tipring::simulator::peers::{Habits, Noticed};
use tipring::simulator::player::phone_settings_by;
use tipring::simulator::world::{PhoneId, World, WorldSettings};
use tipring::sip::Transport;
use tipring::time::Duration;

/// Nothing may be left after this: a call may ring for 180 s, an INVITE of ours for 300 s, and an accepted
/// connection stays open for longer than a registration lasts.
const QUIET: Duration = Duration::from_secs(4_200);
/// Accounts, 200 to 211, which speak UDP, TCP and TLS in turn.
const PHONES: usize = 12;
const TRANSPORTS: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];
/// Peers without registration, reached at fixed addresses.
const PEERS: [(&str, [u8; 4], Transport); 3] = [
    ("700", [127, 0, 2, 1], Transport::Udp),
    ("701", [127, 0, 2, 2], Transport::Tcp),
    ("702", [127, 0, 2, 3], Transport::Tls),
];

fn config() -> Config {
    let mut text = String::from(
        r#"
[sip]
listen = ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060", "tls:127.0.0.1:5061"]
certificate = "gateway.pem"
key = "gateway.key"
domain = "127.0.0.1"

[rtp]
address = "127.0.0.1"
ports = "20000-29999"

[trunk.loopback]
from = ["127.0.0.0/8"]

[trunk.udp]
to = "sip:127.0.2.1:5060"

[trunk.tcp]
to = "sip:127.0.2.2:5060;transport=tcp"

[trunk.tls]
to = "sip:127.0.2.3:5061;transport=tls"

[[route]]
name = "telephones"
match = "2XX"
from = ["inside", "trunk/loopback"]
to = "extension/{number}"

[[route]]
name = "echo"
match = "600"
from = ["inside", "trunk/loopback"]
to = "service/echo"

[group.all]
members = ["phone/200", "phone/201", "phone/202", "phone/203", "trunk/udp/700"]
for = "4s"

[group.order]
members = ["phone/204", "phone/205", "trunk/tcp/701", "trunk/tls/702", "phone/206"]
ring = "in-order"
for = "2s"

[[route]]
name = "all at once"
match = "800"
from = ["inside", "trunk/loopback"]
transit = true
to = "group/all"

[[route]]
name = "one after the other"
match = "801"
from = ["inside", "trunk/loopback"]
transit = true
to = "group/order"

[[route]]
name = "a peer by UDP"
match = "700"
from = ["inside", "trunk/loopback"]
transit = true
to = "trunk/udp"

[[route]]
name = "a peer by TCP"
match = "701"
from = ["inside", "trunk/loopback"]
transit = true
to = "trunk/tcp"

[[route]]
name = "a peer by TLS"
match = "702"
from = ["inside", "trunk/loopback"]
transit = true
to = "trunk/tls"
"#,
    );
    for number in 0..PHONES {
        text.push_str(&format!("\n[phone.{}]\npassword = \"tipring-demo\"\n", 200 + number));
        // Some send calls on; 208 and 209 to each other, which must end somewhere.
        text.push_str(match 200 + number {
            205 => "forward = { busy = \"201\", no-answer = \"202\", after = \"2s\" }\n",
            206 => "forward = { unreachable = \"207\" }\n",
            208 => "forward = { always = \"209\" }\n",
            209 => "forward = { always = \"208\" }\n",
            _ => "",
        });
    }
    Config::parse("storm.toml", &text, &Papers).unwrap_or_else(|findings| panic!("{findings:?}"))
}

/// What a step of the storm does to signalling.
#[derive(Clone, Copy, Debug)]
struct Step {
    loss_percent: u32,
    reorders: bool,
    dies: bool,
}

impl Step {
    fn faults(self) -> Faults {
        let some = |on: bool, share: u32| Millionths(if on { share } else { 0 });
        Faults {
            delay: Duration::from_millis(10),
            jitter: Duration::from_millis(10),
            loss: Millionths(self.loss_percent * 10_000),
            burst_length: 1,
            duplicate: some(self.reorders, 20_000),
            reorder: some(self.reorders, 50_000),
            reorder_by: Duration::from_millis(60),
            dies: some(self.dies, 10_000),
            handshake_fails: some(self.dies, 10_000),
            ..Faults::default()
        }
    }
}

fn environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

struct Storm {
    world: World,
    rng: Rng,
    callers: Vec<PhoneId>,
}

impl Storm {
    fn new(seed: u64, step: Step) -> Storm {
        let config = config();
        let records = std::env::var_os("TIPRING_RECORD").is_some();
        let settings = WorldSettings { signalling: step.faults(), records, ..WorldSettings::new(config.clone(), seed) };
        let mut world = World::new(settings);
        let mut callers = Vec::new();
        for index in 0..PHONES {
            let name = (200 + index).to_string();
            let address = ([127, 0, 1, 1 + index as u8], 5_060).into();
            let by = TRANSPORTS[index % TRANSPORTS.len()];
            let password = Some("tipring-demo".to_owned());
            callers.push(world.add_phone(phone_settings_by(by, &config, &name, address, password)));
        }
        for (name, ip, transport) in PEERS {
            let address = (IpAddr::from(ip), 5_060).into();
            callers.push(world.add_phone(phone_settings_by(transport, &config, name, address, None)));
        }
        let rng = Seed::from_number(seed).fork("people").rng();
        let mut storm = Storm { world, rng, callers };
        storm.register();
        storm.world.run_for(Duration::from_secs(40));
        storm
    }

    /// Those whose connection died are not reached before they register again.
    fn register(&mut self) {
        for phone in &self.callers[..PHONES] {
            self.world.at_phone(*phone, |phone, now, sent| phone.register(now, true, sent));
        }
    }

    fn call(&mut self) {
        let caller = self.callers[self.rng.below(self.callers.len() as u64) as usize];
        let number = match self.rng.below(11) {
            0 => "600".to_owned(),
            1 => "299".to_owned(),
            2 => "700".to_owned(),
            3 => "701".to_owned(),
            4 => "702".to_owned(),
            5 => "800".to_owned(),
            6 => "801".to_owned(),
            _ => (200 + self.rng.below(PHONES as u64)).to_string(),
        };
        let some = |rng: &mut Rng, from: u64, to: u64| Some(Duration::from_millis(rng.between(from, to)));
        let rng = &mut self.rng;
        let habits = Habits {
            answers_after: some(rng, 0, 3_000),
            rejects_with: rng.chance(1, 8).then_some(603),
            redirects_to: rng.chance(1, 8).then_some("600"),
            announces: rng.chance(1, 4),
            hangs_up_after: some(rng, 0, 4_000),
            gives_up_after: some(rng, 0, 12_000),
            offers_again_after: rng.chance(1, 3).then(|| Duration::from_millis(rng.between(0, 2_000))),
            more_calls: 5,
            speaks: false,
        };
        self.world.at_phone(caller, |phone, now, sent| {
            phone.set_habits(habits);
            phone.call(now, &number, sent);
        });
    }

    /// Makes the calls, lets all end, and checks what must hold.
    fn run(mut self, step: Step, calls: u64) {
        for number in 0..calls {
            self.call();
            self.world.run_for(Duration::from_millis(self.rng.between(1, 120)));
            if number % 300 == 299 {
                self.register();
            }
        }
        self.world.run_for(Duration::from_secs(20));
        for phone in self.callers.clone() {
            self.world.at_phone(phone, |phone, now, sent| phone.hang_up_all(now, sent));
        }
        self.world.run_for(QUIET);
        self.check(step, calls);
    }

    fn check(mut self, step: Step, calls: u64) {
        let world = &self.world;
        if let (Some(file), Some(recording)) = (std::env::var_os("TIPRING_RECORD"), world.recording()) {
            std::fs::write(file, recording.packets()).expect("the file can be written");
        }
        let problems = world.checkers().after_quiet(&world.gateway().counts());
        assert!(problems.is_empty(), "{step:?}: {problems:#?}\n{:#?}", world.gateway().call_summaries());
        let mut answered = 0;
        for phone in world.phones() {
            let user = &phone.settings().user;
            let counts = phone.endpoint().counts();
            let left = (counts.sessions, counts.client_transactions, counts.server_transactions, counts.deadlines);
            // An idle connection of ours is closed after three minutes; accepted ones stay.
            assert_eq!((phone.call_count(), left), (0, (0, 0, 0, 0)), "{step:?}: left at {user}");
            let mut ends: BTreeMap<u64, u32> = BTreeMap::new();
            for entry in phone.log() {
                match &entry.noticed {
                    Noticed::Released { how: "last word", .. } => {}
                    Noticed::Released { .. } => *ends.entry(entry.call).or_default() += 1,
                    Noticed::Answered => answered += 1,
                    Noticed::Ringing | Noticed::Ringback => drop(ends.entry(entry.call).or_default()),
                    _ => {}
                }
            }
            let wrong: Vec<_> = ends.iter().filter(|(_, times)| **times != 1).collect();
            assert!(wrong.is_empty(), "{step:?}: calls of {user} did not end once: {wrong:?}");
        }
        let records = world.records().len() as u64;
        let counters = self.world.network().counters();
        println!("{step:?}: {calls} calls, {records} records, {answered} answers at telephones, {counters:?}");
        assert!(records <= calls, "{step:?}: {records} records of {calls} calls");
        let reached = if step.dies || step.loss_percent > 10 { calls * 3 / 4 } else { calls * 95 / 100 };
        assert!(records >= reached, "{step:?}: only {records} of {calls} calls reached the gateway");
        assert!(answered > calls / 5, "{step:?}: only {answered} answers");
    }
}

fn storm(name: &str, step: Step) {
    let seed = environment("TIPRING_SEED").unwrap_or(1);
    let calls = environment("TIPRING_CALLS").unwrap_or(300);
    println!("seed {seed}; to repeat: TIPRING_SEED={seed} TIPRING_CALLS={calls} cargo test --test storm {name}");
    Storm::new(seed, step).run(step, calls);
}

#[test]
fn loss_0_percent() {
    storm("loss_0_percent", Step { loss_percent: 0, reorders: false, dies: false });
}

#[test]
fn loss_1_percent() {
    storm("loss_1_percent", Step { loss_percent: 1, reorders: true, dies: false });
}

#[test]
fn loss_5_percent() {
    storm("loss_5_percent", Step { loss_percent: 5, reorders: true, dies: false });
}

#[test]
fn loss_10_percent_and_dying_connections() {
    storm("loss_10_percent_and_dying_connections", Step { loss_percent: 10, reorders: true, dies: true });
}

#[test]
fn loss_20_percent_and_dying_connections() {
    storm("loss_20_percent_and_dying_connections", Step { loss_percent: 20, reorders: true, dies: true });
}

#[test]
fn loss_30_percent_and_dying_connections() {
    storm("loss_30_percent_and_dying_connections", Step { loss_percent: 30, reorders: true, dies: true });
}

#[test]
fn dying_connections_alone() {
    storm("dying_connections_alone", Step { loss_percent: 0, reorders: false, dies: true });
}
