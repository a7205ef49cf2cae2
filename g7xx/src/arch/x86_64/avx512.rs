//! What is compiled for AVX-512.

use super::v512::V512;
use super::{Avx2, compile, stages, with_stages};
use crate::arch::lanes::{Lockstep, PAIRS, Row, SUBFRAME};
use crate::arch::vector::Mask;
use crate::g729::decoder::{self, Decoder};
use crate::g729::encoder::{self, Encoder};
use crate::g729::lpc::ORDER;
use crate::g729::{FRAME, Frame, FrameInput};

/// Sixteen channels in lockstep. Only functions that are compiled for AVX-512 name this type.
pub struct Avx512;

with_stages!(compile! Avx512, 16, V512, "avx512f,avx512bw,avx512cd,avx512dq,avx512vl";);

#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,bmi1,bmi2,lzcnt")]
fn encode_sixteen(encoders: &mut [&mut Encoder; 16], samples: &[&[i16; FRAME]; 16]) -> [Frame; 16] {
    encoder::lockstep::encode::<Avx2, Avx512, 16>(encoders, samples)
}

/// Encodes a frame of sixteen channels that fit.
#[inline]
pub fn g729_encode_sixteen(
    encoders: &mut [&mut Encoder; 16],
    samples: &[&[i16; FRAME]; 16],
) -> [Frame; 16] {
    // SAFETY: the level says that the instructions are there.
    unsafe { encode_sixteen(encoders, samples) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,bmi1,bmi2,lzcnt")]
fn decode_sixteen(
    decoders: &mut [&mut Decoder; 16],
    inputs: &[FrameInput<'_>; 16],
    outputs: [&mut [i16; FRAME]; 16],
) {
    decoder::lockstep::decode::<Avx2, Avx512, 16>(decoders, inputs, outputs);
}

/// Decodes a frame of sixteen channels that fit.
#[inline]
pub fn g729_decode_sixteen(
    decoders: &mut [&mut Decoder; 16],
    inputs: &[FrameInput<'_>; 16],
    outputs: [&mut [i16; FRAME]; 16],
) {
    // SAFETY: the level says that the instructions are there.
    unsafe { decode_sixteen(decoders, inputs, outputs) }
}
