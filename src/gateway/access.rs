//! Who may call: accounts with their digest, trusted peers by address, registrations.
//!
//! Who is who is decided in [`crate::sip::guard`], before anything is remembered about a request; here
//! stands what it is told of the configuration, and what somebody who is known may do.

use super::identity::{Claims, claims_of, presentation_of};
use super::{Gateway, Step};
use crate::call::isup::body::medium_of_offer;
use crate::call::leg::{Leg, SipLeg};
use crate::call::transfer::Replaces;
use crate::config::{Config, DigitsBy, Profile};
use crate::dialplan::ANYBODY;
use crate::rng::Seed;
use crate::sip::guard::{AuthFailure, BanRule, Guard, GuardAccount, GuardSettings, Identity};
use crate::sip::registration::{Binding, Change, Lifetimes, Registrar};
use crate::sip::{
    ConnectionId, Flow, Header, HeaderName, Host, Method, Request, Response, ServerTransactionId, SessionId, Settings,
    Transport, Uri,
};
use crate::time::Instant;
use crate::trunk::{Cause, Iam, Release};
use std::collections::BTreeSet;
use tracing::{info, warn};

/// Registrations.
pub(super) struct Access {
    registrar: Registrar,
    /// Phones whose contacts changed since this was looked at.
    changed: BTreeSet<String>,
}

/// Who sent a request.
pub(super) enum Caller {
    /// The phone with this index.
    Phone(usize),
    /// The trunk with this index.
    Trunk(usize),
    /// Somebody, for a method that is open to all.
    Anybody,
    /// Nobody we know: answer 401 with these challenges.
    Challenge(Vec<Header>),
}

/// What the SIP core is told about us.
pub(super) fn settings(config: &Config) -> Settings {
    Settings {
        t1: config.sip.t1,
        t2: config.sip.t2,
        t4: config.sip.t4,
        fail_over: config.sip.fail_over_after,
        listeners: config.sip.listen.iter().map(|l| (l.transport, l.address)).collect(),
        allow: vec![
            Method::Invite,
            Method::Ack,
            Method::Bye,
            Method::Cancel,
            Method::Options,
            Method::Register,
            Method::Prack,
            Method::Info,
            Method::Update,
            Method::Refer,
            Method::Subscribe,
            Method::Notify,
            Method::Publish,
            Method::Message,
        ],
        accept: vec!["application/sdp".to_owned(), "multipart/mixed".to_owned()],
        supported: supported(config),
        session_expires: config.sip.timers.expires,
        min_se: config.sip.timers.least,
        realm: config.sip.domain.clone(),
        asks_first: super::proxying::asks_first(config),
        asks_first_at: config.domains.iter().map(|domain| Host::from_text(&domain.name)).collect(),
        ..Settings::default()
    }
}

/// Who stands in front of it.
pub(super) fn guard(config: &Config, seed: &Seed) -> Guard {
    let account = |phone: &crate::config::Phone| GuardAccount {
        username: phone.name.clone(),
        password: phone.password.0.clone(),
        algorithms: phone.digest.clone(),
        without_qop: phone.without_qop,
    };
    let peers = config.trunks.iter().enumerate();
    let settings = GuardSettings {
        realm: config.sip.domain.clone(),
        accounts: config.phones.iter().map(account).collect(),
        peers: peers.flat_map(|(index, trunk)| trunk.from.iter().map(move |prefix| (*prefix, index))).collect(),
        open: config.sip.open.clone(),
        ban: config.ban.map(|ban| BanRule { failures: ban.failures, within: ban.within, lasts: ban.lasts }),
        refusals_per_second: config.limits.refusals_per_second,
        calls_per_second: config.limits.calls_per_second,
    };
    Guard::new(settings, seed)
}

/// Option tags that peers may require.
fn supported(config: &Config) -> Vec<String> {
    let timer = config.sip.timers.expires.map(|_| "timer");
    timer.into_iter().chain(["100rel", "replaces", "norefersub", "path"]).map(str::to_owned).collect()
}

impl Access {
    pub(super) fn new(config: &Config) -> Self {
        let crate::config::Registrar { min, max, usual } = config.registrar;
        Access { registrar: Registrar::new(Lifetimes { min, max, default: usual }), changed: BTreeSet::new() }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.registrar.deadline()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for phone in self.registrar.handle_timeout(now) {
            info!(phone, "registration expired");
            self.changed.insert(phone);
        }
    }

    pub(super) fn handle_stream_closed(&mut self, connection: ConnectionId) {
        self.changed.extend(self.registrar.handle_stream_closed(connection));
    }

    /// Phones whose contacts changed, or that have just registered again.
    pub(super) fn take_changed(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.changed)
    }

    /// Contacts of the phone of this name, best first.
    pub(super) fn contacts(&self, now: Instant, name: &str) -> Vec<&Binding> {
        self.registrar.bindings(now, name)
    }

    /// What has changed since this was asked last.
    pub(super) fn changes(&mut self) -> impl Iterator<Item = Change> + '_ {
        self.registrar.changes()
    }
}

/// One line for fail2ban and the like; what the peer wrote is escaped.
pub(super) fn log_failure(failure: &AuthFailure) {
    let AuthFailure { flow, method, account, reason } = failure;
    let transport = match flow.transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
        Transport::Tls => "tls",
    };
    warn!(
        "auth failed peer={} transport={transport} method={} account=\"{}\" reason={}",
        flow.remote,
        method.escape_debug(),
        account.escape_debug(),
        reason.as_str()
    );
}

impl Gateway {
    /// Who sent a request outside of dialogs.
    pub(super) fn identify(&mut self, now: Instant, request: &Request, flow: &Flow) -> Caller {
        match self.endpoint.identify(now, request, flow) {
            Identity::Account(index) => Caller::Phone(index),
            Identity::Peer(index) => Caller::Trunk(index),
            Identity::Anybody => Caller::Anybody,
            Identity::Unproved(challenges) => Caller::Challenge(challenges),
        }
    }

    /// Takes registrations that were kept over a restart. Connections are gone, and with them whoever is reached
    /// by them alone; accounts that are configured no more have none.
    pub(super) fn restore(&mut self, now: Instant, bindings: Vec<(String, Binding)>) {
        let mut restored = 0usize;
        for (account, mut binding) in bindings {
            let known = self.config.phones.iter().any(|phone| phone.name == account);
            let flow = binding.by_new_connection().filter(|_| known && binding.expires > now);
            match flow.and_then(|flow| Some(Flow { local: self.listener_like(&flow)?, ..flow })) {
                Some(flow) => {
                    binding.flow = flow;
                    self.access.registrar.restore(&account, binding);
                    restored += 1;
                }
                None => self.access.registrar.forget(&account, binding.uri),
            }
        }
        info!(restored, "registrations taken over from the store");
    }

    /// Our address of this kind: the one of the flow when we still listen there.
    fn listener_like(&self, flow: &Flow) -> Option<std::net::SocketAddr> {
        let listeners = || self.config.sip.listen.iter().filter(|l| l.transport == flow.transport).map(|l| l.address);
        let same =
            |a: &std::net::SocketAddr| *a == flow.local || (a.ip().is_unspecified() && a.port() == flow.local.port());
        if listeners().any(|address| same(&address)) {
            return Some(flow.local);
        }
        listeners().find(|a| a.is_ipv4() == flow.local.is_ipv4() && !a.ip().is_unspecified())
    }

    /// A new INVITE.
    pub(super) fn incoming(&mut self, session: SessionId, request: &Request, flow: Flow, step: &mut Step<'_>) {
        let now = step.now;
        let (origin, claims, profile, codecs) = match self.identify(now, request, &flow) {
            Caller::Phone(index) => {
                let phone = &self.config.phones[index];
                let claims = Claims {
                    number: Some(phone.number.clone()),
                    name: phone.caller_name.clone().or_else(|| display_of(request)),
                    presentation: presentation_of(request),
                    ..Claims::default()
                };
                (format!("phone/{}", phone.name), claims, Profile::default(), super::audio::CODECS.to_vec())
            }
            Caller::Trunk(index) => {
                let trunk = &self.config.trunks[index];
                let claims = claims_of(request, &trunk.profile, &trunk.name);
                (format!("trunk/{}", trunk.name), claims, trunk.profile, trunk.codecs.clone())
            }
            Caller::Challenge(headers) => {
                self.endpoint.reject(now, session, 401, headers, &mut step.sip);
                return;
            }
            // What such a caller says of himself is nobody's word: it is shown as little as he proves.
            Caller::Anybody => {
                let presentation = presentation_of(request);
                let claims = Claims { presentation, ..Claims::default() };
                (ANYBODY.to_owned(), claims, Profile::default(), super::audio::CODECS.to_vec())
            }
        };
        let table = self.table_of(&origin).cloned().unwrap_or_default();
        let refuse = |gateway: &mut Gateway, step: &mut Step<'_>, cause: Cause| {
            let release = Release::here(cause);
            let status = table.status_of(release);
            let headers = super::calls::refusal_headers(status, release);
            gateway.endpoint.reject(now, session, status, headers, &mut step.sip);
        };
        // RFC 3262 3: whether it can have, or must have, reliable provisional responses.
        if let Err(refusal) = self.endpoint.agree_on_reliability(session, profile.reliable) {
            let headers = refusal.headers.iter().cloned().collect();
            return self.endpoint.reject(now, session, refusal.status, headers, &mut step.sip);
        }
        let Some(called) = self.called_number(request) else {
            return refuse(self, step, Cause::UNALLOCATED);
        };
        let hops = request.max_forwards();
        // RFC 3261 16.3 step 3: a request that has no hop left is not forwarded. One that ends here is taken.
        if hops == Some(0) && self.leaves_by_sip(&origin, &called) {
            self.endpoint.reject(now, session, 483, Vec::new(), &mut step.sip);
            return;
        }
        if !self.has_room() {
            info!(from = %origin, called = %called, "call refused: no room");
            return refuse(self, step, Cause::CONGESTION);
        }
        let offer = request.typed_body().and_then(|body| body.part("application/sdp")).map(|body| body.bytes);
        let prepared = match self.prepare_stream(flow.remote.is_ipv4(), &codecs) {
            Ok(prepared) => prepared,
            Err(cause) => return refuse(self, step, cause),
        };
        let mut leg = SipLeg::new(session, true, offer, prepared.stream, prepared.ours);
        leg.take_digits_by_info(profile.digits_by == DigitsBy::Info);
        let brings = crate::sip::Carried::of_request(request);
        leg.brings = (!brings.is_empty()).then(|| Box::new(brings));
        // RFC 3261 13.3.1.3: an offer that cannot be met is refused at once, not after ringing.
        if let Err(reject) = leg.can_answer() {
            self.forget_stream(leg.stream);
            let warning =
                Header::new(HeaderName::Warning, format!("305 {} \"{}\"", self.config.sip.domain, reject.why));
            self.endpoint.reject(now, session, reject.status, vec![warning], &mut step.sip);
            return;
        }
        let Claims { number: calling, name: calling_name, presentation, diversions, category, redirections } = claims;
        let medium = leg.offer.as_deref().map(medium_of_offer).unwrap_or_default();
        let iam = Iam {
            called,
            calling,
            calling_name,
            hops,
            presentation,
            diversions,
            category,
            redirections,
            medium,
            ..Iam::default()
        };
        let read = self.read_iam(&origin, iam, leg.brings.as_deref().unwrap_or(&crate::sip::Carried::default()));
        let iam = match read {
            Ok(iam) => iam,
            Err(status) => {
                self.forget_stream(leg.stream);
                return self.endpoint.reject(now, session, status, Vec::new(), &mut step.sip);
            }
        };
        match Replaces::of(&request.headers) {
            Ok(None) => {}
            Ok(Some(replaces)) => return self.incoming_replaces(&origin, &iam, leg, &replaces, step),
            Err(status) => {
                self.forget_stream(leg.stream);
                return self.endpoint.reject(now, session, status, Vec::new(), &mut step.sip);
            }
        }
        self.begin_call(origin, iam, Leg::Sip(leg), step);
    }

    /// A request outside of dialogs: OPTIONS and REGISTER.
    pub(super) fn request(&mut self, server: ServerTransactionId, request: &Request, flow: Flow, step: &mut Step<'_>) {
        let response = match self.identify(step.now, request, &flow) {
            Caller::Challenge(headers) => Response::new(401).with_headers(headers),
            caller => match request.method {
                Method::Register => self.register(&caller, request, flow, step.now),
                Method::Options => self.options(),
                Method::Subscribe => return self.subscription_wanted(server, &caller, request, flow, step),
                Method::Publish => self.publish(&caller, request, step),
                Method::Message => return self.message(server, &caller, request, step),
                _ => Response::new(501),
            },
        };
        self.endpoint.reply(step.now, server, response, &mut step.sip);
    }

    fn register(&mut self, caller: &Caller, request: &Request, flow: Flow, now: Instant) -> Response {
        // RFC 3261 10.3 step 3 and 4: only the account itself may change its bindings; peers have none.
        let Caller::Phone(index) = caller else { return Response::new(403) };
        let phone = &self.config.phones[*index];
        let target = request.to().and_then(|to| to.uri.user());
        if target.as_deref() != Some(phone.name.as_str()) {
            return Response::new(403);
        }
        let before = self.access.registrar.bindings(now, &phone.name).len();
        let response = self.access.registrar.register(now, &phone.name, request, flow);
        let after = self.access.registrar.bindings(now, &phone.name).len();
        self.access.changed.insert(phone.name.clone());
        if before != after {
            info!(phone = %phone.name, peer = %flow.remote, contacts = after, "registration changed");
        }
        response
    }

    /// RFC 3261 11.2: what an INVITE would have been answered, as far as it is known without one.
    fn options(&self) -> Response {
        let status = if self.has_room() { 200 } else { 503 };
        Response::new(status).with(HeaderName::Accept, "application/sdp").with(HeaderName::AcceptEncoding, "identity")
    }
}

fn display_of(request: &Request) -> Option<String> {
    request.from().and_then(|from| from.display).filter(|name| !name.is_empty())
}

/// The number in a URI: the user part without its parameters (`+1234;phone-context=...`), without
/// the visual separators of RFC 3966 5.1.1 when it is a number at all.
pub(super) fn number_of(uri: &Uri) -> Option<String> {
    let user = uri.user()?;
    let number = user.split(';').next().unwrap_or(&user);
    let is_number = number.chars().all(|c| c.is_ascii_digit() || "+*#-.()".contains(c));
    let text: String =
        if is_number { number.chars().filter(|c| !"-.()".contains(*c)).collect() } else { number.to_owned() };
    (!text.is_empty()).then_some(text)
}
