//! A port with its machine: events of the card in, trunk events out.
//!
//! ```text
//!   card --LineEventKind--> hook.rs -----> fxs.rs <--TrunkEvent--> call
//!                           (debounce)    (states)
//!   media --Digit-------------------------> |  ^---Completeness--- call (dial plan)
//!   card <--LineCommand-- media <--tone-- LineOutput
//! ```
//!
//! Everything that goes in may push [`LineOutput`]s; afterwards [`LinePort::deadline`] must be asked
//! again. Flash, pulses, ring cadence and debouncing are done here for every card alike, and left
//! out where [`Abilities`](tipring_hal::Abilities) say that the card does it.
//!
//! A port has at most one call. It begins with an IAM in either direction and ends by exactly one
//! REL, in either direction, answered by one RLC from the other side. An IAM that cannot be taken
//! is answered by [`LineOutput::Refuse`] instead, which is no part of any call.
//!
//! Not here: caller ID, call waiting, three-way calls, howler, ground start.

mod cadence;
mod digits;
mod fxo;
mod fxs;
mod hook;

pub use cadence::{Country, FlashWindow, TonePattern};

use crate::time::{Duration, Instant};
use crate::trunk::{Release, TrunkEvent};
use tipring_hal::{Digit, LineCommand, LineEventKind, PortInfo, PortKind};

/// What a port does and how long it waits.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Tones and cadences.
    pub country: &'static Country,
    /// The number of the line, told to those it calls.
    pub number: Option<String>,
    /// The name of the line, likewise.
    pub caller_name: Option<String>,
    /// How long the bell rings until the call ends with cause 19 (T9 of Q.764).
    pub ring_for: Duration,
    /// How long dial tone waits for the first digit.
    pub first_digit: Duration,
    /// How long a further digit is waited for when the number is incomplete.
    pub next_digit: Duration,
    /// How long a further digit is waited for when the number is complete but may grow.
    pub complete: Duration,
    /// How long the loop is open for a flash. A hang-up in a call is known after the end of this
    /// window; `None`: there is no flash, and it is known after 200 ms.
    pub flash: Option<FlashWindow>,
}

impl Settings {
    /// What the country does; 16, 8 and 3 seconds for digits, 60 seconds of ringing.
    pub fn for_country(country: &'static Country) -> Self {
        Settings {
            country,
            number: None,
            caller_name: None,
            ring_for: Duration::from_secs(60),
            first_digit: Duration::from_secs(16),
            next_digit: Duration::from_secs(8),
            complete: Duration::from_secs(3),
            flash: Some(country.flash),
        }
    }
}

/// What the dial plan says of the digits so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// A number, and no longer number begins with it.
    Complete,
    /// A number, and the beginning of a longer one.
    CompleteMayGrow,
    /// The beginning of a number.
    Incomplete,
    /// No number begins with this.
    Impossible,
}

/// What a port wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineOutput {
    /// Command the port.
    Command(LineCommand),
    /// Towards the line, play this instead of what is joined; `None`: stop playing.
    Tone(Option<TonePattern>),
    /// Listen for DTMF from the line, or stop listening. In a call they go to the far end; reports
    /// of them may still be given to [`LinePort::handle_digit`], which ignores them then.
    DetectDigits(bool),
    /// Join the audio of the port with that of the other leg, in both directions, or part them.
    AudioOpen(bool),
    /// Towards the other leg of the call that the port is in.
    Trunk(TrunkEvent),
    /// The IAM just handed in is refused. The call that the port may be in is not touched, and no
    /// RLC is expected.
    Refuse(Release),
    /// The digits dialled so far: ask the dial plan, and call [`LinePort::handle_completeness`].
    Digits(String),
    /// The user tapped the hook in a call.
    Flash,
}

/// What a port is doing, for displays and to choose a free port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineStatus {
    /// On hook.
    Idle,
    /// On hook, and the bell rings.
    Ringing,
    /// Off hook: dial tone, or digits are collected.
    Dialling,
    /// Off hook, and the called side has not answered.
    Waiting,
    /// In a call.
    Talking,
    /// Off hook without a call: busy tone, reorder, disconnect.
    Tone,
    /// Off hook without a call and without a tone, until it hangs up.
    LockedOut,
    /// A fault, removed, or not yet implemented.
    OutOfService,
}

/// A port with its machine.
#[derive(Debug)]
pub struct LinePort {
    machine: Machine,
}

#[derive(Debug)]
enum Machine {
    Fxs(Box<fxs::Fxs>),
    Fxo(fxo::Fxo),
}

impl LinePort {
    /// A port whose card was just opened. It is on hook until the card says otherwise.
    pub fn new(info: PortInfo, settings: Settings) -> Self {
        let machine = match info.kind {
            PortKind::Fxs => Machine::Fxs(Box::new(fxs::Fxs::new(info.abilities, settings))),
            PortKind::Fxo | PortKind::Audio => Machine::Fxo(fxo::Fxo::default()),
        };
        LinePort { machine }
    }

    /// The card says `event`. `now` is best the time that the card stamped on it: breaks of the hook
    /// are measured between these times.
    pub fn handle_event(&mut self, now: Instant, event: &LineEventKind, out: &mut Vec<LineOutput>) {
        match &mut self.machine {
            Machine::Fxs(machine) => machine.handle_event(now, event, out),
            Machine::Fxo(machine) => machine.handle_event(event),
        }
    }

    /// A DTMF digit was heard from the line.
    pub fn handle_digit(&mut self, now: Instant, digit: Digit, out: &mut Vec<LineOutput>) {
        if let Machine::Fxs(machine) = &mut self.machine {
            machine.handle_digit(now, digit, out);
        }
    }

    /// The answer of the dial plan to [`LineOutput::Digits`].
    pub fn handle_completeness(&mut self, now: Instant, completeness: Completeness, out: &mut Vec<LineOutput>) {
        if let Machine::Fxs(machine) = &mut self.machine {
            machine.handle_completeness(now, completeness, out);
        }
    }

    /// The other leg says `event`.
    pub fn handle_trunk(&mut self, now: Instant, event: &TrunkEvent, out: &mut Vec<LineOutput>) {
        match &mut self.machine {
            Machine::Fxs(machine) => machine.handle_trunk(now, event, out),
            Machine::Fxo(machine) => machine.handle_trunk(event, out),
        }
    }

    /// To be called when [`LinePort::deadline`] has come; harmless before.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<LineOutput>) {
        if let Machine::Fxs(machine) = &mut self.machine {
            machine.handle_timeout(now, out);
        }
    }

    /// When [`LinePort::handle_timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.machine {
            Machine::Fxs(machine) => machine.deadline(),
            Machine::Fxo(_) => None,
        }
    }

    /// What the port is doing.
    pub fn status(&self) -> LineStatus {
        match &self.machine {
            Machine::Fxs(machine) => machine.status(),
            Machine::Fxo(_) => LineStatus::OutOfService,
        }
    }

    /// Whether the port has a call, or waits for the RLC that ends it.
    pub fn has_call(&self) -> bool {
        match &self.machine {
            Machine::Fxs(machine) => machine.has_call(),
            Machine::Fxo(_) => false,
        }
    }
}
