//! Circuits of ISUP as legs of calls: groups, what is said and heard on them, their voice.
//!
//! ```text
//!   Input::Isup ──▶ isup::group::Group ──▶ Heard ──▶ call::isup ──▶ Work::Trunk, Work::Branch
//!   tell_circuit ──▶ call::isup ──▶ Group::send ──▶ Transmit ──▶ Output::Isup
//!   TargetKind::Isup ──▶ Group::seize
//! ```
//!
//! A circuit with a call has a seat here that names the call. The seat goes when REL was said or heard, since RLC
//! is the matter of the circuit itself (Q.764 2.3); a leg without its seat is told nothing any more.
//! `circuits/incoming` has calls of the far end before they are calls, `circuits/voice` what is heard,
//! `circuits/maintenance` what operators want.

mod incoming;
mod maintenance;
mod voice;

use super::encapsulation::said_by;
use super::{Gateway, GroupId, Output, Owner, Step, Work};
use crate::call::CallId;
use crate::call::b2bua::Side;
use crate::call::branches::{BranchId, Party};
use crate::call::fork::{BranchLeg, Candidate};
use crate::call::isup::body::{octets_of, renewed};
use crate::call::isup::overlap::{Decision, Overlap};
use crate::call::isup::{self, answer_of, event_of, iam_message, messages_of};
use crate::call::leg::Leg;
use crate::config::{Config, IsupTransport, Suspend};
use crate::isup::group::{self, Alert, Group, OrderError};
use crate::isup::{Cic, Message, MessageType};
use crate::limits;
use crate::media::Tone;
use crate::sdp::Direction;
use crate::time::Instant;
use crate::trunk::{CalledStatus, Cause, Iam, Nature, Release, TrunkEvent};
use incoming::Gathering;
use std::collections::BTreeMap;
use tracing::{debug, warn};

pub use maintenance::{CircuitSummary, Maintenance};

/// 38: network out of order.
const NETWORK_OUT_OF_ORDER: u8 = 38;

/// All circuit groups.
pub(super) struct Circuits {
    /// In the order of the configuration, as [`GroupId`] counts them.
    groups: Vec<Trunk>,
}

/// A circuit group with what hangs on it.
struct Trunk {
    /// `isup/NAME`.
    origin: String,
    group: Group,
    /// How the far end writes things.
    side: isup::Side,
    suspend: Suspend,
    /// Whether messages can be carried.
    available: bool,
    /// Both ends have to agree on the state of the circuits before the first call.
    must_reset: bool,
    seats: BTreeMap<Cic, Seat>,
    /// Calls of the far end whose number is not complete.
    gathering: BTreeMap<Cic, Gathering>,
    /// What circuits carry towards us; those that are silent are not here.
    sounds: BTreeMap<Cic, Tone>,
}

/// A circuit's place in a call.
struct Seat {
    call: CallId,
    side: Side,
    /// ACM was said: what follows is CPG and ANM.
    acm_said: bool,
    /// Of a call of the far end: its digits, and when ACM is said without an indication (T11).
    digits: Option<Overlap>,
    /// SUS was heard, and no RES.
    suspended: bool,
    /// What the listener was last given to hear; `None`: nothing yet.
    playing: Option<Option<Tone>>,
}

impl Circuits {
    /// The groups of a configuration, idle.
    pub(super) fn new(config: &Config) -> Circuits {
        let trunk = |isup: &crate::config::Isup| {
            let (own, peer) = (isup.own_point_code, isup.peer_point_code);
            let settings = group::Settings {
                selection: isup.selection,
                control: isup.control,
                timers: isup.timers.clone(),
                location: isup.location,
                ..group::Settings::new(isup.variant, own, peer)
            };
            let circuits = isup.circuits.iter().filter_map(|code| Cic::new(isup.variant, *code));
            // `check` has counted them.
            let group = Group::new(settings.clone(), circuits).or_else(|_| Group::new(settings, [])).ok()?;
            let is_simulated = isup.transport == IsupTransport::Simulated;
            Some(Trunk {
                origin: format!("isup/{}", isup.name),
                group,
                side: isup::Side {
                    name: isup.name.clone(),
                    variant: isup.variant,
                    country_code: isup.country_code.clone(),
                    location: isup.location,
                },
                suspend: isup.suspend,
                available: is_simulated,
                must_reset: !is_simulated,
                seats: BTreeMap::new(),
                gathering: BTreeMap::new(),
                sounds: BTreeMap::new(),
            })
        };
        Circuits { groups: config.isups.iter().filter_map(trunk).collect() }
    }

    fn trunk(&self, id: GroupId) -> Option<&Trunk> {
        self.groups.get(usize::from(id.0))
    }

    fn trunk_mut(&mut self, id: GroupId) -> Option<&mut Trunk> {
        self.groups.get_mut(usize::from(id.0))
    }

    fn seat(&self, id: GroupId, cic: Cic) -> Option<&Seat> {
        self.trunk(id)?.seats.get(&cic)
    }

    fn seat_mut(&mut self, id: GroupId, cic: Cic) -> Option<&mut Seat> {
        self.trunk_mut(id)?.seats.get_mut(&cic)
    }

    fn ids(&self) -> impl Iterator<Item = GroupId> + use<> {
        (0..self.groups.len()).filter_map(|index| u16::try_from(index).ok()).map(GroupId)
    }

    /// The group called so.
    fn named(&self, name: &str) -> Option<GroupId> {
        self.ids().find(|id| self.trunk(*id).is_some_and(|trunk| trunk.side.name == name))
    }

    /// When a timer of Q.764 is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.groups.iter().filter_map(|trunk| trunk.group.deadline()).min()
    }

    /// A call takes this circuit as one of its sides.
    pub(super) fn take_seat(&mut self, id: GroupId, cic: Cic, call: CallId, side: Side) {
        let seat = Seat { call, side, acm_said: false, digits: None, suspended: false, playing: None };
        if let Some(trunk) = self.trunk_mut(id) {
            trunk.seats.insert(cic, seat);
        }
    }

    /// The side of a call that a circuit is, when that has changed.
    pub(super) fn name_side(&mut self, id: GroupId, cic: Cic, call: CallId, side: Side) {
        if let Some(seat) = self.seat_mut(id, cic) {
            (seat.call, seat.side) = (call, side);
        }
    }

    /// What a party behind a circuit sends and hears: nothing while its telephone is hung up, where that is shown.
    pub(super) fn wish(&self, id: GroupId, cic: Cic) -> Direction {
        let is_shown = self.trunk(id).is_some_and(|trunk| trunk.suspend == Suspend::Hold);
        match self.seat(id, cic) {
            Some(seat) if seat.suspended && is_shown => Direction::Inactive,
            _ => Direction::SendRecv,
        }
    }
}

impl Gateway {
    /// A message of the far end came.
    pub(super) fn handle_isup(&mut self, id: GroupId, octets: &[u8], step: &mut Step<'_>) {
        let read = self.with_group(id, step, |group, now, out| group.handle_octets(now, octets, out));
        if let Some(Err(error)) = read {
            let name = self.circuits.trunk(id).map_or("-", |trunk| &trunk.origin);
            warn!(group = name, %error, "what came is no ISUP message");
        }
    }

    /// Messages can be carried to the far end from now on, or cannot.
    pub(super) fn handle_far_end(&mut self, id: GroupId, available: bool, step: &mut Step<'_>) {
        let Some(trunk) = self.circuits.trunk_mut(id) else { return };
        trunk.available = available;
        debug!(group = trunk.origin, available, "far end");
        if available && std::mem::take(&mut trunk.must_reset) {
            self.reset_circuits(id, step);
        }
    }

    /// Q.764 2.9.3: after a start nobody knows what the far end thinks of the circuits.
    fn reset_circuits(&mut self, id: GroupId, step: &mut Step<'_>) {
        let Some(trunk) = self.circuits.trunk(id) else { return };
        let all: Vec<Cic> = trunk.group.circuits().map(|(cic, _)| cic).collect();
        let mut ranges: Vec<(Cic, usize)> = Vec::new();
        for cic in all {
            match ranges.last_mut() {
                Some((first, count))
                    if usize::from(first.value()) + *count == usize::from(cic.value())
                        && *count < limits::ISUP_GROUP_CIRCUITS =>
                {
                    *count += 1;
                }
                _ => ranges.push((cic, 1)),
            }
        }
        for (first, count) in ranges {
            let outcome = self.with_group(id, step, |group, now, out| match count {
                // A range has at least two.
                1 => group.reset(now, first, out),
                _ => group.reset_range(now, first, count, out),
            });
            if let Some(Err(error)) = outcome {
                warn!(%error, "circuits are not reset");
            }
        }
    }

    /// Timers of Q.764 that are due.
    pub(super) fn time_circuits(&mut self, step: &mut Step<'_>) {
        for id in self.circuits.ids() {
            let is_due = |trunk: &Trunk| trunk.group.deadline().is_some_and(|at| at <= step.now);
            if self.circuits.trunk(id).is_some_and(is_due) {
                self.with_group(id, step, |group, now, out| group.handle_timeout(now, out));
                self.work_off(step);
            }
        }
    }

    /// T11 of an incoming call may be over.
    pub(super) fn handle_circuit_timeout(&mut self, id: GroupId, cic: Cic, step: &mut Step<'_>) {
        self.gathered_enough(id, cic, step);
        let Some(seat) = self.circuits.seat_mut(id, cic) else { return };
        let decision = seat.digits.as_mut().map(|digits| digits.handle_timeout(step.now));
        if decision != Some(Decision::EarlyAcm) {
            // T11 may have been started again.
            if let Some(at) = seat.digits.as_ref().and_then(Overlap::deadline) {
                self.schedule_circuit(at, id, cic);
            }
            return;
        }
        let (call, side) = (seat.call, seat.side);
        let early = TrunkEvent::Acm { status: CalledStatus::NoIndication, in_band: false };
        debug!(circuit = %cic, "T11: ACM before the called side says anything");
        self.say_on_circuit(id, cic, call, side, &early, step);
    }

    /// Lets a group do something and carries out what it wants.
    fn with_group<R>(
        &mut self,
        id: GroupId,
        step: &mut Step<'_>,
        act: impl FnOnce(&mut Group, Instant, &mut Vec<group::Output>) -> R,
    ) -> Option<R> {
        let trunk = self.circuits.trunk_mut(id)?;
        let mut outputs = Vec::new();
        let result = act(&mut trunk.group, step.now, &mut outputs);
        for output in outputs {
            self.carry_out_group(id, output, step);
        }
        Some(result)
    }

    fn carry_out_group(&mut self, id: GroupId, output: group::Output, step: &mut Step<'_>) {
        let Some(trunk) = self.circuits.trunk_mut(id) else { return };
        let name = trunk.origin.as_str();
        match output {
            group::Output::Transmit { cic, message } => {
                debug!(group = name, circuit = %cic, message = %message.kind(), "ISUP out");
                match message.encode(trunk.side.variant, cic) {
                    Ok(octets) => step.out.push(Output::Isup { group: id, octets }),
                    Err(error) => warn!(group = name, %error, "a message is not sent"),
                }
            }
            group::Output::Heard { cic, message } => {
                debug!(group = name, circuit = %cic, message = %message.kind(), "ISUP in");
                self.circuit_heard(id, cic, &message, step);
            }
            group::Output::Moved { from, to } => {
                debug!(group = name, %from, %to, "a call moves to another circuit");
                self.circuit_moved(id, from, to);
            }
            group::Output::Ended { cic, cause } => {
                debug!(group = name, circuit = %cic, %cause, "the circuit ends its call");
                trunk.gathering.remove(&cic);
                self.circuit_ended(id, cic, Release::here(cause), step);
            }
            // There is no voice path that could carry a check tone or send it back.
            group::Output::Tone { cic, on } => debug!(group = name, circuit = %cic, on, "check tone"),
            group::Output::Loop { cic, on } => debug!(group = name, circuit = %cic, on, "loop"),
            group::Output::Alert { cic, alert } => match alert {
                Alert::Expired(timer) => {
                    warn!(group = name, circuit = %cic, %timer, "a timer ran out: the far end does not answer");
                }
                Alert::Unexpected(kind) => {
                    warn!(group = name, circuit = %cic, message = %kind, "a message made no sense where it came");
                }
                Alert::UnknownCircuit(kind) => {
                    warn!(group = name, circuit = %cic, message = %kind, "the far end names a circuit that is not here");
                }
            },
        }
    }

    // --- what is heard ------------------------------------------------------------------------------

    fn circuit_heard(&mut self, id: GroupId, cic: Cic, message: &Message, step: &mut Step<'_>) {
        let Some(trunk) = self.circuits.trunk_mut(id) else { return };
        match message.kind() {
            MessageType::IAM => return self.circuit_calls(id, cic, message, step),
            MessageType::COT => return self.circuit_is_good(id, cic, step),
            _ => {}
        }
        let Some(event) = event_of(message, &trunk.side) else {
            return self.answer_on_circuit(id, cic, message, step);
        };
        if trunk.gathering.contains_key(&cic) {
            return self.gather(id, cic, &event, step);
        }
        match event {
            TrunkEvent::Rel(release) => {
                self.remember_heard(id, cic, message);
                self.circuit_ended(id, cic, release, step);
            }
            event => {
                self.remember_heard(id, cic, message);
                if let TrunkEvent::Sam(digits) = &event {
                    self.digits_came_late(id, cic, digits, step);
                }
                if let Some(seat) = self.circuits.seat_mut(id, cic) {
                    match event {
                        TrunkEvent::Sus { .. } => seat.suspended = true,
                        TrunkEvent::Res { .. } => seat.suspended = false,
                        _ => {}
                    }
                }
                self.circuit_says(id, cic, event, step);
            }
        }
    }

    /// Keeps what a circuit said as it was written, for a leg that can say it so again.
    fn remember_heard(&mut self, id: GroupId, cic: Cic, message: &Message) {
        let Some(trunk) = self.circuits.trunk(id) else { return };
        let Some(seat) = trunk.seats.get(&cic) else { return };
        let (call, side) = (seat.call, seat.side);
        if let Some(octets) = octets_of(message, &trunk.side) {
            self.remember_isup(call, side, octets);
        }
    }

    /// A message wants an answer that concerns no other leg.
    fn answer_on_circuit(&mut self, id: GroupId, cic: Cic, message: &Message, step: &mut Step<'_>) {
        let Some(trunk) = self.circuits.trunk(id) else { return };
        let call = trunk.seats.get(&cic).and_then(|seat| self.calls.get(seat.call));
        let Some(answer) = call.and_then(|call| answer_of(message, &call.iam, &trunk.side)) else { return };
        let outcome = self.with_group(id, step, |group, now, out| group.send(now, cic, answer, out));
        if let Some(Err(error)) = outcome {
            debug!(circuit = %cic, %error, "not answered");
        }
    }

    /// What a circuit says goes to its call, or to the branch that it is.
    fn circuit_says(&mut self, id: GroupId, cic: Cic, event: TrunkEvent, step: &mut Step<'_>) {
        let Some(seat) = self.circuits.seat(id, cic) else {
            return debug!(circuit = %cic, ?event, "a circuit without a call speaks of one");
        };
        let (call, side) = (seat.call, seat.side);
        step.queue.push_back(match self.branch_of_circuit(call, id, cic) {
            Some(branch) => Work::branch(call, branch, event),
            None => Work::Trunk(call, side, event),
        });
    }

    /// The call on a circuit was released there, by the far end or by the circuit itself.
    fn circuit_ended(&mut self, id: GroupId, cic: Cic, release: Release, step: &mut Step<'_>) {
        self.circuit_says(id, cic, TrunkEvent::Rel(release), step);
        self.leave_seat(id, cic, step);
    }

    /// Dual seizure, or a circuit that was blocked at the same moment: the call goes on elsewhere.
    fn circuit_moved(&mut self, id: GroupId, from: Cic, to: Cic) {
        let Some(trunk) = self.circuits.trunk_mut(id) else { return };
        let Some(seat) = trunk.seats.remove(&from) else { return };
        let call = seat.call;
        trunk.seats.insert(to, seat);
        let Some(call) = self.calls.get_mut(call) else { return };
        let branches = call.fork.as_deref_mut().into_iter().flat_map(|fork| &mut fork.legs);
        let branches = branches.map(|branch| &mut branch.leg);
        for leg in [Some(&mut call.a), call.b.as_mut()].into_iter().flatten().chain(branches) {
            if let Leg::Circuit { group, cic } = leg
                && (*group, *cic) == (id, from)
            {
                *cic = to;
            }
        }
    }

    /// The branch that a circuit is, in a call whose called side is not decided.
    fn branch_of_circuit(&self, id: CallId, group: GroupId, cic: Cic) -> Option<BranchId> {
        let fork = self.calls.get(id)?.fork.as_deref()?;
        let is_circuit =
            |branch: &&BranchLeg| matches!(branch.leg, Leg::Circuit { group: g, cic: c } if (g, c) == (group, cic));
        fork.legs.iter().find(is_circuit).map(|branch| branch.id)
    }

    // --- what is said -------------------------------------------------------------------------------

    /// Rings whoever a group reaches: IAM on a circuit that the group chooses.
    pub(super) fn ring_isup(
        &mut self,
        id: CallId,
        candidate: &Candidate,
        party: Party,
        step: &mut Step<'_>,
    ) -> Result<(), Release> {
        let Some(call) = self.calls.get(id) else { return Ok(()) };
        // Before anything is sent; the branch itself is made when there is a circuit.
        if call.fork.as_ref().is_some_and(|fork| fork.branches.made() >= limits::BRANCHES_PER_CALL) {
            return Err(Release::here(Cause::CONGESTION));
        }
        let group = self.circuits.named(&candidate.target.name).ok_or(Release::here(Cause::OUT_OF_ORDER))?;
        let trunk = self.circuits.trunk(group).ok_or(Release::here(Cause::OUT_OF_ORDER))?;
        if !trunk.available {
            return Err(Release::here(Cause::new(NETWORK_OUT_OF_ORDER).unwrap_or(Cause::OUT_OF_ORDER)));
        }
        // A number that the dial plan made says itself what it is.
        let is_same = candidate.number == call.iam.called;
        let iam = Iam {
            called: candidate.number.clone(),
            called_nature: if is_same { call.iam.called_nature } else { Nature::default() },
            diversions: call.diversions.clone(),
            // As a SIP request that is passed on has one less (RFC 3261 16.6 step 3).
            hops: call.iam.hops.map(|hops| hops.saturating_sub(1)),
            ..call.iam.clone()
        };
        let message = iam_message(&iam, &trunk.side).map_err(Release::here)?;
        let seized = self.with_group(group, step, |group, now, out| group.seize(now, message, out));
        let cic = match seized {
            Some(Ok(cic)) => cic,
            Some(Err(OrderError::NoCircuit)) | None => return Err(Release::here(Cause::NO_CIRCUIT)),
            Some(Err(error)) => {
                debug!(%error, "a call cannot be told to the far end");
                return Err(Release::here(Cause::TEMPORARY));
            }
        };
        self.circuits.take_seat(group, cic, id, Side::B);
        let leg = Leg::Circuit { group, cic };
        self.new_branch(id, party, &candidate.target, leg).map(|_| ()).inspect_err(|release| {
            self.release_circuit(group, cic, id, *release, step);
        })
    }

    /// Says `event` to the circuit that is a side or a branch of a call. The RLC of one that is released follows
    /// at once: the circuit itself waits for the far end's.
    pub(super) fn tell_circuit(
        &mut self,
        id: CallId,
        (group, cic): (GroupId, Cic),
        (side, branch): (Side, Option<BranchId>),
        event: &TrunkEvent,
        step: &mut Step<'_>,
    ) {
        match event {
            TrunkEvent::Rel(release) => {
                let waits = side == Side::A && self.waits_for_digits(group, cic, id, *release, step);
                if !waits {
                    self.release_circuit(group, cic, id, *release, step);
                }
                step.queue.push_back(match branch {
                    Some(branch) => Work::branch(id, branch, TrunkEvent::Rlc),
                    None => Work::Trunk(id, side, TrunkEvent::Rlc),
                });
            }
            TrunkEvent::Iam(_) | TrunkEvent::Rlc => {}
            event => self.say_on_circuit(group, cic, id, side, event, step),
        }
    }

    fn say_on_circuit(
        &mut self,
        id: GroupId,
        cic: Cic,
        call: CallId,
        side: Side,
        event: &TrunkEvent,
        step: &mut Step<'_>,
    ) {
        let Some(trunk) = self.circuits.trunk_mut(id) else { return };
        let Some(seat) = trunk.seats.get_mut(&cic).filter(|seat| seat.call == call) else { return };
        if let (Side::A, Some(digits)) = (side, &mut seat.digits) {
            digits.settled();
        }
        let heard = self.calls.get(call).and_then(|call| said_by(call, side.other()));
        let messages = messages_of(event, seat.acm_said, &trunk.side).into_iter();
        for message in messages.map(|message| renewed(message, heard, event, &trunk.side)).collect::<Vec<_>>() {
            let kind = message.kind();
            let outcome = self.with_group(id, step, |group, now, out| group.send(now, cic, message, out));
            match outcome {
                Some(Err(error)) => debug!(circuit = %cic, %error, message = %kind, "not said"),
                _ => {
                    if let Some(seat) = self.circuits.seat_mut(id, cic) {
                        seat.acm_said |= kind == MessageType::ACM;
                    }
                }
            }
        }
    }

    /// REL on a circuit that this call has, and the seat is free.
    pub(super) fn release_circuit(
        &mut self,
        id: GroupId,
        cic: Cic,
        call: CallId,
        release: Release,
        step: &mut Step<'_>,
    ) {
        let Some(trunk) = self.circuits.trunk(id) else { return };
        let Some(side) = trunk.seats.get(&cic).filter(|seat| seat.call == call).map(|seat| seat.side) else { return };
        self.leave_seat(id, cic, step);
        let event = TrunkEvent::Rel(release);
        let Some(trunk) = self.circuits.trunk(id) else { return };
        let heard = self.calls.get(call).and_then(|call| said_by(call, side.other()));
        let messages = messages_of(&event, true, &trunk.side).into_iter();
        let messages = messages.map(|message| renewed(message, heard, &event, &trunk.side)).collect();
        self.send_release(id, cic, messages, step);
    }

    /// REL on a circuit, whoever has it.
    fn refuse_circuit(&mut self, id: GroupId, cic: Cic, release: Release, step: &mut Step<'_>) {
        let Some(trunk) = self.circuits.trunk(id) else { return };
        let messages = messages_of(&TrunkEvent::Rel(release), true, &trunk.side);
        self.send_release(id, cic, messages, step);
    }

    fn send_release(&mut self, id: GroupId, cic: Cic, messages: Vec<Message>, step: &mut Step<'_>) {
        for message in messages {
            let outcome = self.with_group(id, step, |group, now, out| group.send(now, cic, message, out));
            if let Some(Err(error)) = outcome {
                debug!(circuit = %cic, %error, "not released");
            }
        }
    }

    fn leave_seat(&mut self, id: GroupId, cic: Cic, step: &mut Step<'_>) {
        self.silence_circuit(id, cic, step);
        if let Some(trunk) = self.circuits.trunk_mut(id) {
            trunk.seats.remove(&cic);
        }
    }

    /// Looks at a circuit again when a time has come.
    fn schedule_circuit(&mut self, at: Instant, id: GroupId, cic: Cic) {
        self.deadlines.schedule(at, Owner::Circuit(id, cic));
    }

    /// A telephone behind a circuit was hung up for a while, or is back: a hold towards the SIP leg of `side`, where
    /// the group wants that shown (RFC 3398 7.2.10, 7.2.11).
    pub(super) fn suspended(&mut self, id: CallId, side: Side, step: &mut Step<'_>) {
        let Some(Leg::Circuit { group, cic }) = self.calls.get(id).and_then(|call| call.leg(side.other())) else {
            return;
        };
        let trunk = self.circuits.trunk(*group);
        if trunk.is_some_and(|trunk| trunk.suspend == Suspend::Hold) {
            let direction = self.circuits.wish(*group, *cic);
            self.offer_to(id, side, direction, None, false, step);
        }
    }
}
