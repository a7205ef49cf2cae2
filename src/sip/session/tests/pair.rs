//! Two endpoints on a made-up clock and network.

use crate::rng::{Rng, Seed};
use crate::sip::*;
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::net::SocketAddr;

pub const CALLER: usize = 0;
pub const CALLEE: usize = 1;

#[derive(Clone, Debug)]
enum Packet {
    Datagram(Flow, Vec<u8>),
    Stream(ConnectionId, Vec<u8>),
    Opened(ConnectionId, SocketAddr),
    Closed(ConnectionId),
}

/// Says of a message, by sender and start line, whether it is lost.
type Loses = Box<dyn FnMut(usize, &str) -> bool>;

pub struct Pair {
    pub now: Instant,
    pub ends: [Endpoint; 2],
    pub events: [Vec<Event>; 2],
    /// Sender, start line, and arrival or `lost`, of all that was sent.
    pub log: Vec<String>,
    pub transport: Transport,
    pub loses: Loses,
    /// Chance of loss and of duplication in percent, longest delay in milliseconds.
    pub chances: (u64, u64, u64),
    rng: Rng,
    wire: BTreeMap<(Instant, u64), (usize, Packet)>,
    sent: u64,
    /// So many connections that are asked for are refused first.
    pub refused_streams: u32,
    /// The connection at the other end.
    peers: BTreeMap<(usize, ConnectionId), ConnectionId>,
}

pub fn address(end: usize) -> SocketAddr {
    ["10.0.0.1:5060", "10.0.0.2:5060"][end].parse().unwrap()
}

impl Pair {
    pub fn new(transport: Transport) -> Pair {
        Pair::seeded(transport, 1)
    }

    pub fn seeded(transport: Transport, seed: u64) -> Pair {
        let end = |end: usize| {
            let settings = Settings {
                listeners: vec![(Transport::Udp, address(end)), (Transport::Tcp, address(end))],
                server: String::new(),
                ..Settings::default()
            };
            Endpoint::new(settings, &Seed::from_number(seed).fork(if end == CALLER { "caller" } else { "callee" }))
        };
        Pair {
            now: Instant::from_millis(1000),
            ends: [end(CALLER), end(CALLEE)],
            events: [Vec::new(), Vec::new()],
            log: Vec::new(),
            transport,
            loses: Box::new(|_, _| false),
            chances: (0, 0, 0),
            rng: Seed::from_number(seed).fork("network").rng(),
            wire: BTreeMap::new(),
            sent: 0,
            refused_streams: 0,
            peers: BTreeMap::new(),
        }
    }

    pub fn flow(&self, end: usize) -> Flow {
        Flow { transport: self.transport, local: address(end), remote: address(1 - end), connection: None }
    }

    pub fn act<R>(&mut self, end: usize, f: impl FnOnce(&mut Endpoint, Instant, &mut Actions) -> R) -> R {
        let mut out = Actions::default();
        let result = f(&mut self.ends[end], self.now, &mut out);
        self.events[end].append(&mut out.events);
        for send in out.sends {
            self.send(end, send);
        }
        result
    }

    fn send(&mut self, end: usize, send: Send) {
        match send {
            Send::Datagram { flow, bytes } => {
                let line = String::from_utf8_lossy(&bytes).lines().next().unwrap_or("").to_owned();
                let lost = (self.loses)(end, &line) || self.rng.chance(self.chances.0, 100);
                self.log.push(format!("{end} {line}{}", if lost { " lost" } else { "" }));
                let copies = if lost { 0 } else { 1 + u64::from(self.rng.chance(self.chances.1, 100)) };
                let back = Flow { local: flow.remote, remote: flow.local, ..flow };
                for _ in 0..copies {
                    let delay = 1 + self.rng.below(self.chances.2 + 1);
                    self.put(Duration::from_millis(delay), 1 - end, Packet::Datagram(back, bytes.clone()));
                }
            }
            Send::Stream { connection, bytes } => {
                let line = String::from_utf8_lossy(&bytes).lines().next().unwrap_or("").to_owned();
                if !line.is_empty() {
                    self.log.push(format!("{end} {line}")); // keep-alives are no messages
                }
                if let Some(peer) = self.peers.get(&(end, connection)).copied() {
                    self.put(Duration::from_millis(1), 1 - end, Packet::Stream(peer, bytes));
                }
            }
            Send::OpenStream { connection, .. } if self.refused_streams > 0 => {
                self.refused_streams -= 1;
                self.put(Duration::from_millis(1), end, Packet::Closed(connection));
            }
            Send::OpenStream { connection, remote, .. } => {
                let peer = ConnectionId((1 << 63) + self.sent);
                self.peers.insert((end, connection), peer);
                self.peers.insert((1 - end, peer), connection);
                let mut ephemeral = address(end);
                ephemeral.set_port(40000 + (self.sent % 20000) as u16);
                self.put(Duration::from_millis(1), 1 - end, Packet::Opened(peer, ephemeral));
                self.put(Duration::from_millis(1), end, Packet::Opened(connection, remote));
            }
            Send::Resolve { .. } => unreachable!("only flows that are known are used here"),
            Send::CloseStream { connection } => {
                if let Some(peer) = self.peers.remove(&(end, connection)) {
                    self.peers.remove(&(1 - end, peer));
                    self.put(Duration::from_millis(1), 1 - end, Packet::Closed(peer));
                }
            }
        }
    }

    /// All TCP connections die; both ends hear of it.
    #[allow(dead_code, reason = "the tests outside the crate use it")]
    pub fn kill_connections(&mut self) {
        let all: Vec<(usize, ConnectionId)> = std::mem::take(&mut self.peers).into_keys().collect();
        for (end, connection) in all {
            self.put(Duration::ZERO, end, Packet::Closed(connection));
        }
    }

    fn put(&mut self, delay: Duration, end: usize, packet: Packet) {
        self.sent += 1;
        self.wire.insert((self.now + delay, self.sent), (end, packet));
    }

    /// Lets time run until nothing is due any more, or until `end`.
    pub fn run_until(&mut self, end: Instant) {
        loop {
            let wire = self.wire.keys().next().map(|(at, _)| *at);
            let times = [wire, self.ends[0].deadline(), self.ends[1].deadline()];
            let Some(next) = times.into_iter().flatten().min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            if wire == Some(next) {
                let (_, (end, packet)) = self.wire.pop_first().unwrap();
                self.deliver(end, packet);
            }
            for end in [CALLER, CALLEE] {
                if self.ends[end].deadline().is_some_and(|at| at <= self.now) {
                    self.act(end, |endpoint, now, out| endpoint.handle_timeout(now, out));
                }
            }
        }
        if end < Instant::MAX {
            self.now = end;
        }
    }

    fn deliver(&mut self, end: usize, packet: Packet) {
        let local = address(end);
        let flow_of =
            |connection, remote| Flow { transport: Transport::Tcp, local, remote, connection: Some(connection) };
        self.act(end, |endpoint, now, out| match packet {
            Packet::Datagram(flow, bytes) => endpoint.handle_datagram(now, flow, &bytes, out),
            Packet::Opened(id, remote) => endpoint.handle_stream_opened(now, id, flow_of(id, remote), out),
            Packet::Stream(id, bytes) => {
                // In pieces, as streams come.
                for piece in bytes.chunks(100) {
                    endpoint.handle_stream_bytes(now, flow_of(id, address(1 - end)), piece, out);
                }
            }
            Packet::Closed(id) => endpoint.handle_stream_closed(now, id, out),
        });
    }

    pub fn run_ms(&mut self, ms: u64) {
        self.run_until(self.now + Duration::from_millis(ms));
    }

    /// Lets everything come to rest and checks that nothing is left of it.
    pub fn check_empty(&mut self) {
        self.run_until(Instant::MAX);
        for end in [CALLER, CALLEE] {
            assert_eq!(self.ends[end].counts(), Counts::default(), "end {end}: {:#?}", self.log);
        }
    }

    pub fn outgoing(&self, body: Option<Body>) -> OutgoingInvite {
        OutgoingInvite {
            target: Uri::at(Some("bob"), self.transport, address(CALLEE)),
            next_hop: self.flow(CALLER).into(),
            from: NameAddr::new("sip:alice@example.com".parse().unwrap()).with_display(Some("Alice")),
            to: NameAddr::new("sip:bob@example.com".parse().unwrap()),
            contact_user: "alice".to_owned(),
            body,
            headers: Vec::new(),
            max_forwards: 70,
            reliable: Reliable::Off,
            credentials: None,
        }
    }

    /// Calls; returns the sessions of both ends.
    pub fn call(&mut self, body: Option<Body>) -> (SessionId, SessionId) {
        let invite = self.outgoing(body);
        let caller = self.act(CALLER, |endpoint, now, out| endpoint.invite(now, invite, out));
        self.run_ms(5);
        let callee = self.incoming();
        (caller, callee)
    }

    pub fn incoming(&mut self) -> SessionId {
        let found = self.events[CALLEE].iter().find_map(|event| match event {
            Event::Incoming { session, .. } => Some(*session),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("no INVITE came: {:#?}", self.log))
    }

    /// A call that has been answered and acknowledged.
    pub fn established(transport: Transport) -> (Pair, SessionId, SessionId) {
        let mut pair = Pair::new(transport);
        let (caller, callee) = pair.call(Some(Body::sdp("offer")));
        pair.act(CALLEE, |endpoint, now, out| endpoint.accept(now, callee, Some(Body::sdp("answer")), out));
        pair.run_ms(5);
        pair.take(CALLER);
        pair.take(CALLEE);
        pair.log.clear();
        (pair, caller, callee)
    }

    /// What happened at an end since the last time, in words.
    pub fn take(&mut self, end: usize) -> Vec<String> {
        let body = |body: &Option<Body>| {
            body.as_ref().map_or("-".to_owned(), |b| String::from_utf8_lossy(&b.bytes).into_owned())
        };
        let words = |event: &Event| match event {
            Event::Incoming { request, .. } => format!("incoming {}", body(&request.typed_body())),
            Event::Progress { status, body: b, .. } => format!("progress {status} {}", body(b)),
            Event::Answered { body: b, .. } => format!("answered {}", body(b)),
            Event::EarlyAnswer { body, .. } => format!("early answer {}", String::from_utf8_lossy(&body.bytes)),
            Event::Established { body: b, .. } => format!("established {}", body(b)),
            Event::Acknowledged { body: b, .. } => format!("acknowledged {}", body(b)),
            Event::Offer { request, .. } => format!("offer {} {}", request.method, body(&request.typed_body())),
            Event::InDialog { request, .. } | Event::Request { request, .. } => format!("request {}", request.method),
            Event::Response { outcome: Ok(response), .. } => format!("response {}", response.status),
            Event::Response { outcome: Err(failure), .. } => format!("failed {failure:?}"),
            Event::AuthFailed(failure) => format!("kept out {}", failure.reason.as_str()),
            Event::Ended { how, .. } => match how {
                Ended::Rejected { status, .. } => format!("ended {status}"),
                Ended::Cancelled { .. } => "ended cancelled".to_owned(),
                Ended::Bye { .. } => "ended bye".to_owned(),
                other => format!("ended {other:?}"),
            },
            Event::Undecided { .. } | Event::PassedOn { .. } => "undecided".to_owned(),
            Event::NotifyDue { .. } | Event::Unsubscribed { .. } => "subscription".to_owned(),
        };
        self.events[end].drain(..).map(|event| words(&event)).collect()
    }

    pub fn check(&mut self, end: usize, expected: &[&str]) {
        let seen = self.take(end);
        assert_eq!(seen, expected, "events of end {end}; {:#?}", self.log);
    }

    /// The server transaction of the last request that waits for a reply at an end.
    pub fn waiting(&self, end: usize) -> ServerTransactionId {
        let server = self.events[end].iter().rev().find_map(|event| match event {
            Event::Offer { server, .. } | Event::InDialog { server, .. } | Event::Request { server, .. } => {
                Some(*server)
            }
            _ => None,
        });
        server.expect("a request waits")
    }

    pub fn count(&self, start: &str) -> usize {
        self.log.iter().filter(|line| line.starts_with(start)).count()
    }
}
