//! Line spectral frequencies and their quantiser (G.729 3.2.4 to 3.2.6).

use super::filter::window;
use super::lpc::{Lsp, ORDER};
use super::ops::*;
use super::tables::*;
use crate::arch::Kernels;

/// Past elementary vectors of the moving-average predictor, newest first, Q13.
pub type Memory = [Lsp; 4];

/// Indices of a quantised vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Indices {
    /// Predictor, 0 or 1.
    pub mode: usize,
    /// First stage, 0-127.
    pub first: usize,
    /// Second stage, lower five, 0-31.
    pub lower: usize,
    /// Second stage, upper five, 0-31.
    pub upper: usize,
}

/// The predictor memory at reset.
pub fn initial_memory() -> Memory {
    [FREQ_PREV_RESET; 4]
}

/// Cosines to frequencies, Q13 in radians.
#[inline(always)]
pub fn lsp_to_lsf(lsp: &Lsp) -> Lsp {
    let mut lsf = [0; ORDER];
    let mut index = 63;
    for i in (0..ORDER).rev() {
        while index > 0 && COSINE[index] < lsp[i] {
            index -= 1;
        }
        let offset = sub(lsp[i], COSINE[index]);
        let slope = extract_l(l_mult(SLOPE_ACOS[index], offset) >> 12);
        lsf[i] = mult(add(shl(index as i16, 9), slope), 25736);
    }
    lsf
}

/// Cosines to frequencies, Q15 of half the sampling rate (0 to 16384).
#[inline(always)]
pub fn lsp_to_normalised(lsp: &Lsp) -> Lsp {
    let mut lsf = [0; ORDER];
    let mut index = 63;
    for i in (0..ORDER).rev() {
        while index > 0 && COSINE[index] < lsp[i] {
            index -= 1;
        }
        let x = l_mult(sub(lsp[i], COSINE[index]), SLOPE_ACOS[index]);
        lsf[i] = add(round(l_shl(x, 3)), (index as i16) << 8);
    }
    lsf
}

/// Frequencies (Q13) to cosines (Q15).
#[inline(always)]
pub fn lsf_to_lsp(lsf: &Lsp) -> Lsp {
    let mut lsp = [0; ORDER];
    for (lsp, lsf) in lsp.iter_mut().zip(lsf) {
        let f = mult(*lsf, 20861);
        let index = (f >> 8).clamp(0, 63) as usize;
        let slope = l_mult(SLOPE_COS[index], f & 0xFF) >> 13;
        *lsp = add(COSINE[index], extract_l(slope));
    }
    lsp
}

/// Weights of the quantiser: close frequencies count more.
#[inline(always)]
pub fn weights(lsf: &Lsp) -> Lsp {
    let mut w = [0; ORDER];
    for i in 0..ORDER {
        let distance = match i {
            0 => sub(lsf[1], 9221),
            9 => sub(15485, lsf[8]),
            _ => sub(sub(lsf[i + 1], lsf[i - 1]), 8192),
        };
        w[i] = if distance > 0 {
            2048
        } else {
            let square = extract_h(l_shl(l_mult(distance, distance), 2));
            add(extract_h(l_shl(l_mult(square, 20480), 2)), 2048)
        };
    }
    for w in &mut w[4..6] {
        *w = extract_h(l_shl(l_mult(*w, 19661), 1));
    }
    let max = w.iter().fold(0, |max, w| max.max(*w));
    let norm = norm_s(max);
    w.map(|w| shl(w, norm))
}

/// Pulls neighbours of the pairs `from..=to` apart to at least `gap`, in place and in order.
#[inline(always)]
pub fn spread(u: &mut Lsp, from: usize, to: usize, gap: i16) {
    for j in from..=to {
        let t = add(sub(u[j - 1], u[j]), gap) >> 1;
        if t > 0 {
            u[j - 1] = sub(u[j - 1], t);
            u[j] = add(u[j], t);
        }
    }
}

/// Removes the prediction: the elementary vector that would give `lsf`.
#[inline(always)]
pub fn extract(lsf: &Lsp, memory: &Memory, fg: &[Lsp; 4], fg_sum_inv: &Lsp) -> Lsp {
    let least = memory
        .as_flattened()
        .iter()
        .fold(0, |least, m| least.min(*m));
    let mut u = [0; ORDER];
    if lsf.iter().fold(least, |least, f| least.min(*f)) < 0 {
        for j in 0..ORDER {
            let start = l_deposit_h(lsf[j]);
            let t = (0..4).fold(start, |t, k| l_msu(t, memory[k][j], fg[k][j]));
            u[j] = extract_h(l_shl(l_mult(extract_h(t), fg_sum_inv[j]), 3));
        }
        return u;
    }
    // Nothing is negative and the coefficients of an element are less than one in sum: what is taken
    // off a value between 0 and 2^31 leaves it above -2^31, in whatever order.
    let mut t = [0i32; ORDER];
    for j in 0..ORDER {
        t[j] = l_deposit_h(lsf[j]);
    }
    for (memory, fg) in memory.iter().zip(fg) {
        for j in 0..ORDER {
            t[j] -= 2 * i32::from(memory[j]) * i32::from(fg[j]);
        }
    }
    for j in 0..ORDER {
        u[j] = clamp_16(((t[j] >> 16) * i32::from(fg_sum_inv[j])) >> 12);
    }
    u
}

/// Adds the prediction to an elementary vector.
#[inline(always)]
pub fn compose(u: &Lsp, memory: &Memory, fg: &[Lsp; 4], fg_sum: &Lsp) -> Lsp {
    let least = memory
        .as_flattened()
        .iter()
        .fold(0, |least, m| least.min(*m));
    let mut lsf = [0; ORDER];
    if u.iter().fold(least, |least, u| least.min(*u)) < 0 {
        for j in 0..ORDER {
            let t = l_mult(u[j], fg_sum[j]);
            lsf[j] = extract_h((0..4).fold(t, |t, k| l_mac(t, memory[k][j], fg[k][j])));
        }
        return lsf;
    }
    // Nothing is negative and the five coefficients of an element are at most one in sum.
    let mut t = [0i32; ORDER];
    for j in 0..ORDER {
        t[j] = i32::from(u[j]) * i32::from(fg_sum[j]);
    }
    for (memory, fg) in memory.iter().zip(fg) {
        for j in 0..ORDER {
            t[j] += i32::from(memory[j]) * i32::from(fg[j]);
        }
    }
    for j in 0..ORDER {
        lsf[j] = (t[j] >> 15) as i16;
    }
    lsf
}

/// Puts an elementary vector into the memory.
#[inline(always)]
pub fn remember(memory: &mut Memory, u: &Lsp) {
    memory.copy_within(..3, 1);
    memory[0] = *u;
}

/// Orders the frequencies and keeps them apart so that the filter is stable.
#[inline(always)]
pub fn stabilise(lsf: &mut Lsp) {
    for j in 0..ORDER - 1 {
        if lsf[j + 1] < lsf[j] {
            lsf.swap(j, j + 1);
        }
    }
    lsf[0] = lsf[0].max(40);
    for j in 0..ORDER - 1 {
        if i32::from(lsf[j + 1]) - i32::from(lsf[j]) < 321 {
            lsf[j + 1] = add(lsf[j], 321);
        }
    }
    lsf[9] = lsf[9].min(25681);
}

/// Elementary vector of a set of indices, its elements not yet spread.
#[inline(always)]
pub fn entries(indices: &Indices) -> Lsp {
    let first = &LSP_CB1[indices.first];
    let (lower, upper) = (&LSP_CB2[indices.lower], &LSP_CB2[indices.upper]);
    core::array::from_fn(|j| add(first[j], if j < 5 { lower[j] } else { upper[j] }))
}

/// [`spread`] of all elements by both gaps for several vectors at once, each step for all of them.
#[cfg(any(test, target_arch = "x86_64"))]
#[inline(always)]
pub fn spread_together<const N: usize>(vectors: &mut [Lsp; N]) {
    let mut u = [[0i16; N]; ORDER];
    for (k, vector) in vectors.iter().enumerate() {
        for (u, element) in u.iter_mut().zip(vector) {
            u[k] = *element;
        }
    }
    for gap in [10, 5] {
        for j in 1..ORDER {
            let (before, here) = (u[j - 1], u[j]);
            for k in 0..N {
                // What is far enough apart already is moved by nothing.
                let t = (add(sub(before[k], here[k]), gap) >> 1).max(0);
                u[j - 1][k] = sub(before[k], t);
                u[j][k] = add(here[k], t);
            }
        }
    }
    for (k, vector) in vectors.iter_mut().enumerate() {
        for (u, element) in u.iter().zip(vector) {
            *element = u[k];
        }
    }
}

/// Frequencies of a spread elementary vector; moves the memory on.
#[inline(always)]
pub fn place(u: &Lsp, mode: usize, memory: &mut Memory) -> Lsp {
    let mut lsf = compose(u, memory, &FG[mode], &FG_SUM[mode]);
    remember(memory, u);
    stabilise(&mut lsf);
    lsf
}

/// Rebuilds the frequencies of a set of indices and moves the memory on.
#[inline(always)]
pub fn reconstruct(indices: &Indices, memory: &mut Memory) -> Lsp {
    let mut u = entries(indices);
    spread(&mut u, 1, 9, 10);
    spread(&mut u, 1, 9, 5);
    place(&u, indices.mode, memory)
}

/// Frequencies of a spread elementary vector, not yet ordered; moves the memory on.
#[cfg(any(test, target_arch = "x86_64"))]
#[inline(always)]
pub fn compose_next(u: &Lsp, mode: usize, memory: &mut Memory) -> Lsp {
    let lsf = compose(u, memory, &FG[mode], &FG_SUM[mode]);
    remember(memory, u);
    lsf
}

/// Rebuilds the memory when nothing was received and `lsf` is used again.
#[inline(always)]
pub fn repeat(lsf: &Lsp, mode: usize, memory: &mut Memory) {
    let u = extract(lsf, memory, &FG[mode], &FG_SUM_INV[mode]);
    remember(memory, &u);
}

/// First codebook by pairs of elements, so that the distances of many vectors are found at once.
static LSP_CB1_BY_PAIR: [[i16; 256]; ORDER / 2] = paired(&LSP_CB1_VALUES);
/// Second codebook by element.
static LSP_CB2_BY_ELEMENT: [[i16; 32]; ORDER] = transposed(&LSP_CB2_VALUES);

const fn paired(rows: &[Lsp; 128]) -> [[i16; 256]; ORDER / 2] {
    let mut pairs = [[0; 256]; ORDER / 2];
    let mut k = 0;
    while k < 128 * ORDER {
        let (vector, element) = (k / ORDER, k % ORDER);
        pairs[element / 2][2 * vector + element % 2] = rows[vector][element];
        k += 1;
    }
    pairs
}

const fn transposed<const N: usize>(rows: &[Lsp; N]) -> [[i16; N]; ORDER] {
    let mut columns = [[0; N]; ORDER];
    let mut k = 0;
    while k < N * ORDER {
        columns[k % ORDER][k / ORDER] = rows[k / ORDER][k % ORDER];
        k += 1;
    }
    columns
}

/// Where half of the recommendation's (doubled) distances reaches its limit.
const FAR: u32 = 1 << 30;

/// Adds two distances that were limited, and limits again.
#[inline(always)]
fn add_limited<const N: usize>(a: &mut [u32; N], b: &[u32; N]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a = ((*a).min(FAR) + (*b).min(FAR)).min(FAR);
    }
}

/// Index of the first smallest distance; 0 when all are at the limit.
#[inline(always)]
fn nearest<const N: usize>(distances: &[u32; N]) -> usize {
    let least = distances.iter().fold(FAR, |least, d| least.min(*d));
    if least == FAR {
        0
    } else {
        // Whole blocks at a time, and one by one only in the block that has it.
        let blocks = distances.as_chunks::<16>().0;
        let has = |block: &[u32; 16]| block.iter().fold(false, |has, d| has | (*d == least));
        let block = blocks.iter().position(has).unwrap_or(0);
        let within = blocks[block].iter().position(|d| *d == least);
        16 * block + within.unwrap_or(0)
    }
}

/// Of vectors whose elements stand in pairs, the first nearest to `target`.
#[inline(always)]
pub fn nearest_of_pairs(target: &Lsp, pairs: &[[i16; 256]; ORDER / 2]) -> usize {
    let mut sums = [0u32; 128];
    for (target, pairs) in target.as_chunks::<2>().0.iter().zip(pairs) {
        for (sum, pair) in sums.iter_mut().zip(pairs.as_chunks::<2>().0) {
            let [a, b] = [0, 1].map(|k| i32::from(sub(target[k], pair[k])));
            // Two squares and what is limited to 2^30 fit a word.
            *sum = (*sum + (a * a) as u32 + (b * b) as u32).min(FAR);
        }
    }
    nearest(&sums)
}

/// Of vectors by element, the first that is nearest by weighted distance.
#[inline(always)]
pub fn nearest_weighted(target: &[i16; 5], w: &[i16; 5], elements: &[[i16; 32]; 5]) -> usize {
    let group = |from: usize, to: usize| {
        let mut sums = [0u32; 32];
        for j in from..to {
            for (sum, v) in sums.iter_mut().zip(&elements[j]) {
                let t = sub(target[j], *v);
                // A weighted difference has the sign of the difference: no term is negative.
                let weighted = (i32::from(w[j]) * i32::from(t)) >> 15;
                *sum += (weighted * i32::from(t)) as u32;
            }
        }
        sums
    };
    let mut distances = group(0, 3);
    add_limited(&mut distances, &group(3, 5));
    nearest(&distances)
}

/// First stage of the quantiser: the nearest vector without weights.
#[inline(always)]
fn first_stage<K: Kernels>(target: &Lsp) -> usize {
    K::nearest_of_128(target, &LSP_CB1_BY_PAIR)
}

/// Second stage of the quantiser for the elements from `offset` on.
#[inline(always)]
fn second_stage<K: Kernels>(target: &Lsp, first: &Lsp, w: &Lsp, offset: usize) -> usize {
    let rest: Lsp = core::array::from_fn(|j| sub(target[j], first[j]));
    let elements = window(&LSP_CB2_BY_ELEMENT, offset);
    K::nearest_of_32(window(&rest, offset), window(w, offset), elements)
}

/// Quantises with one predictor; returns the indices and the distortion.
#[inline(always)]
fn quantise_mode<K: Kernels>(lsf: &Lsp, w: &Lsp, memory: &Memory, mode: usize) -> (Indices, i32) {
    let target = extract(lsf, memory, &FG[mode], &FG_SUM_INV[mode]);
    let first = first_stage::<K>(&target);
    let vector = &LSP_CB1[first];
    let lower = second_stage::<K>(&target, vector, w, 0);
    let mut u = [0; ORDER];
    for j in 0..5 {
        u[j] = add(vector[j], LSP_CB2[lower][j]);
    }
    spread(&mut u, 1, 4, 10);
    let upper = second_stage::<K>(&target, vector, w, 5);
    for j in 5..ORDER {
        u[j] = add(vector[j], LSP_CB2[upper][j]);
    }
    spread(&mut u, 5, 9, 10);
    spread(&mut u, 1, 9, 5);
    let mut distortion = 0;
    for j in 0..ORDER {
        let t = mult(sub(u[j], target[j]), FG_SUM[mode][j]);
        let weighted = extract_h(l_shl(l_mult(w[j], t), 4));
        distortion = l_mac(distortion, weighted, t);
    }
    (
        Indices {
            mode,
            first,
            lower,
            upper,
        },
        distortion,
    )
}

/// Quantises a set of LSP; returns the indices and the quantised LSP, and moves the memory on.
#[inline(always)]
pub fn quantise<K: Kernels>(lsp: &Lsp, memory: &mut Memory) -> (Indices, Lsp) {
    let lsf = lsp_to_lsf(lsp);
    let w = weights(&lsf);
    let (indices_0, distortion_0) = quantise_mode::<K>(&lsf, &w, memory, 0);
    let (indices_1, distortion_1) = quantise_mode::<K>(&lsf, &w, memory, 1);
    let indices = if distortion_1 < distortion_0 {
        indices_1
    } else {
        indices_0
    };
    (indices, lsf_to_lsp(&reconstruct(&indices, memory)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Noise;
    use super::*;
    use crate::arch::Scalar;

    #[test]
    fn prediction_without_limits_is_the_one_with_limits() {
        for (fg, fg_sum) in FG.iter().zip(&FG_SUM) {
            for j in 0..ORDER {
                let sum: i32 = fg.iter().map(|fg| i32::from(fg[j])).sum();
                assert!(sum + i32::from(fg_sum[j]) <= 32768);
                assert!(fg_sum[j] >= 0 && fg.iter().all(|fg| fg[j] >= 0));
            }
        }
        let mut noise = Noise::new();
        for round_of in 0..4000 {
            let positive = |x: Lsp| {
                x.map(|x| {
                    if round_of % 7 == 0 {
                        x
                    } else {
                        x.saturating_abs()
                    }
                })
            };
            let lsf = positive(noise.values(round_of % 4));
            let memory = [0; 4].map(|_| positive(noise.values(round_of / 4 % 4)));
            for mode in 0..2 {
                let expected: Lsp = core::array::from_fn(|j| {
                    let start = l_deposit_h(lsf[j]);
                    let t = (0..4).fold(start, |t, k| l_msu(t, memory[k][j], FG[mode][k][j]));
                    extract_h(l_shl(l_mult(extract_h(t), FG_SUM_INV[mode][j]), 3))
                });
                let u = extract(&lsf, &memory, &FG[mode], &FG_SUM_INV[mode]);
                assert_eq!(u, expected);
                let expected: Lsp = core::array::from_fn(|j| {
                    let start = l_mult(lsf[j], FG_SUM[mode][j]);
                    extract_h((0..4).fold(start, |t, k| l_mac(t, memory[k][j], FG[mode][k][j])))
                });
                assert_eq!(compose(&lsf, &memory, &FG[mode], &FG_SUM[mode]), expected);
            }
        }
    }

    #[test]
    fn vectors_spread_together_are_those_spread_alone() {
        let mut noise = Noise::new();
        for round_of in 0..2000 {
            let mut vectors = [0; 8].map(|_| noise.values::<ORDER>(round_of % 12));
            let alone = vectors.map(|mut u| {
                spread(&mut u, 1, 9, 10);
                spread(&mut u, 1, 9, 5);
                u
            });
            spread_together(&mut vectors);
            assert_eq!(vectors, alone);
        }
    }

    #[test]
    fn stages_find_what_the_chain_of_limited_sums_finds() {
        let mut noise = Noise::new();
        for round_of in 0..3000 {
            let target: Lsp = noise.values::<ORDER>(round_of % 4).map(|t| {
                if round_of % 3 == 0 {
                    t
                } else {
                    t.saturating_abs()
                }
            });
            let mut best = (MAX_32, 0);
            for (c, vector) in LSP_CB1.iter().enumerate() {
                let d: Lsp = core::array::from_fn(|j| sub(target[j], vector[j]));
                let distance = mac_chain(&d, &d);
                if distance < best.0 {
                    best = (distance, c);
                }
            }
            assert_eq!(first_stage::<Scalar>(&target), best.1);
            #[cfg(target_arch = "x86_64")]
            if crate::arch::x86_64::has_avx2() {
                let found = first_stage::<crate::arch::x86_64::Avx2>(&target);
                assert_eq!(found, best.1);
            }
            let w = noise.values::<ORDER>(round_of % 5).map(i16::saturating_abs);
            let first = &LSP_CB1[best.1];
            for offset in [0, 5] {
                let mut best = (MAX_32, 0);
                for (l, vector) in LSP_CB2.iter().enumerate() {
                    let distance = (offset..offset + 5).fold(0, |sum, j| {
                        let t = sub(sub(target[j], first[j]), vector[j]);
                        l_mac(sum, mult(w[j], t), t)
                    });
                    if distance < best.0 {
                        best = (distance, l);
                    }
                }
                let found = second_stage::<Scalar>(&target, first, &w, offset);
                assert_eq!(found, best.1);
                #[cfg(target_arch = "x86_64")]
                if crate::arch::x86_64::has_avx2() {
                    use crate::arch::x86_64::Avx2;
                    let found = second_stage::<Avx2>(&target, first, &w, offset);
                    assert_eq!(found, best.1);
                }
            }
        }
    }
}
