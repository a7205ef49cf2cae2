//! Linear prediction of one channel: autocorrelation, Levinson recursion, line spectral pairs.

use super::filter::eight_sums;
use super::load_16;
use crate::arch::Windowed;
use crate::g729::lpc::{Lsp, ORDER, Predictor};
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
