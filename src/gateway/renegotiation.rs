//! Offers inside a dialog: re-INVITE (RFC 3261 14), UPDATE (RFC 3311), and what they mean for the
//! other leg.
//!
//! An offer is answered at once for its own leg. What it changes for the far party - hold, resume, a
//! codec that it could use too - is then offered to the other leg, so that a party that is held is
//! really held and hears what the holder plays. Before the call is answered that goes by UPDATE, to a leg whose
//! early dialog is ready for one (100rel, UPDATE allowed); any other leg is told with the answer, as until then it
//! can be told nothing (RFC 3261 13.2.1 has no second offer in an INVITE). What a request brings beside its offer
//! goes along with the offer that it causes; a part of a body is reason enough for one. Glare between such offers is the matter of
//! [`crate::sip::Endpoint::offer`]. A line or a service needs no offer: its stream follows by itself.

use super::transfer::name_of;
use super::{Gateway, Step};
use crate::call::b2bua::Side;
use crate::call::leg::{Leg, Offered, SipLeg};
use crate::call::{Call, CallId};
use crate::gateway::calls::Place;
use crate::sdp::{self, Agreed, Capabilities, Codec, Direction};
use crate::sip::{
    Body, Carried, Failure, Header, HeaderName, Method, Request, RequestId, Response, ServerTransactionId, SessionId,
};
use tracing::{debug, info};

impl Gateway {
    /// A re-INVITE, UPDATE or PRACK with an offer came; it is answered at once.
    pub(super) fn offered(
        &mut self,
        session: SessionId,
        server: ServerTransactionId,
        request: &Request,
        step: &mut Step<'_>,
    ) {
        let offer = request.typed_body().and_then(|body| body.part("application/sdp"));
        let is_invite = request.method == Method::Invite;
        let before = self.codec_of(session);
        let carried = self.brought_in_dialog(session, request);
        // RFC 3261 8.2.3: a body that neither we nor the other end read.
        if carried.parts.is_empty()
            && let Some(refusal) = self.endpoint.unread_body(request)
        {
            return self.endpoint.reply(step.now, server, refusal, &mut step.sip);
        }
        let response = match (offer, is_invite) {
            (Some(offer), _) => self.answer_offer(session, &offer, step),
            (None, true) => self.offer_instead(session),
            (None, false) => Response::new(200),
        };
        let is_agreed = response.status == 200;
        self.endpoint.reply(step.now, server, response, &mut step.sip);
        if is_agreed {
            self.pass_on(session, before, carried, step);
        }
    }

    /// What a request in a dialog brings for the other leg.
    fn brought_in_dialog(&mut self, session: SessionId, request: &Request) -> Carried {
        let carried = Carried::of_request(request).without(&HeaderName::Accept);
        let Some((id, place, _)) = self.sip_leg(session) else { return Carried::default() };
        let Some((call, side)) = self.calls.get(id).and_then(|call| Some((call, heard_side(call, place)?))) else {
            return Carried::default();
        };
        match call.leg(side.other()) {
            Some(Leg::Sip(other)) if !other.ended => {
                self.between(name_of(call, side), name_of(call, side.other()), carried)
            }
            _ => Carried::default(),
        }
    }

    fn codec_of(&mut self, session: SessionId) -> Option<Codec> {
        self.sip_leg(session).and_then(|(.., leg)| leg.agreed).map(|agreed| agreed.codec)
    }

    /// What the party behind the other leg sends and hears: RFC 3264 6.1 lets an answer say less than
    /// the offer, and a party that holds is not resumed by the other one.
    pub(super) fn wish_for(&self, id: CallId, place: Place) -> Direction {
        let call = self.calls.get(id);
        let other = call.and_then(|call| call.leg(heard_side(call, place)?.other()));
        match other {
            Some(Leg::Sip(other)) => other.wants,
            Some(Leg::Circuit { group, cic }) => self.circuits.wish(*group, *cic),
            _ => Direction::SendRecv,
        }
    }

    fn answer_offer(&mut self, session: SessionId, offer: &Body, step: &mut Step<'_>) -> Response {
        let Some((id, place, _)) = self.sip_leg(session) else { return Response::new(481) };
        let wish = self.wish_for(id, place);
        let domain = self.config.sip.domain.clone();
        let Some((.., leg)) = self.sip_leg(session) else { return Response::new(481) };
        let answered = sdp::answer(&offer.bytes, &leg.ours)
            .and_then(|(_, wanted)| Ok((wanted, sdp::answer_with(&offer.bytes, &leg.ours, wish)?)));
        let (wanted, (same, agreed)) = match answered {
            Ok(answered) => answered,
            // RFC 3261 14.2: a refused offer leaves the session as it was.
            Err(reject) => {
                debug!(why = %reject, "offer refused");
                let warning = format!("305 {domain} \"{}\"", reject.why);
                return Response::new(reject.status).with_headers([Header::new(HeaderName::Warning, warning)]);
            }
        };
        // RFC 3264 8: the version grows with every description that differs from the one before.
        let text = match leg.sent.as_ref() == Some(&same) {
            true => same,
            false => {
                leg.ours.version = leg.ours.version.saturating_add(1);
                sdp::answer_with(&offer.bytes, &leg.ours, wish).map_or(same, |(text, _)| text)
            }
        };
        leg.wants = Direction::of(wanted.receives, wanted.sends);
        leg.told = Direction::of(agreed.sends, agreed.receives);
        leg.agreed = Some(agreed);
        leg.sent = Some(text.clone());
        if let Some(side) = self.calls.get(id).and_then(|call| heard_side(call, place)) {
            self.refresh_stream(id, side, step);
        }
        Response::new(200).with_body(Some(Body::sdp(text)))
    }

    /// RFC 3261 14.2: a re-INVITE without an offer asks for ours, "as if the UAS were making a brand new call".
    fn offer_instead(&mut self, session: SessionId) -> Response {
        let Some((id, place, _)) = self.sip_leg(session) else { return Response::new(481) };
        let wish = self.wish_for(id, place);
        let Some((.., leg)) = self.sip_leg(session) else { return Response::new(481) };
        let text = leg.describe(None, wish);
        leg.told = wish;
        leg.sent = Some(text.clone());
        Response::new(200).with_body(Some(Body::sdp(text)))
    }

    /// The ACK for our 200 to a re-INVITE came, with an answer when the offer was ours.
    pub(super) fn acknowledged(&mut self, session: SessionId, body: Option<&Body>, step: &mut Step<'_>) {
        let Some(body) = body.and_then(|body| body.part("application/sdp")) else { return };
        let before = self.codec_of(session);
        if self.take_answer(session, &body, step) {
            self.pass_on(session, before, Carried::default(), step);
        }
    }

    /// Reads the answer to an offer of ours inside the dialog.
    fn take_answer(&mut self, session: SessionId, body: &Body, step: &mut Step<'_>) -> bool {
        let Some((id, place, leg)) = self.sip_leg(session) else { return false };
        match sdp::accept(&body.bytes, &leg.ours) {
            Ok(agreed) => {
                // What we did not offer says nothing about what the peer wants, and a party that holds
                // takes that back by an offer of its own, or when everything was offered to it.
                let (told, wants) = (leg.told, leg.wants);
                leg.wants = match told {
                    Direction::SendRecv => Direction::of(agreed.receives, agreed.sends),
                    _ => Direction::of(
                        wants.sends() && (agreed.receives || !told.receives()),
                        wants.receives() && (agreed.sends || !told.sends()),
                    ),
                };
                let (sends, receives) = (agreed.sends && told.sends(), agreed.receives && told.receives());
                leg.agreed = Some(Agreed { sends, receives, ..agreed });
                if let Some(side) = self.calls.get(id).and_then(|call| heard_side(call, place)) {
                    self.refresh_stream(id, side, step);
                }
                true
            }
            Err(reject) => {
                debug!(why = %reject, "answer is not acceptable");
                false
            }
        }
    }

    /// Offers to the other leg what has changed on this one.
    fn pass_on(&mut self, session: SessionId, codec_before: Option<Codec>, carried: Carried, step: &mut Step<'_>) {
        let Some((id, place, leg)) = self.sip_leg(session) else { return };
        let (direction, codec) = (leg.wants, leg.agreed.map(|agreed| agreed.codec));
        let waits = leg.offered.is_some();
        let changed = codec.filter(|_| codec != codec_before);
        // A branch that is not heard has nothing to do with the caller yet.
        let Some(side) = self.calls.get(id).and_then(|call| heard_side(call, place)) else { return };
        let has_parts = !carried.parts.is_empty();
        self.offer_with(id, side.other(), direction, changed, has_parts, carried, step);
        if waits {
            // Our own offer still waits for its turn, and its version has been overtaken.
            let wish = self.wish_for(id, Place::Side(side));
            self.offer_to(id, side, wish, None, true, step);
        }
    }

    /// Makes sure that the leg of `side` knows a direction, and uses a codec if it can; `anyway` when
    /// something else has changed that it must know.
    pub(super) fn offer_to(
        &mut self,
        id: CallId,
        side: Side,
        direction: Direction,
        codec: Option<Codec>,
        anyway: bool,
        step: &mut Step<'_>,
    ) {
        self.offer_with(id, side, direction, codec, anyway, Carried::default(), step);
    }

    /// Both sides know from the answer on what the other one wanted before: a hold while it rang, or a callee who
    /// answers holding.
    pub(super) fn tell_holds(&mut self, id: CallId, step: &mut Step<'_>) {
        for side in [Side::A, Side::B] {
            let wish = self.wish_for(id, Place::Side(side));
            self.offer_to(id, side, wish, None, false, step);
        }
    }

    /// As [`Gateway::offer_to`], with what the other leg brings.
    #[allow(clippy::too_many_arguments, reason = "all are needed, and a struct for two calls says no more")]
    fn offer_with(
        &mut self,
        id: CallId,
        side: Side,
        direction: Direction,
        codec: Option<Codec>,
        anyway: bool,
        carried: Carried,
        step: &mut Step<'_>,
    ) {
        let Some(call) = self.calls.get_mut(id).filter(|call| call.is_up()) else { return };
        let (number, is_early) = (call.number, call.answered_at.is_none());
        let Some(Leg::Sip(leg)) = call.leg_mut(side) else { return };
        if leg.ended || (is_early && !self.endpoint.may_offer_early(leg.session)) {
            return;
        }
        // A party that holds is offered no more than it wants; the rest it takes by itself.
        let (sends, receives) = (leg.wants.receives(), leg.wants.sends());
        let within = |d: Direction| Direction::of(d.sends() && sends, d.receives() && receives);
        let known = within(leg.offered.as_ref().map_or(leg.told, |offered| offered.direction));
        let direction = within(direction);
        let codec = codec
            .filter(|codec| leg.ours.codecs.contains(codec) && leg.agreed.is_some_and(|agreed| agreed.codec != *codec));
        if known == direction && codec.is_none() && !anyway {
            return;
        }
        let text = leg.describe(codec, direction);
        let session = leg.session;
        info!(call = number, leg = ?side, direction = direction.as_str(), "offer passed on");
        let (body, headers) = carried.content(Some(Body::sdp(text.clone())));
        let request = match (is_early, body) {
            (true, Some(body)) => self.endpoint.offer_early(step.now, session, body, headers, &mut step.sip),
            (_, body) => self.endpoint.offer(step.now, session, body, headers, &mut step.sip),
        };
        if let Some((.., leg)) = self.sip_leg(session) {
            leg.offered = request.map(|request| Offered { request, text, direction });
        }
    }

    /// The answer to a re-INVITE of ours, or why there is none. Refreshes that the SIP core sends by
    /// itself are answered here too.
    pub(super) fn offer_answered(
        &mut self,
        request: RequestId,
        session: Option<SessionId>,
        outcome: &Result<Response, Failure>,
        step: &mut Step<'_>,
    ) {
        let Some(session) = session else { return };
        let before = self.codec_of(session);
        let Some((.., leg)) = self.sip_leg(session) else { return };
        let ours = leg.offered.take_if(|offered| offered.request == request);
        let Ok(response) = outcome else { return };
        if !(200..=299).contains(&response.status) {
            // RFC 3261 14.1: "the session [...] continues as if the re-INVITE had never been issued".
            debug!(status = response.status, "offer refused by the peer");
            return;
        }
        let Some(body) = response.typed_body().and_then(|body| body.part("application/sdp")) else { return };
        if let Some(Offered { text, direction, .. }) = ours {
            (leg.sent, leg.told) = (Some(text), direction);
        }
        if self.take_answer(session, &body, step) {
            self.pass_on(session, before, Carried::default(), step);
        }
    }
}

/// The side that a leg is: a branch whose media the caller hears is the called one.
pub(super) fn heard_side(call: &Call, place: Place) -> Option<Side> {
    match place {
        Place::Side(side) => Some(side),
        Place::Branch(branch) if call.b.is_none() && call.fork.as_ref()?.joined == Some(branch) => Some(Side::B),
        Place::Branch(_) => None,
    }
}

impl SipLeg {
    /// A description of ours inside the dialog, with this codec first.
    pub(super) fn describe(&mut self, first: Option<Codec>, direction: Direction) -> String {
        self.ours.version = self.ours.version.saturating_add(1);
        let mut codecs: Vec<Codec> = first.into_iter().collect();
        codecs.extend(self.agreed.map(|agreed| agreed.codec).filter(|codec| !codecs.contains(codec)));
        codecs.extend(self.ours.codecs.iter().filter(|codec| !codecs.contains(codec)).collect::<Vec<_>>());
        codecs.retain(|codec| self.ours.codecs.contains(codec));
        let ours = Capabilities { codecs, ..self.ours.clone() };
        match &self.sent {
            Some(sent) => sdp::offer_again(sent, &ours, direction),
            None => sdp::offer_with(&ours, direction),
        }
    }
}
