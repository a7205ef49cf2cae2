//! The endpoint with a guard in front of it.

use super::super::endpoint::Endpoint;
use super::super::parser::Message;
use super::super::{Actions, Flow, HeaderName, Method, Request, Response};
use super::{Guard, Identity, Need, Screened, need};
use crate::time::{Duration, Instant};
use std::net::IpAddr;

/// Seconds after which a caller who met a full gateway may try again (RFC 3261 20.33): spread, so that
/// those refused together do not come back together.
const RETRY_AFTER_S: std::ops::RangeInclusive<u32> = 2..=6;

impl Endpoint {
    /// Puts a guard in front: from now on requests outside of dialogs prove who sent them.
    pub fn set_guard(&mut self, guard: Guard) {
        self.guard = Some(guard);
    }

    /// The guard, to ask or to tell.
    pub fn guard_mut(&mut self) -> Option<&mut Guard> {
        self.guard.as_mut()
    }

    /// Whether there is room for no more calls: new INVITEs get 503 until it is said otherwise.
    pub fn set_full(&mut self, full: bool) {
        if let Some(guard) = &mut self.guard {
            guard.set_full(full);
        }
    }

    /// Who sent a request that the guard let in; anybody without a guard.
    pub fn identify(&mut self, now: Instant, request: &Request, flow: &Flow) -> Identity {
        self.guard.as_mut().map_or(Identity::Anybody, |guard| guard.identify(now, request, flow))
    }

    /// Shuts addresses out again that were before a restart, each until then.
    pub fn ban(&mut self, now: Instant, bans: &[(IpAddr, Instant)]) {
        if let Some(guard) = &mut self.guard {
            guard.ban(now, bans);
        }
    }

    /// How long an address is shut out that failed too often.
    pub fn ban_lasts(&self) -> Option<Duration> {
        self.guard.as_ref().and_then(|guard| guard.ban_lasts())
    }

    /// Addresses that are shut out.
    pub fn banned(&self, now: Instant) -> Vec<IpAddr> {
        self.guard.as_ref().map_or_else(Vec::new, |guard| guard.banned(now))
    }

    /// Whether a message ends here, answered or not.
    pub(in crate::sip) fn is_kept_out(&mut self, now: Instant, flow: Flow, bytes: &[u8], out: &mut Actions) -> bool {
        let Some(guard) = &mut self.guard else { return false };
        let mut reply = out.spare.pop().unwrap_or_default();
        reply.clear();
        let verdict = guard.screen(now, &flow, bytes, &mut reply, &mut out.events);
        if let Screened::Answer(to) = verdict {
            self.connections.send(now, to, None, reply, out);
            return true;
        }
        if reply.capacity() > 0 {
            out.spare.push(reply);
        }
        verdict == Screened::Silence
    }

    /// Whether one more refusal may go to where a request came from; always without a guard.
    pub(in crate::sip) fn may_refuse(&mut self, now: Instant, flow: &Flow) -> bool {
        self.guard.as_mut().is_none_or(|guard| guard.may_refuse(now, flow.remote.ip()))
    }

    /// Whether a request stands for a dialog or a transaction that there is none of: it is refused without
    /// state, as its sender has not been asked who he is.
    pub(in crate::sip) fn concerns_nothing(&self, message: &Message<'_>, method: &Method, cancels: bool) -> bool {
        if self.guard.is_none() {
            return false;
        }
        match (method, message.to.tag()) {
            (Method::Cancel, _) => !cancels,
            (method, Some(tag)) if need(method.as_str().as_bytes(), true) == Need::Dialog => {
                self.by_tag.get(tag).is_none() && self.subscription_by_tag.get(tag).is_none()
            }
            _ => false,
        }
    }

    /// What an INVITE that would begin a call is answered while there is no room, without state.
    pub(in crate::sip) fn overload(&mut self, now: Instant, method: &Method, tagged: bool) -> Option<Response> {
        if *method != Method::Invite || tagged || self.guard.as_mut().is_none_or(|guard| guard.admits_call(now)) {
            return None;
        }
        let spread = RETRY_AFTER_S.end() - RETRY_AFTER_S.start() + 1;
        let retry = RETRY_AFTER_S.start() + self.secrets.next_u32() % spread;
        // Switching equipment congestion, for those who look for a cause (RFC 6432).
        let reason = super::super::Reason::q850(42);
        Some(Response::new(503).with(HeaderName::RetryAfter, retry).with(HeaderName::Reason, reason))
    }
}
