//! Text between telephones: MESSAGE (RFC 3428), delivered at once or kept until the phone registers.
//!
//! ```text
//!   MESSAGE ──▶ registered, nothing waits ──▶ every contact ──▶ 2xx of one of them: 200
//!                                               │  nobody in time: 202, it goes on
//!                                               └─ nobody at all: kept, 202
//!           └─▶ not registered, or others wait ──▶ kept, 202 ──▶ REGISTER ──▶ one after the other
//! ```
//! 202 is said when the text is in our hands (RFC 3428 7). Kept texts live in memory.

use super::access::Caller;
use super::{Gateway, Owner, Step};
use crate::limits;
use crate::sip::{
    Body, Failure, HeaderName, Host, Method, NameAddr, OutgoingRequest, Request, RequestId, Response,
    ServerTransactionId, Uri,
};
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};
use tracing::{info, warn};

/// The sender is told 202 after this time. RFC 4320: a response of ours after 64 T1 (32 s) would be lost.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// A text that names no `Expires` is kept as long.
const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

/// A text on its way.
#[derive(Clone, Debug)]
struct Text {
    from: NameAddr,
    to: NameAddr,
    body: Body,
    expires: Instant,
    /// `Date`, `Subject` and the like, as they came.
    headers: Vec<crate::sip::Header>,
}

/// A text that was sent to the contacts of a phone.
#[derive(Debug)]
struct Delivery {
    phone: String,
    text: Text,
    /// Requests that have no answer yet.
    open: usize,
    delivered: bool,
    /// A contact refused the text for good.
    refused: Option<u16>,
    /// The MESSAGE that waits for our answer, and until when.
    sender: Option<(ServerTransactionId, Instant)>,
    /// It was the first of those that waited.
    was_kept: bool,
}

/// Texts that wait or are on their way.
#[derive(Default)]
pub(super) struct Messages {
    kept: BTreeMap<String, VecDeque<Text>>,
    deliveries: BTreeMap<u64, Delivery>,
    requests: BTreeMap<RequestId, u64>,
    begun: u64,
}

impl Messages {
    pub(super) fn deadline(&self) -> Option<Instant> {
        let senders = self.deliveries.values().filter_map(|d| d.sender.map(|(_, until)| until));
        senders.chain(self.kept.values().flatten().map(|text| text.expires)).min()
    }

    fn is_busy(&self, phone: &str) -> bool {
        self.deliveries.values().any(|delivery| delivery.phone == phone)
    }
}

impl Gateway {
    /// Texts that wait for a phone.
    pub(super) fn texts_waiting(&self, entity: &str) -> usize {
        let name = entity.strip_prefix("phone/").unwrap_or_default();
        self.messages.kept.get(name).map_or(0, VecDeque::len)
    }

    /// A MESSAGE outside of dialogs from somebody who has proved who he is.
    pub(super) fn message(
        &mut self,
        server: ServerTransactionId,
        caller: &Caller,
        request: &Request,
        step: &mut Step<'_>,
    ) {
        let (phone, text) = match self.read_message(caller, request, step.now) {
            Ok(read) => read,
            Err(refusal) => return self.endpoint.reply(step.now, server, refusal, &mut step.sip),
        };
        let others_wait = self.messages.kept.contains_key(&phone) || self.messages.is_busy(&phone);
        let is_registered = !self.access.contacts(step.now, &phone).is_empty();
        if is_registered && !others_wait {
            let sender = Some((server, step.now + ANSWER_WITHIN));
            self.deliver(phone, text, sender, false, step);
        } else {
            let response = self.keep(&phone, text);
            self.endpoint.reply(step.now, server, response, &mut step.sip);
            if is_registered {
                self.deliver_kept(&phone, step);
            }
        }
        self.schedule_messages(step.now);
    }

    /// The phone that a MESSAGE is for, and the text; or its refusal.
    fn read_message(&self, caller: &Caller, request: &Request, now: Instant) -> Result<(String, Text), Response> {
        if request.max_forwards() == Some(0) {
            return Err(Response::new(483));
        }
        let entity = self.entity_of(&request.uri).ok_or_else(|| Response::new(404))?;
        // A telephone of metal has nothing to show a text on.
        let name = entity.strip_prefix("phone/").ok_or_else(|| Response::new(488))?.to_owned();
        if request.body.len() > limits::TEXT_BYTES {
            return Err(Response::new(413));
        }
        let body = request.typed_body().ok_or_else(|| Response::new(400).with_reason("MESSAGE without a body"))?;
        let life = match request.headers.text(&HeaderName::Expires) {
            Some(text) => match text.trim().parse::<u32>() {
                Ok(seconds) => Duration::from_secs(u64::from(seconds)).min(KEEP),
                Err(_) => return Err(Response::new(400).with_reason("Expires cannot be read")),
            },
            None => KEEP,
        };
        let domain = Host::from_text(&self.config.sip.domain);
        let from = match caller {
            Caller::Phone(index) => {
                let sender = self.config.phones.get(*index);
                let number = sender.map(|phone| phone.number.clone());
                let name = sender.and_then(|phone| phone.caller_name.clone());
                NameAddr::new(Uri::sip(number.as_deref(), domain.clone(), None)).with_display(name.as_deref())
            }
            _ => {
                let from = request.from().ok_or_else(|| Response::new(400))?;
                let user = from.uri.user();
                NameAddr::new(Uri::sip(user.as_deref(), domain.clone(), None)).with_display(from.display.as_deref())
            }
        };
        let kept = |h: &&crate::sip::Header| {
            matches!(h.name, HeaderName::Date | HeaderName::Subject | HeaderName::ContentLanguage)
        };
        let headers = request.headers.iter().filter(kept).cloned().collect();
        let to = NameAddr::new(Uri::sip(Some(&name), domain, None));
        Ok((name, Text { from, to, body, expires: now + life, headers }))
    }

    /// 202 when the text is kept; 480 when it was for now only (`Expires: 0`), 486 when too many wait.
    fn keep(&mut self, phone: &str, text: Text) -> Response {
        let waiting = self.messages.kept.entry(phone.to_owned()).or_default();
        if waiting.len() >= limits::TEXTS_PER_PHONE {
            warn!(phone, limit = limits::TEXTS_PER_PHONE, "text refused: too many wait for this phone");
            return Response::new(486).with_reason("Too Many Messages Waiting");
        }
        waiting.push_back(text);
        self.touch(&format!("phone/{phone}"));
        Response::new(202)
    }

    /// Sends a text to every contact of a phone.
    fn deliver(
        &mut self,
        phone: String,
        text: Text,
        sender: Option<(ServerTransactionId, Instant)>,
        was_kept: bool,
        step: &mut Step<'_>,
    ) {
        let contacts = self.access.contacts(step.now, &phone);
        let contacts: Vec<(Uri, crate::sip::Flow, Vec<crate::sip::Header>)> =
            contacts.iter().map(|c| (c.uri.clone(), c.flow, c.route())).collect();
        self.messages.begun += 1;
        let number = self.messages.begun;
        let open = contacts.len();
        let message = text.clone();
        let delivery = Delivery { phone, text, open, delivered: false, refused: None, sender, was_kept };
        self.messages.deliveries.insert(number, delivery);
        for (target, flow, route) in contacts {
            let request = OutgoingRequest {
                method: Method::Message,
                target,
                next_hop: flow.into(),
                from: message.from.clone(),
                to: message.to.clone(),
                contact_user: None,
                sequence: None,
                headers: route.into_iter().chain(message.headers.clone()).collect(),
                body: Some(message.body.clone()),
                credentials: None,
            };
            let id = self.endpoint.request(step.now, request, &mut step.sip);
            self.messages.requests.insert(id, number);
        }
    }

    /// A phone is there: the first of the texts that wait for it.
    pub(super) fn deliver_kept(&mut self, phone: &str, step: &mut Step<'_>) {
        if self.messages.is_busy(phone) || self.access.contacts(step.now, phone).is_empty() {
            return;
        }
        let Some(waiting) = self.messages.kept.get_mut(phone) else { return };
        waiting.retain(|text| text.expires > step.now);
        let Some(text) = waiting.pop_front() else {
            self.messages.kept.remove(phone);
            return;
        };
        if waiting.is_empty() {
            self.messages.kept.remove(phone);
        }
        self.deliver(phone.to_owned(), text, None, true, step);
    }

    /// The response to a request of ours; `false` when it was none of these.
    pub(super) fn message_answered(
        &mut self,
        request: RequestId,
        outcome: &Result<Response, Failure>,
        step: &mut Step<'_>,
    ) -> bool {
        let Some(number) = self.messages.requests.remove(&request) else { return false };
        let Some(delivery) = self.messages.deliveries.get_mut(&number) else { return true };
        delivery.open = delivery.open.saturating_sub(1);
        match outcome {
            Ok(response) if (200..300).contains(&response.status) => {
                delivery.delivered = true;
                if let Some((server, _)) = delivery.sender.take() {
                    self.endpoint.reply(step.now, server, Response::new(200), &mut step.sip);
                }
            }
            // Such an answer will be the same tomorrow; others are for now.
            Ok(response) if matches!(response.status, 405 | 413 | 415 | 488 | 501 | 606) => {
                delivery.refused = Some(response.status);
            }
            _ => {}
        }
        if delivery.open == 0
            && let Some(delivery) = self.messages.deliveries.remove(&number)
        {
            self.delivery_over(delivery, step);
        }
        self.schedule_messages(step.now);
        true
    }

    /// Every contact has answered, or will not.
    fn delivery_over(&mut self, delivery: Delivery, step: &mut Step<'_>) {
        let Delivery { phone, text, delivered, refused, sender, was_kept, .. } = delivery;
        if delivered || refused.is_some() {
            if !delivered {
                warn!(phone, status = refused, "the phone takes no such text; it is dropped");
            } else if was_kept {
                info!(phone, "kept text delivered");
            }
            if let Some((server, _)) = sender {
                let response = Response::new(refused.unwrap_or(500));
                self.endpoint.reply(step.now, server, response, &mut step.sip);
            }
            self.touch(&format!("phone/{phone}"));
            return self.deliver_kept(&phone, step);
        }
        match sender {
            Some((server, _)) => {
                let response = self.keep(&phone, text);
                self.endpoint.reply(step.now, server, response, &mut step.sip);
            }
            // It was promised: it goes back to where it stood, in front.
            None => self.messages.kept.entry(phone.clone()).or_default().push_front(text),
        }
        self.touch(&format!("phone/{phone}"));
    }

    pub(super) fn schedule_messages(&mut self, now: Instant) {
        if let Some(at) = self.messages.deadline() {
            self.deadlines.schedule(at.max(now), Owner::Messages);
        }
    }

    /// A sender has waited long enough, or a text is too old.
    pub(super) fn handle_messages_timeout(&mut self, step: &mut Step<'_>) {
        let now = step.now;
        for delivery in self.messages.deliveries.values_mut() {
            if let Some((server, _)) = delivery.sender.take_if(|(_, until)| *until <= now) {
                self.endpoint.reply(now, server, Response::new(202), &mut step.sip);
            }
        }
        let mut changed = Vec::new();
        self.messages.kept.retain(|phone, waiting| {
            let before = waiting.len();
            waiting.retain(|text| text.expires > now);
            if waiting.len() != before {
                warn!(phone, count = before - waiting.len(), "texts were not fetched in time and are dropped");
                changed.push(format!("phone/{phone}"));
            }
            !waiting.is_empty()
        });
        for entity in changed {
            self.touch(&entity);
        }
        self.schedule_messages(now);
    }
}
