//! Hand-written user agents around a gateway on a made-up clock and network.

use super::TRANSPORT;
use crate::wires::Wires;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use tipring::config::{Config, DEFAULT};
use tipring::simulator::network::{Form, Packet, Traffic};
use tipring::simulator::papers::Papers;
use tipring::simulator::world::{World, WorldSettings};
use tipring::sip::parser::parse;
use tipring::sip::{Credentials, HeaderName, Method, Request, Response, Transport, digest};
use tipring::time::{Duration, Instant};

/// The port for SIP, of the gateway and of everybody else.
const PORT: u16 = match TRANSPORT {
    Transport::Udp | Transport::Tcp => 5060,
    Transport::Tls => 5061,
};
/// Where the demo exchange listens, and here for TLS too.
const LISTENS: &str = "listen = [";
const LISTENS_FOR_TLS: &str = "certificate = \"c.pem\"\nkey = \"k.pem\"\nlisten = [\"tls:127.0.0.1:5061\", ";
/// How long an expected message may take: nothing here waits but for a reason.
const SOON: Duration = Duration::from_millis(1_500);
/// After this nothing may be left of a call.
const QUIET: Duration = Duration::from_secs(520);

/// The world, and who stands in it.
pub struct Stage {
    pub world: World,
    parties: BTreeMap<IpAddr, Place>,
}

/// Where somebody stands.
struct Place {
    wires: Wires,
    /// Messages that came and were not looked at.
    came: VecDeque<(Instant, Vec<u8>)>,
}

/// The parameter of a SIP URI that leads to one of us.
pub fn by() -> &'static str {
    match TRANSPORT {
        Transport::Udp => "",
        Transport::Tcp => ";transport=tcp",
        Transport::Tls => ";transport=tls",
    }
}

/// A message that came to somebody.
#[derive(Debug)]
pub enum Came {
    Request(Request),
    Response(Response),
}

/// One end of a dialog, written by hand.
#[derive(Clone, Debug)]
pub struct Party {
    pub user: String,
    pub address: SocketAddr,
    call_id: String,
    tag: String,
    pub number: u32,
    /// To as the peer knows itself: with its tag once it has one.
    remote: String,
    /// Where requests in the dialog go: the Contact of the peer.
    pub target: String,
    pub routes: Vec<String>,
    branch: u32,
    invite_branch: String,
    /// The last request that came, to be answered.
    received: Option<Request>,
    /// The last challenge.
    challenge: Option<Vec<u8>>,
}

pub fn sdp(address: SocketAddr, port: u16) -> String {
    let ip = address.ip();
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
    )
}

impl Stage {
    /// The demo exchange with more tables behind it.
    pub fn new(more: &str) -> Stage {
        Stage::of(&format!("{DEFAULT}\n{more}"))
    }

    /// The demo exchange with one passage replaced.
    pub fn changed(from: &str, to: &str) -> Stage {
        assert!(DEFAULT.contains(from), "{from}");
        Stage::of(&DEFAULT.replacen(from, to, 1))
    }

    fn of(text: &str) -> Stage {
        let text = &text.replacen(LISTENS, LISTENS_FOR_TLS, 1);
        let config = Config::parse("flow.toml", text, &Papers).unwrap_or_else(|findings| panic!("{findings:?}"));
        Stage { world: World::new(WorldSettings::new(config, 3665)), parties: BTreeMap::new() }
    }

    /// Somebody at an address of his own.
    pub fn party(&mut self, user: &str, last: u8) -> Party {
        let address = SocketAddr::from(([127, 0, 4, last], PORT));
        self.world.add_host(address.ip());
        self.parties.insert(address.ip(), Place { wires: Wires::new(address.ip()), came: VecDeque::new() });
        Party {
            user: user.to_owned(),
            address,
            call_id: format!("{user}-call-1"),
            tag: format!("{user}-tag-1"),
            number: 0,
            remote: String::new(),
            target: String::new(),
            routes: Vec::new(),
            branch: 0,
            invite_branch: String::new(),
            received: None,
            challenge: None,
        }
    }

    pub fn send(&mut self, party: &Party, text: &str) {
        let to = SocketAddr::from(([127, 0, 0, 1], PORT));
        let packet = match TRANSPORT {
            Transport::Udp => {
                let bytes = text.as_bytes().to_vec();
                Packet { traffic: Traffic::Signalling, form: Form::Datagram, from: party.address, to, bytes }
            }
            Transport::Tcp | Transport::Tls => {
                self.connect(party.address.ip(), to);
                self.place(party.address.ip()).wires.say(text).expect("a connection")
            }
        };
        self.world.send_packet(packet);
    }

    fn place(&mut self, ip: IpAddr) -> &mut Place {
        self.parties.get_mut(&ip).expect("somebody who stands here")
    }

    /// Opens a connection, if none is; that takes no time here.
    fn connect(&mut self, ip: IpAddr, to: SocketAddr) {
        if self.place(ip).wires.is_open() {
            return;
        }
        let open = self.place(ip).wires.open(TRANSPORT, to);
        self.world.send_packet(open);
        while !self.place(ip).wires.is_open() {
            let now = self.world.now();
            let goes_on = self.world.step(now);
            let answered = self.collect();
            assert!(goes_on || answered, "the gateway takes no connection at {to}");
        }
    }

    /// Takes what has come to everybody; whether something goes back at once.
    fn collect(&mut self) -> bool {
        let mut replies = Vec::new();
        for (ip, place) in &mut self.parties {
            while let Some((at, packet)) = self.world.take_packet(*ip) {
                match (packet.traffic, packet.form) {
                    (Traffic::Media, _) => {}
                    (Traffic::Signalling, Form::Datagram) => place.came.push_back((at, packet.bytes)),
                    (Traffic::Signalling, _) => {
                        let listens = (packet.to.port() == PORT).then_some(TRANSPORT);
                        let (messages, back) = place.wires.take(&packet, listens);
                        place.came.extend(messages.into_iter().map(|message| (at, message)));
                        replies.extend(back);
                    }
                }
            }
        }
        let answered = !replies.is_empty();
        replies.into_iter().for_each(|packet| self.world.send_packet(packet));
        answered
    }

    /// The next SIP message for somebody, at most this long from now.
    pub fn next(&mut self, party: &Party, within: Duration) -> Option<Came> {
        let deadline = self.world.now() + within;
        loop {
            let answered = self.collect();
            if let Some((_, bytes)) = self.place(party.address.ip()).came.pop_front() {
                let message = parse(&bytes).expect("a well-formed message");
                let request = message.to_request().map(Came::Request);
                return request.or_else(|| message.to_response().map(Came::Response));
            }
            if !self.world.step(deadline) && !answered {
                return None;
            }
        }
    }

    /// The next message is this request.
    #[track_caller]
    pub fn expect(&mut self, party: &mut Party, method: Method) -> Request {
        self.expect_within(party, method, SOON)
    }

    #[track_caller]
    pub fn expect_within(&mut self, party: &mut Party, method: Method, within: Duration) -> Request {
        match self.next(party, within) {
            Some(Came::Request(request)) if request.method == method => {
                if method != Method::Ack {
                    party.heard(&request);
                }
                request
            }
            other => panic!("{} expected {method}, got {other:#?}", party.user),
        }
    }

    /// The next message is a response with this status.
    #[track_caller]
    pub fn expects(&mut self, party: &mut Party, status: u16) -> Response {
        self.expects_within(party, status, SOON)
    }

    #[track_caller]
    pub fn expects_within(&mut self, party: &mut Party, status: u16, within: Duration) -> Response {
        match self.next(party, within) {
            Some(Came::Response(response)) if response.status == status => {
                party.took(&response);
                response
            }
            other => panic!("{} expected {status}, got {other:#?}", party.user),
        }
    }

    /// Provisional 100 may or may not come before this one.
    #[track_caller]
    pub fn expects_after_trying(&mut self, party: &mut Party, status: u16) -> Response {
        match self.next(party, SOON) {
            Some(Came::Response(response)) if response.status == 100 => self.expects(party, status),
            Some(Came::Response(response)) if response.status == status => {
                party.took(&response);
                response
            }
            other => panic!("{} expected {status}, got {other:#?}", party.user),
        }
    }

    /// Nobody gets any message for a time.
    #[track_caller]
    pub fn silence(&mut self, time: Duration) {
        let until = self.world.now() + time;
        // Connections that the gateway keeps alive are answered on the way.
        while self.world.step(until) || self.collect() {
            self.collect();
        }
        self.collect();
        for place in self.parties.values_mut() {
            if let Some((at, bytes)) = place.came.drain(..).next() {
                panic!("unexpected at {at}: {}", String::from_utf8_lossy(&bytes));
            }
        }
    }

    /// Nothing more comes, nothing is left, nothing was wrong; so many calls have a record.
    #[track_caller]
    pub fn finish(self, records: usize) -> World {
        self.finish_but(records, "nothing")
    }

    /// The same, where a problem with these words is what the test is about.
    #[track_caller]
    pub fn finish_but(mut self, records: usize, expected: &str) -> World {
        self.silence(QUIET);
        for place in self.parties.values_mut() {
            place.wires.close_all().into_iter().for_each(|packet| self.world.send_packet(packet));
        }
        self.silence(SOON);
        let mut problems = self.world.checkers().after_quiet(&self.world.gateway().counts());
        problems.retain(|problem| !problem.contains(expected));
        assert!(problems.is_empty(), "{problems:#?}");
        assert_eq!(self.world.records().len(), records, "records of calls");
        self.world
    }

    /// Registers somebody as the account of his name (RFC 3665 2.1).
    #[track_caller]
    pub fn register(&mut self, party: &mut Party) {
        let register = party.register("Expires: 600\r\n", true);
        self.send(party, &register);
        self.expects(party, 401);
        let register = party.register("Expires: 600\r\n", true);
        self.send(party, &register);
        self.expects(party, 200);
    }

    /// Calls a number with the party's description; the challenge of an account is answered.
    #[track_caller]
    pub fn invite(&mut self, party: &mut Party, number: &str) {
        let invite = party.invite(number, true);
        self.send(party, &invite);
        if party.user.parse::<u32>().is_ok() {
            self.expects(party, 401);
            let ack = party.ack_failure();
            self.send(party, &ack);
            let invite = party.invite(number, true);
            self.send(party, &invite);
        }
    }
}

impl Party {
    fn own(&self) -> String {
        format!("<sip:{}@127.0.0.1>;tag={}", self.user, self.tag)
    }

    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// Where it is reached.
    pub fn uri(&self) -> String {
        format!("sip:{}@{}{}", self.user, self.address, by())
    }

    pub fn contact(&self) -> String {
        format!("<{}>", self.uri())
    }

    fn next_branch(&mut self) -> String {
        self.branch += 1;
        format!("z9hG4bK{}-{}-{}", self.user, self.call_id, self.branch)
    }

    /// What a request in the making needs from the one that came.
    fn heard(&mut self, request: &Request) {
        if request.method == Method::Invite && request.to().is_some_and(|to| to.tag().is_none()) {
            self.call_id = request.call_id().expect("Call-ID").into_owned();
            self.remote = request.headers.text(&HeaderName::From).expect("From").into_owned();
            self.target = request.contact().expect("Contact").uri.to_string();
            self.routes = request.headers.tokens(&HeaderName::RecordRoute);
        }
        self.received = Some(request.clone());
    }

    /// What a response teaches: the peer's tag, its Contact, the route.
    pub fn learn_request(&mut self, request: &Request) {
        self.heard(request);
    }

    pub fn learn(&mut self, response: &Response) {
        self.took(response);
    }

    fn took(&mut self, response: &Response) {
        for name in [HeaderName::WwwAuthenticate, HeaderName::ProxyAuthenticate] {
            if let Some(challenge) = response.headers.all(&name).last() {
                self.challenge = Some(challenge.to_vec());
            }
        }
        if let Some(to) = response.headers.text(&HeaderName::To).filter(|_| response.status > 100) {
            self.remote = to.into_owned();
        }
        if let Some(contact) = response.contact().filter(|_| (101..300).contains(&response.status)) {
            self.target = contact.uri.to_string();
            self.routes = response.headers.tokens(&HeaderName::RecordRoute);
            self.routes.reverse();
        }
    }

    /// A request text; the target is where it goes.
    pub fn request(&mut self, method: &str, target: &str, more: &str, body: &str) -> String {
        let branch = match method {
            "CANCEL" => self.invite_branch.clone(),
            _ => self.next_branch(),
        };
        if method == "INVITE" {
            self.invite_branch.clone_from(&branch);
        }
        if !matches!(method, "ACK" | "CANCEL") {
            self.number += 1;
        }
        let routes: String = self.routes.iter().map(|route| format!("Route: {route}\r\n")).collect();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let authorization = self.authorization(method, target);
        format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/{} {};branch={branch}\r\nMax-Forwards: 70\r\n{routes}\
             From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} {method}\r\nContact: {}\r\n{authorization}{more}{kind}\
             Content-Length: {}\r\n\r\n{body}",
            TRANSPORT.name(),
            self.address,
            self.own(),
            self.remote,
            self.call_id,
            self.number,
            self.contact(),
            body.len()
        )
    }

    /// Answers the last challenge, once.
    fn authorization(&mut self, method: &str, target: &str) -> String {
        if matches!(method, "ACK" | "CANCEL") {
            return String::new();
        }
        let Some(challenge) = self.challenge.take() else { return String::new() };
        let credentials = Credentials {
            username: self.user.clone(),
            password: "tipring-demo".to_owned(),
            realm: None,
            peer: "gateway".to_owned(),
        };
        let method = Method::from_token(method);
        let covered = digest::Covered { method: method.as_str().as_bytes(), body: b"" };
        let asking = digest::client::Asking { covered, uri: target, cnonce: "0a4f113b" };
        let challenges = std::iter::once(&challenge[..]);
        let field = digest::Logins::default().answer(challenges, false, &credentials, asking).expect("a challenge");
        format!("Authorization: {}\r\n", field.text())
    }

    pub fn register(&mut self, more: &str, contact: bool) -> String {
        self.remote = format!("<sip:{}@127.0.0.1>", self.user);
        let text = self.request("REGISTER", "sip:127.0.0.1", more, "");
        match contact {
            true => text,
            false => text.replacen(&format!("Contact: {}\r\n", self.contact()), "", 1),
        }
    }

    /// A call to a number of the gateway.
    pub fn invite(&mut self, number: &str, offer: bool) -> String {
        self.remote = format!("<sip:{number}@127.0.0.1>");
        let body = if offer { sdp(self.address, 49172) } else { String::new() };
        self.request("INVITE", &format!("sip:{number}@127.0.0.1"), "", &body)
    }

    /// How Replaces in a URI names the dialog, escaped: the tags as the gateway has them.
    pub fn replaces(&self) -> String {
        let remote = self.remote.split(";tag=").nth(1).unwrap_or_default();
        format!("{}%3Bto-tag%3D{remote}%3Bfrom-tag%3D{}", self.call_id, self.tag)
    }

    /// The next call is another one.
    pub fn again(&mut self) {
        self.call_id.push('x');
        self.tag.push('x');
        self.routes.clear();
        self.number = 0;
    }

    /// A request inside the dialog.
    pub fn inside(&mut self, method: &str, more: &str, body: &str) -> String {
        let target = self.target.clone();
        self.request(method, &target, more, body)
    }

    /// ACK to a 2xx.
    pub fn ack(&mut self, body: &str) -> String {
        self.inside("ACK", "", body)
    }

    /// ACK to a refusal: same branch, same Request-URI (17.1.1.3).
    pub fn ack_failure(&mut self) -> String {
        let uri = self.request_uri();
        let text = self.request("ACK", &uri, "", "");
        let own = format!("branch=z9hG4bK{}-{}-{}", self.user, self.call_id, self.branch);
        text.replace(&own, &format!("branch={}", self.invite_branch))
    }

    pub fn cancel(&mut self) -> String {
        // To of a CANCEL is that of the INVITE: without tag.
        let bare = self.bare_remote();
        let remote = std::mem::replace(&mut self.remote, bare);
        let uri = self.request_uri();
        let text = self.request("CANCEL", &uri, "", "");
        self.remote = remote;
        text
    }

    fn bare_remote(&self) -> String {
        self.remote.split(";tag=").next().unwrap_or("").to_owned()
    }

    fn request_uri(&self) -> String {
        self.bare_remote().trim_matches(['<', '>']).to_owned()
    }

    /// A response to the last request that came.
    pub fn answer(&self, status: u16, more: &str, body: &str) -> String {
        let request = self.received.as_ref().expect("a request came");
        let mut text = format!("SIP/2.0 {status} {}\r\n", tipring::sip::reason_phrase(status));
        for name in [HeaderName::Via, HeaderName::RecordRoute, HeaderName::From, HeaderName::CallId, HeaderName::CSeq] {
            for value in request.headers.all(&name) {
                text.push_str(&format!("{}: {}\r\n", name.as_str(), String::from_utf8_lossy(value)));
            }
        }
        let to = request.headers.text(&HeaderName::To).expect("To");
        let tag = if to.contains("tag=") { String::new() } else { format!(";tag={}", self.tag) };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        text.push_str(&format!(
            "To: {to}{tag}\r\nContact: {}\r\n{more}{kind}Content-Length: {}\r\n\r\n{body}",
            self.contact(),
            body.len()
        ));
        text
    }
}
