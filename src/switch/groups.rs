//! Many circuits at once: GRS, CGB, CGU, CQM and their answers (Q.764 2.8.2, 2.9.3), and the alarms of a script.

use super::circuit::{Block, State};
use super::messages;
use super::script::Trouble;
use super::{Output, Owner, REPEAT, Switch};
use crate::isup::indicators::SupervisionType;
use crate::isup::supervision::{CallProcessing, CircuitState, CircuitStates, RangeAndStatus};
use crate::isup::{Message, MessageType};
use crate::limits;
use crate::time::Instant;
use crate::trunk::Cause;

/// A request about a range that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Request {
    Block { hardware: bool },
    Unblock { hardware: bool },
    Reset,
}

/// What is said again until it is answered.
pub(super) struct Pending {
    message: Message,
    circuits: usize,
    at: Instant,
}

impl Switch {
    /// A message about many circuits. Whether it was one.
    pub(super) fn heard_of_group(
        &mut self,
        now: Instant,
        first: u16,
        message: &Message,
        out: &mut Vec<Output>,
    ) -> bool {
        use MessageType as M;
        let kind = message.kind();
        match kind {
            M::GRS | M::CGB | M::CGU | M::CQM | M::GRA | M::CGBA | M::CGUA => {}
            M::LPA | M::CFN | M::CQR => return true,
            _ => return false,
        }
        let count = message.range_and_status().map_or(0, RangeAndStatus::circuits);
        let Some(range) = message.range_and_status().filter(|_| (2..=limits::ISUP_GROUP_CIRCUITS).contains(&count))
        else {
            self.counts.malformed += 1;
            return true;
        };
        let cics: Vec<u16> = (0..count as u16).filter_map(|index| first.checked_add(index)).collect();
        let hardware = message.group_supervision().is_some_and(|g| g.kind() == SupervisionType::HARDWARE);
        match kind {
            M::GRS => self.reset_by_gateway(now, first, &cics, out),
            M::CGB | M::CGU => {
                let wanted: Vec<bool> = cics
                    .iter()
                    .enumerate()
                    .map(|(index, cic)| range.bit(index) && self.circuits.contains_key(cic))
                    .collect();
                let of_it = cics.iter().zip(&wanted).filter(|(_, wanted)| **wanted);
                of_it.for_each(|(cic, _)| self.blocked_by_gateway(*cic, kind == M::CGB, hardware, out));
                let answer = if kind == M::CGB { M::CGBA } else { M::CGUA };
                if let Some(answer) = messages::with_status(answer, Some(hardware), &wanted) {
                    self.send(now, first, &answer, out);
                }
            }
            M::CQM => {
                let states = CircuitStates::new(cics.iter().map(|cic| self.state_of(*cic)));
                if let Some(states) = states {
                    self.send(now, first, &messages::cqr(range, states), out);
                }
            }
            M::CGBA => self.acknowledged(first, Request::Block { hardware }),
            M::CGUA => self.acknowledged(first, Request::Unblock { hardware }),
            _ => {
                self.acknowledged(first, Request::Reset);
                for (index, cic) in cics.iter().enumerate() {
                    if let Some(circuit) =
                        self.circuits.get_mut(cic).filter(|c| matches!(c.state, State::GroupResetting))
                    {
                        circuit.state = State::Idle;
                        circuit.remote_block = (range.bit(index), false);
                    }
                }
            }
        }
        true
    }

    fn reset_by_gateway(&mut self, now: Instant, first: u16, cics: &[u16], out: &mut Vec<Output>) {
        let mut blocked = Vec::new();
        for cic in cics {
            self.lose(*cic, Cause::TEMPORARY, true, out);
            let circuit = self.circuits.get_mut(cic);
            blocked.push(circuit.is_some_and(|circuit| {
                circuit.remote_block = (false, false);
                matches!(circuit.block, Block::Blocking | Block::Blocked) || circuit.group_block.0
            }));
        }
        if let Some(answer) = messages::with_status(MessageType::GRA, None, &blocked) {
            self.send(now, first, &answer, out);
        }
        // GRA tells of maintenance only.
        let failed = |cic: &u16| self.circuits.get(cic).is_some_and(|circuit| circuit.group_block.1);
        let failed: Vec<u16> = cics.iter().copied().filter(failed).collect();
        self.request(now, &failed, Request::Block { hardware: true }, out);
    }

    fn blocked_by_gateway(&mut self, cic: u16, on: bool, hardware: bool, out: &mut Vec<Output>) {
        if on && hardware {
            // Q.764 2.8.2.3: calls on circuits that failed are over, without REL.
            self.lose(cic, Cause::TEMPORARY, true, out);
        }
        let Some(circuit) = self.circuits.get_mut(&cic) else { return };
        match hardware {
            true => circuit.remote_block.1 = on,
            false => circuit.remote_block.0 = on,
        }
    }

    fn state_of(&self, cic: u16) -> CircuitState {
        let Some(circuit) = self.circuits.get(&cic) else { return CircuitState::UNEQUIPPED };
        let call = match circuit.state {
            State::Idle => CallProcessing::IDLE,
            State::Incoming(_) => CallProcessing::INCOMING,
            State::Outgoing(_) => CallProcessing::OUTGOING,
            _ => return CircuitState::TRANSIENT,
        };
        let here = circuit.group_block.0 || circuit.block != Block::Clear;
        CircuitState::new(call, (here, circuit.remote_block.0), (circuit.group_block.1, circuit.remote_block.1))
    }

    // --- alarms ---------------------------------------------------------------------------------------

    pub(super) fn alarm(&mut self, now: Instant, index: usize, number: u32, out: &mut Vec<Output>) {
        let Some(alarm) = self.script.alarms.get(index) else { return };
        let (trouble, circuits) = (alarm.what, alarm.circuits.clone());
        if number + 1 < alarm.times {
            let at = now + alarm.every;
            self.due.insert((at, Owner::Alarm { index, number: number + 1 }));
        }
        self.trouble(now, trouble, &circuits, out);
    }

    pub(super) fn trouble(&mut self, now: Instant, trouble: Trouble, circuits: &[u16], out: &mut Vec<Output>) {
        let circuits: Vec<u16> = circuits.iter().copied().filter(|cic| self.circuits.contains_key(cic)).collect();
        match trouble {
            Trouble::Block => circuits.iter().for_each(|cic| self.block(now, *cic, Block::Blocking, out)),
            Trouble::Unblock => circuits.iter().for_each(|cic| self.block(now, *cic, Block::Unblocking, out)),
            Trouble::Reset => circuits.iter().for_each(|cic| self.reset(now, *cic, out)),
            Trouble::Amnesia => circuits.iter().for_each(|cic| self.lose(*cic, Cause::TEMPORARY, false, out)),
            Trouble::GroupReset => self.request(now, &circuits, Request::Reset, out),
            Trouble::GroupBlock { hardware } => self.request(now, &circuits, Request::Block { hardware }, out),
            Trouble::GroupUnblock { hardware } => self.request(now, &circuits, Request::Unblock { hardware }, out),
        }
    }

    /// Says it of each run of neighbours among these circuits; of one alone a message of its own.
    fn request(&mut self, now: Instant, circuits: &[u16], request: Request, out: &mut Vec<Output>) {
        let mut sorted = circuits.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let neighbours = |a: &u16, b: &u16| a.checked_add(1) == Some(*b);
        for run in sorted.chunk_by(neighbours).flat_map(|run| run.chunks(limits::ISUP_GROUP_CIRCUITS)) {
            match run {
                [] => {}
                [only] => match request {
                    // A failure of one circuit alone is told as maintenance: there is no message for it.
                    Request::Block { .. } => self.block(now, *only, Block::Blocking, out),
                    Request::Unblock { .. } => self.block(now, *only, Block::Unblocking, out),
                    Request::Reset => self.reset(now, *only, out),
                },
                [first, ..] => self.request_range(now, *first, run, request, out),
            }
        }
    }

    fn request_range(&mut self, now: Instant, first: u16, run: &[u16], request: Request, out: &mut Vec<Output>) {
        let all = vec![true; run.len()];
        let message = match request {
            Request::Block { hardware } => messages::with_status(MessageType::CGB, Some(hardware), &all),
            Request::Unblock { hardware } => messages::with_status(MessageType::CGU, Some(hardware), &all),
            Request::Reset => messages::grs(run.len()),
        };
        let Some(message) = message else { return };
        self.take_back(now, first, run.len(), request, out);
        for cic in run {
            self.requested(now, *cic, request, out);
        }
        self.send(now, first, &message, out);
        let at = now + REPEAT;
        self.pending.insert((first, request), Pending { message, circuits: run.len(), at });
        self.due.insert((at, Owner::Range(first, request)));
    }

    /// What a request of ours does to each circuit at once.
    fn requested(&mut self, now: Instant, cic: u16, request: Request, out: &mut Vec<Output>) {
        let set = |blocks: &mut (bool, bool), hardware: bool, on: bool| match hardware {
            true => blocks.1 = on,
            false => blocks.0 = on,
        };
        match request {
            Request::Reset => {
                self.lose(cic, Cause::TEMPORARY, false, out);
                self.forget_blocks(cic);
                self.idle(cic);
                if let Some(circuit) = self.circuits.get_mut(&cic) {
                    circuit.state = State::GroupResetting;
                }
            }
            Request::Block { hardware } => {
                if hardware {
                    self.lose(cic, Cause::TEMPORARY, false, out);
                }
                if let Some(circuit) = self.circuits.get_mut(&cic) {
                    set(&mut circuit.group_block, hardware, true);
                }
            }
            Request::Unblock { hardware } => {
                let Some(circuit) = self.circuits.get_mut(&cic) else { return };
                set(&mut circuit.group_block, hardware, false);
                // What BLO told of it besides is taken back.
                if circuit.group_block == (false, false) && std::mem::take(&mut circuit.told) {
                    self.block(now, cic, Block::Unblocking, out);
                }
            }
        }
    }

    /// Requests that a later one takes back are not said again, but for what it doesn't concern.
    pub(super) fn take_back(&mut self, now: Instant, first: u16, circuits: usize, by: Request, out: &mut Vec<Output>) {
        let is_taken_back = |request: Request| match (request, by) {
            (_, Request::Reset) => true,
            (Request::Reset, _) => false,
            (
                Request::Block { hardware: one } | Request::Unblock { hardware: one },
                Request::Block { hardware: other } | Request::Unblock { hardware: other },
            ) => one == other,
        };
        let range = |first: u16, circuits: usize| u32::from(first)..u32::from(first).saturating_add(circuits as u32);
        let new = range(first, circuits);
        let mut rest = Vec::new();
        let due = &mut self.due;
        self.pending.retain(|(begin, request), pending| {
            let old = range(*begin, pending.circuits);
            let goes = old.start < new.end && new.start < old.end && is_taken_back(*request);
            if goes {
                due.remove(&(pending.at, Owner::Range(*begin, *request)));
                let left = old.filter(|cic| !new.contains(cic)).filter_map(|cic| u16::try_from(cic).ok());
                rest.push((*request, left.collect::<Vec<u16>>()));
            }
            !goes
        });
        // Ends: what is said again is of fewer circuits each time.
        for (request, circuits) in rest {
            self.request(now, &circuits, request, out);
        }
    }

    fn acknowledged(&mut self, first: u16, request: Request) {
        match self.pending.remove(&(first, request)) {
            Some(pending) => drop(self.due.remove(&(pending.at, Owner::Range(first, request)))),
            None => self.counts.unexpected += 1,
        }
    }

    pub(super) fn repeat_range(&mut self, now: Instant, first: u16, request: Request, out: &mut Vec<Output>) {
        let Some(pending) = self.pending.get_mut(&(first, request)) else { return };
        pending.at = now + REPEAT;
        let message = pending.message.clone();
        self.counts.repeated += 1;
        self.due.insert((now + REPEAT, Owner::Range(first, request)));
        self.send(now, first, &message, out);
    }
}
