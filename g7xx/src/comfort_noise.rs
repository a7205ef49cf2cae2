//! Comfort noise for sample codecs: the payload of RFC 3389 (payload type 13).
//!
//! A payload holds the level of the background below overload in decibels and, optionally, its
//! spectrum as reflection coefficients. [`Analyser`] makes such payloads, [`Generator`] turns them
//! back into noise. All arithmetic is integer, so noise of one seed is the same everywhere.

/// Reflection coefficients made and understood; more in a received payload are left out.
const ORDER: usize = 10;

/// Octets of the largest payload made here: the level and ten reflection coefficients.
pub const MAX_PAYLOAD: usize = 1 + ORDER;

/// Samples that are correlated at a time.
const WINDOW: usize = 160;

/// Root mean square of a level in -dBov, Q16; 0 dBov is a square wave of 32767.
static AMPLITUDES: [u32; 128] = {
    // 10^(-1/20) in Q32.
    const STEP: u64 = 3_827_893_632;
    let mut table = [0; 128];
    let mut amplitude: u64 = 32767 << 32;
    let mut level = 0;
    while level < 128 {
        table[level] = (amplitude >> 16) as u32;
        amplitude = ((amplitude as u128 * STEP as u128) >> 32) as u64;
        level += 1;
    }
    table
};

/// Measures the background and describes it as a payload.
///
/// ```
/// use g7xx::comfort_noise::{Analyser, MAX_PAYLOAD};
/// let mut analyser = Analyser::new();
/// analyser.analyse(&[0; 80]);
/// let mut payload = [0; MAX_PAYLOAD];
/// let length = analyser.payload(&mut payload);
/// assert_eq!(payload[..length], [127]);
/// ```
#[derive(Clone, Debug)]
pub struct Analyser {
    samples: [i16; WINDOW],
    /// Mean autocorrelation; `None` before the first frame.
    mean: Option<[i64; ORDER + 1]>,
}

impl Default for Analyser {
    fn default() -> Self {
        Self::new()
    }
}

impl Analyser {
    /// Knows nothing yet; its payload says silence.
    pub const fn new() -> Self {
        Self {
            samples: [0; WINDOW],
            mean: None,
        }
    }

    /// Takes a frame of background noise (not of speech). The description follows with a time
    /// constant of eight frames.
    pub fn analyse(&mut self, frame: &[i16; 80]) {
        if self.mean.is_none() {
            self.samples[..80].copy_from_slice(frame);
        } else {
            self.samples.copy_within(80.., 0);
        }
        self.samples[80..].copy_from_slice(frame);
        let r: [i64; ORDER + 1] = core::array::from_fn(|lag| {
            let pairs = self.samples[lag..].iter().zip(&self.samples);
            pairs
                .map(|(a, b)| i64::from(i32::from(*a) * i32::from(*b)))
                .sum()
        });
        self.mean = Some(match self.mean {
            None => r,
            Some(mean) => core::array::from_fn(|lag| mean[lag] + (r[lag] - mean[lag]) / 8),
        });
    }

    /// Writes the payload and returns its octets: 1 (level only) or [`MAX_PAYLOAD`].
    pub fn payload(&self, payload: &mut [u8; MAX_PAYLOAD]) -> usize {
        let r = self.mean.unwrap_or([0; ORDER + 1]);
        let power = (r[0] / WINDOW as i64).max(0) as u64;
        payload[0] = level_of(power);
        if payload[0] == 127 {
            return 1;
        }
        for (octet, k) in payload[1..].iter_mut().zip(reflections(&r)) {
            // k = 258 (N - 127) / 32768, rounded; N = 255 is reserved.
            let index = (k + if k < 0 { -129 } else { 129 }) / 258 + 127;
            *octet = index.clamp(0, 254) as u8;
        }
        MAX_PAYLOAD
    }
}

/// Level in -dBov nearest to a power.
fn level_of(power: u64) -> u8 {
    let near = |level: usize| {
        // Below the geometric mean of this level and the next the next is nearer.
        let (a, b) = (
            u64::from(AMPLITUDES[level]),
            u64::from(AMPLITUDES[level + 1]),
        );
        power >= ((u128::from(a) * u128::from(b)) >> 32) as u64 && power > 0
    };
    (0..127).find(|level| near(*level)).unwrap_or(127) as u8
}

/// Reflection coefficients by Schur's recursion, Q15.
fn reflections(r: &[i64; ORDER + 1]) -> [i64; ORDER] {
    // A little white noise keeps the recursion stable; 24 bits leave room for its products.
    let mut r = *r;
    r[0] += r[0] / 1024 + 1;
    let shift = (64 - r[0].leading_zeros() as i32 - 30).max(0);
    let (mut p, mut q) = (r.map(|r| r >> shift), r.map(|r| r >> shift));
    core::array::from_fn(|i| {
        if q[0] <= 0 || p[1].abs() >= q[0] {
            return 0;
        }
        let k = -(p[1] << 15) / q[0];
        let (old_p, old_q) = (p, q);
        for n in 0..ORDER - i {
            p[n] = old_p[n + 1] + ((k * old_q[n]) >> 15);
            q[n] = old_q[n] + ((k * old_p[n + 1]) >> 15);
        }
        k
    })
}

/// Makes noise as a payload describes it.
///
/// ```
/// let mut generator = g7xx::comfort_noise::Generator::new(1);
/// generator.update(&[60]);
/// let mut samples = [0; 80];
/// generator.generate(&mut samples);
/// assert!(samples.iter().any(|sample| *sample != 0));
/// ```
#[derive(Clone, Debug)]
pub struct Generator {
    state: u32,
    /// Gain of the white noise now and as it is to become, Q16; `None` before the first payload.
    gain: Option<i64>,
    target: i64,
    /// Reflection coefficients, Q15.
    reflections: [i64; ORDER],
    /// Backward values of the lattice, Q8.
    lattice: [i64; ORDER + 1],
}

impl Generator {
    /// Silent until the first [`Generator::update`]. The seed decides the samples.
    pub const fn new(seed: u32) -> Self {
        Self {
            state: seed,
            gain: None,
            target: 0,
            reflections: [0; ORDER],
            lattice: [0; ORDER + 1],
        }
    }

    /// Takes a received payload; an empty one changes nothing. The first one acts at once, later
    /// ones within about 30 ms.
    pub fn update(&mut self, payload: &[u8]) {
        let Some((level, spectrum)) = payload.split_first() else {
            return;
        };
        let mut reflections = [0; ORDER];
        for (k, index) in reflections.iter_mut().zip(spectrum) {
            *k = 258 * (i64::from((*index).min(254)) - 127);
        }
        self.reflections = reflections;
        // The filter amplifies white noise by the product of 1 / (1 - k^2); Q30.
        let loss = reflections
            .iter()
            .fold(1i64 << 30, |loss, k| (loss * ((1 << 30) - k * k)) >> 30);
        let loss = (loss.max(1) as u64).isqrt() as i64;
        // Uniform noise of 16 bits has the root mean square 32768 / sqrt(3).
        const ROOT_3: i64 = 113_512;
        let amplitude = i64::from(AMPLITUDES[usize::from(level & 127)]);
        self.target = (((amplitude * loss) >> 15) * ROOT_3) >> 16;
        self.gain.get_or_insert(self.target);
    }

    /// Fills `samples` with noise.
    pub fn generate(&mut self, samples: &mut [i16]) {
        const MOST: i64 = 1 << 40;
        let mut gain = self.gain.unwrap_or(0);
        for sample in samples {
            gain += (self.target - gain) / 256;
            self.state = self
                .state
                .wrapping_mul(1_664_525)
                .wrapping_add(1_013_904_223);
            let white = i64::from((self.state >> 16) as i16);
            // Q16 times a fraction of 2^15 to Q8.
            let mut forward = (gain * white) >> 23;
            for i in (0..ORDER).rev() {
                let k = self.reflections[i];
                // Reflections next to one ring far beyond the samples' range.
                forward = (forward - ((k * self.lattice[i]) >> 15)).clamp(-MOST, MOST);
                self.lattice[i + 1] = (self.lattice[i] + ((k * forward) >> 15)).clamp(-MOST, MOST);
            }
            let limit = 32767 << 8;
            forward = forward.clamp(-limit, limit);
            self.lattice[0] = forward;
            *sample = ((forward + 128) >> 8).clamp(-32768, 32767) as i16;
        }
        if self.gain.is_some() {
            self.gain = Some(gain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn power(samples: &[i16]) -> f64 {
        samples
            .iter()
            .map(|s| f64::from(*s) * f64::from(*s))
            .sum::<f64>()
            / samples.len() as f64
    }

    /// Level in -dBov.
    fn level(samples: &[i16]) -> f64 {
        -10.0 * (power(samples) / (32767.0 * 32767.0)).log10()
    }

    /// First normalised autocorrelation.
    fn first_correlation(samples: &[i16]) -> f64 {
        let sum: f64 = samples
            .windows(2)
            .map(|w| f64::from(w[0]) * f64::from(w[1]))
            .sum();
        sum / samples.len() as f64 / power(samples)
    }

    #[test]
    fn noise_has_the_level_that_the_payload_says() {
        for said in [20u8, 35, 50, 65] {
            let mut generator = Generator::new(5);
            generator.update(&[said]);
            let mut samples = [0; 8000];
            generator.generate(&mut samples);
            assert!(
                (level(&samples) - f64::from(said)).abs() < 0.5,
                "{said}: {}",
                level(&samples)
            );
        }
    }

    #[test]
    fn analysed_noise_is_described_within_a_decibel_and_with_its_colour() {
        for index in [40u8, 100, 160, 220] {
            let mut generator = Generator::new(9);
            generator.update(&[40, index, 140, 120]);
            let mut samples = [0; 16000];
            generator.generate(&mut samples);
            let mut analyser = Analyser::new();
            samples
                .as_chunks::<80>()
                .0
                .iter()
                .for_each(|frame| analyser.analyse(frame));
            let mut payload = [0; MAX_PAYLOAD];
            assert_eq!(analyser.payload(&mut payload), MAX_PAYLOAD);
            assert!((f64::from(payload[0]) - level(&samples)).abs() <= 1.0);
            let mut again = [0; 16000];
            let mut generator = Generator::new(77);
            generator.update(&payload);
            generator.generate(&mut again);
            assert!(
                (level(&again) - level(&samples)).abs() < 1.0,
                "{} {}",
                level(&again),
                level(&samples)
            );
            assert!((first_correlation(&again) - first_correlation(&samples)).abs() < 0.1);
        }
    }

    #[test]
    fn a_change_of_level_does_not_step() {
        let mut generator = Generator::new(1);
        generator.update(&[60]);
        let mut samples = [0; 800];
        generator.generate(&mut samples);
        generator.update(&[30]);
        let mut after = [0; 8];
        generator.generate(&mut after);
        assert!(level(&after) > 40.0);
    }

    #[test]
    fn any_payload_is_taken() {
        let mut generator = Generator::new(1);
        let mut samples = [0; 160];
        for octet in 0..=255u8 {
            generator.update(&[octet; 40]);
            generator.generate(&mut samples);
            generator.update(&[0, octet, 255 - octet, 0, 255, 254, 0, 0, 0, 255, 0, 9]);
            generator.generate(&mut samples);
        }
        generator.update(&[]);
    }
}
