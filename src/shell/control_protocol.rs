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
    /// The circuits of a group, or of all.
    Circuits {
        /// NAME or `isup/NAME`.
        group: Option<String>,
    },
    /// Blocks, unblocks or resets a circuit.
    Maintain {
        /// NAME or `isup/NAME`.
        group: String,
        /// Its code.
        circuit: u16,
        /// What is to be done.
        what: Maintain,
    },
    /// The gateway as a whole.
    Status,
    /// What happened to a call, running or ended a while ago.
    Explain {
        /// Its number, as `Calls` and the log show it.
        call: u64,
    },
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

/// What is done to a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Maintain {
    /// No new calls on it.
    Block,
    /// Calls again.
    Unblock,
    /// Idle, whatever it was.
    Reset,
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
    /// Answer to [`Request::Circuits`].
    Circuits(Vec<CircuitRow>),
    /// Answer to [`Request::Status`].
    Status(StatusRow),
    /// Answer to [`Request::Explain`].
    Story(Box<StoryRow>),
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

/// What happened to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StoryRow {
    /// Its number.
    pub call: u64,
    /// Who called: `phone/203`, `isup/switch`.
    pub from: String,
    /// The caller's number, when it is known.
    pub calling: Option<String>,
    /// The number wanted.
    pub number: String,
    /// Where it went; empty when it never left.
    pub to: String,
    /// Whether it has ended.
    pub ended: bool,
    /// Milliseconds from its begin to its answer, when it was answered.
    pub answered_after_ms: Option<u64>,
    /// Milliseconds from its begin to its release, or to now.
    pub lasted_ms: u64,
    /// Who released it: `caller`, `callee`, `gateway`; `None` while it runs.
    pub released_by: Option<String>,
    /// The Q.850 cause of the release.
    pub cause: Option<u8>,
    /// What Q.850 calls it.
    pub cause_name: Option<String>,
    /// Where it was decided, as a token of RFC 8606.
    pub location: Option<String>,
    /// The SIP status with which the called side refused.
    pub status: Option<u16>,
    /// What was translated, in order.
    pub translations: Vec<TranslationRow>,
}

/// A value that came in one language and was said in the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TranslationRow {
    /// Whose leg speaks SIP here.
    pub leg: String,
    /// As it came: `status=480`, `cause=41 location=LN (Temporary failure)`, `BYE`.
    pub original: String,
    /// What became of it.
    pub mapped: String,
    /// The rule.
    pub source: String,
    /// The table that the rule stands in: `rfc3398 of isup/switch`; `None` where a header decided.
    pub table: Option<String>,
    /// Whether the row was compared with the text of its source.
    pub verified: bool,
    /// What the profile would have said without the configuration of the trunk.
    pub instead_of: Option<String>,
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

/// A circuit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CircuitRow {
    /// `isup/NAME`.
    pub group: String,
    /// Its code.
    pub circuit: u16,
    /// `idle`, `calling`, `ringing`, `talking`, `releasing`, `resetting`, `checking`, `unequipped`.
    pub state: String,
    /// `out`: we seized it; `in`: the far end; empty without a call.
    pub direction: String,
    /// `here`, `there`, `both`; empty when nobody blocks it.
    pub blocked: String,
    /// The call on it.
    pub call: Option<u64>,
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
