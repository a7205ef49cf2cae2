//! Text between telephones: MESSAGE (RFC 3428), delivered at once or kept until the phone registers.
//!
//! ```text
//!   MESSAGE ──▶ registered, nothing waits ──▶ every contact ──▶ 2xx of one of them: 200
//!                                               │  nobody in time: 202, it goes on
//!                                               └─ nobody at all: kept, 202
//!           └─▶ not registered, or others wait ──▶ kept, 202 ──▶ REGISTER ──▶ one after the other
//! ```
//! 202 is said when the text is in our hands (RFC 3428 7). What is kept is told, so that somebody else can
//! keep it over a restart; a text is told to be gone only when it was delivered, refused or too old, so
//! that a restart may deliver it twice and never loses it.

use super::access::Caller;
use super::{Gateway, Owner, Step};
use crate::limits;
use crate::sip::{
    Body, Failure, Header, HeaderName, Host, Method, NameAddr, OutgoingRequest, Request, RequestId, Response,
    ServerTransactionId, Uri,
};
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tracing::{info, warn};

/// The sender is told 202 after this time. RFC 4320: a response of ours after 64 T1 (32 s) would be lost.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// A text for a phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Distinguishes it from the others, over restarts too.
    pub number: u64,
    /// The phone that it is for.
    pub phone: String,
    /// Who wrote it.
    pub from: NameAddr,
    /// To whom.
    pub to: NameAddr,
    /// What.
    pub body: Body,
    /// When it is too old to be delivered.
    pub expires: Instant,
    /// `Date`, `Subject` and the like, as they came.
    pub headers: Vec<Header>,
}

/// Something about kept texts that outlives the process, if somebody keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextChange {
    /// This text waits for its phone from now on.
    Kept(Box<Text>),
    /// The text with this number does not wait any more.
    Gone(u64),
}

/// A text that was sent to the contacts of a phone.
#[derive(Debug)]
struct Delivery {
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
    /// Texts of all phones that wait, and those of them that are on their way.
    count: usize,
    /// The number of the last text.
    last: u64,
    changes: Vec<TextChange>,
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
        self.deliveries.values().any(|delivery| delivery.text.phone == phone)
    }

    /// What has changed since this was asked last.
    pub(super) fn changes(&mut self) -> impl Iterator<Item = TextChange> + '_ {
        self.changes.drain(..)
    }

    /// Whether one more text may wait for a phone.
    fn has_room(&self, phone: &str) -> bool {
        let waiting = self.kept.get(phone).map_or(0, VecDeque::len);
        waiting < limits::TEXTS_PER_PHONE && self.count < limits::TEXTS_MAX
    }

    /// A text waits from now on.
    fn add(&mut self, text: Text) {
        self.count += 1;
        self.changes.push(TextChange::Kept(Box::new(text.clone())));
        self.kept.entry(text.phone.clone()).or_default().push_back(text);
    }

    /// A text that waited is over, delivered or not.
    fn gone(&mut self, number: u64) {
        self.count = self.count.saturating_sub(1);
        self.changes.push(TextChange::Gone(number));
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
        let text = match self.read_message(caller, request, step.now) {
            Ok(text) => text,
            Err(refusal) => return self.endpoint.reply(step.now, server, refusal, &mut step.sip),
        };
        let phone = text.phone.clone();
        let others_wait = self.messages.kept.contains_key(&phone) || self.messages.is_busy(&phone);
        let is_registered = !self.access.contacts(step.now, &phone).is_empty();
        if is_registered && !others_wait {
            let sender = Some((server, step.now + ANSWER_WITHIN));
            self.deliver(text, sender, false, step);
        } else {
            let response = self.keep(text);
            self.endpoint.reply(step.now, server, response, &mut step.sip);
            if is_registered {
                self.deliver_kept(&phone, step);
            }
        }
        self.schedule_messages(step.now);
    }

    /// The text of a MESSAGE, or its refusal.
    fn read_message(&mut self, caller: &Caller, request: &Request, now: Instant) -> Result<Text, Response> {
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
                Ok(seconds) => Duration::from_secs(u64::from(seconds)).min(limits::TEXT_LIFE_MAX),
                Err(_) => return Err(Response::new(400).with_reason("Expires cannot be read")),
            },
            None => limits::TEXT_LIFE_MAX,
        };
        let domain = Host::from_text(&self.config.sip.domain);
        let from = match caller {
            Caller::Phone(index) => {
                let sender = self.config.phones.get(*index);
                let number = sender.map(|phone| phone.number.clone());
                let name = sender.and_then(|phone| phone.caller_name.clone());
                NameAddr::new(Uri::sip(number.as_deref(), domain.clone(), None)).with_display(name.as_deref())
            }
            // Nobody has proved it: it is shown as it came, and never as one of ours.
            Caller::Anybody => {
                let from = request.from().ok_or_else(|| Response::new(400))?;
                let is_ours = from.uri.host().is_none_or(|host| domain.equivalent(host));
                let anonymous = Uri::sip(Some("anonymous"), Host::from_text("anonymous.invalid"), None);
                NameAddr::new(if is_ours { anonymous } else { from.uri })
            }
            _ => {
                let from = request.from().ok_or_else(|| Response::new(400))?;
                let user = from.uri.user();
                NameAddr::new(Uri::sip(user.as_deref(), domain.clone(), None)).with_display(from.display.as_deref())
            }
        };
        let kept = |h: &&Header| matches!(h.name, HeaderName::Date | HeaderName::Subject | HeaderName::ContentLanguage);
        let headers = request.headers.iter().filter(kept).cloned().collect();
        let to = NameAddr::new(Uri::sip(Some(&name), domain, None));
        self.messages.last = self.messages.last.saturating_add(1);
        let number = self.messages.last;
        Ok(Text { number, phone: name, from, to, body, expires: now + life, headers })
    }

    /// 202 when the text is kept; 486 when too many wait.
    fn keep(&mut self, text: Text) -> Response {
        let phone = text.phone.clone();
        if !self.messages.has_room(&phone) {
            let (limit, of_all) = (limits::TEXTS_PER_PHONE, limits::TEXTS_MAX);
            warn!(phone, limit, of_all, "text refused: too many wait");
            return Response::new(486).with_reason("Too Many Messages Waiting");
        }
        self.messages.add(text);
        self.touch(&format!("phone/{phone}"));
        Response::new(202)
    }

    /// The sender of a text that is on its way is told 202: from now on it is ours.
    fn promise(&mut self, delivery: u64, step: &mut Step<'_>) {
        let Some(text) = self.messages.deliveries.get(&delivery).map(|delivery| delivery.text.clone()) else { return };
        let has_room = self.messages.has_room(&text.phone);
        let Some(delivery) = self.messages.deliveries.get_mut(&delivery) else { return };
        let Some((server, _)) = delivery.sender.take() else { return };
        delivery.was_kept = has_room;
        if has_room {
            self.messages.count += 1;
            self.messages.changes.push(TextChange::Kept(Box::new(text)));
        }
        let response = Response::new(if has_room { 202 } else { 486 });
        self.endpoint.reply(step.now, server, response, &mut step.sip);
    }

    /// Takes texts that were kept over a restart. Those of phones that are configured no more are dropped.
    pub(super) fn restore_texts(&mut self, texts: Vec<Text>, step: &mut Step<'_>) {
        let mut phones = BTreeSet::new();
        for text in texts {
            self.messages.last = self.messages.last.max(text.number);
            let is_known = self.config.phones.iter().any(|phone| phone.name == text.phone);
            if !is_known || text.expires <= step.now || !self.messages.has_room(&text.phone) {
                self.messages.changes.push(TextChange::Gone(text.number));
                continue;
            }
            phones.insert(text.phone.clone());
            self.messages.count += 1;
            self.messages.kept.entry(text.phone.clone()).or_default().push_back(text);
        }
        info!(texts = self.messages.count, "texts taken over from the store");
        for phone in phones {
            self.deliver_kept(&phone, step);
        }
        self.schedule_messages(step.now);
    }

    /// Sends a text to every contact of a phone.
    fn deliver(
        &mut self,
        text: Text,
        sender: Option<(ServerTransactionId, Instant)>,
        was_kept: bool,
        step: &mut Step<'_>,
    ) {
        let contacts = self.access.contacts(step.now, &text.phone);
        let contacts: Vec<(Uri, crate::sip::Flow, Vec<Header>)> =
            contacts.iter().map(|c| (c.uri.clone(), c.flow, c.route())).collect();
        self.messages.begun += 1;
        let number = self.messages.begun;
        let open = contacts.len();
        let message = text.clone();
        let delivery = Delivery { text, open, delivered: false, refused: None, sender, was_kept };
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
        let mut next = waiting.pop_front();
        let mut old = Vec::new();
        while let Some(text) = next.take_if(|text| text.expires <= step.now) {
            old.push(text.number);
            next = waiting.pop_front();
        }
        if waiting.is_empty() {
            self.messages.kept.remove(phone);
        }
        for number in old {
            self.messages.gone(number);
        }
        if let Some(text) = next {
            self.deliver(text, None, true, step);
        }
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
        let Delivery { text, delivered, refused, sender, was_kept, .. } = delivery;
        let phone = text.phone.clone();
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
            if was_kept {
                self.messages.gone(text.number);
            }
            self.touch(&format!("phone/{phone}"));
            return self.deliver_kept(&phone, step);
        }
        match sender {
            Some((server, _)) => {
                let response = self.keep(text);
                self.endpoint.reply(step.now, server, response, &mut step.sip);
            }
            // It was promised: it goes back to where it stood, in front.
            None if was_kept => self.messages.kept.entry(phone.clone()).or_default().push_front(text),
            // There was no room for it, and its sender knows that.
            None => {}
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
        let deliveries = &self.messages.deliveries;
        let is_due = |delivery: &Delivery| delivery.sender.is_some_and(|(_, until)| until <= now);
        let due: Vec<u64> = deliveries.iter().filter(|(_, d)| is_due(d)).map(|(number, _)| *number).collect();
        for number in due {
            self.promise(number, step);
        }
        let (mut changed, mut old) = (Vec::new(), Vec::new());
        self.messages.kept.retain(|phone, waiting| {
            let before = old.len();
            old.extend(waiting.iter().filter(|text| text.expires <= now).map(|text| text.number));
            waiting.retain(|text| text.expires > now);
            if old.len() != before {
                warn!(phone, count = old.len() - before, "texts were not fetched in time and are dropped");
                changed.push(format!("phone/{phone}"));
            }
            !waiting.is_empty()
        });
        for number in old {
            self.messages.gone(number);
        }
        for entity in changed {
            self.touch(&entity);
        }
        self.schedule_messages(now);
    }
}
