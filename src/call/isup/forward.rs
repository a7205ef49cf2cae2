//! IAM: a call begins (RFC 3398 7.2.1.1 and 8.2.1.1).

use super::Side;
use super::numbers::{number_of, written};
use crate::isup::compatibility::{Role, Treatment, treat};
use crate::isup::indicators::{
    CallingCategory as CategoryCode, Category, Count, ForwardCall, HopCounter, Medium as MediumCode, MediumRequirement,
    NatureOfConnection, RedirectingIndicator, Redirection, RedirectionReason,
};
use crate::isup::number::{AddressPresentation, Screening as ScreeningCode};
use crate::isup::parameter::{Bytes, Content};
use crate::isup::{Message, MessageType, NatureOfAddress, Number, Parameter, ParameterCode, Variant};
use crate::trunk::{
    CallingCategory, Cause, Diversion, DiversionReason, Iam, IsupBody, Medium, Presentation, Screening,
};

/// Hops that a hop counter can say.
const HOPS_MAX: u8 = 31;
/// Redirections that a redirection counter can say.
const REDIRECTIONS_MAX: u8 = 5;
/// Octets of a generic name behind the first (T1.113: 15 characters).
const NAME_MAX: usize = 15;
/// First octet of a generic name: calling name, presentation allowed. **Unverified** beyond what tshark reads.
const CALLING_NAME: u8 = 1 << 5;

/// The IAM that tells the exchanges of this side of a call.
///
/// Where the caller's side speaks the same variant its IAM is the start, and what the call says is written over it
/// (RFC 3398 7.2.1.1: "the gateway SHOULD reuse the values of each of the ISUP parameters of the encapsulated IAM",
/// "the relevant values of SIP header fields MUST 'overwrite'").
///
/// # Errors
/// The cause that refuses the call: 28 for a number that no exchange could read, 25 for a call that has made
/// all its hops.
pub fn iam_message(iam: &Iam, side: &Side) -> Result<Message, Cause> {
    let wanted = plain(iam, side)?;
    let heard = iam.isup.as_deref().and_then(|body| heard(body, side));
    let Some(heard) = heard else { return Ok(wanted) };
    let Ok(said) = iam_of(&heard, side).and_then(|said| plain(&said, side)) else { return Ok(wanted) };
    let changed = |code: ParameterCode| parameter(&wanted, code) != parameter(&said, code);
    let mut message = Message::new(MessageType::IAM);
    for original in heard.parameters() {
        let code = original.code();
        message = match code {
            // "it MUST set the FCI indicator in the generated IAM so that all interworking-related bits have the same
            // values"; whether the call is international is said by the number.
            ParameterCode::FORWARD_CALL if changed(code) => {
                let international = wanted.forward_call().is_some_and(ForwardCall::international);
                let indicators = heard.forward_call().cloned().unwrap_or_default();
                message.with(Parameter::ForwardCall(indicators.with_international(international)))
            }
            ParameterCode::HOP_COUNTER => message,
            _ if !changed(code) => message.with(original.clone()),
            _ => message,
        };
    }
    let missing: Vec<Parameter> = wanted
        .parameters()
        .iter()
        .filter(|wanted| parameter(&message, wanted.code()).is_none())
        .filter(|wanted| changed(wanted.code()) || wanted.code() == ParameterCode::HOP_COUNTER)
        .cloned()
        .collect();
    Ok(missing.into_iter().fold(message, Message::with))
}

/// The IAM of the caller's side, less what is not to be passed on; `None` when it can't be read, or is of the other
/// variant.
fn heard(body: &IsupBody, side: &Side) -> Option<Message> {
    if body.is_ansi != (side.variant == Variant::Ansi) {
        return None;
    }
    let message = Message::decode_body(side.variant, &body.octets).ok()?;
    if message.kind() != MessageType::IAM {
        return None;
    }
    match treat(side.variant, &message, Role::Transit).0 {
        Treatment::Accept { without } => Some(without.into_iter().fold(message, Message::without)),
        Treatment::Discard | Treatment::Release(_) => None,
    }
}

fn parameter(message: &Message, code: ParameterCode) -> Option<&Parameter> {
    message.parameters().iter().find(|parameter| parameter.code() == code)
}

/// The IAM of a call that did not come by ISUP.
fn plain(iam: &Iam, side: &Side) -> Result<Message, Cause> {
    if iam.hops == Some(0) {
        return Err(Cause::ROUTING_ERROR);
    }
    // ST: Q.764 2.1.1.1 a) has it sent where the number is known to be complete. ANSI always is (RFC 3398 13: "'en-bloc'
    // signaling is always used").
    let with_end = side.variant == Variant::Itu && !iam.more_digits;
    let called = number_of(&iam.called, iam.called_nature, side, with_end).ok_or(Cause::INCOMPLETE)?;
    let category = Category::default().with_category(CategoryCode::new(iam.category.0));
    let mut message = Message::new(MessageType::IAM)
        .with(Parameter::NatureOfConnection(NatureOfConnection::default()))
        .with(Parameter::ForwardCall(forward_indicators(&called)))
        .with(Parameter::Category(category));
    let medium = match iam.medium {
        Medium::Speech => MediumCode::SPEECH,
        Medium::Audio => MediumCode::AUDIO_3K1,
    };
    message = match side.variant {
        Variant::Itu => message.with(Parameter::Medium(MediumRequirement::default().with_medium(medium))),
        Variant::Ansi => message.with(Parameter::UserService(Bytes::bearer(medium))),
    };
    message = message.with(Parameter::CalledNumber(called));
    // "The CIN parameter SHOULD be omitted from the outbound IAM if the From field is unusable."
    if let Some(number) = calling_number(iam, side) {
        message = message.with(Parameter::CallingNumber(number));
    }
    for parameter in redirection_parameters(iam, side) {
        message = message.with(parameter);
    }
    if let Some(hops) = iam.hops {
        // Scaled down, never up: a loop has to end.
        let hops = Count::new(hops.min(HOPS_MAX));
        message = message.with(Parameter::HopCounter(HopCounter::default().with_hops(hops)));
    }
    if let Some(name) = generic_name(iam, side) {
        message = message.with(name);
    }
    Ok(message)
}

/// RFC 3398 7.2.1.1: "it is STRONGLY RECOMMENDED that the gateway set the Interworking Indicator bit of the FCI to 'no
/// interworking' and the ISDN User Part Indicator to 'ISUP used all the way'; the gateway MAY also set the Originating
/// Access indicator to 'Originating access non-ISDN'".
fn forward_indicators(called: &Number) -> ForwardCall {
    ForwardCall::default()
        .with_isup_all_the_way(true)
        .with_international(called.nature() == NatureOfAddress::INTERNATIONAL)
}

/// The calling number with its presentation and screening.
pub(super) fn calling_number(iam: &Iam, side: &Side) -> Option<Number> {
    let number = number_of(iam.calling.as_deref()?, iam.calling_nature, side, false)?;
    Some(number.with_presentation(presentation_code(iam.presentation)).with_screening(match iam.screening {
        Screening::NotVerified => ScreeningCode::NOT_VERIFIED,
        Screening::Verified => ScreeningCode::VERIFIED,
        Screening::Failed => ScreeningCode::FAILED,
        Screening::Network => ScreeningCode::NETWORK,
    }))
}

fn presentation_code(presentation: Presentation) -> AddressPresentation {
    match presentation {
        Presentation::Allowed => AddressPresentation::ALLOWED,
        Presentation::Restricted => AddressPresentation::RESTRICTED,
    }
}

/// What restricts a number restricts it; other codes do not.
fn presentation_of(number: &Number) -> Presentation {
    match number.presentation() {
        AddressPresentation::RESTRICTED => Presentation::Restricted,
        _ => Presentation::Allowed,
    }
}

/// Original called number (who sent the call on first), redirecting number (who did last), and why.
fn redirection_parameters(iam: &Iam, side: &Side) -> Vec<Parameter> {
    let (Some(first), Some(last)) = (iam.diversions.first(), iam.diversions.last()) else { return Vec::new() };
    let number = |diversion: &Diversion| {
        let number = number_of(&diversion.number, Default::default(), side, false)?;
        Some(number.with_presentation(presentation_code(diversion.presentation)))
    };
    let is_restricted = iam.diversions.iter().any(|diversion| diversion.presentation == Presentation::Restricted);
    let indicator =
        if is_restricted { RedirectingIndicator::DIVERTED_RESTRICTED } else { RedirectingIndicator::DIVERTED };
    let count = iam.redirections.max(u8::try_from(iam.diversions.len()).unwrap_or(REDIRECTIONS_MAX));
    let redirection = Redirection::default()
        .with_indicator(indicator)
        .with_original_reason(reason_code(first.why))
        .with_count(Count::new(count.clamp(1, REDIRECTIONS_MAX)))
        .with_reason(reason_code(last.why));
    let numbers = [
        number(last).map(Parameter::RedirectingNumber),
        number(first).map(Parameter::OriginalCalledNumber),
        Some(Parameter::Redirection(redirection)),
    ];
    numbers.into_iter().flatten().collect()
}

const REASONS: [(DiversionReason, RedirectionReason); 7] = [
    (DiversionReason::Always, RedirectionReason::UNCONDITIONAL),
    (DiversionReason::Busy, RedirectionReason::BUSY),
    (DiversionReason::NoAnswer, RedirectionReason::NO_REPLY),
    (DiversionReason::Unreachable, RedirectionReason::NOT_REACHABLE),
    (DiversionReason::DeflectedRinging, RedirectionReason::DEFLECTION_ALERTING),
    (DiversionReason::DeflectedAtOnce, RedirectionReason::DEFLECTION_IMMEDIATE),
    (DiversionReason::Unknown, RedirectionReason::UNKNOWN),
];

fn reason_code(why: DiversionReason) -> RedirectionReason {
    REASONS.iter().find(|(known, _)| *known == why).map_or(RedirectionReason::UNKNOWN, |(_, code)| *code)
}

fn reason_of(code: RedirectionReason) -> DiversionReason {
    REASONS.iter().find(|(_, known)| *known == code).map(|(why, _)| *why).unwrap_or_default()
}

/// The caller's name, where the variant has room for it and the caller may be shown.
fn generic_name(iam: &Iam, side: &Side) -> Option<Parameter> {
    let name = iam.calling_name.as_deref().filter(|_| iam.presentation == Presentation::Allowed)?;
    let name: String = name.chars().filter(|c| matches!(c, ' '..='~')).take(NAME_MAX).collect();
    if side.variant != Variant::Ansi || name.is_empty() {
        return None;
    }
    let octets: Vec<u8> = [CALLING_NAME].into_iter().chain(name.bytes()).collect();
    Bytes::new(&octets).map(Parameter::GenericName)
}

/// The call of which an IAM of this side tells.
///
/// # Errors
/// The cause that refuses it: 28 without a called number, 65 for a medium that is no audio.
pub fn iam_of(message: &Message, side: &Side) -> Result<Iam, Cause> {
    let number = message.called_number().ok_or(Cause::INCOMPLETE)?;
    let (called, called_nature) = written(number, side);
    let more_digits = side.variant == Variant::Itu && !number.digits().has_end();
    if called.is_empty() && !more_digits {
        return Err(Cause::INCOMPLETE);
    }
    let mut iam = Iam { called, called_nature, more_digits, medium: medium_of(message)?, ..Iam::default() };
    // RFC 3398 12.1: "If presentation is set to 'address unavailable', then gateways should treat the IAM as if the CIN
    // parameter was omitted."
    let calling = message.calling_number().filter(|n| n.presentation() != AddressPresentation::NOT_AVAILABLE);
    if let Some(number) = calling.filter(|number| !number.digits().is_empty()) {
        let (calling, nature) = written(number, side);
        iam.calling = Some(calling);
        iam.calling_nature = nature;
        iam.presentation = presentation_of(number);
        iam.screening = match number.screening() {
            ScreeningCode::NOT_VERIFIED => Screening::NotVerified,
            ScreeningCode::VERIFIED => Screening::Verified,
            ScreeningCode::FAILED => Screening::Failed,
            _ => Screening::Network,
        };
    }
    iam.category = message.category().map_or(CallingCategory::ORDINARY, |c| CallingCategory(c.category().value()));
    iam.hops = message.hop_counter().map(|counter| counter.hops().value());
    iam.calling_name = message.generic_name().and_then(|name| calling_name_of(name.octets()));
    let (diversions, redirections) = diversions_of(message, side);
    iam.diversions = diversions;
    iam.redirections = redirections;
    iam.isup = message
        .encode_body(side.variant)
        .ok()
        .map(|octets| Box::new(IsupBody { is_ansi: side.variant == Variant::Ansi, octets }));
    Ok(iam)
}

/// A call that needs all 64 kbit/s can't be carried: RFC 3398 8.2.6.1 has 65 for a bearer that is not there.
fn medium_of(message: &Message) -> Result<Medium, Cause> {
    let by_requirement = message.medium().map(|medium| medium.medium());
    // Without either there is nothing against speech.
    let code = by_requirement
        .or_else(|| message.user_service().map(|s| s.as_medium().unwrap_or(MediumCode::UNRESTRICTED_64K)));
    match code.unwrap_or(MediumCode::SPEECH) {
        MediumCode::SPEECH => Ok(Medium::Speech),
        // "64 kbit/s preferred" may fall back; **unverified** that 3.1 kHz audio is what it falls back to, the parameter
        // that says so (TMR prime) is not read.
        MediumCode::AUDIO_3K1 | MediumCode::PREFERRED_64K => Ok(Medium::Audio),
        _ => Err(Cause::BEARER),
    }
}

/// Who sent the call on, the first one first: two at most are named, and a counter says how many there were.
fn diversions_of(message: &Message, side: &Side) -> (Vec<Diversion>, u8) {
    let information = message.redirection();
    let reason = |code: Option<RedirectionReason>| code.map_or(DiversionReason::Unknown, reason_of);
    let diversion = |number: &Number, why| Diversion {
        by: format!("isup/{}", side.name),
        number: written(number, side).0,
        why,
        presentation: presentation_of(number),
    };
    let first = message.original_called_number().filter(|number| !number.digits().is_empty());
    let last = message.redirecting_number().filter(|number| !number.digits().is_empty());
    let first = first.map(|number| diversion(number, reason(information.map(|i| i.original_reason()))));
    let last = last.map(|number| diversion(number, reason(information.map(|i| i.reason()))));
    let count = information.map_or(0, |i| i.count().value());
    let found: Vec<Diversion> = match (first, last) {
        // One telephone sent it on, and is named twice.
        (Some(first), Some(last)) if count <= 1 && first.number == last.number => vec![last],
        (first, last) => first.into_iter().chain(last).collect(),
    };
    let redirections = if usize::from(count) > found.len() { count } else { 0 };
    (found, redirections)
}

/// The text of a generic name that is a calling name and may be shown.
fn calling_name_of(octets: &[u8]) -> Option<String> {
    let (first, name) = octets.split_first()?;
    let is_calling = first >> 5 == CALLING_NAME >> 5;
    let may_be_shown = first & 3 == 0;
    let is_text = name.iter().all(|byte| (b' '..=b'~').contains(byte));
    let name = std::str::from_utf8(name).ok()?.trim();
    (is_calling && may_be_shown && is_text && !name.is_empty()).then(|| name.to_owned())
}
