//! Stages of the decoder in lockstep, over two samples of a channel in each lane: the earlier one in the
//! low half, so that one register is two samples of every channel. What is said of
//! [`stages`](super::stages) holds here too.

use super::lanes::Row;
use super::stages::{bounded, size};
use super::vector::{Mask, Vector};
use crate::g729::lpc::ORDER;

/// Pairs of a subframe.
pub const PAIRS: usize = 20;
/// Pairs of the past that a filter of order ten needs.
pub const PAST_PAIRS: usize = ORDER / 2;
/// Pairs of the impulse response that gives the tilt.
const RESPONSE_PAIRS: usize = 11;

/// Where each block of eight begins; the last overlaps the one before it.
#[inline(always)]
pub fn blocks(rows: usize) -> impl Iterator<Item = usize> {
    (0..rows).step_by(8).map(move |at| at.min(rows - 8))
}

/// Brings samples into lanes; each channel has twice as many as `rows`, of which there are eight at
/// least.
#[inline(always)]
pub fn gather_pairs<V: Vector<N>, const N: usize>(channels: &[&[i16]; N], rows: &mut [Row<N>]) {
    for at in blocks(rows.len()) {
        let block = &mut rows[at..at + 8];
        for (row, value) in block.iter_mut().zip(V::gather_pairs(channels, 2 * at)) {
            value.store(row);
        }
    }
}

/// The way back.
#[inline(always)]
pub fn scatter_pairs<V: Vector<N>, const N: usize>(rows: &[Row<N>], mut channels: [&mut [i16]; N]) {
    for at in blocks(rows.len()) {
        let mut values = [V::splat(0); 8];
        for (value, row) in values.iter_mut().zip(&rows[at..at + 8]) {
            *value = V::load(row);
        }
        V::scatter_pairs(values, &mut channels, 2 * at);
    }
}

/// Coefficients as pairs of samples meet them, the newest pair first, for the earlier output of a
/// pair and for the later one.
#[inline(always)]
fn coefficients<V: Vector<N>, const N: usize>(a: &[Row<N>; ORDER + 1]) -> [[V; PAST_PAIRS + 1]; 2] {
    let mut pairs = [[V::splat(0); PAST_PAIRS + 1]; 2];
    for k in 0..=PAST_PAIRS {
        let now = V::load(&a[2 * k]);
        let (mut before, mut next) = (V::splat(0), V::splat(0));
        if k > 0 {
            before = V::load(&a[2 * k - 1]);
        }
        if k < PAST_PAIRS {
            next = V::load(&a[2 * k + 1]);
        }
        pairs[0][k] = now.under(before);
        pairs[1][k] = next.under(now);
    }
    pairs
}

/// The larger half of each lane.
#[inline(always)]
fn larger_half<V: Vector<N>, const N: usize>(x: V) -> V {
    x.and(V::splat(0xFFFF)).at_least(x.down_unsigned::<16>())
}

#[inline(always)]
pub fn residual_pairs<V: Vector<N>, const N: usize>(
    a: &[Row<N>; ORDER + 1],
    x: &[Row<N>],
    y: &mut [Row<N>; PAIRS],
) -> Mask {
    let x: &[Row<N>; PAIRS + PAST_PAIRS] = x.first_chunk().expect("ten past samples, a subframe");
    let [even, odd] = coefficients::<V, N>(a);
    let half = V::splat(0x800);
    let mut magnitude = V::splat(0);
    for row in &x[..PAST_PAIRS] {
        magnitude = magnitude.halves_at_least(V::load(row).halves_magnitude());
    }
    for (n, y) in y.iter_mut().enumerate() {
        let p = [
            V::load(&x[n + 5]),
            V::load(&x[n + 4]),
            V::load(&x[n + 3]),
            V::load(&x[n + 2]),
            V::load(&x[n + 1]),
            V::load(&x[n]),
        ];
        magnitude = magnitude.halves_at_least(p[0].halves_magnitude());
        let (mut first, mut second) = (half, half);
        for k in 0..=PAST_PAIRS {
            first = first.plus(p[k].pairs(even[k]));
            second = second.plus(p[k].pairs(odd[k]));
        }
        first.down::<12>().narrow(second.down::<12>()).store(y);
    }
    bounded(a, larger_half(magnitude))
}

/// Each output is taken off the sums of the ten after it. Only what the next two get waits for it.
#[inline(always)]
pub fn synthesise_pairs<V: Vector<N>, const N: usize>(
    a: &[Row<N>; ORDER + 1],
    x: &[Row<N>],
    y: &mut [Row<N>],
) -> Mask {
    const { assert!(PAST_PAIRS == 5) };
    let (past, y) = y.split_at_mut(PAST_PAIRS);
    assert!(y.len() >= x.len());
    let [even, odd] = coefficients::<V, N>(a);
    let word = V::splat(0xFFFF);
    let (first, second) = (V::load(&a[1]).and(word), V::load(&a[2]).and(word));
    let scale = V::load(&a[0]);
    let scale = [scale.and(word), scale.up::<16>()];
    let half = V::splat(0x800);
    let mut ahead = [half; ORDER];
    let mut others = V::splat(0);
    for (m, row) in past.iter().rev().enumerate() {
        let p = V::load(row);
        others = others.halves_at_least(p.halves_magnitude());
        for t in 0..PAST_PAIRS - m {
            ahead[2 * t] = ahead[2 * t].minus(p.pairs(even[t + m + 1]));
            ahead[2 * t + 1] = ahead[2 * t + 1].minus(p.pairs(odd[t + m + 1]));
        }
    }
    let mut outputs = V::splat(0);
    for (x, y) in x.iter().zip(y) {
        let x = V::load(x);
        others = others.halves_at_least(x.halves_magnitude());
        let now = ahead[0].plus(x.pairs(scale[0])).down::<12>();
        let next = ahead[1].plus(x.pairs(scale[1])).minus(now.pairs(first));
        let next = next.down::<12>();
        let p = now.narrow(next);
        p.store(y);
        outputs = outputs.halves_at_least(p.halves_magnitude());
        ahead = [
            ahead[2].minus(now.pairs(second)).minus(next.pairs(first)),
            ahead[3].minus(p.pairs(odd[1])),
            ahead[4].minus(p.pairs(even[2])),
            ahead[5].minus(p.pairs(odd[2])),
            ahead[6].minus(p.pairs(even[3])),
            ahead[7].minus(p.pairs(odd[3])),
            ahead[8].minus(p.pairs(even[4])),
            ahead[9].minus(p.pairs(odd[4])),
            half.minus(p.pairs(even[5])),
            half.minus(p.pairs(odd[5])),
        ];
    }
    // An output that does not fit is limited, and seen here; what comes after it is spoilt.
    let outputs = larger_half(outputs);
    let fits = V::mask(V::splat(32767).above(outputs));
    fits & bounded(a, larger_half(others).at_least(outputs))
}

/// Exact where the response is, and 22 squares of its largest value stay below 2^30.
#[inline(always)]
pub fn response_sums<V: Vector<N>, const N: usize>(
    numerator: &[Row<N>; ORDER + 1],
    denominator: &[Row<N>; ORDER + 1],
) -> (Row<N>, Row<N>, Mask) {
    let mut x = [[0; N]; RESPONSE_PAIRS];
    for k in 0..PAST_PAIRS {
        let pair = V::load(&numerator[2 * k]).under(V::load(&numerator[2 * k + 1]));
        pair.store(&mut x[k]);
    }
    let last = V::load(&numerator[ORDER]).and(V::splat(0xFFFF));
    last.store(&mut x[PAST_PAIRS]);
    let mut h = [[0; N]; RESPONSE_PAIRS + PAST_PAIRS];
    let exact = synthesise_pairs::<V, N>(denominator, &x, &mut h);
    let mut magnitude = V::splat(0);
    let (mut squares, mut neighbours) = (V::splat(0), V::splat(0));
    let mut before = V::splat(0);
    for row in &h[PAST_PAIRS..] {
        let now = V::load(row);
        magnitude = magnitude.halves_at_least(now.halves_magnitude());
        squares = squares.plus(now.pairs(now));
        neighbours = neighbours.plus(now.pairs(later(before, now)));
        before = now;
    }
    let (mut first, mut second) = ([0; N], [0; N]);
    squares.store(&mut first);
    neighbours.store(&mut second);
    let small = V::mask(V::splat(6986).above(larger_half(magnitude)));
    (first, second, exact & small)
}

/// The samples one before those of `now`.
#[inline(always)]
fn later<V: Vector<N>, const N: usize>(before: V, now: V) -> V {
    before.down_unsigned::<16>().under(now)
}

/// A factor in Q15, 0 to 2^15, for [`times`]: twice of it as a signed half, and all bits where that is
/// less than it should be by 65536.
#[inline(always)]
fn factor<V: Vector<N>, const N: usize>(q15: &Row<N>) -> [V; 2] {
    let q15 = V::load(q15);
    let double = q15.plus(q15);
    // 0, 1 or 2 turned round.
    let high = V::splat(0).minus(q15.down_unsigned::<14>()).down::<1>();
    [double.under(double), high.under(high)]
}

/// Products with a factor, cut.
#[inline(always)]
fn times<V: Vector<N>, const N: usize>(x: V, factor: [V; 2]) -> V {
    x.halves_high(factor[0]).halves_plus(x.and(factor[1]))
}

#[inline(always)]
pub fn strengthen<V: Vector<N>, const N: usize>(
    now: &[Row<N>; PAIRS],
    then: &[Row<N>; PAIRS],
    factors: &[Row<N>; 2],
    mu: &Row<N>,
    last: &mut Row<N>,
    x: &mut [Row<N>; PAIRS],
) {
    let (direct, back, mu) = (
        factor::<V, N>(&factors[0]),
        factor::<V, N>(&factors[1]),
        factor(mu),
    );
    let mut before = V::load(last);
    for ((now, then), x) in now.iter().zip(then).zip(x) {
        let strong = times(V::load(now), direct).halves_plus_limited(times(V::load(then), back));
        let tilt = times(later(before, strong), mu);
        strong.halves_minus_limited(tilt).store(x);
        before = strong;
    }
    before.store(last);
}

#[inline(always)]
pub fn quarter_energy<V: Vector<N>, const N: usize>(x: &[Row<N>; PAIRS]) -> Row<N> {
    let mut sum = V::splat(0);
    for row in x {
        let quarters = V::load(row).halves_down::<2>();
        sum = sum.plus(quarters.pairs(quarters));
    }
    let mut sums = [0; N];
    sum.store(&mut sums);
    sums
}

#[inline(always)]
pub fn level<V: Vector<N>, const N: usize>(
    targets: &[Row<N>; 2],
    gain: &mut Row<N>,
    y: &[Row<N>; 2 * PAIRS],
    past_input: &mut Row<N>,
    past: &mut [Row<N>; 2],
    output: &mut [Row<N>; 2 * PAIRS],
) -> Mask {
    // 100 Hz; factors of past sums have the shift behind the sum in them.
    let a = [V::splat(15836 << 2), V::splat(-7667 << 2)];
    let (b0, b1) = (V::splat(7699), V::splat(-15398));
    let nothing = V::splat(0);
    let even = [b0.under(nothing), b0.under(b1)];
    let odd = [b1.under(b0), nothing.under(b0)];
    let half = V::splat(0x800);
    let kept = V::splat(29491);
    let mut now = V::load(gain);
    let mut before = V::load(past_input);
    let [mut y1, mut y2] = [V::load(&past[0]), V::load(&past[1])];
    let mut sizes = size(y1).at_least(size(y2));
    let mut inputs = before.halves_magnitude();
    for (subframe, target) in targets.iter().enumerate() {
        let target = V::load(target);
        let at = PAIRS * subframe;
        for (y, output) in y[at..at + PAIRS].iter().zip(&mut output[at..at + PAIRS]) {
            let y = V::load(y);
            now = now.pairs(kept).down::<15>().plus(target);
            let first = y.pairs(now).down::<12>();
            now = now.pairs(kept).down::<15>().plus(target);
            let second = y.pairs(now.up::<16>()).down::<12>();
            let x = first.narrow(second);
            inputs = inputs.halves_at_least(x.halves_magnitude());
            let first = x.pairs(even[0]).plus(before.pairs(even[1]));
            let first = first.plus(y2.times_15(a[1])).plus(y1.times_15(a[0]));
            let second = x.pairs(odd[0]).plus(before.pairs(odd[1]));
            let second = second.plus(y1.times_15(a[1])).plus(first.times_15(a[0]));
            sizes = sizes.at_least(size(first)).at_least(size(second));
            (y2, y1) = (first, second);
            before = x;
            let (first, second) = (first.plus(half), second.plus(half));
            first.down::<12>().narrow(second.down::<12>()).store(output);
        }
    }
    now.store(gain);
    before.store(past_input);
    y1.store(&mut past[0]);
    y2.store(&mut past[1]);
    // Sums are shifted up by three. The magnitudes of all terms of a sum; truncation and the rounding
    // of floats take the rest.
    let fits = V::mask(V::splat(1 << 28).above(sizes));
    let inputs = larger_half(inputs).plus(V::splat(1));
    fits & sizes.scaled_sum_below(8.0 * 0.7174, inputs, 61592.0, 2_147_000_000.0)
}
