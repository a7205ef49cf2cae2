//! aarch64: G.711 with NEON, which every such processor has, 16 samples at a time.
//!
//! A companded code is a small floating-point number: the place of the leading one is the segment, the
//! four bits below it are the step. There are instructions for counting zeros and for a shift by another
//! number of bits in each lane, so neither tables nor floats are needed.

use crate::g711::{Law, decode_plainly, encode_plainly};
use core::arch::aarch64::*;

/// Samples of a step.
const STEP: usize = 16;

/// Runs `step` over both slices; the last step overlaps the one before when the length is no multiple.
/// Returns false when there is not enough for one step.
#[inline(always)]
fn in_steps<A, B>(
    from: &[A],
    to: &mut [B],
    mut step: impl FnMut(&[A; STEP], &mut [B; STEP]),
) -> bool {
    let length = from.len().min(to.len());
    let (from, to) = (&from[..length], &mut to[..length]);
    if length < STEP {
        return false;
    }
    let steps = from.as_chunks::<STEP>().0.iter();
    for (from, to) in steps.zip(to.as_chunks_mut::<STEP>().0) {
        step(from, to);
    }
    if !length.is_multiple_of(STEP)
        && let (Some(from), Some(to)) = (from.last_chunk(), to.last_chunk_mut())
    {
        step(from, to);
    }
    true
}

#[inline]
#[target_feature(enable = "neon")]
fn load_samples(from: &[i16; STEP]) -> [int16x8_t; 2] {
    // SAFETY: sixteen samples are two registers; loads need no alignment.
    unsafe { [vld1q_s16(from.as_ptr()), vld1q_s16(from[8..].as_ptr())] }
}

/// Codes without sign of magnitudes of 15 bits. No segment is taken for less than `most` zeros say; what
/// is smaller has no leading one above its step.
#[inline]
#[target_feature(enable = "neon")]
fn code(magnitude: int16x8_t, most: i16) -> uint8x8_t {
    let zeros = vminq_s16(vclzq_s16(magnitude), vdupq_n_s16(most));
    let step = vshlq_s16(magnitude, vsubq_s16(zeros, vdupq_n_s16(11)));
    // The leading one of the step is sixteen too much.
    let segment = vsubq_s16(vdupq_n_s16(8 * 16 - 16), vshlq_n_s16::<4>(zeros));
    vmovn_u16(vreinterpretq_u16_s16(vaddq_s16(segment, step)))
}

/// Puts signs to codes and inverts what is to be inverted of those of positive samples.
#[inline]
#[target_feature(enable = "neon")]
fn finish(samples: [int16x8_t; 2], codes: [uint8x8_t; 2], inverted: u8, to: &mut [u8; STEP]) {
    let upper = samples.map(|s| vreinterpret_u8_s8(vshrn_n_s16::<8>(s)));
    let signs = vandq_u8(vcombine_u8(upper[0], upper[1]), vdupq_n_u8(0x80));
    let codes = veorq_u8(vcombine_u8(codes[0], codes[1]), vdupq_n_u8(inverted));
    // SAFETY: sixteen octets are one register; stores need no alignment.
    unsafe { vst1q_u8(to.as_mut_ptr(), veorq_u8(codes, signs)) }
}

/// Magnitudes, those of negative samples by one's complement.
#[inline]
#[target_feature(enable = "neon")]
fn magnitude(s: int16x8_t) -> int16x8_t {
    veorq_s16(s, vshrq_n_s16::<15>(s))
}

#[inline]
#[target_feature(enable = "neon")]
fn encode_mu(from: &[i16; STEP], to: &mut [u8; STEP]) {
    let samples = load_samples(from);
    let codes = samples.map(|s| code(vqaddq_s16(magnitude(s), vdupq_n_s16(132)), 8));
    finish(samples, codes, 0xFF, to);
}

#[inline]
#[target_feature(enable = "neon")]
fn encode_a(from: &[i16; STEP], to: &mut [u8; STEP]) {
    let samples = load_samples(from);
    // Segment 0 has the step of segment 1.
    let codes = samples.map(|s| code(magnitude(s), 7));
    finish(samples, codes, 0xD5, to);
}

/// Both halves of sixteen codes as words.
#[inline]
#[target_feature(enable = "neon")]
fn words(codes: uint8x16_t) -> [uint16x8_t; 2] {
    [vmovl_u8(vget_low_u8(codes)), vmovl_u8(vget_high_u8(codes))]
}

#[inline]
#[target_feature(enable = "neon")]
fn load_codes(from: &[u8; STEP]) -> uint8x16_t {
    // SAFETY: sixteen octets are one register; loads need no alignment.
    unsafe { vld1q_u8(from.as_ptr()) }
}

/// Magnitudes with the sign of lanes of ones, stored.
#[inline]
#[target_feature(enable = "neon")]
fn store_samples(samples: [[uint16x8_t; 2]; 2], to: &mut [i16; STEP]) {
    for (k, [magnitude, negative]) in samples.into_iter().enumerate() {
        let sample = vsubq_u16(veorq_u16(magnitude, negative), negative);
        // SAFETY: eight samples from each half on are there; stores need no alignment.
        unsafe { vst1q_s16(to[8 * k..].as_mut_ptr(), vreinterpretq_s16_u16(sample)) }
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn decode_mu(from: &[u8; STEP], to: &mut [i16; STEP]) {
    let codes = words(vmvnq_u8(load_codes(from)));
    let samples = codes.map(|c| {
        let step = vshlq_n_u16::<3>(vandq_u16(c, vdupq_n_u16(15)));
        let segment = vandq_u16(vshrq_n_u16::<4>(c), vdupq_n_u16(7));
        let biased = vaddq_u16(step, vdupq_n_u16(0x84));
        let magnitude = vshlq_u16(biased, vreinterpretq_s16_u16(segment));
        let negative = vtstq_u16(c, vdupq_n_u16(0x80));
        [vsubq_u16(magnitude, vdupq_n_u16(0x84)), negative]
    });
    store_samples(samples, to);
}

#[inline]
#[target_feature(enable = "neon")]
fn decode_a(from: &[u8; STEP], to: &mut [i16; STEP]) {
    let codes = words(veorq_u8(load_codes(from), vdupq_n_u8(0x55)));
    let samples = codes.map(|c| {
        let step = vshlq_n_u16::<4>(vandq_u16(c, vdupq_n_u16(15)));
        let segment = vandq_u16(vshrq_n_u16::<4>(c), vdupq_n_u16(7));
        let leading = vandq_u16(vtstq_u16(segment, segment), vdupq_n_u16(0x100));
        let base = vaddq_u16(vaddq_u16(step, vdupq_n_u16(8)), leading);
        let shift = vqsubq_u16(segment, vdupq_n_u16(1));
        let magnitude = vshlq_u16(base, vreinterpretq_s16_u16(shift));
        [magnitude, vceqzq_u16(vandq_u16(c, vdupq_n_u16(0x80)))]
    });
    store_samples(samples, to);
}

#[target_feature(enable = "neon")]
fn encode_steps(law: Law, linear: &[i16], coded: &mut [u8]) -> bool {
    match law {
        Law::Mu => in_steps(linear, coded, |from, to| encode_mu(from, to)),
        Law::A => in_steps(linear, coded, |from, to| encode_a(from, to)),
    }
}

#[target_feature(enable = "neon")]
fn decode_steps(law: Law, coded: &[u8], linear: &mut [i16]) -> bool {
    match law {
        Law::Mu => in_steps(coded, linear, |from, to| decode_mu(from, to)),
        Law::A => in_steps(coded, linear, |from, to| decode_a(from, to)),
    }
}

/// Encodes with NEON; what is shorter than a step without.
#[inline]
pub fn g711_encode(law: Law, linear: &[i16], coded: &mut [u8]) {
    // SAFETY: the level says that the instructions are there.
    if !unsafe { encode_steps(law, linear, coded) } {
        encode_plainly(law, linear, coded);
    }
}

/// Decodes with NEON; what is shorter than a step without.
#[inline]
pub fn g711_decode(law: Law, coded: &[u8], linear: &mut [i16]) {
    // SAFETY: the level says that the instructions are there.
    if !unsafe { decode_steps(law, coded, linear) } {
        decode_plainly(law, coded, linear);
    }
}
