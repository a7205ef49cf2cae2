//! A simulated line card with an imperfect crystal, and the people at its telephones.
//!
//! ```text
//!   Hand --orders--> VirtualLines --sounds--> VirtualAudio --recordings--> Hand
//!   (a person's      (loop, battery, ringing, (crystal, hybrid,
//!    hand, mouth,     contact bounce, what     mouth and ear)
//!    ear)             the person does)
//! ```
//!
//! [`VirtualCard`] implements [`Card`] like a driver of a real card: the gateway cannot tell them
//! apart. Everything depends on the configuration, its seed, and the times that are passed in; no
//! clock is read. A [`Hand`] is taken before the card is opened, one for each port, and moves what
//! hangs on that port: it lifts the handset, presses keys, speaks and listens. Orders of a hand
//! take effect when the line half is next asked for events, so whoever moves a hand must look at
//! [`tipring_hal::Lines::readiness`] again afterwards.
//!
//! FXO ports exist and take commands, but no exchange hangs on them: nothing ever happens there.
//! Also absent: line impedance, noise, caller ID, and trouble on the wire.

mod audio;
mod crystal;
mod hand;
mod lines;
mod port;
mod sound;

pub use hand::{Hand, HandError, HandState, Recording};

use hand::Shared;
use std::sync::Arc;
use std::time::Duration;
use tipring_hal::{
    Abilities, Block, Card, CardConfig, CardError, CardErrorKind, CardInfo, Halves, Instant, Pacing, PortInfo, PortKind,
};

/// Samples a second of every virtual card.
pub const RATE_HZ: u32 = 8000;

/// What a virtual card is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualConfig {
    /// Name for logs; the driver's word for the card becomes `virtual/NAME`.
    pub name: String,
    /// Error of the crystal in parts per million; above -1,000,000. Positive is fast.
    pub crystal_ppm: i32,
    /// Time from `open` to the first sample: two cards need not tick at the same moments.
    pub crystal_phase: Duration,
    /// Blocks that the card holds when nobody takes them; older ones are lost. At least 1.
    pub blocks_held: u32,
    /// One entry a port, in port order.
    pub ports: Vec<VirtualPort>,
    /// Where chance comes from: contact bounce.
    pub seed: u64,
}

impl Default for VirtualConfig {
    fn default() -> Self {
        VirtualConfig {
            name: String::from("demo"),
            crystal_ppm: 0,
            crystal_phase: Duration::ZERO,
            blocks_held: 16,
            ports: Vec::new(),
            seed: 0,
        }
    }
}

/// A port of a virtual card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualPort {
    /// FXS: a telephone hangs on it. FXO and audio: nothing hangs on it.
    pub kind: PortKind,
    /// What the person at the telephone does by himself.
    pub behaviour: Behaviour,
}

impl VirtualPort {
    /// An FXS port with a telephone whose person does `behaviour`.
    pub fn station(behaviour: Behaviour) -> Self {
        VirtualPort { kind: PortKind::Fxs, behaviour }
    }

    /// An FXO port on which nothing ever happens.
    pub fn line() -> Self {
        VirtualPort { kind: PortKind::Fxo, behaviour: Behaviour::default() }
    }
}

/// What a person at a telephone does by himself. The default does nothing.
///
/// A person who answers by himself also hangs up by himself, 300 ms after the line went dead
/// (battery removed): otherwise a telephone would stay off hook when the caller has gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// Off hook this long after it began to ring; in a pause, at the next ring.
    pub answers_after: Option<Duration>,
    /// On hook this long after answering.
    pub hangs_up_after: Option<Duration>,
    /// Off hook from the start.
    pub off_hook: bool,
    /// What the microphone hears while off hook.
    pub plays: Plays,
}

/// What a microphone hears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plays {
    /// Nothing.
    #[default]
    Silence,
    /// What the line says, later and weaker. The person's own sidetone is not in it.
    Echo {
        /// Delay, up to [`Plays::ECHO_MAX`].
        after: Duration,
        /// Loss in tenths of a dB.
        weaker_tenth_db: u16,
    },
    /// A sine tone.
    Tone {
        /// Frequency in Hz.
        hertz: u16,
        /// Level in tenths of a dBm0; -100 is -10 dBm0.
        level_tenth_dbm0: i16,
    },
}

impl Plays {
    /// The longest delay of an echo; longer ones are cut to this.
    pub const ECHO_MAX: Duration = Duration::from_secs(2);
}

/// A virtual card that does not run yet.
pub struct VirtualCard {
    info: CardInfo,
    config: VirtualConfig,
    hands: Vec<Hand>,
    wires: Vec<hand::Wires>,
}

impl VirtualCard {
    /// Builds the card and the telephones on it.
    pub fn new(config: VirtualConfig) -> Self {
        let ports = config.ports.iter().map(|port| PortInfo { kind: port.kind, abilities: abilities(port.kind) });
        let info = CardInfo {
            name: format!("virtual/{}", config.name),
            ports: ports.collect(),
            rate_hz: RATE_HZ,
            pacing: Pacing::Card,
        };
        let (hands, wires) = config.ports.iter().map(|_| hand::wire(Arc::new(Shared::default()))).unzip();
        VirtualCard { info, config, hands, wires }
    }

    /// Takes the hands of all ports, in port order. To be called once; later calls return none.
    pub fn hands(&mut self) -> Vec<Hand> {
        std::mem::take(&mut self.hands)
    }
}

impl Card for VirtualCard {
    fn info(&self) -> &CardInfo {
        &self.info
    }

    fn open(self: Box<Self>, now: Instant, config: &CardConfig) -> Result<Halves, CardError> {
        if !(1..=Block::SAMPLES_MAX).contains(&config.block_samples) {
            let message = format!("a block of {} samples cannot be made", config.block_samples);
            return Err(CardError { kind: CardErrorKind::Unsupported, message });
        }
        let crystal = crystal::Crystal::new(&self.config, config.block_samples, now).ok_or_else(|| CardError {
            kind: CardErrorKind::Unsupported,
            message: format!("a crystal off by {} ppm does not run", self.config.crystal_ppm),
        })?;
        let (lines, audio) = self.wires.into_iter().map(hand::Wires::split).unzip();
        let lines = lines::VirtualLines::new(&self.config, lines, now);
        let audio = audio::VirtualAudio::new(&self.config, crystal, config.block_samples, audio);
        Ok(Halves { lines: Box::new(lines), audio: Some(Box::new(audio)) })
    }
}

/// What a port of the card does by itself: no debouncing, so that the gateway has to.
fn abilities(kind: PortKind) -> Abilities {
    match kind {
        PortKind::Fxs => {
            Abilities::NONE.with(Abilities::TURNS_POLARITY).with(Abilities::REMOVES_BATTERY).with(Abilities::SETS_GAIN)
        }
        PortKind::Fxo | PortKind::Audio => Abilities::NONE.with(Abilities::SETS_GAIN),
    }
}
