//! Which table between statuses and causes holds in a call, what it gave, and what is remembered of that.

use super::Gateway;
use super::calls::{Place, passed_on};
use super::transfer::name_of;
use crate::call::b2bua::Side;
use crate::call::leg::Leg;
use crate::call::record::{CallRecord, Said, Translation, said_cause};
use crate::call::{Call, CallId};
use crate::limits;
use crate::sip::{Ended, HeaderName, Reason, Response};
use crate::time::Instant;
use crate::trunk::interwork::{self, Interworking};
use crate::trunk::{Cause, Location, Release};

/// Of everybody who is no trunk.
static PLAIN: Interworking = Interworking::RFC_3398;

impl Gateway {
    /// The table of `isup/NAME` or `trunk/NAME`; `None` for all others.
    pub(super) fn table_of(&self, party: &str) -> Option<&Interworking> {
        let (kind, name) = party.split_once('/')?;
        match kind {
            "isup" => self.config.isups.iter().find(|isup| isup.name == name).map(|isup| &isup.interworking),
            "trunk" => self.config.trunks.iter().find(|trunk| trunk.name == name).map(|trunk| &trunk.interworking),
            _ => None,
        }
    }

    /// The table for a cause that becomes a status towards the caller: the circuit group's when one of the two sides
    /// is a circuit (the tables are made for that border), else the caller's trunk, else the called one.
    pub(super) fn table_towards_caller(&self, call: &Call) -> &Interworking {
        self.first_table(&[Some(call.origin.as_str()), call.target.as_deref()]).1
    }

    fn first_table<'p>(&self, parties: &[Option<&'p str>]) -> (&'p str, &Interworking) {
        let parties = || parties.iter().copied().flatten();
        let circuits = parties().filter(|party| party.starts_with("isup/"));
        let named = |party| self.table_of(party).map(|table| (party, table));
        circuits.chain(parties()).find_map(named).unwrap_or(("every leg without a table of its own", &PLAIN))
    }

    /// Notes the status with which a SIP caller is refused by a release of `side`, and returns it.
    pub(super) fn note_refusal(&mut self, id: CallId, side: Side, release: Release) -> Option<Translation> {
        let call = self.calls.get(id)?;
        let Leg::Sip(leg) = &call.a else { return None };
        if side == Side::A || !leg.incoming || leg.ended || call.answered_at.is_some() {
            return None;
        }
        let original = Said::Release(release);
        let translation = match passed_on(call) {
            Some(status) => {
                let source = "the status of the called side is passed on";
                Translation::by_header(&call.origin, original, Said::Status(status), source)
            }
            None => {
                let (party, table) = self.first_table(&[Some(call.origin.as_str()), call.target.as_deref()]);
                let named = (party.to_owned(), table.profile.as_str());
                Translation::by_rule(&call.origin, named, original, table.status_rule(release), Said::Status)
            }
        };
        self.calls.get_mut(id)?.note(translation.clone());
        Some(translation)
    }

    /// What the end of a session says to the other leg, `None` when we ended it ourselves; and how that was found.
    ///
    /// A Q.850 Reason wins over the status (RFC 6432), and over the REL in its body (`encapsulated`): "the value in the
    /// Reason header MUST be preferred" (RFC 3398 7.2.3). RFC 3398 7.2.3, 10.1: BYE and CANCEL are 16.
    pub(super) fn release_of_end(
        &self,
        how: &Ended,
        call: &Call,
        place: Place,
        encapsulated: Option<Release>,
    ) -> (Option<Release>, Option<Translation>) {
        let leg = match place {
            Place::Side(side) => name_of(call, side).to_owned(),
            Place::Branch(branch) => {
                let branch = call.fork.as_ref().and_then(|fork| fork.leg(branch));
                branch.map_or_else(|| name_of(call, Side::B).to_owned(), |leg| leg.target.to_string())
            }
        };
        let translation = match how {
            Ended::Rejected { status, response } => {
                let other = if place == Place::Side(Side::A) { call.target.as_deref() } else { Some(&call.origin[..]) };
                let (party, table) = self.first_table(&[Some(&leg), other]);
                let named = (party.to_owned(), table.profile.as_str());
                translation_of_status(&leg, named, table, *status, response)
            }
            Ended::Bye { request } => translation_of_request(&leg, "BYE", &request.reasons()),
            Ended::Cancelled { request } => translation_of_request(&leg, "CANCEL", &request.reasons()),
            // No SIP answer at all: nobody responds.
            Ended::Timeout => return (Some(Release::here(Cause::NO_RESPONSE)), None),
            Ended::TransportFailure => return (Some(Release::here(Cause::TEMPORARY)), None),
            Ended::AckMissing | Ended::Expired | Ended::PrackMissing => {
                return (Some(Release::here(Cause::TIMER)), None);
            }
            Ended::Local => return (None, None),
        };
        let has_reason = match how {
            Ended::Rejected { response, .. } => interwork::cause_of_reasons(&response.reasons()).is_some(),
            Ended::Bye { request } => interwork::cause_of_reasons(&request.reasons()).is_some(),
            _ => true,
        };
        let translation = match encapsulated.filter(|_| !has_reason) {
            Some(release) => {
                let source = "RFC 3398 7.2.3: the cause of the encapsulated REL is used again";
                Translation::by_header(&leg, translation.original, Said::Release(release), source)
            }
            None => translation,
        };
        match translation.mapped {
            Said::Release(release) => (Some(release), Some(translation)),
            // Cannot be: what ends a session becomes a cause.
            Said::Status(_) | Said::Request(_) => (Some(Release::here(Cause::TEMPORARY)), None),
        }
    }

    /// Keeps the record of a call that has ended, for whoever asks what happened; the oldest makes room.
    pub(super) fn remember(&mut self, record: CallRecord) {
        if self.ended.len() >= limits::ENDED_CALLS {
            self.ended.pop_front();
        }
        self.ended.push_back(record);
    }

    /// What is known of a call that runs (`false`) or has ended (`true`); `None` for a number that is not known, or not
    /// any more.
    pub fn call_story(&self, now: Instant, number: u64) -> Option<(CallRecord, bool)> {
        let running = self.calls.iter().map(|(_, call)| call).find(|call| call.number == number);
        let ended = || self.ended.iter().find(|record| record.call == number).map(|record| (record.clone(), true));
        running.map(|call| (call.record(now), false)).or_else(ended)
    }
}

/// A final response: by its Reason, else by the table.
fn translation_of_status(
    leg: &str,
    named: (String, &'static str),
    table: &Interworking,
    status: u16,
    response: &Response,
) -> Translation {
    let reasons = response.reasons();
    let by_table = table.release_of(status, warning_of(response));
    let location = interwork::location_of_reasons(&reasons).unwrap_or(by_table.location);
    match interwork::cause_of_reasons(&reasons) {
        Some(cause) => {
            let source = "RFC 6432 4: the Q.850 cause of the Reason field, whatever the status";
            Translation::by_header(leg, Said::Status(status), said_cause(location)(cause), source)
        }
        None => {
            let rule = table.cause_rule(status, warning_of(response));
            Translation::by_rule(leg, named, Said::Status(status), rule, said_cause(location))
        }
    }
}

/// BYE or CANCEL: by its Reason, else 16.
fn translation_of_request(leg: &str, method: &'static str, reasons: &[Reason]) -> Translation {
    let location = interwork::location_of_reasons(reasons).unwrap_or(Location::User);
    let (cause, source) = match interwork::cause_of_reasons(reasons) {
        Some(cause) => (cause, "RFC 3398 7.2.3: a Reason field SHOULD be mapped to the cause"),
        None => (Cause::NORMAL, "RFC 3398 7.2.3 and 10.1: BYE and CANCEL are cause 16"),
    };
    Translation::by_header(leg, Said::Request(method), said_cause(location)(cause), source)
}

/// The code of the first Warning (RFC 3261 20.43: three digits, agent, text).
fn warning_of(response: &Response) -> Option<u16> {
    response.headers.text(&HeaderName::Warning)?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::b2bua::State;
    use crate::call::record::ReleasedBy;
    use crate::config::{Config, NoReader};
    use crate::ids::WorkerId;
    use crate::rng::Seed;

    fn call(number: u64) -> Call {
        Call {
            number,
            state: State::Ended,
            a: Leg::Operator,
            b: None,
            fork: None,
            origin: "phone/201".to_owned(),
            target: None,
            iam: crate::trunk::Iam::default(),
            worker: WorkerId(0),
            began_at: Instant::ZERO,
            answered_at: None,
            give_up_at: None,
            audio_open: false,
            released: Some((Release::here(Cause::BUSY), ReleasedBy::Gateway, Instant::ZERO)),
            status: None,
            diversions: Vec::new(),
            said_in_isup: None,
            translations: Vec::new(),
            refusal: None,
            redirected_to: Vec::new(),
            transfer: None,
            refers: 0,
            transferred_by: None,
            referred_by: None,
            first_party: false,
        }
    }

    #[test]
    fn the_last_calls_that_ended_can_be_asked_for_and_older_ones_make_room() {
        let config = Config::parse("test.toml", "[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\n", &NoReader);
        let config = config.expect("a valid configuration");
        let mut gateway = Gateway::new(config, Seed::from_number(1), Instant::ZERO);
        let calls = u64::try_from(limits::ENDED_CALLS).expect("few");
        for number in 1..=calls + 1 {
            gateway.remember(call(number).record(Instant::ZERO));
        }
        assert_eq!(gateway.call_story(Instant::ZERO, 1), None);
        for number in [2, calls + 1] {
            let (record, is_over) = gateway.call_story(Instant::ZERO, number).expect("remembered");
            assert_eq!((record.call, is_over, record.release.cause), (number, true, Cause::BUSY));
        }
        assert_eq!(gateway.ended.len(), limits::ENDED_CALLS);
    }

    #[test]
    fn a_record_keeps_so_many_translations_and_no_more() {
        let mut call = call(1);
        for status in 400..=500 {
            let mapped = said_cause(Location::User)(Cause::BUSY);
            call.note(Translation::by_header("trunk/a", Said::Status(status), mapped, "a test"));
        }
        let record = call.record(Instant::ZERO);
        assert_eq!(record.translations.len(), limits::TRANSLATIONS_PER_CALL);
        assert_eq!(record.translations[0].original, Said::Status(400), "the first ones");
    }
}
