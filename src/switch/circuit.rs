//! One circuit of the switch: what it does, and what the gateway's messages do to it (Q.764 2).

use super::groups::Request;
use super::messages::{self, plain};
use super::script::{Call, Step};
use super::{Ended, Output, RELEASES_MAX, REPEAT, Switch};
use crate::isup::indicators::ContinuityCheck;
use crate::isup::{Message, MessageType};
use crate::media::Tone;
use crate::time::Instant;
use crate::trunk::{Cause, Location, Release};
use std::collections::{BTreeMap, VecDeque};

/// Timers of one circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The next step of the call is due.
    Step,
    /// No more digits have come.
    Digits,
    /// The continuity check is over.
    Check,
    /// The next SAM is due.
    Dial,
    /// The caller gives up.
    Answer,
    /// The next part of an announcement begins.
    Sound,
    /// REL or RSC is said again.
    Repeat,
    /// BLO or UBL is said again.
    Block,
}

/// A circuit.
pub(super) struct Circuit {
    pub(super) state: State,
    /// Whether the IAM of the switch stands when both seize it.
    pub(super) controls: bool,
    pub(super) block: Block,
    /// Blocked by CGB of ours: for maintenance, by hardware.
    pub(super) group_block: (bool, bool),
    /// Whether BLO told of what CGB had blocked.
    pub(super) told: bool,
    /// Blocked by the gateway: for maintenance, by hardware.
    pub(super) remote_block: (bool, bool),
    /// The gateway has no such circuit.
    pub(super) unequipped: bool,
    pub(super) sound: Option<Tone>,
    /// Part of the announcement that is heard.
    pub(super) part: usize,
    pub(super) timers: BTreeMap<Timer, Instant>,
}

/// Our BLO and UBL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    Clear,
    /// BLO was said.
    Blocking,
    /// And acknowledged.
    Blocked,
    /// UBL was said.
    Unblocking,
}

/// What a circuit does.
pub(super) enum State {
    Idle,
    /// A call of the gateway.
    Incoming(Incoming),
    /// A call of the script.
    Outgoing(Box<Outgoing>),
    /// REL was said, so often.
    Releasing(Release, u32),
    /// RSC was said.
    Resetting,
    /// GRS was said.
    GroupResetting,
}

/// A call of the gateway.
pub(super) struct Incoming {
    pub(super) calling: String,
    pub(super) called: String,
    pub(super) stage: Stage,
    pub(super) steps: VecDeque<Step>,
}

/// How far a call of the gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// COT has to come.
    Checking,
    /// More digits have to come.
    Digits,
    /// Its steps are done.
    Complete,
    /// The same, and it was answered.
    Answered,
}

/// A call of the script.
pub(super) struct Outgoing {
    pub(super) call: Call,
    /// Digits that were sent.
    pub(super) sent: usize,
    /// Whether the gateway has said something of the call.
    pub(super) heard: bool,
    pub(super) answered: bool,
    pub(super) steps: VecDeque<Step>,
    /// Whether it is there for glare alone.
    pub(super) is_glare: bool,
}

impl Circuit {
    pub(super) fn new(controls: bool) -> Circuit {
        Circuit {
            state: State::Idle,
            controls,
            block: Block::Clear,
            group_block: (false, false),
            told: false,
            remote_block: (false, false),
            unequipped: false,
            sound: None,
            part: 0,
            timers: BTreeMap::new(),
        }
    }

    /// Whether we let no call of the gateway in.
    pub(super) fn is_blocked_here(&self) -> bool {
        matches!(self.block, Block::Blocking | Block::Blocked) || self.group_block != (false, false)
    }

    /// Whether a call of the script may take it.
    pub(super) fn is_free(&self) -> bool {
        matches!(self.state, State::Idle)
            && !self.unequipped
            && !self.is_blocked_here()
            && self.block == Block::Clear
            && self.remote_block == (false, false)
    }

    /// Why it is not free, in words.
    pub(super) fn trouble(&self) -> Option<String> {
        let state = match &self.state {
            State::Idle => "idle".to_owned(),
            State::Incoming(call) => format!("call of {} to {}, {:?}", call.calling, call.called, call.stage),
            State::Outgoing(call) => format!("call to {}, answered {}", call.call.called, call.answered),
            State::Releasing(release, times) => format!("REL {} said {times} times", release.cause),
            State::Resetting => "RSC said".to_owned(),
            State::GroupResetting => "GRS said".to_owned(),
        };
        let (here, there) = (self.group_block, self.remote_block);
        (!self.is_free()).then(|| {
            format!(
                "{state}, {:?}, blocked by groups here {here:?}, there {there:?}, unequipped {}",
                self.block, self.unequipped
            )
        })
    }
}

impl Switch {
    pub(super) fn heard(&mut self, now: Instant, cic: u16, message: &Message, out: &mut Vec<Output>) {
        use MessageType as M;
        let kind = message.kind();
        if self.heard_of_group(now, cic, message, out) {
            return;
        }
        let Some(circuit) = self.circuits.get_mut(&cic) else {
            // Q.764 2.12: the gateway is told, never in answer to the same.
            if ![M::UCIC, M::CFN, M::RLC].contains(&kind) {
                self.send(now, cic, &plain(M::UCIC), out);
            }
            return;
        };
        match kind {
            M::IAM => return self.heard_iam(now, cic, message, out),
            M::REL => return self.heard_rel(now, cic, message, out),
            M::RLC => match circuit.state {
                State::Releasing(..) | State::Resetting => return self.idle(cic),
                _ => {}
            },
            M::RSC => {
                circuit.remote_block = (false, false);
                let blocked = circuit.is_blocked_here();
                circuit.told |= blocked && circuit.block == Block::Clear;
                self.lose(cic, Cause::TEMPORARY, true, out);
                if blocked {
                    self.block(now, cic, Block::Blocking, out);
                }
                return self.send(now, cic, &plain(M::RLC), out);
            }
            M::BLO => {
                circuit.remote_block.0 = true;
                self.send(now, cic, &plain(M::BLA), out);
                return self.move_away(now, cic, out);
            }
            M::UBL => {
                circuit.remote_block.0 = false;
                return self.send(now, cic, &plain(M::UBA), out);
            }
            M::BLA if circuit.block == Block::Blocking => {
                circuit.block = Block::Blocked;
                return self.stop(cic, Timer::Block);
            }
            M::UBA if circuit.block == Block::Unblocking => {
                circuit.block = Block::Clear;
                return self.stop(cic, Timer::Block);
            }
            M::UCIC => {
                circuit.unequipped = true;
                return self.lose(cic, Cause::TEMPORARY, true, out);
            }
            // Only an idle circuit can be checked.
            M::CCR if matches!(circuit.state, State::Idle) => return self.send(now, cic, &plain(M::LPA), out),
            M::BLA | M::UBA | M::CCR => {}
            _ => return self.heard_of_call(now, cic, message, out),
        }
        self.counts.unexpected += 1;
    }

    fn heard_iam(&mut self, now: Instant, cic: u16, message: &Message, out: &mut Vec<Output>) {
        let Some(circuit) = self.circuits.get_mut(&cic) else { return };
        match &circuit.state {
            State::Idle => {}
            // Q.764 2.9.1.4: on a circuit that we control our IAM stands.
            State::Outgoing(call) if !call.heard && !call.answered => {
                self.counts.glares += 1;
                if circuit.controls {
                    return;
                }
                self.move_quietly(now, cic, out);
            }
            _ => {
                self.counts.unexpected += 1;
                return;
            }
        }
        let Some(circuit) = self.circuits.get_mut(&cic) else { return };
        if circuit.is_blocked_here() {
            circuit.told |= circuit.block == Block::Clear;
            return self.block(now, cic, Block::Blocking, out);
        }
        // Who seizes a circuit doesn't block it.
        circuit.remote_block = (false, false);
        circuit.unequipped = false;
        self.counts.calls_in += 1;
        let digits = |number: Option<&crate::isup::Number>| {
            number.map(|number| number.digits().number().to_owned()).unwrap_or_default()
        };
        let check = message.nature_of_connection().map(|nature| nature.continuity());
        let waits = matches!(check, Some(ContinuityCheck::REQUIRED | ContinuityCheck::PREVIOUS));
        circuit.state = State::Incoming(Incoming {
            calling: digits(message.calling_number()),
            called: digits(message.called_number()),
            stage: if waits { Stage::Checking } else { Stage::Digits },
            steps: VecDeque::new(),
        });
        if !waits {
            self.look_up(now, cic, out);
        }
    }

    fn heard_rel(&mut self, now: Instant, cic: u16, message: &Message, out: &mut Vec<Output>) {
        let cause = message.cause().map_or(Cause::UNSPECIFIED, |cause| cause.cause());
        self.send(now, cic, &plain(MessageType::RLC), out);
        // When both released at once our own RLC is still to come; nothing else waits for REL.
        let state = self.circuits.get(&cic).map(|circuit| &circuit.state);
        if matches!(state, Some(State::Incoming(_) | State::Outgoing(_))) {
            self.lose(cic, cause, true, out);
        }
    }

    /// What concerns a call alone.
    fn heard_of_call(&mut self, now: Instant, cic: u16, message: &Message, out: &mut Vec<Output>) {
        use MessageType as M;
        let Some(circuit) = self.circuits.get_mut(&cic) else { return };
        match (&mut circuit.state, message.kind()) {
            (State::Incoming(call), M::SAM) if matches!(call.stage, Stage::Checking | Stage::Digits) => {
                let digits = message.subsequent_number().map(|number| number.digits().number().to_owned());
                let room = crate::limits::DIGITS_MAX.saturating_sub(call.called.len());
                call.called.extend(digits.unwrap_or_default().chars().take(room));
                if call.stage == Stage::Digits {
                    self.look_up(now, cic, out);
                }
            }
            // Digits behind a number that was complete, and news of the calling side, change nothing.
            (State::Incoming(_), M::SAM | M::SUS | M::RES | M::FOT | M::CPG | M::INF) => {}
            (State::Incoming(call), M::COT) if call.stage == Stage::Checking => {
                if message.continuity().is_some_and(|continuity| continuity.successful()) {
                    call.stage = Stage::Digits;
                    self.look_up(now, cic, out);
                } else {
                    self.lose(cic, Cause::TEMPORARY, true, out);
                }
            }
            (State::Outgoing(call), M::ACM | M::CPG) => call.heard = true,
            (State::Outgoing(call), M::ANM | M::CON) if !call.answered => {
                (call.heard, call.answered) = (true, true);
                self.stop(cic, Timer::Answer);
                self.stop(cic, Timer::Dial);
                self.advance(now, cic, out);
            }
            (State::Outgoing(_), M::SUS | M::RES) => {}
            (State::Outgoing(_), M::INR) => self.send(now, cic, &messages::inf(), out),
            // Q.764 2.9.5.1: a message of a call that isn't there; both begin anew.
            (State::Idle, M::SAM | M::ACM | M::CPG | M::CON | M::ANM) => {
                self.counts.unexpected += 1;
                self.reset(now, cic, out);
            }
            _ => self.counts.unexpected += 1,
        }
    }

    // --- ends -----------------------------------------------------------------------------------------

    /// REL of our own.
    pub(super) fn release(&mut self, now: Instant, cic: u16, release: Release, out: &mut Vec<Output>) {
        self.lose(cic, release.cause, false, out);
        self.say_release(now, cic, release, out);
    }

    fn say_release(&mut self, now: Instant, cic: u16, release: Release, out: &mut Vec<Output>) {
        if let Some(circuit) = self.circuits.get_mut(&cic) {
            circuit.state = State::Releasing(release, 1);
        }
        self.send(now, cic, &messages::rel(release), out);
        self.start(now + REPEAT, cic, Timer::Repeat);
    }

    /// RSC: whatever was there is over.
    pub(super) fn reset(&mut self, now: Instant, cic: u16, out: &mut Vec<Output>) {
        // GRS does the same, and is said until it is answered.
        if matches!(self.circuits.get(&cic).map(|circuit| &circuit.state), Some(State::GroupResetting)) {
            return;
        }
        self.take_back(now, cic, 1, Request::Reset, out);
        self.lose(cic, Cause::TEMPORARY, false, out);
        let Some(circuit) = self.circuits.get_mut(&cic) else { return };
        circuit.state = State::Resetting;
        self.forget_blocks(cic);
        self.send(now, cic, &plain(MessageType::RSC), out);
        self.start(now + REPEAT, cic, Timer::Repeat);
    }

    /// After a reset of ours nothing is blocked; the gateway tells again what it blocks.
    pub(super) fn forget_blocks(&mut self, cic: u16) {
        if let Some(circuit) = self.circuits.get_mut(&cic) {
            (circuit.block, circuit.told) = (Block::Clear, false);
            (circuit.group_block, circuit.remote_block) = ((false, false), (false, false));
        }
        self.stop(cic, Timer::Block);
    }

    /// The call, if there is one, is over, and the circuit is idle. Resets of ours go on.
    pub(super) fn lose(&mut self, cic: u16, cause: Cause, by_gateway: bool, out: &mut Vec<Output>) {
        let Some(circuit) = self.circuits.get_mut(&cic) else { return };
        let ended = match &circuit.state {
            State::Resetting | State::GroupResetting => return,
            State::Outgoing(call) if call.is_glare => None,
            State::Outgoing(call) => Some((false, call.call.calling.clone(), call.call.called.clone(), call.answered)),
            State::Incoming(call) => {
                Some((true, Some(call.calling.clone()), call.called.clone(), call.stage == Stage::Answered))
            }
            State::Idle | State::Releasing(..) => None,
        };
        if circuit.sound.take().is_some() {
            out.push(Output::Sound { cic, sound: None });
        }
        self.idle(cic);
        if let Some((from_gateway, calling, called, answered)) = ended {
            let calling = calling.unwrap_or_default();
            let cic = Some(cic);
            out.push(Output::Ended(Ended { cic, from_gateway, calling, called, answered, cause, by_gateway }));
        }
    }

    pub(super) fn idle(&mut self, cic: u16) {
        for timer in [Timer::Check, Timer::Step, Timer::Digits, Timer::Dial, Timer::Answer, Timer::Sound, Timer::Repeat]
        {
            self.stop(cic, timer);
        }
        if let Some(circuit) = self.circuits.get_mut(&cic) {
            circuit.state = State::Idle;
        }
    }

    // --- another circuit ------------------------------------------------------------------------------

    /// A call of ours that met BLO before anything else tries another circuit (Q.764 2.8.2.1).
    fn move_away(&mut self, now: Instant, cic: u16, out: &mut Vec<Output>) {
        let moves = matches!(self.circuits.get(&cic).map(|c| &c.state), Some(State::Outgoing(call)) if !call.heard);
        if moves {
            self.move_quietly(now, cic, out);
            let release = Release { cause: Cause::UNSPECIFIED, location: Location::RemoteNetwork };
            self.say_release(now, cic, release, out);
        }
    }

    /// A call of ours leaves a circuit; its IAM goes out on another one, if there is one.
    fn move_quietly(&mut self, now: Instant, cic: u16, out: &mut Vec<Output>) {
        let Some(circuit) = self.circuits.get_mut(&cic) else { return };
        let State::Outgoing(call) = std::mem::replace(&mut circuit.state, State::Idle) else { return };
        self.idle(cic);
        if !call.is_glare {
            self.seize(now, call.call, out);
        }
    }

    // --- blocking -------------------------------------------------------------------------------------

    /// BLO or UBL.
    pub(super) fn block(&mut self, now: Instant, cic: u16, block: Block, out: &mut Vec<Output>) {
        let Some(circuit) = self.circuits.get_mut(&cic) else { return };
        circuit.block = block;
        let kind = if block == Block::Blocking { MessageType::BLO } else { MessageType::UBL };
        self.send(now, cic, &plain(kind), out);
        self.start(now + REPEAT, cic, Timer::Block);
    }

    // --- time -----------------------------------------------------------------------------------------

    pub(super) fn expired(&mut self, now: Instant, cic: u16, timer: Timer, out: &mut Vec<Output>) {
        let Some(circuit) = self.circuits.get_mut(&cic) else { return };
        circuit.timers.remove(&timer);
        match timer {
            Timer::Step => self.advance(now, cic, out),
            Timer::Sound => self.next_part(now, cic, out),
            Timer::Check => self.end_check(now, cic, out),
            Timer::Dial => self.dial_next(now, cic, out),
            Timer::Digits => {
                let release = Release { cause: Cause::INCOMPLETE, location: Location::RemoteNetwork };
                self.release(now, cic, release, out);
            }
            Timer::Answer => self.release(now, cic, Release::user(Cause::NORMAL), out),
            Timer::Block => {
                let block = circuit.block;
                self.counts.repeated += 1;
                self.block(now, cic, block, out);
            }
            Timer::Repeat => {
                self.counts.repeated += 1;
                match &mut circuit.state {
                    State::Releasing(_, RELEASES_MAX..) => {
                        self.reset(now, cic, out);
                    }
                    State::Releasing(release, times) => {
                        *times += 1;
                        let release = *release;
                        self.send(now, cic, &messages::rel(release), out);
                        self.start(now + REPEAT, cic, Timer::Repeat);
                    }
                    State::Resetting => {
                        self.send(now, cic, &plain(MessageType::RSC), out);
                        self.start(now + REPEAT, cic, Timer::Repeat);
                    }
                    _ => {}
                }
            }
        }
    }
}
