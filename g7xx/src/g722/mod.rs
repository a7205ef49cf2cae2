//! G.722: 7 kHz audio in 64, 56 or 48 kbit/s, bit-exact.
//!
//! Samples are 16 kHz, 16-bit; one octet holds two of them. The RTP clock of G.722 counts octets.
//! The encoder always makes 64 kbit/s; for the lower rates the lowest bits of its octets carry data
//! of others, and the decoder is told to leave them out.

mod band;
mod conceal;
mod tables;

use band::{Band, Kind, limit};
pub use conceal::ConcealingDecoder;
use tables::*;

/// How many bits of an octet are audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Mode 1: 64 kbit/s, all eight bits.
    Kbit64,
    /// Mode 2: 56 kbit/s, bit 0 carries data of others.
    Kbit56,
    /// Mode 3: 48 kbit/s, bits 0 and 1 carry data of others.
    Kbit48,
}

/// Limits to the 15 bits of a band's sample.
#[inline(always)]
fn limit_15(x: i32) -> i16 {
    x.clamp(-16384, 16383) as i16
}

/// Both bands, between quadrature mirror filter and octets.
#[derive(Clone, Debug)]
struct Bands {
    low: Band,
    high: Band,
}

impl Bands {
    const fn new() -> Self {
        Self {
            low: Band::new(Kind::Low),
            high: Band::new(Kind::High),
        }
    }

    #[inline(always)]
    fn encode(&mut self, low: i16, high: i16) -> u8 {
        let (magnitude, negative) = self.low.difference(low);
        // The highest level whose decision is not above the magnitude; decisions do not decrease.
        let above = LOW_DECISION[1..]
            .iter()
            .filter(|decision| self.low.scaled(**decision) <= magnitude)
            .count();
        let low_code = if negative {
            LOW_CODE_NEGATIVE[above]
        } else {
            LOW_CODE_POSITIVE[above]
        };
        let (magnitude, negative) = self.high.difference(high);
        let outer = magnitude >= self.high.scaled(564);
        let high_code = match (negative, outer) {
            (false, false) => 3,
            (false, true) => 2,
            (true, false) => 1,
            (true, true) => 0,
        };
        let octet = high_code << 6 | low_code;
        self.adapt(octet);
        octet
    }

    /// Returns the sample of each band.
    #[inline(always)]
    fn decode(&mut self, octet: u8, rate: Rate) -> (i16, i16) {
        let code = usize::from(octet & 63);
        let value = match rate {
            Rate::Kbit64 => LOW_INVERSE_6[code],
            Rate::Kbit56 => LOW_INVERSE_5[code >> 1],
            Rate::Kbit48 => LOW_INVERSE_4[code >> 2],
        };
        let low = limit_15(i32::from(limit(
            i32::from(self.low.prediction()) + self.low.scaled(value),
        )));
        let value = HIGH_INVERSE[usize::from(octet >> 6)];
        let high = limit_15(i32::from(limit(
            i32::from(self.high.prediction()) + self.high.scaled(value),
        )));
        self.adapt(octet);
        (low, high)
    }

    /// Adaptation of both bands; it uses four bits of the low band in every mode.
    #[inline(always)]
    fn adapt(&mut self, octet: u8) {
        let code = usize::from(octet & 63) >> 2;
        let difference = self.low.scaled(LOW_INVERSE_4[code]);
        self.low.adapt(difference as i16, LOW_STEP[code]);
        let code = usize::from(octet >> 6);
        let difference = self.high.scaled(HIGH_INVERSE[code]);
        self.high.adapt(difference as i16, HIGH_STEP[code]);
    }
}

/// Encoder of one channel.
///
/// ```
/// let mut encoder = g7xx::g722::Encoder::new();
/// let mut coded = [0; 160];
/// assert_eq!(encoder.encode(&[0; 320], &mut coded), 160);
/// ```
#[derive(Clone, Debug)]
pub struct Encoder {
    bands: Bands,
    /// Past input, newest first.
    line: [i16; 24],
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// In the reset state.
    pub const fn new() -> Self {
        Self {
            bands: Bands::new(),
            line: [0; 24],
        }
    }

    /// Encodes pairs of samples into octets and returns how many octets were written. A last odd
    /// sample, and samples beyond twice the length of `coded`, are not coded.
    pub fn encode(&mut self, linear: &[i16], coded: &mut [u8]) -> usize {
        let pairs = linear.as_chunks::<2>().0.iter();
        pairs
            .zip(coded)
            .map(|([first, second], octet)| *octet = self.step(*first, *second))
            .count()
    }

    #[inline(always)]
    fn step(&mut self, first: i16, second: i16) -> u8 {
        self.line.copy_within(..22, 2);
        (self.line[1], self.line[0]) = (first, second);
        let (mut even, mut odd) = (0, 0);
        for (x, h) in self
            .line
            .as_chunks::<2>()
            .0
            .iter()
            .zip(QMF.as_chunks::<2>().0)
        {
            even += i32::from(h[0]) * i32::from(x[0]);
            odd += i32::from(h[1]) * i32::from(x[1]);
        }
        self.bands
            .encode(limit_15((even + odd) >> 14), limit_15((even - odd) >> 14))
    }
}

/// Decoder of one channel.
///
/// ```
/// use g7xx::g722::{Decoder, Rate};
/// let mut decoder = Decoder::new(Rate::Kbit64);
/// let mut linear = [0; 320];
/// assert_eq!(decoder.decode(&[0xFA; 160], &mut linear), 320);
/// ```
#[derive(Clone, Debug)]
pub struct Decoder {
    rate: Rate,
    bands: Bands,
    /// Past differences and sums of the bands, newest first.
    differences: [i16; 12],
    sums: [i16; 12],
}

impl Decoder {
    /// In the reset state.
    pub const fn new(rate: Rate) -> Self {
        Self {
            rate,
            bands: Bands::new(),
            differences: [0; 12],
            sums: [0; 12],
        }
    }

    /// The rate may change at any octet.
    pub fn set_rate(&mut self, rate: Rate) {
        self.rate = rate;
    }

    /// Decodes octets into two samples each and returns how many samples were written. Octets
    /// beyond half the length of `linear` are not decoded. Any octets are allowed.
    pub fn decode(&mut self, coded: &[u8], linear: &mut [i16]) -> usize {
        let pairs = linear.as_chunks_mut::<2>().0.iter_mut();
        2 * pairs
            .zip(coded)
            .map(|(pair, octet)| *pair = self.step(*octet))
            .count()
    }

    #[inline(always)]
    fn step(&mut self, octet: u8) -> [i16; 2] {
        let (low, high) = self.bands.decode(octet, self.rate);
        self.differences.copy_within(..11, 1);
        self.sums.copy_within(..11, 1);
        (self.differences[0], self.sums[0]) = (low - high, low + high);
        let (mut first, mut second) = (0, 0);
        for ((h, d), s) in QMF
            .as_chunks::<2>()
            .0
            .iter()
            .zip(&self.differences)
            .zip(&self.sums)
        {
            first += i32::from(h[0]) * i32::from(*d);
            second += i32::from(h[1]) * i32::from(*s);
        }
        [limit(first >> 11), limit(second >> 11)]
    }
}

#[cfg(test)]
mod tests;
