//! Scenario files: who does what, what must follow, and within which time.
//!
//! ```toml
//! title = "A SIP phone calls an analog phone"
//! seed = 7                     # every chance of the run comes from it; --seed overrides
//! config = "office.toml"       # beside this file; without it the demo exchange
//! limit = "10m"                # the run ends here at the latest, in virtual time
//!
//! [network]                    # both kinds of traffic; [signalling] and [media] override it
//! delay = "5ms"
//! jitter = "2ms"               # more delay, evenly drawn; does not reorder
//! loss = 5.0                   # percent of packets
//! burst = 0.1                  # percent of packets at which a burst of losses begins
//! burst-length = 8             # packets, at most
//! duplicate = 1.0              # percent
//! reorder = 2.0                # percent held back by `reorder-by`
//! reorder-by = "20ms"
//! dies = 0.1                   # percent of packets of TCP at which the connection dies
//! handshake-fails = 0.1        # percent of TLS handshakes that end the connection
//!
//! [[cut]]                      # all packets lost; `who` and `traffic` may be left out
//! who = "phone/203"
//! traffic = "media"            # or "signalling"
//! from = "10s"
//! until = "12s"
//!
//! [card.demo]
//! crystal-ppm = 80             # error of its crystal
//!
//! [[step]]
//! who = "phone/203"
//! does = "call"
//! number = "105"
//!
//! [[step]]
//! who = "station/105"
//! expect = "ringing"
//! within = "2s"
//!
//! [[step]]
//! wait = "500ms"
//! ```
//!
//! Steps run in order. A step that *does* something takes no time, one that waits takes its time, one
//! that *expects* something ends as soon as it is so, and fails `within` later. It looks at everything
//! since the last step that did something or waited, so the order of expectations between two actions
//! does not matter. The first expectation that fails ends the run.
//!
//! Actors: `station/NAME` is the person at an analog phone of the configuration, `phone/NAME` a SIP
//! phone with the account of that name, `peer/NAME` a SIP user without an account, to be trusted by its
//! address.
//!
//! | `does` | who | further keys |
//! |---|---|---|
//! | `off-hook` `on-hook` `flash` | station | |
//! | `dial` | station | `digits`: keys pressed one after the other, 100 ms down and 100 ms up |
//! | `speak` | all | noise that `expect = "audio"` can find again; `for` a time, or until the call ends |
//! | `play` | all | a tone: `hz`, `level-dbm0`; `for` |
//! | `hush` | all | ends both |
//! | `register` `unregister` | phone | |
//! | `call` | phone, peer | `number` |
//! | `answer` | phone, peer | |
//! | `reject` | phone, peer | `status`: 400 to 699 |
//! | `transfer` | phone, peer | `number`: whoever has it takes the place of this phone in its latest call |
//! | `join-calls` | phone, peer | the others of its first and its latest call are joined, and it leaves both |
//! | `hang-up` | phone, peer | ends or cancels the call, whatever its state |
//! | `send-digits` | phone, peer | `digits`: as telephone-events (RFC 4733) |
//!
//! | `expect` | who | further keys |
//! |---|---|---|
//! | `registered` | phone | |
//! | `ringing` | all | the bell rings |
//! | `ringback` | phone, peer | 180 came for its call |
//! | `answered` | phone, peer | its call was answered, by either side |
//! | `transferred` | phone, peer | it was told how its transfer went: `status`, 200 when it is not given |
//! | `released` | phone, peer | its call ended; `status` of the final response, `cause` of Q.850 in Reason |
//! | `tone` | all | heard now: `hz` (one or a list), `level-dbm0` of each, `tolerance-db` (1) |
//! | `silence` | all | nothing above -60 dBm0 is heard for 200 ms |
//! | `audio` | all | what `from` says is heard; `delay-min`, `delay-max`; `holds` a time: looked at every 10 s |
//! | `digits` | all | `digits` heard: as events or in band by a SIP phone, in band by a station |
//! | `nothing-left` | nobody | no call, dialog, transaction, stream or deadline of the gateway is left |

use super::network::{Cut, Faults, Millionths, Traffic};
use crate::time::{Duration, Instant};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use tipring_hal::Digit;
use toml::{Spanned, Value};

/// A scenario without mistakes.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// For people.
    pub title: String,
    /// Where its chance comes from.
    pub seed: u64,
    /// File name of the configuration, beside the scenario; `None`: the demo exchange.
    pub config: Option<String>,
    /// Longest run in virtual time.
    pub limit: Duration,
    /// What SIP meets on the way.
    pub signalling: Faults,
    /// What RTP meets on the way.
    pub media: Faults,
    /// Times without network.
    pub cuts: Vec<ActorCut>,
    /// Error of the crystal of each card that is named, in ppm.
    pub crystals: BTreeMap<String, i32>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// A cut of an actor; becomes a [`Cut`] when the actor has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorCut {
    /// Who is cut off; `None`: everybody.
    pub who: Option<Actor>,
    /// Only this traffic.
    pub traffic: Option<Traffic>,
    /// From when.
    pub from: Duration,
    /// Until when.
    pub until: Duration,
}

impl ActorCut {
    /// The cut with the address of its actor.
    pub fn at(&self, address: Option<IpAddr>) -> Cut {
        Cut { address, traffic: self.traffic, from: Instant::ZERO + self.from, until: Instant::ZERO + self.until }
    }
}

/// One step, and where it stands in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its line.
    pub line: usize,
    /// What it is.
    pub what: What,
}

/// What a step is.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Time passes.
    Wait(Duration),
    /// Somebody does something.
    Do(Actor, Action),
    /// Something must be so.
    Expect {
        /// What.
        what: Expectation,
        /// How long it may take.
        within: Duration,
    },
}

/// Somebody in a scenario.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Actor {
    /// The person at the telephone of `[station.NAME]`.
    Station(String),
    /// A SIP phone with the account `[phone.NAME]`.
    Phone(String),
    /// A SIP user without an account.
    Peer(String),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::Station(name) => write!(f, "station/{name}"),
            Actor::Phone(name) => write!(f, "phone/{name}"),
            Actor::Peer(name) => write!(f, "peer/{name}"),
        }
    }
}

/// What somebody does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Lifts the handset.
    OffHook,
    /// Puts it down.
    OnHook,
    /// Presses the hook for a moment.
    Flash,
    /// Presses keys.
    Dial(Vec<Digit>),
    /// Makes noise that can be found again.
    Speak(Option<Duration>),
    /// Plays a tone.
    Play {
        /// Frequency in Hz.
        hertz: f64,
        /// Level in dBm0.
        level_dbm0: f64,
        /// How long; `None`: until hushed.
        during: Option<Duration>,
    },
    /// Is silent from now on.
    Hush,
    /// Registers, with credentials when asked.
    Register,
    /// Removes its registration.
    Unregister,
    /// Calls a number.
    Call(String),
    /// Answers the call that rings.
    Answer,
    /// Refuses it with this status.
    Reject(u16),
    /// Transfers its latest call to a number.
    Transfer(String),
    /// Transfers its first call to the other end of its latest one.
    JoinCalls,
    /// Ends or cancels the call.
    HangUp,
    /// Sends telephone-events.
    SendDigits(Vec<Digit>),
}

/// What must become so.
#[derive(Clone, Debug, PartialEq)]
pub enum Expectation {
    /// The registration succeeded.
    Registered(Actor),
    /// The bell rings.
    Ringing(Actor),
    /// The caller was told that the other side rings.
    Ringback(Actor),
    /// The call was answered.
    Answered(Actor),
    /// A transfer came this far.
    Transferred {
        /// Who asked for it.
        who: Actor,
        /// What it was told.
        status: u16,
    },
    /// The call ended.
    Released {
        /// Whose call.
        who: Actor,
        /// Final response, when it had one other than 2xx.
        status: Option<u16>,
        /// Q.850 cause in Reason.
        cause: Option<u8>,
    },
    /// A tone is heard.
    Tone {
        /// By whom.
        who: Actor,
        /// Its frequencies.
        hertz: Vec<f64>,
        /// Level of each.
        level_dbm0: Option<f64>,
        /// How far the level may be off.
        tolerance_db: f64,
    },
    /// Nothing is heard.
    Silence(Actor),
    /// What somebody says is heard.
    Audio {
        /// By whom.
        who: Actor,
        /// Who speaks.
        from: Actor,
        /// Least delay from mouth to ear.
        delay_min: Duration,
        /// Greatest.
        delay_max: Duration,
        /// How long it must stay so.
        holds: Duration,
    },
    /// Digits were heard.
    Digits {
        /// By whom.
        who: Actor,
        /// Which.
        digits: Vec<Digit>,
    },
    /// Nothing is left in the gateway.
    NothingLeft,
}

/// A mistake in a scenario file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

type Entries = BTreeMap<Spanned<String>, Spanned<Value>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: Option<String>,
    seed: Option<u64>,
    config: Option<String>,
    limit: Option<Spanned<Value>>,
    #[serde(default)]
    network: Entries,
    #[serde(default)]
    signalling: Entries,
    #[serde(default)]
    media: Entries,
    #[serde(default)]
    cut: Vec<Spanned<Entries>>,
    #[serde(default)]
    card: BTreeMap<String, Entries>,
    #[serde(default)]
    step: Vec<Spanned<Entries>>,
}

/// Longest run of a scenario that does not say its own.
const LIMIT: Duration = Duration::from_secs(600);
/// Time that an expectation has when it does not say its own.
const WITHIN: Duration = Duration::from_secs(5);

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// Every mistake, in the order of the file.
    pub fn parse(text: &str) -> Result<Scenario, Vec<Finding>> {
        let place = |at: usize| position(text, at);
        let file: File = toml::from_str(text).map_err(|error| {
            let (line, column) = place(error.span().map_or(0, |span| span.start));
            vec![Finding { line, column, message: error.message().to_owned() }]
        })?;
        let mut reader = Reader { text, findings: Vec::new() };
        let limit = file.limit.and_then(|value| reader.note(duration(&value))).unwrap_or(LIMIT);
        let both = reader.faults(Faults::default(), file.network);
        let signalling = reader.faults(both, file.signalling);
        let media = reader.faults(both, file.media);
        let cuts = file.cut.into_iter().filter_map(|entries| reader.cut(entries)).collect();
        let mut crystals = BTreeMap::new();
        for (name, entries) in file.card {
            let mut table = Table::new(entries, 0);
            let ppm = reader.note(table.optional("crystal-ppm", integer::<i32>)).flatten();
            crystals.extend(ppm.map(|ppm| (name, ppm)));
            reader.finish(table);
        }
        let steps = file.step.into_iter().filter_map(|entries| reader.step(entries)).collect();
        reader.findings.sort_by_key(|finding| (finding.line, finding.column));
        if !reader.findings.is_empty() {
            return Err(reader.findings);
        }
        Ok(Scenario {
            title: file.title.unwrap_or_else(|| "untitled".to_owned()),
            seed: file.seed.unwrap_or(1),
            config: file.config,
            limit,
            signalling,
            media,
            cuts,
            crystals,
            steps,
        })
    }
}

/// A mistake at a byte of the text.
type Mistake = (usize, String);

/// Line and column of a byte, both from 1.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Keys and values of one table, taken out one by one; what is left at the end is unknown.
struct Table {
    entries: BTreeMap<String, (usize, Spanned<Value>)>,
    start: usize,
}

impl Table {
    fn new(entries: Entries, start: usize) -> Self {
        let entries =
            entries.into_iter().map(|(key, value)| (key.as_ref().clone(), (key.span().start, value))).collect();
        Table { entries, start }
    }

    fn optional<T>(
        &mut self,
        key: &str,
        read: impl Fn(&Spanned<Value>) -> Result<T, Mistake>,
    ) -> Result<Option<T>, Mistake> {
        self.entries.remove(key).map(|(_, value)| read(&value)).transpose()
    }

    fn required<T>(&mut self, key: &str, read: impl Fn(&Spanned<Value>) -> Result<T, Mistake>) -> Result<T, Mistake> {
        self.optional(key, read)?.ok_or_else(|| (self.start, format!("`{key}` is missing here")))
    }
}

/// Collects mistakes while tables are read.
struct Reader<'a> {
    text: &'a str,
    findings: Vec<Finding>,
}

impl Reader<'_> {
    fn note<T>(&mut self, result: Result<T, Mistake>) -> Option<T> {
        result
            .map_err(|(at, message)| {
                let (line, column) = position(self.text, at);
                self.findings.push(Finding { line, column, message });
            })
            .ok()
    }

    fn finish(&mut self, table: Table) {
        for (key, (at, _)) in table.entries {
            self.note::<()>(Err((at, format!("`{key}` has no meaning here"))));
        }
    }

    fn faults(&mut self, base: Faults, entries: Entries) -> Faults {
        let mut table = Table::new(entries, 0);
        let mut time = |key, base| self.note(table.optional(key, duration)).flatten().unwrap_or(base);
        let delay = time("delay", base.delay);
        let jitter = time("jitter", base.jitter);
        let reorder_by = time("reorder-by", if base.reorder_by.is_zero() { REORDER_BY } else { base.reorder_by });
        let mut share = |key, base| self.note(table.optional(key, percent)).flatten().unwrap_or(base);
        let loss = share("loss", base.loss);
        let burst = share("burst", base.burst);
        let duplicate = share("duplicate", base.duplicate);
        let reorder = share("reorder", base.reorder);
        let dies = share("dies", base.dies);
        let handshake_fails = share("handshake-fails", base.handshake_fails);
        let length = self.note(table.optional("burst-length", integer::<u32>)).flatten();
        let burst_length = length.unwrap_or(base.burst_length.max(1));
        self.finish(table);
        Faults { delay, jitter, loss, burst, burst_length, duplicate, reorder, reorder_by, dies, handshake_fails }
    }

    fn cut(&mut self, entries: Spanned<Entries>) -> Option<ActorCut> {
        let start = entries.span().start;
        let mut table = Table::new(entries.into_inner(), start);
        let who = self.note(table.optional("who", actor))?;
        let traffic = self.note(table.optional("traffic", |value| match value.as_ref().as_str() {
            Some("media") => Ok(Traffic::Media),
            Some("signalling") => Ok(Traffic::Signalling),
            _ => Err((value.span().start, "`traffic` is \"media\" or \"signalling\"".to_owned())),
        }))?;
        let from = self.note(table.required("from", duration))?;
        let until = self.note(table.required("until", duration))?;
        self.finish(table);
        Some(ActorCut { who, traffic, from, until })
    }

    fn step(&mut self, entries: Spanned<Entries>) -> Option<Step> {
        let start = entries.span().start;
        let mut table = Table::new(entries.into_inner(), start);
        let what = read_step(&mut table);
        let what = self.note(what)?;
        self.finish(table);
        Some(Step { line: position(self.text, start).0, what })
    }
}

/// How long a packet is held back when the file does not say.
const REORDER_BY: Duration = Duration::from_millis(20);

fn read_step(table: &mut Table) -> Result<What, Mistake> {
    if let Some(time) = table.optional("wait", duration)? {
        return Ok(What::Wait(time));
    }
    if let Some((at, verb)) = table.optional("does", word)? {
        let (who_at, who) = table.required("who", |value| Ok((value.span().start, actor(value)?)))?;
        let action = action(table, at, &verb)?;
        allowed(&who, who_at, &verb, action_actors(&action))?;
        return Ok(What::Do(who, action));
    }
    if let Some((at, verb)) = table.optional("expect", word)? {
        let what = expectation(table, at, &verb)?;
        let within = table.optional("within", duration)?.unwrap_or(WITHIN);
        return Ok(What::Expect { what, within });
    }
    Err((table.start, "a step needs `does`, `expect` or `wait`".to_owned()))
}

fn action(table: &mut Table, at: usize, verb: &str) -> Result<Action, Mistake> {
    Ok(match verb {
        "off-hook" => Action::OffHook,
        "on-hook" => Action::OnHook,
        "flash" => Action::Flash,
        "dial" => Action::Dial(table.required("digits", digits)?),
        "speak" => Action::Speak(table.optional("for", duration)?),
        "play" => Action::Play {
            hertz: table.required("hz", number)?,
            level_dbm0: table.required("level-dbm0", number)?,
            during: table.optional("for", duration)?,
        },
        "hush" => Action::Hush,
        "register" => Action::Register,
        "unregister" => Action::Unregister,
        "call" => Action::Call(table.required("number", |value| Ok(word(value)?.1))?),
        "answer" => Action::Answer,
        "reject" => Action::Reject(table.required("status", |value| {
            let status = integer::<u16>(value)?;
            let right = (400..=699).contains(&status).then_some(status);
            right.ok_or_else(|| (value.span().start, "`status` is 400 to 699".to_owned()))
        })?),
        "transfer" => Action::Transfer(table.required("number", |value| Ok(word(value)?.1))?),
        "join-calls" => Action::JoinCalls,
        "hang-up" => Action::HangUp,
        "send-digits" => Action::SendDigits(table.required("digits", digits)?),
        _ => return Err((at, format!("nobody can {verb:?}; see the table of actions"))),
    })
}

/// Who can do it: stations, SIP users.
fn action_actors(action: &Action) -> (bool, bool) {
    match action {
        Action::OffHook | Action::OnHook | Action::Flash | Action::Dial(_) => (true, false),
        Action::Speak(_) | Action::Play { .. } | Action::Hush => (true, true),
        _ => (false, true),
    }
}

fn allowed(who: &Actor, at: usize, verb: &str, (stations, users): (bool, bool)) -> Result<(), Mistake> {
    let station = matches!(who, Actor::Station(_));
    if (station && stations) || (!station && users) {
        return Ok(());
    }
    Err((at, format!("{who} cannot {verb:?}; only {} can", if stations { "a station" } else { "a SIP phone" })))
}

fn expectation(table: &mut Table, at: usize, verb: &str) -> Result<Expectation, Mistake> {
    if verb == "nothing-left" {
        return Ok(Expectation::NothingLeft);
    }
    let (who_at, who) = table.required("who", |value| Ok((value.span().start, actor(value)?)))?;
    let stations = matches!(verb, "ringing" | "tone" | "silence" | "audio" | "digits");
    allowed(&who, who_at, verb, (stations, true))?;
    Ok(match verb {
        "registered" => Expectation::Registered(who),
        "ringing" => Expectation::Ringing(who),
        "ringback" => Expectation::Ringback(who),
        "answered" => Expectation::Answered(who),
        "transferred" => {
            Expectation::Transferred { who, status: table.optional("status", integer::<u16>)?.unwrap_or(200) }
        }
        "released" => Expectation::Released {
            who,
            status: table.optional("status", integer::<u16>)?,
            cause: table.optional("cause", integer::<u8>)?,
        },
        "tone" => Expectation::Tone {
            who,
            hertz: table.required("hz", numbers)?,
            level_dbm0: table.optional("level-dbm0", number)?,
            tolerance_db: table.optional("tolerance-db", number)?.unwrap_or(1.0),
        },
        "silence" => Expectation::Silence(who),
        "audio" => Expectation::Audio {
            who,
            from: table.required("from", actor)?,
            delay_min: table.optional("delay-min", duration)?.unwrap_or(Duration::ZERO),
            delay_max: table.optional("delay-max", duration)?.unwrap_or(Duration::from_millis(500)),
            holds: table.optional("holds", duration)?.unwrap_or(Duration::ZERO),
        },
        "digits" => Expectation::Digits { who, digits: table.required("digits", digits)? },
        _ => {
            return Err((at, format!("{verb:?} cannot be expected; see the table of expectations")));
        }
    })
}

fn word(value: &Spanned<Value>) -> Result<(usize, String), Mistake> {
    let at = value.span().start;
    value.as_ref().as_str().map(|text| (at, text.to_owned())).ok_or_else(|| (at, "text in quotes is needed".to_owned()))
}

fn integer<T: TryFrom<i64>>(value: &Spanned<Value>) -> Result<T, Mistake> {
    let wrong = || (value.span().start, "a whole number in its range is needed".to_owned());
    value.as_ref().as_integer().and_then(|n| T::try_from(n).ok()).ok_or_else(wrong)
}

fn number(value: &Spanned<Value>) -> Result<f64, Mistake> {
    plain_number(value.as_ref()).ok_or_else(|| (value.span().start, "a number is needed".to_owned()))
}

fn numbers(value: &Spanned<Value>) -> Result<Vec<f64>, Mistake> {
    let wrong = || (value.span().start, "one to four numbers are needed".to_owned());
    let list = match value.as_ref() {
        Value::Array(values) => values.iter().map(plain_number).collect::<Option<Vec<_>>>(),
        single => plain_number(single).map(|n| vec![n]),
    };
    list.filter(|list| (1..=4).contains(&list.len())).ok_or_else(wrong)
}

fn plain_number(value: &Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|n| n as f64)).filter(|n| n.is_finite())
}

fn percent(value: &Spanned<Value>) -> Result<Millionths, Mistake> {
    let share = Millionths::from_percent(number(value)?);
    share.ok_or_else(|| (value.span().start, "a share is 0 to 100 percent".to_owned()))
}

fn digits(value: &Spanned<Value>) -> Result<Vec<Digit>, Mistake> {
    let (at, text) = word(value)?;
    let digits = text.chars().map(Digit::from_char).collect::<Option<Vec<_>>>();
    digits.filter(|d| !d.is_empty()).ok_or_else(|| (at, "digits are 0-9, *, # and A-D".to_owned()))
}

fn actor(value: &Spanned<Value>) -> Result<Actor, Mistake> {
    let (at, text) = word(value)?;
    let wrong = (at, format!("{text:?} is nobody; write station/NAME, phone/NAME or peer/NAME"));
    match text.split_once('/') {
        Some((_, "")) => Err(wrong),
        Some(("station", name)) => Ok(Actor::Station(name.to_owned())),
        Some(("phone", name)) => Ok(Actor::Phone(name.to_owned())),
        Some(("peer", name)) => Ok(Actor::Peer(name.to_owned())),
        _ => Err(wrong),
    }
}

/// A time with its unit: `200ms`, `1.5s`, `2m`, `1h`.
fn duration(value: &Spanned<Value>) -> Result<Duration, Mistake> {
    let (at, text) = word(value).map_err(|(at, _)| (at, "a time is text with its unit: \"2s\"".to_owned()))?;
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (amount, unit) = text.split_at(unit_at);
    let scale = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err((at, format!("{text:?} is no time; units are ms, s, m and h"))),
    };
    let seconds = amount.parse::<f64>().ok().map(|amount| amount * scale).filter(|s| (0.0..=1e6).contains(s));
    // Rounded to a microsecond, so that 0.1 s is what it looks like.
    let micros = seconds.map(|seconds| Duration::from_micros((seconds * 1e6).round() as u64));
    micros.ok_or_else(|| (at, format!("{text:?} is no time; write \"200ms\" or \"1.5s\"")))
}

#[cfg(test)]
#[path = "scenario_tests.rs"]
mod tests;
