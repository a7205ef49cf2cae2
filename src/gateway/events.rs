//! Who watches whom: SUBSCRIBE and PUBLISH (RFC 6665, 3903), and when watchers are told.
//!
//! Watched are *entities*: `phone/201`, `station/105`. Whatever changes one of them says so by
//! [`Gateway::touch`], which costs nothing while nobody watches; at the end of the input every
//! watcher of a touched entity gets the new state, if it is another one than he was told last.

mod documents;
mod publications;

use super::access::Caller;
use super::{Gateway, Owner, Step};
use crate::call::b2bua::State;
use crate::call::{Call, CallId};
use crate::line::LineStatus;
use crate::sip::{Body, Flow, HeaderName, Request, Response, ServerTransactionId, SubscriptionId, Uri};
use crate::time::Instant;
use documents::{ALLOW_EVENTS, Package, WatchedCall};
use publications::Publications;
use std::collections::{BTreeMap, BTreeSet};
use tracing::debug;

/// One subscription, as the gateway sees it.
struct Watch {
    package: Package,
    entity: String,
    /// Counts the documents sent (RFC 4235 4.1: "incremented by one").
    version: u32,
    /// What was said last, as version 0.
    said: Option<String>,
}

/// All watchers, what they watch, and what was published.
#[derive(Default)]
pub(super) struct Events {
    watches: BTreeMap<SubscriptionId, Watch>,
    /// Who watches an entity.
    watchers: BTreeMap<String, BTreeSet<SubscriptionId>>,
    touched: BTreeSet<String>,
    publications: Publications,
}

impl Events {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.publications.deadline()
    }

    pub(super) fn has_news(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Something about this phone or station may have changed.
    pub(super) fn touch(&mut self, entity: &str) {
        if self.watchers.contains_key(entity) {
            self.touched.insert(entity.to_owned());
        }
    }

    fn forget(&mut self, id: SubscriptionId) {
        let Some(watch) = self.watches.remove(&id) else { return };
        if let Some(watchers) = self.watchers.get_mut(&watch.entity) {
            watchers.remove(&id);
            if watchers.is_empty() {
                self.watchers.remove(&watch.entity);
            }
        }
    }
}

impl Gateway {
    /// The phone or station that a URI names, by its name or its number: `phone/201`.
    pub(super) fn entity_of(&self, uri: &Uri) -> Option<String> {
        let user = uri.user()?;
        let phone = self.config.phones.iter().find(|phone| phone.name == user || phone.number == user);
        let station = || self.config.stations.iter().find(|station| station.name == user || station.number == user);
        phone
            .map(|phone| format!("phone/{}", phone.name))
            .or_else(|| station().map(|station| format!("station/{}", station.name)))
    }

    /// A SUBSCRIBE outside of dialogs from somebody who has proved who he is.
    pub(super) fn subscription_wanted(
        &mut self,
        server: ServerTransactionId,
        caller: &Caller,
        request: &Request,
        flow: Flow,
        step: &mut Step<'_>,
    ) {
        let (package, entity) = match self.watchable(caller, request) {
            Ok(found) => found,
            Err(refusal) => return self.endpoint.reply(step.now, server, refusal, &mut step.sip),
        };
        let Some(id) = self.endpoint.subscribe(step.now, server, flow, &mut step.sip) else { return };
        debug!(%entity, ?package, peer = %flow.remote, "subscription");
        self.events.watchers.entry(entity.clone()).or_default().insert(id);
        self.events.watches.insert(id, Watch { package, entity, version: 0, said: None });
        self.tell_watcher(id, true, step);
    }

    /// Whether we answer for the event package of this SUBSCRIBE ourselves.
    pub(super) fn serves(request: &Request) -> bool {
        Package::of_event(&request.headers.text(&HeaderName::Event).unwrap_or_default()).is_some()
    }

    /// What a SUBSCRIBE or PUBLISH is about, or its refusal: 489 for a package that we don't know, 404 for
    /// somebody who isn't here, 403 for what is private, 406 for a watcher who can't read it.
    fn watchable(&self, caller: &Caller, request: &Request) -> Result<(Package, String), Response> {
        let event = request.headers.text(&HeaderName::Event).unwrap_or_default();
        let package =
            Package::of_event(&event).ok_or_else(|| Response::new(489).with(HeaderName::AllowEvents, ALLOW_EVENTS))?;
        let entity = self.entity_of(&request.uri).ok_or_else(|| Response::new(404))?;
        // Messages and contacts are the account's own; a trusted peer may be its voice mail.
        let is_private = matches!(package, Package::MessageSummary | Package::Reg);
        if is_private && !self.is_own_or_trusted(caller, &entity) {
            return Err(Response::new(403));
        }
        if package == Package::Reg && !entity.starts_with("phone/") {
            return Err(Response::new(404));
        }
        let accepted: Vec<String> = request.headers.tokens(&HeaderName::Accept);
        let media_type = package.media_type();
        let matches = |range: &String| {
            let range = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            range == "*/*" || range == "application/*" || range == media_type
        };
        // RFC 6665 4.1.2.1: without Accept the package's own type is accepted.
        if !accepted.is_empty() && !accepted.iter().any(matches) {
            return Err(Response::new(406).with(HeaderName::Accept, media_type));
        }
        Ok((package, entity))
    }

    fn is_own_or_trusted(&self, caller: &Caller, entity: &str) -> bool {
        match caller {
            Caller::Phone(index) => {
                self.config.phones.get(*index).is_some_and(|phone| entity == format!("phone/{}", phone.name))
            }
            Caller::Trunk(_) => true,
            Caller::Anybody | Caller::Challenge(_) => false,
        }
    }

    /// A PUBLISH from somebody who has proved who he is.
    pub(super) fn publish(&mut self, caller: &Caller, request: &Request, step: &mut Step<'_>) -> Response {
        let (package, entity) = match self.watchable(caller, request) {
            Ok(found) => found,
            Err(refusal) => return refusal,
        };
        // The states of dialogs and registrations are ours to know, nobody publishes them.
        if !matches!(package, Package::Presence | Package::MessageSummary) {
            return Response::new(489).with(HeaderName::AllowEvents, "presence, message-summary");
        }
        if !self.is_own_or_trusted(caller, &entity) {
            return Response::new(403);
        }
        let tag = self.secrets.token::<16>();
        let response = self.events.publications.publish(step.now, &entity, package, request, tag);
        if response.status == 200 {
            self.schedule_events(step.now);
            self.touch(&entity);
        }
        response
    }

    pub(super) fn schedule_events(&mut self, now: Instant) {
        if let Some(at) = self.events.deadline() {
            self.deadlines.schedule(at.max(now), Owner::Events);
        }
    }

    /// A publication may be over.
    pub(super) fn handle_events_timeout(&mut self, now: Instant) {
        for entity in self.events.publications.handle_timeout(now) {
            self.touch(&entity);
        }
        self.schedule_events(now);
    }

    /// Something about this phone or station may have changed.
    pub(super) fn touch(&mut self, entity: &str) {
        self.events.touch(entity);
    }

    /// Something about the two ends of a call may have changed.
    pub(super) fn touch_call(&mut self, id: CallId) {
        if self.events.watchers.is_empty() {
            return;
        }
        let Some(call) = self.calls.get(id) else { return };
        for (entity, _) in ends_of(call) {
            self.events.touch(&entity);
        }
    }

    /// Tells the watchers of everybody who was touched.
    pub(super) fn tell_watchers(&mut self, step: &mut Step<'_>) {
        for entity in std::mem::take(&mut self.events.touched) {
            let watchers = self.events.watchers.get(&entity).cloned().unwrap_or_default();
            for id in watchers {
                self.tell_watcher(id, false, step);
            }
        }
    }

    /// A watcher is owed the whole state: a new one, or one that asked again.
    pub(super) fn notify_due(&mut self, id: SubscriptionId, step: &mut Step<'_>) {
        if self.events.watches.contains_key(&id) {
            self.tell_watcher(id, true, step);
        }
    }

    /// A subscription is over.
    pub(super) fn unsubscribed(&mut self, id: SubscriptionId) {
        self.events.forget(id);
    }

    fn tell_watcher(&mut self, id: SubscriptionId, whatever: bool, step: &mut Step<'_>) {
        let Some(watch) = self.events.watches.get(&id) else { return };
        let (package, entity, version) = (watch.package, watch.entity.clone(), watch.version);
        let state = self.document(step.now, package, &entity, 0);
        if !whatever && watch.said.as_ref() == Some(&state.0) {
            return;
        }
        let (text, media_type) = match version {
            0 => state.clone(),
            version => self.document(step.now, package, &entity, version),
        };
        if let Some(watch) = self.events.watches.get_mut(&id) {
            watch.version = version.wrapping_add(1);
            watch.said = Some(state.0);
        }
        let body = Body { content_type: media_type, bytes: text.into_bytes() };
        self.endpoint.notify(step.now, id, Some(body), &mut step.sip);
    }

    /// The document of an entity, and its media type.
    fn document(&self, now: Instant, package: Package, entity: &str, version: u32) -> (String, String) {
        let address = format!("{}@{}", self.number_of_entity(entity), self.config.sip.domain);
        if let Some(body) = self.events.publications.latest(now, entity, package) {
            return (String::from_utf8_lossy(&body.bytes).into_owned(), body.content_type.clone());
        }
        let text = match package {
            Package::Dialog => {
                documents::dialog_info(version, &address, &self.config.sip.domain, &self.watched_calls(entity))
            }
            Package::Presence => documents::presence(&address, self.is_reachable(now, entity)),
            Package::MessageSummary => documents::message_summary(&address, self.texts_waiting(entity)),
            Package::Reg => {
                let name = entity.strip_prefix("phone/").unwrap_or_default();
                let contacts = self.access.contacts(now, name).iter().map(|c| c.uri.to_string()).collect::<Vec<_>>();
                documents::reg_info(version, &address, &contacts)
            }
        };
        (text, package.media_type().to_owned())
    }

    fn number_of_entity(&self, entity: &str) -> String {
        let named = |kind: &str| entity.strip_prefix(kind).map(str::to_owned);
        let phone = named("phone/").and_then(|name| self.config.phones.iter().find(|p| p.name == name));
        let station = named("station/").and_then(|name| self.config.stations.iter().find(|s| s.name == name));
        phone.map(|p| p.number.clone()).or_else(|| station.map(|s| s.number.clone())).unwrap_or_default()
    }

    /// Registered, or a line in service.
    fn is_reachable(&self, now: Instant, entity: &str) -> bool {
        match entity.split_once('/') {
            Some(("phone", name)) => !self.access.contacts(now, name).is_empty(),
            Some(("station", _)) => {
                self.status_of(entity).is_some_and(|status| !matches!(status, LineStatus::OutOfService))
            }
            _ => false,
        }
    }

    fn status_of(&self, entity: &str) -> Option<LineStatus> {
        self.ports.values().find(|port| port.origin == entity).map(|port| port.machine.status())
    }

    /// The calls that an entity takes part in, and for a line that is off hook without a call, that.
    fn watched_calls(&self, entity: &str) -> Vec<WatchedCall> {
        let mut calls: Vec<WatchedCall> = Vec::new();
        for (_, call) in self.calls.iter().filter(|(_, call)| call.is_up()) {
            for (_, is_caller) in ends_of(call).into_iter().filter(|(end, _)| end == entity) {
                let state = match call.state {
                    State::Setup => "trying",
                    State::Alerting => "early",
                    _ => "confirmed",
                };
                let remote = if is_caller { Some(call.iam.called.clone()) } else { call.iam.calling.clone() };
                calls.push(WatchedCall { call: call.number, is_caller, state, remote });
            }
        }
        calls.sort_by_key(|call| call.call);
        // RFC 4235 3.7.1: "trying" is a caller who has not been answered in any way; he dials.
        let is_off_hook =
            matches!(self.status_of(entity), Some(LineStatus::Dialling | LineStatus::Tone | LineStatus::LockedOut));
        if calls.is_empty() && is_off_hook {
            calls.push(WatchedCall { call: 0, is_caller: true, state: "trying", remote: None });
        }
        calls
    }
}

/// Who takes part in a call, and whether as the caller: the called side is whoever answered, before that
/// all who ring.
fn ends_of(call: &Call) -> Vec<(String, bool)> {
    let mut ends = vec![(call.origin.clone(), true)];
    match (&call.b, &call.fork) {
        (None, Some(fork)) => {
            for name in fork.legs.iter().map(|branch| branch.target.to_string()) {
                // A telephone with several contacts rings once.
                if !ends.iter().any(|(end, is_caller)| !is_caller && *end == name) {
                    ends.push((name, false));
                }
            }
        }
        (None, None) => {}
        (Some(_), _) => ends.extend(call.target.iter().map(|target| (target.clone(), false))),
    }
    ends
}

#[cfg(test)]
mod tests;
