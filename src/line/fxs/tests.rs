use super::*;
use crate::line::Country;

const ALL_STATES: [&str; 17] = [
    "idle",
    "ringing",
    "ring pause",
    "dial tone",
    "collecting",
    "may grow",
    "waiting",
    "ringback",
    "in band",
    "talking",
    "disconnect",
    "disconnect, called",
    "busy tone",
    "locked out",
    "out of service",
    "clearing",
    "clearing, may grow",
];

const ALL_EVENTS: [&str; 27] = [
    "off hook",
    "on hook",
    "break 30",
    "break 60",
    "break 150",
    "break 500",
    "card flash",
    "key 5",
    "key #",
    "complete",
    "may grow",
    "incomplete",
    "impossible",
    "iam",
    "acm",
    "acm free",
    "acm in band",
    "cpg alerting",
    "cpg in band",
    "anm",
    "con",
    "rel 16",
    "rel 17",
    "rlc",
    "fault",
    "clear",
    "removed",
];

/// An FXS port with its own time, and everything that it put out.
struct Port {
    machine: Fxs,
    now: Instant,
    out: Vec<LineOutput>,
}

impl Port {
    fn new(abilities: Abilities, settings: Settings) -> Port {
        Port { machine: Fxs::new(abilities, settings), now: Instant::from_millis(10_000), out: Vec::new() }
    }

    fn us() -> Port {
        let mut settings = Settings::for_country(Country::US);
        settings.number = Some(String::from("105"));
        Port::new(Abilities::NONE.with(Abilities::REMOVES_BATTERY), settings)
    }

    /// Lets `millis` pass, timers included.
    fn pass(&mut self, millis: u64) {
        let until = self.now + Duration::from_millis(millis);
        while let Some(at) = self.machine.deadline().filter(|&at| at <= until) {
            assert!(at >= self.now || self.machine.deadline().is_none(), "a deadline in the past");
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now, &mut self.out);
        }
        self.now = until;
    }

    fn card(&mut self, event: &LineEventKind) {
        self.machine.handle_event(self.now, event, &mut self.out);
    }

    fn lift(&mut self) {
        self.card(&LineEventKind::OffHook);
        self.pass(20);
    }

    fn hang_up(&mut self) {
        self.card(&LineEventKind::OnHook);
        self.pass(1100);
    }

    fn tap(&mut self, millis: u64) {
        self.card(&LineEventKind::OnHook);
        self.pass(millis);
        self.card(&LineEventKind::OffHook);
        self.pass(250);
    }

    fn key(&mut self, key: char) {
        self.machine.handle_digit(self.now, Digit::from_char(key).unwrap(), &mut self.out);
    }

    fn complete(&mut self, completeness: Completeness) {
        self.machine.handle_completeness(self.now, completeness, &mut self.out);
    }

    fn trunk(&mut self, event: TrunkEvent) {
        self.machine.handle_trunk(self.now, &event, &mut self.out);
    }

    fn release(&mut self, cause: u8) {
        self.trunk(TrunkEvent::Rel(Release::here(Cause::new(cause).unwrap())));
    }

    fn iam(&mut self) {
        self.trunk(TrunkEvent::Iam(Iam { called: String::from("105"), ..Iam::default() }));
    }

    fn acm(&mut self, status: CalledStatus, in_band: bool) {
        self.trunk(TrunkEvent::Acm { status, in_band });
    }

    fn cpg(&mut self, event: Progress, in_band: bool) {
        self.trunk(TrunkEvent::Cpg { event, in_band });
    }

    /// A port in one of [`ALL_STATES`].
    fn in_state(state: &str) -> Port {
        let mut port = Port::us();
        match state {
            "idle" => {}
            "ringing" => port.iam(),
            "ring pause" => {
                port.iam();
                port.pass(2500);
            }
            "dial tone" => port.lift(),
            "collecting" | "may grow" => {
                port.lift();
                port.key('9');
                port.complete(if state == "may grow" {
                    Completeness::CompleteMayGrow
                } else {
                    Completeness::Incomplete
                });
            }
            "waiting" | "ringback" | "in band" | "busy tone" => {
                port.lift();
                port.key('9');
                port.complete(Completeness::Complete);
                match state {
                    "ringback" => port.acm(CalledStatus::SubscriberFree, false),
                    "in band" => port.acm(CalledStatus::NoIndication, true),
                    "busy tone" => port.release(17),
                    _ => {}
                }
            }
            "talking" | "disconnect" | "disconnect, called" => {
                port.iam();
                port.lift();
                if state != "talking" {
                    port.release(16);
                }
                if state == "disconnect, called" {
                    port.iam();
                }
            }
            "locked out" => {
                port.lift();
                port.pass(60_000);
            }
            "out of service" => port.card(&LineEventKind::Alarm(Alarm::Fault)),
            "clearing" | "clearing, may grow" => {
                port.iam();
                port.lift();
                port.hang_up();
                if state != "clearing" {
                    port.lift();
                    port.key('9');
                    port.complete(Completeness::CompleteMayGrow);
                }
            }
            _ => panic!("no such state: {state}"),
        }
        port.out.clear();
        port
    }

    /// Does one of [`ALL_EVENTS`].
    fn act(&mut self, event: &str) {
        match event {
            "off hook" => self.lift(),
            "on hook" => self.hang_up(),
            "break 30" => self.tap(30),
            "break 60" => self.tap(60),
            "break 150" => self.tap(150),
            "break 500" => self.tap(500),
            "card flash" => self.card(&LineEventKind::Flash),
            "key 5" => self.key('5'),
            "key #" => self.key('#'),
            "complete" => self.complete(Completeness::Complete),
            "may grow" => self.complete(Completeness::CompleteMayGrow),
            "incomplete" => self.complete(Completeness::Incomplete),
            "impossible" => self.complete(Completeness::Impossible),
            "iam" => self.iam(),
            "acm" => self.acm(CalledStatus::NoIndication, false),
            "acm free" => self.acm(CalledStatus::SubscriberFree, false),
            "acm in band" => self.acm(CalledStatus::SubscriberFree, true),
            "cpg alerting" => self.cpg(Progress::Alerting, false),
            "cpg in band" => self.cpg(Progress::InBand, false),
            "anm" => self.trunk(TrunkEvent::Anm),
            "con" => self.trunk(TrunkEvent::Con),
            "rel 16" => self.release(16),
            "rel 17" => self.release(17),
            "rlc" => self.trunk(TrunkEvent::Rlc),
            "fault" => self.card(&LineEventKind::Alarm(Alarm::Fault)),
            "clear" => self.card(&LineEventKind::Alarm(Alarm::Clear)),
            "removed" => self.card(&LineEventKind::Removed),
            _ => panic!("no such event: {event}"),
        }
    }

    /// Takes what was put out, as words.
    fn said(&mut self) -> String {
        let words: Vec<String> = self.out.drain(..).map(|output| say(&output)).collect();
        words.join(", ")
    }

    fn causes(&self) -> Vec<u8> {
        let release = |output: &LineOutput| match output {
            LineOutput::Trunk(TrunkEvent::Rel(release)) => Some(release.cause.value()),
            _ => None,
        };
        self.out.iter().filter_map(release).collect()
    }
}

fn say(output: &LineOutput) -> String {
    let us = Country::US;
    let on = |on: bool| if on { "on" } else { "off" };
    match output {
        LineOutput::Command(LineCommand::Ring) => String::from("ring"),
        LineOutput::Command(LineCommand::StopRing) => String::from("stop ring"),
        LineOutput::Command(LineCommand::Battery(battery)) => format!("battery {}", on(*battery)),
        LineOutput::Command(command) => format!("{command:?}"),
        LineOutput::Tone(None) => String::from("no tone"),
        LineOutput::Tone(Some(tone)) if *tone == us.dial => String::from("dial tone"),
        LineOutput::Tone(Some(tone)) if *tone == us.busy => String::from("busy tone"),
        LineOutput::Tone(Some(tone)) if *tone == us.reorder => String::from("reorder"),
        LineOutput::Tone(Some(tone)) if *tone == us.ringback => String::from("ringback"),
        LineOutput::Tone(Some(tone)) => format!("{tone:?}"),
        LineOutput::DetectDigits(detect) => format!("digits {}", on(*detect)),
        LineOutput::AudioOpen(open) => format!("audio {}", on(*open)),
        LineOutput::Trunk(TrunkEvent::Iam(iam)) => format!("IAM {}", iam.called),
        LineOutput::Trunk(TrunkEvent::Acm { .. }) => String::from("ACM"),
        LineOutput::Trunk(TrunkEvent::Anm) => String::from("ANM"),
        LineOutput::Trunk(TrunkEvent::Rel(release)) => format!("REL {}", release.cause),
        LineOutput::Trunk(TrunkEvent::Rlc) => String::from("RLC"),
        LineOutput::Trunk(event) => format!("{event:?}"),
        LineOutput::Refuse(release) => format!("refuse {}", release.cause),
        LineOutput::Digits(digits) => format!("digits {digits}?"),
        LineOutput::Flash => String::from("flash"),
    }
}

/// Every state with every event: what is put out, and the status after it. What does nothing at all
/// stands together at the end of its state.
fn table() -> String {
    let mut table = String::new();
    for state in ALL_STATES {
        let mut nothing = Vec::new();
        table += &format!("{state}\n");
        for event in ALL_EVENTS {
            let mut port = Port::in_state(state);
            let before = port.machine.status();
            port.act(event);
            let after = port.machine.status();
            let said = port.said();
            if said.is_empty() && before == after {
                nothing.push(event);
            } else {
                let said = if said.is_empty() { said } else { format!("; {said}") };
                table += &format!("  {event}: {after:?}{said}\n");
            }
        }
        table += &format!("  nothing: {}\n", nothing.join(", "));
    }
    table
}

#[test]
fn every_event_in_every_state_does_what_the_table_says() {
    let table = table();
    let expected = include_str!("table.txt");
    for (line, (is, should)) in table.lines().zip(expected.lines()).enumerate() {
        assert_eq!(is, should, "line {} of src/line/fxs/table.txt", line + 1);
    }
    assert_eq!(table, expected, "src/line/fxs/table.txt");
}

/// The outputs of `act` on a fresh port with the abilities.
fn with(abilities: Abilities, act: impl FnOnce(&mut Port)) -> String {
    let mut port = Port::new(abilities, Settings::for_country(Country::US));
    act(&mut port);
    port.said()
}

#[test]
fn the_bell_follows_the_cadence_to_the_millisecond_until_nobody_answers() {
    let mut port = Port::us();
    port.iam();
    let began = port.now;
    let mut times = Vec::new();
    while port.machine.status() == LineStatus::Ringing {
        port.now = port.machine.deadline().expect("a ringing port waits for something");
        port.machine.handle_timeout(port.now, &mut port.out);
        times.push(port.now.since(began).as_millis());
    }
    let expected: Vec<u128> = (0..10).flat_map(|ring| [ring * 6000 + 2000, ring * 6000 + 6000]).collect();
    assert_eq!(times, expected);
    assert_eq!(port.causes(), [19]);
    assert!(port.said().ends_with("ring, stop ring, REL 19"));
    port.trunk(TrunkEvent::Rlc);
    assert!(!port.machine.has_call());
}

#[test]
fn a_process_that_slept_does_not_ring_the_missed_rings() {
    let mut port = Port::us();
    port.iam();
    port.now += Duration::from_secs(45);
    port.machine.handle_timeout(port.now, &mut port.out);
    assert_eq!(port.said(), "ACM, ring, stop ring");
    assert!(port.machine.deadline().is_some_and(|at| at > port.now));
}

#[test]
fn a_call_from_lifting_to_hanging_up() {
    let mut port = Port::us();
    port.lift();
    assert_eq!(port.said(), "dial tone, digits on");
    port.key('2');
    assert_eq!(port.said(), "digits 2?, no tone");
    port.complete(Completeness::Incomplete);
    port.key('0');
    port.complete(Completeness::Incomplete);
    port.key('3');
    port.complete(Completeness::Complete);
    let iam = Iam { called: String::from("203"), calling: Some(String::from("105")), ..Iam::default() };
    assert!(port.out.contains(&LineOutput::Trunk(TrunkEvent::Iam(iam))));
    assert_eq!(port.said(), "digits 20?, digits 203?, IAM 203");
    port.acm(CalledStatus::SubscriberFree, false);
    port.trunk(TrunkEvent::Anm);
    assert_eq!(port.said(), "ringback, no tone, audio on");
    port.hang_up();
    assert_eq!(port.said(), "REL 16, audio off, digits off");
    assert!(port.machine.has_call());
    port.trunk(TrunkEvent::Rlc);
    assert!(!port.machine.has_call() && port.machine.deadline().is_none());
}

#[test]
fn who_does_not_dial_hears_reorder_and_then_nothing() {
    let mut port = Port::us();
    port.lift();
    port.pass(15_900);
    assert_eq!(port.said(), "dial tone, digits on");
    port.pass(200);
    assert_eq!(port.said(), "reorder, digits off");
    port.pass(30_000);
    assert_eq!(port.said(), "battery off, no tone");
    port.pass(600);
    assert_eq!((port.said(), port.machine.status()), (String::from("battery on"), LineStatus::LockedOut));
    port.pass(3_600_000);
    assert_eq!(port.said(), "");
    assert_eq!(port.machine.deadline(), None);
    port.hang_up();
    assert_eq!(port.machine.status(), LineStatus::Idle);
}

#[test]
fn a_number_that_may_grow_is_sent_after_three_seconds() {
    let mut port = Port::in_state("may grow");
    port.pass(2999);
    assert_eq!(port.said(), "");
    port.pass(1);
    assert_eq!(port.said(), "IAM 9");
}

#[test]
fn a_bouncing_hook_answers_once() {
    let mut port = Port::us();
    port.iam();
    port.out.clear();
    for event in [LineEventKind::OffHook, LineEventKind::OnHook].iter().cycle().take(7) {
        port.card(event);
        port.pass(2);
    }
    port.pass(1000);
    assert_eq!(port.said(), "ANM, stop ring, digits on, audio on");
}

#[test]
fn lifting_just_before_the_call_comes_is_an_answer() {
    let mut port = Port::us();
    port.card(&LineEventKind::OffHook);
    port.pass(15);
    port.iam();
    port.pass(10);
    assert_eq!(port.said(), "ACM, ring, ANM, stop ring, digits on, audio on");
}

#[test]
fn who_lifts_just_after_the_caller_gave_up_is_told_so_and_then_gets_dial_tone() {
    let mut port = Port::in_state("ringing");
    port.card(&LineEventKind::OffHook);
    port.pass(10);
    port.release(16);
    port.pass(30);
    assert_eq!(port.said(), "RLC, stop ring, battery off");
    port.pass(600);
    assert_eq!(port.said(), "battery on, dial tone, digits on");
    // Later nobody thinks of that call any more.
    let mut port = Port::in_state("ringing");
    port.release(16);
    port.pass(500);
    port.lift();
    assert_eq!(port.said(), "RLC, stop ring, dial tone, digits on");
}

#[test]
fn breaks_are_hits_flashes_or_hang_ups_by_their_length() {
    for millis in 1..=1300 {
        let mut port = Port::in_state("talking");
        port.card(&LineEventKind::OnHook);
        port.pass(millis);
        port.card(&LineEventKind::OffHook);
        port.pass(2000);
        let expected = match millis {
            ..300 => "",
            300..=1000 => "flash",
            // The line was free again before the loop closed: that is a new call.
            _ => "REL 16, audio off, digits off, dial tone, digits on",
        };
        assert_eq!(port.said(), expected, "{millis} ms");
    }
}

#[test]
fn rotary_digits_are_counted_through_bounce() {
    let mut port = Port::us();
    port.lift();
    port.out.clear();
    for pulses in [3u32, 10] {
        for _ in 0..pulses {
            for (event, millis) in [
                (LineEventKind::OnHook, 3),
                (LineEventKind::OffHook, 2),
                (LineEventKind::OnHook, 55),
                (LineEventKind::OffHook, 1),
                (LineEventKind::OnHook, 2),
                (LineEventKind::OffHook, 37),
            ] {
                port.card(&event);
                port.pass(millis);
            }
        }
        port.pass(700);
    }
    assert_eq!(port.said(), "no tone, digits 3?, digits 30?");
}

#[test]
fn a_card_that_cannot_remove_battery_plays_reorder_at_once() {
    let said = with(Abilities::NONE, |port| {
        port.iam();
        port.lift();
        port.out.clear();
        port.release(16);
    });
    assert_eq!(said, "RLC, audio off, reorder, digits off");
}

#[test]
fn what_the_card_does_by_itself_is_not_done_again() {
    let abilities = Abilities::DEBOUNCES
        .with(Abilities::TIMES_FLASH)
        .with(Abilities::DETECTS_DIGITS)
        .with(Abilities::COUNTS_PULSES);
    let said = with(abilities, |port| {
        port.card(&LineEventKind::OffHook);
        port.card(&LineEventKind::Digit(Digit::from_char('1').unwrap()));
        port.card(&LineEventKind::PulseDigit(Digit::from_char('2').unwrap()));
        port.complete(Completeness::Complete);
        port.trunk(TrunkEvent::Con);
        port.card(&LineEventKind::Flash);
        port.card(&LineEventKind::OnHook);
    });
    assert_eq!(said, "dial tone, digits 1?, no tone, digits 12?, IAM 12, audio on, flash, REL 16, audio off");
}

#[test]
fn a_call_that_comes_while_the_line_is_cleared_rings_when_the_user_has_hung_up() {
    let mut port = Port::in_state("disconnect, called");
    port.pass(499);
    assert_eq!(port.said(), "");
    // A card sees the hang-up only when battery is back.
    port.pass(2);
    port.card(&LineEventKind::OnHook);
    port.pass(200);
    assert_eq!(port.said(), "battery on, ACM, ring");
    port.lift();
    assert_eq!(port.said(), "ANM, stop ring, digits on, audio on");
}

#[test]
fn releases_that_cross_are_each_answered_and_leave_nothing() {
    let mut port = Port::in_state("clearing");
    port.release(16);
    assert_eq!(port.said(), "RLC");
    assert!(!port.machine.has_call());
    port.trunk(TrunkEvent::Rlc);
    port.iam();
    assert_eq!(port.said(), "ACM, ring");
}

#[test]
fn a_port_that_recovers_knows_where_its_handset_is() {
    let mut port = Port::in_state("out of service");
    port.lift();
    port.card(&LineEventKind::Alarm(Alarm::Clear));
    assert_eq!(port.machine.status(), LineStatus::LockedOut);
    let mut port = Port::in_state("talking");
    port.card(&LineEventKind::Alarm(Alarm::Fault));
    assert_eq!(port.causes(), [27]);
    port.trunk(TrunkEvent::Rlc);
    port.card(&LineEventKind::OnHook);
    port.pass(300);
    port.card(&LineEventKind::Alarm(Alarm::Clear));
    assert_eq!(port.machine.status(), LineStatus::Idle);
}

/// What the other leg may rely on, whatever happens on the line.
#[derive(Default)]
struct OtherLeg {
    in_call: bool,
    owes_rlc: bool,
    awaits_rlc: bool,
    answered: bool,
}

impl OtherLeg {
    fn hear(&mut self, output: &LineOutput) {
        let LineOutput::Trunk(event) = output else {
            return;
        };
        match event {
            TrunkEvent::Iam(iam) => {
                assert!(!self.in_call && !self.owes_rlc && !iam.called.is_empty(), "a call begins in a call");
                *self = OtherLeg { in_call: true, ..OtherLeg::default() };
            }
            TrunkEvent::Acm { .. } => assert!(self.in_call && !self.answered),
            TrunkEvent::Anm => {
                assert!(self.in_call && !self.answered, "answered twice, or without a call");
                self.answered = true;
            }
            TrunkEvent::Rel(_) => {
                assert!(self.in_call && !self.owes_rlc, "a REL too many");
                (self.in_call, self.owes_rlc) = (false, true);
            }
            TrunkEvent::Rlc => {
                assert!(self.awaits_rlc, "an RLC without a REL");
                self.awaits_rlc = false;
            }
            event => panic!("a line never says {event:?}"),
        }
    }
}

#[test]
fn every_call_ends_by_one_release_whatever_happens() {
    use crate::rng::Seed;
    for seed in 0..300 {
        let mut rng = Seed::from_number(seed).fork("line").rng();
        let mut port = Port::us();
        let mut leg = OtherLeg::default();
        let mut calls = 0;
        for _ in 0..400 {
            match rng.below(16) {
                0..=2 => port.card(&LineEventKind::OffHook),
                3..=4 => port.card(&LineEventKind::OnHook),
                5 => port.key(if rng.chance(1, 5) { '#' } else { '7' }),
                6 => port.complete(Completeness::Complete),
                7 => port.complete(Completeness::CompleteMayGrow),
                8 if !leg.in_call => {
                    port.iam();
                    if port.out.iter().all(|output| !matches!(output, LineOutput::Refuse(_))) {
                        calls += 1;
                        leg = OtherLeg { in_call: true, awaits_rlc: leg.awaits_rlc, ..OtherLeg::default() };
                    }
                }
                9 if leg.in_call => {
                    leg.in_call = false;
                    leg.awaits_rlc = true;
                    port.release([16, 17, 34][rng.below(3) as usize]);
                }
                10 if leg.owes_rlc => {
                    leg.owes_rlc = false;
                    port.trunk(TrunkEvent::Rlc);
                }
                11 => port.trunk(TrunkEvent::Anm),
                12 => port.acm(CalledStatus::SubscriberFree, rng.chance(1, 2)),
                13 if rng.chance(1, 20) => port.card(&LineEventKind::Alarm(Alarm::Fault)),
                14 => port.card(&LineEventKind::Alarm(Alarm::Clear)),
                _ => {}
            }
            let pause = [0, 1, 15, 60, 500, 3000, 20_000][rng.below(7) as usize];
            port.pass(rng.below(pause + 1));
            port.out.drain(..).for_each(|output| leg.hear(&output));
            assert_eq!(port.machine.has_call(), leg.in_call || leg.owes_rlc, "seed {seed}");
        }
        assert!(calls > 0, "seed {seed} made no call");
    }
}
