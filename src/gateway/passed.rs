//! Records of calls that we passed on as a proxy.
//!
//! A proxy sees how an INVITE ends and, since it records its route, the BYE. A call whose BYE takes another way
//! is written when its place is needed or the program ends, as ended then: how long it was nobody here can know.

use super::access::number_of;
use super::{Gateway, Output, Step};
use crate::call::record::{CallRecord, ReleasedBy};
use crate::limits::PASSED_CALLS;
use crate::sip::{Request, ServerTransactionId};
use crate::time::Instant;
use crate::trunk::interwork::Interworking;
use crate::trunk::{Cause, Location, Release};
use std::collections::BTreeMap;
use tracing::info;

/// Calls that were passed on.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// Those without final answer. As many as there are transactions.
    rings: BTreeMap<ServerTransactionId, PassedCall>,
    /// Those that were answered, by Call-ID.
    talks: BTreeMap<String, PassedCall>,
}

#[derive(Debug)]
struct PassedCall {
    number: u64,
    from: String,
    to: String,
    calling: Option<String>,
    called: String,
    /// The caller's tag.
    tag: Option<String>,
    began_at: Instant,
    answered_at: Option<Instant>,
}

impl PassedCall {
    fn record(self, now: Instant, release: Release, released_by: ReleasedBy, status: Option<u16>) -> CallRecord {
        CallRecord {
            call: self.number,
            from: self.from,
            calling: self.calling,
            called: self.called,
            to: Some(self.to),
            began_at: self.began_at,
            answered_at: self.answered_at,
            ended_at: now,
            release,
            released_by,
            status,
            transferred_by: None,
            translations: Vec::new(),
        }
    }
}

impl Gateway {
    /// An INVITE is about to be passed on from one to the other.
    pub(super) fn note_passed(
        &mut self,
        server: ServerTransactionId,
        from: &str,
        to: &str,
        request: &Request,
        step: &Step<'_>,
    ) {
        self.calls_begun += 1;
        let caller = request.from();
        let call = PassedCall {
            number: self.calls_begun,
            from: from.to_owned(),
            to: to.to_owned(),
            calling: caller.as_ref().and_then(|from| number_of(&from.uri)),
            called: number_of(&request.uri).unwrap_or_else(|| request.uri.to_string()),
            tag: caller.and_then(|from| from.tag().map(str::to_owned)),
            began_at: step.now,
            answered_at: None,
        };
        self.passed.rings.insert(server, call);
    }

    /// It has its final answer, or a BYE passes.
    pub(super) fn passed_on(
        &mut self,
        server: ServerTransactionId,
        request: &Request,
        status: Option<u16>,
        step: &mut Step<'_>,
    ) {
        let Some(call_id) = request.call_id().map(|id| id.into_owned()) else { return };
        let record = match status {
            Some(200..=299) => {
                let Some(call) = self.passed.rings.remove(&server) else { return };
                self.make_room_for_talk(step);
                let call = PassedCall { answered_at: Some(step.now), ..call };
                self.passed.talks.insert(call_id, call);
                return;
            }
            Some(status) => {
                let Some(call) = self.passed.rings.remove(&server) else { return };
                let by = if status == 487 { ReleasedBy::Caller } else { ReleasedBy::Callee };
                call.record(step.now, Interworking::default().release_of(status, None), by, Some(status))
            }
            None => {
                let Some(call) = self.passed.talks.remove(&call_id) else { return };
                let is_caller = request.from().is_some_and(|from| from.tag() == call.tag.as_deref());
                let by = if is_caller { ReleasedBy::Caller } else { ReleasedBy::Callee };
                call.record(step.now, Release { cause: Cause::NORMAL, location: Location::User }, by, None)
            }
        };
        info!(call = record.call, from = %record.from, to = record.to.as_deref(), status, "call passed on ended");
        step.out.push(Output::Record(record));
    }

    /// The one that was answered first is written when there are too many.
    fn make_room_for_talk(&mut self, step: &mut Step<'_>) {
        if self.passed.talks.len() < PASSED_CALLS {
            return;
        }
        let oldest = self.passed.talks.iter().min_by_key(|(_, call)| call.number).map(|(id, _)| id.clone());
        if let Some(call) = oldest.and_then(|id| self.passed.talks.remove(&id)) {
            step.out.push(Output::Record(call.record(
                step.now,
                Release::here(Cause::TIMER),
                ReleasedBy::Gateway,
                None,
            )));
        }
    }

    /// The program is about to end.
    pub(super) fn write_passed(&mut self, step: &mut Step<'_>) {
        for (_, call) in std::mem::take(&mut self.passed.talks) {
            step.out.push(Output::Record(call.record(
                step.now,
                Release::here(Cause::NORMAL),
                ReleasedBy::Gateway,
                None,
            )));
        }
    }

    /// How many answered calls that were passed on are remembered.
    #[cfg(test)]
    pub(super) fn passed_talks(&self) -> usize {
        self.passed.talks.len()
    }
}
