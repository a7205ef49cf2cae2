//! Call flows of the standards, executed message by message in virtual time against the whole gateway.
//!
//! The other ends are written by hand here ([`stage`]): each message that comes is expected by name,
//! and one that nobody expected fails the test.

mod hiding;
mod rfc3665;
mod rfc3666;
mod rfc5359;
mod stage;
