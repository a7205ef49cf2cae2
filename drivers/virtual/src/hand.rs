//! The hand, mouth and ear of a person at a telephone, and the wires from there into the card.
//!
//! A [`Hand`] may live on another thread than the two halves of the card. Orders travel through
//! rings. Buffers travel inside them and come back, so that the audio half never frees one.

use crate::sound::UNITY_GAIN;
use rtrb::{Consumer, Producer, PushError, RingBuffer};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use tipring_hal::{Digit, Instant};

/// Orders of one hand that may wait for the line half.
const ORDERS_MAX: usize = 128;
/// Things to say that may wait for the audio half, for one port.
const MOUTH_MAX: usize = 64;
/// Things to hear that may wait for the audio half, for one port.
const EAR_MAX: usize = 16;
/// Buffers of speech and of recordings that one hand may have under way.
pub(crate) const BUFFERS_MAX: u32 = 16;

/// What a person can do with the telephone on one port.
///
/// Each order carries the time at which it is given; orders must be given in order of time.
pub struct Hand {
    orders: Producer<Order>,
    back: Consumer<Back>,
    recordings: VecDeque<Recording>,
    buffers_away: u32,
    shared: Arc<Shared>,
}

/// What a person sees of the telephone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandState {
    /// The handset is lifted.
    pub off_hook: bool,
    /// The bell sounds now; false in the pauses of the cadence.
    pub ringing: bool,
    /// Keys are still to be pressed or sound now.
    pub dialling: bool,
    /// Speech is still to be spoken or sounds now.
    pub speaking: bool,
    /// A recording waits or runs.
    pub listening: bool,
}

/// What an ear heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Number of the first sample, counted by the crystal since the card was opened.
    pub first_sample: u64,
    /// The samples, 8000 a second.
    pub samples: Vec<i16>,
}

/// Why an order was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandError {
    /// Too many orders wait; try again when some were carried out.
    Full,
    /// The card is gone.
    Gone,
}

impl fmt::Display for HandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HandError::Full => "too many orders wait for this telephone",
            HandError::Gone => "the card of this telephone is gone",
        })
    }
}

impl std::error::Error for HandError {}

impl Hand {
    /// Lifts the handset.
    ///
    /// # Errors
    /// As every order: [`HandError::Full`] and [`HandError::Gone`].
    pub fn off_hook(&mut self, now: Instant) -> Result<(), HandError> {
        self.order(Order { at: now, act: Act::Hook { closed: true } })
    }

    /// Puts the handset down. What was being dialled or spoken is given up.
    ///
    /// # Errors
    /// As every order.
    pub fn on_hook(&mut self, now: Instant) -> Result<(), HandError> {
        self.order(Order { at: now, act: Act::Hook { closed: false } })
    }

    /// Taps the hook: open for 500 ms. Nothing when the handset is down.
    ///
    /// # Errors
    /// As every order.
    pub fn flash(&mut self, now: Instant) -> Result<(), HandError> {
        self.order(Order { at: now, act: Act::Flash })
    }

    /// Presses keys, 100 ms each with 100 ms between them, after what is still to be dialled or
    /// spoken. Lost when the handset is down at that time.
    ///
    /// # Errors
    /// As every order; then the keys before the refused one were taken.
    pub fn dial(&mut self, now: Instant, digits: &[Digit]) -> Result<(), HandError> {
        for &digit in digits {
            self.shared.keys.fetch_add(1, Ordering::Relaxed);
            let pressed = self.order(Order { at: now, act: Act::Say(Say::Key(digit)) });
            pressed.inspect_err(|_| self.shared.keys_done())?;
        }
        Ok(())
    }

    /// Turns the dial of a rotary telephone: 10 pulses a second, 60 ms break and 40 ms make, 700 ms
    /// between digits. Digits without pulses (`*`, `#`, letters) are skipped.
    ///
    /// # Errors
    /// As every order; then the digits before the refused one were taken.
    pub fn dial_pulses(&mut self, now: Instant, digits: &[Digit]) -> Result<(), HandError> {
        for &digit in digits.iter().filter(|digit| digit.event() < 10) {
            self.order(Order { at: now, act: Act::Pulses(digit) })?;
        }
        Ok(())
    }

    /// Speaks `samples` (8000 a second), after what is still to be dialled or spoken. Lost when the
    /// handset is down at that time.
    ///
    /// # Errors
    /// As every order.
    pub fn speak(&mut self, now: Instant, samples: Vec<i16>) -> Result<(), HandError> {
        self.take_back();
        if self.buffers_away >= BUFFERS_MAX {
            return Err(HandError::Full);
        }
        self.shared.speeches.fetch_add(1, Ordering::Relaxed);
        let spoken = self.order(Order { at: now, act: Act::Say(Say::Speech(samples)) });
        spoken.inspect_err(|_| self.shared.speeches_done())?;
        self.buffers_away += 1;
        Ok(())
    }

    /// Records the next `samples` samples that the ear hears, after recordings that still wait or
    /// run, without a gap to them. The ear hears silence while the handset is down.
    ///
    /// # Errors
    /// As every order.
    pub fn listen(&mut self, now: Instant, samples: usize) -> Result<(), HandError> {
        self.take_back();
        if self.buffers_away >= BUFFERS_MAX {
            return Err(HandError::Full);
        }
        self.shared.recordings.fetch_add(1, Ordering::Relaxed);
        let taken = self.order(Order { at: now, act: Act::Hear(Hear::Record(Tape::new(samples))) });
        taken.inspect_err(|_| self.shared.recordings_done())?;
        self.buffers_away += 1;
        Ok(())
    }

    /// Ends the recordings that run or wait; they can be taken as short as they are.
    ///
    /// # Errors
    /// As every order.
    pub fn stop_listening(&mut self, now: Instant) -> Result<(), HandError> {
        self.order(Order { at: now, act: Act::Hear(Hear::Stop) })
    }

    /// Takes the oldest finished recording.
    pub fn take_recording(&mut self) -> Option<Recording> {
        self.take_back();
        self.recordings.pop_front()
    }

    /// What the person sees now.
    pub fn state(&self) -> HandState {
        HandState {
            off_hook: self.shared.lifted.load(Ordering::Acquire),
            ringing: self.shared.ringing.load(Ordering::Acquire),
            dialling: self.shared.keys.load(Ordering::Acquire) > 0,
            speaking: self.shared.speeches.load(Ordering::Acquire) > 0,
            listening: self.shared.recordings.load(Ordering::Acquire) > 0,
        }
    }

    fn order(&mut self, order: Order) -> Result<(), HandError> {
        if self.orders.is_abandoned() {
            return Err(HandError::Gone);
        }
        self.orders.push(order).map_err(|PushError::Full(_)| HandError::Full)
    }

    fn take_back(&mut self) {
        while let Ok(back) = self.back.pop() {
            self.buffers_away = self.buffers_away.saturating_sub(1);
            match back {
                Back::Recording(recording) => self.recordings.push_back(recording),
                Back::Speech(samples) => drop(samples),
            }
        }
    }
}

/// An order of a hand to the line half.
pub(crate) struct Order {
    pub at: Instant,
    pub act: Act,
}

/// What a hand wants done.
pub(crate) enum Act {
    Hook { closed: bool },
    Flash,
    Pulses(Digit),
    Say(Say),
    Hear(Hear),
}

/// What the mouth does next.
pub(crate) enum Say {
    Key(Digit),
    Speech(Vec<i16>),
}

/// What the ear does next.
pub(crate) enum Hear {
    Record(Tape),
    Stop,
}

/// A buffer for a recording, allocated for all that it is to hold.
pub(crate) struct Tape {
    pub samples: Vec<i16>,
    pub wanted: usize,
}

impl Tape {
    fn new(wanted: usize) -> Self {
        Tape { samples: Vec::with_capacity(wanted), wanted }
    }
}

/// What comes back from the audio half: buffers to drop or to look at.
pub(crate) enum Back {
    Speech(Vec<i16>),
    Recording(Recording),
}

/// What all threads see of one port.
pub(crate) struct Shared {
    /// The handset is lifted; a flash or a dial pulse does not change that.
    pub lifted: AtomicBool,
    /// The hook contact is closed, its bounce left out.
    pub contact: AtomicBool,
    /// Ringing voltage is on the line.
    pub ringing: AtomicBool,
    /// Battery is on the line.
    pub battery: AtomicBool,
    /// Gain from the line to us, see [`UNITY_GAIN`].
    pub receive_gain: AtomicI32,
    /// Gain from us to the line.
    pub transmit_gain: AtomicI32,
    keys: AtomicU32,
    speeches: AtomicU32,
    recordings: AtomicU32,
}

impl Default for Shared {
    fn default() -> Self {
        Shared {
            lifted: AtomicBool::new(false),
            contact: AtomicBool::new(false),
            ringing: AtomicBool::new(false),
            battery: AtomicBool::new(true),
            receive_gain: AtomicI32::new(UNITY_GAIN),
            transmit_gain: AtomicI32::new(UNITY_GAIN),
            keys: AtomicU32::new(0),
            speeches: AtomicU32::new(0),
            recordings: AtomicU32::new(0),
        }
    }
}

impl Shared {
    /// Current flows, so that the line carries sound.
    pub fn loop_closed(&self) -> bool {
        self.contact.load(Ordering::Acquire)
            && self.battery.load(Ordering::Acquire)
            && !self.ringing.load(Ordering::Acquire)
    }

    /// One key less to press.
    pub fn keys_done(&self) {
        self.keys.fetch_sub(1, Ordering::AcqRel);
    }

    /// One speech less to speak.
    pub fn speeches_done(&self) {
        self.speeches.fetch_sub(1, Ordering::AcqRel);
    }

    /// One recording less to make.
    pub fn recordings_done(&self) {
        self.recordings.fetch_sub(1, Ordering::AcqRel);
    }
}

/// All wires of one port behind the hand, before the card is opened.
pub(crate) struct Wires {
    lines: LineWires,
    audio: AudioWires,
}

/// The wires of one port into the line half.
pub(crate) struct LineWires {
    pub orders: Consumer<Order>,
    pub mouth: Producer<Say>,
    pub ear: Producer<Hear>,
    pub shared: Arc<Shared>,
}

/// The wires of one port into the audio half.
pub(crate) struct AudioWires {
    pub mouth: Consumer<Say>,
    pub ear: Consumer<Hear>,
    pub back: Producer<Back>,
    pub shared: Arc<Shared>,
}

impl Wires {
    /// The wires for each half.
    pub fn split(self) -> (LineWires, AudioWires) {
        (self.lines, self.audio)
    }
}

/// Makes a hand and the wires behind it.
pub(crate) fn wire(shared: Arc<Shared>) -> (Hand, Wires) {
    let (orders_in, orders) = RingBuffer::new(ORDERS_MAX);
    let (mouth_in, mouth) = RingBuffer::new(MOUTH_MAX);
    let (ear_in, ear) = RingBuffer::new(EAR_MAX);
    // As large as the number of buffers under way, so that the audio half can always give one back.
    let (back, back_out) = RingBuffer::new(BUFFERS_MAX as usize);
    let hand = Hand {
        orders: orders_in,
        back: back_out,
        recordings: VecDeque::new(),
        buffers_away: 0,
        shared: Arc::clone(&shared),
    };
    let lines = LineWires { orders, mouth: mouth_in, ear: ear_in, shared: Arc::clone(&shared) };
    (hand, Wires { lines, audio: AudioWires { mouth, ear, back, shared } })
}
