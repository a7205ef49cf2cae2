//! Transactions: table, matching keys, timer names and values (RFC 3261 17, RFC 6026).

/// A server transaction.
#[derive(Debug)]
pub struct Server {}
