//! Who is let in: every request that belongs to no dialog proves who sent it, before anything is
//! remembered about it.
//!
//! ```text
//!   bytes --> screen --> parser, transaction, dialog --> identify --> application
//!               |                                           |
//!               +-- 401 without state, or silence           +-- 401 (a request played again)
//! ```
//! [`Guard::screen`] looks at the bytes and allocates nothing: what it refuses costs one packet of at
//! most twice the bytes over UDP (RFC 3261 8.2.7 and 26.3.2.4), and nothing at all above a rate for
//! each source. [`Guard::identify`] decides once more about the parsed request, and there a nonce
//! count is used up. The rule of who is who stands at [`Guard::identify`]; which requests need it
//! stands in [`NEEDS`].

mod endpoint;
mod reply;
mod sources;

pub use sources::{BanRule, Bucket};

use super::digest::server::Form;
use super::digest::{Account, Algorithm, Authenticator, Covered, Fault, Verdict};
use super::parser::{Lines, StartLine};
use super::{Event, Flow, Header, HeaderName, Method, Request, Transport};
use crate::rng::Seed;
use crate::time::{Duration, Instant};
use reply::{Name, has_tag, user_of};
use sources::Sources;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What a request needs to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Credentials of an account, or an address that a peer is trusted by.
    Identity,
    /// A dialog, which only its two sides know the tags of.
    Dialog,
    /// Nothing: it stands for another request, or ends one (RFC 3261 22.1: ACK and CANCEL "MUST NOT"
    /// be challenged).
    Nothing,
}

/// Method, need of a new request, need of one with a tag in To. Methods that are not here: the last row.
pub const NEEDS: [(&str, Need, Need); 15] = [
    ("INVITE", Need::Identity, Need::Dialog),
    ("ACK", Need::Nothing, Need::Nothing),
    ("CANCEL", Need::Nothing, Need::Nothing),
    ("BYE", Need::Identity, Need::Dialog),
    ("OPTIONS", Need::Identity, Need::Dialog),
    // A registration belongs to an account, never to a dialog.
    ("REGISTER", Need::Identity, Need::Identity),
    ("PRACK", Need::Identity, Need::Dialog),
    ("SUBSCRIBE", Need::Identity, Need::Dialog),
    ("NOTIFY", Need::Identity, Need::Dialog),
    ("PUBLISH", Need::Identity, Need::Identity),
    ("INFO", Need::Identity, Need::Dialog),
    ("REFER", Need::Identity, Need::Dialog),
    ("MESSAGE", Need::Identity, Need::Dialog),
    ("UPDATE", Need::Identity, Need::Dialog),
    ("", Need::Identity, Need::Dialog),
];

/// What a request of this method needs, with a tag in To or without.
pub fn need(method: &[u8], tagged: bool) -> Need {
    let row = NEEDS.iter().find(|(name, ..)| name.as_bytes() == method || name.is_empty());
    row.map_or(Need::Identity, |(_, new, within)| if tagged { *within } else { *new })
}

/// An address with a prefix length: `127.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The network.
    pub address: IpAddr,
    /// Bits that count, 0 to 32 or 128.
    pub bits: u8,
}

impl Prefix {
    /// Whether `address` is inside. An IPv4 address written as IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |ours: u128, theirs: u128, width: u32| {
            let low = width.saturating_sub(u32::from(self.bits)).min(width);
            low >= u128::BITS || ours >> low == theirs >> low
        };
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => same(ours.to_bits().into(), theirs.to_bits().into(), 32),
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => same(ours.to_bits(), theirs.to_bits(), 128),
            _ => false,
        }
    }
}

/// What a guard is told.
#[derive(Clone, Debug, Default)]
pub struct GuardSettings {
    /// Realm of challenges.
    pub realm: String,
    /// Accounts; an [`Identity::Account`] counts them.
    pub accounts: Vec<GuardAccount>,
    /// Addresses that are trusted, and as which peer.
    pub peers: Vec<(Prefix, usize)>,
    /// Methods whose new requests are answered whoever sends them.
    pub open: Vec<Method>,
    /// When an address is shut out.
    pub ban: Option<BanRule>,
    /// Refusals that one address is sent in a second; above it there is silence.
    pub refusals_per_second: u32,
    /// New calls in a second, of all callers; above it they get 503.
    pub calls_per_second: Option<u32>,
}

/// An account with its password.
#[derive(Clone)]
pub struct GuardAccount {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// What is offered to it, in order.
    pub algorithms: Vec<Algorithm>,
    /// See [`Account::without_qop`].
    pub without_qop: bool,
}

impl std::fmt::Debug for GuardAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GuardAccount({:?}, ..)", self.username)
    }
}

/// Who sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The account with this index.
    Account(usize),
    /// The peer with this index.
    Peer(usize),
    /// Anybody: the method is open to all.
    Anybody,
    /// It is not proved: answer 401 with these challenges.
    Unproved(Vec<Header>),
}

/// Why somebody was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no such account.
    UnknownAccount,
    /// The password is another one.
    WrongPassword,
    /// An algorithm or qop that was not offered.
    Form,
    /// Refusals to this address have come to their rate; said once until it has been quiet.
    Flood,
    /// The address is shut out from now on.
    Banned,
}

impl Reason {
    /// One word for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::UnknownAccount => "unknown-account",
            Reason::WrongPassword => "wrong-password",
            Reason::Form => "form",
            Reason::Flood => "flood",
            Reason::Banned => "banned",
        }
    }
}

/// Somebody was not let in, and an operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthFailure {
    /// Where the request came from.
    pub flow: Flow,
    /// Its method, as it was spelled.
    pub method: String,
    /// The account that it was for, as it was spelled.
    pub account: String,
    /// Why.
    pub reason: Reason,
}

/// What is to become of bytes that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screened {
    /// They go on.
    Pass,
    /// They are dropped.
    Silence,
    /// They are dropped, and the reply goes over this flow.
    Answer(Flow),
}

/// A request that is refused.
struct Seen<'s, 'b> {
    flow: &'s Flow,
    lines: &'s Lines<'b>,
    /// Bytes that came.
    length: usize,
    name: Option<&'s Name>,
    account: Option<usize>,
}

/// How long a nonce is good: long enough for a telephone to use it for several requests.
const NONCE_LIFE: Duration = Duration::from_secs(300);
/// A request may be repeated for 64 T1 after its nonce has ended, and belongs to its transaction still.
const REPEATED_FOR: Duration = Duration::from_secs(32);

/// The guard of an endpoint.
#[derive(Debug)]
pub struct Guard {
    authenticator: Authenticator,
    accounts: Vec<Account>,
    by_name: BTreeMap<String, usize>,
    peers: Vec<(Prefix, usize)>,
    /// User parts of contacts that we registered at peers: nobody else knows them.
    contacts: BTreeMap<String, (usize, IpAddr)>,
    open: Vec<Method>,
    sources: Sources,
    calls: Option<Bucket>,
    full: bool,
    key: [u64; 2],
    /// The request that was identified last, and as which account: its application may ask again.
    last: Option<(Instant, u64, usize)>,
}

impl Guard {
    /// A guard that has seen nobody yet.
    pub fn new(settings: GuardSettings, seed: &Seed) -> Guard {
        let mut secrets = seed.fork("guard").secrets();
        let mut draw = || [secrets.next_u64(), secrets.next_u64()];
        let realm = &settings.realm;
        let account = |account: GuardAccount| Account {
            secret: super::digest::Secret::new(&account.username, realm, &account.password),
            username: account.username,
            algorithms: account.algorithms,
            without_qop: account.without_qop,
        };
        let accounts: Vec<Account> = settings.accounts.into_iter().map(account).collect();
        Guard {
            authenticator: Authenticator::new(realm, NONCE_LIFE, seed),
            by_name: accounts.iter().enumerate().map(|(index, a)| (a.username.clone(), index)).collect(),
            accounts,
            peers: settings.peers,
            contacts: BTreeMap::new(),
            open: settings.open,
            sources: Sources::new(settings.refusals_per_second, settings.ban, draw()),
            calls: settings.calls_per_second.map(|rate| Bucket::new(u64::from(rate))),
            full: false,
            key: draw(),
            last: None,
        }
    }

    /// Requests to this user part from this address are the peer's: it is where we registered it.
    pub fn trust_contact(&mut self, user: &str, from: IpAddr, peer: usize) {
        self.contacts.retain(|_, (other, _)| *other != peer);
        self.contacts.insert(user.to_owned(), (peer, from));
    }

    /// Undoes [`Guard::trust_contact`].
    pub fn distrust_contact(&mut self, peer: usize) {
        self.contacts.retain(|_, (other, _)| *other != peer);
    }

    /// Whether there is room for no more calls; new ones get 503 until it is said otherwise.
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// Whether one more call may begin now. A call that may is counted.
    pub fn admits_call(&mut self, now: Instant) -> bool {
        !self.full && self.calls.as_mut().is_none_or(|calls| calls.take(now))
    }

    /// Whether a refusal may be sent to this address now. One that may is counted.
    pub fn may_refuse(&mut self, now: Instant, to: IpAddr) -> bool {
        self.sources.may_refuse(now, to)
    }

    /// Addresses that are shut out at `now`, in order.
    /// Shuts addresses out again that were before a restart, each until then; nobody when there is no such rule.
    pub fn ban(&mut self, now: Instant, bans: &[(IpAddr, Instant)]) {
        let longest = self.ban_lasts().map(|lasts| now + lasts);
        for (address, until) in bans {
            if let Some(longest) = longest {
                self.sources.ban(now, *address, longest.min(*until));
            }
        }
    }

    /// How long an address is shut out.
    pub fn ban_lasts(&self) -> Option<Duration> {
        self.sources.rule().map(|rule| rule.lasts)
    }

    /// Addresses that are shut out.
    pub fn banned(&self, now: Instant) -> Vec<IpAddr> {
        self.sources.banned(now)
    }

    /// Looks at a datagram, or at a message that was cut out of a stream. An answer is written into
    /// `reply`, which is empty before; what an operator should know is added to `events`.
    pub fn screen(
        &mut self,
        now: Instant,
        flow: &Flow,
        bytes: &[u8],
        reply: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) -> Screened {
        if bytes.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/")) {
            return Screened::Pass;
        }
        // What cannot be read is dropped or refused by the parser, without state as well.
        let Ok(lines) = Lines::read(bytes) else { return Screened::Pass };
        let StartLine::Request { method, uri, .. } = lines.start else { return Screened::Pass };
        let (Some(from), Some(to)) = (lines.get(&HeaderName::From), lines.get(&HeaderName::To)) else {
            return Screened::Pass;
        };
        let needs = need(method, has_tag(to));
        if needs != Need::Identity {
            return Screened::Pass;
        }
        let name = user_of(from);
        let account = name.as_ref().and_then(|name| self.by_name.get(name.as_str())).copied();
        if self.open.iter().any(|open| open.as_str().as_bytes() == method)
            && self.is_anybodys(method, account.is_some(), lines.get(&HeaderName::Authorization).is_some())
        {
            return Screened::Pass;
        }
        let peer = flow.remote.ip();
        if account.is_none() && (self.peer_at(peer).is_some() || self.contact_of(uri, peer).is_some()) {
            return Screened::Pass;
        }
        if self.sources.is_banned(now, peer) {
            return Screened::Silence;
        }
        let credentials = self.authenticator.credentials(lines.all(&HeaderName::Authorization));
        let covered = Covered { method, body: lines.body };
        let known = account.and_then(|index| self.accounts.get(index));
        let verdict = self.authenticator.judge(now, peer, REPEATED_FOR, credentials, known, covered);
        let mut tell = |reason| {
            let account = name.as_ref().map_or("", Name::as_str).to_owned();
            let method = String::from_utf8_lossy(method).into_owned();
            events.push(Event::AuthFailed(Box::new(AuthFailure { flow: *flow, method, account, reason })));
        };
        match verdict {
            Verdict::Accepted => return Screened::Pass,
            Verdict::Missing | Verdict::Stale => {}
            Verdict::Refused(fault) => {
                tell(reason_of(fault));
                if self.sources.failed(now, peer) {
                    tell(Reason::Banned);
                    return Screened::Silence;
                }
            }
        }
        if !self.sources.may_refuse(now, peer) {
            if self.sources.begins_to_flood(peer) {
                tell(Reason::Flood);
            }
            return Screened::Silence;
        }
        let seen = Seen { flow, lines: &lines, length: bytes.len(), name: name.as_ref(), account };
        self.write_challenge(now, &seen, verdict == Verdict::Stale, reply)
    }

    /// Writes a 401 that is small enough, with as many of the challenges as fit.
    fn write_challenge(&mut self, now: Instant, seen: &Seen<'_, '_>, stale: bool, reply: &mut Vec<u8>) -> Screened {
        let flow = seen.flow;
        let Some(to_flow) = reply::begin(reply, seen.lines, flow, self.key) else { return Screened::Pass };
        let head = reply.len();
        let offered = seen.account.or_else(|| self.stand_in(seen.name)).and_then(|index| self.accounts.get(index));
        let (algorithms, without_qop) = match offered {
            Some(account) => (account.algorithms.as_slice(), account.without_qop),
            None => (&[Algorithm::Sha256, Algorithm::Md5][..], false),
        };
        let form = Form { stale, without_qop };
        // A stream has shown that its sender is where it says; a datagram may make us shout at another.
        let limit = if flow.transport == Transport::Udp { seen.length.saturating_mul(2) } else { usize::MAX };
        for count in (1..=algorithms.len()).rev() {
            let offers = algorithms.get(..count).unwrap_or_default();
            self.authenticator.write_challenge(now, flow.remote.ip(), offers, form, reply);
            reply.extend_from_slice(b"Content-Length: 0\r\n\r\n");
            if reply.len() <= limit {
                return Screened::Answer(to_flow);
            }
            reply.truncate(head);
        }
        Screened::Silence
    }

    /// The account whose offers a name is made that is no account's: always the same, so that it looks
    /// like one.
    fn stand_in(&self, name: Option<&Name>) -> Option<usize> {
        let number = reply::keyed_hash(self.key, name.map_or("", Name::as_str).as_bytes());
        let count = u64::try_from(self.accounts.len()).ok().filter(|count| *count > 0)?;
        usize::try_from(number % count).ok()
    }

    /// Whether a request of an open method is anybody's: one that comes in the name of an account, or with
    /// credentials, is that account's or nobody's, so that a name means the same everywhere. OPTIONS tells and
    /// changes nothing, and is answered whoever is named.
    fn is_anybodys(&self, method: &[u8], names_account: bool, has_credentials: bool) -> bool {
        !has_credentials && (!names_account || method == Method::Options.as_str().as_bytes())
    }

    fn peer_at(&self, address: IpAddr) -> Option<usize> {
        self.peers.iter().find(|(prefix, _)| prefix.contains(address)).map(|(_, peer)| *peer)
    }

    fn contact_of(&self, uri: &[u8], from: IpAddr) -> Option<usize> {
        if self.contacts.is_empty() {
            return None;
        }
        let user = user_of(uri)?;
        let (peer, address) = self.contacts.get(user.as_str())?;
        (*address == from).then_some(*peer)
    }

    /// A number that only the same request has: one that is played again comes in another transaction.
    fn mark_of(&self, request: &Request) -> u64 {
        let parts = [HeaderName::Via, HeaderName::CallId, HeaderName::CSeq, HeaderName::Authorization];
        let values = parts.iter().flat_map(|name| request.headers.all(name));
        values.fold(0, |mark, value| reply::keyed_hash([self.key[0], mark], value))
    }

    /// Who sent a request (RFC 3261 22.1). One whose From user is an account is that account's when its
    /// credentials say so, wherever it comes from. Another one to a contact that we registered at a
    /// peer, or from an address that a peer is trusted by, is that peer's. Anything else is challenged
    /// as if the account existed, so that nobody learns which ones do.
    pub fn identify(&mut self, now: Instant, request: &Request, flow: &Flow) -> Identity {
        let user = request.from().and_then(|from| from.uri.user()).unwrap_or_default();
        let index = self.by_name.get(&user).copied();
        let peer = flow.remote.ip();
        if index.is_none() {
            let user = request.uri.user().unwrap_or_default();
            let registered = self.contacts.get(&user).filter(|(_, from)| *from == peer).map(|(peer, _)| *peer);
            if let Some(found) = registered.or_else(|| self.peer_at(peer)) {
                return Identity::Peer(found);
            }
        }
        let has_credentials = request.headers.has(&HeaderName::Authorization);
        if self.open.contains(&request.method)
            && self.is_anybodys(request.method.as_str().as_bytes(), index.is_some(), has_credentials)
        {
            return Identity::Anybody;
        }
        let asked = (now, self.mark_of(request));
        if let Some((at, mark, account)) = self.last
            && (at, mark) == asked
        {
            return Identity::Account(account);
        }
        let account = index.and_then(|index| self.accounts.get(index));
        let given = self.authenticator.credentials(request.headers.all(&HeaderName::Authorization));
        let covered = Covered { method: request.method.as_str().as_bytes(), body: &request.body };
        let verdict = self.authenticator.verify(now, peer, given, account, covered);
        if let (Verdict::Accepted, Some(index)) = (verdict, index) {
            self.last = Some((asked.0, asked.1, index));
            return Identity::Account(index);
        }
        let form = Form { stale: verdict == Verdict::Stale, without_qop: account.is_some_and(|a| a.without_qop) };
        let algorithms = account.map_or(&[Algorithm::Sha256, Algorithm::Md5][..], |account| &account.algorithms);
        Identity::Unproved(self.authenticator.challenge(now, peer, algorithms, form))
    }
}

fn reason_of(fault: Fault) -> Reason {
    match fault {
        Fault::UnknownAccount => Reason::UnknownAccount,
        Fault::WrongPassword => Reason::WrongPassword,
        Fault::Form => Reason::Form,
    }
}

#[cfg(test)]
mod tests;
