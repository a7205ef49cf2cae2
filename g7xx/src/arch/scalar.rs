//! The kernels as plain loops: the reference.

use super::{Kernels, Lanes, MATRIX};

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

    #[inline(always)]
    fn signed_rows(
        g: &[i16; 40],
        reversed: &[i16; 88],
        negative: &[i16; 88],
        matrix: &mut [i16; MATRIX],
    ) {
        let mut sums = [0i32; 40];
        for n in 0..40 {
            let j = 39 - n;
            for (sum, delayed) in sums.iter_mut().zip(&reversed[40 - n..80 - n]) {
                *sum += 2 * i32::from(g[n]) * i32::from(*delayed);
            }
            let own = negative[40 + j];
            let start = 40 + j * (j + 1) / 2 - n;
            let row = &mut matrix[start..start + 40];
            for ((value, sum), negative) in row.iter_mut().zip(&sums).zip(&negative[40 - n..80 - n])
            {
                let differ = i32::from(negative ^ own);
                // An autocorrelation at a distance is always well above -1 times the energy, so the
                // value is never -32768.
                let high = *sum >> 16;
                *value = (((high ^ differ) - differ) - (i32::from(high > 0) & !differ)) as i16;
            }
            row[39] = (sums[39] >> 16) as i16;
        }
    }

    #[inline(always)]
    fn best_by_lane(
        bases: &[i16; 8],
        inner: &[i16; 8],
        starts: &[i32; 8],
        v: &[i32; 8],
        block: &[[i16; 8]; 8],
        lanes: &mut Lanes,
    ) -> bool {
        let mut least = i32::MAX;
        for row in 0..8 {
            let (mut squares, mut energies) = ([0; 8], [0; 8]);
            for k in 0..8 {
                let sum = (i32::from(bases[row]) + i32::from(inner[k])).min(32767);
                squares[k] = (sum * sum) >> 15;
                energies[k] =
                    (starts[row] + (i32::from(block[row][k]) << 13) + (v[k] << 15) + 0x8000) >> 16;
                least = least.min(energies[k]);
            }
            if row == 0 {
                *lanes = Lanes {
                    squares,
                    energies,
                    rows: [0; 8],
                };
            } else {
                lanes.take(row, &squares, &energies);
            }
        }
        least > 0
    }
}
