//! Addresses that made us refuse: how often lately, and which are shut out.
//!
//! A table of fixed size, so that a flood from made-up addresses costs no memory: each address has
//! four places that it can be in, and takes the one that was used least lately. Whoever is shut out
//! keeps its place as long as another one can be had. An IPv6 address counts as its /64, the least
//! that one host has.

use super::reply::keyed_hash;
use crate::limits::SOURCES_MAX;
use crate::time::{Duration, Instant};
use std::net::{IpAddr, Ipv6Addr};

/// Places that an address can be in.
const WAYS: usize = 4;

/// When an address is shut out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BanRule {
    /// After this many failures,
    pub failures: u32,
    /// which lie no further apart than this,
    pub within: Duration,
    /// for this long.
    pub lasts: Duration,
}

/// So many a second, and twice as many at once.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: u64,
    /// In billionths.
    tokens: u64,
    filled: Instant,
}

/// One token.
const WHOLE: u64 = 1_000_000_000;

impl Bucket {
    /// A full one, of this many a second.
    pub fn new(rate: u64) -> Bucket {
        // Beyond it a second's worth would not fit the counter.
        let rate = rate.min(1_000_000);
        Bucket { rate, tokens: Bucket::most(rate), filled: Instant::ZERO }
    }

    fn most(rate: u64) -> u64 {
        rate.saturating_mul(2 * WHOLE)
    }

    fn fill(&mut self, now: Instant) {
        let passed = u64::try_from(now.since(self.filled).as_nanos()).unwrap_or(u64::MAX).min(2 * WHOLE);
        self.tokens = self.tokens.saturating_add(passed.saturating_mul(self.rate)).min(Bucket::most(self.rate));
        self.filled = now;
    }

    /// Takes one out, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        let left = self.tokens.checked_sub(WHOLE);
        self.tokens = left.unwrap_or(self.tokens);
        left.is_some()
    }

    fn is_full(&self) -> bool {
        self.tokens >= Bucket::most(self.rate)
    }
}

#[derive(Clone, Copy, Debug)]
struct Source {
    address: Ipv6Addr,
    used: Instant,
    refusals: Bucket,
    /// Silence was reported.
    told: bool,
    failures: u32,
    failing_since: Instant,
    banned_until: Option<Instant>,
}

/// The table.
#[derive(Debug)]
pub(super) struct Sources {
    places: Vec<Option<Source>>,
    refusals_per_second: u64,
    ban: Option<BanRule>,
    key: [u64; 2],
}

impl Sources {
    pub(super) fn new(refusals_per_second: u32, ban: Option<BanRule>, key: [u64; 2]) -> Sources {
        Sources { places: vec![None; SOURCES_MAX], refusals_per_second: u64::from(refusals_per_second), ban, key }
    }

    /// When addresses are shut out.
    pub(super) fn rule(&self) -> Option<BanRule> {
        self.ban
    }

    /// Whether nothing of this address is listened to at `now`.
    pub(super) fn is_banned(&self, now: Instant, address: IpAddr) -> bool {
        self.find(host_of(address)).and_then(|source| source.banned_until).is_some_and(|until| until > now)
    }

    /// Shuts an address out again, as it was before a restart. One that is shut out for longer stays so.
    pub(super) fn ban(&mut self, now: Instant, address: IpAddr, until: Instant) {
        if let Some(source) = self.place(now, host_of(address)) {
            source.banned_until = source.banned_until.max(Some(until));
        }
    }

    /// Counts a failure of this address; true when it is shut out for it.
    pub(super) fn failed(&mut self, now: Instant, address: IpAddr) -> bool {
        let Some(rule) = self.ban else { return false };
        let Some(source) = self.place(now, host_of(address)) else { return false };
        if now.since(source.failing_since) > rule.within {
            source.failures = 0;
            source.failing_since = now;
        }
        source.failures = source.failures.saturating_add(1);
        if source.failures < rule.failures {
            return false;
        }
        source.failures = 0;
        source.banned_until = Some(now + rule.lasts);
        true
    }

    /// Whether one more refusal may be sent to this address.
    pub(super) fn may_refuse(&mut self, now: Instant, address: IpAddr) -> bool {
        let Some(source) = self.place(now, host_of(address)) else { return false };
        source.refusals.fill(now);
        if source.refusals.is_full() {
            source.told = false;
        }
        source.refusals.take(now)
    }

    /// Whether silence towards this address is news.
    pub(super) fn begins_to_flood(&mut self, address: IpAddr) -> bool {
        let host = host_of(address);
        let set = self.set(host);
        let places = self.places.get_mut(set..set + WAYS).unwrap_or_default();
        let source = places.iter_mut().flatten().find(|source| source.address == host);
        source.is_some_and(|source| !std::mem::replace(&mut source.told, true))
    }

    pub(super) fn banned(&self, now: Instant) -> Vec<IpAddr> {
        let banned = |source: &&Source| source.banned_until.is_some_and(|until| until > now);
        let mut addresses: Vec<IpAddr> = self
            .places
            .iter()
            .flatten()
            .filter(banned)
            .map(|source| IpAddr::V6(source.address).to_canonical())
            .collect();
        addresses.sort();
        addresses
    }

    /// The first of the places that a host can be in.
    fn set(&self, host: Ipv6Addr) -> usize {
        let sets = self.places.len() / WAYS;
        let number = usize::try_from(keyed_hash(self.key, &host.octets()) >> 1).unwrap_or(0);
        number.checked_rem(sets).unwrap_or(0) * WAYS
    }

    fn find(&self, host: Ipv6Addr) -> Option<&Source> {
        let set = self.set(host);
        self.places.get(set..set + WAYS)?.iter().flatten().find(|source| source.address == host)
    }

    /// The place of a host, emptied for it when it had none.
    fn place(&mut self, now: Instant, host: Ipv6Addr) -> Option<&mut Source> {
        let set = self.set(host);
        let rate = self.refusals_per_second;
        let places = self.places.get_mut(set..set + WAYS)?;
        let known = places.iter().position(|place| place.is_some_and(|source| source.address == host));
        // Free places first, then the longest unused one that is not shut out, then any.
        let worth = |place: &Option<Source>| place.map(|s| (s.banned_until.is_some_and(|until| until > now), s.used));
        let at = known.or_else(|| (0..places.len()).min_by_key(|at| places.get(*at).map(worth)))?;
        let place = places.get_mut(at)?;
        if known.is_none() {
            *place = Some(Source {
                address: host,
                used: now,
                refusals: Bucket::new(rate),
                told: false,
                failures: 0,
                failing_since: now,
                banned_until: None,
            });
        }
        let source = place.as_mut()?;
        source.used = now;
        Some(source)
    }
}

/// What counts as one source.
fn host_of(address: IpAddr) -> Ipv6Addr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(number))
    }

    fn rule() -> BanRule {
        BanRule { failures: 3, within: Duration::from_secs(60), lasts: Duration::from_secs(600) }
    }

    #[test]
    fn a_bucket_gives_its_rate_and_twice_as_many_at_once() {
        let mut bucket = Bucket::new(10);
        let taken = |bucket: &mut Bucket, at| (0..100).filter(|_| bucket.take(Instant::from_millis(at))).count();
        assert_eq!(taken(&mut bucket, 0), 20);
        assert_eq!(taken(&mut bucket, 1_000), 10);
        assert_eq!(taken(&mut bucket, 1_099), 0);
        assert_eq!(taken(&mut bucket, 1_100), 1);
        assert_eq!(taken(&mut bucket, 90_000), 20);
    }

    #[test]
    fn an_address_is_shut_out_after_its_failures_and_for_its_time() {
        let mut sources = Sources::new(10, Some(rule()), [1, 2]);
        let at = Instant::from_millis;
        assert!(!sources.failed(at(0), address(1)) && !sources.failed(at(60_000), address(1)));
        // The first two are too old by now.
        assert!(!sources.failed(at(60_001), address(1)) && !sources.failed(at(60_002), address(1)));
        assert!(!sources.is_banned(at(60_002), address(1)));
        assert!(sources.failed(at(60_003), address(1)));
        assert!(sources.is_banned(at(660_002), address(1)) && !sources.is_banned(at(660_003), address(1)));
        assert!(!sources.is_banned(at(60_003), address(2)));
        assert_eq!(sources.banned(at(60_003)), [address(1)]);
    }

    #[test]
    fn an_address_that_was_shut_out_before_stays_so_for_the_rest_of_its_time() {
        let mut sources = Sources::new(10, Some(rule()), [1, 2]);
        let at = Instant::from_millis;
        sources.ban(at(0), address(1), at(5_000));
        sources.ban(at(0), address(1), at(2_000));
        assert!(sources.is_banned(at(4_999), address(1)) && !sources.is_banned(at(5_000), address(1)));
    }

    #[test]
    fn the_table_is_bounded_and_keeps_those_who_are_shut_out() {
        let mut sources = Sources::new(10, Some(BanRule { failures: 1, ..rule() }), [1, 2]);
        assert!(sources.failed(Instant::ZERO, address(1)));
        for number in 2..10 * SOURCES_MAX as u32 {
            sources.may_refuse(Instant::from_millis(1), address(number));
        }
        assert_eq!(sources.places.len(), SOURCES_MAX);
        assert!(sources.is_banned(Instant::from_millis(2), address(1)));
    }

    #[test]
    fn one_host_cannot_be_many_by_its_lower_half() {
        let mut sources = Sources::new(1, None, [1, 2]);
        let host = |n: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, n));
        let sent = (0..10).filter(|n| sources.may_refuse(Instant::ZERO, host(*n))).count();
        assert_eq!(sent, 2);
        assert!(sources.begins_to_flood(host(3)) && !sources.begins_to_flood(host(4)));
    }
}
