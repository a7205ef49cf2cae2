//! Groups from outside, one alone and two against each other over a line that loses messages.

use super::ranges::group_message;
use super::*;
use crate::isup::indicators::{
    BackwardCall, CallEvent, Category, EventInformation, ForwardCall, MediumRequirement, NatureOfConnection,
};
use crate::isup::number::{Digits, NatureOfAddress, Number};
use crate::isup::supervision::{CircuitState, RangeAndStatus};
use crate::isup::timers::Setting;
use crate::rng::Seed;
use crate::time::Duration;

fn cic(code: u16) -> Cic {
    Cic::new(Variant::Itu, code).expect("a circuit")
}

fn iam() -> Message {
    let called = Number::new(NatureOfAddress::NATIONAL, &Digits::new("12345F").expect("digits"));
    Message::new(MessageType::IAM)
        .with(Parameter::NatureOfConnection(NatureOfConnection::default()))
        .with(Parameter::ForwardCall(ForwardCall::default()))
        .with(Parameter::Category(Category::default()))
        .with(Parameter::Medium(MediumRequirement::default()))
        .with(Parameter::CalledNumber(called))
}

fn checked_iam() -> Message {
    let nature = NatureOfConnection::default().with_continuity(ContinuityCheck::REQUIRED);
    let rest = iam().without(super::super::ParameterCode::NATURE_OF_CONNECTION);
    rest.with(Parameter::NatureOfConnection(nature))
}

fn acm() -> Message {
    Message::new(MessageType::ACM).with(Parameter::BackwardCall(BackwardCall::default()))
}

fn plain(kind: MessageType) -> Message {
    Message::new(kind)
}

fn rel(cause: Cause) -> Message {
    release_of(cause, Location::LocalNetwork)
}

/// Ours has the higher point code: it controls the even circuits.
fn group(selection: Selection, circuits: std::ops::RangeInclusive<u16>) -> Group {
    let settings = Settings { selection, ..Settings::new(Variant::Itu, 2, 1) };
    Group::new(settings, circuits.map(cic)).expect("few circuits")
}

fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1_000)
}

/// Outputs as short text: what is sent and what the call hears.
fn take(out: &mut Vec<Output>) -> Vec<String> {
    let text = |output: Output| match output {
        Output::Transmit { cic, message } => format!("{cic} sends {}", message.kind().name().unwrap_or("?")),
        Output::Heard { cic, message } => format!("{cic} hears {}", message.kind().name().unwrap_or("?")),
        Output::Moved { from, to } => format!("{from} moves to {to}"),
        Output::Ended { cic, cause } => format!("{cic} ends {cause}"),
        Output::Tone { cic, on } => format!("{cic} tone {on}"),
        Output::Loop { cic, on } => format!("{cic} loop {on}"),
        Output::Alert { cic, alert } => format!("{cic} alert {alert:?}"),
    };
    std::mem::take(out).into_iter().map(text).collect()
}

#[test]
fn circuits_are_chosen_as_the_group_is_set() {
    let order = |selection, count: usize| -> Vec<u16> {
        let mut group = group(selection, 1..=4);
        let mut out = Vec::new();
        // 3 is used and given back, then 2: both have been idle for a shorter time.
        for code in [3, 2] {
            group.handle_message(at(0), cic(code), iam(), &mut out);
            group.handle_message(at(0), cic(code), rel(Cause::NORMAL), &mut out);
        }
        (0..count).map(|_| group.seize(at(1), iam(), &mut out).expect("a circuit").value()).collect()
    };
    assert_eq!(order(Selection::Ascending, 4), [1, 2, 3, 4]);
    assert_eq!(order(Selection::Descending, 4), [4, 3, 2, 1]);
    assert_eq!(order(Selection::MostIdle, 4), [1, 4, 3, 2]);
    // Even ones are ours: the longest idle first. Of theirs the last that became idle.
    assert_eq!(order(Selection::OddEven, 4), [4, 2, 3, 1]);
}

#[test]
fn a_full_group_and_a_group_that_is_too_big_say_so() {
    let mut small = group(Selection::Ascending, 1..=1);
    let mut out = Vec::new();
    small.seize(at(0), iam(), &mut out).expect("the only circuit");
    assert_eq!(small.seize(at(0), iam(), &mut out), Err(OrderError::NoCircuit));
    let settings = Settings::new(Variant::Ansi, 1, 2);
    let circuits = |count: usize| (0..count as u16).map(|code| Cic::new(Variant::Ansi, code).expect("14 bits"));
    assert!(Group::new(settings.clone(), circuits(limits::ISUP_CIRCUITS)).is_ok());
    assert!(matches!(Group::new(settings, circuits(limits::ISUP_CIRCUITS + 1)), Err(OrderError::Full)));
}

#[test]
fn glare_is_resolved_by_another_circuit_where_the_far_end_controls() {
    let mut group = group(Selection::Ascending, 1..=2);
    let mut out = Vec::new();
    group.seize(at(0), iam(), &mut out).expect("circuit 1, theirs");
    take(&mut out);
    group.handle_message(at(0), cic(1), iam(), &mut out);
    assert_eq!(take(&mut out), ["1 moves to 2", "2 sends IAM", "1 hears IAM"]);
    // Circuit 2 is ours: their IAM is dropped.
    group.handle_message(at(0), cic(2), iam(), &mut out);
    assert_eq!(take(&mut out), [""; 0]);
    group.handle_message(at(1), cic(2), acm(), &mut out);
    assert_eq!(take(&mut out), ["2 hears ACM"]);
}

#[test]
fn a_call_gives_up_when_no_circuit_is_left_or_after_its_attempts() {
    let mut out = Vec::new();
    let mut one = group(Selection::Ascending, 1..=1);
    one.seize(at(0), iam(), &mut out).expect("theirs");
    take(&mut out);
    one.handle_message(at(0), cic(1), iam(), &mut out);
    assert_eq!(take(&mut out), ["1 ends 34", "1 hears IAM"]);
    let mut many = group(Selection::Ascending, 1..=10);
    let mut now_at = many.seize(at(0), iam(), &mut out).expect("a circuit");
    for _ in 1..limits::ISUP_ATTEMPTS {
        take(&mut out);
        many.handle_message(at(0), now_at, plain(MessageType::UCIC), &mut out);
        let moved = out.iter().find_map(|o| if let Output::Moved { to, .. } = o { Some(*to) } else { None });
        now_at = moved.expect("another circuit");
    }
    take(&mut out);
    many.handle_message(at(0), now_at, plain(MessageType::UCIC), &mut out);
    assert!(take(&mut out).contains(&format!("{now_at} ends 34")));
}

#[test]
fn t7_and_t9_release_a_call_and_t1_and_t5_free_the_circuit() {
    let mut group = group(Selection::Ascending, 1..=1);
    let mut out = Vec::new();
    group.seize(at(0), iam(), &mut out).expect("a circuit");
    take(&mut out);
    assert_eq!(group.deadline(), Some(at(20)));
    group.handle_timeout(at(20), &mut out);
    assert_eq!(take(&mut out), ["1 ends 102", "1 sends REL"]);
    group.handle_timeout(at(35), &mut out);
    assert_eq!(take(&mut out), ["1 sends REL"], "T1");
    let mut now = at(35);
    while now < at(320) {
        now = group.deadline().expect("T1 or T5");
        group.handle_timeout(now, &mut out);
    }
    let said = take(&mut out);
    assert!(said.ends_with(&["1 alert Expired(T5)".to_owned(), "1 sends RSC".to_owned()]), "{said:?}");
    group.handle_message(at(400), cic(1), plain(MessageType::RLC), &mut out);
    assert!(group.circuit(cic(1)).is_some_and(Circuit::is_free));
    assert_eq!(group.deadline(), None);
}

#[test]
fn a_continuity_check_that_fails_moves_the_call_and_repairs_the_circuit() {
    let mut group = group(Selection::Ascending, 1..=2);
    let mut out = Vec::new();
    group.seize(at(0), checked_iam(), &mut out).expect("a circuit");
    assert_eq!(take(&mut out), ["1 sends IAM", "1 tone true"]);
    group.handle_timeout(at(2), &mut out);
    assert_eq!(take(&mut out), ["1 moves to 2", "2 sends IAM", "2 tone true", "1 tone false", "1 sends COT"]);
    group.tone_back(at(3), cic(2), &mut out).expect("the circuit is there");
    assert_eq!(take(&mut out), ["2 tone false", "2 sends COT"]);
    group.handle_timeout(at(7), &mut out);
    assert_eq!(take(&mut out), ["1 sends CCR", "1 tone true"], "T25");
    group.tone_back(at(8), cic(1), &mut out).expect("the circuit is there");
    assert_eq!(take(&mut out), ["1 tone false", "1 sends REL"]);
}

#[test]
fn ranges_are_blocked_reset_and_asked_for() {
    let mut group = group(Selection::Ascending, 1..=4);
    let mut out = Vec::new();
    group.seize(at(0), iam(), &mut out).expect("circuit 1");
    take(&mut out);
    let status = |bits: &[bool]| group_message(MessageType::CGB, true, bits);
    group.handle_message(at(0), cic(1), status(&[true, false, true, true, true]), &mut out);
    assert_eq!(
        out.first(),
        Some(&Output::Transmit {
            cic: cic(1),
            // There is no circuit 5.
            message: group_message(MessageType::CGBA, true, &[true, false, true, true, false]),
        })
    );
    assert_eq!(take(&mut out)[1..], ["1 moves to 2", "2 sends IAM"]);
    group.handle_message(
        at(0),
        cic(1),
        plain(MessageType::CQM).with(Parameter::RangeAndStatus(RangeAndStatus::range(3).expect("a range"))),
        &mut out,
    );
    let Some(Output::Transmit { message, .. }) = out.pop() else { panic!("{out:?}") };
    let states: Vec<u8> = message.circuit_states().expect("states").states().map(CircuitState::octet).collect();
    assert_eq!(states, [0b0010_1100, 0b0000_1000, 0b0010_1100]);

    group.reset_range(at(1), cic(1), 4, &mut out).expect("a range");
    assert_eq!(take(&mut out), ["1 sends GRS", "2 ends 34"]);
    group.handle_timeout(at(16), &mut out);
    assert_eq!(take(&mut out), ["1 sends GRS"], "T22");
    let done = RangeAndStatus::status(&[false, false, false, true]).expect("four");
    group.handle_message(at(17), cic(1), plain(MessageType::GRA).with(Parameter::RangeAndStatus(done)), &mut out);
    let free: Vec<bool> = group.circuits().map(|(_, circuit)| circuit.is_free()).collect();
    assert_eq!(free, [true, true, true, false]);
    assert_eq!(group.deadline(), None);
    assert_eq!(group.reset_range(at(17), cic(1), 1, &mut out), Err(OrderError::Range(1)));
    assert_eq!(group.block_range(at(17), cic(3), 3, false, &mut out), Err(OrderError::UnknownCircuit(cic(5))));
}

#[test]
fn circuits_that_are_not_there_are_told_and_nobody_answers_ucic_with_ucic() {
    let mut group = group(Selection::Ascending, 1..=1);
    let mut out = Vec::new();
    group.handle_message(at(0), cic(9), iam(), &mut out);
    assert!(take(&mut out).contains(&"9 sends UCIC".to_owned()));
    group.handle_message(at(0), cic(9), plain(MessageType::UCIC), &mut out);
    assert!(!take(&mut out).contains(&"9 sends UCIC".to_owned()));
    group.handle_message(at(0), cic(1), plain(MessageType::CRA), &mut out);
    assert_eq!(take(&mut out), ["1 sends CFN"], "a message that nobody knows in ITU");
}

/// The end of a call, as one side learns it.
#[derive(Default)]
struct Side {
    calls: BTreeMap<Cic, u64>,
    ends: BTreeMap<u64, usize>,
    begun: u64,
}

impl Side {
    fn begin(&mut self, cic: Cic) {
        self.begun += 1;
        assert_eq!(self.calls.insert(cic, self.begun), None, "circuit {cic} has a call already");
    }
    fn end(&mut self, cic: Cic) {
        let call = self.calls.remove(&cic).unwrap_or_else(|| panic!("no call on {cic}"));
        *self.ends.entry(call).or_default() += 1;
    }
}

/// Two exchanges over a line that delays and loses messages and delivers those of a direction in order.
struct World {
    ends: [(Group, Side); 2],
    wire: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    last: [Instant; 2],
    sequence: u64,
    rng: crate::rng::Rng,
    lossy: bool,
}

impl World {
    fn new(circuits: u16, seed: u64) -> World {
        let end = |own, peer| {
            let mut settings = Settings { selection: Selection::MostIdle, ..Settings::new(Variant::Itu, own, peer) };
            // Shorter than Q.764, so that lost messages are recovered from while many calls are made.
            let setting = Setting { value: Duration::from_secs(5), outside_range: true };
            settings.timers.set(Timer::T9, setting).expect("meant");
            (Group::new(settings, (1..=circuits).map(cic)).expect("few"), Side::default())
        };
        let rng = Seed::from_number(seed).rng();
        let last = [Instant::ZERO; 2];
        World { ends: [end(1, 2), end(2, 1)], wire: BTreeMap::new(), last, sequence: 0, rng, lossy: true }
    }

    /// Carries out what an end wants; its calls answer at random.
    fn carry(&mut self, now: Instant, side: usize, out: Vec<Output>) {
        for output in out {
            let (group, calls) = &mut self.ends[side];
            match output {
                Output::Transmit { cic, message } => {
                    let octets = message.encode(Variant::Itu, cic).expect("whole");
                    if self.lossy && self.rng.chance(2, 100) {
                        continue;
                    }
                    let delay = Duration::from_millis(self.rng.between(1, 200));
                    let at = (now + delay).max(self.last[side]);
                    self.last[side] = at;
                    self.sequence += 1;
                    self.wire.insert((at, self.sequence), (1 - side, octets));
                }
                Output::Moved { from, to } => {
                    let call = calls.calls.remove(&from).expect("a call moves");
                    assert_eq!(calls.calls.insert(to, call), None);
                }
                Output::Ended { cic, .. } => calls.end(cic),
                Output::Heard { cic, message } => {
                    let mut out = Vec::new();
                    let mut say = |message| group.send(now, cic, message, &mut out).expect("in order");
                    match message.kind() {
                        MessageType::IAM => {
                            calls.begin(cic);
                            match self.rng.below(4) {
                                0 => {
                                    say(rel(Cause::BUSY));
                                    calls.end(cic);
                                }
                                1 => say(acm()),
                                _ => {
                                    say(acm());
                                    let event = EventInformation::default().with_event(CallEvent::ALERTING);
                                    say(plain(MessageType::CPG).with(Parameter::Event(event)));
                                    say(plain(MessageType::ANM));
                                }
                            }
                        }
                        MessageType::ANM if self.rng.chance(1, 2) => {
                            say(rel(Cause::NORMAL));
                            calls.end(cic);
                        }
                        MessageType::REL => calls.end(cic),
                        _ => {}
                    }
                    self.carry(now, side, out);
                }
                Output::Tone { .. } | Output::Loop { .. } | Output::Alert { .. } => {}
            }
        }
    }

    fn next(&self) -> Option<Instant> {
        let wire = self.wire.first_key_value().map(|((at, _), _)| *at);
        wire.into_iter().chain(self.ends.iter().filter_map(|(group, _)| group.deadline())).min()
    }

    fn run_until(&mut self, end: Instant) {
        while let Some(now) = self.next().filter(|at| *at <= end) {
            while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= now) {
                let (side, octets) = entry.remove();
                let mut out = Vec::new();
                self.ends[side].0.handle_octets(now, &octets, &mut out).expect("messages are whole");
                self.carry(now, side, out);
            }
            for side in [0, 1] {
                let mut out = Vec::new();
                self.ends[side].0.handle_timeout(now, &mut out);
                self.carry(now, side, out);
            }
        }
    }

    /// Both ends try a call, block, reset now and then.
    fn disturb(&mut self, now: Instant) {
        for side in [0, 1] {
            let mut out = Vec::new();
            let circuit = cic(self.rng.between(1, 30) as u16);
            let (group, calls) = &mut self.ends[side];
            if self.rng.chance(1, 50) {
                let _ = match self.rng.below(6) {
                    0 => group.block(now, circuit, &mut out),
                    1 => group.reset(now, circuit, &mut out),
                    2 => group.block_range(now, cic(1), 8, true, &mut out),
                    3 => group.reset_range(now, cic(9), 8, &mut out),
                    _ => group.unblock_range(now, cic(1), 8, true, &mut out),
                };
                let _ = group.unblock(now, circuit, &mut out);
            }
            if let Some(call) = calls.calls.keys().next().copied().filter(|_| self.rng.chance(1, 3))
                && group.send(now, call, rel(Cause::NORMAL), &mut out).is_ok()
            {
                self.carry(now, side, std::mem::take(&mut out));
                self.ends[side].1.end(call);
            }
            let (group, calls) = &mut self.ends[side];
            if let Ok(circuit) = group.seize(now, iam(), &mut out) {
                calls.begin(circuit);
            }
            self.carry(now, side, out);
        }
    }
}

#[test]
fn ten_thousand_calls_with_glare_loss_and_alarms_end_once_on_each_side_and_free_every_circuit() {
    let mut world = World::new(30, 8309);
    let mut now = Instant::ZERO;
    while world.ends.iter().map(|(_, side)| side.begun).min() < Some(10_000) {
        now += Duration::from_millis(world.rng.between(1, 400));
        world.run_until(now);
        world.disturb(now);
    }
    // The line is good again, whoever still talks hangs up, blocks are taken back.
    world.lossy = false;
    for _ in 0..4 {
        now += Duration::from_secs(700);
        world.run_until(now);
        for side in [0, 1] {
            let mut out = Vec::new();
            let (group, calls) = &mut world.ends[side];
            for circuit in calls.calls.keys().copied().collect::<Vec<_>>() {
                if group.send(now, circuit, rel(Cause::NORMAL), &mut out).is_ok() {
                    calls.end(circuit);
                }
            }
            let _ = group.unblock_range(now, cic(1), 8, true, &mut out);
            for code in 1..=30 {
                let _ = group.unblock(now, cic(code), &mut out);
            }
            world.carry(now, side, out);
        }
    }
    now += Duration::from_secs(700);
    world.run_until(now);
    for (group, side) in &world.ends {
        assert_eq!(side.calls, BTreeMap::new(), "calls without an end");
        assert!(side.ends.values().all(|count| *count == 1), "calls with two ends");
        assert_eq!(side.ends.len() as u64, side.begun);
        for (cic, circuit) in group.circuits() {
            assert!(circuit.is_free(), "circuit {cic} is stuck: {circuit:?}");
        }
        assert_eq!(group.deadline(), None);
    }
}
