//! Events and commands of a line: closed enums of plain data.

use crate::Instant;
use std::fmt;

/// Number of a port on its card, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortIndex(pub u16);

/// Which side of the line a port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortKind {
    /// We are the exchange: a telephone hangs on the port (FXS).
    Fxs,
    /// We are the telephone: an exchange line hangs on the port (FXO).
    Fxo,
    /// Sound without a loop: a sound device, a voice modem.
    Audio,
}

/// A key of the DTMF keypad: `0`-`9`, `*`, `#`, `A`-`D`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digit(u8);

impl Digit {
    /// All sixteen, in the order of the event numbers of RFC 4733 table 3 (0-9, *, #, A-D).
    pub const ALL: [Digit; 16] = {
        let keys = *b"0123456789*#ABCD";
        let mut all = [Digit(0); 16];
        let mut i = 0;
        while i < 16 {
            all[i] = Digit(keys[i]);
            i += 1;
        }
        all
    };

    /// The key that is written `c`; letters in either case.
    pub fn from_char(c: char) -> Option<Digit> {
        let c = c.to_ascii_uppercase();
        Self::ALL.into_iter().find(|d| d.as_char() == c)
    }

    /// The key with the event number of RFC 4733 table 3, 0 to 15.
    pub fn from_event(event: u8) -> Option<Digit> {
        Self::ALL.get(usize::from(event)).copied()
    }

    /// The event number of RFC 4733 table 3: 0-9 are digits, 10 `*`, 11 `#`, 12-15 `A`-`D`.
    pub fn event(self) -> u8 {
        match self.0 {
            b'0'..=b'9' => self.0 - b'0',
            b'*' => 10,
            b'#' => 11,
            _ => 12 + (self.0 - b'A'),
        }
    }

    /// How the key is written.
    pub fn as_char(self) -> char {
        char::from(self.0)
    }
}

impl fmt::Display for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_char())
    }
}

impl fmt::Debug for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_char())
    }
}

/// Something that happened on a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineEvent {
    /// When.
    pub at: Instant,
    /// On which port.
    pub port: PortIndex,
    /// What.
    pub kind: LineEventKind,
}

/// What happened on a line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineEventKind {
    /// FXS: the loop closed. Bounces, unless the port has [`Abilities::DEBOUNCES`].
    OffHook,
    /// FXS: the loop opened. Bounces likewise; a flash or dial pulse looks the same at first.
    OnHook,
    /// FXS, only with [`Abilities::TIMES_FLASH`]: a timed break.
    Flash,
    /// FXO: ringing voltage came.
    RingStart,
    /// FXO: ringing voltage went.
    RingEnd,
    /// FXO: the exchange turned the battery.
    Polarity(Polarity),
    /// FXO: loop current flows (`true`) or stopped.
    LoopCurrent(bool),
    /// FXS, only with [`Abilities::COUNTS_PULSES`]: a digit dialled by pulses.
    PulseDigit(Digit),
    /// Only with [`Abilities::DETECTS_DIGITS`]: a DTMF digit began.
    Digit(Digit),
    /// Only with [`Abilities::RECEIVES_CALLER_ID`]: the raw caller-ID message.
    CallerId(Vec<u8>),
    /// A fault came or went.
    Alarm(Alarm),
    /// The port or card is gone.
    Removed,
}

/// Which wire carries the battery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// Tip near ground, ring near -48 V: the idle state.
    Normal,
    /// The other way round.
    Reversed,
}

/// A fault of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// All is well again.
    Clear,
    /// The port does not work: no battery, too hot, wire fault.
    Fault,
}

/// What a port can be told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineCommand {
    /// FXS: ringing voltage on. The cadence is the gateway's: it alternates with `StopRing`.
    Ring,
    /// FXS: ringing voltage off.
    StopRing,
    /// FXO: close the loop.
    Seize,
    /// FXO: open the loop.
    Release,
    /// FXO, only with [`Abilities::TIMES_FLASH`]: a timed break.
    Flash,
    /// FXS: turn the battery.
    Polarity(Polarity),
    /// FXS: battery on, or removed (a disconnect pulse is made of two of these).
    Battery(bool),
    /// FXO, only with [`Abilities::DIALS`]: send digits.
    Dial(Vec<Digit>),
    /// Gain of both directions in tenths of a dB, line to us and us to line.
    Gain { receive_tenth_db: i16, transmit_tenth_db: i16 },
    /// Only with [`Abilities::CANCELS_ECHO`].
    EchoCancel(bool),
    /// FXS: message-waiting lamp.
    Lamp(bool),
}

/// What a port does by itself: a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities(u32);

impl Abilities {
    /// Nothing by itself.
    pub const NONE: Abilities = Abilities(0);
    /// Hook contacts are debounced before an event is made of them.
    pub const DEBOUNCES: Abilities = Abilities(1);
    /// Tells a flash from a hang-up.
    pub const TIMES_FLASH: Abilities = Abilities(1 << 1);
    /// Counts dial pulses.
    pub const COUNTS_PULSES: Abilities = Abilities(1 << 2);
    /// Detects DTMF.
    pub const DETECTS_DIGITS: Abilities = Abilities(1 << 3);
    /// Has an echo canceller.
    pub const CANCELS_ECHO: Abilities = Abilities(1 << 4);
    /// Can turn the battery.
    pub const TURNS_POLARITY: Abilities = Abilities(1 << 5);
    /// Can remove the battery.
    pub const REMOVES_BATTERY: Abilities = Abilities(1 << 6);
    /// Receives caller ID by itself.
    pub const RECEIVES_CALLER_ID: Abilities = Abilities(1 << 7);
    /// Dials by itself.
    pub const DIALS: Abilities = Abilities(1 << 8);
    /// Has a gain that can be set.
    pub const SETS_GAIN: Abilities = Abilities(1 << 9);
    /// Has a message-waiting lamp.
    pub const LAMP: Abilities = Abilities(1 << 10);

    /// Both sets together.
    pub const fn with(self, other: Abilities) -> Abilities {
        Abilities(self.0 | other.0)
    }

    /// Whether all of `other` are in this set.
    pub const fn has(self, other: Abilities) -> bool {
        self.0 & other.0 == other.0
    }
}
