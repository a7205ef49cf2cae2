//! G.711 with AVX2, 32 samples at a time.
//!
//! A companded code is a small floating-point number: segment is the exponent, step the mantissa. So
//! coding is a conversion to `f32`, of which the upper bits are kept, and decoding a multiplication
//! by a power of two.

use crate::g711::Law;
use core::arch::x86_64::*;

/// Samples of a step.
const STEP: usize = 32;

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
    for (from, to) in from
        .as_chunks::<STEP>()
        .0
        .iter()
        .zip(to.as_chunks_mut::<STEP>().0)
    {
        step(from, to);
    }
    if !length.is_multiple_of(STEP)
        && let (Some(from), Some(to)) = (from.last_chunk(), to.last_chunk_mut())
    {
        step(from, to);
    }
    true
}

/// Values of a lookup in both halves of a register.
#[inline(always)]
fn table(values: [i8; 16]) -> __m256i {
    // SAFETY: any bits are a valid register; callers have AVX2.
    unsafe { _mm256_broadcastsi128_si256(core::mem::transmute::<[i8; 16], __m128i>(values)) }
}

/// The first sixteen in the even octets, the others in the odd ones.
#[inline]
#[target_feature(enable = "avx2")]
fn weave(even: __m256i, odd: __m256i) -> __m256i {
    _mm256_blendv_epi8(even, odd, _mm256_set1_epi16(0xFF00u16 as i16))
}

/// Codes of 32 magnitudes of 15 bits without their signs, woven. A code is the segment and, below it,
/// the four bits after the leading one: the magnitude shifted right by `KEPT` and a number of bits more
/// that comes from its upper seven bits, by tables of their two halves.
#[inline]
#[target_feature(enable = "avx2")]
fn segments<const KEPT: i32>(
    magnitudes: [__m256i; 2],
    of_low: [i8; 16],
    of_high: [i8; 16],
) -> __m256i {
    let nibble = _mm256_set1_epi8(15);
    let upper = weave(_mm256_srli_epi16::<8>(magnitudes[0]), magnitudes[1]);
    let low = _mm256_shuffle_epi8(table(of_low), _mm256_and_si256(upper, nibble));
    let high = _mm256_and_si256(_mm256_srli_epi16::<4>(upper), nibble);
    let shift = _mm256_max_epu8(low, _mm256_shuffle_epi8(table(of_high), high));
    // A shift down is half a product by a power of two, which shifts by one more.
    let powers = table([-128, 64, 32, 16, 8, 4, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    let factors = _mm256_shuffle_epi8(powers, shift);
    let even = _mm256_mulhi_epu16(magnitudes[0], _mm256_slli_epi16::<8>(factors));
    let mask = _mm256_set1_epi16(0xFF00u16 as i16);
    let odd = _mm256_mulhi_epu16(magnitudes[1], _mm256_and_si256(factors, mask));
    let codes = match KEPT {
        4 => weave(_mm256_srli_epi16::<3>(even), _mm256_slli_epi16::<5>(odd)),
        _ => weave(_mm256_srli_epi16::<2>(even), _mm256_slli_epi16::<6>(odd)),
    };
    _mm256_add_epi8(codes, _mm256_slli_epi16::<4>(shift))
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_samples(from: &[i16; STEP]) -> [__m256i; 2] {
    // SAFETY: 32 samples are two registers; loads need no alignment.
    unsafe {
        [
            _mm256_loadu_si256(from.as_ptr().cast()),
            _mm256_loadu_si256(from[16..].as_ptr().cast()),
        ]
    }
}

/// Puts signs and inversions into woven codes.
#[inline]
#[target_feature(enable = "avx2")]
fn store_codes(codes: __m256i, samples: [__m256i; 2], inversion: i8, to: &mut [u8; STEP]) {
    let signs = weave(_mm256_srli_epi16::<8>(samples[0]), samples[1]);
    let signs = _mm256_and_si256(signs, _mm256_set1_epi8(-128));
    let octets = _mm256_xor_si256(codes, _mm256_xor_si256(signs, _mm256_set1_epi8(inversion)));
    let order = table([0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15]);
    let octets = _mm256_permute4x64_epi64::<0xD8>(_mm256_shuffle_epi8(octets, order));
    // SAFETY: 32 octets are one register; stores need no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), octets) }
}

/// One's complement of what is negative.
#[inline]
#[target_feature(enable = "avx2")]
fn magnitude(sample: __m256i) -> __m256i {
    _mm256_max_epi16(sample, _mm256_xor_si256(sample, _mm256_set1_epi16(-1)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn encode_mu(from: &[i16; STEP], to: &mut [u8; STEP]) {
    let samples = load_samples(from);
    let biased = samples.map(|s| _mm256_adds_epi16(magnitude(s), _mm256_set1_epi16(132)));
    let of_low = [0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4];
    let of_high = [0, 5, 6, 6, 7, 7, 7, 7, 0, 0, 0, 0, 0, 0, 0, 0];
    // The leading one is not part of the code.
    let codes = _mm256_sub_epi8(segments::<3>(biased, of_low, of_high), _mm256_set1_epi8(16));
    store_codes(codes, samples, -1, to);
}

#[inline]
#[target_feature(enable = "avx2")]
fn encode_a(from: &[i16; STEP], to: &mut [u8; STEP]) {
    let samples = load_samples(from);
    let magnitudes = samples.map(|s| magnitude(s));
    // Segment 0 has the step of segment 1. In all others the leading one makes up for a shift that is
    // one less than the segment.
    let of_low = [0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3];
    let of_high = [0, 4, 5, 5, 6, 6, 6, 6, 0, 0, 0, 0, 0, 0, 0, 0];
    let codes = segments::<4>(magnitudes, of_low, of_high);
    store_codes(codes, samples, 0xD5u8 as i8, to);
}

/// Multiplies mantissas by powers of two, takes `bias` off and puts the signs in.
#[inline]
#[target_feature(enable = "avx2")]
fn store_samples(
    mantissas: [__m256i; 2],
    powers: __m256i,
    negative: __m256i,
    bias: i16,
    to: &mut [i16; STEP],
) {
    let zero = _mm256_setzero_si256();
    let powers = [
        _mm256_unpacklo_epi8(powers, zero),
        _mm256_unpackhi_epi8(powers, zero),
    ];
    let signs = [
        _mm256_unpacklo_epi8(negative, negative),
        _mm256_unpackhi_epi8(negative, negative),
    ];
    for k in 0..2 {
        let magnitude = _mm256_sub_epi16(
            _mm256_mullo_epi16(mantissas[k], powers[k]),
            _mm256_set1_epi16(bias),
        );
        let sample = _mm256_sub_epi16(_mm256_xor_si256(magnitude, signs[k]), signs[k]);
        // SAFETY: 32 samples are two registers; stores need no alignment.
        unsafe { _mm256_storeu_si256(to[16 * k..].as_mut_ptr().cast(), sample) }
    }
}

/// Octets without their inversion, ordered so that unpacking gives them in sequence.
#[inline]
#[target_feature(enable = "avx2")]
fn load_codes(from: &[u8; STEP], inversion: i8) -> __m256i {
    // SAFETY: 32 octets are one register; loads need no alignment.
    let octets = unsafe { _mm256_loadu_si256(from.as_ptr().cast()) };
    _mm256_xor_si256(
        _mm256_permute4x64_epi64::<0xD8>(octets),
        _mm256_set1_epi8(inversion),
    )
}

#[inline]
#[target_feature(enable = "avx2")]
fn decode_mu(from: &[u8; STEP], to: &mut [i16; STEP]) {
    let codes = load_codes(from, -1);
    let powers = table([1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128]);
    let segments = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), _mm256_set1_epi8(7));
    let powers = _mm256_shuffle_epi8(powers, segments);
    let steps = _mm256_slli_epi16::<3>(_mm256_and_si256(codes, _mm256_set1_epi8(15)));
    let mantissas = _mm256_add_epi8(steps, _mm256_set1_epi8(132u8 as i8));
    let zero = _mm256_setzero_si256();
    let mantissas = [
        _mm256_unpacklo_epi8(mantissas, zero),
        _mm256_unpackhi_epi8(mantissas, zero),
    ];
    let negative = _mm256_cmpgt_epi8(zero, codes);
    store_samples(mantissas, powers, negative, 132, to);
}

#[inline]
#[target_feature(enable = "avx2")]
fn decode_a(from: &[u8; STEP], to: &mut [i16; STEP]) {
    let codes = load_codes(from, 0x55);
    let powers = table([1, 1, 2, 4, 8, 16, 32, 64, 1, 1, 2, 4, 8, 16, 32, 64]);
    let leading = table([0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1]);
    let segments = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), _mm256_set1_epi8(7));
    let powers = _mm256_shuffle_epi8(powers, segments);
    // The upper octet of a mantissa is the leading one that all but segment 0 have.
    let leading = _mm256_shuffle_epi8(leading, segments);
    let steps = _mm256_slli_epi16::<4>(_mm256_and_si256(codes, _mm256_set1_epi8(15)));
    let mantissas = _mm256_or_si256(steps, _mm256_set1_epi8(8));
    let mantissas = [
        _mm256_unpacklo_epi8(mantissas, leading),
        _mm256_unpackhi_epi8(mantissas, leading),
    ];
    let negative = _mm256_cmpgt_epi8(codes, _mm256_set1_epi8(-1));
    store_samples(mantissas, powers, negative, 0, to);
}

#[target_feature(enable = "avx2")]
fn encode_avx2(law: Law, linear: &[i16], coded: &mut [u8]) -> bool {
    match law {
        Law::Mu => in_steps(linear, coded, |from, to| encode_mu(from, to)),
        Law::A => in_steps(linear, coded, |from, to| encode_a(from, to)),
    }
}

#[target_feature(enable = "avx2")]
fn decode_avx2(law: Law, coded: &[u8], linear: &mut [i16]) -> bool {
    match law {
        Law::Mu => in_steps(coded, linear, |from, to| decode_mu(from, to)),
        Law::A => in_steps(coded, linear, |from, to| decode_a(from, to)),
    }
}

/// Encodes with AVX2; false when there is too little to do.
#[inline]
pub fn encode(law: Law, linear: &[i16], coded: &mut [u8]) -> bool {
    // SAFETY: the level says that the instructions are there.
    unsafe { encode_avx2(law, linear, coded) }
}

/// Decodes with AVX2; false when there is too little to do.
#[inline]
pub fn decode(law: Law, coded: &[u8], linear: &mut [i16]) -> bool {
    // SAFETY: the level says that the instructions are there.
    unsafe { decode_avx2(law, coded, linear) }
}
