//! Calls of the far end: the IAM, digits that come after it, and who is told when.
//!
//! An IAM with ST, or one whose number the dial plan knows to be complete, begins a call at once. Otherwise SAMs
//! are waited for: T10 when the number may be complete, T35 when it cannot be yet, after which the call is refused
//! with cause 28 (Q.764 2.1.2; RFC 3578 2: a gateway may collect all digits before its INVITE). A circuit that is to
//! be checked first has its call when the check was good (Q.764 2.1.8).

use crate::call::isup::iam_of;
use crate::call::leg::Leg;
use crate::dialplan::{Completeness, is_inside};
use crate::gateway::{Gateway, GroupId, Step};
use crate::isup::indicators::ContinuityCheck;
use crate::isup::timers::Timer;
use crate::isup::{Cic, Message};
use crate::limits::DIGITS_MAX;
use crate::time::Instant;
use crate::trunk::{Cause, Iam, Release, TrunkEvent};

/// A call whose number is not complete.
pub(super) struct Gathering {
    iam: Iam,
    waits: Waits,
}

/// What such a call waits for.
#[derive(Clone, Copy)]
enum Waits {
    /// COT; T8 of the circuit runs.
    Continuity,
    /// More digits, until then; and whether the number will do as it is.
    Digits { until: Instant, is_enough: bool },
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
        let origin = trunk.origin.clone();
        let known = self.config.plan.completeness(&origin, is_inside(&origin), &iam.called);
        let (timer, is_enough) = match known {
            _ if !iam.more_digits => return self.begin_circuit_call(id, cic, origin, iam, step),
            // A number that no digit could make better is routed, and refused there.
            Completeness::Complete | Completeness::Impossible => {
                return self.begin_circuit_call(id, cic, origin, iam, step);
            }
            Completeness::CompleteMayGrow => (Timer::T10, true),
            Completeness::Incomplete => (Timer::T35, false),
        };
        let Some(time) = self.circuit_timer(id, timer) else { return };
        let until = step.now + time;
        self.wait_on(id, cic, Gathering { iam, waits: Waits::Digits { until, is_enough } });
        self.schedule_circuit(until, id, cic);
    }

    fn begin_circuit_call(&mut self, id: GroupId, cic: Cic, origin: String, iam: Iam, step: &mut Step<'_>) {
        // Nothing more is waited for, here or at a next exchange.
        let iam = Iam { more_digits: false, ..iam };
        let time = self.circuit_timer(id, Timer::T11);
        self.begin_call(origin, iam, Leg::Circuit { group: id, cic }, step);
        // Q.764 2.1.4.8: the caller's exchange must not wait for longer than its T7.
        let Some(at) = time.map(|time| step.now + time) else { return };
        if let Some(seat) = self.circuits.seat_mut(id, cic).filter(|seat| !seat.acm_said) {
            seat.acm_by = Some(at);
            self.schedule_circuit(at, id, cic);
        }
    }

    /// Something came for a call whose number is not complete.
    pub(super) fn gather(&mut self, id: GroupId, cic: Cic, event: &TrunkEvent, step: &mut Step<'_>) {
        let Some(gathering) = self.circuits.trunk_mut(id).and_then(|trunk| trunk.gathering.remove(&cic)) else {
            return;
        };
        match event {
            TrunkEvent::Sam(digits) => {
                let mut iam = gathering.iam.clone();
                let (more, is_end) = digits.strip_suffix('F').map_or((digits.as_str(), false), |more| (more, true));
                iam.called.push_str(more);
                iam.more_digits &= !is_end;
                if iam.called.len() > DIGITS_MAX {
                    return self.refuse_circuit(id, cic, Release::here(Cause::INCOMPLETE), step);
                }
                match gathering.waits {
                    Waits::Continuity => self.wait_on(id, cic, Gathering { iam, ..gathering }),
                    Waits::Digits { .. } => self.dialled(id, cic, iam, step),
                }
            }
            // The caller gave up; the circuit has answered.
            TrunkEvent::Rel(_) => {}
            _ => self.wait_on(id, cic, gathering),
        }
    }

    /// T10 or T35 may be over.
    pub(super) fn gathered_enough(&mut self, id: GroupId, cic: Cic, step: &mut Step<'_>) {
        let Some(trunk) = self.circuits.trunk_mut(id) else { return };
        let Some(Waits::Digits { until, is_enough }) = trunk.gathering.get(&cic).map(|gathering| gathering.waits)
        else {
            return;
        };
        let Some(gathering) = (until <= step.now).then(|| trunk.gathering.remove(&cic)).flatten() else { return };
        let origin = trunk.origin.clone();
        match is_enough {
            true if self.has_room() => self.begin_circuit_call(id, cic, origin, gathering.iam, step),
            true => self.refuse_circuit(id, cic, Release::here(Cause::CONGESTION), step),
            false => self.refuse_circuit(id, cic, Release::here(Cause::INCOMPLETE), step),
        }
    }
}
