//! T1 to T35 of Q.764 as data: what they are for, what they may be, what they are, and where that is from.
//!
//! Annex A of Q.764 was read for T1 to T10; other rows are as its implementations and manuals give them,
//! and rows whose source is [`Source::Unverified`] are as engineers remember the annex.

use crate::time::Duration;
use std::fmt;

/// Where a row of the table is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Annex A of Q.764 (12/99).
    Q764,
    /// Values or limits of another implementation or a manual: Yate, Asterisk's sample, Dialogic.
    Implementations,
    /// Not found in a source that was at hand.
    Unverified,
}

macro_rules! timers {
    ($( $timer:ident: $low:literal, $high:literal, $default:literal, $source:ident, $purpose:literal; )*) => {
        /// A timer of Q.764.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Timer {
            $(
                #[doc = concat!($purpose, ".")]
                $timer,
            )*
        }

        impl Timer {
            /// All of them.
            pub const ALL: &'static [Timer] = &[$( Timer::$timer, )*];

            /// Its row of the table.
            pub const fn rule(self) -> Rule {
                match self {
                    $( Timer::$timer => Rule {
                        low: Duration::from_millis($low),
                        high: Duration::from_millis($high),
                        default: Duration::from_millis($default),
                        source: Source::$source,
                        purpose: $purpose,
                    }, )*
                }
            }
        }
    };
}

/// What a timer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The shortest time of its range.
    pub low: Duration,
    /// The longest.
    pub high: Duration,
    /// What holds when nothing is configured.
    pub default: Duration,
    /// Where that is from.
    pub source: Source,
    /// When it is started and what it does.
    pub purpose: &'static str,
}

timers! {
    T1: 15_000, 60_000, 15_000, Q764, "REL was sent: repeats it until RLC comes";
    T2: 180_000, 180_000, 180_000, Q764, "a user suspended the call: releases it";
    T3: 120_000, 120_000, 120_000, Q764, "overload was told: releases the call";
    T4: 300_000, 900_000, 300_000, Q764, "the user part is not there: tests it again";
    T5: 300_000, 900_000, 300_000, Q764, "the first REL was sent: resets the circuit, and alerts";
    T6: 10_000, 180_000, 30_000, Unverified, "the network suspended the call: releases it (Q.118)";
    T7: 20_000, 30_000, 20_000, Q764, "the latest address message was sent: releases the call";
    T8: 10_000, 15_000, 10_000, Q764, "an IAM asked for a continuity check: releases the call";
    T9: 90_000, 180_000, 180_000, Implementations, "ACM came: releases the call that nobody answers (Q.118)";
    T10: 4_000, 6_000, 4_000, Q764, "the last digit came, interworking: sends ACM";
    T11: 15_000, 20_000, 15_000, Unverified, "the latest address message came, interworking: sends ACM";
    T12: 15_000, 60_000, 15_000, Unverified, "BLO was sent: repeats it until BLA comes";
    T13: 300_000, 900_000, 300_000, Unverified, "the first BLO was sent: alerts, and repeats it from then on";
    T14: 15_000, 60_000, 15_000, Unverified, "UBL was sent: repeats it until UBA comes";
    T15: 300_000, 900_000, 300_000, Unverified, "the first UBL was sent: alerts, and repeats it from then on";
    T16: 15_000, 60_000, 15_000, Unverified, "RSC was sent: repeats it until RLC comes";
    T17: 300_000, 900_000, 300_000, Unverified, "the first RSC was sent: alerts, and repeats it from then on";
    T18: 15_000, 60_000, 15_000, Unverified, "CGB was sent: repeats it until CGBA comes";
    T19: 300_000, 900_000, 300_000, Unverified, "the first CGB was sent: alerts, and repeats it from then on";
    T20: 15_000, 60_000, 15_000, Unverified, "CGU was sent: repeats it until CGUA comes";
    T21: 300_000, 900_000, 300_000, Unverified, "the first CGU was sent: alerts, and repeats it from then on";
    T22: 15_000, 60_000, 15_000, Unverified, "GRS was sent: repeats it until GRA comes";
    T23: 300_000, 900_000, 300_000, Unverified, "the first GRS was sent: alerts, and repeats it from then on";
    T24: 1, 2_000, 1_999, Unverified, "the check tone was sent: the circuit has failed when it doesn't come back";
    T25: 1_000, 10_000, 5_000, Unverified, "the continuity check failed: sends CCR";
    T26: 60_000, 180_000, 120_000, Unverified, "it failed again: sends the next CCR";
    T27: 30_000, 300_000, 240_000, Implementations, "the far end's check failed and no CCR comes: resets the circuit";
    T28: 10_000, 10_000, 10_000, Unverified, "CQM was sent: alerts";
    T29: 300, 600, 300, Unverified, "congestion was told: its next tellings are ignored";
    T30: 5_000, 10_000, 5_000, Unverified, "congestion was told: restores the traffic by a step";
    T31: 360_000, 3_600_000, 360_000, Unverified, "a call reference was given up: it may be used again";
    T32: 3_000, 5_000, 3_000, Unverified, "an answer end to end is awaited";
    T33: 12_000, 15_000, 12_000, Unverified, "INR was sent: releases the call without INF";
    T34: 2_000, 4_000, 3_000, Implementations, "segmentation was told: goes on without SGM";
    T35: 15_000, 20_000, 15_000, Unverified, "digits are missing: releases the call with cause 28";
}

impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A value for a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// How long it runs.
    pub value: Duration,
    /// The user says that a value outside the range of Q.764 is meant.
    pub outside_range: bool,
}

/// A value that is outside the range and not marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    /// Which timer.
    pub timer: Timer,
    /// What it was to be.
    pub value: Duration,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rule { low, high, .. } = self.timer.rule();
        let (timer, value) = (self.timer, self.value);
        write!(f, "{timer} is {value:?}, Q.764 has {low:?} to {high:?}: take one of these, or mark the value as meant")
    }
}

impl std::error::Error for OutOfRange {}

/// A value for each timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timers(Vec<Duration>);

impl Default for Timers {
    fn default() -> Self {
        Timers(Timer::ALL.iter().map(|timer| timer.rule().default).collect())
    }
}

impl Timers {
    /// How long a timer runs.
    pub fn of(&self, timer: Timer) -> Duration {
        self.0.get(timer as usize).copied().unwrap_or(timer.rule().default)
    }

    /// Sets a timer.
    ///
    /// # Errors
    /// A value outside the range that isn't marked as meant; zero always.
    pub fn set(&mut self, timer: Timer, setting: Setting) -> Result<(), OutOfRange> {
        let Rule { low, high, .. } = timer.rule();
        let is_in_range = (low..=high).contains(&setting.value);
        if setting.value.is_zero() || !is_in_range && !setting.outside_range {
            return Err(OutOfRange { timer, value: setting.value });
        }
        if let Some(value) = self.0.get_mut(timer as usize) {
            *value = setting.value;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_in_their_ranges_and_there_are_35_timers() {
        assert_eq!(Timer::ALL.len(), 35);
        for (index, timer) in Timer::ALL.iter().enumerate() {
            let rule = timer.rule();
            assert!(rule.low <= rule.default && rule.default <= rule.high, "{timer}");
            assert_eq!(timer.to_string(), format!("T{}", index + 1));
            assert_eq!(Timers::default().of(*timer), rule.default);
        }
    }

    #[test]
    fn values_outside_a_range_are_refused_unless_they_are_meant() {
        let mut timers = Timers::default();
        let five = Duration::from_secs(5);
        let refused = timers.set(Timer::T7, Setting { value: five, outside_range: false }).expect_err("too short");
        assert_eq!(
            refused.to_string(),
            "T7 is 5s, Q.764 has 20s to 30s: take one of these, or mark the value as meant"
        );
        assert_eq!(timers.of(Timer::T7), Duration::from_secs(20), "nothing has changed");
        timers.set(Timer::T7, Setting { value: five, outside_range: true }).expect("meant");
        assert_eq!(timers.of(Timer::T7), five);
        for edge in [20, 30] {
            let value = Duration::from_secs(edge);
            timers.set(Timer::T7, Setting { value, outside_range: false }).expect("in range");
        }
        assert!(timers.set(Timer::T7, Setting { value: Duration::ZERO, outside_range: true }).is_err());
    }
}
