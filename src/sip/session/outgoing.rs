//! Requests of ours other than the INVITE that makes a session: OPTIONS and REGISTER outside of
//! dialogs, re-INVITE, UPDATE and INFO in them (RFC 3261 8.1, 12.2.1, 14.1).

use super::super::compose::{once_more, wants_another_nonce, with_credentials};
use super::super::dialog::Dialog;
use super::super::endpoint::{Endpoint, Owner};
use super::super::message::{Header, HeaderName, Method, Request, Response};
use super::super::transaction::{ClientId, User};
use super::super::{
    Actions, Body, CSeq, Credentials, Ended, Event, Failure, Flow, NextHop, OutgoingRequest, RequestId, SessionId,
};
use super::in_dialog::{Offer, Owed};
use super::offers::Content;
use super::{Parting, State};
use crate::time::Instant;

/// A request that waits for its response.
#[derive(Debug)]
pub struct Outgoing {
    method: Method,
    pub(in crate::sip) session: Option<SessionId>,
    pub(super) client: Option<ClientId>,
    /// Transactions of it that are not gone yet, earlier ones included.
    transactions: usize,
    credentials: Option<Credentials>,
    /// How often they have been tried.
    tries: u8,
    /// The application has been told.
    over: bool,
    /// ACK to the 2xx of a re-INVITE, for when it comes again.
    ack: Option<(Vec<u8>, Flow)>,
    /// What it is made of, for an offer that tries again.
    pub(super) offer: Option<Content>,
    /// Our own doing, of which the application hears nothing.
    silent: bool,
}

impl Outgoing {
    pub(super) fn new(method: Method, session: Option<SessionId>, credentials: Option<Credentials>) -> Outgoing {
        Outgoing {
            method,
            session,
            client: None,
            transactions: 0,
            credentials,
            tries: 0,
            over: false,
            ack: None,
            offer: None,
            silent: false,
        }
    }

    /// The application hears nothing of its outcome.
    pub(super) fn silently(self) -> Outgoing {
        Outgoing { silent: true, ..self }
    }

    /// Keeps the ACK of a re-INVITE for when its 2xx comes again.
    pub(in crate::sip) fn keep_ack(&mut self, bytes: Vec<u8>, flow: Flow) {
        self.ack = Some((bytes, flow));
    }

    /// One more transaction of it is under way, with a server that has said nothing.
    pub(in crate::sip) fn is_left_at_a_server(&mut self) {
        self.transactions += 1;
    }

    /// Whether this transaction is the one whose end is its end.
    pub(in crate::sip) fn is_decided_by(&self, client: ClientId) -> bool {
        self.client.is_none_or(|current| current == client)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }
}

impl Endpoint {
    /// Sends a request outside of dialogs; [`Event::Response`] follows, at once when it cannot be sent.
    pub fn request(&mut self, now: Instant, request: OutgoingRequest, out: &mut Actions) -> RequestId {
        let (call_id, number) = match request.sequence {
            Some(sequence) => sequence,
            None => (self.secrets.token::<24>(), 1),
        };
        let tag = self.secrets.token::<16>();
        let flow = self.flow_of(&request.next_hop);
        let secure = request.target.is_secure();
        let mut message = Request::new(request.method.clone(), request.target)
            .with(HeaderName::MaxForwards, 70)
            .with(HeaderName::From, request.from.with_tag(&tag))
            .with(HeaderName::To, request.to)
            .with(HeaderName::CallId, call_id)
            .with(HeaderName::CSeq, CSeq { number, method: request.method.clone() });
        if let Some(user) = request.contact_user {
            message = message.with(HeaderName::Contact, self.contact(Some(&user), &flow, secure));
        }
        message = message.with_headers(request.headers).with_body(request.body);
        let id = self.outgoing.insert(Outgoing::new(request.method, None, request.credentials.clone()));
        let message = self.log_in_ahead(request.credentials.as_ref(), message);
        self.send_outgoing(now, id, request.next_hop, message, out);
        id
    }

    /// Sends INFO, UPDATE, re-INVITE or another request in the dialog of an established session;
    /// [`Event::Response`] follows. `None` when the session has no dialog (any more), or for an
    /// offer while another one is pending.
    pub fn request_in_dialog(
        &mut self,
        now: Instant,
        session: SessionId,
        method: Method,
        body: Option<Body>,
        headers: Vec<Header>,
        out: &mut Actions,
    ) -> Option<RequestId> {
        let is_offer =
            method == Method::Invite || (method == Method::Update && body.as_ref().is_some_and(Body::describes));
        let entry = self.sessions.get_mut(session)?;
        let credentials = entry.credentials.clone();
        let State::Established(established) = &mut entry.state else { return None };
        if is_offer && (established.owed.is_some() || !matches!(established.offer, Offer::None)) {
            return None;
        }
        let mut request = established.dialog.request(method.clone());
        let flow = established.dialog.next_hop();
        if matches!(method, Method::Invite | Method::Update) {
            request =
                request.with(HeaderName::Contact, &established.dialog.contact).with(HeaderName::Allow, &self.allow);
        } else if matches!(method, Method::Notify | Method::Refer | Method::Subscribe) {
            request = request.with(HeaderName::Contact, &established.dialog.contact);
        }
        let id = self.outgoing.insert(Outgoing::new(method.clone(), Some(session), credentials));
        if is_offer {
            established.offer = Offer::Outgoing(id);
        }
        if matches!(method, Method::Invite | Method::Update) {
            request = request
                .with_headers(entry.extension_headers(&self.settings, false))
                .with_headers(entry.timer_headers(&self.settings));
            entry.described = body.as_ref().and_then(Body::description).or_else(|| entry.described.take());
        }
        self.send_outgoing(now, id, flow, request.with_headers(headers).with_body(body), out);
        Some(id)
    }

    /// Sends a request without body in a dialog, of whose outcome the application hears nothing.
    pub(super) fn request_silently(&mut self, now: Instant, session: SessionId, method: Method, out: &mut Actions) {
        let events = out.events.len();
        if let Some(id) = self.request_in_dialog(now, session, method, None, Vec::new(), out) {
            match self.outgoing.get_mut(id) {
                Some(outgoing) => outgoing.silent = true,
                // It could not be sent, and said so.
                None => out.events.truncate(events),
            }
        }
    }

    pub(super) fn send_outgoing(
        &mut self,
        now: Instant,
        id: RequestId,
        next_hop: impl Into<NextHop>,
        request: Request,
        out: &mut Actions,
    ) {
        match self.start_client(now, next_hop, request, User::Request(id), out) {
            Some(client) => {
                if let Some(outgoing) = self.outgoing.get_mut(id) {
                    outgoing.client = Some(client);
                    outgoing.transactions += 1;
                }
            }
            None => {
                self.settle_request(id, Err(Failure::Transport), out);
                self.forget_request(id);
            }
        }
    }

    /// A response to a request of ours.
    pub(in crate::sip) fn request_answered(
        &mut self,
        now: Instant,
        id: RequestId,
        client: ClientId,
        response: Response,
        out: &mut Actions,
    ) {
        let Some(outgoing) = self.outgoing.get_mut(id) else { return };
        if response.status < 200 {
            return;
        }
        let is_2xx = (200..=299).contains(&response.status);
        // A server that was left since it said nothing has passed the re-INVITE on after all.
        if !outgoing.over && is_2xx && outgoing.method == Method::Invite {
            outgoing.client = Some(client);
        }
        if outgoing.over || outgoing.client != Some(client) {
            // The 2xx to a re-INVITE came again.
            if let Some((bytes, flow)) = outgoing.ack.clone() {
                self.connections.send(now, flow, None, bytes, out);
            }
            return;
        }
        let session = outgoing.session;
        let method = outgoing.method.clone();
        // Once, and once more when only the nonce was wrong.
        let may_try = outgoing.tries == 0 || (outgoing.tries == 1 && wants_another_nonce(&response));
        outgoing.tries = outgoing.tries.saturating_add(1);
        if let Some(credentials) = outgoing.credentials.clone().filter(|_| may_try)
            && self.answer_challenge(now, id, client, &response, &credentials, out)
        {
            return;
        }
        if self.wants_longer_interval(now, id, client, &response, out) || self.offer_again(now, id, &response) {
            return;
        }
        if is_2xx && let Some(session) = session {
            self.refreshed(now, id, session, client, &response, out);
        }
        let status = response.status;
        let silent = self.outgoing.get(id).is_some_and(|o| o.silent);
        self.settle_request(id, Ok(response.clone()), out);
        if matches!(method, Method::Invite | Method::Update)
            && !is_2xx
            && let Some(session) = session
        {
            self.refresh_failed(now, session, Some(&response));
        }
        // A peer whose Allow promised too much is refreshed by re-INVITE.
        if silent
            && matches!(status, 405 | 501)
            && let Some(session) = session
        {
            self.refresh_by_invite(now, session, out);
        }
        if let Some(session) = session {
            self.send_waiting(now, session, out);
        }
        // "If the response for a request within a dialog is a 481 or a 408, the UAC SHOULD terminate the
        // dialog" (12.2.1.2).
        // PRACK says nothing about the call: its INVITE will.
        if matches!(status, 408 | 481)
            && let Some(session) = session.filter(|_| method != Method::Prack)
        {
            self.lose_dialog(now, session, Ended::Rejected { status, response }, out);
        }
    }

    fn answer_challenge(
        &mut self,
        now: Instant,
        id: RequestId,
        client: ClientId,
        response: &Response,
        credentials: &Credentials,
        out: &mut Actions,
    ) -> bool {
        let Some(transaction) = self.table.clients.get(client) else { return false };
        let (request, Some(flow)) = (transaction.request.clone(), transaction.sent) else { return false };
        let Some(field) = self.credentials_for(response, credentials, &request) else {
            return false;
        };
        self.send_anew(now, id, flow, with_credentials(request, field), out);
        true
    }

    /// RFC 4028 7.3: a refresh whose interval is too short for somebody is sent with a longer one.
    fn wants_longer_interval(
        &mut self,
        now: Instant,
        id: RequestId,
        client: ClientId,
        response: &Response,
        out: &mut Actions,
    ) -> bool {
        let Some(session) = self.outgoing.get(id).and_then(|o| o.session) else { return false };
        let Some(session) = self.sessions.get_mut(session) else { return false };
        if !session.longer_interval(response) {
            return false;
        }
        let timer = session.timer_headers(&self.settings);
        let Some(transaction) = self.table.clients.get(client) else { return false };
        let (request, Some(flow)) = (once_more(transaction.request.clone()), transaction.sent) else { return false };
        self.send_anew(now, id, flow, super::caller::with_timer(request, timer), out);
        true
    }

    /// Sends a request once more, with the next number of its dialog.
    fn send_anew(&mut self, now: Instant, id: RequestId, flow: Flow, mut request: Request, out: &mut Actions) {
        let session = self.outgoing.get(id).and_then(|o| o.session);
        let remote = request.to();
        if let Some(session) = session.and_then(|id| self.sessions.get_mut(id))
            && let Some(dialog) = session.dialog(remote.as_ref().and_then(|to| to.tag()))
        {
            // Another request may have taken the next number meanwhile.
            dialog.local_seq = dialog.local_seq.saturating_add(1);
            let cseq = CSeq { number: dialog.local_seq, method: request.method.clone() };
            request.headers.set(Header::new(HeaderName::CSeq, cseq));
        }
        self.send_outgoing(now, id, flow, request, out);
    }

    /// A 2xx to a re-INVITE or UPDATE: the remote target, and the ACK.
    fn refreshed(
        &mut self,
        now: Instant,
        id: RequestId,
        session: SessionId,
        client: ClientId,
        response: &Response,
        out: &mut Actions,
    ) {
        let Some(method) = self.outgoing.get(id).map(|o| o.method.clone()) else { return };
        let Some(entry) = self.sessions.get_mut(session) else { return };
        entry.peer.learn(&response.headers);
        if matches!(method, Method::Invite | Method::Update) {
            entry.refreshed_by_us(now, response, &self.settings);
            self.schedule(Owner::Session(session));
        }
        let Some(State::Established(established)) = self.sessions.get_mut(session).map(|s| &mut s.state) else {
            return;
        };
        if matches!(method, Method::Invite | Method::Update) {
            established.dialog.refresh_target(response.contact());
        }
        if method != Method::Invite {
            return;
        }
        let number = response.cseq().map_or(0, |cseq| cseq.number);
        let dialog = established.dialog.clone();
        let has_offer = self.table.clients.get(client).is_some_and(|c| c.describes);
        if has_offer {
            self.acknowledge_request(now, id, &dialog, number, None, out);
        } else {
            established.owed = Some(Owed { number, request: Some(id), client: Some(client) });
        }
    }

    /// ACK to the 2xx of a re-INVITE.
    pub(super) fn acknowledge_request(
        &mut self,
        now: Instant,
        id: RequestId,
        dialog: &Dialog,
        number: u32,
        body: Option<Body>,
        out: &mut Actions,
    ) {
        let credentials = self.credentials_of(self.outgoing.get(id).and_then(|o| o.client));
        let ack = dialog.acknowledge(number).with_body(body);
        let (bytes, flow) = self.send_ack(now, dialog.next_hop(), ack, credentials, User::AckRequest(id), out);
        if let Some(outgoing) = self.outgoing.get_mut(id).filter(|_| !bytes.is_empty()) {
            outgoing.keep_ack(bytes, flow);
        }
    }

    /// A request of ours got no answer.
    pub(in crate::sip) fn request_failed(&mut self, now: Instant, id: RequestId, failure: Failure, out: &mut Actions) {
        let Some(outgoing) = self.outgoing.get(id) else { return };
        let session = outgoing.session.filter(|_| outgoing.method != Method::Prack);
        let is_refresh = outgoing.silent && outgoing.method == Method::Update;
        self.settle_request(id, Err(failure), out);
        // No answer counts as a 408 (8.1.3.1).
        if let Some(session) = session {
            // A way that is broken now may be there again before the session ends.
            if is_refresh && failure == Failure::Transport {
                return self.refresh_failed(now, session, None);
            }
            let how = if failure == Failure::Transport { Ended::TransportFailure } else { Ended::Timeout };
            self.lose_dialog(now, session, how, out);
        }
    }

    /// The peer does not know the dialog any more, or does not answer in it.
    fn lose_dialog(&mut self, now: Instant, session: SessionId, how: Ended, out: &mut Actions) {
        match self.take_state(session) {
            State::Established(established) => {
                self.close(now, session, *established, Parting::default(), out);
                self.tell_end(session, how, out);
            }
            state => self.put_state(session, state),
        }
    }

    /// Tells the application the outcome of a request, once.
    pub(super) fn settle_request(&mut self, id: RequestId, outcome: Result<Response, Failure>, out: &mut Actions) {
        let Some(outgoing) = self.outgoing.get_mut(id) else { return };
        if std::mem::replace(&mut outgoing.over, true) {
            return;
        }
        let (session, silent) = (outgoing.session, outgoing.silent);
        let flow = outgoing.client.and_then(|client| self.table.clients.get(client)).and_then(|client| client.sent);
        if let Some(entry) = session.and_then(|id| self.sessions.get_mut(id)) {
            entry.early_offered.take_if(|pending| *pending == id);
        }
        if let Some(State::Established(established)) =
            session.and_then(|id| self.sessions.get_mut(id)).map(|session| &mut session.state)
            && matches!(established.offer, Offer::Outgoing(pending) if pending == id)
        {
            established.offer = Offer::None;
        }
        if !silent {
            out.events.push(Event::Response { request: id, session, outcome, flow });
        }
    }

    /// The transaction of a request is gone; returns the session that counted it.
    pub(in crate::sip) fn release_request(&mut self, id: RequestId, client: ClientId) -> Option<SessionId> {
        let outgoing = self.outgoing.get_mut(id)?;
        let session = outgoing.session;
        outgoing.transactions = outgoing.transactions.saturating_sub(1);
        // A challenged request lives on in its second transaction, a refused offer until it is sent again.
        if outgoing.over || outgoing.client == Some(client) {
            self.forget_request(id);
        }
        session
    }

    /// Removes a request that is over, unless transactions of it still absorb what comes again: they look
    /// here for the session that counts them.
    pub(super) fn forget_request(&mut self, id: RequestId) {
        if self.outgoing.get(id).is_some_and(|outgoing| outgoing.transactions == 0) {
            self.outgoing.remove(id);
        }
    }
}
