//! Whether trunks are there: OPTIONS at a steady interval (RFC 3261 11), for trunks with `keepalive`.
//!
//! Any answer but 503 says that somebody is there (a peer that knows no OPTIONS says 405 or 501). A trunk
//! that is silent or refuses is passed over by routes until it answers again.

use super::{Gateway, Owner, Step};
use crate::config::Config;
use crate::sip::{Failure, Host, Method, NameAddr, OutgoingRequest, RequestId, Response, Uri};
use crate::time::{Duration, Instant};
use tracing::{info, warn};

/// How a trunk answered last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// It was not asked yet.
    #[default]
    Unknown,
    /// It answered.
    Reachable,
    /// It said 503.
    Refusing,
    /// It did not answer, or could not be sent to.
    Silent,
}

impl Reach {
    /// In words, for operators.
    pub fn as_str(self) -> &'static str {
        match self {
            Reach::Unknown => "not asked yet",
            Reach::Reachable => "reachable",
            Reach::Refusing => "refuses calls",
            Reach::Silent => "does not answer",
        }
    }

    /// Whether routes use it.
    pub fn is_usable(self) -> bool {
        matches!(self, Reach::Unknown | Reach::Reachable)
    }
}

#[derive(Debug)]
struct Asked {
    /// Index of the trunk.
    trunk: usize,
    every: Duration,
    reach: Reach,
    next: Option<Instant>,
    request: Option<RequestId>,
}

/// The trunks that are asked.
#[derive(Debug, Default)]
pub(super) struct Keepalives(Vec<Asked>);

impl Keepalives {
    pub(super) fn new(config: &Config, now: Instant) -> Keepalives {
        let trunks = config.trunks.iter().enumerate().filter(|(_, trunk)| !trunk.to.is_empty());
        let asked = trunks.filter_map(|(index, trunk)| {
            let every = trunk.profile.keepalive?;
            Some(Asked { trunk: index, every, reach: Reach::Unknown, next: Some(now), request: None })
        });
        Keepalives(asked.collect())
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.iter().filter_map(|asked| asked.next).min()
    }

    fn reach(&self, trunk: usize) -> Option<Reach> {
        self.0.iter().find(|asked| asked.trunk == trunk).map(|asked| asked.reach)
    }
}

impl Gateway {
    /// How the trunk of this name answered last; `None` when it is not asked.
    pub fn trunk_reach(&self, name: &str) -> Option<Reach> {
        self.keepalives.reach(self.config.trunks.iter().position(|trunk| trunk.name == name)?)
    }

    /// Asks the trunks whose time has come.
    pub(super) fn handle_keepalives(&mut self, step: &mut Step<'_>) {
        let is_due = |asked: &&mut Asked| asked.next.is_some_and(|at| at <= step.now);
        let due: Vec<usize> = self.keepalives.0.iter_mut().filter(is_due).map(|asked| asked.trunk).collect();
        for trunk in due {
            let request = self.ask(trunk, step);
            if let Some(asked) = self.keepalives.0.iter_mut().find(|asked| asked.trunk == trunk) {
                (asked.request, asked.next) = (request, None);
                if request.is_none() {
                    (asked.reach, asked.next) = (Reach::Silent, Some(step.now + asked.every));
                }
            }
        }
        self.schedule_keepalives();
    }

    pub(super) fn schedule_keepalives(&mut self) {
        if let Some(at) = self.keepalives.deadline() {
            self.deadlines.schedule(at, Owner::Keepalives);
        }
    }

    fn ask(&mut self, trunk: usize, step: &mut Step<'_>) -> Option<RequestId> {
        let trunk = self.config.trunks.get(trunk)?;
        let way = self.way_to(trunk)?;
        let target = super::carriers::uri_at(trunk, None)?;
        let from = Uri::sip(Some("tipring"), Host::from_text(&self.config.sip.domain), None);
        let request = OutgoingRequest {
            method: Method::Options,
            to: NameAddr::new(target.clone()),
            target,
            next_hop: way.next_hop,
            from: NameAddr::new(from),
            contact_user: Some("tipring".to_owned()),
            sequence: None,
            headers: way.route,
            body: None,
            credentials: super::carriers::credentials(trunk),
        };
        Some(self.endpoint.request(step.now, request, &mut step.sip))
    }

    /// A trunk answered, or did not.
    pub(super) fn keepalive_answered(&mut self, request: RequestId, outcome: &Result<Response, Failure>, now: Instant) {
        let Some(asked) = self.keepalives.0.iter_mut().find(|asked| asked.request == Some(request)) else { return };
        let reach = match outcome {
            Ok(response) if response.status == 503 => Reach::Refusing,
            Ok(response) if response.status == 408 => Reach::Silent,
            Ok(_) => Reach::Reachable,
            Err(_) => Reach::Silent,
        };
        let before = std::mem::replace(&mut asked.reach, reach);
        (asked.request, asked.next) = (None, Some(now + asked.every));
        let name = self.config.trunks.get(asked.trunk).map_or("", |trunk| trunk.name.as_str());
        match (before.is_usable(), reach.is_usable()) {
            (true, false) => warn!(trunk = name, state = reach.as_str(), "trunk lost"),
            (false, true) => info!(trunk = name, state = reach.as_str(), "trunk is back"),
            _ => {}
        }
        self.schedule_keepalives();
    }
}
