//! INVITE server transaction: RFC 3261 17.2.1, corrected by RFC 6026 7.1 (*Accepted*, Timer L).
//!
//! ```text
//!            INVITE came
//!               v
//!           Proceeding -- 2xx --> Accepted ------------ L -----------> gone
//!     INVITE: response again       2xx of the user: sent                ^
//!               | 300-699            INVITE: absorbed                   |
//!               v                                                       |
//!   G: resend  Completed ----------- H: no ACK came --------------------+
//!     INVITE: response again                                            |
//!               | ACK                                                   |
//!               v                                                       |
//!           Confirmed -------------------------- I ---------------------+
//! ```

use super::{Resend, ServerAction, Timers};
use crate::sip::Transport;
use crate::time::Instant;

/// Its states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerInvite {
    /// No final response yet.
    Proceeding,
    /// 300 to 699 was sent; ACK is awaited.
    Completed {
        /// Timer G: the response again; from T1, doubling up to T2; not over reliable transports.
        g: Option<Resend>,
        /// Timer H: 64 T1 for the ACK to come.
        h: Instant,
    },
    /// ACK came; further ones are absorbed.
    Confirmed {
        /// Timer I: T4.
        i: Instant,
    },
    /// 2xx was sent; the user repeats it until ACK comes (13.3.1.4).
    Accepted {
        /// Timer L: 64 T1.
        l: Instant,
    },
}

impl ServerInvite {
    /// The INVITE came again.
    pub fn request(self) -> ServerAction {
        match self {
            ServerInvite::Proceeding | ServerInvite::Completed { .. } => ServerAction::Send,
            ServerInvite::Confirmed { .. } | ServerInvite::Accepted { .. } => ServerAction::Nothing,
        }
    }

    /// The user sends a response with this status. `ServerAction::Nothing`: it is not to be sent.
    pub fn respond(self, now: Instant, status: u16, timers: &Timers, transport: Transport) -> (Self, ServerAction) {
        use ServerInvite::*;
        match (self, status) {
            (Proceeding, ..=199) => (Proceeding, ServerAction::Send),
            (Proceeding, 200..=299) => (Accepted { l: now + timers.t1_64() }, ServerAction::Send),
            (Proceeding, _) => {
                let g = Resend::first(now, timers.t1, transport);
                (Completed { g, h: now + timers.t1_64() }, ServerAction::Send)
            }
            (Accepted { l }, 200..=299) => (Accepted { l }, ServerAction::Send),
            (state, _) => (state, ServerAction::Nothing),
        }
    }

    /// ACK to a 300-699 came. `None`: the transaction is over.
    pub fn acknowledged(self, now: Instant, timers: &Timers, transport: Transport) -> Option<Self> {
        match (self, transport) {
            (ServerInvite::Completed { .. }, Transport::Udp) => Some(ServerInvite::Confirmed { i: now + timers.t4 }),
            (ServerInvite::Completed { .. }, Transport::Tcp | Transport::Tls) => None,
            (state, _) => Some(state),
        }
    }

    /// A timer may be due.
    pub fn timeout(self, now: Instant, timers: &Timers) -> (Option<Self>, ServerAction) {
        use ServerInvite::*;
        match self {
            Completed { h: end, .. } | Confirmed { i: end } | Accepted { l: end } if end <= now => {
                (None, ServerAction::Nothing)
            }
            Completed { g: Some(g), h } if g.at <= now => {
                (Some(Completed { g: Some(g.doubled(now, Some(timers.t2))), h }), ServerAction::Send)
            }
            state => (Some(state), ServerAction::Nothing),
        }
    }

    /// When the next timer is due.
    pub fn deadline(&self) -> Option<Instant> {
        match self {
            ServerInvite::Proceeding => None,
            ServerInvite::Completed { g, h } => Some(g.map_or(*h, |g| g.at.min(*h))),
            ServerInvite::Confirmed { i: end } | ServerInvite::Accepted { l: end } => Some(*end),
        }
    }
}
