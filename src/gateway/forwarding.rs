//! Calls sent on: forwarding of telephones, redirects (3xx), and what those who are called next are told.
//!
//! A telephone forwards as its configuration says; the new number is dialled with the rights of the
//! telephone that forwards. A redirect leads only to where the one who redirects could have
//! called: to numbers of this exchange through the dial plan, and from a trunk to that trunk. So neither
//! sends calls to addresses that a stranger names.

use super::{Gateway, Step};
use crate::call::branches::{BranchId, Failure};
use crate::call::fork::{Candidate, GoesOn, SipTarget, Step as ForkStep};
use crate::call::{Call, CallId, Diversion, DiversionReason};
use crate::config::{Forward, Redirects};
use crate::dialplan::{Target, TargetKind};
use crate::limits;
use crate::sip::{Header, HeaderName, Host, NameAddr, Response, Uri};
use crate::trunk::{Cause, Presentation, Progress, Release, TrunkEvent};
use tracing::info;

impl Gateway {
    /// What a telephone has forwarded, if it is one.
    pub(super) fn forwarding_of(&self, target: &Target) -> Option<&Forward> {
        match target.kind {
            TargetKind::Phone => self.config.phones.iter().find(|p| p.name == target.name).map(|p| &p.forward),
            TargetKind::Station => self.config.stations.iter().find(|s| s.name == target.name).map(|s| &s.forward),
            _ => None,
        }
    }

    /// The telephone was not reached: sends the call on if it wants that, instead of all that was still
    /// to be tried.
    pub(super) fn forward_after(&mut self, id: CallId, target: &Target, failure: Option<Failure>, step: &mut Step<'_>) {
        let Some(forward) = self.forwarding_of(target).cloned() else { return };
        let Some((why, to)) = chosen(&forward, failure) else { return };
        let number = self.number_of_target(target);
        let Some(call) = self.calls.get_mut(id) else { return };
        let by = target.to_string();
        let is_loop = call.diversions.iter().any(|earlier| earlier.by == by);
        if is_loop || call.diversions.len() >= limits::FORWARDS_PER_CALL {
            info!(call = call.number, by = %by, to = %to, "forwarded too often");
            if let Some(fork) = call.fork.as_deref_mut().filter(|_| failure.is_none()) {
                // 25: exchange routing error; it is what 482 and 483 become (RFC 3398 8.2.6.1).
                let release = Release::here(Cause::new(25).unwrap_or(Cause::TEMPORARY));
                fork.branches.note(Failure { release, status: Some(482), rang: false });
            }
            return;
        }
        info!(call = call.number, by = %by, to = %to, why = why.as_diversion(), "call forwarded");
        call.diversions.push(Diversion { by: by.clone(), number, why, presentation: Presentation::Allowed });
        // RFC 3261 21.1.3: "This response MAY be used to indicate that the call is being forwarded".
        self.called_side_says(id, TrunkEvent::Cpg { event: Progress::Forwarded, in_band: false }, step);
        match self.steps_to(id, &by, &to) {
            Ok(steps) => {
                let Some(fork) = self.calls.get_mut(id).and_then(|call| call.fork.as_deref_mut()) else { return };
                fork.steps = steps.into();
            }
            Err(release) => {
                let Some(fork) = self.calls.get_mut(id).and_then(|call| call.fork.as_deref_mut()) else { return };
                fork.steps.clear();
                fork.branches.note(Failure::at_once(release));
            }
        }
    }

    /// The number of a telephone.
    pub(super) fn number_of_target(&self, target: &Target) -> String {
        let number = match target.kind {
            TargetKind::Phone => self.config.phones.iter().find(|p| p.name == target.name).map(|p| &p.number),
            TargetKind::Station => self.config.stations.iter().find(|s| s.name == target.name).map(|s| &s.number),
            _ => None,
        };
        number.unwrap_or(&target.name).clone()
    }

    /// A branch was answered with 3xx. True: others took its place, and the branch is no failure.
    pub(super) fn redirected(
        &mut self,
        id: CallId,
        branch: BranchId,
        response: &Response,
        step: &mut Step<'_>,
    ) -> bool {
        let Some(call) = self.calls.get_mut(id) else { return false };
        let Some(fork) = call.fork.as_deref_mut().filter(|fork| fork.branches.awaits(branch)) else { return false };
        let Some(target) = fork.leg(branch).map(|leg| leg.target.clone()) else { return false };
        let policy = match target.kind {
            TargetKind::Trunk => self.config.trunks.iter().find(|t| t.name == target.name).map(|t| t.redirects),
            _ => self.config.phones.iter().find(|p| p.name == target.name).map(|p| p.redirects),
        };
        let contacts = contacts_of(response);
        match policy.unwrap_or(Redirects::Refuse) {
            Redirects::Refuse => return false,
            Redirects::Pass => {
                call.redirected_to = contacts.into_iter().map(|(_, contact)| contact).collect();
                return false;
            }
            Redirects::Follow => {}
        }
        let by = target.to_string();
        if fork.redirects >= limits::REDIRECTS_PER_CALL || call.diversions.iter().any(|earlier| earlier.by == by) {
            info!(call = call.number, by = %target, "redirected too often");
            return false;
        }
        fork.redirects += 1;
        let number = call.number;
        let mut levels: Vec<(u16, Vec<ForkStep>)> = Vec::new();
        for (q, contact) in contacts.into_iter().take(limits::CONTACTS_PER_REDIRECT) {
            let Some(steps) = self.steps_of_contact(id, &target, &contact) else {
                info!(call = number, by = %target, to = %contact.uri, "redirect not followed: not ours");
                continue;
            };
            match levels.last_mut() {
                Some((level, all)) if *level == q => all.extend(steps),
                _ => levels.push((q, steps)),
            }
        }
        if levels.is_empty() {
            return false;
        }
        info!(call = number, by = %target, status = response.status, "call redirected");
        let by_number = self.number_of_target(&target);
        if let Some(call) = self.calls.get_mut(id) {
            let why = DiversionReason::Always;
            let presentation = Presentation::Allowed;
            call.diversions.push(Diversion { by: target.to_string(), number: by_number, why, presentation });
        }
        self.called_side_says(id, TrunkEvent::Cpg { event: Progress::Forwarded, in_band: false }, step);
        let Some(fork) = self.calls.get_mut(id).and_then(|call| call.fork.as_deref_mut()) else { return false };
        for (_, steps) in levels.into_iter().rev() {
            // RFC 3261 16.6: contacts of equal preference at once.
            merged(steps).into_iter().rev().for_each(|next| fork.steps.push_front(next));
        }
        let actions = fork.branches.replaced(branch);
        let rings = fork.branches.rings();
        self.carry_out_fork(id, actions, step);
        if rings {
            // Others ring beside it: the new ones join them now and do not wait for their end.
            self.ring_beside(id, step);
        }
        true
    }

    /// How a contact of a redirect by `target` is reached; `None`: it is not to be followed.
    fn steps_of_contact(&mut self, id: CallId, target: &Target, contact: &NameAddr) -> Option<Vec<ForkStep>> {
        let host = contact.uri.host()?;
        let number = super::access::number_of(&contact.uri);
        let is_ours = *host == Host::from_text(&self.config.sip.domain)
            || self.config.sip.listen.iter().any(|l| {
                *host == Host::Ip(l.address.ip())
                    && contact.uri.as_sip().and_then(|uri| uri.port).unwrap_or(5060) == l.address.port()
            });
        if is_ours {
            return self.steps_to(id, &target.to_string(), &number?).ok();
        }
        let trunk = self.config.trunks.iter().find(|t| target.kind == TargetKind::Trunk && t.name == target.name)?;
        let is_its_own = trunk.to.iter().any(|uri| uri.host().is_some_and(|own| own.equivalent(host)))
            || matches!(host, Host::Ip(ip) if trunk.from.iter().any(|prefix| prefix.contains(*ip)));
        if !is_its_own {
            return None;
        }
        let sip = SipTarget {
            uri: contact.uri.clone(),
            // Where the contact says nothing on the transport, that of the trunk is meant.
            next_hop: contact.uri.with_transport_of(trunk.to.first()?).into(),
            codecs: trunk.codecs.clone(),
            headers: Vec::new(),
            credentials: super::carriers::credentials(trunk),
        };
        let candidate =
            Candidate { target: target.clone(), number: number.unwrap_or_default(), contact: Some(sip), party: None };
        Some(vec![ForkStep::Ring { candidates: vec![candidate], rings_for: None, goes_on: GoesOn::Always }])
    }
}

/// One step for those that ring at once; forwardings behind it.
fn merged(steps: Vec<ForkStep>) -> Vec<ForkStep> {
    let (mut all, mut rest, mut longest) = (Vec::new(), Vec::new(), None);
    for next in steps {
        match next {
            ForkStep::Ring { candidates, rings_for, goes_on: GoesOn::Always } => {
                all.extend(candidates);
                longest = longest.max(rings_for);
            }
            other => rest.push(other),
        }
    }
    let ring = ForkStep::Ring { candidates: all, rings_for: longest, goes_on: GoesOn::Always };
    [ring].into_iter().chain(rest).collect()
}

/// Why a telephone sends a call on, and where to.
fn chosen(forward: &Forward, failure: Option<Failure>) -> Option<(DiversionReason, String)> {
    if let Some(to) = &forward.always {
        return Some((DiversionReason::Always, to.clone()));
    }
    let failure = failure?;
    let (why, to) = match failure.release.cause {
        Cause::BUSY => (DiversionReason::Busy, &forward.busy),
        // It rang in vain, however that was said: 480 and 408 become other causes in RFC 3398.
        Cause::NO_ANSWER | Cause::NO_RESPONSE | Cause::TIMER if failure.rang => {
            (DiversionReason::NoAnswer, &forward.no_answer)
        }
        Cause::ABSENT | Cause::NO_RESPONSE | Cause::TIMER | Cause::OUT_OF_ORDER | Cause::TEMPORARY => {
            (DiversionReason::Unreachable, &forward.unreachable)
        }
        _ => return None,
    };
    Some((why, to.clone()?))
}

/// The contacts of a redirect, best first, with their preference in thousandths.
fn contacts_of(response: &Response) -> Vec<(u16, NameAddr)> {
    let values = response.headers.all(&HeaderName::Contact);
    let mut contacts: Vec<(u16, NameAddr)> = values
        .filter_map(|value| NameAddr::parse_list(value).ok())
        .flatten()
        .map(|contact| (contact.q_thousandths(), contact))
        .collect();
    contacts.sort_by_key(|(q, _)| std::cmp::Reverse(*q));
    contacts
}

/// What whoever is called next is told of those who sent the call on: Diversion (RFC 5806) and
/// History-Info (RFC 7044).
pub(super) fn history_headers(call: &Call, domain: &str, target: &Uri) -> Vec<Header> {
    if call.diversions.is_empty() {
        return Vec::new();
    }
    let mut headers = Vec::new();
    let uri = |number: &str| Uri::sip(Some(number), Host::from_text(domain), None).to_string();
    // RFC 5806 5: "the diversion [...] MUST be added as the topmost Diversion header": the last one first.
    for diversion in call.diversions.iter().rev() {
        // RFC 5806 4.1, 8.1.2: who must not be shown says so.
        let privacy = if diversion.presentation == Presentation::Restricted { ";privacy=full" } else { "" };
        let reason = diversion.why.as_diversion();
        let value = format!("<{}>;reason={reason};counter=1{privacy}", uri(&diversion.number));
        headers.push(Header::new(HeaderName::Diversion, value));
    }
    // RFC 7044 10.3: each retargeting goes one level deeper; `mp` names the entry that was mapped.
    let mut index = "1".to_owned();
    let mut mapped = String::new();
    for diversion in &call.diversions {
        let status = diversion.why.as_status();
        let privacy = if diversion.presentation == Presentation::Restricted { "Privacy=history&" } else { "" };
        let number = uri(&diversion.number);
        let value = format!("<{number}?{privacy}Reason=SIP%3Bcause%3D{status}>;index={index}{mapped}");
        headers.push(Header::new(HeaderName::HistoryInfo, value));
        mapped = format!(";mp={index}");
        index.push_str(".1");
    }
    headers.push(Header::new(HeaderName::HistoryInfo, format!("<{target}>;index={index}{mapped}")));
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_telephone_sends_on_what_its_configuration_says() {
        let forward = Forward {
            busy: Some("1".to_owned()),
            no_answer: Some("2".to_owned()),
            unreachable: Some("3".to_owned()),
            ..Forward::default()
        };
        let check = |cause: Cause, rang: bool| {
            let failure = Failure { release: Release::here(cause), status: None, rang };
            chosen(&forward, Some(failure)).map(|(_, to)| to)
        };
        assert_eq!(check(Cause::BUSY, false).as_deref(), Some("1"));
        assert_eq!(check(Cause::NO_ANSWER, true).as_deref(), Some("2"));
        assert_eq!(check(Cause::NO_RESPONSE, true).as_deref(), Some("2"), "480 after 180");
        assert_eq!(check(Cause::ABSENT, false).as_deref(), Some("3"));
        assert_eq!(check(Cause::NO_RESPONSE, false).as_deref(), Some("3"));
        assert_eq!(check(Cause::REJECTED, true), None, "whoever refuses does not want it elsewhere");
        let always = Forward { always: Some("4".to_owned()), ..forward.clone() };
        assert_eq!(chosen(&always, None), Some((DiversionReason::Always, "4".to_owned())));
        assert_eq!(chosen(&forward, None), None);
    }

    #[test]
    fn contacts_of_a_redirect_come_best_first() {
        let response = Response::new(302)
            .with(HeaderName::Contact, "<sip:1@h>;q=0.2, <sip:2@h>")
            .with(HeaderName::Contact, "<sip:3@h>;q=0.7");
        let users: Vec<_> = contacts_of(&response).iter().map(|(q, c)| (*q, c.uri.user().unwrap())).collect();
        assert_eq!(users, [(1000, "2".to_owned()), (700, "3".to_owned()), (200, "1".to_owned())]);
    }
}
