//! What the decoder does to a subframe between its filters. Forty values are two registers and a half.

use super::filter::{eight_sums, load_eight};
use super::{both, load_16};
use crate::g729::filter::{window, window_mut};
use crate::g729::pitch::EXCITATION;
use core::arch::x86_64::*;

/// Forty values; the upper half of the last register is zero.
type Forty = [__m256i; 3];

#[inline]
#[target_feature(enable = "avx2")]
fn load_40(x: &[i16; 40]) -> Forty {
    [
        load_16(&x[..16]),
        load_16(&x[16..32]),
        _mm256_zextsi128_si256(load_eight(&x[32..])),
    ]
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_40(x: Forty, to: &mut [i16; 40]) {
    let to = to.as_mut_ptr();
    // SAFETY: forty values are two registers of sixteen and one of eight; stores need no alignment.
    unsafe {
        _mm256_storeu_si256(to.cast(), x[0]);
        _mm256_storeu_si256(to.add(16).cast(), x[1]);
        _mm_storeu_si128(to.add(32).cast(), _mm256_castsi256_si128(x[2]));
    }
}

/// Sums of the outputs at even and at odd places, shifted, limited and back in order.
#[inline]
#[target_feature(enable = "avx2")]
fn interleave(even: __m256i, odd: __m256i) -> __m256i {
    let (even, odd) = (_mm256_srai_epi32::<15>(even), _mm256_srai_epi32::<15>(odd));
    _mm256_packs_epi32(
        _mm256_unpacklo_epi32(even, odd),
        _mm256_unpackhi_epi32(even, odd),
    )
}

/// Sixteen outputs of the interpolation filter. Pairs that start at even places make every second
/// output, and so do the odd ones.
#[inline]
#[target_feature(enable = "avx2")]
fn interpolate_16(x: &[i16; 35], taps: &[i16; 20]) -> __m256i {
    let mut even = _mm256_set1_epi32(0x4000);
    let mut odd = even;
    macro_rules! taps {
        ($($k:literal)*) => {$(
            let two = both(taps[$k], taps[$k + 1]);
            even = _mm256_add_epi32(even, _mm256_madd_epi16(load_16(&x[$k..$k + 16]), two));
            odd = _mm256_add_epi32(odd, _mm256_madd_epi16(load_16(&x[$k + 1..$k + 17]), two));
        )*};
    }
    taps!(0 2 4 6 8 10 12 14 16 18);
    interleave(even, odd)
}

/// Eight of them.
#[inline]
#[target_feature(enable = "avx2")]
fn interpolate_8(x: &[i16; 27], taps: &[i16; 20]) -> __m128i {
    let mut even = _mm_set1_epi32(0x4000);
    let mut odd = even;
    macro_rules! taps {
        ($($k:literal)*) => {$(
            let two = _mm256_castsi256_si128(both(taps[$k], taps[$k + 1]));
            even = _mm_add_epi32(even, _mm_madd_epi16(load_eight(&x[$k..]), two));
            odd = _mm_add_epi32(odd, _mm_madd_epi16(load_eight(&x[$k + 1..]), two));
        )*};
    }
    taps!(0 2 4 6 8 10 12 14 16 18);
    let both = interleave(_mm256_castsi128_si256(even), _mm256_castsi128_si256(odd));
    _mm256_castsi256_si128(both)
}

#[inline]
#[target_feature(enable = "avx2")]
fn put_16(y: __m256i, to: &mut [i16; 16]) {
    // SAFETY: sixteen values are one register; stores need no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), y) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn put_8(y: __m128i, to: &mut [i16; 8]) {
    // SAFETY: eight values are one register; stores need no alignment.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), y) }
}

/// Kernel `interpolate`.
#[inline]
#[target_feature(enable = "avx2")]
pub fn interpolate(x: &mut [i16; EXCITATION], base: usize, start: usize, taps: &[i16; 20]) -> bool {
    // Longer lags leave sixteen outputs that need none of themselves, the shortest nine.
    let wide = if base + 35 <= start { 32 } else { 0 };
    for n in (0..wide).step_by(16) {
        let y = interpolate_16(window(&x[..], base + n), taps);
        put_16(y, window_mut(&mut x[..], start + n));
    }
    for n in (wide..40).step_by(8) {
        let y = interpolate_8(window(&x[..], base + n), taps);
        put_8(y, window_mut(&mut x[..], start + n));
    }
    // Bits that a small value has like its sign.
    let used: &[i16; 59] = window(&x[..], base);
    let size = |k: usize| {
        let x = load_16(&used[k..k + 16]);
        _mm256_xor_si256(x, _mm256_srai_epi16::<15>(x))
    };
    let all = _mm256_or_si256(
        _mm256_or_si256(size(0), size(16)),
        _mm256_or_si256(size(32), size(43)),
    );
    _mm256_testz_si256(all, _mm256_set1_epi16(!0x1FFF)) == 1
}

/// Kernel `mix`. The sum of two products is smaller than 2^31.
#[inline]
#[target_feature(enable = "avx2")]
pub fn mix(excitation: &mut [i16; 40], code: &[i16; 40], gains: [i16; 2]) {
    let gains = both(gains[0], gains[1]);
    let half = _mm256_set1_epi32(0x2000);
    let (e, c) = (load_40(excitation), load_40(code));
    let part = |two: __m256i| {
        let sum = _mm256_add_epi32(_mm256_madd_epi16(two, gains), half);
        _mm256_srai_epi32::<14>(sum)
    };
    let sum = |k: usize| {
        _mm256_packs_epi32(
            part(_mm256_unpacklo_epi16(e[k], c[k])),
            part(_mm256_unpackhi_epi16(e[k], c[k])),
        )
    };
    store_40([sum(0), sum(1), sum(2)], excitation);
}

/// Sum of the lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn total(sum: __m256i) -> i32 {
    let sum = _mm_add_epi32(
        _mm256_castsi256_si128(sum),
        _mm256_extracti128_si256::<1>(sum),
    );
    let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b0100_1110>(sum));
    let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b1011_0001>(sum));
    _mm_cvtsi128_si32(sum)
}

/// Kernel `energy_of_quarters`.
#[inline]
#[target_feature(enable = "avx2")]
pub fn energy_of_quarters(x: &[i16; 40]) -> u32 {
    let x = load_40(x);
    let square = |x: __m256i| {
        let quarter = _mm256_srai_epi16::<2>(x);
        _mm256_madd_epi16(quarter, quarter)
    };
    total(_mm256_add_epi32(
        _mm256_add_epi32(square(x[0]), square(x[1])),
        square(x[2]),
    )) as u32
}

/// Kernel `quarter_dots`.
#[inline]
#[target_feature(enable = "avx2")]
pub fn quarter_dots(x: &[i16; 40], y: &[i16; 47]) -> Option<[i32; 8]> {
    let quarter = |x| _mm256_srai_epi16::<2>(x);
    let now = load_40(x);
    let now = [quarter(now[0]), quarter(now[1]), quarter(now[2])];
    let quarters = |k: usize| {
        let y = load_40(window(y, k));
        [quarter(y[0]), quarter(y[1]), quarter(y[2])]
    };
    let parts: [__m256i; 8] = core::array::from_fn(|k| {
        let y = quarters(k);
        let two = _mm256_add_epi32(
            _mm256_madd_epi16(now[0], y[0]),
            _mm256_madd_epi16(now[1], y[1]),
        );
        _mm256_add_epi32(two, _mm256_madd_epi16(now[2], y[2]))
    });
    let (first, last) = (quarters(0), quarters(7));
    let size = |x| _mm256_abs_epi16(x);
    let largest = |x: Forty| {
        let two = _mm256_max_epi16(size(x[0]), size(x[1]));
        _mm256_max_epi16(two, size(x[2]))
    };
    let largest = _mm256_max_epi16(
        _mm256_max_epi16(largest(first), largest(last)),
        largest(now),
    );
    let above = _mm256_cmpgt_epi16(largest, _mm256_set1_epi16(5180));
    let sums = eight_sums(parts);
    // SAFETY: a register is eight 32-bit values.
    let sums = unsafe { core::mem::transmute::<__m256i, [i32; 8]>(sums) };
    (_mm256_testz_si256(above, above) == 1).then_some(sums)
}

/// A factor in Q15 for [`times`]: twice of it as a signed word, and all bits where that is less than
/// it should be by 65536.
#[inline]
#[target_feature(enable = "avx2")]
fn factor(q15: i16) -> [__m256i; 2] {
    let double = _mm256_set1_epi16(q15.wrapping_shl(1));
    [double, _mm256_srai_epi16::<15>(double)]
}

/// Products with a factor that is not negative, cut.
#[inline]
#[target_feature(enable = "avx2")]
fn times(x: __m256i, factor: [__m256i; 2]) -> __m256i {
    let high = _mm256_mulhi_epi16(x, factor[0]);
    _mm256_add_epi16(high, _mm256_and_si256(x, factor[1]))
}

/// Kernel `blend`.
#[inline]
#[target_feature(enable = "avx2")]
pub fn blend(x: &[i16; 40], y: &[i16; 40], factors: [i16; 2]) -> [i16; 40] {
    let (first, second) = (factor(factors[0]), factor(factors[1]));
    let (x, y) = (load_40(x), load_40(y));
    let sum = |k: usize| _mm256_adds_epi16(times(x[k], first), times(y[k], second));
    let mut sums = [0; 40];
    store_40([sum(0), sum(1), sum(2)], &mut sums);
    sums
}

/// Kernel `take_tilt`.
#[inline]
#[target_feature(enable = "avx2")]
pub fn take_tilt(x: &mut [i16; 40], before: i16, mu: i16) {
    let mu = factor(mu);
    let now = load_40(x);
    // The sample before each: the last of the register before it comes in below.
    let shifted = |before: __m256i, now: __m256i| {
        let middle = _mm256_permute2x128_si256::<0x21>(before, now);
        _mm256_alignr_epi8::<14>(now, middle)
    };
    let last = |before, now| _mm256_subs_epi16(now, times(shifted(before, now), mu));
    let tilted = [
        last(_mm256_set1_epi16(before), now[0]),
        last(now[0], now[1]),
        last(now[1], now[2]),
    ];
    store_40(tilted, x);
}

/// Kernel `levelled`.
#[inline]
#[target_feature(enable = "avx2")]
pub fn levelled(x: &[i16; 40], gains: &[i16; 40]) -> [i16; 40] {
    let (x, gains) = (load_40(x), load_40(gains));
    let product = |k: usize| {
        let low = _mm256_mullo_epi16(x[k], gains[k]);
        let high = _mm256_mulhi_epi16(x[k], gains[k]);
        _mm256_packs_epi32(
            _mm256_srai_epi32::<12>(_mm256_unpacklo_epi16(low, high)),
            _mm256_srai_epi32::<12>(_mm256_unpackhi_epi16(low, high)),
        )
    };
    let mut y = [0; 40];
    store_40([product(0), product(1), product(2)], &mut y);
    y
}
