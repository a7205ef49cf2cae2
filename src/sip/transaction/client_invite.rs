//! INVITE client transaction: RFC 3261 17.1.1, corrected by RFC 6026 7.2 (*Accepted*, Timer M).
//!
//! ```text
//!           INVITE sent
//!               v
//!   A: resend  Calling ----------- B: time-out --------------> gone
//!               | 1xx                                            ^
//!               v                                                |
//!           Proceeding -- 2xx --> Accepted --------- M ----------+
//!               |                  2xx: to the user              |
//!               | 300-699: ACK                                   |
//!               v                                                |
//!           Completed --------------------------------- D -------+
//!             300-699: ACK again
//! ```
//! 2xx and 300-699 leave Calling in the same way. ACK to a 2xx is the user's (13.2.2.4).

use super::{ClientAction, Resend, Timers};
use crate::sip::Transport;
use crate::time::Instant;

/// Its states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientInvite {
    /// No response yet.
    Calling {
        /// Timer A: when the INVITE is sent again; from T1, doubling; not over reliable transports.
        a: Option<Resend>,
        /// Timer B: 64 T1.
        b: Instant,
    },
    /// A provisional response came.
    Proceeding {
        /// RFC 3261 has no timer here: the user limits how long it rings, by this or otherwise.
        until: Option<Instant>,
    },
    /// 300 to 699 came and is acknowledged.
    Completed {
        /// Timer D: as long as the server may repeat its response.
        d: Instant,
    },
    /// 2xx came.
    Accepted {
        /// Timer M: 64 T1, in which 2xx of other branches of a fork are awaited.
        m: Instant,
    },
}

impl ClientInvite {
    /// The INVITE has just been sent.
    pub fn new(now: Instant, timers: &Timers, transport: Transport) -> Self {
        ClientInvite::Calling { a: Resend::first(now, timers.t1, transport), b: now + timers.t1_64() }
    }

    /// Whether a provisional response has come.
    pub fn is_proceeding(self) -> bool {
        matches!(self, ClientInvite::Proceeding { .. })
    }

    /// A response with this status came. `None`: the transaction is over.
    pub fn response(
        self,
        now: Instant,
        status: u16,
        timers: &Timers,
        transport: Transport,
    ) -> (Option<Self>, ClientAction) {
        use ClientInvite::*;
        match (self, status) {
            (Calling { .. }, ..=199) => (Some(Proceeding { until: None }), ClientAction::Deliver),
            (Proceeding { until }, ..=199) => (Some(Proceeding { until }), ClientAction::Deliver),
            (Calling { .. } | Proceeding { .. }, 200..=299) => {
                (Some(Accepted { m: now + timers.t1_64() }), ClientAction::Deliver)
            }
            (Calling { .. } | Proceeding { .. }, _) => {
                // "Timer D: at least 32 s for unreliable transports, 0 s for reliable ones" (17.1.1.2);
                // 32 s are 64 T1 of the default T1, which is what the server waits.
                let next = match transport {
                    Transport::Udp => Some(Completed { d: now + timers.t1_64() }),
                    Transport::Tcp | Transport::Tls => None,
                };
                (next, ClientAction::AcknowledgeAndDeliver)
            }
            (Completed { d }, 300..) => (Some(Completed { d }), ClientAction::Acknowledge),
            (Accepted { m }, 200..=299) => (Some(Accepted { m }), ClientAction::Deliver),
            (state, _) => (Some(state), ClientAction::Nothing),
        }
    }

    /// Gives up at this time if it still waits for a final response then and no other time was set.
    #[must_use]
    pub fn bounded(self, until: Instant) -> Self {
        match self {
            ClientInvite::Proceeding { until: None } => ClientInvite::Proceeding { until: Some(until) },
            state => state,
        }
    }

    /// Sends no more repetitions: the request has gone elsewhere, and this server is not to be woken.
    #[must_use]
    pub fn quiet(self) -> Self {
        match self {
            ClientInvite::Calling { b, .. } => ClientInvite::Calling { a: None, b },
            state => state,
        }
    }

    /// A timer may be due.
    pub fn timeout(self, now: Instant) -> (Option<Self>, ClientAction) {
        use ClientInvite::*;
        match self {
            Calling { b: end, .. } | Proceeding { until: Some(end) } if end <= now => (None, ClientAction::TimedOut),
            Calling { a: Some(a), b } if a.at <= now => {
                (Some(Calling { a: Some(a.doubled(now, None)), b }), ClientAction::Send)
            }
            Completed { d: end } | Accepted { m: end } if end <= now => (None, ClientAction::Nothing),
            state => (Some(state), ClientAction::Nothing),
        }
    }

    /// When the next timer is due.
    pub fn deadline(&self) -> Option<Instant> {
        match self {
            ClientInvite::Calling { a, b } => Some(a.map_or(*b, |a| a.at.min(*b))),
            ClientInvite::Proceeding { until } => *until,
            ClientInvite::Completed { d: end } | ClientInvite::Accepted { m: end } => Some(*end),
        }
    }
}
