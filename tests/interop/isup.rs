//! Our ISUP read by tshark: types, parameters and numbers are those that were meant, nothing is malformed.
//!
//! The messages are written into a capture of MTP level 3 (link type 141); nothing goes over a network.

use super::directory;
use std::path::{Path, PathBuf};
use std::process::Command;
use tipring::isup::cause::CauseIndicators;
use tipring::isup::compatibility::{MessageCompatibility, ParameterCompatibility};
use tipring::isup::indicators::*;
use tipring::isup::m3ua;
use tipring::isup::number::{AddressPresentation, GenericNumber, Qualifier, Screening, SubsequentNumber};
use tipring::isup::parameter::Bytes;
use tipring::isup::supervision::{CallProcessing, CircuitState, CircuitStates, RangeAndStatus};
use tipring::isup::{Cic, Digits, Message, MessageType, NatureOfAddress, Number, Parameter, ParameterCode, Variant};
use tipring::trunk::{Cause, Location, Release};

/// Link type of packets that begin with an SCTP header.
const LINKTYPE_SCTP: u32 = 248;
/// Link type of packets that begin with the service information octet of MTP level 3.
const LINKTYPE_MTP3: u32 = 141;

/// A message, and what tshark is to find in it: field and value.
struct Case {
    message: Message,
    wanted: Vec<(&'static str, &'static str)>,
}

fn case(message: Message, wanted: &[(&'static str, &'static str)]) -> Case {
    Case { message, wanted: wanted.to_vec() }
}

fn digits(text: &str) -> Digits {
    Digits::new(text).expect("digits")
}

fn number(nature: NatureOfAddress, text: &str) -> Number {
    Number::new(nature, &digits(text))
}

/// Writes packets as a capture.
fn write_packets(path: &Path, link_type: u32, packets: impl IntoIterator<Item = Vec<u8>>) {
    let mut out = Vec::new();
    out.extend(0xA1B2_C3D4_u32.to_le_bytes());
    out.extend(2_u16.to_le_bytes());
    out.extend(4_u16.to_le_bytes());
    out.extend([0; 8]);
    out.extend(65_535_u32.to_le_bytes());
    out.extend(link_type.to_le_bytes());
    for (index, packet) in packets.into_iter().enumerate() {
        out.extend((index as u32).to_le_bytes());
        out.extend([0; 4]);
        out.extend((packet.len() as u32).to_le_bytes());
        out.extend((packet.len() as u32).to_le_bytes());
        out.extend(packet);
    }
    std::fs::write(path, out).expect("the target directory can be written");
}

/// Writes messages as a capture of MTP level 3.
fn write_capture(path: &Path, variant: Variant, cases: &[Case]) {
    let packets = cases.iter().enumerate().map(|(index, case)| {
        let cic = Cic::new(variant, 100 + index as u16).expect("a circuit");
        // National network, ISUP; from point code 2 to 1, link 0.
        let mut packet = vec![0x85];
        match variant {
            Variant::Itu => packet.extend((1_u32 | 2 << 14).to_le_bytes()),
            Variant::Ansi => packet.extend([1, 0, 0, 2, 0, 0, 0]),
        }
        packet.extend(case.message.encode(variant, cic).expect("a whole message"));
        packet
    });
    write_packets(path, LINKTYPE_MTP3, packets);
}

fn tshark(file: &Path, variant: Variant, arguments: &[&str]) -> String {
    let standard = if variant == Variant::Itu { "mtp3.standard:ITU" } else { "mtp3.standard:ANSI" };
    let mut command = Command::new("tshark");
    command.args(["-n", "-o", standard, "-r"]).arg(file).args(arguments);
    let output = command.output().expect("tshark runs");
    assert!(output.status.success(), "tshark {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Values that tshark finds for a field, one line a packet.
fn field(file: &Path, variant: Variant, name: &str) -> Vec<String> {
    let text = tshark(file, variant, &["-T", "fields", "-e", name]);
    text.lines().map(str::to_owned).collect()
}

#[track_caller]
fn check(name: &str, variant: Variant, cases: &[Case]) {
    let file: PathBuf = directory(name).join("isup.pcap");
    write_capture(&file, variant, cases);
    // What tshark can't read it says in the tree of the packet.
    let details = tshark(&file, variant, &["-V"]);
    for complaint in ["Malformed", "Unknown message type", "length is wrong", "Too many digits", "Reserved"] {
        let line = details.lines().find(|line| line.contains(complaint));
        assert!(line.is_none(), "{complaint} in {}: {line:?}", file.display());
    }
    assert_eq!(field(&file, variant, "isup.cic").len(), cases.len(), "packets of ISUP");
    for (index, cic) in field(&file, variant, "isup.cic").iter().enumerate() {
        assert_eq!(*cic, (100 + index).to_string());
    }
    for (kind, case) in field(&file, variant, "isup.message_type").iter().zip(cases) {
        assert_eq!(*kind, case.message.kind().value().to_string());
    }
    // Every parameter is there, mandatory ones by their place and optional ones by their code.
    for (found, case) in field(&file, variant, "isup.parameter_type").iter().zip(cases) {
        let wanted: Vec<String> = case.message.parameters().iter().map(|p| p.code().value().to_string()).collect();
        let found: Vec<&str> = found.split(',').filter(|code| !code.is_empty() && *code != "0").collect();
        assert_eq!(found, wanted, "{} in {}", case.message.kind(), file.display());
    }
    let mut names: Vec<&str> = cases.iter().flat_map(|case| case.wanted.iter().map(|(name, _)| *name)).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let values = field(&file, variant, name);
        for (index, case) in cases.iter().enumerate() {
            let wanted = case.wanted.iter().filter(|(wanted, _)| *wanted == name);
            for (_, wanted) in wanted {
                let found = values.get(index).map(String::as_str);
                assert_eq!(found, Some(*wanted), "{name} of {} in {}", case.message.kind(), file.display());
            }
        }
    }
}

fn forward() -> [Parameter; 3] {
    [
        Parameter::NatureOfConnection(
            NatureOfConnection::default()
                .with_satellites(Count::new(1))
                .with_continuity(ContinuityCheck::REQUIRED)
                .with_echo_device(true),
        ),
        Parameter::ForwardCall(
            ForwardCall::default()
                .with_international(true)
                .with_isup_all_the_way(true)
                .with_preference(Preference::NOT_REQUIRED)
                .with_isdn_access(true),
        ),
        Parameter::Category(Category::default().with_category(CallingCategory::PAYPHONE)),
    ]
}

const FORWARD_WANTED: [(&str, &str); 9] = [
    ("isup.satellite_indicator", "0x01"),
    ("isup.continuity_check_indicator", "0x01"),
    ("isup.echo_control_device_indicator", "1"),
    ("isup.forw_call_natnl_inatnl_call_indicator", "1"),
    ("isup.forw_call_isdn_user_part_indicator", "1"),
    ("isup.forw_call_interworking_indicator", "0"),
    ("isup.forw_call_preferences_indicator", "0x0001"),
    ("isup.forw_call_isdn_access_indicator", "1"),
    ("isup.calling_partys_category", "0x0f"),
];

fn with(kind: MessageType, parameters: impl IntoIterator<Item = Parameter>) -> Message {
    parameters.into_iter().fold(Message::new(kind), Message::with)
}

fn calling() -> Number {
    number(NatureOfAddress::NATIONAL, "301234567")
        .with_presentation(AddressPresentation::RESTRICTED)
        .with_screening(Screening::NETWORK)
}

fn iam_itu() -> Case {
    let national = |digits| number(NatureOfAddress::NATIONAL, digits);
    let parameters = [
        Parameter::Medium(MediumRequirement::default().with_medium(Medium::AUDIO_3K1)),
        Parameter::CalledNumber(number(NatureOfAddress::INTERNATIONAL, "4930987654321").with_first_indicator(true)),
        Parameter::CallingNumber(calling()),
        Parameter::OptionalForwardCall(OptionalForwardCall::default().with_connected_line_requested(true)),
        Parameter::RedirectingNumber(national("3055501")),
        Parameter::OriginalCalledNumber(national("30555022")),
        Parameter::Redirection(
            Redirection::default()
                .with_indicator(RedirectingIndicator::DIVERTED)
                .with_original_reason(RedirectionReason::UNCONDITIONAL)
                .with_count(Count::new(2))
                .with_reason(RedirectionReason::NO_REPLY),
        ),
        Parameter::LocationNumber(national("30111")),
        Parameter::GenericNumber(GenericNumber::new(Qualifier::ADDITIONAL_CALLING, &national("30777"))),
        Parameter::UserService(Bytes::bearer(Medium::AUDIO_3K1)),
        Parameter::AccessTransport(Bytes::new(&[0x1E, 2, 0x81, 0x83]).expect("octets")),
        Parameter::UserToUser(Bytes::new(&[4, 1, 2, 3]).expect("octets")),
        Parameter::HopCounter(HopCounter::default().with_hops(Count::new(17))),
        Parameter::ParameterCompatibility(
            ParameterCompatibility::new(&[(ParameterCode::HOP_COUNTER, 0b0001_0001)]).expect("one"),
        ),
    ];
    let mut wanted = FORWARD_WANTED.to_vec();
    wanted.extend([
        ("isup.transmission_medium_requirement", "3"),
        ("isup.called", "4930987654321"),
        ("isup.called_party_nature_of_address_indicator", "4"),
        ("isup.calling", "301234567"),
        ("isup.redirecting", "3055501"),
        ("isup.original_called_number", "30555022"),
        ("isup.redirecting_ind", "3"),
        ("isup.original_redirection_reason", "3"),
        ("isup.redirection_counter", "2"),
        ("isup.redirection_reason", "2"),
        ("isup.location_number", "30111"),
        ("isup.generic_number", "30777"),
        ("isup.number_qualifier_indicator", "0x06"),
        ("isup.hop_counter", "17"),
        ("isup.connected_line_identity_request_ind", "1"),
        ("isup.upgraded_parameter", "61"),
    ]);
    case(with(MessageType::IAM, forward().into_iter().chain(parameters)), &wanted)
}

/// Messages that both variants share.
fn shared() -> Vec<Case> {
    use MessageType as M;
    let backward = BackwardCall::default()
        .with_charge(Charge::CHARGE)
        .with_status(CalledPartyStatus::SUBSCRIBER_FREE)
        .with_category(CalledPartyCategory::ORDINARY)
        .with_interworking(true)
        .with_isdn_access(true)
        .with_echo_device(true);
    let backward_wanted = [
        ("isup.charge_indicator", "0x0002"),
        ("isup.called_partys_status_indicator", "0x0001"),
        ("isup.called_partys_category_indicator", "0x0001"),
        ("isup.backw_call_interworking_indicator", "1"),
        ("isup.backw_call_isdn_user_part_indicator", "0"),
        ("isup.backw_call_isdn_access_indicator", "1"),
        ("isup.backw_call_echo_control_device_indicator", "1"),
    ];
    let backward = || Parameter::BackwardCall(backward.clone());
    let optional = OptionalBackwardCall::default().with_in_band(true);
    let busy = CauseIndicators::new(Release { cause: Cause::BUSY, location: Location::BeyondInterworking });
    let event = EventInformation::default().with_event(CallEvent::FORWARDED).with_restricted(true);
    let network = || Parameter::SuspendResume(SuspendResume::default().with_network_initiated(true));
    let plain = [M::BLO, M::BLA, M::UBL, M::UBA, M::RSC, M::CCR, M::UCIC, M::LPA, M::OLM];
    let mut cases: Vec<Case> = plain.into_iter().map(|kind| case(Message::new(kind), &[])).collect();
    cases.extend([
        case(
            with(M::ACM, [backward(), Parameter::OptionalBackwardCall(optional)]),
            &[
                &backward_wanted[..],
                &[("isup.inband_information_ind", "1"), ("isup.call_diversion_may_occur_ind", "0")],
            ]
            .concat(),
        ),
        case(with(M::CON, [backward()]), &backward_wanted),
        case(
            with(M::CPG, [Parameter::Event(event)]),
            &[("isup.event_ind", "6"), ("isup.event_presentation_restr_ind", "1")],
        ),
        case(
            with(M::ANM, [Parameter::ConnectedNumber(number(NatureOfAddress::INTERNATIONAL, "49301"))]),
            &[("isup.connected_number", "49301")],
        ),
        case(Message::new(M::ANM), &[]),
        case(with(M::REL, [Parameter::Cause(busy)]), &[("isup.cause_indicator", "17")]),
        case(Message::new(M::RLC), &[]),
        case(
            with(M::SAM, [Parameter::SubsequentNumber(SubsequentNumber::new(&digits("678")).expect("digits"))]),
            &[("isup.subsequent_number", "678")],
        ),
        case(with(M::SUS, [network()]), &[("isup.suspend_resume_indicator", "1")]),
        case(with(M::RES, [network()]), &[("isup.suspend_resume_indicator", "1")]),
        case(
            with(M::INR, [Parameter::InformationRequest(InformationRequest::default().with_calling_number(true))]),
            &[("isup.calling_party_address_request_indicator", "1"), ("isup.info_req_holding_indicator", "0")],
        ),
        case(
            with(
                M::INF,
                [
                    Parameter::InformationIndicators(
                        InformationIndicators::default().with_calling_number(AddressResponse::INCLUDED),
                    ),
                    Parameter::CallingNumber(calling()),
                ],
            ),
            &[("isup.calling_party_address_response_indicator", "0x0003"), ("isup.calling", "301234567")],
        ),
        case(Message::new(M::FOT), &[]),
        case(
            with(M::COT, [Parameter::Continuity(Continuity::default().with_successful(true))]),
            &[("isup.continuity_indicator", "1")],
        ),
        case(
            with(M::CFN, [Parameter::Cause(CauseIndicators::new(Release::here(Cause::PROTOCOL)))]),
            &[("isup.cause_indicator", "111")],
        ),
        case(with(M::USR, [Parameter::UserToUser(Bytes::new(&[4, 9]).expect("octets"))]), &[]),
    ]);
    cases.extend(groups());
    cases
}

fn groups() -> Vec<Case> {
    use MessageType as M;
    let status = || Parameter::RangeAndStatus(RangeAndStatus::status(&[true, false, false, true]).expect("four"));
    let range = || Parameter::RangeAndStatus(RangeAndStatus::range(4).expect("four"));
    let hardware = || Parameter::GroupSupervision(GroupSupervision::default().with_kind(SupervisionType::HARDWARE));
    let states = CircuitStates::new([
        CircuitState::new(CallProcessing::IDLE, (true, false), (false, true)),
        CircuitState::new(CallProcessing::INCOMING, (false, false), (false, false)),
        CircuitState::new(CallProcessing::OUTGOING, (false, true), (false, false)),
        CircuitState::UNEQUIPPED,
    ]);
    let mut cases: Vec<Case> = [M::CGB, M::CGBA, M::CGU, M::CGUA]
        .into_iter()
        .map(|kind| {
            case(with(kind, [hardware(), status()]), &[("isup.cgs_message_type", "1"), ("isup.range_indicator", "4")])
        })
        .collect();
    cases.extend([
        case(with(M::GRS, [range()]), &[("isup.range_indicator", "4")]),
        case(with(M::GRA, [status()]), &[("isup.range_indicator", "4")]),
        case(with(M::CQM, [range()]), &[("isup.range_indicator", "4")]),
        case(
            with(M::CQR, [range(), Parameter::CircuitStates(states.expect("four"))]),
            &[
                ("isup.mtc_blocking_state", "1,0,2,3"),
                ("isup.call_processing_state", "3,1,2"),
                ("isup.hw_blocking_state", "2,0,0"),
            ],
        ),
    ]);
    cases
}

#[test]
fn tshark_reads_our_itu_messages_as_they_were_meant() {
    let mut cases = vec![iam_itu()];
    cases.extend(shared());
    cases.extend([MessageType::NRM, MessageType::FAC, MessageType::IDR, MessageType::SGM].map(|kind| {
        case(Message::new(kind).with(Parameter::MessageCompatibility(MessageCompatibility::new(0b0000_1010))), &[])
    }));
    // In messages of ANSI tshark gives the location no name.
    let release = Release { cause: Cause::BUSY, location: Location::BeyondInterworking };
    let release = Message::new(MessageType::REL).with(Parameter::Cause(CauseIndicators::new(release)));
    cases.push(case(release, &[("q931.cause_location", "10")]));
    check("isup_itu", Variant::Itu, &cases);
}

#[test]
fn tshark_reads_our_ansi_messages_as_they_were_meant() {
    let called = number(NatureOfAddress::NATIONAL, "2125551234");
    let mut wanted = FORWARD_WANTED.to_vec();
    wanted.extend([
        ("isup.called", "2125551234"),
        ("isup.calling", "301234567"),
        ("isup.charge_number", "2125550000"),
        ("isup.jurisdiction", "212555"),
    ]);
    let parameters = [
        Parameter::UserService(Bytes::bearer(Medium::SPEECH)),
        Parameter::CalledNumber(called),
        Parameter::CallingNumber(calling()),
        Parameter::ChargeNumber(number(NatureOfAddress::NATIONAL, "2125550000")),
        Parameter::Jurisdiction(Bytes::new(&[0x12, 0x52, 0x55]).expect("octets")),
        Parameter::OriginatingLine(Bytes::new(&[0]).expect("an octet")),
    ];
    let iam = with(MessageType::IAM, forward().into_iter().chain(parameters));
    let mut cases = vec![case(iam, &wanted)];
    cases.extend(shared());
    let octet = |code, octet| Parameter::read(code, &[octet]);
    cases.extend([
        case(Message::new(MessageType::CVT), &[]),
        case(Message::new(MessageType::CRA), &[]),
        case(
            with(
                MessageType::CVR,
                [
                    octet(ParameterCode::VALIDATION_RESPONSE, 0),
                    octet(ParameterCode::GROUP_CHARACTERISTICS, 0b0000_0110),
                ],
            ),
            &[("isup.cg_carrier_ind", "0x02"), ("isup.cg_char_ind.doubleSeize", "0x01")],
        ),
    ]);
    check("isup_ansi", Variant::Ansi, &cases);
}

/// A message as the only chunk of an SCTP packet (RFC 9260 3.3.1), payload protocol 3, M3UA.
fn sctp(number: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = [2_905_u16.to_be_bytes(), 2_905_u16.to_be_bytes()].concat();
    packet.extend([0; 8]); // verification tag, checksum
    packet.extend([0, 3]); // DATA, first and last fragment
    packet.extend((16 + payload.len() as u16).to_be_bytes());
    packet.extend(number.to_be_bytes());
    packet.extend([0, 1]); // stream
    packet.extend((number as u16).to_be_bytes());
    packet.extend(3_u32.to_be_bytes());
    packet.extend(payload);
    packet.resize(packet.len().next_multiple_of(4), 0);
    packet
}

#[test]
fn tshark_reads_our_m3ua_and_the_isup_inside() {
    use m3ua::{Kind, Message as Carrier, ProtocolData, SERVICE_ISUP, tag};
    let cic = Cic::new(Variant::Itu, 77).expect("a circuit");
    let user = iam_itu().message.encode(Variant::Itu, cic).expect("whole");
    let data =
        ProtocolData { origin: 2, destination: 1, service: SERVICE_ISUP, network: 2, priority: 0, selection: 13, user };
    let mut carriers: Vec<Carrier> = [Kind::ASPUP, Kind::ASPUP_ACK, Kind::ASPDN, Kind::ASPDN_ACK]
        .map(|kind| Carrier::new(kind).with_word(tag::ASP, 5))
        .to_vec();
    let traffic = [Kind::ASPAC, Kind::ASPAC_ACK, Kind::ASPIA, Kind::ASPIA_ACK];
    carriers.extend(traffic.map(|kind| {
        let carrier = Carrier::new(kind);
        let has_mode = [Kind::ASPAC, Kind::ASPAC_ACK].contains(&kind);
        let carrier = if has_mode { carrier.with_word(tag::TRAFFIC_MODE, 1) } else { carrier };
        carrier.with_word(tag::ROUTING_CONTEXT, 100)
    }));
    carriers.extend([Kind::BEAT, Kind::BEAT_ACK].map(|kind| Carrier::new(kind).with(tag::HEARTBEAT, b"still there")));
    carriers.push(Carrier::new(Kind::NTFY).with(tag::STATUS, &[0, 1, 0, 3]).with_word(tag::ROUTING_CONTEXT, 100));
    carriers.push(Carrier::new(Kind::ERR).with_word(tag::ERROR, 7));
    carriers.push(Carrier::data(Some(100), &data));
    let packets: Vec<Vec<u8>> = carriers
        .iter()
        .enumerate()
        .map(|(index, carrier)| sctp(index as u32 + 1, &carrier.encode().expect("short")))
        .collect();
    let file = directory("isup_m3ua").join("m3ua.pcap");
    write_packets(&file, LINKTYPE_SCTP, packets);
    let details = tshark(&file, Variant::Itu, &["-V"]);
    assert!(!details.contains("Malformed"), "{}", file.display());
    let field = |name: &str| field(&file, Variant::Itu, name);
    let number = |text: &String| text.parse::<u8>().expect("a number");
    let classes: Vec<u8> = field("m3ua.message_class").iter().map(number).collect();
    let numbers: Vec<u8> = field("m3ua.message_type").iter().map(number).collect();
    let wanted = |part: fn(&Kind) -> u8| carriers.iter().map(|carrier| part(&carrier.kind)).collect::<Vec<_>>();
    assert_eq!(classes, wanted(|kind| kind.class.value()));
    assert_eq!(numbers, wanted(|kind| kind.number));
    let last = |name: &str| field(name).pop().unwrap_or_default();
    assert_eq!(last("m3ua.protocol_data_opc"), "2");
    assert_eq!(last("m3ua.protocol_data_dpc"), "1");
    assert_eq!(last("m3ua.protocol_data_sls"), "13");
    assert_eq!(last("m3ua.routing_context"), "100");
    assert_eq!(last("isup.cic"), "77");
    assert_eq!(last("isup.called"), "4930987654321");
}

/// What two ends of M3UA say to each other, from the first ASPUP to the last ASPDN, with messages between that are wrong.
fn conversation() -> Vec<m3ua::Message> {
    use m3ua::{Endpoint, Kind, Message as Carrier, Output, Role, Settings, TrafficMode, tag};
    use tipring::isup::PointCode;
    use tipring::time::{Duration, Instant};
    let point = |code| PointCode::new(Variant::Itu, code).expect("a point code");
    let peer = "192.0.2.1:2905".parse().expect("an address");
    let settings = |role, own, far| Settings {
        role,
        variant: Variant::Itu,
        own: point(own),
        peer: point(far),
        network: 2,
        mode: Some(TrafficMode::Override),
        context: Some(100),
        appearance: Some(3),
        asp: Some(9),
        peers: if role == Role::Asp { vec![peer] } else { Vec::new() },
        ack: Duration::from_secs(2),
        recovery: Duration::from_secs(2),
        heartbeat: Some(Duration::from_secs(10)),
    };
    let seed = tipring::rng::Seed::from_number(1);
    let mut ends = [Endpoint::new(settings(Role::Asp, 1, 2), &seed), Endpoint::new(settings(Role::Sgp, 2, 1), &seed)];
    let mut names = [None, None];
    let mut said = Vec::new();
    let mut now = Instant::from_millis(1);
    let mut waiting: Vec<(usize, Output)> = Vec::new();
    let about = |kind| Carrier::new(kind).with_word(tag::ROUTING_CONTEXT, 100).with_word(tag::AFFECTED, 2);
    // RLC on circuit 1, for a routing context that is nobody's.
    let released = [0, 0, 0, 2, 0, 0, 0, 1, 5, 2, 0, 1, 1, 0, 0x10, 0];
    let wrong = Carrier::new(Kind::DATA).with_word(tag::ROUTING_CONTEXT, 101).with(tag::PROTOCOL_DATA, &released);
    let foreign = vec![
        about(Kind::DUNA),
        about(Kind::DAVA),
        about(Kind::DRST),
        about(Kind::SCON).with(tag::CONGESTION, &[0, 0, 0, 1]),
        about(Kind::DUPU).with_word(tag::USER_CAUSE, 0x0002_0005),
        wrong,
        Carrier::new(Kind::REG_REQ),
    ];
    for round in 0..5 {
        let mut out = Vec::new();
        match round {
            0 => ends[0].handle_timeout(now, &mut out),
            1 => ends[0].send(
                now,
                iam_itu().message.encode(Variant::Itu, Cic::new(Variant::Itu, 77).expect("a circuit")).expect("whole"),
                &mut out,
            ),
            2 => {
                now += Duration::from_secs(10);
                ends[0].handle_timeout(now, &mut out);
            }
            3 => {
                for message in &foreign {
                    said.push(message.clone());
                    let id = names[0].expect("an association");
                    ends[0].handle_octets(now, id, &message.encode().expect("short"), &mut out);
                }
            }
            _ => ends[0].withdraw(now, &mut out),
        }
        waiting.extend(out.into_iter().map(|output| (0, output)));
        while !waiting.is_empty() {
            let (from, output) = waiting.remove(0);
            let to = 1 - from;
            let mut out = Vec::new();
            match output {
                Output::Connect { association, peer } => {
                    names = [Some(association), ends[1].handle_accepted(now, peer)];
                    ends[0].handle_opened(now, association, &mut out);
                    waiting.extend(out.into_iter().map(|output| (0, output)));
                }
                Output::Transmit { octets, .. } => {
                    said.push(Carrier::decode(&octets).expect("what we send can be read"));
                    ends[to].handle_octets(now, names[to].expect("an association"), &octets, &mut out);
                    waiting.extend(out.into_iter().map(|output| (to, output)));
                }
                _ => {}
            }
        }
    }
    said
}

#[test]
fn tshark_reads_what_the_two_ends_of_m3ua_say_to_each_other() {
    use m3ua::Kind;
    let said = conversation();
    for kind in [
        Kind::ASPUP,
        Kind::ASPUP_ACK,
        Kind::NTFY,
        Kind::ASPAC,
        Kind::ASPAC_ACK,
        Kind::DAUD,
        Kind::DAVA,
        Kind::DATA,
        Kind::BEAT,
        Kind::BEAT_ACK,
        Kind::ERR,
        Kind::ASPIA,
        Kind::ASPIA_ACK,
        Kind::ASPDN,
        Kind::ASPDN_ACK,
    ] {
        assert!(said.iter().any(|message| message.kind == kind), "{kind:?} was not said");
    }
    let packet = |(index, message): (usize, &m3ua::Message)| sctp(index as u32 + 1, &message.encode().expect("short"));
    let file = directory("isup_m3ua_ends").join("m3ua.pcap");
    write_packets(&file, LINKTYPE_SCTP, said.iter().enumerate().map(packet).collect::<Vec<_>>());
    let details = tshark(&file, Variant::Itu, &["-V"]);
    for complaint in ["Malformed", "Unknown parameter", "Unknown message"] {
        let line = details.lines().find(|line| line.contains(complaint));
        assert!(line.is_none(), "{complaint} in {}: {line:?}", file.display());
    }
    let numbers = |name: &str| -> Vec<u8> {
        field(&file, Variant::Itu, name).iter().map(|text| text.parse().expect("a number")).collect()
    };
    assert_eq!(numbers("m3ua.message_class"), said.iter().map(|m| m.kind.class.value()).collect::<Vec<_>>());
    assert_eq!(numbers("m3ua.message_type"), said.iter().map(|m| m.kind.number).collect::<Vec<_>>());
}
