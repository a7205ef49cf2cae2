//! Lines: events of cards in, commands and tones out, digits to the dial plan.

use super::{CardId, Gateway, Output, Owner, PortId, Step, Work, WorkerId};
use crate::call::CallId;
use crate::call::b2bua::Side;
use crate::call::leg::Leg;
use crate::config::{Config, Driver};
use crate::dialplan::{self, is_inside};
use crate::line::{Completeness, Country, LineOutput, LinePort, Settings, TonePattern};
use crate::media::{MediaCommand, Tone};
use crate::time::Instant;
use crate::trunk::{Cause, Iam, Release, TrunkEvent};
use std::collections::BTreeMap;
use tipring_hal::{Abilities, Digit, LineEvent, PortIndex, PortInfo, PortKind};
use tracing::{debug, warn};

/// A port of a card with what hangs on it.
pub(super) struct Port {
    pub machine: LinePort,
    /// `station/105`, `line/1`.
    pub origin: String,
    /// The call it takes part in, and as which side.
    pub call: Option<(CallId, Side)>,
    /// The deadline that stands in the heap.
    scheduled: Option<Instant>,
}

/// 1004 Hz at 0 dBm0, without end: what a line hears at 601.
pub(super) const MILLIWATT: Tone = Tone { hertz: [1004, 0, 0, 0], level_centi_dbm0: 0, cadence_ms: [0; 8] };

/// The ports that stations and lines of the configuration use.
pub(super) fn ports(config: &Config) -> BTreeMap<PortId, Port> {
    let port = |card: usize, port: PortIndex| PortId { card: CardId(u16::try_from(card).unwrap_or(u16::MAX)), port };
    let mut ports = BTreeMap::new();
    for station in &config.stations {
        let country = Country::of(&station.country).unwrap_or(Country::US);
        let settings = Settings {
            number: Some(station.number.clone()),
            caller_name: station.caller_name.clone(),
            first_digit: config.dialling.first_digit,
            next_digit: config.dialling.next_digit,
            complete: config.dialling.complete,
            ..Settings::for_country(country)
        };
        let info = PortInfo { kind: PortKind::Fxs, abilities: abilities(config, station.card) };
        let origin = format!("station/{}", station.name);
        let value = Port { machine: LinePort::new(info, settings), origin, call: None, scheduled: None };
        ports.insert(port(station.card, station.port), value);
    }
    for line in &config.lines {
        let country = Country::of(&line.country).unwrap_or(Country::US);
        let info = PortInfo { kind: PortKind::Fxo, abilities: Abilities::NONE };
        let machine = LinePort::new(info, Settings::for_country(country));
        let value = Port { machine, origin: format!("line/{}", line.name), call: None, scheduled: None };
        ports.insert(port(line.card, line.port), value);
    }
    ports
}

/// What FXS ports of a card do by themselves. A disconnect pulse needs battery that can be removed:
/// by it a simulated person knows that the far end has gone, and hangs up.
fn abilities(config: &Config, card: usize) -> Abilities {
    match config.cards.get(card).map(|card| &card.driver) {
        Some(Driver::Virtual { .. }) => Abilities::NONE.with(Abilities::REMOVES_BATTERY),
        None => Abilities::NONE,
    }
}

impl Gateway {
    /// The port of a station by its name.
    pub(super) fn port_called(&self, name: &str) -> Option<PortId> {
        let station = self.config.stations.iter().find(|station| station.name == name)?;
        Some(PortId { card: CardId(u16::try_from(station.card).ok()?), port: station.port })
    }

    /// Something happened on a line.
    pub(super) fn handle_line(&mut self, card: CardId, event: LineEvent, step: &mut Step<'_>) {
        let id = PortId { card, port: event.port };
        debug!(port = ?id, kind = ?event.kind, "line event");
        self.with_port(id, step, |machine, _, out| machine.handle_event(event.at, &event.kind, out));
    }

    /// A digit was heard from a line.
    pub(super) fn handle_digit(&mut self, worker: WorkerId, port: PortIndex, digit: Digit, step: &mut Step<'_>) {
        let id = PortId { card: CardId(worker.0), port };
        self.with_port(id, step, |machine, now, out| machine.handle_digit(now, digit, out));
    }

    /// The deadline of a port has come, or a stale one.
    pub(super) fn handle_port_timeout(&mut self, id: PortId, step: &mut Step<'_>) {
        if let Some(port) = self.ports.get_mut(&id) {
            port.scheduled = None;
        }
        self.with_port(id, step, |machine, now, out| {
            if machine.deadline().is_some_and(|at| at <= now) {
                machine.handle_timeout(now, out);
            }
        });
    }

    /// The other leg says `event`. An IAM may be refused: then the port is not in the call.
    pub(super) fn tell_port(&mut self, id: PortId, event: &TrunkEvent, step: &mut Step<'_>) -> Option<Release> {
        self.with_port(id, step, |machine, now, out| machine.handle_trunk(now, event, out))
    }

    /// Lets the machine of a port do something and carries out what it wants.
    fn with_port(
        &mut self,
        id: PortId,
        step: &mut Step<'_>,
        act: impl FnOnce(&mut LinePort, Instant, &mut Vec<LineOutput>),
    ) -> Option<Release> {
        let port = self.ports.get(&id)?;
        // What it does now may be what somebody watches.
        self.events.touch(&port.origin);
        let port = self.ports.get_mut(&id)?;
        let mut outputs = Vec::new();
        act(&mut port.machine, step.now, &mut outputs);
        let mut refused = None;
        // The dial plan's answer may cause more; a port asks it once a digit, so this ends.
        let mut next = 0;
        while let Some(output) = outputs.get(next).cloned() {
            next += 1;
            if let Some(release) = self.carry_out_line(id, output, &mut outputs, step) {
                refused = Some(release);
            }
        }
        self.reschedule_port(id);
        refused
    }

    fn carry_out_line(
        &mut self,
        id: PortId,
        output: LineOutput,
        more: &mut Vec<LineOutput>,
        step: &mut Step<'_>,
    ) -> Option<Release> {
        let worker = WorkerId(id.card.0);
        let mut media = |command| step.out.push(Output::Media(worker, command));
        match output {
            LineOutput::Command(command) => step.out.push(Output::Line(id, command)),
            LineOutput::Tone(Some(pattern)) => media(MediaCommand::PlayTone(id.port, tone_of(&pattern))),
            LineOutput::Tone(None) => media(MediaCommand::StopTone(id.port)),
            LineOutput::DetectDigits(on) => media(MediaCommand::DetectDigits(id.port, on)),
            // The call opens and closes audio for both legs at once.
            LineOutput::AudioOpen(_) => {}
            LineOutput::Refuse(release) => return Some(release),
            LineOutput::Flash => debug!(port = ?id, "hook flash"),
            LineOutput::Digits(digits) => {
                let completeness = self.completeness(id, &digits);
                debug!(port = ?id, digits, ?completeness, "digits");
                let port = self.ports.get_mut(&id)?;
                port.machine.handle_completeness(step.now, completeness, more);
            }
            LineOutput::Trunk(TrunkEvent::Iam(iam)) => self.line_calls(id, iam, step),
            LineOutput::Trunk(event) => match self.ports.get(&id).and_then(|port| port.call) {
                Some((call, side)) => step.queue.push_back(match self.branch_of_port(call, id) {
                    Some(branch) => Work::branch(call, branch, event),
                    None => Work::Trunk(call, side, event),
                }),
                None => warn!(port = ?id, ?event, "a line without a call speaks of one"),
            },
        }
        None
    }

    /// A line dialled a number.
    fn line_calls(&mut self, id: PortId, iam: Iam, step: &mut Step<'_>) {
        let Some(origin) = self.ports.get(&id).map(|port| port.origin.clone()) else { return };
        if self.has_room() {
            self.begin_call(origin, iam, Leg::Line(id), step);
        } else {
            let release = TrunkEvent::Rel(Release::here(Cause::CONGESTION));
            let _ = self.tell_port(id, &release, step);
        }
    }

    fn completeness(&self, id: PortId, digits: &str) -> Completeness {
        let Some(port) = self.ports.get(&id) else { return Completeness::Impossible };
        match self.config.plan.completeness(&port.origin, is_inside(&port.origin), digits) {
            dialplan::Completeness::Complete => Completeness::Complete,
            dialplan::Completeness::CompleteMayGrow => Completeness::CompleteMayGrow,
            dialplan::Completeness::Incomplete => Completeness::Incomplete,
            dialplan::Completeness::Impossible => Completeness::Impossible,
        }
    }

    /// Puts the port's deadline into the heap, unless an earlier entry will lead there anyway.
    pub(super) fn reschedule_port(&mut self, id: PortId) {
        let Some(port) = self.ports.get_mut(&id) else { return };
        let Some(at) = port.machine.deadline() else { return };
        if port.scheduled.is_none_or(|scheduled| at < scheduled) {
            port.scheduled = Some(at);
            self.deadlines.schedule(at, Owner::Port(id));
        }
    }
}

pub(super) fn tone_of(pattern: &TonePattern) -> Tone {
    Tone { hertz: pattern.hertz, level_centi_dbm0: pattern.level_centi_dbm0, cadence_ms: pattern.cadence_ms }
}
