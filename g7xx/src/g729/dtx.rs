//! Discontinuous transmission in the encoder: what kind of frame silence becomes, and what its
//! descriptor says (Annex B.4.1, B.4.2).

use super::Frame;
use super::bits;
use super::cng::{self, Energy};
use super::gains::Taming;
use super::lpc::{self, Autocorrelation, LAGS, Lsp, ORDER, Predictor, RootSearch, Stable, WINDOW};
use super::lsp::Memory;
use super::ops::*;
use super::pitch::EXCITATION;
use super::vad::Vad;
use crate::arch::Kernels;

/// High words of an autocorrelation with the exponent of their scale.
#[derive(Clone, Copy, Debug)]
struct Spectrum {
    r: [i16; ORDER + 1],
    exponent: i16,
}

impl Spectrum {
    const NONE: Spectrum = Spectrum {
        r: [0; ORDER + 1],
        exponent: 40,
    };

    /// Sum of several, on the scale of the loudest.
    fn sum(parts: &[Spectrum]) -> Self {
        let least = parts
            .iter()
            .fold(i16::MAX, |least, part| least.min(part.exponent));
        let scale = i32::from(add(least, 14));
        let totals: [i32; ORDER + 1] = core::array::from_fn(|j| {
            parts.iter().fold(0, |total, part| {
                l_add(
                    total,
                    l_shl(i32::from(part.r[j]), scale - i32::from(part.exponent)),
                )
            })
        });
        let norm = norm_l(totals[0]);
        Self {
            r: totals.map(|total| extract_h(l_shl(total, norm))),
            exponent: (scale + norm - 16) as i16,
        }
    }

    fn levinson(&self, stable: &mut Stable) -> Option<i16> {
        let mut r = Autocorrelation {
            high: [0; LAGS],
            low: [0; LAGS],
            exponent: 0,
        };
        r.high[..ORDER + 1].copy_from_slice(&self.r);
        lpc::levinson(&r, stable)
    }
}

/// Autocorrelation of filter coefficients, to measure how well a filter fits a spectrum.
#[derive(Clone, Copy, Debug)]
struct FilterShape {
    r: [i16; ORDER + 1],
    shift: i32,
}

impl FilterShape {
    fn new(a: &Predictor) -> Self {
        let total = energy(0, a);
        let shift = norm_l(total);
        let mut r = [round(l_shl(total, shift)); ORDER + 1];
        for (i, r) in r.iter_mut().enumerate().skip(1) {
            *r = round(l_shl(mac_chain(&a[..ORDER + 1 - i], &a[i..]), shift));
        }
        Self { r, shift }
    }

    /// Whether the filter is further from a spectrum with residual energy `alpha` than a threshold.
    fn differs(&self, spectrum: &Spectrum, alpha: i16, threshold: i16) -> bool {
        let (mut s0, mut s1) = (0, 0);
        let mut next_is_spectrum = true;
        let x = loop {
            match self.product(spectrum, s0, s1) {
                Some(x) => break x,
                None if next_is_spectrum => s1 += 1,
                None => s0 += 1,
            }
            next_is_spectrum = !next_is_spectrum;
        };
        let y = i32::from(mult_r(alpha, threshold)) + i32::from(alpha);
        x > l_shl(y, self.shift + 9 - (s0 + s1))
    }

    /// Sum of products of both, shifted; `None` when a limit would have acted.
    fn product(&self, spectrum: &Spectrum, s0: i32, s1: i32) -> Option<i32> {
        let term = |i: usize| 2 * i64::from(shr(self.r[i], s0)) * i64::from(shr(spectrum.r[i], s1));
        let fits = |x: i64| i32::try_from(x).ok();
        let mut sum = i64::from(fits(term(0))? >> 1);
        for i in 1..=ORDER {
            sum += i64::from(fits(term(i))?);
            fits(sum)?;
        }
        fits(sum)
    }
}

/// Annex B in the encoder: detector, transmission and noise.
#[derive(Clone, Debug)]
pub struct Silence {
    vad: Vad,
    /// Decisions of the last two frames, newest first.
    past: [bool; 2],
    seed: i16,
    frames: [Spectrum; 2],
    sums: [Spectrum; 3],
    energies: [Energy; 2],
    second_of_pair: bool,
    gain: i16,
    sid_gain: i16,
    changed: bool,
    energy_count: usize,
    frames_since_sid: i16,
    sent_energy: i16,
    sent_lsp: Lsp,
    sent_shape: FilterShape,
}

impl Silence {
    /// Before the first frame, after speech.
    pub const fn new() -> Self {
        Self {
            vad: Vad::new(),
            past: [true; 2],
            seed: cng::SEED,
            frames: [Spectrum::NONE; 2],
            sums: [Spectrum::NONE; 3],
            energies: [Energy {
                value: 0,
                exponent: 40,
            }; 2],
            second_of_pair: false,
            gain: 0,
            sid_gain: 0,
            changed: false,
            energy_count: 0,
            frames_since_sid: 0,
            sent_energy: 0,
            sent_lsp: [0; ORDER],
            sent_shape: FilterShape {
                r: [0; ORDER + 1],
                shift: 0,
            },
        }
    }

    /// Decides whether a frame is speech and keeps its spectrum. `r` is before the lag window,
    /// `windowed` after it.
    pub fn decide(
        &mut self,
        r: &Autocorrelation,
        windowed: &Autocorrelation,
        lsp: &Lsp,
        reflection: i16,
        speech: &[i16; WINDOW],
    ) -> bool {
        let voice = self
            .vad
            .decide(windowed, lsp, reflection, speech, self.past);
        self.frames[1] = self.frames[0];
        self.frames[0] = Spectrum {
            r: core::array::from_fn(|i| r.high[i]),
            exponent: negate(add(16, r.exponent)),
        };
        self.second_of_pair = !self.second_of_pair;
        if voice {
            if !self.second_of_pair {
                self.sum_pair();
            }
            self.seed = cng::SEED;
            self.past = [true, self.past[0]];
        }
        voice
    }

    /// Adds the last two frames to the longer average.
    fn sum_pair(&mut self) {
        self.sums.copy_within(..2, 1);
        self.sums[0] = Spectrum::sum(&self.frames);
    }

    /// Decides what a silent frame becomes; returns it with the spectrum that the noise has now.
    pub fn describe<K: Kernels>(
        &mut self,
        stable: &mut Stable,
        search: RootSearch,
        lsp_old_quantised: &Lsp,
        memory: &mut Memory,
    ) -> (Frame, Lsp) {
        self.energies[1] = self.energies[0];
        let present = Spectrum::sum(&self.frames);
        self.energies[0].exponent = present.exponent;
        let mut present_filter = Stable::new().a;
        if present.r[0] == 0 {
            self.energies[0].value = 0;
        } else {
            if let Some(residual) = present.levinson(stable) {
                self.energies[0].value = residual;
            }
            present_filter = stable.a;
        }
        let alpha = self.energies[0].value;
        let (energy, index, send);
        if self.past[0] {
            self.frames_since_sid = 0;
            self.energy_count = 1;
            (energy, index) = cng::quantise_gain(&self.energies[..1]);
            send = true;
        } else {
            self.energy_count = (self.energy_count + 1).min(2);
            (energy, index) = cng::quantise_gain(&self.energies[..self.energy_count]);
            self.changed |= self.sent_shape.differs(&present, alpha, 4855);
            self.changed |= abs_s(sub(self.sent_energy, energy)) > 2;
            self.frames_since_sid += 1;
            send = self.frames_since_sid >= 3 && self.changed;
            self.frames_since_sid = self.frames_since_sid.min(3);
        }
        if !send {
            return (Frame::Untransmitted, self.sent_lsp);
        }
        self.frames_since_sid = 0;
        self.changed = false;
        let filter = self.choose_filter(stable, &present, &present_filter, alpha);
        let lsp = lpc::az_lsp::<K>(&filter, search).unwrap_or(*lsp_old_quantised);
        let (mut sid, lsp) = cng::quantise_spectrum(&lsp, memory);
        self.sent_lsp = lsp;
        self.sent_energy = energy;
        sid.gain = index as u16;
        self.sid_gain = cng::gain_of(index);
        (Frame::Sid(bits::pack_sid(&sid)), lsp)
    }

    /// The average filter of the past while it still fits, otherwise that of the present.
    fn choose_filter(
        &mut self,
        stable: &mut Stable,
        present: &Spectrum,
        present_filter: &Predictor,
        alpha: i16,
    ) -> Predictor {
        let average = Spectrum::sum(&self.sums);
        let mut past_filter = Stable::new().a;
        if average.r[0] != 0 {
            average.levinson(stable);
            past_filter = stable.a;
        }
        self.sent_shape = FilterShape::new(&past_filter);
        if self.sent_shape.differs(present, alpha, 3161) {
            self.sent_shape = FilterShape::new(present_filter);
            *present_filter
        } else {
            past_filter
        }
    }

    /// Makes the excitation of a silent frame.
    pub fn excite(&mut self, excitation: &mut [i16; EXCITATION], taming: &mut Taming) {
        self.gain = cng::smooth(self.gain, self.sid_gain, self.past[0]);
        cng::excite(excitation, self.gain, &mut self.seed, Some(taming));
    }

    /// Ends a silent frame.
    pub fn finish(&mut self) {
        if !self.second_of_pair {
            self.sum_pair();
        }
        self.past = [false, self.past[0]];
    }
}
