//! Time as data: our [`Instant`], the heap of deadlines, and the rule that nobody here reads a clock.
//!
//! Every owner of timers (a transaction, a call, a port) keeps its own small table and tells the
//! heap only its earliest time. Entries are never removed: one whose owner has moved on is stale,
//! recognised when it is taken, and dropped by the owner.

pub use std::time::Duration;
pub use tipring_hal::Instant;

use crate::ids::less_room;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Earliest deadlines of many owners. Ties come out in the order they were put in.
#[derive(Debug)]
pub struct Deadlines<K> {
    heap: BinaryHeap<Reverse<(Instant, u64, K)>>,
    sequence: u64,
}

impl<K: Ord + Copy> Default for Deadlines<K> {
    fn default() -> Self {
        Deadlines { heap: BinaryHeap::new(), sequence: 0 }
    }
}

impl<K: Ord + Copy> Deadlines<K> {
    /// Asks for `owner` to be looked at when `at` has come.
    pub fn schedule(&mut self, at: Instant, owner: K) {
        self.sequence += 1;
        self.heap.push(Reverse((at, self.sequence, owner)));
    }

    /// When the next owner is due; it may turn out to be stale.
    pub fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Takes one owner that is due at `now`, earliest first.
    pub fn take_due(&mut self, now: Instant) -> Option<(Instant, K)> {
        self.heap.peek().filter(|Reverse((at, _, _))| *at <= now)?;
        let due = self.heap.pop().map(|Reverse((at, _, owner))| (at, owner));
        self.give_room_back();
        due
    }

    /// Entries kept, stale ones included.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing is scheduled.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Drops entries that `is_live` says are stale; for owners that reschedule often.
    pub fn retain(&mut self, mut is_live: impl FnMut(Instant, &K) -> bool) {
        self.heap.retain(|Reverse((at, _, owner))| is_live(*at, owner));
        self.give_room_back();
    }

    /// A burst of owners is no reason to keep their room for ever.
    fn give_room_back(&mut self) {
        if let Some(room) = less_room(self.heap.len(), self.heap.capacity()) {
            self.heap.shrink_to(room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_out_by_time_and_then_by_order_of_arrival() {
        let mut deadlines = Deadlines::default();
        deadlines.schedule(Instant::from_millis(5), 'b');
        deadlines.schedule(Instant::from_millis(1), 'z');
        deadlines.schedule(Instant::from_millis(5), 'a');
        assert_eq!(deadlines.next(), Some(Instant::from_millis(1)));
        let now = Instant::from_millis(5);
        let order: Vec<char> = std::iter::from_fn(|| deadlines.take_due(now)).map(|(_, k)| k).collect();
        assert_eq!(order, ['z', 'b', 'a']);
    }

    #[test]
    fn the_room_of_a_burst_is_given_back() {
        let mut deadlines = Deadlines::default();
        for n in 0..10_000 {
            deadlines.schedule(Instant::from_millis(n), n);
        }
        let room = deadlines.heap.capacity();
        while deadlines.take_due(Instant::from_millis(9_990)).is_some() {}
        assert_eq!(deadlines.len(), 9);
        assert!(deadlines.heap.capacity() < room / 50);
    }

    #[test]
    fn nothing_is_due_before_its_time() {
        let mut deadlines = Deadlines::default();
        deadlines.schedule(Instant::from_millis(5), ());
        assert_eq!(deadlines.take_due(Instant::from_nanos(4_999_999)), None);
        assert!(deadlines.take_due(Instant::from_millis(5)).is_some());
    }
}
