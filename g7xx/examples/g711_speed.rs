//! Speed of G.711 at each level, beside a copy of the same bytes.

use g7xx::Level;
use g7xx::g711::{Law, decode, encode};
use std::hint::black_box;
use std::time::Instant;

/// Nanoseconds of one run, the best of several rounds.
#[allow(clippy::disallowed_methods)]
fn time(mut run: impl FnMut()) -> f64 {
    (0..15)
        .map(|_| {
            let start = Instant::now();
            (0..200).for_each(|_| run());
            start.elapsed().as_nanos() as f64 / 200.0
        })
        .fold(f64::INFINITY, f64::min)
}

fn main() {
    for level in Level::ALL.into_iter().rev() {
        if Level::lower_to(level) != level {
            continue;
        }
        for length in [160, 8192] {
            let linear: Vec<i16> = (0..length).map(|n| (n * 7919) as i16).collect();
            let mut coded = vec![0u8; length];
            let mut output = vec![0i16; length];
            for law in [Law::Mu, Law::A] {
                let e = time(|| encode(law, black_box(&linear), black_box(&mut coded)));
                let d = time(|| decode(law, black_box(&coded), black_box(&mut output)));
                let n = length as f64;
                println!(
                    "{} {law:?} {length}: encode {:.2} Gsamples/s {e:.1} ns, decode {:.2} Gsamples/s {d:.1} ns",
                    level.name(),
                    n / e,
                    n / d
                );
            }
        }
    }
}
