//! Post-filter of Annex A (G.729 A.4.2).

use super::filter::{self, Memory, SUBFRAME, window};
use super::lpc::{self, ORDER, Predictor};
use super::ops::*;
use crate::arch::Kernels;

/// Past samples of the residual: the largest lag.
const PAST: usize = 143;
/// Samples of the impulse response for the tilt.
const RESPONSE: usize = 22;

/// Powers of 0.55, for the numerator of the short-term filter.
const NUMERATOR: [i16; ORDER + 1] = lpc::powers(18022);
/// Powers of 0.70, for its denominator.
const DENOMINATOR: [i16; ORDER + 1] = lpc::powers(22938);

#[cfg(any(test, target_arch = "x86_64"))]
pub mod lockstep;

/// State of the post-filter.
#[derive(Clone, Debug)]
pub struct PostFilterA {
    /// Residual; the scaled copy of the recommendation is made from it when needed.
    residual: [i16; PAST],
    memory: Memory,
    /// Last sample before the tilt filter.
    tilt: i16,
    /// Gain of the level control, Q12.
    gain: i16,
}

impl PostFilterA {
    /// At reset.
    pub const fn new() -> Self {
        Self {
            residual: [0; PAST],
            memory: [0; ORDER],
            tilt: 0,
            gain: 4096,
        }
    }

    /// Filters a subframe: `s` is the synthesis with ten samples before it.
    #[inline(always)]
    pub fn filter<K: Kernels>(
        &mut self,
        s: &[i16; SUBFRAME + ORDER],
        a: &Predictor,
        lag: i32,
        speech: bool,
    ) -> [i16; SUBFRAME] {
        let numerator = lpc::weight(a, &NUMERATOR);
        let denominator = lpc::weight(a, &DENOMINATOR);
        let mut residual = [0; SUBFRAME];
        filter::residual(&numerator, s, &mut residual);
        let mut run = [0; PAST + SUBFRAME];
        run[..PAST].copy_from_slice(&self.residual);
        run[PAST..].copy_from_slice(&residual);
        let mut x = if speech {
            harmonic::<K>(&run, lag)
        } else {
            residual
        };
        self.residual.copy_from_slice(&run[SUBFRAME..]);
        let mu = tilt_factor::<K>(&numerator, &denominator);
        for x in &mut x {
            let before = core::mem::replace(&mut self.tilt, *x);
            *x = sub(*x, mult(mu, before));
        }
        let mut y = filter::synthesise::<K>(&denominator, &x, &mut self.memory);
        self.control_gain(&s[ORDER..], &mut y);
        y
    }

    /// Brings the level back to that of the input, slowly.
    #[inline(always)]
    fn control_gain(&mut self, input: &[i16], y: &mut [i16; SUBFRAME]) {
        let quarter: [i16; SUBFRAME] = core::array::from_fn(|n| input[n] >> 2);
        let Some(target) = level(energy(0, &y.map(|y| y >> 2)), energy(0, &quarter)) else {
            self.gain = 0;
            return;
        };
        // The gain stays between 0 and 32767: nine tenths of it and at most a tenth of the range.
        let mut gain = i32::from(self.gain);
        let gains: [i32; SUBFRAME] = core::array::from_fn(|_| {
            gain = ((gain * 29491) >> 15) + i32::from(target);
            gain
        });
        self.gain = gain as i16;
        for (y, gain) in y.iter_mut().zip(&gains) {
            *y = clamp_16((i32::from(*y) * gain) >> 12);
        }
    }
}

/// What the gain of the level control goes towards (a tenth of the range at most), from the energies
/// of the output and of the input; `None` when there is no output.
#[inline(always)]
fn level(out: i32, input: i32) -> Option<i16> {
    if out == 0 {
        return None;
    }
    let exponent = norm_l(out) - 1;
    let out = round(l_shl(out, exponent));
    if input == 0 {
        return Some(0);
    }
    let norm = norm_l(input);
    let input = round(l_shl(input, norm));
    let x = l_shl(i32::from(div_s(out, input)), 7);
    let x = inv_sqrt(l_shr(x, exponent - norm));
    Some(mult(round(l_shl(x, 9)), 3276))
}

/// Strengthens the pitch: adds the residual one lag ago. `run` ends with the subframe.
#[inline(always)]
fn harmonic<K: Kernels>(run: &[i16; PAST + SUBFRAME], lag: i32) -> [i16; SUBFRAME] {
    let (low, high) = if lag + 3 > 143 {
        (137, 143)
    } else {
        (lag - 3, lag + 3)
    };
    let scaled = run.map(|r| r >> 2);
    let delayed = |lag: i32| -> &[i16; SUBFRAME] { window(&scaled, PAST - lag as usize) };
    let present: &[i16; SUBFRAME] = window(&scaled, PAST);
    // Forty products of small samples fit; otherwise by Cauchy-Schwarz over the whole run.
    let small = max_magnitude(&scaled) < 5180;
    let plain = small || energy_wide(1, &scaled) <= i64::from(MAX_32);
    let mut best = (MIN_32, low);
    for lag in low..=high {
        let c = if plain {
            2 * K::dot(present, delayed(lag))
        } else {
            mac_chain(present, delayed(lag))
        };
        if c > best.0 {
            best = (c, lag);
        }
    }
    let lag = best.1;
    let correlation = best.0.max(0);
    let energy_of = |x: &[i16; SUBFRAME]| {
        if plain {
            1 + 2 * K::dot(x, x)
        } else {
            energy(1, x)
        }
    };
    let past_energy = energy_of(delayed(lag));
    let present_energy = energy_of(present);
    let norm = norm_l(correlation.max(past_energy).max(present_energy));
    let [c, n1, n0] = [correlation, past_energy, present_energy].map(|x| round(l_shl(x, norm)));
    let now: [i16; SUBFRAME] = core::array::from_fn(|n| run[PAST + n]);
    if l_sub(l_mult(c, c), l_mult(n1, n0) >> 1) < 0 {
        return now;
    }
    let (direct, back) = if c > n1 {
        (21845, 10923)
    } else {
        let c2 = mult(c, 16384) >> 1;
        let sum = add(c2, n1 >> 1);
        if sum > 0 {
            let back = div_s(c2, sum);
            (sub(32767, back), back)
        } else {
            (32767, 0)
        }
    };
    core::array::from_fn(|n| {
        add(
            mult(direct, now[n]),
            mult(back, run[PAST + n - lag as usize]),
        )
    })
}

/// Factor of the tilt filter from the impulse response of the short-term filter, Q15.
#[inline(always)]
fn tilt_factor<K: Kernels>(numerator: &Predictor, denominator: &Predictor) -> i16 {
    let h = filter::impulse_response::<K, RESPONSE, { RESPONSE.div_ceil(8) * 2 }>(
        numerator,
        denominator,
    );
    let t1 = extract_h(energy(0, &h));
    tilt_of(t1, extract_h(mac_chain(&h[..RESPONSE - 1], &h[1..])))
}

/// The factor from the energy of the response and its correlation with itself one sample later.
#[inline(always)]
fn tilt_of(t1: i16, t2: i16) -> i16 {
    if t2 <= 0 {
        0
    } else {
        div_s(mult(t2, 26214), t1)
    }
}
