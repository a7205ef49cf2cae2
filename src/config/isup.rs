//! `[isup.NAME]`, and how any trunk translates between statuses and causes.

use super::far_end;
use super::findings::{Finding, Place};
use super::m3ua::{M3ua, m3ua};
use super::section::{Lowering, Section, Text, Value};
use super::tables::{choice, choices};
use crate::isup::group::{Control, Selection, Settings};
use crate::isup::timers::{Setting, Timer, Timers};
use crate::isup::{Cic, Variant};
use crate::limits::ISUP_CIRCUITS;
use crate::switch::{Script, Trunk};
use crate::trunk::Location;
use crate::trunk::interwork::{Interworking, Profile};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A circuit group: a trunk that speaks ISUP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isup {
    /// Its name, without `isup/`.
    pub name: String,
    /// How messages reach the far end.
    pub transport: IsupTransport,
    /// Circuit identification codes, none above what the variant can say; at most [`ISUP_CIRCUITS`].
    pub circuits: BTreeSet<u16>,
    /// ITU or ANSI.
    pub variant: Variant,
    /// Which circuit a call gets.
    pub selection: Selection,
    /// Dual seizure.
    pub control: Control,
    /// Our point code.
    pub own_point_code: u32,
    /// The far end's.
    pub peer_point_code: u32,
    /// T1 to T35.
    pub timers: Timers,
    /// Location of releases that are decided here.
    pub location: Location,
    /// What SIP learns of SUS and RES.
    pub suspend: Suspend,
    /// `m3ua`: with that transport, and with no other.
    pub m3ua: Option<M3ua>,
    /// `script`: what the simulated switch does; the demo exchange when there is none.
    pub script: Option<Script>,
    /// `country-code`: digits, at most three.
    pub country_code: Option<String>,
    /// `interworking` and `overrides`.
    pub interworking: Interworking,
}

impl Isup {
    /// The simulated far end, if it has one: its end of the circuits, and what it does.
    pub fn far_end(&self) -> Option<(Trunk, Script)> {
        if self.transport != IsupTransport::Simulated {
            return None;
        }
        let mut settings = Settings::new(self.variant, self.own_point_code, self.peer_point_code);
        settings.control = self.control;
        let codes = self.circuits.iter().filter_map(|code| Cic::new(self.variant, *code));
        let circuits = codes.map(|cic| (cic.value(), !settings.controls(cic))).collect();
        Some((Trunk { variant: self.variant, circuits }, self.script.clone().unwrap_or_default()))
    }
}

/// How messages reach the far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsupTransport {
    /// The switch inside the process.
    Simulated,
    /// M3UA over SCTP.
    M3ua,
}

/// What SIP learns of a suspended call (RFC 3398 7.2.11 lets the gateway choose).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Suspend {
    /// Nothing.
    #[default]
    Hide,
    /// It is on hold until it is resumed.
    Hold,
}

/// Circuits that a group of the configuration has: point codes of both ends, circuits, where it says so.
pub(super) type Taken = Vec<(u32, u32, BTreeSet<u16>, Place)>;

/// Q.850 cause values.
const CAUSES: RangeInclusive<u16> = 1..=127;
/// Final responses that refuse.
const STATUSES: RangeInclusive<u16> = 300..=699;

const TRANSPORTS: [(&str, IsupTransport); 2] = [("simulated", IsupTransport::Simulated), ("m3ua", IsupTransport::M3ua)];
const VARIANTS: [(&str, Variant); 2] = [("itu", Variant::Itu), ("ansi", Variant::Ansi)];
const SELECTIONS: [(&str, Selection); 4] = [
    ("ascending", Selection::Ascending),
    ("descending", Selection::Descending),
    ("most-idle", Selection::MostIdle),
    ("odd-even", Selection::OddEven),
];
const CONTROLS: [(&str, Control); 5] = [
    ("point-code", Control::ByPointCode),
    ("even", Control::Even),
    ("odd", Control::Odd),
    ("all", Control::All),
    ("none", Control::None),
];
pub(super) const LOCATIONS: [(&str, Location); 8] = [
    ("U", Location::User),
    ("LPN", Location::LocalPrivate),
    ("LN", Location::LocalNetwork),
    ("TN", Location::Transit),
    ("RLN", Location::RemoteNetwork),
    ("RPN", Location::RemotePrivate),
    ("INTL", Location::International),
    ("BI", Location::BeyondInterworking),
];
const SUSPENDS: [(&str, Suspend); 2] = [("hide", Suspend::Hide), ("hold", Suspend::Hold)];

/// Keys of `timers`, in the order of [`Timer::ALL`].
#[rustfmt::skip]
const TIMERS: [&str; 35] = [
    "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9", "t10", "t11", "t12", "t13", "t14", "t15", "t16", "t17", "t18",
    "t19", "t20", "t21", "t22", "t23", "t24", "t25", "t26", "t27", "t28", "t29", "t30", "t31", "t32", "t33", "t34", "t35",
];

pub(super) fn isup(
    name: String,
    mut section: Section<'_>,
    taken: &mut Taken,
    lowering: &mut Lowering<'_>,
) -> Option<Isup> {
    let transport = section.require("transport", lowering).and_then(|value| lowering.text(value));
    let transport = transport.and_then(|text| choice(&text, &TRANSPORTS, "C0022", "transport", lowering));
    let interworking = interworking(&mut section, lowering);
    let variant = one_of("variant", "variant", &VARIANTS, Variant::Itu, &mut section, lowering);
    let circuits = circuits(variant.unwrap_or_default(), transport, &mut section, lowering);
    let selection = one_of("selection", "selection", &SELECTIONS, Selection::default(), &mut section, lowering);
    let control = one_of("control", "control", &CONTROLS, Control::default(), &mut section, lowering);
    let (own, peer) = point_codes(variant.unwrap_or_default(), transport, &mut section, lowering).unzip();
    let timers = timers(&mut section, lowering);
    let location = one_of("location", "location", &LOCATIONS, Location::LocalNetwork, &mut section, lowering);
    let suspend = one_of("suspend", "way to show SUS", &SUSPENDS, Suspend::default(), &mut section, lowering);
    let country_code = country_code(&mut section, lowering);
    let m3ua = carried(transport, &mut section, lowering);
    let script = script(transport, &mut section, lowering);
    let title = section.place.clone();
    section.finish(lowering);
    let isup = Isup {
        name,
        transport: transport?,
        circuits: circuits?,
        variant: variant?,
        selection: selection?,
        control: control?,
        own_point_code: own?,
        peer_point_code: peer?,
        timers: timers?,
        location: location?,
        suspend: suspend?,
        m3ua: m3ua?,
        script: script?,
        country_code: country_code?,
        interworking: interworking?,
    };
    take(&isup, title, taken, lowering).then_some(isup)
}

/// `m3ua`, which belongs to the transport of that name.
fn carried(
    transport: Option<IsupTransport>,
    section: &mut Section<'_>,
    lowering: &mut Lowering<'_>,
) -> Option<Option<M3ua>> {
    match transport {
        Some(IsupTransport::M3ua) => {
            section.require("m3ua", lowering).and_then(|value| m3ua(value, lowering)).map(Some)
        }
        Some(IsupTransport::Simulated) if section.has("m3ua") => {
            let place = section.get("m3ua").map_or_else(|| section.place.clone(), |value| value.place());
            let finding = Finding::error("C0107", &place, "a simulated switch is not reached by M3UA");
            lowering.push(finding.help("leave it out, or take transport = \"m3ua\""));
            None
        }
        _ => {
            section.get("m3ua");
            Some(None)
        }
    }
}

/// `script` of a simulated switch.
fn script(
    transport: Option<IsupTransport>,
    section: &mut Section<'_>,
    lowering: &mut Lowering<'_>,
) -> Option<Option<Script>> {
    let Some(value) = section.get("script") else { return Some(None) };
    let text = lowering.text(value)?;
    if transport == Some(IsupTransport::M3ua) {
        let finding = Finding::error("C0104", &text.place, "only a simulated switch has a script");
        lowering.push(finding.help("leave it out, or write transport = \"simulated\""));
        return None;
    }
    far_end::script(&text, lowering).map(Some)
}

/// Two exchanges name a circuit by their point codes and its code: no two groups may have the same.
fn take(isup: &Isup, place: Place, taken: &mut Taken, lowering: &mut Lowering<'_>) -> bool {
    if isup.transport == IsupTransport::Simulated {
        return true; // Each has a switch of its own.
    }
    let (own, peer) = (isup.own_point_code, isup.peer_point_code);
    let between = taken.iter().filter(|(o, p, ..)| (*o, *p) == (own, peer));
    let both = between.filter_map(|(.., circuits, there)| Some((circuits.intersection(&isup.circuits).next()?, there)));
    if let Some((cic, there)) = both.min_by_key(|(cic, _)| **cic) {
        let message = format!("circuit {cic} between {own} and {peer} is in another group");
        let finding = Finding::error("C0108", &place, message).other(there, "first here");
        lowering.push(finding.help("a circuit has its code once between two point codes"));
        return false;
    }
    taken.push((own, peer, isup.circuits.clone(), place));
    true
}

/// A key that has one of some words, or `default`.
fn one_of<T: Copy>(
    key: &'static str,
    what: &str,
    known: &[(&'static str, T)],
    default: T,
    section: &mut Section<'_>,
    lowering: &mut Lowering<'_>,
) -> Option<T> {
    match section.get(key) {
        Some(value) => lowering.text(value).and_then(|text| choice(&text, known, "C0022", what, lowering)),
        None => Some(default),
    }
}

/// `circuits = "1-15,17-31"`
fn circuits(
    variant: Variant,
    transport: Option<IsupTransport>,
    section: &mut Section<'_>,
    lowering: &mut Lowering<'_>,
) -> Option<BTreeSet<u16>> {
    // A real far end has agreed on its circuits; the simulated one has the channels of an E1.
    if transport == Some(IsupTransport::Simulated) && !section.has("circuits") {
        section.get("circuits");
        return Some((1..=30).collect());
    }
    let text = section.require("circuits", lowering).and_then(|value| lowering.text(value))?;
    let mut all = BTreeSet::new();
    let mut at = 0;
    for part in text.text.split(',') {
        let place = text.part(at, at + part.len());
        at += part.len() + 1;
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let codes = first.trim().parse::<u16>().ok().zip(last.trim().parse::<u16>().ok());
        let Some((first, last)) = codes.filter(|(first, last)| first <= last) else {
            let finding = Finding::error("C0026", &place, format!("\"{}\" is no range of circuits", part.trim()));
            lowering.push(finding.help("write numbers and ranges, the lower one first: \"1-15,17-31\""));
            return None;
        };
        if last > variant.cic_max() {
            let finding = Finding::error("C0026", &place, format!("there is no circuit {last}"));
            lowering.push(finding.label(format!("from 0 to {} in this variant", variant.cic_max())));
            return None;
        }
        if let Some(twice) = (first..=last).find(|cic| !all.insert(*cic)) {
            lowering.push(Finding::error("C0106", &place, format!("circuit {twice} is there twice")));
            return None;
        }
    }
    if all.len() > ISUP_CIRCUITS {
        let message = format!("{} circuits are too many for one group", all.len());
        let finding = Finding::error("C0026", &text.place, message);
        lowering.push(finding.help(format!("a group has at most {ISUP_CIRCUITS}: make two of it")));
        return None;
    }
    Some(all)
}

/// `own-point-code` and `peer-point-code`; the simulated switch needs none.
fn point_codes(
    variant: Variant,
    transport: Option<IsupTransport>,
    section: &mut Section<'_>,
    lowering: &mut Lowering<'_>,
) -> Option<(u32, u32)> {
    let mut code = |key, simulated: u32, lowering: &mut Lowering<'_>| match section.get(key) {
        Some(value) => point_code(variant, value, lowering),
        None if transport == Some(IsupTransport::M3ua) => {
            section.require(key, lowering);
            None
        }
        None => Some(simulated),
    };
    let (own, peer) = (code("own-point-code", 2, lowering), code("peer-point-code", 1, lowering));
    own.zip(peer)
}

/// A whole number, or as exchanges are labelled: `"2-5-7"` of 3, 8 and 3 bits, with ANSI 8 each.
fn point_code(variant: Variant, value: Value<'_>, lowering: &mut Lowering<'_>) -> Option<u32> {
    let (bits, widths): (u32, [u32; 3]) = match variant {
        Variant::Itu => (14, [3, 8, 3]),
        Variant::Ansi => (24, [8, 8, 8]),
    };
    if !value.is_any_text() {
        let code = lowering.integer(value, 0..=(1_i64 << bits) - 1, "C0012")?;
        return u32::try_from(code).ok();
    }
    let text = lowering.text(value)?;
    let parts: Vec<Option<u32>> = text.text.split('-').map(|part| part.parse().ok()).collect();
    let mut code = (parts.len() == widths.len()).then_some(0_u32);
    for (part, width) in parts.into_iter().zip(widths) {
        code = code.zip(part.filter(|part| *part < 1 << width)).map(|(code, part)| code << width | part);
    }
    if code.is_none() {
        let finding = Finding::error("C0027", &text.place, format!("\"{}\" is no point code", text.text));
        lowering.push(finding.help(match variant {
            Variant::Itu => "write a whole number, or three with a hyphen, up to 7-255-7",
            Variant::Ansi => "write a whole number, or three with a hyphen, up to 255-255-255",
        }));
    }
    code
}

/// `timers = { t7 = "5s", meant = ["t7"] }`
fn timers(section: &mut Section<'_>, lowering: &mut Lowering<'_>) -> Option<Timers> {
    let mut timers = Timers::default();
    let Some(value) = section.get("timers") else { return Some(timers) };
    let mut table = lowering.table(value, format!("timers of {}", section.title))?;
    let known: Vec<(&str, Timer)> = TIMERS.into_iter().zip(Timer::ALL.iter().copied()).collect();
    let meant = match table.get("meant") {
        Some(value) => lowering.list(value).and_then(|texts| choices(&texts, &known, "C0022", "timer", lowering)),
        None => Some(Vec::new()),
    };
    let mut good = meant.is_some();
    for (key, timer) in known {
        let Some(value) = table.get(key) else { continue };
        let range = Duration::from_millis(1)..=Duration::from_secs(3_600);
        let Some(time) = lowering.duration(value, range) else {
            good = false;
            continue;
        };
        // What is meant cannot be known when that list is wrong: one finding is enough.
        let outside_range = meant.as_ref().is_none_or(|meant| meant.contains(&timer));
        if timers.set(timer, Setting { value: time, outside_range }).is_err() {
            let rule = timer.rule();
            let finding = Finding::error("C0028", &value.place(), format!("{timer} is {time:?}"));
            let finding = finding.label(format!("Q.764 has {:?} to {:?}", rule.low, rule.high));
            lowering.push(finding.help(format!("if you know better, say so: meant = [\"{key}\"]")));
            good = false;
        }
    }
    table.finish(lowering);
    good.then_some(timers)
}

/// `country-code = "44"`
fn country_code(section: &mut Section<'_>, lowering: &mut Lowering<'_>) -> Option<Option<String>> {
    let Some(value) = section.get("country-code") else { return Some(None) };
    let text = lowering.text(value)?;
    // E.164 6.2.1: one to three digits, none of which begins with 0.
    let is_good = (1..=3).contains(&text.text.len())
        && text.text.bytes().all(|byte| byte.is_ascii_digit())
        && !text.text.starts_with('0');
    if !is_good {
        let finding = Finding::error("C0029", &text.place, format!("\"{}\" is no country code", text.text));
        lowering.push(finding.help("one to three digits without +: \"44\""));
        return None;
    }
    Some(Some(text.text))
}

/// `interworking` and `overrides` of `[trunk.NAME]` and `[isup.NAME]`.
pub(super) fn interworking(section: &mut Section<'_>, lowering: &mut Lowering<'_>) -> Option<Interworking> {
    let profile = match section.get("interworking") {
        Some(value) => lowering
            .text(value)
            .and_then(|text| choice(&text, &Profile::ALL, "C0022", "interworking profile", lowering)),
        None => Some(Profile::default()),
    };
    let texts = match section.get("overrides") {
        Some(value) => lowering.list(value),
        None => Some(Vec::new()),
    };
    let mut table = Interworking { profile: profile?, ..Interworking::default() };
    let mut good = true;
    for text in texts? {
        good &= enter(&text, &mut table, lowering);
    }
    good.then_some(table)
}

/// Enters one override; false with a finding when it is none.
fn enter(text: &Text, table: &mut Interworking, lowering: &mut Lowering<'_>) -> bool {
    let words: Vec<&str> = text.text.split_whitespace().collect();
    let known = match words.as_slice() {
        ["cause", from, "->", to] => number(from, CAUSES)
            .and_then(|from| u8::try_from(from).ok())
            .zip(number(to, STATUSES))
            .map(|(from, to)| table.statuses.insert(from, to).is_some()),
        ["status", from, "->", to] => number(from, STATUSES)
            .zip(number(to, CAUSES).and_then(|to| u8::try_from(to).ok()))
            .map(|(from, to)| table.causes.insert(from, to).is_some()),
        _ => None,
    };
    match known {
        Some(false) => true,
        Some(true) => {
            lowering.push(Finding::error("C0106", &text.place, format!("{} {} is there twice", words[0], words[1])));
            false
        }
        None => {
            let finding = Finding::error("C0025", &text.place, format!("\"{}\" is no override", text.text));
            lowering.push(finding.help(
                "\"cause 41 -> 500\" (1 to 127, to a status from 300 to 699) or \"status 480 -> 20\" (the other way)",
            ));
            false
        }
    }
}

fn number(word: &str, range: RangeInclusive<u16>) -> Option<u16> {
    word.parse().ok().filter(|number| range.contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, NoReader};

    fn group(lines: &str) -> Isup {
        let text = format!("sip.listen = [\"udp:127.0.0.1:5060\"]\n[isup.a]\n{lines}\n");
        let mut config = Config::parse("test.toml", &text, &NoReader).unwrap_or_else(|f| panic!("{}", f.render(false)));
        config.isups.remove(0)
    }

    #[test]
    fn a_simulated_group_needs_nothing_but_its_transport() {
        let isup = group("transport = \"simulated\"");
        assert_eq!(isup.circuits, (1..=30).collect());
        assert_eq!((isup.variant, isup.selection, isup.control), Default::default());
        assert_eq!(
            (isup.timers, isup.location, isup.suspend),
            (Timers::default(), Location::LocalNetwork, Suspend::Hide)
        );
    }

    #[test]
    fn every_key_of_a_group_is_read() {
        let isup = group(
            "transport = \"m3ua\"\ncircuits = \"1-3, 9\"\nvariant = \"ansi\"\nselection = \"odd-even\"\ncontrol = \"all\"\n\
             own-point-code = \"1-2-3\"\npeer-point-code = 7\ntimers = { t7 = \"5s\", t9 = \"100s\", meant = [\"t7\"] }\n\
             location = \"BI\"\nsuspend = \"hold\"\ncountry-code = \"44\"\n\
             m3ua = { peers = \"192.0.2.1:2905\", routing-context = 7, transport-protocol = \"tcp\" }",
        );
        assert_eq!(isup.transport, IsupTransport::M3ua);
        assert_eq!(isup.circuits, [1, 2, 3, 9].into());
        assert_eq!((isup.variant, isup.selection, isup.control), (Variant::Ansi, Selection::OddEven, Control::All));
        assert_eq!((isup.own_point_code, isup.peer_point_code), (0x01_02_03, 7));
        assert_eq!(isup.timers.of(Timer::T7), Duration::from_secs(5));
        assert_eq!(isup.timers.of(Timer::T9), Duration::from_secs(100));
        assert_eq!((isup.location, isup.suspend), (Location::BeyondInterworking, Suspend::Hold));
        assert_eq!(isup.country_code.as_deref(), Some("44"));
        let m3ua = isup.m3ua.expect("the table");
        assert_eq!((m3ua.context, m3ua.carrier, m3ua.network), (Some(7), super::super::Carrier::Tcp, 2));
        assert_eq!(m3ua.peers, ["192.0.2.1:2905".parse().expect("an address")]);
        assert_eq!(m3ua.heartbeat, Some(Duration::from_secs(10)), "TCP has none of its own");
    }

    #[test]
    fn the_words_for_timers_are_their_names() {
        for (key, timer) in TIMERS.into_iter().zip(Timer::ALL) {
            assert_eq!(key.to_uppercase(), timer.to_string());
        }
    }
}
