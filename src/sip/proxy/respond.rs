//! Which answer goes back (RFC 3261 16.7).

use super::super::endpoint::Endpoint;
use super::super::message::{Header, HeaderName, Response};
use super::super::parser::split_list;
use super::super::transaction::{ServerAction, ServerId, ServerMachine};
use super::super::{Actions, ProxyId};
use super::{BranchState, Proxy};
use crate::time::Instant;

impl Endpoint {
    /// All branches have failed: the best of their responses (16.7 steps 6 to 9).
    pub(super) fn answer_with_best(&mut self, now: Instant, id: ProxyId, out: &mut Actions) {
        let Some(proxy) = self.proxies.get_mut(id) else { return };
        if std::mem::replace(&mut proxy.answered, true) {
            return;
        }
        let server = proxy.server;
        let best = best_of(proxy);
        let status = best.as_ref().map_or(480, |response| response.status);
        self.tell_passed_on(server, Some(status), out);
        match best {
            // What was made here has no Via to take off.
            Some(response) if response.headers.has(&HeaderName::Via) => self.relay(now, server, response, out),
            Some(response) => self.respond(now, server, response, out),
            // Nobody could be asked at all (16.5: "the proxy SHOULD return a 480").
            None => self.respond(now, server, Response::new(480), out),
        }
        self.sweep_proxy(id);
    }

    /// Passes a response on without our Via (16.7 steps 3 and 9), as far as the transaction allows.
    pub(super) fn relay(&mut self, now: Instant, server: ServerId, mut response: Response, out: &mut Actions) {
        remove_top_via(&mut response);
        let Some(transaction) = self.table.servers.get_mut(server) else { return };
        let (status, transport) = (response.status, transaction.flow.transport);
        let (next, action) = match transaction.machine {
            ServerMachine::Invite(machine) => {
                let (next, action) = machine.respond(now, status, &self.timers, transport);
                (Some(ServerMachine::Invite(next)), action)
            }
            ServerMachine::NonInvite(machine) => {
                let (next, action) = machine.respond(now, status, &self.timers, transport);
                (next.map(ServerMachine::NonInvite), action)
            }
        };
        if let Some(machine) = next {
            transaction.machine = machine;
        }
        if action == ServerAction::Send {
            transaction.last = response.to_bytes();
            self.send_again(now, server, out);
        }
        match next {
            Some(_) => self.schedule(super::Owner::Server(server)),
            None => drop(self.table.remove_server(server)),
        }
    }
}

/// The best final response of a context whose branches have all failed.
fn best_of(proxy: &Proxy) -> Option<Response> {
    let finals = proxy.branches.iter().filter(|branch| !branch.left).filter_map(|branch| match &branch.state {
        BranchState::Final(response) => Some(response),
        BranchState::Waiting { .. } => None,
    });
    let best = finals.clone().min_by_key(|response| rank(response.status))?;
    let mut best = best.clone();
    // 16.7 step 6: "A proxy which receives a 503 (Service Unavailable) response SHOULD NOT forward it".
    if best.status == 503 {
        return Some(Response::new(500));
    }
    // Step 7: the challenges of all branches, so that the caller can answer each of them.
    if matches!(best.status, 401 | 407) {
        let challenge = |h: &&Header| matches!(h.name, HeaderName::WwwAuthenticate | HeaderName::ProxyAuthenticate);
        best.headers.remove(&HeaderName::WwwAuthenticate);
        best.headers.remove(&HeaderName::ProxyAuthenticate);
        let challenges =
            finals.filter(|r| matches!(r.status, 401 | 407)).flat_map(|r| r.headers.iter().filter(challenge));
        best = best.with_headers(challenges.cloned());
    }
    Some(best)
}

/// Step 6: 6xx first, then the lowest class; within 4xx what tells the caller how to do better.
fn rank(status: u16) -> (u16, u16, u16) {
    match status {
        600.. => (0, 0, status),
        401 | 407 | 415 | 420 | 484 => (4, 0, status),
        // Cancelled and timed-out branches say least.
        408 | 487 => (4, 2, status),
        _ => (status / 100, 1, status),
    }
}

fn remove_top_via(response: &mut Response) {
    let Some(at) = response.headers.0.iter().position(|h| h.name == HeaderName::Via) else { return };
    let field = &mut response.headers.0[at];
    let others: Vec<&[u8]> = split_list(&field.value).skip(1).collect();
    if others.is_empty() {
        response.headers.0.remove(at);
    } else {
        field.value = others.join(&b", "[..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_response_is_chosen_by_16_7_step_6() {
        let best = |statuses: &[u16]| statuses.iter().copied().min_by_key(|status| rank(*status)).unwrap();
        assert_eq!(best(&[486, 603, 302]), 603);
        assert_eq!(best(&[486, 302]), 302);
        assert_eq!(best(&[404, 486, 407]), 407);
        assert_eq!(best(&[487, 408, 486]), 486);
        assert_eq!(best(&[503, 480]), 480);
    }

    #[test]
    fn only_the_topmost_via_is_taken_off() {
        let mut response = Response::new(200)
            .with(HeaderName::Via, "SIP/2.0/UDP a;branch=1, SIP/2.0/UDP b;branch=2")
            .with(HeaderName::Via, "SIP/2.0/UDP c");
        remove_top_via(&mut response);
        let vias: Vec<_> = response.headers.all(&HeaderName::Via).collect();
        assert_eq!(vias, [&b"SIP/2.0/UDP b;branch=2"[..], b"SIP/2.0/UDP c"]);
        remove_top_via(&mut response);
        remove_top_via(&mut response);
        assert!(!response.headers.has(&HeaderName::Via));
    }
}
