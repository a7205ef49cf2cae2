//! Comfort noise: its excitation, the gain and the spectrum of a silence descriptor (Annex B.4.4).

use super::bits::SidParameters;
use super::filter::{SUBFRAME, window};
use super::gains::Taming;
use super::lpc::{Lsp, ORDER};
use super::lsp::{self, Memory};
use super::ops::*;
use super::pitch::{self, EXCITATION, EXCITATION_PAST, Lag};
use super::tables::*;
use crate::arch::Scalar;

/// Seed of the noise at reset and after every speech frame.
pub const SEED: i16 = 11111;

/// Largest even number whose doubled square does not exceed `n`.
fn square_root(n: i32) -> i16 {
    let mut root = 0;
    let mut bit = 16384;
    while bit > 1 {
        if l_sub(n, l_mult(root + bit, root + bit)) >= 0 {
            root += bit;
        }
        bit >>= 1;
    }
    root
}

/// Gain smoothed from frame to frame, or taken as it is after speech.
pub fn smooth(gain: i16, sid_gain: i16, after_speech: bool) -> i16 {
    if after_speech {
        sid_gain
    } else {
        add(mult_r(gain, 28672), mult_r(sid_gain, 4096))
    }
}

/// Pulses drawn for a subframe: position and sign.
type Pulses = [(usize, bool); 4];

/// Sum of the samples at the pulses, each with the sign of its pulse.
fn signed_sum(pulses: &Pulses, x: &[i16; SUBFRAME], shift: i32) -> i16 {
    pulses.iter().fold(0, |sum, (at, positive)| {
        let x = shr(x[*at], shift);
        if *positive { add(sum, x) } else { sub(sum, x) }
    })
}

/// Makes the excitation of a frame of noise. An encoder also lets its taming follow.
pub fn excite(
    excitation: &mut [i16; EXCITATION],
    gain: i16,
    seed: &mut i16,
    mut taming: Option<&mut Taming>,
) {
    for start in [EXCITATION_PAST, EXCITATION_PAST + SUBFRAME] {
        let (adaptive_gain, lag) = if gain == 0 {
            excitation[start..start + SUBFRAME].fill(0);
            (0, 41)
        } else {
            excite_subframe(excitation, start, gain, seed)
        };
        if let Some(taming) = &mut taming {
            taming.update(adaptive_gain, lag);
        }
    }
}

/// Gaussian noise of the energy that the gain asks for.
fn gaussian(gain: i16, seed: &mut i16) -> [i16; SUBFRAME] {
    let z: [i16; SUBFRAME] = core::array::from_fn(|_| {
        let sum: i32 = (0..12).map(|_| i32::from(random(seed))).sum();
        (sum >> 7) as i16
    });
    let level = add(gain, mult_r(gain, 19043));
    let scale = mpy_32_16(l_extract(inv_sqrt(energy(0, &z) >> 1)), level);
    let norm = norm_l(scale);
    let factor = extract_h(l_shl(scale, norm));
    z.map(|z| shr_r(mult_r(z, factor), norm - 14))
}

/// One subframe; returns the adaptive gain (Q14) and the lag.
fn excite_subframe(
    excitation: &mut [i16; EXCITATION],
    start: usize,
    gain: i16,
    seed: &mut i16,
) -> (i16, i32) {
    let r = i32::from(random(seed));
    let third = match (r & 3) - 1 {
        2 => 0,
        third => third,
    };
    let whole = (r >> 2 & 63) + 40;
    let first = [
        (5 * (r >> 8 & 7), r >> 11 & 1),
        (5 * (r >> 12 & 7) + 1, r >> 15 & 1),
    ];
    let r = i32::from(random(seed));
    let second = [
        (5 * (r & 7) + 2, r >> 3 & 1),
        (3 + (r >> 4 & 1) + 5 * (r >> 5 & 7), r >> 8 & 1),
    ];
    let pulses: Pulses = [first[0], first[1], second[0], second[1]]
        .map(|(at, positive)| (at as usize, positive == 1));
    let mut adaptive_gain = random(seed) & 0x1FFF;
    let z = gaussian(gain, seed);
    pitch::predict::<Scalar>(excitation, start, Lag { whole, third });
    let adaptive: [i16; SUBFRAME] = *window(&excitation[..], start);
    let mut x: [i16; SUBFRAME] =
        core::array::from_fn(|i| add(mult_r(adaptive[i], 2 * adaptive_gain), z[i]));
    let max = x.iter().fold(0, |max, x| max.max(abs_s(*x)));
    let mut shift = if max == 0 {
        0
    } else {
        (3 - norm_s(max)).max(0)
    };
    let y = x.map(|x| shr(x, shift));
    let b = signed_sum(&pulses, &y, 0);
    let t = extract_l(l_mult(gain, 40) >> 6);
    let k = l_mult(gain, t);
    let mut b = b >> 1;
    let mut d = l_mac(l_sub(l_shr(k, 2 * shift + 1), energy(0, &y)), b, b);
    shift += 1;
    if d < 0 {
        // The adaptive part alone is too loud: take the noise alone.
        x = z;
        let bits = pulses.iter().fold(0, |bits, (at, _)| bits | abs_s(z[*at]));
        shift = if bits & 0x4000 == 0 { 1 } else { 2 };
        b = signed_sum(&pulses, &z, shift);
        d = l_mac(l_shr(mpy_32_16(l_extract(k), 24576), 2 * shift - 1), b, b);
        adaptive_gain = 0;
    }
    let root = square_root(d);
    let (x1, x2) = (sub(root, b), negate(add(b, root)));
    let least = if abs_s(x2) < abs_s(x1) { x2 } else { x1 };
    let pulse = shr_r(least, 2 - shift).clamp(-5000, 5000);
    for (at, positive) in pulses {
        x[at] = if positive {
            add(x[at], pulse)
        } else {
            sub(x[at], pulse)
        };
    }
    excitation[start..start + SUBFRAME].copy_from_slice(&x);
    (adaptive_gain, whole)
}

/// An energy with the exponent of its scale.
#[derive(Clone, Copy, Debug)]
pub struct Energy {
    /// Mantissa.
    pub value: i16,
    /// Exponent.
    pub exponent: i16,
}

/// Quantises energies to the gain of a silence descriptor; returns it in decibels and its index.
pub fn quantise_gain(energies: &[Energy]) -> (i16, usize) {
    let scale = energies
        .iter()
        .fold(i16::MAX, |least, e| least.min(e.exponent));
    let (margin, factor) = if energies.len() == 1 {
        (0, 26)
    } else {
        (1, 13)
    };
    let scale = i32::from(scale) + 16 - margin;
    let sum = energies.iter().fold(0, |sum, e| {
        l_add(
            sum,
            l_shl(i32::from(e.value), scale - i32::from(e.exponent)),
        )
    });
    gain_index(mpy_32_16(l_extract(sum), factor), scale)
}

/// The same for a descriptor that was lost, from the energy of the last speech.
pub fn conceal_gain(energy: Energy) -> usize {
    let x = l_shl(i32::from(energy.value), i32::from(energy.exponent));
    gain_index(mpy_32_16(l_extract(x), 410), 0).1
}

fn gain_index(x: i32, scale: i32) -> (i16, usize) {
    let (exponent, fraction) = log2(x);
    let v = add(shl(sub(exponent, scale as i16), 10), mult_r(fraction, 1024));
    match v {
        ..=-2721 => (-12, 0),
        22112.. => (66, 31),
        -2720..=4762 => {
            let index = mult(add(v, 3401), 24).max(1);
            (4 * index - 8, index as usize)
        }
        4763..=22111 => {
            let index = ((mult(sub(v, 340), 193) >> 2) - 1).max(6);
            (2 * index + 4, index as usize)
        }
    }
}

/// Gain of an index of a silence descriptor, Q3.
pub fn gain_of(index: usize) -> i16 {
    TAB_SID_GAIN[index & 31]
}

/// Row of the second codebook for an element of the spectrum.
fn second_row(element: usize, index: usize) -> &'static Lsp {
    &LSP_CB2[usize::from(PTR_TAB_2[usize::from(element >= 5)][index & 15])]
}

fn first_row(index: usize) -> &'static Lsp {
    &LSP_CB1[usize::from(PTR_TAB_1[index & 31])]
}

/// Spectrum of a silence descriptor; moves the predictor memory on.
pub fn decode_spectrum(sid: &SidParameters, memory: &mut Memory) -> Lsp {
    let (mode, first, second) = (
        usize::from(sid.predictor & 1),
        usize::from(sid.first),
        usize::from(sid.second),
    );
    let row = first_row(first);
    let mut u = core::array::from_fn(|l| add(row[l], second_row(l, second)[l]));
    lsp::spread(&mut u, 1, 9, 10);
    let mut lsf = lsp::compose(&u, memory, &NOISE_FG[mode], &NOISE_FG_SUM[mode]);
    lsp::remember(memory, &u);
    lsp::stabilise(&mut lsf);
    lsp::lsf_to_lsp(&lsf)
}

/// A candidate of the first stage.
#[derive(Clone, Copy)]
struct Candidate {
    mode: usize,
    first: usize,
    residual: Lsp,
}

/// Quantises the spectrum of a silence descriptor (all but the gain of the result); moves the
/// predictor memory on.
pub fn quantise_spectrum(lsp: &Lsp, memory: &mut Memory) -> (SidParameters, Lsp) {
    let mut lsf = lsp::lsp_to_lsf(lsp);
    lsf[0] = lsf[0].max(40);
    for i in 0..ORDER - 1 {
        if sub(lsf[i + 1], lsf[i]) < 642 {
            lsf[i + 1] = add(lsf[i], 642);
        }
    }
    lsf[9] = lsf[9].min(25681);
    if lsf[9] < lsf[8] {
        lsf[8] = sub(lsf[9], 321);
    }
    let w = lsp::weights(&lsf);
    let candidates = first_candidates(&lsf, memory);
    let mut best = (i16::MAX, 0, 0);
    for (q, candidate) in candidates.iter().enumerate() {
        for m in 0..16 {
            let mut sum = 0;
            for l in 0..ORDER {
                let present = NOISE_FG_SUM[candidate.mode][l];
                let t = mult(extract_h(l_shl(l_mult(present, present), 2)), w[l]);
                let d = sub(candidate.residual[l], second_row(l, m)[l]);
                sum = l_mac(sum, extract_h(l_shl(l_mult(t, d), 3)), d);
            }
            if extract_h(sum) < best.0 {
                best = (extract_h(sum), q, m);
            }
        }
    }
    let Candidate { mode, first, .. } = candidates[best.1];
    let sid = SidParameters {
        predictor: mode as u16,
        first: first as u16,
        second: best.2 as u16,
        gain: 0,
    };
    (sid, decode_spectrum(&sid, memory))
}

/// The four best entries of the first stage over both predictors.
fn first_candidates(lsf: &Lsp, memory: &Memory) -> [Candidate; 4] {
    const WEIGHT: [i16; 2] = [8644, 16572];
    let targets: [Lsp; 2] = core::array::from_fn(|mode| {
        lsp::extract(lsf, memory, &NOISE_FG[mode], &NOISE_FG_SUM_INV[mode])
    });
    let residual = |mode: usize, m: usize| -> Lsp {
        core::array::from_fn(|l| sub(targets[mode][l], first_row(m)[l]))
    };
    let mut distances: [[i16; 32]; 2] = core::array::from_fn(|mode| {
        core::array::from_fn(|m| mult(extract_h(energy(0, &residual(mode, m))), WEIGHT[mode]))
    });
    core::array::from_fn(|_| {
        let mut best = (i16::MAX, 0, 0);
        for (mode, row) in distances.iter().enumerate() {
            for (m, distance) in row.iter().enumerate() {
                if *distance < best.0 {
                    best = (*distance, mode, m);
                }
            }
        }
        let (_, mode, first) = best;
        distances[mode][first] = i16::MAX;
        Candidate {
            mode,
            first,
            residual: residual(mode, first),
        }
    })
}
