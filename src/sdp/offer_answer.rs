//! Offer and answer (RFC 3264): codecs, direction, telephone-event (RFC 4733), ptime.

use super::PayloadType;
use std::net::{IpAddr, SocketAddr};

/// A codec that we can negotiate; both at 8000 Hz, one channel (RFC 3551 4.5.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
}

/// What we can do, and where we would receive it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Our address for RTP.
    pub address: IpAddr,
    /// Our port for RTP.
    pub port: u16,
    /// Codecs, best first; not empty.
    pub codecs: Vec<Codec>,
    /// Whether digits go as telephone-event where the peer can.
    pub events: bool,
    /// `o=`: the same through a session (RFC 3264 section 8).
    pub session_id: u64,
    /// `o=`: one more with every description that differs from the one before.
    pub version: u64,
}

/// What both sides agreed on, seen from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Where the peer wants RTP, as it said in SDP.
    pub remote: SocketAddr,
    /// Codec in both directions.
    pub codec: Codec,
    /// Its payload type in both directions.
    pub payload_type: PayloadType,
    /// Payload type of telephone-event, when both can (digits 0-15 of RFC 4733).
    pub event_payload_type: Option<PayloadType>,
    /// Milliseconds a packet, 10 to 60.
    pub ptime_ms: u8,
    /// Whether we send.
    pub sends: bool,
    /// Whether we listen.
    pub receives: bool,
}

/// Why a description cannot be agreed to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Reject {
    /// 400: cannot be read; 415: not our kind of description; 488: nothing in common.
    pub status: u16,
    /// For the log and a Warning header.
    pub why: String,
}

/// Our offer.
pub fn offer(_ours: &Capabilities) -> String {
    String::new()
}

/// Our answer to an offer, and what is agreed on by it.
pub fn answer(_offer: &[u8], _ours: &Capabilities) -> Result<(String, Agreed), Reject> {
    Err(Reject { status: 488, why: "nothing in common".to_owned() })
}

/// Reads the answer to our offer.
pub fn accept(_answer: &[u8], _ours: &Capabilities) -> Result<Agreed, Reject> {
    Err(Reject { status: 488, why: "nothing in common".to_owned() })
}
