//! `[failover]`: after which failures the next target of a route is tried.

use super::findings::Finding;
use super::section::{Lowering, Section};
use super::tables::choices;
use crate::dialplan::FailureName;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Shorter is no time for a network to answer in; longer is that of the call itself.
const ANSWER_WITHIN: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(120);

/// See the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failover {
    /// `again`, without those of `never`.
    pub again: Vec<FailureName>,
    /// `answer-within`: a target that does not ring by then has timed out. `None`: it has the time of the call.
    pub answer_within: Option<Duration>,
}

impl Default for Failover {
    fn default() -> Self {
        Failover { again: FailureName::FAULTS.to_vec(), answer_within: None }
    }
}

pub(super) fn failover(section: Option<Section<'_>>, lowering: &mut Lowering<'_>) -> Option<Failover> {
    let Some(mut section) = section else { return Some(Failover::default()) };
    let mut names = |key, lowering: &mut Lowering<'_>| match section.get(key) {
        Some(value) => {
            let texts = lowering.list(value)?;
            let names = choices(&texts, &FailureName::ALL, "C0022", "failure", lowering)?;
            Some(Some((names, texts)))
        }
        None => Some(None),
    };
    let again = names("again", lowering);
    let never = names("never", lowering);
    let answer_within = match section.get("answer-within") {
        Some(value) => lowering.duration(value, ANSWER_WITHIN).map(Some),
        None => Some(None),
    };
    section.finish(lowering);
    let (again, never, answer_within) = (again?, never?, answer_within?);
    let (never, places) = never.unwrap_or_default();
    if let Some((again, _)) = &again
        && let Some(at) = never.iter().position(|name| again.contains(name))
        && let Some(text) = places.get(at)
    {
        let finding = Finding::error("C0106", &text.place, format!("{} is in \"again\", too", text.text));
        lowering.push(finding.help("leave it in one of the two lists"));
        return None;
    }
    let mut again = again.map_or(FailureName::FAULTS.to_vec(), |(names, _)| names);
    again.retain(|name| !never.contains(name));
    Some(Failover { again, answer_within })
}
