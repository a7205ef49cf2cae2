//! One RTP stream: who is heard, what is sent, digits, statistics.
//!
//! A stream is two halves that know nothing of each other: [`Stream::accept`] decides what a
//! received packet is worth, and the sender gives everything that leaves one synchronisation
//! source, one sequence and one timestamp line, whether it is relayed from a changing far end,
//! packed from a line, or made by a service.

use super::packets::{MediaOut, PacketSlot};
use super::tone::ToneGenerator;
use super::{End, Service, StreamConfig, StreamId, StreamSettings, Tone};
use crate::limits::PACKET_SAMPLES_MAX;
use crate::rtp::telephone_event::{EVENT_BYTES, EventPacket, EventReceiver, EventSender, EventUpdate, Payload};
use crate::rtp::{Arrival, HEADER_BYTES, Header, Reception, samples_at};
use crate::time::{Duration, Instant};
use g7xx::g711::{self, Law};
use std::net::SocketAddr;
use std::ops::Range;
use tipring_hal::Digit;

/// A source that has been silent this long is followed by another one without proof.
const SOURCE_SILENT: Duration = Duration::from_millis(100);
/// Shortest packet that we make: 10 ms.
const PACKET_SAMPLES_MIN: usize = 80;
/// Time that an event packet stands for when the next source has to go on behind it: 20 ms.
const EVENT_SAMPLES: u32 = 160;
/// A service that is later than this does not catch up.
const SERVICE_LATE_MAX: Duration = Duration::from_millis(100);

/// What happened on one stream, counted by its worker. Packets unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Received from the signalled address with a negotiated payload type, duplicates not counted.
    pub received: u64,
    /// Payload octets of those.
    pub received_octets: u64,
    /// Missing in the sequence so far.
    pub lost: u64,
    /// Came after its time of playing. Only towards a port.
    pub late: u64,
    /// Came more than once.
    pub duplicate: u64,
    /// Came after a packet with a higher sequence number.
    pub reordered: u64,
    /// Came from an address that was not signalled.
    pub wrong_source: u64,
    /// Had a payload type that was not negotiated.
    pub wrong_payload: u64,
    /// Were no RTP packets, or too far from the sequence to be believed.
    pub malformed: u64,
    /// Came from another synchronisation source than the one that is heard.
    pub wrong_ssrc: u64,
    /// Times that the synchronisation source changed.
    pub ssrc_changes: u64,
    /// Sent.
    pub sent: u64,
    /// Payload octets of those.
    pub sent_octets: u64,
    /// Interarrival jitter of RFC 3550 section 6.4.1, in samples of 125 microseconds.
    pub jitter: u32,
    /// Samples that were made up because nothing was there to be played.
    pub concealed_samples: u64,
    /// Samples that were taken out or put in to hold the playout level.
    pub adjusted_samples: u64,
    /// Telephone-event digits received.
    pub digits_received: u64,
    /// Telephone-event digits sent; relayed ones not counted.
    pub digits_sent: u64,
}

/// A received packet that is worth something.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) header: Header,
    pub(super) payload: Range<usize>,
    pub(super) kind: Kind,
    /// Changes whenever sequence and timestamp begin anew.
    pub(super) epoch: u32,
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Audio,
    /// A telephone-event; with what it means, when that is news.
    Event(Option<EventUpdate>),
}

/// How a far end's numbers become ours.
#[derive(Clone, Copy, Debug)]
struct Mapping {
    epoch: u32,
    /// First number of ours for this source; what was sent before it is not for us to tell.
    first_sequence: u16,
    sequence_offset: u16,
    timestamp_offset: u32,
}

/// The sending half: one line of sequence numbers and timestamps.
#[derive(Debug)]
struct Sender {
    /// Number of the next packet.
    sequence: u16,
    /// Timestamp of the newest packet (before the first one: of the first one), how long it lasts
    /// and when it went.
    timestamp: u32,
    samples: u32,
    sent_at: Option<Instant>,
    /// Whether the next packet begins something.
    marker: bool,
    mapping: Option<Mapping>,
    /// Timestamp of the next sample of our own, while there is an own source.
    clock: Option<u32>,
}

impl Sender {
    /// Where a source that begins now goes on in the timestamps.
    fn next_timestamp(&self, now: Instant) -> u32 {
        let Some(sent_at) = self.sent_at else { return self.timestamp };
        let elapsed = samples_at(now).wrapping_sub(samples_at(sent_at));
        self.timestamp.wrapping_add(if elapsed as i32 > 0 { elapsed.max(self.samples) } else { self.samples })
    }

    /// Number and timestamp of a relayed packet; `None` when it is older than what its source
    /// began with.
    fn map(&mut self, now: Instant, epoch: u32, header: &Header, samples: u32) -> Option<(u16, u32)> {
        let mapping = match self.mapping {
            Some(mapping) if mapping.epoch == epoch => mapping,
            _ => {
                self.marker = true;
                self.clock = None;
                *self.mapping.insert(Mapping {
                    epoch,
                    first_sequence: self.sequence,
                    sequence_offset: self.sequence.wrapping_sub(header.sequence),
                    timestamp_offset: self.next_timestamp(now).wrapping_sub(header.timestamp),
                })
            }
        };
        let sequence = header.sequence.wrapping_add(mapping.sequence_offset);
        if (sequence.wrapping_sub(mapping.first_sequence) as i16) < 0 {
            return None;
        }
        let timestamp = header.timestamp.wrapping_add(mapping.timestamp_offset);
        if sequence.wrapping_sub(self.sequence) as i16 >= 0 {
            self.sequence = sequence.wrapping_add(1);
            (self.timestamp, self.samples, self.sent_at) = (timestamp, samples, Some(now));
            // So that a call of days never meets the border of half the numbers behind it.
            if let Some(mapping) = &mut self.mapping
                && sequence.wrapping_sub(mapping.first_sequence) > 1_000
            {
                mapping.first_sequence = sequence.wrapping_sub(500);
            }
        }
        Some((sequence, timestamp))
    }

    /// A packet of the source is not for this far end: no gap is to be seen.
    fn skip(&mut self, header: &Header) {
        if let Some(mapping) = &mut self.mapping
            && header.sequence.wrapping_add(mapping.sequence_offset) == self.sequence
        {
            mapping.sequence_offset = mapping.sequence_offset.wrapping_sub(1);
        }
    }

    /// Number of a packet of our own at `timestamp`.
    fn own(&mut self, now: Instant, timestamp: u32, samples: u32) -> u16 {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        (self.timestamp, self.samples, self.sent_at) = (timestamp, samples, Some(now));
        sequence
    }
}

/// One RTP stream with everything it will ever need, allocated by [`Stream::new`].
#[derive(Debug)]
pub struct Stream {
    config: StreamConfig,
    statistics: Statistics,
    /// Whom it hears and who hears it; kept by the worker on both sides.
    pub(super) peer: Option<End>,
    reception: Reception,
    ssrc: Option<u32>,
    heard_at: Instant,
    /// A source that would be followed if this packet came next.
    candidate: Option<(u32, u16)>,
    epoch: u32,
    events_in: EventReceiver,
    sender: Sender,
    events_out: EventSender,
    /// Audio of our own that is not yet a packet.
    packing: [u8; PACKET_SAMPLES_MAX],
    packed: usize,
    /// When the next packet of a service or tone is due.
    service_at: Option<Instant>,
    /// What its far end hears instead of the peer.
    tone: Option<ToneGenerator>,
}

impl Stream {
    /// Builds a stream; the only place that allocates.
    pub fn new(config: StreamConfig) -> Self {
        Stream {
            statistics: Statistics::default(),
            peer: None,
            reception: Reception::default(),
            ssrc: None,
            heard_at: Instant::ZERO,
            candidate: None,
            epoch: 0,
            events_in: EventReceiver::default(),
            sender: Sender {
                sequence: config.first_sequence,
                timestamp: config.first_timestamp,
                samples: 0,
                sent_at: None,
                marker: true,
                mapping: None,
                clock: None,
            },
            events_out: EventSender::default(),
            packing: [0; PACKET_SAMPLES_MAX],
            packed: 0,
            service_at: None,
            tone: None,
            config,
        }
    }

    /// Its name.
    pub fn id(&self) -> StreamId {
        self.config.id
    }

    /// What it was built from, with the settings as they are now.
    pub fn config(&self) -> &StreamConfig {
        &self.config
    }

    /// What is negotiated now.
    pub fn settings(&self) -> &StreamSettings {
        &self.config.settings
    }

    /// What happened so far.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            lost: self.statistics.lost + self.reception.lost(),
            jitter: self.reception.jitter(),
            ..self.statistics
        }
    }

    pub(super) fn statistics_mut(&mut self) -> &mut Statistics {
        &mut self.statistics
    }

    /// Changes what was negotiated. A new far end address brings a new source.
    pub(super) fn update(&mut self, now: Instant, settings: StreamSettings, out: &mut MediaOut) {
        let before = self.config.settings;
        // A digit that lasts is ended for the far end that knows of it.
        let of_events = |s: &StreamSettings| (s.event_payload_type, s.remote, s.sends);
        if of_events(&settings) != of_events(&before) {
            self.finish_events(now, out);
        }
        if settings.remote != before.remote {
            self.forget_source();
        }
        self.config.settings = settings;
    }

    fn forget_source(&mut self) {
        self.statistics.lost += self.reception.lost();
        self.reception = Reception::default();
        self.ssrc = None;
        self.candidate = None;
        self.epoch = self.epoch.wrapping_add(1);
        self.events_in.reset();
    }

    /// Whether a packet comes from where the peer said it sends from. What reaches a loopback address
    /// comes from this machine, and the kernel gives it a loopback source whichever address of the
    /// machine the peer signals, as most softphones do; its port must still be the signalled one.
    fn is_from_peer(&self, source: SocketAddr) -> bool {
        let Some(remote) = self.config.settings.remote else { return false };
        let is_local = self.config.local.ip().is_loopback() && source.ip().is_loopback();
        source == remote || (is_local && source.port() == remote.port())
    }

    /// Counts a received packet and says what it is worth; `None` when it is to be dropped.
    pub(super) fn accept(&mut self, slot: &PacketSlot) -> Option<Accepted> {
        let settings = self.config.settings;
        if !self.is_from_peer(slot.source) {
            self.statistics.wrong_source += 1;
            return None;
        }
        let Some((header, payload)) = slot.data.get(..slot.len).and_then(|bytes| Header::parse(bytes).ok()) else {
            self.statistics.malformed += 1;
            return None;
        };
        let is_event = settings.event_payload_type == Some(header.payload_type);
        if !is_event && header.payload_type != settings.payload_type {
            self.statistics.wrong_payload += 1;
            return None;
        }
        if !self.follow_source(&header, slot.received_at) {
            self.statistics.wrong_ssrc += 1;
            return None;
        }
        match self.reception.arrive(header.sequence) {
            Arrival::Newest => {}
            Arrival::Reordered => self.statistics.reordered += 1,
            Arrival::Duplicate => {
                self.statistics.duplicate += 1;
                return None;
            }
            Arrival::Stray => {
                self.statistics.malformed += 1;
                return None;
            }
            Arrival::Restart => self.epoch = self.epoch.wrapping_add(1),
        }
        self.heard_at = slot.received_at;
        self.statistics.received += 1;
        self.statistics.received_octets += payload.len() as u64;
        if !is_event {
            self.reception.time(header.timestamp, slot.received_at);
        }
        if !settings.receives {
            return None;
        }
        let kind = if is_event {
            let event = slot.data.get(payload.clone()).and_then(Payload::parse);
            let update = event.and_then(|event| self.events_in.receive(header.timestamp, event));
            self.statistics.digits_received += u64::from(update.is_some_and(|u| u.began));
            Kind::Event(update)
        } else {
            Kind::Audio
        };
        Some(Accepted { header, payload, kind, epoch: self.epoch })
    }

    /// Whether the packet is of the source that is heard. Another one is followed when the old one
    /// is silent, or at its second packet in a row (as RFC 3550 A.1 puts sources on probation).
    fn follow_source(&mut self, header: &Header, received_at: Instant) -> bool {
        match self.ssrc {
            Some(ssrc) if ssrc == header.ssrc => true,
            Some(_) => {
                let is_silent = received_at.since(self.heard_at) > SOURCE_SILENT;
                if is_silent || self.candidate == Some((header.ssrc, header.sequence)) {
                    self.forget_source();
                    self.ssrc = Some(header.ssrc);
                    self.statistics.ssrc_changes += 1;
                    return true;
                }
                self.candidate = Some((header.ssrc, header.sequence.wrapping_add(1)));
                false
            }
            None => {
                self.ssrc = Some(header.ssrc);
                true
            }
        }
    }

    /// Turns a packet that was accepted by a stream of law `from` into one of ours, in its slot.
    pub(super) fn relay(&mut self, now: Instant, accepted: &Accepted, from: Law, slot: &mut PacketSlot) {
        let settings = self.config.settings;
        let Some(remote) = settings.remote.filter(|_| settings.sends && self.tone.is_none()) else {
            // Held, or a tone has its place: whatever comes afterwards goes on without a gap.
            self.sender.mapping = None;
            return;
        };
        let payload_type = match accepted.kind {
            Kind::Audio => Some(settings.payload_type),
            Kind::Event(_) => settings.event_payload_type,
        };
        let Some(payload_type) = payload_type else { return self.sender.skip(&accepted.header) };
        let samples = match accepted.kind {
            Kind::Audio => accepted.payload.len() as u32,
            Kind::Event(_) => EVENT_SAMPLES,
        };
        let Some((sequence, timestamp)) = self.sender.map(now, accepted.epoch, &accepted.header, samples) else {
            return;
        };
        let marker = std::mem::take(&mut self.sender.marker) || accepted.header.marker;
        let header = Header { marker, payload_type, sequence, timestamp, ssrc: self.config.ssrc };
        // The parser puts the payload behind at least a fixed header, which is overwritten.
        let Some(start) = accepted.payload.start.checked_sub(HEADER_BYTES) else { return };
        let Some(packet) = slot.data.get_mut(start..accepted.payload.end) else { return };
        let (head, payload) = packet.split_at_mut(HEADER_BYTES);
        head.copy_from_slice(&header.to_bytes());
        if accepted.kind == Kind::Audio {
            g711::transcode(from, settings.law, payload);
        }
        self.statistics.sent += 1;
        self.statistics.sent_octets += payload.len() as u64;
        (slot.start, slot.len) = (start, accepted.payload.end);
        slot.forward = Some((self.config.id, remote));
    }

    /// The payload type of the events that we may send.
    pub(super) fn sends_events(&self) -> bool {
        let settings = &self.config.settings;
        settings.event_payload_type.is_some() && settings.sends && settings.remote.is_some()
    }

    /// Begins a digit that was heard on the line.
    pub(super) fn begin_digit(&mut self, now: Instant, digit: Digit, out: &mut MediaOut) {
        let timestamp = self.clock(now);
        self.with_events(now, out, |events, send| events.begin(digit, timestamp, send));
        self.statistics.digits_sent += 1;
        self.packed = 0;
    }

    /// Sends a digit at once, with its whole length: nobody spoke it here, so nothing is in its time.
    pub(super) fn send_digit(&mut self, now: Instant, digit: Digit, samples: u32, out: &mut MediaOut) {
        self.begin_digit(now, digit, out);
        self.with_events(now, out, |events, send| events.advance(samples, EVENT_SAMPLES, send));
        self.end_digit();
        self.finish_events(now, out);
    }

    /// Ends it.
    pub(super) fn end_digit(&mut self) {
        self.events_out.end();
    }

    /// Sends what is left of events, because the source is about to change.
    pub(super) fn finish_events(&mut self, now: Instant, out: &mut MediaOut) {
        self.with_events(now, out, |events, send| events.finish(send));
    }

    /// The line does not speak here any more.
    pub(super) fn end_own(&mut self, now: Instant, out: &mut MediaOut) {
        self.finish_events(now, out);
        self.sender.clock = None;
        self.sender.mapping = None;
        self.packed = 0;
    }

    /// Lets `act` use the event sender with a function that sends its packets.
    fn with_events(
        &mut self,
        now: Instant,
        out: &mut MediaOut,
        act: impl FnOnce(&mut EventSender, &mut dyn FnMut(EventPacket)),
    ) {
        let Stream { config, statistics, sender, events_out, .. } = self;
        act(events_out, &mut |packet| {
            let settings = &config.settings;
            let Some((remote, payload_type)) = settings.remote.zip(settings.event_payload_type) else { return };
            if !settings.sends {
                return;
            }
            let EventPacket { marker, timestamp, payload } = packet;
            let sequence = sender.own(now, timestamp, EVENT_SAMPLES.max(u32::from(payload.duration)));
            let header = Header { marker, payload_type, sequence, timestamp, ssrc: config.ssrc };
            statistics.sent += 1;
            statistics.sent_octets += EVENT_BYTES as u64;
            write(out, config.id, remote, header, &payload.to_bytes());
        });
    }

    /// Timestamp of the next sample of our own.
    fn clock(&mut self, now: Instant) -> u32 {
        match self.sender.clock {
            Some(clock) => clock,
            None => {
                self.sender.mapping = None;
                self.sender.marker = true;
                *self.sender.clock.insert(self.sender.next_timestamp(now))
            }
        }
    }

    fn packet_samples(&self) -> usize {
        usize::from(self.config.settings.packet_samples).clamp(PACKET_SAMPLES_MIN, PACKET_SAMPLES_MAX)
    }

    /// Takes a block that the line said: packs it, or sends the digit that lasts instead.
    pub(super) fn push_block(&mut self, now: Instant, block: &[i16], out: &mut MediaOut) {
        if self.tone.is_some() {
            return;
        }
        let clock = self.clock(now);
        let was_lasting = self.events_out.is_lasting();
        let interval = self.packet_samples();
        let samples = block.len() as u32;
        self.with_events(now, out, |events, send| events.advance(samples, interval as u32, send));
        self.sender.clock = Some(clock.wrapping_add(block.len() as u32));
        if was_lasting || !self.config.settings.sends {
            // Silence is not sent; the timestamps go on, and the next packet says that it begins.
            self.packed = 0;
            self.sender.marker = true;
            return;
        }
        let mut rest = block;
        while !rest.is_empty() {
            let count = rest.len().min(interval.saturating_sub(self.packed));
            let (now_packed, later) = rest.split_at(count);
            let end = self.packed + count;
            g711::encode(self.config.settings.law, now_packed, &mut self.packing[self.packed..end]);
            (self.packed, rest) = (end, later);
            if self.packed >= interval {
                let timestamp = self.sender.clock.unwrap_or(0).wrapping_sub((rest.len() + self.packed) as u32);
                self.send_packed(now, timestamp, out);
            }
        }
    }

    fn send_packed(&mut self, now: Instant, timestamp: u32, out: &mut MediaOut) {
        let packing = self.packing;
        let length = std::mem::take(&mut self.packed);
        self.send_audio(now, timestamp, &packing[..length], out);
    }

    fn send_audio(&mut self, now: Instant, timestamp: u32, coded: &[u8], out: &mut MediaOut) {
        let settings = self.config.settings;
        let Some(remote) = settings.remote.filter(|_| settings.sends) else {
            self.sender.marker = true;
            return;
        };
        let marker = std::mem::take(&mut self.sender.marker);
        let sequence = self.sender.own(now, timestamp, coded.len() as u32);
        let header =
            Header { marker, payload_type: settings.payload_type, sequence, timestamp, ssrc: self.config.ssrc };
        self.statistics.sent += 1;
        self.statistics.sent_octets += coded.len() as u64;
        write(out, self.config.id, remote, header, coded);
    }

    /// The far end hears this tone from now on, or the peer again.
    pub(super) fn play(&mut self, now: Instant, tone: Option<Tone>, out: &mut MediaOut) {
        self.end_own(now, out);
        self.service_at = None;
        self.tone = tone.map(|tone| ToneGenerator::new(&tone));
    }

    /// Whether it wants [`Self::serve`] at every tick.
    pub(super) fn is_paced(&self) -> bool {
        self.config.service == Some(Service::Milliwatt) || self.tone.is_some()
    }

    /// Sends what is due of a tone, or of the milliwatt, of which `period` is coded samples that repeat.
    /// Paced by `now`, so it does not matter how exactly the ticks come.
    pub(super) fn serve(&mut self, now: Instant, period: &[u8], out: &mut MediaOut) {
        let settings = self.config.settings;
        if settings.remote.is_none() || !settings.sends || period.is_empty() {
            self.service_at = None;
            self.sender.clock = None;
            return;
        }
        let samples = self.packet_samples();
        let mut due = match self.service_at {
            Some(due) if now.since(due) < SERVICE_LATE_MAX => due,
            _ => {
                self.sender.clock = None;
                now
            }
        };
        while due <= now {
            let clock = self.clock(now);
            let place = clock as usize;
            let mut coded = [0; PACKET_SAMPLES_MAX];
            if let Some(tone) = &mut self.tone {
                let mut linear = [0; PACKET_SAMPLES_MAX];
                tone.fill(&mut linear[..samples]);
                g711::encode(settings.law, &linear[..samples], &mut coded[..samples]);
            } else {
                for (n, octet) in coded[..samples].iter_mut().enumerate() {
                    *octet = period[(place + n) % period.len()];
                }
            }
            self.send_audio(now, clock, &coded[..samples], out);
            self.sender.clock = Some(clock.wrapping_add(samples as u32));
            due += Duration::from_micros(125 * samples as u64);
        }
        self.service_at = Some(due);
    }
}

fn write(out: &mut MediaOut, id: StreamId, to: SocketAddr, header: Header, payload: &[u8]) {
    out.packet(id, to, |data| {
        let end = HEADER_BYTES + payload.len();
        let Some(place) = data.get_mut(..end) else { return 0 };
        place[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
        place[HEADER_BYTES..].copy_from_slice(payload);
        end
    });
}
