//! What depends on the processor: the level of vector instructions, and kernels written for it.
//!
//! The level is found once. It can be lowered and never raised, so that every level can be tested
//! on one machine. All `unsafe` of this crate lives below here.

use core::sync::atomic::{AtomicU8, Ordering};

mod dispatch;
#[cfg(any(test, target_arch = "x86_64"))]
pub mod lanes;
mod scalar;
#[cfg(any(test, target_arch = "x86_64"))]
mod stages;
#[cfg(any(test, target_arch = "x86_64"))]
pub mod vector;
#[cfg(target_arch = "x86_64")]
pub mod x86_64;

pub use dispatch::*;
pub use scalar::Scalar;

/// Values of the matrix of [`Kernels::signed_rows`].
pub const MATRIX: usize = 40 + 40 * 41 / 2;

/// Best candidate of each place: squared correlation, energy, and the row it stands in.
#[derive(Clone, Copy, Debug)]
pub struct Lanes {
    /// Squared correlations.
    pub squares: [i32; 8],
    /// Energies.
    pub energies: [i32; 8],
    /// Rows.
    pub rows: [i32; 8],
}

impl Lanes {
    /// Takes those candidates of a further row that are strictly better. With positive energies the
    /// comparison is one of fractions, so the order in which candidates meet does not matter as
    /// long as the first of equals stays.
    #[inline(always)]
    pub fn take(&mut self, row: usize, squares: &[i32; 8], energies: &[i32; 8]) {
        for k in 0..8 {
            let better = self.energies[k] * squares[k] > self.squares[k] * energies[k];
            self.squares[k] = if better { squares[k] } else { self.squares[k] };
            self.energies[k] = if better {
                energies[k]
            } else {
                self.energies[k]
            };
            self.rows[k] = if better { row as i32 } else { self.rows[k] };
        }
    }
}

/// The inner loops of G.729 that the compiler does not turn into vectors by itself. All sums are
/// plain: the caller has made sure that none can leave 32 bits.
pub trait Kernels {
    /// Takes ten outputs before a block (oldest first) times the coefficients that reach from them
    /// into the block off its sums. `tails` holds the eleven coefficients and eight zeros.
    fn recur(tails: &[i32; 19], past: &[i32; 10], sums: &mut [i32; 8]);

    /// Twice the correlations of `h` with `x` from 0 to 39 on; the second half of `x` is zero.
    fn correlate_all(x: &[i16; 80], h: &[i16; 40]) -> [i32; 40];

    /// The correlations of a scaled response `g` with itself for all pairs of positions, with the signs
    /// of Annex A: equal signs multiply by 32767 / 32768, different ones by -1. `reversed` and
    /// `negative` are runs of the response backwards and of -1 for negative positions, after forty
    /// zeros. Row `j` of the matrix starts at `40 + j (j + 1) / 2`.
    fn signed_rows(
        g: &[i16; 40],
        reversed: &[i16; 88],
        negative: &[i16; 88],
        matrix: &mut [i16; MATRIX],
    );

    /// For each of eight places the best of eight rows of candidates: sums of `bases` and `inner`,
    /// energies of `starts`, an eighth of `block` and half of `v`. False when an energy is not
    /// positive, since then the order of comparisons matters.
    fn best_by_lane(
        bases: &[i16; 8],
        inner: &[i16; 8],
        starts: &[i32; 8],
        v: &[i32; 8],
        block: &[[i16; 8]; 8],
        lanes: &mut Lanes,
    ) -> bool;

    /// Squared distances of `target` from 128 vectors, whose elements stand in pairs; limited to 2^30.
    fn distances(target: &[i16; 10], pairs: &[[i16; 256]; 5]) -> [u32; 128];

    /// Sum of products.
    fn dot(a: &[i16; 40], b: &[i16; 40]) -> i32;

    /// Eight outputs of the interpolation filter, rounded.
    fn interpolate(x: &[i16; 27], taps: &[i16; 20]) -> [i16; 8];
}

/// Vector instructions that are used. Each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// What the compiler makes of the plain code; the reference.
    Scalar = 1,
    /// x86-64 with AVX2, BMI1, BMI2 and LZCNT.
    Avx2 = 2,
    /// The same with AVX-512 F, BW, CD, DQ and VL (server processors since 2017).
    Avx512 = 3,
    /// The same with VBMI (since 2019).
    Avx512Vbmi = 4,
}

/// The level in use; zero before it was found.
static LEVEL: AtomicU8 = AtomicU8::new(0);

impl Level {
    /// All levels, lowest first.
    pub const ALL: [Level; 4] = [Level::Scalar, Level::Avx2, Level::Avx512, Level::Avx512Vbmi];

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|level| *level as u8 == number)
    }

    /// Finds a level by its name in lower case: `scalar`, `avx2`, `avx512`, `avx512vbmi`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }

    /// Name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Scalar => "scalar",
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
        #[cfg(not(target_arch = "x86_64"))]
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
