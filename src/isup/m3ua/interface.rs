//! What goes into an end of M3UA and comes out of it: settings, names of associations, outputs, notices, counters.

use super::error::{Code, TrafficMode};
use crate::isup::{PointCode, Variant};
use crate::time::Duration;
use std::fmt;
use std::net::SocketAddr;

/// Which end we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An application server process of a signalling gateway: sets associations up.
    Asp,
    /// A peer that has the user part itself, as we have: sets them up or accepts them (single exchange).
    Ipsp,
    /// A signalling gateway process: accepts them.
    Sgp,
}

/// What an end is and how it behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which end.
    pub role: Role,
    /// ITU or ANSI.
    pub variant: Variant,
    /// Our point code: of DATA that we take.
    pub own: PointCode,
    /// The far exchange's: where DATA goes.
    pub peer: PointCode,
    /// Network indicator of labels: 0 international, 2 national.
    pub network: u8,
    /// How processes share the traffic; not said, and taken for override, when there is none.
    pub mode: Option<TrafficMode>,
    /// Routing context, if the peer knows us by one.
    pub context: Option<u32>,
    /// Network appearance, if the peer knows the network by one.
    pub appearance: Option<u32>,
    /// ASP identifier, if the peer wants one.
    pub asp: Option<u32>,
    /// Where associations are set up to; none when they are accepted. At most [`crate::limits::M3UA_PEERS`].
    pub peers: Vec<SocketAddr>,
    /// T(ack): how long an acknowledgement may take.
    pub ack: Duration,
    /// T(r): how long messages wait for a process to become active.
    pub recovery: Duration,
    /// T(beat): how often to ask whether the peer is there.
    pub heartbeat: Option<Duration>,
}

/// The name of an association. None is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AssociationId(pub u32);

/// What an end wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Set up an association and call it so; [`super::Endpoint::handle_opened`] or [`super::Endpoint::handle_closed`] is owed.
    Connect {
        /// Its name.
        association: AssociationId,
        /// To there.
        peer: SocketAddr,
    },
    /// End it, or the attempt. Nothing is owed.
    Close(AssociationId),
    /// Send a message over it.
    Transmit {
        /// Over which.
        association: AssociationId,
        /// On which stream: 0 for what is about processes, from 1 on for DATA. The transport counts down from
        /// there when it has fewer.
        stream: u16,
        /// The message.
        octets: Vec<u8>,
    },
    /// An ISUP message came, from its circuit on.
    Deliver(Vec<u8>),
    /// The far end can be reached from now on, or can't.
    Available(bool),
    /// For the log.
    Notice(Notice),
}

/// What is worth a line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whose association.
    pub peer: Option<SocketAddr>,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A process went from one state to the next.
    State(&'static str),
    /// An association is gone or did not come.
    Lost(String),
    /// The peer says ERR.
    Complaint(Code),
    /// We said ERR.
    Refused(Code),
    /// The peer says NTFY.
    Status(u32),
    /// The far exchange is, in words.
    Destination(&'static str),
}

impl Notice {
    /// Whether an operator should see it.
    pub fn is_warning(&self) -> bool {
        matches!(self.what, What::Lost(_) | What::Complaint(_) | What::Refused(_))
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(peer) = self.peer {
            write!(f, "{peer}: ")?;
        }
        match &self.what {
            What::State(name) => f.write_str(name),
            What::Lost(reason) => write!(f, "no association: {reason}"),
            What::Complaint(code) => write!(f, "the peer says error {code}"),
            What::Refused(code) => write!(f, "the peer is told error {code}"),
            What::Status(status) => f.write_str(super::status::name(*status)),
            What::Destination(name) => write!(f, "the far exchange is {name}"),
        }
    }
}

/// Messages that went no further, and why; and those that did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// ISUP messages delivered.
    pub delivered: u64,
    /// DATA sent.
    pub sent: u64,
    /// ISUP messages that were not sent: nobody was active in time, or too many waited.
    pub unsent: u64,
    /// What is no M3UA message, or lacks a parameter.
    pub malformed: u64,
    /// DATA of another user part.
    pub other_service: u64,
    /// DATA for another point code, from another, or of another network.
    pub other_label: u64,
    /// DATA of another routing context or network appearance.
    pub other_context: u64,
    /// DATA while not active.
    pub inactive: u64,
}
