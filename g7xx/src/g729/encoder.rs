//! The encoder, one frame at a time: analysis common to both variants, then the subframes of
//! Annex A or of the base codec.

use super::bits::{self, Parameters};
use super::codebook::{self, Innovation};
use super::dtx::Silence;
use super::filter::{self, Memory, SUBFRAME, window};
use super::gains::{self, PitchGain, Predictor as GainPredictor, Taming};
use super::highpass::HighPass;
use super::lpc::{self, Autocorrelation, Lsp, ORDER, Predictor, RootSearch, Stable, WINDOW};
use super::lsp;
use super::ops::*;
use super::perceptual::{Perceptual, Weighting};
use super::pitch::{self, EXCITATION, EXCITATION_PAST, Lag, Range, WEIGHTED, WEIGHTED_PAST};
use super::tables::{GRID_A, GRID_BASE, INIT_LSP};
use super::{FRAME, Frame, Variant};
use crate::arch::Kernels;

#[cfg(any(test, target_arch = "x86_64"))]
pub(crate) mod lockstep;

/// Sharpening of the fixed codebook at reset and after silence, Q14.
pub const SHARPENING_MIN: i16 = 3277;
/// Largest sharpening, Q14.
pub const SHARPENING_MAX: i16 = 13017;
/// First sample of the present frame in the speech buffer.
const PRESENT: usize = 120;
/// Powers of 0.75, the bandwidth factor of Annex A's weighting.
const GAMMA_A: [i16; ORDER + 1] = lpc::powers(24576);

/// State of an encoder between frames.
#[derive(Clone, Debug)]
pub struct Encoder {
    variant: Variant,
    pre_filter: HighPass,
    speech: [i16; WINDOW],
    weighted: [i16; WEIGHTED_PAST],
    excitation: [i16; EXCITATION_PAST],
    stable: Stable,
    lsp_old: Lsp,
    lsp_old_quantised: Lsp,
    lsf_memory: lsp::Memory,
    gain_predictor: GainPredictor,
    taming: Taming,
    sharpening: i16,
    /// Of the weighted speech, and of the target.
    weighting_memory: Memory,
    target_memory: Memory,
    /// Base codec only: of the weighting, of the synthesis, and the last errors.
    perceptual: Perceptual,
    synthesis_memory: Memory,
    error_memory: Memory,
    silence: Option<Silence>,
}

/// What the subframes of one frame share.
struct Work {
    weighted: [i16; WEIGHTED],
    excitation: [i16; EXCITATION],
}

impl Work {
    fn start(&self, subframe: usize) -> usize {
        let _ = self;
        EXCITATION_PAST + SUBFRAME * subframe
    }
}

/// The pulses, gains and indices of a subframe.
struct Choice {
    innovation: Innovation,
    gain_index: u16,
}

impl Encoder {
    pub fn new(variant: Variant, vad: bool) -> Self {
        Self {
            variant,
            pre_filter: HighPass::new(),
            speech: [0; WINDOW],
            weighted: [0; WEIGHTED_PAST],
            excitation: [0; EXCITATION_PAST],
            stable: Stable::new(),
            lsp_old: INIT_LSP,
            lsp_old_quantised: INIT_LSP,
            lsf_memory: lsp::initial_memory(),
            gain_predictor: GainPredictor::new(),
            taming: Taming::new(),
            sharpening: SHARPENING_MIN,
            weighting_memory: [0; ORDER],
            target_memory: [0; ORDER],
            perceptual: Perceptual::new(),
            synthesis_memory: [0; ORDER],
            error_memory: [0; ORDER],
            silence: vad.then(Silence::new),
        }
    }

    /// Whether this channel may be encoded in lockstep with others.
    pub fn fits(&self) -> bool {
        self.variant == Variant::A
    }

    fn root_search(&self) -> RootSearch {
        match self.variant {
            Variant::Base => RootSearch {
                grid: &GRID_BASE,
                halvings: 4,
            },
            Variant::A => RootSearch {
                grid: &GRID_A,
                halvings: 2,
            },
        }
    }

    #[inline(always)]
    pub fn encode<K: Kernels>(&mut self, samples: &[i16; FRAME]) -> Frame {
        self.pre_filter
            .pre_process(samples, &mut self.speech[WINDOW - FRAME..]);
        let (lsp_new, active) = self.analyse::<K>();
        let mut work = self.work();
        let weighting = match self.variant {
            Variant::Base => Some(self.weigh_base::<K>(&lsp_new, &mut work)),
            Variant::A => None,
        };
        let frame = if active {
            let parameters = self.encode_active::<K>(&lsp_new, weighting.as_ref(), &mut work);
            Frame::Speech(bits::pack(&parameters))
        } else {
            self.encode_silence::<K>(weighting.as_ref(), &mut work)
        };
        self.keep(&work);
        frame
    }

    /// Linear prediction of the speech buffer: its LSP, and whether the frame is active.
    #[inline(always)]
    fn analyse<K: Kernels>(&mut self) -> (Lsp, bool) {
        let (unwindowed, r) = self.autocorrelate::<K>();
        lpc::predict::<K>(&r, &mut self.stable);
        self.judge::<K>(&unwindowed, &r)
    }

    /// Autocorrelation of the speech buffer, before and after the lag window.
    #[inline(always)]
    fn autocorrelate<K: Kernels>(&self) -> (Autocorrelation, Autocorrelation) {
        let unwindowed = lpc::autocorrelate::<K>(&self.speech);
        let mut r = unwindowed;
        lpc::lag_window(&mut r);
        (unwindowed, r)
    }

    /// LSP of the last stable predictor, and whether the frame is active.
    #[inline(always)]
    fn judge<K: Kernels>(
        &mut self,
        unwindowed: &Autocorrelation,
        r: &Autocorrelation,
    ) -> (Lsp, bool) {
        let lsp_new = lpc::az_lsp::<K>(&self.stable.a, self.root_search()).unwrap_or(self.lsp_old);
        let active = match &mut self.silence {
            Some(silence) => silence.decide(
                unwindowed,
                r,
                &lsp_new,
                self.stable.reflection[1],
                &self.speech,
            ),
            None => true,
        };
        (lsp_new, active)
    }

    /// The buffers of a frame with the past in them.
    #[inline(always)]
    fn work(&self) -> Work {
        let mut work = Work {
            weighted: [0; WEIGHTED],
            excitation: [0; EXCITATION],
        };
        work.weighted[..WEIGHTED_PAST].copy_from_slice(&self.weighted);
        work.excitation[..EXCITATION_PAST].copy_from_slice(&self.excitation);
        work
    }

    /// Moves the buffers on by a frame.
    #[inline(always)]
    fn keep(&mut self, work: &Work) {
        self.speech.copy_within(FRAME.., 0);
        self.weighted.copy_from_slice(&work.weighted[FRAME..]);
        self.excitation.copy_from_slice(&work.excitation[FRAME..]);
    }

    /// Base codec: weighting filters and weighted speech, which also run through silence.
    #[inline(always)]
    fn weigh_base<K: Kernels>(&mut self, lsp_new: &Lsp, work: &mut Work) -> [Weighting; 2] {
        let weighting = self.perceptual.filters(
            &self.lsp_old,
            lsp_new,
            &self.stable.a,
            self.stable.reflection,
        );
        self.lsp_old = *lsp_new;
        for (subframe, filters) in weighting.iter().enumerate() {
            let mut residual = [0; SUBFRAME];
            filter::residual::<K>(&filters.numerator, self.speech_of(subframe), &mut residual);
            let y = filter::synthesise::<K>(
                &filters.denominator,
                &residual,
                &mut self.weighting_memory,
            );
            let at = WEIGHTED_PAST + SUBFRAME * subframe;
            work.weighted[at..at + SUBFRAME].copy_from_slice(&y);
        }
        weighting
    }

    /// Speech of a subframe with the ten samples before it.
    #[inline(always)]
    fn speech_of(&self, subframe: usize) -> &[i16; SUBFRAME + ORDER] {
        window(&self.speech, PRESENT + SUBFRAME * subframe - ORDER)
    }

    /// Quantises the spectrum of an active frame; the quantised one becomes the old one.
    #[inline(always)]
    fn quantise_spectrum<K: Kernels>(&mut self, lsp_new: &Lsp) -> Parameters {
        let (indices, lsp_quantised) = lsp::quantise::<K>(lsp_new, &mut self.lsf_memory);
        self.lsp_old = *lsp_new;
        self.lsp_old_quantised = lsp_quantised;
        Parameters {
            predictor_first: (indices.mode << 7 | indices.first) as u16,
            second: (indices.lower << 5 | indices.upper) as u16,
            ..Parameters::default()
        }
    }

    #[inline(always)]
    fn encode_active<K: Kernels>(
        &mut self,
        lsp_new: &Lsp,
        weighting: Option<&[Weighting; 2]>,
        work: &mut Work,
    ) -> Parameters {
        let old = self.lsp_old_quantised;
        let mut parameters = self.quantise_spectrum::<K>(lsp_new);
        let a = lpc::interpolate::<K>(&old, &self.lsp_old_quantised);
        let narrowed = a.map(|a| lpc::weight(&a, &GAMMA_A));
        let open_loop = match weighting {
            Some(_) => pitch::open_loop_base(&work.weighted),
            None => {
                self.weigh_a::<K>(&a, &narrowed, work);
                pitch::open_loop_a::<K>(&work.weighted)
            }
        };
        let mut range = Range::first(open_loop);
        let mut credit = 30;
        for subframe in 0..2 {
            let (lag, choice) = match weighting {
                Some(weighting) => self.subframe_base::<K>(
                    &a[subframe],
                    &weighting[subframe],
                    range,
                    subframe,
                    &mut credit,
                    work,
                ),
                None => self.subframe_a::<K>(&narrowed[subframe], range, subframe, work),
            };
            parameters.subframes[subframe] = indices_of(subframe, lag, range, &choice);
            range = Range::second(lag.whole);
        }
        parameters.parity = pitch::parity(parameters.subframes[0].lag);
        parameters
    }

    /// Annex A: residual into the excitation, and weighted speech from the quantised filters.
    #[inline(always)]
    fn weigh_a<K: Kernels>(
        &mut self,
        a: &[Predictor; 2],
        narrowed: &[Predictor; 2],
        work: &mut Work,
    ) {
        for subframe in 0..2 {
            let mut residual = [0; SUBFRAME];
            filter::residual::<K>(&a[subframe], self.speech_of(subframe), &mut residual);
            let tilted = tilt(&narrowed[subframe]);
            let y = filter::synthesise::<K>(&tilted, &residual, &mut self.weighting_memory);
            let at = WEIGHTED_PAST + SUBFRAME * subframe;
            work.weighted[at..at + SUBFRAME].copy_from_slice(&y);
            let at = work.start(subframe);
            work.excitation[at..at + SUBFRAME].copy_from_slice(&residual);
        }
    }

    #[inline(always)]
    fn subframe_a<K: Kernels>(
        &mut self,
        narrowed: &Predictor,
        range: Range,
        subframe: usize,
        work: &mut Work,
    ) -> (Lag, Choice) {
        let start = work.start(subframe);
        let mut impulse = [0; SUBFRAME];
        impulse[0] = 4096;
        let [h, target] = filter::synthesise_together::<K, 2>(
            [narrowed; 2],
            [&impulse, window(&work.excitation, start)],
            [&[0; ORDER], &self.target_memory],
        );
        let lag = pitch::closed_loop_a::<K>(
            &target,
            &h,
            &mut work.excitation,
            start,
            range,
            subframe == 0,
        );
        let vector: [i16; SUBFRAME] = *window(&work.excitation, start);
        let filtered = filter::synthesise_only::<K>(narrowed, &vector, &[0; ORDER]);
        let choice = self.choose_a::<K>(&target, &h, &filtered, lag, start, work);
        (lag, choice)
    }

    /// Annex A: code vector and gains of a subframe, given the adaptive vector through the filter.
    #[inline(always)]
    fn choose_a<K: Kernels>(
        &mut self,
        target: &[i16; SUBFRAME],
        h: &[i16; SUBFRAME],
        filtered: &[i16; SUBFRAME],
        lag: Lag,
        start: usize,
        work: &mut Work,
    ) -> Choice {
        let (pitch_gain, tamed) = self.open_gain::<K>(target, filtered, lag);
        let target2 = subtract(target, filtered, pitch_gain.gain);
        let innovation = codebook::search_a::<K>(&target2, h, lag.whole, self.sharpening);
        self.close_subframe::<K>(
            target,
            filtered,
            &pitch_gain,
            tamed,
            innovation,
            lag,
            start,
            work,
        )
    }

    #[inline(always)]
    fn subframe_base<K: Kernels>(
        &mut self,
        a: &Predictor,
        weighting: &Weighting,
        range: Range,
        subframe: usize,
        credit: &mut i32,
        work: &mut Work,
    ) -> (Lag, Choice) {
        let start = work.start(subframe);
        let Weighting {
            numerator,
            denominator,
        } = weighting;
        let h = filter::impulse_response::<K, SUBFRAME, { SUBFRAME / 4 }>(numerator, a);
        let h = filter::synthesise_only::<K>(denominator, &h, &[0; ORDER]);
        let mut residual = [0; SUBFRAME];
        filter::residual::<K>(a, self.speech_of(subframe), &mut residual);
        work.excitation[start..start + SUBFRAME].copy_from_slice(&residual);
        let mut error = [0; SUBFRAME + ORDER];
        error[..ORDER].copy_from_slice(&self.error_memory);
        error[ORDER..].copy_from_slice(&filter::synthesise_only::<K>(
            a,
            &residual,
            &self.error_memory,
        ));
        let mut target = [0; SUBFRAME];
        filter::residual::<K>(numerator, &error, &mut target);
        let target = filter::synthesise_only::<K>(denominator, &target, &self.target_memory);
        let lag =
            pitch::closed_loop_base(&target, &h, &work.excitation, start, range, subframe == 0);
        pitch::predict::<K>(&mut work.excitation, start, lag);
        let filtered = filter::convolve(window(&work.excitation, start), &h);
        let (pitch_gain, tamed) = self.open_gain::<K>(&target, &filtered, lag);
        let target2 = subtract(&target, &filtered, pitch_gain.gain);
        let innovation =
            codebook::search_base::<K>(&target2, &h, lag.whole, self.sharpening, credit);
        let choice = self.close_subframe::<K>(
            &target,
            &filtered,
            &pitch_gain,
            tamed,
            innovation,
            lag,
            start,
            work,
        );
        let excitation: &[i16; SUBFRAME] = window(&work.excitation, start);
        let synthesis = filter::synthesise::<K>(a, excitation, &mut self.synthesis_memory);
        let speech: &[i16; SUBFRAME] = window(&self.speech, PRESENT + SUBFRAME * subframe);
        self.error_memory = core::array::from_fn(|j| {
            let n = SUBFRAME - ORDER + j;
            sub(speech[n], synthesis[n])
        });
        (lag, choice)
    }

    /// Pitch gain before quantisation, and whether it had to be tamed.
    #[inline(always)]
    fn open_gain<K: Kernels>(
        &self,
        target: &[i16; SUBFRAME],
        filtered: &[i16; SUBFRAME],
        lag: Lag,
    ) -> (PitchGain, bool) {
        let mut pitch_gain = gains::pitch_gain::<K>(target, filtered);
        let tamed = self.taming.acts(lag.whole, lag.third);
        if tamed {
            pitch_gain.gain = gains::tame(pitch_gain.gain);
        }
        (pitch_gain, tamed)
    }

    /// Quantises the gains, makes the excitation and moves the memories on.
    #[allow(clippy::too_many_arguments)]
    #[inline(always)]
    fn close_subframe<K: Kernels>(
        &mut self,
        target: &[i16; SUBFRAME],
        filtered: &[i16; SUBFRAME],
        pitch_gain: &PitchGain,
        tamed: bool,
        innovation: Innovation,
        lag: Lag,
        start: usize,
        work: &mut Work,
    ) -> Choice {
        let correlations =
            gains::correlations::<K>(pitch_gain, target, filtered, &innovation.filtered);
        let (gain_index, gains) = gains::quantise::<K>(
            &correlations,
            &innovation.code,
            tamed,
            &mut self.gain_predictor,
        );
        self.sharpening = gains.pitch.clamp(SHARPENING_MIN, SHARPENING_MAX);
        let excitation = filter::window_mut(&mut work.excitation, start);
        K::mix(excitation, &innovation.code, gains.of_both());
        self.taming.update(gains.pitch, lag.whole);
        self.target_memory = core::array::from_fn(|j| {
            let n = SUBFRAME - ORDER + j;
            let adaptive = extract_h(l_double(l_mult(filtered[n], gains.pitch)));
            let fixed = extract_h(l_shl(l_mult(innovation.filtered[n], gains.code), 2));
            sub(target[n], add(adaptive, fixed))
        });
        Choice {
            innovation,
            gain_index,
        }
    }

    /// A frame of silence: comfort noise runs through the filters in place of speech.
    #[inline(always)]
    fn encode_silence<K: Kernels>(
        &mut self,
        weighting: Option<&[Weighting; 2]>,
        work: &mut Work,
    ) -> Frame {
        let search = self.root_search();
        let Some(silence) = &mut self.silence else {
            return Frame::Untransmitted;
        };
        let (frame, lsp_sid) = silence.describe::<K>(
            &mut self.stable,
            search,
            &self.lsp_old_quantised,
            &mut self.lsf_memory,
        );
        silence.excite(&mut work.excitation, &mut self.taming);
        let a = lpc::interpolate::<K>(&self.lsp_old_quantised, &lsp_sid);
        self.lsp_old_quantised = lsp_sid;
        silence.finish();
        for (subframe, a) in a.iter().enumerate() {
            let start = work.start(subframe);
            let excitation: [i16; SUBFRAME] = *window(&work.excitation, start);
            match weighting {
                None => self.pass_silence_a::<K>(a, &excitation, subframe, work),
                Some(weighting) => {
                    self.pass_silence_base::<K>(a, &weighting[subframe], &excitation, subframe)
                }
            }
        }
        self.sharpening = SHARPENING_MIN;
        frame
    }

    #[inline(always)]
    fn pass_silence_a<K: Kernels>(
        &mut self,
        a: &Predictor,
        excitation: &[i16; SUBFRAME],
        subframe: usize,
        work: &mut Work,
    ) {
        let mut residual = [0; SUBFRAME];
        filter::residual::<K>(a, self.speech_of(subframe), &mut residual);
        let narrowed = lpc::weight(a, &GAMMA_A);
        let y = filter::synthesise::<K>(&tilt(&narrowed), &residual, &mut self.weighting_memory);
        let at = WEIGHTED_PAST + SUBFRAME * subframe;
        work.weighted[at..at + SUBFRAME].copy_from_slice(&y);
        let x = core::array::from_fn(|i| sub(residual[i], excitation[i]));
        filter::synthesise::<K>(&narrowed, &x, &mut self.target_memory);
    }

    #[inline(always)]
    fn pass_silence_base<K: Kernels>(
        &mut self,
        a: &Predictor,
        weighting: &Weighting,
        excitation: &[i16; SUBFRAME],
        subframe: usize,
    ) {
        let synthesis = filter::synthesise::<K>(a, excitation, &mut self.synthesis_memory);
        let speech: &[i16; SUBFRAME] = window(&self.speech, PRESENT + SUBFRAME * subframe);
        let mut error = [0; SUBFRAME + ORDER];
        error[..ORDER].copy_from_slice(&self.error_memory);
        for n in 0..SUBFRAME {
            error[ORDER + n] = sub(speech[n], synthesis[n]);
        }
        let mut x = [0; SUBFRAME];
        filter::residual::<K>(&weighting.numerator, &error, &mut x);
        filter::synthesise::<K>(&weighting.denominator, &x, &mut self.target_memory);
        self.error_memory.copy_from_slice(&error[SUBFRAME..]);
    }
}

/// Indices of a subframe; `range` is where its lag was searched.
#[inline(always)]
fn indices_of(subframe: usize, lag: Lag, range: Range, choice: &Choice) -> bits::Subframe {
    bits::Subframe {
        lag: match subframe {
            0 => pitch::encode_first(lag),
            _ => pitch::encode_second(lag, range),
        },
        positions: choice.innovation.positions,
        signs: choice.innovation.signs,
        gains: choice.gain_index,
    }
}

/// Annex A's weighting with a low-pass for the open-loop search.
#[inline(always)]
fn tilt(narrowed: &Predictor) -> Predictor {
    core::array::from_fn(|i| {
        if i == 0 {
            4096
        } else {
            sub(narrowed[i], mult(narrowed[i - 1], 22938))
        }
    })
}

/// Target minus the adaptive contribution.
#[inline(always)]
fn subtract(target: &[i16; SUBFRAME], filtered: &[i16; SUBFRAME], gain: i16) -> [i16; SUBFRAME] {
    core::array::from_fn(|n| sub(target[n], extract_h(l_double(l_mult(filtered[n], gain)))))
}
