//! The post-filter of several channels at once, two samples in each lane. What differs from channel to
//! channel in its course, the search for the pitch, goes one by one.

use super::*;
use crate::arch::lanes::{Lockstep, PAIRS, Row, column_of_pairs, mend, predictor, put_pairs};
use crate::arch::vector::Mask;

/// Predictors of some channels.
type Predictors<const N: usize> = [Row<N>; ORDER + 1];
/// Pairs of the past that a filter needs.
const PAST_PAIRS: usize = ORDER / 2;

/// What the level control of a frame needs.
pub struct Levels<const N: usize> {
    /// What the gains go towards in each subframe.
    pub targets: [Row<N>; 2],
    /// The gains so far.
    pub gains: Row<N>,
    /// Lanes that are silent in each subframe, where nothing is aimed at: they go by themselves.
    pub silent: [Mask; 2],
}

impl<const N: usize> Levels<N> {
    /// The targets of a lane, as [`PostFilterA::level`] takes them.
    pub fn targets_of(&self, lane: usize) -> [Option<i16>; 2] {
        core::array::from_fn(|subframe| {
            let heard = self.silent[subframe] >> lane & 1 == 0;
            heard.then_some(self.targets[subframe][lane] as i16)
        })
    }
}

/// Filters a frame of speech up to the level control: `s` is the synthesis with five pairs before it.
#[inline(always)]
pub fn filter<K: Kernels, L: Lockstep<N>, const N: usize>(
    filters: &mut [&mut PostFilterA; N],
    s: &[Row<N>; FRAME / 2 + PAST_PAIRS],
    a: &[Predictors<N>; 2],
    lags: &[[i32; 2]; N],
    output: &mut [Row<N>; FRAME / 2],
) -> Levels<N> {
    let mut last = [0; N];
    // The area of the synthesis starts with the memory.
    let mut y = [[0; N]; PAIRS + PAST_PAIRS];
    let mut levels = Levels {
        targets: [[0; N]; 2],
        gains: [0; N],
        silent: [0; 2],
    };
    for (lane, filter) in filters.iter().enumerate() {
        put_pairs(&mut y, lane, &filter.memory);
        last[lane] = i32::from(filter.tilt) << 16;
        levels.gains[lane] = i32::from(filter.gain);
    }
    for subframe in 0..2 {
        let at = PAIRS * subframe;
        let a = &a[subframe];
        let s: &[Row<N>; PAIRS + PAST_PAIRS] = window(s, at);
        let numerator = L::weight(a, &NUMERATOR);
        let denominator = L::weight(a, &DENOMINATOR);
        let mut now = [[0; N]; PAIRS];
        let exact = L::residual_pairs(&numerator, s, &mut now);
        mend::<N>(exact, |lane| {
            let mut y = [0; SUBFRAME];
            let s = column_of_pairs(s, lane);
            filter::residual::<K>(&predictor(&numerator, lane), &s, &mut y);
            put_pairs(&mut now, lane, &y);
        });
        let begin = SUBFRAME * subframe;
        let places = filters.each_mut();
        L::scatter_pairs(
            &now,
            places.map(|filter| &mut filter.residual[PAST + begin..]),
        );
        let mu = tilt_factors::<K, L, N>(&numerator, &denominator);
        let lags = &lags.map(|lags| lags[subframe]);
        let (then, factors) = find_harmonics::<K, L, N>(filters, begin, lags, &now);
        let mut x = [[0; N]; PAIRS];
        L::strengthen(&now, &then, &factors, &mu, &mut last, &mut x);
        let past: [Row<N>; PAST_PAIRS] = *window(&y, 0);
        let exact = L::synthesise_pairs(&denominator, &x, &mut y);
        mend::<N>(exact, |lane| {
            let (x, past) = (column_of_pairs(&x, lane), column_of_pairs(&past, lane));
            let fixed = filter::synthesise_only::<K>(&predictor(&denominator, lane), &x, &past);
            put_pairs(&mut y[PAST_PAIRS..], lane, &fixed);
        });
        let made: &[Row<N>; PAIRS] = window(&y, PAST_PAIRS);
        aim::<L, N>(window(s, PAST_PAIRS), made, subframe, &mut levels);
        let to: &mut [Row<N>; PAIRS] = filter::window_mut(&mut output[..], at);
        *to = *made;
        let memory: [Row<N>; PAST_PAIRS] = *window(&y, PAIRS);
        y[..PAST_PAIRS].copy_from_slice(&memory);
    }
    for (lane, filter) in filters.iter_mut().enumerate() {
        filter.memory = column_of_pairs(&y, lane);
        filter.forget();
        filter.tilt = (last[lane] >> 16) as i16;
    }
    levels
}

/// The residuals of one lag ago, and the factors with which the pitch is strengthened.
#[inline(always)]
fn find_harmonics<K: Kernels, L: Lockstep<N>, const N: usize>(
    filters: &[&mut PostFilterA; N],
    begin: usize,
    lags: &[i32; N],
    now: &[Row<N>; PAIRS],
) -> ([Row<N>; PAIRS], [Row<N>; 2]) {
    let (mut sums, mut highest) = ([[0; 8]; N], [0; N]);
    let mut large: Mask = 0;
    for lane in 0..N {
        let run: &Run = window(&filters[lane].residual, begin);
        highest[lane] = (lags[lane] + 3).min(PAST as i32);
        let past = window(run, PAST - highest[lane] as usize);
        match K::quarter_dots(window(run, PAST), past) {
            Some(found) => sums[lane] = found,
            None => large |= 1 << lane,
        }
    }
    let [largest, places] = L::largest_of_seven(&sums);
    let mut parts = [&[][..]; N];
    for lane in 0..N {
        let lag = highest[lane] - places[lane];
        parts[lane] = &filters[lane].residual[begin + PAST - lag as usize..];
    }
    let mut then = [[0; N]; PAIRS];
    L::gather_pairs(&parts, &mut then);
    let mut factors = L::harmonic(&largest, now, &then);
    mend::<N>(!large, |lane| {
        let run: &Run = window(&filters[lane].residual, begin);
        let (at, found) = match find_harmonic::<K>(run, lags[lane]) {
            Some(harmonic) => (harmonic.at, harmonic.factors.map(i32::from)),
            None => (PAST, [1 << 15, 0]),
        };
        put_pairs(&mut then, lane, &run[at..]);
        (factors[0][lane], factors[1][lane]) = (found[0], found[1]);
    });
    (then, factors)
}

/// Factors of the tilt filters.
#[inline(always)]
fn tilt_factors<K: Kernels, L: Lockstep<N>, const N: usize>(
    numerator: &Predictors<N>,
    denominator: &Predictors<N>,
) -> Row<N> {
    let (squares, neighbours, exact) = L::response_sums(numerator, denominator);
    let mut mu = L::tilt(&squares, &neighbours);
    mend::<N>(exact, |lane| {
        let factor = tilt_factor::<K>(&predictor(numerator, lane), &predictor(denominator, lane));
        mu[lane] = i32::from(factor);
    });
    mu
}

/// What the gains of a subframe go towards, from its input and output.
#[inline(always)]
fn aim<L: Lockstep<N>, const N: usize>(
    input: &[Row<N>; PAIRS],
    y: &[Row<N>; PAIRS],
    subframe: usize,
    levels: &mut Levels<N>,
) {
    let (out, level_in) = (L::quarter_energy(y), L::quarter_energy(input));
    let (targets, heard) = L::targets(&out, &level_in);
    levels.targets[subframe] = targets;
    levels.silent[subframe] = !heard;
}
