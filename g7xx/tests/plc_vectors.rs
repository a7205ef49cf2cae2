//! G.711 Appendix I on the ITU vectors and on losses that those do not contain.

use g7xx::plc::{Concealer, DELAY, FRAME};
use std::path::PathBuf;

/// Words of a vector, or `None` (said aloud) when the vectors are not there.
fn words(name: &str) -> Option<Vec<i16>> {
    let shared = std::env::var_os("TIPRING_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")),
        PathBuf::from,
    );
    let path = shared.join("vectors/g711_plc").join(name);
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
            .map(|pair| i16::from_le_bytes(*pair))
            .collect(),
    )
}

/// Conceals with a repeating loss mask; input and output are aligned.
fn conceal(input: &[i16], mask: &[bool]) -> Vec<i16> {
    let mut concealer = Concealer::new();
    let mut output = Vec::new();
    for (frame, lost) in input.as_chunks::<FRAME>().0.iter().zip(mask.iter().cycle()) {
        let mut frame = *frame;
        if *lost {
            frame.fill(0x5555);
            concealer.lost(&mut frame);
        } else {
            concealer.received(&mut frame);
        }
        output.extend(frame);
    }
    let mut last = [0; FRAME];
    concealer.received(&mut last);
    output.extend(&last[..DELAY]);
    output.drain(..DELAY);
    output
}

/// A mask of runs that grow from one to nine frames.
fn ladder() -> Vec<bool> {
    (1..=9).flat_map(|k| (0..12 + k).map(|n| n >= 12)).collect()
}

fn bits(mask: &str) -> Vec<bool> {
    mask.chars().map(|c| c == '1').collect()
}

#[test]
fn itu_vectors_are_concealed_exactly() {
    for (mask, expected) in [("fe10.g192", "f2_10.raw"), ("fe10_2.g192", "f2_10_2.raw")] {
        let (Some(input), Some(mask), Some(expected)) =
            (words("f2.le"), words(mask), words(expected))
        else {
            return;
        };
        let mask: Vec<bool> = mask.iter().map(|word| *word == 0x6B20).collect();
        let output = conceal(&input, &mask);
        assert!(output[..] == expected[..output.len()]);
    }
}

#[test]
fn longer_losses_and_loud_input_are_concealed_exactly() {
    let Some(input) = words("f2.le") else { return };
    let loud: Vec<i16> = input
        .iter()
        .map(|s| (i32::from(*s) * 12).clamp(-32768, 32767) as i16)
        .collect();
    let quiet: Vec<i16> = input.iter().map(|s| s / 512).collect();
    let saw: Vec<i16> = (0..22960)
        .map(|i| ((i % 80 - 40) * (100 + i % 1600 / 4)) as i16)
        .collect();
    let long = bits("0111010011111");
    let cases: [(&[i16], Vec<bool>, &str); 7] = [
        (
            &input,
            ladder(),
            "bb21a72c3d1333f7433ef030aeeb087d645ec22a5b79bffe2b78b0ceb79db890",
        ),
        (
            &input,
            bits("11000"),
            "f2c3095202edc7f14c75b8bd6035665eec788bc7b58ea54b0f14e5003d51c6b9",
        ),
        (
            &input,
            long.clone(),
            "a4054bc31dd6699d72bce3277830bbc4de56af466761ca618c76d4b7369e3ec9",
        ),
        (
            &loud,
            ladder(),
            "26a65188efb18b134d56568691bbde1d390126c24d086e991691bd06156a5728",
        ),
        (
            &saw,
            bits("000000000000111"),
            "af4c92444fcb20e5153b2dd9fe34fb34f2aef3b0fd804b56e74a13b9718b2b5f",
        ),
        (
            &saw,
            long.clone(),
            "f755ff5986fd77e1711b2b225ff9a3a21886d93fbbf3a6fa2dfd00a435a47a41",
        ),
        (
            &quiet,
            long,
            "4122c7b7bf3269862a9a4034f9253fe0aaf2478dde1702c0df602077ef731060",
        ),
    ];
    for (k, (input, mask, digest)) in cases.iter().enumerate() {
        let output: Vec<u8> = conceal(input, mask)
            .iter()
            .flat_map(|s| s.to_le_bytes())
            .collect();
        assert_eq!(sha256_hex(&output), *digest, "case {k}");
    }
}

fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn silence_stays_silence_through_any_loss() {
    assert!(
        conceal(&[0; 22960], &ladder())
            .iter()
            .all(|sample| *sample == 0)
    );
}
