//! The decoder up to the synthesis; the post-filters follow in their own files (G.729 4.1, 4.4, B.5).

use super::bits::{self, Parameters, SidParameters, Subframe};
use super::cng::{self, Energy};
use super::codebook;
use super::encoder::{SHARPENING_MAX, SHARPENING_MIN};
use super::filter::{self, Memory, SUBFRAME, window};
use super::gains::{self, Gains, Predictor as GainPredictor};
use super::highpass::HighPass;
use super::lpc::{self, Lsp, ORDER, Predictor};
use super::lsp::{self, Indices};
use super::ops::*;
use super::pitch::{self, EXCITATION, EXCITATION_PAST, LAG_MAX, Lag};
use super::postfilter::PostFilterBase;
use super::postfilter_a::{self, PostFilterA, Shape};
use super::tables::{FREQ_PREV_RESET, INIT_LSP, INIT_LSP_SID};
use super::{FRAME, FrameInput, Variant};
use crate::arch::Kernels;

#[cfg(any(test, target_arch = "x86_64"))]
pub(crate) mod lockstep;

/// The post-filter of a variant.
// The larger one is no waste: an enum of the two costs the same as either alone needs.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug)]
enum PostFilter {
    A(PostFilterA),
    Base(PostFilterBase),
}

/// State of a decoder between frames.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// The past, and room for the frame.
    excitation: [i16; EXCITATION],
    lsp_old: Lsp,
    lsf_memory: lsp::Memory,
    lsf_previous: Lsp,
    mode_previous: usize,
    synthesis_memory: Memory,
    sharpening: i16,
    lag_previous: i32,
    gains: Gains,
    gain_predictor: GainPredictor,
    /// Of the codebook of erased frames.
    seed: i16,
    /// Base codec: lag of the last frame when it was voiced, else 0.
    voicing: i32,
    post_filter: PostFilter,
    post_process: HighPass,
    noise: Noise,
}

/// What comfort noise remembers.
#[derive(Clone, Debug)]
struct Noise {
    seed: i16,
    after_speech: bool,
    sid_gain: i16,
    gain: i16,
    lsp: Lsp,
    /// Of the excitation of the last frame that was received; `None` while that is the newest one,
    /// from which it can be found.
    energy: Option<Energy>,
}

/// What is known of a frame before its subframes.
struct Course {
    /// Parameters of speech, or that they were lost; `None` for noise, whose excitation is there.
    speech: Option<Option<Parameters>>,
    a: [Predictor; 2],
    /// Lags of the subframes, put in as they become known.
    lags: [i32; 2],
}

/// Indices of the spectrum.
#[inline(always)]
fn indices_of(p: &Parameters) -> Indices {
    Indices {
        mode: usize::from(p.predictor_first >> 7 & 1),
        first: usize::from(p.predictor_first & 127),
        lower: usize::from(p.second >> 5 & 31),
        upper: usize::from(p.second & 31),
    }
}

impl Decoder {
    pub fn new(variant: Variant) -> Self {
        Self {
            excitation: [0; EXCITATION],
            lsp_old: INIT_LSP,
            lsf_memory: lsp::initial_memory(),
            lsf_previous: FREQ_PREV_RESET,
            mode_previous: 0,
            synthesis_memory: [0; ORDER],
            sharpening: SHARPENING_MIN,
            lag_previous: 60,
            gains: Gains { pitch: 0, code: 0 },
            gain_predictor: GainPredictor::new(),
            seed: 21845,
            voicing: 60,
            post_filter: match variant {
                Variant::A => PostFilter::A(PostFilterA::new()),
                Variant::Base => PostFilter::Base(PostFilterBase::new()),
            },
            post_process: HighPass::new(),
            noise: Noise {
                seed: cng::SEED,
                after_speech: true,
                sid_gain: cng::gain_of(0),
                gain: 0,
                lsp: INIT_LSP_SID,
                energy: Some(Energy {
                    value: 0,
                    exponent: 1,
                }),
            },
        }
    }

    /// Whether the next frame may be decoded in lockstep: speech, received or not.
    #[inline]
    pub fn fits(&self, input: FrameInput<'_>) -> bool {
        let speech = match input {
            FrameInput::Speech(_) => true,
            FrameInput::Erased => self.noise.after_speech,
            FrameInput::Sid(_) | FrameInput::Untransmitted => false,
        };
        speech && matches!(self.post_filter, PostFilter::A(_))
    }

    #[inline(always)]
    pub fn decode<K: Kernels>(&mut self, input: FrameInput<'_>, output: &mut [i16; FRAME]) {
        let mut excitation = self.excitation;
        // An erased frame goes on with what there was: speech or noise.
        let speech = match input {
            FrameInput::Speech(_) => true,
            FrameInput::Erased => self.noise.after_speech,
            FrameInput::Sid(_) | FrameInput::Untransmitted => false,
        };
        let mut course = match input {
            FrameInput::Speech(octets) => self.begin_speech::<K>(Some(bits::unpack(octets))),
            FrameInput::Erased if speech => self.begin_speech::<K>(None),
            FrameInput::Sid(octets) => {
                self.decode_noise::<K>(Some(&bits::unpack_sid(octets)), &mut excitation)
            }
            FrameInput::Untransmitted | FrameInput::Erased => {
                self.decode_noise::<K>(None, &mut excitation)
            }
        };
        self.receive::<K>(input != FrameInput::Erased);
        let mut samples = self.history();
        if let PostFilter::A(_) = self.post_filter {
            self.finish_a::<K>(&mut course, speech, &mut excitation, &mut samples, output);
        } else {
            for subframe in 0..2 {
                self.excite_if_speech::<K>(&mut course, subframe, &mut excitation);
                let a = &course.a[subframe];
                self.synthesise::<K>(a, &mut excitation, subframe, &mut samples);
            }
            self.finish_base::<K>(&course, speech, &samples, output);
        }
        self.noise.after_speech = speech;
        let past: &mut [i16; EXCITATION_PAST] = filter::window_mut(&mut self.excitation, 0);
        *past = *window(&excitation, FRAME);
    }

    /// Excitation of a subframe; that of noise is there already.
    #[inline(always)]
    fn excite_if_speech<K: Kernels>(
        &mut self,
        course: &mut Course,
        subframe: usize,
        excitation: &mut [i16; EXCITATION],
    ) {
        if let Some(parameters) = &course.speech {
            let parameters = parameters.as_ref();
            let lag = self.lag(parameters, subframe, &mut course.lags);
            let start = EXCITATION_PAST + SUBFRAME * subframe;
            pitch::predict::<K>(excitation, start, lag);
            let received = parameters.map(|p| &p.subframes[subframe]);
            let code = self.innovation(received, course.lags[subframe]);
            let gains = self.decode_gains::<K>(received.map(|p| p.gains), &code);
            let adaptive = filter::window_mut(&mut excitation[..], start);
            K::mix(adaptive, &code, gains.of_both());
        }
    }

    /// Synthesis and post-filter of Annex A. The responses of the post-filters run beside the synthesis
    /// of the first subframe, the post-filter of the first subframe runs beside the synthesis of the
    /// second, and the last high-pass over the first beside the post-filter of the second, since each
    /// of them waits for its own last output.
    #[inline(always)]
    fn finish_a<K: Kernels>(
        &mut self,
        course: &mut Course,
        speech: bool,
        excitation: &mut [i16; EXCITATION],
        samples: &mut [i16; FRAME + ORDER],
        output: &mut [i16; FRAME],
    ) {
        let a = course.a;
        let mut shapes = postfilter_a::shapes(&a);
        self.excite_if_speech::<K>(course, 0, excitation);
        let inputs = shapes.each_ref().map(Shape::response_input);
        let mut areas = [filter::area_of(&self.synthesis_memory), [0; 50], [0; 50]];
        let [first, second] = &shapes;
        let [exact, exact_responses @ ..] = K::synthesise::<3, { SUBFRAME / 4 }>(
            [&a[0], &first.denominator, &second.denominator],
            [
                window(&excitation[..], EXCITATION_PAST),
                &inputs[0],
                &inputs[1],
            ],
            areas.each_mut(),
        );
        let [y, responses @ ..] = &mut areas;
        for k in 0..2 {
            shapes[k].take_response::<K>(&inputs[k], exact_responses[k], &mut responses[k]);
        }
        if exact {
            self.put_synthesis(&filter::outputs_of(y), 0, samples);
        } else {
            self.synthesise::<K>(&a[0], excitation, 0, samples);
        }
        self.excite_if_speech::<K>(course, 1, excitation);
        let PostFilter::A(post_filter) = &mut self.post_filter else {
            return;
        };
        let s = window(samples, 0);
        let x = post_filter.excite::<K>(s, &shapes[0], 0, course.lags[0], speech, |_| {});
        let mut areas = [
            filter::area_of(&self.synthesis_memory),
            filter::area_of(post_filter.memory()),
        ];
        let second = window(&excitation[..], EXCITATION_PAST + SUBFRAME);
        let [exact, exact_output] = K::synthesise::<2, { SUBFRAME / 4 }>(
            [&a[1], &shapes[0].denominator],
            [second, &x],
            areas.each_mut(),
        );
        if !exact_output {
            filter::synthesise_limited(&shapes[0].denominator, &x, &mut areas[1]);
        }
        let y: &mut [i16; SUBFRAME] = filter::window_mut(output, 0);
        *y = filter::outputs_of(&areas[1]);
        let first = post_filter.finish::<K>(s, y);
        if exact {
            let y = filter::outputs_of(&areas[0]);
            self.put_synthesis(&y, 1, samples);
        } else {
            self.synthesise::<K>(&a[1], excitation, 1, samples);
        }
        let PostFilter::A(post_filter) = &mut self.post_filter else {
            return;
        };
        let s = window(samples, SUBFRAME);
        let mut gains = post_filter.approach(first);
        let (shape, lag) = (&shapes[1], course.lags[1]);
        let x = post_filter.excite::<K>(s, shape, 1, lag, speech, |part| gains.take(part));
        let [first, second] = output.as_chunks_mut::<SUBFRAME>().0 else {
            return;
        };
        let levelled = post_filter.apply::<K>(&gains, first);
        let mut steps = self.post_process.begin(&levelled);
        let mut area = filter::area_of(post_filter.memory());
        let step = |block| steps.take_four(block);
        if !K::synthesise_beside(&shape.denominator, &x, &mut area, step) {
            filter::synthesise_limited(&shape.denominator, &x, &mut area);
        }
        self.post_process.end(steps, first);
        *second = filter::outputs_of(&area);
        let target = post_filter.finish::<K>(s, second);
        post_filter.forget();
        post_filter.level(target, &mut self.post_process, second);
        self.voicing = 0;
    }

    /// Post-filter of the base codec.
    #[inline(always)]
    fn finish_base<K: Kernels>(
        &mut self,
        course: &Course,
        speech: bool,
        samples: &[i16; FRAME + ORDER],
        output: &mut [i16; FRAME],
    ) {
        let PostFilter::Base(post_filter) = &mut self.post_filter else {
            return;
        };
        self.voicing = 0;
        for subframe in 0..2 {
            let s = window(samples, SUBFRAME * subframe);
            let a = &course.a[subframe];
            let (y, voiced) = post_filter.filter::<K>(s, a, course.lags[0], speech);
            output[SUBFRAME * subframe..][..SUBFRAME].copy_from_slice(&y);
            if voiced != 0 {
                self.voicing = voiced;
            }
        }
        self.post_process.post_process(output);
    }

    /// Energy of the newest frame of the excitation, unless it was not received and an older one counts.
    #[inline(always)]
    fn energy<K: Kernels>(&self) -> Energy {
        self.noise.energy.unwrap_or_else(|| {
            let part = |back: usize| K::energy(window(&self.excitation, EXCITATION_PAST - back));
            let sum = clamp_32(2 * (part(FRAME) + part(SUBFRAME)));
            let norm = norm_l(sum);
            Energy {
                value: round(l_shl(sum, norm)),
                exponent: 16 - norm as i16,
            }
        })
    }

    /// Before a frame is decoded: what a lost one does not replace is found in time.
    #[inline(always)]
    fn receive<K: Kernels>(&mut self, received: bool) {
        self.noise.energy = if received {
            None
        } else {
            Some(self.energy::<K>())
        };
    }

    /// LSP of a speech frame, received or not.
    #[inline(always)]
    fn spectrum(&mut self, parameters: Option<&Parameters>) -> Lsp {
        match parameters {
            Some(p) => {
                let indices = indices_of(p);
                self.lsf_previous = lsp::reconstruct(&indices, &mut self.lsf_memory);
                self.mode_previous = indices.mode;
            }
            None => lsp::repeat(&self.lsf_previous, self.mode_previous, &mut self.lsf_memory),
        }
        lsp::lsf_to_lsp(&self.lsf_previous)
    }

    /// What comes before the subframes of speech.
    #[inline(always)]
    fn begin_speech<K: Kernels>(&mut self, parameters: Option<Parameters>) -> Course {
        self.noise.seed = cng::SEED;
        let lsp = self.spectrum(parameters.as_ref());
        let a = lpc::interpolate::<K>(&self.lsp_old, &lsp);
        self.lsp_old = lsp;
        Course {
            speech: Some(parameters),
            a,
            lags: [0; 2],
        }
    }

    /// Lag of a subframe of speech.
    #[inline(always)]
    fn lag(
        &mut self,
        parameters: Option<&Parameters>,
        subframe: usize,
        lags: &mut [i32; 2],
    ) -> Lag {
        let lag = match parameters {
            Some(p) if subframe == 0 => {
                let index = p.subframes[0].lag;
                (pitch::parity(index) == p.parity).then(|| pitch::decode_first(index))
            }
            Some(p) => Some(pitch::decode_second(p.subframes[1].lag, lags[0])),
            None => None,
        };
        let lag = match lag {
            Some(lag) => {
                self.lag_previous = lag.whole;
                lag
            }
            None => {
                let whole = self.lag_previous;
                self.lag_previous = (whole + 1).min(LAG_MAX);
                Lag { whole, third: 0 }
            }
        };
        lags[subframe] = lag.whole;
        lag
    }

    /// Code vector of a subframe, received or drawn.
    #[inline(always)]
    fn innovation(&mut self, subframe: Option<&Subframe>, lag: i32) -> [i16; SUBFRAME] {
        let (positions, signs) = match subframe {
            Some(subframe) => (subframe.positions, subframe.signs),
            None => {
                let positions = random(&mut self.seed) as u16 & 0x1FFF;
                (positions, random(&mut self.seed) as u16 & 0xF)
            }
        };
        codebook::decode(positions, signs, lag, self.sharpening)
    }

    /// Gains for the excitation of a subframe; a lost one repeats them, attenuated.
    #[inline(always)]
    fn decode_gains<K: Kernels>(&mut self, index: Option<u16>, code: &[i16; SUBFRAME]) -> Gains {
        let used = match index {
            Some(index) => {
                self.gains = gains::decode::<K>(index, code, &mut self.gain_predictor);
                self.gains
            }
            None => {
                self.gains.pitch = mult(self.gains.pitch, 29491).min(29491);
                self.gains.code = mult(self.gains.code, 32111);
                self.gain_predictor.fade();
                match (&self.post_filter, self.voicing) {
                    (PostFilter::A(_), _) => self.gains,
                    (PostFilter::Base(_), 0) => Gains {
                        pitch: 0,
                        ..self.gains
                    },
                    (PostFilter::Base(_), _) => Gains {
                        code: 0,
                        ..self.gains
                    },
                }
            }
        };
        self.sharpening = self.gains.pitch.clamp(SHARPENING_MIN, SHARPENING_MAX);
        used
    }

    /// Sample buffer that starts with the last ten samples before the frame.
    fn history(&self) -> [i16; FRAME + ORDER] {
        let mut samples = [0; FRAME + ORDER];
        samples[..ORDER].copy_from_slice(&self.synthesis_memory);
        samples
    }

    /// Synthesis of a subframe. When it overflows, the whole excitation is scaled down for good.
    #[inline(always)]
    fn synthesise<K: Kernels>(
        &mut self,
        a: &Predictor,
        excitation: &mut [i16; EXCITATION],
        subframe: usize,
        samples: &mut [i16; FRAME + ORDER],
    ) {
        let start = EXCITATION_PAST + SUBFRAME * subframe;
        let (mut y, overflow) = filter::synthesise_checked::<K>(
            a,
            window(&excitation[..], start),
            &self.synthesis_memory,
        );
        if overflow {
            excitation.iter_mut().for_each(|e| *e >>= 2);
            y = filter::synthesise_only::<K>(
                a,
                window(&excitation[..], start),
                &self.synthesis_memory,
            );
        }
        self.put_synthesis(&y, subframe, samples);
    }

    /// Puts a subframe behind the samples that there are.
    #[inline(always)]
    fn put_synthesis(
        &mut self,
        y: &[i16; SUBFRAME],
        subframe: usize,
        samples: &mut [i16; FRAME + ORDER],
    ) {
        self.synthesis_memory
            .copy_from_slice(&y[SUBFRAME - ORDER..]);
        samples[ORDER + SUBFRAME * subframe..][..SUBFRAME].copy_from_slice(y);
    }

    #[inline(always)]
    fn decode_noise<K: Kernels>(
        &mut self,
        sid: Option<&SidParameters>,
        excitation: &mut [i16; EXCITATION],
    ) -> Course {
        let energy = self.energy::<K>();
        let noise = &mut self.noise;
        match sid {
            Some(sid) => {
                noise.sid_gain = cng::gain_of(usize::from(sid.gain));
                noise.lsp = cng::decode_spectrum(sid, &mut self.lsf_memory);
            }
            // The first descriptor after speech was lost.
            None if noise.after_speech => noise.sid_gain = cng::gain_of(cng::conceal_gain(energy)),
            None => {}
        }
        noise.gain = cng::smooth(noise.gain, noise.sid_gain, noise.after_speech);
        cng::excite(excitation, noise.gain, &mut noise.seed, None);
        let lsp = noise.lsp;
        let a = lpc::interpolate::<K>(&self.lsp_old, &lsp);
        self.lsp_old = lsp;
        self.sharpening = SHARPENING_MIN;
        Course {
            speech: None,
            a,
            lags: [self.lag_previous; 2],
        }
    }
}
