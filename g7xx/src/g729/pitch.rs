//! Lags: open loop, closed loop, fractional interpolation, and their coding (G.729 3.4, 3.7, A.3.4, A.3.7).

use super::filter::{SUBFRAME, convolve, window, window_mut};
use super::ops::*;
use super::tables::{INTER_3, INTER_3L_VALUES};
use crate::arch::Kernels;

/// Smallest lag.
pub const LAG_MIN: i32 = 20;
/// Largest lag.
pub const LAG_MAX: i32 = 143;
/// Past samples kept of the weighted speech.
pub const WEIGHTED_PAST: usize = 143;
/// Weighted speech of the past and of the frame.
pub const WEIGHTED: usize = WEIGHTED_PAST + 80;
/// Past samples kept of the excitation: the largest lag and half the interpolation filter.
pub const EXCITATION_PAST: usize = 154;
/// Excitation of the past and of the frame.
pub const EXCITATION: usize = EXCITATION_PAST + 80;

/// A lag in thirds of a sample: the delay is `whole + third / 3`, `third` -1 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Whole samples.
    pub whole: i32,
    /// Thirds on top.
    pub third: i32,
}

/// Range of whole lags of a search, both ends included.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// Smallest.
    pub low: i32,
    /// Largest.
    pub high: i32,
}

impl Range {
    /// Around an open-loop lag, or (wider) around the lag of the first subframe.
    pub fn around(lag: i32, below: i32, length: i32) -> Self {
        let low = (lag - below).max(LAG_MIN);
        let high = low + length;
        if high > LAG_MAX {
            Self {
                low: LAG_MAX - length,
                high: LAG_MAX,
            }
        } else {
            Self { low, high }
        }
    }

    /// The first subframe's, around the open-loop lag.
    pub fn first(open_loop: i32) -> Self {
        Self::around(open_loop, 3, 6)
    }

    /// The second subframe's, around the lag of the first.
    pub fn second(first: i32) -> Self {
        Self::around(first, 5, 9)
    }
}

/// Index of the first subframe's lag, 8 bits.
pub fn encode_first(lag: Lag) -> u16 {
    (if lag.whole <= 85 {
        3 * lag.whole - 58 + lag.third
    } else {
        lag.whole + 112
    }) as u16
}

/// Index of the second subframe's lag, 5 bits.
pub fn encode_second(lag: Lag, range: Range) -> u16 {
    (3 * (lag.whole - range.low) + 2 + lag.third) as u16
}

/// Lag of an index of the first subframe.
pub fn decode_first(index: u16) -> Lag {
    let index = i32::from(index);
    if index < 197 {
        let whole = (index + 2) / 3 + 19;
        Lag {
            whole,
            third: index - 3 * whole + 58,
        }
    } else {
        Lag {
            whole: index - 112,
            third: 0,
        }
    }
}

/// Lag of an index of the second subframe, relative to the lag of the first.
pub fn decode_second(index: u16, first: i32) -> Lag {
    let index = i32::from(index);
    let step = (index + 2) / 3 - 1;
    Lag {
        whole: Range::second(first).low + step,
        third: index - 2 - 3 * step,
    }
}

/// Parity bit over the six upper bits of the first lag index.
pub fn parity(index: u16) -> u16 {
    ((index >> 2 & 0x3F).count_ones() as u16 + 1) & 1
}

/// Scales the weighted speech so that correlations fit; `energy` is the unlimited energy.
#[inline(always)]
fn scale(weighted: &[i16; WEIGHTED], energy: i64) -> [i16; WEIGHTED] {
    if energy > i64::from(MAX_32) {
        weighted.map(|w| w >> 3)
    } else if energy < 1 << 20 {
        weighted.map(|w| shl(w, 3))
    } else {
        *weighted
    }
}

/// Correlation in order and limit by limit, or plain where that is known to be the same.
#[inline(always)]
fn correlate<K: Kernels>(a: &[i16; SUBFRAME], b: &[i16; SUBFRAME], plain: bool) -> i32 {
    if plain {
        2 * K::dot(a, b)
    } else {
        mac_chain(a, b)
    }
}

/// The weighted speech split into every second value: from -143 on, and from -142 on.
type Phases = [[i16; 112]; 2];

/// Largest value with the last place that has it, places counted from `from` on.
#[inline(always)]
fn last_largest(values: &[i32], from: usize) -> (i32, usize) {
    let max = values.iter().fold(MIN_32, |max, c| max.max(*c));
    let at = values.iter().rposition(|c| *c == max).unwrap_or(0);
    (max, from + at)
}

/// Correlation and lag of the best of each of the three sections of the open-loop search; of equals
/// the shortest lag. All correlations come first, in runs.
#[inline(always)]
fn sections_plain<K: Kernels>(present: &[i16; SUBFRAME], phases: &Phases) -> [(i32, i32); 3] {
    // Entry k belongs to the lag 143 - 2 k of the first phase, and to 142 - 2 k of the second.
    let odd: [i32; 32] = K::dots(present, &phases[0][32..]);
    let even: [i32; 64] = K::dots(present, &phases[1]);
    let of_both = |from: usize, to: usize| {
        let (a, k) = last_largest(&odd[from - 32..to - 32], from);
        let (b, n) = last_largest(&even[from..to], from);
        let (odd_lag, even_lag) = (143 - 2 * k as i32, 142 - 2 * n as i32);
        if a > b || (a == b && odd_lag < even_lag) {
            (2 * a, odd_lag)
        } else {
            (2 * b, even_lag)
        }
    };
    let (max, k) = last_largest(&even[..32], 0);
    let mut third = (2 * max, 142 - 2 * k as i32);
    refine(&mut third, |lag| {
        let start = (143 - lag) as usize;
        2 * K::dot(present, window(&phases[0], start >> 1))
    });
    [of_both(52, 62), of_both(32, 52), third]
}

/// The third section leaves out every second lag: looks at the two beside the best.
#[inline(always)]
fn refine(best: &mut (i32, i32), correlation: impl Fn(i32) -> i32) {
    let middle = best.1;
    for lag in [middle + 1, middle - 1] {
        let c = correlation(lag);
        if c > best.0 {
            *best = (c, lag);
        }
    }
}

/// The same with every limit.
#[inline(never)]
fn sections_limited(present: &[i16; SUBFRAME], phases: &Phases) -> [(i32, i32); 3] {
    let correlation = |lag: i32| {
        let start = (143 - lag) as usize;
        let delayed: &[i16; SUBFRAME] = window(&phases[start & 1], start >> 1);
        mac_chain(present, delayed)
    };
    let search = |low: usize, high: usize, step: usize| {
        let start = (MIN_32, low as i32);
        (low..high).step_by(step).fold(start, |best, lag| {
            let c = correlation(lag as i32);
            if c > best.0 { (c, lag as i32) } else { best }
        })
    };
    let mut third = search(80, 143, 2);
    refine(&mut third, correlation);
    [search(20, 40, 1), search(40, 80, 1), third]
}

/// Open-loop lag of Annex A: every second sample of the product, three sections.
#[inline(always)]
pub fn open_loop_a<K: Kernels>(weighted: &[i16; WEIGHTED]) -> i32 {
    let odd: [i16; 112] = core::array::from_fn(|i| weighted[2 * i]);
    let s = scale(weighted, energy_wide(0, &odd));
    // Split into phases: a lag picks one of them. `phase[0]` holds the times -143, -141, ..., 79 and
    // `phase[1]` the times -142, -140, ..., 78. All sums are bounded by the two energies.
    let phase: [[i16; 112]; 2] =
        core::array::from_fn(|p| core::array::from_fn(|i| s.get(2 * i + p).copied().unwrap_or(0)));
    let limit = i64::from(MAX_32);
    let plain = energy_wide(1, &phase[0]) <= limit && energy_wide(1, &phase[1]) <= limit;
    let present: &[i16; SUBFRAME] = window(&phase[1], 71);
    // Time -lag is entry (143 - lag) of `s`.
    let delayed = |lag: i32| -> &[i16; SUBFRAME] {
        let start = (143 - lag) as usize;
        window(&phase[start & 1], start >> 1)
    };
    let [first, second, third] = if plain {
        sections_plain::<K>(present, &phase)
    } else {
        sections_limited(present, &phase)
    };
    let (t1, t2, t3) = (first.1, second.1, third.1);
    let normalised = |(max, lag): (i32, i32)| {
        let vector = delayed(lag);
        let e = if plain {
            1 + 2 * K::dot(vector, vector)
        } else {
            energy(1, vector)
        };
        extract_l(mpy_32(l_extract(max), l_extract(inv_sqrt(e))))
    };
    let (mut m1, mut m2, m3) = (normalised(first), normalised(second), normalised(third));
    // A shorter lag is favoured when a longer one is a multiple of it.
    if (2 * t2 - t3).abs() < 5 {
        m2 = add(m2, m3 >> 2);
    }
    if (3 * t2 - t3).abs() < 7 {
        m2 = add(m2, m3 >> 2);
    }
    if (2 * t1 - t2).abs() < 5 {
        m1 = add(m1, mult(m2, 6554));
    }
    if (3 * t1 - t2).abs() < 7 {
        m1 = add(m1, mult(m2, 6554));
    }
    let (m, t) = if m1 < m2 { (m2, t2) } else { (m1, t1) };
    if m < m3 { t3 } else { t }
}

/// Open-loop lag of the base codec.
#[inline(always)]
pub fn open_loop_base(weighted: &[i16; WEIGHTED]) -> i32 {
    let s = scale(weighted, energy_wide(0, weighted));
    let plain = energy_wide(0, &s) <= i64::from(MAX_32);
    let present: &[i16; 80] = window(&s, WEIGHTED_PAST);
    let delayed = |lag: i32| -> &[i16; 80] { window(&s, WEIGHTED_PAST - lag as usize) };
    let mut best: Option<(i32, i16)> = None;
    for (low, high) in [(80, 143), (40, 79), (20, 39)] {
        let (max, lag) = (low..=high).rev().fold((MIN_32, high), |best, lag| {
            let c = if plain {
                2 * dot(present, delayed(lag))
            } else {
                mac_chain(present, delayed(lag))
            };
            if c >= best.0 { (c, lag) } else { best }
        });
        let e = energy(0, delayed(lag));
        let m = extract_l(mpy_32(l_extract(max), l_extract(inv_sqrt(e))));
        best = match best {
            Some((_, before)) if mult(before, 27853) >= m => best,
            _ => Some((lag, m)),
        };
    }
    best.map_or(LAG_MIN, |(lag, _)| lag)
}

/// Correlation of `x` backwards with `h`, normalised to 13 bits.
#[inline(always)]
pub fn backward_filter<K: Kernels>(x: &[i16; SUBFRAME], h: &[i16; SUBFRAME]) -> [i16; SUBFRAME] {
    let plain = i64::from(max_magnitude(x)) * i64::from(sum_magnitudes(h)) < 1 << 30;
    let y: [i32; SUBFRAME] = if plain {
        let mut padded = [0; 2 * SUBFRAME];
        padded[..SUBFRAME].copy_from_slice(x);
        K::correlate_all(&padded, h)
    } else {
        core::array::from_fn(|i| mac_chain(&x[i..], &h[..SUBFRAME - i]))
    };
    let max = y.iter().fold(0, |max, y| max.max(l_abs(*y)));
    let shift = 18 - norm_l(max).min(16);
    y.map(|y| extract_l(y >> shift))
}

/// The interpolation filter of one phase as a plain run of 20 taps.
const fn phase_taps(phase: usize) -> [i16; 20] {
    let mut taps = [0; 20];
    let mut i = 0;
    while i < 10 {
        taps[9 - i] = INTER_3L_VALUES[phase + 3 * i];
        taps[10 + i] = INTER_3L_VALUES[3 - phase + 3 * i];
        i += 1;
    }
    taps
}

static TAPS: [[i16; 20]; 3] = [phase_taps(0), phase_taps(1), phase_taps(2)];

/// Writes the excitation of the past, delayed by `lag`, to the 40 samples from `start` on. For short
/// lags this reads samples that it has just written.
#[inline(always)]
pub fn predict<K: Kernels>(excitation: &mut [i16; EXCITATION], start: usize, lag: Lag) {
    // A positive fraction means a longer delay, which is the filter's phase 3 - third one sample back.
    let (phase, back) = if lag.third > 0 {
        (3 - lag.third, 1)
    } else {
        (-lag.third, 0)
    };
    let taps = &TAPS[phase as usize];
    let base = start - 9 - (lag.whole + back) as usize;
    // No tap set has magnitudes of more than 2^17 in sum: small samples cannot overflow.
    if K::interpolate(excitation, base, start, taps) {
        return;
    }
    for n in 0..SUBFRAME {
        let mut sum = 0;
        for i in 0..10 {
            sum = l_mac(sum, excitation[base + n + 9 - i], taps[9 - i]);
            sum = l_mac(sum, excitation[base + n + 10 + i], taps[10 + i]);
        }
        excitation[start + n] = round(sum);
    }
}

/// Most lags of a range.
const LAGS: usize = 10;

/// Lag of a range whose vector has the largest correlation with `d`, the shortest of equals. `past`
/// starts the longest lag before the subframe and ends with it.
#[inline(always)]
fn best_lag_plain<K: Kernels>(d: &[i16; SUBFRAME], past: &[i16], range: Range) -> i32 {
    let count = (range.high - range.low) as usize + 1;
    // Behind the shortest lag there is enough to fill the vectors, which nobody looks at.
    let mut sums = [0; 16];
    let first: &mut [i32; 8] = window_mut(&mut sums, 0);
    *first = K::dots(d, past);
    if count > 8 {
        let last: &mut [i32; 8] = window_mut(&mut sums, 8);
        *last = K::dots(d, &past[8..]);
    }
    let (_, at) = last_largest(&sums[..count.min(LAGS)], 0);
    range.high - at as i32
}

/// The same with every limit.
#[inline(never)]
fn best_lag_limited(d: &[i16; SUBFRAME], past: &[i16], range: Range) -> i32 {
    let mut best = (MIN_32, range.low);
    for lag in range.low..=range.high {
        let vector: &[i16; SUBFRAME] = window(past, (range.high - lag) as usize);
        let c = mac_chain(d, vector);
        if c > best.0 {
            best = (c, lag);
        }
    }
    best.1
}

/// Closed-loop lag of Annex A; leaves the adaptive vector in the excitation from `start` on, where
/// the residual of the subframe stood before.
#[inline(always)]
pub fn closed_loop_a<K: Kernels>(
    target: &[i16; SUBFRAME],
    h: &[i16; SUBFRAME],
    excitation: &mut [i16; EXCITATION],
    start: usize,
    range: Range,
    first: bool,
) -> Lag {
    let d = backward_filter::<K>(target, h);
    // |d| is at most 8192, so 40 products with any samples stay within 2^29 * 20; check by magnitude.
    let total = i64::from(sum_magnitudes(&d));
    let value = |v: &[i16; SUBFRAME]| {
        let plain = total * i64::from(max_magnitude(v)) < 1 << 30;
        correlate::<K>(&d, v, plain)
    };
    let past = &excitation[start - range.high as usize..start + SUBFRAME];
    let whole = if total * i64::from(max_magnitude(past)) < 1 << 30 {
        best_lag_plain::<K>(&d, past, range)
    } else {
        best_lag_limited(&d, past, range)
    };
    let mut lag = Lag { whole, third: 0 };
    predict::<K>(excitation, start, lag);
    if first && whole > 84 {
        return lag;
    }
    let mut vector: [i16; SUBFRAME] = *window(&excitation[..], start);
    let mut max = value(&vector);
    for third in [-1, 1] {
        predict::<K>(excitation, start, Lag { whole, third });
        let candidate: [i16; SUBFRAME] = *window(&excitation[..], start);
        let c = value(&candidate);
        if c > max {
            max = c;
            vector = candidate;
            lag.third = third;
        }
    }
    excitation[start..start + SUBFRAME].copy_from_slice(&vector);
    lag
}

/// Most lags whose correlation the base codec keeps: a range of ten and four more on each side.
const CORRELATIONS: usize = 18;

/// Normalised correlations of the lags `low - 4 ..= high + 4`.
#[inline(always)]
fn normalised_correlations(
    target: &[i16; SUBFRAME],
    h: &[i16; SUBFRAME],
    excitation: &[i16; EXCITATION],
    start: usize,
    range: Range,
) -> [i16; CORRELATIONS] {
    let first = range.low - 4;
    let count = (range.high - range.low + 9) as usize;
    let mut z = convolve(window(excitation, start - first as usize), h);
    let (gain, scaling) = if energy_wide(0, &z) <= 1 << 26 {
        (3, 0)
    } else {
        (1, 2)
    };
    z = z.map(|z| z >> scaling);
    let mut correlations = [0; CORRELATIONS];
    for (i, correlation) in correlations.iter_mut().enumerate().take(count) {
        let norm = inv_sqrt(energy(0, &z));
        let c = mac_chain(target, &z);
        *correlation = extract_h(l_shl(mpy_32(l_extract(c), l_extract(norm)), 16));
        if i + 1 < count {
            let p = excitation[start - (first as usize + i + 1)];
            for n in (1..SUBFRAME).rev() {
                z[n] = add(extract_h(l_shl(l_mult(p, h[n]), gain)), z[n - 1]);
            }
            z[0] = p >> scaling;
        }
    }
    correlations
}

/// Correlation interpolated in thirds around entry `at`.
#[inline(always)]
fn interpolate(correlations: &[i16; CORRELATIONS], at: usize, third: i32) -> i16 {
    let (phase, at) = if third < 0 {
        ((third + 3) as usize, at - 1)
    } else {
        (third as usize, at)
    };
    let mut sum = 0;
    for i in 0..4 {
        sum = l_mac(sum, correlations[at - i], INTER_3[phase + 3 * i]);
        sum = l_mac(sum, correlations[at + 1 + i], INTER_3[3 - phase + 3 * i]);
    }
    round(sum)
}

/// Closed-loop lag of the base codec.
#[inline(always)]
pub fn closed_loop_base(
    target: &[i16; SUBFRAME],
    h: &[i16; SUBFRAME],
    excitation: &[i16; EXCITATION],
    start: usize,
    range: Range,
    first: bool,
) -> Lag {
    let correlations = normalised_correlations(target, h, excitation, start, range);
    let at = |lag: i32| (lag - range.low + 4) as usize;
    let mut whole = range.low;
    for lag in range.low + 1..=range.high {
        if correlations[at(lag)] >= correlations[at(whole)] {
            whole = lag;
        }
    }
    if first && whole > 84 {
        return Lag { whole, third: 0 };
    }
    let mut best = (interpolate(&correlations, at(whole), -2), -2);
    for third in -1..=2 {
        let c = interpolate(&correlations, at(whole), third);
        if c > best.0 {
            best = (c, third);
        }
    }
    match best.1 {
        -2 => Lag {
            whole: whole - 1,
            third: 1,
        },
        2 => Lag {
            whole: whole + 1,
            third: -1,
        },
        third => Lag { whole, third },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_of_every_phase_are_small_enough_for_plain_sums() {
        // 8192 times this, and rounding, must fit 30 bits.
        for taps in &TAPS {
            assert!(sum_magnitudes(taps) < 1 << 17);
        }
    }

    #[test]
    fn lag_indices_are_decoded_to_what_was_encoded() {
        for index in 0..256 {
            assert_eq!(encode_first(decode_first(index)), index);
        }
        for (first, index) in (20..=143).flat_map(|first| (0..32).map(move |index| (first, index)))
        {
            let lag = decode_second(index, first);
            assert_eq!(encode_second(lag, Range::second(first)), index);
        }
    }
}
