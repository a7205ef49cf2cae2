//! Speed of the SIP core: parsing, printing, a call through two endpoints without a network.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::net::SocketAddr;
use tipring::rng::Seed;
use tipring::sip::*;
use tipring::time::Instant;

const INVITE: &str = "INVITE sip:600@127.0.0.1:5060 SIP/2.0\r\n\
    Via: SIP/2.0/UDP 127.0.0.2:5070;branch=z9hG4bK-1234-1-0;rport\r\n\
    From: \"Alice\" <sip:alice@127.0.0.2:5070>;tag=1234SIPpTag001\r\n\
    To: <sip:600@127.0.0.1:5060>\r\n\
    Call-ID: 1-1234@127.0.0.2\r\n\
    CSeq: 1 INVITE\r\n\
    Contact: <sip:alice@127.0.0.2:5070>\r\n\
    Max-Forwards: 70\r\n\
    Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE\r\n\
    Supported: 100rel, timer\r\n\
    User-Agent: bench\r\n\
    Subject: Performance Test\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 129\r\n\r\n\
    v=0\r\no=user1 53655765 2353687637 IN IP4 127.0.0.2\r\ns=-\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

fn parsing(c: &mut Criterion) {
    let mut group = c.benchmark_group("sip");
    group.throughput(Throughput::Bytes(INVITE.len() as u64));
    group.bench_function("line index of an INVITE", |b| b.iter(|| parser::Lines::read(black_box(INVITE.as_bytes()))));
    group.bench_function("parse an INVITE", |b| b.iter(|| parser::parse(black_box(INVITE.as_bytes()))));
    let request = parser::parse(INVITE.as_bytes()).ok().and_then(|m| m.to_request()).expect("it is well-formed");
    group.bench_function("print an INVITE", |b| b.iter(|| black_box(&request).to_bytes()));
    group.bench_function("parse an INVITE into what outlives the datagram", |b| {
        b.iter(|| parser::parse(black_box(INVITE.as_bytes())).ok().and_then(|message| message.to_request()));
    });
    let torn = INVITE.replacen("Call-ID: ", "Call-ID : \r\n ", 1).replacen("From: ", "f:\t", 1);
    group.bench_function("parse an INVITE with compact names and folds", |b| {
        b.iter(|| parser::parse(black_box(torn.as_bytes())));
    });
    group.finish();
}

fn address(end: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, end as u8 + 1], 5060))
}

/// Hands the datagrams over until there are none.
fn settle(ends: &mut [Endpoint; 2], now: Instant, mut out: [Actions; 2]) -> Vec<(usize, Event)> {
    let mut events = Vec::new();
    loop {
        let mut quiet = true;
        for end in 0..2 {
            let actions = std::mem::take(&mut out[end]);
            events.extend(actions.events.into_iter().map(|event| (end, event)));
            for send in actions.sends {
                let Send::Datagram { flow, bytes } = send else { continue };
                quiet = false;
                let back = Flow { local: flow.remote, remote: flow.local, ..flow };
                ends[1 - end].handle_datagram(now, back, &bytes, &mut out[1 - end]);
            }
        }
        if quiet {
            return events;
        }
    }
}

/// INVITE, 180, 200, ACK, BYE, 200: two user agents, so twice the work of one.
fn call(ends: &mut [Endpoint; 2], now: Instant) {
    let invite = OutgoingInvite {
        target: Uri::at(Some("bob"), Transport::Udp, address(1)),
        next_hop: NextHop::Flow(Flow {
            transport: Transport::Udp,
            local: address(0),
            remote: address(1),
            connection: None,
        }),
        from: NameAddr::new(Uri::at(Some("alice"), Transport::Udp, address(0))),
        to: NameAddr::new(Uri::at(Some("bob"), Transport::Udp, address(1))),
        contact_user: "alice".to_owned(),
        body: Some(Body::sdp("v=0")),
        headers: Vec::new(),
        max_forwards: 70,
        reliable: Reliable::Off,
        credentials: None,
    };
    let mut out = [Actions::default(), Actions::default()];
    let caller = ends[0].invite(now, invite, &mut out[0]);
    for (_, event) in settle(ends, now, out) {
        if let Event::Incoming { session, .. } = event {
            let mut out = [Actions::default(), Actions::default()];
            ends[1].progress(now, session, 180, None, Vec::new(), &mut out[1]);
            ends[1].accept(now, session, Some(Body::sdp("v=0")), &mut out[1]);
            settle(ends, now, out);
        }
    }
    let mut out = [Actions::default(), Actions::default()];
    ends[0].terminate(now, caller, None, &mut out[0]);
    settle(ends, now, out);
}

fn calls(c: &mut Criterion) {
    let seed = Seed::from_number(1);
    let end = |end: usize| {
        let settings = Settings { listeners: vec![(Transport::Udp, address(end))], ..Settings::default() };
        Endpoint::new(settings, &seed.fork(if end == 0 { "caller" } else { "callee" }))
    };
    let mut ends = [end(0), end(1)];
    let mut now = Instant::from_millis(1);
    c.bench_function("sip/a call between two endpoints", |b| {
        b.iter(|| {
            // One call every 10 ms, with the timers of the calls before.
            now += std::time::Duration::from_millis(10);
            for end in &mut ends {
                end.handle_timeout(now, &mut Actions::default());
            }
            call(&mut ends, now);
        });
    });
}

/// A stranger's REGISTER, answered with 401 by the guard.
fn refusing(c: &mut Criterion) {
    let account = guard::GuardAccount {
        username: "201".to_owned(),
        password: "secret".to_owned(),
        algorithms: vec![digest::Algorithm::Sha256, digest::Algorithm::Md5],
        without_qop: false,
    };
    let settings = guard::GuardSettings {
        realm: "example.com".to_owned(),
        accounts: vec![account],
        refusals_per_second: 1_000_000,
        ..guard::GuardSettings::default()
    };
    let seed = Seed::from_number(1);
    let mut endpoint = Endpoint::new(Settings::default(), &seed);
    endpoint.set_guard(Guard::new(settings, &seed));
    let flow = Flow { transport: Transport::Udp, local: address(0), remote: address(1), connection: None };
    let text = INVITE.replace("sip:alice@127.0.0.2:5070>;tag", "sip:201@127.0.0.2:5070>;tag");
    let (mut out, mut now) = (Actions::default(), Instant::ZERO);
    c.bench_function("sip/refuse a stranger's INVITE", |b| {
        b.iter(|| {
            now += std::time::Duration::from_micros(10);
            endpoint.handle_datagram(now, flow, black_box(text.as_bytes()), &mut out);
            match out.sends.pop() {
                Some(Send::Datagram { bytes, .. }) => out.spare.push(bytes),
                other => panic!("not answered: {other:?}"),
            }
        });
    });
}

/// What a flood costs: requests that are refused without state or with the least there is.
fn refusals(c: &mut Criterion) {
    let settings = Settings { listeners: vec![(Transport::Udp, address(0))], ..Settings::default() };
    let mut endpoint = Endpoint::new(settings, &Seed::from_number(1));
    let flow = Flow { transport: Transport::Udp, local: address(0), remote: address(1), connection: None };
    let mut out = Actions::default();
    let malformed = INVITE.replacen("CSeq: 1 INVITE", "CSeq: one INVITE", 1);
    c.bench_function("sip/refuse a malformed INVITE", |b| {
        b.iter(|| {
            out.sends.clear();
            endpoint.handle_datagram(Instant::from_millis(1), flow, black_box(malformed.as_bytes()), &mut out);
        });
    });
    let stray = INVITE.replacen("INVITE sip", "ACK sip", 1).replacen("CSeq: 1 INVITE", "CSeq: 1 ACK", 1);
    c.bench_function("sip/drop a stray ACK", |b| {
        b.iter(|| endpoint.handle_datagram(Instant::from_millis(1), flow, black_box(stray.as_bytes()), &mut out));
    });
    c.bench_function("sip/drop what is no SIP", |b| {
        b.iter(|| endpoint.handle_datagram(Instant::from_millis(1), flow, black_box(&[0x80; 172]), &mut out));
    });
}

criterion_group!(benches, parsing, calls, refusals, refusing);
criterion_main!(benches);
