//! Several encoders of Annex A in lockstep. Channels with a silent frame go by themselves once that is
//! known; their lanes hold nothing then.
//!
//! Work on single channels stands in plain loops: a closure that is not inlined would be compiled
//! without the vector instructions.

use super::super::highpass;
use super::super::lpc::LAGS;
use super::*;
use crate::arch::lanes::{Lockstep, Row, column, mend, predictor, put_column};
use crate::g729::decoder::lockstep::interpolate;
use crate::g729::filter::window_mut;

/// Predictors of some channels.
type Predictors<const N: usize> = [Row<N>; ORDER + 1];
/// One subframe of each channel.
type Subframes<const N: usize> = [[i16; SUBFRAME]; N];
/// Speech that is brought into lanes: the frame and enough before it, in eights.
const SPEECH: usize = FRAME + 16;

/// Encodes a frame of channels that fit.
#[inline(always)]
pub fn encode<K: Kernels, L: Lockstep<N>, const N: usize>(
    encoders: &mut [&mut Encoder; N],
    samples: &[&[i16; FRAME]; N],
) -> [Frame; N] {
    pre_process::<L, N>(encoders, samples);
    let mut frames = [Frame::Untransmitted; N];
    let mut active = [false; N];
    let mut parameters = [const { None }; N];
    let (mut old, mut new) = ([[0; N]; ORDER], [[0; N]; ORDER]);
    let mut works: [Work; N] = core::array::from_fn(|lane| encoders[lane].work());
    let correlations = predict::<K, L, N>(encoders);
    for (lane, encoder) in encoders.iter_mut().enumerate() {
        let (unwindowed, r) = &correlations[lane];
        let (lsp_new, is_active) = encoder.judge::<K>(unwindowed, r);
        active[lane] = is_active;
        if is_active {
            put_column(&mut old, lane, &encoder.lsp_old_quantised);
            parameters[lane] = Some(encoder.quantise_spectrum::<K>(&lsp_new));
            put_column(&mut new, lane, &encoder.lsp_old_quantised);
        } else {
            frames[lane] = encoder.encode_silence::<K>(None, &mut works[lane]);
        }
    }
    let a = interpolate::<L, N>(&old, &new);
    let narrowed = a.each_ref().map(|a| L::weight(a, &GAMMA_A));
    weigh::<K, L, N>(encoders, &active, &a, &narrowed, &mut works);
    let mut ranges = [Range::first(pitch::LAG_MIN); N];
    for lane in (0..N).filter(|lane| active[*lane]) {
        ranges[lane] = Range::first(pitch::open_loop_a::<K>(&works[lane].weighted));
    }
    for (subframe, narrowed) in narrowed.iter().enumerate() {
        let choices =
            encode_subframe::<K, L, N>(encoders, &active, narrowed, &ranges, subframe, &mut works);
        for lane in 0..N {
            if let (Some(parameters), Some((lag, choice))) = (&mut parameters[lane], &choices[lane])
            {
                parameters.subframes[subframe] = indices_of(subframe, *lag, ranges[lane], choice);
                ranges[lane] = Range::second(lag.whole);
            }
        }
    }
    for (lane, encoder) in encoders.iter_mut().enumerate() {
        if let Some(parameters) = &mut parameters[lane] {
            parameters.parity = pitch::parity(parameters.subframes[0].lag);
            frames[lane] = Frame::Speech(bits::pack(parameters));
        }
        encoder.keep(&works[lane]);
    }
    frames
}

/// High-pass of the new samples into the speech buffers.
#[inline(always)]
fn pre_process<L: Lockstep<N>, const N: usize>(
    encoders: &mut [&mut Encoder; N],
    samples: &[&[i16; FRAME]; N],
) {
    let mut x = [[0; N]; FRAME + 2];
    L::gather(&samples.map(|samples| &samples[..]), &mut x[2..]);
    let mut outputs = [[0; FRAME]; N];
    let mut filters = encoders.each_mut().map(|encoder| &mut encoder.pre_filter);
    highpass::lockstep::pre_process::<L, N>(
        &mut filters,
        &mut x,
        outputs.each_mut().map(|output| &mut output[..]),
    );
    for (encoder, output) in encoders.iter_mut().zip(&outputs) {
        encoder.speech[WINDOW - FRAME..].copy_from_slice(output);
    }
}

/// Autocorrelations, and from them the predictors.
#[inline(always)]
fn predict<K: Kernels, L: Lockstep<N>, const N: usize>(
    encoders: &mut [&mut Encoder; N],
) -> [(Autocorrelation, Autocorrelation); N] {
    let nothing = Autocorrelation {
        high: [0; LAGS],
        low: [0; LAGS],
        exponent: 0,
    };
    let mut correlations = [(nothing, nothing); N];
    for (encoder, correlation) in encoders.iter().zip(&mut correlations) {
        *correlation = encoder.autocorrelate::<K>();
    }
    let mut r = [[0; N]; ORDER + 1];
    for (lane, (_, windowed)) in correlations.iter().enumerate() {
        for (lag, row) in r.iter_mut().enumerate() {
            row[lane] = l_comp(windowed.at(lag));
        }
    }
    let mut a = [[0; N]; ORDER + 1];
    let mut reflection = [[0; N]; 2];
    let exact = L::levinson(&r, &mut a, &mut reflection);
    for (lane, encoder) in encoders.iter_mut().enumerate() {
        if exact >> lane & 1 == 1 {
            encoder.stable = Stable {
                a: predictor(&a, lane),
                reflection: column(&reflection, lane),
            };
        } else {
            lpc::levinson(&correlations[lane].1, &mut encoder.stable);
        }
    }
    correlations
}

/// Residual into the excitations, and weighted speech.
#[inline(always)]
fn weigh<K: Kernels, L: Lockstep<N>, const N: usize>(
    encoders: &mut [&mut Encoder; N],
    active: &[bool; N],
    a: &[Predictors<N>; 2],
    narrowed: &[Predictors<N>; 2],
    works: &mut [Work; N],
) {
    let mut speech = [[0; N]; SPEECH];
    let from = PRESENT + FRAME - SPEECH;
    let sources = encoders
        .each_ref()
        .map(|encoder| &encoder.speech[from..PRESENT + FRAME]);
    L::gather(&sources, &mut speech);
    let mut weighted = [[0; N]; FRAME + ORDER];
    for (lane, encoder) in encoders.iter().enumerate() {
        put_column(&mut weighted, lane, &encoder.weighting_memory);
    }
    let mut residuals = [[0; N]; FRAME];
    for subframe in 0..2 {
        let at = SUBFRAME * subframe;
        let (a, narrowed) = (&a[subframe], &narrowed[subframe]);
        let s: &[Row<N>; SUBFRAME + ORDER] = window(&speech, SPEECH - FRAME - ORDER + at);
        let x: &mut [Row<N>; SUBFRAME] = window_mut(&mut residuals, at);
        let exact = L::residual(a, s, x);
        mend::<N>(exact, |lane| {
            let mut y = [0; SUBFRAME];
            filter::residual::<K>(&predictor(a, lane), &column(s, lane), &mut y);
            put_column(x, lane, &y);
        });
        let mut tilted = *narrowed;
        for lane in 0..N {
            put_column(&mut tilted, lane, &tilt(&predictor(narrowed, lane)));
        }
        let area: &mut [Row<N>; SUBFRAME + ORDER] = window_mut(&mut weighted, at);
        synthesise::<K, L, N>(&tilted, x, area);
    }
    let mut outputs = [[0; FRAME]; N];
    L::scatter(&weighted[ORDER..], outputs.each_mut().map(|y| &mut y[..]));
    let mut inputs = [[0; FRAME]; N];
    L::scatter(&residuals, inputs.each_mut().map(|x| &mut x[..]));
    for lane in (0..N).filter(|lane| active[*lane]) {
        encoders[lane].weighting_memory = column(&weighted[FRAME..], lane);
        works[lane].weighted[WEIGHTED_PAST..].copy_from_slice(&outputs[lane]);
        works[lane].excitation[EXCITATION_PAST..].copy_from_slice(&inputs[lane]);
    }
}

/// Synthesis of `x` into `area` after its first ten rows, exact in all lanes.
#[inline(always)]
fn synthesise<K: Kernels, L: Lockstep<N>, const N: usize>(
    a: &Predictors<N>,
    x: &[Row<N>; SUBFRAME],
    area: &mut [Row<N>; SUBFRAME + ORDER],
) {
    let exact = L::synthesise(a, x, area);
    mend::<N>(exact, |lane| {
        let (x, memory) = (column(x, lane), column(area, lane));
        let y = filter::synthesise_only::<K>(&predictor(a, lane), &x, &memory);
        put_column(&mut area[ORDER..], lane, &y);
    });
}

/// Brings the outputs of [`synthesise`] back into channels.
#[inline(always)]
fn outputs<L: Lockstep<N>, const N: usize>(area: &[Row<N>; SUBFRAME + ORDER]) -> Subframes<N> {
    let mut outputs = [[0; SUBFRAME]; N];
    L::scatter(&area[ORDER..], outputs.each_mut().map(|y| &mut y[..]));
    outputs
}

/// A subframe of the active channels.
#[inline(always)]
fn encode_subframe<K: Kernels, L: Lockstep<N>, const N: usize>(
    encoders: &mut [&mut Encoder; N],
    active: &[bool; N],
    narrowed: &Predictors<N>,
    ranges: &[Range; N],
    subframe: usize,
    works: &mut [Work; N],
) -> [Option<(Lag, Choice)>; N] {
    let start = EXCITATION_PAST + SUBFRAME * subframe;
    let mut x = [[0; N]; SUBFRAME];
    x[0] = [4096; N];
    let mut area = [[0; N]; SUBFRAME + ORDER];
    synthesise::<K, L, N>(narrowed, &x, &mut area);
    let responses = outputs::<L, N>(&area);
    for (lane, encoder) in encoders.iter().enumerate() {
        put_column(&mut area, lane, &encoder.target_memory);
    }
    L::gather(
        &works.each_ref().map(|work| &work.excitation[start..]),
        &mut x,
    );
    synthesise::<K, L, N>(narrowed, &x, &mut area);
    let targets = outputs::<L, N>(&area);
    let mut lags = [None; N];
    for lane in (0..N).filter(|lane| active[*lane]) {
        lags[lane] = Some(pitch::closed_loop_a::<K>(
            &targets[lane],
            &responses[lane],
            &mut works[lane].excitation,
            start,
            ranges[lane],
            subframe == 0,
        ));
    }
    L::gather(
        &works.each_ref().map(|work| &work.excitation[start..]),
        &mut x,
    );
    area[..ORDER].fill([0; N]);
    synthesise::<K, L, N>(narrowed, &x, &mut area);
    let filtered = outputs::<L, N>(&area);
    let mut choices = [const { None }; N];
    for (lane, encoder) in encoders.iter_mut().enumerate() {
        if let Some(lag) = lags[lane] {
            let choice = encoder.choose_a::<K>(
                &targets[lane],
                &responses[lane],
                &filtered[lane],
                lag,
                start,
                &mut works[lane],
            );
            choices[lane] = Some((lag, choice));
        }
    }
    choices
}
