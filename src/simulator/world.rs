//! The event loop of virtual time: the earliest deadline of all is where time moves to.
//!
//! ```text
//!   lines ─┐                                   ┌─> lines (ring, battery)
//!   cards ─┤                                   ├─> workers (streams, tones)
//!  network ┼─> Gateway / Worker / SipPhone ────┼─> network ─> (later) arrivals
//!   ticks ─┤     one input at a time           ├─> records
//!  phones ─┘                                   └─> trace hash
//! ```
//!
//! Things that happen at the same time happen in the order of the picture, and within one source in
//! the order in which they were caused. Nothing depends on addresses in memory or on the machine.

use super::checkers::Checkers;
use super::links::{Happened, Links};
use super::network::{Cut, Faults, Form, Network, Packet, Traffic};
use super::peers::{PORTION_BYTES, PhoneSettings, SipPhone};
use super::recording::Recording;
use super::stations::Station;
use super::trace::Trace;
use crate::call::record::CallRecord;
use crate::config::{Config, Driver, Plays, Station as StationConfig};
use crate::gateway::{CardId, Gateway, GroupId, Input, Outbox, Output, PortId, WorkerId};
use crate::limits::{STREAMS_PER_WORKER, TICKS_CATCH_UP};
use crate::media::{MediaCommand, MediaEvent, MediaOut, PacketBatch, StreamId, Worker, WorkerLayout};
use crate::rng::Seed;
use crate::sip::{Flow, Question, Records, Transport};
use crate::switch::{Ended, FarEnds, Said};
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use tipring_hal::{Audio, Block, Card, CardConfig, LineCommand, LineEvent, Lines, Readiness};
use tipring_virtual::{Behaviour, VirtualCard, VirtualConfig, VirtualPort};

/// How often a worker without a card is ticked.
const SOFTWARE_TICK: Duration = Duration::from_millis(10);

/// What a world begins with.
#[derive(Clone, Debug)]
pub struct WorldSettings {
    /// What the gateway runs with.
    pub config: Config,
    /// Where all chance comes from.
    pub seed: u64,
    /// What SIP meets on the way.
    pub signalling: Faults,
    /// What RTP meets on the way.
    pub media: Faults,
    /// Errors of crystals that differ from the configuration, by name of the card.
    pub crystals: BTreeMap<String, i32>,
    /// Whether packets and sound are kept to become files.
    pub records: bool,
    /// What the resolver knows; anything else has no records.
    pub zone: BTreeMap<Question, Records>,
}

impl WorldSettings {
    /// A world without faults.
    pub fn new(config: Config, seed: u64) -> Self {
        WorldSettings {
            config,
            seed,
            signalling: Faults::default(),
            media: Faults::default(),
            crystals: BTreeMap::new(),
            records: false,
            zone: BTreeMap::new(),
        }
    }
}

/// Number of a phone in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PhoneId(usize);

/// The gateway, its cards and workers, the network, the phones and the people.
pub struct World {
    now: Instant,
    seed: Seed,
    gateway: Gateway,
    outbox: Outbox,
    listeners: Vec<(Transport, SocketAddr)>,
    cards: Vec<CardSeat>,
    workers: Vec<WorkerSeat>,
    /// Who receives what comes to an address for RTP.
    bound: BTreeMap<SocketAddr, (WorkerId, StreamId)>,
    /// From which address a stream sends.
    sources: BTreeMap<StreamId, SocketAddr>,
    network: Network,
    phones: Vec<SipPhone>,
    phones_next: Vec<Option<Instant>>,
    homes: BTreeMap<IpAddr, PhoneId>,
    /// Hosts without a phone, whose packets a test reads and writes itself: what came to them.
    hosts: BTreeMap<IpAddr, VecDeque<(Instant, Packet)>>,
    /// The gateway's TCP connections.
    links: Links,
    /// To be handed to the control core when its outbox is empty.
    consequences: VecDeque<Consequence>,
    records: Vec<CallRecord>,
    checkers: Checkers,
    trace: Trace,
    recording: Option<Recording>,
    records_all: bool,
    events: u64,
    misdirected: u64,
    zone: BTreeMap<Question, Records>,
    /// Simulated switches of the circuit groups that have one.
    far_ends: FarEnds,
    /// Groups whose far end is a test: what was said to it.
    hand_written: BTreeMap<GroupId, VecDeque<Vec<u8>>>,
    /// Calls that ended at one of them, and when.
    far_end_calls: Vec<(Instant, GroupId, Ended)>,
}

struct CardSeat {
    lines: Box<dyn Lines>,
    audio: Box<dyn Audio>,
    input: Block,
    output: Block,
    stations: Vec<Station>,
}

struct WorkerSeat {
    worker: Worker,
    out: MediaOut,
    batch: PacketBatch,
    /// When a worker without a card is ticked; `None` while it has no stream.
    next_tick: Option<Instant>,
    blocks: (Block, Block),
}

/// What an output of the control core brought about at once.
enum Consequence {
    Media(WorkerId, MediaEvent),
    Resolved(Question, Records),
    FarEnd(Said),
}

/// Where the next input comes from; earlier ones go first at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Lines(usize),
    Card(usize),
    Network,
    Gateway,
    FarEnds,
    Worker(usize),
    Phone(usize),
}

impl World {
    /// A world at time zero.
    pub fn new(settings: WorldSettings) -> Self {
        let now = Instant::ZERO;
        let seed = Seed::from_number(settings.seed);
        let config = &settings.config;
        let listeners: Vec<_> = config.sip.listen.iter().map(|l| (l.transport, l.address)).collect();
        let home = listeners.first().map_or(IpAddr::from([127, 0, 0, 1]), |(_, address)| address.ip());
        let (mut cards, mut workers) = (Vec::new(), Vec::new());
        for index in 0..config.cards.len() {
            let seat = CardSeat::open(now, &settings, index, &seed);
            workers.push(WorkerSeat::new(now, seat.input.ports(), seat.input.samples()));
            cards.push(seat);
        }
        workers.push(WorkerSeat::new(now, 0, 80));
        World {
            now,
            seed,
            listeners,
            cards,
            workers,
            outbox: Outbox::default(),
            bound: BTreeMap::new(),
            sources: BTreeMap::new(),
            network: Network::new(seed, settings.signalling, settings.media, Vec::new()),
            phones: Vec::new(),
            phones_next: Vec::new(),
            homes: BTreeMap::new(),
            hosts: BTreeMap::new(),
            links: Links::new(home),
            consequences: VecDeque::new(),
            records: Vec::new(),
            checkers: Checkers::default(),
            trace: Trace::default(),
            recording: settings.records.then(Recording::default),
            records_all: settings.records,
            events: 0,
            misdirected: 0,
            zone: settings.zone,
            far_ends: FarEnds::new(now, settings.config.far_ends(), &seed),
            hand_written: BTreeMap::new(),
            far_end_calls: Vec::new(),
            gateway: Gateway::new(settings.config, seed.fork("gateway"), now),
        }
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The control core.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// What watches the run.
    pub fn checkers(&self) -> &Checkers {
        &self.checkers
    }

    /// Calls that ended so far.
    pub fn records(&self) -> &[CallRecord] {
        &self.records
    }

    /// The simulated switches.
    pub fn far_ends(&self) -> &FarEnds {
        &self.far_ends
    }

    /// Calls that ended at a simulated switch so far, and when.
    pub fn far_end_calls(&self) -> &[(Instant, GroupId, Ended)] {
        &self.far_end_calls
    }

    /// Takes the place of the simulated switch of a group: a test reads and writes its messages itself.
    pub fn write_far_end(&mut self, group: GroupId) {
        self.far_ends.remove(group);
        self.hand_written.insert(group, VecDeque::new());
    }

    /// The next message that came to such a far end, from its circuit on.
    pub fn take_isup(&mut self, group: GroupId) -> Option<Vec<u8>> {
        self.hand_written.get_mut(&group)?.pop_front()
    }

    /// Says a message as the far end of a group, at once.
    pub fn say_isup(&mut self, group: GroupId, octets: &[u8]) {
        self.trace.isup(self.now, b'j', group.0, octets);
        self.control(Input::Isup { group, octets });
    }

    /// A mark of everything that was delivered and sent so far.
    pub fn hash(&self) -> u64 {
        self.trace.hash()
    }

    /// Inputs delivered so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Packets that came to an address at which nobody listens.
    pub fn misdirected(&self) -> u64 {
        self.misdirected
    }

    /// The network, to change its faults and read its counters.
    pub fn network(&mut self) -> &mut Network {
        &mut self.network
    }

    /// Adds a cut.
    pub fn cut(&mut self, cut: Cut) {
        self.network.cut(cut);
    }

    /// What becomes files, when the world records.
    pub fn recording(&self) -> Option<&Recording> {
        self.recording.as_ref()
    }

    /// Where the gateway listens for SIP.
    ///
    /// # Panics
    /// When the configuration has no UDP listener: there is nothing to simulate then.
    pub fn gateway_address(&self) -> SocketAddr {
        let udp = self.listeners.iter().find(|(transport, _)| *transport == Transport::Udp);
        udp.expect("a gateway to be simulated listens on UDP").1
    }

    /// Puts a phone on the network. Its IP address must be its own.
    pub fn add_phone(&mut self, settings: PhoneSettings) -> PhoneId {
        let id = PhoneId(self.phones.len());
        self.homes.insert(settings.address.ip(), id);
        let settings = PhoneSettings { keeps_all: self.records_all, ..settings };
        self.phones.push(SipPhone::new(settings, &self.seed));
        self.phones_next.push(None);
        id
    }

    /// Puts a host on the network whose packets somebody else reads ([`World::take_packet`]) and writes
    /// ([`World::send_packet`]).
    pub fn add_host(&mut self, ip: IpAddr) {
        self.hosts.entry(ip).or_default();
    }

    /// The next packet that came to a host of [`World::add_host`], and when.
    pub fn take_packet(&mut self, ip: IpAddr) -> Option<(Instant, Packet)> {
        self.hosts.get_mut(&ip)?.pop_front()
    }

    /// Puts a packet of such a host on the network.
    pub fn send_packet(&mut self, packet: Packet) {
        self.send(packet);
    }

    /// A phone, to look at.
    pub fn phone(&self, id: PhoneId) -> &SipPhone {
        &self.phones[id.0]
    }

    /// All phones.
    pub fn phones(&self) -> &[SipPhone] {
        &self.phones
    }

    /// Lets somebody do something at a phone; what that sends goes on its way.
    pub fn at_phone<T>(&mut self, id: PhoneId, act: impl FnOnce(&mut SipPhone, Instant, &mut Vec<Packet>) -> T) -> T {
        let mut sent = Vec::new();
        let phone = &mut self.phones[id.0];
        let result = act(phone, self.now, &mut sent);
        self.phones_next[id.0] = phone.next();
        for packet in sent {
            self.send(packet);
        }
        result
    }

    /// A station, by name.
    pub fn station(&self, name: &str) -> Option<&Station> {
        self.stations().find(|station| station.name == name)
    }

    /// A station, to do something at it.
    pub fn station_mut(&mut self, name: &str) -> Option<&mut Station> {
        self.cards.iter_mut().flat_map(|card| &mut card.stations).find(|station| station.name == name)
    }

    /// All stations.
    pub fn stations(&self) -> impl Iterator<Item = &Station> {
        self.cards.iter().flat_map(|card| &card.stations)
    }

    /// An operator lets one party call a number, see [`Input::Dial`].
    ///
    /// # Errors
    /// Why not, in the gateway's words.
    pub fn dial(&mut self, from: &str, to: &str) -> Result<u64, String> {
        let mut outcome = Err(String::new());
        self.control(Input::Dial { from, to, outcome: &mut outcome });
        outcome
    }

    /// Runs until `until`: everything that is due by then has happened.
    pub fn run_until(&mut self, until: Instant) {
        while self.step(until) {}
    }

    /// Runs for a time.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// Delivers the next input that is due by `until`, or moves time there; whether there was one.
    pub fn step(&mut self, until: Instant) -> bool {
        let Some((at, source)) = self.next().filter(|(at, _)| *at <= until) else {
            self.now = self.now.max(until);
            return false;
        };
        self.now = self.now.max(at);
        self.events += 1;
        match source {
            Source::Lines(card) => self.deliver_line_event(card),
            Source::Card(card) => self.tick_card(card),
            Source::Network => self.deliver_packet(),
            Source::Gateway => self.control(Input::Tick),
            Source::FarEnds => {
                self.far_ends.handle_timeout(self.now);
                self.hear_far_ends();
                self.settle();
            }
            Source::Worker(worker) => self.tick_worker(worker),
            Source::Phone(phone) => {
                self.at_phone(PhoneId(phone), |phone, now, sent| phone.handle_timeout(now, sent));
            }
        }
        true
    }

    fn next(&self) -> Option<(Instant, Source)> {
        let at = |readiness| match readiness {
            Readiness::At(at) => Some(at),
            Readiness::Never | Readiness::Fd(_) => None,
        };
        let mut best: Option<(Instant, Source)> = None;
        let mut offer = |time: Option<Instant>, source| {
            if let Some(time) = time
                && best.is_none_or(|(at, _)| time < at)
            {
                best = Some((time, source));
            }
        };
        // Earlier offers win ties, so this is the order of ranks. What is overdue is due now.
        let due = |time: Option<Instant>| time.map(|time| time.max(self.now));
        for (index, card) in self.cards.iter().enumerate() {
            offer(due(at(card.lines.readiness())), Source::Lines(index));
        }
        for (index, card) in self.cards.iter().enumerate() {
            offer(due(at(card.audio.readiness())), Source::Card(index));
        }
        offer(due(self.network.next()), Source::Network);
        offer(due(self.gateway.deadline()), Source::Gateway);
        offer(due(self.far_ends.deadline()), Source::FarEnds);
        for (index, seat) in self.workers.iter().enumerate() {
            offer(due(seat.next_tick), Source::Worker(index));
        }
        for (index, time) in self.phones_next.iter().enumerate() {
            offer(due(*time), Source::Phone(index));
        }
        best
    }

    fn deliver_line_event(&mut self, card: usize) {
        if let Some(event) = self.cards[card].lines.event(self.now) {
            self.trace.line(self.now, card, event.port.0, &event.kind);
            self.hand_line_event(card, event);
        }
    }

    fn hand_line_event(&mut self, card: usize, event: LineEvent) {
        let now = self.now;
        self.cards[card].stations.iter_mut().for_each(|station| station.look(now));
        self.control(Input::Line(CardId(card as u16), event));
    }

    /// Hands one input to the control core and carries out what it wants, until all is quiet.
    fn control(&mut self, input: Input<'_>) {
        self.gateway.handle(self.now, input, &mut self.outbox);
        self.carry_out();
        self.settle();
    }

    fn carry_out(&mut self) {
        let mut outbox = std::mem::take(&mut self.outbox);
        for output in outbox.drain() {
            match output {
                Output::Datagram { flow, bytes } => {
                    let (from, to) = (flow.local, flow.remote);
                    self.send(Packet { traffic: Traffic::Signalling, form: Form::Datagram, from, to, bytes });
                }
                Output::Line(port, command) => self.command_line(port, command),
                Output::Media(worker, command) => self.command_worker(worker, command),
                Output::Record(record) => {
                    self.checkers.recorded(self.now, &record);
                    self.records.push(record);
                }
                Output::OpenStream { connection, transport, remote, .. } => {
                    let packet = self.links.open(connection, transport, remote);
                    self.send(packet);
                }
                Output::StreamBytes { connection, bytes } => match self.links.write(connection, bytes) {
                    Some(packet) => self.send(packet),
                    None => self.checkers.problem(format!("{}: bytes for a connection that is gone", self.now)),
                },
                Output::CloseStream { connection } => {
                    if let Some(packet) = self.links.close(connection) {
                        self.send(packet);
                    }
                }
                Output::Resolve { question } => {
                    let records = self.answer(&question);
                    self.consequences.push_back(Consequence::Resolved(question, records));
                }
                // Nobody is there yet who would carry it.
                Output::Isup { group, octets } => {
                    self.trace.isup(self.now, b'i', group.0, &octets);
                    if let Some(heard) = self.hand_written.get_mut(&group) {
                        heard.push_back(octets);
                        continue;
                    }
                    self.far_ends.handle(self.now, group, &octets);
                    self.hear_far_ends();
                }
                Output::Binding(_) | Output::Text(_) | Output::Ban { .. } => {}
            }
        }
        self.outbox = outbox;
    }

    /// Notes what the far ends say; it is handed on when the control core is next free.
    fn hear_far_ends(&mut self) {
        while let Some(said) = self.far_ends.take() {
            self.consequences.push_back(Consequence::FarEnd(said));
        }
        while let Some((group, ended)) = self.far_ends.take_ended() {
            self.far_end_calls.push((self.now, group, ended));
        }
    }

    /// What the resolver says. A gateway on all addresses sends from its own one.
    fn answer(&self, question: &Question) -> Records {
        match (self.zone.get(question), question) {
            (Some(records), _) => records.clone(),
            (None, Question::Source(_)) => {
                Records { addresses: vec![self.gateway_address().ip()], ..Records::default() }
            }
            (None, _) => Records::default(),
        }
    }

    fn command_line(&mut self, id: PortId, command: LineCommand) {
        self.trace.command(self.now, id.card.0, id.port.0, &command);
        let Some(card) = self.cards.get_mut(usize::from(id.card.0)) else {
            self.checkers.problem(format!("{}: command for a card that is not there: {id:?}", self.now));
            return;
        };
        if let Err(error) = card.lines.command(self.now, id.port, command) {
            self.checkers.problem(format!("{}: {id:?} refused a command: {error}", self.now));
        }
        card.stations.iter_mut().for_each(|station| station.look(self.now));
    }

    fn command_worker(&mut self, id: WorkerId, command: MediaCommand) {
        let Some(seat) = self.workers.get_mut(usize::from(id.0)) else {
            self.checkers.problem(format!("{}: command for a worker that is not there: {id:?}", self.now));
            return;
        };
        if let MediaCommand::Start(stream) = &command {
            let local = stream.config().local;
            if self.bound.insert(local, (id, stream.id())).is_some() {
                self.checkers.problem(format!("{}: {local} was bound twice", self.now));
            }
            self.sources.insert(stream.id(), local);
        }
        let is_software = seat.worker.layout().ports == 0;
        seat.worker.command(self.now, command, &mut seat.out);
        if is_software {
            let starts = seat.next_tick.is_none() && seat.worker.stream_count() > 0;
            seat.next_tick = if starts { Some(self.now + SOFTWARE_TICK) } else { seat.next_tick };
            seat.next_tick = seat.next_tick.filter(|_| seat.worker.stream_count() > 0);
        }
        self.take_media_events(usize::from(id.0));
    }

    /// Notes what a worker says; it is handed on when the control core is next free.
    fn take_media_events(&mut self, worker: usize) {
        let seat = &mut self.workers[worker];
        for event in seat.out.events() {
            if let MediaEvent::Stopped(stream) = &event {
                self.sources.remove(&stream.id());
                self.bound.remove(&stream.config().local);
            }
            self.consequences.push_back(Consequence::Media(WorkerId(worker as u16), event));
        }
    }

    /// Hands on what was noted outside of [`World::control`].
    fn settle(&mut self) {
        // Ends: a consequence comes from an output, what is stopped or refused causes no further one, and two
        // exchanges answer each other a few times at most.
        while let Some(consequence) = self.consequences.pop_front() {
            let input = match consequence {
                Consequence::Media(worker, event) => {
                    self.trace.media_event(self.now, worker.0, &event);
                    Input::Media(worker, event)
                }
                Consequence::Resolved(question, records) => Input::Resolved { question, records },
                Consequence::FarEnd(Said::Octets(group, octets)) => {
                    self.trace.isup(self.now, b'j', group.0, &octets);
                    self.gateway.handle(self.now, Input::Isup { group, octets: &octets }, &mut self.outbox);
                    self.carry_out();
                    continue;
                }
                Consequence::FarEnd(Said::Sound(group, cic, sound)) => Input::CircuitSound { group, cic, sound },
            };
            self.gateway.handle(self.now, input, &mut self.outbox);
            self.carry_out();
        }
    }

    fn tick_card(&mut self, index: usize) {
        for _ in 0..TICKS_CATCH_UP {
            let seat = &mut self.cards[index];
            let moved = match seat.audio.exchange(self.now, &mut seat.input, &seat.output) {
                Ok(moved) => moved,
                Err(error) => {
                    self.checkers.problem(format!("{}: card {index} failed: {error}", self.now));
                    return;
                }
            };
            let samples = seat.input.samples();
            seat.stations.iter_mut().for_each(|station| station.after_exchange(self.now, &moved, samples));
            let worker = &mut self.workers[index];
            worker.worker.receive(self.now, &mut worker.batch, &mut worker.out);
            worker.worker.tick(self.now, &seat.input, &mut seat.output, &mut worker.out);
            self.trace.block(self.now, index, &seat.input, &seat.output);
            self.send_media(index);
            if moved.pending == 0 {
                break;
            }
        }
    }

    fn tick_worker(&mut self, index: usize) {
        let seat = &mut self.workers[index];
        seat.next_tick = seat.next_tick.map(|at| at + SOFTWARE_TICK).filter(|_| seat.worker.stream_count() > 0);
        seat.worker.tick(self.now, &seat.blocks.0, &mut seat.blocks.1, &mut seat.out);
        self.send_media(index);
    }

    /// Sends what a worker forwards and what it made, and hands on what it says.
    fn send_media(&mut self, worker: usize) {
        let seat = &mut self.workers[worker];
        let of_card = seat.worker.layout().ports > 0;
        let made = seat.out.packets().map(|packet| (true, packet));
        let mut sent = Vec::new();
        for (made_here, packet) in seat.batch.forwards().map(|packet| (false, packet)).chain(made) {
            match self.sources.get(&packet.stream) {
                Some(from) => {
                    if of_card && made_here {
                        self.checkers.sent_from_card(self.now, *from, packet.bytes);
                    }
                    let bytes = packet.bytes.to_vec();
                    let (form, to) = (Form::Datagram, packet.to);
                    sent.push(Packet { traffic: Traffic::Media, form, from: *from, to, bytes });
                }
                None => self.checkers.problem(format!("{}: RTP of a stream that is not there", self.now)),
            }
        }
        seat.out.clear_packets();
        seat.batch.clear();
        for packet in sent {
            self.send(packet);
        }
        self.take_media_events(worker);
        self.settle();
    }

    /// Puts a packet on the network.
    fn send(&mut self, packet: Packet) {
        self.trace.packet(self.now, b's', &packet);
        if packet.traffic == Traffic::Signalling {
            self.checkers.sent(self.now, &packet);
        }
        if let Some(recording) = self.recording.as_mut().filter(|_| !self.homes.contains_key(&packet.from.ip())) {
            recording.packet(self.now, &packet);
        }
        self.network.send(self.now, packet);
    }

    fn deliver_packet(&mut self) {
        let Some(packet) = self.network.take_due(self.now) else { return };
        self.trace.packet(self.now, b'r', &packet);
        let heard = match self.homes.get(&packet.to.ip()) {
            Some(phone) => self.phones[phone.0].hears(&packet),
            // A host of a test keeps its connections itself.
            None if self.hosts.contains_key(&packet.to.ip()) => true,
            None => packet.form == Form::Datagram || self.links.knows(&packet),
        };
        if packet.traffic == Traffic::Signalling && heard {
            self.checkers.delivered(self.now, &packet);
        }
        if let Some(phone) = self.homes.get(&packet.to.ip()).copied() {
            self.at_phone(phone, |phone, now, sent| phone.handle_packet(now, &packet, sent));
            return;
        }
        if let Some(host) = self.hosts.get_mut(&packet.to.ip()) {
            host.push_back((self.now, packet));
            return;
        }
        if let Some(recording) = &mut self.recording {
            recording.packet(self.now, &packet);
        }
        if packet.form != Form::Datagram {
            self.deliver_stream(&packet);
        } else if self.listeners.contains(&(Transport::Udp, packet.to)) {
            let flow = Flow { transport: Transport::Udp, local: packet.to, remote: packet.from, connection: None };
            self.control(Input::Datagram { flow, bytes: &packet.bytes });
        } else if let Some((worker, stream)) = self.bound.get(&packet.to).copied() {
            self.receive_media(worker, stream, &packet);
        } else {
            self.misdirected += 1;
        }
    }

    /// A piece of a connection came to the gateway; it gets it in portions, as from a socket.
    fn deliver_stream(&mut self, packet: &Packet) {
        let streams = [Transport::Tcp, Transport::Tls];
        let listens = streams.into_iter().find(|transport| self.listeners.contains(&(*transport, packet.to)));
        let (happened, reply) = self.links.receive(packet, listens);
        if let Some(reply) = reply {
            self.send(reply);
        }
        match happened {
            Happened::Nothing => {}
            Happened::Opened(connection, flow) => self.control(Input::StreamOpened { connection, flow }),
            Happened::Closed(connection) => self.control(Input::StreamClosed { connection }),
            Happened::Bytes(flow) => {
                for bytes in packet.bytes.chunks(PORTION_BYTES) {
                    self.control(Input::StreamBytes { flow, bytes });
                }
            }
        }
    }

    /// A card's worker reads its sockets at its tick, one without a card at once.
    fn receive_media(&mut self, worker: WorkerId, stream: StreamId, packet: &Packet) {
        let index = usize::from(worker.0);
        let Some(seat) = self.workers.get_mut(index) else { return };
        let fits = seat.batch.push(stream, packet.from, self.now, &packet.bytes);
        self.misdirected += u64::from(!fits);
        if seat.worker.layout().ports == 0 || seat.batch.is_full() {
            seat.worker.receive(self.now, &mut seat.batch, &mut seat.out);
            self.send_media(index);
        }
    }
}

impl CardSeat {
    /// Builds the card of the configuration, with a telephone on every station.
    fn open(now: Instant, settings: &WorldSettings, index: usize, seed: &Seed) -> Self {
        let config = &settings.config;
        let card = &config.cards[index];
        let Driver::Virtual { crystal_ppm, ports } = card.driver;
        let stations: Vec<&StationConfig> = config.stations.iter().filter(|s| s.card == index).collect();
        let ports = (0..ports).map(|port| {
            let station = stations.iter().find(|station| station.port.0 == port);
            station.map_or_else(VirtualPort::line, |station| VirtualPort::station(behaviour(station)))
        });
        let mut rng = seed.fork(&format!("card {}", card.name)).rng();
        let card_config = CardConfig::default();
        let mut virtual_card = VirtualCard::new(VirtualConfig {
            name: card.name.clone(),
            crystal_ppm: settings.crystals.get(&card.name).copied().unwrap_or(crystal_ppm),
            ports: ports.collect(),
            seed: rng.next_u64(),
            ..VirtualConfig::default()
        });
        let mut hands: Vec<_> = virtual_card.hands().into_iter().map(Some).collect();
        let people = stations.iter().filter_map(|station| {
            let hand = hands.get_mut(usize::from(station.port.0))?.take()?;
            Some(Station::new(now, station.name.clone(), station.port, hand, settings.records))
        });
        let people = people.collect();
        let count = virtual_card.info().ports.len() as u16;
        let halves =
            Box::new(virtual_card).open(now, &card_config).expect("a virtual card opens with the default block");
        CardSeat {
            lines: halves.lines,
            audio: halves.audio.expect("a virtual card has sound"),
            input: Block::new(count, card_config.block_samples),
            output: Block::new(count, card_config.block_samples),
            stations: people,
        }
    }
}

/// What the configuration says that the person at a telephone does by himself.
fn behaviour(station: &StationConfig) -> Behaviour {
    let handset = &station.handset;
    Behaviour {
        answers_after: handset.answers_after,
        hangs_up_after: handset.hangs_up_after,
        off_hook: handset.off_hook,
        plays: match handset.plays {
            Plays::Silence => tipring_virtual::Plays::Silence,
            Plays::Echo { after, weaker_tenth_db } => tipring_virtual::Plays::Echo { after, weaker_tenth_db },
            Plays::Tone { hertz, level_tenth_dbm0 } => tipring_virtual::Plays::Tone { hertz, level_tenth_dbm0 },
        },
    }
}

impl WorkerSeat {
    fn new(now: Instant, ports: u16, samples: u16) -> Self {
        let layout = WorkerLayout { ports, block_samples: samples, streams_max: STREAMS_PER_WORKER };
        WorkerSeat {
            worker: Worker::new(layout, now),
            out: MediaOut::new(&layout),
            batch: PacketBatch::new(),
            next_tick: None,
            blocks: (Block::new(ports, samples), Block::new(ports, samples)),
        }
    }
}
