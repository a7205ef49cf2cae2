//! Post-filter of Annex A (G.729 A.4.2).

use super::filter::{self, Memory, SUBFRAME, window};
use super::lpc::{self, ORDER, Predictor};
use super::ops::*;
use crate::arch::Kernels;

/// Past samples of the residual: the largest lag.
const PAST: usize = 143;
/// Samples of the impulse response for the tilt.
const RESPONSE: usize = 22;

/// Fours that make the response.
const FOURS: usize = RESPONSE.div_ceil(8) * 2;

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

    /// What the synthesis of a subframe is to be fed with: the residual of `s`, the synthesis of the
    /// decoder with ten samples before it, with its pitch strengthened and its tilt taken off.
    #[inline(always)]
    pub fn excite<K: Kernels>(
        &mut self,
        s: &[i16; SUBFRAME + ORDER],
        shape: &Shape,
        lag: i32,
        speech: bool,
    ) -> [i16; SUBFRAME] {
        let mut residual = [0; SUBFRAME];
        filter::residual::<K>(&shape.numerator, s, &mut residual);
        let mut run = [0; PAST + SUBFRAME];
        run[..PAST].copy_from_slice(&self.residual);
        run[PAST..].copy_from_slice(&residual);
        let mut x = if speech {
            harmonic::<K>(&run, lag)
        } else {
            residual
        };
        self.residual.copy_from_slice(&run[SUBFRAME..]);
        let mut before = [0; SUBFRAME + 1];
        before[0] = self.tilt;
        before[1..].copy_from_slice(&x);
        self.tilt = before[SUBFRAME];
        for (x, before) in x.iter_mut().zip(&before) {
            // The factor is not negative, so the product has no limit.
            *x = clamp_16(i32::from(*x) - ((i32::from(shape.mu) * i32::from(*before)) >> 15));
        }
        x
    }

    /// Memory of the synthesis.
    #[inline(always)]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Takes what the synthesis made of a subframe and brings its level back to that of `s`.
    #[inline(always)]
    pub fn finish<K: Kernels>(&mut self, s: &[i16; SUBFRAME + ORDER], y: &mut [i16; SUBFRAME]) {
        self.memory.copy_from_slice(&y[SUBFRAME - ORDER..]);
        self.control_gain::<K>(window(s, ORDER), y);
    }

    /// Brings the level back to that of the input, slowly.
    #[inline(always)]
    fn control_gain<K: Kernels>(&mut self, input: &[i16; SUBFRAME], y: &mut [i16; SUBFRAME]) {
        let quarter = |x: &[i16; SUBFRAME]| clamp_32(2 * K::energy(&x.map(|x| x >> 2)));
        let Some(target) = level(quarter(y), quarter(input)) else {
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
    if plain {
        // Behind the shortest lag there is one more, which nobody looks at.
        let sums: [i32; 8] = K::dots(present, &scaled[PAST - high as usize..]);
        for lag in low..=high {
            let c = 2 * sums[(high - lag) as usize & 7];
            if c > best.0 {
                best = (c, lag);
            }
        }
    } else {
        for lag in low..=high {
            let c = mac_chain(present, delayed(lag));
            if c > best.0 {
                best = (c, lag);
            }
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
    let now: [i16; SUBFRAME] = *window(run, PAST);
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
    // Neither factor is negative, so no product has a limit.
    let then: &[i16; SUBFRAME] = window(run, PAST - lag as usize);
    let (direct, back) = (i32::from(direct), i32::from(back));
    let mut y = [0; SUBFRAME];
    for n in 0..SUBFRAME {
        let (now, then) = (i32::from(now[n]), i32::from(then[n]));
        y[n] = clamp_16(((direct * now) >> 15) + ((back * then) >> 15));
    }
    y
}

/// Filters of a subframe.
pub struct Shape {
    /// Numerator of the short-term filter.
    numerator: Predictor,
    /// Its denominator.
    pub denominator: Predictor,
    /// Factor of the tilt filter, Q15.
    mu: i16,
}

/// The filters of both subframes.
#[inline(always)]
pub fn shapes<K: Kernels>(a: &[Predictor; 2]) -> [Shape; 2] {
    let numerators = a.each_ref().map(|a| lpc::weight(a, &NUMERATOR));
    let denominators = a.each_ref().map(|a| lpc::weight(a, &DENOMINATOR));
    let responses = filter::impulse_responses::<K, 2, RESPONSE, FOURS>(&numerators, &denominators);
    [0, 1].map(|k: usize| Shape {
        numerator: numerators[k],
        denominator: denominators[k],
        mu: tilt_of_response::<K>(&responses[k]),
    })
}

/// Factor of the tilt filter from the filter itself.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn tilt_factor<K: Kernels>(numerator: &Predictor, denominator: &Predictor) -> i16 {
    tilt_of_response::<K>(&filter::impulse_response::<K, RESPONSE, FOURS>(
        numerator,
        denominator,
    ))
}

/// Factor of the tilt filter from the impulse response.
#[inline(always)]
fn tilt_of_response<K: Kernels>(h: &[i16; RESPONSE]) -> i16 {
    let mut run = [0; SUBFRAME + 1];
    run[..RESPONSE].copy_from_slice(h);
    let e = 2 * K::energy(window(&run, 0));
    // By Cauchy-Schwarz no part of the second sum exceeds the energy.
    let t2 = if e <= i64::from(MAX_32) {
        2 * K::dot(window(&run, 0), window(&run, 1))
    } else {
        mac_chain(&h[..RESPONSE - 1], &h[1..])
    };
    tilt_of(extract_h(clamp_32(e)), extract_h(t2))
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
