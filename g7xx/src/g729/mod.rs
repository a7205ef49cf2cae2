//! G.729: conjugate-structure ACELP at 8 kbit/s, with Annex A (reduced complexity) and Annex B
//! (silence compression), bit-exact.
//!
//! A frame is 80 samples at 8 kHz (10 ms). The encoder looks 5 ms ahead, so what it sends describes
//! sound 5 ms older than its newest sample.

pub mod bits;

mod cng;
mod codebook;
pub(crate) mod decoder;
mod dtx;
pub(crate) mod encoder;
pub(crate) mod filter;
mod gains;
mod highpass;
pub(crate) mod lpc;
pub(crate) mod lsp;
// Every operator of the recommendation stands here by its name; its document needs no more.
#[allow(missing_docs)]
pub(crate) mod ops;
mod perceptual;
pub(crate) mod pitch;
mod postfilter;
mod postfilter_a;
pub(crate) mod tables;
#[cfg(test)]
pub(crate) mod tests;
mod vad;

use crate::arch;

/// Samples of a frame.
pub const FRAME: usize = 80;
/// Octets of a coded speech frame.
pub const SPEECH_OCTETS: usize = 10;
/// Octets of a silence descriptor.
pub const SID_OCTETS: usize = 2;

/// Which of the two interoperable algorithms. They share the bit stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// The base codec: a little better, half again as dear.
    Base,
    /// Annex A, what everybody uses.
    A,
}

/// What an encoder made of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Active speech, or anything when the VAD is off.
    Speech([u8; SPEECH_OCTETS]),
    /// Silence descriptor of Annex B: ends a packet.
    Sid([u8; SID_OCTETS]),
    /// Annex B: nothing is sent.
    Untransmitted,
}

impl Frame {
    /// The octets to be put into an RTP payload: 10, 2 or none.
    pub fn octets(&self) -> &[u8] {
        match self {
            Frame::Speech(octets) => octets,
            Frame::Sid(octets) => octets,
            Frame::Untransmitted => &[],
        }
    }

    /// The same frame as decoder input.
    pub fn as_input(&self) -> FrameInput<'_> {
        match self {
            Frame::Speech(octets) => FrameInput::Speech(octets),
            Frame::Sid(octets) => FrameInput::Sid(octets),
            Frame::Untransmitted => FrameInput::Untransmitted,
        }
    }
}

/// What is known about a frame at the receiver. The four are not interchangeable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameInput<'a> {
    /// Received speech.
    Speech(&'a [u8; SPEECH_OCTETS]),
    /// Received silence descriptor.
    Sid(&'a [u8; SID_OCTETS]),
    /// The sender sent nothing on purpose (a gap in timestamps without a gap in sequence numbers).
    Untransmitted,
    /// The frame was sent and got lost.
    Erased,
}

/// Encoder of one channel.
///
/// ```
/// use g7xx::g729::{Encoder, Frame, Variant};
/// let mut encoder = Encoder::new(Variant::A, false);
/// let frame = encoder.encode(&[0; 80]);
/// assert_eq!(frame.octets().len(), 10);
/// ```
#[derive(Clone, Debug)]
pub struct Encoder {
    inner: encoder::Encoder,
}

impl Encoder {
    /// In the reset state. With `vad`, silence is compressed as Annex B says; otherwise every frame
    /// is [`Frame::Speech`].
    pub fn new(variant: Variant, vad: bool) -> Self {
        Self {
            inner: encoder::Encoder::new(variant, vad),
        }
    }

    /// Encodes one frame.
    pub fn encode(&mut self, samples: &[i16; FRAME]) -> Frame {
        arch::g729_encode(&mut self.inner, samples)
    }
}

/// Decoder of one channel.
///
/// ```
/// use g7xx::g729::{Decoder, FrameInput, Variant};
/// let mut decoder = Decoder::new(Variant::A);
/// let mut samples = [0; 80];
/// decoder.decode(FrameInput::Erased, &mut samples);
/// ```
#[derive(Clone, Debug)]
pub struct Decoder {
    inner: decoder::Decoder,
}

impl Decoder {
    /// In the reset state. The variant chooses the post-filter and the concealment; either decodes
    /// streams of both encoders, and of Annex B.
    pub fn new(variant: Variant) -> Self {
        Self {
            inner: decoder::Decoder::new(variant),
        }
    }

    /// Decodes one frame. Any bits are allowed.
    pub fn decode(&mut self, input: FrameInput<'_>, samples: &mut [i16; FRAME]) {
        arch::g729_decode(&mut self.inner, input, samples);
    }
}

/// Encodes one frame of each of several channels: the same bits as [`Encoder::encode`] one by one.
/// Channels of Annex A go eight at a time where the processor has AVX2, sixteen with AVX-512; what is
/// left goes alone.
/// Channels of both variants, with and without VAD, may be mixed, and may differ from
/// call to call. The shortest of the three slices decides how many are done; returns that number.
///
/// ```
/// use g7xx::g729::{Encoder, Frame, Variant, encode_batch};
/// let (mut a, mut b) = (Encoder::new(Variant::A, false), Encoder::new(Variant::A, true));
/// let mut frames = [Frame::Untransmitted; 2];
/// assert_eq!(encode_batch(&mut [&mut a, &mut b], &[[0; 80]; 2], &mut frames), 2);
/// ```
pub fn encode_batch(
    encoders: &mut [&mut Encoder],
    samples: &[[i16; FRAME]],
    frames: &mut [Frame],
) -> usize {
    let channels = encoders.iter_mut().zip(samples).zip(frames);
    in_groups(
        channels.map(|((encoder, samples), frame)| (encoder, samples, frame)),
        |(encoder, ..)| encoder.inner.fits(),
        |channels| encode_together(channels, arch::g729_encode_sixteen),
        |channels| encode_together(channels, arch::g729_encode_eight),
        |(encoder, samples, frame)| *frame = encoder.encode(samples),
    )
}

/// Decodes one frame of each of several channels: the same samples as [`Decoder::decode`] one by
/// one. The shortest of the three slices decides how many are done; returns that number.
///
/// ```
/// use g7xx::g729::{Decoder, FrameInput, Variant, decode_batch};
/// let mut decoder = Decoder::new(Variant::A);
/// let mut samples = [[0; 80]];
/// assert_eq!(decode_batch(&mut [&mut decoder], &[FrameInput::Erased], &mut samples), 1);
/// ```
pub fn decode_batch(
    decoders: &mut [&mut Decoder],
    inputs: &[FrameInput<'_>],
    samples: &mut [[i16; FRAME]],
) -> usize {
    let channels = decoders.iter_mut().zip(inputs).zip(samples);
    in_groups(
        channels.map(|((decoder, input), samples)| (decoder, *input, samples)),
        |(decoder, input, _)| decoder.inner.fits(*input),
        |channels| decode_together(channels, arch::g729_decode_sixteen),
        |channels| decode_together(channels, arch::g729_decode_eight),
        |(decoder, input, samples)| decoder.decode(input, samples),
    )
}

/// A channel of an encoding batch.
type ToEncode<'a, 'b> = (&'a mut &'b mut Encoder, &'a [i16; FRAME], &'a mut Frame);
/// A channel of a decoding batch.
type ToDecode<'a, 'b> = (
    &'a mut &'b mut Decoder,
    FrameInput<'a>,
    &'a mut [i16; FRAME],
);

/// Channels in lockstep.
fn encode_together<const N: usize>(
    mut channels: [ToEncode<'_, '_>; N],
    encode: impl FnOnce(&mut [&mut encoder::Encoder; N], &[&[i16; FRAME]; N]) -> [Frame; N],
) {
    let samples = channels.each_ref().map(|channel| channel.1);
    let mut encoders = channels.each_mut().map(|channel| &mut channel.0.inner);
    let coded = encode(&mut encoders, &samples);
    for (channel, frame) in channels.into_iter().zip(coded) {
        *channel.2 = frame;
    }
}

/// Channels in lockstep.
fn decode_together<const N: usize>(
    channels: [ToDecode<'_, '_>; N],
    decode: impl FnOnce(&mut [&mut decoder::Decoder; N], &[FrameInput<'_>; N], [&mut [i16; FRAME]; N]),
) {
    let inputs = channels.each_ref().map(|channel| channel.1);
    let mut decoders = [const { None }; N];
    let mut samples = [const { None }; N];
    for (k, channel) in channels.into_iter().enumerate() {
        decoders[k] = Some(&mut channel.0.inner);
        samples[k] = Some(channel.2);
    }
    const FULL: &str = "every channel was put in its place";
    let mut decoders = decoders.map(|decoder| decoder.expect(FULL));
    decode(
        &mut decoders,
        &inputs,
        samples.map(|samples| samples.expect(FULL)),
    );
}

/// Gives channels that fit to `sixteen` or `eight` together, whichever the processor does best, and
/// all others to `alone`; returns how many there were.
fn in_groups<T>(
    channels: impl Iterator<Item = T>,
    fits: impl Fn(&T) -> bool,
    mut sixteen: impl FnMut([T; 16]),
    mut eight: impl FnMut([T; 8]),
    mut alone: impl FnMut(T),
) -> usize {
    const FULL: &str = "every place was filled in turn";
    let lanes = arch::lanes();
    let mut waiting = [const { None }; 16];
    let (mut count, mut total) = (0, 0);
    for channel in channels {
        total += 1;
        if lanes == 1 || !fits(&channel) {
            alone(channel);
            continue;
        }
        waiting[count] = Some(channel);
        count += 1;
        if count < lanes {
            continue;
        }
        count = 0;
        if lanes == 16 {
            sixteen(core::array::from_fn(|k| waiting[k].take().expect(FULL)));
        } else {
            eight(core::array::from_fn(|k| waiting[k].take().expect(FULL)));
        }
    }
    if count >= 8 {
        eight(core::array::from_fn(|k| waiting[k].take().expect(FULL)));
    }
    waiting.into_iter().flatten().for_each(alone);
    total
}
