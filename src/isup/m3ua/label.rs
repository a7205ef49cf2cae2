//! DATA: what goes out under our label, and which labels are for us (RFC 4666 3.3.1, 4.1.1).

use super::endpoint::{Endpoint, Output, Process, Role};
use super::error::{Code, TrafficMode};
use super::wire::{Kind, Message, ProtocolData, SERVICE_ISUP, tag};
use super::{asp, remote};
use crate::isup::Variant;

/// The signalling link selection of an ISUP message: the low bits of its circuit, so that the messages of a
/// circuit keep their order (Q.704 2.2.4). **Unverified** for ANSI: all eight bits are used; networks that
/// have five see the low five.
pub(super) fn selection(variant: Variant, user: &[u8]) -> u8 {
    let low = user.first().copied().unwrap_or(0);
    match variant {
        Variant::Itu => low & 0x0F,
        Variant::Ansi => low,
    }
}

impl Endpoint {
    /// DATA with an ISUP message.
    pub(super) fn data(&self, selection: u8, user: &[u8]) -> Message {
        let settings = &self.settings;
        let data = ProtocolData {
            origin: settings.own.value(),
            destination: settings.peer.value(),
            service: SERVICE_ISUP,
            network: settings.network,
            priority: 0,
            selection,
            user: user.to_vec(),
        };
        self.addressed(Message::new(Kind::DATA)).with(tag::PROTOCOL_DATA, &data.to_octets())
    }

    /// DATA came: it is delivered when its label is ours, counted and dropped else.
    pub(super) fn handle_data(&mut self, index: usize, message: &Message, octets: &[u8], out: &mut Vec<Output>) {
        let association = &self.associations[index];
        let takes = match association.process {
            Process::Ours(state) => state.takes_data(),
            Process::Remote(state) => state == remote::State::Active,
        };
        if !takes {
            self.counters.inactive += 1;
            return;
        }
        // 3.3.1: "where a Routing Context parameter is present" it must be one that is configured.
        if !self.is_our_context(message) {
            self.counters.other_context += 1;
            self.refuse_context(index, Code::INVALID_CONTEXT, message, out);
            return;
        }
        if let Some((ours, theirs)) = self.settings.appearance.zip(message.word(tag::NETWORK_APPEARANCE))
            && ours != theirs
        {
            self.counters.other_context += 1;
            let code = Code::INVALID_APPEARANCE;
            let error = Message::new(Kind::ERR).with_word(tag::ERROR, u32::from(code.value()));
            self.send_error(index, code, &error.with_word(tag::NETWORK_APPEARANCE, theirs), out);
            return;
        }
        let Some(value) = message.value(tag::PROTOCOL_DATA) else {
            self.counters.malformed += 1;
            self.refuse(index, Code::MISSING_PARAMETER, Some(octets), out);
            return;
        };
        let Some(data) = ProtocolData::from_octets(value) else {
            self.counters.malformed += 1;
            self.refuse(index, Code::PARAMETER_FIELD, Some(octets), out);
            return;
        };
        let settings = &self.settings;
        if data.service != SERVICE_ISUP {
            self.counters.other_service += 1;
        } else if (data.destination, data.origin, data.network)
            != (settings.own.value(), settings.peer.value(), settings.network)
        {
            self.counters.other_label += 1;
        } else if self.is_copy(index) {
            // 4.3.4.3, broadcast: each of our processes gets the message; one of them is heard.
        } else {
            self.counters.delivered += 1;
            self.reached(index, out);
            out.push(Output::Deliver(data.user));
        }
    }

    /// Whether another of our processes gets the same.
    fn is_copy(&self, index: usize) -> bool {
        let is_active = |process| matches!(process, Process::Ours(asp::State::Active));
        self.settings.mode == Some(TrafficMode::Broadcast)
            && self.settings.role != Role::Sgp
            && self.associations[..index].iter().any(|association| is_active(association.process))
    }

    /// Whether a message is for our routing context. One that names none is for every one.
    pub(super) fn is_our_context(&self, message: &Message) -> bool {
        let named = message.value(tag::ROUTING_CONTEXT).is_some();
        self.settings.context.is_none_or(|ours| !named || message.contexts().any(|context| context == ours))
    }

    /// ERR that names the contexts that are not ours (3.8.1).
    pub(super) fn refuse_context(&mut self, index: usize, code: Code, message: &Message, out: &mut Vec<Output>) {
        let ours = self.settings.context;
        let mut wrong = Vec::new();
        for context in message.contexts().filter(|context| Some(*context) != ours) {
            wrong.extend(context.to_be_bytes());
        }
        let error = Message::new(Kind::ERR).with_word(tag::ERROR, u32::from(code.value()));
        self.send_error(index, code, &error.with(tag::ROUTING_CONTEXT, &wrong), out);
    }
}
