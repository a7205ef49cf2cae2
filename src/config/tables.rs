//! The tables of the configuration to the types of [`super`].

use super::equipment::{Ports, card, isup, line, station};
use super::findings::{Finding, Place};
use super::load::Tables;
use super::profile::{profile, session_timers};
use super::section::{Lowering, Section, Text, Value};
use super::services;
use super::values;
use super::{
    Card, Config, Dialling, DigestAlgorithm, Driver, Listener, Log, LogFormat, Password, Phone, Rtp, Sip, Trunk,
};
use crate::dialplan::{Plan, Target, TargetKind};
use crate::limits::CALLS_MAX;
use crate::sdp::Codec;
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
    let sip = sip(all.single("sip"), whole, lowering);
    let rtp = rtp(all.single("rtp"), sip.as_ref(), whole, lowering);
    let phones = each(all, "phone", lowering, |name, section, l| phone(name, section, extensions, l));
    let trunks = each(all, "trunk", lowering, trunk);
    let cards = each(all, "card", lowering, card);
    let mut ports = Ports::new();
    let card_names: Vec<String> = all.named("card").into_iter().map(|(name, _)| name).collect();
    let stations = each(all, "station", lowering, |name, section, l| {
        station(name, section, &card_names, &mut ports, extensions, l)
    });
    let lines = each(all, "line", lowering, |name, section, l| line(name, section, &card_names, &mut ports, l));
    let isups = each(all, "isup", lowering, isup);
    let domains = each(all, "domain", lowering, services::domain);
    let groups = each(all, "group", lowering, |name, section, l| services::group(name, section, all, extensions, l));
    let control_socket = control(all.single("control"), lowering);
    let log = log(all.single("log"), lowering);
    let calls_max = limits(all.single("limits"), lowering);
    let dialling = dialling(all.single("dialling"), lowering);
    let mut cards = cards?;
    for ((card, port), _) in ports {
        if let Some(Card { driver: Driver::Virtual { ports, .. }, .. }) = cards.get_mut(card) {
            *ports = (*ports).max(port.saturating_add(1));
        }
    }
    Some(Config {
        sip: sip?,
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
        calls_max: calls_max?,
        dialling: dialling?,
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

fn sip(section: Option<Section<'_>>, whole: &Place, lowering: &mut Lowering<'_>) -> Option<Sip> {
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
    let timers = session_timers(&mut section, lowering);
    section.later(&["certificate", "key"]);
    section.finish(lowering);
    let listen = listen?;
    let domain = match domain {
        Some(domain) => domain?,
        None => listen.first()?.address.ip().to_string(),
    };
    Some(Sip { listen, domain, t1: t1?, t2: t2?, t4: t4?, timers: timers? })
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
    let listening = sip.and_then(|sip| sip.listen.first()).map(|l| l.address.ip()).filter(|ip| !ip.is_unspecified());
    let address = match (section.get("address"), listening) {
        (Some(value), _) => values::unicast(value, lowering),
        (None, Some(listening)) => Some(listening),
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
    Some(Rtp { address: address?, first_port, last_port, jitter: (jitter_min, jitter_max) })
}

fn phone(
    name: String,
    mut section: Section<'_>,
    extensions: &mut Extensions,
    lowering: &mut Lowering<'_>,
) -> Option<Phone> {
    let password = section.require("password", lowering).and_then(|value| password(value, lowering));
    let digest = match section.get("digest") {
        Some(value) => digests(value, lowering),
        None => Some(vec![DigestAlgorithm::Sha256, DigestAlgorithm::Md5]),
    };
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

/// Text, `{ file = ... }` or `{ env = ... }`.
fn password(value: Value<'_>, lowering: &mut Lowering<'_>) -> Option<Password> {
    use toml::de::DeValue;
    let (password, place) = match value.item.get_ref() {
        DeValue::String(_) => {
            let text = lowering.text(value)?;
            (text.text, text.place)
        }
        DeValue::Table(_) => {
            let mut table = lowering.table(value, "a password".to_owned())?;
            let (file, variable) = (table.get("file"), table.get("env"));
            table.finish(lowering);
            match (file, variable) {
                (Some(file), None) => {
                    let path = lowering.text(file)?;
                    match lowering.reader.file(&path.text) {
                        Ok(text) => (text.trim_end_matches(['\r', '\n']).to_owned(), path.place),
                        Err(error) => {
                            let message = format!("cannot read {}: {error}", path.text);
                            lowering.push(Finding::error("C0104", &path.place, message));
                            return None;
                        }
                    }
                }
                (None, Some(variable)) => {
                    let name = lowering.text(variable)?;
                    match lowering.reader.variable(&name.text) {
                        Some(text) => (text, name.place),
                        None => {
                            let message = format!("the environment has no variable {}", name.text);
                            lowering.push(Finding::error("C0104", &name.place, message));
                            return None;
                        }
                    }
                }
                _ => {
                    let finding = Finding::error("C0104", &value.place(), "a password comes from exactly one place");
                    lowering.push(finding.help("write text, { file = \"...\" } or { env = \"...\" }"));
                    return None;
                }
            }
        }
        _ => {
            lowering.wrong_type(value, "text, { file = \"...\" } or { env = \"...\" }");
            return None;
        }
    };
    if password.is_empty() {
        lowering.push(Finding::error("C0104", &place, "this password is empty"));
        return None;
    }
    Some(Password(password))
}

fn digests(value: Value<'_>, lowering: &mut Lowering<'_>) -> Option<Vec<DigestAlgorithm>> {
    let texts = lowering.list(value)?;
    let known = [("SHA-256", DigestAlgorithm::Sha256), ("MD5", DigestAlgorithm::Md5)];
    choices(&texts, &known, "C0015", "digest algorithm", lowering)
}

/// One of `known` for each text, none twice.
fn choices<T: Copy + PartialEq>(
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

fn trunk(name: String, mut section: Section<'_>, lowering: &mut Lowering<'_>) -> Option<Trunk> {
    let to = section.get("to").map(|value| values::sip_uri(value, lowering));
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
    let profile = profile(&mut section, lowering);
    let redirects = services::redirects(&mut section, lowering);
    section.later(&["register", "username", "password", "number-format"]);
    if to.is_none() && from.is_none() {
        let message = format!("{} has neither \"to\" nor \"from\"", section.title);
        let finding = Finding::error("C0005", &section.place, message);
        lowering.push(finding.help("to = \"sip:host:port\" for calls to it, from = [\"address\"] for calls from it"));
    }
    section.finish(lowering);
    let to = match to {
        Some(to) => Some(to?),
        None => None,
    };
    let from = match from {
        Some(from) => from?,
        None => Vec::new(),
    };
    Some(Trunk { name, to, from, codecs: codecs?, redirects: redirects?, profile: profile? })
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

fn limits(section: Option<Section<'_>>, lowering: &mut Lowering<'_>) -> Option<usize> {
    let Some(mut section) = section else { return Some(CALLS_MAX) };
    let calls = match section.get("calls") {
        Some(value) => lowering.integer(value, 1..=CALLS_MAX as i64, "C0012").map(|calls| calls as usize),
        None => Some(CALLS_MAX),
    };
    section.finish(lowering);
    calls
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
