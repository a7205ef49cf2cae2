//! x86-64: what the processor can do, and the codecs compiled for it.
//!
//! G.729 is compiled a second time with AVX2 allowed: most of its inner loops are plain sums that
//! the compiler turns into vectors; for the rest there are kernels.

pub mod avx512;
pub mod g711;
pub mod g711_512;
mod g729;
pub mod v256;
pub mod v512;

pub use self::g729::Avx2;
use super::Level;
use super::lanes::{Lockstep, PAIRS, Row, SUBFRAME, compile, with_stages};
use super::stages;
use super::vector::Mask;
use crate::g729::decoder::{self, Decoder};
use crate::g729::encoder::{self, Encoder};
use crate::g729::lpc::ORDER;
use crate::g729::{FRAME, Frame, FrameInput};
use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

/// Whether AVX2, BMI1, BMI2 and LZCNT are there and the system keeps the wide registers.
#[cold]
pub fn has_avx2() -> bool {
    const OSXSAVE_AVX: u32 = 1 << 27 | 1 << 28;
    const BMI1_AVX2_BMI2: u32 = 1 << 3 | 1 << 5 | 1 << 8;
    if __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE_AVX != OSXSAVE_AVX {
        return false;
    }
    // SAFETY: the bit OSXSAVE says that XGETBV exists.
    let kept = unsafe { xcr0() };
    kept & 6 == 6
        && __cpuid_count(7, 0).ebx & BMI1_AVX2_BMI2 == BMI1_AVX2_BMI2
        && __cpuid(0x8000_0000).eax > 0x8000_0000
        && __cpuid(0x8000_0001).ecx & (1 << 5) != 0
}

/// Whether AVX-512 F, BW, CD, DQ and VL are there besides, and the system keeps the registers.
#[cold]
fn has_avx512() -> bool {
    const F_DQ_CD_BW_VL: u32 = 1 << 16 | 1 << 17 | 1 << 28 | 1 << 30 | 1 << 31;
    // SAFETY: AVX2 is there only where XGETBV is.
    has_avx2()
        && unsafe { xcr0() } & 0xE6 == 0xE6
        && __cpuid_count(7, 0).ebx & F_DQ_CD_BW_VL == F_DQ_CD_BW_VL
}

/// Whether VBMI is there besides AVX-512.
#[cold]
fn has_vbmi() -> bool {
    has_avx512() && __cpuid_count(7, 0).ecx & (1 << 1) != 0
}

/// The highest level that this processor has.
#[cold]
pub fn detect() -> Level {
    if has_vbmi() {
        Level::Avx512Vbmi
    } else if has_avx512() {
        Level::Avx512
    } else if has_avx2() {
        Level::Avx2
    } else {
        Level::Scalar
    }
}

with_stages!(compile! Avx2, 8, v256::V256, "avx2";);

/// Which register states the system keeps.
#[target_feature(enable = "xsave")]
fn xcr0() -> u64 {
    // SAFETY: the caller made sure that the instruction exists; register 0 always does then.
    unsafe { _xgetbv(0) }
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
fn encode_avx2(encoder: &mut Encoder, samples: &[i16; FRAME]) -> Frame {
    encoder.encode::<Avx2>(samples)
}

/// Encodes a frame with AVX2.
#[inline]
pub fn g729_encode(encoder: &mut Encoder, samples: &[i16; FRAME]) -> Frame {
    // SAFETY: the level says that the instructions are there.
    unsafe { encode_avx2(encoder, samples) }
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
fn decode_avx2(decoder: &mut Decoder, input: FrameInput<'_>, samples: &mut [i16; FRAME]) {
    decoder.decode::<Avx2>(input, samples);
}

/// Decodes a frame with AVX2.
#[inline]
pub fn g729_decode(decoder: &mut Decoder, input: FrameInput<'_>, samples: &mut [i16; FRAME]) {
    // SAFETY: the level says that the instructions are there.
    unsafe { decode_avx2(decoder, input, samples) }
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
fn encode_eight_avx2(encoders: &mut [&mut Encoder; 8], samples: &[&[i16; FRAME]; 8]) -> [Frame; 8] {
    encoder::lockstep::encode::<Avx2, Avx2, 8>(encoders, samples)
}

/// Encodes a frame of eight channels that fit, with AVX2.
#[inline]
pub fn g729_encode_eight(
    encoders: &mut [&mut Encoder; 8],
    samples: &[&[i16; FRAME]; 8],
) -> [Frame; 8] {
    // SAFETY: the level says that the instructions are there.
    unsafe { encode_eight_avx2(encoders, samples) }
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
fn decode_eight_avx2(
    decoders: &mut [&mut Decoder; 8],
    inputs: &[FrameInput<'_>; 8],
    outputs: [&mut [i16; FRAME]; 8],
) {
    decoder::lockstep::decode::<Avx2, Avx2, 8>(decoders, inputs, outputs);
}

/// Decodes a frame of eight channels that fit, with AVX2.
#[inline]
pub fn g729_decode_eight(
    decoders: &mut [&mut Decoder; 8],
    inputs: &[FrameInput<'_>; 8],
    outputs: [&mut [i16; FRAME]; 8],
) {
    // SAFETY: the level says that the instructions are there.
    unsafe { decode_eight_avx2(decoders, inputs, outputs) }
}
