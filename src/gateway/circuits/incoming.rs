//! Calls of the far end: the IAM, digits that come after it, and who is told when.
//!
//! An IAM with ST, or one whose number the dial plan knows to be complete, begins a call at once. Otherwise SAMs
//! are waited for: T10 when the number may be complete, T35 when it cannot be yet, after which the call is refused
//! with cause 28 (Q.764 2.1.2; RFC 3578 2: a gateway may collect all digits before its INVITE). A circuit that is to
//! be checked first has its call when the check was good (Q.764 2.1.8).

use crate::call::CallId;
use crate::call::isup::iam_of;
use crate::call::isup::overlap::{Decision, Overlap};
use crate::call::leg::Leg;
use crate::dialplan::is_inside;
use crate::gateway::{Gateway, GroupId, Step};
use crate::isup::indicators::ContinuityCheck;
use crate::isup::{Cic, Message};
use crate::limits::DIGITS_MAX;
use crate::trunk::{Cause, Iam, Release, TrunkEvent};

/// A call whose number is not complete.
pub(super) struct Gathering {
    iam: Iam,
    waits: Waits,
}

/// What such a call waits for.
#[derive(Clone)]
enum Waits {
    /// COT; T8 of the circuit runs.
    Continuity,
    /// More digits.
    Digits(Overlap),
}

impl Gateway {
    /// The far end seized a circuit.
    pub(super) fn circuit_calls(&mut self, id: GroupId, cic: Cic, message: &Message, step: &mut Step<'_>) {
        let Some(trunk) = self.circuits.trunk(id) else { return };
        let iam = match iam_of(message, &trunk.side) {
            Ok(iam) => iam,
            Err(cause) => return self.refuse_circuit(id, cic, Release::here(cause), step),
        };
        if !self.has_room() {
            return self.refuse_circuit(id, cic, Release::here(Cause::CONGESTION), step);
        }
        let check = message.nature_of_connection().map(|nature| nature.continuity());
        if check == Some(ContinuityCheck::REQUIRED) {
            return self.wait_on(id, cic, Gathering { iam, waits: Waits::Continuity });
        }
        self.dialled(id, cic, iam, step);
    }

    /// The check of a circuit was good: its call begins.
    pub(super) fn circuit_is_good(&mut self, id: GroupId, cic: Cic, step: &mut Step<'_>) {
        let Some(trunk) = self.circuits.trunk_mut(id) else { return };
        if let Some(Gathering { iam, .. }) = trunk.gathering.remove(&cic) {
            self.dialled(id, cic, iam, step);
        }
    }

    fn wait_on(&mut self, id: GroupId, cic: Cic, gathering: Gathering) {
        if let Some(trunk) = self.circuits.trunk_mut(id) {
            trunk.gathering.insert(cic, gathering);
        }
    }

    /// Begins the call when its number is complete, else waits for more.
    fn dialled(&mut self, id: GroupId, cic: Cic, iam: Iam, step: &mut Step<'_>) {
        let Some(trunk) = self.circuits.trunk(id) else { return };
        let (origin, timers) = (&trunk.origin, &trunk.group.settings().timers);
        let known = |digits: &str| self.config.plan.completeness(origin, is_inside(origin), digits);
        let (overlap, decision) = Overlap::begin(step.now, &iam.called, iam.more_digits, timers, known);
        self.decided(id, cic, (iam, overlap), decision, step);
    }

    fn decided(
        &mut self,
        id: GroupId,
        cic: Cic,
        (iam, overlap): (Iam, Overlap),
        decision: Decision,
        step: &mut Step<'_>,
    ) {
        match decision {
            Decision::Route(called) if self.has_room() => {
                let iam = Iam { called, more_digits: !overlap.is_complete(), ..iam };
                self.begin_circuit_call(id, cic, iam, overlap, step);
            }
            Decision::Route(_) => self.refuse_circuit(id, cic, Release::here(Cause::CONGESTION), step),
            Decision::Release(cause) => self.refuse_circuit(id, cic, Release::here(cause), step),
            // An early ACM belongs to a call that is under way.
            Decision::Wait | Decision::EarlyAcm => {
                if let Some(at) = overlap.deadline() {
                    self.schedule_circuit(at, id, cic);
                }
                self.wait_on(id, cic, Gathering { iam, waits: Waits::Digits(overlap) });
            }
        }
    }

    fn begin_circuit_call(&mut self, id: GroupId, cic: Cic, iam: Iam, overlap: Overlap, step: &mut Step<'_>) {
        let Some(origin) = self.circuits.trunk(id).map(|trunk| trunk.origin.clone()) else { return };
        self.begin_call(origin, iam, Leg::Circuit { group: id, cic }, step);
        // Q.764 2.1.4.8: the caller's exchange must not wait for longer than its T7.
        if let Some(seat) = self.circuits.seat_mut(id, cic).filter(|seat| !seat.acm_said) {
            let at = overlap.deadline();
            seat.digits = Some(overlap);
            if let Some(at) = at {
                self.schedule_circuit(at, id, cic);
            }
        }
    }

    /// Something came for a call whose number is not complete.
    pub(super) fn gather(&mut self, id: GroupId, cic: Cic, event: &TrunkEvent, step: &mut Step<'_>) {
        let Some(gathering) = self.circuits.trunk_mut(id).and_then(|trunk| trunk.gathering.remove(&cic)) else {
            return;
        };
        match (event, gathering) {
            (TrunkEvent::Sam(digits), Gathering { mut iam, waits: Waits::Continuity }) => {
                let (more, is_end) = digits.strip_suffix('F').map_or((digits.as_str(), false), |more| (more, true));
                iam.called.push_str(more);
                iam.more_digits &= !is_end;
                if iam.called.len() > DIGITS_MAX {
                    return self.refuse_circuit(id, cic, Release::here(Cause::INCOMPLETE), step);
                }
                self.wait_on(id, cic, Gathering { iam, waits: Waits::Continuity });
            }
            (TrunkEvent::Sam(digits), Gathering { iam, waits: Waits::Digits(mut overlap) }) => {
                let decision = self.more_digits(id, &mut overlap, digits, step);
                self.decided(id, cic, (iam, overlap), decision, step);
            }
            // The caller gave up; the circuit has answered.
            (TrunkEvent::Rel(_), _) => {}
            (_, gathering) => self.wait_on(id, cic, gathering),
        }
    }

    fn more_digits(&self, id: GroupId, overlap: &mut Overlap, digits: &str, step: &Step<'_>) -> Decision {
        let Some(trunk) = self.circuits.trunk(id) else { return Decision::Wait };
        let origin = &trunk.origin;
        let known = |digits: &str| self.config.plan.completeness(origin, is_inside(origin), digits);
        overlap.more(step.now, digits, known)
    }

    /// Digits for a call that is under way: kept for the case that it is refused because they were missing.
    pub(super) fn digits_came_late(&mut self, id: GroupId, cic: Cic, digits: &str, step: &Step<'_>) {
        let Some(mut overlap) = self.circuits.seat_mut(id, cic).and_then(|seat| seat.digits.take()) else { return };
        let _ = self.more_digits(id, &mut overlap, digits, step);
        if let Some(seat) = self.circuits.seat_mut(id, cic) {
            seat.digits = Some(overlap);
        }
    }

    /// A call of the far end is refused because digits are missing (SIP 484). True: it gives up that way and waits for
    /// the rest (RFC 3578 3.2), and the far end is told nothing.
    pub(super) fn waits_for_digits(
        &mut self,
        id: GroupId,
        cic: Cic,
        call: CallId,
        release: Release,
        step: &mut Step<'_>,
    ) -> bool {
        let Some(iam) = self.calls.get(call).map(|call| call.iam.clone()) else { return false };
        let seat = self.circuits.seat_mut(id, cic).filter(|seat| seat.call == call && !seat.acm_said);
        let Some(overlap) = seat.and_then(|seat| seat.digits.as_mut()) else { return false };
        if release.cause != Cause::INCOMPLETE {
            return false;
        }
        let decision = overlap.refused(step.now, iam.called.chars().count());
        if decision != Decision::Wait || overlap.deadline().is_none() {
            return false;
        }
        let overlap = overlap.clone();
        self.leave_seat(id, cic, step);
        self.decided(id, cic, (iam, overlap), decision, step);
        true
    }

    /// T10 or T35 may be over.
    pub(super) fn gathered_enough(&mut self, id: GroupId, cic: Cic, step: &mut Step<'_>) {
        let Some(trunk) = self.circuits.trunk_mut(id) else { return };
        let is_due = |overlap: &Overlap| overlap.deadline().is_some_and(|at| at <= step.now);
        match trunk.gathering.get(&cic) {
            Some(Gathering { waits: Waits::Digits(overlap), .. }) if is_due(overlap) => {}
            _ => return,
        }
        let Some(Gathering { iam, waits: Waits::Digits(mut overlap) }) = trunk.gathering.remove(&cic) else { return };
        let decision = overlap.handle_timeout(step.now);
        self.decided(id, cic, (iam, overlap), decision, step);
    }
}
