//! Whom a certificate is for (RFC 5922 7.1, 7.2): the names in its subjectAltName.
//!
//! Chain, time and usage are rustls's to verify; it has the rules of the web for names, with wildcards,
//! which SIP forbids, and without the URIs that SIP wants. So the few elements of DER (X.690) that
//! lead to the names are read here. The bytes come from a peer: whatever is wrong gives no name.

use std::net::IpAddr;

/// The names of a certificate that count for SIP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identities {
    /// Hosts of `sip:` URIs without user, in lower case.
    uris: Vec<String>,
    /// DNS names, in lower case.
    names: Vec<String>,
    addresses: Vec<IpAddr>,
}

/// Names of one certificate that are looked at.
const NAMES_MAX: usize = 256;

const SEQUENCE: u8 = 0x30;
const OBJECT_ID: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
/// `[3]` of a TBSCertificate: its extensions (RFC 5280 4.1).
const EXTENSIONS: u8 = 0xA3;
/// 2.5.29.17 (RFC 5280 4.2.1.6).
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 0x1D, 0x11];
const DNS_NAME: u8 = 0x82;
const URI: u8 = 0x86;
const IP_ADDRESS: u8 = 0x87;

impl Identities {
    /// Those of a certificate in DER.
    pub(super) fn of(certificate: &[u8]) -> Identities {
        let mut identities = Identities::default();
        for (tag, value) in subject_alt_names(certificate).unwrap_or_default().into_iter().take(NAMES_MAX) {
            match tag {
                DNS_NAME => identities.names.extend(text(value)),
                URI => identities.uris.extend(text(value).as_deref().and_then(sip_domain)),
                IP_ADDRESS => identities.addresses.extend(address(value)),
                _ => {}
            }
        }
        identities
    }

    /// The hosts that it is for, by which a connection may be found again (RFC 5923 8.2).
    pub(super) fn hosts(self) -> Vec<String> {
        let names = if self.uris.is_empty() { self.names } else { self.uris };
        names.into_iter().chain(self.addresses.iter().map(IpAddr::to_string)).collect()
    }

    /// RFC 5922 7.2: names are compared as a whole, without wildcards; DNS names count only when no SIP URI
    /// is there (7.1). An address is compared with the addresses.
    pub(super) fn match_domain(&self, domain: &str) -> bool {
        if let Ok(ip) = domain.parse::<IpAddr>() {
            return self.addresses.contains(&ip);
        }
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        let names = if self.uris.is_empty() { &self.names } else { &self.uris };
        names.contains(&domain)
    }
}

/// One element of DER: its tag, its content, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let digits = usize::from(first & 0x7F);
        if digits == 0 || digits > 4 || digits > rest.len() {
            return None;
        }
        let (digits, behind) = rest.split_at(digits);
        length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
        rest = behind;
    }
    (length <= rest.len()).then(|| (tag, &rest[..length], &rest[length..]))
}

/// The content of the first element, which must have this tag.
fn inside(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    element(bytes).filter(|(found, ..)| *found == tag).map(|(_, content, _)| content)
}

/// All elements in a row, up to the first that cannot be read.
fn elements(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (tag, content, rest) = element(bytes)?;
        bytes = rest;
        Some((tag, content))
    })
}

/// Tag and value of every GeneralName.
fn subject_alt_names(certificate: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let to_be_signed = inside(inside(certificate, SEQUENCE)?, SEQUENCE)?;
    let (_, extensions) = elements(to_be_signed).find(|(tag, _)| *tag == EXTENSIONS)?;
    for (_, extension) in elements(inside(extensions, SEQUENCE)?) {
        let mut parts = elements(extension);
        if parts.next() == Some((OBJECT_ID, &SUBJECT_ALT_NAME[..])) {
            let (_, value) = parts.find(|(tag, _)| *tag == OCTET_STRING)?;
            return Some(elements(inside(value, SEQUENCE)?).collect());
        }
    }
    None
}

fn text(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.is_ascii())?;
    Some(text.trim_end_matches('.').to_ascii_lowercase())
}

/// The host of a `sip:` URI without user part; other schemes and users are no domain (7.1).
fn sip_domain(uri: &str) -> Option<String> {
    let rest = uri.strip_prefix("sip:").filter(|rest| !rest.contains('@'))?;
    let end = rest.find([':', ';', '?']).unwrap_or(rest.len());
    Some(rest[..end].to_owned()).filter(|host| !host.is_empty())
}

fn address(value: &[u8]) -> Option<IpAddr> {
    if let Ok(ipv4) = <[u8; 4]>::try_from(value) {
        return Some(ipv4.into());
    }
    <[u8; 16]>::try_from(value).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn certificate(names: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    fn dns(name: &str) -> SanType {
        SanType::DnsName(name.try_into().expect("a name"))
    }

    fn uri(uri: &str) -> SanType {
        SanType::URI(uri.try_into().expect("a URI"))
    }

    #[test]
    fn rfc_5922_7_2_names_match_as_a_whole_and_without_wildcards() {
        let check = |names: Vec<SanType>, domain: &str| Identities::of(&certificate(names)).match_domain(domain);
        assert!(check(vec![dns("Example.com")], "eXample.COM."));
        assert!(!check(vec![dns("example.com")], "foo.example.com"));
        assert!(!check(vec![dns("foo.example.com")], "example.com"));
        assert!(!check(vec![dns("*.example.com")], "foo.example.com"));
        assert!(!check(Vec::new(), "example.com"));
    }

    #[test]
    fn rfc_5922_7_1_a_sip_uri_rules_out_dns_names_and_users_are_no_domain() {
        let check = |names: Vec<SanType>, domain: &str| Identities::of(&certificate(names)).match_domain(domain);
        assert!(check(vec![dns("host.example.net"), uri("SIP:example.com")], "example.com"));
        assert!(!check(vec![dns("host.example.net"), uri("sip:example.com")], "host.example.net"));
        assert!(check(vec![dns("example.com"), uri("sip:alice@example.com")], "example.com"));
        assert!(!check(vec![uri("sip:alice@example.org")], "example.org"));
        assert!(!check(vec![uri("https://example.org")], "example.org"));
    }

    #[test]
    fn an_address_is_compared_with_addresses() {
        let names = vec![SanType::IpAddress("127.0.0.1".parse().expect("an address")), dns("127.0.0.2")];
        let identities = Identities::of(&certificate(names));
        assert!(identities.match_domain("127.0.0.1"));
        assert!(!identities.match_domain("127.0.0.2"));
    }

    #[test]
    fn a_certificate_that_is_cut_or_damaged_gives_names_or_none_but_no_panic() {
        let good = certificate(vec![dns("example.com")]);
        for cut in 0..good.len() {
            let _ = Identities::of(&good[..cut]);
            let mut damaged = good.clone();
            damaged[cut] ^= 0xFF;
            let _ = Identities::of(&damaged);
        }
        assert_eq!(Identities::of(&[0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF]), Identities::default());
    }
}
