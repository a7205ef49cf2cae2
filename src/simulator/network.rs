//! A network that misbehaves on purpose: delay, jitter, loss, bursts, duplicates, reordering, cuts.
//!
//! A packet that is sent is either lost at once or gets its time of arrival at once, so the order of
//! everything depends on the seed alone. Packets with the same time of arrival come out in the order
//! in which they were sent. Jitter alone does not reorder: packets of one direction between two
//! addresses stay in order, unless the reordering fault holds one of them back.
//!
//! Packets of a TCP connection are never lost, doubled or reordered: a loss costs them the time of a
//! repetition, and the connection as a whole may die, which both ends hear of. TLS is the same with a
//! handshake, which takes one more round trip and may fail; its cryptography is not simulated.

use crate::rng::{Rng, Seed};
use crate::time::{Duration, Instant};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, SocketAddr};

/// A share in millionths: 50,000 is 5 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millionths(pub u32);

impl Millionths {
    /// From a share in percent, 0 to 100; `None` outside.
    pub fn from_percent(percent: f64) -> Option<Millionths> {
        (0.0..=100.0).contains(&percent).then(|| Millionths((percent * 10_000.0).round() as u32))
    }

    fn happens(self, rng: &mut Rng) -> bool {
        self.0 > 0 && rng.chance(u64::from(self.0), 1_000_000)
    }
}

/// What a path does to packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// What every packet takes.
    pub delay: Duration,
    /// What a packet takes more, evenly drawn from zero to this.
    pub jitter: Duration,
    /// Share of packets lost, each by itself.
    pub loss: Millionths,
    /// Share of packets at which a burst of losses begins.
    pub burst: Millionths,
    /// Packets lost in a burst, drawn from 1 to this.
    pub burst_length: u32,
    /// Share of packets that arrive twice.
    pub duplicate: Millionths,
    /// Share of packets that are held back and overtaken.
    pub reorder: Millionths,
    /// How long those are held back.
    pub reorder_by: Duration,
    /// Share of packets of a TCP connection at which the connection dies.
    pub dies: Millionths,
    /// Share of TLS handshakes that fail.
    pub handshake_fails: Millionths,
}

/// What a loss costs a packet of a TCP connection: the time until it is repeated.
const TCP_REPEATED_AFTER: Duration = Duration::from_millis(200);

/// How a packet travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// By itself.
    #[default]
    Datagram,
    /// Asks for a TCP connection between its two addresses.
    Open,
    /// Grants one.
    Accept,
    /// Begins the handshake of TLS on one.
    Hello,
    /// Ends the handshake: what follows is said in secret.
    Welcome,
    /// Bytes on a connection.
    Bytes,
    /// Ends a connection, or refuses one.
    Close,
}

/// What a packet carries, which decides the faults it meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Traffic {
    /// SIP.
    Signalling,
    /// RTP.
    Media,
}

/// A time during which packets from and to an address are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The address that is cut off; `None`: everybody.
    pub address: Option<IpAddr>,
    /// Only this traffic; `None`: all.
    pub traffic: Option<Traffic>,
    /// From when.
    pub from: Instant,
    /// Until when.
    pub until: Instant,
}

impl Cut {
    fn stops(&self, now: Instant, packet: &Packet) -> bool {
        (self.from..self.until).contains(&now)
            && self.traffic.is_none_or(|t| t == packet.traffic)
            && self.address.is_none_or(|a| a == packet.from.ip() || a == packet.to.ip())
    }
}

/// A datagram on its way, or a piece of a TCP connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// What it carries.
    pub traffic: Traffic,
    /// How it travels.
    pub form: Form,
    /// Who sent it.
    pub from: SocketAddr,
    /// Where it goes.
    pub to: SocketAddr,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// What happened to the packets so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Handed to the network.
    pub sent: u64,
    /// Lost, by chance, burst or cut.
    pub lost: u64,
    /// Delivered a second time.
    pub duplicated: u64,
    /// Held back.
    pub reordered: u64,
    /// Handed to the receiver.
    pub delivered: u64,
    /// TCP connections that died.
    pub died: u64,
}

/// The network between everybody.
#[derive(Debug)]
pub struct Network {
    rng: Rng,
    signalling: Path,
    media: Path,
    cuts: Vec<Cut>,
    in_flight: BinaryHeap<Reverse<InFlight>>,
    sequence: u64,
    /// When the last packet of a direction arrives, so that jitter keeps the order.
    arrivals: BTreeMap<(SocketAddr, SocketAddr), Instant>,
    /// The same for each direction of a TCP connection, until it is closed.
    stream_arrivals: BTreeMap<(SocketAddr, SocketAddr), Instant>,
    counters: Counters,
}

#[derive(Debug)]
struct Path {
    faults: Faults,
    /// Packets that the burst of now will still take.
    burst_left: u64,
}

#[derive(Debug)]
struct InFlight {
    at: Instant,
    sequence: u64,
    packet: Packet,
}

impl PartialEq for InFlight {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.sequence) == (other.at, other.sequence)
    }
}
impl Eq for InFlight {}
impl PartialOrd for InFlight {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for InFlight {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// Directions whose last arrival is remembered before those in the past are forgotten.
const DIRECTIONS_KEPT: usize = 1_024;

impl Network {
    /// A network with these faults on SIP and on RTP.
    pub fn new(seed: Seed, signalling: Faults, media: Faults, cuts: Vec<Cut>) -> Self {
        let path = |faults| Path { faults, burst_left: 0 };
        Network {
            rng: seed.fork("network").rng(),
            signalling: path(signalling),
            media: path(media),
            cuts,
            in_flight: BinaryHeap::new(),
            sequence: 0,
            arrivals: BTreeMap::new(),
            stream_arrivals: BTreeMap::new(),
            counters: Counters::default(),
        }
    }

    /// Adds a cut.
    pub fn cut(&mut self, cut: Cut) {
        self.cuts.push(cut);
    }

    /// Changes the faults of one kind of traffic from now on; packets on their way keep their fate.
    pub fn set_faults(&mut self, traffic: Traffic, faults: Faults) {
        let path = if traffic == Traffic::Media { &mut self.media } else { &mut self.signalling };
        *path = Path { faults, burst_left: 0 };
    }

    /// Sends a packet.
    pub fn send(&mut self, now: Instant, packet: Packet) {
        self.counters.sent += 1;
        if packet.form != Form::Datagram {
            return self.send_stream(now, packet);
        }
        let path = if packet.traffic == Traffic::Media { &mut self.media } else { &mut self.signalling };
        let faults = path.faults;
        if path.burst_left == 0 && faults.burst.happens(&mut self.rng) {
            path.burst_left = self.rng.between(1, u64::from(faults.burst_length.max(1)));
        }
        let in_burst = path.burst_left > 0;
        path.burst_left = path.burst_left.saturating_sub(1);
        let lost = faults.loss.happens(&mut self.rng) || in_burst || self.cuts.iter().any(|c| c.stops(now, &packet));
        if lost {
            self.counters.lost += 1;
            return;
        }
        if faults.duplicate.happens(&mut self.rng) {
            self.counters.duplicated += 1;
            self.launch(now, faults, packet.clone());
        }
        self.launch(now, faults, packet);
    }

    /// A cut and a death end the connection; each loss delays its packet.
    fn send_stream(&mut self, now: Instant, packet: Packet) {
        let faults = self.signalling.faults;
        let cut = self.cuts.iter().any(|c| c.stops(now, &packet));
        let fails = packet.form == Form::Hello && faults.handshake_fails.happens(&mut self.rng);
        if packet.form != Form::Close && (cut || fails || faults.dies.happens(&mut self.rng)) {
            self.counters.died += 1;
            let end = |from, to| Packet { form: Form::Close, from, to, bytes: Vec::new(), ..packet.clone() };
            let (ours, theirs) = (end(packet.to, packet.from), end(packet.from, packet.to));
            self.launch_in_order(now + faults.delay, ours);
            return self.launch_in_order(now + faults.delay, theirs);
        }
        let mut at = now + faults.delay;
        let mut repeated_after = TCP_REPEATED_AFTER;
        while faults.loss.happens(&mut self.rng) && repeated_after < TCP_REPEATED_AFTER * 64 {
            at += repeated_after;
            repeated_after *= 2;
        }
        let jitter = u64::try_from(faults.jitter.as_nanos()).unwrap_or(u64::MAX);
        if jitter > 0 {
            at += Duration::from_nanos(self.rng.below(jitter));
        }
        self.launch_in_order(at, packet);
    }

    fn launch_in_order(&mut self, at: Instant, packet: Packet) {
        let last = self.stream_arrivals.entry((packet.from, packet.to)).or_default();
        let at = at.max(*last);
        match packet.form {
            Form::Close => drop(self.stream_arrivals.remove(&(packet.from, packet.to))),
            _ => *last = at,
        }
        self.sequence += 1;
        self.in_flight.push(Reverse(InFlight { at, sequence: self.sequence, packet }));
    }

    fn launch(&mut self, now: Instant, faults: Faults, packet: Packet) {
        let jitter = u64::try_from(faults.jitter.as_nanos()).unwrap_or(u64::MAX);
        let mut at = now + faults.delay;
        if jitter > 0 {
            at += Duration::from_nanos(self.rng.below(jitter));
        }
        if faults.reorder.happens(&mut self.rng) {
            self.counters.reordered += 1;
            at += faults.reorder_by;
        } else if jitter > 0 {
            if self.arrivals.len() >= DIRECTIONS_KEPT {
                self.arrivals.retain(|_, arrival| *arrival > now);
            }
            let last = self.arrivals.entry((packet.from, packet.to)).or_default();
            at = at.max(*last);
            *last = at;
        }
        self.sequence += 1;
        self.in_flight.push(Reverse(InFlight { at, sequence: self.sequence, packet }));
    }

    /// When the next packet arrives.
    pub fn next(&self) -> Option<Instant> {
        self.in_flight.peek().map(|Reverse(packet)| packet.at)
    }

    /// Takes a packet that has arrived by `now`.
    pub fn take_due(&mut self, now: Instant) -> Option<Packet> {
        if self.next()? > now {
            return None;
        }
        self.counters.delivered += 1;
        self.in_flight.pop().map(|Reverse(packet)| packet.packet)
    }

    /// Packets on their way.
    pub fn len(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn packet(number: u32) -> Packet {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let form = Form::Datagram;
        Packet {
            traffic: Traffic::Signalling,
            form,
            from: address(1),
            to: address(2),
            bytes: number.to_be_bytes().to_vec(),
        }
    }

    /// Sends `count` packets a millisecond apart; times of arrival and numbers of what arrives.
    fn run(seed: u64, faults: Faults, cuts: Vec<Cut>, count: u32) -> (Vec<(Instant, u32)>, Counters) {
        let mut network = Network::new(Seed::from_number(seed), faults, Faults::default(), cuts);
        let mut arrived = Vec::new();
        for number in 0..count {
            network.send(Instant::ZERO + MS * number, packet(number));
        }
        while let Some(at) = network.next() {
            let packet = network.take_due(at).expect("a packet that is due");
            arrived.push((at, u32::from_be_bytes(packet.bytes.try_into().expect("four bytes"))));
        }
        (arrived, network.counters())
    }

    #[test]
    fn a_network_without_faults_delivers_at_once_and_in_order() {
        let (arrived, counters) = run(1, Faults::default(), Vec::new(), 100);
        assert!(arrived.iter().enumerate().all(|(i, (at, n))| i as u32 == *n && *at == Instant::ZERO + MS * *n));
        assert_eq!(counters, Counters { sent: 100, delivered: 100, ..Counters::default() });
    }

    #[test]
    fn jitter_delays_within_its_bound_and_keeps_the_order() {
        let faults = Faults { delay: 10 * MS, jitter: 30 * MS, ..Faults::default() };
        let (arrived, _) = run(2, faults, Vec::new(), 1_000);
        assert!(arrived.iter().map(|a| a.1).eq(0..1_000));
        let taken: Vec<Duration> = arrived.iter().map(|(at, n)| at.since(Instant::ZERO + MS * *n)).collect();
        assert!(taken.iter().all(|t| (10 * MS..=40 * MS).contains(t)));
        assert!(taken.iter().any(|t| *t > 30 * MS));
    }

    #[test]
    fn losses_duplicates_and_reordering_come_in_their_shares_and_from_the_seed() {
        let faults = Faults {
            loss: Millionths(50_000),
            duplicate: Millionths(20_000),
            reorder: Millionths(100_000),
            reorder_by: 5 * MS,
            ..Faults::default()
        };
        let (arrived, counters) = run(3, faults, Vec::new(), 20_000);
        assert!((900..1_100).contains(&counters.lost), "{counters:?}");
        assert!((300..500).contains(&counters.duplicated), "{counters:?}");
        assert!((1_800..2_200).contains(&counters.reordered), "{counters:?}");
        assert!(arrived.windows(2).any(|w| w[0].1 > w[1].1));
        assert_eq!(counters.delivered, counters.sent - counters.lost + counters.duplicated);
        assert_eq!(run(3, faults, Vec::new(), 20_000).0, arrived);
        assert_ne!(run(4, faults, Vec::new(), 20_000).0, arrived);
    }

    #[test]
    fn bursts_take_packets_that_follow_each_other() {
        let faults = Faults { burst: Millionths(1_000), burst_length: 8, ..Faults::default() };
        let (arrived, _) = run(5, faults, Vec::new(), 20_000);
        let gap = arrived.windows(2).map(|w| w[1].1 - w[0].1).max().expect("packets");
        assert!((3..=17).contains(&gap), "longest gap {gap}");
    }

    #[test]
    fn a_cut_stops_its_address_for_its_time() {
        let cut = Cut {
            address: Some([127, 0, 0, 1].into()),
            traffic: Some(Traffic::Signalling),
            from: Instant::from_millis(10),
            until: Instant::from_millis(20),
        };
        let (arrived, _) = run(6, Faults::default(), vec![cut], 30);
        assert!(arrived.iter().all(|(_, n)| !(10..20).contains(n)));
        assert_eq!(arrived.len(), 20);
        let other = Cut { address: Some([127, 0, 0, 9].into()), ..cut };
        assert_eq!(run(6, Faults::default(), vec![other], 30).0.len(), 30);
    }
}
