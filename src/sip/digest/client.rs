//! The caller's side: answers to challenges (RFC 7616 3.4, RFC 8760 2.4).
//!
//! Only requests that carry [`Credentials`] are answered for, which are those that we send to a
//! configured peer; and only challenges of its realm: the configured one, or else the first that the
//! peer showed. A nonce is used on, with its count, until the peer wants another (RFC 7616 3.4).

use super::{Algorithm, Covered, Parameters, Secret, quoted, response};
use crate::limits::LOGINS_MAX;
use crate::sip::{Credentials, Header, HeaderName};
use std::collections::BTreeMap;

/// What a challenge asks for, as far as it can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    realm: String,
    nonce: String,
    algorithm: Algorithm,
    /// As it is spelled in the challenge; an absent one stays absent.
    names_algorithm: bool,
    qop: Option<&'static str>,
    opaque: Option<String>,
    stale: bool,
}

impl Challenge {
    /// Reads one; `None` when there is nothing that we could answer with.
    pub fn read(value: &[u8]) -> Option<Challenge> {
        let given = Parameters::of_field(value)?;
        let algorithm = Algorithm::of(given.get("algorithm"))?;
        let qop = match given.get("qop").map(|qop| qop.text()) {
            None => None,
            Some(offered) => {
                let offers = |one: &str| offered.split(',').any(|o| o.trim().eq_ignore_ascii_case(one));
                // The weaker form leaves the body to whoever must change it on the way.
                Some(["auth", "auth-int"].into_iter().find(|one| offers(one))?)
            }
        };
        Some(Challenge {
            realm: given.get("realm")?.text(),
            nonce: given.get("nonce")?.text(),
            algorithm,
            names_algorithm: given.get("algorithm").is_some(),
            qop,
            opaque: given.get("opaque").map(|value| value.text()),
            stale: given.get("stale").is_some_and(|stale| stale.is_token("true")),
        })
    }
}

/// What a peer wanted last.
#[derive(Clone, Debug)]
struct Login {
    /// The first that was seen; others are not answered.
    realm: String,
    /// `Authorization` or `Proxy-Authorization`, with what was asked for and how often it was used.
    uses: BTreeMap<bool, (Challenge, u32)>,
}

/// The challenges of the peers that we log in at.
#[derive(Debug, Default)]
pub struct Logins {
    by_peer: BTreeMap<String, Login>,
}

/// A request that is to bear credentials.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    /// Method and body.
    pub covered: Covered<'a>,
    /// The Request-URI.
    pub uri: &'a str,
    /// A value that nobody can guess.
    pub cnonce: &'a str,
}

impl Logins {
    /// The answer to the challenges of a response: the first that we know ("the UAC MUST use the
    /// topmost header field that it supports", RFC 8760 2.4). `None` for a realm that is not the peer's.
    pub fn answer<'a>(
        &mut self,
        challenges: impl Iterator<Item = &'a [u8]>,
        by_proxy: bool,
        credentials: &Credentials,
        asking: Asking<'_>,
    ) -> Option<Header> {
        let pinned = self.by_peer.get(&credentials.peer).map(|login| login.realm.clone());
        let realm = credentials.realm.clone().or(pinned);
        let fits = |challenge: &Challenge| realm.as_ref().is_none_or(|realm| *realm == challenge.realm);
        let challenge = challenges.filter_map(Challenge::read).find(fits)?;
        if self.by_peer.len() >= LOGINS_MAX && !self.by_peer.contains_key(&credentials.peer) {
            self.by_peer.pop_first();
        }
        let realm = challenge.realm.clone();
        let login =
            self.by_peer.entry(credentials.peer.clone()).or_insert_with(|| Login { realm, uses: BTreeMap::new() });
        login.uses.insert(by_proxy, (challenge, 0));
        self.field(by_proxy, credentials, asking)
    }

    /// Credentials for a request before it is challenged: with the nonces that the peer gave last.
    pub fn ahead(&mut self, credentials: &Credentials, asking: Asking<'_>) -> Vec<Header> {
        [false, true].into_iter().filter_map(|by_proxy| self.field(by_proxy, credentials, asking)).collect()
    }

    /// Whether a response says that the nonce was all that was wrong.
    pub fn is_stale<'a>(mut challenges: impl Iterator<Item = &'a [u8]>) -> bool {
        challenges.any(|value| Challenge::read(value).is_some_and(|challenge| challenge.stale))
    }

    fn field(&mut self, by_proxy: bool, credentials: &Credentials, asking: Asking<'_>) -> Option<Header> {
        let (challenge, count) = self.by_peer.get_mut(&credentials.peer)?.uses.get_mut(&by_proxy)?;
        *count = count.checked_add(1)?;
        let name = if by_proxy { HeaderName::ProxyAuthorization } else { HeaderName::Authorization };
        Some(Header::new(name, value(challenge, *count, credentials, asking)?))
    }
}

fn value(challenge: &Challenge, count: u32, credentials: &Credentials, asking: Asking<'_>) -> Option<String> {
    let mut fields = format!("uri={}, nonce={}", quoted(asking.uri), quoted(&challenge.nonce));
    let needs_cnonce = challenge.qop.is_some() || challenge.algorithm.is_session();
    if let Some(qop) = challenge.qop {
        fields.push_str(&format!(", qop={qop}, nc={count:08x}"));
    }
    if needs_cnonce {
        fields.push_str(&format!(", cnonce={}", quoted(asking.cnonce)));
    }
    let secret = Secret::new(&credentials.username, &challenge.realm, &credentials.password);
    let response = response(challenge.algorithm, &secret, asking.covered, Parameters(fields.as_bytes()))?;
    let (username, realm) = (quoted(&credentials.username), quoted(&challenge.realm));
    let mut value = format!("Digest username={username}, realm={realm}, {fields}, response=\"{}\"", response.as_str());
    if challenge.names_algorithm {
        value.push_str(&format!(", algorithm={}", challenge.algorithm.as_str()));
    }
    if let Some(opaque) = &challenge.opaque {
        value.push_str(&format!(", opaque={}", quoted(opaque)));
    }
    Some(value)
}
