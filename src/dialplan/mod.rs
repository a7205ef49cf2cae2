//! Digit patterns compiled to one automaton; number and origin to a list of routes.

/// A compiled dial plan: immutable, shared by clones.
#[derive(Clone, Debug, Default)]
pub struct Plan {}
