use super::super::tone::{Sine, dtmf_hertz};
use super::*;
use crate::rng::Seed;

/// A digit as a telephone might send it.
#[derive(Clone, Copy)]
struct Press {
    digit: Digit,
    /// Errors of the two frequencies in thousandths.
    low_permille: f64,
    high_permille: f64,
    low_dbm0: f64,
    high_dbm0: f64,
    /// Before, during and after, in samples.
    before: usize,
    during: usize,
}

impl Press {
    fn new(digit: Digit) -> Self {
        Press {
            digit,
            low_permille: 0.0,
            high_permille: 0.0,
            low_dbm0: -11.0,
            high_dbm0: -9.0,
            before: 800,
            during: 400,
        }
    }

    fn samples(&self) -> Vec<i16> {
        let (low, high) = dtmf_hertz(self.digit);
        let wave = |hertz: u16, permille: f64, dbm0: f64, n: usize| {
            let hertz = f64::from(hertz) * (1.0 + permille / 1000.0);
            let peak = f64::from(PEAK_0_DBM0) * 10f64.powf(dbm0 / 20.0);
            peak * (TAU * hertz * n as f64 / 8000.0).sin()
        };
        let mut samples = vec![0; self.before];
        samples.extend((0..self.during).map(|n| {
            let sum =
                wave(low, self.low_permille, self.low_dbm0, n) + wave(high, self.high_permille, self.high_dbm0, n);
            sum.clamp(-32635.0, 32635.0) as i16
        }));
        samples.extend([0; 800]);
        samples
    }
}

fn edges(samples: &[i16]) -> Vec<DigitEdge> {
    let (mut detector, mut edges) = (DigitDetector::new(), Vec::new());
    samples.chunks(80).for_each(|block| detector.process(block, &mut |e| edges.push(e)));
    edges
}

fn heard(samples: &[i16]) -> String {
    edges(samples)
        .into_iter()
        .filter_map(|e| if let DigitEdge::Begin(d) = e { Some(d.as_char()) } else { None })
        .collect()
}

/// Every key with every time of beginning within a part.
fn check(accepted: bool, what: &str, change: impl Fn(&mut Press)) {
    for digit in Digit::ALL {
        for offset in (0..PART).step_by(3) {
            let mut press = Press::new(digit);
            press.before += offset;
            change(&mut press);
            let expected = if accepted { digit.to_string() } else { String::new() };
            assert_eq!(heard(&press.samples()), expected, "{what}: {digit} offset {offset}");
        }
    }
}

fn with_noise(samples: &mut [i16], dbm0: f64, seed: u64) {
    let mut rng = Seed::from_number(seed).rng();
    let rms = f64::from(PEAK_0_DBM0) / 2f64.sqrt() * 10f64.powf(dbm0 / 20.0);
    for sample in samples {
        // The sum of twelve even numbers is nearly normal, with a variance of one.
        let normal: f64 = (0..12).map(|_| rng.below(1 << 20) as f64 / f64::from(1 << 20)).sum::<f64>() - 6.0;
        *sample = (f64::from(*sample) + rms * normal).clamp(-32635.0, 32635.0) as i16;
    }
}

#[test]
fn each_key_begins_once_and_ends_once() {
    for digit in Digit::ALL {
        let press = Press { during: 8_000, ..Press::new(digit) };
        assert_eq!(edges(&press.samples()), [DigitEdge::Begin(digit), DigitEdge::End(digit)]);
    }
}

#[test]
fn forty_milliseconds_are_a_digit_and_twenty_three_are_none() {
    check(true, "40 ms", |p| p.during = 320);
    check(false, "23 ms", |p| p.during = 184);
}

#[test]
fn one_and_a_half_percent_off_is_accepted_and_three_and_a_half_is_not() {
    for (low, high) in [(15.0, 15.0), (-15.0, -15.0), (15.0, -15.0), (-15.0, 15.0)] {
        check(true, "1.5 %", |p| (p.low_permille, p.high_permille, p.during) = (low, high, 320));
    }
    for (low, high) in [(35.0, 0.0), (-35.0, 0.0), (0.0, 35.0), (0.0, -35.0), (35.0, 35.0), (-35.0, 35.0)] {
        check(false, "3.5 %", |p| (p.low_permille, p.high_permille, p.during) = (low, high, 1_600));
    }
}

#[test]
fn twist_is_accepted_up_to_8_and_4_db_and_refused_above_10() {
    check(true, "low 8 dB over high", |p| (p.low_dbm0, p.high_dbm0, p.during) = (-6.0, -14.0, 320));
    check(true, "high 4 dB over low", |p| (p.low_dbm0, p.high_dbm0, p.during) = (-14.0, -10.0, 320));
    check(true, "low 8 dB over high, off tune", |p| {
        (p.low_dbm0, p.high_dbm0, p.during) = (-6.0, -14.0, 320);
        (p.low_permille, p.high_permille) = (15.0, -15.0);
    });
    check(true, "high 4 dB over low, off tune", |p| {
        (p.low_dbm0, p.high_dbm0, p.during) = (-14.0, -10.0, 320);
        (p.low_permille, p.high_permille) = (-15.0, 15.0);
    });
    check(false, "low 10.5 dB over high", |p| (p.low_dbm0, p.high_dbm0) = (-6.0, -16.5));
    check(false, "high 10.5 dB over low", |p| (p.low_dbm0, p.high_dbm0) = (-20.0, -9.5));
}

#[test]
fn levels_from_0_to_25_below_are_accepted() {
    check(true, "0 dBm0", |p| (p.low_dbm0, p.high_dbm0, p.during) = (0.0, 0.0, 320));
    check(true, "-25 dBm0", |p| (p.low_dbm0, p.high_dbm0, p.during) = (-25.0, -25.0, 320));
    check(true, "-35 dBm0", |p| (p.low_dbm0, p.high_dbm0, p.during) = (-35.0, -35.0, 320));
    check(false, "-45 dBm0", |p| (p.low_dbm0, p.high_dbm0) = (-45.0, -45.0));
}

#[test]
fn noise_15_db_below_the_digit_hides_none() {
    for digit in Digit::ALL {
        for seed in 0..50 {
            let mut samples = Press { during: 320, before: 800 + seed as usize, ..Press::new(digit) }.samples();
            // The two tones together are at -6.9 dBm0.
            with_noise(&mut samples, -22.0, seed);
            assert_eq!(heard(&samples), digit.to_string(), "seed {seed}");
        }
    }
}

#[test]
fn a_dial_tone_louder_than_the_digit_hides_none() {
    for (first, second) in [(350, 440), (425, 425)] {
        for digit in Digit::ALL {
            let mut samples = Press { low_dbm0: -22.0, high_dbm0: -20.0, ..Press::new(digit) }.samples();
            let mut tones = [Sine::at_level(first, -1_300), Sine::at_level(second, -1_300)];
            samples.iter_mut().for_each(|s| *s += tones.iter_mut().map(Sine::sample).sum::<i16>());
            assert_eq!(heard(&samples), digit.to_string());
        }
    }
}

#[test]
fn a_short_break_does_not_split_a_digit_and_a_pause_of_40_ms_does() {
    let five = Digit::from_char('5').unwrap();
    for offset in 0..PART {
        for (pause, expected) in [(80, "5"), (152, "5"), (320, "55")] {
            let mut samples = Press { before: 800 + offset, during: 400, ..Press::new(five) }.samples();
            samples.truncate(800 + offset + 400);
            samples.extend(Press { before: pause, during: 400, ..Press::new(five) }.samples());
            assert_eq!(heard(&samples), expected, "pause of {pause} samples, offset {offset}");
        }
    }
}

#[test]
fn fast_dialling_is_heard_completely_through_both_laws() {
    for law in [g7xx::g711::Law::Mu, g7xx::g711::Law::A] {
        let mut samples = Vec::new();
        for digit in Digit::ALL {
            samples.extend(&Press { before: 320, during: 320, ..Press::new(digit) }.samples()[..640]);
        }
        samples.extend([0; 800]);
        let mut coded = vec![0; samples.len()];
        g7xx::g711::encode(law, &samples, &mut coded);
        g7xx::g711::decode(law, &coded, &mut samples);
        assert_eq!(heard(&samples), "0123456789*#ABCD");
    }
}

#[test]
fn single_tones_and_call_progress_tones_are_no_digits() {
    for hertz in [350, 440, 480, 620, 697, 941, 1004, 1209, 1633, 2100] {
        let mut sine = Sine::at_level(hertz, -600);
        let samples: Vec<i16> = (0..8_000).map(|_| sine.sample()).collect();
        assert_eq!(heard(&samples), "", "{hertz} Hz");
    }
    let mut tones = [Sine::at_level(480, -1_300), Sine::at_level(620, -1_300)];
    let samples: Vec<i16> = (0..8_000).map(|_| tones.iter_mut().map(Sine::sample).sum()).collect();
    assert_eq!(heard(&samples), "");
}

/// Vowels: pulses of a wandering pitch through two resonances that wander too, with loudness that
/// comes and goes like syllables, and white noise in between.
#[test]
fn ten_minutes_of_speech_like_noise_hold_at_most_one_digit() {
    let mut rng = Seed::from_number(20).rng();
    let mut samples = Vec::with_capacity(8_000 * 600);
    let mut state = [[0.0f64; 2]; 2];
    while samples.len() < 8_000 * 600 {
        let pitch = rng.between(60, 130) as f64 / 8_000.0 * 1.0;
        let formants = [rng.between(300, 1_000) as f64, rng.between(900, 2_500) as f64];
        let loud = rng.between(2_000, 12_000) as f64;
        let voiced = rng.chance(3, 4);
        let length = rng.between(400, 2_400);
        let mut phase = 0.0;
        for n in 0..length {
            phase += pitch * 8_000.0 / 8_000.0 * (1.0 + 0.1 * (n as f64 / 900.0).sin());
            let pulse = phase >= 1.0;
            phase -= f64::from(u8::from(pulse));
            let noise = rng.below(2_001) as f64 / 1_000.0 - 1.0;
            let mut x = if voiced { f64::from(u8::from(pulse)) * 6.0 + noise * 0.02 } else { noise };
            for (s, f) in state.iter_mut().zip(formants) {
                let y = x + 2.0 * 0.97 * (TAU * f / 8_000.0).cos() * s[0] - 0.97 * 0.97 * s[1];
                *s = [y, s[0]];
                x = y * 0.3;
            }
            let syllable = (std::f64::consts::PI * n as f64 / length as f64).sin();
            samples.push((x * loud * syllable * 0.5).clamp(-32_000.0, 32_000.0) as i16);
        }
    }
    let digits = heard(&samples);
    assert!(digits.len() <= 1, "heard {digits}");
}
