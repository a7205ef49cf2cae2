//! The control core: inputs, outputs, dispatch, deadline.
//!
//! ```text
//!   Input ──▶ sip::Endpoint ──▶ Event ─┐                    ┌─▶ sip::Endpoint ──▶ Output::Datagram
//!         ──▶ line::LinePort ─▶ trunk ─┼▶ call::b2bua::step ┼─▶ line::LinePort ─▶ Output::Line
//!         ──▶ media event ─────────────┘   (per call)       └─▶ audio ─────────▶ Output::Media
//! ```
//!
//! One input is worked off completely before `handle` returns: what one part says to another waits
//! in a queue that lives only inside the call. The parts:
//! `access` who may call, `calls` legs and trunk events, `audio` streams and tones, `lines` ports,
//! `circuits` ISUP,
//! `routing` from number to those who are rung, `forking` branches, `forwarding` diversions and
//! redirects, `transfer` REFER and Replaces, `click_to_dial` calls by an operator, `renegotiation`
//! offers inside a dialog, `identity` who is shown to whom, `digits` INFO, `keepalive` trunks asked whether
//! they are there, `late` calls whose callee makes the offer, `carried` what one leg says to the other
//! beside the call, `events` who watches whom, `messages` texts, `proxying` calls that are passed on or
//! redirected, `passed` their records, `summaries` what an operator can ask.

mod access;
mod audio;
mod blast;
mod calls;
mod carried;
mod carriers;
mod circuits;
mod click_to_dial;
mod digits;
mod encapsulation;
mod events;
mod forking;
mod forwarding;
mod identity;
mod interworking;
mod keepalive;
mod late;
mod lines;
mod messages;
mod passed;
mod proxying;
mod renegotiation;
mod ringback;
mod routing;
mod rtp_ports;
mod summaries;
mod transfer;

pub use circuits::{CircuitSummary, Maintenance};
pub use keepalive::Reach;
pub use messages::{Text, TextChange};
pub use summaries::{CallSummary, Counts, PhoneSummary, TrunkSummary};

use crate::call::b2bua::Side;
use crate::call::branches::BranchId;
use crate::call::{Call, CallId};
use crate::config::Config;
use crate::ids::Slab;
use crate::isup::Cic;
use crate::limits;
use crate::media::{MediaCommand, MediaEvent, Tone};
use crate::rng::{Secrets, Seed};
use crate::sip::registration::{Binding, Change};
use crate::sip::{
    self, Actions, Carried, ConnectionId, Endpoint, Flow, Method, Question, Records, SessionId, Transport,
};
use crate::time::{Deadlines, Duration, Instant};
use crate::trunk::{Cause, Release, TrunkEvent};
use blast::Guarded;
use lines::Port;
use rtp_ports::RtpPorts;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use tipring_hal::{LineCommand, LineEvent};

pub use crate::ids::{CardId, GroupId, PortId, WorkerId};

/// What can happen to the control core. One closed enum.
pub enum Input<'a> {
    /// A UDP datagram; `flow.local` is the address it was sent to.
    Datagram { flow: Flow, bytes: &'a [u8] },
    /// Bytes of a connection, TCP or TLS, either side opened.
    StreamBytes { flow: Flow, bytes: &'a [u8] },
    /// A connection that we asked for is open.
    StreamOpened { connection: ConnectionId, flow: Flow },
    /// The peer of a TLS connection that was accepted has shown a certificate that was verified, for these hosts.
    StreamVerified { connection: ConnectionId, flow: Flow, identities: Vec<String> },
    /// A connection closed, or could not be opened.
    StreamClosed { connection: ConnectionId },
    /// A datagram could not be sent (ICMP, no route).
    Unreachable { flow: Flow },
    /// The resolver answered an [`Output::Resolve`].
    Resolved { question: Question, records: Records },
    /// Something happened on a line.
    Line(CardId, LineEvent),
    /// A media worker says something.
    Media(WorkerId, MediaEvent),
    /// A message of the far end of a circuit group, from its circuit on.
    Isup { group: GroupId, octets: &'a [u8] },
    /// What the voice path of a circuit carries towards us has changed; `None` is silence.
    CircuitSound { group: GroupId, cic: u16, sound: Option<Tone> },
    /// Messages can be carried to the far end of a circuit group from now on, or cannot.
    FarEnd { group: GroupId, available: bool },
    /// An operator ends a call.
    Hangup { call: u64 },
    /// An operator wants one party to talk to a number; the call, or why not, is written to `outcome`.
    Dial { from: &'a str, to: &'a str, outcome: &'a mut Result<u64, String> },
    /// An operator wants something of a circuit of the group `isup/NAME`; why it cannot be is written to `outcome`.
    Maintain { group: &'a str, circuit: u16, what: Maintenance, outcome: &'a mut Result<(), String> },
    /// An operator wants no new calls.
    Drain,
    /// Registrations that were kept over a restart, each with its account.
    Restore(Vec<(String, Binding)>),
    /// Texts that were kept over a restart; after the registrations.
    RestoreTexts(Vec<Text>),
    /// Addresses that were shut out before a restart, and until when.
    RestoreBans(Vec<(IpAddr, Instant)>),
    /// The deadline has come.
    Tick,
}

/// What the control core wants done.
#[derive(Debug)]
pub enum Output {
    /// Send a datagram from `flow.local` to `flow.remote`.
    Datagram { flow: Flow, bytes: Vec<u8> },
    /// Write to an open connection.
    StreamBytes { connection: ConnectionId, bytes: Vec<u8> },
    /// Open a connection, TCP or TLS, and call it `connection`. With TLS the certificate must be for `domain`,
    /// or else for the address.
    OpenStream { connection: ConnectionId, transport: Transport, remote: SocketAddr, domain: Option<String> },
    /// Ask the resolver; [`Input::Resolved`] is owed, with nothing in it when it does not know.
    Resolve { question: Question },
    /// Close a connection.
    CloseStream { connection: ConnectionId },
    /// Command a port.
    Line(PortId, LineCommand),
    /// Command a media worker. `Start` is to be preceded by binding the stream's local address.
    Media(WorkerId, MediaCommand),
    /// Carry this message to the far end of a circuit group, from its circuit on.
    Isup { group: GroupId, octets: Vec<u8> },
    /// A call ended.
    Record(crate::call::record::CallRecord),
    /// A registration came or went; for whoever keeps them over a restart.
    Binding(Change),
    /// A text waits for its phone, or does not any more; for the same.
    Text(TextChange),
    /// An address is shut out from now on; for the same.
    Ban { address: IpAddr, until: Instant },
}

/// Outputs of one input, in order. Empty when `handle` starts.
#[derive(Debug, Default)]
pub struct Outbox {
    outputs: Vec<Output>,
    spare: Vec<Vec<u8>>,
}

impl Outbox {
    /// Adds an output.
    pub fn push(&mut self, output: Output) {
        self.outputs.push(output);
    }
    /// Takes all outputs out, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = Output> + '_ {
        self.outputs.drain(..)
    }
    /// Gives back the buffer of a datagram that has been sent, to be used for a later one.
    pub fn reuse(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < limits::SPARE_BUFFERS {
            self.spare.push(buffer);
        }
    }
    /// Number of outputs.
    pub fn len(&self) -> usize {
        self.outputs.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }
}

/// Who asked to be looked at when a time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Port(PortId),
    Call(CallId),
    Events,
    Messages,
    Keepalives,
    Circuit(GroupId, Cic),
}

/// What one part has to say to another, inside one input.
#[allow(clippy::large_enum_variant, reason = "a handful of values that live for one input; a box would cost more")]
enum Work {
    Sip(sip::Event),
    Trunk(CallId, Side, TrunkEvent),
    /// A branch speaks; `status` is the SIP status of a REL that was one.
    Branch {
        call: CallId,
        branch: BranchId,
        event: TrunkEvent,
        status: Option<u16>,
        /// What its message brings for the caller.
        carried: Option<Box<Carried>>,
    },
}

impl Work {
    fn branch(call: CallId, branch: BranchId, event: TrunkEvent) -> Work {
        Work::Branch { call, branch, event, status: None, carried: None }
    }

    /// The same, with what the message of a branch brings for the caller.
    fn bringing(mut self, what: Carried) -> Work {
        if let Work::Branch { carried, .. } = &mut self {
            *carried = (!what.is_empty()).then(|| Box::new(what));
        }
        self
    }
}

/// What a step of the gateway carries along.
struct Step<'a> {
    now: Instant,
    out: &'a mut Outbox,
    sip: Actions,
    queue: VecDeque<Work>,
    /// What the message of a branch that is worked off brings for the caller.
    carried: Carried,
}

/// The control plane: every call, dialog, transaction and line state.
pub struct Gateway {
    config: Config,
    endpoint: Endpoint,
    access: access::Access,
    carriers: carriers::Carriers,
    /// Kept from input to input for its room alone: what is refused allocates nothing.
    actions: Actions,
    secrets: Secrets,
    calls: Slab<Call>,
    calls_begun: u64,
    /// The last calls that have ended, at most [`limits::ENDED_CALLS`].
    ended: VecDeque<crate::call::record::CallRecord>,
    sessions: BTreeMap<SessionId, (CallId, Side)>,
    /// Sessions of branches that have not won.
    branch_sessions: BTreeMap<SessionId, (CallId, BranchId)>,
    hunts: forking::Hunts,
    ports: BTreeMap<PortId, Port>,
    circuits: circuits::Circuits,
    streams: Slab<audio::StreamRecord>,
    rtp_ports: RtpPorts,
    deadlines: Deadlines<Owner>,
    events: events::Events,
    messages: messages::Messages,
    keepalives: keepalive::Keepalives,
    /// Requests inside dialogs that wait for the answer of the other leg.
    crossings: BTreeMap<sip::RequestId, carried::Crossing>,
    /// Calls that we passed on.
    passed: passed::Passed,
    draining: bool,
    faults: u64,
    survives: bool,
}

impl Gateway {
    /// A gateway at rest: no call, no registration. `seed` decides every tag, branch and SSRC.
    pub fn new(config: Config, seed: Seed, now: Instant) -> Self {
        let mut gateway = Gateway {
            endpoint: Endpoint::new(access::settings(&config), &seed.fork("sip")),
            access: access::Access::new(&config),
            carriers: carriers::Carriers::new(now, &config, &seed.fork("carriers")),
            // Room for buffers that come back, so that a refused packet finds it there.
            actions: Actions { spare: Vec::with_capacity(limits::SPARE_BUFFERS), ..Actions::default() },
            secrets: seed.fork("media").secrets(),
            calls: Slab::default(),
            calls_begun: 0,
            ended: VecDeque::new(),
            sessions: BTreeMap::new(),
            branch_sessions: BTreeMap::new(),
            hunts: forking::Hunts::new(&seed.fork("hunting")),
            ports: lines::ports(&config),
            circuits: circuits::Circuits::new(&config),
            streams: Slab::default(),
            rtp_ports: RtpPorts::new(config.rtp.first_port, config.rtp.last_port),
            deadlines: Deadlines::default(),
            events: events::Events::default(),
            messages: messages::Messages::default(),
            keepalives: keepalive::Keepalives::new(&config, now),
            crossings: BTreeMap::new(),
            passed: passed::Passed::default(),
            draining: false,
            faults: 0,
            survives: false,
            config,
        };
        gateway.endpoint.set_guard(access::guard(&gateway.config, &seed.fork("access")));
        for id in gateway.ports.keys().copied().collect::<Vec<_>>() {
            gateway.reschedule_port(id);
        }
        gateway.schedule_keepalives();
        gateway
    }

    /// Takes one input at `now` and says in `out` what is to be done. `out` must be empty: what the
    /// last input caused has to be carried out before the next one.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Outbox) {
        debug_assert!(out.is_empty(), "the outbox is drained after each input");
        self.endpoint.set_full(!self.has_room());
        let mut sip = std::mem::take(&mut self.actions);
        sip.spare.append(&mut out.spare);
        let mut step = Step { now, out, sip, queue: VecDeque::new(), carried: Carried::default() };
        match input {
            Input::Datagram { flow, bytes } => self.endpoint.handle_datagram(now, flow, bytes, &mut step.sip),
            Input::StreamBytes { flow, bytes } => {
                self.endpoint.handle_stream_bytes(now, flow, bytes, &mut step.sip);
            }
            Input::StreamOpened { connection, flow } => {
                self.endpoint.handle_stream_opened(now, connection, flow, &mut step.sip);
            }
            Input::StreamVerified { connection, flow, identities } => {
                self.endpoint.handle_stream_verified(now, connection, flow, identities, &mut step.sip);
            }
            Input::StreamClosed { connection } => {
                self.access.handle_stream_closed(connection);
                self.carriers.handle_stream_closed(now, connection);
                self.endpoint.handle_stream_closed(now, connection, &mut step.sip);
            }
            Input::Unreachable { flow } => self.endpoint.handle_unreachable(now, flow, &mut step.sip),
            Input::Resolved { question, records } => {
                self.endpoint.handle_resolved(now, &question, &records, &mut step.sip);
            }
            Input::Line(card, event) => self.handle_line(card, event, &mut step),
            Input::Media(worker, event) => self.handle_media(worker, event, &mut step),
            Input::Isup { group, octets } => self.handle_isup(group, octets, &mut step),
            Input::CircuitSound { group, cic, sound } => self.handle_circuit_sound(group, cic, sound, &mut step),
            Input::FarEnd { group, available } => self.handle_far_end(group, available, &mut step),
            Input::Hangup { call } => self.hang_up(call, &mut step),
            Input::Dial { from, to, outcome } => *outcome = self.dial(from, to, &mut step),
            Input::Maintain { group, circuit, what, outcome } => {
                *outcome = self.maintain(group, circuit, what, &mut step);
            }
            Input::Drain => self.drain(&mut step),
            Input::Restore(bindings) => self.restore(now, bindings),
            Input::RestoreTexts(texts) => self.restore_texts(texts, &mut step),
            Input::RestoreBans(bans) => self.endpoint.ban(now, &bans),
            Input::Tick => self.handle_tick(&mut step),
        }
        self.work_off(&mut step);
        for change in self.access.changes() {
            step.out.push(Output::Binding(change));
        }
        for change in self.messages.changes() {
            step.out.push(Output::Text(change));
        }
        self.actions = step.sip;
        self.actions.spare.truncate(limits::SPARE_BUFFERS);
        debug_assert!(out.len() <= limits::OUTPUTS_PER_INPUT, "one input caused too much");
    }

    /// When [`Input::Tick`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        let times = [
            self.endpoint.deadline(),
            self.access.deadline(),
            self.carriers.deadline(),
            self.circuits.deadline(),
            self.deadlines.next(),
        ];
        times.into_iter().flatten().min()
    }

    fn handle_tick(&mut self, step: &mut Step<'_>) {
        self.endpoint.handle_timeout(step.now, &mut step.sip);
        self.access.handle_timeout(step.now);
        self.time_carriers(step);
        self.time_circuits(step);
        while let Some((_, owner)) = self.deadlines.take_due(step.now) {
            match owner {
                Owner::Port(id) => self.handle_port_timeout(id, step),
                Owner::Call(id) => self.handle_call_timeout(id, step),
                Owner::Events => self.handle_events_timeout(step.now),
                Owner::Messages => self.handle_messages_timeout(step),
                Owner::Circuit(id, cic) => self.handle_circuit_timeout(id, cic, step),
                Owner::Keepalives => self.handle_keepalives(step),
            }
            self.work_off(step);
        }
    }

    /// Carries what the parts say to each other, until nobody has anything to say.
    fn work_off(&mut self, step: &mut Step<'_>) {
        loop {
            for event in step.sip.events.drain(..) {
                step.queue.push_back(Work::Sip(event));
            }
            let Some(work) = step.queue.pop_front() else {
                for phone in self.access.take_changed() {
                    self.touch(&format!("phone/{phone}"));
                    self.deliver_kept(&phone, step);
                }
                if !step.sip.events.is_empty() {
                    continue;
                }
                // Watchers are told when everything else has settled.
                if !self.events.has_news() {
                    break;
                }
                self.tell_watchers(step);
                continue;
            };
            match work {
                Work::Sip(event) => {
                    let whom = self.guarded_by(&event);
                    self.guarded(whom, step, |gateway, step| gateway.handle_sip(event, step));
                }
                Work::Trunk(call, side, event) => self.guarded(Guarded::Call(call), step, |gateway, step| {
                    gateway.handle_trunk(call, side, event, step);
                }),
                Work::Branch { call, branch, event, status, carried } => {
                    step.carried = carried.map(|c| self.brought_by_branch(call, branch, *c)).unwrap_or_default();
                    self.guarded(Guarded::Call(call), step, |gateway, step| {
                        gateway.handle_branch(call, branch, &event, status, step);
                    });
                    step.carried = Carried::default();
                }
            }
        }
        for send in step.sip.sends.drain(..) {
            step.out.push(match send {
                sip::Send::Datagram { flow, bytes } => Output::Datagram { flow, bytes },
                sip::Send::Stream { connection, bytes } => Output::StreamBytes { connection, bytes },
                sip::Send::OpenStream { connection, transport, remote, domain } => {
                    Output::OpenStream { connection, transport, remote, domain }
                }
                sip::Send::Resolve { question } => Output::Resolve { question },
                sip::Send::CloseStream { connection } => Output::CloseStream { connection },
            });
        }
    }

    fn handle_sip(&mut self, event: sip::Event, step: &mut Step<'_>) {
        match event {
            sip::Event::Incoming { session, request, flow } => self.incoming(session, &request, flow, step),
            sip::Event::Request { server, request, flow } => self.request(server, &request, flow, step),
            sip::Event::InDialog { session, server, request } if request.method == Method::Refer => {
                self.refer(session, server, &request, step);
            }
            sip::Event::InDialog { session, server, request } => self.in_dialog(session, server, &request, step),
            sip::Event::Offer { session, server, request } => self.offered(session, server, &request, step),
            sip::Event::Progress { session, status, body, response } => {
                self.progressed(session, status, body.as_ref(), &response, step);
            }
            sip::Event::Answered { session, body, response } => {
                self.answered(session, body.as_ref(), &response, step);
            }
            sip::Event::EarlyAnswer { session, body } => self.established(session, Some(&body), step),
            sip::Event::Established { session, body } => self.established(session, body.as_ref(), step),
            sip::Event::Acknowledged { session, body } => self.acknowledged(session, body.as_ref(), step),
            sip::Event::Response { request, session, outcome, flow } => {
                self.offer_answered(request, session, &outcome, step);
                self.keepalive_answered(request, &outcome, step.now);
                if !self.crossed(request, &outcome, step) && !self.carrier_answered(request, &outcome, flow, step) {
                    self.message_answered(request, &outcome, step);
                }
            }
            sip::Event::AuthFailed(failure) => self.auth_failed(&failure, step),
            sip::Event::Undecided { server, request, flow } => self.undecided(server, &request, flow, step),
            sip::Event::PassedOn { server, request, status } => self.passed_on(server, &request, status, step),
            sip::Event::NotifyDue { subscription } => self.notify_due(subscription, step),
            sip::Event::Unsubscribed { subscription } => self.unsubscribed(subscription),
            sip::Event::Ended { session, how } => self.session_ended(session, &how, step),
        }
    }

    /// Ends a call by its number, for an operator.
    fn hang_up(&mut self, number: u64, step: &mut Step<'_>) {
        let call = self.calls.iter().find(|(_, call)| call.number == number).map(|(id, _)| id);
        if let Some(id) = call {
            self.release_call(id, Release::here(Cause::NORMAL), step);
        }
    }

    /// No new calls; running ones are released. A later tick takes up what is left over.
    fn drain(&mut self, step: &mut Step<'_>) {
        self.draining = true;
        self.leave_carriers(step);
        self.write_passed(step);
        /// Calls released by one input; the rest at the next tick.
        const CALLS_PER_STEP: usize = 200;
        let up: Vec<CallId> = self.calls.iter().filter(|(_, c)| c.is_up()).map(|(id, _)| id).collect();
        for id in up.iter().take(CALLS_PER_STEP) {
            self.release_call(*id, Release::here(Cause::NORMAL), step);
        }
        for id in up.iter().skip(CALLS_PER_STEP) {
            self.deadlines.schedule(step.now, Owner::Call(*id));
        }
    }

    /// Sessions and transactions at this moment: what memory grows with.
    pub fn load(&self) -> usize {
        let counts = self.endpoint.counts();
        counts.sessions + counts.client_transactions + counts.server_transactions + counts.subscriptions
    }

    /// Whether new calls are refused for good.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Whether nothing is left after a drain: no call, and no registration at a carrier.
    pub fn is_at_rest(&self) -> bool {
        self.calls.is_empty() && self.carriers.have_left()
    }

    /// Time that a call may ring or be set up before cause 19 (T9 of Q.764: 90 to 180 s).
    const ANSWER_WITHIN: Duration = Duration::from_secs(180);
}

#[cfg(test)]
mod tests;
