//! We are called: 100, provisional responses, 2xx until ACK, CANCEL (RFC 3261 13.3, 9.2).

use super::super::carried::{Carried, reads_parts};
use super::super::dialog::Dialog;
use super::super::endpoint::Endpoint;
use super::super::message::{Header, HeaderName, Method, Request, Response};
use super::super::parser::Message;
use super::super::transaction::{Resend, ServerId, Timers};
use super::super::{Actions, Body, Ended, Event, Flow, Reliable, ServerTransactionId, SessionId, uas};
use super::in_dialog::{Established, Offer};
use super::reliable::Provisionals;
use super::{Parting, Session, State};
use crate::time::{Duration, Instant};

/// 17.2.1: "unless it knows that the TU will generate a response within 200 ms" a 100 is sent.
const TRYING_AFTER: Duration = Duration::from_millis(200);
/// 13.3.1.1: "the UAS MUST send a non-100 provisional response at every minute" while it rings.
const PROVISIONAL_EVERY: Duration = Duration::from_secs(60);

/// An INVITE waits for our final response.
#[derive(Debug)]
pub(in crate::sip) struct Ringing {
    pub(super) server: ServerId,
    /// Its CSeq number; requests in the early dialog may have come since.
    pub(super) number: u32,
    pub(super) provisionals: Provisionals,
    pub(super) dialog: Dialog,
    /// When 100 is sent, if nothing is before.
    trying: Option<Instant>,
    /// When the last provisional response is sent again.
    again: Option<Instant>,
}

impl Ringing {
    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.trying, self.again, self.provisionals.deadline()].into_iter().flatten().min()
    }
}

/// A 2xx of ours that waits for its ACK (13.3.1.4).
#[derive(Debug)]
pub(in crate::sip) struct Unacknowledged {
    /// The INVITE's transaction.
    pub(super) server: ServerId,
    /// Its CSeq number, which the ACK bears.
    pub(super) number: u32,
    /// T1 doubling up to T2, over TCP too: there may be other transports on the way.
    resend: Resend,
    /// 64 T1.
    end: Instant,
}

impl Unacknowledged {
    pub(super) fn new(now: Instant, server: ServerId, number: u32, timers: &Timers) -> Unacknowledged {
        let resend = Resend { at: now + timers.t1, interval: timers.t1 };
        Unacknowledged { server, number, resend, end: now + timers.t1_64() }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.resend.at.min(self.end)
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.end <= now
    }
}

/// We answered with 2xx.
#[derive(Debug)]
pub(in crate::sip) struct Answered {
    pub(super) dialog: Dialog,
    pub(super) unacknowledged: Unacknowledged,
    /// The application wants to end it: BYE as soon as the ACK is there.
    pub(super) closing: Option<Parting>,
}

impl Endpoint {
    /// Whether the application decides about this request before anything is done with it: one for those that are
    /// named, if it may be for their telephones, and whatever goes to another domain except REGISTER.
    pub(in crate::sip) fn asks_first(&self, request: &Request) -> bool {
        let settings = &self.settings;
        let is_for_them = matches!(
            request.method,
            Method::Invite | Method::Message | Method::Options | Method::Subscribe | Method::Refer | Method::Other(_)
        );
        let is_named = is_for_them
            && !settings.asks_first.is_empty()
            && request.uri.user().is_some_and(|user| settings.asks_first.contains(&user));
        let may_leave = request.method != Method::Register;
        is_named
            || may_leave
                && request.uri.host().is_some_and(|host| settings.asks_first_at.iter().any(|h| h.equivalent(host)))
    }

    /// Takes a request of [`Event::Undecided`] as user agent: [`Event::Incoming`] follows, or [`Event::Request`], or
    /// it is refused.
    pub fn be_called(&mut self, now: Instant, server: ServerTransactionId, flow: Flow, out: &mut Actions) {
        let Some(bytes) = self.table.servers.get(server).map(|server| server.request.to_bytes()) else { return };
        // What was read once can be read again.
        let Ok(message) = super::super::parser::parse(&bytes) else { return };
        match uas::inspect(&message, &self.settings) {
            Ok(()) => match self.table.servers.get(server).map(|server| server.request.clone()) {
                Some(request) if request.method != Method::Invite => {
                    out.events.push(Event::Request { server, request, flow });
                }
                _ => self.invited(now, server, flow, out),
            },
            Err(response) => self.respond(now, server, *response, out),
        }
    }

    /// A new INVITE.
    pub(in crate::sip) fn invited(&mut self, now: Instant, server: ServerId, flow: Flow, out: &mut Actions) {
        if self.sessions.len() >= self.settings.sessions_max {
            let retry = 5 + self.secrets.next_u32() % 6;
            return self.respond(now, server, Response::new(503).with(HeaderName::RetryAfter, retry), out);
        }
        let Some(transaction) = self.table.servers.get(server) else { return };
        let (request, local_tag) = (transaction.request.clone(), transaction.local_tag.clone());
        let contact = self.contact(request.uri.user().as_deref(), &flow, uas::wants_secure(&request));
        let Some(dialog) = Dialog::of_server(&request, &local_tag, contact, flow) else {
            return self.respond(now, server, Response::new(400), out);
        };
        let call_id = dialog.call_id.clone();
        let number = dialog.remote_seq.unwrap_or(0);
        let provisionals = Provisionals::default();
        let ringing = Ringing { server, number, provisionals, dialog, trying: Some(now + TRYING_AFTER), again: None };
        let mut session = Session::new(false, local_tag.clone(), call_id, self.settings.min_se);
        session.peer.learn(&request.headers);
        let id = self.sessions.insert(session);
        self.by_tag.insert(local_tag, id);
        if let Some(transaction) = self.table.servers.get_mut(server) {
            transaction.session = Some(id);
        }
        self.put_state(id, State::Ringing(Box::new(ringing)));
        // The application may still decide otherwise.
        let policy = if self.knows("100rel") { Reliable::Supported } else { Reliable::Off };
        let _ = self.agree_on_reliability(id, policy);
        out.events.push(Event::Incoming { session: id, request, flow });
    }

    /// Sends a provisional response (101 to 199) to an incoming INVITE; `body` is a description.
    pub fn progress(
        &mut self,
        now: Instant,
        session: SessionId,
        status: u16,
        body: Option<Body>,
        headers: Vec<Header>,
        out: &mut Actions,
    ) {
        self.progress_with(now, session, status, body, headers.into(), out);
    }

    /// The same, with what the other leg of a call brings.
    pub fn progress_with(
        &mut self,
        now: Instant,
        session: SessionId,
        status: u16,
        body: Option<Body>,
        carried: Carried,
        out: &mut Actions,
    ) {
        match self.take_state(session) {
            State::Ringing(mut ringing) if (101..=199).contains(&status) => {
                if let Some(entry) = self.sessions.get_mut(session) {
                    entry.described = body.clone().or_else(|| entry.described.take());
                }
                let carried = self.readable(ringing.server, carried);
                self.send_provisional(now, &mut ringing, status, body, carried, out);
                ringing.trying = None;
                ringing.again = Some(now + PROVISIONAL_EVERY);
                self.put_state(session, State::Ringing(ringing));
            }
            state => self.put_state(session, state),
        }
    }

    /// What of this the sender of a request can read in the response.
    fn readable(&self, server: ServerId, carried: Carried) -> Carried {
        let reads = || self.table.servers.get(server).is_some_and(|server| reads_parts(&server.request));
        if carried.parts.is_empty() || reads() { carried } else { carried.without_parts() }
    }

    /// Answers an incoming INVITE with 200; `body` is the answer, or the offer if there was none.
    pub fn accept(&mut self, now: Instant, session: SessionId, body: Option<Body>, out: &mut Actions) {
        self.accept_with(now, session, body, Carried::default(), out);
    }

    /// The same, with what the other leg of a call brings.
    pub fn accept_with(
        &mut self,
        now: Instant,
        session: SessionId,
        body: Option<Body>,
        carried: Carried,
        out: &mut Actions,
    ) {
        match self.take_state(session) {
            State::Ringing(mut ringing) => {
                let carried = self.readable(ringing.server, carried);
                let Ok((body, carried)) = Self::may_accept(&mut ringing, body, carried) else {
                    return self.put_state(session, State::Ringing(ringing));
                };
                let Ringing { server, number, dialog, .. } = *ringing;
                let mut response =
                    Response::new(200).with(HeaderName::Contact, &dialog.contact).with(HeaderName::Allow, &self.allow);
                if let Some((entry, transaction)) = self.sessions.get_mut(session).zip(self.table.servers.get(server)) {
                    let request = &transaction.request;
                    response = response.with_headers(entry.extension_headers(&self.settings, false));
                    response = response.with_headers(entry.refreshed_by_peer(now, request, &self.settings));
                    entry.described = body.clone().or_else(|| entry.described.take());
                }
                self.respond(now, server, response.with_content(body, carried), out);
                let unacknowledged = Unacknowledged::new(now, server, number, &self.timers);
                let answered = Answered { dialog, unacknowledged, closing: None };
                self.put_state(session, State::Answered(Box::new(answered)));
            }
            state => self.put_state(session, state),
        }
    }

    /// Answers an incoming INVITE with 300 to 699. In any other state it is [`Endpoint::terminate`].
    pub fn reject(&mut self, now: Instant, session: SessionId, status: u16, headers: Vec<Header>, out: &mut Actions) {
        self.reject_with(now, session, status, headers.into(), out);
    }

    /// The same, with what the other leg of a call brings.
    pub fn reject_with(&mut self, now: Instant, session: SessionId, status: u16, carried: Carried, out: &mut Actions) {
        match self.take_state(session) {
            State::Ringing(ringing) => {
                let status = if (300..=699).contains(&status) { status } else { 500 };
                let carried = self.readable(ringing.server, carried);
                self.refuse(now, session, *ringing, Response::new(status).with_content(None, carried), out);
                self.tell_end(session, Ended::Local, out);
                self.sweep(session);
            }
            state => {
                self.put_state(session, state);
                self.terminate(now, session, None, out);
            }
        }
    }

    pub(super) fn refuse(
        &mut self,
        now: Instant,
        session: SessionId,
        ringing: Ringing,
        response: Response,
        out: &mut Actions,
    ) {
        self.respond(now, ringing.server, response, out);
        self.answer_pending(now, session, out);
    }

    pub(super) fn time_ringing(&mut self, now: Instant, id: SessionId, mut ringing: Box<Ringing>, out: &mut Actions) {
        if ringing.trying.is_some_and(|at| at <= now) {
            ringing.trying = None;
            self.respond(now, ringing.server, Response::new(100), out);
        }
        if !self.repeat_provisional(now, &mut ringing, out) {
            return self.give_up_provisional(now, id, *ringing, out);
        }
        if ringing.again.is_some_and(|at| at <= now) {
            ringing.again = Some(now + PROVISIONAL_EVERY);
            self.send_again(now, ringing.server, out);
        }
        self.put_state(id, State::Ringing(ringing));
    }

    pub(super) fn time_answered(
        &mut self,
        now: Instant,
        id: SessionId,
        mut answered: Box<Answered>,
        out: &mut Actions,
    ) {
        if answered.unacknowledged.is_over(now) {
            // "If the server retransmits the 2xx response for 64*T1 seconds without receiving an ACK, the dialog is
            // confirmed, but the session SHOULD be terminated [...] with a BYE" (13.3.1.4).
            let parting = answered.closing.take().unwrap_or_default();
            self.hang_up(now, id, &mut answered.dialog, parting, out);
            return self.tell_end(id, Ended::AckMissing, out);
        }
        self.repeat_2xx(now, &mut answered.unacknowledged, out);
        self.put_state(id, State::Answered(answered));
    }

    pub(super) fn repeat_2xx(&mut self, now: Instant, waiting: &mut Unacknowledged, out: &mut Actions) {
        if waiting.resend.at <= now {
            waiting.resend = waiting.resend.doubled(now, Some(self.timers.t2));
            self.send_again(now, waiting.server, out);
        }
    }

    /// ACK to a 2xx, which is a request of the dialog without transaction.
    pub(in crate::sip) fn acknowledged(&mut self, now: Instant, message: &Message<'_>, out: &mut Actions) {
        let Some(id) = self.session_of(message) else { return };
        if self.sessions.get_mut(id).and_then(|s| s.dialog(message.from.tag())).is_none() {
            return;
        }
        let body = message.to_request().and_then(|request| request.typed_body());
        match self.take_state(id) {
            State::Answered(answered) if answered.unacknowledged.number == message.cseq.number => {
                let Answered { mut dialog, closing, unacknowledged } = *answered;
                if let Some(server) = self.table.servers.get_mut(unacknowledged.server) {
                    server.is_acknowledged();
                }
                match closing {
                    Some(parting) => {
                        self.hang_up(now, id, &mut dialog, parting, out);
                        self.sweep(id);
                    }
                    None => {
                        let offer = self.sessions.get(id).map_or(Offer::None, Session::offer_under_way);
                        self.put_state(id, State::Established(Box::new(Established::new(dialog, offer))));
                        out.events.push(Event::Established { session: id, body });
                        self.send_waiting(now, id, out);
                    }
                }
            }
            State::Established(mut established) => {
                let is_awaited = |u: &Unacknowledged| u.number == message.cseq.number;
                if matches!(&established.offer, Offer::Unacknowledged(u) if is_awaited(u)) {
                    established.offer = Offer::None;
                    out.events.push(Event::Acknowledged { session: id, body });
                }
                self.put_state(id, State::Established(established));
                self.send_waiting(now, id, out);
            }
            state => self.put_state(id, state),
        }
    }

    /// 9.2: the CANCEL gets its 200, the INVITE its 487, unless it has a final response already.
    pub(in crate::sip) fn cancelled(
        &mut self,
        now: Instant,
        cancel: ServerId,
        invite: Option<ServerId>,
        out: &mut Actions,
    ) {
        let Some(invite) = invite else { return self.respond(now, cancel, Response::new(481), out) };
        let request = self.table.servers.get(cancel).map(|server| server.request.clone());
        self.respond(now, cancel, Response::new(200), out);
        if let Some(proxy) = self.table.servers.get(invite).and_then(|server| server.proxy) {
            return self.proxy_cancelled(now, proxy, out);
        }
        let Some((id, request)) = self.table.servers.get(invite).and_then(|s| s.session).zip(request) else { return };
        match self.take_state(id) {
            State::Ringing(ringing) if ringing.server == invite => {
                self.refuse(now, id, *ringing, Response::new(487), out);
                self.tell_end(id, Ended::Cancelled { request }, out);
                self.sweep(id);
            }
            State::Established(mut established) => {
                if matches!(established.offer, Offer::Incoming(server) if server == invite) {
                    established.offer = Offer::None;
                    self.respond(now, invite, Response::new(487), out);
                }
                self.put_state(id, State::Established(established));
            }
            state => self.put_state(id, state),
        }
    }

    /// The session that a request in a dialog belongs to, by our tag and Call-ID.
    pub(super) fn session_of(&self, message: &Message<'_>) -> Option<SessionId> {
        let id = *self.by_tag.get(message.to.tag()?)?;
        let session = self.sessions.get(id)?;
        (session.call_id == message.call_id).then_some(id)
    }

    /// A BYE for an INVITE that we have not answered.
    pub(super) fn give_up_ringing(&mut self, now: Instant, id: SessionId, ringing: Ringing, out: &mut Actions) {
        self.refuse(now, id, ringing, Response::new(487), out);
    }
}
