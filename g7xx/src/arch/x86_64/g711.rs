//! G.711 with AVX2, 32 samples at a time.
//!
//! A companded code is a small floating-point number: segment is the exponent, step the mantissa. So
//! coding is a conversion to `f32`, of which the upper bits are kept, or a shift by what a table of 16
//! says, and decoding a sum of products of what such tables give for both halves of a code.

use crate::g711::{Law, decode_plainly, encode_plainly};
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
#[inline]
#[target_feature(enable = "avx2")]
fn table(values: &[u8; 16]) -> __m256i {
    // SAFETY: sixteen octets are one half of a register; loads need no alignment.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(values.as_ptr().cast()) })
}

/// The same value, about which the compiler knows nothing. It would make dearer instructions of the
/// blends and shuffles that put loaded values in order.
#[inline]
#[target_feature(enable = "avx2")]
fn opaque(mut x: __m256i) -> __m256i {
    // SAFETY: no instruction at all.
    unsafe {
        core::arch::asm!("/* {0} */", inout(ymm_reg) x, options(pure, nomem, nostack, preserves_flags));
    }
    x
}

/// Samples 0 to 7 and 16 to 23, then 8 to 15 and 24 to 31, so that packing gives them in sequence.
#[inline]
#[target_feature(enable = "avx2")]
fn load_samples(from: &[i16; STEP]) -> [__m256i; 2] {
    // SAFETY: sixteen samples from the first, the eighth and the sixteenth on are there; loads need no
    // alignment.
    let [first, middle, last] = unsafe {
        [
            _mm256_loadu_si256(from.as_ptr().cast()),
            _mm256_loadu_si256(from[8..].as_ptr().cast()),
            _mm256_loadu_si256(from[16..].as_ptr().cast()),
        ]
    };
    let middle = opaque(middle);
    [
        _mm256_blend_epi32::<0xF0>(first, middle),
        _mm256_blend_epi32::<0xF0>(middle, last),
    ]
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_octets(octets: __m256i, to: &mut [u8; STEP]) {
    // SAFETY: 32 octets are one register; stores need no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), octets) }
}

/// Codes of mu-law: a biased magnitude as `f32`, of which three bits of the exponent and four of the
/// mantissa are kept. All its segments are of one kind, so this takes less than tables.
#[inline]
#[target_feature(enable = "avx2")]
fn encode_mu(from: &[i16; STEP], to: &mut [u8; STEP]) {
    let samples = load_samples(from);
    let codes = samples.map(|s| {
        let magnitude = _mm256_max_epi16(s, _mm256_xor_si256(s, _mm256_set1_epi16(-1)));
        let biased = _mm256_adds_epi16(magnitude, _mm256_set1_epi16(132));
        // A pair as one integer is as good as its upper half times 2^16: rounding to 24 bits cannot
        // reach that half, since the upper bit of the lower half is zero and stops it.
        let convert = |x| _mm256_castps_si256(_mm256_cvtepi32_ps(x));
        let odd = convert(biased);
        let even = convert(_mm256_blend_epi16::<0xAA>(biased, _mm256_setzero_si256()));
        let floats = _mm256_blend_epi16::<0xAA>(_mm256_srli_epi32::<16>(even), odd);
        // The bias of the exponent goes, and so does the inversion of all bits: 255 less the code.
        let inverted = |exponent: i32| 255 + ((127 + 7 + exponent) << 4);
        let inverted = _mm256_set1_epi32(inverted(16) << 16 | inverted(0));
        _mm256_sub_epi16(inverted, _mm256_srli_epi16::<3>(floats))
    });
    let octets = _mm256_packus_epi16(codes[0], codes[1]);
    let signs = _mm256_packs_epi16(samples[0], samples[1]);
    let signs = _mm256_and_si256(signs, _mm256_set1_epi8(-128));
    store_octets(_mm256_xor_si256(octets, signs), to);
}

/// What the encoder of A-law looks up by the upper octet of a magnitude, of which sixteen kinds are
/// told apart: 0 to 7 as they are, 8 to 15, and 16 times 1 to 7.
struct Segments {
    /// Lower and upper octet of the factor whose product has the mantissa in its upper half.
    factors: [[u8; 16]; 2],
    /// What makes the code of a positive sample out of the mantissa, by exclusive or.
    codes: [u8; 16],
}

static A_SEGMENTS: Segments = {
    let mut segments = Segments {
        factors: [[0; 16]; 2],
        codes: [0; 16],
    };
    let mut kind = 0;
    while kind < 16 {
        let least: usize = if kind <= 8 { kind } else { (kind - 8) * 16 };
        let segment = (usize::BITS - least.leading_zeros()) as u8;
        // Segment 0 has the step of segment 1, and no leading one above its mantissa.
        let (shift, leading) = if segment == 0 {
            (1, 0)
        } else {
            (segment, 0x10)
        };
        let [low, high] = (1u16 << (13 - shift)).to_le_bytes();
        segments.factors[0][kind] = low;
        segments.factors[1][kind] = high;
        segments.codes[kind] = (segment << 4 ^ leading) ^ 0xD5;
        kind += 1;
    }
    segments
};

#[inline]
#[target_feature(enable = "avx2")]
fn encode_a(from: &[i16; STEP], to: &mut [u8; STEP]) {
    let samples = load_samples(from);
    let upper = samples.map(|s| _mm256_srai_epi16::<8>(s));
    let upper = _mm256_packs_epi16(upper[0], upper[1]);
    let negative = _mm256_cmpgt_epi8(_mm256_setzero_si256(), upper);
    let upper = _mm256_xor_si256(upper, negative);
    let kind = _mm256_add_epi8(
        _mm256_min_epu8(upper, _mm256_set1_epi8(8)),
        _mm256_and_si256(_mm256_srli_epi16::<4>(upper), _mm256_set1_epi8(7)),
    );
    let [low, high] = [0, 1].map(|k| _mm256_shuffle_epi8(table(&A_SEGMENTS.factors[k]), kind));
    // A product with a power of two shifts; of a negative sample, whose magnitude is its one's complement,
    // it gives the one's complement of the mantissa.
    let mantissas = _mm256_packs_epi16(
        _mm256_mulhi_epi16(samples[0], _mm256_unpacklo_epi8(low, high)),
        _mm256_mulhi_epi16(samples[1], _mm256_unpackhi_epi8(low, high)),
    );
    // That has the sign in its upper bit already. All other bits of a negative one are turned back.
    let codes = _mm256_shuffle_epi8(table(&A_SEGMENTS.codes), kind);
    let codes = _mm256_xor_si256(codes, _mm256_and_si256(negative, _mm256_set1_epi8(0x7F)));
    store_octets(_mm256_xor_si256(mantissas, codes), to);
}

/// Samples as sums of two products of octets, one factor of each by the step (the lower four bits of a
/// code), the other, signed, by sign and segment (the upper four). No sum leaves 16 bits.
struct Products {
    /// The first factor by step; the second is `more` more.
    steps: [u8; 16],
    /// What the second factor by step has more than the first, in 8 bits.
    more: u8,
    /// The factors by sign and segment.
    segments: [[u8; 16]; 2],
}

/// A magnitude of mu-law is (132 + 8 step) (2^segment - 1) + 8 step.
static MU_PRODUCTS: Products = {
    let mut products = Products {
        steps: [0; 16],
        more: 0u8.wrapping_sub(132),
        segments: [[0; 16]; 2],
    };
    let mut k = 0;
    while k < 16 {
        let inverted = 15 - k;
        let sign = if inverted & 8 == 0 { 1 } else { -1 };
        products.steps[k] = 132 + 8 * inverted as u8;
        products.segments[0][k] = (sign * ((1 << (inverted & 7)) - 1)) as u8;
        products.segments[1][k] = sign as u8;
        k += 1;
    }
    products
};

/// A magnitude of A-law is (130 + 8 step + 134 + 8 step) 2^(segment - 1), in segment 0
/// 65 (130 + 8 step) - 63 (134 + 8 step).
static A_PRODUCTS: Products = {
    let mut products = Products {
        steps: [0; 16],
        more: 4,
        segments: [[0; 16]; 2],
    };
    let mut k = 0;
    while k < 16 {
        let inverted = k ^ 5;
        let sign = if inverted & 8 == 0 { -1 } else { 1 };
        let (first, second) = match inverted & 7 {
            0 => (65, -63),
            segment => (1 << (segment - 1), 1 << (segment - 1)),
        };
        products.steps[k] = 130 + 8 * inverted as u8;
        products.segments[0][k] = (sign * first) as u8;
        products.segments[1][k] = (sign * second) as u8;
        k += 1;
    }
    products
};

#[inline]
#[target_feature(enable = "avx2")]
fn decode_step(products: &Products, from: &[u8; STEP], to: &mut [i16; STEP]) {
    // Ordered so that unpacking gives the samples in sequence.
    let [first, second] = [0, 16].map(|k| {
        // SAFETY: sixteen octets are there; loads need no alignment.
        let half = unsafe { _mm_loadu_si128(from[k..].as_ptr().cast()) };
        _mm256_castsi256_pd(opaque(_mm256_broadcastsi128_si256(half)))
    });
    let codes = _mm256_castpd_si256(_mm256_shuffle_pd::<0b1100>(first, second));
    let nibble = _mm256_set1_epi8(15);
    let step = _mm256_and_si256(codes, nibble);
    let segment = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), nibble);
    let step = _mm256_shuffle_epi8(table(&products.steps), step);
    let steps = [
        step,
        _mm256_add_epi8(step, _mm256_set1_epi8(products.more as i8)),
    ];
    let segments = [0, 1].map(|k| _mm256_shuffle_epi8(table(&products.segments[k]), segment));
    let samples = [
        _mm256_maddubs_epi16(
            _mm256_unpacklo_epi8(steps[0], steps[1]),
            _mm256_unpacklo_epi8(segments[0], segments[1]),
        ),
        _mm256_maddubs_epi16(
            _mm256_unpackhi_epi8(steps[0], steps[1]),
            _mm256_unpackhi_epi8(segments[0], segments[1]),
        ),
    ];
    for (k, samples) in samples.into_iter().enumerate() {
        // SAFETY: 32 samples are two registers; stores need no alignment.
        unsafe { _mm256_storeu_si256(to[16 * k..].as_mut_ptr().cast(), samples) }
    }
}

#[target_feature(enable = "avx2")]
fn encode_mu_law(linear: &[i16], coded: &mut [u8]) {
    if !in_steps(linear, coded, |from, to| encode_mu(from, to)) {
        encode_plainly(Law::Mu, linear, coded);
    }
}

#[target_feature(enable = "avx2")]
fn encode_a_law(linear: &[i16], coded: &mut [u8]) {
    if !in_steps(linear, coded, |from, to| encode_a(from, to)) {
        encode_plainly(Law::A, linear, coded);
    }
}

#[target_feature(enable = "avx2")]
fn decode_mu_law(coded: &[u8], linear: &mut [i16]) {
    if !in_steps(coded, linear, |from, to| {
        decode_step(&MU_PRODUCTS, from, to)
    }) {
        decode_plainly(Law::Mu, coded, linear);
    }
}

#[target_feature(enable = "avx2")]
fn decode_a_law(coded: &[u8], linear: &mut [i16]) {
    if !in_steps(coded, linear, |from, to| decode_step(&A_PRODUCTS, from, to)) {
        decode_plainly(Law::A, coded, linear);
    }
}

/// Encodes with AVX2; what is shorter than a step without.
#[inline]
pub fn encode(law: Law, linear: &[i16], coded: &mut [u8]) {
    // SAFETY: the level says that the instructions are there.
    unsafe {
        match law {
            Law::Mu => encode_mu_law(linear, coded),
            Law::A => encode_a_law(linear, coded),
        }
    }
}

/// Decodes with AVX2; what is shorter than a step without.
#[inline]
pub fn decode(law: Law, coded: &[u8], linear: &mut [i16]) {
    // SAFETY: the level says that the instructions are there.
    unsafe {
        match law {
            Law::Mu => decode_mu_law(coded, linear),
            Law::A => decode_a_law(coded, linear),
        }
    }
}
