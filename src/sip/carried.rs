//! What a back-to-back user agent carries from one of its dialogs to the other: header fields that are for the
//! far end, and parts of bodies that are no session description.
//!
//! RFC 3261 leaves a B2BUA free; a telephone network is useful when what two ends say to each other comes through
//! it (User-to-User of RFC 7433, Alert-Info, Geolocation of RFC 6442, ISUP of RFC 3204, fields that
//! nobody has heard of). What belongs to one hop or one dialog, what this program says itself, and what would show
//! how the network is built stays here: see [`Fate`].

use super::message::{Body, Header, HeaderName, Headers, Request, Response};
use super::multipart::{Part, compose, is_about_part};
use crate::limits::{CARRIED_BYTES, CARRIED_HEADERS, CARRIED_PARTS};

/// What a message brings for the other end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Header fields in order.
    pub headers: Vec<Header>,
    /// Parts of the body beside the description, in order.
    pub parts: Vec<Part>,
}

/// Which of several things pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Passing {
    /// Whatever may pass at all.
    #[default]
    All,
    /// Nothing.
    Nothing,
    /// These names, whatever their case; one that ends in `*` stands for all that begin so.
    Only(Vec<String>),
}

/// What passes between a peer and whoever it talks to, in both directions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassingRules {
    /// Header fields by name.
    pub headers: Passing,
    /// Parts of bodies by their media type, and INFO and MESSAGE by theirs.
    pub bodies: Passing,
}

impl Passing {
    /// Whether what has this name passes.
    pub fn lets(&self, name: &str) -> bool {
        let is_it = |known: &String| match known.strip_suffix('*') {
            Some(start) => name.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start)),
            None => known.eq_ignore_ascii_case(name),
        };
        match self {
            Passing::All => true,
            Passing::Nothing => false,
            Passing::Only(names) => names.iter().any(is_it),
        }
    }
}

/// What becomes of a header field at a B2BUA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is of this hop or dialog, or is said anew: it never passes.
    Own,
    /// It passes between networks that trust each other (RFC 7315 3: to be removed before others).
    Private,
    /// It passes unless the caller wants to stay unknown (RFC 3323 5.3).
    AboutCaller,
    /// It passes.
    EndToEnd,
}

/// Names without a variant of [`HeaderName`] that are of one hop or dialog, show the network, or speak of identity.
const OWN: [&str; 18] = [
    "MIME-Version",
    "Remote-Party-ID",
    "In-Reply-To",
    "Join",
    "Target-Dialog",
    "Service-Route",
    "Security-Client",
    "Security-Server",
    "Security-Verify",
    "Max-Breadth",
    "Feature-Caps",
    "Flow-Timer",
    "Hide",
    "Encryption",
    "Response-Key",
    "Permission-Missing",
    "Trigger-Consent",
    "CC-Diversion",
];

/// RFC 7315 and its kin; P-DCS-* of RFC 5503 beside them.
const PRIVATE: [&str; 17] = [
    "P-Access-Network-Info",
    "P-Answer-State",
    "P-Asserted-Service",
    "P-Associated-URI",
    "P-Called-Party-ID",
    "P-Charge-Info",
    "P-Charging-Function-Addresses",
    "P-Charging-Vector",
    "P-Early-Media",
    "P-Media-Authorization",
    "P-Preferred-Service",
    "P-Private-Network-Indication",
    "P-Profile-Key",
    "P-Refused-URI-List",
    "P-Served-User",
    "P-User-Database",
    "P-Visited-Network-ID",
];

fn begins(name: &str, start: &str) -> bool {
    name.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
}

fn fate(name: &HeaderName) -> Fate {
    let among = |names: &[&str], name: &str| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    match name {
        HeaderName::Subject => Fate::AboutCaller,
        // What the far end may send us INFO packages for, and what it is asked to answer with, is its matter.
        HeaderName::AcceptLanguage | HeaderName::ReferredBy | HeaderName::RecvInfo | HeaderName::InfoPackage => {
            Fate::EndToEnd
        }
        HeaderName::Other(name) if among(&OWN, name) || begins(name, "Proxy-") || begins(name, "Content-") => Fate::Own,
        HeaderName::Other(name) if among(&PRIVATE, name) || begins(name, "P-DCS-") => Fate::Private,
        // 5.3: "Subject, Call-Info, Organization, User-Agent, Reply-To and In-Reply-To"; a signature names the caller.
        HeaderName::Other(name) if among(&["Call-Info", "Organization", "Reply-To", "Identity"], name) => {
            Fate::AboutCaller
        }
        HeaderName::Other(_) => Fate::EndToEnd,
        _ => Fate::Own,
    }
}

/// Whether a header field of this name passes where everything may.
pub fn may_pass(name: &str) -> bool {
    fate(&HeaderName::from_text(name)) != Fate::Own
}

/// Parts that tell of other dialogs, as a whole or in fragments (RFC 3893, RFC 3420).
fn shows_the_network(part: &Part) -> bool {
    part.body.is("message/sip") || part.body.is("message/sipfrag")
}

impl Carried {
    /// What a request brings. Of what is too much (see [`crate::limits`]) the rest stays behind.
    pub fn of_request(request: &Request) -> Carried {
        let mut carried = Carried::of(&request.headers, request.beside_description());
        // RFC 8224 4.1: the signature is over this Date.
        let identity = HeaderName::Other("Identity".to_owned());
        if request.headers.has(&identity) {
            carried.headers.extend(request.headers.iter().find(|h| h.name == HeaderName::Date).cloned());
        }
        // What the caller can read decides what may stand in the answer.
        let accepts = request.headers.iter().filter(|header| header.name == HeaderName::Accept);
        carried.headers.extend(accepts.take(1).cloned());
        carried
    }

    /// What a response brings.
    pub fn of_response(response: &Response) -> Carried {
        Carried::of(&response.headers, response.beside_description())
    }

    fn of(headers: &Headers, parts: Vec<Part>) -> Carried {
        let mut room = CARRIED_BYTES;
        let mut fits = |bytes: usize| match room.checked_sub(bytes) {
            Some(rest) => {
                room = rest;
                true
            }
            None => false,
        };
        let is_text = |header: &&Header| !header.value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t');
        let headers = headers.iter().filter(|header| fate(&header.name) != Fate::Own).filter(is_text);
        let headers = headers.filter(|header| fits(header.name.as_str().len() + header.value.len()));
        let headers: Vec<Header> = headers.take(CARRIED_HEADERS).cloned().collect();
        let parts = parts.into_iter().filter(|part| !shows_the_network(part));
        let parts = parts.filter(|part| {
            let fields: usize = part.fields.iter().map(|field| field.name.as_str().len() + field.value.len()).sum();
            fits(part.body.content_type.len() + part.body.bytes.len() + fields)
        });
        Carried { headers, parts: parts.take(CARRIED_PARTS).collect() }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.parts.is_empty()
    }

    /// Without what these rules for header fields and for bodies hold back.
    #[must_use]
    pub fn by(mut self, headers: &Passing, bodies: &Passing) -> Carried {
        self.headers.retain(|header| headers.lets(header.name.as_str()));
        self.parts.retain(|part| bodies.lets(part.body.media_type()));
        self
    }

    /// Without what networks tell only those that they trust.
    #[must_use]
    pub fn without_private(mut self) -> Carried {
        self.headers.retain(|header| fate(&header.name) != Fate::Private);
        self
    }

    /// Without what says who the caller is.
    #[must_use]
    pub fn without_caller(mut self) -> Carried {
        self.headers.retain(|header| fate(&header.name) != Fate::AboutCaller);
        self
    }

    /// Without a field that is said otherwise.
    #[must_use]
    pub fn without(mut self, name: &HeaderName) -> Carried {
        self.headers.retain(|header| !header.name.is(name));
        self
    }

    /// A body of it and of a description, and all header fields.
    pub fn content(self, description: Option<Body>) -> (Option<Body>, Vec<Header>) {
        let (body, fields) = compose(description, self.parts);
        (body, self.headers.into_iter().chain(fields).collect())
    }

    /// Without parts, for a peer that did not say that it reads them.
    #[must_use]
    pub fn without_parts(self) -> Carried {
        Carried { parts: Vec::new(), ..self }
    }
}

impl From<Vec<Header>> for Carried {
    fn from(headers: Vec<Header>) -> Carried {
        Carried { headers, parts: Vec::new() }
    }
}

/// Whether the sender of a request reads bodies of several parts (RFC 5621 3.1, RFC 3261 20.1).
pub(super) fn reads_parts(request: &Request) -> bool {
    let ranges = request.headers.tokens(&HeaderName::Accept);
    let is_mixed = |range: &String| {
        let range = super::message::media_type_of(range);
        ["multipart/mixed", "multipart/*", "*/*"].iter().any(|known| known.eq_ignore_ascii_case(range))
    };
    ranges.iter().any(is_mixed) || request.typed_body().is_some_and(|body| body.is("multipart/mixed"))
}

/// Everything in a body that is no description, with the header fields of its message that are about it.
pub(super) fn beside_description(headers: &Headers, body: Option<Body>) -> Vec<Part> {
    // A body of unknown type cannot be read by anybody.
    let Some(body) = body.filter(|body| !body.media_type().is_empty()) else { return Vec::new() };
    let fields = headers.iter().filter(|header| is_about_part(&header.name)).cloned().collect();
    Part { body, fields }.beside_description()
}

#[cfg(test)]
mod tests {
    use super::super::Method;
    use super::*;

    fn request(lines: &str, content_type: &str, body: &str) -> Request {
        let text = format!(
            "INVITE sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:b@h>;tag=1\r\nTo: <sip:a@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n{lines}Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        super::super::parser::parse(text.as_bytes()).expect("a message").to_request().expect("a request")
    }

    fn lines(carried: &Carried) -> Vec<String> {
        carried.headers.iter().map(|h| format!("{}: {}", h.name.as_str(), h.text())).collect()
    }

    #[test]
    fn what_is_for_the_far_end_is_carried_and_what_belongs_to_this_hop_is_not() {
        let foreign = "User-to-User: 56a390f3d2b7310023a2;encoding=hex\r\nAlert-Info: <http://h/ring.wav>\r\n\
            X-Anything: with, commas\r\nPriority: urgent\r\nGeolocation: <cid:a@h>\r\nAccept-Language: da\r\n\
            Subject: lunch\r\nOrganization: Ours\r\nCall-Info: <http://h/me.jpg>;purpose=icon\r\n";
        let own = "Record-Route: <sip:p;lr>\r\nContact: <sip:b@h>\r\nMax-Forwards: 70\r\nUser-Agent: phone\r\n\
            Authorization: Digest x\r\nProxy-Authorization: Digest x\r\nSupported: timer\r\nSession-Expires: 90\r\n\
            P-Asserted-Identity: <sip:b@h>\r\nRemote-Party-ID: <sip:b@h>\r\nPrivacy: id\r\nDiversion: <sip:c@h>\r\n\
            Proxy-Whatever: x\r\nReplaces: x;to-tag=1;from-tag=2\r\nIn-Reply-To: c@h\r\nTimestamp: 1\r\nDate: x\r\n";
        let carried = Carried::of_request(&request(&format!("{foreign}{own}"), "application/sdp", "v=0"));
        assert_eq!(lines(&carried), foreign.lines().collect::<Vec<_>>());
        assert_eq!(carried.parts, []);
    }

    #[test]
    fn what_networks_and_callers_keep_to_themselves_is_told_apart() {
        let carried = Carried::of_request(&request(
            "P-Charging-Vector: icid-value=1\r\nP-DCS-Billing-Info: 1\r\nSubject: me\r\nIdentity: x\r\nDate: y\r\nX-A: 1\r\n",
            "text/plain",
            "",
        ));
        assert_eq!(lines(&carried.clone().without_private()), ["Subject: me", "Identity: x", "X-A: 1", "Date: y"]);
        assert_eq!(lines(&carried.without_private().without_caller()), ["X-A: 1", "Date: y"]);
    }

    #[test]
    fn rules_name_what_passes() {
        let carried = Carried::of_request(&request("X-One: 1\r\nX-Two: 2\r\nUser-to-User: 3\r\n", "text/plain", "hi"));
        let check = |headers: Passing, bodies: Passing, expected: &[&str], parts: usize| {
            let passed = carried.clone().by(&headers, &bodies);
            assert_eq!(
                (lines(&passed), passed.parts.len()),
                (expected.iter().map(|l| (*l).to_owned()).collect(), parts)
            );
        };
        let only = |names: &[&str]| Passing::Only(names.iter().map(|name| (*name).to_owned()).collect());
        check(Passing::All, Passing::All, &["X-One: 1", "X-Two: 2", "User-to-User: 3"], 1);
        check(Passing::Nothing, Passing::Nothing, &[], 0);
        check(only(&["x-*"]), only(&["TEXT/*"]), &["X-One: 1", "X-Two: 2"], 1);
        check(only(&["x-two", "user-TO-user"]), only(&["application/isup"]), &["X-Two: 2", "User-to-User: 3"], 0);
    }

    #[test]
    fn what_is_too_much_stays_behind_at_the_limit() {
        let many: String = (0..=CARRIED_HEADERS).map(|n| format!("X-{n}: 1\r\n")).collect();
        assert_eq!(Carried::of_request(&request(&many, "a/b", "")).headers.len(), CARRIED_HEADERS);
        let sized = |bytes: usize| Carried::of_request(&request(&format!("Y: {}\r\n", "y".repeat(bytes)), "a/b", "y"));
        // The field with its name, and the part with its type.
        let fits = CARRIED_BYTES - 1 - 4;
        assert_eq!((sized(fits).headers.len(), sized(fits).parts.len()), (1, 1));
        assert_eq!((sized(fits + 1).headers.len(), sized(fits + 1).parts.len()), (1, 0));
        assert_eq!((sized(fits + 5).headers.len(), sized(fits + 5).parts.len()), (0, 1));
        let parts: String = (0..=CARRIED_PARTS).map(|_| "--b\r\nContent-Type: a/b\r\n\r\nx\r\n".to_owned()).collect();
        let body = format!("--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n{parts}--b--\r\n");
        let request = request("", "multipart/mixed;boundary=b", &body);
        assert_eq!(Carried::of_request(&request).parts.len(), CARRIED_PARTS);
    }

    #[test]
    fn fragments_of_other_dialogs_are_not_carried() {
        for content_type in ["message/sip", "message/sipfrag;version=2.0"] {
            assert_eq!(Carried::of_request(&request("", content_type, "SIP/2.0 200 OK")).parts, []);
        }
    }

    #[test]
    fn a_caller_reads_several_parts_when_it_says_so_or_sends_them() {
        let reads = |lines: &str, content_type: &str| reads_parts(&request(lines, content_type, "x"));
        assert!(!reads("", "application/sdp"));
        assert!(!reads("Accept: application/sdp, application/isup\r\n", "application/sdp"));
        assert!(reads("Accept: application/sdp\r\nAccept: Multipart/Mixed;q=0.3\r\n", "application/sdp"));
        assert!(reads("Accept: */*\r\n", "application/sdp"));
        assert!(reads("", "multipart/mixed;boundary=b"));
        let bare = Request::new(Method::Invite, "sip:a@h".parse().expect("a URI"));
        assert!(!reads_parts(&bare));
    }
}
