//! Transactions: table, matching keys, timer names and values (RFC 3261 17, RFC 6026).
//!
//! The four machines are plain values without knowledge of bytes or tables: a step takes the state
//! and says what is to be done. This file keeps them with what they send, and finds them again.
//!
//! | Timer | Value | Machine |
//! |---|---|---|
//! | A, B | T1 doubling; 64 T1 | client INVITE: resend, give up |
//! | D, M | 64 T1 | client INVITE: absorb 300-699; await forked 2xx |
//! | E, F, K | T1 doubling to T2; 64 T1; T4 | client non-INVITE: resend, give up, absorb |
//! | G, H, I | T1 doubling to T2; 64 T1; T4 | server INVITE: resend, give up, absorb ACK |
//! | L | 64 T1 | server INVITE: absorb INVITE after 2xx |
//! | J | 64 T1 | server non-INVITE: absorb |
//!
//! C belongs to proxies; [`super::Settings::ring_max`] does its work for a user agent.

pub mod client_invite;
pub mod client_non_invite;
pub mod server_invite;
pub mod server_non_invite;

use super::location::Search;
use super::message::{HeaderName, Method, Request};
use super::parser::Message;
use super::{ConnectionId, Flow, ProxyId, RequestId, SessionId, Settings, SubscriptionId, Transport, Uri};
use crate::ids::{Id, Index, Slab};
use crate::time::{Duration, Instant};
use client_invite::ClientInvite;
use client_non_invite::ClientNonInvite;
use server_invite::ServerInvite;
use server_non_invite::ServerNonInvite;

/// The three times that all timers are made of (RFC 3261 17.1.1.1).
#[derive(Clone, Copy, Debug)]
pub struct Timers {
    /// Estimate of the round trip.
    pub t1: Duration,
    /// Longest interval between repetitions.
    pub t2: Duration,
    /// Longest life of a message in the network.
    pub t4: Duration,
}

impl Timers {
    /// Those of the settings.
    pub fn of(settings: &Settings) -> Timers {
        Timers { t1: settings.t1, t2: settings.t2, t4: settings.t4 }
    }

    /// 64 T1: how long anybody waits for anything.
    pub fn t1_64(&self) -> Duration {
        self.t1.saturating_mul(64)
    }
}

/// When something is sent again, and the interval that led there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resend {
    /// When.
    pub at: Instant,
    /// The interval before.
    pub interval: Duration,
}

impl Resend {
    /// The first repetition, over an unreliable transport only.
    pub fn first(now: Instant, interval: Duration, transport: Transport) -> Option<Resend> {
        (transport == Transport::Udp).then(|| Resend { at: now + interval, interval })
    }

    /// The next one after twice the time, `limit` at most.
    #[must_use]
    pub fn doubled(self, now: Instant, limit: Option<Duration>) -> Resend {
        let doubled = self.interval.saturating_mul(2);
        let interval = limit.map_or(doubled, |limit| doubled.min(limit));
        Resend { at: now + interval, interval }
    }
}

/// What a client machine wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAction {
    /// Nothing.
    Nothing,
    /// Send the request again.
    Send,
    /// Give the response to the user.
    Deliver,
    /// Send ACK.
    Acknowledge,
    /// Both.
    AcknowledgeAndDeliver,
    /// Tell the user that nobody answers.
    TimedOut,
}

/// What a server machine wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerAction {
    /// Nothing.
    Nothing,
    /// Send the (last) response.
    Send,
}

/// Who gets the responses of a client transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// The session that the INVITE makes.
    Invite(SessionId),
    /// A request of ours other than that INVITE.
    Request(RequestId),
    /// The request that is passed on, and CANCEL for it.
    Proxy(ProxyId),
    /// The subscription whose NOTIFY it is.
    Notify(SubscriptionId),
    /// Nobody: BYE and CANCEL of this session, whose outcome changes nothing.
    Nobody(SessionId),
    /// Nobody: the request went on to another server (RFC 3263 4.3), and what still comes from this one
    /// is only absorbed.
    Spent,
    /// Nobody: the INVITE of this session went on to another server, as this one was silent. What it says after
    /// all is ended: by CANCEL, once, or by ACK and BYE.
    Left {
        /// The session.
        session: SessionId,
        /// CANCEL has been sent.
        cancelled: bool,
    },
    /// An ACK to the INVITE of this session, whose way is being located; nothing comes back.
    Ack(SessionId),
    /// The same for a re-INVITE.
    AckRequest(RequestId),
    /// The same for an ACK of others.
    Passing,
}

/// The machine of a client transaction.
#[derive(Clone, Copy, Debug)]
pub enum ClientMachine {
    /// Not sent yet: its server is being located (RFC 3263), until then at most.
    Locating(Instant),
    /// INVITE
    Invite(ClientInvite),
    /// Any other.
    NonInvite(ClientNonInvite),
}

impl ClientMachine {
    /// Whether the request was sent and nothing at all has come back.
    pub fn is_silent(self) -> bool {
        matches!(
            self,
            ClientMachine::Invite(ClientInvite::Calling { .. })
                | ClientMachine::NonInvite(ClientNonInvite::Trying { .. })
        )
    }

    fn quiet(self) -> ClientMachine {
        match self {
            ClientMachine::Invite(machine) => ClientMachine::Invite(machine.quiet()),
            ClientMachine::NonInvite(machine) => ClientMachine::NonInvite(machine.quiet()),
            locating => locating,
        }
    }
}

/// A client transaction.
#[derive(Debug)]
pub struct Client {
    /// Its state.
    pub machine: ClientMachine,
    /// Where the request went; `None` while it is located.
    pub(super) sent: Option<Flow>,
    /// Where else it may go.
    pub(super) search: Option<Box<Search>>,
    /// When it goes there, if this server has said nothing at all by then.
    pub(super) gives_way: Option<Instant>,
    /// Its Contact names the address that it is sent from, its Request-URI the server that it goes to.
    pub(super) follows: bool,
    /// The Request-URI that it had at first.
    pub(super) addressed: Uri,
    /// The request, for ACK and CANCEL, which copy from it.
    pub request: Request,
    /// Whether it has an offer or answer, [`Request::describes`].
    pub(super) describes: bool,
    /// The same as it was sent.
    pub bytes: Vec<u8>,
    /// Who gets the responses.
    pub user: User,
    pub(super) key: String,
    pub(super) scheduled: Option<Instant>,
}

impl Client {
    /// The request, of which only the start line stays until it has been sent.
    pub(super) fn take_request(&mut self) -> Request {
        let headers = std::mem::take(&mut self.request.headers);
        let body = std::mem::take(&mut self.request.body);
        Request { headers, body, ..self.request.clone() }
    }

    /// Whether that was done.
    pub(super) fn is_taken(&self) -> bool {
        self.request.headers.0.is_empty()
    }

    /// A final response came: nothing is sent again, and no other server is asked. For half a minute fields of
    /// the request are still wanted, as each 2xx of a fork makes a dialog of them, and has an ACK with them.
    pub(super) fn is_answered(&mut self) {
        use HeaderName::*;
        self.bytes = Vec::new();
        self.search = None;
        self.request.body = Vec::new();
        let wanted = |name: &HeaderName| {
            matches!(
                name,
                Via | From | To | CallId | CSeq | Contact | Route | MaxForwards | Authorization | ProxyAuthorization
            )
        };
        self.request.headers.keep(wanted);
    }
}

/// The machine of a server transaction.
#[derive(Clone, Copy, Debug)]
pub enum ServerMachine {
    /// INVITE
    Invite(ServerInvite),
    /// Any other.
    NonInvite(ServerNonInvite),
}

/// A server transaction.
#[derive(Debug)]
pub struct Server {
    /// Its state.
    pub machine: ServerMachine,
    /// Where responses go.
    pub flow: Flow,
    /// The request, with `received` and `rport` in its topmost Via.
    pub request: Request,
    /// The tag that our responses put into To.
    pub local_tag: String,
    /// The last response as it was sent; empty before the first.
    pub last: Vec<u8>,
    /// The connection that the last response waits for to open.
    pub(super) waits_for: Option<ConnectionId>,
    /// Connections that did not open for a response.
    pub(super) ways_failed: u8,
    /// The session that it belongs to.
    pub session: Option<SessionId>,
    /// The response context that passes it on.
    pub proxy: Option<ProxyId>,
    pub(super) key: String,
    pub(super) merge_key: Option<String>,
    pub(super) scheduled: Option<Instant>,
}

impl Server {
    /// A final response was sent: it lives on for half a minute, and a busy gateway has thousands of these.
    /// What it still needs is where the response goes, and whether an INVITE had an offer.
    pub(super) fn is_answered(&mut self) {
        self.request.headers.keep(|name| *name == HeaderName::Via);
        if self.request.method != Method::Invite {
            self.request.body = Vec::new();
        }
    }

    /// ACK to a 2xx came: nothing of it is sent again.
    pub(super) fn is_acknowledged(&mut self) {
        self.last = Vec::new();
        self.request.body = Vec::new();
    }
}

/// Names a client transaction.
pub type ClientId = Id<Client>;
/// Names a server transaction.
pub type ServerId = Id<Server>;

/// All transactions of an endpoint.
#[derive(Debug)]
pub struct Table {
    pub(super) clients: Slab<Client>,
    pub(super) servers: Slab<Server>,
    by_client_key: Index<String, ClientId>,
    by_server_key: Index<String, ServerId>,
    by_merge_key: Index<String, ServerId>,
}

impl Table {
    /// Without transactions; `draw` gives keys for the hashes.
    pub fn new(mut draw: impl FnMut() -> u64) -> Table {
        Table {
            clients: Slab::default(),
            servers: Slab::default(),
            by_client_key: Index::new([draw(), draw()]),
            by_server_key: Index::new([draw(), draw()]),
            by_merge_key: Index::new([draw(), draw()]),
        }
    }

    /// Adds a client transaction whose request is not sent yet; it gets until `until`.
    pub fn add_client(
        &mut self,
        until: Instant,
        request: Request,
        user: User,
        search: Option<Box<Search>>,
    ) -> ClientId {
        self.clients.insert(Client {
            machine: ClientMachine::Locating(until),
            sent: None,
            gives_way: None,
            // A proxy changes neither; a dialog has its own.
            follows: search.as_ref().is_some_and(|search| !search.is_of_dialog())
                && !matches!(user, User::Proxy(_) | User::Passing),
            search,
            addressed: request.uri.clone(),
            describes: request.describes(),
            request,
            bytes: Vec::new(),
            user,
            key: String::new(),
            scheduled: None,
        })
    }

    /// The request of a client transaction has just been sent, for the first time or to another server.
    pub fn sent(&mut self, now: Instant, timers: &Timers, id: ClientId, flow: Flow, request: Request, bytes: Vec<u8>) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let branch = request.via().and_then(|via| via.params.get("branch").map(str::to_owned)).unwrap_or_default();
        let key = client_key(&branch, &request.method);
        client.machine = match request.method {
            Method::Invite => ClientMachine::Invite(ClientInvite::new(now, timers, flow.transport)),
            _ => ClientMachine::NonInvite(ClientNonInvite::new(now, timers, flow.transport)),
        };
        client.sent = Some(flow);
        client.request = request;
        client.bytes = bytes;
        let before = std::mem::replace(&mut client.key, key.clone());
        self.by_client_key.remove(&before);
        self.by_client_key.insert(key, id);
    }

    /// The request of `id` goes on to another server: what this one still says is `user`'s, in the transaction
    /// that is returned.
    pub fn set_aside(&mut self, id: ClientId, user: User) -> Option<ClientId> {
        let client = self.clients.get_mut(id)?;
        let spent = Client {
            machine: client.machine.quiet(),
            sent: client.sent,
            gives_way: None,
            search: None,
            follows: false,
            addressed: client.addressed.clone(),
            request: client.request.clone(),
            describes: client.describes,
            bytes: client.bytes.clone(),
            user,
            key: std::mem::take(&mut client.key),
            scheduled: None,
        };
        let key = spent.key.clone();
        let spent = self.clients.insert(spent);
        self.by_client_key.insert(key, spent);
        Some(spent)
    }

    /// 17.1.3: the transaction whose branch and method a response bears.
    pub fn client_of(&self, response: &Message<'_>) -> Option<ClientId> {
        let branch = response.via.params.get("branch")?;
        self.by_client_key.get(&client_key(branch, &response.cseq.method)).copied()
    }

    /// Removes a client transaction.
    pub fn remove_client(&mut self, id: ClientId) -> Option<Client> {
        let client = self.clients.remove(id)?;
        self.by_client_key.remove(&client.key);
        Some(client)
    }

    /// 17.2.3: the transaction that a request belongs to; for an ACK that of the INVITE.
    pub fn server_of(&self, request: &Message<'_>, method: &Method) -> Option<ServerId> {
        let method = if *method == Method::Ack { &Method::Invite } else { method };
        let id = *self.by_server_key.get(&server_key(request, method))?;
        // Branch-less ACKs share all but the tag of To with the INVITE: that is the tag of our response.
        if request.cseq.method == Method::Ack
            && request.via.unique_branch().is_none()
            && let Some(tag) = request.to.tag()
            && self.servers.get(id).is_some_and(|server| server.local_tag != tag)
        {
            return None;
        }
        Some(id)
    }

    /// 9.2: the transaction that a CANCEL wants to cancel.
    pub fn cancelled_by(&self, cancel: &Message<'_>) -> Option<ServerId> {
        self.by_server_key.get(&server_key(cancel, &Method::Invite)).copied()
    }

    /// 8.2.2.2: whether a request without tag in To came before, on another way.
    pub fn is_merged(&self, request: &Message<'_>) -> bool {
        merge_key(request).is_some_and(|key| self.by_merge_key.get(&key).is_some())
    }

    /// Adds a server transaction whose request has just come.
    pub fn add_server(
        &mut self,
        now: Instant,
        timers: &Timers,
        flow: Flow,
        message: &Message<'_>,
        request: Request,
        local_tag: String,
    ) -> ServerId {
        let machine = match request.method {
            Method::Invite => ServerMachine::Invite(ServerInvite::Proceeding),
            _ => ServerMachine::NonInvite(ServerNonInvite::new(now, timers)),
        };
        let key = server_key(message, &request.method);
        let merge_key = merge_key(message);
        let server = Server {
            machine,
            flow,
            request,
            local_tag,
            last: Vec::new(),
            waits_for: None,
            ways_failed: 0,
            session: None,
            proxy: None,
            key: key.clone(),
            merge_key: merge_key.clone(),
            scheduled: None,
        };
        let id = self.servers.insert(server);
        self.by_server_key.insert(key, id);
        if let Some(key) = merge_key {
            self.by_merge_key.insert(key, id);
        }
        id
    }

    /// Removes a server transaction.
    pub fn remove_server(&mut self, id: ServerId) -> Option<Server> {
        let server = self.servers.remove(id)?;
        self.by_server_key.remove(&server.key);
        if let Some(key) = &server.merge_key
            && self.by_merge_key.get(key) == Some(&id)
        {
            self.by_merge_key.remove(key);
        }
        Some(server)
    }
}

fn client_key(branch: &str, method: &Method) -> String {
    format!("{branch} {method}")
}

/// 17.2.3: branch, sent-by and method; without a unique branch the rules of RFC 2543 that follow there.
fn server_key(message: &Message<'_>, method: &Method) -> String {
    let via = &message.via;
    match via.unique_branch() {
        Some(branch) => {
            let host = via.host.to_string().to_ascii_lowercase();
            format!("{branch} {host}:{} {method}", via.port.unwrap_or(5060))
        }
        None => {
            // "INVITE matches if Request-URI, To tag, From tag, Call-ID, CSeq number and topmost Via are
            // equal"; ACK and CANCEL must match their INVITE, whose To tag they may not share, so
            // the tag of To counts for the other methods only.
            let to_tag = if *method == Method::Invite { None } else { message.to.tag() };
            let uri = match message.lines.start {
                super::parser::StartLine::Request { uri, .. } => super::message::decode(uri),
                super::parser::StartLine::Status { .. } => "".into(),
            };
            let from_tag = message.from.tag().unwrap_or("");
            let (to_tag, number) = (to_tag.unwrap_or(""), message.cseq.number);
            format!("2543 {uri}\n{from_tag}\n{to_tag}\n{}\n{number} {method}\n{via}", message.call_id)
        }
    }
}

/// From tag, Call-ID and CSeq of a request that has no tag in To. ACK and CANCEL never merge.
fn merge_key(message: &Message<'_>) -> Option<String> {
    let tag = message.from.tag().unwrap_or("");
    let mergeable = message.to.tag().is_none() && !matches!(message.cseq.method, Method::Ack | Method::Cancel);
    mergeable.then(|| format!("{tag}\n{}\n{}", message.call_id, message.cseq))
}

/// ACK to a final response of 300 or more: RFC 3261 17.1.1.3.
pub(super) fn acknowledge_failure(invite: &Request, to: &[u8]) -> Request {
    let mut ack = Request::new(Method::Ack, invite.uri.clone());
    for header in invite.headers.iter() {
        match header.name {
            HeaderName::Via | HeaderName::From | HeaderName::CallId | HeaderName::Route | HeaderName::MaxForwards => {
                ack.headers.push(header.clone());
            }
            HeaderName::To => {
                ack.headers.push(super::Header { name: HeaderName::To, value: to.to_vec() });
            }
            HeaderName::CSeq => {
                let number = invite.cseq().map_or(0, |cseq| cseq.number);
                ack = ack.with(HeaderName::CSeq, format_args!("{number} ACK"));
            }
            _ => {}
        }
    }
    ack
}

#[cfg(test)]
mod tests;
