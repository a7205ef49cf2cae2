//! Certificates of `[sip]`, and the tables `[tls]` and `[dns]`.

use super::findings::Finding;
use super::section::{Lowering, Section, Text, Value};
use super::{ClientCertificate, Dns, Listener, Password, Tls, tables, values};
use crate::sip::{Host, Transport, Uri};

/// Who we are and whom we believe. `sip` is asked for `certificate` and `key`.
pub(super) fn tls(
    sip: &mut Section<'_>,
    section: Option<Section<'_>>,
    listen: Option<&[Listener]>,
    lowering: &mut Lowering<'_>,
) -> Option<Tls> {
    let place = sip.place.clone();
    let certificate = sip.get("certificate").map(|value| pem(value, "CERTIFICATE", "a certificate", lowering));
    let key = sip.get("key").map(|value| pem(value, "PRIVATE KEY", "a private key", lowering));
    let listens = listen.is_some_and(|all| all.iter().any(|l| l.transport == Transport::Tls));
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate?, Password(key?))),
        (None, None) if !listens => None,
        (certificate, _) => {
            let missing = if certificate.is_none() { "certificate" } else { "key" };
            let finding = Finding::error("C0005", &place, format!("[sip] needs a key \"{missing}\""));
            let why = "TLS needs certificate = \"FILE.pem\" and key = \"FILE.pem\"";
            lowering.push(finding.label(format!("\"{missing}\" is missing")).help(why));
            return None;
        }
    };
    let Some(mut section) = section else { return Some(Tls { identity, ..Tls::default() }) };
    let authorities = section.get("authorities").map(|value| pem(value, "CERTIFICATE", "a certificate", lowering));
    let known = [
        ("off", ClientCertificate::Off),
        ("optional", ClientCertificate::Optional),
        ("required", ClientCertificate::Required),
    ];
    let client_certificate = match section.get("client-certificate") {
        Some(value) => lowering
            .text(value)
            .and_then(|text| tables::choice(&text, &known, "C0023", "way to treat client certificates", lowering)),
        None => Some(ClientCertificate::Off),
    };
    section.finish(lowering);
    let authorities = match authorities {
        Some(authorities) => Some(authorities?),
        None => None,
    };
    Some(Tls { identity, authorities, client_certificate: client_certificate? })
}

/// A SIP address of a peer that some listener can reach: answers and requests of the peer come back to the
/// listener of the same transport and family.
pub(super) fn reachable(text: &Text, listen: Option<&[Listener]>, lowering: &mut Lowering<'_>) -> Option<Uri> {
    let uri = values::sip_uri(text, lowering)?;
    let transport = uri.transport().or_else(|| {
        // RFC 3263 4.1: UDP is meant unless DNS may choose.
        let sip = uri.as_sip()?;
        (sip.port.is_some() || matches!(sip.host, Host::Ip(_))).then_some(Transport::Udp)
    });
    let family = uri.address().map(|address| address.is_ipv4());
    let fits = |l: &Listener| {
        transport.is_none_or(|t| t == l.transport) && family.is_none_or(|is_ipv4| is_ipv4 == l.address.is_ipv4())
    };
    if listen.is_some_and(|all| !all.iter().any(fits)) {
        let word = transport.unwrap_or(Transport::Udp).word();
        let version = match family {
            Some(true) => " with IPv4",
            Some(false) => " with IPv6",
            None => "",
        };
        let finding = Finding::error("C0107", &text.place, format!("no listener of [sip] is {word}{version}"));
        lowering.push(finding.help(format!("add \"{word}:ADDR:PORT\" to listen, or write another transport")));
        return None;
    }
    Some(uri)
}

/// The text of a PEM file with a section of this kind in it.
fn pem(value: Value<'_>, kind: &str, what: &str, lowering: &mut Lowering<'_>) -> Option<String> {
    let path = lowering.text(value)?;
    let text = match lowering.reader.file(&path.text) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("cannot read {}: {error}", path.text);
            lowering.push(Finding::error("C0104", &path.place, message));
            return None;
        }
    };
    let begins = |line: &str| line.starts_with("-----BEGIN ") && line.trim_end().ends_with(&format!("{kind}-----"));
    if !text.lines().any(begins) {
        let finding = Finding::error("C0104", &path.place, format!("{} has no PEM text of {what}", path.text));
        lowering.push(finding.help(format!("it must have a line -----BEGIN {kind}-----")));
        return None;
    }
    Some(text)
}

/// `[dns]`
pub(super) fn dns(section: Option<Section<'_>>, lowering: &mut Lowering<'_>) -> Option<Dns> {
    let Some(mut section) = section else { return Some(Dns::default()) };
    let servers = section.get("servers").map(|value| {
        let texts = lowering.list(value)?;
        let servers: Vec<_> = texts.iter().map(|text| values::name_server(text, lowering)).collect();
        servers.into_iter().collect::<Option<Vec<_>>>()
    });
    section.finish(lowering);
    match servers {
        Some(servers) => Some(Dns { servers: servers? }),
        None => Some(Dns::default()),
    }
}
