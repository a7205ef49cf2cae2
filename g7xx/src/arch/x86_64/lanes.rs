//! Stages of G.729 for eight channels in lockstep: one channel in each 32-bit lane.
//!
//! Recursions wait for their own last output, so one channel cannot fill a vector with them; eight
//! channels can. All sums are plain. Each stage says, as a bit per lane, where a bound shows that no
//! limit could have acted; the caller computes the other lanes again one by one.

use crate::g729::lpc::{ORDER, Predictor};
use crate::g729::ops::{div_s, norm_l};
use core::arch::x86_64::*;

/// A sample, or a coefficient, of each of eight channels.
pub type Row = [i32; 8];
/// Nothing in any lane.
pub const ZERO: Row = [0; 8];
/// Samples of a subframe.
const SUBFRAME: usize = 40;

/// Stages in lockstep. Only functions that are compiled for AVX2 name this type.
pub struct Lockstep;

macro_rules! stages {
    ($($(#[$note:meta])* $name:ident $([$($const:tt)*] [$($pass:ident),*])? ($($x:ident: $t:ty),*) $(-> $r:ty)?;)*) => {
        impl Lockstep {$(
            $(#[$note])*
            #[inline(always)]
            pub fn $name $(<$($const)*>)? ($($x: $t),*) $(-> $r)? {
                // SAFETY: whoever names this type is compiled for AVX2.
                unsafe { $name$(::<$($pass),*>)?($($x),*) }
            }
        )*}
    };
}

stages! {
    /// Brings samples into lanes, eight times as many as `rows` has eights; each channel has enough.
    gather(channels: &[&[i16]; 8], rows: &mut [Row]);
    /// Brings lanes back into channels, limited to 16 bits.
    scatter(rows: &[Row], channels: [&mut [i16]; 8]);
    /// Predictors of line spectral pairs.
    lsp_az(lsp: &[Row; ORDER], a: &mut [Row; ORDER + 1]) -> u8;
    /// Levinson recursion over lags 0 to 10: the predictors, and the first two reflection
    /// coefficients. Unstable filters count as not exact.
    levinson(r: &[Row; ORDER + 1], a: &mut [Row; ORDER + 1], reflection: &mut [Row; 2]) -> u8;
    /// Bandwidth expansion with positive factors.
    weight(a: &[Row; ORDER + 1], powers: &[i16; ORDER + 1]) -> [Row; ORDER + 1];
    /// Residual of a subframe; `x` starts with ten past samples.
    residual(a: &[Row; ORDER + 1], x: &[Row], y: &mut [Row; SUBFRAME]) -> u8;
    /// Synthesis of `x` into `y` after its first ten rows, the past.
    synthesise(a: &[Row; ORDER + 1], x: &[Row], y: &mut [Row]) -> u8;
    /// Sums of squares, and of products with the neighbour; not doubled.
    response_sums(h: &[Row]) -> (Row, Row, u8);
    /// Takes `mu` times the sample before off each sample; `before` is the one before the first.
    tilt(mu: &Row, before: &mut Row, x: &mut [Row; SUBFRAME]);
    /// Sum of squares of quarters, as an unsigned word.
    quarter_energy(x: &[Row; SUBFRAME]) -> Row;
    /// Lets the gains approach their targets and applies them to 16-bit samples.
    control_gain(target: &Row, gain: &mut Row, y: &mut [Row; SUBFRAME]);
    /// The high-pass filters: `x` with two past samples into rounded `y`, which are not limited to
    /// 16 bits yet; `past` are the last two outputs in full, newest first.
    high_pass [const POST: bool] [POST] (x: &[Row; 82], past: &mut [Row; 2], y: &mut [Row; 80]) -> u8;
}

/// One channel of some rows.
#[inline(always)]
pub fn column<const N: usize>(rows: &[Row], lane: usize) -> [i16; N] {
    core::array::from_fn(|n| rows[n][lane] as i16)
}

/// Puts a channel into its lane.
#[inline(always)]
pub fn put_column(rows: &mut [Row], lane: usize, values: &[i16]) {
    for (row, value) in rows.iter_mut().zip(values) {
        row[lane] = i32::from(*value);
    }
}

/// The predictor in a lane.
#[inline(always)]
pub fn predictor(a: &[Row; ORDER + 1], lane: usize) -> Predictor {
    column(a, lane)
}

#[inline(always)]
fn load(row: &Row) -> __m256i {
    // SAFETY: a row is one register; no alignment is needed.
    unsafe { _mm256_loadu_si256(row.as_ptr().cast()) }
}

#[inline(always)]
fn store(row: &mut Row, value: __m256i) {
    // SAFETY: a row is one register; no alignment is needed.
    unsafe { _mm256_storeu_si256(row.as_mut_ptr().cast(), value) }
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

#[inline]
#[target_feature(enable = "avx2")]
fn gather(channels: &[&[i16]; 8], rows: &mut [Row]) {
    for (block, rows) in rows.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let loaded = core::array::from_fn(|k| {
            let from = &channels[k][8 * block..8 * block + 8];
            // SAFETY: eight values are there; loads need no alignment.
            unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
        });
        for (row, value) in rows.iter_mut().zip(transpose(loaded)) {
            store(row, _mm256_cvtepi16_epi32(value));
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn scatter(rows: &[Row], mut channels: [&mut [i16]; 8]) {
    for (block, rows) in rows.as_chunks::<8>().0.iter().enumerate() {
        let mut narrow = [_mm_setzero_si128(); 8];
        for (narrow, row) in narrow.iter_mut().zip(rows) {
            let value = load(row);
            *narrow = _mm_packs_epi32(
                _mm256_castsi256_si128(value),
                _mm256_extracti128_si256::<1>(value),
            );
        }
        for (channel, value) in channels.iter_mut().zip(transpose(narrow)) {
            let to = &mut channel[8 * block..8 * block + 8];
            // SAFETY: eight values are there; stores need no alignment.
            unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), value) }
        }
    }
}

/// Low halves of `low` and of `high` as pairs.
#[inline]
#[target_feature(enable = "avx2")]
fn pair(low: __m256i, high: __m256i) -> __m256i {
    _mm256_blend_epi16::<0xAA>(low, _mm256_slli_epi32::<16>(high))
}

/// Bit of each lane that is all ones.
#[inline]
#[target_feature(enable = "avx2")]
fn bits(lanes: __m256i) -> u8 {
    _mm256_movemask_ps(_mm256_castsi256_ps(lanes)) as u8
}

/// Where the sum of the magnitudes of `a`, times `magnitude`, stays below 2^30.
#[inline]
#[target_feature(enable = "avx2")]
fn bounded(a: &[Row; ORDER + 1], magnitude: __m256i) -> u8 {
    let mut sum = _mm256_setzero_si256();
    for a in a {
        sum = _mm256_add_epi32(sum, _mm256_abs_epi32(load(a)));
    }
    // A little less than the bound makes up for the rounding of a float.
    let product = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_cvtepi32_ps(magnitude));
    let below = _mm256_cmp_ps::<_CMP_LT_OQ>(product, _mm256_set1_ps(1_073_700_000.0));
    _mm256_movemask_ps(below) as u8
}

/// Limits lanes to 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn clamp_16(x: __m256i) -> __m256i {
    let x = _mm256_min_epi32(x, _mm256_set1_epi32(32767));
    _mm256_max_epi32(x, _mm256_set1_epi32(-32768))
}

/// Product of a double precision value and a factor in Q15, undoubled.
#[inline]
#[target_feature(enable = "avx2")]
fn half_product(x: __m256i, factor: __m256i) -> __m256i {
    let high = _mm256_madd_epi16(_mm256_srli_epi32::<16>(x), factor);
    let low = _mm256_and_si256(_mm256_srli_epi32::<1>(x), _mm256_set1_epi32(0x7FFF));
    let low = _mm256_srai_epi32::<15>(_mm256_madd_epi16(low, factor));
    _mm256_add_epi32(high, low)
}

/// As long as no coefficient reaches 2^29, no sum can reach a limit.
#[inline]
#[target_feature(enable = "avx2")]
fn lsp_az(lsp: &[Row; ORDER], a: &mut [Row; ORDER + 1]) -> u8 {
    let mut largest = _mm256_setzero_si256();
    let mut see = |x: __m256i| {
        largest = _mm256_or_si256(largest, _mm256_xor_si256(x, _mm256_srai_epi32::<31>(x)));
        x
    };
    let mut f = [[_mm256_setzero_si256(); 6]; 2];
    for (offset, f) in f.iter_mut().enumerate() {
        f[0] = _mm256_set1_epi32(1 << 24);
        let first = _mm256_slli_epi32::<10>(load(&lsp[offset]));
        f[1] = see(_mm256_sub_epi32(_mm256_setzero_si256(), first));
        macro_rules! steps {
            ($($i:literal: $($e:literal)*;)*) => {$(
                let c = load(&lsp[2 * ($i - 1) + offset]);
                f[$i] = f[$i - 2];
                $(
                    let t = _mm256_slli_epi32::<2>(half_product(f[$e - 1], c));
                    f[$e] = see(_mm256_sub_epi32(_mm256_add_epi32(f[$e], f[$e - 2]), t));
                )*
                f[1] = see(_mm256_sub_epi32(f[1], _mm256_slli_epi32::<10>(c)));
            )*};
        }
        steps! {
            2: 2;
            3: 3 2;
            4: 4 3 2;
            5: 5 4 3 2;
        }
    }
    let [mut f1, mut f2] = f;
    store(&mut a[0], _mm256_set1_epi32(4096));
    for i in (1..=5).rev() {
        f1[i] = _mm256_add_epi32(f1[i], f1[i - 1]);
        f2[i] = _mm256_sub_epi32(f2[i], f2[i - 1]);
        for (at, x) in [
            (i, _mm256_add_epi32(f1[i], f2[i])),
            (ORDER + 1 - i, _mm256_sub_epi32(f1[i], f2[i])),
        ] {
            let carry = _mm256_and_si256(_mm256_srli_epi32::<12>(x), _mm256_set1_epi32(1));
            let x = _mm256_add_epi32(_mm256_srai_epi32::<13>(x), carry);
            let x = _mm256_srai_epi32::<16>(_mm256_slli_epi32::<16>(x));
            store(&mut a[at], x);
        }
    }
    bits(_mm256_cmpgt_epi32(_mm256_set1_epi32(1 << 29), largest))
}

/// Product of two double precision values, undoubled.
#[inline]
#[target_feature(enable = "avx2")]
fn half_product_32(x: __m256i, y: __m256i) -> __m256i {
    let high = |x| _mm256_srli_epi32::<16>(x);
    let low = |x| _mm256_and_si256(_mm256_srli_epi32::<1>(x), _mm256_set1_epi32(0x7FFF));
    let cross = |x, y| _mm256_srai_epi32::<15>(_mm256_madd_epi16(high(x), low(y)));
    let product = _mm256_madd_epi16(high(x), high(y));
    _mm256_add_epi32(product, _mm256_add_epi32(cross(x, y), cross(y, x)))
}

/// [`half_product_32`], doubled.
#[inline]
#[target_feature(enable = "avx2")]
fn product_32(x: __m256i, y: __m256i) -> __m256i {
    _mm256_slli_epi32::<1>(half_product_32(x, y))
}

/// Normalises values that are not negative; returns also by how much.
#[inline]
#[target_feature(enable = "avx2")]
fn normalise(x: __m256i) -> (__m256i, __m256i) {
    let mut row = ZERO;
    store(&mut row, x);
    let norm = load(&row.map(norm_l));
    (_mm256_sllv_epi32(x, norm), norm)
}

/// Quotient in Q31; lanes that turn negative on the way are wrong and put into `wrong`.
#[inline]
#[target_feature(enable = "avx2")]
fn quotient(numerator: __m256i, denominator: __m256i, wrong: &mut __m256i) -> __m256i {
    let mut row = ZERO;
    store(&mut row, denominator);
    let approximation = load(&row.map(|d| i32::from(div_s(16383, (d >> 16) as i16))));
    let largest = _mm256_set1_epi32(i32::MAX);
    let scaled = _mm256_slli_epi32::<1>(half_product(denominator, approximation));
    let x = _mm256_sub_epi32(largest, scaled);
    let x = _mm256_slli_epi32::<1>(half_product(x, approximation));
    let product = product_32(numerator, x);
    for value in [numerator, denominator, scaled, x, product] {
        *wrong = _mm256_or_si256(*wrong, value);
    }
    let over = _mm256_cmpgt_epi32(product, _mm256_set1_epi32((1 << 29) - 1));
    _mm256_blendv_epi8(_mm256_slli_epi32::<2>(product), largest, over)
}

/// In `wrong`, the sign of a lane says that a limit could have acted, or that the filter is unstable.
#[inline]
#[target_feature(enable = "avx2")]
fn levinson(r: &[Row; ORDER + 1], a: &mut [Row; ORDER + 1], reflection: &mut [Row; 2]) -> u8 {
    let r = r.map(|r| load(&r));
    let mut p = [_mm256_setzero_si256(); ORDER + 1];
    let mut wrong = _mm256_setzero_si256();
    let even = |x| _mm256_and_si256(x, _mm256_set1_epi32(!1));
    let add = |x, y, wrong: &mut __m256i| {
        let sum = _mm256_add_epi32(x, y);
        let over = _mm256_and_si256(_mm256_xor_si256(x, sum), _mm256_xor_si256(y, sum));
        *wrong = _mm256_or_si256(*wrong, over);
        sum
    };
    // The energy that a reflection coefficient leaves.
    let rest = |k: __m256i, energy: __m256i| {
        let square = _mm256_abs_epi32(product_32(k, k));
        let u = _mm256_sub_epi32(_mm256_set1_epi32(i32::MAX), square);
        normalise(product_32(energy, u))
    };
    // Minus the quotient with the sign of `s`.
    let against = |s: __m256i, q: __m256i| {
        let positive = _mm256_cmpgt_epi32(s, _mm256_setzero_si256());
        _mm256_sub_epi32(_mm256_xor_si256(q, positive), positive)
    };
    let unstable = |k: __m256i| {
        let size = _mm256_abs_epi32(_mm256_srai_epi32::<16>(k));
        _mm256_cmpgt_epi32(size, _mm256_set1_epi32(32750))
    };
    let q = quotient(_mm256_abs_epi32(r[1]), r[0], &mut wrong);
    let mut k = against(r[1], q);
    wrong = _mm256_or_si256(wrong, unstable(k));
    store(&mut reflection[0], _mm256_srai_epi32::<16>(k));
    p[1] = even(_mm256_srai_epi32::<4>(k));
    let (mut alpha, mut exponent) = rest(k, r[0]);
    for i in 2..=ORDER {
        let mut sum = _mm256_setzero_si256();
        let mut sizes = _mm256_setzero_si256();
        for j in 1..i {
            let term = half_product_32(r[j], p[i - j]);
            sum = _mm256_add_epi32(sum, term);
            let size = _mm256_srli_epi32::<4>(_mm256_abs_epi32(term));
            sizes = _mm256_add_epi32(sizes, _mm256_add_epi32(size, _mm256_set1_epi32(1)));
        }
        // Neither the sum of the magnitudes nor the shifted sum leaves 32 bits.
        let sums_reach = _mm256_cmpgt_epi32(sizes, _mm256_set1_epi32((1 << 26) - 1));
        let shifted = _mm256_slli_epi32::<5>(sum);
        let differs = _mm256_xor_si256(_mm256_srai_epi32::<5>(shifted), sum);
        let differs = _mm256_cmpeq_epi32(differs, _mm256_setzero_si256());
        let differs = _mm256_xor_si256(differs, _mm256_set1_epi32(-1));
        wrong = _mm256_or_si256(wrong, _mm256_or_si256(sums_reach, differs));
        let s = add(shifted, r[i], &mut wrong);
        let q = quotient(_mm256_abs_epi32(s), alpha, &mut wrong);
        let q = against(s, q);
        k = _mm256_sllv_epi32(q, exponent);
        let back = _mm256_srav_epi32(k, exponent);
        let kept = _mm256_cmpeq_epi32(back, q);
        let lost = _mm256_xor_si256(kept, _mm256_set1_epi32(-1));
        wrong = _mm256_or_si256(wrong, _mm256_or_si256(lost, unstable(k)));
        if i == 2 {
            store(&mut reflection[1], _mm256_srai_epi32::<16>(k));
        }
        let previous = p;
        for j in 1..i {
            p[j] = even(add(product_32(k, previous[i - j]), previous[j], &mut wrong));
        }
        p[i] = even(_mm256_srai_epi32::<4>(k));
        let (rest, norm) = rest(k, alpha);
        (alpha, exponent) = (rest, _mm256_add_epi32(exponent, norm));
    }
    store(&mut a[0], _mm256_set1_epi32(4096));
    for (a, p) in a[1..].iter_mut().zip(&p[1..]) {
        let carry = _mm256_and_si256(_mm256_srli_epi32::<14>(*p), _mm256_set1_epi32(1));
        store(
            a,
            clamp_16(_mm256_add_epi32(_mm256_srai_epi32::<15>(*p), carry)),
        );
    }
    !bits(wrong)
}

#[inline]
#[target_feature(enable = "avx2")]
fn weight(a: &[Row; ORDER + 1], powers: &[i16; ORDER + 1]) -> [Row; ORDER + 1] {
    let mut weighted = *a;
    for i in 1..=ORDER {
        let product = _mm256_madd_epi16(load(&a[i]), _mm256_set1_epi32(i32::from(powers[i])));
        let sum = _mm256_add_epi32(product, _mm256_set1_epi32(0x4000));
        store(&mut weighted[i], _mm256_srai_epi32::<15>(sum));
    }
    weighted
}

#[inline]
#[target_feature(enable = "avx2")]
fn residual(a: &[Row; ORDER + 1], x: &[Row], y: &mut [Row; SUBFRAME]) -> u8 {
    let x: &[Row; SUBFRAME + ORDER] = x.first_chunk().expect("ten past samples and a subframe");
    let c = |k: usize| pair(load(&a[k]), load(&a[k + 1]));
    let (c0, c2, c4, c6, c8) = (c(0), c(2), c(4), c(6), c(8));
    let last = pair(load(&a[10]), _mm256_setzero_si256());
    let mut pairs = [_mm256_setzero_si256(); SUBFRAME + ORDER];
    let mut before = load(&x[0]);
    let mut magnitude = _mm256_abs_epi32(before);
    pairs[0] = pair(before, _mm256_setzero_si256());
    for n in 1..SUBFRAME + ORDER {
        let now = load(&x[n]);
        magnitude = _mm256_max_epi32(magnitude, _mm256_abs_epi32(now));
        pairs[n] = pair(now, before);
        before = now;
    }
    for (n, y) in y.iter_mut().enumerate() {
        let i = n + ORDER;
        let s = _mm256_add_epi32(
            _mm256_madd_epi16(pairs[i], c0),
            _mm256_madd_epi16(pairs[i - 2], c2),
        );
        let t = _mm256_add_epi32(
            _mm256_madd_epi16(pairs[i - 4], c4),
            _mm256_madd_epi16(pairs[i - 6], c6),
        );
        let u = _mm256_add_epi32(
            _mm256_madd_epi16(pairs[i - 8], c8),
            _mm256_madd_epi16(pairs[i - 10], last),
        );
        let sum = _mm256_add_epi32(_mm256_add_epi32(s, t), u);
        let sum = _mm256_add_epi32(sum, _mm256_set1_epi32(0x800));
        store(y, clamp_16(_mm256_srai_epi32::<12>(sum)));
    }
    bounded(a, magnitude)
}

#[inline]
#[target_feature(enable = "avx2")]
fn synthesise(a: &[Row; ORDER + 1], x: &[Row], y: &mut [Row]) -> u8 {
    const { assert!(ORDER == 10) };
    let length = x.len();
    assert!(length <= SUBFRAME && y.len() >= length + ORDER);
    let c = |k: usize| pair(load(&a[k]), load(&a[k + 1]));
    let (c1, c3, c5, c7, c9) = (c(1), c(3), c(5), c(7), c(9));
    let c0 = pair(load(&a[0]), _mm256_setzero_si256());
    let mut magnitude = _mm256_setzero_si256();
    let mut pairs = [_mm256_setzero_si256(); SUBFRAME + ORDER];
    let mut before = _mm256_setzero_si256();
    for n in 0..ORDER {
        let now = load(&y[n]);
        magnitude = _mm256_max_epi32(magnitude, _mm256_abs_epi32(now));
        pairs[n] = pair(now, before);
        before = now;
    }
    let mut newest = pairs[ORDER - 1];
    let mut inputs = _mm256_setzero_si256();
    for n in 0..length {
        let i = n + ORDER;
        let x = load(&x[n]);
        inputs = _mm256_max_epi32(inputs, _mm256_abs_epi32(x));
        let forward = _mm256_add_epi32(_mm256_madd_epi16(x, c0), _mm256_set1_epi32(0x800));
        // The newest output comes last, since everything else is known before it.
        let s = _mm256_add_epi32(
            _mm256_madd_epi16(pairs[i - 3], c3),
            _mm256_madd_epi16(pairs[i - 5], c5),
        );
        let t = _mm256_add_epi32(
            _mm256_madd_epi16(pairs[i - 7], c7),
            _mm256_madd_epi16(pairs[i - 9], c9),
        );
        let sum = _mm256_sub_epi32(forward, _mm256_add_epi32(s, t));
        let sum = _mm256_sub_epi32(sum, _mm256_madd_epi16(newest, c1));
        let now = _mm256_srai_epi32::<12>(sum);
        store(&mut y[i], now);
        magnitude = _mm256_max_epi32(magnitude, _mm256_abs_epi32(now));
        newest = pair(now, before);
        pairs[i] = newest;
        before = now;
    }
    // An output that does not fit spoils those after it, but is seen here.
    let fits = bits(_mm256_cmpgt_epi32(_mm256_set1_epi32(32768), magnitude));
    fits & bounded(a, _mm256_max_epi32(magnitude, inputs))
}

/// Exact where 22 squares of the largest value stay below 2^30.
#[inline]
#[target_feature(enable = "avx2")]
fn response_sums(h: &[Row]) -> (Row, Row, u8) {
    debug_assert!(h.len() <= 22);
    let mut magnitude = _mm256_setzero_si256();
    let (mut squares, mut neighbours) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    let mut before = _mm256_setzero_si256();
    for row in h {
        let now = _mm256_and_si256(load(row), _mm256_set1_epi32(0xFFFF));
        magnitude = _mm256_max_epi32(magnitude, _mm256_abs_epi32(load(row)));
        squares = _mm256_add_epi32(squares, _mm256_madd_epi16(now, now));
        neighbours = _mm256_add_epi32(neighbours, _mm256_madd_epi16(now, before));
        before = now;
    }
    let (mut first, mut second) = (ZERO, ZERO);
    store(&mut first, squares);
    store(&mut second, neighbours);
    let exact = bits(_mm256_cmpgt_epi32(_mm256_set1_epi32(6986), magnitude));
    (first, second, exact)
}

#[inline]
#[target_feature(enable = "avx2")]
fn tilt(mu: &Row, before: &mut Row, x: &mut [Row; SUBFRAME]) {
    let mu = load(mu);
    let mut last = load(before);
    for row in x {
        let now = load(row);
        let product = _mm256_srai_epi32::<15>(_mm256_madd_epi16(last, mu));
        store(row, clamp_16(_mm256_sub_epi32(now, product)));
        last = now;
    }
    store(before, last);
}

#[inline]
#[target_feature(enable = "avx2")]
fn quarter_energy(x: &[Row; SUBFRAME]) -> Row {
    let mut sum = _mm256_setzero_si256();
    for row in x {
        let quarter = _mm256_srai_epi32::<2>(load(row));
        let quarter = _mm256_and_si256(quarter, _mm256_set1_epi32(0xFFFF));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(quarter, quarter));
    }
    let mut sums = ZERO;
    store(&mut sums, sum);
    sums
}

#[inline]
#[target_feature(enable = "avx2")]
fn control_gain(target: &Row, gain: &mut Row, y: &mut [Row; SUBFRAME]) {
    let target = load(target);
    let mut now = load(gain);
    for row in y {
        let kept = _mm256_madd_epi16(now, _mm256_set1_epi32(29491));
        now = _mm256_add_epi32(_mm256_srai_epi32::<15>(kept), target);
        let product = _mm256_madd_epi16(load(row), now);
        store(row, clamp_16(_mm256_srai_epi32::<12>(product)));
    }
    store(gain, now);
}

#[inline]
#[target_feature(enable = "avx2")]
fn high_pass<const POST: bool>(x: &[Row; 82], past: &mut [Row; 2], y: &mut [Row; 80]) -> u8 {
    let [a1, a2, b0, b1] = if POST {
        [15836, -7667, 7699, -15398]
    } else {
        [7807, -3733, 1899, -3798]
    }
    .map(|c: i32| _mm256_set1_epi32(c));
    let b01 = pair(b0, b1);
    let b2 = pair(b0, _mm256_setzero_si256());
    let [mut y1, mut y2] = [load(&past[0]), load(&past[1])];
    let size = |x: __m256i| _mm256_xor_si256(x, _mm256_srai_epi32::<31>(x));
    let mut outputs = _mm256_max_epi32(size(y1), size(y2));
    let mut inputs = _mm256_max_epi32(size(load(&x[0])), size(load(&x[1])));
    let mut lost = _mm256_setzero_si256();
    for n in 0..80 {
        let now = load(&x[n + 2]);
        inputs = _mm256_max_epi32(inputs, size(now));
        let forward = _mm256_add_epi32(
            _mm256_madd_epi16(pair(now, load(&x[n + 1])), b01),
            _mm256_madd_epi16(load(&x[n]), b2),
        );
        let older = _mm256_add_epi32(forward, half_product(y2, a2));
        let half = _mm256_add_epi32(older, half_product(y1, a1));
        let (full, back) = if POST {
            let full = _mm256_slli_epi32::<3>(half);
            (full, _mm256_srai_epi32::<3>(full))
        } else {
            let full = _mm256_slli_epi32::<4>(half);
            (full, _mm256_srai_epi32::<4>(full))
        };
        lost = _mm256_or_si256(lost, _mm256_xor_si256(half, back));
        outputs = _mm256_max_epi32(outputs, size(full));
        (y2, y1) = (y1, full);
        let (rounded, carry) = if POST {
            (_mm256_srai_epi32::<15>(full), _mm256_srli_epi32::<14>(full))
        } else {
            (_mm256_srai_epi32::<16>(full), _mm256_srli_epi32::<15>(full))
        };
        let carry = _mm256_and_si256(carry, _mm256_set1_epi32(1));
        store(&mut y[n], _mm256_add_epi32(rounded, carry));
    }
    store(&mut past[0], y1);
    store(&mut past[1], y2);
    // The magnitudes of all terms of a sum; truncation and the rounding of floats take the rest.
    let (of_outputs, of_inputs) = if POST {
        (0.7174, 61592.0)
    } else {
        (0.3523, 15192.0)
    };
    let scaled = |x, factor| _mm256_mul_ps(_mm256_cvtepi32_ps(x), _mm256_set1_ps(factor));
    let one = _mm256_set1_epi32(1);
    let total = _mm256_add_ps(
        scaled(outputs, of_outputs),
        scaled(_mm256_add_epi32(inputs, one), of_inputs),
    );
    let below = _mm256_cmp_ps::<_CMP_LT_OQ>(total, _mm256_set1_ps(2_147_000_000.0));
    let whole = bits(_mm256_cmpeq_epi32(lost, _mm256_setzero_si256()));
    whole & _mm256_movemask_ps(below) as u8
}
