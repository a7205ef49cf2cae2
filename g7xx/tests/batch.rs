//! Batches give what the same channels give one by one: both variants, with and without VAD, channels
//! that come, go and change places, speech, hostile signals, losses, silence and random bits.
//!
//! `G7XX_FRAMES` sets the number of frames.

use g7xx::g729::{Decoder, Encoder, Frame, FrameInput, Variant, decode_batch, encode_batch};

/// xorshift; any generator will do.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 20) % limit
    }

    /// Fisher-Yates.
    fn shuffle<T>(&mut self, items: &mut [T]) {
        for k in (1..items.len()).rev() {
            items.swap(k, self.below(k as u64 + 1) as usize);
        }
    }
}

/// Input of a channel: what it is changes every few frames.
#[derive(Clone)]
struct Source {
    kind: u64,
    parameter: u64,
    left: u64,
    time: u64,
    phase: f64,
}

impl Source {
    fn frame(&mut self, noise: &mut Noise) -> [i16; 80] {
        if self.left == 0 {
            self.kind = noise.below(9);
            self.parameter = noise.below(4000);
            self.left = 1 + noise.below(40);
        }
        self.left -= 1;
        core::array::from_fn(|_| {
            self.time += 1;
            let random = noise.next() as i16;
            let (time, parameter) = (self.time, self.parameter);
            match self.kind {
                0..=3 => {
                    // Voice of a wandering pitch at many levels, some of them clipped.
                    let pitch =
                        90.0 + (parameter % 200) as f64 + (time as f64 / 900.0).sin() * 20.0;
                    self.phase += pitch / 8000.0 * std::f64::consts::TAU;
                    let voice: f64 = (1..9)
                        .map(|k| (self.phase * f64::from(k)).sin() / f64::from(k))
                        .sum();
                    let level = f64::from(1 << (parameter % 7)) * 300.0;
                    (voice * level) as i16 / 2 + (random >> (8 + parameter % 6))
                }
                4 => random >> (parameter % 16),
                5 => 0,
                6 if time % (2 + parameter % 160) < 1 + parameter % 80 => i16::MAX,
                6 => i16::MIN,
                7 => random.signum().saturating_mul(32767),
                _ if time.is_multiple_of(20 + parameter % 120) => i16::MIN,
                _ => random >> 12,
            }
        })
    }
}

#[derive(Clone)]
struct Channel {
    source: Source,
    encoder: [Encoder; 2],
    decoder: [Decoder; 2],
    /// Gets random bits in place of speech.
    wild: bool,
}

fn channel(noise: &mut Noise) -> Channel {
    let variant = match noise.below(6) {
        0 => Variant::Base,
        _ => Variant::A,
    };
    let encoder = Encoder::new(variant, noise.below(3) == 0);
    let decoder = Decoder::new(variant);
    Channel {
        source: Source {
            kind: 0,
            parameter: 0,
            left: 0,
            time: noise.below(1000),
            phase: 0.0,
        },
        encoder: [encoder.clone(), encoder],
        decoder: [decoder.clone(), decoder],
        wild: noise.below(4) == 0,
    }
}

#[test]
fn batches_give_what_channels_give_one_by_one() {
    let frames = std::env::var("G7XX_FRAMES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(700);
    let mut noise = Noise(0x2545_F491_4F6C_DD1D);
    let mut channels: Vec<Channel> = (0..27).map(|_| channel(&mut noise)).collect();
    for n in 0..frames {
        if noise.below(8) == 0 {
            let at = noise.below(channels.len() as u64) as usize;
            channels[at] = channel(&mut noise);
        }
        noise.shuffle(&mut channels);
        let taking_part = 1 + noise.below(channels.len() as u64) as usize;
        let part = &mut channels[..taking_part];
        let input: Vec<[i16; 80]> = part
            .iter_mut()
            .map(|channel| channel.source.frame(&mut noise))
            .collect();
        let mut coded = vec![Frame::Untransmitted; taking_part];
        let (mut together, alone): (Vec<_>, Vec<_>) = part
            .iter_mut()
            .map(|channel| channel.encoder.each_mut().into())
            .unzip();
        assert_eq!(encode_batch(&mut together, &input, &mut coded), taking_part);
        for (k, encoder) in alone.into_iter().enumerate() {
            assert_eq!(coded[k], encoder.encode(&input[k]), "frame {n}, place {k}");
        }
        let bits: Vec<[u8; 10]> = part
            .iter()
            .map(|_| core::array::from_fn(|_| noise.next() as u8))
            .collect();
        let inputs: Vec<FrameInput<'_>> = part
            .iter()
            .enumerate()
            .map(|(k, channel)| match noise.below(30) {
                0..3 => FrameInput::Erased,
                3 if channel.wild => FrameInput::Untransmitted,
                4 if channel.wild => FrameInput::Sid(bits[k].first_chunk().expect("ten octets")),
                _ if channel.wild => FrameInput::Speech(&bits[k]),
                _ => coded[k].as_input(),
            })
            .collect();
        let mut output = vec![[0; 80]; taking_part];
        let (mut together, alone): (Vec<_>, Vec<_>) = part
            .iter_mut()
            .map(|channel| channel.decoder.each_mut().into())
            .unzip();
        assert_eq!(
            decode_batch(&mut together, &inputs, &mut output),
            taking_part
        );
        for (k, decoder) in alone.into_iter().enumerate() {
            let mut expected = [0; 80];
            decoder.decode(inputs[k], &mut expected);
            assert_eq!(output[k], expected, "frame {n}, place {k}");
        }
    }
}
