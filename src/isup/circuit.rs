//! One circuit: its call, its blocking, its reset, its continuity check (Q.764 2). A pure function of state
//! and event; time comes in as timers that expire, and [`super::group`] runs them.
//!
//! ```text
//!              IAM sent           ACM            ANM, CON
//!    Idle ----------> Addressed -----> Complete ---------> Answered      outgoing: T7, T9
//!    Idle ----------> Addressed -----> Complete ---------> Answered      incoming
//!              IAM came           (the same words, said by us)
//!
//!    any call --REL came, RLC sent--> Idle
//!    any call --REL sent--> Releasing --RLC--> Idle      T1 repeats, T5 --> Resetting
//!    anything --RSC sent--> Resetting --RLC--> Idle      T16 and T17 repeat
//! ```
//!
//! Blocking is beside the call: a circuit blocked for maintenance keeps the call that it has.
//!
//! **Unverified**, since Q.764 was not at hand, and so chosen to do the least harm: a message that makes no sense for
//! a call is dropped and reported, not answered by a reset (2.9.5.1 may want that before a backward message); ANM
//! without ACM counts as CON; an IAM on a circuit that we block is answered by BLO; REL for a call
//! that met a BLO from the far end has cause 31.

use super::message::MessageType;
use super::timers::Timer;
use crate::trunk::Cause;

/// What the call on a circuit and the circuit itself are at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// No call.
    Idle,
    /// We seized it.
    Outgoing(Phase),
    /// The far end seized it.
    Incoming(Phase),
    /// REL was sent, RLC is awaited.
    Releasing,
    /// RSC was sent, RLC is awaited.
    Resetting,
    /// GRS was sent for a range with this circuit, GRA is awaited.
    GroupResetting,
    /// Our continuity check failed; CCR follows.
    Rechecking(Recheck),
    /// The far end checks, without a call: it told that a check failed, or sent CCR.
    Checked(Loop),
    /// The far end says that it has no such circuit (UCIC).
    Unequipped,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The IAM asked for a continuity check, COT is missing.
    Checking,
    /// The IAM is through.
    Addressed,
    /// ACM is through.
    Complete,
    /// ANM or CON is through.
    Answered(Suspended),
}

/// Who suspended an answered call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Suspended {
    /// A user, until T2.
    pub user: bool,
    /// The network, until T6.
    pub network: bool,
}

/// Where the repetition of a continuity check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recheck {
    /// T25 runs until the first CCR.
    First,
    /// T26 runs until the next one.
    Again,
    /// The tone is out, T24 runs.
    Tone,
}

/// Whether the far end's check tone is sent back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loop {
    /// It failed: T27 runs until CCR.
    Open,
    /// CCR came.
    Closed,
}

/// Our own blocking of one circuit by BLO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Block {
    /// Not blocked.
    #[default]
    Clear,
    /// BLO was sent, BLA is awaited.
    Blocking,
    /// The far end knows.
    Blocked,
    /// UBL was sent, UBA is awaited.
    Unblocking,
}

/// Blocking by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blocks {
    /// For maintenance: calls go on, new ones don't come.
    pub maintenance: bool,
    /// By a failure of hardware: calls have ended.
    pub hardware: bool,
}

/// A circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Circuit {
    /// Its call.
    pub call: Call,
    /// Blocked by us alone (BLO).
    pub block: Block,
    /// Blocked by us with others (CGB).
    pub group: Blocks,
    /// Blocked by the far end.
    pub remote: Blocks,
    /// INR was sent, INF is awaited (T33).
    pub asked: bool,
}

impl Default for Circuit {
    fn default() -> Self {
        let none = Blocks::default();
        Circuit { call: Call::Idle, block: Block::Clear, group: none, remote: none, asked: false }
    }
}

/// What a message says, as far as a circuit cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// IAM; whether it asks for a continuity check on this circuit.
    Iam {
        /// Nature of connection, bits DC = 01.
        check: bool,
    },
    /// SAM.
    Sam,
    /// ACM.
    Acm,
    /// CPG.
    Cpg,
    /// CON.
    Con,
    /// ANM.
    Anm,
    /// REL.
    Rel,
    /// SUS, by the network or a user.
    Sus {
        /// Bit A of suspend/resume indicators.
        network: bool,
    },
    /// RES, by the network or a user.
    Res {
        /// Bit A of suspend/resume indicators.
        network: bool,
    },
    /// INR.
    Inr,
    /// INF.
    Inf,
    /// FOT.
    Fot,
    /// Any other message of a call: USR, FAC, SGM and the like.
    Other,
}

/// What comes to a circuit from the far end and is not for its call alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supervision {
    /// RLC.
    Rlc,
    /// COT.
    Cot {
        /// Its check was successful.
        successful: bool,
    },
    /// CCR.
    Ccr,
    /// BLO.
    Blo,
    /// BLA.
    Bla,
    /// UBL.
    Ubl,
    /// UBA.
    Uba,
    /// RSC.
    Rsc,
    /// UCIC.
    Ucic,
    /// This circuit is in a GRS.
    GroupReset,
    /// This circuit is in the GRA to our GRS.
    GroupResetDone {
        /// The far end blocks it for maintenance.
        blocked: bool,
    },
    /// This circuit is in a CGB.
    GroupBlocked {
        /// By hardware, not for maintenance.
        hardware: bool,
    },
    /// This circuit is in a CGU.
    GroupUnblocked {
        /// As in [`Supervision::GroupBlocked`].
        hardware: bool,
    },
}

/// What management or the call wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The call says this.
    Send(Signal),
    /// Block it for maintenance (BLO).
    Block,
    /// Unblock it (UBL).
    Unblock,
    /// Reset it (RSC).
    Reset,
    /// It is in a GRS of ours.
    GroupReset,
    /// It is in a CGB of ours.
    GroupBlock {
        /// By hardware, not for maintenance.
        hardware: bool,
    },
    /// It is in a CGU of ours.
    GroupUnblock {
        /// As in [`Order::GroupBlock`].
        hardware: bool,
    },
}

/// What happens to a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The far end says something about the call.
    Heard(Signal),
    /// The far end says something about the circuit.
    Supervised(Supervision),
    /// Somebody here wants something.
    Wanted(Order),
    /// The check tone came back as it should.
    ToneBack,
    /// A timer expired.
    Expired(Timer),
}

/// How a call ended that didn't end by REL from either side of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this cause.
    Cause(Cause),
    /// Nothing was heard of it yet: another circuit may be tried (Q.764 2.8.1, 2.9.1.4).
    Repeat,
}

/// What is to be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send the message that the call said.
    Pass,
    /// Tell the call the message that was heard.
    Deliver,
    /// Send a message without parameters of its own, RLC, BLO and the like.
    Transmit(MessageType),
    /// Send COT.
    TransmitContinuity {
        /// With this result.
        successful: bool,
    },
    /// Send REL with this cause.
    Release(Cause),
    /// Send the last REL once more.
    RepeatRelease,
    /// The call on this circuit is over.
    End(Ended),
    /// Start a timer, or start it again.
    Start(Timer),
    /// Stop a timer, if it runs.
    Stop(Timer),
    /// Send the check tone, or stop it.
    Tone(bool),
    /// Send back what comes, or stop that.
    Loop(bool),
    /// Tell the operator: this timer ran out.
    Alert(Timer),
    /// Tell the operator: this message made no sense here.
    Unexpected,
}

/// An order that the state of the circuit forbids. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a circuit that is {call:?} can't do {order:?}: wait until it is idle, or reset it")]
pub struct Refused {
    /// What the circuit is at.
    pub call: Call,
    /// What was wanted.
    pub order: Order,
}

/// What is true of a circuit for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Our IAM stands when both ends seize the circuit at once (Q.764 2.9.1.4).
    pub controlling: bool,
}

/// What one step does.
pub type Actions = smallvec::SmallVec<[Action; 8]>;

mod step;
pub use step::step;

impl Circuit {
    /// Whether a call of ours may seize it.
    pub fn is_free(&self) -> bool {
        self.call == Call::Idle && !self.is_blocked()
    }

    /// Whether anybody blocks it.
    pub fn is_blocked(&self) -> bool {
        self.is_blocked_here() || self.remote != Blocks::default()
    }

    /// Whether we block it.
    pub fn is_blocked_here(&self) -> bool {
        self.group != Blocks::default() || matches!(self.block, Block::Blocking | Block::Blocked)
    }

    /// Whether a call is on it.
    pub fn is_busy(&self) -> bool {
        matches!(self.call, Call::Outgoing(_) | Call::Incoming(_))
    }

    /// Timers that run in this state; others don't.
    pub fn timers(&self) -> Vec<Timer> {
        let mut running = match self.call {
            Call::Outgoing(Phase::Checking) | Call::Rechecking(Recheck::Tone) => vec![Timer::T24],
            Call::Outgoing(Phase::Addressed) => vec![Timer::T7],
            Call::Outgoing(Phase::Complete) => vec![Timer::T9],
            Call::Incoming(Phase::Checking) => vec![Timer::T8],
            Call::Releasing => vec![Timer::T1, Timer::T5],
            // T17 goes on alone once the operator was told; T16 may run beside it.
            Call::Resetting => vec![Timer::T17],
            Call::Rechecking(Recheck::First) => vec![Timer::T25],
            Call::Rechecking(Recheck::Again) => vec![Timer::T26],
            Call::Checked(Loop::Open) => vec![Timer::T27],
            Call::Outgoing(Phase::Answered(suspended)) | Call::Incoming(Phase::Answered(suspended)) => {
                let user = suspended.user.then_some(Timer::T2);
                user.into_iter().chain(suspended.network.then_some(Timer::T6)).collect()
            }
            _ => Vec::new(),
        };
        match self.block {
            Block::Blocking => running.push(Timer::T13),
            Block::Unblocking => running.push(Timer::T15),
            Block::Clear | Block::Blocked => {}
        }
        if self.asked {
            running.push(Timer::T33);
        }
        running
    }
}

#[cfg(test)]
mod tests;
