//! Server location (RFC 3263): from a URI to addresses that are tried in order.
//!
//! ```text
//!   URI --NAPTR--> services --SRV--> hosts and ports --A, AAAA--> targets --> tried one by one
//!    \________ transport or port given: straight on ________/        ^
//!     \_______________________ numeric host ________________________/
//! ```
//! A [`Search`] is what one request knows of its way. It says what is to be asked, is told the answers
//! and gives one attempt after the other. [`Locator`] is what all requests share: a cache bounded in
//! size and time, the questions under way, and the targets that failed not long ago. Nobody here
//! waits or sends; the endpoint does.

use super::transaction::ClientId;
use super::uri::{Host, Uri};
use super::{Flow, Transport};
use crate::limits;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// To an address that is known: a registered contact, the way back of a request.
    Flow(Flow),
    /// To where these URIs lead, tried in order (RFC 3263).
    Uris(Vec<Uri>),
    /// Inside a dialog: to where this URI leads, and else by the way that the dialog came (RFC 3261 8.1.2).
    Dialog {
        /// The first route or the remote target.
        uri: Uri,
        /// The way of the dialog.
        flow: Flow,
    },
}

impl NextHop {
    /// The flow, when it is known without asking anybody.
    pub fn flow(&self) -> Option<Flow> {
        match self {
            NextHop::Flow(flow) => Some(*flow),
            NextHop::Uris(_) | NextHop::Dialog { .. } => None,
        }
    }

    /// Whether the peer has IPv4 or IPv6; `None` when only the resolver knows.
    pub fn is_ipv4(&self) -> Option<bool> {
        match self {
            NextHop::Flow(flow) | NextHop::Dialog { flow, .. } => Some(flow.remote.is_ipv4()),
            NextHop::Uris(uris) => uris.first()?.address().map(|address| address.is_ipv4()),
        }
    }
}

impl From<Flow> for NextHop {
    fn from(flow: Flow) -> NextHop {
        NextHop::Flow(flow)
    }
}

impl From<Uri> for NextHop {
    fn from(uri: Uri) -> NextHop {
        NextHop::Uris(vec![uri])
    }
}

/// What the resolver is asked. Names are in lower case, without a dot at the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// The NAPTR records of a domain.
    Naptr(String),
    /// The SRV records of a name.
    Srv(String),
    /// The IPv4 addresses of a host.
    Ipv4(String),
    /// The IPv6 addresses of a host.
    Ipv6(String),
    /// Our address from which packets to this one leave; asked when we listen on all addresses.
    Source(IpAddr),
}

/// One NAPTR record (RFC 3403) with an empty regular expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NaptrRecord {
    /// Lower ones first.
    pub order: u16,
    /// Lower ones first within an order.
    pub preference: u16,
    /// `s`: the replacement is the name of SRV records.
    pub flags: String,
    /// `SIP+D2U`, `SIP+D2T`, `SIPS+D2T`.
    pub service: String,
    /// Where to go on.
    pub replacement: String,
}

/// One SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrvRecord {
    /// Lower ones first.
    pub priority: u16,
    /// Share within a priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; empty (the root) says that the service is not there.
    pub target: String,
}

/// What the resolver knows; nothing when there are no records, or when it could not find out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// For [`Question::Naptr`].
    pub naptr: Vec<NaptrRecord>,
    /// For [`Question::Srv`].
    pub srv: Vec<SrvRecord>,
    /// For [`Question::Ipv4`], [`Question::Ipv6`], [`Question::Source`].
    pub addresses: Vec<IpAddr>,
    /// How long it holds. Zero: it is not kept.
    pub ttl: Duration,
}

/// What we can speak: the listeners of the shell.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a>(pub &'a [(Transport, SocketAddr)]);

/// Our side of an attempt.
enum Local {
    /// This listener.
    Known(SocketAddr),
    /// One on all addresses with this port.
    Any(u16),
}

impl Reach<'_> {
    fn of(&self, transport: Transport, is_ipv4: bool) -> impl Iterator<Item = SocketAddr> + '_ {
        self.0.iter().filter(move |(t, a)| *t == transport && a.is_ipv4() == is_ipv4).map(|(_, a)| *a)
    }

    /// Whether peers of this family can be reached by this transport.
    pub fn has(&self, transport: Transport, is_ipv4: bool) -> bool {
        self.of(transport, is_ipv4).next().is_some()
    }

    fn speaks(&self, transport: Transport) -> bool {
        self.has(transport, true) || self.has(transport, false)
    }

    /// The listener that fits a peer: on its own machine one of the loopback, for others another.
    fn local(&self, transport: Transport, remote: IpAddr) -> Option<Local> {
        let is_ipv4 = remote.is_ipv4();
        let fits = |a: &SocketAddr| a.ip().is_loopback() == remote.is_loopback() && !a.ip().is_unspecified();
        if let Some(address) = self.of(transport, is_ipv4).find(fits) {
            return Some(Local::Known(address));
        }
        if let Some(any) = self.of(transport, is_ipv4).find(|a| a.ip().is_unspecified()) {
            return Some(Local::Any(any.port()));
        }
        self.of(transport, is_ipv4).next().map(Local::Known)
    }
}

/// A host and port that a search has found, for A and AAAA records.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Service {
    transport: Transport,
    host: String,
    port: u16,
}

/// An address to be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    transport: Transport,
    address: SocketAddr,
    /// The domain of the URI, for TLS (RFC 5922 7.3).
    domain: Option<String>,
}

/// Where a request is sent next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// From and to.
    pub flow: Flow,
    /// Whom the peer's certificate must name.
    pub domain: Option<String>,
}

/// How far the search for one URI is.
#[derive(Clone, Debug)]
enum Stage {
    /// No URI is being worked on.
    Idle,
    /// 4.1: NAPTR records of the domain are awaited.
    Naptr(Uri),
    /// 4.2: SRV records of these names are awaited; without any, `fallback` is the transport.
    Srv { uri: Uri, names: Vec<(Transport, String)>, fallback: Transport },
    /// 4.2: addresses of these hosts are awaited.
    Hosts { domain: String, services: Vec<Service> },
}

/// What a search wants.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Answers to these; those that were told are not asked again.
    Ask(Vec<Question>),
    /// The request is to be sent there.
    Try(Attempt),
    /// Nothing is left to be tried.
    Exhausted,
}

/// The search of one request for servers that take it.
#[derive(Clone, Debug)]
pub struct Search {
    uris: VecDeque<Uri>,
    /// The first URI, when there are several, and the one that is worked on.
    first: Option<Uri>,
    current: Option<Uri>,
    stage: Stage,
    targets: VecDeque<Target>,
    /// Kept here so that an answer whose time is up at once still serves this search.
    answers: BTreeMap<Question, Records>,
    /// Taken only when the attempt before failed in transport: UDP behind TCP (RFC 3261 18.1.1).
    fallback: Option<Attempt>,
    /// TCP has been tried for its size.
    enlarged: bool,
    /// The way of the dialog that the request belongs to.
    dialog: Option<Flow>,
    /// The same while it has not been tried.
    last_resort: Option<Flow>,
}

impl Search {
    /// For URIs that are tried in order.
    pub fn new(uris: Vec<Uri>) -> Search {
        Search {
            first: uris.first().filter(|_| uris.len() > 1).cloned(),
            current: None,
            uris: uris.into(),
            stage: Stage::Idle,
            targets: VecDeque::new(),
            answers: BTreeMap::new(),
            fallback: None,
            enlarged: false,
            dialog: None,
            last_resort: None,
        }
    }

    /// For a request inside a dialog: it goes to where `uri` leads, there first to the peer that the dialog is
    /// with, and when nobody else takes it the way that the dialog came.
    pub fn of_dialog(uri: Uri, flow: Flow) -> Search {
        Search { dialog: Some(flow), last_resort: Some(flow), ..Search::new(vec![uri]) }
    }

    /// Whether the request belongs to a dialog, whose Contact stays what it is.
    pub fn is_of_dialog(&self) -> bool {
        self.dialog.is_some()
    }

    /// Whether there may be another server behind the one at hand.
    pub fn has_further(&self) -> bool {
        !self.targets.is_empty() || !self.uris.is_empty() || self.last_resort.is_some()
    }

    /// A server of the peer has answered: the way of the dialog is no better than that one.
    pub fn was_answered(&mut self) {
        self.last_resort = None;
    }

    /// Tells an answer.
    pub fn learn(&mut self, question: Question, records: Records) {
        debug_assert!(self.answers.len() < limits::LOCATION_QUESTIONS_PER_SEARCH, "targets are bounded");
        self.answers.insert(question, records);
    }

    /// The Request-URI for the attempt at hand, when it differs from `uri`: a request that is addressed to the
    /// first of several URIs is addressed to the one that it goes to.
    pub fn readdress(&self, uri: &Uri) -> Option<Uri> {
        let (first, current) = (self.first.as_ref()?, self.current.as_ref()?);
        let (Uri::Sip(is), Uri::Sip(first), Uri::Sip(becomes)) = (uri, first, current) else { return None };
        let fits = is.host == first.host && is.port == first.port;
        (fits && first != becomes).then(|| Uri::Sip(super::SipUri { user: is.user.clone(), ..becomes.clone() }))
    }

    /// RFC 3261 18.1.1: a request that is too large for a datagram goes by TCP, and by UDP after all when no
    /// connection can be opened. Returns the attempt to be made instead of `attempt`.
    pub fn enlarge(&mut self, attempt: Attempt) -> Attempt {
        self.enlarged = true;
        let flow = Flow { transport: Transport::Tcp, connection: None, ..attempt.flow };
        self.fallback = Some(attempt);
        Attempt { flow, domain: None }
    }

    /// Whether [`Search::enlarge`] has been done for the attempt at hand.
    pub fn is_enlarged(&self) -> bool {
        self.enlarged
    }

    /// The attempt failed; `in_transport` when the bytes never arrived. Takes the fall-back, if there is one.
    pub fn fall_back(&mut self, in_transport: bool) -> Option<Attempt> {
        self.fallback.take().filter(|_| in_transport)
    }

    /// What is to be done next. Whatever it asks for must be told before it is called again.
    pub fn step(&mut self, reach: Reach<'_>, shared: &Locator, now: Instant, rng: &mut Rng) -> Step {
        loop {
            if let Some(target) = self.targets.front() {
                match self.attempt(target, reach) {
                    Ok(attempt) => {
                        self.targets.pop_front();
                        self.enlarged = false;
                        let Some(attempt) = attempt else { continue };
                        let is_same = |flow: &mut Flow| {
                            flow.transport == attempt.flow.transport && flow.remote == attempt.flow.remote
                        };
                        self.last_resort.take_if(is_same);
                        return Step::Try(attempt);
                    }
                    Err(question) => return Step::Ask(vec![question]),
                }
            }
            let (stage, missing) = match std::mem::replace(&mut self.stage, Stage::Idle) {
                Stage::Idle => match self.uris.pop_front() {
                    Some(uri) => {
                        self.answers.clear();
                        self.current = Some(uri.clone());
                        (self.begin(uri), Vec::new())
                    }
                    None => {
                        self.enlarged = false;
                        let last = self.last_resort.take();
                        return last.map_or(Step::Exhausted, |flow| Step::Try(Attempt { flow, domain: None }));
                    }
                },
                Stage::Naptr(uri) => self.choose_services(uri, reach),
                Stage::Srv { uri, names, fallback } => self.choose_hosts(uri, names, fallback, rng),
                Stage::Hosts { domain, services } => {
                    let (stage, missing) = self.choose_addresses(domain, services, reach);
                    if missing.is_empty() {
                        self.put_dialog_first();
                        shared.put_failed_last(now, &mut self.targets);
                    }
                    (stage, missing)
                }
            };
            self.stage = stage;
            if !missing.is_empty() {
                return Step::Ask(missing);
            }
        }
    }

    /// Our side of a target; `Ok(None)` when it cannot be reached at all.
    fn attempt(&self, target: &Target, reach: Reach<'_>) -> Result<Option<Attempt>, Question> {
        let remote = target.address;
        if let Some(flow) = self.dialog.filter(|flow| is_peer(flow, target)) {
            // Its connection while it lasts, and a new one to where it listens when it does not.
            let connection = flow.connection.filter(|_| flow.transport.is_stream());
            let flow = Flow { remote, connection, ..flow };
            return Ok(Some(Attempt { flow, domain: target.domain.clone() }));
        }
        let local = match reach.local(target.transport, remote.ip()) {
            None => return Ok(None),
            Some(Local::Known(local)) => local,
            Some(Local::Any(port)) => {
                let question = Question::Source(remote.ip());
                let Some(records) = self.answers.get(&question) else { return Err(question) };
                let Some(ip) = records.addresses.first() else { return Ok(None) };
                SocketAddr::new(*ip, port)
            }
        };
        let flow = Flow { transport: target.transport, local, remote, connection: None };
        Ok(Some(Attempt { flow, domain: target.domain.clone() }))
    }

    /// A domain may have several servers: the state of a dialog is at the one that it was made with.
    fn put_dialog_first(&mut self) {
        let Some(flow) = self.dialog else { return };
        let (peer, others): (VecDeque<Target>, VecDeque<Target>) =
            self.targets.drain(..).partition(|target| is_peer(&flow, target));
        self.targets.extend(peer);
        self.targets.extend(others);
    }

    /// 4.1: what the URI itself says on transport and port.
    fn begin(&mut self, uri: Uri) -> Stage {
        let Some(sip) = uri.as_sip() else { return Stage::Idle };
        let named = uri.transport();
        if named.is_none() && sip.params.has("transport") {
            return Stage::Idle; // a transport that we do not speak
        }
        match (&sip.host, sip.port, named) {
            (Host::Ip(ip), port, named) => {
                let transport = named.unwrap_or(Transport::Udp);
                let address = SocketAddr::new(*ip, port.unwrap_or(transport.default_port()));
                let domain = (transport == Transport::Tls).then(|| ip.to_string());
                self.targets.push_back(Target { transport, address, domain });
                Stage::Idle
            }
            (Host::Name(name), Some(port), named) => {
                let usual = self.dialog.map_or(Transport::Udp, |flow| flow.transport);
                let (domain, transport) = (plain(name), named.unwrap_or(usual));
                let services = vec![Service { transport, host: domain.clone(), port }];
                Stage::Hosts { domain, services }
            }
            (Host::Name(name), None, Some(transport)) if sip.params.has("transport") => {
                let names = vec![(transport, service_name(transport, &plain(name)))];
                Stage::Srv { uri, names, fallback: transport }
            }
            (Host::Name(_), None, _) => Stage::Naptr(uri),
        }
    }

    /// 4.1: "the most preferred transport protocol of the server that is supported by the client".
    fn choose_services(&self, uri: Uri, reach: Reach<'_>) -> (Stage, Vec<Question>) {
        let Some(domain) = domain_of(&uri) else { return (Stage::Idle, Vec::new()) };
        let question = Question::Naptr(domain.clone());
        let Some(records) = self.answers.get(&question) else { return (Stage::Naptr(uri), vec![question]) };
        let secure = uri.is_secure();
        let transport_of = |record: &NaptrRecord| {
            let transport = match record.service.to_ascii_uppercase().as_str() {
                "SIPS+D2T" => Transport::Tls,
                "SIP+D2T" => Transport::Tcp,
                "SIP+D2U" => Transport::Udp,
                _ => return None,
            };
            // "A client resolving a SIPS URI MUST discard any services that do not contain SIPS."
            let fits = reach.speaks(transport) && (!secure || transport == Transport::Tls);
            (fits && record.flags.eq_ignore_ascii_case("s") && !record.replacement.is_empty()).then_some(transport)
        };
        let mut fitting: Vec<(&NaptrRecord, Transport)> =
            records.naptr.iter().filter_map(|r| Some((r, transport_of(r)?))).collect();
        fitting.sort_by_key(|(record, _)| (record.order, record.preference));
        let mut names: Vec<(Transport, String)> =
            fitting.into_iter().map(|(record, transport)| (transport, plain(&record.replacement))).collect();
        let mut fallback = names.first().map(|(transport, _)| *transport);
        if names.is_empty() {
            // "If no NAPTR records are found, the client constructs SRV queries for those transport protocols
            // it supports, and does a query for each." UDP first, which is what the URI means without DNS.
            let wanted = [Transport::Udp, Transport::Tcp, Transport::Tls].into_iter();
            let wanted = wanted.filter(|t| reach.speaks(*t) && (!secure || *t == Transport::Tls));
            names = wanted.map(|transport| (transport, service_name(transport, &domain))).collect();
        }
        names.truncate(limits::LOCATION_TARGETS);
        // "If no SRV records are found, the client SHOULD use TCP for a SIPS URI, and UDP for a SIP URI."
        // Inside a dialog it stays what it was.
        let default = match self.dialog {
            _ if secure => Transport::Tls,
            Some(flow) => flow.transport,
            None => Transport::Udp,
        };
        let of_dialog = self.dialog.map(|flow| flow.transport).filter(|t| names.iter().any(|(name, _)| name == t));
        fallback = fallback.or(of_dialog);
        fallback = fallback.or_else(|| names.first().map(|(transport, _)| *transport));
        (Stage::Srv { uri, names, fallback: fallback.unwrap_or(default) }, Vec::new())
    }

    /// 4.2: SRV records in the order of RFC 2782; without any, the domain itself.
    fn choose_hosts(
        &self,
        uri: Uri,
        names: Vec<(Transport, String)>,
        fallback: Transport,
        rng: &mut Rng,
    ) -> (Stage, Vec<Question>) {
        let Some(domain) = domain_of(&uri) else { return (Stage::Idle, Vec::new()) };
        let questions = names.iter().map(|(_, name)| Question::Srv(name.clone()));
        let missing: Vec<Question> = questions.filter(|q| !self.answers.contains_key(q)).collect();
        if !missing.is_empty() {
            return (Stage::Srv { uri, names, fallback }, missing);
        }
        let mut services = Vec::new();
        let mut found = false;
        for (transport, name) in &names {
            let Some(records) = self.answers.get(&Question::Srv(name.clone())) else { continue };
            found |= !records.srv.is_empty();
            for record in in_order(&records.srv, rng) {
                let host = plain(&record.target);
                if !host.is_empty() {
                    services.push(Service { transport: *transport, host, port: record.port });
                }
            }
        }
        // RFC 2782: a target of "." means that "the service is decidedly not available at this domain".
        if !found {
            services.push(Service { transport: fallback, host: domain.clone(), port: fallback.default_port() });
        }
        services.truncate(limits::LOCATION_TARGETS);
        (Stage::Hosts { domain, services }, Vec::new())
    }

    /// 4.2: the addresses of each host, of the families that we speak.
    fn choose_addresses(&mut self, domain: String, services: Vec<Service>, reach: Reach<'_>) -> (Stage, Vec<Question>) {
        let questions = |service: &Service| {
            // IPv6 first, as RFC 6724 has it for a host that has both.
            let ipv6 = reach.has(service.transport, false).then(|| Question::Ipv6(service.host.clone()));
            let ipv4 = reach.has(service.transport, true).then(|| Question::Ipv4(service.host.clone()));
            [ipv6, ipv4].into_iter().flatten()
        };
        let mut missing: Vec<Question> =
            services.iter().flat_map(questions).filter(|q| !self.answers.contains_key(q)).collect();
        missing.sort();
        missing.dedup();
        if !missing.is_empty() {
            return (Stage::Hosts { domain, services }, missing);
        }
        for service in &services {
            let answers = questions(service).filter_map(|q| self.answers.get(&q));
            for ip in answers.flat_map(|records| records.addresses.iter().copied()) {
                let domain = (service.transport == Transport::Tls).then(|| domain.clone());
                let target =
                    Target { transport: service.transport, address: SocketAddr::new(ip, service.port), domain };
                if !self.targets.contains(&target) && self.targets.len() < limits::LOCATION_TARGETS {
                    self.targets.push_back(target);
                }
            }
        }
        (Stage::Idle, Vec::new())
    }
}

/// Whether a target is the peer of a dialog, reached as before.
fn is_peer(flow: &Flow, target: &Target) -> bool {
    flow.transport == target.transport && flow.remote.ip() == target.address.ip()
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn domain_of(uri: &Uri) -> Option<String> {
    match uri.host()? {
        Host::Name(name) => Some(plain(name)),
        Host::Ip(_) => None,
    }
}

fn service_name(transport: Transport, domain: &str) -> String {
    match transport {
        Transport::Udp => format!("_sip._udp.{domain}"),
        Transport::Tcp => format!("_sip._tcp.{domain}"),
        Transport::Tls => format!("_sips._tcp.{domain}"),
    }
}

/// RFC 2782, "Usage rules": by priority, and within one by chance in the shares of the weights.
fn in_order<'r>(records: &'r [SrvRecord], rng: &mut Rng) -> Vec<&'r SrvRecord> {
    let mut rest: Vec<&SrvRecord> = records.iter().take(limits::LOCATION_TARGETS).collect();
    // "Arrange all SRV RRs in any order, except that all those with weight 0 are placed at the beginning."
    rest.sort_by_key(|record| (record.priority, record.weight != 0));
    let mut ordered = Vec::with_capacity(rest.len());
    while let Some(priority) = rest.first().map(|record| record.priority) {
        let same = rest.iter().take_while(|record| record.priority == priority);
        let sum: u64 = same.map(|record| u64::from(record.weight)).sum();
        // "Choose a uniform random number between 0 and the sum computed (inclusive), and select the RR whose
        // running sum value is the first in the selected order which is greater than or equal."
        let drawn = rng.below(sum + 1);
        let mut running = 0;
        let index = rest.iter().position(|record| {
            running += u64::from(record.weight);
            running >= drawn
        });
        ordered.push(rest.remove(index.unwrap_or(0)));
    }
    ordered
}

/// What all searches share.
#[derive(Debug, Default)]
pub struct Locator {
    cache: BTreeMap<Question, (Records, Instant)>,
    waiting: BTreeMap<Question, Vec<ClientId>>,
    failed: BTreeMap<(Transport, SocketAddr), Instant>,
}

/// How a question stands.
#[derive(Debug, PartialEq, Eq)]
pub enum Known {
    /// The answer.
    Answer(Records),
    /// It has been asked already; the answer will come.
    Awaited,
    /// It is to be asked now.
    Ask,
}

impl Locator {
    /// What is known of `question`; notes that `client` waits for the answer.
    pub fn look_up(&mut self, now: Instant, question: &Question, client: ClientId) -> Known {
        match self.cache.get(question) {
            Some((records, until)) if *until > now => return Known::Answer(records.clone()),
            Some(_) => drop(self.cache.remove(question)),
            None => {}
        }
        if let Some(waiting) = self.waiting.get_mut(question) {
            waiting.push(client);
            return Known::Awaited;
        }
        if self.waiting.len() >= limits::LOCATION_QUESTIONS {
            return Known::Answer(Records::default());
        }
        self.waiting.insert(question.clone(), vec![client]);
        Known::Ask
    }

    /// Keeps an answer for its time; returns who waits for it.
    pub fn answered(&mut self, now: Instant, question: &Question, records: &Records) -> Vec<ClientId> {
        let ttl = records.ttl.min(limits::LOCATION_TTL_MAX);
        if !ttl.is_zero() {
            if self.cache.len() >= limits::LOCATION_CACHE && !self.cache.contains_key(question) {
                self.make_room(now);
            }
            self.cache.insert(question.clone(), (records.clone(), now + ttl));
        }
        self.waiting.remove(question).unwrap_or_default()
    }

    /// Forgets what is over, or else what is over first.
    fn make_room(&mut self, now: Instant) {
        self.cache.retain(|_, (_, until)| *until > now);
        if self.cache.len() >= limits::LOCATION_CACHE {
            let first = self.cache.iter().min_by_key(|(_, (_, until))| *until).map(|(question, _)| question.clone());
            if let Some(first) = first {
                self.cache.remove(&first);
            }
        }
    }

    /// Remembers that a target failed, for `time`.
    pub fn failed(&mut self, now: Instant, flow: &Flow, time: Duration) {
        if self.failed.len() >= limits::LOCATION_FAILED {
            self.failed.retain(|_, until| *until > now);
        }
        if self.failed.len() < limits::LOCATION_FAILED {
            self.failed.insert((flow.transport, flow.remote), now + time.min(limits::LOCATION_AVOID_MAX));
        }
    }

    /// A target answered: it is as good as any other again.
    pub fn works(&mut self, flow: &Flow) {
        if !self.failed.is_empty() {
            self.failed.remove(&(flow.transport, flow.remote));
        }
    }

    /// Whether a target failed not long ago.
    pub fn has_failed(&self, now: Instant, transport: Transport, remote: SocketAddr) -> bool {
        self.failed.get(&(transport, remote)).is_some_and(|until| *until > now)
    }

    /// Targets that failed not long ago are tried after the others, in their order.
    fn put_failed_last(&self, now: Instant, targets: &mut VecDeque<Target>) {
        let (bad, good): (VecDeque<Target>, VecDeque<Target>) =
            targets.drain(..).partition(|t| self.has_failed(now, t.transport, t.address));
        targets.extend(good);
        targets.extend(bad);
    }

    /// Answers that are kept.
    pub fn cached(&self) -> usize {
        self.cache.len()
    }
}

#[cfg(test)]
mod tests;
