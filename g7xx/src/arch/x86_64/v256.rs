//! Vectors of eight lanes with AVX2.

use crate::arch::vector::{Mask, Vector};
use core::arch::x86_64::*;

/// Eight lanes. Only functions that are compiled for AVX2 name this type.
#[derive(Clone, Copy, Debug)]
pub struct V256(__m256i);

impl Vector<8> for V256 {
    type Lanes = __m256i;

    #[inline(always)]
    fn load(row: &[i32; 8]) -> Self {
        // SAFETY: a row is one register; no alignment is needed.
        unsafe { Self(_mm256_loadu_si256(row.as_ptr().cast())) }
    }

    #[inline(always)]
    fn store(self, row: &mut [i32; 8]) {
        // SAFETY: a row is one register; no alignment is needed.
        unsafe {
            _mm256_storeu_si256(row.as_mut_ptr().cast(), self.0);
        }
    }

    #[inline(always)]
    fn splat(value: i32) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm256_set1_epi32(value)) }
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm256_add_epi32(self.0, other.0)) }
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm256_sub_epi32(self.0, other.0)) }
    }

    #[inline(always)]
    fn pairs(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm256_madd_epi16(self.0, other.0)) }
    }

    #[inline(always)]
    fn down<const BITS: u32>(self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm256_sra_epi32(self.0, _mm_cvtsi32_si128(BITS as i32))) }
    }

    #[inline(always)]
    fn down_unsigned<const BITS: u32>(self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm256_srl_epi32(self.0, _mm_cvtsi32_si128(BITS as i32))) }
    }

    #[inline(always)]
    fn up<const BITS: u32>(self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm256_sll_epi32(self.0, _mm_cvtsi32_si128(BITS as i32))) }
    }

    #[inline(always)]
    fn down_by(self, bits: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm256_srav_epi32(self.0, bits.0)) }
    }

    #[inline(always)]
    fn up_by(self, bits: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm256_sllv_epi32(self.0, bits.0)) }
    }

    #[inline(always)]
    fn magnitude(self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm256_abs_epi32(self.0)) }
    }

    #[inline(always)]
    fn at_most(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm256_min_epi32(self.0, other.0)) }
    }

    #[inline(always)]
    fn at_least(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm256_max_epi32(self.0, other.0)) }
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm256_and_si256(self.0, other.0)) }
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm256_or_si256(self.0, other.0)) }
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm256_xor_si256(self.0, other.0)) }
    }

    #[inline(always)]
    fn under(self, high: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe {
            Self(_mm256_blend_epi16::<0xAA>(
                self.0,
                _mm256_slli_epi32::<16>(high.0),
            ))
        }
    }

    #[inline(always)]
    fn above(self, other: Self) -> __m256i {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { _mm256_cmpgt_epi32(self.0, other.0) }
    }

    #[inline(always)]
    fn equal(self, other: Self) -> __m256i {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { _mm256_cmpeq_epi32(self.0, other.0) }
    }

    #[inline(always)]
    fn select(self, lanes: __m256i, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm256_blendv_epi8(other.0, self.0, lanes)) }
    }

    #[inline(always)]
    fn negate_where(self, lanes: __m256i) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm256_sub_epi32(_mm256_xor_si256(self.0, lanes), lanes)) }
    }

    #[inline(always)]
    fn mask(lanes: __m256i) -> Mask {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { _mm256_movemask_ps(_mm256_castsi256_ps(lanes)) as Mask }
    }

    #[inline(always)]
    fn negative(self) -> Mask {
        Self::mask(self.0)
    }

    #[inline(always)]
    fn scaled_sum_below(self, factor: f32, other: Self, other_factor: f32, limit: f32) -> Mask {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe {
            let a = _mm256_mul_ps(_mm256_cvtepi32_ps(self.0), _mm256_set1_ps(factor));
            let b = _mm256_mul_ps(_mm256_cvtepi32_ps(other.0), _mm256_set1_ps(other_factor));
            let below = _mm256_cmp_ps::<_CMP_LT_OQ>(_mm256_add_ps(a, b), _mm256_set1_ps(limit));
            _mm256_movemask_ps(below) as Mask
        }
    }

    #[inline(always)]
    fn product_below(self, other: Self, limit: f32) -> Mask {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe {
            let product = _mm256_mul_ps(_mm256_cvtepi32_ps(self.0), _mm256_cvtepi32_ps(other.0));
            let below = _mm256_cmp_ps::<_CMP_LT_OQ>(product, _mm256_set1_ps(limit));
            _mm256_movemask_ps(below) as Mask
        }
    }

    #[inline(always)]
    fn gather(channels: &[&[i16]; 8], at: usize) -> [Self; 8] {
        let loaded = channels.map(|channel| &channel[at..at + 8]);
        // SAFETY: whoever names this type is compiled for its instructions; eight values are
        // there, and loads need no alignment.
        unsafe {
            let loaded = loaded.map(|from| _mm_loadu_si128(from.as_ptr().cast()));
            transpose(loaded).map(|row| Self(_mm256_cvtepi16_epi32(row)))
        }
    }

    #[inline(always)]
    fn scatter(values: [Self; 8], channels: &mut [&mut [i16]; 8], at: usize) {
        // SAFETY: whoever names this type is compiled for its instructions.
        let columns = unsafe { transpose(values.map(|value| narrow(value.0))) };
        for (channel, column) in channels.iter_mut().zip(columns) {
            let to = &mut channel[at..at + 8];
            // SAFETY: eight values are there; stores need no alignment.
            unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), column) }
        }
    }

    #[inline(always)]
    fn gather_pairs(channels: &[&[i16]; 8], at: usize) -> [Self; 8] {
        // SAFETY: whoever names this type is compiled for its instructions.
        let mut rows = unsafe { [_mm256_setzero_si256(); 8] };
        for (row, channel) in rows.iter_mut().zip(channels) {
            let from = &channel[at..at + 16];
            // SAFETY: sixteen values are there, and loads need no alignment.
            *row = unsafe { _mm256_loadu_si256(from.as_ptr().cast()) };
        }
        // SAFETY: whoever names this type is compiled for its instructions.
        let [a, b, c, d, e, f, g, h] = unsafe { transpose_32(rows) };
        [
            Self(a),
            Self(b),
            Self(c),
            Self(d),
            Self(e),
            Self(f),
            Self(g),
            Self(h),
        ]
    }

    #[inline(always)]
    fn scatter_pairs(values: [Self; 8], channels: &mut [&mut [i16]; 8], at: usize) {
        let [a, b, c, d, e, f, g, h] = values;
        // SAFETY: whoever names this type is compiled for its instructions.
        let columns = unsafe { transpose_32([a.0, b.0, c.0, d.0, e.0, f.0, g.0, h.0]) };
        for (channel, column) in channels.iter_mut().zip(columns) {
            let to = &mut channel[at..at + 16];
            // SAFETY: sixteen values are there; stores need no alignment.
            unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), column) }
        }
    }

    #[inline(always)]
    fn narrow(self, high: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe {
            let packed = _mm256_packs_epi32(self.0, high.0);
            Self(_mm256_shuffle_epi8(packed, interleaving()))
        }
    }

    #[inline(always)]
    fn halves_down<const BITS: u32>(self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm256_sra_epi16(self.0, _mm_cvtsi32_si128(BITS as i32))) }
    }

    #[inline(always)]
    fn halves_plus(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm256_add_epi16(self.0, other.0)) }
    }

    #[inline(always)]
    fn halves_plus_limited(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm256_adds_epi16(self.0, other.0)) }
    }

    #[inline(always)]
    fn halves_minus_limited(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm256_subs_epi16(self.0, other.0)) }
    }

    #[inline(always)]
    fn halves_high(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm256_mulhi_epi16(self.0, other.0)) }
    }

    #[inline(always)]
    fn halves_magnitude(self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm256_abs_epi16(self.0)) }
    }

    #[inline(always)]
    fn halves_at_least(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(_mm256_max_epu16(self.0, other.0)) }
    }

    #[inline(always)]
    fn times_15(self, other: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe {
            let even = _mm256_mul_epi32(self.0, other.0);
            let odd = _mm256_mul_epi32(
                _mm256_srli_epi64::<32>(self.0),
                _mm256_srli_epi64::<32>(other.0),
            );
            Self(_mm256_blend_epi32::<0xAA>(
                _mm256_srli_epi64::<15>(even),
                _mm256_slli_epi64::<17>(odd),
            ))
        }
    }

    #[inline(always)]
    fn quotient(self, divisor: Self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(quotient(self.0, divisor.0)) }
    }

    #[inline(always)]
    fn pair_at(table: &[i16], index: Self) -> Self {
        let last = table.len() - 2;
        // SAFETY: whoever names this type is compiled for its instructions; no index is larger than
        // that of the last but one, from which on four octets are there.
        unsafe {
            let index = _mm256_min_epu32(index.0, _mm256_set1_epi32(last as i32));
            Self(_mm256_i32gather_epi32::<2>(table.as_ptr().cast(), index))
        }
    }

    #[inline(always)]
    fn turn(channels: &[[i32; 8]; 8]) -> [Self; 8] {
        // SAFETY: whoever names this type is compiled for its instructions.
        let mut rows = unsafe { [_mm256_setzero_si256(); 8] };
        for (row, channel) in rows.iter_mut().zip(channels) {
            // SAFETY: eight values are one register; loads need no alignment.
            *row = unsafe { _mm256_loadu_si256(channel.as_ptr().cast()) };
        }
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { transpose_32(rows).map(Self) }
    }

    #[inline(always)]
    fn room(self) -> Self {
        // SAFETY: whoever names this type is compiled for its instructions.
        unsafe { Self(room(self.0)) }
    }
}

/// Operation `quotient`. A quotient of floats is at most rounded up to the next whole number, which the
/// rest shows.
#[inline]
#[target_feature(enable = "avx2")]
fn quotient(a: __m256i, b: __m256i) -> __m256i {
    let low_half = |x| _mm256_srai_epi32::<16>(_mm256_slli_epi32::<16>(x));
    let (a, b) = (low_half(a), low_half(b));
    let a_15 = _mm256_slli_epi32::<15>(a);
    let q = _mm256_div_ps(_mm256_cvtepi32_ps(a_15), _mm256_cvtepi32_ps(b));
    let q = _mm256_cvttps_epi32(q);
    let rest = _mm256_sub_epi32(a_15, _mm256_mullo_epi32(q, b));
    let q = _mm256_add_epi32(q, _mm256_srai_epi32::<31>(rest));
    let q = _mm256_blendv_epi8(_mm256_set1_epi32(32767), q, _mm256_cmpgt_epi32(b, a));
    let zero = _mm256_setzero_si256();
    let positive = _mm256_and_si256(_mm256_cmpgt_epi32(a, zero), _mm256_cmpgt_epi32(b, zero));
    _mm256_and_si256(q, positive)
}

/// Operation `room`: from the exponents of floats, whose mantissas are made too small to be rounded up
/// to the next power.
#[inline]
#[target_feature(enable = "avx2")]
fn room(x: __m256i) -> __m256i {
    let bits = _mm256_xor_si256(x, _mm256_srai_epi32::<31>(x));
    let bits = _mm256_andnot_si256(_mm256_srli_epi32::<1>(bits), bits);
    let exponent = _mm256_castps_si256(_mm256_cvtepi32_ps(bits));
    let exponent = _mm256_srli_epi32::<23>(exponent);
    let room = _mm256_sub_epi32(_mm256_set1_epi32(157), exponent);
    let room = _mm256_min_epi32(room, _mm256_set1_epi32(31));
    _mm256_andnot_si256(_mm256_cmpeq_epi32(x, _mm256_setzero_si256()), room)
}

/// Lanes limited to 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn narrow(value: __m256i) -> __m128i {
    _mm_packs_epi32(
        _mm256_castsi256_si128(value),
        _mm256_extracti128_si256::<1>(value),
    )
}

/// Rows of eight 16-bit values become columns.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(r: [__m128i; 8]) -> [__m128i; 8] {
    let a = |k: usize| {
        (
            _mm_unpacklo_epi16(r[k], r[k + 1]),
            _mm_unpackhi_epi16(r[k], r[k + 1]),
        )
    };
    let ((a0, a1), (a2, a3), (a4, a5), (a6, a7)) = (a(0), a(2), a(4), a(6));
    let b = |x, y| (_mm_unpacklo_epi32(x, y), _mm_unpackhi_epi32(x, y));
    let ((b0, b1), (b2, b3)) = (b(a0, a2), b(a1, a3));
    let ((b4, b5), (b6, b7)) = (b(a4, a6), b(a5, a7));
    let c = |x, y| [_mm_unpacklo_epi64(x, y), _mm_unpackhi_epi64(x, y)];
    let ([c0, c1], [c2, c3]) = (c(b0, b4), c(b1, b5));
    let ([c4, c5], [c6, c7]) = (c(b2, b6), c(b3, b7));
    [c0, c1, c2, c3, c4, c5, c6, c7]
}

/// Turns four low halves and four high halves of each half register into pairs.
#[inline]
#[target_feature(enable = "avx2")]
fn interleaving() -> __m256i {
    _mm256_broadcastsi128_si256(_mm_setr_epi8(
        0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15,
    ))
}

/// Rows of eight 32-bit values become columns.
#[inline]
#[target_feature(enable = "avx2")]
pub fn transpose_32(r: [__m256i; 8]) -> [__m256i; 8] {
    let a = |k: usize| {
        (
            _mm256_unpacklo_epi32(r[k], r[k + 1]),
            _mm256_unpackhi_epi32(r[k], r[k + 1]),
        )
    };
    let ((a0, a1), (a2, a3), (a4, a5), (a6, a7)) = (a(0), a(2), a(4), a(6));
    let b = |x, y| (_mm256_unpacklo_epi64(x, y), _mm256_unpackhi_epi64(x, y));
    let ((b0, b1), (b2, b3)) = (b(a0, a2), b(a1, a3));
    let ((b4, b5), (b6, b7)) = (b(a4, a6), b(a5, a7));
    let low = |x, y| _mm256_permute2x128_si256::<0x20>(x, y);
    let high = |x, y| _mm256_permute2x128_si256::<0x31>(x, y);
    [
        low(b0, b4),
        low(b1, b5),
        low(b2, b6),
        low(b3, b7),
        high(b0, b4),
        high(b1, b5),
        high(b2, b6),
        high(b3, b7),
    ]
}
