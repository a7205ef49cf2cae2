//! Vectors of sixteen lanes with AVX-512.

use super::v256::transpose_32;
use crate::arch::vector::{Mask, Vector};
use core::arch::x86_64::*;

/// Nothing.
// SAFETY: any bits are a valid register.
const ZERO_256: __m256i = unsafe { core::mem::transmute([0u8; 32]) };

/// Sixteen lanes. Only functions that are compiled for AVX-512 (F, BW, CD, DQ) name this type.
#[derive(Clone, Copy, Debug)]
pub struct V512(__m512i);

impl Vector<16> for V512 {
    type Lanes = __mmask16;

    #[inline(always)]
    fn load(row: &[i32; 16]) -> Self {
        // SAFETY: a row is one register; no alignment is needed.
        unsafe { Self(_mm512_loadu_epi32(row.as_ptr())) }
    }

    #[inline(always)]
    fn store(self, row: &mut [i32; 16]) {
        // SAFETY: a row is one register; no alignment is needed.
        unsafe {
            _mm512_storeu_epi32(row.as_mut_ptr(), self.0);
        }
    }

    #[inline(always)]
    fn splat(value: i32) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm512_set1_epi32(value)) }
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm512_add_epi32(self.0, other.0)) }
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm512_sub_epi32(self.0, other.0)) }
    }

    #[inline(always)]
    fn pairs(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm512_madd_epi16(self.0, other.0)) }
    }

    #[inline(always)]
    fn down<const BITS: u32>(self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm512_srai_epi32::<BITS>(self.0)) }
    }

    #[inline(always)]
    fn down_unsigned<const BITS: u32>(self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm512_srli_epi32::<BITS>(self.0)) }
    }

    #[inline(always)]
    fn up<const BITS: u32>(self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm512_slli_epi32::<BITS>(self.0)) }
    }

    #[inline(always)]
    fn down_by(self, bits: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm512_srav_epi32(self.0, bits.0)) }
    }

    #[inline(always)]
    fn up_by(self, bits: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm512_sllv_epi32(self.0, bits.0)) }
    }

    #[inline(always)]
    fn magnitude(self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm512_abs_epi32(self.0)) }
    }

    #[inline(always)]
    fn at_most(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm512_min_epi32(self.0, other.0)) }
    }

    #[inline(always)]
    fn at_least(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm512_max_epi32(self.0, other.0)) }
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm512_and_si512(self.0, other.0)) }
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm512_or_si512(self.0, other.0)) }
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm512_xor_si512(self.0, other.0)) }
    }

    #[inline(always)]
    fn under(self, high: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe {
            Self(_mm512_mask_blend_epi16(
                0xAAAA_AAAA,
                self.0,
                _mm512_slli_epi32::<16>(high.0),
            ))
        }
    }

    #[inline(always)]
    fn above(self, other: Self) -> __mmask16 {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { _mm512_cmpgt_epi32_mask(self.0, other.0) }
    }

    #[inline(always)]
    fn equal(self, other: Self) -> __mmask16 {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { _mm512_cmpeq_epi32_mask(self.0, other.0) }
    }

    #[inline(always)]
    fn select(self, lanes: __mmask16, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm512_mask_blend_epi32(lanes, other.0, self.0)) }
    }

    #[inline(always)]
    fn negate_where(self, lanes: __mmask16) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe {
            Self(_mm512_mask_sub_epi32(
                self.0,
                lanes,
                _mm512_setzero_si512(),
                self.0,
            ))
        }
    }

    #[inline(always)]
    fn mask(lanes: __mmask16) -> Mask {
        lanes
    }

    #[inline(always)]
    fn negative(self) -> Mask {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { _mm512_movepi32_mask(self.0) }
    }

    #[inline(always)]
    fn scaled_sum_below(self, factor: f32, other: Self, other_factor: f32, limit: f32) -> Mask {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe {
            let a = _mm512_mul_ps(_mm512_cvtepi32_ps(self.0), _mm512_set1_ps(factor));
            let b = _mm512_mul_ps(_mm512_cvtepi32_ps(other.0), _mm512_set1_ps(other_factor));
            _mm512_cmp_ps_mask::<_CMP_LT_OQ>(_mm512_add_ps(a, b), _mm512_set1_ps(limit))
        }
    }

    #[inline(always)]
    fn product_below(self, other: Self, limit: f32) -> Mask {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe {
            let product = _mm512_mul_ps(_mm512_cvtepi32_ps(self.0), _mm512_cvtepi32_ps(other.0));
            _mm512_cmp_ps_mask::<_CMP_LT_OQ>(product, _mm512_set1_ps(limit))
        }
    }

    #[inline(always)]
    fn gather(channels: &[&[i16]; 16], at: usize) -> [Self; 8] {
        let mut rows = [ZERO_256; 8];
        for (k, row) in rows.iter_mut().enumerate() {
            let (low, high) = (&channels[k][at..at + 8], &channels[k + 8][at..at + 8]);
            // SAFETY: whoever names this type is compiled for its instructions; eight values are
            // there, and loads need no alignment.
            unsafe {
                *row = _mm256_set_m128i(
                    _mm_loadu_si128(high.as_ptr().cast()),
                    _mm_loadu_si128(low.as_ptr().cast()),
                );
            }
        }
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { transpose(rows).map(|row| Self(_mm512_cvtepi16_epi32(row))) }
    }

    #[inline(always)]
    fn scatter(values: [Self; 8], channels: &mut [&mut [i16]; 16], at: usize) {
        // SAFETY: whoever names this type is compiled for its instructions.
        let columns = unsafe { transpose(values.map(|value| _mm512_cvtsepi32_epi16(value.0))) };
        let (low, high) = channels.split_at_mut(8);
        for ((low, high), column) in low.iter_mut().zip(high).zip(columns) {
            let (low, high) = (&mut low[at..at + 8], &mut high[at..at + 8]);
            // SAFETY: as above; eight values are there, and stores need no alignment.
            unsafe {
                _mm_storeu_si128(low.as_mut_ptr().cast(), _mm256_castsi256_si128(column));
                let column = _mm256_extracti128_si256::<1>(column);
                _mm_storeu_si128(high.as_mut_ptr().cast(), column);
            }
        }
    }

    #[inline(always)]
    fn gather_pairs(channels: &[&[i16]; 16], at: usize) -> [Self; 8] {
        let mut rows = [[ZERO_256; 8]; 2];
        for (k, channel) in channels.iter().enumerate() {
            let from = &channel[at..at + 16];
            // SAFETY: whoever names this type is compiled for its instructions; sixteen values are
            // there, and loads need no alignment.
            rows[k / 8][k % 8] = unsafe { _mm256_loadu_si256(from.as_ptr().cast()) };
        }
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { sixteen_lanes(transpose_32(rows[0]), transpose_32(rows[1])) }
    }

    #[inline(always)]
    fn scatter_pairs(values: [Self; 8], channels: &mut [&mut [i16]; 16], at: usize) {
        // SAFETY: whoever names this type is compiled for its instructions.
        let columns = unsafe {
            [
                transpose_32(values.map(|value| _mm512_castsi512_si256(value.0))),
                transpose_32(values.map(|value| _mm512_extracti64x4_epi64::<1>(value.0))),
            ]
        };
        for (channel, column) in channels.iter_mut().zip(columns.as_flattened()) {
            let to = &mut channel[at..at + 16];
            // SAFETY: as above; sixteen values are there, and stores need no alignment.
            unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), *column) }
        }
    }

    #[inline(always)]
    fn narrow(self, high: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe {
            let packed = _mm512_packs_epi32(self.0, high.0);
            let order = _mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
            Self(_mm512_shuffle_epi8(packed, _mm512_broadcast_i32x4(order)))
        }
    }

    #[inline(always)]
    fn halves_down<const BITS: u32>(self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm512_srai_epi16::<BITS>(self.0)) }
    }

    #[inline(always)]
    fn halves_plus(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm512_add_epi16(self.0, other.0)) }
    }

    #[inline(always)]
    fn halves_plus_limited(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm512_adds_epi16(self.0, other.0)) }
    }

    #[inline(always)]
    fn halves_minus_limited(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm512_subs_epi16(self.0, other.0)) }
    }

    #[inline(always)]
    fn halves_high(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm512_mulhi_epi16(self.0, other.0)) }
    }

    #[inline(always)]
    fn halves_magnitude(self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm512_abs_epi16(self.0)) }
    }

    #[inline(always)]
    fn halves_at_least(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm512_max_epu16(self.0, other.0)) }
    }

    #[inline(always)]
    fn times_15(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe {
            let even = _mm512_mul_epi32(self.0, other.0);
            let odd = _mm512_mul_epi32(
                _mm512_srli_epi64::<32>(self.0),
                _mm512_srli_epi64::<32>(other.0),
            );
            Self(_mm512_mask_blend_epi32(
                0xAAAA,
                _mm512_srli_epi64::<15>(even),
                _mm512_slli_epi64::<17>(odd),
            ))
        }
    }

    #[inline(always)]
    fn quotient(self, divisor: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe {
            let low_half = |x| _mm512_srai_epi32::<16>(_mm512_slli_epi32::<16>(x));
            let (a, b) = (low_half(self.0), low_half(divisor.0));
            let a_15 = _mm512_slli_epi32::<15>(a);
            // At most rounded up to the next whole number, which the rest shows.
            let q = _mm512_div_ps(_mm512_cvtepi32_ps(a_15), _mm512_cvtepi32_ps(b));
            let q = _mm512_cvttps_epi32(q);
            let rest = _mm512_sub_epi32(a_15, _mm512_mullo_epi32(q, b));
            let q = _mm512_add_epi32(q, _mm512_srai_epi32::<31>(rest));
            let smaller = _mm512_cmpgt_epi32_mask(b, a);
            let q = _mm512_mask_blend_epi32(smaller, _mm512_set1_epi32(32767), q);
            let zero = _mm512_setzero_si512();
            let positive = _mm512_cmpgt_epi32_mask(a, zero) & _mm512_cmpgt_epi32_mask(b, zero);
            Self(_mm512_maskz_mov_epi32(positive, q))
        }
    }

    #[inline(always)]
    fn pair_at(table: &[i16], index: Self) -> Self {
        let last = table.len() - 2;
        // SAFETY: whoever names this type is compiled for its instructions; no index is larger than
        // that of the last but one, from which on four octets are there.
        unsafe {
            let index = _mm512_min_epu32(index.0, _mm512_set1_epi32(last as i32));
            Self(_mm512_i32gather_epi32::<2>(index, table.as_ptr().cast()))
        }
    }

    #[inline(always)]
    fn turn(channels: &[[i32; 8]; 16]) -> [Self; 8] {
        let mut rows = [[ZERO_256; 8]; 2];
        for (row, channel) in rows.as_flattened_mut().iter_mut().zip(channels) {
            // SAFETY: whoever names this type is compiled for its instructions; eight values are one
            // register, and loads need no alignment.
            *row = unsafe { _mm256_loadu_si256(channel.as_ptr().cast()) };
        }
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { sixteen_lanes(transpose_32(rows[0]), transpose_32(rows[1])) }
    }

    #[inline(always)]
    fn room(self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe {
            let bits = _mm512_xor_si512(self.0, _mm512_srai_epi32::<31>(self.0));
            let some = _mm512_test_epi32_mask(self.0, self.0);
            let zeros = _mm512_lzcnt_epi32(bits);
            Self(_mm512_maskz_sub_epi32(some, zeros, _mm512_set1_epi32(1)))
        }
    }
}

/// Rows of eight lanes beside eight others.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn sixteen_lanes(low: [__m256i; 8], high: [__m256i; 8]) -> [V512; 8] {
    core::array::from_fn(|k| {
        let low = _mm512_zextsi256_si512(low[k]);
        V512(_mm512_inserti64x4::<1>(low, high[k]))
    })
}

/// Rows of eight 16-bit values become columns, in each half by itself.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(r: [__m256i; 8]) -> [__m256i; 8] {
    let a = |k: usize| {
        (
            _mm256_unpacklo_epi16(r[k], r[k + 1]),
            _mm256_unpackhi_epi16(r[k], r[k + 1]),
        )
    };
    let ((a0, a1), (a2, a3), (a4, a5), (a6, a7)) = (a(0), a(2), a(4), a(6));
    let b = |x, y| (_mm256_unpacklo_epi32(x, y), _mm256_unpackhi_epi32(x, y));
    let ((b0, b1), (b2, b3)) = (b(a0, a2), b(a1, a3));
    let ((b4, b5), (b6, b7)) = (b(a4, a6), b(a5, a7));
    let c = |x, y| [_mm256_unpacklo_epi64(x, y), _mm256_unpackhi_epi64(x, y)];
    let ([c0, c1], [c2, c3]) = (c(b0, b4), c(b1, b5));
    let ([c4, c5], [c6, c7]) = (c(b2, b6), c(b3, b7));
    [c0, c1, c2, c3, c4, c5, c6, c7]
}
