//! Rules to a [`Plan`], and the two questions that it answers.

use super::Pattern;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

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
    /// `service/echo`, `service/milliwatt`: the gateway itself.
    Service,
}

impl TargetKind {
    /// All kinds, in the order of messages.
    pub const ALL: [TargetKind; 6] = [
        TargetKind::Phone,
        TargetKind::Station,
        TargetKind::Line,
        TargetKind::Trunk,
        TargetKind::Isup,
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

/// The answer to "where does this number go".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The digits as dialled.
    pub dialled: String,
    /// The number without what stands left of the bar; what a target is sent.
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
    /// Turned away.
    Refused(Refusal),
}

/// A rule that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Index of the rule.
    pub rule: usize,
    /// Its name.
    pub name: String,
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

/// Text with `{names}` to be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// Byte range inside the text.
    pub start: usize,
    /// End of the range.
    pub end: usize,
    /// What is wrong there.
    pub message: String,
}

/// What a rule does with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ways out, tried in order: kind and name.
    Targets(Vec<(TargetKind, Template)>),
    /// `extension/NUMBER`: whoever has that number.
    Extension(Template),
    /// `refuse/REASON`
    Refuse(Refusal),
}

/// One `[[route]]`.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `name`
    pub name: String,
    /// `match`
    pub patterns: Vec<Pattern>,
    /// `from`: `inside`, `outside`, `any`, or `kind/name`; never empty.
    pub from: Vec<String>,
    /// `to`, `via`
    pub action: Action,
    /// `send = { number = ... }`: what a target is sent; `{number}` when not given.
    pub send: Option<Template>,
}

/// Why rules are no plan. Rules and patterns by index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Two patterns accept `witness` and neither is narrower.
    Crossing {
        /// Rule and pattern that come first.
        first: (usize, usize),
        /// Rule and pattern that come later.
        second: (usize, usize),
        /// A number that both accept.
        witness: String,
    },
    /// `second` accepts the same numbers of the same callers as `first` and is never reached.
    Unreachable {
        /// Rule and pattern that come first.
        first: (usize, usize),
        /// Rule and pattern that come later.
        second: (usize, usize),
    },
    /// The automaton would have too many states.
    TooLarge,
}

#[derive(Debug, Default)]
struct Compiled {
    rules: Vec<Rule>,
    extensions: BTreeMap<String, Target>,
}

/// A compiled dial plan: immutable, shared by clones.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    compiled: Arc<Compiled>,
}

/// Whether calls from `origin` (`phone/201`) come from inside: telephones do, trunks and lines do not.
pub fn is_inside(origin: &str) -> bool {
    origin.starts_with("phone/") || origin.starts_with("station/")
}

impl Plan {
    /// Compiles rules; `extensions` says who has which number.
    pub fn compile(rules: Vec<Rule>, extensions: BTreeMap<String, Target>) -> Result<Plan, Vec<Flaw>> {
        Ok(Plan { compiled: Arc::new(Compiled { rules, extensions }) })
    }

    /// Where a call from `origin` (`phone/201`, `trunk/loopback`) to `digits` goes.
    pub fn route(&self, _origin: &str, _inside: bool, digits: &str) -> Decision {
        Decision {
            dialled: digits.to_owned(),
            number: digits.to_owned(),
            chosen: None,
            verdict: Verdict::Refused(Refusal::Unassigned),
            considered: Vec::new(),
        }
    }

    /// What more digits would change, for a caller who dials digit by digit.
    pub fn completeness(&self, _origin: &str, _inside: bool, _digits: &str) -> Completeness {
        Completeness::Impossible
    }
}
