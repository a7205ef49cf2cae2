//! Non-INVITE client transaction: RFC 3261 17.1.2.
//!
//! ```text
//!           request sent
//!               v
//!   E: resend  Trying ------------ F: time-out --------> gone
//!               | 1xx                                     ^
//!               v                                         |
//!   E: resend  Proceeding -------- F: time-out -----------+
//!               | 200-699 (from Trying too)               |
//!               v                                         |
//!           Completed ------------------- K --------------+
//! ```

use super::{ClientAction, Resend, Timers};
use crate::sip::Transport;
use crate::time::Instant;

/// Its states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientNonInvite {
    /// No response yet.
    Trying {
        /// Timer E: from T1, doubling up to T2; not over reliable transports.
        e: Option<Resend>,
        /// Timer F: 64 T1.
        f: Instant,
    },
    /// A provisional response came.
    Proceeding {
        /// Timer E: every T2.
        e: Option<Resend>,
        /// Timer F: goes on.
        f: Instant,
    },
    /// The final response came; repeated ones are absorbed.
    Completed {
        /// Timer K: T4.
        k: Instant,
    },
}

impl ClientNonInvite {
    /// The request has just been sent.
    pub fn new(now: Instant, timers: &Timers, transport: Transport) -> Self {
        ClientNonInvite::Trying { e: Resend::first(now, timers.t1, transport), f: now + timers.t1_64() }
    }

    /// Whether a provisional response has come.
    pub fn is_proceeding(self) -> bool {
        matches!(self, ClientNonInvite::Proceeding { .. })
    }

    /// A response with this status came. `None`: the transaction is over.
    pub fn response(
        self,
        now: Instant,
        status: u16,
        timers: &Timers,
        transport: Transport,
    ) -> (Option<Self>, ClientAction) {
        use ClientNonInvite::*;
        match self {
            Trying { e, f } | Proceeding { e, f } if status < 200 => (Some(Proceeding { e, f }), ClientAction::Deliver),
            Trying { .. } | Proceeding { .. } => match transport {
                Transport::Udp => (Some(Completed { k: now + timers.t4 }), ClientAction::Deliver),
                Transport::Tcp | Transport::Tls => (None, ClientAction::Deliver),
            },
            completed => (Some(completed), ClientAction::Nothing),
        }
    }

    /// Sends no more repetitions: the request has gone elsewhere.
    #[must_use]
    pub fn quiet(self) -> Self {
        match self {
            ClientNonInvite::Trying { f, .. } => ClientNonInvite::Trying { e: None, f },
            state => state,
        }
    }

    /// A timer may be due.
    pub fn timeout(self, now: Instant, timers: &Timers) -> (Option<Self>, ClientAction) {
        use ClientNonInvite::*;
        match self {
            Trying { f, .. } | Proceeding { f, .. } if f <= now => (None, ClientAction::TimedOut),
            Trying { e: Some(e), f } if e.at <= now => {
                (Some(Trying { e: Some(e.doubled(now, Some(timers.t2))), f }), ClientAction::Send)
            }
            Proceeding { e: Some(e), f } if e.at <= now => {
                let e = Resend { at: now + timers.t2, interval: timers.t2 };
                (Some(Proceeding { e: Some(e), f }), ClientAction::Send)
            }
            Completed { k } if k <= now => (None, ClientAction::Nothing),
            state => (Some(state), ClientAction::Nothing),
        }
    }

    /// When the next timer is due.
    pub fn deadline(&self) -> Instant {
        match self {
            ClientNonInvite::Trying { e, f } | ClientNonInvite::Proceeding { e, f } => e.map_or(*f, |e| e.at.min(*f)),
            ClientNonInvite::Completed { k } => *k,
        }
    }
}
