//! Replies made of the bytes of a request, without allocation: what RFC 3261 8.2.6.2 wants copied.

use super::super::grammar::trim;
use super::super::message::HeaderName;
use super::super::parser::{Lines, split_list};
use super::super::{Flow, Transport};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::net::{IpAddr, SocketAddr};

/// Longest user part that may be an account's.
pub(super) const NAME_MAX: usize = 64;

/// A user part, unescaped.
pub(super) struct Name {
    bytes: [u8; NAME_MAX],
    length: usize,
}

impl Name {
    pub(super) fn as_str(&self) -> &str {
        self.bytes.get(..self.length).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

/// The user part of the URI in an address (`"A" <sip:201@h>;tag=1`) or of a URI alone. `None`: there
/// is none, or a longer one than an account can have.
pub(super) fn user_of(address: &[u8]) -> Option<Name> {
    let mut quoted = false;
    let mut escaped = false;
    let bracket = address.iter().position(|b| {
        match b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'<' => return !quoted,
            _ => {}
        }
        false
    });
    let uri = bracket.map_or(address, |at| address.get(at + 1..).unwrap_or_default());
    let uri = uri.split(|b| *b == b'>').next().unwrap_or(uri);
    let at = uri.iter().position(|b| *b == b'@')?;
    let colon = uri.iter().position(|b| *b == b':').filter(|colon| *colon < at)?;
    let user = uri.get(colon + 1..at)?;
    let user = user.split(|b| *b == b':').next().unwrap_or(user);
    let mut name = Name { bytes: [0; NAME_MAX], length: 0 };
    let mut rest = user;
    while let [first, behind @ ..] = rest {
        let (byte, left) = match (first, behind) {
            (b'%', [high, low, left @ ..]) => (hex_digit(*high)? << 4 | hex_digit(*low)?, left),
            (b'%', _) => return None,
            _ => (*first, behind),
        };
        *name.bytes.get_mut(name.length)? = byte;
        name.length += 1;
        rest = left;
    }
    Some(name)
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Whether a From or To value has a tag.
pub(super) fn has_tag(value: &[u8]) -> bool {
    let behind = value.iter().rposition(|b| *b == b'>').and_then(|at| value.get(at + 1..)).unwrap_or(value);
    pieces(behind).skip(usize::from(behind.len() == value.len())).any(|piece| {
        let (name, tag) = name_and_value(piece);
        name.eq_ignore_ascii_case(b"tag") && !tag.is_empty()
    })
}

/// Parts of a value between semicolons outside of quotes, trimmed.
fn pieces(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    value
        .split(move |b| {
            if *b == b'"' {
                quoted = !quoted;
            }
            *b == b';' && !quoted
        })
        .map(trim)
}

fn name_and_value(piece: &[u8]) -> (&[u8], &[u8]) {
    match piece.iter().position(|b| *b == b'=') {
        Some(at) => (trim(piece.get(..at).unwrap_or_default()), trim(piece.get(at + 1..).unwrap_or_default())),
        None => (piece, &[]),
    }
}

/// A hash that nobody outside can foresee.
pub(super) fn keyed_hash(key: [u64; 2], bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.write(bytes);
    hasher.finish()
}

/// Writes status line and copied fields of a 401 to the request; says where it goes. `None` when the
/// request lacks what is to be copied.
pub(super) fn begin(out: &mut Vec<u8>, lines: &Lines<'_>, flow: &Flow, key: [u64; 2]) -> Option<Flow> {
    out.clear();
    out.extend_from_slice(b"SIP/2.0 401 Unauthorized\r\n");
    let mut sent_by_port = None;
    for value in lines.all(&HeaderName::Via) {
        out.extend_from_slice(b"Via: ");
        match sent_by_port {
            None => sent_by_port = Some(write_top_via(value, flow.remote, out)?),
            Some(_) => push(out, value),
        }
        out.extend_from_slice(b"\r\n");
    }
    let call_id = lines.get(&HeaderName::CallId)?;
    let fields = [(HeaderName::From, "From: "), (HeaderName::To, "To: "), (HeaderName::CallId, "Call-ID: ")];
    for (name, written) in fields.into_iter().chain([(HeaderName::CSeq, "CSeq: ")]) {
        let value = lines.get(&name)?;
        out.extend_from_slice(written.as_bytes());
        push(out, trim(value));
        if name == HeaderName::To && !has_tag(value) {
            // "To header tags in responses MUST be generated in a stateless manner - in a manner that will
            // generate the same tag for the same request consistently" (8.2.7).
            let _ = write!(out, ";tag={:016x}", keyed_hash(key, call_id));
        }
        out.extend_from_slice(b"\r\n");
    }
    let remote = match (sent_by_port?, flow.transport) {
        (Some(port), Transport::Udp) => SocketAddr::new(flow.remote.ip(), port),
        _ => flow.remote,
    };
    Some(Flow { remote, ..*flow })
}

/// Writes a Via field whose first value notes where the request came from (RFC 3261 18.2.1, RFC 3581 4).
/// Returns the port that sent-by names, unless `rport` asks for the one the request came from.
fn write_top_via(value: &[u8], remote: SocketAddr, out: &mut Vec<u8>) -> Option<Option<u16>> {
    let mut values = split_list(value);
    let top = values.next()?;
    let mut parts = pieces(top);
    let head = parts.next()?;
    let sent_by = trim(head.get(head.iter().rposition(|b| b.is_ascii_whitespace())?..)?);
    let (host, port) = host_and_port(sent_by)?;
    push(out, head);
    let mut wants_port = false;
    for part in parts {
        let (name, _) = name_and_value(part);
        if name.eq_ignore_ascii_case(b"received") {
            continue; // not for the sender to say
        }
        out.push(b';');
        if name.eq_ignore_ascii_case(b"rport") {
            wants_port = true;
            let _ = write!(out, "rport={}", remote.port());
        } else {
            push(out, part);
        }
    }
    if wants_port || host != Some(remote.ip()) {
        let _ = write!(out, ";received={}", remote.ip());
    }
    for other in values {
        out.extend_from_slice(b", ");
        push(out, other);
    }
    Some((!wants_port).then_some(port.unwrap_or(5060)))
}

/// `192.0.2.1:5060`, `[2001:db8::1]`, `host`; a host name is `None`.
fn host_and_port(sent_by: &[u8]) -> Option<(Option<IpAddr>, Option<u16>)> {
    let text = std::str::from_utf8(sent_by).ok()?;
    let (host, port) = match text.strip_prefix('[') {
        Some(inside) => {
            let (host, behind) = inside.split_once(']')?;
            (host, behind.trim().strip_prefix(':'))
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        Some(port) => Some(port.trim().parse().ok()?),
        None => None,
    };
    Some((host.trim().parse().ok(), port))
}

/// A value, with its folds as spaces: a line end would begin a field of its own.
fn push(out: &mut Vec<u8>, value: &[u8]) {
    for byte in value {
        out.push(if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_part_is_found_in_every_form_of_an_address() {
        let check = |text: &str, user: Option<&str>| {
            assert_eq!(user_of(text.as_bytes()).as_ref().map(Name::as_str), user, "{text}");
        };
        check("<sip:201@h>;tag=1", Some("201"));
        check("sip:201@h;tag=1", Some("201"));
        check("\"a <sip:9@h>\\\" @:\" <sips:201:pw@h:5061;lr>", Some("201"));
        check("<sip:%32%301@h>", Some("201"));
        check("<sip:h>", None);
        check("<sip:%3@h>", None);
        check(&format!("<sip:{}@h>", "a".repeat(NAME_MAX)), Some(&"a".repeat(NAME_MAX)));
        check(&format!("<sip:{}@h>", "a".repeat(NAME_MAX + 1)), None);
    }

    #[test]
    fn a_tag_is_one_of_the_field_and_not_of_its_uri() {
        for (text, tagged) in [
            ("<sip:a@h>;tag=1", true),
            ("sip:a@h;x=y;TAG = 1", true),
            ("<sip:a@h;tag=1>", false),
            ("\"x;tag=1\" <sip:a@h>", false),
            ("<sip:a@h>;tag=", false),
            ("<sip:a@h>", false),
        ] {
            assert_eq!(has_tag(text.as_bytes()), tagged, "{text}");
        }
    }

    #[test]
    fn the_topmost_via_is_stamped_as_the_transaction_layer_would() {
        let remote: SocketAddr = "10.0.0.9:777".parse().expect("an address");
        let check = |via: &str, written: &str, port: Option<u16>| {
            let mut out = Vec::new();
            assert_eq!(write_top_via(via.as_bytes(), remote, &mut out), Some(port), "{via}");
            assert_eq!(String::from_utf8_lossy(&out), written);
        };
        check("SIP/2.0/UDP 10.0.0.9:5070;branch=x", "SIP/2.0/UDP 10.0.0.9:5070;branch=x", Some(5070));
        check("SIP/2.0/UDP host ; branch=x", "SIP/2.0/UDP host;branch=x;received=10.0.0.9", Some(5060));
        check(
            "SIP/2.0/UDP 10.0.0.9;rport;branch=x, SIP/2.0/TCP b",
            "SIP/2.0/UDP 10.0.0.9;rport=777;branch=x;received=10.0.0.9, SIP/2.0/TCP b",
            None,
        );
        check("SIP/2.0/UDP [::1]:5;received=6.6.6.6", "SIP/2.0/UDP [::1]:5;received=10.0.0.9", Some(5));
        assert_eq!(write_top_via(b"SIP/2.0/UDP", remote, &mut Vec::new()), None);
        assert_eq!(write_top_via(b"SIP/2.0/UDP h:x", remote, &mut Vec::new()), None);
    }
}
