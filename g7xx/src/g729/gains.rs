//! Gains of the two codebooks: prediction, quantiser, and the taming of the pitch gain
//! (G.729 3.7.3, 3.9, and the text on error propagation in 3.10).

use super::filter::{SUBFRAME, window};
use super::ops::*;
use super::tables::*;
use crate::arch::Kernels;

/// Pitch gain under taming, Q14.
const PITCH_GAIN_TAMED: i16 = 15564;
/// Largest pitch gain, Q14.
const PITCH_GAIN_MAX: i16 = 19661;

/// A number as mantissa and exponent: `mantissa / 2^exponent`.
#[derive(Clone, Copy, Debug)]
pub struct Scaled {
    /// Mantissa.
    pub value: i16,
    /// Exponent.
    pub exponent: i32,
}

/// Open pitch gain (Q14) and the two correlations it comes from, as the quantiser takes them.
#[derive(Clone, Copy, Debug)]
pub struct PitchGain {
    /// Gain, Q14, at most 1.2.
    pub gain: i16,
    /// Energy of the filtered adaptive vector.
    pub energy: Scaled,
    /// Minus its correlation with the target.
    pub correlation: Scaled,
}

/// Whether the energies show (Cauchy-Schwarz) that no sum of products can reach a limit.
#[inline(always)]
fn are_small<K: Kernels>(a: &[i16; SUBFRAME], b: &[i16; SUBFRAME]) -> bool {
    let limit = 1 << 30;
    K::energy(a) < limit && K::energy(b) < limit
}

/// Sum of products, each limited in order, from one on.
#[inline(always)]
fn correlate<K: Kernels>(a: &[i16; SUBFRAME], b: &[i16; SUBFRAME]) -> i32 {
    if are_small::<K>(a, b) {
        1 + 2 * K::dot(a, b)
    } else {
        mac_chain_from(1, a, b)
    }
}

/// Sum of products in order, or `None` when a limit would have acted.
#[inline(always)]
fn unlimited<K: Kernels>(a: &[i16; SUBFRAME], b: &[i16; SUBFRAME]) -> Option<i32> {
    if are_small::<K>(a, b) {
        return Some(2 * K::dot(a, b));
    }
    let (mut sum, mut low, mut high) = (0i64, 0i64, 0i64);
    let mut extreme = false;
    for (a, b) in a.iter().zip(b) {
        sum += 2 * i64::from(i32::from(*a) * i32::from(*b));
        low = low.min(sum);
        high = high.max(sum);
        extreme |= *a == i16::MIN && *b == i16::MIN;
    }
    let fits = low >= i64::from(MIN_32) && high <= i64::from(MAX_32);
    (fits && !extreme).then_some(sum as i32)
}

/// Pitch gain of the filtered adaptive vector against the target.
#[inline(always)]
pub fn pitch_gain<K: Kernels>(target: &[i16; SUBFRAME], filtered: &[i16; SUBFRAME]) -> PitchGain {
    let quarter = filtered.map(|y| y >> 2);
    let exact = 1 + 2 * K::energy(filtered);
    let (sum, back) = if exact <= i64::from(MAX_32) {
        (exact as i32, 0)
    } else {
        (energy(1, &quarter), 4)
    };
    let norm = norm_l(sum);
    let energy = round(l_shl(sum, norm));
    let energy_exponent = norm - back;
    let (sum, back) = match unlimited::<K>(target, filtered) {
        Some(sum) => (sum, 0),
        None => (mac_chain(target, &quarter), 2),
    };
    let norm = norm_l(sum);
    let correlation = round(l_shl(sum, norm));
    let (gain, correlation_exponent) = if correlation <= 0 {
        (0, 30)
    } else {
        let exponent = norm - back;
        let gain = shr(div_s(correlation >> 1, energy), exponent - energy_exponent);
        (gain.min(PITCH_GAIN_MAX), exponent)
    };
    PitchGain {
        gain,
        energy: Scaled {
            value: energy,
            exponent: energy_exponent - 15,
        },
        correlation: Scaled {
            value: negate(correlation),
            exponent: correlation_exponent - 16,
        },
    }
}

/// Limits the pitch gain while taming acts.
#[inline(always)]
pub fn tame(gain: i16) -> i16 {
    gain.min(PITCH_GAIN_TAMED)
}

/// The five correlations of the gain quantiser.
#[inline(always)]
pub fn correlations<K: Kernels>(
    pitch: &PitchGain,
    target: &[i16; SUBFRAME],
    adaptive: &[i16; SUBFRAME],
    fixed: &[i16; SUBFRAME],
) -> [Scaled; 5] {
    let eighth = fixed.map(|y| y >> 3);
    let scaled = |sum: i32, offset| {
        let norm = norm_l(sum);
        Scaled {
            value: round(l_shl(sum, norm)),
            exponent: norm + offset,
        }
    };
    let energy = scaled(clamp_32(1 + 2 * K::energy(&eighth)), 3);
    let with_target = scaled(correlate::<K>(target, &eighth), -7);
    let with_adaptive = scaled(correlate::<K>(adaptive, &eighth), -7);
    let with_target = Scaled {
        value: negate(with_target.value),
        ..with_target
    };
    [
        pitch.energy,
        pitch.correlation,
        energy,
        with_target,
        with_adaptive,
    ]
}

/// Energies of the last four code gains, newest first, Q10; the memory of the gain predictor.
#[derive(Clone, Copy, Debug)]
pub struct Predictor(pub [i16; 4]);

impl Predictor {
    /// At reset: -14 dB.
    pub const fn new() -> Self {
        Self([-14336; 4])
    }

    /// Predicted code gain for a code vector: mantissa (16384-32767) and exponent.
    #[inline(always)]
    pub fn predict<K: Kernels>(&self, code: &[i16; SUBFRAME]) -> Scaled {
        let t = mpy_32_16(log2(energy_of_code::<K>(code)), -24660);
        let t = l_shl(l_mac(t, 32588, 32), 10);
        let t = PRED
            .iter()
            .zip(&self.0)
            .fold(t, |t, (p, e)| l_mac(t, *p, *e));
        let t = l_mult(extract_h(t), 5439) >> 8;
        let (exponent, fraction) = l_extract(t);
        Scaled {
            value: extract_l(pow2(14, fraction)),
            exponent: 14 - i32::from(exponent),
        }
    }

    /// Takes the quantised factor (sum of the codebook entries, Q13) of a frame that was received.
    #[inline(always)]
    pub fn update(&mut self, factor: i32) {
        let (exponent, fraction) = log2(factor);
        let t = l_shl(l_comp((exponent - 13, fraction)), 13);
        self.push(mult(extract_h(t), 24660));
    }

    /// Lets the memory fade by 4 dB for a frame that was lost.
    #[inline(always)]
    pub fn fade(&mut self) {
        let sum: i32 = self.0.iter().map(|e| i32::from(*e)).sum();
        self.push(sub((sum >> 2) as i16, 4096).max(-14336));
    }

    fn push(&mut self, energy: i16) {
        self.0.copy_within(..3, 1);
        self.0[0] = energy;
    }
}

/// Quantised gains.
#[derive(Clone, Copy, Debug)]
pub struct Gains {
    /// Pitch gain, Q14.
    pub pitch: i16,
    /// Code gain, Q1.
    pub code: i16,
}

impl Gains {
    /// For the sum of adaptive and code vector, both Q14: pulses are in Q13 and their gain in Q1. Limits
    /// on the way to that sum only act on values that end at the same limit, and gains are not
    /// negative: one at the end is enough.
    #[inline(always)]
    pub fn of_both(self) -> [i16; 2] {
        [self.pitch, self.code]
    }
}

/// Entries of both codebooks for a received index.
#[inline(always)]
fn entries(index: u16) -> [[i16; 2]; 2] {
    let first = GBK1[usize::from(IMAP1[usize::from(index >> 4 & 7)])];
    let second = GBK2[usize::from(IMAP2[usize::from(index & 15)])];
    [first, second]
}

/// The pitch gain of a received index and the factor of the code gain, Q13.
#[cfg(any(test, target_arch = "x86_64"))]
#[inline(always)]
pub fn received(index: u16) -> (i16, i32) {
    let [first, second] = entries(index);
    let factor = i32::from(first[1]) + i32::from(second[1]);
    (add(first[0], second[0]), factor)
}

/// Energy of a code vector as the prediction takes it.
#[inline(always)]
pub fn energy_of_code<K: Kernels>(code: &[i16; SUBFRAME]) -> i32 {
    clamp_32(2 * K::energy(code))
}

/// Gains of a received index, and the predictor moves on.
#[inline(always)]
pub fn decode<K: Kernels>(index: u16, code: &[i16; SUBFRAME], predictor: &mut Predictor) -> Gains {
    let [first, second] = entries(index);
    gains_of(first, second, predictor.predict::<K>(code), predictor)
}

#[inline(always)]
fn gains_of(
    first: [i16; 2],
    second: [i16; 2],
    predicted: Scaled,
    predictor: &mut Predictor,
) -> Gains {
    let factor = i32::from(first[1]) + i32::from(second[1]);
    let product = l_mult(extract_l(factor >> 1), predicted.value);
    predictor.update(factor);
    Gains {
        pitch: add(first[0], second[0]),
        code: extract_h(l_shl(product, 4 - predicted.exponent)),
    }
}

/// Difference of two products with exponents, and its exponent.
#[inline(always)]
fn difference(p: i32, p_exponent: i32, q: i32, q_exponent: i32, guard: i32) -> (i32, i32) {
    if p_exponent > q_exponent {
        (
            l_sub(l_shr(p, p_exponent - q_exponent + guard), l_shr(q, guard)),
            q_exponent - guard,
        )
    } else {
        (
            l_sub(l_shr(p, guard), l_shr(q, q_exponent - p_exponent + guard)),
            p_exponent - guard,
        )
    }
}

/// Normalises to 16 bits.
#[inline(always)]
fn normalise((x, exponent): (i32, i32)) -> Scaled {
    let norm = norm_l(x);
    Scaled {
        value: extract_h(l_shl(x, norm)),
        exponent: exponent + norm - 16,
    }
}

/// Gains that would be best without quantisation: pitch Q9, code Q2.
#[inline(always)]
fn optimum(c: &[Scaled; 5], taming: bool) -> (i16, i16) {
    let [c0, c1, c2, c3, c4] = *c;
    let product = |a: Scaled, b: Scaled| l_mult(a.value, b.value);
    let mut denominator = normalise(difference(
        product(c0, c2),
        c0.exponent + c2.exponent - 1,
        product(c4, c4),
        2 * c4.exponent + 1,
        0,
    ));
    // Rounding could break Cauchy-Schwarz when both vectors are all but proportional; the
    // recommendation defines nothing then.
    if denominator.value <= 0 {
        denominator.value = 16384;
    }
    let inverse = negate(div_s(16384, denominator.value));
    let inverse_exponent = 29 - denominator.exponent;
    let solve = |p: i32, p_exponent, q: i32, q_exponent, target| {
        let numerator = normalise(difference(p, p_exponent, q, q_exponent, 1));
        let shift = numerator.exponent + inverse_exponent - target;
        extract_h(l_shr(l_mult(numerator.value, inverse), shift))
    };
    let pitch = solve(
        product(c2, c1),
        c2.exponent + c1.exponent,
        product(c3, c4),
        c3.exponent + c4.exponent + 1,
        24,
    );
    let code = solve(
        product(c0, c3),
        c0.exponent + c3.exponent,
        product(c1, c4),
        c1.exponent + c4.exponent + 1,
        17,
    );
    (if taming { pitch.min(481) } else { pitch }, code)
}

/// First entries of the parts of the two codebooks that are searched.
#[inline(always)]
fn preselect(pitch: i16, code: i16, predicted_q4: i16) -> (usize, usize) {
    const INV_COEF: i16 = -17103;
    let f = l_mult(COEF[0][0], pitch);
    let a = extract_h(l_add(f, L_COEF[1][1] >> 15));
    let a = l_sub(l_shl(i32::from(code), 7), l_mult(a, predicted_q4));
    let x = l_mult(extract_h(l_shl(a, 2)), INV_COEF);
    let b = mult(extract_h(l_sub(f, L_COEF[0][1] >> 10)), predicted_q4);
    let b = l_sub(l_mult(b, COEF[1][0]), l_mult(COEF[0][0], code) >> 3);
    let y = l_mult(extract_h(l_shl(b, 2)), INV_COEF);
    let beyond = |value: i32, threshold: i16, shift: i32| {
        let threshold = l_mult(threshold, predicted_q4) >> shift;
        if predicted_q4 > 0 {
            value > threshold
        } else {
            value < threshold
        }
    };
    let first = THR1
        .iter()
        .take_while(|threshold| beyond(y, **threshold, 3))
        .count();
    let second = THR2
        .iter()
        .take_while(|threshold| beyond(x, **threshold, 5))
        .count();
    (first, second)
}

/// Quantises the gains: returns the index (7 bits) and the gains, and moves the predictor on.
#[inline(always)]
pub fn quantise<K: Kernels>(
    c: &[Scaled; 5],
    code: &[i16; SUBFRAME],
    taming: bool,
    predictor: &mut Predictor,
) -> (u16, Gains) {
    let predicted = predictor.predict::<K>(code);
    let (pitch, code_gain) = optimum(c, taming);
    let predicted_q4 = if predicted.exponent >= 4 {
        shr(predicted.value, predicted.exponent - 4)
    } else {
        extract_h(l_shl(i32::from(predicted.value), 20 - predicted.exponent))
    };
    let (start_1, start_2) = preselect(pitch, code_gain, predicted_q4);
    let exponents = [
        c[0].exponent + 13,
        c[1].exponent + 14,
        c[2].exponent + 2 * predicted.exponent - 21,
        c[3].exponent + predicted.exponent - 3,
        c[4].exponent + predicted.exponent - 4,
    ];
    let least = exponents.iter().fold(i32::MAX, |least, e| least.min(*e));
    let c: [Dpf; 5] =
        core::array::from_fn(|i| l_extract(l_shr(l_deposit_h(c[i].value), exponents[i] - least)));
    let mut best = (MAX_32, start_1, start_2);
    let second: &[[i16; 2]; 8] = window(&GBK2, start_2);
    let c = c.map(|(high, low)| (i32::from(high), i32::from(low)));
    // Gains are not negative, so no product has -32768 twice.
    let term = |c: (i32, i32), gain: i32| 2 * (c.0 * gain + ((c.1 * gain) >> 15));
    for (i, first) in GBK1.iter().enumerate().skip(start_1).take(4) {
        let [first_pitch, first_code] = first.map(i32::from);
        let mut distances = [0; 8];
        for (distance, second) in distances.iter_mut().zip(second) {
            let gp = (first_pitch + i32::from(second[0])).min(32767);
            let factor = (first_code + i32::from(second[1])) >> 1;
            let gc = (i32::from(predicted.value) * factor) >> 15;
            let sum = term(c[0], (gp * gp) >> 15);
            let sum = l_add(sum, term(c[1], gp));
            let sum = l_add(sum, term(c[2], (gc * gc) >> 15));
            let sum = l_add(sum, term(c[3], gc));
            let sum = l_add(sum, term(c[4], (gc * gp) >> 15));
            *distance = if taming && gp >= 16383 { MAX_32 } else { sum };
        }
        // Of equals the first stays, as when one goes through them in order.
        let least = distances.iter().fold(MAX_32, |least, d| least.min(*d));
        if least < best.0 {
            let j = distances.iter().position(|d| *d == least).unwrap_or(0);
            best = (least, i, start_2 + j);
        }
    }
    let (_, i, j) = best;
    let index = u16::from(MAP1[i]) << 4 | u16::from(MAP2[j]);
    (index, gains_of(GBK1[i], GBK2[j], predicted, predictor))
}

/// Worst case of the error that the decoder's excitation may have gathered, by zone of the lag, Q14.
#[derive(Clone, Copy, Debug)]
pub struct Taming([i32; 4]);

/// Zone of a number of samples.
#[inline(always)]
fn zone(samples: i32) -> usize {
    (samples.clamp(0, 152) / 40) as usize
}

impl Taming {
    /// At reset.
    pub const fn new() -> Self {
        Self([16384; 4])
    }

    /// Whether a lag may let the error grow too far, so that the gain must stay below one.
    #[inline(always)]
    pub fn acts(&self, whole: i32, third: i32) -> bool {
        let lag = if third > 0 { whole + 1 } else { whole };
        let zones = zone(lag - 50)..=zone(lag + 8);
        self.0[zones].iter().any(|error| *error > 983_040_000)
    }

    /// Takes the quantised pitch gain (Q14) of a subframe.
    #[inline(always)]
    pub fn update(&mut self, gain: i16, whole: i32) {
        let step = |error: i32| l_add(16384, l_shl(mpy_32_16(l_extract(error), gain), 1));
        let worst = if whole < 40 {
            let once = step(self.0[0]);
            once.max(step(once)).max(-1)
        } else {
            self.0[zone(whole - 40)..=zone(whole - 1)]
                .iter()
                .fold(-1, |worst, error| worst.max(step(*error)))
        };
        self.0.copy_within(..3, 1);
        self.0[0] = worst;
    }
}
