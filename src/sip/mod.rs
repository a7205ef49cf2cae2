//! The SIP core seen from outside: messages in, transactions, dialogs and sessions out.
//!
//! [`Endpoint`] is one user agent (or both sides of a back-to-back one) without sockets, clock or
//! chance. Bytes go in with the time; what is to be sent and what happened come out in [`Actions`].
//!
//! ```text
//!  datagram, stream bytes      events                    commands
//!        |                       ^                          |
//!     transport (framing)     session (INVITE usage)  <-----+
//!        |                       ^        |
//!     parser  ->  transaction  ->  uas (8.2)  ->  dialog
//! ```
//!
//! A session is what one INVITE leads to. It ends with exactly one [`Event::Ended`], whatever the
//! peer does. Bodies are bytes here; what SDP means is known to the call layer alone.

mod attempts;
pub mod carried;
mod compose;
pub mod dialog;
pub mod digest;
pub mod endpoint;
mod grammar;
pub mod guard;
pub mod headers;
pub mod location;
pub mod message;
mod multipart;
pub mod parser;
pub mod printer;
pub mod proxy;
pub mod registering;
pub mod registration;
pub mod session;
pub mod subscription;
pub mod transaction;
pub mod transport;
pub mod uas;
mod undelivered;
pub mod uri;

pub use carried::{Carried, Passing, PassingRules};
pub use endpoint::Endpoint;
pub use guard::{Guard, Prefix};
pub use headers::{CSeq, Malformed, NameAddr, Reason, Via};
pub use location::{NaptrRecord, NextHop, Question, Records, SrvRecord};
pub use message::{Body, Header, HeaderName, Headers, Method, Request, Response, reason_phrase};
pub use multipart::Part;
pub use uri::{Host, Params, SipUri, Uri};

use crate::ids::Id;
use crate::time::Duration;
use std::net::SocketAddr;

/// Names a connection, TCP or TLS; accepted ones are named by the shell from 2^63 up, ours by the core from 1 up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl ConnectionId {
    /// The first name of an accepted connection.
    pub const ACCEPTED: u64 = 1 << 63;
}

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// RFC 3261 18.1: unreliable, the transaction layer repeats.
    Udp,
    /// Reliable, framed by Content-Length.
    Tcp,
    /// TLS over TCP (RFC 3261 26.2).
    Tls,
}

impl Transport {
    /// Whether it is a stream: reliable, with connections, framed by Content-Length.
    pub fn is_stream(self) -> bool {
        self != Transport::Udp
    }

    /// As Via spells it.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        }
    }

    /// As a URI parameter and the configuration spell it.
    pub fn word(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        }
    }

    /// RFC 3261 19.1.2: the port where none is written.
    pub fn default_port(self) -> u16 {
        match self {
            Transport::Udp | Transport::Tcp => 5060,
            Transport::Tls => 5061,
        }
    }
}

/// Where bytes came from or go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// UDP, TCP or TLS.
    pub transport: Transport,
    /// Our address.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
    /// The connection, for TCP and TLS.
    pub connection: Option<ConnectionId>,
}

/// Names a session: one INVITE, sent or received, and the dialog that came of it.
pub type SessionId = Id<session::Session>;
/// Names a request that is passed on.
pub type ProxyId = Id<proxy::Proxy>;
/// Names a subscription of a peer.
pub type SubscriptionId = Id<subscription::Subscription>;
/// Names a request that waits for our [`Endpoint::reply`].
pub type ServerTransactionId = Id<transaction::Server>;
/// Names a request that we sent with [`Endpoint::request`] or [`Endpoint::request_in_dialog`].
pub type RequestId = Id<session::outgoing::Outgoing>;

/// How an endpoint presents itself, and its timers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// T1 of RFC 3261 17.1.1.1: estimate of the round trip.
    pub t1: Duration,
    /// T2: longest interval between repetitions of a non-INVITE request or an INVITE response.
    pub t2: Duration,
    /// T4: longest time that a message stays in the network.
    pub t4: Duration,
    /// `Server` and `User-Agent`.
    pub server: String,
    /// Where the shell listens; our Contact and Via name these addresses.
    pub listeners: Vec<(Transport, SocketAddr)>,
    /// Methods that reach the application; others get 405 (known) or 501 (unknown) with `Allow`.
    pub allow: Vec<Method>,
    /// Media types of bodies that an INVITE may bring; others get 415 with `Accept`.
    pub accept: Vec<String>,
    /// Bodies of INVITE and UPDATE that we do not read are left to the application, which answers
    /// [`Endpoint::unread_body`] where nobody else reads them.
    pub routes_unread_bodies: bool,
    /// Option tags that `Require` may name; others get 420 with `Unsupported`.
    pub supported: Vec<String>,
    /// RFC 4028: after this time without refresh a session is taken for dead; `None`: session timers
    /// are neither asked for nor offered. `timer` belongs into `supported` then.
    pub session_expires: Option<Duration>,
    /// The shortest session interval that we accept (RFC 4028 5: 90 s at least).
    pub min_se: Duration,
    /// How long a server may say nothing at all before a request goes to the next one, if there is one: RFC 3263
    /// 4.3 leaves the time of a "timeout" to the client, and 64 T1 is as long as anybody waits.
    pub fail_over: Duration,
    /// An INVITE of ours that rings this long without a new provisional response is cancelled.
    pub ring_max: Duration,
    /// The realm of our challenges: credentials for it are not passed on.
    pub realm: String,
    /// User parts of Request-URIs whose INVITE is not taken before the application has said so; nor is another
    /// request that is no dialog's, except REGISTER and PUBLISH.
    pub asks_first: std::collections::BTreeSet<String>,
    /// Hosts of Request-URIs, likewise.
    pub asks_first_at: Vec<Host>,
    /// Sessions at once; a new INVITE over it gets 503 with `Retry-After`.
    pub sessions_max: usize,
    /// Requests at once that are answered or were within half a minute; more get 503.
    pub transactions_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            server: concat!("tipring/", env!("CARGO_PKG_VERSION")).to_owned(),
            listeners: Vec::new(),
            allow: vec![
                Method::Invite,
                Method::Ack,
                Method::Bye,
                Method::Cancel,
                Method::Options,
                Method::Register,
                Method::Info,
                Method::Prack,
                Method::Update,
            ],
            accept: vec!["application/sdp".to_owned()],
            routes_unread_bodies: false,
            supported: Vec::new(),
            session_expires: None,
            min_se: session::expiry::MIN_SE,
            fail_over: Duration::from_secs(5),
            ring_max: Duration::from_secs(300),
            realm: String::new(),
            asks_first: std::collections::BTreeSet::new(),
            asks_first_at: Vec::new(),
            sessions_max: crate::limits::SESSIONS_MAX,
            transactions_max: crate::limits::TRANSACTIONS_MAX,
        }
    }
}

/// User name and password for a challenge that a peer may send.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password; never printed.
    pub password: String,
    /// The only realm whose challenges are answered; `None`: the first that this peer showed.
    pub realm: Option<String>,
    /// Who is logged in at: challenges of one peer say nothing about another.
    pub peer: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({}, ..)", self.username)
    }
}

/// Whether provisional responses are reliable (RFC 3262).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reliable {
    /// Never: 100rel is not offered, and refused when it is required.
    Off,
    /// When the peer can.
    #[default]
    Supported,
    /// Always: a peer that cannot is not talked to.
    Required,
}

/// An INVITE to be sent. Tags, branch, Call-ID, Contact, Max-Forwards and the like are added.
#[derive(Clone, Debug)]
pub struct OutgoingInvite {
    /// The Request-URI.
    pub target: Uri,
    /// Where it goes: a flow that is known, or URIs that are located (RFC 3263) and tried in order.
    pub next_hop: NextHop,
    /// From, without tag.
    pub from: NameAddr,
    /// To, without tag.
    pub to: NameAddr,
    /// User part of our Contact.
    pub contact_user: String,
    /// The offer; `None` asks the peer for one.
    pub body: Option<Body>,
    /// More header fields.
    pub headers: Vec<Header>,
    /// Max-Forwards; 70 unless the call came from elsewhere.
    pub max_forwards: u8,
    /// Whether provisional responses are to be reliable.
    pub reliable: Reliable,
    /// Answers a 401 or 407 once; without them these are final.
    pub credentials: Option<Credentials>,
}

/// A request outside of a dialog: OPTIONS, REGISTER, MESSAGE.
#[derive(Clone, Debug)]
pub struct OutgoingRequest {
    /// The method; neither INVITE nor ACK nor CANCEL.
    pub method: Method,
    /// The Request-URI.
    pub target: Uri,
    /// Where it goes, as in [`OutgoingInvite::next_hop`].
    pub next_hop: NextHop,
    /// From, without tag.
    pub from: NameAddr,
    /// To, without tag.
    pub to: NameAddr,
    /// A Contact is added when there is a user part for it.
    pub contact_user: Option<String>,
    /// Call-ID and CSeq number, for a REGISTER that refreshes an earlier one; new ones otherwise.
    pub sequence: Option<(String, u32)>,
    /// More header fields.
    pub headers: Vec<Header>,
    /// The body.
    pub body: Option<Body>,
    /// Answers a 401 or 407 once.
    pub credentials: Option<Credentials>,
}

/// What is to be sent or done with connections, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Send {
    /// Send a datagram from `flow.local` to `flow.remote`.
    Datagram {
        /// From and to.
        flow: Flow,
        /// What.
        bytes: Vec<u8>,
    },
    /// Write to an open connection.
    Stream {
        /// Which.
        connection: ConnectionId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Open a connection and call it `connection`.
    OpenStream {
        /// Its name.
        connection: ConnectionId,
        /// TCP or TLS.
        transport: Transport,
        /// The peer.
        remote: SocketAddr,
        /// The domain that the peer's certificate must be for (RFC 5922 7.3); for TLS only. Without
        /// one the certificate must be for the address.
        domain: Option<String>,
    },
    /// Ask the resolver; [`Endpoint::handle_resolved`] is owed.
    Resolve {
        /// What.
        question: Question,
    },
    /// Close a connection; no `handle_stream_closed` needs to follow.
    CloseStream {
        /// Which.
        connection: ConnectionId,
    },
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Our INVITE got this final response of 300 or more (408 and 503 are also made up here
    /// for a timeout and a transport that failed before any answer, RFC 3261 8.1.3.1: see
    /// [`Ended::Timeout`] and [`Ended::TransportFailure`], which are used instead).
    Rejected {
        /// The status.
        status: u16,
        /// The response.
        response: Response,
    },
    /// The caller cancelled; 487 has been sent.
    Cancelled {
        /// The CANCEL with its Reason.
        request: Request,
    },
    /// The peer said BYE; 200 has been sent.
    Bye {
        /// The BYE with its Reason.
        request: Request,
    },
    /// We rejected, cancelled or said BYE; what the peer answers does not matter any more.
    Local,
    /// The peer does not answer.
    Timeout,
    /// The message could not be sent.
    TransportFailure,
    /// Our 200 was never acknowledged; BYE has been sent.
    AckMissing,
    /// Nobody refreshed the session in time (RFC 4028 10); BYE has been sent.
    Expired,
    /// A reliable provisional response of ours was never acknowledged (RFC 3262 3); 500 has been sent.
    PrackMissing,
}

/// Why a request that we sent has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No answer in time (408 in RFC 3261 8.1.3.1).
    Timeout,
    /// It could not be sent (503 in RFC 3261 8.1.3.1).
    Transport,
    /// Its session ended first.
    SessionEnded,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new INVITE; 100 is sent within 200 ms if nothing else is.
    Incoming {
        /// Its session.
        session: SessionId,
        /// The request.
        request: Request,
        /// Where it came from.
        flow: Flow,
    },
    /// A provisional response other than 100 to our INVITE.
    Progress {
        /// The session.
        session: SessionId,
        /// 101 to 199.
        status: u16,
        /// Its body.
        body: Option<Body>,
        /// The response.
        response: Response,
    },
    /// The first 2xx to our INVITE. ACK has been sent, unless the INVITE had no body: then
    /// [`Endpoint::acknowledge`] is owed.
    Answered {
        /// The session.
        session: SessionId,
        /// Its body: the answer, or the offer.
        body: Option<Body>,
        /// The response.
        response: Response,
    },
    /// PRACK came with the answer to the offer in our reliable provisional response; 200 has been sent.
    EarlyAnswer {
        /// The session.
        session: SessionId,
        /// The answer.
        body: Body,
    },
    /// ACK came for our 200 to the INVITE that made this session.
    Established {
        /// The session.
        session: SessionId,
        /// The answer, if the offer was in the 200.
        body: Option<Body>,
    },
    /// ACK came for our 200 to a re-INVITE.
    Acknowledged {
        /// The session.
        session: SessionId,
        /// The answer, if the offer was in the 200.
        body: Option<Body>,
    },
    /// The session is over; nothing follows for it.
    Ended {
        /// The session; stale from now on.
        session: SessionId,
        /// How.
        how: Ended,
    },
    /// re-INVITE or UPDATE in a dialog; [`Endpoint::reply`] is owed.
    Offer {
        /// The session.
        session: SessionId,
        /// To be replied to.
        server: ServerTransactionId,
        /// The request.
        request: Request,
    },
    /// Another request in a dialog (INFO, ...); [`Endpoint::reply`] is owed.
    InDialog {
        /// The session.
        session: SessionId,
        /// To be replied to.
        server: ServerTransactionId,
        /// The request.
        request: Request,
    },
    /// The guard did not let somebody in.
    AuthFailed(Box<guard::AuthFailure>),
    /// A request outside of dialogs: OPTIONS, REGISTER, MESSAGE...; [`Endpoint::reply`] is owed.
    Request {
        /// To be replied to.
        server: ServerTransactionId,
        /// The request.
        request: Request,
        /// Where it came from.
        flow: Flow,
    },
    /// The final response to a request of ours, or why there is none. For a re-INVITE with 2xx
    /// ACK has been sent, unless it had no body: then [`Endpoint::acknowledge`] is owed.
    Response {
        /// The request.
        request: RequestId,
        /// Its session, for a request in a dialog.
        session: Option<SessionId>,
        /// The outcome.
        outcome: Result<Response, Failure>,
        /// The way that the request took last, as far as it was sent at all.
        flow: Option<Flow>,
    },
    /// A new request that [`Settings::asks_first`] names, or any one to a host of
    /// [`Settings::asks_first_at`]: [`Endpoint::proxy`], [`Endpoint::be_called`], or
    /// [`Endpoint::reply`] is owed.
    Undecided {
        /// To be decided about.
        server: ServerTransactionId,
        /// The INVITE.
        request: Request,
        /// Where it came from.
        flow: Flow,
    },
    /// An INVITE that is passed on got its final answer, the first one, or a BYE passes through.
    PassedOn {
        /// Its transaction with whoever sent it.
        server: ServerTransactionId,
        /// The request.
        request: Request,
        /// The status; `None` for BYE.
        status: Option<u16>,
    },
    /// A subscription was refreshed, ended by the peer, or its time is over; [`Endpoint::notify`] is owed.
    NotifyDue {
        /// The subscription.
        subscription: SubscriptionId,
    },
    /// A subscription ended otherwise than by [`Endpoint::end_subscription`]; stale from now on.
    Unsubscribed {
        /// The subscription.
        subscription: SubscriptionId,
    },
}

/// What one call of the endpoint caused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actions {
    /// To be sent, in order.
    pub sends: Vec<Send>,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// Buffers whose room may be used for the next sends.
    pub spare: Vec<Vec<u8>>,
}

/// How much an endpoint holds; all but `connections` reach 0 after quiet, and that one when peers close.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sessions, ended ones that still wait for the peer included.
    pub sessions: usize,
    /// Client transactions.
    pub client_transactions: usize,
    /// Server transactions.
    pub server_transactions: usize,
    /// Requests that are passed on.
    pub proxied: usize,
    /// Subscriptions of peers.
    pub subscriptions: usize,
    /// Entries in the heap of deadlines, stale ones included.
    pub deadlines: usize,
    /// TCP and TLS connections.
    pub connections: usize,
}
