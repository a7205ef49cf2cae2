//! Subscriptions, the notifier's side (RFC 6665 4.2).
//!
//! ```text
//!   SUBSCRIBE ──▶ Active ──time is over, Expires: 0──▶ Over ──last NOTIFY──▶ Ending ──answered──▶ gone
//!                  │  ▲ SUBSCRIBE in the dialog                                ▲
//!                  ├──┘                                                        │
//!                  ├──────────── the application ends it ──────────────────────┘
//!                  └── NOTIFY fails (4.2.2) ──▶ gone
//! ```
//! The states *resp_wait* and *pending* of 4.2.2 don't occur: who may subscribe is known at once.
//!
//! One NOTIFY is under way at a time; what changes meanwhile is sent as one state when that one has been
//! answered, which also keeps a slow peer from being flooded (4.2.2 on throttling).
//! What the state says is bytes here: packages are the application's.

use super::dialog::Dialog;
use super::endpoint::{Endpoint, Owner};
use super::message::{HeaderName, Method, Response};
use super::parser::Message;
use super::transaction::{ClientId, ServerId, User};
use super::{Actions, Body, Event, Failure, Flow, ServerTransactionId, SubscriptionId};
use crate::limits;
use crate::time::{Duration, Instant};

/// Shorter subscriptions are refused with 423 (4.2.1.1: below an hour a notifier may refuse).
pub const LIFE_MIN: Duration = Duration::from_secs(60);
/// Longer ones are cut, and this is what a SUBSCRIBE without Expires gets.
pub const LIFE_MAX: Duration = Duration::from_secs(3600);

/// Why the application ends a subscription (4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// What was watched does not exist any more; subscribing again makes no sense.
    NoResource,
    /// Subscribing again at once is welcome.
    Deactivated,
}

impl EndReason {
    fn as_str(self) -> &'static str {
        match self {
            EndReason::NoResource => "noresource",
            EndReason::Deactivated => "deactivated",
        }
    }
}

/// One subscription of a peer.
#[derive(Debug)]
pub struct Subscription {
    dialog: Dialog,
    /// Our tag: the subscription is found by it.
    local_tag: String,
    /// `Event` as the peer wrote it, with its `id`.
    event: String,
    stage: Stage,
    under_way: Option<ClientId>,
    /// The state that waits until the NOTIFY under way is answered.
    next: Option<Option<Body>>,
    pub(super) scheduled: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Active { expires: Instant },
    Over,
    Ending { reason: &'static str },
}

impl Subscription {
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Active { expires } => Some(expires),
            Stage::Over | Stage::Ending { .. } => None,
        }
    }
}

/// How long a SUBSCRIBE or PUBLISH with these headers is to live: zero ends it. The error refuses it with 400
/// or 423 (RFC 6665 4.2.1.1, RFC 3903 6).
pub fn life_of(headers: &super::Headers) -> Result<Duration, Response> {
    let Some(text) = headers.text(&HeaderName::Expires) else { return Ok(LIFE_MAX) };
    let text = text.trim();
    // What does not fit 32 bits is as long as can be (RFC 3261 20.19).
    let seconds = match text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        true => text.parse::<u32>().unwrap_or(u32::MAX),
        false => return Err(Response::new(400).with_reason("Expires cannot be read")),
    };
    let life = Duration::from_secs(u64::from(seconds));
    match life.is_zero() || life >= LIFE_MIN {
        true => Ok(life.min(LIFE_MAX)),
        false => Err(Response::new(423).with(HeaderName::MinExpires, LIFE_MIN.as_secs())),
    }
}

fn stage_of(now: Instant, life: Duration) -> Stage {
    if life.is_zero() { Stage::Over } else { Stage::Active { expires: now + life } }
}

impl Endpoint {
    /// Accepts the SUBSCRIBE that waits in `server` and came by `flow`: 200, and a dialog.
    /// [`Endpoint::notify`] is owed at once. `None`: it was refused (400, 423, 503) or is gone.
    pub fn subscribe(
        &mut self,
        now: Instant,
        server: ServerTransactionId,
        flow: Flow,
        out: &mut Actions,
    ) -> Option<SubscriptionId> {
        let transaction = self.table.servers.get(server)?;
        let (request, local_tag) = (transaction.request.clone(), transaction.local_tag.clone());
        let event = request.headers.text(&HeaderName::Event).map(|event| event.trim().to_owned());
        let user = request.uri.user();
        let contact = self.contact(user.as_deref(), &flow, super::uas::wants_secure(&request));
        let dialog = Dialog::of_server(&request, &local_tag, contact.clone(), flow);
        let (Some(event), Some(dialog)) = (event, dialog) else {
            self.respond(now, server, Response::new(489), out);
            return None;
        };
        if self.subscriptions.len() >= limits::SUBSCRIPTIONS_MAX {
            let response = Response::new(503).with(HeaderName::RetryAfter, LIFE_MIN.as_secs());
            self.respond(now, server, response, out);
            return None;
        }
        let life = match life_of(&request.headers) {
            Ok(life) => life,
            Err(refusal) => {
                self.respond(now, server, refusal, out);
                return None;
            }
        };
        let id = self.subscriptions.insert(Subscription {
            dialog,
            local_tag: local_tag.clone(),
            event,
            stage: stage_of(now, life),
            under_way: None,
            next: None,
            scheduled: None,
        });
        self.subscription_by_tag.insert(local_tag, id);
        let response = Response::new(200).with(HeaderName::Expires, life.as_secs()).with(HeaderName::Contact, contact);
        self.respond(now, server, response, out);
        self.schedule(Owner::Subscription(id));
        Some(id)
    }

    /// Tells the subscriber the state; the last time when the subscription is over. Stale ids are ignored.
    pub fn notify(&mut self, now: Instant, id: SubscriptionId, body: Option<Body>, out: &mut Actions) {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        match subscription.stage {
            Stage::Active { .. } => {}
            Stage::Over => {
                subscription.stage = Stage::Ending { reason: "timeout" };
                out.events.push(Event::Unsubscribed { subscription: id });
            }
            Stage::Ending { .. } => return,
        }
        self.send_state(now, id, body, out);
    }

    /// Ends a subscription with a last NOTIFY. The id is stale for the application from now on.
    pub fn end_subscription(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        reason: EndReason,
        body: Option<Body>,
        out: &mut Actions,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        if matches!(subscription.stage, Stage::Ending { .. }) {
            return;
        }
        subscription.stage = Stage::Ending { reason: reason.as_str() };
        self.send_state(now, id, body, out);
    }

    fn send_state(&mut self, now: Instant, id: SubscriptionId, body: Option<Body>, out: &mut Actions) {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        if subscription.under_way.is_some() {
            subscription.next = Some(body);
            return;
        }
        let state = match subscription.stage {
            // Rounded up, so that nobody is told 0 seconds of a subscription that lives.
            Stage::Active { expires } => format!("active;expires={}", expires.since(now).as_millis().div_ceil(1000)),
            Stage::Over => "terminated;reason=timeout".to_owned(),
            Stage::Ending { reason } => format!("terminated;reason={reason}"),
        };
        let request = subscription
            .dialog
            .request(Method::Notify)
            .with(HeaderName::Contact, &subscription.dialog.contact)
            .with(HeaderName::Event, &subscription.event)
            .with(HeaderName::SubscriptionState, state)
            .with_body(body);
        let flow = subscription.dialog.next_hop();
        let client = self.start_client(now, flow, request, User::Notify(id), out);
        match (client, self.subscriptions.get_mut(id)) {
            (Some(client), Some(subscription)) => subscription.under_way = Some(client),
            _ => self.forget_subscription(id, out),
        }
    }

    /// A final response to our NOTIFY.
    pub(super) fn notified(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        client: ClientId,
        response: &Response,
        out: &mut Actions,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(id).filter(|s| s.under_way == Some(client)) else { return };
        if response.status < 200 {
            return;
        }
        subscription.under_way = None;
        // 4.2.2: these say that the subscriber does not know the subscription any more.
        let is_lost = matches!(response.status, 404 | 405 | 410 | 416 | 480..=485 | 489 | 501 | 604);
        if is_lost {
            return self.forget_subscription(id, out);
        }
        match subscription.next.take() {
            Some(body) => self.send_state(now, id, body, out),
            None if matches!(subscription.stage, Stage::Ending { .. }) => self.forget_subscription(id, out),
            None => {}
        }
    }

    /// Our NOTIFY got no answer: "the notifier SHOULD remove the subscription" (4.2.2).
    pub(super) fn notify_failed(&mut self, id: SubscriptionId, _failure: Failure, out: &mut Actions) {
        self.forget_subscription(id, out);
    }

    fn forget_subscription(&mut self, id: SubscriptionId, out: &mut Actions) {
        let Some(subscription) = self.subscriptions.remove(id) else { return };
        self.subscription_by_tag.remove(&subscription.local_tag);
        if !matches!(subscription.stage, Stage::Ending { .. }) {
            out.events.push(Event::Unsubscribed { subscription: id });
        }
    }

    /// A SUBSCRIBE with the tag of a subscription in To: it refreshes or ends (4.2.1.1).
    pub(super) fn resubscribed(
        &mut self,
        now: Instant,
        server: ServerId,
        tag: &str,
        message: &Message<'_>,
        out: &mut Actions,
    ) {
        let Some(id) = self.subscription_by_tag.get(tag).copied() else { return };
        let Some(request) = self.table.servers.get(server).map(|s| s.request.clone()) else { return };
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        let is_same_dialog = subscription.dialog.is_remote_tag(message.from.tag())
            && request.call_id().is_some_and(|call_id| call_id == subscription.dialog.call_id);
        let refused = if !is_same_dialog || !matches!(subscription.stage, Stage::Active { .. }) {
            Some(Response::new(481))
        } else if subscription.dialog.check_sequence(&message.cseq).is_err() {
            Some(Response::new(500))
        } else if !same_event(request.headers.text(&HeaderName::Event).as_deref(), &subscription.event) {
            // A second subscription in one dialog, which 4.5.2 forbids.
            Some(Response::new(489))
        } else {
            None
        };
        let life = refused.map_or_else(|| life_of(&request.headers), Err);
        let response = match life {
            Ok(life) => {
                subscription.dialog.refresh_target(request.contact());
                subscription.stage = stage_of(now, life);
                let contact = subscription.dialog.contact.clone();
                out.events.push(Event::NotifyDue { subscription: id });
                Response::new(200).with(HeaderName::Expires, life.as_secs()).with(HeaderName::Contact, contact)
            }
            Err(refusal) => refusal,
        };
        self.respond(now, server, response, out);
        self.schedule(Owner::Subscription(id));
    }

    /// The time of a subscription may be over.
    pub(super) fn time_subscription(&mut self, now: Instant, id: SubscriptionId, out: &mut Actions) {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        if matches!(subscription.stage, Stage::Active { expires } if expires <= now) {
            subscription.stage = Stage::Over;
            out.events.push(Event::NotifyDue { subscription: id });
        }
    }
}

/// 8.2.1: the package and the `id` parameter are compared, nothing else.
fn same_event(asked: Option<&str>, ours: &str) -> bool {
    let split = |text: &str| {
        let mut parts = text.split(';').map(str::trim);
        let package = parts.next().unwrap_or_default().to_ascii_lowercase();
        let id = parts.find_map(|part| part.strip_prefix("id=").map(str::to_owned));
        (package, id)
    };
    asked.is_some_and(|asked| split(asked) == split(ours))
}

#[cfg(test)]
mod tests;
