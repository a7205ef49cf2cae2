//! The step of a circuit: what each event does in each state.

use super::{
    Action, Actions, Block, Blocks, Call, Circuit, Ended, Event, Loop, Order, Phase, Recheck, Refused, Rules, Signal,
    Supervision, Suspended,
};
use crate::isup::message::MessageType;
use crate::isup::timers::Timer;
use crate::trunk::Cause;

/// Every timer that a call may have running.
const CALL_TIMERS: [Timer; 13] = [
    Timer::T1,
    Timer::T2,
    Timer::T5,
    Timer::T6,
    Timer::T7,
    Timer::T8,
    Timer::T9,
    Timer::T16,
    Timer::T17,
    Timer::T24,
    Timer::T25,
    Timer::T26,
    Timer::T27,
];

/// What an event does to a circuit.
///
/// # Errors
/// [`Refused`] for an order that the state forbids. What the far end says is never refused: what makes no sense is
/// answered or reported.
pub fn step(rules: Rules, circuit: Circuit, event: Event) -> Result<(Circuit, Actions), Refused> {
    let mut step = Step { rules, circuit, out: Actions::new() };
    match event {
        Event::Heard(signal) => step.heard(signal),
        Event::Supervised(supervision) => step.supervised(supervision),
        Event::Wanted(order) => step.wanted(order)?,
        Event::ToneBack => step.tone_back(),
        Event::Expired(timer) => step.expired(timer),
    }
    Ok((step.circuit, step.out))
}

struct Step {
    rules: Rules,
    circuit: Circuit,
    out: Actions,
}

impl Step {
    fn act(&mut self, action: Action) {
        self.out.push(action);
    }

    fn transmit(&mut self, kind: MessageType) {
        self.act(Action::Transmit(kind));
    }

    /// Stops what the call had running: its timers, its tone, its loop.
    fn quiet(&mut self) {
        let call = self.circuit.call;
        if matches!(call, Call::Outgoing(Phase::Checking) | Call::Rechecking(Recheck::Tone)) {
            self.act(Action::Tone(false));
        }
        if matches!(call, Call::Incoming(Phase::Checking) | Call::Checked(Loop::Closed)) {
            self.act(Action::Loop(false));
        }
        let mut running = self.circuit.timers();
        if call == Call::Resetting {
            running.push(Timer::T16);
        }
        for timer in running.into_iter().filter(|timer| CALL_TIMERS.contains(timer)) {
            self.act(Action::Stop(timer));
        }
    }

    /// Leaves the call state for another. Only a call that goes on still waits for INF.
    fn enter(&mut self, call: Call) {
        self.quiet();
        let goes_on = matches!(
            (self.circuit.call, call),
            (Call::Outgoing(_), Call::Outgoing(_)) | (Call::Incoming(_), Call::Incoming(_))
        );
        if self.circuit.asked && !goes_on {
            self.circuit.asked = false;
            self.act(Action::Stop(Timer::T33));
        }
        self.circuit.call = call;
    }

    /// The call, if one is there, is over by no message of its own.
    fn end(&mut self, cause: Cause) {
        match self.circuit.call {
            Call::Outgoing(Phase::Checking | Phase::Addressed) => self.act(Action::End(Ended::Repeat)),
            Call::Outgoing(_) | Call::Incoming(_) => self.act(Action::End(Ended::Cause(cause))),
            _ => {}
        }
    }

    /// REL of our own: the far end and the call are told.
    fn release(&mut self, cause: Cause, ended: Ended) {
        self.act(Action::End(ended));
        self.act(Action::Release(cause));
        self.enter(Call::Releasing);
        self.act(Action::Start(Timer::T1));
        self.act(Action::Start(Timer::T5));
    }

    /// Q.764 2.9.3.1: RSC until RLC.
    fn reset(&mut self) {
        self.end(Cause::TEMPORARY);
        self.send_reset();
        self.act(Action::Start(Timer::T16));
        self.act(Action::Start(Timer::T17));
    }

    /// The far end says again what it blocks before its RLC.
    fn send_reset(&mut self) {
        self.circuit.remote = Blocks::default();
        self.enter(Call::Resetting);
        self.transmit(MessageType::RSC);
    }

    /// BLO for a circuit that we block, whoever asked for it.
    fn tell_blocked(&mut self) {
        self.circuit.told |= self.circuit.block == Block::Clear;
        self.transmit(MessageType::BLO);
    }

    /// CGU: what BLO told besides is taken back, too.
    fn unblocked_with_group(&mut self) {
        let is_over = self.circuit.group == Blocks::default() && std::mem::take(&mut self.circuit.told);
        if is_over && self.circuit.block == Block::Clear {
            self.block(Block::Unblocking);
        }
    }

    // --- what the far end says of the call --------------------------------------------------------

    fn heard(&mut self, signal: Signal) {
        match (self.circuit.call, signal) {
            (_, Signal::Iam { check }) => self.heard_iam(check),
            // Q.764 2.3: REL is answered by RLC in every state.
            (Call::Outgoing(_) | Call::Incoming(_), Signal::Rel) => {
                self.act(Action::Deliver);
                self.enter(Call::Idle);
                self.transmit(MessageType::RLC);
            }
            (Call::Releasing | Call::Resetting | Call::GroupResetting, Signal::Rel) => self.transmit(MessageType::RLC),
            (_, Signal::Rel) => {
                self.enter(Call::Idle);
                self.transmit(MessageType::RLC);
            }
            (Call::Outgoing(phase), signal) => self.heard_backward(phase, signal),
            (Call::Incoming(phase), signal) => self.heard_forward(phase, signal),
            // The far end hears by RLC or GRA that there is no call.
            (Call::Releasing | Call::Resetting | Call::GroupResetting, _) => {}
            // A message for a call that isn't there: both ends start anew (Q.764 2.9.5.1, unverified).
            (Call::Idle, Signal::Sam | Signal::Acm | Signal::Cpg | Signal::Con | Signal::Anm) => {
                self.act(Action::Unexpected);
                self.reset();
            }
            (Call::Idle | Call::Rechecking(_) | Call::Checked(_) | Call::Unequipped, _) => self.act(Action::Unexpected),
        }
    }

    fn heard_iam(&mut self, check: bool) {
        match self.circuit.call {
            Call::Idle | Call::Unequipped | Call::Checked(Loop::Open) => {}
            // Q.764 2.9.1.4, dual seizure: our IAM stands on circuits that we control, and theirs is
            // dropped; on others theirs stands, and our call tries another circuit.
            Call::Outgoing(Phase::Checking | Phase::Addressed) if self.rules.controlling => return,
            Call::Outgoing(Phase::Checking | Phase::Addressed) => self.act(Action::End(Ended::Repeat)),
            // Q.764 2.9.3: until our reset is acknowledged nothing is taken.
            Call::Resetting | Call::GroupResetting | Call::Releasing => return,
            Call::Outgoing(_) | Call::Incoming(_) | Call::Rechecking(_) | Call::Checked(Loop::Closed) => {
                self.act(Action::Unexpected);
                return;
            }
        }
        if self.circuit.is_blocked_here() {
            self.enter(Call::Idle);
            self.tell_blocked();
            return;
        }
        // Whoever seizes a circuit doesn't block it any more (Q.764 2.8.2, unverified).
        self.circuit.remote = Blocks::default();
        self.act(Action::Deliver);
        if check {
            self.enter(Call::Incoming(Phase::Checking));
            self.act(Action::Loop(true));
            self.act(Action::Start(Timer::T8));
        } else {
            self.enter(Call::Incoming(Phase::Addressed));
        }
    }

    /// The called side speaks to our outgoing call.
    fn heard_backward(&mut self, phase: Phase, signal: Signal) {
        match (phase, signal) {
            (Phase::Addressed, Signal::Acm) => {
                self.act(Action::Deliver);
                self.enter(Call::Outgoing(Phase::Complete));
                self.act(Action::Start(Timer::T9));
            }
            (Phase::Addressed, Signal::Con | Signal::Anm) | (Phase::Complete, Signal::Anm) => {
                self.act(Action::Deliver);
                self.enter(Call::Outgoing(Phase::Answered(Suspended::default())));
            }
            (Phase::Complete | Phase::Answered(_), Signal::Cpg) => self.act(Action::Deliver),
            (Phase::Answered(suspended), Signal::Sus { network }) => self.suspend(suspended, network, Call::Outgoing),
            (Phase::Answered(suspended), Signal::Res { network }) => self.resume(suspended, network, Call::Outgoing),
            (Phase::Addressed | Phase::Complete, Signal::Inr) => self.act(Action::Deliver),
            (_, Signal::Inf) if self.circuit.asked => self.heard_information(),
            (Phase::Addressed | Phase::Complete | Phase::Answered(_), Signal::Other) => self.act(Action::Deliver),
            _ => self.act(Action::Unexpected),
        }
    }

    /// The calling side speaks to an incoming call.
    fn heard_forward(&mut self, phase: Phase, signal: Signal) {
        match (phase, signal) {
            (Phase::Checking | Phase::Addressed, Signal::Sam) => self.act(Action::Deliver),
            (Phase::Complete | Phase::Answered(_), Signal::Fot) => self.act(Action::Deliver),
            (Phase::Answered(suspended), Signal::Sus { network }) => self.suspend(suspended, network, Call::Incoming),
            (Phase::Answered(suspended), Signal::Res { network }) => self.resume(suspended, network, Call::Incoming),
            (_, Signal::Inf) if self.circuit.asked => self.heard_information(),
            (Phase::Complete | Phase::Answered(_), Signal::Cpg) => self.act(Action::Deliver),
            (_, Signal::Other) => self.act(Action::Deliver),
            _ => self.act(Action::Unexpected),
        }
    }

    fn heard_information(&mut self) {
        self.circuit.asked = false;
        self.act(Action::Stop(Timer::T33));
        self.act(Action::Deliver);
    }

    /// Q.764 2.5: SUS starts T6 or T2 once.
    fn suspend(&mut self, suspended: Suspended, network: bool, call: fn(Phase) -> Call) {
        let (already, timer) = match network {
            true => (suspended.network, Timer::T6),
            false => (suspended.user, Timer::T2),
        };
        self.act(Action::Deliver);
        if !already {
            self.act(Action::Start(timer));
        }
        let suspended = Suspended { user: suspended.user || !network, network: suspended.network || network };
        self.circuit.call = call(Phase::Answered(suspended));
    }

    fn resume(&mut self, suspended: Suspended, network: bool, call: fn(Phase) -> Call) {
        let (was, timer) = match network {
            true => (suspended.network, Timer::T6),
            false => (suspended.user, Timer::T2),
        };
        self.act(Action::Deliver);
        if was {
            self.act(Action::Stop(timer));
        }
        let suspended = Suspended { user: suspended.user && network, network: suspended.network && !network };
        self.circuit.call = call(Phase::Answered(suspended));
    }

    // --- what the far end says of the circuit -----------------------------------------------------

    fn supervised(&mut self, supervision: Supervision) {
        match supervision {
            Supervision::Rlc => self.heard_rlc(),
            Supervision::Cot { successful } => self.heard_cot(successful),
            Supervision::Ccr => self.heard_ccr(),
            Supervision::Blo => self.heard_blo(),
            Supervision::Ubl => {
                self.circuit.remote.maintenance = false;
                self.transmit(MessageType::UBA);
            }
            Supervision::Bla => self.heard_bla(),
            Supervision::Uba => self.heard_uba(),
            Supervision::Rsc => {
                // Q.764 2.9.3.1: a circuit that we block is told to be so before RLC.
                self.reset_by_peer();
                if self.circuit.is_blocked_here() {
                    self.tell_blocked();
                }
                self.transmit(MessageType::RLC);
            }
            Supervision::GroupReset => self.reset_by_peer(),
            Supervision::GroupResetDone { blocked } if self.circuit.call == Call::GroupResetting => {
                self.enter(Call::Idle);
                self.circuit.remote = Blocks { maintenance: blocked, hardware: false };
            }
            Supervision::GroupResetDone { .. } => self.act(Action::Unexpected),
            Supervision::Ucic => self.heard_ucic(),
            Supervision::GroupBlocked { hardware: false } => self.circuit.remote.maintenance = true,
            Supervision::GroupUnblocked { hardware: false } => self.circuit.remote.maintenance = false,
            Supervision::GroupBlocked { hardware: true } => {
                // Q.764 2.8.2.3: calls on circuits that failed are over; REL would get no answer.
                self.end(Cause::TEMPORARY);
                if self.circuit.is_busy() {
                    self.enter(Call::Idle);
                }
                self.circuit.remote.hardware = true;
            }
            Supervision::GroupUnblocked { hardware: true } => self.circuit.remote.hardware = false,
        }
    }

    fn heard_rlc(&mut self) {
        match self.circuit.call {
            Call::Releasing | Call::Resetting => self.enter(Call::Idle),
            // Q.764 2.9.5.1: RLC without REL: the call is given up, REL tells the far end so.
            Call::Outgoing(_) | Call::Incoming(_) => {
                self.act(Action::Unexpected);
                self.release(Cause::PROTOCOL, Ended::Cause(Cause::PROTOCOL));
            }
            _ => {}
        }
    }

    fn reset_by_peer(&mut self) {
        self.end(Cause::TEMPORARY);
        if !matches!(self.circuit.call, Call::Resetting | Call::GroupResetting) {
            self.enter(Call::Idle);
        }
        self.circuit.remote = Blocks::default();
    }

    fn heard_cot(&mut self, successful: bool) {
        match (self.circuit.call, successful) {
            (Call::Incoming(Phase::Checking), true) => {
                self.enter(Call::Incoming(Phase::Addressed));
                self.act(Action::Deliver);
            }
            // Q.764 2.1.8: the call tries elsewhere; this circuit is checked again by CCR.
            (Call::Incoming(Phase::Checking), false) => {
                self.act(Action::End(Ended::Cause(Cause::TEMPORARY)));
                self.enter(Call::Checked(Loop::Open));
                self.act(Action::Start(Timer::T27));
            }
            (Call::Checked(Loop::Closed), false) => {
                self.enter(Call::Checked(Loop::Open));
                self.act(Action::Start(Timer::T27));
            }
            _ => self.act(Action::Unexpected),
        }
    }

    fn heard_ccr(&mut self) {
        match self.circuit.call {
            Call::Idle | Call::Checked(Loop::Open) | Call::Unequipped => {
                self.enter(Call::Checked(Loop::Closed));
                self.act(Action::Loop(true));
                self.transmit(MessageType::LPA);
            }
            _ => self.act(Action::Unexpected),
        }
    }

    fn heard_blo(&mut self) {
        self.circuit.remote.maintenance = true;
        self.transmit(MessageType::BLA);
        // Q.764 2.8.2.1: an IAM that crossed the BLO is tried on another circuit.
        if let Call::Outgoing(Phase::Checking | Phase::Addressed) = self.circuit.call {
            self.release(Cause::UNSPECIFIED, Ended::Repeat);
        }
    }

    /// Q.764 2.8.2: what isn't expected is answered by what holds.
    fn heard_bla(&mut self) {
        match self.circuit.block {
            Block::Blocking => {
                self.circuit.block = Block::Blocked;
                self.act(Action::Stop(Timer::T12));
                self.act(Action::Stop(Timer::T13));
            }
            Block::Clear if self.circuit.group == Blocks::default() => self.transmit(MessageType::UBL),
            Block::Clear | Block::Blocked | Block::Unblocking => {}
        }
    }

    fn heard_uba(&mut self) {
        match self.circuit.block {
            Block::Unblocking => {
                self.circuit.block = Block::Clear;
                self.act(Action::Stop(Timer::T14));
                self.act(Action::Stop(Timer::T15));
            }
            Block::Blocked => self.transmit(MessageType::BLO),
            Block::Clear | Block::Blocking => {}
        }
    }

    fn heard_ucic(&mut self) {
        self.act(Action::Unexpected);
        self.end(Cause::TEMPORARY);
        self.enter(Call::Unequipped);
        let timers = [Timer::T12, Timer::T13, Timer::T14, Timer::T15];
        if matches!(self.circuit.block, Block::Blocking | Block::Unblocking) {
            self.circuit.block = Block::Clear;
            self.out.extend(timers.map(Action::Stop));
        }
    }

    // --- what is wanted here ----------------------------------------------------------------------

    fn wanted(&mut self, order: Order) -> Result<(), Refused> {
        let call = self.circuit.call;
        let refused = Err(Refused { call, order });
        match order {
            Order::Send(signal) => return self.send(signal, order),
            Order::Block => match self.circuit.block {
                Block::Clear | Block::Unblocking => self.block(Block::Blocking),
                Block::Blocking | Block::Blocked => {}
            },
            Order::Unblock => match self.circuit.block {
                Block::Blocking | Block::Blocked => self.block(Block::Unblocking),
                Block::Clear | Block::Unblocking => {}
            },
            Order::Reset if call == Call::Resetting => return refused,
            Order::Reset => self.reset(),
            Order::GroupReset if call == Call::Resetting => return refused,
            Order::GroupReset => {
                self.end(Cause::TEMPORARY);
                self.enter(Call::GroupResetting);
            }
            Order::GroupBlock { hardware: false } => self.circuit.group.maintenance = true,
            Order::GroupUnblock { hardware: false } => {
                self.circuit.group.maintenance = false;
                self.unblocked_with_group();
            }
            Order::GroupBlock { hardware: true } => {
                self.end(Cause::TEMPORARY);
                if self.circuit.is_busy() {
                    self.enter(Call::Idle);
                }
                self.circuit.group.hardware = true;
            }
            Order::GroupUnblock { hardware: true } => {
                self.circuit.group.hardware = false;
                self.unblocked_with_group();
            }
        }
        Ok(())
    }

    /// BLO or UBL, repeated by the shorter timer, and by the longer one once that alerted.
    fn block(&mut self, block: Block) {
        let (stop, start, kind) = match block {
            Block::Blocking => ([Timer::T14, Timer::T15], [Timer::T12, Timer::T13], MessageType::BLO),
            _ => ([Timer::T12, Timer::T13], [Timer::T14, Timer::T15], MessageType::UBL),
        };
        if matches!(self.circuit.block, Block::Blocking | Block::Unblocking) {
            self.out.extend(stop.map(Action::Stop));
        }
        self.circuit.block = block;
        self.transmit(kind);
        self.out.extend(start.map(Action::Start));
    }

    fn send(&mut self, signal: Signal, order: Order) -> Result<(), Refused> {
        let call = self.circuit.call;
        match (call, signal) {
            (Call::Idle, Signal::Iam { check }) if !self.circuit.is_blocked() => {
                self.act(Action::Pass);
                if check {
                    self.circuit.call = Call::Outgoing(Phase::Checking);
                    self.act(Action::Tone(true));
                    self.act(Action::Start(Timer::T24));
                } else {
                    self.circuit.call = Call::Outgoing(Phase::Addressed);
                    self.act(Action::Start(Timer::T7));
                }
            }
            (Call::Outgoing(_) | Call::Incoming(_), Signal::Rel) => {
                self.act(Action::Pass);
                self.enter(Call::Releasing);
                self.act(Action::Start(Timer::T1));
                self.act(Action::Start(Timer::T5));
            }
            // T7 runs from the latest address message.
            (Call::Outgoing(Phase::Addressed), Signal::Sam) => {
                self.act(Action::Pass);
                self.act(Action::Start(Timer::T7));
            }
            (Call::Outgoing(Phase::Complete | Phase::Answered(_)), Signal::Fot) => self.act(Action::Pass),
            (Call::Incoming(Phase::Addressed), Signal::Acm) => {
                self.act(Action::Pass);
                self.enter(Call::Incoming(Phase::Complete));
            }
            // ANSI has no CON: ANM without an ACM stands for it (RFC 3398 13).
            (Call::Incoming(Phase::Addressed), Signal::Con | Signal::Anm)
            | (Call::Incoming(Phase::Complete), Signal::Anm) => {
                self.act(Action::Pass);
                self.enter(Call::Incoming(Phase::Answered(Suspended::default())));
            }
            (Call::Incoming(Phase::Complete | Phase::Answered(_)), Signal::Cpg) => self.act(Action::Pass),
            (
                Call::Incoming(Phase::Answered(_)) | Call::Outgoing(Phase::Answered(_)),
                Signal::Sus { .. } | Signal::Res { .. },
            ) => self.act(Action::Pass),
            (Call::Incoming(Phase::Addressed | Phase::Complete), Signal::Inr) if !self.circuit.asked => {
                self.act(Action::Pass);
                self.circuit.asked = true;
                self.act(Action::Start(Timer::T33));
            }
            (Call::Outgoing(Phase::Addressed | Phase::Complete), Signal::Inf) => self.act(Action::Pass),
            (Call::Outgoing(_) | Call::Incoming(_), Signal::Other) => self.act(Action::Pass),
            _ => return Err(Refused { call, order }),
        }
        Ok(())
    }

    // --- the continuity check, and time -----------------------------------------------------------

    fn tone_back(&mut self) {
        match self.circuit.call {
            Call::Outgoing(Phase::Checking) => {
                self.enter(Call::Outgoing(Phase::Addressed));
                self.act(Action::TransmitContinuity { successful: true });
                self.act(Action::Start(Timer::T7));
            }
            // Q.764 2.1.8: a circuit that is good again is given back by REL and RLC.
            Call::Rechecking(Recheck::Tone) => {
                self.enter(Call::Releasing);
                self.act(Action::Release(Cause::NORMAL));
                self.act(Action::Start(Timer::T1));
                self.act(Action::Start(Timer::T5));
            }
            _ => {}
        }
    }

    fn expired(&mut self, timer: Timer) {
        match (self.circuit.call, timer) {
            (Call::Releasing, Timer::T1) => {
                self.act(Action::RepeatRelease);
                self.act(Action::Start(Timer::T1));
            }
            (Call::Releasing, Timer::T5) => {
                self.act(Action::Alert(timer));
                self.send_reset();
                self.act(Action::Start(Timer::T17));
            }
            (Call::Resetting, Timer::T16) => {
                self.transmit(MessageType::RSC);
                self.act(Action::Start(Timer::T16));
            }
            (Call::Resetting, Timer::T17) => {
                self.act(Action::Stop(Timer::T16));
                self.act(Action::Alert(timer));
                self.transmit(MessageType::RSC);
                self.act(Action::Start(Timer::T17));
            }
            (Call::Outgoing(Phase::Addressed), Timer::T7) => self.expire(Cause::TIMER),
            (Call::Outgoing(Phase::Complete), Timer::T9) => self.expire(Cause::NO_ANSWER),
            (Call::Incoming(Phase::Checking), Timer::T8) => self.expire(Cause::TEMPORARY),
            (Call::Outgoing(Phase::Answered(_)) | Call::Incoming(Phase::Answered(_)), Timer::T2 | Timer::T6) => {
                self.expire(Cause::TIMER);
            }
            (Call::Outgoing(_) | Call::Incoming(_), Timer::T33) if self.circuit.asked => self.expire(Cause::TIMER),
            (Call::Outgoing(Phase::Checking), Timer::T24) => {
                self.act(Action::End(Ended::Repeat));
                self.fail_check(Recheck::First, Timer::T25);
            }
            (Call::Rechecking(Recheck::Tone), Timer::T24) => {
                self.act(Action::Alert(timer));
                self.fail_check(Recheck::Again, Timer::T26);
            }
            (Call::Rechecking(_), Timer::T25 | Timer::T26) => {
                self.enter(Call::Rechecking(Recheck::Tone));
                self.transmit(MessageType::CCR);
                self.act(Action::Tone(true));
                self.act(Action::Start(Timer::T24));
            }
            (Call::Checked(Loop::Open), Timer::T27) => {
                self.act(Action::Alert(timer));
                self.reset();
            }
            _ => self.expired_block(timer),
        }
    }

    fn expire(&mut self, cause: Cause) {
        self.release(cause, Ended::Cause(cause));
    }

    fn fail_check(&mut self, next: Recheck, timer: Timer) {
        self.enter(Call::Rechecking(next));
        self.act(Action::TransmitContinuity { successful: false });
        self.act(Action::Start(timer));
    }

    fn expired_block(&mut self, timer: Timer) {
        let (kind, short) = match (self.circuit.block, timer) {
            (Block::Blocking, Timer::T12 | Timer::T13) => (MessageType::BLO, Timer::T12),
            (Block::Unblocking, Timer::T14 | Timer::T15) => (MessageType::UBL, Timer::T14),
            _ => return, // stopped in the same moment
        };
        if timer != short {
            self.act(Action::Stop(short));
            self.act(Action::Alert(timer));
        }
        self.transmit(kind);
        self.act(Action::Start(timer));
    }
}
