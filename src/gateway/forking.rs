//! Forks carried out: steps begun, branches rung, what the branch machine decides.
//!
//! The machine is [`crate::call::branches`]; the steps are made by [`super::routing`],
//! [`super::forwarding`] and redirects. A call that goes to one telephone with one contact is a fork with
//! one branch.

use super::audio::Prepared;
use super::identity::Shown;
use super::{Gateway, Owner, PortId, Step, Work, WorkerId};
use crate::call::b2bua::Side;
use crate::call::branches::{BranchId, Do, Failure, Party};
use crate::call::fork::{BranchLeg, Candidate, Fork, GoesOn, SipTarget, Step as ForkStep, name_of};
use crate::call::leg::{Leg, SipLeg};
use crate::call::{Call, CallId};
use crate::config::{DigitsBy, Group, Hunt, Member};
use crate::dialplan::{Target, TargetKind};
use crate::gateway::Output;
use crate::limits;
use crate::media::{MediaCommand, Service};
use crate::rng::{Rng, Seed};
use crate::sip::{Body, Header, HeaderName, NameAddr, OutgoingInvite, Reason, SessionId};
use crate::time::{Duration, Instant};
use crate::trunk::{Cause, Release, TrunkEvent, interwork};
use std::collections::BTreeMap;
use tracing::debug;

/// RFC 3261 8.1.1.6: what a call that begins here starts with.
const MAX_FORWARDS: u8 = 70;

/// How long the contacts of one preference ring before those of the next one do.
const CONTACT_RINGS_FOR: Duration = Duration::from_secs(20);

/// RFC 3326 2: "Call completed elsewhere", so that a telephone that stops ringing lists no missed call.
fn completed_elsewhere() -> Reason {
    Reason {
        protocol: "SIP".to_owned(),
        cause: Some(200),
        text: Some("Call completed elsewhere".to_owned()),
        location: None,
    }
}

/// Whose turn it is in groups that ring one after the other.
#[derive(Debug)]
pub(super) struct Hunts {
    /// Which member of a group is the first next time.
    turns: BTreeMap<String, usize>,
    /// When the last talk of somebody ended.
    idle_since: BTreeMap<String, Instant>,
    rng: Rng,
}

impl Hunts {
    pub(super) fn new(seed: &Seed) -> Hunts {
        Hunts { turns: BTreeMap::new(), idle_since: BTreeMap::new(), rng: seed.rng() }
    }

    /// A talk of these ended.
    pub(super) fn talked(&mut self, now: Instant, names: [Option<&str>; 2]) {
        for name in names.into_iter().flatten() {
            // Only who can be a member is of interest, and there is one of each.
            if name.starts_with("phone/") || name.starts_with("station/") {
                self.idle_since.insert(name.to_owned(), now);
            }
        }
    }

    /// The members of a group in the order in which they ring now.
    fn order<'g>(&mut self, group: &'g Group) -> Vec<&'g Member> {
        let mut members: Vec<&Member> = group.members.iter().collect();
        match group.ring {
            Hunt::All | Hunt::InOrder => {}
            Hunt::Rotate => {
                let turn = self.turns.entry(group.name.clone()).or_default();
                members.rotate_left(*turn % group.members.len().max(1));
                *turn = (*turn + 1) % group.members.len().max(1);
            }
            // Whoever never talked comes first; a stable sort keeps the listed order among equals.
            Hunt::LongestIdle => {
                members.sort_by_key(|member| self.idle_since.get(&member.target.to_string()).copied());
            }
            Hunt::Random => {
                for last in (1..members.len()).rev() {
                    let drawn = self.rng.below(last as u64 + 1) as usize;
                    members.swap(last, drawn);
                }
            }
        }
        members
    }
}

impl Gateway {
    /// Gives a call these steps before whatever it has still to do, and begins with the first.
    pub(super) fn begin_fork(&mut self, id: CallId, steps: Vec<ForkStep>, step: &mut Step<'_>) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let fork = call.fork.get_or_insert_default();
        for next in steps.into_iter().rev() {
            fork.steps.push_front(next);
        }
        self.next_step(id, step);
    }

    /// Takes steps until somebody rings or none is left.
    pub(super) fn next_step(&mut self, id: CallId, step: &mut Step<'_>) {
        let answer_within = self.config.failover.answer_within;
        // Ends: every turn takes a step, and forwardings and redirects, which add steps, are limited.
        loop {
            let Some(fork) = self.fork_mut(id).filter(|fork| fork.branches.is_open()) else { return };
            match fork.steps.pop_front() {
                None => {
                    let best = fork.branches.best();
                    return self.fork_failed(id, best, step);
                }
                Some(ForkStep::Forward(target)) => {
                    let failure = fork.branches.best_of_stage();
                    self.forward_after(id, &target, failure, step);
                }
                Some(ForkStep::Ring { candidates, rings_for, goes_on }) => {
                    fork.branches.begin_stage();
                    fork.goes_on = Some(goes_on);
                    fork.step_ends_at = rings_for.map(|after| step.now + after);
                    // The last way out has the time of the call: nothing is gained by giving it up.
                    let is_watched = goes_on == GoesOn::ByName && !fork.steps.is_empty();
                    fork.rings_by = answer_within.filter(|_| is_watched).map(|within| step.now + within);
                    for candidate in candidates {
                        self.ring(id, candidate, step);
                    }
                    let Some(fork) = self.fork_mut(id) else { return };
                    if fork.branches.rings() {
                        if let Some(at) = fork.step_ends_at.into_iter().chain(fork.rings_by).min() {
                            self.deadlines.schedule(at, Owner::Call(id));
                        }
                        return;
                    }
                    self.after_step(id);
                }
            }
        }
    }

    /// A step failed: drops what stands back for that kind of failure.
    fn after_step(&mut self, id: CallId) {
        let again = self.config.failover.again.clone();
        let Some(fork) = self.fork_mut(id) else { return };
        (fork.step_ends_at, fork.rings_by) = (None, None);
        let failure = fork.branches.best_of_stage();
        let goes_on = match (fork.goes_on, failure) {
            (Some(GoesOn::ByName), Some(failure)) => again.contains(&name_of(&failure)),
            _ => true,
        };
        if !goes_on {
            // Forwarding is the wish of the person; other ways out are not.
            fork.steps.retain(|next| matches!(next, ForkStep::Forward(_)));
        }
    }

    /// Nobody is left who might answer.
    fn fork_failed(&mut self, id: CallId, best: Option<Failure>, step: &mut Step<'_>) {
        let failure = best.unwrap_or(Failure::at_once(Release::here(Cause::NO_ROUTE)));
        let Some(call) = self.calls.get_mut(id) else { return };
        if call.answered_at.is_none() {
            call.status = failure.status;
        }
        self.called_side_says(id, TrunkEvent::Rel(failure.release), step);
    }

    /// The called side, whoever that is in the end, says something.
    pub(super) fn called_side_says(&mut self, id: CallId, event: TrunkEvent, step: &mut Step<'_>) {
        match self.calls.get(id) {
            Some(call) if call.transfer.is_some() => self.transfer_heard(id, &event, step),
            Some(call) if call.first_party => self.first_party_says(id, event, step),
            _ => self.join_machine(id, Side::B, event, step),
        }
    }

    fn fork_mut(&mut self, id: CallId) -> Option<&mut Fork> {
        self.calls.get_mut(id)?.fork.as_deref_mut()
    }

    /// The steps by which a group is rung. Members ring as they are: their own forwarding would
    /// take the call away from the others.
    pub(super) fn steps_of_group(&mut self, name: &str) -> Vec<ForkStep> {
        let Some(group) = self.config.groups.iter().find(|group| group.name == name) else { return Vec::new() };
        let candidate = |member: &Member| Candidate {
            target: member.target.clone(),
            number: member.number.clone(),
            contact: None,
            party: None,
        };
        let ring =
            |candidates| ForkStep::Ring { candidates, rings_for: Some(group.rings_for), goes_on: GoesOn::Always };
        if group.ring == Hunt::All {
            return vec![ring(group.members.iter().map(candidate).collect())];
        }
        let order = self.hunts.order(group);
        order.into_iter().map(|member| ring(vec![candidate(member)])).collect()
    }

    /// Takes the next step now, beside those that ring.
    pub(super) fn ring_beside(&mut self, id: CallId, step: &mut Step<'_>) {
        let Some(fork) = self.fork_mut(id) else { return };
        let is_ring = matches!(fork.steps.front(), Some(ForkStep::Ring { .. }));
        if let Some(ForkStep::Ring { candidates, .. }) = is_ring.then(|| fork.steps.pop_front()).flatten() {
            for candidate in candidates {
                self.ring(id, candidate, step);
            }
        }
    }

    /// Rings one candidate, or notes why that cannot be.
    fn ring(&mut self, id: CallId, candidate: Candidate, step: &mut Step<'_>) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let Some(fork) = call.fork.as_deref_mut() else { return };
        debug!(call = call.number, target = %candidate.target, number = candidate.number, "route");
        if fork.branches.is_empty() && call.b.is_none() {
            call.target = Some(candidate.target.to_string());
        }
        let party = match candidate.party {
            Some(party) if fork.branches.has_declined(party) => return,
            Some(party) => party,
            None => fork.new_party(),
        };
        let failed = match candidate.target.kind {
            TargetKind::Service => self.ring_service(id, &candidate.target, party, step),
            TargetKind::Station => match self.port_called(&candidate.target.name) {
                Some(port) => self.ring_port(id, port, &candidate.target, party, step),
                None => Err(Release::here(Cause::OUT_OF_ORDER)),
            },
            TargetKind::Phone | TargetKind::Trunk => self.ring_sip(id, candidate, party, step),
            TargetKind::Isup => self.ring_isup(id, &candidate, party, step),
            // Groups are taken apart before; lines are not in service before their machine is built.
            TargetKind::Group | TargetKind::Line => Err(Release::here(Cause::OUT_OF_ORDER)),
        };
        if let Err(release) = failed
            && let Some(fork) = self.fork_mut(id)
        {
            fork.branches.note(Failure::at_once(release));
        }
    }

    /// A branch for `leg`; fails when the call has had too many.
    pub(super) fn new_branch(
        &mut self,
        id: CallId,
        party: Party,
        target: &Target,
        leg: Leg,
    ) -> Result<BranchId, Release> {
        let fork = self.fork_mut(id).ok_or(Release::here(Cause::TEMPORARY))?;
        if fork.branches.made() >= limits::BRANCHES_PER_CALL {
            return Err(Release::here(Cause::CONGESTION));
        }
        let branch = fork.branches.ring(party);
        fork.legs.push(BranchLeg { id: branch, leg, target: target.clone() });
        self.events.touch(&target.to_string());
        Ok(branch)
    }

    fn ring_service(&mut self, id: CallId, target: &Target, party: Party, step: &mut Step<'_>) -> Result<(), Release> {
        let service = match target.name.as_str() {
            "echo" => Service::Echo,
            "milliwatt" => Service::Milliwatt,
            _ => return Err(Release::here(Cause::UNALLOCATED)),
        };
        let branch = self.new_branch(id, party, target, Leg::Service(service))?;
        step.queue.push_back(Work::branch(id, branch, TrunkEvent::Con));
        Ok(())
    }

    fn ring_port(
        &mut self,
        id: CallId,
        port: PortId,
        target: &Target,
        party: Party,
        step: &mut Step<'_>,
    ) -> Result<(), Release> {
        let Some(call) = self.calls.get(id) else { return Ok(()) };
        // Audio between two cards needs a ring between their workers, which is not built yet. A call
        // whose audio runs already stays on its worker, too.
        if bound_worker(call).is_some_and(|worker| worker != WorkerId(port.card.0)) {
            return Err(Release::here(Cause::BEARER));
        }
        let iam = call.iam.as_shown();
        let Some(seat) = self.ports.get_mut(&port) else { return Err(Release::here(Cause::OUT_OF_ORDER)) };
        if seat.call.is_some() {
            return Err(Release::user(Cause::BUSY));
        }
        let branch = self.new_branch(id, party, target, Leg::Line(port))?;
        if let Some(seat) = self.ports.get_mut(&port) {
            seat.call = Some((id, Side::B));
        }
        if let Some(refused) = self.tell_port(port, &TrunkEvent::Iam(iam), step) {
            if let Some(seat) = self.ports.get_mut(&port) {
                seat.call = None;
            }
            if let Some(fork) = self.fork_mut(id) {
                fork.take(branch);
                fork.branches.take_back(branch, Failure::at_once(refused));
            }
        }
        Ok(())
    }

    /// Rings a contact, the contacts of a telephone, or a trunk.
    fn ring_sip(&mut self, id: CallId, candidate: Candidate, party: Party, step: &mut Step<'_>) -> Result<(), Release> {
        if let Some(contact) = candidate.contact {
            // RFC 3261 8.1.3.4: "a given URI MUST NOT be added to the target set more than once".
            let is_redirect = candidate.party.is_none();
            let was_tried = |fork: &mut Fork| fork.tried.iter().any(|uri| uri.equivalent(&contact.uri));
            if is_redirect && self.fork_mut(id).is_some_and(was_tried) {
                return Ok(());
            }
            return self.invite_branch(id, contact, &candidate.target, party, step);
        }
        if candidate.target.kind == TargetKind::Trunk {
            let sip = self.trunk_target(&candidate.target.name, &candidate.number)?;
            return self.invite_branch(id, sip, &candidate.target, party, step);
        }
        let levels = self.phone_contacts(step.now, &candidate.target.name);
        let mut levels = levels.into_iter();
        let first = levels.next().ok_or(Release::here(Cause::ABSENT))?;
        // RFC 3261 16.6: contacts of lower preference are tried when those of higher preference have failed.
        let lower: Vec<ForkStep> = levels
            .map(|level| {
                let candidates = level.into_iter().map(|contact| Candidate {
                    target: candidate.target.clone(),
                    number: candidate.number.clone(),
                    contact: Some(contact),
                    party: Some(party),
                });
                let rings_for = Some(CONTACT_RINGS_FOR);
                ForkStep::Ring { candidates: candidates.collect(), rings_for, goes_on: GoesOn::Always }
            })
            .collect();
        if let Some(fork) = self.fork_mut(id).filter(|_| !lower.is_empty()) {
            lower.into_iter().rev().for_each(|next| fork.steps.push_front(next));
            let ends_at = step.now + CONTACT_RINGS_FOR;
            fork.step_ends_at = Some(fork.step_ends_at.map_or(ends_at, |at| at.min(ends_at)));
        }
        let mut last = Ok(());
        for contact in first {
            last = self.invite_branch(id, contact, &candidate.target, party, step);
        }
        last
    }

    fn invite_branch(
        &mut self,
        id: CallId,
        target: SipTarget,
        named: &Target,
        party: Party,
        step: &mut Step<'_>,
    ) -> Result<(), Release> {
        let Some(call) = self.calls.get_mut(id) else { return Ok(()) };
        if let Some(fork) = call.fork.as_deref_mut() {
            // Before anything is sent; the branch itself is made when there is a session.
            if fork.branches.made() >= limits::BRANCHES_PER_CALL {
                return Err(Release::here(Cause::CONGESTION));
            }
            fork.tried.push(target.uri.clone());
        }
        // What the caller likes best first, so that nothing has to be transcoded.
        let mut codecs = match &call.a {
            Leg::Sip(a) => a.liked(),
            _ => Vec::new(),
        };
        codecs.retain(|codec| target.codecs.contains(codec));
        codecs.extend(target.codecs.iter().filter(|codec| !codecs.contains(codec)).collect::<Vec<_>>());
        // RFC 3261 16.6 step 3, which a B2BUA follows so that loops through it end.
        let max_forwards = call.iam.hops.map_or(MAX_FORWARDS, |hops| hops.saturating_sub(1));
        // RFC 3892 2.1: the one who is called learns who sent the call there.
        let referred_by = call.referred_by.as_ref().map(|by| Header::new(HeaderName::ReferredBy, by));
        let Some(call) = self.calls.get(id) else { return Ok(()) };
        let (Shown { from, contact_user, mut headers }, reliable) = self.show_caller(call, named, &target);
        let digits_by_info = self.profile_of(named).digits_by == DigitsBy::Info;
        headers.extend(referred_by);
        let brought = self.brought_by_caller(call, &named.to_string());
        let number = super::access::number_of(&target.uri).unwrap_or_else(|| call.iam.called.clone());
        let brought = self.with_iam(call, &named.to_string(), &number, brought);
        let (asks, wish) = (super::late::asks_for_offer(call), super::late::wish_of_caller(call));
        let asks = asks && !self.profile_of(named).early_offer;
        let is_ipv4 = target.next_hop.is_ipv4().unwrap_or(self.config.rtp.address.is_ipv4());
        let Prepared { stream, ours } = self.prepare_stream(is_ipv4, &codecs).map_err(Release::here)?;
        self.own_stream(stream, id);
        let mut leg = SipLeg::new(SessionId::from_bits(u64::MAX), false, None, stream, ours);
        leg.take_digits_by_info(digits_by_info);
        // A caller that offers nothing asks for an offer, and the one who is called makes it.
        leg.late = asks;
        if !asks && leg.settle(None, wish).is_err() {
            self.forget_stream(stream);
            return Err(Release::here(Cause::BEARER));
        }
        let (body, brought) = brought.content(leg.sent.clone().map(Body::sdp));
        headers.extend(brought);
        let invite = OutgoingInvite {
            to: NameAddr::new(target.uri.clone()),
            target: target.uri,
            next_hop: target.next_hop,
            from,
            contact_user,
            body,
            headers: target.headers.into_iter().chain(headers).collect(),
            max_forwards,
            reliable,
            credentials: target.credentials,
        };
        leg.session = self.endpoint.invite(step.now, invite, &mut step.sip);
        let session = leg.session;
        match self.new_branch(id, party, named, Leg::Sip(leg)) {
            Ok(branch) => {
                self.branch_sessions.insert(session, (id, branch));
                Ok(())
            }
            Err(release) => {
                self.endpoint.terminate(step.now, session, None, &mut step.sip);
                self.forget_stream(stream);
                Err(release)
            }
        }
    }

    /// A branch said something.
    pub(super) fn handle_branch(
        &mut self,
        id: CallId,
        branch: BranchId,
        event: &TrunkEvent,
        status: Option<u16>,
        step: &mut Step<'_>,
    ) {
        let Some(call) = self.calls.get_mut(id) else { return };
        debug!(call = call.number, branch = branch.0, ?event, status, "branch event");
        let may_be_heard = in_setup(call) && can_be_carried(call, branch);
        let Some(fork) = call.fork.as_deref_mut() else { return };
        let actions = fork.branches.heard_from(branch, event, status, may_be_heard);
        self.carry_out_fork(id, actions, step);
    }

    /// The side that called releases: so do all branches.
    pub(super) fn release_fork(&mut self, id: CallId, release: Release, step: &mut Step<'_>) {
        let Some(fork) = self.fork_mut(id) else { return };
        fork.steps.clear();
        fork.step_ends_at = None;
        let actions = fork.branches.release(release);
        self.carry_out_fork(id, actions, step);
    }

    /// Those that ring may have rung long enough.
    pub(super) fn handle_fork_timeout(&mut self, id: CallId, step: &mut Step<'_>) {
        let Some(fork) = self.fork_mut(id) else { return };
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= step.now);
        let is_silent = is_due(fork.rings_by) && !fork.branches.has_rung();
        if is_due(fork.rings_by) {
            fork.rings_by = None;
        }
        if !is_silent && !is_due(fork.step_ends_at) {
            if let Some(at) = fork.step_ends_at {
                self.deadlines.schedule(at, Owner::Call(id));
            }
            return;
        }
        (fork.step_ends_at, fork.rings_by) = (None, None);
        let actions = fork.branches.give_up();
        self.carry_out_fork(id, actions, step);
    }

    pub(super) fn carry_out_fork(&mut self, id: CallId, actions: Vec<Do>, step: &mut Step<'_>) {
        for action in actions {
            match action {
                Do::Say(TrunkEvent::Rlc) => step.queue.push_back(Work::Trunk(id, Side::B, TrunkEvent::Rlc)),
                Do::Say(event) => self.called_side_says(id, event, step),
                Do::Tell(branch, event) => self.tell_branch(id, branch, &event, step),
                Do::Hear(branch) => self.branch_is_heard(id, branch),
                Do::Win(branch) => self.branch_won(id, branch, step),
                Do::Gone(branch) => self.forget_branch(id, branch, step),
                Do::AllFailed => {
                    self.after_step(id);
                    self.next_step(id, step);
                }
            }
        }
    }

    fn tell_branch(&mut self, id: CallId, branch: BranchId, event: &TrunkEvent, step: &mut Step<'_>) {
        let Some(leg) = self.fork_mut(id).and_then(|fork| fork.leg(branch)) else { return };
        match (&leg.leg, event) {
            (Leg::Line(port), event) => {
                let port = *port;
                let _ = self.tell_port(port, event, step);
            }
            (Leg::Circuit { group, cic }, event) => {
                let circuit = (*group, *cic);
                self.tell_circuit(id, circuit, (Side::B, Some(branch)), event, step);
            }
            (Leg::Service(_), TrunkEvent::Rel(_)) => {
                step.queue.push_back(Work::branch(id, branch, TrunkEvent::Rlc));
            }
            (Leg::Sip(leg), TrunkEvent::Rel(_)) if leg.ended => {
                step.queue.push_back(Work::branch(id, branch, TrunkEvent::Rlc));
            }
            (Leg::Sip(leg), TrunkEvent::Rel(release)) => {
                let reason = match release.cause {
                    Cause::NON_SELECTED => completed_elsewhere(),
                    _ => interwork::reason_of_release(*release),
                };
                let session = leg.session;
                self.endpoint.terminate(step.now, session, Some(reason), &mut step.sip);
            }
            _ => {}
        }
    }

    /// The caller hears this branch from now on; which leg that is `Call::leg` knows.
    fn branch_is_heard(&mut self, id: CallId, branch: BranchId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let Some(fork) = call.fork.as_deref_mut() else { return };
        if fork.joined.replace(branch) != Some(branch) {
            // What was heard before has ended, or nothing was: to be joined (anew).
            call.audio_open = false;
        }
    }

    /// The branch is the called side from now on.
    fn branch_won(&mut self, id: CallId, branch: BranchId, step: &mut Step<'_>) {
        let software = self.software_worker();
        let Some(call) = self.calls.get_mut(id) else { return };
        let Some(fork) = call.fork.as_deref_mut() else { return };
        fork.steps.clear();
        fork.step_ends_at = None;
        let was_heard = fork.joined == Some(branch);
        let Some(mut won) = fork.take(branch) else { return };
        if let Leg::Sip(leg) = &mut won.leg {
            leg.fresh = call.transfer.is_some();
        }
        call.target = Some(won.target.to_string());
        if bound_worker(call).is_none() && call.answered_at.is_none() {
            call.worker = match (&call.a, &won.leg) {
                (Leg::Line(port), _) | (_, Leg::Line(port)) => WorkerId(port.card.0),
                _ => software,
            };
        }
        if !was_heard {
            // The caller heard another branch, or none: its stream goes on, joined anew.
            call.audio_open = false;
        }
        if let Leg::Sip(leg) = &won.leg {
            self.branch_sessions.remove(&leg.session);
            self.sessions.insert(leg.session, (id, Side::B));
        }
        let (worker, old) = (call.worker, call.b.replace(won.leg));
        self.refresh_stream(id, Side::B, step);
        self.drop_empty_fork(id);
        if let Some(old) = old {
            self.transferor_replaced(id, old, worker, step);
        }
    }

    /// A fork that is decided and has no branch left is of no use.
    fn drop_empty_fork(&mut self, id: CallId) {
        if let Some(call) = self.calls.get_mut(id)
            && call.fork.as_ref().is_some_and(|fork| !fork.branches.is_open() && fork.branches.is_empty())
        {
            call.fork = None;
        }
    }

    /// A branch is over: its session, port and stream are free.
    fn forget_branch(&mut self, id: CallId, branch: BranchId, step: &mut Step<'_>) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let worker = call.worker;
        let Some(over) = call.fork.as_deref_mut().and_then(|fork| fork.take(branch)) else { return };
        self.events.touch(&over.target.to_string());
        self.free_leg(id, over.leg, worker, step);
        self.drop_empty_fork(id);
    }

    /// Frees what a leg holds that takes part in its call no more.
    pub(super) fn free_leg(&mut self, id: CallId, leg: Leg, worker: WorkerId, step: &mut Step<'_>) {
        match leg {
            Leg::Sip(leg) => {
                self.branch_sessions.remove(&leg.session);
                self.sessions.remove(&leg.session);
                if leg.started {
                    step.out.push(Output::Media(worker, MediaCommand::Stop(leg.stream)));
                } else {
                    self.forget_stream(leg.stream);
                }
            }
            Leg::Line(port) => {
                if let Some(seat) = self.ports.get_mut(&port).filter(|p| p.call.is_some_and(|(c, _)| c == id)) {
                    seat.call = None;
                }
            }
            // Whoever still has its circuit is released with it.
            Leg::Circuit { group, cic } => {
                self.release_circuit(group, cic, id, Release::here(Cause::NORMAL), step);
            }
            Leg::Service(_) | Leg::Operator => {}
        }
    }

    /// The branch that a port is, in a call whose called side is not decided.
    pub(super) fn branch_of_port(&self, id: CallId, port: PortId) -> Option<BranchId> {
        let fork = self.calls.get(id)?.fork.as_deref()?;
        let is_port = |branch: &&BranchLeg| matches!(branch.leg, Leg::Line(p) if p == port);
        fork.legs.iter().find(is_port).map(|branch| branch.id)
    }
}

/// Whether the called side is being looked for, and not somebody who takes part in a call that is.
fn in_setup(call: &Call) -> bool {
    call.answered_at.is_none() && call.b.is_none()
}

/// The worker that the audio of a call cannot leave: that of the calling line, and that on which
/// the stream of a caller runs who has not been answered. (One who has can be moved by a new offer.)
fn bound_worker(call: &Call) -> Option<WorkerId> {
    match &call.a {
        Leg::Line(port) => Some(WorkerId(port.card.0)),
        Leg::Sip(leg) => (leg.started && call.answered_at.is_none()).then_some(call.worker),
        Leg::Circuit { .. } | Leg::Service(_) | Leg::Operator => None,
    }
}

/// Whether the media of a branch can be given to the caller before an answer: the stream of a caller
/// cannot move to another worker then, so all who might answer must be on the same one.
pub(super) fn can_be_carried(call: &mut Call, branch: BranchId) -> bool {
    let Some(fork) = call.fork.as_deref() else { return false };
    if !matches!(fork.leg(branch).map(|branch| &branch.leg), Some(Leg::Sip(_) | Leg::Circuit { .. })) {
        return false;
    }
    let cards = fork.legs.iter().filter_map(|branch| match &branch.leg {
        Leg::Line(port) => Some(WorkerId(port.card.0)),
        _ => None,
    });
    let mut workers = bound_worker(call).into_iter().chain(cards);
    let Some(first) = workers.next() else { return true };
    if workers.any(|worker| worker != first) {
        return false;
    }
    call.worker = first;
    true
}
