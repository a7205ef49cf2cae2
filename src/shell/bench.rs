//! `tipring bench codec`: what the codecs do on this machine, in about ten seconds.
//!
//! One thread, wall-clock time, one table: for a first look and for support requests. `cargo bench -p
//! g7xx` has the same with statistics, `g7xx/benches` with named peers.

use super::Clock;
use crate::rng::Seed;
use crate::time::Duration;
use g7xx::g711::{self, Law};
use g7xx::g722;
use g7xx::g729::{self, FrameInput, Variant};
use serde::Serialize;
use std::hint::black_box;

/// How long each line of the table is measured.
const MEASURE: Duration = Duration::from_millis(400);
/// Samples that are coded over and over: four seconds, and whole frames of every codec.
const SAMPLES: usize = 32_000;

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// `g729a encode`
    pub what: &'static str,
    /// Samples a second.
    pub samples_per_second: f64,
    /// Channels that one core could serve, each at its own rate.
    pub channels: f64,
    /// Samples a second by those of a copy of the same bytes.
    pub to_copy: f64,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct CodecBench {
    /// Vector instructions in use: `scalar`, `avx2`, `avx512`, `avx512vbmi`.
    pub level: &'static str,
    /// The lines.
    pub rows: Vec<Row>,
}

/// Measures all codecs, one after the other.
pub fn codecs() -> CodecBench {
    let bench = Bench { clock: Clock::start() };
    let speech = speech();
    let mut other = vec![0i16; SAMPLES];
    let copied = bench.rate(SAMPLES, || black_box(&mut other).copy_from_slice(black_box(&speech)));
    let mut rows = Vec::new();
    let mut row = |what, rate_hz: f64, samples_per_second: f64| {
        let (channels, to_copy) = (samples_per_second / rate_hz, samples_per_second / copied);
        rows.push(Row { what, samples_per_second, channels, to_copy });
    };
    for (law, names) in [(Law::Mu, ["pcmu encode", "pcmu decode"]), (Law::A, ["pcma encode", "pcma decode"])] {
        let mut coded = vec![0u8; SAMPLES];
        row(names[0], 8_000.0, bench.rate(SAMPLES, || g711::encode(law, black_box(&speech), &mut coded)));
        row(names[1], 8_000.0, bench.rate(SAMPLES, || g711::decode(law, black_box(&coded), &mut other)));
    }
    let variants = [(Variant::Base, ["g729 encode", "g729 decode"]), (Variant::A, ["g729a encode", "g729a decode"])];
    for (variant, names) in variants {
        let mut encoder = g729::Encoder::new(variant, false);
        let frames = speech.as_chunks::<{ g729::FRAME }>().0;
        let mut coded: Vec<g729::Frame> = Vec::with_capacity(frames.len());
        let mut encode = || {
            coded.clear();
            coded.extend(frames.iter().map(|frame| encoder.encode(black_box(frame))));
        };
        row(names[0], 8_000.0, bench.rate(SAMPLES, &mut encode));
        let mut decoder = g729::Decoder::new(variant);
        let mut block = [0i16; g729::FRAME];
        let decode = || {
            for frame in &coded {
                let input: FrameInput<'_> = frame.as_input();
                decoder.decode(black_box(input), &mut block);
            }
        };
        row(names[1], 8_000.0, bench.rate(SAMPLES, decode));
    }
    let (mut encoder, mut decoder) = (g722::Encoder::new(), g722::Decoder::new(g722::Rate::Kbit64));
    let mut coded = vec![0u8; SAMPLES / 2];
    let encoded = bench.rate(SAMPLES, || {
        encoder.encode(black_box(&speech), &mut coded);
    });
    row("g722 encode", 16_000.0, encoded);
    let decoded = bench.rate(SAMPLES, || {
        decoder.decode(black_box(&coded), &mut other);
    });
    row("g722 decode", 16_000.0, decoded);
    row("copy", 8_000.0, copied);
    CodecBench { level: g7xx::Level::current().name(), rows }
}

/// Measures by one clock.
struct Bench {
    clock: Clock,
}

impl Bench {
    /// Samples a second of `work`, which does `samples` at a time.
    fn rate(&self, samples: usize, mut work: impl FnMut()) -> f64 {
        work(); // caches and branch predictors
        let began = self.clock.now();
        let mut done = 0u64;
        loop {
            work();
            done += samples as u64;
            let took = self.clock.now().since(began);
            if took >= MEASURE {
                return done as f64 / took.as_secs_f64();
            }
        }
    }
}

/// Something that keeps a speech coder as busy as speech does: voiced and unvoiced parts by turns.
fn speech() -> Vec<i16> {
    let mut rng = Seed::from_number(729).rng();
    (0..SAMPLES)
        .map(|n| {
            let time = n as f64 / 8_000.0;
            let loudness = 0.5 - 0.5 * (time * 4.0 * std::f64::consts::TAU).cos();
            let noise = rng.between(0, 2_000) as f64 - 1_000.0;
            let pitch = 120.0 + 20.0 * (time * 3.0).sin();
            let voice: f64 =
                (1..12).map(|k| (time * pitch * f64::from(k) * std::f64::consts::TAU).sin() / f64::from(k)).sum();
            let is_voiced = n / 2_400 % 3 != 2;
            (loudness * if is_voiced { 5_000.0 * voice + 0.1 * noise } else { noise }) as i16
        })
        .collect()
}
