//! What a REFER asks for, and what the one who sent it is told: Refer-To with Replaces (RFC 3515, 3891)
//! and message/sipfrag bodies (RFC 3420), as plain values.

use crate::sip::{Body, HeaderName, Headers, Method, NameAddr, Request, SessionId, Uri, reason_phrase};

/// A dialog that is to be replaced (RFC 3891 6.1). Tags as the one who is asked knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaces {
    /// Its Call-ID.
    pub call_id: String,
    /// The tag of whoever is asked.
    pub to_tag: String,
    /// The tag of the other end.
    pub from_tag: String,
    /// Only while it is not answered.
    pub early_only: bool,
}

impl Replaces {
    /// Reads a value: `call-id;to-tag=...;from-tag=...`. Both tags must be there, once.
    pub fn parse(text: &str) -> Option<Replaces> {
        let mut parts = text.split(';').map(str::trim);
        let call_id = parts.next().filter(|id| !id.is_empty())?.to_owned();
        let (mut to_tag, mut from_tag, mut early_only) = (None, None, false);
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (name.trim(), value.trim());
            let place = match () {
                () if name.eq_ignore_ascii_case("to-tag") => &mut to_tag,
                () if name.eq_ignore_ascii_case("from-tag") => &mut from_tag,
                () => {
                    early_only |= name.eq_ignore_ascii_case("early-only");
                    continue;
                }
            };
            if value.is_empty() || place.replace(value.to_owned()).is_some() {
                return None;
            }
        }
        Some(Replaces { call_id, to_tag: to_tag?, from_tag: from_tag?, early_only })
    }

    /// The Replaces field of an INVITE. `Err`: there is more than one, or it cannot be read (400).
    pub fn of(headers: &Headers) -> Result<Option<Replaces>, u16> {
        let mut values = headers.all(&HeaderName::Replaces);
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => Replaces::parse(&String::from_utf8_lossy(value)).map(Some).ok_or(400),
            (Some(_), Some(_)) => Err(400),
        }
    }
}

/// Who is to be called instead of whoever sent the REFER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferTo {
    /// Where to, without its headers.
    pub uri: Uri,
    /// The dialog that is to be taken over.
    pub replaces: Option<Replaces>,
}

impl ReferTo {
    /// Reads the request; `Err` is the status that refuses it.
    pub fn of(request: &Request) -> Result<ReferTo, u16> {
        // RFC 3515 2.4.1: "A REFER request [...] MUST contain exactly one Refer-To header field value".
        let values: Vec<&[u8]> = request.headers.all(&HeaderName::ReferTo).collect();
        let [value] = values.as_slice() else { return Err(400) };
        let mut refer_to = NameAddr::parse(value).map_err(|_| 400_u16)?;
        let mut replaces = None;
        if let Uri::Sip(uri) = &mut refer_to.uri {
            if uri.params.get("method").is_some_and(|method| !method.eq_ignore_ascii_case("INVITE")) {
                return Err(501);
            }
            uri.params.remove("method");
            for header in uri.headers.take().unwrap_or_default().split('&') {
                let (name, value) = header.split_once('=').unwrap_or((header, ""));
                if name.eq_ignore_ascii_case("Replaces") {
                    let value = unescaped(value).ok_or(400_u16)?;
                    if replaces.replace(Replaces::parse(&value).ok_or(400_u16)?).is_some() {
                        return Err(400);
                    }
                }
            }
        } else if matches!(refer_to.uri, Uri::Other { .. }) {
            return Err(416);
        }
        Ok(ReferTo { uri: refer_to.uri, replaces })
    }
}

/// Whether the sender wants to hear nothing of the outcome (RFC 4488 4).
pub fn wants_no_notices(request: &Request) -> bool {
    request
        .headers
        .text(&HeaderName::ReferSub)
        .is_some_and(|value| value.split(';').next().is_some_and(|value| value.trim().eq_ignore_ascii_case("false")))
}

/// `%41` to `A`; `None` for what is no text then.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok())?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after.get(2..)?;
    }
    String::from_utf8(bytes).ok()
}

/// The status line of a response, as the body of a NOTIFY (RFC 3515 2.4.5).
pub fn sipfrag(status: u16) -> Body {
    let text = format!("SIP/2.0 {status} {}\r\n", reason_phrase(status));
    Body { content_type: "message/sipfrag;version=2.0".to_owned(), bytes: text.into_bytes() }
}

/// A transfer under way: somebody takes part in a call, and another is called in its place.
#[derive(Debug)]
pub struct Transfer {
    /// Who wanted it.
    pub by: String,
    /// Where notices go; `None`: none are wanted, or whoever wanted them has hung up.
    pub notices: Option<Notices>,
    /// The last status that was told.
    pub told: u16,
    /// The party that waits hears ringback.
    pub rings: bool,
}

/// The subscription that a REFER made (RFC 3515 2.4.4).
#[derive(Clone, Debug)]
pub struct Notices {
    /// In the dialog of this session.
    pub session: SessionId,
    /// `Event`, with the CSeq number of the REFER unless it was the first one.
    pub event: String,
}

impl Notices {
    /// Those for a REFER that came on `session` as number `count` from 0 (RFC 3515 2.4.6: "the
    /// NOTIFY request [...] MUST include an Event header with an id parameter" for all but the first).
    pub fn of(session: SessionId, request: &Request, count: u32) -> Notices {
        debug_assert_eq!(request.method, Method::Refer);
        let number = request.cseq().map_or(0, |cseq| cseq.number);
        let event = if count == 0 { "refer".to_owned() } else { format!("refer;id={number}") };
        Notices { session, event }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refer(value: &str) -> Request {
        let uri = Uri::parse(b"sip:gateway").expect("a URI");
        Request::new(Method::Refer, uri).with(HeaderName::ReferTo, value)
    }

    #[test]
    fn a_refer_names_a_number_or_a_dialog_to_take_over() {
        let blind = ReferTo::of(&refer("<sip:205@host;method=INVITE>")).expect("readable");
        assert_eq!((blind.uri.to_string().as_str(), blind.replaces), ("sip:205@host", None));
        let text = "\"Carol\" <sip:205@host?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2%3Bearly-only&X=y>";
        let attended = ReferTo::of(&refer(text)).expect("readable");
        assert_eq!(attended.uri.to_string(), "sip:205@host");
        let (call_id, to_tag, from_tag) = ("a@b".to_owned(), "1".to_owned(), "2".to_owned());
        assert_eq!(attended.replaces, Some(Replaces { call_id, to_tag, from_tag, early_only: true }));
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        for (value, status) in [
            ("<sip:205@host;method=BYE>", 501),
            ("<mailto:a@b>", 416),
            ("<sip:205@host", 400),
            ("<sip:205@host?Replaces=a>", 400),
            ("<sip:205@host?Replaces=a%3Bto-tag%3D1>", 400),
            ("<sip:205@host?Replaces=a%3Bto-tag%3D1%3Bto-tag%3D2%3Bfrom-tag%3D1>", 400),
            ("<sip:205@host?Replaces=a%3>", 400),
        ] {
            assert_eq!(ReferTo::of(&refer(value)), Err(status), "{value}");
        }
        let twice = refer("<sip:1@h>").with(HeaderName::ReferTo, "<sip:2@h>");
        assert_eq!(ReferTo::of(&twice), Err(400));
        assert_eq!(ReferTo::of(&Request::new(Method::Refer, Uri::parse(b"sip:g").expect("a URI"))), Err(400));
    }

    #[test]
    fn one_replaces_field_is_enough() {
        let one = refer("<sip:1@h>").with(HeaderName::Replaces, "c; to-tag = t ;from-tag=f");
        let read = Replaces::of(&one.headers).expect("readable").expect("there");
        assert_eq!((read.call_id.as_str(), read.to_tag.as_str(), read.early_only), ("c", "t", false));
        let two = one.with(HeaderName::Replaces, "d;to-tag=t;from-tag=f");
        assert_eq!(Replaces::of(&two.headers), Err(400));
    }

    #[test]
    fn notices_say_a_status_line() {
        assert_eq!(sipfrag(100).bytes, b"SIP/2.0 100 Trying\r\n");
        assert!(wants_no_notices(&refer("<sip:1@h>").with(HeaderName::ReferSub, "false;x=y")));
        assert!(!wants_no_notices(&refer("<sip:1@h>").with(HeaderName::ReferSub, "true")));
    }
}
