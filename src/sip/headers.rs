//! Header fields with a meaning, parsed on demand and printed by `Display`.

use super::grammar::{
    Parsed, host, is_space, is_token, number, parameters, port, quoted, separator, space, text_of, token, trim,
    unescape, whole,
};
use super::message::{Method, decode};
use super::parser::split_list;
use super::uri::{Host, Params, Uri};
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::take_while1;
use nom::character::complete::char as byte;
use nom::combinator::{map_res, recognize};
use nom::multi::many0_count;
use nom::sequence::{delimited, preceded, terminated};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A value that does not follow its grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {what}")]
pub struct Malformed {
    /// What was to be read: the name of the production or header field.
    pub what: &'static str,
}

/// `From`, `To`, `Contact`, `Route`, ...: a display name, a URI, and parameters (RFC 3261 20.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr {
    /// The display name, unquoted; Latin-1 bytes decoded.
    pub display: Option<String>,
    /// The address.
    pub uri: Uri,
    /// Parameters of the field.
    pub params: Params,
}

impl NameAddr {
    /// A bare address.
    pub fn new(uri: Uri) -> NameAddr {
        NameAddr { display: None, uri, params: Params::default() }
    }

    /// With a display name; an empty one is none.
    #[must_use]
    pub fn with_display(mut self, display: Option<&str>) -> NameAddr {
        self.display = display.filter(|d| !d.is_empty()).map(str::to_owned);
        self
    }

    /// With this tag.
    #[must_use]
    pub fn with_tag(mut self, tag: &str) -> NameAddr {
        self.params.set("tag", Some(tag.to_owned()));
        self
    }

    /// The tag; `None` also for an empty one.
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }

    /// The preference (`q`, RFC 3261 20.10) in thousandths; 1000 without one, and for one that cannot be read.
    pub fn q_thousandths(&self) -> u16 {
        let Some(text) = self.params.get("q").map(str::trim) else { return 1000 };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = format!("{fraction:0<3}");
        match (whole, digits.get(..3).and_then(|d| d.parse::<u16>().ok())) {
            ("0" | "", Some(q)) => q,
            _ => 1000,
        }
    }

    /// Reads one value.
    pub fn parse(value: &[u8]) -> Result<NameAddr, Malformed> {
        // "If the URI contains a comma, question mark or semicolon, the URI MUST be enclosed" (RFC 3261 20).
        let bare = map_res(take_while1(|b: u8| !is_space(b) && !b";,?<>\"".contains(&b)), Uri::parse);
        let address = alt(((display_name, enclosed_uri), bare.map(|uri| (None, uri))));
        let value_of = |((display, uri), params, _)| NameAddr { display, uri, params };
        whole("address", value, (address, parameters, space).map(value_of))
    }

    /// Reads a list of values.
    pub fn parse_list(value: &[u8]) -> Result<Vec<NameAddr>, Malformed> {
        split_list(value).map(NameAddr::parse).collect()
    }
}

/// A quoted string, or tokens, or nothing. Other characters without quotes are an error of the peer
/// (RFC 4475 3.1.2.15).
fn display_name(input: &[u8]) -> Parsed<'_, Option<String>> {
    let in_quotes = terminated(quoted, space).map(|inside| Some(unescape(inside)));
    let tokens = recognize(many0_count((token, space))).map(|words: &[u8]| {
        let words: Vec<String> = words.split(|b| is_space(*b)).filter(|w| !w.is_empty()).map(text_of).collect();
        (!words.is_empty()).then(|| words.join(" "))
    });
    alt((in_quotes, tokens)).parse(input)
}

/// Everything between the brackets is the URI; white space there is refused with it (RFC 4475 3.1.2.14).
fn enclosed_uri(input: &[u8]) -> Parsed<'_, Uri> {
    delimited(byte('<'), map_res(take_while1(|b: u8| b != b'>'), Uri::parse), byte('>')).parse(input)
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            write!(f, "{} ", Quoted(display))?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

/// A text in quotes, escaped where needed.
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '\r' | '\n' => f.write_str(" ")?,
                '"' | '\\' | '\0'..='\x1f' | '\x7f' => write!(f, "\\{c}")?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

/// One Via value (RFC 3261 20.42).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// Protocol version, `2.0`.
    pub version: String,
    /// `UDP`, `TCP`, ..., in upper case.
    pub transport: String,
    /// The host of sent-by.
    pub host: Host,
    /// The port of sent-by, when one is written.
    pub port: Option<u16>,
    /// Parameters.
    pub params: Params,
}

impl Via {
    /// What marks a branch as unique by RFC 3261 8.1.1.7.
    pub const COOKIE: &'static str = "z9hG4bK";

    /// Reads one value.
    pub fn parse(value: &[u8]) -> Result<Via, Malformed> {
        let protocol = (token, separator('/'), token, separator('/'), token, take_while1(is_space));
        let via = (protocol, host, port, parameters, space).map(|(protocol, host, port, params, _)| Via {
            version: text_of(protocol.2),
            transport: decode(protocol.4).to_ascii_uppercase(),
            host,
            port,
            params,
        });
        whole("Via", value, via)
    }

    /// The branch, if it is one by RFC 3261: with the cookie and something behind it.
    pub fn unique_branch(&self) -> Option<&str> {
        // RFC 4475 3.2.1: the bare cookie identifies nothing; fall back to RFC 2543 matching.
        self.params.get("branch").filter(|b| b.len() > Via::COOKIE.len() && b.starts_with(Via::COOKIE))
    }

    /// Where a response over UDP goes (RFC 3261 18.2.2, RFC 3581 4); `None` for a host name that
    /// would need a resolver.
    pub fn response_address(&self) -> Option<SocketAddr> {
        let ip = |text: &str| match Host::from_text(text) {
            Host::Ip(ip) => Some(ip),
            Host::Name(_) => None,
        };
        let sent_by = self.port_or_default();
        // maddr is for multicast (18.1.1); a host that anybody may name would get what it never asked for.
        if let Some(maddr) = self.params.get("maddr").and_then(ip).filter(IpAddr::is_multicast) {
            return Some(SocketAddr::new(maddr, sent_by));
        }
        let own: Option<IpAddr> = match self.host {
            Host::Ip(ip) => Some(ip),
            Host::Name(_) => None,
        };
        let address = self.params.get("received").and_then(ip).or(own)?;
        let port = self.params.get("rport").and_then(|p| p.parse().ok()).unwrap_or(sent_by);
        Some(SocketAddr::new(address, port))
    }
}

impl Via {
    /// The port of sent-by (RFC 3261 18.2.2: "the default port for the transport").
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(if self.transport == "TLS" { 5061 } else { 5060 })
    }

    /// Where the sender of a request listens (RFC 3261 18.2.2): `received`, or sent-by, with its port.
    pub fn listening_address(&self) -> Option<SocketAddr> {
        let mut fixed = self.clone();
        fixed.params.remove("rport");
        fixed.params.remove("maddr");
        fixed.response_address()
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/{}/{} {}", self.version, self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)
    }
}

/// CSeq (RFC 3261 20.16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// The sequence number.
    pub number: u32,
    /// The method.
    pub method: Method,
}

impl CSeq {
    /// Reads one.
    pub fn parse(value: &[u8]) -> Result<CSeq, Malformed> {
        let cseq = (number::<u32>, take_while1(is_space), token);
        whole(
            "CSeq",
            value,
            cseq.map(|(number, _, method)| CSeq { number, method: Method::from_token(&decode(method)) }),
        )
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

/// Reason (RFC 3326): `Q.850;cause=16;text="..."`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// `SIP`, `Q.850` or another protocol.
    pub protocol: String,
    /// The cause.
    pub cause: Option<u32>,
    /// The text, unquoted.
    pub text: Option<String>,
    /// For Q.850: where the release was decided, `U`, `LN`, `BI`... (RFC 8606).
    pub location: Option<String>,
}

impl Reason {
    /// A Q.850 cause.
    pub fn q850(cause: u32) -> Reason {
        Reason { protocol: "Q.850".to_owned(), cause: Some(cause), text: None, location: None }
    }

    /// A SIP status.
    pub fn sip(status: u16) -> Reason {
        Reason { protocol: "SIP".to_owned(), cause: Some(u32::from(status)), text: None, location: None }
    }

    /// With a text.
    #[must_use]
    pub fn with_text(mut self, text: &str) -> Reason {
        self.text = Some(text.to_owned());
        self
    }

    /// With where it was decided.
    #[must_use]
    pub fn at(mut self, location: &str) -> Reason {
        self.location = Some(location.to_owned());
        self
    }

    /// Reads one value.
    pub fn parse(value: &[u8]) -> Result<Reason, Malformed> {
        let (protocol, params, _) = whole("Reason", value, (token, parameters, space))?;
        Ok(Reason {
            protocol: text_of(protocol),
            cause: params.get("cause").and_then(|c| c.parse().ok()),
            text: params.unquoted("text"),
            location: params.get("location").map(str::to_owned),
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.protocol)?;
        if let Some(cause) = self.cause {
            write!(f, ";cause={cause}")?;
        }
        if let Some(text) = &self.text {
            write!(f, ";text={}", Quoted(text))?;
        }
        match &self.location {
            Some(location) => write!(f, ";location={location}"),
            None => Ok(()),
        }
    }
}

/// A number with parameters behind it: Session-Expires, Min-SE (RFC 4028 4 and 5), Retry-After.
pub(super) fn split_params<N: std::str::FromStr>(value: &[u8]) -> Option<(N, Params)> {
    whole("number", value, (number::<N>, parameters, space)).ok().map(|(number, params, _)| (number, params))
}

/// A parameter behind the first part of a value (`multipart/mixed;boundary="x"`), unquoted.
pub(super) fn unquoted_parameter(value: &[u8], name: &str) -> Option<String> {
    let at = value.iter().position(|b| *b == b';')?;
    let (params, _) = whole("parameters", value.get(at..)?, (parameters, space)).ok()?;
    params.unquoted(name)
}

/// A challenge or credentials: a scheme and its comma-separated parameters (RFC 3261 25.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthParams {
    /// `Digest`, or another scheme.
    pub scheme: String,
    /// Parameters, unquoted.
    pub params: Params,
}

impl AuthParams {
    /// Reads one field value.
    pub fn parse(value: &[u8]) -> Result<AuthParams, Malformed> {
        let malformed = Malformed { what: "authentication" };
        let value = trim(value);
        let end = value.iter().position(|b| !is_token(*b)).unwrap_or(value.len());
        let (scheme, rest) = value.split_at(end);
        if scheme.is_empty() {
            return Err(malformed);
        }
        let mut params = Params::default();
        for item in split_list(rest) {
            let text = alt((quoted.map(unescape), take_while1(|b: u8| !is_space(b) && b != b'"').map(text_of)));
            let (name, value) = whole("authentication", item, (token, preceded(separator('='), text)))?;
            params.0.push((text_of(name), Some(value)));
        }
        Ok(AuthParams { scheme: text_of(scheme), params })
    }

    /// A parameter, unquoted.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.params.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_all_their_forms() {
        let check = |text: &str, display: Option<&str>, uri: &str, tag: Option<&str>| {
            let address = NameAddr::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(
                (address.display.as_deref(), address.uri.to_string().as_str(), address.tag()),
                (display, uri, tag),
                "{text}"
            );
        };
        check("sip:a@h;tag=1", None, "sip:a@h", Some("1"));
        check("<sip:a@h;x=1>;tag=1", None, "sip:a@h;x=1", Some("1"));
        check("\"A \\\"B\\\" <c>\" <sip:a@h>", Some("A \"B\" <c>"), "sip:a@h", None);
        check("caller<sip:a@h>;tag=323", Some("caller"), "sip:a@h", Some("323"));
        check("J  Rosenberg\r\n <sip:a@h> ;\r\n tag\t= 9", Some("J Rosenberg"), "sip:a@h", Some("9"));
        check("isbn:2983792873", None, "isbn:2983792873", None);
        check("<tel:+123;x=y>;tag=", None, "tel:+123;x=y", None);
        for bad in [
            "",
            "<>",
            "sip:a@h?x=y",
            "\"a <sip:a@h>",
            "A, B <sip:a@h>",
            "< sip:a@h>",
            "<sip:a@h >",
            "<sip:a@h>;;",
            "<sip:a@h>;",
            "<sip:a@h> x",
            "<sip:a@h",
            "A.\u{e9} <sip:a@h>",
        ] {
            assert!(NameAddr::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_printed_address_reads_back_as_the_same() {
        let address = NameAddr::new("sip:a@h".parse().unwrap()).with_display(Some("q\"\\\u{1}é")).with_tag("t");
        assert_eq!(NameAddr::parse(address.to_string().as_bytes()), Ok(address));
    }

    #[test]
    fn responses_go_where_via_says() {
        let address = |via: &str| Via::parse(via.as_bytes()).unwrap().response_address().map(|a| a.to_string());
        assert_eq!(address("SIP/2.0/UDP 10.0.0.1").as_deref(), Some("10.0.0.1:5060"));
        assert_eq!(address("SIP/2.0/UDP h:5070;received=10.0.0.2").as_deref(), Some("10.0.0.2:5070"));
        assert_eq!(address("SIP/2.0/UDP h:5070;received=10.0.0.2;rport=99").as_deref(), Some("10.0.0.2:99"));
        assert_eq!(address("SIP/2.0/UDP [::1]:6;received=::2").as_deref(), Some("[::2]:6"));
        assert_eq!(address("SIP/2.0/UDP h;maddr=224.2.0.1;ttl=1;received=10.0.0.2").as_deref(), Some("224.2.0.1:5060"));
        assert_eq!(address("SIP/2.0/UDP h;maddr=10.0.0.3;received=10.0.0.2").as_deref(), Some("10.0.0.2:5060"));
        assert_eq!(address("SIP/2.0/UDP h"), None);
    }

    #[test]
    fn scalars_that_do_not_fit_are_refused() {
        assert!(CSeq::parse(b"4294967295 INVITE").is_ok());
        assert!(CSeq::parse(b"4294967296 INVITE").is_err());
        assert!(CSeq::parse(b"-1 INVITE").is_err());
        assert!(Via::parse(b"SIP/2.0/UDP h:70000").is_err());
        assert!(Via::parse(b"SIP/2.0/UDP h:0").is_err());
    }

    #[test]
    fn reasons_and_credentials_are_read_with_their_quotes() {
        let reason = Reason::parse(b"Q.850 ;cause=16;text=\"Normal; really, \\\"ok\\\"\"").unwrap();
        assert_eq!(reason, Reason::q850(16).with_text("Normal; really, \"ok\""));
        assert_eq!(Reason::parse(reason.to_string().as_bytes()), Ok(reason));
        let located = Reason::parse(b"Q.850;cause=1;text=\"x\";location=LN").unwrap();
        assert_eq!(located, Reason::q850(1).with_text("x").at("LN"));
        assert_eq!(Reason::parse(located.to_string().as_bytes()), Ok(located));
        let digest = AuthParams::parse(b"Digest username=\"a,b\", qop=auth,\r\n nc = 00000001,response=\"x\"").unwrap();
        assert_eq!(
            (digest.get("username"), digest.get("NC"), digest.get("qop")),
            (Some("a,b"), Some("00000001"), Some("auth"))
        );
    }
}
