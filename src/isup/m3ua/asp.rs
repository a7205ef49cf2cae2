//! Our own application server process over one association (RFC 4666 4.3): which of its states we are in, and
//! what is said to get to the next one. A function of (state, event); it knows no message but by its name.
//!
//! ```text
//!   Waiting ──▶ Connecting ──▶ Rising ──▶ Inactive ◀──▶ Activating ──▶ Active
//!      ▲          association    ASPUP        │             ASPAC         │ withdrawn
//!      └── lost, refused, silent ─────────────┴──────────────┬────────────┘
//!                                               Down ◀── Falling ◀── Deactivating
//!                                                         ASPDN          ASPIA
//! ```
//!
//! Requests are repeated each T(ack); a peer that stays silent loses the association, and the next one is tried
//! after a while that grows.

use super::error::Code;
use super::wire::Kind;
use crate::limits;
use crate::time::{Duration, Instant};
use smallvec::SmallVec;

/// A request that waits for its acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// When T(ack) ends.
    pub until: Instant,
    /// How often it may still be repeated.
    pub repeats: u8,
}

/// Where we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is no association; the next is tried at this time.
    Waiting(Instant),
    /// The transport tries to set one up, until then.
    Connecting(Instant),
    /// ASPUP waits for its acknowledgement: ASP-DOWN.
    Rising(Pending),
    /// ASP-INACTIVE.
    Inactive {
        /// Another process has the traffic, or the peer wants none: becoming active is not ours to decide.
        held: bool,
    },
    /// ASPAC waits for its acknowledgement: still ASP-INACTIVE.
    Activating(Pending),
    /// ASP-ACTIVE.
    Active,
    /// ASPIA waits for its acknowledgement, since we withdraw.
    Deactivating(Pending),
    /// ASPDN waits for its acknowledgement, since we withdraw.
    Falling(Pending),
    /// Withdrawn, for good.
    Down,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The time of the state has come.
    Due,
    /// The association is there.
    Opened,
    /// It is gone, or could not be set up.
    Lost,
    /// This process is to carry traffic.
    Activate,
    /// This process is to end.
    Withdraw,
    /// ASPUP ACK.
    UpAck,
    /// ASPDN ACK.
    DownAck,
    /// ASPAC ACK for our routing context.
    ActiveAck,
    /// ASPIA ACK for our routing context.
    InactiveAck,
    /// NTFY: another process is active instead of us.
    Overridden,
    /// NTFY: nobody is active.
    Wanted,
    /// The peer says ASPUP; between IPSPs either side may (4.3.4.1.2).
    PeerUp,
    /// The peer says ASPDN.
    PeerDown,
    /// The peer says ASPAC.
    PeerActive,
    /// The peer says ASPIA.
    PeerInactive,
}

impl Event {
    /// All.
    pub const ALL: [Event; 15] = [
        Event::Due,
        Event::Opened,
        Event::Lost,
        Event::Activate,
        Event::Withdraw,
        Event::UpAck,
        Event::DownAck,
        Event::ActiveAck,
        Event::InactiveAck,
        Event::Overridden,
        Event::Wanted,
        Event::PeerUp,
        Event::PeerDown,
        Event::PeerActive,
        Event::PeerInactive,
    ];
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Set up the association.
    Connect,
    /// Give it up.
    Close,
    /// Say this.
    Say(Kind),
    /// Say ERR with this code.
    Refuse(Code),
}

/// In the order in which they are to be done.
pub type Actions = SmallVec<[Action; 4]>;

/// What a step depends on beside state and event.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// T(ack).
    pub ack: Duration,
    /// How long to wait before the next association, should one be needed.
    pub pause: Duration,
}

impl State {
    /// When [`Event::Due`] is due.
    pub fn deadline(self) -> Option<Instant> {
        match self {
            State::Waiting(at) | State::Connecting(at) => Some(at),
            State::Rising(p) | State::Activating(p) | State::Deactivating(p) | State::Falling(p) => Some(p.until),
            State::Inactive { .. } | State::Active | State::Down => None,
        }
    }

    /// Whether DATA may come: ASP-ACTIVE, and while an acknowledgement that says so may be on its way, since it
    /// takes another stream (4.3.4.3).
    pub fn takes_data(self) -> bool {
        matches!(self, State::Activating(_) | State::Active | State::Deactivating(_))
    }

    /// Whether there is an association.
    pub fn has_association(self) -> bool {
        !matches!(self, State::Waiting(_) | State::Connecting(_) | State::Down)
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            State::Waiting(_) => "no association",
            State::Connecting(_) => "connecting",
            State::Rising(_) => "coming up",
            State::Inactive { held: false } => "inactive",
            State::Inactive { held: true } => "inactive, another is active",
            State::Activating(_) => "becoming active",
            State::Active => "active",
            State::Deactivating(_) | State::Falling(_) => "going down",
            State::Down => "down",
        }
    }
}

/// One step: the next state, and what is to be done.
pub fn step(now: Instant, state: State, event: Event, around: Surroundings) -> (State, Actions) {
    use Action::{Close, Connect, Refuse, Say};
    use Event as E;
    use State as S;
    let mut actions = Actions::new();
    let asked = || Pending { until: now + around.ack, repeats: limits::M3UA_REPEATS };
    let waiting = S::Waiting(now + around.pause);
    let mut done = |state: State, list: &[Action]| {
        actions.extend_from_slice(list);
        state
    };
    let next = match (state, event) {
        // Over, or at its end.
        (S::Down, E::Opened) | (S::Waiting(_), E::Opened) => done(state, &[Close]),
        (S::Down, _) => state,
        (S::Deactivating(_) | S::Falling(_), E::Lost) => S::Down,
        (S::Waiting(_), E::Withdraw) => S::Down,
        (S::Connecting(_) | S::Rising(_), E::Withdraw) => done(S::Down, &[Close]),
        (S::Inactive { .. } | S::Activating(_), E::Withdraw) => done(S::Falling(asked()), &[Say(Kind::ASPDN)]),
        (S::Active, E::Withdraw) => done(S::Deactivating(asked()), &[Say(Kind::ASPIA)]),
        (S::Deactivating(_), E::InactiveAck | E::PeerInactive) => {
            let acknowledged: &[Action] = if event == E::PeerInactive { &[Say(Kind::ASPIA_ACK)] } else { &[] };
            done(state, acknowledged);
            done(S::Falling(asked()), &[Say(Kind::ASPDN)])
        }
        (S::Deactivating(_) | S::Falling(_), E::DownAck) => done(S::Down, &[Close]),
        (S::Deactivating(_) | S::Falling(_), E::PeerDown) => done(S::Down, &[Say(Kind::ASPDN_ACK), Close]),
        (S::Deactivating(_) | S::Falling(_), E::PeerActive) => done(state, &[Refuse(Code::MANAGEMENT_BLOCKING)]),

        // The association.
        (S::Waiting(_), E::Due) => done(S::Connecting(now + limits::M3UA_CONNECT_TIME), &[Connect]),
        (S::Waiting(_), _) => state,
        (S::Connecting(_), E::Due) => done(waiting, &[Close]),
        // 4.3.4.1: after the association is there, ASPUP is the first to be said.
        (S::Connecting(_), E::Opened) => done(S::Rising(asked()), &[Say(Kind::ASPUP)]),
        (_, E::Lost) => waiting,
        (S::Connecting(_), _) | (_, E::Opened) => state,

        // T(ack), 4.3.4.1 to 4.3.4.4.
        (S::Rising(p), E::Due) => match again(now, p, around) {
            Some(pending) => done(S::Rising(pending), &[Say(Kind::ASPUP)]),
            None => done(waiting, &[Close]),
        },
        (S::Activating(p), E::Due) => match again(now, p, around) {
            Some(pending) => done(S::Activating(pending), &[Say(Kind::ASPAC)]),
            None => done(waiting, &[Close]),
        },
        (S::Deactivating(p), E::Due) => match again(now, p, around) {
            Some(pending) => done(S::Deactivating(pending), &[Say(Kind::ASPIA)]),
            None => done(S::Falling(asked()), &[Say(Kind::ASPDN)]),
        },
        (S::Falling(p), E::Due) => match again(now, p, around) {
            Some(pending) => done(S::Falling(pending), &[Say(Kind::ASPDN)]),
            None => done(S::Down, &[Close]),
        },
        (S::Inactive { .. } | S::Active, E::Due) => state,

        // Acknowledgements.
        (S::Rising(_), E::UpAck) => S::Inactive { held: false },
        // 4.3.4.1: unexpected, "it SHOULD send an Error message and then initiate procedures to return itself to
        // its previous state".
        (S::Active, E::UpAck) => done(S::Activating(asked()), &[Refuse(Code::UNEXPECTED_MESSAGE), Say(Kind::ASPAC)]),
        // 4.3.4.2: without ASPDN, "consider itself to be in the ASP-DOWN state" and return to where it was.
        (S::Inactive { .. } | S::Activating(_) | S::Active, E::DownAck) => {
            done(S::Rising(asked()), &[Say(Kind::ASPUP)])
        }
        (S::Activating(_), E::ActiveAck) => S::Active,
        // 4.3.4.4: without ASPIA, return to the previous state.
        (S::Active, E::InactiveAck) => done(S::Activating(asked()), &[Say(Kind::ASPAC)]),

        // Who carries the traffic.
        (S::Inactive { held: false }, E::Activate) => done(S::Activating(asked()), &[Say(Kind::ASPAC)]),
        // 4.3.4.3: "MUST consider itself now in the ASP-INACTIVE state".
        (S::Inactive { .. } | S::Activating(_) | S::Active, E::Overridden) => S::Inactive { held: true },
        (S::Inactive { .. }, E::Wanted) => S::Inactive { held: false },

        // The other IPSP asks (single exchange, 4.3.4.1.2, 4.3.4.3.1, 4.3.4.4.1).
        (S::Active, E::PeerUp) => {
            let list = [Say(Kind::ASPUP_ACK), Refuse(Code::UNEXPECTED_MESSAGE), Say(Kind::ASPAC)];
            done(S::Activating(asked()), &list)
        }
        (_, E::PeerUp) => done(state, &[Say(Kind::ASPUP_ACK)]),
        (S::Rising(_), E::PeerActive | E::PeerInactive) => done(state, &[Refuse(Code::UNEXPECTED_MESSAGE)]),
        (S::Inactive { .. } | S::Activating(_) | S::Active, E::PeerActive) => done(S::Active, &[Say(Kind::ASPAC_ACK)]),
        (S::Inactive { .. } | S::Activating(_) | S::Active, E::PeerInactive) => {
            done(S::Inactive { held: true }, &[Say(Kind::ASPIA_ACK)])
        }
        (S::Falling(_), E::PeerInactive) => done(state, &[Say(Kind::ASPIA_ACK)]),
        // The peer has gone down; whether it comes back is asked when T(ack) ends.
        (_, E::PeerDown) => done(S::Rising(asked()), &[Say(Kind::ASPDN_ACK)]),

        // Late, repeated, or without a meaning here.
        (_, E::Activate | E::Withdraw | E::UpAck | E::DownAck | E::ActiveAck | E::InactiveAck) => state,
        (_, E::Overridden | E::Wanted) => state,
    };
    (next, actions)
}

/// T(ack) once more; `None` when it has been repeated often enough.
fn again(now: Instant, pending: Pending, around: Surroundings) -> Option<Pending> {
    let repeats = pending.repeats.checked_sub(1)?;
    Some(Pending { until: now + around.ack, repeats })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_millis(1_000);
    const AROUND: Surroundings = Surroundings { ack: Duration::from_secs(2), pause: Duration::from_secs(5) };

    fn pending(repeats: u8) -> Pending {
        Pending { until: NOW, repeats }
    }

    /// Two letters of the state.
    fn short(state: State) -> &'static str {
        match state {
            State::Waiting(_) => "wa",
            State::Connecting(_) => "co",
            State::Rising(_) => "ri",
            State::Inactive { held: false } => "in",
            State::Inactive { held: true } => "he",
            State::Activating(_) => "ag",
            State::Active => "ac",
            State::Deactivating(_) => "dg",
            State::Falling(_) => "fa",
            State::Down => "do",
        }
    }

    fn said(actions: &[Action]) -> String {
        let word = |action: &Action| match *action {
            Action::Connect => "+".to_owned(),
            Action::Close => "-".to_owned(),
            Action::Refuse(code) => format!("e{}", code.value()),
            Action::Say(kind) => match kind {
                Kind::ASPUP => "U",
                Kind::ASPUP_ACK => "u",
                Kind::ASPDN => "D",
                Kind::ASPDN_ACK => "d",
                Kind::ASPAC => "A",
                Kind::ASPAC_ACK => "a",
                Kind::ASPIA => "I",
                Kind::ASPIA_ACK => "i",
                _ => "?",
            }
            .to_owned(),
        };
        actions.iter().map(word).collect::<Vec<_>>().join(",")
    }

    /// Every pair. A row is a state, a column an event in the order of [`Event::ALL`]; a cell is the next state and
    /// what is said: capital letters requests, small ones acknowledgements, e errors, + and - the association.
    /// `.` stands for nothing at all.
    #[rustfmt::skip]
    const TABLE: &str = "
        state Due   Opened Lost Activ Withd UpAck   DnAck AcAck IaAck Ovrr Want PeerUp    PeerDn   PeerAc  PeerIa
        wa    co:+  wa:-   .    .     do    .       .     .     .     .    .    .         .        .       .
        co    wa:-  ri:U   wa   .     do:-  .       .     .     .     .    .    .         .        .       .
        ri    ri:U  .      wa   .     do:-  in      .     .     .     .    .    ri:u      ri:d     ri:e6   ri:e6
        in    .     .      wa   ag:A  fa:D  .       ri:U  .     .     he   .    in:u      ri:d     ac:a    he:i
        he    .     .      wa   .     fa:D  .       ri:U  .     .     .    in   he:u      ri:d     ac:a    he:i
        ag    ag:A  .      wa   .     fa:D  .       ri:U  ac    .     he   .    ag:u      ri:d     ac:a    he:i
        ac    .     .      wa   .     dg:I  ag:e6,A ri:U  .     ag:A  he   .    ag:u,e6,A ri:d     ac:a    he:i
        dg    dg:I  .      do   .     .     .       do:-  .     fa:D  .    .    dg:u      do:d,-   dg:e13  fa:i,D
        fa    fa:D  .      do   .     .     .       do:-  .     .     .    .    fa:u      do:d,-   fa:e13  fa:i
        do    .     do:-   .    .     .     .       .     .     .     .    .    .         .        .       .
    ";

    fn states() -> [State; 10] {
        [
            State::Waiting(NOW),
            State::Connecting(NOW),
            State::Rising(pending(2)),
            State::Inactive { held: false },
            State::Inactive { held: true },
            State::Activating(pending(2)),
            State::Active,
            State::Deactivating(pending(2)),
            State::Falling(pending(2)),
            State::Down,
        ]
    }

    #[test]
    fn every_pair_of_state_and_event_goes_where_the_table_says() {
        let rows: Vec<Vec<&str>> =
            TABLE.lines().map(|row| row.split_whitespace().collect()).filter(|row: &Vec<_>| !row.is_empty()).collect();
        let mut pairs = 0;
        for (row, state) in rows[1..].iter().zip(states()) {
            assert_eq!(row[0], short(state));
            for (cell, event) in row[1..].iter().zip(Event::ALL) {
                let (next, actions) = step(NOW, state, event, AROUND);
                let (wanted, words) = cell.split_once(':').unwrap_or((cell, ""));
                let wanted = if *cell == "." { short(state) } else { wanted };
                assert_eq!((short(next), said(&actions).as_str()), (wanted, words), "{state:?} {event:?}");
                if *cell == "." {
                    assert_eq!(next, state, "{event:?}");
                }
                pairs += 1;
            }
        }
        assert_eq!(pairs, 150);
    }

    #[test]
    fn a_silent_peer_is_asked_some_times_and_then_given_up() {
        for (state, first) in [
            (State::Rising(pending(limits::M3UA_REPEATS)), "U"),
            (State::Activating(pending(limits::M3UA_REPEATS)), "A"),
        ] {
            let mut state = state;
            for _ in 0..limits::M3UA_REPEATS {
                let (next, actions) = step(NOW, state, Event::Due, AROUND);
                assert_eq!(said(&actions), first);
                assert_eq!(next.deadline(), Some(NOW + AROUND.ack));
                state = next;
            }
            let (next, actions) = step(NOW, state, Event::Due, AROUND);
            assert_eq!((next, said(&actions).as_str()), (State::Waiting(NOW + AROUND.pause), "-"));
        }
        let (next, actions) = step(NOW, State::Deactivating(pending(0)), Event::Due, AROUND);
        assert_eq!((short(next), said(&actions).as_str()), ("fa", "D"));
        let (next, actions) = step(NOW, State::Falling(pending(0)), Event::Due, AROUND);
        assert_eq!((short(next), said(&actions).as_str()), ("do", "-"));
    }
}
