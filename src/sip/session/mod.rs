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
//! established, [`outgoing`] requests of ours other than the first INVITE.

pub mod callee;
pub mod caller;
pub mod in_dialog;
pub mod outgoing;
pub mod replaces;

use super::dialog::Dialog;
use super::endpoint::{Endpoint, Owner};
use super::message::{Header, HeaderName, Method, Response};
use super::transaction::{ServerId, User};
use super::{Actions, Credentials, Ended, Event, Failure, Flow, Reason, SessionId};
use crate::time::Instant;
use callee::{Answered, Ringing};
use caller::Calling;
use in_dialog::Established;

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
    fn new(state: State, local_tag: String, call_id: String) -> Session {
        Session {
            state,
            local_tag,
            call_id,
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
            State::Established(established) => established.deadline(),
            State::Gone => None,
        }
    }

    /// The dialog with the peer of this tag.
    fn dialog(&mut self, remote_tag: Option<&str>) -> Option<&mut Dialog> {
        let dialog = match &mut self.state {
            State::Calling(calling) => return calling.early.iter_mut().find(|d| d.is_remote_tag(remote_tag)),
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
        match self.take_state(session) {
            State::Calling(calling) => self.cancel(now, session, calling, reason, out),
            State::Ringing(ringing) => {
                let response = Response::new(480).with_headers(reason_header(reason.as_ref()));
                self.refuse(now, session, *ringing, response, out);
            }
            State::Answered(mut answered) => {
                // "The callee's UA MUST NOT send a BYE on a confirmed dialog until it has received an ACK
                // for its 2xx response or until the server transaction times out" (15).
                answered.closing = Some(reason);
                self.put_state(session, State::Answered(answered));
            }
            State::Established(established) => self.close(now, session, *established, reason.as_ref(), out),
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
        let requests = self.outgoing.iter().filter(|(_, o)| o.session == Some(id) && !o.is_over());
        let requests: Vec<_> = requests.map(|(request, _)| request).collect();
        for request in requests {
            self.settle_request(request, Err(Failure::SessionEnded), out);
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
    fn hang_up(
        &mut self,
        now: Instant,
        id: SessionId,
        dialog: &mut Dialog,
        reason: Option<&Reason>,
        out: &mut Actions,
    ) {
        let bye = dialog.request(Method::Bye).with_headers(reason_header(reason));
        self.start_client(now, dialog.next_hop(), bye, User::Nobody(id), out);
        self.answer_pending(now, id, out);
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
        self.sweep(id);
    }
}

fn reason_header(reason: Option<&Reason>) -> Option<Header> {
    reason.map(|reason| Header::new(HeaderName::Reason, reason))
}

#[cfg(test)]
mod tests;
