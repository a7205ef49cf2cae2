//! The search of Annex A's fixed codebook: all correlations by track, eight places in a vector.

use super::both;
use core::arch::x86_64::*;
use core::mem::MaybeUninit;

/// Distance of the positions of a track, and number of tracks.
const TRACKS: usize = 5;
/// Pairs of tracks whose correlations the search reads, as rows and lanes.
const PAIRS: [(usize, usize); 13] = [
    (0, 1),
    (0, 2),
    (1, 2),
    (2, 0),
    (2, 1),
    (2, 3),
    (2, 4),
    (3, 0),
    (3, 1),
    (3, 2),
    (4, 0),
    (4, 1),
    (4, 2),
];

/// Where the correlations of two tracks stand.
const fn block(row: usize, lane: usize) -> usize {
    let mut k = 0;
    while !(PAIRS[k].0 == row && PAIRS[k].1 == lane) {
        k += 1;
    }
    k
}

/// Rows of one track against the places of another.
type Block = [__m256i; 8];

/// Values of a position for each of the forty, and zeros.
type Run = [i16; 48];

/// What the search reads.
struct Ground<'a> {
    /// Correlations of two positions without their signs, as sums in full.
    blocks: &'a [Block; 13],
    /// The same with signs, an eighth in the scale of energies: tracks 0 and 1, and 1 and 2.
    signed: [Block; 2],
    /// Correlation of a position with itself.
    own: [__m256i; TRACKS],
    /// Magnitudes of the target's correlations, as words and as pairs of words.
    d: [__m128i; TRACKS],
    wide: [__m256i; TRACKS],
    signs: Signs,
}

/// Signs of the positions of each track.
struct Signs {
    /// 0xFFFF where the sign is negative.
    negative: [__m256i; TRACKS],
    /// What a correlation with a positive position is multiplied by.
    factors: [__m256i; TRACKS],
}

impl Signs {
    /// Puts the signs of a position and of eight others into their correlations, and takes the high
    /// halves of the sums, which are not doubled. Equal signs take a factor of 32767, different ones
    /// of -32768: the one is the other with all its bits turned over.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn apply<const ROW: usize, const LANE: usize>(&self, sums: __m256i, place: usize) -> __m256i {
        let negative = _mm256_set1_epi32(lane(self.negative[ROW], place));
        let factors = _mm256_xor_si256(self.factors[LANE], negative);
        let high = _mm256_srai_epi32::<15>(sums);
        _mm256_srai_epi32::<15>(_mm256_madd_epi16(high, factors))
    }
}

/// Rows of eight words become columns.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(r: [__m128i; 8]) -> [__m128i; 8] {
    let words = |k: usize| {
        (
            _mm_unpacklo_epi16(r[k], r[k + 1]),
            _mm_unpackhi_epi16(r[k], r[k + 1]),
        )
    };
    let (a, b, c, d) = (words(0), words(2), words(4), words(6));
    let twos = |x, y| (_mm_unpacklo_epi32(x, y), _mm_unpackhi_epi32(x, y));
    let (e, f, g, h) = (
        twos(a.0, b.0),
        twos(a.1, b.1),
        twos(c.0, d.0),
        twos(c.1, d.1),
    );
    let fours = |x, y| [_mm_unpacklo_epi64(x, y), _mm_unpackhi_epi64(x, y)];
    let [c0, c1] = fours(e.0, g.0);
    let [c2, c3] = fours(e.1, g.1);
    let [c4, c5] = fours(f.0, h.0);
    let [c6, c7] = fours(f.1, h.1);
    [c0, c1, c2, c3, c4, c5, c6, c7]
}

/// Values at the distance of a track: element `c` holds `x[5 q + c]` for the places `q`.
#[inline]
#[target_feature(enable = "avx2")]
fn by_place(x: &Run) -> [__m128i; 8] {
    let rows = core::array::from_fn(|q| {
        let from = &x[TRACKS * q..TRACKS * q + 8];
        // SAFETY: eight values are there; loads need no alignment.
        unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
    });
    transpose(rows)
}

/// Lanes moved down by `N`, zeros from above.
#[inline]
#[target_feature(enable = "avx2")]
fn down<const BYTES: i32>(x: __m256i) -> __m256i {
    _mm256_alignr_epi8::<BYTES>(_mm256_permute2x128_si256::<0x81>(x, x), x)
}

/// The response in pairs and, for the fifth of five products, alone.
struct Steps {
    pairs: [__m256i; 7],
    single: [__m256i; 5],
}

/// Fills the blocks of row track `A`. A correlation of two positions is that of the two positions
/// one place later and five products more.
#[inline]
#[target_feature(enable = "avx2")]
fn fill<const A: usize, const N: usize>(
    lanes: [usize; N],
    run: &Run,
    steps: &Steps,
    blocks: &mut MaybeUninit<[Block; 13]>,
) {
    let mut sums = [_mm256_setzero_si256(); N];
    for p in (0..8).rev() {
        let at = TRACKS * p + A;
        let two = |k: usize| both(run[at + k], run[at + k + 1]);
        let (b0, b2, b4) = (two(0), two(2), two(4));
        for (sum, &lane) in sums.iter_mut().zip(&lanes) {
            let first = _mm256_madd_epi16(b0, steps.pairs[lane]);
            let second = _mm256_madd_epi16(b2, steps.pairs[lane + 2]);
            let third = _mm256_madd_epi16(b4, steps.single[lane]);
            let later = _mm256_add_epi32(third, down::<4>(*sum));
            *sum = _mm256_add_epi32(_mm256_add_epi32(first, second), later);
            // SAFETY: the block and its row lie within the array.
            unsafe {
                let blocks: *mut Block = blocks.as_mut_ptr().cast();
                let row: *mut __m256i = blocks.add(block(A, lane)).cast();
                row.add(p).write(*sum);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn ground<'a>(
    g: &[i16; 40],
    d: &[i16; 40],
    negative: &[i16; 40],
    blocks: &'a mut MaybeUninit<[Block; 13]>,
) -> Ground<'a> {
    let mut run: Run = [0; 48];
    for k in 0..40 {
        run[k] = g[39 - k];
    }
    let columns = by_place(&run);
    let column = |k: usize| match k {
        8 | 9 => _mm_srli_si128::<2>(columns[k - 5]),
        _ => columns[k],
    };
    let steps = Steps {
        pairs: core::array::from_fn(|k| {
            let (a, b) = (column(k), column(k + 1));
            _mm256_set_m128i(_mm_unpackhi_epi16(a, b), _mm_unpacklo_epi16(a, b))
        }),
        single: core::array::from_fn(|k| _mm256_cvtepu16_epi32(column(k + 4))),
    };
    let mut padded: Run = [0; 48];
    padded[..40].copy_from_slice(negative);
    let columns = by_place(&padded);
    let negative: [__m256i; TRACKS] = core::array::from_fn(|k| _mm256_cvtepu16_epi32(columns[k]));
    let signs = Signs {
        factors: core::array::from_fn(|k| _mm256_xor_si256(negative[k], _mm256_set1_epi32(32767))),
        negative,
    };
    padded[..40].copy_from_slice(d);
    let columns = by_place(&padded);
    let d: [__m128i; 5] = core::array::from_fn(|k| columns[k]);
    fill::<0, 2>([1, 2], &run, &steps, blocks);
    fill::<1, 1>([2], &run, &steps, blocks);
    fill::<2, 4>([0, 1, 3, 4], &run, &steps, blocks);
    fill::<3, 3>([0, 1, 2], &run, &steps, blocks);
    fill::<4, 3>([0, 1, 2], &run, &steps, blocks);
    // SAFETY: the five calls have written all rows of the thirteen pairs of tracks.
    let blocks = unsafe { blocks.assume_init_ref() };
    Ground {
        signed: [
            core::array::from_fn(|p| {
                _mm256_slli_epi32::<13>(signs.apply::<0, 1>(blocks[const { block(0, 1) }][p], p))
            }),
            core::array::from_fn(|p| {
                _mm256_slli_epi32::<13>(signs.apply::<1, 2>(blocks[const { block(1, 2) }][p], p))
            }),
        ],
        blocks,
        own: core::array::from_fn(|k| {
            let square = |x| _mm256_madd_epi16(x, x);
            let two = _mm256_add_epi32(square(steps.pairs[k]), square(steps.pairs[k + 2]));
            let sum = _mm256_add_epi32(two, square(steps.single[k]));
            let sum = _mm256_add_epi32(sum, down::<4>(sum));
            let sum = _mm256_add_epi32(sum, down::<8>(sum));
            let high = _mm256_permute2x128_si256::<0x81>(sum, sum);
            _mm256_srai_epi32::<15>(_mm256_add_epi32(sum, high))
        }),
        wide: core::array::from_fn(|k| _mm256_cvtepu16_epi32(d[k])),
        d,
        signs,
    }
}

/// Candidates of eight places: squared correlations, energies and rows.
#[derive(Clone, Copy)]
struct Candidates {
    squares: __m256i,
    energies: __m256i,
    rows: __m256i,
}

/// The best of all.
#[derive(Clone, Copy)]
struct Found {
    square: i32,
    energy: i32,
    row: usize,
    place: usize,
}

/// A lane of a vector.
#[inline]
#[target_feature(enable = "avx2")]
fn lane(x: __m256i, k: usize) -> i32 {
    // SAFETY: a register is eight 32-bit values.
    unsafe { core::mem::transmute::<__m256i, [i32; 8]>(x)[k & 7] }
}

impl Candidates {
    /// Takes those that are strictly better: fractions compared by cross products.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn take(&mut self, row: usize, squares: __m256i, energies: __m256i) {
        let better = _mm256_cmpgt_epi32(
            _mm256_madd_epi16(self.energies, squares),
            _mm256_madd_epi16(self.squares, energies),
        );
        self.squares = _mm256_blendv_epi8(self.squares, squares, better);
        self.energies = _mm256_blendv_epi8(self.energies, energies, better);
        self.rows = _mm256_blendv_epi8(self.rows, _mm256_set1_epi32(row as i32), better);
    }

    /// The best lane; of equals the first row, then the first place. Quotients of 15-bit numbers
    /// are equal as `f64` only where the fractions are.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn best(&self) -> Found {
        let wide = |x: __m128i| _mm256_cvtepi32_pd(x);
        let low = |x: __m256i| wide(_mm256_castsi256_si128(x));
        let high = |x: __m256i| wide(_mm256_extracti128_si256::<1>(x));
        let a = _mm256_div_pd(low(self.squares), low(self.energies));
        let b = _mm256_div_pd(high(self.squares), high(self.energies));
        let max = _mm256_max_pd(a, b);
        let max = _mm256_max_pd(max, _mm256_permute4x64_pd::<0x4E>(max));
        let max = _mm256_max_pd(max, _mm256_permute_pd::<0b0101>(max));
        let equal = |x| _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_EQ_OQ>(x, max)) as u32;
        let mut equals = equal(a) | equal(b) << 4;
        let mut place = equals.trailing_zeros() as usize & 7;
        let mut row = lane(self.rows, place);
        equals &= equals.wrapping_sub(1);
        while equals != 0 {
            let other = equals.trailing_zeros() as usize & 7;
            if lane(self.rows, other) < row {
                (place, row) = (other, lane(self.rows, other));
            }
            equals &= equals - 1;
        }
        Found {
            square: lane(self.squares, place),
            energy: lane(self.energies, place),
            row: row as usize,
            place,
        }
    }
}

/// Squares of sums, which are not negative and limited to 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn squares_of(sums: __m256i) -> __m256i {
    let sums = _mm256_min_epi32(sums, _mm256_set1_epi32(32767));
    _mm256_srli_epi32::<15>(_mm256_madd_epi16(sums, sums))
}

#[inline]
#[target_feature(enable = "avx2")]
fn round(x: __m256i) -> __m256i {
    _mm256_srai_epi32::<16>(_mm256_add_epi32(x, _mm256_set1_epi32(0x8000)))
}

/// Eight words of ones behind eight of zeros, and eight of zeros again: any one place can be cut out.
static PLACE: [i16; 15] = [0, 0, 0, 0, 0, 0, 0, -1, 0, 0, 0, 0, 0, 0, 0];

impl Ground<'_> {
    /// Correlations of a position with the places of a track.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn row<const ROW: usize, const LANE: usize>(&self, place: usize) -> __m256i {
        let sums = self.blocks[const { block(ROW, LANE) }][place & 7];
        self.signs.apply::<ROW, LANE>(sums, place)
    }

    /// The places of the two largest values of a track; the first of equals goes first.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn largest_two(&self, track: usize) -> [usize; 2] {
        let upside_down = _mm_xor_si128(self.d[track], _mm_set1_epi16(32767));
        let place = |x| _mm_extract_epi16::<1>(_mm_minpos_epu16(x)) as usize & 7;
        let first = place(upside_down);
        // SAFETY: eight values are there from 7 - 7 and from 7 - 0 on.
        let taken = unsafe { _mm_loadu_si128(PLACE[7 - first..].as_ptr().cast()) };
        [first, place(_mm_or_si128(upside_down, taken))]
    }

    /// Two pulses: the two largest of a track against all of another. Returns the best with its
    /// places in both tracks; `least` is the least energy that was seen.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn first_pair<const O: usize, const I: usize>(&self, least: &mut __m256i) -> (Found, i32) {
        let outer = self.largest_two(O);
        let own = _mm256_slli_epi32::<14>(self.own[I]);
        let candidates = |p: usize| {
            let sums = _mm256_add_epi32(self.wide[I], _mm256_set1_epi32(lane(self.wide[O], p)));
            let start = _mm256_set1_epi32(lane(self.own[O], p) << 14);
            let row = _mm256_slli_epi32::<15>(self.row::<O, I>(p));
            let energies = round(_mm256_add_epi32(_mm256_add_epi32(row, own), start));
            (squares_of(sums), energies)
        };
        let (squares, energies) = candidates(outer[0]);
        let mut all = Candidates {
            squares,
            energies,
            rows: _mm256_setzero_si256(),
        };
        *least = _mm256_min_epi32(*least, energies);
        let (squares, energies) = candidates(outer[1]);
        *least = _mm256_min_epi32(*least, energies);
        all.take(1, squares, energies);
        let mut found = all.best();
        found.row = outer[found.row & 1];
        let sum = lane(self.wide[O], found.row) + lane(self.wide[I], found.place);
        (found, sum.min(32767))
    }

    /// Two more pulses on the tracks `O` and `I`, given two on `A` and `B` at the places of `first`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn second_pair<const A: usize, const B: usize, const O: usize, const I: usize>(
        &self,
        first: Found,
        sum: i32,
        least: &mut __m256i,
    ) -> Found {
        let inner = _mm256_add_epi32(self.row::<A, I>(first.row), self.row::<B, I>(first.place));
        let inner = _mm256_slli_epi32::<14>(inner);
        let v = round(_mm256_add_epi32(
            inner,
            _mm256_slli_epi32::<13>(self.own[I]),
        ));
        let common = _mm256_add_epi32(_mm256_slli_epi32::<15>(v), _mm256_set1_epi32(0x8000));
        let outer = _mm256_add_epi32(self.row::<A, O>(first.row), self.row::<B, O>(first.place));
        let outer = _mm256_slli_epi32::<13>(outer);
        let starts = _mm256_add_epi32(outer, _mm256_slli_epi32::<12>(self.own[O]));
        let starts = _mm256_add_epi32(starts, _mm256_set1_epi32(first.energy << 14));
        let bases = _mm256_add_epi32(self.wide[O], _mm256_set1_epi32(sum));
        let bases = _mm256_min_epi32(bases, _mm256_set1_epi32(32767));
        // SAFETY: registers are eight 32-bit values.
        let starts = unsafe { core::mem::transmute::<__m256i, [i32; 8]>(starts) };
        // SAFETY: likewise.
        let bases = unsafe { core::mem::transmute::<__m256i, [i32; 8]>(bases) };
        let block = &self.signed[O];
        let candidates = |row: usize| {
            let sums = _mm256_add_epi32(self.wide[I], _mm256_set1_epi32(bases[row]));
            let energies = _mm256_add_epi32(common, _mm256_set1_epi32(starts[row]));
            let energies = _mm256_add_epi32(energies, block[row]);
            (squares_of(sums), _mm256_srai_epi32::<16>(energies))
        };
        let (squares, energies) = candidates(0);
        let mut all = Candidates {
            squares,
            energies,
            rows: _mm256_setzero_si256(),
        };
        *least = _mm256_min_epi32(*least, energies);
        for row in 1..8 {
            let (squares, energies) = candidates(row);
            *least = _mm256_min_epi32(*least, energies);
            all.take(row, squares, energies);
        }
        all.best()
    }
}

/// Kernel `best_pulses`.
#[inline]
#[target_feature(enable = "avx2")]
pub fn best_pulses(g: &[i16; 40], d: &[i16; 40], negative: &[i16; 40]) -> Option<[usize; 4]> {
    let mut blocks = MaybeUninit::uninit();
    let ground = ground(g, d, negative, &mut blocks);
    let mut least = _mm256_set1_epi32(i32::MAX);
    let mut best = (-1, 1);
    let mut pulses = [0, 1, 2, 3];
    let mut take = |found: Found, at: [usize; 4]| {
        // Both sides are below 2^30.
        if best.1 * found.square > best.0 * found.energy {
            best = (found.square, found.energy);
            pulses = at;
        }
    };
    let at = |place: usize, track: usize| TRACKS * place + track;
    macro_rules! search {
        ($fourth:literal) => {
            let (first, sum) = ground.first_pair::<2, $fourth>(&mut least);
            let found = ground.second_pair::<2, $fourth, 0, 1>(first, sum, &mut least);
            let (two, last) = (at(first.row, 2), at(first.place, $fourth));
            take(found, [at(found.row, 0), at(found.place, 1), two, last]);
            let (first, sum) = ground.first_pair::<$fourth, 0>(&mut least);
            let found = ground.second_pair::<$fourth, 0, 1, 2>(first, sum, &mut least);
            let (zero, last) = (at(first.place, 0), at(first.row, $fourth));
            take(found, [zero, at(found.row, 1), at(found.place, 2), last]);
        };
    }
    search!(3);
    search!(4);
    let positive = _mm256_cmpgt_epi32(least, _mm256_setzero_si256());
    (_mm256_movemask_epi8(positive) == -1).then_some(pulses)
}
