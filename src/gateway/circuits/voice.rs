//! What a circuit carries towards us, played to the other leg.
//!
//! There is no voice path in time slots yet: the far end tells what would be heard, and the worker of the other
//! leg makes it. A circuit without a sound is silent, which a SIP peer gets as packets of silence.

use crate::call::CallId;
use crate::call::b2bua::Side;
use crate::call::leg::Leg;
use crate::gateway::{Gateway, GroupId, Output, Step};
use crate::isup::Cic;
use crate::media::{MediaCommand, Tone};

/// What a SIP peer hears of a circuit without a sound.
const SILENCE: Tone = Tone { hertz: [0; 4], level_centi_dbm0: 0, cadence_ms: [0; 8] };

impl Gateway {
    /// The voice of a circuit changed.
    pub(in crate::gateway) fn handle_circuit_sound(
        &mut self,
        id: GroupId,
        cic: u16,
        sound: Option<Tone>,
        step: &mut Step<'_>,
    ) {
        let Some(trunk) = self.circuits.trunk_mut(id) else { return };
        let Some(cic) = Cic::new(trunk.side.variant, cic).filter(|cic| trunk.group.circuit(*cic).is_some()) else {
            return;
        };
        match sound {
            Some(sound) => trunk.sounds.insert(cic, sound),
            None => trunk.sounds.remove(&cic),
        };
        if let Some(call) = trunk.seats.get(&cic).map(|seat| seat.call) {
            self.play_circuits(call, step);
        }
    }

    /// The audio of a call opened (anew): nobody hears anything of its circuits yet.
    pub(in crate::gateway) fn circuits_open(&mut self, id: CallId) {
        for (.., group, cic) in self.circuits_of(id) {
            if let Some(seat) = self.circuits.seat_mut(group, cic) {
                seat.playing = None;
            }
        }
    }

    /// The two sides of a call that are circuits.
    fn circuits_of(&self, id: CallId) -> Vec<(Side, GroupId, Cic)> {
        let Some(call) = self.calls.get(id) else { return Vec::new() };
        let circuit = |side| match call.leg(side) {
            Some(Leg::Circuit { group, cic }) => Some((side, *group, *cic)),
            _ => None,
        };
        [Side::A, Side::B].into_iter().filter_map(circuit).collect()
    }

    /// Lets each side of a call hear the circuit that the other one is, as soon as the audio is open.
    pub(in crate::gateway) fn play_circuits(&mut self, id: CallId, step: &mut Step<'_>) {
        for (side, group, cic) in self.circuits_of(id) {
            let Some(call) = self.calls.get(id).filter(|call| call.audio_open) else { return };
            let Some(trunk) = self.circuits.trunk(group) else { continue };
            let sound = trunk.sounds.get(&cic).copied();
            let worker = call.worker;
            let command = match (call.leg(side.other()), sound) {
                (Some(Leg::Sip(leg)), sound) if leg.started => {
                    MediaCommand::PlayToStream(leg.stream, Some(sound.unwrap_or(SILENCE)))
                }
                (Some(Leg::Line(port)), Some(sound)) => MediaCommand::PlayTone(port.port, sound),
                (Some(Leg::Line(port)), None) => MediaCommand::StopTone(port.port),
                _ => continue,
            };
            let Some(seat) = self.circuits.seat_mut(group, cic).filter(|seat| seat.call == id) else { continue };
            // A line is silent by itself.
            let was = seat.playing.or(matches!(command, MediaCommand::StopTone(_)).then_some(None));
            seat.playing = Some(sound);
            if was != Some(sound) {
                step.out.push(Output::Media(worker, command));
            }
        }
    }

    /// Whether the listener of a call that is a line hears a tone of a circuit.
    pub(in crate::gateway) fn plays_circuit(&self, id: CallId) -> bool {
        let plays = |(_, group, cic): &(Side, GroupId, Cic)| {
            let seat = self.circuits.seat(*group, *cic).filter(|seat| seat.call == id);
            seat.is_some_and(|seat| matches!(seat.playing, Some(Some(_))))
        };
        self.circuits_of(id).iter().any(plays)
    }

    /// The circuit leaves its call: whoever heard it and stays hears it no more.
    pub(super) fn silence_circuit(&mut self, group: GroupId, cic: Cic, step: &mut Step<'_>) {
        let Some(seat) = self.circuits.seat_mut(group, cic) else { return };
        let (call, playing) = (seat.call, seat.playing.take());
        let Some(call) = self.calls.get(call).filter(|call| call.audio_open && playing.is_some()) else { return };
        let is_circuit =
            |side| matches!(call.leg(side), Some(Leg::Circuit { group: g, cic: c }) if (*g, *c) == (group, cic));
        let Some(side) = [Side::A, Side::B].into_iter().find(|side| is_circuit(*side)) else { return };
        let command = match call.leg(side.other()) {
            Some(Leg::Sip(leg)) if leg.started => MediaCommand::PlayToStream(leg.stream, None),
            Some(Leg::Line(port)) if matches!(playing, Some(Some(_))) => MediaCommand::StopTone(port.port),
            _ => return,
        };
        step.out.push(Output::Media(call.worker, command));
    }
}
