//! Generational ids, a slab of values, a keyed map that cannot be iterated, and the numbers of
//! cards, ports and workers.
//!
//! A value lives in one slab; everybody else refers to it by [`Id`]. A stale id finds nothing,
//! so "the call ended meanwhile" is an ordinary `None`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher};
use std::marker::PhantomData;
use tipring_hal::PortIndex;

/// A reference to a value of type `T` in a [`Slab`], valid as long as the value lives.
pub struct Id<T> {
    index: u32,
    generation: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// The place in the slab; may be reused by a later value.
    pub fn index(self) -> usize {
        self.index as usize
    }

    /// Index and generation as one number, unique over the life of the slab.
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The id with these [`Id::to_bits`].
    pub fn from_bits(bits: u64) -> Self {
        Id { index: bits as u32, generation: (bits >> 32) as u32, of: PhantomData }
    }

    /// The same place and generation, for a slab of another type that is kept in step.
    pub fn cast<U>(self) -> Id<U> {
        Id { index: self.index, generation: self.generation, of: PhantomData }
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.to_bits() == other.to_bits()
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.to_bits().cmp(&other.to_bits())
    }
}
impl<T> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to_bits().hash(state);
    }
}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// Places that a [`Slab`] or an [`Index`] keeps however empty it is: shrinking less is not worth the work.
const PLACES_KEPT: usize = 64;

/// Values with stable ids. Iterates in order of place, the same for the same history.
///
/// The lowest free place is taken first, and free places at the end are given up: what a burst took goes
/// back when it is over, whatever lives on.
#[derive(Debug)]
pub struct Slab<T> {
    slots: Vec<Slot<T>>,
    /// Free places. Those beyond the end of `slots` were given up.
    free: BinaryHeap<Reverse<u32>>,
    /// Generation of a place that is made: above that of every place that was given up.
    first_generation: u32,
    count: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { slots: Vec::new(), free: BinaryHeap::new(), first_generation: 0, count: 0 }
    }
}

impl<T> Slab<T> {
    /// Puts a value in and names it. The caller bounds the number of values by a limit.
    pub fn insert(&mut self, value: T) -> Id<T> {
        self.insert_with(|_| value)
    }

    /// Puts in the value that `make` builds from its own id.
    pub fn insert_with(&mut self, make: impl FnOnce(Id<T>) -> T) -> Id<T> {
        let index = match self.free.pop() {
            Some(Reverse(index)) if (index as usize) < self.slots.len() => index,
            _ => {
                self.free.clear(); // the lowest was given up, so all were
                self.slots.push(Slot { generation: self.first_generation, value: None });
                (self.slots.len() - 1) as u32
            }
        };
        let slot = &mut self.slots[index as usize];
        let id = Id { index, generation: slot.generation, of: PhantomData };
        slot.value = Some(make(id));
        self.count += 1;
        id
    }

    /// The value, if it still lives.
    pub fn get(&self, id: Id<T>) -> Option<&T> {
        self.slots.get(id.index()).filter(|s| s.generation == id.generation)?.value.as_ref()
    }

    /// The value, if it still lives.
    pub fn get_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        self.slots.get_mut(id.index()).filter(|s| s.generation == id.generation)?.value.as_mut()
    }

    /// Takes the value out; its id is stale from now on.
    pub fn remove(&mut self, id: Id<T>) -> Option<T> {
        let slot = self.slots.get_mut(id.index()).filter(|s| s.generation == id.generation)?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(Reverse(id.index));
        self.count -= 1;
        self.give_up_places();
        Some(value)
    }

    /// Gives up free places at the end, and their memory once that is a lot.
    fn give_up_places(&mut self) {
        while let Some(slot) = self.slots.pop_if(|slot| slot.value.is_none()) {
            // Wraps after four billion uses of one place, as the generation of a place does.
            self.first_generation = self.first_generation.max(slot.generation);
        }
        let places = self.slots.len();
        if let Some(room) = less_room(places, self.slots.capacity()) {
            self.slots.shrink_to(room);
        }
        if self.free.len() > 2 * (places - self.count) + PLACES_KEPT {
            self.free.retain(|Reverse(index)| (*index as usize) < places);
            self.free.shrink_to(places - self.count);
        }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All values with their ids, in order of place.
    pub fn iter(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let id = Id { index: index as u32, generation: slot.generation, of: PhantomData };
            slot.value.as_ref().map(|value| (id, value))
        })
    }
}

/// The room that something should shrink to when it uses less than a quarter of its capacity. Twice of
/// what is used remains, so that something that grows and shrinks around a border moves rarely.
pub fn less_room(used: usize, capacity: usize) -> Option<usize> {
    (capacity > PLACES_KEPT && used < capacity / 4).then_some((used * 2).max(PLACES_KEPT / 2))
}

/// Hashes with a secret prefix, so that nobody outside can choose colliding keys.
#[derive(Clone, Copy, Debug)]
struct Keyed([u64; 2]);

impl BuildHasher for Keyed {
    type Hasher = DefaultHasher;
    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        hasher
    }
}

/// A hash map without an iterator: its order can influence nothing.
#[derive(Debug)]
pub struct Index<K, V> {
    #[allow(clippy::disallowed_types, reason = "this is the one place; it has no iterator")]
    map: std::collections::HashMap<K, V, Keyed>,
}

impl<K: Hash + Eq, V> Index<K, V> {
    /// An empty map whose hash depends on `key`, two numbers drawn from the seed.
    #[allow(clippy::disallowed_types, reason = "this is the one place; it has no iterator")]
    pub fn new(key: [u64; 2]) -> Self {
        Index { map: std::collections::HashMap::with_hasher(Keyed(key)) }
    }

    /// The value of `key`.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.map.get(key)
    }

    /// The value of `key`, to be changed.
    pub fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.map.get_mut(key)
    }

    /// Sets the value of `key`; returns the one before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.map.insert(key, value)
    }

    /// Removes `key`.
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        let value = self.map.remove(key);
        // A removal alone shrinks nothing. Done rarely, so each removal pays a small part of it.
        if value.is_some()
            && let Some(room) = less_room(self.map.len(), self.map.capacity())
        {
            self.map.shrink_to(room);
        }
        value
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }
}

/// Number of a card, in the order of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CardId(pub u16);

/// A port of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId {
    /// The card.
    pub card: CardId,
    /// The port on it.
    pub port: PortIndex,
}

/// Which media worker: one a card, in card order, then the software-clocked ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u16);

/// Number of a circuit group, in the order of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_id_finds_nothing_although_its_place_is_used_again() {
        let mut slab = Slab::default();
        let first = slab.insert("first");
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert("second");
        assert_eq!(second.index(), first.index());
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&"second"));
        assert_eq!(slab.len(), 1);
        assert_eq!(Id::<&str>::from_bits(second.to_bits()), second);
    }

    #[test]
    fn a_slab_gives_up_the_places_of_a_burst_and_old_ids_stay_stale() {
        let mut slab = Slab::default();
        let stays = slab.insert(0);
        let burst: Vec<_> = (1..10_000).map(|n| slab.insert(n)).collect();
        let room = slab.slots.capacity();
        for id in &burst {
            assert!(slab.remove(*id).is_some());
        }
        assert!(slab.slots.capacity() < room / 50 && slab.free.capacity() < room / 50, "{slab:?}");
        assert_eq!((slab.len(), slab.get(stays)), (1, Some(&0)));
        let again: Vec<_> = (1..10_000).map(|n| slab.insert(n)).collect();
        assert!(burst.iter().all(|id| slab.get(*id).is_none()));
        assert!(again.iter().all(|id| slab.get(*id).is_some()));
        assert_eq!(slab.len(), 10_000);
    }

    #[test]
    fn the_lowest_free_place_of_a_slab_is_taken_first() {
        let mut slab = Slab::default();
        let ids: Vec<_> = (0..8).map(|n| slab.insert(n)).collect();
        for n in [5, 2, 4, 7] {
            slab.remove(ids[n]);
        }
        let places: Vec<_> = (0..5).map(|n| slab.insert(n).index()).collect();
        assert_eq!(places, [2, 4, 5, 7, 8]);
    }

    #[test]
    fn an_index_gives_up_the_room_of_a_burst() {
        let mut index = Index::new([1, 2]);
        for n in 0..10_000 {
            index.insert(n, n);
        }
        let room = index.map.capacity();
        for n in 1..10_000 {
            index.remove(&n);
        }
        assert!(index.map.capacity() < room / 50);
        assert_eq!((index.len(), index.get(&0)), (1, Some(&0)));
    }
}
