//! What the decoder finds out about each channel between its filters, in lockstep: spectrum, gains, pitch.
//! Single values go through the same operators as in one channel, with every limit that can act. What
//! is said of [`stages`](super::stages) holds here too.

use super::lanes::Row;
use super::paired::{PAIRS, quarter_energy};
use super::stages::clamp_16;
use super::vector::{Mask, Vector};
use crate::g729::lpc::ORDER;
use crate::g729::tables::{COSINE_AND_SLOPE, PRED, TAB_LOG, TAB_POW, TAB_SQR};

/// Products of low halves with a constant of 16 bits.
#[inline(always)]
fn by<V: Vector<N>, const N: usize>(x: V, factor: i16) -> V {
    x.pairs(V::splat(i32::from(factor) & 0xFFFF))
}

/// Sums limited to 32 bits.
#[inline(always)]
fn add_limited<V: Vector<N>, const N: usize>(x: V, y: V) -> V {
    let sum = x.plus(y);
    let over = x.xor(sum).and(y.xor(sum));
    let limit = x.down::<31>().xor(V::splat(i32::MAX));
    limit.select(V::splat(0).above(over), sum)
}

/// Shifts to the left, limited to 32 bits; to the right where `bits` is negative.
#[inline(always)]
fn shifted<V: Vector<N>, const N: usize>(x: V, bits: V) -> V {
    let nothing = V::splat(0);
    let up = bits.at_least(nothing);
    let y = x.up_by(up);
    let limit = x.down::<31>().xor(V::splat(i32::MAX));
    let y = y.select(y.down_by(up).equal(x), limit);
    y.down_by(nothing.minus(bits).at_least(nothing))
}

/// Rounds to the upper half.
#[inline(always)]
fn round<V: Vector<N>, const N: usize>(x: V) -> V {
    let x = x.down::<1>().plus(V::splat(0x4000));
    x.down::<15>().at_most(V::splat(32767))
}

/// Between two entries of a table, as 32 bits; `u` is a fraction of fifteen bits.
#[inline(always)]
fn interpolate<V: Vector<N>, const N: usize>(table: &[i16], index: V, u: V) -> V {
    let two = V::pair_at(table, index);
    let slope = two.pairs(V::splat(0).minus(u).under(u));
    two.up::<16>().plus(slope.up::<1>())
}

/// Base-2 logarithms: exponents and fractions in Q15, 0 of what is not positive.
#[inline(always)]
fn log2<V: Vector<N>, const N: usize>(x: V) -> [V; 2] {
    let norm = x.room();
    let y = x.up_by(norm);
    let index = y.down::<25>().minus(V::splat(32));
    let u = y.down::<10>().and(V::splat(0x7FFF));
    let fraction = interpolate(&TAB_LOG, index, u).down::<16>();
    let nothing = V::splat(0);
    let positive = x.above(nothing);
    let exponent = V::splat(30).minus(norm).select(positive, nothing);
    [exponent, fraction.select(positive, nothing)]
}

/// Inverse square roots in Q30.
#[inline(always)]
fn inv_sqrt<V: Vector<N>, const N: usize>(x: V) -> V {
    let norm = x.room();
    let one = V::splat(1);
    let exponent = V::splat(30).minus(norm);
    let y = x.up_by(norm).down_by(one.minus(exponent.and(one)));
    let index = y.down::<25>().minus(V::splat(16));
    let u = y.down::<10>().and(V::splat(0x7FFF));
    let root = interpolate(&TAB_SQR, index, u).down_by(exponent.down::<1>().plus(one));
    root.select(x.above(V::splat(0)), V::splat(0x3FFF_FFFF))
}

/// Orders frequencies, keeps them apart, and turns them into cosines.
#[inline(always)]
pub fn spectrum<V: Vector<N>, const N: usize>(
    lsf: &mut [Row<N>; ORDER],
    lsp: &mut [Row<N>; ORDER],
) {
    let mut f = [V::splat(0); ORDER];
    for (f, lsf) in f.iter_mut().zip(lsf.iter()) {
        *f = V::load(lsf);
    }
    for j in 0..ORDER - 1 {
        (f[j], f[j + 1]) = (f[j].at_most(f[j + 1]), f[j].at_least(f[j + 1]));
    }
    f[0] = f[0].at_least(V::splat(40));
    for j in 0..ORDER - 1 {
        let least = f[j].plus(V::splat(321)).at_most(V::splat(32767));
        f[j + 1] = f[j + 1].at_least(least);
    }
    f[9] = f[9].at_most(V::splat(25681));
    for j in 0..ORDER {
        f[j].store(&mut lsf[j]);
        let f = by(f[j], 20861).down::<15>();
        let index = f.down::<8>().at_least(V::splat(0)).at_most(V::splat(63));
        let entry = V::pair_at(&COSINE_AND_SLOPE, index.up::<1>());
        let slope = entry.down::<16>().pairs(f.and(V::splat(0xFF)));
        let cosine = entry.up::<16>().down::<16>();
        clamp_16(cosine.plus(slope.down::<12>())).store(&mut lsp[j]);
    }
}

/// The predicted gain of a code vector of some energy times the received factor; `memory` moves on.
#[inline(always)]
pub fn code_gains<V: Vector<N>, const N: usize>(
    energy: &Row<N>,
    factor: &Row<N>,
    memory: &mut [Row<N>; 4],
) -> Row<N> {
    let [exponent, fraction] = log2(V::load(energy));
    let t = by(fraction, -24660).down::<15>().plus(by(exponent, -24660));
    // At most 2,085,632, and more than 556,000 since no energy has 32 bits.
    let t = t.up::<1>().plus(V::splat(2 * 32 * 32588));
    let mut t = t.up::<10>();
    for (coefficient, past) in PRED.iter().zip(memory.iter()) {
        t = add_limited(t, by(V::load(past), *coefficient).up::<1>());
    }
    let t = by(t.down::<16>(), 5439).down::<7>();
    let fraction = t.down_unsigned::<1>().and(V::splat(0x7FFF));
    let u = fraction.up::<5>().and(V::splat(0x7FFF));
    let power = interpolate(&TAB_POW, fraction.down::<10>(), u);
    let power = power.plus(V::splat(0x8000)).down::<16>();
    let factor = V::load(factor);
    let product = power.pairs(factor.down::<1>().and(V::splat(0xFFFF)));
    let product = product.up::<1>();
    let gain = shifted(product, t.down::<16>().minus(V::splat(10)));
    let [exponent, fraction] = log2(factor);
    let exponent = exponent.minus(V::splat(13));
    let t = exponent.up::<16>().plus(fraction.up::<1>());
    let t = shifted(t, V::splat(13)).down::<16>();
    for k in (1..4).rev() {
        memory[k] = memory[k - 1];
    }
    by(t, 24660).down::<15>().store(&mut memory[0]);
    let mut gains = [0; N];
    gain.down::<16>().store(&mut gains);
    gains
}

/// Which of the first seven sums of each channel is the largest, the later one of equals.
#[inline(always)]
pub fn largest_of_seven<V: Vector<N>, const N: usize>(sums: &[[i32; 8]; N]) -> [Row<N>; 2] {
    let rows = V::turn(sums);
    let (mut largest, mut place) = (rows[6], V::splat(6));
    for k in (0..6).rev() {
        let larger = rows[k].above(largest);
        largest = rows[k].at_least(largest);
        place = V::splat(k as i32).select(larger, place);
    }
    let mut both = [[0; N]; 2];
    largest.store(&mut both[0]);
    place.store(&mut both[1]);
    both
}

/// Factors of the residual and of that of one lag ago, Q15, from the sum of products of their quarters.
#[inline(always)]
pub fn harmonic<V: Vector<N>, const N: usize>(
    sum: &Row<N>,
    now: &[Row<N>; PAIRS],
    then: &[Row<N>; PAIRS],
) -> [Row<N>; 2] {
    let (nothing, one) = (V::splat(0), V::splat(1));
    let present = quarter_energy::<V, N>(now);
    let past = quarter_energy::<V, N>(then);
    let present = V::load(&present).up::<1>().plus(one);
    let past = V::load(&past).up::<1>().plus(one);
    let c = V::load(sum).up::<1>().at_least(nothing);
    let room = c.at_least(past).at_least(present).room();
    let (c, past) = (round(c.up_by(room)), round(past.up_by(room)));
    let present = round(present.up_by(room));
    // Products of numbers of fifteen bits.
    let differs = past.pairs(present).above(c.pairs(c).up::<1>());
    let quarter = c.down::<2>();
    let back = quarter.quotient(quarter.plus(past.down::<1>()));
    let whole = c.above(past);
    let back = V::splat(10923).select(whole, back);
    let direct = V::splat(21845).select(whole, V::splat(32767).minus(back));
    let mut factors = [[0; N]; 2];
    V::splat(1 << 15)
        .select(differs, direct)
        .store(&mut factors[0]);
    nothing.select(differs, back).store(&mut factors[1]);
    factors
}

/// Factors of the tilt filter, Q15, from sums of squares and of products with the neighbour, of 30 bits.
#[inline(always)]
pub fn tilt<V: Vector<N>, const N: usize>(squares: &Row<N>, neighbours: &Row<N>) -> Row<N> {
    let (t1, t2) = (V::load(squares), V::load(neighbours));
    let t2 = by(t2.down::<15>(), 26214).down::<15>();
    let mut factors = [0; N];
    t2.quotient(t1.down::<15>()).store(&mut factors);
    factors
}

/// What the gains of the level control go towards, from sums of squares of quarters of output and input,
/// unsigned words; and where there is an output at all.
#[inline(always)]
pub fn targets<V: Vector<N>, const N: usize>(output: &Row<N>, input: &Row<N>) -> (Row<N>, Mask) {
    let (nothing, one) = (V::splat(0), V::splat(1));
    let (output, input) = (V::load(output), V::load(input));
    // Twice of it, limited.
    let largest = V::splat(i32::MAX);
    let large = V::splat((1 << 30) - 1);
    let double = output.up::<1>();
    let out = largest.select(output.above(large), double);
    let out = largest.select(nothing.above(output), out);
    let double = input.up::<1>();
    let input_2 = largest.select(input.above(large), double);
    let input_2 = largest.select(nothing.above(input), input_2);
    let exponent = out.room().minus(one);
    let room = input_2.room();
    let out_16 = round(shifted(out, exponent));
    let in_16 = round(input_2.up_by(room));
    let x = out_16.quotient(in_16).up::<7>();
    let x = inv_sqrt(shifted(x, room.minus(exponent)));
    let target = by(round(shifted(x, V::splat(9))), 3276).down::<15>();
    let target = target.select(input_2.above(nothing), nothing);
    let mut targets = [0; N];
    target.store(&mut targets);
    (targets, V::mask(out.above(nothing)))
}
