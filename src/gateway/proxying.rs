//! Calls that we don't carry: passed on as a proxy or answered as a redirect server (RFC 3261 8.3, 16).
//!
//! A telephone or a domain with `calls = "proxy"` or `"redirect"` is called this way when a SIP caller's
//! INVITE leads to it and to nobody else; then we touch neither its media nor its dialog. Calls from
//! lines, to groups and by way of forwarding are carried as ever. To another domain every method is passed
//! on: OPTIONS, MESSAGE, SUBSCRIBE with its NOTIFYs, and those that we don't know. To a telephone with
//! `calls = "proxy"` go beside INVITE all of these that are no dialog's, but what we do for telephones stays here:
//! event packages that we serve, texts kept until it registers, PUBLISH.

use super::access::{Caller, number_of};
use super::{Gateway, Step};
use crate::call::fork::SipTarget;
use crate::config::{Carriage, Config, Domain};
use crate::dialplan::{ANYBODY, TargetKind, Verdict};
use crate::sip::proxy::ProxyTarget;
use crate::sip::{
    Flow, Header, HeaderName, Host, Method, NameAddr, NextHop, Request, Response, ServerTransactionId, Uri,
};
use crate::trunk::{Cause, Release, interwork};
use std::collections::BTreeSet;
use tracing::info;

/// User parts whose INVITE is looked at before it becomes a call: names and numbers of such telephones.
pub(super) fn asks_first(config: &Config) -> BTreeSet<String> {
    let phones = config.phones.iter().filter(|phone| phone.calls != Carriage::Carry);
    phones.flat_map(|phone| [phone.name.clone(), phone.number.clone()]).collect()
}

/// What is done with an INVITE.
enum Way {
    /// It becomes a call that we carry.
    Carry,
    /// Passed on to whoever this is.
    Proxy(String, Vec<Vec<ProxyTarget>>),
    Redirect(Vec<Header>),
    Refuse(Response),
}

impl Gateway {
    /// An INVITE for somebody whose calls we may not carry, or any request to another domain.
    pub(super) fn undecided(
        &mut self,
        server: ServerTransactionId,
        request: &Request,
        flow: Flow,
        step: &mut Step<'_>,
    ) {
        let origin = match self.identify(step.now, request, &flow) {
            Caller::Phone(index) => format!("phone/{}", self.config.phones[index].name),
            Caller::Trunk(index) => format!("trunk/{}", self.config.trunks[index].name),
            // A method may be open to all for our own sake; that makes us nobody's relay: of a call to another domain
            // the dial plan decides by its number, as of any other.
            Caller::Anybody if request.method == Method::Invite || self.domain_of(&request.uri).is_none() => {
                ANYBODY.to_owned()
            }
            Caller::Anybody => return self.endpoint.reply(step.now, server, Response::new(403), &mut step.sip),
            Caller::Challenge(headers) => {
                let response = Response::new(401).with_headers(headers);
                return self.endpoint.reply(step.now, server, response, &mut step.sip);
            }
        };
        let to = request.uri.to_string();
        match self.way_of(&origin, request, step) {
            Way::Carry => self.endpoint.be_called(step.now, server, flow, &mut step.sip),
            Way::Proxy(target, targets) => {
                if request.method == Method::Invite {
                    self.note_passed(server, &origin, &target, request, step);
                }
                let contacts: usize = targets.iter().map(Vec::len).sum();
                info!(from = %origin, %to, method = %request.method, contacts, "request passed on");
                self.endpoint.proxy(step.now, server, flow, targets, &mut step.sip);
            }
            Way::Redirect(contacts) => {
                info!(from = %origin, %to, contacts = contacts.len(), "caller redirected");
                let response = Response::new(302).with_headers(contacts);
                self.endpoint.reply(step.now, server, response, &mut step.sip);
            }
            Way::Refuse(response) => {
                info!(from = %origin, %to, status = response.status, "call refused");
                self.endpoint.reply(step.now, server, response, &mut step.sip);
            }
        }
    }

    /// The other domain that a URI is of.
    fn domain_of(&self, uri: &Uri) -> Option<&Domain> {
        let host = uri.host()?;
        self.config.domains.iter().find(|domain| Host::from_text(&domain.name).equivalent(host))
    }

    fn way_of(&self, origin: &str, request: &Request, step: &Step<'_>) -> Way {
        let is_invite = request.method == Method::Invite;
        if origin != ANYBODY
            && let Some(domain) = self.domain_of(&request.uri)
        {
            return self.way_of_domain(domain, &request.uri);
        }
        let Some(called) = number_of(&request.uri) else { return Way::Carry };
        let decision = self.route(origin, &called);
        let Verdict::Targets(targets) = decision.verdict else { return Way::Carry };
        let [target] = targets.as_slice() else { return Way::Carry };
        let phone = self.config.phones.iter().find(|p| target.kind == TargetKind::Phone && p.name == target.name);
        let Some(phone) = phone.filter(|phone| phone.calls != Carriage::Carry && phone.forward.always.is_none()) else {
            return Way::Carry;
        };
        // A redirected caller asks there by itself, once it calls.
        if !is_invite && (phone.calls != Carriage::Proxy || Gateway::serves(request)) {
            return Way::Carry;
        }
        let levels = self.phone_contacts(step.now, &phone.name);
        if levels.is_empty() && request.method == Method::Message {
            return Way::Carry;
        }
        if levels.is_empty() {
            let release = Release::here(Cause::ABSENT);
            let status = interwork::status_of(release);
            return Way::Refuse(Response::new(status).with_headers(super::calls::refusal_headers(status, release)));
        }
        match phone.calls {
            Carriage::Proxy => Way::Proxy(
                target.to_string(),
                levels
                    .into_iter()
                    .map(|level| {
                        let target = |t: SipTarget| ProxyTarget { next_hop: t.next_hop, uri: t.uri };
                        level.into_iter().map(target).collect()
                    })
                    .collect(),
            ),
            _ => {
                let contacts = self.access.contacts(step.now, &phone.name);
                let contact = |uri: &Uri, q: u16| {
                    let mut contact = NameAddr::new(uri.clone());
                    if q < 1000 {
                        contact.params.set("q", Some(format!("0.{q:03}")));
                    }
                    Header::new(HeaderName::Contact, contact)
                };
                Way::Redirect(contacts.iter().map(|binding| contact(&binding.uri, binding.q)).collect())
            }
        }
    }

    /// A call to another domain: its Request-URI stays what it is on the way there (16.5).
    fn way_of_domain(&self, domain: &Domain, uri: &Uri) -> Way {
        if domain.calls == Carriage::Redirect {
            let contact = uri.user().map_or_else(|| domain.to.clone(), |user| domain.to.with_user(&user));
            return Way::Redirect(vec![Header::new(HeaderName::Contact, NameAddr::new(contact))]);
        }
        let next_hop = NextHop::Uris(vec![domain.to.clone()]);
        Way::Proxy(format!("domain/{}", domain.name), vec![vec![ProxyTarget { uri: uri.clone(), next_hop }]])
    }
}

#[cfg(test)]
mod tests;
