//! What a far end does, as data. `config` reads it from TOML (`src/config/far_end.rs` has the keys).

use crate::dialplan::Pattern;
use crate::isup::Variant;
use crate::isup::indicators::CallEvent;
use crate::isup::number::NatureOfAddress;
use crate::media::{TONE_STEPS, Tone};
use crate::time::Duration;
use crate::trunk::{Cause, Location, Release};
use std::collections::BTreeMap;

/// The circuits between the switch and the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trunk {
    /// ITU or ANSI.
    pub variant: Variant,
    /// Circuits by code, and whether the IAM of the switch stands when both ends seize one at once.
    pub circuits: BTreeMap<u16, bool>,
}

impl Trunk {
    /// Circuits that the switch controls, all of them, at most [`crate::limits::ISUP_CIRCUITS`].
    pub fn new(variant: Variant, circuits: impl IntoIterator<Item = u16>) -> Trunk {
        Trunk { variant, circuits: circuits.into_iter().map(|cic| (cic, true)).collect() }
    }
}

/// What a far end does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What answers which number; the first that accepts a number wins.
    pub numbers: Vec<Number>,
    /// Whether the numbers of the demo exchange stand behind these.
    pub demo: bool,
    /// Calls towards the gateway.
    pub calls: Vec<Call>,
    /// What happens to circuits.
    pub alarms: Vec<Alarm>,
    /// Messages that are lost in either direction, in tenths of a percent.
    pub loss_tenth_percent: u16,
    /// When losses end, after the start; `None`: never.
    pub loss_until: Option<Duration>,
    /// How long a message is on its way, in either direction.
    pub delay: Duration,
    /// How long an incomplete number waits for more digits before REL 28.
    pub digits_wait: Duration,
}

impl Default for Script {
    /// The demo exchange, without faults.
    fn default() -> Self {
        Script {
            numbers: Vec::new(),
            demo: true,
            calls: Vec::new(),
            alarms: Vec::new(),
            loss_tenth_percent: 0,
            loss_until: None,
            delay: Duration::ZERO,
            digits_wait: Duration::from_secs(15),
        }
    }
}

/// What answers a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// Numbers that are meant; not empty.
    pub matches: Vec<Pattern>,
    /// What is done once a number is complete.
    pub steps: Vec<Step>,
}

/// A call towards the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// When, after the start.
    pub at: Duration,
    /// How often; at least once.
    pub times: u32,
    /// The time between two of them.
    pub every: Duration,
    /// Who calls; `None`: no calling party number is sent.
    pub calling: Option<String>,
    /// Whom.
    pub called: String,
    /// Nature of both numbers.
    pub nature: NatureOfAddress,
    /// Whether the caller's number may be shown.
    pub anonymous: bool,
    /// Digits in the IAM when the others follow one by one; `None`: en bloc.
    pub overlap: Option<usize>,
    /// The time between two SAMs.
    pub digit_every: Duration,
    /// The IAM asks for a continuity check, which ends so.
    pub continuity: Option<bool>,
    /// What is done once the gateway has answered.
    pub steps: Vec<Step>,
    /// How long the caller waits for the answer; then REL 16.
    pub gives_up: Duration,
}

/// What happens to circuits, whatever calls are on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// When, after the start.
    pub at: Duration,
    /// How often; at least once.
    pub times: u32,
    /// The time between two of them.
    pub every: Duration,
    /// What.
    pub what: Trouble,
    /// Which; those that the trunk doesn't have are passed over.
    pub circuits: Vec<u16>,
}

/// What can happen to a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// BLO for each.
    Block,
    /// UBL for each.
    Unblock,
    /// RSC for each.
    Reset,
    /// GRS for ranges of them.
    GroupReset,
    /// CGB for ranges of them.
    GroupBlock {
        /// By a failure: calls on them are over.
        hardware: bool,
    },
    /// CGU for ranges of them.
    GroupUnblock {
        /// As they were blocked.
        hardware: bool,
    },
    /// The switch forgets its calls there and says nothing.
    Amnesia,
}

/// One step of a call. Steps take no time but [`Step::Wait`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Time passes.
    Wait(Duration),
    /// ACM.
    Acm {
        /// "Subscriber free", else "no indication".
        free: bool,
        /// In-band information is available.
        in_band: bool,
    },
    /// CPG.
    Cpg(CallEvent),
    /// ANM.
    Anm,
    /// CON; ANM for ANSI, which has none.
    Con,
    /// REL.
    Rel(Release),
    /// SUS.
    Sus {
        /// By the network, else by the user.
        network: bool,
    },
    /// RES.
    Res {
        /// As in SUS.
        network: bool,
    },
    /// A tone is heard from now on.
    Sound(Tone),
    /// Special information tones and a pause, again and again, are heard from now on.
    Announcement,
    /// Nothing is heard from now on.
    Silence,
    /// These octets are sent behind the circuit: type and what follows it.
    Raw(Vec<u8>),
    /// The switch seizes the circuit itself, as if both had done so at once, the first time that this caller
    /// calls this number; when the gateway calls again, the steps behind this one follow.
    Glare,
    /// BLO, RSC and the like for the circuit of the call.
    Trouble(Trouble),
}

impl Step {
    /// REL with a cause, decided in the network that serves the called user.
    pub fn release(cause: Cause) -> Step {
        Step::Rel(Release { cause, location: Location::RemoteNetwork })
    }

    /// A steady tone.
    pub fn tone(hertz: u16, level_centi_dbm0: i16) -> Step {
        Step::Sound(steady(hertz, level_centi_dbm0))
    }
}

/// A tone of one frequency without cadence.
pub(super) fn steady(hertz: u16, level_centi_dbm0: i16) -> Tone {
    Tone { hertz: [hertz, 0, 0, 0], level_centi_dbm0, cadence_ms: [0; TONE_STEPS] }
}

impl Number {
    pub(super) fn accepts(&self, digits: &str) -> bool {
        self.matches.iter().any(|pattern| pattern.accepts(digits))
    }

    /// Whether more digits may make it a number that is accepted.
    pub(super) fn may_grow(&self, digits: &str) -> bool {
        self.matches.iter().any(|pattern| pattern.may_begin(digits))
    }
}
