//! Sessions: the INVITE usage of dialogs (RFC 3261 13 to 15, 9).
//!
//! ```text
//!   we call                                   we are called
//!
//!   Calling --1xx--> Calling                  Ringing --1xx sent--> Ringing
//!      |  \                                      |  \
//!      |   300-699, nobody answers, cancelled    |   300-699 sent, CANCEL, BYE
//!      |2xx: ACK         \                       |2xx sent         \
//!      |                  \                   Answered: 2xx again   |
//!      v                   v                     |    until ACK  \  v
//!   Established ---BYE---> Gone <---BYE--- Established <--ACK     no ACK: BYE -> Gone
//! ```
//! *Gone* lasts as long as transactions of the session do: 2xx that come again or from other
//! branches of a fork still get their ACK there, a BYE that crosses ours its 200.
//!
//! [`caller`] has the left side, [`callee`] the right one, [`in_dialog`] what happens when
//! established, [`outgoing`] requests of ours other than the first INVITE, [`offers`] our re-INVITEs
//! and glare, [`reliable`] provisional responses with PRACK, [`expiry`] session timers.

pub mod callee;
pub mod caller;
pub mod expiry;
pub mod in_dialog;
pub mod offers;
pub mod outgoing;
pub mod reliable;
pub mod replaces;

use super::carried::Carried;
use super::compose::with_credentials;
use super::dialog::Dialog;
use super::endpoint::{Endpoint, Owner};
use super::message::{Header, HeaderName, Headers, Method, Response};
use super::transaction::{ClientId, ServerId, User};
use super::{Actions, Body, Credentials, Ended, Event, Failure, Flow, Reason, Reliable, RequestId, SessionId};
use crate::time::{Duration, Instant};
use callee::{Answered, Ringing};
use caller::Calling;
use expiry::Expiry;
use in_dialog::Established;
use offers::Waiting;

/// One INVITE, sent or received, and the dialog that came of it.
#[derive(Debug)]
pub struct Session {
    pub(super) state: State,
    /// Our tag: a session is found by it.
    pub(super) local_tag: String,
    pub(super) call_id: String,
    /// `Ended` was said.
    told: bool,
    /// Client transactions of this session that are under way.
    pub(super) clients: usize,
    pub(super) scheduled: Option<Instant>,
    /// ACKs sent, to be sent again when the 2xx comes again.
    acks: Vec<Ack>,
    /// Requests of the peer that wait for our reply.
    pending: Vec<ServerId>,
    /// For challenges to requests in the dialog.
    credentials: Option<Credentials>,
    /// We sent the INVITE: its Call-ID is ours (14.1).
    caller: bool,
    /// What the peer said that it can do.
    peer: Abilities,
    /// Whether provisional responses of the INVITE are reliable.
    reliable: Reliable,
    /// RSeq of our last reliable response that was acknowledged.
    last_reliable: Option<u32>,
    /// An offer of the peer in an early dialog that waits for our reply.
    early_offer: Option<ServerId>,
    /// An UPDATE of ours with an offer in an early dialog that has no answer yet.
    early_offered: Option<RequestId>,
    /// Our offer that waits for its turn.
    waiting: Option<Waiting>,
    /// The last description that we sent, which a refresh repeats.
    described: Option<Body>,
    /// When the session is refreshed or dead.
    expiry: Option<Expiry>,
    we_refresh: bool,
    /// The least session interval that somebody on the way accepts.
    min_se: Duration,
}

/// What a peer said in Allow.
#[derive(Clone, Copy, Debug, Default)]
struct Abilities {
    /// UPDATE (RFC 3311 5.1).
    update: bool,
}

impl Abilities {
    /// Each message with an Allow says it anew.
    fn learn(&mut self, headers: &Headers) {
        if headers.has(&HeaderName::Allow) {
            self.update = headers.tokens(&HeaderName::Allow).iter().any(|method| method == Method::Update.as_str());
        }
    }
}

/// Where a session stands.
#[derive(Debug)]
pub(super) enum State {
    Calling(Box<Calling>),
    Ringing(Box<Ringing>),
    Answered(Box<Answered>),
    Established(Box<Established>),
    Gone,
}

/// What is said with a BYE.
#[derive(Debug, Default)]
struct Parting {
    reason: Option<Reason>,
    carried: Carried,
}

impl From<Reason> for Parting {
    fn from(reason: Reason) -> Parting {
        Parting { reason: Some(reason), carried: Carried::default() }
    }
}

/// An ACK to a 2xx of the peer with this tag.
#[derive(Debug)]
struct Ack {
    tag: Option<String>,
    bytes: Vec<u8>,
    flow: Flow,
}

/// Branches of a fork that get their ACK again; more than that are left to give up by themselves.
const FORKS_MAX: usize = 16;

impl Session {
    fn new(caller: bool, local_tag: String, call_id: String, min_se: Duration) -> Session {
        Session {
            state: State::Gone,
            local_tag,
            call_id,
            caller,
            peer: Abilities::default(),
            reliable: Reliable::Off,
            last_reliable: None,
            early_offer: None,
            early_offered: None,
            waiting: None,
            described: None,
            expiry: None,
            we_refresh: false,
            min_se,
            told: false,
            clients: 0,
            scheduled: None,
            acks: Vec::new(),
            pending: Vec::new(),
            credentials: None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Calling(calling) => Some(calling.end),
            State::Ringing(ringing) => ringing.deadline(),
            State::Answered(answered) => Some(answered.unacknowledged.deadline()),
            State::Established(established) => {
                let waiting = self.waiting.as_ref().and_then(|waiting| waiting.not_before);
                let expiry = self.expiry.as_ref().map(Expiry::deadline);
                [established.deadline(), waiting, expiry].into_iter().flatten().min()
            }
            State::Gone => None,
        }
    }

    /// Keeps an ACK for when its 2xx comes again. One whose way was located takes the place that waits for it.
    pub(super) fn keep_ack(&mut self, tag: Option<String>, bytes: Vec<u8>, flow: Flow) {
        let ack = Ack { tag, bytes, flow };
        match self.acks.iter_mut().find(|other| other.tag == ack.tag && other.bytes.is_empty()) {
            Some(waiting) => *waiting = ack,
            None => {
                // Forks that all answer are rare.
                self.acks.reserve_exact(1);
                self.acks.push(ack);
            }
        }
    }

    /// The dialog with the peer of this tag.
    fn dialog(&mut self, remote_tag: Option<&str>) -> Option<&mut Dialog> {
        let dialog = match &mut self.state {
            State::Calling(calling) => return calling.early_of(remote_tag).map(|early| &mut early.dialog),
            State::Ringing(ringing) => &mut ringing.dialog,
            State::Answered(answered) => &mut answered.dialog,
            State::Established(established) => &mut established.dialog,
            State::Gone => return None,
        };
        dialog.is_remote_tag(remote_tag).then_some(dialog)
    }
}

impl Endpoint {
    /// Ends a session: CANCEL, BYE or a rejection, by its state. Safe in every state and for stale ids.
    pub fn terminate(&mut self, now: Instant, session: SessionId, reason: Option<Reason>, out: &mut Actions) {
        self.terminate_with(now, session, reason, Carried::default(), out);
    }

    /// The same; a BYE has with it what the other leg of a call brings.
    pub fn terminate_with(
        &mut self,
        now: Instant,
        session: SessionId,
        reason: Option<Reason>,
        carried: Carried,
        out: &mut Actions,
    ) {
        match self.take_state(session) {
            State::Calling(calling) => self.cancel(now, session, calling, reason, out),
            State::Ringing(ringing) => {
                let response = Response::new(480).with_headers(reason_header(reason.as_ref()));
                self.refuse(now, session, *ringing, response, out);
            }
            State::Answered(mut answered) => {
                // "The callee's UA MUST NOT send a BYE on a confirmed dialog until it has received an ACK
                // for its 2xx response or until the server transaction times out" (15).
                answered.closing = Some(Parting { reason, carried });
                self.put_state(session, State::Answered(answered));
            }
            State::Established(established) => {
                self.close(now, session, *established, Parting { reason, carried }, out);
            }
            State::Gone => return,
        }
        self.tell_end(session, Ended::Local, out);
        self.sweep(session);
    }

    /// Takes the state out of a session, which is gone until it is put back. Stale ids are gone.
    fn take_state(&mut self, id: SessionId) -> State {
        self.sessions.get_mut(id).map_or(State::Gone, |s| std::mem::replace(&mut s.state, State::Gone))
    }

    fn put_state(&mut self, id: SessionId, state: State) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.state = state;
            self.schedule(Owner::Session(id));
        }
    }

    /// Says that a session is over, once, and settles what waits for it.
    fn tell_end(&mut self, id: SessionId, how: Ended, out: &mut Actions) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if std::mem::replace(&mut session.told, true) {
            return;
        }
        session.waiting = None;
        let requests = self.outgoing.iter().filter(|(_, o)| o.session == Some(id) && !o.is_over());
        let requests: Vec<_> = requests.map(|(request, o)| (request, o.client.is_none())).collect();
        for (request, waits) in requests {
            self.settle_request(request, Err(Failure::SessionEnded), out);
            // One that was never sent has no transaction that would take it along.
            if waits {
                self.forget_request(request);
            }
        }
        out.events.push(Event::Ended { session: id, how });
    }

    /// 15.1.2: "The UAS MUST still respond to any pending requests received for that dialog [...] 487".
    fn answer_pending(&mut self, now: Instant, id: SessionId, out: &mut Actions) {
        let pending = self.sessions.get_mut(id).map(|s| std::mem::take(&mut s.pending)).unwrap_or_default();
        for server in pending {
            self.respond(now, server, Response::new(487), out);
        }
    }

    /// Sends BYE; what comes back changes nothing.
    fn hang_up(&mut self, now: Instant, id: SessionId, dialog: &mut Dialog, parting: Parting, out: &mut Actions) {
        let Parting { reason, carried } = parting;
        let bye = dialog.request(Method::Bye).with_headers(reason_header(reason.as_ref()));
        let bye = bye.with_content(None, carried);
        self.start_client(now, dialog.next_hop(), bye, User::Nobody(id), out);
        self.answer_pending(now, id, out);
    }

    /// A proxy wants to know who says BYE (22.3): it is told, once.
    pub(super) fn parting_answered(
        &mut self,
        now: Instant,
        id: SessionId,
        client: ClientId,
        response: &Response,
        out: &mut Actions,
    ) {
        let Some(transaction) = self.table.clients.get(client).filter(|c| c.request.method == Method::Bye) else {
            return;
        };
        let (request, Some(flow)) = (transaction.request.clone(), transaction.sent) else { return };
        let Some(credentials) =
            self.sessions.get_mut(id).and_then(|s| s.credentials.take_if(|_| response.status > 400))
        else {
            return;
        };
        if let Some(field) = self.credentials_for(response, &credentials, &request) {
            self.start_client(now, flow, with_credentials(request, field), User::Nobody(id), out);
        }
    }

    /// A timer of a session may be due.
    pub(super) fn time_session(&mut self, now: Instant, id: SessionId, out: &mut Actions) {
        match self.take_state(id) {
            State::Calling(calling) => self.time_calling(now, id, calling, out),
            State::Ringing(ringing) => self.time_ringing(now, id, ringing, out),
            State::Answered(answered) => self.time_answered(now, id, answered, out),
            State::Established(established) => self.time_established(now, id, established, out),
            State::Gone => {}
        }
        self.send_waiting(now, id, out);
        self.time_expiry(now, id, out);
        self.sweep(id);
    }
}

fn reason_header(reason: Option<&Reason>) -> Option<Header> {
    reason.map(|reason| Header::new(HeaderName::Reason, reason))
}

#[cfg(test)]
mod tests;
