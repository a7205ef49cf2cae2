//! Trunk events: the waist of the design.
//!
//! Every leg, SIP or line, speaks these ISUP-style events; [`crate::call`] joins any two legs with
//! one machine. Names are those of Q.763/Q.764; causes are those of Q.850.

pub mod interwork;

use std::fmt;

/// A Q.850 cause value, 1 to 127.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cause(u8);

impl Cause {
    /// 1: unallocated (unassigned) number.
    pub const UNALLOCATED: Cause = Cause(1);
    /// 3: no route to destination.
    pub const NO_ROUTE: Cause = Cause(3);
    /// 16: normal call clearing.
    pub const NORMAL: Cause = Cause(16);
    /// 17: user busy.
    pub const BUSY: Cause = Cause(17);
    /// 18: no user responding.
    pub const NO_RESPONSE: Cause = Cause(18);
    /// 19: no answer from user (user alerted).
    pub const NO_ANSWER: Cause = Cause(19);
    /// 20: subscriber absent.
    pub const ABSENT: Cause = Cause(20);
    /// 21: call rejected.
    pub const REJECTED: Cause = Cause(21);
    /// 26: non-selected user clearing: somebody else answered the call.
    pub const NON_SELECTED: Cause = Cause(26);
    /// 27: destination out of order.
    pub const OUT_OF_ORDER: Cause = Cause(27);
    /// 28: invalid number format (address incomplete).
    pub const INCOMPLETE: Cause = Cause(28);
    /// 31: normal, unspecified.
    pub const UNSPECIFIED: Cause = Cause(31);
    /// 34: no circuit/channel available.
    pub const NO_CIRCUIT: Cause = Cause(34);
    /// 41: temporary failure.
    pub const TEMPORARY: Cause = Cause(41);
    /// 42: switching equipment congestion.
    pub const CONGESTION: Cause = Cause(42);
    /// 47: resource unavailable, unspecified.
    pub const NO_RESOURCE: Cause = Cause(47);
    /// 63: service or option not available.
    pub const NOT_AVAILABLE: Cause = Cause(63);
    /// 65: bearer capability not implemented.
    pub const BEARER: Cause = Cause(65);
    /// 102: recovery on timer expiry.
    pub const TIMER: Cause = Cause(102);
    /// 111: protocol error, unspecified.
    pub const PROTOCOL: Cause = Cause(111);
    /// 127: interworking, unspecified.
    pub const INTERWORKING: Cause = Cause(127);

    /// The cause with this value; `None` outside 1 to 127.
    pub fn new(value: u8) -> Option<Cause> {
        (1..=127).contains(&value).then_some(Cause(value))
    }

    /// The value, 1 to 127.
    pub fn value(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cause({})", self.0)
    }
}

/// Where a release was decided (Q.850 location field).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// User (0).
    User,
    /// Public network serving the local user (2): ourselves, for a line.
    LocalNetwork,
    /// Network beyond interworking point (10): what came from SIP.
    BeyondInterworking,
}

/// REL: why a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// The cause.
    pub cause: Cause,
    /// Who decided.
    pub location: Location,
}

impl Release {
    /// A release decided here.
    pub fn here(cause: Cause) -> Self {
        Release { cause, location: Location::LocalNetwork }
    }
    /// A release decided by the user of the leg.
    pub fn user(cause: Cause) -> Self {
        Release { cause, location: Location::User }
    }
}

/// Whether the caller's number may be shown (Q.763 3.10, address presentation restricted indicator;
/// Privacy of RFC 3323).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presentation {
    /// It may.
    #[default]
    Allowed,
    /// The caller wants to be anonymous; networks that are trusted still learn the number.
    Restricted,
}

/// Why a call was passed on (Q.763 3.36, redirecting reason; Diversion of RFC 5806).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiversionReason {
    /// Nothing was said.
    #[default]
    Unknown,
    /// User busy.
    Busy,
    /// No reply.
    NoAnswer,
    /// Every call.
    Unconditional,
    /// The telephone that rang passed it on.
    Deflection,
    /// Mobile subscriber not reachable, or not registered.
    Unavailable,
}

/// A station that passed the call on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diversion {
    /// Its number.
    pub number: String,
    /// Why it did.
    pub reason: DiversionReason,
}

/// IAM: a call begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Iam {
    /// The number wanted, as dialled: digits, `*`, `#`, leading `+`.
    pub called: String,
    /// Who calls; `None` when unknown.
    pub calling: Option<String>,
    /// The caller's name for a display.
    pub calling_name: Option<String>,
    /// Hops that are left (hop counter, Max-Forwards); `None`: the call begins here.
    pub hops: Option<u8>,
    /// Whether the caller may be shown.
    pub presentation: Presentation,
    /// Who passed the call on before, the latest first; at most [`crate::limits::DIVERSIONS_MAX`].
    pub diversions: Vec<Diversion>,
}

/// Called-party status of a backward call indicator (Q.763 3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalledStatus {
    /// No indication.
    NoIndication,
    /// Subscriber free: it rings.
    SubscriberFree,
}

/// Event information of CPG (Q.763 3.21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// 1: alerting.
    Alerting,
    /// 2: progress.
    Progress,
    /// 3: in-band information or an appropriate pattern is now available.
    InBand,
    /// 6: call forwarded unconditionally.
    Forwarded,
    /// No event of its own in Q.763: the call is queued (SIP 182), which ISUP shows as progress.
    Queued,
}

/// What legs say to each other through the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrunkEvent {
    /// Initial address message.
    Iam(Iam),
    /// Address complete; `in_band`: listen to the leg's audio.
    Acm {
        /// Does it ring?
        status: CalledStatus,
        /// Optional backward call indicator, bit A.
        in_band: bool,
    },
    /// Call progress.
    Cpg {
        /// What progressed.
        event: Progress,
        /// As in ACM.
        in_band: bool,
    },
    /// Answer, after an ACM.
    Anm,
    /// Connect: answer without an ACM before.
    Con,
    /// Release.
    Rel(Release),
    /// Release complete.
    Rlc,
}
