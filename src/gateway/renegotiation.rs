//! Offers inside a dialog: re-INVITE (RFC 3261 14) and UPDATE (RFC 3311).
//!
//! What the peer offers is answered for its own leg: a new address, another law, hold. The other
//! leg keeps what it has, so hold ends at the gateway.

use super::Gateway;
use super::Step;
use crate::call::leg::Leg;
use crate::sdp;
use crate::sip::{Body, Header, HeaderName, Method, Request, Response, ServerTransactionId, SessionId};
use tracing::debug;

impl Gateway {
    /// A re-INVITE or UPDATE came; it is answered at once.
    pub(super) fn offered(
        &mut self,
        session: SessionId,
        server: ServerTransactionId,
        request: &Request,
        step: &mut Step<'_>,
    ) {
        let offer = request.typed_body().filter(|body| body.is("application/sdp"));
        let response = self.answer_offer(session, offer, request.method == Method::Invite, step);
        self.endpoint.reply(step.now, server, response, &mut step.sip);
    }

    fn answer_offer(
        &mut self,
        session: SessionId,
        offer: Option<Body>,
        is_invite: bool,
        step: &mut Step<'_>,
    ) -> Response {
        let found = self.sessions.get(&session).copied();
        let Some((id, side)) = found else { return Response::new(481) };
        let Some(Leg::Sip(leg)) = self.calls.get_mut(id).and_then(|call| call.leg_mut(side)) else {
            return Response::new(481);
        };
        // RFC 3264 8: the same o= line with the version one higher.
        let ours = sdp::Capabilities { version: leg.ours.version.saturating_add(1), ..leg.ours.clone() };
        let text = match offer {
            Some(offer) => match sdp::answer(&offer.bytes, &ours) {
                Ok((answer, agreed)) => {
                    leg.agreed = Some(agreed);
                    answer
                }
                // RFC 3261 14.2: a refused offer leaves the session as it was.
                Err(reject) => {
                    debug!(why = %reject, "offer refused");
                    let warning = format!("305 {} \"{}\"", self.config.sip.domain, reject.why);
                    return Response::new(reject.status).with_headers([Header::new(HeaderName::Warning, warning)]);
                }
            },
            // RFC 3261 14.2: a re-INVITE without an offer asks for ours; UPDATE without one refreshes.
            None if is_invite => match &leg.sent {
                Some(sent) => sdp::offer_again(sent, &ours),
                None => sdp::offer(&ours),
            },
            None => return Response::new(200),
        };
        leg.ours = ours;
        leg.sent = Some(text.clone());
        self.refresh_stream(id, side, step);
        Response::new(200).with_body(Some(Body::sdp(text)))
    }

    /// The ACK for our 200 to a re-INVITE came, with an answer when the offer was ours.
    pub(super) fn acknowledged(&mut self, session: SessionId, body: Option<&Body>, step: &mut Step<'_>) {
        let Some((id, side)) = self.sessions.get(&session).copied() else { return };
        let Some(Leg::Sip(leg)) = self.calls.get_mut(id).and_then(|call| call.leg_mut(side)) else { return };
        let Some(body) = body else { return };
        match sdp::accept(&body.bytes, &leg.ours) {
            Ok(agreed) => {
                leg.agreed = Some(agreed);
                self.refresh_stream(id, side, step);
            }
            Err(reject) => debug!(why = %reject, "answer is not acceptable"),
        }
    }
}
