//! The ITU sweep of G.711 over all 65,536 inputs, both laws.

use g7xx::g711::{Law, decode, encode, transcode};
use std::path::PathBuf;

/// Words of a file of the sweep, or `None` (said aloud) when the vectors are not there.
fn words(name: &str) -> Option<Vec<i16>> {
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
    let path = shared.join("vectors/g711").join(name);
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

#[test]
fn every_input_is_coded_and_decoded_as_the_itu_says() {
    for (law, code, decoded) in [(Law::A, "a", "a-a"), (Law::Mu, "u", "u-u")] {
        let Some(input) = words("sweep.src") else {
            return;
        };
        let Some(expected_code) = words(&format!("sweep-r.{code}")) else {
            return;
        };
        let Some(expected) = words(&format!("sweep-r.{decoded}")) else {
            return;
        };
        let mut coded = vec![0; input.len()];
        encode(law, &input, &mut coded);
        let widened: Vec<i16> = coded.iter().map(|code| i16::from(*code)).collect();
        assert!(widened == expected_code, "codes of {law:?}");
        let mut output = vec![0; input.len()];
        decode(law, &coded, &mut output);
        assert!(output == expected, "samples of {law:?}");
        // From one law to the other is the same as by way of the linear value.
        let other = if law == Law::A { Law::Mu } else { Law::A };
        let mut by_linear = vec![0; input.len()];
        encode(other, &output, &mut by_linear);
        transcode(law, other, &mut coded);
        assert!(coded == by_linear, "codes of {law:?} in {other:?}");
    }
}
