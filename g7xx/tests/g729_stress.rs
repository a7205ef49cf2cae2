//! Signals that reach the limits of the arithmetic, with checksums from the reference programs, and
//! units that no vector reaches.

use g7xx::g729::{Decoder, Encoder, FrameInput, Variant};

/// CRC-32 of IEEE 802.3.
fn crc32(bytes: impl IntoIterator<Item = u8>) -> u32 {
    !bytes.into_iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

fn clip(x: i64) -> i16 {
    x.clamp(-32768, 32767) as i16
}

/// Triangle wave, one period in 65536.
fn triangle(phase: i64) -> i64 {
    let p = phase.rem_euclid(65536);
    if p < 32768 {
        2 * p - 32768
    } else {
        i64::from(clip(32767 - 2 * (p - 32768)))
    }
}

/// The noise of the signal definitions: a state of 32 bits.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> i64 {
        self.0 = self.0.wrapping_mul(1_103_515_245).wrapping_add(12345);
        i64::from(self.0 >> 16) - 32768
    }
}

fn signal(name: &str) -> Vec<i16> {
    let number = |prefix: &str| {
        name.strip_prefix(prefix)
            .and_then(|n| n.parse::<i64>().ok())
    };
    let mut noise = Noise(match name {
        "noise" => 1,
        "noisesgn" => 2,
        "burst" => 3,
        _ => 4,
    });
    let sample = |n: i64| -> i16 {
        if let Some(period) = number("sq") {
            if 2 * (n % period) < period {
                32767
            } else {
                -32768
            }
        } else if let Some(step) = number("tri") {
            clip(triangle(n * step))
        } else if let Some(period) = number("imp") {
            if n % period == 0 { 32767 } else { 0 }
        } else {
            let u = noise.next();
            match name {
                "noise" => clip(u),
                "noisesgn" => {
                    if noise.0 >> 30 & 1 == 1 {
                        32767
                    } else {
                        -32768
                    }
                }
                "chirp" => clip(triangle(n * n / 4)),
                "burst" => clip(u >> (15 - (n / 800) % 16)),
                "mix" => {
                    let tone = triangle(1500 * n + n * n / 50) * ((n / 400) % 5);
                    clip(tone.div_euclid(4) + (u >> 4))
                }
                "tame" if n < 12000 => clip((3 * triangle(3277 * n)).div_euclid(4)),
                "tame" => clip(triangle(3277 * n + n * n)),
                "step" if (n / 800) % 2 == 1 => 32767,
                "step" => -32768,
                "lsb" => ((7919 * n) >> 3 & 1) as i16,
                "edge" if n == 7999 => 32767,
                "edge" => 0,
                _ => panic!("no signal {name}"),
            }
        }
    };
    (0..16000).map(sample).collect()
}

#[test]
fn stress_signals_are_encoded_exactly() {
    let expected: [(&str, u32, u32); 18] = [
        ("sq3", 0x777904e8, 0x1ebcdcf2),
        ("sq20", 0x100304af, 0x3e6ee47f),
        ("sq21", 0x65c954d1, 0xd447533e),
        ("sq57", 0x1d7165b0, 0x0568f032),
        ("sq143", 0x82c1dcf6, 0x21aed62c),
        ("noise", 0xac3c7690, 0x488be118),
        ("noisesgn", 0x81daf610, 0x174fdf67),
        ("tri2621", 0x1d5801aa, 0x002af485),
        ("tri8192", 0x69b7152e, 0x260d1e31),
        ("tri30000", 0x90516f7d, 0xe92055b9),
        ("imp20", 0x4658b1eb, 0x4e793fba),
        ("chirp", 0x7715a93d, 0x8506a0d6),
        ("burst", 0x4f779035, 0x9cd53edc),
        ("mix", 0x14f47c95, 0xa7cc0910),
        ("tame", 0x2c4a99fc, 0x62269a9e),
        ("step", 0x604ddc59, 0xeac1c1da),
        ("lsb", 0xb97ec371, 0x496fa189),
        ("edge", 0x560b9972, 0x12d3896f),
    ];
    for (name, input_crc, payload_crc) in expected {
        let input = signal(name);
        assert_eq!(
            crc32(input.iter().flat_map(|s| s.to_le_bytes())),
            input_crc,
            "input {name}"
        );
        let mut encoder = Encoder::new(Variant::A, false);
        let payload = input
            .as_chunks::<80>()
            .0
            .iter()
            .flat_map(|frame| encoder.encode(frame).octets().to_vec());
        assert_eq!(crc32(payload), payload_crc, "payload of {name}");
    }
}

/// A generator for bits; any will do.
fn random_octet(state: &mut u32) -> u8 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    (*state >> 24) as u8
}

#[test]
fn any_bits_and_any_order_of_frame_kinds_are_decoded_without_panic() {
    for variant in [Variant::A, Variant::Base] {
        let mut decoder = Decoder::new(variant);
        let mut state = 7;
        let mut output = [0; 80];
        for _ in 0..20_000 {
            let speech = core::array::from_fn(|_| random_octet(&mut state));
            let sid = core::array::from_fn(|_| random_octet(&mut state));
            let input = match random_octet(&mut state) {
                ..=199 => FrameInput::Speech(&speech),
                200..=219 => FrameInput::Sid(&sid),
                220..=239 => FrameInput::Untransmitted,
                _ => FrameInput::Erased,
            };
            decoder.decode(input, &mut output);
        }
    }
}

#[test]
fn any_samples_are_encoded_without_panic() {
    for (variant, vad) in [
        (Variant::A, false),
        (Variant::A, true),
        (Variant::Base, false),
        (Variant::Base, true),
    ] {
        let mut encoder = Encoder::new(variant, vad);
        let mut state = 3;
        for n in 0..3000 {
            let shift = n / 20 % 16;
            let frame = core::array::from_fn(|_| {
                let sample =
                    i16::from_le_bytes([random_octet(&mut state), random_octet(&mut state)]);
                if n % 3 == 0 {
                    sample.signum().saturating_mul(32767)
                } else {
                    sample >> shift
                }
            });
            encoder.encode(&frame);
        }
    }
}

#[test]
fn a_channel_needs_little_memory() {
    eprintln!(
        "encoder {} octets, decoder {} octets",
        size_of::<Encoder>(),
        size_of::<Decoder>()
    );
    assert!(size_of::<Encoder>() <= 2500);
    assert!(size_of::<Decoder>() <= 2500);
}
