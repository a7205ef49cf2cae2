//! The SIP core seen from outside: messages in, transactions and dialogs out.

use std::net::SocketAddr;

/// Names a TCP connection; accepted ones are named by the shell from 2^63 up, ours by the core from 1 up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// RFC 3261 18.1: unreliable, the transaction layer repeats.
    Udp,
    /// Reliable, framed by Content-Length.
    Tcp,
}

/// Where bytes came from or go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// UDP or TCP.
    pub transport: Transport,
    /// Our address.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
    /// The connection, for TCP.
    pub connection: Option<ConnectionId>,
}
