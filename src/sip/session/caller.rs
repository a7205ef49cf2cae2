//! We call: INVITE, provisional responses, forks, CANCEL, ACK (RFC 3261 13.2, 9.1).

use super::super::compose::{once_more, top_via, wants_another_nonce, with_credentials};
use super::super::dialog::Dialog;
use super::super::endpoint::Endpoint;
use super::super::headers::NameAddr;
use super::super::message::{Header, HeaderName, Method, Request, Response};
use super::super::parser::Message;
use super::super::transaction::{ClientId, ClientMachine, User};
use super::super::{Actions, Body, CSeq, Ended, Event, Failure, OutgoingInvite, Reason, SessionId};
use super::in_dialog::{Established, Offer, Owed};
use super::{FORKS_MAX, Parting, Session, State, reason_header};
use crate::time::Instant;

/// Our INVITE is under way.
#[derive(Debug)]
pub(in crate::sip) struct Calling {
    client: Option<ClientId>,
    contact: NameAddr,
    /// One for each tag that provisional responses brought.
    pub(super) early: Vec<Early>,
    /// 9.1: "If no provisional response has been received, the CANCEL request MUST NOT be sent".
    provisional: bool,
    cancel: Cancel,
    /// When it has rung enough, or when CANCEL has been waited for long enough.
    pub(super) end: Instant,
    /// How often the credentials have been tried.
    tries: u8,
    /// How often a 422 asked for a longer session interval.
    intervals: u8,
    /// The peer was sent the description alone, since it did not read what stood beside it.
    plain: bool,
}

impl Session {
    /// Whether the INVITE may go on to another server (RFC 3263 4.3): nobody has cancelled it, and no telephone
    /// has rung for it.
    pub(in crate::sip) fn may_try_next(&self) -> bool {
        match &self.state {
            State::Calling(calling) => calling.cancel == Cancel::No && calling.early.is_empty(),
            _ => false,
        }
    }

    /// The INVITE goes to another server, of which nothing has been heard yet.
    pub(in crate::sip) fn starts_over(&mut self) {
        if let State::Calling(calling) = &mut self.state {
            calling.provisional = false;
        }
    }
}

/// An early dialog (12.1.2).
#[derive(Debug)]
pub(in crate::sip) struct Early {
    pub(super) dialog: Dialog,
    /// CSeq number of the INVITE.
    pub(super) number: u32,
    /// RSeq of the last reliable response (RFC 3262 4).
    pub(super) last_reliable: Option<u32>,
    /// Offer and answer have been exchanged reliably.
    pub(super) settled: bool,
    /// The answer that did it, which the 2xx need not repeat.
    pub(super) answer: Option<Body>,
    /// RSeq of the response whose PRACK waits for the application's answer.
    pub(super) owed: Option<u32>,
}

impl Calling {
    pub(super) fn early_of(&mut self, remote_tag: Option<&str>) -> Option<&mut Early> {
        self.early.iter_mut().find(|early| early.dialog.is_remote_tag(remote_tag))
    }

    /// Whether offer and answer have been exchanged reliably with the peer of this tag.
    pub(super) fn is_settled(&self, remote_tag: Option<&str>) -> bool {
        self.early.iter().any(|early| early.dialog.is_remote_tag(remote_tag) && early.settled)
    }

    /// The latest early dialog with an offer that waits for its answer.
    pub(super) fn owing(&mut self) -> Option<(&mut Early, u32)> {
        self.early.iter_mut().rev().find_map(|early| early.owed.take().map(|sequence| (early, sequence)))
    }
}

/// Each proxy on the way may insist on a longer interval than the one before (RFC 4028 7.3).
const INTERVALS_MAX: u8 = 3;

#[derive(Debug, PartialEq, Eq)]
enum Cancel {
    No,
    /// As soon as there is a provisional response.
    Wanted(Option<Reason>),
    Sent,
}

/// The response at hand, for the steps below.
struct Answer {
    client: ClientId,
    /// Tag of To: which branch of a fork it is from.
    tag: Option<String>,
    response: Response,
}

impl Endpoint {
    /// Sends an INVITE.
    pub fn invite(&mut self, now: Instant, invite: OutgoingInvite, out: &mut Actions) -> SessionId {
        let local_tag = self.secrets.token::<16>();
        let call_id = self.secrets.token::<24>();
        let flow = self.flow_of(&invite.next_hop);
        let contact = self.contact(Some(&invite.contact_user), &flow, invite.target.is_secure());
        let calling = Calling {
            client: None,
            contact: contact.clone(),
            early: Vec::new(),
            provisional: false,
            cancel: Cancel::No,
            end: now + self.settings.ring_max,
            tries: 0,
            intervals: 0,
            plain: false,
        };
        let mut session = Session::new(true, local_tag.clone(), call_id.clone(), self.settings.min_se);
        session.credentials = invite.credentials.clone();
        session.reliable = invite.reliable;
        session.described = invite.body.as_ref().and_then(Body::description);
        let extensions = session.extension_headers(&self.settings, true);
        let timer = session.timer_headers(&self.settings);
        let id = self.sessions.insert(session);
        self.by_tag.insert(local_tag.clone(), id);
        let request = Request::new(Method::Invite, invite.target)
            .with(HeaderName::MaxForwards, invite.max_forwards)
            .with(HeaderName::From, invite.from.with_tag(&local_tag))
            .with(HeaderName::To, invite.to)
            .with(HeaderName::CallId, call_id)
            .with(HeaderName::CSeq, CSeq { number: 1, method: Method::Invite })
            .with(HeaderName::Contact, contact)
            .with(HeaderName::Allow, &self.allow)
            .with_headers(extensions)
            .with_headers(timer)
            .with_headers(invite.headers)
            .with_body(invite.body);
        let request = self.log_in_ahead(invite.credentials.as_ref(), request);
        match self.start_client(now, invite.next_hop, request, User::Invite(id), out) {
            Some(client) => {
                self.put_state(id, State::Calling(Box::new(Calling { client: Some(client), ..calling })));
            }
            None => {
                self.tell_end(id, Ended::TransportFailure, out);
                self.sweep(id);
            }
        }
        id
    }

    /// A response to the INVITE of a session.
    pub(in crate::sip) fn invite_answered(
        &mut self,
        now: Instant,
        id: SessionId,
        client: ClientId,
        message: &Message<'_>,
        response: Response,
        out: &mut Actions,
    ) {
        let answer = Answer { client, tag: message.to.tag().map(str::to_owned), response };
        if let Some(session) = self.sessions.get_mut(id) {
            session.peer.learn(&answer.response.headers);
        }
        match self.take_state(id) {
            // A challenged INVITE has a successor; what still comes for it is of no interest.
            State::Calling(calling) if calling.client != Some(client) => {
                self.put_state(id, State::Calling(calling));
            }
            State::Calling(calling) => match answer.response.status {
                ..=199 => self.progressed(now, id, calling, answer, out),
                200..=299 => self.accepted(now, id, *calling, answer, out),
                _ => self.rejected(now, id, calling, answer, out),
            },
            state => {
                self.put_state(id, state);
                if (200..=299).contains(&answer.response.status) {
                    self.accepted_again(now, id, &answer, out);
                }
            }
        }
    }

    fn progressed(
        &mut self,
        now: Instant,
        id: SessionId,
        mut calling: Box<Calling>,
        mut answer: Answer,
        out: &mut Actions,
    ) {
        calling.provisional = true;
        let tag = answer.tag.as_deref();
        let client = self.table.clients.get(answer.client);
        let offered = client.is_some_and(|client| client.describes);
        if tag.is_some()
            && calling.early_of(tag).is_none()
            && calling.early.len() < FORKS_MAX
            && let Some(client) = client
            && let Some(flow) = client.sent
            && let contact = client.request.contact().unwrap_or_else(|| calling.contact.clone())
            && let Some(dialog) = Dialog::of_client(&client.request, &answer.response, contact, flow)
        {
            let number = dialog.local_seq;
            let (last_reliable, settled, answer, owed) = (None, false, None, None);
            calling.early.push(Early { dialog, number, last_reliable, settled, answer, owed });
        }
        if let Some(early) = calling.early_of(tag).filter(|_| tag.is_some())
            && !self.acknowledge_provisional(now, id, early, offered, &mut answer.response, out)
        {
            return self.put_state(id, State::Calling(calling));
        }
        match std::mem::replace(&mut calling.cancel, Cancel::No) {
            Cancel::No => {
                // 16.6 item 11 for proxies: each provisional response but 100 starts the clock anew.
                calling.end = now + self.settings.ring_max;
                let status = answer.response.status;
                if status > 100 {
                    let body = answer.response.typed_body();
                    out.events.push(Event::Progress { session: id, status, body, response: answer.response });
                }
            }
            Cancel::Wanted(reason) => self.send_cancel(now, id, &mut calling, reason.as_ref(), out),
            Cancel::Sent => calling.cancel = Cancel::Sent,
        }
        self.put_state(id, State::Calling(calling));
    }

    /// The first 2xx.
    fn accepted(&mut self, now: Instant, id: SessionId, mut calling: Calling, mut answer: Answer, out: &mut Actions) {
        let Some((mut dialog, mut has_offer)) = self.dialog_of(&answer, calling.contact.clone()) else {
            return self.tell_end(id, Ended::TransportFailure, out);
        };
        let number = dialog.local_seq;
        // 13.2.2.4: the early dialog with that tag is the confirmed one.
        if let Some(early) = calling.early_of(dialog.remote.tag()) {
            dialog.remote_seq = early.dialog.remote_seq;
            dialog.local_seq = early.dialog.local_seq;
            if early.settled {
                // RFC 6337 2.1: a description in the 2xx then means nothing.
                has_offer = true;
                let beside = answer.response.beside_description();
                answer.response = answer.response.described_by(early.answer.take(), beside);
            }
        }
        if calling.cancel != Cancel::No {
            // The 200 crossed our CANCEL: the dialog exists, so it is ended by BYE (9.1, 15).
            self.acknowledge_initial(now, id, &dialog, number, None, Some(answer.client), out);
            self.hang_up(now, id, &mut dialog, Parting::default(), out);
            return;
        }
        let mut owed = None;
        if has_offer {
            self.acknowledge_initial(now, id, &dialog, number, None, Some(answer.client), out);
        } else {
            owed = Some(Owed { number, request: None, client: Some(answer.client) });
        }
        if let Some(session) = self.sessions.get_mut(id) {
            session.refreshed_by_us(now, &answer.response, &self.settings);
        }
        let offer = self.sessions.get(id).map_or(Offer::None, Session::offer_under_way);
        self.put_state(id, State::Established(Box::new(Established { dialog, owed, offer })));
        let body = answer.response.typed_body();
        out.events.push(Event::Answered { session: id, body, response: answer.response });
        self.send_waiting(now, id, out);
    }

    /// A 2xx that comes again gets its ACK again; one of another branch of a fork gets ACK and BYE
    /// (13.2.2.4: "If [...] the UAC does not want to continue the dialogs, it MUST terminate them with BYE").
    fn accepted_again(&mut self, now: Instant, id: SessionId, answer: &Answer, out: &mut Actions) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let tag = answer.tag.as_deref();
        if let Some(ack) = session.acks.iter().find(|ack| ack.tag.as_deref() == tag) {
            let (bytes, flow) = (ack.bytes.clone(), ack.flow);
            if !bytes.is_empty() {
                self.connections.send(now, flow, None, bytes, out);
            }
            return;
        }
        if session.dialog(tag).is_some() || session.acks.len() >= FORKS_MAX {
            return; // the ACK is owed by the application
        }
        let contact = self.table.clients.get(answer.client).and_then(|client| client.request.contact());
        let Some((mut dialog, _)) = contact.and_then(|contact| self.dialog_of(answer, contact)) else { return };
        let number = dialog.local_seq;
        self.acknowledge_initial(now, id, &dialog, number, None, Some(answer.client), out);
        let bye = dialog.request(Method::Bye);
        self.start_client(now, dialog.next_hop(), bye, User::Nobody(id), out);
    }

    fn rejected(&mut self, now: Instant, id: SessionId, mut calling: Box<Calling>, answer: Answer, out: &mut Actions) {
        let status = answer.response.status;
        if let Some(request) = self.another_try(id, &mut calling, &answer)
            && let Some(flow) = self.table.clients.get(answer.client).and_then(|client| client.sent)
            && let Some(client) = self.start_client(now, flow, request, User::Invite(id), out)
        {
            *calling = Calling { client: Some(client), provisional: false, ..*calling };
            calling.early.clear();
            return self.put_state(id, State::Calling(calling));
        }
        self.answer_pending(now, id, out);
        self.tell_end(id, Ended::Rejected { status, response: answer.response }, out);
    }

    /// What is sent instead of an INVITE that was refused for a reason that we can help.
    fn another_try(&mut self, id: SessionId, calling: &mut Calling, answer: &Answer) -> Option<Request> {
        if calling.cancel != Cancel::No {
            return None;
        }
        let request = self.table.clients.get(answer.client)?.request.clone();
        let session = self.sessions.get_mut(id)?;
        // Once, and once more when only the nonce was wrong.
        let may_try = calling.tries == 0 || (calling.tries == 1 && wants_another_nonce(&answer.response));
        if let Some(credentials) = session.credentials.clone().filter(|_| may_try)
            && let Some(field) = self.credentials_for(&answer.response, &credentials, &request)
        {
            calling.tries = calling.tries.saturating_add(1);
            return Some(with_credentials(request, field));
        }
        // RFC 4028 7.3: with the interval that the 422 names.
        let session = self.sessions.get_mut(id)?;
        if calling.intervals < INTERVALS_MAX && session.longer_interval(&answer.response) {
            calling.intervals += 1;
            return Some(with_timer(once_more(request), session.timer_headers(&self.settings)));
        }
        // "If a 415 (Unsupported Media Type) response is received [...] the UAC SHOULD retry sending the request,
        // this time only using content with types listed in the Accept header field" (8.1.3.5).
        let body = request.typed_body().filter(|body| !body.is("application/sdp"));
        if answer.response.status == 415 && !calling.plain && body.is_some() {
            calling.plain = true;
            let description = body.and_then(|body| body.description());
            return Some(once_more(request).described_by(description, Vec::new()));
        }
        None
    }

    fn dialog_of(&self, answer: &Answer, contact: NameAddr) -> Option<(Dialog, bool)> {
        let client = self.table.clients.get(answer.client)?;
        // The one that was sent: it names the address that the server was reached from.
        let contact = client.request.contact().unwrap_or(contact);
        let dialog = Dialog::of_client(&client.request, &answer.response, contact, client.sent?)?;
        Some((dialog, client.describes))
    }

    /// ACK to a 2xx to the INVITE that made the session, kept for when the 2xx comes again.
    #[allow(clippy::too_many_arguments, reason = "all are needed, and a struct for one private call says no more")]
    pub(super) fn acknowledge_initial(
        &mut self,
        now: Instant,
        id: SessionId,
        dialog: &Dialog,
        number: u32,
        body: Option<Body>,
        client: Option<ClientId>,
        out: &mut Actions,
    ) {
        let credentials = self.credentials_of(client);
        let ack = dialog.acknowledge(number).with_body(body);
        let tag = dialog.remote.tag().map(str::to_owned);
        // Its place, which it takes as soon as it is sent.
        if let Some(session) = self.sessions.get_mut(id) {
            session.keep_ack(tag.clone(), Vec::new(), dialog.flow);
        }
        let (bytes, flow) = self.send_ack(now, dialog.next_hop(), ack, credentials, User::Ack(id), out);
        if let Some(session) = self.sessions.get_mut(id).filter(|_| !bytes.is_empty()) {
            session.keep_ack(tag, bytes, flow);
        }
    }

    /// A server that was left, since it said nothing, says something after all. What it has made of the INVITE is
    /// ended: CANCEL may follow a provisional response (9.1), and a dialog is ended by BYE (15).
    #[allow(clippy::too_many_arguments, reason = "all are needed, and a struct for one call says no more")]
    pub(in crate::sip) fn left_answered(
        &mut self,
        now: Instant,
        id: SessionId,
        client: ClientId,
        cancelled: bool,
        message: &Message<'_>,
        response: Response,
        out: &mut Actions,
    ) {
        match response.status {
            ..=199 if !cancelled => {
                let until = now + self.timers.t1_64();
                let Some(left) = self.table.clients.get_mut(client) else { return };
                left.user = User::Left { session: id, cancelled: true };
                if let ClientMachine::Invite(machine) = left.machine {
                    left.machine = ClientMachine::Invite(machine.bounded(until));
                }
                let (cancel, sent) = (cancel_of(&left.request), left.sent);
                if let Some(flow) = sent {
                    self.start_finished_client(now, flow, cancel, User::Nobody(id), out);
                }
            }
            200..=299 => {
                let answer = Answer { client, tag: message.to.tag().map(str::to_owned), response };
                self.accepted_again(now, id, &answer, out);
            }
            _ => {}
        }
    }

    /// The INVITE got no answer.
    pub(in crate::sip) fn invite_failed(&mut self, id: SessionId, failure: Failure, out: &mut Actions) {
        match self.take_state(id) {
            State::Calling(_) => {
                let how = match failure {
                    Failure::Transport => Ended::TransportFailure,
                    Failure::Timeout | Failure::SessionEnded => Ended::Timeout,
                };
                self.tell_end(id, how, out);
            }
            state => self.put_state(id, state),
        }
    }

    /// 9.1: gives up an INVITE that has no final response yet.
    pub(super) fn cancel(
        &mut self,
        now: Instant,
        id: SessionId,
        mut calling: Box<Calling>,
        reason: Option<Reason>,
        out: &mut Actions,
    ) {
        match calling.cancel {
            Cancel::No if calling.provisional => self.send_cancel(now, id, &mut calling, reason.as_ref(), out),
            // Nothing has been sent: there is nothing to be cancelled.
            Cancel::No if self.is_being_located(&calling) => {
                self.tell_end(id, Ended::Local, out);
                return self.give_up_calling(&calling);
            }
            Cancel::No => calling.cancel = Cancel::Wanted(reason),
            Cancel::Wanted(_) | Cancel::Sent => {}
        }
        self.put_state(id, State::Calling(calling));
    }

    fn send_cancel(
        &mut self,
        now: Instant,
        id: SessionId,
        calling: &mut Calling,
        reason: Option<&Reason>,
        out: &mut Actions,
    ) {
        calling.cancel = Cancel::Sent;
        calling.end = now + self.timers.t1_64();
        let Some(client) = calling.client.and_then(|client| self.table.clients.get(client)) else { return };
        let Some(flow) = client.sent else { return };
        let cancel = cancel_of(&client.request).with_headers(reason_header(reason));
        self.start_finished_client(now, flow, cancel, User::Nobody(id), out);
    }

    pub(super) fn time_calling(&mut self, now: Instant, id: SessionId, mut calling: Box<Calling>, out: &mut Actions) {
        if calling.end > now {
            return self.put_state(id, State::Calling(calling));
        }
        match calling.cancel {
            Cancel::No if calling.provisional => {
                self.send_cancel(now, id, &mut calling, None, out);
                self.put_state(id, State::Calling(calling));
                self.tell_end(id, Ended::Timeout, out);
            }
            // "If there is no final response for the original request in 64*T1 seconds, the UAC SHOULD then
            // consider the original transaction cancelled and SHOULD destroy the client transaction" (9.1).
            Cancel::No | Cancel::Wanted(_) | Cancel::Sent => {
                self.tell_end(id, Ended::Timeout, out);
                if let Some(client) = calling.client {
                    self.drop_client(client);
                }
            }
        }
    }

    fn is_being_located(&self, calling: &Calling) -> bool {
        let client = calling.client.and_then(|client| self.table.clients.get(client));
        client.is_some_and(|client| matches!(client.machine, ClientMachine::Locating(_)))
    }

    /// A BYE came before our INVITE has its final response: the peer has answered, but none of its
    /// 2xx came through, and it has given up.
    pub(super) fn give_up_calling(&mut self, calling: &Calling) {
        if let Some(client) = calling.client {
            self.drop_client(client);
        }
    }
}

/// A request with other header fields of session timers.
pub(super) fn with_timer(mut request: Request, timer: Vec<Header>) -> Request {
    request.headers.remove(&HeaderName::SessionExpires);
    request.headers.remove(&HeaderName::MinSe);
    request.with_headers(timer)
}

/// 9.1: the CANCEL of a request shares its Request-URI, Call-ID, To, From, CSeq number, Route and topmost Via.
pub(in crate::sip) fn cancel_of(invite: &Request) -> Request {
    let mut cancel = Request::new(Method::Cancel, invite.uri.clone());
    cancel.headers.0.extend(top_via(invite));
    for header in invite.headers.iter() {
        match header.name {
            HeaderName::Route | HeaderName::From | HeaderName::To | HeaderName::CallId => {
                cancel.headers.push(header.clone());
            }
            _ => {}
        }
    }
    let number = invite.cseq().map_or(0, |cseq| cseq.number);
    let cseq = CSeq { number, method: Method::Cancel };
    cancel.with_headers([Header::new(HeaderName::CSeq, cseq), Header::new(HeaderName::MaxForwards, 70)])
}
