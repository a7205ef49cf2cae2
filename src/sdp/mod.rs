//! Session descriptions (RFC 8866, before it RFC 4566): parse and print.
//!
//! A description is kept as the lines that it was: what nobody here understands stays in its place
//! and is printed as it came. Typed views ([`Media::payload_types`], [`Media::attribute`]...) are
//! made on demand, and each of them answers "not there" for what cannot be read.
//! Negotiation is in [`offer_answer`]. This module knows nothing of SIP: a description is bytes.

mod offer_answer;

pub use offer_answer::{Agreed, Capabilities, Codec, Reject, accept, answer, offer};

use std::fmt;
use std::net::IpAddr;

/// Most lines of one description; more is refused.
const LINES_MAX: usize = 1_000;
/// Most media descriptions; more is refused.
const MEDIA_MAX: usize = 64;

/// An RTP payload type, 0 to 127 (RFC 3550 5.1: seven bits).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayloadType(u8);

impl PayloadType {
    /// PCMU (RFC 3551 table 4).
    pub const PCMU: PayloadType = PayloadType(0);
    /// PCMA (RFC 3551 table 4).
    pub const PCMA: PayloadType = PayloadType(8);
    /// What we call telephone-event in our offers; dynamic (RFC 3551 section 3).
    pub const EVENTS: PayloadType = PayloadType(101);

    /// The payload type with this value; `None` above 127.
    pub fn new(value: u8) -> Option<PayloadType> {
        (value <= 127).then_some(PayloadType(value))
    }

    /// The value, 0 to 127.
    pub fn value(self) -> u8 {
        self.0
    }
}

impl From<PayloadType> for u8 {
    fn from(value: PayloadType) -> u8 {
        value.0
    }
}

impl fmt::Display for PayloadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for PayloadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Who sends on a medium, seen from who wrote the description (RFC 8866 6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both; what counts when nothing is said.
    #[default]
    SendRecv,
    /// The writer sends and does not listen: he holds.
    SendOnly,
    /// The writer listens and does not send.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// The direction of someone who wants to send and to receive, or not.
    pub fn of(sends: bool, receives: bool) -> Direction {
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    /// Whether the writer sends.
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// Whether the writer listens.
    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// The name of the attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }
}

/// One line, as it came: `kind=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The letter before `=`.
    pub kind: u8,
    /// What follows it, without the line end. Bytes, because `s=` may be in any character set.
    pub value: Vec<u8>,
}

/// A session description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Lines before the first `m=`, in order.
    pub lines: Vec<Line>,
    /// Media descriptions, in order.
    pub media: Vec<Media>,
}

/// A media description: one `m=` line and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// `audio`, `video`, ...
    pub kind: String,
    /// Port; 0: refused or ended (RFC 3264 section 6 and 8.2).
    pub port: u16,
    /// Number of ports after the slash, when given; kept, otherwise ignored.
    pub port_count: Option<u16>,
    /// `RTP/AVP`, ...
    pub protocol: String,
    /// Format list, in order of preference.
    pub formats: Vec<String>,
    /// Lines of this medium, in order.
    pub lines: Vec<Line>,
}

/// Why bytes are no session description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A line is not `letter=value`.
    #[error("line {0} of the session description is not letter=value")]
    Line(usize),
    /// The first line is not `v=0` (RFC 8866 5.1).
    #[error("the session description does not begin with v=0")]
    Version,
    /// An `m=` line lacks parts or has a port beyond 65535.
    #[error("line {0} of the session description is no valid m= line")]
    Media(usize),
    /// More lines or media than anybody needs.
    #[error("the session description is too long")]
    TooLong,
}
