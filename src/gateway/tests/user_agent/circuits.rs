//! Calls between a user agent and an exchange, whose messages are written by hand here.

mod m3ua;

use super::*;
use crate::call::isup::{Side, iam_message, messages_of};
use crate::config::{IsupTransport, Suspend};
use crate::isup::indicators::{Continuity, ContinuityCheck, InformationRequest, NatureOfConnection};
use crate::isup::number::SubsequentNumber;
use crate::isup::supervision::RangeAndStatus;
use crate::isup::{Cic, Digits, Message, MessageType, Parameter, ParameterCode, Variant};
use crate::media::Tone;
use crate::trunk::{CalledStatus, Iam, Location, Progress};

const EXCHANGE: &str = r#"
[isup.far]
transport = "simulated"
circuits = "1-3"
control = "none"
timers = { t7 = "5s", t9 = "5s", meant = ["t7", "t9"] }
KEYS

[isup.other]
transport = "simulated"
circuits = "1"

[[route]]
name = "to the exchange"
match = "8XX"
from = ["trunk/left"]
transit = true
to = "isup/far"

[[route]]
name = "two ways"
match = "6X1"
from = ["trunk/left"]
transit = true
via = ["isup/far", "isup/other"]

[[route]]
name = "from the exchange"
match = "9XX"
from = ["isup/far"]
transit = true
to = "trunk/right"

[[route]]
name = "from the exchange, longer"
match = "9XX5"
from = ["isup/far"]
transit = true
to = "trunk/right"

[[route]]
name = "through"
match = "5XX"
from = ["isup/far"]
transit = true
to = "isup/other"
"#;

const FAR: GroupId = GroupId(0);
const OTHER: GroupId = GroupId(1);
const TONE: Tone = Tone { hertz: [1004, 0, 0, 0], level_centi_dbm0: -1_000, cadence_ms: [0; 8] };
const FREE: TrunkEvent = TrunkEvent::Acm { status: CalledStatus::SubscriberFree, in_band: false };

fn exchange(keys: &str) -> Between {
    Between::with(&format!(
        "{}{}",
        super::CONFIG.replace("LEFT", "").replace("RIGHT", ""),
        EXCHANGE.replace("KEYS", keys)
    ))
}

fn cic(code: u16) -> Cic {
    Cic::new(Variant::Itu, code).expect("a circuit")
}

fn rel(cause: u8) -> TrunkEvent {
    TrunkEvent::Rel(Release::user(Cause::new(cause).expect("a cause")))
}

/// As the far end would write it.
fn text_of(octets: &[u8]) -> String {
    let (cic, message) = Message::decode(Variant::Itu, octets).expect("what we send can be read");
    let cause = message.cause().map_or(String::new(), |cause| format!(" {}", cause.cause().value()));
    format!("{cic} {}{cause}", message.kind().name().unwrap_or("?"))
}

impl Between {
    /// The exchange says a message.
    fn exchange_says(&mut self, group: GroupId, code: u16, message: &Message) {
        let octets = message.encode(Variant::Itu, cic(code)).expect("a message");
        self.input(Input::Isup { group, octets: &octets });
    }

    /// It says an event of a call that had its ACM or not.
    fn says(&mut self, code: u16, event: &TrunkEvent) {
        let is_acm = matches!(event, TrunkEvent::Acm { .. });
        for message in messages_of(event, !is_acm && *event != TrunkEvent::Con, &Side::default()) {
            self.exchange_says(FAR, code, &message);
        }
    }

    fn says_plain(&mut self, code: u16, kind: MessageType) {
        self.exchange_says(FAR, code, &Message::new(kind));
    }

    /// It calls a number.
    fn calls(&mut self, code: u16, number: &str, more_digits: bool) {
        let iam = Iam { called: number.to_owned(), calling: Some("4711".to_owned()), more_digits, ..Iam::default() };
        let message = iam_message(&iam, &Side::default()).expect("an IAM");
        self.exchange_says(FAR, code, &message);
    }

    fn more_digits(&mut self, code: u16, digits: &str) {
        let digits = SubsequentNumber::new(&Digits::new(digits).expect("digits")).expect("a number");
        self.exchange_says(FAR, code, &Message::new(MessageType::SAM).with(Parameter::SubsequentNumber(digits)));
    }

    /// What the exchange heard since the last look.
    fn exchange_heard(&mut self) -> Vec<String> {
        let mut heard = Vec::new();
        self.outputs.retain(|output| {
            let Output::Isup { group, octets } = output else { return true };
            let other = if *group == FAR { "" } else { "other: " };
            heard.push(format!("{other}{}", text_of(octets)));
            false
        });
        heard
    }

    /// Tones that were ordered since the last look, and what happened to streams.
    fn media(&mut self) -> Vec<String> {
        let mut media = Vec::new();
        self.outputs.retain(|output| {
            let Output::Media(_, command) = output else { return true };
            media.push(match command {
                MediaCommand::Start(_) => "start".to_owned(),
                MediaCommand::Stop(_) => "stop".to_owned(),
                MediaCommand::PlayToStream(_, Some(tone)) => format!("play {}", tone.hertz[0]),
                MediaCommand::PlayToStream(_, None) => "play nothing".to_owned(),
                other => format!("{other:?}"),
            });
            false
        });
        media
    }

    /// Statuses, requests and causes that an end got since the last look.
    fn heard(&mut self, end: usize) -> Vec<String> {
        let reason = |reasons: Vec<crate::sip::Reason>| {
            let cause = reasons.iter().find(|reason| reason.protocol == "Q.850").and_then(|reason| reason.cause);
            cause.map_or(String::new(), |cause| format!(" cause {cause}"))
        };
        let sdp = |body: &Option<Body>| if body.is_some() { " sdp" } else { "" };
        let texts = self.events[end].drain(..).filter_map(|event| match event {
            Event::Progress { status, body, .. } => Some(format!("{status}{}", sdp(&body))),
            Event::Answered { body, .. } => Some(format!("200{}", sdp(&body))),
            Event::Ended { how: Ended::Rejected { status, response }, .. } => {
                Some(format!("{status}{}", reason(response.reasons())))
            }
            Event::Ended { how: Ended::Bye { request }, .. } => Some(format!("BYE{}", reason(request.reasons()))),
            Event::Ended { how: Ended::Cancelled { request }, .. } => {
                Some(format!("CANCEL{}", reason(request.reasons())))
            }
            Event::Offer { .. } => Some("offer".to_owned()),
            _ => None,
        });
        texts.collect()
    }

    fn call_from_left(&mut self, number: &str) -> SessionId {
        self.invite(number, body(LEFT, 1, "0 8"), Vec::new())
    }

    /// A call from the left to the exchange on circuit 1 that has been answered.
    fn connected(keys: &str) -> (Between, SessionId) {
        let mut it = exchange(keys);
        let caller = it.call_from_left("800");
        it.says(1, &FREE);
        it.says(1, &TrunkEvent::Anm);
        assert_eq!(it.heard(LEFT), ["180", "200 sdp"]);
        assert_eq!(it.exchange_heard(), ["1 IAM"]);
        it.clear();
        (it, caller)
    }

    /// A call from the exchange on circuit 2 that the right has got.
    fn called_right(keys: &str) -> (Between, SessionId) {
        let mut it = exchange(keys);
        it.calls(2, "900", false);
        let (callee, _) = it.incoming();
        it.clear();
        (it, callee)
    }

    /// Everything is over, and nothing was left behind.
    fn finish(mut self) {
        self.run(Duration::from_secs(64));
        let counts = self.gateway.counts();
        assert_eq!((counts.calls, counts.sip.sessions), (0, 0));
        let circuits = self.gateway.circuit_summaries(None).expect("all groups");
        assert!(circuits.iter().all(|circuit| circuit.state == "idle" && circuit.call.is_none()), "{circuits:?}");
    }
}

fn q850(cause: u32) -> crate::sip::Reason {
    crate::sip::Reason { protocol: "Q.850".to_owned(), cause: Some(cause), text: None, location: None }
}

#[test]
fn a_call_rings_is_answered_and_released_by_the_exchange() {
    let mut it = exchange("");
    it.call_from_left("800");
    assert_eq!(it.exchange_heard(), ["1 IAM"]);
    it.says(1, &FREE);
    assert_eq!(it.heard(LEFT), ["180"]);
    it.input(Input::CircuitSound { group: FAR, cic: 1, sound: Some(TONE) });
    assert_eq!(it.media(), [""; 0], "the backward path is not open yet");
    it.says(1, &TrunkEvent::Anm);
    assert_eq!(it.heard(LEFT), ["200 sdp"]);
    assert_eq!(it.media(), ["start", "play 1004"]);
    it.input(Input::CircuitSound { group: FAR, cic: 1, sound: None });
    assert_eq!(it.media(), ["play 0"], "silence is sent, too");
    it.says(1, &rel(16));
    assert_eq!(it.heard(LEFT), ["BYE cause 16"]);
    assert_eq!(it.exchange_heard(), ["1 RLC"]);
    assert!(it.media().contains(&"stop".to_owned()));
    it.call_from_left("801");
    assert_eq!(it.exchange_heard(), ["1 IAM"], "the circuit is free again");
    it.says(1, &rel(17));
    assert_eq!(it.heard(LEFT), ["486 cause 17"]);
    let record = it.outputs.iter().rev().find_map(|output| match output {
        Output::Record(record) => Some((record.to.clone(), record.release)),
        _ => None,
    });
    assert_eq!(record, Some((Some("isup/far".to_owned()), Release::user(Cause::BUSY))));
}

#[test]
fn con_answers_without_ringing() {
    let mut it = exchange("");
    it.call_from_left("800");
    it.says(1, &TrunkEvent::Con);
    assert_eq!(it.heard(LEFT), ["200 sdp"]);
}

#[test]
fn an_announcement_is_heard_before_the_answer() {
    let mut it = exchange("");
    it.call_from_left("800");
    it.input(Input::CircuitSound { group: FAR, cic: 1, sound: Some(TONE) });
    it.says(1, &TrunkEvent::Acm { status: CalledStatus::NoIndication, in_band: true });
    assert_eq!(it.heard(LEFT), ["183 sdp"]);
    assert_eq!(it.media(), ["start", "play 1004"]);
    it.says(1, &TrunkEvent::Cpg { event: Progress::Alerting, in_band: false });
    it.says(1, &TrunkEvent::Anm);
    assert_eq!(it.heard(LEFT), ["180", "200 sdp"]);
    assert_eq!(it.media(), [""; 0], "it goes on");
    it.says(1, &rel(1));
    assert_eq!(it.heard(LEFT), ["BYE cause 1"]);
    it.finish();
}

#[test]
fn silence_before_acm_ends_with_t7_and_before_the_answer_with_t9() {
    let mut it = exchange("");
    it.call_from_left("800");
    it.run(Duration::from_millis(4_900));
    assert_eq!((it.heard(LEFT), it.exchange_heard()), (vec![], vec!["1 IAM".to_owned()]));
    it.run(Duration::from_millis(200));
    assert_eq!(it.heard(LEFT), ["504 cause 102"]);
    assert_eq!(it.exchange_heard(), ["1 REL 102"]);
    it.says_plain(1, MessageType::RLC);
    it.call_from_left("800");
    it.says(1, &FREE);
    it.run(Duration::from_millis(5_100));
    assert_eq!(it.heard(LEFT), ["180", "480 cause 19"]);
    assert_eq!(it.exchange_heard(), ["1 IAM", "1 REL 19"]);
    it.says_plain(1, MessageType::RLC);
    it.finish();
}

#[test]
fn a_circuit_whose_rel_is_not_answered_is_not_used() {
    let mut it = exchange("");
    it.call_from_left("800");
    it.run(Duration::from_secs(6));
    it.exchange_heard();
    it.call_from_left("800");
    assert_eq!(it.exchange_heard(), ["2 IAM"]);
    it.run(Duration::from_secs(15));
    assert!(it.exchange_heard().contains(&"1 REL 102".to_owned()), "T1 repeats it");
}

#[test]
fn dual_seizure_moves_the_call_to_another_circuit_and_nobody_notices() {
    let mut it = exchange("");
    it.call_from_left("800");
    it.calls(1, "900", false);
    assert_eq!(it.exchange_heard(), ["1 IAM", "2 IAM"]);
    assert_eq!(it.heard(LEFT), [""; 0]);
    let (callee, _) = it.incoming();
    it.says(2, &FREE);
    it.says(2, &TrunkEvent::Anm);
    assert_eq!(it.heard(LEFT), ["180", "200 sdp"]);
    it.act(RIGHT, |e, now, out| e.accept(now, callee, body(RIGHT, 1, "0"), out));
    assert_eq!(it.exchange_heard(), ["1 CON"]);
    it.says(1, &rel(16));
    it.says(2, &rel(31));
    assert_eq!(it.heard(LEFT), ["BYE cause 31"]);
    assert_eq!(it.heard(RIGHT).last().map(String::as_str), Some("BYE cause 16"));
    it.finish();
}

#[test]
fn blocked_circuits_are_passed_over() {
    let mut it = exchange("");
    it.says_plain(1, MessageType::BLO);
    assert_eq!(it.exchange_heard(), ["1 BLA"]);
    it.call_from_left("800");
    assert_eq!(it.exchange_heard(), ["2 IAM"]);
    // BLO and IAM cross.
    it.says_plain(2, MessageType::BLO);
    let heard = it.exchange_heard();
    assert!(heard.contains(&"3 IAM".to_owned()) && heard.contains(&"2 BLA".to_owned()), "{heard:?}");
    it.says(3, &FREE);
    assert_eq!(it.heard(LEFT), ["180"], "the caller hears of none of it");
}

#[test]
fn without_a_free_circuit_the_cause_is_34_and_the_next_way_is_tried() {
    let mut it = exchange("");
    for _ in 0..3 {
        it.call_from_left("800");
    }
    it.exchange_heard();
    it.call_from_left("800");
    assert_eq!(it.heard(LEFT), ["503 cause 34"]);
    it.call_from_left("601");
    assert_eq!(it.exchange_heard(), ["other: 1 IAM"]);
}

#[test]
fn a_far_end_that_cannot_be_reached_gets_no_calls() {
    let (mut it, _) = Between::connected("");
    it.input(Input::FarEnd { group: FAR, available: false });
    it.call_from_left("800");
    assert_eq!(it.heard(LEFT), ["503 cause 38"]);
    it.call_from_left("601");
    assert_eq!(it.exchange_heard(), ["other: 1 IAM"]);
    it.says(1, &rel(16));
    assert_eq!(it.heard(LEFT), ["BYE cause 16"], "the call that was there is still heard");
    it.input(Input::FarEnd { group: FAR, available: true });
    it.call_from_left("800");
    assert!(it.exchange_heard().contains(&"1 IAM".to_owned()));
}

#[test]
fn circuits_over_m3ua_are_reset_when_the_far_end_is_first_there() {
    let text = format!("{}{}", super::CONFIG.replace("LEFT", "").replace("RIGHT", ""), EXCHANGE.replace("KEYS", ""));
    let mut config = Config::parse("test.toml", &text, &NoReader).expect("a valid configuration");
    config.isups[0].transport = IsupTransport::M3ua;
    config.isups[0].circuits = [1, 2, 3, 9].into();
    let mut it = exchange("");
    it.gateway = Gateway::new(config, Seed::from_number(1), it.now);
    it.call_from_left("800");
    assert_eq!(it.heard(LEFT), ["503 cause 38"]);
    assert_eq!(it.exchange_heard(), [""; 0]);
    it.input(Input::FarEnd { group: FAR, available: true });
    assert_eq!(it.exchange_heard(), ["1 GRS", "9 RSC"]);
    it.call_from_left("800");
    assert_eq!(it.heard(LEFT), ["503 cause 34"], "they are not idle before the far end says so");
    let range = RangeAndStatus::status(&[false; 3]).expect("a range");
    it.exchange_says(FAR, 1, &Message::new(MessageType::GRA).with(Parameter::RangeAndStatus(range)));
    it.call_from_left("800");
    assert_eq!(it.exchange_heard(), ["1 IAM"]);
    it.input(Input::FarEnd { group: FAR, available: false });
    it.input(Input::FarEnd { group: FAR, available: true });
    assert_eq!(it.exchange_heard(), [""; 0], "calls outlive an interruption");
}

#[test]
fn a_suspended_call_is_hidden_from_sip_or_held() {
    for (keys, heard) in [("", vec![]), ("suspend = \"hold\"", vec!["offer"])] {
        let (mut it, _) = Between::connected(keys);
        it.says(1, &TrunkEvent::Sus { network: true });
        if keys.is_empty() {
            assert_eq!(it.heard(LEFT), heard);
        } else {
            assert_eq!(it.answer(LEFT, "0 inactive"), "inactive");
        }
        it.says(1, &TrunkEvent::Res { network: true });
        if keys.is_empty() {
            assert_eq!(it.heard(LEFT), heard);
        } else {
            assert_eq!(it.answer(LEFT, "0"), "sendrecv");
        }
        assert_eq!(it.gateway.counts().calls, 1);
        assert_eq!(it.exchange_heard(), [""; 0]);
        it.says(1, &rel(16));
        it.heard(LEFT);
        it.finish();
    }
    assert_eq!(Suspend::default(), Suspend::Hide);
}

#[test]
fn a_caller_who_gives_up_or_hangs_up_is_told_with_its_cause() {
    let mut it = exchange("");
    let caller = it.call_from_left("800");
    it.says(1, &FREE);
    it.act(LEFT, |e, now, out| e.terminate(now, caller, None, out));
    assert_eq!(it.exchange_heard(), ["1 IAM", "1 REL 16"]);
    it.says_plain(1, MessageType::RLC);
    it.finish();
    let (mut it, caller) = Between::connected("");
    it.act(LEFT, |e, now, out| e.terminate(now, caller, Some(q850(31)), out));
    assert_eq!(it.exchange_heard(), ["1 REL 31"]);
    // Both ends released at once.
    it.says(1, &rel(16));
    assert_eq!(it.exchange_heard(), ["1 RLC"]);
    it.says_plain(1, MessageType::RLC);
    it.call_from_left("800");
    assert_eq!(it.exchange_heard(), ["1 IAM"]);
}

#[test]
fn a_reset_of_the_circuit_ends_its_call() {
    let (mut it, _) = Between::connected("");
    it.says_plain(1, MessageType::RSC);
    assert_eq!(it.exchange_heard(), ["1 RLC"]);
    assert_eq!(it.heard(LEFT), ["BYE cause 41"]);
    it.finish();
}

#[test]
fn releases_say_where_they_were_decided() {
    let mut it = exchange("location = \"TN\"");
    it.call_from_left("800");
    it.exchange_heard();
    it.run(Duration::from_secs(6));
    let location = it.outputs.iter().find_map(|output| match output {
        Output::Isup { octets, .. } => {
            let (_, message) = Message::decode(Variant::Itu, octets).expect("readable");
            message.cause().map(|cause| cause.release().location)
        }
        _ => None,
    });
    assert_eq!(location, Some(Location::Transit));
}

#[test]
fn a_call_of_the_exchange_rings_is_answered_and_released() {
    let (mut it, callee) = Between::called_right("");
    it.act(RIGHT, |e, now, out| e.progress(now, callee, 180, None, vec![], out));
    assert_eq!(it.exchange_heard(), ["2 ACM"]);
    it.input(Input::CircuitSound { group: FAR, cic: 2, sound: Some(TONE) });
    it.act(RIGHT, |e, now, out| e.accept(now, callee, body(RIGHT, 1, "0"), out));
    assert_eq!(it.exchange_heard(), ["2 ANM"]);
    assert_eq!(it.media(), ["start", "play 1004"]);
    it.act(RIGHT, |e, now, out| e.terminate(now, callee, None, out));
    assert_eq!(it.exchange_heard(), ["2 REL 16"]);
    it.says_plain(2, MessageType::RLC);
    it.calls(2, "901", false);
    let (callee, request) = it.incoming();
    assert!(request.uri.to_string().starts_with("sip:901@"), "{}", request.uri);
    assert!(request.headers.text(&HeaderName::From).is_some_and(|from| from.contains("4711")));
    it.act(RIGHT, |e, now, out| e.accept(now, callee, body(RIGHT, 1, "0"), out));
    assert_eq!(it.exchange_heard(), ["2 CON"], "it did not ring before");
    it.heard(RIGHT);
    it.says(2, &rel(16));
    assert_eq!(it.heard(RIGHT), ["BYE cause 16"]);
    assert_eq!(it.exchange_heard(), ["2 RLC"]);
    it.finish();
}

#[test]
fn a_call_of_the_exchange_that_is_refused_is_released_with_the_cause() {
    let (mut it, callee) = Between::called_right("");
    it.act(RIGHT, |e, now, out| e.reject(now, callee, 486, vec![], out));
    assert_eq!(it.exchange_heard(), ["2 REL 17"]);
    it.says_plain(2, MessageType::RLC);
    it.calls(2, "444", false);
    assert_eq!(it.exchange_heard(), ["2 REL 1"], "a number that nobody has");
    it.says_plain(2, MessageType::RLC);
    it.input(Input::Drain);
    it.calls(2, "900", false);
    assert_eq!(it.exchange_heard(), ["2 REL 42"], "no new calls");
    it.says_plain(2, MessageType::RLC);
    it.finish();
}

#[test]
fn an_exchange_that_gives_up_cancels() {
    let (mut it, callee) = Between::called_right("");
    it.act(RIGHT, |e, now, out| e.progress(now, callee, 180, None, vec![], out));
    it.says(2, &rel(16));
    assert_eq!(it.exchange_heard(), ["2 ACM", "2 RLC"]);
    assert_eq!(it.heard(RIGHT), ["CANCEL cause 16"]);
    it.finish();
}

#[test]
fn a_slow_callee_is_covered_by_an_early_acm() {
    let (mut it, callee) = Between::called_right("");
    it.act(RIGHT, |e, now, out| e.progress(now, callee, 100, None, vec![], out));
    it.run(Duration::from_millis(14_900));
    assert_eq!(it.exchange_heard(), [""; 0]);
    it.run(Duration::from_millis(200));
    assert_eq!(it.exchange_heard(), ["2 ACM"], "T11");
    it.act(RIGHT, |e, now, out| e.progress(now, callee, 180, None, vec![], out));
    it.act(RIGHT, |e, now, out| e.accept(now, callee, body(RIGHT, 1, "0"), out));
    assert_eq!(it.exchange_heard(), ["2 CPG", "2 ANM"]);
    it.says(2, &rel(16));
    it.finish();
}

#[test]
fn digits_that_come_later_are_waited_for() {
    let mut it = exchange("");
    it.calls(1, "9", true);
    assert_eq!(it.sent[RIGHT].len(), 0);
    it.more_digits(1, "0");
    it.more_digits(1, "2");
    assert_eq!(it.sent[RIGHT].len(), 0, "902 may be 9025");
    it.run(Duration::from_millis(4_100));
    let (_, request) = it.incoming();
    assert!(request.uri.to_string().starts_with("sip:902@"), "T10: {}", request.uri);
    it.clear();
    it.calls(2, "90", true);
    it.more_digits(2, "2F");
    let (_, request) = it.incoming();
    assert!(request.uri.to_string().starts_with("sip:902@"), "ST: {}", request.uri);
    it.clear();
    it.calls(3, "902", true);
    it.more_digits(3, "5");
    assert!(it.incoming().1.uri.to_string().starts_with("sip:9025@"), "no number is longer");
    for code in 1..=3 {
        it.says(code, &rel(16));
    }
    it.finish();
}

#[test]
fn digits_that_never_come_end_with_cause_28() {
    let mut it = exchange("");
    it.calls(1, "90", true);
    it.run(Duration::from_millis(15_100));
    assert_eq!(it.exchange_heard(), ["1 REL 28"], "T35");
    it.says_plain(1, MessageType::RLC);
    it.calls(1, "90", true);
    it.says(1, &rel(16));
    assert_eq!(it.exchange_heard(), ["1 RLC"], "the caller gave up");
    it.more_digits(1, "0");
    assert_eq!(it.sent[RIGHT].len(), 0);
    it.calls(2, "90", false);
    assert_eq!(it.exchange_heard().last().map(String::as_str), Some("2 REL 28"), "with ST it is wrong at once");
}

#[test]
fn a_call_goes_through_from_exchange_to_exchange() {
    let mut it = exchange("");
    it.calls(3, "501", false);
    assert_eq!(it.exchange_heard(), ["other: 1 IAM"]);
    let side = Side::default();
    let other = |it: &mut Between, event: &TrunkEvent, sent_acm| {
        for message in messages_of(event, sent_acm, &side) {
            it.exchange_says(OTHER, 1, &message);
        }
    };
    other(&mut it, &FREE, false);
    other(&mut it, &TrunkEvent::Anm, true);
    assert_eq!(it.exchange_heard(), ["3 ACM", "3 ANM"]);
    other(&mut it, &TrunkEvent::Sus { network: false }, true);
    assert_eq!(it.exchange_heard(), ["3 SUS"]);
    other(&mut it, &TrunkEvent::Res { network: false }, true);
    it.says(3, &rel(21));
    assert_eq!(it.exchange_heard(), ["3 RES", "3 RLC", "other: 1 REL 21"]);
    it.exchange_says(OTHER, 1, &Message::new(MessageType::RLC));
    it.finish();
}

#[test]
fn questions_of_the_exchange_are_answered() {
    let mut it = exchange("");
    it.call_from_left("800");
    it.exchange_heard();
    let wanted = InformationRequest::default().with_calling_number(true);
    it.exchange_says(FAR, 1, &Message::new(MessageType::INR).with(Parameter::InformationRequest(wanted)));
    let number = it.outputs.iter().find_map(|output| match output {
        Output::Isup { octets, .. } => {
            let (_, message) = Message::decode(Variant::Itu, octets).expect("readable");
            (message.kind() == MessageType::INF)
                .then(|| message.calling_number().map(|n| n.digits().number().to_owned()))
        }
        _ => None,
    });
    assert_eq!(number, Some(Some("100".to_owned())));
}

#[test]
fn octets_that_are_no_message_and_groups_that_are_not_there_do_nothing() {
    let (mut it, _) = Between::connected("");
    for octets in [&[][..], &[1], &[1, 0], &[1, 0, 12], &[0xFF; 300]] {
        it.input(Input::Isup { group: FAR, octets });
        it.input(Input::Isup { group: GroupId(9), octets });
    }
    it.input(Input::CircuitSound { group: GroupId(9), cic: 1, sound: Some(TONE) });
    it.input(Input::CircuitSound { group: FAR, cic: 77, sound: Some(TONE) });
    it.input(Input::FarEnd { group: GroupId(9), available: false });
    assert_eq!(it.gateway.counts().calls, 1);
    assert_eq!((it.media(), it.heard(LEFT)), (vec![], vec![]));
}

#[test]
fn an_operator_sees_blocks_and_resets_circuits() {
    let (mut it, _) = Between::connected("");
    let maintain = |it: &mut Between, group: &str, circuit, what| {
        let mut outcome = Err("nothing was said".to_owned());
        it.input(Input::Maintain { group, circuit, what, outcome: &mut outcome });
        outcome
    };
    assert_eq!(maintain(&mut it, "isup/far", 2, Maintenance::Block), Ok(()));
    assert_eq!(it.exchange_heard(), ["2 BLO"]);
    it.says_plain(2, MessageType::BLA);
    it.says_plain(3, MessageType::BLO);
    it.exchange_heard();
    let seen = it.gateway.circuit_summaries(Some("far")).expect("the group");
    let words = |s: &CircuitSummary| format!("{} {} {} {} {:?}", s.cic, s.state, s.direction, s.blocked, s.call);
    assert_eq!(
        seen.iter().map(words).collect::<Vec<_>>(),
        ["1 talking out  Some(1)", "2 idle  here None", "3 idle  there None"]
    );
    it.call_from_left("800");
    assert_eq!(it.heard(LEFT), ["503 cause 34"]);
    assert_eq!(maintain(&mut it, "far", 2, Maintenance::Unblock), Ok(()));
    it.says_plain(2, MessageType::UBA);
    assert_eq!(maintain(&mut it, "far", 1, Maintenance::Reset), Ok(()));
    assert_eq!(it.exchange_heard(), ["2 UBL", "1 RSC"]);
    assert_eq!(it.heard(LEFT), ["BYE cause 41"]);
    it.call_from_left("800");
    assert_eq!(it.exchange_heard(), ["2 IAM"]);
    for (group, circuit) in [("nobody", 1), ("far", 4), ("far", 5_000)] {
        let why = maintain(&mut it, group, circuit, Maintenance::Block).expect_err("there is none");
        assert!(why.contains(group) || why.contains("not in this group"), "{why}");
    }
    assert_eq!(it.gateway.circuit_summaries(None).map(|all| all.len()), Some(4));
    assert_eq!(it.gateway.circuit_summaries(Some("nobody")), None);
}

#[test]
fn a_circuit_that_is_checked_first_has_its_call_after_cot() {
    let mut it = exchange("");
    let checked = |it: &mut Between, code| {
        let iam = Iam { called: "900".to_owned(), ..Iam::default() };
        let message = iam_message(&iam, &Side::default()).expect("an IAM").without(ParameterCode::NATURE_OF_CONNECTION);
        let nature = NatureOfConnection::default().with_continuity(ContinuityCheck::REQUIRED);
        it.exchange_says(FAR, code, &message.with(Parameter::NatureOfConnection(nature)));
    };
    checked(&mut it, 1);
    assert_eq!(it.sent[RIGHT].len(), 0);
    let good = Parameter::Continuity(Continuity::default().with_successful(true));
    it.exchange_says(FAR, 1, &Message::new(MessageType::COT).with(good));
    let (callee, _) = it.incoming();
    it.act(RIGHT, |e, now, out| e.accept(now, callee, body(RIGHT, 1, "0"), out));
    assert_eq!(it.exchange_heard(), ["1 CON"]);
    it.says(1, &rel(16));
    it.exchange_heard();
    checked(&mut it, 2);
    it.run(Duration::from_secs(11));
    assert_eq!(it.exchange_heard(), ["2 REL 41"], "T8");
    it.says_plain(2, MessageType::RLC);
    it.finish();
}

#[test]
fn ansi_has_anm_where_itu_has_con() {
    let mut it = exchange("variant = \"ansi\"");
    let side = Side { variant: Variant::Ansi, ..Side::default() };
    let iam = Iam { called: "900".to_owned(), ..Iam::default() };
    let octets = iam_message(&iam, &side).and_then(|m| m.encode(Variant::Ansi, cic(2)).map_err(|_| Cause::PROTOCOL));
    it.input(Input::Isup { group: FAR, octets: &octets.expect("an IAM") });
    let (callee, _) = it.incoming();
    it.act(RIGHT, |e, now, out| e.accept(now, callee, body(RIGHT, 1, "0"), out));
    let said: Vec<MessageType> = it
        .outputs
        .iter()
        .filter_map(|output| match output {
            Output::Isup { octets, .. } => Message::decode(Variant::Ansi, octets).ok().map(|(_, m)| m.kind()),
            _ => None,
        })
        .collect();
    assert_eq!(said, [MessageType::ANM]);
    assert_eq!(it.gateway.circuit_summaries(Some("far")).map(|all| all[1].state), Some("talking"));
}
