//! URIs: `sip:`, `sips:` and `tel:` taken apart, any other scheme kept as text.
//!
//! Parts are kept as they stand on the wire, `%` escapes included (RFC 3261 19.1.4 compares them
//! decoded); [`Uri::user`] decodes once and never twice (RFC 4475 3.1.1.3).

use std::net::IpAddr;

/// Parameters `;name=value` in order, of a URI or of a header field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Params(pub Vec<(String, Option<String>)>);

/// A host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A domain name, as it was spelled.
    Name(String),
    /// An address.
    Ip(IpAddr),
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
