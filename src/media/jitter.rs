//! Jitter buffer: packets in when they come, blocks out when the card wants them.
//!
//! ```text
//!              position                        newest
//!  played ...... | ===packet=== | gap | ===packet=== |
//!                |<------------- slack of it ------>|        (timestamps)
//! ```
//!
//! The card's clock alone moves the *position*, the timestamp that is played next. The *slack* of a
//! packet is how far ahead of the position it stands when it arrives: negative is late. Jitter,
//! drift and delay all show in it, so one rule holds the level: the *floor*, the second lowest of
//! the smallest slacks of the last sixteen half seconds, is kept between borders. Below, samples
//! are put in; above, samples are taken out; never outside [`JitterBounds`]. Both are done at a place
//! where the signal resembles itself, with a seam, so that nothing clicks.
//!
//! Packets stay coded in slots until they are played. Does not know sequence numbers: loss and
//! duplicates are counted by [`rtp::Reception`](crate::rtp::Reception).

use super::conceal::{KNOWN, PAST, Past, SEAM, cross_fade, distance, magnitude};
use super::{JitterBounds, Statistics};
use crate::limits::{JITTER_SLOTS, PACKET_SAMPLES_MAX};
use g7xx::g711::{self, Law};
use tipring_hal::Block;

/// Samples a millisecond.
const SAMPLES_PER_MS: i32 = 8;
/// Half a second, in which the smallest slack is looked for, and how many of them are kept.
const WINDOW_SAMPLES: u32 = 4_000;
const WINDOWS: usize = 16;
/// Windows that must have passed before samples are taken out.
const WINDOWS_KNOWN: u32 = 4;
/// Below this floor samples are put in: half a block, so that drift alone makes nothing late.
const FLOOR_LOW: i32 = 40;
/// Above this floor samples are taken out.
const FLOOR_HIGH: i32 = 200;
/// Above this floor they are taken out whatever the signal looks like.
const FLOOR_URGENT: i32 = 400;
/// Fewest and most samples that one adjustment moves. At most a block, so that what is repeated
/// has just been played.
const SHIFT_MIN: usize = 40;
const SHIFT_MAX: usize = 80;
/// Blocks between two adjustments or attempts.
const ADJUSTMENT_PAUSE: u32 = 4;
/// Mean magnitude up to which a signal counts as silence: about -46 dBm0.
const SILENCE: u32 = 100;
/// Nothing came for a second: the sender stopped, the next packet begins anew.
const STARVED_SAMPLES: u32 = 8_000;
/// A packet this far off the position (a second) has a new timestamp base.
const JUMP_SAMPLES: i32 = 8_000;
/// More than this beyond the upper bound is thrown away at once: a burst after an outage.
const OVERFULL_SAMPLES: i32 = 480;
/// No slack has been seen in this window.
const UNSEEN: i32 = i32::MAX;

const _: () = assert!(SHIFT_MAX + SEAM <= PAST);
const _: () = assert!(JITTER_SLOTS <= 64, "occupied slots are bits of one word");

#[derive(Clone, Copy, Debug)]
struct Slot {
    timestamp: u32,
    samples: u16,
    law: Law,
}

/// One direction of one stream towards a port.
#[derive(Debug)]
pub struct JitterBuffer {
    slots: Box<[Slot]>,
    coded: Box<[[u8; PACKET_SAMPLES_MAX]]>,
    /// Bit n: slot n holds a packet.
    occupied: u64,
    /// The slot that was played from last.
    current: usize,
    bounds: JitterBounds,
    /// Whether there is a position.
    runs: bool,
    /// Whether a packet was played since it runs.
    has_played: bool,
    position: u32,
    past: Past,
    level: Level,
    /// Blocks until the next adjustment may be tried.
    pause: u32,
}

/// The slacks that were seen.
#[derive(Clone, Debug)]
struct Level {
    minima: [i32; WINDOWS],
    window: usize,
    window_left: u32,
    windows_known: u32,
    /// Mean slack in 1/16 sample.
    mean_q4: i32,
    floor: i32,
}

impl Level {
    fn new(slack: i32) -> Self {
        Level {
            minima: [UNSEEN; WINDOWS],
            window: 0,
            window_left: WINDOW_SAMPLES,
            windows_known: 0,
            mean_q4: slack * 16,
            floor: UNSEEN,
        }
    }

    fn see(&mut self, slack: i32) {
        self.mean_q4 = self.mean_q4.saturating_add(slack - (self.mean_q4 >> 4));
        let minimum = &mut self.minima[self.window];
        if slack < *minimum {
            *minimum = slack;
            self.find_floor();
        }
    }

    /// All slacks became larger by `samples`, because the position went back.
    fn shift(&mut self, samples: i32) {
        // Without a tick for long, a flood could add up to anything.
        self.mean_q4 = self.mean_q4.saturating_add(samples.saturating_mul(16));
        self.minima.iter_mut().filter(|m| **m != UNSEEN).for_each(|m| *m = m.saturating_add(samples));
        self.find_floor();
    }

    fn pass(&mut self, samples: u32) {
        self.window_left = self.window_left.saturating_sub(samples);
        if self.window_left == 0 {
            self.window_left = WINDOW_SAMPLES;
            self.window = (self.window + 1) % WINDOWS;
            self.minima[self.window] = UNSEEN;
            self.windows_known += 1;
            self.find_floor();
        }
    }

    /// The second lowest minimum: one bad half second in eight does not count.
    fn find_floor(&mut self) {
        let (mut lowest, mut second) = (UNSEEN, UNSEEN);
        for minimum in self.minima {
            if minimum < lowest {
                (lowest, second) = (minimum, lowest);
            } else {
                second = second.min(minimum);
            }
        }
        // With only one window seen there is no second lowest.
        self.floor = if second == UNSEEN { lowest } else { second };
    }

    fn mean(&self) -> i32 {
        self.mean_q4 >> 4
    }
}

impl JitterBuffer {
    /// An empty buffer; the only place that allocates.
    pub fn new(bounds: JitterBounds) -> Self {
        let slot = Slot { timestamp: 0, samples: 0, law: Law::Mu };
        JitterBuffer {
            slots: vec![slot; JITTER_SLOTS].into_boxed_slice(),
            coded: vec![[0; PACKET_SAMPLES_MAX]; JITTER_SLOTS].into_boxed_slice(),
            occupied: 0,
            current: 0,
            bounds,
            runs: false,
            has_played: false,
            position: 0,
            past: Past::new(),
            level: Level::new(0),
            pause: 0,
        }
    }

    /// Forgets everything; for another stream.
    pub fn reset(&mut self, bounds: JitterBounds) {
        self.bounds = bounds;
        self.occupied = 0;
        self.runs = false;
        self.past = Past::new();
    }

    /// Another source is about to speak: the next packet begins anew, out of what was played last.
    pub fn restart(&mut self) {
        self.occupied = 0;
        self.runs = false;
    }

    /// Mean time that packets wait before they are played, in samples; up to a block less than the
    /// truth, because the position moves by blocks.
    pub fn delay_samples(&self) -> i32 {
        if self.runs { self.level.mean() } else { 0 }
    }

    fn min_samples(&self) -> i32 {
        i32::from(self.bounds.min_ms) * SAMPLES_PER_MS
    }

    fn max_samples(&self) -> i32 {
        i32::from(self.bounds.max_ms).max(i32::from(self.bounds.min_ms)) * SAMPLES_PER_MS
    }

    /// Takes a packet. One that has been here before must not be put again.
    pub fn put(&mut self, timestamp: u32, law: Law, payload: &[u8], statistics: &mut Statistics) {
        if payload.is_empty() {
            return;
        }
        let mut slack = timestamp.wrapping_sub(self.position) as i32;
        if !self.runs || !(-JUMP_SAMPLES..=self.max_samples().saturating_add(JUMP_SAMPLES)).contains(&slack) {
            self.begin(timestamp);
            slack = timestamp.wrapping_sub(self.position) as i32;
        }
        self.level.see(slack);
        if slack < 0 {
            statistics.late += 1;
            let made = i32::try_from(self.past.made()).unwrap_or(i32::MAX);
            // The gap at its place lasts: going back loses nothing, and is the delay that it needs.
            if -slack <= made && self.level.mean() - slack <= self.max_samples() {
                self.position = timestamp;
                self.level.shift(-slack);
                statistics.adjusted_samples += u64::from(slack.unsigned_abs());
                slack = 0;
            }
        }
        let mut start = timestamp;
        for part in payload.chunks(PACKET_SAMPLES_MAX) {
            let end = start.wrapping_add(part.len() as u32);
            if end.wrapping_sub(self.position) as i32 > 0 {
                self.store(start, law, part);
            }
            start = end;
        }
        let overfull = slack - self.max_samples() - OVERFULL_SAMPLES;
        if overfull > 0 {
            let excess = slack - self.max_samples() / 2;
            self.position = self.position.wrapping_add(excess as u32);
            self.level.shift(-excess);
            statistics.adjusted_samples += excess as u64;
        }
    }

    fn begin(&mut self, timestamp: u32) {
        self.occupied = 0;
        self.runs = true;
        self.has_played = false;
        self.position = timestamp.wrapping_sub(self.min_samples() as u32);
        self.level = Level::new(self.min_samples());
    }

    fn store(&mut self, timestamp: u32, law: Law, coded: &[u8]) {
        let same = |slot: &Slot| slot.timestamp == timestamp;
        if Bits(self.occupied).any(|n| same(&self.slots[n])) {
            return;
        }
        let free = self.occupied.trailing_ones() as usize;
        let Some(slot) = self.slots.get_mut(free) else { return };
        *slot = Slot { timestamp, samples: coded.len() as u16, law };
        self.coded[free][..coded.len()].copy_from_slice(coded);
        self.occupied |= 1 << free;
    }

    /// Fills `block` with what is to be played now.
    pub fn get(&mut self, block: &mut [i16], statistics: &mut Statistics) {
        if !self.runs {
            block.fill(0);
            return;
        }
        self.level.pass(block.len() as u32);
        self.pause = self.pause.saturating_sub(1);
        if self.pause > 0 || !self.adjust(block, statistics) {
            self.play(block, statistics);
        }
        self.past.push(block);
        if self.past.made() >= STARVED_SAMPLES {
            self.runs = false;
            self.past = Past::new();
        }
    }

    fn play(&mut self, block: &mut [i16], statistics: &mut Statistics) {
        let mut filled = 0;
        while filled < block.len() {
            let (before, rest) = block.split_at_mut(filled);
            match self.find(self.position) {
                Ok((slot, offset)) => {
                    let count = self.decode(slot, offset, rest);
                    self.past.leave(&mut rest[..count]);
                    self.has_played = true;
                    filled += count;
                    self.position = self.position.wrapping_add(count as u32);
                    if offset + count == usize::from(self.slots[slot].samples) {
                        self.occupied &= !(1 << slot);
                    }
                }
                Err(gap) => {
                    let count = rest.len().min(gap);
                    if self.has_played {
                        let mut after = [0; KNOWN];
                        let known = match u32::try_from(gap) {
                            Ok(gap) => self.peek(self.position.wrapping_add(gap), &mut after),
                            Err(_) => 0,
                        };
                        self.past.fill(before, &mut rest[..count], gap - count, &after[..known]);
                        statistics.concealed_samples += count as u64;
                    } else {
                        rest[..count].fill(0);
                    }
                    filled += count;
                    self.position = self.position.wrapping_add(count as u32);
                }
            }
        }
    }

    /// The slot that covers `position` and the place in it, or how many samples are missing.
    /// Frees what has passed.
    fn find(&mut self, position: u32) -> Result<(usize, usize), usize> {
        let covers = |slot: &Slot| {
            let offset = position.wrapping_sub(slot.timestamp);
            (offset < u32::from(slot.samples)).then_some(offset as usize)
        };
        if self.occupied >> self.current & 1 == 1
            && let Some(offset) = covers(&self.slots[self.current])
        {
            return Ok((self.current, offset));
        }
        let mut found = Err(usize::MAX);
        for n in Bits(self.occupied) {
            let slot = &self.slots[n];
            match (covers(slot), usize::try_from(slot.timestamp.wrapping_sub(position) as i32)) {
                (Some(offset), _) => found = Ok((n, offset)),
                (None, Ok(ahead)) => found = found.map_err(|gap| gap.min(ahead)),
                (None, Err(_)) if self.position == position => self.occupied &= !(1 << n),
                (None, Err(_)) => {}
            }
        }
        if let Ok((n, _)) = found {
            self.current = n;
        }
        found
    }

    fn decode(&self, slot: usize, offset: usize, to: &mut [i16]) -> usize {
        let Slot { samples, law, .. } = self.slots[slot];
        let coded = &self.coded[slot][offset..usize::from(samples)];
        g711::decode(law, coded, to);
        coded.len().min(to.len())
    }

    /// Decodes what comes from `position` on without playing it; the number of samples until the
    /// first gap.
    fn peek(&mut self, position: u32, to: &mut [i16]) -> usize {
        let mut count = 0;
        while count < to.len() {
            let Ok((slot, offset)) = self.find(position.wrapping_add(count as u32)) else { break };
            count += self.decode(slot, offset, &mut to[count..]);
        }
        count
    }

    /// Puts samples in or takes samples out, if the level wants it and the signal allows it; then
    /// `block` is filled.
    fn adjust(&mut self, block: &mut [i16], statistics: &mut Statistics) -> bool {
        let (floor, mean) = (self.level.floor, self.level.mean());
        if floor == UNSEEN || !self.has_played || self.past.made() > 0 || block.len() < SHIFT_MAX {
            return false;
        }
        let wants_more = (floor < FLOOR_LOW || mean + FLOOR_LOW < self.min_samples())
            && mean + SHIFT_MAX as i32 <= self.max_samples();
        let wants_less =
            (floor > FLOOR_HIGH && mean - SHIFT_MAX as i32 >= self.min_samples()) || mean > self.max_samples();
        let is_known = self.level.windows_known >= WINDOWS_KNOWN;
        if !wants_more && (!wants_less || !is_known) {
            return false;
        }
        self.pause = ADJUSTMENT_PAUSE;
        // The past and the next samples as one signal; `now` is where they meet.
        let mut signal = [0; PAST + Block::SAMPLES_MAX as usize + SHIFT_MAX];
        let now = PAST;
        signal[..now].copy_from_slice(self.past.samples());
        let ahead = self.peek(self.position, &mut signal[now..now + block.len() + SHIFT_MAX]);
        let natural = &signal[now..now + SEAM];
        let target = |shift: usize| if wants_more { now - shift } else { now + shift };
        if ahead < block.len() + if wants_more { 0 } else { SHIFT_MAX } {
            return false;
        }
        let best =
            (SHIFT_MIN..=SHIFT_MAX).map(|shift| (distance(natural, &signal[target(shift)..][..SEAM]), shift)).min();
        let Some((unlike, shift)) = best else { return false };
        let loudness = magnitude(natural);
        let is_silent = loudness <= SILENCE * SEAM as u32;
        let is_urgent = !(0..=FLOOR_URGENT).contains(&floor) || mean > self.max_samples();
        if !(is_silent || is_urgent || unlike <= loudness / 2) {
            return false;
        }
        let start = target(shift);
        block.copy_from_slice(&signal[start..start + block.len()]);
        cross_fade(natural, &mut block[..SEAM]);
        let moved = (start + block.len() - now) as u32;
        self.position = self.position.wrapping_add(moved);
        self.level.shift(if wants_more { shift as i32 } else { -(shift as i32) });
        statistics.adjusted_samples += shift as u64;
        true
    }
}

/// The numbers of the bits that are set, lowest first.
struct Bits(u64);

impl Iterator for Bits {
    type Item = usize;
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let n = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(n)
    }
}

#[cfg(test)]
mod tests;
