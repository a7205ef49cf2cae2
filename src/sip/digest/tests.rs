use super::client::Asking;
use super::server::Form;
use super::*;
use crate::limits::{LOGINS_MAX, NONCE_COUNT_WINDOW, NONCES_MAX};
use crate::rng::Seed;
use crate::sip::{Credentials, Header, HeaderName};
use crate::time::{Duration, Instant};
use std::net::IpAddr;

const REGISTER: Covered<'static> = Covered { method: b"REGISTER", body: b"" };
const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
const REALM: &str = "example.com";

fn authenticator() -> Authenticator {
    Authenticator::new(REALM, Duration::from_secs(300), &Seed::from_number(1))
}

fn alice() -> Account {
    Account {
        username: "alice".to_owned(),
        secret: Secret::new("alice", REALM, "se\"cret"),
        algorithms: Algorithm::ALL.to_vec(),
        without_qop: false,
    }
}

fn credentials(username: &str, password: &str) -> Credentials {
    Credentials {
        username: username.to_owned(),
        password: password.to_owned(),
        realm: None,
        peer: "registrar".to_owned(),
    }
}

const ASKING: Asking<'static> = Asking { covered: REGISTER, uri: "sip:example.com", cnonce: "0a4f113b" };

/// The value of Authorization that answers a challenge.
fn login(challenges: &[Header], username: &str, password: &str) -> Vec<u8> {
    let values = challenges.iter().map(|header| header.value.as_slice());
    let field = Logins::default().answer(values, false, &credentials(username, password), ASKING);
    field.expect("a challenge that can be answered").value
}

fn challenge(server: &mut Authenticator, algorithms: &[Algorithm]) -> Vec<Header> {
    server.challenge(Instant::ZERO, PEER, algorithms, Form::default())
}

fn verify(server: &mut Authenticator, now: Instant, field: &[u8], account: Option<&Account>) -> Verdict {
    let given = server.credentials(std::iter::once(field));
    server.verify(now, PEER, given, account, REGISTER)
}

/// RFC 7616 3.9.1 and 3.9.2, and RFC 2617 3.5.
#[test]
fn the_examples_of_the_standards_give_their_responses() {
    let secret = Secret::new("Mufasa", "http-auth@example.org", "Circle of Life");
    let get = Covered { method: b"GET", body: b"" };
    let text = "uri=\"/dir/index.html\", nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
                cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth";
    let check = |algorithm, expected: &str| {
        let response = response(algorithm, &secret, get, Parameters(text.as_bytes())).expect("complete");
        assert_eq!(response.as_str(), expected, "{algorithm:?}");
    };
    check(Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec");
    check(Algorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");

    let secret = Secret::new("Mufasa", "testrealm@host.com", "Circle Of Life");
    let text = "uri=\"/dir/index.html\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", nc=00000001, \
                cnonce=\"0a4f113b\", qop=auth";
    let response = response(Algorithm::Md5, &secret, get, Parameters(text.as_bytes())).expect("complete");
    assert_eq!(response.as_str(), "6629fae49393a05397450978507c4ef1");
}

/// FIPS 180-4: SHA-512/256 of "abc" differs from SHA-512 cut off, by its initial value.
#[test]
fn sha_512_256_has_its_own_initial_value() {
    let hash = Algorithm::Sha512_256.hash(&[Part::Bytes(b"abc")]);
    assert_eq!(hash.as_str(), "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23");
}

/// RFC 7616 3.4.2: A1 of the session forms is the hash of the plain one, nonce and cnonce.
#[test]
fn the_session_form_hashes_nonce_and_cnonce_into_a1() {
    let secret = Secret::new("a", "r", "p");
    let text = "uri=\"u\", nonce=\"n\", nc=00000001, cnonce=\"c\", qop=auth-int";
    let covered = Covered { method: b"M", body: b"b" };
    let by_hand = |inside: &[&str]| {
        let parts: Vec<Part<'_>> = inside.iter().map(|part| Part::Bytes(part.as_bytes())).collect();
        Algorithm::Md5.hash(&parts)
    };
    let plain = by_hand(&["a", "r", "p"]);
    let a1 = by_hand(&[plain.as_str(), "n", "c"]);
    let a2 = by_hand(&["M", "u", by_hand(&["b"]).as_str()]);
    let expected = by_hand(&[a1.as_str(), "n", "00000001", "c", "auth-int", a2.as_str()]);
    assert_eq!(response(Algorithm::Md5Sess, &secret, covered, Parameters(text.as_bytes())), Some(expected));
}

#[test]
fn the_right_password_is_accepted_with_each_algorithm_offered() {
    for algorithm in Algorithm::ALL {
        let mut server = authenticator();
        let challenge = challenge(&mut server, &[algorithm]);
        let field = login(&challenge, "alice", "se\"cret");
        assert!(String::from_utf8_lossy(&field).contains(&format!("algorithm={}", algorithm.as_str())));
        assert_eq!(verify(&mut server, Instant::from_millis(5), &field, Some(&alice())), Verdict::Accepted);
    }
}

/// RFC 8760 2.3 and 2.4: in the order of the account, and the topmost that is known is taken.
#[test]
fn challenges_stand_in_the_order_of_the_account_and_the_topmost_known_is_answered() {
    let mut server = authenticator();
    let mut challenges = challenge(&mut server, &[Algorithm::Md5, Algorithm::Sha512_256]);
    assert!(challenges[0].text().contains("algorithm=MD5") && challenges[1].text().contains("SHA-512-256"));
    let unknown = challenges[0].text().replace("MD5", "SHA3-512");
    challenges.insert(0, Header::new(HeaderName::WwwAuthenticate, unknown));
    let field = login(&challenges, "alice", "se\"cret");
    assert!(String::from_utf8_lossy(&field).contains("algorithm=MD5"));
}

#[test]
fn wrong_passwords_unknown_users_and_other_realms_are_not_let_in() {
    let mut server = authenticator();
    let challenge = challenge(&mut server, &alice().algorithms);
    let wrong = login(&challenge, "alice", "wrong");
    assert_eq!(verify(&mut server, Instant::ZERO, &wrong, Some(&alice())), Verdict::Refused(Fault::WrongPassword));
    let right = login(&challenge, "alice", "se\"cret");
    assert_eq!(verify(&mut server, Instant::ZERO, &right, None), Verdict::Refused(Fault::UnknownAccount));
    let other = login(&challenge, "bob", "se\"cret");
    assert_eq!(verify(&mut server, Instant::ZERO, &other, Some(&alice())), Verdict::Refused(Fault::UnknownAccount));
    let elsewhere = b"Digest realm=\"elsewhere\", username=\"alice\"";
    assert_eq!(verify(&mut server, Instant::ZERO, elsewhere, Some(&alice())), Verdict::Missing);
    assert_eq!(verify(&mut server, Instant::ZERO, b"Basic x", Some(&alice())), Verdict::Missing);
}

/// RFC 7616 5.5.
#[test]
fn a_request_played_again_and_an_old_nonce_are_stale() {
    let mut server = authenticator();
    let challenge = challenge(&mut server, &alice().algorithms);
    let field = login(&challenge, "alice", "se\"cret");
    let last_moment = Instant::from_millis(300_000);
    assert_eq!(verify(&mut server, Instant::from_millis(300_001), &field, Some(&alice())), Verdict::Stale);
    assert_eq!(verify(&mut server, last_moment, &field, Some(&alice())), Verdict::Accepted);
    assert_eq!(verify(&mut server, last_moment, &field, Some(&alice())), Verdict::Stale);
}

#[test]
fn a_nonce_is_good_only_for_the_server_that_made_it_and_the_address_that_got_it() {
    let mut other = Authenticator::new(REALM, Duration::from_secs(300), &Seed::from_number(2));
    let foreign = login(&challenge(&mut other, &alice().algorithms), "alice", "se\"cret");
    let mut server = authenticator();
    assert_eq!(verify(&mut server, Instant::ZERO, &foreign, Some(&alice())), Verdict::Stale);
    let ours = login(&challenge(&mut server, &alice().algorithms), "alice", "se\"cret");
    let given = server.credentials(std::iter::once(ours.as_slice()));
    let thief = IpAddr::from([192, 0, 2, 8]);
    assert_eq!(server.judge(Instant::ZERO, thief, Duration::ZERO, given, Some(&alice()), REGISTER), Verdict::Stale);
}

/// `stale` for a right password and a made-up nonce would let anybody try passwords uncounted.
#[test]
fn a_made_up_nonce_tells_nothing_about_the_password() {
    let mut server = authenticator();
    let made_up =
        "Digest realm=\"example.com\", nonce=\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\", algorithm=MD5, qop=\"auth\"";
    let challenge = [Header::new(HeaderName::WwwAuthenticate, made_up)];
    for password in ["se\"cret", "wrong"] {
        let field = login(&challenge, "alice", password);
        assert_eq!(verify(&mut server, Instant::ZERO, &field, Some(&alice())), Verdict::Stale);
    }
}

/// RFC 7616 3.4: counts may come out of order, each once, within a window.
#[test]
fn nonce_counts_may_come_out_of_order_but_only_once() {
    let mut server = authenticator();
    let challenges = challenge(&mut server, &[Algorithm::Md5]);
    let mut logins = Logins::default();
    let me = credentials("alice", "se\"cret");
    let values = challenges.iter().map(|header| header.value.as_slice());
    let first = logins.answer(values, false, &me, ASKING).expect("answered").value;
    let mut fields = vec![first];
    for _ in 1..=NONCE_COUNT_WINDOW {
        fields.extend(logins.ahead(&me, ASKING).into_iter().map(|header| header.value));
    }
    let mut check = |count: u32, verdict| {
        assert_eq!(verify(&mut server, Instant::ZERO, &fields[count as usize - 1], Some(&alice())), verdict, "{count}");
    };
    check(3, Verdict::Accepted);
    check(2, Verdict::Accepted);
    check(2, Verdict::Stale);
    check(NONCE_COUNT_WINDOW + 1, Verdict::Accepted);
    check(1, Verdict::Stale);
    check(NONCE_COUNT_WINDOW, Verdict::Accepted);
}

#[test]
fn telephones_without_qop_are_believed_only_where_the_account_says_so() {
    let mut server = authenticator();
    let form = Form { without_qop: true, ..Form::default() };
    let challenge = server.challenge(Instant::ZERO, PEER, &[Algorithm::Md5], form);
    assert!(!challenge[0].text().contains("qop"));
    let field = login(&challenge, "alice", "se\"cret");
    assert_eq!(verify(&mut server, Instant::ZERO, &field, Some(&alice())), Verdict::Refused(Fault::Form));
    let old = Account { without_qop: true, ..alice() };
    assert_eq!(verify(&mut server, Instant::ZERO, &field, Some(&old)), Verdict::Accepted);
    assert_eq!(verify(&mut server, Instant::ZERO, &field, Some(&old)), Verdict::Stale, "no count: good once");
}

#[test]
fn an_algorithm_that_was_not_offered_is_refused() {
    let mut server = authenticator();
    let field = login(&challenge(&mut server, &[Algorithm::Md5]), "alice", "se\"cret");
    let strict = Account { algorithms: vec![Algorithm::Sha256], ..alice() };
    assert_eq!(verify(&mut server, Instant::ZERO, &field, Some(&strict)), Verdict::Refused(Fault::Form));
}

#[test]
fn memory_for_nonces_is_bounded_and_dropped_ones_are_stale() {
    let mut server = authenticator();
    let mut fields = Vec::new();
    for _ in 0..=NONCES_MAX {
        fields.push(login(&challenge(&mut server, &[Algorithm::Md5]), "alice", "se\"cret"));
    }
    let account = alice();
    for field in &fields {
        assert_eq!(verify(&mut server, Instant::ZERO, field, Some(&account)), Verdict::Accepted);
    }
    assert_eq!(server.nonces(), NONCES_MAX);
    assert_eq!(verify(&mut server, Instant::ZERO, &fields[0], Some(&account)), Verdict::Stale);
}

#[test]
fn broken_credentials_never_panic_and_never_pass() {
    let mut server = authenticator();
    for text in ["Digest", "Digest ", "Digest realm", "Digest realm=\"", "Digest realm=\"\\", "Digest ,,=,", "Basic x"]
    {
        assert_ne!(verify(&mut server, Instant::ZERO, text.as_bytes(), Some(&alice())), Verdict::Accepted, "{text}");
    }
    let whole = login(&challenge(&mut server, &[Algorithm::Md5]), "alice", "wrong");
    for end in 0..whole.len() {
        assert_ne!(verify(&mut server, Instant::ZERO, &whole[..end], Some(&alice())), Verdict::Accepted);
    }
}

#[test]
fn values_lose_their_backslashes() {
    let value = |text: &'static str| Parameters(text.as_bytes()).get("x").expect("there");
    assert!(value("x=\"a\\\"b\\\\c\"").is("a\"b\\c"));
    assert_eq!(value("y=1, X = \"a\\\"b\\\\c\"").text(), "a\"b\\c");
    assert!(value("x=a\\b, y=1").is("a\\b"), "a backslash outside of quotes is itself");
    assert!(!value("x=\"ab\"").is("a") && !value("x=\"a\"").is("ab"));
}

#[test]
fn only_the_realm_of_the_peer_is_answered() {
    let challenge = |realm: &str| format!("Digest realm=\"{realm}\", nonce=\"n\"").into_bytes();
    let (ours, theirs) = (challenge("ours"), challenge("theirs"));
    let answer = |logins: &mut Logins, me: &Credentials, field: &Vec<u8>| {
        logins.answer(std::iter::once(field.as_slice()), false, me, ASKING).is_some()
    };
    let mut logins = Logins::default();
    let pinned = Credentials { realm: Some("ours".to_owned()), ..credentials("a", "p") };
    assert!(!answer(&mut logins, &pinned, &theirs) && answer(&mut logins, &pinned, &ours));
    // Without a configured realm the first one is kept to.
    let mut logins = Logins::default();
    let me = credentials("a", "p");
    assert!(answer(&mut logins, &me, &ours) && !answer(&mut logins, &me, &theirs) && answer(&mut logins, &me, &ours));
}

#[test]
fn auth_int_is_answered_when_it_is_all_that_is_offered() {
    let field = |qop: &str| {
        let challenge = format!("Digest realm=\"r\", nonce=\"n\", qop=\"{qop}\", opaque=\"o\\\"\"").into_bytes();
        let header = Logins::default().answer(std::iter::once(&challenge[..]), false, &credentials("a", "p"), ASKING);
        header.map(|header| header.text().into_owned())
    };
    assert!(field("auth-int").is_some_and(|f| f.contains("qop=auth-int") && f.contains("opaque=\"o\\\"\"")));
    assert!(field("auth-int, auth").is_some_and(|f| f.contains("qop=auth,")));
    assert_eq!(field("token"), None);
}

#[test]
fn the_nonce_of_a_peer_is_used_on_with_its_count() {
    let mut logins = Logins::default();
    let me = credentials("a", "p");
    assert!(logins.ahead(&me, ASKING).is_empty(), "nothing is known yet");
    let challenge = b"Digest realm=\"r\", nonce=\"n\", qop=\"auth\"";
    logins.answer(std::iter::once(&challenge[..]), true, &me, ASKING);
    let next = logins.ahead(&me, ASKING);
    assert_eq!(next.len(), 1);
    assert_eq!(next[0].name, HeaderName::ProxyAuthorization);
    assert!(next[0].text().contains("nc=00000002"), "{}", next[0].text());
    let other = Credentials { peer: "another".to_owned(), ..me };
    assert!(logins.ahead(&other, ASKING).is_empty());
    for number in 0..LOGINS_MAX {
        let me = Credentials { peer: format!("peer {number}"), ..other.clone() };
        logins.answer(std::iter::once(&challenge[..]), false, &me, ASKING);
    }
    let remembered = |n: usize| Credentials { peer: format!("peer {n}"), ..other.clone() };
    let count = (0..LOGINS_MAX).filter(|n| !logins.ahead(&remembered(*n), ASKING).is_empty()).count();
    assert!(count <= LOGINS_MAX && count > LOGINS_MAX / 2, "{count}");
}
