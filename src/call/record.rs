//! Call detail records: one for each call attempt, written when the call has ended.

use crate::time::Instant;
use crate::trunk::Release;

/// One call, after its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// Number of the call, counted from the start of the process.
    pub call: u64,
    /// Where it came from: `phone/201`, `station/105`, `trunk/loopback`.
    pub from: String,
    /// The caller's number, if known.
    pub calling: Option<String>,
    /// The number wanted.
    pub called: String,
    /// Where it went: `station/101`, `trunk/carrier`; `None` when it never left.
    pub to: Option<String>,
    /// When it began.
    pub began_at: Instant,
    /// When it was answered.
    pub answered_at: Option<Instant>,
    /// When it was released.
    pub ended_at: Instant,
    /// Why.
    pub release: Release,
    /// Who released it.
    pub released_by: ReleasedBy,
    /// SIP status as it came from the called side, when that is how the call failed.
    pub status: Option<u16>,
    /// Who transferred it, `phone/201`: from then on it is the call of the two others.
    pub transferred_by: Option<String>,
}

/// Who ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleasedBy {
    /// The calling side.
    Caller,
    /// The called side.
    Callee,
    /// The gateway: no route, an operator, a timer, a fault.
    Gateway,
}

impl ReleasedBy {
    /// One word for logs and records.
    pub fn as_str(self) -> &'static str {
        match self {
            ReleasedBy::Caller => "caller",
            ReleasedBy::Callee => "callee",
            ReleasedBy::Gateway => "gateway",
        }
    }
}
