//! Collecting a number: keys and dial pulses, and how long the next digit is waited for.
//!
//! The dial plan decides whether the digits are a number; here are only the timers. Values are those
//! that exchanges and gateways use: 16 s for the first digit, 8 s between digits, 3 s when the
//! number is complete but may grow.

use super::{Completeness, Settings};
use crate::limits::DIGITS_MAX;
use crate::time::{Duration, Instant};
use tipring_hal::Digit;

/// A break of the loop that is a dial pulse, in milliseconds, both included. What is longer up to
/// the shortest flash is nothing: a dead band keeps a "1" from being a flash.
const PULSE_BREAK_MS: (u128, u128) = (40, 80);
/// A loop that rests closed for so long after a pulse ends the digit. Pulses follow each other
/// within 125 ms (8 a second), digits after 250 ms at the least.
const PULSES_END: Duration = Duration::from_millis(200);
/// The longest break where there is no flash; an open loop that lasts longer is a hang-up.
pub(super) const BREAK_MAX: Duration = Duration::from_millis(200);

/// A number that grows.
#[derive(Debug)]
pub(super) struct Collector {
    digits: String,
    pulses: u8,
    pulses_end_at: Option<Instant>,
    may_be_sent: bool,
    gives_up_at: Instant,
}

/// What the collector has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Collected {
    /// A digit more: ask the dial plan.
    More(String),
    /// The number is to be called.
    Number(String),
    /// This becomes no number.
    Nothing,
}

impl Collector {
    /// Waits for the first digit.
    pub fn new(now: Instant, settings: &Settings) -> Self {
        Collector {
            digits: String::new(),
            pulses: 0,
            pulses_end_at: None,
            may_be_sent: false,
            gives_up_at: now + settings.first_digit,
        }
    }

    /// Whether nothing was dialled, so that dial tone goes on.
    pub fn is_empty(&self) -> bool {
        self.digits.is_empty() && self.pulses == 0
    }

    /// A key was pressed.
    pub fn handle_digit(&mut self, now: Instant, digit: Digit, settings: &Settings) -> Collected {
        // "#" ends a number that may be sent; elsewhere it is a digit like others.
        if self.may_be_sent && digit.as_char() == '#' {
            return Collected::Number(std::mem::take(&mut self.digits));
        }
        if self.digits.len() >= DIGITS_MAX {
            return Collected::Nothing;
        }
        self.digits.push(digit.as_char());
        self.may_be_sent = false;
        self.gives_up_at = now + settings.next_digit;
        Collected::More(self.digits.clone())
    }

    /// The loop was open for `length`, and closed at `closed_at`.
    pub fn handle_break(&mut self, length: Duration, closed_at: Instant) {
        if (PULSE_BREAK_MS.0..=PULSE_BREAK_MS.1).contains(&length.as_millis()) {
            self.pulses = self.pulses.saturating_add(1);
            self.pulses_end_at = Some(closed_at + PULSES_END);
        }
    }

    /// The dial plan says what the digits are.
    pub fn handle_completeness(
        &mut self,
        now: Instant,
        completeness: Completeness,
        settings: &Settings,
    ) -> Option<Collected> {
        if self.digits.is_empty() {
            return None;
        }
        match completeness {
            Completeness::Complete => {
                return Some(Collected::Number(std::mem::take(&mut self.digits)));
            }
            Completeness::Impossible => return Some(Collected::Nothing),
            Completeness::CompleteMayGrow => {
                self.may_be_sent = true;
                self.gives_up_at = now + settings.complete;
            }
            Completeness::Incomplete => {
                self.may_be_sent = false;
                self.gives_up_at = now + settings.next_digit;
            }
        }
        None
    }

    /// When [`Collector::handle_timeout`] is due.
    pub fn deadline(&self) -> Instant {
        // While pulses are counted, a digit is on its way and nobody gives up.
        self.pulses_end_at.unwrap_or(self.gives_up_at)
    }

    /// What is decided when the deadline has come.
    pub fn handle_timeout(&mut self, now: Instant, settings: &Settings) -> Option<Collected> {
        if now < self.deadline() {
            return None;
        }
        if self.pulses_end_at.take().is_some() {
            // Ten pulses are a 0; more are no digit.
            return match std::mem::take(&mut self.pulses) {
                pulses @ 1..=10 => Digit::from_event(pulses % 10).map(|digit| self.handle_digit(now, digit, settings)),
                _ => Some(Collected::Nothing),
            };
        }
        if self.may_be_sent {
            return Some(Collected::Number(std::mem::take(&mut self.digits)));
        }
        Some(Collected::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Country;
    use super::*;

    fn settings() -> Settings {
        Settings::for_country(Country::US)
    }

    fn digit(c: char) -> Digit {
        Digit::from_char(c).unwrap()
    }

    fn more(digits: &str) -> Collected {
        Collected::More(digits.to_string())
    }

    fn number(digits: &str) -> Collected {
        Collected::Number(digits.to_string())
    }

    /// A collector with `digits` dialled at second 0.
    fn dialled(digits: &str) -> Collector {
        let mut collector = Collector::new(Instant::ZERO, &settings());
        for c in digits.chars() {
            collector.handle_digit(Instant::ZERO, digit(c), &settings());
        }
        collector
    }

    #[test]
    fn the_first_digit_is_waited_for_longer_than_the_next() {
        let mut collector = Collector::new(Instant::ZERO, &settings());
        assert_eq!(collector.deadline(), Instant::from_millis(16_000));
        assert_eq!(collector.handle_timeout(Instant::from_millis(15_999), &settings()), None);
        assert!(collector.is_empty());
        assert_eq!(collector.handle_digit(Instant::from_millis(1000), digit('1'), &settings()), more("1"));
        assert!(!collector.is_empty());
        assert_eq!(collector.deadline(), Instant::from_millis(9000));
        assert_eq!(collector.handle_timeout(Instant::from_millis(9000), &settings()), Some(Collected::Nothing));
    }

    #[test]
    fn what_the_dial_plan_says_decides_how_long_is_waited() {
        let now = Instant::from_millis(100);
        let answer = |completeness| {
            let mut collector = dialled("105");
            let collected = collector.handle_completeness(now, completeness, &settings());
            (collected, collector.deadline(), collector.handle_timeout(Instant::from_millis(60_000), &settings()))
        };
        assert_eq!(answer(Completeness::Complete).0, Some(number("105")));
        assert_eq!(answer(Completeness::Impossible).0, Some(Collected::Nothing));
        let (collected, deadline, timeout) = answer(Completeness::CompleteMayGrow);
        assert_eq!((collected, deadline, timeout), (None, Instant::from_millis(3100), Some(number("105"))));
        let (collected, deadline, timeout) = answer(Completeness::Incomplete);
        assert_eq!((collected, deadline, timeout), (None, Instant::from_millis(8100), Some(Collected::Nothing)));
    }

    #[test]
    fn a_hash_ends_a_number_that_may_be_sent_and_is_a_digit_elsewhere() {
        let mut collector = dialled("12");
        collector.handle_completeness(Instant::ZERO, Completeness::CompleteMayGrow, &settings());
        assert_eq!(collector.handle_digit(Instant::ZERO, digit('#'), &settings()), number("12"));
        assert_eq!(dialled("12").handle_digit(Instant::ZERO, digit('#'), &settings()), more("12#"));
        // A further digit must be judged anew before "#" may end the number.
        let mut collector = dialled("12");
        collector.handle_completeness(Instant::ZERO, Completeness::CompleteMayGrow, &settings());
        collector.handle_digit(Instant::ZERO, digit('3'), &settings());
        assert_eq!(collector.handle_digit(Instant::ZERO, digit('#'), &settings()), more("123#"));
    }

    #[test]
    fn pulses_become_the_digit_of_their_number() {
        for pulses in 1..=10u64 {
            let mut collector = dialled("4");
            for pulse in 1..=pulses {
                collector.handle_break(Duration::from_millis(60), Instant::from_millis(pulse * 100));
            }
            let due = Instant::from_millis(pulses * 100 + 200);
            assert_eq!(collector.deadline(), due);
            assert_eq!(collector.handle_timeout(due, &settings()), Some(more(&format!("4{}", pulses % 10))));
        }
        let mut collector = dialled("");
        for pulse in 1..=11 {
            collector.handle_break(Duration::from_millis(60), Instant::from_millis(pulse * 100));
        }
        assert_eq!(collector.handle_timeout(Instant::from_millis(1300), &settings()), Some(Collected::Nothing));
    }

    #[test]
    fn only_breaks_of_40_to_80_ms_are_pulses() {
        for (length_ms, counts) in [(20, false), (39, false), (40, true), (80, true), (81, false), (150, false)] {
            let mut collector = dialled("");
            collector.handle_break(Duration::from_millis(length_ms), Instant::from_millis(200));
            assert_eq!(!collector.is_empty(), counts, "{length_ms} ms");
        }
    }

    #[test]
    fn a_number_does_not_grow_without_end() {
        let digits = "1".repeat(DIGITS_MAX);
        assert_eq!(dialled(&digits).handle_digit(Instant::ZERO, digit('2'), &settings()), Collected::Nothing);
    }
}
