//! A block: a fixed slice of samples of all ports of a card.

use crate::PortIndex;

/// Samples of all ports of a card, 16-bit linear, port after port. Allocated once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    ports: u16,
    samples: u16,
    data: Box<[i16]>,
}

impl Block {
    /// The most samples a port may have in one block: 20 ms at 16 kHz.
    pub const SAMPLES_MAX: u16 = 320;

    /// A silent block of `ports` ports with `samples` samples each.
    ///
    /// # Panics
    /// When `samples` is 0 or above [`Block::SAMPLES_MAX`].
    pub fn new(ports: u16, samples: u16) -> Self {
        assert!((1..=Self::SAMPLES_MAX).contains(&samples), "a block has 1 to {} samples", Self::SAMPLES_MAX);
        Block { ports, samples, data: vec![0; usize::from(ports) * usize::from(samples)].into_boxed_slice() }
    }

    /// Number of ports.
    pub fn ports(&self) -> u16 {
        self.ports
    }

    /// Samples of each port.
    pub fn samples(&self) -> u16 {
        self.samples
    }

    /// The samples of one port.
    ///
    /// # Panics
    /// When the card has no such port.
    pub fn port(&self, port: PortIndex) -> &[i16] {
        let n = usize::from(self.samples);
        let start = usize::from(port.0) * n;
        &self.data[start..start + n]
    }

    /// The samples of one port, to be written.
    ///
    /// # Panics
    /// When the card has no such port.
    pub fn port_mut(&mut self, port: PortIndex) -> &mut [i16] {
        let n = usize::from(self.samples);
        let start = usize::from(port.0) * n;
        &mut self.data[start..start + n]
    }

    /// Makes all ports silent.
    pub fn clear(&mut self) {
        self.data.fill(0);
    }
}
