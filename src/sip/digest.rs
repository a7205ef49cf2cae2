//! Digest authentication (RFC 7616, RFC 8760; RFC 2069 forms where an account asks for them).
//!
//! What both sides share stands here: algorithms, the parameters of a field, and the value of
//! `response`. [`server`] challenges and verifies, [`client`] answers. Reading and hashing
//! allocate nothing, so that a stranger's request costs no memory.

pub mod client;
pub mod server;

pub use client::{Challenge, Logins};
pub use server::{Account, Authenticator, Fault, Verdict};

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};

/// A digest algorithm (RFC 7616 6.1): a hash, with or without the session form of A1 (3.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-256
    Sha256,
    /// SHA-256-sess
    Sha256Sess,
    /// SHA-512-256: SHA-512 with the initial value and the length of FIPS 180-4 5.3.6.2.
    Sha512_256,
    /// SHA-512-256-sess
    Sha512_256Sess,
    /// MD5
    Md5,
    /// MD5-sess
    Md5Sess,
}

impl Algorithm {
    /// All of them, strongest first.
    pub const ALL: [Algorithm; 6] = [
        Algorithm::Sha512_256,
        Algorithm::Sha512_256Sess,
        Algorithm::Sha256,
        Algorithm::Sha256Sess,
        Algorithm::Md5,
        Algorithm::Md5Sess,
    ];

    /// The token of RFC 7616 6.1.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Sha256Sess => "SHA-256-sess",
            Algorithm::Sha512_256 => "SHA-512-256",
            Algorithm::Sha512_256Sess => "SHA-512-256-sess",
            Algorithm::Md5 => "MD5",
            Algorithm::Md5Sess => "MD5-sess",
        }
    }

    /// The algorithm of a token in any case; an absent one is MD5 (RFC 7616 3.3).
    fn of(token: Option<Value<'_>>) -> Option<Algorithm> {
        match token {
            None => Some(Algorithm::Md5),
            Some(token) => Algorithm::ALL.into_iter().find(|a| token.is_token(a.as_str())),
        }
    }

    fn is_session(self) -> bool {
        matches!(self, Algorithm::Sha256Sess | Algorithm::Sha512_256Sess | Algorithm::Md5Sess)
    }

    /// The hash of parts with colons between them.
    fn hash(self, parts: &[Part<'_>]) -> Hex {
        match self {
            Algorithm::Sha256 | Algorithm::Sha256Sess => joined::<Sha256>(parts),
            Algorithm::Sha512_256 | Algorithm::Sha512_256Sess => joined::<Sha512_256>(parts),
            Algorithm::Md5 | Algorithm::Md5Sess => joined::<Md5>(parts),
        }
    }
}

/// Something that is hashed.
#[derive(Clone, Copy)]
enum Part<'a> {
    Bytes(&'a [u8]),
    /// Without the backslashes of its quotes: `unq(X)` of RFC 7616 3.4.1.
    Value(Value<'a>),
}

impl<'a> From<&'a Hex> for Part<'a> {
    fn from(hex: &'a Hex) -> Part<'a> {
        Part::Bytes(hex.as_bytes())
    }
}

fn joined<D: Digest>(parts: &[Part<'_>]) -> Hex {
    let mut hash = D::new();
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            hash.update(b":");
        }
        match part {
            Part::Bytes(bytes) => hash.update(bytes),
            Part::Value(value) => value.pieces().for_each(|piece| hash.update(piece)),
        }
    }
    Hex::of(&hash.finalize())
}

/// A hash in hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hex {
    digits: [u8; 64],
    length: u8,
}

impl Hex {
    fn of(bytes: &[u8]) -> Hex {
        let mut hex = Hex { digits: [0; 64], length: 0 };
        for (pair, byte) in hex.digits.chunks_exact_mut(2).zip(bytes) {
            for (digit, value) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
                *digit = if value < 10 { b'0' + value } else { b'a' + value - 10 };
            }
            hex.length += 2;
        }
        hex
    }

    /// The digits, in lower case.
    pub fn as_bytes(&self) -> &[u8] {
        self.digits.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// The digits as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl std::fmt::Debug for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hex(..)")
    }
}

/// H(A1) of an account for each hash, so that verifying costs two hashes and the password is not
/// at hand while requests are served.
#[derive(Clone, Debug)]
pub struct Secret {
    sha256: Hex,
    sha512_256: Hex,
    md5: Hex,
}

impl Secret {
    /// From user name, realm and password (RFC 7616 3.4.2).
    pub fn new(username: &str, realm: &str, password: &str) -> Secret {
        let parts = [username, realm, password].map(|part| Part::Bytes(part.as_bytes()));
        Secret {
            sha256: Algorithm::Sha256.hash(&parts),
            sha512_256: Algorithm::Sha512_256.hash(&parts),
            md5: Algorithm::Md5.hash(&parts),
        }
    }

    fn of(&self, algorithm: Algorithm) -> &Hex {
        match algorithm {
            Algorithm::Sha256 | Algorithm::Sha256Sess => &self.sha256,
            Algorithm::Sha512_256 | Algorithm::Sha512_256Sess => &self.sha512_256,
            Algorithm::Md5 | Algorithm::Md5Sess => &self.md5,
        }
    }
}

/// What is asked to be done, as far as the digest covers it.
#[derive(Clone, Copy)]
pub struct Covered<'a> {
    /// The method.
    pub method: &'a [u8],
    /// The body, for `qop=auth-int`.
    pub body: &'a [u8],
}

/// The value of `response` for the parameters `nonce`, `uri`, `nc`, `cnonce` and `qop` (RFC 7616
/// 3.4.1; without qop RFC 2617 3.2.2.1). `None` when one of them is missing or qop is unknown.
fn response(algorithm: Algorithm, secret: &Secret, covered: Covered<'_>, given: Parameters<'_>) -> Option<Hex> {
    let nonce = Part::Value(given.get("nonce")?);
    let uri = Part::Value(given.get("uri")?);
    let mut a1 = *secret.of(algorithm);
    if algorithm.is_session() {
        // "A1 = H( unq(username) ":" unq(realm) ":" passwd ) ":" unq(nonce-prime) ":" unq(cnonce-prime)" (3.4.2).
        a1 = algorithm.hash(&[(&a1).into(), nonce, Part::Value(given.get("cnonce")?)]);
    }
    let method = Part::Bytes(covered.method);
    let Some(qop) = given.get("qop") else {
        let a2 = algorithm.hash(&[method, uri]);
        return Some(algorithm.hash(&[(&a1).into(), nonce, (&a2).into()]));
    };
    let a2 = if qop.is_token("auth") {
        algorithm.hash(&[method, uri])
    } else if qop.is_token("auth-int") {
        let body = algorithm.hash(&[Part::Bytes(covered.body)]);
        algorithm.hash(&[method, uri, (&body).into()])
    } else {
        return None;
    };
    let (count, own) = (Part::Value(given.get("nc")?), Part::Value(given.get("cnonce")?));
    Some(algorithm.hash(&[(&a1).into(), nonce, count, own, Part::Value(qop), (&a2).into()]))
}

/// The value of a parameter as it stands in its field, without the quotes around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    raw: &'a [u8],
    quoted: bool,
}

impl<'a> Value<'a> {
    /// The text in pieces, between which backslashes were.
    fn pieces(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.raw;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            // A backslash keeps what is behind it, another backslash too.
            let start = usize::from(self.quoted && rest.first() == Some(&b'\\'));
            let behind = rest.get(start + 1..).unwrap_or_default();
            let next = behind.iter().position(|b| self.quoted && *b == b'\\').map_or(rest.len(), |at| start + 1 + at);
            let (piece, left) = (rest.get(start..next).unwrap_or_default(), rest.get(next..).unwrap_or_default());
            rest = left;
            Some(piece)
        })
    }

    /// Whether it is this text.
    pub(super) fn is(self, text: &str) -> bool {
        let mut left = text.as_bytes();
        for piece in self.pieces() {
            match left.strip_prefix(piece) {
                Some(rest) => left = rest,
                None => return false,
            }
        }
        left.is_empty()
    }

    /// Whether it is this token, in any case.
    fn is_token(self, token: &str) -> bool {
        self.raw.eq_ignore_ascii_case(token.as_bytes())
    }

    /// The text, bytes that are no UTF-8 replaced.
    pub(super) fn text(self) -> String {
        String::from_utf8_lossy(&self.pieces().collect::<Vec<_>>().concat()).into_owned()
    }
}

/// Parameters of a challenge or of credentials: `name=value, name="value"`, looked up where they stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameters<'a>(&'a [u8]);

impl<'a> Parameters<'a> {
    /// Those of a field value of the scheme `Digest`; `None` for another scheme.
    pub(super) fn of_field(value: &'a [u8]) -> Option<Parameters<'a>> {
        let value = value.trim_ascii_start();
        let (scheme, rest) = value.split_at_checked("Digest".len())?;
        let behind = rest.first().is_some_and(u8::is_ascii_whitespace);
        (scheme.eq_ignore_ascii_case(b"Digest") && behind).then_some(Parameters(rest))
    }

    /// The value of the first parameter of this name, in any case. What stands behind a parameter
    /// that cannot be read is not there.
    pub(super) fn get(self, name: &str) -> Option<Value<'a>> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    fn iter(self) -> impl Iterator<Item = (&'a [u8], Value<'a>)> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let skipped = rest.iter().take_while(|b| b.is_ascii_whitespace() || **b == b',').count();
            rest = rest.get(skipped..)?;
            let equals = rest.iter().position(|b| *b == b'=')?;
            let (name, behind) = rest.split_at_checked(equals)?;
            let behind = behind.get(1..)?.trim_ascii_start();
            let (value, left) = match behind.split_first() {
                Some((b'"', inside)) => {
                    let end = end_of_quotes(inside)?;
                    (Value { raw: inside.get(..end)?, quoted: true }, inside.get(end + 1..)?)
                }
                _ => {
                    let end = behind.iter().position(|b| *b == b',' || b.is_ascii_whitespace()).unwrap_or(behind.len());
                    let (raw, left) = behind.split_at_checked(end)?;
                    (Value { raw, quoted: false }, left)
                }
            };
            rest = left;
            Some((name.trim_ascii(), value))
        })
    }
}

/// Where the quoted text ends whose inside begins `inside`.
fn end_of_quotes(inside: &[u8]) -> Option<usize> {
    let mut escaped = false;
    inside.iter().position(|b| {
        let ends = *b == b'"' && !escaped;
        escaped = *b == b'\\' && !escaped;
        ends
    })
}

/// A text in the quotes of RFC 3261 25.1.
fn quoted(text: &str) -> String {
    super::headers::Quoted(text).to_string()
}

#[cfg(test)]
mod tests;
