//! Commands that run a gateway, play a scenario, or talk to a running gateway.

use super::{Answer, ControlArgs, HandsetArgs, ListArgs, RunArgs, SimArgs, config, fail};
use std::process::ExitCode;

/// `tipring run`
pub(super) fn run(args: &RunArgs) -> Answer {
    let _config = config::load(&args.file)?;
    Err("this build has no gateway to run yet".to_owned())
}

/// `tipring sim`
pub(super) fn sim(_args: &SimArgs) -> ExitCode {
    fail("this build has no simulator yet")
}

/// `tipring calls`
pub(super) fn calls(_args: &ListArgs) -> Answer {
    no_gateway()
}

/// `tipring phones`
pub(super) fn phones(_args: &ListArgs) -> Answer {
    no_gateway()
}

/// `tipring hangup`
pub(super) fn hangup(_call: u64, _control: &ControlArgs) -> Answer {
    no_gateway()
}

/// `tipring drain`
pub(super) fn drain(_control: &ControlArgs) -> Answer {
    no_gateway()
}

/// `tipring handset`
pub(super) fn handset(_station: &str, _action: &HandsetArgs) -> Answer {
    no_gateway()
}

fn no_gateway() -> Answer {
    Err("this build cannot talk to a running gateway yet".to_owned())
}
