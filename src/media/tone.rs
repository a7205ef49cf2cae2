//! Tone and digit generation: sines by a table and a 32-bit phase, cadences, DTMF towards a line.
//!
//! All at 8 kHz and in integers, so that every machine makes the same samples.

use super::level::{PEAK_0_DBM0, scale};
use super::{TONE_STEPS, Tone};
use std::f64::consts::{FRAC_PI_2, TAU};
use tipring_hal::Digit;

/// Samples a second.
const RATE_HZ: u64 = 8_000;
/// Samples a millisecond.
const SAMPLES_PER_MS: u32 = 8;

/// One period of a sine in 2^TABLE_BITS steps and its first value again, in 2^-24.
const TABLE_BITS: u32 = 10;
static TABLE: [i32; (1 << TABLE_BITS) + 1] = {
    let mut table = [0; (1 << TABLE_BITS) + 1];
    let mut i = 0;
    while i < table.len() {
        let value = sine(i as f64 * TAU / (1 << TABLE_BITS) as f64) * (1 << 24) as f64;
        table[i] = if value < 0.0 { (value - 0.5) as i32 } else { (value + 0.5) as i32 };
        i += 1;
    }
    table
};

/// The sine of an angle from 0 to 2 pi, for tables: folded to a quarter, then the series.
pub(super) const fn sine(angle: f64) -> f64 {
    let half = TAU / 2.0;
    let (angle, sign) = if angle > half { (angle - half, -1.0) } else { (angle, 1.0) };
    let angle = if angle > FRAC_PI_2 { half - angle } else { angle };
    let (mut term, mut sum, mut n) = (angle, angle, 1.0);
    while n < 20.0 {
        term = -term * angle * angle / ((n + 1.0) * (n + 2.0));
        sum += term;
        n += 2.0;
    }
    sign * sum
}

/// A sine of steady frequency and level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sine {
    /// Position in the period, in 2^-32.
    phase: u32,
    /// Periods a sample, in 2^-32: finer than two millionths of a hertz.
    step: u32,
    peak: i16,
}

impl Sine {
    /// A sine of `hertz` (below 4000) whose peak is `peak`.
    pub fn new(hertz: u16, peak: i16) -> Self {
        let step = ((u64::from(hertz) << 32) + RATE_HZ / 2) / RATE_HZ;
        Sine { phase: 0, step: step as u32, peak }
    }

    /// A sine of `hertz` at a level in hundredths of a dBm0.
    pub fn at_level(hertz: u16, centi_dbm0: i16) -> Self {
        Sine::new(hertz, scale(PEAK_0_DBM0, centi_dbm0))
    }

    /// The next sample.
    #[inline]
    pub fn sample(&mut self) -> i16 {
        let index = (self.phase >> (32 - TABLE_BITS)) as usize;
        let between = i64::from(self.phase << TABLE_BITS >> 16);
        let (low, high) = (i64::from(TABLE[index]), i64::from(TABLE[index + 1]));
        let value = low + (((high - low) * between) >> 16);
        self.phase = self.phase.wrapping_add(self.step);
        ((value * i64::from(self.peak) + (1 << 23)) >> 24) as i16
    }
}

/// Plays a [`Tone`] for as long as it is asked.
#[derive(Clone, Copy, Debug)]
pub struct ToneGenerator {
    sines: [Sine; 4],
    /// Samples of each part of the cadence.
    steps: [u32; TONE_STEPS],
    step: usize,
    /// Samples left of the part; `None` when the tone has no cadence.
    left: Option<u32>,
}

impl ToneGenerator {
    /// A generator at the beginning of the cadence.
    pub fn new(tone: &Tone) -> Self {
        let steps = tone.cadence_ms.map(|ms| u32::from(ms) * SAMPLES_PER_MS);
        ToneGenerator {
            sines: tone.hertz.map(|hz| match hz {
                0 => Sine::default(),
                hz => Sine::at_level(hz, tone.level_centi_dbm0),
            }),
            steps,
            step: 0,
            left: steps.iter().any(|s| *s > 0).then_some(steps[0]),
        }
    }

    /// Fills `block` with the tone.
    pub fn fill(&mut self, block: &mut [i16]) {
        for sample in block {
            let sounds = self.sounds();
            // The sines run on through the pauses, so a frequency keeps its phase.
            let sum: i32 = self.sines.iter_mut().map(|sine| i32::from(sine.sample())).sum();
            *sample = if sounds { clip(sum) } else { 0 };
        }
    }

    /// Whether the next sample is in an on part; moves on by one sample.
    fn sounds(&mut self) -> bool {
        let Some(left) = &mut self.left else { return true };
        let mut moves = 0;
        while *left == 0 && moves < TONE_STEPS {
            // Parts behind the last one that is used have no length and are passed over; an odd
            // number of parts thereby repeats from "on".
            self.step = (self.step + 1) % TONE_STEPS;
            *left = self.steps[self.step];
            moves += 1;
        }
        *left = left.saturating_sub(1);
        self.step.is_multiple_of(2)
    }
}

fn clip(sum: i32) -> i16 {
    sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

/// Frequencies of the rows of the keypad, in Hz (ITU-T Q.23).
pub(super) const LOW_HERTZ: [u16; 4] = [697, 770, 852, 941];
/// Frequencies of the columns.
pub(super) const HIGH_HERTZ: [u16; 4] = [1209, 1336, 1477, 1633];
/// The keys, row by row.
const KEYPAD: [u8; 16] = *b"123A456B789C*0#D";

/// The key of a row and a column.
pub(super) fn key(row: usize, column: usize) -> Option<Digit> {
    KEYPAD.get(row * 4 + column).and_then(|k| Digit::from_char(char::from(*k)))
}

/// Row and column frequency of a key.
pub fn dtmf_hertz(digit: Digit) -> (u16, u16) {
    let place = KEYPAD.iter().position(|k| char::from(*k) == digit.as_char()).unwrap_or(0);
    (LOW_HERTZ[place / 4], HIGH_HERTZ[place % 4])
}

/// Level of the low tone in hundredths of a dBm0; the high one is 2 dB above, as exchanges like it.
const LOW_CENTI_DBM0: i16 = -1_100;
const HIGH_CENTI_DBM0: i16 = -900;
/// Shortest digit and shortest pause: 80 ms.
const PART_MIN_SAMPLES: u32 = 640;
/// Digits that may wait; more are dropped and counted.
const QUEUE: usize = 32;

#[derive(Clone, Copy, Debug)]
enum PlayerState {
    Idle,
    On { left: u32, low: Sine, high: Sine },
    Pause { left: u32 },
}

/// Plays DTMF digits one after the other towards a line.
#[derive(Clone, Copy, Debug)]
pub struct DigitPlayer {
    state: PlayerState,
    /// Digits with their lengths in samples; the first one may be playing.
    queue: [Option<(Digit, u32)>; QUEUE],
    waiting: usize,
    dropped: u32,
}

impl Default for DigitPlayer {
    fn default() -> Self {
        DigitPlayer { state: PlayerState::Idle, queue: [None; QUEUE], waiting: 0, dropped: 0 }
    }
}

impl DigitPlayer {
    /// Puts a digit of `samples` behind those that wait; at least 80 ms long, with at least 80 ms
    /// of pause behind it.
    pub fn queue(&mut self, digit: Digit, samples: u32) {
        match self.queue.get_mut(self.waiting) {
            Some(place) => {
                *place = Some((digit, samples.max(PART_MIN_SAMPLES)));
                self.waiting += 1;
            }
            None => self.dropped += 1,
        }
    }

    /// Makes the digit that was put in last `samples` long, if it still plays or waits.
    pub fn extend(&mut self, samples: u32) {
        let Some(last) = self.waiting.checked_sub(1) else { return };
        if let Some((_, length)) = &mut self.queue[last] {
            let more = samples.saturating_sub(*length);
            *length += more;
            if last == 0
                && let PlayerState::On { left, .. } = &mut self.state
            {
                *left += more;
            }
        }
    }

    /// Digits that found the queue full.
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Whether nothing plays or waits.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, PlayerState::Idle) && self.waiting == 0
    }

    /// Forgets what waits.
    pub fn reset(&mut self) {
        *self = DigitPlayer { dropped: self.dropped, ..DigitPlayer::default() };
    }

    /// Writes digits and pauses over the beginning of `block`; what is behind the last pause is
    /// left as it was.
    pub fn overwrite(&mut self, block: &mut [i16]) {
        let mut rest = block;
        while !rest.is_empty() && !self.is_idle() {
            let taken = match &mut self.state {
                PlayerState::Idle => {
                    self.start();
                    0
                }
                PlayerState::On { left, low, high } => {
                    let count = rest.len().min(*left as usize);
                    rest[..count]
                        .iter_mut()
                        .for_each(|s| *s = clip(i32::from(low.sample()) + i32::from(high.sample())));
                    *left -= count as u32;
                    if *left == 0 {
                        self.state = PlayerState::Pause { left: PART_MIN_SAMPLES };
                        self.queue.copy_within(1.., 0);
                        self.waiting -= 1;
                    }
                    count
                }
                PlayerState::Pause { left } => {
                    let count = rest.len().min(*left as usize);
                    rest[..count].fill(0);
                    *left -= count as u32;
                    if *left == 0 {
                        self.state = PlayerState::Idle;
                    }
                    count
                }
            };
            rest = &mut rest[taken..];
        }
    }

    fn start(&mut self) {
        let Some((digit, samples)) = self.queue[0] else { return };
        let (low, high) = dtmf_hertz(digit);
        self.state = PlayerState::On {
            left: samples,
            low: Sine::at_level(low, LOW_CENTI_DBM0),
            high: Sine::at_level(high, HIGH_CENTI_DBM0),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::level_dbm0;
    use super::*;

    fn tone(hertz: [u16; 4], cadence_ms: [u16; TONE_STEPS]) -> Tone {
        Tone { hertz, level_centi_dbm0: -1_300, cadence_ms }
    }

    #[test]
    fn a_sine_has_its_level_and_its_frequency() {
        let mut sine = Sine::at_level(1004, -1_000);
        let samples: Vec<i16> = (0..80_000).map(|_| sine.sample()).collect();
        assert!((level_dbm0(&samples) + 10.0).abs() < 0.001, "{}", level_dbm0(&samples));
        let rises = samples.windows(2).filter(|w| w[0] < 0 && w[1] >= 0).count();
        assert!((10_039..=10_040).contains(&rises), "{rises} periods in 10 s");
    }

    #[test]
    fn every_sample_is_within_one_step_of_the_true_sine() {
        let mut sine = Sine::new(350, 20_000);
        for n in 0..8_000 {
            let exact = 20_000.0 * (TAU * 350.0 * f64::from(n) / 8_000.0).sin();
            let sample = f64::from(sine.sample());
            assert!((sample - exact).abs() < 1.0, "{n}: {sample} for {exact}");
        }
    }

    #[test]
    fn dial_tone_is_steady_at_13_below_for_each_frequency() {
        let mut generator = ToneGenerator::new(&tone([350, 440, 0, 0], [0; TONE_STEPS]));
        let mut block = [0; 8_000];
        generator.fill(&mut block);
        assert!((level_dbm0(&block) + 13.0 - 3.01).abs() < 0.02, "two equal tones are 3 dB above one");
    }

    #[test]
    fn a_cadence_sounds_and_pauses_as_long_as_it_says_and_repeats() {
        let mut generator = ToneGenerator::new(&tone([480, 620, 0, 0], [250, 250, 100, 400, 0, 0, 0, 0]));
        let mut samples = vec![0; 16_000];
        samples.chunks_mut(80).for_each(|block| generator.fill(block));
        let sounds: Vec<bool> = samples.chunks(400).map(|c| level_dbm0(c) > -60.0).collect(); // 50 ms
        let mut second = vec![true; 5];
        second.extend([false; 5]);
        second.extend([true; 2]);
        second.extend([false; 8]);
        assert_eq!(sounds, [second.clone(), second].concat());
    }

    #[test]
    fn digits_play_at_least_80_ms_with_80_ms_between_and_keep_what_follows() {
        let mut player = DigitPlayer::default();
        player.queue(Digit::from_char('1').unwrap(), 80);
        player.queue(Digit::from_char('2').unwrap(), 80);
        player.extend(800);
        let mut samples = vec![1_000; 80 * 40];
        samples.chunks_mut(80).for_each(|block| player.overwrite(block));
        assert!(player.is_idle());
        let plays: Vec<bool> = samples.chunks(80).map(|c| level_dbm0(c) > -15.0 && c[0] != 1_000).collect();
        let mut expected = vec![true; 8];
        expected.extend([false; 8]);
        expected.extend([true; 10]);
        expected.extend([false; 14]);
        assert_eq!(plays, expected);
        assert!(samples[80 * 34..].iter().all(|s| *s == 1_000), "behind the last pause nothing is touched");
        let both = 10.0 * (10f64.powf(-1.1) + 10f64.powf(-0.9)).log10();
        assert!((level_dbm0(&samples[..640]) - both).abs() < 0.1);
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let mut player = DigitPlayer::default();
        (0..QUEUE + 3).for_each(|_| player.queue(Digit::ALL[0], 80));
        assert_eq!(player.dropped(), 3);
    }
}
