//! URIs: `sip:`, `sips:` and `tel:` taken apart, any other scheme kept as text.
//!
//! Parts are kept as they stand on the wire, `%` escapes included; [`Uri::user`] decodes once and
//! never twice (RFC 4475 3.1.1.3). Comparison by RFC 3261 19.1.4 is [`Uri::equivalent`].

use super::Transport;
use super::grammar::{escaped_text, host, number, text_of, whole};
use super::headers::Malformed;
use super::message::decode;
use nom::bytes::complete::take_while1;
use nom::character::complete::char as byte;
use nom::combinator::opt;
use nom::sequence::preceded;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Parameters `;name=value` in order, of a URI or of a header field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Params(pub Vec<(String, Option<String>)>);

impl Params {
    /// The value of a parameter, as written; empty when it has none.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_deref().unwrap_or(""))
    }

    /// The value of a parameter without quotes.
    pub fn unquoted(&self, name: &str) -> Option<String> {
        let value = self.get(name)?;
        match value.strip_prefix('"').and_then(|v| v.strip_suffix('"')) {
            Some(inside) => Some(super::grammar::unescape(inside.as_bytes())),
            None => Some(value.to_owned()),
        }
    }

    /// Whether it is there, with or without value.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Sets a parameter, in place when it is there.
    pub fn set(&mut self, name: &str, value: Option<String>) {
        match self.0.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Removes a parameter.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.0 {
            match value {
                Some(value) => write!(f, ";{name}={value}")?,
                None => write!(f, ";{name}")?,
            }
        }
        Ok(())
    }
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A domain name, as it was spelled.
    Name(String),
    /// An address.
    Ip(IpAddr),
}

impl Host {
    /// The host that this text names: an address, with or without brackets, or a domain name.
    pub fn from_text(text: &str) -> Host {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        bare.parse().map_or_else(|_| Host::Name(text.to_owned()), Host::Ip)
    }

    /// Whether these name the same host; names ignore case.
    pub fn equivalent(&self, other: &Host) -> bool {
        match (self, other) {
            (Host::Name(a), Host::Name(b)) => a.eq_ignore_ascii_case(b),
            (a, b) => a == b,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

/// A `sip:` or `sips:` URI (RFC 3261 19.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SipUri {
    /// `sips:`
    pub secure: bool,
    /// The part before `@`, escaped, without password.
    pub user: Option<String>,
    /// The password, escaped.
    pub password: Option<String>,
    /// The host.
    pub host: Host,
    /// The port, when one is written.
    pub port: Option<u16>,
    /// Parameters, escaped.
    pub params: Params,
    /// What stands behind `?`, escaped.
    pub headers: Option<String>,
}

/// A URI.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Uri {
    /// `sip:` or `sips:`
    Sip(SipUri),
    /// `tel:` (RFC 3966): the number as written, and parameters.
    Tel {
        /// Digits with separators, or a leading `+`.
        number: String,
        /// Parameters.
        params: Params,
    },
    /// Any other scheme.
    Other {
        /// Before the colon.
        scheme: String,
        /// Behind it.
        rest: String,
    },
}

fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&b)
}

/// `user`; `#` is not in the grammar, but phones dial it unescaped and it is not ambiguous.
fn is_user(b: u8) -> bool {
    is_unreserved(b) || b"&=+$,;?/#".contains(&b)
}

fn is_password(b: u8) -> bool {
    is_unreserved(b) || b"&=+$,".contains(&b)
}

fn is_param(b: u8) -> bool {
    is_unreserved(b) || b"[]/:&+$".contains(&b)
}

fn is_header(b: u8) -> bool {
    is_unreserved(b) || b"[]/?:+$&=".contains(&b)
}

impl Uri {
    /// Reads a URI; every byte must belong to it.
    pub fn parse(text: &[u8]) -> Result<Uri, Malformed> {
        let malformed = Malformed { what: "URI" };
        let colon = text.iter().position(|b| *b == b':').ok_or(malformed)?;
        let (scheme, rest) = (&text[..colon], &text[colon + 1..]);
        let letters = |b: &u8| b.is_ascii_alphanumeric() || b"+-.".contains(b);
        if !scheme.first().is_some_and(u8::is_ascii_alphabetic) || !scheme.iter().all(letters) {
            return Err(malformed);
        }
        match scheme {
            s if s.eq_ignore_ascii_case(b"sip") => SipUri::parse(false, rest).map(Uri::Sip),
            s if s.eq_ignore_ascii_case(b"sips") => SipUri::parse(true, rest).map(Uri::Sip),
            s if s.eq_ignore_ascii_case(b"tel") => parse_tel(rest),
            _ if rest.is_empty() || !rest.iter().all(|b| b.is_ascii_graphic() && !b"<>\"".contains(b)) => {
                Err(malformed)
            }
            _ => Ok(Uri::Other { scheme: text_of(scheme), rest: text_of(rest) }),
        }
    }

    /// A `sip:` URI; the user part is escaped as needed.
    pub fn sip(user: Option<&str>, host: Host, port: Option<u16>) -> Uri {
        Uri::Sip(SipUri {
            secure: false,
            user: user.filter(|user| !user.is_empty()).map(escape_user),
            password: None,
            host,
            port,
            params: Params::default(),
            headers: None,
        })
    }

    /// `sip:user@address`, with the transport as parameter unless it is UDP.
    pub fn at(user: Option<&str>, transport: Transport, address: SocketAddr) -> Uri {
        let mut uri = Uri::sip(user, Host::Ip(address.ip()), Some(address.port()));
        if let (Uri::Sip(sip), true) = (&mut uri, transport.is_stream()) {
            sip.params.set("transport", Some(transport.word().to_owned()));
        }
        uri
    }

    /// The same resource by TLS on every hop (RFC 3261 19.1, 26.2.2): `sips:`, without a transport
    /// parameter, since TLS is not named by one there (RFC 5630 3.1.4).
    #[must_use]
    pub fn secured(mut self) -> Uri {
        if let Uri::Sip(sip) = &mut self {
            sip.secure = true;
            if sip.params.get("transport").is_some_and(|t| t.eq_ignore_ascii_case("tls")) {
                sip.params.remove("transport");
            }
        }
        self
    }

    /// Whether it is a `sips:` URI.
    pub fn is_secure(&self) -> bool {
        self.as_sip().is_some_and(|sip| sip.secure)
    }

    /// The same SIP URI with this user part, escaped as needed; other URIs as they are.
    #[must_use]
    pub fn with_user(&self, user: &str) -> Uri {
        match self {
            Uri::Sip(sip) => Uri::Sip(SipUri { user: Some(escape_user(user)), ..sip.clone() }),
            other => other.clone(),
        }
    }

    /// The same SIP URI with the transport of another one, unless it names one itself.
    #[must_use]
    pub fn with_transport_of(&self, other: &Uri) -> Uri {
        let mut uri = self.clone();
        if let (Uri::Sip(sip), Uri::Sip(other)) = (&mut uri, other)
            && !sip.params.has("transport")
        {
            sip.secure |= other.secure;
            if let Some(transport) = other.params.get("transport") {
                sip.params.set("transport", Some(transport.to_owned()));
            }
        }
        uri
    }

    /// The user part, escapes decoded once; the number of a `tel:` URI without visual separators.
    pub fn user(&self) -> Option<String> {
        match self {
            Uri::Sip(sip) => sip.user.as_deref().map(unescape_percent),
            Uri::Tel { number, .. } => Some(number.chars().filter(|c| !"-.()".contains(*c)).collect()),
            Uri::Other { .. } => None,
        }
    }

    /// The host of a SIP URI.
    pub fn host(&self) -> Option<&Host> {
        self.as_sip().map(|sip| &sip.host)
    }

    /// The SIP URI that it is.
    pub fn as_sip(&self) -> Option<&SipUri> {
        match self {
            Uri::Sip(sip) => Some(sip),
            _ => None,
        }
    }

    /// The address a SIP URI names without asking anybody: an IP literal, with 5060 as the default
    /// port, 5061 for TLS.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.as_sip()? {
            SipUri { host: Host::Ip(ip), port, .. } => {
                let default = self.transport().unwrap_or(Transport::Udp).default_port();
                Some(SocketAddr::new(*ip, port.unwrap_or(default)))
            }
            _ => None,
        }
    }

    /// The transport that scheme and parameter ask for: TLS for every `sips:` (RFC 5630 3.1.3: the
    /// parameter names what is below TLS there); `None` for none and for unknown ones.
    pub fn transport(&self) -> Option<Transport> {
        let sip = self.as_sip()?;
        if sip.secure {
            return Some(Transport::Tls);
        }
        let named = sip.params.get("transport")?;
        [Transport::Udp, Transport::Tcp, Transport::Tls].into_iter().find(|t| named.eq_ignore_ascii_case(t.word()))
    }

    /// Whether a parameter is there.
    pub fn has_param(&self, name: &str) -> bool {
        match self {
            Uri::Sip(sip) => sip.params.has(name),
            Uri::Tel { params, .. } => params.has(name),
            Uri::Other { .. } => false,
        }
    }

    /// Whether these are the same by RFC 3261 19.1.4.
    pub fn equivalent(&self, other: &Uri) -> bool {
        match (self, other) {
            (Uri::Sip(a), Uri::Sip(b)) => a.equivalent(b),
            (Uri::Tel { params: a, .. }, Uri::Tel { params: b, .. }) => {
                self.user() == other.user() && params_agree(a, b, &["phone-context", "isub", "ext"])
            }
            (Uri::Other { scheme: a, rest: x }, Uri::Other { scheme: b, rest: y }) => {
                a.eq_ignore_ascii_case(b) && x == y
            }
            _ => false,
        }
    }
}

impl SipUri {
    fn parse(secure: bool, text: &[u8]) -> Result<SipUri, Malformed> {
        let malformed = Malformed { what: "SIP URI" };
        // An at sign cannot stand anywhere else unescaped (RFC 3261 25.1), so the first one ends userinfo.
        let (userinfo, rest) = match text.iter().position(|b| *b == b'@') {
            Some(at) => (Some(&text[..at]), &text[at + 1..]),
            None => (None, text),
        };
        let (mut user, mut password) = (None, None);
        if let Some(userinfo) = userinfo {
            let colon = userinfo.iter().position(|b| *b == b':');
            let name = &userinfo[..colon.unwrap_or(userinfo.len())];
            if name.is_empty() || !escaped_text(name, is_user) {
                return Err(malformed);
            }
            user = Some(text_of(name));
            if let Some(colon) = colon {
                let secret = &userinfo[colon + 1..];
                if !escaped_text(secret, is_password) {
                    return Err(malformed);
                }
                password = Some(text_of(secret));
            }
        }
        let question = rest.iter().position(|b| *b == b'?');
        let (rest, headers) = (&rest[..question.unwrap_or(rest.len())], question.map(|q| &rest[q + 1..]));
        if headers.is_some_and(|h| h.is_empty() || !escaped_text(h, is_header)) {
            return Err(malformed);
        }
        let semicolon = rest.iter().position(|b| *b == b';').unwrap_or(rest.len());
        let (hostport, params) = rest.split_at(semicolon);
        if hostport.first().is_none_or(u8::is_ascii_whitespace) || hostport.last().is_none_or(u8::is_ascii_whitespace) {
            return Err(malformed);
        }
        let (host, port) = whole("SIP URI", hostport, (host, opt(preceded(byte(':'), number::<u16>))))?;
        let headers = headers.map(text_of);
        Ok(SipUri { secure, user, password, host, port, params: parse_params(params)?, headers })
    }

    fn equivalent(&self, other: &SipUri) -> bool {
        let same_text = |a: &Option<String>, b: &Option<String>| {
            a.as_deref().map(unescape_percent) == b.as_deref().map(unescape_percent)
        };
        self.secure == other.secure
            && same_text(&self.user, &other.user)
            && same_text(&self.password, &other.password)
            && self.host.equivalent(&other.host)
            && self.port == other.port
            && params_agree(&self.params, &other.params, &["user", "ttl", "method", "maddr", "transport"])
            && headers_agree(self.headers.as_deref(), other.headers.as_deref())
    }
}

/// `;name=value` without white space, as URIs have them.
fn parse_params(mut text: &[u8]) -> Result<Params, Malformed> {
    let malformed = Malformed { what: "URI parameter" };
    let mut params = Params::default();
    while let [b';', rest @ ..] = text {
        let end = rest.iter().position(|b| *b == b';').unwrap_or(rest.len());
        let (one, tail) = rest.split_at(end);
        let equals = one.iter().position(|b| *b == b'=');
        let (name, value) = (&one[..equals.unwrap_or(one.len())], equals.map(|e| &one[e + 1..]));
        if name.is_empty() || !escaped_text(name, is_param) || !value.is_none_or(|v| escaped_text(v, is_param)) {
            return Err(malformed);
        }
        params.0.push((text_of(name), value.map(text_of)));
        text = tail;
    }
    if text.is_empty() { Ok(params) } else { Err(malformed) }
}

fn parse_tel(text: &[u8]) -> Result<Uri, Malformed> {
    let semicolon = text.iter().position(|b| *b == b';').unwrap_or(text.len());
    let (number, params) = text.split_at(semicolon);
    let digits = |b: u8| b.is_ascii_hexdigit() || b"-.()*#+".contains(&b);
    let number = whole("tel URI", number, take_while1(digits))?;
    Ok(Uri::Tel { number: text_of(number), params: parse_params(params)? })
}

/// A parameter in both must be equal; one in `decisive` must be in both or in none.
fn params_agree(a: &Params, b: &Params, decisive: &[&str]) -> bool {
    let agree = |a: &Params, b: &Params| {
        a.0.iter().all(|(name, value)| match b.get(&unescape_percent(name)) {
            Some(other) => {
                unescape_percent(value.as_deref().unwrap_or("")).eq_ignore_ascii_case(&unescape_percent(other))
            }
            None => !decisive.iter().any(|d| d.eq_ignore_ascii_case(name)),
        })
    };
    agree(a, b) && agree(b, a)
}

fn headers_agree(a: Option<&str>, b: Option<&str>) -> bool {
    let sorted = |h: Option<&str>| {
        let mut all: Vec<String> = h.unwrap_or("").split('&').map(unescape_percent).collect();
        all.sort();
        all
    };
    sorted(a) == sorted(b)
}

/// Decodes `%` escapes once.
fn unescape_percent(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match rest {
            [b'%', high, low, behind @ ..] if digit(*high).is_some() && digit(*low).is_some() => {
                plain.push(digit(*high).unwrap_or(0) << 4 | digit(*low).unwrap_or(0));
                rest = behind;
            }
            _ => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    decode(&plain).into_owned()
}

fn escape_user(user: &str) -> String {
    let mut escaped = String::with_capacity(user.len());
    for b in user.bytes() {
        match b {
            b'#' => escaped.push_str("%23"),
            b if is_user(b) => escaped.push(char::from(b)),
            b => escaped.push_str(&format!("%{b:02X}")),
        }
    }
    escaped
}

impl std::str::FromStr for Uri {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Uri, Malformed> {
        Uri::parse(text.as_bytes())
    }
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secure { "sips:" } else { "sip:" })?;
        if let Some(user) = &self.user {
            f.write_str(user)?;
            if let Some(password) = &self.password {
                write!(f, ":{password}")?;
            }
            f.write_str("@")?;
        }
        write!(f, "{}", self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)?;
        if let Some(headers) = &self.headers {
            write!(f, "?{headers}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Uri::Sip(sip) => write!(f, "{sip}"),
            Uri::Tel { number, params } => write!(f, "tel:{number}{params}"),
            Uri::Other { scheme, rest } => write!(f, "{scheme}:{rest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Uri {
        let uri: Uri = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(uri.to_string(), text, "prints as it was read");
        uri
    }

    #[test]
    fn parts_are_taken_apart_and_printed_as_they_were() {
        let uri = check("sips:alice:secret@example.com:5061;transport=tcp;lr?Subject=x&Priority=urgent");
        let sip = uri.as_sip().unwrap();
        assert_eq!(
            (sip.user.as_deref(), sip.password.as_deref(), sip.port),
            (Some("alice"), Some("secret"), Some(5061))
        );
        assert_eq!(uri.transport(), Some(Transport::Tls), "RFC 5630 3.1.3: below it is TCP");
        assert!(uri.has_param("LR"));
        assert_eq!(check("sip:[2001:db8::1]:5070").address(), "[2001:db8::1]:5070".parse().ok());
        assert_eq!(check("tel:+1-201-555-0123;phone-context=example").user().as_deref(), Some("+12015550123"));
        assert_eq!(check("sip:user;par=u%40example.net@example.com").user().as_deref(), Some("user;par=u@example.net"));
        assert_eq!(check("sip:null-%00-null@example.com").user().as_deref(), Some("null-\0-null"));
    }

    #[test]
    fn escapes_are_decoded_once_only() {
        assert_eq!(check("sip:%2541@h").user().as_deref(), Some("%41"));
        assert_eq!(Uri::sip(Some("*21#"), Host::Name("h".into()), None).to_string(), "sip:*21%23@h");
        assert_eq!(Uri::sip(Some("a b@c"), Host::Name("h".into()), None).to_string(), "sip:a%20b%40c@h");
    }

    #[test]
    fn what_is_no_uri_is_refused() {
        for text in [
            "",
            ":",
            "sip:",
            "sip:@h",
            "sip:a@",
            "sip:a@h:",
            "sip:a@h:65536",
            "sip:a b@h",
            "sip:a@h;",
            "sip:a@h;=x",
            "sip:%4@h",
            "sip:a@h; lr",
            "<sip:a@h>",
            "sip:a@h?",
            "sip:a@[::1",
            "sip:a@ h",
            "1x:y",
            "tel:",
            "tel:abcxyz",
            "http:",
            "sip:a@h@i",
        ] {
            assert!(text.parse::<Uri>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn equivalence_follows_rfc_3261_19_1_4() {
        let same = |a: &str, b: &str| check(a).equivalent(&check(b));
        assert!(same("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp"));
        assert!(same("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"));
        assert!(same("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"));
        assert!(same(
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com"
        ));
        assert!(same(
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x"
        ));
        assert!(!same(
            "SIP:ALICE@AtLanTa.CoM;Transport=udp".to_lowercase().as_str(),
            "sip:Alice@atlanta.com;transport=udp"
        ));
        assert!(!same("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"));
        assert!(!same("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"));
        assert!(!same("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"));
        assert!(!same("sip:a@h", "sips:a@h"));
    }
}
