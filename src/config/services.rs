//! Ring groups, forwarding and redirects: `[group.NAME]`, `forward` and `redirects`.

use super::findings::Finding;
use super::load::Tables;
use super::section::{Lowering, Section, Text};
use super::tables::{Extensions, choice};
use super::{Carriage, Domain, Forward, Group, Hunt, Listener, Member, Redirects};
use super::{tls, values};
use crate::dialplan::{Target, TargetKind};
use crate::limits::GROUP_MEMBERS;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How long somebody can ring before it is the turn of others.
pub(super) const RINGS_FOR: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(180);
/// When the configuration does not say.
const RINGS_FOR_DEFAULT: Duration = Duration::from_secs(20);

/// `forward = { always = "...", busy = "...", no-answer = "...", unreachable = "...", after = "20s" }`.
pub(super) fn forward(section: &mut Section<'_>, lowering: &mut Lowering<'_>) -> Option<Forward> {
    let Some(value) = section.get("forward") else { return Some(Forward::default()) };
    let place = value.place();
    let mut table = lowering.table(value, "a forwarding".to_owned())?;
    let mut to = |key, lowering: &mut Lowering<'_>| match table.get(key) {
        Some(value) => values::number(value, lowering).map(|text| Some(text.text)),
        None => Some(None),
    };
    let always = to("always", lowering);
    let busy = to("busy", lowering);
    let no_answer = to("no-answer", lowering);
    let unreachable = to("unreachable", lowering);
    let after = match table.get("after") {
        Some(value) => lowering.duration(value, RINGS_FOR).map(Some),
        None => Some(None),
    };
    table.finish(lowering);
    let (always, busy, no_answer, unreachable, after) = (always?, busy?, no_answer?, unreachable?, after?);
    let nothing = always.is_none() && busy.is_none() && no_answer.is_none() && unreachable.is_none();
    if nothing {
        let finding = Finding::error("C0023", &place, "this forwarding leads nowhere");
        lowering.push(finding.help("write always, busy, no-answer or unreachable = \"NUMBER\" in it"));
        return None;
    }
    if after.is_some() && no_answer.is_none() {
        let finding = Finding::error("C0023", &place, "\"after\" is for \"no-answer\", which is not there");
        lowering.push(finding.help("write no-answer = \"NUMBER\", or leave \"after\" out"));
        return None;
    }
    Some(Forward { always, busy, no_answer, unreachable, after: after.unwrap_or(RINGS_FOR_DEFAULT) })
}

/// `redirects = "follow"`
pub(super) fn redirects(section: &mut Section<'_>, lowering: &mut Lowering<'_>) -> Option<Redirects> {
    let Some(value) = section.get("redirects") else { return Some(Redirects::Follow) };
    let known = [("follow", Redirects::Follow), ("pass", Redirects::Pass), ("refuse", Redirects::Refuse)];
    lowering.text(value).and_then(|text| choice(&text, &known, "C0022", "way with redirects", lowering))
}

/// `calls = "carry"`
pub(super) fn carriage(section: &mut Section<'_>, lowering: &mut Lowering<'_>) -> Option<Carriage> {
    let Some(value) = section.get("calls") else { return Some(Carriage::Carry) };
    let known = [("carry", Carriage::Carry), ("proxy", Carriage::Proxy), ("redirect", Carriage::Redirect)];
    lowering.text(value).and_then(|text| choice(&text, &known, "C0022", "way with calls", lowering))
}

/// `[domain."NAME"]`
pub(super) fn domain(
    name: String,
    mut section: Section<'_>,
    listen: Option<&[Listener]>,
    lowering: &mut Lowering<'_>,
) -> Option<Domain> {
    let to = section.require("to", lowering).and_then(|value| {
        let text = lowering.text(value)?;
        tls::reachable(&text, listen, lowering)
    });
    let calls = section.require("calls", lowering).and_then(|value| {
        let known = [("proxy", Carriage::Proxy), ("redirect", Carriage::Redirect)];
        lowering.text(value).and_then(|text| choice(&text, &known, "C0022", "way with calls", lowering))
    });
    section.finish(lowering);
    Some(Domain { name, to: to?, calls: calls? })
}

/// `[group.NAME]`
pub(super) fn group(
    name: String,
    mut section: Section<'_>,
    all: &Tables<'_>,
    extensions: &Extensions,
    lowering: &mut Lowering<'_>,
) -> Option<Group> {
    let members = section.require("members", lowering).and_then(|value| {
        let texts = lowering.list(value)?;
        if texts.len() > GROUP_MEMBERS {
            let message = format!("a group has at most {GROUP_MEMBERS} members");
            lowering.push(Finding::error("C0024", &value.place(), message).help("make two groups of it"));
            return None;
        }
        let members: Vec<_> = texts.iter().map(|text| member(text, all, extensions, lowering)).collect();
        members.into_iter().collect::<Option<Vec<_>>>()
    });
    let ring = match section.get("ring") {
        Some(value) => {
            let known = [
                ("all", Hunt::All),
                ("in-order", Hunt::InOrder),
                ("rotate", Hunt::Rotate),
                ("longest-idle", Hunt::LongestIdle),
                ("random", Hunt::Random),
            ];
            lowering.text(value).and_then(|text| choice(&text, &known, "C0022", "way to ring", lowering))
        }
        None => Some(Hunt::All),
    };
    let rings_for = match section.get("for") {
        Some(value) => lowering.duration(value, RINGS_FOR),
        None => Some(RINGS_FOR_DEFAULT),
    };
    section.finish(lowering);
    Some(Group { name, members: members?, ring: ring?, rings_for: rings_for? })
}

/// `phone/NAME`, `station/NAME`, `extension/NUMBER` or `trunk/NAME/NUMBER`.
fn member(text: &Text, all: &Tables<'_>, extensions: &Extensions, lowering: &mut Lowering<'_>) -> Option<Member> {
    let has = |kind: TargetKind, name: &str| all.named(kind.as_str()).iter().any(|(n, _)| n == name);
    let parts: Vec<&str> = text.text.splitn(3, '/').collect();
    let found = match parts.as_slice() {
        ["extension", number] => extensions.get(*number).map(|(target, _)| (target.clone(), *number)),
        ["phone", name] if has(TargetKind::Phone, name) => {
            Some((Target { kind: TargetKind::Phone, name: (*name).to_owned() }, *name))
        }
        ["station", name] if has(TargetKind::Station, name) => {
            Some((Target { kind: TargetKind::Station, name: (*name).to_owned() }, *name))
        }
        ["trunk", name, number] if has(TargetKind::Trunk, name) && !number.is_empty() => {
            Some((Target { kind: TargetKind::Trunk, name: (*name).to_owned() }, *number))
        }
        _ => None,
    };
    let Some((target, number)) = found else {
        let names = [TargetKind::Phone, TargetKind::Station].into_iter().flat_map(|kind| {
            all.named(kind.as_str()).into_iter().map(move |(name, _)| format!("{}/{name}", kind.as_str()))
        });
        let names: Vec<String> = names.collect();
        let finding = Finding::error("D0103", &text.place, format!("\"{}\" cannot be a member", text.text));
        let finding = finding.label("phone/NAME, station/NAME, extension/NUMBER or trunk/NAME/NUMBER");
        lowering.push(finding.did_you_mean(&text.text, names.iter().map(String::as_str)));
        return None;
    };
    Some(Member { target, number: number.to_owned() })
}
