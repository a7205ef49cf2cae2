//! The trunk groups that reach their far exchange by M3UA: one [`Endpoint`] each, its associations, and the log.
//!
//! ```text
//!   Output::Isup ──▶ send ──▶ Endpoint ──▶ Link (task) ──▶ SCTP
//!   Heard::Isup, Heard::FarEnd ◀── Endpoint ◀── handle ◀── Event ◀── task
//! ```

use super::sctp_wire::{self, Event, Happening, Link, Listener, reason};
use crate::config::{Config, M3ua};
use crate::ids::GroupId;
use crate::isup::m3ua::{AssociationId, Endpoint, Output, What};
use crate::rng::Seed;
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use tokio::sync::mpsc;

/// Events of all associations that may wait for the control loop; beyond it reading pauses.
const EVENTS: usize = 256;
/// How soon to try again to listen where it failed.
const LISTEN_AGAIN: Duration = Duration::from_secs(10);

/// What the gateway is to hear.
pub(super) enum Heard {
    /// A message of the far exchange.
    Isup(GroupId, Vec<u8>),
    /// It can be reached, or can't.
    FarEnd(GroupId, bool),
}

struct Trunk {
    group: GroupId,
    /// `isup/NAME`
    name: String,
    config: M3ua,
    endpoint: Endpoint,
    links: BTreeMap<AssociationId, Link>,
    /// By the place of the address in the configuration.
    listeners: Vec<Option<Listener>>,
    /// When to try again where listening failed, and why it did.
    listen_at: Option<Instant>,
    refusal: String,
    /// Said last about lost associations; the same again is no news.
    complaint: Option<(Option<SocketAddr>, String)>,
}

/// All of them.
pub(super) struct Trunks {
    trunks: Vec<Trunk>,
    events: mpsc::Sender<Event>,
    heard: VecDeque<Heard>,
    withdrawing: bool,
}

impl Trunks {
    /// One endpoint for each group with `transport = "m3ua"`; the rest happens at the first
    /// [`Trunks::handle_timeout`].
    pub(super) fn new(config: &Config, seed: &Seed) -> (Trunks, mpsc::Receiver<Event>) {
        let (events, receiver) = mpsc::channel(EVENTS);
        let trunks = config.isups.iter().zip(0..).filter_map(|(isup, number)| {
            let m3ua = isup.m3ua.clone()?;
            let name = format!("isup/{}", isup.name);
            let settings = m3ua.settings(isup.variant, isup.own_point_code, isup.peer_point_code)?;
            Some(Trunk {
                group: GroupId(number),
                endpoint: Endpoint::new(settings, &seed.fork(&name)),
                links: BTreeMap::new(),
                listeners: m3ua.listen.iter().map(|_| None).collect(),
                listen_at: (!m3ua.listen.is_empty()).then_some(Instant::ZERO),
                refusal: String::new(),
                complaint: None,
                config: m3ua,
                name,
            })
        });
        (Trunks { trunks: trunks.collect(), events, heard: VecDeque::new(), withdrawing: false }, receiver)
    }

    /// What the gateway is to hear, one after the other.
    pub(super) fn take(&mut self) -> Option<Heard> {
        self.heard.pop_front()
    }

    /// A task says something.
    pub(super) fn handle(&mut self, now: Instant, event: Event) {
        let number = event.group;
        let Some(trunk) = self.trunks.get_mut(number) else { return };
        let mut out = Vec::new();
        match event.what {
            Happening::Opened(id) => trunk.endpoint.handle_opened(now, id, &mut out),
            Happening::Closed(id, reason) => {
                trunk.links.remove(&id);
                trunk.endpoint.handle_closed(now, id, &reason, &mut out);
            }
            Happening::Octets(id, octets) => trunk.endpoint.handle_octets(now, id, &octets, &mut out),
            Happening::Accepted(_, remote) if !trunk.config.from.iter().any(|from| from.contains(remote.ip())) => {
                tracing::warn!("{}: {remote} is not among those who may call; it is refused", trunk.name);
            }
            Happening::Accepted(association, remote) => match trunk.endpoint.handle_accepted(now, remote) {
                Some(id) => {
                    let link = sctp_wire::adopt(association, number, id, self.events.clone());
                    trunk.links.insert(id, link);
                }
                None => tracing::warn!("{}: {remote}: too many associations; one is refused", trunk.name),
            },
        }
        self.carry_out(now, number, out);
    }

    /// Sends a message of the gateway; of a group that is not ours nothing happens.
    pub(super) fn send(&mut self, now: Instant, group: GroupId, octets: Vec<u8>) {
        let Some(number) = self.trunks.iter().position(|trunk| trunk.group == group) else { return };
        let mut out = Vec::new();
        self.trunks[number].endpoint.send(now, octets, &mut out);
        self.carry_out(now, number, out);
    }

    /// When [`Trunks::handle_timeout`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.trunks.iter().flat_map(|trunk| [trunk.endpoint.deadline(), trunk.listen_at]).flatten().min()
    }

    /// A time has come, perhaps.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for number in 0..self.trunks.len() {
            if self.trunks[number].listen_at.is_some_and(|at| at <= now) {
                self.listen(now, number);
            }
            if self.trunks[number].endpoint.deadline().is_some_and(|at| at <= now) {
                let mut out = Vec::new();
                self.trunks[number].endpoint.handle_timeout(now, &mut out);
                self.carry_out(now, number, out);
            }
        }
    }

    fn listen(&mut self, now: Instant, number: usize) {
        let Some(trunk) = self.trunks.get_mut(number) else { return };
        trunk.listen_at = None;
        for (listener, address) in trunk.listeners.iter_mut().zip(&trunk.config.listen) {
            if listener.is_some() {
                continue;
            }
            match sctp_wire::listen(trunk.config.carrier, *address, number, self.events.clone()) {
                Ok(new) => {
                    tracing::info!("{}: listening at {address}", trunk.name);
                    *listener = Some(new);
                }
                Err(error) => {
                    let text = format!("cannot listen at {address}: {}", reason(&error));
                    if trunk.refusal != text {
                        tracing::warn!("{}: {text}; the group is unavailable, and it is tried again", trunk.name);
                    }
                    trunk.refusal = text;
                    trunk.listen_at = Some(now + LISTEN_AGAIN);
                }
            }
        }
    }

    /// Whether this group reaches its far exchange by M3UA.
    pub(super) fn has(&self, group: GroupId) -> bool {
        self.trunks.iter().any(|trunk| trunk.group == group)
    }

    /// Takes all of them out of service.
    pub(super) fn withdraw(&mut self, now: Instant) {
        self.withdrawing = true;
        for number in 0..self.trunks.len() {
            self.trunks[number].listeners.clear();
            self.trunks[number].listen_at = None;
            let mut out = Vec::new();
            self.trunks[number].endpoint.withdraw(now, &mut out);
            self.carry_out(now, number, out);
        }
    }

    /// Whether [`Trunks::withdraw`] has begun.
    pub(super) fn is_withdrawing(&self) -> bool {
        self.withdrawing
    }

    /// Whether [`Trunks::withdraw`] has come to its end.
    pub(super) fn is_withdrawn(&self) -> bool {
        self.trunks.iter().all(|trunk| trunk.endpoint.is_withdrawn())
    }

    /// The state of each in words, with its name and the exchange that it leads to.
    pub(super) fn summaries(&self, now: Instant) -> Vec<(String, String, String)> {
        let summary = |trunk: &Trunk| {
            let state = match trunk.listen_at {
                Some(_) if !trunk.refusal.is_empty() => format!("down: {}", trunk.refusal),
                _ => trunk.endpoint.summary(now),
            };
            (trunk.name.clone(), format!("point code {}", trunk.endpoint.far_exchange()), state)
        };
        self.trunks.iter().map(summary).collect()
    }

    fn carry_out(&mut self, now: Instant, number: usize, out: Vec<Output>) {
        let mut broken = Vec::new();
        let Some(trunk) = self.trunks.get_mut(number) else { return };
        for output in out {
            match output {
                Output::Connect { association, peer } => {
                    let (carrier, local) = (trunk.config.carrier, trunk.config.local);
                    let link = sctp_wire::connect(carrier, peer, local, number, association, self.events.clone());
                    trunk.links.insert(association, link);
                }
                Output::Close(association) => drop(trunk.links.remove(&association)),
                Output::Transmit { association, stream, octets } => {
                    let sent = trunk.links.get(&association).is_some_and(|link| link.send(stream, octets));
                    if !sent && trunk.links.remove(&association).is_some() {
                        broken.push(association);
                    }
                }
                Output::Deliver(octets) => self.heard.push_back(Heard::Isup(trunk.group, octets)),
                Output::Available(available) => {
                    let word = if available { "available" } else { "unavailable" };
                    tracing::info!("{}: {word}", trunk.name);
                    self.heard.push_back(Heard::FarEnd(trunk.group, available));
                }
                Output::Notice(notice) => {
                    let said = match &notice.what {
                        What::Lost(reason) => Some((notice.peer, reason.clone())),
                        _ => None,
                    };
                    if said.is_some() && said == trunk.complaint {
                        tracing::debug!("{}: {notice}", trunk.name);
                    } else if notice.is_warning() {
                        tracing::warn!("{}: {notice}", trunk.name);
                    } else {
                        tracing::info!("{}: {notice}", trunk.name);
                    }
                    trunk.complaint = said.or(trunk.complaint.take());
                }
            }
        }
        for association in broken {
            let mut out = Vec::new();
            let reason = "the peer does not read what it is sent";
            self.trunks[number].endpoint.handle_closed(now, association, reason, &mut out);
            self.carry_out(now, number, out);
        }
    }
}
