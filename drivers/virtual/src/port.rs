//! One port: battery, loop, ringing, contact bounce, and what the person there does by himself.
//!
//! ```text
//!            moves                 bounces               report
//!   hand ------------> handset -----------> contact --------------> OffHook, OnHook
//!   person ----------> (lifted)             (closed)   ringing: after ring trip
//!                                                      no battery: not before it is back
//! ```

use crate::hand::{Act, Hear, LineWires, Order, Say};
use crate::{Behaviour, VirtualPort, sound};
use rtrb::PushError;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tipring_hal::{Digit, Instant, LineCommand, LineEventKind, PortKind};

/// A flash opens the loop for this long: within the window of every exchange in North America.
const FLASH: Duration = Duration::from_millis(500);
/// A dial pulse: the loop opens for 60 ms of 100.
const PULSE_BREAK: Duration = Duration::from_millis(60);
const PULSE_PERIOD: Duration = Duration::from_millis(100);
/// Time between two digits of a rotary dial.
const BETWEEN_DIGITS: Duration = Duration::from_millis(700);
/// Loop current must flow this long during ringing before the card trips the ring: direct current
/// has to be told from the ringing current by two of its half waves.
const RING_TRIP: Duration = Duration::from_millis(40);
/// After this silence of the bell, a ring is a new call to the person.
const RING_FORGOTTEN: Duration = Duration::from_secs(6);
/// A person hangs up this long after the line went dead.
const REACTION: Duration = Duration::from_millis(300);
/// When the audio half takes nothing, the orders behind it are looked at again after this time.
const RETRY: Duration = Duration::from_millis(10);
/// A contact opens and closes up to this often until it rests.
const BOUNCES_MAX: u64 = 3;
/// Microseconds between two transitions of a bouncing contact: all are over within 10 ms.
const BOUNCE_US: (u64, u64) = (200, 1_600);

/// A port and its telephone.
pub(crate) struct Port {
    kind: PortKind,
    behaviour: Behaviour,
    chance: Chance,
    wires: LineWires,
    /// Moves of the hook still to come: flash and pulses.
    moves: VecDeque<(Instant, bool)>,
    /// Transitions of the contact still to come.
    bounces: VecDeque<(Instant, bool)>,
    contact: bool,
    /// What the last event said; a card begins with "on hook".
    reported: bool,
    /// Look at the contact at this time, although it did not move.
    look_at: Option<Instant>,
    ringing: bool,
    trip_at: Option<Instant>,
    ring_stopped_at: Option<Instant>,
    battery: bool,
    answer_at: Option<Instant>,
    hang_up_at: Option<Instant>,
    retry_at: Instant,
}

impl Port {
    /// Connects the telephone at `now`.
    pub fn new(port: &VirtualPort, seed: u64, wires: LineWires, now: Instant) -> Self {
        let off_hook = port.behaviour.off_hook && port.kind == PortKind::Fxs;
        wires.shared.lifted.store(off_hook, Ordering::Release);
        wires.shared.contact.store(off_hook, Ordering::Release);
        Port {
            kind: port.kind,
            behaviour: port.behaviour,
            chance: Chance(seed),
            wires,
            moves: VecDeque::new(),
            bounces: VecDeque::new(),
            contact: off_hook,
            reported: false,
            look_at: off_hook.then_some(now),
            ringing: false,
            trip_at: None,
            ring_stopped_at: None,
            battery: true,
            answer_at: None,
            hang_up_at: None,
            retry_at: Instant::ZERO,
        }
    }

    /// When [`Port::step`] is due.
    pub fn next_at(&self) -> Option<Instant> {
        let order_at = self.wires.orders.peek().ok().map(|order| order.at.max(self.retry_at));
        let bounce_at = self.bounces.front().map(|&(at, _)| at);
        let move_at = self.moves.front().map(|&(at, _)| at);
        let all = [bounce_at, self.look_at, self.trip_at, move_at, self.person_at(), order_at];
        all.into_iter().flatten().min()
    }

    /// Does the one thing that is due at `at`, its earliest time; `now` may be later.
    pub fn step(&mut self, at: Instant, now: Instant) -> Option<LineEventKind> {
        if let Some(closed) = pop_due(&mut self.bounces, at) {
            self.contact = closed;
            return self.report(at);
        }
        if take_due(&mut self.look_at, at) {
            return self.report(at);
        }
        if take_due(&mut self.trip_at, at) {
            return self.trip(at);
        }
        if let Some(closed) = pop_due(&mut self.moves, at) {
            self.move_contact(at, closed);
        } else if self.person_at().is_some_and(|due| due <= at) {
            self.step_person(at);
        } else {
            self.take_order(at, now);
        }
        None
    }

    /// Carries out a command; false when this kind of port cannot.
    pub fn command(&mut self, now: Instant, command: &LineCommand) -> bool {
        match (self.kind, command) {
            (PortKind::Fxs, LineCommand::Ring) => self.ring(now),
            (PortKind::Fxs, LineCommand::StopRing) => self.stop_ring(now),
            (PortKind::Fxs, &LineCommand::Battery(on)) => self.switch_battery(now, on),
            // Nothing on this line minds how the battery is turned.
            (PortKind::Fxs, LineCommand::Polarity(_)) => {}
            (PortKind::Fxo, LineCommand::Seize | LineCommand::Release) => {}
            (_, &LineCommand::Gain { receive_tenth_db, transmit_tenth_db }) => {
                self.wires.shared.receive_gain.store(sound::gain(receive_tenth_db), Ordering::Release);
                self.wires.shared.transmit_gain.store(sound::gain(transmit_tenth_db), Ordering::Release);
            }
            _ => return false,
        }
        true
    }

    fn ring(&mut self, now: Instant) {
        // An off-hook telephone trips the ring before the bell can sound.
        if self.ringing || self.contact || !self.battery {
            return;
        }
        self.set_ringing(true);
        let is_new = self.ring_stopped_at.is_none_or(|stopped| now.since(stopped) > RING_FORGOTTEN);
        self.answer_at = match self.answer_at {
            // It was time in the pause before.
            Some(at) if !is_new => Some(at.max(now)),
            _ => self.behaviour.answers_after.filter(|_| is_new).map(|after| now + after),
        };
    }

    fn stop_ring(&mut self, now: Instant) {
        if self.ringing {
            self.set_ringing(false);
            self.ring_stopped_at = Some(now);
            self.trip_at = None;
            self.look_at = Some(now);
        }
    }

    fn switch_battery(&mut self, now: Instant, on: bool) {
        self.battery = on;
        self.wires.shared.battery.store(on, Ordering::Release);
        if on {
            self.look_at = Some(now);
            return;
        }
        self.stop_ring(now);
        if self.is_lifted() && self.behaviour.answers_after.is_some() {
            let react_at = now + REACTION;
            self.hang_up_at = Some(self.hang_up_at.map_or(react_at, |at| at.min(react_at)));
        }
    }

    fn set_ringing(&mut self, on: bool) {
        self.ringing = on;
        self.wires.shared.ringing.store(on, Ordering::Release);
    }

    fn is_lifted(&self) -> bool {
        self.wires.shared.lifted.load(Ordering::Acquire)
    }

    /// What the card sees of the contact at `at`.
    fn report(&mut self, at: Instant) -> Option<LineEventKind> {
        if !self.battery {
            // Without battery no current tells the card anything.
            return None;
        }
        if self.ringing {
            if self.contact && self.trip_at.is_none() {
                self.trip_at = Some(at + RING_TRIP);
            }
            return None;
        }
        if self.reported == self.contact {
            return None;
        }
        self.reported = self.contact;
        Some(if self.contact { LineEventKind::OffHook } else { LineEventKind::OnHook })
    }

    fn trip(&mut self, at: Instant) -> Option<LineEventKind> {
        if self.contact {
            self.set_ringing(false);
        }
        self.report(at)
    }

    /// When the person does something by himself.
    fn person_at(&self) -> Option<Instant> {
        if self.is_lifted() {
            self.hang_up_at
        } else {
            // Nobody lifts a silent telephone: in a pause, the next ring is waited for.
            self.answer_at.filter(|_| self.ringing)
        }
    }

    fn step_person(&mut self, at: Instant) {
        let lifts = !self.is_lifted();
        self.move_handset(at, lifts);
        if lifts {
            self.hang_up_at = self.behaviour.hangs_up_after.map(|after| at + after);
        }
    }

    fn take_order(&mut self, at: Instant, now: Instant) {
        // A full ring to the audio half keeps the order, and all behind it, in the ring before.
        let blocked = match self.wires.orders.peek() {
            Ok(Order { act: Act::Say(_), .. }) => self.wires.mouth.is_full() && !self.wires.mouth.is_abandoned(),
            Ok(Order { act: Act::Hear(_), .. }) => self.wires.ear.is_full() && !self.wires.ear.is_abandoned(),
            _ => false,
        };
        if blocked {
            self.retry_at = now + RETRY;
            return;
        }
        let Ok(order) = self.wires.orders.pop() else {
            return;
        };
        match order.act {
            // Pushing fails only when the audio half is gone, and then nobody waits for the sound.
            Act::Say(say) => self.wires.mouth.push(say).unwrap_or_else(|PushError::Full(say)| self.lose(say)),
            Act::Hear(hear) => self.wires.ear.push(hear).unwrap_or_else(|PushError::Full(hear)| self.miss(&hear)),
            _ if self.kind != PortKind::Fxs => {}
            Act::Hook { closed } => self.move_handset(at, closed),
            Act::Flash => {
                let from = self.moves.back().map_or(at, |&(last, _)| last + BETWEEN_DIGITS);
                self.add_break(from, FLASH);
            }
            Act::Pulses(digit) => self.add_pulses(at, digit),
        }
    }

    fn lose(&self, say: Say) {
        match say {
            Say::Key(_) => self.wires.shared.keys_done(),
            Say::Speech(_) => self.wires.shared.speeches_done(),
        }
    }

    fn miss(&self, hear: &Hear) {
        if matches!(hear, Hear::Record(_)) {
            self.wires.shared.recordings_done();
        }
    }

    fn add_break(&mut self, from: Instant, length: Duration) {
        if self.is_lifted() {
            self.moves.push_back((from, false));
            self.moves.push_back((from + length, true));
        }
    }

    fn add_pulses(&mut self, at: Instant, digit: Digit) {
        let mut from = self.moves.back().map_or(at, |&(last, _)| last + BETWEEN_DIGITS);
        let pulses = if digit.event() == 0 { 10 } else { digit.event() };
        for _ in 0..pulses {
            self.add_break(from, PULSE_BREAK);
            from += PULSE_PERIOD;
        }
    }

    /// Lifts the handset or puts it down; what else was to be done with the hook is given up.
    fn move_handset(&mut self, at: Instant, lifted: bool) {
        self.moves.clear();
        self.answer_at = None;
        self.hang_up_at = None;
        self.ring_stopped_at = None;
        self.wires.shared.lifted.store(lifted, Ordering::Release);
        self.move_contact(at, lifted);
    }

    /// Moves the contact, which bounces until it rests.
    fn move_contact(&mut self, at: Instant, closed: bool) {
        if self.wires.shared.contact.swap(closed, Ordering::AcqRel) == closed {
            return;
        }
        self.bounces.clear();
        self.bounces.push_back((at, closed));
        let mut transition_at = at;
        for _ in 0..self.chance.between(1, BOUNCES_MAX) {
            for state in [!closed, closed] {
                transition_at += Duration::from_micros(self.chance.between(BOUNCE_US.0, BOUNCE_US.1));
                self.bounces.push_back((transition_at, state));
            }
        }
    }
}

/// Takes a time out when it has come.
fn take_due(at: &mut Option<Instant>, now: Instant) -> bool {
    let due = at.is_some_and(|at| at <= now);
    if due {
        *at = None;
    }
    due
}

/// Takes the first state out when its time has come.
fn pop_due(queue: &mut VecDeque<(Instant, bool)>, now: Instant) -> Option<bool> {
    let &(at, closed) = queue.front()?;
    if at > now {
        return None;
    }
    queue.pop_front();
    Some(closed)
}

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and the same on every machine.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + ((u128::from(self.next()) * u128::from(high - low + 1)) >> 64) as u64
    }
}
