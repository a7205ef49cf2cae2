//! Requests of the peer in a dialog, and what an established session owes (RFC 3261 12.2.2, 14, 15; RFC 3311).

use super::super::dialog::Dialog;
use super::super::endpoint::Endpoint;
use super::super::message::{HeaderName, Method, Response};
use super::super::parser::Message;
use super::super::transaction::{ClientId, ServerId};
use super::super::{Actions, Body, Ended, Event, RequestId, ServerTransactionId, SessionId};
use super::callee::Unacknowledged;
use super::{Parting, State};
use crate::time::Instant;

/// 2xx and ACK have been exchanged, or the ACK is the application's turn.
#[derive(Debug)]
pub(in crate::sip) struct Established {
    pub(super) dialog: Dialog,
    /// The ACK that carries the answer to an offer in the 2xx.
    pub(super) owed: Option<Owed>,
    pub(super) offer: Offer,
}

/// An ACK that waits for the application's answer.
#[derive(Debug)]
pub(in crate::sip) struct Owed {
    /// CSeq number of the INVITE.
    pub(super) number: u32,
    /// The re-INVITE; `None` for the INVITE that made the session.
    pub(super) request: Option<RequestId>,
    /// The INVITE's transaction, whose credentials the ACK repeats.
    pub(super) client: Option<ClientId>,
}

/// At most one offer is under way in a session (RFC 3264 4).
#[derive(Debug)]
pub(in crate::sip) enum Offer {
    None,
    /// A re-INVITE or UPDATE waits for our reply.
    Incoming(ServerId),
    /// Our 2xx to a re-INVITE waits for its ACK.
    Unacknowledged(Unacknowledged),
    /// Ours waits for the reply of the peer.
    Outgoing(RequestId),
}

impl Established {
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.offer {
            Offer::Unacknowledged(waiting) => Some(waiting.deadline()),
            _ => None,
        }
    }
}

impl Endpoint {
    /// A request with a tag in To.
    pub(in crate::sip) fn request_in_session(
        &mut self,
        now: Instant,
        server: ServerId,
        tag: &str,
        message: &Message<'_>,
        method: &Method,
        out: &mut Actions,
    ) {
        debug_assert_eq!(message.to.tag(), Some(tag));
        let Some(id) = self.session_of(message) else { return self.respond(now, server, Response::new(481), out) };
        let Some(session) = self.sessions.get_mut(id) else { return };
        if matches!(session.state, State::Gone) {
            // A BYE that crosses ours is for a dialog that we still know.
            let status = if *method == Method::Bye { 200 } else { 481 };
            return self.respond(now, server, Response::new(status), out);
        }
        let Some(dialog) = session.dialog(message.from.tag()) else {
            return self.respond(now, server, Response::new(481), out);
        };
        if dialog.check_sequence(&message.cseq).is_err() {
            return self.respond(now, server, Response::new(500), out);
        }
        if let Some(transaction) = self.table.servers.get_mut(server) {
            transaction.session = Some(id);
        }
        match method {
            Method::Bye => self.hung_up(now, id, server, out),
            Method::Prack => self.pracked(now, id, server, out),
            Method::Invite | Method::Update => self.offered(now, id, server, message, method, out),
            _ => {
                let Some(request) = self.table.servers.get(server).map(|s| s.request.clone()) else { return };
                self.add_pending(id, server);
                out.events.push(Event::InDialog { session: id, server, request });
            }
        }
    }

    pub(super) fn add_pending(&mut self, id: SessionId, server: ServerId) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.pending.retain(|pending| self.table.servers.get(*pending).is_some());
            session.pending.push(server);
        }
    }

    /// 15.1.2.
    fn hung_up(&mut self, now: Instant, id: SessionId, server: ServerId, out: &mut Actions) {
        let request = self.table.servers.get(server).map(|s| s.request.clone());
        self.respond(now, server, Response::new(200), out);
        let state = self.take_state(id);
        self.answer_pending(now, id, out);
        // Told before the rest is given up: with its last transaction the session itself goes.
        if let Some(request) = request {
            self.tell_end(id, Ended::Bye { request }, out);
        }
        match state {
            State::Calling(calling) => self.give_up_calling(&calling),
            State::Ringing(ringing) => self.give_up_ringing(now, id, *ringing, out),
            State::Established(established) => {
                // The peer waits for the ACK to its 2xx as well; a BYE of its own does not change that.
                self.acknowledge_owed(now, id, &established, None, out);
            }
            State::Answered(_) | State::Gone => {}
        }
        self.sweep(id);
    }

    /// 14.2 and RFC 3311 5.2: re-INVITE and UPDATE.
    fn offered(
        &mut self,
        now: Instant,
        id: SessionId,
        server: ServerId,
        message: &Message<'_>,
        method: &Method,
        out: &mut Actions,
    ) {
        let Some(request) = self.table.servers.get(server).map(|s| s.request.clone()) else { return };
        if let Some(session) = self.sessions.get_mut(id) {
            session.peer.learn(&request.headers);
        }
        // RFC 4028 9.
        if let Err(refusal) = super::expiry::check_interval(message, &self.settings) {
            return self.respond(now, server, *refusal, out);
        }
        let is_offer = *method == Method::Invite || request.describes();
        if is_offer && let Err(status) = self.check_glare(id, server, message.from.tag(), method) {
            let mut response = Response::new(status);
            if status == 500 {
                response = response.with(HeaderName::RetryAfter, self.secrets.next_u32() % 11);
            }
            return self.respond(now, server, response, out);
        }
        self.add_pending(id, server);
        // An UPDATE without body offers nothing and disturbs nothing: it refreshes target and timer. What else it
        // brings is for the other end.
        match is_offer || !request.body.is_empty() {
            true => out.events.push(Event::Offer { session: id, server, request }),
            false => self.reply(now, server, Response::new(200), out),
        }
    }

    /// Notes the offer, or says with which status it is refused.
    fn check_glare(
        &mut self,
        id: SessionId,
        server: ServerId,
        remote_tag: Option<&str>,
        method: &Method,
    ) -> Result<(), u16> {
        let Some(session) = self.sessions.get_mut(id) else { return Err(481) };
        let unanswered = session.early_offer.is_some_and(|earlier| self.table.servers.get(earlier).is_some());
        let offers = |server: ServerId| self.table.servers.get(server).is_some_and(|s| s.request.describes());
        let established = match &mut session.state {
            State::Established(established) => established,
            // RFC 3311 5.2: an UPDATE of ours has no answer yet.
            _ if session.early_offered.is_some() => return Err(491),
            // "A UAS that receives a second INVITE before it sends the final response to a first INVITE
            // [...] MUST return a 500 [...] with a Retry-After" (14.2).
            State::Ringing(_) if *method == Method::Invite => return Err(500),
            State::Calling(_) | State::Answered(_) if *method == Method::Invite => return Err(491),
            // RFC 3311 5.2, before the dialog is confirmed: 491 while an offer of ours has no answer, 500 while one
            // of the peer has none.
            State::Ringing(ringing) if ringing.provisionals.has_offered(offers(ringing.server)) => return Err(491),
            State::Ringing(ringing) if unanswered || !ringing.provisionals.settled => return Err(500),
            State::Answered(answered) if !offers(answered.unacknowledged.server) => return Err(491),
            State::Calling(calling) if !calling.is_settled(remote_tag) => return Err(491),
            State::Calling(_) | State::Answered(_) if unanswered => return Err(500),
            State::Ringing(_) | State::Calling(_) | State::Answered(_) => {
                session.early_offer = Some(server);
                return Ok(());
            }
            State::Gone => return Err(481),
        };
        match established.offer {
            // Its transaction ended without our reply: the peer has given it up.
            Offer::Incoming(earlier) if self.table.servers.get(earlier).is_some() => return Err(500),
            // "A UAS that receives an INVITE on a dialog while an INVITE it had sent on that dialog is in progress
            // MUST return a 491" (14.2).
            Offer::Outgoing(_) | Offer::Unacknowledged(_) => return Err(491),
            Offer::None | Offer::Incoming(_) => {}
        }
        if established.owed.is_some() {
            return Err(491);
        }
        established.offer = Offer::Incoming(server);
        Ok(())
    }

    /// Replies to a request. Stale ids are ignored.
    pub fn reply(&mut self, now: Instant, server: ServerTransactionId, response: Response, out: &mut Actions) {
        let Some(transaction) = self.table.servers.get(server) else { return };
        let Some(id) = transaction.session else { return self.respond(now, server, response, out) };
        let request = transaction.request.clone();
        let (method, contact) = (request.method.clone(), request.contact());
        let number = transaction.request.cseq().map_or(0, |cseq| cseq.number);
        let remote = request.from();
        let Some(session) = self.sessions.get_mut(id).filter(|s| s.pending.contains(&server)) else { return };
        let (is_final, is_2xx) = (response.status >= 200, (200..=299).contains(&response.status));
        if is_final {
            session.pending.retain(|pending| *pending != server);
            session.early_offer.take_if(|pending| *pending == server);
        }
        let is_refresh = matches!(method, Method::Invite | Method::Update);
        let mut response = response;
        if is_refresh
            && is_2xx
            && let Some(dialog) = session.dialog(remote.as_ref().and_then(|from| from.tag()))
        {
            // 12.2.2: "it MUST replace the dialog's remote target URI with the URI from the Contact".
            dialog.refresh_target(contact);
            response = response.with(HeaderName::Contact, &dialog.contact);
            response = response.with(HeaderName::Allow, &self.allow);
            response = response.with_headers(session.extension_headers(&self.settings, false));
            response = response.with_headers(session.refreshed_by_peer(now, &request, &self.settings));
            if let State::Calling(calling) = &mut session.state
                && request.describes()
                && let Some(early) = calling.early_of(remote.as_ref().and_then(|from| from.tag()))
            {
                // What was agreed on before is overtaken.
                early.answer = None;
            }
            session.described =
                response.typed_body().and_then(|body| body.description()).or_else(|| session.described.take());
        }
        if is_final
            && let State::Established(established) = &mut session.state
            && matches!(established.offer, Offer::Incoming(pending) if pending == server)
        {
            established.offer = match method {
                Method::Invite if is_2xx => {
                    Offer::Unacknowledged(Unacknowledged::new(now, server, number, &self.timers))
                }
                _ => Offer::None,
            };
        }
        self.respond(now, server, response, out);
        self.send_waiting(now, id, out);
        self.schedule(super::super::endpoint::Owner::Session(id));
    }

    /// Acknowledges a 2xx, or a reliable provisional response, whose body was the offer; `body` is the answer.
    pub fn acknowledge(&mut self, now: Instant, session: SessionId, body: Option<Body>, out: &mut Actions) {
        if let Some(entry) = self.sessions.get_mut(session) {
            entry.described = body.as_ref().and_then(Body::description).or_else(|| entry.described.take());
        }
        match self.take_state(session) {
            State::Calling(mut calling) => {
                // The offer came in a reliable provisional response: PRACK brings the answer (RFC 3262 5).
                if let Some((early, sequence)) = calling.owing() {
                    early.settled = true;
                    self.send_prack(now, session, early, sequence, body, out);
                }
                self.put_state(session, State::Calling(calling));
            }
            State::Established(mut established) => {
                self.acknowledge_owed(now, session, &established, body, out);
                established.owed = None;
                self.put_state(session, State::Established(established));
                self.send_waiting(now, session, out);
            }
            state => self.put_state(session, state),
        }
    }

    /// Whether the peer has made the offer, for our INVITE had none, and waits for [`Endpoint::acknowledge`]: it
    /// stood in a reliable provisional response or in the 2xx. (Anywhere else a description is no offer,
    /// RFC 3261 13.2.1.)
    pub fn owes_answer(&self, session: SessionId) -> bool {
        match self.sessions.get(session).map(|s| &s.state) {
            Some(State::Calling(calling)) => calling.early.iter().any(|early| early.owed.is_some()),
            Some(State::Established(established)) => established.owed.as_ref().is_some_and(|o| o.request.is_none()),
            _ => false,
        }
    }

    fn acknowledge_owed(
        &mut self,
        now: Instant,
        id: SessionId,
        established: &Established,
        body: Option<Body>,
        out: &mut Actions,
    ) {
        let Some(Owed { number, request, client }) = established.owed else { return };
        match request {
            Some(request) => self.acknowledge_request(now, request, &established.dialog, number, body, out),
            None => self.acknowledge_initial(now, id, &established.dialog, number, body, client, out),
        }
    }

    /// Ends an established session by BYE.
    pub(super) fn close(
        &mut self,
        now: Instant,
        id: SessionId,
        mut established: Established,
        parting: Parting,
        out: &mut Actions,
    ) {
        // Without ACK the peer would repeat its 2xx and never regard the dialog as confirmed.
        self.acknowledge_owed(now, id, &established, None, out);
        self.hang_up(now, id, &mut established.dialog, parting, out);
    }

    pub(super) fn time_established(
        &mut self,
        now: Instant,
        id: SessionId,
        mut established: Box<Established>,
        out: &mut Actions,
    ) {
        if let Offer::Unacknowledged(waiting) = &mut established.offer {
            if waiting.is_over(now) {
                // 14.2 refers to 13.3.1.4: no ACK, so the session ends.
                self.hang_up(now, id, &mut established.dialog, Parting::default(), out);
                return self.tell_end(id, Ended::AckMissing, out);
            }
            self.repeat_2xx(now, waiting, out);
        }
        self.put_state(id, State::Established(established));
    }
}
