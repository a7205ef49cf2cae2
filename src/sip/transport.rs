//! Framing on streams, connections, `received` and `rport`, and where responses go.
//!
//! RFC 3261 18, RFC 3581, RFC 5626 4.4.1 (keep-alive), RFC 5923 (connection reuse). Server location
//! (RFC 3263) is [`super::location`]'s: bytes come with the flow that they are to take.

use super::grammar::{number, whole};
use super::headers::Via;
use super::message::{HeaderName, Request};
use super::parser::{split_list, take_line};
use super::{Actions, ConnectionId, Flow, Host, Send, Transport};
use crate::limits;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// What the front of a stream's buffer is.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// A message of this many bytes.
    Message(usize),
    /// Empty lines of this many bytes; `ping` when they ask for an answer (RFC 5626 4.4.1).
    KeepAlive {
        /// Bytes.
        length: usize,
        /// Two line ends in a row.
        ping: bool,
    },
    /// More bytes are needed.
    Incomplete,
    /// A message whose end cannot be found; its header block has this many bytes. The connection is
    /// of no use behind it (RFC 4475 3.1.2.3).
    Broken(usize),
}

/// Finds the first message in a stream by its Content-Length (RFC 3261 18.3).
pub fn frame(buffer: &[u8]) -> Frame {
    let blank = buffer.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    if blank > 0 {
        return match &buffer[..blank] {
            b"\r" | b"\r\n\r" => Frame::Incomplete,
            lines => Frame::KeepAlive { length: blank, ping: lines.starts_with(b"\r\n\r\n") },
        };
    }
    let Some(header_length) = header_block(buffer) else {
        return match buffer.len() {
            ..limits::SIP_MESSAGE_BYTES => Frame::Incomplete,
            length => Frame::Broken(length),
        };
    };
    // "Content-Length MUST be used with stream-oriented transports" (20.14), once and readable.
    match content_length(&buffer[..header_length]).and_then(|body| header_length.checked_add(body)) {
        Some(length) if length > limits::SIP_MESSAGE_BYTES => Frame::Broken(header_length),
        Some(length) if length > buffer.len() => Frame::Incomplete,
        Some(length) => Frame::Message(length),
        None => Frame::Broken(header_length),
    }
}

/// Length of start line, header fields and the empty line.
fn header_block(buffer: &[u8]) -> Option<usize> {
    let mut rest = buffer;
    loop {
        let (line, behind) = take_line(rest)?;
        rest = behind;
        if line.is_empty() {
            return Some(buffer.len() - rest.len());
        }
    }
}

fn content_length(mut block: &[u8]) -> Option<usize> {
    let mut found = None;
    while let Some((line, behind)) = take_line(block) {
        block = behind;
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        if HeaderName::known(super::grammar::trim(&line[..colon])) == Some(HeaderName::ContentLength) {
            let length: u32 = whole("Content-Length", &line[colon + 1..], number::<u32>).ok()?;
            if found.replace(length as usize).is_some() {
                return None;
            }
        }
    }
    found
}

/// Notes in the topmost Via of a request where it really came from (RFC 3261 18.2.1, RFC 3581 4).
pub fn stamp(request: &mut Request, via: &Via, remote: SocketAddr) {
    let wants_port = via.params.has("rport");
    if !wants_port && via.host == Host::Ip(remote.ip()) {
        return;
    }
    let mut stamped = via.clone();
    // A `received` that the sender wrote himself would send our response to where he likes.
    stamped.params.set("received", Some(remote.ip().to_string()));
    if wants_port {
        stamped.params.set("rport", Some(remote.port().to_string()));
    }
    if let Some(field) = request.headers.0.iter_mut().find(|h| h.name == HeaderName::Via) {
        let others: Vec<u8> = split_list(&field.value).skip(1).flat_map(|v| [b", ", v].concat()).collect();
        field.value = [stamped.to_string().as_bytes(), &others].concat();
    }
}

/// Where the response to a request goes: back over the connection, or by Via (RFC 3261 18.2.2).
pub fn response_flow(request: &Request, flow: Flow) -> Flow {
    match flow.transport {
        Transport::Tcp | Transport::Tls => flow,
        Transport::Udp => {
            let remote = request.via().and_then(|via| via.response_address()).unwrap_or(flow.remote);
            Flow { remote, ..flow }
        }
    }
}

/// A connection, TCP or TLS.
#[derive(Debug)]
struct Connection {
    transport: Transport,
    remote: SocketAddr,
    /// Whom the certificate of the peer was to name, for TLS.
    domain: Option<String>,
    /// RFC 5923: where the peer says that it listens, reached over this connection.
    alias: Option<SocketAddr>,
    /// Whom the verified certificate of a peer that connected is for, hosts in lower case.
    identities: Vec<String>,
    flow: Option<Flow>,
    /// What waits for it to open.
    waiting: Vec<Vec<u8>>,
    /// Bytes that are not a whole message yet.
    buffer: Vec<u8>,
    /// Opened by us: kept alive by us, and closed by us when idle.
    ours: bool,
    /// When the last bytes came or went, keep-alives included.
    used: Instant,
    /// When the message began whose rest is awaited.
    begun: Instant,
    /// When the last message came or went.
    spoken: Instant,
    ping: Ping,
    scheduled: Option<Instant>,
}

/// The keep-alive of a connection that we opened (RFC 5626 4.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ping {
    /// The next one is sent then. `answers`: the peer has answered one.
    Next { at: Instant, answers: bool },
    /// The answer is awaited until then.
    Sent { until: Instant, answers: bool },
}

/// How long things may take on a connection.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the rest of a message.
    pub message: Duration,
    /// Without a message, for a connection that we opened.
    pub idle: Duration,
    /// Without any bytes, for one that a peer opened.
    pub idle_accepted: Duration,
}

/// RFC 5626 4.4.1: "the default upper bound for the time between keep-alives is 120 seconds"; each one is
/// sent after "a random number between 80% and 100%".
const PING_EVERY: Duration = Duration::from_secs(120);
/// "If the client does not receive a pong within 10 seconds [...], the flow is considered failed."
const PONG_WITHIN: Duration = Duration::from_secs(10);
/// Messages that may wait for a connection to open.
const WAITING_MAX: usize = 64;

/// All connections of an endpoint.
#[derive(Debug)]
pub struct Connections {
    by_id: BTreeMap<ConnectionId, Connection>,
    by_remote: BTreeMap<(Transport, SocketAddr), ConnectionId>,
    /// Domains of TLS peers, to check their certificates for when a dialog needs a new connection.
    domains: BTreeMap<SocketAddr, String>,
    last_id: u64,
    /// Closed by us not long ago: bytes of them may still be on their way from the shell.
    closed: VecDeque<ConnectionId>,
    rng: Rng,
}

/// Closed connections that are remembered.
const CLOSED_MAX: usize = 64;

impl Connections {
    /// Without connections; `rng` spreads the keep-alives.
    pub fn new(rng: Rng) -> Connections {
        Connections {
            by_id: BTreeMap::new(),
            by_remote: BTreeMap::new(),
            domains: BTreeMap::new(),
            last_id: 0,
            closed: VecDeque::new(),
            rng,
        }
    }

    /// Number of connections, opening ones included.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Whether a connection is there.
    pub fn is_known(&self, id: ConnectionId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Whether a connection is open: what is written to it does not wait.
    pub fn is_open(&self, id: ConnectionId) -> bool {
        self.by_id.get(&id).is_some_and(|connection| connection.flow.is_some())
    }

    /// Sends bytes over a flow; for a stream over its connection, another one to the same peer, or a new
    /// one, whose certificate must be for `domain` (TLS). Returns the flow that was taken; `None` when
    /// there are too many connections.
    pub fn send(
        &mut self,
        now: Instant,
        mut flow: Flow,
        domain: Option<&str>,
        bytes: Vec<u8>,
        out: &mut Actions,
    ) -> Option<Flow> {
        if flow.transport == Transport::Udp {
            out.sends.push(Send::Datagram { flow, bytes });
            return Some(flow);
        }
        let alive = flow.connection.filter(|id| self.by_id.contains_key(id));
        let id = match alive.or_else(|| self.reusable(&flow, domain)) {
            Some(id) => id,
            None => self.open(now, flow.transport, flow.remote, domain, out)?,
        };
        flow.connection = Some(id);
        let connection = self.by_id.get_mut(&id)?;
        connection.used = now;
        connection.spoken = now;
        match connection.flow {
            Some(open) => {
                flow = open;
                out.sends.push(Send::Stream { connection: id, bytes });
            }
            None if connection.waiting.len() < WAITING_MAX => connection.waiting.push(bytes),
            None => return None,
        }
        Some(flow)
    }

    /// The connection to a peer that the next message to it takes.
    pub fn to_peer(&self, flow: &Flow) -> Option<ConnectionId> {
        self.by_remote.get(&(flow.transport, flow.remote)).copied()
    }

    /// Sends two empty lines, which the peer answers by one (RFC 5626 4.4.1).
    pub fn keep_alive(&mut self, now: Instant, id: ConnectionId, out: &mut Actions) {
        if let Some(connection) = self.by_id.get_mut(&id).filter(|connection| connection.flow.is_some()) {
            connection.used = now;
            out.sends.push(Send::Stream { connection: id, bytes: b"\r\n\r\n".to_vec() });
        }
    }

    /// An open connection to where a flow goes. RFC 5923 8.1 and RFC 5922: one that was made for another
    /// domain is another peer, though at the same address.
    fn reusable(&self, flow: &Flow, domain: Option<&str>) -> Option<ConnectionId> {
        let id = *self.by_remote.get(&(flow.transport, flow.remote))?;
        let connection = self.by_id.get(&id)?;
        let fits = match (domain, connection.domain.as_deref()) {
            // RFC 5923 8.2: an alias serves only "if the URI used for RFC3263 server resolution matches one of the
            // identities" of the certificate that its peer has shown.
            (_, None) if connection.alias == Some(flow.remote) => {
                let sought = domain.map_or_else(|| flow.remote.ip().to_string(), str::to_ascii_lowercase);
                connection.identities.contains(&sought)
            }
            (None, _) => true,
            (domain, made_for) => made_for == domain,
        };
        fits.then_some(id)
    }

    fn open(
        &mut self,
        now: Instant,
        transport: Transport,
        remote: SocketAddr,
        domain: Option<&str>,
        out: &mut Actions,
    ) -> Option<ConnectionId> {
        if self.by_id.len() >= limits::CONNECTIONS_MAX {
            return None;
        }
        self.last_id += 1;
        let id = ConnectionId(self.last_id);
        let domain = match transport {
            Transport::Tls => domain.map(str::to_owned).or_else(|| self.domains.get(&remote).cloned()),
            Transport::Udp | Transport::Tcp => None,
        };
        if let Some(domain) = &domain
            && (self.domains.len() < limits::CONNECTIONS_MAX || self.domains.contains_key(&remote))
        {
            self.domains.insert(remote, domain.clone());
        }
        let connection = Connection { domain: domain.clone(), ours: true, ..self.fresh(now, transport, remote) };
        self.by_id.insert(id, connection);
        self.by_remote.insert((transport, remote), id);
        out.sends.push(Send::OpenStream { connection: id, transport, remote, domain });
        Some(id)
    }

    fn fresh(&mut self, now: Instant, transport: Transport, remote: SocketAddr) -> Connection {
        Connection {
            transport,
            remote,
            domain: None,
            alias: None,
            identities: Vec::new(),
            begun: now,
            flow: None,
            waiting: Vec::new(),
            buffer: Vec::new(),
            ours: false,
            used: now,
            spoken: now,
            ping: Ping::Next { at: now + self.until_ping(), answers: false },
            scheduled: None,
        }
    }

    fn until_ping(&mut self) -> Duration {
        PING_EVERY.mul_f64(self.rng.between(800, 1_000) as f64 / 1_000.0)
    }

    /// A connection is open.
    pub fn opened(&mut self, now: Instant, id: ConnectionId, flow: Flow, out: &mut Actions) {
        if !self.by_id.contains_key(&id) {
            if self.by_id.len() >= limits::CONNECTIONS_MAX {
                out.sends.push(Send::CloseStream { connection: id });
                return;
            }
            let connection = self.fresh(now, flow.transport, flow.remote);
            self.by_id.insert(id, connection);
        }
        let Some(connection) = self.by_id.get_mut(&id) else { return };
        connection.flow = Some(Flow { connection: Some(id), transport: connection.transport, ..flow });
        connection.used = now;
        out.sends.extend(connection.waiting.drain(..).map(|bytes| Send::Stream { connection: id, bytes }));
        // A peer that connects again is reached over the newer connection.
        self.by_remote.insert((connection.transport, flow.remote), id);
    }

    /// The peer of a connection has proved by its certificate to be these hosts.
    pub fn verified(&mut self, now: Instant, id: ConnectionId, flow: Flow, identities: Vec<String>, out: &mut Actions) {
        if !self.by_id.contains_key(&id) {
            self.opened(now, id, flow, out);
        }
        if let Some(connection) = self.by_id.get_mut(&id) {
            connection.identities = identities;
        }
    }

    /// RFC 5923 8.2: a request on a TLS connection that the peer opened bears `alias` in its Via: requests to the
    /// address where it listens go over this connection, too. "Servers MUST follow the authentication steps [...]
    /// before forming an alias": without a verified certificate (and so over TCP) the parameter means nothing.
    /// Only the port is taken from the Via; the address is the one that it really came from, so nobody gets the
    /// requests of another host.
    pub fn alias(&mut self, id: ConnectionId, via: &Via) {
        if !via.params.has("alias") {
            return;
        }
        let may = |c: &&mut Connection| {
            !c.ours && c.alias.is_none() && c.transport == Transport::Tls && !c.identities.is_empty()
        };
        let Some(connection) = self.by_id.get_mut(&id).filter(may) else { return };
        let listens = SocketAddr::new(connection.remote.ip(), via.port_or_default());
        connection.alias = Some(listens);
        self.by_remote.insert((connection.transport, listens), id);
    }

    /// A connection is gone. Returns whether it was known.
    pub fn closed(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.by_id.remove(&id) else { return false };
        for remote in [Some(connection.remote), connection.alias].into_iter().flatten() {
            let key = (connection.transport, remote);
            if self.by_remote.get(&key) == Some(&id) {
                self.by_remote.remove(&key);
            }
        }
        true
    }

    /// Closes a connection.
    pub fn close(&mut self, id: ConnectionId, out: &mut Actions) {
        if self.closed(id) {
            out.sends.push(Send::CloseStream { connection: id });
            self.closed.push_back(id);
            if self.closed.len() > CLOSED_MAX {
                self.closed.pop_front();
            }
        }
    }

    /// Bytes came; take the messages with [`Connections::take_message`]. A connection that the shell
    /// accepted is made known by them.
    pub fn received(&mut self, now: Instant, id: ConnectionId, flow: Flow, bytes: &[u8], out: &mut Actions) {
        if !self.by_id.contains_key(&id) && id.0 >= ConnectionId::ACCEPTED && !self.closed.contains(&id) {
            self.opened(now, id, flow, out);
        }
        let until_ping = self.until_ping();
        if let Some(connection) = self.by_id.get_mut(&id) {
            connection.used = now;
            if connection.buffer.is_empty() {
                connection.begun = now;
            }
            // Any bytes show that the flow lives; only a line end is an answer.
            if let Ping::Sent { answers, .. } = connection.ping {
                let answers = answers || bytes.starts_with(b"\r\n");
                connection.ping = Ping::Next { at: now + until_ping, answers };
            }
            connection.buffer.extend_from_slice(bytes);
        }
    }

    /// Puts the next whole message of a connection into `message`, or the header block of one that has no end:
    /// then the connection is of no use any more. False when there is none.
    pub fn take_message(&mut self, now: Instant, id: ConnectionId, message: &mut Vec<u8>, out: &mut Actions) -> bool {
        message.clear();
        loop {
            let Some(connection) = self.by_id.get_mut(&id) else { return false };
            match frame(&connection.buffer) {
                Frame::Incomplete => return false,
                Frame::Message(length) => {
                    (connection.spoken, connection.begun) = (now, now);
                    message.extend(connection.buffer.drain(..length));
                    return true;
                }
                Frame::KeepAlive { length, ping } => {
                    connection.buffer.drain(..length);
                    if ping {
                        out.sends.push(Send::Stream { connection: id, bytes: b"\r\n".to_vec() });
                    }
                }
                Frame::Broken(length) => {
                    message.extend(connection.buffer.drain(..).take(length));
                    return true;
                }
            }
        }
    }

    #[cfg(test)]
    fn next_message(&mut self, now: Instant, id: ConnectionId, out: &mut Actions) -> Option<Vec<u8>> {
        let mut message = Vec::new();
        self.take_message(now, id, &mut message, out).then_some(message)
    }

    /// Whether what `take_message` gave last was the header block of a message without end.
    pub fn is_broken(message: &[u8]) -> bool {
        !matches!(frame(message), Frame::Message(length) if length == message.len())
    }

    /// When a connection is to be looked at.
    pub fn deadline(&self, id: ConnectionId, patience: &Patience) -> Option<Instant> {
        let connection = self.by_id.get(&id)?;
        Some(match (connection.end(patience), connection.ping) {
            (end, _) if !connection.ours || connection.flow.is_none() => end,
            (end, Ping::Next { at, .. } | Ping::Sent { until: at, .. }) => end.min(at),
        })
    }

    /// The place where the owner of the heap of deadlines notes what it has asked for.
    pub fn scheduled(&mut self, id: ConnectionId) -> Option<&mut Option<Instant>> {
        self.by_id.get_mut(&id).map(|c| &mut c.scheduled)
    }

    /// Closes a connection whose peer is too slow or dead or that has been idle, and says whether it did;
    /// keeps the others alive.
    pub fn handle_timeout(&mut self, now: Instant, id: ConnectionId, patience: &Patience, out: &mut Actions) -> bool {
        let until_ping = self.until_ping();
        let Some(connection) = self.by_id.get_mut(&id) else { return false };
        if connection.end(patience) <= now {
            self.close(id, out);
            return true;
        }
        if !connection.ours || connection.flow.is_none() {
            return false;
        }
        match connection.ping {
            Ping::Next { at, answers } if at <= now => {
                out.sends.push(Send::Stream { connection: id, bytes: b"\r\n\r\n".to_vec() });
                connection.ping = Ping::Sent { until: now + PONG_WITHIN, answers };
            }
            // A peer that answered before is dead; one that never did knows nothing of RFC 5626.
            Ping::Sent { until, answers: true } if until <= now => {
                self.close(id, out);
                return true;
            }
            Ping::Sent { until, answers: false } if until <= now => {
                connection.ping = Ping::Next { at: now + until_ping, answers: false };
            }
            Ping::Next { .. } | Ping::Sent { .. } => {}
        }
        false
    }
}

impl Connection {
    /// When it is closed, if nothing more comes or goes.
    fn end(&self, patience: &Patience) -> Instant {
        match (self.buffer.is_empty(), self.ours) {
            // From its beginning: who sends one byte at a time is not waited for longer.
            (false, _) => self.begun + patience.message,
            (true, true) => self.spoken + patience.idle,
            (true, false) => self.used + patience.idle_accepted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parser::parse;
    use super::*;

    #[test]
    fn messages_are_cut_out_of_a_stream_by_content_length() {
        let one = b"OPTIONS sip:h SIP/2.0\r\nl : 3\r\n\r\nabc";
        let mut stream = one.to_vec();
        stream.extend_from_slice(b"\r\n\r\nNEXT");
        assert_eq!(frame(&stream), Frame::Message(one.len()));
        assert_eq!(frame(&stream[one.len()..one.len() + 4]), Frame::KeepAlive { length: 4, ping: true });
        assert_eq!(frame(b"\r\n"), Frame::KeepAlive { length: 2, ping: false });
        for cut in 1..one.len() {
            assert_eq!(frame(&one[..cut]), Frame::Incomplete, "{cut}");
        }
    }

    #[test]
    fn a_stream_without_readable_length_is_broken() {
        for line in
            ["", "Content-Length: five\r\n", "Content-Length: -1\r\n", "l: 1\r\nContent-Length: 2\r\n", "l: 70000\r\n"]
        {
            let bytes = format!("OPTIONS sip:h SIP/2.0\r\n{line}\r\n");
            assert_eq!(frame(bytes.as_bytes()), Frame::Broken(bytes.len()), "{line}");
        }
        assert_eq!(frame(&vec![b'a'; limits::SIP_MESSAGE_BYTES]), Frame::Broken(limits::SIP_MESSAGE_BYTES));
    }

    #[test]
    fn the_topmost_via_learns_where_the_request_came_from() {
        let check = |via: &str, expected: &str, answer_to: &str| {
            let text = format!(
                "OPTIONS sip:a@h SIP/2.0\r\nVia: {via}\r\nFrom: <sip:b@h>;tag=1\r\nTo: <sip:a@h>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n"
            );
            let message = parse(text.as_bytes()).unwrap();
            let mut request = message.to_request().unwrap();
            let remote = "10.0.0.9:777".parse().unwrap();
            stamp(&mut request, &message.via, remote);
            assert_eq!(request.headers.text(&HeaderName::Via).unwrap(), expected);
            let flow =
                Flow { transport: Transport::Udp, local: "10.0.0.1:5060".parse().unwrap(), remote, connection: None };
            assert_eq!(response_flow(&request, flow).remote.to_string(), answer_to);
        };
        check("SIP/2.0/UDP 10.0.0.9:5070;branch=x", "SIP/2.0/UDP 10.0.0.9:5070;branch=x", "10.0.0.9:5070");
        check("SIP/2.0/UDP host:5070;branch=x", "SIP/2.0/UDP host:5070;branch=x;received=10.0.0.9", "10.0.0.9:5070");
        check(
            "SIP/2.0/UDP 10.0.0.9;rport;branch=x",
            "SIP/2.0/UDP 10.0.0.9;rport=777;branch=x;received=10.0.0.9",
            "10.0.0.9:777",
        );
        check(
            "SIP/2.0/UDP a;received=6.6.6.6, SIP/2.0/UDP b;x=\"1,2\"",
            "SIP/2.0/UDP a;received=10.0.0.9, SIP/2.0/UDP b;x=\"1,2\"",
            "10.0.0.9:5060",
        );
    }

    fn flow_to(transport: Transport, remote: &str) -> Flow {
        let local = "10.0.0.1:5060".parse().unwrap();
        Flow { transport, local, remote: remote.parse().unwrap(), connection: None }
    }

    fn connections() -> Connections {
        Connections::new(crate::rng::Seed::from_number(1).rng())
    }

    const PATIENCE: Patience = Patience {
        message: Duration::from_secs(32),
        idle: Duration::from_secs(1_800),
        idle_accepted: Duration::from_secs(4_000),
    };

    fn opened(connections: &mut Connections, transport: Transport, domain: Option<&str>) -> (ConnectionId, Flow) {
        let flow = flow_to(transport, "10.0.0.2:5061");
        let mut out = Actions::default();
        let id = connections.send(Instant::ZERO, flow, domain, b"one".to_vec(), &mut out).unwrap().connection.unwrap();
        connections.opened(Instant::ZERO, id, flow, &mut out);
        (id, Flow { connection: Some(id), ..flow })
    }

    fn next_sends(connections: &mut Connections, id: ConnectionId, now: &mut Instant) -> Vec<Send> {
        let mut out = Actions::default();
        *now = connections.deadline(id, &PATIENCE).unwrap();
        connections.handle_timeout(*now, id, &PATIENCE, &mut out);
        out.sends
    }

    #[test]
    fn rfc_5626_4_4_1_a_connection_of_ours_is_kept_alive() {
        let mut connections = connections();
        let (id, flow) = opened(&mut connections, Transport::Tcp, None);
        let mut now = Instant::ZERO;
        let ping = vec![Send::Stream { connection: id, bytes: b"\r\n\r\n".to_vec() }];
        assert_eq!(next_sends(&mut connections, id, &mut now), ping);
        assert!((96..=120).contains(&now.since(Instant::ZERO).as_secs()), "{now:?}");
        // A peer that never answers one knows nothing of them: it is pinged on, and closed when idle.
        assert_eq!(next_sends(&mut connections, id, &mut now), []);
        assert_eq!(next_sends(&mut connections, id, &mut now), ping);
        connections.received(now, id, flow, b"\r\n", &mut Actions::default());
        assert_eq!(connections.next_message(now, id, &mut Actions::default()), None);
        let answered = now;
        assert_eq!(next_sends(&mut connections, id, &mut now), ping);
        assert!((96..=120).contains(&now.since(answered).as_secs()), "{now:?}");
        // "If the client does not receive a pong within 10 seconds [...], the flow is considered failed."
        let pinged = now;
        assert_eq!(next_sends(&mut connections, id, &mut now), [Send::CloseStream { connection: id }]);
        assert_eq!(now, pinged + Duration::from_secs(10));
    }

    #[test]
    fn a_connection_of_ours_without_messages_is_closed_though_it_is_kept_alive() {
        let mut connections = connections();
        let (id, _) = opened(&mut connections, Transport::Tls, None);
        let mut now = Instant::ZERO;
        while connections.is_known(id) {
            next_sends(&mut connections, id, &mut now);
        }
        assert_eq!(now, Instant::ZERO + PATIENCE.idle);
    }

    #[test]
    fn a_connection_that_a_peer_opened_is_closed_after_long_silence_only() {
        let mut connections = connections();
        let id = ConnectionId(ConnectionId::ACCEPTED);
        let flow = flow_to(Transport::Tcp, "10.0.0.2:40000");
        connections.received(Instant::ZERO, id, flow, b"\r\n\r\n", &mut Actions::default());
        let mut out = Actions::default();
        assert_eq!(connections.next_message(Instant::ZERO, id, &mut out), None);
        assert_eq!(out.sends, [Send::Stream { connection: id, bytes: b"\r\n".to_vec() }], "the pong");
        let mut now = Instant::ZERO;
        assert_eq!(next_sends(&mut connections, id, &mut now), [Send::CloseStream { connection: id }]);
        assert_eq!(now, Instant::ZERO + PATIENCE.idle_accepted);
    }

    #[test]
    fn a_connection_is_used_again_for_the_same_domain_only() {
        let mut connections = connections();
        let (id, flow) = opened(&mut connections, Transport::Tls, Some("a.example"));
        let mut send = |flow: Flow, domain: Option<&str>| {
            let taken = connections.send(Instant::ZERO, flow, domain, b"x".to_vec(), &mut Actions::default());
            taken.unwrap().connection.unwrap()
        };
        let unnamed = Flow { connection: None, ..flow };
        assert_eq!(send(unnamed, Some("a.example")), id);
        assert_eq!(send(unnamed, None), id, "a dialog knows the address only");
        assert_ne!(send(unnamed, Some("b.example")), id, "another peer at the same address");
        assert_ne!(send(Flow { transport: Transport::Tcp, ..unnamed }, None), id);
    }

    #[test]
    fn a_dialog_over_tls_opens_its_next_connection_for_the_same_domain() {
        let mut connections = connections();
        let (id, flow) = opened(&mut connections, Transport::Tls, Some("a.example"));
        assert!(connections.closed(id));
        let mut out = Actions::default();
        connections.send(Instant::ZERO, flow, None, b"BYE".to_vec(), &mut out);
        let [Send::OpenStream { domain, transport: Transport::Tls, .. }] = out.sends.as_slice() else {
            panic!("{out:?}")
        };
        assert_eq!(domain.as_deref(), Some("a.example"));
    }

    #[test]
    fn rfc_5923_8_2_a_peer_that_says_alias_and_shows_a_certificate_is_reached_over_its_own_connection() {
        let mut connections = connections();
        let id = ConnectionId(ConnectionId::ACCEPTED);
        let flow = flow_to(Transport::Tls, "10.0.0.2:40000");
        let names = vec!["peer.example".to_owned(), "10.0.0.2".to_owned()];
        connections.verified(Instant::ZERO, id, flow, names, &mut Actions::default());
        let reached = |connections: &mut Connections, remote: &str, domain: Option<&str>| {
            let flow = flow_to(Transport::Tls, remote);
            connections.send(Instant::ZERO, flow, domain, b"x".to_vec(), &mut Actions::default()).unwrap().connection
        };
        let via = |text: &str| Via::parse(text.as_bytes()).unwrap();
        connections.alias(id, &via("SIP/2.0/TLS 10.0.0.9:5071;branch=z9hG4bKx;alias"));
        assert_eq!(reached(&mut connections, "10.0.0.2:5071", Some("peer.example")), Some(id), "the port of the Via");
        assert_eq!(reached(&mut connections, "10.0.0.2:5071", None), Some(id), "an address of the certificate");
        let claimed = reached(&mut connections, "10.0.0.9:5071", Some("peer.example"));
        assert_ne!(claimed, Some(id), "never the address that it claims");
        assert!(connections.closed(id));
        assert_ne!(reached(&mut connections, "10.0.0.2:5071", Some("peer.example")), Some(id));
    }

    #[test]
    fn rfc_5923_9_2_an_alias_without_a_verified_certificate_for_the_domain_means_nothing() {
        for (transport, names, domain) in [
            (Transport::Tcp, &["peer.example"][..], None),
            (Transport::Tls, &[], Some("peer.example")),
            (Transport::Tls, &["other.example"], Some("peer.example")),
            (Transport::Tls, &["peer.example"], None),
        ] {
            let mut connections = connections();
            let id = ConnectionId(ConnectionId::ACCEPTED);
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let flow = flow_to(transport, "10.0.0.2:40000");
            connections.verified(Instant::ZERO, id, flow, names, &mut Actions::default());
            connections.alias(id, &Via::parse(b"SIP/2.0/TLS 10.0.0.2:5071;branch=z9hG4bKx;alias").unwrap());
            let flow = flow_to(transport, "10.0.0.2:5071");
            let sent = connections.send(Instant::ZERO, flow, domain, b"x".to_vec(), &mut Actions::default()).unwrap();
            assert_ne!(sent.connection, Some(id), "{transport:?} {domain:?}");
        }
    }

    #[test]
    fn a_message_that_comes_byte_by_byte_is_waited_for_no_longer_than_any_other() {
        let mut connections = connections();
        let id = ConnectionId(ConnectionId::ACCEPTED);
        let flow = flow_to(Transport::Tcp, "10.0.0.2:40000");
        let patience = Patience {
            message: Duration::from_secs(32),
            idle: Duration::from_secs(1_800),
            idle_accepted: Duration::from_secs(4_000),
        };
        let mut out = Actions::default();
        let at = |seconds: u64| Instant::from_millis(seconds * 1_000);
        for second in 0..32 {
            connections.received(at(second), id, flow, b"O", &mut out);
            assert_eq!(connections.next_message(at(second), id, &mut out), None);
        }
        assert_eq!(connections.deadline(id, &patience), Some(at(32)));
        assert!(connections.handle_timeout(at(32), id, &patience, &mut out));
        assert!(!connections.is_known(id));
    }

    #[test]
    fn what_waits_for_a_connection_to_open_is_bounded() {
        let mut connections = connections();
        let flow = flow_to(Transport::Tcp, "10.0.0.2:5060");
        let mut out = Actions::default();
        for _ in 0..WAITING_MAX {
            assert!(connections.send(Instant::ZERO, flow, None, b"x".to_vec(), &mut out).is_some());
        }
        assert!(connections.send(Instant::ZERO, flow, None, b"x".to_vec(), &mut out).is_none());
        assert_eq!(connections.len(), 1);
    }
}
