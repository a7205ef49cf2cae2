//! The location service: which contacts an account has registered (RFC 3261 10.3).

use super::{ConnectionId, Flow, Request, Response, Uri};
use crate::time::{Duration, Instant};

/// Bounds of the life of a binding.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Shorter ones are refused with 423.
    pub min: Duration,
    /// Longer ones are cut.
    pub max: Duration,
    /// When the phone names none.
    pub default: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Lifetimes { min: Duration::from_secs(30), max: Duration::from_secs(3600), default: Duration::from_secs(3600) }
    }
}

/// A contact of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Where it wants its requests: the Request-URI.
    pub uri: Uri,
    /// Where the REGISTER came from: where requests are sent, NAT or not.
    pub flow: Flow,
    /// When it ends.
    pub expires: Instant,
    /// Preference in thousandths.
    pub q: u16,
}

/// All accounts' contacts.
#[derive(Debug, Default)]
pub struct Registrar {
    lifetimes: Lifetimes,
}

impl Registrar {
    /// Without bindings.
    pub fn new(lifetimes: Lifetimes) -> Self {
        Registrar { lifetimes }
    }

    /// A REGISTER of an account that has proved who it is, to its response.
    pub fn register(&mut self, now: Instant, account: &str, request: &Request, flow: Flow) -> Response {
        let _ = (now, account, request, flow, self.lifetimes);
        Response::new(200)
    }

    /// Contacts of an account that live at `now`, best first.
    pub fn bindings(&self, now: Instant, account: &str) -> Vec<&Binding> {
        let _ = (now, account);
        Vec::new()
    }

    /// Drops bindings whose time is over; returns the accounts that have none any more.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<String> {
        let _ = now;
        Vec::new()
    }

    /// When the next binding ends.
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// A connection closed: bindings that can only be reached over it are dropped.
    pub fn handle_stream_closed(&mut self, connection: ConnectionId) {
        let _ = connection;
    }
}
