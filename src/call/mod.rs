//! The call, and the one place where a call ends.
pub mod record;
