//! ISUP: messages of Q.763, circuits and trunk groups of Q.764. Core code: bytes and events in, bytes
//! and actions out, no sockets and no clock. `gateway::circuits` joins it to calls, `call::isup` translates.
//!
//! ```text
//!   trunk events of a call (IAM, ACM, CPG, ANM, CON, REL, RLC)
//!            |  Group::seize, Group::send / group::Output
//!         group         selection of a circuit, glare, group supervision    (Q.764 2.1, 2.8, 2.9)
//!            |  circuit::Event / circuit::Action
//!         circuit       one circuit: call, blocking, reset, continuity      (Q.764 2)
//!            |  Message
//!         message, parameter, number, indicators, cause, supervision,
//!         compatibility                                                     (Q.763)
//!            |  octets
//!   m3ua to a real exchange, the simulated switch, a SIP body
//! ```
//!
//! [`timers`] has T1 to T35 as data. Every parameter keeps the octets that it was read from, so that
//! what passes through is not changed, spare bits included; accessors give them meaning.
//!
//! # What is not verified
//!
//! The texts of Q.763 and Q.764 were not at hand. Codes, lengths and bit positions are those that
//! tshark's dissector reads (`tests/interop/isup.rs` holds both against each other), layouts of messages
//! also those that two public implementations agree on. What neither settles is marked **unverified**
//! where it stands, with the reason for the choice.

pub mod cause;
pub mod circuit;
pub mod compatibility;
pub mod group;
pub mod indicators;
pub mod m3ua;
pub mod message;
pub mod number;
pub mod parameter;
pub mod point_code;
pub mod supervision;
pub mod timers;

pub use message::{DecodeError, EncodeError, Message, MessageType};
pub use number::{Digits, NatureOfAddress, Number};
pub use parameter::{Parameter, ParameterCode};
pub use point_code::{PointCode, PointCodeError};

use smallvec::SmallVec;
use std::fmt;

/// The content of a parameter, without code and length.
pub type Octets = SmallVec<[u8; 16]>;

/// The family of standards that a trunk speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variant {
    /// ITU-T Q.763: circuits of 12 bits, transmission medium requirement in IAM.
    #[default]
    Itu,
    /// ANSI T1.113: circuits of 14 bits, user service information in IAM instead.
    Ansi,
}

impl Variant {
    /// Both.
    pub const ALL: [Variant; 2] = [Variant::Itu, Variant::Ansi];

    /// The highest circuit identification code.
    pub fn cic_max(self) -> u16 {
        match self {
            Variant::Itu => 0x0FFF,
            Variant::Ansi => 0x3FFF,
        }
    }

    /// Octets of a message from its circuit on: the signalling information field of MTP less the routing
    /// label, four octets or seven.
    pub fn message_octets_max(self) -> usize {
        match self {
            Variant::Itu => crate::limits::ISUP_FIELD_OCTETS - 4,
            Variant::Ansi => crate::limits::ISUP_FIELD_OCTETS - 7,
        }
    }
}

/// A circuit identification code (Q.763 1.2): the name of a circuit between two exchanges.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cic(u16);

impl Cic {
    /// The circuit with this code; `None` beyond what the variant can say.
    pub fn new(variant: Variant, code: u16) -> Option<Cic> {
        (code <= variant.cic_max()).then_some(Cic(code))
    }

    /// The code.
    pub fn value(self) -> u16 {
        self.0
    }

    /// The circuit `by` codes higher, as the bits of a range and status count them.
    pub fn up(self, variant: Variant, by: u16) -> Option<Cic> {
        Cic::new(variant, self.0.checked_add(by)?)
    }
}

impl fmt::Display for Cic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Cic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cic({})", self.0)
    }
}

/// Values of one octet or less with the names that a standard gives them; others stay what they are.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $( $constant:ident = $value:literal, $text:literal; )* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u8);

        impl $name {
            $(
                #[doc = concat!(stringify!($value), ": ", $text, ".")]
                pub const $constant: $name = $name($value);
            )*
            /// All that have a name.
            pub const NAMED: &[$name] = &[$( $name($value), )*];

            /// The one with this value.
            pub const fn new(value: u8) -> Self {
                $name(value)
            }

            /// The value.
            pub const fn value(self) -> u8 {
                self.0
            }

            /// What the standard calls it; `None` for values that are spare, reserved or national.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $( $value => Some($text), )*
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => write!(f, "{name} ({})", self.0),
                    None => write!(f, "{}", self.0),
                }
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({})", stringify!($name), self)
            }
        }
    };
}
use codes;
