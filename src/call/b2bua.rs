//! The machine that joins two legs: a function of (state, side, event).
//!
//! ```text
//!            ACM, CPG from B            ANM from B
//!   Setup ───────────────────▶ Alerting ───────────▶ Answered
//!     │  └──── CON (ANM) from B ──────────────────────▲ │
//!     │                           │                     │
//!     └── REL from A or B, or an order to release ──────┘
//!                       │
//!                       ▼
//!        Releasing(whose RLC is awaited) ── RLC ──▶ Ended
//! ```
//!
//! Rules of Q.764 2.3 as far as RFC 3398 retells them: the side that releases gets RLC at once, the
//! other side gets REL and owes RLC; when two RELs cross, each is answered by RLC.
//!
//! It does not know what a leg is, where its audio goes, or which number was dialled.

use crate::trunk::{CalledStatus, Progress, Release, TrunkEvent};

/// One of the two legs of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The calling leg.
    A,
    /// The called leg.
    B,
}

impl Side {
    /// The other leg.
    pub fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }
}

/// Who still owes an RLC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owes {
    /// One side.
    One(Side),
    /// Both.
    Both,
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// IAM came from A and went to B; B said nothing yet.
    Setup,
    /// B said ACM.
    Alerting,
    /// B answered.
    Answered,
    /// REL is under way.
    Releasing(Owes),
    /// Both sides are through.
    Ended,
}

/// What the call has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Say this to the leg of that side.
    Send(Side, TrunkEvent),
    /// The two sides hear each other from now on, if they did not before.
    OpenAudio,
    /// The release that everybody will be told; audio ends. Once a call.
    Released(Side, Release),
    /// Nothing is left to do. Once a call.
    End,
}

/// The next state and what to do, when `event` came from `side`.
///
/// An event that does not fit the state changes nothing and does nothing.
pub fn step(state: State, side: Side, event: TrunkEvent) -> (State, Vec<Action>) {
    use Action::{OpenAudio, Send};
    match (state, side, event) {
        (State::Setup | State::Alerting | State::Answered, side, TrunkEvent::Rel(release)) => (
            State::Releasing(Owes::One(side.other())),
            vec![
                Action::Released(side, release),
                Send(side, TrunkEvent::Rlc),
                Send(side.other(), TrunkEvent::Rel(release)),
            ],
        ),
        (State::Setup, Side::B, TrunkEvent::Acm { status, in_band }) => {
            (State::Alerting, early(TrunkEvent::Acm { status, in_band }, in_band))
        }
        // A notice that comes before the address is complete is passed on and changes nothing: the
        // call still waits for its ACM. Where ISUP has no such CPG, the ISUP leg waits with it.
        (State::Setup, Side::B, TrunkEvent::Cpg { event, in_band })
            if !in_band && (event.is_forwarding() || event == Progress::Queued) =>
        {
            (State::Setup, vec![Send(Side::A, TrunkEvent::Cpg { event, in_band })])
        }
        // A CPG that came first says what an ACM with that status would have said.
        (State::Setup, Side::B, TrunkEvent::Cpg { event, in_band }) => {
            let status = match event {
                Progress::Alerting => CalledStatus::SubscriberFree,
                _ => CalledStatus::NoIndication,
            };
            (State::Alerting, early(TrunkEvent::Acm { status, in_band }, in_band))
        }
        (State::Setup, Side::B, TrunkEvent::Con | TrunkEvent::Anm) => {
            (State::Answered, vec![OpenAudio, Send(Side::A, TrunkEvent::Con)])
        }
        (State::Alerting, Side::B, TrunkEvent::Cpg { event, in_band }) => {
            (State::Alerting, early(TrunkEvent::Cpg { event, in_band }, in_band))
        }
        (State::Alerting, Side::B, TrunkEvent::Acm { status, in_band }) => {
            let event = match status {
                CalledStatus::SubscriberFree => Progress::Alerting,
                CalledStatus::NoIndication => Progress::Progress,
            };
            (State::Alerting, early(TrunkEvent::Cpg { event, in_band }, in_band))
        }
        (State::Alerting, Side::B, TrunkEvent::Anm | TrunkEvent::Con) => {
            (State::Answered, vec![OpenAudio, Send(Side::A, TrunkEvent::Anm)])
        }
        // More digits than the IAM had: for whoever is called while nobody is there yet (Q.764 2.1.2).
        (State::Setup, Side::A, event @ TrunkEvent::Sam(_)) => (State::Setup, vec![Send(Side::B, event)]),
        // Either telephone may be hung up for a while (Q.764 2.4.1 user, 2.4.2 network): the other side decides
        // what that means to it.
        (State::Answered, side, event @ (TrunkEvent::Sus { .. } | TrunkEvent::Res { .. })) => {
            (State::Answered, vec![Send(side.other(), event)])
        }
        (State::Releasing(owes), side, TrunkEvent::Rlc) => through(owes, side, Vec::new()),
        // Two RELs crossed: each is answered, and ends what that side owed.
        (State::Releasing(owes), side, TrunkEvent::Rel(_)) => through(owes, side, vec![Send(side, TrunkEvent::Rlc)]),
        (state, ..) => (state, Vec::new()),
    }
}

/// The next state and what to do, when the call itself decides to end: an operator, a timer, a
/// failed route. `b_exists` says whether a called leg was made.
pub fn release(state: State, release: Release, b_exists: bool) -> (State, Vec<Action>) {
    match state {
        State::Setup | State::Alerting | State::Answered => {
            let mut actions = vec![Action::Released(Side::B, release), Action::Send(Side::A, TrunkEvent::Rel(release))];
            if !b_exists {
                return (State::Releasing(Owes::One(Side::A)), actions);
            }
            actions.push(Action::Send(Side::B, TrunkEvent::Rel(release)));
            (State::Releasing(Owes::Both), actions)
        }
        State::Releasing(_) | State::Ended => (state, Vec::new()),
    }
}

fn early(event: TrunkEvent, in_band: bool) -> Vec<Action> {
    let mut actions = Vec::with_capacity(2);
    if in_band {
        actions.push(Action::OpenAudio);
    }
    actions.push(Action::Send(Side::A, event));
    actions
}

fn through(owes: Owes, side: Side, mut actions: Vec<Action>) -> (State, Vec<Action>) {
    match owes {
        Owes::Both => (State::Releasing(Owes::One(side.other())), actions),
        Owes::One(owing) if owing == side => {
            actions.push(Action::End);
            (State::Ended, actions)
        }
        Owes::One(_) => (State::Releasing(owes), actions),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trunk::Cause;

    const FREE: TrunkEvent = TrunkEvent::Acm { status: CalledStatus::SubscriberFree, in_band: false };
    const REL: TrunkEvent = TrunkEvent::Rel(Release { cause: Cause::BUSY, location: crate::trunk::Location::User });

    fn every_event() -> Vec<TrunkEvent> {
        let mut events = vec![TrunkEvent::Anm, TrunkEvent::Con, REL, TrunkEvent::Rlc];
        for in_band in [false, true] {
            for status in [CalledStatus::NoIndication, CalledStatus::SubscriberFree] {
                events.push(TrunkEvent::Acm { status, in_band });
            }
            for event in
                [Progress::Alerting, Progress::Progress, Progress::InBand, Progress::Forwarded, Progress::Queued]
            {
                events.push(TrunkEvent::Cpg { event, in_band });
            }
        }
        let called = "101".to_owned();
        events.push(TrunkEvent::Iam(crate::trunk::Iam { called, ..crate::trunk::Iam::default() }));
        events
    }

    fn every_state() -> [State; 7] {
        [
            State::Setup,
            State::Alerting,
            State::Answered,
            State::Releasing(Owes::One(Side::A)),
            State::Releasing(Owes::One(Side::B)),
            State::Releasing(Owes::Both),
            State::Ended,
        ]
    }

    #[track_caller]
    fn check(events: &[(Side, TrunkEvent)], state: State, last_actions: &[Action]) {
        let (mut now, mut actions) = (State::Setup, Vec::new());
        for (side, event) in events {
            (now, actions) = step(now, *side, event.clone());
        }
        assert_eq!(now, state);
        assert_eq!(actions, last_actions);
    }

    #[test]
    fn a_call_that_rings_and_is_answered_passes_acm_and_anm() {
        check(&[(Side::B, FREE)], State::Alerting, &[Action::Send(Side::A, FREE)]);
        check(
            &[(Side::B, FREE), (Side::B, TrunkEvent::Anm)],
            State::Answered,
            &[Action::OpenAudio, Action::Send(Side::A, TrunkEvent::Anm)],
        );
    }

    #[test]
    fn an_answer_without_acm_is_a_con() {
        for answer in [TrunkEvent::Con, TrunkEvent::Anm] {
            let actions = [Action::OpenAudio, Action::Send(Side::A, TrunkEvent::Con)];
            check(&[(Side::B, answer)], State::Answered, &actions);
        }
    }

    #[test]
    fn in_band_information_opens_the_audio_before_the_answer() {
        let announce = TrunkEvent::Acm { status: CalledStatus::NoIndication, in_band: true };
        let actions = [Action::OpenAudio, Action::Send(Side::A, announce.clone())];
        check(&[(Side::B, announce)], State::Alerting, &actions);
    }

    #[test]
    fn a_call_that_is_forwarded_before_it_rings_still_waits_for_its_acm() {
        for event in [Progress::Forwarded, Progress::Queued] {
            let notice = TrunkEvent::Cpg { event, in_band: false };
            check(&[(Side::B, notice.clone())], State::Setup, &[Action::Send(Side::A, notice.clone())]);
            check(&[(Side::B, notice), (Side::B, FREE)], State::Alerting, &[Action::Send(Side::A, FREE)]);
        }
    }

    #[test]
    fn a_release_is_answered_and_passed_on_and_ends_with_the_other_sides_rlc() {
        for side in [Side::A, Side::B] {
            for before in [vec![], vec![(Side::B, FREE)], vec![(Side::B, FREE), (Side::B, TrunkEvent::Anm)]] {
                let mut events = before;
                events.push((side, REL));
                let release = Release::user(Cause::BUSY);
                let actions = [
                    Action::Released(side, release),
                    Action::Send(side, TrunkEvent::Rlc),
                    Action::Send(side.other(), REL),
                ];
                check(&events, State::Releasing(Owes::One(side.other())), &actions);
                events.push((side.other(), TrunkEvent::Rlc));
                check(&events, State::Ended, &[Action::End]);
            }
        }
    }

    #[test]
    fn crossing_releases_end_the_call_once() {
        let events = [(Side::A, REL), (Side::B, REL)];
        check(&events, State::Ended, &[Action::Send(Side::B, TrunkEvent::Rlc), Action::End]);
    }

    #[test]
    fn the_calling_side_cannot_answer_or_progress_its_own_call() {
        for state in every_state() {
            for event in every_event() {
                if !matches!(event, TrunkEvent::Rel(_) | TrunkEvent::Rlc) {
                    assert_eq!(step(state, Side::A, event), (state, vec![]));
                }
            }
        }
    }

    #[test]
    fn in_every_state_every_event_keeps_the_rules() {
        for state in every_state() {
            for side in [Side::A, Side::B] {
                for event in every_event() {
                    let (next, actions) = step(state, side, event.clone());
                    let told = actions.iter().filter(|a| matches!(a, Action::Released(..))).count();
                    let was_up = matches!(state, State::Setup | State::Alerting | State::Answered);
                    let is_up = matches!(next, State::Setup | State::Alerting | State::Answered);
                    assert_eq!(told == 1, was_up && !is_up, "{state:?} {side:?} {event:?}: one release");
                    assert_eq!(
                        actions.contains(&Action::End),
                        state != State::Ended && next == State::Ended,
                        "{state:?} {side:?} {event:?}: one end"
                    );
                    if state == State::Ended {
                        assert_eq!((next, actions.len()), (State::Ended, 0));
                    }
                    assert!(was_up || !is_up, "{state:?} {side:?} {event:?}: nobody comes back to life");
                }
            }
        }
    }

    #[test]
    fn an_order_to_release_tells_the_legs_that_exist() {
        let order = Release::here(Cause::NORMAL);
        for state in [State::Setup, State::Alerting, State::Answered] {
            let (next, actions) = release(state, order, true);
            assert_eq!((next, actions.len()), (State::Releasing(Owes::Both), 3));
            let (next, _) = step(next, Side::B, TrunkEvent::Rlc);
            assert_eq!(next, State::Releasing(Owes::One(Side::A)));
            assert_eq!(step(next, Side::A, TrunkEvent::Rlc), (State::Ended, vec![Action::End]));
        }
        let (next, actions) = release(State::Setup, order, false);
        assert_eq!((next, actions.len()), (State::Releasing(Owes::One(Side::A)), 2));
        assert_eq!(release(State::Ended, order, true), (State::Ended, vec![]));
        assert_eq!(release(next, order, true), (next, vec![]));
    }
}
