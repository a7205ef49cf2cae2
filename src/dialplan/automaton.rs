//! The union of all patterns as one deterministic automaton.
//!
//! A state stands for the patterns that are still alive after some digits and how far each of them
//! is. The subset construction is finite because a pattern without end stays at one position. What
//! a caller may use is not in the automaton: a state lists patterns, and the plan asks which of
//! their rules serve the caller.

use super::pattern::{Pattern, SYMBOLS, symbol};
use std::collections::BTreeMap;

/// Most states; a plan that needs more is refused.
const STATES_MAX: usize = 200_000;
/// Most patterns named by all states together.
const ITEMS_MAX: usize = 8_000_000;

/// The state from which nothing leads to a number.
const DEAD: u32 = u32::MAX;

#[derive(Debug)]
struct State {
    next: [u32; SYMBOLS],
    /// Patterns that accept what was read, by rank.
    accepts: Box<[u32]>,
    /// Patterns that accept something longer.
    grows: Box<[u32]>,
}

/// Reads digits and says which patterns accept them.
#[derive(Debug, Default)]
pub(super) struct Automaton {
    states: Vec<State>,
}

/// Patterns that accept what was read, and those that accept something longer; by index.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading<'a> {
    pub(super) accepts: &'a [u32],
    pub(super) grows: &'a [u32],
}

/// A pattern that is alive, and how many places of it are read.
type Item = (u32, u32);

impl Automaton {
    /// Builds the automaton; patterns with a lower `rank` are named first. `None`: too large.
    pub(super) fn build(patterns: &[Pattern], rank: &[usize]) -> Option<Automaton> {
        let start: Vec<Item> = (0..patterns.len()).map(|index| (index as u32, 0)).collect();
        let mut numbers = BTreeMap::from([(start.clone(), 0u32)]);
        let mut waiting = vec![start];
        let mut states = Vec::new();
        let mut item_count = 0;
        // `waiting` grows while it is read: its index is the number of the state.
        while let Some(items) = waiting.get(states.len()).cloned() {
            item_count += items.len();
            if waiting.len() > STATES_MAX || item_count > ITEMS_MAX {
                return None;
            }
            let mut next = [DEAD; SYMBOLS];
            for (symbol, target) in next.iter_mut().enumerate() {
                let moved: Vec<Item> = items.iter().filter_map(|&item| step(patterns, item, symbol)).collect();
                if !moved.is_empty() {
                    *target = *numbers.entry(moved).or_insert_with_key(|moved| {
                        waiting.push(moved.clone());
                        (waiting.len() - 1) as u32
                    });
                }
            }
            states.push(State { next, accepts: accepting(patterns, &items, rank), grows: growing(patterns, &items) });
        }
        Some(Automaton { states })
    }

    /// Reads a number.
    pub(super) fn read(&self, digits: &str) -> Reading<'_> {
        let mut state = 0;
        for character in digits.chars() {
            match self.states.get(state as usize) {
                Some(found) => state = found.next[symbol(character)],
                None => return Reading::default(),
            }
        }
        match self.states.get(state as usize) {
            Some(found) => Reading { accepts: &found.accepts, grows: &found.grows },
            None => Reading::default(),
        }
    }
}

/// The item after one more symbol, if its pattern lives on.
fn step(patterns: &[Pattern], (index, read): Item, symbol: usize) -> Option<Item> {
    let pattern = &patterns[index as usize];
    if pattern.place(read as usize) >> symbol & 1 == 0 {
        return None;
    }
    let stays = pattern.is_open() && read as usize >= pattern.shortest();
    Some((index, if stays { read } else { read + 1 }))
}

fn accepting(patterns: &[Pattern], items: &[Item], rank: &[usize]) -> Box<[u32]> {
    let accepts = |&&(index, read): &&Item| read as usize >= patterns[index as usize].shortest();
    let mut list: Vec<u32> = items.iter().filter(accepts).map(|&(index, _)| index).collect();
    list.sort_by_key(|&index| rank[index as usize]);
    list.into_boxed_slice()
}

fn growing(patterns: &[Pattern], items: &[Item]) -> Box<[u32]> {
    items.iter().filter(|(index, read)| patterns[*index as usize].reaches(*read as usize + 1)).map(|i| i.0).collect()
}
