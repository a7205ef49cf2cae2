//! Post-filter of Annex A (G.729 A.4.2).

use super::FRAME;
use super::filter::{self, Memory, SUBFRAME, window};
use super::highpass::{self, HighPass};
use super::lpc::{self, ORDER, Predictor};
use super::ops::*;
use crate::arch::Kernels;

/// Past samples of the residual: the largest lag.
const PAST: usize = 143;
/// Samples of the impulse response for the tilt.
const RESPONSE: usize = 22;

/// Fours that make the response.
#[cfg(any(test, target_arch = "x86_64"))]
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
    /// Residual of the past, and room for the frame; the scaled copy of the recommendation is made from
    /// it when needed.
    residual: [i16; PAST + FRAME],
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
            residual: [0; PAST + FRAME],
            memory: [0; ORDER],
            tilt: 0,
            gain: 4096,
        }
    }

    /// What the synthesis of a subframe is to be fed with: the residual of `s`, the synthesis of the
    /// decoder with ten samples before it, with its pitch strengthened and its tilt taken off. What is
    /// to be done `beside` it comes in four parts.
    #[inline(always)]
    pub fn excite<K: Kernels>(
        &mut self,
        s: &[i16; SUBFRAME + ORDER],
        shape: &Shape,
        subframe: usize,
        lag: i32,
        speech: bool,
        mut beside: impl FnMut(usize),
    ) -> [i16; SUBFRAME] {
        beside(0);
        let run: &mut Run = filter::window_mut(&mut self.residual[..], SUBFRAME * subframe);
        filter::residual::<K>(&shape.numerator, s, filter::window_mut(&mut run[..], PAST));
        beside(1);
        beside(2);
        let mut x = if speech {
            harmonic::<K>(run, lag)
        } else {
            *window(run, PAST)
        };
        beside(3);
        let last = x[SUBFRAME - 1];
        K::take_tilt(&mut x, self.tilt, shape.mu);
        self.tilt = last;
        x
    }

    /// After a frame: its residual becomes the past.
    #[inline(always)]
    pub fn forget(&mut self) {
        self.residual.copy_within(FRAME.., 0);
    }

    /// Memory of the synthesis.
    #[inline(always)]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Takes what the synthesis made of a subframe, and returns what the gain of the level control goes
    /// towards to bring its level back to that of `s`, slowly.
    #[inline(always)]
    pub fn finish<K: Kernels>(
        &mut self,
        s: &[i16; SUBFRAME + ORDER],
        y: &[i16; SUBFRAME],
    ) -> Option<i16> {
        self.memory.copy_from_slice(&y[SUBFRAME - ORDER..]);
        let quarter = |x| clamp_32(2 * i64::from(K::energy_of_quarters(x)));
        level(quarter(y), quarter(window(s, ORDER)))
    }

    /// The gain of the level control after a frame.
    #[cfg(any(test, target_arch = "x86_64"))]
    #[inline(always)]
    pub fn set_gain(&mut self, gain: i32) {
        self.gain = gain as i16;
    }

    /// The gain on its way to a target of [`PostFilterA::finish`].
    #[inline(always)]
    pub fn approach(&self, target: Option<i16>) -> Approach {
        Approach {
            now: i32::from(self.gain),
            target,
            gains: [0; SUBFRAME],
        }
    }

    /// Level control of a subframe for which the gains were found.
    #[inline(always)]
    pub fn apply<K: Kernels>(&mut self, gains: &Approach, y: &[i16; SUBFRAME]) -> [i16; SUBFRAME] {
        match gains.target {
            Some(_) => {
                self.gain = gains.now as i16;
                K::levelled(y, &gains.gains)
            }
            None => {
                self.gain = 0;
                *y
            }
        }
    }

    /// Level control of a subframe with a target of [`PostFilterA::finish`], and the last high-pass.
    #[inline(always)]
    pub fn level(
        &mut self,
        target: Option<i16>,
        high_pass: &mut HighPass,
        y: &mut [i16; SUBFRAME],
    ) {
        if let Some(target) = target {
            high_pass.post_process_levelled(y, &mut self.gain, target);
            return;
        }
        self.gain = 0;
        let mut steps = high_pass.begin(y);
        (0..SUBFRAME / 4).for_each(|block| steps.take_four(block));
        high_pass.end(steps, y);
    }
}

/// Gains of the level control in a subframe, as they come.
pub struct Approach {
    now: i32,
    target: Option<i16>,
    gains: [i16; SUBFRAME],
}

impl Approach {
    /// The gains of one of four parts.
    #[inline(always)]
    pub fn take(&mut self, part: usize) {
        let target = self.target.unwrap_or(0);
        let gains: &mut [i16; SUBFRAME / 4] =
            filter::window_mut(&mut self.gains, SUBFRAME / 4 * part);
        for gain in gains {
            self.now = highpass::approach(self.now, target);
            *gain = self.now as i16;
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

/// Residual of a subframe after that of the past.
type Run = [i16; PAST + SUBFRAME];

/// How the pitch of a subframe is strengthened.
struct Harmonic {
    /// Where in the run the samples of one lag ago start.
    at: usize,
    /// Factors of the residual and of that of one lag ago.
    factors: [i16; 2],
}

/// Strengthens the pitch: adds the residual one lag ago. `run` ends with the subframe.
#[inline(always)]
fn harmonic<K: Kernels>(run: &Run, lag: i32) -> [i16; SUBFRAME] {
    let now = window(run, PAST);
    match find_harmonic::<K>(run, lag) {
        Some(harmonic) => K::blend(now, window(run, harmonic.at), harmonic.factors),
        None => *now,
    }
}

/// Correlation of the subframe with that of its best lag, the lag itself, and the energies of both.
struct Match {
    correlation: i32,
    lag: i32,
    past_energy: i32,
    present_energy: i32,
}

/// The first of the largest correlations.
#[inline(always)]
fn first_largest(low: i32, high: i32, mut correlation: impl FnMut(i32) -> i32) -> (i32, i32) {
    let mut best = (MIN_32, low);
    for lag in low..=high {
        let c = correlation(lag);
        if c > best.0 {
            best = (c, lag);
        }
    }
    best
}

/// The best lag where sums of products of quarters might not fit: they do by Cauchy-Schwarz, or go
/// limit by limit.
#[inline(never)]
fn match_limited(run: &Run, low: i32, high: i32) -> Match {
    let scaled = run.map(|r| r >> 2);
    let delayed = |lag: i32| -> &[i16; SUBFRAME] { window(&scaled, PAST - lag as usize) };
    let present: &[i16; SUBFRAME] = window(&scaled, PAST);
    let (correlation, lag) = if energy_wide(1, &scaled) <= i64::from(MAX_32) {
        first_largest(low, high, |lag| 2 * dot(present, delayed(lag)))
    } else {
        first_largest(low, high, |lag| mac_chain(present, delayed(lag)))
    };
    Match {
        correlation,
        lag,
        past_energy: energy(1, delayed(lag)),
        present_energy: energy(1, present),
    }
}

/// The best lag near to a lag.
#[inline(always)]
fn best_match<K: Kernels>(run: &Run, lag: i32) -> Match {
    let high = (lag + 3).min(PAST as i32);
    let low = high - 6;
    let present = window(run, PAST);
    // Behind the shortest lag there is one more, which nobody looks at.
    let Some(sums) = K::quarter_dots(present, window(run, PAST - high as usize)) else {
        return match_limited(run, low, high);
    };
    let (sum, lag) = first_largest(low, high, |lag| sums[(high - lag) as usize & 7]);
    // Forty squares of no more than 5180 fit when doubled.
    let energy = |x| 1 + 2 * K::energy_of_quarters(x) as i32;
    Match {
        correlation: 2 * sum,
        lag,
        past_energy: energy(window(run, PAST - lag as usize)),
        present_energy: energy(present),
    }
}

/// How the pitch is strengthened; `None` where the past is too different.
#[inline(always)]
fn find_harmonic<K: Kernels>(run: &Run, lag: i32) -> Option<Harmonic> {
    let found = best_match::<K>(run, lag);
    let correlation = found.correlation.max(0);
    let largest = correlation.max(found.past_energy).max(found.present_energy);
    // Nothing is negative, and the largest is at least one.
    let norm = largest.leading_zeros() - 1;
    let [c, n1, n0] =
        [correlation, found.past_energy, found.present_energy].map(|x| i32::from(round(x << norm)));
    // Products of numbers of fifteen bits.
    if 2 * c * c < n1 * n0 {
        return None;
    }
    let (direct, back) = if c > n1 {
        (21845, 10923)
    } else {
        let c2 = (c >> 1) >> 1;
        let sum = c2 + (n1 >> 1);
        if sum > 0 {
            let back = div_s(c2 as i16, sum as i16);
            (32767 - back, back)
        } else {
            (32767, 0)
        }
    };
    Some(Harmonic {
        at: PAST - found.lag as usize,
        factors: [direct, back],
    })
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

/// The filters of both subframes, without their tilt, for which their responses are needed.
#[inline(always)]
pub fn shapes(a: &[Predictor; 2]) -> [Shape; 2] {
    let shape = |a| Shape {
        numerator: lpc::weight(a, &NUMERATOR),
        denominator: lpc::weight(a, &DENOMINATOR),
        mu: 0,
    };
    [shape(&a[0]), shape(&a[1])]
}

impl Shape {
    /// What the synthesis through the denominator makes the response of.
    #[inline(always)]
    pub fn response_input(&self) -> [i16; SUBFRAME] {
        filter::response_input(&self.numerator)
    }

    /// Finds the tilt from the response.
    #[inline(always)]
    pub fn take_response<K: Kernels>(
        &mut self,
        input: &[i16; SUBFRAME],
        exact: bool,
        area: &mut filter::Area,
    ) {
        if !exact {
            filter::synthesise_limited(&self.denominator, input, area);
        }
        self.mu = tilt_of_response::<K>(window(area, ORDER));
    }
}

/// Factor of the tilt filter from the filter itself.
#[cfg(any(test, target_arch = "x86_64"))]
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
