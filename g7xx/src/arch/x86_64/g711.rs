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

/// Codes of 16 magnitudes as `f32` exponent and four bits of mantissa.
#[inline]
#[target_feature(enable = "avx2")]
fn as_float(magnitude: __m256i) -> __m256i {
    let zero = _mm256_setzero_si256();
    let convert = |x| _mm256_srli_epi32::<19>(_mm256_castps_si256(_mm256_cvtepi32_ps(x)));
    _mm256_packus_epi32(
        convert(_mm256_unpacklo_epi16(magnitude, zero)),
        convert(_mm256_unpackhi_epi16(magnitude, zero)),
    )
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

/// Packs codes to octets and puts signs and inversions in.
#[inline]
#[target_feature(enable = "avx2")]
fn store_codes(codes: [__m256i; 2], samples: [__m256i; 2], inversion: i8, to: &mut [u8; STEP]) {
    let octets = _mm256_packus_epi16(codes[0], codes[1]);
    let signs = _mm256_packs_epi16(samples[0], samples[1]);
    let signs = _mm256_and_si256(signs, _mm256_set1_epi8(-128));
    let octets = _mm256_xor_si256(octets, _mm256_xor_si256(signs, _mm256_set1_epi8(inversion)));
    let octets = _mm256_permute4x64_epi64::<0xD8>(octets);
    // SAFETY: 32 octets are one register; stores need no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), octets) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn encode_mu(from: &[i16; STEP], to: &mut [u8; STEP]) {
    let samples = load_samples(from);
    let codes = samples.map(|s| {
        let magnitude = _mm256_xor_si256(s, _mm256_srai_epi16::<15>(s));
        let biased = _mm256_adds_epi16(magnitude, _mm256_set1_epi16(132));
        _mm256_sub_epi16(as_float(biased), _mm256_set1_epi16((127 + 7) << 4))
    });
    store_codes(codes, samples, -1, to);
}

#[inline]
#[target_feature(enable = "avx2")]
fn encode_a(from: &[i16; STEP], to: &mut [u8; STEP]) {
    let samples = load_samples(from);
    let codes = samples.map(|s| {
        let magnitude = _mm256_srli_epi16::<4>(_mm256_xor_si256(s, _mm256_srai_epi16::<15>(s)));
        // Segment 0 has the step of segment 1: below 16 the code is the magnitude itself.
        let sixteen = _mm256_set1_epi16(16);
        let code = as_float(_mm256_max_epi16(magnitude, sixteen));
        let code = _mm256_sub_epi16(code, _mm256_set1_epi16(((127 + 3) << 4) + 16));
        _mm256_add_epi16(code, _mm256_min_epi16(magnitude, sixteen))
    });
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
