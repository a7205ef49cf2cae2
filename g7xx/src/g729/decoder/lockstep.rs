//! Several decoders of Annex A in lockstep, for frames of speech.

use super::super::highpass;
use super::*;
use crate::arch::lanes::{Lockstep, Row, column, mend, predictor, put_column};
use crate::g729::filter::window_mut;
use crate::g729::postfilter_a::lockstep as post_filter;

impl Decoder {
    fn post_filter_a(&mut self) -> &mut PostFilterA {
        match &mut self.post_filter {
            PostFilter::A(post_filter) => post_filter,
            PostFilter::Base(_) => unreachable!("only decoders that fit are here"),
        }
    }
}

/// Predictors of both subframes, the first from the mean of the pairs.
#[inline(always)]
pub fn interpolate<L: Lockstep<N>, const N: usize>(
    old: &[Lsp; N],
    new: &[Lsp; N],
) -> [[Row<N>; ORDER + 1]; 2] {
    let mut a = [[[0; N]; ORDER + 1]; 2];
    for (subframe, a) in a.iter_mut().enumerate() {
        let lsp: [Lsp; N] = core::array::from_fn(|lane| match subframe {
            0 => lpc::lsp_mean(&old[lane], &new[lane]),
            _ => new[lane],
        });
        let rows: [Row<N>; ORDER] =
            core::array::from_fn(|i| core::array::from_fn(|lane| i32::from(lsp[lane][i])));
        let exact = L::lsp_az(&rows, a);
        mend::<N>(exact, |lane| put_column(a, lane, &lpc::lsp_az(&lsp[lane])));
    }
    a
}

/// Decodes a frame of speech of channels that fit.
#[inline(always)]
pub fn decode<K: Kernels, L: Lockstep<N>, const N: usize>(
    decoders: &mut [&mut Decoder; N],
    inputs: &[FrameInput<'_>; N],
    outputs: [&mut [i16; FRAME]; N],
) {
    let parameters: [Option<Parameters>; N] = inputs.map(|input| match input {
        FrameInput::Speech(octets) => Some(bits::unpack(octets)),
        _ => None,
    });
    let mut vectors = [[0; ORDER]; N];
    let mut modes = [None; N];
    for (lane, parameters) in parameters.iter().enumerate() {
        if let Some(parameters) = parameters {
            let indices = indices_of(parameters);
            vectors[lane] = lsp::entries(&indices);
            modes[lane] = Some(indices.mode);
        }
    }
    lsp::spread_together(&mut vectors);
    let mut excitation = [[0; EXCITATION]; N];
    let (mut old, mut new) = ([[0; ORDER]; N], [[0; ORDER]; N]);
    let mut s = [[0; N]; FRAME + ORDER];
    for (lane, decoder) in decoders.iter_mut().enumerate() {
        excitation[lane][..EXCITATION_PAST].copy_from_slice(&decoder.excitation);
        decoder.noise.seed = cng::SEED;
        decoder.receive::<K>(inputs[lane] != FrameInput::Erased);
        new[lane] = decoder.spectrum_of_vector(modes[lane], &vectors[lane]);
        old[lane] = core::mem::replace(&mut decoder.lsp_old, new[lane]);
        put_column(&mut s, lane, &decoder.synthesis_memory);
    }
    let a = interpolate::<L, N>(&old, &new);
    let mut lags = [[0; 2]; N];
    for (subframe, a) in a.iter().enumerate() {
        excite::<K, N>(decoders, &parameters, subframe, &mut lags, &mut excitation);
        synthesise::<K, L, N>(decoders, a, &mut excitation, subframe, &mut s);
    }
    for (lane, decoder) in decoders.iter_mut().enumerate() {
        decoder.synthesis_memory = column(&s[FRAME..], lane);
        decoder.keep(true, &excitation[lane]);
        decoder.voicing = 0;
    }
    let mut y = [[0; N]; FRAME + 2];
    let mut filters = decoders.each_mut().map(|decoder| decoder.post_filter_a());
    post_filter::filter::<K, L, N>(&mut filters, &s, &a, &lags, &mut y);
    let mut high_passes = decoders.each_mut().map(|decoder| &mut decoder.post_process);
    highpass::lockstep::post_process::<L, N>(&mut high_passes, &mut y, outputs);
}

/// Excitation of a subframe, one step for all channels before the next: what a step of one channel
/// waits for is filled with the same step of another.
#[inline(always)]
fn excite<K: Kernels, const N: usize>(
    decoders: &mut [&mut Decoder; N],
    parameters: &[Option<Parameters>; N],
    subframe: usize,
    lags: &mut [[i32; 2]; N],
    excitation: &mut [[i16; EXCITATION]; N],
) {
    let mut codes = [[0; SUBFRAME]; N];
    for (lane, decoder) in decoders.iter_mut().enumerate() {
        let parameters = parameters[lane].as_ref();
        decoder.predict::<K>(parameters, subframe, &mut lags[lane], &mut excitation[lane]);
        let received = parameters.map(|p| &p.subframes[subframe]);
        codes[lane] = decoder.innovation(received, lags[lane][subframe]);
    }
    let mut gains = [Gains { pitch: 0, code: 0 }; N];
    for (lane, decoder) in decoders.iter_mut().enumerate() {
        let index = parameters[lane]
            .as_ref()
            .map(|p| p.subframes[subframe].gains);
        gains[lane] = decoder.decode_gains::<K>(index, &codes[lane]);
    }
    for (lane, excitation) in excitation.iter_mut().enumerate() {
        let start = EXCITATION_PAST + SUBFRAME * subframe;
        K::mix(
            window_mut(excitation, start),
            &codes[lane],
            gains[lane].of_both(),
        );
    }
}

/// Synthesis of a subframe. A channel that may overflow goes by itself, since its excitation may
/// have to be scaled down.
#[inline(always)]
fn synthesise<K: Kernels, L: Lockstep<N>, const N: usize>(
    decoders: &mut [&mut Decoder; N],
    a: &[Row<N>; ORDER + 1],
    excitation: &mut [[i16; EXCITATION]; N],
    subframe: usize,
    s: &mut [Row<N>; FRAME + ORDER],
) {
    let start = EXCITATION_PAST + SUBFRAME * subframe;
    let at = SUBFRAME * subframe;
    let mut x = [[0; N]; SUBFRAME];
    L::gather(&excitation.each_ref().map(|e| &e[start..]), &mut x);
    let area: &mut [Row<N>; SUBFRAME + ORDER] = window_mut(s, at);
    let exact = L::synthesise(a, &x, area);
    mend::<N>(exact, |lane| {
        let decoder = &mut decoders[lane];
        decoder.synthesis_memory = column(area, lane);
        let mut samples = decoder.history();
        let excitation = &mut excitation[lane];
        decoder.synthesise::<K>(&predictor(a, lane), excitation, subframe, &mut samples);
        put_column(&mut area[ORDER..], lane, &samples[ORDER + at..]);
    });
}
