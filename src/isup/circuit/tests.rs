//! Every state with every event, against a table written by hand, and rules that hold for all of them.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

const WE_CONTROL: Rules = Rules { controlling: true };
const THEY_CONTROL: Rules = Rules { controlling: false };

/// States of a call by the letters of the tables below.
const STATES: [(&str, Call); 17] = {
    use Phase::*;
    let none = Suspended { user: false, network: false };
    let network = Suspended { user: false, network: true };
    [
        ("I", Call::Idle),
        ("oK", Call::Outgoing(Checking)),
        ("oA", Call::Outgoing(Addressed)),
        ("oC", Call::Outgoing(Complete)),
        ("oX", Call::Outgoing(Answered(none))),
        ("oS", Call::Outgoing(Answered(network))),
        ("iK", Call::Incoming(Checking)),
        ("iA", Call::Incoming(Addressed)),
        ("iC", Call::Incoming(Complete)),
        ("iX", Call::Incoming(Answered(none))),
        ("iS", Call::Incoming(Answered(network))),
        ("L", Call::Releasing),
        ("R", Call::Resetting),
        ("G", Call::GroupResetting),
        ("F", Call::Rechecking(Recheck::First)),
        ("T", Call::Rechecking(Recheck::Tone)),
        ("V", Call::Checked(Loop::Open)),
    ]
};

fn letters(call: Call) -> &'static str {
    match STATES.iter().find(|(_, known)| *known == call) {
        Some((letters, _)) => letters,
        None if call == Call::Checked(Loop::Closed) => "W",
        None if call == Call::Rechecking(Recheck::Again) => "N",
        None if call == Call::Unequipped => "U",
        None => "?",
    }
}

/// What each event leads to from each state of [`STATES`]: the next state, `.` for the same one, `-` for an
/// order that is refused. On a circuit that the far end controls and nobody blocks.
const TABLE: &str = "
                I   oK  oA  oC  oX  oS  iK  iA  iC  iX  iS  L   R   G   F   T   V
    heard IAM   iA  iA  iA  .   .   .   .   .   .   .   .   .   .   .   .   .   iA
    heard IAM?  iK  iK  iK  .   .   .   .   .   .   .   .   .   .   .   .   .   iK
    heard SAM   R   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .
    heard ACM   R   .   oC  .   .   .   .   .   .   .   .   .   .   .   .   .   .
    heard CPG   R   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .
    heard CON   R   .   oX  .   .   .   .   .   .   .   .   .   .   .   .   .   .
    heard ANM   R   .   oX  oX  .   .   .   .   .   .   .   .   .   .   .   .   .
    heard REL   .   I   I   I   I   I   I   I   I   I   I   .   .   .   I   I   I
    heard SUS   .   .   .   .   oS  .   .   .   .   iS  .   .   .   .   .   .   .
    heard RES   .   .   .   .   .   oX  .   .   .   .   iX  .   .   .   .   .   .
    heard INR   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .
    heard INF   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .
    heard FOT   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .
    heard other .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .
    RLC         .   L   L   L   L   L   L   L   L   L   L   I   I   .   .   .   .
    COT good    .   .   .   .   .   .   iA  .   .   .   .   .   .   .   .   .   .
    COT bad     .   .   .   .   .   .   V   .   .   .   .   .   .   .   .   .   .
    CCR         W   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   W
    BLO         .   L   L   .   .   .   .   .   .   .   .   .   .   .   .   .   .
    UBL         .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .
    BLA         .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .
    UBA         .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .
    RSC         .   I   I   I   I   I   I   I   I   I   I   I   .   .   I   I   I
    UCIC        U   U   U   U   U   U   U   U   U   U   U   U   U   U   U   U   U
    GRS         .   I   I   I   I   I   I   I   I   I   I   I   .   .   I   I   I
    GRA         .   .   .   .   .   .   .   .   .   .   .   .   .   I   .   .   .
    CGB maint   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .
    CGB hard    .   I   I   I   I   I   I   I   I   I   I   .   .   .   .   .   .
    CGU hard    .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .
    say IAM     oA  -   -   -   -   -   -   -   -   -   -   -   -   -   -   -   -
    say IAM?    oK  -   -   -   -   -   -   -   -   -   -   -   -   -   -   -   -
    say SAM     -   -   .   -   -   -   -   -   -   -   -   -   -   -   -   -   -
    say ACM     -   -   -   -   -   -   -   iC  -   -   -   -   -   -   -   -   -
    say CPG     -   -   -   -   -   -   -   -   .   .   .   -   -   -   -   -   -
    say CON     -   -   -   -   -   -   -   iX  -   -   -   -   -   -   -   -   -
    say ANM     -   -   -   -   -   -   -   iX  iX  -   -   -   -   -   -   -   -
    say REL     -   L   L   L   L   L   L   L   L   L   L   -   -   -   -   -   -
    say SUS     -   -   -   -   .   .   -   -   -   .   .   -   -   -   -   -   -
    say RES     -   -   -   -   .   .   -   -   -   .   .   -   -   -   -   -   -
    say INR     -   -   -   -   -   -   -   .   .   -   -   -   -   -   -   -   -
    say INF     -   -   .   .   -   -   -   -   -   -   -   -   -   -   -   -   -
    say FOT     -   -   -   .   .   .   -   -   -   -   -   -   -   -   -   -   -
    say other   -   .   .   .   .   .   .   .   .   .   .   -   -   -   -   -   -
    block       .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .
    unblock     .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .
    reset       R   R   R   R   R   R   R   R   R   R   R   R   -   R   R   R   R
    say GRS     G   G   G   G   G   G   G   G   G   G   G   G   -   .   G   G   G
    say CGB     .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .
    say CGB h   .   I   I   I   I   I   I   I   I   I   I   .   .   .   .   .   .
    tone back   .   oA  .   .   .   .   .   .   .   .   .   .   .   .   .   L   .
    T1          .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .
    T2          .   .   .   .   L   L   .   .   .   L   L   .   .   .   .   .   .
    T5          .   .   .   .   .   .   .   .   .   .   .   R   .   .   .   .   .
    T6          .   .   .   .   L   L   .   .   .   L   L   .   .   .   .   .   .
    T7          .   .   L   .   .   .   .   .   .   .   .   .   .   .   .   .   .
    T8          .   .   .   .   .   .   L   .   .   .   .   .   .   .   .   .   .
    T9          .   .   .   L   .   .   .   .   .   .   .   .   .   .   .   .   .
    T16         .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .
    T17         .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .
    T24         .   F   .   .   .   .   .   .   .   .   .   .   .   .   .   N   .
    T25         .   .   .   .   .   .   .   .   .   .   .   .   .   .   T   .   .
    T27         .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   R
    T33         .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .
";

fn event_named(name: &str) -> Event {
    use Supervision as S;
    let signal = |word: &str| match word {
        "IAM" => Signal::Iam { check: false },
        "IAM?" => Signal::Iam { check: true },
        "SAM" => Signal::Sam,
        "ACM" => Signal::Acm,
        "CPG" => Signal::Cpg,
        "CON" => Signal::Con,
        "ANM" => Signal::Anm,
        "REL" => Signal::Rel,
        "SUS" => Signal::Sus { network: true },
        "RES" => Signal::Res { network: true },
        "INR" => Signal::Inr,
        "INF" => Signal::Inf,
        "FOT" => Signal::Fot,
        "other" => Signal::Other,
        word => panic!("{word}"),
    };
    let supervised = match name {
        "RLC" => S::Rlc,
        "COT good" => S::Cot { successful: true },
        "COT bad" => S::Cot { successful: false },
        "CCR" => S::Ccr,
        "BLO" => S::Blo,
        "BLA" => S::Bla,
        "UBL" => S::Ubl,
        "UBA" => S::Uba,
        "RSC" => S::Rsc,
        "UCIC" => S::Ucic,
        "GRS" => S::GroupReset,
        "GRA" => S::GroupResetDone { blocked: false },
        "CGB maint" => S::GroupBlocked { hardware: false },
        "CGB hard" => S::GroupBlocked { hardware: true },
        "CGU hard" => S::GroupUnblocked { hardware: true },
        "block" => return Event::Wanted(Order::Block),
        "unblock" => return Event::Wanted(Order::Unblock),
        "reset" => return Event::Wanted(Order::Reset),
        "say GRS" => return Event::Wanted(Order::GroupReset),
        "say CGB" => return Event::Wanted(Order::GroupBlock { hardware: false }),
        "say CGB h" => return Event::Wanted(Order::GroupBlock { hardware: true }),
        "tone back" => return Event::ToneBack,
        _ => {
            if let Some(word) = name.strip_prefix("heard ") {
                return Event::Heard(signal(word));
            }
            if let Some(word) = name.strip_prefix("say ") {
                return Event::Wanted(Order::Send(signal(word)));
            }
            let timer = Timer::ALL.iter().find(|timer| timer.to_string() == name);
            return Event::Expired(*timer.unwrap_or_else(|| panic!("{name}")));
        }
    };
    Event::Supervised(supervised)
}

#[test]
fn every_state_and_event_leads_where_the_table_says() {
    let mut lines = TABLE.lines().filter(|line| !line.trim().is_empty());
    let header: Vec<&str> = lines.next().expect("a header").split_whitespace().collect();
    assert_eq!(header, STATES.map(|(letters, _)| letters));
    let mut pairs = 0;
    for line in lines {
        let (name, cells) = line.split_at(16);
        let event = event_named(name.trim());
        let cells: Vec<&str> = cells.split_whitespace().collect();
        assert_eq!(cells.len(), STATES.len(), "{line}");
        for (wanted, (letters_now, call)) in cells.iter().zip(STATES) {
            let circuit = Circuit { call, ..Circuit::default() };
            let found = match step(THEY_CONTROL, circuit, event) {
                Err(refused) => {
                    assert_eq!(refused.call, call);
                    "-"
                }
                Ok((next, _)) if next.call == call => ".",
                Ok((next, _)) => letters(next.call),
            };
            assert_eq!(found, *wanted, "{} in {letters_now}", name.trim());
            pairs += 1;
        }
    }
    assert_eq!(pairs, 63 * 17);
}

/// Every event there is.
fn all_events() -> Vec<Event> {
    let mut events: Vec<Event> =
        TABLE.lines().skip(2).filter(|l| !l.trim().is_empty()).map(|l| event_named(l[..16].trim())).collect();
    events.extend(Timer::ALL.iter().map(|timer| Event::Expired(*timer)));
    events.push(Event::Supervised(Supervision::GroupResetDone { blocked: true }));
    events.push(Event::Supervised(Supervision::GroupUnblocked { hardware: false }));
    for network in [false, true] {
        events.push(Event::Heard(Signal::Sus { network }));
        events.push(Event::Heard(Signal::Res { network }));
    }
    for hardware in [false, true] {
        events.push(Event::Wanted(Order::GroupUnblock { hardware }));
    }
    events
}

/// A circuit with the timers that run, as a group keeps them.
type Place = (Circuit, BTreeSet<Timer>);

/// Every state that can be reached at all, with its timers, by walking all events from an idle circuit. Timers
/// expire only while they run.
fn reachable(rules: Rules, mut look: impl FnMut(&Place, Event, &Place, &[Action])) -> usize {
    let events = all_events();
    let start: Place = (Circuit::default(), BTreeSet::new());
    let mut known = BTreeMap::from([(start.clone(), ())]);
    let mut waiting = vec![start];
    while let Some(place) = waiting.pop() {
        for event in &events {
            if matches!(event, Event::Expired(timer) if !place.1.contains(timer)) {
                continue;
            }
            let Ok((circuit, actions)) = step(rules, place.0, *event) else { continue };
            let mut running = place.1.clone();
            if let Event::Expired(timer) = event {
                running.remove(timer);
            }
            for action in &actions {
                match action {
                    Action::Start(timer) => drop(running.insert(*timer)),
                    Action::Stop(timer) => drop(running.remove(timer)),
                    _ => {}
                }
            }
            let next = (circuit, running);
            look(&place, *event, &next, &actions);
            if known.insert(next.clone(), ()).is_none() {
                waiting.push(next);
            }
        }
    }
    known.len()
}

#[test]
fn in_every_state_that_can_be_reached_just_its_timers_run_so_that_no_circuit_is_stuck() {
    for rules in [WE_CONTROL, THEY_CONTROL] {
        let count = reachable(rules, |before, event, (circuit, running), _| {
            let needed: BTreeSet<Timer> = circuit.timers().into_iter().collect();
            assert!(needed.is_subset(running), "{needed:?} of {running:?} after {event:?} in {before:?}");
            // Those that repeat fast stop once the operator was told, and then the slow one goes on.
            let mut also = BTreeSet::new();
            also.extend((circuit.call == Call::Resetting).then_some(Timer::T16));
            also.extend((circuit.block == Block::Blocking).then_some(Timer::T12));
            also.extend((circuit.block == Block::Unblocking).then_some(Timer::T14));
            let extra: Vec<_> = running.difference(&needed).filter(|timer| !also.contains(timer)).collect();
            assert!(extra.is_empty(), "{extra:?} run after {event:?} in {before:?}");
            // A state that waits for the far end or for nobody's message has a timer, or a call that can release.
            let waits = !matches!(
                circuit.call,
                Call::Idle | Call::Outgoing(_) | Call::Incoming(_) | Call::Unequipped | Call::Checked(Loop::Closed)
            );
            assert!(!waits || circuit.call == Call::GroupResetting || !needed.is_empty(), "{circuit:?}");
        });
        assert!(count > 1_000, "{count} states");
    }
}

#[test]
fn a_call_that_is_lost_by_a_circuit_is_always_told_and_told_once() {
    for rules in [WE_CONTROL, THEY_CONTROL] {
        reachable(rules, |(before, _), event, (after, _), actions| {
            let told = actions.iter().filter(|action| matches!(action, Action::End(_))).count();
            let heard = matches!(event, Event::Heard(Signal::Rel)) && actions.contains(&Action::Deliver);
            let said = event == Event::Wanted(Order::Send(Signal::Rel));
            let new = matches!(event, Event::Heard(Signal::Iam { .. })) && actions.contains(&Action::Deliver);
            let lost = before.is_busy() && (!after.is_busy() || new);
            assert_eq!(lost, told + usize::from(heard || said) == 1, "{event:?} in {before:?}: {actions:?}");
            assert!(told + usize::from(heard || said) <= 1);
        });
    }
}

#[test]
fn tones_and_loops_are_connected_only_where_a_check_is_and_taken_off_after_it() {
    let tone =
        |circuit: &Circuit| matches!(circuit.call, Call::Outgoing(Phase::Checking) | Call::Rechecking(Recheck::Tone));
    let looped =
        |circuit: &Circuit| matches!(circuit.call, Call::Incoming(Phase::Checking) | Call::Checked(Loop::Closed));
    reachable(THEY_CONTROL, |(before, _), event, (after, _), actions| {
        let last = |on: fn(&Action) -> Option<bool>| actions.iter().rev().find_map(on);
        let tone_now = last(|a| if let Action::Tone(on) = a { Some(*on) } else { None }).unwrap_or(tone(before));
        let loop_now = last(|a| if let Action::Loop(on) = a { Some(*on) } else { None }).unwrap_or(looped(before));
        assert_eq!((tone_now, loop_now), (tone(after), looped(after)), "{event:?} in {before:?}: {actions:?}");
    });
}

#[test]
fn what_the_far_end_asks_is_always_answered() {
    let answers = [
        (Supervision::Blo, MessageType::BLA),
        (Supervision::Ubl, MessageType::UBA),
        (Supervision::Rsc, MessageType::RLC),
    ];
    reachable(THEY_CONTROL, |(before, _), event, _, actions| {
        if let Event::Supervised(asked) = event
            && let Some((_, answer)) = answers.iter().find(|(known, _)| *known == asked)
        {
            assert!(actions.contains(&Action::Transmit(*answer)), "{asked:?} in {before:?}: {actions:?}");
        }
        if event == Event::Heard(Signal::Rel) {
            assert!(actions.contains(&Action::Transmit(MessageType::RLC)), "REL in {before:?}: {actions:?}");
        }
    });
}

fn run(rules: Rules, circuit: Circuit, event: Event) -> (Circuit, Vec<Action>) {
    let (circuit, actions) = step(rules, circuit, event).expect("allowed");
    (circuit, actions.to_vec())
}

#[test]
fn at_dual_seizure_the_controlling_end_goes_on_and_the_other_gives_way() {
    let seized = Circuit { call: Call::Outgoing(Phase::Addressed), ..Circuit::default() };
    let iam = Event::Heard(Signal::Iam { check: false });
    assert_eq!(run(WE_CONTROL, seized, iam), (seized, vec![]));
    let (after, actions) = run(THEY_CONTROL, seized, iam);
    assert_eq!(after.call, Call::Incoming(Phase::Addressed));
    assert_eq!(actions, [Action::End(Ended::Repeat), Action::Deliver, Action::Stop(Timer::T7)]);
}

#[test]
fn blocking_repeats_until_it_is_acknowledged_and_alerts_once_it_takes_too_long() {
    let (blocking, actions) = run(WE_CONTROL, Circuit::default(), Event::Wanted(Order::Block));
    assert_eq!(actions, [Action::Transmit(MessageType::BLO), Action::Start(Timer::T12), Action::Start(Timer::T13)]);
    let (_, again) = run(WE_CONTROL, blocking, Event::Expired(Timer::T12));
    assert_eq!(again, [Action::Transmit(MessageType::BLO), Action::Start(Timer::T12)]);
    let (_, late) = run(WE_CONTROL, blocking, Event::Expired(Timer::T13));
    let slow = [
        Action::Stop(Timer::T12),
        Action::Alert(Timer::T13),
        Action::Transmit(MessageType::BLO),
        Action::Start(Timer::T13),
    ];
    assert_eq!(late, slow);
    let (blocked, _) = run(WE_CONTROL, blocking, Event::Supervised(Supervision::Bla));
    assert_eq!(blocked.block, Block::Blocked);
    assert!(step(WE_CONTROL, blocked, Event::Wanted(Order::Send(Signal::Iam { check: false }))).is_err());
    let (still, told) = run(WE_CONTROL, blocked, Event::Heard(Signal::Iam { check: false }));
    assert_eq!((still.call, told), (Call::Idle, vec![Action::Transmit(MessageType::BLO)]));
    let (_, told) = run(WE_CONTROL, blocked, Event::Supervised(Supervision::Rsc));
    assert_eq!(told, [Action::Transmit(MessageType::BLO), Action::Transmit(MessageType::RLC)]);
}

#[test]
fn answers_that_nobody_asked_for_are_corrected() {
    let (_, told) = run(WE_CONTROL, Circuit::default(), Event::Supervised(Supervision::Bla));
    assert_eq!(told, [Action::Transmit(MessageType::UBL)]);
    let blocked = Circuit { block: Block::Blocked, ..Circuit::default() };
    let (_, told) = run(WE_CONTROL, blocked, Event::Supervised(Supervision::Uba));
    assert_eq!(told, [Action::Transmit(MessageType::BLO)]);
}
