//! Judging sound: levels, tones, and one sound found inside another.

use super::capture::RtpPacket;
use std::f64::consts::TAU;

/// Samples a second.
pub const RATE: f64 = 8_000.0;
/// Root mean square of 0 dBm0: G.711 mu-law reaches +3.17 dBm0 at full scale.
const RMS_AT_0_DBM0: f64 = 16_084.5;

/// Linear samples of a mu-law byte (G.711 table 2a, scaled to 16 bits).
fn mu_law(byte: u8) -> f64 {
    let inverted = !byte;
    let magnitude = (((i32::from(inverted & 0x0f) << 3) + 0x84) << (inverted >> 4 & 7)) - 0x84;
    f64::from(if inverted & 0x80 == 0 { magnitude } else { -magnitude })
}

/// The sound of a stream of mu-law packets, in order of arrival.
pub fn sound_of(packets: &[RtpPacket]) -> Vec<f64> {
    packets.iter().filter(|p| p.payload_type == 0).flat_map(|p| p.payload.iter().map(|&b| mu_law(b))).collect()
}

/// Samples of a WAV file.
pub fn read_wav(path: &std::path::Path) -> Vec<f64> {
    let reader = hound::WavReader::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!((reader.spec().channels, reader.spec().sample_rate), (1, 8_000), "{}", path.display());
    reader.into_samples::<i16>().map(|s| f64::from(s.expect("a sample"))).collect()
}

/// Writes a WAV file of 8 kHz, mono, 16 bits.
pub fn write_wav(path: &std::path::Path, samples: &[i16]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).expect("a file");
    samples.iter().for_each(|&s| writer.write_sample(s).expect("written"));
    writer.finalize().expect("finished");
}

/// Level of everything, in dBm0; far below -90 for silence.
pub fn level_dbm0(samples: &[f64]) -> f64 {
    let mean = samples.iter().map(|s| s * s).sum::<f64>() / samples.len().max(1) as f64;
    20.0 * (mean.sqrt().max(1e-3) / RMS_AT_0_DBM0).log10()
}

/// Level of one frequency, in dBm0, looked at through a Hann window.
pub fn tone_dbm0(samples: &[f64], hertz: f64) -> f64 {
    let count = samples.len() as f64;
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let window = 0.5 - 0.5 * (TAU * (n as f64 + 0.5) / count).cos();
        let angle = TAU * hertz * n as f64 / RATE;
        real += sample * window * angle.cos();
        imaginary -= sample * window * angle.sin();
    }
    // The window halves the amplitude, and a sine's is the root of two times its mean square.
    let rms = 4.0 * real.hypot(imaginary) / count / std::f64::consts::SQRT_2;
    20.0 * (rms.max(1e-3) / RMS_AT_0_DBM0).log10()
}

/// The frequency between `low` and `high` with the highest level, to a tenth of a hertz.
pub fn frequency(samples: &[f64], low: f64, high: f64) -> f64 {
    let mut best = (f64::NEG_INFINITY, low);
    let mut search = |from: f64, to: f64, step: f64| {
        let mut hertz = from;
        while hertz <= to {
            let level = tone_dbm0(samples, hertz);
            if level > best.0 {
                best = (level, hertz);
            }
            hertz += step;
        }
        best.1
    };
    let coarse = search(low, high, RATE / samples.len() as f64 / 2.0);
    search(coarse - 2.0, coarse + 2.0, 0.1)
}

/// Sound that is like no other piece of itself: noise in the band of a telephone, at about
/// -15 dBm0, the same for the same seed.
pub fn probe(seed: u64, samples: usize) -> Vec<i16> {
    let mut state = seed | 1;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as f64 / f64::from(1u32 << 30) - 1.0
    };
    // A difference takes out what is low, a mean what is high.
    let mut history = [0.0; 4];
    (0..samples)
        .map(|_| {
            history.rotate_right(1);
            history[0] = noise();
            let band = history[0] + history[1] - history[2] - history[3];
            (band * 2_600.0) as i16
        })
        .collect()
}

/// Where `part` is found in `whole` (in samples), and how alike they are there: -1 to 1.
pub fn find(part: &[f64], whole: &[f64]) -> (usize, f64) {
    let power = |samples: &[f64]| samples.iter().map(|s| s * s).sum::<f64>();
    let part_power = power(part);
    let mut best = (0, 0.0f64);
    for start in 0..whole.len().saturating_sub(part.len()) + 1 {
        let Some(window) = whole.get(start..start + part.len()) else { break };
        let product: f64 = part.iter().zip(window).map(|(a, b)| a * b).sum();
        let alike = product / (part_power * power(window)).sqrt().max(1.0);
        if alike.abs() > best.1.abs() {
            best = (start, alike);
        }
    }
    best
}

#[test]
fn tones_are_measured_right() {
    let amplitude = RMS_AT_0_DBM0 * std::f64::consts::SQRT_2 * 10f64.powf(-0.5);
    let tone: Vec<f64> = (0..8_000).map(|n| amplitude * (TAU * 1004.0 * f64::from(n) / RATE).sin()).collect();
    assert!((level_dbm0(&tone) + 10.0).abs() < 0.01);
    assert!((tone_dbm0(&tone, 1004.0) + 10.0).abs() < 0.01);
    assert!((frequency(&tone, 300.0, 3_400.0) - 1004.0).abs() < 0.15);
    assert_eq!((mu_law(0xff), mu_law(0x80), mu_law(0x00)), (0.0, 32_124.0, -32_124.0));
}

#[test]
fn a_piece_is_found_where_it_was_cut() {
    let whole: Vec<f64> = probe(7, 8_000).into_iter().map(f64::from).collect();
    let (start, alike) = find(&whole[3_000..5_000], &whole);
    assert_eq!(start, 3_000);
    assert!(alike > 0.999);
    let (_, alike) = find(&probe(8, 2_000).into_iter().map(f64::from).collect::<Vec<_>>(), &whole);
    assert!(alike.abs() < 0.3);
    assert!((level_dbm0(&whole) + 15.0).abs() < 3.0, "{}", level_dbm0(&whole));
}
