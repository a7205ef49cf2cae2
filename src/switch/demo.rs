//! The numbers of the demo exchange that begin with 8: what each does, in steps.

use super::script::Step;
use crate::isup::indicators::CallEvent;
use crate::time::Duration;
use crate::trunk::Cause;

/// What is done with the digits so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// These steps.
    Steps(Vec<Step>),
    /// More digits have to come within this time.
    Incomplete(Duration),
    /// Nobody has that number.
    Nobody,
}

/// Level of the test tone, in hundredths of a dBm0.
const TEST_TONE_CENTI_DBM0: i16 = -1_000;
/// Digits that 8308 wants besides.
const FURTHER_DIGITS: usize = 10;
/// How long it waits for them.
const FURTHER_WAIT: Duration = Duration::from_secs(3);

/// What a number does. Numbers that begin like one of these and are too short wait for the rest.
pub(super) fn number(digits: &str) -> Found {
    let cause = |rest: &str| match rest.len() {
        3 => rest.parse().ok().and_then(Cause::new),
        _ => None,
    };
    match digits {
        "" | "8" => Found::Incomplete(FURTHER_WAIT),
        "8000" => Found::Steps(answers_with_tone()),
        "8301" => steps([acm_in_band(), Step::Announcement, wait(3), release(1)]),
        "8302" => steps([Step::Con, wait(10), release(16)]),
        "8303" => steps([acm_free()]),
        "8304" => steps([]),
        "8305" => steps([
            acm_free(),
            Step::Anm,
            wait(2),
            Step::Sus { network: true },
            wait(3),
            Step::Res { network: true },
            wait(5),
            release(16),
        ]),
        "8306" => steps([acm(), Step::Cpg(CallEvent::ALERTING), wait(1), Step::Anm, wait(10), release(16)]),
        "8307" => steps([acm(), Step::Cpg(CallEvent::FORWARDED), wait(1), Step::Anm, wait(10), release(16)]),
        "8309" => {
            let mut steps = answers_with_tone();
            steps.insert(0, Step::Glare);
            Found::Steps(steps)
        }
        _ => match (digits.get(..2), digits.get(2..)) {
            (Some(first @ ("80" | "82")), Some(rest)) if rest.len() >= 3 => match (cause(rest), first) {
                (Some(cause), "80") => steps([Step::release(cause)]),
                (Some(cause), _) => steps([acm_free(), Step::Anm, wait(2), Step::release(cause)]),
                (None, _) => Found::Nobody,
            },
            (Some("83"), Some(rest)) if rest.starts_with("08") => match (rest.len() - 2).cmp(&FURTHER_DIGITS) {
                std::cmp::Ordering::Less => Found::Incomplete(FURTHER_WAIT),
                std::cmp::Ordering::Equal => Found::Steps(answers_with_tone()),
                std::cmp::Ordering::Greater => Found::Nobody,
            },
            (Some("80" | "82"), _) | (Some("83"), Some("" | "0")) => Found::Incomplete(FURTHER_WAIT),
            _ => Found::Nobody,
        },
    }
}

fn steps(steps: impl IntoIterator<Item = Step>) -> Found {
    Found::Steps(steps.into_iter().collect())
}

/// 8000: free, answers after a second with a tone, and releases half a minute later.
fn answers_with_tone() -> Vec<Step> {
    vec![acm_free(), wait(1), Step::Anm, Step::tone(1_004, TEST_TONE_CENTI_DBM0), wait(30), release(16)]
}

fn wait(seconds: u64) -> Step {
    Step::Wait(Duration::from_secs(seconds))
}

fn release(cause: u8) -> Step {
    Step::release(Cause::new(cause).unwrap_or(Cause::UNSPECIFIED))
}

fn acm() -> Step {
    Step::Acm { free: false, in_band: false }
}

fn acm_free() -> Step {
    Step::Acm { free: true, in_band: false }
}

fn acm_in_band() -> Step {
    Step::Acm { free: false, in_band: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_a_number_before_and_one_after_answer_and_no_other() {
        for value in 0..=255_u8 {
            let release = Cause::new(value).map(Step::release);
            let before = number(&format!("80{value:03}"));
            let after = number(&format!("82{value:03}"));
            match release {
                Some(release) => {
                    assert_eq!(before, Found::Steps(vec![release.clone()]));
                    assert_eq!(after, steps([acm_free(), Step::Anm, wait(2), release]));
                }
                None => assert_eq!((before, after), (Found::Nobody, Found::Nobody), "{value}"),
            }
        }
    }

    #[test]
    fn numbers_that_are_not_there_and_numbers_that_are_too_short_are_told_apart() {
        for nobody in ["8100", "8310", "8300", "83091", "8308123456789012", "80001x", "+8000", "9", "5551234"] {
            assert_eq!(number(nobody), Found::Nobody, "{nobody}");
        }
        for short in ["8", "80", "82", "83", "830", "8001", "8308", "8308123456789"] {
            assert_eq!(number(short), Found::Incomplete(FURTHER_WAIT), "{short}");
        }
        assert_eq!(number("83081234567890"), Found::Steps(answers_with_tone()));
    }
}
