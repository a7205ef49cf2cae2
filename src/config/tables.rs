//! The tables of the configuration to the types of [`super`].

use super::access;
use super::equipment::{Ports, card, line, station};
use super::failover::failover;
use super::findings::{Finding, Place};
use super::isup::{interworking, isup};
use super::load::Tables;
use super::passing;
use super::profile::{profile, session_timers};
use super::section::{Lowering, Section, Text, Value};
use super::services;
use super::{
    Card, Config, Dialling, DigestAlgorithm, Driver, Limits, Listener, Log, LogFormat, Phone, Rtp, Sip, Tls, Trunk,
};
use super::{tls, values};
use crate::dialplan::{Plan, Target, TargetKind};
use crate::limits::CALLS_MAX;
use crate::sdp::Codec;
use crate::sip::PassingRules;
use std::collections::BTreeMap;
use std::time::Duration;

/// Who has which number, and where it says so.
pub(super) type Extensions = BTreeMap<String, (Target, Place)>;

/// Everything but the dial plan. `whole` is where to point at for a table that is missing.
/// There is no configuration when something could not be read; findings say what.
pub(super) fn config(all: &Tables<'_>, whole: &Place, lowering: &mut Lowering<'_>) -> (Option<Config>, Extensions) {
    let mut extensions = Extensions::new();
    let config = without_plan(all, whole, &mut extensions, lowering);
    (config, extensions)
}

fn without_plan(
    all: &Tables<'_>,
    whole: &Place,
    extensions: &mut Extensions,
    lowering: &mut Lowering<'_>,
) -> Option<Config> {
    // Each table is read before the first `?`, so that all findings are there.
    let (sip, tls) = sip(all.single("sip"), all.single("tls"), whole, lowering).unzip();
    let dns = tls::dns(all.single("dns"), lowering);
    let rtp = rtp(all.single("rtp"), sip.as_ref(), whole, lowering);
    let phones = each(all, "phone", lowering, |name, section, l| phone(name, section, extensions, l));
    let listen = sip.as_ref().map(|sip| sip.listen.clone());
    let trunks = each(all, "trunk", lowering, |name, section, l| trunk(name, section, listen.as_deref(), l));
    let cards = each(all, "card", lowering, card);
    let mut ports = Ports::new();
    let card_names: Vec<String> = all.named("card").into_iter().map(|(name, _)| name).collect();
    let stations = each(all, "station", lowering, |name, section, l| {
        station(name, section, &card_names, &mut ports, extensions, l)
    });
    let lines = each(all, "line", lowering, |name, section, l| line(name, section, &card_names, &mut ports, l));
    let mut taken = super::isup::Taken::new();
    let isups = each(all, "isup", lowering, |name, section, l| isup(name, section, &mut taken, l));
    let domains =
        each(all, "domain", lowering, |name, section, l| services::domain(name, section, listen.as_deref(), l));
    let groups = each(all, "group", lowering, |name, section, l| services::group(name, section, all, extensions, l));
    let control_socket = control(all.single("control"), lowering);
    let log = log(all.single("log"), lowering);
    let limits = limits(all.single("limits"), lowering);
    let ban = access::ban(all.single("ban"), lowering);
    let registrar = access::registrar(all.single("registrar"), lowering);
    let store = access::store(all.single("store"), lowering);
    let dialling = dialling(all.single("dialling"), lowering);
    let failover = failover(all.single("failover"), lowering);
    let mut cards = cards?;
    for ((card, port), _) in ports {
        if let Some(Card { driver: Driver::Virtual { ports, .. }, .. }) = cards.get_mut(card) {
            *ports = (*ports).max(port.saturating_add(1));
        }
    }
    Some(Config {
        sip: sip?,
        tls: tls?,
        dns: dns?,
        rtp: rtp?,
        phones: phones?,
        trunks: trunks?,
        isups: isups?,
        cards,
        stations: stations?,
        lines: lines?,
        groups: groups?,
        domains: domains?,
        control_socket,
        log: log?,
        calls_max: limits?.0,
        limits: limits?.1,
        ban: ban?,
        registrar: registrar?,
        store: store?,
        dialling: dialling?,
        failover: failover?,
        plan: Plan::default(),
    })
}

/// Lowers every table of a kind, in the order of names; `None` if one cannot be.
fn each<T>(
    all: &Tables<'_>,
    kind: &'static str,
    lowering: &mut Lowering<'_>,
    mut lower: impl FnMut(String, Section<'_>, &mut Lowering<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let lowered: Vec<Option<T>> =
        all.named(kind).into_iter().map(|(name, section)| lower(name, section, lowering)).collect();
    lowered.into_iter().collect()
}

fn sip(
    section: Option<Section<'_>>,
    tls: Option<Section<'_>>,
    whole: &Place,
    lowering: &mut Lowering<'_>,
) -> Option<(Sip, Tls)> {
    let Some(mut section) = section else {
        let finding = Finding::error("C0005", whole, "there is no table [sip]");
        lowering.push(finding.help("write [sip] with listen = [\"udp:192.0.2.1:5060\"], your own address"));
        return None;
    };
    let listen = section.require("listen", lowering).and_then(|value| listeners(value, lowering));
    let domain = section.get("domain").map(|value| values::host(value, lowering));
    let mut timer = |key, default, lowering: &mut Lowering<'_>| match section.get(key) {
        Some(value) => lowering.duration(value, Duration::from_millis(10)..=Duration::from_secs(60)),
        None => Some(default),
    };
    // RFC 3261 table 4.
    let t1 = timer("t1", Duration::from_millis(500), lowering);
    let t2 = timer("t2", Duration::from_secs(4), lowering);
    let t4 = timer("t4", Duration::from_secs(5), lowering);
    // RFC 3263 4.3; 64 T1, the longest wait of RFC 3261, is where it ends anyway.
    let fail_over_after = match section.get("fail-over-after") {
        Some(value) => lowering.duration(value, Duration::from_millis(500)..=Duration::from_secs(32)),
        None => Some(Duration::from_secs(5)),
    };
    let tls = tls::tls(&mut section, tls, listen.as_deref(), lowering);
    let open = access::open_methods(&mut section, lowering);
    let timers = session_timers(&mut section, lowering);
    let headers = passing::headers(&mut section, lowering);
    let bodies = passing::bodies(&mut section, lowering);
    section.finish(lowering);
    let passing = PassingRules { headers: headers?.unwrap_or_default(), bodies: bodies?.unwrap_or_default() };
    let (listen, tls) = (listen?, tls?);
    let domain = match domain {
        Some(domain) => domain?,
        None => listen.first()?.address.ip().to_string(),
    };
    let (t1, t2, t4, fail_over_after) = (t1?, t2?, t4?, fail_over_after?);
    Some((Sip { listen, domain, t1, t2, t4, fail_over_after, open: open?, timers: timers?, passing }, tls))
}

fn listeners(value: Value<'_>, lowering: &mut Lowering<'_>) -> Option<Vec<Listener>> {
    let texts = lowering.list(value)?;
    let mut listeners: Vec<(Listener, Place)> = Vec::new();
    let mut good = true;
    for text in texts {
        let Some(listener) = values::listener(&text, lowering) else {
            good = false;
            continue;
        };
        if let Some((_, earlier)) = listeners.iter().find(|(other, _)| *other == listener) {
            let finding = Finding::error("C0106", &text.place, format!("{} is there twice", text.text));
            lowering.push(finding.label("again here").other(earlier, "first here"));
            good = false;
        }
        listeners.push((listener, text.place));
    }
    good.then(|| listeners.into_iter().map(|(listener, _)| listener).collect())
}

fn rtp(section: Option<Section<'_>>, sip: Option<&Sip>, whole: &Place, lowering: &mut Lowering<'_>) -> Option<Rtp> {
    let empty = toml::de::DeTable::new();
    let mut section = section.unwrap_or_else(|| Section::new("[rtp]".to_owned(), whole.clone(), &empty));
    let mut listening = sip.into_iter().flat_map(|sip| &sip.listen).map(|l| l.address.ip());
    let address = match (section.get("address"), listening.next().filter(|ip| !ip.is_unspecified())) {
        (Some(value), _) => values::unicasts(value, lowering),
        (None, Some(first)) => {
            Some((first, listening.find(|ip| ip.is_ipv4() != first.is_ipv4() && !ip.is_unspecified())))
        }
        (None, None) if sip.is_none() => None,
        (None, None) => {
            let message = "peers must be told an address for RTP, and [sip] listens on all";
            lowering.push(Finding::error("C0005", &section.place, message).help("write address = \"...\" in [rtp]"));
            None
        }
    };
    let ports = match section.get("ports") {
        Some(value) => values::port_range(value, lowering),
        None => Some((20_000, 29_999)),
    };
    let mut jitter = |key, default, lowering: &mut Lowering<'_>| match section.get(key) {
        Some(value) => lowering
            .duration(value, Duration::from_millis(0)..=Duration::from_secs(1))
            .map(|duration| (duration, Some(value.place()))),
        None => Some((Duration::from_millis(default), None)),
    };
    let (jitter_min, jitter_max) = (jitter("jitter-min", 20, lowering), jitter("jitter-max", 200, lowering));
    section.finish(lowering);
    let ((jitter_min, low_place), (jitter_max, high_place)) = (jitter_min?, jitter_max?);
    if jitter_min > jitter_max {
        let place = low_place.or(high_place).unwrap_or_else(|| whole.clone());
        lowering.push(Finding::error("C0014", &place, "jitter-min is greater than jitter-max"));
    }
    let (first_port, last_port) = ports?;
    let (address, other) = address?;
    Some(Rtp { address, other, first_port, last_port, jitter: (jitter_min, jitter_max) })
}

fn phone(
    name: String,
    mut section: Section<'_>,
    extensions: &mut Extensions,
    lowering: &mut Lowering<'_>,
) -> Option<Phone> {
    let password = section.require("password", lowering).and_then(|value| access::password(value, lowering));
    let digest = match section.get("digest") {
        Some(value) => access::digests(value, lowering),
        None => Some(vec![DigestAlgorithm::Sha256, DigestAlgorithm::Md5]),
    };
    let without_qop = access::without_qop(&mut section, lowering);
    let number = number(&name, TargetKind::Phone, &mut section, extensions, lowering);
    let caller_name = optional_text("caller-name", &mut section, lowering);
    let forward = services::forward(&mut section, lowering);
    let redirects = services::redirects(&mut section, lowering);
    let calls = services::carriage(&mut section, lowering);
    section.finish(lowering);
    Some(Phone {
        name,
        password: password?,
        digest: digest?,
        without_qop: without_qop?,
        number: number?,
        caller_name: caller_name?,
        forward: forward?,
        redirects: redirects?,
        calls: calls?,
    })
}

/// `number`, or the name; entered into the list of numbers.
pub(super) fn number(
    name: &str,
    kind: TargetKind,
    section: &mut Section<'_>,
    extensions: &mut Extensions,
    lowering: &mut Lowering<'_>,
) -> Option<String> {
    let (number, place) = match section.get("number") {
        Some(value) => {
            let text = values::number(value, lowering)?;
            (text.text, text.place)
        }
        None => (name.to_owned(), section.place.clone()),
    };
    let target = Target { kind, name: name.to_owned() };
    match extensions.get(&number) {
        Some((owner, earlier)) => {
            let finding = Finding::error("C0101", &place, format!("number {number} belongs to {owner} already"));
            lowering.push(finding.label(format!("{target} wants it too")).other(earlier, format!("{owner} has it")));
        }
        None => {
            extensions.insert(number.clone(), (target, place));
        }
    }
    Some(number)
}

/// A text that may be absent; outer `None`: it is there and wrong.
pub(super) fn optional_text(
    key: &'static str,
    section: &mut Section<'_>,
    lowering: &mut Lowering<'_>,
) -> Option<Option<String>> {
    match section.get(key) {
        Some(value) => lowering.text(value).map(|text| Some(text.text)),
        None => Some(None),
    }
}

/// One of `known` for each text, none twice.
pub(super) fn choices<T: Copy + PartialEq>(
    texts: &[Text],
    known: &[(&'static str, T)],
    code: &'static str,
    what: &str,
    lowering: &mut Lowering<'_>,
) -> Option<Vec<T>> {
    let mut chosen = Vec::new();
    let mut good = true;
    for text in texts {
        match choice(text, known, code, what, lowering) {
            Some(value) if chosen.contains(&value) => {
                lowering.push(Finding::error("C0106", &text.place, format!("{} is there twice", text.text)));
                good = false;
            }
            Some(value) => chosen.push(value),
            None => good = false,
        }
    }
    good.then_some(chosen)
}

/// The one of `known` that the text names.
pub(super) fn choice<T: Copy>(
    text: &Text,
    known: &[(&'static str, T)],
    code: &'static str,
    what: &str,
    lowering: &mut Lowering<'_>,
) -> Option<T> {
    if let Some((_, value)) = known.iter().find(|(name, _)| *name == text.text) {
        return Some(*value);
    }
    let names = || known.iter().map(|(name, _)| *name);
    let finding = Finding::error(code, &text.place, format!("there is no {what} \"{}\"", text.text));
    let mut finding = finding.did_you_mean(&text.text.to_ascii_uppercase(), names());
    if finding.help.is_none() {
        finding = finding.did_you_mean(&text.text, names());
    }
    if finding.help.is_none() {
        finding = finding.help(format!("there is: {}", names().collect::<Vec<_>>().join(", ")));
    }
    lowering.push(finding);
    None
}

fn trunk(
    name: String,
    mut section: Section<'_>,
    listen: Option<&[Listener]>,
    lowering: &mut Lowering<'_>,
) -> Option<Trunk> {
    let to = section.get("to").map(|value| {
        let texts = lowering.texts(value)?;
        let uris: Vec<_> = texts.iter().map(|text| tls::reachable(text, listen, lowering)).collect();
        uris.into_iter().collect::<Option<Vec<_>>>()
    });
    let from = section.get("from").map(|value| {
        let texts = lowering.texts(value)?;
        let prefixes: Vec<_> = texts.iter().map(|text| values::prefix(text, lowering)).collect();
        prefixes.into_iter().collect::<Option<Vec<_>>>()
    });
    let codecs = match section.get("codecs") {
        Some(value) => {
            let known = [("pcmu", Codec::Pcmu), ("pcma", Codec::Pcma)];
            lowering.list(value).and_then(|texts| choices(&texts, &known, "C0022", "codec", lowering))
        }
        None => Some(vec![Codec::Pcmu, Codec::Pcma]),
    };
    let carrier = access::carrier(&mut section, listen, lowering);
    let profile = profile(&mut section, lowering);
    let redirects = services::redirects(&mut section, lowering);
    let pass_headers = passing::headers(&mut section, lowering);
    let pass_bodies = passing::bodies(&mut section, lowering);
    let interworking = interworking(&mut section, lowering);
    section.later(&["number-format"]);
    if to.is_none() && from.is_none() {
        let message = format!("{} has neither \"to\" nor \"from\"", section.title);
        let finding = Finding::error("C0005", &section.place, message);
        lowering.push(finding.help("to = \"sip:host:port\" for calls to it, from = [\"address\"] for calls from it"));
    }
    section.finish(lowering);
    let to = match to {
        Some(to) => to?,
        None => Vec::new(),
    };
    let from = match from {
        Some(from) => from?,
        None => Vec::new(),
    };
    let access::Carrier { login, register, domain, outbound_proxy } = carrier?;
    let (codecs, redirects, profile, interworking) = (codecs?, redirects?, profile?, interworking?);
    let (pass_headers, pass_bodies) = (pass_headers?, pass_bodies?);
    Some(Trunk {
        name,
        to,
        from,
        codecs,
        login,
        register,
        domain,
        outbound_proxy,
        profile,
        redirects,
        interworking,
        pass_headers,
        pass_bodies,
    })
}

/// The outer `None` of a wrong value is of no use here: the finding is enough.
fn control(section: Option<Section<'_>>, lowering: &mut Lowering<'_>) -> Option<String> {
    let mut section = section?;
    let socket = optional_text("socket", &mut section, lowering);
    section.finish(lowering);
    socket.flatten()
}

fn log(section: Option<Section<'_>>, lowering: &mut Lowering<'_>) -> Option<Log> {
    let Some(mut section) = section else {
        return Some(Log { level: "info".to_owned(), format: LogFormat::Text });
    };
    let level = optional_text("level", &mut section, lowering);
    let format = match section.get("format") {
        Some(value) => {
            let known = [("text", LogFormat::Text), ("json", LogFormat::Json)];
            lowering.text(value).and_then(|text| choice(&text, &known, "C0022", "format", lowering))
        }
        None => Some(LogFormat::Text),
    };
    section.finish(lowering);
    Some(Log { level: level?.unwrap_or_else(|| "info".to_owned()), format: format? })
}

/// Calls at once, and the rates.
fn limits(section: Option<Section<'_>>, lowering: &mut Lowering<'_>) -> Option<(usize, Limits)> {
    let Some(mut section) = section else { return Some((CALLS_MAX, Limits::default())) };
    let calls = match section.get("calls") {
        Some(value) => lowering.integer(value, 1..=CALLS_MAX as i64, "C0012").map(|calls| calls as usize),
        None => Some(CALLS_MAX),
    };
    let rates = access::rates(&mut section, lowering);
    section.finish(lowering);
    let (refusals_per_second, calls_per_second) = rates?;
    Some((calls?, Limits { refusals_per_second, calls_per_second }))
}

fn dialling(section: Option<Section<'_>>, lowering: &mut Lowering<'_>) -> Option<Dialling> {
    let default = Dialling::default();
    let Some(mut section) = section else { return Some(default) };
    let mut timer = |key, default, lowering: &mut Lowering<'_>| match section.get(key) {
        Some(value) => lowering.duration(value, Duration::from_millis(100)..=Duration::from_secs(120)),
        None => Some(default),
    };
    let first_digit = timer("first-digit", default.first_digit, lowering);
    let next_digit = timer("next-digit", default.next_digit, lowering);
    let complete = timer("complete", default.complete, lowering);
    let end_key = match section.get("end-key") {
        Some(value) => {
            let known = [("#", Some('#')), ("*", Some('*')), ("", None)];
            lowering.text(value).and_then(|text| choice(&text, &known, "C0022", "key", lowering))
        }
        None => Some(default.end_key),
    };
    section.finish(lowering);
    Some(Dialling { first_digit: first_digit?, next_digit: next_digit?, complete: complete?, end_key: end_key? })
}
