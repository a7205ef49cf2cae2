use super::*;

fn request(headers: &str) -> Vec<u8> {
    format!("OPTIONS sip:a@h SIP/2.0\r\n{headers}\r\n").into_bytes()
}

const REST: &str = "From: <sip:b@h>;tag=1\r\nTo: <sip:a@h>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n";

fn ok(bytes: &[u8]) -> Message<'_> {
    parse(bytes).unwrap_or_else(|e| panic!("{}: {e:?}", decode(bytes)))
}

fn fault(bytes: &[u8]) -> u16 {
    match parse(bytes) {
        Err(Refusal::Answer { fault, .. }) => fault.status,
        other => panic!("{}: {other:?}", decode(bytes)),
    }
}

#[test]
fn compact_names_are_read() {
    let bytes =
        b"OPTIONS sip:a@h SIP/2.0\r\nv: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\r\nf: <sip:b@h>;tag=1\r\nt: <sip:a@h>\r\n\
        i: cid\r\nCSeq: 1 OPTIONS\r\nm: <sip:b@10.0.0.1>\r\nl: 2\r\n\r\nhi";
    let message = ok(bytes);
    assert_eq!((message.call_id, message.from.tag(), message.lines.body), ("cid", Some("1"), &b"hi"[..]));
    assert_eq!(message.via.unique_branch(), Some("z9hG4bK1"));
    assert!(message.lines.get(&HeaderName::Contact).is_some());
}

#[test]
fn a_folded_field_is_one_value() {
    let bytes = request(&format!("Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nSubject: one\r\n  two\r\n\tthree\r\n{REST}"));
    let message = ok(&bytes);
    assert_eq!(message.lines.get(&HeaderName::Subject), Some(&b"one\r\n  two\r\n\tthree"[..]));
    let headers = message.lines.to_headers();
    assert_eq!(headers.get(&HeaderName::Subject), Some(&b"one two three"[..]));
}

#[test]
fn two_vias_in_one_line_are_two() {
    let bytes = request(&format!("Via: SIP/2.0/UDP p;branch=z9hG4bKa, SIP/2.0/TCP q:5070;branch=z9hG4bKb\r\n{REST}"));
    let message = ok(&bytes);
    let vias: Vec<Via> =
        message.lines.all(&HeaderName::Via).flat_map(split_list).map(|v| Via::parse(v).unwrap()).collect();
    let seen: Vec<_> =
        vias.iter().map(|v| (v.host.to_string(), v.port, v.unique_branch().unwrap().to_owned())).collect();
    assert_eq!(
        seen,
        [("p".to_owned(), None, "z9hG4bKa".to_owned()), ("q".to_owned(), Some(5070), "z9hG4bKb".to_owned())]
    );
}

#[test]
fn commas_and_brackets_in_a_quoted_name_belong_to_it() {
    let bytes = request(
        "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: \"Sm, ith <x>\" <sip:a@example.com>;tag=1\r\nTo: <sip:a@h>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n",
    );
    let message = ok(&bytes);
    assert_eq!(message.from.display.as_deref(), Some("Sm, ith <x>"));
    assert_eq!(message.from.uri.to_string(), "sip:a@example.com");
}

#[test]
fn sent_by_may_be_an_ipv6_address_with_received() {
    let bytes =
        request(&format!("Via: SIP/2.0/UDP [2001:db8::9:1]:5070;branch=z9hG4bK1;received=2001:db8::9:255\r\n{REST}"));
    let message = ok(&bytes);
    assert_eq!(message.via.host, Host::Ip("2001:db8::9:1".parse().unwrap()));
    assert_eq!(message.via.response_address(), "[2001:db8::9:255]:5070".parse().ok());
}

use super::super::uri::Host;

#[test]
fn a_request_uri_may_be_a_tel_uri() {
    let bytes = format!(
        "INVITE tel:+1-201-555-0123 SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n{}\r\n",
        REST.replace("OPTIONS", "INVITE")
    );
    match ok(bytes.as_bytes()).start {
        Start::Request { method: Method::Invite, uri } => assert_eq!(uri.user().as_deref(), Some("+12015550123")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn white_space_may_stand_before_the_colon() {
    let bytes = request(
        "Via : SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom\t: <sip:b@h>;tag=1\r\nTo  :<sip:a@h>\r\nCall-ID : c\r\nCSeq : 1 OPTIONS\r\n",
    );
    assert_eq!(ok(&bytes).call_id, "c");
}

#[test]
fn bare_line_feeds_end_lines() {
    let bytes = format!(
        "OPTIONS sip:a@h SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nSubject: a\n b\n{}Content-Length: 2\n\nok",
        REST.replace("\r\n", "\n")
    );
    let message = ok(bytes.as_bytes());
    assert_eq!(message.lines.body, b"ok");
    assert_eq!(message.lines.to_headers().get(&HeaderName::Subject), Some(&b"a b"[..]));
}

#[test]
fn keep_alives_before_a_message_are_skipped() {
    let mut bytes = b"\r\n\r\n\r\n".to_vec();
    bytes.extend(request(&format!("Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\n{REST}")));
    assert_eq!(ok(&bytes).call_id, "c");
    assert!(matches!(parse(b"\r\n\r\n"), Err(Refusal::Drop(_))));
    assert!(matches!(parse(b""), Err(Refusal::Drop(_))));
}

#[test]
fn latin_1_bytes_are_kept() {
    let mut bytes = b"OPTIONS sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: \"J\xfcrgen\" <sip:b@h>;tag=1\r\nSubject: caf\xe9\r\n".to_vec();
    bytes.extend(b"To: <sip:a@h>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n");
    let message = ok(&bytes);
    assert_eq!(message.from.display.as_deref(), Some("J\u{fc}rgen"));
    assert_eq!(message.lines.get(&HeaderName::Subject), Some(&b"caf\xe9"[..]));
    let printed = message.to_request().unwrap().to_bytes();
    assert_eq!(ok(&printed).lines.get(&HeaderName::From), Some(&b"\"J\xfcrgen\" <sip:b@h>;tag=1"[..]));
}

#[test]
fn bytes_behind_the_body_are_noise() {
    let bytes = format!(
        "{}hello and more",
        String::from_utf8(request(&format!("Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nContent-Length: 5\r\n{REST}")))
            .unwrap()
    );
    assert_eq!(ok(bytes.as_bytes()).lines.body, b"hello");
}

#[test]
fn a_binary_isup_body_comes_through() {
    let body = b"\x01\x00\x49\x00\x00\x03\x02\x00\x07\x04\x10\x00\r\n\r\n\xff\x00";
    let mut bytes = request(&format!(
        "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nContent-Type: application/ISUP;version=itu-t92+\r\nContent-Length: {}\r\n{REST}",
        body.len()
    ));
    bytes.extend(body);
    let request = ok(&bytes).to_request().unwrap();
    assert_eq!(request.body, body);
    assert!(request.typed_body().unwrap().is("application/isup"));
    assert_eq!(ok(&request.to_bytes()).lines.body, body);
}

#[test]
fn unknown_methods_names_and_order_are_kept_byte_for_byte() {
    let bytes = b"N\xc3w sip:a@h SIP/2.0\r\n\r\n";
    assert!(matches!(parse(bytes), Err(Refusal::Drop(_))), "a method is a token");
    let bytes = b"NEW%49 sip:a@h SIP/2.0\r\nx-Zz: 1 ,,; 2\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nX-zZ: \"\r\nFrom: <sip:b@h>;tag=1\r\nTo: <sip:a@h>\r\nCall-ID: c\r\nCSeq: 1 NEW%49\r\n\r\n";
    let message = ok(bytes);
    let names: Vec<_> = message.lines.fields.iter().map(|f| decode(f.spelled).into_owned()).collect();
    assert_eq!(names, ["x-Zz", "Via", "X-zZ", "From", "To", "Call-ID", "CSeq"]);
    let values: Vec<_> = message.lines.all(&HeaderName::Other("X-ZZ".into())).collect();
    assert_eq!(values, [&b"1 ,,; 2"[..], b"\""]);
    assert_eq!(message.to_request().unwrap().method.as_str(), "NEW%49");
}

#[test]
fn malformed_requests_get_the_status_of_their_fault() {
    let via = "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\n";
    assert_eq!(fault(&request(REST)), 400, "no Via");
    for name in ["From", "To", "Call-ID", "CSeq"] {
        let without: String = REST.split_inclusive("\r\n").filter(|l| !l.starts_with(name)).collect();
        assert_eq!(fault(&request(&format!("{via}{without}"))), 400, "no {name}");
        let line = REST.split_inclusive("\r\n").find(|l| l.starts_with(name)).unwrap();
        assert_eq!(fault(&request(&format!("{via}{REST}{line}"))), 400, "two {name}");
    }
    assert_eq!(fault(&request(&format!("{via}{REST}no colon\r\n"))), 400);
    assert_eq!(fault(&request(&format!("{via}{REST}X: a\rb\r\n"))), 400);
    assert_eq!(fault(&request(&format!("{via}{REST}{}", "X: y\r\n".repeat(limits::SIP_HEADERS)))), 400);
    assert_eq!(fault(request(&format!("{via}{REST}")).strip_suffix(b"\r\n").unwrap()), 400, "no empty line");
    assert_eq!(fault(b"OPTIONS sip:a@h SIP/3.0\r\n\r\n"), 505);
}

#[test]
fn what_cannot_be_answered_is_dropped() {
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"\x00\x01\x00\x00\x21\x12\xa4\x42",
        b"SIP/2.0 700 Odd\r\n\r\n",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"ACK sip:a@h SIP/2.0\r\n\r\n",
        b"INVITE sip:a@h",
        b"SIP/",
        b"SIP/2.0\r\n",
    ] {
        assert!(matches!(parse(bytes), Err(Refusal::Drop(_))), "{}", decode(bytes));
    }
}

#[test]
fn lists_split_at_bare_commas_only() {
    let check = |text: &str, items: &[&str]| {
        let seen: Vec<_> = split_list(text.as_bytes()).map(|i| decode(i).into_owned()).collect();
        assert_eq!(seen, items, "{text}");
    };
    check("", &[]);
    check(" a , b", &["a", "b"]);
    check("a,,", &["a", "", ""]);
    check("\"x\\\",y\" <sip:a,b@h>, <sip:c\"@h>,d", &["\"x\\\",y\" <sip:a,b@h>", "<sip:c\"@h>", "d"]);
}
