//! Sessions: the INVITE usage of dialogs.

pub mod outgoing;

/// One INVITE, sent or received, and the dialog that came of it.
#[derive(Debug)]
pub struct Session {}
