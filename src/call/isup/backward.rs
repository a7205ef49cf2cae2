//! What follows the IAM, in both directions (RFC 3398 7.2.3 to 7.2.9, 8.2.3 to 8.2.8, 9, 13).

use super::Side;
use super::forward::calling_number;
use super::numbers::{digits_of, text_of};
use crate::isup::cause::CauseIndicators;
use crate::isup::indicators::{
    AddressResponse, BackwardCall, CallEvent, CalledPartyCategory, CalledPartyStatus, CallingCategory, Category,
    Charge, EventInformation, InformationIndicators, OptionalBackwardCall, SuspendResume,
};
use crate::isup::number::SubsequentNumber;
use crate::isup::{Digits, Message, MessageType, Parameter, Variant};
use crate::trunk::{CalledStatus, Cause, Iam, Location, Progress, Release, TrunkEvent};

/// Cause 69: requested facility not implemented.
const FACILITY_NOT_IMPLEMENTED: u8 = 69;

/// The messages that tell the far exchange of an event, in order. `sent_acm`: whether this call had its ACM there.
pub fn messages_of(event: &TrunkEvent, sent_acm: bool, side: &Side) -> Vec<Message> {
    let one = |message: Message| vec![message];
    match event {
        // The start of a call is told by `iam_message`, which can fail; RLC is sent by the circuit itself.
        TrunkEvent::Iam(_) | TrunkEvent::Rlc => Vec::new(),
        TrunkEvent::Acm { status, in_band } if !sent_acm => one(acm(*status, *in_band)),
        TrunkEvent::Acm { status: CalledStatus::SubscriberFree, in_band } => one(cpg(Progress::Alerting, *in_band)),
        TrunkEvent::Acm { status: CalledStatus::NoIndication, in_band } => one(cpg(Progress::Progress, *in_band)),
        TrunkEvent::Cpg { event: Progress::Alerting, in_band } if !sent_acm => {
            one(acm(CalledStatus::SubscriberFree, *in_band))
        }
        // RFC 3398 8.2.3: 181 is "Early ACM and CPG, event=6".
        TrunkEvent::Cpg { event, in_band } if !sent_acm && event.is_forwarding() => {
            vec![acm(CalledStatus::NoIndication, false), cpg(*event, *in_band)]
        }
        TrunkEvent::Cpg { in_band, .. } if !sent_acm => one(acm(CalledStatus::NoIndication, *in_band)),
        TrunkEvent::Cpg { event, in_band } => one(cpg(*event, *in_band)),
        TrunkEvent::Anm => one(Message::new(MessageType::ANM)),
        TrunkEvent::Con if sent_acm => one(Message::new(MessageType::ANM)),
        // RFC 3398 13: "In ANSI ISUP, the CON message MUST NOT be sent; an ANM is sent instead".
        TrunkEvent::Con if side.variant == Variant::Ansi => one(Message::new(MessageType::ANM)),
        TrunkEvent::Con => {
            let indicators = backward_indicators(CalledStatus::NoIndication);
            one(Message::new(MessageType::CON).with(Parameter::BackwardCall(indicators)))
        }
        TrunkEvent::Rel(release) => one(rel(*release, side)),
        TrunkEvent::Sam(digits) => sam(digits, side).into_iter().collect(),
        TrunkEvent::Sus { network } => one(suspend(MessageType::SUS, *network)),
        TrunkEvent::Res { network } => one(suspend(MessageType::RES, *network)),
    }
}

/// The values of the table in RFC 3398 8.2.3, "in the absence of a usable encapsulated ACM".
fn backward_indicators(status: CalledStatus) -> BackwardCall {
    let status = match status {
        CalledStatus::NoIndication => CalledPartyStatus::NO_INDICATION,
        CalledStatus::SubscriberFree => CalledPartyStatus::SUBSCRIBER_FREE,
    };
    BackwardCall::default()
        .with_charge(Charge::CHARGE)
        .with_status(status)
        .with_category(CalledPartyCategory::ORDINARY)
        .with_isup_all_the_way(true)
}

fn in_band_parameter() -> Parameter {
    Parameter::OptionalBackwardCall(OptionalBackwardCall::default().with_in_band(true))
}

fn acm(status: CalledStatus, in_band: bool) -> Message {
    let message = Message::new(MessageType::ACM).with(Parameter::BackwardCall(backward_indicators(status)));
    if in_band { message.with(in_band_parameter()) } else { message }
}

fn cpg(event: Progress, in_band: bool) -> Message {
    // RFC 3398 8.2.3: "the gateway SHOULD indicate that in-band information is available (for example, with the Event
    // Information parameter of the CPG message [...])".
    let (code, is_said) = match event {
        Progress::Alerting => (CallEvent::ALERTING, false),
        Progress::InBand => (CallEvent::IN_BAND, true),
        Progress::Progress if in_band => (CallEvent::IN_BAND, true),
        Progress::Progress | Progress::Queued => (CallEvent::PROGRESS, false),
        Progress::Forwarded => (CallEvent::FORWARDED, false),
        Progress::ForwardedBusy => (CallEvent::FORWARDED_BUSY, false),
        Progress::ForwardedNoReply => (CallEvent::FORWARDED_NO_REPLY, false),
    };
    let message = Message::new(MessageType::CPG).with(Parameter::Event(EventInformation::default().with_event(code)));
    if in_band && !is_said { message.with(in_band_parameter()) } else { message }
}

/// What was decided here is said to be decided where the configuration says.
fn rel(release: Release, side: &Side) -> Message {
    let location = if release.location == Location::LocalNetwork { side.location } else { release.location };
    Message::new(MessageType::REL).with(Parameter::Cause(CauseIndicators::new(Release { location, ..release })))
}

/// RFC 3398 13, of ANSI: "SAMs MUST NOT be sent".
fn sam(digits: &str, side: &Side) -> Option<Message> {
    if side.variant == Variant::Ansi {
        return None;
    }
    let (number, end) = match digits.strip_suffix('F') {
        Some(number) => (number, "F"),
        None => (digits, ""),
    };
    let signals = if number.is_empty() { String::new() } else { digits_of(number)?.as_str().to_owned() };
    let digits = Digits::new(&format!("{signals}{end}")).ok()?;
    Some(Message::new(MessageType::SAM).with(Parameter::SubsequentNumber(SubsequentNumber::new(&digits)?)))
}

fn suspend(kind: MessageType, network: bool) -> Message {
    Message::new(kind).with(Parameter::SuspendResume(SuspendResume::default().with_network_initiated(network)))
}

/// What a message of the far exchange, not an IAM, means to the call; `None` for those that mean nothing to the other
/// leg ([`answer_of`] may have an answer to them).
pub fn event_of(message: &Message, side: &Side) -> Option<TrunkEvent> {
    Some(match message.kind() {
        MessageType::ACM => acm_of(message),
        MessageType::CPG => cpg_of(message),
        MessageType::ANM => TrunkEvent::Anm,
        MessageType::CON => TrunkEvent::Con,
        // A cause that can't be read counts as 31, as one that no recommendation has.
        MessageType::REL => TrunkEvent::Rel(message.cause().map_or(
            Release { cause: Cause::UNSPECIFIED, location: Location::BeyondInterworking },
            CauseIndicators::release,
        )),
        MessageType::RLC => TrunkEvent::Rlc,
        MessageType::SAM if side.variant == Variant::Itu => {
            let digits = message.subsequent_number()?.digits();
            let end = if digits.has_end() { "F" } else { "" };
            TrunkEvent::Sam(format!("{}{end}", text_of(digits.number())))
        }
        MessageType::SUS => TrunkEvent::Sus { network: is_of_network(message) },
        MessageType::RES => TrunkEvent::Res { network: is_of_network(message) },
        _ => return None,
    })
}

fn is_of_network(message: &Message) -> bool {
    message.suspend_resume().is_some_and(SuspendResume::network_initiated)
}

/// Whether something can be heard on the circuit: OBCI says so, or (RFC 3398 7.2.6) "interworking has been
/// encountered [...], then there may be in-band announcements of call status".
fn may_be_heard(message: &Message) -> bool {
    message.optional_backward_call().is_some_and(OptionalBackwardCall::in_band)
        || message.backward_call().is_some_and(BackwardCall::interworking)
}

fn acm_of(message: &Message) -> TrunkEvent {
    let status = message.backward_call().map_or(CalledPartyStatus::NO_INDICATION, BackwardCall::status);
    match status {
        CalledPartyStatus::SUBSCRIBER_FREE => {
            TrunkEvent::Acm { status: CalledStatus::SubscriberFree, in_band: may_be_heard(message) }
        }
        // "connect when free" and what is spare say as little as "no indication". The circuit is through in the
        // backward direction from the ACM on, and whatever the far exchange does next is heard there: RFC 3666 2.1
        // answers a bare ACM with 183 and SDP; an ACM with a cause is one of these (RFC 3398 7.1.6).
        _ => TrunkEvent::Acm { status: CalledStatus::NoIndication, in_band: true },
    }
}

fn cpg_of(message: &Message) -> TrunkEvent {
    let code = message.event().map_or(CallEvent::PROGRESS, EventInformation::event);
    let event = match code {
        CallEvent::ALERTING => Progress::Alerting,
        CallEvent::IN_BAND => Progress::InBand,
        CallEvent::FORWARDED_BUSY => Progress::ForwardedBusy,
        CallEvent::FORWARDED_NO_REPLY => Progress::ForwardedNoReply,
        CallEvent::FORWARDED => Progress::Forwarded,
        _ => Progress::Progress,
    };
    TrunkEvent::Cpg { event, in_band: event == Progress::InBand || may_be_heard(message) }
}

/// The answer to a message that wants one and concerns nobody but us: `iam` is the call that we know.
///
/// INR is answered with what is known of the caller, FAR is refused, IDR gets an empty answer. FOT (an operator
/// wants attention), USR, CRG and the rest want none.
pub fn answer_of(message: &Message, iam: &Iam, side: &Side) -> Option<Message> {
    match message.kind() {
        MessageType::INR => Some(information(message, iam, side)),
        MessageType::FAR => {
            let cause = Cause::new(FACILITY_NOT_IMPLEMENTED).unwrap_or(Cause::NOT_AVAILABLE);
            let cause = CauseIndicators::new(Release { cause, location: side.location });
            let indicator = message.facility_indicator()?.clone();
            let rejected = Message::new(MessageType::FRJ).with(Parameter::FacilityIndicator(indicator));
            Some(rejected.with(Parameter::Cause(cause)))
        }
        MessageType::IDR => Some(Message::new(MessageType::IRS)),
        _ => None,
    }
}

fn information(request: &Message, iam: &Iam, side: &Side) -> Message {
    let wanted = request.information_request();
    let mut indicators = InformationIndicators::default();
    let mut parameters = Vec::new();
    if wanted.is_some_and(|request| request.calling_number()) {
        indicators = match calling_number(iam, side) {
            Some(number) => {
                parameters.push(Parameter::CallingNumber(number));
                indicators.with_calling_number(AddressResponse::INCLUDED)
            }
            None => indicators.with_calling_number(AddressResponse::NOT_AVAILABLE),
        };
    }
    if wanted.is_some_and(|request| request.calling_category()) {
        let category = Category::default().with_category(CallingCategory::new(iam.category.0));
        parameters.push(Parameter::Category(category));
        indicators = indicators.with_calling_category(true);
    }
    let message = Message::new(MessageType::INF).with(Parameter::InformationIndicators(indicators));
    parameters.into_iter().fold(message, Message::with)
}
