//! Stages of G.729 in lockstep, compiled for each kind of vector.

pub use super::paired::PAIRS;
use super::vector::{Mask, all_lanes};
use crate::g729::lpc::{ORDER, Predictor};

/// A sample, or a coefficient, of each of some channels.
pub type Row<const N: usize> = [i32; N];
/// Samples of a subframe.
pub const SUBFRAME: usize = 40;

/// Hands the list of stages to a macro, after what that is given first.
macro_rules! with_stages {
    ($then:ident! $($first:tt)*) => {
        $then! {
            $($first)*
            /// Brings samples into lanes, as many as there are rows, of which there are eight at
            /// least; each channel has enough.
            gather(channels: &[&[i16]; N], rows: &mut [Row<N>]);
            /// Brings lanes back into channels, limited to 16 bits.
            scatter(rows: &[Row<N>], channels: [&mut [i16]; N]);
            /// Predictors of line spectral pairs.
            lsp_az(lsp: &[Row<N>; ORDER], a: &mut [Row<N>; ORDER + 1]) -> Mask;
            /// Levinson recursion over lags 0 to 10: the predictors, and the first two reflection
            /// coefficients. Unstable filters count as not exact.
            levinson(
                r: &[Row<N>; ORDER + 1],
                a: &mut [Row<N>; ORDER + 1],
                reflection: &mut [Row<N>; 2]
            ) -> Mask;
            /// Bandwidth expansion with positive factors.
            weight(a: &[Row<N>; ORDER + 1], powers: &[i16; ORDER + 1]) -> [Row<N>; ORDER + 1];
            /// Residual of a subframe; `x` starts with ten past samples.
            residual(a: &[Row<N>; ORDER + 1], x: &[Row<N>], y: &mut [Row<N>; SUBFRAME]) -> Mask;
            /// Synthesis of `x` into `y` after its first ten rows, the past.
            synthesise(a: &[Row<N>; ORDER + 1], x: &[Row<N>], y: &mut [Row<N>]) -> Mask;
            /// The 140 Hz high-pass: `x` with two past samples into rounded `y`, which are not
            /// limited to 16 bits yet; `past` are the last two outputs in full, newest first.
            high_pass(
                x: &[Row<N>; 82],
                past: &mut [Row<N>; 2],
                y: &mut [Row<N>; 80]
            ) -> Mask;
            /// Brings samples into lanes by twos, the earlier one in the low half; each channel has
            /// twice as many as `rows`, of which there are eight at least.
            gather_pairs(channels: &[&[i16]; N], rows: &mut [Row<N>]);
            /// Brings pairs back into channels.
            scatter_pairs(rows: &[Row<N>], channels: [&mut [i16]; N]);
            /// Residual of a subframe in pairs; `x` starts with five pairs of the past.
            residual_pairs(
                a: &[Row<N>; ORDER + 1],
                x: &[Row<N>],
                y: &mut [Row<N>; PAIRS]
            ) -> Mask;
            /// Synthesis of pairs `x` into `y` after its first five, the past.
            synthesise_pairs(a: &[Row<N>; ORDER + 1], x: &[Row<N>], y: &mut [Row<N>]) -> Mask;
            /// Of the response of two filters: sums of squares, and of products with the
            /// neighbour; not doubled.
            response_sums(
                numerator: &[Row<N>; ORDER + 1],
                denominator: &[Row<N>; ORDER + 1]
            ) -> (Row<N>, Row<N>, Mask);
            /// Pairs of now and then, each times its factor (Q15, 0 to 2^15), added; then `mu` (Q15, not
            /// negative) times the sample before taken off each. `last` is the pair before the
            /// first, and becomes the last.
            strengthen(
                now: &[Row<N>; PAIRS],
                then: &[Row<N>; PAIRS],
                factors: &[Row<N>; 2],
                mu: &Row<N>,
                last: &mut Row<N>,
                x: &mut [Row<N>; PAIRS]
            );
            /// Sum of squares of quarters of pairs, as an unsigned word.
            quarter_energy(x: &[Row<N>; PAIRS]) -> Row<N>;
            /// Orders frequencies, keeps them apart, and turns them into cosines.
            spectrum(lsf: &mut [Row<N>; ORDER], lsp: &mut [Row<N>; ORDER]);
            /// Gains of code vectors of some energies (doubled sums of squares) times the received
            /// factors; the memory of the prediction moves on.
            code_gains(
                energy: &Row<N>,
                factor: &Row<N>,
                memory: &mut [Row<N>; 4]
            ) -> Row<N>;
            /// The largest of the first seven sums of each channel, and which it is, the later one of
            /// equals.
            largest_of_seven(sums: &[[i32; 8]; N]) -> [Row<N>; 2];
            /// Factors of the residual and of that of one lag ago, Q15, from the sum of products of
            /// their quarters, none of which is larger than 5180.
            harmonic(
                sum: &Row<N>,
                now: &[Row<N>; PAIRS],
                then: &[Row<N>; PAIRS]
            ) -> [Row<N>; 2];
            /// Factors of the tilt filter, Q15, from sums of squares and of products with the
            /// neighbour, of 30 bits.
            tilt(squares: &Row<N>, neighbours: &Row<N>) -> Row<N>;
            /// What the gains of the level control go towards, from sums of squares of quarters of
            /// output and input, unsigned words; and where there is an output at all.
            targets(output: &Row<N>, input: &Row<N>) -> (Row<N>, Mask);
            /// Lets the gains approach the targets of two subframes, applies them to pairs, and filters
            /// what comes of it by the 100 Hz high-pass. `past_input` is the last pair of its input,
            /// `past` its last two sums before their shift, newest first.
            level(
                targets: &[Row<N>; 2],
                gain: &mut Row<N>,
                y: &[Row<N>; 2 * PAIRS],
                past_input: &mut Row<N>,
                past: &mut [Row<N>; 2],
                output: &mut [Row<N>; 2 * PAIRS]
            ) -> Mask;
        }
    };
}

macro_rules! declare {
    ($(
        $(#[$note:meta])*
        $name:ident ($($x:ident: $t:ty),*) $(-> $r:ty)?;
    )*) => {
        /// Stages for `N` channels, one in each lane. Where one returns a mask, it says in which lanes
        /// the result is exact; bits beyond the lanes mean nothing. An implementation for
        /// instructions that not every processor has is named only by functions compiled for them.
        pub trait Lockstep<const N: usize> {$(
            $(#[$note])*
            fn $name($($x: $t),*) $(-> $r)?;
        )*}
    };
}

/// Stages for `$n` lanes, compiled for some instructions.
#[allow(unused_macros)]
macro_rules! compile {
    (
        $type:ty, $n:literal, $vector:ty, $features:literal;
        $(
            $(#[$note:meta])*
            $name:ident ($($x:ident: $t:ty),*) $(-> $r:ty)?;
        )*
    ) => {
        const N: usize = $n;
        impl Lockstep<N> for $type {$(
            #[inline(always)]
            fn $name($($x: $t),*) $(-> $r)? {
                #[inline]
                #[target_feature(enable = $features)]
                fn compiled($($x: $t),*) $(-> $r)? {
                    stages::$name::<$vector, N>($($x),*)
                }
                // SAFETY: whoever names this type is compiled for these instructions.
                unsafe { compiled($($x),*) }
            }
        )*}
    };
}

/// Stages in plain code, for any number of lanes.
macro_rules! portable {
    ($(
        $(#[$note:meta])*
        $name:ident ($($x:ident: $t:ty),*) $(-> $r:ty)?;
    )*) => {
        impl<const N: usize> Lockstep<N> for super::Scalar {$(
            #[inline]
            fn $name($($x: $t),*) $(-> $r)? {
                super::stages::$name::<super::vector::Portable<N>, N>($($x),*)
            }
        )*}
    };
}

with_stages!(declare!);
with_stages!(portable!);
#[cfg(target_arch = "x86_64")]
pub(super) use {compile, with_stages};

/// Computes lanes again that are not exact.
#[inline(always)]
pub fn mend<const N: usize>(exact: Mask, mut compute: impl FnMut(usize)) {
    let wrong = !exact & all_lanes(N);
    if wrong != 0 {
        (0..N)
            .filter(|lane| wrong >> lane & 1 == 1)
            .for_each(&mut compute);
    }
}

/// One channel of some rows.
#[inline(always)]
pub fn column<const L: usize, const N: usize>(rows: &[Row<N>], lane: usize) -> [i16; L] {
    core::array::from_fn(|n| rows[n][lane] as i16)
}

/// Puts a channel into its lane.
#[inline(always)]
pub fn put_column<const N: usize>(rows: &mut [Row<N>], lane: usize, values: &[i16]) {
    for (row, value) in rows.iter_mut().zip(values) {
        row[lane] = i32::from(*value);
    }
}

/// One channel of some rows of pairs.
#[inline(always)]
pub fn column_of_pairs<const L: usize, const N: usize>(rows: &[Row<N>], lane: usize) -> [i16; L] {
    core::array::from_fn(|n| (rows[n / 2][lane] >> (16 * (n % 2))) as i16)
}

/// Puts a channel into its lane, by twos.
#[inline(always)]
pub fn put_pairs<const N: usize>(rows: &mut [Row<N>], lane: usize, values: &[i16]) {
    for (row, two) in rows.iter_mut().zip(values.as_chunks::<2>().0) {
        row[lane] = i32::from(two[1]) << 16 | i32::from(two[0]) & 0xFFFF;
    }
}

/// The predictor in a lane.
#[inline(always)]
pub fn predictor<const N: usize>(a: &[Row<N>; ORDER + 1], lane: usize) -> Predictor {
    column(a, lane)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Scalar;
    use crate::g729::tests::Noise;

    /// Rows of samples of one of sixteen sizes in each lane.
    fn rows<const L: usize, const N: usize>(noise: &mut Noise, shift: u32) -> [Row<N>; L] {
        let mut rows = [[0; N]; L];
        for lane in 0..N {
            put_column(
                &mut rows,
                lane,
                &noise.values::<L>((shift + lane as u32) % 16),
            );
        }
        rows
    }

    /// Double precision values, which have sixteen bits and fifteen more.
    fn wide<const L: usize, const N: usize>(noise: &mut Noise, shift: u32) -> [Row<N>; L] {
        rows::<L, N>(noise, shift)
            .map(|row| row.map(|x| (x << 16) | (noise.next() as i32 & 0xFFFE)))
    }

    /// Pairs of samples.
    fn pairs<const L: usize, const N: usize>(noise: &mut Noise, shift: u32) -> [Row<N>; L] {
        let (low, high) = (rows::<L, N>(noise, shift), rows::<L, N>(noise, shift));
        core::array::from_fn(|n| core::array::from_fn(|k| high[n][k] << 16 | low[n][k] & 0xFFFF))
    }

    /// The stages over pairs.
    fn run_pairs<L: Lockstep<N>, const N: usize>(
        noise: &mut Noise,
        shift: u32,
        a: &[Row<N>; ORDER + 1],
        see: &mut impl FnMut(&[Row<N>], Mask),
    ) {
        let x: [Row<N>; PAIRS + 5] = pairs(noise, shift);
        let mut y = [[0; N]; PAIRS];
        let exact = L::residual_pairs(a, &x, &mut y);
        see(&y, exact);
        let mut area: [Row<N>; PAIRS + 5] = pairs(noise, shift);
        let exact = L::synthesise_pairs(a, &y, &mut area);
        see(&area, exact);
        let numerator = rows::<11, N>(noise, 3 + shift % 8);
        let (squares, neighbours, exact) = L::response_sums(&numerator, a);
        see(
            &[squares, neighbours, L::tilt(&squares, &neighbours)],
            exact,
        );
        let then: [Row<N>; PAIRS] = pairs(noise, shift);
        let [direct, back, mu] = rows::<3, N>(noise, 0)
            .map(|row| row.map(|x| if x > 32700 { 1 << 15 } else { x.max(0) }));
        let mut last = area[0];
        let mut x = [[0; N]; PAIRS];
        L::strengthen(&y, &then, &[direct, back], &mu, &mut last, &mut x);
        see(&x, Mask::MAX);
        see(&[last, L::quarter_energy(&x)], Mask::MAX);
        let targets = rows::<2, N>(noise, 3).map(|row| row.map(|x| x.max(0) % 3277));
        let [mut gain] = rows::<1, N>(noise, 0).map(|row| row.map(|x| x.max(0)));
        let y: [Row<N>; 2 * PAIRS] = pairs(noise, shift);
        let [mut past_input] = pairs::<1, N>(noise, shift);
        let mut past = wide::<2, N>(noise, 3 + shift).map(|row| row.map(|x| x >> 3));
        let mut output = [[0; N]; 2 * PAIRS];
        let exact = L::level(
            &targets,
            &mut gain,
            &y,
            &mut past_input,
            &mut past,
            &mut output,
        );
        see(&output, exact);
        see(&past, exact);
        see(&[gain, past_input], Mask::MAX);
    }

    /// The stages of single values.
    fn run_choices<L: Lockstep<N>, const N: usize>(
        noise: &mut Noise,
        shift: u32,
        see: &mut impl FnMut(&[Row<N>], Mask),
    ) {
        let mut lsf: [Row<N>; ORDER] = rows(noise, shift % 4);
        let mut lsp = [[0; N]; ORDER];
        L::spectrum(&mut lsf, &mut lsp);
        see(&lsf, Mask::MAX);
        see(&lsp, Mask::MAX);
        let [energy, factor] = wide::<2, N>(noise, shift).map(|row| row.map(|x| x & i32::MAX));
        let mut memory: [Row<N>; 4] = rows(noise, shift % 3);
        let gains = L::code_gains(&energy, &factor.map(|x| x >> 16), &mut memory);
        see(&[gains], Mask::MAX);
        see(&memory, Mask::MAX);
        let sums: [[i32; 8]; N] = core::array::from_fn(|_| noise.values::<8>(shift).map(i32::from));
        let [largest, place] = L::largest_of_seven(&sums);
        see(&[largest, place], Mask::MAX);
        let small =
            |row: Row<N>| row.map(|x| (((x << 16) >> 17) / 3) << 16 | (((x >> 17) / 3) & 0xFFFF));
        let now: [Row<N>; PAIRS] = pairs(noise, shift).map(small);
        let then: [Row<N>; PAIRS] = pairs(noise, shift).map(small);
        see(
            &L::harmonic(&energy.map(|x| x >> 2), &now, &then),
            Mask::MAX,
        );
        let [output, input] = wide::<2, N>(noise, shift);
        let (targets, heard) = L::targets(&output, &input);
        see(&[targets], heard);
    }

    /// What the stages make of the same noise: everything where it is exact, and where that is.
    fn run<L: Lockstep<N>, const N: usize>(seed: u32) -> Vec<Row<N>> {
        let mut noise = Noise::new();
        (0..seed % 64).for_each(|_| {
            noise.next();
        });
        let mut seen: Vec<Row<N>> = Vec::new();
        let mut see =
            |rows: &[Row<N>], exact: Mask| {
                seen.push(core::array::from_fn(|lane| i32::from(exact >> lane & 1)));
                seen.extend(rows.iter().map(|row| {
                    core::array::from_fn(|k| if exact >> k & 1 == 1 { row[k] } else { 0 })
                }));
            };
        let shift = seed % 16;
        let lsp: [Row<N>; ORDER] = rows(&mut noise, shift % 3);
        let mut a = [[0; N]; ORDER + 1];
        let exact = L::lsp_az(&lsp, &mut a);
        see(&a, exact);
        let a = L::weight(
            &rows::<11, N>(&mut noise, shift % 8),
            &noise.values::<11>(1).map(|x| x & 0x7FFF),
        );
        see(&a, Mask::MAX);
        // The energy is positive, normalised, and the largest of the lags.
        let mut r: [Row<N>; ORDER + 1] = wide(&mut noise, 1 + shift % 8);
        r[0] = r[0].map(|x| 0x4000_0000 | (x & 0x3FFF_FFFE));
        let (mut solved, mut reflection) = ([[0; N]; ORDER + 1], [[0; N]; 2]);
        let exact = L::levinson(&r, &mut solved, &mut reflection);
        see(&solved, exact);
        see(&reflection, exact);
        let x: [Row<N>; SUBFRAME + ORDER] = rows(&mut noise, shift);
        let mut y = [[0; N]; SUBFRAME];
        let exact = L::residual(&a, &x, &mut y);
        see(&y, exact);
        let mut area: [Row<N>; SUBFRAME + ORDER] = rows(&mut noise, shift);
        let exact = L::synthesise(&a, &y, &mut area);
        see(&area, exact);
        let x: [Row<N>; 82] = rows(&mut noise, shift);
        let mut past: [Row<N>; 2] = wide(&mut noise, shift);
        let mut y = [[0; N]; 80];
        let exact = L::high_pass(&x, &mut past, &mut y);
        see(&y, exact);
        see(&past, exact);
        let samples: [[i16; 48]; N] = core::array::from_fn(|_| noise.values(shift));
        let mut gathered = [[0; N]; 48];
        L::gather(&samples.each_ref().map(|x| &x[..]), &mut gathered);
        see(&gathered, Mask::MAX);
        let mut back = [[0i16; 48]; N];
        L::scatter(&gathered, back.each_mut().map(|x| &mut x[..]));
        assert_eq!(back, samples);
        let mut gathered = [[0; N]; PAIRS];
        L::gather_pairs(&samples.each_ref().map(|x| &x[..40]), &mut gathered);
        see(&gathered, Mask::MAX);
        let mut back = [[0i16; 48]; N];
        L::scatter_pairs(&gathered, back.each_mut().map(|x| &mut x[..]));
        for (back, samples) in back.iter().zip(&samples) {
            assert_eq!(back[..40], samples[..40]);
        }
        run_pairs::<L, N>(&mut noise, shift, &a, &mut see);
        run_choices::<L, N>(&mut noise, shift, &mut see);
        seen
    }

    fn compare<L: Lockstep<N>, const N: usize>() {
        let mut exact = 0;
        for seed in 0..400 {
            let (found, expected) = (run::<L, N>(seed), run::<Scalar, N>(seed));
            assert_eq!(found, expected, "round {seed}");
            exact += found[0].iter().sum::<i32>();
        }
        assert!(exact > 100);
    }

    #[test]
    fn stages_are_the_same_on_every_vector() {
        compare::<Scalar, 8>();
        #[cfg(target_arch = "x86_64")]
        {
            use crate::Level;
            use crate::arch::x86_64::{Avx2, avx512::Avx512, detect};
            if detect() >= Level::Avx2 {
                compare::<Avx2, 8>();
            } else {
                eprintln!("SKIPPED: eight channels in lockstep need AVX2");
            }
            if detect() >= Level::Avx512 {
                compare::<Avx512, 16>();
            } else {
                eprintln!("SKIPPED: sixteen channels in lockstep need AVX-512");
            }
        }
    }
}
