//! The fixed codebook: four pulses of one amplitude on five interleaved tracks (G.729 3.8, A.3.8).

use super::filter::{SUBFRAME, window, window_mut};
use super::ops::*;
use super::pitch::backward_filter;
use crate::arch::{Kernels, Scalar};

/// Positions of a track.
const PLACES: usize = 8;
/// Distance of the positions of a track, and number of tracks.
const TRACKS: usize = 5;

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Innovation {
    /// Code vector, Q13, sharpened.
    pub code: [i16; SUBFRAME],
    /// The pulses through the impulse response, Q12.
    pub filtered: [i16; SUBFRAME],
    /// Positions, 13 bits.
    pub positions: u16,
    /// Signs, 4 bits.
    pub signs: u16,
}

/// Repeats a vector at the distance of a short lag, attenuated by `sharpening` (Q14).
#[inline(always)]
pub fn sharpen(x: &mut [i16; SUBFRAME], lag: i32, sharpening: i16) {
    let gain = shl(sharpening, 1);
    for n in lag.max(0) as usize..SUBFRAME {
        x[n] = add(x[n], mult(x[n - lag as usize], gain));
    }
}

/// Code vector of received indices, sharpened.
#[inline(always)]
pub fn decode(positions: u16, signs: u16, lag: i32, sharpening: i16) -> [i16; SUBFRAME] {
    let place = |shift: u16| TRACKS * usize::from(positions >> shift & 7);
    let pulses = [
        place(0),
        place(3) + 1,
        place(6) + 2,
        place(10) + 3 + usize::from(positions >> 9 & 1),
    ];
    // Echoes that come too late fall behind the end.
    let mut code = [0; 2 * SUBFRAME];
    for (k, at) in pulses.into_iter().enumerate() {
        code[at] = if signs >> k & 1 == 1 { 8191 } else { -8192 };
    }
    if lag >= SUBFRAME as i32 {
        return *window(&code, 0);
    }
    if lag < SUBFRAME as i32 / 2 {
        let mut code = *window(&code, 0);
        sharpen(&mut code, lag, sharpening);
        return code;
    }
    // An echo of an echo would come after the end: what is repeated are the pulses of the first half.
    let gain = shl(sharpening, 1);
    for at in pulses {
        let echo = if at < SUBFRAME / 2 {
            mult(code[at], gain)
        } else {
            0
        };
        let to = at + lag as usize;
        code[to] = add(code[to], echo);
    }
    *window(&code, 0)
}

/// Correlations of the impulse response with itself between two positions. Row `j` holds the
/// positions `i <= j`; it starts where the rows before it end, after some room.
struct Matrix([i16; ROOM + SUBFRAME * (SUBFRAME + 1) / 2]);

/// Room before the first row, since rows are written from the right with more to their left.
const ROOM: usize = SUBFRAME;

impl Matrix {
    /// Correlation of two positions.
    #[inline(always)]
    fn at(&self, i: usize, j: usize) -> i16 {
        let (low, high) = if i < j { (i, j) } else { (j, i) };
        self.0[ROOM + high * (high + 1) / 2 + low]
    }

    /// Correlations of a position with all of a track.
    #[inline(always)]
    fn row(&self, i: usize, track: usize) -> [i16; PLACES] {
        let i = i.min(SUBFRAME - 1);
        let before: &[i16; SUBFRAME] = window(&self.0, ROOM + i * (i + 1) / 2);
        core::array::from_fn(|place| {
            let j = TRACKS * place + track;
            let after: &[i16; SUBFRAME] = window(&self.0, ROOM + j * (j + 1) / 2);
            if j < i { before[j] } else { after[i] }
        })
    }

    /// Energies of all positions of a track.
    #[inline(always)]
    fn diagonal(&self, track: usize) -> [i16; PLACES] {
        core::array::from_fn(|place| self.at(TRACKS * place + track, TRACKS * place + track))
    }
}

/// The impulse response scaled so that its energy nearly fills the word.
#[inline(always)]
fn scaled<K: Kernels>(h: &[i16; SUBFRAME]) -> [i16; SUBFRAME] {
    let e = clamp_32(2 * K::energy(h));
    if extract_h(e) > 32000 {
        h.map(|h| h >> 1)
    } else {
        let shift = norm_l(e) >> 1;
        h.map(|h| shl(h, shift))
    }
}

/// Values after as many zeros, and before some more.
#[inline(always)]
fn run(values: [i16; SUBFRAME]) -> [i16; 2 * SUBFRAME + 8] {
    let mut run = [0; 2 * SUBFRAME + 8];
    run[SUBFRAME..2 * SUBFRAME].copy_from_slice(&values);
    run
}

/// Fills the matrix. `signed` puts the signs of two positions into their correlation: it gets the
/// value and, for each position, -1 when its sign is negative and 0 otherwise.
///
/// Lane `e` of step `n` belongs to the positions `e - n` and `39 - n`: runs of both vectors, after as
/// many zeros as there are steps. Lanes below `n` belong to no pair; what they write left of a row
/// is written over by the rows before it, which come later.
#[inline(always)]
fn correlations(
    h: &[i16; SUBFRAME],
    positive: &[bool; SUBFRAME],
    signed: impl Fn(i32, i32, i32) -> i32,
) -> Matrix {
    let g = scaled::<Scalar>(h);
    let mut matrix = Matrix([0; ROOM + SUBFRAME * (SUBFRAME + 1) / 2]);
    // By Cauchy-Schwarz no sum exceeds the energy.
    let plain = energy_wide(0, &g) <= i64::from(MAX_32);
    let reversed = run(core::array::from_fn(|k| g[SUBFRAME - 1 - k]));
    let negative_run = run(positive.map(|positive| -i16::from(!positive)));
    let mut sums = [0i32; SUBFRAME];
    for (n, &now) in g.iter().enumerate() {
        let j = SUBFRAME - 1 - n;
        let delayed: &[i16; SUBFRAME] = window(&reversed, SUBFRAME - n);
        if plain {
            for (sum, delayed) in sums.iter_mut().zip(delayed) {
                *sum += 2 * i32::from(now) * i32::from(*delayed);
            }
        } else {
            for (sum, delayed) in sums.iter_mut().zip(delayed) {
                *sum = l_mac(*sum, now, *delayed);
            }
        }
        let negative: &[i16; SUBFRAME] = window(&negative_run, SUBFRAME - n);
        let own = i32::from(negative_run[SUBFRAME + j]);
        let row: &mut [i16; SUBFRAME] = window_mut(&mut matrix.0, ROOM + j * (j + 1) / 2 - n);
        for ((value, sum), negative) in row.iter_mut().zip(&sums).zip(negative) {
            *value = signed(*sum >> 16, i32::from(*negative), own) as i16;
        }
        // A position with itself keeps its value.
        row[SUBFRAME - 1] = extract_h(sums[SUBFRAME - 1]);
    }
    matrix
}

/// What both searches work on.
struct Ground {
    /// Magnitude of the correlation of the target with the impulse response.
    d: [i16; SUBFRAME],
    /// Sign of that correlation.
    positive: [bool; SUBFRAME],
}

impl Ground {
    #[inline(always)]
    fn new<K: Kernels>(target: &[i16; SUBFRAME], h: &[i16; SUBFRAME]) -> Self {
        let d = backward_filter::<K>(target, h);
        Self {
            d: d.map(|d| if d < 0 { negate(d) } else { d }),
            positive: d.map(|d| d >= 0),
        }
    }

    fn track(&self, track: usize) -> [i16; PLACES] {
        core::array::from_fn(|place| self.d[TRACKS * place + track])
    }
}

const HALF: i16 = 16384;
const QUARTER: i16 = 8192;
const EIGHTH: i16 = 4096;
const SIXTEENTH: i16 = 2048;

/// Best candidate so far as a fraction: squared correlation over energy.
#[derive(Clone, Copy)]
struct Best {
    square: i16,
    energy: i16,
}

impl Best {
    const NONE: Best = Best {
        square: -1,
        energy: 1,
    };

    /// Whether `other` is strictly better; compares the fractions by cross products.
    #[inline(always)]
    fn loses_to(self, other: Best) -> bool {
        i32::from(self.energy) * i32::from(other.square)
            > i32::from(self.square) * i32::from(other.energy)
    }
}

/// Squared correlations and energies of candidates, by the two positions.
struct Candidates<const ROWS: usize> {
    squares: [[i32; PLACES]; ROWS],
    energies: [[i32; PLACES]; ROWS],
}

impl<const ROWS: usize> Candidates<ROWS> {
    /// The best candidate with its row and place, the first of equals; `None` when none is better
    /// than nothing.
    #[inline(always)]
    fn best(&self) -> Option<(Best, usize, usize)> {
        let least = self
            .energies
            .as_flattened()
            .iter()
            .fold(i32::MAX, |least, e| least.min(*e));
        if least > 0 {
            Some(self.best_of_lanes())
        } else {
            self.best_in_order()
        }
    }

    /// In the order of the recommendation, one by one.
    fn best_in_order(&self) -> Option<(Best, usize, usize)> {
        let mut best = Best::NONE;
        let mut at = None;
        for row in 0..ROWS {
            for place in 0..PLACES {
                let (square, energy) = (
                    self.squares[row][place] as i16,
                    self.energies[row][place] as i16,
                );
                let candidate = Best { square, energy };
                if best.loses_to(candidate) {
                    best = candidate;
                    at = Some((row, place));
                }
            }
        }
        at.map(|(row, place)| (best, row, place))
    }

    /// By place first.
    #[inline(always)]
    fn best_of_lanes(&self) -> (Best, usize, usize) {
        let mut lanes = Lanes {
            squares: self.squares[0],
            energies: self.energies[0],
            rows: [0; PLACES],
        };
        for row in 1..ROWS {
            lanes.take(row, &self.squares[row], &self.energies[row]);
        }
        lanes.best()
    }
}

/// Best candidate of each place: squared correlation, energy, and the row it stands in.
struct Lanes {
    squares: [i32; PLACES],
    energies: [i32; PLACES],
    rows: [i32; PLACES],
}

impl Lanes {
    /// Takes those candidates of a further row that are strictly better. With positive energies the
    /// comparison is one of fractions, so the order in which candidates meet does not matter as
    /// long as the first of equals stays.
    #[inline(always)]
    fn take(&mut self, row: usize, squares: &[i32; PLACES], energies: &[i32; PLACES]) {
        for k in 0..PLACES {
            let better = self.energies[k] * squares[k] > self.squares[k] * energies[k];
            self.squares[k] = if better { squares[k] } else { self.squares[k] };
            self.energies[k] = if better {
                energies[k]
            } else {
                self.energies[k]
            };
            self.rows[k] = if better { row as i32 } else { self.rows[k] };
        }
    }

    /// The best of all with its row and place; of equals the first row, then the first place.
    #[inline(always)]
    fn best(&self) -> (Best, usize, usize) {
        let Lanes {
            squares,
            energies,
            rows,
        } = self;
        let mut best = 0;
        for k in 1..PLACES {
            let (a, b) = (energies[best] * squares[k], squares[best] * energies[k]);
            if a > b || (a == b && rows[k] < rows[best]) {
                best = k;
            }
        }
        let found = Best {
            square: squares[best] as i16,
            energy: energies[best] as i16,
        };
        (found, rows[best] as usize, best)
    }
}

/// Doubled product that is known to fit.
#[inline(always)]
fn twice(a: i16, b: i16) -> i32 {
    2 * i32::from(a) * i32::from(b)
}

/// Rounding that is known to fit.
#[inline(always)]
fn round_plain(x: i32) -> i32 {
    (x + 0x8000) >> 16
}

/// Sum of magnitudes (none is negative), limited, and its square.
#[inline(always)]
fn square_of_sum(a: i16, b: i16) -> i32 {
    let sum = (i32::from(a) + i32::from(b)).min(32767);
    (sum * sum) >> 15
}

/// Values of the depth-first search that outlive a phase: they are never set back.
struct Walk<'a> {
    d: &'a [i16; SUBFRAME],
    matrix: &'a Matrix,
    x: usize,
    y: usize,
    sum: i16,
}

impl Walk<'_> {
    #[inline(always)]
    fn track(&self, track: usize) -> [i16; PLACES] {
        core::array::from_fn(|place| self.d[TRACKS * place + track])
    }

    /// The two positions of a track with the largest values; the first of equals goes first.
    #[inline(always)]
    fn largest_two(&self, track: usize) -> [usize; 2] {
        let mut excluded = SUBFRAME;
        core::array::from_fn(|_| {
            let (mut max, mut at) = (-1, 0);
            for i in (track..SUBFRAME).step_by(TRACKS) {
                if self.d[i] > max && i != excluded {
                    (max, at) = (self.d[i], i);
                }
            }
            excluded = at;
            at
        })
    }

    /// Two pulses: the two largest of track `OUTER` against all of track `INNER`.
    #[inline(always)]
    fn first_pair<const OUTER: usize, const INNER: usize>(&mut self) -> Best {
        let outer = self.largest_two(OUTER);
        let inner_d = self.track(INNER);
        let inner_energy = self.matrix.diagonal(INNER);
        // A quarter, a half and a quarter of 16-bit values fit.
        let energies = outer.map(|i0| {
            let row = self.matrix.row(i0, INNER);
            let start = twice(self.matrix.at(i0, i0), QUARTER);
            core::array::from_fn(|k| {
                round_plain(start + twice(row[k], HALF) + twice(inner_energy[k], QUARTER))
            })
        });
        let squares = outer.map(|i0| inner_d.map(|d| square_of_sum(self.d[i0], d)));
        match (Candidates { squares, energies }).best() {
            Some((best, row, place)) => {
                (self.x, self.y) = (outer[row], TRACKS * place + INNER);
                self.sum = add(self.d[self.x], self.d[self.y]);
                best
            }
            None => Best::NONE,
        }
    }

    /// Two more pulses on the tracks `OUTER` and `INNER`, given the first two. The weights of the
    /// energies are such that no sum of 16-bit values can leave 32 bits, rounding included.
    #[inline(always)]
    fn second_pair<const OUTER: usize, const INNER: usize>(
        &mut self,
        first: Best,
        i0: usize,
        i1: usize,
        block: &[[i16; PLACES]; PLACES],
    ) -> Best {
        let start = twice(first.energy, QUARTER);
        let (inner_d, outer_d) = (self.track(INNER), self.track(OUTER));
        let v: [i32; PLACES] = {
            let (row0, row1) = (self.matrix.row(i0, INNER), self.matrix.row(i1, INNER));
            let own = self.matrix.diagonal(INNER);
            core::array::from_fn(|k| {
                round_plain(
                    twice(row0[k], QUARTER) + twice(row1[k], QUARTER) + twice(own[k], EIGHTH),
                )
            })
        };
        let starts: [i32; PLACES] = {
            let (row0, row1) = (self.matrix.row(i0, OUTER), self.matrix.row(i1, OUTER));
            let own = self.matrix.diagonal(OUTER);
            core::array::from_fn(|k| {
                start + twice(row0[k], EIGHTH) + twice(row1[k], EIGHTH) + twice(own[k], SIXTEENTH)
            })
        };
        let bases = outer_d.map(|d| add(self.sum, d));
        let squares = bases.map(|base| inner_d.map(|d| square_of_sum(base, d)));
        let energies = core::array::from_fn(|row| {
            core::array::from_fn(|k| {
                round_plain(starts[row] + twice(block[row][k], EIGHTH) + (v[k] << 15))
            })
        });
        match (Candidates { squares, energies }).best() {
            Some((best, row, place)) => {
                (self.x, self.y) = (TRACKS * row + OUTER, TRACKS * place + INNER);
                best
            }
            None => Best::NONE,
        }
    }

    /// Half of the search for one track of the fourth pulse: `(2, FOURTH)` first, then `(0, 1)`; or
    /// `(FOURTH, 0)` first, then `(1, 2)`. Returns the pulses in the order of the tracks.
    #[inline(always)]
    fn search<const FOURTH: usize>(
        &mut self,
        blocks: &[[[i16; PLACES]; PLACES]; 2],
    ) -> [(Best, [usize; 4]); 2] {
        let first = self.first_pair::<2, FOURTH>();
        let (i0, i1) = (self.x, self.y);
        let best = self.second_pair::<0, 1>(first, i0, i1, &blocks[0]);
        let one = (best, [self.x, self.y, i0, i1]);
        let first = self.first_pair::<FOURTH, 0>();
        let (i0, i1) = (self.x, self.y);
        let best = self.second_pair::<1, 2>(first, i0, i1, &blocks[1]);
        [one, (best, [i1, self.x, self.y, i0])]
    }
}

/// Depth-first search of Annex A.
#[inline(always)]
fn depth_first(ground: &Ground, matrix: &Matrix) -> [usize; 4] {
    let block = |outer: usize, inner: usize| -> [[i16; PLACES]; PLACES] {
        core::array::from_fn(|row| matrix.row(TRACKS * row + outer, inner))
    };
    let blocks = [block(0, 1), block(1, 2)];
    let mut walk = Walk {
        d: &ground.d,
        matrix,
        x: 0,
        y: 0,
        sum: 0,
    };
    let [a, b] = walk.search::<3>(&blocks);
    let [c, d] = walk.search::<4>(&blocks);
    let mut best = (Best::NONE, [0, 1, 2, 3]);
    for found in [a, b, c, d] {
        if best.0.loses_to(found.0) {
            best = found;
        }
    }
    best.1
}

/// Nested search of the base codec; `credit` is the budget left over from the first subframe.
#[inline(always)]
fn nested(ground: &Ground, matrix: &Matrix, credit: &mut i32) -> [usize; 4] {
    let d = &ground.d;
    let tracks = [ground.track(0), ground.track(1), ground.track(2)];
    let top = tracks.iter().fold(0, |sum, track| {
        add(sum, track.iter().fold(0, |max, d| max.max(*d)))
    });
    let mean = (tracks
        .as_flattened()
        .iter()
        .map(|d| i32::from(*d))
        .sum::<i32>()
        >> 3) as i16;
    let threshold = i32::from(add(mult(sub(top, mean), 13107), mean));
    let mut budget = 75 + *credit;
    let mut pulses = [0, 1, 2, 3];
    let mut best = Best {
        square: 0,
        energy: 32767,
    };
    let phi = |i: usize, j: usize| i32::from(matrix.at(i, j));
    'search: for i0 in (0..SUBFRAME).step_by(TRACKS) {
        for i1 in (1..SUBFRAME).step_by(TRACKS) {
            let sum1 = i32::from(d[i0]) + i32::from(d[i1]);
            let energy1 = 2 * (phi(i0, i0) + phi(i1, i1)) + 4 * phi(i0, i1);
            for i2 in (2..SUBFRAME).step_by(TRACKS) {
                let sum2 = sum1 + i32::from(d[i2]);
                if sum2 <= threshold {
                    continue;
                }
                let energy2 = energy1 + 2 * phi(i2, i2) + 4 * (phi(i0, i2) + phi(i1, i2));
                for track in [3, 4] {
                    for i3 in (track..SUBFRAME).step_by(TRACKS) {
                        let sum3 = add(sum2 as i16, d[i3]);
                        let cross = phi(i0, i3) + phi(i1, i3) + phi(i2, i3);
                        let energy3 = energy2 + 2 * phi(i3, i3) + 4 * cross;
                        let candidate = Best {
                            square: mult(sum3, sum3),
                            energy: extract_l(energy3 >> 5),
                        };
                        if best.loses_to(candidate) {
                            best = candidate;
                            pulses = [i0, i1, i2, i3];
                        }
                    }
                }
                budget -= 1;
                if budget <= 0 {
                    break 'search;
                }
            }
        }
    }
    *credit = budget;
    pulses
}

/// Makes the vectors and indices of the pulses.
#[inline(always)]
fn finish(
    ground: &Ground,
    h: &[i16; SUBFRAME],
    pulses: [usize; 4],
    lag: i32,
    sharpening: i16,
) -> Innovation {
    let mut code = [0; SUBFRAME];
    let mut filtered = [0i16; SUBFRAME];
    let response = run(*h);
    let mut signs = 0;
    for (k, at) in pulses.into_iter().enumerate() {
        let positive = ground.positive[at];
        code[at] = if positive { 8191 } else { -8192 };
        signs |= u16::from(positive) << k;
        let delayed: &[i16; SUBFRAME] = window(&response, SUBFRAME - at);
        if positive {
            filtered
                .iter_mut()
                .zip(delayed)
                .for_each(|(y, h)| *y = add(*y, *h));
        } else {
            filtered
                .iter_mut()
                .zip(delayed)
                .for_each(|(y, h)| *y = sub(*y, *h));
        }
    }
    // Annex A negates the first pulse where the base codec subtracts it from zero: the same but for
    // -32768, which both limit to 32767.
    sharpen(&mut code, lag, sharpening);
    let [p0, p1, p2, p3] = pulses.map(|p| (p / TRACKS) as u16);
    let jump = (pulses[3] % TRACKS) as u16 - 3;
    let positions = p0 | p1 << 3 | p2 << 6 | (2 * p3 + jump) << 9;
    Innovation {
        code,
        filtered,
        positions,
        signs,
    }
}

/// Search of Annex A for the target after the adaptive codebook.
#[inline(always)]
pub fn search_a<K: Kernels>(
    target: &[i16; SUBFRAME],
    h: &[i16; SUBFRAME],
    lag: i32,
    sharpening: i16,
) -> Innovation {
    let mut h = *h;
    sharpen(&mut h, lag, sharpening);
    let ground = Ground::new::<K>(target, &h);
    let pulses = match best_pulses::<K>(&ground, &h) {
        Some(pulses) => pulses,
        None => best_pulses_in_order(&ground, &h),
    };
    finish(&ground, &h, pulses, lag, sharpening)
}

/// The kernel for the search, where no limit can act.
#[inline(always)]
fn best_pulses<K: Kernels>(ground: &Ground, h: &[i16; SUBFRAME]) -> Option<[usize; 4]> {
    let g = scaled::<K>(h);
    // By Cauchy-Schwarz no sum exceeds the energy.
    let plain = K::energy(&g) < 1 << 30;
    let negative = ground.positive.map(|positive| -i16::from(!positive));
    plain.then(|| K::best_pulses(&g, &ground.d, &negative))?
}

/// The search as it stands in the recommendation.
#[inline(never)]
fn best_pulses_in_order(ground: &Ground, h: &[i16; SUBFRAME]) -> [usize; 4] {
    // The recommendation multiplies by 32767 for equal signs and by -32768 for different ones.
    let matrix = correlations(h, &ground.positive, |value, a, b| {
        let differ = a ^ b;
        let less = i32::from(value > 0) - i32::from(value == -32768);
        (((value ^ differ) - differ) - (less & !differ)).min(32767)
    });
    depth_first(ground, &matrix)
}

/// Search of the base codec. `credit` is 30 before the first subframe and is handed to the second.
#[inline(always)]
pub fn search_base<K: Kernels>(
    target: &[i16; SUBFRAME],
    h: &[i16; SUBFRAME],
    lag: i32,
    sharpening: i16,
    credit: &mut i32,
) -> Innovation {
    let mut h = *h;
    sharpen(&mut h, lag, sharpening);
    let ground = Ground::new::<K>(target, &h);
    // The recommendation multiplies two signs of 32767 and -32768; the products are not exact.
    let matrix = correlations(&h, &ground.positive, |value, a, b| {
        let factor = match (a, b) {
            (0, 0) => 32766,
            (-1, -1) => 32767,
            _ => -32767,
        };
        (value * factor) >> 15
    });
    finish(
        &ground,
        &h,
        nested(&ground, &matrix, credit),
        lag,
        sharpening,
    )
}
