//! The people at the analog phones of a simulated card: hand, mouth and ear.
//!
//! A hand gives orders in time, but what it says and hears is counted by the crystal of the card.
//! Mouth and ear are therefore tracks whose positions are sample numbers of the card, and each block
//! says when its samples sounded.

use super::phone_audio::Voice;
use super::sound::Track;
use crate::time::Instant;
use tipring_hal::{Digit, Exchange, PortIndex};
use tipring_virtual::{Hand, HandError};

/// Samples of one piece of what is heard: short, so that tones are seen soon.
const HEARD_SAMPLES: usize = 160;
/// Pieces asked for ahead of time.
const HEARD_AHEAD: u32 = 4;
/// Samples of one piece of what is said, and of how far ahead it is prepared.
const SAID_SAMPLES: usize = 800;

/// What a person at an analog phone noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bell {
    /// The bell began to ring, or rang again.
    Rings,
    /// It fell silent, for a pause or for good.
    Stops,
}

/// A person at the telephone of `[station.NAME]`.
pub struct Station {
    /// NAME
    pub name: String,
    /// Its port.
    pub port: PortIndex,
    /// What the mouth said.
    pub mouth: Track,
    /// What the ear heard, since somebody asked for it.
    pub ear: Track,
    hand: Hand,
    bells: Vec<(Instant, Bell)>,
    voice: Voice,
    until: Option<Instant>,
    speaks: bool,
    listens: bool,
    /// Pieces under way to the ear.
    asked: u32,
    /// First sample of the next block.
    next_sample: u64,
    orders_failed: u64,
}

impl Station {
    /// A person whose tracks may become files.
    pub fn new(now: Instant, name: String, port: PortIndex, hand: Hand, keeps_all: bool) -> Self {
        Station {
            name,
            port,
            mouth: Track::new(now, 0, false),
            ear: Track::new(now, 0, keeps_all),
            hand,
            bells: Vec::new(),
            voice: Voice::Silent,
            until: None,
            speaks: false,
            listens: keeps_all,
            asked: 0,
            next_sample: 0,
            orders_failed: 0,
        }
    }

    /// When the bell rang and stopped.
    pub fn bells(&self) -> &[(Instant, Bell)] {
        &self.bells
    }

    /// Whether the handset is lifted.
    pub fn off_hook(&self) -> bool {
        self.hand.state().off_hook
    }

    /// Orders that the telephone did not take: too many at once.
    pub fn orders_failed(&self) -> u64 {
        self.orders_failed
    }

    /// From now on the ear notes what it hears.
    pub fn listen(&mut self) {
        self.listens = true;
    }

    /// Lifts the handset.
    pub fn lift(&mut self, now: Instant) {
        let done = self.hand.off_hook(now);
        self.ordered(done);
    }

    /// Puts it down, and is silent.
    pub fn put_down(&mut self, now: Instant) {
        self.hush();
        let done = self.hand.on_hook(now);
        self.ordered(done);
    }

    /// Taps the hook.
    pub fn flash(&mut self, now: Instant) {
        let done = self.hand.flash(now);
        self.ordered(done);
    }

    /// Presses keys.
    pub fn dial(&mut self, now: Instant, digits: &[Digit]) {
        let done = self.hand.dial(now, digits);
        self.ordered(done);
    }

    /// Says this from now on.
    pub fn speak(&mut self, voice: Voice, until: Option<Instant>) {
        (self.voice, self.until, self.speaks) = (voice, until, true);
    }

    /// Says nothing more; what is under way to the mouth is still said.
    pub fn hush(&mut self) {
        (self.voice, self.until, self.speaks) = (Voice::Silent, None, false);
    }

    fn ordered(&mut self, done: Result<(), HandError>) {
        self.orders_failed += u64::from(done.is_err());
    }

    /// Looks at the bell; to be called when the line may have been told to ring or not to.
    pub fn look(&mut self, now: Instant) {
        let rings = self.hand.state().ringing;
        let rang = matches!(self.bells.last(), Some((_, Bell::Rings)));
        if rings != rang {
            self.bells.push((now, if rings { Bell::Rings } else { Bell::Stops }));
        }
    }

    /// A block of `samples` was moved: note what was heard, prepare what is said and heard next.
    pub fn after_exchange(&mut self, now: Instant, exchange: &Exchange, samples: u16) {
        self.next_sample = exchange.first_sample + u64::from(samples);
        self.mouth.anchor(self.next_sample, exchange.stamped_at);
        self.ear.anchor(self.next_sample, exchange.stamped_at);
        if self.listens {
            while let Some(recording) = self.hand.take_recording() {
                self.asked = self.asked.saturating_sub(1);
                self.ear.put(recording.first_sample, &recording.samples);
            }
            while self.asked < HEARD_AHEAD && self.hand.listen(now, HEARD_SAMPLES).is_ok() {
                self.asked += 1;
            }
        }
        if self.until.is_some_and(|until| until <= now) {
            self.hush();
        }
        // A key still sounds: what would be said now would wait behind it, for a time unknown here.
        if self.speaks && !self.hand.state().dialling {
            let ahead = self.next_sample + SAID_SAMPLES as u64;
            while self.mouth.end() < ahead {
                let mut said = vec![0; SAID_SAMPLES];
                self.voice.fill(&mut said);
                let begins = self.next_sample.max(self.mouth.end());
                self.mouth.put(begins, &said);
                let done = self.hand.speak(now, said);
                self.ordered(done);
            }
        }
    }
}

impl std::fmt::Debug for Station {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Station({}, {:?})", self.name, self.hand.state())
    }
}
