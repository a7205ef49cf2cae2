//! Texts of the configuration that mean addresses, ports and numbers.

use super::findings::Finding;
use super::section::{Lowering, Text, Value};
use super::{Listener, Prefix};
use crate::limits::DIGITS_MAX;
use crate::sip::{Host, Transport, Uri};
use std::net::{IpAddr, SocketAddr};

/// `udp:127.0.0.1:5060`
pub(super) fn listener(text: &Text, lowering: &mut Lowering<'_>) -> Option<Listener> {
    let Some((scheme, address)) = text.text.split_once(':') else {
        let finding = Finding::error("C0011", &text.place, format!("\"{}\" is no listener", text.text));
        lowering.push(finding.help("write it like \"udp:127.0.0.1:5060\""));
        return None;
    };
    let transport = match scheme {
        "udp" => Transport::Udp,
        "tcp" => Transport::Tcp,
        "tls" => Transport::Tls,
        _ => {
            let place = text.part(0, scheme.len());
            let finding = Finding::error("C0011", &place, format!("there is no transport \"{scheme}\""));
            lowering.push(finding.help("there are udp, tcp and tls"));
            return None;
        }
    };
    let address = socket_address(text, scheme.len() + 1, address, lowering)?;
    Some(Listener { transport, address })
}

/// `127.0.0.1:5060`, which stands at byte `at` of `text`.
fn socket_address(text: &Text, at: usize, address: &str, lowering: &mut Lowering<'_>) -> Option<SocketAddr> {
    let Some((host, port)) = address.rsplit_once(':').filter(|(host, _)| !host.ends_with(':')) else {
        let place = text.part(at, at + address.len());
        let finding = Finding::error("C0011", &place, format!("\"{address}\" is no address with a port"));
        lowering.push(finding.help("write it like 127.0.0.1:5060 or [::1]:5060"));
        return None;
    };
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let place = text.part(at, at + host.len());
    let ip = ip_address(bare, &place, lowering);
    let port_place = text.part(at + host.len() + 1, at + address.len());
    let port = port_number(port, &port_place, lowering);
    Some(SocketAddr::new(ip?, port?))
}

fn ip_address(host: &str, place: &super::Place, lowering: &mut Lowering<'_>) -> Option<IpAddr> {
    let address = host.parse().ok();
    if address.is_none() {
        let looks_like_a_name = host.chars().any(|c| c.is_ascii_alphabetic()) && !host.contains(':');
        let finding = Finding::error("C0011", place, format!("\"{host}\" is no IP address"));
        lowering.push(match looks_like_a_name {
            true => finding.label("a host name cannot stand here").help("write the address in numbers"),
            false => finding.label("four numbers from 0 to 255, or an IPv6 address"),
        });
    }
    address
}

fn port_number(port: &str, place: &super::Place, lowering: &mut Lowering<'_>) -> Option<u16> {
    let number = port.parse::<u16>().ok().filter(|&p| p > 0);
    if number.is_none() {
        let finding = Finding::error("C0012", place, format!("\"{port}\" is no port"));
        lowering.push(finding.label("from 1 to 65535"));
    }
    number
}

/// `sip:127.0.0.3:5080`, `sip:carrier.example`, `sip:127.0.0.3;transport=tcp`, `sips:carrier.example`
pub(super) fn sip_uri(text: &Text, lowering: &mut Lowering<'_>) -> Option<Uri> {
    let (scheme, rest) = text.text.split_once(':').unwrap_or(("", ""));
    if !matches!(scheme, "sip" | "sips") {
        let finding = Finding::error("C0011", &text.place, format!("\"{}\" is no SIP address", text.text));
        lowering.push(finding.help("write it like \"sip:192.0.2.1:5060\" or \"sip:carrier.example\""));
        return None;
    }
    let at = scheme.len() + 1;
    let (address, parameters) = rest.split_once(';').unwrap_or((rest, ""));
    let transport = match parameters.to_ascii_lowercase().as_str() {
        "" => None,
        "transport=udp" if scheme == "sip" => Some(Transport::Udp),
        "transport=tcp" => Some(Transport::Tcp),
        "transport=tls" => Some(Transport::Tls),
        _ => {
            let place = text.part(text.text.len() - parameters.len(), text.text.len());
            let finding = Finding::error("C0011", &place, "unknown parameter of a SIP address");
            lowering.push(finding.help("there are transport=udp, transport=tcp and transport=tls"));
            return None;
        }
    };
    let has_port = address.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'));
    let (host, port) = match address.rsplit_once(':').filter(|_| has_port) {
        Some((host, port)) => {
            let place = text.part(at + host.len() + 1, at + address.len());
            (host, Some(port_number(port, &place, lowering)?))
        }
        None => (address, None),
    };
    let place = text.part(at, at + host.len());
    let host = if is_host_name(host) {
        Host::Name(host.to_ascii_lowercase())
    } else {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        Host::Ip(ip_address(bare, &place, lowering)?)
    };
    if matches!(host, Host::Ip(ip) if ip.is_unspecified() || ip.is_multicast()) {
        lowering.push(Finding::error("C0011", &text.place, "calls cannot be sent to this address"));
        return None;
    }
    let Uri::Sip(mut uri) = Uri::sip(None, host, port) else { return None };
    uri.secure = scheme == "sips";
    if let Some(transport) = transport {
        uri.params.set("transport", Some(transport.word().to_owned()));
    }
    Some(Uri::Sip(uri))
}

/// RFC 3261 25.1: labels of letters, digits and hyphens; the last one begins with a letter.
fn is_host_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let top_is_name = name.rsplit('.').next().is_some_and(|top| top.starts_with(|c: char| c.is_ascii_alphabetic()));
    name.len() <= 253 && top_is_name && name.split('.').all(label)
}

/// `127.0.0.0/8`, `192.0.2.1`
pub(super) fn prefix(text: &Text, lowering: &mut Lowering<'_>) -> Option<Prefix> {
    let (address, bits) = match text.text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text.text.as_str(), None),
    };
    let ip = ip_address(address, &text.part(0, address.len()), lowering)?;
    let width = if ip.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => width,
        Some(bits) => match bits.parse::<u8>().ok().filter(|&bits| bits <= width) {
            Some(bits) => bits,
            None => {
                let place = text.part(address.len() + 1, text.text.len());
                let finding = Finding::error("C0011", &place, format!("\"{bits}\" is no prefix length"));
                lowering.push(finding.label(format!("from 0 to {width}")));
                return None;
            }
        },
    };
    Some(Prefix { address: ip, bits })
}

/// An address that packets can be sent to, or two: one of IPv4 and one of IPv6.
pub(super) fn unicasts(value: Value<'_>, lowering: &mut Lowering<'_>) -> Option<(IpAddr, Option<IpAddr>)> {
    let texts = lowering.texts(value)?;
    let addresses: Vec<Option<IpAddr>> = texts.iter().map(|text| unicast(text, lowering)).collect();
    let addresses: Vec<IpAddr> = addresses.into_iter().collect::<Option<_>>()?;
    match addresses.as_slice() {
        [only] => Some((*only, None)),
        [first, second] if first.is_ipv4() != second.is_ipv4() => Some((*first, Some(*second))),
        _ => {
            let finding = Finding::error("C0011", &value.place(), "these addresses are not one of each family");
            lowering.push(finding.help("write one address, or one of IPv4 and one of IPv6"));
            None
        }
    }
}

fn unicast(text: &Text, lowering: &mut Lowering<'_>) -> Option<IpAddr> {
    let address = ip_address(&text.text, &text.part(0, text.text.len()), lowering)?;
    if address.is_unspecified() || address.is_multicast() {
        let finding = Finding::error("C0011", &text.place, "peers cannot send to this address");
        lowering.push(finding.help("write the address that peers reach you at"));
        return None;
    }
    Some(address)
}

/// `127.0.0.1:53`, or without a port 53.
pub(super) fn name_server(text: &Text, lowering: &mut Lowering<'_>) -> Option<SocketAddr> {
    if let Ok(ip) = text.text.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, 53));
    }
    socket_address(text, 0, &text.text, lowering)
}

/// `192.0.2.1:2905`, `[2001:db8::1]:2905`
pub(super) fn address(text: &Text, lowering: &mut Lowering<'_>) -> Option<SocketAddr> {
    socket_address(text, 0, &text.text, lowering)
}

/// A host name or address for URIs and challenges.
pub(super) fn host(value: Value<'_>, lowering: &mut Lowering<'_>) -> Option<String> {
    let text = lowering.text(value)?;
    let good = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
    if text.text.is_empty() || !text.text.chars().all(good) {
        lowering.push(Finding::error("C0011", &text.place, format!("\"{}\" is no domain", text.text)));
        return None;
    }
    Some(text.text)
}

/// `20000-29999`
pub(super) fn port_range(value: Value<'_>, lowering: &mut Lowering<'_>) -> Option<(u16, u16)> {
    let text = lowering.text(value)?;
    let Some((first, last)) = text.text.split_once('-') else {
        let finding = Finding::error("C0013", &text.place, format!("\"{}\" is no range of ports", text.text));
        lowering.push(finding.help("write it like \"20000-29999\""));
        return None;
    };
    let first_port = port_number(first.trim(), &text.part(0, first.len()), lowering);
    let last_port = port_number(last.trim(), &text.part(first.len() + 1, text.text.len()), lowering);
    let (first_port, last_port) = (first_port?, last_port?);
    if first_port > last_port {
        let finding = Finding::error("C0013", &text.place, "this range runs backwards");
        lowering.push(finding.help(format!("did you mean \"{last_port}-{first_port}\"?")));
        return None;
    }
    if first_port % 2 == 1 {
        // RFC 3550 section 11: RTP uses an even port and RTCP the next higher, odd one.
        let finding = Finding::error("C0013", &text.part(0, first.len()), "the first port for RTP must be even");
        lowering.push(finding.help(format!("write \"{}-{last_port}\"", first_port.saturating_add(1))));
        return None;
    }
    if last_port - first_port < 3 {
        let finding = Finding::error("C0013", &text.place, "this range is too small for one call");
        lowering.push(finding.help("a call between two SIP peers needs four ports"));
        return None;
    }
    Some((first_port, last_port))
}

/// Digits, `*`, `#`, a leading `+`.
pub(super) fn number(value: Value<'_>, lowering: &mut Lowering<'_>) -> Option<Text> {
    let text = lowering.text(value)?;
    let digits = text.text.strip_prefix('+').unwrap_or(&text.text);
    let good = |c: char| c.is_ascii_digit() || c == '*' || c == '#';
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.chars().all(good) {
        let finding = Finding::error("C0020", &text.place, format!("\"{}\" is no number", text.text));
        lowering.push(finding.label(format!("up to {DIGITS_MAX} digits, * and #, with + in front or not")));
        return None;
    }
    Some(text)
}
