//! INVITE client transaction: RFC 3261 17.1.1 (figure 5) with the *Accepted* state of RFC 6026 7.2.

use super::*;

fn run_machine(machine: ClientInvite) -> (Vec<u64>, Option<u64>) {
    run(machine, ClientInvite::deadline, |m, now| {
        let (next, action) = m.timeout(now);
        assert_eq!(next.is_none() && matches!(m, ClientInvite::Calling { .. }), action == TimedOut);
        (next, action == Send)
    })
}

/// Entered at 0 (Calling) or at 100 ms by the response that leads there.
fn state(name: &str, transport: Transport) -> ClientInvite {
    let calling = ClientInvite::new(at(0), &TIMERS, transport);
    let after = |status| calling.response(at(100), status, &TIMERS, transport).0;
    let state = match name {
        "Calling" => Some(calling),
        "Proceeding" => after(180),
        "Proceeding, bounded" => after(180).map(|p| p.bounded(at(5_000))),
        // Never entered over reliable transports; the rows say so.
        "Completed" => after(486).or(Some(ClientInvite::Completed { d: at(100) })),
        "Accepted" => after(200),
        other => panic!("no state {other}"),
    };
    state.expect("the state exists")
}

fn show((next, action): (Option<ClientInvite>, ClientAction)) -> String {
    let next = match next {
        None => "gone",
        Some(ClientInvite::Calling { .. }) => "Calling",
        Some(ClientInvite::Proceeding { until: None }) => "Proceeding",
        Some(ClientInvite::Proceeding { until: Some(_) }) => "Proceeding, bounded",
        Some(ClientInvite::Completed { .. }) => "Completed",
        Some(ClientInvite::Accepted { .. }) => "Accepted",
    };
    format!("{next} {}", word(action))
}

fn step(name: &str, event: &str, transport: Transport) -> String {
    let state = state(name, transport);
    let responses =
        |all: &[u16]| agreed(all.iter().map(|status| show(state.response(at(200), *status, &TIMERS, transport))));
    match event {
        "1xx" => responses(&PROVISIONAL),
        "2xx" => responses(&SUCCESS),
        "300-699" => responses(&REFUSAL),
        "nothing due" => show(state.timeout(at(150))),
        "timer A" => show(state.timeout(at(500))),
        "timer B" => show(state.timeout(at(32_000))),
        "timer D, M" => show(state.timeout(at(32_100))),
        "bound" => show(state.timeout(at(5_000))),
        other => panic!("no event {other}"),
    }
}

/// `bound` is the time that a user of the machine set for the ringing, 5 s in these tests; a Calling
/// machine is woken by it at a time when Timer A is overdue.
#[test]
fn section_17_1_1_every_state_meets_every_event() {
    check_table(
        "
        Calling             | 1xx         | Proceeding deliver           | Proceeding deliver
        Calling             | 2xx         | Accepted deliver             | Accepted deliver
        Calling             | 300-699     | Completed ACK+deliver        | gone ACK+deliver
        Calling             | nothing due | Calling -                    | Calling -
        Calling             | timer A     | Calling send                 | Calling -
        Calling             | timer B     | gone timed-out               | gone timed-out
        Calling             | timer D, M  | gone timed-out               | gone timed-out
        Calling             | bound       | Calling send                 | Calling -
        Proceeding          | 1xx         | Proceeding deliver           | Proceeding deliver
        Proceeding          | 2xx         | Accepted deliver             | Accepted deliver
        Proceeding          | 300-699     | Completed ACK+deliver        | gone ACK+deliver
        Proceeding          | nothing due | Proceeding -                 | Proceeding -
        Proceeding          | timer A     | Proceeding -                 | Proceeding -
        Proceeding          | timer B     | Proceeding -                 | Proceeding -
        Proceeding          | timer D, M  | Proceeding -                 | Proceeding -
        Proceeding          | bound       | Proceeding -                 | Proceeding -
        Proceeding, bounded | 1xx         | Proceeding, bounded deliver  | Proceeding, bounded deliver
        Proceeding, bounded | 2xx         | Accepted deliver             | Accepted deliver
        Proceeding, bounded | 300-699     | Completed ACK+deliver        | gone ACK+deliver
        Proceeding, bounded | nothing due | Proceeding, bounded -        | Proceeding, bounded -
        Proceeding, bounded | timer A     | Proceeding, bounded -        | Proceeding, bounded -
        Proceeding, bounded | timer B     | gone timed-out               | gone timed-out
        Proceeding, bounded | timer D, M  | gone timed-out               | gone timed-out
        Proceeding, bounded | bound       | gone timed-out               | gone timed-out
        Completed           | 1xx         | Completed -                  | n/a
        Completed           | 2xx         | Completed -                  | n/a
        Completed           | 300-699     | Completed ACK                | n/a
        Completed           | nothing due | Completed -                  | n/a
        Completed           | timer A     | Completed -                  | n/a
        Completed           | timer B     | Completed -                  | n/a
        Completed           | timer D, M  | gone -                       | n/a
        Completed           | bound       | Completed -                  | n/a
        Accepted            | 1xx         | Accepted -                   | Accepted -
        Accepted            | 2xx         | Accepted deliver             | Accepted deliver
        Accepted            | 300-699     | Accepted -                   | Accepted -
        Accepted            | nothing due | Accepted -                   | Accepted -
        Accepted            | timer A     | Accepted -                   | Accepted -
        Accepted            | timer B     | Accepted -                   | Accepted -
        Accepted            | timer D, M  | gone -                       | gone -
        Accepted            | bound       | Accepted -                   | Accepted -
        ",
        &["Calling", "Proceeding", "Proceeding, bounded", "Completed", "Accepted"],
        &["1xx", "2xx", "300-699", "nothing due", "timer A", "timer B", "timer D, M", "bound"],
        step,
    );
}

#[test]
fn section_17_1_1_2_timer_a_repeats_at_doubling_intervals_until_timer_b() {
    let (sent, end) = run_machine(ClientInvite::new(at(0), &TIMERS, Transport::Udp));
    assert_eq!(sent, [500, 1500, 3500, 7500, 15500, 31500], "Timer A has no upper limit but B");
    assert_eq!(end, Some(32_000), "Timer B");
    for transport in RELIABLE {
        let (sent, end) = run_machine(ClientInvite::new(at(0), &TIMERS, *transport));
        assert_eq!((sent, end), (vec![], Some(32_000)), "no repetition over {transport:?}");
    }
}

#[test]
fn section_17_1_1_2_timers_follow_t1() {
    let timers = Timers { t1: Duration::from_millis(100), ..TIMERS };
    let (sent, end) = run_machine(ClientInvite::new(at(0), &timers, Transport::Udp));
    assert_eq!(sent, [100, 300, 700, 1500, 3100, 6300]);
    assert_eq!(end, Some(6_400));
}

#[test]
fn section_17_1_1_2_an_invite_that_rings_is_neither_repeated_nor_given_up() {
    let calling = ClientInvite::new(at(0), &TIMERS, Transport::Udp);
    let (next, action) = calling.response(at(100), 180, &TIMERS, Transport::Udp);
    assert_eq!((next, action), (Some(ClientInvite::Proceeding { until: None }), Deliver));
    let proceeding = next.unwrap();
    assert_eq!(proceeding.deadline(), None);
    assert_eq!(proceeding.bounded(at(9)).bounded(at(99)).timeout(at(9)), (None, TimedOut), "the first bound stays");
}

#[test]
fn section_17_1_1_2_timer_d_absorbs_refusals_that_come_again() {
    let calling = ClientInvite::new(at(0), &TIMERS, Transport::Udp);
    let (next, action) = calling.response(at(100), 486, &TIMERS, Transport::Udp);
    assert_eq!(action, AcknowledgeAndDeliver);
    let completed = next.unwrap();
    assert_eq!(completed.response(at(9_000), 486, &TIMERS, Transport::Udp), (Some(completed), Acknowledge));
    assert_eq!(run_machine(completed), (vec![], Some(32_100)), "at least 32 s, and a repetition does not restart it");
    for transport in RELIABLE {
        assert_eq!(calling.response(at(100), 486, &TIMERS, *transport).0, None, "Timer D is 0 over {transport:?}");
    }
}

#[test]
fn section_7_2_of_rfc_6026_timer_m_awaits_2xx_of_other_branches() {
    for transport in [Transport::Udp].iter().chain(RELIABLE) {
        let proceeding = ClientInvite::Proceeding { until: None };
        let (next, action) = proceeding.response(at(100), 200, &TIMERS, *transport);
        assert_eq!(action, Deliver);
        let accepted = next.unwrap();
        assert_eq!(accepted.response(at(20_000), 200, &TIMERS, *transport), (next, Deliver));
        assert_eq!(run_machine(accepted), (vec![], Some(32_100)), "64 T1 from the first 2xx, over {transport:?} too");
    }
}
