//! Vectors of 32-bit lanes: a few operations under one name for every kind of processor.
//!
//! Code over [`Vector`] is written once. [`Portable`] runs it anywhere, so that tests on any machine
//! cover its logic; each of the other kinds is one instruction or two for an operation, and
//! `every_operation_is_the_portable_one` compares them all.

use crate::g729::ops::{clamp_16, div_s, norm_l};

/// A set of lanes: bit `k` belongs to lane `k`.
pub type Mask = u16;

/// The first sixteen bits of a set, as many as there are lanes.
pub const fn all_lanes(lanes: usize) -> Mask {
    (0xFFFFu32 >> (16 - lanes)) as Mask
}

/// `N` lanes of 32 bits. Sums and products wrap around.
pub trait Vector<const N: usize>: Copy {
    /// Lanes in which a comparison holds, in the form that the processor likes best.
    type Lanes: Copy;

    /// Lane `k` is element `k`.
    fn load(row: &[i32; N]) -> Self;
    /// The way back.
    fn store(self, row: &mut [i32; N]);
    /// The same value in every lane.
    fn splat(value: i32) -> Self;
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    /// Sum of the products of the signed low halves and of the signed high halves.
    fn pairs(self, other: Self) -> Self;
    /// Arithmetic shift to the right.
    fn down<const BITS: u32>(self) -> Self;
    /// Logical shift to the right.
    fn down_unsigned<const BITS: u32>(self) -> Self;
    /// Shift to the left.
    fn up<const BITS: u32>(self) -> Self;
    /// Arithmetic shift to the right, in each lane by its own number of bits; by 32 and more the sign.
    fn down_by(self, bits: Self) -> Self;
    /// Shift to the left, in each lane by its own number of bits; by 32 and more nothing is left.
    fn up_by(self, bits: Self) -> Self;
    /// Magnitude; the smallest value stays what it is.
    fn magnitude(self) -> Self;
    fn at_most(self, other: Self) -> Self;
    fn at_least(self, other: Self) -> Self;
    fn and(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    /// The low half of `self`, and above it the low half of `high`.
    fn under(self, high: Self) -> Self;
    fn above(self, other: Self) -> Self::Lanes;
    fn equal(self, other: Self) -> Self::Lanes;
    /// `self` where `lanes` holds, else `other`.
    fn select(self, lanes: Self::Lanes, other: Self) -> Self;
    /// Negative where `lanes` holds (minus the value, wrapping).
    fn negate_where(self, lanes: Self::Lanes) -> Self;
    fn mask(lanes: Self::Lanes) -> Mask;
    /// Lanes with a negative value.
    fn negative(self) -> Mask;
    /// Lanes in which the sum of `self` times `factor` and `other` times `other_factor` is below
    /// `limit`, in single precision without fusing.
    fn scaled_sum_below(self, factor: f32, other: Self, other_factor: f32, limit: f32) -> Mask;
    /// Lanes in which the product is below `limit`, in single precision.
    fn product_below(self, other: Self, limit: f32) -> Mask;
    /// Eight samples of each channel from `at` on, one vector for each time.
    fn gather(channels: &[&[i16]; N], at: usize) -> [Self; 8];
    /// The way back, limited to 16 bits.
    fn scatter(values: [Self; 8], channels: &mut [&mut [i16]; N], at: usize);
    /// Sixteen samples of each channel from `at` on, two in each lane.
    fn gather_pairs(channels: &[&[i16]; N], at: usize) -> [Self; 8];
    /// The way back.
    fn scatter_pairs(values: [Self; 8], channels: &mut [&mut [i16]; N], at: usize);
    /// The value and, above it, the other, each limited to 16 bits.
    fn narrow(self, high: Self) -> Self;
    /// Both halves shifted to the right, arithmetically.
    fn halves_down<const BITS: u32>(self) -> Self;
    /// Sums of the halves, each for itself; they wrap around.
    fn halves_plus(self, other: Self) -> Self;
    /// Sums of the halves, limited to 16 bits.
    fn halves_plus_limited(self, other: Self) -> Self;
    /// Differences of the halves, limited to 16 bits.
    fn halves_minus_limited(self, other: Self) -> Self;
    /// The upper sixteen bits of the products of the halves.
    fn halves_high(self, other: Self) -> Self;
    /// Magnitudes of the halves; that of -32768 is right as an unsigned word.
    fn halves_magnitude(self) -> Self;
    /// The larger halves, as unsigned words.
    fn halves_at_least(self, other: Self) -> Self;
    /// The lower 32 bits of the product in 64 bits after a shift to the right by 15.
    fn times_15(self, other: Self) -> Self;
    /// Quotients in Q15 of low halves, cut: 0 where either is not positive, 32767 where `self` is not
    /// smaller.
    fn quotient(self, divisor: Self) -> Self;
    /// The elements at `index` and, above them, those that follow; near the ends those that there are.
    fn pair_at(table: &[i16], index: Self) -> Self;
    /// Eight values of each channel, one vector for each place.
    fn turn(channels: &[[i32; 8]; N]) -> [Self; 8];
    /// How far each value can be shifted to the left without a change of sign; 0 for 0.
    fn room(self) -> Self;
}

/// Plain code for any number of lanes up to 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portable<const N: usize>([i32; N]);

impl<const N: usize> Portable<N> {
    #[inline(always)]
    fn each(self, f: impl Fn(i32) -> i32) -> Self {
        Self(self.0.map(f))
    }

    #[inline(always)]
    fn with(self, other: Self, f: impl Fn(i32, i32) -> i32) -> Self {
        Self(core::array::from_fn(|k| f(self.0[k], other.0[k])))
    }

    #[inline(always)]
    fn halves(self, other: Self, f: impl Fn(i16, i16) -> i16) -> Self {
        self.with(other, |a, b| {
            two_halves(f(a as i16, b as i16), f((a >> 16) as i16, (b >> 16) as i16))
        })
    }

    #[inline(always)]
    fn lanes(self, other: Self, f: impl Fn(i32, i32) -> bool) -> Mask {
        (0..N).fold(0, |mask, k| {
            mask | Mask::from(f(self.0[k], other.0[k])) << k
        })
    }
}

impl<const N: usize> Vector<N> for Portable<N> {
    type Lanes = Mask;

    #[inline(always)]
    fn load(row: &[i32; N]) -> Self {
        Self(*row)
    }

    #[inline(always)]
    fn store(self, row: &mut [i32; N]) {
        *row = self.0;
    }

    #[inline(always)]
    fn splat(value: i32) -> Self {
        Self([value; N])
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.with(other, i32::wrapping_add)
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        self.with(other, i32::wrapping_sub)
    }

    #[inline(always)]
    fn pairs(self, other: Self) -> Self {
        self.with(other, |a, b| {
            let low = i32::from(a as i16) * i32::from(b as i16);
            let high = (a >> 16) * (b >> 16);
            low.wrapping_add(high)
        })
    }

    #[inline(always)]
    fn down<const BITS: u32>(self) -> Self {
        self.each(|a| a >> BITS)
    }

    #[inline(always)]
    fn down_unsigned<const BITS: u32>(self) -> Self {
        self.each(|a| (a as u32 >> BITS) as i32)
    }

    #[inline(always)]
    fn up<const BITS: u32>(self) -> Self {
        self.each(|a| a << BITS)
    }

    #[inline(always)]
    fn down_by(self, bits: Self) -> Self {
        self.with(bits, |a, bits| a >> (bits as u32).min(31))
    }

    #[inline(always)]
    fn up_by(self, bits: Self) -> Self {
        self.with(bits, |a, bits| a.checked_shl(bits as u32).unwrap_or(0))
    }

    #[inline(always)]
    fn magnitude(self) -> Self {
        self.each(i32::wrapping_abs)
    }

    #[inline(always)]
    fn at_most(self, other: Self) -> Self {
        self.with(other, i32::min)
    }

    #[inline(always)]
    fn at_least(self, other: Self) -> Self {
        self.with(other, i32::max)
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        self.with(other, |a, b| a & b)
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        self.with(other, |a, b| a | b)
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        self.with(other, |a, b| a ^ b)
    }

    #[inline(always)]
    fn under(self, high: Self) -> Self {
        self.with(high, |low, high| (low & 0xFFFF) | (high << 16))
    }

    #[inline(always)]
    fn above(self, other: Self) -> Mask {
        self.lanes(other, |a, b| a > b)
    }

    #[inline(always)]
    fn equal(self, other: Self) -> Mask {
        self.lanes(other, |a, b| a == b)
    }

    #[inline(always)]
    fn select(self, lanes: Mask, other: Self) -> Self {
        Self(core::array::from_fn(|k| {
            if lanes >> k & 1 == 1 {
                self.0[k]
            } else {
                other.0[k]
            }
        }))
    }

    #[inline(always)]
    fn negate_where(self, lanes: Mask) -> Self {
        self.each(i32::wrapping_neg).select(lanes, self)
    }

    #[inline(always)]
    fn mask(lanes: Mask) -> Mask {
        lanes
    }

    #[inline(always)]
    fn negative(self) -> Mask {
        self.lanes(self, |a, _| a < 0)
    }

    #[inline(always)]
    fn scaled_sum_below(self, factor: f32, other: Self, other_factor: f32, limit: f32) -> Mask {
        self.lanes(other, |a, b| {
            a as f32 * factor + b as f32 * other_factor < limit
        })
    }

    #[inline(always)]
    fn product_below(self, other: Self, limit: f32) -> Mask {
        self.lanes(other, |a, b| a as f32 * (b as f32) < limit)
    }

    #[inline(always)]
    fn gather(channels: &[&[i16]; N], at: usize) -> [Self; 8] {
        core::array::from_fn(|k| {
            Self(core::array::from_fn(|lane| {
                i32::from(channels[lane][at + k])
            }))
        })
    }

    #[inline(always)]
    fn scatter(values: [Self; 8], channels: &mut [&mut [i16]; N], at: usize) {
        for (lane, channel) in channels.iter_mut().enumerate() {
            for (to, value) in channel[at..at + 8].iter_mut().zip(&values) {
                *to = clamp_16(value.0[lane]);
            }
        }
    }

    #[inline(always)]
    fn gather_pairs(channels: &[&[i16]; N], at: usize) -> [Self; 8] {
        core::array::from_fn(|k| {
            Self(core::array::from_fn(|lane| {
                let two = &channels[lane][at + 2 * k..][..2];
                two_halves(two[0], two[1])
            }))
        })
    }

    #[inline(always)]
    fn scatter_pairs(values: [Self; 8], channels: &mut [&mut [i16]; N], at: usize) {
        for (lane, channel) in channels.iter_mut().enumerate() {
            let to = channel[at..at + 16].as_chunks_mut::<2>().0;
            for (to, value) in to.iter_mut().zip(&values) {
                *to = [value.0[lane] as i16, (value.0[lane] >> 16) as i16];
            }
        }
    }

    #[inline(always)]
    fn narrow(self, high: Self) -> Self {
        self.with(high, |a, b| two_halves(clamp_16(a), clamp_16(b)))
    }

    #[inline(always)]
    fn halves_down<const BITS: u32>(self) -> Self {
        self.halves(self, |a, _| a >> BITS)
    }

    #[inline(always)]
    fn halves_plus(self, other: Self) -> Self {
        self.halves(other, i16::wrapping_add)
    }

    #[inline(always)]
    fn halves_plus_limited(self, other: Self) -> Self {
        self.halves(other, i16::saturating_add)
    }

    #[inline(always)]
    fn halves_minus_limited(self, other: Self) -> Self {
        self.halves(other, i16::saturating_sub)
    }

    #[inline(always)]
    fn halves_high(self, other: Self) -> Self {
        self.halves(other, |a, b| ((i32::from(a) * i32::from(b)) >> 16) as i16)
    }

    #[inline(always)]
    fn halves_magnitude(self) -> Self {
        self.halves(self, |a, _| a.unsigned_abs() as i16)
    }

    #[inline(always)]
    fn halves_at_least(self, other: Self) -> Self {
        self.halves(other, |a, b| (a as u16).max(b as u16) as i16)
    }

    #[inline(always)]
    fn times_15(self, other: Self) -> Self {
        self.with(other, |a, b| ((i64::from(a) * i64::from(b)) >> 15) as i32)
    }

    #[inline(always)]
    fn quotient(self, divisor: Self) -> Self {
        self.with(divisor, |a, b| i32::from(div_s(a as i16, b as i16)))
    }

    #[inline(always)]
    fn pair_at(table: &[i16], index: Self) -> Self {
        index.each(|index| {
            let index = (index as u32 as usize).min(table.len() - 2);
            two_halves(table[index], table[index + 1])
        })
    }

    #[inline(always)]
    fn turn(channels: &[[i32; 8]; N]) -> [Self; 8] {
        core::array::from_fn(|k| Self(channels.map(|channel| channel[k])))
    }

    #[inline(always)]
    fn room(self) -> Self {
        self.each(norm_l)
    }
}

/// A lane of two halves.
#[inline(always)]
fn two_halves(low: i16, high: i16) -> i32 {
    i32::from(high) << 16 | i32::from(low) & 0xFFFF
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::g729::tests::Noise;

    /// Lanes of many sizes, now and then at the ends of what fits.
    fn row<const N: usize>(noise: &mut Noise) -> [i32; N] {
        core::array::from_fn(|_| match noise.next() {
            r if r % 19 == 0 => {
                [i32::MIN, i32::MAX, -1, 0, 1, 0x7FFF_8000, -0x8000][r as usize % 7]
            }
            r if r % 17 == 0 => (r >> 20) as i32 & !0xFFFF,
            r => (r >> 16) as i32 >> (r % 31),
        })
    }

    /// What the operations give for some lanes.
    fn run<V: Vector<N>, const N: usize>(rows: &[[i32; N]; 3]) -> (Vec<[i32; N]>, Vec<Mask>) {
        let [a, b, c] = rows.each_ref().map(V::load);
        let samples: Vec<[i16; 18]> = (0..N)
            .map(|lane| core::array::from_fn(|k| (rows[k % 3][(lane + k) % N] >> (k % 16)) as i16))
            .collect();
        let channels: [&[i16]; N] = core::array::from_fn(|lane| &samples[lane][..]);
        let [few, other] = [b, c].map(|x| x.and(V::splat(35)));
        let mut values = vec![
            a,
            V::splat(rows[0][0]),
            a.plus(b),
            a.minus(b),
            a.pairs(b),
            a.down::<1>(),
            a.down::<15>(),
            a.down::<31>(),
            a.down_unsigned::<1>(),
            a.down_unsigned::<16>(),
            a.up::<1>(),
            a.up::<10>(),
            a.up::<16>(),
            a.down_by(few),
            a.up_by(other),
            a.magnitude(),
            a.at_most(b),
            a.at_least(b),
            a.and(b),
            a.or(b),
            a.xor(b),
            a.under(b),
            c.select(a.above(b), a),
            c.select(a.equal(b), b),
            c.select(a.equal(a), b),
            a.negate_where(b.above(c)),
            a.room(),
            V::splat(0).room(),
            a.quotient(b),
            a.down::<17>().quotient(b.down::<16>()),
            a.down_unsigned::<18>().quotient(b.down_unsigned::<17>()),
            V::pair_at(&samples[0], a),
            V::pair_at(&samples[0], b.and(V::splat(15))),
            a.narrow(b),
            a.halves_down::<2>(),
            a.halves_plus(b),
            a.halves_plus_limited(b),
            a.halves_minus_limited(b),
            a.halves_high(b),
            a.halves_magnitude(),
            a.halves_at_least(b),
            a.times_15(b),
        ];
        let eights: [[i32; 8]; N] = core::array::from_fn(|k| [rows[k % 3][(k / 3) % N]; 8]);
        values.extend(V::turn(&eights));
        values.extend(V::gather_pairs(&channels, 0));
        values.extend(V::gather_pairs(&channels, 2));
        values.extend(V::gather(&channels, 0));
        values.extend(V::gather(&channels, 2));
        let mut written = vec![[0i16; 11]; N];
        let mut columns = written.iter_mut();
        let mut places: [&mut [i16]; N] =
            core::array::from_fn(|_| &mut columns.next().expect("N of them")[..]);
        V::scatter(
            [
                a,
                b,
                c,
                few,
                a.plus(b),
                b.down::<16>(),
                c.down::<16>(),
                a.down::<20>(),
            ],
            &mut places,
            3,
        );
        let mut pairs_written = vec![[0i16; 18]; N];
        let mut columns = pairs_written.iter_mut();
        let mut places: [&mut [i16]; N] =
            core::array::from_fn(|_| &mut columns.next().expect("N of them")[..]);
        let more = [a, b, c, few, other, a.plus(b), b.plus(c), a.minus(c)];
        V::scatter_pairs(more, &mut places, 1);
        let mut results: Vec<[i32; N]> = values
            .into_iter()
            .map(|value| {
                let mut row = [0; N];
                value.store(&mut row);
                row
            })
            .collect();
        let times = (0..11).map(|k| core::array::from_fn(|lane| i32::from(written[lane][k])));
        results.extend(times);
        let times = (0..18).map(|k| core::array::from_fn(|lane| i32::from(pairs_written[lane][k])));
        results.extend(times);
        let masks = [
            V::mask(a.above(b)),
            V::mask(b.above(a)),
            V::mask(a.equal(b)),
            V::mask(a.equal(a)),
            a.negative(),
            a.product_below(b, 1_073_700_000.0),
            a.product_below(b, b_limit(rows)),
            a.scaled_sum_below(0.7174, b, 61592.0, 2_147_000_000.0),
            a.scaled_sum_below(0.3523, b, 15192.0, b_limit(rows)),
        ];
        (results, masks.map(|mask| mask & all_lanes(N)).into())
    }

    /// A limit near to what the lanes have.
    fn b_limit<const N: usize>(rows: &[[i32; N]; 3]) -> f32 {
        rows[2][0] as f32 * 16.0
    }

    fn compare<V: Vector<N>, const N: usize>() {
        let mut noise = Noise::new();
        for round in 0..3000 {
            let rows = [0; 3].map(|_| row(&mut noise));
            let (values, masks) = run::<V, N>(&rows);
            let (expected_values, expected_masks) = run::<Portable<N>, N>(&rows);
            for (k, (value, expected)) in values.iter().zip(&expected_values).enumerate() {
                assert_eq!(value, expected, "round {round}, value {k}, of {rows:?}");
            }
            assert_eq!(masks, expected_masks, "round {round}, of {rows:?}");
        }
    }

    #[test]
    fn every_operation_is_the_portable_one() {
        compare::<Portable<8>, 8>();
        #[cfg(target_arch = "x86_64")]
        {
            use crate::Level;
            use crate::arch::x86_64::{detect, v256::V256, v512::V512};
            if detect() >= Level::Avx2 {
                compare::<V256, 8>();
            } else {
                eprintln!("SKIPPED: vectors of 8 lanes need AVX2");
            }
            if detect() >= Level::Avx512 {
                compare::<V512, 16>();
            } else {
                eprintln!("SKIPPED: vectors of 16 lanes need AVX-512");
            }
        }
    }

    #[test]
    fn portable_operations_are_what_they_say() {
        let a = Portable([i32::MIN, -3, 0x1_8000, 5]);
        let b = Portable([-1, 2, 0x2_0003, 5]);
        assert_eq!(a.plus(b), Portable([i32::MAX, -1, 0x3_8003, 10]));
        assert_eq!(a.pairs(b), Portable([0x8000, -6, 3 * -0x8000 + 2, 25]));
        assert_eq!(a.magnitude(), Portable([i32::MIN, 3, 0x1_8000, 5]));
        assert_eq!((a.above(b), a.equal(b), a.negative()), (0, 8, 3));
        assert_eq!(
            a.under(b),
            Portable([-0x1_0000, 0x2_FFFD, 0x3_8000, 0x5_0005])
        );
        assert_eq!(
            Portable([1, 0, -1, i32::MAX]).room(),
            Portable([30, 0, 31, 0])
        );
        assert_eq!(
            a.down_by(Portable([40, 0, 4, 1])),
            Portable([-1, -3, 0x1800, 2])
        );
        assert_eq!(
            a.up_by(Portable([0, 32, 4, 1])),
            Portable([i32::MIN, 0, 0x18_0000, 10])
        );
        assert_eq!((all_lanes(8), all_lanes(16)), (0xFF, 0xFFFF));
    }
}
