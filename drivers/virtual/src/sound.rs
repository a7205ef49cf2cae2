//! Sines, levels and gains that are equal on every machine.
//!
//! Only additions, multiplications and roundings of IEEE 754 are used, no function of the
//! platform's mathematics library, so that a seed gives the same samples everywhere.

/// A gain of 0 dB: gains are fixed-point numbers with 16 bits behind the point.
pub(crate) const UNITY_GAIN: i32 = 1 << 16;

/// Peak of a sine of 0 dBm0 in 16-bit samples: G.711 table 2 (mu-law) puts the overload point,
/// 8159 in 14 bits, at +3.17 dBm0.
const PEAK_0_DBM0: f64 = 22_656.0;

/// A sine wave that never drifts: its phase is a 64-bit part of a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sine {
    phase: u64,
    step: u64,
    peak: f64,
}

impl Sine {
    /// A sine of `hertz` at `level_tenth_dbm0`, beginning at zero.
    pub fn new(hertz: u16, level_tenth_dbm0: i16) -> Self {
        let step = (u128::from(hertz) << 64) / u128::from(crate::RATE_HZ);
        Sine { phase: 0, step: step as u64, peak: PEAK_0_DBM0 * ratio(i32::from(level_tenth_dbm0)) }
    }

    /// The next sample.
    pub fn sample(&mut self) -> i32 {
        let value = self.peak * sine(self.phase);
        self.phase = self.phase.wrapping_add(self.step);
        (value + 0.5).floor() as i32
    }
}

/// The ratio of amplitudes that is `tenth_db` tenths of a dB.
fn ratio(tenth_db: i32) -> f64 {
    // Ten to the power of 1/200.
    const TENTH_DB: f64 = 1.011_579_454_259_899;
    let mut power = 1.0;
    for _ in 0..tenth_db.unsigned_abs().min(2000) {
        power *= TENTH_DB;
    }
    if tenth_db < 0 { 1.0 / power } else { power }
}

/// The gain that is `tenth_db` tenths of a dB, at most 40 dB.
pub(crate) fn gain(tenth_db: i16) -> i32 {
    (f64::from(UNITY_GAIN) * ratio(i32::from(tenth_db).min(400)) + 0.5).floor() as i32
}

/// `sample` with `gain`.
pub(crate) fn amplify(sample: i32, gain: i32) -> i32 {
    ((i64::from(sample) * i64::from(gain) + i64::from(UNITY_GAIN / 2)) >> 16) as i32
}

/// `sample` within 16 bits.
pub(crate) fn clip(sample: i32) -> i16 {
    sample.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

/// Sine of a part of a turn; 2^64 is a whole one.
fn sine(phase: u64) -> f64 {
    let half = (phase >> 63) == 1;
    // Within the half turn, folded into its first quarter.
    let part = phase << 1;
    let part = if part >> 63 == 1 { part.wrapping_neg() } else { part };
    let x = (part >> 11) as f64 * (std::f64::consts::PI / (1u64 << 53) as f64);
    let square = x * x;
    // Taylor series; at a quarter turn the first term left out is 6e-8 of the whole.
    let series = 1.0 - square / 110.0;
    let series = 1.0 - square / 72.0 * series;
    let series = 1.0 - square / 42.0 * series;
    let series = 1.0 - square / 20.0 * series;
    let series = 1.0 - square / 6.0 * series;
    if half { -x * series } else { x * series }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sine_is_a_sine() {
        for i in 0..1000u64 {
            let phase = i * (u64::MAX / 1000);
            let turn = phase as f64 / 2f64.powi(64);
            let error = sine(phase) - (turn * std::f64::consts::TAU).sin();
            assert!(error.abs() < 1e-6, "{turn} of a turn is off by {error}");
        }
    }

    #[test]
    fn levels_are_those_of_g711() {
        // 8159 in 14 bits is +3.17 dBm0.
        let peak = PEAK_0_DBM0 * ratio(32) / ratio(0) * 10f64.powf(-0.03 / 20.0);
        assert!((peak - 8159.0 * 4.0).abs() < 4.0, "{peak}");
        assert_eq!(gain(0), UNITY_GAIN);
        assert!((f64::from(gain(-60)) / f64::from(UNITY_GAIN) - 0.501_187).abs() < 1e-5);
        assert_eq!(gain(i16::MAX), gain(400));
        assert_eq!(gain(i16::MIN), 0);
    }

    #[test]
    fn a_sine_has_its_level() {
        let mut sine = Sine::new(1000, -100);
        let power: f64 = (0..8000).map(|_| f64::from(sine.sample()).powi(2)).sum::<f64>() / 8000.0;
        let level = 10.0 * (power / (PEAK_0_DBM0 * PEAK_0_DBM0 / 2.0)).log10();
        assert!((level + 10.0).abs() < 0.01, "{level} dBm0");
    }
}
