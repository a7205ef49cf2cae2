//! Post-filter of the base codec (G.729 4.2).

use super::filter::{self, Memory, SUBFRAME, window};
use super::lpc::{self, ORDER, Predictor};
use super::ops::*;
use super::tables::{TAB_HUP_L, TAB_HUP_S};
use crate::arch::Kernels;

/// Past samples of the residual: the largest lag and half the interpolation filter.
const PAST: usize = 152;
/// Residual of the past and of the subframe.
const RUN: usize = PAST + SUBFRAME;
/// Samples of the impulse response for the tilt.
const RESPONSE: usize = 20;
/// Phases of the fractional lag besides zero, in eighths.
const PHASES: usize = 7;
/// Smallest weight of the direct signal in the harmonic filter, Q15.
const GAIN_MIN: i16 = 21845;

/// Powers of 0.55, for the numerator of the short-term filter.
const NUMERATOR: [i16; ORDER + 1] = lpc::powers(18022);
/// Powers of 0.70, for its denominator.
const DENOMINATOR: [i16; ORDER + 1] = lpc::powers(22938);

/// State of the post-filter.
#[derive(Clone, Debug)]
pub struct PostFilterBase {
    residual: [i16; PAST],
    memory: Memory,
    /// Gain of the level control, Q14.
    gain: i16,
}

/// A gain as a fraction of two 16-bit numbers with shifts.
#[derive(Clone, Copy)]
struct Fraction {
    numerator: i16,
    denominator: i16,
    numerator_shift: i32,
    denominator_shift: i32,
}

/// The run of residual samples, scaled to 13 bits.
struct Scaled {
    x: [i16; RUN],
    shift: i32,
}

impl Scaled {
    fn new(run: &[i16; RUN]) -> Self {
        let bits = run.iter().fold(0, |bits, r| bits | abs_s(*r));
        let shift = sub(3, norm_s(bits) as i16).into();
        Self {
            x: run.map(|r| shr(r, shift)),
            shift,
        }
    }

    /// Sample at a time relative to the subframe; zero before the past that is kept.
    #[inline(always)]
    fn at(&self, time: i32) -> i16 {
        self.x
            .get((time + PAST as i32) as usize)
            .copied()
            .unwrap_or(0)
    }

    fn present(&self) -> &[i16] {
        &self.x[PAST..]
    }

    /// Correlation of the subframe with samples of 13 bits or little more, which cannot overflow it.
    #[inline(always)]
    fn correlate(&self, y: &[i16; SUBFRAME]) -> i32 {
        2 * dot(window::<SUBFRAME, _>(&self.x, PAST), y)
    }

    /// The subframe as it was `lag` samples ago; lags reach 145.
    #[inline(always)]
    fn delayed(&self, lag: i32) -> &[i16; SUBFRAME] {
        window(&self.x, PAST - lag.clamp(0, PAST as i32) as usize)
    }
}

/// Reduces a sum to 16 bits: the value and the shift.
fn reduce(sum: i32) -> (i16, i32) {
    let shift = (16 - norm_l(sum)).max(0);
    (extract_l(l_shr(sum, shift)), shift)
}

/// Result of the search for the lag of the harmonic filter.
struct Delay {
    /// Whole lag; the delay is `whole - phase / 8`.
    whole: i32,
    phase: usize,
    /// First sample of the short-filtered signal of the phase.
    offset: usize,
    gain: Fraction,
}

/// Signals of the seven phases around a lag, 41 samples each.
type Phases = [[i16; SUBFRAME + 1]; PHASES];

impl PostFilterBase {
    /// At reset.
    pub const fn new() -> Self {
        Self {
            residual: [0; PAST],
            memory: [0; ORDER],
            gain: 16384,
        }
    }

    /// Filters a subframe: `s` is the synthesis with ten samples before it. Returns the result and
    /// the lag if it was voiced, else 0.
    #[inline(always)]
    pub fn filter<K: Kernels>(
        &mut self,
        s: &[i16; SUBFRAME + ORDER],
        a: &Predictor,
        lag: i32,
        speech: bool,
    ) -> ([i16; SUBFRAME], i32) {
        let numerator = lpc::weight(a, &NUMERATOR);
        let denominator = lpc::weight(a, &DENOMINATOR);
        let mut residual = [0; SUBFRAME];
        filter::residual::<K>(&numerator, s, &mut residual);
        let mut run = [0; RUN];
        run[..PAST].copy_from_slice(&self.residual);
        run[PAST..].copy_from_slice(&residual);
        let (mut x, voicing) = match speech {
            true => harmonic(&run, &residual, lag),
            false => (residual, 0),
        };
        self.residual.copy_from_slice(&run[SUBFRAME..]);
        let before = self.memory[ORDER - 1];
        let (reflection, loudness) = shape::<K>(&numerator, &denominator);
        if loudness > 1024 {
            let factor = div_s(1024, loudness);
            x = x.map(|x| mult_r(x, factor));
        }
        let y = filter::synthesise::<K>(&denominator, &x, &mut self.memory);
        let mut p = tilt(&y, before, reflection);
        self.control_gain(&s[ORDER..], &mut p);
        (p, voicing)
    }

    /// Brings the level back to that of the input, slowly.
    #[inline(always)]
    fn control_gain(&mut self, input: &[i16], p: &mut [i16; SUBFRAME]) {
        let level_in = sum_magnitudes(input);
        let level_out = sum_magnitudes(p);
        let target = if level_in == 0 {
            0
        } else if level_out == 0 {
            self.gain = 0;
            return;
        } else {
            let norm_in = norm_l(level_in);
            let gain_in = extract_h(l_shl(level_in, norm_in));
            let norm_out = norm_l(level_out);
            let gain_out = extract_h(l_shl(level_out, norm_out));
            let shift = norm_in + 1 - norm_out;
            let k = if gain_in < gain_out {
                shr(div_s(gain_in, gain_out), shift)
            } else {
                let k = add(div_s(sub(gain_in, gain_out), gain_out) >> 1, 16384);
                shr(k, shift - 1)
            };
            mult_r(k, 410)
        };
        for p in p {
            self.gain = add(mult_r(32358, self.gain), target);
            *p = round(l_shl(l_mult(self.gain, *p), 1));
        }
    }
}

/// First reflection coefficient of the short-term filter's response, and its loudness.
#[inline(always)]
fn shape<K: Kernels>(numerator: &Predictor, denominator: &Predictor) -> (i16, i16) {
    let h = filter::impulse_response::<K, RESPONSE, { RESPONSE.div_ceil(8) * 2 }>(
        numerator,
        denominator,
    );
    let total = energy(0, &h);
    let norm = norm_l(total);
    let a0 = extract_h(l_shl(total, norm));
    let a1 = extract_h(l_shl(mac_chain(&h[..RESPONSE - 1], &h[1..]), norm));
    let reflection = if a0 < abs_s(a1) {
        0
    } else {
        let quotient = div_s(abs_s(a1), a0);
        if a1 > 0 { negate(quotient) } else { quotient }
    };
    (reflection, extract_h(l_shl(sum_magnitudes(&h), 14)))
}

/// Tilt compensation; `before` is the sample before the first.
#[inline(always)]
fn tilt(y: &[i16; SUBFRAME], before: i16, reflection: i16) -> [i16; SUBFRAME] {
    let (mu, shift, half) = if reflection > 0 {
        (mult_r(reflection, 6554), 15, 16384)
    } else {
        (mult_r(reflection, 29491), 12, 2048)
    };
    let gain = div_s(half, add(32767, sub(1, abs_s(mu))));
    let mu = mu >> 1;
    let mut previous = before;
    y.map(|y| {
        let sum = l_shl(i32::from(y), 15);
        let sum = l_add(l_mac(sum, mu, previous), 16384);
        previous = y;
        // The recommendation wraps here.
        let t = extract_l(sum >> 15);
        clamp_16(l_add(l_mult(t, gain), i32::from(half)) >> shift)
    })
}

/// Long-term post-filter; returns the result and the lag, or 0 when it does not act.
#[inline(always)]
fn harmonic(run: &[i16; RUN], residual: &[i16; SUBFRAME], lag: i32) -> ([i16; SUBFRAME], i32) {
    let scaled = Scaled::new(run);
    let mut phases = [[0; SUBFRAME + 1]; PHASES];
    let Some(delay) = find_delay(&scaled, lag, &mut phases) else {
        return (*residual, 0);
    };
    let (d, gain) = delayed_signal(run, &scaled, &delay, &phases);
    let direct = direct_weight(gain);
    let back = add(sub(32767, direct), 1);
    let x = core::array::from_fn(|n| round(l_mac(l_mult(direct, residual[n]), back, d[n])));
    (x, delay.whole)
}

/// Weight of the direct signal, Q15.
fn direct_weight(gain: Fraction) -> i16 {
    let k = gain.numerator_shift - gain.denominator_shift;
    let (mut numerator, mut denominator) = (gain.numerator, gain.denominator);
    if k >= 0 {
        denominator = shr(denominator, k);
    } else {
        numerator = shr(numerator, -k);
    }
    if numerator >= denominator {
        return GAIN_MIN;
    }
    let (numerator, denominator) = (numerator >> 2, denominator >> 1);
    div_s(denominator, add(denominator, numerator))
}

/// Finds the lag in eighths of a sample.
#[inline(always)]
fn find_delay(scaled: &Scaled, lag: i32, phases: &mut Phases) -> Option<Delay> {
    let total = energy(0, scaled.present());
    if total == 0 {
        return None;
    }
    let (e, e_shift) = reduce(total);
    let mut best = (0, lag);
    for candidate in lag - 1..=lag + 1 {
        let c = scaled.correlate(scaled.delayed(candidate)).max(0);
        if c > best.0 {
            best = (c, candidate);
        }
    }
    let (n, whole) = best;
    if n == 0 {
        return None;
    }
    let d = energy(0, scaled.delayed(whole));
    if d == 0 {
        return None;
    }
    let mut ends = [[0i32; 2]; PHASES];
    let mut d_max = d;
    for ((u, end), taps) in phases.iter_mut().zip(&mut ends).zip(&TAB_HUP_S) {
        // 13-bit samples cannot overflow the four taps.
        let start = (PAST as i32 - whole - 2).clamp(0, PAST as i32 - 4) as usize;
        let x: &[i16; SUBFRAME + 4] = window(&scaled.x, start);
        for (n, u) in u.iter_mut().enumerate() {
            let sum: i32 = (0..4)
                .map(|i| i32::from(taps[i]) * i32::from(x[n + 3 - i]))
                .sum();
            *u = clamp_16((sum + 0x4000) >> 15);
        }
        let common = energy(0, &u[1..SUBFRAME]);
        let (first, last) = (u[0], u[SUBFRAME]);
        *end = [l_mac(common, first, first), l_mac(common, last, last)];
        d_max = d_max.max(if abs_s(first) > abs_s(last) {
            end[0]
        } else {
            end[1]
        });
    }
    if d_max == 0 {
        return None;
    }
    let d_shift = 16 - norm_l(d_max);
    if d_shift <= 0 {
        return None;
    }
    let n_shift = d_shift.max(e_shift);
    choose_phase(
        scaled,
        phases,
        &ends,
        Start {
            n,
            d,
            whole,
            e,
            e_shift,
            d_shift,
            n_shift,
        },
    )
}

/// Where the search of the phase begins: the whole lag.
struct Start {
    n: i32,
    d: i32,
    whole: i32,
    e: i16,
    e_shift: i32,
    d_shift: i32,
    n_shift: i32,
}

/// Chooses the phase with the best ratio of squared correlation to energy.
#[inline(always)]
fn choose_phase(
    scaled: &Scaled,
    phases: &Phases,
    ends: &[[i32; 2]; PHASES],
    start: Start,
) -> Option<Delay> {
    let Start {
        n,
        d,
        whole,
        e,
        e_shift,
        d_shift,
        n_shift,
    } = start;
    let mut denominator = extract_l(l_shr(d, d_shift));
    let mut numerator = extract_l(l_shr(n, n_shift));
    let mut square = l_extract(l_mult(numerator, numerator));
    let (mut phase, mut offset) = (0, 1);
    for (k, (u, end)) in phases.iter().zip(ends).enumerate() {
        for (o, end) in end.iter().enumerate() {
            let c = l_shr(scaled.correlate(window(u, o)), n_shift).max(0);
            let c = extract_l(c);
            let candidate = l_extract(l_mult(c, c));
            let candidate_denominator = extract_l(l_shr(*end, d_shift));
            let gain = l_sub(
                mpy_32_16(candidate, denominator),
                mpy_32_16(square, candidate_denominator),
            );
            if gain > 0 {
                (numerator, square, denominator) = (c, candidate, candidate_denominator);
                (phase, offset) = (k + 1, o);
            }
        }
    }
    if numerator == 0 || denominator <= 1 {
        return None;
    }
    let k = 2 * n_shift - d_shift - e_shift + 1;
    let mut a = l_comp(square);
    let mut b = l_mult(denominator, e);
    if k < 0 {
        a = l_shr(a, -k);
    } else {
        b = l_shr(b, k);
    }
    if l_sub(a, b) < 0 {
        return None;
    }
    let gain = Fraction {
        numerator,
        denominator,
        numerator_shift: n_shift,
        denominator_shift: d_shift,
    };
    Some(Delay {
        whole: whole + 1 - offset as i32,
        phase,
        offset,
        gain,
    })
}

/// The delayed signal on the scale of the residual, and the gain that belongs to it.
#[inline(always)]
fn delayed_signal(
    run: &[i16; RUN],
    scaled: &Scaled,
    delay: &Delay,
    phases: &Phases,
) -> ([i16; SUBFRAME], Fraction) {
    if delay.phase == 0 {
        let start = PAST as i32 - delay.whole;
        let at = |n: usize| run.get((start + n as i32) as usize).copied().unwrap_or(0);
        return (core::array::from_fn(at), delay.gain);
    }
    let taps = &TAB_HUP_L[delay.phase - 1];
    let long: [i16; SUBFRAME] = core::array::from_fn(|n| {
        round(taps.iter().enumerate().fold(0, |sum, (i, tap)| {
            l_mac(sum, *tap, scaled.at(n as i32 + 8 - delay.whole - i as i32))
        }))
    });
    let correlation = mac_chain(&scaled.x[PAST..], &long);
    let (numerator, numerator_shift) = if correlation < 0 {
        (0, 0)
    } else {
        reduce(correlation)
    };
    let (denominator, denominator_shift) = reduce(energy(0, &long));
    let candidate = Fraction {
        numerator,
        denominator,
        numerator_shift,
        denominator_shift,
    };
    let short = delay.gain;
    let (signal, gain) = if is_better(candidate, short) {
        (long, candidate)
    } else {
        let u = &phases[delay.phase - 1];
        (core::array::from_fn(|n| u[n + delay.offset]), short)
    };
    (signal.map(|d| shl(d, scaled.shift)), gain)
}

/// Whether the long filter's ratio beats the short filter's.
fn is_better(long: Fraction, short: Fraction) -> bool {
    if long.denominator == 0 {
        return false;
    }
    let square = |x: i16| l_extract(l_mult(x, x));
    let mut a = mpy_32_16(square(short.numerator), long.denominator);
    let mut b = mpy_32_16(square(long.numerator), short.denominator);
    let ka = 2 * short.numerator_shift + long.denominator_shift;
    let kb = 2 * long.numerator_shift + short.denominator_shift;
    if kb > ka {
        a = l_shr(a, kb - ka);
    } else {
        b = l_shr(b, ka - kb);
    }
    l_sub(b, a) > 0
}
