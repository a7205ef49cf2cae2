//! The small productions that URIs and header fields share (RFC 3261 25.1), with nom.
//!
//! Values come from the line index of [`super::parser`], where a carriage return or line feed can
//! only be part of a fold; so white space of any kind is linear white space here.

use super::headers::Malformed;
use super::message::decode;
use super::uri::{Host, Params};
use nom::branch::alt;
use nom::bytes::complete::{take_while, take_while_m_n, take_while1};
use nom::character::complete::char as byte;
use nom::combinator::{map_opt, map_res, opt, recognize, verify};
use nom::multi::{fold_many0, many0_count};
use nom::sequence::{delimited, pair, preceded};
use nom::{IResult, Parser};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) type Parsed<'a, T> = IResult<&'a [u8], T>;

/// `token` of RFC 3261 25.1.
pub(super) fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b)
}

pub(super) fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

pub(super) fn text_of(bytes: &[u8]) -> String {
    decode(bytes).into_owned()
}

pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_space(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_space(*last)
    {
        bytes = rest;
    }
    bytes
}

/// Runs a parser that must take everything but surrounding white space.
pub(super) fn whole<'a, T>(
    what: &'static str,
    value: &'a [u8],
    mut parser: impl Parser<&'a [u8], Output = T, Error = nom::error::Error<&'a [u8]>>,
) -> Result<T, Malformed> {
    match parser.parse(trim(value)) {
        Ok(([], parsed)) => Ok(parsed),
        _ => Err(Malformed { what }),
    }
}

pub(super) fn space(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while(is_space)(input)
}

pub(super) fn token(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while1(is_token)(input)
}

/// A separator with white space around it (`SEMI`, `EQUAL`, `SLASH`, ...).
pub(super) fn separator<'a>(
    character: char,
) -> impl Parser<&'a [u8], Output = char, Error = nom::error::Error<&'a [u8]>> {
    delimited(space, byte(character), space)
}

/// A decimal number; one that does not fit is an error, never a wrapped value.
pub(super) fn number<'a, N: std::str::FromStr>(input: &'a [u8]) -> Parsed<'a, N> {
    map_opt(take_while1(|b: u8| b.is_ascii_digit()), |digits: &'a [u8]| std::str::from_utf8(digits).ok()?.parse().ok())
        .parse(input)
}

/// The text between quotes, escapes still in it.
pub(super) fn quoted(input: &[u8]) -> Parsed<'_, &[u8]> {
    let plain = take_while1(|b: u8| b != b'"' && b != b'\\');
    let escape = recognize(pair(byte('\\'), take_while_m_n(1, 1, |b: u8| b != b'\r' && b != b'\n' && b < 0x80)));
    delimited(byte('"'), recognize(many0_count(alt((plain, escape)))), byte('"')).parse(input)
}

/// Takes the escapes out of the inside of a quoted string; a fold in it is one space.
pub(super) fn unescape(inside: &[u8]) -> String {
    let mut plain = Vec::with_capacity(inside.len());
    let mut bytes = inside.iter().copied();
    while let Some(b) = bytes.next() {
        match b {
            b'\\' => plain.extend(bytes.next()),
            b'\r' | b'\n' => {
                while plain.last() == Some(&b' ') {
                    plain.pop();
                }
                plain.push(b' ');
            }
            b' ' | b'\t' if plain.last() == Some(&b' ') && inside.contains(&b'\n') => {}
            other => plain.push(other),
        }
    }
    text_of(&plain)
}

/// `%` and two hexadecimal digits wherever `%` stands, and else only bytes that `allowed` allows.
pub(super) fn escaped_text(text: &[u8], allowed: impl Fn(u8) -> bool) -> bool {
    let mut rest = text;
    loop {
        match rest {
            [] => return true,
            [b'%', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest = tail,
            [b, tail @ ..] if *b != b'%' && allowed(*b) => rest = tail,
            _ => return false,
        }
    }
}

/// Host name, IPv4 address, or IPv6 address in brackets.
pub(super) fn host(input: &[u8]) -> Parsed<'_, Host> {
    let v6 = map_res(
        delimited(byte('['), take_while1(|b: u8| b.is_ascii_hexdigit() || b == b':' || b == b'.'), byte(']')),
        // "An implementation must tolerate" the third colon that RFC 3261 allows before an IPv4 part (RFC 5118 4.10).
        |inside| text_of(inside).replacen(":::", "::", 1).parse::<Ipv6Addr>().map(|ip| Host::Ip(IpAddr::V6(ip))),
    );
    let name = take_while1(|b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')).map(|name| {
        let name = text_of(name);
        name.parse::<Ipv4Addr>().map_or_else(|_| Host::Name(name), |ip| Host::Ip(IpAddr::V4(ip)))
    });
    alt((v6, name)).parse(input)
}

/// A value of a header parameter: quoted (kept with its quotes), or bytes up to the next separator.
fn parameter_value(input: &[u8]) -> Parsed<'_, &[u8]> {
    alt((recognize(quoted), take_while1(|b: u8| !is_space(b) && !b";,\"<>=".contains(&b) && b > b' '))).parse(input)
}

fn parameter(input: &[u8]) -> Parsed<'_, (String, Option<String>)> {
    // An equals sign with nothing behind it is read as an empty value: phones send `tag=` and `expires=`.
    let value = preceded(separator('='), opt(parameter_value));
    pair(token, opt(value))
        .map(|(name, value)| (text_of(name), value.map(|v| v.map(text_of).unwrap_or_default())))
        .parse(input)
}

/// `*(SEMI parameter)` of a header field.
pub(super) fn parameters(input: &[u8]) -> Parsed<'_, Params> {
    fold_many0(preceded(separator(';'), parameter), Params::default, |mut params, parameter| {
        params.0.push(parameter);
        params
    })
    .parse(input)
}

/// An optional port behind a host; `None` inside means that none is written.
pub(super) fn port(input: &[u8]) -> Parsed<'_, Option<u16>> {
    opt(preceded(separator(':'), verify(number::<u16>, |port| *port != 0))).parse(input)
}
