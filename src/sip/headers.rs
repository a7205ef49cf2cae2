//! Header fields with a meaning, parsed on demand.

use super::message::Method;
use super::uri::{Host, Params, Uri};

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

/// CSeq (RFC 3261 20.16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// The sequence number.
    pub number: u32,
    /// The method.
    pub method: Method,
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
}

/// A value that does not follow its grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {what}")]
pub struct Malformed {
    /// What was to be read: the name of the production or header field.
    pub what: &'static str,
}

impl NameAddr {
    /// A bare address.
    pub fn new(uri: Uri) -> NameAddr {
        NameAddr { display: None, uri, params: Params::default() }
    }
    /// Reads one value.
    pub fn parse(_value: &[u8]) -> Result<NameAddr, Malformed> {
        Err(Malformed { what: "address" })
    }
    /// Reads a list of values.
    pub fn parse_list(_value: &[u8]) -> Result<Vec<NameAddr>, Malformed> {
        Err(Malformed { what: "address" })
    }
}
impl CSeq {
    /// Reads one.
    pub fn parse(_value: &[u8]) -> Result<CSeq, Malformed> {
        Err(Malformed { what: "CSeq" })
    }
}
impl Via {
    /// Reads one value.
    pub fn parse(_value: &[u8]) -> Result<Via, Malformed> {
        Err(Malformed { what: "Via" })
    }
}
impl Reason {
    /// A Q.850 cause.
    pub fn q850(cause: u32) -> Reason {
        Reason { protocol: "Q.850".to_owned(), cause: Some(cause), text: None }
    }
    /// Reads one value.
    pub fn parse(_value: &[u8]) -> Result<Reason, Malformed> {
        Err(Malformed { what: "Reason" })
    }
}
