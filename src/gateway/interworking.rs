//! Which table between statuses and causes holds in a call.

use super::Gateway;
use super::calls::Place;
use crate::call::Call;
use crate::trunk::interwork::Interworking;

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
        self.first_table(&[Some(call.origin.as_str()), call.target.as_deref()])
    }

    /// The table for a status that a SIP leg said: the other way round.
    pub(super) fn table_of_answer(&self, call: &Call, place: Place) -> &Interworking {
        let branch = match place {
            Place::Branch(branch) => call.fork.as_ref().and_then(|fork| fork.leg(branch)),
            Place::Side(_) => None,
        };
        let target = branch.map(|leg| leg.target.to_string()).or_else(|| call.target.clone());
        self.first_table(&[target.as_deref(), Some(call.origin.as_str())])
    }

    fn first_table(&self, parties: &[Option<&str>]) -> &Interworking {
        let parties = || parties.iter().copied().flatten();
        let circuits = parties().filter(|party| party.starts_with("isup/"));
        circuits.chain(parties()).find_map(|party| self.table_of(party)).unwrap_or(&PLAIN)
    }
}
