//! How the gateway behaves as a user agent: session timers of `[sip]`, and what a trunk says about
//! its peer.

use super::findings::Finding;
use super::section::{Lowering, Section};
use super::tables::choice;
use crate::sip::Reliable;
use crate::sip::session::expiry::MIN_SE;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Session interval without a key: what RFC 4028 4.2 recommends.
const SESSION_EXPIRES: Duration = Duration::from_secs(1_800);
/// RFC 4028 5 forbids less; more than a day would end no lost call.
const SESSION_EXPIRES_RANGE: RangeInclusive<Duration> = MIN_SE..=Duration::from_secs(24 * 3_600);
/// How often a trunk may be asked whether it is there.
const KEEPALIVE_RANGE: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(3_600);

/// Session timers (RFC 4028).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimers {
    /// `session-expires`: after this time without refresh a call is taken for dead; `None`: `"off"`.
    pub expires: Option<Duration>,
    /// `min-se`: the shortest interval that a peer may ask for.
    pub least: Duration,
}

impl Default for SessionTimers {
    fn default() -> Self {
        SessionTimers { expires: Some(SESSION_EXPIRES), least: MIN_SE }
    }
}

/// How a trunk is told who calls (RFC 3325).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// `"from"`: From alone.
    #[default]
    From,
    /// `"asserted"`: P-Asserted-Identity, between networks that trust each other.
    Asserted,
    /// `"preferred"`: P-Preferred-Identity, for a proxy that asserts it then.
    Preferred,
}

/// How a trunk is told who passed a call on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DivertedBy {
    /// `"none"`: not at all.
    #[default]
    Nobody,
    /// `"diversion"`: Diversion (RFC 5806).
    Diversion,
    /// `"history-info"`: History-Info (RFC 7044).
    HistoryInfo,
    /// `"both"`
    Both,
}

/// Whether ISUP stands in the bodies of a trunk (RFC 3204, RFC 3372), and which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encapsulate {
    /// `"none"`: SIP alone.
    #[default]
    Nothing,
    /// `"sip-i"`: that of ITU-T.
    Itu,
    /// `"sip-i-ansi"`: that of ANSI.
    Ansi,
}

/// How digits go to a trunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DigitsBy {
    /// `"rtp"`: telephone-event (RFC 4733) when agreed, else as tones.
    #[default]
    Rtp,
    /// `"info"`: INFO with `application/dtmf-relay`.
    Info,
}

/// What a trunk says about its peer as a user agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// `100rel`: whether provisional responses are reliable (RFC 3262).
    pub reliable: Reliable,
    /// `trust`: its word on who calls and who diverted is believed, and it learns those who want to
    /// be anonymous (the trust domain of RFC 3325).
    pub trust: bool,
    /// `identity`; when not given, by `trust`.
    pub identity: Identity,
    /// `diversion`
    pub diverted_by: DivertedBy,
    /// `dtmf`
    pub digits_by: DigitsBy,
    /// `keepalive`: how often it is asked by OPTIONS whether it is there.
    pub keepalive: Option<Duration>,
    /// `encapsulate`
    pub encapsulate: Encapsulate,
    /// `transfer`: its REFER is followed, with the rights of its own calls.
    pub transfer: bool,
    /// `early-offer`: its INVITE always has an offer, ours where the caller made none.
    pub early_offer: bool,
}

/// `session-expires` and `min-se` of `[sip]`.
pub(super) fn session_timers(section: &mut Section<'_>, lowering: &mut Lowering<'_>) -> Option<SessionTimers> {
    let default = SessionTimers::default();
    let expires = match section.get("session-expires") {
        Some(value) if value.is_text("off") => Some(None),
        Some(value) => lowering.duration(value, SESSION_EXPIRES_RANGE).map(Some),
        None => Some(default.expires),
    };
    let least = match section.get("min-se") {
        Some(value) => {
            let place = value.place();
            let least = lowering.duration(value, SESSION_EXPIRES_RANGE);
            if let (Some(least), Some(Some(expires))) = (least, expires)
                && least > expires
            {
                lowering.push(Finding::error("C0014", &place, "min-se is greater than session-expires"));
            }
            least
        }
        None => Some(default.least),
    };
    Some(SessionTimers { expires: expires?, least: least? })
}

/// Keys of `[trunk.NAME]`.
pub(super) fn profile(section: &mut Section<'_>, lowering: &mut Lowering<'_>) -> Option<Profile> {
    let reliable = [("off", Reliable::Off), ("supported", Reliable::Supported), ("required", Reliable::Required)];
    let reliable = one_of("100rel", "setting of 100rel", &reliable, section, lowering);
    let trust = match section.get("trust") {
        Some(value) => lowering.boolean(value),
        None => Some(false),
    };
    let known = [("from", Identity::From), ("asserted", Identity::Asserted), ("preferred", Identity::Preferred)];
    let identity = one_of("identity", "way to say who calls", &known, section, lowering);
    let known = [
        ("none", DivertedBy::Nobody),
        ("diversion", DivertedBy::Diversion),
        ("history-info", DivertedBy::HistoryInfo),
        ("both", DivertedBy::Both),
    ];
    let diverted_by = one_of("diversion", "way to say who diverted", &known, section, lowering);
    let known = [("rtp", DigitsBy::Rtp), ("info", DigitsBy::Info)];
    let digits_by = one_of("dtmf", "way for digits", &known, section, lowering);
    let known = [("none", Encapsulate::Nothing), ("sip-i", Encapsulate::Itu), ("sip-i-ansi", Encapsulate::Ansi)];
    let encapsulate = one_of("encapsulate", "way to carry ISUP", &known, section, lowering);
    let keepalive = match section.get("keepalive") {
        Some(value) => lowering.duration(value, KEEPALIVE_RANGE).map(Some),
        None => Some(None),
    };
    let transfer = match section.get("transfer") {
        Some(value) => lowering.boolean(value),
        None => Some(false),
    };
    let early_offer = match section.get("early-offer") {
        Some(value) => lowering.boolean(value),
        None => Some(false),
    };
    let trust = trust?;
    let by_trust = if trust { Identity::Asserted } else { Identity::From };
    Some(Profile {
        reliable: reliable?.unwrap_or_default(),
        trust,
        identity: identity?.unwrap_or(by_trust),
        diverted_by: diverted_by?.unwrap_or_default(),
        digits_by: digits_by?.unwrap_or_default(),
        keepalive: keepalive?,
        encapsulate: encapsulate?.unwrap_or_default(),
        transfer: transfer?,
        early_offer: early_offer?,
    })
}

/// The choice that a key names; inner `None`: the key is not there.
fn one_of<T: Copy>(
    key: &'static str,
    what: &str,
    known: &[(&'static str, T)],
    section: &mut Section<'_>,
    lowering: &mut Lowering<'_>,
) -> Option<Option<T>> {
    let Some(value) = section.get(key) else { return Some(None) };
    let text = lowering.text(value)?;
    choice(&text, known, "C0022", what, lowering).map(Some)
}
