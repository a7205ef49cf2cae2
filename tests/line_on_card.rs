//! The machine of a port on a virtual card, with the person at its telephone: whole calls as they
//! happen on the line, in a time that is made up.
#![allow(clippy::unwrap_used, reason = "in the helpers of a test, a panic is a failure")]

use std::time::Duration;
use tipring::line::{Completeness, Country, LineOutput, LinePort, LineStatus, Settings};
use tipring::time::Instant;
use tipring::trunk::{Cause, Iam, Release, TrunkEvent};
use tipring_hal::{Card, CardConfig, Digit, LineCommand, Lines, PortIndex, Readiness};
use tipring_virtual::{Behaviour, Hand, VirtualCard, VirtualConfig, VirtualPort};

const PORT: PortIndex = PortIndex(0);

/// One telephone, its line, and the machine of the port.
struct World {
    began: Instant,
    now: Instant,
    hand: Hand,
    lines: Box<dyn Lines>,
    machine: LinePort,
    /// What the port said to the other leg, and the millisecond.
    said: Vec<(u128, TrunkEvent)>,
    dialled: Option<String>,
}

impl World {
    fn new(behaviour: Behaviour) -> World {
        let ports = vec![VirtualPort::station(behaviour)];
        let mut card = VirtualCard::new(VirtualConfig { ports, seed: 3, ..VirtualConfig::default() });
        let hand = card.hands().pop().unwrap();
        let info = card.info().ports[0];
        let now = Instant::from_millis(1000);
        let lines = Box::new(card).open(now, &CardConfig::default()).unwrap().lines;
        let machine = LinePort::new(info, Settings::for_country(Country::US));
        World { began: now, now, hand, lines, machine, said: Vec::new(), dialled: None }
    }

    /// Lets time pass until `millis` after the opening.
    fn until(&mut self, millis: u64) {
        let until = self.began + Duration::from_millis(millis);
        loop {
            let mut out = Vec::new();
            while let Some(event) = self.lines.event(self.now) {
                self.machine.handle_event(event.at, &event.kind, &mut out);
            }
            self.machine.handle_timeout(self.now, &mut out);
            self.carry_out(out);
            let card_at = match self.lines.readiness() {
                Readiness::At(at) => at,
                _ => Instant::MAX,
            };
            let next = card_at.min(self.machine.deadline().unwrap_or(Instant::MAX));
            if next > until {
                self.now = until;
                return;
            }
            self.now = self.now.max(next);
        }
    }

    fn trunk(&mut self, event: TrunkEvent) {
        let mut out = Vec::new();
        self.machine.handle_trunk(self.now, &event, &mut out);
        self.carry_out(out);
    }

    fn carry_out(&mut self, outputs: Vec<LineOutput>) {
        for output in outputs {
            let mut more = Vec::new();
            match output {
                LineOutput::Command(command) => self.lines.command(self.now, PORT, command).unwrap(),
                LineOutput::Trunk(event) => {
                    self.said.push((self.now.since(self.began).as_millis(), event.clone()));
                    if let TrunkEvent::Rel(_) = event {
                        self.machine.handle_trunk(self.now, &TrunkEvent::Rlc, &mut more);
                    }
                }
                LineOutput::Refuse(release) => panic!("the call is refused: {release:?}"),
                LineOutput::Digits(digits) => {
                    let completeness = if digits.len() < 3 { Completeness::Incomplete } else { Completeness::Complete };
                    self.dialled = Some(digits);
                    self.machine.handle_completeness(self.now, completeness, &mut more);
                }
                _ => {}
            }
            self.carry_out(more);
        }
    }

    fn call(&mut self) {
        self.trunk(TrunkEvent::Iam(Iam { called: "101".into(), ..Iam::default() }));
    }

    fn release(&mut self) {
        self.trunk(TrunkEvent::Rel(Release::user(Cause::NORMAL)));
    }

    /// When the port said the event that `is` describes.
    fn times(&self, is: impl Fn(&TrunkEvent) -> bool) -> Vec<u128> {
        self.said.iter().filter(|(_, event)| is(event)).map(|(at, _)| *at).collect()
    }
}

fn answers(hangs_up_after_s: Option<u64>) -> Behaviour {
    Behaviour {
        answers_after: Some(Duration::from_secs(1)),
        hangs_up_after: hangs_up_after_s.map(Duration::from_secs),
        ..Behaviour::default()
    }
}

#[test]
fn a_person_who_answers_and_hangs_up_makes_a_whole_call() {
    let mut world = World::new(answers(Some(3)));
    world.call();
    world.until(10_000);
    // Lifted at 1000, tripped 40 ms later, believed after 20 ms.
    assert_eq!(world.times(|event| *event == TrunkEvent::Anm), [1060]);
    // Down at 4000, and known when it can no longer be a flash.
    let released = world.times(|event| *event == TrunkEvent::Rel(Release::user(Cause::NORMAL)));
    assert!(released.len() == 1 && (5000..5020).contains(&released[0]), "{released:?}");
    assert_eq!((world.machine.status(), world.machine.has_call()), (LineStatus::Idle, false));
}

#[test]
fn a_telephone_can_be_called_again_as_soon_as_the_caller_has_gone() {
    let mut world = World::new(answers(None));
    for call in 0..20 {
        world.call();
        world.until(call * 5000 + 3000);
        assert_eq!(world.machine.status(), LineStatus::Talking, "call {call}");
        world.release();
        // Every other caller tries again at once, while the person still holds the handset.
        if call % 2 == 0 {
            world.until(call * 5000 + 5000);
            assert_eq!(world.machine.status(), LineStatus::Idle, "call {call}");
            assert!(!world.hand.state().off_hook);
        }
    }
    assert_eq!(world.times(|event| *event == TrunkEvent::Anm).len(), 20);
    assert_eq!(world.times(|event| matches!(event, TrunkEvent::Rel(_))), []);
}

#[test]
fn a_caller_who_gives_up_while_it_rings_leaves_the_telephone_at_rest() {
    let mut world = World::new(answers(None));
    for call in 0..30 {
        world.call();
        world.until(call * 20_000 + 900 + call * 10);
        world.release();
        world.until((call + 1) * 20_000);
        assert_eq!(world.machine.status(), LineStatus::Idle, "given up after {} ms", 900 + call * 10);
        assert!(!world.hand.state().off_hook);
    }
}

#[test]
fn a_telephone_that_is_off_hook_from_the_start_is_busy_for_ever() {
    let mut world = World::new(Behaviour { off_hook: true, ..Behaviour::default() });
    for (millis, status) in [(100, LineStatus::Dialling), (20_000, LineStatus::Tone), (600_000, LineStatus::LockedOut)]
    {
        world.until(millis);
        assert_eq!(world.machine.status(), status);
        let mut out = Vec::new();
        let iam = TrunkEvent::Iam(Iam { called: "104".into(), ..Iam::default() });
        world.machine.handle_trunk(world.now, &iam, &mut out);
        assert_eq!(out, [LineOutput::Refuse(Release::user(Cause::BUSY))]);
    }
}

#[test]
fn nobody_answers_and_the_bell_stops_after_a_minute() {
    let mut world = World::new(Behaviour::default());
    world.call();
    world.until(59_999);
    assert_eq!(world.machine.status(), LineStatus::Ringing);
    world.until(120_000);
    assert_eq!(world.times(|event| *event == TrunkEvent::Rel(Release::here(Cause::NO_ANSWER))), [60_000]);
    assert!(!world.hand.state().ringing);
}

#[test]
fn a_rotary_telephone_dials_through_the_bounce_of_its_contacts() {
    let mut world = World::new(Behaviour::default());
    world.hand.off_hook(world.now).unwrap();
    world.until(500);
    let digits: Vec<Digit> = "205".chars().filter_map(Digit::from_char).collect();
    world.hand.dial_pulses(world.now, &digits).unwrap();
    world.until(8000);
    assert_eq!(world.dialled.as_deref(), Some("205"));
    assert_eq!(world.machine.status(), LineStatus::Waiting);
}

#[test]
fn a_flash_is_told_and_ends_nothing() {
    let mut world = World::new(answers(None));
    world.call();
    world.until(3000);
    world.hand.flash(world.now).unwrap();
    let mut flashes = 0;
    for millis in 3000..6000 {
        world.now = world.began + Duration::from_millis(millis);
        let mut out = Vec::new();
        while let Some(event) = world.lines.event(world.now) {
            world.machine.handle_event(event.at, &event.kind, &mut out);
        }
        world.machine.handle_timeout(world.now, &mut out);
        flashes += out.iter().filter(|output| **output == LineOutput::Flash).count();
    }
    assert_eq!((flashes, world.machine.status()), (1, LineStatus::Talking));
}

#[test]
fn a_battery_command_is_taken_by_the_card() {
    // What the other tests rest on: the card can make the disconnect pulse.
    let mut world = World::new(Behaviour::default());
    assert!(world.lines.command(world.now, PORT, LineCommand::Battery(false)).is_ok());
}
