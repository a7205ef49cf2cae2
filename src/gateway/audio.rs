//! Audio of calls: RTP ports, streams, joins, tones.

use super::calls::Place;
use super::{Gateway, Output, Step, WorkerId};
use crate::call::CallId;
use crate::call::b2bua::Side;
use crate::call::leg::{Leg, SipLeg};
use crate::ids::Id;
use crate::limits;
use crate::media::{
    End, JitterBounds, MediaCommand, MediaEvent, Service, Stream, StreamConfig, StreamId, StreamSettings,
};
use crate::sdp::{self, Agreed, Capabilities, Codec};
use crate::trunk::{Cause, Release};
use g7xx::g711::Law;
use std::net::SocketAddr;
use tracing::{debug, warn};

/// A stream that exists or is promised in SDP.
#[derive(Debug)]
pub(super) struct StreamRecord {
    /// Its call, once there is one.
    call: Option<CallId>,
    port: u16,
}

impl Gateway {
    /// Promises a port and a stream for a SIP leg whose peer has IPv4 or IPv6, before anything about it is sent.
    ///
    /// Fails with cause 47 when no port or stream is left.
    pub(super) fn prepare_stream(&mut self, is_ipv4: bool, codecs: &[Codec]) -> Result<Prepared, Cause> {
        if self.streams.len() >= limits::STREAMS_PER_WORKER {
            return Err(Cause::NO_RESOURCE);
        }
        let port = self.rtp_ports.take().ok_or(Cause::NO_RESOURCE)?;
        let stream = self.streams.insert(StreamRecord { call: None, port }).cast();
        let ours = Capabilities {
            address: self.config.rtp.address_for(is_ipv4),
            port,
            codecs: codecs.to_vec(),
            events: true,
            // RFC 8866 5.2: numeric, unique for this session; 63 bits suit every reader.
            session_id: self.secrets.next_u64() >> 1,
            version: 1,
        };
        Ok(Prepared { stream, ours })
    }

    /// Remembers whose a promised stream is.
    pub(super) fn own_stream(&mut self, stream: StreamId, call: CallId) {
        if let Some(record) = self.streams.get_mut(stream.cast()) {
            record.call = Some(call);
        }
    }

    /// Lets both sides hear each other. Does nothing when they do already.
    pub(super) fn open_audio(&mut self, id: CallId, step: &mut Step<'_>) -> Result<(), Cause> {
        let Some(call) = self.calls.get(id) else { return Ok(()) };
        if call.audio_open {
            return Ok(());
        }
        // The called side first: what it agreed to decides what the caller is answered.
        let preferred = self.settle(id, Side::B, None)?;
        self.settle(id, Side::A, preferred)?;
        let service = self.calls.get(id).and_then(|call| match call.leg(Side::B) {
            Some(Leg::Service(service)) => Some(*service),
            _ => None,
        });
        for side in [Side::A, Side::B] {
            self.start_stream(id, side, service, step);
        }
        let Some(call) = self.calls.get_mut(id) else { return Ok(()) };
        call.audio_open = true;
        let worker = call.worker;
        let (a, b) = (end_of(Some(&call.a)), end_of(call.leg(Side::B)));
        let listens = self.listen_for_digits(id);
        let commands = match (a, b, service) {
            (Some(a), Some(b), _) => vec![MediaCommand::Join(a, b)],
            (Some(End::Port(port)), None, Some(Service::Milliwatt)) => {
                vec![MediaCommand::PlayTone(port, super::lines::MILLIWATT)]
            }
            // A line that hears itself is an echo test.
            (Some(End::Port(port)), None, Some(Service::Echo)) => {
                vec![MediaCommand::Join(End::Port(port), End::Port(port))]
            }
            _ => vec![],
        };
        for command in commands.into_iter().chain(listens) {
            step.out.push(Output::Media(worker, command));
        }
        self.circuits_open(id);
        Ok(())
    }

    /// Makes sure that the SIP leg of `side` knows what is agreed; returns its codec.
    fn settle(&mut self, id: CallId, side: Side, preferred: Option<Codec>) -> Result<Option<Codec>, Cause> {
        let wish = self.wish_for(id, Place::Side(side));
        let Some(Leg::Sip(leg)) = self.calls.get_mut(id).and_then(|call| call.leg_mut(side)) else {
            return Ok(None);
        };
        leg.settle(preferred, wish).map_err(|_| Cause::BEARER)?;
        Ok(leg.agreed.map(|agreed| agreed.codec))
    }

    fn start_stream(&mut self, id: CallId, side: Side, service: Option<Service>, step: &mut Step<'_>) {
        let first = (self.secrets.next_u32(), self.secrets.next_u32(), self.secrets.next_u32());
        let jitter = JitterBounds {
            min_ms: u16::try_from(self.config.rtp.jitter.0.as_millis()).unwrap_or(u16::MAX),
            max_ms: u16::try_from(self.config.rtp.jitter.1.as_millis()).unwrap_or(u16::MAX),
        };
        let Some(call) = self.calls.get_mut(id) else { return };
        let (worker, number) = (call.worker, call.number);
        let Some(Leg::Sip(leg)) = call.leg_mut(side) else { return };
        if leg.started {
            return;
        }
        leg.started = true;
        let settings = settings_of(leg.agreed.as_ref());
        let local = SocketAddr::new(leg.ours.address, leg.ours.port);
        debug!(call = number, leg = ?side, %local, remote = ?settings.remote, law = ?settings.law, "stream starts");
        let stream = Stream::new(StreamConfig {
            id: leg.stream,
            local,
            settings,
            ssrc: first.0,
            first_sequence: first.1 as u16,
            first_timestamp: first.2,
            jitter,
            service: service.filter(|_| side == Side::A),
        });
        step.out.push(Output::Media(worker, MediaCommand::Start(Box::new(stream))));
    }

    /// Tells the worker what was agreed anew, when the stream runs already.
    pub(super) fn refresh_stream(&mut self, id: CallId, side: Side, step: &mut Step<'_>) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let worker = call.worker;
        let Some(Leg::Sip(leg)) = call.leg_mut(side) else { return };
        if leg.started {
            let command = MediaCommand::Update(leg.stream, settings_of(leg.agreed.as_ref()));
            step.out.push(Output::Media(worker, command));
        }
    }

    /// Ends the audio of a call; streams come back by [`MediaEvent::Stopped`].
    pub(super) fn close_audio(&mut self, id: CallId, step: &mut Step<'_>) {
        self.stop_ringback(id, step);
        let plays_circuit = self.plays_circuit(id);
        let Some(call) = self.calls.get_mut(id) else { return };
        let worker = call.worker;
        let was_open = std::mem::replace(&mut call.audio_open, false);
        let plays_tone = plays_circuit || matches!(call.b, Some(Leg::Service(Service::Milliwatt)));
        let mut unused = Vec::new();
        for leg in [Some(&mut call.a), call.b.as_mut()].into_iter().flatten() {
            match leg {
                Leg::Sip(leg) if leg.started => {
                    step.out.push(Output::Media(worker, MediaCommand::Stop(leg.stream)));
                }
                Leg::Sip(leg) => unused.push(leg.stream),
                Leg::Line(port) if was_open => {
                    step.out.push(Output::Media(worker, MediaCommand::Part(End::Port(port.port))));
                    if plays_tone {
                        step.out.push(Output::Media(worker, MediaCommand::StopTone(port.port)));
                    }
                }
                _ => {}
            }
        }
        for stream in unused {
            self.forget_stream(stream);
        }
    }

    /// Gives back the name and port of a stream that no worker has.
    pub(super) fn forget_stream(&mut self, stream: StreamId) {
        if let Some(record) = self.streams.remove(stream.cast()) {
            self.rtp_ports.give_back(record.port);
        }
    }

    /// A media worker said something.
    pub(super) fn handle_media(&mut self, worker: WorkerId, event: MediaEvent, step: &mut Step<'_>) {
        match event {
            MediaEvent::Digit { end: End::Port(port), digit, .. } => {
                self.handle_digit(worker, port, digit, step);
                self.digit_of_port(worker, port, digit, step);
            }
            MediaEvent::Digit { end: End::Stream(stream), digit, .. } => {
                let id: Id<StreamRecord> = stream.cast();
                let id = self.streams.get(id).and_then(|record| record.call);
                let call = id.and_then(|id| self.calls.get(id));
                debug!(call = call.map(|call| call.number), %digit, "digit received");
                self.digit_of_stream(id, stream, digit, step);
            }
            MediaEvent::Stopped(stream) => {
                debug!(stream = ?stream.id(), statistics = ?stream.statistics(), "stream ended");
                self.forget_stream(stream.id());
            }
            MediaEvent::BindFailed(stream) => {
                let id: Id<StreamRecord> = stream.id().cast();
                let call = self.streams.get(id).and_then(|record| record.call);
                warn!(stream = ?stream.id(), "RTP port could not be opened");
                self.forget_stream(stream.id());
                if let Some(call) = call {
                    self.forget_started(call, stream.id());
                    self.release_call(call, Release::here(Cause::NO_RESOURCE), step);
                }
            }
        }
    }

    /// A stream that never started must not be stopped.
    fn forget_started(&mut self, id: CallId, stream: StreamId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let branches = call.fork.as_deref_mut().into_iter().flat_map(|fork| &mut fork.legs);
        let branches = branches.map(|branch| &mut branch.leg);
        for leg in [Some(&mut call.a), call.b.as_mut()].into_iter().flatten().chain(branches) {
            if let Leg::Sip(leg) = leg
                && leg.stream == stream
            {
                leg.started = false;
            }
        }
    }
}

/// A stream that is promised.
#[derive(Debug)]
pub(super) struct Prepared {
    pub stream: StreamId,
    pub ours: Capabilities,
}

fn end_of(leg: Option<&Leg>) -> Option<End> {
    match leg? {
        Leg::Sip(leg) => Some(End::Stream(leg.stream)),
        Leg::Line(port) => Some(End::Port(port.port)),
        Leg::Circuit { .. } | Leg::Service(_) | Leg::Operator => None,
    }
}

/// The codecs that a leg without restrictions gets.
pub(super) const CODECS: [Codec; 2] = [Codec::Pcmu, Codec::Pcma];

fn settings_of(agreed: Option<&Agreed>) -> StreamSettings {
    let law = |codec| match codec {
        Codec::Pcmu => Law::Mu,
        Codec::Pcma => Law::A,
    };
    match agreed {
        Some(agreed) => StreamSettings {
            remote: Some(agreed.remote),
            law: law(agreed.codec),
            payload_type: agreed.payload_type.value(),
            event_payload_type: agreed.event_payload_type.map(sdp::PayloadType::value),
            packet_samples: u16::from(agreed.ptime_ms) * 8,
            sends: agreed.sends,
            receives: agreed.receives,
        },
        // Our offer is out and the answer comes with the ACK: listen to nobody, send nothing.
        None => StreamSettings {
            remote: None,
            law: Law::Mu,
            payload_type: Codec::Pcmu.payload_type().value(),
            event_payload_type: None,
            packet_samples: 160,
            sends: false,
            receives: false,
        },
    }
}

impl SipLeg {
    /// Reads an answer to our offer; an unreadable one leaves things as they are.
    pub(super) fn read_answer(&mut self, body: Option<&crate::sip::Body>) {
        let owes_answer = if self.incoming { self.offer.is_none() } else { !self.late };
        if let Some(body) = body.filter(|_| owes_answer) {
            let Some(body) = body.part("application/sdp") else { return };
            match sdp::accept(&body.bytes, &self.ours) {
                // A peer may hold from the start.
                Ok(agreed) => {
                    // Of what was not offered nothing is said.
                    self.wants = sdp::Direction::of(
                        agreed.receives || !self.told.receives(),
                        agreed.sends || !self.told.sends(),
                    );
                    let (sends, receives) =
                        (agreed.sends && self.told.sends(), agreed.receives && self.told.receives());
                    self.agreed = Some(Agreed { sends, receives, ..agreed });
                }
                Err(reject) => debug!(why = %reject, "answer is not acceptable"),
            }
        }
    }

    /// Whether the offer, if there is one, can be answered; what its peer wants is known from then on.
    pub(super) fn can_answer(&mut self) -> Result<(), sdp::Reject> {
        let Some(offer) = &self.offer else { return Ok(()) };
        let (_, agreed) = sdp::answer(offer, &self.ours)?;
        self.wants = sdp::Direction::of(agreed.receives, agreed.sends);
        Ok(())
    }

    /// The codecs of an offer that we share, the one we would answer first.
    pub(super) fn liked(&self) -> Vec<Codec> {
        let agreed = self.agreed.map(|agreed| agreed.codec);
        let answered = || Some(sdp::answer(self.offer.as_ref()?, &self.ours).ok()?.1.codec);
        agreed.or_else(answered).into_iter().collect()
    }

    /// Decides what the peer is told: an answer to its offer, or our own offer, either as far as the party behind
    /// the other leg wants it (`wish`). Says the same when it was told already.
    pub(super) fn settle(&mut self, preferred: Option<Codec>, wish: sdp::Direction) -> Result<(), sdp::Reject> {
        if self.sent.is_some() {
            return Ok(());
        }
        if let Some(codec) = preferred
            && let Some(at) = self.ours.codecs.iter().position(|c| *c == codec)
        {
            self.ours.codecs[..=at].rotate_right(1);
        }
        match &self.offer {
            Some(offer) => {
                let (_, wanted) = sdp::answer(offer, &self.ours)?;
                let (answer, agreed) = sdp::answer_with(offer, &self.ours, wish)?;
                self.sent = Some(answer);
                self.wants = sdp::Direction::of(wanted.receives, wanted.sends);
                self.told = sdp::Direction::of(agreed.sends, agreed.receives);
                self.agreed = Some(agreed);
            }
            None => {
                self.sent = Some(sdp::offer_with(&self.ours, wish));
                self.told = wish;
            }
        }
        Ok(())
    }
}
