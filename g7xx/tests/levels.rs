//! Every level gives what the scalar one gives, on random and on hostile signals.
//!
//! One test in a process of its own, since the level can only be lowered. `G7XX_FRAMES` sets the
//! number of frames of each channel.

use g7xx::Level;
use g7xx::g711::{self, Law};
use g7xx::g729::{Decoder, Encoder, Frame, FrameInput, Variant, decode_batch, encode_batch};

/// Channels that encode; twice as many decode.
const CHANNELS: usize = 24;

/// xorshift; any generator will do.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// A frame of a kind that changes now and then: noise of any level, full-scale noise, square waves,
/// silence, constants, chirps, pulses, clipped tones.
fn frame(n: u64, channel: u64, noise: &mut Noise) -> [i16; 80] {
    let kind = (n / 13 + channel * 5) % 9;
    let parameter = (n / 13).wrapping_mul(2_654_435_761) >> 7;
    core::array::from_fn(|k| {
        let time = (n % 1000) * 80 + k as u64;
        let random = noise.next() as i16;
        match kind {
            0 => random >> (parameter % 16),
            1 => random.signum().saturating_mul(32767),
            2 => {
                if time % (2 + parameter % 160) < 1 + parameter % 80 {
                    32767
                } else {
                    -32768
                }
            }
            3 => 0,
            4 => parameter as i16,
            5 => ((time * time * (1 + parameter % 7)) >> 3) as i16,
            6 => {
                if time.is_multiple_of(20 + parameter % 120) {
                    -32768
                } else {
                    random >> 12
                }
            }
            7 => ((time * (1 + parameter % 4000)) as i16).saturating_mul(3),
            _ => ((time * (100 + parameter % 900)) as i16 >> 3) + (random >> 9),
        }
    })
}

/// Checksum of all that the codecs make of the signals.
fn run(frames: u64) -> Vec<u64> {
    let mut sums = Vec::new();
    let mut noise = Noise(88_172_645_463_325_252);
    // Enough of Annex A for the widest lockstep and some more, in both directions.
    let kinds = [
        (Variant::A, false),
        (Variant::A, true),
        (Variant::Base, false),
        (Variant::A, false),
        (Variant::Base, true),
        (Variant::A, true),
        (Variant::A, false),
    ];
    let mut encoders: Vec<Encoder> = kinds
        .iter()
        .cycle()
        .take(CHANNELS)
        .map(|(v, vad)| Encoder::new(*v, *vad))
        .collect();
    let mut decoders: Vec<Decoder> = kinds
        .iter()
        .cycle()
        .take(2 * CHANNELS)
        .map(|(v, _)| Decoder::new(*v))
        .collect();
    for n in 0..frames {
        let input: Vec<[i16; 80]> = (0..CHANNELS as u64)
            .map(|channel| frame(n, channel, &mut noise))
            .collect();
        let mut coded = [Frame::Untransmitted; CHANNELS];
        let mut channels: Vec<&mut Encoder> = encoders.iter_mut().collect();
        assert_eq!(encode_batch(&mut channels, &input, &mut coded), CHANNELS);
        // Half of the decoders get what the encoders made, with losses; the other half random bits.
        let bits: Vec<[u8; 10]> = (0..CHANNELS)
            .map(|_| core::array::from_fn(|_| noise.next() as u8))
            .collect();
        let inputs: Vec<FrameInput> = (0..2 * CHANNELS)
            .map(|k| match (noise.next() % 20, k < CHANNELS) {
                (0, _) => FrameInput::Erased,
                (1, false) => FrameInput::Untransmitted,
                (_, true) => coded[k].as_input(),
                (_, false) => FrameInput::Speech(&bits[k - CHANNELS]),
            })
            .collect();
        let mut output = [[0; 80]; 2 * CHANNELS];
        let mut channels: Vec<&mut Decoder> = decoders.iter_mut().collect();
        assert_eq!(
            decode_batch(&mut channels, &inputs, &mut output),
            2 * CHANNELS
        );
        let mut sum = 0u64;
        let octets = coded
            .iter()
            .flat_map(|frame| frame.octets().iter().map(|octet| u64::from(*octet)));
        for value in octets.chain(output.as_flattened().iter().map(|sample| *sample as u64)) {
            sum = sum.rotate_left(7) ^ value.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
        sums.push(sum);
    }
    for law in [Law::Mu, Law::A] {
        for length in (0..200).chain([1000, 65536]) {
            let linear: Vec<i16> = (0..length)
                .map(|n| (n as i16).wrapping_mul(327).wrapping_add(length as i16))
                .collect();
            let mut coded = vec![0; length];
            g711::encode(law, &linear, &mut coded);
            let mut output = vec![0; length];
            g711::decode(law, &coded, &mut output);
            let mut other = coded.clone();
            g711::transcode(
                law,
                if law == Law::A { Law::Mu } else { Law::A },
                &mut other,
            );
            let values = coded
                .iter()
                .chain(&other)
                .map(|c| u64::from(*c))
                .chain(output.iter().map(|s| *s as u64));
            sums.push(values.fold(0, |sum: u64, v| {
                sum.rotate_left(7) ^ v.wrapping_mul(0x9E37_79B9_7F4A_7C15)
            }));
        }
    }
    sums
}

#[test]
fn every_level_gives_the_same_bits() {
    let frames = std::env::var("G7XX_FRAMES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(120);
    let best = Level::current();
    let results: Vec<(Level, Vec<u64>)> = Level::ALL
        .into_iter()
        .rev()
        .filter(|level| *level <= best)
        .map(|level| {
            assert_eq!(Level::lower_to(level), level);
            (level, run(frames))
        })
        .collect();
    let scalar = &results[results.len() - 1].1;
    for (level, sums) in &results {
        let different = sums.iter().zip(scalar).position(|(a, b)| a != b);
        assert_eq!(different, None, "{} against scalar", level.name());
    }
    eprintln!(
        "{} levels, {frames} frames of {CHANNELS} encoders and twice as many decoders each",
        results.len()
    );
    assert_eq!(
        Level::lower_to(best),
        Level::Scalar,
        "a level is never raised"
    );
}
