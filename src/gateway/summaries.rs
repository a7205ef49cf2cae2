//! What an operator, a test or the simulator can ask of a running gateway.

use super::Gateway;
use crate::call::b2bua::State;
use crate::line::LineStatus;
use crate::sip;
use crate::time::Instant;

/// A call as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSummary {
    /// Its number, for `hangup`.
    pub number: u64,
    /// Where it came from: `phone/201`.
    pub from: String,
    /// The caller's number.
    pub calling: Option<String>,
    /// The number wanted.
    pub called: String,
    /// Where it goes: `station/101`.
    pub to: Option<String>,
    /// `setting up`, `ringing`, `talking`, `releasing`.
    pub state: &'static str,
    /// When it began.
    pub began_at: Instant,
    /// When it was answered.
    pub answered_at: Option<Instant>,
}

/// A SIP telephone or a station as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneSummary {
    /// `phone/201`, `station/105`.
    pub name: String,
    /// Its number.
    pub number: String,
    /// For a SIP telephone, where it is registered: `sip:201@192.0.2.7:5060`.
    pub contacts: Vec<String>,
    /// `registered`, `not registered`; for a station `on hook`, `ringing`, `dialling`...
    pub state: &'static str,
}

/// A trunk as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrunkSummary {
    /// `trunk/NAME`.
    pub name: String,
    /// Where calls go, `udp:192.0.2.1:5060`; empty when it only sends calls.
    pub to: String,
    /// In words: `registered for 3580 s more`, `not registered: 403 Forbidden, next attempt in 20 s`,
    /// `no registration`.
    pub state: String,
}

/// How much a gateway holds. All but the registrations reach 0 after quiet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls, those included that wait for the last RLC.
    pub calls: usize,
    /// Media streams.
    pub streams: usize,
    /// RTP ports in use.
    pub rtp_ports: usize,
    /// Sessions, transactions and deadlines of the SIP core.
    pub sip: sip::Counts,
    /// Deadlines of calls and ports, stale ones included.
    pub deadlines: usize,
    /// Ports that are in a call.
    pub busy_ports: usize,
    /// Calls that a broken assumption ended.
    pub faults: u64,
}

impl Gateway {
    /// All calls, in the order they began.
    pub fn call_summaries(&self) -> Vec<CallSummary> {
        let mut calls: Vec<CallSummary> = self
            .calls
            .iter()
            .map(|(_, call)| CallSummary {
                number: call.number,
                from: call.origin.clone(),
                calling: call.iam.calling.clone(),
                called: call.iam.called.clone(),
                to: call.target.clone(),
                state: match call.state {
                    State::Setup => "setting up",
                    State::Alerting => "ringing",
                    State::Answered => "talking",
                    State::Releasing(_) | State::Ended => "releasing",
                },
                began_at: call.began_at,
                answered_at: call.answered_at,
            })
            .collect();
        calls.sort_by_key(|call| call.number);
        calls
    }

    /// All SIP telephones and stations, in the order of the configuration.
    pub fn phone_summaries(&self, now: Instant) -> Vec<PhoneSummary> {
        let phones = self.config.phones.iter().map(|phone| {
            let contacts: Vec<String> =
                self.access.contacts(now, &phone.name).iter().map(|contact| contact.uri.to_string()).collect();
            let state = if contacts.is_empty() { "not registered" } else { "registered" };
            PhoneSummary { name: format!("phone/{}", phone.name), number: phone.number.clone(), contacts, state }
        });
        let stations = self.config.stations.iter().map(|station| {
            let port = self.port_called(&station.name).and_then(|id| self.ports.get(&id));
            let state = match port.map(|port| port.machine.status()) {
                Some(LineStatus::Idle) => "on hook",
                Some(LineStatus::Ringing) => "ringing",
                Some(LineStatus::Dialling) => "dialling",
                Some(LineStatus::Waiting) => "waiting",
                Some(LineStatus::Talking) => "talking",
                Some(LineStatus::Tone) => "tone",
                Some(LineStatus::LockedOut) => "left off hook",
                Some(LineStatus::OutOfService) | None => "out of service",
            };
            PhoneSummary {
                name: format!("station/{}", station.name),
                number: station.number.clone(),
                contacts: Vec::new(),
                state,
            }
        });
        phones.chain(stations).collect()
    }

    /// All SIP trunks, in the order of the configuration.
    pub fn trunk_summaries(&self, now: Instant) -> Vec<TrunkSummary> {
        let trunks = self.config.trunks.iter().enumerate();
        trunks
            .map(|(index, trunk)| TrunkSummary {
                name: format!("trunk/{}", trunk.name),
                to: trunk.to.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
                state: self.carriers.in_words(now, index).unwrap_or_else(|| "no registration".to_owned()),
            })
            .collect()
    }

    /// Addresses that are shut out, in order.
    pub fn banned(&self, now: Instant) -> Vec<std::net::IpAddr> {
        self.endpoint.banned(now)
    }

    /// How much is held.
    pub fn counts(&self) -> Counts {
        Counts {
            calls: self.calls.len(),
            streams: self.streams.len(),
            rtp_ports: self.rtp_ports.in_use(),
            sip: self.endpoint.counts(),
            deadlines: self.deadlines.len(),
            busy_ports: self.ports.values().filter(|port| port.call.is_some()).count(),
            faults: self.faults,
        }
    }
}
