//! parse(print(x)) = x, over generated URIs, header fields and messages.

use crate::sip::*;
use proptest::prelude::*;

/// `user` of RFC 3261 25.1, escapes included.
const USER: &str = "([a-zA-Z0-9_.!~*'()&=+$,;?/#-]|%[0-9A-Fa-f]{2}){1,24}";
const PASSWORD: &str = "([a-zA-Z0-9_.!~*'()&=+$,-]|%[0-9A-Fa-f]{2}){0,12}";
const PARAM: &str = "([a-zA-Z0-9_.!~*'()/:&+$\\[\\]-]|%[0-9A-Fa-f]{2}){1,10}";
const HEADER: &str = "([a-zA-Z0-9_.!~*'()/?:+$&=\\[\\]-]|%[0-9A-Fa-f]{2}){1,20}";
const TOKEN: &str = "[a-zA-Z0-9.!%*_+`'~-]{1,16}";
const NAME: &str = "[a-zA-Z]([a-zA-Z0-9_-]{0,10}\\.){0,3}[a-zA-Z]{1,8}";

fn host() -> impl Strategy<Value = Host> {
    prop_oneof![
        NAME.prop_map(Host::Name),
        any::<[u8; 4]>().prop_map(|octets| Host::Ip(octets.into())),
        any::<[u8; 16]>().prop_map(|octets| Host::Ip(octets.into())),
    ]
}

fn params(name: &'static str, value: impl Strategy<Value = String>) -> impl Strategy<Value = Params> {
    proptest::collection::vec((name, proptest::option::of(value)), 0..4).prop_map(Params)
}

fn sip_uri(headers: bool) -> impl Strategy<Value = Uri> {
    let userinfo = proptest::option::of((USER, proptest::option::of(PASSWORD)));
    let headers = proptest::option::of(HEADER).prop_map(move |h| h.filter(|_| headers));
    (any::<bool>(), userinfo, host(), proptest::option::of(any::<u16>()), params(PARAM, PARAM), headers).prop_map(
        |(secure, userinfo, host, port, params, headers)| {
            let (user, password) = userinfo.map_or((None, None), |(user, password)| (Some(user), password));
            Uri::Sip(SipUri { secure, user, password, host, port, params, headers })
        },
    )
}

fn uri(headers: bool) -> impl Strategy<Value = Uri> {
    prop_oneof![
        4 => sip_uri(headers),
        1 => ("\\+?[0-9.()*#a-fA-F-]{1,20}", params(PARAM, PARAM))
            .prop_map(|(number, params)| Uri::Tel { number, params }),
        1 => ("[a-zA-Z][a-zA-Z0-9+.-]{3,8}", "[!#-;=?-~]{1,20}")
            .prop_filter("sip, sips and tel are not other schemes", |(scheme, _)| {
                !["sip", "sips", "tel"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
            })
            .prop_map(|(scheme, rest)| Uri::Other { scheme, rest }),
    ]
}

/// A parameter value of a header field: a token, an address, or a quoted string.
fn field_value() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9.!%*_+`'~:/\\[\\]-]{1,16}", "\"([ !#-\\[\\]-~]|\\\\[ -~]){0,16}\""]
}

fn name_addr() -> impl Strategy<Value = NameAddr> {
    // Anything but line ends, which the printer turns into spaces.
    let display = proptest::option::of("[^\r\n]{1,24}");
    (display, uri(true), params(TOKEN, field_value())).prop_map(|(display, uri, params)| NameAddr {
        display,
        uri,
        params,
    })
}

fn via() -> impl Strategy<Value = Via> {
    let port = proptest::option::of(1..=u16::MAX);
    (Just("2.0".to_owned()), "(UDP|TCP|TLS|SCTP|[A-Z]{1,6})", host(), port, params(TOKEN, field_value()))
        .prop_map(|(version, transport, host, port, params)| Via { version, transport, host, port, params })
}

fn method() -> impl Strategy<Value = Method> {
    prop_oneof![
        Just(Method::Invite),
        Just(Method::Options),
        Just(Method::Register),
        Just(Method::Bye),
        Just(Method::Info),
        Just(Method::Ack),
        "[A-Z.!%*_+`'~-]{3,12}".prop_map(|token| Method::from_token(&token)),
    ]
}

/// Header fields that the parser gives no meaning: any value without line ends and outer white space.
fn odd_header() -> impl Strategy<Value = Header> {
    let value = proptest::collection::vec(any::<u8>().prop_filter("no line end", |b| !b"\r\n".contains(b)), 0..40);
    (TOKEN, value).prop_filter_map("a name with a meaning has a form", |(name, value)| {
        let name = HeaderName::from_text(&name);
        let free = matches!(name, HeaderName::Other(_) | HeaderName::Subject | HeaderName::UserAgent);
        free.then(|| Header { name, value: value.trim_ascii().to_vec() })
    })
}

/// What every message has, and odd fields around it.
fn headers(method: Method) -> impl Strategy<Value = Headers> {
    let odd = || proptest::collection::vec(odd_header(), 0..4);
    let vias = proptest::collection::vec(via(), 1..4);
    let number = any::<u32>();
    (odd(), vias, name_addr(), name_addr(), "[!-~]{1,30}", number, odd()).prop_map(
        move |(before, vias, from, to, call_id, number, behind)| {
            let mut headers = Headers::default();
            before.into_iter().for_each(|header| headers.push(header));
            vias.into_iter().for_each(|via| headers.push(Header::new(HeaderName::Via, via)));
            headers.push(Header::new(HeaderName::From, from));
            headers.push(Header::new(HeaderName::To, to));
            headers.push(Header::new(HeaderName::CallId, call_id));
            headers.push(Header::new(HeaderName::CSeq, CSeq { number, method: method.clone() }));
            behind.into_iter().for_each(|header| headers.push(header));
            headers
        },
    )
}

fn request() -> impl Strategy<Value = Request> {
    let body = proptest::collection::vec(any::<u8>(), 0..200);
    (method(), uri(false), body).prop_flat_map(|(method, uri, body)| {
        headers(method.clone()).prop_map(move |headers| Request {
            method: method.clone(),
            uri: uri.clone(),
            headers,
            body: body.clone(),
        })
    })
}

fn response() -> impl Strategy<Value = Response> {
    let body = proptest::collection::vec(any::<u8>(), 0..200);
    let reason = "[^\r\n]{0,30}";
    (100..700_u16, reason, method().prop_flat_map(headers), body).prop_map(|(status, reason, headers, body)| Response {
        status,
        reason,
        headers,
        body,
    })
}

/// parse(print(x)) = x.
fn same<T: std::fmt::Display + std::fmt::Debug + PartialEq>(
    x: &T,
    parse: impl Fn(&[u8]) -> Result<T, Malformed>,
) -> Result<(), TestCaseError> {
    let text = x.to_string();
    let read = parse(text.as_bytes());
    prop_assert_eq!(read.as_ref(), Ok(x), "{}", text);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn uris(uri in uri(true)) {
        same(&uri, Uri::parse)?;
        prop_assert!(uri.equivalent(&uri));
    }

    #[test]
    fn addresses(address in name_addr()) {
        same(&address, NameAddr::parse)?;
    }

    #[test]
    fn lists_of_addresses(list in proptest::collection::vec(name_addr(), 1..5)) {
        let text = list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        prop_assert_eq!(NameAddr::parse_list(text.as_bytes()), Ok(list));
    }

    #[test]
    fn vias(via in via()) {
        same(&via, Via::parse)?;
    }

    #[test]
    fn sequence_numbers(number in any::<u32>(), method in method()) {
        same(&CSeq { number, method }, CSeq::parse)?;
    }

    #[test]
    fn reasons(protocol in TOKEN, cause in proptest::option::of(any::<u32>()), text in proptest::option::of("[^\r\n]{0,30}")) {
        same(&Reason { protocol, cause, text }, Reason::parse)?;
    }

    #[test]
    fn requests(request in request()) {
        let bytes = request.to_bytes();
        let message = parser::parse(&bytes).map_err(|e| TestCaseError::fail(format!("{e:?}")))?;
        prop_assert_eq!(message.to_request(), Some(request));
    }

    #[test]
    fn responses(response in response()) {
        let bytes = response.to_bytes();
        let message = parser::parse(&bytes).map_err(|e| TestCaseError::fail(format!("{e:?}")))?;
        prop_assert_eq!(message.to_response(), Some(response));
    }

    /// What follows a message in a stream is another one, wherever the stream is cut.
    #[test]
    fn streams(requests in proptest::collection::vec(request(), 1..4), piece in 1..400_usize) {
        let stream: Vec<u8> = requests.iter().flat_map(Request::to_bytes).collect();
        let mut read = Vec::new();
        let mut buffer = Vec::new();
        for piece in stream.chunks(piece) {
            buffer.extend_from_slice(piece);
            while let transport::Frame::Message(length) = transport::frame(&buffer) {
                let message: Vec<u8> = buffer.drain(..length).collect();
                read.push(parser::parse(&message).ok().and_then(|m| m.to_request()));
            }
        }
        prop_assert_eq!(buffer.len(), 0);
        prop_assert_eq!(read, requests.into_iter().map(Some).collect::<Vec<_>>());
    }
}
