//! 8000, 80001 to 80127, 82001 to 82127, 8301 to 8309 of the demo exchange, as a SIP caller meets them.

use super::caller::{Caller, Story};
use tipring::config::Config;
use tipring::simulator::sound;
use tipring::time::Duration;

/// RFC 3398 7.2.4.1, read by hand: causes of each status. 16 is 480, as the demo exchange promises; the RFC has no
/// response for it. What is not listed is 500: "If a cause value other than those listed below is received, the
/// default response '500 Server internal error' SHOULD be used."
const STATUS_OF_CAUSES: &[(u16, &[u8])] = &[
    (403, &[21, 55, 57, 87]),
    (404, &[1, 2, 3, 26]),
    (408, &[18]),
    (410, &[22, 23]),
    (480, &[16, 19, 20, 31]),
    (484, &[28]),
    (486, &[17]),
    (488, &[65, 70]),
    (501, &[29, 79]),
    (502, &[27]),
    (503, &[34, 38, 41, 42, 47, 58, 88]),
    (504, &[102]),
    (500, &[111, 127]),
];

fn status_of(cause: u8) -> u16 {
    STATUS_OF_CAUSES.iter().find(|(_, causes)| causes.contains(&cause)).map_or(500, |(status, _)| *status)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn demo() -> Caller {
    Caller::new(Config::demo(), 1)
}

/// Whether a Reason field has this cause of Q.850 (RFC 3326 2), whatever else stands there.
fn has_cause(reason: Option<&str>, cause: u8) -> bool {
    let reason = reason.unwrap_or("").replace(' ', "");
    reason.starts_with("Q.850;") && reason.split(';').any(|part| part == format!("cause={cause}"))
}

#[track_caller]
fn check_near(after: Duration, expected: Duration) {
    let off = after.max(expected) - after.min(expected);
    assert!(off <= Duration::from_millis(100), "{after:?} instead of {expected:?}");
}

#[test]
fn every_cause_before_answer_has_its_status_and_its_reason() {
    let mut caller = demo();
    for cause in 1..=127_u8 {
        let story = caller.call(&format!("80{cause:03}"), seconds(1));
        let expected = status_of(cause).to_string();
        assert_eq!(story.order(), expected, "cause {cause}");
        let reason = story.line(&expected).reason.as_deref();
        assert!(has_cause(reason, cause), "cause {cause}: Reason {reason:?}");
    }
    caller.check_quiet();
    assert_eq!(caller.world.far_end_calls().len(), 127);
}

#[test]
fn every_cause_after_answer_ends_the_call_by_bye_with_its_reason() {
    let mut caller = demo();
    for cause in 1..=127_u8 {
        let story = caller.call(&format!("82{cause:03}"), seconds(4));
        let order = story.order();
        assert!(order.ends_with("200 BYE"), "cause {cause}: {order}");
        let (answer, bye) = (story.line("200"), story.line("BYE"));
        assert!(answer.sdp, "cause {cause}");
        check_near(bye.after - answer.after, seconds(2));
        assert!(has_cause(bye.reason.as_deref(), cause), "cause {cause}: Reason {:?}", bye.reason);
    }
    caller.check_quiet();
    let calls = caller.world.far_end_calls();
    assert_eq!(calls.len(), 127);
    assert!(calls.iter().all(|(_, _, ended)| ended.answered && !ended.by_gateway));
}

/// What was heard from `from` to `until` has this frequency, at this level.
#[track_caller]
fn check_tone(story: &Story, from: Duration, until: Duration, hertz: f64, level: f64) {
    let samples = story.sound(from, until);
    assert!(samples.len() > 2_000, "{} samples", samples.len());
    let (found, part) = sound::measure(&samples, &[hertz]);
    let found = found.first().expect("one frequency was asked for");
    assert!((found.level_dbm0 - level).abs() < 1.0, "{found:?}, {part} of all");
    assert!((found.hertz - hertz).abs() < 1.0 && part > 0.99, "{found:?}, {part} of all");
}

#[test]
fn number_8000_rings_answers_plays_1004_hz_and_releases_after_half_a_minute() {
    let mut caller = demo();
    let story = caller.call("8000", seconds(33));
    assert_eq!(story.order(), "180 200 BYE");
    let answer = story.line("200").after;
    check_near(answer, seconds(1));
    let bye = story.line("BYE");
    check_near(bye.after - answer, seconds(30));
    assert!(has_cause(bye.reason.as_deref(), 16), "{bye:?}");
    check_tone(&story, seconds(3), seconds(4), 1_004.0, -10.0);
    check_tone(&story, seconds(29), seconds(30), 1_004.0, -10.0);
    caller.check_quiet();
}

#[test]
fn the_caller_may_hang_up_first() {
    let mut caller = demo();
    let story = caller.call_and("8000", seconds(8), Some(seconds(2)));
    assert_eq!(story.order(), "180 200 our BYE");
    caller.check_quiet();
    let (_, _, ended) = &caller.world.far_end_calls()[0];
    assert!(ended.by_gateway && ended.answered, "{ended:?}");
    assert_eq!(ended.cause.value(), 16);
}

#[test]
fn number_8301_has_an_announcement_before_it_is_refused() {
    let mut caller = demo();
    let story = caller.call("8301", seconds(5));
    assert_eq!(story.order(), "183 404");
    assert!(story.line("183").sdp, "in-band information needs a path");
    check_near(story.line("404").after, seconds(3));
    assert!(has_cause(story.line("404").reason.as_deref(), 1));
    // Special information tones: each of the three is heard, one after the other.
    let heard = story.sound(Duration::ZERO, seconds(3));
    for hertz in [914.0, 1_371.0, 1_777.0] {
        let loudest =
            heard.chunks(800).map(|part| sound::measure(part, &[hertz]).0[0].level_dbm0).fold(-99.0, f64::max);
        assert!((loudest + 15.0).abs() < 1.5, "{hertz} Hz at {loudest} dBm0");
    }
    caller.check_quiet();
}

#[test]
fn number_8302_answers_by_con_alone() {
    let mut caller = demo();
    let story = caller.call("8302", seconds(12));
    assert_eq!(story.order(), "200 BYE");
    check_near(story.line("BYE").after - story.line("200").after, seconds(10));
    assert!(has_cause(story.line("BYE").reason.as_deref(), 16));
    caller.check_quiet();
}

#[test]
fn number_8303_is_released_by_t9_and_8304_by_t7() {
    let mut caller = demo();
    // RFC 3398 7.2.8: 480; REL 19.
    let rings = caller.call("8303", seconds(7));
    assert_eq!(rings.order(), "180 480");
    check_near(rings.line("480").after, seconds(5));
    // RFC 3398 7.2.2: 504; REL 102.
    let silent = caller.call("8304", seconds(7));
    assert_eq!(silent.order(), "504");
    check_near(silent.line("504").after, seconds(5));
    caller.check_quiet();
    let causes: Vec<u8> = caller.world.far_end_calls().iter().map(|(_, _, ended)| ended.cause.value()).collect();
    assert_eq!(causes, [19, 102]);
}

#[test]
fn number_8305_is_suspended_and_resumed_without_sip_seeing_it() {
    let mut caller = demo();
    let story = caller.call("8305", seconds(12));
    assert!(story.order().ends_with("200 BYE"), "{}", story.order());
    assert!(!story.order().contains("INVITE"), "{}", story.order());
    check_near(story.line("BYE").after - story.line("200").after, seconds(10));
    caller.check_quiet();
}

#[test]
fn numbers_8306_and_8307_tell_by_cpg_that_it_rings_and_that_it_is_forwarded() {
    let mut caller = demo();
    let rings = caller.call("8306", seconds(13));
    assert!(rings.order().ends_with("180 200 BYE"), "{}", rings.order());
    let forwarded = caller.call("8307", seconds(13));
    assert!(forwarded.order().ends_with("181 200 BYE"), "{}", forwarded.order());
    for story in [rings, forwarded] {
        check_near(story.line("BYE").after - story.line("200").after, seconds(10));
    }
    caller.check_quiet();
}

#[test]
fn number_8308_wants_ten_more_digits() {
    let mut caller = demo();
    let story = caller.call("8308", seconds(5));
    assert_eq!(story.order(), "484");
    check_near(story.line("484").after, seconds(3));
    assert!(has_cause(story.line("484").reason.as_deref(), 28));
    let whole = caller.call_and("83081234567890", seconds(5), Some(seconds(1)));
    assert_eq!(whole.order(), "180 200 our BYE");
    caller.check_quiet();
}

#[test]
fn number_8309_meets_glare_and_answers_on_another_circuit() {
    let mut caller = demo();
    let story = caller.call("8309", seconds(33));
    assert_eq!(story.order(), "180 200 BYE");
    check_near(story.line("200").after, seconds(1));
    check_near(story.line("BYE").after - story.line("200").after, seconds(30));
    caller.check_quiet();
    let calls = caller.world.far_end_calls();
    let circuits: Vec<Option<u16>> = calls.iter().map(|(_, _, ended)| ended.cic).collect();
    assert_eq!(circuits, [Some(2)], "circuit 1 had the glare");
    let far_end = caller.world.far_ends().switch(tipring::ids::GroupId(0)).expect("a switch");
    assert_eq!(far_end.counts().glares, 1);
}

#[test]
fn numbers_beside_these_are_not_there() {
    let mut caller = demo();
    for number in ["80000", "80128", "82000", "82128", "8300", "8310", "8100"] {
        let story = caller.call(number, seconds(1));
        assert_eq!(story.order(), "404", "{number}");
        assert!(has_cause(story.line("404").reason.as_deref(), 1), "{number}: {:?}", story.lines);
    }
    assert!(caller.world.far_end_calls().is_empty());
}
