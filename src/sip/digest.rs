//! Digest authentication as server and as client (RFC 7616, RFC 8760; qop=auth).

use super::{Header, Method, Request};
use crate::rng::Seed;
use crate::time::{Duration, Instant};

/// A digest algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-256
    Sha256,
    /// MD5
    Md5,
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
#[derive(Debug)]
pub struct Authenticator {
    realm: String,
    nonce_life: Duration,
}

impl Authenticator {
    /// For a realm; nonces live this long.
    pub fn new(realm: &str, nonce_life: Duration, seed: &Seed) -> Self {
        let _ = seed;
        Authenticator { realm: realm.to_owned(), nonce_life }
    }

    /// `WWW-Authenticate` fields, one for each algorithm, in order.
    pub fn challenge(&self, now: Instant, algorithms: &[Algorithm], stale: bool) -> Vec<Header> {
        let _ = (now, algorithms, stale, &self.realm, self.nonce_life);
        Vec::new()
    }

    /// Checks `Authorization` of a request. `account` finds the account of a user name.
    pub fn verify<'a>(
        &mut self,
        now: Instant,
        request: &Request,
        account: impl FnOnce(&str) -> Option<Account<'a>>,
    ) -> Verdict {
        let _ = (now, request, account);
        Verdict::Missing
    }
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
    let _ = (challenges, credentials, method, uri, cnonce);
    None
}
