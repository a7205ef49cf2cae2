//! One user agent: dispatch between transport, transactions and sessions.

use super::*;
use crate::rng::Seed;
use crate::time::Instant;

/// One SIP user agent, or both sides of a back-to-back one.
#[derive(Debug)]
pub struct Endpoint {
    settings: Settings,
    secrets: crate::rng::Secrets,
}

impl Endpoint {
    /// An endpoint without sessions. `seed` feeds tags, branches, Call-IDs and hash keys.
    pub fn new(settings: Settings, seed: &Seed) -> Self {
        Endpoint { settings, secrets: seed.fork("sip").secrets() }
    }

    /// A datagram came.
    pub fn handle_datagram(&mut self, now: Instant, flow: Flow, bytes: &[u8], out: &mut Actions) {
        let _ = (now, flow, bytes, out, &self.settings, &mut self.secrets);
    }

    /// Bytes of a connection came; `flow.connection` names it.
    pub fn handle_stream_bytes(&mut self, now: Instant, flow: Flow, bytes: &[u8], out: &mut Actions) {
        let _ = (now, flow, bytes, out);
    }

    /// A connection is open, accepted or asked for; `flow` has its addresses.
    pub fn handle_stream_opened(&mut self, now: Instant, connection: ConnectionId, flow: Flow, out: &mut Actions) {
        let _ = (now, connection, flow, out);
    }

    /// A connection closed, or could not be opened.
    pub fn handle_stream_closed(&mut self, now: Instant, connection: ConnectionId, out: &mut Actions) {
        let _ = (now, connection, out);
    }

    /// A datagram could not be sent.
    pub fn handle_unreachable(&mut self, now: Instant, flow: Flow, out: &mut Actions) {
        let _ = (now, flow, out);
    }

    /// The deadline has come.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Actions) {
        let _ = (now, out);
    }

    /// When `handle_timeout` is due; it may turn out that nothing is.
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Sends an INVITE.
    pub fn invite(&mut self, now: Instant, invite: OutgoingInvite, out: &mut Actions) -> SessionId {
        let _ = (now, invite, out);
        SessionId::from_bits(0)
    }

    /// Sends a provisional response (101 to 199) to an incoming INVITE.
    pub fn progress(
        &mut self,
        now: Instant,
        session: SessionId,
        status: u16,
        body: Option<Body>,
        headers: Vec<Header>,
        out: &mut Actions,
    ) {
        let _ = (now, session, status, body, headers, out);
    }

    /// Answers an incoming INVITE with 200; `body` is the answer, or the offer if there was none.
    pub fn accept(&mut self, now: Instant, session: SessionId, body: Option<Body>, out: &mut Actions) {
        let _ = (now, session, body, out);
    }

    /// Answers an incoming INVITE with 300 to 699.
    pub fn reject(&mut self, now: Instant, session: SessionId, status: u16, headers: Vec<Header>, out: &mut Actions) {
        let _ = (now, session, status, headers, out);
    }

    /// Ends a session: CANCEL, BYE or a rejection, by its state. Safe in every state and for stale ids.
    pub fn terminate(&mut self, now: Instant, session: SessionId, reason: Option<Reason>, out: &mut Actions) {
        let _ = (now, session, reason, out);
    }

    /// Acknowledges a 2xx whose body was the offer; `body` is the answer.
    pub fn acknowledge(&mut self, now: Instant, session: SessionId, body: Option<Body>, out: &mut Actions) {
        let _ = (now, session, body, out);
    }

    /// Replies to a request. Stale ids are ignored.
    pub fn reply(&mut self, now: Instant, server: ServerTransactionId, response: Response, out: &mut Actions) {
        let _ = (now, server, response, out);
    }

    /// Sends a request outside of dialogs; [`Event::Response`] follows.
    pub fn request(&mut self, now: Instant, request: OutgoingRequest, out: &mut Actions) -> RequestId {
        let _ = (now, request, out);
        RequestId::from_bits(0)
    }

    /// Sends INFO, UPDATE, re-INVITE or another request in the dialog of an established session;
    /// [`Event::Response`] follows. `None` when the session has no dialog (any more), or for a
    /// re-INVITE while another offer is pending.
    pub fn request_in_dialog(
        &mut self,
        now: Instant,
        session: SessionId,
        method: Method,
        body: Option<Body>,
        headers: Vec<Header>,
        out: &mut Actions,
    ) -> Option<RequestId> {
        let _ = (now, session, method, body, headers, out);
        None
    }

    /// What it holds.
    pub fn counts(&self) -> Counts {
        Counts::default()
    }
}
