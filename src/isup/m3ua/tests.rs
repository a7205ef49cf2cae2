//! Two ends, or three, joined in virtual time: what one transmits the other hears, unless the test loses it.

mod lasting;

use super::endpoint::{AssociationId, Endpoint, Output, Role, Settings, What};
use super::error::{Code, TrafficMode, status};
use super::wire::{Kind, Message, ProtocolData, SERVICE_ISUP, tag};
use crate::isup::{PointCode, Variant};
use crate::limits;
use crate::rng::Seed;
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

const SECOND: Duration = Duration::from_secs(1);

fn peer(number: usize) -> SocketAddr {
    format!("192.0.2.{}:2905", number + 1).parse().expect("an address")
}

fn code(text: &str) -> PointCode {
    PointCode::parse(Variant::Itu, text).expect("a point code")
}

/// Settings of the end with point code 1-1-1; `peers` of the others.
fn settings(role: Role, peers: usize) -> Settings {
    Settings {
        role,
        variant: Variant::Itu,
        own: code("1-1-1"),
        peer: code("1-1-2"),
        network: 2,
        mode: Some(TrafficMode::Override),
        context: Some(7),
        appearance: None,
        asp: None,
        peers: (0..peers).map(peer).collect(),
        ack: 2 * SECOND,
        recovery: 2 * SECOND,
        heartbeat: None,
    }
}

/// The same for the end that answers.
fn answering(role: Role) -> Settings {
    Settings { own: code("1-1-2"), peer: code("1-1-1"), ..settings(role, 0) }
}

/// The calling end, and one end for each address that answers there.
struct World {
    now: Instant,
    caller: Endpoint,
    answerers: Vec<Endpoint>,
    /// Addresses where nobody answers.
    dead: Vec<SocketAddr>,
    /// From the name that the caller gave to answerer and the name that it gave.
    joined: BTreeMap<AssociationId, (usize, AssociationId)>,
    /// What the caller's user heard, and the answerers'.
    heard: Vec<Vec<u8>>,
    heard_there: Vec<(usize, Vec<u8>)>,
    /// Every message: from the caller or not, its kind, stream.
    trace: Vec<(bool, Message, u16)>,
    availability: Vec<bool>,
    notices: Vec<What>,
    /// Loses what the caller says while it is not zero.
    deaf: usize,
}

impl World {
    fn new(caller: Settings, answerers: Vec<Settings>) -> World {
        let seed = Seed::from_number(4666);
        World {
            now: Instant::from_millis(1_000),
            caller: Endpoint::new(caller, &seed.fork("caller")),
            answerers: answerers.into_iter().map(|s| Endpoint::new(s, &seed.fork("answerer"))).collect(),
            dead: Vec::new(),
            joined: BTreeMap::new(),
            heard: Vec::new(),
            heard_there: Vec::new(),
            trace: Vec::new(),
            availability: Vec::new(),
            notices: Vec::new(),
            deaf: 0,
        }
    }

    /// A caller with as many peers as there are answerers, up and running.
    fn up(caller: Settings, answerers: Vec<Settings>) -> World {
        let mut world = World::new(caller, answerers);
        world.pass(Duration::ZERO);
        world
    }

    /// Time goes by, deadline after deadline.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let mut out = Vec::new();
            self.caller.handle_timeout(self.now, &mut out);
            self.carry_out(None, out);
            for number in 0..self.answerers.len() {
                let mut out = Vec::new();
                self.answerers[number].handle_timeout(self.now, &mut out);
                self.carry_out(Some(number), out);
            }
            let deadlines = self.answerers.iter().filter_map(Endpoint::deadline).chain(self.caller.deadline());
            let next = deadlines.min().map_or(end, |at| at.max(self.now));
            if next > end || self.now == end {
                self.now = end;
                return;
            }
            self.now = if next == self.now { next + Duration::from_millis(1) } else { next };
        }
    }

    /// Does what an end wants done, and what follows from it.
    fn carry_out(&mut self, from: Option<usize>, out: Vec<Output>) {
        let mut waiting: VecDeque<(Option<usize>, Output)> = out.into_iter().map(|output| (from, output)).collect();
        while let Some((from, output)) = waiting.pop_front() {
            let mut follows = Vec::new();
            let to = match output {
                Output::Connect { association, peer: address } => {
                    let number = (0..self.answerers.len()).find(|n| peer(*n) == address);
                    let alive = number.filter(|_| !self.dead.contains(&address));
                    let accepted = alive.and_then(|n| {
                        let caller = "192.0.2.99:2905".parse().expect("an address");
                        Some((n, self.answerers[n].handle_accepted(self.now, caller)?))
                    });
                    match accepted {
                        Some(joined) => {
                            self.joined.insert(association, joined);
                            self.caller.handle_opened(self.now, association, &mut follows);
                        }
                        None => self.caller.handle_closed(self.now, association, "connection refused", &mut follows),
                    }
                    None
                }
                Output::Close(id) => self.part(from, id, &mut follows),
                Output::Transmit { association, stream, octets } => {
                    let message = Message::decode(&octets).expect("what we send can be read");
                    self.trace.push((from.is_none(), message, stream));
                    self.carry(from, association, &octets, &mut follows)
                }
                Output::Deliver(octets) => {
                    match from {
                        None => self.heard.push(octets),
                        Some(number) => self.heard_there.push((number, octets)),
                    }
                    continue;
                }
                Output::Available(available) => {
                    if from.is_none() {
                        self.availability.push(available);
                    }
                    continue;
                }
                Output::Notice(notice) => {
                    assert!(!notice.to_string().is_empty());
                    if from.is_none() {
                        self.notices.push(notice.what);
                    }
                    continue;
                }
            };
            waiting.extend(follows.into_iter().map(|output| (to, output)));
        }
    }

    fn carry(
        &mut self,
        from: Option<usize>,
        id: AssociationId,
        octets: &[u8],
        follows: &mut Vec<Output>,
    ) -> Option<usize> {
        match from {
            None if self.deaf > 0 => {
                self.deaf -= 1;
                None
            }
            None => {
                let &(number, id) = self.joined.get(&id)?;
                self.answerers[number].handle_octets(self.now, id, octets, follows);
                Some(number)
            }
            Some(number) => {
                let caller = self.joined.iter().find(|(_, there)| **there == (number, id)).map(|(id, _)| *id);
                if let Some(caller) = caller {
                    self.caller.handle_octets(self.now, caller, octets, follows);
                }
                None
            }
        }
    }

    /// One side closed: the other learns of it.
    fn part(&mut self, from: Option<usize>, id: AssociationId, follows: &mut Vec<Output>) -> Option<usize> {
        match from {
            None => {
                let (number, there) = self.joined.remove(&id)?;
                self.answerers[number].handle_closed(self.now, there, "closed by the peer", follows);
                Some(number)
            }
            Some(number) => {
                let caller = self.joined.iter().find(|(_, there)| **there == (number, id)).map(|(id, _)| *id)?;
                self.joined.remove(&caller);
                self.caller.handle_closed(self.now, caller, "closed by the peer", follows);
                None
            }
        }
    }

    /// The path to an answerer breaks; both ends learn of it.
    fn cut(&mut self, number: usize) {
        self.dead.push(peer(number));
        let cut: Vec<_> = self.joined.iter().filter(|(_, (n, _))| *n == number).map(|(a, b)| (*a, *b)).collect();
        for (caller, (number, there)) in cut {
            self.joined.remove(&caller);
            let mut out = Vec::new();
            self.answerers[number].handle_closed(self.now, there, "cut", &mut out);
            self.carry_out(Some(number), out);
            let mut out = Vec::new();
            self.caller.handle_closed(self.now, caller, "cut", &mut out);
            self.carry_out(None, out);
        }
    }

    fn mend(&mut self, number: usize) {
        self.dead.retain(|address| *address != peer(number));
    }

    fn send(&mut self, octets: &[u8]) {
        let mut out = Vec::new();
        self.caller.send(self.now, octets.to_vec(), &mut out);
        self.carry_out(None, out);
    }

    fn answer(&mut self, number: usize, octets: &[u8]) {
        let mut out = Vec::new();
        self.answerers[number].send(self.now, octets.to_vec(), &mut out);
        self.carry_out(Some(number), out);
    }

    /// The first answerer says a message that it would not say by itself.
    fn say(&mut self, message: &Message) {
        self.say_octets(&message.encode().expect("short"));
    }

    fn say_octets(&mut self, octets: &[u8]) {
        let id = *self.joined.keys().next().expect("an association");
        let mut out = Vec::new();
        self.caller.handle_octets(self.now, id, octets, &mut out);
        self.carry_out(None, out);
    }

    /// The names of what was said since the last look; capital letters by the caller.
    fn said(&mut self) -> String {
        let names = self.trace.drain(..).map(|(by_caller, message, _)| {
            let name = kind_name(message.kind);
            if by_caller { name.to_owned() } else { name.to_lowercase() }
        });
        names.collect::<Vec<_>>().join(" ")
    }

    fn errors(&mut self) -> Vec<(Code, Message)> {
        let errors = self.trace.drain(..).filter(|(_, message, _)| message.kind == Kind::ERR);
        let code = |message: &Message| Code::new(message.word(tag::ERROR).expect("a code") as u8);
        errors.map(|(_, message, _)| (code(&message), message)).collect()
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::ERR => "ERR",
        Kind::NTFY => "NTFY",
        Kind::DATA => "DATA",
        Kind::DUNA => "DUNA",
        Kind::DAVA => "DAVA",
        Kind::DAUD => "DAUD",
        Kind::ASPUP => "UP",
        Kind::ASPUP_ACK => "UP+",
        Kind::ASPDN => "DOWN",
        Kind::ASPDN_ACK => "DOWN+",
        Kind::ASPAC => "ACTIVE",
        Kind::ASPAC_ACK => "ACTIVE+",
        Kind::ASPIA => "INACTIVE",
        Kind::ASPIA_ACK => "INACTIVE+",
        Kind::BEAT => "BEAT",
        Kind::BEAT_ACK => "BEAT+",
        _ => "?",
    }
}

/// An ISUP message on this circuit.
fn user(cic: u8) -> Vec<u8> {
    vec![cic, 0, 0x10, 0]
}

/// DATA to the caller as `change` makes it.
fn data(change: impl Fn(&mut ProtocolData)) -> Message {
    let mut data = ProtocolData {
        origin: code("1-1-2").value(),
        destination: code("1-1-1").value(),
        service: SERVICE_ISUP,
        network: 2,
        priority: 0,
        selection: 1,
        user: user(1),
    };
    change(&mut data);
    Message::data(Some(7), &data)
}

#[test]
fn a_process_comes_up_and_messages_flow_both_ways_under_their_labels() {
    let mut world = World::up(settings(Role::Asp, 1), vec![answering(Role::Sgp)]);
    assert_eq!(world.said(), "UP up+ ntfy ACTIVE active+ ntfy DAUD dava");
    assert_eq!(world.availability, [true]);
    assert_eq!(world.caller.summary(world.now), "active: 192.0.2.1:2905 active");
    assert_eq!(world.answerers[0].summary(world.now), "active: 192.0.2.99:2905 active");
    world.send(&user(0x25));
    world.answer(0, &user(3));
    assert_eq!(world.heard_there, [(0, user(0x25))]);
    assert_eq!(world.heard, [user(3)]);
    let (_, message, stream) = world.trace.first().expect("DATA");
    assert_eq!(*stream, 1 + 5, "by the low four bits of the circuit, never 0");
    let label = ProtocolData::from_octets(message.value(tag::PROTOCOL_DATA).expect("data")).expect("a label");
    let wanted = ProtocolData {
        origin: code("1-1-1").value(),
        destination: code("1-1-2").value(),
        service: SERVICE_ISUP,
        network: 2,
        priority: 0,
        selection: 5,
        user: user(0x25),
    };
    assert_eq!(label, wanted);
    assert_eq!(message.contexts().collect::<Vec<_>>(), [7]);
    assert_eq!((world.caller.counters().sent, world.caller.counters().delivered), (1, 1));
}

#[test]
fn what_was_configured_is_said_and_nothing_else() {
    let bare = Settings { context: None, mode: None, ..settings(Role::Asp, 1) };
    let mut world = World::up(bare, vec![Settings { context: None, mode: None, ..answering(Role::Sgp) }]);
    world.send(&user(1));
    let find = |world: &World, kind| world.trace.iter().find(|(_, m, _)| m.kind == kind).expect("said").1.clone();
    assert_eq!(find(&world, Kind::ASPAC).parameters, []);
    assert_eq!(find(&world, Kind::ASPUP).parameters, []);
    assert_eq!(find(&world, Kind::DATA).parameters.len(), 1);
    let full = |s: Settings| Settings { asp: Some(9), appearance: Some(4), ..s };
    let mut world = World::up(full(settings(Role::Asp, 1)), vec![full(answering(Role::Sgp))]);
    world.send(&user(1));
    assert_eq!(find(&world, Kind::ASPUP).word(tag::ASP), Some(9));
    assert_eq!(find(&world, Kind::ASPAC).word(tag::TRAFFIC_MODE), Some(1));
    assert_eq!(find(&world, Kind::ASPAC).contexts().collect::<Vec<_>>(), [7]);
    assert_eq!(find(&world, Kind::ASPAC_ACK).word(tag::TRAFFIC_MODE), Some(1), "reflected");
    let tags: Vec<u16> = find(&world, Kind::DATA).parameters.iter().map(|(tag, _)| *tag).collect();
    assert_eq!(tags, [tag::NETWORK_APPEARANCE, tag::ROUTING_CONTEXT, tag::PROTOCOL_DATA]);
    assert_eq!(world.heard_there, [(0, user(1))]);
}

#[test]
fn a_lost_request_is_repeated_and_a_silent_peer_given_up_after_a_pause_that_grows() {
    let mut world = World::new(settings(Role::Asp, 1), vec![answering(Role::Sgp)]);
    world.deaf = 1;
    world.pass(Duration::from_millis(1_999));
    assert_eq!(world.said(), "UP");
    world.pass(Duration::from_millis(2));
    assert!(world.said().starts_with("UP up+"));
    assert_eq!(world.availability, [true]);

    let mut world = World::new(settings(Role::Asp, 1), vec![answering(Role::Sgp)]);
    world.deaf = usize::MAX;
    world.pass(6 * SECOND);
    assert_eq!(world.said(), "UP UP UP");
    assert!(world.caller.summary(world.now).contains("no answer while coming up"));
    world.pass(600 * SECOND);
    let attempts = world.said().split(' ').count() / 3;
    assert!((20..=40).contains(&attempts), "{attempts} attempts in ten minutes");
    assert_eq!(world.availability, [false; 0]);
}

#[test]
fn pauses_between_attempts_grow_to_a_bound_and_differ_from_end_to_end() {
    let pauses = |seed: u64| {
        let mut end = Endpoint::new(settings(Role::Asp, 1), &Seed::from_number(seed));
        let mut now = Instant::from_millis(1_000);
        let mut list = Vec::new();
        for _ in 0..12 {
            let mut out = Vec::new();
            end.handle_timeout(now, &mut out);
            let Some(Output::Connect { association, .. }) = out.first() else { panic!("{out:?}") };
            end.handle_closed(now, *association, "refused", &mut Vec::new());
            let next = end.deadline().expect("another attempt");
            list.push(next.since(now));
            now = next;
        }
        list
    };
    let one = pauses(1);
    let mut whole = limits::M3UA_RETRY;
    for pause in &one {
        assert!((whole / 2..=whole).contains(pause), "{pause:?} of {whole:?}");
        whole = (whole * 2).min(limits::M3UA_RETRY_MAX);
    }
    assert_ne!(one, pauses(2));
}

#[test]
fn a_refused_association_says_so_and_is_tried_again() {
    let mut world = World::new(settings(Role::Asp, 1), vec![answering(Role::Sgp)]);
    world.dead.push(peer(0));
    world.pass(Duration::from_millis(1));
    let summary = world.caller.summary(world.now);
    assert!(
        summary.starts_with("down: 192.0.2.1:2905 no association (connection refused), next attempt in "),
        "{summary}"
    );
    assert!(world.notices.contains(&What::Lost("connection refused".to_owned())));
    world.mend(0);
    world.pass(2 * SECOND);
    assert_eq!(world.availability, [true]);
}

#[test]
fn with_override_the_second_association_stands_by_and_takes_over() {
    let mut world = World::up(settings(Role::Asp, 2), vec![answering(Role::Sgp), answering(Role::Sgp)]);
    assert_eq!(world.caller.summary(world.now), "active: 192.0.2.1:2905 active; 192.0.2.2:2905 inactive");
    world.send(&user(1));
    world.cut(0);
    world.send(&user(2));
    world.answer(1, &user(3));
    assert_eq!(world.heard_there, [(0, user(1)), (1, user(2))]);
    assert_eq!(world.heard, [user(3)]);
    assert_eq!(world.availability, [true], "calls did not notice");
    // The first comes back, and stands by in its turn.
    world.mend(0);
    world.pass(3 * SECOND);
    assert_eq!(world.caller.summary(world.now), "active: 192.0.2.1:2905 inactive; 192.0.2.2:2905 active");
    world.cut(1);
    world.send(&user(4));
    assert_eq!(world.heard_there.last(), Some(&(0, user(4))));
}

#[test]
fn with_loadshare_circuits_are_divided_and_all_go_where_one_is_left() {
    let shared = |s: Settings| Settings { mode: Some(TrafficMode::Loadshare), ..s };
    let answerers = vec![shared(answering(Role::Sgp)), shared(answering(Role::Sgp))];
    let mut world = World::up(shared(settings(Role::Asp, 2)), answerers);
    for cic in 0..16 {
        world.send(&user(cic));
        world.send(&user(cic));
    }
    assert_eq!(world.heard_there.len(), 32);
    for cic in 0..16 {
        let ends: Vec<usize> =
            world.heard_there.iter().filter(|(_, octets)| octets[0] == cic).map(|(number, _)| *number).collect();
        assert_eq!(ends[0], ends[1], "a circuit keeps to its association");
        assert_eq!(ends[0], usize::from(cic % 2));
    }
    world.cut(1);
    world.heard_there.clear();
    (0..16).for_each(|cic| world.send(&user(cic)));
    assert!(world.heard_there.iter().all(|(number, _)| *number == 0) && world.heard_there.len() == 16);
}

#[test]
fn messages_wait_for_a_process_and_are_dropped_when_none_comes_in_time() {
    let mut world = World::up(settings(Role::Asp, 1), vec![answering(Role::Sgp)]);
    world.cut(0);
    for _ in 0..=limits::M3UA_WAITING {
        world.send(&user(1));
    }
    assert_eq!(world.caller.counters().unsent, 1, "one more than can wait");
    assert_eq!(world.availability, [true]);
    world.mend(0);
    world.pass(Duration::from_millis(1_500));
    assert_eq!(world.heard_there.len(), limits::M3UA_WAITING);
    assert_eq!(world.availability, [true]);
    world.cut(0);
    world.send(&user(2));
    world.pass(Duration::from_millis(2_001));
    assert_eq!(world.availability, [true, false], "T(r) ran out");
    assert_eq!(world.caller.counters().unsent, 2);
    world.send(&user(3));
    assert_eq!(world.caller.counters().unsent, 3);
    world.mend(0);
    world.pass(10 * SECOND);
    assert_eq!(world.availability, [true, false, true]);
    assert_eq!(world.heard_there.len(), limits::M3UA_WAITING, "what was dropped does not come late");
}

#[test]
fn two_processes_of_one_server_override_each_other_at_the_gateway() {
    // One gateway that two associations of the same caller lead to.
    let mut gateway = Endpoint::new(answering(Role::Sgp), &Seed::from_number(1));
    let now = Instant::from_millis(5);
    let mut ids = Vec::new();
    for number in 0..2 {
        let id = gateway.handle_accepted(now, peer(number)).expect("room");
        let mut out = Vec::new();
        let up = Message::new(Kind::ASPUP).with_word(tag::ASP, number as u32 + 1);
        gateway.handle_octets(now, id, &up.encode().expect("short"), &mut out);
        ids.push(id);
    }
    let active = Message::new(Kind::ASPAC).with_word(tag::TRAFFIC_MODE, 1).with_word(tag::ROUTING_CONTEXT, 7);
    let active = active.encode().expect("short");
    gateway.handle_octets(now, ids[0], &active, &mut Vec::new());
    let mut out = Vec::new();
    gateway.handle_octets(now, ids[1], &active, &mut out);
    let told: Vec<_> = out
        .iter()
        .filter_map(|output| match output {
            Output::Transmit { association, octets, .. } => Some((*association, Message::decode(octets).ok()?)),
            _ => None,
        })
        .collect();
    assert_eq!(told[0].0, ids[1]);
    assert_eq!(told[0].1.kind, Kind::ASPAC_ACK);
    assert_eq!(told[1].0, ids[0]);
    assert_eq!(told[1].1.word(tag::STATUS), Some(status::ALTERNATE_ACTIVE));
    assert_eq!(told[1].1.word(tag::ASP), Some(2), "whose it is now");
    let mut out = Vec::new();
    gateway.send(now, user(1), &mut out);
    assert!(matches!(out[0], Output::Transmit { association, .. } if association == ids[1]));
    // The active one fails: the other is told, and asked for.
    let mut out = Vec::new();
    gateway.handle_closed(now, ids[1], "cut", &mut out);
    let told: Vec<u32> = out
        .iter()
        .filter_map(|output| match output {
            Output::Transmit { octets, .. } => Message::decode(octets).ok()?.word(tag::STATUS),
            _ => None,
        })
        .collect();
    assert_eq!(told, [status::FAILURE, status::SERVER_PENDING]);
}

#[test]
fn a_process_that_was_overridden_waits_until_it_is_wanted() {
    let mut world = World::up(settings(Role::Asp, 1), vec![answering(Role::Sgp)]);
    world.said();
    let notify = |status| Message::new(Kind::NTFY).with_word(tag::STATUS, status).with_word(tag::ROUTING_CONTEXT, 7);
    world.say(&notify(status::ALTERNATE_ACTIVE));
    assert_eq!(world.said(), "", "it does not take the traffic back");
    assert!(world.caller.summary(world.now).contains("another is active"));
    world.say(
        &Message::new(Kind::NTFY).with_word(tag::STATUS, status::SERVER_PENDING).with_word(tag::ROUTING_CONTEXT, 8),
    );
    assert_eq!(world.said(), "", "of another server");
    world.say(&notify(status::SERVER_PENDING));
    assert!(world.said().starts_with("ACTIVE active+"));
}

#[test]
fn with_broadcast_a_message_is_heard_once() {
    let copied = |s: Settings| Settings { mode: Some(TrafficMode::Broadcast), ..s };
    let mut gateway = World::up(copied(settings(Role::Asp, 1)), vec![copied(answering(Role::Sgp))]);
    gateway.answer(0, &user(1));
    let sent = gateway.trace.iter().find(|(_, m, _)| m.kind == Kind::DATA).expect("DATA");
    assert_eq!(sent.1.word(tag::CORRELATION), Some(1));
    let answerers = vec![copied(answering(Role::Sgp)), copied(answering(Role::Sgp))];
    let mut world = World::up(copied(settings(Role::Asp, 2)), answerers);
    world.answer(0, &user(1));
    world.answer(1, &user(1));
    assert_eq!(world.heard, [user(1)]);
    world.cut(0);
    world.answer(1, &user(2));
    assert_eq!(world.heard, [user(1), user(2)]);
}

#[test]
fn data_that_is_not_for_us_is_counted_and_another_routing_context_refused() {
    let mut world = World::up(settings(Role::Asp, 1), vec![answering(Role::Sgp)]);
    world.trace.clear();
    world.say(&data(|data| data.service = 3));
    assert_eq!(world.caller.counters().other_service, 1);
    world.say(&data(|data| data.destination += 1));
    world.say(&data(|data| data.origin += 1));
    world.say(&data(|data| data.network = 0));
    assert_eq!(world.caller.counters().other_label, 3);
    assert_eq!(world.trace, [], "dropped without a word");
    let other = Message::new(Kind::DATA).with_word(tag::ROUTING_CONTEXT, 8);
    world.say(&other.with(tag::PROTOCOL_DATA, &[0; 12]));
    let errors = world.errors();
    assert_eq!(errors[0].0, Code::INVALID_CONTEXT);
    assert_eq!(errors[0].1.contexts().collect::<Vec<_>>(), [8], "the wrong one is named");
    assert_eq!(world.caller.counters().other_context, 1);
    world.say(&Message::new(Kind::DATA).with_word(tag::ROUTING_CONTEXT, 7));
    world.say(&Message::new(Kind::DATA).with_word(tag::ROUTING_CONTEXT, 7).with(tag::PROTOCOL_DATA, &[0; 11]));
    let codes: Vec<Code> = world.errors().into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes, [Code::MISSING_PARAMETER, Code::PARAMETER_FIELD]);
    assert!(world.heard.is_empty(), "{:?}", world.heard);
    // Without a routing context it is for the only server there is.
    let mut plain = data(|_| ());
    plain.parameters.remove(0);
    world.say(&plain);
    assert_eq!(world.heard, [user(1)]);
}

#[test]
fn another_network_appearance_is_refused_by_name() {
    let with = |s: Settings| Settings { appearance: Some(4), ..s };
    let mut world = World::up(with(settings(Role::Asp, 1)), vec![with(answering(Role::Sgp))]);
    world.trace.clear();
    let mut other = data(|_| ());
    other.parameters.insert(0, (tag::NETWORK_APPEARANCE, 5_u32.to_be_bytes().to_vec()));
    world.say(&other);
    let errors = world.errors();
    assert_eq!((errors[0].0, errors[0].1.word(tag::NETWORK_APPEARANCE)), (Code::INVALID_APPEARANCE, Some(5)));
}

#[test]
fn data_before_the_process_is_active_is_dropped_silently() {
    let mut world = World::new(settings(Role::Asp, 1), vec![answering(Role::Sgp)]);
    world.deaf = 1;
    world.pass(Duration::from_millis(1));
    world.trace.clear();
    world.say(&data(|_| ()));
    assert_eq!((world.caller.counters().inactive, world.heard.len(), world.trace.len()), (1, 0, 0));
}

#[test]
fn what_cannot_be_read_is_answered_by_the_right_error_and_an_error_by_none() {
    let mut world = World::up(settings(Role::Asp, 1), vec![answering(Role::Sgp)]);
    let good = data(|_| ()).encode().expect("short");
    let changed = |at: usize, value: u8| {
        let mut octets = good.clone();
        octets[at] = value;
        octets
    };
    for (octets, wanted) in [
        (changed(0, 2), Code::INVALID_VERSION),
        (changed(7, 200), Code::PARAMETER_FIELD),
        (changed(11, 3), Code::PARAMETER_FIELD),
        (changed(2, 5), Code::UNSUPPORTED_CLASS),
        (changed(2, 9), Code::UNSUPPORTED_CLASS),
        (changed(3, 9), Code::UNSUPPORTED_TYPE),
        (vec![1, 0, 1, 1, 0, 0], Code::PARAMETER_FIELD),
    ] {
        world.trace.clear();
        world.say_octets(&octets);
        let errors = world.errors();
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].0, wanted);
        assert_eq!(errors[0].1.value(tag::DIAGNOSTIC), Some(&octets[..octets.len().min(40)]));
    }
    world.trace.clear();
    world.say(&Message::new(Kind::ERR).with_word(tag::ERROR, 7));
    world.say(&Message::new(Kind::ERR));
    world.say_octets(&[1, 0, 0, 0, 0, 0, 0, 99]);
    assert_eq!(world.trace, []);
    assert!(world.notices.contains(&What::Complaint(Code::PROTOCOL_ERROR)));
}

#[test]
fn a_gateway_does_not_ask_its_process_and_a_peer_may() {
    let mut world = World::up(settings(Role::Asp, 1), vec![answering(Role::Sgp)]);
    for kind in [Kind::ASPUP, Kind::ASPDN, Kind::ASPAC, Kind::ASPIA] {
        world.trace.clear();
        world.say(&Message::new(kind));
        assert_eq!(world.errors()[0].0, Code::UNEXPECTED_MESSAGE);
    }
    let mut world = World::up(settings(Role::Ipsp, 1), vec![answering(Role::Ipsp)]);
    assert_eq!(world.availability, [true]);
    world.send(&user(1));
    world.answer(0, &user(2));
    assert_eq!((world.heard_there.len(), world.heard.len()), (1, 1));
    world.trace.clear();
    world.say(&Message::new(Kind::ASPIA).with_word(tag::ROUTING_CONTEXT, 7));
    assert!(world.said().starts_with("INACTIVE+"));
    world.say(&Message::new(Kind::ASPAC).with_word(tag::ROUTING_CONTEXT, 7).with_word(tag::TRAFFIC_MODE, 1));
    assert_eq!(world.caller.summary(world.now), "active: 192.0.2.1:2905 active");
    world.trace.clear();
    world.say(&Message::new(Kind::ASPAC).with_word(tag::ROUTING_CONTEXT, 8));
    assert_eq!(world.errors()[0].0, Code::NO_SERVER);
}

#[test]
fn a_gateway_refuses_what_does_not_fit_its_server() {
    let mut gateway = Endpoint::new(answering(Role::Sgp), &Seed::from_number(1));
    let now = Instant::from_millis(5);
    let id = gateway.handle_accepted(now, peer(0)).expect("room");
    let mut ask = |message: Message| {
        let mut out = Vec::new();
        gateway.handle_octets(now, id, &message.encode().expect("short"), &mut out);
        let answers = out.into_iter().filter_map(|output| match output {
            Output::Transmit { octets, .. } => Message::decode(&octets).ok(),
            _ => None,
        });
        let word = |message: Message| message.word(tag::ERROR).map_or(0, |code| code as u8);
        answers.map(|message| (kind_name(message.kind), word(message))).collect::<Vec<_>>()
    };
    let active = || Message::new(Kind::ASPAC).with_word(tag::ROUTING_CONTEXT, 7);
    assert_eq!(ask(active()), [("ERR", 6)], "before ASPUP");
    assert_eq!(ask(Message::new(Kind::ASPUP))[0], ("UP+", 0));
    assert_eq!(ask(Message::new(Kind::ASPAC).with_word(tag::ROUTING_CONTEXT, 8)), [("ERR", 0x1a)]);
    assert_eq!(ask(active().with_word(tag::TRAFFIC_MODE, 2)), [("ERR", 5)]);
    assert_eq!(ask(Message::new(Kind::ASPIA).with_word(tag::ROUTING_CONTEXT, 8)), [("ERR", 0x19)]);
    assert_eq!(ask(active().with_word(tag::TRAFFIC_MODE, 1))[0], ("ACTIVE+", 0));
    let about = |code: &str| {
        let code = PointCode::parse(Variant::Itu, code).expect("a code").value();
        Message::new(Kind::DAUD).with_word(tag::ROUTING_CONTEXT, 7).with_word(tag::AFFECTED, code)
    };
    assert_eq!(ask(about("1-1-2")), [("DAVA", 0)]);
    assert_eq!(ask(about("1-1-3")), [("DUNA", 0)]);
    assert_eq!(ask(Message::new(Kind::ASPUP))[..2], [("UP+", 0), ("ERR", 6)], "while active");
    assert_eq!(ask(Message::new(Kind::ASPDN)), [("DOWN+", 0)]);
}

#[test]
fn any_sequence_of_messages_and_time_does_no_harm() {
    let mut rng = Seed::from_number(29_05).rng();
    for _ in 0..300 {
        let role = [Role::Asp, Role::Ipsp][rng.below(2) as usize];
        let mut world = World::up(
            Settings { heartbeat: Some(10 * SECOND), ..settings(role, 2) },
            vec![answering(Role::Sgp), answering(Role::Ipsp)],
        );
        for _ in 0..40 {
            let (kind, _) = Kind::NAMED[rng.below(Kind::NAMED.len() as u64) as usize];
            let mut message = Message::new(kind);
            for _ in 0..rng.below(4) {
                let tags = [6, 7, 9, 11, 12, 13, 17, 18, 0x204, 0x205, 0x210, 4];
                let value: Vec<u8> = (0..rng.below(20)).map(|_| rng.below(9) as u8).collect();
                message = message.with(tags[rng.below(12) as usize], &value);
            }
            if !world.joined.is_empty() {
                world.say(&message);
            }
            match rng.below(8) {
                0 => world.cut(rng.below(2) as usize),
                1 => (0..2).for_each(|number| world.mend(number)),
                2 => world.pass(Duration::from_millis(rng.below(5_000))),
                3 => world.send(&user(rng.below(256) as u8)),
                _ => {}
            }
        }
        // Whatever it was: with a peer that behaves it comes back.
        (0..2).for_each(|number| world.mend(number));
        world.say_wanted();
        world.pass(120 * SECOND);
        assert!(world.caller.is_available(), "{}", world.caller.summary(world.now));
    }
}

impl World {
    /// The peers end what random NTFY, DUNA and ASPIA began.
    fn say_wanted(&mut self) {
        let ids: Vec<AssociationId> = self.joined.keys().copied().collect();
        let wanted = Message::new(Kind::NTFY).with_word(tag::STATUS, status::SERVER_PENDING);
        let there = Message::new(Kind::DAVA).with_word(tag::AFFECTED, code("1-1-2").value());
        for id in ids {
            for message in [&wanted, &there] {
                let mut out = Vec::new();
                self.caller.handle_octets(self.now, id, &message.encode().expect("short"), &mut out);
                self.carry_out(None, out);
            }
        }
    }
}
