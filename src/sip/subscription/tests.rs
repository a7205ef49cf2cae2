use super::super::message::Request;
use super::super::parser::parse;
use super::super::{Send, Settings, Transport};
use super::*;
use crate::rng::Seed;

const FLOW_TEXT: (&str, &str) = ("10.0.0.1:5060", "10.0.0.2:5060");

fn flow() -> Flow {
    let (local, remote) = FLOW_TEXT;
    let address = |text: &str| text.parse().expect("an address");
    Flow { transport: Transport::Udp, local: address(local), remote: address(remote), connection: None }
}

/// A notifier and what it said.
struct Notifier {
    endpoint: Endpoint,
    now: Instant,
    sent: Vec<String>,
    events: Vec<Event>,
    branches: u32,
}

impl Notifier {
    fn new() -> Notifier {
        let mut settings = Settings { listeners: vec![(Transport::Udp, flow().local)], ..Settings::default() };
        settings.allow.push(Method::Subscribe);
        let endpoint = Endpoint::new(settings, &Seed::from_number(7));
        Notifier { endpoint, now: Instant::ZERO, sent: Vec::new(), events: Vec::new(), branches: 0 }
    }

    fn act<T>(&mut self, act: impl FnOnce(&mut Endpoint, Instant, &mut Actions) -> T) -> T {
        let mut out = Actions::default();
        let result = act(&mut self.endpoint, self.now, &mut out);
        self.events.extend(out.events);
        for send in out.sends {
            let Send::Datagram { bytes, .. } = send else { panic!("{send:?}") };
            self.sent.push(String::from_utf8(bytes).expect("text"));
        }
        result
    }

    /// A SUBSCRIBE; `to_tag` for one in the dialog.
    fn subscribe(&mut self, sequence: u32, to_tag: Option<&str>, headers: &str) {
        self.branches += 1;
        let tag = to_tag.map(|tag| format!(";tag={tag}")).unwrap_or_default();
        let text = format!(
            "SUBSCRIBE sip:105@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK{}\r\nFrom: <sip:201@h>;tag=w\r\n\
             To: <sip:105@h>{tag}\r\nCall-ID: c\r\nCSeq: {sequence} SUBSCRIBE\r\nContact: <sip:201@10.0.0.2>\r\n\
             Max-Forwards: 70\r\n{headers}\r\n",
            self.branches
        );
        self.act(|endpoint, now, out| endpoint.handle_datagram(now, flow(), text.as_bytes(), out));
    }

    fn accepted(&mut self, headers: &str) -> SubscriptionId {
        self.subscribe(1, None, headers);
        let Some(Event::Request { server, .. }) = self.events.pop() else { panic!("no request") };
        self.act(|endpoint, now, out| endpoint.subscribe(now, server, flow(), out)).expect("accepted")
    }

    /// The last message sent, as a request.
    fn last(&self) -> Request {
        let text = self.sent.last().expect("something was sent");
        parse(text.as_bytes()).expect("readable").to_request().unwrap_or_else(|| panic!("no request: {text}"))
    }

    fn state(&self) -> String {
        self.last().headers.text(&HeaderName::SubscriptionState).expect("a state").into_owned()
    }

    /// The subscriber answers the last NOTIFY.
    fn answer(&mut self, status: u16) {
        let request = self.last();
        assert_eq!(request.method, Method::Notify);
        let copied = |h: &&super::super::message::Header| {
            matches!(
                h.name,
                HeaderName::Via | HeaderName::From | HeaderName::To | HeaderName::CallId | HeaderName::CSeq
            )
        };
        let response = Response::new(status).with_headers(request.headers.iter().filter(copied).cloned());
        let bytes = response.to_bytes();
        self.act(|endpoint, now, out| endpoint.handle_datagram(now, flow(), &bytes, out));
    }

    fn notify(&mut self, id: SubscriptionId, text: &str) {
        let body = Body { content_type: "text/plain".to_owned(), bytes: text.into() };
        self.act(|endpoint, now, out| endpoint.notify(now, id, Some(body), out));
    }

    fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while let Some(at) = self.endpoint.deadline().filter(|at| *at <= until) {
            self.now = at;
            self.act(|endpoint, now, out| endpoint.handle_timeout(now, out));
        }
        self.now = until;
    }

    fn our_tag(&self) -> String {
        self.last().from().and_then(|from| from.tag().map(str::to_owned)).expect("our tag")
    }
}

const DIALOG: &str = "Event: dialog;id=4\r\nExpires: 600\r\n";

#[test]
fn a_subscribe_is_answered_and_notified_at_once() {
    // RFC 6665 4.2.1.1, 4.2.2
    let mut notifier = Notifier::new();
    let id = notifier.accepted(DIALOG);
    assert!(notifier.sent[0].starts_with("SIP/2.0 200"), "{}", notifier.sent[0]);
    assert!(notifier.sent[0].contains("Expires: 600\r\n"));
    notifier.notify(id, "first");
    let notify = notifier.last();
    assert_eq!(notify.uri.to_string(), "sip:201@10.0.0.2");
    assert_eq!(notify.headers.text(&HeaderName::Event).unwrap(), "dialog;id=4");
    assert_eq!(notifier.state(), "active;expires=600");
    assert_eq!(notify.to().unwrap().tag(), Some("w"));
    assert!(notifier.sent[0].contains(&format!("tag={}", notifier.our_tag())), "one dialog");
}

#[test]
fn one_notify_is_under_way_and_the_last_state_follows() {
    let mut notifier = Notifier::new();
    let id = notifier.accepted(DIALOG);
    for text in ["first", "second", "third"] {
        notifier.notify(id, text);
    }
    assert_eq!(notifier.sent.len(), 2, "200 and the first NOTIFY");
    notifier.answer(200);
    assert_eq!(notifier.last().body, b"third");
    notifier.answer(200);
    assert_eq!(notifier.sent.len(), 3);
    notifier.notify(id, "fourth");
    assert_eq!(notifier.last().cseq().unwrap().number, 3);
}

#[test]
fn a_subscription_that_is_not_refreshed_ends_with_a_last_notify() {
    let mut notifier = Notifier::new();
    let id = notifier.accepted(DIALOG);
    notifier.notify(id, "first");
    notifier.answer(200);
    notifier.advance(Duration::from_secs(599));
    assert!(notifier.events.is_empty());
    notifier.advance(Duration::from_secs(1));
    assert_eq!(notifier.events, [Event::NotifyDue { subscription: id }]);
    notifier.notify(id, "last");
    assert_eq!(notifier.state(), "terminated;reason=timeout");
    assert_eq!(notifier.events.last(), Some(&Event::Unsubscribed { subscription: id }));
    notifier.answer(200);
    notifier.advance(Duration::from_secs(60));
    let counts = notifier.endpoint.counts();
    assert_eq!((counts.subscriptions, counts.client_transactions, counts.server_transactions), (0, 0, 0));
    assert_eq!(notifier.events.len(), 2, "said once");
}

#[test]
fn a_refresh_lengthens_and_expires_0_ends() {
    let mut notifier = Notifier::new();
    let id = notifier.accepted(DIALOG);
    notifier.notify(id, "first");
    notifier.answer(200);
    let tag = notifier.our_tag();
    notifier.advance(Duration::from_secs(500));
    notifier.subscribe(2, Some(&tag), DIALOG);
    assert_eq!(notifier.events, [Event::NotifyDue { subscription: id }]);
    notifier.notify(id, "again");
    assert_eq!(notifier.state(), "active;expires=600");
    notifier.answer(200);
    notifier.subscribe(3, Some(&tag), "Event: dialog;id=4\r\nExpires: 0\r\n");
    notifier.notify(id, "last");
    assert_eq!(notifier.state(), "terminated;reason=timeout");
    notifier.answer(200);
    assert_eq!(notifier.endpoint.counts().subscriptions, 0);
}

#[test]
fn a_fetch_is_one_notify() {
    // RFC 6665 4.4.3: Expires: 0 without a subscription polls.
    let mut notifier = Notifier::new();
    let id = notifier.accepted("Event: dialog\r\nExpires: 0\r\n");
    notifier.notify(id, "state");
    assert_eq!(notifier.state(), "terminated;reason=timeout");
    notifier.answer(200);
    assert_eq!(notifier.endpoint.counts().subscriptions, 0);
}

#[test]
fn what_is_wrong_in_the_dialog_is_refused() {
    let mut notifier = Notifier::new();
    let id = notifier.accepted(DIALOG);
    notifier.notify(id, "first");
    notifier.answer(200);
    let tag = notifier.our_tag();
    let mut refused = |sequence: u32, tag: &str, headers: &str| {
        notifier.subscribe(sequence, Some(tag), headers);
        notifier.sent.last().unwrap().split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(refused(1, &tag, DIALOG), "500", "out of order");
    assert_eq!(refused(2, &tag, "Event: presence\r\n"), "489", "another package");
    assert_eq!(refused(3, "unknown", DIALOG), "481");
    assert_eq!(refused(4, &tag, "Event: dialog;id=4\r\nExpires: 59\r\n"), "423");
    assert_eq!(refused(5, &tag, "Event: dialog;id=4\r\nExpires: soon\r\n"), "400");
    assert_eq!(refused(6, &tag, "Event: dialog;id=4\r\nExpires: 60\r\n"), "200");
}

#[test]
fn a_subscriber_that_is_gone_is_forgotten() {
    // RFC 6665 4.2.2
    for (status, lives) in [(481, false), (489, false), (404, false), (500, true), (200, true)] {
        let mut notifier = Notifier::new();
        let id = notifier.accepted(DIALOG);
        notifier.notify(id, "first");
        notifier.answer(status);
        assert_eq!(notifier.endpoint.counts().subscriptions, usize::from(lives), "{status}");
        assert_eq!(notifier.events.contains(&Event::Unsubscribed { subscription: id }), !lives, "{status}");
    }
    let mut notifier = Notifier::new();
    let id = notifier.accepted(DIALOG);
    notifier.notify(id, "first");
    notifier.advance(Duration::from_secs(33));
    assert_eq!(notifier.events, [Event::Unsubscribed { subscription: id }], "timer F");
}

#[test]
fn the_application_ends_a_subscription() {
    let mut notifier = Notifier::new();
    let id = notifier.accepted(DIALOG);
    notifier.notify(id, "first");
    notifier.act(|endpoint, now, out| endpoint.end_subscription(now, id, EndReason::NoResource, None, out));
    assert_eq!(notifier.state(), "active;expires=600", "the first one is still under way");
    notifier.answer(200);
    assert_eq!(notifier.state(), "terminated;reason=noresource");
    notifier.answer(200);
    assert_eq!(notifier.endpoint.counts().subscriptions, 0);
    assert!(notifier.events.is_empty());
}

#[test]
fn a_subscription_that_is_too_short_or_lacks_an_event_is_refused() {
    for (headers, status) in [
        ("Event: dialog\r\nExpires: 59\r\n", "423"),
        ("Expires: 60\r\n", "489"),
        ("Event: dialog\r\nExpires: x\r\n", "400"),
    ] {
        let mut notifier = Notifier::new();
        notifier.subscribe(1, None, headers);
        let Some(Event::Request { server, .. }) = notifier.events.pop() else { panic!("no request") };
        assert_eq!(notifier.act(|endpoint, now, out| endpoint.subscribe(now, server, flow(), out)), None);
        assert_eq!(notifier.sent[0].split(' ').nth(1), Some(status));
    }
}
