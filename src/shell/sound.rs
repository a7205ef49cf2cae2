//! Sound files of `tipring handset`, and what is said about them: level and strongest frequency.
//!
//! Only for people to read; the floating point here decides nothing.

use super::control_client::ClientError;
use super::control_protocol::SAMPLES_MAX;
use std::path::Path;

/// Samples a second of a telephone line.
pub(super) const RATE_HZ: u32 = 8_000;
/// Samples that the search for the strongest frequency looks at: the loudest second.
const LOOKED_AT_MAX: usize = 8_000;
/// Steps in which that second is looked for.
const LOUDEST_STEP: usize = 800;
/// Root mean square of a sine at 0 dBm0 in 16-bit samples: full scale is +3.17 dBm0 (G.711 A-law
/// +3.14, mu-law +3.17), so 32767 / sqrt(2) / 10^(3.17/20).
const RMS_AT_0_DBM0: f64 = 16_084.5;

/// Reads a file that can be spoken.
pub(super) fn read(path: &Path) -> Result<Vec<i16>, ClientError> {
    let failed = |reason: String| ClientError::Sound { path: path.to_path_buf(), reason };
    let reader = hound::WavReader::open(path).map_err(|error| failed(error.to_string()))?;
    let spec = reader.spec();
    let wanted = spec.channels == 1
        && spec.sample_rate == RATE_HZ
        && spec.bits_per_sample == 16
        && spec.sample_format == hound::SampleFormat::Int;
    if !wanted {
        return Err(failed(format!(
            "{} Hz, {} channels, {} bits; a telephone speaks 8000 Hz, mono, 16 bits: sox IN -r 8000 -c 1 -b 16 OUT.wav",
            spec.sample_rate, spec.channels, spec.bits_per_sample
        )));
    }
    let samples: Result<Vec<i16>, _> = reader.into_samples::<i16>().take(SAMPLES_MAX + 1).collect();
    let samples = samples.map_err(|error| failed(error.to_string()))?;
    match samples.len() {
        0 => Err(failed("has no samples".into())),
        length if length > SAMPLES_MAX => Err(failed("is longer than 60 seconds".into())),
        _ => Ok(samples),
    }
}

/// Checks, before a long recording is made, that it can be kept.
pub(super) fn writable(path: &Path) -> Result<(), ClientError> {
    write(path, &[])
}

/// Writes what was heard.
pub(super) fn write(path: &Path, samples: &[i16]) -> Result<(), ClientError> {
    let failed = |error: hound::Error| ClientError::Sound { path: path.to_path_buf(), reason: error.to_string() };
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE_HZ,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).map_err(failed)?;
    for &sample in samples {
        writer.write_sample(sample).map_err(failed)?;
    }
    writer.finalize().map_err(failed)
}

/// Level over all samples; `None` for silence.
pub(super) fn level_dbm0(samples: &[i16]) -> Option<f64> {
    let sum: f64 = samples.iter().map(|&s| f64::from(s) * f64::from(s)).sum();
    if sum == 0.0 {
        return None;
    }
    let rms = (sum / samples.len() as f64).sqrt();
    Some(20.0 * (rms / RMS_AT_0_DBM0).log10())
}

/// The frequency with the most power between 50 and 3950 Hz; `None` for silence.
///
/// A Hann window and Goertzel's filter at every half width of a bin, then a parabola through the
/// logarithms around the best: right to well under 1 Hz for a steady tone of half a second.
pub(super) fn dominant_hertz(samples: &[i16]) -> Option<f64> {
    let looked_at = loudest_second(samples);
    level_dbm0(looked_at)?;
    let count = looked_at.len() as f64;
    let windowed: Vec<f64> = looked_at
        .iter()
        .enumerate()
        .map(|(n, &s)| f64::from(s) * (0.5 - 0.5 * (std::f64::consts::TAU * (n as f64 + 0.5) / count).cos()))
        .collect();
    let step = (f64::from(RATE_HZ) / count / 2.0).max(0.5);
    let steps = ((3_950.0 - 50.0) / step) as usize;
    let power = |number: usize| goertzel(&windowed, 50.0 + number as f64 * step);
    let powers: Vec<f64> = (0..=steps).map(power).collect();
    let best = (0..powers.len()).max_by(|&a, &b| powers[a].total_cmp(&powers[b]))?;
    let around = |offset: isize| best.checked_add_signed(offset).and_then(|n| powers.get(n)).map(|p| p.max(1e-9).ln());
    let shift = match (around(-1), around(0), around(1)) {
        (Some(left), Some(middle), Some(right)) if left - 2.0 * middle + right < 0.0 => {
            0.5 * (left - right) / (left - 2.0 * middle + right)
        }
        _ => 0.0,
    };
    Some(50.0 + (best as f64 + shift) * step)
}

/// Sound comes and goes, as ringback does; where it is loudest it can be judged.
fn loudest_second(samples: &[i16]) -> &[i16] {
    let last = samples.len().saturating_sub(LOOKED_AT_MAX);
    let window = |start: usize| &samples[start..samples.len().min(start + LOOKED_AT_MAX)];
    let level = |start: usize| level_dbm0(window(start)).unwrap_or(f64::NEG_INFINITY);
    let starts = (0..=last).step_by(LOUDEST_STEP);
    starts.max_by(|&a, &b| level(a).total_cmp(&level(b))).map_or(samples, window)
}

fn goertzel(samples: &[f64], hertz: f64) -> f64 {
    let coefficient = 2.0 * (std::f64::consts::TAU * hertz / f64::from(RATE_HZ)).cos();
    let (mut last, mut before) = (0.0, 0.0);
    for &sample in samples {
        let next = sample + coefficient * last - before;
        before = last;
        last = next;
    }
    last * last + before * before - coefficient * last * before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hertz: f64, dbm0: f64, samples: usize) -> Vec<i16> {
        let peak = RMS_AT_0_DBM0 * std::f64::consts::SQRT_2 * 10f64.powf(dbm0 / 20.0);
        (0..samples)
            .map(|n| (peak * (std::f64::consts::TAU * hertz * n as f64 / 8_000.0).sin()).round() as i16)
            .collect()
    }

    #[test]
    fn level_and_frequency_of_a_tone_are_found() {
        for (hertz, dbm0) in [(1004.0, -10.0), (350.0, -13.0), (3400.3, -30.0)] {
            let tone = sine(hertz, dbm0, 4_000);
            let (level, found) = (level_dbm0(&tone).expect("a level"), dominant_hertz(&tone).expect("a tone"));
            assert!((level - dbm0).abs() < 0.1, "{level} for {dbm0}");
            assert!((found - hertz).abs() < 0.3, "{found} for {hertz}");
        }
    }

    #[test]
    fn a_tone_between_silences_is_found() {
        let sound = [vec![0; 20_000], sine(480.0, -19.0, 12_000), vec![0; 20_000]].concat();
        assert!((dominant_hertz(&sound).expect("a tone") - 480.0).abs() < 0.3);
    }

    #[test]
    fn silence_has_neither() {
        assert_eq!(level_dbm0(&[0; 800]), None);
        assert_eq!(dominant_hertz(&[0; 800]), None);
        assert_eq!(dominant_hertz(&[]), None);
    }

    #[test]
    fn what_is_written_is_read_back_and_other_formats_are_refused_with_advice() {
        let directory = tempfile::tempdir().expect("a directory");
        let good = directory.path().join("good.wav");
        write(&good, &[1, -2, 3]).expect("written");
        assert_eq!(read(&good).expect("read"), [1, -2, 3]);

        let fast = directory.path().join("fast.wav");
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: 44_100,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&fast, spec).expect("created");
        (0..4).for_each(|n| writer.write_sample(n as i16).expect("written"));
        writer.finalize().expect("finished");
        let text = read(&fast).expect_err("refused").to_string();
        assert!(text.contains("44100 Hz, 2 channels") && text.contains("sox"), "{text}");
    }
}
