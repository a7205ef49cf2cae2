//! What an exchange does with messages and parameters that it doesn't know (Q.764 2.9.5, with the
//! instructions of Q.763 3.33 and 3.41 that the sender put beside them).
//!
//! Instruction octets, one or more, bit H set in the last:
//!
//! ```text
//!   bit            A        B        C             D                E                    GF (parameters)
//!   message        end node release  notification  discard message  pass on not possible: discard
//!   parameter      end node release  notification  discard message  discard parameter    pass on not possible
//! ```
//!
//! **Unverified**: what holds when the sender gave no instruction at all. We pass an unknown
//! parameter on, and discard it where the call ends; an unknown message is discarded and answered by CFN
//! with cause 97. That harms no call, and the far end learns of it.

use super::cause::CauseIndicators;
use super::message::{Message, MessageType};
use super::parameter::{Content, Parameter, ParameterCode};
use super::{Octets, Variant};
use crate::trunk::Cause;

/// Where the exchange stands in the call (Q.764 2.9.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It only passes the call on: type B.
    Transit,
    /// The ISUP of the call begins or ends here, as at every gateway to SIP: type A.
    EndNode,
}

/// What the sender wants to be done with what isn't known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction(u8);

impl Instruction {
    /// From the first of its octets.
    pub fn from_octet(octet: u8) -> Instruction {
        Instruction(octet)
    }
    /// Bit A: also exchanges that only pass the call on are to follow the rest.
    pub fn is_for_transit(self) -> bool {
        self.0 & 1 != 0
    }
    /// Bit B: release the call.
    pub fn release(self) -> bool {
        self.0 & 2 != 0
    }
    /// Bit C: tell the sender.
    pub fn notify(self) -> bool {
        self.0 & 4 != 0
    }
    /// Bit D: discard the message.
    pub fn discard_message(self) -> bool {
        self.0 & 8 != 0
    }
    /// Bit E of a parameter: discard it.
    pub fn discard_parameter(self) -> bool {
        self.0 & 16 != 0
    }
    /// Bits GF of a parameter: 0 release, 1 discard the message, 2 discard the parameter where it can't
    /// be passed on.
    pub fn pass_on_not_possible(self) -> u8 {
        self.0 >> 5 & 3
    }
}

/// Message compatibility information: instructions for the message that it stands in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageCompatibility {
    octets: Octets,
}

impl MessageCompatibility {
    /// With one octet of instructions.
    pub fn new(instruction: u8) -> MessageCompatibility {
        MessageCompatibility { octets: Octets::from_slice(&[instruction | 0x80]) }
    }
    /// The instructions.
    pub fn instruction(&self) -> Instruction {
        Instruction(self.octets.first().copied().unwrap_or(0))
    }
}

impl Content for MessageCompatibility {
    fn from_octets(octets: &[u8]) -> Option<Self> {
        (!octets.is_empty()).then(|| MessageCompatibility { octets: Octets::from_slice(octets) })
    }
    fn octets(&self) -> &[u8] {
        &self.octets
    }
}

/// Parameter compatibility information: instructions for other parameters of the message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParameterCompatibility {
    octets: Octets,
}

impl ParameterCompatibility {
    /// One octet of instructions for each of these parameters; `None` for none.
    pub fn new(instructions: &[(ParameterCode, u8)]) -> Option<ParameterCompatibility> {
        let octets: Octets = instructions.iter().flat_map(|(code, octet)| [code.value(), octet | 0x80]).collect();
        Self::from_octets(&octets)
    }

    /// The instructions for a parameter.
    pub fn instruction(&self, code: ParameterCode) -> Option<Instruction> {
        self.instructions().find(|(known, _)| *known == code).map(|(_, instruction)| instruction)
    }

    /// All of them.
    pub fn instructions(&self) -> impl Iterator<Item = (ParameterCode, Instruction)> + '_ {
        let mut rest = &self.octets[..];
        std::iter::from_fn(move || {
            let (&code, after) = rest.split_first()?;
            let first = *after.first()?;
            let last = after.iter().position(|octet| octet & 0x80 != 0)?;
            rest = after.get(last + 1..)?;
            Some((ParameterCode::new(code), Instruction(first)))
        })
    }
}

impl Content for ParameterCompatibility {
    fn from_octets(octets: &[u8]) -> Option<Self> {
        // Every name has its instructions, and those have an end.
        let is_whole = octets.len() >= 2 && octets.last().is_some_and(|octet| octet & 0x80 != 0);
        is_whole.then(|| ParameterCompatibility { octets: Octets::from_slice(octets) })
    }
    fn octets(&self) -> &[u8] {
        &self.octets
    }
}

/// What is done with a message that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// Go on with it; these parameters are left out.
    Accept {
        /// Codes of parameters that are not to be passed on.
        without: Vec<ParameterCode>,
    },
    /// Forget it.
    Discard,
    /// Release the call with this cause.
    Release(Cause),
}

/// Cause 97: message type non-existent or not implemented.
const MESSAGE_UNKNOWN: u8 = 97;
/// Cause 99: parameter non-existent or not implemented; it was discarded, or the call released.
const PARAMETER_UNKNOWN: u8 = 99;
/// Cause 103: parameter non-existent or not implemented, passed on.
const PARAMETER_PASSED_ON: u8 = 103;
/// Cause 110: message with unrecognised parameter, discarded.
const MESSAGE_DISCARDED: u8 = 110;

fn cause(value: u8) -> Cause {
    Cause::new(value).unwrap_or(Cause::PROTOCOL)
}

/// Decides on a message by its compatibility information: what becomes of it, and the CFN for the sender
/// if one is due.
pub fn treat(variant: Variant, message: &Message, role: Role) -> (Treatment, Option<Message>) {
    if !message.kind().is_known(variant) {
        return treat_message(message, role);
    }
    let mut without = Vec::new();
    let mut told = Vec::new();
    let mut notice = PARAMETER_PASSED_ON;
    for other in message.parameters().iter().filter_map(as_other) {
        let instruction = message.parameter_compatibility().and_then(|list| list.instruction(other));
        let (outcome, notify) = match instruction {
            None if role == Role::Transit => (Outcome::PassOn, false),
            None => (Outcome::DiscardParameter, true),
            Some(instruction) if role == Role::Transit && !instruction.is_for_transit() => (Outcome::PassOn, false),
            Some(instruction) => (outcome_of(instruction, role), instruction.notify()),
        };
        match outcome {
            Outcome::Release => return (Treatment::Release(cause(PARAMETER_UNKNOWN)), None),
            Outcome::DiscardMessage => {
                let confusion = notify.then(|| confusion(MESSAGE_DISCARDED, &[message.kind().value(), other.value()]));
                return (Treatment::Discard, confusion);
            }
            Outcome::DiscardParameter => {
                without.push(other);
                notice = PARAMETER_UNKNOWN;
            }
            Outcome::PassOn => {}
        }
        if notify {
            told.push(other.value());
        }
    }
    let told = (!told.is_empty() && message.kind() != MessageType::CFN).then(|| confusion(notice, &told));
    (Treatment::Accept { without }, told)
}

enum Outcome {
    Release,
    DiscardMessage,
    DiscardParameter,
    PassOn,
}

fn outcome_of(instruction: Instruction, role: Role) -> Outcome {
    if instruction.release() {
        return Outcome::Release;
    }
    if instruction.discard_message() {
        return Outcome::DiscardMessage;
    }
    if instruction.discard_parameter() {
        return Outcome::DiscardParameter;
    }
    match (role, instruction.pass_on_not_possible()) {
        (Role::Transit, _) => Outcome::PassOn,
        (Role::EndNode, 1) => Outcome::DiscardMessage,
        (Role::EndNode, 2) => Outcome::DiscardParameter,
        // 3 is reserved and interpreted as 00, release.
        (Role::EndNode, _) => Outcome::Release,
    }
}

fn treat_message(message: &Message, role: Role) -> (Treatment, Option<Message>) {
    let refusal = || Some(confusion(MESSAGE_UNKNOWN, &[message.kind().value()]));
    if message.kind() == MessageType::CFN {
        return (Treatment::Discard, None); // Q.764 2.9.5.1: CFN is never answered by CFN
    }
    let Some(instruction) = message.message_compatibility().map(MessageCompatibility::instruction) else {
        return (Treatment::Discard, refusal());
    };
    if role == Role::Transit && !instruction.is_for_transit() {
        return (Treatment::Accept { without: Vec::new() }, None);
    }
    if instruction.release() {
        return (Treatment::Release(cause(MESSAGE_UNKNOWN)), None);
    }
    let told = if instruction.notify() { refusal() } else { None };
    match role {
        Role::Transit if !instruction.discard_message() => (Treatment::Accept { without: Vec::new() }, told),
        _ => (Treatment::Discard, told),
    }
}

/// The code of a parameter that nobody here knows. One that is known by its code and can't be read is passed
/// on as it came. **Unverified** for such ones: Q.764 may want them treated as unrecognised.
fn as_other(parameter: &Parameter) -> Option<ParameterCode> {
    match parameter {
        Parameter::Other(other) if other.code().name().is_none() => Some(other.code()),
        _ => None,
    }
}

fn confusion(value: u8, diagnostics: &[u8]) -> Message {
    let release = crate::trunk::Release::here(cause(value));
    Message::new(MessageType::CFN).with(Parameter::Cause(CauseIndicators::new(release).with_diagnostics(diagnostics)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGE: ParameterCode = ParameterCode::new(0x9A);

    fn answer(instruction: Option<u8>) -> Message {
        let message = Message::new(MessageType::ANM).with(Parameter::read(STRANGE, &[1]));
        match instruction {
            Some(octet) => message.with(Parameter::ParameterCompatibility(
                ParameterCompatibility::new(&[(STRANGE, octet)]).expect("one instruction"),
            )),
            None => message,
        }
    }

    #[track_caller]
    fn check(instruction: Option<u8>, role: Role, treatment: &Treatment, confusion: Option<u8>) {
        let (found, told) = treat(Variant::Itu, &answer(instruction), role);
        assert_eq!(found, *treatment);
        assert_eq!(told.map(|cfn| cfn.cause().expect("a cause").cause().value()), confusion);
    }

    #[test]
    fn parameters_that_are_not_known_are_treated_as_their_sender_asks() {
        let passed = Treatment::Accept { without: vec![] };
        let dropped = Treatment::Accept { without: vec![STRANGE] };
        check(None, Role::Transit, &passed, None);
        check(None, Role::EndNode, &dropped, Some(99));
        check(Some(0b0000_0010), Role::EndNode, &Treatment::Release(cause(99)), None);
        check(Some(0b0000_0010), Role::Transit, &passed, None);
        check(Some(0b0000_0011), Role::Transit, &Treatment::Release(cause(99)), None);
        check(Some(0b0000_1100), Role::EndNode, &Treatment::Discard, Some(110));
        check(Some(0b0001_0000), Role::EndNode, &dropped, None);
        check(Some(0b0001_0100), Role::EndNode, &dropped, Some(99));
        check(Some(0b0100_0000), Role::EndNode, &dropped, None);
        check(Some(0b0010_0000), Role::EndNode, &Treatment::Discard, None);
        check(Some(0b0000_0000), Role::EndNode, &Treatment::Release(cause(99)), None);
        check(Some(0b0000_0101), Role::Transit, &passed, Some(103));
    }

    #[test]
    fn messages_that_are_not_known_are_treated_as_their_sender_asks() {
        let unknown = |instruction: Option<u8>| {
            let octets = instruction.map_or(vec![0], |octet| vec![1, 56, 1, octet | 0x80, 0]);
            Message::raw(MessageType::new(0xE0), &octets).expect("a short message")
        };
        let passed = Treatment::Accept { without: vec![] };
        let treat = |instruction, role| {
            let (treatment, told) = treat(Variant::Itu, &unknown(instruction), role);
            (treatment, told.is_some())
        };
        assert_eq!(treat(None, Role::EndNode), (Treatment::Discard, true));
        assert_eq!(treat(Some(0b0000_0010), Role::EndNode), (Treatment::Release(cause(97)), false));
        assert_eq!(treat(Some(0b0000_0010), Role::Transit), (passed.clone(), false));
        assert_eq!(treat(Some(0b0000_1000), Role::EndNode), (Treatment::Discard, false));
        assert_eq!(treat(Some(0b0000_1101), Role::Transit), (Treatment::Discard, true));
    }

    #[test]
    fn instructions_of_several_octets_are_passed_over() {
        let list = ParameterCompatibility::from_octets(&[0x9A, 0x02, 0x80, 0x9B, 0x90]).expect("two instructions");
        assert!(list.instruction(STRANGE).expect("the first").release());
        assert!(list.instruction(ParameterCode::new(0x9B)).expect("the second").discard_parameter());
        assert_eq!(ParameterCompatibility::from_octets(&[0x9A, 0x02]), None, "no end");
    }
}
