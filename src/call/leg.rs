//! A leg behind trunk events: what a SIP session, a line or a service says and is told.
//!
//! The translation between SIP and trunk events is here, as functions of plain values:
//!
//! ```text
//!   180 ──▶ ACM subscriber free, later CPG alerting      ACM, CPG alerting ──▶ 180
//!   183 ──▶ ACM no indication, later CPG progress        ACM no indication ──▶ 183
//!   181, 182 ──▶ CPG forwarded, queued                   CPG forwarded, queued ──▶ 181, 182
//!   SDP in either ──▶ the in-band flag                   in-band flag ──▶ 183 with SDP
//!   200 ──▶ ANM, or CON without ACM before               ANM, CON ──▶ 200
//!   4xx-6xx ──▶ REL by Reason, else RFC 3398 8.2.6.1     REL before answer ──▶ 7.2.4.1 and Reason
//!   BYE, CANCEL ──▶ REL by Reason, else 16               REL after answer ──▶ BYE and Reason
//! ```
//!
//! (RFC 3398 7.2.5 to 7.2.9 and 8.2.3.)

use crate::ids::{GroupId, PortId};
use crate::isup::Cic;
use crate::media::StreamId;
use crate::sdp::{Agreed, Capabilities, Direction};
use crate::sip::{Carried, RequestId, SessionId};
use crate::trunk::{CalledStatus, Progress, TrunkEvent};

/// One end of a call.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "most legs are SIP sessions; a box would cost each of them")]
pub enum Leg {
    /// A SIP session.
    Sip(SipLeg),
    /// A telephone or exchange line on a port.
    Line(PortId),
    /// A circuit to an exchange.
    Circuit {
        /// Its group.
        group: GroupId,
        /// Which one; the call may move to another as long as nothing was heard of it.
        cic: Cic,
    },
    /// The gateway itself.
    Service(crate::media::Service),
    /// Whoever asked for the call by a command: a side that says and hears nothing.
    Operator,
}

/// A SIP session as a leg.
#[derive(Debug)]
pub struct SipLeg {
    /// The session in the SIP core.
    pub session: SessionId,
    /// Whether the peer called us.
    pub incoming: bool,
    /// Whether an ACM passed: decides between ACM and CPG, ANM and CON.
    pub acm_passed: bool,
    /// What the peer offered, when it called us and offered.
    pub offer: Option<Vec<u8>>,
    /// The answer or offer that we sent; repeated in every later response (RFC 3261 13.2.1).
    pub sent: Option<String>,
    /// What was agreed.
    pub agreed: Option<Agreed>,
    /// What we can do on this leg, and the port where we would receive it.
    pub ours: Capabilities,
    /// The media stream: promised, or running when `started`.
    pub stream: StreamId,
    /// Whether the stream was handed to its worker.
    pub started: bool,
    /// The session ended; nothing can be said to it any more.
    pub ended: bool,
    /// What the peer itself wants to send and to hear, as it last said: [`Direction::SendOnly`] and
    /// [`Direction::Inactive`] are hold.
    pub wants: Direction,
    /// The direction of the last description that we sent.
    pub told: Direction,
    /// Our offer inside the dialog that has no answer yet.
    pub offered: Option<Offered>,
    /// Digits go to it by INFO.
    pub digits_by_info: bool,
    /// What its last message that matters brings for the other leg: the INVITE of the caller, or what ended it.
    pub brings: Option<Box<Carried>>,
    /// Requests of it that wait for the answer of the other leg.
    pub crossing: usize,
    /// Our INVITE had no offer, since the caller's had none: the peer makes it, and our answer is the caller's.
    pub late: bool,
    /// It joined just now, so that a new offer would tell it nothing.
    pub fresh: bool,
}

/// An offer of ours inside a dialog.
#[derive(Debug)]
pub struct Offered {
    /// The re-INVITE.
    pub request: RequestId,
    /// The description.
    pub text: String,
    /// Its direction.
    pub direction: Direction,
}

impl SipLeg {
    /// A leg that says nothing yet.
    pub fn new(
        session: SessionId,
        incoming: bool,
        offer: Option<Vec<u8>>,
        stream: StreamId,
        ours: Capabilities,
    ) -> Self {
        SipLeg {
            session,
            incoming,
            acm_passed: false,
            offer,
            sent: None,
            agreed: None,
            ours,
            stream,
            started: false,
            ended: false,
            wants: Direction::SendRecv,
            told: Direction::SendRecv,
            offered: None,
            digits_by_info: false,
            brings: None,
            crossing: 0,
            late: false,
            fresh: false,
        }
    }

    /// Digits go to the peer by INFO: telephone-event is not agreed on, or it would get them twice.
    pub fn take_digits_by_info(&mut self, by_info: bool) {
        self.digits_by_info = by_info;
        self.ours.events &= !by_info;
    }
}

/// What a provisional response from the called side means (RFC 3398 8.2.3); `None` for 100.
///
/// `has_media`: it carried SDP, so its audio can be heard (or an earlier one did).
pub fn event_of_provisional(status: u16, acm_passed: bool, has_media: bool) -> Option<TrunkEvent> {
    if !(101..200).contains(&status) {
        return None;
    }
    Some(if acm_passed || matches!(status, 181 | 182) {
        let event = match status {
            180 => Progress::Alerting,
            181 => Progress::Forwarded,
            182 => Progress::Queued,
            _ if has_media => Progress::InBand,
            _ => Progress::Progress,
        };
        TrunkEvent::Cpg { event, in_band: has_media }
    } else {
        let status = if status == 180 { CalledStatus::SubscriberFree } else { CalledStatus::NoIndication };
        TrunkEvent::Acm { status, in_band: has_media }
    })
}

/// The provisional response that an event becomes, and whether it carries SDP
/// (RFC 3398 7.2.5 to 7.2.8).
pub fn provisional_of_event(event: &TrunkEvent) -> Option<(u16, bool)> {
    match event {
        TrunkEvent::Acm { status: CalledStatus::SubscriberFree, in_band }
        | TrunkEvent::Cpg { event: Progress::Alerting, in_band } => Some((180, *in_band)),
        TrunkEvent::Cpg { event, in_band } if event.is_forwarding() => Some((181, *in_band)),
        TrunkEvent::Cpg { event: Progress::Queued, in_band } => Some((182, *in_band)),
        TrunkEvent::Acm { in_band, .. } | TrunkEvent::Cpg { in_band, .. } => Some((183, *in_band)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provisional_responses_keep_their_meaning_through_the_trunk() {
        for acm_passed in [false, true] {
            for has_media in [false, true] {
                for status in [180, 181, 182, 183] {
                    let event = event_of_provisional(status, acm_passed, has_media);
                    let event = event.expect("180 to 183 have a meaning");
                    assert_eq!(provisional_of_event(&event), Some((status, has_media)), "{event:?}");
                }
            }
        }
        assert_eq!(event_of_provisional(100, false, false), None);
    }
}
