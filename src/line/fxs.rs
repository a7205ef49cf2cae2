//! We are the exchange: a telephone hangs on the port.
//!
//! ```text
//!                 IAM in                     lifted
//!      +--------> Ringing ----------------------------------> Talking <---+
//!      |            | REL in, no answer,                      |  |  ^     | ANM, CON in
//!      |            v                          REL in         |  |  |     |
//!    Idle <---------+---- hung up (any) <---------------------|--+  |     |
//!      |                                                      v     |     |
//!      | lifted                                        Disconnect   |     |
//!      v            number            REL in             |          |     |
//!    Dialling ------------> Waiting ------------> Refused <+        |     |
//!      |   no number          |  |                   |              |     |
//!      +----------------------|--|-----------------> |              |     |
//!                             |  +------------------ | -------------+-----+
//!                             |                      v 30 s
//!                             |               Disconnect, LockedOut
//!    any --fault, removed--> OutOfService --clear--> Idle, LockedOut
//! ```
//!
//! From Idle, who lifts just after the caller gave up goes through Disconnect to Dialling.
//!
//! What the line hears and feels is a function of the state ([`Face`]); after each step only the
//! differences are put out. What a state says to the other leg stands in the steps.
//!
//! A call ends by one REL. When we sent it, `clearing` stays until RLC comes (Q.764 2.3): until
//! then no call begins on this port.

use super::cadence::TonePattern;
use super::digits::{BREAK_MAX, Collected, Collector};
use super::hook::{HOOK_SETTLES, Hook, HookAct};
use super::{Completeness, FlashWindow, LineOutput, LineStatus, Settings};
use crate::time::{Duration, Instant};
use crate::trunk::{CalledStatus, Cause, Iam, Progress, Release, TrunkEvent};
use tipring_hal::{Abilities, Alarm, Digit, LineCommand, LineEventKind};

/// How long battery is removed to say that the far end has gone.
const DISCONNECT_PULSE: Duration = Duration::from_millis(500);
/// After battery has come back, the card needs this to see whether the telephone draws current.
const HOOK_TRUTH: Duration = Duration::from_millis(100);
/// Who lifts so soon after the bell fell silent meant to answer: the line goes dead for a moment, as
/// after every call, before dial tone is offered.
const ABANDONED: Duration = Duration::from_millis(200);
/// How long busy tone or reorder is played before the line is locked out.
const REFUSAL_TONE: Duration = Duration::from_secs(30);
/// Steps that one call of a handler may take: each is caused by the one before, and no chain is
/// longer than the number of states.
const STEPS_MAX: usize = 16;

/// The machine of an FXS port.
#[derive(Debug)]
pub(super) struct Fxs {
    abilities: Abilities,
    settings: Settings,
    hook: Hook,
    state: State,
    /// We sent REL and wait for RLC.
    clearing: bool,
    shown: Face,
}

#[derive(Debug)]
enum State {
    /// On hook, no call. When the bell fell silent because the caller gave up, `rang_until` is when.
    Idle { rang_until: Option<Instant> },
    /// On hook, called: part `part` of the ring cadence lasts until `part_ends_at`.
    Ringing { part: usize, part_ends_at: Instant, gives_up_at: Instant },
    /// Off hook, no call yet.
    Dialling(Collector),
    /// Off hook, calling.
    Waiting(Heard),
    /// Off hook, in a call.
    Talking,
    /// Off hook, the call is over: battery is removed, and then given time to come back. A call that
    /// arrives meanwhile is kept (`next`) until it is known whether the user has hung up.
    Disconnect { phase: Phase, ends_at: Instant, next: bool, then: AfterDisconnect },
    /// Off hook, no call: a tone says why.
    Refused { tone: Refusal, ends_at: Instant },
    /// Off hook, no call, silence, until the user hangs up.
    LockedOut,
    /// The port does not work.
    OutOfService,
}

/// What a caller hears before the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    Ringback,
    /// What the other leg says: it stays, also when alerting is reported later.
    InBand,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    BatteryRemoved,
    BatteryBack,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterDisconnect {
    DialTone,
    Reorder,
    LockedOut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Busy,
    Reorder,
}

impl Refusal {
    /// The tone that tells a caller this cause.
    fn of(cause: Cause) -> Refusal {
        if cause == Cause::BUSY { Refusal::Busy } else { Refusal::Reorder }
    }
}

/// What the line hears and feels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Face {
    ring: bool,
    battery: bool,
    tone: Option<TonePattern>,
    detect: bool,
    open: bool,
}

/// A line at rest.
const AT_REST: Face = Face { ring: false, battery: true, tone: None, detect: false, open: false };

impl Fxs {
    /// A port whose telephone is on hook.
    pub fn new(abilities: Abilities, settings: Settings) -> Self {
        let settles = if abilities.has(Abilities::DEBOUNCES) { Duration::ZERO } else { HOOK_SETTLES };
        Fxs {
            abilities,
            settings,
            hook: Hook::new(settles),
            state: State::Idle { rang_until: None },
            clearing: false,
            shown: AT_REST,
        }
    }

    /// See [`super::LinePort::handle_event`].
    pub fn handle_event(&mut self, now: Instant, event: &LineEventKind, out: &mut Vec<LineOutput>) {
        self.run_due(now, out);
        match event {
            LineEventKind::OffHook => self.hook.handle_contact(now, true),
            LineEventKind::OnHook => self.hook.handle_contact(now, false),
            LineEventKind::Flash => self.flash(out),
            LineEventKind::Digit(digit) | LineEventKind::PulseDigit(digit) => self.dial(now, *digit, out),
            LineEventKind::Alarm(Alarm::Fault) | LineEventKind::Removed => self.fail(out),
            LineEventKind::Alarm(Alarm::Clear) => self.recover(),
            // The rest is said of exchange lines only.
            _ => {}
        }
        self.run_due(now, out);
        self.show(out);
    }

    /// See [`super::LinePort::handle_digit`].
    pub fn handle_digit(&mut self, now: Instant, digit: Digit, out: &mut Vec<LineOutput>) {
        self.run_due(now, out);
        self.dial(now, digit, out);
        self.show(out);
    }

    /// See [`super::LinePort::handle_completeness`].
    pub fn handle_completeness(&mut self, now: Instant, completeness: Completeness, out: &mut Vec<LineOutput>) {
        if let State::Dialling(collector) = &mut self.state {
            let collected = collector.handle_completeness(now, completeness, &self.settings);
            self.collect(now, collected, out);
        }
        self.show(out);
    }

    /// See [`super::LinePort::handle_trunk`].
    pub fn handle_trunk(&mut self, now: Instant, event: &TrunkEvent, out: &mut Vec<LineOutput>) {
        self.run_due(now, out);
        match event {
            TrunkEvent::Iam(_) => self.called(now, out),
            TrunkEvent::Acm { status, in_band } => {
                self.progress(*in_band, *status == CalledStatus::SubscriberFree);
            }
            TrunkEvent::Cpg { event, in_band } => {
                self.progress(*in_band || *event == Progress::InBand, *event == Progress::Alerting);
            }
            TrunkEvent::Anm | TrunkEvent::Con => {
                if let State::Waiting(_) = self.state {
                    self.state = State::Talking;
                }
            }
            TrunkEvent::Rel(release) => self.released(now, *release, out),
            TrunkEvent::Rlc => self.clearing = false,
            // A telephone that was called by a number has it whole, and hears silence while the other one is hung up.
            TrunkEvent::Sam(_) | TrunkEvent::Sus { .. } | TrunkEvent::Res { .. } => {}
        }
        self.run_due(now, out);
        self.show(out);
    }

    /// See [`super::LinePort::handle_timeout`].
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<LineOutput>) {
        self.run_due(now, out);
        self.show(out);
    }

    /// See [`super::LinePort::deadline`].
    pub fn deadline(&self) -> Option<Instant> {
        let hook_at = self.hook.deadline(self.break_max());
        hook_at.into_iter().chain(self.state_deadline()).min()
    }

    /// See [`super::LinePort::status`].
    pub fn status(&self) -> LineStatus {
        match self.state {
            State::Idle { .. } => LineStatus::Idle,
            State::Ringing { .. } => LineStatus::Ringing,
            State::Dialling(_) => LineStatus::Dialling,
            State::Waiting(_) => LineStatus::Waiting,
            State::Talking => LineStatus::Talking,
            State::Disconnect { .. } | State::Refused { .. } => LineStatus::Tone,
            State::LockedOut => LineStatus::LockedOut,
            State::OutOfService => LineStatus::OutOfService,
        }
    }

    /// See [`super::LinePort::has_call`].
    pub fn has_call(&self) -> bool {
        self.clearing || self.in_call()
    }

    fn in_call(&self) -> bool {
        match self.state {
            State::Ringing { .. } | State::Waiting(_) | State::Talking => true,
            State::Disconnect { next, .. } => next,
            State::Idle { .. }
            | State::Dialling(_)
            | State::Refused { .. }
            | State::LockedOut
            | State::OutOfService => false,
        }
    }

    /// How long the loop may be open without being a hang-up.
    fn break_max(&self) -> Option<Duration> {
        let times_flash = self.abilities.has(Abilities::TIMES_FLASH);
        match self.state {
            // Without battery every telephone looks as if it was on hook.
            State::Disconnect { .. } => None,
            // What such a card calls on hook is a hang-up already.
            _ if times_flash => Some(Duration::ZERO),
            State::Waiting(_) | State::Talking => {
                // A break of exactly the longest flash is still a flash.
                let flash = |window: FlashWindow| Duration::from_millis(u64::from(window.max_ms) + 1);
                Some(self.settings.flash.map_or(BREAK_MAX, flash))
            }
            _ => Some(BREAK_MAX),
        }
    }

    fn state_deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Ringing { part_ends_at, gives_up_at, .. } => Some(*part_ends_at.min(gives_up_at)),
            State::Dialling(collector) => Some(collector.deadline()),
            State::Disconnect { ends_at, .. } | State::Refused { ends_at, .. } => Some(*ends_at),
            State::Idle { .. } | State::Waiting(_) | State::Talking | State::LockedOut | State::OutOfService => None,
        }
    }

    /// Takes all steps that are due at `now`, those of the hook first.
    fn run_due(&mut self, now: Instant, out: &mut Vec<LineOutput>) {
        for _ in 0..STEPS_MAX {
            match self.hook.poll(now, self.break_max()) {
                Some(HookAct::Lifted) => self.lifted(now, out),
                Some(HookAct::BreakEnded { length, closed_at }) => self.break_ended(length, closed_at, out),
                Some(HookAct::HungUp) => self.hung_up(now, out),
                None if self.state_deadline().is_some_and(|at| at <= now) => self.timed_out(now, out),
                None => return,
            }
        }
    }

    fn lifted(&mut self, now: Instant, out: &mut Vec<LineOutput>) {
        match self.state {
            // The caller gave up at the moment of the answer.
            State::Idle { rang_until: Some(at) } if now.since(at) <= ABANDONED => {
                self.disconnect(now, AfterDisconnect::DialTone);
            }
            State::Idle { .. } => self.after_disconnect(now, AfterDisconnect::DialTone),
            // Also when the user wanted to call, and lifted just as the call came: glare is an answer.
            State::Ringing { .. } => {
                self.state = State::Talking;
                out.push(LineOutput::Trunk(TrunkEvent::Anm));
            }
            // The handset was up in all other states, or the port does not work.
            _ => {}
        }
    }

    fn break_ended(&mut self, length: Duration, closed_at: Instant, out: &mut Vec<LineOutput>) {
        match &mut self.state {
            State::Dialling(collector) => collector.handle_break(length, closed_at),
            State::Waiting(_) | State::Talking => {
                let is_flash = self.settings.flash.is_some_and(|window| {
                    (u128::from(window.min_ms)..=u128::from(window.max_ms)).contains(&length.as_millis())
                });
                if is_flash {
                    out.push(LineOutput::Flash);
                }
            }
            _ => {}
        }
    }

    fn flash(&mut self, out: &mut Vec<LineOutput>) {
        if let State::Waiting(_) | State::Talking = self.state {
            out.push(LineOutput::Flash);
        }
    }

    fn hung_up(&mut self, now: Instant, out: &mut Vec<LineOutput>) {
        match self.state {
            State::OutOfService => {}
            // Now the line is free for the call that came meanwhile.
            State::Disconnect { next: true, .. } => self.ring(now, out),
            _ => {
                self.end_call(Release::user(Cause::NORMAL), out);
                self.state = State::Idle { rang_until: None };
            }
        }
    }

    fn dial(&mut self, now: Instant, digit: Digit, out: &mut Vec<LineOutput>) {
        if let State::Dialling(collector) = &mut self.state {
            let collected = collector.handle_digit(now, digit, &self.settings);
            self.collect(now, Some(collected), out);
        }
    }

    fn collect(&mut self, now: Instant, collected: Option<Collected>, out: &mut Vec<LineOutput>) {
        match collected {
            None => {}
            Some(Collected::More(digits)) => out.push(LineOutput::Digits(digits)),
            // The circuit to the call is still being cleared: as if all circuits were busy.
            Some(Collected::Number(_)) if self.clearing => self.refuse(now, Refusal::Reorder),
            Some(Collected::Number(called)) => {
                self.state = State::Waiting(Heard::Nothing);
                out.push(LineOutput::Trunk(TrunkEvent::Iam(Iam {
                    called,
                    calling: self.settings.number.clone(),
                    calling_name: self.settings.caller_name.clone(),
                    ..Iam::default()
                })));
            }
            Some(Collected::Nothing) => self.refuse(now, Refusal::Reorder),
        }
    }

    fn called(&mut self, now: Instant, out: &mut Vec<LineOutput>) {
        match &mut self.state {
            State::OutOfService => out.push(LineOutput::Refuse(Release::here(Cause::OUT_OF_ORDER))),
            State::Idle { .. } if self.clearing => out.push(LineOutput::Refuse(Release::here(Cause::NO_CIRCUIT))),
            State::Idle { .. } => self.ring(now, out),
            State::Disconnect { next, .. } if !*next && !self.clearing => *next = true,
            _ => out.push(LineOutput::Refuse(Release::user(Cause::BUSY))),
        }
    }

    fn ring(&mut self, now: Instant, out: &mut Vec<LineOutput>) {
        let part_ends_at = now + self.ring_part(0);
        self.state = State::Ringing { part: 0, part_ends_at, gives_up_at: now + self.settings.ring_for };
        out.push(LineOutput::Trunk(TrunkEvent::Acm { status: CalledStatus::SubscriberFree, in_band: false }));
    }

    /// How long part `part` of the ring cadence lasts.
    fn ring_part(&self, part: usize) -> Duration {
        let cadence = self.settings.country.ring_ms;
        let millis = cadence.get(part % cadence.len().max(1)).copied().unwrap_or(u16::MAX);
        Duration::from_millis(u64::from(millis))
    }

    fn progress(&mut self, in_band: bool, alerting: bool) {
        if let State::Waiting(heard) = &mut self.state {
            if in_band {
                *heard = Heard::InBand;
            } else if alerting && *heard == Heard::Nothing {
                *heard = Heard::Ringback;
            }
        }
    }

    fn released(&mut self, now: Instant, release: Release, out: &mut Vec<LineOutput>) {
        // REL is answered in every state (Q.764 2.3.1); when both sides sent one, each has its answer.
        out.push(LineOutput::Trunk(TrunkEvent::Rlc));
        self.clearing = false;
        match &mut self.state {
            State::Ringing { .. } => self.state = State::Idle { rang_until: Some(now) },
            State::Waiting(_) => self.refuse(now, Refusal::of(release.cause)),
            State::Talking => self.disconnect(now, AfterDisconnect::Reorder),
            State::Disconnect { next, .. } => *next = false,
            _ => {}
        }
    }

    fn timed_out(&mut self, now: Instant, out: &mut Vec<LineOutput>) {
        match &mut self.state {
            State::Ringing { gives_up_at, .. } if *gives_up_at <= now => {
                self.end_call(Release::here(Cause::NO_ANSWER), out);
                self.state = State::Idle { rang_until: Some(now) };
            }
            State::Ringing { part, part_ends_at, gives_up_at } => {
                let (part, ended_at, gives_up_at) = (*part + 1, *part_ends_at, *gives_up_at);
                // Parts follow each other exactly; after a pause of the process they go on from now.
                let part_ends_at = (ended_at + self.ring_part(part)).max(now + Duration::from_millis(1));
                self.state = State::Ringing { part, part_ends_at, gives_up_at };
            }
            State::Dialling(collector) => {
                let collected = collector.handle_timeout(now, &self.settings);
                self.collect(now, collected, out);
            }
            State::Disconnect { phase: phase @ Phase::BatteryRemoved, ends_at, .. } => {
                *phase = Phase::BatteryBack;
                *ends_at = now + HOOK_TRUTH;
            }
            State::Disconnect { next, then, .. } => {
                let (next, then) = (*next, *then);
                self.disconnected(now, next, then, out);
            }
            State::Refused { .. } => self.disconnect(now, AfterDisconnect::LockedOut),
            State::Idle { .. } | State::Waiting(_) | State::Talking | State::LockedOut | State::OutOfService => {}
        }
    }

    /// The disconnect pulse is over.
    fn disconnected(&mut self, now: Instant, next: bool, then: AfterDisconnect, out: &mut Vec<LineOutput>) {
        if let Some(settles_at) = self.hook.settles_at() {
            self.state = State::Disconnect { phase: Phase::BatteryBack, ends_at: settles_at, next, then };
            return;
        }
        if self.hook.end_break() {
            self.hung_up(now, out);
            return;
        }
        if next {
            self.end_call(Release::user(Cause::BUSY), out);
        }
        self.after_disconnect(now, then);
    }

    /// Tells the telephone by its current that the far end has gone.
    fn disconnect(&mut self, now: Instant, then: AfterDisconnect) {
        if self.abilities.has(Abilities::REMOVES_BATTERY) {
            let ends_at = now + DISCONNECT_PULSE;
            self.state = State::Disconnect { phase: Phase::BatteryRemoved, ends_at, next: false, then };
            return;
        }
        self.after_disconnect(now, then);
    }

    fn after_disconnect(&mut self, now: Instant, then: AfterDisconnect) {
        match then {
            AfterDisconnect::DialTone => self.state = State::Dialling(Collector::new(now, &self.settings)),
            AfterDisconnect::Reorder => self.refuse(now, Refusal::Reorder),
            AfterDisconnect::LockedOut => self.state = State::LockedOut,
        }
    }

    fn refuse(&mut self, now: Instant, tone: Refusal) {
        self.state = State::Refused { tone, ends_at: now + REFUSAL_TONE };
    }

    /// Sends the one REL of the call, if there is one.
    fn end_call(&mut self, release: Release, out: &mut Vec<LineOutput>) {
        if self.in_call() {
            self.clearing = true;
            out.push(LineOutput::Trunk(TrunkEvent::Rel(release)));
        }
    }

    fn fail(&mut self, out: &mut Vec<LineOutput>) {
        self.end_call(Release::here(Cause::OUT_OF_ORDER), out);
        self.state = State::OutOfService;
    }

    fn recover(&mut self) {
        if let State::OutOfService = self.state {
            self.state = if self.hook.is_lifted() { State::LockedOut } else { State::Idle { rang_until: None } };
        }
    }

    /// What the line hears and feels in the present state.
    fn face(&self) -> Face {
        let detect = !self.abilities.has(Abilities::DETECTS_DIGITS);
        let country = self.settings.country;
        match &self.state {
            State::Idle { .. } | State::LockedOut | State::OutOfService => AT_REST,
            State::Ringing { part, .. } => Face { ring: part % 2 == 0, ..AT_REST },
            State::Dialling(collector) => {
                Face { tone: collector.is_empty().then_some(country.dial), detect, ..AT_REST }
            }
            State::Waiting(heard) => Face {
                tone: (*heard == Heard::Ringback).then_some(country.ringback),
                open: *heard == Heard::InBand,
                detect,
                ..AT_REST
            },
            State::Talking => Face { open: true, detect, ..AT_REST },
            State::Disconnect { phase, .. } => Face { battery: *phase == Phase::BatteryBack, ..AT_REST },
            State::Refused { tone: Refusal::Busy, .. } => Face { tone: Some(country.busy), ..AT_REST },
            State::Refused { tone: Refusal::Reorder, .. } => Face { tone: Some(country.reorder), ..AT_REST },
        }
    }

    /// Puts out what differs from what the line heard and felt before. What ends comes first.
    fn show(&mut self, out: &mut Vec<LineOutput>) {
        let after = self.face();
        let before = std::mem::replace(&mut self.shown, after);
        if before.open && !after.open {
            out.push(LineOutput::AudioOpen(false));
        }
        if before.ring != after.ring {
            out.push(LineOutput::Command(if after.ring { LineCommand::Ring } else { LineCommand::StopRing }));
        }
        if before.battery != after.battery {
            out.push(LineOutput::Command(LineCommand::Battery(after.battery)));
        }
        if before.tone != after.tone {
            out.push(LineOutput::Tone(after.tone));
        }
        if before.detect != after.detect {
            out.push(LineOutput::DetectDigits(after.detect));
        }
        if !before.open && after.open {
            out.push(LineOutput::AudioOpen(true));
        }
    }
}

#[cfg(test)]
mod tests;
