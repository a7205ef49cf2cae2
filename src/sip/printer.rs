//! Serialisation. Content-Length is written here and nowhere else, behind all other fields.

use super::message::{Header, HeaderName, Headers, Request, Response};
use std::io::Write;

impl Request {
    /// The message as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(600 + self.body.len());
        // Writing to a vector cannot fail.
        let _ = write!(bytes, "{} {} SIP/2.0\r\n", self.method, self.uri);
        finish(bytes, &self.headers, &self.body)
    }
}

impl Response {
    /// The message as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(600 + self.body.len());
        let _ = write!(bytes, "SIP/2.0 {} ", self.status);
        push_value(&mut bytes, self.reason.as_bytes());
        bytes.extend_from_slice(b"\r\n");
        finish(bytes, &self.headers, &self.body)
    }
}

fn finish(mut bytes: Vec<u8>, headers: &Headers, body: &[u8]) -> Vec<u8> {
    for Header { name, value } in headers.iter().filter(|h| !h.name.is(&HeaderName::ContentLength)) {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        push_value(&mut bytes, value);
        bytes.extend_from_slice(b"\r\n");
    }
    let _ = write!(bytes, "Content-Length: {}\r\n\r\n", body.len());
    bytes.extend_from_slice(body);
    bytes
}

/// A line end in a value would let its author write header fields of his own; it becomes a space.
fn push_value(bytes: &mut Vec<u8>, value: &[u8]) {
    bytes.extend(value.iter().map(|b| if matches!(b, b'\r' | b'\n') { b' ' } else { *b }));
}

#[cfg(test)]
mod tests {
    use super::super::parser::parse;
    use super::*;

    const TEXT: &str = "INFO sip:a@h;lr SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\nX-Odd: ;;,\r\n\
        From: <sip:b@h>;tag=1\r\nTo: <sip:a@h>\r\nCall-ID: c\r\nCSeq: 1 INFO\r\nContent-Length: 3\r\n\r\n\0\r\n";

    #[test]
    fn printing_what_was_parsed_gives_the_same_bytes() {
        let request = parse(TEXT.as_bytes()).unwrap().to_request().unwrap();
        assert_eq!(String::from_utf8(request.to_bytes()).unwrap(), TEXT);
    }

    #[test]
    fn a_value_cannot_smuggle_in_a_header_field() {
        let request = parse(TEXT.as_bytes()).unwrap().to_request().unwrap();
        let bytes = request.with(HeaderName::Subject, "x\r\nRoute: <sip:evil>").to_bytes();
        let read = parse(&bytes).unwrap();
        assert!(read.lines.get(&HeaderName::Route).is_none());
        assert_eq!(read.lines.get(&HeaderName::Subject), Some(&b"x  Route: <sip:evil>"[..]));
    }
}
