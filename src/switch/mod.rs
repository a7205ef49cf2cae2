//! The simulated switch: a far end for `transport = "simulated"`, with state machines of its own.
//!
//! ```text
//!            script (TOML)        demo (numbers 8...)
//!                 \                 /
//!   gateway ─▶ wire ─▶ circuits ─▶ steps of a call ─▶ wire ─▶ gateway       octets, circuit first
//!               |         |             └──────────────────▶ Output::Sound  what the circuit carries
//!           loss, delay  groups (ranges, alarms)
//! ```
//!
//! It is an exchange as Q.764 describes one, and a small one: it shares the octets of messages
//! ([`crate::isup::Message`]) with the gateway and nothing else, so that a mistake of our circuits does not meet
//! the same mistake here. Core code: no clock, no socket, chance from a seed.
//!
//! What it doesn't have: voice (a circuit carries a tone or nothing), segmentation, end-to-end signalling.

mod circuit;
mod demo;
mod far_ends;
mod groups;
mod messages;
mod script;
mod steps;

pub use far_ends::{FarEnds, Said};
pub use script::{Alarm, Call, Number, Script, Step, Trouble, Trunk};

use crate::isup::{Cic, Message, Variant};
use crate::limits;
use crate::media::Tone;
use crate::rng::{Rng, Seed};
use crate::time::{Duration, Instant};
use crate::trunk::Cause;
use circuit::{Circuit, Timer};
use groups::{Pending, Request};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// REL, RSC, BLO, UBL and requests about groups are repeated after this time (Q.764, the least of T1, T12, T14, T16,
/// T18 to T22).
const REPEAT: Duration = Duration::from_secs(15);
/// A REL that was repeated so often is given up for RSC (T5: five minutes).
const RELEASES_MAX: u32 = 20;
/// A continuity check of the script takes this time.
const CHECK_TIME: Duration = Duration::from_millis(500);
/// A caller who tries again after glare is expected for this time.
const GLARE_TIME: Duration = Duration::from_secs(10);

/// What the switch wants done, or has done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Octets for the gateway, from the circuit on.
    Transmit(Vec<u8>),
    /// What a circuit carries towards the gateway from now on.
    Sound {
        /// Which circuit.
        cic: u16,
        /// What; `None`: silence.
        sound: Option<Tone>,
    },
    /// A call is over; for logs and tests.
    Ended(Ended),
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its circuit, the last one if it had several; `None`: none was free.
    pub cic: Option<u16>,
    /// Whether the gateway made it.
    pub from_gateway: bool,
    /// Who called; empty when not known.
    pub calling: String,
    /// Whom.
    pub called: String,
    /// Whether it was answered.
    pub answered: bool,
    /// Why it ended.
    pub cause: Cause,
    /// Whether the gateway said so; else the switch did.
    pub by_gateway: bool,
}

/// What the switch has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls that the gateway made.
    pub calls_in: u64,
    /// Calls of the script, glare not counted.
    pub calls_out: u64,
    /// Calls of the script that found no circuit.
    pub no_circuit: u64,
    /// Octets that are no message.
    pub malformed: u64,
    /// Messages that made no sense where they came.
    pub unexpected: u64,
    /// Circuits that both sides seized at once.
    pub glares: u64,
    /// Messages lost, in either direction.
    pub lost: u64,
    /// REL, RSC, BLO and the like said again.
    pub repeated: u64,
}

/// Who is to be looked at when a time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Circuit(u16, Timer),
    Range(u16, Request),
    Call { index: usize, number: u32 },
    Alarm { index: usize, number: u32 },
}

/// A message on its way.
struct Travelling {
    arrives: Instant,
    inward: bool,
    octets: Vec<u8>,
}

/// The simulated switch.
pub struct Switch {
    variant: Variant,
    script: Script,
    circuits: BTreeMap<u16, Circuit>,
    /// Requests about ranges that are not acknowledged, by their first circuit.
    pending: BTreeMap<(u16, Request), Pending>,
    wire: VecDeque<Travelling>,
    due: BTreeSet<(Instant, Owner)>,
    /// Callers (calling, called) who met glare and are to try again, until when.
    glares: BTreeMap<(String, String), Instant>,
    chance: Rng,
    /// When messages are not lost any more.
    lossless_from: Option<Instant>,
    counts: Counts,
}

impl Switch {
    /// A switch at the other end of these circuits, all idle. Times of the script count from `now`.
    pub fn new(now: Instant, trunk: Trunk, script: Script, seed: Seed) -> Switch {
        let circuits = trunk.circuits.into_iter().take(limits::ISUP_CIRCUITS);
        let mut due = BTreeSet::new();
        for (index, call) in script.calls.iter().enumerate() {
            due.insert((now + call.at, Owner::Call { index, number: 0 }));
        }
        for (index, alarm) in script.alarms.iter().enumerate() {
            due.insert((now + alarm.at, Owner::Alarm { index, number: 0 }));
        }
        Switch {
            variant: trunk.variant,
            circuits: circuits.map(|(cic, controls)| (cic, Circuit::new(controls))).collect(),
            pending: BTreeMap::new(),
            wire: VecDeque::new(),
            due,
            glares: BTreeMap::new(),
            lossless_from: script.loss_until.map(|after| now + after),
            chance: seed.fork("switch").rng(),
            counts: Counts::default(),
            script,
        }
    }

    /// Takes octets of the gateway, from the circuit on.
    pub fn handle(&mut self, now: Instant, octets: &[u8], out: &mut Vec<Output>) {
        if self.is_lost(now) {
            return;
        }
        if self.script.delay.is_zero() {
            return self.arrived(now, octets, out);
        }
        self.put_on_wire(Travelling { arrives: now + self.script.delay, inward: true, octets: octets.to_vec() });
    }

    /// When [`Switch::handle_timeout`] is to be called.
    pub fn deadline(&self) -> Option<Instant> {
        let wire = self.wire.front().map(|message| message.arrives);
        wire.into_iter().chain(self.due.first().map(|(at, _)| *at)).min()
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Output>) {
        // Ends: what is due makes other things due later, or one of the finite steps of a script.
        while let Some(at) = self.deadline().filter(|at| *at <= now) {
            if self.wire.front().is_some_and(|message| message.arrives == at)
                && let Some(message) = self.wire.pop_front()
            {
                match message.inward {
                    true => self.arrived(now, &message.octets, out),
                    false => out.push(Output::Transmit(message.octets)),
                }
                continue;
            }
            let Some((_, owner)) = self.due.pop_first() else { return };
            match owner {
                Owner::Circuit(cic, timer) => self.expired(now, cic, timer, out),
                Owner::Range(first, request) => self.repeat_range(now, first, request, out),
                Owner::Call { index, number } => self.begin_call(now, index, number, out),
                Owner::Alarm { index, number } => self.alarm(now, index, number, out),
            }
        }
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Circuits that are not idle and free for calls of either side, each with its state in words.
    pub fn busy(&self) -> Vec<(u16, String)> {
        self.circuits.iter().filter_map(|(cic, circuit)| Some((*cic, circuit.trouble()?))).collect()
    }

    // --- the wire -----------------------------------------------------------------------------------

    fn is_lost(&mut self, now: Instant) -> bool {
        let lost = self.script.loss_tenth_percent > 0
            && self.lossless_from.is_none_or(|at| now < at)
            && self.chance.chance(u64::from(self.script.loss_tenth_percent), 1_000);
        self.counts.lost += u64::from(lost);
        lost
    }

    fn put_on_wire(&mut self, message: Travelling) {
        if self.wire.len() < limits::SWITCH_MESSAGES {
            self.wire.push_back(message);
        } else {
            self.counts.lost += 1;
        }
    }

    fn arrived(&mut self, now: Instant, octets: &[u8], out: &mut Vec<Output>) {
        match Message::decode(self.variant, octets) {
            Ok((cic, message)) => self.heard(now, cic.value(), &message, out),
            // Q.764 2.9.5: what is in no known format is discarded.
            Err(_) => self.counts.malformed += 1,
        }
    }

    fn send(&mut self, now: Instant, cic: u16, message: &Message, out: &mut Vec<Output>) {
        let octets = Cic::new(self.variant, cic).and_then(|cic| message.encode(self.variant, cic).ok());
        if let Some(octets) = octets {
            self.send_octets(now, octets, out);
        }
    }

    fn send_octets(&mut self, now: Instant, octets: Vec<u8>, out: &mut Vec<Output>) {
        if self.is_lost(now) {
            return;
        }
        if self.script.delay.is_zero() {
            out.push(Output::Transmit(octets));
        } else {
            self.put_on_wire(Travelling { arrives: now + self.script.delay, inward: false, octets });
        }
    }

    // --- timers of circuits ---------------------------------------------------------------------------

    fn start(&mut self, at: Instant, cic: u16, timer: Timer) {
        self.stop(cic, timer);
        if let Some(circuit) = self.circuits.get_mut(&cic) {
            circuit.timers.insert(timer, at);
            self.due.insert((at, Owner::Circuit(cic, timer)));
        }
    }

    fn stop(&mut self, cic: u16, timer: Timer) {
        if let Some(at) = self.circuits.get_mut(&cic).and_then(|circuit| circuit.timers.remove(&timer)) {
            self.due.remove(&(at, Owner::Circuit(cic, timer)));
        }
    }
}

impl std::fmt::Debug for Switch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Switch").field("busy", &self.busy()).field("counts", &self.counts).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
