//! Puts a recording through G.711, loses frames of 20 ms from a seed, and conceals what is lost.
//!
//! `concealment <method> <loss in 1/1000> <mean burst in frames> <seed> <in.wav> <first second>
//! <seconds> <out.raw>`; `benches/concealment.sh` runs it and judges the result.

use g7xx::g711::{Law, decode, encode};
use g7xx::{conceal, g722, plc};
use std::error::Error;

/// Samples of a packet.
const PACKET: usize = 160;

/// Loses packets: alone, or in bursts of a geometric length (two states, after Gilbert).
struct Losses {
    state: u64,
    rate: f64,
    burst: f64,
    bad: bool,
}

impl Losses {
    fn random(&mut self) -> f64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn next(&mut self) -> bool {
        let random = self.random();
        if self.burst <= 1.0 {
            return random < self.rate;
        }
        let leave = 1.0 / self.burst;
        self.bad = if self.bad {
            random >= leave
        } else {
            random < leave * self.rate / (1.0 - self.rate)
        };
        self.bad
    }
}

/// Sampling rate and samples of a WAV file of 16 bits and one channel.
fn samples(bytes: &[u8]) -> Result<(f64, Vec<i16>), Box<dyn Error>> {
    let rate = bytes.get(24..28).ok_or("not a WAV file")?;
    let rate_hz = f64::from(u32::from_le_bytes([rate[0], rate[1], rate[2], rate[3]]));
    let mut at = 12;
    while let Some(head) = bytes.get(at..at + 8) {
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if &head[..4] == b"data" {
            let end = (at + 8 + length).min(bytes.len());
            let pairs = bytes[at + 8..end].chunks_exact(2);
            let samples = pairs.map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
            return Ok((rate_hz, samples));
        }
        at += 8 + length + length % 2;
    }
    Err("no samples in this file".into())
}

fn appendix_i(packets: &[[i16; PACKET]], lost: &[bool]) -> Vec<i16> {
    let mut concealer = plc::Concealer::new();
    let mut played = Vec::new();
    for (packet, lost) in packets.iter().zip(lost) {
        for half in packet.chunks_exact(plc::FRAME) {
            let mut frame = [0; plc::FRAME];
            if *lost {
                concealer.lost(&mut frame);
            } else {
                frame.copy_from_slice(half);
                concealer.received(&mut frame);
            }
            played.extend(frame);
        }
    }
    played.drain(..plc::DELAY);
    played
}

fn delayed(packets: &[[i16; PACKET]], lost: &[bool]) -> Vec<i16> {
    let mut concealer = conceal::DelayedNarrow::new();
    let mut played = Vec::new();
    for (packet, lost) in packets.iter().zip(lost) {
        let mut frame = *packet;
        match lost {
            true => concealer.lost(&mut frame),
            false => concealer.received(&mut frame),
        }
        played.extend(frame);
    }
    played.drain(..plc::DELAY);
    played
}

/// Without delay; `knows_next` when a jitter buffer holds the packet after the one to be played.
fn immediate(packets: &[[i16; PACKET]], lost: &[bool], knows_next: bool) -> Vec<i16> {
    let mut concealer = conceal::Narrow::new();
    let mut played = Vec::new();
    for (n, (packet, is_lost)) in packets.iter().zip(lost).enumerate() {
        let mut frame = *packet;
        let next = (knows_next && lost.get(n + 1) == Some(&false)).then(|| &packets[n + 1][..]);
        match is_lost {
            true => concealer.lost(&mut frame, 0, next.unwrap_or_default()),
            false => concealer.received(&mut frame),
        }
        played.extend(frame);
    }
    played
}

/// Through G.722, at 16 kHz.
fn g722(samples: &[i16], losses: &mut Losses, conceals: bool) -> Vec<i16> {
    let mut encoder = g722::Encoder::new();
    let mut decoder = g722::ConcealingDecoder::new(g722::Rate::Kbit64);
    let mut played = Vec::new();
    for packet in samples.as_chunks::<{ 2 * PACKET }>().0 {
        let (mut coded, mut linear) = ([0; PACKET], [0; 2 * PACKET]);
        encoder.encode(packet, &mut coded);
        if !losses.next() {
            decoder.received(&coded, &mut linear);
        } else if conceals {
            decoder.lost(&mut linear);
        }
        played.extend(linear);
    }
    played
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [method, rate, burst, seed, input, first, seconds, output] = &arguments[..] else {
        return Err("wrong number of arguments; see the head of this example".into());
    };
    let mut losses = Losses {
        state: seed.parse::<u64>()?.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        rate: rate.parse::<f64>()? / 1000.0,
        burst: burst.parse()?,
        bad: false,
    };
    (0..8).for_each(|_| {
        losses.random();
    });
    let (rate_hz, samples) = samples(&std::fs::read(input)?)?;
    let begin = (first.parse::<f64>()? * rate_hz) as usize;
    let end = (begin + (seconds.parse::<f64>()? * rate_hz) as usize).min(samples.len());
    let samples = samples.get(begin..end).unwrap_or_default();
    let mut packets = Vec::new();
    for packet in samples.as_chunks::<PACKET>().0 {
        let (mut coded, mut linear) = ([0; PACKET], [0; PACKET]);
        encode(Law::Mu, packet, &mut coded);
        decode(Law::Mu, &coded, &mut linear);
        packets.push(linear);
    }
    let lost: Vec<bool> = packets.iter().map(|_| losses.next()).collect();
    let played = match method.as_str() {
        "original" => samples.to_vec(),
        "mask" => lost.iter().map(|lost| i16::from(*lost)).collect(),
        "clean" => packets.concat(),
        "silence" => {
            let silence =
                |(packet, lost): (&[i16; PACKET], &bool)| if *lost { [0; PACKET] } else { *packet };
            packets
                .iter()
                .zip(&lost)
                .map(silence)
                .collect::<Vec<_>>()
                .concat()
        }
        "appendix-i" => appendix_i(&packets, &lost),
        "delayed" => delayed(&packets, &lost),
        "g722-silence" => g722(samples, &mut losses, false),
        "g722" => g722(samples, &mut losses, true),
        "immediate" => immediate(&packets, &lost, false),
        "next-known" => immediate(&packets, &lost, true),
        _ => return Err("no such method".into()),
    };
    let bytes: Vec<u8> = played
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    std::fs::write(output, bytes)?;
    Ok(())
}
