//! From a number to a called leg.

use super::audio::{CODECS, Prepared};
use super::{Gateway, PortId, Step, WorkerId};
use crate::call::CallId;
use crate::call::b2bua::Side;
use crate::call::leg::{Leg, SipLeg};
use crate::dialplan::{Decision, Refusal, Target, TargetKind, Verdict, is_inside};
use crate::media::Service;
use crate::sdp::Codec;
use crate::sip::{Body, Credentials, Flow, Header, Host, NameAddr, OutgoingInvite, SessionId, Transport, Uri};
use crate::time::Instant;
use crate::trunk::{Cause, Iam, Release, TrunkEvent};
use std::net::SocketAddr;
use tracing::{debug, info};

/// RFC 3261 8.1.1.6: what a call that begins here starts with.
const MAX_FORWARDS: u8 = 70;

/// Where a SIP call goes.
struct SipTarget {
    uri: Uri,
    flow: Flow,
    codecs: Vec<Codec>,
    /// Route, for a contact that registered through proxies or a trunk behind one.
    headers: Vec<Header>,
    credentials: Option<Credentials>,
}

impl Gateway {
    /// Where the dial plan sends `number` of a caller at `origin`.
    pub fn route(&self, origin: &str, number: &str) -> Decision {
        self.config.plan.route(origin, is_inside(origin), number)
    }

    /// Whether a call from `origin` to `number` would leave by SIP again.
    pub(super) fn leaves_by_sip(&self, origin: &str, number: &str) -> bool {
        match self.route(origin, number).verdict {
            Verdict::Targets(targets) => {
                targets.iter().any(|target| matches!(target.kind, TargetKind::Phone | TargetKind::Trunk))
            }
            Verdict::Refused(_) => false,
        }
    }

    /// Finds the called leg of a call and says IAM to it.
    pub(super) fn route_call(&mut self, id: CallId, step: &mut Step<'_>) -> Result<(), Release> {
        let Some(call) = self.calls.get(id) else { return Ok(()) };
        let decision = self.route(&call.origin, &call.iam.called);
        let targets = match decision.verdict {
            Verdict::Refused(refusal) => {
                info!(call = call.number, called = %call.iam.called, ?refusal, "no way to this number");
                return Err(release_of(refusal));
            }
            Verdict::Targets(targets) => targets,
        };
        let mut last = Release::here(Cause::NO_ROUTE);
        for target in targets {
            match self.try_target(id, &target, &decision.number, step) {
                Ok(()) => return Ok(()),
                Err(release) => last = release,
            }
        }
        Err(last)
    }

    fn try_target(&mut self, id: CallId, target: &Target, number: &str, step: &mut Step<'_>) -> Result<(), Release> {
        let Some(call) = self.calls.get_mut(id) else { return Ok(()) };
        call.target = Some(target.to_string());
        debug!(call = call.number, %target, number, "route");
        let iam = call.iam.clone();
        match target.kind {
            TargetKind::Service => {
                let service = match target.name.as_str() {
                    "echo" => Service::Echo,
                    "milliwatt" => Service::Milliwatt,
                    _ => return Err(Release::here(Cause::UNALLOCATED)),
                };
                self.seat(id, Leg::Service(service));
                self.tell_leg(id, Side::B, &TrunkEvent::Iam(iam), step);
                Ok(())
            }
            TargetKind::Station => {
                let port = self.port_called(&target.name).ok_or(Release::here(Cause::OUT_OF_ORDER))?;
                self.call_port(id, port, &iam, step)
            }
            TargetKind::Phone => {
                let sip = self.phone_target(step.now, &target.name)?;
                self.call_sip(id, sip, step)
            }
            TargetKind::Trunk => {
                let sip = self.trunk_target(&target.name, number)?;
                self.call_sip(id, sip, step)
            }
            // Not in service before their machines are built.
            TargetKind::Line | TargetKind::Isup => Err(Release::here(Cause::OUT_OF_ORDER)),
        }
    }

    fn seat(&mut self, id: CallId, leg: Leg) {
        if let Some(call) = self.calls.get_mut(id) {
            call.b = Some(leg);
        }
    }

    fn call_port(&mut self, id: CallId, port: PortId, iam: &Iam, step: &mut Step<'_>) -> Result<(), Release> {
        // Audio between two cards needs a ring between their workers, which is not built yet.
        if let Some(Leg::Line(a)) = self.calls.get(id).map(|call| &call.a)
            && a.card != port.card
        {
            return Err(Release::here(Cause::BEARER));
        }
        let Some(seat) = self.ports.get_mut(&port) else { return Err(Release::here(Cause::OUT_OF_ORDER)) };
        if seat.call.is_some() {
            return Err(Release::user(Cause::BUSY));
        }
        seat.call = Some((id, Side::B));
        if let Some(call) = self.calls.get_mut(id) {
            call.worker = WorkerId(port.card.0);
        }
        self.seat(id, Leg::Line(port));
        if let Some(refused) = self.tell_port(port, &TrunkEvent::Iam(iam.clone()), step) {
            if let Some(seat) = self.ports.get_mut(&port) {
                seat.call = None;
            }
            if let Some(call) = self.calls.get_mut(id) {
                call.b = None;
            }
            return Err(refused);
        }
        Ok(())
    }

    fn phone_target(&self, now: Instant, name: &str) -> Result<SipTarget, Release> {
        let contact = self.access.contacts(now, name).into_iter().next().ok_or(Release::here(Cause::ABSENT))?;
        Ok(SipTarget {
            uri: contact.uri.clone(),
            flow: contact.flow,
            codecs: CODECS.to_vec(),
            headers: contact.route(),
            credentials: None,
        })
    }

    fn trunk_target(&self, name: &str, number: &str) -> Result<SipTarget, Release> {
        let trunk = self.config.trunks.iter().find(|trunk| trunk.name == name);
        let trunk = trunk.ok_or(Release::here(Cause::OUT_OF_ORDER))?;
        let way = self.way_to(trunk).ok_or(Release::here(Cause::OUT_OF_ORDER))?;
        Ok(SipTarget {
            uri: super::carriers::uri_at(trunk, Some(number)).ok_or(Release::here(Cause::OUT_OF_ORDER))?,
            flow: way.flow,
            codecs: trunk.codecs.clone(),
            headers: way.route,
            credentials: super::carriers::credentials(trunk),
        })
    }

    fn call_sip(&mut self, id: CallId, target: SipTarget, step: &mut Step<'_>) -> Result<(), Release> {
        let Some(call) = self.calls.get(id) else { return Ok(()) };
        // What the caller likes best first, so that nothing has to be transcoded.
        let mut codecs = match &call.a {
            Leg::Sip(a) => a.liked(),
            _ => Vec::new(),
        };
        codecs.retain(|codec| target.codecs.contains(codec));
        codecs.extend(target.codecs.iter().filter(|codec| !codecs.contains(codec)).collect::<Vec<_>>());
        let (calling, calling_name) = (call.iam.calling.clone(), call.iam.calling_name.clone());
        // RFC 3261 16.6 step 3, which a B2BUA follows so that loops through it end.
        let max_forwards = call.iam.hops.map_or(MAX_FORWARDS, |hops| hops.saturating_sub(1));
        let Prepared { stream, ours } = self.prepare_stream(&codecs).map_err(Release::here)?;
        self.own_stream(stream, id);
        let mut leg = SipLeg::new(SessionId::from_bits(u64::MAX), false, None, stream, ours);
        leg.settle(None).map_err(|_| Release::here(Cause::BEARER))?;
        // RFC 3323 4.1.1.3: a caller without a number is anonymous.
        let user = calling.unwrap_or_else(|| "anonymous".to_owned());
        let domain = Host::from_text(&self.config.sip.domain);
        let from = NameAddr::new(Uri::sip(Some(&user), domain, None)).with_display(calling_name.as_deref());
        let invite = OutgoingInvite {
            to: NameAddr::new(target.uri.clone()),
            target: target.uri,
            flow: target.flow,
            from,
            contact_user: user,
            body: leg.sent.clone().map(Body::sdp),
            headers: target.headers,
            max_forwards,
            credentials: target.credentials,
        };
        leg.session = self.endpoint.invite(step.now, invite, &mut step.sip);
        self.sessions.insert(leg.session, (id, Side::B));
        self.seat(id, Leg::Sip(leg));
        Ok(())
    }

    /// Our address for talking to `remote`.
    pub(super) fn listener(&self, transport: Transport, remote: SocketAddr) -> Result<SocketAddr, Release> {
        self.config
            .sip
            .listen
            .iter()
            .find(|l| l.transport == transport && l.address.is_ipv4() == remote.is_ipv4())
            .map(|l| match l.address.ip().is_unspecified() {
                // Bound to all addresses: Via and Contact name the one that peers are told for RTP.
                true if self.config.rtp.address.is_ipv4() == remote.is_ipv4() => {
                    SocketAddr::new(self.config.rtp.address, l.address.port())
                }
                _ => l.address,
            })
            .ok_or(Release::here(Cause::OUT_OF_ORDER))
    }
}

/// Failure names of the dial plan as releases; statuses follow by RFC 3398.
fn release_of(refusal: Refusal) -> Release {
    match refusal {
        Refusal::Unassigned => Release::here(Cause::UNALLOCATED),
        Refusal::NoRoute => Release::here(Cause::NO_ROUTE),
        Refusal::NotAllowed => Release::here(Cause::REJECTED),
        Refusal::Rejected => Release::user(Cause::REJECTED),
        Refusal::Busy => Release::user(Cause::BUSY),
        Refusal::Congestion => Release::here(Cause::CONGESTION),
        Refusal::Unavailable => Release::here(Cause::OUT_OF_ORDER),
        Refusal::Incomplete => Release::here(Cause::INCOMPLETE),
    }
}
