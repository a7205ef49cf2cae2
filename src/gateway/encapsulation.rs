//! SIP-I, SIP-T: ISUP in the bodies of a trunk that reads it (`encapsulate`, RFC 3204, RFC 3372), and what is taken from
//! the bodies that it sends.
//!
//! Header fields and statuses win over bodies, a Reason over the REL beside it (RFC 3398 7.2.1.1, 7.2.3); a body adds what
//! SIP has no words for. Towards a trunk that only translates no ISUP passes.

use super::Gateway;
use super::calls::Place;
use super::transfer::name_of;
use crate::call::b2bua::Side;
use crate::call::isup::{self, body};
use crate::call::leg::provisional_of_event;
use crate::call::{Call, CallId};
use crate::config::Encapsulate;
use crate::isup::{Message, MessageType, Variant};
use crate::sip::{Body, Carried};
use crate::trunk::{Iam, IsupBody, TrunkEvent};
use tracing::debug;

impl Gateway {
    /// How ISUP is written in the bodies of `trunk/NAME`; `None` for whoever reads none.
    pub(super) fn isup_in_bodies(&self, party: &str) -> Option<isup::Side> {
        let name = party.strip_prefix("trunk/")?;
        let trunk = self.config.trunks.iter().find(|trunk| trunk.name == name)?;
        let variant = match trunk.profile.encapsulate {
            Encapsulate::Nothing => return None,
            Encapsulate::Itu => Variant::Itu,
            Encapsulate::Ansi => Variant::Ansi,
        };
        Some(isup::Side { name: name.to_owned(), variant, ..isup::Side::default() })
    }

    /// Adds the IAM of a call to what its INVITE to `party` brings.
    pub(super) fn with_iam(&self, call: &Call, party: &str, number: &str, mut carried: Carried) -> Carried {
        let Some(side) = self.isup_in_bodies(party) else { return carried };
        let hops = call.iam.hops.map(|hops| hops.saturating_sub(1));
        let iam = Iam { called: number.to_owned(), diversions: call.diversions.clone(), hops, ..call.iam.clone() };
        let message = isup::iam_message(&iam, &side);
        match message.ok().and_then(|message| body::octets_of(&message, &side)) {
            Some(octets) => carried.parts.push(body::part_of(&octets)),
            // A number that only SIP can say.
            None => debug!(call = call.number, party, "no IAM can tell of this call"),
        }
        carried
    }

    /// Reads the IAM in an INVITE of `party`.
    ///
    /// # Errors
    /// The status that refuses a body which must be read and can't be.
    pub(super) fn read_iam(&self, party: &str, iam: Iam, carried: &Carried) -> Result<Iam, u16> {
        let Some(side) = self.isup_in_bodies(party) else { return Ok(iam) };
        let Some(part) = carried.parts.iter().find(|part| part.body.is(body::MEDIA_TYPE)) else { return Ok(iam) };
        match body::message_in(&part.body, &side).filter(|message| message.kind() == MessageType::IAM) {
            Some(message) => Ok(body::merged(iam, &message, &side, party)),
            None if body::must_be_read(part) => Err(415),
            None => Ok(iam),
        }
    }

    /// Adds the message that says `event` to what the SIP leg of `side` is sent.
    ///
    /// RFC 3398 7.2.4: "The gateway SHOULD NOT return a response with encapsulated ISUP if the originator of the INVITE did
    /// not enclose ISUP itself."
    pub(super) fn with_isup(&self, id: CallId, side: Side, event: &TrunkEvent, mut carried: Carried) -> Carried {
        let Some(call) = self.calls.get(id) else { return carried };
        let Some(written) = self.isup_in_bodies(name_of(call, side)) else { return carried };
        if side == Side::A && call.iam.isup.is_none() {
            return carried;
        }
        let heard = said_by(call, side.other());
        let message = body::message_for_body(event, heard, &written);
        if let Some(octets) = message.and_then(|message| body::octets_of(&message, &written)) {
            carried.parts.push(body::part_of(&octets));
        }
        carried
    }

    /// Reads the ISUP message of a body that the SIP leg in `place` sent; it is remembered for the other leg.
    fn read_isup(&mut self, id: CallId, place: Place, content: Option<&Body>) -> Option<(Message, isup::Side)> {
        let call = self.calls.get(id)?;
        let (party, said_by) = match place {
            Place::Side(side) => (name_of(call, side).to_owned(), side),
            Place::Branch(branch) => (call.fork.as_ref()?.leg(branch)?.target.to_string(), Side::B),
        };
        let side = self.isup_in_bodies(&party)?;
        let message = body::message_in(&content?.part(body::MEDIA_TYPE)?, &side)?;
        let octets = body::octets_of(&message, &side)?;
        self.remember_isup(id, said_by, octets);
        Some((message, side))
    }

    /// What a leg said last in ISUP, for the other one.
    pub(super) fn remember_isup(&mut self, id: CallId, side: Side, octets: IsupBody) {
        if let Some(call) = self.calls.get_mut(id) {
            call.said_in_isup = Some(Box::new((side, octets)));
        }
    }

    /// What a provisional response or an answer means with the ISUP message in its body: that is more exact (who was
    /// busy when the call was forwarded), and holds as far as it becomes the status that it came with.
    pub(super) fn event_with_body(
        &mut self,
        id: CallId,
        place: Place,
        content: Option<&Body>,
        event: TrunkEvent,
    ) -> TrunkEvent {
        let Some((message, side)) = self.read_isup(id, place, content) else { return event };
        let status = |event: &TrunkEvent| provisional_of_event(event).map(|(status, _)| status);
        let said = isup::event_of(&message, &side).filter(|said| status(said) == status(&event));
        match (event, said) {
            // Whether anything can be heard is said by the description.
            (TrunkEvent::Cpg { in_band, .. }, Some(TrunkEvent::Cpg { event, .. })) => {
                TrunkEvent::Cpg { event, in_band }
            }
            (event, _) => event,
        }
    }

    /// The REL in the body with which a session ended.
    pub(super) fn release_in_body(
        &mut self,
        id: CallId,
        place: Place,
        content: Option<&Body>,
    ) -> Option<crate::trunk::Release> {
        let (message, side) = self.read_isup(id, place, content)?;
        match isup::event_of(&message, &side)? {
            TrunkEvent::Rel(release) => Some(release),
            _ => None,
        }
    }
}

/// What that side of a call said last in ISUP.
pub(super) fn said_by(call: &Call, side: Side) -> Option<&IsupBody> {
    call.said_in_isup.as_deref().filter(|(by, _)| *by == side).map(|(_, body)| body)
}

/// Without the parts that we write ourselves, and that whoever only translates doesn't get.
pub(super) fn without_isup(mut carried: Carried) -> Carried {
    carried.parts.retain(|part| !part.body.is(body::MEDIA_TYPE));
    carried
}
