//! A simulated line card.
