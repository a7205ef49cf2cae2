//! The switches of all circuit groups that are simulated, as whoever runs the gateway carries them along.

use super::{Ended, Output, Script, Switch, Trunk};
use crate::ids::GroupId;
use crate::media::Tone;
use crate::rng::Seed;
use crate::time::Instant;
use std::collections::{BTreeMap, VecDeque};

/// All simulated switches of a configuration.
#[derive(Debug, Default)]
pub struct FarEnds {
    switches: BTreeMap<GroupId, Switch>,
    said: VecDeque<Said>,
    ended: VecDeque<(GroupId, Ended)>,
}

/// What a switch has to say to the gateway.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// A message, from its circuit on.
    Octets(GroupId, Vec<u8>),
    /// A circuit sounds otherwise from now on.
    Sound(GroupId, u16, Option<Tone>),
}

impl FarEnds {
    /// The switches of these groups; the seed is forked by the number of the group.
    pub fn new(now: Instant, groups: impl IntoIterator<Item = (GroupId, Trunk, Script)>, seed: &Seed) -> FarEnds {
        let switch = |(group, trunk, script): (GroupId, Trunk, Script)| {
            (group, Switch::new(now, trunk, script, seed.fork(&format!("far end {}", group.0))))
        };
        FarEnds { switches: groups.into_iter().map(switch).collect(), ..FarEnds::default() }
    }

    /// Gives a message of the gateway to the switch of its group, if there is one.
    pub fn handle(&mut self, now: Instant, group: GroupId, octets: &[u8]) {
        let mut out = Vec::new();
        if let Some(switch) = self.switches.get_mut(&group) {
            switch.handle(now, octets, &mut out);
        }
        self.note(group, out);
    }

    /// Takes the switch of a group away: somebody else speaks for it.
    pub fn remove(&mut self, group: GroupId) {
        self.switches.remove(&group);
    }

    /// When [`FarEnds::handle_timeout`] is to be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.switches.values().filter_map(Switch::deadline).min()
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due: Vec<GroupId> =
            self.switches.iter().filter(|(_, s)| s.deadline().is_some_and(|at| at <= now)).map(|(id, _)| *id).collect();
        for group in due {
            let mut out = Vec::new();
            if let Some(switch) = self.switches.get_mut(&group) {
                switch.handle_timeout(now, &mut out);
            }
            self.note(group, out);
        }
    }

    fn note(&mut self, group: GroupId, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Transmit(octets) => self.said.push_back(Said::Octets(group, octets)),
                Output::Sound { cic, sound } => self.said.push_back(Said::Sound(group, cic, sound)),
                Output::Ended(ended) => self.ended.push_back((group, ended)),
            }
        }
    }

    /// The next thing that a switch has to say; to be asked for until there is none.
    pub fn take(&mut self) -> Option<Said> {
        self.said.pop_front()
    }

    /// The next call that ended at a switch; to be asked for until there is none.
    pub fn take_ended(&mut self) -> Option<(GroupId, Ended)> {
        self.ended.pop_front()
    }

    /// The switch of a group.
    pub fn switch(&self, group: GroupId) -> Option<&Switch> {
        self.switches.get(&group)
    }
}
