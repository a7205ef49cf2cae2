//! Several decoders of Annex A in lockstep, for frames of speech.

use super::super::highpass;
use super::*;
use crate::arch::lanes::{
    Lockstep, PAIRS, Row, column_of_pairs, mend, parts, predictor, put_column, put_pairs,
};
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
        let mut lsp = *new;
        if subframe == 0 {
            for lane in 0..N {
                lsp[lane] = lpc::lsp_mean(&old[lane], &new[lane]);
            }
        }
        let mut rows = [[0; N]; ORDER];
        for (lane, lsp) in lsp.iter().enumerate() {
            put_column(&mut rows, lane, lsp);
        }
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
    let mut parameters: [Option<Parameters>; N] = [const { None }; N];
    for (parameters, input) in parameters.iter_mut().zip(inputs) {
        if let FrameInput::Speech(octets) = input {
            *parameters = Some(bits::unpack(octets));
        }
    }
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
    let mut s = [[0; N]; (FRAME + ORDER) / 2];
    for (lane, decoder) in decoders.iter_mut().enumerate() {
        excitation[lane][..EXCITATION_PAST].copy_from_slice(&decoder.excitation);
        decoder.noise.seed = cng::SEED;
        decoder.receive::<K>(inputs[lane] != FrameInput::Erased);
        new[lane] = decoder.spectrum_of_vector(modes[lane], &vectors[lane]);
        old[lane] = core::mem::replace(&mut decoder.lsp_old, new[lane]);
        put_pairs(&mut s, lane, &decoder.synthesis_memory);
    }
    let a = interpolate::<L, N>(&old, &new);
    let mut lags = [[0; 2]; N];
    for (subframe, a) in a.iter().enumerate() {
        excite::<K, N>(decoders, &parameters, subframe, &mut lags, &mut excitation);
        synthesise::<K, L, N>(decoders, a, &mut excitation, subframe, &mut s);
    }
    for (lane, decoder) in decoders.iter_mut().enumerate() {
        decoder.synthesis_memory = column_of_pairs(&s[FRAME / 2..], lane);
        decoder.keep(true, &excitation[lane]);
        decoder.voicing = 0;
    }
    let mut y = [[0; N]; FRAME / 2];
    let mut filters = decoders.each_mut().map(|decoder| decoder.post_filter_a());
    let levels = post_filter::filter::<K, L, N>(&mut filters, &s, &a, &lags, &mut y);
    finish::<K, L, N>(decoders, levels, &y, outputs);
}

/// Level control and the last high-pass.
#[inline(always)]
fn finish<K: Kernels, L: Lockstep<N>, const N: usize>(
    decoders: &mut [&mut Decoder; N],
    levels: post_filter::Levels<N>,
    y: &[Row<N>; FRAME / 2],
    mut outputs: [&mut [i16; FRAME]; N],
) {
    let mut gains = levels.gains;
    let mut z = [[0; N]; FRAME / 2];
    let before = decoders.each_ref().map(|decoder| decoder.post_process);
    let mut high_passes = decoders.each_mut().map(|decoder| &mut decoder.post_process);
    let targets = &levels.targets;
    let exact =
        highpass::lockstep::post_process::<L, N>(&mut high_passes, targets, &mut gains, y, &mut z);
    L::scatter_pairs(&z, outputs.each_mut().map(|output| &mut output[..]));
    for (decoder, gain) in decoders.iter_mut().zip(gains) {
        decoder.post_filter_a().set_gain(gain);
    }
    mend::<N>(exact & !(levels.silent[0] | levels.silent[1]), |lane| {
        let decoder = &mut *decoders[lane];
        let mut high_pass = before[lane];
        *outputs[lane] = column_of_pairs(y, lane);
        let post_filter = decoder.post_filter_a();
        post_filter.set_gain(levels.gains[lane]);
        post_filter.level::<K>(levels.targets_of(lane), &mut high_pass, outputs[lane]);
        decoder.post_process = high_pass;
    });
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
    s: &mut [Row<N>; (FRAME + ORDER) / 2],
) {
    let start = EXCITATION_PAST + SUBFRAME * subframe;
    let at = PAIRS * subframe;
    let mut x = [[0; N]; PAIRS];
    L::gather_pairs(&parts(excitation, [start; N]), &mut x);
    let area: &mut [Row<N>; PAIRS + ORDER / 2] = window_mut(s, at);
    let exact = L::synthesise_pairs(a, &x, area);
    mend::<N>(exact, |lane| {
        let decoder = &mut decoders[lane];
        decoder.synthesis_memory = column_of_pairs(area, lane);
        let mut samples = decoder.history();
        let excitation = &mut excitation[lane];
        decoder.synthesise::<K>(&predictor(a, lane), excitation, subframe, &mut samples);
        put_pairs(
            &mut area[ORDER / 2..],
            lane,
            &samples[ORDER + SUBFRAME * subframe..],
        );
    });
}
