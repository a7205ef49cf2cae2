//! A circuit as a leg: trunk events to ISUP messages and back, as functions of plain values (RFC 3398, RFC 3578).
//!
//! ```text
//!   IAM ◀──▶ Iam: numbers, natures, presentation, screening, category, medium, diversions, hops
//!   ACM ◀──▶ ACM                  CPG ◀──▶ CPG: 1 to 6           SAM, SUS, RES ◀──▶ the same
//!   CON ◀──▶ CON (ANSI: ANM)      ANM ◀──▶ ANM                   REL ◀──▶ REL with its location
//!   INR, FAR, IDR: answered here  FOT and the rest: nothing of it concerns the other leg
//! ```
//!
//! What the texts of Q.763 and Q.764 would settle and RFC 3398 does not is marked **unverified** where it stands.

mod backward;
pub mod body;
mod forward;
mod numbers;
pub mod overlap;

pub use backward::{answer_of, event_of, messages_of};
pub use forward::{iam_message, iam_of};

use crate::isup::Variant;
use crate::trunk::Location;

/// How the exchanges at the far end of a trunk group write things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// The name of the group, for [`crate::trunk::Diversion::by`].
    pub name: String,
    /// The variant.
    pub variant: Variant,
    /// Country code of the exchange, without `+`: national numbers become international ones by it, and the other
    /// way round (RFC 3398 12). `None`: national numbers stay as they are.
    pub country_code: Option<String>,
    /// Where releases that are decided here are said to be decided.
    pub location: Location,
}

impl Default for Side {
    fn default() -> Self {
        Side { name: String::new(), variant: Variant::Itu, country_code: None, location: Location::LocalNetwork }
    }
}
