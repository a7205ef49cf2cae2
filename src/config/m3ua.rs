//! `m3ua = { ... }` of `[isup.NAME]`: how the messages of a trunk group reach the far exchange.

use super::findings::Finding;
use super::section::{Lowering, Value};
use super::tables::choice;
use super::{Prefix, values};
use crate::isup::m3ua::{Role, Settings, TrafficMode};
use crate::isup::{PointCode, Variant};
use crate::limits;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What carries M3UA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// SCTP of the kernel.
    Sctp,
    /// TCP, where the length of each message says where it ends: for tests and laboratories. RFC 4666 knows only
    /// SCTP, so nothing but another of these gateways understands it.
    Tcp,
}

/// M3UA of one trunk group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct M3ua {
    /// `role`
    pub role: Role,
    /// `transport-protocol`
    pub carrier: Carrier,
    /// `peers`: whom we call; none when they call us.
    pub peers: Vec<SocketAddr>,
    /// `listen`: where they call us.
    pub listen: Vec<SocketAddr>,
    /// `from`: who may call us there. ASPUP and ASPAC have no password; whoever may say them gets the traffic.
    pub from: Vec<Prefix>,
    /// `local`: where we call from, port 0 when any will do.
    pub local: Option<SocketAddr>,
    /// `routing-context`
    pub context: Option<u32>,
    /// `traffic-mode`
    pub mode: Option<TrafficMode>,
    /// `network-indicator`
    pub network: u8,
    /// `network-appearance`
    pub appearance: Option<u32>,
    /// `asp-identifier`
    pub asp: Option<u32>,
    /// `ack-time`, T(ack).
    pub ack: Duration,
    /// `recovery-time`, T(r).
    pub recovery: Duration,
    /// `heartbeat`, T(beat).
    pub heartbeat: Option<Duration>,
}

impl M3ua {
    /// What the core wants to know, between these exchanges; `None` when a point code has more bits than the
    /// variant.
    pub fn settings(&self, variant: Variant, own: u32, peer: u32) -> Option<Settings> {
        let (own, peer) = (PointCode::new(variant, own)?, PointCode::new(variant, peer)?);
        Some(Settings {
            role: self.role,
            variant,
            own,
            peer,
            network: self.network,
            mode: self.mode,
            context: self.context,
            appearance: self.appearance,
            asp: self.asp,
            peers: self.peers.clone(),
            ack: self.ack,
            recovery: self.recovery,
            heartbeat: self.heartbeat,
        })
    }
}

const ROLES: [(&str, Role); 3] = [("asp", Role::Asp), ("ipsp", Role::Ipsp), ("sgp", Role::Sgp)];
const CARRIERS: [(&str, Carrier); 2] = [("sctp", Carrier::Sctp), ("tcp", Carrier::Tcp)];
const ACK: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(30);
const RECOVERY: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
const HEARTBEAT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);
/// RFC 4666 4.3.4.1: the default of T(ack); T(r) has none there.
const TWO_SECONDS: Duration = Duration::from_secs(2);
/// RFC 4666 4.3.4.6: for "transport layers that do not have their own heartbeat mechanism".
const TCP_HEARTBEAT: Duration = Duration::from_secs(10);

/// The table `m3ua`.
pub(super) fn m3ua(value: Value<'_>, lowering: &mut Lowering<'_>) -> Option<M3ua> {
    let mut section = lowering.table(value, "m3ua".to_owned())?;
    let mut good = true;
    let role = section.get("role");
    let role_place = role.map_or_else(|| section.place.clone(), |value| value.place());
    let role = or(Role::Asp, role, lowering, &mut good, |value, l| {
        l.text(value).and_then(|text| choice(&text, &ROLES, "C0022", "role", l))
    });
    let carrier = or(Carrier::Sctp, section.get("transport-protocol"), lowering, &mut good, |value, l| {
        l.text(value).and_then(|text| choice(&text, &CARRIERS, "C0022", "transport protocol", l))
    });
    let peers = or(None, section.get("peers"), lowering, &mut good, |v, l| addresses(v, l).map(Some));
    let listen = or(None, section.get("listen"), lowering, &mut good, |v, l| addresses(v, l).map(Some));
    let from = or(None, section.get("from"), lowering, &mut good, |v, l| prefixes(v, l).map(Some));
    let local = or(None, section.get("local"), lowering, &mut good, |v, l| local(v, l).map(Some));
    let mode = or(None, section.get("traffic-mode"), lowering, &mut good, |value, l| {
        l.text(value).and_then(|text| choice(&text, &TrafficMode::ALL, "C0022", "traffic mode", l)).map(Some)
    });
    let network = or(2, section.get("network-indicator"), lowering, &mut good, |value, l| {
        l.integer(value, 0..=3, "C0012").and_then(|number| u8::try_from(number).ok())
    });
    let mut word = |key| or(None, section.get(key), lowering, &mut good, |v, l| number(v, l).map(Some));
    let (context, appearance, asp) = (word("routing-context"), word("network-appearance"), word("asp-identifier"));
    let mut time = |key, range: RangeInclusive<Duration>| {
        or(None, section.get(key), lowering, &mut good, |v, l| l.duration(v, range).map(Some))
    };
    let (ack, recovery, heartbeat) =
        (time("ack-time", ACK), time("recovery-time", RECOVERY), time("heartbeat", HEARTBEAT));
    let table = section.place.clone();
    section.finish(lowering);
    let missing = |key: &str, why: &str| {
        let finding = Finding::error("C0005", &table, format!("m3ua needs a key \"{key}\""));
        finding.label(format!("\"{key}\" is missing")).help(why.to_owned())
    };
    let finding = match (role, &peers, &listen) {
        (Role::Asp, _, Some((place, _))) => Some(
            Finding::error("C0107", place, "an application server process is not called, it calls")
                .help("leave out \"listen\", or take role = \"ipsp\" or \"sgp\""),
        ),
        (Role::Sgp, Some((place, _)), _) => Some(
            Finding::error("C0107", place, "a signalling gateway process does not call, it is called")
                .help("leave out \"peers\", or take role = \"asp\" or \"ipsp\""),
        ),
        (Role::Ipsp, Some((place, _)), Some((other, _))) => Some(
            Finding::error("C0107", place, "either we call the peer or it calls us")
                .other(other, "here it calls us")
                .help("one end has \"peers\", the other \"listen\""),
        ),
        (Role::Asp, None, _) => Some(missing("peers", "whom to call: peers = [\"192.0.2.1:2905\"]")),
        (Role::Sgp, _, None) => Some(missing("listen", "where we are called: listen = [\"192.0.2.9:2905\"]")),
        (Role::Ipsp, None, None) => {
            Some(missing("peers", "peers = [\"192.0.2.1:2905\"], or listen where the peer calls"))
        }
        _ => None,
    };
    if good && let Some(finding) = finding {
        lowering.push(finding.other(&role_place, "the role"));
        return None;
    }
    let peers = peers.map(|(_, list)| list).unwrap_or_default();
    let listen = listen.map(|(_, list)| list).unwrap_or_default();
    good &= match (&from, listen.is_empty()) {
        (Some((place, _)), true) => {
            let finding = Finding::error("C0107", place, "\"from\" is who may call us, and nobody calls us");
            lowering.push(finding.help("leave it out"));
            false
        }
        (None, false) => {
            lowering.push(missing("from", "who may call us: from = [\"192.0.2.1\"]"));
            false
        }
        _ => true,
    };
    if let Some((place, local)) = &local {
        good &= fits(place, *local, &peers, lowering);
    }
    good.then(|| M3ua {
        role,
        carrier,
        peers,
        listen,
        from: from.map(|(_, list)| list).unwrap_or_default(),
        local: local.map(|(_, local)| local),
        context,
        mode,
        network,
        appearance,
        asp,
        ack: ack.unwrap_or(TWO_SECONDS),
        recovery: recovery.unwrap_or(TWO_SECONDS),
        heartbeat: heartbeat.or((carrier == Carrier::Tcp).then_some(TCP_HEARTBEAT)),
    })
}

/// The value of a key, or `default` without it; `good` becomes false when it is wrong.
fn or<T>(
    default: T,
    value: Option<Value<'_>>,
    lowering: &mut Lowering<'_>,
    good: &mut bool,
    read: impl FnOnce(Value<'_>, &mut Lowering<'_>) -> Option<T>,
) -> T {
    let Some(value) = value else { return default };
    read(value, lowering).unwrap_or_else(|| {
        *good = false;
        default
    })
}

fn number(value: Value<'_>, lowering: &mut Lowering<'_>) -> Option<u32> {
    let number = lowering.integer(value, 0..=i64::from(u32::MAX), "C0012")?;
    u32::try_from(number).ok()
}

/// Addresses with ports, each once.
fn addresses(value: Value<'_>, lowering: &mut Lowering<'_>) -> Option<(super::Place, Vec<SocketAddr>)> {
    let texts = lowering.texts(value)?;
    let mut list: Vec<SocketAddr> = Vec::new();
    let mut good = true;
    for text in &texts {
        match values::address(text, lowering) {
            Some(address) if list.contains(&address) => {
                lowering.push(Finding::error("C0106", &text.place, format!("{address} is there twice")));
                good = false;
            }
            Some(address) => list.push(address),
            None => good = false,
        }
    }
    if list.len() > limits::M3UA_PEERS {
        let message = format!("more than {} addresses", limits::M3UA_PEERS);
        lowering.push(Finding::error("C0024", &value.place(), message));
        good = false;
    }
    good.then(|| (value.place(), list))
}

/// `192.0.2.1`, `192.0.2.0/24`, one or more.
fn prefixes(value: Value<'_>, lowering: &mut Lowering<'_>) -> Option<(super::Place, Vec<Prefix>)> {
    let texts = lowering.texts(value)?;
    let list: Vec<Option<Prefix>> = texts.iter().map(|text| values::prefix(text, lowering)).collect();
    Some((value.place(), list.into_iter().collect::<Option<_>>()?))
}

/// `192.0.2.9` or `192.0.2.9:2905`.
fn local(value: Value<'_>, lowering: &mut Lowering<'_>) -> Option<(super::Place, SocketAddr)> {
    let text = lowering.text(value)?;
    let address = match text.text.parse() {
        Ok(ip) => SocketAddr::new(ip, 0),
        Err(_) => values::address(&text, lowering)?,
    };
    Some((text.place, address))
}

/// Whether associations to all peers can come from there.
fn fits(place: &super::Place, local: SocketAddr, peers: &[SocketAddr], lowering: &mut Lowering<'_>) -> bool {
    let finding = if peers.is_empty() {
        Finding::error("C0107", place, "\"local\" is where we call from, and we call nobody").help("leave it out")
    } else if local.port() != 0 && peers.len() > 1 {
        Finding::error("C0107", place, "several associations cannot come from one port").help("leave out the port")
    } else if peers.iter().any(|peer| peer.is_ipv4() != local.is_ipv4()) {
        Finding::error("C0107", place, "IPv4 and IPv6 do not reach each other")
    } else {
        return true;
    };
    lowering.push(finding);
    false
}
