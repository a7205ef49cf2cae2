//! DTMF heard on a line: sixteen keys, within the limits of ITU-T Q.24.
//!
//! ```text
//! samples -> notches at 350 and 440 Hz (dial tone) -> parts of 5 ms -> eight correlations each
//!         -> window of 30 ms: level, twist, purity, frequency, steadiness -> begin
//!         -> 30 ms without the two tones -> end
//! ```
//!
//! A correlation with one frequency is what Goertzel's recursion computes; written as products
//! with a table it runs over all frequencies at once. All frequencies keep one phase reference
//! through time, so the turn of the phase from part to part is the error of the frequency: this,
//! not the width of a filter, tells 1.5 % (accepted) from 3.5 % (refused) in rows and columns
//! alike. Accepted: 40 ms and longer, 0 to -36 dBm0 a tone, low over high up to 8 dB, high over low up
//! to 4 dB. Refused: 23 ms and shorter. A pause below 20 ms does not split a digit, one of 40 ms does.

use super::level::{PEAK_0_DBM0, scale};
use super::tone::{HIGH_HERTZ, LOW_HERTZ, key, sine};
use std::f64::consts::{FRAC_PI_2, TAU};
use tipring_hal::Digit;

/// Samples of one part: 5 ms at 8 kHz.
const PART: usize = 40;
/// Parts of the window in which a digit must be steady.
const WINDOW: usize = 6;
/// Threes of parts in the window.
const CENTRES: usize = WINDOW - 2;
/// Parts without the digit after which it has ended.
const ABSENT_PARTS: u8 = 6;
const TONES: usize = 8;
/// The two tones are at least this part of what is heard, in percent. At 1.5 % off tune in the
/// highest column 75 are measured, before noise.
const PURITY_MIN: i64 = 70;
/// No moment of a tone is below this part of its mean power, in percent.
const STEADINESS_MIN: i64 = 60;

const fn hertz(tone: usize) -> f64 {
    (if tone < 4 { LOW_HERTZ[tone] } else { HIGH_HERTZ[tone - 4] }) as f64
}

/// Frequencies that are taken out: the two of the American dial tone; that of Europe, 425 Hz, is
/// near enough.
const NOTCH_HERTZ: [f64; 2] = [350.0, 440.0];
/// How near the poles of a notch are to the circle: its width and how long it rings.
const NOTCH_RADIUS: f64 = 0.88;
const NOTCH_BITS: u32 = 14;

const fn cosine(angle: f64) -> f64 {
    sine((angle + FRAC_PI_2) % TAU)
}

const fn fixed(value: f64, bits: u32) -> i32 {
    let scaled = value * (1u64 << bits) as f64;
    (if scaled < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
}

/// 2 cos of the zeros, 2 r cos and r^2 of the poles.
const NOTCHES: [[i32; 3]; 2] = {
    let mut notches = [[0; 3]; 2];
    let mut i = 0;
    while i < 2 {
        let twice = 2.0 * cosine(TAU * NOTCH_HERTZ[i] / 8_000.0);
        notches[i] = [
            fixed(twice, NOTCH_BITS),
            fixed(twice * NOTCH_RADIUS, NOTCH_BITS),
            fixed(NOTCH_RADIUS * NOTCH_RADIUS, NOTCH_BITS),
        ];
        i += 1;
    }
    notches
};

/// What makes good for the gain of the notches, as a factor of the power in 2^-12.
const EQUALIZER: [i64; TONES] = {
    let mut factors = [0; TONES];
    let mut tone = 0;
    while tone < TONES {
        let angle = TAU * hertz(tone) / 8_000.0;
        let (mut factor, mut i) = (1.0, 0);
        while i < 2 {
            let (r, c) = (NOTCH_RADIUS, 2.0 * cosine(TAU * NOTCH_HERTZ[i] / 8_000.0));
            let zeros = 2.0 * cosine(angle) - c;
            let re = 1.0 - r * c * cosine(angle) + r * r * cosine(2.0 * angle);
            let im = r * c * sine(angle) - r * r * sine((2.0 * angle) % TAU);
            factor *= (re * re + im * im) / (zeros * zeros);
            i += 1;
        }
        factors[tone] = fixed(factor, 12) as i64;
        tone += 1;
    }
    factors
};

/// Cosines and sines of the eight frequencies over a part, in 2^-KERNEL_BITS.
const KERNEL_BITS: u32 = 11;
static KERNEL: [[[i16; PART]; 2]; TONES] = {
    let mut kernel = [[[0; PART]; 2]; TONES];
    let mut tone = 0;
    while tone < TONES {
        let (mut n, mut magnitude) = (0, [0; 2]);
        while n < PART {
            let angle = (TAU * hertz(tone) / 8_000.0 * n as f64) % TAU;
            let values = [fixed(cosine(angle), KERNEL_BITS), fixed(sine(angle), KERNEL_BITS)];
            kernel[tone][0][n] = values[0] as i16;
            kernel[tone][1][n] = values[1] as i16;
            magnitude = [magnitude[0] + values[0].unsigned_abs(), magnitude[1] + values[1].unsigned_abs()];
            n += 1;
        }
        // The largest correlation that any samples can have fits 31 bits, see `correlate_with`.
        assert!(magnitude[0] < 1 << 16 && magnitude[1] < 1 << 16);
        tone += 1;
    }
    kernel
};

/// The sum of products. Cannot overflow, by the assertion at the kernel; the wrapping operators
/// say so to the compiler, which then works on vectors.
#[inline]
fn correlate_with(part: &[i16; PART], kernel: &[i16; PART]) -> i64 {
    let products = part.iter().zip(kernel).map(|(s, k)| i32::from(*s).wrapping_mul(i32::from(*k)));
    i64::from(products.fold(0, i32::wrapping_add))
}

/// How far each frequency turns in one part: cosine and sine in 2^-TURN_BITS. After 200 parts
/// (one second) every whole frequency is back where it was, so the table is exact for ever.
const TURN_BITS: u32 = 14;
const TURNS: usize = 200;
static TURN: [(i32, i32); TURNS] = {
    let mut turns = [(0, 0); TURNS];
    let mut i = 0;
    while i < TURNS {
        let angle = TAU * i as f64 / TURNS as f64;
        turns[i] = (fixed(cosine(angle), TURN_BITS), fixed(sine(angle), TURN_BITS));
        i += 1;
    }
    turns
};

/// Largest turn of the phase in a part: that of 2.5 %, half-way between what Q.24 accepts and what
/// it refuses. The tangent in 2^-10.
const TURN_MAX: [i64; TONES] = {
    let mut limits = [0; TONES];
    let mut tone = 0;
    while tone < TONES {
        let angle = TAU * hertz(tone) * 0.025 * PART as f64 / 8_000.0;
        limits[tone] = fixed(sine(angle) / cosine(angle), 10) as i64;
        tone += 1;
    }
    limits
};

/// A smoothed correlation is this many times the peak of its tone: half of (1 + 2 + 1) parts in the
/// scale of the kernel, less the bits that [`Detector::correlate`] drops.
const PEAK_GAIN: i64 = (4 * PART as i64) << (KERNEL_BITS - 1 - DROP_BITS);
const DROP_BITS: u32 = 4;

#[derive(Clone, Copy, Debug, Default)]
struct Complex {
    re: i64,
    im: i64,
}

impl Complex {
    fn power(self) -> i64 {
        self.re * self.re + self.im * self.im
    }
}

/// A key went down or up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigitEdge {
    /// The digit has been there for at least 30 ms.
    Begin(Digit),
    /// The digit has been away for 30 ms, or became another.
    End(Digit),
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    digit: Digit,
    row: usize,
    column: usize,
    /// Power of the two tones when it began.
    power: [i64; 2],
    absent: u8,
}

/// Finds the digits in the sound of one port. Fixed in size; samples of 16 bits at 8 kHz.
#[derive(Clone, Debug)]
pub struct DigitDetector {
    /// Per notch: the last two inputs and the last two outputs, the latter in 2^-4.
    notch: [[i32; 4]; 2],
    part: [i16; PART],
    filled: usize,
    /// Number of the part, modulo [`TURNS`].
    turn: usize,
    /// Of the last three parts, oldest first; and of the window, in threes weighted 1-2-1, which
    /// leaves little of the neighbouring frequencies.
    correlations: [[Complex; TONES]; 3],
    smoothed: [[Complex; TONES]; CENTRES],
    powers: [[i64; TONES]; CENTRES],
    energies: [i64; WINDOW],
    energy_min: i64,
    power_min: i64,
    heard: Option<Heard>,
}

impl Default for DigitDetector {
    fn default() -> Self {
        Self::new()
    }
}

impl DigitDetector {
    /// A detector that has heard nothing yet.
    pub fn new() -> Self {
        // 36 dB below 0 dBm0; the signal is halved before it is looked at.
        let peak = i64::from(scale(PEAK_0_DBM0, -3_600)) / 2;
        DigitDetector {
            notch: [[0; 4]; 2],
            part: [0; PART],
            filled: 0,
            turn: 0,
            correlations: [[Complex::default(); TONES]; 3],
            smoothed: [[Complex::default(); TONES]; CENTRES],
            powers: [[0; TONES]; CENTRES],
            energies: [0; WINDOW],
            energy_min: peak * peak / 4 * PART as i64,
            power_min: (peak * PEAK_GAIN) * (peak * PEAK_GAIN),
            heard: None,
        }
    }

    /// Forgets what it heard, without an end.
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// The key that is down.
    pub fn digit(&self) -> Option<Digit> {
        self.heard.map(|heard| heard.digit)
    }

    /// Listens to `samples`; `edge` is told what began and ended, at most two edges every 5 ms.
    pub fn process(&mut self, samples: &[i16], edge: &mut impl FnMut(DigitEdge)) {
        for sample in samples {
            self.part[self.filled] = self.filter(*sample);
            self.filled += 1;
            if self.filled == PART {
                self.filled = 0;
                self.correlate();
                self.decide(edge);
            }
        }
    }

    /// Takes the dial tone out and halves, because a notch can overshoot.
    #[inline]
    fn filter(&mut self, sample: i16) -> i16 {
        let mut x = i32::from(sample);
        for (state, [zero, pole, radius]) in self.notch.iter_mut().zip(&NOTCHES) {
            let [x1, x2, y1, y2] = *state;
            let forward = i64::from(x + x2) * (1 << NOTCH_BITS) - i64::from(*zero) * i64::from(x1);
            let back = i64::from(*pole) * i64::from(y1) - i64::from(*radius) * i64::from(y2);
            let y = ((forward * 16 + back) >> NOTCH_BITS) as i32;
            *state = [x, x1, y, y1];
            x = (y + 8) >> 4;
        }
        (x >> 1).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
    }

    /// Moves the window on by one part and correlates the new one with all frequencies.
    fn correlate(&mut self) {
        self.correlations.copy_within(1.., 0);
        self.energies.copy_within(1.., 0);
        let energy = self.part.iter().map(|s| i64::from(i32::from(*s) * i32::from(*s))).sum();
        self.energies[WINDOW - 1] = energy;
        self.turn = (self.turn + 1) % TURNS;
        let turn = self.turn;
        let is_silent = energy < self.energy_min;
        self.correlations[2] = std::array::from_fn(|tone| {
            if is_silent {
                return Complex::default();
            }
            let [re, im] = [0, 1].map(|axis| correlate_with(&self.part, &KERNEL[tone][axis]));
            // The tables have an entry for each 1/200 turn; one part is f/200 turns.
            let (cos, sin) = TURN[hertz(tone) as usize * turn % TURNS];
            let (cos, sin) = (i64::from(cos), i64::from(sin));
            Complex {
                re: (re * cos - im * sin) >> (TURN_BITS + DROP_BITS),
                im: (re * sin + im * cos) >> (TURN_BITS + DROP_BITS),
            }
        });
        self.smoothed.copy_within(1.., 0);
        self.powers.copy_within(1.., 0);
        let newest = &mut self.smoothed[CENTRES - 1];
        for (tone, value) in newest.iter_mut().enumerate() {
            let [a, b, c] = [0, 1, 2].map(|part| self.correlations[part][tone]);
            *value = Complex { re: a.re + 2 * b.re + c.re, im: a.im + 2 * b.im + c.im };
        }
        self.powers[CENTRES - 1] = newest.map(Complex::power);
    }

    fn decide(&mut self, edge: &mut impl FnMut(DigitEdge)) {
        let hit = self.steady_digit();
        if let Some(mut heard) = self.heard {
            if let Some(new) = hit
                && new.digit != heard.digit
            {
                edge(DigitEdge::End(heard.digit));
                edge(DigitEdge::Begin(new.digit));
                self.heard = Some(new);
                return;
            }
            let now = [heard.row, heard.column + 4].map(|tone| self.powers[CENTRES - 1][tone]);
            let present = now.iter().zip(&heard.power).all(|(now, then)| *now >= then / 8);
            heard.absent = if present { 0 } else { heard.absent + 1 };
            self.heard = Some(heard);
            if heard.absent >= ABSENT_PARTS {
                edge(DigitEdge::End(heard.digit));
                self.heard = None;
            }
        } else if let Some(new) = hit {
            edge(DigitEdge::Begin(new.digit));
            self.heard = Some(new);
        }
    }

    /// The digit that fills the whole window, if one does.
    fn steady_digit(&self) -> Option<Heard> {
        let most = self.energies.iter().copied().max().unwrap_or(0);
        let least = self.energies.iter().copied().min().unwrap_or(0);
        // Two tones beat by less than 2 dB within a part; a part that the digit fills only in part
        // is weaker.
        if least < self.energy_min || least < most / 2 {
            return None;
        }
        let powers: [i64; TONES] =
            std::array::from_fn(|tone| self.powers.iter().map(|powers| powers[tone] / CENTRES as i64).sum());
        let row = strongest(&powers[..4])?;
        let column = strongest(&powers[4..])?;
        let power = [powers[row], powers[4 + column]];
        // The tones must be most of what is heard: PEAK_GAIN and the energy of a sine, peak^2 / 2.
        let energy: i64 = self.energies.iter().sum();
        let mean_square = energy / (WINDOW * PART) as i64;
        let tones = (power[0] + power[1]) / (2 * PEAK_GAIN * PEAK_GAIN);
        if tones * 100 < mean_square * PURITY_MIN {
            return None;
        }
        let [low, high] = [(power[0], row), (power[1], 4 + column)]
            .map(|(power, tone)| (power >> 12).saturating_mul(EQUALIZER[tone]));
        if low.min(high) < self.power_min {
            return None;
        }
        // Twist: accepted up to 8 and 4 dB, refused from 10 dB on. A column that is 1.5 % off is
        // measured 1.5 dB low, so the borders are at 9.7 dB (9.33 times) and 6 dB (3.98 times).
        if low / 28 * 3 > high || high / 398 * 100 > low {
            return None;
        }
        // Each tone must be steady by itself; the resonances of speech come and go.
        let is_steady = [(power[0], row), (power[1], 4 + column)]
            .iter()
            .all(|(mean, tone)| self.powers.iter().all(|powers| powers[*tone] * 100 > *mean * STEADINESS_MIN));
        let in_tune = is_steady && self.turns_little(row) && self.turns_little(4 + column);
        let digit = key(row, column)?;
        in_tune.then_some(Heard { digit, row, column, power, absent: 0 })
    }

    /// Whether the phase of a tone stays nearly where it is from part to part.
    fn turns_little(&self, tone: usize) -> bool {
        let (mut re, mut im) = (0i64, 0i64);
        for pair in self.smoothed.windows(2) {
            let (a, b) = (pair[0][tone], pair[1][tone]);
            re += (b.re * a.re + b.im * a.im) >> 12;
            im += (b.im * a.re - b.re * a.im) >> 12;
        }
        re > 0 && im.abs() <= (re >> 10).saturating_mul(TURN_MAX[tone])
    }
}

/// The place of the strongest of a group, if it is at least 6 dB above the others.
fn strongest(powers: &[i64]) -> Option<usize> {
    let (place, most) = powers.iter().copied().enumerate().max_by_key(|(_, power)| *power)?;
    let others = powers.iter().enumerate().filter(|(i, _)| *i != place);
    others.map(|(_, power)| *power).all(|power| power <= most / 4).then_some(place)
}

#[cfg(test)]
mod tests;
