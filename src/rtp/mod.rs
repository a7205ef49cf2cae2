//! RTP (RFC 3550): header, extended sequence numbers, interarrival jitter.
//!
//! Reads and writes bytes in place and keeps the receiver's books of one synchronisation source.
//! Does no I/O and knows no codec; timestamps count samples at 8 kHz.

pub mod rtcp;
pub mod telephone_event;

use crate::time::Instant;
use std::ops::Range;

/// Bytes of a header without contributing sources and extension.
pub const HEADER_BYTES: usize = 12;

/// RFC 3550 appendix A.1: a step forward of this much or more is a restarted sender, not loss.
const DROPOUT_MAX: i16 = 3_000;
/// How far behind the highest sequence number duplicates are still told from late packets.
const WINDOW: i16 = 64;
/// A step of the transit time beyond this (2 s) is a new timestamp base, not jitter.
const TRANSIT_STEP_MAX: u32 = 16_000;

/// Why bytes are not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than the header says it is.
    Short,
    /// Not version 2.
    Version,
    /// The padding count is zero or longer than the payload.
    Padding,
}

/// The fields of the fixed header (RFC 3550 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// First packet after silence, or of an event.
    pub marker: bool,
    /// 0-127.
    pub payload_type: u8,
    /// One more for each packet.
    pub sequence: u16,
    /// Time of the first sample.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

impl Header {
    /// Reads the header and says where the payload stands, behind contributing sources and
    /// extension and before padding.
    ///
    /// # Errors
    /// [`Malformed`], by RFC 3550 A.1 and 5.3.1.
    pub fn parse(bytes: &[u8]) -> Result<(Header, Range<usize>), Malformed> {
        let Some(fixed) = bytes.first_chunk::<HEADER_BYTES>() else { return Err(Malformed::Short) };
        if fixed[0] >> 6 != 2 {
            return Err(Malformed::Version);
        }
        let mut start = HEADER_BYTES + 4 * usize::from(fixed[0] & 0x0F);
        if fixed[0] & 0x10 != 0 {
            let Some(&[_, _, high, low]) = bytes.get(start..start + 4) else { return Err(Malformed::Short) };
            start += 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
        }
        let mut end = bytes.len();
        if start > end {
            return Err(Malformed::Short);
        }
        if fixed[0] & 0x20 != 0 {
            let padding = usize::from(bytes[end - 1]);
            if padding == 0 || padding > end - start {
                return Err(Malformed::Padding);
            }
            end -= padding;
        }
        let header = Header {
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7F,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
        };
        Ok((header, start..end))
    }

    /// The header as bytes, without contributing sources, extension and padding.
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = 0x80;
        bytes[1] = u8::from(self.marker) << 7 | self.payload_type & 0x7F;
        bytes[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        bytes
    }
}

/// A moment as samples at 8 kHz, wrapping like an RTP timestamp.
pub fn samples_at(at: Instant) -> u32 {
    (at.as_nanos() / 125_000) as u32
}

/// Where a packet stands among those that came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The first, or later than all others.
    Newest,
    /// Missed until now, but later ones are here already.
    Reordered,
    /// Was here before.
    Duplicate,
    /// Too far from the others to be believed; a second one in a row restarts the sequence.
    Stray,
    /// The sender restarted its sequence.
    Restart,
}

/// The receiver's books of one synchronisation source.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reception {
    /// Extended highest sequence number; starts one cycle up, so that it can go back.
    highest: u64,
    base: u64,
    /// Bit n: `highest - n` is here.
    window: u64,
    received: u64,
    /// Packets expected in sequences that ended by a restart.
    expected_before: u64,
    stray_next: Option<u16>,
    transit: Option<u32>,
    jitter_q4: u32,
}

impl Reception {
    /// Takes a sequence number into the books (RFC 3550 A.1).
    pub fn arrive(&mut self, sequence: u16) -> Arrival {
        if self.received == 0 {
            self.restart(sequence);
            return Arrival::Newest;
        }
        let step = sequence.wrapping_sub(self.highest as u16) as i16;
        if (1..DROPOUT_MAX).contains(&step) {
            self.highest += step as u64;
            self.window = self.window.checked_shl(step as u32).unwrap_or(0) | 1;
            self.received += 1;
            self.stray_next = None;
            return Arrival::Newest;
        }
        if (1 - WINDOW..=0).contains(&step) {
            let bit = 1u64 << step.unsigned_abs();
            if self.window & bit != 0 {
                return Arrival::Duplicate;
            }
            self.window |= bit;
            self.received += 1;
            self.base = self.base.min(self.highest.saturating_sub(u64::from(step.unsigned_abs())));
            return Arrival::Reordered;
        }
        if self.stray_next == Some(sequence) {
            self.expected_before = self.expected();
            self.restart(sequence);
            return Arrival::Restart;
        }
        self.stray_next = Some(sequence.wrapping_add(1));
        Arrival::Stray
    }

    fn restart(&mut self, sequence: u16) {
        self.highest = 0x1_0000 + u64::from(sequence);
        self.base = self.highest;
        self.window = 1;
        self.received += 1;
        self.stray_next = None;
        self.transit = None;
    }

    /// Takes the times of an audio packet into the jitter (RFC 3550 A.8).
    pub fn time(&mut self, timestamp: u32, received_at: Instant) {
        let transit = samples_at(received_at).wrapping_sub(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let step = (transit.wrapping_sub(before) as i32).unsigned_abs();
            if step < TRANSIT_STEP_MAX {
                // At most (15/16 j + step), which TRANSIT_STEP_MAX keeps far from overflow.
                self.jitter_q4 = self.jitter_q4 + step - ((self.jitter_q4 + 8) >> 4);
            }
        }
    }

    /// Packets expected so far, by sequence numbers.
    pub fn expected(&self) -> u64 {
        if self.received == 0 { 0 } else { self.expected_before + (self.highest - self.base) + 1 }
    }

    /// Packets received so far, duplicates not counted.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Packets missing so far.
    pub fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }

    /// Interarrival jitter in timestamp units.
    pub fn jitter(&self) -> u32 {
        self.jitter_q4 >> 4
    }

    /// Highest sequence number with the count of its cycles, as RTCP reports it.
    pub fn highest(&self) -> u32 {
        self.highest.saturating_sub(0x1_0000) as u32
    }
}

#[cfg(test)]
mod tests;
