//! Packet loss concealment of ITU-T G.711 Appendix I, for any codec whose samples stand alone.
//!
//! A lost frame is made from the last pitch period before the loss, repeated; the longer the loss
//! lasts, the more periods are repeated in turn and the softer they get, until after 60 ms there is
//! silence. Every frame, good or lost, goes through the concealer in order, since it plays 3.75 ms
//! behind: that is what it needs to run smoothly into the repetition.
//!
//! The arithmetic is that of the reference program in double precision, equal bit for bit; nothing
//! in it may be fused or re-ordered.

use crate::arch::square_root;

/// Samples of a frame: 10 ms at 8 kHz.
pub const FRAME: usize = 80;

/// By how many samples the concealer delays the audio (3.75 ms), lost or not.
pub const DELAY: usize = 30;

/// Shortest pitch period.
const PITCH_MIN: usize = 40;
/// Longest pitch period.
const PITCH_MAX: usize = 120;
/// Samples of the past: three periods and the delay.
const HISTORY: usize = 3 * PITCH_MAX + DELAY;
/// Samples that are compared when the pitch is searched.
const WINDOW: usize = 160;

/// Concealer of one channel.
///
/// ```
/// use g7xx::plc::Concealer;
/// let mut concealer = Concealer::new();
/// let mut frame = [100; 80];
/// concealer.received(&mut frame);
/// concealer.lost(&mut frame); // now holds what is to be played
/// ```
#[derive(Clone, Debug)]
pub struct Concealer {
    /// What was or will be played; the last 30 samples are still to come.
    history: [i16; HISTORY],
    /// Frames lost in a row.
    lost: u32,
    run: Run,
}

/// What a run of lost frames lives on; set anew by its first frame.
#[derive(Clone, Debug)]
struct Run {
    past: [i16; HISTORY],
    /// Newest samples of the past before they were joined.
    tail: [i16; DELAY],
    pitch: usize,
    /// A quarter of the pitch.
    quarter: usize,
    /// Samples that are repeated: one, two or three periods.
    cycle: usize,
    /// Where in the cycle to go on.
    position: usize,
}

/// Limits, then drops the fraction.
fn cut(x: f64) -> i16 {
    x as i16
}

/// Overlaps an old signal that fades out with a new one that fades in, onto `out`. The weights are
/// gathered step by step, since their rounding decides the last bit.
fn overlap(
    old: impl Iterator<Item = i16>,
    new: impl Iterator<Item = i16>,
    gain: f64,
    out: &mut [i16],
) {
    let step = 1.0 / out.len() as f64;
    let (mut u, mut v) = ((1.0 - step) * gain, step);
    let fall = step * gain;
    for ((out, old), new) in out.iter_mut().zip(old).zip(new) {
        *out = cut(u * f64::from(old) + v * f64::from(new));
        u -= fall;
        v += step;
    }
}

impl Run {
    const fn new() -> Self {
        Self {
            past: [0; HISTORY],
            tail: [0; DELAY],
            pitch: PITCH_MIN,
            quarter: PITCH_MIN / 4,
            cycle: PITCH_MIN,
            position: 0,
        }
    }

    /// Reads on in the cycle.
    fn read(&mut self, out: &mut [i16]) {
        let cycle = &self.past[HISTORY - self.cycle..];
        for out in out {
            *out = cycle[self.position];
            self.position += 1;
            if self.position == self.cycle {
                self.position = 0;
            }
        }
    }

    /// Makes the end of the cycle run smoothly into its beginning.
    fn join(&mut self) {
        let q = self.quarter;
        let mut joined = [0; DELAY];
        let new = &self.past[HISTORY - self.cycle - q..][..q];
        overlap(
            self.tail[..q].iter().copied(),
            new.iter().copied(),
            1.0,
            &mut joined[..q],
        );
        self.past[HISTORY - q..].copy_from_slice(&joined[..q]);
    }
}

/// Normalised correlation of the newest samples with those one lag before, every `step`-th sample.
fn likeness(x: &[i16; HISTORY], lag: usize, step: usize) -> f64 {
    let present = &x[HISTORY - WINDOW..];
    let delayed = &x[HISTORY - WINDOW - lag..HISTORY - lag];
    let (mut correlation, mut energy) = (0i64, 0i64);
    for (a, b) in present.iter().zip(delayed).step_by(step) {
        let (a, b) = (i32::from(*a), i32::from(*b));
        correlation += i64::from(a * b);
        energy += i64::from(b * b);
    }
    correlation as f64 / square_root(energy.max(250) as u64)
}

/// Finds the pitch period at the end of the history: coarsely, then finely around the best. On
/// equality the coarse search takes the shorter lag and the fine one the longer, as the reference does.
fn find_pitch(x: &[i16; HISTORY]) -> usize {
    let mut best = (f64::NEG_INFINITY, PITCH_MAX);
    for lag in (PITCH_MIN..=PITCH_MAX).rev().step_by(2) {
        let r = likeness(x, lag, 2);
        if r >= best.0 {
            best = (r, lag);
        }
    }
    let coarse = best.1;
    best = (f64::NEG_INFINITY, coarse);
    for lag in ((coarse - 1).max(PITCH_MIN)..=(coarse + 1).min(PITCH_MAX)).rev() {
        let r = likeness(x, lag, 1);
        if r > best.0 {
            best = (r, lag);
        }
    }
    best.1
}

impl Default for Concealer {
    fn default() -> Self {
        Self::new()
    }
}

impl Concealer {
    /// With silence as the past.
    pub const fn new() -> Self {
        Self {
            history: [0; HISTORY],
            lost: 0,
            run: Run::new(),
        }
    }

    /// Takes a received frame and replaces it by what is to be played now.
    pub fn received(&mut self, frame: &mut [i16; FRAME]) {
        if self.lost > 0 {
            self.close(frame);
        }
        self.commit(frame);
    }

    /// Makes up a frame for one that was lost and puts what is to be played now into `frame`.
    pub fn lost(&mut self, frame: &mut [i16; FRAME]) {
        match self.lost {
            0 => self.open(frame),
            1 | 2 => self.widen(frame),
            3..=5 => {
                self.run.read(frame);
                self.attenuate(frame);
            }
            _ => frame.fill(0),
        }
        self.lost = self.lost.saturating_add(1);
        self.commit(frame);
    }

    /// First lost frame: finds the pitch and repeats one period.
    fn open(&mut self, frame: &mut [i16; FRAME]) {
        let run = &mut self.run;
        run.past = self.history;
        run.pitch = find_pitch(&run.past);
        run.quarter = run.pitch / 4;
        let q = run.quarter;
        run.tail[..q].copy_from_slice(&run.past[HISTORY - q..]);
        run.cycle = run.pitch;
        run.position = 0;
        run.join();
        self.history[HISTORY - q..].copy_from_slice(&run.past[HISTORY - q..]);
        run.read(frame);
    }

    /// Second and third lost frame: one more period is repeated, which sounds less like a buzzer.
    fn widen(&mut self, frame: &mut [i16; FRAME]) {
        let run = &mut self.run;
        let q = run.quarter;
        let mut before = [0; DELAY];
        let position = run.position;
        run.read(&mut before[..q]);
        run.position = position;
        while run.position > run.pitch {
            run.position -= run.pitch;
        }
        run.cycle += run.pitch;
        run.join();
        run.read(frame);
        let after = *frame;
        overlap(
            before.iter().copied(),
            after.iter().copied(),
            1.0,
            &mut frame[..q],
        );
        self.attenuate(frame);
    }

    /// Gain at the start of the frame after `lost` frames.
    fn gain(&self) -> f64 {
        1.0 - f64::from(self.lost - 1) * 0.2
    }

    fn attenuate(&self, frame: &mut [i16; FRAME]) {
        let mut gain = self.gain();
        for sample in frame {
            *sample = cut(gain * f64::from(*sample));
            gain -= 0.0025;
        }
    }

    /// First good frame after a loss: the repetition fades into it.
    fn close(&mut self, frame: &mut [i16; FRAME]) {
        let more = 32 * (self.lost as usize - 1).min(FRAME);
        let length = (self.run.quarter + more).min(FRAME);
        let gain = if self.lost > 5 {
            0.0
        } else {
            self.gain().max(0.0)
        };
        let mut old = [0; FRAME];
        self.run.read(&mut old[..length]);
        let new = *frame;
        overlap(
            old.iter().copied(),
            new.iter().copied(),
            gain,
            &mut frame[..length],
        );
        self.lost = 0;
    }

    fn commit(&mut self, frame: &mut [i16; FRAME]) {
        self.history.copy_within(FRAME.., 0);
        self.history[HISTORY - FRAME..].copy_from_slice(frame);
        frame.copy_from_slice(&self.history[HISTORY - DELAY - FRAME..HISTORY - DELAY]);
    }
}
