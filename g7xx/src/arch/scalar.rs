//! The kernels as plain loops: the reference.

use super::{Kernels, Windowed};
use crate::g729::filter;
use crate::g729::lpc::{self, Autocorrelation, Lsp, Predictor, Stable, WINDOW};
use crate::g729::lsp;
use crate::g729::ops;
use crate::g729::pitch::EXCITATION;

/// Kernels without anything of a processor.
#[derive(Clone, Copy, Debug)]
pub struct Scalar;

impl Kernels for Scalar {
    #[inline(always)]
    fn dot(a: &[i16; 40], b: &[i16; 40]) -> i32 {
        a.iter()
            .zip(b)
            .map(|(a, b)| i32::from(*a) * i32::from(*b))
            .sum()
    }

    #[inline(always)]
    fn nearest_of_128(target: &[i16; 10], pairs: &[[i16; 256]; 5]) -> usize {
        lsp::nearest_of_pairs(target, pairs)
    }

    #[inline(always)]
    fn nearest_of_32(target: &[i16; 5], weights: &[i16; 5], elements: &[[i16; 32]; 5]) -> usize {
        lsp::nearest_weighted(target, weights, elements)
    }

    #[inline(always)]
    fn mix(excitation: &mut [i16; 40], code: &[i16; 40], gains: [i16; 2]) {
        let [pitch, code_gain] = gains.map(i32::from);
        for (e, c) in excitation.iter_mut().zip(code) {
            let sum = i32::from(*e) * pitch + i32::from(*c) * code_gain;
            *e = ops::clamp_16((sum + 0x2000) >> 14);
        }
    }

    #[inline(always)]
    fn energy_of_quarters(x: &[i16; 40]) -> u32 {
        x.iter().fold(0, |sum, x| {
            let x = i32::from(*x >> 2);
            sum + (x * x) as u32
        })
    }

    #[inline(always)]
    fn quarter_dots(x: &[i16; 40], y: &[i16; 47]) -> Option<[i32; 8]> {
        let (mut now, mut past) = ([0; 40], [0; 47]);
        let mut largest = 0;
        for (to, x) in now.iter_mut().zip(x).chain(past.iter_mut().zip(y)) {
            *to = *x >> 2;
            largest = largest.max((*x >> 2).unsigned_abs());
        }
        (largest <= 5180).then(|| Self::dots(&now, &past))
    }

    #[inline(always)]
    fn blend(x: &[i16; 40], y: &[i16; 40], factors: [i16; 2]) -> [i16; 40] {
        let [first, second] = factors.map(i32::from);
        let mut sum = [0; 40];
        for n in 0..40 {
            let (x, y) = (i32::from(x[n]), i32::from(y[n]));
            sum[n] = ops::clamp_16(((first * x) >> 15) + ((second * y) >> 15));
        }
        sum
    }

    #[inline(always)]
    fn take_tilt(x: &mut [i16; 40], before: i16, mu: i16) {
        let mut last = i32::from(before);
        for x in x {
            let now = i32::from(*x);
            *x = ops::clamp_16(now - ((i32::from(mu) * last) >> 15));
            last = now;
        }
    }

    #[inline(always)]
    fn levelled(x: &[i16; 40], gains: &[i16; 40]) -> [i16; 40] {
        let mut y = [0; 40];
        for n in 0..40 {
            y[n] = ops::clamp_16((i32::from(x[n]) * i32::from(gains[n])) >> 12);
        }
        y
    }

    #[inline(always)]
    fn sign_changes(values: &[i16; 64]) -> u64 {
        values.windows(2).rev().fold(0, |bits, two| {
            bits << 1 | u64::from(lpc::signs_differ(two[0], two[1]))
        }) << 1
    }

    #[inline(always)]
    fn levinson(_: &Autocorrelation) -> Option<Stable> {
        None
    }

    #[inline(always)]
    fn energy(x: &[i16; 40]) -> i64 {
        ops::energy_wide(0, x) >> 1
    }

    #[inline(always)]
    fn residual(a: &Predictor, x: &[i16; 50]) -> [i16; 40] {
        filter::residual_plain(a, x)
    }

    #[inline(always)]
    fn dots<const N: usize>(x: &[i16; 40], y: &[i16]) -> [i32; N] {
        core::array::from_fn(|k| Self::dot(x, filter::window(y, k)))
    }

    #[inline(always)]
    fn synthesise<const M: usize, const BLOCKS: usize>(
        a: [&Predictor; M],
        x: [&[i16; 40]; M],
        mut areas: [&mut [i16; 50]; M],
    ) -> [bool; M] {
        core::array::from_fn(|m| filter::synthesise_plain::<BLOCKS>(a[m], x[m], areas[m]))
    }

    #[inline(always)]
    fn synthesise_beside(
        a: &Predictor,
        x: &[i16; 40],
        area: &mut [i16; 50],
        beside: impl FnMut(usize),
    ) -> bool {
        (0..10).for_each(beside);
        filter::synthesise_plain::<10>(a, x, area)
    }

    #[inline(always)]
    fn best_pulses(_: &[i16; 40], _: &[i16; 40], _: &[i16; 40]) -> Option<[usize; 4]> {
        None
    }

    #[inline(always)]
    fn autocorrelate(speech: &[i16; WINDOW], window: &[i16; WINDOW]) -> Windowed {
        lpc::autocorrelate_plain(speech, window)
    }

    #[inline(always)]
    fn chebyshev(x: &[i16; 8], f: &[i16; 6], coarse: bool) -> [i16; 8] {
        x.map(|x| lpc::chebyshev_plain(x, f, coarse))
    }

    #[inline(always)]
    fn lsp_az(lsp: [&Lsp; 2]) -> Option<[Predictor; 2]> {
        Some(lsp.map(lpc::lsp_az))
    }

    #[inline(always)]
    fn correlate_all(x: &[i16; 80], h: &[i16; 40]) -> [i32; 40] {
        let mut y = [0; 40];
        for (n, h) in h.iter().enumerate() {
            for (y, x) in y.iter_mut().zip(&x[n..n + 40]) {
                *y += 2 * i32::from(*h) * i32::from(*x);
            }
        }
        y
    }

    #[inline(always)]
    fn interpolate(x: &mut [i16; EXCITATION], base: usize, start: usize, taps: &[i16; 20]) -> bool {
        for n in (0..40).step_by(8) {
            let mut sums = [0x4000i32; 8];
            for (k, tap) in taps.iter().enumerate() {
                let x: &[i16; 8] = filter::window(&x[..], base + n + k);
                for (sum, x) in sums.iter_mut().zip(x) {
                    *sum = sum.wrapping_add(i32::from(*tap) * i32::from(*x));
                }
            }
            for (x, sum) in x[start + n..][..8].iter_mut().zip(&sums) {
                *x = ops::clamp_16(*sum >> 15);
            }
        }
        ops::max_magnitude(filter::window::<59, _>(&x[..], base)) < 8192
    }
}
