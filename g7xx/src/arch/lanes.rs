//! Stages of G.729 in lockstep, compiled for each kind of vector.

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
            /// Brings samples into lanes, eight times as many as `rows` has eights; each channel
            /// has enough.
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
            /// Sums of squares, and of products with the neighbour; not doubled.
            response_sums(h: &[Row<N>]) -> (Row<N>, Row<N>, Mask);
            /// Takes `mu` times the sample before off each sample; `before` is the one before the
            /// first.
            tilt(mu: &Row<N>, before: &mut Row<N>, x: &mut [Row<N>; SUBFRAME]);
            /// Sum of squares of quarters, as an unsigned word.
            quarter_energy(x: &[Row<N>; SUBFRAME]) -> Row<N>;
            /// Lets the gains approach their targets and applies them to 16-bit samples.
            control_gain(target: &Row<N>, gain: &mut Row<N>, y: &mut [Row<N>; SUBFRAME]);
            /// The high-pass filters: `x` with two past samples into rounded `y`, which are not
            /// limited to 16 bits yet; `past` are the last two outputs in full, newest first.
            high_pass[const POST: bool](
                x: &[Row<N>; 82],
                past: &mut [Row<N>; 2],
                y: &mut [Row<N>; 80]
            ) -> Mask;
        }
    };
}

macro_rules! declare {
    ($(
        $(#[$note:meta])*
        $name:ident $([const $const:ident: bool])? ($($x:ident: $t:ty),*) $(-> $r:ty)?;
    )*) => {
        /// Stages for `N` channels, one in each lane. Where one returns a mask, it says in which lanes
        /// the result is exact; bits beyond the lanes mean nothing. An implementation for
        /// instructions that not every processor has is named only by functions compiled for them.
        pub trait Lockstep<const N: usize> {$(
            $(#[$note])*
            fn $name $(<const $const: bool>)? ($($x: $t),*) $(-> $r)?;
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
            $name:ident $([const $const:ident: bool])? ($($x:ident: $t:ty),*) $(-> $r:ty)?;
        )*
    ) => {
        const N: usize = $n;
        impl Lockstep<N> for $type {$(
            #[inline(always)]
            fn $name $(<const $const: bool>)? ($($x: $t),*) $(-> $r)? {
                #[inline]
                #[target_feature(enable = $features)]
                fn compiled $(<const $const: bool>)? ($($x: $t),*) $(-> $r)? {
                    stages::$name::<$vector, N $(, $const)?>($($x),*)
                }
                // SAFETY: whoever names this type is compiled for these instructions.
                unsafe { compiled$(::<$const>)?($($x),*) }
            }
        )*}
    };
}

/// Stages in plain code, for any number of lanes.
macro_rules! portable {
    ($(
        $(#[$note:meta])*
        $name:ident $([const $const:ident: bool])? ($($x:ident: $t:ty),*) $(-> $r:ty)?;
    )*) => {
        impl<const N: usize> Lockstep<N> for super::Scalar {$(
            #[inline]
            fn $name $(<const $const: bool>)? ($($x: $t),*) $(-> $r)? {
                super::stages::$name::<super::vector::Portable<N>, N $(, $const)?>($($x),*)
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
        let (squares, neighbours, exact) = L::response_sums(&rows::<22, N>(&mut noise, shift));
        see(&[squares, neighbours], exact);
        let ([mu], [mut before]) = (rows::<1, N>(&mut noise, 1), rows::<1, N>(&mut noise, shift));
        let mut tilted: [Row<N>; SUBFRAME] = rows(&mut noise, shift);
        L::tilt(&mu, &mut before, &mut tilted);
        see(&tilted, Mask::MAX);
        see(&[before, L::quarter_energy(&tilted)], Mask::MAX);
        let ([target], [mut gain]) = (rows::<1, N>(&mut noise, 4), rows::<1, N>(&mut noise, 4));
        L::control_gain(&target, &mut gain, &mut tilted);
        see(&tilted, Mask::MAX);
        see(&[gain], Mask::MAX);
        let x: [Row<N>; 82] = rows(&mut noise, shift);
        for post in [false, true] {
            let mut past: [Row<N>; 2] = wide(&mut noise, shift);
            let mut y = [[0; N]; 80];
            let exact = if post {
                L::high_pass::<true>(&x, &mut past, &mut y)
            } else {
                L::high_pass::<false>(&x, &mut past, &mut y)
            };
            see(&y, exact);
            see(&past, exact);
        }
        let samples: [[i16; 48]; N] = core::array::from_fn(|_| noise.values(shift));
        let mut gathered = [[0; N]; 48];
        L::gather(&samples.each_ref().map(|x| &x[..]), &mut gathered);
        see(&gathered, Mask::MAX);
        let mut back = [[0i16; 48]; N];
        L::scatter(&gathered, back.each_mut().map(|x| &mut x[..]));
        assert_eq!(back, samples);
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
