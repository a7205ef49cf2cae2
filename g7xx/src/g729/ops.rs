//! The basic operators of G.729: saturating fixed-point arithmetic on 16 and 32 bits.
//!
//! Names follow the recommendation, since every formula of it is written with them. A pair
//! `(high, low)` is the recommendation's double precision format: `high * 65536 + 2 * low`.
//! Where the recommendation reads its overflow flag, the caller here finds the overflow itself.

use super::tables::{TAB_LOG, TAB_POW, TAB_SQR};

/// Double precision format.
pub type Dpf = (i16, i16);

/// Largest 32-bit value.
pub const MAX_32: i32 = i32::MAX;
/// Smallest 32-bit value.
pub const MIN_32: i32 = i32::MIN;

#[inline(always)]
pub fn add(a: i16, b: i16) -> i16 {
    a.saturating_add(b)
}

#[inline(always)]
pub fn sub(a: i16, b: i16) -> i16 {
    a.saturating_sub(b)
}

#[inline(always)]
pub fn mult(a: i16, b: i16) -> i16 {
    ((i32::from(a) * i32::from(b)) >> 15).min(32767) as i16
}

#[inline(always)]
pub fn mult_r(a: i16, b: i16) -> i16 {
    ((i32::from(a) * i32::from(b) + 0x4000) >> 15).min(32767) as i16
}

#[inline(always)]
pub fn l_mult(a: i16, b: i16) -> i32 {
    let product = i32::from(a) * i32::from(b);
    product.saturating_add(product)
}

#[inline(always)]
pub fn l_mac(x: i32, a: i16, b: i16) -> i32 {
    x.saturating_add(l_mult(a, b))
}

#[inline(always)]
pub fn l_msu(x: i32, a: i16, b: i16) -> i32 {
    x.saturating_sub(l_mult(a, b))
}

#[inline(always)]
pub fn l_add(x: i32, y: i32) -> i32 {
    x.saturating_add(y)
}

#[inline(always)]
pub fn l_sub(x: i32, y: i32) -> i32 {
    x.saturating_sub(y)
}

#[inline(always)]
pub fn round(x: i32) -> i16 {
    (x.saturating_add(0x8000) >> 16) as i16
}

#[inline(always)]
pub fn extract_h(x: i32) -> i16 {
    (x >> 16) as i16
}

#[inline(always)]
pub fn extract_l(x: i32) -> i16 {
    x as i16
}

#[inline(always)]
pub fn l_deposit_h(a: i16) -> i32 {
    i32::from(a) << 16
}

#[inline(always)]
pub fn negate(a: i16) -> i16 {
    a.saturating_neg()
}

#[inline(always)]
pub fn l_negate(x: i32) -> i32 {
    x.saturating_neg()
}

#[inline(always)]
pub fn abs_s(a: i16) -> i16 {
    a.saturating_abs()
}

#[inline(always)]
pub fn l_abs(x: i32) -> i32 {
    x.saturating_abs()
}

/// Limits a value to 16 bits.
#[inline(always)]
pub fn clamp_16(x: i32) -> i16 {
    x.clamp(-32768, 32767) as i16
}

/// Limits a value to 32 bits.
#[inline(always)]
pub fn clamp_32(x: i64) -> i32 {
    x.clamp(i64::from(MIN_32), i64::from(MAX_32)) as i32
}

/// Shifts left by `n`, saturating; right when `n` is negative.
#[inline(always)]
pub fn shl(a: i16, n: i32) -> i16 {
    if n < 0 {
        a >> (-n).min(15)
    } else {
        clamp_16(i32::from(a) << n.min(16))
    }
}

/// Shifts right by `n`; left, saturating, when `n` is negative.
#[inline(always)]
pub fn shr(a: i16, n: i32) -> i16 {
    shl(a, -n)
}

/// Shifts left by `n`, saturating; right when `n` is negative.
#[inline(always)]
pub fn l_shl(x: i32, n: i32) -> i32 {
    if n < 0 {
        x >> (-n).min(31)
    } else {
        clamp_32(i64::from(x) << n.min(32))
    }
}

/// `l_shl` by one, in a form that becomes vectors.
#[inline(always)]
pub fn l_double(x: i32) -> i32 {
    x.saturating_add(x)
}

/// Shifts right by `n`; left, saturating, when `n` is negative.
#[inline(always)]
pub fn l_shr(x: i32, n: i32) -> i32 {
    l_shl(x, -n)
}

/// Shifts right by `n` with rounding; left, saturating, when `n` is not positive.
#[inline(always)]
pub fn shr_r(a: i16, n: i32) -> i16 {
    match n {
        16.. => 0,
        1.. => ((i32::from(a) + (1 << (n - 1))) >> n) as i16,
        _ => shl(a, -n),
    }
}

/// Shifts right by `n` with rounding; left, saturating, when `n` is not positive.
#[inline(always)]
pub fn l_shr_r(x: i32, n: i32) -> i32 {
    match n {
        32.. => 0,
        1.. => ((i64::from(x) + (1 << (n - 1))) >> n) as i32,
        _ => l_shl(x, -n),
    }
}

/// Left shift that normalises; 0 for 0.
#[inline(always)]
pub fn norm_s(a: i16) -> i32 {
    if a == 0 {
        0
    } else {
        (a ^ (a >> 15)).leading_zeros() as i32 - 1
    }
}

/// Left shift that normalises; 0 for 0.
#[inline(always)]
pub fn norm_l(x: i32) -> i32 {
    if x == 0 {
        0
    } else {
        (x ^ (x >> 31)).leading_zeros() as i32 - 1
    }
}

/// Quotient `a / b` in Q15 for `0 <= a <= b`. The recommendation defines nothing outside that; here
/// the result is then 0 or 32767, so that no bit stream can make it panic.
#[inline(always)]
pub fn div_s(a: i16, b: i16) -> i16 {
    if a <= 0 || b <= 0 {
        0
    } else if a >= b {
        32767
    } else {
        ((i32::from(a) << 15) / i32::from(b)) as i16
    }
}

#[inline(always)]
pub fn l_extract(x: i32) -> Dpf {
    ((x >> 16) as i16, ((x & 0xFFFF) >> 1) as i16)
}

#[inline(always)]
pub fn l_comp((high, low): Dpf) -> i32 {
    debug_assert!(low >= 0);
    l_deposit_h(high) + 2 * i32::from(low)
}

// Low words are never negative here: they come from `l_extract`, `log2` or a table. Then the two
// correction terms below cannot carry a product beyond 32 bits, and only the product of the high
// words needs its limit (for -32768 twice).

#[inline(always)]
pub fn mpy_32((h1, l1): Dpf, (h2, l2): Dpf) -> i32 {
    debug_assert!(l1 >= 0 && l2 >= 0);
    let correction = |h: i16, l: i16| 2 * ((i32::from(h) * i32::from(l)) >> 15);
    l_mult(h1, h2) + correction(h1, l2) + correction(h2, l1)
}

#[inline(always)]
pub fn mpy_32_16((high, low): Dpf, n: i16) -> i32 {
    debug_assert!(low >= 0);
    l_mult(high, n) + 2 * ((i32::from(low) * i32::from(n)) >> 15)
}

/// [`mpy_32_16`] of a 32-bit value, for factors that cannot both be -32768 in their high words. The
/// low halves are never negative, so the two truncated products are one.
#[inline(always)]
pub fn mpy_wide(x: i32, n: i16) -> i32 {
    (((i64::from(x >> 1) * i64::from(n)) >> 15) as i32).wrapping_mul(2)
}

/// Quotient in Q31 of `0 <= numerator <= denominator`, the denominator normalised.
#[inline]
pub fn div_32(numerator: i32, denominator: Dpf) -> i32 {
    let approximation = div_s(16383, denominator.0);
    let x = l_sub(MAX_32, mpy_32_16(denominator, approximation));
    let x = mpy_32_16(l_extract(x), approximation);
    l_shl(mpy_32(l_extract(numerator), l_extract(x)), 2)
}

/// Linear interpolation between two table entries; cannot overflow with the tables used.
#[inline(always)]
fn interpolate(table: &[i16], index: i32, u: i32) -> i32 {
    let index = index as usize;
    let (here, next) = match (table.get(index), table.get(index + 1)) {
        (Some(here), Some(next)) => (i32::from(*here), i32::from(*next)),
        _ => (0, 0),
    };
    (here << 16) - 2 * (here - next) * u
}

/// Base-2 logarithm: exponent and fraction in Q15; (0, 0) when `x` is not positive.
#[inline]
pub fn log2(x: i32) -> (i16, i16) {
    if x <= 0 {
        return (0, 0);
    }
    let exponent = norm_l(x);
    let y = x << exponent;
    let fraction = interpolate(&TAB_LOG, (y >> 25) - 32, (y >> 10) & 0x7FFF) >> 16;
    ((30 - exponent) as i16, fraction as i16)
}

/// Two to the power of `exponent` + `fraction` (Q15).
#[inline]
pub fn pow2(exponent: i16, fraction: i16) -> i32 {
    let fraction = i32::from(fraction) & 0x7FFF;
    let x = interpolate(&TAB_POW, fraction >> 10, (fraction << 5) & 0x7FFF);
    l_shr_r(x, 30 - i32::from(exponent))
}

/// Inverse square root in Q30.
#[inline]
pub fn inv_sqrt(x: i32) -> i32 {
    if x <= 0 {
        return 0x3FFF_FFFF;
    }
    let norm = norm_l(x);
    let exponent = 30 - norm;
    let y = if exponent & 1 == 0 {
        (x << norm) >> 1
    } else {
        x << norm
    };
    interpolate(&TAB_SQR, (y >> 25) - 16, (y >> 10) & 0x7FFF) >> ((exponent >> 1) + 1)
}

/// Next value of a linear congruential generator of 16 bits.
#[inline(always)]
pub fn random(seed: &mut i16) -> i16 {
    *seed = seed.wrapping_mul(31821).wrapping_add(13849);
    *seed
}

/// Saturating sum of squares in the recommendation's doubled units: all terms have one sign, so
/// the order does not matter and one limit at the end is exact.
#[inline(always)]
pub fn energy(start: i32, x: &[i16]) -> i32 {
    clamp_32(energy_wide(start, x))
}

/// The same without the limit, to see an overflow.
#[inline(always)]
pub fn energy_wide(start: i32, x: &[i16]) -> i64 {
    // Two squares fit an unsigned word; that keeps the inner loop in 32-bit lanes.
    let (pairs, rest) = x.as_chunks::<2>();
    let sum: u64 = pairs
        .iter()
        .map(|[a, b]| {
            let (a, b) = (i32::from(*a), i32::from(*b));
            u64::from((a * a) as u32 + (b * b) as u32)
        })
        .sum();
    let sum = sum
        + rest
            .iter()
            .map(|a| u64::from((i32::from(*a) * i32::from(*a)) as u32))
            .sum::<u64>();
    i64::from(start) + 2 * sum as i64
}

/// Chain of `l_mac` from zero, in order.
#[inline(always)]
pub fn mac_chain(a: &[i16], b: &[i16]) -> i32 {
    mac_chain_from(0, a, b)
}

/// Chain of `l_mac`, in order.
#[inline(always)]
pub fn mac_chain_from(start: i32, a: &[i16], b: &[i16]) -> i32 {
    a.iter()
        .zip(b)
        .fold(start, |sum, (a, b)| l_mac(sum, *a, *b))
}

/// Plain sum of products, for operands that are known not to overflow; not doubled.
#[inline(always)]
pub fn dot(a: &[i16], b: &[i16]) -> i32 {
    a.iter().zip(b).fold(0i32, |sum, (a, b)| {
        sum.wrapping_add(i32::from(*a) * i32::from(*b))
    })
}

/// Largest magnitude of a slice, 0 to 32768.
#[inline(always)]
pub fn max_magnitude(x: &[i16]) -> i32 {
    i32::from(x.iter().fold(0, |max, x| max.max(x.unsigned_abs())))
}

/// Sum of the magnitudes of a slice.
#[inline(always)]
pub fn sum_magnitudes(x: &[i16]) -> i32 {
    x.iter().map(|x| i32::from(x.unsigned_abs())).sum()
}
