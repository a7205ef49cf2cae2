//! Levels: what 0 dBm0 means in 16-bit samples, and a meter.
//!
//! G.711 puts the overload of mu-law at +3.17 dBm0 and that of A-law at +3.14 dBm0. With the
//! laws' values left-justified in 16 bits, a sine that just reaches overload has the peak
//! 8159 * 4 = 32,636 (mu) and 4096 * 8 = 32,768 (A), so a sine of 0 dBm0 has the peak 22,657 in
//! mu-law and 22,827 in A-law. One linear scale serves both: 22,742 in the middle is 0.033 dB from
//! either. The Digital Milliwatt, which names its law, uses that law's own value.

use g7xx::g711::Law;

/// Peak of a sine of 0 dBm0 in linear samples.
pub const PEAK_0_DBM0: u16 = 22_742;

/// Peak of a sine of 0 dBm0 that is coded in `law`.
pub const fn peak_0_dbm0(law: Law) -> u16 {
    match law {
        Law::Mu => 22_657,
        Law::A => 22_827,
    }
}

/// Below this the peak of a tone is less than one step: 20 log10 of the peak of 0 dBm0.
const FLOOR_CENTI_DB: i16 = -8_714;
/// Above this every tone overloads.
const CEILING_CENTI_DB: i16 = 2_000;

/// 10 to the power of -1/2000, one hundredth of a dB, as a fraction of 2^32.
const HUNDREDTH_DB_DOWN: u64 = 4_290_025_378;
/// 10 to the power of 1/2000, likewise.
const HUNDREDTH_DB_UP: u64 = 4_299_914_907;

/// `peak` changed by `centi_db` hundredths of a dB; at most the largest sample.
pub(super) fn scale(peak: u16, centi_db: i16) -> i16 {
    if centi_db < FLOOR_CENTI_DB {
        return 0;
    }
    let centi_db = centi_db.min(CEILING_CENTI_DB);
    let mut factor = if centi_db < 0 { HUNDREDTH_DB_DOWN } else { HUNDREDTH_DB_UP };
    let mut exponent = centi_db.unsigned_abs();
    // Square and multiply in 32.32; the bounds keep every square below 2^46.
    let times = |a: u64, b: u64| ((u128::from(a) * u128::from(b)) >> 32) as u64;
    let mut power: u64 = 1 << 32;
    while exponent > 0 {
        if exponent & 1 == 1 {
            power = times(power, factor);
        }
        factor = times(factor, factor);
        exponent >>= 1;
    }
    let value = (u128::from(peak) * u128::from(power) + (1 << 31)) >> 32;
    value.min(i16::MAX as u128) as i16
}

/// Level of `samples` in dBm0; minus infinity for silence. For people and tests: nothing is
/// decided by it.
pub fn level_dbm0(samples: &[i16]) -> f64 {
    let energy: i64 = samples.iter().map(|s| i64::from(*s) * i64::from(*s)).sum();
    let reference = f64::from(PEAK_0_DBM0) * f64::from(PEAK_0_DBM0) / 2.0;
    10.0 * (energy as f64 / samples.len().max(1) as f64 / reference).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digital_milliwatt_of_the_recommendation_is_0_dbm0() {
        // G.711 table 5 and 6.
        let tables = [
            (Law::A, [0x34, 0x21, 0x21, 0x34, 0xB4, 0xA1, 0xA1, 0xB4]),
            (Law::Mu, [0x1E, 0x0B, 0x0B, 0x1E, 0x9E, 0x8B, 0x8B, 0x9E]),
        ];
        for (law, codes) in tables {
            let mut samples = [0; 8];
            g7xx::g711::decode(law, &codes, &mut samples);
            let level = level_dbm0(&samples);
            assert!(level.abs() < 0.05, "{law:?}: {level}");
            let own = level - 20.0 * (f64::from(peak_0_dbm0(law)) / f64::from(PEAK_0_DBM0)).log10();
            assert!(own.abs() < 0.01, "{law:?} on its own scale: {own}");
        }
    }

    #[test]
    fn scaling_is_right_to_a_rounded_sample() {
        for centi_db in [-8_000, -6_000, -2_001, -2_000, -1_999, -600, -1, 0, 1, 100, 300] {
            let exact = f64::from(PEAK_0_DBM0) * 10f64.powf(f64::from(centi_db) / 2000.0);
            let scaled = f64::from(scale(PEAK_0_DBM0, centi_db));
            assert!((scaled - exact).abs() <= 0.51, "{centi_db}: {scaled} for {exact}");
        }
        assert_eq!(scale(PEAK_0_DBM0, i16::MAX), i16::MAX);
        assert_eq!(scale(PEAK_0_DBM0, i16::MIN), 0);
    }

    #[test]
    fn silence_has_no_level() {
        assert_eq!(level_dbm0(&[0; 80]), f64::NEG_INFINITY);
    }
}
