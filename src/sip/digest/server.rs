//! The registrar's side: challenges, and what credentials are worth (RFC 7616 3.3 to 3.5, 5).
//!
//! A nonce carries its time, its number and a keyed hash over both and the address it was given to,
//! so challenging costs no memory and nobody else can use it. Only nonces that were used well are
//! remembered, for as long as they live, with a window of nonce counts: a request that is played
//! again is stale (RFC 7616 5.5). An account that does not exist is treated like one with a password
//! that nobody knows, in every step and in the same time.

use super::{Algorithm, Covered, Parameters, Secret, response};
use crate::limits::{NONCE_COUNT_WINDOW, NONCES_MAX};
use crate::rng::Seed;
use crate::sip::{Header, HeaderName};
use crate::time::{Duration, Instant};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::IpAddr;
use subtle::ConstantTimeEq;

/// Bytes of a nonce before the hash: milliseconds and number.
const NONCE_STAMP_BYTES: usize = 12;
/// Bytes of the keyed hash that a nonce carries.
const NONCE_TAG_BYTES: usize = 12;
/// Characters of a nonce: four for three bytes.
const NONCE_CHARS: usize = (NONCE_STAMP_BYTES + NONCE_TAG_BYTES) / 3 * 4;

/// An account as the verifier sees it.
#[derive(Clone, Debug)]
pub struct Account {
    /// User name.
    pub username: String,
    /// What its password makes for the realm.
    pub secret: Secret,
    /// What is offered to it, in this order (RFC 8760 2.3); nothing else is accepted.
    pub algorithms: Vec<Algorithm>,
    /// For telephones of RFC 2069: challenged without qop, and believed without it.
    pub without_qop: bool,
}

/// What is wrong with credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no such account.
    UnknownAccount,
    /// The password is another one.
    WrongPassword,
    /// An algorithm or qop that was not offered, or a parameter is missing.
    Form,
}

/// What the credentials of a request are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are the account's.
    Accepted,
    /// There are none for our realm: challenge.
    Missing,
    /// Their nonce is not ours for that address, old, or used up: challenge with `stale`. The password
    /// has not been looked at unless the nonce was good, so `stale` tells nothing about it.
    Stale,
    /// They are wrong: challenge again.
    Refused(Fault),
}

/// Nonce counts that were seen: the highest, and which of the ones just below.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    highest: u32,
    seen: u64,
}

impl Counts {
    /// Notes a count; false when it was there before or is too far back to know.
    fn take(&mut self, count: u32) -> bool {
        if count > self.highest {
            let ahead = count - self.highest;
            self.seen = if ahead < NONCE_COUNT_WINDOW { self.seen << ahead | 1 } else { 1 };
            self.highest = count;
            return true;
        }
        let behind = self.highest - count;
        if count == 0 || behind >= NONCE_COUNT_WINDOW || self.seen >> behind & 1 == 1 {
            return false;
        }
        self.seen |= 1 << behind;
        true
    }
}

/// A nonce of ours, read: milliseconds since start, and number.
type Stamp = (u64, u32);

/// The server side.
pub struct Authenticator {
    realm: String,
    nonce_life: Duration,
    key: [u8; 32],
    /// Makes two nonces of the same millisecond differ.
    made: u32,
    /// Nonces that were used well, oldest first.
    used: BTreeMap<Stamp, Counts>,
    /// Nonces up to this one were dropped to make room, and count as stale.
    dropped: Stamp,
    /// Stands in for accounts that do not exist.
    nobody: Secret,
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
        let mut key = [0; 32];
        for word in key.chunks_exact_mut(8) {
            word.copy_from_slice(&secrets.next_u64().to_le_bytes());
        }
        Authenticator {
            realm: realm.to_owned(),
            nonce_life,
            key,
            made: 0,
            used: BTreeMap::new(),
            dropped: (0, 0),
            nobody: Secret::new("", realm, &secrets.token::<52>()),
        }
    }

    /// The realm of its challenges.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Writes `WWW-Authenticate` fields for `peer`, one for each algorithm, in order (RFC 8760 2.3).
    pub fn write_challenge(
        &mut self,
        now: Instant,
        peer: IpAddr,
        algorithms: &[Algorithm],
        form: Form,
        out: &mut Vec<u8>,
    ) {
        let nonce = self.next_nonce(now, peer);
        let nonce = std::str::from_utf8(&nonce).unwrap_or_default();
        for algorithm in algorithms {
            let name = algorithm.as_str();
            // Writing to a vector cannot fail. A realm is a host name or an address: nothing to escape.
            let _ =
                write!(out, "WWW-Authenticate: Digest realm=\"{}\", nonce=\"{nonce}\", algorithm={name}", self.realm);
            if !form.without_qop {
                let _ = write!(out, ", qop=\"auth\"");
            }
            if form.stale {
                let _ = write!(out, ", stale=true");
            }
            let _ = write!(out, "\r\n");
        }
    }

    /// The same as header fields.
    pub fn challenge(&mut self, now: Instant, peer: IpAddr, algorithms: &[Algorithm], form: Form) -> Vec<Header> {
        let mut bytes = Vec::new();
        self.write_challenge(now, peer, algorithms, form, &mut bytes);
        let text = String::from_utf8(bytes).unwrap_or_default();
        let value =
            |line: &str| line.split_once(": ").map(|(_, value)| Header::new(HeaderName::WwwAuthenticate, value));
        text.lines().filter_map(value).collect()
    }

    /// The value of the field among `fields` (values of `Authorization`) that is for our realm.
    pub(in crate::sip) fn credentials<'a>(&self, mut fields: impl Iterator<Item = &'a [u8]>) -> Option<Parameters<'a>> {
        fields.find_map(|value| {
            Parameters::of_field(value).filter(|given| given.get("realm").is_some_and(|realm| realm.is(&self.realm)))
        })
    }

    /// What credentials that came from `peer` are worth; remembers nothing. `account` is the one that
    /// the request names; `late` is how much older than usual the nonce may be.
    pub(in crate::sip) fn judge(
        &self,
        now: Instant,
        peer: IpAddr,
        late: Duration,
        given: Option<Parameters<'_>>,
        account: Option<&Account>,
        covered: Covered<'_>,
    ) -> Verdict {
        let Some(given) = given else { return Verdict::Missing };
        if self.read_nonce(now, peer, late, given).is_none() {
            return Verdict::Stale;
        }
        let named = given.get("username");
        let known = account.filter(|account| named.is_some_and(|name| name.is(&account.username)));
        let secret = known.map_or(&self.nobody, |account| &account.secret);
        let algorithm = Algorithm::of(given.get("algorithm"));
        // Before the password is looked at, and the same for everybody: the form is right or not.
        let qop = given.get("qop");
        let form = account.is_none_or(|a| algorithm.is_some_and(|one| a.algorithms.contains(&one)))
            && match qop {
                Some(qop) => qop.is_token("auth"),
                None => account.is_some_and(|account| account.without_qop),
            };
        let Some(expected) = algorithm.and_then(|algorithm| response(algorithm, secret, covered, given)) else {
            return Verdict::Refused(Fault::Form);
        };
        let told = given.get("response").map(|value| value.raw).unwrap_or_default();
        let mut lower = [0; 64];
        let lower = match lower.get_mut(..told.len()) {
            Some(lower) => {
                lower.copy_from_slice(told);
                lower.make_ascii_lowercase();
                &*lower
            }
            None => told,
        };
        let good = bool::from(expected.as_bytes().ct_eq(lower));
        match (good, known, form) {
            (_, None, _) => Verdict::Refused(Fault::UnknownAccount),
            (_, _, false) => Verdict::Refused(Fault::Form),
            (false, _, _) => Verdict::Refused(Fault::WrongPassword),
            (true, Some(_), true) => Verdict::Accepted,
        }
    }

    /// As `judge`, and what is accepted uses up its nonce count.
    pub(in crate::sip) fn verify(
        &mut self,
        now: Instant,
        peer: IpAddr,
        given: Option<Parameters<'_>>,
        account: Option<&Account>,
        covered: Covered<'_>,
    ) -> Verdict {
        let verdict = self.judge(now, peer, Duration::ZERO, given, account, covered);
        match (verdict, given) {
            (Verdict::Accepted, Some(given)) => self.use_up(now, peer, given),
            _ => verdict,
        }
    }

    fn use_up(&mut self, now: Instant, peer: IpAddr, given: Parameters<'_>) -> Verdict {
        let Some(stamp) = self.read_nonce(now, peer, Duration::ZERO, given) else { return Verdict::Stale };
        // Without qop there is no count, so the nonce is good for one request.
        let count = match given.get("nc").filter(|_| given.get("qop").is_some()) {
            Some(text) => std::str::from_utf8(text.raw).ok().and_then(|t| u32::from_str_radix(t, 16).ok()).unwrap_or(0),
            None => 1,
        };
        let mut counts = self.used.get(&stamp).copied().unwrap_or_default();
        if !counts.take(count) {
            return Verdict::Stale;
        }
        let oldest = milliseconds(now - self.nonce_life);
        while let Some(first) = self.used.first_entry() {
            let is_old = first.key().0 < oldest;
            let is_full = self.used.len() >= NONCES_MAX && !self.used.contains_key(&stamp);
            if !is_old && !is_full {
                break;
            }
            if let Some((key, _)) = self.used.pop_first() {
                self.dropped = self.dropped.max(key);
            }
        }
        self.used.insert(stamp, counts);
        Verdict::Accepted
    }

    fn next_nonce(&mut self, now: Instant, peer: IpAddr) -> [u8; NONCE_CHARS] {
        self.made = self.made.wrapping_add(1);
        self.nonce((milliseconds(now), self.made), peer)
    }

    /// The nonce with this stamp for this address.
    fn nonce(&self, stamp: Stamp, peer: IpAddr) -> [u8; NONCE_CHARS] {
        let mut bytes = [0; NONCE_STAMP_BYTES + NONCE_TAG_BYTES];
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update(stamp.0.to_be_bytes());
        hash.update(stamp.1.to_be_bytes());
        match peer.to_canonical() {
            IpAddr::V4(address) => hash.update(address.octets()),
            IpAddr::V6(address) => hash.update(address.octets()),
        }
        let tag = hash.finalize();
        let content = stamp.0.to_be_bytes().into_iter().chain(stamp.1.to_be_bytes()).chain(tag);
        bytes.iter_mut().zip(content).for_each(|(byte, value)| *byte = value);
        encode(&bytes)
    }

    /// The stamp of a nonce that is ours for this address and young enough.
    fn read_nonce(&self, now: Instant, peer: IpAddr, late: Duration, given: Parameters<'_>) -> Option<Stamp> {
        let nonce = given.get("nonce")?;
        let bytes = decode(nonce.raw)?;
        let mut made_at = [0; 8];
        made_at.copy_from_slice(bytes.get(..8)?);
        let mut number = [0; 4];
        number.copy_from_slice(bytes.get(8..12)?);
        let stamp = (u64::from_be_bytes(made_at), u32::from_be_bytes(number));
        if !bool::from(self.nonce(stamp, peer).ct_eq(nonce.raw)) {
            return None;
        }
        let age = milliseconds(now).saturating_sub(stamp.0);
        let life = u64::try_from((self.nonce_life + late).as_millis()).unwrap_or(u64::MAX);
        (age <= life && stamp > self.dropped).then_some(stamp)
    }

    /// Nonces that are remembered.
    pub fn nonces(&self) -> usize {
        self.used.len()
    }
}

fn milliseconds(at: Instant) -> u64 {
    at.as_nanos() / 1_000_000
}

/// How a challenge is worded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// The nonce was the only thing wrong.
    pub stale: bool,
    /// For an account without qop.
    pub without_qop: bool,
}

/// RFC 4648 5: what may stand in a quoted string and in a file name alike.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn encode(bytes: &[u8; NONCE_STAMP_BYTES + NONCE_TAG_BYTES]) -> [u8; NONCE_CHARS] {
    let mut text = [0; NONCE_CHARS];
    for (four, three) in text.chunks_exact_mut(4).zip(bytes.chunks_exact(3)) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        for (place, letter) in four.iter_mut().enumerate() {
            *letter = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
        }
    }
    text
}

fn decode(text: &[u8]) -> Option<[u8; NONCE_STAMP_BYTES + NONCE_TAG_BYTES]> {
    if text.len() != NONCE_CHARS {
        return None;
    }
    let mut bytes = [0; NONCE_STAMP_BYTES + NONCE_TAG_BYTES];
    for (three, four) in bytes.chunks_exact_mut(3).zip(text.chunks_exact(4)) {
        let mut bits = 0u32;
        for letter in four {
            let value = ALPHABET.iter().position(|known| known == letter)?;
            bits = bits << 6 | u32::try_from(value).ok()?;
        }
        for (place, byte) in three.iter_mut().enumerate() {
            *byte = (bits >> (16 - 8 * place)) as u8;
        }
    }
    Some(bytes)
}
