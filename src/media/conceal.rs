//! What is played when nothing came, and seams that do not click.
//!
//! A gap is filled with the last pitch period again and again, fading out after 10 ms: as ITU-T
//! G.711 Appendix I does, without its delay. All integer.

/// Samples of the past that are kept: the longest period and the stretch it is compared over.
pub(super) const PAST: usize = 320;
/// Pitch periods that are tried: 66 to 200 Hz.
const PERIOD_MIN: usize = 40;
const PERIOD_MAX: usize = 120;
/// Stretch over which periods are compared.
const COMPARED: usize = 160;
/// Length of a seam between two signals: 5 ms.
pub(super) const SEAM: usize = 40;
/// The copy is at full level this long, then fades to nothing over the next stretch.
const FULL_SAMPLES: u32 = 80;
const FADE_SAMPLES: u32 = 400;

const _: () = assert!(PERIOD_MAX + COMPARED <= PAST && SEAM <= PERIOD_MIN);

/// Sum of the distances of two signals.
pub(super) fn distance(a: &[i16], b: &[i16]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (i32::from(*a) - i32::from(*b)).unsigned_abs()).sum()
}

/// Sum of the magnitudes of a signal.
pub(super) fn magnitude(samples: &[i16]) -> u32 {
    samples.iter().map(|s| i32::from(*s).unsigned_abs()).sum()
}

/// Goes over from `from` to what stands in `block`, in a straight line.
pub(super) fn cross_fade(from: &[i16], block: &mut [i16]) {
    let length = from.len().min(block.len()) as i32;
    for (n, (to, from)) in block.iter_mut().zip(from).enumerate() {
        let weight = n as i32 + 1;
        *to = ((i32::from(*from) * (length + 1 - weight) + i32::from(*to) * weight) / (length + 1)) as i16;
    }
}

/// The last samples that were played, and what is made of them in a gap.
#[derive(Clone, Debug)]
pub(super) struct Past {
    samples: [i16; PAST],
    /// One period, with an end that leads into its beginning; valid in a gap.
    period: [i16; PERIOD_MAX],
    length: usize,
    /// Samples made up in this gap; 0 when there is none.
    made: u32,
}

impl Past {
    pub(super) fn new() -> Self {
        Past { samples: [0; PAST], period: [0; PERIOD_MAX], length: PERIOD_MIN, made: 0 }
    }

    /// The samples, oldest first.
    pub(super) fn samples(&self) -> &[i16; PAST] {
        &self.samples
    }

    /// Remembers a block that was played.
    pub(super) fn push(&mut self, block: &[i16]) {
        let block = &block[block.len().saturating_sub(PAST)..];
        self.samples.copy_within(block.len().., 0);
        self.samples[PAST - block.len()..].copy_from_slice(block);
    }

    /// Samples made up in the gap that lasts.
    pub(super) fn made(&self) -> u32 {
        self.made
    }

    /// Fills `gap`, which begins or goes on; `before` are samples of the same block that were
    /// played already and are not yet remembered.
    pub(super) fn fill(&mut self, before: &[i16], gap: &mut [i16]) {
        if self.made == 0 {
            let mut past = self.clone();
            past.push(before);
            past.choose_period();
            (self.period, self.length) = (past.period, past.length);
        }
        for sample in gap.iter_mut() {
            let faded = self.made.saturating_sub(FULL_SAMPLES).min(FADE_SAMPLES);
            let value = i32::from(self.period[self.made as usize % self.length]);
            *sample = (value * (FADE_SAMPLES - faded) as i32 / FADE_SAMPLES as i32) as i16;
            self.made = self.made.saturating_add(1);
        }
    }

    /// Ends the gap: the beginning of `block` comes out of what was made up.
    pub(super) fn leave(&mut self, block: &mut [i16]) {
        if self.made == 0 {
            return;
        }
        let mut tail = [0; SEAM];
        let length = SEAM.min(block.len());
        self.fill(&[], &mut tail[..length]);
        cross_fade(&tail[..length], block);
        self.made = 0;
    }

    /// Finds the period of what was played last and copies it.
    fn choose_period(&mut self) {
        let recent = &self.samples[PAST - COMPARED..];
        let period = (PERIOD_MIN..=PERIOD_MAX)
            .min_by_key(|period| distance(recent, &self.samples[PAST - COMPARED - period..PAST - period]))
            .unwrap_or(PERIOD_MAX);
        self.period[..period].copy_from_slice(&self.samples[PAST - period..]);
        // The last quarter goes over into what came before the period, which leads into its beginning.
        let quarter = period / 4;
        let mut end = [0; PERIOD_MAX / 4];
        end[..quarter].copy_from_slice(&self.samples[PAST - period - quarter..PAST - period]);
        cross_fade(&self.samples[PAST - quarter..], &mut end[..quarter]);
        self.period[period - quarter..period].copy_from_slice(&end[..quarter]);
        self.length = period;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Sine, level_dbm0};
    use super::*;

    #[test]
    fn a_gap_in_a_tone_goes_on_without_a_step_and_fades() {
        let mut sine = Sine::at_level(200, -1_000);
        let mut past = Past::new();
        let played: Vec<i16> = (0..400).map(|_| sine.sample()).collect();
        past.push(&played);
        let mut gap = [0; 560];
        gap.chunks_mut(80).for_each(|chunk| past.fill(&[], chunk));
        let step_max = played.windows(2).map(|w| (w[1] - w[0]).abs()).max().unwrap();
        assert!((gap[0] - played[399]).abs() <= step_max);
        assert!(gap.windows(2).all(|w| (w[1] - w[0]).abs() <= step_max + 1));
        let true_signal: Vec<i16> = (0..80).map(|_| sine.sample()).collect();
        assert!(distance(&true_signal, &gap) < magnitude(&true_signal) / 20);
        assert!(level_dbm0(&gap[240..320]) < level_dbm0(&gap[..80]) - 3.0);
        assert_eq!(magnitude(&gap[480..]), 0);
    }

    #[test]
    fn what_comes_after_a_gap_begins_without_a_step() {
        let mut past = Past::new();
        past.push(&[5_000; PAST]);
        past.fill(&[], &mut [0; 80]);
        let mut block = [-5_000; 80];
        past.leave(&mut block);
        assert!(block[0] > 4_000 && block[SEAM] == -5_000 && past.made() == 0);
        assert!(block.windows(2).all(|w| (w[1] - w[0]).abs() < 500));
    }

    #[test]
    fn a_gap_in_silence_is_silent() {
        let mut past = Past::new();
        let mut gap = [1; 160];
        past.fill(&[], &mut gap);
        assert_eq!(gap, [0; 160]);
    }
}
