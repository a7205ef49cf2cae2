//! One clock domain: receive, tick.
//!
//! ```text
//! receive  slot -> stream accepts -> peer is a stream: rewritten in the slot, goes on at once
//!                                 -> peer is a port:   jitter buffer, digit player
//!                                 -> echo:             rewritten in the slot, goes back
//! tick     input block  -> digit detector -> stream packs (or another port hears it)
//!          output block <- jitter buffer (or another port) <- tone <- digit player
//! ```

use super::detect::{DigitDetector, DigitEdge};
use super::jitter::JitterBuffer;
use super::level::peak_0_dbm0;
use super::stream::{Accepted, Kind};
use super::tone::{DigitPlayer, Sine, ToneGenerator};
use super::{End, JitterBounds, MediaCommand, MediaEvent, MediaOut, PacketBatch, PacketSlot, Service, Tone};
use super::{Stream, StreamId};
use crate::limits::STREAM_IDS;
use crate::time::Instant;
use g7xx::g711::{self, Law};
use tipring_hal::{Block, PortIndex};

/// 1004 Hz fits 2000 samples without a rest.
const MILLIWATT_PERIOD: usize = 2_000;
const MILLIWATT_HERTZ: u16 = 1_004;
/// How long a digit lasts that is ordered by a command: 100 ms.
const ORDERED_DIGIT_SAMPLES: u32 = 800;

/// How long a digit of which no end came yet is played beyond what was said of it (60 ms): until the
/// next report should be here. RFC 4733 2.5.2.2 allows three packet times.
const DIGIT_AHEAD_SAMPLES: u32 = 480;

/// What a worker allocates when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerLayout {
    /// Ports of its card; 0: a worker that is ticked by a timer and only relays and serves.
    pub ports: u16,
    /// Samples of one port in one block, at 8 kHz: 80 is 10 ms.
    pub block_samples: u16,
    /// Most streams at once.
    pub streams_max: usize,
}

/// What a worker could not do; a sign of a mistake on the control side or of nobody draining.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerCounters {
    /// Packets for a stream that does not live here (any more).
    pub unknown_stream: u64,
    /// Commands for a stream or port that does not live here.
    pub refused_commands: u64,
}

#[derive(Debug)]
struct Port {
    peer: Option<End>,
    tone: Option<ToneGenerator>,
    player: DigitPlayer,
    detector: DigitDetector,
    reports_digits: bool,
    jitter: JitterBuffer,
    /// Of the stream whose packets wait in `jitter`.
    epoch: Option<u32>,
}

impl Port {
    /// Another end is heard from now on.
    fn renew(&mut self, bounds: JitterBounds) {
        self.jitter.reset(bounds);
        self.epoch = None;
        self.player.reset();
    }
}

/// Streams by the index of their ids.
#[derive(Debug)]
struct Streams {
    /// Grows with the highest index; the room is set aside at the start.
    places: Vec<Option<Box<Stream>>>,
    count: usize,
}

impl Streams {
    fn get(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.places.get_mut(id.index())?.as_deref_mut().filter(|stream| stream.id() == id)
    }

    /// The place of an index that has one.
    fn place(&mut self, index: usize) -> Option<&mut Option<Box<Stream>>> {
        if index >= self.places.len() && index < STREAM_IDS {
            self.places.resize_with(index + 1, || None);
        }
        self.places.get_mut(index)
    }

    fn take(&mut self, id: StreamId) -> Option<Box<Stream>> {
        self.get(id)?;
        self.count -= 1;
        self.places[id.index()].take()
    }
}

/// One clock domain of the media plane: the ports of a card and the streams that belong to them,
/// or streams alone.
#[derive(Debug)]
pub struct Worker {
    layout: WorkerLayout,
    ports: Box<[Port]>,
    streams: Streams,
    /// Streams that must be looked at in every tick.
    paced: Vec<StreamId>,
    /// Ended streams that found no room among the events.
    #[allow(clippy::vec_box, reason = "unboxing here would free, and boxing again would allocate")]
    ended: Vec<Box<Stream>>,
    /// The Digital Milliwatt in both laws.
    milliwatt: [Box<[u8]>; 2],
    counters: WorkerCounters,
}

impl Worker {
    /// Allocates all that it will ever need.
    pub fn new(layout: WorkerLayout, _now: Instant) -> Self {
        let port = || Port {
            peer: None,
            tone: None,
            player: DigitPlayer::default(),
            detector: DigitDetector::new(),
            reports_digits: false,
            jitter: JitterBuffer::new(JitterBounds::default()),
            epoch: None,
        };
        Worker {
            layout,
            ports: (0..layout.ports).map(|_| port()).collect(),
            streams: Streams { places: Vec::with_capacity(STREAM_IDS), count: 0 },
            paced: Vec::with_capacity(layout.streams_max),
            ended: Vec::with_capacity(layout.streams_max),
            milliwatt: [Law::Mu, Law::A].map(|law| {
                let mut sine = Sine::new(MILLIWATT_HERTZ, peak_0_dbm0(law) as i16);
                let linear: Vec<i16> = (0..MILLIWATT_PERIOD).map(|_| sine.sample()).collect();
                let mut coded = vec![0; MILLIWATT_PERIOD].into_boxed_slice();
                g711::encode(law, &linear, &mut coded);
                coded
            }),
            counters: WorkerCounters::default(),
        }
    }

    /// Carries out one command. One that names what does not live here changes nothing.
    pub fn command(&mut self, now: Instant, command: MediaCommand, out: &mut MediaOut) {
        self.hand_out_ended(out);
        let is_done = match command {
            MediaCommand::Start(stream) => self.start(stream, out),
            MediaCommand::Update(id, settings) => {
                self.streams.get(id).map(|stream| stream.update(now, settings, out)).is_some()
            }
            MediaCommand::Stop(id) => self.stop(now, id, out),
            MediaCommand::Join(a, b) => self.join(now, a, b, out),
            MediaCommand::Part(end) => {
                self.part(now, end, out);
                true
            }
            MediaCommand::PlayTone(index, tone) => {
                self.port(index).map(|port| port.tone = Some(ToneGenerator::new(&tone))).is_some()
            }
            MediaCommand::StopTone(index) => self.port(index).map(|port| port.tone = None).is_some(),
            MediaCommand::PlayToStream(id, tone) => self.play_to_stream(now, id, tone, out),
            MediaCommand::DetectDigits(index, reports) => {
                self.port(index).map(|port| port.reports_digits = reports).is_some()
            }
            MediaCommand::SendDigit(End::Port(index), digit) => {
                self.port(index).map(|port| port.player.queue(digit, ORDERED_DIGIT_SAMPLES)).is_some()
            }
            MediaCommand::SendDigit(End::Stream(id), digit) => {
                let stream = self.streams.get(id).filter(|stream| stream.sends_events());
                stream.map(|stream| stream.send_digit(now, digit, ORDERED_DIGIT_SAMPLES, out)).is_some()
            }
        };
        self.counters.refused_commands += u64::from(!is_done);
    }

    fn port(&mut self, index: PortIndex) -> Option<&mut Port> {
        self.ports.get_mut(usize::from(index.0))
    }

    fn start(&mut self, stream: Box<Stream>, out: &mut MediaOut) -> bool {
        let id = stream.id();
        let is_full = self.streams.count >= self.layout.streams_max;
        match self.streams.place(id.index()) {
            Some(place) if place.is_none() && !is_full => {
                if stream.is_paced() {
                    self.paced.push(id);
                }
                *place = Some(stream);
                self.streams.count += 1;
                true
            }
            _ => {
                self.end(stream, out);
                false
            }
        }
    }

    fn play_to_stream(&mut self, now: Instant, id: StreamId, tone: Option<Tone>, out: &mut MediaOut) -> bool {
        let Some(stream) = self.streams.get(id) else { return false };
        stream.play(now, tone, out);
        let is_paced = stream.is_paced();
        self.paced.retain(|paced| *paced != id);
        if is_paced {
            self.paced.push(id);
        }
        true
    }

    fn stop(&mut self, now: Instant, id: StreamId, out: &mut MediaOut) -> bool {
        self.part(now, End::Stream(id), out);
        let Some(stream) = self.streams.take(id) else { return false };
        self.paced.retain(|paced| *paced != id);
        self.end(stream, out);
        true
    }

    /// Hands a stream out, now or when there is room: it is never dropped here.
    fn end(&mut self, stream: Box<Stream>, out: &mut MediaOut) {
        if let Err(stream) = out.stopped(stream) {
            // Never more than `streams_max` wait: a stream beyond that could not have been started
            // while nobody drained.
            self.ended.push(stream);
        }
    }

    fn hand_out_ended(&mut self, out: &mut MediaOut) {
        while let Some(stream) = self.ended.pop() {
            if let Err(stream) = out.stopped(stream) {
                self.ended.push(stream);
                return;
            }
        }
    }

    fn peer(&mut self, end: End) -> Option<&mut Option<End>> {
        match end {
            End::Port(index) => self.port(index).map(|port| &mut port.peer),
            End::Stream(id) => self.streams.get(id).map(|stream| &mut stream.peer),
        }
    }

    fn join(&mut self, now: Instant, a: End, b: End, out: &mut MediaOut) -> bool {
        if a == b {
            return self.join_to_itself(now, a, out);
        }
        if self.peer(a).is_none() {
            return false;
        }
        match self.peer(b) {
            None => return false,
            Some(peer) if *peer == Some(a) => return true,
            Some(_) => {}
        }
        self.part(now, a, out);
        self.part(now, b, out);
        for (one, other) in [(a, b), (b, a)] {
            if let Some(peer) = self.peer(one) {
                *peer = Some(other);
            }
            if let (End::Port(index), End::Stream(id)) = (one, other) {
                let bounds = self.streams.get(id).map(|stream| stream.config().jitter).unwrap_or_default();
                if let Some(port) = self.port(index) {
                    port.renew(bounds);
                }
            }
        }
        true
    }

    /// A line that hears itself: the echo test of an analog telephone. Streams have a service for it.
    fn join_to_itself(&mut self, now: Instant, end: End, out: &mut MediaOut) -> bool {
        let End::Port(_) = end else { return false };
        if self.peer(end).is_none() {
            return false;
        }
        self.part(now, end, out);
        if let Some(peer) = self.peer(end) {
            *peer = Some(end);
        }
        true
    }

    /// Ends the join of `end`, on both sides.
    fn part(&mut self, now: Instant, end: End, out: &mut MediaOut) {
        let Some(other) = self.peer(end).and_then(Option::take) else { return };
        if let Some(peer) = self.peer(other) {
            *peer = None;
        }
        for end in [end, other] {
            match end {
                End::Stream(id) => {
                    if let Some(stream) = self.streams.get(id) {
                        stream.end_own(now, out);
                    }
                }
                End::Port(index) => {
                    if let Some(port) = self.port(index) {
                        port.renew(JitterBounds::default());
                    }
                }
            }
        }
    }

    /// Takes received packets. What only passes through is marked in `packets` to be sent on
    /// ([`PacketBatch::forwards`]); what goes to a port waits for the tick.
    pub fn receive(&mut self, now: Instant, packets: &mut PacketBatch, out: &mut MediaOut) {
        self.hand_out_ended(out);
        for slot in packets.packets() {
            let Some(stream) = self.streams.get(slot.stream) else {
                self.counters.unknown_stream += 1;
                continue;
            };
            let Some(accepted) = stream.accept(slot) else { continue };
            if let Kind::Event(Some(update)) = accepted.kind
                && update.began
            {
                out.event(MediaEvent::Digit { end: End::Stream(slot.stream), digit: update.digit, at: now });
            }
            let law = stream.settings().law;
            match (stream.config().service, stream.peer) {
                (Some(Service::Echo), _) => stream.relay(now, &accepted, law, slot),
                (Some(Service::Milliwatt), _) | (None, None) => {}
                (None, Some(End::Stream(id))) => {
                    if let Some(peer) = self.streams.get(id) {
                        peer.relay(now, &accepted, law, slot);
                    }
                }
                (None, Some(End::Port(index))) => {
                    if let Some(port) = self.ports.get_mut(usize::from(index.0)) {
                        play(port, stream, &accepted, slot);
                    }
                }
            }
        }
    }

    /// Card worker: `input` is the block that the lines said, `output` is filled with the one that
    /// they hear next. Software worker: called every 10 ms with blocks of no port.
    pub fn tick(&mut self, now: Instant, input: &Block, output: &mut Block, out: &mut MediaOut) {
        self.hand_out_ended(out);
        let ports = self.layout.ports.min(input.ports()).min(output.ports());
        for index in (0..ports).map(PortIndex) {
            let port = &mut self.ports[usize::from(index.0)];
            let stream = match port.peer {
                Some(End::Stream(id)) => self.streams.get(id),
                _ => None,
            };
            hear(now, index, port, stream, input.port(index), out);
        }
        for index in (0..ports).map(PortIndex) {
            let port = &mut self.ports[usize::from(index.0)];
            let block = output.port_mut(index);
            match port.peer {
                Some(End::Port(other)) if other.0 < ports => block.copy_from_slice(input.port(other)),
                Some(End::Stream(id)) => match self.streams.get(id) {
                    Some(stream) => port.jitter.get(block, stream.statistics_mut()),
                    None => block.fill(0),
                },
                _ => block.fill(0),
            }
            if let Some(tone) = &mut port.tone {
                tone.fill(block);
            }
            port.player.overwrite(block);
        }
        for id in &self.paced {
            if let Some(stream) = self.streams.get(*id) {
                let period = match stream.settings().law {
                    Law::Mu => &self.milliwatt[0],
                    Law::A => &self.milliwatt[1],
                };
                stream.serve(now, period, out);
            }
        }
    }

    /// Streams that live in it.
    pub fn stream_count(&self) -> usize {
        self.streams.count
    }

    /// A stream that lives in it, to be looked at.
    pub fn stream(&self, id: StreamId) -> Option<&Stream> {
        self.streams.places.get(id.index())?.as_deref().filter(|stream| stream.id() == id)
    }

    /// Mean time that packets wait for a port before they are played, in samples.
    pub fn playout_delay_samples(&self, port: PortIndex) -> Option<i32> {
        self.ports.get(usize::from(port.0)).map(|port| port.jitter.delay_samples())
    }

    /// Whether a tick does anything: it has ports, or services that send by themselves.
    pub fn needs_ticks(&self) -> bool {
        !self.ports.is_empty() || !self.paced.is_empty()
    }

    /// What went wrong so far.
    pub fn counters(&self) -> WorkerCounters {
        self.counters
    }

    /// What it was made for.
    pub fn layout(&self) -> WorkerLayout {
        self.layout
    }
}

/// Puts a packet of `stream` where `port` will play it.
fn play(port: &mut Port, stream: &mut Stream, accepted: &Accepted, slot: &PacketSlot) {
    match accepted.kind {
        Kind::Audio => {
            if port.epoch.replace(accepted.epoch) != Some(accepted.epoch) {
                port.jitter.restart();
            }
            let Some(payload) = slot.data.get(accepted.payload.clone()) else { return };
            let law = stream.settings().law;
            port.jitter.put(accepted.header.timestamp, law, payload, stream.statistics_mut());
        }
        Kind::Event(Some(update)) => {
            let ahead = if update.ended { 0 } else { DIGIT_AHEAD_SAMPLES };
            let samples = update.duration.saturating_add(ahead);
            if update.began {
                port.player.queue(update.digit, samples);
            } else {
                port.player.extend(samples);
            }
        }
        Kind::Event(None) => {}
    }
}

/// Takes the block that the line of `port` said to the digit detector and to the stream.
fn hear(
    now: Instant,
    index: PortIndex,
    port: &mut Port,
    mut stream: Option<&mut Stream>,
    block: &[i16],
    out: &mut MediaOut,
) {
    let sends_events = stream.as_ref().is_some_and(|stream| stream.sends_events());
    if port.reports_digits || sends_events {
        let reports = port.reports_digits;
        port.detector.process(block, &mut |edge| match edge {
            DigitEdge::Begin(digit) => {
                if reports {
                    out.event(MediaEvent::Digit { end: End::Port(index), digit, at: now });
                }
                if sends_events && let Some(stream) = stream.as_mut() {
                    stream.begin_digit(now, digit, out);
                }
            }
            DigitEdge::End(_) => {
                if let Some(stream) = stream.as_mut() {
                    stream.end_digit();
                }
            }
        });
    } else if port.detector.digit().is_some() {
        port.detector.reset();
    }
    if let Some(stream) = stream {
        stream.push_block(now, block, out);
    }
}

#[cfg(test)]
mod tests;
