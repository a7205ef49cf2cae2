//! From a number to those who are rung.

use super::audio::CODECS;
use super::{Gateway, Step};
use crate::call::CallId;
use crate::call::fork::{Candidate, GoesOn, SipTarget, Step as ForkStep};
use crate::config::Forward;
use crate::dialplan::{Decision, Refusal, Rung, Target, TargetKind, Verdict, is_inside};
use crate::time::Instant;
use crate::trunk::{Cause, Release};
use tracing::info;

impl Gateway {
    /// Where the dial plan sends `number` of a caller at `origin`.
    pub fn route(&self, origin: &str, number: &str) -> Decision {
        self.config.plan.route(origin, is_inside(origin), number)
    }

    /// Whether a call from `origin` to `number` would leave by SIP again.
    pub(super) fn leaves_by_sip(&self, origin: &str, number: &str) -> bool {
        match self.route(origin, number).verdict {
            Verdict::Targets(targets) => {
                let by_sip = |kind| matches!(kind, TargetKind::Phone | TargetKind::Trunk | TargetKind::Group);
                targets.iter().any(|target| by_sip(target.kind))
            }
            // Who of them is rung is known only then; a call with no hop left is not begun.
            Verdict::Ring(_) => true,
            Verdict::Refused(_) => false,
        }
    }

    /// Finds whom a call is to reach and rings them.
    pub(super) fn route_call(&mut self, id: CallId, step: &mut Step<'_>) -> Result<(), Release> {
        let Some(call) = self.calls.get(id) else { return Ok(()) };
        let (origin, called) = (call.origin.clone(), call.iam.called.clone());
        let steps = self.steps_to(id, &origin, &called)?;
        self.begin_fork(id, steps, step);
        Ok(())
    }

    /// The steps by which a caller at `origin` reaches `number`, as the dial plan has it.
    pub(super) fn steps_to(&mut self, id: CallId, origin: &str, number: &str) -> Result<Vec<ForkStep>, Release> {
        let decision = self.route(origin, number);
        match decision.verdict {
            Verdict::Refused(refusal) => {
                let call = self.calls.get(id).map(|call| call.number);
                info!(call, called = %number, ?refusal, "no way to this number");
                Err(release_of(refusal))
            }
            Verdict::Targets(targets) => {
                let goes_on = if targets.len() > 1 { GoesOn::ByName } else { GoesOn::Always };
                let steps = targets.into_iter().flat_map(|target| self.steps_of(target, &decision.number, goes_on));
                Ok(steps.collect())
            }
            Verdict::Ring(steps) => {
                Ok(steps.into_iter().flat_map(|rung| self.steps_of_rung(rung, &decision.number)).collect())
            }
        }
    }

    /// One step of a route that rings in steps.
    fn steps_of_rung(&mut self, rung: Rung, number: &str) -> Vec<ForkStep> {
        let alone = rung.targets.len() == 1;
        let mut steps: Vec<ForkStep> = Vec::new();
        for target in rung.targets {
            steps.extend(self.steps_of(target, number, GoesOn::Always));
        }
        if !alone {
            // Those who ring together have no forwarding, which would take the call away from the others.
            let all = steps.into_iter().filter_map(|step| match step {
                ForkStep::Ring { candidates, .. } => Some(candidates),
                ForkStep::Forward(_) => None,
            });
            let candidates = all.flatten().collect();
            steps = vec![ForkStep::Ring { candidates, rings_for: rung.rings_for, goes_on: GoesOn::Always }];
        }
        for next in &mut steps {
            if let (ForkStep::Ring { rings_for, .. }, Some(time)) = (next, rung.rings_for) {
                *rings_for = Some(time);
            }
        }
        steps
    }

    /// The steps by which one target of the dial plan is rung.
    fn steps_of(&mut self, target: Target, number: &str, goes_on: GoesOn) -> Vec<ForkStep> {
        if target.kind == TargetKind::Group {
            return self.steps_of_group(&target.name);
        }
        let forward = self.forwarding_of(&target).cloned().unwrap_or_default();
        if forward.always.is_some() {
            return vec![ForkStep::Forward(target)];
        }
        let rings_for = forward.no_answer.is_some().then_some(forward.after);
        let after = (forward != Forward::default()).then(|| ForkStep::Forward(target.clone()));
        let candidate = Candidate { target, number: number.to_owned(), contact: None, party: None };
        let ring = ForkStep::Ring { candidates: vec![candidate], rings_for, goes_on };
        [ring].into_iter().chain(after).collect()
    }

    /// The contacts of a telephone, those of equal preference together, the best first.
    pub(super) fn phone_contacts(&self, now: Instant, name: &str) -> Vec<Vec<SipTarget>> {
        let mut levels: Vec<(u16, Vec<SipTarget>)> = Vec::new();
        for contact in self.access.contacts(now, name) {
            let target = SipTarget {
                uri: contact.uri.clone(),
                next_hop: contact.flow.into(),
                codecs: CODECS.to_vec(),
                headers: contact.route(),
                credentials: None,
            };
            match levels.last_mut() {
                Some((q, level)) if *q == contact.q => level.push(target),
                _ => levels.push((contact.q, vec![target])),
            }
        }
        levels.into_iter().map(|(_, level)| level).collect()
    }

    pub(super) fn trunk_target(&self, name: &str, number: &str) -> Result<SipTarget, Release> {
        // One that does not answer is passed over, as one that is out of order.
        match self.trunk_reach(name) {
            Some(reach) if !reach.is_usable() => Err(Release::here(Cause::OUT_OF_ORDER)),
            _ => self.trunk_way(name, number),
        }
    }

    pub(super) fn trunk_way(&self, name: &str, number: &str) -> Result<SipTarget, Release> {
        let trunk = self.config.trunks.iter().find(|trunk| trunk.name == name);
        let trunk = trunk.ok_or(Release::here(Cause::OUT_OF_ORDER))?;
        let way = self.way_to(trunk).ok_or(Release::here(Cause::OUT_OF_ORDER))?;
        Ok(SipTarget {
            uri: super::carriers::uri_at(trunk, Some(number)).ok_or(Release::here(Cause::OUT_OF_ORDER))?,
            next_hop: way.next_hop,
            codecs: trunk.codecs.clone(),
            headers: way.route,
            credentials: super::carriers::credentials(trunk),
        })
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
