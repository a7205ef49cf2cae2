//! Requests of ours other than the INVITE that makes a session.

/// A request that waits for its response.
#[derive(Debug)]
pub struct Outgoing {}
