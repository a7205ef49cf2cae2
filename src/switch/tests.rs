//! The switch alone, message by message, as the gateway's messages reach it.

use super::messages::{self, plain};
use super::*;
use crate::isup::indicators::{ContinuityCheck, InformationRequest, NatureOfConnection, SupervisionType};
use crate::isup::number::NatureOfAddress;
use crate::isup::supervision::{CallProcessing as Processing, RangeAndStatus};
use crate::isup::{MessageType, Parameter, ParameterCode};
use crate::trunk::Release;

/// A switch with circuits 1 to 4 and a clock.
struct Bench {
    switch: Switch,
    now: Instant,
    out: Vec<Output>,
}

fn call_to(called: &str) -> Call {
    Call {
        at: Duration::from_secs(1),
        times: 1,
        every: Duration::ZERO,
        calling: Some("5550199".to_owned()),
        called: called.to_owned(),
        nature: NatureOfAddress::NATIONAL,
        anonymous: false,
        overlap: None,
        digit_every: Duration::from_millis(100),
        continuity: None,
        steps: vec![Step::Wait(Duration::from_secs(2)), Step::release(Cause::NORMAL)],
        gives_up: Duration::from_secs(10),
    }
}

fn cic(code: u16) -> Cic {
    Cic::new(Variant::Itu, code).expect("a circuit")
}

fn iam(called: &str) -> Message {
    messages::iam(Variant::Itu, &call_to(called), called)
}

fn rel(cause: u8) -> Message {
    messages::rel(Release::user(Cause::new(cause).expect("a cause")))
}

fn range(kind: MessageType, circuits: usize) -> Message {
    Message::new(kind).with(Parameter::RangeAndStatus(RangeAndStatus::range(circuits).expect("a range")))
}

impl Bench {
    fn new(script: Script) -> Bench {
        Bench::with(Trunk::new(Variant::Itu, 1..=4), script)
    }

    fn with(trunk: Trunk, script: Script) -> Bench {
        Bench {
            switch: Switch::new(Instant::ZERO, trunk, script, Seed::from_number(1)),
            now: Instant::ZERO,
            out: Vec::new(),
        }
    }

    fn demo() -> Bench {
        Bench::new(Script::default())
    }

    /// The gateway says it; what follows at once.
    #[track_caller]
    fn says(&mut self, code: u16, message: &Message, expected: &[&str]) {
        let octets = message.encode(Variant::Itu, cic(code)).expect("a message");
        self.switch.handle(self.now, &octets, &mut self.out);
        self.check(expected);
    }

    /// Time passes; what happens meanwhile, with the milliseconds since then.
    #[track_caller]
    fn waits(&mut self, ms: u64, expected: &[&str]) {
        let (began, until) = (self.now, self.now + Duration::from_millis(ms));
        let mut happened = Vec::new();
        while let Some(at) = self.switch.deadline().filter(|at| *at <= until) {
            self.now = at;
            self.switch.handle_timeout(at, &mut self.out);
            let after = at.since(began).as_millis();
            happened.extend(self.take().into_iter().map(|text| format!("{after}: {text}")));
        }
        self.now = until;
        assert_eq!(happened, expected);
    }

    #[track_caller]
    fn check(&mut self, expected: &[&str]) {
        assert_eq!(self.take(), expected);
    }

    fn take(&mut self) -> Vec<String> {
        let words = |output: Output| match output {
            Output::Transmit(octets) => {
                let Ok((cic, message)) = Message::decode(Variant::Itu, &octets) else {
                    return format!("{octets:02x?}");
                };
                let kind = message.kind().name().unwrap_or("?").to_owned();
                match message.cause() {
                    Some(cause) => format!("{cic} {kind} {}", cause.cause()),
                    None => format!("{cic} {kind}"),
                }
            }
            Output::Sound { cic, sound } => format!("{cic} sounds {:?}", sound.map(|tone| tone.hertz[0])),
            Output::Ended(ended) => {
                let by = if ended.by_gateway { "gateway" } else { "switch" };
                format!("{:?} ended {} by {by}, answered {}", ended.cic, ended.cause, ended.answered)
            }
        };
        std::mem::take(&mut self.out).into_iter().map(words).collect()
    }

    #[track_caller]
    fn is_idle(&self) {
        assert_eq!(self.switch.busy(), []);
    }
}

#[test]
fn a_call_is_answered_and_released_and_its_release_is_repeated_until_rlc() {
    let mut bench = Bench::demo();
    bench.says(1, &iam("8000"), &["1 ACM"]);
    bench.waits(1_000, &["1000: 1 ANM", "1000: 1 sounds Some(1004)"]);
    bench.waits(
        30_000,
        &["30000: 1 sounds None", "30000: Some(1) ended 16 by switch, answered true", "30000: 1 REL 16"],
    );
    bench.waits(30_000, &["15000: 1 REL 16", "30000: 1 REL 16"]);
    bench.says(1, &plain(MessageType::RLC), &[]);
    bench.waits(600_000, &[]);
    bench.is_idle();
}

#[test]
fn a_release_that_nobody_acknowledges_becomes_a_reset_after_five_minutes() {
    let mut bench = Bench::demo();
    bench.says(1, &iam("80017"), &["Some(1) ended 17 by switch, answered false", "1 REL 17"]);
    let repeated: Vec<String> = (1..RELEASES_MAX).map(|n| format!("{}: 1 REL 17", n * 15_000)).collect();
    let mut expected: Vec<&str> = repeated.iter().map(String::as_str).collect();
    expected.extend(["300000: 1 RSC", "315000: 1 RSC"]);
    bench.waits(320_000, &expected);
    bench.says(1, &plain(MessageType::RLC), &[]);
    bench.is_idle();
}

#[test]
fn the_gateway_releases_and_both_at_once() {
    let mut bench = Bench::demo();
    bench.says(2, &iam("8303"), &["2 ACM"]);
    bench.says(2, &rel(16), &["2 RLC", "Some(2) ended 16 by gateway, answered false"]);
    bench.says(2, &rel(16), &["2 RLC"]); // RLC was lost
    bench.says(2, &iam("80001"), &["Some(2) ended 1 by switch, answered false", "2 REL 1"]);
    bench.says(2, &rel(16), &["2 RLC"]);
    bench.says(2, &iam("8000"), &[]); // our REL is not acknowledged yet
    bench.says(2, &plain(MessageType::RLC), &[]);
    bench.is_idle();
}

#[test]
fn digits_may_come_one_by_one_and_a_number_that_stays_short_is_refused() {
    let mut bench = Bench::demo();
    bench.says(1, &iam("8"), &[]);
    for digit in ["0", "0"] {
        bench.says(1, &messages::sam(digit).expect("a digit"), &[]);
    }
    bench.says(1, &messages::sam("17").expect("digits"), &["Some(1) ended 17 by switch, answered false", "1 REL 17"]);
    bench.says(1, &plain(MessageType::RLC), &[]);
    bench.says(1, &iam("8308"), &[]);
    bench.waits(3_000, &["3000: Some(1) ended 28 by switch, answered false", "3000: 1 REL 28"]);
    bench.says(1, &plain(MessageType::RLC), &[]);
    bench.says(1, &iam("77"), &["Some(1) ended 1 by switch, answered false", "1 REL 1"]);
}

#[test]
fn an_iam_with_a_continuity_check_waits_for_cot() {
    let nature = NatureOfConnection::default().with_continuity(ContinuityCheck::REQUIRED);
    let checked = |called| {
        iam(called).without(ParameterCode::NATURE_OF_CONNECTION).with(Parameter::NatureOfConnection(nature.clone()))
    };
    let mut bench = Bench::demo();
    bench.says(1, &checked("8303"), &[]);
    bench.says(1, &messages::cot(true), &["1 ACM"]);
    bench.says(2, &checked("8303"), &[]);
    bench.says(2, &messages::cot(false), &["Some(2) ended 41 by gateway, answered false"]);
    bench.says(2, &plain(MessageType::CCR), &["2 LPA"]);
    bench.says(1, &plain(MessageType::CCR), &[]); // a call is there
    assert_eq!(bench.switch.counts().unexpected, 1);
}

#[test]
fn blocking_is_acknowledged_repeated_and_keeps_calls_out() {
    let alarm = |at: u64, what, circuits: &[u16]| Alarm {
        at: Duration::from_secs(at),
        times: 1,
        every: Duration::ZERO,
        what,
        circuits: circuits.to_vec(),
    };
    let alarms = vec![
        alarm(1, Trouble::Block, &[3]),
        alarm(40, Trouble::Unblock, &[3]),
        alarm(60, Trouble::GroupBlock { hardware: true }, &[1, 2, 4]),
        alarm(80, Trouble::GroupUnblock { hardware: true }, &[1, 2, 4]),
    ];
    let script = Script { alarms, ..Script::default() };
    let mut bench = Bench::new(script);
    bench.waits(17_000, &["1000: 3 BLO", "16000: 3 BLO"]);
    bench.says(3, &plain(MessageType::BLA), &[]);
    bench.says(3, &iam("8000"), &["3 BLO"]); // crossed: the gateway tries another circuit
    bench.says(3, &rel(31), &["3 RLC"]);
    bench.says(3, &plain(MessageType::BLA), &[]);
    bench.waits(23_000, &["23000: 3 UBL"]);
    bench.says(3, &plain(MessageType::UBA), &[]);
    bench.is_idle();

    bench.says(1, &iam("8303"), &["1 ACM"]);
    // One circuit alone has no group message.
    bench.waits(20_000, &["20000: Some(1) ended 41 by switch, answered false", "20000: 1 CGB", "20000: 4 BLO"]);
    let status = messages::with_status(MessageType::CGBA, Some(true), &[true, true]).expect("a range");
    bench.says(1, &status, &[]);
    bench.says(4, &plain(MessageType::BLA), &[]);
    bench.says(2, &iam("8000"), &["2 BLO"]);
    bench.says(2, &plain(MessageType::BLA), &[]);
    bench.waits(20_000, &["20000: 2 UBL", "20000: 1 CGU", "20000: 4 UBL"]);
    let status = messages::with_status(MessageType::CGUA, Some(true), &[true, true]).expect("a range");
    bench.says(1, &status, &[]);
    bench.says(2, &plain(MessageType::UBA), &[]);
    bench.says(4, &plain(MessageType::UBA), &[]);
    bench.waits(60_000, &[]);
    bench.is_idle();
}

#[test]
fn the_gateway_blocks_and_resets_circuits_alone_and_in_groups() {
    let mut script = Script { calls: vec![call_to("201")], ..Script::default() };
    script.calls[0].at = Duration::from_secs(1);
    let mut bench = Bench::new(script);
    bench.says(4, &plain(MessageType::BLO), &["4 BLA"]);
    let all = messages::with_status(MessageType::CGB, Some(false), &[false, true]).expect("a range");
    bench.says(2, &all, &["2 CGBA"]); // circuit 3
    bench.waits(1_000, &["1000: 2 IAM"]); // the highest that is free
    bench.says(4, &plain(MessageType::UBL), &["4 UBA"]);
    let all = messages::with_status(MessageType::CGU, Some(false), &[false, true]).expect("a range");
    bench.says(2, &all, &["2 CGUA"]);
    bench.says(1, &iam("8303"), &["1 ACM"]);
    bench.says(1, &plain(MessageType::RSC), &["Some(1) ended 41 by gateway, answered false", "1 RLC"]);
    bench.says(1, &range(MessageType::GRS, 4), &["Some(2) ended 41 by gateway, answered false", "1 GRA"]);
    bench.is_idle();
}

#[test]
fn a_call_of_the_script_moves_when_its_circuit_is_blocked_or_seized() {
    let mut trunk = Trunk::new(Variant::Itu, 1..=4);
    trunk.circuits.insert(3, false); // there the IAM of the gateway stands
    let mut bench = Bench::with(trunk, Script { calls: vec![call_to("201")], ..Script::default() });
    bench.waits(1_000, &["1000: 4 IAM"]);
    bench.says(4, &plain(MessageType::BLO), &["4 BLA", "3 IAM", "4 REL 31"]);
    bench.says(4, &plain(MessageType::RLC), &[]);
    bench.says(3, &iam("8303"), &["2 IAM", "3 ACM"]);
    bench.says(2, &iam("8303"), &[]); // ours stands
    assert_eq!(bench.switch.counts().glares, 2);
    bench.says(2, &messages::acm(true, false), &[]);
    bench.says(2, &plain(MessageType::ANM), &[]);
    bench.waits(2_000, &["2000: Some(2) ended 16 by switch, answered true", "2000: 2 REL 16"]);
}

#[test]
fn questions_of_the_gateway_are_answered() {
    let mut bench = Bench::new(Script { calls: vec![call_to("201")], ..Script::default() });
    bench.waits(1_000, &["1000: 4 IAM"]);
    let inr = Message::new(MessageType::INR)
        .with(Parameter::InformationRequest(InformationRequest::default().with_calling_number(true)));
    bench.says(4, &inr, &["4 INF"]);
    bench.says(9, &iam("8000"), &["9 UCIC"]);
    bench.says(9, &plain(MessageType::UCIC), &[]);
    let octets = range(MessageType::CQM, 4).encode(Variant::Itu, cic(1)).expect("a message");
    bench.switch.handle(bench.now, &octets, &mut bench.out);
    let Some(Output::Transmit(answer)) = bench.out.first() else { panic!("{:?}", bench.out) };
    let (_, answer) = Message::decode(Variant::Itu, answer).expect("CQR");
    let states: Vec<Processing> = answer.circuit_states().expect("states").states().map(|state| state.call()).collect();
    assert_eq!(states, [Processing::IDLE, Processing::IDLE, Processing::IDLE, Processing::OUTGOING]);
}

#[test]
fn what_is_no_message_is_discarded_and_what_makes_no_sense_is_counted() {
    let mut bench = Bench::demo();
    for octets in [&[][..], &[1], &[1, 0], &[1, 0, 1], &[1, 0, 6, 0x16], &[1, 0, 0x17, 1, 0]] {
        bench.switch.handle(bench.now, octets, &mut bench.out);
        bench.check(&[]);
    }
    bench.says(1, &plain(MessageType::RLC), &[]);
    bench.says(1, &plain(MessageType::BLA), &[]);
    bench.says(
        1,
        &range(MessageType::GRA, 2)
            .without(ParameterCode::RANGE_AND_STATUS)
            .with(Parameter::RangeAndStatus(RangeAndStatus::status(&[false, false]).expect("a range"))),
        &[],
    );
    let counts = bench.switch.counts();
    assert_eq!((counts.malformed, counts.unexpected), (6, 3), "{counts:?}");
    // A message of a call that isn't there: both begin anew.
    bench.says(1, &messages::acm(true, false), &["1 RSC"]);
    bench.says(1, &plain(MessageType::RLC), &[]);
    bench.is_idle();
}

#[test]
fn the_wire_delays_and_loses_messages_as_the_seed_draws_them() {
    let script = Script { delay: Duration::from_millis(30), ..Script::default() };
    let mut bench = Bench::new(script.clone());
    bench.says(1, &iam("80017"), &[]);
    bench.waits(100, &["30: Some(1) ended 17 by switch, answered false", "60: 1 REL 17"]);

    let lossy = Script { loss_tenth_percent: 300, loss_until: Some(Duration::from_secs(1)), ..Script::default() };
    let lost = |seed: u64| {
        let mut switch =
            Switch::new(Instant::ZERO, Trunk::new(Variant::Itu, 1..=4), lossy.clone(), Seed::from_number(seed));
        let octets = plain(MessageType::UBL).encode(Variant::Itu, cic(1)).expect("a message");
        let mut out = Vec::new();
        for _ in 0..1_000 {
            switch.handle(Instant::ZERO, &octets, &mut out);
        }
        assert_eq!(switch.counts().lost as usize + out.len(), 1_000, "each was lost on one way or came back");
        let before = out.len();
        for _ in 0..100 {
            switch.handle(Instant::from_millis(1_000), &octets, &mut out);
        }
        assert_eq!(out.len(), before + 100, "losses are over");
        before
    };
    assert!((430..550).contains(&lost(1)), "{} of 1000 questions were answered", lost(1));
    assert_eq!(lost(2), lost(2));
    assert_ne!(lost(1), lost(2));
}

#[test]
fn a_wire_that_is_full_loses_what_comes_beyond() {
    let script = Script { delay: Duration::from_secs(10), ..Script::default() };
    let mut bench = Bench::new(script);
    let octets = plain(MessageType::UBL).encode(Variant::Itu, cic(1)).expect("a message");
    for _ in 0..limits::SWITCH_MESSAGES {
        bench.switch.handle(bench.now, &octets, &mut bench.out);
    }
    assert_eq!(bench.switch.counts().lost, 0);
    bench.switch.handle(bench.now, &octets, &mut bench.out);
    assert_eq!(bench.switch.counts().lost, 1);
}

#[test]
fn an_announcement_is_a_sequence_that_comes_again() {
    let mut bench = Bench::demo();
    bench.says(1, &iam("8301"), &["1 ACM", "1 sounds Some(914)"]);
    bench.waits(
        2_200,
        &["330: 1 sounds Some(1371)", "660: 1 sounds Some(1777)", "990: 1 sounds None", "1990: 1 sounds Some(914)"],
    );
    bench.says(1, &rel(16), &["1 RLC", "1 sounds None", "Some(1) ended 16 by gateway, answered false"]);
    bench.waits(10_000, &[]);
}

#[test]
fn a_group_of_failed_circuits_is_told_again_after_a_reset() {
    let alarm = Alarm {
        at: Duration::from_secs(1),
        times: 1,
        every: Duration::ZERO,
        what: Trouble::GroupBlock { hardware: true },
        circuits: vec![1, 2],
    };
    let mut bench = Bench::new(Script { alarms: vec![alarm], ..Script::default() });
    bench.waits(1_000, &["1000: 1 CGB"]);
    bench.says(1, &range(MessageType::GRS, 4), &["1 GRA", "1 CGB"]);
    let status = messages::with_status(MessageType::CGBA, Some(true), &[true, true]).expect("a range");
    assert_eq!(status.group_supervision().map(|g| g.kind()), Some(SupervisionType::HARDWARE));
    bench.says(1, &status, &[]);
    bench.waits(60_000, &[]);
    assert_eq!(bench.switch.busy().len(), 2);
}

#[test]
fn no_sequence_of_messages_and_time_breaks_the_switch_or_keeps_it_busy_for_ever() {
    use MessageType as M;
    let kinds = [
        M::SAM,
        M::COT,
        M::ACM,
        M::CPG,
        M::ANM,
        M::CON,
        M::SUS,
        M::RES,
        M::RLC,
        M::CCR,
        M::RSC,
        M::BLO,
        M::UBL,
        M::BLA,
        M::UBA,
        M::UCIC,
        M::FOT,
        M::INR,
        M::INF,
        M::LPA,
        M::CFN,
        M::GRS,
        M::GRA,
        M::CGB,
        M::CGU,
        M::CGBA,
        M::CGUA,
        M::CQM,
        M::IAM,
        M::IAM,
        M::IAM,
        M::REL,
        M::REL,
    ];
    let numbers = ["8000", "8301", "8302", "8303", "8305", "8309", "80044", "82044", "8308", "8", "777"];
    for seed in 1..=20 {
        let mut chance = Seed::from_number(seed).rng();
        let mut script = Script { loss_tenth_percent: 50, ..Script::default() };
        script.loss_until = Some(Duration::from_secs(1_000));
        script.calls = vec![Call { times: 100, every: Duration::from_secs(3), ..call_to("201") }];
        let mut bench = Bench::new(script);
        for _ in 0..1_000 {
            let code = chance.between(0, 6) as u16;
            let kind = kinds[chance.below(kinds.len() as u64) as usize];
            let circuits = chance.between(2, 5) as usize;
            let message = match kind {
                M::IAM => iam(numbers[chance.below(numbers.len() as u64) as usize]),
                M::REL => rel(16),
                M::SAM => messages::sam("1").expect("a digit"),
                M::COT => messages::cot(chance.chance(1, 2)),
                M::ACM | M::CON => Message::new(kind).with(messages::acm(true, false).parameters()[0].clone()),
                M::GRS | M::CQM => range(kind, circuits),
                M::GRA => messages::with_status(kind, None, &vec![false; circuits]).expect("a range"),
                M::CGB | M::CGU | M::CGBA | M::CGUA => {
                    let hardware = chance.chance(1, 2);
                    messages::with_status(kind, Some(hardware), &vec![true; circuits]).expect("a range")
                }
                _ => plain(kind),
            };
            let octets = message.encode(Variant::Itu, cic(code)).unwrap_or_else(|_| {
                // A message that lacks what it must have goes out as octets.
                let mut octets = code.to_le_bytes().to_vec();
                octets.extend([kind.value(), chance.below(256) as u8, chance.below(256) as u8]);
                octets
            });
            bench.switch.handle(bench.now, &octets, &mut bench.out);
            bench.out.clear();
            bench.now += Duration::from_millis(chance.below(1_500));
            if bench.switch.deadline().is_some_and(|at| at <= bench.now) {
                bench.switch.handle_timeout(bench.now, &mut bench.out);
            }
            assert!(bench.switch.deadline().is_none_or(|at| at > bench.now), "seed {seed}: a deadline that has passed");
        }
        // A gateway that resets everything and answers what it is asked leaves all circuits idle.
        bench.now = bench.now.max(Instant::ZERO + Duration::from_secs(1_500));
        for _ in 0..4 {
            let octets = range(M::GRS, 4).encode(Variant::Itu, cic(1)).expect("a message");
            bench.switch.handle(bench.now, &octets, &mut bench.out);
            for _ in 0..200 {
                let Some(answer) = bench.answer() else { break };
                bench.switch.handle(bench.now, &answer, &mut bench.out);
            }
            bench.now += REPEAT;
            bench.switch.handle_timeout(bench.now, &mut bench.out);
        }
        for code in 1..=4 {
            for kind in [M::UBL, M::IAM, M::REL] {
                let message = match kind {
                    M::IAM => iam("8303"),
                    M::REL => rel(16),
                    _ => plain(kind),
                };
                let octets = message.encode(Variant::Itu, cic(code)).expect("a message");
                bench.switch.handle(bench.now, &octets, &mut bench.out);
            }
        }
        assert_eq!(bench.switch.busy(), [], "seed {seed}");
    }
}

impl Bench {
    /// What a gateway answers to the first message that wants an answer.
    fn answer(&mut self) -> Option<Vec<u8>> {
        use MessageType as M;
        while !self.out.is_empty() {
            let Output::Transmit(octets) = self.out.remove(0) else { continue };
            let Ok((cic, message)) = Message::decode(Variant::Itu, &octets) else { continue };
            let answer = match message.kind() {
                M::REL | M::RSC => plain(M::RLC),
                M::BLO => plain(M::BLA),
                M::UBL => plain(M::UBA),
                M::IAM => rel(1),
                _ => continue,
            };
            return answer.encode(Variant::Itu, cic).ok();
        }
        None
    }
}
