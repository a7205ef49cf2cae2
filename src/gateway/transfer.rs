//! Transfers: REFER carried out here, and INVITE with Replaces.
//!
//! ```text
//!   P ◀══ call ══▶ T        T: REFER C        P ◀══ call ══▶ T      C rings as a branch
//!                                             P ◀══ call ══▶ C      T: NOTIFY 200, BYE
//! ```
//!
//! The gateway joins; nobody else needs to know REFER (RFC 5589 in the place of the transferee). Until
//! the target answers, the call is as it was: when it fails, P and T still have each other. Whoever
//! transfers may hang up at once; then the failure ends the call.
//!
//! - Blind (RFC 5589 6): the target is a number, dialled with the rights of the one who transfers. Trunks
//!   transfer when their table says `transfer = true`.
//! - Attended (RFC 5589 7): Refer-To names another dialog of the same party; the two others are joined.
//! - INVITE with Replaces (RFC 3891): the caller takes the place of its own other dialog, or of a member
//!   of the same group, whose ringing call it so picks up.

use super::audio::Prepared;
use super::calls::Place;
use super::{Gateway, Output, Step, Work, WorkerId};
use crate::call::b2bua::{Side, State};
use crate::call::fork::Step as ForkStep;
use crate::call::leg::{Leg, SipLeg};
use crate::call::transfer::{Notices, ReferTo, Replaces, Transfer, sipfrag, wants_no_notices};
use crate::call::{Call, CallId};
use crate::dialplan::{Target, TargetKind, is_inside};
use crate::media::MediaCommand;

use crate::sdp::Direction;
use crate::sip::session::replaces::Named;
use crate::sip::{Body, Header, HeaderName, Method, Reason, Request, Response, ServerTransactionId, SessionId};
use crate::time::Duration;
use crate::trunk::{Cause, Iam, Progress, Release, TrunkEvent, interwork};
use tracing::info;

/// How long the target of a transfer rings, unless its route says something else.
const TARGET_RINGS_FOR: Duration = Duration::from_secs(60);
/// Seconds that the subscription of a REFER lives: as long as the target may ring, and the way there.
const SUBSCRIPTION_S: u64 = 120;

impl Gateway {
    /// REFER in the dialog of a call.
    pub(super) fn refer(
        &mut self,
        session: SessionId,
        server: ServerTransactionId,
        request: &Request,
        step: &mut Step<'_>,
    ) {
        let (id, refer_to) = match self.check_refer(session, request) {
            Ok(checked) => checked,
            Err(status) => return self.endpoint.reply(step.now, server, Response::new(status), &mut step.sip),
        };
        let silent = wants_no_notices(request);
        let Some(call) = self.calls.get_mut(id) else { return };
        let notices = Notices::of(session, request, call.refers);
        call.refers = call.refers.saturating_add(1);
        // RFC 4488 4: the answer says that there is no subscription, when none was wanted.
        let refer_sub = silent.then(|| Header::new(HeaderName::ReferSub, "false"));
        let accepted = Response::new(202).with_headers(refer_sub);
        self.endpoint.reply(step.now, server, accepted, &mut step.sip);
        if self.sessions.get(&session).is_some_and(|(_, side)| *side == Side::A) {
            self.turn_round(id);
        }
        let Some(call) = self.calls.get_mut(id) else { return };
        let by = call.target.clone().unwrap_or_default();
        let said = request.headers.text(&HeaderName::ReferredBy).map(|text| text.into_owned());
        call.referred_by = Some(said.unwrap_or_else(|| referred_by(&by, &self.config.sip.domain)));
        call.transfer = Some(Box::new(Transfer { by, notices: (!silent).then_some(notices), told: 0, rings: false }));
        self.notify(id, 100, step);
        match refer_to.replaces {
            Some(replaces) => self.transfer_attended(id, &replaces, step),
            None => self.transfer_blind(id, super::access::number_of(&refer_to.uri), step),
        }
    }

    /// Whether a REFER can be followed: its call and where to, or the status that refuses it.
    fn check_refer(&self, session: SessionId, request: &Request) -> Result<(CallId, ReferTo), u16> {
        let (id, side) = self.sessions.get(&session).copied().ok_or(481_u16)?;
        let call = self.calls.get(id).ok_or(481_u16)?;
        let who = match side {
            Side::A => call.origin.as_str(),
            Side::B => call.target.as_deref().unwrap_or_default(),
        };
        // A peer from outside spends our money by a transfer: only one that may.
        if !is_inside(who) && !self.trunk_transfers(who) {
            return Err(403);
        }
        if call.state != State::Answered || call.transfer.is_some() || call.b.is_none() {
            return Err(491);
        }
        Ok((id, ReferTo::of(request)?))
    }

    /// Whether `trunk/NAME` has `transfer = true`.
    fn trunk_transfers(&self, who: &str) -> bool {
        let name = who.strip_prefix("trunk/");
        self.config.trunks.iter().any(|trunk| Some(trunk.name.as_str()) == name && trunk.profile.transfer)
    }

    /// Changes the sides of a call, so that whoever transfers is the called one.
    fn turn_round(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let Some(b) = call.b.as_mut() else { return };
        std::mem::swap(&mut call.a, b);
        let target = call.target.take().unwrap_or_default();
        call.target = Some(std::mem::replace(&mut call.origin, target));
        let calling = self.number_of_name(&self.calls.get(id).map(|c| c.origin.clone()).unwrap_or_default());
        let Some(call) = self.calls.get_mut(id) else { return };
        if let Some(calling) = calling {
            call.iam.calling = Some(calling);
            call.iam.calling_name = None;
        } else {
            // Somebody outside, known by the number that was dialled.
            call.iam.calling = Some(call.iam.called.clone());
        }
        self.name_sides(id);
    }

    /// The number of `phone/NAME` or `station/NAME`.
    pub(super) fn number_of_name(&self, name: &str) -> Option<String> {
        let (kind, name) = name.split_once('/')?;
        let kind = [TargetKind::Phone, TargetKind::Station].into_iter().find(|k| k.as_str() == kind)?;
        Some(self.number_of_target(&Target { kind, name: name.to_owned() }))
    }

    /// Enters where the legs of both sides are to be found.
    pub(super) fn name_sides(&mut self, id: CallId) {
        let Some(call) = self.calls.get(id) else { return };
        let sides = [(Side::A, Some(&call.a)), (Side::B, call.b.as_ref())];
        let mut streams = Vec::new();
        for (side, leg) in sides {
            match leg {
                Some(Leg::Sip(leg)) => {
                    self.sessions.insert(leg.session, (id, side));
                    streams.push(leg.stream);
                }
                Some(Leg::Line(port)) => {
                    if let Some(seat) = self.ports.get_mut(port) {
                        seat.call = Some((id, side));
                    }
                }
                Some(Leg::Circuit { group, cic }) => self.circuits.name_side(*group, *cic, id, side),
                Some(Leg::Service(_) | Leg::Operator) | None => {}
            }
        }
        for stream in streams {
            self.own_stream(stream, id);
        }
    }

    fn transfer_blind(&mut self, id: CallId, number: Option<String>, step: &mut Step<'_>) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let by = call.target.clone().unwrap_or_default();
        let Some(number) = number else {
            return self.transfer_failed(id, 404, Release::here(Cause::UNALLOCATED), step);
        };
        info!(call = call.number, by = %by, to = %number, "transfer begins");
        call.fork = Some(Box::default());
        call.diversions.clear();
        match self.steps_to(id, &by, &number) {
            Ok(mut steps) => {
                for next in &mut steps {
                    if let ForkStep::Ring { rings_for, .. } = next {
                        rings_for.get_or_insert(TARGET_RINGS_FOR);
                    }
                }
                self.begin_fork(id, steps, step);
            }
            Err(release) => self.transfer_failed(id, interwork::status_of(release), release, step),
        }
    }

    /// The target of a transfer said something.
    pub(super) fn transfer_heard(&mut self, id: CallId, event: &TrunkEvent, step: &mut Step<'_>) {
        match event {
            TrunkEvent::Anm | TrunkEvent::Con => self.transfer_answered(id, step),
            TrunkEvent::Rel(release) => {
                let failure = self.calls.get(id).and_then(|call| call.fork.as_ref()?.branches.best());
                let status = failure.map_or_else(|| interwork::status_of(*release), |best| best.status());
                self.transfer_failed(id, status, *release, step);
            }
            TrunkEvent::Acm { .. } | TrunkEvent::Cpg { event: Progress::Alerting, .. } => {
                self.notify(id, 180, step);
                self.play_ringback(id, step);
            }
            _ => {}
        }
    }

    /// Whoever is told of a transfer hears a status, each once and never backwards.
    fn notify(&mut self, id: CallId, status: u16, step: &mut Step<'_>) {
        let Some(transfer) = self.calls.get_mut(id).and_then(|call| call.transfer.as_deref_mut()) else { return };
        if status <= transfer.told {
            return;
        }
        transfer.told = status;
        if let Some(notices) = transfer.notices.clone() {
            self.send_notice(&notices, status, step);
        }
    }

    fn send_notice(&mut self, notices: &Notices, status: u16, step: &mut Step<'_>) {
        let state = match status {
            ..200 => format!("active;expires={SUBSCRIPTION_S}"),
            // RFC 3515 2.4.7: the last NOTIFY says "terminated" with reason "noresource".
            200.. => "terminated;reason=noresource".to_owned(),
        };
        let headers =
            vec![Header::new(HeaderName::Event, &notices.event), Header::new(HeaderName::SubscriptionState, state)];
        let body = Some(sipfrag(status));
        let session = notices.session;
        let _ = self.endpoint.request_in_dialog(step.now, session, Method::Notify, body, headers, &mut step.sip);
    }

    /// The target has answered and sits at side B already; `old` was there before.
    pub(super) fn transferor_replaced(&mut self, id: CallId, old: Leg, worker: WorkerId, step: &mut Step<'_>) {
        self.notify(id, 200, step);
        self.dismiss_leg(id, old, worker, step);
    }

    /// Ends a leg that has no place in its call any more, with its session and stream.
    fn dismiss_leg(&mut self, id: CallId, leg: Leg, worker: WorkerId, step: &mut Step<'_>) {
        match &leg {
            Leg::Sip(sip) if !sip.ended => {
                let session = sip.session;
                let reason: Option<Reason> = Some(interwork::reason_of(Cause::NORMAL));
                self.sessions.remove(&session);
                self.endpoint.terminate(step.now, session, reason, &mut step.sip);
            }
            Leg::Line(port) => {
                let _ = self.tell_port(*port, &TrunkEvent::Rel(Release::here(Cause::NORMAL)), step);
            }
            _ => {}
        }
        self.free_leg(id, leg, worker, step);
    }

    fn transfer_answered(&mut self, id: CallId, step: &mut Step<'_>) {
        self.stop_ringback(id, step);
        let Some(call) = self.calls.get_mut(id) else { return };
        let Some(transfer) = call.transfer.take() else { return };
        call.transferred_by = Some(transfer.by);
        info!(call = call.number, to = call.target.as_deref().unwrap_or("-"), "transfer done");
        let worker = call.worker;
        self.join_anew(id, [worker; 2], step);
        self.touch_call(id);
    }

    /// The target was not reached: all is as before, or the call ends when only one is left.
    fn transfer_failed(&mut self, id: CallId, status: u16, release: Release, step: &mut Step<'_>) {
        self.notify(id, status.max(300), step);
        self.stop_ringback(id, step);
        let Some(call) = self.calls.get_mut(id) else { return };
        info!(call = call.number, status, "transfer failed");
        call.transfer = None;
        call.referred_by = None;
        if call.fork.as_ref().is_some_and(|fork| fork.branches.is_empty()) {
            call.fork = None;
        }
        if call.b.is_none() {
            self.release_call(id, release, step);
        }
    }

    /// Whoever transfers hung up and leaves the rest to us. False: this was no such case.
    pub(super) fn transferor_left(&mut self, id: CallId, step: &mut Step<'_>) -> bool {
        let Some(call) = self.calls.get_mut(id) else { return false };
        let rings = call.fork.as_ref().is_some_and(|fork| fork.branches.is_open() && fork.branches.rings());
        let Some(transfer) = call.transfer.as_deref_mut().filter(|_| rings) else { return false };
        // RFC 5589 6.1: the dialog is gone, and its subscription with it.
        transfer.notices = None;
        let worker = call.worker;
        let Some(leg) = call.b.take() else { return false };
        if let Leg::Line(port) = &leg {
            let _ = self.tell_port(*port, &TrunkEvent::Rlc, step);
        }
        self.free_leg(id, leg, worker, step);
        true
    }

    fn transfer_attended(&mut self, id: CallId, replaces: &Replaces, step: &mut Step<'_>) {
        let named = self.endpoint.named(&replaces.call_id, &replaces.to_tag, &replaces.from_tag);
        let found = named.and_then(|(session, _)| self.sessions.get(&session).copied());
        let Some((other, side)) = found.filter(|(other, _)| *other != id) else {
            return self.transfer_failed(id, 481, Release::here(Cause::TEMPORARY), step);
        };
        let (Some(call), Some(consult)) = (self.calls.get(id), self.calls.get(other)) else { return };
        // RFC 3891 3: only the party itself may have its dialog replaced.
        if Some(name_of(consult, side)) != call.target.as_deref() {
            return self.transfer_failed(id, 403, Release::here(Cause::REJECTED), step);
        }
        if consult.state != State::Answered {
            // The consultation is not answered yet: the call goes there as a blind one does.
            let number = (side == Side::A).then(|| consult.iam.called.clone());
            self.release_call(other, Release::here(Cause::NORMAL), step);
            return self.transfer_blind(id, number, step);
        }
        if replaces.early_only {
            return self.transfer_failed(id, 486, Release::user(Cause::BUSY), step);
        }
        let ends = [Some(&call.a), consult.leg(side.other())];
        let cards: Vec<u16> = ends.iter().filter_map(|leg| line_worker(*leg)).collect();
        if matches!(cards.as_slice(), [one, two] if one != two) {
            // Audio between two cards needs a ring between their workers, which is not built yet.
            return self.transfer_failed(id, 488, Release::here(Cause::BEARER), step);
        }
        self.join_calls(id, other, side, step);
    }

    /// Takes the other side of `consult` over as the called side of `id`; whoever transfers leaves both.
    fn join_calls(&mut self, id: CallId, consult: CallId, side: Side, step: &mut Step<'_>) {
        if side == Side::B {
            self.turn_round(consult);
        }
        let Some(mut ended) = self.calls.remove(consult) else { return };
        let Some(target) = ended.b.take() else { return };
        let (number, to) = (ended.number, ended.target.clone());
        let consult_worker = ended.worker;
        let branches = ended.fork.take().into_iter().flat_map(|fork| fork.legs).map(|branch| branch.leg);
        for leg in branches.collect::<Vec<_>>() {
            self.free_leg(consult, leg, consult_worker, step);
        }
        let transferor = std::mem::replace(&mut ended.a, Leg::Operator);
        self.dismiss_leg(consult, transferor, consult_worker, step);
        ended.released = Some((Release::here(Cause::NORMAL), crate::call::record::ReleasedBy::Caller, step.now));
        ended.transferred_by = self.calls.get(id).and_then(|call| call.target.clone());
        step.out.push(Output::Record(ended.record(step.now)));
        let Some(call) = self.calls.get_mut(id) else { return };
        let worker = call.worker;
        info!(call = call.number, joined = number, to = to.as_deref().unwrap_or("-"), "transfer done");
        call.target = to;
        let old = call.b.replace(target);
        call.audio_open = false;
        self.notify(id, 200, step);
        if let Some(old) = old {
            self.dismiss_leg(id, old, worker, step);
        }
        self.name_sides(id);
        if let Some(call) = self.calls.get_mut(id)
            && let Some(transfer) = call.transfer.take()
        {
            call.transferred_by = Some(transfer.by);
        }
        self.join_anew(id, [worker, consult_worker], step);
        self.touch_call(id);
    }

    /// Joins the two sides of an answered call, whose streams run on `workers` if they run, and makes
    /// both peers a new offer: they may be on hold, and an address of ours may have changed.
    pub(super) fn join_anew(&mut self, id: CallId, workers: [WorkerId; 2], step: &mut Step<'_>) {
        let software = self.software_worker();
        let Some(call) = self.calls.get_mut(id) else { return };
        let line = line_worker(Some(&call.a)).or_else(|| line_worker(call.b.as_ref()));
        call.worker = line.map_or(software, WorkerId);
        call.audio_open = false;
        let (worker, has_service) = (call.worker, matches!(call.b, Some(Leg::Service(_))));
        for (side, runs_on) in [(Side::A, workers[0]), (Side::B, workers[1])] {
            // A service is part of the stream that it is played on.
            if runs_on != worker || (has_service && side == Side::A) {
                self.renew_stream(id, side, runs_on, step);
            }
        }
        if let Err(cause) = self.open_audio(id, step) {
            return self.release_call(id, Release::here(cause), step);
        }
        for side in [Side::A, Side::B] {
            self.offer_anew(id, side, step);
        }
    }

    /// Another stream for a leg whose stream runs where it cannot be joined; the peer learns its address
    /// from the offer that follows.
    fn renew_stream(&mut self, id: CallId, side: Side, runs_on: WorkerId, step: &mut Step<'_>) {
        let Some(Leg::Sip(leg)) = self.calls.get(id).and_then(|call| call.leg(side)) else { return };
        if !leg.started {
            return;
        }
        let codecs = leg.ours.codecs.clone();
        let is_ipv4 = leg.ours.address.is_ipv4();
        let Ok(Prepared { stream, ours }) = self.prepare_stream(is_ipv4, &codecs) else { return };
        self.own_stream(stream, id);
        let Some(Leg::Sip(leg)) = self.calls.get_mut(id).and_then(|call| call.leg_mut(side)) else { return };
        step.out.push(Output::Media(runs_on, MediaCommand::Stop(leg.stream)));
        (leg.stream, leg.started, leg.ours.port) = (stream, false, ours.port);
    }

    fn offer_anew(&mut self, id: CallId, side: Side, step: &mut Step<'_>) {
        let Some(Leg::Sip(leg)) = self.calls.get_mut(id).and_then(|call| call.leg_mut(side)) else { return };
        if leg.fresh {
            // It has just said what it wants.
            leg.fresh = false;
            return;
        }
        let wish = self.wish_for(id, Place::Side(side));
        self.offer_to(id, side, wish, None, true, step);
    }

    /// An INVITE that replaces a dialog, from `origin`, who is known.
    pub(super) fn incoming_replaces(
        &mut self,
        origin: &str,
        iam: &Iam,
        leg: SipLeg,
        replaces: &Replaces,
        step: &mut Step<'_>,
    ) {
        let session = leg.session;
        let stream = leg.stream;
        if let Err(status) = self.take_place(origin, iam, leg, replaces, step) {
            self.forget_stream(stream);
            self.endpoint.reject(step.now, session, status, Vec::new(), &mut step.sip);
        }
    }

    fn take_place(
        &mut self,
        origin: &str,
        iam: &Iam,
        mut leg: SipLeg,
        replaces: &Replaces,
        step: &mut Step<'_>,
    ) -> Result<(), u16> {
        let named = self.endpoint.named(&replaces.call_id, &replaces.to_tag, &replaces.from_tag);
        let (session, named) = named.ok_or(481_u16)?;
        let target = self.target_called(origin).ok_or(403_u16)?;
        match named {
            // RFC 3891 3: "If the Replaces header field matches a dialog which has already terminated, the UA
            // SHOULD decline the request with a 603"; one that we are asked to answer: 481.
            Named::Over => Err(603),
            Named::EarlyByPeer => Err(481),
            Named::EarlyByUs => {
                let (id, branch) = self.branch_sessions.get(&session).copied().ok_or(481_u16)?;
                let call = self.calls.get_mut(id).ok_or(481_u16)?;
                let fork = call.fork.as_deref_mut().filter(|fork| fork.branches.awaits(branch)).ok_or(481_u16)?;
                let replaced = fork.leg(branch).map(|leg| leg.target.to_string()).ok_or(481_u16)?;
                may_replace(&self.config, origin, &replaced)?;
                let preferred = match &call.a {
                    Leg::Sip(a) => a.liked().first().copied(),
                    _ => None,
                };
                leg.settle(preferred, Direction::SendRecv).map_err(|_| 488_u16)?;
                info!(call = call.number, by = origin, from = %replaced, "call picked up");
                let (body, stream, new) = (leg.sent.clone().map(Body::sdp), leg.stream, leg.session);
                let party = fork.new_party();
                let id_of_branch = fork.branches.ring(party);
                fork.legs.push(crate::call::fork::BranchLeg { id: id_of_branch, leg: Leg::Sip(leg), target });
                self.branch_sessions.insert(new, (id, id_of_branch));
                self.own_stream(stream, id);
                self.endpoint.accept(step.now, new, body, &mut step.sip);
                step.queue.push_back(Work::branch(id, id_of_branch, TrunkEvent::Anm));
                Ok(())
            }
            Named::Confirmed if replaces.early_only => Err(486),
            Named::Confirmed => {
                let (id, side) = self.sessions.get(&session).copied().ok_or(481_u16)?;
                let call = self.calls.get_mut(id).ok_or(481_u16)?;
                if call.state != State::Answered || call.transfer.is_some() {
                    return Err(491);
                }
                may_replace(&self.config, origin, name_of(call, side))?;
                let preferred = match call.leg(side.other()) {
                    Some(Leg::Sip(other)) => other.liked().first().copied(),
                    _ => None,
                };
                leg.settle(preferred, Direction::SendRecv).map_err(|_| 488_u16)?;
                leg.fresh = true;
                info!(call = call.number, by = origin, "a dialog is replaced");
                let (body, new) = (leg.sent.clone().map(Body::sdp), leg.session);
                let old = match side {
                    Side::A => Some(std::mem::replace(&mut call.a, Leg::Sip(leg))),
                    Side::B => call.b.replace(Leg::Sip(leg)),
                };
                match side {
                    Side::A => {
                        call.origin = origin.to_owned();
                        call.iam.calling.clone_from(&iam.calling);
                    }
                    Side::B => call.target = Some(origin.to_owned()),
                }
                let worker = call.worker;
                self.endpoint.accept(step.now, new, body, &mut step.sip);
                if let Some(old) = old {
                    self.dismiss_leg(id, old, worker, step);
                }
                self.name_sides(id);
                self.join_anew(id, [worker; 2], step);
                Ok(())
            }
        }
    }

    /// `phone/201` as a target.
    pub(super) fn target_called(&self, name: &str) -> Option<Target> {
        let (kind, name) = name.split_once('/')?;
        let kind = TargetKind::ALL.into_iter().find(|k| k.as_str() == kind)?;
        Some(Target { kind, name: name.to_owned() })
    }
}

/// Who sits at a side.
pub(super) fn name_of(call: &Call, side: Side) -> &str {
    match side {
        Side::A => call.origin.as_str(),
        Side::B => call.target.as_deref().unwrap_or_default(),
    }
}

/// The same account replaces its own dialogs; members of a group replace each other's.
fn may_replace(config: &crate::config::Config, origin: &str, replaced: &str) -> Result<(), u16> {
    let in_group = |group: &crate::config::Group| {
        let has = |name: &str| group.members.iter().any(|member| member.target.to_string() == name);
        has(origin) && has(replaced)
    };
    if is_inside(origin) && (origin == replaced || config.groups.iter().any(in_group)) { Ok(()) } else { Err(403) }
}

fn line_worker(leg: Option<&Leg>) -> Option<u16> {
    match leg? {
        Leg::Line(port) => Some(port.card.0),
        Leg::Sip(_) | Leg::Service(_) | Leg::Operator | Leg::Circuit { .. } => None,
    }
}

/// Referred-By for one who did not say it (RFC 3892 3).
fn referred_by(name: &str, domain: &str) -> String {
    let user = name.split_once('/').map_or(name, |(_, name)| name);
    let host = crate::sip::Host::from_text(domain);
    format!("<{}>", crate::sip::Uri::sip(Some(user), host, None))
}
