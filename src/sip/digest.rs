//! Digest authentication as server and as client (RFC 7616, RFC 8760; qop=auth).
//!
//! Nonces carry their own time under a keyed hash, so challenging costs no memory. Only nonces that
//! were used well are remembered, for as long as they live, with the highest nonce count: a request
//! that is played again is stale (RFC 7616 5.5). An account that does not exist is treated like one
//! with an unknown password, in every step.

use super::{Header, HeaderName, Method, Request};
use crate::rng::Seed;
use crate::time::{Duration, Instant};
use md5::Md5;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;
use subtle::ConstantTimeEq;

/// Nonces that are remembered at once. When more are in use, the oldest count as stale.
pub const NONCES_MAX: usize = 16_384;

/// A digest algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-256
    Sha256,
    /// MD5
    Md5,
}

impl Algorithm {
    /// The token of RFC 7616 6.1.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Md5 => "MD5",
        }
    }

    fn from_token(token: &str) -> Option<Algorithm> {
        [Algorithm::Sha256, Algorithm::Md5].into_iter().find(|a| a.as_str().eq_ignore_ascii_case(token))
    }

    fn hash(self, parts: &[&str]) -> String {
        match self {
            Algorithm::Sha256 => hex(&hash_parts::<Sha256>(parts)),
            Algorithm::Md5 => hex(&hash_parts::<Md5>(parts)),
        }
    }
}

/// The hash of parts with colons between them.
fn hash_parts<D: Digest>(parts: &[&str]) -> Vec<u8> {
    let mut hash = D::new();
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            hash.update(b":");
        }
        hash.update(part.as_bytes());
    }
    hash.finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// An account as the verifier sees it.
#[derive(Clone, Copy)]
pub struct Account<'a> {
    /// User name.
    pub username: &'a str,
    /// Password.
    pub password: &'a str,
    /// Algorithms that were offered to it.
    pub algorithms: &'a [Algorithm],
}

/// What the credentials of a request are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are the account's.
    Accepted,
    /// There are none for our realm: challenge.
    Missing,
    /// They are the account's, but the nonce is old or used up: challenge with `stale`.
    Stale,
    /// They are wrong, or there is no such account (which looks the same, in time too).
    Refused,
}

/// The server side.
pub struct Authenticator {
    realm: String,
    nonce_life: Duration,
    secret: String,
    /// Makes two nonces of the same nanosecond differ.
    made: u64,
    /// Time and counter of nonces that were used well, with the highest count.
    used: BTreeMap<(u64, u64), u32>,
    /// Nonces up to this one were dropped to make room, and count as stale.
    dropped: (u64, u64),
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authenticator({:?}, {} nonces in use)", self.realm, self.used.len())
    }
}

impl Authenticator {
    /// For a realm; nonces live this long.
    pub fn new(realm: &str, nonce_life: Duration, seed: &Seed) -> Self {
        let mut secrets = seed.fork("digest").secrets();
        Authenticator {
            realm: realm.to_owned(),
            nonce_life,
            secret: secrets.token::<52>(),
            made: 0,
            used: BTreeMap::new(),
            dropped: (0, 0),
        }
    }

    /// `WWW-Authenticate` fields, one for each algorithm, in order (RFC 8760 2.3).
    pub fn challenge(&mut self, now: Instant, algorithms: &[Algorithm], stale: bool) -> Vec<Header> {
        self.made = self.made.wrapping_add(1);
        let nonce = self.nonce(now.as_nanos(), self.made);
        let stale = if stale { ", stale=true" } else { "" };
        let realm = quoted(&self.realm);
        algorithms
            .iter()
            .map(|algorithm| {
                let name = algorithm.as_str();
                let value = format!("Digest realm={realm}, nonce=\"{nonce}\", algorithm={name}, qop=\"auth\"{stale}");
                Header::new(HeaderName::WwwAuthenticate, value)
            })
            .collect()
    }

    /// Checks `Authorization` of a request. `account` finds the account of a user name.
    pub fn verify<'a>(
        &mut self,
        now: Instant,
        request: &Request,
        account: impl FnOnce(&str) -> Option<Account<'a>>,
    ) -> Verdict {
        let ours = request
            .headers
            .all(&HeaderName::Authorization)
            .filter_map(|value| Parameters::parse(&String::from_utf8_lossy(value)))
            .find(|parameters| parameters.get("realm").is_some_and(|realm| realm == self.realm));
        let Some(credentials) = ours else { return Verdict::Missing };
        let username = credentials.get("username").unwrap_or_default();
        let known = account(username);
        // The account that does not exist has a password nobody can know.
        let account = known.unwrap_or(Account {
            username,
            password: &self.secret,
            algorithms: &[Algorithm::Sha256, Algorithm::Md5],
        });
        let algorithm = Algorithm::from_token(credentials.get("algorithm").unwrap_or("MD5"));
        let Some(algorithm) = algorithm.filter(|a| account.algorithms.contains(a)) else {
            return Verdict::Refused;
        };
        let Some(expected) = response(algorithm, &account, &self.realm, request.method.as_str(), &credentials) else {
            return Verdict::Refused;
        };
        let given = credentials.get("response").unwrap_or_default().to_ascii_lowercase();
        let good = bool::from(expected.as_bytes().ct_eq(given.as_bytes()));
        if !good || known.is_none() {
            return Verdict::Refused;
        }
        self.judge_nonce(now, &credentials)
    }

    /// Whether the nonce is ours, young enough, and its count higher than ever.
    fn judge_nonce(&mut self, now: Instant, credentials: &Parameters) -> Verdict {
        let nonce = credentials.get("nonce").unwrap_or_default();
        let Some((made_at, number)) = self.read_nonce(nonce) else { return Verdict::Stale };
        let age = now.since(Instant::from_nanos(made_at));
        if age > self.nonce_life || (made_at, number) <= self.dropped {
            return Verdict::Stale;
        }
        // Without qop there is no count, so the nonce is good for one request.
        let count = match credentials.get("nc") {
            Some(text) => u32::from_str_radix(text, 16).unwrap_or(0),
            None => 1,
        };
        let last = self.used.get(&(made_at, number)).copied().unwrap_or(0);
        if count <= last {
            return Verdict::Stale;
        }
        let oldest = now - self.nonce_life;
        while let Some(first) = self.used.first_entry() {
            let is_old = Instant::from_nanos(first.key().0) < oldest;
            if !is_old && self.used.len() < NONCES_MAX {
                break;
            }
            if let Some((key, _)) = self.used.pop_first() {
                self.dropped = self.dropped.max(key);
            }
        }
        self.used.insert((made_at, number), count);
        Verdict::Accepted
    }

    fn nonce(&self, made_at: u64, number: u64) -> String {
        let text = format!("{made_at:x}.{number:x}");
        let mac = hash_parts::<Sha256>(&[&self.secret, &text, &self.realm]);
        format!("{text}.{}", hex(mac.get(..16).unwrap_or_default()))
    }

    fn read_nonce(&self, nonce: &str) -> Option<(u64, u64)> {
        let mut parts = nonce.splitn(3, '.');
        let made_at = u64::from_str_radix(parts.next()?, 16).ok()?;
        let number = u64::from_str_radix(parts.next()?, 16).ok()?;
        let expected = self.nonce(made_at, number);
        bool::from(expected.as_bytes().ct_eq(nonce.as_bytes())).then_some((made_at, number))
    }
}

/// The value of `response` (RFC 7616 3.4.1; without qop RFC 2617 3.2.2.1).
fn response(
    algorithm: Algorithm,
    account: &Account<'_>,
    realm: &str,
    method: &str,
    credentials: &Parameters,
) -> Option<String> {
    let a1 = algorithm.hash(&[account.username, realm, account.password]);
    let a2 = algorithm.hash(&[method, credentials.get("uri")?]);
    let nonce = credentials.get("nonce")?;
    Some(match credentials.get("qop") {
        Some(qop) if qop.eq_ignore_ascii_case("auth") => {
            algorithm.hash(&[&a1, nonce, credentials.get("nc")?, credentials.get("cnonce")?, qop, &a2])
        }
        Some(_) => return None,
        None => algorithm.hash(&[&a1, nonce, &a2]),
    })
}

/// The client side: a value for `Authorization` that answers the first challenge we know;
/// `None` when there is none.
pub fn answer(
    challenges: &[&[u8]],
    credentials: &super::Credentials,
    method: &Method,
    uri: &str,
    cnonce: &str,
) -> Option<String> {
    challenges.iter().find_map(|challenge| {
        let challenge = Parameters::parse(&String::from_utf8_lossy(challenge))?;
        let algorithm = Algorithm::from_token(challenge.get("algorithm").unwrap_or("MD5"))?;
        let (realm, nonce) = (challenge.get("realm")?, challenge.get("nonce")?);
        let mut given = vec![("uri", uri), ("nonce", nonce)];
        let with_qop = match challenge.get("qop") {
            Some(qop) if qop.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth")) => {
                given.extend([("qop", "auth"), ("nc", "00000001"), ("cnonce", cnonce)]);
                true
            }
            Some(_) => return None,
            None => false,
        };
        let given = Parameters(given.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect());
        let account =
            Account { username: &credentials.username, password: &credentials.password, algorithms: &[algorithm] };
        let response = response(algorithm, &account, realm, method.as_str(), &given)?;
        let mut value = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, algorithm={}, response=\"{response}\"",
            quoted(&credentials.username),
            quoted(realm),
            quoted(nonce),
            quoted(uri),
            algorithm.as_str(),
        );
        if with_qop {
            value.push_str(&format!(", qop=auth, nc=00000001, cnonce={}", quoted(cnonce)));
        }
        if let Some(opaque) = challenge.get("opaque") {
            value.push_str(&format!(", opaque={}", quoted(opaque)));
        }
        Some(value)
    })
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Parameters of a challenge or of credentials, values without quotes.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads `Digest name=value, name="value"`; `None` for another scheme or bad grammar.
    fn parse(value: &str) -> Option<Parameters> {
        let value = value.trim_start();
        let (scheme, mut rest) = value.split_once(|c: char| c.is_ascii_whitespace())?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let mut list = Vec::new();
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
            if rest.is_empty() {
                return Some(Parameters(list));
            }
            let (name, after) = rest.split_once('=')?;
            let after = after.trim_start();
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => take_quoted(quoted)?,
                None => {
                    let end = after.find(|c: char| c == ',' || c.is_ascii_whitespace()).unwrap_or(after.len());
                    let (value, after) = after.split_at(end);
                    (value.to_owned(), after)
                }
            };
            list.push((name.trim().to_ascii_lowercase(), value));
            rest = after;
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// The rest of a quoted string, and what follows it.
fn take_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::{Credentials, Uri};
    use super::*;

    const ALICE: Account<'_> =
        Account { username: "alice", password: "se\"cret", algorithms: &[Algorithm::Sha256, Algorithm::Md5] };

    fn authenticator() -> Authenticator {
        Authenticator::new("example.com", Duration::from_secs(300), &Seed::from_number(1))
    }

    fn request(authorization: Option<&str>) -> Request {
        let uri = Uri::parse(b"sip:example.com").expect("a URI");
        let request = Request::new(Method::Register, uri);
        match authorization {
            Some(value) => request.with(HeaderName::Authorization, value),
            None => request,
        }
    }

    fn login(challenges: &[Header], username: &str, password: &str) -> Request {
        let values: Vec<&[u8]> = challenges.iter().map(|h| h.value.as_slice()).collect();
        let credentials = Credentials { username: username.to_owned(), password: password.to_owned() };
        let value = answer(&values, &credentials, &Method::Register, "sip:example.com", "0a4f113b");
        request(Some(&value.expect("a challenge that can be answered")))
    }

    fn find(username: &str) -> Option<Account<'static>> {
        (username == "alice").then_some(ALICE)
    }

    #[test]
    fn the_example_of_rfc_7616_gives_its_response() {
        let account = Account { username: "Mufasa", password: "Circle of Life", algorithms: &[] };
        let credentials = Parameters::parse(
            "Digest uri=\"/dir/index.html\", nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
             cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth",
        )
        .expect("parameters");
        let realm = "http-auth@example.org";
        let md5 = response(Algorithm::Md5, &account, realm, "GET", &credentials);
        assert_eq!(md5.as_deref(), Some("8ca523f5e9506fed4657c9700eebdbec"));
        let sha = response(Algorithm::Sha256, &account, realm, "GET", &credentials);
        assert_eq!(sha.as_deref(), Some("753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"));
    }

    #[test]
    fn the_right_password_is_accepted_with_each_algorithm_offered() {
        for algorithm in ALICE.algorithms {
            let mut server = authenticator();
            let challenge = server.challenge(Instant::ZERO, &[*algorithm], false);
            let login = login(&challenge, "alice", "se\"cret");
            assert_eq!(server.verify(Instant::from_millis(5), &login, find), Verdict::Accepted);
        }
    }

    #[test]
    fn a_wrong_password_and_an_unknown_user_look_the_same() {
        let mut server = authenticator();
        let challenge = server.challenge(Instant::ZERO, ALICE.algorithms, false);
        for (username, password) in [("alice", "wrong"), ("nobody", "se\"cret"), ("", "")] {
            let login = login(&challenge, username, password);
            assert_eq!(server.verify(Instant::ZERO, &login, find), Verdict::Refused, "{username}");
        }
        assert_eq!(server.verify(Instant::ZERO, &request(None), find), Verdict::Missing);
        let other = request(Some("Digest realm=\"elsewhere\", username=\"alice\""));
        assert_eq!(server.verify(Instant::ZERO, &other, find), Verdict::Missing);
    }

    #[test]
    fn a_request_played_again_and_an_old_nonce_are_stale() {
        let mut server = authenticator();
        let challenge = server.challenge(Instant::ZERO, ALICE.algorithms, false);
        let login = login(&challenge, "alice", "se\"cret");
        let last_moment = Instant::from_millis(300_000);
        assert_eq!(server.verify(last_moment + Duration::from_nanos(1), &login, find), Verdict::Stale);
        assert_eq!(server.verify(last_moment, &login, find), Verdict::Accepted);
        assert_eq!(server.verify(last_moment, &login, find), Verdict::Stale);
    }

    #[test]
    fn a_nonce_of_somebody_elses_making_is_stale() {
        let mut other = Authenticator::new("example.com", Duration::from_secs(300), &Seed::from_number(2));
        let challenge = other.challenge(Instant::ZERO, ALICE.algorithms, false);
        let login = login(&challenge, "alice", "se\"cret");
        assert_eq!(authenticator().verify(Instant::ZERO, &login, find), Verdict::Stale);
    }

    #[test]
    fn an_algorithm_that_was_not_offered_is_refused() {
        let mut server = authenticator();
        let challenge = server.challenge(Instant::ZERO, &[Algorithm::Md5], false);
        let login = login(&challenge, "alice", "se\"cret");
        let only_sha = |_: &str| Some(Account { algorithms: &[Algorithm::Sha256], ..ALICE });
        assert_eq!(server.verify(Instant::ZERO, &login, only_sha), Verdict::Refused);
    }

    #[test]
    fn memory_for_nonces_is_bounded_and_dropped_ones_are_stale() {
        let mut server = authenticator();
        let first = server.challenge(Instant::ZERO, &[Algorithm::Md5], false);
        let first = login(&first, "alice", "se\"cret");
        assert_eq!(server.verify(Instant::ZERO, &first, find), Verdict::Accepted);
        for _ in 0..NONCES_MAX {
            let challenge = server.challenge(Instant::ZERO, &[Algorithm::Md5], false);
            let login = login(&challenge, "alice", "se\"cret");
            assert_eq!(server.verify(Instant::ZERO, &login, find), Verdict::Accepted);
        }
        assert_eq!(server.used.len(), NONCES_MAX);
        assert_eq!(server.verify(Instant::ZERO, &first, find), Verdict::Stale);
    }

    #[test]
    fn broken_credentials_never_panic() {
        for text in
            ["Digest", "Digest ", "Digest realm", "Digest realm=\"", "Digest realm=\"\\", "Digest ,,=,", "Basic x"]
        {
            let mut server = authenticator();
            let verdict = server.verify(Instant::ZERO, &request(Some(text)), find);
            assert_ne!(verdict, Verdict::Accepted, "{text}");
        }
    }
}
