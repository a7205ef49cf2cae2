//! Nothing: see `benches/g711.rs`.
