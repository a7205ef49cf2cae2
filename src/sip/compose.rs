//! How messages are put together: what responses copy, what requests are given, and how both leave.

use super::endpoint::{Endpoint, Owner};
use super::grammar::trim;
use super::headers::{NameAddr, Via};
use super::location::NextHop;
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
        Response::new(405).with(HeaderName::Allow, &self.allow)
    }

    /// The 415 for a request whose body we would have to read and can't (RFC 3261 8.2.3).
    pub fn unread_body(&self, request: &Request) -> Option<Response> {
        uas::check_body_of(request, &self.settings).err().map(|response| *response)
    }

    /// Whether we understand an extension.
    pub(super) fn knows(&self, tag: &str) -> bool {
        self.settings.supported.iter().any(|known| known.eq_ignore_ascii_case(tag))
    }

    /// A 200 that says what we can do (RFC 3261 11.2), for OPTIONS.
    pub fn capabilities(&self) -> Response {
        let join = |items: &[String]| items.join(", ");
        let mut response = Response::new(200)
            .with(HeaderName::Allow, &self.allow)
            .with(HeaderName::Accept, join(&self.settings.accept))
            .with(HeaderName::AcceptEncoding, "identity")
            .with(HeaderName::AcceptLanguage, "en");
        if !self.settings.supported.is_empty() {
            response = response.with(HeaderName::Supported, join(&self.settings.supported));
        }
        response
    }

    /// The connection to a peer that is open, if one is.
    pub fn connection_to(&self, flow: &Flow) -> Option<super::ConnectionId> {
        self.connections.to_peer(flow)
    }

    /// Keeps an idle connection open, and what stands on its way awake.
    pub fn keep_alive(&mut self, now: Instant, connection: super::ConnectionId, out: &mut Actions) {
        self.connections.keep_alive(now, connection, out);
    }

    /// Our Contact towards the peer of a flow: the listener of that transport on that address.
    ///
    /// RFC 3261 8.1.1.8: "If the Request-URI or top Route header field value contains a SIPS URI, the Contact
    /// header field MUST contain a SIPS URI as well."
    pub(super) fn contact(&self, user: Option<&str>, flow: &Flow, secure: bool) -> NameAddr {
        let uri = Uri::at(user, flow.transport, self.listener(flow));
        NameAddr::new(if secure { uri.secured() } else { uri })
    }

    /// Some flow of ours, for a Contact that is written before it is known where the request goes.
    pub(super) fn flow_of(&self, next_hop: &NextHop) -> Flow {
        match next_hop {
            NextHop::Flow(flow) | NextHop::Dialog { flow, .. } => *flow,
            NextHop::Uris(_) => {
                let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
                let (transport, local) = self.settings.listeners.first().copied().unwrap_or((Transport::Udp, nowhere));
                Flow { transport, local, remote: nowhere, connection: None }
            }
        }
    }

    /// The address on which the peer of a flow reaches us with new requests.
    fn listener(&self, flow: &Flow) -> SocketAddr {
        let same_transport = self.settings.listeners.iter().filter(|(t, _)| *t == flow.transport).map(|(_, a)| *a);
        let matching = |a: &SocketAddr| *a == flow.local || a.ip() == flow.local.ip();
        let listener = same_transport.clone().find(matching).or_else(|| same_transport.clone().next());
        match listener {
            Some(any) if any.ip().is_unspecified() => SocketAddr::new(flow.local.ip(), any.port()),
            Some(address) if flow.transport.is_stream() => address,
            // A datagram is sent from `flow.local`, which the shell has bound.
            _ => flow.local,
        }
    }

    pub(super) fn via(&mut self, flow: &Flow) -> Via {
        let address = self.listener(flow);
        let branch = format!("{}{}", Via::COOKIE, self.secrets.token::<20>());
        let mut params = vec![("branch".to_owned(), Some(branch)), ("rport".to_owned(), None)];
        if flow.transport.is_stream() {
            // RFC 5923 5: requests to the address in sent-by may come over this connection.
            params.push(("alias".to_owned(), None));
        }
        Via {
            version: "2.0".to_owned(),
            transport: flow.transport.name().to_owned(),
            host: Host::Ip(address.ip()),
            port: Some(address.port()),
            params: Params(params),
        }
    }

    /// Puts Via on top and User-Agent at the end.
    pub(super) fn finish_request(&mut self, request: &mut Request, flow: &Flow) {
        let via = self.via(flow);
        request.headers.0.insert(0, Header::new(HeaderName::Via, via));
        if !self.settings.server.is_empty() {
            request.headers.push(Header::new(HeaderName::UserAgent, &self.settings.server));
        }
    }

    /// What an INVITE of ours proved itself by.
    pub(super) fn credentials_of(&self, client: Option<ClientId>) -> Vec<Header> {
        let invite = client.and_then(|client| self.table.clients.get(client));
        let is_one = |h: &&Header| matches!(h.name, HeaderName::Authorization | HeaderName::ProxyAuthorization);
        invite.map(|client| client.request.headers.iter().filter(is_one).cloned().collect()).unwrap_or_default()
    }

    /// Sends an ACK to a 2xx; returns its bytes and flow, for when the 2xx comes again. No bytes: its way is being
    /// located, and `user` has it when it is sent.
    pub(super) fn send_ack(
        &mut self,
        now: Instant,
        next_hop: NextHop,
        ack: Request,
        credentials: Vec<Header>,
        user: User,
        out: &mut Actions,
    ) -> (Vec<u8>, Flow) {
        // 13.2.2.4: "the ACK MUST contain the same credentials as the INVITE".
        let mut ack = ack.with_headers(credentials);
        let flow = self.flow_of(&next_hop);
        if let NextHop::Dialog { uri, flow } = next_hop {
            self.start_ack(now, (uri, flow), ack, user, out);
            return (Vec::new(), flow);
        }
        self.finish_request(&mut ack, &flow);
        let bytes = ack.to_bytes();
        let flow = self.connections.send(now, flow, None, bytes.clone(), out).unwrap_or(flow);
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
            if status >= 200 {
                server.is_answered();
            }
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

    /// Credentials for a 401 or 407 to a request: the field that answers it.
    pub(super) fn credentials_for(
        &mut self,
        response: &Response,
        credentials: &super::Credentials,
        request: &Request,
    ) -> Option<Header> {
        let (challenge, by_proxy) = challenge_of(response)?;
        let cnonce = self.secrets.token::<16>();
        let uri = request.uri.to_string();
        let asking = asking(request, &uri, &cnonce);
        self.logins.answer(response.headers.all(&challenge), by_proxy, credentials, asking)
    }

    /// Credentials for a request that has not been challenged, from the peer's last nonce (RFC 7616 3.4).
    pub(super) fn log_in_ahead(&mut self, credentials: Option<&super::Credentials>, request: Request) -> Request {
        let Some(credentials) = credentials else { return request };
        let cnonce = self.secrets.token::<16>();
        let uri = request.uri.to_string();
        let fields = self.logins.ahead(credentials, asking(&request, &uri, &cnonce));
        request.with_headers(fields)
    }
}

/// The field that holds the challenges of a response, and whether a proxy made them.
fn challenge_of(response: &Response) -> Option<(HeaderName, bool)> {
    match response.status {
        401 => Some((HeaderName::WwwAuthenticate, false)),
        407 => Some((HeaderName::ProxyAuthenticate, true)),
        _ => None,
    }
}

/// Whether a response challenges again only because a nonce was old (RFC 7616 3.3, `stale`).
pub(super) fn wants_another_nonce(response: &Response) -> bool {
    challenge_of(response).is_some_and(|(name, _)| super::digest::Logins::is_stale(response.headers.all(&name)))
}

fn asking<'a>(request: &'a Request, uri: &'a str, cnonce: &'a str) -> super::digest::client::Asking<'a> {
    let covered = super::digest::Covered { method: request.method.as_str().as_bytes(), body: &request.body };
    super::digest::client::Asking { covered, uri, cnonce }
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
