//! Reliable provisional responses and PRACK (RFC 3262), on both sides.
//!
//! Offers and answers in them follow RFC 6337 2.1: the offer of an INVITE may be answered in a reliable
//! response, which its 200 then does not repeat; an INVITE without offer may get one in a reliable
//! response, which PRACK answers; and when that is done, PRACK and UPDATE may bring a new offer.

use super::super::carried::Carried;
use super::super::endpoint::Endpoint;
use super::super::message::{HeaderName, Headers, Method, Request, Response};
use super::super::transaction::{Resend, ServerId};
use super::super::{Actions, Body, Ended, Event, Reliable, SessionId};
use super::State;
use super::callee::Ringing;
use super::caller::Early;
use super::outgoing::Outgoing;
use crate::time::Instant;
use std::collections::VecDeque;

/// Provisional responses that wait for the PRACK of an earlier one; further ones are left out.
pub(super) const QUEUE_MAX: usize = 8;

/// The extension of RFC 3262.
const TAG: &str = "100rel";

/// Our reliable provisional responses to one INVITE.
#[derive(Debug, Default)]
pub(in crate::sip) struct Provisionals {
    /// They are reliable: the peer requires it, or wants it and there is a description to carry.
    use_: Use,
    /// RSeq of the last one.
    last: Option<u32>,
    unacknowledged: Option<Unpracked>,
    /// What waits for that PRACK.
    queue: VecDeque<Provisional>,
    /// The 200 that waits for that PRACK.
    answer: Option<(Option<Body>, Carried)>,
    /// Offer and answer have been exchanged.
    pub(super) settled: bool,
}

/// When provisional responses to an INVITE are reliable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Use {
    #[default]
    Never,
    WithDescription,
    Always,
}

#[derive(Debug)]
struct Provisional {
    status: u16,
    body: Option<Body>,
    carried: Carried,
}

/// A reliable provisional response whose PRACK has not come.
#[derive(Debug)]
struct Unpracked {
    sequence: u32,
    has_body: bool,
    /// From T1, doubling without limit (3).
    resend: Resend,
    /// 64 T1.
    end: Instant,
}

fn lists(headers: &Headers, name: &HeaderName) -> bool {
    headers.tokens(name).iter().any(|tag| tag.eq_ignore_ascii_case(TAG))
}

/// RAck: RSeq, CSeq number and method of what is acknowledged (7.2).
fn acknowledged(request: &Request) -> Option<(u32, u32, Method)> {
    let text = request.headers.text(&HeaderName::RAck)?;
    let mut words = text.split_ascii_whitespace();
    let (sequence, number) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let method = Method::from_token(words.next()?);
    words.next().is_none().then_some((sequence, number, method))
}

impl Provisionals {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.unacknowledged.as_ref().map(|waiting| waiting.resend.at.min(waiting.end))
    }

    /// How many wait for the PRACK of an earlier one.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Whether a PRACK is waited for.
    pub(super) fn is_under_way(&self) -> bool {
        self.unacknowledged.is_some() || self.answer.is_some()
    }

    /// An offer of ours went out in a reliable response and has no answer yet.
    pub(super) fn has_offered(&self, invite_offers: bool) -> bool {
        !invite_offers && !self.settled && self.unacknowledged.as_ref().is_some_and(|waiting| waiting.has_body)
    }
}

impl Endpoint {
    /// Says how a trunk or phone wants provisional responses, before the first one is sent. An error is
    /// the response that its INVITE gets: 420 or 421 (RFC 3262 3).
    pub fn agree_on_reliability(&mut self, session: SessionId, policy: Reliable) -> Result<(), Response> {
        let Some(entry) = self.sessions.get_mut(session) else { return Ok(()) };
        let State::Ringing(ringing) = &mut entry.state else { return Ok(()) };
        let Some(server) = self.table.servers.get(ringing.server) else { return Ok(()) };
        let headers = &server.request.headers;
        let requires = lists(headers, &HeaderName::Require);
        let supports = requires || lists(headers, &HeaderName::Supported);
        entry.reliable = policy;
        ringing.provisionals.use_ = match policy {
            Reliable::Off if requires => return Err(Response::new(420).with(HeaderName::Unsupported, TAG)),
            Reliable::Required if !supports => return Err(Response::new(421).with(HeaderName::Require, TAG)),
            Reliable::Off => Use::Never,
            // "If the initial request contained a Require header field with the option tag 100rel, the UAS MUST send
            // any non-100 provisional response reliably" (3).
            _ if requires || policy == Reliable::Required => Use::Always,
            _ if supports => Use::WithDescription,
            _ => Use::Never,
        };
        Ok(())
    }

    /// Whether a description in a provisional response reaches the peer for certain, so that it may be
    /// an offer (RFC 3262 5).
    pub fn carries_offers_early(&self, session: SessionId) -> bool {
        match self.sessions.get(session).map(|s| &s.state) {
            Some(State::Ringing(ringing)) => ringing.provisionals.use_ != Use::Never,
            _ => false,
        }
    }

    /// Sends a provisional response, reliably where that was agreed on.
    pub(super) fn send_provisional(
        &mut self,
        now: Instant,
        ringing: &mut Ringing,
        status: u16,
        body: Option<Body>,
        carried: Carried,
        out: &mut Actions,
    ) {
        let provisionals = &mut ringing.provisionals;
        // "The UAS MUST NOT send a second reliable provisional response until the first is acknowledged" (3).
        if provisionals.unacknowledged.is_some() {
            if provisionals.queue.len() < QUEUE_MAX && provisionals.answer.is_none() {
                provisionals.queue.push_back(Provisional { status, body, carried });
            }
            return;
        }
        // What is settled is not said again (RFC 6337 2.1).
        let body = body.filter(|_| !provisionals.settled);
        let mut response = Response::new(status)
            .with(HeaderName::Contact, &ringing.dialog.contact)
            .with_content(body.clone(), carried);
        let reliable = match provisionals.use_ {
            Use::Always => true,
            Use::WithDescription => body.is_some(),
            Use::Never => false,
        };
        if reliable {
            // "The value of the RSeq [...] for the first [...] MUST be chosen uniformly between 1 and 2**31 - 1" (3).
            let first = 1 + (self.secrets.next_u32() >> 1) % (i32::MAX as u32);
            let sequence = provisionals.last.map_or(first, |last| last.wrapping_add(1));
            let resend = Resend { at: now + self.timers.t1, interval: self.timers.t1 };
            let end = now + self.timers.t1_64();
            provisionals.last = Some(sequence);
            provisionals.unacknowledged = Some(Unpracked { sequence, has_body: body.is_some(), resend, end });
            // RFC 3311 5.1: Allow in a reliable provisional response tells that UPDATE may follow.
            response = response
                .with(HeaderName::Require, TAG)
                .with(HeaderName::RSeq, sequence)
                .with(HeaderName::Allow, &self.allow);
        }
        self.respond(now, ringing.server, response, out);
    }

    /// A reliable response may be due again. False: its PRACK will not come any more.
    pub(super) fn repeat_provisional(&mut self, now: Instant, ringing: &mut Ringing, out: &mut Actions) -> bool {
        let Some(waiting) = &mut ringing.provisionals.unacknowledged else { return true };
        if waiting.end <= now {
            return false;
        }
        if waiting.resend.at <= now {
            waiting.resend = waiting.resend.doubled(now, None);
            self.send_again(now, ringing.server, out);
        }
        true
    }

    /// 3: "If a reliable provisional response is retransmitted for 64*T1 seconds without reception of a
    /// corresponding PRACK, the UAS SHOULD reject the original request with a 5xx response".
    pub(super) fn give_up_provisional(&mut self, now: Instant, id: SessionId, ringing: Ringing, out: &mut Actions) {
        self.refuse(now, id, ringing, Response::new(500), out);
        self.tell_end(id, Ended::PrackMissing, out);
    }

    /// Whether a 200 has to wait: "If the final response is 2xx and any of the unacknowledged reliable
    /// provisional responses contained a session description, the final response MUST be delayed" (3).
    /// Otherwise the body that it has.
    pub(super) fn may_accept(
        ringing: &mut Ringing,
        body: Option<Body>,
        carried: Carried,
    ) -> Result<(Option<Body>, Carried), ()> {
        let provisionals = &mut ringing.provisionals;
        if provisionals.unacknowledged.as_ref().is_some_and(|waiting| waiting.has_body) {
            provisionals.queue.clear();
            provisionals.answer = Some((body, carried));
            return Err(());
        }
        Ok((body.filter(|_| !provisionals.settled), carried))
    }

    /// PRACK came.
    pub(super) fn pracked(&mut self, now: Instant, id: SessionId, server: ServerId, out: &mut Actions) {
        let Some(request) = self.table.servers.get(server).map(|s| s.request.clone()) else { return };
        let Some(session) = self.sessions.get_mut(id) else { return };
        let rack = acknowledged(&request);
        let State::Ringing(ringing) = &mut session.state else {
            // It crossed our final response, which did not have to wait for it.
            let is_ours = rack.is_some_and(|(sequence, ..)| session.last_reliable == Some(sequence));
            return self.respond(now, server, Response::new(if is_ours { 200 } else { 481 }), out);
        };
        let expected =
            ringing.provisionals.unacknowledged.as_ref().map(|w| (w.sequence, ringing.number, Method::Invite));
        // "If a PRACK request is received by the UA core that does not match any unacknowledged reliable
        // provisional response, the UAS MUST respond to the PRACK with a 481" (3).
        if expected.is_none() || expected != rack {
            return self.respond(now, server, Response::new(481), out);
        }
        let invite_offers = self.table.servers.get(ringing.server).is_some_and(|s| s.request.describes());
        let had_body = ringing.provisionals.unacknowledged.take().is_some_and(|waiting| waiting.has_body);
        session.last_reliable = ringing.provisionals.last;
        ringing.provisionals.settled |= had_body;
        match request.typed_body().and_then(|body| body.description()) {
            Some(body) if had_body && !invite_offers => {
                self.respond(now, server, Response::new(200), out);
                out.events.push(Event::EarlyAnswer { session: id, body });
            }
            // A new offer needs an answered one before it (5).
            Some(_) if ringing.provisionals.settled => {
                self.add_pending(id, server);
                out.events.push(Event::Offer { session: id, server, request });
            }
            Some(_) | None => self.respond(now, server, Response::new(200), out),
        }
        self.go_on(now, id, out);
    }

    /// What waited for a PRACK.
    fn go_on(&mut self, now: Instant, id: SessionId, out: &mut Actions) {
        let State::Ringing(mut ringing) = self.take_state(id) else { return };
        if let Some((body, carried)) = ringing.provisionals.answer.take() {
            self.put_state(id, State::Ringing(ringing));
            return self.accept_with(now, id, body, carried, out);
        }
        while ringing.provisionals.unacknowledged.is_none()
            && let Some(Provisional { status, body, carried }) = ringing.provisionals.queue.pop_front()
        {
            self.send_provisional(now, &mut ringing, status, body, carried, out);
        }
        self.put_state(id, State::Ringing(ringing));
    }

    /// 4: a provisional response to our INVITE. False: it came before or out of order, and is not for
    /// the application.
    pub(super) fn acknowledge_provisional(
        &mut self,
        now: Instant,
        id: SessionId,
        early: &mut Early,
        offered: bool,
        response: &mut Response,
        out: &mut Actions,
    ) -> bool {
        let sequence = response.headers.text(&HeaderName::RSeq).and_then(|value| value.trim().parse::<u32>().ok());
        let wanted = self.sessions.get(id).is_some_and(|s| s.reliable != Reliable::Off);
        let Some(sequence) = sequence.filter(|_| wanted && lists(&response.headers, &HeaderName::Require)) else {
            return true;
        };
        // "If the UAC receives another reliable provisional response to the same request, and its RSeq value is not
        // one higher than the value of the sequence number, that response MUST NOT be acknowledged" (4).
        if early.last_reliable.is_some_and(|last| sequence != last.wrapping_add(1)) {
            return false;
        }
        early.last_reliable = Some(sequence);
        let body = response.typed_body().and_then(|body| body.description());
        if early.settled {
            // What is said beside a description counts still.
            let beside = response.beside_description();
            *response = std::mem::replace(response, Response::new(100)).described_by(None, beside);
        } else if offered && body.is_some() {
            (early.settled, early.answer) = (true, body);
        } else if body.is_some() {
            early.owed = Some(sequence);
            return true;
        }
        self.send_prack(now, id, early, sequence, None, out);
        true
    }

    /// Sends PRACK in an early dialog.
    pub(super) fn send_prack(
        &mut self,
        now: Instant,
        id: SessionId,
        early: &mut Early,
        sequence: u32,
        body: Option<Body>,
        out: &mut Actions,
    ) {
        let request = early
            .dialog
            .request(Method::Prack)
            .with(HeaderName::RAck, format_args!("{sequence} {} INVITE", early.number))
            .with_body(body);
        let credentials = self.sessions.get(id).and_then(|s| s.credentials.clone());
        let outgoing = self.outgoing.insert(Outgoing::new(Method::Prack, Some(id), credentials).silently());
        self.send_outgoing(now, outgoing, early.dialog.next_hop(), request, out);
    }
}
