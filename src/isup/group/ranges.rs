//! Requests about ranges of circuits: CGB, CGU, GRS, their answers, and CQM (Q.764 2.8.2, 2.9.3.2).

use super::{Alert, Group, OrderError, Output, Owner};
use crate::isup::Cic;
use crate::isup::circuit::{Block, Call, Circuit, Event, Order, Refused, Supervision};
use crate::isup::indicators::{GroupSupervision, SupervisionType};
use crate::isup::message::{Message, MessageType};
use crate::isup::parameter::Parameter;
use crate::isup::supervision::{CallProcessing, CircuitState, CircuitStates, RangeAndStatus};
use crate::isup::timers::Timer;
use crate::limits;
use crate::time::Instant;
use std::collections::BTreeMap;

/// What is asked of many circuits at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Request {
    Block { hardware: bool },
    Unblock { hardware: bool },
    Reset,
}

impl Request {
    /// The timer that repeats it, and the one that alerts.
    fn timers(self) -> (Timer, Timer) {
        match self {
            Request::Block { .. } => (Timer::T18, Timer::T19),
            Request::Unblock { .. } => (Timer::T20, Timer::T21),
            Request::Reset => (Timer::T22, Timer::T23),
        }
    }
}

impl Group {
    /// Blocks a range (CGB), by a failure of hardware or for maintenance.
    ///
    /// # Errors
    /// No range, or circuits that aren't of this group.
    pub fn block_range(
        &mut self,
        now: Instant,
        first: Cic,
        circuits: usize,
        hardware: bool,
        out: &mut Vec<Output>,
    ) -> Result<(), OrderError> {
        self.request(now, first, circuits, Request::Block { hardware }, out)
    }

    /// Unblocks a range (CGU) that was blocked for the same reason.
    ///
    /// # Errors
    /// As [`Group::block_range`].
    pub fn unblock_range(
        &mut self,
        now: Instant,
        first: Cic,
        circuits: usize,
        hardware: bool,
        out: &mut Vec<Output>,
    ) -> Result<(), OrderError> {
        self.request(now, first, circuits, Request::Unblock { hardware }, out)
    }

    /// Resets a range (GRS), as after a start; calls on it are over.
    ///
    /// # Errors
    /// As [`Group::block_range`], and a circuit that is being reset alone.
    pub fn reset_range(
        &mut self,
        now: Instant,
        first: Cic,
        circuits: usize,
        out: &mut Vec<Output>,
    ) -> Result<(), OrderError> {
        self.request(now, first, circuits, Request::Reset, out)
    }

    fn request(
        &mut self,
        now: Instant,
        first: Cic,
        circuits: usize,
        request: Request,
        out: &mut Vec<Output>,
    ) -> Result<(), OrderError> {
        let range = RangeAndStatus::range(circuits).ok_or(OrderError::Range(circuits))?;
        let cics = self.range(first, circuits);
        if let Some(index) = cics.iter().position(Option::is_none) {
            let missing = first.up(self.settings.variant, index as u16).unwrap_or(first);
            return Err(OrderError::UnknownCircuit(missing));
        }
        let order = match request {
            Request::Block { hardware } => Order::GroupBlock { hardware },
            Request::Unblock { hardware } => Order::GroupUnblock { hardware },
            Request::Reset => Order::GroupReset,
        };
        for cic in cics.iter().flatten() {
            if let (Order::GroupReset, Some(Call::Resetting)) = (order, self.circuit(*cic).map(|c| c.call)) {
                return Err(OrderError::Refused { cic: *cic, refused: Refused { call: Call::Resetting, order } });
            }
        }
        let message = match request {
            Request::Reset => Message::new(MessageType::GRS).with(Parameter::RangeAndStatus(range)),
            Request::Block { hardware } => group_message(MessageType::CGB, hardware, &vec![true; circuits]),
            Request::Unblock { hardware } => group_message(MessageType::CGU, hardware, &vec![true; circuits]),
        };
        // What it takes back is not waited for any more.
        let opposite = match request {
            Request::Block { hardware } => Request::Unblock { hardware },
            Request::Unblock { hardware } => Request::Block { hardware },
            Request::Reset => request,
        };
        self.forget(first, opposite);
        self.forget(first, request);
        out.push(Output::Transmit { cic: first, message: message.clone() });
        self.pending.insert((first, request), (message, BTreeMap::new()));
        let (short, long) = request.timers();
        self.start_range(now, first, request, short);
        self.start_range(now, first, request, long);
        for cic in cics.into_iter().flatten() {
            self.run(now, cic, Event::Wanted(order), None, out)?;
        }
        Ok(())
    }

    /// The circuits of a range; `None` for those that the group doesn't have.
    fn range(&self, first: Cic, circuits: usize) -> Vec<Option<Cic>> {
        let cic = |index: usize| first.up(self.settings.variant, u16::try_from(index).ok()?);
        (0..circuits).map(|index| cic(index).filter(|cic| self.circuits.contains_key(cic))).collect()
    }

    fn start_range(&mut self, now: Instant, first: Cic, request: Request, timer: Timer) {
        let at = now + self.settings.timers.of(timer);
        let Some((_, running)) = self.pending.get_mut(&(first, request)) else { return };
        if let Some(before) = running.insert(timer, at) {
            self.due.remove(&(before, Owner::Range(first, request, timer)));
        }
        self.due.insert((at, Owner::Range(first, request, timer)));
    }

    fn forget(&mut self, first: Cic, request: Request) -> bool {
        let Some((_, running)) = self.pending.remove(&(first, request)) else { return false };
        for (timer, at) in running {
            self.due.remove(&(at, Owner::Range(first, request, timer)));
        }
        true
    }

    // --- what the far end says --------------------------------------------------------------------

    /// Messages about many circuits. Whether it was one.
    pub(super) fn handle_group(&mut self, now: Instant, first: Cic, message: &Message, out: &mut Vec<Output>) -> bool {
        let kind = message.kind();
        use MessageType as M;
        if ![M::CGB, M::CGU, M::CGBA, M::CGUA, M::GRS, M::GRA, M::CQM, M::CQR, M::LPA, M::CFN].contains(&kind) {
            return false;
        }
        if [M::LPA, M::CFN, M::CQR].contains(&kind) {
            if kind == M::CFN {
                out.push(Output::Alert { cic: first, alert: Alert::Unexpected(kind) });
            }
            return true;
        }
        let Some(range) = message.range_and_status() else { return true };
        let count = range.circuits();
        let needs_status = ![M::GRS, M::CQM].contains(&kind);
        if !(2..=limits::ISUP_GROUP_CIRCUITS).contains(&count) || needs_status && !range.has_status() {
            out.push(Output::Alert { cic: first, alert: Alert::Unexpected(kind) });
            return true;
        }
        let cics = self.range(first, count);
        let hardware = message.group_supervision().is_some_and(|g| g.kind() == SupervisionType::HARDWARE);
        match kind {
            M::CGB | M::CGU => {
                let wanted = |index: usize| cics.get(index).copied().flatten().filter(|_| range.bit(index));
                let supervision = match kind {
                    M::CGB => Supervision::GroupBlocked { hardware },
                    _ => Supervision::GroupUnblocked { hardware },
                };
                let done: Vec<bool> = (0..count).map(|index| wanted(index).is_some()).collect();
                let answer = if kind == M::CGB { M::CGBA } else { M::CGUA };
                out.push(Output::Transmit { cic: first, message: group_message(answer, hardware, &done) });
                for cic in (0..count).filter_map(wanted) {
                    let _ = self.run(now, cic, Event::Supervised(supervision), None, out);
                }
            }
            M::CGBA | M::CGUA => {
                let request = if kind == M::CGBA { Request::Block { hardware } } else { Request::Unblock { hardware } };
                if !self.forget(first, request) {
                    out.push(Output::Alert { cic: first, alert: Alert::Unexpected(kind) });
                }
            }
            M::GRS => {
                let blocked =
                    |cic: &Option<Cic>| cic.and_then(|cic| self.circuit(cic)).is_some_and(Circuit::is_blocked_here);
                let status = RangeAndStatus::status(&cics.iter().map(blocked).collect::<Vec<_>>());
                for cic in cics.iter().flatten() {
                    let _ = self.run(now, *cic, Event::Supervised(Supervision::GroupReset), None, out);
                }
                if let Some(status) = status {
                    let message = Message::new(M::GRA).with(Parameter::RangeAndStatus(status));
                    out.push(Output::Transmit { cic: first, message });
                }
            }
            M::GRA => {
                if !self.forget(first, Request::Reset) {
                    out.push(Output::Alert { cic: first, alert: Alert::Unexpected(kind) });
                    return true;
                }
                for (index, cic) in cics.iter().enumerate() {
                    let done = Supervision::GroupResetDone { blocked: range.bit(index) };
                    if let Some(cic) = cic {
                        let _ = self.run(now, *cic, Event::Supervised(done), None, out);
                    }
                }
            }
            _ => {
                let states = CircuitStates::new(cics.iter().map(|cic| self.state_of(*cic)));
                if let Some(states) = states {
                    let message = Message::new(M::CQR)
                        .with(Parameter::RangeAndStatus(range.clone()))
                        .with(Parameter::CircuitStates(states));
                    out.push(Output::Transmit { cic: first, message });
                }
            }
        }
        true
    }

    /// A circuit as CQR tells it.
    fn state_of(&self, cic: Option<Cic>) -> CircuitState {
        let Some(circuit) = cic.and_then(|cic| self.circuit(cic)) else { return CircuitState::UNEQUIPPED };
        let call = match circuit.call {
            Call::Idle => CallProcessing::IDLE,
            Call::Outgoing(_) => CallProcessing::OUTGOING,
            Call::Incoming(_) => CallProcessing::INCOMING,
            _ => return CircuitState::TRANSIENT,
        };
        let here = circuit.group.maintenance || circuit.block != Block::Clear;
        let (group, remote) = (circuit.group, circuit.remote);
        CircuitState::new(call, (here, remote.maintenance), (group.hardware, remote.hardware))
    }

    pub(super) fn expired_range(
        &mut self,
        now: Instant,
        first: Cic,
        request: Request,
        timer: Timer,
        out: &mut Vec<Output>,
    ) {
        let (short, long) = request.timers();
        let Some((message, running)) = self.pending.get_mut(&(first, request)) else { return };
        running.remove(&timer);
        out.push(Output::Transmit { cic: first, message: message.clone() });
        if timer == long {
            out.push(Output::Alert { cic: first, alert: Alert::Expired(timer) });
            if let Some(at) = running.remove(&short) {
                self.due.remove(&(at, Owner::Range(first, request, short)));
            }
        }
        self.start_range(now, first, request, timer);
    }
}

/// CGB, CGU and their answers. The caller has checked the number of circuits.
pub(super) fn group_message(kind: MessageType, hardware: bool, status: &[bool]) -> Message {
    let reason = if hardware { SupervisionType::HARDWARE } else { SupervisionType::MAINTENANCE };
    let message = Message::new(kind).with(Parameter::GroupSupervision(GroupSupervision::default().with_kind(reason)));
    match RangeAndStatus::status(status) {
        Some(status) => message.with(Parameter::RangeAndStatus(status)),
        None => message,
    }
}
