//! Trunk events: the waist of the design.
//!
//! Every leg, SIP or line, speaks these ISUP-style events; [`crate::call`] joins any two legs with
//! one machine. Names are those of Q.763/Q.764; causes are those of Q.850.

mod address;
pub mod interwork;
pub mod tables;

pub use address::{CallingCategory, IsupBody, Medium, Nature, Screening};

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
    /// 25: exchange routing error; also a call that has made all its hops.
    pub const ROUTING_ERROR: Cause = Cause(25);
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
    /// Private network serving the local user (1).
    LocalPrivate,
    /// Public network serving the local user (2): ourselves, for a line.
    LocalNetwork,
    /// Transit network (3).
    Transit,
    /// Public network serving the remote user (4).
    RemoteNetwork,
    /// Private network serving the remote user (5).
    RemotePrivate,
    /// International network (7).
    International,
    /// Network beyond interworking point (10): what came from SIP.
    BeyondInterworking,
}

impl Location {
    const TOKENS: [(Location, &'static str); 8] = [
        (Location::User, "U"),
        (Location::LocalPrivate, "LPN"),
        (Location::LocalNetwork, "LN"),
        (Location::Transit, "TN"),
        (Location::RemoteNetwork, "RLN"),
        (Location::RemotePrivate, "RPN"),
        (Location::International, "INTL"),
        (Location::BeyondInterworking, "BI"),
    ];

    /// Its token in a Reason header (RFC 8606 3).
    pub fn as_token(self) -> &'static str {
        Self::TOKENS.iter().find(|(location, _)| *location == self).map_or("BI", |(_, token)| token)
    }

    /// The location of a token; `None` for spare and unknown ones.
    pub fn of_token(token: &str) -> Option<Location> {
        Self::TOKENS.iter().find(|(_, known)| known.eq_ignore_ascii_case(token)).map(|(location, _)| *location)
    }
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

/// A telephone that sent a call on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diversion {
    /// Its name, `phone/201`; that of the trunk whose peer told of it.
    pub by: String,
    /// Its number.
    pub number: String,
    /// Why.
    pub why: DiversionReason,
    /// Whether it may be shown.
    pub presentation: Presentation,
}

/// Why a telephone sent a call on (Q.763 3.36, redirecting reason).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiversionReason {
    /// It always does.
    Always,
    /// It is busy.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// It is not registered, or does not respond.
    Unreachable,
    /// Its user sent the call on while it rang.
    DeflectedRinging,
    /// Its user sent the call on at once.
    DeflectedAtOnce,
    /// A peer told of it and not why.
    #[default]
    Unknown,
}

impl DiversionReason {
    const ALL: [(DiversionReason, &'static str, u16); 7] = [
        (DiversionReason::Always, "unconditional", 302),
        (DiversionReason::Busy, "user-busy", 486),
        (DiversionReason::NoAnswer, "no-answer", 408),
        (DiversionReason::Unreachable, "unavailable", 503),
        (DiversionReason::DeflectedAtOnce, "deflection", 480),
        (DiversionReason::DeflectedRinging, "deflection", 487),
        (DiversionReason::Unknown, "unknown", 404),
    ];

    /// `reason` of a Diversion field (RFC 5806 4.1).
    pub fn as_diversion(self) -> &'static str {
        Self::ALL.iter().find(|(reason, ..)| *reason == self).map_or("unknown", |(_, word, _)| word)
    }

    /// The SIP status that stands for it in History-Info (RFC 4458 table 1).
    pub fn as_status(self) -> u16 {
        Self::ALL.iter().find(|(reason, ..)| *reason == self).map_or(404, |(.., status)| *status)
    }

    /// The reason that a Diversion field names.
    pub fn of_diversion(word: &str) -> DiversionReason {
        Self::ALL.iter().find(|(_, known, _)| known.eq_ignore_ascii_case(word)).map(|(r, ..)| *r).unwrap_or_default()
    }

    /// The reason that a status in History-Info stands for.
    pub fn of_status(status: u16) -> DiversionReason {
        Self::ALL.iter().find(|(.., known)| *known == status).map(|(r, ..)| *r).unwrap_or_default()
    }
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
    /// Who passed the call on before it came here, the first one first; at most
    /// [`crate::limits::DIVERSIONS_MAX`].
    pub diversions: Vec<Diversion>,
    /// What the digits of `called` are.
    pub called_nature: Nature,
    /// What the digits of `calling` are.
    pub calling_nature: Nature,
    /// How much `calling` is worth.
    pub screening: Screening,
    /// Who calls.
    pub category: CallingCategory,
    /// What the way must carry.
    pub medium: Medium,
    /// How often the call was redirected as somebody told, where that is more than there are diversions.
    pub redirections: u8,
    /// Whether more digits may follow (no ST came, Q.764 2.1.2).
    pub more_digits: bool,
    /// The IAM that it came in, where the caller's side speaks ISUP: whoever speaks it too learns what stands nowhere
    /// here (RFC 3372 3.1).
    pub isup: Option<Box<IsupBody>>,
}

impl Iam {
    /// As somebody sees it who is not trusted with the number of an anonymous caller.
    #[must_use]
    pub fn as_shown(&self) -> Iam {
        match self.presentation {
            Presentation::Allowed => self.clone(),
            Presentation::Restricted => Iam { calling: None, calling_name: None, isup: None, ..self.clone() },
        }
    }
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
    /// 4: call forwarded on busy.
    ForwardedBusy,
    /// 5: call forwarded on no reply.
    ForwardedNoReply,
    /// No event of its own in Q.763: the call is queued (SIP 182), which ISUP shows as progress.
    Queued,
}

impl Progress {
    /// Whether it says that the call goes elsewhere: SIP 181.
    pub fn is_forwarding(self) -> bool {
        matches!(self, Progress::Forwarded | Progress::ForwardedBusy | Progress::ForwardedNoReply)
    }
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
    /// Subsequent address message: more digits of the number wanted; an `F` behind them is ST, the number is complete.
    Sam(String),
    /// Suspend: the called telephone was hung up, and may come back.
    Sus {
        /// Whether the network says so (timer T6), and not an ISDN subscriber (T2).
        network: bool,
    },
    /// Resume: it came back.
    Res {
        /// As in SUS.
        network: bool,
    },
}
