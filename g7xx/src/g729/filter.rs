//! The two filters of which everything else is made: the residual through A(z) and the synthesis
//! through 1/A(z), both of order ten.
//!
//! The recommendation adds in a fixed order and limits every sum. Here the sums are plain, and a
//! bound over the largest coefficient sum and sample shows that no limit could have acted;
//! otherwise the block is computed again, limit by limit.

use super::lpc::{ORDER, Predictor};
use super::ops::*;
use crate::arch::Kernels;

/// Samples of a subframe.
pub const SUBFRAME: usize = 40;

/// Filter memory: the last ten outputs, oldest first.
pub type Memory = [i16; ORDER];

/// Whether no sum of `coefficients` times samples of at most `magnitude` can leave 32 bits when doubled.
#[inline(always)]
fn bounded(coefficients: i32, magnitude: i32) -> bool {
    i64::from(coefficients) * i64::from(magnitude) < 1 << 30
}

/// Output sample of a plain (undoubled) sum: shifted by three, rounded, limited.
#[inline(always)]
fn finish(sum: i32) -> i16 {
    clamp_16(sum.wrapping_add(0x800) >> 12)
}

/// Residual where no sum can leave 32 bits.
#[inline(always)]
pub fn residual_plain(a: &Predictor, x: &[i16; SUBFRAME + ORDER]) -> [i16; SUBFRAME] {
    let mut sums = [0i32; SUBFRAME];
    for (j, a) in a.iter().enumerate() {
        let x: &[i16; SUBFRAME] = window(x, ORDER - j);
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum += i32::from(*a) * i32::from(*x);
        }
    }
    sums.map(finish)
}

/// Residual of `x[10..]` through the predictor; `x` starts with ten past samples.
#[inline(always)]
pub fn residual<K: Kernels>(a: &Predictor, x: &[i16; SUBFRAME + ORDER], y: &mut [i16; SUBFRAME]) {
    if bounded(sum_magnitudes(a), max_magnitude(x)) {
        *y = K::residual(a, x);
    } else {
        residual_limited(a, x, y);
    }
}

/// The same with every limit.
#[inline(never)]
fn residual_limited(a: &Predictor, x: &[i16; SUBFRAME + ORDER], y: &mut [i16; SUBFRAME]) {
    for (n, y) in y.iter_mut().enumerate() {
        let mut sum = l_mult(x[n + ORDER], a[0]);
        for j in 1..=ORDER {
            sum = l_mac(sum, a[j], x[n + ORDER - j]);
        }
        *y = round(l_shl(sum, 3));
    }
}

/// Outputs that are made at a time.
const BLOCK: usize = 8;
/// Memory and outputs of a synthesis.
pub type Area = [i16; SUBFRAME + ORDER];

/// Plain synthesis without any limit, `FOURS` times four outputs; returns whether the result is
/// exact, which it is unless an output or a sum did not fit. What the outputs before a block add to
/// it is found for the whole block at once.
#[inline(always)]
pub fn synthesise_plain<const FOURS: usize>(
    a: &Predictor,
    x: &[i16; SUBFRAME],
    area: &mut Area,
) -> bool {
    const { assert!(4 * FOURS <= SUBFRAME && (4 * FOURS).is_multiple_of(BLOCK)) };
    let c = a.map(i32::from);
    let narrow = a.map(i64::from);
    let mut tails = [0i32; ORDER + 1 + BLOCK];
    tails[..ORDER + 1].copy_from_slice(&c);
    let mut wide = [0i32; ORDER + SUBFRAME];
    for k in 0..ORDER {
        wide[k] = i32::from(area[k]);
    }
    for start in (0..4 * FOURS).step_by(BLOCK) {
        let past: [i32; ORDER] = *window(&wide, start);
        let block: &[i16; BLOCK] = window(x, start);
        let mut sums = [0x800i32; BLOCK];
        for i in 0..BLOCK {
            sums[i] = sums[i].wrapping_add(c[0].wrapping_mul(i32::from(block[i])));
        }
        for (m, past) in past.iter().enumerate() {
            for (sum, tail) in sums.iter_mut().zip(&tails[10 - m..18 - m]) {
                *sum = sum.wrapping_sub(tail.wrapping_mul(*past));
            }
        }
        // In 64 bits this stays a chain of single products: vectors of them would only wait for
        // one another. An output that does not fit may become anything.
        let mut y = [0i64; BLOCK];
        macro_rules! outputs {
            ($($i:literal: $($k:literal)*;)*) => {$(
                let sum = i64::from(sums[$i]) $(- narrow[$k] * y[$i - $k])*;
                y[$i] = i64::from(sum as i32 >> 12);
            )*};
        }
        outputs! {
            0: ;
            1: 1;
            2: 2 1;
            3: 3 2 1;
            4: 4 3 2 1;
            5: 5 4 3 2 1;
            6: 6 5 4 3 2 1;
            7: 7 6 5 4 3 2 1;
        }
        let block: &mut [i32; BLOCK] = window_mut(&mut wide, ORDER + start);
        *block = y.map(|y| y as i32);
    }
    let mut fits = 0;
    for (y, wide) in area[ORDER..].iter_mut().zip(&wide[ORDER..]) {
        *y = *wide as i16;
        fits |= *wide ^ i32::from(*y);
    }
    fits == 0 && bounded(sum_magnitudes(a), max_magnitude(x).max(max_magnitude(area)))
}

/// Synthesis with every limit; returns whether one of them acted.
#[inline(never)]
pub fn synthesise_limited(a: &Predictor, x: &[i16; SUBFRAME], area: &mut Area) -> bool {
    let mut overflow = false;
    let mut watch = |wide: i64| {
        let limited = clamp_32(wide);
        overflow |= i64::from(limited) != wide;
        limited
    };
    for n in 0..SUBFRAME {
        let mut sum = watch(2 * i64::from(x[n]) * i64::from(a[0]));
        for k in 1..=ORDER {
            let product = watch(2 * i64::from(a[k]) * i64::from(area[ORDER + n - k]));
            sum = watch(i64::from(sum) - i64::from(product));
        }
        let shifted = watch(i64::from(sum) << 3);
        area[ORDER + n] = extract_h(watch(i64::from(shifted) + 0x8000));
    }
    overflow
}

/// Area of a synthesis with its past in place.
#[inline(always)]
pub fn area_of(memory: &Memory) -> Area {
    let mut area = [0; SUBFRAME + ORDER];
    area[..ORDER].copy_from_slice(memory);
    area
}

/// The outputs in an area.
#[inline(always)]
pub fn outputs_of(area: &Area) -> [i16; SUBFRAME] {
    *window(area, ORDER)
}

/// Synthesis of a subframe through `1/A(z)` after the outputs in `memory`, which stay as they are;
/// of several filters at once, which takes little longer than of one.
#[inline(always)]
pub fn synthesise_together<K: Kernels, const M: usize>(
    a: [&Predictor; M],
    x: [&[i16; SUBFRAME]; M],
    memories: [&Memory; M],
) -> [[i16; SUBFRAME]; M] {
    let mut areas = memories.map(area_of);
    let exact = K::synthesise::<M, { SUBFRAME / 4 }>(a, x, areas.each_mut());
    for m in 0..M {
        if !exact[m] {
            synthesise_limited(a[m], x[m], &mut areas[m]);
        }
    }
    areas.each_ref().map(outputs_of)
}

/// Synthesis of a subframe; the memory is not changed.
#[inline(always)]
pub fn synthesise_only<K: Kernels>(
    a: &Predictor,
    x: &[i16; SUBFRAME],
    memory: &Memory,
) -> [i16; SUBFRAME] {
    let [y] = synthesise_together::<K, 1>([a], [x], [memory]);
    y
}

/// Synthesis of a subframe; the memory becomes its last ten outputs.
#[inline(always)]
pub fn synthesise<K: Kernels>(
    a: &Predictor,
    x: &[i16; SUBFRAME],
    memory: &mut Memory,
) -> [i16; SUBFRAME] {
    let y = synthesise_only::<K>(a, x, memory);
    memory.copy_from_slice(&y[SUBFRAME - ORDER..]);
    y
}

/// Synthesis of a subframe that also says whether a limit acted (the decoder then rescales).
#[inline(always)]
pub fn synthesise_checked<K: Kernels>(
    a: &Predictor,
    x: &[i16; SUBFRAME],
    memory: &Memory,
) -> ([i16; SUBFRAME], bool) {
    let mut area = area_of(memory);
    let [exact] = K::synthesise::<1, { SUBFRAME / 4 }>([a], [x], [&mut area]);
    let overflow = !exact && synthesise_limited(a, x, &mut area);
    (outputs_of(&area), overflow)
}

/// Impulse response of `numerator / denominator`, `N` samples, of which `FOURS` times four are made.
#[inline(always)]
pub fn impulse_response<K: Kernels, const N: usize, const FOURS: usize>(
    numerator: &Predictor,
    denominator: &Predictor,
) -> [i16; N] {
    const { assert!(N <= 4 * FOURS) };
    let x = response_input(numerator);
    let mut area = [0; SUBFRAME + ORDER];
    let [exact] = K::synthesise::<1, FOURS>([denominator], [&x], [&mut area]);
    if !exact {
        synthesise_limited(denominator, &x, &mut area);
    }
    *window(&area, ORDER)
}

/// What a synthesis is fed with to give the response of a numerator.
#[inline(always)]
pub fn response_input(numerator: &Predictor) -> [i16; SUBFRAME] {
    let mut x = [0; SUBFRAME];
    x[..ORDER + 1].copy_from_slice(numerator);
    x
}

/// Convolution of `x` with the impulse response `h`, cut (not rounded) to 16 bits.
#[inline(always)]
pub fn convolve(x: &[i16; SUBFRAME], h: &[i16; SUBFRAME]) -> [i16; SUBFRAME] {
    core::array::from_fn(|n| {
        let sum = (0..=n).fold(0, |sum, i| l_mac(sum, x[i], h[n - i]));
        extract_h(l_shl(sum, 3))
    })
}

/// `N` samples of a buffer from `start` on, to be written.
#[inline(always)]
pub fn window_mut<const N: usize, T>(x: &mut [T], start: usize) -> &mut [T; N] {
    x[start..]
        .first_chunk_mut()
        .expect("buffers are longer than any window into them")
}

/// `N` samples of a buffer from `start` on.
#[inline(always)]
pub fn window<const N: usize, T>(x: &[T], start: usize) -> &[T; N] {
    x[start..]
        .first_chunk()
        .expect("buffers are longer than any window into them")
}
