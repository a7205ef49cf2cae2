//! G.711 with AVX-512, 64 samples at a time; what does not fill a step goes through masked loads and
//! stores.
//!
//! A companded code is a small floating-point number: segment is the exponent, step the mantissa.
//! The encoders look the segment up by the upper octet of the magnitude, for 64 samples at once: samples
//! 0 to 31 have their octets in even places, 32 to 63 in odd ones, until the very end. With VBMI one
//! instruction then takes the mantissa from any bit of a magnitude, and decoders are plain tables.

use crate::g711::{A_TO_LINEAR, A_TO_MU, Law, MU_TO_A, MU_TO_LINEAR};
use core::arch::x86_64::*;

/// Samples of a step.
const STEP: usize = 64;

/// Truth tables of three inputs: those of `a`, `b` and `c`, to be combined by logic.
const A: i32 = 0xF0;
const B: i32 = 0xCC;
const C: i32 = 0xAA;

/// Sixty-four octets as a register.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn octets(values: &[u8; 64]) -> __m512i {
    // SAFETY: 64 octets are one register; loads need no alignment.
    unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
}

/// Up to 64 octets, zeros behind them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_octets(from: &[u8]) -> __m512i {
    // SAFETY: only as many octets as there are get read.
    unsafe { _mm512_maskz_loadu_epi8(first(from.len()), from.as_ptr().cast()) }
}

/// Up to 64 samples, zeros behind them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_samples(from: &[i16]) -> [__m512i; 2] {
    let mask = first(from.len());
    let second = from.get(32..).unwrap_or_default();
    // SAFETY: only as many samples as there are get read.
    unsafe {
        [
            _mm512_maskz_loadu_epi16(mask as u32, from.as_ptr()),
            _mm512_maskz_loadu_epi16((mask >> 32) as u32, second.as_ptr()),
        ]
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn store_octets(to: &mut [u8], value: __m512i) {
    // SAFETY: only as many octets as there is room for are written.
    unsafe { _mm512_mask_storeu_epi8(to.as_mut_ptr().cast(), first(to.len()), value) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn store_samples(to: &mut [i16], values: [__m512i; 2]) {
    let mask = first(to.len());
    // SAFETY: only as many samples as there is room for are written.
    unsafe { _mm512_mask_storeu_epi16(to.as_mut_ptr(), mask as u32, values[0]) }
    if let Some(to) = to.get_mut(32..) {
        // SAFETY: the same, of what is left.
        unsafe { _mm512_mask_storeu_epi16(to.as_mut_ptr(), (mask >> 32) as u32, values[1]) }
    }
}

/// The first `count` bits, of 64 at most.
#[inline(always)]
const fn first(count: usize) -> u64 {
    if count >= 64 {
        u64::MAX
    } else {
        (1 << count) - 1
    }
}

/// Runs `step` over slices of one length.
macro_rules! in_steps {
    ($from:expr, $to:expr, $step:expr) => {{
        let length = $from.len().min($to.len());
        let (from, from_rest) = $from[..length].as_chunks::<STEP>();
        let (to, to_rest) = $to[..length].as_chunks_mut::<STEP>();
        for (from, to) in from.iter().zip(to) {
            $step(from, to);
        }
        if !from_rest.is_empty() {
            $step(from_rest, to_rest);
        }
    }};
}

/// Magnitudes of samples with the sign in the upper bit: for mu-law with the bias, limited.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn magnitude<const MU: bool>(samples: __m512i) -> __m512i {
    let sign = _mm512_srai_epi16::<15>(samples);
    let magnitude = _mm512_xor_si512(samples, sign);
    let biased = if MU {
        _mm512_adds_epi16(magnitude, _mm512_set1_epi16(132))
    } else {
        magnitude
    };
    _mm512_ternarylogic_epi32::<{ (A & !C) | (B & C) }>(biased, sign, _mm512_set1_epi16(i16::MIN))
}

/// Upper octets of both.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn upper_octets(even: __m512i, odd: __m512i) -> __m512i {
    merge(_mm512_srli_epi16::<8>(even), odd)
}

/// Even octets of the one, odd ones of the other.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn merge(even: __m512i, odd: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<{ (A & C) | (B & !C) }>(even, odd, _mm512_set1_epi16(0xFF))
}

/// Codes of signs, segments and mantissas.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn assemble<const MU: bool>(upper: __m512i, segments: __m512i, mantissas: __m512i) -> __m512i {
    let segments = _mm512_slli_epi16::<4>(segments);
    let low = _mm512_set1_epi8(15);
    let code = _mm512_ternarylogic_epi32::<{ (A & C) | (B & !C) }>(mantissas, segments, low);
    let sign = _mm512_set1_epi8(-128);
    if MU {
        // Everything is inverted, the sign too.
        _mm512_ternarylogic_epi32::<{ !((A & !C) | (B & C)) & 0xFF }>(code, upper, sign)
    } else {
        let code = _mm512_ternarylogic_epi32::<{ (A & !C) | (B & C) }>(code, upper, sign);
        _mm512_xor_si512(code, _mm512_set1_epi8(0xD5u8 as i8))
    }
}

/// The segment of a magnitude whose upper octet is `upper`, the same for both laws.
const fn segment(upper: usize) -> u8 {
    (usize::BITS - upper.leading_zeros()) as u8
}

/// Segments by the upper octet.
static SEGMENTS: [u8; 128] = {
    let mut table = [0; 128];
    let mut upper = 0;
    while upper < 128 {
        table[upper] = segment(upper);
        upper += 1;
    }
    table
};

/// Halves of a table.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn halves(table: &[u8; 128]) -> [__m512i; 2] {
    // SAFETY: 128 octets are two registers; loads need no alignment.
    unsafe {
        [
            _mm512_loadu_si512(table.as_ptr().cast()),
            _mm512_loadu_si512(table[64..].as_ptr().cast()),
        ]
    }
}

/// The order of octets that brings even ones to the front.
static IN_SEQUENCE: [u8; 64] = {
    let mut order = [0; 64];
    let mut k = 0;
    while k < 64 {
        order[k] = (k % 32 * 2 + k / 32) as u8;
        k += 1;
    }
    order
};

/// The bits of a magnitude in a group of four at which the mantissa starts in segment 0.
static STARTS: [u8; 64] = {
    let mut starts = [0; 64];
    let mut k = 0;
    while k < 64 {
        starts[k] = (k / 2 % 4 * 16 + 3) as u8;
        k += 1;
    }
    starts
};

/// Codes of 64 samples.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn codes_vbmi<const MU: bool>(samples: [__m512i; 2]) -> __m512i {
    let even = magnitude::<MU>(samples[0]);
    let odd = magnitude::<MU>(samples[1]);
    let upper = upper_octets(even, odd);
    let [low, high] = halves(&SEGMENTS);
    // The lookup does not see the sign.
    let segments = _mm512_permutex2var_epi8(low, upper, high);
    // In segment 0 A-law has the steps of segment 1.
    let shifts = if MU {
        segments
    } else {
        _mm512_max_epu8(segments, _mm512_set1_epi8(1))
    };
    let starts = _mm512_add_epi8(shifts, octets(&STARTS));
    // Emulators are wrong about a mask of octets here, so there is none.
    let mantissas = merge(
        _mm512_multishift_epi64_epi8(starts, even),
        _mm512_multishift_epi64_epi8(starts, odd),
    );
    let codes = assemble::<MU>(upper, segments, mantissas);
    _mm512_permutexvar_epi8(octets(&IN_SEQUENCE), codes)
}

/// Codes of 64 samples without VBMI.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn codes<const MU: bool>(samples: [__m512i; 2]) -> __m512i {
    let even = magnitude::<MU>(samples[0]);
    let odd = magnitude::<MU>(samples[1]);
    let upper = upper_octets(even, odd);
    let table = |values: [u8; 16]| {
        // SAFETY: any bits are a valid register.
        _mm512_broadcast_i32x4(unsafe { core::mem::transmute::<[u8; 16], __m128i>(values) })
    };
    // By the upper three bits of the octet, below the sign, and by the lower four.
    let by_high = table([0, 5, 6, 6, 7, 7, 7, 7, 0, 5, 6, 6, 7, 7, 7, 7]);
    let by_low = table([0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4]);
    let nibble = _mm512_set1_epi8(15);
    let high = _mm512_and_si512(_mm512_srli_epi16::<4>(upper), nibble);
    let low = _mm512_and_si512(upper, nibble);
    let segments = _mm512_max_epu8(
        _mm512_shuffle_epi8(by_high, high),
        _mm512_shuffle_epi8(by_low, low),
    );
    let shifts = if MU {
        segments
    } else {
        _mm512_max_epu8(segments, _mm512_set1_epi8(1))
    };
    let shifts = _mm512_add_epi8(shifts, _mm512_set1_epi8(3));
    let even = _mm512_srlv_epi16(even, _mm512_and_si512(shifts, _mm512_set1_epi16(0xFF)));
    let odd = _mm512_srlv_epi16(odd, _mm512_srli_epi16::<8>(shifts));
    let mantissas = merge(even, _mm512_slli_epi16::<8>(odd));
    let codes = assemble::<MU>(upper, segments, mantissas);
    // Even octets to the front, in each quarter and then of all.
    let order = table([0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15]);
    let codes = _mm512_shuffle_epi8(codes, order);
    _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), codes)
}

/// Samples of 32 codes by arithmetic.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn samples<const MU: bool>(codes: __m256i) -> __m512i {
    let codes = _mm512_cvtepu8_epi16(codes);
    let sign = _mm512_set1_epi16(0x80);
    if MU {
        let bias = _mm512_set1_epi16(132);
        let steps = _mm512_slli_epi16::<3>(codes);
        let mask = _mm512_set1_epi16(0x78);
        let mantissas = _mm512_ternarylogic_epi32::<{ (!A & B | C) & 0xFF }>(steps, mask, bias);
        let segments = _mm512_andnot_si512(_mm512_srli_epi16::<4>(codes), _mm512_set1_epi16(7));
        let biased = _mm512_sllv_epi16(mantissas, segments);
        let negative = _mm512_testn_epi16_mask(codes, sign);
        _mm512_mask_sub_epi16(_mm512_sub_epi16(biased, bias), negative, bias, biased)
    } else {
        let codes = _mm512_xor_si512(codes, _mm512_set1_epi16(0x55));
        let steps = _mm512_slli_epi16::<4>(codes);
        let (mask, half) = (_mm512_set1_epi16(0xF0), _mm512_set1_epi16(8));
        let mantissas = _mm512_ternarylogic_epi32::<{ A & B | C }>(steps, mask, half);
        // All segments but 0 have a leading one.
        let leading = _mm512_test_epi16_mask(codes, _mm512_set1_epi16(0x70));
        let mantissas =
            _mm512_mask_add_epi16(mantissas, leading, mantissas, _mm512_set1_epi16(0x100));
        let segments = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), _mm512_set1_epi16(7));
        let shifts = _mm512_subs_epu16(segments, _mm512_set1_epi16(1));
        let magnitude = _mm512_sllv_epi16(mantissas, shifts);
        let negative = _mm512_testn_epi16_mask(codes, sign);
        _mm512_mask_sub_epi16(magnitude, negative, _mm512_setzero_si512(), magnitude)
    }
}

/// Samples of 64 codes by arithmetic.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn both_halves<const MU: bool>(codes: __m512i) -> [__m512i; 2] {
    [
        samples::<MU>(_mm512_castsi512_si256(codes)),
        samples::<MU>(_mm512_extracti64x4_epi64::<1>(codes)),
    ]
}

/// Octets of the magnitudes by code without the sign: lower ones, then upper ones.
struct Magnitudes([[u8; 128]; 2]);

impl Magnitudes {
    const fn new(linear: &[i16; 256]) -> Self {
        let mut octets = [[0; 128]; 2];
        let mut code = 0;
        while code < 128 {
            // Codes with the upper bit are the positive values.
            let [low, high] = linear[128 + code].to_le_bytes();
            octets[0][code] = low;
            octets[1][code] = high;
            code += 1;
        }
        Self(octets)
    }
}

static MU_MAGNITUDES: Magnitudes = Magnitudes::new(&MU_TO_LINEAR);
static A_MAGNITUDES: Magnitudes = Magnitudes::new(&A_TO_LINEAR);

/// Samples of 64 codes by tables.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn samples_vbmi(codes: __m512i, magnitudes: &Magnitudes) -> [__m512i; 2] {
    let positive = _mm512_movepi8_mask(codes);
    // So that unpacking gives them in sequence.
    let codes = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), codes);
    let [low, high] = [0, 1].map(|k| halves(&magnitudes.0[k]));
    let low = _mm512_permutex2var_epi8(low[0], codes, low[1]);
    let high = _mm512_permutex2var_epi8(high[0], codes, high[1]);
    let first = _mm512_unpacklo_epi8(low, high);
    let second = _mm512_unpackhi_epi8(low, high);
    let zero = _mm512_setzero_si512();
    [
        _mm512_mask_sub_epi16(first, !positive as u32, zero, first),
        _mm512_mask_sub_epi16(second, (!positive >> 32) as u32, zero, second),
    ]
}

/// Octets that a table of 256 has for octets.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn look_up(octets: __m512i, table: &[[u8; 128]; 2]) -> __m512i {
    let [low, high] = [0, 1].map(|k| {
        let [first, second] = halves(&table[k]);
        _mm512_permutex2var_epi8(first, octets, second)
    });
    _mm512_mask_blend_epi8(_mm512_movepi8_mask(octets), low, high)
}

#[target_feature(enable = "avx512f,avx512bw")]
fn encode_512(law: Law, linear: &[i16], coded: &mut [u8]) {
    match law {
        Law::Mu => in_steps!(linear, coded, |from: &[i16], to: &mut [u8]| {
            store_octets(to, codes::<true>(load_samples(from)));
        }),
        Law::A => in_steps!(linear, coded, |from: &[i16], to: &mut [u8]| {
            store_octets(to, codes::<false>(load_samples(from)));
        }),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn encode_vbmi(law: Law, linear: &[i16], coded: &mut [u8]) {
    match law {
        Law::Mu => in_steps!(linear, coded, |from: &[i16], to: &mut [u8]| {
            store_octets(to, codes_vbmi::<true>(load_samples(from)));
        }),
        Law::A => in_steps!(linear, coded, |from: &[i16], to: &mut [u8]| {
            store_octets(to, codes_vbmi::<false>(load_samples(from)));
        }),
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn decode_512(law: Law, coded: &[u8], linear: &mut [i16]) {
    match law {
        Law::Mu => in_steps!(coded, linear, |from: &[u8], to: &mut [i16]| {
            store_samples(to, both_halves::<true>(load_octets(from)));
        }),
        Law::A => in_steps!(coded, linear, |from: &[u8], to: &mut [i16]| {
            store_samples(to, both_halves::<false>(load_octets(from)));
        }),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn decode_vbmi(law: Law, coded: &[u8], linear: &mut [i16]) {
    let magnitudes = match law {
        Law::Mu => &MU_MAGNITUDES,
        Law::A => &A_MAGNITUDES,
    };
    in_steps!(coded, linear, |from: &[u8], to: &mut [i16]| {
        store_samples(to, samples_vbmi(load_octets(from), magnitudes));
    });
}

#[target_feature(enable = "avx512f,avx512bw")]
fn transcode_512(from: Law, coded: &mut [u8]) {
    let (steps, rest) = coded.as_chunks_mut::<STEP>();
    let rest = (!rest.is_empty()).then_some(rest);
    for octets in steps.iter_mut().map(|step| &mut step[..]).chain(rest) {
        let loaded = load_octets(octets);
        let converted = match from {
            Law::Mu => codes::<false>(both_halves::<true>(loaded)),
            Law::A => codes::<true>(both_halves::<false>(loaded)),
        };
        store_octets(octets, converted);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn transcode_vbmi(from: Law, coded: &mut [u8]) {
    let table = match from {
        Law::Mu => &MU_TO_A,
        Law::A => &A_TO_MU,
    };
    let (table, _) = table.as_chunks::<128>();
    let table = table.first_chunk().expect("twice 128 is 256");
    let (steps, rest) = coded.as_chunks_mut::<STEP>();
    let rest = (!rest.is_empty()).then_some(rest);
    for octets in steps.iter_mut().map(|step| &mut step[..]).chain(rest) {
        store_octets(octets, look_up(load_octets(octets), table));
    }
}

/// Encodes with AVX-512, and with VBMI where `vbmi` says that it is there.
#[inline]
pub fn encode(vbmi: bool, law: Law, linear: &[i16], coded: &mut [u8]) {
    // SAFETY: the level says that the instructions are there.
    unsafe {
        if vbmi {
            encode_vbmi(law, linear, coded)
        } else {
            encode_512(law, linear, coded)
        }
    }
}

/// Decodes with AVX-512, and with VBMI where `vbmi` says that it is there.
#[inline]
pub fn decode(vbmi: bool, law: Law, coded: &[u8], linear: &mut [i16]) {
    // SAFETY: the level says that the instructions are there.
    unsafe {
        if vbmi {
            decode_vbmi(law, coded, linear)
        } else {
            decode_512(law, coded, linear)
        }
    }
}

/// From one law to the other, with VBMI where `vbmi` says that it is there.
#[inline]
pub fn transcode(vbmi: bool, from: Law, coded: &mut [u8]) {
    // SAFETY: the level says that the instructions are there.
    unsafe {
        if vbmi {
            transcode_vbmi(from, coded)
        } else {
            transcode_512(from, coded)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::x86_64::{has_avx512, has_vbmi};

    /// What one of the two gives in place of what the other gives, for all inputs, as text.
    fn differences(vbmi: bool, law: Law) -> Vec<String> {
        let mut found = Vec::new();
        let all: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        let mut coded = vec![0; all.len()];
        encode(vbmi, law, &all, &mut coded);
        for (linear, code) in all.iter().zip(&coded) {
            let mut expected = [0];
            crate::g711::encode_plainly(law, &[*linear], &mut expected);
            if expected[0] != *code {
                found.push(format!("{linear} to {code:02x}, not {:02x}", expected[0]));
            }
        }
        let codes: Vec<u8> = (0..=255).collect();
        let mut linear = [0; 256];
        decode(vbmi, law, &codes, &mut linear);
        let mut other = codes.clone();
        transcode(vbmi, law, &mut other);
        let (table, other_table) = match law {
            Law::Mu => (&MU_TO_LINEAR, &MU_TO_A),
            Law::A => (&A_TO_LINEAR, &A_TO_MU),
        };
        for code in 0..256 {
            if linear[code] != table[code] {
                found.push(format!(
                    "{code:02x} to {}, not {}",
                    linear[code], table[code]
                ));
            }
            if other[code] != other_table[code] {
                found.push(format!(
                    "{code:02x} to code {:02x}, not {:02x}",
                    other[code], other_table[code]
                ));
            }
        }
        found
    }

    #[test]
    fn all_inputs_give_what_the_tables_give() {
        for (vbmi, there) in [(false, has_avx512()), (true, has_vbmi())] {
            if !there {
                eprintln!("SKIPPED: AVX-512{}", if vbmi { " with VBMI" } else { "" });
                continue;
            }
            for law in [Law::Mu, Law::A] {
                let found = differences(vbmi, law);
                let few = &found[..found.len().min(20)];
                assert!(
                    found.is_empty(),
                    "vbmi {vbmi}, {law:?}: {} wrong: {few:?}",
                    found.len()
                );
            }
        }
    }
}
