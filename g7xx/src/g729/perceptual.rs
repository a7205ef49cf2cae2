//! Perceptual weighting of the base codec, which follows the shape of the spectrum (G.729 3.3).

use super::lpc::{Lsp, Predictor, lsp_az, lsp_mean, powers, weight};
use super::lsp::lsp_to_normalised;
use super::ops::*;

/// What the choice of the weights remembers.
#[derive(Clone, Copy, Debug)]
pub struct Perceptual {
    /// Whether the spectrum was taken as flat.
    flat: bool,
    /// Log-area ratios of the frame before, Q11.
    ratios: [i16; 2],
}

/// Weighting filters of one subframe: `numerator / denominator`.
#[derive(Clone, Copy, Debug)]
pub struct Weighting {
    /// A(z / gamma1).
    pub numerator: Predictor,
    /// A(z / gamma2).
    pub denominator: Predictor,
}

/// Log-area ratio of a reflection coefficient, Q11, in three straight pieces.
fn log_area_ratio(k: i16) -> i16 {
    let x = abs_s(k) >> 4;
    let piece = |factor, offset| extract_l(l_sub(l_mult(x >> 1, factor), offset) >> 11);
    let y = match x {
        ..=1299 => x,
        1300..=1815 => piece(4567, 3_271_557),
        1816..=1944 => piece(11776, 16_357_786),
        1945.. => piece(27443, 46_808_433),
    };
    if k < 0 { sub(0, y) } else { y }
}

impl Perceptual {
    /// At reset.
    pub const fn new() -> Self {
        Self {
            flat: true,
            ratios: [0; 2],
        }
    }

    /// Makes the weighting filters of both subframes from the unquantised spectrum.
    #[inline(always)]
    pub fn filters(
        &mut self,
        lsp_old: &Lsp,
        lsp: &Lsp,
        a: &Predictor,
        reflection: [i16; 2],
    ) -> [Weighting; 2] {
        let middle = lsp_mean(lsp_old, lsp);
        let ratios = reflection.map(log_area_ratio);
        let mean: [i16; 2] = core::array::from_fn(|i| add(ratios[i], self.ratios[i]) >> 1);
        self.ratios = ratios;
        [(lsp_az(&middle), middle, mean), (*a, *lsp, ratios)].map(|(a, lsp, ratios)| {
            let (gamma1, gamma2) = self.gammas(&lsp, ratios);
            Weighting {
                numerator: weight(&a, &powers(gamma1)),
                denominator: weight(&a, &powers(gamma2)),
            }
        })
    }

    /// Bandwidth factors of one subframe, Q15.
    fn gammas(&mut self, lsp: &Lsp, [first, second]: [i16; 2]) -> (i16, i16) {
        if self.flat {
            self.flat = !(first < -3562 && second > 1336);
        } else {
            self.flat = first > -3116 || second < 890;
        }
        if self.flat {
            return (30802, 19661);
        }
        let lsf = lsp_to_normalised(lsp).map(|lsf| shl(lsf, 1));
        let least = lsf
            .windows(2)
            .map(|pair| sub(pair[1], pair[0]))
            .fold(i16::MAX, i16::min);
        let gamma2 = shl(sub(1024, mult(19302, least)), 5);
        (32113, gamma2.clamp(13107, 22938))
    }
}
