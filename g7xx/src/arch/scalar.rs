//! The kernels as plain loops: the reference.

use super::{Kernels, Windowed};
use crate::g729::filter;
use crate::g729::lpc::{self, Autocorrelation, Lsp, Predictor, Stable, WINDOW};
use crate::g729::lsp;
use crate::g729::ops;

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
    fn interpolate_16(x: &[i16; 35], taps: &[i16; 20]) -> [i16; 16] {
        let mut y = [0; 16];
        for (k, y) in y.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            *y = Self::interpolate(filter::window(x, 8 * k), taps);
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
    fn interpolate(x: &[i16; 27], taps: &[i16; 20]) -> [i16; 8] {
        let mut sums = [0x4000; 8];
        for (k, tap) in taps.iter().enumerate() {
            for (sum, x) in sums.iter_mut().zip(&x[k..k + 8]) {
                *sum += i32::from(*tap) * i32::from(*x);
            }
        }
        sums.map(|sum| (sum >> 15).clamp(-32768, 32767) as i16)
    }
}
