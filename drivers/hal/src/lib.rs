//! The hardware layer: what a line card is, says and must do.
//!
//! A driver author reads this crate and nothing else of the gateway. A *card* is a device with
//! one or more *ports* that share one sample clock. [`Card`] describes it; [`Card::open`] splits
//! it into two halves: [`Lines`] (slow: hook, ring, battery), owned by the control thread, and
//! [`Audio`] (real time: one block of samples of all ports in each direction), owned by one media
//! thread. Drivers translate and nothing more: flash timing, pulse counting, ring cadence and
//! disconnect supervision belong to the gateway, unless [`Abilities`] says that the card does it.
//!
//! [`conformance`] holds every card, simulated or real, to the same tests.

mod block;
pub mod conformance;
mod instant;
mod line;

pub use block::Block;
pub use instant::Instant;
pub use line::{Abilities, Alarm, Digit, LineCommand, LineEvent, LineEventKind, Polarity, PortIndex, PortKind};

use std::fmt;
use std::os::fd::RawFd;

/// A card that was found and described, but does not run yet.
pub trait Card: Send {
    /// Ports, kinds, abilities, rate, law and pacing.
    fn info(&self) -> &CardInfo;
    /// Starts the card at `now` and splits it into its two halves.
    ///
    /// # Errors
    /// [`CardErrorKind::Busy`], [`CardErrorKind::Gone`], [`CardErrorKind::Unsupported`] when the
    /// card cannot run with `config`.
    fn open(self: Box<Self>, now: Instant, config: &CardConfig) -> Result<Halves, CardError>;
}

/// The two halves of an open card.
pub struct Halves {
    /// Hook, ring, battery: owned by the control thread.
    pub lines: Box<dyn Lines>,
    /// Samples: owned by one media thread. `None` for a card without an audio path.
    pub audio: Option<Box<dyn Audio>>,
}

/// The slow half of a card. Nothing here blocks.
pub trait Lines: Send {
    /// What to wait for before the next [`Lines::event`].
    fn readiness(&self) -> Readiness;
    /// The next event that has happened by `now`, oldest first; `None` when there is none.
    fn event(&mut self, now: Instant) -> Option<LineEvent>;
    /// Carries out `command` on `port`.
    ///
    /// # Errors
    /// [`CardErrorKind::Gone`] when the device vanished; [`CardErrorKind::Unsupported`] when the
    /// port lacks the ability, which the configuration step should have ruled out.
    fn command(&mut self, now: Instant, port: PortIndex, command: LineCommand) -> Result<(), CardError>;
}

/// The real-time half of a card. Neither allocates nor blocks.
pub trait Audio: Send {
    /// What to wait for before the next [`Audio::exchange`].
    fn readiness(&self) -> Readiness;
    /// Moves one block in each direction for all ports: `input` is filled with what the lines
    /// said, `output` is what the lines will hear next. To be called when the readiness has come.
    ///
    /// # Errors
    /// Only for faults that end or restart the card; lost samples are data in [`Exchange`].
    fn exchange(&mut self, now: Instant, input: &mut Block, output: &Block) -> Result<Exchange, CardError>;
}

/// What a half waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// The descriptor becomes readable.
    Fd(RawFd),
    /// This time has come.
    At(Instant),
    /// Nothing will happen by itself.
    Never,
}

/// What one exchange moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Number of the first sample of the input block, counted from `open` by the card's crystal;
    /// lost samples count too.
    pub first_sample: u64,
    /// When the block was complete.
    pub stamped_at: Instant,
    /// Samples per port that were lost just before this block.
    pub lost: u32,
    /// Further blocks that are ready at once.
    pub pending: u32,
}

/// What a card is.
#[derive(Clone, Debug)]
pub struct CardInfo {
    /// The driver's word for the device, for logs: `virtual/demo`, `dahdi/WCTDM/4`.
    pub name: String,
    /// One entry a port, in port order.
    pub ports: Vec<PortInfo>,
    /// Samples a second and port: 8000 or 16000.
    pub rate_hz: u32,
    /// Who makes time for the samples.
    pub pacing: Pacing,
}

/// What a port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// Which side of the line we are.
    pub kind: PortKind,
    /// What the port does by itself.
    pub abilities: Abilities,
}

/// Who makes time for the samples of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pacing {
    /// The crystal: a block is ready when the card has made it, and ticks the worker.
    Card,
    /// The device has no steady flow of its own; the worker's timer asks for blocks.
    Software,
}

/// What the gateway asks of every card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardConfig {
    /// Samples a block and port; 80 is 10 ms at 8 kHz. 1 to [`Block::SAMPLES_MAX`].
    pub block_samples: u16,
}

impl Default for CardConfig {
    fn default() -> Self {
        CardConfig { block_samples: 80 }
    }
}

/// A fault of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardError {
    /// What to do about it.
    pub kind: CardErrorKind,
    /// What happened, in words for the operator.
    pub message: String,
}

/// What a [`CardError`] means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardErrorKind {
    /// Someone else holds the device; try again later.
    Busy,
    /// The device vanished; close it and look for it again.
    Gone,
    /// The card or port cannot do that.
    Unsupported,
    /// Anything else of the device; restart the card.
    Fault,
}

impl fmt::Display for CardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)
    }
}

impl std::error::Error for CardError {}
