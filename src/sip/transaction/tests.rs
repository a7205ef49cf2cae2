use super::*;
use ClientAction::*;

const TIMERS: Timers =
    Timers { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) };

/// Runs a machine by its own deadlines until it is gone; returns when it did what, in milliseconds.
fn run<M: Copy>(
    mut machine: M,
    deadline: impl Fn(&M) -> Option<Instant>,
    timeout: impl Fn(M, Instant) -> (Option<M>, bool),
) -> (Vec<u64>, Option<u64>) {
    let mut sent = Vec::new();
    while let Some(at) = deadline(&machine) {
        let ms = at.as_nanos() / 1_000_000;
        let (next, send) = timeout(machine, at);
        if send {
            sent.push(ms);
        }
        match next {
            Some(next) => machine = next,
            None => return (sent, Some(ms)),
        }
    }
    (sent, None)
}

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

fn run_client_invite(machine: ClientInvite) -> (Vec<u64>, Option<u64>) {
    run(machine, ClientInvite::deadline, |m, now| {
        let (next, action) = m.timeout(now);
        assert_eq!(next.is_none() && matches!(m, ClientInvite::Calling { .. }), action == TimedOut);
        (next, action == Send)
    })
}

#[test]
fn an_invite_is_repeated_at_doubling_intervals_and_given_up_after_64_t1() {
    let (sent, end) = run_client_invite(ClientInvite::new(at(0), &TIMERS, Transport::Udp));
    assert_eq!(sent, [500, 1500, 3500, 7500, 15500, 31500]);
    assert_eq!(end, Some(32_000));
    let (sent, end) = run_client_invite(ClientInvite::new(at(0), &TIMERS, Transport::Tcp));
    assert_eq!((sent, end), (vec![], Some(32_000)), "no repetition over TCP");
}

#[test]
fn an_invite_that_rings_is_not_repeated() {
    let calling = ClientInvite::new(at(0), &TIMERS, Transport::Udp);
    let (next, action) = calling.response(at(100), 180, &TIMERS, Transport::Udp);
    assert_eq!((next, action), (Some(ClientInvite::Proceeding { until: None }), Deliver));
    let proceeding = next.unwrap();
    assert_eq!(proceeding.deadline(), None);
    assert_eq!(proceeding.bounded(at(9)).bounded(at(99)).timeout(at(9)), (None, TimedOut));
}

#[test]
fn a_refusal_is_acknowledged_each_time_and_delivered_once() {
    let calling = ClientInvite::new(at(0), &TIMERS, Transport::Udp);
    let (next, action) = calling.response(at(100), 486, &TIMERS, Transport::Udp);
    assert_eq!(action, AcknowledgeAndDeliver);
    let completed = next.unwrap();
    assert_eq!(completed.response(at(200), 486, &TIMERS, Transport::Udp), (Some(completed), Acknowledge));
    assert_eq!(completed.response(at(200), 200, &TIMERS, Transport::Udp), (Some(completed), Nothing));
    assert_eq!(run_client_invite(completed), (vec![], Some(32_100)), "Timer D");
    assert_eq!(calling.response(at(100), 486, &TIMERS, Transport::Tcp).0, None, "Timer D is 0 over TCP");
}

#[test]
fn every_2xx_reaches_the_user_until_timer_m() {
    let (next, action) = ClientInvite::Proceeding { until: None }.response(at(100), 200, &TIMERS, Transport::Tcp);
    assert_eq!(action, Deliver);
    let accepted = next.unwrap();
    assert_eq!(accepted.response(at(200), 200, &TIMERS, Transport::Tcp), (next, Deliver));
    assert_eq!(accepted.response(at(200), 486, &TIMERS, Transport::Tcp), (next, Nothing));
    assert_eq!(run_client_invite(accepted), (vec![], Some(32_100)));
}

fn run_client_non_invite(machine: ClientNonInvite) -> (Vec<u64>, Option<u64>) {
    run(
        machine,
        |m| Some(m.deadline()),
        |m, now| {
            let (next, action) = m.timeout(now, &TIMERS);
            (next, action == Send)
        },
    )
}

#[test]
fn other_requests_are_repeated_up_to_every_t2() {
    let trying = ClientNonInvite::new(at(0), &TIMERS, Transport::Udp);
    let (sent, end) = run_client_non_invite(trying);
    assert_eq!(sent, [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500]);
    assert_eq!(end, Some(32_000));
    let (proceeding, action) = trying.response(at(100), 100, &TIMERS, Transport::Udp);
    assert_eq!(action, Deliver);
    let (sent, end) = run_client_non_invite(proceeding.unwrap());
    assert_eq!(sent[..3], [500, 4500, 8500], "Timer E is T2 once a provisional response came");
    assert_eq!(end, Some(32_000));
}

#[test]
fn a_final_response_is_delivered_once_and_absorbed_for_t4() {
    let trying = ClientNonInvite::new(at(0), &TIMERS, Transport::Udp);
    let (next, action) = trying.response(at(100), 200, &TIMERS, Transport::Udp);
    assert_eq!(action, Deliver);
    let completed = next.unwrap();
    assert_eq!(completed.response(at(200), 200, &TIMERS, Transport::Udp), (next, Nothing));
    assert_eq!(run_client_non_invite(completed), (vec![], Some(5_100)), "Timer K");
    assert_eq!(trying.response(at(100), 200, &TIMERS, Transport::Tcp), (None, Deliver));
}

fn run_server_invite(machine: ServerInvite) -> (Vec<u64>, Option<u64>) {
    run(machine, ServerInvite::deadline, |m, now| {
        let (next, action) = m.timeout(now, &TIMERS);
        (next, action == ServerAction::Send)
    })
}

#[test]
fn a_refused_invite_repeats_its_response_until_ack_or_timer_h() {
    let (completed, _) = ServerInvite::Proceeding.respond(at(0), 486, &TIMERS, Transport::Udp);
    let (sent, end) = run_server_invite(completed);
    assert_eq!(sent, [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500]);
    assert_eq!(end, Some(32_000));
    assert_eq!(completed.request(), ServerAction::Send);
    let confirmed = completed.acknowledged(at(100), &TIMERS, Transport::Udp).unwrap();
    assert_eq!(confirmed.request(), ServerAction::Nothing);
    assert_eq!(run_server_invite(confirmed), (vec![], Some(5_100)), "Timer I");
    assert_eq!(completed.acknowledged(at(100), &TIMERS, Transport::Tcp), None);
}

#[test]
fn an_accepted_invite_absorbs_repetitions_and_lets_the_user_repeat_2xx() {
    assert_eq!(ServerInvite::Proceeding.request(), ServerAction::Send, "the last provisional response again");
    let (accepted, action) = ServerInvite::Proceeding.respond(at(0), 200, &TIMERS, Transport::Udp);
    assert_eq!(action, ServerAction::Send);
    assert_eq!(accepted.request(), ServerAction::Nothing);
    assert_eq!(accepted.respond(at(1), 200, &TIMERS, Transport::Udp), (accepted, ServerAction::Send));
    assert_eq!(accepted.respond(at(1), 487, &TIMERS, Transport::Udp), (accepted, ServerAction::Nothing));
    assert_eq!(accepted.acknowledged(at(1), &TIMERS, Transport::Udp), Some(accepted));
    assert_eq!(run_server_invite(accepted), (vec![], Some(32_000)), "Timer L");
}

#[test]
fn another_request_repeats_its_response_on_demand_only() {
    let trying = ServerNonInvite::new(at(0), &TIMERS);
    assert_eq!(trying.request(), ServerAction::Nothing);
    let (proceeding, _) = trying.respond(at(0), 100, &TIMERS, Transport::Udp);
    assert_eq!(proceeding.unwrap().request(), ServerAction::Send);
    let (completed, action) = proceeding.unwrap().respond(at(0), 200, &TIMERS, Transport::Udp);
    assert_eq!(action, ServerAction::Send);
    assert_eq!(completed.unwrap().request(), ServerAction::Send);
    assert_eq!(completed.unwrap().respond(at(1), 500, &TIMERS, Transport::Udp).1, ServerAction::Nothing);
    assert_eq!(completed.unwrap().timeout(at(31_999)), completed);
    assert_eq!(completed.unwrap().timeout(at(32_000)), None, "Timer J");
    assert_eq!(trying.respond(at(0), 200, &TIMERS, Transport::Tcp), (None, ServerAction::Send));
    assert_eq!(trying.timeout(at(32_000)), None, "nobody waits for an answer any more");
}

fn message(method: &str, via: &str, to_tag: &str, uri: &str) -> Vec<u8> {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: {via}\r\nFrom: <sip:b@h>;tag=f\r\nTo: <sip:a@h>{to_tag}\r\nCall-ID: c\r\nCSeq: 7 {method}\r\n\r\n"
    )
    .into_bytes()
}

fn add(table: &mut Table, bytes: &[u8]) -> ServerId {
    let flow = Flow {
        transport: Transport::Udp,
        local: "127.0.0.1:5060".parse().unwrap(),
        remote: "127.0.0.2:5060".parse().unwrap(),
        connection: None,
    };
    let message = crate::sip::parser::parse(bytes).unwrap();
    let request = message.to_request().unwrap();
    table.add_server(at(0), &TIMERS, flow, &message, request, "ours".to_owned())
}

fn find(table: &Table, bytes: &[u8]) -> Option<ServerId> {
    let message = crate::sip::parser::parse(bytes).unwrap();
    table.server_of(&message, &message.cseq.method.clone())
}

#[test]
fn requests_find_their_transaction_by_branch_sent_by_and_method() {
    let mut table = Table::new(|| 1);
    let via = "SIP/2.0/UDP Host:5060;branch=z9hG4bKx";
    let id = add(&mut table, &message("INVITE", via, "", "sip:a@h"));
    assert_eq!(find(&table, &message("INVITE", via, "", "sip:a@h")), Some(id));
    assert_eq!(find(&table, &message("ACK", "SIP/2.0/UDP host;branch=z9hG4bKx", ";tag=any", "sip:other@h")), Some(id));
    assert_eq!(find(&table, &message("INVITE", "SIP/2.0/UDP host:5061;branch=z9hG4bKx", "", "sip:a@h")), None);
    assert_eq!(find(&table, &message("INVITE", "SIP/2.0/UDP host;branch=z9hG4bKX", "", "sip:a@h")), None);
    assert_eq!(find(&table, &message("CANCEL", via, "", "sip:a@h")), None, "a CANCEL is a transaction of its own");
    let cancel = message("CANCEL", via, "", "sip:a@h");
    assert_eq!(table.cancelled_by(&crate::sip::parser::parse(&cancel).unwrap()), Some(id));
    table.remove_server(id);
    assert_eq!(find(&table, &message("INVITE", via, "", "sip:a@h")), None);
}

#[test]
fn requests_without_unique_branch_match_as_in_rfc_2543() {
    for via in ["SIP/2.0/UDP host", "SIP/2.0/UDP host;branch=1", "SIP/2.0/UDP host;branch=z9hG4bK"] {
        let mut table = Table::new(|| 1);
        let id = add(&mut table, &message("INVITE", via, "", "sip:a@h"));
        assert_eq!(find(&table, &message("INVITE", via, "", "sip:a@h")), Some(id));
        assert_eq!(find(&table, &message("INVITE", via, "", "sip:other@h")), None);
        assert_eq!(find(&table, &message("INVITE", "SIP/2.0/UDP host2", "", "sip:a@h")), None);
        assert_eq!(find(&table, &message("ACK", via, ";tag=ours", "sip:a@h")), Some(id));
        assert_eq!(find(&table, &message("ACK", via, ";tag=theirs", "sip:a@h")), None);
        let cancel = message("CANCEL", via, "", "sip:a@h");
        assert_eq!(table.cancelled_by(&crate::sip::parser::parse(&cancel).unwrap()), Some(id));
    }
}

#[test]
fn the_same_request_on_another_way_is_merged() {
    let mut table = Table::new(|| 1);
    let id = add(&mut table, &message("INVITE", "SIP/2.0/UDP host;branch=z9hG4bKx", "", "sip:a@h"));
    let is_merged = |table: &Table, bytes: &[u8]| table.is_merged(&crate::sip::parser::parse(bytes).unwrap());
    let other = "SIP/2.0/UDP host;branch=z9hG4bKy";
    assert!(is_merged(&table, &message("INVITE", other, "", "sip:a@h")));
    assert!(!is_merged(&table, &message("INVITE", other, ";tag=x", "sip:a@h")));
    table.remove_server(id);
    assert!(!is_merged(&table, &message("INVITE", other, "", "sip:a@h")));
}
