//! Late offers: an INVITE without a description, relayed as one (RFC 3261 13.2.1; RFC 3725 4.1 in one step).
//!
//! ```text
//!   caller                gateway                 callee
//!     │ INVITE ────────────▶ │ INVITE ──────────────▶ │     neither offers
//!     │ ◀──────── 200 offer' │ ◀──────────── 200 offer│     the callee does
//!     │ ACK answer ────────▶ │ ACK answer' ─────────▶ │     the caller answers
//! ```
//! Either party gets addresses of ours, the codec that the caller chose and the direction that it wants. The offer may
//! stand in a reliable provisional response (RFC 3262 5): it goes on when the caller has those too, and PRACK
//! answers; otherwise we answer it here, for the callee must not wait for its PRACK until somebody picks up. The caller
//! then gets an offer of ours with the 200. A line or a service makes no offers: there it is ours from the start, and
//! so it is at a trunk with `early-offer = true`.

use super::calls::Place;
use super::forking::can_be_carried;
use super::{Gateway, Step};
use crate::call::b2bua::Side;
use crate::call::leg::Leg;
use crate::call::{Call, CallId};
use crate::sdp::{self, Direction};
use crate::sip::{Body, SessionId};
use tracing::debug;

/// Whether the caller has made no offer and got none: whoever is called next makes it.
pub(super) fn asks_for_offer(call: &Call) -> bool {
    let Leg::Sip(a) = &call.a else { return false };
    let is_first = call.answered_at.is_none() && call.b.is_none() && call.transfer.is_none() && !call.first_party;
    is_first && a.incoming && a.offer.is_none() && a.sent.is_none() && a.agreed.is_none()
}

/// What the caller wants to send and to hear.
pub(super) fn wish_of_caller(call: &Call) -> Direction {
    match &call.a {
        Leg::Sip(a) => a.wants,
        _ => Direction::SendRecv,
    }
}

impl Gateway {
    /// Reads the description in a response to an INVITE of ours: the answer, or the offer that we asked for.
    pub(super) fn read_description(&mut self, session: SessionId, body: Option<&Body>) {
        let owes = self.endpoint.owes_answer(session);
        let Some((id, _, leg)) = self.sip_leg(session) else { return };
        if !leg.late {
            return leg.read_answer(body);
        }
        // RFC 3261 13.2.1: in an unreliable provisional response it would be no offer.
        let Some(offer) = body.and_then(|body| body.part("application/sdp")).filter(|_| owes) else { return };
        let wish = self.calls.get(id).map_or(Direction::SendRecv, wish_of_caller);
        let Some((.., leg)) = self.sip_leg(session) else { return };
        leg.offer = Some(offer.bytes);
        if let Err(reject) = leg.settle(None, wish) {
            debug!(why = %reject, "offer is not acceptable");
        }
    }

    /// An early offer that the caller can't be told yet is answered here.
    pub(super) fn answer_unless_relayed(&mut self, session: SessionId, step: &mut Step<'_>) {
        let Some((id, place, leg)) = self.sip_leg(session) else { return };
        if !leg.late || leg.agreed.is_none() || !self.endpoint.owes_answer(session) {
            return;
        }
        let Some(call) = self.calls.get_mut(id) else { return };
        let is_heard = match (place, call.fork.as_deref()) {
            (Place::Branch(branch), Some(fork)) => {
                fork.joined.is_none_or(|joined| joined == branch) && can_be_carried(call, branch)
            }
            _ => false,
        };
        let relays = match &call.a {
            Leg::Sip(a) => is_heard && a.sent.is_none() && self.endpoint.carries_offers_early(a.session),
            _ => false,
        };
        if !relays {
            self.answer_offer_of(session, step);
        }
    }

    /// The caller has answered: so is the callee.
    pub(super) fn answer_late_offer(&mut self, id: CallId, step: &mut Step<'_>) {
        let Some(Leg::Sip(leg)) = self.calls.get(id).and_then(|call| call.leg(Side::B)) else { return };
        if leg.late && self.endpoint.owes_answer(leg.session) {
            self.answer_offer_of(leg.session, step);
        }
    }

    /// Answers the offer of somebody who is called, with the codec that the caller uses where it can be.
    fn answer_offer_of(&mut self, session: SessionId, step: &mut Step<'_>) {
        let Some((id, place, _)) = self.sip_leg(session) else { return };
        let Some(call) = self.calls.get(id) else { return };
        let codec = match &call.a {
            Leg::Sip(a) => a.agreed.map(|agreed| agreed.codec),
            _ => None,
        };
        let wish = wish_of_caller(call);
        let side = super::renegotiation::heard_side(call, place);
        let Some((.., leg)) = self.sip_leg(session) else { return };
        let Some(offer) = leg.offer.clone() else { return };
        // RFC 3264 6.1 lets an answer leave out codecs: then nothing has to be transcoded.
        let alone = codec.map(|codec| sdp::Capabilities { codecs: vec![codec], ..leg.ours.clone() });
        let answered = alone.and_then(|ours| sdp::answer_with(&offer, &ours, wish).ok());
        let answered = answered.or_else(|| sdp::answer_with(&offer, &leg.ours, wish).ok());
        // It could be answered when it came.
        let Some((text, agreed)) = answered else { return };
        leg.told = Direction::of(agreed.sends, agreed.receives);
        (leg.sent, leg.agreed) = (Some(text.clone()), Some(agreed));
        if let Some(side) = side {
            self.refresh_stream(id, side, step);
        }
        self.endpoint.acknowledge(step.now, session, Some(Body::sdp(text)), &mut step.sip);
    }
}
