//! Responses and where they go when their connection is gone: RFC 3261 18.2.2 and 17.2.4, RFC 3263 5.
//!
//! A response takes the connection of its request. When that is gone, another one is opened to where the
//! topmost Via says that the client listens; and when that does not open either, a few more, since a response
//! that waited for a connection is not repeated by anybody: over streams Timer G does not run. What was
//! written to an open connection counts as delivered.

use super::endpoint::Endpoint;
use super::transaction::ServerId;
use super::{Actions, ConnectionId, Flow};
use crate::time::Instant;

/// Connections that a response waits for, one after the other. RFC 3263 5 names one place to go for a numeric
/// sent-by; that it is tried again is for networks in which connections die.
const WAYS_MAX: u8 = 4;

impl Endpoint {
    /// Sends the last response of a server transaction (again).
    pub(super) fn send_again(&mut self, now: Instant, id: ServerId, out: &mut Actions) {
        let Some(server) = self.table.servers.get(id).filter(|s| !s.last.is_empty()) else { return };
        let bytes = server.last.clone();
        let mut flow = server.flow;
        // 18.2.2: "If that connection is no longer open, the server SHOULD open a connection to the IP address in
        // the 'received' parameter, if present, using the port in the 'sent-by' value".
        if flow.connection.is_some_and(|id| !self.connections.is_known(id)) {
            let Some(remote) = server.request.via().and_then(|via| via.listening_address()) else { return };
            flow = Flow { connection: None, remote, ..flow };
        }
        let taken = self.connections.send(now, flow, None, bytes, out).and_then(|flow| flow.connection);
        let waits_for = taken.filter(|connection| !self.connections.is_open(*connection));
        if let Some(server) = self.table.servers.get_mut(id) {
            server.waits_for = waits_for;
        }
    }

    /// A connection did not open. The responses that waited for it to open try another one.
    ///
    /// RFC 6026 8.8: "If those should all fail [...] the server transaction [...] MUST remain in the current
    /// state." The session repeats a 2xx by itself, and ends when no ACK comes.
    pub(super) fn answer_elsewhere(&mut self, now: Instant, connection: ConnectionId, out: &mut Actions) {
        let servers = self.table.servers.iter();
        let stuck: Vec<ServerId> =
            servers.filter(|(_, server)| server.waits_for == Some(connection)).map(|(id, _)| id).collect();
        for id in stuck {
            let Some(server) = self.table.servers.get_mut(id) else { continue };
            server.waits_for = None;
            server.ways_failed = server.ways_failed.saturating_add(1);
            if server.ways_failed < WAYS_MAX {
                self.send_again(now, id, out);
            }
        }
    }
}
