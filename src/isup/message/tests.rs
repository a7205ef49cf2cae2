//! Every message there and back, random lists of parameters, and what is wrong with messages.

use super::*;
use crate::isup::cause::CauseIndicators;
use crate::isup::indicators::{
    BackwardCall, CalledPartyStatus, CallingCategory, Category, Continuity, EventInformation, ForwardCall,
    GroupSupervision, InformationIndicators, InformationRequest, Medium, MediumRequirement, NatureOfConnection,
    SuspendResume,
};
use crate::isup::number::{Digits, NatureOfAddress, Number, SubsequentNumber};
use crate::isup::parameter::Bytes;
use crate::isup::supervision::{CallProcessing, CircuitState, CircuitStates, RangeAndStatus};
use crate::rng::{Rng, Seed};
use crate::trunk::{Cause, Release};

/// Lists of parameters that are sent there and back: a few seconds in a debug build.
const LISTS: u32 = 1_000_000;

fn number(digits: &str) -> Number {
    Number::new(NatureOfAddress::NATIONAL, &Digits::new(digits).expect("digits"))
}

fn cic(code: u16) -> Cic {
    Cic::new(Variant::Itu, code).expect("a circuit")
}

/// A parameter of each kind that is mandatory somewhere.
fn mandatory(code: ParameterCode) -> Parameter {
    use ParameterCode as P;
    let status = RangeAndStatus::status(&[true, false, true]).expect("three circuits");
    match code {
        P::NATURE_OF_CONNECTION => Parameter::NatureOfConnection(NatureOfConnection::default()),
        P::FORWARD_CALL => Parameter::ForwardCall(ForwardCall::default().with_isup_all_the_way(true)),
        P::CATEGORY => Parameter::Category(Category::default().with_category(CallingCategory::ORDINARY)),
        P::MEDIUM => Parameter::Medium(MediumRequirement::default().with_medium(Medium::AUDIO_3K1)),
        P::CALLED_NUMBER => Parameter::CalledNumber(number("12345")),
        P::USER_SERVICE => Parameter::UserService(Bytes::bearer(Medium::SPEECH)),
        P::SUBSEQUENT_NUMBER => {
            Parameter::SubsequentNumber(SubsequentNumber::new(&Digits::new("678F").expect("digits")).expect("some"))
        }
        P::INFORMATION_REQUEST => Parameter::InformationRequest(InformationRequest::default()),
        P::INFORMATION => Parameter::InformationIndicators(InformationIndicators::default()),
        P::CONTINUITY => Parameter::Continuity(Continuity::default().with_successful(true)),
        P::BACKWARD_CALL => {
            Parameter::BackwardCall(BackwardCall::default().with_status(CalledPartyStatus::SUBSCRIBER_FREE))
        }
        P::CAUSE => Parameter::Cause(CauseIndicators::new(Release::user(Cause::BUSY))),
        P::SUSPEND_RESUME => Parameter::SuspendResume(SuspendResume::default()),
        P::EVENT => Parameter::Event(EventInformation::default()),
        P::GROUP_SUPERVISION => Parameter::GroupSupervision(GroupSupervision::default()),
        P::RANGE_AND_STATUS => Parameter::RangeAndStatus(status),
        P::CIRCUIT_STATES => Parameter::CircuitStates(
            CircuitStates::new([CircuitState::new(CallProcessing::IDLE, (false, false), (false, false)); 3])
                .expect("3"),
        ),
        other => Parameter::read(other, &[1]),
    }
}

fn smallest(variant: Variant, kind: MessageType) -> Message {
    let layout = kind.layout(variant).expect("a layout");
    let codes = layout.fixed.iter().map(|(code, _)| *code).chain(layout.variable.iter().copied());
    codes.fold(Message::new(kind), |message, code| message.with(mandatory(code)))
}

#[test]
fn every_message_comes_back_as_it_was_with_and_without_optional_parameters() {
    for variant in Variant::ALL {
        let mut known = 0;
        for value in 0..=255 {
            let kind = MessageType::new(value);
            if !kind.is_known(variant) {
                let raw = Message::raw(kind, &[9, 8, 7]).expect("short");
                let octets = raw.encode(variant, cic(5)).expect("no layout to break");
                assert_eq!(Message::decode(variant, &octets), Ok((cic(5), raw)));
                continue;
            }
            known += 1;
            let mut message = smallest(variant, kind);
            let octets = message.encode(variant, cic(4_095)).expect("all that is mandatory");
            assert_eq!(Message::decode(variant, &octets), Ok((cic(4_095), message.clone())), "{kind}");
            assert_eq!(Message::decode_body(variant, &octets[2..]), Ok(message.clone()), "{kind}");
            let more = Parameter::read(ParameterCode::new(200), &[1, 2, 3]);
            message = message.with(more.clone());
            match message.encode(variant, cic(0)) {
                Ok(octets) => assert_eq!(Message::decode(variant, &octets), Ok((cic(0), message))),
                Err(error) => assert_eq!(error, EncodeError::NoOptionalPart { kind, code: more.code() }),
            }
        }
        assert_eq!(known, if variant == Variant::Itu { 46 } else { 51 }, "{variant:?}");
    }
}

#[test]
fn octets_are_those_that_the_standard_draws() {
    let iam = smallest(Variant::Itu, MessageType::IAM).with(Parameter::CallingNumber(number("99")));
    let wanted = [
        0x2A, 0x01, 0x01, // circuit 298, IAM
        0x00, 0x20, 0x00, 0x0A, 0x03, // nature of connection, forward, category, medium
        0x02, 0x07, // pointers
        0x05, 0x83, 0x10, 0x21, 0x43, 0x05, // called number
        0x0A, 0x03, 0x03, 0x10, 0x99, 0x00, // calling number, end
    ];
    assert_eq!(iam.encode(Variant::Itu, cic(298)).expect("whole"), wanted);
    let ansi = smallest(Variant::Ansi, MessageType::IAM);
    let wanted = [
        0x2A, 0x01, 0x01, 0x00, 0x20, 0x00, 0x0A, // no medium
        0x03, 0x06, 0x00, // pointers: user service, called number, no optional part
        0x03, 0x80, 0x90, 0xA2, 0x05, 0x83, 0x10, 0x21, 0x43, 0x05,
    ];
    assert_eq!(ansi.encode(Variant::Ansi, cic(298)).expect("whole"), wanted);
    let rlc = Message::new(MessageType::RLC);
    assert_eq!(rlc.encode(Variant::Itu, cic(1)).expect("whole"), [1, 0, 0x10, 0]);
    assert_eq!(rlc.encode(Variant::Ansi, cic(1)).expect("whole"), [1, 0, 0x10]);
    assert_eq!(Message::decode(Variant::Itu, &[1, 0, 0x10]), Ok((cic(1), rlc)), "without pointer, as of old");
}

fn random_list(rng: &mut Rng) -> Message {
    let mut message = Message::new(MessageType::ANM);
    for _ in 0..rng.below(8) {
        let known = Parameter::KNOWN;
        let code = if rng.chance(3, 4) {
            known[rng.below(known.len() as u64) as usize]
        } else {
            ParameterCode::new(rng.between(1, 255) as u8)
        };
        let length = rng.below(12) as usize;
        let octets: Vec<u8> = rng.next_u64().to_le_bytes().into_iter().chain(rng.next_u64().to_le_bytes()).collect();
        message = message.with(Parameter::read(code, &octets[..length]));
    }
    message
}

#[test]
fn a_million_random_lists_of_parameters_come_back_to_the_octet() {
    let mut rng = Seed::from_number(763).rng();
    for round in 0..LISTS {
        let message = random_list(&mut rng);
        let octets = message.encode_body(Variant::Itu).expect("short enough");
        let read = Message::decode_body(Variant::Itu, &octets);
        assert_eq!(read.as_ref(), Ok(&message), "list {round} of seed 763");
    }
}

#[track_caller]
fn check(octets: &[u8], wanted: &str) {
    let error = Message::decode(Variant::Itu, octets).expect_err("broken");
    assert!(error.to_string().starts_with(wanted), "{error}");
}

#[test]
fn what_is_wrong_is_told_with_its_octet() {
    check(&[1], "octet 0: the circuit needs 2 octets, 1 are left");
    check(&[1, 0], "octet 2: the message type needs 1 octets, 0 are left");
    check(&[1, 0, 6, 4], "ACM (6), octet 3: backward call indicators needs 2 octets, 1 are left");
    check(&[1, 0, 0x0C, 9, 0], "REL (12), octet 3: pointer 9 to cause indicators (18) leads out of the message");
    check(&[1, 0, 0x0C, 0, 0], "REL (12), octet 3: pointer 0 to cause");
    check(&[1, 0, 0x0C, 2, 0, 5, 0x80], "REL (12), octet 6: cause indicators needs 5 octets, 1 are left");
    check(&[1, 0, 0x0C, 2, 0, 1, 0x80], "REL (12), octet 5: cause indicators (18) can't have these 1 octets");
    check(&[1, 0, 9, 3, 0], "ANM (9), octet 3: pointer 3 to the optional part leads out");
    check(&[1, 0, 9, 1, 33, 1, 0], "ANM (9), octet 7: the optional part has no end");
    check(&[1, 0, 9, 1, 33, 7, 0], "ANM (9), octet 6: connected number needs 7 octets, 1 are left");
    check(&[0; 269], "octet 269: a message has at most 268 octets");
}

#[test]
fn limits_hold_at_their_edges() {
    let long =
        |octets: usize| Message::new(MessageType::ANM).with(Parameter::read(ParameterCode::new(200), &vec![1; octets]));
    // Circuit, type, pointer, code, length, end: seven octets, and an eighth to fill.
    let fits = long(255).with(Parameter::read(ParameterCode::new(201), &[1; 4]));
    assert_eq!(fits.encode(Variant::Itu, cic(1)).expect("fits").len(), 268);
    assert!(matches!(
        fits.encode(Variant::Ansi, cic(1)),
        Err(EncodeError::MessageTooLong { octets: 268, max: 265, .. })
    ));
    let too_long = long(255).with(Parameter::read(ParameterCode::new(201), &[1; 5]));
    assert!(matches!(too_long.encode(Variant::Itu, cic(1)), Err(EncodeError::MessageTooLong { octets: 269, .. })));

    let many = |count: usize| {
        let empty = || Parameter::read(ParameterCode::new(200), &[]);
        (0..count).fold(Message::new(MessageType::ANM), |message, _| message.with(empty()))
    };
    let octets = many(limits::ISUP_PARAMETERS).encode(Variant::Itu, cic(1)).expect("as many as there may be");
    assert!(Message::decode(Variant::Itu, &octets).is_ok());
    let error = many(limits::ISUP_PARAMETERS + 1).encode(Variant::Itu, cic(1)).expect_err("one more");
    assert!(matches!(error, EncodeError::TooManyParameters { .. }));
    let mut more = vec![1, 0, 9, 1];
    more.extend([200, 0].repeat(limits::ISUP_PARAMETERS + 1));
    more.push(0);
    check(&more, "ANM (9), octet 132: more than 64 parameters");
    assert!(Message::raw(MessageType::new(0xE0), &[0; limits::ISUP_FIELD_OCTETS]).is_some());
    assert!(Message::raw(MessageType::new(0xE0), &[0; limits::ISUP_FIELD_OCTETS + 1]).is_none());
}

#[test]
fn messages_that_lack_something_are_not_written() {
    let missing = Message::new(MessageType::REL).encode(Variant::Itu, cic(1)).expect_err("no cause");
    assert_eq!(missing.to_string(), "REL (12) needs cause indicators (18): add it");
    let unreadable = Message::new(MessageType::REL).with(Parameter::read(ParameterCode::CAUSE, &[]));
    assert!(matches!(unreadable.encode(Variant::Itu, cic(1)), Err(EncodeError::Unreadable { .. })));
    let long = Message::new(MessageType::ACM).with(Parameter::read(ParameterCode::BACKWARD_CALL, &[1, 2, 3]));
    assert!(matches!(long.encode(Variant::Itu, cic(1)), Err(EncodeError::Length { octets: 3, wanted: 2, .. })));
    let end = Message::new(MessageType::ANM).with(Parameter::read(ParameterCode::END, &[]));
    assert!(matches!(end.encode(Variant::Itu, cic(1)), Err(EncodeError::Unreadable { .. })));
}

#[test]
fn spare_bits_of_a_circuit_are_not_looked_at() {
    let (found, _) = Message::decode(Variant::Itu, &[0x34, 0xF2, 0x13]).expect("BLO");
    assert_eq!(found.value(), 0x234);
    let (found, _) = Message::decode(Variant::Ansi, &[0x34, 0xF2, 0x13]).expect("BLO");
    assert_eq!(found.value(), 0x3234);
    assert_eq!(Cic::new(Variant::Itu, 0x1000), None);
    assert!(Cic::new(Variant::Ansi, 0x3FFF).is_some_and(|top| top.up(Variant::Ansi, 1).is_none()));
}
