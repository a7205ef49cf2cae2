//! The three forms of a G.729 frame: parameters, RTP payload, and the ITU serial format.

use super::{Frame, FrameInput, SID_OCTETS, SPEECH_OCTETS};

/// First word of every frame in the ITU serial format.
pub const SYNC: u16 = 0x6B21;
/// A bit of value zero in the ITU serial format.
pub const BIT_0: u16 = 0x007F;
/// A bit of value one in the ITU serial format.
pub const BIT_1: u16 = 0x0081;
/// Words of the longest frame in the ITU serial format.
pub const MAX_SERIAL: usize = 82;

/// Writes a frame in the ITU serial format (octet mode) and returns the number of words.
pub fn to_serial(frame: &Frame, words: &mut [u16; MAX_SERIAL]) -> usize {
    let octets = frame.octets();
    words[0] = SYNC;
    words[1] = octets.len() as u16 * 8;
    let bits = octets
        .iter()
        .flat_map(|octet| (0..8).rev().map(move |k| octet >> k & 1));
    for (word, bit) in words[2..].iter_mut().zip(bits) {
        *word = if bit == 1 { BIT_1 } else { BIT_0 };
    }
    2 + octets.len() * 8
}

/// A frame read from the ITU serial format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SerialFrame {
    /// A frame that arrived.
    Received(Frame),
    /// A frame marked as lost.
    Erased,
}

impl SerialFrame {
    /// The same frame as decoder input.
    pub fn as_input(&self) -> FrameInput<'_> {
        match self {
            SerialFrame::Received(frame) => frame.as_input(),
            SerialFrame::Erased => FrameInput::Erased,
        }
    }
}

/// Reads one frame of the ITU serial format and returns it with the number of words it took, or
/// `None` when the words end before the frame does.
///
/// A frame with bits is erased when any of its bit words is zero; a frame without bits is erased
/// when its first word is not [`SYNC`].
pub fn from_serial(words: &[u16]) -> Option<(SerialFrame, usize)> {
    let (&sync, &size) = (words.first()?, words.get(1)?);
    let length = usize::from(size);
    let bits = words.get(2..2 + length)?;
    let mut octets = [0u8; SPEECH_OCTETS];
    for (k, _) in bits
        .iter()
        .enumerate()
        .filter(|(k, word)| *k < 80 && **word == BIT_1)
    {
        octets[k / 8] |= 0x80 >> (k % 8);
    }
    let erased = if length > 0 {
        bits.contains(&0)
    } else {
        sync != SYNC
    };
    let frame = match (erased, length) {
        (true, _) => SerialFrame::Erased,
        (_, 80) => SerialFrame::Received(Frame::Speech(octets)),
        (_, 15 | 16) => {
            let mut sid = [0; SID_OCTETS];
            sid.copy_from_slice(&octets[..SID_OCTETS]);
            SerialFrame::Received(Frame::Sid(sid))
        }
        _ => SerialFrame::Received(Frame::Untransmitted),
    };
    Some((frame, 2 + length))
}

/// Splits an RTP payload into its frames: any number of speech frames, then at most one silence
/// descriptor (RFC 3551 4.5.6). `None` when the length allows no such reading.
///
/// ```
/// use g7xx::g729::bits::payload_frames;
/// assert_eq!(payload_frames(&[0; 22]).map(|frames| frames.count()), Some(3));
/// assert!(payload_frames(&[0; 7]).is_none());
/// ```
pub fn payload_frames(payload: &[u8]) -> Option<impl Iterator<Item = Frame> + '_> {
    if !matches!(payload.len() % SPEECH_OCTETS, 0 | SID_OCTETS) {
        return None;
    }
    Some(
        payload
            .chunks(SPEECH_OCTETS)
            .map(|chunk| match <[u8; SPEECH_OCTETS]>::try_from(chunk) {
                Ok(octets) => Frame::Speech(octets),
                Err(_) => Frame::Sid([chunk[0], chunk[1]]),
            }),
    )
}

/// Indices of one subframe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subframe {
    /// Lag: 8 bits in the first subframe, 5 in the second.
    pub lag: u16,
    /// Pulse positions, 13 bits.
    pub positions: u16,
    /// Pulse signs, 4 bits.
    pub signs: u16,
    /// Gains, 3 and 4 bits.
    pub gains: u16,
}

/// Indices of a speech frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// LSF predictor and first stage, 1 and 7 bits.
    pub predictor_first: u16,
    /// LSF second stage, 5 and 5 bits.
    pub second: u16,
    /// Parity of the first lag, 1 bit.
    pub parity: u16,
    /// The two subframes.
    pub subframes: [Subframe; 2],
}

/// Packs the indices of a speech frame.
pub fn pack(parameters: &Parameters) -> [u8; SPEECH_OCTETS] {
    let [first, second] = &parameters.subframes;
    let fields = [
        (parameters.predictor_first, 8),
        (parameters.second, 10),
        (first.lag, 8),
        (parameters.parity, 1),
        (first.positions, 13),
        (first.signs, 4),
        (first.gains, 7),
        (second.lag, 5),
        (second.positions, 13),
        (second.signs, 4),
        (second.gains, 7),
    ];
    let packed = fields.iter().fold(0u128, |packed, (value, width)| {
        packed << width | u128::from(*value)
    });
    let mut octets = [0; SPEECH_OCTETS];
    octets.copy_from_slice(&packed.to_be_bytes()[16 - SPEECH_OCTETS..]);
    octets
}

/// Unpacks the indices of a speech frame.
pub fn unpack(octets: &[u8; SPEECH_OCTETS]) -> Parameters {
    let mut packed = octets
        .iter()
        .fold(0u128, |packed, octet| packed << 8 | u128::from(*octet))
        << 48;
    let mut take = |width: u32| {
        let value = (packed >> (128 - width)) as u16;
        packed <<= width;
        value
    };
    let (predictor_first, second) = (take(8), take(10));
    let (lag, parity) = (take(8), take(1));
    let first = Subframe {
        lag,
        positions: take(13),
        signs: take(4),
        gains: take(7),
    };
    let second_subframe = Subframe {
        lag: take(5),
        positions: take(13),
        signs: take(4),
        gains: take(7),
    };
    Parameters {
        predictor_first,
        second,
        parity,
        subframes: [first, second_subframe],
    }
}

/// Indices of a silence descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SidParameters {
    /// LSF predictor, 1 bit.
    pub predictor: u16,
    /// LSF first stage, 5 bits.
    pub first: u16,
    /// LSF second stage, 4 bits.
    pub second: u16,
    /// Gain, 5 bits.
    pub gain: u16,
}

/// Packs a silence descriptor; the last bit is zero.
pub fn pack_sid(sid: &SidParameters) -> [u8; SID_OCTETS] {
    (sid.predictor << 15 | sid.first << 10 | sid.second << 6 | sid.gain << 1).to_be_bytes()
}

/// Unpacks a silence descriptor; the last bit is ignored.
pub fn unpack_sid(octets: &[u8; SID_OCTETS]) -> SidParameters {
    let word = u16::from_be_bytes(*octets);
    SidParameters {
        predictor: word >> 15,
        first: word >> 10 & 31,
        second: word >> 6 & 15,
        gain: word >> 1 & 31,
    }
}
