//! `[isup.NAME]`, and how any trunk translates between statuses and causes.

use super::findings::Finding;
use super::section::{Lowering, Section, Text};
use super::tables::choice;
use crate::trunk::interwork::{Interworking, Profile};
use std::ops::RangeInclusive;

/// A circuit group: a trunk that speaks ISUP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isup {
    /// Its name, without `isup/`.
    pub name: String,
    /// `interworking` and `overrides`.
    pub interworking: Interworking,
}

/// Q.850 cause values.
const CAUSES: RangeInclusive<u16> = 1..=127;
/// Final responses that refuse.
const STATUSES: RangeInclusive<u16> = 300..=699;

pub(super) fn isup(name: String, mut section: Section<'_>, lowering: &mut Lowering<'_>) -> Option<Isup> {
    let transport = section.require("transport", lowering).and_then(|value| lowering.text(value));
    let interworking = interworking(&mut section, lowering);
    section.later(&["circuits", "variant", "timers"]);
    section.finish(lowering);
    choice(&transport?, &[("simulated", ())], "C0022", "transport", lowering)?;
    Some(Isup { name, interworking: interworking? })
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
