//! Blast radius: a broken assumption ends one call, not the process.
//!
//! What works for one call runs inside [`Gateway::guarded`]. When it panics, what it had said so far is
//! taken back, the call is released with cause 41, and a counter rises. In tests and in the
//! simulator a panic stays fatal, so that it is found.

use super::{Gateway, Output, Step};
use crate::call::CallId;
use crate::call::b2bua::{Side, State};
use crate::call::leg::Leg;
use crate::call::record::ReleasedBy;
use crate::media::MediaCommand;
use crate::sip::{self, SessionId};
use crate::trunk::{Cause, Release, TrunkEvent, interwork};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tracing::error;

/// For whom something is done.
#[derive(Clone, Copy)]
pub(super) enum Guarded {
    /// A call.
    Call(CallId),
    /// A session that has no call yet.
    Session(SessionId),
    /// Nobody in particular.
    Nobody,
}

impl Gateway {
    /// From now on a panic while working for a call ends only that call.
    pub fn survive_broken_assumptions(&mut self) {
        self.survives = true;
    }

    /// For whom a SIP event is.
    pub(super) fn guarded_by(&self, event: &sip::Event) -> Guarded {
        let session = match event {
            sip::Event::Incoming { session, .. }
            | sip::Event::Progress { session, .. }
            | sip::Event::Answered { session, .. }
            | sip::Event::EarlyAnswer { session, .. }
            | sip::Event::Established { session, .. }
            | sip::Event::Acknowledged { session, .. }
            | sip::Event::Ended { session, .. }
            | sip::Event::Offer { session, .. }
            | sip::Event::InDialog { session, .. } => *session,
            sip::Event::Request { .. }
            | sip::Event::Response { .. }
            | sip::Event::AuthFailed(_)
            | sip::Event::Undecided { .. }
            | sip::Event::PassedOn { .. }
            | sip::Event::NotifyDue { .. }
            | sip::Event::Unsubscribed { .. } => return Guarded::Nobody,
        };
        let call = self.sessions.get(&session).map(|(call, _)| call);
        match call.or_else(|| self.branch_sessions.get(&session).map(|(call, _)| call)) {
            Some(call) => Guarded::Call(*call),
            None => Guarded::Session(session),
        }
    }

    /// Does `work`; when it panics, ends the call it was done for.
    pub(super) fn guarded(
        &mut self,
        whom: Guarded,
        step: &mut Step<'_>,
        work: impl FnOnce(&mut Gateway, &mut Step<'_>),
    ) {
        if !self.survives {
            return work(self, step);
        }
        let (outputs, sends) = (step.out.len(), step.sip.sends.len());
        let outcome = catch_unwind(AssertUnwindSafe(|| work(self, step)));
        if outcome.is_err() {
            step.out.outputs.truncate(outputs);
            step.sip.sends.truncate(sends);
            self.faults = self.faults.saturating_add(1);
            match whom {
                Guarded::Call(id) => self.abandon(id, step),
                Guarded::Session(session) => {
                    error!(?session, "a broken assumption ended a session");
                    self.endpoint.terminate(step.now, session, None, &mut step.sip);
                }
                Guarded::Nobody => error!("a broken assumption ended a request"),
            }
        }
    }

    /// Ends a call whose state can no longer be trusted.
    fn abandon(&mut self, id: CallId, step: &mut Step<'_>) {
        self.close_audio(id, step);
        let Some(mut call) = self.calls.remove(id) else { return };
        let release = Release::here(Cause::TEMPORARY);
        error!(call = call.number, "a broken assumption ended this call");
        let branches = call.fork.take().into_iter().flat_map(|fork| fork.legs).map(|branch| branch.leg);
        let branches: Vec<Leg> = branches.collect();
        for leg in &branches {
            match leg {
                Leg::Sip(leg) if leg.started => {
                    step.out.push(Output::Media(call.worker, MediaCommand::Stop(leg.stream)));
                }
                Leg::Sip(leg) => self.forget_stream(leg.stream),
                Leg::Line(_) | Leg::Service(_) | Leg::Operator | Leg::Circuit { .. } => {}
            }
        }
        let sides = [(Side::A, Some(&call.a)), (Side::B, call.b.as_ref())];
        for (side, leg) in sides.into_iter().chain(branches.iter().map(|leg| (Side::B, Some(leg)))) {
            match leg {
                Some(Leg::Sip(leg)) => {
                    self.sessions.remove(&leg.session);
                    self.branch_sessions.remove(&leg.session);
                    let reason = Some(interwork::reason_of_release(release));
                    self.endpoint.terminate(step.now, leg.session, reason, &mut step.sip);
                }
                Some(Leg::Line(port)) => {
                    if let Some(seat) = self.ports.get_mut(port).filter(|p| p.call == Some((id, side))) {
                        seat.call = None;
                        let _ = self.tell_port(*port, &TrunkEvent::Rel(release), step);
                    }
                }
                Some(Leg::Circuit { group, cic }) => self.release_circuit(*group, *cic, id, release, step),
                Some(Leg::Service(_) | Leg::Operator) | None => {}
            }
        }
        call.state = State::Ended;
        call.released.get_or_insert((release, ReleasedBy::Gateway, step.now));
        step.out.push(Output::Record(call.record(step.now)));
    }
}
