//! RFC 4475: each of its 49 messages is taken or refused as the RFC's text says; and 20,000 mutated
//! messages, whole and in pieces, do no harm.

use std::net::SocketAddr;
use std::path::PathBuf;
use tipring::rng::{Rng, Seed};
use tipring::sip::registration::{Lifetimes, Registrar};
use tipring::sip::*;
use tipring::time::{Duration, Instant};

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// Answered with this status before the application sees it.
    Answer(u16),
    /// Neither answered nor passed on.
    Silence,
    /// A new call for the application.
    Call,
    /// Another request for the application.
    Request,
}
use Want::{Answer, Call, Request as Pass, Silence};

/// Where the RFC leaves a choice, the remark says what was chosen.
const TABLE: [(&str, Want); 49] = [
    // 3.1.1: valid
    ("wsinv", Answer(481)), // well-formed; its To tag names a dialog that we do not have (RFC 3261 12.2.2)
    ("intmeth", Answer(501)),
    ("esc01", Call),
    ("escnull", Pass),
    ("esc02", Answer(501)),
    ("lwsdisp", Pass),
    ("longreq", Call),
    ("dblreq", Pass),
    ("semiuri", Pass),
    ("transports", Pass),
    ("mpart01", Pass),
    ("unreason", Silence), // well-formed; a response to nothing
    ("noreason", Silence),
    // 3.1.2: invalid
    ("badinv01", Answer(400)),
    ("clerr", Answer(400)),
    ("ncl", Answer(400)),
    ("scalar02", Answer(400)),
    ("scalarlg", Silence),
    ("quotbal", Answer(400)),
    ("ltgtruri", Answer(400)),
    ("lwsruri", Answer(400)),
    ("lwsstart", Call), // liberal: the extra spaces are not ambiguous
    ("trws", Pass),     // liberal
    ("escruri", Answer(400)),
    ("baddate", Call), // "an element shouldn't [reject] unless the Date was actually important"
    ("regbadct", Answer(400)),
    ("badaspec", Answer(400)),
    ("baddn", Answer(400)),
    ("badvers", Answer(505)),
    ("mismatch01", Answer(400)),
    ("mismatch02", Answer(501)),
    ("bigcode", Silence),
    // 3.2: transaction layer
    ("badbranch", Pass), // handled as in RFC 2543
    // 3.3: application layer
    ("insuf", Answer(400)),
    ("unkscm", Answer(416)),
    ("novelsc", Answer(416)),
    ("unksm2", Pass), // refused by the registrar, below
    ("bext01", Answer(420)),
    ("invut", Answer(415)),
    ("regaut01", Pass), // challenged by the registrar, below
    ("multi01", Answer(400)),
    ("mcl01", Answer(400)),
    ("bcast", Silence),
    ("zeromf", Pass),
    ("cparam01", Pass),
    ("cparam02", Pass),
    ("regescrt", Pass),
    ("sdp01", Answer(406)),
    // 3.4: backward compatibility
    ("inv2543", Call),
];

fn folder() -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let found = root.ancestors().skip(1).map(|a| a.join("shared/rfc4475")).find(|folder| folder.is_dir());
    if found.is_none() {
        eprintln!("../shared/rfc4475 is absent: the messages of RFC 4475 are NOT tested here");
    }
    found
}

fn message(name: &str) -> Option<Vec<u8>> {
    let path = folder()?.join(format!("{name}.dat"));
    Some(std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
}

fn settings() -> Settings {
    let mut settings =
        Settings { listeners: vec![(Transport::Udp, local()), (Transport::Tcp, local())], ..Settings::default() };
    settings.allow.push(Method::Message);
    settings
}

fn local() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 200], 5060))
}

fn flow(transport: Transport) -> Flow {
    let connection = (transport != Transport::Udp).then_some(ConnectionId(1 << 63));
    Flow { transport, local: local(), remote: SocketAddr::from(([192, 0, 2, 77], 5060)), connection }
}

fn receive(bytes: &[u8]) -> (Endpoint, Actions) {
    let mut endpoint = Endpoint::new(settings(), &Seed::from_number(4475));
    let mut out = Actions::default();
    endpoint.handle_datagram(Instant::from_millis(1), flow(Transport::Udp), bytes, &mut out);
    (endpoint, out)
}

fn reaction(out: &Actions) -> Want {
    match (out.events.as_slice(), out.sends.as_slice()) {
        ([], []) => Silence,
        ([Event::Incoming { .. }], []) => Call,
        ([Event::Request { .. }], []) => Pass,
        ([], [Send::Datagram { bytes, .. }]) => {
            let line = String::from_utf8_lossy(bytes);
            Answer(line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line"))
        }
        other => panic!("{other:?}"),
    }
}

fn request_of(name: &str) -> Option<Request> {
    let (_, out) = receive(&message(name)?);
    out.events.into_iter().find_map(|event| match event {
        Event::Request { request, .. } | Event::Incoming { request, .. } => Some(request),
        _ => None,
    })
}

#[test]
fn every_message_of_rfc_4475_has_the_reaction_that_it_wants() {
    if folder().is_none() {
        return;
    }
    let wrong: Vec<String> = TABLE
        .iter()
        .filter_map(|(name, want)| {
            let (_, out) = receive(&message(name)?);
            let got = reaction(&out);
            (got != *want).then(|| format!("{name}: wants {want:?}, got {got:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn answers_copy_what_rfc_3261_8_2_6_wants() {
    let Some(_) = folder() else { return };
    for (name, want) in TABLE {
        let (Answer(status), Some(bytes)) = (want, message(name)) else { continue };
        let (_, out) = receive(&bytes);
        let [Send::Datagram { flow: to, bytes: answer }] = out.sends.as_slice() else { panic!("{name}") };
        // Via names hosts and ports of its own; `received` makes the answer come back to the sender.
        assert_eq!(to.remote.ip(), flow(Transport::Udp).remote.ip(), "{name}");
        let request = parser::Lines::read(&bytes).expect("a start line").to_headers();
        let answer = parser::Lines::read(answer).expect("a start line").to_headers();
        for copied in [HeaderName::From, HeaderName::CallId, HeaderName::CSeq] {
            let (a, b) = (request.all(&copied).collect::<Vec<_>>(), answer.all(&copied).collect::<Vec<_>>());
            assert_eq!(a, b, "{name}: {copied:?}");
        }
        assert_eq!(request.all(&HeaderName::Via).count(), answer.all(&HeaderName::Via).count(), "{name}");
        if status != 400 {
            let to = NameAddr::parse(answer.get(&HeaderName::To).expect("To")).expect("a well-formed To");
            assert!(to.tag().is_some(), "{name}: To has no tag");
        }
        match status {
            501 => assert!(answer.has(&HeaderName::Allow), "{name}"),
            420 => assert_eq!(
                answer.tokens(&HeaderName::Unsupported),
                ["nothingSupportsThis", "nothingSupportsThisEither"],
                "{name}"
            ),
            415 => assert_eq!(answer.tokens(&HeaderName::Accept), ["application/sdp"], "{name}"),
            _ => {}
        }
    }
}

#[test]
fn details_of_valid_messages_are_read_as_the_rfc_explains_them() {
    let Some(bytes) = message("wsinv") else { return };
    let parsed = parser::parse(&bytes).expect("well-formed");
    assert_eq!(parsed.to.tag(), Some("1918181833n"));
    assert_eq!(parsed.from.display.as_deref(), Some("J Rosenberg \\\""));
    assert_eq!(parsed.cseq.to_string(), "9 INVITE");
    let request = parsed.to_request().expect("a request");
    assert_eq!(request.max_forwards(), Some(68));
    let vias: Vec<String> = request
        .headers
        .tokens(&HeaderName::Via)
        .iter()
        .map(|v| Via::parse(v.as_bytes()).expect("Via").to_string())
        .collect();
    assert_eq!(
        vias,
        [
            "SIP/2.0/UDP 192.0.2.2;branch=390skdjuw",
            "SIP/2.0/TCP spindle.example.com;branch=z9hG4bK9ikj8",
            "SIP/2.0/UDP 192.168.255.111;branch=z9hG4bK30239"
        ]
    );
    let odd = HeaderName::from_text("UnknownHeaderWithUnusualValue");
    assert_eq!(request.headers.get(&odd), Some(&b";;,,;;,;"[..]));
    assert_eq!(request.contact().map(|c| c.display), Some(Some("Quoted string \"\"".to_owned())));
    assert_eq!(request.body.len(), 150);

    let user = |name: &str| request_of(name).and_then(|r| r.uri.user());
    assert_eq!(user("esc01").as_deref(), Some("sips:user@example.com"));
    assert_eq!(user("semiuri").as_deref(), Some("user;par=u@example.net"));
    let escnull = request_of("escnull").expect("a request");
    assert_eq!(escnull.to().and_then(|to| to.uri.user()).as_deref(), Some("null-\0-null"));
    assert_eq!(escnull.headers.all(&HeaderName::Contact).count(), 2);
    assert_eq!(request_of("mpart01").expect("a request").body.len(), 553);
    assert_eq!(request_of("dblreq").expect("a request").method, Method::Register);
    let intmeth = message("intmeth").expect("there");
    let parsed = parser::parse(&intmeth).expect("well-formed");
    assert_eq!(parsed.to.display.as_deref(), Some("BEL:\u{7} NUL:\0 DEL:\u{7f}"));
    assert_eq!(parsed.from.display.as_deref(), Some("token1~` token2'+_ token3*%!.-"));
    let esc02 = message("esc02").expect("there");
    let parsed = parser::parse(&esc02).expect("well-formed");
    assert_eq!(parsed.lines.all(&HeaderName::Contact).count(), 2, "C%6Fntact is another name");
    for name in ["unreason", "noreason"] {
        let bytes = message(name).expect("there");
        let response = parser::parse(&bytes).expect("well-formed").to_response().expect("a response");
        assert_eq!(response.reason.is_empty(), name == "noreason");
    }
}

#[test]
fn the_registrar_treats_contacts_as_the_rfc_says() {
    if folder().is_none() {
        return;
    }
    let now = Instant::from_millis(1);
    let register = |name: &str| {
        let request = request_of(name).expect("a REGISTER");
        Registrar::new(Lifetimes::default()).register(now, "watson", &request, flow(Transport::Udp))
    };
    let contact = |response: &Response| response.contact().expect("a Contact").uri.to_string();
    assert_eq!(register("unksm2").status, 400, "To must be a SIP URI");
    let response = register("cparam01");
    assert_eq!((response.status, contact(&response).as_str()), (200, "sip:+19725552222@gw1.example.net"));
    let response = register("cparam02");
    assert_eq!((response.status, contact(&response).as_str()), (200, "sip:+19725552222@gw1.example.net;unknownparam"));
    let response = register("regescrt");
    assert_eq!(contact(&response), "sip:user@example.com?Route=%3Csip:sip.example.com%3E");
    let response = register("escnull");
    assert_eq!(response.headers.tokens(&HeaderName::Contact).len(), 2, "sip:%00 and sip:%00%00 are two");
    let settings = guard::GuardSettings { realm: "example.com".to_owned(), ..guard::GuardSettings::default() };
    let request = request_of("regaut01").expect("a REGISTER");
    let identity = Guard::new(settings, &Seed::from_number(1)).identify(now, &request, &flow(Transport::Udp));
    assert!(matches!(identity, guard::Identity::Unproved(_)), "to be challenged: {identity:?}");
}

#[test]
fn a_stream_that_cannot_be_framed_is_answered_and_closed() {
    if folder().is_none() {
        return;
    }
    let tcp = flow(Transport::Tcp);
    for name in ["ncl", "mcl01", "inv2543"] {
        let mut endpoint = Endpoint::new(settings(), &Seed::from_number(1));
        let mut out = Actions::default();
        endpoint.handle_stream_bytes(Instant::ZERO, tcp, &message(name).expect("there"), &mut out);
        let closed =
            matches!(out.sends.last(), Some(Send::CloseStream { connection }) if Some(*connection) == tcp.connection);
        assert!(closed, "{name}: {out:?}");
        assert_eq!(endpoint.counts().connections, 0, "{name}");
        if name != "inv2543" {
            assert!(
                matches!(out.sends.first(), Some(Send::Stream { bytes, .. }) if bytes.starts_with(b"SIP/2.0 400 "))
            );
        }
    }
    // "There's not much the receiving party could do but wait for more data and close the connection."
    let mut endpoint = Endpoint::new(settings(), &Seed::from_number(1));
    let mut out = Actions::default();
    endpoint.handle_stream_bytes(Instant::ZERO, tcp, &message("clerr").expect("there"), &mut out);
    assert_eq!(out, Actions::default());
    let deadline = endpoint.deadline().expect("it does not wait for ever");
    endpoint.handle_timeout(deadline, &mut out);
    assert!(matches!(out.sends.as_slice(), [Send::CloseStream { .. }]));
    assert_eq!(endpoint.counts(), Counts::default());
}

/// Over a stream the end of a message is where Content-Length says; every other message gets the same
/// reaction as by datagram. One without Content-Length is the last of its connection.
#[test]
fn every_message_of_rfc_4475_has_its_reaction_over_tcp_and_tls() {
    if folder().is_none() {
        return;
    }
    // "Wait for more data": Content-Length promises more than there is.
    const OTHERWISE: [(&str, Want); 1] = [("clerr", Silence)];
    let all = TABLE.iter().flat_map(|row| [Transport::Tcp, Transport::Tls].map(|transport| (row, transport)));
    let wrong: Vec<String> = all
        .filter_map(|((name, want), transport)| {
            let mut endpoint = Endpoint::new(settings(), &Seed::from_number(4475));
            let mut out = Actions::default();
            for piece in message(name)?.chunks(211) {
                endpoint.handle_stream_bytes(Instant::from_millis(1), flow(transport), piece, &mut out);
            }
            let want = OTHERWISE.iter().find(|(other, _)| other == name).map_or(*want, |(_, want)| *want);
            let got = stream_reaction(&out);
            (got != Some(want)).then(|| format!("{name} over {transport:?}: wants {want:?}, got {got:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The first thing that came of a stream; a connection closed behind it does not count.
fn stream_reaction(out: &Actions) -> Option<Want> {
    match (out.events.first(), out.sends.first()) {
        (Some(Event::Incoming { .. }), _) => Some(Call),
        (Some(Event::Request { .. }), _) => Some(Pass),
        (None, Some(Send::Stream { bytes, .. })) => {
            String::from_utf8_lossy(bytes).split(' ').nth(1).and_then(|code| code.parse().ok()).map(Answer)
        }
        (None, None | Some(Send::CloseStream { .. })) => Some(Silence),
        _ => None,
    }
}

/// Messages to be mutated where the folder of the RFC's is absent, and beside them where it is not.
fn bases() -> Vec<Vec<u8>> {
    let methods = [
        "INVITE",
        "REGISTER",
        "OPTIONS",
        "BYE",
        "ACK",
        "CANCEL",
        "INFO",
        "MESSAGE",
        "UPDATE",
        "PRACK",
        "SIP/2.0 200 OK",
        "SIP/2.0 183 P",
    ];
    let mut all: Vec<Vec<u8>> = methods
        .iter()
        .map(|method| {
            let response = method.starts_with("SIP/");
            let (line, cseq) = if response { ((*method).to_owned(), "INVITE") } else { (format!("{method} sip:101@192.0.2.200:5060 SIP/2.0"), *method) };
            let body = "v=0\r\no=x 1 1 IN IP4 192.0.2.77\r\ns=-\r\nc=IN IP4 192.0.2.77\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0 8 101\r\n";
            format!(
                "{line}\r\nVia: SIP/2.0/UDP 192.0.2.77:5060;branch=z9hG4bKmut;rport\r\nMax-Forwards: 70\r\nFrom: \"M\" <sip:1000@192.0.2.77>;tag=m1\r\n\
                 To: <sip:101@192.0.2.200>\r\nCall-ID: mut@192.0.2.77\r\nCSeq: 7 {cseq}\r\nContact: <sip:1000@192.0.2.77:5060>;expires=60\r\n\
                 Record-Route: <sip:192.0.2.9;lr>\r\nSupported: 100rel, timer\r\nAuthorization: Digest username=\"a\", realm=\"b\", nonce=\"c\", uri=\"sip:x\", response=\"00\"\r\n\
                 Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        })
        .collect();
    if folder().is_some() {
        all.extend(TABLE.iter().filter_map(|(name, _)| message(name)));
    }
    all
}

fn mutate(rng: &mut Rng, mut bytes: Vec<u8>) -> Vec<u8> {
    const SPECIAL: &[u8] = b"\0\n\r \t\"%,:;<=>@[]\\\x7f\xff";
    for _ in 0..[1, 1, 2, 3, 6][rng.below(5) as usize] {
        if bytes.is_empty() {
            break;
        }
        let len = bytes.len() as u64;
        let at = rng.below(len) as usize;
        match rng.below(12) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = SPECIAL[rng.below(SPECIAL.len() as u64) as usize],
            2 => drop(bytes.drain(at..(at + 1 + rng.below(40) as usize).min(bytes.len()))),
            3 => {
                let noise: Vec<u8> = (0..rng.below(60)).map(|_| rng.below(256) as u8).collect();
                bytes.splice(at..at, noise);
            }
            4 => {
                let from = rng.below(len) as usize;
                let piece = bytes[from..(from + rng.below(200) as usize).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            5 => bytes.truncate(at),
            6 => {
                let filler = b"A;,<>\"%@[]: "[rng.below(12) as usize];
                let length = [64, 257, 1025, 4097, 20_000][rng.below(5) as usize];
                bytes.splice(at..at, vec![filler; length]);
            }
            7 => {
                let mut lines: Vec<Vec<u8>> = bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
                let (a, b) = (rng.below(lines.len() as u64) as usize, rng.below(lines.len() as u64) as usize);
                if rng.chance(1, 2) {
                    lines.swap(a, b)
                } else {
                    lines.insert(a, lines[b].clone())
                }
                bytes = lines.join(&b'\n');
            }
            8 => {
                let number = [&b"-1"[..], b"4294967296", b"99999999999999999999", b"0x10", b"", b"2147483648"]
                    [rng.below(6) as usize];
                if let Some(digit) = bytes.iter().skip(at).position(u8::is_ascii_digit) {
                    bytes.splice(at + digit..at + digit + 1, number.iter().copied());
                }
            }
            9 => {
                let end = [&b"\n"[..], b"\r", b"\r\n ", b"\r\n\t", b"\n\n"][rng.below(5) as usize];
                if let Some(line) = bytes.iter().skip(at).position(|b| *b == b'\n') {
                    bytes.splice(at + line..at + line + 1, end.iter().copied());
                }
            }
            10 => {
                let wanted = b":;=<> @"[rng.below(7) as usize];
                let instead = [&b""[..], b"::", b";;", b"\0", b"%00", b"\xc3\x28"][rng.below(6) as usize];
                if let Some(found) = bytes.iter().skip(at).position(|b| *b == wanted) {
                    bytes.splice(at + found..at + found + 1, instead.iter().copied());
                }
            }
            _ => bytes.extend_from_within(..at),
        }
    }
    bytes.truncate(60_000);
    bytes
}

/// What a careless application would do with events.
fn act_on(endpoint: &mut Endpoint, now: Instant, rng: &mut Rng, event: Event, out: &mut Actions) {
    match event {
        Event::Incoming { session, .. } => match rng.below(4) {
            0 => endpoint.accept(now, session, Some(Body::sdp("v=0")), out),
            1 => endpoint.reject(now, session, 486, vec![], out),
            2 => endpoint.progress(now, session, 180, None, vec![], out),
            _ => {}
        },
        Event::Offer { server, .. } | Event::InDialog { server, .. } | Event::Request { server, .. } => {
            endpoint.reply(now, server, Response::new(200), out);
        }
        Event::Established { session, .. } => endpoint.terminate(now, session, None, out),
        _ => {}
    }
}

/// Feeds mutated messages; returns how many were answered or passed on.
fn feed(count: usize, seed: u64, transport: Transport) -> usize {
    let mut rng = Seed::from_number(seed).fork("mutations").rng();
    let mut endpoint = Endpoint::new(settings(), &Seed::from_number(seed));
    let bases = bases();
    let mut now = Instant::from_millis(1);
    let mut reactions = 0;
    let mut called = Vec::new();
    for number in 0..count {
        let base = rng.below(bases.len() as u64) as usize;
        let bytes = mutate(&mut rng, bases[base].clone());
        now += Duration::from_millis(rng.below(30));
        let mut out = Actions::default();
        match transport {
            Transport::Udp => endpoint.handle_datagram(now, flow(transport), &bytes, &mut out),
            Transport::Tcp | Transport::Tls => {
                let id = ConnectionId(ConnectionId::ACCEPTED + number as u64 / 7);
                let connection = Some(id);
                let piece = 1 + rng.below(700) as usize;
                for piece in bytes.chunks(piece) {
                    endpoint.handle_stream_bytes(now, Flow { connection, ..flow(transport) }, piece, &mut out);
                }
                if number % 7 == 6 {
                    endpoint.handle_stream_closed(now, id, &mut out);
                }
            }
        }
        reactions += usize::from(out != Actions::default());
        for event in std::mem::take(&mut out.events) {
            if let Event::Incoming { session, .. } = &event {
                called.push(*session);
            }
            act_on(&mut endpoint, now, &mut rng, event, &mut out);
        }
        while endpoint.deadline().is_some_and(|at| at <= now) {
            endpoint.handle_timeout(now, &mut out);
        }
    }
    // Half of the calls that came through still ring; the callee gives up.
    for session in called {
        endpoint.terminate(now, session, None, &mut Actions::default());
    }
    while let Some(deadline) = endpoint.deadline() {
        endpoint.handle_timeout(deadline, &mut Actions::default());
    }
    let counts = Counts { connections: 0, ..endpoint.counts() };
    assert_eq!(counts, Counts::default(), "seed {seed}: nothing is left");
    reactions
}

#[test]
fn mutated_datagrams_do_no_harm() {
    for seed in 1..=4 {
        let reactions = feed(5_000, seed, Transport::Udp);
        assert!(reactions > 2_000, "seed {seed}: the mutations are not too wild to mean anything: {reactions}");
    }
}

#[test]
fn mutated_streams_do_no_harm() {
    for seed in 1..=2 {
        let reactions = feed(2_000, seed, Transport::Tcp);
        assert!(reactions > 200, "seed {seed}: {reactions}");
    }
}

#[test]
fn what_is_taken_reads_the_same_after_printing() {
    let mut rng = Seed::from_number(7).fork("mutations").rng();
    let bases = bases();
    let mut taken = 0;
    for _ in 0..5_000 {
        let base = rng.below(bases.len() as u64) as usize;
        let bytes = mutate(&mut rng, bases[base].clone());
        let Ok(message) = parser::parse(&bytes) else { continue };
        taken += 1;
        if let Some(request) = message.to_request() {
            let printed = request.to_bytes();
            let again =
                parser::parse(&printed).unwrap_or_else(|e| panic!("{e:?}: {}", String::from_utf8_lossy(&printed)));
            assert_eq!(again.to_request().as_ref(), Some(&request));
        } else if let Some(response) = message.to_response() {
            let printed = response.to_bytes();
            let again =
                parser::parse(&printed).unwrap_or_else(|e| panic!("{e:?}: {}", String::from_utf8_lossy(&printed)));
            assert_eq!(again.to_response().as_ref(), Some(&response));
        }
    }
    assert!(taken > 500, "{taken}");
}
