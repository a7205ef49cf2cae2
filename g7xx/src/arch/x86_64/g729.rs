//! Kernels of G.729 with AVX2. Sums of products of 16-bit values go in pairs, by `pmaddwd`.

use crate::arch::{Kernels, Lanes, MATRIX};
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
    _mm256_set1_epi32((u32::from(high as u16) << 16 | u32::from(low as u16)) as i32)
}

#[inline]
#[target_feature(enable = "avx2")]
fn dot(a: &[i16; 40], b: &[i16; 40]) -> i32 {
    let part = |k: usize| _mm256_madd_epi16(load_16(&a[k..k + 16]), load_16(&b[k..k + 16]));
    let sum = _mm256_add_epi32(part(0), part(16));
    let load_last = |x: &[i16; 40]| {
        // SAFETY: the last eight of forty values; loads need no alignment.
        unsafe { _mm_loadu_si128(x[32..].as_ptr().cast()) }
    };
    let last = _mm_madd_epi16(load_last(a), load_last(b));
    let sum = _mm_add_epi32(
        _mm256_castsi256_si128(sum),
        _mm256_extracti128_si256::<1>(sum),
    );
    let sum = _mm_add_epi32(sum, last);
    let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b0100_1110>(sum));
    let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b1011_0001>(sum));
    _mm_cvtsi128_si32(sum)
}

#[inline]
#[target_feature(enable = "avx2")]
fn distances(target: &[i16; 10], pairs: &[[i16; 256]; 5]) -> [u32; 128] {
    let target: [__m256i; 5] = core::array::from_fn(|k| both(target[2 * k], target[2 * k + 1]));
    let mut sums = [_mm256_setzero_si256(); 16];
    for (block, sum) in sums.iter_mut().enumerate() {
        for (target, pairs) in target.iter().zip(pairs) {
            let d = _mm256_subs_epi16(*target, load_16(&pairs[16 * block..16 * block + 16]));
            // As an unsigned word even twice the square of -32768 is right.
            let total = _mm256_add_epi32(*sum, _mm256_madd_epi16(d, d));
            *sum = _mm256_min_epu32(total, _mm256_set1_epi32(1 << 30));
        }
    }
    // SAFETY: sixteen registers are 128 words.
    unsafe { core::mem::transmute::<[__m256i; 16], [u32; 128]>(sums) }
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
    let at = |k: usize| {
        let from = &x[k..k + 8];
        // SAFETY: eight values are there; loads need no alignment.
        unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
    };
    // Pairs that start at even places make every second output, and so do the odd ones.
    let mut even = _mm_set1_epi32(0x4000);
    let mut odd = even;
    macro_rules! taps {
        ($($k:literal)*) => {$(
            let two = _mm256_castsi256_si128(both(taps[$k], taps[$k + 1]));
            even = _mm_add_epi32(even, _mm_madd_epi16(at($k), two));
            odd = _mm_add_epi32(odd, _mm_madd_epi16(at($k + 1), two));
        )*};
    }
    taps!(0 2 4 6 8 10 12 14 16 18);
    let (even, odd) = (_mm_srai_epi32::<15>(even), _mm_srai_epi32::<15>(odd));
    let packed = _mm_packs_epi32(_mm_unpacklo_epi32(even, odd), _mm_unpackhi_epi32(even, odd));
    // SAFETY: a register is eight 16-bit values.
    unsafe { core::mem::transmute::<__m128i, [i16; 8]>(packed) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn signed_rows(
    g: &[i16; 40],
    reversed: &[i16; 88],
    negative: &[i16; 88],
    matrix: &mut [i16; MATRIX],
) {
    let mut pair_run = [_mm256_setzero_si256(); 10];
    for (k, pair) in pair_run.iter_mut().enumerate() {
        *pair = pairs(reversed, 8 * k);
    }
    // SAFETY: the same octets as 32-bit lanes.
    let pair_run: [i32; 80] = unsafe { core::mem::transmute(pair_run) };
    let mut sums = [_mm256_setzero_si256(); 5];
    for n in 0..40 {
        let j = 39 - n;
        let factor = both(g[n], 0);
        let own = _mm256_set1_epi16(negative[40 + j]);
        let start = 40 + j * (j + 1) / 2 - n;
        // Lanes below `n` belong to no pair: whole blocks of them are left out.
        macro_rules! block {
            ($b:literal) => {{
                let delayed = load_8(&pair_run[40 - n + 8 * $b..48 - n + 8 * $b]);
                sums[$b] = _mm256_add_epi32(sums[$b], _mm256_madd_epi16(delayed, factor));
                // Sums are not doubled here.
                _mm256_srai_epi32::<15>(sums[$b])
            }};
        }
        macro_rules! two_blocks {
            ($a:literal, $b:literal) => {{
                let high =
                    _mm256_permute4x64_epi64::<0xD8>(_mm256_packs_epi32(block!($a), block!($b)));
                let differ =
                    _mm256_xor_si256(load_16(&negative[40 - n + 8 * $a..56 - n + 8 * $a]), own);
                let value = _mm256_subs_epi16(_mm256_xor_si256(high, differ), differ);
                let positive = _mm256_cmpgt_epi16(high, _mm256_setzero_si256());
                let value = _mm256_add_epi16(value, _mm256_andnot_si256(differ, positive));
                let to = &mut matrix[start + 8 * $a..start + 8 * $a + 16];
                // SAFETY: sixteen values are there; stores need no alignment.
                unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) }
            }};
        }
        if n < 16 {
            two_blocks!(0, 1);
        }
        if n < 32 {
            two_blocks!(2, 3);
        }
        let high = block!(4);
        let high = _mm_packs_epi32(
            _mm256_castsi256_si128(high),
            _mm256_extracti128_si256::<1>(high),
        );
        let differ = &negative[72 - n..80 - n];
        // SAFETY: eight values are there; loads need no alignment.
        let differ = unsafe { _mm_loadu_si128(differ.as_ptr().cast()) };
        let differ = _mm_xor_si128(differ, _mm256_castsi256_si128(own));
        let value = _mm_subs_epi16(_mm_xor_si128(high, differ), differ);
        let positive = _mm_cmpgt_epi16(high, _mm_setzero_si128());
        let value = _mm_add_epi16(value, _mm_andnot_si128(differ, positive));
        let to = &mut matrix[start + 32..start + 40];
        // SAFETY: eight values are there; stores need no alignment.
        unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), value) }
        // A position with itself keeps its value.
        to[7] = _mm_extract_epi16::<7>(high) as i16;
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn best_by_lane(
    bases: &[i16; 8],
    inner: &[i16; 8],
    starts: &[i32; 8],
    v: &[i32; 8],
    block: &[[i16; 8]; 8],
    lanes: &mut Lanes,
) -> bool {
    // SAFETY: the arrays are one register of eight 16-bit values each.
    let widen = |x: &[i16; 8]| _mm256_cvtepi16_epi32(unsafe { _mm_loadu_si128(x.as_ptr().cast()) });
    let inner = widen(inner);
    let common = _mm256_add_epi32(
        _mm256_slli_epi32::<15>(load_8(&v[..])),
        _mm256_set1_epi32(0x8000),
    );
    let candidates = |row: usize| {
        let sums = _mm256_add_epi32(inner, _mm256_set1_epi32(i32::from(bases[row])));
        let sums = _mm256_min_epi32(sums, _mm256_set1_epi32(32767));
        let squares = _mm256_srli_epi32::<15>(_mm256_mullo_epi32(sums, sums));
        let energies = _mm256_add_epi32(common, _mm256_set1_epi32(starts[row]));
        let energies = _mm256_add_epi32(energies, _mm256_slli_epi32::<13>(widen(&block[row])));
        (squares, _mm256_srai_epi32::<16>(energies))
    };
    let (mut squares, mut energies) = candidates(0);
    let mut rows = _mm256_setzero_si256();
    let mut least = energies;
    for row in 1..8 {
        let (square, energy) = candidates(row);
        least = _mm256_min_epi32(least, energy);
        let better = _mm256_cmpgt_epi32(
            _mm256_mullo_epi32(energies, square),
            _mm256_mullo_epi32(squares, energy),
        );
        squares = _mm256_blendv_epi8(squares, square, better);
        energies = _mm256_blendv_epi8(energies, energy, better);
        rows = _mm256_blendv_epi8(rows, _mm256_set1_epi32(row as i32), better);
    }
    // SAFETY: the arrays are one register each.
    unsafe {
        _mm256_storeu_si256(lanes.squares.as_mut_ptr().cast(), squares);
        _mm256_storeu_si256(lanes.energies.as_mut_ptr().cast(), energies);
        _mm256_storeu_si256(lanes.rows.as_mut_ptr().cast(), rows);
    }
    _mm256_movemask_epi8(_mm256_cmpgt_epi32(least, _mm256_setzero_si256())) == -1
}

/// Reads sixteen 16-bit values, wherever they start.
#[inline(always)]
fn load_16(from: &[i16]) -> __m256i {
    load_8(from)
}

impl Kernels for Avx2 {
    #[inline(always)]
    fn dot(a: &[i16; 40], b: &[i16; 40]) -> i32 {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { dot(a, b) }
    }

    #[inline(always)]
    fn signed_rows(
        g: &[i16; 40],
        reversed: &[i16; 88],
        negative: &[i16; 88],
        matrix: &mut [i16; MATRIX],
    ) {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { signed_rows(g, reversed, negative, matrix) }
    }

    #[inline(always)]
    fn best_by_lane(
        bases: &[i16; 8],
        inner: &[i16; 8],
        starts: &[i32; 8],
        v: &[i32; 8],
        block: &[[i16; 8]; 8],
        lanes: &mut Lanes,
    ) -> bool {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { best_by_lane(bases, inner, starts, v, block, lanes) }
    }

    #[inline(always)]
    fn distances(target: &[i16; 10], pairs: &[[i16; 256]; 5]) -> [u32; 128] {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { distances(target, pairs) }
    }

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
