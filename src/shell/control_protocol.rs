//! What is said over the control socket: one JSON object a line, a request and its response.
//!
//! The socket is local and belongs to one user (mode 0600); samples travel as numbers inside the
//! JSON, so that the server opens no file on behalf of a client.

use serde::{Deserialize, Serialize};

/// Most samples that one request may bring or ask for: 60 s at 8 kHz.
pub const SAMPLES_MAX: usize = 60 * 8_000;
/// Longest request or response in bytes: [`SAMPLES_MAX`] numbers of at most seven characters.
pub const LINE_BYTES_MAX: usize = SAMPLES_MAX * 7 + 4_096;

/// From a client to the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// The calls in progress.
    Calls,
    /// The SIP telephones and stations, with where they are.
    Phones,
    /// The SIP trunks, with their registrations in words.
    Trunks,
    /// The gateway as a whole.
    Status,
    /// Ends a call.
    Hangup {
        /// Its number, as `Calls` shows it.
        call: u64,
    },
    /// Calls one party and, when it answers, another.
    Call {
        /// `phone/NAME`, `station/NAME` or a number that one of them has.
        from: String,
        /// The number that it is to talk to.
        to: String,
    },
    /// No new calls from now on.
    Drain,
    /// Reads the configuration again and takes over the certificates.
    Reload,
    /// Moves a simulated telephone.
    Handset {
        /// NAME of `station/NAME`.
        station: String,
        /// What the hand, mouth or ear does.
        action: HandsetAction,
    },
}

/// What a simulated telephone is made to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HandsetAction {
    /// Lifts the handset.
    OffHook,
    /// Puts it down.
    OnHook,
    /// Taps the hook.
    Flash,
    /// Presses keys, one after the other: `0`-`9`, `*`, `#`, `A`-`D`.
    Dial(String),
    /// Says these samples (8 kHz, 16 bit); the response comes at once.
    Speak(Vec<i16>),
    /// Hears this many samples (8 kHz); the response comes when they are complete.
    Listen(usize),
}

/// From the gateway to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// It is done.
    Done,
    /// It is not done, and why.
    Failed(String),
    /// Answer to [`Request::Call`]: the number of the call.
    Begun {
        /// What `hangup` takes.
        call: u64,
    },
    /// Answer to [`Request::Calls`].
    Calls(Vec<CallRow>),
    /// Answer to [`Request::Phones`].
    Phones(Vec<PhoneRow>),
    /// Answer to [`Request::Trunks`].
    Trunks(Vec<TrunkRow>),
    /// Answer to [`Request::Status`].
    Status(StatusRow),
    /// Answer to [`HandsetAction::Listen`].
    Heard(Vec<i16>),
}

/// A call in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CallRow {
    /// What `hangup` takes.
    pub call: u64,
    /// Who calls: `phone/203`, `station/105`, `trunk/loopback`.
    pub from: String,
    /// What was dialled.
    pub number: String,
    /// Who is called; empty before a route was chosen.
    pub to: String,
    /// `routing`, `ringing`, `answered`, ...
    pub state: String,
    /// Milliseconds since the call began.
    pub age_ms: u64,
}

/// A telephone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PhoneRow {
    /// `phone/203` or `station/105`.
    pub name: String,
    /// Its number.
    pub number: String,
    /// Registered contacts of a phone, the state of a station.
    pub state: String,
}

/// A SIP trunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TrunkRow {
    /// `trunk/NAME`.
    pub name: String,
    /// Where calls go; empty when it only sends calls.
    pub to: String,
    /// `registered for 3580 s more`, `not registered: 403 Forbidden, next attempt in 20 s`, `no registration`.
    pub state: String,
}

/// The gateway as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StatusRow {
    /// Calls in progress.
    pub calls: usize,
    /// SIP telephones that are configured.
    pub phones: usize,
    /// SIP telephones that are registered.
    pub registered: usize,
    /// The SIP trunks.
    pub trunks: Vec<TrunkRow>,
    /// Addresses that are shut out.
    pub banned: Vec<String>,
    /// Whether new calls are refused.
    pub draining: bool,
}
