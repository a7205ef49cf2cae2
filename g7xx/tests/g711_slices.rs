//! G.711 of slices of every length and alignment against the same samples one by one, which no vector
//! instruction sees.

use g7xx::Level;
use g7xx::g711::{Law, decode, encode, transcode};

/// A lower level can be asked for; a higher one than the machine has cannot.
fn lower_as_asked() {
    let asked = std::env::var("G7XX_LEVEL").ok();
    if let Some(level) = asked.and_then(|name| Level::from_name(&name)) {
        Level::lower_to(level);
    }
}

/// Codes of all samples, each encoded by itself, at the place of the sample as `u16`.
fn codes(law: Law) -> Vec<u8> {
    let code = |sample: u16| {
        let mut coded = [0];
        encode(law, &[sample as i16], &mut coded);
        coded[0]
    };
    (0..=u16::MAX).map(code).collect()
}

/// Samples of all codes, each decoded by itself.
fn samples(law: Law) -> Vec<i16> {
    let sample = |code: u8| {
        let mut linear = [0];
        decode(law, &[code], &mut linear);
        linear[0]
    };
    (0..=255).map(sample).collect()
}

#[test]
fn all_samples_and_codes_at_every_place_of_a_step_give_what_they_give_alone() {
    lower_as_asked();
    for law in [Law::Mu, Law::A] {
        let (codes, samples) = (codes(law), samples(law));
        // 64 is the longest step; the rotation brings each value to each place of it.
        for rotation in 0..64 {
            let linear: Vec<i16> = (0..65_536u32)
                .map(|n| (n + rotation) as u16 as i16)
                .collect();
            let mut coded = vec![0; linear.len()];
            encode(law, &linear, &mut coded);
            let right = |(s, c): (&i16, &u8)| codes[usize::from(*s as u16)] == *c;
            assert!(linear.iter().zip(&coded).all(right), "{law:?} {rotation}");

            let coded: Vec<u8> = (0..256u32).map(|n| (n + rotation) as u8).collect();
            let mut linear = vec![0; coded.len()];
            decode(law, &coded, &mut linear);
            let right = |(c, s): (&u8, &i16)| samples[usize::from(*c)] == *s;
            assert!(coded.iter().zip(&linear).all(right), "{law:?} {rotation}");
        }
    }
}

#[test]
fn every_length_at_every_alignment_is_done_and_nothing_beside_it() {
    lower_as_asked();
    for (law, other) in [(Law::Mu, Law::A), (Law::A, Law::Mu)] {
        let (codes, samples, other_codes) = (codes(law), samples(law), codes(other));
        let linear: Vec<i16> = (0..300i32).map(|n| (n * 7919) as i16).collect();
        let octets: Vec<u8> = (0..300i32).map(|n| (n * 79) as u8).collect();
        for length in 0..=200 {
            for at in 0..33 {
                // Source and destination start at different places.
                let to = (at * 7) % 33;
                let what = format!("{law:?}, {length} from {at} to {to}");

                let mut coded = [0xEEu8; 300];
                encode(law, &linear[at..at + length], &mut coded[to..to + length]);
                for (k, code) in coded.iter().enumerate() {
                    let inside = k.checked_sub(to).filter(|k| *k < length);
                    let expected = inside.map_or(0xEE, |k| codes[linear[at + k] as u16 as usize]);
                    assert_eq!(*code, expected, "{what}, code {k}");
                }

                let mut decoded = [0x1111i16; 300];
                decode(law, &octets[at..at + length], &mut decoded[to..to + length]);
                for (k, sample) in decoded.iter().enumerate() {
                    let inside = k.checked_sub(to).filter(|k| *k < length);
                    let expected = inside.map_or(0x1111, |k| samples[usize::from(octets[at + k])]);
                    assert_eq!(*sample, expected, "{what}, sample {k}");
                }

                let mut converted = octets.clone();
                transcode(law, other, &mut converted[at..at + length]);
                for (k, code) in converted.iter().enumerate() {
                    let expected = if (at..at + length).contains(&k) {
                        other_codes[samples[usize::from(octets[k])] as u16 as usize]
                    } else {
                        octets[k]
                    };
                    assert_eq!(*code, expected, "{what}, converted {k}");
                }
            }
        }
    }
}
