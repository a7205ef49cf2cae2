//! A trunk group: circuits between us and one exchange, which of them a call gets, dual seizure, and the
//! supervision of many circuits at once (Q.764 2.1, 2.8, 2.9).
//!
//! The group names a call by its circuit. What the far end says comes in by [`Group::handle_message`], what the call says
//! by [`Group::seize`] and [`Group::send`]; [`Output`]s tell what to send and what the call is to hear.
//! After [`Output::Moved`] the call is on another circuit.
//!
//! The pairs of trunk events and messages: IAM, ACM, CPG, ANM, CON and REL are sent and heard under
//! these names, and RLC is sent and awaited by the circuit itself: for the call a circuit has ended with
//! [`Output::Ended`], with a REL that it heard, or with a REL that it said.
//!
//! **Unverified**: messages about groups act when they come once. ANSI wants some of them twice within
//! five seconds before it believes them; our own are repeated by T18 to T23 only.

use super::circuit::{Action, Call, Circuit, Ended, Event, Order, Phase, Refused, Rules, Signal, Supervision, step};
use super::compatibility::{Role, Treatment, treat};
use super::indicators::{Continuity, ContinuityCheck};
use super::message::{DecodeError, EncodeError, Message, MessageType};
use super::parameter::Parameter;
use super::timers::{Timer, Timers};
use super::{Cic, Variant, cause::CauseIndicators};
use crate::limits;
use crate::time::Instant;
use crate::trunk::{Cause, Location, Release};
use ranges::Request;
use std::collections::{BTreeMap, BTreeSet};

mod ranges;

/// Which idle circuit a call gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// The lowest code.
    #[default]
    Ascending,
    /// The highest code.
    Descending,
    /// The one that has been idle longest.
    MostIdle,
    /// Q.764 2.9.1.3: of those that we control the one that has been idle longest, else of the far end's the one
    /// that became idle last. Dual seizure is rare then.
    OddEven,
}

/// On which circuits our IAM stands when both ends seize at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Control {
    /// Q.764 2.9.1.4: the exchange with the higher point code controls the even circuits, the other the
    /// odd ones.
    #[default]
    ByPointCode,
    /// Even ones, as agreed with the far end.
    Even,
    /// Odd ones.
    Odd,
    /// All.
    All,
    /// None.
    None,
}

/// How a group behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// ITU or ANSI.
    pub variant: Variant,
    /// Our point code.
    pub own: u32,
    /// The far end's.
    pub peer: u32,
    /// Which circuit a call gets.
    pub selection: Selection,
    /// Dual seizure.
    pub control: Control,
    /// How long timers run.
    pub timers: Timers,
    /// What is done with what isn't known.
    pub role: Role,
    /// Where releases of the group itself are said to be decided.
    pub location: Location,
}

impl Settings {
    /// The usual ones between these two point codes.
    pub fn new(variant: Variant, own: u32, peer: u32) -> Settings {
        Settings {
            variant,
            own,
            peer,
            selection: Selection::default(),
            control: Control::default(),
            timers: Timers::default(),
            role: Role::EndNode,
            location: Location::LocalNetwork,
        }
    }

    /// Whether our IAM stands on this circuit.
    pub fn controls(&self, cic: Cic) -> bool {
        let is_even = cic.value().is_multiple_of(2);
        match self.control {
            Control::ByPointCode => (self.own > self.peer) == is_even,
            Control::Even => is_even,
            Control::Odd => !is_even,
            Control::All => true,
            Control::None => false,
        }
    }
}

/// What a group wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this to the far end.
    Transmit {
        /// On this circuit.
        cic: Cic,
        /// This message, which can be encoded.
        message: Message,
    },
    /// The call on this circuit hears this. An IAM begins a call; REL ends it, and RLC was sent.
    Heard {
        /// Which circuit.
        cic: Cic,
        /// What came.
        message: Message,
    },
    /// The call has another circuit from now on; its address messages were sent there.
    Moved {
        /// Where it was.
        from: Cic,
        /// Where it is.
        to: Cic,
    },
    /// The call on this circuit is over.
    Ended {
        /// Which circuit.
        cic: Cic,
        /// Why.
        cause: Cause,
    },
    /// Send the check tone on this circuit, or stop it.
    Tone {
        /// Which circuit.
        cic: Cic,
        /// Send or stop.
        on: bool,
    },
    /// Send back what comes on this circuit, or stop that.
    Loop {
        /// Which circuit.
        cic: Cic,
        /// Loop or stop.
        on: bool,
    },
    /// An operator has to know.
    Alert {
        /// Which circuit.
        cic: Cic,
        /// What.
        alert: Alert,
    },
}

/// What an operator has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alert {
    /// This timer ran out: the far end doesn't answer.
    Expired(Timer),
    /// This message made no sense where it came.
    Unexpected(MessageType),
    /// The far end names a circuit that isn't in the group.
    UnknownCircuit(MessageType),
}

/// Why something that was wanted is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// No circuit is free: cause 34.
    #[error("no circuit is free: release the call with cause 34")]
    NoCircuit,
    /// The group has no such circuit.
    #[error("circuit {0} is not in this group: compare the circuits of both ends")]
    UnknownCircuit(Cic),
    /// The state of the circuit forbids it.
    #[error("circuit {cic}: {refused}")]
    Refused {
        /// Which circuit.
        cic: Cic,
        /// Why.
        refused: Refused,
    },
    /// The message can't be written.
    #[error(transparent)]
    Message(#[from] EncodeError),
    /// A message that calls don't say; IAM is for [`Group::seize`].
    #[error("a call does not say {0}")]
    NotOfCalls(MessageType),
    /// A range has 2 to [`limits::ISUP_GROUP_CIRCUITS`] circuits, all of this group.
    #[error("{0} circuits are no range: 2 to {max} are", max = limits::ISUP_GROUP_CIRCUITS)]
    Range(usize),
    /// The group is full.
    #[error("a group has at most {max} circuits", max = limits::ISUP_CIRCUITS)]
    Full,
}

struct Slot {
    circuit: Circuit,
    running: BTreeMap<Timer, Instant>,
    /// IAM and SAMs of an outgoing call that may still move.
    address: Vec<Message>,
    /// Circuits that this call has tried, this one included.
    attempts: usize,
    /// REL to be repeated.
    release: Option<Message>,
    /// Grows with each circuit that becomes idle.
    idle_since: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Circuit(Cic, Timer),
    Range(Cic, Request, Timer),
}

/// A trunk group.
pub struct Group {
    settings: Settings,
    circuits: BTreeMap<Cic, Slot>,
    /// Requests about ranges that aren't acknowledged, with what repeats them.
    pending: BTreeMap<(Cic, Request), (Message, BTreeMap<Timer, Instant>)>,
    due: BTreeSet<(Instant, Owner)>,
    sequence: u64,
}

impl Group {
    /// A group of these circuits, idle and not blocked.
    ///
    /// # Errors
    /// More than [`limits::ISUP_CIRCUITS`].
    pub fn new(settings: Settings, circuits: impl IntoIterator<Item = Cic>) -> Result<Group, OrderError> {
        let slot = || Slot {
            circuit: Circuit::default(),
            running: BTreeMap::new(),
            address: Vec::new(),
            attempts: 0,
            release: None,
            idle_since: 0,
        };
        let mut slots = BTreeMap::new();
        for cic in circuits {
            slots.insert(cic, slot());
            if slots.len() > limits::ISUP_CIRCUITS {
                return Err(OrderError::Full);
            }
        }
        Ok(Group { settings, circuits: slots, pending: BTreeMap::new(), due: BTreeSet::new(), sequence: 0 })
    }

    /// How it behaves.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its circuits, by code.
    pub fn circuits(&self) -> impl Iterator<Item = (Cic, &Circuit)> {
        self.circuits.iter().map(|(cic, slot)| (*cic, &slot.circuit))
    }

    /// One circuit.
    pub fn circuit(&self, cic: Cic) -> Option<&Circuit> {
        self.circuits.get(&cic).map(|slot| &slot.circuit)
    }

    /// When [`Group::handle_timeout`] is to be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    // --- what the call says -----------------------------------------------------------------------

    /// Sends an IAM on a circuit that the group chooses.
    ///
    /// # Errors
    /// No circuit is free, or the IAM can't be written.
    pub fn seize(&mut self, now: Instant, iam: Message, out: &mut Vec<Output>) -> Result<Cic, OrderError> {
        if iam.kind() != MessageType::IAM {
            return Err(OrderError::NotOfCalls(iam.kind()));
        }
        iam.encode_body(self.settings.variant)?;
        self.seize_next(now, vec![iam], 1, out).ok_or(OrderError::NoCircuit)
    }

    /// Sends what the call on a circuit says.
    ///
    /// # Errors
    /// The state of the circuit forbids it, or the message can't be written. Nothing was sent.
    pub fn send(&mut self, now: Instant, cic: Cic, message: Message, out: &mut Vec<Output>) -> Result<(), OrderError> {
        let signal = match event_of(&message) {
            Some(Event::Heard(Signal::Iam { .. })) | Some(Event::Supervised(_)) | None => {
                return Err(OrderError::NotOfCalls(message.kind()));
            }
            Some(Event::Heard(signal)) => signal,
            Some(_) => return Err(OrderError::NotOfCalls(message.kind())),
        };
        message.encode_body(self.settings.variant)?;
        self.run(now, cic, Event::Wanted(Order::Send(signal)), Some(message), out)
    }

    /// The check tone came back on a circuit.
    ///
    /// # Errors
    /// No such circuit.
    pub fn tone_back(&mut self, now: Instant, cic: Cic, out: &mut Vec<Output>) -> Result<(), OrderError> {
        self.run(now, cic, Event::ToneBack, None, out)
    }

    /// The circuit that the next call gets.
    fn select(&self) -> Option<Cic> {
        let mut free = self.circuits.iter().filter(|(_, slot)| slot.circuit.is_free());
        let (cic, _) = match self.settings.selection {
            Selection::Ascending => free.next(),
            Selection::Descending => free.next_back(),
            Selection::MostIdle => free.min_by_key(|(cic, slot)| (slot.idle_since, **cic)),
            Selection::OddEven => free.min_by_key(|(cic, slot)| match self.settings.controls(**cic) {
                true => (false, slot.idle_since, **cic),
                false => (true, u64::MAX - slot.idle_since, **cic),
            }),
        }?;
        Some(*cic)
    }

    /// Says address messages on the next circuit; `None` when there is none.
    fn seize_next(
        &mut self,
        now: Instant,
        address: Vec<Message>,
        attempts: usize,
        out: &mut Vec<Output>,
    ) -> Option<Cic> {
        let cic = self.select()?;
        for message in &address {
            let Some(Event::Heard(signal)) = event_of(message) else { continue };
            // SAMs of a call whose continuity check isn't over are said when the call says them again.
            let _ = self.run(now, cic, Event::Wanted(Order::Send(signal)), Some(message.clone()), out);
        }
        let slot = self.circuits.get_mut(&cic)?;
        slot.address = address;
        slot.attempts = attempts;
        Some(cic)
    }

    // --- what management wants --------------------------------------------------------------------

    /// Blocks a circuit for maintenance (BLO); a call on it goes on.
    ///
    /// # Errors
    /// No such circuit.
    pub fn block(&mut self, now: Instant, cic: Cic, out: &mut Vec<Output>) -> Result<(), OrderError> {
        self.run(now, cic, Event::Wanted(Order::Block), None, out)
    }

    /// Unblocks it (UBL).
    ///
    /// # Errors
    /// No such circuit.
    pub fn unblock(&mut self, now: Instant, cic: Cic, out: &mut Vec<Output>) -> Result<(), OrderError> {
        self.run(now, cic, Event::Wanted(Order::Unblock), None, out)
    }

    /// Resets a circuit (RSC); a call on it is over.
    ///
    /// # Errors
    /// No such circuit, or it is being reset.
    pub fn reset(&mut self, now: Instant, cic: Cic, out: &mut Vec<Output>) -> Result<(), OrderError> {
        self.run(now, cic, Event::Wanted(Order::Reset), None, out)
    }

    // --- what the far end says --------------------------------------------------------------------

    /// Takes octets of the far end.
    ///
    /// # Errors
    /// They are no message; nothing has happened.
    pub fn handle_octets(&mut self, now: Instant, octets: &[u8], out: &mut Vec<Output>) -> Result<(), DecodeError> {
        let (cic, message) = Message::decode(self.settings.variant, octets)?;
        self.handle_message(now, cic, message, out);
        Ok(())
    }

    /// Takes a message of the far end.
    pub fn handle_message(&mut self, now: Instant, cic: Cic, message: Message, out: &mut Vec<Output>) {
        let kind = message.kind();
        if !self.circuits.contains_key(&cic) {
            out.push(Output::Alert { cic, alert: Alert::UnknownCircuit(kind) });
            // Q.764 2.12: a circuit that isn't equipped is told; never in answer to the same.
            if ![MessageType::UCIC, MessageType::CFN, MessageType::RLC].contains(&kind) {
                out.push(Output::Transmit { cic, message: Message::new(MessageType::UCIC) });
            }
            return;
        }
        let (treatment, told) = treat(self.settings.variant, &message, self.settings.role);
        if let Some(message) = told {
            out.push(Output::Transmit { cic, message });
        }
        let message = match treatment {
            Treatment::Accept { without } => without.into_iter().fold(message, Message::without),
            Treatment::Discard => return,
            Treatment::Release(cause) => return self.release(now, cic, cause, out),
        };
        if self.handle_group(now, cic, &message, out) {
            return;
        }
        match event_of(&message) {
            Some(event) => {
                let _ = self.run(now, cic, event, Some(message), out); // what comes is never refused
            }
            None => out.push(Output::Alert { cic, alert: Alert::Unexpected(kind) }),
        }
    }

    /// Releases the call of a circuit for a reason of the protocol.
    fn release(&mut self, now: Instant, cic: Cic, cause: Cause, out: &mut Vec<Output>) {
        let message = release_of(cause, self.settings.location);
        if self.run(now, cic, Event::Wanted(Order::Send(Signal::Rel)), Some(message), out).is_ok() {
            out.push(Output::Ended { cic, cause });
        }
    }

    // --- time -------------------------------------------------------------------------------------

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Output>) {
        while let Some((at, owner)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, owner));
            match owner {
                Owner::Circuit(cic, timer) => {
                    if let Some(slot) = self.circuits.get_mut(&cic) {
                        slot.running.remove(&timer);
                    }
                    let _ = self.run(now, cic, Event::Expired(timer), None, out);
                }
                Owner::Range(first, request, timer) => self.expired_range(now, first, request, timer, out),
            }
        }
    }

    // --- one step of one circuit ------------------------------------------------------------------

    fn run(
        &mut self,
        now: Instant,
        cic: Cic,
        event: Event,
        message: Option<Message>,
        out: &mut Vec<Output>,
    ) -> Result<(), OrderError> {
        let rules = Rules { controlling: self.settings.controls(cic) };
        let location = self.settings.location;
        let slot = self.circuits.get_mut(&cic).ok_or(OrderError::UnknownCircuit(cic))?;
        let before = slot.circuit.call;
        let (circuit, actions) =
            step(rules, slot.circuit, event).map_err(|refused| OrderError::Refused { cic, refused })?;
        slot.circuit = circuit;
        if circuit.call == Call::Idle && before != Call::Idle {
            self.sequence += 1;
            slot.idle_since = self.sequence;
        }
        let mut moving = None;
        for action in actions {
            let Some(slot) = self.circuits.get_mut(&cic) else { break };
            match action {
                Action::Pass => {
                    if let Some(message) = message.clone() {
                        match message.kind() {
                            MessageType::REL => slot.release = Some(message.clone()),
                            MessageType::SAM if slot.address.len() < limits::ISUP_ADDRESS_MESSAGES => {
                                slot.address.push(message.clone());
                            }
                            _ => {}
                        }
                        out.push(Output::Transmit { cic, message });
                    }
                }
                Action::Deliver => {
                    if let Some(message) = message.clone() {
                        out.push(Output::Heard { cic, message });
                    }
                }
                Action::Transmit(kind) => out.push(Output::Transmit { cic, message: Message::new(kind) }),
                Action::TransmitContinuity { successful } => {
                    let continuity = Continuity::default().with_successful(successful);
                    let message = Message::new(MessageType::COT).with(Parameter::Continuity(continuity));
                    out.push(Output::Transmit { cic, message });
                }
                Action::Release(cause) => {
                    let message = release_of(cause, location);
                    slot.release = Some(message.clone());
                    out.push(Output::Transmit { cic, message });
                }
                Action::RepeatRelease => {
                    let message = slot.release.clone().unwrap_or_else(|| release_of(Cause::NORMAL, location));
                    out.push(Output::Transmit { cic, message });
                }
                Action::End(Ended::Cause(cause)) => out.push(Output::Ended { cic, cause }),
                Action::End(Ended::Repeat) => moving = Some((std::mem::take(&mut slot.address), slot.attempts)),
                Action::Start(timer) => self.start(now, cic, timer),
                Action::Stop(timer) => self.stop(cic, timer),
                Action::Tone(on) => out.push(Output::Tone { cic, on }),
                Action::Loop(on) => out.push(Output::Loop { cic, on }),
                Action::Alert(timer) => out.push(Output::Alert { cic, alert: Alert::Expired(timer) }),
                Action::Unexpected => {
                    let kind = message.as_ref().map_or(MessageType::CFN, Message::kind);
                    out.push(Output::Alert { cic, alert: Alert::Unexpected(kind) });
                }
            }
            if let Some((address, attempts)) = moving.take() {
                self.repeat(now, cic, address, attempts, out);
            }
        }
        self.tidy(cic);
        Ok(())
    }

    /// A call whose circuit was lost before anything was heard tries another one.
    fn repeat(&mut self, now: Instant, from: Cic, address: Vec<Message>, attempts: usize, out: &mut Vec<Output>) {
        let at = out.len();
        let next = match attempts < limits::ISUP_ATTEMPTS {
            true => self.seize_next(now, address, attempts + 1, out),
            false => None,
        };
        match next {
            // The call knows its circuit before it is spoken of.
            Some(to) => out.insert(at, Output::Moved { from, to }),
            None => out.push(Output::Ended { cic: from, cause: Cause::NO_CIRCUIT }),
        }
    }

    /// Forgets messages that won't be said again.
    fn tidy(&mut self, cic: Cic) {
        let Some(slot) = self.circuits.get_mut(&cic) else { return };
        if !matches!(slot.circuit.call, Call::Outgoing(Phase::Checking | Phase::Addressed)) {
            slot.address.clear();
        }
        if slot.circuit.call != Call::Releasing {
            slot.release = None;
        }
    }

    fn start(&mut self, now: Instant, cic: Cic, timer: Timer) {
        self.stop(cic, timer);
        let at = now + self.settings.timers.of(timer);
        if let Some(slot) = self.circuits.get_mut(&cic) {
            slot.running.insert(timer, at);
            self.due.insert((at, Owner::Circuit(cic, timer)));
        }
    }

    fn stop(&mut self, cic: Cic, timer: Timer) {
        if let Some(at) = self.circuits.get_mut(&cic).and_then(|slot| slot.running.remove(&timer)) {
            self.due.remove(&(at, Owner::Circuit(cic, timer)));
        }
    }
}

/// REL with a cause that was decided here.
fn release_of(cause: Cause, location: Location) -> Message {
    Message::new(MessageType::REL).with(Parameter::Cause(CauseIndicators::new(Release { cause, location })))
}

/// What a message means to the circuit that it names; `None` for those about groups and exchanges.
fn event_of(message: &Message) -> Option<Event> {
    use MessageType as M;
    let network = message.suspend_resume().is_some_and(|indicators| indicators.network_initiated());
    let supervised = |supervision| Some(Event::Supervised(supervision));
    let heard = |signal| Some(Event::Heard(signal));
    match message.kind() {
        M::IAM => {
            let check = message.nature_of_connection().map(|nature| nature.continuity());
            heard(Signal::Iam { check: check == Some(ContinuityCheck::REQUIRED) })
        }
        M::SAM => heard(Signal::Sam),
        M::ACM => heard(Signal::Acm),
        M::CPG => heard(Signal::Cpg),
        M::CON => heard(Signal::Con),
        M::ANM => heard(Signal::Anm),
        M::REL => heard(Signal::Rel),
        M::SUS => heard(Signal::Sus { network }),
        M::RES => heard(Signal::Res { network }),
        M::INR => heard(Signal::Inr),
        M::INF => heard(Signal::Inf),
        M::FOT => heard(Signal::Fot),
        M::RLC => supervised(Supervision::Rlc),
        M::COT => supervised(Supervision::Cot { successful: message.continuity().is_some_and(Continuity::successful) }),
        M::CCR => supervised(Supervision::Ccr),
        M::BLO => supervised(Supervision::Blo),
        M::BLA => supervised(Supervision::Bla),
        M::UBL => supervised(Supervision::Ubl),
        M::UBA => supervised(Supervision::Uba),
        M::RSC => supervised(Supervision::Rsc),
        M::UCIC => supervised(Supervision::Ucic),
        M::USR
        | M::FAC
        | M::FAR
        | M::FAA
        | M::FRJ
        | M::SGM
        | M::APM
        | M::PRI
        | M::LOP
        | M::IDR
        | M::IRS
        | M::NRM
        | M::CRG
        | M::PAM
        | M::EXM => heard(Signal::Other),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
