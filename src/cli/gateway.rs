//! Commands that run a gateway, play a scenario, or talk to a running gateway.

use super::{Answer, ControlArgs, HandsetArgs, ListArgs, RunArgs, SimArgs, config, fail};
use std::path::PathBuf;
use std::process::ExitCode;
use tipring::shell::control_client::{self, HandsetCommand};
use tipring::shell::{self, ConfigSource, RunOptions};

/// `tipring run`
pub(super) fn run(args: &RunArgs) -> Answer {
    if args.record.is_some() {
        return Err("--record does not exist yet in a running gateway; `tipring sim FILE --record DIR` does".to_owned());
    }
    let config = config::load(&args.file)?;
    shell::start_logging(&config.log);
    let source = args.file.config.clone().map_or(ConfigSource::Demo, ConfigSource::File);
    let options = RunOptions { config, source, sip: args.sip, control: args.control.clone() };
    shell::run(options).map(|()| String::new()).map_err(|error| error.to_string())
}

/// `tipring sim`
pub(super) fn sim(_args: &SimArgs) -> ExitCode {
    fail("this build has no simulator yet")
}

/// `tipring calls`
pub(super) fn calls(args: &ListArgs) -> Answer {
    told(control_client::calls(&socket(&args.control), args.json))
}

/// `tipring phones`
pub(super) fn phones(args: &ListArgs) -> Answer {
    told(control_client::phones(&socket(&args.control), args.json))
}

/// `tipring hangup`
pub(super) fn hangup(call: u64, control: &ControlArgs) -> Answer {
    told(control_client::hangup(&socket(control), call))
}

/// `tipring drain`
pub(super) fn drain(control: &ControlArgs) -> Answer {
    told(control_client::drain(&socket(control)))
}

/// `tipring handset`
pub(super) fn handset(station: &str, action: &HandsetArgs) -> Answer {
    let (command, control) = match action {
        HandsetArgs::OffHook(control) => (HandsetCommand::OffHook, control),
        HandsetArgs::OnHook(control) => (HandsetCommand::OnHook, control),
        HandsetArgs::Flash(control) => (HandsetCommand::Flash, control),
        HandsetArgs::Dial { digits, control } => (HandsetCommand::Dial(digits.clone()), control),
        HandsetArgs::Speak { file, control } => (HandsetCommand::Speak(file.clone()), control),
        HandsetArgs::Listen { seconds, file, control } => {
            (HandsetCommand::Listen { seconds: *seconds, file: file.clone() }, control)
        }
    };
    told(control_client::handset(&socket(control), station, &command, false))
}

fn socket(control: &ControlArgs) -> PathBuf {
    control_client::socket_path(control.control.as_deref(), None)
}

fn told(answer: Result<String, control_client::ClientError>) -> Answer {
    answer.map_err(|error| error.to_string())
}
