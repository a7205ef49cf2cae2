//! Speed of every codec at every level of this machine. Levels can only be lowered, so the highest
//! comes first. `benches/peers.sh` times other G.729 codecs, `benches/instructions.sh` counts.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use g7xx::Level;
use g7xx::g711::{self, Law};
use g7xx::g729::{Decoder, Encoder, FRAME, Frame, Variant};
use std::hint::black_box;

/// Two seconds of something like speech: a few harmonics whose pitch and level wander.
fn speech() -> Vec<[i16; FRAME]> {
    let mut phase = 0.0f64;
    let samples: Vec<i16> = (0..16_000)
        .map(|n| {
            let time = n as f64 / 8000.0;
            phase += (120.0 + 40.0 * (time * 5.0).sin()) / 8000.0 * std::f64::consts::TAU;
            let voice: f64 = (1..12)
                .map(|k| (phase * f64::from(k)).sin() / f64::from(k))
                .sum();
            (voice * 2500.0 * (time * 9.0).sin().max(0.02)) as i16
        })
        .collect();
    samples.as_chunks().0.to_vec()
}

fn codecs(criterion: &mut Criterion) {
    let frames = speech();
    for level in Level::ALL.into_iter().rev() {
        if Level::lower_to(level) != level {
            continue;
        }
        g729(criterion, level, &frames);
        companding(criterion, level);
    }
    wideband(criterion);
}

fn g729(criterion: &mut Criterion, level: Level, frames: &[[i16; FRAME]]) {
    let mut group = criterion.benchmark_group(format!("g729/{}", level.name()));
    group.throughput(Throughput::Elements(frames.len() as u64));
    for (name, variant, vad) in [
        ("a", Variant::A, false),
        ("a+b", Variant::A, true),
        ("base", Variant::Base, false),
    ] {
        let mut encoder = Encoder::new(variant, vad);
        group.bench_function(format!("encode {name}"), |bencher| {
            bencher.iter(|| {
                frames.iter().for_each(|frame| {
                    black_box(encoder.encode(black_box(frame)));
                })
            });
        });
        let mut encoder = Encoder::new(variant, vad);
        let coded: Vec<Frame> = frames.iter().map(|frame| encoder.encode(frame)).collect();
        let mut decoder = Decoder::new(variant);
        group.bench_function(format!("decode {name}"), |bencher| {
            let mut output = [0; FRAME];
            bencher.iter(|| {
                coded
                    .iter()
                    .for_each(|frame| decoder.decode(black_box(frame.as_input()), &mut output))
            });
        });
    }
    group.finish();
}

fn companding(criterion: &mut Criterion, level: Level) {
    let mut group = criterion.benchmark_group(format!("g711/{}", level.name()));
    for length in [160usize, 8192] {
        let linear: Vec<i16> = (0..length).map(|n| (n as i16).wrapping_mul(7919)).collect();
        let (mut coded, mut output) = (vec![0; length], vec![0; length]);
        group.throughput(Throughput::Elements(length as u64));
        for law in [Law::Mu, Law::A] {
            group.bench_function(format!("encode {law:?} {length}"), |bencher| {
                bencher.iter(|| g711::encode(law, black_box(&linear), black_box(&mut coded)));
            });
            group.bench_function(format!("decode {law:?} {length}"), |bencher| {
                bencher.iter(|| g711::decode(law, black_box(&coded), black_box(&mut output)));
            });
        }
        // What moving the same octets costs.
        let mut copy = vec![0u8; length * 3 / 2];
        let source = vec![1u8; length * 3 / 2];
        group.bench_function(format!("copy {length}"), |bencher| {
            bencher.iter(|| black_box(&mut copy).copy_from_slice(black_box(&source)));
        });
    }
    group.finish();
}

fn wideband(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("g722");
    let linear: Vec<i16> = (0..3200)
        .map(|n: i32| (n * n % 20_000 - 10_000) as i16)
        .collect();
    let mut coded = vec![0; 1600];
    let mut output = vec![0; 3200];
    group.throughput(Throughput::Elements(3200));
    let mut encoder = g7xx::g722::Encoder::new();
    group.bench_function("encode", |bencher| {
        bencher.iter(|| encoder.encode(black_box(&linear), &mut coded))
    });
    let mut decoder = g7xx::g722::Decoder::new(g7xx::g722::Rate::Kbit64);
    group.bench_function("decode", |bencher| {
        bencher.iter(|| decoder.decode(black_box(&coded), &mut output))
    });
    group.finish();
}

criterion_group!(benches, codecs);
criterion_main!(benches);
