//! The other end's process, at the side that accepts associations: a signalling gateway process, or the IPSP
//! that is called (RFC 4666 4.3.1, figure 3). A function of (state, event).

use super::asp::{Action, Actions};
use super::error::Code;
use super::wire::Kind;

/// The states of figure 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// ASP-DOWN: there is an association, and nothing was said.
    Down,
    /// ASP-INACTIVE.
    Inactive,
    /// ASP-ACTIVE.
    Active,
}

impl State {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            State::Down => "down",
            State::Inactive => "inactive",
            State::Active => "active",
        }
    }
}

/// What the other end says, or what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// ASPUP.
    Up,
    /// ASPDN.
    Down,
    /// ASPAC that can be granted.
    Active,
    /// ASPIA.
    Inactive,
    /// Another process is active instead of it.
    Overridden,
    /// DATA, or about destinations: what only an active process may say.
    Traffic,
    /// A message of our side: an acknowledgement that nothing waits for.
    Misplaced,
}

impl Event {
    /// All.
    pub const ALL: [Event; 7] =
        [Event::Up, Event::Down, Event::Active, Event::Inactive, Event::Overridden, Event::Traffic, Event::Misplaced];
}

/// One step: the next state, and what is answered.
pub fn step(state: State, event: Event) -> (State, Actions) {
    use Action::{Refuse, Say};
    use Event as E;
    use State as S;
    let unexpected = Refuse(Code::UNEXPECTED_MESSAGE);
    let (next, list): (State, &[Action]) = match (state, event) {
        // 4.3.4.1: acknowledged in every state; when active with an error, and inactive from then on.
        (S::Active, E::Up) => (S::Inactive, &[Say(Kind::ASPUP_ACK), unexpected]),
        (_, E::Up) => (S::Inactive, &[Say(Kind::ASPUP_ACK)]),
        // 4.3.4.2: "even if the ASP is already marked as ASP-DOWN".
        (_, E::Down) => (S::Down, &[Say(Kind::ASPDN_ACK)]),
        (S::Down, E::Active | E::Inactive) => (S::Down, &[unexpected]),
        (_, E::Active) => (S::Active, &[Say(Kind::ASPAC_ACK)]),
        (_, E::Inactive) => (S::Inactive, &[Say(Kind::ASPIA_ACK)]),
        (S::Active, E::Overridden) => (S::Inactive, &[Say(Kind::NTFY)]),
        (_, E::Overridden) => (state, &[]),
        (_, E::Traffic) => (state, &[]),
        (S::Down, E::Misplaced) => (state, &[]),
        (_, E::Misplaced) => (state, &[unexpected]),
    };
    (next, list.iter().copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_state_and_event_goes_where_the_table_says() {
        use Action::{Refuse, Say};
        use State::{Active, Down, Inactive};
        let error = Refuse(Code::UNEXPECTED_MESSAGE);
        let ack = Say;
        type Row = [(State, Vec<Action>); 7];
        let wanted: [(State, Row); 3] = [
            (
                Down,
                [
                    (Inactive, vec![ack(Kind::ASPUP_ACK)]),
                    (Down, vec![ack(Kind::ASPDN_ACK)]),
                    (Down, vec![error]),
                    (Down, vec![error]),
                    (Down, vec![]),
                    (Down, vec![]),
                    (Down, vec![]),
                ],
            ),
            (
                Inactive,
                [
                    (Inactive, vec![ack(Kind::ASPUP_ACK)]),
                    (Down, vec![ack(Kind::ASPDN_ACK)]),
                    (Active, vec![ack(Kind::ASPAC_ACK)]),
                    (Inactive, vec![ack(Kind::ASPIA_ACK)]),
                    (Inactive, vec![]),
                    (Inactive, vec![]),
                    (Inactive, vec![error]),
                ],
            ),
            (
                Active,
                [
                    (Inactive, vec![ack(Kind::ASPUP_ACK), error]),
                    (Down, vec![ack(Kind::ASPDN_ACK)]),
                    (Active, vec![ack(Kind::ASPAC_ACK)]),
                    (Inactive, vec![ack(Kind::ASPIA_ACK)]),
                    (Inactive, vec![Say(Kind::NTFY)]),
                    (Active, vec![]),
                    (Active, vec![error]),
                ],
            ),
        ];
        for (state, row) in wanted {
            for (event, (next, actions)) in Event::ALL.into_iter().zip(row) {
                let (found, done) = step(state, event);
                assert_eq!((found, done.to_vec()), (next, actions), "{state:?} {event:?}");
            }
        }
    }
}
