//! The names of failures in a dial plan. What a SIP answer or a cause is called is decided where calls are.

/// How a call to a target failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureName {
    /// The person is busy.
    Busy,
    /// It rang, and nobody answered.
    NoAnswer,
    /// Refused.
    Rejected,
    /// There is no such number.
    Unassigned,
    /// The way is full, or gave no sign of the telephone.
    Congestion,
    /// The way is out of order.
    Unavailable,
    /// No answer of any kind in time.
    Timeout,
    /// Not tried: the trunk or line is known to be down.
    TrunkDown,
    /// Ended in an ordinary way, or for a reason that has no other name.
    Cleared,
}

impl FailureName {
    /// Every one, with its name.
    pub const ALL: [(&'static str, FailureName); 9] = [
        ("busy", FailureName::Busy),
        ("no-answer", FailureName::NoAnswer),
        ("rejected", FailureName::Rejected),
        ("unassigned", FailureName::Unassigned),
        ("congestion", FailureName::Congestion),
        ("unavailable", FailureName::Unavailable),
        ("timeout", FailureName::Timeout),
        ("trunk-down", FailureName::TrunkDown),
        ("cleared", FailureName::Cleared),
    ];

    /// Those after which the next target of a route is tried when the configuration does not say: the way was at
    /// fault. Busy, no answer, a refusal or an unassigned number are answers.
    pub const FAULTS: [FailureName; 4] =
        [FailureName::Congestion, FailureName::Unavailable, FailureName::Timeout, FailureName::TrunkDown];
}
