//! Bodies of several parts (RFC 2046 5.1, RFC 5621): the part that is understood is found, whatever
//! stands beside it.

use super::headers::unquoted_parameter;
use super::message::{Body, HeaderName, decode, media_type_of};

/// Parts of one body that are looked at.
const PARTS_MAX: usize = 16;
/// Multiparts inside of multiparts.
const DEPTH_MAX: usize = 3;

impl Body {
    /// The body itself when it is of this type, or the first part of it that is.
    pub fn part(&self, media_type: &str) -> Option<Body> {
        self.part_within(media_type, DEPTH_MAX)
    }

    fn part_within(&self, media_type: &str, depth: usize) -> Option<Body> {
        if self.is(media_type) {
            return Some(self.clone());
        }
        let is_multipart = media_type_of(&self.content_type).to_ascii_lowercase().starts_with("multipart/");
        if !is_multipart || depth == 0 {
            return None;
        }
        let boundary = unquoted_parameter(self.content_type.as_bytes(), "boundary").filter(|b| !b.is_empty())?;
        parts(&self.bytes, boundary.as_bytes()).into_iter().find_map(|part| part.part_within(media_type, depth - 1))
    }
}

/// The parts between the lines of a boundary. What precedes the first and follows the last is no part.
fn parts(bytes: &[u8], boundary: &[u8]) -> Vec<Body> {
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
fn read_part(part: &[u8]) -> Body {
    let mut content_type = String::from("text/plain");
    let mut at = 0;
    for line in part.split_inclusive(|b| *b == b'\n') {
        at += line.len();
        let line = line.trim_ascii();
        if line.is_empty() {
            break;
        }
        if let Some(colon) = line.iter().position(|b| *b == b':') {
            let (name, value) = line.split_at(colon);
            if HeaderName::known(name.trim_ascii()) == Some(HeaderName::ContentType) {
                content_type = decode(value.get(1..).unwrap_or_default().trim_ascii()).into_owned();
            }
        }
    }
    Body { content_type, bytes: part.get(at..).unwrap_or_default().to_vec() }
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
}
