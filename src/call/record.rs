//! Call detail records: one for each call attempt, written when the call has ended.

use crate::time::Instant;
use crate::trunk::interwork::{Rule, name_of};
use crate::trunk::{Cause, Release};
use std::fmt;

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
    /// What was translated between statuses and causes, in order; the first [`crate::limits::TRANSLATIONS_PER_CALL`].
    pub translations: Vec<Translation>,
}

/// One value that a leg said or was told, in its own language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// A SIP status.
    Status(u16),
    /// A SIP request that ends a call without saying why: `BYE`, `CANCEL`.
    Request(&'static str),
    /// A Q.850 cause with where it was decided.
    Release(Release),
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Said::Status(status) => write!(f, "status={status}"),
            Said::Request(method) => f.write_str(method),
            Said::Release(Release { cause, location }) => {
                write!(f, "cause={cause} location={}", location.as_token())?;
                name_of(*cause).map_or(Ok(()), |name| write!(f, " ({name})"))
            }
        }
    }
}

/// A value that came in one language and was said in the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Whose leg speaks SIP here: `trunk/carrier`, `phone/201`.
    pub leg: String,
    /// As it came.
    pub original: Said,
    /// What became of it.
    pub mapped: Said,
    /// Which rule did that.
    pub source: &'static str,
    /// Whose table it stands in, and the name of its profile; `None` where a header decided, and no table.
    pub table: Option<(String, &'static str)>,
    /// Whether the row was compared with the text of its source.
    pub verified: bool,
    /// What the profile would have said, where the configuration of the trunk says otherwise.
    pub instead_of: Option<Said>,
}

impl Translation {
    /// The same value in the other language because a header said so.
    pub fn by_header(leg: &str, original: Said, mapped: Said, source: &'static str) -> Translation {
        let leg = leg.to_owned();
        Translation { leg, original, mapped, source, table: None, verified: true, instead_of: None }
    }

    /// By a row of a table.
    pub fn by_rule<V: Copy>(
        leg: &str,
        table: (String, &'static str),
        original: Said,
        rule: Rule<V>,
        said: impl Fn(V) -> Said,
    ) -> Translation {
        Translation {
            leg: leg.to_owned(),
            original,
            mapped: said(rule.value),
            source: rule.source,
            table: Some(table),
            verified: rule.verified,
            instead_of: rule.instead_of.map(said),
        }
    }
}

/// A cause with the location of another release.
pub fn said_cause(location: crate::trunk::Location) -> impl Fn(Cause) -> Said {
    move |cause| Said::Release(Release { cause, location })
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
