//! The media plane: commands in, samples and packets through, events out.
//!
//! Real-time rules for everything reachable from [`Worker::receive`] and [`Worker::tick`]:
//! no allocation and no free (a [`Stream`] is built by the control side, moved in by a command and
//! moved out by an event, to be dropped there); no lock, no syscall, no logging, no formatting;
//! every loop bounded by a name of `limits`; late work is dropped and counted.

use crate::ids::Id;
use crate::time::Instant;
use std::net::SocketAddr;
use tipring_hal::{Digit, PortIndex};

/// Names one stream of one worker. The control side keeps the slab, so ids are never reused while
/// a worker may still speak of them.
pub type StreamId = Id<StreamName>;

/// Marker of [`StreamId`].
#[derive(Debug)]
pub enum StreamName {}

/// What was negotiated for a stream; can change while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSettings {
    /// Where packets go, and the only source they are taken from; `None` before the peer said it.
    pub remote: Option<SocketAddr>,
    /// Law of the audio.
    pub law: g7xx::g711::Law,
    /// Payload type of the audio in both directions, 0-127.
    pub payload_type: u8,
    /// Payload type of telephone-event, when negotiated.
    pub event_payload_type: Option<u8>,
    /// Samples a packet: 80 to 480 (10 to 60 ms).
    pub packet_samples: u16,
    /// Whether we send (the peer wants to hear).
    pub sends: bool,
    /// Whether what is received is used.
    pub receives: bool,
}

/// What a stream is built from.
#[derive(Clone, Debug)]
pub struct StreamConfig {
    /// Its name.
    pub id: StreamId,
    /// Our address and port; the shell binds it.
    pub local: SocketAddr,
    /// What was negotiated so far.
    pub settings: StreamSettings,
    /// RFC 3550 5.1: random SSRC, first sequence number and first timestamp.
    pub ssrc: u32,
    /// See `ssrc`.
    pub first_sequence: u16,
    /// See `ssrc`.
    pub first_timestamp: u32,
    /// Bounds of the playout delay towards a line.
    pub jitter: JitterBounds,
    /// The gateway itself answers: nothing is joined to this stream.
    pub service: Option<Service>,
}

/// Bounds of the playout delay, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JitterBounds {
    /// Never below.
    pub min_ms: u16,
    /// Never above.
    pub max_ms: u16,
}

impl Default for JitterBounds {
    fn default() -> Self {
        JitterBounds { min_ms: 20, max_ms: 200 }
    }
}

/// What the gateway itself says on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Every packet goes back.
    Echo,
    /// 1004 Hz at 0 dBm0.
    Milliwatt,
}

/// One end of a connection inside a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A port of the worker's card.
    Port(PortIndex),
    /// A stream.
    Stream(StreamId),
}

/// Most parts of a tone's cadence, on and off counted each.
pub const TONE_STEPS: usize = 8;

/// A call-progress tone: up to four frequencies with one cadence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tone {
    /// Frequencies in Hz that sound together; 0 marks an unused place.
    pub hertz: [u16; 4],
    /// Level of each frequency, in hundredths of a dBm0.
    pub level_centi_dbm0: i16,
    /// On, off, on, off... in milliseconds, repeated; all zero: for ever on.
    pub cadence_ms: [u16; TONE_STEPS],
}

/// From control to a worker.
#[derive(Debug)]
pub enum MediaCommand {
    /// Takes over a prepared stream. Its socket travels beside it in the shell.
    Start(Box<Stream>),
    /// Changes what was negotiated.
    Update(StreamId, StreamSettings),
    /// Ends a stream; it comes back as [`MediaEvent::Stopped`].
    Stop(StreamId),
    /// Each end hears the other from now on; earlier joins of both end.
    Join(End, End),
    /// The end hears and is heard by nobody.
    Part(End),
    /// Towards the line, instead of what is joined.
    PlayTone(PortIndex, Tone),
    /// Ends the tone.
    StopTone(PortIndex),
    /// Towards the far end of a stream, instead of what is joined; `None` ends it.
    PlayToStream(StreamId, Option<Tone>),
    /// Reports DTMF heard from the line; while joined to a stream with telephone-event the digits
    /// go there as RFC 4733 events.
    DetectDigits(PortIndex, bool),
    /// The end hears a digit of 100 ms: a line as a tone, a stream as a telephone-event.
    SendDigit(End, Digit),
}

/// From a worker to control.
#[derive(Debug)]
pub enum MediaEvent {
    /// A digit began, in band on a port or as RFC 4733 event on a stream.
    Digit {
        /// Where it was heard.
        end: End,
        /// Which.
        digit: Digit,
        /// When it was recognised.
        at: Instant,
    },
    /// A stream ended; its statistics are inside. The shell closes the socket.
    Stopped(Box<Stream>),
    /// Only from the shell: the address could not be bound, the stream never started.
    BindFailed(Box<Stream>),
}

mod conceal;
mod detect;
mod jitter;
mod level;
mod packets;
mod stream;
mod tone;
mod worker;

pub use detect::{DigitDetector, DigitEdge};
pub use jitter::JitterBuffer;
pub use level::{PEAK_0_DBM0, level_dbm0, peak_0_dbm0};
pub use packets::{MediaOut, Outgoing, PacketBatch, PacketSlot};
pub use stream::{Statistics, Stream};
pub use tone::{DigitPlayer, Sine, ToneGenerator, dtmf_hertz};
pub use worker::{Worker, WorkerCounters, WorkerLayout};
