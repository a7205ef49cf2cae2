//! What is played when nothing came, and seams that do not click.
//!
//! A gap is filled with what the past leads to and, if the next packet waits already, what leads to
//! that: [`g7xx::conceal`], without delay. All integer.

use g7xx::conceal::Gap;

/// Samples of the past that are kept: what the jitter buffer compares. Concealment needs less.
pub(super) const PAST: usize = 320;
/// Samples that are looked at on either side of a gap.
pub(super) const KNOWN: usize = 160;
/// Length of a seam between two signals: 5 ms.
pub(super) const SEAM: usize = 40;

const _: () = assert!(KNOWN <= PAST && SEAM <= PAST);

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
    gap: Gap<80, KNOWN>,
}

impl Past {
    pub(super) fn new() -> Self {
        Past { samples: [0; PAST], gap: Gap::new() }
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
        self.gap.made()
    }

    /// Fills `gap`, which begins or goes on. `before` are samples of the same block that were
    /// played already and are not yet remembered; `after` is what is known to be played `ahead`
    /// samples after `gap`.
    pub(super) fn fill(&mut self, before: &[i16], gap: &mut [i16], ahead: usize, after: &[i16]) {
        let mut past = self.samples;
        if self.made() == 0 && !before.is_empty() {
            let before = &before[before.len().saturating_sub(PAST)..];
            past.copy_within(before.len().., 0);
            past[PAST - before.len()..].copy_from_slice(before);
        }
        self.gap.fill(&past, gap, ahead, after);
    }

    /// Ends the gap: the beginning of `block` comes out of what was made up.
    pub(super) fn leave(&mut self, block: &mut [i16]) {
        self.gap.leave(block);
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
        let mut gap = [0; 1_040];
        gap.chunks_mut(80).for_each(|chunk| past.fill(&[], chunk, 0, &[]));
        let step_max = played.windows(2).map(|w| (w[1] - w[0]).abs()).max().unwrap();
        assert!((gap[0] - played[399]).abs() <= step_max);
        assert!(gap.windows(2).all(|w| (w[1] - w[0]).abs() <= step_max + 1));
        let true_signal: Vec<i16> = (0..80).map(|_| sine.sample()).collect();
        assert!(distance(&true_signal, &gap) < magnitude(&true_signal) / 8);
        assert!(level_dbm0(&gap[480..560]) < level_dbm0(&gap[..80]) - 6.0);
        assert_eq!(magnitude(&gap[960..]), 0);
    }

    #[test]
    fn a_gap_behind_samples_of_the_same_block_begins_where_they_end() {
        let mut sine = Sine::at_level(200, -1_000);
        let mut past = Past::new();
        let played: Vec<i16> = (0..430).map(|_| sine.sample()).collect();
        past.push(&played[..400]);
        let mut gap = [0; 50];
        past.fill(&played[400..], &mut gap, 0, &[]);
        let true_signal: Vec<i16> = (0..50).map(|_| sine.sample()).collect();
        assert!(distance(&true_signal, &gap) < magnitude(&true_signal) / 8);
    }

    #[test]
    fn what_comes_after_a_gap_begins_without_a_step() {
        let mut past = Past::new();
        past.push(&[5_000; PAST]);
        past.fill(&[], &mut [0; 80], 0, &[]);
        let mut block = [-5_000; 80];
        past.leave(&mut block);
        assert!(block[0] > 3_000 && block[SEAM] == -5_000 && past.made() == 0);
        assert!(block.windows(2).all(|w| (w[1] - w[0]).abs() < 500));
    }

    #[test]
    fn a_gap_in_silence_is_silent() {
        let mut past = Past::new();
        let mut gap = [1; 160];
        past.fill(&[], &mut gap, 0, &[]);
        assert_eq!(gap, [0; 160]);
    }
}
