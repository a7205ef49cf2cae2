//! One end of M3UA: an application server with one routing context, and its associations. Core code; what it
//! wants done comes out as [`Output`]s, and the transport tells it what became of that.
//!
//! ```text
//!   ISUP octets ──▶ Endpoint::send ──▶ server (queue while pending) ──▶ DATA over an active association
//!   ISUP octets ◀── Output::Deliver ◀── label fits? ◀── DATA
//!   asp      our process over an association that we set up             (roles asp and ipsp)
//!   remote   the other end's process over one that we accept            (roles sgp and ipsp)
//!   server   whether traffic flows                                      (both)
//! ```
//!
//! With several peers and the mode override one association carries the traffic and the others stand by,
//! inactive; when the active one is lost the next takes over, and keeps the traffic when the first comes back.
//! With loadshare all are active and each circuit keeps to one. Messages wait, up to T(r), while nobody is active.

use super::asp::{self, Action};
use super::error::{Code, TrafficMode};
pub use super::interface::{AssociationId, Counters, Notice, Output, Role, Settings, What};
use super::remote;
use super::server::{Census, State as Server};
use super::wire::{Kind, Message, tag};
use crate::isup::PointCode;
use crate::limits;
use crate::rng::{Rng, Seed};
use crate::time::{Duration, Instant};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// What is known of the far exchange, by one association (RFC 4666 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    Available,
    /// SCON with this level: messages still go.
    Congested(u8),
    /// DUNA.
    Unavailable,
    /// DUPU: its user part does not answer; it is tried again then.
    NoUser(Instant),
}

impl Destination {
    fn name(self) -> &'static str {
        match self {
            Destination::Available => "available",
            Destination::Congested(_) => "congested",
            Destination::Unavailable => "unavailable",
            Destination::NoUser(_) => "without ISUP",
        }
    }

    fn is_reachable(self) -> bool {
        matches!(self, Destination::Available | Destination::Congested(_))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Process {
    Ours(asp::State),
    Remote(remote::State),
}

impl Process {
    pub(super) fn is_active(self) -> bool {
        matches!(self, Process::Ours(asp::State::Active) | Process::Remote(remote::State::Active))
    }

    fn is_up(self) -> bool {
        match self {
            Process::Ours(state) => {
                matches!(state, asp::State::Inactive { .. } | asp::State::Activating(_) | asp::State::Active)
            }
            Process::Remote(state) => state != remote::State::Down,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Process::Ours(state) => state.name(),
            Process::Remote(state) => state.name(),
        }
    }
}

/// An association, or the place for one.
pub(super) struct Association {
    /// The name of this one or of the attempt at it.
    pub(super) id: Option<AssociationId>,
    pub(super) remote: SocketAddr,
    pub(super) process: Process,
    pub(super) destination: Destination,
    /// The identifier that a remote process gave itself.
    pub(super) asp: Option<u32>,
    /// Attempts that failed, one after the other.
    failures: u32,
    /// How long to wait before the next one.
    pause: Duration,
    /// Why the last one ended.
    reason: String,
    /// When something was last heard.
    pub(super) heard: Instant,
    /// When to send the next BEAT.
    beat: Instant,
}

impl Association {
    pub(super) fn carries(&self) -> bool {
        self.process.is_active() && self.destination.is_reachable()
    }

    /// On its way to carry traffic, or there.
    fn will_carry(&self) -> bool {
        let on_its_way = matches!(self.process, Process::Ours(asp::State::Activating(_)));
        (on_its_way || self.process.is_active()) && self.destination.is_reachable()
    }
}

/// One end.
pub struct Endpoint {
    pub(super) settings: Settings,
    /// One for each peer, in their order; or those that were accepted.
    pub(super) associations: Vec<Association>,
    pub(super) server: Server,
    queue: VecDeque<Vec<u8>>,
    available: bool,
    withdrawn: bool,
    next_id: u32,
    correlation: u32,
    rng: Rng,
    pub(super) counters: Counters,
}

impl Endpoint {
    /// An end at rest; its deadline has come at once when it has associations to set up.
    pub fn new(settings: Settings, seed: &Seed) -> Endpoint {
        let peers = settings.peers.iter().take(limits::M3UA_PEERS).copied();
        let mut endpoint = Endpoint {
            associations: peers.map(|p| association(p, Process::Ours(asp::State::Waiting(Instant::ZERO)))).collect(),
            settings,
            server: Server::Down,
            queue: VecDeque::new(),
            available: false,
            withdrawn: false,
            next_id: 0,
            correlation: 0,
            rng: seed.rng(),
            counters: Counters::default(),
        };
        for index in 0..endpoint.associations.len() {
            endpoint.associations[index].pause = endpoint.pause(0);
        }
        endpoint
    }

    /// An association that was asked for is there.
    pub fn handle_opened(&mut self, now: Instant, association: AssociationId, out: &mut Vec<Output>) {
        let Some(index) = self.index(association) else {
            out.push(Output::Close(association)); // given up meanwhile
            return;
        };
        self.associations[index].heard = now;
        self.advance(now, index, asp::Event::Opened, out);
        self.settle(now, out);
    }

    /// Somebody set up an association to us; `None` when there are [`limits::M3UA_ASSOCIATIONS`] already, or we end.
    pub fn handle_accepted(&mut self, now: Instant, remote: SocketAddr) -> Option<AssociationId> {
        let accepts = self.settings.peers.is_empty() && !self.withdrawn;
        if !accepts || self.associations.len() >= limits::M3UA_ASSOCIATIONS {
            return None;
        }
        let mut new = association(remote, Process::Remote(remote::State::Down));
        let id = self.new_id();
        new.id = Some(id);
        new.heard = now;
        self.associations.push(new);
        Some(id)
    }

    /// An association is gone, or could not be set up, for this reason.
    pub fn handle_closed(&mut self, now: Instant, association: AssociationId, reason: &str, out: &mut Vec<Output>) {
        let Some(index) = self.index(association) else { return };
        self.lose(now, index, reason, out);
        self.settle(now, out);
    }

    /// A message came.
    pub fn handle_octets(&mut self, now: Instant, association: AssociationId, octets: &[u8], out: &mut Vec<Output>) {
        let Some(index) = self.index(association) else { return };
        self.associations[index].heard = now;
        self.dispatch(now, index, octets, out);
        self.settle(now, out);
    }

    /// Sends an ISUP message, from its circuit on.
    pub fn send(&mut self, now: Instant, octets: Vec<u8>, out: &mut Vec<Output>) {
        match self.server {
            Server::Active => self.transmit_data(&octets, out),
            Server::Pending(_) if self.queue.len() < limits::M3UA_WAITING => self.queue.push_back(octets),
            _ => self.counters.unsent += 1,
        }
        self.settle(now, out);
    }

    /// When [`Endpoint::handle_timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        let times = self.associations.iter().flat_map(|association| {
            let process = match association.process {
                Process::Ours(state) => state.deadline(),
                Process::Remote(_) => None,
            };
            let user = match association.destination {
                Destination::NoUser(until) => Some(until),
                _ => None,
            };
            [process, user, self.heartbeat_at(association)]
        });
        times.flatten().chain(self.server.deadline()).min()
    }

    /// A time has come.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Output>) {
        let mut index = 0;
        while index < self.associations.len() {
            let before = self.associations.len();
            self.time(now, index, out);
            // One that was accepted and fell silent is gone, and the next has its place.
            index += usize::from(self.associations.len() == before);
        }
        self.settle(now, out);
    }

    fn time(&mut self, now: Instant, index: usize, out: &mut Vec<Output>) {
        let association = &self.associations[index];
        if let Process::Ours(state) = association.process
            && state.deadline().is_some_and(|at| at <= now)
        {
            if matches!(state, asp::State::Connecting(_) | asp::State::Rising(_) | asp::State::Activating(_)) {
                self.associations[index].reason = format!("no answer while {}", state.name());
            }
            self.advance(now, index, asp::Event::Due, out);
        }
        let association = &mut self.associations[index];
        if matches!(association.destination, Destination::NoUser(until) if until <= now) {
            self.set_destination(index, Destination::Available, out);
        }
        let Some(period) = self.settings.heartbeat else { return };
        let association = &self.associations[index];
        if self.heartbeat_at(association).is_none_or(|at| at > now) {
            return;
        }
        // 4.3.4.6: nothing heard "within 2*T(beat)".
        if association.heard + period * 2 <= now {
            if let Some(id) = association.id {
                out.push(Output::Close(id));
            }
            self.lose(now, index, "the peer has fallen silent", out);
        } else {
            self.associations[index].beat = now + period;
            let data = u32::try_from(now.since(Instant::ZERO).as_secs()).unwrap_or(u32::MAX);
            self.transmit(index, 0, &Message::new(Kind::BEAT).with_word(tag::HEARTBEAT, data), out);
        }
    }

    /// Takes the processes out of service: ASPIA, ASPDN, and the associations end. Nothing is set up any more.
    pub fn withdraw(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.withdrawn = true;
        for index in 0..self.associations.len() {
            match self.associations[index].process {
                Process::Ours(_) => self.advance(now, index, asp::Event::Withdraw, out),
                Process::Remote(_) => out.extend(self.associations[index].id.map(Output::Close)),
            }
        }
        self.associations.retain(|association| matches!(association.process, Process::Ours(_)));
        self.settle(now, out);
    }

    /// Whether [`Endpoint::withdraw`] has come to its end.
    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn && self.associations.iter().all(|a| a.process == Process::Ours(asp::State::Down))
    }

    /// Whether the far exchange can be reached, as last told by [`Output::Available`].
    pub fn is_available(&self) -> bool {
        self.available
    }

    /// The exchange that messages go to.
    pub fn far_exchange(&self) -> PointCode {
        self.settings.peer
    }

    /// What went no further, and what did.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The state in words: of the whole, and of each association.
    pub fn summary(&self, now: Instant) -> String {
        let server = match self.server {
            Server::Down => "down",
            Server::Inactive => "inactive",
            Server::Active => "active",
            Server::Pending(_) => "pending",
        };
        let parts = self.associations.iter().map(|association| {
            let mut text = format!("{} {}", association.remote, association.process.name());
            if let Process::Ours(asp::State::Waiting(at)) = association.process {
                if !association.reason.is_empty() {
                    text.push_str(&format!(" ({})", association.reason));
                }
                text.push_str(&format!(", next attempt in {} s", at.since(now).as_millis().div_ceil(1_000)));
            }
            if association.process.is_active() && association.destination != Destination::Available {
                text.push_str(&format!(", {} {}", self.settings.peer, association.destination.name()));
            }
            text
        });
        let parts: Vec<String> = parts.collect();
        if parts.is_empty() {
            format!("{server}: nobody has connected")
        } else {
            format!("{server}: {}", parts.join("; "))
        }
    }

    /// The place of an association that lives.
    fn index(&self, id: AssociationId) -> Option<usize> {
        self.associations.iter().position(|association| association.id == Some(id))
    }

    fn new_id(&mut self) -> AssociationId {
        self.next_id = self.next_id.wrapping_add(1);
        AssociationId(self.next_id)
    }

    /// Between half of the whole pause and all of it: ends that lost each other don't come back in step.
    fn pause(&mut self, failures: u32) -> Duration {
        let whole = limits::M3UA_RETRY.saturating_mul(1 << failures.min(16)).min(limits::M3UA_RETRY_MAX);
        let milliseconds = u64::try_from(whole.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.rng.between(milliseconds / 2, milliseconds))
    }

    fn heartbeat_at(&self, association: &Association) -> Option<Instant> {
        let period = self.settings.heartbeat?;
        // 4.3.4.1: before ASPUP ACK nothing else is said.
        (association.process.is_up() && !self.withdrawn).then(|| association.beat.min(association.heard + period * 2))
    }

    /// An association is no more.
    fn lose(&mut self, now: Instant, index: usize, reason: &str, out: &mut Vec<Output>) {
        match self.associations[index].process {
            Process::Ours(_) => {
                reason.clone_into(&mut self.associations[index].reason);
                self.advance(now, index, asp::Event::Lost, out);
            }
            Process::Remote(state) => {
                let gone = self.associations.remove(index);
                self.tell(Some(gone.remote), What::Lost(reason.to_owned()), out);
                // 4.3.4.5: "with ... any ASP Identifier of the failed ASP".
                if state == remote::State::Active {
                    self.notify_all(super::status::FAILURE, gone.asp, out);
                }
            }
        }
    }

    /// One step of our own process over an association.
    pub(super) fn advance(&mut self, now: Instant, index: usize, event: asp::Event, out: &mut Vec<Output>) {
        let association = &self.associations[index];
        let Process::Ours(state) = association.process else { return };
        let around = asp::Surroundings { ack: self.settings.ack, pause: association.pause };
        let (next, actions) = asp::step(now, state, event, around);
        self.associations[index].process = Process::Ours(next);
        for action in actions {
            self.carry_out(index, action, out);
        }
        self.entered(now, index, state, next, out);
    }

    /// What a new state of our process brings with it.
    fn entered(&mut self, now: Instant, index: usize, before: asp::State, next: asp::State, out: &mut Vec<Output>) {
        use asp::State;
        if std::mem::discriminant(&before) == std::mem::discriminant(&next) {
            return;
        }
        let remote = Some(self.associations[index].remote);
        match next {
            State::Waiting(_) => {
                let failures = self.associations[index].failures + 1;
                let pause = self.pause(failures);
                let association = &mut self.associations[index];
                (association.failures, association.pause) = (failures, pause);
                (association.id, association.destination) = (None, Destination::Available);
                let reason = association.reason.clone();
                self.tell(remote, What::Lost(reason), out);
            }
            State::Inactive { .. } => {
                let association = &mut self.associations[index];
                if matches!(before, State::Rising(_)) {
                    association.failures = 0;
                    association.reason.clear();
                    self.start_heart(now, index);
                }
                self.tell(remote, What::State(next.name()), out);
            }
            State::Active => {
                self.associations[index].destination = Destination::Available;
                self.tell(remote, What::State(next.name()), out);
                // 4.5.3: ask for what may have changed while nobody told us.
                if self.settings.role == Role::Asp {
                    let audit = self.about(Kind::DAUD, self.settings.peer.value());
                    self.transmit(index, 0, &audit, out);
                }
            }
            State::Down => self.associations[index].id = None,
            _ => {}
        }
    }

    pub(super) fn carry_out(&mut self, index: usize, action: Action, out: &mut Vec<Output>) {
        match action {
            Action::Connect => {
                let id = self.new_id();
                let association = &mut self.associations[index];
                association.id = Some(id);
                out.push(Output::Connect { association: id, peer: association.remote });
            }
            Action::Close => out.extend(self.associations[index].id.map(Output::Close)),
            Action::Say(kind) => {
                let message = self.request(kind);
                self.transmit(index, 0, &message, out);
            }
            Action::Refuse(code) => self.refuse(index, code, None, out),
        }
    }

    /// A message about processes with what belongs into it.
    fn request(&self, kind: Kind) -> Message {
        let mut message = Message::new(kind);
        let settings = &self.settings;
        if let (Kind::ASPUP, Some(asp)) = (kind, settings.asp) {
            message = message.with_word(tag::ASP, asp);
        }
        if let (Kind::ASPAC, Some(mode)) = (kind, settings.mode) {
            message = message.with_word(tag::TRAFFIC_MODE, mode.value());
        }
        if let (Kind::ASPAC | Kind::ASPIA | Kind::ASPAC_ACK | Kind::ASPIA_ACK, Some(context)) = (kind, settings.context)
        {
            message = message.with_word(tag::ROUTING_CONTEXT, context);
        }
        message
    }

    /// A message about a destination.
    pub(super) fn about(&self, kind: Kind, code: u32) -> Message {
        self.addressed(Message::new(kind)).with_word(tag::AFFECTED, code)
    }

    /// With network appearance and routing context, which stand first.
    pub(super) fn addressed(&self, mut message: Message) -> Message {
        if let Some(appearance) = self.settings.appearance {
            message = message.with_word(tag::NETWORK_APPEARANCE, appearance);
        }
        if let Some(context) = self.settings.context {
            message = message.with_word(tag::ROUTING_CONTEXT, context);
        }
        message
    }

    /// Who is to be active, whether traffic flows, and what waited for that.
    fn settle(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.elect(now, out);
        let census = Census {
            up: self.associations.iter().filter(|a| a.process.is_up()).count(),
            active: self.associations.iter().filter(|a| a.carries()).count(),
        };
        let before = self.server;
        self.server = match self.withdrawn {
            true if census.active == 0 => Server::Down, // nobody takes over
            _ => before.step(now, census, self.settings.recovery),
        };
        match self.server {
            Server::Active => {
                for octets in std::mem::take(&mut self.queue) {
                    self.transmit_data(&octets, out);
                }
            }
            Server::Pending(_) => {}
            Server::Inactive | Server::Down => {
                self.counters.unsent += self.queue.len() as u64;
                self.queue.clear();
            }
        }
        if std::mem::discriminant(&before) != std::mem::discriminant(&self.server) {
            match self.server {
                Server::Active => self.notify_all(super::status::SERVER_ACTIVE, None, out),
                Server::Inactive => self.notify_all(super::status::SERVER_INACTIVE, None, out),
                Server::Pending(_) => self.notify_all(super::status::SERVER_PENDING, None, out),
                Server::Down => {}
            }
        }
        if self.available != self.server.takes_messages() {
            self.available = self.server.takes_messages();
            out.push(Output::Available(self.available));
        }
    }

    /// Lets processes of ours become active: all, or one that carries the traffic alone.
    fn elect(&mut self, now: Instant, out: &mut Vec<Output>) {
        let is_free = |association: &Association| {
            association.process == Process::Ours(asp::State::Inactive { held: false }) && !self.withdrawn
        };
        let shared = matches!(self.settings.mode, Some(TrafficMode::Loadshare | TrafficMode::Broadcast));
        let free = (0..self.associations.len()).filter(|&index| is_free(&self.associations[index]));
        let chosen: Vec<usize> = match () {
            () if shared => free.collect(),
            () if self.associations.iter().any(Association::will_carry) => Vec::new(),
            () => free.take(1).collect(),
        };
        for index in chosen {
            self.advance(now, index, asp::Event::Activate, out);
        }
    }

    /// NTFY to the remote processes that are up (4.3.4.5).
    fn notify_all(&mut self, status: u32, asp: Option<u32>, out: &mut Vec<Output>) {
        for index in 0..self.associations.len() {
            if matches!(self.associations[index].process, Process::Remote(_))
                && self.associations[index].process.is_up()
            {
                self.notify(index, status, asp, out);
            }
        }
    }

    pub(super) fn notify(&mut self, index: usize, status: u32, asp: Option<u32>, out: &mut Vec<Output>) {
        let mut message = Message::new(Kind::NTFY).with_word(tag::STATUS, status);
        if let Some(asp) = asp {
            message = message.with_word(tag::ASP, asp);
        }
        if let Some(context) = self.settings.context {
            message = message.with_word(tag::ROUTING_CONTEXT, context);
        }
        self.transmit(index, 0, &message, out);
    }

    /// A remote process came up: the time until its first BEAT begins.
    pub(super) fn start_heart(&mut self, now: Instant, index: usize) {
        if let Some(period) = self.settings.heartbeat {
            self.associations[index].beat = now + period;
        }
    }

    /// What is known of the far exchange by an association changed, perhaps.
    pub(super) fn set_destination(&mut self, index: usize, destination: Destination, out: &mut Vec<Output>) {
        let association = &mut self.associations[index];
        if association.destination.name() != destination.name() {
            let remote = Some(association.remote);
            association.destination = destination;
            self.tell(remote, What::Destination(destination.name()), out);
        }
        self.associations[index].destination = destination;
    }

    /// ERR; `octets` are those of the message that was wrong (3.8.1: its first 40).
    pub(super) fn refuse(&mut self, index: usize, code: Code, octets: Option<&[u8]>, out: &mut Vec<Output>) {
        let mut message = Message::new(Kind::ERR).with_word(tag::ERROR, u32::from(code.value()));
        if let Some(octets) = octets {
            message = message.with(tag::DIAGNOSTIC, octets.get(..40).unwrap_or(octets));
        }
        self.send_error(index, code, &message, out);
    }

    pub(super) fn send_error(&mut self, index: usize, code: Code, message: &Message, out: &mut Vec<Output>) {
        self.transmit(index, 0, message, out);
        let remote = Some(self.associations[index].remote);
        self.tell(remote, What::Refused(code), out);
    }

    pub(super) fn tell(&self, peer: Option<SocketAddr>, what: What, out: &mut Vec<Output>) {
        out.push(Output::Notice(Notice { peer, what }));
    }

    pub(super) fn transmit(&mut self, index: usize, stream: u16, message: &Message, out: &mut Vec<Output>) {
        let Some(association) = self.associations[index].id else { return };
        if let Ok(octets) = message.encode() {
            out.push(Output::Transmit { association, stream, octets });
        }
    }

    /// DATA over the association, or those, that the mode says.
    fn transmit_data(&mut self, octets: &[u8], out: &mut Vec<Output>) {
        let selection = super::label::selection(self.settings.variant, octets);
        let mut message = self.data(selection, octets);
        let carrying: Vec<usize> = (0..self.associations.len()).filter(|&i| self.associations[i].carries()).collect();
        let is_remote = self.settings.peers.is_empty();
        let chosen: &[usize] = match self.settings.mode {
            Some(TrafficMode::Loadshare) if !carrying.is_empty() => {
                let at = usize::from(selection) % carrying.len();
                &carrying[at..=at]
            }
            // Each process of the far end gets a copy; towards a network one way is enough.
            Some(TrafficMode::Broadcast) if is_remote => {
                self.correlation = self.correlation.wrapping_add(1);
                message = message.with_word(tag::CORRELATION, self.correlation);
                &carrying
            }
            _ => carrying.get(..1).unwrap_or(&[]),
        };
        if chosen.is_empty() || message.encode().is_err() {
            self.counters.unsent += 1;
            return;
        }
        self.counters.sent += 1;
        for &index in chosen {
            self.transmit(index, 1 + u16::from(selection), &message, out);
        }
    }
}

fn association(remote: SocketAddr, process: Process) -> Association {
    Association {
        id: None,
        remote,
        process,
        destination: Destination::Available,
        asp: None,
        failures: 0,
        pause: limits::M3UA_RETRY,
        reason: String::new(),
        heard: Instant::ZERO,
        beat: Instant::ZERO,
    }
}
