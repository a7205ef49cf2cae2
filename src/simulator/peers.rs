//! Simulated SIP phones: the SIP core as a user agent, a mouth and an ear, and somebody with habits.
//!
//! A phone registers with digest when it has an account, calls, answers, refuses, hangs up, speaks,
//! listens and presses keys (RFC 4733). What it noticed stands in its log. Like the cores it waits for
//! nobody: bytes and the time go in, packets come out.

use super::links::{Happened, Links};
use super::network::{Form, Packet, Traffic};
pub use super::noticed::Noticed;
use super::phone_audio::{Far, PhoneAudio, Received, Voice, describe, offered_events};
use super::sound::Noise;
use super::wire::{Glimpse, Kind};
use crate::rng::{Rng, Seed};
use crate::sip::{
    Actions, Body, Credentials, Ended, Endpoint, Event, Flow, Header, HeaderName, Host, Method, NameAddr,
    OutgoingInvite, OutgoingRequest, Params, Reason, Reliable, RequestId, Response, SessionId, Settings, SipUri,
    Transport, Uri,
};
use crate::time::{Duration, Instant};
use g7xx::g711::Law;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use tipring_hal::Digit;

/// First port for RTP of a phone; the next calls take the ports after it.
const RTP_PORT_FIRST: u16 = 30_000;
/// Bytes of a TCP connection that are handed over at once: less than most messages have.
pub const PORTION_BYTES: usize = 300;
/// Calls whose late final response is still noted after they ended here.
const ENDED_REMEMBERED: usize = 64;

/// What a phone is.
#[derive(Clone, Debug)]
pub struct PhoneSettings {
    /// User name: the account, and the number it calls from.
    pub user: String,
    /// Its address for SIP by UDP and TCP; TLS has the port behind it.
    pub address: SocketAddr,
    /// The gateway's, for the transport of this phone.
    pub gateway: SocketAddr,
    /// How it sends SIP; it takes all three.
    pub transport: Transport,
    /// The gateway's domain.
    pub domain: String,
    /// Of the account, if it has one.
    pub password: Option<String>,
    /// Codecs, best first.
    pub laws: Vec<Law>,
    /// Error of its clock.
    pub ppm: i32,
    /// Whether all it hears is kept, to become a file.
    pub keeps_all: bool,
    /// What happens without being told.
    pub habits: Habits,
}

impl PhoneSettings {
    /// Where it listens for a transport.
    pub fn address_for(&self, transport: Transport) -> SocketAddr {
        let behind = u16::from(transport == Transport::Tls);
        SocketAddr::new(self.address.ip(), self.address.port().saturating_add(behind))
    }
}

/// What the person at the phone does by himself. The default does nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Habits {
    /// Answers this long after the phone began to ring.
    pub answers_after: Option<Duration>,
    /// Refuses every call with this status.
    pub rejects_with: Option<u16>,
    /// Sends every call on to these numbers of the gateway, with spaces between them (302).
    pub redirects_to: Option<&'static str>,
    /// Has media for the caller while it rings (183).
    pub announces: bool,
    /// Hangs up this long after a call was answered.
    pub hangs_up_after: Option<Duration>,
    /// Gives up this long after calling, when there is no answer.
    pub gives_up_after: Option<Duration>,
    /// Offers again in a call this long after it was answered: holds it, or takes it back.
    pub offers_again_after: Option<Duration>,
    /// Calls at once beyond the first; others find the phone busy.
    pub more_calls: usize,
    /// Speaks noise in every call.
    pub speaks: bool,
}

/// A line of the log of a phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// When.
    pub at: Instant,
    /// Which call of this phone, from 1; 0: none.
    pub call: u64,
    /// What.
    pub noticed: Noticed,
}

/// A simulated SIP phone.
#[derive(Debug)]
pub struct SipPhone {
    settings: PhoneSettings,
    endpoint: Endpoint,
    links: Links,
    calls: BTreeMap<SessionId, PhoneCall>,
    calls_begun: u64,
    registration: Option<RequestId>,
    registers: u32,
    rng: Rng,
    next_port: u16,
    log: Vec<LogEntry>,
    /// Calls that ended here before the far end said its last word: Call-ID and number.
    ended: VecDeque<(String, u64)>,
    /// Legs that ended, when everything is kept.
    finished: Vec<(u64, PhoneAudio)>,
    received: Received,
}

#[derive(Debug)]
struct PhoneCall {
    number: u64,
    call_id: String,
    incoming: bool,
    answered: bool,
    audio: PhoneAudio,
    /// Media runs: both sides have described themselves.
    talking: bool,
    /// Offer that waits for the handset to be lifted; `None` for a call without one.
    offer: Option<Far>,
    /// What the person does next by himself.
    next_habit: Option<(Instant, Habit)>,
    /// When it offers again.
    next_offer: Option<Instant>,
    held: bool,
    version: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    Answer,
    HangUp,
}

impl SipPhone {
    /// A phone at rest.
    pub fn new(settings: PhoneSettings, seed: &Seed) -> Self {
        let seed = seed.fork(&format!("phone {}", settings.address));
        let by = [Transport::Udp, Transport::Tcp, Transport::Tls];
        let listeners = by.into_iter().map(|by| (by, settings.address_for(by))).collect();
        let mut sip = Settings { listeners, ..Settings::default() };
        sip.allow.extend([Method::Notify, Method::Refer]);
        sip.supported.push("replaces".to_owned());
        SipPhone {
            endpoint: Endpoint::new(Settings { server: "simulated-phone".to_owned(), ..sip }, &seed.fork("sip")),
            rng: seed.fork("media").rng(),
            links: Links::new(settings.address.ip()),
            settings,
            calls: BTreeMap::new(),
            calls_begun: 0,
            registration: None,
            registers: 0,
            next_port: RTP_PORT_FIRST,
            log: Vec::new(),
            ended: VecDeque::new(),
            finished: Vec::new(),
            received: Received::default(),
        }
    }

    /// What it is.
    pub fn settings(&self) -> &PhoneSettings {
        &self.settings
    }

    /// The person takes up other habits, for calls that come.
    pub fn set_habits(&mut self, habits: Habits) {
        self.settings.habits = habits;
    }

    /// Whether a packet gets beyond its socket: bytes of a connection that is gone do not.
    pub fn hears(&self, packet: &Packet) -> bool {
        packet.form == Form::Datagram || self.links.knows(packet)
    }

    /// All that was noticed so far.
    pub fn log(&self) -> &[LogEntry] {
        &self.log
    }

    /// Calls that are not over.
    pub fn call_count(&self) -> usize {
        self.calls.len()
    }

    /// The SIP core behind it.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The media of the latest call.
    pub fn audio(&self) -> Option<&PhoneAudio> {
        self.latest().map(|id| &self.calls[&id].audio)
    }

    /// The media of all calls, ended ones when everything is kept, with the numbers of the calls.
    pub fn legs(&self) -> impl Iterator<Item = (u64, &PhoneAudio)> {
        let finished = self.finished.iter().map(|(number, audio)| (*number, audio));
        finished.chain(self.calls.values().map(|call| (call.number, &call.audio)))
    }

    /// What came in on all legs so far.
    pub fn received(&self) -> Received {
        self.calls.values().fold(self.received, |sum, call| add(sum, call.audio.received))
    }

    /// When [`SipPhone::handle_timeout`] is due.
    pub fn next(&self) -> Option<Instant> {
        let calls = self.calls.values().flat_map(|call| {
            let habit = call.next_habit.map(|(at, _)| at);
            [call.talking.then(|| call.audio.next()), habit, call.next_offer].into_iter().flatten()
        });
        calls.chain(self.endpoint.deadline()).min()
    }

    /// Registers, or removes the registration.
    pub fn register(&mut self, now: Instant, stays: bool, sent: &mut Vec<Packet>) {
        self.register_contact(now, stays, None, sent);
    }

    /// Registers with a preference below that of others: `0.5`.
    pub fn register_with_q(&mut self, now: Instant, q: &str, sent: &mut Vec<Packet>) {
        self.register_contact(now, true, Some(q), sent);
    }

    fn register_contact(&mut self, now: Instant, stays: bool, q: Option<&str>, sent: &mut Vec<Packet>) {
        let mut actions = Actions::default();
        self.registers += 1;
        let address = self.address_of(&self.settings.user);
        let request = OutgoingRequest {
            method: Method::Register,
            target: sip_uri(None, &self.settings.domain),
            next_hop: self.flow().into(),
            from: address.clone(),
            to: address,
            contact_user: q.is_none().then(|| self.settings.user.clone()),
            sequence: None,
            headers: [Header::new(HeaderName::Expires, if stays { 3_600 } else { 0 })]
                .into_iter()
                .chain(q.map(|q| {
                    let contact = format!("<sip:{}@{}>;q={q}", self.settings.user, self.settings.address);
                    Header::new(HeaderName::Contact, contact)
                }))
                .collect(),
            body: None,
            credentials: self.credentials(),
        };
        self.registration = Some(self.endpoint.request(now, request, &mut actions));
        self.carry_out(now, actions, sent);
    }

    /// Calls a number; which call of this phone it is.
    pub fn call(&mut self, now: Instant, number: &str, sent: &mut Vec<Packet>) -> u64 {
        self.call_with(now, number, Vec::new(), sent)
    }

    fn call_with(&mut self, now: Instant, number: &str, headers: Vec<Header>, sent: &mut Vec<Packet>) -> u64 {
        let mut actions = Actions::default();
        let audio = self.new_audio(now);
        let body = describe(audio.local, 1, &self.settings.laws, offered_events());
        let invite = OutgoingInvite {
            target: sip_uri(Some(number), &self.settings.domain),
            next_hop: self.flow().into(),
            from: self.address_of(&self.settings.user),
            to: self.address_of(number),
            contact_user: self.settings.user.clone(),
            body: Some(Body::sdp(body)),
            headers,
            max_forwards: 70,
            reliable: Reliable::Off,
            credentials: self.credentials(),
        };
        let session = self.endpoint.invite(now, invite, &mut actions);
        let call_id = actions.sends.iter().find_map(|send| match send {
            crate::sip::Send::Datagram { bytes, .. } | crate::sip::Send::Stream { bytes, .. } => {
                Glimpse::of(bytes).map(|g| g.call_id.to_owned())
            }
            _ => None,
        });
        let gives_up = self.settings.habits.gives_up_after.map(|after| (now + after, Habit::HangUp));
        let number = self.add_call(session, call_id.unwrap_or_default(), false, audio, gives_up);
        self.carry_out(now, actions, sent);
        number
    }

    /// Asks the gateway to call `number` in its place (REFER), in the latest call.
    pub fn transfer(&mut self, now: Instant, number: &str, sent: &mut Vec<Packet>) {
        let refer_to = format!("<{}>", sip_uri(Some(number), &self.settings.domain));
        if let Some(session) = self.latest() {
            self.refer(now, session, &refer_to, sent);
        }
    }

    /// Asks the gateway to join the two others of its first and its latest call (REFER with Replaces).
    pub fn transfer_attended(&mut self, now: Instant, sent: &mut Vec<Packet>) {
        let first = self.calls.iter().min_by_key(|(_, call)| call.number).map(|(id, _)| *id);
        let (Some(first), Some(latest)) = (first, self.latest()) else { return };
        let Some(replaces) = self.replaces(latest) else { return };
        let uri = sip_uri(Some("consulted"), &self.settings.domain);
        let refer_to =
            format!("<{uri}?Replaces={}>", replaces.replace(';', "%3B").replace('=', "%3D").replace('@', "%40"));
        self.refer(now, first, &refer_to, sent);
    }

    /// How another message would name the dialog of a call: Call-ID and tags as the gateway has them.
    pub fn replaces(&self, session: SessionId) -> Option<String> {
        let (call_id, local_tag, remote_tag) = self.endpoint.names(session)?;
        Some(format!("{call_id};to-tag={remote_tag};from-tag={local_tag}"))
    }

    /// The session of the latest call.
    pub fn latest_session(&self) -> Option<SessionId> {
        self.latest()
    }

    /// Calls in place of a dialog that `replaces` names.
    pub fn call_replacing(&mut self, now: Instant, replaces: &str, sent: &mut Vec<Packet>) -> u64 {
        self.call_with(now, "pickup", vec![Header::new(HeaderName::Replaces, replaces)], sent)
    }

    fn refer(&mut self, now: Instant, session: SessionId, refer_to: &str, sent: &mut Vec<Packet>) {
        let mut actions = Actions::default();
        let headers = vec![Header::new(HeaderName::ReferTo, refer_to)];
        let _ = self.endpoint.request_in_dialog(now, session, Method::Refer, None, headers, &mut actions);
        self.carry_out(now, actions, sent);
    }

    /// Answers the latest call that rings here.
    pub fn answer(&mut self, now: Instant, sent: &mut Vec<Packet>) {
        let ringing = self.calls.iter().filter(|(_, c)| c.incoming && !c.answered).max_by_key(|(_, c)| c.number);
        if let Some(session) = ringing.map(|(id, _)| *id) {
            self.answer_call(now, session, sent);
        }
    }

    /// Refuses the latest call that rings here.
    pub fn reject(&mut self, now: Instant, status: u16, sent: &mut Vec<Packet>) {
        let ringing = self.calls.iter().filter(|(_, c)| c.incoming && !c.answered).max_by_key(|(_, c)| c.number);
        if let Some(session) = ringing.map(|(id, _)| *id) {
            let mut actions = Actions::default();
            self.endpoint.reject(now, session, status, Vec::new(), &mut actions);
            self.carry_out(now, actions, sent);
        }
    }

    /// Ends the latest call, whatever its state.
    pub fn hang_up(&mut self, now: Instant, sent: &mut Vec<Packet>) {
        if let Some(session) = self.latest() {
            self.hang_up_call(now, session, sent);
        }
    }

    /// Ends all calls.
    pub fn hang_up_all(&mut self, now: Instant, sent: &mut Vec<Packet>) {
        for session in self.calls.keys().copied().collect::<Vec<_>>() {
            self.hang_up_call(now, session, sent);
        }
    }

    /// The mouth says this in the latest call from now on.
    pub fn speak(&mut self, voice: Voice, until: Option<Instant>) {
        if let Some(call) = self.latest().and_then(|id| self.calls.get_mut(&id)) {
            (call.audio.voice, call.audio.until) = (voice, until);
        }
    }

    /// Presses keys in the latest call.
    pub fn press(&mut self, digits: &[Digit]) {
        if let Some(call) = self.latest().and_then(|id| self.calls.get_mut(&id)) {
            call.audio.press(digits);
        }
    }

    /// Takes a packet that came to one of its ports.
    pub fn handle_packet(&mut self, now: Instant, packet: &Packet, sent: &mut Vec<Packet>) {
        if packet.form != Form::Datagram {
            return self.handle_stream(now, packet, sent);
        }
        if packet.to != self.settings.address {
            let call = self.calls.values_mut().find(|call| call.audio.local == packet.to);
            let digit = call.and_then(|c| Some((c.number, c.audio.receive(now, &packet.bytes)?)));
            if let Some((number, digit)) = digit {
                self.note(now, number, Noticed::Digit(digit));
            }
            return;
        }
        self.note_last_word(now, &packet.bytes);
        let mut actions = Actions::default();
        let flow = Flow { transport: Transport::Udp, local: packet.to, remote: packet.from, connection: None };
        self.endpoint.handle_datagram(now, flow, &packet.bytes, &mut actions);
        self.carry_out(now, actions, sent);
    }

    /// Takes a piece of a TCP connection, in portions as a socket would give it.
    fn handle_stream(&mut self, now: Instant, packet: &Packet, sent: &mut Vec<Packet>) {
        let (happened, reply) = self.links.receive(packet, self.listens_for(packet.to));
        sent.extend(reply);
        let mut actions = Actions::default();
        match happened {
            Happened::Nothing => {}
            Happened::Opened(id, flow) => self.endpoint.handle_stream_opened(now, id, flow, &mut actions),
            Happened::Bytes(flow) => {
                self.note_last_word(now, &packet.bytes);
                for portion in packet.bytes.chunks(PORTION_BYTES) {
                    self.endpoint.handle_stream_bytes(now, flow, portion, &mut actions);
                }
            }
            Happened::Closed(id) => self.endpoint.handle_stream_closed(now, id, &mut actions),
        }
        self.carry_out(now, actions, sent);
    }

    fn listens_for(&self, address: SocketAddr) -> Option<Transport> {
        [Transport::Tcp, Transport::Tls].into_iter().find(|by| self.settings.address_for(*by) == address)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, sent: &mut Vec<Packet>) {
        let mut actions = Actions::default();
        if self.endpoint.deadline().is_some_and(|at| at <= now) {
            self.endpoint.handle_timeout(now, &mut actions);
        }
        let (mut habits, mut offers) = (Vec::new(), Vec::new());
        for (session, call) in &mut self.calls {
            while call.talking && call.audio.next() <= now {
                let (from, to) = (call.audio.local, call.audio.far.map(|far| far.address));
                call.audio.speak(now, |bytes| {
                    let to = to.unwrap_or(from);
                    sent.push(Packet { traffic: Traffic::Media, form: Form::Datagram, from, to, bytes });
                });
            }
            if let Some((_, habit)) = call.next_habit.take_if(|(at, _)| *at <= now) {
                habits.push((*session, habit));
            }
            if call.next_offer.take_if(|at| *at <= now).is_some() {
                offers.push(*session);
            }
        }
        self.carry_out(now, actions, sent);
        for session in offers {
            self.offer_again(now, session, sent);
        }
        for (session, habit) in habits {
            match habit {
                Habit::Answer => self.answer_call(now, session, sent),
                Habit::HangUp => self.hang_up_call(now, session, sent),
            }
        }
    }

    fn latest(&self) -> Option<SessionId> {
        self.calls.iter().max_by_key(|(_, call)| call.number).map(|(id, _)| *id)
    }

    fn note(&mut self, at: Instant, call: u64, noticed: Noticed) {
        self.log.push(LogEntry { at, call, noticed });
    }

    fn flow(&self) -> Flow {
        Flow {
            transport: self.settings.transport,
            local: self.settings.address_for(self.settings.transport),
            remote: self.settings.gateway,
            connection: None,
        }
    }

    fn credentials(&self) -> Option<Credentials> {
        let password = self.settings.password.clone()?;
        Some(Credentials { username: self.settings.user.clone(), password, realm: None, peer: "gateway".to_owned() })
    }

    fn address_of(&self, user: &str) -> NameAddr {
        let uri = sip_uri(Some(user), &self.settings.domain);
        NameAddr { display: None, uri, params: Params::default() }
    }

    fn new_audio(&mut self, now: Instant) -> PhoneAudio {
        let local = SocketAddr::new(self.settings.address.ip(), self.next_port);
        self.next_port = self.next_port.checked_add(2).unwrap_or(RTP_PORT_FIRST);
        PhoneAudio::new(now, local, self.settings.ppm, self.settings.keeps_all, &mut self.rng)
    }

    fn add_call(
        &mut self,
        session: SessionId,
        call_id: String,
        incoming: bool,
        mut audio: PhoneAudio,
        next_habit: Option<(Instant, Habit)>,
    ) -> u64 {
        if self.settings.habits.speaks {
            let seed = Seed::from_number(self.rng.next_u64());
            audio.voice = Voice::Noise(Noise::new(seed.rng()));
        }
        self.calls_begun += 1;
        let number = self.calls_begun;
        let call = PhoneCall {
            number,
            call_id,
            incoming,
            answered: false,
            audio,
            talking: false,
            offer: None,
            next_habit,
            next_offer: None,
            held: false,
            version: 1,
        };
        self.calls.insert(session, call);
        number
    }

    /// Both sides have described themselves: speak and listen. A later description changes only where to.
    fn talk(&mut self, now: Instant, session: SessionId, far: Option<Far>) {
        let (ppm, keeps_all) = (self.settings.ppm, self.settings.keeps_all);
        let Some(call) = self.calls.get_mut(&session) else { return };
        if far.is_some() && !call.talking {
            // The clock of the frames starts here, not when the call was made.
            let fresh = PhoneAudio::new(now, call.audio.local, ppm, keeps_all, &mut self.rng);
            let before = std::mem::replace(&mut call.audio, fresh);
            (call.audio.voice, call.audio.until) = (before.voice, before.until);
            call.talking = true;
        }
        call.audio.far = far.or(call.audio.far);
    }

    fn answer_call(&mut self, now: Instant, session: SessionId, sent: &mut Vec<Packet>) {
        let laws = self.settings.laws.clone();
        let hangs_up = self.settings.habits.hangs_up_after.map(|after| (now + after, Habit::HangUp));
        let offers = self.settings.habits.offers_again_after.map(|after| now + after);
        let Some(call) = self.calls.get_mut(&session).filter(|call| call.incoming && !call.answered) else { return };
        call.answered = true;
        call.next_habit = hangs_up;
        call.next_offer = offers;
        let (number, offer, local) = (call.number, call.offer, call.audio.local);
        let body = match offer {
            Some(far) => describe(local, 1, &[far.law], far.events),
            None => describe(local, 1, &laws, offered_events()),
        };
        self.talk(now, session, offer);
        self.note(now, number, Noticed::Answered);
        let mut actions = Actions::default();
        self.endpoint.accept(now, session, Some(Body::sdp(body)), &mut actions);
        self.carry_out(now, actions, sent);
    }

    /// Holds a call, or takes it back.
    fn offer_again(&mut self, now: Instant, session: SessionId, sent: &mut Vec<Packet>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        call.held = !call.held;
        call.version += 1;
        let body = describe(call.audio.local, call.version, &self.settings.laws, offered_events());
        let mut text = String::from_utf8_lossy(&body).into_owned();
        if call.held {
            text = text.replace("a=sendrecv", "a=sendonly");
        }
        let mut actions = Actions::default();
        self.endpoint.offer(now, session, Some(Body::sdp(text)), Vec::new(), &mut actions);
        self.carry_out(now, actions, sent);
    }

    fn hang_up_call(&mut self, now: Instant, session: SessionId, sent: &mut Vec<Packet>) {
        let mut actions = Actions::default();
        let reason = Reason { protocol: "Q.850".to_owned(), cause: Some(16), text: None, location: None };
        self.endpoint.terminate(now, session, Some(reason), &mut actions);
        self.carry_out(now, actions, sent);
    }

    fn carry_out(&mut self, now: Instant, mut actions: Actions, sent: &mut Vec<Packet>) {
        // Ends: each event is handled once, and what it causes is finite (a reply, a 180).
        while !actions.events.is_empty() || !actions.sends.is_empty() {
            for send in actions.sends.drain(..) {
                match send {
                    crate::sip::Send::Datagram { flow, bytes } => {
                        let (from, to) = (flow.local, flow.remote);
                        sent.push(Packet { traffic: Traffic::Signalling, form: Form::Datagram, from, to, bytes });
                    }
                    crate::sip::Send::OpenStream { connection, transport, remote, .. } => {
                        sent.push(self.links.open(connection, transport, remote));
                    }
                    crate::sip::Send::Stream { connection, bytes } => sent.extend(self.links.write(connection, bytes)),
                    // A phone knows its gateway by address.
                    crate::sip::Send::Resolve { .. } => {}
                    crate::sip::Send::CloseStream { connection } => sent.extend(self.links.close(connection)),
                }
            }
            for event in std::mem::take(&mut actions.events) {
                self.handle_event(now, event, &mut actions);
            }
        }
    }

    fn handle_event(&mut self, now: Instant, event: Event, actions: &mut Actions) {
        let read = |laws: &[Law], body: Option<&Body>| body.and_then(|body| Far::read(&body.bytes, laws));
        let laws = self.settings.laws.clone();
        match event {
            Event::Incoming { session, request, .. } => {
                let call_id = request.call_id().map(|id| id.into_owned()).unwrap_or_default();
                for name in [HeaderName::Diversion, HeaderName::HistoryInfo, HeaderName::ReferredBy] {
                    for value in request.headers.all(&name) {
                        let value = format!("{}: {}", name.as_str(), String::from_utf8_lossy(value));
                        self.note(now, 0, Noticed::SentOn(value));
                    }
                }
                self.incoming(now, session, call_id, request.typed_body().as_ref(), actions);
            }
            Event::Progress { session, status, body, .. } => {
                self.talk(now, session, read(&laws, body.as_ref()));
                let number = self.calls.get(&session).map(|call| call.number);
                if let Some(number) = number.filter(|_| status == 180) {
                    self.note(now, number, Noticed::Ringback);
                }
            }
            Event::Answered { session, body, .. } => {
                self.talk(now, session, read(&laws, body.as_ref()));
                let hangs_up = self.settings.habits.hangs_up_after.map(|after| (now + after, Habit::HangUp));
                let offers = self.settings.habits.offers_again_after.map(|after| now + after);
                if let Some(call) = self.calls.get_mut(&session) {
                    call.answered = true;
                    call.next_habit = hangs_up;
                    call.next_offer = offers;
                    let number = call.number;
                    self.note(now, number, Noticed::Answered);
                }
            }
            Event::Established { session, body } => self.talk(now, session, read(&laws, body.as_ref())),
            Event::Ended { session, how } => self.ended(now, session, &how),
            Event::Offer { session, server, request } => {
                let far = read(&laws, request.typed_body().as_ref());
                self.talk(now, session, far);
                let body = self.calls.get_mut(&session).map(|call| {
                    call.version += 1;
                    let (laws, events) = far.map_or((laws, offered_events()), |far| (vec![far.law], far.events));
                    Body::sdp(describe(call.audio.local, call.version, &laws, events))
                });
                self.endpoint.reply(now, server, Response::new(200).with_body(body), actions);
            }
            Event::InDialog { session, server, request } if request.method == Method::Notify => {
                let body = String::from_utf8_lossy(&request.body).into_owned();
                let status = body.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)?.parse().ok());
                if let (Some(status), Some(call)) = (status, self.calls.get(&session).map(|call| call.number)) {
                    self.note(now, call, Noticed::Transferred(status));
                }
                self.endpoint.reply(now, server, Response::new(200), actions);
            }
            Event::InDialog { server, .. } | Event::Request { server, .. } => {
                self.endpoint.reply(now, server, Response::new(200), actions);
            }
            Event::Response { request, outcome, .. } if self.registration == Some(request) => {
                self.registration = None;
                let noticed = match outcome {
                    Ok(response) if response.status == 200 => Noticed::Registered,
                    Ok(response) => Noticed::RegistrationFailed(Some(response.status)),
                    Err(_) => Noticed::RegistrationFailed(None),
                };
                self.note(now, 0, noticed);
            }
            Event::Response { session: Some(session), outcome: Ok(response), .. } => {
                self.talk(now, session, read(&laws, response.typed_body().as_ref()));
            }
            Event::Response { .. } | Event::Acknowledged { .. } | Event::EarlyAnswer { .. } | Event::AuthFailed(_) => {}
            // A telephone of the simulator accepts no subscription and passes nothing on.
            Event::Undecided { .. } | Event::PassedOn { .. } | Event::NotifyDue { .. } | Event::Unsubscribed { .. } => {
            }
        }
    }

    fn incoming(
        &mut self,
        now: Instant,
        session: SessionId,
        call_id: String,
        body: Option<&Body>,
        actions: &mut Actions,
    ) {
        let habits = self.settings.habits;
        let busy = (self.calls.len() > habits.more_calls).then_some(486);
        let offer = body.and_then(|body| Far::read(&body.bytes, &self.settings.laws));
        let unfit = (body.is_some() && offer.is_none()).then_some(488);
        if let Some(status) = habits.rejects_with.or(busy).or(unfit) {
            self.endpoint.reject(now, session, status, Vec::new(), actions);
            return;
        }
        if let Some(numbers) = habits.redirects_to {
            let contact = |number| format!("<{}>", sip_uri(Some(number), &self.settings.domain));
            let headers = numbers.split(' ').map(|number| Header::new(HeaderName::Contact, contact(number)));
            let headers = headers.collect();
            self.endpoint.reject(now, session, 302, headers, actions);
            return;
        }
        let audio = self.new_audio(now);
        let local = audio.local;
        let answers = habits.answers_after.map(|after| (now + after, Habit::Answer));
        let number = self.add_call(session, call_id, true, audio, answers);
        if let Some(call) = self.calls.get_mut(&session) {
            call.offer = offer;
        }
        self.note(now, number, Noticed::Ringing);
        match offer.filter(|_| habits.announces) {
            Some(far) => {
                self.talk(now, session, Some(far));
                let body = Body::sdp(describe(local, 1, &[far.law], far.events));
                self.endpoint.progress(now, session, 183, Some(body), Vec::new(), actions);
            }
            None => self.endpoint.progress(now, session, 180, None, Vec::new(), actions),
        }
    }

    fn ended(&mut self, now: Instant, session: SessionId, how: &Ended) {
        let Some(call) = self.calls.remove(&session) else { return };
        let cause = |reasons: Vec<Reason>| {
            let q850 = reasons.into_iter().find(|reason| reason.protocol.eq_ignore_ascii_case("Q.850"));
            q850.and_then(|reason| u8::try_from(reason.cause?).ok())
        };
        let elsewhere = match how {
            Ended::Cancelled { request } => {
                request.reasons().iter().any(|r| r.protocol.eq_ignore_ascii_case("SIP") && r.cause == Some(200))
            }
            _ => false,
        };
        let (status, cause, how) = match how {
            Ended::Rejected { status, response } => (Some(*status), cause(response.reasons()), "refused"),
            Ended::Cancelled { request } => (None, cause(request.reasons()), "cancelled"),
            Ended::Bye { request } => (None, cause(request.reasons()), "hung up by the other side"),
            Ended::Local => (None, None, "hung up here"),
            Ended::Timeout => (None, None, "no answer to a message"),
            Ended::TransportFailure => (None, None, "message not sent"),
            Ended::Expired => (None, None, "nobody refreshed the session"),
            Ended::PrackMissing => (None, None, "provisional response never acknowledged"),
            Ended::AckMissing => (None, None, "200 never acknowledged"),
        };
        if self.ended.len() >= ENDED_REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back((call.call_id, call.number));
        self.received = add(self.received, call.audio.received);
        if self.settings.keeps_all && call.talking {
            self.finished.push((call.number, call.audio));
        }
        self.note(now, call.number, Noticed::Released { status, cause, elsewhere, how });
    }

    /// The core does not tell what answered an INVITE that was cancelled; the person wants to know.
    fn note_last_word(&mut self, now: Instant, bytes: &[u8]) {
        let Some(Glimpse { kind: Kind::Response(status), call_id, method: "INVITE", .. }) = Glimpse::of(bytes) else {
            return;
        };
        if status < 300 {
            return;
        }
        if let Some(at) = self.ended.iter().position(|(id, _)| id == call_id)
            && let Some((_, call)) = self.ended.remove(at)
        {
            self.note(
                now,
                call,
                Noticed::Released { status: Some(status), cause: None, elsewhere: false, how: "last word" },
            );
        }
    }
}

fn add(a: Received, b: Received) -> Received {
    Received {
        packets: a.packets + b.packets,
        missing: a.missing + b.missing,
        late: a.late + b.late,
        strange: a.strange + b.strange,
    }
}

fn sip_uri(user: Option<&str>, host: &str) -> Uri {
    let host = host.parse().map_or_else(|_| Host::Name(host.to_owned()), Host::Ip);
    let user = user.map(str::to_owned);
    Uri::Sip(SipUri { secure: false, user, password: None, host, port: None, params: Params::default(), headers: None })
}
