//! Ringback for the party that waits while the target of a transfer rings.
//!
//! Its dialog is answered, so no 180 can tell it (RFC 3261 13.2.2.4); it is told in its media. The tone stands in
//! the place of whoever transfers, who may be gone already, until the target answers or the call is as before.

use super::lines::tone_of;
use super::{Gateway, Output, Step};
use crate::call::leg::Leg;
use crate::call::{Call, CallId};
use crate::line::Country;
use crate::media::{MediaCommand, Tone};

impl Gateway {
    /// The party that waits hears ringback from now on.
    pub(super) fn play_ringback(&mut self, id: CallId, step: &mut Step<'_>) {
        let Some(call) = self.calls.get(id) else { return };
        let tone = tone_of(&self.country_of(call).ringback);
        self.ringback(id, Some(tone), step);
    }

    /// It hears whom it is joined with again.
    pub(super) fn stop_ringback(&mut self, id: CallId, step: &mut Step<'_>) {
        self.ringback(id, None, step);
    }

    fn ringback(&mut self, id: CallId, tone: Option<Tone>, step: &mut Step<'_>) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let worker = call.worker;
        let Some(transfer) = call.transfer.as_deref_mut() else { return };
        if std::mem::replace(&mut transfer.rings, tone.is_some()) == tone.is_some() {
            return;
        }
        let command = match (&call.a, tone) {
            (Leg::Sip(leg), _) if !leg.started => return,
            (Leg::Sip(leg), tone) => MediaCommand::PlayToStream(leg.stream, tone),
            (Leg::Line(port), Some(tone)) => MediaCommand::PlayTone(port.port, tone),
            (Leg::Line(port), None) => MediaCommand::StopTone(port.port),
            (Leg::Service(_) | Leg::Operator | Leg::Circuit { .. }, _) => return,
        };
        step.out.push(Output::Media(worker, command));
    }

    /// Whose tones are played: the country of a telephone that rings, else of the first one of the exchange.
    fn country_of(&self, call: &Call) -> &'static Country {
        let rings =
            call.fork.as_deref().into_iter().flat_map(|fork| &fork.legs).map(|branch| branch.target.to_string());
        let rings: Vec<String> = rings.collect();
        let stations = || self.config.stations.iter();
        let station = stations().find(|station| rings.contains(&format!("station/{}", station.name)));
        let station = station.or_else(|| stations().next());
        station.and_then(|station| Country::of(&station.country)).unwrap_or(Country::US)
    }
}
