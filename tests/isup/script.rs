//! Far ends that a user describes in TOML, each as a SIP caller or telephone meets it.

use super::caller::Caller;
use tipring::config::{Config, Reader};
use tipring::simulator::peers::{Habits, Noticed};
use tipring::simulator::player::phone_settings;
use tipring::simulator::sound;
use tipring::simulator::world::{World, WorldSettings};
use tipring::time::Duration;

const CONFIGURATION: &str = r#"
[sip]
listen = ["udp:127.0.0.1:5060"]
domain = "127.0.0.1"

[rtp]
address = "127.0.0.1"
ports = "20000-29999"

[trunk.loopback]
from = ["127.0.0.0/8"]

[phone.201]
password = "tipring-demo"

[isup.switch]
transport = "simulated"
script = "far-end.toml"
control = "none"

[[route]]
name = "telephones"
match = "2XX"
from = ["inside", "trunk/loopback", "isup/switch"]
to = "extension/{number}"
transit = true

[[route]]
name = "switch"
match = ["8.", "555XXXX", "556."]
from = ["inside", "trunk/loopback"]
transit = true
to = "isup/switch"
"#;

/// A script in place of a file.
struct Script<'t>(&'t str);

impl Reader for Script<'_> {
    fn file(&self, path: &str) -> Result<String, String> {
        assert_eq!(path, "far-end.toml");
        Ok(self.0.to_owned())
    }
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }
}

#[track_caller]
fn config(script: &str) -> Config {
    Config::parse("test.toml", CONFIGURATION, &Script(script)).unwrap_or_else(|found| panic!("{}", found.render(false)))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The example of the documentation.
fn example() -> Caller {
    Caller::new(config(include_str!("../../dialplans/far-end.toml")), 1)
}

#[test]
fn the_example_has_a_subscriber_with_ringback_in_the_voice_path() {
    let mut caller = example();
    let story = caller.call_and("5550100", seconds(12), Some(seconds(3)));
    assert!(story.order().ends_with("200 our BYE"), "{}", story.order());
    let talk = story.sound(seconds(7), seconds(8));
    let (found, part) = sound::measure(&talk, &[1_004.0]);
    assert!((found[0].level_dbm0 + 10.0).abs() < 1.0 && part > 0.99, "{found:?} {part}");
    caller.check_quiet();
}

#[test]
fn the_example_refuses_with_the_location_that_it_says() {
    let mut caller = example();
    let busy = caller.call("5550101", seconds(2));
    assert_eq!(busy.order(), "486");
    let reason = busy.line("486").reason.clone().expect("a Reason field");
    assert!(reason.contains("cause=17"), "{reason}");
    let announced = caller.call("5550102", seconds(8));
    assert_eq!(announced.order(), "183 404");
    caller.check_quiet();
}

#[test]
fn the_example_forwards_suspends_and_glares() {
    let mut caller = example();
    let forwarded = caller.call("5550103", seconds(16));
    assert!(forwarded.order().ends_with("181 180 200 BYE"), "{}", forwarded.order());
    let glare = caller.call("5550104", seconds(10));
    assert_eq!(glare.order(), "180 200 BYE");
    caller.check_quiet();
}

#[test]
fn malformed_and_unknown_messages_of_the_far_end_do_not_hurt_a_call() {
    let mut caller = example();
    let malformed = caller.call("5550105", seconds(8));
    assert_eq!(malformed.order(), "180 200 BYE");
    let unknown = caller.call("5550106", seconds(3));
    assert!(unknown.order().ends_with("480"), "{}", unknown.order());
    let blocked = caller.call("5550107", seconds(8));
    assert!(blocked.order().ends_with("200 BYE"), "{}", blocked.order());
    let next = caller.call("5550101", seconds(2));
    assert_eq!(next.order(), "486", "another circuit is taken");
    let far_end = caller.world.far_ends().switch(tipring::ids::GroupId(0)).expect("a switch");
    let busy = far_end.busy();
    assert_eq!(busy.len(), 1, "{busy:?}");
    assert!(busy[0].1.starts_with("idle, Blocked"), "{busy:?}");
}

#[test]
fn the_demo_stands_behind_a_script_unless_it_is_left_out() {
    let mut caller = example();
    assert_eq!(caller.call("80017", seconds(1)).order(), "486");
    let mut caller = Caller::new(config("demo = false\n"), 1);
    assert_eq!(caller.call("80017", seconds(1)).order(), "404");
}

/// A world with telephone 201, which answers after half a second.
fn with_telephone(script: &str) -> World {
    let config = config(script);
    let mut world = World::new(WorldSettings::new(config.clone(), 1));
    let phone = world.add_phone(phone_settings(
        &config,
        "201",
        ([127, 0, 1, 1], 5_060).into(),
        Some("tipring-demo".to_owned()),
    ));
    world.at_phone(phone, |phone, now, sent| {
        phone.set_habits(Habits {
            answers_after: Some(Duration::from_millis(500)),
            more_calls: 4,
            ..Habits::default()
        });
        phone.register(now, true, sent);
    });
    world
}

/// What telephone 201 noticed, without its registration: `ringing answered released 16`.
fn noticed(world: &World) -> String {
    let words = world.phones()[0].log().iter().filter_map(|entry| match &entry.noticed {
        Noticed::Ringing => Some("ringing".to_owned()),
        Noticed::Answered => Some("answered".to_owned()),
        Noticed::Released { cause, .. } => Some(format!("released {}", cause.unwrap_or(0))),
        _ => None,
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_far_end_calls_en_bloc_and_digit_by_digit() {
    for overlap in ["", "overlap = 0\ndigit-every = \"200ms\"\n", "overlap = 2\ncontinuity = \"passes\"\n"] {
        let script = format!(
            "[[call]]\nat = \"2s\"\ncalling = \"3125550199\"\ncalled = \"201\"\n{overlap}\
             steps = [{{ wait = \"3s\" }}, {{ rel = 16 }}]\n"
        );
        let mut world = with_telephone(&script);
        world.run_for(seconds(40));
        assert_eq!(noticed(&world), "ringing answered released 16", "{overlap}");
        let record = world.records().first().expect("a record");
        assert_eq!((record.from.as_str(), record.called.as_str()), ("isup/switch", "201"), "{overlap}");
        assert!(record.calling.as_deref().is_some_and(|number| number.ends_with("3125550199")), "{record:?}");
        let [(_, _, ended)] = world.far_end_calls() else { panic!("{:?}", world.far_end_calls()) };
        assert!(ended.answered && !ended.by_gateway && ended.cic == Some(30), "{ended:?}");
        let far_end = world.far_ends().switch(tipring::ids::GroupId(0)).expect("a switch");
        assert_eq!(far_end.busy(), [], "{overlap}");
    }
}

#[test]
fn a_call_whose_continuity_check_fails_reaches_nobody() {
    let mut world = with_telephone("[[call]]\nat = \"2s\"\ncalled = \"201\"\ncontinuity = \"fails\"\n");
    world.run_for(seconds(10));
    assert_eq!(noticed(&world), "");
    let [(_, _, ended)] = world.far_end_calls() else { panic!("{:?}", world.far_end_calls()) };
    assert_eq!((ended.cause.value(), ended.answered), (41, false));
    world.run_for(seconds(300)); // the gateway frees the circuit
    assert_eq!(world.far_ends().switch(tipring::ids::GroupId(0)).expect("a switch").busy(), []);
}

#[test]
fn calls_repeat_and_give_up_as_the_script_says() {
    let script = "[[call]]\nat = \"2s\"\ntimes = 3\nevery = \"10s\"\ncalled = \"201\"\ngives-up = \"300ms\"\n";
    let mut world = with_telephone(script);
    world.run_for(seconds(60));
    let times: Vec<u64> = world.far_end_calls().iter().map(|(at, ..)| at.as_nanos() / 1_000_000).collect();
    assert_eq!(times, [2_300, 12_300, 22_300]);
    assert!(world.far_end_calls().iter().all(|(.., ended)| ended.cause.value() == 16 && !ended.by_gateway));
    assert!(!noticed(&world).contains("answered"), "{}", noticed(&world));
}

#[test]
fn alarms_come_at_their_times_and_calls_pass_by_blocked_circuits() {
    let script = "[[alarm]]\nat = \"1s\"\ndoes = \"group-block\"\ncircuits = \"1-29\"\n\
                  [[alarm]]\nat = \"20s\"\ndoes = \"group-unblock\"\ncircuits = \"1-29\"\n\
                  [[alarm]]\nat = \"30s\"\ndoes = \"group-reset\"\ncircuits = \"1-30\"\n";
    let mut caller = Caller::new(config(script), 1);
    caller.world.run_for(seconds(2));
    assert_eq!(caller.call("80017", seconds(2)).order(), "486");
    caller.world.run_for(seconds(18));
    assert_eq!(caller.call("80017", seconds(2)).order(), "486");
    let circuits: Vec<Option<u16>> = caller.world.far_end_calls().iter().map(|(.., ended)| ended.cic).collect();
    assert_eq!(circuits, [Some(30), Some(1)]);
    // A call that is there when the circuits are reset is over.
    let story = caller.call("8000", seconds(15));
    assert!(story.order().ends_with("200 BYE"), "{}", story.order());
    let reset = story.line("BYE").reason.as_deref().unwrap_or("");
    assert!(reset.contains("cause=41"), "{reset}");
    caller.check_quiet();
}
