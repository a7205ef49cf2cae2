//! The whole gateway and the simulated switch, SIP on one side, circuits on the other, in virtual time.
//!
//! `numbers` dials every number of the demo exchange that begins with 8; `script` plays far ends that a user
//! describes; `storm` makes thousands of calls through thirty circuits with alarms, glare and loss.

mod caller;
mod numbers;
mod script;
mod storm;
