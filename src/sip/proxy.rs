//! The transaction-stateful proxy (RFC 3261 16): one response context for each request that is passed on.
//!
//! ```text
//!   request ──▶ targets of the first preference ──all fail──▶ those of the next ... ──▶ best response
//!                 │ 2xx: at once back, the others CANCEL      │ 6xx: the others CANCEL, no further ones
//!   CANCEL  ──▶ CANCEL to every branch ──▶ 487
//! ```
//! It uses the same transactions as the user agent; what makes it a proxy is that messages pass
//! with their Via, and no dialog is kept. So that requests inside the dialog come this way again,
//! the INVITE gets a Record-Route with a keyed token over its Call-ID: a request whose Route bears
//! another token is not ours, and nobody can use us as an open relay.
//!
//! [`route`] has where a request goes (16.4 to 16.6), [`respond`] which answer goes back (16.7).

mod respond;
mod route;

use super::endpoint::{Endpoint, Owner};
use super::message::{Method, Request, Response};
use super::session::caller::cancel_of;
use super::transaction::{ClientId, ServerId, User};
use super::{Actions, Failure, Flow, NextHop, ProxyId, ServerTransactionId, Uri};
use crate::limits;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;

/// Timer C: "MUST be larger than 3 minutes" (16.6 step 11).
pub const TIMER_C: Duration = Duration::from_secs(181);

/// Where a copy of the request goes.
#[derive(Clone, Debug)]
pub struct ProxyTarget {
    /// Its Request-URI.
    pub uri: Uri,
    /// The way: known, or where a URI leads.
    pub next_hop: NextHop,
}

/// A response context (16.2).
#[derive(Debug)]
pub struct Proxy {
    server: ServerId,
    /// The request as it will be copied: own routes taken off, hops counted down.
    request: Request,
    /// Where it came from.
    came_by: Flow,
    /// Marks our Via, so that the request is known when it comes back unchanged (16.3 step 4).
    loop_mark: String,
    /// Targets that have not been tried, best first.
    untried: VecDeque<Vec<ProxyTarget>>,
    branches: Vec<Branch>,
    /// A final response has gone back; of an INVITE further 2xx still do.
    answered: bool,
    /// Client transactions under way, those of CANCELs included.
    clients: usize,
    pub(super) scheduled: Option<Instant>,
}

/// One copy of the request.
#[derive(Debug)]
struct Branch {
    /// `None`: it could not be sent.
    client: Option<ClientId>,
    state: BranchState,
    /// It was left at a server that said nothing, and the copy went on to the next one: of what comes from there
    /// only a 2xx counts, and what it makes of the request is cancelled.
    left: bool,
}

#[derive(Debug)]
enum BranchState {
    /// No final response yet.
    Waiting {
        /// CANCEL may only follow a provisional response (9.1).
        provisional: bool,
        cancel: Cancel,
        /// Timer C, of an INVITE.
        until: Option<Instant>,
    },
    /// The final response, or the one that stands for none.
    Final(Response),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancel {
    No,
    Wanted,
    Sent,
}

impl Proxy {
    pub(super) fn deadline(&self) -> Option<Instant> {
        let waits = |branch: &Branch| match branch.state {
            BranchState::Waiting { until, .. } => until,
            BranchState::Final(_) => None,
        };
        self.branches.iter().filter_map(waits).min()
    }

    fn branch_of(&mut self, client: ClientId) -> Option<&mut Branch> {
        self.branches.iter_mut().find(|branch| branch.client == Some(client))
    }

    /// Whether the copy of this transaction may go to another server: nobody has cancelled it.
    pub(super) fn may_try_next(&self, client: ClientId) -> bool {
        let branch = self.branches.iter().find(|branch| branch.client == Some(client));
        branch.is_some_and(|branch| matches!(branch.state, BranchState::Waiting { cancel: Cancel::No, .. }))
    }

    /// It goes there, and nothing has been heard from there yet.
    pub(super) fn starts_over(&mut self, client: ClientId) {
        if let Some(BranchState::Waiting { provisional, .. }) = self.branch_of(client).map(|b| &mut b.state) {
            *provisional = false;
        }
    }

    fn is_waiting(&self) -> bool {
        self.branches.iter().any(|branch| !branch.left && matches!(branch.state, BranchState::Waiting { .. }))
    }
}

impl Endpoint {
    /// Passes a request outside of dialogs on to these targets, those of the first group at once, the next
    /// group when all of them have failed. It came by `flow` and waits in `server`.
    pub fn proxy(
        &mut self,
        now: Instant,
        server: ServerTransactionId,
        flow: Flow,
        targets: Vec<Vec<ProxyTarget>>,
        out: &mut Actions,
    ) {
        let Some(request) = self.table.servers.get(server).map(|s| s.request.clone()) else { return };
        self.begin_proxy(now, server, flow, request, targets, out);
    }

    /// `request` is as it came.
    fn begin_proxy(
        &mut self,
        now: Instant,
        server: ServerId,
        flow: Flow,
        request: Request,
        targets: Vec<Vec<ProxyTarget>>,
        out: &mut Actions,
    ) {
        let is_invite = request.method == Method::Invite;
        let loop_mark = self.loop_mark(&request);
        let prepared = match self.prepare(request, &loop_mark) {
            Ok(prepared) => prepared,
            Err(status) => {
                let mut response = Response::new(status);
                if status == 420 {
                    response = response.with_headers(route::unsupported(self.table.servers.get(server)));
                }
                self.tell_passed_on(server, Some(status), out);
                return self.respond(now, server, response, out);
            }
        };
        if is_invite {
            // 16.2: a stateful proxy answers 100 within 200 ms; now is simplest and stops repetitions.
            self.respond(now, server, Response::new(100), out);
        }
        let proxy = Proxy {
            server,
            request: prepared,
            came_by: flow,
            loop_mark,
            untried: targets.into_iter().filter(|group| !group.is_empty()).collect(),
            branches: Vec::new(),
            answered: false,
            clients: 0,
            scheduled: None,
        };
        let id = self.proxies.insert(proxy);
        if let Some(transaction) = self.table.servers.get_mut(server) {
            transaction.proxy = Some(id);
        }
        self.try_next_group(now, id, out);
    }

    /// Says what became of an INVITE, or that a BYE passes.
    fn tell_passed_on(&self, server: ServerId, status: Option<u16>, out: &mut Actions) {
        let method = if status.is_some() { Method::Invite } else { Method::Bye };
        let request = self.table.servers.get(server).map(|server| &server.request);
        if let Some(request) = request.filter(|request| request.method == method) {
            out.events.push(super::Event::PassedOn { server, request: request.clone(), status });
        }
    }

    /// Sends copies to the next targets; without any the best response goes back.
    fn try_next_group(&mut self, now: Instant, id: ProxyId, out: &mut Actions) {
        loop {
            let Some(proxy) = self.proxies.get_mut(id) else { return };
            let Some(group) = proxy.untried.pop_front() else { return self.answer_with_best(now, id, out) };
            for target in group {
                self.send_copy(now, id, target, out);
            }
            let Some(proxy) = self.proxies.get(id) else { return };
            if proxy.is_waiting() {
                return self.schedule(Owner::Proxy(id));
            }
        }
    }

    /// 16.6.
    fn send_copy(&mut self, now: Instant, id: ProxyId, target: ProxyTarget, out: &mut Actions) {
        let Some(proxy) = self.proxies.get(id) else { return };
        if proxy.branches.len() >= limits::BRANCHES_PER_CALL {
            return;
        }
        let is_invite = proxy.request.method == Method::Invite;
        let client = match target.next_hop {
            NextHop::Flow(flow) => match self.proxy_copy(id, target.uri, &flow) {
                Some(copy) => self.start_finished_client(now, flow, copy, User::Proxy(id), out),
                None => None,
            },
            // Each attempt gets a copy of its own, as Via and Record-Route name the way that it takes.
            next_hop => {
                let request = Request { uri: target.uri, ..proxy.request.clone() };
                self.start_client(now, next_hop, request, User::Proxy(id), out)
            }
        };
        let Some(proxy) = self.proxies.get_mut(id) else { return };
        let until = is_invite.then(|| now + TIMER_C);
        let state = match client {
            Some(_) => BranchState::Waiting { provisional: false, cancel: Cancel::No, until },
            // 16.9: a transport that fails counts as 503.
            None => BranchState::Final(Response::new(503)),
        };
        proxy.branches.push(Branch { client, state, left: false });
    }

    /// A copy of an INVITE went on to the next server, and this transaction stays with the one that was silent.
    pub(super) fn leave_copy(&mut self, now: Instant, id: ProxyId, client: ClientId) {
        let until = Some(now + self.timers.t1_64());
        if let Some(proxy) = self.proxies.get_mut(id) {
            let state = BranchState::Waiting { provisional: false, cancel: Cancel::Wanted, until };
            proxy.branches.push(Branch { client: Some(client), state, left: true });
            self.schedule(Owner::Proxy(id));
        }
    }

    /// The copy that goes over a flow.
    pub(super) fn proxy_copy(&mut self, id: ProxyId, uri: Uri, flow: &Flow) -> Option<Request> {
        let proxy = self.proxies.get(id)?;
        let (copy, came_by, loop_mark) = (proxy.request.clone(), proxy.came_by, proxy.loop_mark.clone());
        Some(self.copy_for(copy, uri, flow, &came_by, &loop_mark))
    }

    /// CANCEL came for the request of this context (16.10).
    pub(super) fn proxy_cancelled(&mut self, now: Instant, id: ProxyId, out: &mut Actions) {
        let Some(proxy) = self.proxies.get_mut(id) else { return };
        proxy.untried.clear();
        self.cancel_branches(now, id, out);
    }

    /// Cancels every branch that has no final response.
    fn cancel_branches(&mut self, now: Instant, id: ProxyId, out: &mut Actions) {
        let Some(proxy) = self.proxies.get_mut(id) else { return };
        let is_invite = proxy.request.method == Method::Invite;
        let mut to_cancel = Vec::new();
        for branch in proxy.branches.iter_mut().filter(|_| is_invite) {
            if let BranchState::Waiting { provisional, cancel, until } = &mut branch.state
                && *cancel != Cancel::Sent
            {
                *cancel = if *provisional { Cancel::Sent } else { Cancel::Wanted };
                if *provisional {
                    // 9.1: without a final response within 64 T1 the transaction counts as cancelled.
                    *until = Some(now + self.timers.t1_64());
                    to_cancel.extend(branch.client);
                }
            }
        }
        for client in to_cancel {
            self.send_proxy_cancel(now, id, client, out);
        }
        self.schedule(Owner::Proxy(id));
    }

    fn send_proxy_cancel(&mut self, now: Instant, id: ProxyId, client: ClientId, out: &mut Actions) {
        let Some(transaction) = self.table.clients.get(client) else { return };
        let (cancel, Some(flow)) = (cancel_of(&transaction.request), transaction.sent) else { return };
        self.start_finished_client(now, flow, cancel, User::Proxy(id), out);
    }

    /// A response to a copy, or to a CANCEL, which is of no interest.
    pub(super) fn proxy_answered(
        &mut self,
        now: Instant,
        id: ProxyId,
        client: ClientId,
        response: Response,
        out: &mut Actions,
    ) {
        let Some(proxy) = self.proxies.get_mut(id) else { return };
        let (server, answered) = (proxy.server, proxy.answered);
        let is_invite = proxy.request.method == Method::Invite;
        let Some(branch) = proxy.branch_of(client) else { return };
        let left = branch.left;
        match (response.status, &mut branch.state) {
            (..=100, BranchState::Waiting { provisional, cancel, until })
            | (101..=199, BranchState::Waiting { provisional, cancel, until }) => {
                *provisional = true;
                let is_wanted = *cancel == Cancel::Wanted;
                match cancel {
                    Cancel::Wanted => {
                        *cancel = Cancel::Sent;
                        *until = Some(now + self.timers.t1_64());
                    }
                    // 16.7 step 2: 101 to 199 reset timer C.
                    Cancel::No if response.status > 100 && is_invite => *until = Some(now + TIMER_C),
                    _ => {}
                }
                if is_wanted {
                    self.send_proxy_cancel(now, id, client, out);
                }
                self.schedule(Owner::Proxy(id));
                // 16.7 step 5: 100 is not passed on, and nothing provisional behind a final response.
                if response.status > 100 && !answered && !left {
                    self.relay(now, server, response, out);
                }
            }
            (200..=299, state) => {
                // 16.7 step 5: "any 2xx response to an INVITE" goes back at once, each of them.
                *state = BranchState::Final(Response::new(response.status));
                proxy.untried.clear();
                let first = !std::mem::replace(&mut proxy.answered, true);
                if first {
                    self.tell_passed_on(server, Some(response.status), out);
                }
                if first || is_invite {
                    self.relay(now, server, response, out);
                }
                self.cancel_branches(now, id, out);
            }
            (status, state @ BranchState::Waiting { .. }) => {
                *state = BranchState::Final(response);
                if (600..).contains(&status) && !left {
                    // 16.7 step 5: no new branches, and the pending ones are cancelled.
                    proxy.untried.clear();
                    self.cancel_branches(now, id, out);
                }
                self.branch_over(now, id, out);
            }
            _ => {}
        }
    }

    /// A copy got no answer (16.8, 16.9).
    pub(super) fn proxy_failed(
        &mut self,
        now: Instant,
        id: ProxyId,
        client: ClientId,
        failure: Failure,
        out: &mut Actions,
    ) {
        let Some(branch) = self.proxies.get_mut(id).and_then(|proxy| proxy.branch_of(client)) else { return };
        if matches!(branch.state, BranchState::Waiting { .. }) {
            let status = if failure == Failure::Transport { 503 } else { 408 };
            branch.state = BranchState::Final(Response::new(status));
            self.branch_over(now, id, out);
        }
    }

    /// Timer C of a branch may be due, or the time of a CANCEL.
    pub(super) fn time_proxy(&mut self, now: Instant, id: ProxyId, out: &mut Actions) {
        let Some(proxy) = self.proxies.get_mut(id) else { return };
        let mut to_cancel = Vec::new();
        let mut given_up = Vec::new();
        for branch in &mut proxy.branches {
            let BranchState::Waiting { provisional, cancel, until } = &mut branch.state else { continue };
            if until.is_none_or(|until| until > now) {
                continue;
            }
            if *provisional && *cancel != Cancel::Sent {
                // 16.8: "the proxy MUST generate a CANCEL request matching that branch".
                *cancel = Cancel::Sent;
                *until = Some(now + self.timers.t1_64());
                to_cancel.extend(branch.client);
            } else {
                branch.state = BranchState::Final(Response::new(408));
                given_up.extend(branch.client);
            }
        }
        for client in to_cancel {
            self.send_proxy_cancel(now, id, client, out);
        }
        // 9.1: whoever does not even answer a CANCEL is waited for no longer.
        let is_over = !given_up.is_empty();
        for client in given_up {
            self.drop_client(client);
        }
        if is_over {
            self.branch_over(now, id, out);
        }
        self.schedule(Owner::Proxy(id));
    }

    /// A branch has its final response: the next group, or the best of all.
    fn branch_over(&mut self, now: Instant, id: ProxyId, out: &mut Actions) {
        let Some(proxy) = self.proxies.get(id) else { return };
        if proxy.answered || proxy.is_waiting() {
            return;
        }
        self.try_next_group(now, id, out);
    }

    /// A client transaction of a context is gone, and with the last one the context.
    pub(super) fn release_proxy(&mut self, id: ProxyId) {
        if let Some(proxy) = self.proxies.get_mut(id) {
            proxy.clients = proxy.clients.saturating_sub(1);
            self.sweep_proxy(id);
        }
    }

    /// Counts a client transaction of a context.
    pub(super) fn hold_proxy(&mut self, id: ProxyId) {
        if let Some(proxy) = self.proxies.get_mut(id) {
            proxy.clients += 1;
        }
    }

    fn sweep_proxy(&mut self, id: ProxyId) {
        let is_over = |p: &Proxy| p.clients == 0 && p.answered && !p.is_waiting();
        if self.proxies.get(id).is_some_and(is_over)
            && let Some(proxy) = self.proxies.remove(id)
            && let Some(server) = self.table.servers.get_mut(proxy.server)
        {
            server.proxy = None;
        }
    }
}

#[cfg(test)]
mod tests;
