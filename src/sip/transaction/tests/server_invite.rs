//! INVITE server transaction: RFC 3261 17.2.1 (figure 7) with the *Accepted* state of RFC 6026 7.1.

use super::*;

fn run_machine(machine: ServerInvite) -> (Vec<u64>, Option<u64>) {
    run(machine, ServerInvite::deadline, |m, now| {
        let (next, action) = m.timeout(now, &TIMERS);
        (next, action == ServerAction::Send)
    })
}

/// Entered at 0 by the response that leads there, Confirmed at 100 ms by ACK.
fn state(name: &str, transport: Transport) -> ServerInvite {
    let after = |status| ServerInvite::Proceeding.respond(at(0), status, &TIMERS, transport).0;
    match name {
        "Proceeding" => ServerInvite::Proceeding,
        "Completed" => after(486),
        // Never entered over reliable transports; the rows say so.
        "Confirmed" => {
            after(486).acknowledged(at(100), &TIMERS, transport).unwrap_or(ServerInvite::Confirmed { i: at(100) })
        }
        "Accepted" => after(200),
        other => panic!("no state {other}"),
    }
}

fn show(next: Option<ServerInvite>, action: ServerAction) -> String {
    let next = match next {
        None => "gone",
        Some(ServerInvite::Proceeding) => "Proceeding",
        Some(ServerInvite::Completed { .. }) => "Completed",
        Some(ServerInvite::Confirmed { .. }) => "Confirmed",
        Some(ServerInvite::Accepted { .. }) => "Accepted",
    };
    format!("{next} {}", if action == ServerAction::Send { "send" } else { "-" })
}

fn step(name: &str, event: &str, transport: Transport) -> String {
    let state = state(name, transport);
    let responds = |all: &[u16]| {
        agreed(all.iter().map(|status| {
            let (next, action) = state.respond(at(200), *status, &TIMERS, transport);
            show(Some(next), action)
        }))
    };
    let wake = |ms| {
        let (next, action) = state.timeout(at(ms), &TIMERS);
        show(next, action)
    };
    match event {
        "INVITE" => show(Some(state), state.request()),
        "ACK" => show(state.acknowledged(at(200), &TIMERS, transport), ServerAction::Nothing),
        "user: 1xx" => responds(&PROVISIONAL),
        "user: 2xx" => responds(&SUCCESS),
        "user: 300-699" => responds(&REFUSAL),
        "nothing due" => wake(150),
        "timer G" => wake(500),
        "timer H, L" => wake(32_000),
        "timer I" => wake(5_100),
        other => panic!("no event {other}"),
    }
}

/// Timer I is due at 5.1 s, when Timer G of *Completed* is overdue.
#[test]
fn section_17_2_1_every_state_meets_every_event() {
    check_table(
        "
        Proceeding | INVITE        | Proceeding send | Proceeding send
        Proceeding | ACK           | Proceeding -    | Proceeding -
        Proceeding | user: 1xx     | Proceeding send | Proceeding send
        Proceeding | user: 2xx     | Accepted send   | Accepted send
        Proceeding | user: 300-699 | Completed send  | Completed send
        Proceeding | nothing due   | Proceeding -    | Proceeding -
        Proceeding | timer G       | Proceeding -    | Proceeding -
        Proceeding | timer H, L    | Proceeding -    | Proceeding -
        Proceeding | timer I       | Proceeding -    | Proceeding -
        Completed  | INVITE        | Completed send  | Completed send
        Completed  | ACK           | Confirmed -     | gone -
        Completed  | user: 1xx     | Completed -     | Completed -
        Completed  | user: 2xx     | Completed -     | Completed -
        Completed  | user: 300-699 | Completed -     | Completed -
        Completed  | nothing due   | Completed -     | Completed -
        Completed  | timer G       | Completed send  | Completed -
        Completed  | timer H, L    | gone -          | gone -
        Completed  | timer I       | Completed send  | Completed -
        Confirmed  | INVITE        | Confirmed -     | n/a
        Confirmed  | ACK           | Confirmed -     | n/a
        Confirmed  | user: 1xx     | Confirmed -     | n/a
        Confirmed  | user: 2xx     | Confirmed -     | n/a
        Confirmed  | user: 300-699 | Confirmed -     | n/a
        Confirmed  | nothing due   | Confirmed -     | n/a
        Confirmed  | timer G       | Confirmed -     | n/a
        Confirmed  | timer H, L    | gone -          | n/a
        Confirmed  | timer I       | gone -          | n/a
        Accepted   | INVITE        | Accepted -      | Accepted -
        Accepted   | ACK           | Accepted -      | Accepted -
        Accepted   | user: 1xx     | Accepted -      | Accepted -
        Accepted   | user: 2xx     | Accepted send   | Accepted send
        Accepted   | user: 300-699 | Accepted -      | Accepted -
        Accepted   | nothing due   | Accepted -      | Accepted -
        Accepted   | timer G       | Accepted -      | Accepted -
        Accepted   | timer H, L    | gone -          | gone -
        Accepted   | timer I       | Accepted -      | Accepted -
        ",
        &["Proceeding", "Completed", "Confirmed", "Accepted"],
        &[
            "INVITE",
            "ACK",
            "user: 1xx",
            "user: 2xx",
            "user: 300-699",
            "nothing due",
            "timer G",
            "timer H, L",
            "timer I",
        ],
        step,
    );
}

#[test]
fn section_17_2_1_timer_g_repeats_a_refusal_until_timer_h() {
    let (completed, action) = ServerInvite::Proceeding.respond(at(0), 486, &TIMERS, Transport::Udp);
    assert_eq!(action, ServerAction::Send);
    let (sent, end) = run_machine(completed);
    assert_eq!(sent, [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500], "min(2 G, T2)");
    assert_eq!(end, Some(32_000), "Timer H");
    for transport in RELIABLE {
        let (completed, _) = ServerInvite::Proceeding.respond(at(0), 486, &TIMERS, *transport);
        assert_eq!(run_machine(completed), (vec![], Some(32_000)), "no Timer G over {transport:?}, but H");
    }
}

#[test]
fn section_17_2_1_timer_i_absorbs_acks() {
    let (completed, _) = ServerInvite::Proceeding.respond(at(0), 486, &TIMERS, Transport::Udp);
    let confirmed = completed.acknowledged(at(100), &TIMERS, Transport::Udp).unwrap();
    let again = confirmed.acknowledged(at(3_000), &TIMERS, Transport::Udp).unwrap();
    assert_eq!(run_machine(again), (vec![], Some(5_100)), "T4 from the first ACK, and no repetition any more");
    for transport in RELIABLE {
        let (completed, _) = ServerInvite::Proceeding.respond(at(0), 486, &TIMERS, *transport);
        assert_eq!(completed.acknowledged(at(100), &TIMERS, *transport), None, "0 over {transport:?}");
    }
}

#[test]
fn section_7_1_of_rfc_6026_timer_l_absorbs_invites_and_lets_the_user_repeat_2xx() {
    for transport in [Transport::Udp].iter().chain(RELIABLE) {
        let (accepted, action) = ServerInvite::Proceeding.respond(at(0), 200, &TIMERS, *transport);
        assert_eq!(action, ServerAction::Send);
        let (again, action) = accepted.respond(at(16_000), 200, &TIMERS, *transport);
        assert_eq!((again, action), (accepted, ServerAction::Send));
        assert_eq!(run_machine(accepted), (vec![], Some(32_000)), "64 T1 from the first 2xx, over {transport:?} too");
    }
}
