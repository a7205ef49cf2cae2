//! M3UA (RFC 4666): ISUP messages over SCTP associations, to a signalling gateway or straight to a peer. Core
//! code: [`Endpoint`] is one end, [`wire`] has the octets.
//!
//! Not here: registration of routing keys (4.4), the double exchange of IPSPs, several routing contexts over one
//! association, more than one far exchange behind one endpoint.

pub mod asp;
mod dispatch;
pub mod endpoint;
pub mod error;
mod interface;
mod label;
pub mod remote;
pub mod server;
#[cfg(test)]
mod tests;
pub mod wire;

pub use endpoint::Endpoint;
pub use error::{Code, TrafficMode, status};
pub use interface::{AssociationId, Counters, Notice, Output, Role, Settings, What};
pub use wire::{Class, Error, Kind, Message, ProtocolData, SERVICE_ISUP, tag};
