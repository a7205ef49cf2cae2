//! Kernels of G.729 with AVX2. Sums of products of 16-bit values go in pairs, by `pmaddwd`.

use crate::arch::{Kernels, Windowed};
use crate::g729::lpc::{Autocorrelation, Lsp, Predictor, Stable, WINDOW};
use crate::g729::pitch::EXCITATION;
use core::arch::x86_64::*;

mod excitation;
mod filter;
mod search;
mod spectrum;

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

/// Where half of the recommendation's (doubled) distances reaches its limit.
const FAR: i32 = 1 << 30;

/// The smallest distance of each lane so far, and the block that has it.
struct Nearest {
    least: __m256i,
    blocks: __m256i,
}

impl Nearest {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new() -> Self {
        Self {
            least: _mm256_set1_epi32(FAR),
            blocks: _mm256_setzero_si256(),
        }
    }

    /// Takes distances (limited, so never negative) that are strictly smaller.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn take(&mut self, block: usize, distances: __m256i) {
        let nearer = _mm256_cmpgt_epi32(self.least, distances);
        self.least = _mm256_min_epi32(self.least, distances);
        let block = _mm256_set1_epi32(block as i32);
        self.blocks = _mm256_blendv_epi8(self.blocks, block, nearer);
    }

    /// Index of the first smallest; 0 when all are far.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn index(&self) -> usize {
        let least = |x: __m256i| {
            let x = _mm_min_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
            let x = _mm_min_epi32(x, _mm_shuffle_epi32::<0b0100_1110>(x));
            _mm_min_epi32(x, _mm_shuffle_epi32::<0b1011_0001>(x))
        };
        let smallest = _mm256_broadcastd_epi32(least(self.least));
        let lanes = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
        let at = _mm256_add_epi32(_mm256_slli_epi32::<3>(self.blocks), lanes);
        let has = _mm256_cmpeq_epi32(self.least, smallest);
        let at = _mm256_blendv_epi8(_mm256_set1_epi32(i32::MAX), at, has);
        if _mm256_cvtsi256_si32(smallest) == FAR {
            0
        } else {
            _mm_cvtsi128_si32(least(at)) as usize
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn nearest_of_128(target: &[i16; 10], pairs: &[[i16; 256]; 5]) -> usize {
    let two = |k: usize| both(target[2 * k], target[2 * k + 1]);
    let target = [two(0), two(1), two(2), two(3), two(4)];
    let mut nearest = Nearest::new();
    for block in 0..16 {
        let mut sum = _mm256_setzero_si256();
        for (target, pairs) in target.iter().zip(pairs) {
            let d = _mm256_subs_epi16(*target, load_16(&pairs[16 * block..16 * block + 16]));
            // As an unsigned word even twice the square of -32768 is right.
            let total = _mm256_add_epi32(sum, _mm256_madd_epi16(d, d));
            sum = _mm256_min_epu32(total, _mm256_set1_epi32(FAR));
        }
        nearest.take(block, sum);
    }
    nearest.index()
}

#[inline]
#[target_feature(enable = "avx2")]
fn nearest_of_32(target: &[i16; 5], weights: &[i16; 5], elements: &[[i16; 32]; 5]) -> usize {
    let mut nearest = Nearest::new();
    for block in 0..4 {
        let term = |j: usize| {
            let from = &elements[j][8 * block..8 * block + 8];
            // SAFETY: eight values are there; loads need no alignment.
            let v = unsafe { _mm_loadu_si128(from.as_ptr().cast()) };
            let t = _mm256_cvtepi16_epi32(_mm_subs_epi16(_mm_set1_epi16(target[j]), v));
            let weighted = _mm256_madd_epi16(t, both(weights[j], 0));
            _mm256_mullo_epi32(_mm256_srai_epi32::<15>(weighted), t)
        };
        // Each term is below 2^30, and three of them fit an unsigned word.
        let limit = |x| _mm256_min_epu32(x, _mm256_set1_epi32(FAR));
        let first = _mm256_add_epi32(_mm256_add_epi32(term(0), term(1)), term(2));
        let last = _mm256_add_epi32(term(3), term(4));
        let sum = _mm256_add_epi32(limit(first), limit(last));
        nearest.take(block, limit(sum));
    }
    nearest.index()
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
    fn energy(x: &[i16; 40]) -> i64 {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { filter::energy(x) }
    }

    #[inline(always)]
    fn residual(a: &Predictor, x: &[i16; 50]) -> [i16; 40] {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { filter::residual(a, x) }
    }

    #[inline(always)]
    fn dots<const N: usize>(x: &[i16; 40], y: &[i16]) -> [i32; N] {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { filter::dots(x, y) }
    }

    #[inline(always)]
    fn synthesise<const M: usize, const BLOCKS: usize>(
        a: [&Predictor; M],
        x: [&[i16; 40]; M],
        areas: [&mut [i16; 50]; M],
    ) -> [bool; M] {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { filter::synthesise::<M, BLOCKS>(a, x, areas, |_| {}) }
    }

    #[inline(always)]
    fn synthesise_beside(
        a: &Predictor,
        x: &[i16; 40],
        area: &mut [i16; 50],
        beside: impl FnMut(usize),
    ) -> bool {
        // SAFETY: whoever names this type is compiled for AVX2.
        let [exact] = unsafe { filter::synthesise::<1, 10>([a], [x], [area], beside) };
        exact
    }

    #[inline(always)]
    fn best_pulses(g: &[i16; 40], d: &[i16; 40], negative: &[i16; 40]) -> Option<[usize; 4]> {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { search::best_pulses(g, d, negative) }
    }

    #[inline(always)]
    fn autocorrelate(speech: &[i16; WINDOW], window: &[i16; WINDOW]) -> Windowed {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { spectrum::autocorrelate(speech, window) }
    }

    #[inline(always)]
    fn chebyshev(x: &[i16; 8], f: &[i16; 6], coarse: bool) -> [i16; 8] {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { spectrum::chebyshev(x, f, coarse) }
    }

    #[inline(always)]
    fn lsp_az(lsp: [&Lsp; 2]) -> Option<[Predictor; 2]> {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { spectrum::lsp_az(lsp) }
    }

    #[inline(always)]
    fn nearest_of_128(target: &[i16; 10], pairs: &[[i16; 256]; 5]) -> usize {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { nearest_of_128(target, pairs) }
    }

    #[inline(always)]
    fn nearest_of_32(target: &[i16; 5], weights: &[i16; 5], elements: &[[i16; 32]; 5]) -> usize {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { nearest_of_32(target, weights, elements) }
    }

    #[inline(always)]
    fn sign_changes(values: &[i16; 64]) -> u64 {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { spectrum::sign_changes(values) }
    }

    #[inline(always)]
    fn levinson(r: &Autocorrelation) -> Option<Stable> {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { spectrum::levinson(r) }
    }

    #[inline(always)]
    fn correlate_all(x: &[i16; 80], h: &[i16; 40]) -> [i32; 40] {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { correlate_all(x, h) }
    }

    #[inline(always)]
    fn interpolate(x: &mut [i16; EXCITATION], base: usize, start: usize, taps: &[i16; 20]) -> bool {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { excitation::interpolate(x, base, start, taps) }
    }

    #[inline(always)]
    fn mix(excitation: &mut [i16; 40], code: &[i16; 40], gains: [i16; 2]) {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { excitation::mix(excitation, code, gains) }
    }

    #[inline(always)]
    fn energy_of_quarters(x: &[i16; 40]) -> u32 {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { excitation::energy_of_quarters(x) }
    }

    #[inline(always)]
    fn quarter_dots(x: &[i16; 40], y: &[i16; 47]) -> Option<[i32; 8]> {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { excitation::quarter_dots(x, y) }
    }

    #[inline(always)]
    fn blend(x: &[i16; 40], y: &[i16; 40], factors: [i16; 2]) -> [i16; 40] {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { excitation::blend(x, y, factors) }
    }

    #[inline(always)]
    fn take_tilt(x: &mut [i16; 40], before: i16, mu: i16) {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { excitation::take_tilt(x, before, mu) }
    }

    #[inline(always)]
    fn levelled(x: &[i16; 40], gains: &[i16; 40]) -> [i16; 40] {
        // SAFETY: whoever names this type is compiled for AVX2.
        unsafe { excitation::levelled(x, gains) }
    }
}
