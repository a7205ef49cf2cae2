//! M3UA (RFC 4666): ISUP messages over SCTP associations, to a signalling gateway or straight to a peer.
//!
//! [`wire`] has the octets.

pub mod wire;

pub use wire::{Class, Error, Kind, Message, ProtocolData, SERVICE_ISUP, tag};
