//! The script of a simulated switch, `script = "far-end.toml"` of `[isup.NAME]`: TOML to [`Script`].
//!
//! `dialplans/far-end.toml` shows every key. A script is a file of its own, named by the configuration and read
//! with it; its findings name it.

use super::Reader;
use super::findings::{Finding, Place, SourceFile};
use super::isup::LOCATIONS;
use super::section::{Lowering, Section, Text, Value};
use super::tables::choice;
use super::values;
use crate::dialplan::Pattern;
use crate::isup::indicators::CallEvent;
use crate::isup::number::NatureOfAddress;
use crate::limits::{DIGITS_MAX, ISUP_CIRCUITS, ISUP_FIELD_OCTETS, SWITCH_ENTRIES};
use crate::media::{TONE_STEPS, Tone};
use crate::switch::{Alarm, Call, Number, Script, Step, Trouble};
use crate::trunk::{Cause, Location, Release};
use std::time::Duration;
use toml::de::{DeTable, DeValue};

/// Scripts that one configuration names.
const SCRIPTS_MAX: usize = 100;
/// The longest time of a script.
const TIME_MAX: Duration = Duration::from_secs(24 * 3_600);
/// The longest time that a message is on its way.
const DELAY_MAX: Duration = Duration::from_secs(10);

const EVENTS: [(&str, CallEvent); 6] = [
    ("alerting", CallEvent::ALERTING),
    ("progress", CallEvent::PROGRESS),
    ("in-band", CallEvent::IN_BAND),
    ("forwarded", CallEvent::FORWARDED),
    ("forwarded-busy", CallEvent::FORWARDED_BUSY),
    ("forwarded-no-reply", CallEvent::FORWARDED_NO_REPLY),
];
const NATURES: [(&str, NatureOfAddress); 4] = [
    ("unknown", NatureOfAddress::UNKNOWN),
    ("subscriber", NatureOfAddress::SUBSCRIBER),
    ("national", NatureOfAddress::NATIONAL),
    ("international", NatureOfAddress::INTERNATIONAL),
];
const TROUBLES: [(&str, Trouble); 7] = [
    ("block", Trouble::Block),
    ("unblock", Trouble::Unblock),
    ("reset", Trouble::Reset),
    ("group-reset", Trouble::GroupReset),
    ("group-block", Trouble::GroupBlock { hardware: false }),
    ("group-unblock", Trouble::GroupUnblock { hardware: false }),
    ("amnesia", Trouble::Amnesia),
];
const FREE: [(&str, bool); 2] = [("free", true), ("no-indication", false)];
const WHO: [(&str, bool); 2] = [("network", true), ("user", false)];
const CHECKS: [(&str, bool); 2] = [("passes", true), ("fails", false)];

/// Reads the scripts that `[isup.NAME]` of these files name, behind the files.
pub(super) fn read(files: &mut Vec<SourceFile>, findings: &mut Vec<Finding>, reader: &dyn Reader) {
    let mut wanted = Vec::new();
    for (file, source) in files.iter().enumerate() {
        let (document, _) = DeTable::parse_recoverable(&source.text);
        let Some(DeValue::Table(groups)) = document.get_ref().get("isup").map(toml::Spanned::get_ref) else { continue };
        for (_, group) in groups.iter() {
            let DeValue::Table(group) = group.get_ref() else { continue };
            let Some(script) = group.get("script") else { continue };
            if let DeValue::String(path) = script.get_ref() {
                wanted.push((Place { file, span: script.span() }, path.to_string()));
            }
        }
    }
    let configuration = files.len();
    for (place, path) in wanted {
        if files.iter().skip(configuration).any(|file| file.name == path) {
            continue;
        }
        if files.len() - configuration == SCRIPTS_MAX {
            findings.push(Finding::error("C0105", &place, format!("more than {SCRIPTS_MAX} scripts")));
            return;
        }
        match reader.file(&path) {
            Ok(text) => files.push(SourceFile { name: path, text }),
            Err(error) => findings.push(Finding::error("C0105", &place, format!("cannot read {path}: {error}"))),
        }
    }
}

/// The script that a text names; `None` with a finding, or when it could not be read.
pub(super) fn script(name: &Text, lowering: &mut Lowering<'_>) -> Option<Script> {
    let files = lowering.files;
    let scripts = files.iter().enumerate().skip(lowering.configuration_files);
    let (file, source) = scripts.into_iter().find(|(_, source)| source.name == name.text)?;
    let (document, _) = DeTable::parse_recoverable(&source.text);
    let mut section = Section::new("a far end".to_owned(), Place { file, span: 0..0 }, document.get_ref());
    let usual = Script::default();
    let demo = flag("demo", usual.demo, &mut section, lowering);
    let loss = match section.get("loss") {
        Some(value) => lowering.tenths(value, 0..=1_000),
        None => Some(0),
    };
    let loss_until = time("loss-until", &mut section, lowering);
    let delay = match section.get("delay") {
        Some(value) => lowering.duration(value, Duration::ZERO..=DELAY_MAX),
        None => Some(usual.delay),
    };
    let digits_wait = time("digits-wait", &mut section, lowering);
    let numbers = each("number", &mut section, lowering, number);
    let calls = each("call", &mut section, lowering, call);
    let alarms = each("alarm", &mut section, lowering, alarm);
    section.finish(lowering);
    Some(Script {
        numbers: numbers?,
        demo: demo?,
        calls: calls?,
        alarms: alarms?,
        loss_tenth_percent: u16::try_from(loss?).ok()?,
        loss_until: loss_until?,
        delay: delay?,
        digits_wait: digits_wait?.unwrap_or(usual.digits_wait),
    })
}

/// `[[number]]` and the like.
fn each<T>(
    key: &'static str,
    section: &mut Section<'_>,
    lowering: &mut Lowering<'_>,
    mut read: impl FnMut(Section<'_>, &mut Lowering<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let Some(value) = section.get(key) else { return Some(Vec::new()) };
    let tables = lowering.tables(value, &format!("[[{key}]]"))?;
    if tables.len() > SWITCH_ENTRIES {
        lowering.push(Finding::error("C0012", &value.place(), format!("more than {SWITCH_ENTRIES} of [[{key}]]")));
        return None;
    }
    let read: Vec<Option<T>> = tables.into_iter().map(|table| read(table, lowering)).collect();
    read.into_iter().collect()
}

fn flag(key: &'static str, usual: bool, section: &mut Section<'_>, lowering: &mut Lowering<'_>) -> Option<bool> {
    section.get(key).map_or(Some(usual), |value| lowering.boolean(value))
}

/// A time that need not be there.
fn time(key: &'static str, section: &mut Section<'_>, lowering: &mut Lowering<'_>) -> Option<Option<Duration>> {
    match section.get(key) {
        Some(value) => lowering.duration(value, Duration::ZERO..=TIME_MAX).map(Some),
        None => Some(None),
    }
}

fn named<T: Copy>(value: Value<'_>, what: &str, known: &[(&'static str, T)], lowering: &mut Lowering<'_>) -> Option<T> {
    let text = lowering.text(value)?;
    choice(&text, known, "C0022", what, lowering)
}

fn number(mut section: Section<'_>, lowering: &mut Lowering<'_>) -> Option<Number> {
    let matches = section.require("match", lowering).and_then(|value| lowering.texts(value));
    let matches = matches.and_then(|texts| {
        let read: Vec<_> = texts.iter().map(|text| pattern(text, lowering)).collect();
        read.into_iter().collect()
    });
    let steps = section.require("steps", lowering).and_then(|value| steps(value, lowering));
    section.finish(lowering);
    Some(Number { matches: matches?, steps: steps? })
}

fn pattern(text: &Text, lowering: &mut Lowering<'_>) -> Option<Pattern> {
    match Pattern::parse(&text.text) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let finding = Finding::error("D0120", &text.part(error.start, error.end), error.message);
            lowering.push(Finding { help: error.help, ..finding });
            None
        }
    }
}

fn call(mut section: Section<'_>, lowering: &mut Lowering<'_>) -> Option<Call> {
    let when = repeated(&mut section, lowering);
    let called = section.require("called", lowering).and_then(|value| digits(value, lowering));
    let calling = match section.get("calling") {
        Some(value) => digits(value, lowering).map(Some),
        None => Some(None),
    };
    let nature = match section.get("nature") {
        Some(value) => named(value, "nature of a number", &NATURES, lowering),
        None => Some(NatureOfAddress::UNKNOWN),
    };
    let anonymous = flag("anonymous", false, &mut section, lowering);
    let overlap = match section.get("overlap") {
        Some(value) => lowering.integer(value, 0..=DIGITS_MAX as i64, "C0012").map(|n| usize::try_from(n).ok()),
        None => Some(None),
    };
    let digit_every = time("digit-every", &mut section, lowering);
    let continuity = match section.get("continuity") {
        Some(value) => named(value, "end of a continuity check", &CHECKS, lowering).map(Some),
        None => Some(None),
    };
    let gives_up = time("gives-up", &mut section, lowering);
    let steps = match section.get("steps") {
        Some(value) => steps(value, lowering),
        None => Some(vec![Step::Wait(Duration::from_secs(10)), Step::Rel(Release::user(Cause::NORMAL))]),
    };
    section.finish(lowering);
    let (at, times, every) = when?;
    Some(Call {
        at,
        times,
        every,
        calling: calling?,
        called: called?,
        nature: nature?,
        anonymous: anonymous?,
        overlap: overlap?,
        digit_every: digit_every?.unwrap_or(Duration::from_millis(300)),
        continuity: continuity?,
        steps: steps?,
        gives_up: gives_up?.unwrap_or(Duration::from_secs(60)),
    })
}

/// `at`, `times`, `every`.
fn repeated(section: &mut Section<'_>, lowering: &mut Lowering<'_>) -> Option<(Duration, u32, Duration)> {
    let at = section.require("at", lowering);
    let at = at.and_then(|value| lowering.duration(value, Duration::ZERO..=TIME_MAX));
    let times = match section.get("times") {
        Some(value) => lowering.integer(value, 1..=1_000_000, "C0012").and_then(|n| u32::try_from(n).ok()),
        None => Some(1),
    };
    let every = match section.get("every") {
        Some(value) => lowering.duration(value, Duration::from_millis(1)..=TIME_MAX),
        None if section.has("times") => section.require("every", lowering).map(|_| Duration::ZERO),
        None => Some(Duration::ZERO),
    };
    Some((at?, times?, every?))
}

fn digits(value: Value<'_>, lowering: &mut Lowering<'_>) -> Option<String> {
    let text = values::number(value, lowering)?;
    if let Some(at) = text.text.find(|c: char| !c.is_ascii_digit()) {
        let finding = Finding::error("C0020", &text.part(at, at + 1), "ISUP numbers have digits only");
        lowering.push(finding.help("say by `nature` what kind of number it is"));
        return None;
    }
    Some(text.text)
}

fn alarm(mut section: Section<'_>, lowering: &mut Lowering<'_>) -> Option<Alarm> {
    let when = repeated(&mut section, lowering);
    let what = section.require("does", lowering).and_then(|value| named(value, "alarm", &TROUBLES, lowering));
    let hardware = section.get("hardware");
    let is_hardware = hardware.map_or(Some(false), |value| lowering.boolean(value));
    let what = match (what, is_hardware) {
        (Some(Trouble::GroupBlock { .. }), Some(hardware)) => Some(Trouble::GroupBlock { hardware }),
        (Some(Trouble::GroupUnblock { .. }), Some(hardware)) => Some(Trouble::GroupUnblock { hardware }),
        (Some(_), Some(true)) => {
            let place = hardware.map_or_else(|| section.place.clone(), |value| value.place());
            let finding = Finding::error("C0104", &place, "only groups of circuits are blocked by a failure");
            lowering.push(finding.help("\"hardware\" belongs to group-block and group-unblock"));
            None
        }
        (what, _) => what,
    };
    let circuits = section.require("circuits", lowering).and_then(|value| circuits(value, lowering));
    section.finish(lowering);
    let (at, times, every) = when?;
    Some(Alarm { at, times, every, what: what?, circuits: circuits? })
}

/// `"3"`, `"1-15,17"`
fn circuits(value: Value<'_>, lowering: &mut Lowering<'_>) -> Option<Vec<u16>> {
    let text = lowering.text(value)?;
    let mut all = std::collections::BTreeSet::new();
    let mut at = 0;
    for part in text.text.split(',') {
        let place = text.part(at, at + part.len());
        at += part.len() + 1;
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let codes = first.trim().parse::<u16>().ok().zip(last.trim().parse::<u16>().ok());
        let Some((first, last)) = codes.filter(|(first, last)| first <= last) else {
            let finding = Finding::error("C0013", &place, format!("\"{part}\" is no circuit and no range of them"));
            lowering.push(finding.help("write circuits like \"1-15,17\""));
            return None;
        };
        if usize::from(last - first) >= ISUP_CIRCUITS {
            lowering.push(Finding::error("C0013", &place, format!("more than {ISUP_CIRCUITS} circuits")));
            return None;
        }
        all.extend(first..=last);
    }
    Some(all.into_iter().collect())
}

// --- steps ------------------------------------------------------------------------------------------

const PLAIN: [(&str, Step); 11] = [
    ("acm", Step::Acm { free: false, in_band: false }),
    ("anm", Step::Anm),
    ("con", Step::Con),
    ("sus", Step::Sus { network: true }),
    ("res", Step::Res { network: true }),
    ("announcement", Step::Announcement),
    ("silence", Step::Silence),
    ("glare", Step::Glare),
    ("block", Step::Trouble(Trouble::Block)),
    ("unblock", Step::Trouble(Trouble::Unblock)),
    ("reset", Step::Trouble(Trouble::Reset)),
];

/// Keys of a step that is a table: one of them makes the step.
const KINDS: [&str; 8] = ["wait", "acm", "cpg", "rel", "sus", "res", "tone-hz", "raw"];

fn steps(value: Value<'_>, lowering: &mut Lowering<'_>) -> Option<Vec<Step>> {
    let items = lowering.items(value)?;
    if items.len() > SWITCH_ENTRIES {
        lowering.push(Finding::error("C0012", &value.place(), format!("more than {SWITCH_ENTRIES} steps")));
        return None;
    }
    let read: Vec<Option<Step>> = items.into_iter().map(|item| step(item, lowering)).collect();
    read.into_iter().collect()
}

fn step(value: Value<'_>, lowering: &mut Lowering<'_>) -> Option<Step> {
    if let DeValue::Table(_) = value.item.get_ref() {
        return step_of_table(value, lowering);
    }
    let text = lowering.text(value)?;
    if let Some((_, step)) = PLAIN.iter().find(|(name, _)| *name == text.text) {
        return Some(step.clone());
    }
    let finding = Finding::error("C0022", &text.place, format!("there is no step \"{}\"", text.text));
    let mut finding = finding.did_you_mean(&text.text, PLAIN.iter().map(|(name, _)| *name));
    if finding.help.is_none() {
        let names: Vec<&str> = PLAIN.iter().map(|(name, _)| *name).collect();
        finding = finding.help(format!("there are: {}; and tables with {}", names.join(", "), KINDS.join(", ")));
    }
    lowering.push(finding);
    None
}

fn step_of_table(value: Value<'_>, lowering: &mut Lowering<'_>) -> Option<Step> {
    let mut table = lowering.table(value, "a step".to_owned())?;
    let mut kinds = KINDS.into_iter().filter(|kind| table.has(kind));
    let (kind, more) = (kinds.next(), kinds.next());
    let Some(kind) = kind.filter(|_| more.is_none()) else {
        for key in KINDS {
            table.get(key);
        }
        table.finish(lowering);
        let finding = Finding::error("C0104", &value.place(), "a step is one thing");
        lowering.push(finding.help(format!("give it one of: {}", KINDS.join(", "))));
        return None;
    };
    let item = table.get(kind)?;
    let step = match kind {
        "wait" => lowering.duration(item, Duration::ZERO..=TIME_MAX).map(Step::Wait),
        "acm" => {
            let free = named(item, "state of a subscriber", &FREE, lowering);
            let in_band = flag("in-band", false, &mut table, lowering);
            free.zip(in_band).map(|(free, in_band)| Step::Acm { free, in_band })
        }
        "cpg" => named(item, "event", &EVENTS, lowering).map(Step::Cpg),
        "rel" => release(item, &mut table, lowering),
        "sus" => named(item, "side", &WHO, lowering).map(|network| Step::Sus { network }),
        "res" => named(item, "side", &WHO, lowering).map(|network| Step::Res { network }),
        "tone-hz" => tone(item, &mut table, lowering),
        _ => octets(item, lowering).map(Step::Raw),
    };
    table.finish(lowering);
    step
}

fn release(value: Value<'_>, table: &mut Section<'_>, lowering: &mut Lowering<'_>) -> Option<Step> {
    let cause = lowering.integer(value, 1..=127, "C0012");
    let location = match table.get("location") {
        Some(value) => named(value, "location", &LOCATIONS, lowering),
        None => Some(Location::RemoteNetwork),
    };
    let cause = cause.and_then(|cause| u8::try_from(cause).ok()).and_then(Cause::new);
    cause.zip(location).map(|(cause, location)| Step::Rel(Release { cause, location }))
}

/// `tone-hz = 440` or `[440, 480]`, `level-dbm0`, `cadence = ["2s", "4s"]`
fn tone(value: Value<'_>, table: &mut Section<'_>, lowering: &mut Lowering<'_>) -> Option<Step> {
    let mut hertz = [0; 4];
    let values = match value.item.get_ref() {
        DeValue::Array(_) => lowering.items(value)?,
        _ => vec![value],
    };
    if values.is_empty() || values.len() > hertz.len() {
        lowering.push(Finding::error("C0012", &value.place(), "a tone has one to four frequencies"));
        return None;
    }
    for (place, value) in hertz.iter_mut().zip(values) {
        *place = lowering.integer(value, 1..=3_999, "C0012").and_then(|hz| u16::try_from(hz).ok())?;
    }
    let level = match table.get("level-dbm0") {
        Some(value) => lowering.tenths(value, -600..=30),
        None => Some(-100),
    };
    let mut cadence_ms = [0; TONE_STEPS];
    if let Some(value) = table.get("cadence") {
        let parts = lowering.items(value)?;
        if parts.len() > TONE_STEPS {
            lowering.push(Finding::error("C0012", &value.place(), format!("a cadence has at most {TONE_STEPS} parts")));
            return None;
        }
        for (place, part) in cadence_ms.iter_mut().zip(parts) {
            let part = lowering.duration(part, Duration::from_millis(1)..=Duration::from_secs(60))?;
            *place = u16::try_from(part.as_millis()).ok()?;
        }
    }
    Some(Step::Sound(Tone { hertz, level_centi_dbm0: i16::try_from(level? * 10).ok()?, cadence_ms }))
}

/// `"06 16 04"`: type and what follows it, in hexadecimal.
fn octets(value: Value<'_>, lowering: &mut Lowering<'_>) -> Option<Vec<u8>> {
    let text = lowering.text(value)?;
    let mut octets = Vec::new();
    for word in text.text.split_whitespace() {
        let octet = u8::from_str_radix(word, 16).ok().filter(|_| word.len() == 2 && !word.starts_with('+'));
        let Some(octet) = octet else {
            let at = text.text.find(word).unwrap_or(0);
            let finding = Finding::error("C0032", &text.part(at, at + word.len()), format!("\"{word}\" is no octet"));
            lowering.push(finding.help("write octets with two digits each: \"06 16 04 00\""));
            return None;
        };
        octets.push(octet);
    }
    if octets.is_empty() || octets.len() > ISUP_FIELD_OCTETS {
        let finding = Finding::error("C0012", &text.place, format!("a message has 1 to {ISUP_FIELD_OCTETS} octets"));
        lowering.push(finding.help("the first is its type; the circuit is put before it"));
        return None;
    }
    Some(octets)
}
