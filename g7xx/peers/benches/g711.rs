//! G.711 beside other implementations and a copy of the same bytes; measurement only.
//!
//! `cargo bench --manifest-path g7xx/peers/Cargo.toml` prints the level of vector instructions, criterion's figures, and
//! at the end each peer's time to ours, of medians that were measured in turn.

use audio_codec::{Decoder, Encoder, pcma, pcmu};
use criterion::{Criterion, Throughput};
use g7xx::Level;
use g7xx::g711::{self, Law};
use std::hint::black_box;
use std::time::Instant;

/// A name, and what encodes or decodes: the linear side and the coded side.
type Peer = (&'static str, Box<dyn FnMut(&mut [i16], &mut [u8])>);

fn each(encode: fn(i16) -> u8) -> Box<dyn FnMut(&mut [i16], &mut [u8])> {
    Box::new(move |linear, coded| {
        linear.iter().zip(coded).for_each(|(l, c)| *c = encode(*l));
    })
}

fn each_back(decode: fn(u8) -> i16) -> Box<dyn FnMut(&mut [i16], &mut [u8])> {
    Box::new(move |linear, coded| {
        linear
            .iter_mut()
            .zip(coded)
            .for_each(|(l, c)| *l = decode(*c));
    })
}

fn encoders(law: Law) -> Vec<Peer> {
    let mut codec: Box<dyn Encoder> = match law {
        Law::Mu => Box::new(pcmu::PcmuEncoder::new()),
        Law::A => Box::new(pcma::PcmaEncoder::new()),
    };
    let (ezk, algorithms): (fn(i16) -> u8, fn(i16) -> u8) = match law {
        Law::Mu => (ezk_g711::mulaw::encode, audio_codec_algorithms::encode_ulaw),
        Law::A => (ezk_g711::alaw::encode, audio_codec_algorithms::encode_alaw),
    };
    vec![
        (
            "g7xx",
            Box::new(move |linear, coded| g711::encode(law, linear, coded)),
        ),
        (
            "audio-codec",
            Box::new(move |linear, coded| {
                codec
                    .encode_into(linear, coded)
                    .expect("the buffer is long enough");
            }),
        ),
        ("ezk-g711", each(ezk)),
        ("audio-codec-algorithms", each(algorithms)),
        (
            "copy of the linear side",
            Box::new(|linear, _| copy(linear)),
        ),
    ]
}

fn decoders(law: Law) -> Vec<Peer> {
    let mut codec: Box<dyn Decoder> = match law {
        Law::Mu => Box::new(pcmu::PcmuDecoder::new()),
        Law::A => Box::new(pcma::PcmaDecoder::new()),
    };
    let (ezk, algorithms): (fn(u8) -> i16, fn(u8) -> i16) = match law {
        Law::Mu => (ezk_g711::mulaw::decode, audio_codec_algorithms::decode_ulaw),
        Law::A => (ezk_g711::alaw::decode, audio_codec_algorithms::decode_alaw),
    };
    vec![
        (
            "g7xx",
            Box::new(move |linear, coded| g711::decode(law, coded, linear)),
        ),
        (
            "audio-codec",
            Box::new(move |linear, coded| {
                codec
                    .decode_into(coded, linear)
                    .expect("the buffer is long enough");
            }),
        ),
        ("ezk-g711", each_back(ezk)),
        ("audio-codec-algorithms", each_back(algorithms)),
        (
            "copy of the linear side",
            Box::new(|linear, _| copy(linear)),
        ),
    ]
}

/// Copies the first half of the samples onto the second, twice: as many bytes as all of them.
fn copy(linear: &mut [i16]) {
    let half = linear.len() / 2;
    let (from, to) = linear.split_at_mut(half);
    to[..half].copy_from_slice(from);
    black_box(&mut *to);
    to[..half].copy_from_slice(black_box(from));
}

/// Nanoseconds of one run: the median of rounds in which all peers take turns.
fn ratios(peers: &mut [Peer], linear: &mut [i16], coded: &mut [u8]) -> Vec<f64> {
    const ROUNDS: usize = 41;
    let runs = 400_000 / linear.len() + 1;
    let mut times = vec![Vec::new(); peers.len()];
    for _ in 0..ROUNDS {
        for ((_, run), times) in peers.iter_mut().zip(&mut times) {
            let start = Instant::now();
            (0..runs).for_each(|_| run(black_box(linear), black_box(coded)));
            times.push(start.elapsed().as_nanos() as f64 / runs as f64);
        }
    }
    times
        .into_iter()
        .map(|mut times| {
            times.sort_by(f64::total_cmp);
            times[ROUNDS / 2]
        })
        .collect()
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut lines = Vec::new();
    for law in [Law::Mu, Law::A] {
        for (direction, make) in [
            ("encode", encoders as fn(Law) -> Vec<Peer>),
            ("decode", decoders),
        ] {
            for length in [160usize, 8192] {
                let mut linear: Vec<i16> = (0..length).map(|n| (n * 7919) as i16).collect();
                let mut coded = vec![0u8; length];
                g711::encode(law, &linear, &mut coded);
                let mut peers = make(law);
                let mut group = criterion.benchmark_group(format!("{law:?} {direction} {length}"));
                group.throughput(Throughput::Elements(length as u64));
                for (name, run) in &mut peers {
                    group.bench_function(*name, |bencher| {
                        bencher.iter(|| run(black_box(&mut linear), black_box(&mut coded)));
                    });
                }
                group.finish();
                let times = ratios(&mut peers, &mut linear, &mut coded);
                for ((name, _), time) in peers.iter().zip(&times) {
                    let rate = length as f64 / time;
                    lines.push(format!(
                        "{law:?} {direction} {length}: {name} {time:.1} ns, {rate:.2} Gsamples/s, {:.2} of g7xx",
                        time / times[0]
                    ));
                }
            }
        }
    }
    println!(
        "\nlevel {}, {}",
        Level::current().name(),
        std::env::consts::ARCH
    );
    if let Ok(cpu) = std::fs::read_to_string("/proc/cpuinfo")
        && let Some(model) = cpu.lines().find(|line| line.starts_with("model name"))
    {
        println!("{model}");
    }
    lines.iter().for_each(|line| println!("{line}"));
}
