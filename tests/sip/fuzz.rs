//! Sequences of (message, time step) against one endpoint: whatever a peer sends and whenever, and
//! whatever the application does meanwhile, nothing panics, what is held stays bounded, and after quiet
//! nothing is left.
//!
//! Messages are not noise: they are put together from what the endpoint itself has sent (its tags,
//! branches and sequence numbers), so that they reach every state of transactions, dialogs and sessions.

use super::{Repeat, seeds};
use crate::rng::{Rng, Seed};
use crate::sip::*;
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

/// Messages of the endpoint that later ones are made of.
const REMEMBERED: usize = 40;

struct Fuzz {
    rng: Rng,
    endpoint: Endpoint,
    now: Instant,
    transport: Transport,
    /// What the endpoint sent, parsed; the peer answers and repeats these.
    heard: Vec<Heard>,
    /// Own requests, as bytes, to be repeated.
    said: Vec<Vec<u8>>,
    sessions: Vec<SessionId>,
    servers: Vec<ServerTransactionId>,
    connections: u64,
    counter: u64,
    ended: std::collections::BTreeSet<SessionId>,
}

#[derive(Clone)]
enum Heard {
    Request(Request),
    Response(Response),
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 5060))
}

impl Fuzz {
    fn new(seed: u64, transport: Transport) -> Fuzz {
        let mut settings = Settings {
            listeners: [Transport::Udp, Transport::Tcp, Transport::Tls].map(|t| (t, address(1))).to_vec(),
            sessions_max: 30,
            ..Settings::default()
        };
        settings.allow.push(Method::Message);
        let mut rng = Seed::from_number(seed).fork("fuzz").rng();
        if rng.chance(1, 2) {
            settings.supported = vec!["timer".to_owned(), "100rel".to_owned()];
            settings.session_expires = Some(settings.min_se);
        }
        Fuzz {
            rng,
            endpoint: Endpoint::new(settings, &Seed::from_number(seed)),
            now: Instant::from_millis(1),
            transport,
            heard: Vec::new(),
            said: Vec::new(),
            sessions: Vec::new(),
            servers: Vec::new(),
            connections: 0,
            counter: 0,
            ended: std::collections::BTreeSet::new(),
        }
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.rng.below(from.len() as u64) as usize].clone())
    }

    fn flow(&self) -> Flow {
        let connection =
            (self.transport != Transport::Udp).then_some(ConnectionId(ConnectionId::ACCEPTED + self.connections));
        Flow { transport: self.transport, local: address(1), remote: address(2), connection }
    }

    fn act<R>(&mut self, f: impl FnOnce(&mut Endpoint, Instant, &mut Actions) -> R) -> R {
        let mut out = Actions::default();
        let result = f(&mut self.endpoint, self.now, &mut out);
        self.take(out);
        result
    }

    fn take(&mut self, out: Actions) {
        for send in out.sends {
            match send {
                Send::Datagram { bytes, .. } | Send::Stream { bytes, .. } => self.hear(&bytes),
                Send::OpenStream { connection, transport, remote, .. } => {
                    // Most connections open, some never do.
                    if self.rng.chance(3, 4) {
                        let flow = Flow { transport, local: address(1), remote, connection: Some(connection) };
                        self.act(|e, now, out| e.handle_stream_opened(now, connection, flow, out));
                    } else {
                        self.act(|e, now, out| e.handle_stream_closed(now, connection, out));
                    }
                }
                // The resolver knows nothing, or does not answer.
                Send::Resolve { question } => {
                    if self.rng.chance(1, 2) {
                        self.act(|e, now, out| e.handle_resolved(now, &question, &Records::default(), out));
                    }
                }
                Send::CloseStream { .. } => {}
            }
        }
        for event in out.events {
            match event {
                Event::Incoming { session, .. } => self.sessions.push(session),
                Event::Offer { server, .. } | Event::InDialog { server, .. } | Event::Request { server, .. } => {
                    self.servers.push(server);
                }
                Event::Ended { session, .. } => {
                    assert!(self.ended.insert(session), "{session:?} ended twice");
                }
                _ => {}
            }
        }
        let counts = self.endpoint.counts();
        assert!(counts.sessions <= 30 + 64, "sessions are bounded: {counts:?}");
        assert!(counts.server_transactions <= 20_000 && counts.client_transactions <= 20_000, "{counts:?}");
        let live = counts.sessions + counts.client_transactions + counts.server_transactions + counts.connections;
        assert!(counts.deadlines <= 64 + 2 * live + 1, "stale deadlines are bounded: {counts:?}");
    }

    fn hear(&mut self, bytes: &[u8]) {
        // An answer to something malformed copies what is there.
        let Ok(message) = parser::parse(bytes) else { return };
        let heard = match (message.to_request(), message.to_response()) {
            (Some(request), _) => Heard::Request(request),
            (_, Some(response)) => Heard::Response(response),
            _ => return,
        };
        if self.heard.len() >= REMEMBERED {
            self.heard.remove(0);
        }
        self.heard.push(heard);
    }

    /// The peer's next message.
    fn message(&mut self) -> Option<Vec<u8>> {
        let heard = self.heard.clone();
        let message = match self.rng.below(10) {
            0 | 1 => Some(self.new_request()),
            2..=5 => self.pick(&heard).and_then(|heard| match heard {
                Heard::Request(request) => self.response_to(&request),
                Heard::Response(response) => Some(self.request_behind(&response)),
            }),
            6 => self.pick(&heard).map(|heard| match heard {
                Heard::Request(request) => self.request_in_dialog_of(&request),
                Heard::Response(response) => self.request_behind(&response),
            }),
            7 => {
                let said = self.said.clone();
                return self.pick(&said);
            }
            8 => {
                let said = self.said.clone();
                let mut bytes = self.pick(&said)?;
                let at = self.rng.below(bytes.len() as u64) as usize;
                bytes[at] = self.rng.below(256) as u8;
                return Some(bytes);
            }
            _ => None,
        }?;
        if self.said.len() >= REMEMBERED {
            self.said.remove(0);
        }
        self.said.push(message.clone());
        Some(message)
    }

    fn method(&mut self) -> &'static str {
        let all = [
            "INVITE", "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE", "PRACK", "REFER", "MESSAGE", "NEW",
        ];
        all[self.rng.below(all.len() as u64) as usize]
    }

    fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn body(&mut self) -> &'static str {
        if self.rng.chance(1, 2) { "v=0\r\n" } else { "" }
    }

    fn text(&mut self, method: &str, [to, from, call_id]: [&str; 3], number: u32, branch: &str, more: &str) -> Vec<u8> {
        let body = self.body();
        let via = match self.transport {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        };
        format!(
            "{method} sip:101@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/{via} 10.0.0.2;branch={branch}\r\nMax-Forwards: 70\r\n\
             From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {number} {method}\r\nContact: <sip:b@10.0.0.2>\r\n\
             {more}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    fn new_request(&mut self) -> Vec<u8> {
        let (method, n) = (self.method(), self.next());
        let more = if self.rng.chance(1, 8) { "Require: 100rel\r\n" } else { "Supported: 100rel, timer\r\n" };
        let from = format!("<sip:b@10.0.0.2>;tag=f{n}");
        self.text(method, ["<sip:101@10.0.0.1>", &from, &format!("c{n}")], 1, &format!("z9hG4bKn{n}"), more)
    }

    /// A request that refers to a response of the endpoint: ACK, CANCEL, BYE, re-INVITE and all others.
    fn request_behind(&mut self, response: &Response) -> Vec<u8> {
        let field = |name: &HeaderName| response.headers.text(name).map(|v| v.into_owned()).unwrap_or_default();
        let (from, to, call_id) = (field(&HeaderName::From), field(&HeaderName::To), field(&HeaderName::CallId));
        let number = response.cseq().map_or(1, |cseq| cseq.number);
        let branch = response.via().and_then(|via| via.params.get("branch").map(str::to_owned)).unwrap_or_default();
        let method = self.method();
        let same = matches!(method, "ACK" | "CANCEL") && self.rng.chance(2, 3);
        let number = if same { number } else { number.saturating_add(self.rng.below(4) as u32) };
        let branch = if same { branch } else { format!("z9hG4bKd{}", self.next()) };
        let rseq = response.headers.text(&HeaderName::RSeq).map(|v| v.into_owned());
        let more = rseq.map_or(String::new(), |rseq| format!("RAck: {rseq} {number} INVITE\r\n"));
        self.text(method, [&to, &from, &call_id], number, &branch, &more)
    }

    /// A request of the peer in the dialog that a request of the endpoint belongs to.
    fn request_in_dialog_of(&mut self, request: &Request) -> Vec<u8> {
        let field = |name: &HeaderName| request.headers.text(name).map(|v| v.into_owned()).unwrap_or_default();
        let (mut from, to, call_id) = (field(&HeaderName::To), field(&HeaderName::From), field(&HeaderName::CallId));
        if !from.contains("tag=") {
            from.push_str(&format!(";tag=t{}", self.rng.below(3)));
        }
        let (method, n) = (self.method(), self.next());
        let number = 1 + self.rng.below(6) as u32;
        self.text(method, [&to, &from, &call_id], number, &format!("z9hG4bKr{n}"), "")
    }

    fn response_to(&mut self, request: &Request) -> Option<Vec<u8>> {
        if request.method == Method::Ack {
            return None;
        }
        let statuses = [100, 180, 183, 200, 200, 200, 202, 302, 401, 407, 408, 481, 486, 487, 491, 500, 503, 603];
        let status = statuses[self.rng.below(statuses.len() as u64) as usize];
        let mut response = Response::new(status);
        for header in request.headers.iter() {
            let copied = [
                HeaderName::Via,
                HeaderName::From,
                HeaderName::To,
                HeaderName::CallId,
                HeaderName::CSeq,
                HeaderName::RecordRoute,
            ];
            if copied.contains(&header.name) {
                response.headers.push(header.clone());
            }
        }
        if let Some(to) = request.to().filter(|to| to.tag().is_none() && status > 100) {
            response.headers.set(Header::new(HeaderName::To, to.with_tag(&format!("t{}", self.rng.below(3)))));
        }
        if matches!(status, 401 | 407) {
            let name = if status == 401 { HeaderName::WwwAuthenticate } else { HeaderName::ProxyAuthenticate };
            response = response.with(name, "Digest realm=\"x\", nonce=\"y\", algorithm=MD5");
        }
        if self.rng.chance(4, 5) {
            response = response.with(HeaderName::Contact, "<sip:b@10.0.0.2>");
        }
        if self.rng.chance(1, 4) && status < 200 {
            let rseq = 1 + self.rng.below(3);
            response = response.with(HeaderName::Require, "100rel").with(HeaderName::RSeq, rseq);
        }
        let body = self.body();
        response = response.with_body((!body.is_empty()).then(|| Body::sdp(body)));
        Some(response.to_bytes())
    }

    fn receive(&mut self, bytes: &[u8]) {
        let flow = self.flow();
        match self.transport {
            Transport::Udp => self.act(|e, now, out| e.handle_datagram(now, flow, bytes, out)),
            _ => {
                let piece = 1 + self.rng.below(900) as usize;
                for piece in bytes.chunks(piece) {
                    self.act(|e, now, out| e.handle_stream_bytes(now, flow, piece, out));
                }
            }
        }
        if self.transport != Transport::Udp && self.rng.chance(1, 30) {
            self.lose_connection();
        }
    }

    fn lose_connection(&mut self) {
        let id = ConnectionId(ConnectionId::ACCEPTED + self.connections);
        self.act(|e, now, out| e.handle_stream_closed(now, id, out));
        self.connections += 1;
    }

    /// What the application does by itself.
    fn do_something(&mut self) {
        let sessions = self.sessions.clone();
        let session = self.pick(&sessions);
        let flow = Flow { connection: None, ..self.flow() };
        let someone = NameAddr::new(Uri::at(Some("b"), self.transport, address(2)));
        let credentials = self.rng.chance(1, 2).then(|| Credentials {
            username: "u".into(),
            password: "p".into(),
            realm: None,
            peer: "peer".into(),
        });
        let body = self.body();
        let body = (!body.is_empty()).then(|| Body::sdp(body));
        match (self.rng.below(12), session) {
            (0, _) => {
                let invite = OutgoingInvite {
                    target: someone.uri.clone(),
                    next_hop: flow.into(),
                    from: NameAddr::new(Uri::at(Some("a"), self.transport, address(1))),
                    to: someone,
                    contact_user: "a".to_owned(),
                    body,
                    headers: Vec::new(),
                    max_forwards: 70,
                    credentials,
                    reliable: [Reliable::Off, Reliable::Supported, Reliable::Required][self.rng.below(3) as usize],
                };
                let session = self.act(|e, now, out| e.invite(now, invite, out));
                self.sessions.push(session);
            }
            (1, _) => {
                let request = OutgoingRequest {
                    method: [Method::Options, Method::Register, Method::Message][self.rng.below(3) as usize].clone(),
                    target: someone.uri.clone(),
                    next_hop: flow.into(),
                    from: someone.clone(),
                    to: someone,
                    contact_user: Some("a".to_owned()),
                    sequence: None,
                    headers: Vec::new(),
                    body,
                    credentials,
                };
                self.act(|e, now, out| e.request(now, request, out));
            }
            (2, Some(id)) => self.act(|e, now, out| e.terminate(now, id, Some(Reason::q850(16)), out)),
            (3 | 4, Some(id)) => self.act(|e, now, out| e.accept(now, id, body, out)),
            (5, Some(id)) => self.act(|e, now, out| e.reject(now, id, 486, vec![], out)),
            (6, Some(id)) => self.act(|e, now, out| e.progress(now, id, 183, body, vec![], out)),
            (7, Some(id)) => self.act(|e, now, out| e.acknowledge(now, id, body, out)),
            (8 | 9, Some(id)) => {
                let method = [Method::Invite, Method::Update, Method::Info][self.rng.below(3) as usize].clone();
                self.act(|e, now, out| {
                    let _ = e.request_in_dialog(now, id, method, body, vec![], out);
                });
            }
            _ => {
                let servers = self.servers.clone();
                if let Some(server) = self.pick(&servers) {
                    let status = [200, 200, 404, 488, 491, 500][self.rng.below(6) as usize];
                    self.act(|e, now, out| e.reply(now, server, Response::new(status).with_body(body), out));
                }
            }
        }
        self.sessions = self.sessions.split_off(self.sessions.len().saturating_sub(100));
        self.servers = self.servers.split_off(self.servers.len().saturating_sub(20));
    }

    /// Nothing most of the time, at times as long as a timer.
    fn pass_time(&mut self) {
        let ms = match self.rng.below(10) {
            0..=4 => 0,
            5 | 6 => self.rng.below(50),
            7 => self.rng.below(1_000),
            8 => self.rng.below(6_000),
            _ => self.rng.below(40_000),
        };
        self.run_until(self.now + Duration::from_millis(ms));
    }

    fn run_until(&mut self, end: Instant) {
        let mut turns = 0;
        while let Some(at) = self.endpoint.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.act(|e, now, out| e.handle_timeout(now, out));
            turns += 1;
            assert!(turns < 1_000_000, "time does not pass");
        }
        if end < Instant::MAX {
            self.now = end;
        }
    }

    /// Everybody hangs up, and time runs out.
    fn finish(mut self) {
        // All there ever were: ids are an index and a generation.
        let all: Vec<SessionId> = self.sessions.clone();
        for session in all {
            self.act(|e, now, out| e.terminate(now, session, None, out));
        }
        for bits in 0..256_u64 {
            for generation in 0..400_u64 {
                let session = SessionId::from_bits(generation << 32 | bits);
                self.act(|e, now, out| e.terminate(now, session, None, out));
            }
        }
        for server in self.servers.clone() {
            self.act(|e, now, out| e.reply(now, server, Response::new(500), out));
        }
        self.run_until(Instant::MAX);
        self.lose_connection();
        let counts = self.endpoint.counts();
        assert_eq!(Counts { connections: 0, ..counts }, Counts::default(), "nothing is left");
        assert!(counts.connections <= 64, "{counts:?}");
    }
}

fn run(seed: u64, transport: Transport, steps: usize) {
    let mut fuzz = Fuzz::new(seed, transport);
    for _ in 0..steps {
        if let Some(bytes) = fuzz.message() {
            fuzz.receive(&bytes);
        }
        if fuzz.rng.chance(1, 3) {
            fuzz.do_something();
        }
        fuzz.pass_time();
    }
    fuzz.finish();
}

#[test]
fn sequences_of_datagrams_and_time_steps_do_no_harm() {
    for seed in seeds(40) {
        let _repeat = Repeat { test: "sequences_of_datagrams_and_time_steps_do_no_harm", seed };
        run(seed, Transport::Udp, 600);
    }
}

#[test]
fn sequences_on_streams_and_time_steps_do_no_harm() {
    for seed in seeds(20) {
        let _repeat = Repeat { test: "sequences_on_streams_and_time_steps_do_no_harm", seed };
        run(seed, [Transport::Tcp, Transport::Tls][seed as usize % 2], 600);
    }
}
