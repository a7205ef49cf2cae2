//! The location service: which contacts an account has registered (RFC 3261 10.3).
//!
//! It lives in memory; what changes is told, so that somebody else can keep it. A REGISTER is carried
//! out whole or not at all. Bindings keep the flow on which they came, so that a phone behind a NAT is
//! reached where it can be reached, and one behind a connection by that connection alone; and the path
//! of proxies that they came through (RFC 3327). When the connection is gone, or the process was started
//! anew, those stay that can be reached by a new connection. A phone without a NAT may name other addresses
//! than its own.

use super::headers::Via;
use super::parser::split_list;
use super::{ConnectionId, Flow, Header, HeaderName, Host, NameAddr, Request, Response, Transport, Uri};
use crate::limits::{CONTACTS_PER_ACCOUNT, PATHS_PER_CONTACT};
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;

/// Bounds of the life of a binding.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Shorter ones are refused with 423.
    pub min: Duration,
    /// Longer ones are cut.
    pub max: Duration,
    /// When the phone names none.
    pub default: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Lifetimes { min: Duration::from_secs(30), max: Duration::from_secs(3600), default: Duration::from_secs(3600) }
    }
}

/// A contact of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Where it wants its requests: the Request-URI.
    pub uri: Uri,
    /// Where requests are sent: the way the REGISTER came, or the address in the contact ([`way_to`]).
    pub flow: Flow,
    /// When it ends.
    pub expires: Instant,
    /// Preference in thousandths.
    pub q: u16,
    /// Call-ID of the REGISTER that made or refreshed it.
    pub call_id: String,
    /// Its CSeq number.
    pub sequence: u32,
    /// Proxies between us and it, nearest first, as they wrote themselves into Path (RFC 3327).
    pub path: Vec<String>,
    /// `+sip.instance` and `reg-id`: the same telephone on the same flow, whatever its contact is now
    /// (RFC 5626 6).
    pub instance: Option<(String, u32)>,
}

impl Binding {
    /// What a request to this contact bears to take the same way: "the registrar copies the Path values
    /// into Route" (RFC 3327 5.4).
    pub fn route(&self) -> Vec<Header> {
        self.path.iter().map(|element| Header::new(HeaderName::Route, element)).collect()
    }

    /// Whether it lives by the connection that its REGISTER came over.
    fn is_by(&self, connection: ConnectionId) -> bool {
        self.flow.connection == Some(connection)
    }

    /// How it is reached when its connection is gone: over a new one, to where its contact (or the nearest proxy
    /// of its path) says that it listens (RFC 3261 18.1.1, RFC 5923 5). `None` when it lives and dies with its
    /// flow: one of RFC 5626 ("ob", "reg-id"), one whose contact is not the address that it came from, or one
    /// whose contact is the connection's own port, where nobody listens. Datagrams need no connection.
    pub fn by_new_connection(&self) -> Option<Flow> {
        if self.flow.transport == Transport::Udp {
            return Some(self.flow);
        }
        let nearest = match self.path.first() {
            Some(element) => NameAddr::parse(element.as_bytes()).ok()?.uri,
            None => self.uri.clone(),
        };
        let remote = nearest.address()?;
        let goes = self.instance.is_none()
            && !nearest.has_param("ob")
            && nearest.transport() == Some(self.flow.transport)
            && remote.ip() == self.flow.remote.ip()
            && remote.port() != self.flow.remote.port();
        goes.then_some(Flow { remote, connection: None, ..self.flow })
    }
}

/// Something about a binding that outlives the process, if somebody keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An account has this contact, from now on or still.
    Bound {
        /// The account.
        account: String,
        /// The contact.
        binding: Box<Binding>,
    },
    /// An account has no contact with this URI any more.
    Unbound {
        /// The account.
        account: String,
        /// The contact's URI.
        uri: Uri,
    },
}

/// What a REGISTER wants for one contact.
struct Wish {
    uri: Uri,
    expires: Duration,
    q: u16,
    instance: Option<(String, u32)>,
}

impl Wish {
    /// Whether it stands for this binding: the same flow of the same telephone, or else an equivalent URI.
    fn replaces(&self, binding: &Binding) -> bool {
        let same_instance = self.instance.is_some() && self.instance == binding.instance;
        same_instance || binding.uri.equivalent(&self.uri)
    }
}

/// Why a REGISTER is not carried out.
type Refusal = Response;

/// All accounts' contacts.
#[derive(Debug, Default)]
pub struct Registrar {
    lifetimes: Lifetimes,
    accounts: BTreeMap<String, Vec<Binding>>,
    changes: Vec<Change>,
}

impl Registrar {
    /// Without bindings.
    pub fn new(lifetimes: Lifetimes) -> Self {
        Registrar { lifetimes, accounts: BTreeMap::new(), changes: Vec::new() }
    }

    /// A REGISTER of an account that has proved who it is, to its response.
    ///
    /// 200 lists all contacts that live; 400 for a Contact that cannot be read, 423 for a life that
    /// is too short, 500 for one that came out of order (10.3 step 7).
    pub fn register(&mut self, now: Instant, account: &str, request: &Request, flow: Flow) -> Response {
        match self.update(now, account, request, flow) {
            Ok(()) => self.listing(now, account, request),
            Err(refusal) => refusal,
        }
    }

    /// Takes a binding that was told as [`Change::Bound`] before a restart.
    pub fn restore(&mut self, account: &str, binding: Binding) {
        let bindings = self.accounts.entry(account.to_owned()).or_default();
        bindings.retain(|other| !other.uri.equivalent(&binding.uri));
        if bindings.len() < CONTACTS_PER_ACCOUNT {
            bindings.push(binding);
        }
    }

    /// Says that an account has no contact with this URI, which was kept and is of no use.
    pub fn forget(&mut self, account: &str, uri: Uri) {
        self.changes.push(Change::Unbound { account: account.to_owned(), uri });
    }

    /// What has changed since this was asked last, in order.
    pub fn changes(&mut self) -> impl Iterator<Item = Change> + '_ {
        self.changes.drain(..)
    }

    /// Contacts of an account that live at `now`, best first; of equal preference the newest first.
    pub fn bindings(&self, now: Instant, account: &str) -> Vec<&Binding> {
        let all = self.accounts.get(account).map(Vec::as_slice).unwrap_or_default();
        let mut live: Vec<&Binding> = all.iter().rev().filter(|b| b.expires > now).collect();
        live.sort_by_key(|binding| std::cmp::Reverse(binding.q));
        live
    }

    /// Drops bindings whose time is over; returns the accounts that have none any more.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<String> {
        self.retain(|binding| binding.expires > now)
    }

    /// When [`Registrar::handle_timeout`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.accounts.values().flatten().map(|binding| binding.expires).min()
    }

    /// A connection closed: what was bound through it is reached by a new one, or not at all (RFC 5626 3.2: "the
    /// registrar [...] removes the binding"). Returns the accounts that have no contact any more.
    pub fn handle_stream_closed(&mut self, connection: ConnectionId) -> Vec<String> {
        for binding in self.accounts.values_mut().flatten().filter(|binding| binding.is_by(connection)) {
            if let Some(flow) = binding.by_new_connection() {
                binding.flow = flow;
            }
        }
        self.retain(|binding| !binding.is_by(connection))
    }

    fn retain(&mut self, keep: impl Fn(&Binding) -> bool) -> Vec<String> {
        let mut emptied = Vec::new();
        let changes = &mut self.changes;
        self.accounts.retain(|account, bindings| {
            bindings.retain(|binding| {
                let stays = keep(binding);
                if !stays {
                    changes.push(Change::Unbound { account: account.clone(), uri: binding.uri.clone() });
                }
                stays
            });
            if bindings.is_empty() {
                emptied.push(account.clone());
            }
            !bindings.is_empty()
        });
        emptied
    }

    /// Puts new bindings in the place of the old ones, and notes the difference.
    fn replace(&mut self, account: &str, bindings: Vec<Binding>) {
        let old = self.accounts.remove(account).unwrap_or_default();
        for binding in &old {
            if !bindings.iter().any(|other| other.uri == binding.uri) {
                self.changes.push(Change::Unbound { account: account.to_owned(), uri: binding.uri.clone() });
            }
        }
        for binding in bindings.iter().filter(|binding| !old.contains(binding)) {
            self.changes.push(Change::Bound { account: account.to_owned(), binding: Box::new(binding.clone()) });
        }
        if !bindings.is_empty() {
            self.accounts.insert(account.to_owned(), bindings);
        }
    }

    fn update(&mut self, now: Instant, account: &str, request: &Request, flow: Flow) -> Result<(), Refusal> {
        let call_id = request.call_id().map(|id| id.into_owned()).unwrap_or_default();
        let sequence = request.cseq().map_or(0, |cseq| cseq.number);
        let header_expires = request.headers.text(&HeaderName::Expires).map(|text| seconds(&text));
        let contacts: Vec<&[u8]> = request.headers.all(&HeaderName::Contact).collect();
        // 10.3 step 6: the wildcard stands alone and removes everything.
        if contacts.iter().any(|value| value.trim_ascii() == b"*") {
            if contacts.len() > 1 || header_expires != Some(0) {
                return Err(bad_request("Contact: * needs Expires: 0 and no other contact"));
            }
            let bindings = self.accounts.get(account).map(Vec::as_slice).unwrap_or_default();
            if bindings.iter().any(|b| b.call_id == call_id && b.sequence >= sequence) {
                return Err(out_of_order());
            }
            self.replace(account, Vec::new());
            return Ok(());
        }
        let path = path_of(request)?;
        let mut wishes = Vec::new();
        for value in contacts {
            let list = NameAddr::parse_list(value).map_err(|_| bad_request("Contact cannot be read"))?;
            for contact in list {
                wishes.push(self.wish(contact, header_expires)?);
            }
        }
        let mut bindings = self.accounts.get(account).cloned().unwrap_or_default();
        bindings.retain(|binding| binding.expires > now);
        for wish in wishes {
            if bindings.iter().any(|old| wish.replaces(old) && old.call_id == call_id && old.sequence >= sequence) {
                return Err(out_of_order());
            }
            bindings.retain(|old| !wish.replaces(old));
            if !wish.expires.is_zero() {
                bindings.push(Binding {
                    flow: way_to(&wish.uri, request, flow),
                    uri: wish.uri,
                    expires: now + wish.expires,
                    q: wish.q,
                    call_id: call_id.clone(),
                    sequence,
                    path: path.clone(),
                    instance: wish.instance,
                });
            }
        }
        // A phone that restarts leaves contacts behind; the ones that end first make room.
        while bindings.len() > CONTACTS_PER_ACCOUNT {
            let first = bindings.iter().enumerate().min_by_key(|(_, b)| b.expires).map_or(0, |(at, _)| at);
            bindings.remove(first);
        }
        self.replace(account, bindings);
        Ok(())
    }

    /// 10.3 step 7: the life of a contact by its parameter, the Expires field, or our default.
    fn wish(&self, contact: NameAddr, header_expires: Option<u32>) -> Result<Wish, Refusal> {
        if contact.uri.as_sip().is_none() {
            return Err(bad_request("Contact is no SIP URI"));
        }
        let asked = contact.params.get("expires").map(seconds).or(header_expires);
        let asked = asked.map_or(self.lifetimes.default, |s| Duration::from_secs(u64::from(s)));
        if !asked.is_zero() && asked < self.lifetimes.min {
            let min = self.lifetimes.min.as_secs();
            return Err(Response::new(423).with(HeaderName::MinExpires, min));
        }
        let q = contact.q_thousandths();
        let instance = contact.params.unquoted("+sip.instance");
        let flow_number = contact.params.get("reg-id").and_then(|text| text.parse().ok());
        Ok(Wish { uri: contact.uri, expires: asked.min(self.lifetimes.max), q, instance: instance.zip(flow_number) })
    }

    fn listing(&self, now: Instant, account: &str, request: &Request) -> Response {
        let mut response = Response::new(200);
        // "the registrar [...] copies the Path header field values into the 200" for those who
        // understand it (RFC 3327 5.3).
        if request.headers.tokens(&HeaderName::Supported).iter().any(|tag| tag.eq_ignore_ascii_case("path")) {
            for value in request.headers.all(&HeaderName::Path) {
                response = response.with(HeaderName::Path, String::from_utf8_lossy(value));
            }
        }
        self.bindings(now, account).into_iter().fold(response, |response, binding| {
            // Rounded up, so that a phone that asked for 60 is not told 59.
            let left = binding.expires.since(now).as_millis().div_ceil(1000);
            let q = if binding.q == 1000 { String::new() } else { format!(";q=0.{:03}", binding.q) };
            response.with(HeaderName::Contact, format!("<{}>;expires={left}{q}", binding.uri))
        })
    }
}

/// Where a contact is reached. By UDP without a NAT and without proxies on the way, that is where the contact says
/// (RFC 3261 16.6 step 7), so that several of them are several; else the way the REGISTER came.
fn way_to(contact: &Uri, request: &Request, flow: Flow) -> Flow {
    let mut vias = request.headers.all(&HeaderName::Via).flat_map(split_list);
    let (first, second) = (vias.next().and_then(|value| Via::parse(value).ok()), vias.next());
    // Whoever sees its own address as we see it is behind no NAT.
    let sees_itself = first.is_some_and(|via| {
        via.host == Host::Ip(flow.remote.ip()) && via.port.unwrap_or(5060) == flow.remote.port() && second.is_none()
    });
    let is_plain = flow.transport == Transport::Udp && matches!(contact.transport(), None | Some(Transport::Udp));
    match contact.address() {
        Some(remote) if sees_itself && is_plain && remote.is_ipv4() == flow.remote.is_ipv4() => Flow { remote, ..flow },
        _ => flow,
    }
}

/// The proxies that a REGISTER came through, nearest first.
fn path_of(request: &Request) -> Result<Vec<String>, Refusal> {
    let mut path = Vec::new();
    for value in request.headers.all(&HeaderName::Path) {
        let list = NameAddr::parse_list(value).map_err(|_| bad_request("Path cannot be read"))?;
        path.extend(list.iter().map(NameAddr::to_string));
    }
    if path.len() > PATHS_PER_CONTACT {
        return Err(bad_request("Path is too long"));
    }
    Ok(path)
}

/// Seconds of an Expires value; 3600 for one that cannot be read (RFC 3261 10.2.1.1).
fn seconds(text: &str) -> u32 {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More than fits is as long as can be.
        text.parse().unwrap_or(u32::MAX)
    } else {
        3600
    }
}

fn bad_request(why: &str) -> Response {
    Response::new(400).with_reason(why)
}

fn out_of_order() -> Response {
    Response::new(500).with_reason("REGISTER out of order")
}

#[cfg(test)]
mod tests {
    use super::super::Method;
    use super::*;

    fn flow() -> Flow {
        let local = "127.0.0.1:5060".parse().expect("an address");
        let remote = "127.0.0.1:6000".parse().expect("an address");
        Flow { transport: Transport::Udp, local, remote, connection: None }
    }

    fn request(sequence: u32, contacts: &[&str], expires: Option<&str>) -> Request {
        let uri = Uri::parse(b"sip:example.com").expect("a URI");
        let mut request = Request::new(Method::Register, uri)
            .with(HeaderName::CallId, "one")
            .with(HeaderName::CSeq, format!("{sequence} REGISTER"));
        for contact in contacts {
            request = request.with(HeaderName::Contact, contact);
        }
        match expires {
            Some(expires) => request.with(HeaderName::Expires, expires),
            None => request,
        }
    }

    fn contacts(response: &Response) -> Vec<String> {
        response.headers.all(&HeaderName::Contact).map(|v| String::from_utf8_lossy(v).into_owned()).collect()
    }

    const T0: Instant = Instant::ZERO;

    #[test]
    fn contacts_are_listed_best_first_and_end_with_their_time() {
        let mut registrar = Registrar::default();
        let wanted = request(1, &["<sip:a@h>;q=0.5;expires=60, <sip:b@h>"], Some("120"));
        let response = registrar.register(T0, "alice", &wanted, flow());
        assert_eq!(contacts(&response), ["<sip:b@h>;expires=120", "<sip:a@h>;expires=60;q=0.500"]);
        assert_eq!(registrar.deadline(), Some(Instant::from_millis(60_000)));
        assert!(registrar.handle_timeout(Instant::from_millis(60_000)).is_empty());
        let query = registrar.register(Instant::from_millis(60_000), "alice", &request(2, &[], None), flow());
        assert_eq!(contacts(&query), ["<sip:b@h>;expires=60"]);
        assert_eq!(registrar.handle_timeout(Instant::from_millis(120_000)), ["alice"]);
        assert_eq!(registrar.deadline(), None);
    }

    #[test]
    fn zero_seconds_and_the_wildcard_remove() {
        let mut registrar = Registrar::default();
        registrar.register(T0, "alice", &request(1, &["<sip:a@h>", "<sip:b@h>"], None), flow());
        let one = registrar.register(T0, "alice", &request(2, &["<sip:a@h>;expires=0"], None), flow());
        assert_eq!(contacts(&one), ["<sip:b@h>;expires=3600"]);
        assert_eq!(registrar.register(T0, "alice", &request(3, &["*"], None), flow()).status, 400);
        assert_eq!(registrar.register(T0, "alice", &request(3, &["*", "<sip:c@h>"], Some("0")), flow()).status, 400);
        assert_eq!(registrar.register(T0, "alice", &request(1, &["*"], Some("0")), flow()).status, 500);
        assert_eq!(registrar.bindings(T0, "alice").len(), 1);
        assert_eq!(registrar.register(T0, "alice", &request(3, &["*"], Some("0")), flow()).status, 200);
        assert!(registrar.bindings(T0, "alice").is_empty());
    }

    #[test]
    fn a_life_that_is_too_short_is_refused_and_changes_nothing() {
        let mut registrar = Registrar::default();
        let response =
            registrar.register(T0, "alice", &request(1, &["<sip:b@h>", "<sip:a@h>;expires=29"], None), flow());
        assert_eq!(response.status, 423);
        assert_eq!(response.headers.text(&HeaderName::MinExpires).as_deref(), Some("30"));
        assert!(registrar.bindings(T0, "alice").is_empty());
        let edge = registrar.register(T0, "alice", &request(1, &["<sip:a@h>;expires=30"], None), flow());
        assert_eq!(edge.status, 200);
    }

    #[test]
    fn an_old_register_cannot_undo_a_newer_one() {
        let mut registrar = Registrar::default();
        registrar.register(T0, "alice", &request(5, &["<sip:a@h>"], None), flow());
        for sequence in [4, 5] {
            let late = registrar.register(T0, "alice", &request(sequence, &["<sip:a@h>;expires=0"], None), flow());
            assert_eq!(late.status, 500);
        }
        assert_eq!(registrar.bindings(T0, "alice").len(), 1);
    }

    #[test]
    fn the_path_is_kept_and_shown_to_those_who_know_it() {
        let mut registrar = Registrar::default();
        let through = |request: Request| {
            request.with(HeaderName::Path, "<sip:p1@h1;lr>, <sip:p2@h2;lr>").with(HeaderName::Path, "<sip:p3@h3;lr>")
        };
        let silent = registrar.register(T0, "alice", &through(request(1, &["<sip:a@h>"], None)), flow());
        assert!(!silent.headers.has(&HeaderName::Path), "RFC 3327 5.3");
        let knowing = through(request(2, &["<sip:a@h>"], None)).with(HeaderName::Supported, "gruu, path");
        let response = registrar.register(T0, "alice", &knowing, flow());
        assert_eq!(response.headers.all(&HeaderName::Path).count(), 2);
        let routes: Vec<String> =
            registrar.bindings(T0, "alice")[0].route().iter().map(|header| header.text().into_owned()).collect();
        assert_eq!(routes, ["<sip:p1@h1;lr>", "<sip:p2@h2;lr>", "<sip:p3@h3;lr>"], "RFC 3327 5.4");
    }

    #[test]
    fn a_path_that_cannot_be_read_or_is_too_long_is_refused() {
        let mut registrar = Registrar::default();
        let long = ["<sip:p@h;lr>"; PATHS_PER_CONTACT + 1].join(", ");
        for (path, status) in [("<sip:", 400), (long.as_str(), 400), (&long[14..], 200)] {
            let request = request(1, &["<sip:a@h>"], None).with(HeaderName::Path, path);
            assert_eq!(registrar.register(T0, "alice", &request, flow()).status, status, "{path}");
        }
    }

    #[test]
    fn a_telephone_that_comes_again_by_another_flow_replaces_itself() {
        let mut registrar = Registrar::default();
        let contact = |port: u16, flow: u8| {
            format!("<sip:a@h:{port};transport=tcp>;+sip.instance=\"<urn:uuid:1>\";reg-id={flow}")
        };
        for (sequence, port, flow_number) in [(1, 1000, 1), (2, 2000, 1), (3, 3000, 2)] {
            registrar.register(T0, "alice", &request(sequence, &[&contact(port, flow_number)], None), flow());
        }
        let uris: Vec<String> = registrar.bindings(T0, "alice").iter().map(|b| b.uri.to_string()).collect();
        assert_eq!(uris, ["sip:a@h:3000;transport=tcp", "sip:a@h:2000;transport=tcp"], "RFC 5626 6");
    }

    #[test]
    fn every_change_is_told_once_and_can_be_taken_back() {
        let mut registrar = Registrar::default();
        let told = |registrar: &mut Registrar| {
            let line = |change| match change {
                Change::Bound { account, binding } => format!("+{account} {}", binding.uri),
                Change::Unbound { account, uri } => format!("-{account} {uri}"),
            };
            registrar.changes().map(line).collect::<Vec<_>>()
        };
        registrar.register(T0, "alice", &request(1, &["<sip:a@h>;expires=60", "<sip:b@h>"], None), flow());
        let kept: Vec<Binding> = registrar.bindings(T0, "alice").into_iter().cloned().collect();
        assert_eq!(told(&mut registrar), ["+alice sip:a@h", "+alice sip:b@h"]);
        registrar.register(T0, "alice", &request(2, &[], None), flow());
        assert!(told(&mut registrar).is_empty(), "a query changes nothing");
        registrar.register(T0, "alice", &request(3, &["<sip:b@h>"], None), flow());
        assert_eq!(told(&mut registrar), ["+alice sip:b@h"]);
        registrar.handle_timeout(Instant::from_millis(60_000));
        assert_eq!(told(&mut registrar), ["-alice sip:a@h"]);
        registrar.register(T0, "alice", &request(4, &["*"], Some("0")), flow());
        assert_eq!(told(&mut registrar), ["-alice sip:b@h"]);

        let mut later = Registrar::default();
        kept.into_iter().for_each(|binding| later.restore("alice", binding));
        assert_eq!(later.bindings(T0, "alice").len(), 2);
        assert!(told(&mut later).is_empty());
        assert_eq!(later.register(T0, "alice", &request(1, &["<sip:a@h>"], None), flow()).status, 500, "10.3 step 7");
    }

    /// What is left of a contact that came over TCP from `192.0.2.7:40000` once that connection is gone.
    fn without_connection(contact: &str, path: Option<&str>) -> Option<String> {
        let mut registrar = Registrar::default();
        let id = ConnectionId(7);
        let flow = Flow {
            transport: Transport::Tcp,
            remote: "192.0.2.7:40000".parse().expect("an address"),
            connection: Some(id),
            ..flow()
        };
        let request = request(1, &[contact], None);
        let request = path.iter().fold(request, |request, path| request.with(HeaderName::Path, path));
        assert_eq!(registrar.register(T0, "alice", &request, flow).status, 200);
        let emptied = registrar.handle_stream_closed(id);
        let left = registrar.bindings(T0, "alice");
        assert_eq!(emptied.is_empty(), !left.is_empty());
        left.first().map(|binding| binding.flow.remote.to_string())
    }

    #[test]
    fn a_contact_that_listens_outlives_its_connection_and_one_of_a_flow_does_not() {
        let listens = "<sip:a@192.0.2.7:5070;transport=tcp>";
        assert_eq!(without_connection(listens, None).as_deref(), Some("192.0.2.7:5070"));
        for dies in [
            "<sip:a@192.0.2.7:5070;transport=tcp;ob>",
            "<sip:a@192.0.2.7:5070;transport=tcp>;+sip.instance=\"<urn:uuid:1>\";reg-id=1",
            "<sip:a@192.0.2.7:40000;transport=tcp>",
            "<sip:a@10.0.0.7:5070;transport=tcp>",
            "<sip:a@phone.example;transport=tcp>",
            "<sip:a@192.0.2.7:5070>",
        ] {
            assert_eq!(without_connection(dies, None), None, "{dies}");
        }
        let by_proxy = |path| without_connection("<sip:a@10.0.0.7:5070;transport=tcp>", Some(path));
        assert_eq!(by_proxy("<sip:192.0.2.7:5080;transport=tcp;lr>").as_deref(), Some("192.0.2.7:5080"));
        assert_eq!(by_proxy("<sip:x@192.0.2.7:5080;transport=tcp;lr;ob>"), None, "RFC 5626 5.1");
    }

    #[test]
    fn no_account_has_more_contacts_than_the_limit() {
        let mut registrar = Registrar::default();
        for i in 0..CONTACTS_PER_ACCOUNT as u32 + 1 {
            let contact = format!("<sip:a@h:{}>;expires={}", 6000 + i, 100 + i);
            registrar.register(T0, "alice", &request(i + 1, &[&contact], None), flow());
        }
        let live = registrar.bindings(T0, "alice");
        assert_eq!(live.len(), CONTACTS_PER_ACCOUNT);
        assert!(live.iter().all(|b| b.expires > Instant::from_millis(100_000)), "the first to end made room");
    }

    #[test]
    fn contacts_are_reached_where_they_say_unless_a_nat_stands_between() {
        let check = |via: &str, contact: &str| {
            let mut registrar = Registrar::default();
            let request = request(1, &[contact], None).with(HeaderName::Via, via);
            registrar.register(T0, "alice", &request, flow());
            registrar.bindings(T0, "alice")[0].flow.remote.to_string()
        };
        let own = "SIP/2.0/UDP 127.0.0.1:6000;branch=z9hG4bK1";
        assert_eq!(check(own, "<sip:a@127.0.0.3:7000>"), "127.0.0.3:7000");
        assert_eq!(check(own, "<sip:a@127.0.0.3>"), "127.0.0.3:5060");
        // A name, another transport and another family: the way it came.
        for contact in ["<sip:a@h:7000>", "<sip:a@127.0.0.3:7000;transport=tcp>", "<sip:a@[::1]:7000>"] {
            assert_eq!(check(own, contact), "127.0.0.1:6000", "{contact}");
        }
        // Behind a NAT, and through a proxy.
        for via in ["SIP/2.0/UDP 10.0.0.1:6000;branch=z9hG4bK1", "SIP/2.0/UDP 127.0.0.1:6000, SIP/2.0/UDP 10.0.0.1"] {
            assert_eq!(check(via, "<sip:a@127.0.0.3:7000>"), "127.0.0.1:6000", "{via}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for contact in ["<mailto:a@h>", "<sip:a@h", "sip:"] {
            let mut registrar = Registrar::default();
            assert_eq!(registrar.register(T0, "alice", &request(1, &[contact], None), flow()).status, 400, "{contact}");
        }
        assert_eq!((seconds("x"), seconds("99999999999"), seconds(" 5 ")), (3600, u32::MAX, 5));
        for (text, expected) in [("0.5", 500), ("1.0", 1000), ("0", 0), ("x", 1000), (" .25", 250)] {
            let mut contact = NameAddr::new(Uri::parse(b"sip:a@h").expect("a URI"));
            contact.params.set("q", Some(text.to_owned()));
            assert_eq!(contact.q_thousandths(), expected, "{text}");
        }
    }
}
