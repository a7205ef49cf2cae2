//! Trunks that we log in at: registrations, and the way that everything for a trunk takes.
//!
//! The contact that we register has a user part that nobody can guess. A request to it from where it
//! was registered is that trunk's, though the trunk does not authenticate itself.

use super::{Gateway, Step};
use crate::config::{Config, Trunk};
use crate::limits;
use crate::rng::{Secrets, Seed};
use crate::sip::registering::{Attempt, News, Registering};
use crate::sip::{
    ConnectionId, Credentials, Failure, Flow, Header, HeaderName, Host, Method, NameAddr, NextHop, OutgoingRequest,
    Request, RequestId, Response, Uri,
};
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;
use tracing::{info, warn};

/// First attempts after the start are spread over this time.
const START_SPREAD_MS: u64 = 500;
/// Without traffic, a connection that a trunk reaches us by is kept alive this often (RFC 5626 4.4.1
/// recommends 95 to 120 s over reliable transports).
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(100);

/// A trunk that we register at.
struct Carrier {
    /// Its index in the configuration.
    trunk: usize,
    registering: Registering,
    contact_user: String,
    /// What the registrar wants requests of ours to pass, first the nearest (RFC 3608).
    service_route: Vec<Uri>,
    /// The connection that it reaches us by, and when it is kept alive next.
    connection: Option<(ConnectionId, Instant)>,
}

/// All of them.
pub(super) struct Carriers {
    list: Vec<Carrier>,
    asked: BTreeMap<RequestId, usize>,
    secrets: Secrets,
}

/// Where requests for a trunk go.
pub(super) struct Way {
    pub(super) next_hop: NextHop,
    /// The outbound proxy, as a preloaded route (RFC 3261 8.1.2).
    pub(super) route: Vec<Header>,
}

impl Carriers {
    pub(super) fn new(now: Instant, config: &Config, seed: &Seed) -> Carriers {
        let mut secrets = seed.secrets();
        let trunks = config.trunks.iter().enumerate();
        let list = trunks
            .filter_map(|(trunk, settings)| {
                let expires = settings.register?;
                let first = now + Duration::from_millis(u64::from(secrets.next_u32()) % START_SPREAD_MS);
                let registering = Registering::new(secrets.token::<24>(), expires, first);
                Some(Carrier {
                    trunk,
                    registering,
                    contact_user: secrets.token::<20>(),
                    service_route: Vec::new(),
                    connection: None,
                })
            })
            .collect();
        Carriers { list, asked: BTreeMap::new(), secrets }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let attempts = self.list.iter().filter_map(|carrier| carrier.registering.deadline());
        let keep_alives = self.list.iter().filter_map(|carrier| carrier.connection.map(|(_, at)| at));
        attempts.chain(keep_alives).min()
    }

    pub(super) fn handle_stream_closed(&mut self, now: Instant, connection: ConnectionId) {
        for carrier in &mut self.list {
            if carrier.connection.is_some_and(|(id, _)| id == connection) {
                carrier.connection = None;
                carrier.registering.connection_lost(now, self.secrets.next_u64());
            }
        }
    }

    /// Whether none is registered or under way, which takes a drain.
    pub(super) fn have_left(&self) -> bool {
        self.list.iter().all(|carrier| carrier.registering.is_gone())
    }

    /// The state of the registration at a trunk in words; `None` for one that we don't register at.
    pub(super) fn in_words(&self, now: Instant, trunk: usize) -> Option<String> {
        self.list.iter().find(|carrier| carrier.trunk == trunk).map(|carrier| carrier.registering.in_words(now))
    }

    /// Whether a Request-URI is a contact of ours at a trunk.
    pub(super) fn is_contact(&self, uri: &Uri) -> bool {
        let user = uri.user();
        self.list.iter().any(|carrier| user.as_deref() == Some(carrier.contact_user.as_str()))
    }
}

/// Our account at a trunk.
pub(super) fn credentials(trunk: &Trunk) -> Option<Credentials> {
    let login = trunk.login.as_ref()?;
    Some(Credentials {
        username: login.username.clone(),
        password: login.password.0.clone(),
        realm: login.realm.clone(),
        peer: trunk.name.clone(),
    })
}

/// An address at a trunk: in its domain, or at where calls go. `None` when it has neither.
pub(super) fn uri_at(trunk: &Trunk, user: Option<&str>) -> Option<Uri> {
    match (&trunk.domain, trunk.to.first()) {
        (Some(domain), _) => Some(Uri::sip(user, Host::from_text(domain), None)),
        (None, Some(to)) => Some(user.map_or_else(|| to.clone(), |user| to.with_user(user))),
        (None, None) => None,
    }
}

/// The way to a trunk by its outbound proxy, if it has one, and these routes.
fn way_by(trunk: &Trunk, service_route: &[Uri]) -> Option<Way> {
    let proxy = trunk.outbound_proxy.clone().map(|mut uri| {
        if let Uri::Sip(sip) = &mut uri {
            sip.params.set("lr", None);
        }
        uri
    });
    // A registrar may name the proxy that we came by; it is passed once.
    let is_proxy = |uri: &Uri| {
        let port = |uri: &Uri| uri.as_sip().and_then(|sip| sip.port);
        proxy.as_ref().is_some_and(|proxy| proxy.host() == uri.host() && port(proxy) == port(uri))
    };
    let rest =
        service_route.iter().enumerate().filter(|(at, uri)| *at > 0 || !is_proxy(uri)).map(|(_, uri)| uri.clone());
    let routes: Vec<Uri> = proxy.clone().into_iter().chain(rest).collect();
    let next_hop = match routes.first() {
        Some(first) => vec![first.clone()],
        None => trunk.to.clone(),
    };
    let route = routes.into_iter().map(|uri| Header::new(HeaderName::Route, NameAddr::new(uri))).collect();
    (!next_hop.is_empty()).then_some(Way { next_hop: NextHop::Uris(next_hop), route })
}

/// RFC 3608: the proxies that a 2xx to REGISTER names, if all of them are loose routers, as they must be, and
/// there are not too many; else none.
fn service_route_of(response: &Response) -> Vec<Uri> {
    let values = response.headers.all(&HeaderName::ServiceRoute).map(NameAddr::parse_list);
    let routes: Vec<Uri> = values.flatten().flatten().map(|route| route.uri).collect();
    let fits = |uri: &Uri| uri.as_sip().is_some() && uri.has_param("lr");
    if routes.len() > limits::SERVICE_ROUTES || !routes.iter().all(fits) {
        warn!("a registrar's Service-Route is too long or names strict routers; it is not taken");
        return Vec::new();
    }
    routes
}

impl Gateway {
    /// Where requests for a trunk go; `None` when it only sends calls. RFC 3608 6.1: the outbound proxy stands in
    /// front of the service route that the registrar gave.
    pub(super) fn way_to(&self, trunk: &Trunk) -> Option<Way> {
        let of_trunk = |carrier: &&Carrier| self.config.trunks.get(carrier.trunk).is_some_and(|t| t.name == trunk.name);
        let carrier = self.carriers.list.iter().find(of_trunk);
        way_by(trunk, carrier.map_or(&[], |carrier| carrier.service_route.as_slice()))
    }

    /// Sends what is due.
    pub(super) fn time_carriers(&mut self, step: &mut Step<'_>) {
        for number in 0..self.carriers.list.len() {
            let Some(carrier) = self.carriers.list.get_mut(number) else { return };
            if let Some((connection, at)) = carrier.connection.as_mut()
                && *at <= step.now
            {
                *at = step.now + KEEP_ALIVE_EVERY;
                self.endpoint.keep_alive(step.now, *connection, &mut step.sip);
            }
            if let Some(attempt) = carrier.registering.attempt(step.now) {
                self.send_register(number, attempt, step);
            }
        }
    }

    /// Leaves all registrars, as no call can be taken any more.
    pub(super) fn leave_carriers(&mut self, step: &mut Step<'_>) {
        for number in 0..self.carriers.list.len() {
            let Some(carrier) = self.carriers.list.get_mut(number) else { return };
            carrier.connection = None;
            if let Some(attempt) = carrier.registering.leave(step.now) {
                self.send_register(number, attempt, step);
            }
        }
    }

    fn send_register(&mut self, number: usize, attempt: Attempt, step: &mut Step<'_>) {
        let Some(carrier) = self.carriers.list.get(number) else { return };
        let Some(trunk) = self.config.trunks.get(carrier.trunk) else { return };
        let user = trunk.login.as_ref().map(|login| login.username.as_str());
        let addresses = uri_at(trunk, None).zip(uri_at(trunk, user));
        // RFC 3608 6.1: REGISTER itself does not take the service route.
        let (Some((registrar, ours)), Some(way)) = (addresses, way_by(trunk, &[])) else {
            return self.register_answered(number, Err(Failure::Transport), None, step);
        };
        let request = OutgoingRequest {
            method: Method::Register,
            target: registrar,
            next_hop: way.next_hop,
            from: NameAddr::new(ours.clone()),
            to: NameAddr::new(ours),
            contact_user: Some(carrier.contact_user.clone()),
            sequence: Some(attempt.sequence),
            headers: way
                .route
                .into_iter()
                // RFC 3327 5.1: proxies on the way may write themselves into Path.
                .chain([
                    Header::new(HeaderName::Expires, attempt.expires.as_secs()),
                    Header::new(HeaderName::Supported, "path"),
                ])
                .collect(),
            body: None,
            credentials: credentials(trunk),
        };
        let id = self.endpoint.request(step.now, request, &mut step.sip);
        self.carriers.asked.insert(id, number);
    }

    /// A response to a request of ours; whether it was a REGISTER.
    pub(super) fn carrier_answered(
        &mut self,
        request: RequestId,
        outcome: &Result<Response, Failure>,
        flow: Option<Flow>,
        step: &mut Step<'_>,
    ) -> bool {
        let Some(number) = self.carriers.asked.remove(&request) else { return false };
        self.register_answered(number, outcome.as_ref().map_err(|failure| *failure), flow, step);
        true
    }

    fn register_answered(
        &mut self,
        number: usize,
        outcome: Result<&Response, Failure>,
        flow: Option<Flow>,
        step: &mut Step<'_>,
    ) {
        let spread = self.carriers.secrets.next_u64();
        let Some(carrier) = self.carriers.list.get_mut(number) else { return };
        let was_registered = carrier.registering.is_registered(step.now);
        // RFC 3608 6.1: each 2xx replaces what the one before said.
        if let Ok(response) = outcome
            && (200..=299).contains(&response.status)
        {
            carrier.service_route = service_route_of(response);
        }
        let news = carrier.registering.answered(step.now, outcome, &carrier.contact_user, spread);
        let (index, contact_user) = (carrier.trunk, carrier.contact_user.clone());
        let Some(trunk) = self.config.trunks.get(index) else { return };
        match news {
            News::Registered(granted) => {
                if !was_registered {
                    info!(trunk = %trunk.name, seconds = granted.as_secs(), "registered");
                }
                let Some(flow) = flow else { return };
                if let Some(guard) = self.endpoint.guard_mut() {
                    guard.trust_contact(&contact_user, flow.remote.ip(), index);
                }
                let connection = flow.connection.or_else(|| self.endpoint.connection_to(&flow));
                if let Some(carrier) = self.carriers.list.get_mut(number) {
                    carrier.connection = connection.map(|id| (id, step.now + KEEP_ALIVE_EVERY));
                }
            }
            News::Failed(trouble, next) => {
                let seconds = next.since(step.now).as_secs();
                warn!(trunk = %trunk.name, %trouble, next_attempt_seconds = seconds, "registration failed");
            }
            News::Longer => self.time_carriers(step),
            News::Left => {
                info!(trunk = %trunk.name, "unregistered");
                if let Some(carrier) = self.carriers.list.get_mut(number) {
                    carrier.service_route.clear();
                }
                if let Some(guard) = self.endpoint.guard_mut() {
                    guard.distrust_contact(index);
                }
            }
        }
    }

    /// The number that an INVITE is for: that of its Request-URI, or of To when a carrier sends it to the
    /// contact that we registered, which is no number.
    pub(super) fn called_number(&self, request: &Request) -> Option<String> {
        match self.carriers.is_contact(&request.uri) {
            true => request.to().and_then(|to| super::access::number_of(&to.uri)),
            false => super::access::number_of(&request.uri),
        }
    }
}

#[cfg(test)]
mod tests;
