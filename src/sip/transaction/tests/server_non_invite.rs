//! Non-INVITE server transaction: RFC 3261 17.2.2 (figure 8), ended by RFC 4320 4.1 when nobody answers.

use super::*;

/// Entered at 0.
fn state(name: &str, transport: Transport) -> ServerNonInvite {
    let trying = ServerNonInvite::new(at(0), &TIMERS);
    let after = |status| trying.respond(at(0), status, &TIMERS, transport).0;
    let state = match name {
        "Trying" => Some(trying),
        "Proceeding" => after(100),
        "Completed" => after(200).or(Some(ServerNonInvite::Completed { j: at(0) })),
        other => panic!("no state {other}"),
    };
    state.expect("the state exists")
}

fn show(next: Option<ServerNonInvite>, action: ServerAction) -> String {
    let next = match next {
        None => "gone",
        Some(ServerNonInvite::Trying { .. }) => "Trying",
        Some(ServerNonInvite::Proceeding { .. }) => "Proceeding",
        Some(ServerNonInvite::Completed { .. }) => "Completed",
    };
    format!("{next} {}", if action == ServerAction::Send { "send" } else { "-" })
}

fn step(name: &str, event: &str, transport: Transport) -> String {
    let state = state(name, transport);
    let responds = |all: &[u16]| {
        agreed(all.iter().map(|status| {
            let (next, action) = state.respond(at(200), *status, &TIMERS, transport);
            show(next, action)
        }))
    };
    match event {
        "request" => show(Some(state), state.request()),
        "user: 1xx" => responds(&PROVISIONAL),
        "user: 2xx" => responds(&SUCCESS),
        "user: 300-699" => responds(&REFUSAL),
        "nothing due" => show(state.timeout(at(31_999)), ServerAction::Nothing),
        "timer J, F of the peer" => show(state.timeout(at(32_000)), ServerAction::Nothing),
        other => panic!("no event {other}"),
    }
}

#[test]
fn section_17_2_2_every_state_meets_every_event() {
    check_table(
        "
        Trying     | request                | Trying -        | Trying -
        Trying     | user: 1xx              | Proceeding send | Proceeding send
        Trying     | user: 2xx              | Completed send  | gone send
        Trying     | user: 300-699          | Completed send  | gone send
        Trying     | nothing due            | Trying -        | Trying -
        Trying     | timer J, F of the peer | gone -          | gone -
        Proceeding | request                | Proceeding send | Proceeding send
        Proceeding | user: 1xx              | Proceeding send | Proceeding send
        Proceeding | user: 2xx              | Completed send  | gone send
        Proceeding | user: 300-699          | Completed send  | gone send
        Proceeding | nothing due            | Proceeding -    | Proceeding -
        Proceeding | timer J, F of the peer | gone -          | gone -
        Completed  | request                | Completed send  | n/a
        Completed  | user: 1xx              | Completed -     | n/a
        Completed  | user: 2xx              | Completed -     | n/a
        Completed  | user: 300-699          | Completed -     | n/a
        Completed  | nothing due            | Completed -     | n/a
        Completed  | timer J, F of the peer | gone -          | n/a
        ",
        &["Trying", "Proceeding", "Completed"],
        &["request", "user: 1xx", "user: 2xx", "user: 300-699", "nothing due", "timer J, F of the peer"],
        step,
    );
}

#[test]
fn section_17_2_2_timer_j_starts_with_the_final_response() {
    let trying = ServerNonInvite::new(at(0), &TIMERS);
    let (completed, action) = trying.respond(at(10_000), 200, &TIMERS, Transport::Udp);
    assert_eq!(action, ServerAction::Send);
    assert_eq!(completed.unwrap().deadline(), at(42_000));
    for transport in RELIABLE {
        assert_eq!(trying.respond(at(0), 200, &TIMERS, *transport), (None, ServerAction::Send), "0: {transport:?}");
    }
}

#[test]
fn section_4_1_of_rfc_4320_an_answer_that_nobody_waits_for_is_not_sent() {
    let trying = ServerNonInvite::new(at(0), &TIMERS);
    assert_eq!(trying.deadline(), at(32_000), "the client's Timer F");
    let (proceeding, _) = trying.respond(at(10_000), 100, &TIMERS, Transport::Udp);
    assert_eq!(proceeding.unwrap().deadline(), at(32_000), "a provisional response does not move it");
}
