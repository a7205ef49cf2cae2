//! What happened to a call, from its record to the row that travels and to the text that is shown.

use super::control_protocol::{StoryRow, TranslationRow};
use crate::call::record::{CallRecord, Translation};
use crate::time::Instant;
use crate::trunk::interwork::name_of;
use std::fmt::Write;

impl StoryRow {
    /// Of a record; `ended` tells whether the call is over.
    pub(super) fn new(record: CallRecord, ended: bool) -> StoryRow {
        let after_ms = |at: Instant| u64::try_from(at.since(record.began_at).as_millis()).unwrap_or(u64::MAX);
        let release = Some(record.release).filter(|_| ended);
        StoryRow {
            call: record.call,
            answered_after_ms: record.answered_at.map(after_ms),
            lasted_ms: after_ms(record.ended_at),
            from: record.from,
            calling: record.calling,
            number: record.called,
            to: record.to.unwrap_or_default(),
            ended,
            released_by: release.map(|_| record.released_by.as_str().to_owned()),
            cause: release.map(|release| release.cause.value()),
            cause_name: release.and_then(|release| name_of(release.cause)).map(str::to_owned),
            location: release.map(|release| release.location.as_token().to_owned()),
            status: record.status,
            translations: record.translations.into_iter().map(TranslationRow::new).collect(),
        }
    }

    /// As text, a line a fact.
    pub(super) fn to_text(&self) -> String {
        let calling = self.calling.as_deref().map(|number| format!(" ({number})")).unwrap_or_default();
        let to = if self.to.is_empty() { "nobody" } else { &self.to };
        let mut text = format!("call {}  {}{calling} called {}\n", self.call, self.from, self.number);
        let mut line = |head: &str, what: String| {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "  {head:<10}  {what}");
        };
        line("went to", to.to_owned());
        match self.answered_after_ms {
            Some(ms) => line("answered", format!("after {}", seconds(ms))),
            None => line("answered", "no".to_owned()),
        }
        match (&self.released_by, self.cause) {
            (Some(by), Some(cause)) => {
                let name = self.cause_name.as_deref().unwrap_or("no name in Q.850");
                let location = self.location.as_deref().unwrap_or("-");
                line("released", format!("by the {by} after {}", seconds(self.lasted_ms)));
                line("cause", format!("{cause} {name}, location {location}"));
            }
            _ => line("released", format!("not yet, {} so far", seconds(self.lasted_ms))),
        }
        for translation in &self.translations {
            line("translated", format!("{} -> {}  at {}", translation.original, translation.mapped, translation.leg));
            if let Some(table) = &translation.table {
                line("  table", table.clone());
            }
            let doubt = if translation.verified { "" } else { " (unverified: the text of the source was not at hand)" };
            line("  source", format!("{}{doubt}", translation.source));
            if let Some(instead) = &translation.instead_of {
                line("  instead of", instead.clone());
            }
        }
        if self.translations.is_empty() {
            line("translated", "nothing between a status and a cause".to_owned());
        }
        text
    }
}

impl TranslationRow {
    fn new(translation: Translation) -> TranslationRow {
        TranslationRow {
            leg: translation.leg,
            original: translation.original.to_string(),
            mapped: translation.mapped.to_string(),
            source: translation.source.to_owned(),
            table: translation.table.map(|(party, profile)| format!("{profile} of {party}")),
            verified: translation.verified,
            instead_of: translation.instead_of.map(|said| said.to_string()),
        }
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1_000, ms % 1_000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::{ReleasedBy, Said, said_cause};
    use crate::time::Duration;
    use crate::trunk::interwork::Interworking;
    use crate::trunk::{Cause, Location, Release};

    fn record() -> CallRecord {
        let mut table = Interworking::default();
        table.causes.insert(480, 20);
        let location = Location::BeyondInterworking;
        let release = Release { cause: Cause::ABSENT, location };
        let named = ("trunk/carrier".to_owned(), "rfc3398");
        let heard = Translation::by_rule(
            "trunk/carrier",
            named,
            Said::Status(480),
            table.cause_rule(480, None),
            said_cause(location),
        );
        let source = "the status of the called side is passed on";
        let told = Translation::by_header("phone/201", Said::Release(release), Said::Status(480), source);
        CallRecord {
            call: 7,
            from: "phone/201".into(),
            calling: Some("201".into()),
            called: "+4930".into(),
            to: Some("trunk/carrier".into()),
            began_at: Instant::ZERO,
            answered_at: None,
            ended_at: Instant::ZERO + Duration::from_millis(1_250),
            release,
            released_by: ReleasedBy::Callee,
            status: Some(480),
            transferred_by: None,
            translations: vec![heard, told],
        }
    }

    #[test]
    fn the_story_of_a_call_names_the_rule_its_table_and_what_an_override_replaced() {
        let text = StoryRow::new(record(), true).to_text();
        let wanted = "call 7  phone/201 (201) called +4930
  went to     trunk/carrier
  answered    no
  released    by the callee after 1.2 s
  cause       20 Subscriber absent, location BI
  translated  status=480 -> cause=20 location=BI (Subscriber absent)  at trunk/carrier
    table     rfc3398 of trunk/carrier
    source    `overrides` of the trunk
    instead of  cause=18 location=BI (No user responding)
  translated  cause=20 location=BI (Subscriber absent) -> status=480  at phone/201
    source    the status of the called side is passed on
";
        assert_eq!(text, wanted);
    }

    #[test]
    fn a_running_call_has_no_cause_yet() {
        let row = StoryRow::new(CallRecord { translations: Vec::new(), ..record() }, false);
        assert_eq!((row.cause, row.released_by.as_deref(), row.location.as_deref()), (None, None, None));
        let text = row.to_text();
        assert!(text.contains("released    not yet") && text.contains("nothing between"), "{text}");
    }
}
