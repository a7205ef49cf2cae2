//! Voice activity detection (G.729 Annex B.3).

use super::lpc::{Autocorrelation, Lsp, ORDER, WINDOW};
use super::lsp::lsp_to_normalised;
use super::ops::*;
use super::tables::{FACTOR_FX, LBF_CORR, SHIFT_FX};

/// Frames in which the background averages are gathered.
const FIRST_FRAMES: i16 = 32;
/// Energy below which everything is silence, Q11.
const SILENCE: i16 = 3072;
/// Energy step that counts as none, Q11.
const STEP: i16 = 614;

/// State of the detector. Counters wrap as the recommendation's 16-bit variables do.
#[derive(Clone, Debug)]
pub struct Vad {
    frame: i16,
    mean_lsf: Lsp,
    mean_energy: i16,
    mean_full: i16,
    mean_low: i16,
    mean_crossings: i16,
    silent_frames: i16,
    updates: i16,
    extensions: i16,
    quiet_frames: i16,
    may_extend: bool,
    minimum: i16,
    minima: [i16; 16],
    previous_minimum: i16,
    next_minimum: i16,
    previous_energy: i16,
}

/// What is measured in a frame.
struct Features {
    /// Full-band energy, Q11 of a tenth of the decibel value.
    energy: i16,
    /// Energy below 1 kHz, the same unit.
    low: i16,
    /// Spectral distance from the background.
    distortion: i16,
    /// Zero crossings.
    crossings: i16,
    lsf: Lsp,
}

fn log_energy(x: i32, exponent: i16) -> i16 {
    let sum = mpy_32_16(log2(x), 9864);
    let sum = l_mac(sum, 9864, sub(sub(exponent, 1), 1));
    sub(extract_h(l_shl(sum, 11)), 4875)
}

/// Moves an average: `keep * mean + take * x`.
fn average(mean: &mut i16, x: i16, (keep, take): (i16, i16)) {
    *mean = extract_h(l_mac(l_mult(keep, *mean), take, x));
}

/// The linear tests of the multi-boundary decision; any that holds means speech.
fn crosses_a_boundary(distortion: i16, full: i16, low: i16, crossings: i16) -> bool {
    let line = |x: i16, slope: i16, scale: i16, offset: i16| l_mac(l_mult(x, slope), scale, offset);
    let wide = l_deposit_h;
    l_add(line(crossings, -14680, 8192, -28521) >> 8, wide(distortion)) > 0
        || l_add(line(crossings, 19065, 8192, -19446) >> 7, wide(distortion)) > 0
        || l_add(line(crossings, 20480, 8192, 16384) >> 2, wide(full)) < 0
        || l_add(line(crossings, -16384, 8192, 19660) >> 2, wide(full)) < 0
        || line(full, 32767, 1024, 30802) < 0
        || l_mac(line(distortion, -28160, 64, 19988), full, 512) < 0
        || line(distortion, 32767, 32, -30199) > 0
        || l_add(line(crossings, -20480, 8192, 22938) >> 2, wide(full)) < 0
        || l_add(line(crossings, 23831, 4096, 31576) >> 2, wide(full)) < 0
        || line(full, 32767, 2048, 17367) < 0
        || l_mac(line(distortion, -22400, 32, 25395), low, 256) < 0
        || l_add(line(full, -30427, 256, -29959), wide(low)) > 0
        || l_add(line(full, -23406, 512, 28087), wide(low)) < 0
        || l_mac(line(full, 24576, 1024, 29491), low, 16384) < 0
}

impl Vad {
    /// Before the first frame.
    pub const fn new() -> Self {
        Self {
            frame: 0,
            mean_lsf: [0; ORDER],
            mean_energy: 0,
            mean_full: 0,
            mean_low: 0,
            mean_crossings: 0,
            silent_frames: 0,
            updates: 0,
            extensions: 0,
            quiet_frames: 0,
            may_extend: true,
            minimum: i16::MAX,
            minima: [0; 16],
            previous_minimum: 0,
            next_minimum: 0,
            previous_energy: 0,
        }
    }

    fn measure(&self, r: &Autocorrelation, lsp: &Lsp, speech: &[i16; WINDOW]) -> Features {
        let energy = log_energy(l_comp((r.high[0], r.low[0])), r.exponent);
        let band = (1..LBF_CORR.len()).fold(0, |sum, i| l_mac(sum, r.high[i], LBF_CORR[i]));
        let band = l_mac(l_shl(band, 1), r.high[0], LBF_CORR[0]);
        let low = log_energy(band, r.exponent);
        let lsf = lsp_to_normalised(lsp);
        let distortion = (0..ORDER).fold(0, |sum, i| {
            let d = sub(lsf[i], self.mean_lsf[i]);
            l_mac(sum, d, d)
        });
        let changes = speech[120..=200]
            .windows(2)
            .filter(|pair| i32::from(pair[0]) * i32::from(pair[1]) < 0);
        let crossings = (410 * changes.count()).min(32767) as i16;
        Features {
            energy,
            low,
            distortion: extract_h(distortion),
            crossings,
            lsf,
        }
    }

    /// Follows the smallest energy of the last 128 frames.
    fn track_minimum(&mut self, energy: i16) {
        let end_of_eight = self.frame % 8 == 0;
        let smallest = |minima: &[i16; 16]| minima.iter().copied().fold(i16::MAX, i16::min);
        if self.frame < 129 {
            if energy < self.minimum {
                self.minimum = energy;
                self.previous_minimum = energy;
            }
            if end_of_eight {
                self.minima[(self.frame / 8 - 1).clamp(0, 15) as usize] = self.minimum;
                self.minimum = i16::MAX;
            }
        }
        if end_of_eight {
            self.previous_minimum = smallest(&self.minima);
        }
        if self.frame >= 129 {
            if self.frame % 8 == 1 {
                self.minimum = self.previous_minimum;
                self.next_minimum = i16::MAX;
            }
            self.minimum = self.minimum.min(energy);
            self.next_minimum = self.next_minimum.min(energy);
            if end_of_eight {
                self.minima.copy_within(1.., 0);
                self.minima[15] = self.next_minimum;
                self.previous_minimum = smallest(&self.minima);
            }
        }
    }

    /// Gathers the averages of the first frames; returns whether the frame is loud.
    fn gather(&mut self, features: &Features) -> bool {
        if features.energy < SILENCE {
            self.quiet_frames += 1;
            return false;
        }
        let sum = |mean: &mut i16, x| *mean = extract_h(l_mac(l_deposit_h(*mean), x, 1024));
        sum(&mut self.mean_energy, features.energy);
        sum(&mut self.mean_crossings, features.crossings);
        for (mean, lsf) in self.mean_lsf.iter_mut().zip(&features.lsf) {
            sum(mean, *lsf);
        }
        true
    }

    /// Turns the sums of the loud frames among the first into averages.
    fn settle(&mut self) {
        let quiet = self.quiet_frames.clamp(0, 32) as usize;
        let (factor, shift) = (FACTOR_FX[quiet], i32::from(SHIFT_FX[quiet]));
        let scale = |mean: &mut i16| *mean = extract_h(l_shl(l_mult(*mean, factor), shift));
        scale(&mut self.mean_energy);
        scale(&mut self.mean_crossings);
        self.mean_lsf.iter_mut().for_each(scale);
        self.mean_full = sub(self.mean_energy, 2048);
        self.mean_low = sub(self.mean_energy, 2458);
    }

    /// Decides and smooths; `past` holds the decisions of the last two frames, newest first.
    fn decide_by_features(
        &mut self,
        features: &Features,
        reflection: i16,
        past: [bool; 2],
    ) -> bool {
        let full = sub(self.mean_full, features.energy);
        let low = sub(self.mean_low, features.low);
        let crossings = sub(self.mean_crossings, features.crossings);
        let energy = features.energy;
        let mut voice =
            energy >= SILENCE && crosses_a_boundary(features.distortion, full, low, crossings);
        let mut held = false;
        if past[0] && !voice && add(full, 410) < 0 && energy > SILENCE {
            voice = true;
            held = true;
        }
        if self.may_extend {
            if past[1] && past[0] && !voice && abs_s(sub(self.previous_energy, energy)) <= STEP {
                self.extensions += 1;
                voice = true;
                held = true;
                if self.extensions > 4 {
                    self.extensions = 0;
                    self.may_extend = false;
                }
            }
        } else {
            self.may_extend = true;
        }
        if !voice {
            self.silent_frames = self.silent_frames.wrapping_add(1);
        }
        if voice && self.silent_frames > 10 && sub(energy, self.previous_energy) <= STEP {
            voice = false;
            self.silent_frames = 0;
        }
        if voice {
            self.silent_frames = 0;
        }
        if sub(energy, STEP) < self.mean_full && self.frame > 128 && !held && reflection < 19661 {
            voice = false;
        }
        voice
    }

    /// Lets the background averages follow a frame that looks like background.
    fn update(&mut self, features: &Features, reflection: i16) {
        let distortion = features.distortion;
        if sub(features.energy, STEP) < self.mean_full && reflection < 24576 && distortion < 83 {
            self.updates = self.updates.wrapping_add(1);
            let (energies, crossings, lsf) = match self.updates {
                ..20 => ((24576, 8192), (26214, 6554), (19661, 13017)),
                20..30 => ((31130, 1638), (30147, 2621), (21299, 11469)),
                30..40 => ((31785, 983), (30802, 1966), (22938, 9830)),
                40..50 => ((32440, 328), (31457, 1311), (24576, 8192)),
                50..60 => ((32604, 164), (32440, 328), (24576, 8192)),
                60.. => ((32604, 164), (32702, 66), (24576, 8192)),
            };
            average(&mut self.mean_full, features.energy, energies);
            average(&mut self.mean_low, features.low, energies);
            average(&mut self.mean_crossings, features.crossings, crossings);
            for (mean, x) in self.mean_lsf.iter_mut().zip(&features.lsf) {
                average(mean, *x, lsf);
            }
        }
        let below = self.mean_full < self.minimum && distortion < 83;
        if self.frame > 128 && (below || sub(self.mean_full, self.minimum) > 2048) {
            self.mean_full = self.minimum;
            self.updates = 0;
        }
    }

    /// Whether the frame is speech. `r` is the windowed autocorrelation, `reflection` the second
    /// reflection coefficient, `past` the decisions of the last two frames, newest first.
    #[inline(never)]
    pub fn decide(
        &mut self,
        r: &Autocorrelation,
        lsp: &Lsp,
        reflection: i16,
        speech: &[i16; WINDOW],
        past: [bool; 2],
    ) -> bool {
        self.frame = if self.frame == i16::MAX {
            256
        } else {
            self.frame + 1
        };
        let features = self.measure(r, lsp, speech);
        self.track_minimum(features.energy);
        let mut voice = true;
        if self.frame <= FIRST_FRAMES {
            voice = self.gather(&features);
        }
        if self.frame == FIRST_FRAMES {
            self.settle();
        }
        if self.frame >= FIRST_FRAMES {
            voice = self.decide_by_features(&features, reflection, past);
            self.update(&features, reflection);
        }
        self.previous_energy = features.energy;
        voice
    }
}
