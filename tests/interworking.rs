//! Causes, statuses, trunk events and ISUP messages against the text of RFC 3398, whose lines stand here as the RFC
//! prints them, and IAMs there and back.

use proptest::prelude::*;
use tipring::call::isup::{Side, event_of, iam_message, iam_of, messages_of};
use tipring::call::leg::{event_of_provisional, provisional_of_event};
use tipring::isup::{Cic, Message, MessageType, Variant};
use tipring::sip::Reason;
use tipring::trunk::interwork::{self, Interworking, Profile};
use tipring::trunk::{
    CalledStatus, CallingCategory, Cause, Diversion, DiversionReason, Iam, Location, Medium, Nature, Presentation,
    Progress, Release, Screening, TrunkEvent,
};

/// RFC 3398 7.2.4.1.
const CAUSE_TO_STATUS: &str = "
   1  unallocated number                   404 Not Found
   2  no route to network                  404 Not found
   3  no route to destination              404 Not found
   17 user busy                            486 Busy here
   18 no user responding                   408 Request Timeout
   19 no answer from the user              480 Temporarily unavailable
   20 subscriber absent                    480 Temporarily unavailable
   21 call rejected                        403 Forbidden (+)
   22 number changed (w/o diagnostic)      410 Gone
   23 redirection to new destination       410 Gone
   26 non-selected user clearing           404 Not Found (=)
   27 destination out of order             502 Bad Gateway
   28 address incomplete                   484 Address incomplete
   29 facility rejected                    501 Not implemented
   31 normal unspecified                   480 Temporarily unavailable
   34 no circuit available                 503 Service unavailable
   38 network out of order                 503 Service unavailable
   41 temporary failure                    503 Service unavailable
   42 switching equipment congestion       503 Service unavailable
   47 resource unavailable                 503 Service unavailable
   55 incoming calls barred within CUG     403 Forbidden
   57 bearer capability not authorized     403 Forbidden
   58 bearer capability not presently      503 Service unavailable
   65 bearer capability not implemented    488 Not Acceptable Here
   70 only restricted digital avail        488 Not Acceptable Here
   79 service or option not implemented    501 Not implemented
   87 user not member of CUG               403 Forbidden
   88 incompatible destination             503 Service unavailable
   102 recovery of timer expiry            504 Gateway timeout
   111 protocol error                      500 Server internal error
   127 interworking unspecified            500 Server internal error
";

/// RFC 3398 8.2.6.1. Its second 504, "Version Not Supported", is 505.
const STATUS_TO_CAUSE: &str = "
   400 Bad Request                       41 Temporary Failure
   401 Unauthorized                      21 Call rejected (*)
   402 Payment required                  21 Call rejected
   403 Forbidden                         21 Call rejected
   404 Not found                          1 Unallocated number
   405 Method not allowed                63 Service or option
   406 Not acceptable                    79 Service/option not
   407 Proxy authentication required     21 Call rejected (*)
   408 Request timeout                  102 Recovery on timer expiry
   410 Gone                              22 Number changed
   413 Request Entity too long          127 Interworking (+)
   414 Request-URI too long             127 Interworking (+)
   415 Unsupported media type            79 Service/option not
   416 Unsupported URI Scheme           127 Interworking (+)
   420 Bad extension                    127 Interworking (+)
   421 Extension Required               127 Interworking (+)
   423 Interval Too Brief               127 Interworking (+)
   480 Temporarily unavailable           18 No user responding
   481 Call/Transaction Does not Exist   41 Temporary Failure
   482 Loop Detected                     25 Exchange - routing error
   483 Too many hops                     25 Exchange - routing error
   484 Address incomplete                28 Invalid Number Format (+)
   485 Ambiguous                          1 Unallocated number
   486 Busy here                         17 User busy
   500 Server internal error             41 Temporary failure
   501 Not implemented                   79 Not implemented, unspecified
   502 Bad gateway                       38 Network out of order
   503 Service unavailable               41 Temporary failure
   504 Server time-out                  102 Recovery on timer expiry
   505 Version Not Supported            127 Interworking (+)
   513 Message Too Large                127 Interworking (+)
   600 Busy everywhere                   17 User busy
   603 Decline                           21 Call rejected
   604 Does not exist anywhere            1 Unallocated number
";

const LOCATIONS: [Location; 8] = [
    Location::User,
    Location::LocalPrivate,
    Location::LocalNetwork,
    Location::Transit,
    Location::RemoteNetwork,
    Location::RemotePrivate,
    Location::International,
    Location::BeyondInterworking,
];

/// The first number of a line and the next one that stands alone behind two blanks.
fn rows(text: &str) -> Vec<(u16, u16)> {
    let row = |line: &str| {
        let line = line.trim();
        let (from, rest) = line.split_once(' ').expect("a number and words");
        let to = rest.split("  ").filter_map(|part| part.trim().split(' ').next()?.parse().ok()).last();
        (from.parse().expect("a number"), to.unwrap_or_else(|| panic!("no second number: {line}")))
    };
    text.lines().filter(|line| !line.trim().is_empty()).map(row).collect()
}

#[test]
fn every_cause_at_every_location_becomes_the_status_of_the_rfc() {
    let table = rows(CAUSE_TO_STATUS);
    assert_eq!(table.len(), 31);
    for value in 1..=127 {
        for location in LOCATIONS {
            let cause = Cause::new(value).expect("1 to 127 are causes");
            let listed = table.iter().find(|(from, _)| *from == u16::from(value)).map(|(_, to)| *to);
            let expected = match (value, location) {
                // Note (+): "If the cause location is 'user' than the 6xx code could be given".
                (21, Location::User) => 603,
                // The RFC has no status for 16; README promises 480.
                (16, _) => 480,
                // "the default response '500 Server internal error' SHOULD be used"
                _ => listed.unwrap_or(500),
            };
            let rule = Interworking::RFC_3398.status_rule(Release { cause, location });
            assert_eq!(rule.value, expected, "cause {value} at {location:?}");
            assert!(rule.source.contains("RFC 3398") && rule.verified);
        }
    }
    assert!(Cause::new(0).is_none() && Cause::new(128).is_none());
}

#[test]
fn every_status_becomes_the_cause_of_the_rfc() {
    let table = rows(STATUS_TO_CAUSE);
    assert_eq!(table.len(), 34);
    for status in 300..=699_u16 {
        let listed = table.iter().find(|(from, _)| *from == status).map(|(_, to)| *to);
        // "should be mapping to cause code 31"; 488 and 606 "by Warning header", whose default is 31.
        let expected = listed.unwrap_or(31);
        let release = Interworking::RFC_3398.release_of(status, None);
        assert_eq!(u16::from(release.cause.value()), expected, "status {status}");
        let network = if status >= 600 { Location::User } else { Location::BeyondInterworking };
        assert_eq!(release.location, network, "status {status}");
    }
}

#[test]
fn no_profile_leaves_a_cause_or_a_status_without_an_answer() {
    for (_, profile) in Profile::ALL {
        let table = Interworking { profile, ..Interworking::default() };
        for value in 1..=127 {
            let rule = table.status_rule(Release::here(Cause::new(value).expect("a cause")));
            assert!((400..=699).contains(&rule.value) && !rule.source.is_empty(), "{value}: {rule:?}");
        }
        for status in 300..=699 {
            assert!(!table.cause_rule(status, None).source.is_empty(), "{status}");
        }
    }
}

#[test]
fn the_lines_here_are_those_of_the_rfc() {
    let Ok(rfc) = std::fs::read_to_string("../shared/rfc/rfc3398.txt") else {
        println!("../shared/rfc is absent: the lines were not compared with the text of the RFC");
        return;
    };
    for line in CAUSE_TO_STATUS.lines().chain(STATUS_TO_CAUSE.lines()).filter(|line| !line.trim().is_empty()) {
        let line = line.replace("505 Version", "504 Version");
        assert!(rfc.contains(line.trim_end()), "not in the RFC: {line}");
    }
}

// --- Reason headers -----------------------------------------------------------------------------------

/// RFC 6432 and RFC 8606: a cause goes through a Reason field unchanged, at every location, whatever stands beside it.
#[test]
fn every_cause_comes_back_from_a_reason_field_with_its_location() {
    for value in 1..=127 {
        let cause = Cause::new(value).expect("a cause");
        for location in LOCATIONS {
            let reason = interwork::reason_of_release(Release { cause, location });
            for reasons in [vec![reason.clone()], vec![Reason::sip(503), reason.clone()]] {
                assert_eq!(interwork::cause_of_reasons(&reasons), Some(cause), "{value}");
                assert_eq!(interwork::location_of_reasons(&reasons), Some(location), "{value}");
            }
        }
    }
}

// --- trunk events and ISUP messages --------------------------------------------------------------------

/// RFC 3398 7.2.5 to 7.2.9, read as text: what a backward message becomes at a SIP caller.
///
/// Message; called party status or event; in-band indicator; status; whether early media opens with it.
const MESSAGE_TO_STATUS: &str = "
    ACM 0 no   183 media
    ACM 1 no   180 -
    ACM 2 no   183 media
    ACM 0 yes  183 media
    ACM 1 yes  180 media
    CPG 1 no   180 -
    CPG 2 no   183 -
    CPG 3 no   183 media
    CPG 4 no   181 -
    CPG 5 no   181 -
    CPG 6 no   181 -
    CPG 1 yes  180 media
    CPG 2 yes  183 media
    CPG 4 yes  181 media
    CPG 6 yes  181 media
    CPG 9 no   183 -
";

/// RFC 3398 8.2.3, both tables, and 8.2.4: a SIP response, whether an ACM was sent before, the messages in order.
const STATUS_TO_MESSAGES: &str = "
    180 no   ACM/1
    181 no   ACM/0 CPG/6
    182 no   ACM/0
    183 no   ACM/0
    180 yes  CPG/1
    181 yes  CPG/6
    182 yes  CPG/2
    183 yes  CPG/2
    200 no   CON
    200 yes  ANM
";

fn words(table: &str) -> Vec<Vec<&str>> {
    table.lines().filter(|line| !line.trim().is_empty()).map(|line| line.split_whitespace().collect()).collect()
}

fn side(variant: Variant) -> Side {
    Side { variant, country_code: Some("1".into()), ..Side::default() }
}

/// Octets of a backward message, by hand: indicators or event, and perhaps in-band information.
fn backward(kind: &str, value: u8, in_band: bool) -> Vec<u8> {
    let mut octets = match kind {
        "ACM" => vec![0x06, value << 2, 0],
        _ => vec![0x2C, value],
    };
    octets.extend(if in_band { vec![1, 0x29, 1, 1, 0] } else { vec![0] });
    octets
}

#[test]
fn backward_messages_become_the_responses_of_the_rfc() {
    for row in words(MESSAGE_TO_STATUS) {
        let [kind, value, in_band, status, media] = row[..] else { panic!("{row:?}") };
        let octets = backward(kind, value.parse().expect("a number"), in_band == "yes");
        for variant in Variant::ALL {
            let message = Message::decode_body(variant, &octets).expect("a message");
            let event = event_of(&message, &side(variant)).expect("an event");
            let found = provisional_of_event(&event);
            let expected = Some((status.parse().expect("a status"), media == "media"));
            assert_eq!(found, expected, "{row:?}");
        }
    }
    // "no event code present: 183" can't be: it is mandatory in CPG. Interworking in ACM may be heard (7.2.6).
    let interworking = Message::decode_body(Variant::Itu, &[0x06, 0b100, 0b1, 0]).expect("ACM");
    let event = event_of(&interworking, &side(Variant::Itu)).expect("an event");
    assert_eq!(provisional_of_event(&event), Some((180, true)));
}

/// As `ACM/1`: type, and status or event.
fn short(message: &Message) -> String {
    let kind = message.kind().name().expect("a name");
    match (message.backward_call(), message.event()) {
        (Some(backward), None) if kind == "ACM" => format!("{kind}/{}", backward.status().value()),
        (None, Some(event)) => format!("{kind}/{}", event.event().value()),
        _ => kind.to_owned(),
    }
}

#[test]
fn responses_become_the_messages_of_the_rfc() {
    for row in words(STATUS_TO_MESSAGES) {
        let (status, sent) = (row[0].parse().expect("a status"), row[1] == "yes");
        for variant in Variant::ALL {
            let event = match (status, sent) {
                (200, true) => TrunkEvent::Anm,
                (200, false) => TrunkEvent::Con,
                _ => event_of_provisional(status, sent, false).expect("a provisional response"),
            };
            let messages = messages_of(&event, sent, &side(variant));
            // RFC 3398 13: "In ANSI ISUP, the CON message MUST NOT be sent; an ANM is sent instead".
            let expected =
                row[2..].iter().map(|word| if variant == Variant::Ansi && *word == "CON" { "ANM" } else { word });
            let found: Vec<String> = messages.iter().map(short).collect();
            assert_eq!(found, expected.collect::<Vec<&str>>(), "{row:?} {variant:?}");
            for message in &messages {
                let octets = message.encode_body(variant).expect("what is mandatory");
                assert_eq!(Message::decode_body(variant, &octets).as_ref(), Ok(message));
            }
        }
    }
}

/// RFC 3398 8.2.3: the values of its table, as bits.
#[test]
fn backward_call_indicators_are_those_of_the_table() {
    let free = TrunkEvent::Acm { status: CalledStatus::SubscriberFree, in_band: false };
    let message = messages_of(&free, false, &side(Variant::Itu)).remove(0);
    // charge 10, subscriber free 01, ordinary 01, no end-to-end method 00; ISUP all the way (bit K), no ISDN access.
    assert_eq!(message.encode_body(Variant::Itu).expect("ACM"), [0x06, 0b0001_0110, 0b0000_0100, 0]);
}

#[test]
fn every_event_in_either_state_is_said_so_that_it_is_heard_again() {
    for variant in Variant::ALL {
        let side = side(variant);
        for sent in [false, true] {
            for event in every_event() {
                let messages = messages_of(&event, sent, &side);
                let heard: Vec<TrunkEvent> = messages.iter().filter_map(|message| event_of(message, &side)).collect();
                let last = heard.last();
                match &event {
                    TrunkEvent::Iam(_) | TrunkEvent::Rlc => assert!(messages.is_empty(), "{event:?}"),
                    TrunkEvent::Sam(_) if variant == Variant::Ansi => assert!(messages.is_empty(), "{event:?}"),
                    TrunkEvent::Anm => assert_eq!(last, Some(&TrunkEvent::Anm)),
                    TrunkEvent::Con => {
                        let is_anm = sent || variant == Variant::Ansi;
                        assert_eq!(last, Some(&if is_anm { TrunkEvent::Anm } else { TrunkEvent::Con }));
                    }
                    TrunkEvent::Rel(_) | TrunkEvent::Sam(_) | TrunkEvent::Sus { .. } | TrunkEvent::Res { .. } => {
                        assert_eq!(last, Some(&event));
                    }
                    TrunkEvent::Acm { .. } | TrunkEvent::Cpg { .. } => {
                        let (said, heard) = (provisional_of_event(&event), last.and_then(provisional_of_event));
                        // 182 has no event of its own; an ACM without indication is always through-connected.
                        let status = said.map(|(status, _)| if status == 182 { 183 } else { status });
                        assert_eq!(heard.map(|(status, _)| status), status, "{event:?} {sent}");
                        let (said, heard) = (said.is_some_and(|s| s.1), heard.is_some_and(|h| h.1));
                        assert!(heard || !said, "{event:?} {sent}: what can be heard is said to be");
                    }
                }
                let acms = messages.iter().filter(|message| message.kind() == MessageType::ACM).count();
                assert!(!sent || acms == 0, "{event:?}: one ACM a call");
            }
        }
    }
}

fn every_event() -> Vec<TrunkEvent> {
    let mut events = vec![TrunkEvent::Anm, TrunkEvent::Con, TrunkEvent::Rlc, TrunkEvent::Iam(Iam::default())];
    for flag in [false, true] {
        for status in [CalledStatus::NoIndication, CalledStatus::SubscriberFree] {
            events.push(TrunkEvent::Acm { status, in_band: flag });
        }
        for event in [
            Progress::Alerting,
            Progress::Progress,
            Progress::InBand,
            Progress::Forwarded,
            Progress::ForwardedBusy,
            Progress::ForwardedNoReply,
            Progress::Queued,
        ] {
            events.push(TrunkEvent::Cpg { event, in_band: flag });
        }
        events.push(TrunkEvent::Sus { network: flag });
        events.push(TrunkEvent::Res { network: flag });
    }
    for value in 1..=127 {
        for location in LOCATIONS {
            let cause = Cause::new(value).expect("a cause");
            events.push(TrunkEvent::Rel(Release { cause, location }));
        }
    }
    events.extend(["1", "12", "123F", "F", "*#0"].map(|digits| TrunkEvent::Sam(digits.to_owned())));
    events
}

#[test]
fn a_release_that_was_decided_here_is_where_the_configuration_says() {
    let side = Side { location: Location::Transit, ..Side::default() };
    let octets = |release| messages_of(&TrunkEvent::Rel(release), true, &side)[0].encode_body(Variant::Itu);
    assert_eq!(octets(Release::here(Cause::BUSY)).expect("REL"), [0x0C, 2, 0, 2, 0x83, 0x91]);
    assert_eq!(octets(Release::user(Cause::BUSY)).expect("REL"), [0x0C, 2, 0, 2, 0x80, 0x91]);
}

// --- IAM ---------------------------------------------------------------------------------------------

fn nature() -> impl Strategy<Value = Nature> {
    prop_oneof![
        Just(Nature::AsWritten),
        Just(Nature::Subscriber),
        Just(Nature::National),
        Just(Nature::NetworkSpecific),
        (6_u8..=0x7F).prop_map(Nature::Other),
    ]
}

/// Digits with their nature; `+` says the nature itself.
fn number() -> impl Strategy<Value = (String, Nature)> {
    prop_oneof![
        "\\+[0-9]{2,15}".prop_map(|text| (text, Nature::AsWritten)),
        ("[0-9]{1,20}", nature()).prop_map(|(text, nature)| (text, nature)),
        "[0-9*#]{1,10}".prop_map(|text| (text, Nature::AsWritten)),
    ]
}

fn diversion() -> impl Strategy<Value = Diversion> {
    let whys = vec![
        DiversionReason::Always,
        DiversionReason::Busy,
        DiversionReason::NoAnswer,
        DiversionReason::Unreachable,
        DiversionReason::DeflectedAtOnce,
        DiversionReason::DeflectedRinging,
        DiversionReason::Unknown,
    ];
    let presentation = prop_oneof![Just(Presentation::Allowed), Just(Presentation::Restricted)];
    ("\\+[0-9]{2,15}", proptest::sample::select(whys), presentation).prop_map(|(number, why, presentation)| Diversion {
        by: "isup/".into(),
        number,
        why,
        presentation,
    })
}

fn iam() -> impl Strategy<Value = Iam> {
    let screening = proptest::sample::select(vec![
        Screening::NotVerified,
        Screening::Verified,
        Screening::Failed,
        Screening::Network,
    ]);
    let presentation = prop_oneof![Just(Presentation::Allowed), Just(Presentation::Restricted)];
    let calling = proptest::option::of((number(), presentation, screening));
    let medium = prop_oneof![Just(Medium::Speech), Just(Medium::Audio)];
    let hops = proptest::option::of(1_u8..=31);
    let diversions = proptest::collection::vec(diversion(), 0..=2);
    (number(), calling, any::<u8>(), medium, hops, diversions, 0_u8..=3, any::<bool>()).prop_map(
        |((called, called_nature), calling, category, medium, hops, diversions, more, more_digits)| {
            let mut iam = Iam {
                called,
                called_nature,
                category: CallingCategory(category),
                medium,
                hops,
                more_digits,
                ..Iam::default()
            };
            if let Some(((calling, nature), presentation, screening)) = calling {
                iam.calling = Some(calling);
                iam.calling_nature = nature;
                iam.presentation = presentation;
                iam.screening = screening;
            }
            // Two are named at most, and a counter may say that there were more.
            if diversions.len() == 2 && more > 0 {
                iam.redirections = 2 + more;
            }
            iam.diversions = diversions;
            iam
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn what_an_iam_tells_of_a_call_is_what_was_told(
        iam in iam(),
        is_ansi in any::<bool>(),
        country_code in proptest::option::of("[1-9][0-9]{0,2}"),
        cic in 0_u16..=4_095,
    ) {
        let variant = if is_ansi { Variant::Ansi } else { Variant::Itu };
        let side = Side { variant, country_code, ..Side::default() };
        let message = iam_message(&iam, &side).expect("numbers that fit");
        let cic = Cic::new(variant, cic).expect("a circuit");
        let octets = message.encode(variant, cic).expect("an IAM");
        let (heard_on, heard) = Message::decode(variant, &octets).expect("our own octets");
        prop_assert_eq!((heard_on, &heard), (cic, &message));
        let told = iam_of(&heard, &side).expect("a call");
        // A national number becomes international where the country is known; ANSI has no digits to come.
        let written = |text: &str, nature: Nature| match (&side.country_code, nature, text.starts_with('+')) {
            (Some(code), Nature::National, false) => (format!("+{code}{text}"), Nature::AsWritten),
            _ => (text.to_owned(), nature),
        };
        let (called, called_nature) = written(&iam.called, iam.called_nature);
        let calling = iam.calling.as_deref().map(|calling| written(calling, iam.calling_nature));
        let expected = Iam {
            called,
            called_nature,
            calling: calling.as_ref().map(|(text, _)| text.clone()),
            calling_nature: calling.map(|(_, nature)| nature).unwrap_or_default(),
            more_digits: iam.more_digits && !is_ansi,
            isup: told.isup.clone(),
            ..iam
        };
        prop_assert_eq!(told, expected);
    }

    #[test]
    fn whatever_comes_as_an_iam_is_told_or_refused_and_can_be_said_again(octets in proptest::collection::vec(any::<u8>(), 0..80)) {
        for variant in Variant::ALL {
            let octets = [&[0x01][..], &octets].concat();
            let Ok(message) = Message::decode_body(variant, &octets) else { continue };
            let side = side(variant);
            if let Ok(iam) = iam_of(&message, &side) {
                let _ = iam_message(&iam, &side).map(|again| again.encode_body(variant));
            }
        }
    }
}

#[test]
fn calls_that_no_iam_can_tell_of_have_a_cause() {
    let check = |iam: Iam, cause: Cause| assert_eq!(iam_message(&iam, &Side::default()), Err(cause), "{iam:?}");
    check(Iam { called: "alice".into(), ..Iam::default() }, Cause::INCOMPLETE);
    check(Iam { called: "1".repeat(41), ..Iam::default() }, Cause::INCOMPLETE);
    check(Iam { called: "1".into(), hops: Some(0), ..Iam::default() }, Cause::ROUTING_ERROR);
    // "The CIN parameter SHOULD be omitted from the outbound IAM if the From field is unusable."
    let iam = Iam { called: "1".into(), calling: Some("alice".into()), ..Iam::default() };
    assert_eq!(iam_message(&iam, &Side::default()).expect("an IAM").calling_number(), None);
}

#[test]
fn media_that_carry_no_audio_are_refused() {
    // Unrestricted 64 kbit/s, 3.1 kHz, speech, preferred 64 kbit/s, 2x64.
    for (medium, expected) in [
        (2, Err(Cause::BEARER)),
        (3, Ok(Medium::Audio)),
        (0, Ok(Medium::Speech)),
        (6, Ok(Medium::Audio)),
        (7, Err(Cause::BEARER)),
    ] {
        let octets = [0x01, 0, 0x20, 0, 10, medium, 2, 0, 4, 0x83, 0x10, 0x21, 0x0F];
        let message = Message::decode_body(Variant::Itu, &octets).expect("an IAM");
        assert_eq!(iam_of(&message, &Side::default()).map(|iam| iam.medium), expected, "{medium}");
    }
}

#[test]
fn a_number_that_is_not_available_is_as_good_as_none() {
    // RFC 3398 12.1; nature and plan 0, "address not available".
    let octets = [0x01, 0, 0x20, 0, 10, 0, 2, 6, 4, 0x83, 0x10, 0x21, 0x0F, 0x0A, 2, 0, 0x0B, 0];
    let message = Message::decode_body(Variant::Itu, &octets).expect("an IAM");
    let iam = iam_of(&message, &Side::default()).expect("a call");
    assert_eq!((iam.calling, iam.presentation), (None, Presentation::Allowed));
}
