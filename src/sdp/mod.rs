//! Session descriptions (RFC 8866, before it RFC 4566): parse and print.
//!
//! A description is kept as the lines that it was: what nobody here understands stays in its place
//! and is printed as it came. Typed views ([`Media::payload_types`], [`Media::attribute`]...) are
//! made on demand, and each of them answers "not there" for what cannot be read.
//! Negotiation is in [`offer_answer`]. This module knows nothing of SIP: a description is bytes.

mod offer_answer;

pub use offer_answer::{
    Agreed, Capabilities, Codec, Reject, accept, answer, answer_with, offer, offer_again, offer_with,
};

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

impl Description {
    /// Reads a description. Lines end in CRLF or LF; empty lines are passed over.
    pub fn parse(bytes: &[u8]) -> Result<Description, Malformed> {
        let mut description = Description::default();
        let mut version_seen = false;
        for (index, raw) in bytes.split(|&b| b == b'\n').enumerate() {
            let number = index + 1;
            if number > LINES_MAX {
                return Err(Malformed::TooLong);
            }
            let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
            let (kind, value) = match raw {
                [] => continue,
                [kind, b'=', value @ ..] if kind.is_ascii_alphabetic() => (*kind, value),
                _ => return Err(Malformed::Line(number)),
            };
            if !version_seen {
                if (kind, value.trim_ascii_end()) != (b'v', b"0") {
                    return Err(Malformed::Version);
                }
                version_seen = true;
            }
            if kind == b'm' {
                if description.media.len() == MEDIA_MAX {
                    return Err(Malformed::TooLong);
                }
                description.media.push(Media::parse_line(value).ok_or(Malformed::Media(number))?);
                continue;
            }
            let line = Line { kind, value: value.to_vec() };
            match description.media.last_mut() {
                Some(media) => media.lines.push(line),
                None => description.lines.push(line),
            }
        }
        if version_seen { Ok(description) } else { Err(Malformed::Version) }
    }

    /// The bytes of the description, lines ended by CRLF.
    pub fn print(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        print_lines(&self.lines, &mut bytes);
        for media in &self.media {
            bytes.extend_from_slice(media.line().as_bytes());
            bytes.extend_from_slice(b"\r\n");
            print_lines(&media.lines, &mut bytes);
        }
        bytes
    }

    /// Where `media` wants packets: its own `c=` line or that of the session (RFC 8866 5.7).
    /// `None` when there is none, or when it names a host instead of an address.
    pub fn connection(&self, media: &Media) -> Option<IpAddr> {
        let value = value_of(&media.lines, b'c').or_else(|| value_of(&self.lines, b'c'))?;
        let mut words = value.split_ascii_whitespace();
        let (network, family, address) = (words.next()?, words.next()?, words.next()?);
        if !network.eq_ignore_ascii_case("IN") {
            return None;
        }
        // A multicast address has "/ttl/count" behind it; unicast is all that we talk to.
        match family {
            "IP4" => address.parse().ok().map(IpAddr::V4),
            "IP6" => address.parse().ok().map(IpAddr::V6),
            _ => None,
        }
    }

    /// Direction of `media`; an attribute of the session counts where the medium has none.
    pub fn direction(&self, media: &Media) -> Direction {
        direction_in(&media.lines).or_else(|| direction_in(&self.lines)).unwrap_or_default()
    }
}

impl Media {
    fn parse_line(value: &[u8]) -> Option<Media> {
        let mut words = std::str::from_utf8(value).ok()?.split_ascii_whitespace();
        let kind = words.next()?.to_owned();
        let ports = words.next()?;
        let (port, port_count) = match ports.split_once('/') {
            Some((port, count)) => (port.parse().ok()?, Some(count.parse().ok()?)),
            None => (ports.parse().ok()?, None),
        };
        let protocol = words.next()?.to_owned();
        Some(Media { kind, port, port_count, protocol, formats: words.map(str::to_owned).collect(), lines: Vec::new() })
    }

    /// The `m=` line, without its end.
    fn line(&self) -> String {
        let mut line = format!("m={} {}", self.kind, self.port);
        if let Some(count) = self.port_count {
            line.push_str(&format!("/{count}"));
        }
        line.push(' ');
        line.push_str(&self.protocol);
        for format in &self.formats {
            line.push(' ');
            line.push_str(format);
        }
        line
    }

    /// The formats that are RTP payload types, in order; others are passed over.
    pub fn payload_types(&self) -> impl Iterator<Item = PayloadType> + '_ {
        self.formats.iter().filter_map(|f| f.parse().ok().and_then(PayloadType::new))
    }

    /// The value of `a=NAME:value`, of the first such line.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        attributes(&self.lines).find_map(|(n, value)| if n == name { value } else { None })
    }

    /// What follows `a=NAME:TYPE `, for attributes that speak of one payload type.
    fn attribute_of(&self, name: &str, payload_type: PayloadType) -> Option<&str> {
        attributes(&self.lines).filter(|(n, _)| *n == name).find_map(|(_, value)| {
            let (format, rest) = value?.split_once(' ')?;
            (format.parse().ok() == Some(payload_type.value())).then(|| rest.trim())
        })
    }

    /// The mapping of a payload type (RFC 8866 6.6): name, clock rate in Hz, channels.
    pub fn rtpmap(&self, payload_type: PayloadType) -> Option<(&str, u32, u8)> {
        let mut parts = self.attribute_of("rtpmap", payload_type)?.split('/');
        let (name, rate) = (parts.next()?, parts.next()?.trim().parse().ok()?);
        let channels = parts.next().map_or(Some(1), |c| c.trim().parse().ok())?;
        Some((name, rate, channels))
    }

    /// The format parameters of a payload type (RFC 8866 6.15).
    pub fn fmtp(&self, payload_type: PayloadType) -> Option<&str> {
        self.attribute_of("fmtp", payload_type)
    }
}

fn print_lines(lines: &[Line], bytes: &mut Vec<u8>) {
    for line in lines {
        bytes.extend_from_slice(&[line.kind, b'=']);
        bytes.extend_from_slice(&line.value);
        bytes.extend_from_slice(b"\r\n");
    }
}

fn value_of(lines: &[Line], kind: u8) -> Option<&str> {
    let line = lines.iter().find(|l| l.kind == kind)?;
    std::str::from_utf8(&line.value).ok()
}

/// All `a=name` and `a=name:value` lines that are text.
fn attributes(lines: &[Line]) -> impl Iterator<Item = (&str, Option<&str>)> {
    lines.iter().filter(|l| l.kind == b'a').filter_map(|line| {
        let text = std::str::from_utf8(&line.value).ok()?;
        Some(match text.split_once(':') {
            Some((name, value)) => (name, Some(value.trim())),
            None => (text.trim_end(), None),
        })
    })
}

fn direction_in(lines: &[Line]) -> Option<Direction> {
    attributes(lines).find_map(|(name, _)| match name {
        "sendrecv" => Some(Direction::SendRecv),
        "sendonly" => Some(Direction::SendOnly),
        "recvonly" => Some(Direction::RecvOnly),
        "inactive" => Some(Direction::Inactive),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
