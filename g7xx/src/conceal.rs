//! Packet loss concealment by linear prediction of high order, for any codec, at 8 and 16 kHz.
//!
//! ```text
//!  ... played |  forward: what the past leads to   \                  |
//!             |                    \  cross-fade  / |                 |
//!             |                     backward: what leads to the future| received ...
//! ```
//!
//! Burg's method finds a lattice of 80 stages (128 at 16 kHz) from the last 20 ms that were played; so many
//! stages span a pitch period and carry every harmonic on with its own phase. The lattice runs on
//! without excitation from the state in which the past left it, so that there is no seam at the
//! beginning. If something is known of what comes after the gap, because a jitter buffer holds the
//! next packet or the audio is delayed a little, the same is done backwards in time, and one goes
//! over into the other. Else the first received samples come out of the prediction in a short
//! cross-fade. Both predictions fade with their distance from what is known.
//!
//! A lattice whose reflection coefficients are below one is stable, however they are rounded. All
//! arithmetic is integer, so results are equal on every machine.
//!
//! - [`Concealer`] without delay, which can be told what comes after the gap.
//! - [`Delayed`], which delays the audio by 3.75 ms, as Appendix I does, to know that always.
//! - [`Gap`], for callers that keep the past themselves.
//!
//! Not the recommendation's way: that is [`plc`](crate::plc), which this is compared with in the README.

/// Fractional bits of a reflection coefficient.
const REFLECTION_BITS: u32 = 28;
/// The largest reflection coefficient.
const REFLECTION_MAX: i64 = (1 << REFLECTION_BITS) - (1 << 12);
/// Bits that the largest sample is scaled to before the analysis. Errors of prediction have no
/// more energy than the samples, so none of up to 512 is above 2^27.
const PEAK_BITS: u32 = 22;
/// Limit of what is kept in the lattice: the sum of 128 such values times a coefficient fits 64 bits.
const STATE_MAX: i64 = 1 << 27;

/// Concealer at 8 kHz.
pub type Narrow = Concealer<80, 160>;
/// Concealer at 16 kHz.
pub type Wide = Concealer<128, 320>;
/// Concealer at 8 kHz with a delay of 30 samples.
pub type DelayedNarrow = Delayed<80, 160, 30>;
/// Concealer at 16 kHz with a delay of 60 samples.
pub type DelayedWide = Delayed<128, 320, 60>;

/// A lattice that goes on with a signal.
#[derive(Clone, Debug)]
struct Predictor<const ORDER: usize> {
    reflections: [i32; ORDER],
    /// Backward errors of each stage at the newest sample.
    state: [i32; ORDER],
    /// Stages in use.
    stages: usize,
    /// Bits by which samples are scaled up.
    scale: u32,
    /// Largest magnitude of the signal, scaled; the prediction stays below it.
    peak: i64,
}

/// Product with a reflection coefficient.
fn reflect(coefficient: i32, value: i32) -> i32 {
    ((i64::from(coefficient) * i64::from(value)) >> REFLECTION_BITS) as i32
}

impl<const ORDER: usize> Predictor<ORDER> {
    const fn silent() -> Self {
        Self {
            reflections: [0; ORDER],
            state: [0; ORDER],
            stages: 0,
            scale: 0,
            peak: 0,
        }
    }

    /// Analyses up to `WINDOW` samples that come in order of time, or backwards to predict what was before.
    fn analyse<const WINDOW: usize>(samples: impl Iterator<Item = i16> + Clone) -> Self {
        const { assert!(WINDOW <= 512 && ORDER < WINDOW) };
        let mut predictor = Self::silent();
        let peak = samples.clone().map(i16::unsigned_abs).max().unwrap_or(0);
        if peak == 0 {
            return predictor;
        }
        let scale = PEAK_BITS - (u16::BITS - peak.leading_zeros());
        predictor.scale = scale;
        predictor.peak = i64::from(peak) << scale;
        let (mut forward, mut backward) = ([0i32; WINDOW], [0i32; WINDOW]);
        let mut length = 0;
        for (slot, sample) in backward.iter_mut().zip(samples) {
            *slot = i32::from(sample) << scale;
            length += 1;
        }
        forward[..length].copy_from_slice(&backward[..length]);
        let stages = ORDER.min(length / 2);
        let mut sums = Sums::default();
        for (f, b) in forward[1..length.max(1)].iter().zip(&backward) {
            sums.add(*f, *b);
        }
        for stage in 0..stages {
            // The newest backward error is not met by a forward error any more: the state.
            predictor.state[stage] = backward[length - stage - 1];
            predictor.stages = stage + 1;
            let Some(coefficient) = sums.reflection() else {
                break;
            };
            predictor.reflections[stage] = coefficient;
            sums = update(
                coefficient,
                &mut forward[stage + 1..length],
                &mut backward[..length - stage - 1],
            );
        }
        predictor
    }

    /// The next sample.
    fn next(&mut self) -> i16 {
        let stages = self.stages;
        let Some(first) = stages.checked_sub(1) else {
            return 0;
        };
        let (reflections, state) = (&self.reflections[..stages], &mut self.state[..stages]);
        let product =
            |stage: usize, value: i64| (i64::from(reflections[stage]) * value) >> REFLECTION_BITS;
        let mut error = -product(first, i64::from(state[first]));
        for stage in (0..first).rev() {
            let kept = i64::from(state[stage]);
            error -= product(stage, kept);
            state[stage + 1] = (kept + product(stage, error)).clamp(-STATE_MAX, STATE_MAX) as i32;
        }
        let sample = error.clamp(-self.peak, self.peak) as i32;
        self.state[0] = sample;
        (sample >> self.scale).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
    }
}

/// What a coefficient is made of.
#[derive(Clone, Copy, Default)]
struct Sums {
    correlation: i64,
    energy: i64,
}

impl Sums {
    #[inline(always)]
    fn add(&mut self, forward: i32, backward: i32) {
        let (f, b) = (i64::from(forward), i64::from(backward));
        self.correlation += f * b;
        self.energy += f * f + b * b;
    }

    /// The coefficient of a stage: minus twice the correlation of the errors to their energies.
    /// `None` when nothing is left to predict.
    fn reflection(self) -> Option<i32> {
        if self.energy == 0 {
            return None;
        }
        // Down to 32 bits, so that the quotient can be made in 64.
        let excess = (64 - self.energy.leading_zeros()).saturating_sub(32);
        let correlation = self.correlation >> excess;
        let energy = (self.energy >> excess).max(1);
        let quotient = ((-2 * correlation) << REFLECTION_BITS) / energy;
        Some(quotient.clamp(-REFLECTION_MAX, REFLECTION_MAX) as i32)
    }
}

/// Makes the errors of the next stage in place, and the sums of it, in one pass.
#[inline(always)]
fn update(coefficient: i32, forward: &mut [i32], backward: &mut [i32]) -> Sums {
    let mut sums = Sums::default();
    let mut before = None;
    for (f, b) in forward.iter_mut().zip(backward) {
        let (old_f, old_b) = (*f, *b);
        *f = old_f + reflect(coefficient, old_b);
        *b = old_b + reflect(coefficient, old_f);
        // In the next stage a forward error meets the backward error before it.
        if let Some(before) = before {
            sums.add(*f, before);
        }
        before = Some(*b);
    }
    sums
}

/// Goes over from `from` to `to`: at `position` of `length` steps.
fn mix(from: i16, to: i16, position: usize, length: usize) -> i16 {
    let (length, weight) = (length as i64 + 1, position as i64 + 1);
    ((i64::from(from) * (length - weight) + i64::from(to) * weight) / length) as i16
}

/// Fades by the distance from what is known.
fn fade(sample: i16, distance: usize, length: usize) -> i16 {
    (i64::from(sample) * (length.saturating_sub(distance)) as i64 / length as i64) as i16
}

/// A gap and what it is filled with; the caller keeps the past.
#[derive(Clone, Debug)]
pub struct Gap<const ORDER: usize, const WINDOW: usize> {
    forward: Predictor<ORDER>,
    /// What leads to the known future, in order of time.
    backward: [i16; WINDOW],
    /// How much of it there is, and how much was used.
    backward_length: usize,
    backward_used: usize,
    /// Samples that were made up; 0 when there is no gap.
    made: u32,
}

impl<const ORDER: usize, const WINDOW: usize> Default for Gap<ORDER, WINDOW> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const ORDER: usize, const WINDOW: usize> Gap<ORDER, WINDOW> {
    /// Samples after which a prediction has faded away: 120 ms.
    const FADE: usize = WINDOW * 6;
    /// Longest cross-fade out of a prediction: 5 ms.
    const SEAM: usize = WINDOW / 4;

    /// No gap.
    pub const fn new() -> Self {
        Self {
            forward: Predictor::silent(),
            backward: [0; WINDOW],
            backward_length: 0,
            backward_used: 0,
            made: 0,
        }
    }

    /// Samples made up in the gap that lasts, 0 when there is none.
    pub fn made(&self) -> u32 {
        self.made
    }

    /// Fills `out`, with which the gap begins or goes on. `past` is what was played before, newest
    /// last; it is looked at when the gap begins. `after` are samples that are known to follow,
    /// the first of them `ahead` samples after the end of `out`; empty when nothing is known.
    pub fn fill(&mut self, past: &[i16], out: &mut [i16], ahead: usize, after: &[i16]) {
        if self.made == 0 {
            self.forward = Predictor::analyse::<WINDOW>(newest::<WINDOW>(past).iter().copied());
            (self.backward_length, self.backward_used) = (0, 0);
        }
        let left = out.len().saturating_add(ahead);
        let known = self.backward_length > self.backward_used;
        let silent = left.saturating_sub(WINDOW).min(out.len());
        if !known && silent < out.len() && !after.is_empty() {
            // What is too far from the future to be predicted comes from the past alone.
            self.extend(&mut out[..silent]);
            self.look_back(after, left - silent);
            self.extend(&mut out[silent..]);
        } else {
            self.extend(out);
        }
    }

    /// Predicts the `length` samples before `after`.
    fn look_back(&mut self, after: &[i16], length: usize) {
        let after = &after[..after.len().min(WINDOW)];
        let mut predictor = Predictor::<ORDER>::analyse::<WINDOW>(after.iter().rev().copied());
        (self.backward_length, self.backward_used) = (length.min(WINDOW), 0);
        for (distance, slot) in self.backward[..self.backward_length]
            .iter_mut()
            .rev()
            .enumerate()
        {
            *slot = fade(predictor.next(), distance, Self::FADE);
        }
    }

    fn extend(&mut self, out: &mut [i16]) {
        for sample in out {
            let distance = self.made as usize;
            *sample = if distance < Self::FADE {
                fade(self.forward.next(), distance, Self::FADE)
            } else {
                0
            };
            if self.backward_used < self.backward_length {
                let backward = self.backward[self.backward_used];
                *sample = mix(*sample, backward, self.backward_used, self.backward_length);
                self.backward_used += 1;
            }
            self.made = self.made.saturating_add(1);
        }
    }

    /// Ends the gap: `block` follows. Unless what was made up led to it, its beginning comes out of
    /// what was made up.
    pub fn leave(&mut self, block: &mut [i16]) {
        let led = self.backward_length > 0 && self.backward_used == self.backward_length;
        if self.made > 0 && !led {
            let length = block.len().min(Self::SEAM);
            for (position, sample) in block[..length].iter_mut().enumerate() {
                let mut from = [0];
                self.extend(&mut from);
                *sample = mix(from[0], *sample, position, length);
            }
        }
        self.made = 0;
    }
}

/// The newest samples.
fn newest<const N: usize>(samples: &[i16]) -> &[i16] {
    &samples[samples.len().saturating_sub(N)..]
}

/// Appends `block` to `past` and drops the oldest.
fn push(past: &mut [i16], block: &[i16]) {
    let block = &block[block.len().saturating_sub(past.len())..];
    past.copy_within(block.len().., 0);
    let kept = past.len() - block.len();
    past[kept..].copy_from_slice(block);
}

/// Concealer of one channel, without delay. Blocks may have any length.
///
/// ```
/// let mut concealer = g7xx::conceal::Narrow::new();
/// let mut block = [100; 160];
/// concealer.received(&mut block);
/// let next = [90; 160]; // the jitter buffer may know what comes after the lost packet
/// concealer.lost(&mut block, 0, &next);
/// assert!(block.iter().all(|sample| (80..=100).contains(sample)));
/// ```
#[derive(Clone, Debug)]
pub struct Concealer<const ORDER: usize, const WINDOW: usize> {
    past: [i16; WINDOW],
    gap: Gap<ORDER, WINDOW>,
}

impl<const ORDER: usize, const WINDOW: usize> Default for Concealer<ORDER, WINDOW> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const ORDER: usize, const WINDOW: usize> Concealer<ORDER, WINDOW> {
    /// With silence as the past.
    pub const fn new() -> Self {
        Self {
            past: [0; WINDOW],
            gap: Gap::new(),
        }
    }

    /// Takes received samples; after a gap their beginning is changed.
    pub fn received(&mut self, block: &mut [i16]) {
        self.gap.leave(block);
        push(&mut self.past, block);
    }

    /// Makes samples up for lost ones. `after` are samples that are known to follow, the first of
    /// them `ahead` samples after the end of `out`; empty when nothing is known.
    pub fn lost(&mut self, out: &mut [i16], ahead: usize, after: &[i16]) {
        self.gap.fill(&self.past, out, ahead, after);
        push(&mut self.past, out);
    }
}

/// Concealer of one channel that plays everything, lost or not, `DELAY` samples later, so that the
/// end of what it makes up leads to what was received.
///
/// ```
/// let mut concealer = g7xx::conceal::DelayedNarrow::new();
/// let mut frame = [100; 80];
/// concealer.received(&mut frame); // now 30 samples of silence, then 50 of the frame
/// assert_eq!((frame[29], frame[30]), (0, 100));
/// concealer.lost(&mut frame);
/// ```
#[derive(Clone, Debug)]
pub struct Delayed<const ORDER: usize, const WINDOW: usize, const DELAY: usize> {
    past: [i16; WINDOW],
    gap: Gap<ORDER, WINDOW>,
}

impl<const ORDER: usize, const WINDOW: usize, const DELAY: usize> Default
    for Delayed<ORDER, WINDOW, DELAY>
{
    fn default() -> Self {
        Self::new()
    }
}

impl<const ORDER: usize, const WINDOW: usize, const DELAY: usize> Delayed<ORDER, WINDOW, DELAY> {
    /// With silence as the past.
    pub const fn new() -> Self {
        const { assert!(DELAY <= WINDOW) };
        Self {
            past: [0; WINDOW],
            gap: Gap::new(),
        }
    }

    /// Takes a received frame, of at least `DELAY` samples, and replaces it by what is to be played now.
    pub fn received(&mut self, frame: &mut [i16]) {
        if self.gap.made() > 0 {
            let waiting = &mut self.past[WINDOW - DELAY..];
            self.gap.look_back(frame, DELAY);
            for (position, sample) in waiting.iter_mut().enumerate() {
                *sample = mix(*sample, self.gap.backward[position], position, DELAY);
            }
            self.gap.made = 0;
        }
        self.play(frame);
    }

    /// Makes up a frame for one that was lost and puts what is to be played now into `frame`.
    pub fn lost(&mut self, frame: &mut [i16]) {
        self.gap.fill(&self.past, frame, 0, &[]);
        self.play(frame);
    }

    /// Remembers the frame; what is played are the samples that waited, then its beginning.
    fn play(&mut self, frame: &mut [i16]) {
        let mut waited = [0; DELAY];
        waited.copy_from_slice(&self.past[WINDOW - DELAY..]);
        push(&mut self.past, frame);
        let kept = frame.len().saturating_sub(DELAY);
        frame.copy_within(..kept, frame.len() - kept);
        let first = frame.len() - kept;
        frame[..first].copy_from_slice(&waited[..first]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: usize = 160;

    /// Harmonics of a fundamental that is given in Hz, at 8 kHz.
    fn tone(fundamental: f64, harmonics: u32, length: usize) -> Vec<i16> {
        (0..length)
            .map(|n| {
                let angle = n as f64 * fundamental / 8_000.0 * std::f64::consts::TAU;
                let sum: f64 = (1..=harmonics)
                    .map(|k| (angle * f64::from(k) + f64::from(k * k)).sin())
                    .sum();
                (sum * 8_000.0 / f64::from(harmonics)) as i16
            })
            .collect()
    }

    fn error(a: &[i16], b: &[i16]) -> f64 {
        let square = |(a, b): (&i16, &i16)| (f64::from(*a) - f64::from(*b)).powi(2);
        a.iter().zip(b).map(square).sum()
    }

    fn energy(a: &[i16]) -> f64 {
        error(a, &vec![0; a.len()])
    }

    #[test]
    fn harmonics_go_on_with_their_phases() {
        for fundamental in [97.3, 104.0, 231.7, 396.0] {
            let signal = tone(fundamental, 5, 1_000);
            let mut concealer = Narrow::new();
            concealer.received(&mut signal[..800].to_vec());
            let mut made_up = [0; PACKET];
            concealer.lost(&mut made_up, 0, &[]);
            let first = error(&signal[800..840], &made_up[..40]) / energy(&signal[800..840]);
            assert!(first < 0.1, "{fundamental}: {first}");
            let all = error(&signal[800..960], &made_up) / energy(&signal[800..960]);
            assert!(all < 0.2, "{fundamental}: {all}");
        }
    }

    #[test]
    fn what_is_known_to_follow_is_led_to() {
        let (before, after) = (tone(150.0, 4, 800), tone(330.0, 2, 800));
        let mut concealer = Narrow::new();
        concealer.received(&mut before.clone()[..400]);
        let mut made_up = [0; PACKET];
        concealer.lost(&mut made_up, 0, &after[PACKET..2 * PACKET]);
        assert!(error(&after[140..160], &made_up[140..]) < energy(&after[140..160]) / 20.0);
        assert!(error(&before[400..420], &made_up[..20]) < energy(&before[400..420]) / 20.0);
        let mut next = after[PACKET..2 * PACKET].to_vec();
        concealer.received(&mut next);
        assert_eq!(next, after[PACKET..2 * PACKET], "it needs no seam");
    }

    #[test]
    fn a_gap_may_be_filled_in_parts_and_learn_late_what_follows() {
        let signal = tone(120.0, 6, 1_000);
        let fill = |parts: &[usize], known_from: usize| {
            let mut concealer = Narrow::new();
            concealer.received(&mut signal[..480].to_vec());
            let (mut made_up, mut at) = (vec![0; 320], 0);
            for (n, part) in parts.iter().enumerate() {
                let after = if n >= known_from {
                    &signal[800..960]
                } else {
                    &[]
                };
                concealer.lost(&mut made_up[at..at + part], 320 - at - part, after);
                at += part;
            }
            made_up
        };
        let whole = fill(&[320], 0);
        assert_eq!(whole, fill(&[80, 80, 80, 80], 0));
        assert_eq!(whole, fill(&[1, 159, 7, 153], 0));
        let late = fill(&[80, 80, 80, 80], 3);
        assert_eq!(whole[..160], late[..160]);
        assert!(error(&late[310..], &signal[790..800]) < energy(&signal[790..800]) / 20.0);
    }

    #[test]
    fn received_audio_comes_out_of_what_was_made_up_without_a_step() {
        let mut concealer = Narrow::new();
        concealer.received(&mut [5_000; PACKET]);
        concealer.lost(&mut [0; 80], 0, &[]);
        let mut block = [-5_000; 80];
        concealer.received(&mut block);
        assert!(block[0] > 3_000 && block[40] == -5_000, "{block:?}");
        assert!(block.windows(2).all(|w| (w[1] - w[0]).abs() < 500));
    }

    #[test]
    fn the_delayed_concealer_plays_what_it_received_and_leads_to_it() {
        let signal = tone(110.0, 7, 1_600);
        let mut concealer = DelayedNarrow::new();
        let mut played = Vec::new();
        for (n, frame) in signal.chunks_exact(80).enumerate() {
            let mut frame = frame.to_vec();
            match n {
                10 | 11 => concealer.lost(&mut frame),
                _ => concealer.received(&mut frame),
            }
            played.extend(frame);
        }
        let played = &played[30..];
        assert_eq!(played[..800], signal[..800]);
        assert_eq!(played[960..1_500], signal[960..1_500]);
        let end = error(&played[940..960], &signal[940..960]);
        let of = energy(&signal[940..960]);
        assert!(end < of / 10.0, "{end} of {of}");
    }

    #[test]
    fn silence_and_long_losses_are_silent() {
        let mut concealer = Wide::new();
        let mut block = [7; 320];
        concealer.lost(&mut block, 0, &[]);
        assert_eq!(block, [0; 320]);
        concealer.received(&mut [9_000; 320]);
        (0..6).for_each(|_| concealer.lost(&mut block, 0, &[]));
        concealer.lost(&mut block, 0, &[]);
        assert_eq!(block, [0; 320]);
    }

    #[test]
    fn signals_at_the_limits_stay_below_their_own_peak() {
        let mut state = 1u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as i16
        };
        let noise: Vec<i16> = (0..PACKET).map(|_| random()).collect();
        let square = |period: usize| -> Vec<i16> {
            (0..PACKET)
                .map(|n| {
                    if (n / period).is_multiple_of(2) {
                        i16::MAX
                    } else {
                        i16::MIN
                    }
                })
                .collect()
        };
        let mut click = vec![0; PACKET];
        click[PACKET - 1] = i16::MIN;
        let mut signals = vec![
            noise,
            vec![i16::MIN; PACKET],
            vec![1; PACKET],
            click,
            vec![],
        ];
        signals.extend([1, 2, 3, 40, 79].map(square));
        for past in &signals {
            for after in &signals {
                let mut concealer = Narrow::new();
                concealer.received(&mut past.clone());
                let mut made_up = [0; 400];
                concealer.lost(&mut made_up, 3, after);
                let peak = past.iter().chain(after).map(|s| s.unsigned_abs()).max();
                assert!(
                    made_up
                        .iter()
                        .all(|s| Some(s.unsigned_abs()) <= peak.max(Some(1)))
                );
                concealer.lost(&mut [0; 1], usize::MAX, after);
                concealer.received(&mut after.clone());
            }
        }
    }
}
