//! The union of all patterns as one deterministic automaton.
