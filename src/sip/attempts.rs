//! Client transactions on their way to a server: located, sent, and sent to the next one (RFC 3263 4.3).
//!
//! To its user a request is one client transaction, whatever number of servers it takes: each attempt
//! has a branch of its own, and what is left of the one before only absorbs repetitions.

use super::endpoint::{Endpoint, Owner};
use super::headers::NameAddr;
use super::location::{Attempt, Known, NextHop, Question, Reach, Records, Search, Step};
use super::message::{Header, HeaderName, Method, Request};
use super::transaction::{ClientId, ClientMachine, User};
use super::{Actions, Failure, Flow, Transport, Uri};
use crate::limits;
use crate::time::{Duration, Instant};

/// How long a request may be located: a resolver tries several servers with patience.
const LOCATE_WITHIN: Duration = Duration::from_secs(30);
/// How long a server that failed is tried after all others.
const AVOID_FOR: Duration = Duration::from_secs(30);

/// Why a request goes on to another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// 503, with the time of its `Retry-After`.
    Unavailable(Option<Duration>),
    /// No response at all.
    Timeout,
    /// None for a while, and there are other servers.
    Silence,
    /// The request could not be sent, or its connection died.
    Transport,
}

/// What became of looking for the next server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Sent,
    Waiting,
    Exhausted,
}

impl Endpoint {
    /// Sends a request in a new client transaction, as soon as it is known where to. `None` when it cannot
    /// be sent at all.
    pub(super) fn start_client(
        &mut self,
        now: Instant,
        next_hop: impl Into<NextHop>,
        request: Request,
        user: User,
        out: &mut Actions,
    ) -> Option<ClientId> {
        let until = now + LOCATE_WITHIN;
        let (id, goes) = match next_hop.into() {
            NextHop::Flow(flow) => {
                let id = self.table.add_client(until, request, user, None);
                (id, self.launch(now, id, Attempt { flow, domain: None }, out))
            }
            NextHop::Uris(uris) => {
                let search = Box::new(Search::new(uris));
                let id = self.table.add_client(until, request, user, Some(search));
                (id, self.advance(now, id, None, out) != Progress::Exhausted)
            }
            NextHop::Dialog { uri, flow } => {
                let search = Box::new(Search::of_dialog(uri, flow));
                let id = self.table.add_client(until, request, user, Some(search));
                (id, self.advance(now, id, None, out) != Progress::Exhausted)
            }
        };
        if !goes {
            self.table.remove_client(id);
            return None;
        }
        self.count_client(user);
        self.schedule(Owner::Client(id));
        Some(id)
    }

    /// The same for a request that has its Via already: a CANCEL, which goes where its INVITE went.
    pub(super) fn start_finished_client(
        &mut self,
        now: Instant,
        flow: Flow,
        request: Request,
        user: User,
        out: &mut Actions,
    ) -> Option<ClientId> {
        let bytes = request.to_bytes();
        let flow = self.connections.send(now, flow, None, bytes.clone(), out)?;
        let id = self.table.add_client(now, request.clone(), user, None);
        self.table.sent(now, &self.timers, id, flow, request, bytes);
        self.count_client(user);
        self.schedule(Owner::Client(id));
        self.schedule_connection(&flow);
        Some(id)
    }

    /// Sends an ACK to a 2xx where `uri` leads, and else by `flow`; no answer comes (RFC 3261 13.2.2.4, 17.1).
    pub(super) fn start_ack(
        &mut self,
        now: Instant,
        (uri, flow): (Uri, Flow),
        ack: Request,
        user: User,
        out: &mut Actions,
    ) {
        let search = Box::new(Search::of_dialog(uri, flow));
        let id = self.table.add_client(now + LOCATE_WITHIN, ack, user, Some(search));
        self.count_client(user);
        match self.advance(now, id, None, out) {
            Progress::Waiting => self.schedule(Owner::Client(id)),
            Progress::Sent | Progress::Exhausted => self.drop_client(id),
        }
    }

    /// The same for an ACK of others, on its way through a proxy.
    pub(super) fn start_passing_ack(
        &mut self,
        now: Instant,
        next_hop: impl Into<NextHop>,
        ack: Request,
        out: &mut Actions,
    ) {
        let NextHop::Uris(uris) = next_hop.into() else { return };
        let search = Box::new(Search::new(uris));
        let id = self.table.add_client(now + LOCATE_WITHIN, ack, User::Passing, Some(search));
        match self.advance(now, id, None, out) {
            Progress::Waiting => self.schedule(Owner::Client(id)),
            Progress::Sent | Progress::Exhausted => self.drop_client(id),
        }
    }

    fn count_client(&mut self, user: User) {
        let session = match user {
            User::Invite(session) | User::Nobody(session) | User::Ack(session) | User::Left { session, .. } => {
                Some(session)
            }
            User::Request(request) => self.outgoing.get(request).and_then(|o| o.session),
            User::Proxy(proxy) => {
                self.hold_proxy(proxy);
                None
            }
            User::Notify(_) | User::Spent | User::Passing | User::AckRequest(_) => None,
        };
        if let Some(session) = session.and_then(|id| self.sessions.get_mut(id)) {
            session.clients += 1;
        }
    }

    fn schedule_connection(&mut self, flow: &Flow) {
        if let Some(connection) = flow.connection {
            self.schedule(Owner::Connection(connection));
        }
    }

    /// Looks for the next server and sends the request there. `replaced` is why the one before did not do: its
    /// transaction is left only when there is somewhere to go.
    fn advance(&mut self, now: Instant, id: ClientId, replaced: Option<Reason>, out: &mut Actions) -> Progress {
        let Some(mut search) = self.table.clients.get_mut(id).and_then(|client| client.search.take()) else {
            return Progress::Exhausted;
        };
        let mut replaced = replaced;
        loop {
            let step = search.step(Reach(&self.settings.listeners), &self.locator, now, &mut self.rng);
            match step {
                Step::Exhausted => {
                    self.keep_search(id, search);
                    return Progress::Exhausted;
                }
                Step::Ask(questions) => {
                    if !self.ask(now, id, &mut search, questions, out) {
                        continue;
                    }
                    self.keep_search(id, search);
                    self.leave_server(now, id, replaced.take());
                    return Progress::Waiting;
                }
                Step::Try(attempt) => {
                    self.keep_search(id, search);
                    self.leave_server(now, id, replaced.take());
                    if self.launch(now, id, attempt, out) {
                        return Progress::Sent;
                    }
                    match self.table.clients.get_mut(id).and_then(|client| client.search.take()) {
                        Some(again) => search = again,
                        None => return Progress::Exhausted,
                    }
                }
            }
        }
    }

    fn keep_search(&mut self, id: ClientId, search: Box<Search>) {
        if let Some(client) = self.table.clients.get_mut(id) {
            client.search = Some(search);
        }
    }

    /// Tells a search what is known, asks for the rest; whether it has to wait.
    fn ask(
        &mut self,
        now: Instant,
        id: ClientId,
        search: &mut Search,
        questions: Vec<Question>,
        out: &mut Actions,
    ) -> bool {
        let mut waits = false;
        for question in questions {
            match self.locator.look_up(now, &question, id) {
                Known::Answer(records) => search.learn(question, records),
                Known::Awaited => waits = true,
                Known::Ask => {
                    waits = true;
                    out.sends.push(super::Send::Resolve { question });
                }
            }
        }
        waits
    }

    /// The resolver answered.
    pub fn handle_resolved(&mut self, now: Instant, question: &Question, records: &Records, out: &mut Actions) {
        for id in self.locator.answered(now, question, records) {
            let Some(client) = self.table.clients.get_mut(id) else { continue };
            if !matches!(client.machine, ClientMachine::Locating(_)) {
                continue;
            }
            if let Some(search) = &mut client.search {
                search.learn(question.clone(), records.clone());
            }
            let is_ack = client.request.method == Method::Ack;
            match self.advance(now, id, None, out) {
                Progress::Exhausted => self.fail_client(now, id, Failure::Transport, out),
                Progress::Sent if is_ack => self.drop_client(id),
                Progress::Sent | Progress::Waiting => {}
            }
        }
    }

    /// Sends the request of a client transaction to a server, in a branch of its own.
    fn launch(&mut self, now: Instant, id: ClientId, attempt: Attempt, out: &mut Actions) -> bool {
        let Some(mut request) = self.request_for(id, &attempt.flow) else { return false };
        let mut bytes = request.to_bytes();
        let mut attempt = attempt;
        if bytes.len() > limits::SIP_DATAGRAM_BYTES
            && let Some(larger) = self.enlarged(now, id, &attempt)
        {
            self.give_back(id, request);
            attempt = larger;
            let Some(anew) = self.request_for(id, &attempt.flow) else { return false };
            request = anew;
            bytes = request.to_bytes();
        }
        let Attempt { flow, domain } = attempt;
        let Some(flow) = self.connections.send(now, flow, domain.as_deref(), bytes.clone(), out) else { return false };
        self.schedule_connection(&flow);
        if request.method == Method::Ack {
            self.keep_ack(id, bytes, flow);
            return true;
        }
        self.table.sent(now, &self.timers, id, flow, request, bytes);
        if let Some(client) = self.table.clients.get_mut(id) {
            let further = client.search.as_ref().is_some_and(|search| search.has_further());
            client.gives_way = further.then(|| now + self.settings.fail_over);
        }
        self.schedule(Owner::Client(id));
        true
    }

    /// The request of a client transaction as it goes over this flow.
    fn request_for(&mut self, id: ClientId, flow: &Flow) -> Option<Request> {
        let client = self.table.clients.get(id)?;
        if let (User::Proxy(proxy), true) = (client.user, client.search.is_some()) {
            let uri = client.addressed.clone();
            return self.proxy_copy(proxy, uri, flow);
        }
        // With nowhere else to go it is needed once only.
        let is_only = client.search.is_none() && client.sent.is_none();
        let client = self.table.clients.get_mut(id)?;
        let (mut request, follows) = match is_only {
            true => (client.take_request(), client.follows),
            false => (client.request.clone(), client.follows),
        };
        if matches!(client.user, User::Passing) {
            request.headers.0.insert(0, Header::new(HeaderName::Via, self.via(flow)));
            return Some(request);
        }
        if client.sent.is_some() {
            take_off(&mut request);
        }
        if follows {
            // Always from the URI that it had at first, which the To of a trunk call bears, too.
            let original = client.search.as_ref().and_then(|search| search.readdress(&client.addressed));
            request.uri = original.unwrap_or_else(|| client.addressed.clone());
            self.follow_contact(&mut request, flow);
        }
        self.finish_request(&mut request, flow);
        Some(request)
    }

    /// A request that was made for an attempt is to be made for another one.
    fn give_back(&mut self, id: ClientId, mut request: Request) {
        if let Some(client) = self.table.clients.get_mut(id).filter(|client| client.is_taken()) {
            take_off(&mut request);
            client.request = request;
        }
    }

    /// An ACK has been sent: it is sent again when its 2xx comes again.
    fn keep_ack(&mut self, id: ClientId, bytes: Vec<u8>, flow: Flow) {
        let Some(client) = self.table.clients.get(id) else { return };
        let tag = client.request.to().and_then(|to| to.tag().map(str::to_owned));
        match client.user {
            User::Ack(session) => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.keep_ack(tag, bytes, flow);
                }
            }
            User::AckRequest(request) => {
                if let Some(outgoing) = self.outgoing.get_mut(request) {
                    outgoing.keep_ack(bytes, flow);
                }
            }
            _ => {}
        }
    }

    /// RFC 3261 18.1.1: "If a request is within 200 bytes of the path MTU, or if it is larger than 1300 bytes
    /// and the path MTU is unknown, the request MUST be sent using [...] TCP." For peers that we can reach by
    /// TCP, and that did not refuse it just now.
    fn enlarged(&mut self, now: Instant, id: ClientId, attempt: &Attempt) -> Option<Attempt> {
        let Flow { transport, remote, .. } = attempt.flow;
        let reach = Reach(&self.settings.listeners);
        let goes = transport == Transport::Udp
            && reach.has(Transport::Tcp, remote.is_ipv4())
            && !self.locator.has_failed(now, Transport::Tcp, remote);
        let client = self.table.clients.get_mut(id).filter(|_| goes)?;
        let search = client.search.get_or_insert_with(|| Box::new(Search::new(Vec::new())));
        (!search.is_enlarged()).then(|| search.enlarge(attempt.clone()))
    }

    /// A Contact that names the address from which the request is sent.
    fn follow_contact(&self, request: &mut Request, flow: &Flow) {
        let Some(contact) = request.contact() else { return };
        let fresh = self.contact(contact.uri.user().as_deref(), flow, request.uri.is_secure());
        request.headers.set(Header::new(HeaderName::Contact, NameAddr { uri: fresh.uri, ..contact }));
    }

    /// Takes the request to the next server, if there is one and its user still wants that.
    pub(super) fn try_next(&mut self, now: Instant, id: ClientId, why: Reason, out: &mut Actions) -> bool {
        let Some(client) = self.table.clients.get_mut(id) else { return false };
        let (Some(flow), user) = (client.sent, client.user) else { return false };
        let fallback = client.search.as_mut().and_then(|search| search.fall_back(why == Reason::Transport));
        let silent = match client.machine {
            ClientMachine::Invite(machine) => !machine.is_proceeding(),
            ClientMachine::NonInvite(machine) => !machine.is_proceeding(),
            ClientMachine::Locating(_) => return false,
        };
        if let (Reason::Unavailable(_), Some(search)) = (why, client.search.as_mut()) {
            search.was_answered();
        }
        // "Failure also occurs if the transaction layer times out without ever having received any response,
        // provisional or final" (4.3).
        if (why == Reason::Timeout && !silent) || !self.may_try_next(id, user) {
            return false;
        }
        let avoid = match why {
            Reason::Unavailable(after) => after.unwrap_or(AVOID_FOR),
            Reason::Timeout | Reason::Silence | Reason::Transport => AVOID_FOR,
        };
        self.locator.failed(now, &flow, avoid);
        let goes = match fallback {
            Some(attempt) => {
                self.leave_server(now, id, Some(why));
                self.launch(now, id, attempt, out)
            }
            None => self.advance(now, id, Some(why), out) != Progress::Exhausted,
        };
        if goes {
            self.starts_over(id, user);
        }
        goes
    }

    /// The transaction with one server ends, since the request goes on to another one.
    fn leave_server(&mut self, now: Instant, id: ClientId, why: Option<Reason>) {
        let Some(why) = why else { return };
        // Over UDP its final response may come again, and is absorbed for a while (17.1.1.2, 17.1.2.2).
        let by_udp = self.table.clients.get(id).and_then(|c| c.sent).is_some_and(|f| f.transport == Transport::Udp);
        let is_invite = self.table.clients.get(id).is_some_and(|client| client.request.method == Method::Invite);
        let aside = match (why, self.table.clients.get(id).map(|client| client.user)) {
            (Reason::Silence, Some(User::Invite(session))) => Some(User::Left { session, cancelled: false }),
            // What it has to say after all counts: a 2xx inside a dialog is the answer (14.1), and one to a request
            // of others goes back as each of them does (16.7 step 5).
            (Reason::Silence, Some(user @ (User::Request(_) | User::Proxy(_)))) if is_invite => Some(user),
            (Reason::Silence | Reason::Unavailable(_), _) if by_udp => Some(User::Spent),
            _ => None,
        };
        if let Some(user) = aside
            && let Some(left) = self.table.set_aside(id, user)
        {
            self.count_client(user);
            match user {
                User::Request(request) => {
                    if let Some(outgoing) = self.outgoing.get_mut(request) {
                        outgoing.is_left_at_a_server();
                    }
                }
                User::Proxy(proxy) => self.leave_copy(now, proxy, left),
                _ => {}
            }
            self.schedule(Owner::Client(left));
        }
        if let Some(client) = self.table.clients.get_mut(id) {
            client.machine = ClientMachine::Locating(now + LOCATE_WITHIN);
        }
        self.schedule(Owner::Client(id));
    }

    /// Whether the user of a request is glad of another attempt.
    fn may_try_next(&self, id: ClientId, user: User) -> bool {
        match user {
            User::Invite(session) => self.sessions.get(session).is_some_and(|session| session.may_try_next()),
            User::Request(request) => self.outgoing.get(request).is_some(),
            User::Proxy(proxy) => self.proxies.get(proxy).is_some_and(|proxy| proxy.may_try_next(id)),
            User::Nobody(_) | User::Notify(_) | User::Ack(_) | User::AckRequest(_) => true,
            User::Spent | User::Passing | User::Left { .. } => false,
        }
    }

    fn starts_over(&mut self, id: ClientId, user: User) {
        match user {
            User::Invite(session) => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.starts_over();
                }
            }
            User::Proxy(proxy) => {
                if let Some(proxy) = self.proxies.get_mut(proxy) {
                    proxy.starts_over(id);
                }
            }
            _ => {}
        }
    }
}

/// Undoes what [`Endpoint::finish_request`] did for the attempt before.
fn take_off(request: &mut Request) {
    if request.headers.0.first().is_some_and(|header| header.name == HeaderName::Via) {
        request.headers.0.remove(0);
    }
    request.headers.remove(&HeaderName::UserAgent);
}

#[cfg(test)]
mod tests;
