//! What an operator asks of circuits: how they are, and to block, unblock or reset one.

use crate::gateway::{Gateway, Step};
use crate::isup::Cic;
use crate::isup::circuit::{Call as CircuitCall, Circuit, Phase};

/// A circuit as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitSummary {
    /// `isup/NAME`.
    pub group: String,
    /// Its code.
    pub cic: u16,
    /// `idle`, `calling`, `ringing`, `talking`, `releasing`, `resetting`, `checking`, `unequipped`.
    pub state: &'static str,
    /// Who seized it: `out` we, `in` the far end; empty without a call.
    pub direction: &'static str,
    /// Who blocks it: `here`, `there`, `both`; empty when nobody does.
    pub blocked: &'static str,
    /// The call on it, for `hangup`.
    pub call: Option<u64>,
}

/// What is done to a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maintenance {
    /// BLO: no new calls; the one on it goes on.
    Block,
    /// UBL.
    Unblock,
    /// RSC: idle, whatever it was.
    Reset,
}

impl Gateway {
    /// The circuits of a group, called `NAME` or `isup/NAME`, or of all, by code; `None`: there is no such group.
    pub fn circuit_summaries(&self, group: Option<&str>) -> Option<Vec<CircuitSummary>> {
        let only = match group {
            Some(name) => Some(self.circuits.named(bare(name))?),
            None => None,
        };
        let ids = self.circuits.ids().filter(|id| only.is_none_or(|only| only == *id));
        let mut summaries = Vec::new();
        for trunk in ids.filter_map(|id| self.circuits.trunk(id)) {
            summaries.extend(trunk.group.circuits().map(|(cic, circuit)| {
                let call = trunk.seats.get(&cic).and_then(|seat| self.calls.get(seat.call));
                let (state, direction) = state_of(circuit);
                CircuitSummary {
                    group: trunk.origin.clone(),
                    cic: cic.value(),
                    state,
                    direction,
                    blocked: blocked_by(circuit),
                    call: call.map(|call| call.number),
                }
            }));
        }
        Some(summaries)
    }

    /// An operator wants something of a circuit.
    pub(in crate::gateway) fn maintain(
        &mut self,
        group: &str,
        circuit: u16,
        what: Maintenance,
        step: &mut Step<'_>,
    ) -> Result<(), String> {
        let name = bare(group);
        let unknown = || format!("there is no circuit {circuit} in isup/{name}");
        let id = self.circuits.named(name).ok_or_else(|| format!("there is no circuit group isup/{name}"))?;
        let variant = self.circuits.trunk(id).ok_or_else(unknown)?.side.variant;
        let cic = Cic::new(variant, circuit).ok_or_else(unknown)?;
        let outcome = self.with_group(id, step, |group, now, out| match what {
            Maintenance::Block => group.block(now, cic, out),
            Maintenance::Unblock => group.unblock(now, cic, out),
            Maintenance::Reset => group.reset(now, cic, out),
        });
        outcome.ok_or_else(unknown)?.map_err(|error| error.to_string())
    }
}

/// NAME of `isup/NAME`.
fn bare(name: &str) -> &str {
    name.strip_prefix("isup/").unwrap_or(name)
}

fn state_of(circuit: &Circuit) -> (&'static str, &'static str) {
    let phase = |phase| match phase {
        Phase::Checking | Phase::Addressed => "calling",
        Phase::Complete => "ringing",
        Phase::Answered(_) => "talking",
    };
    match circuit.call {
        CircuitCall::Idle => ("idle", ""),
        CircuitCall::Outgoing(at) => (phase(at), "out"),
        CircuitCall::Incoming(at) => (phase(at), "in"),
        CircuitCall::Releasing => ("releasing", ""),
        CircuitCall::Resetting | CircuitCall::GroupResetting => ("resetting", ""),
        CircuitCall::Rechecking(_) | CircuitCall::Checked(_) => ("checking", ""),
        CircuitCall::Unequipped => ("unequipped", ""),
    }
}

fn blocked_by(circuit: &Circuit) -> &'static str {
    let here = circuit.is_blocked_here();
    let there = circuit.remote != crate::isup::circuit::Blocks::default();
    match (here, there) {
        (true, true) => "both",
        (true, false) => "here",
        (false, true) => "there",
        (false, false) => "",
    }
}
