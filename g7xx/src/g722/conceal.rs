//! Losses of G.722: the decoded signal is concealed at 16 kHz, the decoder waits.
//!
//! The decoder stays in the state that the last received octet left: its predictors and scale
//! factors adapt within a few milliseconds to what comes. Two other ways were measured with speech.
//! To let the decoder take the octets of what was made up is worse, since its scale factors then
//! follow a guess. To lead to the next packet, where it waits, is not better, since a decoder that
//! missed octets makes something else of its beginning than what was sent.

use super::{Decoder, Rate};
use crate::conceal::Wide;

/// Decoder of one channel that conceals what is lost, without delay.
///
/// ```
/// use g7xx::g722::{ConcealingDecoder, Rate};
/// let mut decoder = ConcealingDecoder::new(Rate::Kbit64);
/// let mut linear = [0; 320];
/// decoder.received(&[0xFA; 160], &mut linear);
/// decoder.lost(&mut linear);
/// ```
#[derive(Clone, Debug)]
pub struct ConcealingDecoder {
    decoder: Decoder,
    concealer: Wide,
}

impl ConcealingDecoder {
    /// In the reset state.
    pub const fn new(rate: Rate) -> Self {
        Self {
            decoder: Decoder::new(rate),
            concealer: Wide::new(),
        }
    }

    /// The rate may change at any octet.
    pub fn set_rate(&mut self, rate: Rate) {
        self.decoder.set_rate(rate);
    }

    /// Decodes octets into two samples each and returns how many samples were written, as
    /// [`Decoder::decode`] does; after a loss their beginning comes out of what was made up.
    pub fn received(&mut self, coded: &[u8], linear: &mut [i16]) -> usize {
        let written = self.decoder.decode(coded, linear);
        self.concealer.received(&mut linear[..written]);
        written
    }

    /// Makes samples up for octets that were lost.
    pub fn lost(&mut self, linear: &mut [i16]) {
        self.concealer.lost(linear, 0, &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Encoder;
    use super::*;

    const PACKET: usize = 320;

    /// A voice of 140 Hz with harmonics up to 2.8 kHz that swells and falls.
    fn voice(packets: usize) -> Vec<i16> {
        (0..packets * PACKET)
            .map(|n| {
                let t = n as f64 / 16_000.0;
                let sum: f64 = (1..20)
                    .map(|k| {
                        (f64::from(k) * 140.0 * t * std::f64::consts::TAU).sin() / f64::from(k)
                    })
                    .sum();
                (sum * (4_000.0 + 2_000.0 * (t * 9.0).sin())) as i16
            })
            .collect()
    }

    fn error(a: &[i16], b: &[i16]) -> f64 {
        let square = |(a, b): (&i16, &i16)| (f64::from(*a) - f64::from(*b)).powi(2);
        a.iter().zip(b).map(square).sum()
    }

    #[test]
    fn a_voice_goes_on_in_a_gap() {
        let (mut encoder, mut clean) = (Encoder::new(), Decoder::new(Rate::Kbit64));
        let mut concealing = ConcealingDecoder::new(Rate::Kbit64);
        let (mut energy, mut wrong) = (0.0, 0.0);
        for (n, packet) in voice(40).chunks_exact(PACKET).enumerate() {
            let mut coded = [0; PACKET / 2];
            encoder.encode(packet, &mut coded);
            let (mut true_signal, mut ours) = ([0; PACKET], [0; PACKET]);
            clean.decode(&coded, &mut true_signal);
            if n % 8 == 5 {
                concealing.lost(&mut ours);
                energy += error(&true_signal, &[0; PACKET]);
                wrong += error(&true_signal, &ours);
            } else {
                concealing.received(&coded, &mut ours);
            }
        }
        assert!(wrong < energy / 6.0, "{wrong} of {energy}");
    }

    #[test]
    fn a_long_loss_falls_silent_and_any_octets_may_follow() {
        let mut decoder = ConcealingDecoder::new(Rate::Kbit48);
        let mut linear = [0; PACKET];
        decoder.received(&[0x55; PACKET / 2], &mut linear);
        (0..20).for_each(|_| decoder.lost(&mut linear));
        assert_eq!(linear, [0; PACKET]);
        assert_eq!(decoder.received(&[0x00, 0xFF, 0xAA], &mut linear), 6);
        decoder.lost(&mut linear[..7]);
        decoder.lost(&mut []);
    }
}
