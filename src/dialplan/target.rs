//! What a plan answers: targets, refusals, and why.

use crate::time::Duration;
use std::fmt;

/// What a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TargetKind {
    /// `phone/NAME`: a SIP telephone.
    Phone,
    /// `station/NAME`: an FXS port.
    Station,
    /// `line/NAME`: an FXO port.
    Line,
    /// `trunk/NAME`: a SIP carrier or peer.
    Trunk,
    /// `isup/NAME`: a circuit group.
    Isup,
    /// `group/NAME`: people who ring together or in turn.
    Group,
    /// `service/echo`, `service/milliwatt`: the gateway itself.
    Service,
}

impl TargetKind {
    /// All kinds, in the order of messages.
    pub const ALL: [TargetKind; 7] = [
        TargetKind::Phone,
        TargetKind::Station,
        TargetKind::Line,
        TargetKind::Trunk,
        TargetKind::Isup,
        TargetKind::Group,
        TargetKind::Service,
    ];

    /// The word before the slash.
    pub fn as_str(self) -> &'static str {
        match self {
            TargetKind::Phone => "phone",
            TargetKind::Station => "station",
            TargetKind::Line => "line",
            TargetKind::Trunk => "trunk",
            TargetKind::Isup => "isup",
            TargetKind::Group => "group",
            TargetKind::Service => "service",
        }
    }
}

/// Where a call goes: a kind and a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// What it is.
    pub kind: TargetKind,
    /// Its name in the configuration.
    pub name: String,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.as_str(), self.name)
    }
}

/// Why the plan turns a call away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody has the number: 404, cause 1.
    Unassigned,
    /// The number exists, but not for this caller: 404, cause 3.
    NoRoute,
    /// `refuse/not-allowed`: 403, cause 21.
    NotAllowed,
    /// `refuse/rejected`: 603, cause 21.
    Rejected,
    /// `refuse/busy`: 486, cause 17.
    Busy,
    /// `refuse/congestion`: 503, cause 42.
    Congestion,
    /// `refuse/unavailable`: 503, cause 27.
    Unavailable,
    /// `refuse/incomplete`, and a number that must be longer: 484, cause 28.
    Incomplete,
}

impl Refusal {
    /// What `refuse/` can be followed by.
    pub const NAMES: [&'static str; 8] =
        ["unassigned", "no-route", "not-allowed", "rejected", "busy", "congestion", "unavailable", "incomplete"];

    /// The refusal with a name of [`Refusal::NAMES`].
    pub fn from_name(name: &str) -> Option<Refusal> {
        let all = [
            Refusal::Unassigned,
            Refusal::NoRoute,
            Refusal::NotAllowed,
            Refusal::Rejected,
            Refusal::Busy,
            Refusal::Congestion,
            Refusal::Unavailable,
            Refusal::Incomplete,
        ];
        all.into_iter().find(|refusal| refusal.as_str() == name)
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        let [unassigned, no_route, not_allowed, rejected, busy, congestion, unavailable, incomplete] = Refusal::NAMES;
        match self {
            Refusal::Unassigned => unassigned,
            Refusal::NoRoute => no_route,
            Refusal::NotAllowed => not_allowed,
            Refusal::Rejected => rejected,
            Refusal::Busy => busy,
            Refusal::Congestion => congestion,
            Refusal::Unavailable => unavailable,
            Refusal::Incomplete => incomplete,
        }
    }

    /// The SIP status.
    pub fn status(self) -> u16 {
        match self {
            Refusal::Unassigned | Refusal::NoRoute => 404,
            Refusal::NotAllowed => 403,
            Refusal::Rejected => 603,
            Refusal::Busy => 486,
            Refusal::Congestion | Refusal::Unavailable => 503,
            Refusal::Incomplete => 484,
        }
    }

    /// The Q.850 cause value.
    pub fn cause(self) -> u8 {
        match self {
            Refusal::Unassigned => 1,
            Refusal::NoRoute => 3,
            Refusal::NotAllowed | Refusal::Rejected => 21,
            Refusal::Busy => 17,
            Refusal::Congestion => 42,
            Refusal::Unavailable => 27,
            Refusal::Incomplete => 28,
        }
    }
}

/// The answer to "where does this number go".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The digits as dialled.
    pub dialled: String,
    /// What a target is sent: `send`, or else what stands right of the bar.
    pub number: String,
    /// The rule that was chosen.
    pub chosen: Option<Chosen>,
    /// Where to, or why not.
    pub verdict: Verdict,
    /// Every other rule that accepts the number, and why it was not taken.
    pub considered: Vec<Considered>,
}

/// Where to, or why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Targets in the order in which they are tried; not empty.
    Targets(Vec<Target>),
    /// Steps that ring one after the other; not empty.
    Ring(Vec<Rung>),
    /// Turned away.
    Refused(Refusal),
}

/// Those who ring at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// Who; not empty.
    pub targets: Vec<Target>,
    /// How long; `None`: as their groups say, or until the call is given up.
    pub rings_for: Option<Duration>,
}

/// A rule that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Index of the rule.
    pub rule: usize,
    /// Its name.
    pub name: String,
    /// Where it stands: `file:line`.
    pub place: String,
    /// Its pattern that accepts the number.
    pub pattern: String,
}

/// A rule that accepts the number and was not chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Considered {
    /// Index of the rule.
    pub rule: usize,
    /// Its name.
    pub name: String,
    /// Where it stands: `file:line`.
    pub place: String,
    /// Its pattern that accepts the number.
    pub pattern: String,
    /// Why not, as a part of a sentence.
    pub why: &'static str,
}

/// What more digits would change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// A rule accepts the number and nothing longer fits: route now.
    Complete,
    /// A rule accepts the number, a longer one could fit too: wait a little.
    CompleteMayGrow,
    /// More digits are needed.
    Incomplete,
    /// No digits can make it a number.
    Impossible,
}
