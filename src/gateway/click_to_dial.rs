//! Click-to-dial: the gateway calls one party and, when it answers, another (RFC 3725).
//!
//! The media of both ends here anyway, so each party is offered its own stream at once; what flow I
//! and flow IV of RFC 3725 do with offers without media and a second INVITE is not needed, and no
//! party waits for the other's answer to describe itself.

use super::{Gateway, Step};
use crate::call::CallId;
use crate::call::b2bua::Side;
use crate::call::fork::{Candidate, GoesOn, Step as ForkStep};
use crate::call::leg::Leg;
use crate::dialplan::{Target, TargetKind, Verdict};
use crate::limits;
use crate::time::Duration;
use crate::trunk::{Iam, TrunkEvent};
use tracing::info;

/// How long the first party rings.
const RINGS_FOR: Duration = Duration::from_secs(60);

impl Gateway {
    /// An operator wants `from` to talk to the number `to`; the number of the call, or why not.
    pub(super) fn dial(&mut self, from: &str, to: &str, step: &mut Step<'_>) -> Result<u64, String> {
        let target = self.party(from).ok_or_else(|| format!("nobody here is called {from}"))?;
        let origin = target.to_string();
        let is_number = |c: char| c.is_ascii_alphanumeric() || "*#+".contains(c);
        if to.is_empty() || to.len() > limits::DIGITS_MAX || !to.chars().all(is_number) {
            return Err(format!("{to:?} is no number"));
        }
        if let Verdict::Refused(refusal) = self.route(&origin, to).verdict {
            return Err(format!("{origin} cannot call {to}: {}", refusal.as_str()));
        }
        if !self.has_room() {
            return Err("there is no room for another call".to_owned());
        }
        // The first party is shown whom it is going to talk to.
        let iam = Iam { called: to.to_owned(), calling: Some(to.to_owned()), ..Iam::default() };
        let id = self.new_call(origin, iam, Leg::Operator, step);
        let Some(call) = self.calls.get_mut(id) else { return Err("the call was lost".to_owned()) };
        let number = call.number;
        call.first_party = true;
        let candidate = Candidate { number: to.to_owned(), target, contact: None, party: None };
        let ring = ForkStep::Ring { candidates: vec![candidate], rings_for: Some(RINGS_FOR), goes_on: GoesOn::Always };
        self.begin_fork(id, vec![ring], step);
        Ok(number)
    }

    /// `phone/201`, `station/105`, or a number that one of them has.
    fn party(&self, name: &str) -> Option<Target> {
        let by_number = self.config.plan.extensions().get(name).cloned();
        by_number.or_else(|| self.target_called(name)).filter(|target| match target.kind {
            TargetKind::Phone => self.config.phones.iter().any(|phone| phone.name == target.name),
            TargetKind::Station => self.config.stations.iter().any(|station| station.name == target.name),
            _ => false,
        })
    }

    /// The first party said something.
    pub(super) fn first_party_says(&mut self, id: CallId, event: TrunkEvent, step: &mut Step<'_>) {
        match event {
            TrunkEvent::Anm | TrunkEvent::Con => self.first_party_answered(id, step),
            TrunkEvent::Rel(_) => self.join_machine(id, Side::B, event, step),
            _ => {}
        }
    }

    /// It becomes the one who calls.
    fn first_party_answered(&mut self, id: CallId, step: &mut Step<'_>) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let Some(leg) = call.b.take() else { return };
        info!(call = call.number, from = %call.origin, to = %call.iam.called, "first party answered");
        call.first_party = false;
        call.a = leg;
        call.target = None;
        call.fork = None;
        let calling = self.calls.get(id).and_then(|call| self.number_of_name(&call.origin));
        if let Some(call) = self.calls.get_mut(id) {
            call.iam.calling = calling;
        }
        self.name_sides(id);
        if let Err(release) = self.route_call(id, step) {
            self.release_call(id, release, step);
        }
    }
}
