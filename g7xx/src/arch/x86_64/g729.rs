//! Kernels of G.729 with AVX2. Sums of products of 16-bit values go in pairs, by `pmaddwd`.

use crate::arch::Kernels;
use core::arch::x86_64::*;

/// Kernels that need AVX2. Only functions that are compiled for it name this type.
#[derive(Clone, Copy, Debug)]
pub struct Avx2;

/// Reads eight values, wherever they start.
#[inline(always)]
fn load_8<T: Copy>(from: &[T]) -> __m256i {
    assert!(size_of_val(from) >= 32);
    // SAFETY: 32 octets are there; any bits are a register, and no alignment is needed.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

/// Eight 16-bit values from `at` on, each with its successor.
#[inline]
#[target_feature(enable = "avx2")]
fn pairs(x: &[i16], at: usize) -> __m256i {
    let x = &x[at..at + 9];
    // SAFETY: nine values are there, so eight are from the first and from the second on.
    let (a, b) = unsafe {
        (
            _mm_loadu_si128(x.as_ptr().cast()),
            _mm_loadu_si128(x[1..].as_ptr().cast()),
        )
    };
    _mm256_set_m128i(_mm_unpackhi_epi16(a, b), _mm_unpacklo_epi16(a, b))
}

/// Two 16-bit values in all lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn both(low: i16, high: i16) -> __m256i {
    _mm256_set1_epi32(i32::from(high) << 16 | i32::from(low) & 0xFFFF)
}

#[inline]
#[target_feature(enable = "avx2")]
fn recur(tails: &[i32; 19], past: &[i32; 10], sums: &mut [i32; 8]) {
    let mut total = load_8(&sums[..]);
    let mut second = _mm256_setzero_si256();
    macro_rules! steps {
        ($($m:literal)*) => {$(
            let product = _mm256_mullo_epi32(load_8(&tails[10 - $m..18 - $m]), _mm256_set1_epi32(past[$m]));
            if $m % 2 == 0 {
                total = _mm256_sub_epi32(total, product);
            } else {
                second = _mm256_add_epi32(second, product);
            }
        )*};
    }
    steps!(0 1 2 3 4 5 6 7 8 9);
    // SAFETY: the array is one register.
    unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), _mm256_sub_epi32(total, second)) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn correlate_all(x: &[i16; 80], h: &[i16; 40]) -> [i32; 40] {
    let mut pair_run = [_mm256_setzero_si256(); 10];
    for (k, pair) in pair_run.iter_mut().enumerate().take(5) {
        *pair = pairs(x, 8 * k);
    }
    // SAFETY: the same octets as 32-bit lanes.
    let pair_run: [i32; 80] = unsafe { core::mem::transmute(pair_run) };
    let mut y = [_mm256_setzero_si256(); 5];
    // Where a block begins, fewer products are left.
    macro_rules! block {
        ($b:literal) => {
            for n in (0..40 - 8 * $b).step_by(2) {
                let product = _mm256_madd_epi16(
                    load_8(&pair_run[8 * $b + n..8 * $b + n + 8]),
                    both(h[n], h[n + 1]),
                );
                y[$b] = _mm256_add_epi32(y[$b], product);
            }
        };
    }
    block!(0);
    block!(1);
    block!(2);
    block!(3);
    block!(4);
    let y = y.map(|y| _mm256_slli_epi32::<1>(y));
    // SAFETY: five registers are forty 32-bit values.
    unsafe { core::mem::transmute::<[__m256i; 5], [i32; 40]>(y) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn interpolate(x: &[i16; 27], taps: &[i16; 20]) -> [i16; 8] {
    let mut sums = _mm256_set1_epi32(0x4000);
    macro_rules! taps {
        ($($k:literal)*) => {$(
            let product = _mm256_madd_epi16(pairs(x, $k), both(taps[$k], taps[$k + 1]));
            sums = _mm256_add_epi32(sums, product);
        )*};
    }
    taps!(0 2 4 6 8 10 12 14 16 18);
    let sums = _mm256_srai_epi32::<15>(sums);
    let packed = _mm_packs_epi32(
        _mm256_castsi256_si128(sums),
        _mm256_extracti128_si256::<1>(sums),
    );
    // SAFETY: a register is eight 16-bit values.
    unsafe { core::mem::transmute::<__m128i, [i16; 8]>(packed) }
}

impl Kernels for Avx2 {
    #[inline(always)]
    fn recur(tails: &[i32; 19], past: &[i32; 10], sums: &mut [i32; 8]) {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { recur(tails, past, sums) }
    }

    #[inline(always)]
    fn correlate_all(x: &[i16; 80], h: &[i16; 40]) -> [i32; 40] {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { correlate_all(x, h) }
    }

    #[inline(always)]
    fn interpolate(x: &[i16; 27], taps: &[i16; 20]) -> [i16; 8] {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { interpolate(x, taps) }
    }
}
