//! What depends on the processor: the level of vector instructions, and kernels written for it.
//!
//! The level is found once. It can be lowered and never raised, so that every level can be tested
//! on one machine. All `unsafe` of this crate lives below here.

use crate::g729::lpc::{Autocorrelation, Lsp, Predictor, Stable, WINDOW};
use crate::g729::pitch::EXCITATION;
use core::sync::atomic::{AtomicU8, Ordering};

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(any(test, target_arch = "x86_64"))]
mod choices;
mod dispatch;
#[cfg(any(test, target_arch = "x86_64"))]
pub mod lanes;
#[cfg(any(test, target_arch = "x86_64"))]
mod paired;
mod scalar;
#[cfg(any(test, target_arch = "x86_64"))]
mod stages;
#[cfg(any(test, target_arch = "x86_64"))]
pub mod vector;
#[cfg(target_arch = "x86_64")]
pub mod x86_64;

pub use dispatch::*;
pub use scalar::Scalar;

/// Windowed speech correlated with itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windowed {
    /// One and twice the sum of squares.
    pub energy: i32,
    /// Scale: 1, and 4 more for each time that the samples had to be divided by four.
    pub exponent: i16,
    /// Sums for lags 1 to 12, not doubled.
    pub lags: [i32; 12],
}

/// The inner loops of G.729 that the compiler does not turn into vectors by itself. All sums are
/// plain: the caller has made sure that none can leave 32 bits, or the kernel says that it is so.
pub trait Kernels {
    /// Synthesis without limits through several filters, `BLOCKS` times four outputs after the ten
    /// of the past; true where the result is exact.
    fn synthesise<const M: usize, const BLOCKS: usize>(
        a: [&Predictor; M],
        x: [&[i16; 40]; M],
        areas: [&mut [i16; 50]; M],
    ) -> [bool; M];

    /// The same of forty outputs of one filter, and something else that waits for itself beside it: it is
    /// called for each block of four outputs, in order.
    fn synthesise_beside(
        a: &Predictor,
        x: &[i16; 40],
        area: &mut [i16; 50],
        beside: impl FnMut(usize),
    ) -> bool;

    /// Twice the correlations of `h` with `x` from 0 to 39 on; the second half of `x` is zero.
    fn correlate_all(x: &[i16; 80], h: &[i16; 40]) -> [i32; 40];

    /// Search of Annex A's codebook with a scaled response `g`, whose energy fits, the magnitudes `d`
    /// of the correlations and -1 for each that is negative. `None` when this level has no such
    /// kernel, or when an energy is not positive and the order of comparisons matters.
    fn best_pulses(g: &[i16; 40], d: &[i16; 40], negative: &[i16; 40]) -> Option<[usize; 4]>;

    /// First of the nearest of 128 vectors, whose elements stand in pairs. Squared distances are
    /// limited to 2^30; 0 when all of them are.
    fn nearest_of_128(target: &[i16; 10], pairs: &[[i16; 256]; 5]) -> usize;

    /// The same of 32 vectors by element, each distance weighted (positive, Q15). The sums of the first
    /// three and of the last two elements are limited to 2^30 and added.
    fn nearest_of_32(target: &[i16; 5], weights: &[i16; 5], elements: &[[i16; 32]; 5]) -> usize;

    /// Sum of squares, exact.
    fn energy(x: &[i16; 40]) -> i64;

    /// Residual of a subframe after ten past samples, in plain sums.
    fn residual(a: &Predictor, x: &[i16; 50]) -> [i16; 40];

    /// Sum of products.
    fn dot(a: &[i16; 40], b: &[i16; 40]) -> i32;

    /// Sums of products of `x` with the windows of `y` from the first, second, ... value on. `N` is
    /// a multiple of eight.
    fn dots<const N: usize>(x: &[i16; 40], y: &[i16]) -> [i32; N];

    /// Forty outputs of the interpolation filter, rounded, into `x` from `start` on; the first of them
    /// is made of twenty samples from `base` on, which is at most `start - 28`. Whether every sample
    /// that was used is smaller than 8192, without which the outputs mean nothing.
    fn interpolate(x: &mut [i16; EXCITATION], base: usize, start: usize, taps: &[i16; 20]) -> bool;

    /// Adaptive vector times a gain and code vector times another, neither negative, both Q14, in place
    /// of the adaptive vector.
    fn mix(excitation: &mut [i16; 40], code: &[i16; 40], gains: [i16; 2]);

    /// Sum of squares of quarters, which fits an unsigned word.
    fn energy_of_quarters(x: &[i16; 40]) -> u32;

    /// Sums of products of the quarters of `x` with those of the eight windows of `y`; `None` where a
    /// quarter is larger than 5180 and one of the sums might not fit when doubled.
    fn quarter_dots(x: &[i16; 40], y: &[i16; 47]) -> Option<[i32; 8]>;

    /// Sum of `x` and `y`, each times a factor in Q15 that is not negative.
    fn blend(x: &[i16; 40], y: &[i16; 40], factors: [i16; 2]) -> [i16; 40];

    /// Takes the sample before each times `mu` (Q15, not negative) off it, in place; `before` is the one
    /// before the first.
    fn take_tilt(x: &mut [i16; 40], before: i16, mu: i16);

    /// Samples times gains in Q12 that are not negative.
    fn levelled(x: &[i16; 40], gains: &[i16; 40]) -> [i16; 40];

    /// Autocorrelation of windowed speech. The window has no negative values.
    fn autocorrelate(speech: &[i16; WINDOW], window: &[i16; WINDOW]) -> Windowed;

    /// Values of a Chebyshev series where no limit can act.
    fn chebyshev(x: &[i16; 8], f: &[i16; 6], coarse: bool) -> [i16; 8];

    /// A bit for each value whose product with the one before it is not positive; the first has none.
    fn sign_changes(values: &[i16; 64]) -> u64;

    /// Levinson recursion: predictor and the first two reflection coefficients; `None` where a limit
    /// could have acted or the filter is unstable.
    fn levinson(r: &Autocorrelation) -> Option<Stable>;

    /// Predictors of two sets of line spectral pairs; `None` where a limit could have acted.
    fn lsp_az(lsp: [&Lsp; 2]) -> Option<[Predictor; 2]>;
}

/// Vector instructions that are used. Each level includes those before it that are of the same kind of
/// processor; those of another kind are as good as none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// What the compiler makes of the plain code; the reference.
    Scalar = 1,
    /// aarch64, of which NEON is a part.
    Neon = 2,
    /// x86-64 with AVX2, BMI1, BMI2 and LZCNT.
    Avx2 = 3,
    /// The same with AVX-512 F, BW, CD, DQ and VL (server processors since 2017).
    Avx512 = 4,
    /// The same with VBMI (since 2019).
    Avx512Vbmi = 5,
}

/// The level in use; zero before it was found.
static LEVEL: AtomicU8 = AtomicU8::new(0);

impl Level {
    /// All levels of this kind of processor, lowest first.
    #[cfg(not(target_arch = "aarch64"))]
    pub const ALL: [Level; 4] = [Level::Scalar, Level::Avx2, Level::Avx512, Level::Avx512Vbmi];
    /// All levels of this kind of processor, lowest first.
    #[cfg(target_arch = "aarch64")]
    pub const ALL: [Level; 2] = [Level::Scalar, Level::Neon];

    fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Scalar),
            2 => Some(Self::Neon),
            3 => Some(Self::Avx2),
            4 => Some(Self::Avx512),
            5 => Some(Self::Avx512Vbmi),
            _ => None,
        }
    }

    /// Finds a level by its name in lower case: `scalar`, and `avx2`, `avx512`,
    /// `avx512vbmi` or `neon`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }

    /// Name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Scalar => "scalar",
            Level::Neon => "neon",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
            Level::Avx512Vbmi => "avx512vbmi",
        }
    }

    /// The level in use.
    #[inline]
    pub fn current() -> Self {
        match Self::from_number(LEVEL.load(Ordering::Relaxed)) {
            Some(level) => level,
            None => Self::detect(),
        }
    }

    #[cold]
    fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        let level = x86_64::detect();
        #[cfg(target_arch = "aarch64")]
        let level = Level::Neon;
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let level = Level::Scalar;
        LEVEL.store(level as u8, Ordering::Relaxed);
        level
    }

    /// Uses no more than `most` from now on, in the whole process; a higher level than the one in use
    /// changes nothing. Returns the level in use. Results are the same at every level.
    pub fn lower_to(most: Level) -> Self {
        let level = Self::current().min(most);
        LEVEL.fetch_min(level as u8, Ordering::Relaxed);
        level
    }
}

/// Square root of an integer below 2^53, correctly rounded (`core` has none).
#[cfg(target_arch = "x86_64")]
pub fn square_root(x: u64) -> f64 {
    use core::arch::x86_64::{_mm_cvtsd_f64, _mm_set1_pd, _mm_sqrt_pd};
    // SAFETY: SSE2 belongs to every x86-64 processor.
    unsafe { _mm_cvtsd_f64(_mm_sqrt_pd(_mm_set1_pd(x as f64))) }
}

/// Square root of an integer below 2^53, correctly rounded (`core` has none).
#[cfg(not(target_arch = "x86_64"))]
pub fn square_root(x: u64) -> f64 {
    square_root_portable(x)
}

/// The same in integers: the root of a number of about 106 bits has 53, and one more bit rounds it.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn square_root_portable(x: u64) -> f64 {
    if x == 0 {
        return 0.0;
    }
    let half_shift = (107 - (64 - x.leading_zeros())) / 2;
    // 53 or 54 bits; an exact half cannot occur, since the root of an integer has no such end.
    let root = (u128::from(x) << (2 * half_shift)).isqrt();
    let scale = f64::from_bits(u64::from(1023 - half_shift) << 52);
    let (kept, half) = if root >> 53 == 0 {
        (root, false)
    } else {
        (root >> 1, root & 1 == 1)
    };
    if root >> 53 == 0 {
        // One more bit is needed to round.
        let finer = (u128::from(x) << (2 * half_shift + 2)).isqrt();
        return ((finer >> 1) + (finer & 1)) as f64 * scale;
    }
    (kept + u128::from(half)) as f64 * 2.0 * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portable_square_root_is_the_rounded_one() {
        let mut x = 1u64;
        for n in 0..100_000u64 {
            x = x
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            for value in [n, n * n, x >> (n % 50 + 12)] {
                assert_eq!(
                    square_root_portable(value),
                    (value as f64).sqrt(),
                    "{value}"
                );
                assert_eq!(square_root(value), (value as f64).sqrt(), "{value}");
            }
        }
    }
}
