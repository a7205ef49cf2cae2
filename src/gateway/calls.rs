//! Calls: legs told and heard, and what the B2BUA machine decides carried out.

use super::{Gateway, Owner, Step, Work};
use crate::call::b2bua::{self, Action, Side, State};
use crate::call::branches::BranchId;
use crate::call::leg::{self, Leg, SipLeg};
use crate::call::record::ReleasedBy;
use crate::call::{Call, CallId};
use crate::gateway::{Output, WorkerId};
use crate::sip::{Body, Carried, Ended, Header, HeaderName, Response, SessionId};
use crate::trunk::interwork;
use crate::trunk::{Cause, Iam, Location, Release, TrunkEvent};
use tracing::{debug, info};

impl Gateway {
    /// Makes a call of an IAM that came from leg `a`, and routes it.
    pub(super) fn begin_call(&mut self, origin: String, iam: Iam, a: Leg, step: &mut Step<'_>) {
        let id = self.new_call(origin, iam, a, step);
        if let Err(release) = self.route_call(id, step) {
            self.release_call(id, release, step);
        }
        self.touch_call(id);
    }

    /// Makes a call that goes nowhere yet.
    pub(super) fn new_call(&mut self, origin: String, iam: Iam, a: Leg, step: &mut Step<'_>) -> CallId {
        self.calls_begun += 1;
        let number = self.calls_begun;
        let give_up_at = step.now + Self::ANSWER_WITHIN;
        let worker = match &a {
            Leg::Line(port) => WorkerId(port.card.0),
            _ => self.software_worker(),
        };
        info!(
            call = number, from = %origin, called = %iam.called,
            calling = iam.calling.as_deref().unwrap_or("-"), "call begins"
        );
        let session = match &a {
            Leg::Sip(leg) => Some((leg.session, leg.stream)),
            _ => None,
        };
        let port = match &a {
            Leg::Line(port) => Some(*port),
            _ => None,
        };
        let circuit = match &a {
            Leg::Circuit { group, cic } => Some((*group, *cic)),
            _ => None,
        };
        let diversions = iam.diversions.clone();
        let id = self.calls.insert(Call {
            number,
            state: State::Setup,
            a,
            b: None,
            fork: None,
            origin,
            target: None,
            iam,
            worker,
            began_at: step.now,
            answered_at: None,
            give_up_at: Some(give_up_at),
            audio_open: false,
            released: None,
            status: None,
            said_in_isup: None,
            translations: Vec::new(),
            diversions,
            refusal: None,
            redirected_to: Vec::new(),
            transfer: None,
            refers: 0,
            transferred_by: None,
            referred_by: None,
            first_party: false,
        });
        self.deadlines.schedule(give_up_at, Owner::Call(id));
        if let Some((session, stream)) = session {
            self.sessions.insert(session, (id, Side::A));
            self.own_stream(stream, id);
        }
        if let Some(port) = port.and_then(|port| self.ports.get_mut(&port)) {
            port.call = Some((id, Side::A));
        }
        if let Some((group, cic)) = circuit {
            self.circuits.take_seat(group, cic, id, Side::A);
        }
        id
    }

    /// Whether there is room for one more call.
    pub(super) fn has_room(&self) -> bool {
        !self.draining && self.calls.len() < self.config.calls_max
    }

    /// The worker for calls without a line.
    pub(super) fn software_worker(&self) -> WorkerId {
        WorkerId(u16::try_from(self.config.cards.len()).unwrap_or(u16::MAX))
    }

    /// A leg said something: the machine decides, or the fork that it belongs to.
    pub(super) fn handle_trunk(&mut self, id: CallId, side: Side, event: TrunkEvent, step: &mut Step<'_>) {
        if side == Side::B && matches!(event, TrunkEvent::Rel(_)) && self.transferor_left(id, step) {
            return;
        }
        self.join_machine(id, side, event, step);
    }

    /// The machine that joins two legs hears something.
    pub(super) fn join_machine(&mut self, id: CallId, side: Side, event: TrunkEvent, step: &mut Step<'_>) {
        let Some(call) = self.calls.get_mut(id) else { return };
        debug!(call = call.number, leg = ?side, ?event, state = ?call.state, "trunk event");
        let was = call.state;
        let (state, actions) = b2bua::step(call.state, side, event);
        call.state = state;
        if was != State::Alerting && state == State::Alerting {
            let to = call.target.as_deref().unwrap_or("-");
            info!(call = call.number, to, "call rings");
        }
        if was != State::Answered && state == State::Answered {
            call.answered_at = Some(step.now);
            call.give_up_at = None;
            let to = call.target.as_deref().unwrap_or("-");
            let after_ms = u64::try_from(step.now.since(call.began_at).as_millis()).unwrap_or(u64::MAX);
            info!(call = call.number, to, after_ms, "call answered");
        }
        self.touch_call(id);
        self.carry_out(id, actions, step);
    }

    /// The call itself decides to end.
    pub(super) fn release_call(&mut self, id: CallId, release: Release, step: &mut Step<'_>) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let (state, actions) = b2bua::release(call.state, release, call.b.is_some() || call.fork.is_some());
        call.state = state;
        if let Some(at) = call.released.is_none().then_some(step.now) {
            // A called side that refuses before it has a leg (busy) still is the one who decided.
            let is_user = release.location == Location::User;
            let by = if is_user { ReleasedBy::Callee } else { ReleasedBy::Gateway };
            call.released = Some((release, by, at));
        }
        self.touch_call(id);
        self.carry_out(id, actions, step);
    }

    /// The time to answer is over (T9), or a drain goes on.
    pub(super) fn handle_call_timeout(&mut self, id: CallId, step: &mut Step<'_>) {
        let Some(call) = self.calls.get(id).filter(|call| call.is_up()) else { return };
        if self.draining {
            self.release_call(id, Release::here(Cause::NORMAL), step);
        } else if call.give_up_at.is_some_and(|at| at <= step.now) {
            self.release_call(id, Release::here(Cause::NO_ANSWER), step);
        } else {
            self.handle_fork_timeout(id, step);
        }
    }

    fn carry_out(&mut self, id: CallId, actions: Vec<Action>, step: &mut Step<'_>) {
        for action in actions {
            match action {
                Action::Send(side, event) => self.tell_leg(id, side, &event, step),
                Action::OpenAudio => {
                    if let Err(cause) = self.open_audio(id, step) {
                        self.release_call(id, Release::here(cause), step);
                        return;
                    }
                }
                Action::Released(side, release) => self.released(id, side, release, step),
                Action::End => self.end_call(id, step),
            }
        }
        // After the lines have ended their own tones.
        self.play_circuits(id, step);
    }

    fn released(&mut self, id: CallId, side: Side, release: Release, step: &mut Step<'_>) {
        self.close_audio(id, step);
        let Some(call) = self.calls.get_mut(id) else { return };
        call.give_up_at = None;
        let by = match side {
            Side::A => ReleasedBy::Caller,
            Side::B => ReleasedBy::Callee,
        };
        let (release, by, _) = *call.released.get_or_insert((release, by, step.now));
        let told = self.note_refusal(id, side, release);
        let Some(call) = self.calls.get(id) else { return };
        let heard = call.translations.first().filter(|first| Some(*first) != told.as_ref());
        let talked_ms = call.answered_at.map(|at| step.now.since(at).as_millis()).unwrap_or(0);
        info!(
            call = call.number, from = %call.origin, to = call.target.as_deref().unwrap_or("-"),
            by = by.as_str(), cause = release.cause.value(),
            why = interwork::name_of(release.cause).unwrap_or("-"),
            location = release.location.as_token(), status = call.status,
            heard = heard.map(|t| tracing::field::display(t.original)),
            heard_rule = heard.map(|t| t.source),
            told = told.as_ref().map(|t| tracing::field::display(t.mapped)),
            rule = told.as_ref().map(|t| t.source),
            talked_ms = u64::try_from(talked_ms).unwrap_or(u64::MAX), "call released"
        );
    }

    fn end_call(&mut self, id: CallId, step: &mut Step<'_>) {
        let Some(mut call) = self.calls.remove(id) else { return };
        let (worker, record) = (call.worker, call.record(step.now));
        self.remember(record.clone());
        if call.answered_at.is_some() {
            self.hunts.talked(step.now, [Some(call.origin.as_str()), call.target.as_deref()]);
        }
        let branches = call.fork.take().into_iter().flat_map(|fork| fork.legs).map(|branch| branch.leg);
        for leg in branches.collect::<Vec<_>>() {
            self.free_leg(id, leg, worker, step);
        }
        // The streams of the two sides ended with the release.
        for leg in [Some(&call.a), call.b.as_ref()].into_iter().flatten() {
            match leg {
                Leg::Sip(leg) => {
                    self.sessions.remove(&leg.session);
                }
                Leg::Line(port) => {
                    if let Some(port) = self.ports.get_mut(port).filter(|p| p.call.is_some_and(|(c, _)| c == id)) {
                        port.call = None;
                    }
                }
                // It left its seat with the release.
                Leg::Circuit { .. } | Leg::Service(_) | Leg::Operator => {}
            }
        }
        step.out.push(Output::Record(record));
    }

    /// Says `event` to the leg of `side`.
    pub(super) fn tell_leg(&mut self, id: CallId, side: Side, event: &TrunkEvent, step: &mut Step<'_>) {
        let Some(call) = self.calls.get(id) else { return };
        let leg = match side {
            Side::A => Some(&call.a),
            Side::B => call.b.as_ref(),
        };
        match leg {
            Some(Leg::Line(port)) => {
                // Only an IAM can be refused, and that is said where the call is routed.
                let port = *port;
                let _ = self.tell_port(port, event, step);
            }
            Some(Leg::Service(_) | Leg::Operator) => {
                if matches!(event, TrunkEvent::Rel(_)) {
                    step.queue.push_back(Work::Trunk(id, side, TrunkEvent::Rlc));
                }
            }
            Some(Leg::Circuit { group, cic }) => {
                let circuit = (*group, *cic);
                self.tell_circuit(id, circuit, (side, None), event, step);
            }
            Some(Leg::Sip(_)) => self.tell_session(id, side, event, step),
            // A call that was never routed has no called leg, and nobody who owes an RLC.
            None => {}
        }
        if let (Side::B, TrunkEvent::Rel(release)) = (side, event) {
            self.release_fork(id, *release, step);
        }
    }

    fn tell_session(&mut self, id: CallId, side: Side, event: &TrunkEvent, step: &mut Step<'_>) {
        let by_table = match (event, self.calls.get(id)) {
            (TrunkEvent::Rel(release), Some(call)) => self.table_towards_caller(call).status_of(*release),
            _ => 500,
        };
        let Some(call) = self.calls.get_mut(id) else { return };
        let answered = call.answered_at.is_some();
        let passed_on = if side == Side::A { passed_on(call) } else { None };
        let contacts = call.redirected_to.iter().map(|contact| Header::new(HeaderName::Contact, contact));
        let contacts: Vec<Header> = contacts.filter(|_| passed_on.is_some_and(|status| status < 400)).collect();
        let Some(Leg::Sip(leg)) = call.leg_mut(side) else { return };
        let session = leg.session;
        match event {
            TrunkEvent::Acm { .. } | TrunkEvent::Cpg { .. } => {
                let Some((status, with_media)) = leg::provisional_of_event(event) else { return };
                // An offer must not stand in an unreliable response (RFC 3262 5); an answer may.
                let may_offer = || leg.offer.is_some() || self.endpoint.carries_offers_early(session);
                let body = leg.sent.clone().filter(|_| with_media && may_offer()).map(Body::sdp);
                let carried = std::mem::take(&mut step.carried);
                let carried = self.with_isup(id, side, event, carried);
                self.endpoint.progress_with(step.now, session, status, body, carried, &mut step.sip);
            }
            TrunkEvent::Anm | TrunkEvent::Con => {
                let body = leg.sent.clone().map(Body::sdp);
                // Who might have answered needs no INVITE any more.
                leg.brings = None;
                let carried = std::mem::take(&mut step.carried);
                let carried = self.with_isup(id, side, event, carried);
                self.endpoint.accept_with(step.now, session, body, carried, &mut step.sip);
            }
            TrunkEvent::Rel(_) if leg.ended => step.queue.push_back(Work::Trunk(id, side, TrunkEvent::Rlc)),
            TrunkEvent::Rel(release) => {
                let reason = interwork::reason_of_release(*release);
                if leg.incoming && !answered {
                    let status = passed_on.unwrap_or(by_table);
                    let carried = self.refusal_for(id, status);
                    let mut carried = self.with_isup(id, side, event, carried);
                    carried.headers.splice(..0, refusal_headers(status, *release).into_iter().chain(contacts));
                    self.endpoint.reject_with(step.now, session, status, carried, &mut step.sip);
                } else {
                    let carried = self.parting_for(id, side);
                    let carried = self.with_isup(id, side, event, carried);
                    self.endpoint.terminate_with(step.now, session, Some(reason), carried, &mut step.sip);
                }
            }
            TrunkEvent::Sus { .. } | TrunkEvent::Res { .. } => self.suspended(id, side, step),
            TrunkEvent::Iam(_) | TrunkEvent::Rlc | TrunkEvent::Sam(_) => {}
        }
    }

    /// The SIP leg of a session, its call and its place there.
    pub(super) fn sip_leg(&mut self, session: SessionId) -> Option<(CallId, Place, &mut SipLeg)> {
        let (id, place) = match self.branch_sessions.get(&session) {
            Some((id, branch)) => (*id, Place::Branch(*branch)),
            None => self.sessions.get(&session).map(|(id, side)| (*id, Place::Side(*side)))?,
        };
        let call = self.calls.get_mut(id)?;
        let leg = match place {
            Place::Side(Side::A) => &mut call.a,
            Place::Side(Side::B) => call.b.as_mut()?,
            Place::Branch(branch) => &mut call.fork.as_deref_mut()?.leg_mut(branch)?.leg,
        };
        match leg {
            Leg::Sip(leg) => Some((id, place, leg)),
            _ => None,
        }
    }

    /// A provisional response from the called side.
    pub(super) fn progressed(
        &mut self,
        session: SessionId,
        status: u16,
        body: Option<&Body>,
        response: &Response,
        step: &mut Step<'_>,
    ) {
        let Some((id, place, leg)) = self.sip_leg(session) else { return };
        leg.read_answer(body);
        let has_media = leg.agreed.is_some();
        let Some(event) = leg::event_of_provisional(status, leg.acm_passed, has_media) else { return };
        leg.acm_passed |= !matches!(status, 181 | 182);
        let event = self.event_with_body(id, place, response.typed_body().as_ref(), event);
        step.queue.push_back(place.says(id, event).bringing(Carried::of_response(response)));
    }

    /// The called side answered.
    pub(super) fn answered(
        &mut self,
        session: SessionId,
        body: Option<&Body>,
        response: &Response,
        step: &mut Step<'_>,
    ) {
        let Some((id, place, leg)) = self.sip_leg(session) else { return };
        leg.read_answer(body);
        let event = if leg.acm_passed { TrunkEvent::Anm } else { TrunkEvent::Con };
        if leg.agreed.is_some() {
            if let Place::Side(side) = place {
                self.refresh_stream(id, side, step);
            }
            let event = self.event_with_body(id, place, response.typed_body().as_ref(), event);
            step.queue.push_back(place.says(id, event).bringing(Carried::of_response(response)));
            return;
        }
        // RFC 3261 13.2.2.4: an unacceptable answer is acknowledged and the dialog ended by BYE.
        match place {
            Place::Side(_) => self.release_call(id, Release::here(Cause::BEARER), step),
            Place::Branch(_) => {
                leg.ended = true;
                let reason = Some(interwork::reason_of(Cause::BEARER));
                self.endpoint.terminate(step.now, session, reason, &mut step.sip);
                step.queue.push_back(place.says(id, TrunkEvent::Rel(Release::here(Cause::BEARER))));
            }
        }
    }

    /// The ACK for our 200 came, with the answer when the offer was ours.
    pub(super) fn established(&mut self, session: SessionId, body: Option<&Body>, step: &mut Step<'_>) {
        let Some((id, Place::Side(side), leg)) = self.sip_leg(session) else { return };
        if leg.offer.is_some() {
            return;
        }
        leg.read_answer(body);
        if leg.agreed.is_some() {
            self.refresh_stream(id, side, step);
        } else {
            self.release_call(id, Release::here(Cause::BEARER), step);
        }
    }

    /// A session is over, by whoever.
    pub(super) fn session_ended(&mut self, session: SessionId, how: &Ended, step: &mut Step<'_>) {
        self.note_parting(session, how);
        let Some((id, place, leg)) = self.sip_leg(session) else { return };
        leg.ended = true;
        let content = match how {
            Ended::Rejected { response, .. } => response.typed_body(),
            Ended::Bye { request } => request.typed_body(),
            _ => None,
        };
        let encapsulated = self.release_in_body(id, place, content.as_ref());
        let Some(call) = self.calls.get(id) else { return };
        let (release, translation) = self.release_of_end(how, call, place, encapsulated);
        if let (Some(translation), Some(call)) = (translation, self.calls.get_mut(id)) {
            call.note(translation);
        }
        if let (Place::Branch(branch), Ended::Rejected { status: 300..=399, response }) = (place, how)
            && self.redirected(id, branch, response, step)
        {
            return;
        }
        let Some(call) = self.calls.get_mut(id) else { return };
        let status = match how {
            Ended::Rejected { status, .. } => Some(*status),
            _ => None,
        };
        let is_up = match place {
            Place::Side(_) => call.is_up(),
            Place::Branch(branch) => call.fork.as_ref().is_some_and(|fork| fork.branches.awaits(branch)),
        };
        let event = match (is_up, release) {
            (true, Some(release)) => TrunkEvent::Rel(release),
            (true, None) => TrunkEvent::Rel(Release::here(Cause::TEMPORARY)),
            (false, _) => TrunkEvent::Rlc,
        };
        step.queue.push_back(match place.says(id, event) {
            Work::Branch { call, branch, event, carried, .. } => Work::Branch { call, branch, event, status, carried },
            other => other,
        });
    }
}

/// The status with which a SIP caller is refused when the called side said one: its own, as far as it
/// concerns the caller. A challenge (401, 407) was for us, 487 is the echo of our own CANCEL,
/// and a redirect is passed on only where the configuration wants that.
pub(super) fn passed_on(call: &Call) -> Option<u16> {
    match call.status? {
        401 | 407 | 487 => None,
        300..=399 if call.redirected_to.is_empty() => None,
        status => Some(status),
    }
}

/// Where a leg has its place in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is one of the two sides.
    Side(Side),
    /// It may become the called side.
    Branch(BranchId),
}

impl Place {
    /// What it has to say, to be worked off.
    pub(super) fn says(self, call: CallId, event: TrunkEvent) -> Work {
        match self {
            Place::Side(side) => Work::Trunk(call, side, event),
            Place::Branch(branch) => Work::branch(call, branch, event),
        }
    }
}

/// Header fields of a final response that refuses: why, and when to try again
/// (RFC 3398 7.2.4.1: "a Retry-After header MAY be added").
pub(super) fn refusal_headers(status: u16, release: Release) -> Vec<Header> {
    /// Seconds after which a caller may try again.
    const RETRY_AFTER_S: u32 = 5;
    let mut headers = vec![Header::new(HeaderName::Reason, interwork::reason_of_release(release))];
    if status == 503 {
        headers.push(Header::new(HeaderName::RetryAfter, RETRY_AFTER_S));
    }
    headers
}
