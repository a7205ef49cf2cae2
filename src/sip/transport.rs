//! Framing on streams, connections, `received` and `rport`, and where responses go.
//!
//! RFC 3261 18 and RFC 3581. Server location (RFC 3263) is the caller's: a request comes with the
//! flow that it is to take.

use super::grammar::{number, whole};
use super::headers::Via;
use super::message::{HeaderName, Request};
use super::parser::{split_list, take_line};
use super::{Actions, ConnectionId, Flow, Host, Send, Transport};
use crate::limits;
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
        Transport::Tcp => flow,
        Transport::Udp => {
            let remote = request.via().and_then(|via| via.response_address()).unwrap_or(flow.remote);
            Flow { remote, ..flow }
        }
    }
}

/// A TCP connection.
#[derive(Debug)]
struct Connection {
    remote: SocketAddr,
    flow: Option<Flow>,
    /// What waits for it to open.
    waiting: Vec<Vec<u8>>,
    /// Bytes that are not a whole message yet.
    buffer: Vec<u8>,
    /// Opened by us: closed by us when idle.
    ours: bool,
    /// When the last bytes went either way.
    used: Instant,
    scheduled: Option<Instant>,
}

/// How long things may take on a connection.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the rest of a message.
    pub message: Duration,
    /// Without any traffic, for a connection that we opened.
    pub idle: Duration,
}

/// All TCP connections of an endpoint.
#[derive(Debug, Default)]
pub struct Connections {
    by_id: BTreeMap<ConnectionId, Connection>,
    by_remote: BTreeMap<SocketAddr, ConnectionId>,
    last_id: u64,
    /// Closed by us not long ago: bytes of them may still be on their way from the shell.
    closed: VecDeque<ConnectionId>,
}

/// Closed connections that are remembered.
const CLOSED_MAX: usize = 64;

impl Connections {
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

    /// Sends bytes over a flow; for TCP over its connection, another one to the same peer, or a new one.
    /// Returns the flow that was taken; `None` when there are too many connections.
    pub fn send(&mut self, now: Instant, mut flow: Flow, bytes: Vec<u8>, out: &mut Actions) -> Option<Flow> {
        if flow.transport == Transport::Udp {
            out.sends.push(Send::Datagram { flow, bytes });
            return Some(flow);
        }
        let alive = flow.connection.filter(|id| self.by_id.contains_key(id));
        let id = match alive.or_else(|| self.by_remote.get(&flow.remote).copied()) {
            Some(id) => id,
            None => self.open(now, flow.remote, out)?,
        };
        flow.connection = Some(id);
        let connection = self.by_id.get_mut(&id)?;
        connection.used = now;
        match connection.flow {
            Some(open) => {
                flow = open;
                out.sends.push(Send::Stream { connection: id, bytes });
            }
            None => connection.waiting.push(bytes),
        }
        Some(flow)
    }

    /// The connection to a peer that the next message to it takes.
    pub fn to_peer(&self, remote: SocketAddr) -> Option<ConnectionId> {
        self.by_remote.get(&remote).copied()
    }

    /// Sends two empty lines, which the peer answers by one (RFC 5626 4.4.1).
    pub fn keep_alive(&mut self, now: Instant, id: ConnectionId, out: &mut Actions) {
        if let Some(connection) = self.by_id.get_mut(&id).filter(|connection| connection.flow.is_some()) {
            connection.used = now;
            out.sends.push(Send::Stream { connection: id, bytes: b"\r\n\r\n".to_vec() });
        }
    }

    fn open(&mut self, now: Instant, remote: SocketAddr, out: &mut Actions) -> Option<ConnectionId> {
        if self.by_id.len() >= limits::CONNECTIONS_MAX {
            return None;
        }
        self.last_id += 1;
        let id = ConnectionId(self.last_id);
        let connection = Connection {
            remote,
            flow: None,
            waiting: Vec::new(),
            buffer: Vec::new(),
            ours: true,
            used: now,
            scheduled: None,
        };
        self.by_id.insert(id, connection);
        self.by_remote.insert(remote, id);
        out.sends.push(Send::OpenStream { connection: id, remote });
        Some(id)
    }

    /// A connection is open.
    pub fn opened(&mut self, now: Instant, id: ConnectionId, flow: Flow, out: &mut Actions) {
        if self.by_id.len() >= limits::CONNECTIONS_MAX && !self.by_id.contains_key(&id) {
            out.sends.push(Send::CloseStream { connection: id });
            return;
        }
        let connection = self.by_id.entry(id).or_insert_with(|| Connection {
            remote: flow.remote,
            flow: None,
            waiting: Vec::new(),
            buffer: Vec::new(),
            ours: false,
            used: now,
            scheduled: None,
        });
        connection.flow = Some(Flow { connection: Some(id), transport: Transport::Tcp, ..flow });
        connection.used = now;
        out.sends.extend(connection.waiting.drain(..).map(|bytes| Send::Stream { connection: id, bytes }));
        // A peer that connects again is reached over the newer connection.
        self.by_remote.insert(flow.remote, id);
    }

    /// A connection is gone. Returns whether it was known.
    pub fn closed(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.by_id.remove(&id) else { return false };
        if self.by_remote.get(&connection.remote) == Some(&id) {
            self.by_remote.remove(&connection.remote);
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

    /// Bytes came; take the messages with [`Connections::next_message`]. A connection that the shell
    /// accepted is made known by them.
    pub fn received(&mut self, now: Instant, id: ConnectionId, flow: Flow, bytes: &[u8], out: &mut Actions) {
        if !self.by_id.contains_key(&id) && id.0 >= ConnectionId::ACCEPTED && !self.closed.contains(&id) {
            self.opened(now, id, flow, out);
        }
        if let Some(connection) = self.by_id.get_mut(&id) {
            connection.used = now;
            connection.buffer.extend_from_slice(bytes);
        }
    }

    /// The next whole message of a connection, or the header block of one that has no end: then the
    /// connection has been closed.
    pub fn next_message(&mut self, id: ConnectionId, out: &mut Actions) -> Option<Vec<u8>> {
        loop {
            let connection = self.by_id.get_mut(&id)?;
            match frame(&connection.buffer) {
                Frame::Incomplete => return None,
                Frame::Message(length) => return Some(connection.buffer.drain(..length).collect()),
                Frame::KeepAlive { length, ping } => {
                    connection.buffer.drain(..length);
                    if ping {
                        out.sends.push(Send::Stream { connection: id, bytes: b"\r\n".to_vec() });
                    }
                }
                Frame::Broken(length) => return Some(connection.buffer.drain(..).take(length).collect()),
            }
        }
    }

    /// Whether what `next_message` gave last was the header block of a message without end.
    pub fn is_broken(message: &[u8]) -> bool {
        !matches!(frame(message), Frame::Message(length) if length == message.len())
    }

    /// When a connection is to be looked at.
    pub fn deadline(&self, id: ConnectionId, patience: &Patience) -> Option<Instant> {
        let connection = self.by_id.get(&id)?;
        match (connection.buffer.is_empty(), connection.ours) {
            (false, _) => Some(connection.used + patience.message),
            (true, true) => Some(connection.used + patience.idle),
            (true, false) => None,
        }
    }

    /// The place where the owner of the heap of deadlines notes what it has asked for.
    pub fn scheduled(&mut self, id: ConnectionId) -> Option<&mut Option<Instant>> {
        self.by_id.get_mut(&id).map(|c| &mut c.scheduled)
    }

    /// Closes a connection whose peer is too slow or that has been idle. Returns whether it did.
    pub fn handle_timeout(&mut self, now: Instant, id: ConnectionId, patience: &Patience, out: &mut Actions) -> bool {
        let due = self.deadline(id, patience).is_some_and(|at| at <= now);
        if due {
            self.close(id, out);
        }
        due
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
}
