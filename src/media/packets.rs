//! Packet slots: what the shell fills before [`Worker::receive`] and drains after each call.
//!
//! A packet that is only relayed never leaves its slot of the [`PacketBatch`]: the worker writes
//! the new RTP header over the old one and marks the slot with where to send it. Only packets that
//! the worker makes itself (from a line, from a service) stand in [`MediaOut`].
//!
//! [`Worker::receive`]: super::Worker::receive

use super::{MediaEvent, Stream, StreamId, WorkerLayout};
use crate::limits::{PACKETS_PER_BATCH, RTP_PACKET_BYTES};
use crate::time::Instant;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// What stands in the address of a slot that nobody has filled.
const NO_ADDRESS: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

/// One received packet, and afterwards perhaps the packet to be sent in its place.
#[derive(Clone, Debug)]
pub struct PacketSlot {
    /// On whose socket it came.
    pub stream: StreamId,
    /// Who sent it.
    pub source: SocketAddr,
    /// When it came, by the kernel's stamp if there is one.
    pub received_at: Instant,
    /// Bytes of `data` that were received; a longer datagram is cut and thereby malformed.
    pub len: usize,
    /// The datagram.
    pub data: [u8; RTP_PACKET_BYTES],
    /// Where the packet goes, if it goes on.
    pub(super) forward: Option<(StreamId, SocketAddr)>,
    /// First byte of the packet that goes on; its end is `len`.
    pub(super) start: usize,
}

/// A packet that is to be sent from the socket of `stream`.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// From whose socket.
    pub stream: StreamId,
    /// Where to.
    pub to: SocketAddr,
    /// The datagram.
    pub bytes: &'a [u8],
}

/// Slots that are offered at once, beyond those that were used before.
const SLOTS_STEP: usize = 16;

/// Up to [`PACKETS_PER_BATCH`] received packets in slots that are used again and again.
///
/// Room for all is set aside at the start, but a slot is made when it is first needed: the system
/// gives memory to what is touched, and a gateway with few calls touches few slots.
#[derive(Debug)]
pub struct PacketBatch {
    slots: Vec<PacketSlot>,
    filled: usize,
}

impl Default for PacketBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl PacketBatch {
    /// An empty batch; the only place that allocates.
    pub fn new() -> Self {
        PacketBatch { slots: Vec::with_capacity(PACKETS_PER_BATCH), filled: 0 }
    }

    /// Slots that are still empty, to be filled from the first one on; then [`Self::commit`]. None when
    /// the batch is full; perhaps more when these are filled.
    pub fn vacant(&mut self) -> &mut [PacketSlot] {
        while self.slots.len() < (self.filled + SLOTS_STEP).min(PACKETS_PER_BATCH) {
            self.slots.push(PacketSlot {
                stream: StreamId::from_bits(u64::MAX),
                source: NO_ADDRESS,
                received_at: Instant::ZERO,
                len: 0,
                data: [0; RTP_PACKET_BYTES],
                forward: None,
                start: 0,
            });
        }
        &mut self.slots[self.filled..]
    }

    /// Says that the first `count` vacant slots now hold packets.
    pub fn commit(&mut self, count: usize) {
        let end = self.filled.saturating_add(count).min(self.slots.len());
        for slot in &mut self.slots[self.filled..end] {
            slot.forward = None;
            slot.len = slot.len.min(RTP_PACKET_BYTES);
        }
        self.filled = end;
    }

    /// Copies a packet in; `false` when the batch is full or the packet is longer than a slot.
    pub fn push(&mut self, stream: StreamId, source: SocketAddr, received_at: Instant, bytes: &[u8]) -> bool {
        let Some(slot) = self.vacant().first_mut() else { return false };
        let Some(place) = slot.data.get_mut(..bytes.len()) else { return false };
        place.copy_from_slice(bytes);
        (slot.stream, slot.source, slot.received_at, slot.len) = (stream, source, received_at, bytes.len());
        self.commit(1);
        true
    }

    /// Number of packets.
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Whether no slot is vacant.
    pub fn is_full(&self) -> bool {
        self.filled == PACKETS_PER_BATCH
    }

    /// Makes all slots vacant again. Touches no packet.
    pub fn clear(&mut self) {
        self.filled = 0;
    }

    /// After `receive`: the packets that go on, in order of arrival.
    pub fn forwards(&self) -> impl Iterator<Item = Outgoing<'_>> {
        self.slots[..self.filled].iter().filter_map(|slot| {
            let (stream, to) = slot.forward?;
            Some(Outgoing { stream, to, bytes: slot.data.get(slot.start..slot.len)? })
        })
    }

    pub(super) fn packets(&mut self) -> &mut [PacketSlot] {
        &mut self.slots[..self.filled]
    }
}

#[derive(Clone, Copy, Debug)]
struct OutgoingSlot {
    stream: StreamId,
    to: SocketAddr,
    /// Bytes of the packets up to and with this one.
    end: usize,
}

/// Packets and events that one call of a [`Worker`](super::Worker) makes. The shell drains both
/// after each call.
///
/// Room for all is set aside at the start; what is never needed is never touched, and so costs nothing.
#[derive(Debug)]
pub struct MediaOut {
    packets: Vec<OutgoingSlot>,
    bytes: Vec<u8>,
    events: Vec<MediaEvent>,
    /// Events up to here may be digits; the rest is kept for streams that end.
    digits_max: usize,
    packets_dropped: u64,
    events_dropped: u64,
}

impl MediaOut {
    /// Room for all that one call can make; the only place that allocates.
    pub fn new(layout: &WorkerLayout) -> Self {
        // A port makes at most five packets in a block of 10 ms (audio, the end of a digit three times,
        // the beginning of the next); a service one.
        let packets_max = usize::from(layout.ports) * 5 + layout.streams_max;
        // A block begins at most two digits on a port, a packet at most one on a stream.
        let digits_max = usize::from(layout.ports) * 2 + PACKETS_PER_BATCH;
        MediaOut {
            packets: Vec::with_capacity(packets_max),
            bytes: Vec::with_capacity(packets_max * RTP_PACKET_BYTES),
            events: Vec::with_capacity(digits_max + layout.streams_max),
            digits_max,
            packets_dropped: 0,
            events_dropped: 0,
        }
    }

    /// The packets made since [`Self::clear_packets`], in order.
    pub fn packets(&self) -> impl Iterator<Item = Outgoing<'_>> {
        let mut start = 0;
        self.packets.iter().map(move |packet| {
            let bytes = self.bytes.get(start..packet.end).unwrap_or_default();
            start = packet.end;
            Outgoing { stream: packet.stream, to: packet.to, bytes }
        })
    }

    /// Forgets the packets; after they have been sent. Keeps the room.
    pub fn clear_packets(&mut self) {
        self.packets.clear();
        self.bytes.clear();
    }

    /// Takes the events out, in order. Keeps the room.
    pub fn events(&mut self) -> impl Iterator<Item = MediaEvent> + '_ {
        self.events.drain(..)
    }

    /// Packets that found no room because nobody drained.
    pub fn packets_dropped(&self) -> u64 {
        self.packets_dropped
    }

    /// Digits that found no room because nobody drained.
    pub fn events_dropped(&self) -> u64 {
        self.events_dropped
    }

    /// Lets `write` fill a packet and say its length.
    pub(super) fn packet(
        &mut self,
        stream: StreamId,
        to: SocketAddr,
        write: impl FnOnce(&mut [u8; RTP_PACKET_BYTES]) -> usize,
    ) {
        if self.packets.len() == self.packets.capacity() {
            self.packets_dropped += 1;
            return;
        }
        let mut data = [0; RTP_PACKET_BYTES];
        let length = write(&mut data).min(RTP_PACKET_BYTES);
        // There is room: as many times the longest packet as there may be packets.
        self.bytes.extend_from_slice(&data[..length]);
        self.packets.push(OutgoingSlot { stream, to, end: self.bytes.len() });
    }

    pub(super) fn event(&mut self, event: MediaEvent) {
        if self.events.len() < self.digits_max {
            self.events.push(event);
        } else {
            self.events_dropped += 1;
        }
    }

    /// Hands an ended stream out, or back when there is no room.
    pub(super) fn stopped(&mut self, stream: Box<Stream>) -> Result<(), Box<Stream>> {
        if self.events.len() == self.events.capacity() {
            return Err(stream);
        }
        self.events.push(MediaEvent::Stopped(stream));
        Ok(())
    }
}
