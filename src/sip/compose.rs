//! How messages are put together: what responses copy, what requests are given, and how both leave.

use super::endpoint::{Endpoint, Owner};
use super::grammar::trim;
use super::headers::{NameAddr, Via};
use super::message::{Header, HeaderName, Headers, Method, Request, Response};
use super::parser::{Lines, split_list};
use super::transaction::{ClientId, ServerAction, ServerId, ServerMachine, User};
use super::uri::{Host, Params, Uri};
use super::{Actions, Flow, Settings, Transport, transport, uas};
use crate::time::Instant;
use std::net::SocketAddr;

/// A response that is made from the lines of a request alone; returns where it goes, too.
pub(super) fn stateless(
    lines: &Lines<'_>,
    response: Response,
    flow: Flow,
    tag: u64,
    settings: &Settings,
) -> (Vec<u8>, Flow) {
    let all = lines.to_headers();
    let mut request = Request::new(Method::Options, Uri::sip(None, Host::Name(String::new()), None));
    request.headers = all;
    if let Some(via) = request.via() {
        transport::stamp(&mut request, &via, flow.remote);
    }
    let response_flow = transport::response_flow(&request, flow);
    let response = complete(response, &request.headers, &format!("{tag:016x}"), settings);
    (response.to_bytes(), response_flow)
}

/// 8.2.6.2: what a response copies from its request, in front of its own fields.
fn complete(mut response: Response, request: &Headers, local_tag: &str, settings: &Settings) -> Response {
    let own = std::mem::take(&mut response.headers);
    for header in request.iter() {
        let value = match header.name {
            HeaderName::Via | HeaderName::From | HeaderName::CallId | HeaderName::CSeq => header.value.clone(),
            HeaderName::To => with_tag(&header.value, response.status, local_tag),
            // 8.2.6.1: a 100 copies Timestamp. 12.1.1: a response that makes a dialog copies Record-Route.
            HeaderName::Timestamp if response.status == 100 => header.value.clone(),
            HeaderName::RecordRoute if (101..=299).contains(&response.status) => header.value.clone(),
            _ => continue,
        };
        response.headers.push(Header { name: header.name.clone(), value });
    }
    for header in own.iter() {
        response.headers.push(header.clone());
    }
    if !settings.server.is_empty() {
        response.headers.push(Header::new(HeaderName::Server, &settings.server));
    }
    response
}

/// "If the To header field in the request did not contain a tag, the UAS MUST add a tag" (8.2.6.2),
/// but for a 100 it need not.
fn with_tag(to: &[u8], status: u16, tag: &str) -> Vec<u8> {
    let tagged = NameAddr::parse(to).is_ok_and(|to| to.params.has("tag"));
    match tagged || status == 100 {
        true => to.to_vec(),
        false => [trim(to), b";tag=", tag.as_bytes()].concat(),
    }
}

impl Endpoint {
    /// A 405 with what is allowed (RFC 3261 8.2.1).
    pub fn not_allowed(&self) -> Response {
        Response::new(405).with(HeaderName::Allow, uas::allow(&self.settings))
    }

    /// Whether we understand an extension.
    pub(super) fn knows(&self, tag: &str) -> bool {
        self.settings.supported.iter().any(|known| known.eq_ignore_ascii_case(tag))
    }

    /// A 200 that says what we can do (RFC 3261 11.2), for OPTIONS.
    pub fn capabilities(&self) -> Response {
        let join = |items: &[String]| items.join(", ");
        let mut response = Response::new(200)
            .with(HeaderName::Allow, uas::allow(&self.settings))
            .with(HeaderName::Accept, join(&self.settings.accept))
            .with(HeaderName::AcceptEncoding, "identity")
            .with(HeaderName::AcceptLanguage, "en");
        if !self.settings.supported.is_empty() {
            response = response.with(HeaderName::Supported, join(&self.settings.supported));
        }
        response
    }

    /// Our Contact towards the peer of a flow: the listener of that transport on that address.
    pub(super) fn contact(&self, user: Option<&str>, flow: &Flow) -> NameAddr {
        NameAddr::new(Uri::at(user, flow.transport, self.listener(flow)))
    }

    /// The address on which the peer of a flow reaches us with new requests.
    fn listener(&self, flow: &Flow) -> SocketAddr {
        let same_transport = self.settings.listeners.iter().filter(|(t, _)| *t == flow.transport).map(|(_, a)| *a);
        let matching = |a: &SocketAddr| *a == flow.local || a.ip() == flow.local.ip();
        let listener = same_transport.clone().find(matching).or_else(|| same_transport.clone().next());
        match listener {
            Some(any) if any.ip().is_unspecified() => SocketAddr::new(flow.local.ip(), any.port()),
            Some(address) if flow.transport == Transport::Tcp => address,
            // A datagram is sent from `flow.local`, which the shell has bound.
            _ => flow.local,
        }
    }

    pub(super) fn via(&mut self, flow: &Flow) -> Via {
        let address = self.listener(flow);
        let branch = format!("{}{}", Via::COOKIE, self.secrets.token::<20>());
        Via {
            version: "2.0".to_owned(),
            transport: if flow.transport == Transport::Tcp { "TCP" } else { "UDP" }.to_owned(),
            host: Host::Ip(address.ip()),
            port: Some(address.port()),
            params: Params(vec![("branch".to_owned(), Some(branch)), ("rport".to_owned(), None)]),
        }
    }

    /// Puts Via on top and User-Agent at the end.
    fn finish_request(&mut self, request: &mut Request, flow: &Flow) {
        let via = self.via(flow);
        request.headers.0.insert(0, Header::new(HeaderName::Via, via));
        if !self.settings.server.is_empty() {
            request.headers.push(Header::new(HeaderName::UserAgent, &self.settings.server));
        }
    }

    /// Sends a request in a new client transaction. `None` when it cannot be sent at all.
    pub(super) fn start_client(
        &mut self,
        now: Instant,
        flow: Flow,
        mut request: Request,
        user: User,
        out: &mut Actions,
    ) -> Option<ClientId> {
        self.finish_request(&mut request, &flow);
        self.start_finished_client(now, flow, request, user, out)
    }

    /// The same for a request that has its Via already: a CANCEL.
    pub(super) fn start_finished_client(
        &mut self,
        now: Instant,
        flow: Flow,
        request: Request,
        user: User,
        out: &mut Actions,
    ) -> Option<ClientId> {
        let bytes = request.to_bytes();
        let flow = self.connections.send(now, flow, bytes.clone(), out)?;
        let id = self.table.add_client(now, &self.timers, flow, request, bytes, user);
        let session = match user {
            User::Invite(session) | User::Nobody(session) => Some(session),
            User::Request(request) => self.outgoing.get(request).and_then(|o| o.session),
            User::Notify(_) => None,
            User::Proxy(proxy) => {
                self.hold_proxy(proxy);
                None
            }
        };
        if let Some(session) = session.and_then(|id| self.sessions.get_mut(id)) {
            session.clients += 1;
        }
        self.schedule(Owner::Client(id));
        if let Some(connection) = flow.connection {
            self.schedule(Owner::Connection(connection));
        }
        Some(id)
    }

    /// Sends an ACK to a 2xx; returns its bytes and flow, for when the 2xx comes again.
    pub(super) fn send_ack(
        &mut self,
        now: Instant,
        flow: Flow,
        mut ack: Request,
        invite: &Headers,
        out: &mut Actions,
    ) -> (Vec<u8>, Flow) {
        // 13.2.2.4: "the ACK MUST contain the same credentials as the INVITE".
        let credentials = |h: &&Header| matches!(h.name, HeaderName::Authorization | HeaderName::ProxyAuthorization);
        ack = ack.with_headers(invite.iter().filter(credentials).cloned());
        self.finish_request(&mut ack, &flow);
        let bytes = ack.to_bytes();
        let flow = self.connections.send(now, flow, bytes.clone(), out).unwrap_or(flow);
        (bytes, flow)
    }

    /// Sends a response in a server transaction, as far as its state allows.
    pub(super) fn respond(&mut self, now: Instant, id: ServerId, response: Response, out: &mut Actions) {
        let Some(server) = self.table.servers.get_mut(id) else { return };
        let status = response.status;
        let transport = server.flow.transport;
        let (next, action) = match server.machine {
            ServerMachine::Invite(machine) => {
                let (next, action) = machine.respond(now, status, &self.timers, transport);
                (Some(ServerMachine::Invite(next)), action)
            }
            ServerMachine::NonInvite(machine) => {
                let (next, action) = machine.respond(now, status, &self.timers, transport);
                (next.map(ServerMachine::NonInvite), action)
            }
        };
        if let Some(machine) = next {
            server.machine = machine;
        }
        if action == ServerAction::Send {
            let response = complete(response, &server.request.headers, &server.local_tag, &self.settings);
            server.last = response.to_bytes();
            self.send_again(now, id, out);
        }
        match next {
            Some(_) => self.schedule(Owner::Server(id)),
            None => {
                self.table.remove_server(id);
                self.prune();
            }
        }
    }

    /// Sends the last response of a server transaction (again).
    pub(super) fn send_again(&mut self, now: Instant, id: ServerId, out: &mut Actions) {
        let Some(server) = self.table.servers.get(id).filter(|s| !s.last.is_empty()) else { return };
        let bytes = server.last.clone();
        let mut flow = server.flow;
        // 18.2.2: when the connection is gone, another one is opened to where Via says the sender listens.
        if flow.connection.is_some_and(|id| !self.connections.is_known(id)) {
            let Some(remote) = server.request.via().and_then(|via| via.listening_address()) else { return };
            flow = Flow { connection: None, remote, ..flow };
        }
        self.connections.send(now, flow, bytes, out);
    }

    /// Credentials for a 401 or 407: name and value of the field that answers it.
    pub(super) fn credentials_for(
        &mut self,
        response: &Response,
        credentials: &super::Credentials,
        method: &Method,
        uri: &Uri,
    ) -> Option<Header> {
        let (challenge, name) = match response.status {
            401 => (HeaderName::WwwAuthenticate, HeaderName::Authorization),
            407 => (HeaderName::ProxyAuthenticate, HeaderName::ProxyAuthorization),
            _ => return None,
        };
        let challenges: Vec<&[u8]> = response.headers.all(&challenge).collect();
        let cnonce = self.secrets.token::<16>();
        let value = super::digest::answer(&challenges, credentials, method, &uri.to_string(), &cnonce)?;
        Some(Header::new(name, value))
    }
}

/// Makes of a request that was challenged the one that answers.
pub(super) fn with_credentials(request: Request, credentials: Header) -> Request {
    let mut request = once_more(request);
    request.headers.set(credentials);
    request
}

/// Makes of a request that was refused the next one (8.1.3.5): next CSeq number, no Via.
pub(super) fn once_more(mut request: Request) -> Request {
    let number = request.cseq().map_or(1, |cseq| cseq.number.saturating_add(1));
    let cseq = super::CSeq { number, method: request.method.clone() };
    request.headers.set(Header::new(HeaderName::CSeq, cseq));
    request.headers.remove(&HeaderName::Via);
    request.headers.remove(&HeaderName::UserAgent);
    request
}

/// The Via of our own request, which a CANCEL copies.
pub(super) fn top_via(request: &Request) -> Option<Header> {
    let value = split_list(request.headers.get(&HeaderName::Via)?).next()?.to_vec();
    Some(Header { name: HeaderName::Via, value })
}
