//! The event loop around [`Gateway`]: one closed enum of wake-ups.
//!
//! ```text
//!   UDP, TCP, lines, media events, operators, deadline, signals
//!        |  WakeUp
//!        v
//!   read the clock once -> Gateway::handle -> Outbox -> sockets, lines, media threads
//! ```
//!
//! Each wake-up does a bounded amount of work; then the lines, the media threads and the deadline
//! get their turn before the next one is taken.

use super::cards::{CardLines, Hands};
use super::control_protocol::{
    CallRow, CircuitRow, Maintain, PhoneRow, Request, Response, StatusRow, StoryRow, TrunkRow,
};
use super::control_socket::Asked;
use super::dns::{Resolved, Resolver};
use super::media_thread::{self, MediaCounters, MediaThread};
use super::sctp::{self, Heard};
use super::sctp_wire;
use super::sip_sockets::{Received, SipSockets, StreamEvent};
use super::store::{Kept, Store};
use super::tls::Tls;
use super::{Clock, Reload, ShellError, rtp_io};
use crate::gateway::{CardId, CircuitSummary, Gateway, Input, Maintenance, Outbox, Output, PortId, WorkerId};
use crate::limits;
use crate::media::{MediaCommand, MediaEvent};
use crate::sip::{ConnectionId, Flow, Question, Records};
use crate::switch::{FarEnds, Said};
use crate::time::{Duration, Instant};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use tipring_hal::LineCommand;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc};

/// Datagrams of one socket in one wake-up.
const DATAGRAMS_PER_CYCLE: usize = 64;
/// Events of connections in one wake-up.
const STREAM_EVENTS_PER_CYCLE: usize = 64;
/// Events of one card in one wake-up.
const LINE_EVENTS_PER_CYCLE: usize = 256;
/// Events of one media thread in one wake-up.
const MEDIA_EVENTS_PER_CYCLE: usize = 1_024;
/// Ticks in one wake-up; what is still due after them has its turn in the next.
const TICKS_PER_CYCLE: usize = 16;
/// How long calls may take to end while the gateway goes down.
const DRAIN_TIME: Duration = Duration::from_secs(4);
/// How long peers of M3UA may take to say that they know that we are gone.
const WITHDRAW_TIME: Duration = Duration::from_millis(500);
/// How soon to look again while the gateway goes down, and while media commands wait.
const RETRY: Duration = Duration::from_millis(20);
/// How long it holds from which address packets to a peer leave: networks change.
const SOURCE_TTL: Duration = Duration::from_secs(60);

/// Sessions and transactions (about a kilobyte each, and more) whose memory is worth a look at the heap.
const LOAD_WORTH_TRIMMING: usize = 64;

/// Why the loop woke up.
enum WakeUp {
    /// Datagrams can be read from this socket.
    Datagrams(usize),
    /// Something happened on a connection.
    Stream(StreamEvent),
    /// A card has something to say.
    Lines,
    /// A media thread has something to say.
    Media,
    /// An operator asks.
    Asked(Asked),
    /// A time has come: of the core, of a card, of a recording.
    Time,
    /// The process is to end.
    Signal,
    Resolved(Resolved),
    Reload,
    /// Something happened on an association of M3UA.
    Association(sctp_wire::Event),
}

/// What an output leads to beside itself.
enum FollowUp {
    Media(WorkerId, MediaEvent),
    Closed(ConnectionId),
    Unreachable(Flow),
    Resolved(Question, Records),
    FarEnd(Said),
    /// A far exchange that M3UA leads to.
    M3ua(Heard),
}

/// What the loop owns.
pub(super) struct Parts {
    pub(super) clock: Clock,
    pub(super) gateway: Gateway,
    pub(super) sockets: SipSockets,
    pub(super) streams: mpsc::Receiver<StreamEvent>,
    pub(super) resolver: Resolver,
    pub(super) resolved: mpsc::Receiver<Resolved>,
    pub(super) reload: Reload,
    pub(super) cards: Vec<CardLines>,
    pub(super) hands: Hands,
    /// By the number of the worker; `None` for a card without sound.
    pub(super) media: Vec<Option<MediaThread>>,
    pub(super) media_wakes: Arc<Notify>,
    pub(super) requests: mpsc::Receiver<Asked>,
    /// Switches of the circuit groups whose transport is simulated.
    pub(super) far_ends: FarEnds,
    /// Far exchanges that M3UA leads to.
    pub(super) m3ua: sctp::Trunks,
    pub(super) associations: mpsc::Receiver<sctp_wire::Event>,
    /// Keeps registrations over a restart.
    pub(super) store: Option<Store>,
    /// What it kept over the last one.
    pub(super) kept: Kept,
}

/// The loop.
pub(super) struct Control {
    parts: Parts,
    outbox: Outbox,
    follow_ups: VecDeque<FollowUp>,
    buffer: Vec<u8>,
    interrupt: Signal,
    terminate: Signal,
    reload: Signal,
    /// The most that the core held since memory was given back.
    load_peak: usize,
    /// When the process ends at the latest, once it was told to.
    ends_at: Option<Instant>,
    /// When M3UA has been taken out of service at the latest, once that began.
    withdrawn_by: Option<Instant>,
    /// A card that failed is reported once.
    reported_over: Vec<bool>,
    /// So is a refused priority, for all threads together.
    reported_priority: bool,
}

impl Control {
    /// Puts the loop together; needs the runtime.
    ///
    /// # Errors
    /// When the system gives no signals.
    pub(super) fn new(parts: Parts) -> Result<Control, ShellError> {
        let signals = |kind| signal(kind).map_err(|source| ShellError::System { what: "signals", source });
        let reported_over = vec![false; parts.media.len()];
        Ok(Control {
            parts,
            outbox: Outbox::default(),
            follow_ups: VecDeque::new(),
            buffer: vec![0; limits::SIP_MESSAGE_BYTES + 1],
            interrupt: signals(SignalKind::interrupt())?,
            terminate: signals(SignalKind::terminate())?,
            reload: signals(SignalKind::hangup())?,
            load_peak: 0,
            ends_at: None,
            withdrawn_by: None,
            reported_over,
            reported_priority: false,
        })
    }

    /// Runs until the process is told to end and the calls have ended.
    pub(super) async fn run(&mut self) {
        let kept = std::mem::take(&mut self.parts.kept);
        let now = self.parts.clock.now();
        if !kept.bindings.is_empty() {
            self.feed(now, Input::Restore(kept.bindings));
        }
        if !kept.texts.is_empty() {
            self.feed(now, Input::RestoreTexts(kept.texts));
        }
        loop {
            let wake_up = self.next().await;
            let now = self.parts.clock.now();
            match wake_up {
                WakeUp::Datagrams(socket) => self.take_datagrams(now, socket),
                WakeUp::Stream(event) => self.take_stream_events(now, event),
                WakeUp::Asked(asked) => self.take_request(now, asked),
                WakeUp::Signal if self.ends_at.is_some() => return, // told twice: at once
                WakeUp::Signal => self.begin_to_end(now),
                WakeUp::Resolved((question, records)) => self.feed(now, Input::Resolved { question, records }),
                WakeUp::Reload => {
                    let _ = self.reload(); // told in the log
                }
                WakeUp::Association(event) => self.take_association_events(now, event),
                WakeUp::Lines | WakeUp::Media | WakeUp::Time => {}
            }
            self.look_at_lines(now);
            self.look_at_media(now);
            self.look_at_deadline(now);
            self.look_at_far_ends(now);
            self.look_at_m3ua(now);
            self.parts.hands.answer_listeners(now);
            self.look_at_memory();
            if self.is_at_end(now) {
                return;
            }
        }
    }

    /// Lets what is queued for peers leave, and ends the media threads.
    pub(super) async fn close(mut self) {
        for (worker, thread) in self.parts.media.iter().enumerate() {
            let Some(counters) = thread.as_ref().map(MediaThread::counters) else { continue };
            if counters != MediaCounters::default() {
                tracing::info!(worker, ?counters, "what a media thread lost");
            }
        }
        self.parts.media.clear();
        self.parts.sockets.finish().await;
    }

    async fn next(&mut self) -> WakeUp {
        let deadline = self.deadline();
        let parts = &mut self.parts;
        let (sockets, cards, clock) = (&parts.sockets, &mut parts.cards, parts.clock);
        let time = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(clock.to_tokio(at)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            socket = poll_fn(|context| sockets.poll_readable(context)) => WakeUp::Datagrams(socket),
            Some(event) = parts.streams.recv() => WakeUp::Stream(event),
            () = poll_fn(|context| {
                let ready = cards.iter_mut().any(|card| card.poll_ready(context).is_ready());
                if ready { Poll::Ready(()) } else { Poll::Pending }
            }) => WakeUp::Lines,
            () = parts.media_wakes.notified() => WakeUp::Media,
            Some(asked) = parts.requests.recv() => WakeUp::Asked(asked),
            () = time => WakeUp::Time,
            _ = self.interrupt.recv() => WakeUp::Signal,
            _ = self.terminate.recv() => WakeUp::Signal,
            _ = self.reload.recv() => WakeUp::Reload,
            Some(resolved) = parts.resolved.recv() => WakeUp::Resolved(resolved),
            Some(event) = parts.associations.recv() => WakeUp::Association(event),
        }
    }

    /// The earliest time at which something is to be done.
    fn deadline(&self) -> Option<Instant> {
        let parts = &self.parts;
        let lines = parts.cards.iter().filter_map(CardLines::deadline);
        let waiting = parts.media.iter().flatten().any(MediaThread::has_waiting) || self.ends_at.is_some();
        let retry = waiting.then(|| parts.clock.now() + RETRY);
        lines
            .chain(parts.gateway.deadline())
            .chain(parts.far_ends.deadline())
            .chain(parts.m3ua.deadline())
            .chain(parts.hands.deadline())
            .chain(retry)
            .min()
    }

    /// Gives the core an input and does what it wants done, and what follows from that.
    fn feed(&mut self, now: Instant, input: Input<'_>) {
        self.parts.gateway.handle(now, input, &mut self.outbox);
        self.carry_out(now);
        self.follow_up(now);
    }

    fn follow_up(&mut self, now: Instant) {
        for _ in 0..limits::OUTPUTS_PER_INPUT {
            let input = match self.follow_ups.pop_front() {
                Some(FollowUp::Media(worker, event)) => Input::Media(worker, event),
                Some(FollowUp::Closed(connection)) => Input::StreamClosed { connection },
                Some(FollowUp::Unreachable(flow)) => Input::Unreachable { flow },
                Some(FollowUp::Resolved(question, records)) => Input::Resolved { question, records },
                Some(FollowUp::FarEnd(Said::Sound(group, cic, sound))) => Input::CircuitSound { group, cic, sound },
                Some(FollowUp::M3ua(Heard::FarEnd(group, available))) => Input::FarEnd { group, available },
                Some(FollowUp::FarEnd(Said::Octets(group, octets)) | FollowUp::M3ua(Heard::Isup(group, octets))) => {
                    self.parts.gateway.handle(now, Input::Isup { group, octets: &octets }, &mut self.outbox);
                    self.carry_out(now);
                    continue;
                }
                None => return,
            };
            self.parts.gateway.handle(now, input, &mut self.outbox);
            self.carry_out(now);
        }
    }

    fn carry_out(&mut self, now: Instant) {
        let mut outbox = std::mem::take(&mut self.outbox);
        let mut sent = smallvec::SmallVec::<[Vec<u8>; limits::SPARE_BUFFERS]>::new();
        for output in outbox.drain() {
            match output {
                Output::Datagram { flow, bytes } => {
                    if self.parts.sockets.send(&flow, &bytes).is_err() {
                        self.follow_ups.push_back(FollowUp::Unreachable(flow));
                    }
                    if sent.len() < limits::SPARE_BUFFERS {
                        sent.push(bytes);
                    }
                }
                Output::StreamBytes { connection, bytes } => {
                    if !self.parts.sockets.write(connection, bytes) {
                        self.follow_ups.push_back(FollowUp::Closed(connection));
                    }
                }
                Output::OpenStream { connection, transport, remote, domain } => {
                    self.parts.sockets.connect(connection, transport, remote, domain);
                }
                Output::Resolve { question: Question::Source(remote) } => {
                    let addresses = self.parts.sockets.source(remote).into_iter().collect();
                    let records = Records { addresses, ttl: SOURCE_TTL, ..Records::default() };
                    self.follow_ups.push_back(FollowUp::Resolved(Question::Source(remote), records));
                }
                Output::Resolve { question } => self.parts.resolver.ask(question),
                Output::CloseStream { connection } => self.parts.sockets.close(connection),
                Output::Line(port, command) => self.command_line(now, port, command),
                Output::Media(worker, command) => self.command_media(worker, command),
                Output::Isup { group, octets } if self.parts.m3ua.has(group) => {
                    self.parts.m3ua.send(now, group, octets);
                    self.hear_m3ua();
                }
                Output::Isup { group, octets } => {
                    self.parts.far_ends.handle(now, group, &octets);
                    self.hear_far_ends();
                }
                Output::Binding(change) => {
                    if let Some(store) = &mut self.parts.store {
                        store.note(now, self.parts.clock.wall(), change);
                    }
                }
                Output::Text(change) => {
                    if let Some(store) = &mut self.parts.store {
                        store.note_text(now, self.parts.clock.wall(), change);
                    }
                }
                Output::Record(record) => tracing::debug!(?record, "call record"),
            }
        }
        sent.into_iter().for_each(|buffer| outbox.reuse(buffer));
        self.outbox = outbox; // keeps its room
    }

    fn command_line(&mut self, now: Instant, port: PortId, command: LineCommand) {
        let Some(card) = self.parts.cards.get_mut(usize::from(port.card.0)) else { return };
        if let Err(error) = card.lines.command(now, port.port, command) {
            tracing::warn!(card = %card.name, port = port.port.0, %error, "a card refused a command");
        }
    }

    fn command_media(&mut self, worker: WorkerId, command: MediaCommand) {
        let thread = self.parts.media.get_mut(usize::from(worker.0)).and_then(Option::as_mut);
        let MediaCommand::Start(stream) = command else {
            if let Some(thread) = thread {
                thread.command(command);
            }
            return;
        };
        let local = stream.config().local;
        let refused = match (thread, rtp_io::bind(local)) {
            (Some(thread), Ok(socket)) => match thread.start_stream(stream, socket) {
                Ok(()) => return,
                Err(stream) => {
                    tracing::warn!("a media thread is overloaded; a call is refused");
                    stream
                }
            },
            (Some(_), Err(error)) => {
                tracing::warn!(%local, %error, "an RTP address cannot be used");
                stream
            }
            (None, _) => stream,
        };
        self.follow_ups.push_back(FollowUp::Media(worker, MediaEvent::BindFailed(refused)));
    }

    fn take_datagrams(&mut self, now: Instant, socket: usize) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..DATAGRAMS_PER_CYCLE {
            match self.parts.sockets.receive(socket, &mut buffer) {
                Some((flow, Received::Bytes(length))) => {
                    self.feed(now, Input::Datagram { flow, bytes: &buffer[..length] });
                }
                Some((_, Received::Error)) => {}
                None => break,
            }
        }
        self.buffer = buffer;
    }

    fn take_stream_events(&mut self, now: Instant, first: StreamEvent) {
        self.take_stream_event(now, first);
        for _ in 1..STREAM_EVENTS_PER_CYCLE {
            let Ok(event) = self.parts.streams.try_recv() else { break };
            self.take_stream_event(now, event);
        }
    }

    fn take_stream_event(&mut self, now: Instant, event: StreamEvent) {
        match event {
            StreamEvent::Accepted { transport, stream, local, remote } => {
                if self.parts.sockets.adopt(now, transport, stream, local, remote).is_none() {
                    tracing::warn!(%remote, "too many connections; one is refused");
                }
            }
            StreamEvent::Opened { connection, stream, local, remote } => {
                let flow = self.parts.sockets.opened(connection, stream, local, remote);
                self.feed(now, Input::StreamOpened { connection, flow });
            }
            StreamEvent::Verified { connection, identities } => {
                if let Some(flow) = self.parts.sockets.flow(connection) {
                    self.feed(now, Input::StreamVerified { connection, flow, identities });
                }
            }
            StreamEvent::Bytes { connection, bytes } => {
                // Bytes of a connection that was closed meanwhile are of no use to anybody.
                if let Some(flow) = self.parts.sockets.flow(connection) {
                    self.feed(now, Input::StreamBytes { flow, bytes: &bytes });
                }
            }
            StreamEvent::Failed { connection } => {
                self.parts.sockets.gave_up();
                self.feed(now, Input::StreamClosed { connection });
            }
            StreamEvent::Closed { connection } => {
                if self.parts.sockets.flow(connection).is_some() {
                    self.parts.sockets.closed(connection);
                    self.feed(now, Input::StreamClosed { connection });
                }
            }
        }
    }

    fn take_request(&mut self, now: Instant, (request, answer): Asked) {
        let gateway = &self.parts.gateway;
        let response = match request {
            Request::Calls => Response::Calls(gateway.call_summaries().into_iter().map(|c| row(now, c)).collect()),
            Request::Phones => {
                let row = |p: crate::gateway::PhoneSummary| PhoneRow {
                    name: p.name,
                    number: p.number,
                    state: if p.contacts.is_empty() { p.state.to_owned() } else { p.contacts.join(" ") },
                };
                Response::Phones(gateway.phone_summaries(now).into_iter().map(row).collect())
            }
            Request::Trunks => Response::Trunks(trunks(gateway.trunk_summaries(now), &self.parts.m3ua, now)),
            Request::Circuits { group } => match gateway.circuit_summaries(group.as_deref()) {
                Some(circuits) => Response::Circuits(circuits.into_iter().map(circuit_row).collect()),
                None => Response::Failed(format!("there is no circuit group {}", group.unwrap_or_default())),
            },
            Request::Maintain { group, circuit, what } => {
                let what = match what {
                    Maintain::Block => Maintenance::Block,
                    Maintain::Unblock => Maintenance::Unblock,
                    Maintain::Reset => Maintenance::Reset,
                };
                let mut outcome = Err("the gateway did not say".to_owned());
                self.feed(now, Input::Maintain { group: &group, circuit, what, outcome: &mut outcome });
                outcome.map_or_else(Response::Failed, |()| Response::Done)
            }
            Request::Status => {
                let phones = gateway.phone_summaries(now);
                let sip = || phones.iter().filter(|phone| phone.name.starts_with("phone/"));
                Response::Status(StatusRow {
                    calls: gateway.call_summaries().len(),
                    phones: sip().count(),
                    registered: sip().filter(|phone| !phone.contacts.is_empty()).count(),
                    trunks: trunks(gateway.trunk_summaries(now), &self.parts.m3ua, now),
                    banned: gateway.banned(now).iter().map(ToString::to_string).collect(),
                    draining: gateway.is_draining(),
                })
            }
            Request::Explain { call } => match gateway.call_story(now, call) {
                Some((record, ended)) => Response::Story(Box::new(StoryRow::new(record, ended))),
                None => Response::Failed(format!(
                    "there is no call {call}, or it ended too long ago: the last {} are remembered",
                    limits::ENDED_CALLS
                )),
            },
            Request::Hangup { call } => {
                if gateway.call_summaries().iter().any(|c| c.number == call) {
                    self.feed(now, Input::Hangup { call });
                    Response::Done
                } else {
                    Response::Failed(format!("there is no call {call}"))
                }
            }
            Request::Call { from, to } => {
                let mut outcome = Err("the gateway did not say".to_owned());
                self.feed(now, Input::Dial { from: &from, to: &to, outcome: &mut outcome });
                match outcome {
                    Ok(call) => Response::Begun { call },
                    Err(why) => Response::Failed(why),
                }
            }
            Request::Drain => {
                self.feed(now, Input::Drain);
                Response::Done
            }
            Request::Reload => match self.reload() {
                Ok(()) => Response::Done,
                Err(error) => Response::Failed(error),
            },
            Request::Handset { station, action } => {
                self.parts.hands.act(now, &station, action, answer);
                return;
            }
        };
        let _ = answer.send(response); // the client may have gone
    }

    /// Reads the configuration again and takes over the certificates; calls go on, over what they were made
    /// with.
    fn reload(&mut self) -> Result<(), String> {
        let loaded =
            (self.parts.reload.0)().and_then(|config| Tls::new(&config.tls).map_err(|error| format!("TLS: {error}")));
        match loaded {
            Ok(tls) => {
                self.parts.sockets.exchange_certificates(tls);
                tracing::info!("certificates reloaded");
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "nothing is reloaded");
                Err(error)
            }
        }
    }

    fn look_at_lines(&mut self, now: Instant) {
        for number in 0..self.parts.cards.len() {
            let Ok(card) = u16::try_from(number) else { return };
            for _ in 0..LINE_EVENTS_PER_CYCLE {
                let Some(event) = self.parts.cards[number].event(now) else { break };
                self.feed(now, Input::Line(CardId(card), event));
            }
        }
    }

    fn look_at_media(&mut self, now: Instant) {
        for number in 0..self.parts.media.len() {
            let Ok(worker) = u16::try_from(number) else { return };
            let mut count = 0;
            while let Some(event) = self.parts.media[number].as_mut().and_then(MediaThread::event) {
                self.feed(now, Input::Media(WorkerId(worker), event));
                count += 1;
                if count == MEDIA_EVENTS_PER_CYCLE {
                    self.parts.media_wakes.notify_one(); // the rest has its turn in the next cycle
                    break;
                }
            }
            let Some(thread) = self.parts.media[number].as_mut() else { continue };
            thread.flush();
            if thread.is_priority_refused() && !self.reported_priority {
                self.reported_priority = true;
                tracing::info!(
                    "the system refuses real-time priority (CAP_SYS_NICE); sound may stutter on a busy machine"
                );
            }
            if thread.is_over() && !self.reported_over[number] {
                self.reported_over[number] = true;
                tracing::error!(worker = number, "a card failed; its lines have no sound until the next start");
            }
        }
    }

    fn look_at_deadline(&mut self, now: Instant) {
        for _ in 0..TICKS_PER_CYCLE {
            if self.parts.gateway.deadline().is_none_or(|at| at > now) {
                return;
            }
            self.feed(now, Input::Tick);
        }
    }

    fn look_at_far_ends(&mut self, now: Instant) {
        if self.parts.far_ends.deadline().is_some_and(|at| at <= now) {
            self.parts.far_ends.handle_timeout(now);
            self.hear_far_ends();
            self.follow_up(now);
        }
    }

    /// Notes what the simulated switches say.
    fn hear_far_ends(&mut self) {
        while let Some(said) = self.parts.far_ends.take() {
            self.follow_ups.push_back(FollowUp::FarEnd(said));
        }
        while let Some((group, ended)) = self.parts.far_ends.take_ended() {
            tracing::debug!(group = group.0, ?ended, "a call ended at the simulated switch");
        }
    }

    fn take_association_events(&mut self, now: Instant, first: sctp_wire::Event) {
        let mut next = Some(first);
        for _ in 0..STREAM_EVENTS_PER_CYCLE {
            let Some(event) = next.take() else { break };
            self.parts.m3ua.handle(now, event);
            self.hear_m3ua();
            self.follow_up(now);
            next = self.parts.associations.try_recv().ok();
        }
        if let Some(event) = next {
            self.parts.m3ua.handle(now, event);
            self.hear_m3ua();
            self.follow_up(now);
        }
    }

    fn look_at_m3ua(&mut self, now: Instant) {
        if self.parts.m3ua.deadline().is_some_and(|at| at <= now) {
            self.parts.m3ua.handle_timeout(now);
            self.hear_m3ua();
            self.follow_up(now);
        }
    }

    /// Notes what far exchanges say by M3UA.
    fn hear_m3ua(&mut self) {
        while let Some(heard) = self.parts.m3ua.take() {
            self.follow_ups.push_back(FollowUp::M3ua(heard));
        }
    }

    /// After a burst its memory goes back to the system, once three quarters of it are over.
    fn look_at_memory(&mut self) {
        let load = self.parts.gateway.load();
        self.load_peak = self.load_peak.max(load);
        if self.load_peak >= LOAD_WORTH_TRIMMING && load < self.load_peak / 4 {
            self.load_peak = load;
            media_thread::return_free_memory();
        }
    }

    fn begin_to_end(&mut self, now: Instant) {
        self.ends_at = Some(now + DRAIN_TIME);
        tracing::info!("going down: no new calls, and the running ones end");
        self.feed(now, Input::Drain);
    }

    /// Whether the process may end: told to, and no call is left or time is up.
    fn is_at_end(&mut self, now: Instant) -> bool {
        let Some(ends_at) = self.ends_at else { return false };
        let calls = self.parts.gateway.call_summaries();
        if self.parts.gateway.is_at_rest() || now >= ends_at {
            if !calls.is_empty() && !self.parts.m3ua.is_withdrawing() {
                tracing::warn!(calls = calls.len(), "calls did not end in time");
            }
            // The peers are told that nobody is there any more, and may take a moment to say that they know.
            if !self.parts.m3ua.is_withdrawing() {
                self.parts.m3ua.withdraw(now);
                self.withdrawn_by = Some(now + WITHDRAW_TIME);
            }
            return self.parts.m3ua.is_withdrawn() || self.withdrawn_by.is_some_and(|at| now >= at);
        }
        false
    }
}

fn trunks(summaries: Vec<crate::gateway::TrunkSummary>, m3ua: &sctp::Trunks, now: Instant) -> Vec<TrunkRow> {
    let row = |trunk: crate::gateway::TrunkSummary| TrunkRow { name: trunk.name, to: trunk.to, state: trunk.state };
    let isup = m3ua.summaries(now).into_iter().map(|(name, to, state)| TrunkRow { name, to, state });
    summaries.into_iter().map(row).chain(isup).collect()
}

fn circuit_row(circuit: CircuitSummary) -> CircuitRow {
    CircuitRow {
        group: circuit.group,
        circuit: circuit.cic,
        state: circuit.state.to_owned(),
        direction: circuit.direction.to_owned(),
        blocked: circuit.blocked.to_owned(),
        call: circuit.call,
    }
}

fn row(now: Instant, call: crate::gateway::CallSummary) -> CallRow {
    CallRow {
        call: call.number,
        from: call.from,
        number: call.called,
        to: call.to.unwrap_or_default(),
        state: call.state.to_owned(),
        age_ms: u64::try_from(now.since(call.began_at).as_millis()).unwrap_or(u64::MAX),
    }
}
