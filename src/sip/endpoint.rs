//! One user agent: dispatch between transport, transactions and sessions.
//!
//! This file takes what comes in and finds whom it concerns. What a session does about it stands in
//! [`super::session`]; how messages are put together in [`super::compose`].

use super::attempts::Reason;
use super::location::Locator;
use super::message::{HeaderName, Method, Response};
use super::parser::{Message, Refusal, Start, parse};
use super::proxy::Proxy;
use super::session::outgoing::Outgoing;
use super::session::{Session, State};
use super::subscription::Subscription;
use super::transaction::{
    ClientAction, ClientId, ClientMachine, ServerAction, ServerId, ServerMachine, Table, Timers, User,
};
use super::transport::{Connections, Patience};
use super::{
    Actions, ConnectionId, Counts, Event, Failure, Flow, ProxyId, Settings, SubscriptionId, Transport, transport, uas,
};
use crate::ids::{Id, Index, Slab};
use crate::limits;
use crate::rng::{Rng, Secrets, Seed};
use crate::time::{Deadlines, Duration, Instant};

/// Who has a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    Client(ClientId),
    Server(ServerId),
    Session(Id<Session>),
    Subscription(SubscriptionId),
    Proxy(ProxyId),
    Connection(ConnectionId),
}

/// How long a connection that we opened stays open without a message; keep-alives do not count. A call
/// whose peer means to use it for its BYE may be quiet for long.
const CONNECTION_IDLE: Duration = Duration::from_secs(1_800);

/// How long a connection that a peer opened stays open without any bytes: longer than a registration,
/// which a phone renews over it.
const CONNECTION_IDLE_ACCEPTED: Duration = Duration::from_secs(4_000);

/// Stale entries that the heap of deadlines may always have.
const STALE_DEADLINES: usize = 64;

/// Owners that one `handle_timeout` looks at; the rest is due at once again.
const OWNERS_PER_TIMEOUT: usize = limits::OUTPUTS_PER_INPUT / 4;

/// One SIP user agent, or both sides of a back-to-back one.
#[derive(Debug)]
pub struct Endpoint {
    pub(super) settings: Settings,
    /// `Allow`, which most messages bear.
    pub(super) allow: String,
    pub(super) timers: Timers,
    pub(super) secrets: Secrets,
    pub(super) table: Table,
    pub(super) sessions: Slab<Session>,
    /// Sessions by our tag, which is unique.
    pub(super) by_tag: Index<String, Id<Session>>,
    pub(super) outgoing: Slab<Outgoing>,
    pub(super) proxies: Slab<Proxy>,
    pub(super) subscriptions: Slab<Subscription>,
    /// Subscriptions by our tag.
    pub(super) subscription_by_tag: Index<String, SubscriptionId>,
    pub(super) connections: Connections,
    /// Kept for its room: a message that was cut out of a stream.
    framed: Vec<u8>,
    pub(super) locator: Locator,
    /// Decides between servers of the same rank; nothing secret depends on it.
    pub(super) rng: Rng,
    pub(super) deadlines: Deadlines<Owner>,
    /// Makes the tags of stateless responses and the tokens of recorded routes.
    pub(super) stateless_key: [u64; 2],
    /// What peers that we log in at wanted last.
    pub(super) logins: super::digest::Logins,
    /// Lets requests in; without one everybody is.
    pub(super) guard: Option<super::guard::Guard>,
}

impl Endpoint {
    /// An endpoint without sessions. `seed` feeds tags, branches, Call-IDs and hash keys.
    pub fn new(settings: Settings, seed: &Seed) -> Self {
        let mut secrets = seed.fork("sip").secrets();
        let table = Table::new(|| secrets.next_u64());
        let by_tag = Index::new([secrets.next_u64(), secrets.next_u64()]);
        let subscription_by_tag = Index::new([secrets.next_u64(), secrets.next_u64()]);
        let stateless_key = [secrets.next_u64(), secrets.next_u64()];
        Endpoint {
            timers: Timers::of(&settings),
            allow: uas::allow(&settings),
            settings,
            secrets,
            table,
            sessions: Slab::default(),
            by_tag,
            outgoing: Slab::default(),
            proxies: Slab::default(),
            subscriptions: Slab::default(),
            subscription_by_tag,
            connections: Connections::new(seed.fork("keep-alive").rng()),
            framed: Vec::new(),
            locator: Locator::default(),
            rng: seed.fork("location").rng(),
            deadlines: Deadlines::default(),
            stateless_key,
            logins: super::digest::Logins::default(),
            guard: None,
        }
    }

    /// A datagram came.
    pub fn handle_datagram(&mut self, now: Instant, flow: Flow, bytes: &[u8], out: &mut Actions) {
        self.handle_message(now, flow, bytes, out);
    }

    /// Bytes of a connection came; `flow.connection` names it.
    pub fn handle_stream_bytes(&mut self, now: Instant, flow: Flow, bytes: &[u8], out: &mut Actions) {
        let Some(id) = flow.connection else { return };
        self.connections.received(now, id, flow, bytes, out);
        let mut message = std::mem::take(&mut self.framed);
        while self.connections.take_message(now, id, &mut message, out) {
            self.handle_message(now, flow, &message, out);
            if Connections::is_broken(&message) {
                self.connections.close(id, out);
                self.lose_connection(now, id, out);
            }
        }
        self.framed = message;
        self.schedule(Owner::Connection(id));
    }

    /// A connection is open, accepted or asked for; `flow` has its addresses.
    pub fn handle_stream_opened(&mut self, now: Instant, connection: ConnectionId, flow: Flow, out: &mut Actions) {
        self.connections.opened(now, connection, flow, out);
        self.schedule(Owner::Connection(connection));
    }

    /// The peer of a TLS connection that was accepted has proved by its certificate to be these hosts.
    pub fn handle_stream_verified(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        flow: Flow,
        identities: Vec<String>,
        out: &mut Actions,
    ) {
        self.connections.verified(now, connection, flow, identities, out);
        self.schedule(Owner::Connection(connection));
    }

    /// A connection closed, or could not be opened.
    pub fn handle_stream_closed(&mut self, now: Instant, connection: ConnectionId, out: &mut Actions) {
        let was_open = self.connections.is_open(connection);
        if self.connections.closed(connection) {
            self.lose_connection(now, connection, out);
            if !was_open {
                self.answer_elsewhere(now, connection, out);
            }
            // Its deadline may be an hour away.
            self.prune();
        }
    }

    /// RFC 3261 18.4: whoever waits for an answer on a lost connection is told.
    fn lose_connection(&mut self, now: Instant, connection: ConnectionId, out: &mut Actions) {
        self.fail_clients(now, out, |flow| flow.connection == Some(connection));
    }

    /// A datagram could not be sent.
    pub fn handle_unreachable(&mut self, now: Instant, flow: Flow, out: &mut Actions) {
        self.fail_clients(now, out, |sent| sent.transport == Transport::Udp && sent.remote == flow.remote);
    }

    fn fail_clients(&mut self, now: Instant, out: &mut Actions, concerned: impl Fn(&Flow) -> bool) {
        let waits = |machine: &ClientMachine| match machine {
            ClientMachine::Locating(_) => false,
            ClientMachine::Invite(m) => {
                use super::transaction::client_invite::ClientInvite::*;
                matches!(m, Calling { .. } | Proceeding { .. })
            }
            ClientMachine::NonInvite(m) => {
                use super::transaction::client_non_invite::ClientNonInvite::*;
                matches!(m, Trying { .. } | Proceeding { .. })
            }
        };
        let clients = self.table.clients.iter();
        let failed: Vec<ClientId> = clients
            .filter(|(_, c)| waits(&c.machine) && c.sent.as_ref().is_some_and(&concerned))
            .map(|(id, _)| id)
            .collect();
        for id in failed {
            self.fail_client(now, id, Failure::Transport, out);
        }
    }

    /// When `handle_timeout` is due; it may turn out that nothing is.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// The deadline has come.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Actions) {
        for _ in 0..OWNERS_PER_TIMEOUT {
            let Some((at, owner)) = self.deadlines.take_due(now) else { return self.prune() };
            // An entry that its owner did not ask for last is stale.
            match self.scheduled(owner) {
                Some(scheduled) if *scheduled == Some(at) => *scheduled = None,
                _ => continue,
            }
            match owner {
                Owner::Client(id) => self.time_client(now, id, out),
                Owner::Server(id) => self.time_server(now, id, out),
                Owner::Session(id) => self.time_session(now, id, out),
                Owner::Subscription(id) => self.time_subscription(now, id, out),
                Owner::Proxy(id) => self.time_proxy(now, id, out),
                Owner::Connection(id) => {
                    let patience = self.patience();
                    if self.connections.handle_timeout(now, id, &patience, out) {
                        self.lose_connection(now, id, out);
                    }
                }
            }
            self.schedule(owner);
        }
    }

    fn patience(&self) -> Patience {
        Patience { message: self.timers.t1_64(), idle: CONNECTION_IDLE, idle_accepted: CONNECTION_IDLE_ACCEPTED }
    }

    fn scheduled(&mut self, owner: Owner) -> Option<&mut Option<Instant>> {
        match owner {
            Owner::Client(id) => self.table.clients.get_mut(id).map(|c| &mut c.scheduled),
            Owner::Server(id) => self.table.servers.get_mut(id).map(|s| &mut s.scheduled),
            Owner::Session(id) => self.sessions.get_mut(id).map(|s| &mut s.scheduled),
            Owner::Subscription(id) => self.subscriptions.get_mut(id).map(|s| &mut s.scheduled),
            Owner::Proxy(id) => self.proxies.get_mut(id).map(|p| &mut p.scheduled),
            Owner::Connection(id) => self.connections.scheduled(id),
        }
    }

    fn deadline_of(&self, owner: Owner) -> Option<Instant> {
        match owner {
            Owner::Client(id) => {
                let client = self.table.clients.get(id)?;
                let own = match &client.machine {
                    ClientMachine::Locating(until) => Some(*until),
                    ClientMachine::Invite(machine) => machine.deadline(),
                    ClientMachine::NonInvite(machine) => Some(machine.deadline()),
                };
                let gives_way = client.gives_way.filter(|_| client.machine.is_silent());
                [own, gives_way].into_iter().flatten().min()
            }
            Owner::Server(id) => match &self.table.servers.get(id)?.machine {
                ServerMachine::Invite(machine) => machine.deadline(),
                ServerMachine::NonInvite(machine) => Some(machine.deadline()),
            },
            Owner::Session(id) => self.sessions.get(id)?.deadline(),
            Owner::Subscription(id) => self.subscriptions.get(id)?.deadline(),
            Owner::Proxy(id) => self.proxies.get(id)?.deadline(),
            Owner::Connection(id) => self.connections.deadline(id, &self.patience()),
        }
    }

    /// Puts the owner's deadline into the heap, unless an earlier entry will look at it anyway.
    pub(super) fn schedule(&mut self, owner: Owner) {
        let Some(deadline) = self.deadline_of(owner) else { return };
        let Some(scheduled) = self.scheduled(owner) else { return };
        if scheduled.is_none_or(|at| deadline < at) {
            *scheduled = Some(deadline);
            self.deadlines.schedule(deadline, owner);
            self.prune();
        }
    }

    /// Drops stale entries once they are more than the live ones, or nothing is live: a call that ended
    /// early would else be remembered for as long as it might have rung or been refreshed.
    pub(super) fn prune(&mut self) {
        let counts = self.counts();
        let live = counts.sessions
            + counts.subscriptions
            + counts.proxied
            + counts.client_transactions
            + counts.server_transactions
            + counts.connections;
        if self.deadlines.len() > STALE_DEADLINES + 2 * live || (live == 0 && !self.deadlines.is_empty()) {
            let mut deadlines = std::mem::take(&mut self.deadlines);
            deadlines.retain(|at, owner| self.scheduled(*owner).is_some_and(|scheduled| *scheduled == Some(at)));
            self.deadlines = deadlines;
        }
    }

    /// What it holds.
    pub fn counts(&self) -> Counts {
        Counts {
            sessions: self.sessions.len(),
            client_transactions: self.table.clients.len(),
            server_transactions: self.table.servers.len(),
            proxied: self.proxies.len(),
            subscriptions: self.subscriptions.len(),
            deadlines: self.deadlines.len(),
            connections: self.connections.len(),
        }
    }

    fn handle_message(&mut self, now: Instant, flow: Flow, bytes: &[u8], out: &mut Actions) {
        if self.is_kept_out(now, flow, bytes, out) {
            return;
        }
        match parse(bytes) {
            Ok(message) => match &message.start {
                Start::Request { method, .. } => {
                    let method = method.clone();
                    self.handle_request(now, flow, &message, &method, out);
                }
                Start::Response(status) => {
                    let status = *status;
                    self.handle_response(now, status, &message, out);
                }
            },
            Err(Refusal::Drop(_)) => {}
            Err(Refusal::Answer { .. }) if !self.may_refuse(now, &flow) => {}
            Err(Refusal::Answer { fault, lines }) => {
                let mut response = Response::new(fault.status).with_reason(fault.reason);
                if fault.status == 501 {
                    response = response.with(HeaderName::Allow, &self.allow);
                }
                self.answer_statelessly(now, flow, &lines, response, out);
            }
        }
    }

    /// Bytes of an answer over UDP that fit a request: whoever did not ask must not get much more than was sent
    /// in its name. A stream has shown that its peer is where it says.
    fn room_for_answer(flow: &Flow, lines: &super::parser::Lines<'_>) -> usize {
        if flow.transport == Transport::Udp { lines.length.saturating_mul(2) } else { usize::MAX }
    }

    /// 8.2.7: an answer without transaction; its tag is the same each time.
    fn answer_statelessly(
        &mut self,
        now: Instant,
        flow: Flow,
        lines: &super::parser::Lines<'_>,
        response: Response,
        out: &mut Actions,
    ) {
        use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
        let call_id = lines.get(&HeaderName::CallId);
        let tag = BuildHasherDefault::<DefaultHasher>::default().hash_one((self.stateless_key, call_id));
        let room = Self::room_for_answer(&flow, lines);
        let status = response.status;
        let (mut bytes, mut to) = super::compose::stateless(lines, response, flow, tag, &self.settings);
        if bytes.len() > room {
            // What is said besides the status is left out.
            let bare = Settings { server: String::new(), ..Settings::default() };
            (bytes, to) = super::compose::stateless(lines, Response::new(status), flow, tag, &bare);
        }
        if bytes.len() <= room {
            self.connections.send(now, to, None, bytes, out);
        }
    }

    fn handle_request(&mut self, now: Instant, flow: Flow, message: &Message<'_>, method: &Method, out: &mut Actions) {
        if let Some(id) = self.table.server_of(message, method) {
            return match method {
                Method::Ack => self.acknowledged_in_transaction(now, id, message, out),
                _ => self.repeated(now, id, out),
            };
        }
        // With a tag in To it belongs to a dialog, and that may be one of others which passes through us.
        let is_proxied = message.to.tag().is_some() && self.is_proxied(message);
        if *method == Method::Ack {
            if is_proxied {
                return self.proxy_ack(now, flow, message, out);
            }
            return self.acknowledged(now, message, out);
        }
        if self.table.servers.len() >= self.settings.transactions_max {
            let response = Response::new(503).with(HeaderName::RetryAfter, 10);
            return self.answer_statelessly(now, flow, &message.lines, response, out);
        }
        if let Some(response) = self.overload(now, method, message.to.tag().is_some()) {
            return self.answer_statelessly(now, flow, &message.lines, response, out);
        }
        if let Some(connection) = flow.connection {
            self.connections.alias(connection, &message.via);
        }
        let Some(mut request) = message.to_request() else { return };
        transport::stamp(&mut request, &message.via, flow.remote);
        let cancelled = if *method == Method::Cancel { self.table.cancelled_by(message) } else { None };
        if !is_proxied && self.concerns_nothing(message, method, cancelled.is_some()) {
            if self.may_refuse(now, &flow) {
                self.answer_statelessly(now, flow, &message.lines, Response::new(481), out);
            }
            return;
        }
        let merged = self.table.is_merged(message);
        let local_tag = match cancelled.and_then(|id| self.table.servers.get(id)) {
            // "The To tag of the response to the CANCEL and that to the original request SHOULD be the same" (9.2).
            Some(server) => server.local_tag.clone(),
            None => message.to.tag().map_or_else(|| self.secrets.token::<16>(), str::to_owned),
        };
        let response_flow = transport::response_flow(&request, flow);
        let server = self.table.add_server(now, &self.timers, response_flow, message, request, local_tag);
        self.schedule(Owner::Server(server));
        if *method == Method::Cancel {
            return self.cancelled(now, server, cancelled, out);
        }
        if is_proxied {
            return self.proxy_in_dialog(now, server, flow, out);
        }
        if message.to.tag().is_none()
            && let Some(request) = self.table.servers.get(server).map(|s| &s.request).filter(|r| self.asks_first(r))
        {
            let request = request.clone();
            return out.events.push(Event::Undecided { server, request, flow });
        }
        if merged {
            return self.respond(now, server, Response::new(482), out);
        }
        if let Err(response) = uas::inspect(message, &self.settings) {
            return self.respond(now, server, *response, out);
        }
        match (message.to.tag(), method) {
            (Some(tag), Method::Subscribe) if self.subscription_by_tag.get(tag).is_some() => {
                self.resubscribed(now, server, tag, message, out);
            }
            (Some(tag), _) => self.request_in_session(now, server, tag, message, method, out),
            (None, Method::Invite) => self.invited(now, server, flow, out),
            // These belong to dialogs or to other requests, of which this one knows none.
            (None, Method::Bye | Method::Update | Method::Info | Method::Prack | Method::Notify) => {
                self.respond(now, server, Response::new(481), out);
            }
            (None, _) => {
                if let Some(request) = self.table.servers.get(server).map(|s| s.request.clone()) {
                    out.events.push(Event::Request { server, request, flow });
                }
            }
        }
    }

    /// A repetition of a request gets the last response again.
    fn repeated(&mut self, now: Instant, id: ServerId, out: &mut Actions) {
        let Some(server) = self.table.servers.get(id) else { return };
        let action = match server.machine {
            ServerMachine::Invite(machine) => machine.request(),
            ServerMachine::NonInvite(machine) => machine.request(),
        };
        if action == ServerAction::Send {
            self.send_again(now, id, out);
        }
    }

    /// ACK with the branch of its INVITE: for 300 to 699; from RFC 2543 peers also for 2xx.
    fn acknowledged_in_transaction(&mut self, now: Instant, id: ServerId, message: &Message<'_>, out: &mut Actions) {
        let Some(server) = self.table.servers.get_mut(id) else { return };
        let ServerMachine::Invite(machine) = server.machine else { return };
        match machine.acknowledged(now, &self.timers, server.flow.transport) {
            Some(next) => {
                server.machine = ServerMachine::Invite(next);
                self.schedule(Owner::Server(id));
                if matches!(next, super::transaction::server_invite::ServerInvite::Accepted { .. }) {
                    self.acknowledged(now, message, out);
                }
            }
            None => drop(self.table.remove_server(id)),
        }
    }

    fn handle_response(&mut self, now: Instant, status: u16, message: &Message<'_>, out: &mut Actions) {
        // "If there is more than one Via header field value, the UAC SHOULD discard the message" (8.1.3.3).
        let vias = message.lines.all(&HeaderName::Via).flat_map(super::parser::split_list).count();
        let Some(id) = self.table.client_of(message) else { return };
        let Some(client) = self.table.clients.get_mut(id) else { return };
        // A proxy has those of others below its own; the answer to its CANCEL has none.
        let is_passed_on = matches!(client.user, User::Proxy(_)) && client.request.method != Method::Cancel;
        if (vias > 1) != is_passed_on {
            return;
        }
        let Some(flow) = client.sent else { return };
        let transport = flow.transport;
        let (next, action) = match client.machine {
            ClientMachine::Locating(_) => return,
            ClientMachine::Invite(machine) => {
                let (next, action) = machine.response(now, status, &self.timers, transport);
                // The INVITE that makes a session is bounded by the session; a re-INVITE is here.
                let bound = matches!(client.user, User::Request(_)).then_some(now + self.settings.ring_max);
                let next = next.map(|next| bound.map_or(next, |until| next.bounded(until)));
                (next.map(ClientMachine::Invite), action)
            }
            ClientMachine::NonInvite(machine) => {
                let (next, action) = machine.response(now, status, &self.timers, transport);
                (next.map(ClientMachine::NonInvite), action)
            }
        };
        if let Some(machine) = next {
            client.machine = machine;
        }
        let user = client.user;
        if matches!(action, ClientAction::Acknowledge | ClientAction::AcknowledgeAndDeliver) {
            let to = message.lines.get(&HeaderName::To).unwrap_or_default();
            let ack = super::transaction::acknowledge_failure(&client.request, to).to_bytes();
            self.connections.send(now, flow, None, ack, out);
        }
        if status != 503 {
            self.locator.works(&flow);
        } else if matches!(action, ClientAction::Deliver | ClientAction::AcknowledgeAndDeliver)
            && self.try_next(now, id, Reason::Unavailable(retry_after(message)), out)
        {
            return;
        }
        if matches!(action, ClientAction::Deliver | ClientAction::AcknowledgeAndDeliver)
            && let Some(response) = message.to_response()
        {
            match user {
                User::Invite(session) => self.invite_answered(now, session, id, message, response, out),
                User::Request(request) => self.request_answered(now, request, id, response, out),
                User::Notify(subscription) => self.notified(now, subscription, id, &response, out),
                User::Proxy(proxy) => self.proxy_answered(now, proxy, id, response, out),
                User::Nobody(session) => self.parting_answered(now, session, id, &response, out),
                User::Left { session, cancelled } => {
                    self.left_answered(now, session, id, cancelled, message, response, out);
                }
                User::Spent | User::Passing | User::Ack(_) | User::AckRequest(_) => {}
            }
        }
        if status >= 200
            && next.is_some()
            && let Some(client) = self.table.clients.get_mut(id)
        {
            client.is_answered();
        }
        match next {
            Some(_) => self.schedule(Owner::Client(id)),
            None => self.drop_client(id),
        }
    }

    fn time_client(&mut self, now: Instant, id: ClientId, out: &mut Actions) {
        let Some(client) = self.table.clients.get_mut(id) else { return };
        let gives_way = client.machine.is_silent() && client.gives_way.take_if(|at| *at <= now).is_some();
        if gives_way && self.try_next(now, id, Reason::Silence, out) {
            return;
        }
        let Some(client) = self.table.clients.get_mut(id) else { return };
        let (next, action) = match client.machine {
            ClientMachine::Locating(until) if until <= now => {
                return self.fail_client(now, id, Failure::Transport, out);
            }
            ClientMachine::Locating(_) => return,
            ClientMachine::Invite(machine) => {
                let (next, action) = machine.timeout(now);
                (next.map(ClientMachine::Invite), action)
            }
            ClientMachine::NonInvite(machine) => {
                let (next, action) = machine.timeout(now, &self.timers);
                (next.map(ClientMachine::NonInvite), action)
            }
        };
        match (next, action) {
            (_, ClientAction::TimedOut) => self.fail_client(now, id, Failure::Timeout, out),
            (None, _) => self.drop_client(id),
            (Some(machine), action) => {
                client.machine = machine;
                if action == ClientAction::Send
                    && let Some(flow) = client.sent
                {
                    let bytes = client.bytes.clone();
                    self.connections.send(now, flow, None, bytes, out);
                }
            }
        }
    }

    fn time_server(&mut self, now: Instant, id: ServerId, out: &mut Actions) {
        let Some(server) = self.table.servers.get_mut(id) else { return };
        let (next, action) = match server.machine {
            ServerMachine::Invite(machine) => {
                let (next, action) = machine.timeout(now, &self.timers);
                (next.map(ServerMachine::Invite), action)
            }
            ServerMachine::NonInvite(machine) => {
                (machine.timeout(now).map(ServerMachine::NonInvite), ServerAction::Nothing)
            }
        };
        match next {
            Some(machine) => server.machine = machine,
            None => drop(self.table.remove_server(id)),
        }
        if action == ServerAction::Send {
            self.send_again(now, id, out);
        }
    }

    /// Ends a client transaction without answer and tells its user, unless another server can be tried.
    pub(super) fn fail_client(&mut self, now: Instant, id: ClientId, failure: Failure, out: &mut Actions) {
        let why = match failure {
            Failure::Timeout => Some(Reason::Timeout),
            Failure::Transport => Some(Reason::Transport),
            Failure::SessionEnded => None,
        };
        if why.is_some_and(|why| self.try_next(now, id, why, out)) {
            return;
        }
        let Some(client) = self.table.clients.get(id) else { return };
        match client.user {
            User::Invite(session) => self.invite_failed(session, failure, out),
            User::Request(request) => {
                // What was left at another server ends nothing.
                if self.outgoing.get(request).is_some_and(|outgoing| outgoing.is_decided_by(id)) {
                    self.request_failed(now, request, failure, out);
                }
            }
            User::Notify(subscription) => self.notify_failed(subscription, failure, out),
            User::Proxy(proxy) => self.proxy_failed(now, proxy, id, failure, out),
            User::Nobody(_) | User::Spent | User::Passing | User::Left { .. } | User::Ack(_) | User::AckRequest(_) => {}
        }
        self.drop_client(id);
    }

    /// Removes a client transaction, and its session when that only waited for it.
    pub(super) fn drop_client(&mut self, id: ClientId) {
        let Some(client) = self.table.remove_client(id) else { return };
        let session = match client.user {
            User::Invite(session) | User::Nobody(session) | User::Ack(session) | User::Left { session, .. } => {
                Some(session)
            }
            User::Request(request) => self.release_request(request, id),
            User::Notify(_) | User::Spent | User::Passing | User::AckRequest(_) => None,
            User::Proxy(proxy) => {
                self.release_proxy(proxy);
                None
            }
        };
        if let Some(session) = session {
            if let Some(session) = self.sessions.get_mut(session) {
                session.clients = session.clients.saturating_sub(1);
            }
            self.sweep(session);
        }
    }

    /// Removes a session that is over and for which nothing is under way any more.
    pub(super) fn sweep(&mut self, id: Id<Session>) {
        let over = |s: &Session| matches!(s.state, State::Gone) && s.clients == 0;
        if self.sessions.get(id).is_some_and(over)
            && let Some(session) = self.sessions.remove(id)
        {
            self.by_tag.remove(&session.local_tag);
            self.prune();
        }
    }
}

/// The time of a `Retry-After`, without its comment and parameters (RFC 3261 20.33).
fn retry_after(message: &Message<'_>) -> Option<Duration> {
    let value = message.lines.get(&HeaderName::RetryAfter)?;
    let text = std::str::from_utf8(value).ok()?.trim_start();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().ok().map(Duration::from_secs)
}
