use super::*;
use crate::sip::digest::client::Asking;
use crate::sip::digest::{Covered, Logins};
use crate::sip::endpoint::Endpoint;
use crate::sip::{Actions, Credentials, Send, Settings};

const T0: Instant = Instant::ZERO;

fn settings() -> GuardSettings {
    let account = |name: &str, algorithms: &[Algorithm]| GuardAccount {
        username: name.to_owned(),
        password: "secret".to_owned(),
        algorithms: algorithms.to_vec(),
        without_qop: false,
    };
    GuardSettings {
        realm: "example.com".to_owned(),
        accounts: vec![account("201", &[Algorithm::Sha256, Algorithm::Md5]), account("203", &[Algorithm::Md5])],
        peers: vec![(Prefix { address: IpAddr::from([10, 1, 0, 0]), bits: 16 }, 7)],
        ban: Some(BanRule { failures: 3, within: Duration::from_secs(60), lasts: Duration::from_secs(600) }),
        refusals_per_second: 10,
        ..GuardSettings::default()
    }
}

struct Bench {
    endpoint: Endpoint,
    out: Actions,
    sent: u32,
}

impl Bench {
    fn new(settings: GuardSettings) -> Bench {
        let seed = Seed::from_number(1);
        let mut endpoint = Endpoint::new(Settings::default(), &seed);
        endpoint.set_guard(Guard::new(settings, &seed));
        Bench { endpoint, out: Actions::default(), sent: 0 }
    }

    /// Gives bytes in; returns the status of what is sent back.
    fn receive(&mut self, now: Instant, from: &str, text: &str) -> Option<String> {
        self.out.sends.clear();
        let flow = flow(from);
        self.endpoint.handle_datagram(now, flow, text.as_bytes(), &mut self.out);
        match self.out.sends.first() {
            Some(Send::Datagram { bytes, .. }) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }

    /// A new request; 0: no answer, 1: it came to the application.
    fn ask(&mut self, now: Instant, from: &str, method: &str, user: &str, more: &str) -> u16 {
        self.sent += 1;
        let text = request(self.sent, method, user, "", more);
        self.out.events.clear();
        let reply = self.receive(now, from, &text);
        let taken = self.out.events.iter().any(|e| matches!(e, Event::Request { .. } | Event::Incoming { .. }));
        if taken { 1 } else { reply.map_or(0, |reply| reply[8..11].parse().expect("a status")) }
    }

    fn state(&self) -> usize {
        let counts = self.endpoint.counts();
        counts.sessions + counts.server_transactions + counts.client_transactions + counts.deadlines
    }
}

fn flow(from: &str) -> Flow {
    Flow {
        transport: Transport::Udp,
        local: "127.0.0.1:5060".parse().expect("an address"),
        remote: from.parse().expect("an address"),
        connection: None,
    }
}

fn request(number: u32, method: &str, user: &str, tag: &str, more: &str) -> String {
    format!(
        "{method} sip:600@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7:5070;branch=z9hG4bK-{method}-{number};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{user}@example.com>;tag=f{number}\r\nTo: <sip:600@example.com>{tag}\r\n\
         Call-ID: call-{number}@192.0.2.7\r\nCSeq: {number} {method}\r\nContact: <sip:{user}@192.0.2.7:5070>\r\n\
         {more}Content-Length: 0\r\n\r\n"
    )
}

/// Authorization that answers the challenges of a 401.
fn authorization(reply: &str, method: &str, user: &str, password: &str) -> String {
    let challenges: Vec<&[u8]> =
        reply.lines().filter_map(|line| line.strip_prefix("WWW-Authenticate: ")).map(str::as_bytes).collect();
    let me =
        Credentials { username: user.to_owned(), password: password.to_owned(), realm: None, peer: "x".to_owned() };
    let covered = Covered { method: method.as_bytes(), body: b"" };
    let asking = Asking { covered, uri: "sip:600@example.com", cnonce: "c" };
    let field = Logins::default().answer(challenges.into_iter(), false, &me, asking).expect("a challenge");
    format!("Authorization: {}\r\n", field.text())
}

const STRANGER: &str = "192.0.2.7:5070";
const PEER: &str = "10.1.2.3:5060";

/// RFC 3261 22.1 and 26: the whole table, each method new, with a tag that names no dialog, from a
/// stranger and from a trusted peer.
#[test]
fn every_method_needs_what_the_table_says() {
    let check = |method: &str, tagged: bool, stranger: u16, peer: u16| {
        for (from, expected) in [(STRANGER, stranger), (PEER, peer)] {
            let mut bench = Bench::new(settings());
            let text = request(1, method, "somebody", if tagged { ";tag=unknown" } else { "" }, "");
            let reply = bench.receive(T0, from, &text);
            let taken = bench.out.events.iter().any(|e| matches!(e, Event::Request { .. } | Event::Incoming { .. }));
            let got = if taken { 1 } else { reply.map_or(0, |r| r[8..11].parse().expect("a status")) };
            assert_eq!(got, expected, "{method} tagged: {tagged} from {from}");
            if got != 1 && stranger == got && from == STRANGER {
                assert_eq!(bench.state(), 0, "{method} tagged: {tagged} from {from} left state");
            }
        }
    };
    let is_known = |method: &str| ["INVITE", "OPTIONS", "REGISTER"].contains(&method);
    for (method, new, within) in NEEDS {
        let method = if method.is_empty() { "BREW" } else { method };
        for (tagged, need) in [(false, new), (true, within)] {
            let peer = match (method, tagged) {
                ("ACK", _) => 0,
                ("CANCEL", _) => 481,
                ("BREW", false) => 501,
                ("INFO" | "UPDATE" | "BYE", _) => 481,
                ("PRACK", _) => 481,
                ("REGISTER", true) => 481,
                (_, true) if need == Need::Dialog => 481,
                _ if is_known(method) => 1,
                _ => 405,
            };
            let stranger = match need {
                Need::Identity => 401,
                Need::Dialog | Need::Nothing => peer,
            };
            check(method, tagged, stranger, peer);
        }
    }
}

/// Each method of the table, opened by the configuration: a stranger is let in, whoever takes the name of an
/// account has to prove it (but for OPTIONS), and every other method is as closed as before.
#[test]
fn a_method_that_is_open_lets_strangers_in_but_not_in_the_name_of_an_account() {
    for (open, need, _) in NEEDS.into_iter().filter(|(name, ..)| !name.is_empty()) {
        let settings = GuardSettings { open: vec![Method::from_token(open)], ..settings() };
        for (method, new, _) in NEEDS.into_iter().filter(|(_, new, _)| *new == Need::Identity) {
            let method = if method.is_empty() { "BREW" } else { method };
            let mut bench = Bench::new(settings.clone());
            let mut screened = |user: &str| {
                let text = request(1, method, user, "", "");
                let (mut reply, mut events) = (Vec::new(), Vec::new());
                let guard = bench.endpoint.guard_mut().expect("a guard");
                guard.screen(T0, &flow(STRANGER), text.as_bytes(), &mut reply, &mut events) == Screened::Pass
            };
            let is_open = need == Need::Identity && method == open && new == Need::Identity;
            assert_eq!(screened("somebody"), is_open, "{method} while {open} is open");
            assert_eq!(screened("201"), is_open && method == "OPTIONS", "{method} of 201 while {open} is open");
        }
    }
}

#[test]
fn an_open_method_is_answered_whoever_asks() {
    let mut bench = Bench::new(GuardSettings { open: vec![Method::Options], ..settings() });
    assert_eq!(bench.ask(T0, STRANGER, "OPTIONS", "somebody", ""), 1);
    let Some(Event::Request { request, flow, .. }) = bench.out.events.first().cloned() else { panic!() };
    assert_eq!(bench.endpoint.identify(T0, &request, &flow), Identity::Anybody);
    assert_eq!(bench.ask(T0, STRANGER, "INVITE", "somebody", ""), 401);
}

#[test]
fn an_account_is_let_in_with_its_password_and_recognised() {
    let mut bench = Bench::new(settings());
    let reply = bench.receive(T0, STRANGER, &request(1, "REGISTER", "201", "", "")).expect("a challenge");
    let proof = authorization(&reply, "REGISTER", "201", "secret");
    assert_eq!(bench.ask(T0, STRANGER, "REGISTER", "201", &proof), 1);
    let Some(Event::Request { request, flow, .. }) = bench.out.events.first().cloned() else { panic!() };
    assert_eq!(bench.endpoint.identify(T0, &request, &flow), Identity::Account(0));
    assert_eq!(bench.endpoint.identify(T0, &request, &flow), Identity::Account(0), "asked again");
    // Played again, in another transaction, it is nobody's.
    let mut played = request;
    played.headers.set(Header::new(HeaderName::Via, "SIP/2.0/UDP 192.0.2.7:5070;branch=z9hG4bK-played"));
    let again = bench.endpoint.identify(T0, &played, &flow);
    let Identity::Unproved(challenges) = again else { panic!("{again:?}") };
    assert!(challenges.iter().all(|challenge| challenge.text().contains("stale=true")));
}

/// RFC 3261 8.2.7: no state, the same tag for the same request, one packet of at most twice the bytes.
#[test]
fn a_stranger_gets_one_small_answer_and_leaves_nothing_behind() {
    let mut bench = Bench::new(settings());
    for (number, method) in ["REGISTER", "INVITE", "OPTIONS", "MESSAGE", "SUBSCRIBE"].into_iter().enumerate() {
        let text = request(u32::try_from(number).expect("few"), method, "201", "", "");
        let at = Instant::from_millis(1_000 * number as u64);
        let tag = |reply: &str| reply.split("tag=").nth(2).map(|rest| rest.lines().next().expect("a line").to_owned());
        let (first, second) = (bench.receive(at, STRANGER, &text), bench.receive(at, STRANGER, &text));
        let (first, second) = (first.expect("an answer"), second.expect("an answer"));
        assert_eq!(bench.out.sends.len(), 1);
        assert!(first.starts_with("SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP 192.0.2.7:5070;"), "{first}");
        assert!(first.contains(";rport=5070;received=192.0.2.7\r\n"), "{first}");
        assert!(first.len() <= 2 * text.len());
        assert_eq!((tag(&first), tag(&first).is_some()), (tag(&second), true));
        assert_eq!(bench.state(), 0);
    }
}

#[test]
fn an_answer_that_would_be_too_large_has_fewer_challenges_or_is_none() {
    let mut bench = Bench::new(settings());
    let mut small =
        String::from("OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\nf:<sip:201@h>;tag=1\r\n");
    small.push_str("t:<sip:h>\r\ni:1\r\nCSeq:1 OPTIONS\r\n\r\n");
    let reply = bench.receive(T0, STRANGER, &small);
    if let Some(reply) = &reply {
        assert!(reply.len() <= 2 * small.len());
        assert_eq!(reply.matches("WWW-Authenticate").count(), 1);
    }
    let padded = small.replace("\r\n\r\n", "\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nY: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n");
    let reply = bench.receive(T0, STRANGER, &padded).expect("room for all");
    assert_eq!(reply.matches("WWW-Authenticate").count(), 2);
    assert!(reply.len() <= 2 * padded.len());
}

#[test]
fn there_is_silence_above_the_rate_of_one_source_and_only_there() {
    let mut bench = Bench::new(settings());
    let answered = |bench: &mut Bench, at: u64, from: &str| {
        (0..100).filter(|_| bench.ask(Instant::from_millis(at), from, "REGISTER", "201", "") == 401).count()
    };
    assert_eq!(answered(&mut bench, 0, STRANGER), 20);
    assert_eq!(answered(&mut bench, 0, "192.0.2.8:5070"), 20);
    assert_eq!(answered(&mut bench, 1_000, STRANGER), 10);
    assert_eq!(bench.state(), 0);
    // Known peers have their own way in.
    assert_eq!(bench.ask(T0, PEER, "OPTIONS", "x", ""), 1);
}

#[test]
fn silence_is_told_once() {
    let mut bench = Bench::new(settings());
    let mut told = 0;
    for _ in 0..50 {
        bench.ask(T0, STRANGER, "REGISTER", "201", "");
        told +=
            bench.out.events.iter().filter(|e| matches!(e, Event::AuthFailed(f) if f.reason == Reason::Flood)).count();
    }
    assert_eq!(told, 1);
}

#[test]
fn an_address_that_tries_passwords_is_shut_out_but_not_its_dialogs_or_a_trusted_peer_there() {
    let mut bench = Bench::new(settings());
    let reasons = |bench: &Bench| {
        let reason = |event: &Event| match event {
            Event::AuthFailed(failure) => Some(failure.reason.as_str()),
            _ => None,
        };
        bench.out.events.iter().filter_map(reason).collect::<Vec<_>>()
    };
    for from in [STRANGER, PEER] {
        let reply = bench.receive(T0, from, &request(99, "REGISTER", "201", "", "")).expect("a challenge");
        for (failure, user) in ["201", "201", "nobody"].into_iter().enumerate() {
            if user == "nobody" && from == PEER {
                continue;
            }
            let guess = authorization(&reply, "REGISTER", user, &format!("guess {failure}"));
            let status = bench.ask(T0, from, "REGISTER", user, &guess);
            match failure {
                0 | 1 => assert_eq!((status, reasons(&bench)), (401, vec!["wrong-password"])),
                _ => assert_eq!((status, reasons(&bench)), (0, vec!["unknown-account", "banned"])),
            }
        }
    }
    let right = bench.receive(Instant::from_millis(1), "192.0.2.8:1", &request(98, "REGISTER", "201", "", ""));
    let proof = authorization(&right.expect("another address"), "REGISTER", "201", "secret");
    assert_eq!(bench.ask(Instant::from_millis(2), STRANGER, "REGISTER", "201", &proof), 0, "shut out");
    assert_eq!(bench.endpoint.banned(T0), [IpAddr::from([192, 0, 2, 7])]);
    let bye = request(97, "BYE", "201", ";tag=x", "");
    assert!(bench.receive(T0, STRANGER, &bye).is_some_and(|reply| reply.contains(" 481 ")), "dialogs go on");
    assert_eq!(bench.ask(Instant::from_millis(600_000), STRANGER, "REGISTER", "201", ""), 401, "its time is over");
}

/// Who asks for a name must not learn whether it is an account's.
#[test]
fn unknown_names_are_challenged_like_accounts_and_always_the_same() {
    let mut bench = Bench::new(GuardSettings { refusals_per_second: 1_000, ..settings() });
    let mut offers = |user: &str| {
        let reply = bench.receive(T0, STRANGER, &request(1, "REGISTER", user, "", "")).expect("a challenge");
        let of = |line: &str| line.split("algorithm=").nth(1).map(str::to_owned);
        reply.lines().filter_map(of).collect::<Vec<_>>()
    };
    let accounts = [offers("201"), offers("203")];
    let mut seen = [0, 0];
    for number in 300..340 {
        let name = number.to_string();
        let offered = offers(&name);
        assert_eq!(offered, offers(&name));
        let like = accounts.iter().position(|account| *account == offered).expect("like one of them");
        seen[like] += 1;
    }
    assert!(seen.iter().all(|count| *count > 5), "{seen:?}");
}

#[test]
fn a_contact_registered_at_a_peer_is_the_peers_from_there_alone() {
    let mut bench = Bench::new(settings());
    let guard = bench.endpoint.guard_mut().expect("a guard");
    guard.trust_contact("600", IpAddr::from([192, 0, 2, 50]), 3);
    assert_eq!(bench.ask(T0, "192.0.2.51:5060", "INVITE", "caller", ""), 401);
    assert_eq!(bench.ask(T0, "192.0.2.50:5060", "INVITE", "caller", ""), 1);
    let Some(Event::Incoming { request, flow, .. }) = bench.out.events.first().cloned() else { panic!() };
    assert_eq!(bench.endpoint.identify(T0, &request, &flow), Identity::Peer(3));
    bench.endpoint.guard_mut().expect("a guard").distrust_contact(3);
    assert_eq!(bench.ask(T0, "192.0.2.50:5060", "INVITE", "caller", ""), 401);
}

/// RFC 3261 21.5.4: 503 with Retry-After, without state, while what runs goes on.
#[test]
fn calls_above_the_rate_get_503_with_retry_after_and_no_state() {
    let mut bench = Bench::new(GuardSettings { calls_per_second: Some(5), ..settings() });
    let mut taken = 0;
    for _ in 0..20 {
        match bench.ask(T0, PEER, "INVITE", "x", "") {
            1 => taken += 1,
            status => assert_eq!(status, 503),
        }
    }
    assert_eq!(taken, 10);
    let before = bench.state();
    bench.sent += 1;
    let reply = bench.receive(T0, PEER, &request(bench.sent, "INVITE", "x", "", "")).expect("503");
    assert!(reply.contains("\r\nRetry-After: "), "{reply}");
    assert_eq!(bench.state(), before);
    assert_eq!(bench.ask(T0, PEER, "OPTIONS", "x", ""), 1, "only calls are held back");
    bench.endpoint.set_full(true);
    assert_eq!(bench.ask(Instant::from_millis(5_000), PEER, "INVITE", "x", ""), 503);
    bench.endpoint.set_full(false);
    assert_eq!(bench.ask(Instant::from_millis(5_000), PEER, "INVITE", "x", ""), 1);
}

#[test]
fn a_repeated_request_belongs_to_its_transaction_though_its_nonce_has_ended() {
    let mut bench = Bench::new(settings());
    let reply = bench.receive(T0, STRANGER, &request(1, "OPTIONS", "201", "", "")).expect("a challenge");
    let text = request(2, "OPTIONS", "201", "", &authorization(&reply, "OPTIONS", "201", "secret"));
    bench.receive(Instant::from_millis(299_999), STRANGER, &text);
    assert_eq!(bench.receive(Instant::from_millis(300_499), STRANGER, &text), None, "not a second answer");
    assert!(bench.receive(Instant::from_millis(332_001), STRANGER, &text.replace("bK-", "bK-new")).is_some());
}

#[test]
fn networks_contain_their_addresses() {
    let check = |network: &str, bits, address: &str, inside| {
        let prefix = Prefix { address: network.parse().expect("an address"), bits };
        assert_eq!(prefix.contains(address.parse().expect("an address")), inside, "{network}/{bits} {address}");
    };
    check("127.0.0.0", 8, "127.255.0.1", true);
    check("127.0.0.0", 8, "::ffff:127.0.0.1", true);
    check("127.0.0.0", 8, "128.0.0.1", false);
    check("0.0.0.0", 0, "9.9.9.9", true);
    check("2001:db8::", 32, "2001:db8:1::1", true);
    check("2001:db8::", 32, "1.2.3.4", false);
}
