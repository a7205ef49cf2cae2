//! Synthesis and sums of one channel.

use super::{both, load_16};
use crate::g729::lpc::{ORDER, Predictor};
use core::arch::x86_64::*;

#[inline]
#[target_feature(enable = "avx2")]
fn load_four(from: &[i16]) -> __m128i {
    let from = &from[..4];
    // SAFETY: four values are there; loads need no alignment.
    unsafe { _mm_loadl_epi64(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub fn load_eight(from: &[i16]) -> __m128i {
    let from = &from[..8];
    // SAFETY: eight values are there; loads need no alignment.
    unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
}

/// For `pshufb`: the octets of a word, or of nothing.
const fn word(k: i16) -> i16 {
    if k < 0 {
        -1
    } else {
        ((2 * k + 1) << 8) | (2 * k)
    }
}

/// The coefficients of a predictor as the outputs of a block meet them, four at a time.
struct Taps {
    /// From the first, second and third output of a block to those after it in the block.
    within: [__m128i; 3],
    /// From two outputs to four others, of which the first is two, four, ... samples after the
    /// first of the two.
    two_by_four: [__m128i; 5],
    scale: __m128i,
}

impl Taps {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(a: &Predictor) -> Self {
        const { assert!(ORDER == 10) };
        // From the first coefficient on, and from the fourth on to the last.
        let (head, tail) = (load_eight(a), load_eight(&a[3..]));
        // Words of four lanes by their place in a register; -1 is none.
        macro_rules! words {
            ($from:expr, $($low:literal $high:literal)*) => {
                _mm_shuffle_epi8($from, _mm_setr_epi16($(word($low), word($high)),*))
            };
        }
        Self {
            within: [
                words!(head, -1 -1 1 -1 2 -1 3 -1),
                words!(head, -1 -1 -1 -1 1 -1 2 -1),
                words!(head, -1 -1 -1 -1 -1 -1 1 -1),
            ],
            two_by_four: [
                words!(head, 2 1 3 2 4 3 5 4),
                words!(head, 4 3 5 4 6 5 7 6),
                words!(tail, 3 2 4 3 5 4 6 5),
                words!(tail, 5 4 6 5 7 6 -1 7),
                words!(tail, 7 6 -1 7 -1 -1 -1 -1),
            ],
            scale: _mm256_castsi256_si128(both(a[0], 0)),
        }
    }
}

/// Sums of outputs that are not there yet: of the block itself, the next and the one after it.
type Ahead = [__m128i; 3];

/// Sum of magnitudes.
#[inline]
#[target_feature(enable = "avx2")]
fn sum_magnitudes(a: &Predictor) -> i32 {
    let head = _mm_abs_epi16(load_eight(&a[..]));
    // The last eight without the first five of them.
    let tail = _mm_srli_si128::<10>(_mm_abs_epi16(load_eight(&a[3..])));
    // The magnitude of -32768 is 32768 only as an unsigned word.
    let wide = |x| _mm256_cvtepu16_epi32(x);
    let sum = _mm256_add_epi32(wide(head), wide(tail));
    let sum = _mm_add_epi32(
        _mm256_castsi256_si128(sum),
        _mm256_extracti128_si256::<1>(sum),
    );
    let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b0100_1110>(sum));
    let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b1011_0001>(sum));
    _mm_cvtsi128_si32(sum)
}

/// Plain synthesis of several independent filters, `BLOCKS` times four outputs: each output is
/// taken off the sums of those after it. The filters only share the time that each would wait for
/// its own last output, as does what is done beside each block.
#[inline]
#[target_feature(enable = "avx2")]
pub fn synthesise<const M: usize, const BLOCKS: usize>(
    a: [&Predictor; M],
    x: [&[i16; 40]; M],
    areas: [&mut [i16; 50]; M],
    mut beside: impl FnMut(usize),
) -> [bool; M] {
    const { assert!(BLOCKS <= 10) };
    let taps: [Taps; M] = core::array::from_fn(|m| Taps::new(a[m]));
    let input = |m: usize, block: usize| {
        let x = _mm_cvtepi16_epi32(load_four(&x[m][4 * block..]));
        _mm_add_epi32(_mm_madd_epi16(x, taps[m].scale), _mm_set1_epi32(0x800))
    };
    let zero = _mm_setzero_si128();
    let mut ahead: [Ahead; M] = [[zero; 3]; M];
    let mut largest = [zero; M];
    for m in 0..M {
        let c = &taps[m].two_by_four;
        let past =
            |k: usize| _mm256_castsi256_si128(both(areas[m][10 - 2 * k], areas[m][11 - 2 * k]));
        let near = [past(1), past(2), past(3), past(4), past(5)];
        let part = |k: usize, c: __m128i| _mm_madd_epi16(near[k - 1], c);
        let sum = _mm_add_epi32(part(1, c[0]), part(2, c[1]));
        let sum = _mm_add_epi32(sum, _mm_add_epi32(part(3, c[2]), part(4, c[3])));
        ahead[m][0] = _mm_sub_epi32(input(m, 0), _mm_add_epi32(sum, part(5, c[4])));
        let sum = _mm_add_epi32(part(1, c[2]), part(2, c[3]));
        ahead[m][1] = _mm_add_epi32(sum, part(3, c[4]));
        ahead[m][2] = part(1, c[4]);
    }
    for block in 0..BLOCKS {
        beside(block);
        for m in 0..M {
            let taps = &taps[m];
            let mut sum = ahead[m][0];
            macro_rules! output {
                ($k:literal, $all:literal) => {
                    let y = _mm_shuffle_epi32::<$all>(_mm_srai_epi32::<12>(sum));
                    sum = _mm_sub_epi32(sum, _mm_madd_epi16(y, taps.within[$k]));
                };
            }
            output!(0, 0b0000_0000);
            output!(1, 0b0101_0101);
            output!(2, 0b1010_1010);
            let y = _mm_srai_epi32::<12>(sum);
            largest[m] = _mm_max_epi32(largest[m], _mm_abs_epi32(y));
            let narrow = _mm_packs_epi32(y, y);
            let to = &mut areas[m][10 + 4 * block..14 + 4 * block];
            // SAFETY: four values are there; stores need no alignment.
            unsafe { _mm_storel_epi64(to.as_mut_ptr().cast(), narrow) }
            if block + 1 < BLOCKS {
                let c = &taps.two_by_four;
                let first = _mm_shuffle_epi32::<0b0000_0000>(narrow);
                let second = _mm_shuffle_epi32::<0b0101_0101>(narrow);
                let next = _mm_sub_epi32(input(m, block + 1), ahead[m][1]);
                let next = _mm_sub_epi32(next, _mm_madd_epi16(first, c[1]));
                let after = _mm_add_epi32(ahead[m][2], _mm_madd_epi16(first, c[3]));
                ahead[m] = [
                    _mm_sub_epi32(next, _mm_madd_epi16(second, c[0])),
                    _mm_add_epi32(after, _mm_madd_epi16(second, c[2])),
                    _mm_madd_epi16(second, c[4]),
                ];
            }
        }
    }
    let mut exact = [false; M];
    for m in 0..M {
        let x = |k: usize| _mm256_abs_epi16(load_16(&x[m][k..k + 16]));
        let inputs = _mm256_max_epu16(_mm256_max_epu16(x(0), x(16)), x(24));
        let inputs = _mm_max_epu16(
            _mm256_castsi256_si128(inputs),
            _mm256_extracti128_si256::<1>(inputs),
        );
        let past = |k: usize| _mm_abs_epi16(load_eight(&areas[m][k..]));
        let outputs = _mm_packus_epi32(largest[m], largest[m]);
        let all = _mm_max_epu16(
            _mm_max_epu16(past(0), past(2)),
            _mm_max_epu16(inputs, outputs),
        );
        let least = _mm_minpos_epu16(_mm_xor_si128(all, _mm_set1_epi32(-1)));
        let magnitude = 0xFFFF - (_mm_cvtsi128_si32(least) & 0xFFFF);
        let bounded = i64::from(magnitude) * i64::from(sum_magnitudes(a[m])) < 1 << 30;
        exact[m] = magnitude < 32768 && bounded;
    }
    exact
}

/// Sums of products of `x` with the windows of `y` from the first, second, ... value on.
#[inline]
#[target_feature(enable = "avx2")]
pub fn dots<const N: usize>(x: &[i16; 40], y: &[i16]) -> [i32; N] {
    const { assert!(N.is_multiple_of(8)) };
    let y = &y[..N + 39];
    let mut sums = [0; N];
    let (x0, x1, x2) = (load_16(&x[..16]), load_16(&x[16..32]), load_eight(&x[32..]));
    for (block, sums) in sums.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let parts: [__m256i; 8] = core::array::from_fn(|k| {
            let y = &y[8 * block + k..8 * block + k + 40];
            let two = _mm256_add_epi32(
                _mm256_madd_epi16(x0, load_16(&y[..16])),
                _mm256_madd_epi16(x1, load_16(&y[16..32])),
            );
            let last = _mm_madd_epi16(x2, load_eight(&y[32..]));
            _mm256_add_epi32(two, _mm256_zextsi128_si256(last))
        });
        let sum = eight_sums(parts);
        // SAFETY: eight 32-bit values are one register; no alignment is needed.
        unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), sum) }
    }
    sums
}

/// Sums of the lanes of each of eight registers.
#[inline]
#[target_feature(enable = "avx2")]
pub fn eight_sums(x: [__m256i; 8]) -> __m256i {
    let two = |k: usize| _mm256_hadd_epi32(x[k], x[k + 1]);
    let low = _mm256_hadd_epi32(two(0), two(2));
    let high = _mm256_hadd_epi32(two(4), two(6));
    _mm256_add_epi32(
        _mm256_permute2x128_si256::<0x20>(low, high),
        _mm256_permute2x128_si256::<0x31>(low, high),
    )
}

/// Kernel `energy`. Two squares fit an unsigned word.
#[inline]
#[target_feature(enable = "avx2")]
pub fn energy(x: &[i16; 40]) -> i64 {
    let square = |x| _mm256_madd_epi16(x, x);
    let halves = |x: __m256i| {
        let low = _mm256_and_si256(x, _mm256_set1_epi64x(0xFFFF_FFFF));
        _mm256_add_epi64(low, _mm256_srli_epi64::<32>(x))
    };
    let last = _mm256_zextsi128_si256(load_eight(&x[32..]));
    let sum = _mm256_add_epi64(
        halves(square(load_16(&x[..16]))),
        halves(square(load_16(&x[16..32]))),
    );
    let sum = _mm256_add_epi64(sum, halves(square(last)));
    let sum = _mm_add_epi64(
        _mm256_castsi256_si128(sum),
        _mm256_extracti128_si256::<1>(sum),
    );
    _mm_cvtsi128_si64(_mm_add_epi64(sum, _mm_unpackhi_epi64(sum, sum)))
}

/// Kernel `residual`: pairs of samples that start at even places make every second output, and so
/// do the odd ones.
#[inline]
#[target_feature(enable = "avx2")]
pub fn residual(a: &Predictor, x: &[i16; 50]) -> [i16; 40] {
    let taps = [
        both(a[10], a[9]),
        both(a[8], a[7]),
        both(a[6], a[5]),
        both(a[4], a[3]),
        both(a[2], a[1]),
        both(a[0], 0),
    ];
    let mut y = [0; 40];
    // The last sixteen overlap those before them.
    for at in [0, 16, 24] {
        let mut even = _mm256_set1_epi32(0x800);
        let mut odd = even;
        for (k, tap) in taps.iter().enumerate() {
            let x = |k: usize| load_16(&x[at + k..at + k + 16]);
            let (first, second) = match k {
                // The newest sample stands alone, and at the end there is nothing behind it.
                5 => {
                    let newest = x(10);
                    (newest, _mm256_srli_epi32::<16>(newest))
                }
                _ => (x(2 * k), x(2 * k + 1)),
            };
            even = _mm256_add_epi32(even, _mm256_madd_epi16(first, *tap));
            odd = _mm256_add_epi32(odd, _mm256_madd_epi16(second, *tap));
        }
        let (even, odd) = (_mm256_srai_epi32::<12>(even), _mm256_srai_epi32::<12>(odd));
        let packed = _mm256_packs_epi32(
            _mm256_unpacklo_epi32(even, odd),
            _mm256_unpackhi_epi32(even, odd),
        );
        let y = &mut y[at..at + 16];
        // SAFETY: sixteen values are one register; no alignment is needed.
        unsafe { _mm256_storeu_si256(y.as_mut_ptr().cast(), packed) }
    }
    y
}
