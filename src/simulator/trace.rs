//! The mark of a run: one number that everything that was delivered and sent has gone into.
//!
//! It tells equal runs from different ones; it is no protection against somebody who wants to deceive.

use super::network::Packet;
use crate::media::MediaEvent;
use crate::time::Instant;
use std::fmt::{Debug, Write};
use std::net::IpAddr;
use tipring_hal::{Block, LineCommand, LineEventKind, PortIndex};

/// Odd and without pattern: the fraction of the golden ratio.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// Mixes events into one number, in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trace {
    state: u64,
}

impl Trace {
    /// The mark so far.
    pub fn hash(self) -> u64 {
        let mixed = (self.state ^ (self.state >> 32)).wrapping_mul(FACTOR);
        mixed ^ (mixed >> 29)
    }

    fn word(&mut self, word: u64) {
        self.state = (self.state.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }

    fn samples(&mut self, samples: &[i16]) {
        // Most ports are silent most of the time.
        if samples.iter().all(|sample| *sample == 0) {
            return self.word(samples.len() as u64);
        }
        for four in samples.chunks(4) {
            self.word(four.iter().fold(0, |word, sample| word << 16 | u64::from(*sample as u16)));
        }
    }

    fn begin(&mut self, now: Instant, what: u8, place: usize) {
        self.word(now.as_nanos());
        self.word(u64::from(what) << 32 | place as u64);
    }

    fn words(&mut self, value: &impl Debug) {
        struct Into<'a>(&'a mut Trace);
        impl Write for Into<'_> {
            fn write_str(&mut self, text: &str) -> std::fmt::Result {
                self.0.bytes(text.as_bytes());
                Ok(())
            }
        }
        // Writing into a number does not fail.
        let _ = write!(Into(self), "{value:?}");
    }

    /// A packet was sent (`s`) or received (`r`).
    pub fn packet(&mut self, now: Instant, what: u8, packet: &Packet) {
        self.begin(now, what, packet.form as usize);
        for address in [packet.from, packet.to] {
            self.word(u64::from(address.port()));
            match address.ip() {
                IpAddr::V4(ip) => self.bytes(&ip.octets()),
                IpAddr::V6(ip) => self.bytes(&ip.octets()),
            }
        }
        self.bytes(&packet.bytes);
    }

    /// Something happened on a line.
    pub fn line(&mut self, now: Instant, card: usize, port: u16, kind: &LineEventKind) {
        self.begin(now, b'l', card << 16 | usize::from(port));
        self.words(kind);
    }

    /// A line was told to do something.
    pub fn command(&mut self, now: Instant, card: u16, port: u16, command: &LineCommand) {
        self.begin(now, b'c', usize::from(card) << 16 | usize::from(port));
        self.words(command);
    }

    /// A worker said something.
    pub fn media_event(&mut self, now: Instant, worker: u16, event: &MediaEvent) {
        self.begin(now, b'm', usize::from(worker));
        match event {
            MediaEvent::Stopped(stream) => self.words(&stream.statistics()),
            MediaEvent::Digit { end, digit, at } => self.words(&(end, digit, at)),
            MediaEvent::BindFailed(stream) => self.words(&stream.id()),
        }
    }

    /// A message of ISUP went to the far end (`i`) or came from it (`j`).
    pub fn isup(&mut self, now: Instant, what: u8, group: u16, octets: &[u8]) {
        self.begin(now, what, usize::from(group));
        self.bytes(octets);
    }

    /// A block was moved.
    pub fn block(&mut self, now: Instant, card: usize, input: &Block, output: &Block) {
        self.begin(now, b'b', card);
        for port in (0..input.ports()).map(PortIndex) {
            self.samples(input.port(port));
            self.samples(output.port(port));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::network::{Form, Traffic};

    #[test]
    fn every_bit_and_the_order_of_events_count() {
        let hash = |texts: &[&str]| {
            let mut trace = Trace::default();
            for text in texts {
                let address = ([127, 0, 0, 1], 5_060).into();
                let bytes = text.as_bytes().to_vec();
                let packet =
                    Packet { traffic: Traffic::Signalling, form: Form::Datagram, from: address, to: address, bytes };
                trace.packet(Instant::ZERO, b's', &packet);
            }
            trace.hash()
        };
        assert_eq!(hash(&["a", "b"]), hash(&["a", "b"]));
        assert_ne!(hash(&["a", "b"]), hash(&["b", "a"]));
        assert_ne!(hash(&["ab"]), hash(&["a", "b"]));
        assert_ne!(hash(&["a\0"]), hash(&["a"]));
    }
}
