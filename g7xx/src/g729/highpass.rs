//! The high-pass filters at the two ends: 140 Hz before the encoder, 100 Hz after the decoder
//! (G.729 3.1, 4.2.5).

use super::FRAME;
use super::filter::{SUBFRAME, window_mut};
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
    last: i64,
    /// What of the next sum does not wait for the last one.
    ready: i64,
}

impl Recursion {
    #[inline(always)]
    fn new(past: [i32; 2], c: &Coefficients) -> Self {
        let [last, before] = past.map(|y| i64::from(y >> (c.shift + 1)));
        let a = c.a.map(|a| i64::from(a) << c.shift);
        Self {
            a,
            last,
            ready: (before * a[1]) >> 15,
        }
    }

    /// The next sum; `forward` is its part of the inputs.
    #[inline(always)]
    fn step(&mut self, forward: i32) -> i32 {
        let sum = i64::from(forward) + self.ready + ((self.last * self.a[0]) >> 15);
        self.ready = (self.last * self.a[1]) >> 15;
        self.last = sum;
        sum as i32
    }
}

/// The parts of sums that are made of inputs; `x` starts with two of the past.
#[inline(always)]
fn feed(x: &[i16], sums: &mut [i32], c: &Coefficients) {
    let [b0, b1, b2] = c.b.map(i32::from);
    for (sum, x) in sums.iter_mut().zip(x.windows(3)) {
        *sum = i32::from(x[2]) * b0 + i32::from(x[1]) * b1 + i32::from(x[0]) * b2;
    }
}

/// Whether sums without limits are those with limits, and show what the outputs before them were.
/// Inputs and sums that fit after the shift give no sum that leaves 32 bits, so the first that does not
/// fit is seen.
#[inline(always)]
fn are_exact(x: &[i16], sums: &[i32], past: [i32; 2], c: &Coefficients) -> bool {
    let spread = sums
        .iter()
        .fold(0, |spread, sum| spread | (sum ^ (sum >> 31)));
    let begun = past.iter().all(|y| y >> 1 & ((1 << c.shift) - 1) == 0);
    begun && spread >> (30 - c.shift) == 0 && max_magnitude(x) <= c.harmless
}

/// The filter after the decoder over a subframe, four samples at a time: what waits for itself is done
/// beside something else that does.
pub struct Steps {
    x: [i16; SUBFRAME + 2],
    sums: [i32; SUBFRAME],
    recursion: Recursion,
}

impl Steps {
    /// The next four samples, of which the first is four times `block`.
    #[inline(always)]
    pub fn take_four(&mut self, block: usize) {
        let sums: &mut [i32; 4] = window_mut(&mut self.sums, 4 * block);
        for sum in sums {
            *sum = self.recursion.step(*sum);
        }
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

    /// Filters a frame, limit by limit where one could act, and finishes each output: shifts it up
    /// by `further`, rounds and limits it.
    #[inline(always)]
    fn run(
        &mut self,
        input: &[i16; FRAME],
        c: &Coefficients,
        further: i32,
        output: &mut [i16; FRAME],
    ) {
        let mut x = [0; FRAME + 2];
        [x[1], x[0]] = self.x;
        x[2..].copy_from_slice(input);
        let mut sums = [0; FRAME];
        let mut recursion = Recursion::new(self.y, c);
        feed(&x, &mut sums, c);
        sums.iter_mut().for_each(|sum| *sum = recursion.step(*sum));
        self.conclude(&x, &mut sums, c, further, output);
    }

    /// Takes sums without limits, or, where one could have acted, makes them again.
    #[inline(always)]
    fn conclude(
        &mut self,
        x: &[i16],
        sums: &mut [i32],
        c: &Coefficients,
        further: i32,
        output: &mut [i16],
    ) {
        let last = sums.len() - 1;
        self.x = [x[last + 2], x[last + 1]];
        if are_exact(x, sums, self.y, c) {
            let down = 15 - c.shift - further;
            for (output, sum) in output.iter_mut().zip(&*sums) {
                *output = clamp_16((sum + (1 << (down - 1))) >> down);
            }
            self.y = [sums[last], sums[last - 1]].map(|sum| sum << (c.shift + 1));
            return;
        }
        Self::run_limited(x, self.y, c, sums);
        self.y = [sums[last], sums[last - 1]];
        for (output, y) in output.iter_mut().zip(&*sums) {
            *output = round(l_shl(*y, further));
        }
    }

    /// With every limit, in order; `x` starts with two of the past.
    #[inline(never)]
    fn run_limited(x: &[i16], past: [i32; 2], c: &Coefficients, outputs: &mut [i32]) {
        let [mut y1, mut y2] = past;
        for (y, x) in outputs.iter_mut().zip(x.windows(3)) {
            let sum = l_add(mpy_wide(y1, c.a[0]), mpy_wide(y2, c.a[1]));
            let sum = l_mac(sum, x[2], c.b[0]);
            let sum = l_mac(sum, x[1], c.b[1]);
            *y = l_shl(l_mac(sum, x[0], c.b[2]), c.shift);
            (y2, y1) = (y1, *y);
        }
    }

    /// Before the encoder.
    #[inline(always)]
    pub fn pre_process(&mut self, input: &[i16; FRAME], output: &mut [i16]) {
        self.run(input, &PRE, 0, window_mut(output, 0));
    }

    /// The level control of a subframe with its target, and the filter after the decoder. The two
    /// recursions run beside each other.
    #[inline(always)]
    pub fn post_process_levelled(
        &mut self,
        samples: &mut [i16; SUBFRAME],
        gain: &mut i16,
        target: i16,
    ) {
        let (mut x, mut sums) = ([0; SUBFRAME + 2], [0; SUBFRAME]);
        [x[1], x[0]] = self.x;
        let [mut x1, mut x2] = self.x.map(i32::from);
        let mut now = i32::from(*gain);
        let mut recursion = Recursion::new(self.y, &POST);
        let [b0, b1, _] = POST.b.map(i32::from);
        for n in 0..SUBFRAME {
            now = approach(now, target);
            x[n + 2] = levelled(samples[n], now);
            let newest = i32::from(x[n + 2]);
            // The filter is the same forwards and backwards.
            sums[n] = recursion.step((newest + x2) * b0 + x1 * b1);
            (x2, x1) = (x1, newest);
        }
        *gain = now as i16;
        self.conclude(&x, &mut sums, &POST, 1, samples);
    }

    /// Begins [`HighPass::post_process`] of a subframe.
    #[inline(always)]
    pub fn begin(&self, samples: &[i16; SUBFRAME]) -> Steps {
        let mut x = [0; SUBFRAME + 2];
        [x[1], x[0]] = self.x;
        x[2..].copy_from_slice(samples);
        let mut sums = [0; SUBFRAME];
        feed(&x, &mut sums, &POST);
        let recursion = Recursion::new(self.y, &POST);
        Steps { x, sums, recursion }
    }

    /// Ends it when all steps are taken.
    #[inline(always)]
    pub fn end(&mut self, mut steps: Steps, samples: &mut [i16; SUBFRAME]) {
        self.conclude(&steps.x, &mut steps.sums, &POST, 1, samples);
    }

    /// After the decoder; doubles the amplitude.
    #[inline(always)]
    pub fn post_process(&mut self, samples: &mut [i16; FRAME]) {
        let input = *samples;
        self.run(&input, &POST, 1, samples);
    }
}

/// The same for several channels at once.
#[cfg(any(test, target_arch = "x86_64"))]
pub mod lockstep {
    use super::*;
    use crate::arch::lanes::{Lockstep, Row, column, column_of_pairs, mend, put_pairs};
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
        let exact = L::high_pass(x, &mut last, &mut y);
        L::scatter(&y, outputs.each_mut().map(|output| &mut **output));
        remember(filters, exact, x, &last);
        mend::<N>(exact, |lane| {
            filters[lane].pre_process(&column(&x[2..], lane), outputs[lane])
        });
    }

    /// [`HighPass::post_process_levelled`] of both subframes in pairs. The gains move on everywhere, the filters
    /// where the result is exact.
    #[inline(always)]
    pub fn post_process<L: Lockstep<N>, const N: usize>(
        filters: &mut [&mut HighPass; N],
        targets: &[Row<N>; 2],
        gains: &mut Row<N>,
        y: &[Row<N>; FRAME / 2],
        output: &mut [Row<N>; FRAME / 2],
    ) -> Mask {
        let (mut sums, mut input) = ([[0; N]; 2], [[0; N]]);
        let mut begun: Mask = 0;
        for (lane, filter) in filters.iter().enumerate() {
            let [newest, oldest] = filter.x;
            put_pairs(&mut input, lane, &[oldest, newest]);
            let shift = POST.shift;
            for (sums, y) in sums.iter_mut().zip(filter.y) {
                sums[lane] = y >> (shift + 1);
            }
            let shifted = filter.y.iter().all(|y| y >> 1 & ((1 << shift) - 1) == 0);
            begun |= Mask::from(shifted) << lane;
        }
        let exact = begun & L::level(targets, gains, y, &mut input[0], &mut sums, output);
        for (lane, filter) in filters.iter_mut().enumerate() {
            if exact >> lane & 1 == 1 {
                let [oldest, newest] = column_of_pairs(&input, lane);
                filter.x = [newest, oldest];
                filter.y = [sums[0][lane], sums[1][lane]].map(|sum| sum << (POST.shift + 1));
            }
        }
        exact
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
            let [first, second] = samples.as_chunks_mut::<SUBFRAME>().0 else {
                panic!("a frame has two subframes");
            };
            one.post_process_levelled(first, &mut gain_one, targets[0]);
            one.post_process_levelled(second, &mut gain_one, targets[1]);
            two.post_process(&mut expected);
            assert_eq!((samples, gain_one), (expected, gain_two));
            assert_eq!((one.x, one.y), (two.x, two.y));
        }
    }

    #[test]
    fn filter_in_steps_is_the_one_at_once() {
        let mut noise = Noise::new();
        let (mut one, mut two) = (HighPass::new(), HighPass::new());
        for round_of in 0..4000 {
            let mut samples: [i16; FRAME] = noise.values(round_of % 12);
            let mut expected = samples;
            for samples in samples.as_chunks_mut::<SUBFRAME>().0 {
                let mut steps = one.begin(samples);
                (0..SUBFRAME / 4).for_each(|block| steps.take_four(block));
                one.end(steps, samples);
            }
            two.post_process(&mut expected);
            assert_eq!(samples, expected);
            assert_eq!((one.x, one.y), (two.x, two.y));
        }
    }

    #[test]
    fn filter_without_limits_is_the_one_with_limits() {
        let mut noise = Noise::new();
        let mut plain = 0;
        for round_of in 0..4000 {
            let x: [i16; FRAME + 2] = noise.values(round_of % 12);
            let past = [0; 2].map(|_: i32| noise.next() as i32 >> (round_of / 12 % 8));
            for c in [&PRE, &POST] {
                // Outputs are shifted up unless a limit acted.
                let shift = if round_of % 5 == 0 { 0 } else { c.shift + 1 };
                let past = past.map(|y| y >> shift << shift);
                let mut sums = [0; FRAME];
                let mut recursion = Recursion::new(past, c);
                feed(&x, &mut sums, c);
                sums.iter_mut().for_each(|sum| *sum = recursion.step(*sum));
                if are_exact(&x, &sums, past, c) {
                    plain += 1;
                    let y = sums.map(|sum| sum << (c.shift + 1));
                    let mut limited = [0; FRAME];
                    HighPass::run_limited(&x, past, c, &mut limited);
                    assert_eq!(y, limited);
                }
            }
        }
        assert!(plain > 2000);
    }
}
