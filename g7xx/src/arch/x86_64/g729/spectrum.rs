//! Linear prediction of one channel: autocorrelation, Levinson recursion, line spectral pairs.

use super::filter::eight_sums;
use super::load_16;
use crate::arch::Windowed;
use crate::g729::lpc::{Autocorrelation, Lsp, ORDER, Predictor, Stable};
use crate::g729::ops::*;
use core::arch::x86_64::*;

/// Samples of the window.
const WINDOW: usize = 240;

/// Kernel `autocorrelate`.
#[inline]
#[target_feature(enable = "avx2")]
pub fn autocorrelate(speech: &[i16; WINDOW], window: &[i16; WINDOW]) -> Windowed {
    // Zeros behind the window make every lag a sum over the whole.
    let mut y = [0i16; WINDOW + 16];
    let store = |y: &mut [i16], value| {
        let y = &mut y[..16];
        // SAFETY: sixteen values are one register; no alignment is needed.
        unsafe { _mm256_storeu_si256(y.as_mut_ptr().cast(), value) }
    };
    // The window has no -32768, so this product has no limit.
    for n in (0..WINDOW).step_by(16) {
        let product = _mm256_mulhrs_epi16(load_16(&speech[n..n + 16]), load_16(&window[n..n + 16]));
        store(&mut y[n..n + 16], product);
    }
    let energy = |y: &[i16; WINDOW + 16]| {
        let (mut low, mut high) = (_mm256_setzero_si256(), _mm256_setzero_si256());
        for n in (0..WINDOW).step_by(16) {
            let now = load_16(&y[n..n + 16]);
            // Two squares fit an unsigned word.
            let squares = _mm256_madd_epi16(now, now);
            let mask = _mm256_set1_epi64x(0xFFFF_FFFF);
            low = _mm256_add_epi64(low, _mm256_and_si256(squares, mask));
            high = _mm256_add_epi64(high, _mm256_srli_epi64::<32>(squares));
        }
        // SAFETY: a register is four 64-bit values.
        let sums: [i64; 4] = unsafe { core::mem::transmute(_mm256_add_epi64(low, high)) };
        1 + 2 * sums.iter().sum::<i64>()
    };
    let mut exponent = 1;
    let mut sum = energy(&y);
    while sum > i64::from(i32::MAX) {
        for n in (0..WINDOW).step_by(16) {
            let quarter = _mm256_srai_epi16::<2>(load_16(&y[n..n + 16]));
            store(&mut y[n..n + 16], quarter);
        }
        exponent += 4;
        sum = energy(&y);
    }
    let mut sums = [_mm256_setzero_si256(); 12];
    for n in (0..WINDOW).step_by(16) {
        let now = load_16(&y[n..n + 16]);
        for (k, sum) in sums.iter_mut().enumerate() {
            let later = load_16(&y[n + k + 1..n + k + 17]);
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(now, later));
        }
    }
    let [s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12] = sums;
    let zero = _mm256_setzero_si256();
    let first = eight_sums([s1, s2, s3, s4, s5, s6, s7, s8]);
    let last = eight_sums([s9, s10, s11, s12, zero, zero, zero, zero]);
    // SAFETY: two registers are sixteen 32-bit values.
    let lags: [i32; 16] = unsafe { core::mem::transmute([first, last]) };
    Windowed {
        energy: sum as i32,
        exponent,
        lags: core::array::from_fn(|k| lags[k]),
    }
}

/// Product of a double precision value and a factor in Q15 (its low words count), undoubled.
#[inline]
#[target_feature(enable = "avx2")]
fn half_product(x: __m256i, factor: __m256i) -> __m256i {
    let high = _mm256_madd_epi16(_mm256_srli_epi32::<16>(x), factor);
    let low = _mm256_and_si256(_mm256_srli_epi32::<1>(x), _mm256_set1_epi32(0x7FFF));
    let low = _mm256_srai_epi32::<15>(_mm256_madd_epi16(low, factor));
    _mm256_add_epi32(high, low)
}

/// The same in half a register.
#[inline]
#[target_feature(enable = "avx2")]
fn half_product_4(x: __m128i, factor: __m128i) -> __m128i {
    let high = _mm_madd_epi16(_mm_srli_epi32::<16>(x), factor);
    let low = _mm_and_si128(_mm_srli_epi32::<1>(x), _mm_set1_epi32(0x7FFF));
    let low = _mm_srai_epi32::<15>(_mm_madd_epi16(low, factor));
    _mm_add_epi32(high, low)
}

/// Kernel `chebyshev`.
#[inline]
#[target_feature(enable = "avx2")]
pub fn chebyshev(x: &[i16; 8], f: &[i16; 6], coarse: bool) -> [i16; 8] {
    // SAFETY: eight values are half a register; no alignment is needed.
    let x = _mm256_cvtepi16_epi32(unsafe { _mm_loadu_si128(x.as_ptr().cast()) });
    let even = |x| _mm256_and_si256(x, _mm256_set1_epi32(!1));
    let shifted = |k: usize, shift: u32| _mm256_set1_epi32(i32::from(f[k]) << shift);
    let (mut b2, scaled) = if coarse {
        (_mm256_set1_epi32(1 << 23), _mm256_slli_epi32::<9>(x))
    } else {
        (_mm256_set1_epi32(1 << 24), _mm256_slli_epi32::<10>(x))
    };
    let mut b1 = _mm256_add_epi32(scaled, shifted(1, 13));
    for k in 2..5 {
        let product = _mm256_slli_epi32::<2>(half_product(b1, x));
        let rest = _mm256_sub_epi32(shifted(k, 13), even(b2));
        (b2, b1) = (b1, _mm256_add_epi32(product, rest));
    }
    let product = _mm256_slli_epi32::<1>(half_product(b1, x));
    let rest = _mm256_sub_epi32(shifted(5, 12), even(b2));
    let t = _mm256_add_epi32(product, rest);
    let value = if coarse {
        _mm256_srai_epi32::<9>(t)
    } else {
        _mm256_srai_epi32::<10>(t)
    };
    let value = _mm_packs_epi32(
        _mm256_castsi256_si128(value),
        _mm256_extracti128_si256::<1>(value),
    );
    // SAFETY: half a register is eight 16-bit values.
    unsafe { core::mem::transmute(value) }
}

/// Kernel `lsp_az`: both polynomials of both vectors are four lanes.
#[inline]
#[target_feature(enable = "avx2")]
pub fn lsp_az(lsp: [&Lsp; 2]) -> Option<[Predictor; 2]> {
    const { assert!(ORDER == 10) };
    let coefficients = |k: usize| {
        let two = |lsp: &Lsp| i32::from(lsp[2 * k]) & 0xFFFF | i32::from(lsp[2 * k + 1]) << 16;
        _mm_cvtepi16_epi32(_mm_set_epi32(0, 0, two(lsp[1]), two(lsp[0])))
    };
    let mut largest = _mm_setzero_si128();
    let mut see = |x: __m128i| {
        largest = _mm_or_si128(largest, _mm_xor_si128(x, _mm_srai_epi32::<31>(x)));
        x
    };
    let zero = _mm_setzero_si128();
    let mut f = [zero; 6];
    f[0] = _mm_set1_epi32(1 << 24);
    f[1] = see(_mm_sub_epi32(zero, _mm_slli_epi32::<10>(coefficients(0))));
    macro_rules! steps {
        ($($i:literal: $($e:literal)*;)*) => {$(
            let c = coefficients($i - 1);
            f[$i] = f[$i - 2];
            $(
                let t = _mm_slli_epi32::<2>(half_product_4(f[$e - 1], c));
                f[$e] = see(_mm_sub_epi32(_mm_add_epi32(f[$e], f[$e - 2]), t));
            )*
            f[1] = see(_mm_sub_epi32(f[1], _mm_slli_epi32::<10>(c)));
        )*};
    }
    steps! {
        2: 2;
        3: 3 2;
        4: 4 3 2;
        5: 5 4 3 2;
    }
    // Odd lanes are the difference polynomials.
    let odd = _mm_set_epi32(-1, 0, -1, 0);
    let signed = |x| _mm_sub_epi32(_mm_xor_si128(x, odd), odd);
    let mut a = [[4096; ORDER + 1]; 2];
    for i in (1..=5).rev() {
        f[i] = _mm_add_epi32(f[i], signed(f[i - 1]));
        // Sums in even lanes, differences in odd ones.
        let x = _mm_add_epi32(_mm_shuffle_epi32::<0b1011_0001>(f[i]), signed(f[i]));
        let carry = _mm_and_si128(_mm_srli_epi32::<12>(x), _mm_set1_epi32(1));
        let x = _mm_add_epi32(_mm_srai_epi32::<13>(x), carry);
        a[0][i] = _mm_extract_epi16::<0>(x) as i16;
        a[0][ORDER + 1 - i] = _mm_extract_epi16::<2>(x) as i16;
        a[1][i] = _mm_extract_epi16::<4>(x) as i16;
        a[1][ORDER + 1 - i] = _mm_extract_epi16::<6>(x) as i16;
    }
    let exact = _mm_cmpgt_epi32(_mm_set1_epi32(1 << 29), largest);
    (_mm_movemask_epi8(exact) == 0xFFFF).then_some(a)
}

/// Kernel `sign_changes`.
#[inline]
#[target_feature(enable = "avx2")]
pub fn sign_changes(values: &[i16; 64]) -> u64 {
    let mut run = [0; 65];
    // The first value stands before itself; its bit is taken out below.
    run[0] = values[0];
    run[1..].copy_from_slice(values);
    let part = |k: usize| {
        let (now, before) = (load_16(&run[k + 1..k + 17]), load_16(&run[k..k + 16]));
        // A sign of one is turned over, or to nothing, by the sign of the other.
        let one = _mm256_set1_epi16(1);
        let sign = _mm256_max_epi16(_mm256_min_epi16(now, one), _mm256_set1_epi16(-1));
        _mm256_cmpgt_epi16(one, _mm256_sign_epi16(sign, before))
    };
    let half = |k: usize| {
        let packed = _mm256_packs_epi16(part(k), part(k + 16));
        let packed = _mm256_permute4x64_epi64::<0xD8>(packed);
        u64::from(_mm256_movemask_epi8(packed) as u32)
    };
    (half(0) | half(32) << 32) & !1
}

/// For each step `i`, which lane has the coefficient `i - j` for lane `j - 1`, and where there is one.
static TURNED: [[i32; 8]; ORDER + 1] = {
    let mut turned = [[0; 8]; ORDER + 1];
    let mut i = 2;
    while i <= ORDER {
        let mut j = 1;
        while j <= 8 {
            if j < i && i - j <= 8 {
                turned[i][j - 1] = (i - j - 1) as i32;
            }
            j += 1;
        }
        i += 1;
    }
    turned
};
/// Ones in the lanes below `i - 1`, and (in reverse) in lane `i - 1` alone.
static BELOW: [[i32; 8]; ORDER + 1] = {
    let mut below = [[0; 8]; ORDER + 1];
    let mut i = 2;
    while i <= ORDER {
        let mut j = 1;
        while j <= 8 {
            below[i][j - 1] = if j < i { -1 } else { 0 };
            j += 1;
        }
        i += 1;
    }
    below
};

#[inline]
#[target_feature(enable = "avx2")]
fn load_row(row: &[i32; 8]) -> __m256i {
    // SAFETY: a row is one register; no alignment is needed.
    unsafe { _mm256_loadu_si256(row.as_ptr().cast()) }
}

/// Double precision values as pairs of vectors: high words and low words.
#[derive(Clone, Copy)]
struct Halves {
    high: __m256i,
    low: __m256i,
}

impl Halves {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn of(x: __m256i) -> Self {
        Self {
            high: _mm256_srli_epi32::<16>(x),
            low: _mm256_and_si256(_mm256_srli_epi32::<1>(x), _mm256_set1_epi32(0x7FFF)),
        }
    }

    /// Products, undoubled.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn times(self, other: Self) -> __m256i {
        let cross = |a, b| _mm256_srai_epi32::<15>(_mm256_madd_epi16(a, b));
        let sum = _mm256_add_epi32(cross(self.high, other.low), cross(self.low, other.high));
        _mm256_add_epi32(sum, _mm256_madd_epi16(self.high, other.high))
    }
}

/// Kernel `levinson`. The first eight coefficients are lanes; the ninth and tenth stand alone.
#[inline]
#[target_feature(enable = "avx2")]
pub fn levinson(r: &Autocorrelation) -> Option<Stable> {
    let eight = |x: &[i16]| {
        let x = &x[..8];
        // SAFETY: eight values are half a register; no alignment is needed.
        let x = unsafe { _mm_loadu_si128(x.as_ptr().cast()) };
        // Low words are not negative, and the other factor has nothing beside its words.
        _mm256_cvtepi16_epi32(x)
    };
    let correlations = Halves {
        high: eight(&r.high[1..]),
        low: eight(&r.low[1..]),
    };
    let even = |x: i32| x & !1;
    let t = l_comp(r.at(1));
    let q = div_32(l_abs(t), r.at(0));
    let q = if t > 0 { l_negate(q) } else { q };
    let mut k = l_extract(q);
    let mut reflection = [k.0, 0];
    let mut a = _mm256_set_epi32(0, 0, 0, 0, 0, 0, 0, even(q >> 4));
    let (mut ninth, mut tenth) = (0, 0);
    let u = l_sub(MAX_32, l_abs(mpy_32(k, k)));
    let energy = mpy_32(r.at(0), l_extract(u));
    let mut alpha_exponent = norm_l(energy);
    let mut alpha = l_extract(l_shl(energy, alpha_exponent));
    let mut wrong = _mm256_setzero_si256();
    for i in 2..=ORDER {
        let turned = _mm256_permutevar8x32_epi32(a, load_row(&TURNED[i]));
        let turned = _mm256_and_si256(turned, load_row(&BELOW[i]));
        let turned = match i {
            ORDER => _mm256_blend_epi32::<1>(turned, _mm256_set1_epi32(ninth)),
            _ => turned,
        };
        let turned = Halves::of(turned);
        let terms = correlations.times(turned);
        let sizes = _mm256_srli_epi32::<4>(_mm256_abs_epi32(terms));
        let sizes = _mm256_add_epi32(sizes, _mm256_set1_epi32(1));
        let sums = _mm256_hadd_epi32(terms, sizes);
        let sums = _mm_add_epi32(
            _mm256_castsi256_si128(sums),
            _mm256_extracti128_si256::<1>(sums),
        );
        let sums = _mm_hadd_epi32(sums, sums);
        let mut sum = i64::from(_mm_cvtsi128_si32(sums));
        let mut size = _mm_extract_epi32::<1>(sums);
        let first = _mm256_cvtsi256_si32(a);
        if i == ORDER {
            let last = mpy_32(r.at(9), l_extract(first)) >> 1;
            sum += i64::from(last);
            size += (last.abs() >> 4) + 1;
        }
        // The magnitudes of the terms stay below 2^30 in sum, so no part of the sum is limited.
        let s = (sum << 5) + i64::from(l_comp(r.at(i)));
        if size >= 1 << 26 || sum << 5 != i64::from((sum << 5) as i32) || s != i64::from(s as i32) {
            return None;
        }
        let s = s as i32;
        let q = div_32(l_abs(s), alpha);
        let q = l_shl(if s > 0 { l_negate(q) } else { q }, alpha_exponent);
        k = l_extract(q);
        if i == 2 {
            reflection[1] = k.0;
        }
        if abs_s(k.0) > 32750 {
            return None;
        }
        let product = turned.times(Halves::of(_mm256_set1_epi32(q)));
        let product = _mm256_slli_epi32::<1>(product);
        let next = _mm256_add_epi32(product, a);
        let over = _mm256_and_si256(_mm256_xor_si256(product, next), _mm256_xor_si256(a, next));
        wrong = _mm256_or_si256(wrong, over);
        a = _mm256_and_si256(next, _mm256_set1_epi32(!1));
        let newest = even(q >> 4);
        match i {
            ..=8 => {
                let here = _mm256_andnot_si256(load_row(&BELOW[i]), load_row(&BELOW[i + 1]));
                a = _mm256_blendv_epi8(a, _mm256_set1_epi32(newest), here);
            }
            9 => ninth = newest,
            _ => {
                ninth = even(l_add(mpy_32(k, l_extract(first)), ninth));
                tenth = newest;
            }
        }
        let u = l_sub(MAX_32, l_abs(mpy_32(k, k)));
        let energy = mpy_32(alpha, l_extract(u));
        let norm = norm_l(energy);
        alpha = l_extract(l_shl(energy, norm));
        alpha_exponent += norm;
    }
    if _mm256_movemask_ps(_mm256_castsi256_ps(wrong)) != 0 {
        return None;
    }
    // SAFETY: a register is eight 32-bit values.
    let a: [i32; 8] = unsafe { core::mem::transmute(a) };
    let mut predictor = [4096; ORDER + 1];
    for (to, from) in predictor[1..]
        .iter_mut()
        .zip(a.iter().chain(&[ninth, tenth]))
    {
        *to = round(l_shl(*from, 1));
    }
    Some(Stable {
        a: predictor,
        reflection,
    })
}
