//! Non-INVITE client transaction: RFC 3261 17.1.2 (figure 6).

use super::*;

fn run_machine(machine: ClientNonInvite) -> (Vec<u64>, Option<u64>) {
    run(
        machine,
        |m| Some(m.deadline()),
        |m, now| {
            let (next, action) = m.timeout(now, &TIMERS);
            assert_eq!(next.is_none() && !matches!(m, ClientNonInvite::Completed { .. }), action == TimedOut);
            (next, action == Send)
        },
    )
}

/// Entered at 0 (Trying) or at 100 ms.
fn state(name: &str, transport: Transport) -> ClientNonInvite {
    let trying = ClientNonInvite::new(at(0), &TIMERS, transport);
    let after = |status| trying.response(at(100), status, &TIMERS, transport).0;
    let state = match name {
        "Trying" => Some(trying),
        "Proceeding" => after(100),
        "Completed" => after(200).or(Some(ClientNonInvite::Completed { k: at(100) })),
        other => panic!("no state {other}"),
    };
    state.expect("the state exists")
}

fn show((next, action): (Option<ClientNonInvite>, ClientAction)) -> String {
    let next = match next {
        None => "gone",
        Some(ClientNonInvite::Trying { .. }) => "Trying",
        Some(ClientNonInvite::Proceeding { .. }) => "Proceeding",
        Some(ClientNonInvite::Completed { .. }) => "Completed",
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
        "nothing due" => show(state.timeout(at(150), &TIMERS)),
        "timer E" => show(state.timeout(at(500), &TIMERS)),
        "timer F" => show(state.timeout(at(32_000), &TIMERS)),
        "timer K" => show(state.timeout(at(5_100), &TIMERS)),
        other => panic!("no event {other}"),
    }
}

/// Timer K is due at 5.1 s, when Timer E of the other states is overdue.
#[test]
fn section_17_1_2_every_state_meets_every_event() {
    check_table(
        "
        Trying     | 1xx         | Proceeding deliver | Proceeding deliver
        Trying     | 2xx         | Completed deliver  | gone deliver
        Trying     | 300-699     | Completed deliver  | gone deliver
        Trying     | nothing due | Trying -           | Trying -
        Trying     | timer E     | Trying send        | Trying -
        Trying     | timer F     | gone timed-out     | gone timed-out
        Trying     | timer K     | Trying send        | Trying -
        Proceeding | 1xx         | Proceeding deliver | Proceeding deliver
        Proceeding | 2xx         | Completed deliver  | gone deliver
        Proceeding | 300-699     | Completed deliver  | gone deliver
        Proceeding | nothing due | Proceeding -       | Proceeding -
        Proceeding | timer E     | Proceeding send    | Proceeding -
        Proceeding | timer F     | gone timed-out     | gone timed-out
        Proceeding | timer K     | Proceeding send    | Proceeding -
        Completed  | 1xx         | Completed -        | n/a
        Completed  | 2xx         | Completed -        | n/a
        Completed  | 300-699     | Completed -        | n/a
        Completed  | nothing due | Completed -        | n/a
        Completed  | timer E     | Completed -        | n/a
        Completed  | timer F     | gone -             | n/a
        Completed  | timer K     | gone -             | n/a
        ",
        &["Trying", "Proceeding", "Completed"],
        &["1xx", "2xx", "300-699", "nothing due", "timer E", "timer F", "timer K"],
        step,
    );
}

#[test]
fn section_17_1_2_2_timer_e_doubles_up_to_t2_until_timer_f() {
    let (sent, end) = run_machine(ClientNonInvite::new(at(0), &TIMERS, Transport::Udp));
    assert_eq!(sent, [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500]);
    assert_eq!(end, Some(32_000), "Timer F");
    for transport in RELIABLE {
        let (sent, end) = run_machine(ClientNonInvite::new(at(0), &TIMERS, *transport));
        assert_eq!((sent, end), (vec![], Some(32_000)), "no repetition over {transport:?}");
    }
}

#[test]
fn section_17_1_2_2_timer_e_is_t2_once_a_provisional_response_came() {
    let trying = ClientNonInvite::new(at(0), &TIMERS, Transport::Udp);
    let (proceeding, _) = trying.response(at(100), 100, &TIMERS, Transport::Udp);
    let (sent, end) = run_machine(proceeding.unwrap());
    assert_eq!(sent, [500, 4500, 8500, 12500, 16500, 20500, 24500, 28500]);
    assert_eq!(end, Some(32_000), "Timer F runs on from the start");
}

#[test]
fn section_17_1_2_2_timer_k_absorbs_answers_that_come_again() {
    let trying = ClientNonInvite::new(at(0), &TIMERS, Transport::Udp);
    let (next, action) = trying.response(at(100), 200, &TIMERS, Transport::Udp);
    assert_eq!(action, Deliver);
    let completed = next.unwrap();
    assert_eq!(completed.response(at(4_000), 200, &TIMERS, Transport::Udp), (next, Nothing), "delivered once");
    assert_eq!(run_machine(completed), (vec![], Some(5_100)), "T4");
    for transport in RELIABLE {
        assert_eq!(trying.response(at(100), 200, &TIMERS, *transport), (None, Deliver), "0 over {transport:?}");
    }
}
