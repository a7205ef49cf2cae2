//! `pass-headers` and `pass-bodies` of `[sip]` and `[trunk.NAME]`: what a call carries from one leg to the other.

use super::findings::Finding;
use super::section::{Lowering, Section, Text, Value};
use super::tables::choice;
use crate::sip::Passing;
use crate::sip::carried::may_pass;
use toml::de::DeValue;

/// Names that one list may hold.
const NAMES_MAX: usize = 64;

/// `pass-headers`: `"all"`, `"none"`, or names. Inner `None`: the key is not there.
pub(super) fn headers(section: &mut Section<'_>, lowering: &mut Lowering<'_>) -> Option<Option<Passing>> {
    let Some(value) = section.get("pass-headers") else { return Some(None) };
    passing(value, lowering, &|text, lowering| {
        let name = text.text.strip_suffix('*').unwrap_or(&text.text);
        if name.is_empty() || !name.bytes().all(is_token) {
            let finding = Finding::error("C0022", &text.place, format!("\"{}\" is no header field", text.text));
            lowering.push(finding.help("write names like \"User-to-User\", or \"X-*\" for all that begin so"));
            return false;
        }
        if name == text.text && !may_pass(name) {
            let finding = Finding::error("C0022", &text.place, format!("{name} is never passed on"));
            lowering.push(finding.label("it belongs to one hop or dialog, or is said anew on the other leg"));
            return false;
        }
        true
    })
    .map(Some)
}

/// `pass-bodies`: `"all"`, `"none"`, or media types. Inner `None`: the key is not there.
pub(super) fn bodies(section: &mut Section<'_>, lowering: &mut Lowering<'_>) -> Option<Option<Passing>> {
    let Some(value) = section.get("pass-bodies") else { return Some(None) };
    passing(value, lowering, &|text, lowering| {
        let is_type = text.text.split_once('/').is_some_and(|(group, kind)| {
            let is_kind = kind == "*" || (!kind.is_empty() && kind.bytes().all(is_token) && !kind.contains('*'));
            !group.is_empty() && group.bytes().all(is_token) && !group.contains('*') && is_kind
        });
        if !is_type {
            let finding = Finding::error("C0022", &text.place, format!("\"{}\" is no media type", text.text));
            lowering.push(finding.help("write types like \"application/pidf+xml\" or \"text/*\""));
        } else if text.text.eq_ignore_ascii_case("application/sdp") {
            let finding = Finding::error("C0022", &text.place, "a session description is never passed on");
            lowering.push(finding.label("each leg has its own"));
            return false;
        }
        is_type
    })
    .map(Some)
}

/// RFC 3261 25.1.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

fn passing(
    value: Value<'_>,
    lowering: &mut Lowering<'_>,
    is_name: &dyn Fn(&Text, &mut Lowering<'_>) -> bool,
) -> Option<Passing> {
    if matches!(value.item.get_ref(), DeValue::String(_)) {
        let text = lowering.text(value)?;
        let is_all = choice(&text, &[("all", true), ("none", false)], "C0022", "such choice as", lowering)?;
        return Some(if is_all { Passing::All } else { Passing::Nothing });
    }
    let place = value.place();
    let texts = lowering.list(value)?;
    if texts.len() > NAMES_MAX {
        lowering.push(Finding::error("C0014", &place, format!("more than {NAMES_MAX} names")));
        return None;
    }
    let mut good = true;
    for text in &texts {
        good &= is_name(text, lowering);
    }
    good.then(|| Passing::Only(texts.into_iter().map(|text| text.text).collect()))
}
