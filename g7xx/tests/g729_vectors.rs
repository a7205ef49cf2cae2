//! The ITU vectors of G.729 and those generated beside them, bit for bit.

use g7xx::g729::bits::{MAX_SERIAL, from_serial, to_serial};
use g7xx::g729::{Decoder, Encoder, Variant};
use std::path::PathBuf;

/// Folder of the vectors, or `None` (said aloud) when they are not there.
fn vectors() -> Option<PathBuf> {
    // A lower level can be asked for; a higher one than the machine has cannot.
    if let Some(level) = std::env::var("G7XX_LEVEL")
        .ok()
        .and_then(|name| g7xx::Level::from_name(&name))
    {
        g7xx::Level::lower_to(level);
    }
    let shared = std::env::var_os("TIPRING_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")),
        PathBuf::from,
    );
    let folder = shared.join("vectors/g729");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!(
        "SKIPPED: no vectors at {}; set TIPRING_SHARED to the shared folder",
        folder.display()
    );
    None
}

fn words(path: &PathBuf) -> Vec<u16> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    bytes
        .as_chunks::<2>()
        .0
        .iter()
        .map(|pair| u16::from_le_bytes(*pair))
        .collect()
}

fn samples(path: &PathBuf) -> Vec<i16> {
    words(path).into_iter().map(|word| word as i16).collect()
}

/// Encodes a file and compares every frame; returns the number of frames.
fn check_encoder(variant: Variant, vad: bool, input: &str, expected: &str) -> Option<usize> {
    let folder = vectors()?;
    let input = samples(&folder.join(input));
    let expected_words = words(&folder.join(expected));
    let mut encoder = Encoder::new(variant, vad);
    let mut rest = &expected_words[..];
    let mut serial = [0; MAX_SERIAL];
    let mut count = 0;
    for frame in input.as_chunks::<80>().0 {
        let length = to_serial(&encoder.encode(frame), &mut serial);
        let (_, expected_length) =
            from_serial(rest).unwrap_or_else(|| panic!("{expected}: ends at frame {count}"));
        assert_eq!(
            &serial[..length],
            &rest[..expected_length],
            "{expected}: frame {count}"
        );
        rest = &rest[expected_length..];
        count += 1;
    }
    assert!(rest.is_empty(), "{expected}: {} words too many", rest.len());
    Some(count)
}

/// Decodes a file and compares every sample; returns the number of frames.
fn check_decoder(variant: Variant, input: &str, expected: &str) -> Option<usize> {
    let folder = vectors()?;
    let input = words(&folder.join(input));
    let expected_samples = samples(&folder.join(expected));
    let mut decoder = Decoder::new(variant);
    let mut rest = &input[..];
    let mut count = 0;
    let mut output = [0; 80];
    while let Some((frame, length)) = from_serial(rest) {
        decoder.decode(frame.as_input(), &mut output);
        let expected_frame = &expected_samples[80 * count..80 * count + 80];
        assert_eq!(
            &output[..],
            expected_frame,
            "{input}: frame {count}",
            input = expected
        );
        rest = &rest[length..];
        count += 1;
    }
    assert_eq!(expected_samples.len(), 80 * count, "{expected}");
    Some(count)
}

#[test]
fn annex_a_decoder_is_exact() {
    for stem in [
        "ALGTHM", "ERASURE", "FIXED", "LSP", "OVERFLOW", "SPEECH", "TEST",
    ] {
        check_decoder(
            Variant::A,
            &format!("annex_a/{stem}.BIT"),
            &format!("annex_a/{stem}.PST"),
        );
    }
}

#[test]
fn base_decoder_is_exact() {
    for stem in ["ALGTHM", "ERASURE", "FIXED", "LSP", "OVERFLOW", "SPEECH"] {
        check_decoder(
            Variant::Base,
            &format!("base/{stem}.BIT"),
            &format!("base/{stem}.PST"),
        );
    }
}

#[test]
fn annex_a_encoder_is_exact() {
    for stem in ["ALGTHM", "FIXED", "LSP", "SPEECH", "TEST"] {
        check_encoder(
            Variant::A,
            false,
            &format!("annex_a/{stem}.IN"),
            &format!("annex_a/{stem}.BIT"),
        );
    }
}

#[test]
fn base_encoder_is_exact() {
    for stem in ["ALGTHM", "FIXED", "LSP", "SPEECH"] {
        check_encoder(
            Variant::Base,
            false,
            &format!("base/{stem}.IN"),
            &format!("base/{stem}.BIT"),
        );
    }
}

#[test]
fn annex_b_decoder_is_exact_with_both_post_filters() {
    for stem in ["tstseq1", "tstseq3", "tstseq4"] {
        check_decoder(
            Variant::Base,
            &format!("annex_b/{stem}.bit"),
            &format!("annex_b/{stem}.out"),
        );
        check_decoder(
            Variant::A,
            &format!("annex_b/{stem}a.bit"),
            &format!("annex_b/{stem}a.out"),
        );
    }
    check_decoder(Variant::Base, "annex_b/tstseq5.bit", "annex_b/tstseq5.out");
    check_decoder(Variant::A, "annex_b/tstseq5.bit", "annex_b/tstseq5a.out");
    check_decoder(
        Variant::A,
        "annex_b_tone/tstseq7a.bit",
        "annex_b_tone/tstseq7a.out",
    );
}

#[test]
fn annex_b_encoder_is_exact_with_both_variants() {
    for stem in ["tstseq1", "tstseq3", "tstseq4"] {
        let input = format!("annex_b/{stem}.bin");
        check_encoder(Variant::Base, true, &input, &format!("annex_b/{stem}.bit"));
        check_encoder(Variant::A, true, &input, &format!("annex_b/{stem}a.bit"));
    }
    check_encoder(
        Variant::A,
        true,
        "annex_b_tone/tstseq7.bin",
        "annex_b_tone/tstseq7a.bit",
    );
}

#[test]
fn generated_streams_are_decoded_exactly() {
    for stem in ["signals1", "speech_en", "speech_noisy"] {
        for (flavour, variant) in [
            ("a", Variant::A),
            ("ba", Variant::A),
            ("base", Variant::Base),
            ("b", Variant::Base),
        ] {
            let name = format!("generated/{stem}.{flavour}");
            check_decoder(variant, &format!("{name}.bit"), &format!("{name}.pst"));
        }
    }
    for stem in ["bit_errors_1pct", "erasure_bursty", "random_bits"] {
        for (flavour, variant) in [("a", Variant::A), ("base", Variant::Base)] {
            let name = format!("generated/{stem}.{flavour}");
            check_decoder(variant, &format!("{name}.bit"), &format!("{name}.pst"));
        }
    }
    check_decoder(
        Variant::A,
        "generated/erasure_ba.ba.bit",
        "generated/erasure_ba.ba.pst",
    );
}

#[test]
fn generated_speech_is_encoded_exactly() {
    for stem in ["signals1", "speech_en", "speech_noisy"] {
        for (flavour, variant, vad) in [
            ("a", Variant::A, false),
            ("ba", Variant::A, true),
            ("base", Variant::Base, false),
            ("b", Variant::Base, true),
        ] {
            check_encoder(
                variant,
                vad,
                &format!("generated/{stem}.in"),
                &format!("generated/{stem}.{flavour}.bit"),
            );
        }
    }
}
