//! Calls step by step: the number is looked up, its script is played, calls of the script are made.

use super::circuit::{Incoming, Outgoing, Stage, State, Timer};
use super::demo::{self, Found};
use super::script::{Call, Step, steady};
use super::{CHECK_TIME, Ended, GLARE_TIME, Output, Owner, Switch, messages};
use crate::isup::number::NatureOfAddress;
use crate::isup::{Message, MessageType, Variant};
use crate::media::Tone;
use crate::time::{Duration, Instant};
use crate::trunk::{Cause, Location, Release};
use std::collections::VecDeque;

/// Special information tones of ITU-T E.180 (913.8, 1370.6 and 1776.7 Hz, a third of a second each) in whole hertz,
/// and the pause behind them: hertz and milliseconds.
const ANNOUNCEMENT: [(u16, u64); 4] = [(914, 330), (1_371, 330), (1_777, 330), (0, 1_000)];
/// Level of each, in hundredths of a dBm0.
const ANNOUNCEMENT_CENTI_DBM0: i16 = -1_500;
/// Whom the switch calls when it makes glare: nobody has this number.
const GLARE_NUMBER: &str = "000";

impl Switch {
    /// More digits are there: is the number complete?
    pub(super) fn look_up(&mut self, now: Instant, cic: u16, out: &mut Vec<Output>) {
        let Some(State::Incoming(call)) = self.circuits.get(&cic).map(|circuit| &circuit.state) else { return };
        let found = self.find(&call.called);
        self.stop(cic, Timer::Digits);
        match found {
            Found::Steps(steps) => {
                if let Some(call) = self.incoming(cic) {
                    (call.stage, call.steps) = (Stage::Complete, steps.into());
                }
                self.advance(now, cic, out);
            }
            Found::Incomplete(wait) => self.start(now + wait, cic, Timer::Digits),
            Found::Nobody => {
                let release = Release { cause: Cause::UNALLOCATED, location: Location::RemoteNetwork };
                self.release(now, cic, release, out);
            }
        }
    }

    fn find(&self, digits: &str) -> Found {
        if let Some(number) = self.script.numbers.iter().find(|number| number.accepts(digits)) {
            return Found::Steps(number.steps.clone());
        }
        let demo = if self.script.demo { demo::number(digits) } else { Found::Nobody };
        match demo {
            Found::Nobody if self.script.numbers.iter().any(|number| number.may_grow(digits)) => {
                Found::Incomplete(self.script.digits_wait)
            }
            found => found,
        }
    }

    fn incoming(&mut self, cic: u16) -> Option<&mut Incoming> {
        match &mut self.circuits.get_mut(&cic)?.state {
            State::Incoming(call) => Some(call),
            _ => None,
        }
    }

    fn next_step(&mut self, cic: u16) -> Option<Step> {
        match &mut self.circuits.get_mut(&cic)?.state {
            State::Incoming(call) => call.steps.pop_front(),
            State::Outgoing(call) if call.answered => call.steps.pop_front(),
            _ => None,
        }
    }

    /// Plays the steps of the call up to the next one that takes time.
    pub(super) fn advance(&mut self, now: Instant, cic: u16, out: &mut Vec<Output>) {
        // Each turn takes a step away, or the call.
        while let Some(step) = self.next_step(cic) {
            match step {
                Step::Wait(time) => return self.start(now + time, cic, Timer::Step),
                Step::Acm { free, in_band } => self.send(now, cic, &messages::acm(free, in_band), out),
                Step::Cpg(event) => self.send(now, cic, &messages::cpg(event), out),
                Step::Anm => self.answer(now, cic, &messages::plain(MessageType::ANM), out),
                Step::Con => self.answer(now, cic, &messages::con(self.variant), out),
                Step::Rel(release) => self.release(now, cic, release, out),
                Step::Sus { network } => {
                    self.send(now, cic, &messages::suspension(MessageType::SUS, network), out);
                }
                Step::Res { network } => {
                    self.send(now, cic, &messages::suspension(MessageType::RES, network), out);
                }
                Step::Sound(tone) => self.sound(cic, Some(tone), out),
                Step::Announcement => self.announce(now, cic, out),
                Step::Silence => self.sound(cic, None, out),
                Step::Raw(behind) => {
                    let mut octets = cic.to_le_bytes().to_vec();
                    octets.extend(behind);
                    self.send_octets(now, octets, out);
                }
                Step::Glare => self.make_glare(now, cic, out),
                Step::Trouble(trouble) => self.trouble(now, trouble, &[cic], out),
            }
        }
    }

    fn answer(&mut self, now: Instant, cic: u16, message: &Message, out: &mut Vec<Output>) {
        if let Some(call) = self.incoming(cic) {
            call.stage = Stage::Answered;
        }
        self.send(now, cic, message, out);
    }

    // --- sound ----------------------------------------------------------------------------------------

    fn sound(&mut self, cic: u16, sound: Option<Tone>, out: &mut Vec<Output>) {
        self.stop(cic, Timer::Sound);
        self.carry(cic, sound, out);
    }

    fn carry(&mut self, cic: u16, sound: Option<Tone>, out: &mut Vec<Output>) {
        let Some(circuit) = self.circuits.get_mut(&cic) else { return };
        if circuit.sound != sound {
            circuit.sound = sound;
            out.push(Output::Sound { cic, sound });
        }
    }

    fn announce(&mut self, now: Instant, cic: u16, out: &mut Vec<Output>) {
        if let Some(circuit) = self.circuits.get_mut(&cic) {
            circuit.part = 0;
        }
        self.next_part(now, cic, out);
    }

    /// The next part of an announcement; after the last the first comes again.
    pub(super) fn next_part(&mut self, now: Instant, cic: u16, out: &mut Vec<Output>) {
        let Some(circuit) = self.circuits.get_mut(&cic) else { return };
        let Some((hertz, ms)) = ANNOUNCEMENT.get(circuit.part).copied() else { return };
        circuit.part = (circuit.part + 1) % ANNOUNCEMENT.len();
        let sound = (hertz > 0).then(|| steady(hertz, ANNOUNCEMENT_CENTI_DBM0));
        self.carry(cic, sound, out);
        self.start(now + Duration::from_millis(ms), cic, Timer::Sound);
    }

    // --- glare ----------------------------------------------------------------------------------------

    /// Seizes the circuit of a call that came, as if both had been at once; not a second time for a caller who
    /// tries again.
    fn make_glare(&mut self, now: Instant, cic: u16, out: &mut Vec<Output>) {
        self.glares.retain(|_, until| *until > now);
        let Some(call) = self.incoming(cic) else { return };
        let who = (call.calling.clone(), call.called.clone());
        if self.glares.remove(&who).is_some() {
            return;
        }
        let call = Call {
            at: Duration::ZERO,
            times: 1,
            every: Duration::ZERO,
            calling: None,
            called: GLARE_NUMBER.to_owned(),
            nature: NatureOfAddress::UNKNOWN,
            anonymous: false,
            overlap: None,
            digit_every: Duration::ZERO,
            continuity: None,
            steps: Vec::new(),
            gives_up: GLARE_TIME,
        };
        self.counts.glares += 1;
        let iam = messages::iam(self.variant, &call, &self.en_bloc(&call.called));
        self.send(now, cic, &iam, out);
        let Some(circuit) = self.circuits.get_mut(&cic) else { return };
        // Where the gateway's IAM stands, it is answered as if nothing had been.
        if !circuit.controls {
            return;
        }
        self.counts.calls_in = self.counts.calls_in.saturating_sub(1); // the gateway will try again
        let outgoing = Outgoing {
            sent: call.called.len(),
            heard: false,
            answered: false,
            steps: VecDeque::new(),
            is_glare: true,
            call,
        };
        circuit.state = State::Outgoing(Box::new(outgoing));
        self.start(now + GLARE_TIME, cic, Timer::Answer);
        self.glares.insert(who, now + GLARE_TIME);
    }

    // --- calls of the script --------------------------------------------------------------------------

    pub(super) fn begin_call(&mut self, now: Instant, index: usize, number: u32, out: &mut Vec<Output>) {
        let Some(call) = self.script.calls.get(index).cloned() else { return };
        if number + 1 < call.times {
            self.due.insert((now + call.every, Owner::Call { index, number: number + 1 }));
        }
        self.counts.calls_out += 1;
        self.seize(now, call, out);
    }

    /// IAM on the highest circuit that is free: the gateway begins with the lowest.
    pub(super) fn seize(&mut self, now: Instant, call: Call, out: &mut Vec<Output>) {
        let free = self.circuits.iter_mut().rev().find(|(_, circuit)| circuit.is_free());
        let Some((&cic, circuit)) = free else {
            self.counts.no_circuit += 1;
            out.push(Output::Ended(Ended {
                cic: None,
                from_gateway: false,
                calling: call.calling.unwrap_or_default(),
                called: call.called,
                answered: false,
                cause: Cause::NO_CIRCUIT,
                by_gateway: false,
            }));
            return;
        };
        let sent = call.overlap.unwrap_or(call.called.len()).min(call.called.len());
        let digits: String = match sent < call.called.len() {
            true => call.called.chars().take(sent).collect(),
            false => String::new(),
        };
        let (gives_up, digit_every, checks) = (call.gives_up, call.digit_every, call.continuity.is_some());
        let outgoing = Outgoing {
            sent,
            heard: false,
            answered: false,
            steps: call.steps.iter().cloned().collect(),
            is_glare: false,
            call: call.clone(),
        };
        circuit.state = State::Outgoing(Box::new(outgoing));
        let digits = if digits.is_empty() && sent > 0 { self.en_bloc(&call.called) } else { digits };
        let iam = messages::iam(self.variant, &call, &digits);
        self.send(now, cic, &iam, out);
        self.start(now + gives_up, cic, Timer::Answer);
        if checks {
            self.start(now + CHECK_TIME, cic, Timer::Check);
        }
        if sent < call.called.len() {
            self.start(now + digit_every, cic, Timer::Dial);
        }
    }

    /// COT; a call whose check failed is over, and the gateway frees the circuit in its own time.
    pub(super) fn end_check(&mut self, now: Instant, cic: u16, out: &mut Vec<Output>) {
        let Some(State::Outgoing(call)) = self.circuits.get(&cic).map(|circuit| &circuit.state) else { return };
        let successful = call.call.continuity == Some(true);
        self.send(now, cic, &messages::cot(successful), out);
        if !successful {
            self.lose(cic, Cause::TEMPORARY, false, out);
        }
    }

    /// A number that is sent as a whole ends with ST where there is one.
    fn en_bloc(&self, digits: &str) -> String {
        match self.variant {
            Variant::Itu => format!("{digits}F"),
            Variant::Ansi => digits.to_owned(),
        }
    }

    /// The next digit of a call that dials one by one, until the gateway has them all or has answered ACM.
    pub(super) fn dial_next(&mut self, now: Instant, cic: u16, out: &mut Vec<Output>) {
        let Some(State::Outgoing(call)) = self.circuits.get_mut(&cic).map(|circuit| &mut circuit.state) else { return };
        if call.heard {
            return;
        }
        let Some(digit) = call.call.called.chars().nth(call.sent) else { return };
        call.sent += 1;
        let (more, every) = (call.sent < call.call.called.len(), call.call.digit_every);
        if let Some(sam) = messages::sam(&digit.to_string()) {
            self.send(now, cic, &sam, out);
        }
        if more {
            self.start(now + every, cic, Timer::Dial);
        }
    }
}
