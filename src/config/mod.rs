//! TOML file to a valid [`Config`], or to findings with line and column.

mod access;
mod equipment;
mod failover;
mod far_end;
mod findings;
mod isup;
mod load;
mod m3ua;
mod passing;
mod profile;
mod routes;
mod section;
mod services;
mod tables;
mod tls;
mod values;

pub use failover::Failover;
pub use findings::{Finding, Findings, Level, Place, SourceFile};
pub use isup::{Isup, IsupTransport, Suspend};
pub use m3ua::{Carrier, M3ua};
pub use profile::{DigitsBy, DivertedBy, Encapsulate, Identity, Profile, SessionTimers};

use crate::dialplan::Plan;
use crate::sdp::Codec;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tipring_hal::PortIndex;

/// A configuration without mistakes.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[sip]`
    pub sip: Sip,
    /// `[sip]` certificate and key, and `[tls]`.
    pub tls: Tls,
    /// `[dns]`
    pub dns: Dns,
    /// `[rtp]`
    pub rtp: Rtp,
    /// `[phone.NAME]`, in the order of names.
    pub phones: Vec<Phone>,
    /// `[trunk.NAME]`, in the order of names.
    pub trunks: Vec<Trunk>,
    /// `[isup.NAME]`, in the order of names.
    pub isups: Vec<Isup>,
    /// `[card.NAME]`, in the order of names; `CardId` counts them.
    pub cards: Vec<Card>,
    /// `[station.NAME]`, in the order of names.
    pub stations: Vec<Station>,
    /// `[line.NAME]`, in the order of names.
    pub lines: Vec<Line>,
    /// `[domain."NAME"]`, in the order of names.
    pub domains: Vec<Domain>,
    /// `[group.NAME]`, in the order of names.
    pub groups: Vec<Group>,
    /// `[control]`: path of the local control socket; `None`: the shell chooses,
    /// `$XDG_RUNTIME_DIR/tipring.sock` or else `/tmp/tipring-UID.sock`.
    pub control_socket: Option<String>,
    /// `[log]`
    pub log: Log,
    /// `[limits]`: calls at once.
    pub calls_max: usize,
    /// `[limits]`: rates.
    pub limits: Limits,
    /// `[ban]`; `None`: nobody is shut out.
    pub ban: Option<Ban>,
    /// `[registrar]`
    pub registrar: Registrar,
    /// `[store]`: the file that keeps registrations over a restart.
    pub store: Option<String>,
    /// `[dialling]`: how a line waits for digits.
    pub dialling: Dialling,
    /// `[failover]`: which failures lead to the next target of a route.
    pub failover: Failover,
    /// The dial plan: `[[route]]` and what else stands beside it.
    pub plan: Plan,
}

/// The embedded configuration: the demo exchange, commented.
pub const DEFAULT: &str = include_str!("../../dialplans/default.toml");

/// How a configuration reaches what lies outside its text. The core reads nothing by itself.
pub trait Reader {
    /// The text of a file that the configuration names, relative to the file that names it.
    /// The error is the rest of a sentence: `No such file or directory`.
    fn file(&self, path: &str) -> Result<String, String>;
    /// The value of an environment variable.
    fn variable(&self, name: &str) -> Option<String>;
}

/// A [`Reader`] that has nothing to read: for embedded and generated texts.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoReader;

impl Reader for NoReader {
    fn file(&self, _path: &str) -> Result<String, String> {
        Err("files cannot be read here".to_owned())
    }
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }
}

impl Config {
    /// The simulated far ends of all circuit groups that have one, by the number of the group.
    pub fn far_ends(&self) -> Vec<(crate::ids::GroupId, crate::switch::Trunk, crate::switch::Script)> {
        let far_end = |(index, isup): (usize, &Isup)| {
            let group = crate::ids::GroupId(u16::try_from(index).ok()?);
            isup.far_end().map(|(trunk, script)| (group, trunk, script))
        };
        self.isups.iter().enumerate().filter_map(far_end).collect()
    }

    /// Reads the text of the file called `name` (the name is only for messages).
    pub fn parse(name: &str, text: &str, reader: &dyn Reader) -> Result<Config, Findings> {
        let (config, findings) = Config::check(name, text, reader);
        config.ok_or(findings)
    }

    /// As [`Config::parse`], with the findings that are no errors too.
    pub fn check(name: &str, text: &str, reader: &dyn Reader) -> (Option<Config>, Findings) {
        load::check(name, text, reader)
    }

    /// The demo exchange, [`DEFAULT`].
    pub fn demo() -> Config {
        Config::parse("default.toml", DEFAULT, &NoReader).expect("a test parses the embedded configuration")
    }
}

/// `[dialling]`: timers while digits come one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialling {
    /// `first-digit`: off hook, nothing dialled yet.
    pub first_digit: Duration,
    /// `next-digit`: the number cannot be complete.
    pub next_digit: Duration,
    /// `complete`: the number may be complete.
    pub complete: Duration,
    /// `end-key`: ends dialling unless a pattern continues with it; `None`: no such key.
    pub end_key: Option<char>,
}

impl Default for Dialling {
    fn default() -> Self {
        Dialling {
            first_digit: Duration::from_secs(15),
            next_digit: Duration::from_secs(8),
            complete: Duration::from_secs(3),
            end_key: Some('#'),
        }
    }
}

/// Transport of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// UDP, TCP or TLS.
    pub transport: crate::sip::Transport,
    /// Where to listen.
    pub address: SocketAddr,
}

/// `[sip]`
#[derive(Clone, Debug)]
pub struct Sip {
    /// `listen = ["udp:127.0.0.1:5060", ...]`
    pub listen: Vec<Listener>,
    /// `domain`: realm of challenges and host of our URIs.
    pub domain: String,
    /// `t1`, `t2`, `t4` of RFC 3261 17.1.1.1.
    pub t1: Duration,
    /// See `t1`.
    pub t2: Duration,
    /// See `t1`.
    pub t4: Duration,
    /// `fail-over-after`: how long a silent server is waited for when there is another one.
    pub fail_over_after: Duration,
    /// `open`: methods that are answered whoever asks.
    pub open: Vec<crate::sip::Method>,
    /// `session-expires`, `min-se`.
    pub timers: SessionTimers,
    /// `pass-headers`, `pass-bodies`: what calls carry from one leg to the other.
    pub passing: crate::sip::PassingRules,
}

/// TLS: who we are, and whom we believe. Texts in PEM; nothing here has been verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// `certificate` and `key` of `[sip]`: our certificate with its chain, and its private key.
    pub identity: Option<(String, Password)>,
    /// `authorities` of `[tls]`: who signs the certificates of peers; `None`: those that the system trusts.
    pub authorities: Option<String>,
    /// `client-certificate` of `[tls]`
    pub client_certificate: ClientCertificate,
}

/// What is asked of a peer that connects by TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificate {
    /// Nothing.
    #[default]
    Off,
    /// A certificate, if it has one; a wrong one is refused.
    Optional,
    /// A certificate.
    Required,
}

/// `[dns]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    /// `servers`: whom to ask; empty: whom the system asks.
    pub servers: Vec<SocketAddr>,
}

/// `[rtp]`
#[derive(Clone, Debug)]
pub struct Rtp {
    /// Our address in SDP.
    pub address: IpAddr,
    /// Our address of the other family, for peers that have only that one.
    pub other: Option<IpAddr>,
    /// First port, even.
    pub first_port: u16,
    /// Last port, included.
    pub last_port: u16,
    /// `jitter-min`, `jitter-max`.
    pub jitter: (Duration, Duration),
}

impl Rtp {
    /// Our address in SDP for a peer with IPv4 or IPv6.
    pub fn address_for(&self, is_ipv4: bool) -> IpAddr {
        self.other
            .filter(|other| self.address.is_ipv4() != is_ipv4 && other.is_ipv4() == is_ipv4)
            .unwrap_or(self.address)
    }
}

pub use crate::sip::Prefix;
/// A digest algorithm (RFC 8760).
pub use crate::sip::digest::Algorithm as DigestAlgorithm;

/// What `refusals-per-second` of `[limits]` is when nothing is written: enough for an office behind one
/// address that comes back after a power cut.
pub const REFUSALS_PER_SECOND: u32 = 100;

/// `[limits]`: how often things may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `refusals-per-second`: answers to strangers, for each address; above it there is silence.
    pub refusals_per_second: u32,
    /// `calls-per-second`: new calls by SIP; above it they get 503. `None`: no bound.
    pub calls_per_second: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { refusals_per_second: REFUSALS_PER_SECOND, calls_per_second: None }
    }
}

/// `[ban]`: when an address is shut out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    /// `failures`: wrong credentials; 0 turns the table off.
    pub failures: u32,
    /// `within`: the time in which they come.
    pub within: Duration,
    /// `lasts`
    pub lasts: Duration,
}

impl Default for Ban {
    fn default() -> Self {
        Ban { failures: 10, within: Duration::from_secs(60), lasts: Duration::from_secs(600) }
    }
}

/// `[registrar]`: how long a registration may live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registrar {
    /// `expires-min`
    pub min: Duration,
    /// `expires-max`
    pub max: Duration,
    /// `expires`: when the telephone names none.
    pub usual: Duration,
}

impl Default for Registrar {
    fn default() -> Self {
        Registrar { min: Duration::from_secs(30), max: Duration::from_secs(3600), usual: Duration::from_secs(3600) }
    }
}

/// What we log in with at a trunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// `username`
    pub username: String,
    /// `password`
    pub password: Password,
    /// `realm`: the only one whose challenges are answered; `None`: the first that the trunk shows.
    pub realm: Option<String>,
}

/// A password; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(..)")
    }
}

/// `[phone.NAME]`: a SIP telephone that registers.
#[derive(Clone, Debug)]
pub struct Phone {
    /// NAME, also the user name of its account.
    pub name: String,
    /// Its secret.
    pub password: Password,
    /// What is offered, in order.
    pub digest: Vec<DigestAlgorithm>,
    /// `qop = "none"`: for telephones of RFC 2069.
    pub without_qop: bool,
    /// Its number; NAME when not given.
    pub number: String,
    /// `caller-name`
    pub caller_name: Option<String>,
    /// `forward`
    pub forward: Forward,
    /// `redirects`
    pub redirects: Redirects,
    /// `calls`
    pub calls: Carriage,
}

/// `forward` of a telephone: where it sends calls on, numbers as it would dial them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forward {
    /// `always`
    pub always: Option<String>,
    /// `busy`
    pub busy: Option<String>,
    /// `no-answer`
    pub no_answer: Option<String>,
    /// `unreachable`: not registered, or it does not respond.
    pub unreachable: Option<String>,
    /// `after`: how long it rings before `no-answer` counts; of use only with that.
    pub after: Duration,
}

/// `redirects`: what is done when somebody who is called answers 3xx.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redirects {
    /// Its contacts are called instead, as far as it could have called them itself.
    #[default]
    Follow,
    /// The caller is told to call them.
    Pass,
    /// It counts as a failure.
    Refuse,
}

/// What becomes of a call to a telephone or a domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carriage {
    /// `calls = "carry"`: we are an end of both legs, and the media passes through us.
    #[default]
    Carry,
    /// `calls = "proxy"`: the INVITE is passed on (RFC 3261 16); the media takes its own way.
    Proxy,
    /// `calls = "redirect"`: the caller is told where to call (302, RFC 3261 8.3).
    Redirect,
}

/// `[domain."NAME"]`: another domain whose calls are passed on or redirected.
#[derive(Clone, Debug)]
pub struct Domain {
    /// NAME: the host of Request-URIs.
    pub name: String,
    /// `to`: where its calls go, located by RFC 3263.
    pub to: crate::sip::Uri,
    /// `calls`; never [`Carriage::Carry`].
    pub calls: Carriage,
}

/// `[group.NAME]`: people who ring together or in turn.
#[derive(Clone, Debug)]
pub struct Group {
    /// NAME
    pub name: String,
    /// Who belongs to it; not empty.
    pub members: Vec<Member>,
    /// `ring`
    pub ring: Hunt,
    /// `for`: how long each member rings, or all of them.
    pub rings_for: Duration,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who it is.
    pub target: crate::dialplan::Target,
    /// What it is sent as the called number.
    pub number: String,
}

/// In which order the members of a group ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hunt {
    /// All at once.
    #[default]
    All,
    /// One after the other, as they are listed.
    InOrder,
    /// The same, beginning with another one each time.
    Rotate,
    /// First whoever has had no call for the longest time.
    LongestIdle,
    /// In an order drawn anew for each call.
    Random,
}

/// `[trunk.NAME]`: a SIP carrier or peer.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// NAME
    pub name: String,
    /// `to = "sip:host:port"`: where calls to it go, located by RFC 3263 and tried in order; empty when it
    /// only sends calls.
    pub to: Vec<crate::sip::Uri>,
    /// `from`: addresses that are trusted as this peer, without challenge.
    pub from: Vec<Prefix>,
    /// `codecs`: what is offered to and accepted from it, best first; not empty.
    pub codecs: Vec<Codec>,
    /// `username`, `password`, `realm`: our account there.
    pub login: Option<Login>,
    /// `register = true`: for how long we register there (`expires`).
    pub register: Option<Duration>,
    /// `domain`: host of our address there; the host of `to` when not given.
    pub domain: Option<String>,
    /// `outbound-proxy`: where everything for the trunk goes first.
    pub outbound_proxy: Option<crate::sip::Uri>,
    /// How its peer behaves as a user agent.
    pub profile: Profile,
    /// `redirects`
    pub redirects: Redirects,
    /// `pass-headers`; `None`: as `[sip]` says.
    pub pass_headers: Option<crate::sip::Passing>,
    /// `pass-bodies`, likewise.
    pub pass_bodies: Option<crate::sip::Passing>,
    /// `interworking` and `overrides`: between statuses and causes.
    pub interworking: crate::trunk::interwork::Interworking,
}

/// `[card.NAME]`
#[derive(Clone, Debug)]
pub struct Card {
    /// NAME
    pub name: String,
    /// `driver` and its own keys.
    pub driver: Driver,
}

/// The driver of a card with its own keys.
#[derive(Clone, Debug)]
pub enum Driver {
    /// `driver = "virtual"`
    Virtual {
        /// `crystal-ppm`: error of its crystal.
        crystal_ppm: i32,
        /// Ports, one more than the highest that a station or line uses.
        ports: u16,
    },
}

/// `[station.NAME]`: a telephone on an FXS port.
#[derive(Clone, Debug)]
pub struct Station {
    /// NAME
    pub name: String,
    /// Index into [`Config::cards`].
    pub card: usize,
    /// Its port.
    pub port: PortIndex,
    /// `number`; NAME when not given.
    pub number: String,
    /// `country`: two letters.
    pub country: String,
    /// `caller-name`
    pub caller_name: Option<String>,
    /// `forward`
    pub forward: Forward,
    /// `handset`: what the simulated person does; only for a virtual card.
    pub handset: Handset,
}

/// What the person at a simulated telephone does by himself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handset {
    /// `answers-after`: off hook this long after it began to ring.
    pub answers_after: Option<Duration>,
    /// `hangs-up-after`: on hook this long after answering.
    pub hangs_up_after: Option<Duration>,
    /// `off-hook = true`: off hook from the start.
    pub off_hook: bool,
    /// `plays`: what the microphone hears while off hook.
    pub plays: Plays,
}

/// What a simulated microphone hears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plays {
    /// Nothing.
    #[default]
    Silence,
    /// `plays = { echo-after = "200ms", weaker-db = 6 }`: what the ear hears.
    Echo {
        /// Delay.
        after: Duration,
        /// Loss in tenths of a dB.
        weaker_tenth_db: u16,
    },
    /// `plays = { tone-hz = 1004, level-dbm0 = -10 }`
    Tone {
        /// Frequency.
        hertz: u16,
        /// Level in tenths of a dBm0.
        level_tenth_dbm0: i16,
    },
}

/// `[line.NAME]`: an exchange line on an FXO port.
#[derive(Clone, Debug)]
pub struct Line {
    /// NAME
    pub name: String,
    /// Index into [`Config::cards`].
    pub card: usize,
    /// Its port.
    pub port: PortIndex,
    /// `country`
    pub country: String,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `level`: a filter for tracing.
    pub level: String,
    /// `format`
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `format = "text"`
    Text,
    /// `format = "json"`
    Json,
}

#[cfg(test)]
mod tests;
