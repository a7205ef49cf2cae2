//! Which code runs at which level. Levels that this kind of processor does not have are never in use.

use super::{Level, Scalar};
use crate::g711::{self, Law};
use crate::g729::decoder::Decoder;
use crate::g729::encoder::Encoder;
use crate::g729::{FRAME, Frame, FrameInput};

/// Encodes a frame of one channel.
#[inline]
pub fn g729_encode(encoder: &mut Encoder, samples: &[i16; FRAME]) -> Frame {
    match Level::current() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512 | Level::Avx512Vbmi => {
            super::x86_64::g729_encode(encoder, samples)
        }
        _ => encoder.encode::<Scalar>(samples),
    }
}

/// Decodes a frame of one channel.
#[inline]
pub fn g729_decode(decoder: &mut Decoder, input: FrameInput<'_>, samples: &mut [i16; FRAME]) {
    match Level::current() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512 | Level::Avx512Vbmi => {
            super::x86_64::g729_decode(decoder, input, samples);
        }
        _ => decoder.decode::<Scalar>(input, samples),
    }
}

/// How many channels go in lockstep best: 1, 8 or 16. Where it is 16, eight can go as well.
#[inline]
pub fn lanes() -> usize {
    match Level::current() {
        Level::Scalar | Level::Neon => 1,
        Level::Avx2 => 8,
        Level::Avx512 | Level::Avx512Vbmi => 16,
    }
}

/// Encodes a frame of each of eight channels that fit.
pub fn g729_encode_eight(
    encoders: &mut [&mut Encoder; 8],
    samples: &[&[i16; FRAME]; 8],
) -> [Frame; 8] {
    match Level::current() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512 | Level::Avx512Vbmi => {
            super::x86_64::g729_encode_eight(encoders, samples)
        }
        _ => one_by_one(encoders, samples),
    }
}

/// Encodes a frame of each of sixteen channels that fit.
pub fn g729_encode_sixteen(
    encoders: &mut [&mut Encoder; 16],
    samples: &[&[i16; FRAME]; 16],
) -> [Frame; 16] {
    match Level::current() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Avx512Vbmi => {
            super::x86_64::avx512::g729_encode_sixteen(encoders, samples)
        }
        _ => one_by_one(encoders, samples),
    }
}

fn one_by_one<const N: usize>(
    encoders: &mut [&mut Encoder; N],
    samples: &[&[i16; FRAME]; N],
) -> [Frame; N] {
    core::array::from_fn(|k| g729_encode(encoders[k], samples[k]))
}

/// Decodes a frame of each of eight channels that fit.
pub fn g729_decode_eight(
    decoders: &mut [&mut Decoder; 8],
    inputs: &[FrameInput<'_>; 8],
    outputs: [&mut [i16; FRAME]; 8],
) {
    match Level::current() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512 | Level::Avx512Vbmi => {
            super::x86_64::g729_decode_eight(decoders, inputs, outputs);
        }
        _ => each_by_itself(decoders, inputs, outputs),
    }
}

/// Decodes a frame of each of sixteen channels that fit.
pub fn g729_decode_sixteen(
    decoders: &mut [&mut Decoder; 16],
    inputs: &[FrameInput<'_>; 16],
    outputs: [&mut [i16; FRAME]; 16],
) {
    match Level::current() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Avx512Vbmi => {
            super::x86_64::avx512::g729_decode_sixteen(decoders, inputs, outputs);
        }
        _ => each_by_itself(decoders, inputs, outputs),
    }
}

fn each_by_itself<const N: usize>(
    decoders: &mut [&mut Decoder; N],
    inputs: &[FrameInput<'_>; N],
    outputs: [&mut [i16; FRAME]; N],
) {
    for ((decoder, input), output) in decoders.iter_mut().zip(inputs).zip(outputs) {
        g729_decode(decoder, *input, output);
    }
}

/// Encodes. The function is small enough to become part of its caller, where the law is often known;
/// what it calls takes the rest of the work, short slices too.
#[inline]
pub fn g711_encode(law: Law, linear: &[i16], coded: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    {
        let level = Level::current();
        if level == Level::Avx2 {
            return super::x86_64::g711::encode(law, linear, coded);
        }
        if level >= Level::Avx512 {
            let vbmi = level == Level::Avx512Vbmi;
            return super::x86_64::g711_512::encode(vbmi, law, linear, coded);
        }
    }
    #[cfg(target_arch = "aarch64")]
    if Level::current() == Level::Neon {
        return super::aarch64::g711_encode(law, linear, coded);
    }
    g711::encode_plainly(law, linear, coded);
}

/// Decodes, in the same way.
#[inline]
pub fn g711_decode(law: Law, coded: &[u8], linear: &mut [i16]) {
    #[cfg(target_arch = "x86_64")]
    {
        let level = Level::current();
        if level == Level::Avx2 {
            return super::x86_64::g711::decode(law, coded, linear);
        }
        if level >= Level::Avx512 {
            let vbmi = level == Level::Avx512Vbmi;
            return super::x86_64::g711_512::decode(vbmi, law, coded, linear);
        }
    }
    #[cfg(target_arch = "aarch64")]
    if Level::current() == Level::Neon {
        return super::aarch64::g711_decode(law, coded, linear);
    }
    g711::decode_plainly(law, coded, linear);
}

/// Turns codes of `from` into those of the other law with vectors; false when that was not done.
#[inline]
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
pub fn g711_transcode(from: Law, coded: &mut [u8]) -> bool {
    #[cfg(target_arch = "x86_64")]
    match Level::current() {
        Level::Avx512Vbmi => super::x86_64::g711_512::transcode(true, from, coded),
        Level::Avx512 => super::x86_64::g711_512::transcode(false, from, coded),
        Level::Avx2 | Level::Neon | Level::Scalar => return false,
    }
    cfg!(target_arch = "x86_64")
}
