//! Linear prediction: window, autocorrelation, Levinson recursion, and the way from the predictor
//! to line spectral pairs (G.729 3.2.1 to 3.2.3).

use super::filter::{window, window_mut};
use super::ops::*;
use super::tables::{HAM_WINDOW, LAG_H, LAG_L};
use crate::arch::{Kernels, Windowed};

/// Order of the linear prediction.
pub const ORDER: usize = 10;
/// Autocorrelations taken: Annex B uses twelve lags, the codec itself ten.
pub const LAGS: usize = 13;
/// Samples of the speech buffer, which is also the analysis window.
pub const WINDOW: usize = 240;

/// Line spectral pairs in the cosine domain, Q15; or frequencies.
pub type Lsp = [i16; ORDER];
/// Predictor, Q12, with the leading 1.0.
pub type Predictor = [i16; ORDER + 1];

/// Normalised autocorrelation in double precision format.
#[derive(Clone, Copy, Debug)]
pub struct Autocorrelation {
    /// High words of lags 0 to 12.
    pub high: [i16; LAGS],
    /// Low words of lags 0 to 12.
    pub low: [i16; LAGS],
    /// Scale of the values, used by Annex B only.
    pub exponent: i16,
}

impl Autocorrelation {
    /// A lag in double precision format.
    pub fn at(&self, lag: usize) -> Dpf {
        (self.high[lag], self.low[lag])
    }
}

/// Windows speech and correlates it with itself.
#[inline(always)]
pub fn autocorrelate_plain(speech: &[i16; WINDOW], window: &[i16; WINDOW]) -> Windowed {
    let mut y = [0i16; WINDOW];
    for ((y, s), w) in y.iter_mut().zip(speech).zip(window) {
        *y = mult_r(*s, *w);
    }
    let mut exponent = 1;
    let mut sum = energy_wide(1, &y);
    while sum > i64::from(MAX_32) {
        y.iter_mut().for_each(|y| *y >>= 2);
        exponent += 4;
        sum = energy_wide(1, &y);
    }
    // No sum of a lag exceeds the energy, nor does any part of one, so plain sums are exact.
    let mut lags = [0; LAGS - 1];
    for (lag, sum) in (1..).zip(&mut lags) {
        *sum = dot(&y[..WINDOW - lag], &y[lag..]);
    }
    Windowed {
        energy: sum as i32,
        exponent,
        lags,
    }
}

/// Windows the speech buffer and correlates it with itself.
#[inline(always)]
pub fn autocorrelate<K: Kernels>(speech: &[i16; WINDOW]) -> Autocorrelation {
    let windowed = K::autocorrelate(speech, &HAM_WINDOW);
    let norm = norm_l(windowed.energy);
    let mut r = Autocorrelation {
        high: [0; LAGS],
        low: [0; LAGS],
        exponent: windowed.exponent - norm as i16,
    };
    (r.high[0], r.low[0]) = l_extract(windowed.energy << norm);
    for (lag, sum) in (1..).zip(windowed.lags) {
        (r.high[lag], r.low[lag]) = l_extract((2 * sum) << norm);
    }
    r
}

/// Multiplies lags 1 to 12 by the lag window, which contains the white noise correction.
#[inline(always)]
pub fn lag_window(r: &mut Autocorrelation) {
    for lag in 1..LAGS {
        (r.high[lag], r.low[lag]) = l_extract(mpy_32(r.at(lag), (LAG_H[lag - 1], LAG_L[lag - 1])));
    }
}

/// What the last stable Levinson recursion gave; an unstable one repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stable {
    /// Predictor.
    pub a: Predictor,
    /// First two reflection coefficients, Q15.
    pub reflection: [i16; 2],
}

impl Stable {
    /// Before the first frame.
    pub const fn new() -> Self {
        Self {
            a: [4096, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            reflection: [0; 2],
        }
    }
}

/// Solves for the predictor, leaves it in `stable` and returns the residual energy, or `None` when
/// the filter is unstable and `stable` stays as it was.
#[inline(always)]
pub fn levinson(r: &Autocorrelation, stable: &mut Stable) -> Option<i16> {
    let mut a = [(0i16, 0i16); ORDER + 1];
    let t = l_comp(r.at(1));
    let q = div_32(l_abs(t), r.at(0));
    let q = if t > 0 { l_negate(q) } else { q };
    let mut k = l_extract(q);
    a[1] = l_extract(q >> 4);
    let mut reflection = [k.0, 0];
    let u = l_sub(MAX_32, l_abs(mpy_32(k, k)));
    let energy = mpy_32(r.at(0), l_extract(u));
    let mut alpha_exponent = norm_l(energy);
    let mut alpha = l_extract(l_shl(energy, alpha_exponent));
    for i in 2..=ORDER {
        let mut s = 0;
        for j in 1..i {
            s = l_add(s, mpy_32(r.at(j), a[i - j]));
        }
        s = l_add(l_shl(s, 4), l_comp(r.at(i)));
        let q = div_32(l_abs(s), alpha);
        let q = l_shl(if s > 0 { l_negate(q) } else { q }, alpha_exponent);
        k = l_extract(q);
        if i == 2 {
            reflection[1] = k.0;
        }
        // A reflection coefficient of almost 1.0 makes the filter unstable.
        if abs_s(k.0) > 32750 {
            return None;
        }
        let previous = a;
        for j in 1..i {
            a[j] = l_extract(l_add(mpy_32(k, previous[i - j]), l_comp(previous[j])));
        }
        a[i] = l_extract(q >> 4);
        let u = l_sub(MAX_32, l_abs(mpy_32(k, k)));
        let energy = mpy_32(alpha, l_extract(u));
        let norm = norm_l(energy);
        alpha = l_extract(l_shl(energy, norm));
        alpha_exponent += norm;
    }
    for (a, value) in stable.a[1..].iter_mut().zip(&a[1..]) {
        *a = round(l_shl(l_comp(*value), 1));
    }
    stable.reflection = reflection;
    Some(shr(alpha.0, alpha_exponent))
}

/// Solves for the predictor and leaves it in `stable`, which stays as it was when the filter is
/// unstable.
#[inline(always)]
pub fn predict<K: Kernels>(r: &Autocorrelation, stable: &mut Stable) {
    match K::levinson(r) {
        Some(solved) => *stable = solved,
        None => {
            levinson(r, stable);
        }
    }
}

/// Sum and difference polynomials, and whether they are in Q10 instead of Q11.
struct Polynomials {
    f: [[i16; 6]; 2],
    coarse: bool,
}

/// Adds or subtracts in the polynomial recursion and says when the result does not fit.
#[inline(always)]
fn step(x: i32, y: i32, fits: &mut bool) -> i16 {
    let sum = x + y;
    *fits &= sum == i32::from(sum as i16);
    clamp_16(sum)
}

#[inline(always)]
fn polynomials(a: &Predictor) -> Polynomials {
    for (shift, coarse) in [(1, false), (2, true)] {
        let start = if coarse { 1024 } else { 2048 };
        let mut f = [[start, 0, 0, 0, 0, 0]; 2];
        let mut fits = true;
        for i in 0..5 {
            let (p, q) = (i32::from(a[i + 1]), i32::from(a[ORDER - i]));
            f[0][i + 1] = step((p + q) >> shift, -i32::from(f[0][i]), &mut fits);
            f[1][i + 1] = step((p - q) >> shift, i32::from(f[1][i]), &mut fits);
        }
        if fits || coarse {
            return Polynomials { f, coarse };
        }
    }
    unreachable!()
}

/// Evaluates the Chebyshev series, Q14, limited to 16 bits.
#[inline(always)]
fn chebyshev(x: i16, f: &[i16; 6], coarse: bool) -> i16 {
    let (unit, factor, shift) = if coarse { (128, 256, 7) } else { (256, 512, 6) };
    let mut b2: Dpf = (unit, 0);
    let mut b1 = l_extract(l_mac(l_mult(x, factor), f[1], 4096));
    for &f in &f[2..5] {
        let t = l_shl(mpy_32_16(b1, x), 1);
        let t = l_msu(l_mac(t, b2.0, -32768), b2.1, 1);
        let t = l_mac(t, f, 4096);
        b2 = b1;
        b1 = l_extract(t);
    }
    let t = mpy_32_16(b1, x);
    let t = l_msu(l_mac(t, b2.0, -32768), b2.1, 1);
    extract_h(l_shl(l_mac(t, f[5], 2048), shift))
}

/// Whether no sum of [`chebyshev`] can leave 32 bits. The recursion's values are sums of the
/// coefficients times Chebyshev polynomials of the second kind, of which the n-th is at most n + 1;
/// with two of them and the products on the way, the weights below bound every partial sum.
#[inline(always)]
fn chebyshev_is_plain(f: &[i16; 6]) -> bool {
    let weights = [0, 8, 5, 3, 1, 1];
    let sum: i32 = f
        .iter()
        .zip(weights)
        .map(|(f, w)| w * i32::from(*f).abs())
        .sum();
    sum < 230_000
}

/// [`chebyshev`] where no limit can act.
#[inline(always)]
pub fn chebyshev_plain(x: i16, f: &[i16; 6], coarse: bool) -> i16 {
    let (unit, factor, shift) = if coarse {
        (1 << 23, 512, 7)
    } else {
        (1 << 24, 1024, 6)
    };
    let mut b2 = unit;
    let mut b1 = i32::from(x) * factor + (i32::from(f[1]) << 13);
    for &f in &f[2..5] {
        let t = 2 * mpy_wide(b1, x) - (b2 & !1) + (i32::from(f) << 13);
        b2 = b1;
        b1 = t;
    }
    let t = mpy_wide(b1, x) - (b2 & !1) + (i32::from(f[5]) << 12);
    clamp_16(t >> (16 - shift))
}

/// How finely the roots are searched: the grid, and how often an interval is halved.
#[derive(Clone, Copy)]
pub struct RootSearch {
    /// Cosines at which the polynomials are evaluated.
    pub grid: &'static [i16],
    /// Halvings of an interval with a sign change.
    pub halvings: usize,
}

/// Points of a grid, filled up to whole vectors.
const POINTS: usize = 64;

/// Finds the line spectral pairs of a predictor; `None` when fewer than ten roots were found.
#[inline(always)]
pub fn az_lsp<K: Kernels>(a: &Predictor, search: RootSearch) -> Option<Lsp> {
    let polynomials = polynomials(a);
    if polynomials.f.iter().all(chebyshev_is_plain) {
        az_lsp_plain::<K>(&polynomials, search)
    } else {
        az_lsp_limited(&polynomials, search)
    }
}

/// Whether there is a root between two values, or at one of them.
#[inline(always)]
pub fn signs_differ(a: i16, b: i16) -> bool {
    i32::from(a) * i32::from(b) <= 0
}

/// The search where no limit can act: the values of both polynomials on the whole grid come first,
/// then, of each interval with a root, those of all places that two halvings may lead to.
#[inline(always)]
fn az_lsp_plain<K: Kernels>(polynomials: &Polynomials, search: RootSearch) -> Option<Lsp> {
    let Polynomials { f, coarse } = polynomials;
    let points = search.grid.len().min(POINTS);
    let mut grid = [0; POINTS];
    grid[..points].copy_from_slice(&search.grid[..points]);
    let mut values = [[0; POINTS]; 2];
    for start in (0..points).step_by(8) {
        for (values, f) in values.iter_mut().zip(f) {
            let block: &mut [i16; 8] = window_mut(values, start);
            *block = K::chebyshev(window(&grid, start), f, *coarse);
        }
    }
    let within = (1 << points) - 1;
    let changes = values
        .each_ref()
        .map(|values| K::sign_changes(values) & within);
    // The first interval from a point on at whose ends the signs differ.
    let next = |which: usize, from: usize| {
        let rest = changes[which] >> from << from;
        (rest != 0).then_some(rest.trailing_zeros() as usize)
    };
    let mut point = next(0, 1)?;
    let (mut x_high, mut y_high) = (grid[point - 1], values[0][point - 1]);
    let mut lsp = [0; ORDER];
    for found in 0..ORDER {
        let (mut x_low, mut y_low) = (grid[point], values[found & 1][point]);
        for _ in 0..search.halvings / 2 {
            let middle = mean(x_low, x_high);
            let [lower, upper] = [mean(x_low, middle), mean(middle, x_high)];
            let [y, y_lower, y_upper, ..] = K::chebyshev(
                &[middle, lower, upper, 0, 0, 0, 0, 0],
                &f[found & 1],
                *coarse,
            );
            let (x_next, y_next) = if signs_differ(y_low, y) {
                (x_high, y_high) = (middle, y);
                (lower, y_lower)
            } else {
                (x_low, y_low) = (middle, y);
                (upper, y_upper)
            };
            if signs_differ(y_low, y_next) {
                (x_high, y_high) = (x_next, y_next);
            } else {
                (x_low, y_low) = (x_next, y_next);
            }
        }
        let root = interpolate_root(x_low, x_high, y_low, y_high);
        lsp[found] = root;
        if found + 1 == ORDER {
            return Some(lsp);
        }
        // The next interval begins at the root, and those after it at points of the grid.
        let which = (found + 1) & 1;
        point += 1;
        if point == points {
            return None;
        }
        (x_high, y_high) = (root, chebyshev_plain(root, &f[which], *coarse));
        if !signs_differ(values[which][point], y_high) {
            point = next(which, point + 1)?;
            (x_high, y_high) = (grid[point - 1], values[which][point - 1]);
        }
    }
    None
}

/// Middle of an interval.
#[inline(always)]
fn mean(a: i16, b: i16) -> i16 {
    add(a >> 1, b >> 1)
}

/// The search with every limit, one value after the other.
#[inline(never)]
fn az_lsp_limited(polynomials: &Polynomials, search: RootSearch) -> Option<Lsp> {
    let value = |x, which: usize| chebyshev(x, &polynomials.f[which], polynomials.coarse);
    let mut lsp = [0; ORDER];
    let mut found = 0;
    let mut x_low = search.grid[0];
    let mut y_low = value(x_low, 0);
    for &x in &search.grid[1..] {
        let (mut x_high, mut y_high) = (x_low, y_low);
        x_low = x;
        y_low = value(x_low, found & 1);
        if !signs_differ(y_low, y_high) {
            continue;
        }
        for _ in 0..search.halvings {
            let x_mid = mean(x_low, x_high);
            let y_mid = value(x_mid, found & 1);
            if signs_differ(y_low, y_mid) {
                (x_high, y_high) = (x_mid, y_mid);
            } else {
                (x_low, y_low) = (x_mid, y_mid);
            }
        }
        let root = interpolate_root(x_low, x_high, y_low, y_high);
        lsp[found] = root;
        found += 1;
        if found == ORDER {
            return Some(lsp);
        }
        x_low = root;
        y_low = value(x_low, found & 1);
    }
    None
}

#[inline(always)]
fn interpolate_root(x_low: i16, x_high: i16, y_low: i16, y_high: i16) -> i16 {
    let dx = sub(x_high, x_low);
    let dy = sub(y_high, y_low);
    if dy == 0 {
        return x_low;
    }
    let magnitude = abs_s(dy);
    let exponent = norm_s(magnitude);
    let inverse = div_s(16383, shl(magnitude, exponent));
    let slope = extract_l(l_shr(l_mult(dx, inverse), 20 - exponent));
    let slope = if dy < 0 { negate(slope) } else { slope };
    sub(x_low, extract_l(l_shr(l_mult(y_low, slope), 11)))
}

/// One of the two polynomials of which the predictor is made, Q24.
#[inline(always)]
fn lsp_polynomial(lsp: &Lsp, offset: usize) -> [i32; 6] {
    let mut f = [0i32; 6];
    f[0] = 1 << 24;
    f[1] = l_msu(0, lsp[offset], 512);
    for i in 2..=5 {
        let c = lsp[2 * (i - 1) + offset];
        f[i] = f[i - 2];
        for e in (2..=i).rev() {
            let t = l_shl(mpy_32_16(l_extract(f[e - 1]), c), 1);
            f[e] = l_sub(l_add(f[e], f[e - 2]), t);
        }
        f[1] = l_msu(f[1], c, 512);
    }
    f
}

/// Turns line spectral pairs into the predictor.
#[inline(always)]
pub fn lsp_az(lsp: &Lsp) -> Predictor {
    let mut f1 = lsp_polynomial(lsp, 0);
    let mut f2 = lsp_polynomial(lsp, 1);
    for i in (1..=5).rev() {
        f1[i] = l_add(f1[i], f1[i - 1]);
        f2[i] = l_sub(f2[i], f2[i - 1]);
    }
    let mut a = [4096; ORDER + 1];
    for i in 1..=5 {
        a[i] = extract_l(l_shr_r(l_add(f1[i], f2[i]), 13));
        a[ORDER + 1 - i] = extract_l(l_shr_r(l_sub(f1[i], f2[i]), 13));
    }
    a
}

/// Mean of two LSP vectors, each halved first.
#[inline(always)]
pub fn lsp_mean(old: &Lsp, new: &Lsp) -> Lsp {
    let mut mean = [0; ORDER];
    for i in 0..ORDER {
        mean[i] = add(new[i] >> 1, old[i] >> 1);
    }
    mean
}

/// Predictors of the two subframes: the first from the mean, the second from the new pairs.
#[inline(always)]
pub fn interpolate<K: Kernels>(old: &Lsp, new: &Lsp) -> [Predictor; 2] {
    let middle = lsp_mean(old, new);
    match K::lsp_az([&middle, new]) {
        Some(a) => a,
        None => [lsp_az(&middle), lsp_az(new)],
    }
}

/// Powers of a bandwidth factor, Q15, rounded one after the other.
pub const fn powers(gamma: i16) -> [i16; ORDER + 1] {
    let mut powers = [gamma; ORDER + 1];
    let mut i = 2;
    while i <= ORDER {
        powers[i] = ((powers[i - 1] as i32 * gamma as i32 + 0x4000) >> 15) as i16;
        i += 1;
    }
    powers
}

/// Bandwidth expansion `A(z / gamma)` with the powers of gamma.
#[inline(always)]
pub fn weight(a: &Predictor, powers: &[i16; ORDER + 1]) -> Predictor {
    let mut weighted = *a;
    for i in 1..=ORDER {
        // A positive power below one leaves every product within its word.
        let product = i32::from(a[i]) * i32::from(powers[i]);
        weighted[i] = ((product + 0x4000) >> 15) as i16;
    }
    weighted
}

#[cfg(test)]
mod tests {
    use super::super::tests::Noise;
    use super::*;

    #[test]
    fn plain_chebyshev_is_the_limited_one() {
        let mut noise = Noise::new();
        let mut plain = 0;
        for round_of in 0..200_000 {
            let mut f = noise.values::<6>(round_of % 6);
            let coarse = noise.next() & 1 == 0;
            f[0] = if coarse { 1024 } else { 2048 };
            let x = ((noise.next() % 65521) as i32 - 32760) as i16;
            if chebyshev_is_plain(&f) {
                plain += 1;
                assert_eq!(
                    chebyshev_plain(x, &f, coarse),
                    chebyshev(x, &f, coarse),
                    "{x} {f:?} {coarse}"
                );
            }
        }
        assert!(plain > 50_000);
    }

    #[test]
    fn expansion_without_limits_is_the_one_with_limits() {
        let mut noise = Noise::new();
        for round_of in 0..2000 {
            let a = noise.values::<{ ORDER + 1 }>(round_of % 4);
            let powers = powers(16384 + (noise.next() % 16384) as i16);
            let expected = |i: usize| round(l_mult(a[i], powers[i]));
            let weighted = weight(&a, &powers);
            assert_eq!(weighted[0], a[0]);
            (1..=ORDER).for_each(|i| assert_eq!(weighted[i], expected(i)));
        }
    }

    #[test]
    fn levinson_keeps_the_last_stable_filter() {
        let mut stable = Stable::new();
        let mut solve = |high: [i16; 11], low: [i16; 11]| {
            let mut r = Autocorrelation {
                high: [0; LAGS],
                low: [0; LAGS],
                exponent: 0,
            };
            r.high[..11].copy_from_slice(&high);
            r.low[..11].copy_from_slice(&low);
            let solved = levinson(&r, &mut stable).is_some();
            (solved, stable.a)
        };
        let first = [4096, -2276, 88, 871, -420, -208, 296, -92, -80, 76, -19];
        let high = [30000, 15000, 5000, -2000, -1000, 500, 300, 200, 100, 50, 25];
        assert_eq!(
            solve(high, core::array::from_fn(|i| 1000 * i as i16)),
            (true, first)
        );
        let alternating = core::array::from_fn(|i| [30000, 0, -30000, 0][i % 4]);
        assert_eq!(solve(alternating, [0; 11]), (false, first));
        let flat = [4096, -4096, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(solve([20000; 11], [0; 11]), (true, flat));
        let falling = [
            32000, 31500, 30200, 28000, 25000, 21500, 17500, 13000, 8500, 4000, -400,
        ];
        assert_eq!(solve(falling, [0; 11]), (false, flat));
    }
}
