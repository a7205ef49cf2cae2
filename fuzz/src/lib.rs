//! The functions that `cargo fuzz` calls; see CONTRIBUTING.md.
pub mod targets;
