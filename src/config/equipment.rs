//! Cards and what hangs on their ports; circuit groups.

use super::findings::{Finding, Place};
use super::section::{Lowering, Section, Value};
use super::services;
use super::tables::{Extensions, choice, number, optional_text};
use super::{Card, Driver, Handset, Line, Plays, Station};
use crate::dialplan::TargetKind;
use crate::line::Country;
use std::collections::BTreeMap;
use std::time::Duration;
use tipring_hal::PortIndex;

/// Greatest number of a port on a card.
const PORT_MAX: i64 = 255;
/// Greatest error of a crystal, in parts per million (architecture 2.6).
const CRYSTAL_PPM_MAX: i64 = 1_000;
/// Drivers that exist or are promised.
const DRIVERS: [&str; 4] = ["virtual", "dahdi", "alsa", "modem"];

pub(super) fn card(name: String, mut section: Section<'_>, lowering: &mut Lowering<'_>) -> Option<Card> {
    let driver = section.require("driver", lowering).and_then(|value| lowering.text(value));
    let crystal_ppm = match section.get("crystal-ppm") {
        Some(value) => lowering.integer(value, -CRYSTAL_PPM_MAX..=CRYSTAL_PPM_MAX, "C0012"),
        None => Some(0),
    };
    section.finish(lowering);
    let driver = driver?;
    let known = DRIVERS.map(|name| (name, name));
    if choice(&driver, &known, "C0017", "driver", lowering)? != "virtual" {
        let finding =
            Finding::error("C0006", &driver.place, format!("the driver \"{}\" is not built yet", driver.text));
        lowering.push(finding.help("\"virtual\" is a simulated card"));
        return None;
    }
    Some(Card { name, driver: Driver::Virtual { crystal_ppm: crystal_ppm? as i32, ports: 0 } })
}

/// Who uses a port: by index of the card and number of the port.
pub(super) type Ports = BTreeMap<(usize, u16), (String, Place)>;

/// `card` and `port`; entered into the list of ports.
fn card_and_port(
    section: &mut Section<'_>,
    cards: &[String],
    ports: &mut Ports,
    lowering: &mut Lowering<'_>,
) -> Option<(usize, PortIndex)> {
    let card = section.require("card", lowering).and_then(|value| lowering.text(value));
    let port = section.require("port", lowering);
    let card = card.and_then(|text| {
        let found = cards.iter().position(|name| *name == text.text);
        if found.is_none() {
            let finding = Finding::error("C0102", &text.place, format!("no card is called \"{}\"", text.text));
            let finding = finding.label("not defined anywhere");
            lowering.push(finding.did_you_mean(&text.text, cards.iter().map(String::as_str)));
        }
        found
    });
    let place = port.map(|value| value.place());
    let port = port.and_then(|value| lowering.integer(value, 0..=PORT_MAX, "C0012"));
    let (card, port, place) = (card?, port? as u16, place?);
    if let Some((owner, earlier)) = ports.get(&(card, port)) {
        let message = format!("port {port} of card \"{}\" is used twice", cards[card]);
        let finding = Finding::error("C0103", &place, message);
        lowering.push(finding.label("again here").other(earlier, format!("{owner} has it")));
    } else {
        ports.insert((card, port), (section.title.clone(), place));
    }
    Some((card, PortIndex(port)))
}

fn country(section: &mut Section<'_>, lowering: &mut Lowering<'_>) -> Option<String> {
    let Some(value) = section.get("country") else { return Some(Country::US.code.to_owned()) };
    let text = lowering.text(value)?;
    let known: Vec<(&str, &str)> = Country::all().iter().map(|country| (country.code, country.code)).collect();
    choice(&text, &known, "C0016", "country", lowering).map(str::to_owned)
}

pub(super) fn station(
    name: String,
    mut section: Section<'_>,
    cards: &[String],
    ports: &mut Ports,
    extensions: &mut Extensions,
    lowering: &mut Lowering<'_>,
) -> Option<Station> {
    let card_and_port = card_and_port(&mut section, cards, ports, lowering);
    let number = number(&name, TargetKind::Station, &mut section, extensions, lowering);
    let country = country(&mut section, lowering);
    let caller_name = optional_text("caller-name", &mut section, lowering);
    let forward = services::forward(&mut section, lowering);
    let handset = match section.get("handset") {
        Some(value) => handset(value, lowering),
        None => Some(Handset::default()),
    };
    section.finish(lowering);
    let (card, port) = card_and_port?;
    Some(Station {
        name,
        card,
        port,
        number: number?,
        country: country?,
        caller_name: caller_name?,
        forward: forward?,
        handset: handset?,
    })
}

fn handset(value: Value<'_>, lowering: &mut Lowering<'_>) -> Option<Handset> {
    let mut table = lowering.table(value, "a handset".to_owned())?;
    let mut after = |key, lowering: &mut Lowering<'_>| match table.get(key) {
        Some(value) => lowering.duration(value, Duration::ZERO..=Duration::from_secs(3_600)).map(Some),
        None => Some(None),
    };
    let answers_after = after("answers-after", lowering);
    let hangs_up_after = after("hangs-up-after", lowering);
    let off_hook = match table.get("off-hook") {
        Some(value) => lowering.boolean(value),
        None => Some(false),
    };
    let plays = match table.get("plays") {
        Some(value) => plays(value, lowering),
        None => Some(Plays::Silence),
    };
    table.finish(lowering);
    Some(Handset { answers_after: answers_after?, hangs_up_after: hangs_up_after?, off_hook: off_hook?, plays: plays? })
}

fn plays(value: Value<'_>, lowering: &mut Lowering<'_>) -> Option<Plays> {
    let mut table = lowering.table(value, "what a handset plays".to_owned())?;
    let echo = (table.get("echo-after"), table.get("weaker-db"));
    let tone = (table.get("tone-hz"), table.get("level-dbm0"));
    table.finish(lowering);
    match (echo, tone) {
        ((Some(after), weaker), (None, None)) => {
            let after = lowering.duration(after, Duration::ZERO..=Duration::from_secs(2));
            let weaker = weaker.map_or(Some(0), |value| lowering.tenths(value, 0..=600));
            Some(Plays::Echo { after: after?, weaker_tenth_db: weaker? as u16 })
        }
        ((None, None), (Some(hertz), level)) => {
            let hertz = lowering.integer(hertz, 50..=3_900, "C0012");
            let level = level.map_or(Some(-100), |value| lowering.tenths(value, -600..=30));
            Some(Plays::Tone { hertz: hertz? as u16, level_tenth_dbm0: level? as i16 })
        }
        _ => {
            let finding = Finding::error("C0021", &value.place(), "a handset plays an echo or a tone");
            let example = "{ echo-after = \"200ms\", weaker-db = 6 } or { tone-hz = 1004, level-dbm0 = -10 }";
            lowering.push(finding.help(example));
            None
        }
    }
}

pub(super) fn line(
    name: String,
    mut section: Section<'_>,
    cards: &[String],
    ports: &mut Ports,
    lowering: &mut Lowering<'_>,
) -> Option<Line> {
    let card_and_port = card_and_port(&mut section, cards, ports, lowering);
    let country = country(&mut section, lowering);
    section.later(&["office", "signalling", "levels"]);
    section.finish(lowering);
    let (card, port) = card_and_port?;
    Some(Line { name, card, port, country: country? })
}
