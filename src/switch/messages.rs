//! What the switch says: messages as octets, from their circuit on.

use super::script::Call;
use crate::isup::cause::CauseIndicators;
use crate::isup::indicators::{
    BackwardCall, CallEvent, CalledPartyStatus, CallingCategory, Category, Continuity, ContinuityCheck,
    EventInformation, ForwardCall, GroupSupervision, InformationIndicators, Medium, MediumRequirement,
    NatureOfConnection, OptionalBackwardCall, SupervisionType, SuspendResume,
};
use crate::isup::number::{AddressPresentation, Digits, NatureOfAddress, Number, Screening, SubsequentNumber};
use crate::isup::parameter::Bytes;
use crate::isup::supervision::{CircuitStates, RangeAndStatus};
use crate::isup::{Message, MessageType, Parameter, Variant};
use crate::trunk::Release;

pub(super) fn plain(kind: MessageType) -> Message {
    Message::new(kind)
}

/// IAM with these digits. The variant decides how it tells what the circuit must carry.
pub(super) fn iam(variant: Variant, call: &Call, digits: &str) -> Message {
    let medium = Medium::AUDIO_3K1;
    let check = match call.continuity {
        Some(_) => ContinuityCheck::REQUIRED,
        None => ContinuityCheck::NOT_REQUIRED,
    };
    let message = Message::new(MessageType::IAM)
        .with(Parameter::NatureOfConnection(NatureOfConnection::default().with_continuity(check)))
        .with(Parameter::ForwardCall(ForwardCall::default().with_isup_all_the_way(true).with_isdn_access(true)))
        .with(Parameter::Category(Category::default().with_category(CallingCategory::ORDINARY)));
    let message = match variant {
        Variant::Itu => message.with(Parameter::Medium(MediumRequirement::default().with_medium(medium))),
        Variant::Ansi => message.with(Parameter::UserService(Bytes::bearer(medium))),
    };
    let message = message.with(Parameter::CalledNumber(number(call.nature, digits)));
    let Some(calling) = &call.calling else { return message };
    let presentation = match call.anonymous {
        true => AddressPresentation::RESTRICTED,
        false => AddressPresentation::ALLOWED,
    };
    let calling = number(call.nature, calling).with_presentation(presentation).with_screening(Screening::NETWORK);
    message.with(Parameter::CallingNumber(calling))
}

fn number(nature: NatureOfAddress, digits: &str) -> Number {
    Number::new(nature, &Digits::new(digits).unwrap_or_default())
}

/// SAM with these digits; `None` when there are none.
pub(super) fn sam(digits: &str) -> Option<Message> {
    let number = SubsequentNumber::new(&Digits::new(digits).ok()?)?;
    Some(Message::new(MessageType::SAM).with(Parameter::SubsequentNumber(number)))
}

fn backward(free: bool) -> Parameter {
    let status = if free { CalledPartyStatus::SUBSCRIBER_FREE } else { CalledPartyStatus::NO_INDICATION };
    let indicators = BackwardCall::default().with_isup_all_the_way(true).with_isdn_access(true).with_status(status);
    Parameter::BackwardCall(indicators)
}

pub(super) fn acm(free: bool, in_band: bool) -> Message {
    let message = Message::new(MessageType::ACM).with(backward(free));
    match in_band {
        true => message.with(Parameter::OptionalBackwardCall(OptionalBackwardCall::default().with_in_band(true))),
        false => message,
    }
}

pub(super) fn cpg(event: CallEvent) -> Message {
    Message::new(MessageType::CPG).with(Parameter::Event(EventInformation::default().with_event(event)))
}

/// CON, or ANM where there is no CON.
pub(super) fn con(variant: Variant) -> Message {
    match variant {
        Variant::Itu => Message::new(MessageType::CON).with(backward(false)),
        Variant::Ansi => Message::new(MessageType::ANM),
    }
}

pub(super) fn rel(release: Release) -> Message {
    Message::new(MessageType::REL).with(Parameter::Cause(CauseIndicators::new(release)))
}

/// SUS or RES.
pub(super) fn suspension(kind: MessageType, network: bool) -> Message {
    let indicators = SuspendResume::default().with_network_initiated(network);
    Message::new(kind).with(Parameter::SuspendResume(indicators))
}

/// The answer to INR: nothing more is known.
pub(super) fn inf() -> Message {
    Message::new(MessageType::INF).with(Parameter::InformationIndicators(InformationIndicators::default()))
}

/// COT.
pub(super) fn cot(successful: bool) -> Message {
    Message::new(MessageType::COT).with(Parameter::Continuity(Continuity::default().with_successful(successful)))
}

/// CGB, CGU and their answers, or GRA with `None`; one bit a circuit.
pub(super) fn with_status(kind: MessageType, hardware: Option<bool>, status: &[bool]) -> Option<Message> {
    let range = Parameter::RangeAndStatus(RangeAndStatus::status(status)?);
    let message = match hardware {
        Some(hardware) => {
            let reason = if hardware { SupervisionType::HARDWARE } else { SupervisionType::MAINTENANCE };
            let supervision = GroupSupervision::default().with_kind(reason);
            Message::new(kind).with(Parameter::GroupSupervision(supervision))
        }
        None => Message::new(kind),
    };
    Some(message.with(range))
}

/// GRS for so many circuits.
pub(super) fn grs(circuits: usize) -> Option<Message> {
    Some(Message::new(MessageType::GRS).with(Parameter::RangeAndStatus(RangeAndStatus::range(circuits)?)))
}

/// CQR: the range that was asked for, and the state of each circuit.
pub(super) fn cqr(range: &RangeAndStatus, states: CircuitStates) -> Message {
    Message::new(MessageType::CQR).with(Parameter::RangeAndStatus(range.clone())).with(Parameter::CircuitStates(states))
}
