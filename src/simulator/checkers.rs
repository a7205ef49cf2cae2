//! What must hold in every run, whatever the workload does.
//!
//! The checkers watch the wire and the records from outside and read SIP by themselves ([`super::wire`]):
//!
//! - each INVITE that reached somebody gets exactly one final response (RFC 3261 13.3.1.4: a final
//!   response may be repeated, but never changed);
//! - RTP from a card counts its packets without a gap and its timestamps never step back;
//! - each call has one record, whose times are in order;
//! - after quiet nothing is left in the gateway.

use super::network::Packet;
use super::wire::{Glimpse, Kind};
use crate::call::record::CallRecord;
use crate::gateway::Counts;
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// Problems that are written down; more are only counted.
const PROBLEMS_KEPT: usize = 20;

/// Watches a run.
#[derive(Debug, Default)]
pub struct Checkers {
    invites: BTreeMap<InviteKey, Invite>,
    streams: BTreeMap<(SocketAddr, u32), (u16, u32)>,
    calls: BTreeSet<u64>,
    problems: Vec<String>,
    problem_count: u64,
}

/// An INVITE transaction: Call-ID, branch and CSeq number, who asked whom. Without ports: a response may come
/// over another connection than its request (RFC 3261 18.2.2). With the branch: a request that is sent once more
/// when its connection died is another transaction (RFC 3263 4.3), with an answer of its own.
type InviteKey = (String, String, u32, IpAddr, IpAddr);

#[derive(Debug)]
struct Invite {
    at: Instant,
    status: Option<u16>,
}

impl Checkers {
    /// A SIP message reached its receiver.
    pub fn delivered(&mut self, now: Instant, packet: &Packet) {
        if let Some(Glimpse { kind: Kind::Request("INVITE"), call_id, branch, sequence, .. }) =
            Glimpse::of(&packet.bytes)
        {
            let key = (call_id.to_owned(), branch.to_owned(), sequence, packet.from.ip(), packet.to.ip());
            self.invites.entry(key).or_insert(Invite { at: now, status: None });
        }
    }

    /// A SIP message was sent.
    pub fn sent(&mut self, now: Instant, packet: &Packet) {
        let Some(Glimpse { kind: Kind::Response(status), call_id, branch, sequence, method: "INVITE" }) =
            Glimpse::of(&packet.bytes)
        else {
            return;
        };
        if status < 200 {
            return;
        }
        let key = (call_id.to_owned(), branch.to_owned(), sequence, packet.to.ip(), packet.from.ip());
        match self.invites.get_mut(&key) {
            None => self.problem(format!("{now}: {status} for an INVITE that nobody sent, Call-ID {call_id}")),
            Some(invite) => match invite.status.replace(status) {
                Some(before) if before != status => {
                    self.problem(format!("{now}: INVITE got {before} and then {status}, Call-ID {call_id}"));
                }
                _ => {}
            },
        }
    }

    /// A card's worker sent an RTP packet.
    pub fn sent_from_card(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let Some(header) = bytes.first_chunk::<12>() else {
            self.problem(format!("{now}: a datagram from {from} is too short for RTP"));
            return;
        };
        let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let sequence = u16::from_be_bytes([header[2], header[3]]);
        let (timestamp, ssrc) = (word(4), word(8));
        if let Some((last, before)) = self.streams.insert((from, ssrc), (sequence, timestamp)) {
            if sequence != last.wrapping_add(1) {
                self.problem(format!("{now}: RTP from {from} jumped from sequence number {last} to {sequence}"));
            }
            if (timestamp.wrapping_sub(before) as i32) < 0 {
                self.problem(format!("{now}: RTP from {from} stepped back in time"));
            }
        }
    }

    /// A call ended.
    pub fn recorded(&mut self, now: Instant, record: &CallRecord) {
        if !self.calls.insert(record.call) {
            self.problem(format!("{now}: a second record of call {}", record.call));
        }
        let answered = record.answered_at.unwrap_or(record.began_at);
        if record.began_at > answered || answered > record.ended_at || record.ended_at > now {
            self.problem(format!("{now}: times of the record of call {} are out of order", record.call));
        }
    }

    /// Calls that have a record.
    pub fn records(&self) -> usize {
        self.calls.len()
    }

    /// Notes something that must not be.
    pub fn problem(&mut self, problem: String) {
        self.problem_count += 1;
        if self.problems.len() < PROBLEMS_KEPT {
            self.problems.push(problem);
        }
    }

    /// All problems so far, without those that only time can settle.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// All problems of a run that has become quiet: `counts` are what the gateway still holds.
    pub fn after_quiet(&self, counts: &Counts) -> Vec<String> {
        let mut problems = self.problems.clone();
        let beyond = self.problem_count - self.problems.len() as u64;
        if beyond > 0 {
            problems.push(format!("and {beyond} more"));
        }
        for ((call_id, _, sequence, ..), invite) in self.invites.iter().filter(|(_, i)| i.status.is_none()).take(5) {
            problems.push(format!("{}: INVITE {sequence} without a final response, Call-ID {call_id}", invite.at));
        }
        // Calls are numbered from 1, and each has ended: the last number is the count of records.
        if let Some(last) = self.calls.last().filter(|last| **last != self.calls.len() as u64) {
            problems.push(format!("{} records of {last} calls", self.calls.len()));
        }
        problems.extend(left(counts));
        problems
    }
}

/// What is left in a gateway, in words.
pub fn left(counts: &Counts) -> Vec<String> {
    let things = [
        ("calls", counts.calls),
        ("streams", counts.streams),
        ("RTP ports", counts.rtp_ports),
        ("busy lines", counts.busy_ports),
        ("deadlines of calls and lines", counts.deadlines),
        ("SIP sessions", counts.sip.sessions),
        ("client transactions", counts.sip.client_transactions),
        ("server transactions", counts.sip.server_transactions),
        ("SIP deadlines", counts.sip.deadlines),
    ];
    let mut left: Vec<String> =
        things.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{n} {name} left")).collect();
    if counts.faults > 0 {
        left.push(format!("{} calls ended by a broken assumption", counts.faults));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::network::{Form, Traffic};

    fn packet(from: u16, to: u16, text: &str) -> Packet {
        let address = |last: u16| SocketAddr::from(([127, 0, 0, last as u8], 5060));
        let bytes = format!("{text}\r\nCSeq: 1 INVITE\r\nCall-ID: x\r\n\r\n").into_bytes();
        Packet { traffic: Traffic::Signalling, form: Form::Datagram, from: address(from), to: address(to), bytes }
    }

    #[test]
    fn an_invite_needs_one_final_response_and_no_other() {
        let mut checkers = Checkers::default();
        let now = Instant::ZERO;
        checkers.delivered(now, &packet(1, 2, "INVITE sip:1@h SIP/2.0"));
        assert_eq!(checkers.after_quiet(&Counts::default()).len(), 1);
        checkers.sent(now, &packet(2, 1, "SIP/2.0 180 Ringing"));
        checkers.sent(now, &packet(2, 1, "SIP/2.0 486 Busy Here"));
        checkers.sent(now, &packet(2, 1, "SIP/2.0 486 Busy Here"));
        assert_eq!(checkers.after_quiet(&Counts::default()), [""; 0]);
        checkers.sent(now, &packet(2, 1, "SIP/2.0 200 OK"));
        checkers.sent(now, &packet(2, 3, "SIP/2.0 200 OK"));
        assert_eq!(checkers.after_quiet(&Counts::default()).len(), 2);
    }

    #[test]
    fn rtp_of_a_card_must_not_skip_or_step_back() {
        let mut checkers = Checkers::default();
        let from = SocketAddr::from(([127, 0, 0, 1], 20_000));
        let rtp = |sequence: u16, timestamp: u32| {
            let mut bytes = vec![0x80, 0];
            bytes.extend(sequence.to_be_bytes());
            bytes.extend(timestamp.to_be_bytes());
            bytes.extend([0, 0, 0, 1]);
            bytes
        };
        for (sequence, timestamp) in [(65_535, u32::MAX), (0, 159), (1, 159)] {
            checkers.sent_from_card(Instant::ZERO, from, &rtp(sequence, timestamp));
        }
        assert_eq!(checkers.problems(), [""; 0]);
        checkers.sent_from_card(Instant::ZERO, from, &rtp(3, 100));
        assert_eq!(checkers.problems().len(), 2);
    }

    #[test]
    fn what_is_left_is_named() {
        assert_eq!(left(&Counts::default()), [""; 0]);
        assert_eq!(left(&Counts { calls: 2, faults: 1, ..Counts::default() }).len(), 2);
    }
}
