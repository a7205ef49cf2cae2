//! Offers of ours inside a dialog, and what happens when they meet one of the peer
//! (RFC 3261 14.1, RFC 3311 5.2, RFC 3264 4).
//!
//! [`Endpoint::offer`] may be called at any time: the offer waits until the dialog is confirmed and no
//! other one is under way in it, and tries again after 491.

use super::super::dialog::Dialog;
use super::super::endpoint::{Endpoint, Owner};
use super::super::message::{Header, HeaderName, Method, Response};
use super::super::transaction::ServerId;
use super::super::{Actions, Body, RequestId, SessionId};
use super::in_dialog::{Established, Offer};
use super::outgoing::Outgoing;
use super::{Session, State};
use crate::time::{Duration, Instant};

/// How often an offer is sent before its last refusal is passed on.
const TRIES_MAX: u8 = 6;
/// Longest Retry-After that an offer waits for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// An offer of ours that waits for its turn.
#[derive(Debug)]
pub(in crate::sip) struct Waiting {
    pub(super) request: RequestId,
    offer: Content,
    /// Not before this time: after a 491, or because of a Retry-After.
    pub(super) not_before: Option<Instant>,
}

/// What an offer is made of, for when it is sent again.
#[derive(Clone, Debug)]
pub(in crate::sip) struct Content {
    body: Option<Body>,
    headers: Vec<Header>,
    /// How often it was sent.
    tries: u8,
}

impl Endpoint {
    /// Sends a re-INVITE with this offer in the dialog of a session; without a body the peer is asked
    /// for one, and [`Endpoint::acknowledge`] is owed after the 2xx.
    ///
    /// It waits while the session is not established, while another offer is under way in either
    /// direction, and after a 491 as 14.1 says. One that waits is replaced by a later one, which
    /// keeps its name. [`super::super::Event::Response`] follows, once. `None` when the session is over.
    pub fn offer(
        &mut self,
        now: Instant,
        session: SessionId,
        body: Option<Body>,
        headers: Vec<Header>,
        out: &mut Actions,
    ) -> Option<RequestId> {
        let entry = self.sessions.get_mut(session).filter(|s| !s.told)?;
        let content = Content { body, headers, tries: 0 };
        let waiting = match entry.waiting.take() {
            Some(waiting) => Waiting { offer: content, ..waiting },
            None => {
                let credentials = entry.credentials.clone();
                let outgoing = Outgoing::new(Method::Invite, Some(session), credentials);
                Waiting { request: self.outgoing.insert(outgoing), offer: content, not_before: None }
            }
        };
        let request = waiting.request;
        if let Some(entry) = self.sessions.get_mut(session) {
            entry.waiting = Some(waiting);
        }
        self.send_waiting(now, session, out);
        Some(request)
    }

    /// Whether an offer may be made before the call is answered: offer and answer have been exchanged reliably in
    /// the early dialog, none is under way, and the peer takes UPDATE (RFC 3311 5.1, RFC 6337 2.2).
    pub fn may_offer_early(&mut self, session: SessionId) -> bool {
        let Some(entry) = self.sessions.get_mut(session).filter(|s| !s.told && s.peer.update) else { return false };
        let waits = |server: ServerId| self.table.servers.get(server).is_some();
        entry.early_offered.is_none() && !entry.early_offer.is_some_and(waits) && entry.settled_early().is_some()
    }

    /// Sends an UPDATE with this offer in the early dialog of a session; [`super::super::Event::Response`] follows.
    /// `None` when it may not be: see [`Endpoint::may_offer_early`]. It is not tried again after a refusal.
    pub fn offer_early(
        &mut self,
        now: Instant,
        session: SessionId,
        body: Body,
        headers: Vec<Header>,
        out: &mut Actions,
    ) -> Option<RequestId> {
        if !self.may_offer_early(session) {
            return None;
        }
        let entry = self.sessions.get_mut(session)?;
        let dialog = entry.settled_early()?;
        let request = dialog.request(Method::Update).with(HeaderName::Contact, &dialog.contact);
        let next_hop = dialog.next_hop();
        if let State::Calling(calling) = &mut entry.state {
            // The answer to it is what counts from now on, and no earlier one.
            calling.early.iter_mut().for_each(|early| early.answer = None);
        }
        entry.described = body.description().or_else(|| entry.described.take());
        let request = request
            .with(HeaderName::Allow, &self.allow)
            .with_headers(entry.extension_headers(&self.settings, false))
            .with_headers(headers)
            .with_body(Some(body));
        let outgoing = Outgoing::new(Method::Update, Some(session), entry.credentials.clone());
        let id = self.outgoing.insert(outgoing);
        if let Some(entry) = self.sessions.get_mut(session) {
            entry.early_offered = Some(id);
        }
        self.send_outgoing(now, id, next_hop, request, out);
        Some(id)
    }

    /// Sends the offer that waits, if nothing is in its way any more.
    pub(super) fn send_waiting(&mut self, now: Instant, id: SessionId, out: &mut Actions) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let State::Established(established) = &mut session.state else { return };
        let is_free = established.owed.is_none()
            && match established.offer {
                Offer::None => true,
                // Its transaction ended without our reply: the peer has given it up.
                Offer::Incoming(server) => self.table.servers.get(server).is_none(),
                Offer::Unacknowledged(_) | Offer::Outgoing(_) => false,
            };
        let is_time = |waiting: &mut super::Waiting| waiting.not_before.is_none_or(|at| at <= now);
        let Some(waiting) = session.waiting.take_if(|waiting| is_free && is_time(waiting)) else {
            // Its time has come and its turn has not: what is in its way wakes it, and no clock.
            if let Some(waiting) = session.waiting.as_mut().filter(|w| w.not_before.is_some_and(|at| at <= now)) {
                waiting.not_before = None;
            }
            return self.schedule(Owner::Session(id));
        };
        established.offer = Offer::Outgoing(waiting.request);
        let request = established.dialog.request(Method::Invite);
        let flow = established.dialog.next_hop();
        let contact = Header::new(HeaderName::Contact, &established.dialog.contact);
        let mut content = waiting.offer;
        content.tries = content.tries.saturating_add(1);
        let (body, headers) = (content.body.clone(), content.headers.clone());
        session.described = body.as_ref().and_then(Body::description).or_else(|| session.described.take());
        let request = request
            .with_headers([contact])
            .with(HeaderName::Allow, &self.allow)
            .with_headers(session.extension_headers(&self.settings, false))
            .with_headers(session.timer_headers(&self.settings))
            .with_headers(headers)
            .with_body(body);
        if let Some(outgoing) = self.outgoing.get_mut(waiting.request) {
            outgoing.offer = Some(content);
        }
        self.send_outgoing(now, waiting.request, flow, request, out);
    }

    /// 14.1: "If the UAC is the owner of the Call-ID of the dialog ID, T has a randomly chosen value of between 2.1 and
    /// 4 seconds in units of 10 ms", else "between 0 and 2 seconds".
    pub(super) fn glare_wait(&mut self, is_owner: bool) -> Duration {
        let (least, choices) = if is_owner { (210, 191) } else { (0, 201) };
        Duration::from_millis(10 * u64::from(least + self.secrets.next_u32() % choices))
    }

    /// Puts an offer that was refused for the moment back among those that wait. False: the refusal is final.
    pub(super) fn offer_again(&mut self, now: Instant, id: RequestId, response: &Response) -> bool {
        let Some(outgoing) = self.outgoing.get(id) else { return false };
        let Some((session_id, content)) = outgoing.session.zip(outgoing.offer.clone()) else { return false };
        let Some(caller) = self.sessions.get(session_id).map(|session| session.caller) else { return false };
        // RFC 3261 8.1.3.5: a peer that does not read what stands beside the description gets that alone.
        let description = content.body.as_ref().filter(|body| !body.is("application/sdp")).and_then(Body::description);
        let content = match description.filter(|_| response.status == 415) {
            Some(description) => Content { body: Some(description), headers: Vec::new(), ..content },
            None if response.status == 415 => return false,
            None => content,
        };
        let wait = match (response.status, retry_after(response)) {
            (415, _) => Duration::ZERO,
            (491, _) => self.glare_wait(caller),
            // 14.2 and RFC 3311 5.2: an offer that met an unanswered one gets 500 with Retry-After.
            (500, Some(after)) => after,
            _ => return false,
        };
        let not_before = Some(now + wait);
        let Some(session) = self.sessions.get_mut(session_id) else { return false };
        if let State::Established(established) = &mut session.state
            && matches!(established.offer, Offer::Outgoing(pending) if pending == id)
        {
            established.offer = Offer::None;
        }
        match &mut session.waiting {
            // A later offer is due instead, after the same time.
            Some(later) => {
                later.not_before = not_before;
                false
            }
            None if content.tries < TRIES_MAX => {
                session.waiting = Some(Waiting { request: id, offer: content, not_before });
                if let Some(outgoing) = self.outgoing.get_mut(id) {
                    outgoing.client = None;
                }
                self.schedule(Owner::Session(session_id));
                true
            }
            None => false,
        }
    }
}

/// The time of a Retry-After.
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers.text(&HeaderName::RetryAfter)?;
    let digits: String = value.trim().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().map(Duration::from_secs).filter(|after| *after <= RETRY_AFTER_MAX)
}

impl Session {
    /// The early dialog in which offer and answer have been exchanged reliably, the latest of them.
    fn settled_early(&mut self) -> Option<&mut Dialog> {
        match &mut self.state {
            State::Calling(calling) => calling.early.iter_mut().rev().find(|e| e.settled).map(|e| &mut e.dialog),
            State::Ringing(ringing) => {
                let is_settled = ringing.provisionals.settled && !ringing.provisionals.is_under_way();
                is_settled.then_some(&mut ringing.dialog)
            }
            _ => None,
        }
    }

    /// What is under way in a dialog that has just been confirmed.
    pub(super) fn offer_under_way(&self) -> Offer {
        self.early_offered.map_or(Offer::None, Offer::Outgoing)
    }
}

impl Established {
    /// A dialog that has just been confirmed.
    pub(super) fn new(dialog: super::Dialog, offer: Offer) -> Established {
        Established { dialog, owed: None, offer }
    }
}
