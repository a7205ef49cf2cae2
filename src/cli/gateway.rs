//! Commands that run a gateway, play a scenario, or talk to a running gateway.

use super::{
    Answer, CircuitAction, ControlArgs, FileArgs, HandsetAction, ListArgs, RunArgs, SimArgs, config, fail, print,
};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tipring::shell::control_client::{self, ClientError, HandsetCommand};
use tipring::shell::control_protocol::Maintain;
use tipring::shell::{self, ConfigSource, Reload, RunOptions};
#[cfg(feature = "virtual")]
use tipring::simulator;

/// `tipring run`; comes back when the gateway has ended.
pub(super) fn run(args: &RunArgs) -> Answer {
    let config = config::load(&args.file)?;
    if args.record.is_some() {
        return Err("--record is not built yet for a running gateway; `tipring sim --record` has it".to_owned());
    }
    let source = args.file.config.clone().map_or(ConfigSource::Demo, ConfigSource::File);
    shell::start_logging(&config.log);
    let file = args.file.clone();
    let reload = Reload(Arc::new(move || config::load(&file)));
    let options = RunOptions { config, source, reload, sip: args.sip, control: args.control.clone() };
    shell::run(options).map(|()| String::new()).map_err(|error| error.to_string())
}

/// `tipring sim`: the report; a failed expectation is a failure.
#[cfg(feature = "virtual")]
pub(super) fn sim(args: &SimArgs) -> ExitCode {
    match simulator::run_file(&args.file, args.seed, args.record.as_deref()) {
        Ok(report) => {
            print(&report.to_string());
            if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => fail(&error.to_string()),
    }
}

/// `tipring sim`, in a build that has no simulated card to play it on.
#[cfg(not(feature = "virtual"))]
pub(super) fn sim(args: &SimArgs) -> ExitCode {
    let file = args.file.display();
    fail(&format!("{file}: this build has no simulated line card; build it with the feature `virtual`"))
}

/// `tipring calls`
pub(super) fn calls(args: &ListArgs) -> Answer {
    shown(control_client::calls(&socket(&args.control)?, args.json))
}

/// `tipring phones`
pub(super) fn phones(args: &ListArgs) -> Answer {
    shown(control_client::phones(&socket(&args.control)?, args.json))
}

/// `tipring trunks`
pub(super) fn trunks(args: &ListArgs) -> Answer {
    shown(control_client::trunks(&socket(&args.control)?, args.json))
}

/// `tipring circuits ...`
pub(super) fn circuits(
    group: Option<&str>,
    json: bool,
    control: &ControlArgs,
    action: Option<CircuitAction>,
) -> Answer {
    let socket = socket(control)?;
    let (args, what) = match action {
        None => return shown(control_client::circuits(&socket, group, json)),
        Some(CircuitAction::Block(args)) => (args, Maintain::Block),
        Some(CircuitAction::Unblock(args)) => (args, Maintain::Unblock),
        Some(CircuitAction::Reset(args)) => (args, Maintain::Reset),
    };
    shown(control_client::maintain(&socket, &args.group, args.circuit, what))
}

/// `tipring status`
pub(super) fn status(args: &ListArgs) -> Answer {
    shown(control_client::status(&socket(&args.control)?, args.json))
}

/// `tipring call`
pub(super) fn call(from: &str, to: &str, json: bool, control: &ControlArgs) -> Answer {
    shown(control_client::call(&socket(control)?, from, to, json))
}

/// `tipring explain call`
pub(super) fn explain_call(call: u64, json: bool, control: &ControlArgs) -> Answer {
    shown(control_client::explain(&socket(control)?, call, json))
}

/// `tipring hangup`
pub(super) fn hangup(call: u64, control: &ControlArgs) -> Answer {
    shown(control_client::hangup(&socket(control)?, call))
}

/// `tipring reload`
pub(super) fn reload(control: &ControlArgs) -> Answer {
    shown(control_client::reload(&socket(control)?))
}

/// `tipring drain`
pub(super) fn drain(control: &ControlArgs) -> Answer {
    shown(control_client::drain(&socket(control)?))
}

/// `tipring handset`
pub(super) fn handset(station: &str, control: &ControlArgs, action: HandsetAction, json: bool) -> Answer {
    let command = match action {
        HandsetAction::OffHook => HandsetCommand::OffHook,
        HandsetAction::OnHook => HandsetCommand::OnHook,
        HandsetAction::Flash => HandsetCommand::Flash,
        HandsetAction::Dial { digits } => HandsetCommand::Dial(digits),
        HandsetAction::Speak { file } => HandsetCommand::Speak(file),
        HandsetAction::Listen { seconds, file } => HandsetCommand::Listen { seconds, file },
    };
    shown(control_client::handset(&socket(control)?, station, &command, json))
}

fn shown(answer: Result<String, ClientError>) -> Answer {
    answer.map_err(|error| error.to_string())
}

/// Where the running gateway listens for commands.
fn socket(args: &ControlArgs) -> Result<PathBuf, String> {
    let configured = match &args.config {
        Some(_) => config::load(&FileArgs { config: args.config.clone() })?.control_socket,
        None => None,
    };
    Ok(control_client::socket_path(args.control.as_deref(), configured.as_deref()))
}
