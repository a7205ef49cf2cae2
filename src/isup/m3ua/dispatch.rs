//! Messages that come, by name: to the process over whose association they came, to the far exchange's state,
//! or back as ERR (RFC 4666 3.8.1).

use super::endpoint::{Destination, Endpoint, Output, Process, Role, What};
use super::error::{Code, TrafficMode, status};
use super::wire::{Class, Error, Kind, Message, SERVICE_ISUP, tag};
use super::{asp, remote};
use crate::limits;
use crate::time::Instant;

impl Endpoint {
    /// A message came over the association at `index`.
    pub(super) fn dispatch(&mut self, now: Instant, index: usize, octets: &[u8], out: &mut Vec<Output>) {
        let message = match Message::decode(octets) {
            Ok(message) => message,
            Err(error) => return self.undecodable(index, error, octets, out),
        };
        match message.kind {
            Kind::DATA => self.handle_data(index, &message, octets, out),
            Kind::ERR => self.complained(index, &message, out),
            Kind::BEAT => {
                // 3.5.6: "The receiver of a Heartbeat message MUST ... include the Heartbeat Data".
                let data = message.value(tag::HEARTBEAT);
                let answer = Message::new(Kind::BEAT_ACK);
                let answer = data.map_or(answer.clone(), |data| answer.with(tag::HEARTBEAT, data));
                self.transmit(index, 0, &answer, out);
            }
            Kind::BEAT_ACK => {} // it was heard
            Kind::DUNA | Kind::DAVA | Kind::SCON | Kind::DUPU | Kind::DRST => self.heard_of(now, index, &message, out),
            Kind::DAUD => self.audited(index, &message, out),
            kind if kind.class == Class::ROUTING || kind.class.name().is_none() => {
                self.refuse(index, Code::UNSUPPORTED_CLASS, Some(octets), out);
            }
            kind if !Kind::NAMED.iter().any(|(named, _)| *named == kind) => {
                self.refuse(index, Code::UNSUPPORTED_TYPE, Some(octets), out);
            }
            _ => match self.associations[index].process {
                Process::Ours(_) => self.said_to_ours(now, index, &message, octets, out),
                Process::Remote(_) => self.said_to_remote(now, index, &message, out),
            },
        }
    }

    fn undecodable(&mut self, index: usize, error: Error, octets: &[u8], out: &mut Vec<Output>) {
        self.counters.malformed += 1;
        // 3.8.1: "Error messages MUST NOT be generated in response to other Error messages".
        if octets.get(2..4) == Some(&[Kind::ERR.class.value(), Kind::ERR.number]) {
            return;
        }
        let code = match error {
            Error::Version(_) => Code::INVALID_VERSION,
            Error::Truncated { .. } | Error::Length { .. } => Code::PARAMETER_FIELD,
            Error::TooLong(_) | Error::TooManyParameters => Code::PROTOCOL_ERROR,
        };
        self.refuse(index, code, Some(octets), out);
    }

    /// ERR: an operator is to know. What was asked is asked again when T(ack) ends.
    fn complained(&mut self, index: usize, message: &Message, out: &mut Vec<Output>) {
        let code =
            message.word(tag::ERROR).and_then(|code| u8::try_from(code).ok()).map_or(Code::PROTOCOL_ERROR, Code::new);
        let remote = Some(self.associations[index].remote);
        self.tell(remote, What::Complaint(code), out);
    }

    /// About processes, where ours is the one that asks.
    fn said_to_ours(&mut self, now: Instant, index: usize, message: &Message, octets: &[u8], out: &mut Vec<Output>) {
        use asp::Event;
        let is_ours = self.is_our_context(message);
        let event = match message.kind {
            Kind::ASPUP_ACK => Event::UpAck,
            Kind::ASPDN_ACK => Event::DownAck,
            Kind::ASPAC_ACK if is_ours => Event::ActiveAck,
            Kind::ASPIA_ACK if is_ours => Event::InactiveAck,
            Kind::NTFY => return self.notified(now, index, message, out),
            Kind::ASPUP | Kind::ASPDN | Kind::ASPAC | Kind::ASPIA if self.settings.role != Role::Ipsp => {
                return self.refuse(index, Code::UNEXPECTED_MESSAGE, Some(octets), out);
            }
            Kind::ASPUP => Event::PeerUp,
            Kind::ASPDN => Event::PeerDown,
            Kind::ASPAC => match self.activation(message) {
                Ok(()) => Event::PeerActive,
                Err(code) => return self.refuse_context(index, code, message, out),
            },
            Kind::ASPIA if is_ours => Event::PeerInactive,
            Kind::ASPIA => return self.refuse_context(index, Code::INVALID_CONTEXT, message, out),
            _ => return, // an acknowledgement for another routing context
        };
        self.advance(now, index, event, out);
    }

    /// NTFY at our process.
    fn notified(&mut self, now: Instant, index: usize, message: &Message, out: &mut Vec<Output>) {
        let Some(value) = message.word(tag::STATUS).filter(|_| self.is_our_context(message)) else { return };
        let remote = Some(self.associations[index].remote);
        self.tell(remote, What::Status(value), out);
        match value {
            status::ALTERNATE_ACTIVE => self.advance(now, index, asp::Event::Overridden, out),
            // 4.3.4.5: these do "not explicitly compel the ASP(s) receiving the message to become active"; they
            // are what one that was overridden waits for.
            status::SERVER_INACTIVE | status::SERVER_PENDING | status::INSUFFICIENT => {
                self.advance(now, index, asp::Event::Wanted, out);
            }
            _ => {}
        }
    }

    /// About processes, where the other end's is the one that asks.
    fn said_to_remote(&mut self, now: Instant, index: usize, message: &Message, out: &mut Vec<Output>) {
        use remote::Event;
        let event = match message.kind {
            Kind::ASPUP => {
                self.associations[index].asp = message.word(tag::ASP);
                Event::Up
            }
            Kind::ASPDN => Event::Down,
            Kind::ASPAC => match self.activation(message) {
                Ok(()) => Event::Active,
                Err(Code::UNSUPPORTED_MODE) => return self.refuse(index, Code::UNSUPPORTED_MODE, None, out),
                Err(code) => return self.refuse_context(index, code, message, out),
            },
            Kind::ASPIA if self.is_our_context(message) => Event::Inactive,
            Kind::ASPIA => return self.refuse_context(index, Code::INVALID_CONTEXT, message, out),
            Kind::NTFY => return, // an IPSP may tell; nothing follows from it
            _ => Event::Misplaced,
        };
        self.advance_remote(now, index, event, message, out);
    }

    fn advance_remote(
        &mut self,
        now: Instant,
        index: usize,
        event: remote::Event,
        message: &Message,
        out: &mut Vec<Output>,
    ) {
        let Process::Remote(before) = self.associations[index].process else { return };
        let (next, actions) = remote::step(before, event);
        self.associations[index].process = Process::Remote(next);
        for action in actions {
            match action {
                // 3.7.2: "reflecting any Traffic Mode Type value present in the related ASP Active message".
                asp::Action::Say(Kind::ASPAC_ACK) => {
                    let answer = Message::new(Kind::ASPAC_ACK);
                    let mode = message.word(tag::TRAFFIC_MODE);
                    let answer = mode.map_or(answer.clone(), |mode| answer.with_word(tag::TRAFFIC_MODE, mode));
                    self.transmit(index, 0, &self.within_context(answer, message), out);
                }
                asp::Action::Say(Kind::ASPIA_ACK) => {
                    let answer = self.within_context(Message::new(Kind::ASPIA_ACK), message);
                    self.transmit(index, 0, &answer, out);
                }
                action => self.carry_out(index, action, out),
            }
        }
        if before == next {
            return;
        }
        let remote = Some(self.associations[index].remote);
        self.tell(remote, What::State(next.name()), out);
        match next {
            // 4.3.4.5: told "after sending the ASP-UP-ACK, in order to inform the ASP of the current AS state". While
            // nobody else is up that state is about to change, and is told then.
            remote::State::Inactive if before == remote::State::Down => {
                self.start_heart(now, index);
                let current = match self.server {
                    super::server::State::Active => Some(status::SERVER_ACTIVE),
                    super::server::State::Inactive => Some(status::SERVER_INACTIVE),
                    super::server::State::Pending(_) => Some(status::SERVER_PENDING),
                    super::server::State::Down => None,
                };
                if let Some(current) = current {
                    self.notify(index, current, None, out);
                }
            }
            remote::State::Active => self.override_others(index, out),
            _ => {}
        }
    }

    /// 4.3.4.3, override: all traffic goes to the process that became active; the one before is told.
    fn override_others(&mut self, index: usize, out: &mut Vec<Output>) {
        if !matches!(self.settings.mode, None | Some(TrafficMode::Override)) {
            return;
        }
        let asp = self.associations[index].asp;
        for other in (0..self.associations.len()).filter(|other| *other != index) {
            let Process::Remote(state) = self.associations[other].process else { continue };
            let (next, actions) = remote::step(state, remote::Event::Overridden);
            self.associations[other].process = Process::Remote(next);
            if !actions.is_empty() {
                self.notify(other, status::ALTERNATE_ACTIVE, asp, out);
            }
        }
    }

    /// With the routing context, when the request named any (4.3.4.3).
    fn within_context(&self, answer: Message, request: &Message) -> Message {
        match (request.value(tag::ROUTING_CONTEXT), self.settings.context) {
            (Some(_), Some(ours)) => answer.with_word(tag::ROUTING_CONTEXT, ours),
            (Some(asked), None) => answer.with(tag::ROUTING_CONTEXT, asked),
            (None, _) => answer,
        }
    }

    /// Whether ASPAC can be granted (4.3.4.3).
    fn activation(&self, message: &Message) -> Result<(), Code> {
        if !self.is_our_context(message) {
            return Err(Code::NO_SERVER);
        }
        let ours = self.settings.mode.unwrap_or(TrafficMode::Override).value();
        match message.word(tag::TRAFFIC_MODE) {
            Some(mode) if mode != ours => Err(Code::UNSUPPORTED_MODE),
            _ => Ok(()),
        }
    }

    /// About destinations (3.4): what matters is whether the far exchange is among them.
    fn heard_of(&mut self, now: Instant, index: usize, message: &Message, out: &mut Vec<Output>) {
        let far = self.settings.peer.value();
        if !self.is_our_context(message) || !affected(message).any(|(mask, code)| covers(mask, code, far)) {
            return;
        }
        let destination = match message.kind {
            Kind::DUNA => Destination::Unavailable,
            Kind::SCON => match message.value(tag::CONGESTION) {
                Some(&[.., level]) if level > 0 => Destination::Congested(level),
                Some(_) => Destination::Available,
                None => Destination::Congested(1),
            },
            Kind::DUPU => {
                let user = message.word(tag::USER_CAUSE).unwrap_or(0) & 0xFFFF;
                if user != u32::from(SERVICE_ISUP) {
                    return;
                }
                Destination::NoUser(now + limits::M3UA_USER_PART_PAUSE)
            }
            _ => Destination::Available, // DAVA; DRST only asks for another way
        };
        self.set_destination(index, destination, out);
    }

    /// A message of the far exchange is proof that its user part is there.
    pub(super) fn reached(&mut self, index: usize, out: &mut Vec<Output>) {
        if matches!(self.associations[index].destination, Destination::NoUser(_)) {
            self.set_destination(index, Destination::Available, out);
        }
    }

    /// DAUD (4.5.3): we are the only destination behind us.
    fn audited(&mut self, index: usize, message: &Message, out: &mut Vec<Output>) {
        if !self.associations[index].process.is_active() || !self.is_our_context(message) {
            return;
        }
        let own = self.settings.own.value();
        for (mask, code) in affected(message).take(limits::M3UA_PARAMETERS).collect::<Vec<_>>() {
            let is_ours = covers(mask, code, own);
            let answer = if is_ours { self.about(Kind::DAVA, own) } else { self.about(Kind::DUNA, code) };
            self.transmit(index, 0, &answer, out);
        }
    }
}

/// Point codes that a message is about, each with the number of low bits that stand for any (3.4.1).
fn affected(message: &Message) -> impl Iterator<Item = (u8, u32)> + '_ {
    let value = message.value(tag::AFFECTED).unwrap_or(&[]);
    value.chunks_exact(4).filter_map(|chunk| match *chunk {
        [mask, a, b, c] => Some((mask, u32::from_be_bytes([0, a, b, c]))),
        _ => None,
    })
}

fn covers(mask: u8, code: u32, point: u32) -> bool {
    let any = 1_u32.checked_shl(u32::from(mask)).map_or(u32::MAX, |bit| bit - 1);
    code & !any == point & !any
}
