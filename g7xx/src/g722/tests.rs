//! The ITU sequences of G.722: those that bypass the quadrature mirror filter, and speech.

use super::*;
use std::path::PathBuf;

/// Words of a vector, or `None` (said aloud) when the vectors are not there.
fn words(name: &str) -> Option<Vec<u16>> {
    let shared = std::env::var_os("TIPRING_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")),
        PathBuf::from,
    );
    let path = shared.join("vectors/g722").join(name);
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!(
            "SKIPPED: no vector {}; set TIPRING_SHARED to the shared folder",
            path.display()
        );
        return None;
    };
    Some(
        bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|pair| u16::from_le_bytes(*pair))
            .collect(),
    )
}

/// Runs a digital sequence: bit 0 of a word holds both bands in reset.
fn digital(input: &str, expected: &str, step: impl Fn(&mut Bands, u16) -> u16) {
    let (Some(input), Some(expected_words)) = (
        words(&format!("itu_digital/{input}")),
        words(&format!("itu_digital/{expected}")),
    ) else {
        return;
    };
    let mut bands = Bands::new();
    let output: Vec<u16> = input
        .into_iter()
        .map(|word| {
            if word & 1 == 1 {
                bands = Bands::new();
                1
            } else {
                step(&mut bands, word)
            }
        })
        .collect();
    assert!(output == expected_words, "{expected}");
}

#[test]
fn digital_sequences_are_encoded_exactly() {
    for (input, expected) in [("bt1c1.xmt", "bt2r1.cod"), ("bt1c2.xmt", "bt2r2.cod")] {
        digital(input, expected, |bands, word| {
            let sample = (word as i16) >> 1;
            u16::from(bands.encode(sample, sample)) << 8
        });
    }
}

#[test]
fn digital_sequences_are_decoded_exactly_at_every_rate() {
    for (input, n) in [("bt2r1.cod", 1), ("bt2r2.cod", 2), ("bt1d3.cod", 3)] {
        for (rate, mode) in [(Rate::Kbit64, 1), (Rate::Kbit56, 2), (Rate::Kbit48, 3)] {
            digital(input, &format!("bt3l{n}.rc{mode}"), |bands, word| {
                (2 * bands.decode((word >> 8) as u8, rate).0) as u16
            });
        }
        digital(input, &format!("bt3h{n}.rc0"), |bands, word| {
            (2 * bands.decode((word >> 8) as u8, Rate::Kbit64).1) as u16
        });
    }
}

#[test]
fn speech_is_coded_exactly() {
    let (Some(input), Some(codes)) = (words("stl/inpsp.bin"), words("stl/codspw.cod")) else {
        return;
    };
    let input: Vec<i16> = input.into_iter().map(|word| word as i16).collect();
    let mut coded = vec![0; codes.len()];
    assert_eq!(Encoder::new().encode(&input, &mut coded), codes.len());
    assert!(
        coded
            .iter()
            .zip(&codes)
            .all(|(octet, word)| u16::from(*octet) == *word)
    );
    for (rate, name) in [
        (Rate::Kbit64, "outsp1"),
        (Rate::Kbit56, "outsp2"),
        (Rate::Kbit48, "outsp3"),
    ] {
        let Some(expected) = words(&format!("stl/{name}.bin")) else {
            return;
        };
        let mut output = vec![0; 2 * coded.len()];
        Decoder::new(rate).decode(&coded, &mut output);
        assert!(
            output
                .iter()
                .zip(&expected)
                .all(|(sample, word)| *sample as u16 == *word),
            "{name}"
        );
    }
}

/// CRC-32 of IEEE 802.3.
fn crc32(bytes: impl IntoIterator<Item = u8>) -> u32 {
    !bytes.into_iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[test]
fn limits_that_no_vector_reaches_agree_with_the_reference() {
    let mut state = 1u32;
    let mut draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    let mut input: Vec<i16> = Vec::new();
    for q in 0..40u32 {
        for i in 0..2000u32 {
            input.push(match q % 4 {
                0 => draw() as i16,
                1 if i / (1 + q) % 2 == 1 => 32767,
                1 => -32768,
                2 if draw() > 32767 => 32767,
                2 => -32768,
                _ => 0,
            });
        }
    }
    let mut octets = Vec::new();
    for q in 0..40u32 {
        let (a, b) = ((draw() >> 8) as u8, (draw() >> 8) as u8);
        for i in 0..1000u32 {
            octets.push(match q % 4 {
                0 => (draw() >> 8) as u8,
                1 => a,
                2 if i % 2 == 0 => a,
                2 => b,
                _ if draw() < 32768 => a,
                _ => b,
            });
        }
    }
    assert_eq!(
        crc32(input.iter().flat_map(|s| s.to_le_bytes())),
        0x0dd0_089e
    );
    assert_eq!(crc32(octets.iter().copied()), 0xfb4d_8c38);
    let mut coded = vec![0; input.len() / 2];
    Encoder::new().encode(&input, &mut coded);
    assert_eq!(crc32(coded), 0x1e04_80e1);
    for (rate, crc) in [
        (Rate::Kbit64, 0xb440_1145),
        (Rate::Kbit56, 0x6b64_f162),
        (Rate::Kbit48, 0x6784_5420),
    ] {
        let mut output = vec![0; 2 * octets.len()];
        Decoder::new(rate).decode(&octets, &mut output);
        assert_eq!(
            crc32(output.iter().flat_map(|s| s.to_le_bytes())),
            crc,
            "{rate:?}"
        );
    }
}
