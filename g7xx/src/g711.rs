//! G.711: A-law and mu-law companding of 16-bit linear samples.
//!
//! Samples are 16-bit signed, left-justified as the recommendation's 14-bit (mu-law) and
//! 13-bit (A-law) values are in a 16-bit word. Slices of both sides have the same length;
//! the shorter one decides how much is done.

use crate::arch::{g711_decode, g711_encode, g711_transcode};

/// Which of the two laws of G.711.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// mu-law, North America and Japan; RTP payload type 0 (PCMU).
    Mu,
    /// A-law, elsewhere; RTP payload type 8 (PCMA).
    A,
}

/// Encodes `linear` into `coded`, one octet a sample.
///
/// ```
/// let mut coded = [0u8; 2];
/// g7xx::g711::encode(g7xx::g711::Law::Mu, &[0, -1], &mut coded);
/// assert_eq!(coded, [0xFF, 0x7F]);
/// ```
#[inline]
pub fn encode(law: Law, linear: &[i16], coded: &mut [u8]) {
    g711_encode(law, linear, coded);
}

/// Encodes by tables, one sample after the other.
#[inline(never)]
pub(crate) fn encode_plainly(law: Law, linear: &[i16], coded: &mut [u8]) {
    match law {
        Law::Mu => {
            linear
                .iter()
                .zip(coded)
                .for_each(|(s, c)| *c = MU_FROM_LINEAR[usize::from(*s as u16 >> 2)]);
        }
        Law::A => {
            linear
                .iter()
                .zip(coded)
                .for_each(|(s, c)| *c = A_FROM_LINEAR[usize::from(*s as u16 >> 4)]);
        }
    }
}

/// Decodes `coded` into `linear`, one sample an octet.
#[inline]
pub fn decode(law: Law, coded: &[u8], linear: &mut [i16]) {
    g711_decode(law, coded, linear);
}

/// Decodes by tables, one octet after the other.
#[inline(never)]
pub(crate) fn decode_plainly(law: Law, coded: &[u8], linear: &mut [i16]) {
    let table = match law {
        Law::Mu => &MU_TO_LINEAR,
        Law::A => &A_TO_LINEAR,
    };
    coded
        .iter()
        .zip(linear)
        .for_each(|(c, s)| *s = table[*c as usize]);
}

/// Turns octets of one law into octets of the other, by way of the linear value.
pub fn transcode(from: Law, to: Law, coded: &mut [u8]) {
    if from == to || g711_transcode(from, coded) {
        return;
    }
    let table = match from {
        Law::Mu => &MU_TO_A,
        Law::A => &A_TO_MU,
    };
    coded.iter_mut().for_each(|c| *c = table[*c as usize]);
}

const fn encode_mu(sample: i16) -> u8 {
    // 14-bit magnitude with the bias of 33 (G.711 table 2); negatives by one's complement.
    let s = sample >> 2;
    let (magnitude, mask) = if s < 0 {
        (!s as i32, 0x7F)
    } else {
        (s as i32, 0xFF)
    };
    let biased = if magnitude + 33 > 8191 {
        8191
    } else {
        magnitude + 33
    };
    let segment = 26 - (biased as u32).leading_zeros() as i32;
    let step = (biased >> (segment + 1)) & 0x0F;
    ((segment << 4 | step) as u8) ^ mask
}

const fn decode_mu(code: u8) -> i16 {
    let c = !code;
    let segment = ((c >> 4) & 7) as i32;
    let magnitude = ((((c as i32 & 0x0F) << 3) + 0x84) << segment) - 0x84;
    (if c & 0x80 != 0 { -magnitude } else { magnitude }) as i16
}

const fn encode_a(sample: i16) -> u8 {
    // Magnitude of 11 bits (G.711 table 1), negatives by one's complement; even bits inverted.
    let s = sample >> 4;
    let (magnitude, sign) = if s < 0 {
        (!s as i32, 0x00)
    } else {
        (s as i32, 0x80)
    };
    let code = if magnitude < 16 {
        magnitude
    } else {
        let segment = 28 - (magnitude as u32).leading_zeros() as i32;
        (segment << 4) | ((magnitude >> (segment - 1)) & 0x0F)
    };
    (code as u8 | sign) ^ 0x55
}

const fn decode_a(code: u8) -> i16 {
    let c = code ^ 0x55;
    let segment = ((c >> 4) & 7) as i32;
    let step = (c & 0x0F) as i32;
    let magnitude = if segment == 0 {
        (step << 4) + 8
    } else {
        ((step << 4) + 0x108) << (segment - 1)
    };
    (if c & 0x80 != 0 { magnitude } else { -magnitude }) as i16
}

/// Codes by the 14 bits that mu-law looks at.
static MU_FROM_LINEAR: [u8; 1 << 14] = {
    let mut table = [0; 1 << 14];
    let mut n = 0;
    while n < 1 << 14 {
        table[n] = encode_mu((n << 2) as u16 as i16);
        n += 1;
    }
    table
};

/// Codes by the 12 bits that A-law looks at.
static A_FROM_LINEAR: [u8; 1 << 12] = {
    let mut table = [0; 1 << 12];
    let mut n = 0;
    while n < 1 << 12 {
        table[n] = encode_a((n << 4) as u16 as i16);
        n += 1;
    }
    table
};

pub(crate) static MU_TO_LINEAR: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = decode_mu(code as u8);
        code += 1;
    }
    table
};

pub(crate) static A_TO_LINEAR: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = decode_a(code as u8);
        code += 1;
    }
    table
};

pub(crate) static MU_TO_A: [u8; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = encode_a(decode_mu(code as u8));
        code += 1;
    }
    table
};

pub(crate) static A_TO_MU: [u8; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = encode_mu(decode_a(code as u8));
        code += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_and_encoding_again_gives_the_same_value() {
        for code in 0..=255u8 {
            assert_eq!(
                decode_mu(encode_mu(decode_mu(code))),
                decode_mu(code),
                "mu {code}"
            );
            assert_eq!(encode_a(decode_a(code)), code, "A {code}");
        }
    }
}
