//! The virtual card is held to the rules of every card.

use std::time::Duration;
use tipring_hal::conformance::{self, Rig};
use tipring_hal::{Card, Instant, PortIndex};
use tipring_virtual::{Behaviour, Hand, VirtualCard, VirtualConfig, VirtualPort};

/// Two telephones and an exchange line, in a time that is made up.
struct VirtualRig {
    now: Instant,
    crystal_ppm: i32,
    off_hook: [bool; 2],
    /// A card that is opened anew believes all telephones to be on hook.
    forgets: bool,
    hands: Vec<Hand>,
}

impl VirtualRig {
    fn new(crystal_ppm: i32) -> Self {
        VirtualRig {
            now: Instant::from_millis(1234),
            crystal_ppm,
            off_hook: [false; 2],
            forgets: false,
            hands: Vec::new(),
        }
    }
}

impl Rig for VirtualRig {
    fn card(&mut self) -> Box<dyn Card> {
        let station = |off_hook| {
            let off_hook = off_hook && !self.forgets;
            VirtualPort::station(Behaviour { off_hook, ..Behaviour::default() })
        };
        let mut card = VirtualCard::new(VirtualConfig {
            crystal_ppm: self.crystal_ppm,
            crystal_phase: Duration::from_micros(3210),
            ports: vec![station(self.off_hook[0]), VirtualPort::line(), station(self.off_hook[1])],
            seed: 7,
            ..VirtualConfig::default()
        });
        self.hands = card.hands();
        Box::new(card)
    }

    fn move_hook(&mut self, now: Instant, port: PortIndex, off_hook: bool) {
        let hand = &mut self.hands[usize::from(port.0)];
        if off_hook { hand.off_hook(now) } else { hand.on_hook(now) }.expect("a card under test takes orders");
        self.off_hook[usize::from(port.0 / 2)] = off_hook;
    }

    fn now(&mut self) -> Instant {
        self.now
    }

    fn wait_until(&mut self, at: Instant) {
        self.now = self.now.max(at);
    }
}

#[test]
fn the_virtual_card_keeps_all_rules() {
    for crystal_ppm in [-300, 0, 80] {
        conformance::run(&mut VirtualRig::new(crystal_ppm));
    }
}

/// A card that breaks a rule must not pass, or the suite proves nothing.
#[test]
#[should_panic(expected = "samples came in the time of")]
fn a_crystal_beyond_all_bounds_is_found() {
    conformance::blocks_keep_step_with_the_clock(&mut VirtualRig::new(50_000));
}

#[test]
#[should_panic(expected = "off hook is true, but the card says false")]
fn a_card_that_forgets_its_hooks_is_found() {
    let mut rig = VirtualRig::new(0);
    rig.forgets = true;
    conformance::hook_is_true_after_reopen(&mut rig);
}
