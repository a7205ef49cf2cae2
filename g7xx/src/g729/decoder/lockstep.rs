//! Several decoders of Annex A in lockstep, for frames of speech.

use super::super::highpass;
use super::*;
use crate::arch::lanes::{
    Lockstep, PAIRS, Row, column, column_of_pairs, mend, predictor, put_column, put_pairs,
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
    old: &[Row<N>; ORDER],
    new: &[Row<N>; ORDER],
) -> [[Row<N>; ORDER + 1]; 2] {
    let mut mean = [[0; N]; ORDER];
    for (mean, (old, new)) in mean.iter_mut().zip(old.iter().zip(new)) {
        for k in 0..N {
            mean[k] = (new[k] >> 1) + (old[k] >> 1);
        }
    }
    let mut a = [[[0; N]; ORDER + 1]; 2];
    for (lsp, a) in [&mean, new].into_iter().zip(&mut a) {
        let exact = L::lsp_az(lsp, a);
        mend::<N>(exact, |lane| {
            put_column(a, lane, &lpc::lsp_az(&column(lsp, lane)))
        });
    }
    a
}

/// Spectral pairs of a frame after those of the one before it.
#[inline(always)]
fn spectra<L: Lockstep<N>, const N: usize>(
    decoders: &mut [&mut Decoder; N],
    parameters: &[Option<Parameters>; N],
) -> [[Row<N>; ORDER]; 2] {
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
    let (mut old, mut new, mut lsf) = ([[0; N]; ORDER], [[0; N]; ORDER], [[0; N]; ORDER]);
    let mut pairs = [&[][..]; N];
    for (pairs, decoder) in pairs.iter_mut().zip(decoders.iter()) {
        *pairs = &decoder.lsp_old;
    }
    L::gather(&pairs, &mut old);
    for (lane, decoder) in decoders.iter_mut().enumerate() {
        let memory = &mut decoder.lsf_memory;
        if let Some(mode) = modes[lane] {
            vectors[lane] = lsp::compose_next(&vectors[lane], mode, memory);
            decoder.mode_previous = mode;
        } else {
            lsp::repeat(&decoder.lsf_previous, decoder.mode_previous, memory);
        }
    }
    L::gather(&vectors.each_ref().map(|vector| &vector[..]), &mut lsf);
    L::spectrum(&mut lsf, &mut new);
    for (lane, decoder) in decoders.iter().enumerate() {
        if modes[lane].is_none() {
            put_column(&mut lsf, lane, &decoder.lsf_previous);
            put_column(&mut new, lane, &lsp::lsf_to_lsp(&decoder.lsf_previous));
        }
    }
    L::scatter(
        &lsf,
        decoders
            .each_mut()
            .map(|decoder| &mut decoder.lsf_previous[..]),
    );
    L::scatter(
        &new,
        decoders.each_mut().map(|decoder| &mut decoder.lsp_old[..]),
    );
    [old, new]
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
    let mut s = [[0; N]; (FRAME + ORDER) / 2];
    for (lane, decoder) in decoders.iter_mut().enumerate() {
        decoder.noise.seed = cng::SEED;
        decoder.receive::<K>(inputs[lane] != FrameInput::Erased);
        put_pairs(&mut s, lane, &decoder.synthesis_memory);
    }
    let [old, new] = spectra::<L, N>(decoders, &parameters);
    let a = interpolate::<L, N>(&old, &new);
    let mut lags = [[0; 2]; N];
    for (subframe, a) in a.iter().enumerate() {
        excite::<K, L, N>(decoders, &parameters, subframe, &mut lags);
        synthesise::<K, L, N>(decoders, a, subframe, &mut s);
    }
    for (lane, decoder) in decoders.iter_mut().enumerate() {
        decoder.synthesis_memory = column_of_pairs(&s[FRAME / 2..], lane);
        decoder.noise.after_speech = true;
        decoder.excitation.copy_within(FRAME.., 0);
        decoder.voicing = 0;
    }
    let mut y = [[0; N]; FRAME / 2];
    let mut filters = decoders.each_mut().map(|decoder| decoder.post_filter_a());
    let levels = post_filter::filter::<K, L, N>(&mut filters, &s, &a, &lags, &mut y);
    finish::<L, N>(decoders, levels, &y, outputs);
}

/// Level control and the last high-pass.
#[inline(always)]
fn finish<L: Lockstep<N>, const N: usize>(
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
        let subframes = outputs[lane].as_chunks_mut::<SUBFRAME>().0;
        for (target, y) in levels.targets_of(lane).into_iter().zip(subframes) {
            post_filter.level(target, &mut high_pass, y);
        }
        decoder.post_process = high_pass;
    });
}

/// Excitation of a subframe, one step for all channels before the next: what a step of one channel
/// waits for is filled with the same step of another.
#[inline(always)]
fn excite<K: Kernels, L: Lockstep<N>, const N: usize>(
    decoders: &mut [&mut Decoder; N],
    parameters: &[Option<Parameters>; N],
    subframe: usize,
    lags: &mut [[i32; 2]; N],
) {
    let start = EXCITATION_PAST + SUBFRAME * subframe;
    let mut codes = [[0; SUBFRAME]; N];
    for (lane, decoder) in decoders.iter_mut().enumerate() {
        let parameters = parameters[lane].as_ref();
        let lag = decoder.lag(parameters, subframe, &mut lags[lane]);
        pitch::predict::<K>(&mut decoder.excitation, start, lag);
        let received = parameters.map(|p| &p.subframes[subframe]);
        codes[lane] = decoder.innovation(received, lags[lane][subframe]);
    }
    decode_gains::<K, L, N>(decoders, parameters, subframe, &codes);
    for (decoder, code) in decoders.iter_mut().zip(&codes) {
        let gains = decoder.gains.of_both();
        K::mix(window_mut(&mut decoder.excitation[..], start), code, gains);
    }
}

/// Gains of a subframe; lost ones go by themselves.
#[inline(always)]
fn decode_gains<K: Kernels, L: Lockstep<N>, const N: usize>(
    decoders: &mut [&mut Decoder; N],
    parameters: &[Option<Parameters>; N],
    subframe: usize,
    codes: &[[i16; SUBFRAME]; N],
) {
    let (mut energies, mut factors, mut pitch) = ([0; N], [1; N], [0; N]);
    let mut memory = [[0; N]; 4];
    for (lane, decoder) in decoders.iter().enumerate() {
        energies[lane] = gains::energy_of_code::<K>(&codes[lane]);
        put_column(&mut memory, lane, &decoder.gain_predictor.0);
        if let Some(parameters) = &parameters[lane] {
            let index = parameters.subframes[subframe].gains;
            (pitch[lane], factors[lane]) = gains::received(index);
        }
    }
    let code = L::code_gains(&energies, &factors, &mut memory);
    for (lane, decoder) in decoders.iter_mut().enumerate() {
        if parameters[lane].is_some() {
            let (pitch, code) = (pitch[lane], code[lane] as i16);
            decoder.gains = Gains { pitch, code };
            decoder.gain_predictor.0 = column(&memory, lane);
            decoder.sharpening = pitch.clamp(SHARPENING_MIN, SHARPENING_MAX);
        } else {
            decoder.decode_gains::<K>(None, &codes[lane]);
        }
    }
}

/// Synthesis of a subframe. A channel that may overflow goes by itself, since its excitation may
/// have to be scaled down.
#[inline(always)]
fn synthesise<K: Kernels, L: Lockstep<N>, const N: usize>(
    decoders: &mut [&mut Decoder; N],
    a: &[Row<N>; ORDER + 1],
    subframe: usize,
    s: &mut [Row<N>; (FRAME + ORDER) / 2],
) {
    let start = EXCITATION_PAST + SUBFRAME * subframe;
    let at = PAIRS * subframe;
    let mut x = [[0; N]; PAIRS];
    let mut parts = [&[][..]; N];
    for (part, decoder) in parts.iter_mut().zip(decoders.iter()) {
        *part = &decoder.excitation[start..];
    }
    L::gather_pairs(&parts, &mut x);
    let area: &mut [Row<N>; PAIRS + ORDER / 2] = window_mut(s, at);
    let exact = L::synthesise_pairs(a, &x, area);
    mend::<N>(exact, |lane| {
        let decoder = &mut decoders[lane];
        decoder.synthesis_memory = column_of_pairs(area, lane);
        let mut samples = decoder.history();
        let mut excitation = decoder.excitation;
        let a = predictor(a, lane);
        decoder.synthesise::<K>(&a, &mut excitation, subframe, &mut samples);
        decoder.excitation = excitation;
        put_pairs(
            &mut area[ORDER / 2..],
            lane,
            &samples[ORDER + SUBFRAME * subframe..],
        );
    });
}
