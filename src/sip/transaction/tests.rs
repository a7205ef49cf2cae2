//! RFC 3261 17 and RFC 6026, by section: what each timer does, and every state against every event.
//!
//! The tables are text, one line for each pair of state and event; a pair that is missing fails the
//! test. An event `timer X` wakes the machine when X would be due if it ran; in a state in which it does
//! not run nothing may come of it.

mod client_invite;
mod client_non_invite;
mod matching;
mod server_invite;
mod server_non_invite;

use super::*;
use ClientAction::*;

const TIMERS: Timers =
    Timers { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) };

/// Transports that lose nothing: the machines neither repeat nor linger over them.
const RELIABLE: &[Transport] = &[Transport::Tcp, Transport::Tls];

/// Statuses that stand for the classes, their borders among them.
const PROVISIONAL: [u16; 4] = [100, 101, 180, 199];
const SUCCESS: [u16; 3] = [200, 202, 299];
const REFUSAL: [u16; 6] = [300, 302, 404, 487, 503, 699];

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

/// The word of an action.
fn word(action: ClientAction) -> &'static str {
    match action {
        Nothing => "-",
        Send => "send",
        Deliver => "deliver",
        Acknowledge => "ACK",
        AcknowledgeAndDeliver => "ACK+deliver",
        TimedOut => "timed-out",
    }
}

/// Checks a table of `state | event | over unreliable transports | over reliable ones`. `step` applies
/// an event to a state, both by name, and says what came of it.
fn check_table(table: &str, states: &[&str], events: &[&str], step: impl Fn(&str, &str, Transport) -> String) {
    let mut wrong = Vec::new();
    let mut seen = Vec::new();
    for row in table.lines().filter(|line| !line.trim().is_empty()) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [state, event, unreliable, reliable] = cells[..] else { panic!("no row: {row}") };
        seen.push((state, event));
        let transports = [Transport::Udp].iter().chain(RELIABLE);
        for transport in transports {
            let wanted = if *transport == Transport::Udp { unreliable } else { reliable };
            // `n/a`: a state that this kind of transport never reaches.
            if wanted == "n/a" {
                continue;
            }
            let got = step(state, event, *transport);
            if got != wanted {
                wrong.push(format!("{state}, {event}, {transport:?}: wanted {wanted}, got {got}"));
            }
        }
    }
    let all: Vec<_> = states.iter().flat_map(|s| events.iter().map(move |e| (*s, *e))).collect();
    assert_eq!(seen, all, "every state meets every event, in order");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The one result that several ways to raise the same event must have.
fn agreed(results: impl IntoIterator<Item = String>) -> String {
    let mut results: Vec<String> = results.into_iter().collect();
    results.dedup();
    results.join(" OR ")
}
