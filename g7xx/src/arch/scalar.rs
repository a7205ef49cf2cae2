//! The kernels as plain loops: the reference.

use super::{Kernels, Windowed};
use crate::g729::filter;
use crate::g729::lpc::{self, Lsp, Predictor, WINDOW};

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
    fn distances(target: &[i16; 10], pairs: &[[i16; 256]; 5]) -> [u32; 128] {
        let mut sums = [0u32; 128];
        for (target, pairs) in target.as_chunks::<2>().0.iter().zip(pairs) {
            for (sum, pair) in sums.iter_mut().zip(pairs.as_chunks::<2>().0) {
                let [a, b] = [0, 1].map(|k| i32::from(target[k].saturating_sub(pair[k])));
                // Two squares and what is limited to 2^30 fit a word.
                *sum = (*sum + (a * a) as u32 + (b * b) as u32).min(1 << 30);
            }
        }
        sums
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
