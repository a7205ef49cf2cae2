//! `[[route]]` to a compiled [`Plan`].

use super::findings::{Finding, Place, line_and_column};
use super::load::Tables;
use super::section::{Lowering, Section, Text};
use super::services;
use super::tables::Extensions;
use crate::dialplan::{ANYBODY, Action, Callers, Flaw, Pattern, Plan, Refusal, RingStep, Rule, TargetKind, Template};
use std::collections::BTreeMap;

/// What the gateway itself offers.
const SERVICES: [&str; 2] = ["echo", "milliwatt"];
/// Kinds of targets that the proposal names and that are not built yet.
const LATER: [&str; 4] = ["voicemail", "play", "tone", "modem"];

/// A rule with the places that findings point at.
struct Placed {
    rule: Rule,
    patterns: Vec<Place>,
}

/// The dial plan; `None` when there is none, and findings say why.
pub(super) fn plan(extensions: &Extensions, all: &Tables<'_>, lowering: &mut Lowering<'_>) -> Option<Plan> {
    let known = Known::of(all, extensions);
    let mut names: BTreeMap<String, Place> = BTreeMap::new();
    let mut placed = Vec::new();
    let mut good = true;
    for (place, table) in &all.routes {
        let section = Section::of_plan("[[route]]".to_owned(), place.clone(), table);
        match route(section, &known, &mut names, lowering) {
            Some(route) => placed.push(route),
            None => good = false,
        }
    }
    let owners = extensions.iter().map(|(number, (target, _))| (number.clone(), target.clone())).collect();
    // Rules that can be read are held against each other even if others cannot.
    match Plan::compile(placed.iter().map(|p| p.rule.clone()).collect(), owners) {
        Ok(plan) => good.then_some(plan),
        Err(flaws) => {
            flaws.into_iter().for_each(|flaw| report(flaw, &placed, lowering));
            None
        }
    }
}

/// Names that targets and callers can have.
struct Known<'c> {
    names: Vec<(TargetKind, String)>,
    /// Groups with a member outside.
    groups_outside: Vec<String>,
    extensions: &'c Extensions,
}

impl<'c> Known<'c> {
    /// What has a table has a name, even if the table has mistakes.
    fn of(all: &Tables<'_>, extensions: &'c Extensions) -> Self {
        let with_tables = TargetKind::ALL.into_iter().filter(|kind| *kind != TargetKind::Service);
        let named =
            with_tables.flat_map(|kind| all.named(kind.as_str()).into_iter().map(move |(name, _)| (kind, name)));
        let services = SERVICES.map(|service| (TargetKind::Service, service.to_owned()));
        let is_outside = |section: &Section<'_>| section.lists_text("members", |member| member.starts_with("trunk/"));
        let groups = all.named("group").into_iter().filter(|(_, section)| is_outside(section));
        let groups_outside = groups.map(|(name, _)| name).collect();
        Known { names: named.chain(services).collect(), groups_outside, extensions }
    }

    fn has(&self, kind: TargetKind, name: &str) -> bool {
        self.names.iter().any(|(k, n)| *k == kind && n == name)
    }

    /// Everything as `kind/name`.
    fn all(&self) -> Vec<String> {
        self.names.iter().map(|(kind, name)| format!("{}/{name}", kind.as_str())).collect()
    }

    /// Says that `kind/name` is not there.
    fn missing(&self, kind: TargetKind, text: &Text, lowering: &mut Lowering<'_>) {
        let name = text.text.split_once('/').map_or("", |(_, name)| name);
        let finding = Finding::error("D0103", &text.place, format!("no {} is called \"{name}\"", kind.as_str()));
        let all = self.all();
        lowering.push(finding.label("not defined anywhere").did_you_mean(&text.text, all.iter().map(String::as_str)));
    }
}

/// What the texts of one route are held against.
struct Names<'r> {
    /// `None`: they cannot be read, so nobody knows which named parts there are.
    patterns: Option<&'r [Pattern]>,
    known: &'r Known<'r>,
}

fn route(
    mut section: Section<'_>,
    known: &Known<'_>,
    names: &mut BTreeMap<String, Place>,
    lowering: &mut Lowering<'_>,
) -> Option<Placed> {
    let name = section.require("name", lowering).and_then(|value| lowering.text(value));
    if let Some(text) = &name {
        match names.get(&text.text) {
            Some(earlier) => {
                let finding = Finding::error("D0104", &text.place, format!("two routes are called \"{}\"", text.text));
                lowering.push(finding.label("again here").other(earlier, "first here"));
            }
            None => {
                names.insert(text.text.clone(), text.place.clone());
            }
        }
    }
    let patterns = section.require("match", lowering).and_then(|value| lowering.texts(value));
    let patterns = patterns.and_then(|texts| patterns_of(&texts, lowering));
    let from = match section.get("from") {
        Some(value) => lowering.texts(value).and_then(|texts| callers_of(&texts, known, lowering)),
        None => Some(vec![Callers::Inside]),
    };
    let transit = match section.get("transit") {
        Some(value) => lowering.boolean(value),
        None => Some(false),
    };
    let names = Names { patterns: patterns.as_ref().map(|(patterns, _)| patterns.as_slice()), known };
    let action = action(&mut section, &names, lowering);
    let send = match section.get("send") {
        Some(value) => lowering.table(value, "what is sent".to_owned()).and_then(|mut send| {
            let number = send.require("number", lowering).and_then(|value| lowering.text(value));
            send.later(&["nature"]);
            send.finish(lowering);
            template(&number?, 0, &names, lowering).map(Some)
        }),
        None => Some(None),
    };
    section.later(&["ask", "zone", "when", "caller", "caller-id", "overlap", "before"]);
    let place = section.place.clone();
    section.finish(lowering);
    let (name, (patterns, places), from, action) = (name?, patterns?, from?, action?);
    if !transit? {
        check_transit(&name, &place, (&from, &action), known, lowering)?;
    }
    let place = lowering.files.get(place.file).map_or_else(String::new, |file| {
        let (line, _) = line_and_column(&file.text, place.span.start);
        format!("{}:{line}", file.name)
    });
    let rule = Rule { name: name.text, place, patterns, from, action, send: send? };
    Some(Placed { rule, patterns: places })
}

/// Patterns and their places.
fn patterns_of(texts: &[Text], lowering: &mut Lowering<'_>) -> Option<(Vec<Pattern>, Vec<Place>)> {
    let mut patterns = Vec::new();
    for text in texts {
        match Pattern::parse(&text.text) {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => {
                let finding = Finding::error("D0120", &text.part(error.start, error.end), error.message);
                lowering.push(Finding { help: error.help, ..finding });
            }
        }
    }
    let places = texts.iter().map(|text| text.place.clone()).collect();
    (patterns.len() == texts.len()).then_some((patterns, places))
}

fn callers_of(texts: &[Text], known: &Known<'_>, lowering: &mut Lowering<'_>) -> Option<Vec<Callers>> {
    let mut callers = Vec::new();
    for text in texts {
        match text.text.as_str() {
            "inside" => callers.push(Callers::Inside),
            "outside" => callers.push(Callers::Outside),
            "any" => callers.push(Callers::Any),
            ANYBODY => callers.push(Callers::Named(ANYBODY.to_owned())),
            name => {
                let split = name.split_once('/').and_then(|(kind, name)| Some((kind_of(kind)?, name)));
                match split.filter(|(kind, _)| !matches!(kind, TargetKind::Service | TargetKind::Group)) {
                    Some((kind, of_kind)) if known.has(kind, of_kind) => callers.push(Callers::Named(name.to_owned())),
                    Some((kind, _)) => known.missing(kind, text, lowering),
                    None => {
                        let finding = Finding::error("D0105", &text.place, format!("\"{name}\" is no caller"));
                        let all = known.all();
                        let words =
                            ["inside", "outside", "any", ANYBODY].into_iter().chain(all.iter().map(String::as_str));
                        let finding = finding.label("inside, outside, any, or a name like trunk/carrier");
                        lowering.push(finding.did_you_mean(name, words));
                    }
                }
            }
        }
    }
    (callers.len() == texts.len()).then_some(callers)
}

fn kind_of(word: &str) -> Option<TargetKind> {
    TargetKind::ALL.into_iter().find(|kind| kind.as_str() == word)
}

/// `to`, `via` or `ring`, exactly one.
fn action(section: &mut Section<'_>, names: &Names<'_>, lowering: &mut Lowering<'_>) -> Option<Action> {
    let (to, via) = (section.get("to"), section.get("via"));
    if let Some(ring) = section.get("ring") {
        if let Some(other) = to.or(via) {
            let message = "a route has one of \"to\", \"via\" and \"ring\"";
            lowering.push(Finding::error("D0110", &other.place(), message).help("a step of \"ring\" may have \"to\""));
            return None;
        }
        let steps = lowering.tables(ring, "a step of ring")?;
        if steps.is_empty() {
            lowering.push(Finding::error("D0110", &ring.place(), "this ring has no steps"));
            return None;
        }
        let steps: Vec<_> = steps.into_iter().map(|step| ring_step(step, names, lowering)).collect();
        return steps.into_iter().collect::<Option<Vec<_>>>().map(Action::Ring);
    }
    let texts = match (to, via) {
        (Some(to), None) => vec![lowering.text(to)?],
        (None, Some(via)) => lowering.list(via)?,
        (Some(_), Some(via)) => {
            let message = "a route has \"to\" or \"via\", not both";
            lowering.push(Finding::error("D0110", &via.place(), message).help("\"via\" may have one way out only"));
            return None;
        }
        (None, None) => {
            let finding = Finding::error("D0110", &section.place, "this route leads nowhere");
            lowering.push(finding.label("no \"to\", \"via\" or \"ring\"").help("write to = \"kind/name\""));
            return None;
        }
    };
    let mut targets = Vec::new();
    for text in &texts {
        let Some((kind, _)) = text.text.split_once('/') else {
            let finding = Finding::error("D0103", &text.place, format!("\"{}\" is no target", text.text));
            let all = names.known.all();
            let finding = finding.did_you_mean(&text.text, all.iter().map(String::as_str));
            lowering.push(finding.label("a target is written kind/name"));
            continue;
        };
        let at = kind.len() + 1;
        let alone = texts.len() == 1;
        match kind {
            "refuse" if alone => return refusal(text, at, lowering),
            "extension" if alone => return extension(text, at, names, lowering),
            "refuse" | "extension" => {
                lowering.push(Finding::error(
                    "D0110",
                    &text.place,
                    format!("{kind}/ cannot be one of several ways out"),
                ));
            }
            _ => match kind_of(kind) {
                Some(kind) => targets.extend(target(kind, text, at, names, lowering)),
                None => unknown_kind(kind, text, lowering),
            },
        }
    }
    (targets.len() == texts.len()).then_some(Action::Targets(targets))
}

/// `{ all = [...], for = "20s" }`, `{ group = "sales" }` or `{ to = "phone/201", for = "20s" }`.
fn ring_step(mut step: Section<'_>, names: &Names<'_>, lowering: &mut Lowering<'_>) -> Option<RingStep> {
    let (all, group, to) = (step.get("all"), step.get("group"), step.get("to"));
    let rings_for = match step.get("for") {
        Some(value) => lowering.duration(value, services::RINGS_FOR).map(Some),
        None => Some(None),
    };
    step.later(&["play", "when"]);
    let place = step.place.clone();
    step.finish(lowering);
    let whom = match (all, group, to) {
        (Some(all), None, None) => lowering.list(all)?,
        (None, None, Some(to)) => vec![lowering.text(to)?],
        (None, Some(group), None) => {
            let text = lowering.text(group)?;
            if !names.known.has(TargetKind::Group, &text.text) {
                names.known.missing(TargetKind::Group, &text, lowering);
                return None;
            }
            let whom = vec![(Some(TargetKind::Group), Template::parse(&text.text, &[]).ok()?)];
            return Some(RingStep { whom, rings_for: rings_for? });
        }
        _ => {
            let finding = Finding::error("D0110", &place, "a step of ring has one of \"all\", \"group\" and \"to\"");
            lowering.push(finding.help("write { all = [\"phone/201\", \"station/105\"], for = \"20s\" }"));
            return None;
        }
    };
    let mut rung = Vec::new();
    for text in &whom {
        let (kind, _) = text.text.split_once('/').unwrap_or((text.text.as_str(), ""));
        let at = (kind.len() + 1).min(text.text.len());
        rung.extend(match (kind, kind_of(kind)) {
            ("extension", _) => match extension(text, at, names, lowering) {
                Some(Action::Extension(number)) => Some((None, number)),
                _ => None,
            },
            (_, Some(kind)) if kind != TargetKind::Service => {
                target(kind, text, at, names, lowering).map(|(kind, name)| (Some(kind), name))
            }
            _ => {
                unknown_kind(kind, text, lowering);
                None
            }
        });
    }
    (!rung.is_empty() && rung.len() == whom.len()).then_some(RingStep { whom: rung, rings_for: rings_for? })
}

fn unknown_kind(kind: &str, text: &Text, lowering: &mut Lowering<'_>) {
    let place = text.part(0, kind.len());
    if LATER.contains(&kind) {
        lowering.push(Finding::error("D0006", &place, format!("{kind}/ is not built yet")));
        return;
    }
    let kinds = TargetKind::ALL.map(TargetKind::as_str).into_iter().chain(["extension", "refuse"]);
    let finding = Finding::error("D0103", &place, format!("there is no kind of target \"{kind}\""));
    let finding = finding.did_you_mean(kind, kinds.clone());
    let list = kinds.collect::<Vec<_>>().join(", ");
    lowering.push(if finding.help.is_some() { finding } else { finding.help(format!("there are: {list}")) });
}

fn refusal(text: &Text, at: usize, lowering: &mut Lowering<'_>) -> Option<Action> {
    let name = text.text.get(at..).unwrap_or("");
    let refusal = Refusal::from_name(name);
    if refusal.is_none() {
        let place = text.part(at, text.text.len());
        let finding = Finding::error("D0122", &place, format!("there is no reason \"{name}\""));
        let finding = finding.did_you_mean(name, Refusal::NAMES);
        let list = Refusal::NAMES.join(", ");
        lowering.push(if finding.help.is_some() { finding } else { finding.help(format!("there are: {list}")) });
    }
    refusal.map(Action::Refuse)
}

fn extension(text: &Text, at: usize, names: &Names<'_>, lowering: &mut Lowering<'_>) -> Option<Action> {
    let number = template(text, at, names, lowering)?;
    if let Some(constant) = number.constant().filter(|number| !names.known.extensions.contains_key(*number)) {
        let finding = Finding::error("D0103", &text.place, format!("nobody has the number {constant}"));
        lowering.push(finding.label("no phone and no station has it"));
        return None;
    }
    Some(Action::Extension(number))
}

fn target(
    kind: TargetKind,
    text: &Text,
    at: usize,
    names: &Names<'_>,
    lowering: &mut Lowering<'_>,
) -> Option<(TargetKind, Template)> {
    let template = template(text, at, names, lowering)?;
    if template.constant().is_some_and(|name| !names.known.has(kind, name)) {
        names.known.missing(kind, text, lowering);
        return None;
    }
    Some((kind, template))
}

/// The template that begins at byte `at` of the text.
fn template(text: &Text, at: usize, names: &Names<'_>, lowering: &mut Lowering<'_>) -> Option<Template> {
    let written = text.text.get(at..).unwrap_or("");
    if names.patterns.is_none() && written.contains('{') {
        return None;
    }
    match Template::parse(written, names.patterns.unwrap_or(&[])) {
        Ok(template) => Some(template),
        Err(error) => {
            let place = text.part(at + error.start, at + error.end);
            lowering.push(Finding::error("D0121", &place, error.message));
            None
        }
    }
}

/// Toll fraud begins where a call from outside reaches a way out: it must be said on purpose.
fn check_transit(
    name: &Text,
    place: &Place,
    (from, action): (&[Callers], &Action),
    known: &Known<'_>,
    lowering: &mut Lowering<'_>,
) -> Option<()> {
    let targets: Vec<(TargetKind, &Template)> = match action {
        Action::Targets(targets) => targets.iter().map(|(kind, name)| (*kind, name)).collect(),
        Action::Ring(steps) => {
            let whom = steps.iter().flat_map(|step| &step.whom);
            whom.filter_map(|(kind, name)| Some(((*kind)?, name))).collect()
        }
        Action::Extension(_) | Action::Refuse(_) => return Some(()),
    };
    let way_out = targets.into_iter().any(|(kind, name)| match kind {
        TargetKind::Trunk | TargetKind::Line | TargetKind::Isup => true,
        TargetKind::Group => {
            let is_that = |group: &String| name.constant().is_none_or(|name| name == group);
            known.groups_outside.iter().any(is_that)
        }
        TargetKind::Phone | TargetKind::Station | TargetKind::Service => false,
    });
    if !way_out || !from.iter().any(Callers::include_outside) {
        return Some(());
    }
    let message = format!("\"{}\" leads callers from outside to outside", name.text);
    let finding = Finding::error("D0401", place, message).label("without transit = true");
    lowering.push(finding.help("if that is meant, write transit = true"));
    None
}

fn report(flaw: Flaw, placed: &[Placed], lowering: &mut Lowering<'_>) {
    let place = |(rule, pattern): (usize, usize)| placed[rule].patterns[pattern].clone();
    match flaw {
        Flaw::Crossing { first, second, witness } => {
            let finding = Finding::error("D0201", &place(second), "two rules cross and neither is narrower");
            let finding = finding.label(format!("accepts {witness}"));
            let finding = finding.other(&place(first), format!("accepts {witness} too"));
            lowering.push(finding.help("make one of them narrower, or serve different callers with \"from\""));
        }
        Flaw::Unreachable { first, second } => {
            let finding = Finding::error("D0202", &place(second), "this pattern can never be reached");
            let finding = finding.label("the same numbers of the same callers");
            lowering.push(finding.other(&place(first), "this one takes every number first"));
        }
        Flaw::TooLarge => {
            let whole = Place { file: 0, span: 0..0 };
            let message = "the patterns need too many states together";
            lowering.push(Finding::error("D0203", &whole, message).help("use fewer patterns that differ late only"));
        }
    }
}
