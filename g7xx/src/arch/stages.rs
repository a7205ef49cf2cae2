//! Stages of G.729 for several channels in lockstep: one channel in each 32-bit lane.
//!
//! Recursions wait for their own last output, so one channel cannot fill a vector with them; as many
//! channels as there are lanes can. All sums are plain. Each stage says, as a bit per lane, where a bound
//! shows that no limit could have acted; the caller computes the other lanes again one by one.
//!
//! Everything is inlined into functions that are compiled for the instructions of the vector, see
//! [`Lockstep`](super::lanes::Lockstep). Closures would not be compiled for them, so there are none.

pub use super::choices::*;
use super::lanes::{Row, SUBFRAME};
pub use super::paired::*;
use super::vector::{Mask, Vector};
use crate::g729::lpc::ORDER;
use crate::g729::ops::div_s;

/// Brings samples into lanes, as many as there are rows, of which there are eight at least; each channel
/// has enough.
#[inline(always)]
pub fn gather<V: Vector<N>, const N: usize>(channels: &[&[i16]; N], rows: &mut [Row<N>]) {
    for at in blocks(rows.len()) {
        let block = &mut rows[at..at + 8];
        for (row, value) in block.iter_mut().zip(V::gather(channels, at)) {
            value.store(row);
        }
    }
}

/// Brings lanes back into channels, limited to 16 bits.
#[inline(always)]
pub fn scatter<V: Vector<N>, const N: usize>(rows: &[Row<N>], mut channels: [&mut [i16]; N]) {
    for at in blocks(rows.len()) {
        let mut values = [V::splat(0); 8];
        for (value, row) in values.iter_mut().zip(&rows[at..at + 8]) {
            *value = V::load(row);
        }
        V::scatter(values, &mut channels, at);
    }
}

/// Where the sum of the magnitudes of `a`, times `magnitude`, stays below 2^30.
#[inline(always)]
pub fn bounded<V: Vector<N>, const N: usize>(a: &[Row<N>; ORDER + 1], magnitude: V) -> Mask {
    let mut sum = V::splat(0);
    for a in a {
        sum = sum.plus(V::load(a).magnitude());
    }
    // A little less than the bound makes up for the rounding of a float.
    sum.product_below(magnitude, 1_073_700_000.0)
}

/// Limits lanes to 16 bits.
#[inline(always)]
pub fn clamp_16<V: Vector<N>, const N: usize>(x: V) -> V {
    let x = x.at_most(V::splat(32767));
    x.at_least(V::splat(-32768))
}

/// Product of a double precision value and a factor in Q15, undoubled.
#[inline(always)]
fn half_product<V: Vector<N>, const N: usize>(x: V, factor: V) -> V {
    let high = x.down_unsigned::<16>().pairs(factor);
    let low = x.down_unsigned::<1>().and(V::splat(0x7FFF));
    let low = low.pairs(factor).down::<15>();
    high.plus(low)
}

/// As long as no coefficient reaches 2^29, no sum can reach a limit.
#[inline(always)]
pub fn lsp_az<V: Vector<N>, const N: usize>(
    lsp: &[Row<N>; ORDER],
    a: &mut [Row<N>; ORDER + 1],
) -> Mask {
    let mut largest = V::splat(0);
    macro_rules! see {
        ($x:expr) => {{
            let x = $x;
            largest = largest.or(size(x));
            x
        }};
    }
    let mut f = [[V::splat(0); 6]; 2];
    for (offset, f) in f.iter_mut().enumerate() {
        f[0] = V::splat(1 << 24);
        let first = V::load(&lsp[offset]).up::<10>();
        f[1] = see!(V::splat(0).minus(first));
        macro_rules! steps {
            ($($i:literal: $($e:literal)*;)*) => {$(
                let c = V::load(&lsp[2 * ($i - 1) + offset]);
                f[$i] = f[$i - 2];
                $(
                    let t = half_product(f[$e - 1], c).up::<2>();
                    f[$e] = see!(f[$e].plus(f[$e - 2]).minus(t));
                )*
                f[1] = see!(f[1].minus(c.up::<10>()));
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
    V::splat(4096).store(&mut a[0]);
    for i in (1..=5).rev() {
        f1[i] = f1[i].plus(f1[i - 1]);
        f2[i] = f2[i].minus(f2[i - 1]);
        for (at, x) in [(i, f1[i].plus(f2[i])), (ORDER + 1 - i, f1[i].minus(f2[i]))] {
            let carry = x.down_unsigned::<12>().and(V::splat(1));
            let x = x.down::<13>().plus(carry);
            let x = x.up::<16>().down::<16>();
            x.store(&mut a[at]);
        }
    }
    V::mask(V::splat(1 << 29).above(largest))
}

/// Product of two double precision values, undoubled.
#[inline(always)]
fn half_product_32<V: Vector<N>, const N: usize>(x: V, y: V) -> V {
    let (high_x, high_y) = (x.down_unsigned::<16>(), y.down_unsigned::<16>());
    let low_x = x.down_unsigned::<1>().and(V::splat(0x7FFF));
    let low_y = y.down_unsigned::<1>().and(V::splat(0x7FFF));
    let cross = high_x.pairs(low_y).down::<15>();
    let other = high_y.pairs(low_x).down::<15>();
    high_x.pairs(high_y).plus(cross.plus(other))
}

/// [`half_product_32`], doubled.
#[inline(always)]
fn product_32<V: Vector<N>, const N: usize>(x: V, y: V) -> V {
    half_product_32(x, y).up::<1>()
}

/// Normalises values that are not negative; returns also by how much.
#[inline(always)]
fn normalise<V: Vector<N>, const N: usize>(x: V) -> (V, V) {
    let norm = x.room();
    (x.up_by(norm), norm)
}

/// Quotient in Q31; lanes that turn negative on the way are wrong and put into `wrong`.
#[inline(always)]
fn quotient<V: Vector<N>, const N: usize>(numerator: V, denominator: V, wrong: &mut V) -> V {
    let mut row = [0; N];
    denominator.store(&mut row);
    let approximation = V::load(&row.map(|d| i32::from(div_s(16383, (d >> 16) as i16))));
    let largest = V::splat(i32::MAX);
    let scaled = half_product(denominator, approximation).up::<1>();
    let x = largest.minus(scaled);
    let x = half_product(x, approximation).up::<1>();
    let product = product_32(numerator, x);
    for value in [numerator, denominator, scaled, x, product] {
        *wrong = wrong.or(value);
    }
    let over = product.above(V::splat((1 << 29) - 1));
    largest.select(over, product.up::<2>())
}

/// Pairs for [`Vector::pairs`].
#[inline(always)]
fn under<V: Vector<N>, const N: usize>(low: V, high: V) -> V {
    low.under(high)
}

/// Negative where `x` is not zero.
#[inline(always)]
fn some<V: Vector<N>, const N: usize>(x: V) -> V {
    x.or(V::splat(0).minus(x))
}

/// The value, or one's complement of a negative one.
#[inline(always)]
pub fn size<V: Vector<N>, const N: usize>(x: V) -> V {
    x.xor(x.down::<31>())
}

#[inline(always)]
fn even<V: Vector<N>, const N: usize>(x: V) -> V {
    x.and(V::splat(!1))
}

/// Sum; where it leaves 32 bits `wrong` becomes negative.
#[inline(always)]
fn add<V: Vector<N>, const N: usize>(x: V, y: V, wrong: &mut V) -> V {
    let sum = x.plus(y);
    let over = x.xor(sum).and(y.xor(sum));
    *wrong = wrong.or(over);
    sum
}

/// The energy that a reflection coefficient leaves, normalised, and by how much.
#[inline(always)]
fn rest<V: Vector<N>, const N: usize>(k: V, energy: V) -> (V, V) {
    let square = product_32(k, k).magnitude();
    let u = V::splat(i32::MAX).minus(square);
    normalise(product_32(energy, u))
}

/// Minus the quotient with the sign of `s`.
#[inline(always)]
fn against<V: Vector<N>, const N: usize>(s: V, q: V) -> V {
    q.negate_where(s.above(V::splat(0)))
}

/// Negative where the reflection coefficient makes the filter unstable.
#[inline(always)]
fn unstable<V: Vector<N>, const N: usize>(k: V) -> V {
    V::splat(32750).minus(k.down::<16>().magnitude())
}

/// In `wrong`, the sign of a lane says that a limit could have acted, or that the filter is unstable.
#[inline(always)]
pub fn levinson<V: Vector<N>, const N: usize>(
    r: &[Row<N>; ORDER + 1],
    a: &mut [Row<N>; ORDER + 1],
    reflection: &mut [Row<N>; 2],
) -> Mask {
    let r = r.map(|r| V::load(&r));
    let mut p = [V::splat(0); ORDER + 1];
    let mut wrong = V::splat(0);
    let q = quotient(r[1].magnitude(), r[0], &mut wrong);
    let mut k = against(r[1], q);
    wrong = wrong.or(unstable(k));
    k.down::<16>().store(&mut reflection[0]);
    p[1] = even(k.down::<4>());
    let (mut alpha, mut exponent) = rest(k, r[0]);
    for i in 2..=ORDER {
        let mut sum = V::splat(0);
        let mut sizes = V::splat(0);
        for j in 1..i {
            let term = half_product_32(r[j], p[i - j]);
            sum = sum.plus(term);
            let size = term.magnitude().down_unsigned::<4>();
            sizes = sizes.plus(size.plus(V::splat(1)));
        }
        // Neither the sum of the magnitudes nor the shifted sum leaves 32 bits.
        let sums_reach = V::splat((1 << 26) - 1).minus(sizes);
        let shifted = sum.up::<5>();
        let differs = some(shifted.down::<5>().xor(sum));
        wrong = wrong.or(sums_reach.or(differs));
        let s = add(shifted, r[i], &mut wrong);
        let q = quotient(s.magnitude(), alpha, &mut wrong);
        let q = against(s, q);
        k = q.up_by(exponent);
        let back = k.down_by(exponent);
        let lost = some(back.xor(q));
        wrong = wrong.or(lost.or(unstable(k)));
        if i == 2 {
            k.down::<16>().store(&mut reflection[1]);
        }
        let previous = p;
        for j in 1..i {
            p[j] = even(add(product_32(k, previous[i - j]), previous[j], &mut wrong));
        }
        p[i] = even(k.down::<4>());
        let (rest, norm) = rest(k, alpha);
        (alpha, exponent) = (rest, exponent.plus(norm));
    }
    V::splat(4096).store(&mut a[0]);
    for (a, p) in a[1..].iter_mut().zip(&p[1..]) {
        let carry = p.down_unsigned::<14>().and(V::splat(1));
        clamp_16(p.down::<15>().plus(carry)).store(a);
    }
    !wrong.negative()
}

#[inline(always)]
pub fn weight<V: Vector<N>, const N: usize>(
    a: &[Row<N>; ORDER + 1],
    powers: &[i16; ORDER + 1],
) -> [Row<N>; ORDER + 1] {
    let mut weighted = *a;
    for i in 1..=ORDER {
        let product = V::load(&a[i]).pairs(V::splat(i32::from(powers[i])));
        let sum = product.plus(V::splat(0x4000));
        sum.down::<15>().store(&mut weighted[i]);
    }
    weighted
}

/// Each coefficient in a pair with the next, or with nothing.
#[inline(always)]
fn coefficients<V: Vector<N>, const N: usize>(a: &[Row<N>; ORDER + 1]) -> [V; ORDER + 1] {
    let mut pairs = [V::splat(0); ORDER + 1];
    let mut next = V::splat(0);
    for (pair, a) in pairs.iter_mut().zip(a).rev() {
        let now = V::load(a);
        *pair = under(now, next);
        next = now;
    }
    pairs
}

#[inline(always)]
pub fn residual<V: Vector<N>, const N: usize>(
    a: &[Row<N>; ORDER + 1],
    x: &[Row<N>],
    y: &mut [Row<N>; SUBFRAME],
) -> Mask {
    let x: &[Row<N>; SUBFRAME + ORDER] = x.first_chunk().expect("ten past samples and a subframe");
    let c: [V; ORDER + 1] = coefficients(a);
    let (c0, c2, c4, c6, c8) = (c[0], c[2], c[4], c[6], c[8]);
    let last = c[10];
    let mut pairs = [V::splat(0); SUBFRAME + ORDER];
    let mut before = V::load(&x[0]);
    let mut magnitude = before.magnitude();
    pairs[0] = under(before, V::splat(0));
    for n in 1..SUBFRAME + ORDER {
        let now = V::load(&x[n]);
        magnitude = magnitude.at_least(now.magnitude());
        pairs[n] = under(now, before);
        before = now;
    }
    for (n, y) in y.iter_mut().enumerate() {
        let i = n + ORDER;
        let s = pairs[i].pairs(c0).plus(pairs[i - 2].pairs(c2));
        let t = pairs[i - 4].pairs(c4).plus(pairs[i - 6].pairs(c6));
        let u = pairs[i - 8].pairs(c8).plus(pairs[i - 10].pairs(last));
        let sum = s.plus(t).plus(u);
        let sum = sum.plus(V::splat(0x800));
        clamp_16(sum.down::<12>()).store(y);
    }
    bounded(a, magnitude)
}

#[inline(always)]
pub fn synthesise<V: Vector<N>, const N: usize>(
    a: &[Row<N>; ORDER + 1],
    x: &[Row<N>],
    y: &mut [Row<N>],
) -> Mask {
    const { assert!(ORDER == 10) };
    let length = x.len();
    assert!(length <= SUBFRAME && y.len() >= length + ORDER);
    let c: [V; ORDER + 1] = coefficients(a);
    let (c1, c3, c5, c7, c9) = (c[1], c[3], c[5], c[7], c[9]);
    let c0 = under(V::load(&a[0]), V::splat(0));
    let mut magnitude = V::splat(0);
    let mut pairs = [V::splat(0); SUBFRAME + ORDER];
    let mut before = V::splat(0);
    for n in 0..ORDER {
        let now = V::load(&y[n]);
        magnitude = magnitude.at_least(now.magnitude());
        pairs[n] = under(now, before);
        before = now;
    }
    let mut newest = pairs[ORDER - 1];
    let mut inputs = V::splat(0);
    for n in 0..length {
        let i = n + ORDER;
        let x = V::load(&x[n]);
        inputs = inputs.at_least(x.magnitude());
        let forward = x.pairs(c0).plus(V::splat(0x800));
        // The newest output comes last, since everything else is known before it.
        let s = pairs[i - 3].pairs(c3).plus(pairs[i - 5].pairs(c5));
        let t = pairs[i - 7].pairs(c7).plus(pairs[i - 9].pairs(c9));
        let sum = forward.minus(s.plus(t));
        let sum = sum.minus(newest.pairs(c1));
        let now = sum.down::<12>();
        now.store(&mut y[i]);
        magnitude = magnitude.at_least(now.magnitude());
        newest = under(now, before);
        pairs[i] = newest;
        before = now;
    }
    // An output that does not fit spoils those after it, but is seen here.
    let fits = V::mask(V::splat(32768).above(magnitude));
    fits & bounded(a, magnitude.at_least(inputs))
}

#[inline(always)]
pub fn high_pass<V: Vector<N>, const N: usize>(
    x: &[Row<N>; 82],
    past: &mut [Row<N>; 2],
    y: &mut [Row<N>; 80],
) -> Mask {
    // 140 Hz and half the amplitude.
    let [a1, a2, b0, b1] = [7807, -3733, 1899, -3798].map(|c: i32| V::splat(c));
    let b01 = under(b0, b1);
    let b2 = under(b0, V::splat(0));
    let [mut y1, mut y2] = [V::load(&past[0]), V::load(&past[1])];
    let mut outputs = size(y1).at_least(size(y2));
    let mut inputs = size(V::load(&x[0])).at_least(size(V::load(&x[1])));
    let mut lost = V::splat(0);
    for n in 0..80 {
        let now = V::load(&x[n + 2]);
        inputs = inputs.at_least(size(now));
        let forward = under(now, V::load(&x[n + 1]))
            .pairs(b01)
            .plus(V::load(&x[n]).pairs(b2));
        let older = forward.plus(half_product(y2, a2));
        let half = older.plus(half_product(y1, a1));
        let full = half.up::<4>();
        let back = full.down::<4>();
        lost = lost.or(half.xor(back));
        outputs = outputs.at_least(size(full));
        (y2, y1) = (y1, full);
        let (rounded, carry) = (full.down::<16>(), full.down_unsigned::<15>());
        let carry = carry.and(V::splat(1));
        rounded.plus(carry).store(&mut y[n]);
    }
    y1.store(&mut past[0]);
    y2.store(&mut past[1]);
    // The magnitudes of all terms of a sum; truncation and the rounding of floats take the rest.
    let inputs = inputs.plus(V::splat(1));
    let below = outputs.scaled_sum_below(0.3523, inputs, 15192.0, 2_147_000_000.0);
    V::mask(lost.equal(V::splat(0))) & below
}
