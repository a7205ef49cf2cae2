//! What was said and heard: tracks of samples with their time, and what can be measured on them.
//!
//! All of it is 8000 samples a second, 16-bit linear. Levels are dBm0 as in G.711: a sine whose peak
//! is the overload point of mu-law has +3.17 dBm0.

use crate::rng::Rng;
use crate::time::{Duration, Instant};
use std::f64::consts::TAU;

/// Samples a second.
pub const RATE_HZ: u32 = 8_000;
/// Root mean square of 0 dBm0: 8159 of 14 bits is the peak of a sine at +3.17 dBm0 (G.711 table 2).
const RMS_0_DBM0: f64 = 16_020.0;
/// Samples of a track that are kept for measurements: ten seconds.
const KEPT: usize = 80_000;

/// Samples since some beginning, of which the last ten seconds are kept, and when they sounded.
#[derive(Clone, Debug)]
pub struct Track {
    samples: Vec<i16>,
    /// Samples before the first one kept.
    dropped: u64,
    /// Whether nothing is ever dropped, because the track will become a file.
    keeps_all: bool,
    /// When sample number `anchor.0` began to sound.
    anchor: (u64, Instant),
    nanos_per_sample: f64,
}

impl Track {
    /// An empty track whose first sample sounds at `start`, on a clock that is off by `ppm`.
    pub fn new(start: Instant, ppm: i32, keeps_all: bool) -> Self {
        let nanos_per_sample = 1e9 / f64::from(RATE_HZ) / (1.0 + f64::from(ppm) * 1e-6);
        Track { samples: Vec::new(), dropped: 0, keeps_all, anchor: (0, start), nanos_per_sample }
    }

    /// Says when a sample sounded, for clocks that are observed.
    pub fn anchor(&mut self, position: u64, at: Instant) {
        self.anchor = (position, at);
    }

    /// Appends samples.
    pub fn push(&mut self, samples: &[i16]) {
        self.samples.extend_from_slice(samples);
        if !self.keeps_all && self.samples.len() > 2 * KEPT {
            let surplus = self.samples.len() - KEPT;
            self.samples.drain(..surplus);
            self.dropped += surplus as u64;
        }
    }

    /// Adds samples at a position that may lie before the end: what comes late, or for a second time.
    /// A gap becomes silence; what is too old to be kept is lost.
    pub fn put(&mut self, position: u64, samples: &[i16]) {
        if !self.keeps_all && position > self.end().saturating_add(KEPT as u64) {
            // Nothing of what is kept now would be kept behind such a gap.
            self.samples.clear();
            self.dropped = position;
        }
        if position == self.end() {
            return self.push(samples);
        }
        for (position, sample) in (position..).zip(samples) {
            while self.end() < position {
                self.push(&[0]);
            }
            if self.end() == position {
                self.push(std::slice::from_ref(sample));
            } else if let Some(at) = position.checked_sub(self.dropped) {
                self.samples[at as usize] = *sample;
            }
        }
    }

    /// Number of the sample after the last one.
    pub fn end(&self) -> u64 {
        self.dropped + self.samples.len() as u64
    }

    /// Everything that is kept.
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// `count` samples up to the position `end`, when they are there.
    pub fn window(&self, end: u64, count: usize) -> Option<&[i16]> {
        let end = usize::try_from(end.checked_sub(self.dropped)?).ok()?;
        self.samples.get(end.checked_sub(count)?..end)
    }

    /// The last `count` samples, when there are as many.
    pub fn last(&self, count: usize) -> Option<&[i16]> {
        self.window(self.end(), count)
    }

    /// When sample number `position` begins to sound.
    pub fn time_of(&self, position: u64) -> Instant {
        let samples = position as f64 - self.anchor.0 as f64;
        let nanos = Duration::from_nanos((samples.abs() * self.nanos_per_sample) as u64);
        if samples < 0.0 { self.anchor.1 - nanos } else { self.anchor.1 + nanos }
    }

    /// The sample that sounds at `at`; `None` before the first one.
    pub fn position_at(&self, at: Instant) -> Option<u64> {
        let (later, earlier) = (at.since(self.anchor.1).as_nanos() as f64, self.anchor.1.since(at).as_nanos() as f64);
        let position = self.anchor.0 as f64 + (later - earlier) / self.nanos_per_sample;
        (position >= 0.0).then_some(position.round() as u64)
    }
}

/// Level of samples, everything in them counted; -infinity for silence.
pub fn level_dbm0(samples: &[i16]) -> f64 {
    let energy: f64 = samples.iter().map(|s| f64::from(*s) * f64::from(*s)).sum();
    20.0 * ((energy / samples.len().max(1) as f64).sqrt() / RMS_0_DBM0).log10()
}

/// A frequency that was looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Where it was found.
    pub hertz: f64,
    /// Its level.
    pub level_dbm0: f64,
}

/// Frequencies measured in samples, and which part of all energy they make up, 0 to 1.
pub fn measure(samples: &[i16], hertz: &[f64]) -> (Vec<Measured>, f64) {
    let windowed = |samples: &[i16]| -> Vec<f64> {
        let n = samples.len() as f64;
        let hann = |i: usize| 0.5 - 0.5 * (TAU * (i as f64 + 0.5) / n).cos();
        samples.iter().enumerate().map(|(i, s)| f64::from(*s) * hann(i)).collect()
    };
    let whole = windowed(samples);
    let half = samples.len() / 2;
    let (first, second) = (windowed(&samples[..half]), windowed(&samples[half..]));
    let energy: f64 = whole.iter().map(|s| s * s).sum();
    let mut explained = 0.0;
    let found = hertz.iter().map(|&wanted| {
        // The phase turns by the difference in frequency between the middles of the two halves.
        let turned = spectrum(&second, wanted).1 - spectrum(&first, wanted).1 - TAU * wanted * half as f64 / 8_000.0;
        let turned = (turned + TAU / 2.0).rem_euclid(TAU) - TAU / 2.0;
        let exact = wanted + turned / TAU * 8_000.0 / half.max(1) as f64;
        let amplitude = spectrum(&whole, exact).0 * 2.0 / (whole.len().max(1) as f64 / 2.0);
        // A sine of this amplitude has three eighths of its square left under a Hann window.
        explained += amplitude * amplitude / 2.0 * whole.len() as f64 * 0.375;
        let level_dbm0 = 20.0 * (amplitude / std::f64::consts::SQRT_2 / RMS_0_DBM0).log10();
        Measured { hertz: exact, level_dbm0 }
    });
    let found = found.collect();
    (found, if energy > 0.0 { explained / energy } else { 0.0 })
}

/// Magnitude and phase of one frequency, by a rotating phasor.
fn spectrum(samples: &[f64], hertz: f64) -> (f64, f64) {
    let step = TAU * hertz / f64::from(RATE_HZ);
    let (turn_re, turn_im) = (step.cos(), -step.sin());
    let (mut re, mut im, mut sum_re, mut sum_im) = (1.0, 0.0, 0.0, 0.0);
    for sample in samples {
        sum_re += sample * re;
        sum_im += sample * im;
        (re, im) = (re * turn_re - im * turn_im, re * turn_im + im * turn_re);
    }
    (f64::hypot(sum_re, sum_im), f64::atan2(sum_im, sum_re))
}

/// Samples that are compared to find a delay: half a second.
pub const PROBE_SAMPLES: usize = 4_000;

/// Least likeness that counts as found; noise that is not the same stays below a tenth.
const LIKENESS_MIN: f64 = 0.3;

/// How long what `mouth` said took to `ear`, between `min` and `max`, judged by the last half second
/// of the ear; with the likeness, 0 to 1. `None` when it was not heard.
pub fn delay(mouth: &Track, ear: &Track, min: Duration, max: Duration) -> Option<(Duration, f64)> {
    let heard = ear.last(PROBE_SAMPLES)?;
    let energy_heard = dot(heard, heard);
    if level_dbm0(heard) < -50.0 {
        return None;
    }
    let ended = ear.time_of(ear.end());
    let latest = mouth.position_at(ended - min)?.min(mouth.end());
    let earliest = mouth.position_at(ended - max).unwrap_or(0);
    let mut best: Option<(u64, f64)> = None;
    for end in earliest..=latest {
        let Some(said) = mouth.window(end, PROBE_SAMPLES) else { continue };
        let energy_said = dot(said, said);
        if energy_said == 0.0 {
            continue;
        }
        let likeness = dot(said, heard) / (energy_said * energy_heard).sqrt();
        if likeness > best.map_or(LIKENESS_MIN, |b| b.1) {
            best = Some((end, likeness));
        }
    }
    best.map(|(end, likeness)| (ended.since(mouth.time_of(end)), likeness))
}

fn dot(a: &[i16], b: &[i16]) -> f64 {
    a.iter().zip(b).map(|(a, b)| i64::from(i32::from(*a) * i32::from(*b))).sum::<i64>() as f64
}

/// Noise at about -15 dBm0 that sounds the same for the same seed and can be found again.
#[derive(Clone, Debug)]
pub struct Noise {
    rng: Rng,
    before: [i32; 2],
}

impl Noise {
    /// The noise of this generator.
    pub fn new(rng: Rng) -> Self {
        Noise { rng, before: [0; 2] }
    }

    /// The next `samples`.
    pub fn fill(&mut self, samples: &mut [i16]) {
        for sample in samples {
            let fresh = self.rng.below(16_001) as i32 - 8_000;
            // Weaker at the upper end, so that a shift by half a sample keeps the likeness.
            *sample = ((self.before[0] + 2 * self.before[1] + fresh) / 4) as i16;
            self.before = [self.before[1], fresh];
        }
    }
}

/// A sine that goes on.
#[derive(Clone, Copy, Debug)]
pub struct Sine {
    phase: f64,
    step: f64,
    peak: f64,
}

impl Sine {
    /// A sine of this frequency and level.
    pub fn new(hertz: f64, level_dbm0: f64) -> Self {
        let peak = RMS_0_DBM0 * std::f64::consts::SQRT_2 * 10_f64.powf(level_dbm0 / 20.0);
        Sine { phase: 0.0, step: TAU * hertz / f64::from(RATE_HZ), peak }
    }

    /// The next `samples`.
    pub fn fill(&mut self, samples: &mut [i16]) {
        for sample in samples {
            *sample = (self.phase.sin() * self.peak).round().clamp(-32_768.0, 32_767.0) as i16;
            self.phase = (self.phase + self.step) % TAU;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;

    fn sine(hertz: f64, level_dbm0: f64, count: usize) -> Vec<i16> {
        let mut samples = vec![0; count];
        Sine::new(hertz, level_dbm0).fill(&mut samples);
        samples
    }

    #[test]
    fn a_tone_is_measured_to_a_tenth_of_a_hertz_and_of_a_decibel() {
        let (found, explained) = measure(&sine(1_004.3, -10.0, 1_600), &[1_004.0]);
        assert!((found[0].hertz - 1_004.3).abs() < 0.1, "{found:?}");
        assert!((found[0].level_dbm0 + 10.0).abs() < 0.1, "{found:?}");
        assert!((explained - 1.0).abs() < 0.02, "{explained}");
        assert!((level_dbm0(&sine(1_004.0, -10.0, 8_000)) + 10.0).abs() < 0.05);
    }

    #[test]
    fn two_tones_are_told_from_one_and_from_noise() {
        let both: Vec<i16> =
            sine(350.0, -13.0, 1_600).iter().zip(sine(440.0, -13.0, 1_600)).map(|(a, b)| a + b).collect();
        let (found, explained) = measure(&both, &[350.0, 440.0]);
        assert!(found.iter().all(|m| (m.level_dbm0 + 13.0).abs() < 0.2), "{found:?}");
        assert!((explained - 1.0).abs() < 0.05, "{explained}");
        assert!(measure(&both, &[350.0]).1 < 0.6);
        let mut noise = vec![0; 1_600];
        Noise::new(Seed::from_number(1).rng()).fill(&mut noise);
        assert!(measure(&noise, &[350.0, 440.0]).1 < 0.1);
        assert!((-17.0..-13.0).contains(&level_dbm0(&noise)));
    }

    #[test]
    fn a_delay_is_found_even_below_other_noise() {
        let mut said = vec![0; 16_000];
        Noise::new(Seed::from_number(1).rng()).fill(&mut said);
        let mut other = vec![0; 16_000];
        Noise::new(Seed::from_number(2).rng()).fill(&mut other);
        let mut mouth = Track::new(Instant::ZERO, 0, false);
        mouth.push(&said);
        let mut ear = Track::new(Instant::ZERO, 0, false);
        ear.push(&[0; 640]);
        let mixed: Vec<i16> = said.iter().zip(&other).map(|(s, o)| s / 2 + o / 2).collect();
        ear.push(&mixed[..12_000]);
        let (took, likeness) = delay(&mouth, &ear, Duration::ZERO, Duration::from_millis(300)).expect("heard");
        assert_eq!(took, Duration::from_millis(80));
        assert!((0.6..0.8).contains(&likeness), "{likeness}");
        let mut stranger = Track::new(Instant::ZERO, 0, false);
        stranger.push(&other[..8_000]);
        let mut silent = Track::new(Instant::ZERO, 0, false);
        silent.push(&[0; 8_000]);
        assert_eq!(delay(&silent, &ear, Duration::ZERO, Duration::from_millis(300)), None);
        assert_eq!(delay(&stranger, &silent, Duration::ZERO, Duration::from_millis(300)), None);
    }

    #[test]
    fn a_track_keeps_its_end_and_its_time() {
        let mut track = Track::new(Instant::from_millis(10), 0, false);
        track.put(3, &[7, 8]);
        track.put(1, &[5]);
        assert_eq!(track.samples(), [0, 5, 0, 7, 8]);
        track.push(&vec![1; 3 * KEPT]);
        assert_eq!(track.end(), 5 + 3 * KEPT as u64);
        assert!(track.samples().len() <= 2 * KEPT);
        assert_eq!(track.time_of(8_000), Instant::from_millis(1_010));
        assert_eq!(track.position_at(Instant::from_millis(1_010)), Some(8_000));
        assert_eq!(track.position_at(Instant::ZERO), None);
    }
}
