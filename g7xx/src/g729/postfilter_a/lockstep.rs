//! The post-filter of several channels at once. What differs from channel to channel in its course,
//! the search for the pitch, goes one by one.

use super::*;
use crate::arch::lanes::{Lockstep, Row, column, mend, predictor, put_column};
use crate::arch::vector::Mask;
use crate::g729::FRAME;

/// Predictors of some channels.
type Predictors<const N: usize> = [Row<N>; ORDER + 1];

/// Filters a frame of speech: `s` is the synthesis with ten samples before it; the
/// first two rows of `output` are left alone.
#[inline(always)]
pub fn filter<K: Kernels, L: Lockstep<N>, const N: usize>(
    filters: &mut [&mut PostFilterA; N],
    s: &[Row<N>; FRAME + ORDER],
    a: &[Predictors<N>; 2],
    lags: &[[i32; 2]; N],
    output: &mut [Row<N>; FRAME + 2],
) {
    let mut runs = [[0; PAST + FRAME]; N];
    let (mut tilt, mut gain) = ([0; N], [0; N]);
    // The level control comes after the synthesis, whose memory knows nothing of it.
    let mut memory = [[0; N]; ORDER];
    for (lane, filter) in filters.iter().enumerate() {
        put_column(&mut memory, lane, &filter.memory);
        runs[lane][..PAST].copy_from_slice(&filter.residual);
        tilt[lane] = i32::from(filter.tilt);
        gain[lane] = i32::from(filter.gain);
    }
    for subframe in 0..2 {
        let at = SUBFRAME * subframe;
        let a = &a[subframe];
        let s: &[Row<N>; SUBFRAME + ORDER] = window(s, at);
        let numerator = L::weight(a, &NUMERATOR);
        let denominator = L::weight(a, &DENOMINATOR);
        let mut x = [[0; N]; SUBFRAME];
        let exact = L::residual(&numerator, s, &mut x);
        mend::<N>(exact, |lane| {
            let mut y = [0; SUBFRAME];
            let s = column(s, lane);
            filter::residual::<K>(&predictor(&numerator, lane), &s, &mut y);
            put_column(&mut x, lane, &y);
        });
        L::scatter(&x, runs.each_mut().map(|run| &mut run[PAST + at..]));
        let mut stronger = [[0; SUBFRAME]; N];
        for (lane, stronger) in stronger.iter_mut().enumerate() {
            *stronger = harmonic::<K>(window(&runs[lane], at), lags[lane][subframe]);
        }
        L::gather(&stronger.each_ref().map(|x| &x[..]), &mut x);
        let mu = tilt_factors::<K, L, N>(&numerator, &denominator);
        L::tilt(&mu, &mut tilt, &mut x);
        let mut y = [[0; N]; SUBFRAME + ORDER];
        y[..ORDER].copy_from_slice(&memory);
        let exact = L::synthesise(&denominator, &x, &mut y);
        mend::<N>(exact, |lane| {
            let (x, past) = (column(&x, lane), column(&memory, lane));
            let fixed = filter::synthesise_only::<K>(&predictor(&denominator, lane), &x, &past);
            put_column(&mut y[ORDER..], lane, &fixed);
        });
        memory = *window(&y, SUBFRAME);
        let output: &mut [Row<N>; SUBFRAME] = filter::window_mut(&mut output[..], 2 + at);
        *output = *window(&y, ORDER);
        control_gain::<L, N>(window(s, ORDER), &mut gain, output);
    }
    for (lane, filter) in filters.iter_mut().enumerate() {
        filter.memory = column(&memory, lane);
        filter.residual.copy_from_slice(&runs[lane][FRAME..]);
        filter.tilt = tilt[lane] as i16;
        filter.gain = gain[lane] as i16;
    }
}

/// Factors of the tilt filters.
#[inline(always)]
fn tilt_factors<K: Kernels, L: Lockstep<N>, const N: usize>(
    numerator: &Predictors<N>,
    denominator: &Predictors<N>,
) -> Row<N> {
    let mut x = [[0; N]; RESPONSE];
    x[..ORDER + 1].copy_from_slice(numerator);
    let mut h = [[0; N]; RESPONSE + ORDER];
    let exact = L::synthesise(denominator, &x, &mut h);
    let (squares, neighbours, small) = L::response_sums(&h[ORDER..]);
    let mut mu = [0; N];
    for k in 0..N {
        let factor = tilt_of((squares[k] >> 15) as i16, (neighbours[k] >> 15) as i16);
        mu[k] = i32::from(factor);
    }
    mend::<N>(exact & small, |lane| {
        let factor = tilt_factor::<K>(&predictor(numerator, lane), &predictor(denominator, lane));
        mu[lane] = i32::from(factor);
    });
    mu
}

/// The level control of a subframe.
#[inline(always)]
fn control_gain<L: Lockstep<N>, const N: usize>(
    input: &[Row<N>; SUBFRAME],
    gain: &mut Row<N>,
    y: &mut [Row<N>; SUBFRAME],
) {
    let (out, level_in) = (L::quarter_energy(y), L::quarter_energy(input));
    let double = |sum: i32| clamp_32(2 * i64::from(sum as u32));
    let mut target = [0; N];
    let mut silent: Mask = 0;
    for k in 0..N {
        match level(double(out[k]), double(level_in[k])) {
            Some(level) => target[k] = i32::from(level),
            None => silent |= 1 << k,
        }
    }
    let untouched = (silent != 0).then_some(*y);
    L::control_gain(&target, gain, y);
    // Where there is nothing to hear, samples stay and the gain starts from nothing.
    if let Some(untouched) = untouched {
        mend::<N>(!silent, |lane| {
            gain[lane] = 0;
            let lanes = y.iter_mut().zip(&untouched);
            lanes.for_each(|(y, before)| y[lane] = before[lane]);
        });
    }
}
