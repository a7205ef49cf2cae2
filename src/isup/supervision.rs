//! Parameters of circuit groups: range and status, circuit states, and those of ANSI circuit validation.

use super::{Octets, codes};
use crate::isup::parameter::Content;
use crate::limits;

/// Range and status (Q.763 3.43): the circuit of the message and how many follow it, and a bit for each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RangeAndStatus {
    /// Range; then the status, absent in GRS and CQM.
    octets: Octets,
}

impl RangeAndStatus {
    /// `circuits` circuits without status (GRS, CQM); `None` outside 2 to
    /// [`limits::ISUP_GROUP_CIRCUITS`]: a single circuit has messages of its own.
    pub fn range(circuits: usize) -> Option<RangeAndStatus> {
        let is_group = (2..=limits::ISUP_GROUP_CIRCUITS).contains(&circuits);
        is_group.then(|| RangeAndStatus { octets: Octets::from_slice(&[(circuits - 1) as u8]) })
    }

    /// One bit a circuit, the first that of the message itself (CGB, CGBA, CGU, CGUA, GRA); bounds as for
    /// [`RangeAndStatus::range`].
    pub fn status(circuits: &[bool]) -> Option<RangeAndStatus> {
        let mut range = RangeAndStatus::range(circuits.len())?;
        let octet = |eight: &[bool]| eight.iter().rev().fold(0_u8, |octet, bit| octet << 1 | u8::from(*bit));
        range.octets.extend(circuits.chunks(8).map(octet));
        Some(range)
    }

    /// Circuits, the one of the message included: 1 to 256.
    pub fn circuits(&self) -> usize {
        usize::from(self.octets.first().copied().unwrap_or(0)) + 1
    }

    /// Whether a status is there for every circuit.
    pub fn has_status(&self) -> bool {
        self.octets.len() > self.circuits().div_ceil(8)
    }

    /// The bit of the circuit `index` after that of the message; false where there is none.
    pub fn bit(&self, index: usize) -> bool {
        index < self.circuits() && self.octets.get(1 + index / 8).is_some_and(|octet| octet >> (index % 8) & 1 == 1)
    }

    /// Circuits, counted from that of the message, whose bit is set.
    pub fn set(&self) -> impl Iterator<Item = u16> + '_ {
        (0..self.circuits()).filter(|index| self.bit(*index)).map(|index| index as u16)
    }
}

impl Content for RangeAndStatus {
    fn from_octets(octets: &[u8]) -> Option<Self> {
        // A status is there for every circuit or for none.
        let range = RangeAndStatus { octets: Octets::from_slice(octets) };
        (octets.len() == 1 || octets.len() > 1 && range.has_status()).then_some(range)
    }
    fn octets(&self) -> &[u8] {
        &self.octets
    }
}

codes! {
    /// What a circuit does for calls (circuit state indicator, bits DC).
    CallProcessing {
        TRANSIENT = 0, "transient or unequipped";
        INCOMING = 1, "circuit incoming busy";
        OUTGOING = 2, "circuit outgoing busy";
        IDLE = 3, "idle";
    }
}

/// The state of one circuit as CQR tells it (Q.763 3.14).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CircuitState(u8);

impl CircuitState {
    /// It is about to change.
    pub const TRANSIENT: CircuitState = CircuitState(0);
    /// There is no such circuit.
    pub const UNEQUIPPED: CircuitState = CircuitState(3);

    /// An equipped circuit: what it does, blocked for maintenance or by hardware, each (here, there).
    pub fn new(call: CallProcessing, maintenance: (bool, bool), hardware: (bool, bool)) -> CircuitState {
        let both = |(local, remote): (bool, bool)| u8::from(local) | u8::from(remote) << 1;
        CircuitState(both(maintenance) | (call.value() & 3) << 2 | both(hardware) << 4)
    }

    /// From its octet.
    pub fn from_octet(octet: u8) -> CircuitState {
        CircuitState(octet)
    }

    /// Its octet.
    pub fn octet(self) -> u8 {
        self.0
    }

    /// What it does.
    pub fn call(self) -> CallProcessing {
        CallProcessing::new(self.0 >> 2 & 3)
    }

    /// Blocked for maintenance (here, there); without meaning while transient or unequipped.
    pub fn maintenance(self) -> (bool, bool) {
        (self.0 & 1 != 0, self.0 & 2 != 0)
    }

    /// Blocked by hardware (here, there).
    pub fn hardware(self) -> (bool, bool) {
        (self.0 & 0x10 != 0, self.0 & 0x20 != 0)
    }
}

/// Circuit state indicator: a state for each circuit of the range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CircuitStates {
    octets: Octets,
}

impl CircuitStates {
    /// These states; `None` for none or more than a group.
    pub fn new(states: impl IntoIterator<Item = CircuitState>) -> Option<CircuitStates> {
        let octets: Octets = states.into_iter().map(CircuitState::octet).collect();
        (octets.len() <= limits::ISUP_GROUP_CIRCUITS).then(|| Self::from_octets(&octets)).flatten()
    }

    /// The states.
    pub fn states(&self) -> impl Iterator<Item = CircuitState> + '_ {
        self.octets.iter().map(|octet| CircuitState::from_octet(*octet))
    }
}

impl Content for CircuitStates {
    fn from_octets(octets: &[u8]) -> Option<Self> {
        (!octets.is_empty()).then(|| CircuitStates { octets: Octets::from_slice(octets) })
    }
    fn octets(&self) -> &[u8] {
        &self.octets
    }
}

codes! {
    /// Whether a circuit validation was successful (ANSI, circuit validation response indicator).
    /// **Unverified** which way the two go: tshark names the bits and not their meaning.
    ValidationResponse {
        SUCCESSFUL = 0, "successful";
        FAILURE = 1, "failure";
    }
}

codes! {
    /// Who wins a dual seizure (ANSI, circuit group characteristics, bits DC).
    DoubleSeizing {
        NONE = 0, "no control";
        ODD = 1, "odd circuits";
        EVEN = 2, "even circuits";
        ALL = 3, "all circuits";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bit_of_a_status_is_the_lowest_of_its_first_octet() {
        let bits: Vec<bool> = (0..10).map(|i| i == 0 || i == 9).collect();
        let status = RangeAndStatus::status(&bits).expect("ten circuits");
        assert_eq!(status.octets(), [9, 0b0000_0001, 0b0000_0010]);
        assert_eq!(status.set().collect::<Vec<_>>(), [0, 9]);
        assert_eq!(status.circuits(), 10);
    }

    #[test]
    fn a_group_has_two_to_32_circuits_and_a_status_for_each_or_none() {
        assert_eq!(RangeAndStatus::range(1), None);
        assert!(RangeAndStatus::range(limits::ISUP_GROUP_CIRCUITS).is_some());
        assert_eq!(RangeAndStatus::range(limits::ISUP_GROUP_CIRCUITS + 1), None);
        assert_eq!(RangeAndStatus::from_octets(&[9, 1]), None, "ten circuits need two octets");
        assert!(!RangeAndStatus::from_octets(&[9]).expect("a range").has_status());
        let all = RangeAndStatus::from_octets(&[&[255][..], &[255; 32]].concat()).expect("256 circuits can be said");
        assert_eq!(all.set().count(), 256);
        assert!(!all.bit(256));
    }

    #[test]
    fn a_circuit_state_tells_call_and_blocking() {
        let state = CircuitState::new(CallProcessing::IDLE, (true, false), (false, true));
        assert_eq!(state.octet(), 0b0010_1101);
        assert_eq!(
            (state.call(), state.maintenance(), state.hardware()),
            (CallProcessing::IDLE, (true, false), (false, true))
        );
        assert_eq!(CircuitStates::new(vec![CircuitState::TRANSIENT; limits::ISUP_GROUP_CIRCUITS + 1]), None);
        assert_eq!(CircuitStates::new([]), None);
    }
}
