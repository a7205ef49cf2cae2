//! From a number to a called leg.

use super::audio::{CODECS, Prepared};
use super::{Gateway, PortId, Step, Work};
use crate::call::CallId;
use crate::call::b2bua::Side;
use crate::call::leg::{Leg, SipLeg};
use crate::dialplan::{Decision, Refusal, Target, TargetKind, Verdict, is_inside};
use crate::media::Service;
use crate::sdp::Codec;
use crate::sip::{Body, NameAddr, OutgoingInvite, Transport, Uri};
use crate::trunk::{Cause, Location, Release, TrunkEvent};
use std::net::SocketAddr;
use tracing::{debug, info};

/// Where a SIP call goes.
struct SipTarget {
    uri: Uri,
    destination: crate::sip::Destination,
    codecs: Vec<Codec>,
}

impl Gateway {
    /// Where the dial plan sends `number` of a caller at `origin`.
    pub fn route(&self, origin: &str, number: &str) -> Decision {
        self.config.plan.route(origin, is_inside(origin), number)
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
                self.call_port(id, port, iam, step)
            }
            TargetKind::Phone => {
                let sip = self.phone_target(&target.name)?;
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

    fn call_port(
        &mut self,
        id: CallId,
        port: PortId,
        iam: crate::trunk::Iam,
        step: &mut Step<'_>,
    ) -> Result<(), Release> {
        // Audio between two cards needs a ring between their workers, which is not built yet.
        if let Some(Leg::Line(a)) = self.calls.get(id).map(|call| &call.a)
            && a.card != port.card
        {
            return Err(Release::here(Cause::BEARER));
        }
        let Some(seat) = self.ports.get_mut(&port) else { return Err(Release::here(Cause::OUT_OF_ORDER)) };
        if seat.call.is_some() || !seat.machine.is_idle() {
            return Err(Release::user(Cause::BUSY));
        }
        seat.call = Some((id, Side::B));
        if let Some(call) = self.calls.get_mut(id) {
            call.worker = super::WorkerId(port.card.0);
        }
        self.seat(id, Leg::Line(port));
        self.tell_leg(id, Side::B, &TrunkEvent::Iam(iam), step);
        Ok(())
    }

    fn phone_target(&self, name: &str) -> Result<SipTarget, Release> {
        let contact = self.access.contact(name).ok_or(Release::here(Cause::ABSENT))?;
        Ok(SipTarget { uri: contact.0, destination: contact.1, codecs: CODECS.to_vec() })
    }

    fn trunk_target(&self, name: &str, number: &str) -> Result<SipTarget, Release> {
        let trunk = self.config.trunks.iter().find(|trunk| trunk.name == name);
        let (trunk, (transport, address)) =
            trunk.and_then(|trunk| Some((trunk, trunk.to?))).ok_or(Release::here(Cause::OUT_OF_ORDER))?;
        Ok(SipTarget {
            uri: Uri::sip(Some(number), address, transport),
            destination: crate::sip::Destination { transport, remote: address, connection: None },
            codecs: trunk.codecs.clone(),
        })
    }

    fn call_sip(&mut self, id: CallId, target: SipTarget, step: &mut Step<'_>) -> Result<(), Release> {
        let local = self.listener(target.destination.transport, target.destination.remote)?;
        let domain = self.config.sip.domain.clone();
        let Some(call) = self.calls.get(id) else { return Ok(()) };
        let codecs = match &call.a {
            // What the caller likes best first, so that nothing has to be transcoded.
            Leg::Sip(a) => a.liked().into_iter().filter(|c| target.codecs.contains(c)).collect(),
            _ => Vec::new(),
        };
        let codecs = target.codecs.iter().fold(codecs, |mut list: Vec<Codec>, codec| {
            if !list.contains(codec) {
                list.push(*codec);
            }
            list
        });
        if let Leg::Line(port) = call.a {
            let worker = super::WorkerId(port.card.0);
            if let Some(call) = self.calls.get_mut(id) {
                call.worker = worker;
            }
        }
        let Prepared { stream, ours } = self.prepare_stream(id, &codecs).map_err(Release::here)?;
        let Some(call) = self.calls.get(id) else { return Ok(()) };
        let calling = call.iam.calling.clone();
        let user = calling.clone().unwrap_or_else(|| "anonymous".to_owned());
        let mut leg = SipLeg::new(Default::default(), false, None, stream, ours);
        leg.settle(None).map_err(|_| Release::here(Cause::BEARER))?;
        let from = NameAddr {
            display: call.iam.calling_name.clone(),
            uri: Uri::at_domain(Some(&user), &domain),
            ..NameAddr::default()
        };
        let to = NameAddr { uri: target.uri.without_parameters(), ..NameAddr::default() };
        let invite = OutgoingInvite {
            target: target.uri,
            destination: target.destination,
            local,
            from,
            to,
            contact_user: Some(user),
            body: leg.sent.clone().map(Body::sdp),
            headers: Vec::new(),
            max_forwards: 69,
        };
        leg.session = self.endpoint.invite(step.now, invite, &mut step.sip);
        self.sessions.insert(leg.session, (id, Side::B));
        self.seat(id, Leg::Sip(leg));
        Ok(())
    }

    /// Our address for talking to `remote`.
    fn listener(&self, transport: Transport, remote: SocketAddr) -> Result<SocketAddr, Release> {
        self.config
            .sip
            .listen
            .iter()
            .find(|l| l.transport == transport && l.address.is_ipv4() == remote.is_ipv4())
            .map(|l| l.address)
            .ok_or(Release::here(Cause::OUT_OF_ORDER))
    }

    /// Says what came out of a port's machine about its call.
    pub(super) fn queue_from_port(&self, port: PortId, event: TrunkEvent, step: &mut Step<'_>) {
        if let Some((call, side)) = self.ports.get(&port).and_then(|port| port.call) {
            step.queue.push_back(Work::Trunk(call, side, event));
        }
    }
}

/// Failure names of the dial plan as releases; statuses follow by RFC 3398.
fn release_of(refusal: Refusal) -> Release {
    match refusal {
        Refusal::Unassigned => Release::here(Cause::UNALLOCATED),
        Refusal::NoRoute => Release::here(Cause::NO_ROUTE),
        Refusal::NotAllowed => Release::here(Cause::REJECTED),
        Refusal::Rejected => Release { cause: Cause::REJECTED, location: Location::User },
        Refusal::Busy => Release::user(Cause::BUSY),
        Refusal::Congestion => Release::here(Cause::CONGESTION),
        Refusal::Unavailable => Release::here(Cause::OUT_OF_ORDER),
        Refusal::Incomplete => Release::here(Cause::INCOMPLETE),
    }
}
