//! The high-pass filters at the two ends: 140 Hz before the encoder, 100 Hz after the decoder
//! (G.729 3.1, 4.2.5).

use super::FRAME;
use super::ops::*;

/// Second-order high-pass in double precision.
#[derive(Clone, Copy, Debug)]
pub struct HighPass {
    x: [i16; 2],
    y: [i32; 2],
}

/// Coefficients: of past outputs, of inputs, and the shift behind them.
struct Coefficients {
    a: [i16; 2],
    b: [i16; 3],
    shift: i32,
    /// Inputs up to this cannot bring a sum to its limit, whatever the past.
    harmless: i32,
}

/// 140 Hz and half the amplitude.
const PRE: Coefficients = Coefficients {
    a: [7807, -3733],
    b: [1899, -3798, 1899],
    shift: 3,
    harmless: 32768,
};
/// 100 Hz; the amplitude is doubled afterwards.
const POST: Coefficients = Coefficients {
    a: [15836, -7667],
    b: [7699, -15398, 7699],
    shift: 2,
    harmless: 9800,
};

/// The recursive half of a filter without limits. Outputs are sums shifted up, so what counts of them
/// is found in the sums: the truncated product of half an output (see `mpy_wide`) is that of a sum
/// and a shifted factor. Only what a limit left behind has other bits.
struct Recursion {
    a: [i64; 2],
    shift: i32,
    last: i64,
    /// What of the next sum does not wait for the last one.
    ready: i64,
    /// Bits of all sums beyond their sign.
    spread: i64,
    /// Whether the past can be taken for sums.
    begun: bool,
}

impl Recursion {
    #[inline(always)]
    fn new(past: [i32; 2], forward: i32, c: &Coefficients) -> Self {
        let [last, before] = past.map(|y| i64::from(y >> (c.shift + 1)));
        let a = c.a.map(|a| i64::from(a) << c.shift);
        Self {
            a,
            shift: c.shift,
            last,
            ready: i64::from(forward) + ((before * a[1]) >> 15),
            spread: 0,
            begun: past.iter().all(|y| y >> 1 & ((1 << c.shift) - 1) == 0),
        }
    }

    /// The next output; `forward` is the sum over the inputs of the one after it.
    #[inline(always)]
    fn step(&mut self, forward: i32) -> i32 {
        let sum = self.ready + ((self.last * self.a[0]) >> 15);
        self.ready = i64::from(forward) + ((self.last * self.a[1]) >> 15);
        self.spread |= sum ^ (sum >> 63);
        self.last = sum;
        (sum << (self.shift + 1)) as i32
    }

    /// Whether every output, twice a sum and shifted, fitted 32 bits.
    #[inline(always)]
    fn fits(&self) -> bool {
        self.begun && self.spread >> (30 - self.shift) == 0
    }
}

/// Gain of the decoder's level control (Q12) after one sample more; it stays between 0 and 32767: nine
/// tenths of it and at most a tenth of the range.
#[inline(always)]
pub fn approach(gain: i32, target: i16) -> i32 {
    ((gain * 29491) >> 15) + i32::from(target)
}

/// A sample times the gain of the level control.
#[inline(always)]
pub fn levelled(sample: i16, gain: i32) -> i16 {
    clamp_16((i32::from(sample) * gain) >> 12)
}

impl HighPass {
    /// With silence as the past.
    pub const fn new() -> Self {
        Self {
            x: [0; 2],
            y: [0; 2],
        }
    }

    /// Filters a frame, limit by limit where one could act.
    #[inline(always)]
    fn run(&mut self, input: &[i16; FRAME], c: &Coefficients) -> [i32; FRAME] {
        let mut x = [0; FRAME + 2];
        [x[1], x[0]] = self.x;
        x[2..].copy_from_slice(input);
        let y = match Self::run_plain(&x, self.y, c) {
            Some(y) => y,
            None => Self::run_limited(&x, self.y, c),
        };
        self.x = [input[FRAME - 1], input[FRAME - 2]];
        self.y = [y[FRAME - 1], y[FRAME - 2]];
        y
    }

    /// Without limits: `None` when one could have acted. Harmless inputs and sums that fit after
    /// the shift are sure to stay inside.
    #[inline(always)]
    fn run_plain(x: &[i16; FRAME + 2], past: [i32; 2], c: &Coefficients) -> Option<[i32; FRAME]> {
        let mut forward = [0i32; FRAME + 1];
        for n in 0..FRAME {
            let sum = i32::from(x[n + 2]) * i32::from(c.b[0])
                + i32::from(x[n + 1]) * i32::from(c.b[1])
                + i32::from(x[n]) * i32::from(c.b[2]);
            forward[n] = sum;
        }
        let mut recursion = Recursion::new(past, forward[0], c);
        let mut y = [0; FRAME];
        for n in 0..FRAME {
            y[n] = recursion.step(forward[n + 1]);
        }
        (max_magnitude(x) <= c.harmless && recursion.fits()).then_some(y)
    }

    /// With every limit, in order.
    #[inline(never)]
    fn run_limited(x: &[i16; FRAME + 2], past: [i32; 2], c: &Coefficients) -> [i32; FRAME] {
        let [mut y1, mut y2] = past;
        core::array::from_fn(|n| {
            let sum = l_add(mpy_wide(y1, c.a[0]), mpy_wide(y2, c.a[1]));
            let sum = l_mac(sum, x[n + 2], c.b[0]);
            let sum = l_mac(sum, x[n + 1], c.b[1]);
            let sum = l_shl(l_mac(sum, x[n], c.b[2]), c.shift);
            (y2, y1) = (y1, sum);
            sum
        })
    }

    /// Before the encoder.
    #[inline(always)]
    pub fn pre_process(&mut self, input: &[i16; FRAME], output: &mut [i16]) {
        let y = self.run(input, &PRE);
        for (output, y) in output.iter_mut().zip(&y) {
            *output = round(*y);
        }
    }

    /// The level control of both subframes with their targets, and [`HighPass::post_process`]: the two
    /// recursions wait for themselves, not for each other.
    #[inline(always)]
    pub fn post_process_levelled(
        &mut self,
        samples: &mut [i16; FRAME],
        gain: &mut i16,
        targets: [i16; 2],
    ) {
        let mut x = [0; FRAME + 2];
        [x[1], x[0]] = self.x;
        let mut now = i32::from(*gain);
        let mut level = |n: usize, x: &mut [i16; FRAME + 2]| {
            now = approach(now, targets[usize::from(n >= FRAME / 2)]);
            x[n + 2] = levelled(samples[n], now);
            let ends = i32::from(x[n + 2]) + i32::from(x[n]);
            ends * i32::from(POST.b[0]) + i32::from(x[n + 1]) * i32::from(POST.b[1])
        };
        let mut recursion = Recursion::new(self.y, level(0, &mut x), &POST);
        let mut y = [0; FRAME];
        for (n, y) in y[..FRAME - 1].iter_mut().enumerate() {
            *y = recursion.step(level(n + 1, &mut x));
        }
        y[FRAME - 1] = recursion.step(0);
        *gain = now as i16;
        if max_magnitude(&x) > POST.harmless || !recursion.fits() {
            y = Self::run_limited(&x, self.y, &POST);
        }
        self.x = [x[FRAME + 1], x[FRAME]];
        self.y = [y[FRAME - 1], y[FRAME - 2]];
        for (sample, y) in samples.iter_mut().zip(&y) {
            *sample = round(l_double(*y));
        }
    }

    /// After the decoder; doubles the amplitude.
    #[inline(always)]
    pub fn post_process(&mut self, samples: &mut [i16; FRAME]) {
        let y = self.run(samples, &POST);
        for (sample, y) in samples.iter_mut().zip(&y) {
            *sample = round(l_double(*y));
        }
    }
}

/// The same for several channels at once.
#[cfg(any(test, target_arch = "x86_64"))]
pub mod lockstep {
    use super::*;
    use crate::arch::lanes::{Lockstep, Row, column, mend};
    use crate::arch::vector::Mask;

    /// Puts the past inputs into the first two rows and returns the past outputs.
    #[inline(always)]
    fn past<const N: usize>(
        filters: &[&mut HighPass; N],
        x: &mut [Row<N>; FRAME + 2],
    ) -> [Row<N>; 2] {
        let mut y = [[0; N]; 2];
        for (lane, filter) in filters.iter().enumerate() {
            (x[1][lane], x[0][lane]) = (i32::from(filter.x[0]), i32::from(filter.x[1]));
            (y[0][lane], y[1][lane]) = (filter.y[0], filter.y[1]);
        }
        y
    }

    /// Remembers the last samples of the lanes that are exact.
    #[inline(always)]
    fn remember<const N: usize>(
        filters: &mut [&mut HighPass; N],
        exact: Mask,
        x: &[Row<N>; FRAME + 2],
        y: &[Row<N>; 2],
    ) {
        for (lane, filter) in filters.iter_mut().enumerate() {
            if exact >> lane & 1 == 1 {
                filter.x = [x[FRAME + 1][lane] as i16, x[FRAME][lane] as i16];
                filter.y = [y[0][lane], y[1][lane]];
            }
        }
    }

    /// [`HighPass::pre_process`] of a frame, which stands in `x` after room for two rows.
    #[inline(always)]
    pub fn pre_process<L: Lockstep<N>, const N: usize>(
        filters: &mut [&mut HighPass; N],
        x: &mut [Row<N>; FRAME + 2],
        mut outputs: [&mut [i16]; N],
    ) {
        let mut y = [[0; N]; FRAME];
        let mut last = past(filters, x);
        let exact = L::high_pass::<false>(x, &mut last, &mut y);
        L::scatter(&y, outputs.each_mut().map(|output| &mut **output));
        remember(filters, exact, x, &last);
        mend::<N>(exact, |lane| {
            filters[lane].pre_process(&column(&x[2..], lane), outputs[lane])
        });
    }

    /// [`HighPass::post_process`] of a frame, which stands in `x` after room for two rows.
    #[inline(always)]
    pub fn post_process<L: Lockstep<N>, const N: usize>(
        filters: &mut [&mut HighPass; N],
        x: &mut [Row<N>; FRAME + 2],
        mut outputs: [&mut [i16; FRAME]; N],
    ) {
        let mut y = [[0; N]; FRAME];
        let mut last = past(filters, x);
        let exact = L::high_pass::<true>(x, &mut last, &mut y);
        L::scatter(&y, outputs.each_mut().map(|output| &mut output[..]));
        remember(filters, exact, x, &last);
        mend::<N>(exact, |lane| {
            *outputs[lane] = column(&x[2..], lane);
            filters[lane].post_process(outputs[lane]);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Noise;
    use super::*;

    #[test]
    fn level_control_inside_the_filter_is_the_one_before_it() {
        let mut noise = Noise::new();
        let (mut one, mut two) = (HighPass::new(), HighPass::new());
        let (mut gain_one, mut gain_two) = (4096i16, 4096i16);
        for round_of in 0..4000 {
            let mut samples: [i16; FRAME] = noise.values(round_of % 12);
            let mut expected = samples;
            let targets = [0; 2].map(|_: i16| (noise.next() % 3277) as i16);
            for (n, sample) in expected.iter_mut().enumerate() {
                gain_two = approach(i32::from(gain_two), targets[n / 40]) as i16;
                *sample = levelled(*sample, i32::from(gain_two));
            }
            one.post_process_levelled(&mut samples, &mut gain_one, targets);
            two.post_process(&mut expected);
            assert_eq!((samples, gain_one), (expected, gain_two));
            assert_eq!((one.x, one.y), (two.x, two.y));
        }
    }

    #[test]
    fn filter_without_limits_is_the_one_with_limits() {
        let mut noise = Noise::new();
        let mut plain = 0;
        for round_of in 0..4000 {
            let x = noise.values(round_of % 12);
            let past = [0; 2].map(|_: i32| noise.next() as i32 >> (round_of / 12 % 8));
            for c in [&PRE, &POST] {
                // Outputs are shifted up unless a limit acted.
                let shift = if round_of % 5 == 0 { 0 } else { c.shift + 1 };
                let past = past.map(|y| y >> shift << shift);
                if let Some(y) = HighPass::run_plain(&x, past, c) {
                    plain += 1;
                    assert_eq!(y, HighPass::run_limited(&x, past, c));
                }
            }
        }
        assert!(plain > 2000);
    }
}
