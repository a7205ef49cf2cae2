//! The post-filter of eight channels at once. What differs from channel to channel in its course,
//! the search for the pitch, goes one by one.

use super::*;
use crate::arch::x86_64::lanes::{Lockstep, Row, ZERO, column, predictor, put_column};

/// Predictors of eight channels.
type Predictors = [Row; ORDER + 1];

/// Computes lanes again that are not exact; `exact` has a bit for each.
#[inline(always)]
pub fn mend(exact: u8, mut compute: impl FnMut(usize)) {
    if exact != u8::MAX {
        (0..8)
            .filter(|lane| exact >> lane & 1 == 0)
            .for_each(&mut compute);
    }
}

/// Filters a frame of speech: `s` is the synthesis with ten samples before it; the
/// first two rows of `output` are left alone.
#[inline(always)]
pub fn filter<K: Kernels>(
    filters: &mut [&mut PostFilterA; 8],
    s: &[Row; FRAME + ORDER],
    a: &[Predictors; 2],
    lags: &[[i32; 2]; 8],
    output: &mut [Row; FRAME + 2],
) {
    let mut runs = [[0; PAST + FRAME]; 8];
    let (mut tilt, mut gain) = (ZERO, ZERO);
    // The level control comes after the synthesis, whose memory knows nothing of it.
    let mut memory = [ZERO; ORDER];
    for (lane, filter) in filters.iter().enumerate() {
        put_column(&mut memory, lane, &filter.memory);
        runs[lane][..PAST].copy_from_slice(&filter.residual);
        tilt[lane] = i32::from(filter.tilt);
        gain[lane] = i32::from(filter.gain);
    }
    for subframe in 0..2 {
        let at = SUBFRAME * subframe;
        let a = &a[subframe];
        let s: &[Row; SUBFRAME + ORDER] = window(s, at);
        let numerator = Lockstep::weight(a, &NUMERATOR);
        let denominator = Lockstep::weight(a, &DENOMINATOR);
        let mut x = [ZERO; SUBFRAME];
        let exact = Lockstep::residual(&numerator, s, &mut x);
        mend(exact, |lane| {
            let mut y = [0; SUBFRAME];
            let s = column(s, lane);
            filter::residual::<K>(&predictor(&numerator, lane), &s, &mut y);
            put_column(&mut x, lane, &y);
        });
        Lockstep::scatter(&x, runs.each_mut().map(|run| &mut run[PAST + at..]));
        let mut stronger = [[0; SUBFRAME]; 8];
        for (lane, stronger) in stronger.iter_mut().enumerate() {
            *stronger = harmonic::<K>(window(&runs[lane], at), lags[lane][subframe]);
        }
        Lockstep::gather(&stronger.each_ref().map(|x| &x[..]), &mut x);
        let mu = tilt_factors::<K>(&numerator, &denominator);
        Lockstep::tilt(&mu, &mut tilt, &mut x);
        let mut y = [ZERO; SUBFRAME + ORDER];
        y[..ORDER].copy_from_slice(&memory);
        let exact = Lockstep::synthesise(&denominator, &x, &mut y);
        mend(exact, |lane| {
            let (x, past) = (column(&x, lane), column(&memory, lane));
            let fixed = filter::synthesise_only::<K>(&predictor(&denominator, lane), &x, &past);
            put_column(&mut y[ORDER..], lane, &fixed);
        });
        memory = *window(&y, SUBFRAME);
        let output: &mut [Row; SUBFRAME] = filter::window_mut(&mut output[..], 2 + at);
        *output = *window(&y, ORDER);
        control_gain(window(s, ORDER), &mut gain, output);
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
fn tilt_factors<K: Kernels>(numerator: &Predictors, denominator: &Predictors) -> Row {
    let mut x = [ZERO; RESPONSE];
    x[..ORDER + 1].copy_from_slice(numerator);
    let mut h = [ZERO; RESPONSE + ORDER];
    let exact = Lockstep::synthesise(denominator, &x, &mut h);
    let (squares, neighbours, small) = Lockstep::response_sums(&h[ORDER..]);
    let mut mu = ZERO;
    for k in 0..8 {
        let factor = tilt_of((squares[k] >> 15) as i16, (neighbours[k] >> 15) as i16);
        mu[k] = i32::from(factor);
    }
    mend(exact & small, |lane| {
        let factor = tilt_factor::<K>(&predictor(numerator, lane), &predictor(denominator, lane));
        mu[lane] = i32::from(factor);
    });
    mu
}

/// The level control of a subframe.
#[inline(always)]
fn control_gain(input: &[Row; SUBFRAME], gain: &mut Row, y: &mut [Row; SUBFRAME]) {
    let (out, level_in) = (Lockstep::quarter_energy(y), Lockstep::quarter_energy(input));
    let double = |sum: i32| clamp_32(2 * i64::from(sum as u32));
    let mut target = ZERO;
    let mut silent = 0u8;
    for k in 0..8 {
        match level(double(out[k]), double(level_in[k])) {
            Some(level) => target[k] = i32::from(level),
            None => silent |= 1 << k,
        }
    }
    let untouched = (silent != 0).then_some(*y);
    Lockstep::control_gain(&target, gain, y);
    // Where there is nothing to hear, samples stay and the gain starts from nothing.
    if let Some(untouched) = untouched {
        mend(!silent, |lane| {
            gain[lane] = 0;
            let lanes = y.iter_mut().zip(&untouched);
            lanes.for_each(|(y, before)| y[lane] = before[lane]);
        });
    }
}
