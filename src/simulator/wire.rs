//! A glimpse at a SIP message on the wire, read by other code than the core's own parser, so that
//! what is checked is not what checks.

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A request with this method.
    Request(&'a str),
    /// A response with this status.
    Response(u16),
}

/// The few things that tell one message from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glimpse<'a> {
    /// Request or response.
    pub kind: Kind<'a>,
    /// Call-ID.
    pub call_id: &'a str,
    /// Branch of the topmost Via, which names the transaction; empty without one.
    pub branch: &'a str,
    /// Number in CSeq.
    pub sequence: u32,
    /// Method in CSeq.
    pub method: &'a str,
}

impl<'a> Glimpse<'a> {
    /// Reads a message as our own printers write them: no folded lines. `None` for anything else.
    pub fn of(bytes: &'a [u8]) -> Option<Glimpse<'a>> {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(bytes.len());
        let text = std::str::from_utf8(bytes.get(..end)?).ok()?;
        let mut lines = text.split("\r\n");
        let first = lines.next()?;
        let kind = match first.strip_prefix("SIP/2.0 ") {
            Some(rest) => Kind::Response(rest.get(..3)?.parse().ok()?),
            None => Kind::Request(first.strip_suffix(" SIP/2.0")?.split(' ').next()?),
        };
        let (mut call_id, mut cseq, mut via) = (None, None, None);
        for line in lines {
            let Some((name, value)) = line.split_once(':') else { continue };
            if name.eq_ignore_ascii_case("Call-ID") || name.eq_ignore_ascii_case("i") {
                call_id.get_or_insert(value.trim());
            } else if name.eq_ignore_ascii_case("CSeq") {
                cseq.get_or_insert(value.trim());
            } else if name.eq_ignore_ascii_case("Via") || name.eq_ignore_ascii_case("v") {
                via.get_or_insert(value);
            }
        }
        let branch = via.and_then(|via| via.split(";branch=").nth(1)?.split([';', ',']).next()).unwrap_or_default();
        let (sequence, method) = cseq?.split_once(' ')?;
        Some(Glimpse {
            kind,
            call_id: call_id?,
            branch: branch.trim(),
            sequence: sequence.parse().ok()?,
            method: method.trim(),
        })
    }

    /// The first line in short, for traces and comments of captures: `INVITE`, `200 INVITE`.
    pub fn title(&self) -> String {
        match self.kind {
            Kind::Request(method) => method.to_owned(),
            Kind::Response(status) => format!("{status} {}", self.method),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_responses_are_told_apart() {
        let invite =
            b"INVITE sip:1@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1;rport\r\nVia: SIP/2.0/UDP g;branch=z\r\n\
            CSeq: 7 INVITE\r\nCall-ID: abc\r\n\r\nbody";
        let glimpse = Glimpse::of(invite).expect("a request");
        assert_eq!((glimpse.kind, glimpse.call_id, glimpse.branch), (Kind::Request("INVITE"), "abc", "z9hG4bK1"));
        assert_eq!((glimpse.sequence, glimpse.method), (7, "INVITE"));
        let busy = b"SIP/2.0 486 Busy Here\r\ni: abc\r\ncseq: 7 INVITE\r\n\r\n";
        assert_eq!(Glimpse::of(busy).expect("a response").title(), "486 INVITE");
        assert_eq!(Glimpse::of(b"\r\n\r\n"), None);
        assert_eq!(Glimpse::of(&[0xFF; 40]), None);
    }
}
