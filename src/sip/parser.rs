//! nom parser over borrowed bytes: a line index first, then what every message must have.
//!
//! [`Lines`] finds the start line, the header fields and the body, and copies nothing.
//! [`parse`] reads from it the fields without which no transaction can be told from another, and
//! refuses what RFC 4475 wants refused, with the status to answer. Everything else stays bytes
//! until somebody asks.
//!
//! Not done here: what depends on who we are (methods, schemes, extensions, body types). That is
//! RFC 3261 8.2 and lives in [`super::uas`].

use super::grammar::{Parsed, is_token, token, trim};
use super::headers::{CSeq, NameAddr, Via};
use super::message::{Header, HeaderName, Headers, Method, Request, Response, decode};
use super::uri::Uri;
use crate::limits;
use memchr::memchr;
use nom::Parser;
use nom::bytes::complete::{tag_no_case, take_while1};
use nom::character::complete::char as byte;
use nom::combinator::{opt, rest};
use nom::sequence::{preceded, terminated};
use smallvec::SmallVec;

/// One header field as it stands in the message; the value may contain folds.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    /// The name that it spells, when it is one with a meaning here.
    known: Option<HeaderName>,
    /// The name, byte for byte.
    pub spelled: &'a [u8],
    /// The value, byte for byte, without surrounding white space.
    pub value: &'a [u8],
}

impl Field<'_> {
    /// Whether it has this name, long or compact, in any case.
    pub fn is(&self, name: &HeaderName) -> bool {
        match (&self.known, name) {
            (Some(known), name) => known == name,
            (None, HeaderName::Other(other)) => self.spelled.eq_ignore_ascii_case(other.as_bytes()),
            (None, _) => false,
        }
    }

    /// A copy that outlives the datagram; a fold becomes one space (RFC 3261 7.3.1).
    pub fn to_header(&self) -> Header {
        let name = self.known.clone().unwrap_or_else(|| HeaderName::Other(decode(self.spelled).into_owned()));
        Header { name, value: unfold(self.value) }
    }
}

fn unfold(value: &[u8]) -> Vec<u8> {
    if memchr(b'\n', value).is_none() {
        return value.to_vec();
    }
    let mut lines = value.split(|b| *b == b'\n').map(trim).filter(|line| !line.is_empty());
    let mut unfolded = lines.next().unwrap_or_default().to_vec();
    for line in lines {
        unfolded.push(b' ');
        unfolded.extend_from_slice(line);
    }
    unfolded
}

/// Why a message cannot be taken as it is: what to answer, when an answer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The status to answer.
    pub status: u16,
    /// The reason phrase: says what is wrong.
    pub reason: &'static str,
}

const fn bad(reason: &'static str) -> Fault {
    Fault { status: 400, reason }
}

/// The first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartLine<'a> {
    /// Of a request.
    Request {
        /// The method, byte for byte.
        method: &'a [u8],
        /// The Request-URI, byte for byte.
        uri: &'a [u8],
        /// `2.0`, or a version that we do not speak.
        version: &'a [u8],
    },
    /// Of a response of SIP/2.0 with a status from 100 to 699.
    Status {
        /// The status.
        status: u16,
        /// The reason phrase, byte for byte.
        reason: &'a [u8],
    },
}

/// The line index of a message: where its parts are, and the first thing that is wrong with them.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    /// The first line.
    pub start: StartLine<'a>,
    /// Header fields in order.
    pub fields: SmallVec<[Field<'a>; 20]>,
    /// The body, cut to Content-Length.
    pub body: &'a [u8],
    /// Bytes of the whole message, as it came.
    pub length: usize,
    fault: Option<Fault>,
}

/// A message with its essential fields read. The rest is asked for by name.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// Method and Request-URI, or status.
    pub start: Start,
    /// The topmost Via.
    pub via: Via,
    /// From.
    pub from: NameAddr,
    /// To.
    pub to: NameAddr,
    /// Call-ID.
    pub call_id: &'a str,
    /// CSeq.
    pub cseq: CSeq,
    /// The line index.
    pub lines: Lines<'a>,
}

/// What a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// A request.
    Request {
        /// Its method.
        method: Method,
        /// Its Request-URI.
        uri: Uri,
    },
    /// A response with this status.
    Response(u16),
}

/// A message that is not taken.
#[derive(Clone, Debug)]
pub enum Refusal<'a> {
    /// No answer is due: a response, an ACK, or nothing that looks like SIP.
    Drop(&'static str),
    /// A request; it is to be answered with this status.
    Answer {
        /// Status and reason phrase.
        fault: Fault,
        /// What is there, for the fields that a response copies.
        lines: Box<Lines<'a>>,
    },
}

/// Reads one whole message: a datagram, or what [`super::transport`] cut out of a stream.
pub fn parse(bytes: &[u8]) -> Result<Message<'_>, Refusal<'_>> {
    let lines = Lines::read(bytes).map_err(Refusal::Drop)?;
    match lines.essentials() {
        Ok((start, via, from, to, call_id, cseq)) => Ok(Message { start, via, from, to, call_id, cseq, lines }),
        Err(fault) => match lines.start {
            StartLine::Request { method, .. } if method != b"ACK" => {
                Err(Refusal::Answer { fault, lines: Box::new(lines) })
            }
            _ => Err(Refusal::Drop(fault.reason)),
        },
    }
}

/// Takes one line: what stands before the line feed, without carriage return, and the rest.
/// RFC 3261 7 wants CRLF; a bare line feed is read as the same.
pub(super) fn take_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'\n', bytes)?;
    let line = &bytes[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), &bytes[end + 1..]))
}

fn word(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while1(|b| b != b' ')(input)
}

fn spaces(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while1(|b| b == b' ')(input)
}

/// Version, code and reason phrase.
type StatusLine<'a> = (&'a [u8], &'a [u8], Option<&'a [u8]>);

/// The space in front of an empty reason phrase may be missing (RFC 4475 3.1.1.13).
fn status_line(line: &[u8]) -> Parsed<'_, StatusLine<'_>> {
    (word, preceded(spaces, word), opt(preceded(byte(' '), rest))).parse(line)
}

fn start_line(line: &[u8]) -> Result<StartLine<'_>, &'static str> {
    if line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/")) {
        let (_, (version, code, reason)) = status_line(line).map_err(|_| "no status line")?;
        let status = std::str::from_utf8(code).ok().filter(|c| c.len() == 3).and_then(|c| c.parse().ok());
        let status = status.filter(|s| (100..=699).contains(s)).ok_or("status outside 100 to 699")?;
        if !version.eq_ignore_ascii_case(b"SIP/2.0") {
            return Err("response of another version");
        }
        return Ok(StartLine::Status { status, reason: reason.unwrap_or_default() });
    }
    // Method, and from the other end version: what is between them is the Request-URI, so that
    // white space in it (RFC 4475 3.1.2.8) is seen as an error of the URI.
    let (behind, method) = terminated(token, spaces).parse(trim(line)).map_err(|_: Failed<'_>| "no start line")?;
    let gap = behind.iter().rposition(|b| *b == b' ').ok_or("no start line")?;
    let (uri, version) = (trim(&behind[..gap]), &behind[gap + 1..]);
    let (version, _) = tag_no_case(&b"SIP/"[..])(version).map_err(|_: Failed<'_>| "no SIP version")?;
    if uri.is_empty() {
        return Err("no Request-URI");
    }
    Ok(StartLine::Request { method, uri, version })
}

type Failed<'a> = nom::Err<nom::error::Error<&'a [u8]>>;

impl<'a> Lines<'a> {
    /// Finds start line, fields and body. An error says why this is nothing that could be answered.
    pub fn read(bytes: &'a [u8]) -> Result<Lines<'a>, &'static str> {
        // "Implementations processing SIP messages over stream-oriented transports MUST ignore any
        // CRLF appearing before the start-line" (7.5); datagrams get the same.
        let skipped = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let (line, mut rest) = take_line(&bytes[skipped..]).ok_or("no line")?;
        if memchr(b'\r', line).is_some() {
            return Err("carriage return in start line");
        }
        let length = bytes.len();
        let mut lines = Lines { start: start_line(line)?, fields: SmallVec::new(), body: &[], length, fault: None };
        loop {
            let Some((line, behind)) = take_line(rest) else {
                lines.blame(bad("Header block without end"));
                break;
            };
            if line.is_empty() {
                lines.body = behind;
                break;
            }
            let (field, behind) = take_folded(rest, line, behind);
            rest = behind;
            lines.add(field);
        }
        lines.cut_body();
        Ok(lines)
    }

    fn blame(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    fn add(&mut self, line: &'a [u8]) {
        if self.fields.len() >= limits::SIP_HEADERS {
            return self.blame(bad("Too many header fields"));
        }
        let Some(colon) = memchr(b':', line) else { return self.blame(bad("Header line without colon")) };
        let (spelled, value) = (trim(&line[..colon]), trim(&line[colon + 1..]));
        if spelled.is_empty() || !spelled.iter().all(|b| is_token(*b)) {
            return self.blame(bad("Malformed header name"));
        }
        if has_bare_return(value) {
            self.blame(bad("Carriage return in header field"));
        }
        self.fields.push(Field { known: HeaderName::known(spelled), spelled, value });
    }

    /// RFC 3261 18.3: what is behind the body is noise; a body that is not all there is an error.
    fn cut_body(&mut self) {
        match self.content_length() {
            Ok(None) => {}
            Ok(Some(length)) => match self.body.get(..length) {
                Some(body) => self.body = body,
                None => self.blame(bad("Content-Length beyond end of message")),
            },
            Err(fault) => self.blame(fault),
        }
    }

    /// Content-Length; two of them are as bad as none that can be read (RFC 4475 3.3.9).
    pub(super) fn content_length(&self) -> Result<Option<usize>, Fault> {
        let mut values = self.all(&HeaderName::ContentLength);
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => {
                let length = super::grammar::whole("Content-Length", value, super::grammar::number::<u32>);
                length.map(|n| Some(n as usize)).map_err(|_| bad("Malformed Content-Length"))
            }
            (Some(_), Some(_)) => Err(bad("Repeated Content-Length")),
        }
    }

    /// Values of all fields with this name, in order, folds in them.
    pub fn all<'s>(&'s self, name: &'s HeaderName) -> impl Iterator<Item = &'a [u8]> + 's {
        self.fields.iter().filter(move |f| f.is(name)).map(|f| f.value)
    }

    /// The value of the first field with this name.
    pub fn get(&self, name: &HeaderName) -> Option<&'a [u8]> {
        self.fields.iter().find(|f| f.is(name)).map(|f| f.value)
    }

    /// All fields as owned ones, Content-Length left out: the printer writes it.
    pub fn to_headers(&self) -> Headers {
        Headers(self.fields.iter().filter(|f| !f.is(&HeaderName::ContentLength)).map(Field::to_header).collect())
    }

    fn single(&self, name: &HeaderName, missing: &'static str, repeated: &'static str) -> Result<&'a [u8], Fault> {
        let mut values = self.fields.iter().filter(|f| f.is(name));
        match (values.next(), values.next()) {
            (Some(field), None) => Ok(field.value),
            (None, _) => Err(bad(missing)),
            (Some(_), Some(_)) => Err(bad(repeated)),
        }
    }

    #[allow(clippy::type_complexity, reason = "the parts of a Message, taken apart at the only call")]
    fn essentials(&self) -> Result<(Start, Via, NameAddr, NameAddr, &'a str, CSeq), Fault> {
        // "A request with a version that is not understood gets 505" whatever else is wrong (21.5.6).
        if let StartLine::Request { version, .. } = self.start
            && version != b"2.0"
        {
            return Err(Fault { status: 505, reason: "Version Not Supported" });
        }
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let from = self.single(&HeaderName::From, "Missing From", "Repeated From")?;
        let to = self.single(&HeaderName::To, "Missing To", "Repeated To")?;
        let call_id = self.single(&HeaderName::CallId, "Missing Call-ID", "Repeated Call-ID")?;
        let cseq = self.single(&HeaderName::CSeq, "Missing CSeq", "Repeated CSeq")?;
        let call_id = std::str::from_utf8(call_id)
            .ok()
            .filter(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_graphic()))
            .ok_or(bad("Malformed Call-ID"))?;
        let cseq = CSeq::parse(cseq).map_err(|_| bad("Malformed CSeq"))?;
        let via = self.vias()?;
        let from = address(from, "Malformed From")?;
        let to = address(to, "Malformed To")?;
        let start = match self.start {
            StartLine::Status { status, .. } => Start::Response(status),
            StartLine::Request { method, uri, .. } => {
                let method = Method::from_token(&decode(method));
                self.check_request(&method, &cseq)?;
                Start::Request { method, uri: request_uri(uri)? }
            }
        };
        Ok((start, via, from, to, call_id, cseq))
    }

    /// Every Via must be well-formed; the topmost is returned.
    fn vias(&self) -> Result<Via, Fault> {
        let mut top = None;
        for value in self.all(&HeaderName::Via).flat_map(split_list) {
            let via = Via::parse(value).map_err(|_| bad("Malformed Via"))?;
            top.get_or_insert(via);
        }
        top.ok_or(bad("Missing Via"))
    }

    fn check_request(&self, method: &Method, cseq: &CSeq) -> Result<(), Fault> {
        if cseq.method != *method {
            // RFC 4475 3.1.2.18: for a method that nobody knows 501 is the better answer.
            return Err(match method {
                Method::Other(_) => Fault { status: 501, reason: "Not Implemented" },
                _ => bad("CSeq method does not match"),
            });
        }
        let repeated = [
            (HeaderName::MaxForwards, "Repeated Max-Forwards"),
            (HeaderName::ContentType, "Repeated Content-Type"),
            (HeaderName::Expires, "Repeated Expires"),
        ];
        for (name, reason) in repeated {
            if self.all(&name).nth(1).is_some() {
                return Err(bad(reason));
            }
        }
        let routes = [(HeaderName::Route, "Malformed Route"), (HeaderName::RecordRoute, "Malformed Record-Route")];
        for (name, reason) in routes {
            for value in self.all(&name).flat_map(split_list) {
                address(value, reason)?;
            }
        }
        for value in self.all(&HeaderName::Contact) {
            if *method == Method::Register && value == b"*" {
                continue;
            }
            for value in split_list(value) {
                address(value, "Malformed Contact")?;
            }
        }
        if !self.body.is_empty()
            && let Some(value) = self.get(&HeaderName::ContentType)
            && super::grammar::whole("Content-Type", value, media_type).is_err()
        {
            return Err(bad("Malformed Content-Type"));
        }
        Ok(())
    }
}

fn media_type(input: &[u8]) -> Parsed<'_, ()> {
    use super::grammar::{parameters, separator, space};
    (token, separator('/'), token, parameters, space).map(|_| ()).parse(input)
}

fn address(value: &[u8], reason: &'static str) -> Result<NameAddr, Fault> {
    NameAddr::parse(value).map_err(|_| bad(reason))
}

/// RFC 4475 3.1.2.11: escaped header fields have no place in a Request-URI.
fn request_uri(text: &[u8]) -> Result<Uri, Fault> {
    match Uri::parse(text) {
        Ok(Uri::Sip(sip)) if sip.headers.is_some() => Err(bad("Header fields in Request-URI")),
        Ok(uri) => Ok(uri),
        Err(_) => Err(bad("Malformed Request-URI")),
    }
}

/// A field with its continuation lines (those that begin with white space), and what is behind it.
fn take_folded<'a>(from: &'a [u8], line: &'a [u8], behind: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let mut rest = behind;
    let mut end = line.len();
    while matches!(rest.first(), Some(b' ' | b'\t')) {
        let Some((line, behind)) = take_line(rest) else { break };
        end = from.len() - rest.len() + line.len();
        rest = behind;
    }
    (&from[..end], rest)
}

/// A carriage return that is not part of a line end would end a line for other readers.
fn has_bare_return(value: &[u8]) -> bool {
    memchr::memchr_iter(b'\r', value).any(|at| value.get(at + 1) != Some(&b'\n'))
}

/// Elements of a comma-separated list, trimmed; commas in quotes and angle brackets do not
/// separate. Nothing at all is an empty list.
pub fn split_list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(trim(value)).filter(|v| !v.is_empty());
    std::iter::from_fn(move || {
        let list = rest?;
        let (mut in_quotes, mut in_brackets, mut escaped) = (false, false, false);
        let comma = list.iter().position(|b| {
            match b {
                _ if escaped => escaped = false,
                b'\\' if in_quotes => escaped = true,
                b'"' if !in_brackets => in_quotes = !in_quotes,
                b'<' if !in_quotes => in_brackets = true,
                b'>' if !in_quotes => in_brackets = false,
                b',' => return !in_quotes && !in_brackets,
                _ => {}
            }
            false
        });
        let (item, behind) = match comma {
            Some(comma) => (&list[..comma], Some(&list[comma + 1..])),
            None => (list, None),
        };
        rest = behind;
        Some(trim(item))
    })
}

impl Message<'_> {
    /// The request that outlives the datagram; `None` for a response.
    pub fn to_request(&self) -> Option<Request> {
        match &self.start {
            Start::Request { method, uri } => Some(Request {
                method: method.clone(),
                uri: uri.clone(),
                headers: self.lines.to_headers(),
                body: self.lines.body.to_vec(),
            }),
            Start::Response(_) => None,
        }
    }

    /// The response that outlives the datagram; `None` for a request.
    pub fn to_response(&self) -> Option<Response> {
        match self.lines.start {
            StartLine::Status { status, reason } => Some(Response {
                status,
                reason: decode(reason).into_owned(),
                headers: self.lines.to_headers(),
                body: self.lines.body.to_vec(),
            }),
            StartLine::Request { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
