//! Encodes or decodes G.729 frames of a raw file a number of times: what the instruction counts and
//! quick timings of `benches/instructions.sh` run.
//!
//! Arguments: `encode|decode|encode-batch|decode-batch a|base LEVEL FRAMES FILE`, FILE 16-bit little
//! endian at 8 kHz. A batch has sixteen channels, each a little later in the file than the one before.

use g7xx::Level;
use g7xx::g729::{Decoder, Encoder, FRAME, Frame, Variant, decode_batch, encode_batch};

/// Channels of a batch.
const CHANNELS: usize = 16;

/// Seconds on a processor so far, from what Linux says; a busy machine does not change them.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|ns| ns.parse::<f64>().ok())
        .unwrap_or(f64::NAN)
        / 1e9
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, variant, level, count, file] = &arguments[..] else {
        eprintln!("usage: encode|decode|encode-batch|decode-batch a|base LEVEL FRAMES FILE");
        std::process::exit(2);
    };
    let level = Level::from_name(level).map(Level::lower_to);
    let variant = if variant == "base" {
        Variant::Base
    } else {
        Variant::A
    };
    let count: usize = count.parse().unwrap_or(0);
    let bytes = std::fs::read(file).unwrap_or_else(|error| {
        eprintln!("{file}: {error}");
        std::process::exit(1);
    });
    let samples: Vec<i16> = bytes
        .as_chunks::<2>()
        .0
        .iter()
        .map(|pair| i16::from_le_bytes(*pair))
        .collect();
    let frames = samples.as_chunks::<FRAME>().0;
    let mut encoder = Encoder::new(variant, false);
    let mut decoder = Decoder::new(variant);
    let mut check = 0u64;
    let mut start = processor_seconds();
    if what == "encode" {
        for frame in frames.iter().cycle().take(count) {
            let frame = encoder.encode(frame);
            check = frame.octets().iter().fold(check, |check, octet| {
                check.rotate_left(5) ^ u64::from(*octet)
            });
        }
    } else if what == "encode-batch" {
        let mut encoders: [Encoder; CHANNELS] = std::array::from_fn(|_| encoder.clone());
        let mut coded = [Frame::Untransmitted; CHANNELS];
        for n in 0..count / CHANNELS {
            let input: [[i16; FRAME]; CHANNELS] =
                std::array::from_fn(|k| frames[(n + 37 * k) % frames.len()]);
            encode_batch(&mut encoders.each_mut(), &input, &mut coded);
            check = coded[0].octets().iter().fold(check, |check, octet| {
                check.rotate_left(5) ^ u64::from(*octet)
            });
        }
    } else if what == "decode-batch" {
        let coded: Vec<_> = frames
            .iter()
            .take(500)
            .map(|frame| encoder.encode(frame))
            .collect();
        let mut decoders: [Decoder; CHANNELS] = std::array::from_fn(|_| decoder.clone());
        let mut output = [[0; FRAME]; CHANNELS];
        start = processor_seconds();
        for n in 0..count / CHANNELS {
            let input = std::array::from_fn(|k| coded[(n + 37 * k) % coded.len()]);
            let input: [_; CHANNELS] = input.each_ref().map(Frame::as_input);
            decode_batch(&mut decoders.each_mut(), &input, &mut output);
            check = output[0]
                .iter()
                .fold(check, |check, sample| check.rotate_left(5) ^ *sample as u64);
        }
    } else {
        let coded: Vec<_> = frames
            .iter()
            .take(500)
            .map(|frame| encoder.encode(frame))
            .collect();
        let mut output = [0; FRAME];
        start = processor_seconds();
        for frame in coded.iter().cycle().take(count) {
            decoder.decode(frame.as_input(), &mut output);
            check = output
                .iter()
                .fold(check, |check, sample| check.rotate_left(5) ^ *sample as u64);
        }
    }
    let seconds = processor_seconds() - start;
    let level = level.map_or("unknown level", Level::name);
    println!(
        "{what} {level}: {:.0} channels, check {check:016x}",
        count as f64 / 100.0 / seconds
    );
}
