//! Requests and responses that outlive their datagram, and the words of SIP: methods, header names.
//!
//! The header list keeps its order. Values are bytes as they came (Latin-1 happens), without line
//! ends: a fold becomes one space, which RFC 3261 7.3.1 calls the same value. `Content-Length` is
//! written by the printer alone.

use super::carried::Carried;
use super::headers::{CSeq, NameAddr, Reason, Via};
use super::multipart::{Part, is_about_body};
use super::uri::Uri;
use std::borrow::Cow;
use std::fmt;

/// A SIP method. Methods are case-sensitive tokens (RFC 3261 7.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// RFC 3261 13
    Invite,
    /// RFC 3261 13
    Ack,
    /// RFC 3261 15
    Bye,
    /// RFC 3261 9
    Cancel,
    /// RFC 3261 11
    Options,
    /// RFC 3261 10
    Register,
    /// RFC 3262
    Prack,
    /// RFC 6665
    Subscribe,
    /// RFC 6665
    Notify,
    /// RFC 3903
    Publish,
    /// RFC 6086
    Info,
    /// RFC 3515
    Refer,
    /// RFC 3428
    Message,
    /// RFC 3311
    Update,
    /// Any other token, as it was spelled.
    Other(String),
}

const METHODS: [(Method, &str); 14] = [
    (Method::Invite, "INVITE"),
    (Method::Ack, "ACK"),
    (Method::Bye, "BYE"),
    (Method::Cancel, "CANCEL"),
    (Method::Options, "OPTIONS"),
    (Method::Register, "REGISTER"),
    (Method::Prack, "PRACK"),
    (Method::Subscribe, "SUBSCRIBE"),
    (Method::Notify, "NOTIFY"),
    (Method::Publish, "PUBLISH"),
    (Method::Info, "INFO"),
    (Method::Refer, "REFER"),
    (Method::Message, "MESSAGE"),
    (Method::Update, "UPDATE"),
];

impl Method {
    /// The method with this token.
    pub fn from_token(token: &str) -> Method {
        METHODS
            .iter()
            .find(|(_, name)| *name == token)
            .map_or_else(|| Method::Other(token.to_owned()), |(method, _)| method.clone())
    }

    /// Its token.
    pub fn as_str(&self) -> &str {
        match self {
            Method::Other(token) => token,
            known => METHODS.iter().find(|(m, _)| m == known).map_or("", |(_, name)| name),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! header_names {
    ($($variant:ident $text:literal $compact:expr),* $(,)?) => {
        /// The name of a header field. Names ignore case and may be compact (RFC 3261 7.3.1, 7.3.3).
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the variants are the names")]
        pub enum HeaderName {
            $($variant,)*
            /// A name that this program gives no meaning, as it was spelled.
            Other(String),
        }

        const HEADER_NAMES: &[(HeaderName, &str, Option<u8>)] = &[$((HeaderName::$variant, $text, $compact),)*];

        impl HeaderName {
            /// The usual spelling, or the one received for a name without meaning here.
            pub fn as_str(&self) -> &str {
                match self {
                    $(HeaderName::$variant => $text,)*
                    HeaderName::Other(name) => name,
                }
            }
        }
    };
}

header_names! {
    Via "Via" Some(b'v'),
    From "From" Some(b'f'),
    To "To" Some(b't'),
    CallId "Call-ID" Some(b'i'),
    CSeq "CSeq" None,
    Contact "Contact" Some(b'm'),
    MaxForwards "Max-Forwards" None,
    ContentLength "Content-Length" Some(b'l'),
    ContentType "Content-Type" Some(b'c'),
    ContentEncoding "Content-Encoding" Some(b'e'),
    ContentDisposition "Content-Disposition" None,
    ContentLanguage "Content-Language" None,
    Route "Route" None,
    RecordRoute "Record-Route" None,
    ServiceRoute "Service-Route" None,
    Require "Require" None,
    ProxyRequire "Proxy-Require" None,
    Supported "Supported" Some(b'k'),
    Unsupported "Unsupported" None,
    Allow "Allow" None,
    Accept "Accept" None,
    AcceptEncoding "Accept-Encoding" None,
    AcceptLanguage "Accept-Language" None,
    Expires "Expires" None,
    MinExpires "Min-Expires" None,
    Authorization "Authorization" None,
    ProxyAuthorization "Proxy-Authorization" None,
    WwwAuthenticate "WWW-Authenticate" None,
    ProxyAuthenticate "Proxy-Authenticate" None,
    AuthenticationInfo "Authentication-Info" None,
    Reason "Reason" None,
    RetryAfter "Retry-After" None,
    Warning "Warning" None,
    Date "Date" None,
    UserAgent "User-Agent" None,
    Server "Server" None,
    Subject "Subject" Some(b's'),
    Event "Event" Some(b'o'),
    ReferTo "Refer-To" Some(b'r'),
    ReferredBy "Referred-By" Some(b'b'),
    Replaces "Replaces" None,
    RSeq "RSeq" None,
    RAck "RAck" None,
    SessionExpires "Session-Expires" Some(b'x'),
    MinSe "Min-SE" None,
    Privacy "Privacy" None,
    PAssertedIdentity "P-Asserted-Identity" None,
    PPreferredIdentity "P-Preferred-Identity" None,
    Diversion "Diversion" None,
    InfoPackage "Info-Package" None,
    RecvInfo "Recv-Info" None,
    Timestamp "Timestamp" None,
    AllowEvents "Allow-Events" Some(b'u'),
    SubscriptionState "Subscription-State" None,
    SipETag "SIP-ETag" None,
    SipIfMatch "SIP-If-Match" None,
    Path "Path" None,
    HistoryInfo "History-Info" None,
    ReferSub "Refer-Sub" None,
}

impl HeaderName {
    /// The known name that these bytes spell, long or compact, in any case.
    pub(in crate::sip) fn known(name: &[u8]) -> Option<HeaderName> {
        let found = match name {
            [letter] => HEADER_NAMES.iter().find(|(_, _, compact)| *compact == Some(letter.to_ascii_lowercase())),
            _ => HEADER_NAMES.iter().find(|(_, long, _)| long.as_bytes().eq_ignore_ascii_case(name)),
        };
        found.map(|(name, _, _)| name.clone())
    }

    /// The name that this text spells, long or compact, in any case.
    pub fn from_text(name: &str) -> HeaderName {
        HeaderName::known(name.as_bytes()).unwrap_or_else(|| HeaderName::Other(name.to_owned()))
    }

    /// Whether these are the same name, whatever their case.
    pub fn is(&self, other: &HeaderName) -> bool {
        match (self, other) {
            (HeaderName::Other(a), HeaderName::Other(b)) => a.eq_ignore_ascii_case(b),
            (a, b) => a == b,
        }
    }
}

/// Bytes as text: UTF-8 when they are, else Latin-1, which maps every byte.
pub(super) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|b| char::from(*b)).collect()),
    }
}

/// One header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: HeaderName,
    /// Its value without line ends and surrounding white space.
    pub value: Vec<u8>,
}

impl Header {
    /// A header field; the value is printed as it is.
    pub fn new(name: HeaderName, value: impl fmt::Display) -> Header {
        Header { name, value: value.to_string().into_bytes() }
    }

    /// The value as text, Latin-1 bytes included.
    pub fn text(&self) -> Cow<'_, str> {
        decode(&self.value)
    }
}

/// Header fields in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub(super) Vec<Header>);

impl Headers {
    /// The value of the first field with this name.
    pub fn get(&self, name: &HeaderName) -> Option<&[u8]> {
        self.0.iter().find(|h| h.name.is(name)).map(|h| h.value.as_slice())
    }

    /// The value of the first field with this name, as text.
    pub fn text(&self, name: &HeaderName) -> Option<Cow<'_, str>> {
        self.get(name).map(decode)
    }

    /// Values of all fields with this name, in order; a value may be a list with commas.
    pub fn all<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(|h| h.name.is(name)).map(|h| h.value.as_slice())
    }

    /// Whether there is one.
    pub fn has(&self, name: &HeaderName) -> bool {
        self.get(name).is_some()
    }

    /// Adds a field at the end.
    pub fn push(&mut self, header: Header) {
        self.0.push(header);
    }

    /// Replaces all fields of this name by one.
    pub fn set(&mut self, header: Header) {
        let at = self.0.iter().position(|h| h.name.is(&header.name)).unwrap_or(self.0.len());
        self.remove(&header.name);
        self.0.insert(at.min(self.0.len()), header);
    }

    /// Removes all but those whose names are wanted, and gives their memory back.
    pub(super) fn keep(&mut self, wanted: impl Fn(&HeaderName) -> bool) {
        self.0.retain(|header| wanted(&header.name));
        self.0.shrink_to_fit();
    }

    /// Removes all fields of this name.
    pub fn remove(&mut self, name: &HeaderName) {
        self.0.retain(|h| !h.name.is(name));
    }

    /// All fields in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Header> {
        self.0.iter()
    }

    /// Elements of all list-valued fields of this name (`Supported: a, b`), as text.
    pub fn tokens(&self, name: &HeaderName) -> Vec<String> {
        self.all(name)
            .flat_map(|value| {
                super::parser::split_list(value).map(|item| decode(item).into_owned()).collect::<Vec<_>>()
            })
            .collect()
    }
}

/// A message body with its type.
#[derive(Clone, PartialEq, Eq)]
pub struct Body {
    /// `Content-Type`, e.g. `application/sdp`.
    pub content_type: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Body {
    /// A body of `application/sdp`.
    pub fn sdp(bytes: impl Into<Vec<u8>>) -> Body {
        Body { content_type: "application/sdp".to_owned(), bytes: bytes.into() }
    }

    /// `type/subtype`, without parameters.
    pub fn media_type(&self) -> &str {
        media_type_of(&self.content_type)
    }

    /// Whether its type is this one (`type/subtype`, without parameters).
    pub fn is(&self, media_type: &str) -> bool {
        media_type_of(&self.content_type).eq_ignore_ascii_case(media_type)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({}, {:?})", self.content_type, decode(&self.bytes))
    }
}

/// `type/subtype` of a Content-Type value, without parameters and white space.
pub(super) fn media_type_of(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or("").trim()
}

/// A request that outlives its datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// The Request-URI.
    pub uri: Uri,
    /// Header fields in order.
    pub headers: Headers,
    /// The body's bytes; empty when there is none.
    pub body: Vec<u8>,
}

/// A response, received or to be sent. For one to be sent only status, extra header fields and body
/// need to be given; what a response copies from its request is filled in by the endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// 100 to 699.
    pub status: u16,
    /// The reason phrase.
    pub reason: String,
    /// Header fields in order.
    pub headers: Headers,
    /// The body's bytes; empty when there is none.
    pub body: Vec<u8>,
}

macro_rules! common {
    ($type:ty) => {
        impl $type {
            /// Adds a header field at the end.
            #[must_use]
            pub fn with(mut self, name: HeaderName, value: impl fmt::Display) -> Self {
                self.headers.push(Header::new(name, value));
                self
            }

            /// Adds header fields at the end.
            #[must_use]
            pub fn with_headers(mut self, headers: impl IntoIterator<Item = Header>) -> Self {
                self.headers.0.extend(headers);
                self
            }

            /// Sets body and Content-Type.
            #[must_use]
            pub fn with_body(mut self, body: Option<Body>) -> Self {
                if let Some(body) = body {
                    self.headers.set(Header::new(HeaderName::ContentType, &body.content_type));
                    self.body = body.bytes;
                }
                self
            }

            /// The body with its type; `None` when it is empty.
            pub fn typed_body(&self) -> Option<Body> {
                let content_type = self.headers.text(&HeaderName::ContentType);
                (!self.body.is_empty()).then(|| Body {
                    content_type: content_type.map_or_else(String::new, Cow::into_owned),
                    bytes: self.body.clone(),
                })
            }

            /// Adds what is carried on from another dialog, and a body of it and of a description.
            #[must_use]
            pub fn with_content(self, description: Option<Body>, carried: Carried) -> Self {
                let (body, headers) = carried.content(description);
                self.with_headers(headers).with_body(body)
            }

            /// What is in its body and no description.
            pub(super) fn beside_description(&self) -> Vec<Part> {
                let is_description = self.headers.get(&HeaderName::ContentType) == Some(b"application/sdp");
                match is_description || self.body.is_empty() {
                    true => Vec::new(),
                    false => super::carried::beside_description(&self.headers, self.typed_body()),
                }
            }

            /// With this description, and with these parts beside it, in the place of its body.
            #[must_use]
            pub(super) fn described_by(mut self, description: Option<Body>, beside: Vec<Part>) -> Self {
                self.body.clear();
                self.headers.0.retain(|header| !is_about_body(&header.name));
                self.with_content(description, Carried { headers: Vec::new(), parts: beside })
            }

            /// Whether it brings a session description, alone or among other parts.
            pub fn describes(&self) -> bool {
                let Some(content_type) = self.headers.get(&HeaderName::ContentType) else { return false };
                match media_type_of(&decode(content_type)) {
                    _ if self.body.is_empty() => false,
                    media_type if media_type.eq_ignore_ascii_case("application/sdp") => true,
                    // Only here is it worth to look inside.
                    _ => self.typed_body().is_some_and(|body| body.describes()),
                }
            }

            /// Call-ID.
            pub fn call_id(&self) -> Option<Cow<'_, str>> {
                self.headers.text(&HeaderName::CallId)
            }

            /// CSeq.
            pub fn cseq(&self) -> Option<CSeq> {
                CSeq::parse(self.headers.get(&HeaderName::CSeq)?).ok()
            }

            /// From.
            pub fn from(&self) -> Option<NameAddr> {
                NameAddr::parse(self.headers.get(&HeaderName::From)?).ok()
            }

            /// To.
            pub fn to(&self) -> Option<NameAddr> {
                NameAddr::parse(self.headers.get(&HeaderName::To)?).ok()
            }

            /// The topmost Via.
            pub fn via(&self) -> Option<Via> {
                super::parser::split_list(self.headers.get(&HeaderName::Via)?).next().and_then(|v| Via::parse(v).ok())
            }

            /// The first Contact.
            pub fn contact(&self) -> Option<NameAddr> {
                NameAddr::parse_list(self.headers.get(&HeaderName::Contact)?).ok()?.into_iter().next()
            }

            /// All well-formed Reason values (RFC 3326), in order.
            pub fn reasons(&self) -> Vec<Reason> {
                self.headers
                    .all(&HeaderName::Reason)
                    .flat_map(|value| super::parser::split_list(value).collect::<Vec<_>>())
                    .filter_map(|item| Reason::parse(item).ok())
                    .collect()
            }
        }
    };
}
common!(Request);
common!(Response);

impl Request {
    /// A request without header fields.
    pub fn new(method: Method, uri: Uri) -> Request {
        Request { method, uri, headers: Headers::default(), body: Vec::new() }
    }

    /// Max-Forwards; `None` when absent or not a number up to 255 (RFC 4475 3.1.2.4: as if absent).
    pub fn max_forwards(&self) -> Option<u8> {
        self.headers.text(&HeaderName::MaxForwards)?.trim().parse().ok()
    }
}

impl Response {
    /// A response with the usual reason phrase of this status.
    pub fn new(status: u16) -> Response {
        Response { status, reason: reason_phrase(status).to_owned(), headers: Headers::default(), body: Vec::new() }
    }

    /// Another reason phrase.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<String>) -> Response {
        self.reason = reason.into();
        self
    }
}

/// The usual reason phrase (RFC 3261 21 and later registrations).
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        199 => "Early Dialog Terminated",
        200 => "OK",
        202 => "Accepted",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        305 => "Use Proxy",
        380 => "Alternative Service",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        412 => "Conditional Request Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        485 => "Ambiguous",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        493 => "Undecipherable",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        _ => match status / 100 {
            1 => "Progress",
            2 => "Success",
            3 => "Redirection",
            4 => "Request Failure",
            5 => "Server Failure",
            _ => "Global Failure",
        },
    }
}
