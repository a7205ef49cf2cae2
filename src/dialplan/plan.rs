//! Rules to a [`Plan`], and the two questions that it answers.

use super::automaton::Automaton;
use super::target::{Chosen, Completeness, Considered, Decision, Refusal, Rung, Target, TargetKind, Verdict};
use super::{Pattern, Template};
use crate::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whom a rule serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callers {
    /// Telephones of the exchange.
    Inside,
    /// Trunks, exchange lines, circuit groups.
    Outside,
    /// Everybody.
    Any,
    /// One of them: `phone/201`, `trunk/loopback`; or [`ANYBODY`].
    Named(String),
}

/// Where calls come from that nobody has proved to be his. Only a rule that names it serves them: the words for
/// many were written with those in mind whom we know.
pub const ANYBODY: &str = "anybody";

/// Whether calls from `origin` (`phone/201`) come from inside: telephones do, trunks and lines do not.
pub fn is_inside(origin: &str) -> bool {
    origin.starts_with("phone/") || origin.starts_with("station/")
}

impl Callers {
    /// Whether a call from `origin` is meant.
    pub(super) fn serves(&self, origin: &str, inside: bool) -> bool {
        match self {
            Callers::Named(name) => name == origin,
            _ if origin == ANYBODY => false,
            Callers::Inside => inside,
            Callers::Outside => !inside,
            Callers::Any => true,
        }
    }

    /// Whether everybody whom `other` means is meant.
    pub(super) fn covers(&self, other: &Callers) -> bool {
        match (self, other) {
            (Callers::Inside | Callers::Outside | Callers::Any, Callers::Named(name)) if name == ANYBODY => false,
            (Callers::Any, _) => true,
            (_, Callers::Any) => false,
            (Callers::Named(ours), Callers::Named(theirs)) => ours == theirs,
            (Callers::Named(_), _) => false,
            (Callers::Inside, Callers::Named(name)) => is_inside(name),
            (Callers::Outside, Callers::Named(name)) => !is_inside(name),
            (Callers::Inside | Callers::Outside, _) => self == other,
        }
    }

    /// Whether calls may come from outside.
    pub fn include_outside(&self) -> bool {
        match self {
            Callers::Inside => false,
            Callers::Outside | Callers::Any => true,
            Callers::Named(name) => !is_inside(name),
        }
    }
}

/// What a rule does with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ways out, tried in order: kind and name; not empty.
    Targets(Vec<(TargetKind, Template)>),
    /// `extension/NUMBER`: whoever has that number.
    Extension(Template),
    /// `ring`: steps taken one after the other until somebody answers; not empty.
    Ring(Vec<RingStep>),
    /// `refuse/REASON`
    Refuse(Refusal),
}

/// One step of a `ring`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingStep {
    /// Who rings at once: kind and name, or a number that somebody has; not empty.
    pub whom: Vec<(Option<TargetKind>, Template)>,
    /// `for`
    pub rings_for: Option<Duration>,
}

/// One `[[route]]`.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `name`
    pub name: String,
    /// Where it stands: `file:line`, for explanations.
    pub place: String,
    /// `match`; not empty.
    pub patterns: Vec<Pattern>,
    /// `from`; not empty.
    pub from: Vec<Callers>,
    /// `to`, `via`
    pub action: Action,
    /// `send = { number = ... }`: what a target is sent; what stands right of the bar when not given.
    pub send: Option<Template>,
}

impl Rule {
    fn serves(&self, origin: &str, inside: bool) -> bool {
        self.from.iter().any(|callers| callers.serves(origin, inside))
    }

    fn shares_callers(&self, other: &Rule) -> bool {
        self.from.iter().any(|a| other.from.iter().any(|b| a.covers(b) || b.covers(a)))
    }

    fn covers_callers(&self, other: &Rule) -> bool {
        other.from.iter().all(|theirs| self.from.iter().any(|ours| ours.covers(theirs)))
    }
}

/// Why rules are no plan. Rules and patterns by index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Two patterns accept `witness`, and neither is narrower.
    Crossing {
        /// Rule and pattern that come first.
        first: (usize, usize),
        /// Rule and pattern that come later.
        second: (usize, usize),
        /// A number that both accept.
        witness: String,
    },
    /// `second` accepts the same numbers as `first` from callers whom `first` serves already.
    Unreachable {
        /// Rule and pattern that come first.
        first: (usize, usize),
        /// Rule and pattern that come later.
        second: (usize, usize),
    },
    /// The automaton would have too many states.
    TooLarge,
}

#[derive(Debug, Default)]
struct Compiled {
    rules: Vec<Rule>,
    extensions: BTreeMap<String, Target>,
    automaton: Automaton,
    /// Rule and pattern of each pattern of the automaton.
    owners: Vec<(usize, usize)>,
}

/// A compiled dial plan: immutable, shared by clones.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    compiled: Arc<Compiled>,
}

impl Plan {
    /// Compiles rules; `extensions` says who has which number.
    pub fn compile(rules: Vec<Rule>, extensions: BTreeMap<String, Target>) -> Result<Plan, Vec<Flaw>> {
        let owners: Vec<(usize, usize)> = rules
            .iter()
            .enumerate()
            .flat_map(|(rule, r)| (0..r.patterns.len()).map(move |pattern| (rule, pattern)))
            .collect();
        let patterns: Vec<Pattern> = rules.iter().flat_map(|r| r.patterns.iter().cloned()).collect();
        let rank = rank(&rules, &owners, &patterns)?;
        let automaton = Automaton::build(&patterns, &rank).ok_or_else(|| vec![Flaw::TooLarge])?;
        Ok(Plan { compiled: Arc::new(Compiled { rules, extensions, automaton, owners }) })
    }

    /// The rules, in the order of the file.
    pub fn rules(&self) -> &[Rule] {
        &self.compiled.rules
    }

    /// Who has which number.
    pub fn extensions(&self) -> &BTreeMap<String, Target> {
        &self.compiled.extensions
    }

    /// Where a call from `origin` (`phone/201`, `trunk/loopback`) to `digits` goes. `inside` says
    /// whether that origin counts as inside, see [`is_inside`].
    pub fn route(&self, origin: &str, inside: bool, digits: &str) -> Decision {
        let compiled = &*self.compiled;
        let reading = compiled.automaton.read(digits);
        let mut chosen: Option<(usize, usize)> = None;
        let mut considered = Vec::new();
        for (rule, pattern) in reading.accepts.iter().map(|&index| compiled.owners[index as usize]) {
            let serves = compiled.rules[rule].serves(origin, inside);
            let why = match chosen {
                None if serves => {
                    chosen = Some((rule, pattern));
                    continue;
                }
                Some((taken, _)) if taken == rule => continue,
                _ if !serves => "not for this caller",
                _ => "wider, or the same and later",
            };
            let Rule { name, place, patterns, .. } = &compiled.rules[rule];
            let (name, place, pattern) = (name.clone(), place.clone(), patterns[pattern].as_str().to_owned());
            considered.push(Considered { rule, name, place, pattern, why });
        }
        let dialled = digits.to_owned();
        let Some((index, pattern)) = chosen else {
            let grows = self.any_serves(reading.grows, origin, inside);
            let refusal = match (considered.is_empty(), grows) {
                (_, true) => Refusal::Incomplete,
                (true, false) => Refusal::Unassigned,
                (false, false) => Refusal::NoRoute,
            };
            let verdict = Verdict::Refused(refusal);
            return Decision { number: dialled.clone(), dialled, chosen: None, verdict, considered };
        };
        let rule = &compiled.rules[index];
        let pattern = &rule.patterns[pattern];
        let number = match &rule.send {
            Some(send) => send.fill(pattern, digits),
            None => pattern.number(digits).to_owned(),
        };
        let verdict = compiled.verdict(rule, pattern, digits);
        let (name, place, pattern) = (rule.name.clone(), rule.place.clone(), pattern.as_str().to_owned());
        Decision { dialled, number, chosen: Some(Chosen { rule: index, name, place, pattern }), verdict, considered }
    }

    /// What more digits would change, for a caller who dials digit by digit.
    pub fn completeness(&self, origin: &str, inside: bool, digits: &str) -> Completeness {
        let reading = self.compiled.automaton.read(digits);
        let accepts = self.any_serves(reading.accepts, origin, inside);
        match (accepts, self.any_serves(reading.grows, origin, inside)) {
            (true, false) => Completeness::Complete,
            (true, true) => Completeness::CompleteMayGrow,
            (false, true) => Completeness::Incomplete,
            (false, false) => Completeness::Impossible,
        }
    }

    fn any_serves(&self, patterns: &[u32], origin: &str, inside: bool) -> bool {
        let compiled = &*self.compiled;
        patterns.iter().any(|&index| compiled.rules[compiled.owners[index as usize].0].serves(origin, inside))
    }
}

impl Compiled {
    fn verdict(&self, rule: &Rule, pattern: &Pattern, digits: &str) -> Verdict {
        match &rule.action {
            Action::Refuse(refusal) => Verdict::Refused(*refusal),
            Action::Extension(number) => match self.extensions.get(&number.fill(pattern, digits)) {
                Some(target) => Verdict::Targets(vec![target.clone()]),
                None => Verdict::Refused(Refusal::Unassigned),
            },
            Action::Ring(steps) => self.ring(steps, pattern, digits),
            Action::Targets(targets) => {
                let fill =
                    |(kind, name): &(TargetKind, Template)| Target { kind: *kind, name: name.fill(pattern, digits) };
                Verdict::Targets(targets.iter().map(fill).collect())
            }
        }
    }
}

impl Compiled {
    /// Steps with those of their numbers that somebody has.
    fn ring(&self, steps: &[RingStep], pattern: &Pattern, digits: &str) -> Verdict {
        let rung = |step: &RingStep| {
            let target = |(kind, name): &(Option<TargetKind>, Template)| {
                let name = name.fill(pattern, digits);
                match kind {
                    Some(kind) => Some(Target { kind: *kind, name }),
                    None => self.extensions.get(&name).cloned(),
                }
            };
            Rung { targets: step.whom.iter().filter_map(target).collect(), rings_for: step.rings_for }
        };
        let steps: Vec<Rung> = steps.iter().map(rung).filter(|rung| !rung.targets.is_empty()).collect();
        match steps.is_empty() {
            true => Verdict::Refused(Refusal::Unassigned),
            false => Verdict::Ring(steps),
        }
    }
}

/// Orders patterns so that a narrower one comes before every wider one, and equal ones stay in the
/// order of the file; or says which cross.
fn rank(rules: &[Rule], owners: &[(usize, usize)], patterns: &[Pattern]) -> Result<Vec<usize>, Vec<Flaw>> {
    // What is wider than a pattern is wider than all that is narrower than it. So the number of
    // wider patterns falls strictly along every chain from narrow to wide.
    let mut wider = vec![0usize; patterns.len()];
    let mut flaws = Vec::new();
    for (b, second) in patterns.iter().enumerate() {
        for (a, first) in patterns.iter().enumerate().take(b) {
            let Some(witness) = first.common(second) else { continue };
            let (rule_a, rule_b) = (&rules[owners[a].0], &rules[owners[b].0]);
            match (first.is_within(second), second.is_within(first)) {
                (true, false) => wider[a] += 1,
                (false, true) => wider[b] += 1,
                (true, true) if rule_a.covers_callers(rule_b) => {
                    flaws.push(Flaw::Unreachable { first: owners[a], second: owners[b] });
                }
                (true, true) => {}
                (false, false) if owners[a].0 != owners[b].0 && rule_a.shares_callers(rule_b) => {
                    flaws.push(Flaw::Crossing { first: owners[a], second: owners[b], witness });
                }
                (false, false) => {}
            }
        }
    }
    if !flaws.is_empty() {
        return Err(flaws);
    }
    let mut order: Vec<usize> = (0..patterns.len()).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(wider[index]), index));
    let mut rank = vec![0; patterns.len()];
    for (place, &index) in order.iter().enumerate() {
        rank[index] = place;
    }
    Ok(rank)
}
