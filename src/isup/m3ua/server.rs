//! The application server: whether traffic flows, over whichever association (RFC 4666 4.3.2, figure 4). Kept
//! at both ends, from the states of the processes, so that messages wait while one takes over from another.

use crate::time::{Duration, Instant};

/// The states of figure 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// AS-DOWN: no process is up.
    Down,
    /// AS-INACTIVE: one is up, none is active.
    Inactive,
    /// AS-ACTIVE. The first active process is enough ("smooth start").
    Active,
    /// AS-PENDING: the last active one is gone; messages wait until then, T(r), for another.
    Pending(Instant),
}

/// How many processes there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// That are up, active ones included.
    pub up: usize,
    /// That are active.
    pub active: usize,
}

impl State {
    /// When this state is to be looked at again.
    pub fn deadline(self) -> Option<Instant> {
        match self {
            State::Pending(until) => Some(until),
            _ => None,
        }
    }

    /// Whether messages can be handed over, to be sent or to wait.
    pub fn takes_messages(self) -> bool {
        matches!(self, State::Active | State::Pending(_))
    }

    /// The state after the processes changed, or time went by.
    #[must_use]
    pub fn step(self, now: Instant, census: Census, recovery: Duration) -> State {
        let without_traffic = if census.up > 0 { State::Inactive } else { State::Down };
        match self {
            _ if census.active > 0 => State::Active,         // IA2AC, PN2AC
            State::Active => State::Pending(now + recovery), // AC2PN
            State::Pending(until) if now < until => self,
            State::Pending(_) | State::Inactive | State::Down => without_traffic, // PN2IA, PN2DN, IA2DN, DN2IA
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_meets_every_census_before_and_after_its_time() {
        let now = Instant::from_millis(10_000);
        let recovery = Duration::from_secs(2);
        let (later, due) = (now + Duration::from_millis(1), now);
        let census = [(0, 0), (1, 0), (1, 1), (2, 1)].map(|(up, active)| Census { up, active });
        use State::{Active, Down, Inactive, Pending};
        let wanted = [
            (Down, [Down, Inactive, Active, Active]),
            (Inactive, [Down, Inactive, Active, Active]),
            (Active, [Pending(now + recovery), Pending(now + recovery), Active, Active]),
            (Pending(later), [Pending(later), Pending(later), Active, Active]),
            (Pending(due), [Down, Inactive, Active, Active]),
        ];
        for (state, row) in wanted {
            for (census, next) in census.into_iter().zip(row) {
                assert_eq!(state.step(now, census, recovery), next, "{state:?} {census:?}");
            }
        }
    }
}
