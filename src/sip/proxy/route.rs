//! Where a request goes and what its copy looks like (RFC 3261 16.3 to 16.6).

use super::super::endpoint::Endpoint;
use super::super::headers::{NameAddr, Via};
use super::super::message::{Header, HeaderName, Method, Request, Response};
use super::super::parser::{Message, split_list};
use super::super::transaction::{Server, ServerId};
use super::super::{Actions, Flow, NextHop, Transport, Uri};
use super::ProxyTarget;
use crate::time::Instant;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

/// The URI parameter of our Record-Route that holds the token.
const TOKEN: &str = "tip";

/// What `Unsupported` names when Proxy-Require asks for anything: no extension needs us.
pub(super) fn unsupported(server: Option<&Server>) -> Vec<Header> {
    let wanted = server.map(|s| s.request.headers.tokens(&HeaderName::ProxyRequire)).unwrap_or_default();
    vec![Header::new(HeaderName::Unsupported, wanted.join(", "))]
}

impl Endpoint {
    /// The token by which we know a Route as one that we recorded for this call.
    fn route_token(&self, call_id: &str) -> String {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((self.stateless_key, TOKEN, call_id));
        format!("{hash:016x}")
    }

    /// Whether a URI is our Record-Route for this call.
    fn is_own_route(&self, uri: &Uri, call_id: &str) -> bool {
        uri.as_sip().and_then(|sip| sip.params.get(TOKEN)).is_some_and(|token| token == self.route_token(call_id))
    }

    /// Whether a request inside a dialog is to be passed on: its first Route is ours (16.4), or a strict
    /// router has made our Route the Request-URI.
    pub(in crate::sip) fn is_proxied(&self, message: &Message<'_>) -> bool {
        let route = message.lines.get(&HeaderName::Route).and_then(|value| split_list(value).next());
        let route = route.and_then(|value| NameAddr::parse(value).ok());
        let call_id: &str = message.call_id;
        let by_uri = match &message.start {
            super::super::parser::Start::Request { uri, .. } => self.is_own_route(uri, call_id),
            super::super::parser::Start::Response(_) => false,
        };
        by_uri || route.is_some_and(|route| self.is_own_route(&route.uri, call_id))
    }

    /// A request other than ACK inside a dialog that passes through us.
    pub(in crate::sip) fn proxy_in_dialog(&mut self, now: Instant, server: ServerId, flow: Flow, out: &mut Actions) {
        let Some(request) = self.table.servers.get(server).map(|s| s.request.clone()) else { return };
        match self.next_hop(&request, &flow) {
            Some((uri, next_hop)) => {
                let target = ProxyTarget { uri, next_hop };
                self.tell_passed_on(server, None, out);
                self.begin_proxy(now, server, flow, request, vec![vec![target]], out);
            }
            // The next hop is of a scheme that we can't reach.
            None => self.respond(now, server, Response::new(404), out),
        }
    }

    /// The ACK to a 2xx: passed on without a transaction (16.11).
    pub(in crate::sip) fn proxy_ack(&mut self, now: Instant, flow: Flow, message: &Message<'_>, out: &mut Actions) {
        let Some(request) = message.to_request() else { return };
        let loop_mark = self.loop_mark(&request);
        let Some((uri, next_hop)) = self.next_hop(&request, &flow) else { return };
        let Ok(prepared) = self.prepare(request, &loop_mark) else { return };
        match next_hop {
            NextHop::Flow(to) => {
                let copy = self.copy_for(prepared, uri, &to, &flow, &loop_mark);
                self.connections.send(now, to, None, copy.to_bytes(), out);
            }
            next_hop => {
                let mut copy = self.copy_for(prepared, uri, &flow, &flow, &loop_mark);
                // It gets a Via of the way that it takes.
                copy.headers.0.remove(0);
                self.start_passing_ack(now, next_hop, copy, out);
            }
        }
    }

    /// 16.4, 16.6 steps 6 and 7: the first route that is not ours, or the Request-URI. A name is located as that
    /// of any request (RFC 3263 4); the INVITE has asked for most of it already.
    fn next_hop(&self, request: &Request, flow: &Flow) -> Option<(Uri, NextHop)> {
        let mut stripped = request.clone();
        self.strip_own_routes(&mut stripped);
        let route = stripped.headers.get(&HeaderName::Route).and_then(|value| split_list(value).next());
        let route = route.and_then(|value| NameAddr::parse(value).ok());
        let hop = route.map_or_else(|| stripped.uri.clone(), |route| route.uri);
        let Some(remote) = hop.address() else {
            hop.host()?;
            return Some((stripped.uri, NextHop::Uris(vec![hop])));
        };
        let transport = hop.transport().unwrap_or(Transport::Udp);
        let local = self.local_for(transport, remote, flow);
        Some((stripped.uri, Flow { transport, local, remote, connection: None }.into()))
    }

    /// Our address of this transport for this peer.
    fn local_for(&self, transport: Transport, remote: std::net::SocketAddr, flow: &Flow) -> std::net::SocketAddr {
        let fits = |a: &std::net::SocketAddr| a.is_ipv4() == remote.is_ipv4();
        let listeners = || self.settings.listeners.iter().filter(|(t, _)| *t == transport).map(|(_, a)| *a);
        if transport == flow.transport && fits(&flow.local) {
            return flow.local;
        }
        listeners().find(fits).unwrap_or(flow.local)
    }

    /// Takes our routes off, and undoes what a strict router did (16.4).
    fn strip_own_routes(&self, request: &mut Request) {
        let call_id = request.call_id().map(|id| id.into_owned()).unwrap_or_default();
        let mut routes: Vec<NameAddr> = request
            .headers
            .all(&HeaderName::Route)
            .flat_map(|value| split_list(value).collect::<Vec<_>>())
            .filter_map(|value| NameAddr::parse(value).ok())
            .collect();
        if self.is_own_route(&request.uri, &call_id)
            && let Some(last) = routes.pop()
        {
            request.uri = last.uri;
        }
        while routes.first().is_some_and(|route| self.is_own_route(&route.uri, &call_id)) {
            routes.remove(0);
        }
        request.headers.remove(&HeaderName::Route);
        for (at, route) in routes.into_iter().enumerate() {
            request.headers.0.insert(at, Header::new(HeaderName::Route, route));
        }
    }

    /// 16.3, and what all copies have in common. The error is the status that refuses.
    pub(super) fn prepare(&self, mut request: Request, loop_mark: &str) -> Result<Request, u16> {
        // 16.3 step 4, RFC 5393 4.2.1: it has been here, and nothing about it has changed.
        let vias = request.headers.all(&HeaderName::Via).flat_map(split_list).filter_map(|v| Via::parse(v).ok());
        let was_here = |via: &Via| via.params.get("branch").is_some_and(|branch| branch.ends_with(loop_mark));
        if vias.into_iter().any(|via| was_here(&via)) {
            return Err(482);
        }
        if !request.headers.tokens(&HeaderName::ProxyRequire).is_empty() {
            return Err(420);
        }
        // 16.3 step 3 and 16.6 step 3.
        let hops = match request.max_forwards() {
            Some(0) => return Err(483),
            Some(hops) => hops - 1,
            None => 70,
        };
        request.headers.set(Header::new(HeaderName::MaxForwards, hops));
        self.strip_own_routes(&mut request);
        // 22.3: credentials for us are of no use to anybody behind us.
        request.headers.0.retain(|header| !self.is_own_credential(header));
        Ok(request)
    }

    fn is_own_credential(&self, header: &Header) -> bool {
        matches!(header.name, HeaderName::Authorization | HeaderName::ProxyAuthorization)
            && super::super::headers::AuthParams::parse(&header.value)
                .is_ok_and(|params| params.get("realm").is_some_and(|realm| realm == self.settings.realm))
    }

    /// One copy: Request-URI, Record-Route, a strict router's order, Via (16.6).
    pub(super) fn copy_for(
        &mut self,
        mut copy: Request,
        uri: Uri,
        goes_by: &Flow,
        came_by: &Flow,
        loop_mark: &str,
    ) -> Request {
        copy.uri = uri;
        let route = copy.headers.get(&HeaderName::Route).and_then(|value| NameAddr::parse(value).ok());
        if let Some(first) = route.filter(|route| !route.uri.has_param("lr")) {
            // Step 6: the next hop is a strict router.
            if let Some(at) = copy.headers.0.iter().position(|h| h.name == HeaderName::Route) {
                copy.headers.0.remove(at);
            }
            let last = copy.headers.0.iter().rposition(|h| h.name == HeaderName::Route).map_or(0, |at| at + 1);
            copy.headers.0.insert(last, Header::new(HeaderName::Route, NameAddr::new(copy.uri.clone())));
            copy.uri = first.uri;
        }
        // Step 4; a request inside a dialog changes no route set any more.
        let is_new = copy.to().is_none_or(|to| to.tag().is_none());
        let makes_dialog = matches!(copy.method, Method::Invite | Method::Subscribe | Method::Refer);
        if makes_dialog && is_new {
            let call_id = copy.call_id().map(|id| id.into_owned()).unwrap_or_default();
            let own = |flow: &Flow| {
                let mut uri = self.contact(None, flow, copy.uri.is_secure()).uri;
                if let Uri::Sip(sip) = &mut uri {
                    sip.params.set("lr", None);
                    sip.params.set(TOKEN, Some(self.route_token(&call_id)));
                }
                Header::new(HeaderName::RecordRoute, NameAddr::new(uri))
            };
            let (inner, outer) = (own(came_by), own(goes_by));
            // RFC 5658 3.4: where the two sides differ, each reaches us on its own.
            let differs = inner.value != outer.value;
            copy.headers.0.insert(0, inner);
            if differs {
                copy.headers.0.insert(0, outer);
            }
        }
        let mut via = self.via(goes_by);
        let branch = via.params.get("branch").unwrap_or_default().to_owned();
        via.params.set("branch", Some(format!("{branch}{loop_mark}")));
        copy.headers.0.insert(0, Header::new(HeaderName::Via, via));
        copy
    }

    /// A hash over what decides where a request goes (16.6 step 8, RFC 5393 4.2.2): the end of our branch.
    pub(super) fn loop_mark(&self, request: &Request) -> String {
        let tag = |address: Option<NameAddr>| address.and_then(|a| a.tag().map(str::to_owned)).unwrap_or_default();
        let routes: Vec<&[u8]> = request.headers.all(&HeaderName::Route).collect();
        let what = (
            self.stateless_key,
            request.uri.to_string(),
            routes,
            tag(request.from()),
            tag(request.to()),
            request.call_id().map(|id| id.into_owned()),
            request.cseq().map(|cseq| cseq.number),
        );
        format!(".{:016x}", BuildHasherDefault::<DefaultHasher>::default().hash_one(what))
    }
}
