//! RFC 5118: each of its messages is taken or refused as the text says, over UDP, TCP and TLS.

use crate::sip::*;
use crate::time::Instant;
use std::net::SocketAddr;

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// A call for the application.
    Call,
    /// Another request for the application.
    Request,
    /// Answered with this status, to this address.
    Answer(u16, SocketAddr),
    Silence,
}

fn peer() -> SocketAddr {
    "[2001:db8::9:1]:5060".parse().unwrap()
}

/// Gives a message as the RFC prints it (LF for CRLF) to an endpoint that listens on IPv6. Over TCP and TLS
/// the reaction must be the same.
fn receive(text: &str) -> (Outcome, Option<Request>) {
    let bytes = text.replace('\n', "\r\n");
    let taken = receive_by(Transport::Udp, bytes.as_bytes());
    // In a stream the length must be true, which it is not in all messages as they are printed.
    let (head, body) = bytes.split_once("\r\n\r\n").expect("a header block");
    let lines = head.split("\r\n").map(|line| match line.starts_with("Content-Length:") {
        true => format!("Content-Length: {}", body.len()),
        false => line.to_owned(),
    });
    let framed = format!("{}\r\n\r\n{body}", lines.collect::<Vec<_>>().join("\r\n"));
    for transport in [Transport::Tcp, Transport::Tls] {
        let (outcome, request) = receive_by(transport, framed.as_bytes());
        match (&taken.0, &outcome) {
            (Outcome::Answer(by_datagram, _), Outcome::Answer(by_stream, to)) => {
                assert_eq!((by_datagram, *to), (by_stream, peer()), "over {transport:?}: by its connection");
            }
            (by_datagram, by_stream) => assert_eq!(by_datagram, by_stream, "over {transport:?}"),
        }
        assert_eq!(request.map(|r| (r.method, r.uri, r.body)), taken.1.clone().map(|r| (r.method, r.uri, r.body)));
    }
    taken
}

fn receive_by(transport: Transport, bytes: &[u8]) -> (Outcome, Option<Request>) {
    let local = "[2001:db8::10]:5060".parse().unwrap();
    let settings = Settings { listeners: vec![(transport, local)], ..Settings::default() };
    let mut endpoint = Endpoint::new(settings, &crate::rng::Seed::from_number(5118));
    let connection = transport.is_stream().then_some(ConnectionId(ConnectionId::ACCEPTED));
    let flow = Flow { transport, local, remote: peer(), connection };
    let mut out = Actions::default();
    let now = Instant::from_millis(1);
    match transport {
        Transport::Udp => endpoint.handle_datagram(now, flow, bytes, &mut out),
        Transport::Tcp | Transport::Tls => endpoint.handle_stream_bytes(now, flow, bytes, &mut out),
    }
    let answer = |bytes: &[u8], to| {
        let line = String::from_utf8_lossy(bytes);
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
        (Outcome::Answer(status, to), None)
    };
    match (out.events.as_slice(), out.sends.as_slice()) {
        ([Event::Incoming { request, .. }], _) => (Outcome::Call, Some(request.clone())),
        ([Event::Request { request, .. }], []) => (Outcome::Request, Some(request.clone())),
        ([], [Send::Datagram { flow, bytes }]) => answer(bytes, flow.remote),
        ([], [Send::Stream { bytes, .. }]) => answer(bytes, flow.remote),
        ([], []) => (Outcome::Silence, None),
        other => panic!("{other:?}"),
    }
}

fn host(uri: &Uri) -> String {
    let sip = uri.as_sip().expect("a SIP URI");
    format!("{} {:?}", sip.host, sip.port)
}

/// Where the media lines of a body want their packets.
fn media(request: &Request) -> Vec<String> {
    let description = tipring::sdp::Description::parse(&request.body).expect("well-formed");
    let address = |m: &tipring::sdp::Media| SocketAddr::new(description.connection(m).expect("c="), m.port);
    description.media.iter().map(|m| address(m).to_string()).collect()
}

const REGISTER: &str = "\
To: sip:user@example.com
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Max-Forwards: 70
Contact: \"Caller\" <sip:caller@[2001:db8::1]>
CSeq: 98176 REGISTER
Content-Length: 0

";

#[test]
fn section_4_1_a_valid_message_with_an_ipv6_reference() {
    let (outcome, request) = receive(&format!("REGISTER sip:[2001:db8::10] SIP/2.0\n{REGISTER}"));
    assert_eq!(outcome, Outcome::Request);
    let request = request.unwrap();
    assert_eq!(host(&request.uri), "[2001:db8::10] None");
    assert_eq!(host(&request.contact().unwrap().uri), "[2001:db8::1] None");
}

#[test]
fn section_4_2_an_ipv6_reference_without_brackets_is_refused() {
    let (outcome, _) = receive(&format!("REGISTER sip:2001:db8::10 SIP/2.0\n{REGISTER}"));
    assert_eq!(outcome, Outcome::Answer(400, peer()), "\"an implementation ... should ... reject with 400\"");
}

#[test]
fn section_4_3_a_port_inside_the_brackets_belongs_to_the_address() {
    let (outcome, request) = receive(&format!("REGISTER sip:[2001:db8::10:5070] SIP/2.0\n{REGISTER}"));
    assert_eq!(outcome, Outcome::Request);
    assert_eq!(host(&request.unwrap().uri), "[2001:db8::10:5070] None");
}

#[test]
fn section_4_4_a_port_behind_the_brackets_is_the_port() {
    let (outcome, request) = receive(&format!("REGISTER sip:[2001:db8::10]:5070 SIP/2.0\n{REGISTER}"));
    assert_eq!(outcome, Outcome::Request);
    assert_eq!(host(&request.unwrap().uri), "[2001:db8::10] Some(5070)");
}

/// Either form must be read; ours is written without brackets.
#[test]
fn section_4_5_received_is_read_with_and_without_brackets_and_written_without() {
    let bye = "BYE sip:[2001:db8::10] SIP/2.0
To: sip:user@example.com;tag=bd76ya
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Max-Forwards: 70
CSeq: 321 BYE
Content-Length: 0

";
    let (outcome, _) = receive(bye);
    let Outcome::Answer(481, to) = outcome else { panic!("{outcome:?}") };
    assert_eq!(to.to_string(), "[2001:db8::9:255]:5060");
    let options = "OPTIONS sip:[2001:db8::10] SIP/2.0
To: sip:user@example.com
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3
Call-ID: SSG95523997077@hlau_4100
Max-Forwards: 70
Contact: \"Caller\" <sip:caller@[2001:db8::9:1]>
CSeq: 921 OPTIONS
Content-Length: 0

";
    let (outcome, request) = receive(options);
    assert_eq!(outcome, Outcome::Request);
    let via = request.unwrap().via().unwrap();
    assert_eq!(via.response_address().map(|a| a.to_string()).as_deref(), Some("[2001:db8::9:255]:5060"));
    let (_, request) = receive(&options.replace("[2001:db8::9:1];received=2001:db8::9:255", "host.example.com"));
    assert_eq!(request.unwrap().via().unwrap().params.get("received"), Some("2001:db8::9:1"));
}

fn invite(via: &str, contact: &str, to: &str, body: &str) -> String {
    format!(
        "INVITE {to} SIP/2.0
To: {to}
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP {via}
Call-ID: SSG9559905523997077@hlau_4100
Contact: \"Caller\" <sip:{contact}>
CSeq: 8612 INVITE
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: {}

{body}",
        body.replace('\n', "\r\n").len()
    )
}

#[test]
fn section_4_6_ipv6_addresses_in_a_session_description() {
    let body = "v=0
o=assistant 971731711378798081 0 IN IP6 2001:db8::20
s=Live video feed for today's meeting
c=IN IP6 2001:db8::20
t=3338481189 3370017201
m=audio 6000 RTP/AVP 2
a=rtpmap:2 G726-32/8000
m=video 6024 RTP/AVP 107
a=rtpmap:107 H263-1998/90000
";
    let text = invite("[2001:db8::20];branch=z9hG4bKas3-111", "caller@[2001:db8::20]", "sip:user@[2001:db8::10]", body);
    let (outcome, request) = receive(&text);
    assert_eq!(outcome, Outcome::Call);
    assert_eq!(media(&request.unwrap()), ["[2001:db8::20]:6000", "[2001:db8::20]:6024"]);
}

#[test]
fn section_4_7_a_list_of_vias_mixes_both_kinds_of_addresses() {
    let bye = "BYE sip:user@host.example.net SIP/2.0
Via: SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144
Via: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200
Call-ID: 997077@lau_4100
Max-Forwards: 70
CSeq: 89187 BYE
To: sip:user@example.net;tag=9817--94
From: sip:user@example.com;tag=81x2
Content-Length: 0

";
    let (outcome, _) = receive(bye);
    assert_eq!(outcome, Outcome::Answer(481, "[2001:db8::9:1]:6050".parse().unwrap()));
}

#[test]
fn section_4_8_each_media_line_has_an_address_of_its_own() {
    let body = "v=0
o=bob 280744730 28977631 IN IP4 host.example.com
s=
t=0 0
m=audio 22334 RTP/AVP 0
c=IN IP4 192.0.2.1
m=video 6024 RTP/AVP 107
c=IN IP6 2001:db8::1
a=rtpmap:107 H263-1998/90000
";
    let text =
        invite("[2001:db8::9:1];branch=z9hG4bKas3-111", "caller@[2001:db8::9:1]", "sip:user@[2001:db8::10]", body);
    let (outcome, request) = receive(&text);
    assert_eq!(outcome, Outcome::Call);
    assert_eq!(media(&request.unwrap()), ["192.0.2.1:22334", "[2001:db8::1]:6024"]);
}

#[test]
fn section_4_9_ipv4_mapped_addresses_are_read() {
    let body = "v=0
o=assistant 971731711378798081 0 IN IP6 ::ffff:192.0.2.2
s=Call me soon, please!
c=IN IP6 ::ffff:192.0.2.2
t=3338481189 3370017201
m=audio 6000 RTP/AVP 2
a=rtpmap:2 G726-32/8000
m=video 6024 RTP/AVP 107
a=rtpmap:107 H263-1998/90000
";
    let vias = "[::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19
Via: SIP/2.0/UDP [::ffff:192.0.2.2];branch=z9hG4bKas3-111";
    let (outcome, request) = receive(&invite(vias, "ted@[::ffff:192.0.2.2]", "sip:user@example.com", body));
    assert_eq!(outcome, Outcome::Call);
    let request = request.unwrap();
    let mapped = "::ffff:192.0.2.2".parse().unwrap();
    assert_eq!(request.contact().unwrap().uri.host(), Some(&Host::Ip(mapped)));
    let via = request.via().unwrap();
    assert_eq!((via.host, via.port), (Host::Ip("::ffff:192.0.2.10".parse().unwrap()), Some(19823)));
    assert_eq!(media(&request)[0], "[::ffff:192.0.2.2]:6000");
}

#[test]
fn section_4_10_the_colon_too_many_of_rfc_3261_is_tolerated() {
    for address in ["2001:db8:::192.0.2.1", "2001:db8::192.0.2.1"] {
        let (outcome, request) = receive(&format!(
            "OPTIONS sip:user@[{address}] SIP/2.0
To: sip:user@[{address}]
From: sip:user@example.com;tag=810x2
Via: SIP/2.0/UDP lab1.east.example.com;branch=z9hG4bKas3-111
Call-ID: G9559905523997077@hlau_4100
CSeq: 689 OPTIONS
Max-Forwards: 70
Content-Length: 0

"
        ));
        assert_eq!(outcome, Outcome::Request, "{address}");
        let request = request.unwrap();
        assert_eq!(request.uri.to_string(), "sip:user@[2001:db8::c000:201]", "written without the extra colon");
    }
}
