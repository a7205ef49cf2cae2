//! What one leg says to the other beside the call itself: header fields, parts of bodies, INFO and MESSAGE.
//!
//! What may pass at all is known to [`crate::sip::carried`]; here stands who may tell whom. Each peer has its
//! rules (`pass-headers`, `pass-bodies`), and both ends of a way must let something through. What networks tell
//! only whom they trust (RFC 7315) needs trust on both ends, and of a caller who wants to be unknown nothing is
//! said that shows who it is (RFC 3323 5.3). A line or a service reads none of it.

use super::calls::Place;
use super::encapsulation::without_isup;
use super::transfer::name_of;
use super::{Gateway, Step};
use crate::call::b2bua::Side;
use crate::call::branches::BranchId;
use crate::call::leg::{Leg, SipLeg};
use crate::call::{Call, CallId};
use crate::config::Encapsulate;
use crate::limits::CROSSING_PER_LEG;
use crate::sip::{
    Carried, Ended, Failure, HeaderName, Passing, Request, RequestId, Response, ServerTransactionId, SessionId,
};
use crate::trunk::Presentation;
use tracing::debug;

/// A request inside a dialog that waits for the answer of the other leg.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crossing {
    /// Who waits.
    server: ServerTransactionId,
    /// From which session it came.
    from: SessionId,
}

/// What a peer lets through.
struct Gate<'c> {
    headers: &'c Passing,
    bodies: &'c Passing,
    trusted: bool,
    encapsulates: bool,
}

impl Gateway {
    /// What lies between us and somebody: `trunk/carrier`, `phone/201`.
    fn gate_of(&self, name: &str) -> Gate<'_> {
        let usual = &self.config.sip.passing;
        let trunk = name.strip_prefix("trunk/").and_then(|name| self.config.trunks.iter().find(|t| t.name == name));
        match trunk {
            Some(trunk) => Gate {
                headers: trunk.pass_headers.as_ref().unwrap_or(&usual.headers),
                bodies: trunk.pass_bodies.as_ref().unwrap_or(&usual.bodies),
                trusted: trunk.profile.trust,
                encapsulates: trunk.profile.encapsulate != Encapsulate::Nothing,
            },
            None => Gate { headers: &usual.headers, bodies: &usual.bodies, trusted: false, encapsulates: false },
        }
    }

    /// What passes from one to the other.
    pub(super) fn between(&self, from: &str, to: &str, carried: Carried) -> Carried {
        if carried.is_empty() {
            return carried;
        }
        let (from, to) = (self.gate_of(from), self.gate_of(to));
        let carried = carried.by(from.headers, from.bodies).by(to.headers, to.bodies);
        let carried = if from.trusted && to.trusted { carried } else { carried.without_private() };
        // Whoever writes ISUP in its bodies is read and written anew (`encapsulation`).
        if from.encapsulates || to.encapsulates { without_isup(carried) } else { carried }
    }

    /// What the INVITE of the caller brings for somebody who is called.
    pub(super) fn brought_by_caller(&self, call: &Call, to: &str) -> Carried {
        let Leg::Sip(a) = &call.a else { return Carried::default() };
        let Some(brings) = &a.brings else { return Carried::default() };
        let carried = self.between(&call.origin, to, (**brings).clone());
        let is_unknown = call.iam.presentation == Presentation::Restricted && !self.gate_of(to).trusted;
        let carried = if is_unknown { carried.without_caller() } else { carried };
        // Who sent the call here is said by us when we know.
        if call.referred_by.is_some() { carried.without(&HeaderName::ReferredBy) } else { carried }
    }

    /// What a message of somebody who is called brings for the caller.
    pub(super) fn brought_by_branch(&self, id: CallId, branch: BranchId, carried: Carried) -> Carried {
        let Some(call) = self.calls.get(id) else { return Carried::default() };
        let target = call.fork.as_ref().and_then(|fork| fork.leg(branch)).map(|leg| leg.target.to_string());
        target.map(|target| self.between(&target, &call.origin, carried)).unwrap_or_default()
    }

    /// Notes what the end of a session brings for the other leg.
    pub(super) fn note_parting(&mut self, session: SessionId, how: &Ended) {
        let carried = match how {
            Ended::Bye { request } => Carried::of_request(request).without(&HeaderName::Accept),
            Ended::Rejected { response, .. } => Carried::of_response(response),
            _ => Carried::default(),
        };
        let status = match how {
            Ended::Rejected { status, .. } => Some(*status),
            _ => None,
        };
        let Some((id, place, leg)) = self.sip_leg(session) else { return };
        leg.brings = (!carried.is_empty()).then(|| Box::new(carried.clone()));
        let (Place::Branch(branch), Some(status)) = (place, status) else { return };
        // The branch itself is gone when the caller is told.
        let Some(call) = self.calls.get(id) else { return };
        let target = call.fork.as_ref().and_then(|fork| fork.leg(branch)).map(|leg| leg.target.to_string());
        let Some(target) = target else { return };
        let refusal = self.between(&target, &call.origin, carried);
        if let Some(call) = self.calls.get_mut(id) {
            call.refusal = (!refusal.is_empty()).then(|| Box::new((status, refusal)));
        }
    }

    /// What the side that ended a call brought with that, for the other one.
    pub(super) fn parting_for(&self, id: CallId, side: Side) -> Carried {
        let Some(call) = self.calls.get(id) else { return Carried::default() };
        let Some(Leg::Sip(SipLeg { brings: Some(brings), ended: true, .. })) = call.leg(side.other()) else {
            return Carried::default();
        };
        self.between(name_of(call, side.other()), name_of(call, side), (**brings).clone())
    }

    /// What came with the refusal that a caller is told with this status.
    pub(super) fn refusal_for(&mut self, id: CallId, status: u16) -> Carried {
        let refusal = self.calls.get_mut(id).and_then(|call| call.refusal.take());
        refusal.filter(|refusal| refusal.0 == status).map(|refusal| refusal.1).unwrap_or_default()
    }

    /// Sends INFO or MESSAGE of one leg to the other, which answers it. `None`: there is nobody to
    /// answer it there.
    pub(super) fn cross(
        &mut self,
        session: SessionId,
        server: ServerTransactionId,
        request: &Request,
        step: &mut Step<'_>,
    ) -> Option<Result<(), Response>> {
        let (id, Place::Side(side), leg) = self.sip_leg(session)? else { return None };
        if leg.crossing >= CROSSING_PER_LEG {
            return Some(Err(Response::new(500).with(HeaderName::RetryAfter, 1)));
        }
        let call = self.calls.get(id).filter(|call| call.answered_at.is_some() && call.is_up())?;
        let Some(Leg::Sip(other)) = call.leg(side.other()).filter(|leg| matches!(leg, Leg::Sip(l) if !l.ended)) else {
            return None;
        };
        let (from, to, other) = (name_of(call, side), name_of(call, side.other()), other.session);
        let carried = self.between(from, to, Carried::of_request(request).without(&HeaderName::Accept));
        // A body that may not pass leaves nothing to be said, and a package says what its body means.
        let is_lost = |name| request.headers.has(name) && !carried.headers.iter().any(|header| header.name == *name);
        if (carried.parts.is_empty() && !request.body.is_empty()) || is_lost(&HeaderName::InfoPackage) {
            return None;
        }
        let (body, headers) = carried.content(None);
        debug!(call = call.number, from = ?side, method = %request.method, "passed on");
        let method = request.method.clone();
        let crossing = self.endpoint.request_in_dialog(step.now, other, method, body, headers, &mut step.sip)?;
        self.crossings.insert(crossing, Crossing { server, from: session });
        if let Some((.., leg)) = self.sip_leg(session) {
            leg.crossing += 1;
        }
        Some(Ok(()))
    }

    /// The other leg answered, or will not. False: it was no such request.
    pub(super) fn crossed(
        &mut self,
        request: RequestId,
        outcome: &Result<Response, Failure>,
        step: &mut Step<'_>,
    ) -> bool {
        let Some(Crossing { server, from }) = self.crossings.remove(&request) else { return false };
        let names = self.sip_leg(from).and_then(|(id, place, leg)| {
            leg.crossing = leg.crossing.saturating_sub(1);
            match place {
                Place::Side(side) => Some((id, side)),
                Place::Branch(_) => None,
            }
        });
        let names = names.and_then(|(id, side)| {
            let call = self.calls.get(id)?;
            Some((name_of(call, side.other()).to_owned(), name_of(call, side).to_owned()))
        });
        let response = match outcome {
            // A challenge was for us, and what the hop has to say of itself concerns us alone.
            Ok(response) if matches!(response.status, 401 | 407) => Response::new(403),
            Ok(response) => {
                let carried = match names {
                    Some((from, to)) => self.between(&from, &to, Carried::of_response(response)),
                    None => Carried::default(),
                };
                let accept = response.headers.iter().filter(|h| response.status == 415 && h.name == HeaderName::Accept);
                let passed = Response::new(response.status).with_headers(accept.cloned());
                passed.with_content(None, carried)
            }
            // RFC 4320 4.2: no 408 to anything but INVITE.
            Err(Failure::Timeout) => Response::new(504),
            Err(Failure::Transport) => Response::new(503),
            Err(Failure::SessionEnded) => Response::new(487),
        };
        self.endpoint.reply(step.now, server, response, &mut step.sip);
        true
    }
}
