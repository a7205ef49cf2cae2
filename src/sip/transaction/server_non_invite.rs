//! Non-INVITE server transaction: RFC 3261 17.2.2, with the end that RFC 4320 4.1 gives to late answers.
//!
//! ```text
//!            request came
//!               v
//!            Trying ----- 64 T1: nobody waits any more -----> gone
//!               | 1xx                                          ^
//!               v                                              |
//!           Proceeding -- 64 T1 -------------------------------+
//!     request: response again                                  |
//!               | 200-699 (from Trying too)                    |
//!               v                                              |
//!           Completed -------------------- J ------------------+
//!     request: response again
//! ```

use super::{ServerAction, Timers};
use crate::sip::Transport;
use crate::time::Instant;

/// Its states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerNonInvite {
    /// No response yet.
    Trying {
        /// The client gives up at this time (its Timer F).
        end: Instant,
    },
    /// A provisional response was sent.
    Proceeding {
        /// As before.
        end: Instant,
    },
    /// The final response was sent.
    Completed {
        /// Timer J: 64 T1 over unreliable transports.
        j: Instant,
    },
}

impl ServerNonInvite {
    /// The request has just come.
    pub fn new(now: Instant, timers: &Timers) -> Self {
        ServerNonInvite::Trying { end: now + timers.t1_64() }
    }

    /// The request came again.
    pub fn request(self) -> ServerAction {
        match self {
            ServerNonInvite::Trying { .. } => ServerAction::Nothing,
            ServerNonInvite::Proceeding { .. } | ServerNonInvite::Completed { .. } => ServerAction::Send,
        }
    }

    /// The user sends a response with this status. `None`: the transaction is over.
    pub fn respond(
        self,
        now: Instant,
        status: u16,
        timers: &Timers,
        transport: Transport,
    ) -> (Option<Self>, ServerAction) {
        use ServerNonInvite::*;
        match self {
            Trying { end } | Proceeding { end } if status < 200 => (Some(Proceeding { end }), ServerAction::Send),
            Trying { .. } | Proceeding { .. } => match transport {
                Transport::Udp => (Some(Completed { j: now + timers.t1_64() }), ServerAction::Send),
                Transport::Tcp | Transport::Tls => (None, ServerAction::Send),
            },
            completed => (Some(completed), ServerAction::Nothing),
        }
    }

    /// A timer may be due. `None`: the transaction is over.
    pub fn timeout(self, now: Instant) -> Option<Self> {
        (self.deadline() > now).then_some(self)
    }

    /// When the next timer is due.
    pub fn deadline(&self) -> Instant {
        match self {
            ServerNonInvite::Trying { end } | ServerNonInvite::Proceeding { end } => *end,
            ServerNonInvite::Completed { j } => *j,
        }
    }
}
