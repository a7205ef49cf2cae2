//! The kernels as plain loops: the reference.

use super::Kernels;

/// Kernels without anything of a processor.
#[derive(Clone, Copy, Debug)]
pub struct Scalar;

impl Kernels for Scalar {
    #[inline(always)]
    fn recur(tails: &[i32; 19], past: &[i32; 10], sums: &mut [i32; 8]) {
        for (m, past) in past.iter().enumerate() {
            for (sum, tail) in sums.iter_mut().zip(&tails[10 - m..18 - m]) {
                *sum = sum.wrapping_sub(tail.wrapping_mul(*past));
            }
        }
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
