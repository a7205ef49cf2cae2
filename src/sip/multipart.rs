//! Bodies of several parts (RFC 2046 5.1, RFC 5621): the part that is understood is found, whatever
//! stands beside it; what stands beside a description can be taken out, and put into another body.

use super::headers::unquoted_parameter;
use super::message::{Body, Header, HeaderName, decode, media_type_of};

/// Parts of one body that are looked at.
const PARTS_MAX: usize = 16;
/// Multiparts inside of multiparts.
const DEPTH_MAX: usize = 3;
/// The type of a session description (RFC 3261 13.2.1: its disposition is "session").
const DESCRIPTION: &str = "application/sdp";

/// One part of a body, or a body of one part, with what is said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The part.
    pub body: Body,
    /// `Content-Disposition`, `Content-ID` and the like; type and length are not among them.
    pub fields: Vec<Header>,
}

impl Body {
    /// The session description in it: an offer or answer.
    pub fn description(&self) -> Option<Body> {
        self.part(DESCRIPTION)
    }

    /// Whether it holds a session description.
    pub fn describes(&self) -> bool {
        self.is(DESCRIPTION) || (self.is_multipart() && self.description().is_some())
    }

    /// Whether it is one of several parts.
    pub(super) fn is_multipart(&self) -> bool {
        media_type_of(&self.content_type).get(..10).is_some_and(|start| start.eq_ignore_ascii_case("multipart/"))
    }

    /// The body itself when it is of this type, or the first part of it that is.
    pub fn part(&self, media_type: &str) -> Option<Body> {
        self.part_within(media_type, DEPTH_MAX)
    }

    fn part_within(&self, media_type: &str, depth: usize) -> Option<Body> {
        if self.is(media_type) {
            return Some(self.clone());
        }
        if depth == 0 {
            return None;
        }
        self.parts()?.into_iter().find_map(|part| part.body.part_within(media_type, depth - 1))
    }

    /// Its parts; `None` when it is not made of any.
    fn parts(&self) -> Option<Vec<Part>> {
        if !self.is_multipart() {
            return None;
        }
        let boundary = unquoted_parameter(self.content_type.as_bytes(), "boundary").filter(|b| !b.is_empty())?;
        Some(parts(&self.bytes, boundary.as_bytes()))
    }
}

impl Part {
    /// What is not the description, in order. A multipart that holds a description among what belongs
    /// together with it (`related`, `alternative`, `signed`) means nothing without it and is left out.
    pub fn beside_description(self) -> Vec<Part> {
        self.beside_within(DEPTH_MAX)
    }

    fn beside_within(self, depth: usize) -> Vec<Part> {
        if !self.body.describes() {
            return vec![self];
        }
        if depth == 0 || !self.body.is("multipart/mixed") {
            return Vec::new();
        }
        let parts = self.body.parts().unwrap_or_default();
        parts.into_iter().flat_map(|part| part.beside_within(depth - 1)).collect()
    }
}

/// A body of a description and what stands beside it, and the header fields that belong to it. A single
/// part needs no multipart.
pub(super) fn compose(description: Option<Body>, mut beside: Vec<Part>) -> (Option<Body>, Vec<Header>) {
    if beside.is_empty() {
        return (description, Vec::new());
    }
    if description.is_none() && beside.len() == 1 {
        return beside.pop().map_or((None, Vec::new()), |part| (Some(part.body), part.fields));
    }
    let described = description.map(|body| Part { body, fields: Vec::new() });
    let parts: Vec<Part> = described.into_iter().chain(beside).collect();
    // RFC 2046 5.1.1: "The boundary delimiter MUST NOT appear inside any of the encapsulated parts".
    let holds = |text: &str| parts.iter().any(|part| memchr::memmem::find(&part.body.bytes, text.as_bytes()).is_some());
    let boundary = (0_u32..).map(|n| format!("tipring-{n}")).find(|boundary| !holds(boundary)).unwrap_or_default();
    let mut bytes = Vec::new();
    for part in &parts {
        bytes.extend_from_slice(format!("--{boundary}\r\nContent-Type: {}\r\n", part.body.content_type).as_bytes());
        for field in &part.fields {
            bytes.extend_from_slice(field.name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(&field.value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&part.body.bytes);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    let content_type = format!("multipart/mixed;boundary={boundary}");
    (Some(Body { content_type, bytes }), vec![Header::new(HeaderName::Other("MIME-Version".to_owned()), "1.0")])
}

/// Whether a header field of a message is about its body.
pub(super) fn is_about_body(name: &HeaderName) -> bool {
    let is_mime = name.as_str().eq_ignore_ascii_case("MIME-Version");
    is_mime || *name == HeaderName::ContentType || is_about_part(name)
}

/// Whether a header field is about a part: type and length are written anew.
pub(super) fn is_about_part(name: &HeaderName) -> bool {
    let is_content = name.as_str().get(..8).is_some_and(|start| start.eq_ignore_ascii_case("content-"));
    is_content && !matches!(name, HeaderName::ContentType | HeaderName::ContentLength)
}

/// The parts between the lines of a boundary. What precedes the first and follows the last is no part.
fn parts(bytes: &[u8], boundary: &[u8]) -> Vec<Part> {
    let delimiter = [b"--", boundary].concat();
    let mut found = Vec::new();
    let mut begin = None;
    let mut at = 0;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let next = at + line.len();
        let is_delimiter = line.strip_prefix(&delimiter[..]).map(|rest| rest.trim_ascii_end());
        if matches!(is_delimiter, Some(b"" | b"--")) {
            // "The CRLF preceding the boundary delimiter line is conceptually attached to the boundary" (5.1.1).
            let inside = begin.and_then(|begin: usize| bytes.get(begin..at));
            let inside = inside.map(|part| part.strip_suffix(b"\n").unwrap_or(part));
            found.extend(inside.map(|part| read_part(part.strip_suffix(b"\r").unwrap_or(part))));
            if is_delimiter == Some(b"--") || found.len() == PARTS_MAX {
                break;
            }
            begin = Some(next);
        }
        at = next;
    }
    found
}

/// Header fields, an empty line, and what it is. Without Content-Type it is text (5.2).
fn read_part(part: &[u8]) -> Part {
    let mut content_type = String::from("text/plain");
    let mut fields = Vec::new();
    let mut at = 0;
    for line in part.split_inclusive(|b| *b == b'\n') {
        at += line.len();
        let line = line.trim_ascii();
        if line.is_empty() {
            break;
        }
        if let Some(colon) = line.iter().position(|b| *b == b':') {
            let (name, value) = line.split_at(colon);
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            let name = HeaderName::from_text(&decode(name.trim_ascii()));
            if name == HeaderName::ContentType {
                content_type = decode(value).into_owned();
            } else if is_about_part(&name) {
                fields.push(Header { name, value: value.to_vec() });
            }
        }
    }
    Part { body: Body { content_type, bytes: part.get(at..).unwrap_or_default().to_vec() }, fields }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &str = "preamble\r\n--b1\r\nContent-Type: application/isup; version=itu-t92+\r\n\
        Content-Disposition: signal; handling=optional\r\n\r\n\x01\x02\r\n--b1  \r\nc: application/SDP\r\n\r\n\
        v=0\r\no=x\r\n\r\n--b1--\r\nepilogue\r\n--b1\r\n\r\nno part\r\n";

    fn body(content_type: &str, bytes: &str) -> Body {
        Body { content_type: content_type.to_owned(), bytes: bytes.as_bytes().to_vec() }
    }

    #[test]
    fn the_description_is_found_among_other_parts() {
        for content_type in ["multipart/mixed;boundary=b1", "Multipart/Mixed ; boundary=\"b1\""] {
            let sdp = body(content_type, MIXED).part("application/sdp").expect("a part");
            assert_eq!(sdp.bytes, b"v=0\r\no=x\r\n");
            assert!(sdp.is("application/sdp"));
        }
        let isup = body("multipart/mixed;boundary=b1", MIXED).part("application/isup").expect("a part");
        assert_eq!(isup.bytes, b"\x01\x02");
    }

    #[test]
    fn a_part_may_be_of_several_parts_itself() {
        let outer = format!("--o\r\nContent-Type: multipart/mixed; boundary=b1\r\n\r\n{MIXED}\r\n--o--\r\n");
        assert!(body("multipart/mixed;boundary=o", &outer).part("application/sdp").is_some());
    }

    #[test]
    fn what_is_broken_has_no_parts() {
        for (content_type, bytes) in [
            ("multipart/mixed", MIXED),
            ("multipart/mixed;boundary=", MIXED),
            ("multipart/mixed;boundary=b2", MIXED),
            ("multipart/mixed;boundary=b1", "--b1\r\nContent-Type: application/sdp\r\n\r\nnever ends"),
            ("multipart/mixed;boundary=b1", "--b1--"),
            ("text/plain", MIXED),
        ] {
            assert_eq!(body(content_type, bytes).part("application/sdp"), None, "{content_type}");
        }
        let many: String = (0..100).map(|_| "--b\r\n\r\nx\r\n".to_owned()).collect();
        assert_eq!(parts(many.as_bytes(), b"b").len(), PARTS_MAX);
    }

    fn part_of(content_type: &str, bytes: &str, disposition: Option<&str>) -> Part {
        let field = disposition.map(|value| Header::new(HeaderName::ContentDisposition, value));
        Part { body: body(content_type, bytes), fields: field.into_iter().collect() }
    }

    #[test]
    fn what_stands_beside_the_description_is_taken_out_with_what_is_said_about_it() {
        let isup = part_of("application/isup; version=itu-t92+", "\x01\x02", Some("signal; handling=optional"));
        let whole = part_of("multipart/mixed;boundary=b1", MIXED, None);
        assert_eq!(whole.beside_description(), std::slice::from_ref(&isup));
        let outer = format!("--o\r\nContent-Type: multipart/mixed; boundary=b1\r\n\r\n{MIXED}\r\n--o--\r\n");
        assert_eq!(part_of("multipart/mixed;boundary=o", &outer, None).beside_description(), [isup]);
        assert_eq!(part_of("application/sdp", "v=0", None).beside_description(), []);
        for kind in ["related", "alternative", "signed"] {
            let content_type = format!("multipart/{kind};boundary=b1");
            assert_eq!(part_of(&content_type, MIXED, None).beside_description(), [], "{kind}");
        }
        let alone = part_of("application/pidf+xml", "<presence/>", Some("render"));
        assert_eq!(alone.clone().beside_description(), [alone]);
    }

    #[test]
    fn parts_are_put_together_so_that_they_are_found_again() {
        let parts = [part_of("application/isup", "\x01--tipring-0\r\n", Some("signal")), part_of("a/b", "", None)];
        let (whole, fields) = compose(Some(body("application/sdp", "v=0\r\n")), parts.to_vec());
        let whole = whole.expect("a body");
        assert_eq!(whole.content_type, "multipart/mixed;boundary=tipring-1", "a boundary that no part contains");
        assert_eq!(fields.len(), 1);
        assert_eq!(whole.description().map(|body| body.bytes), Some(b"v=0\r\n".to_vec()));
        assert_eq!(Part { body: whole, fields: vec![] }.beside_description(), parts);
        // One part alone is the body, and nothing beside a description leaves it as it is.
        let [isup, _] = parts;
        assert_eq!(compose(None, vec![isup.clone()]), (Some(isup.body), isup.fields));
        let sdp = body("application/sdp", "v=0");
        assert_eq!(compose(Some(sdp.clone()), vec![]), (Some(sdp), vec![]));
        assert_eq!(compose(None, vec![]), (None, vec![]));
    }
}
