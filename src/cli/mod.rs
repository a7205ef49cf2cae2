//! The command line: what can be asked of `tipring`, and where each question goes.
//!
//! Exit codes: 0 fine; 1 what was asked failed or the input is wrong; 2 wrong usage (by clap).
//! Answers go to standard output, complaints to standard error.

mod codec;
mod config;
mod explain;
mod explain_table;
mod gateway;

use clap::{Args, CommandFactory, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// A media gateway between analog lines, ISUP-style trunks and SIP.
///
/// Without a command it runs the gateway; without a configuration, the demo exchange.
#[derive(Debug, Parser)]
#[command(name = "tipring", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    run: RunArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway
    Run(RunArgs),
    /// Validate a configuration and its dial plan; shows every finding at once
    Check(CheckArgs),
    /// The embedded configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Why a number goes where it goes; or which row turns a cause or a status into the other
    #[command(override_usage = "tipring explain NUMBER --from KIND/NAME [OPTIONS]
       tipring explain cause N [--trunk NAME] [OPTIONS]
       tipring explain status NNN [--trunk NAME] [OPTIONS]")]
    Explain(ExplainArgs),
    /// Questions to the dial plan
    Dialplan {
        #[command(subcommand)]
        command: DialplanCommand,
    },
    /// Play a scenario against the simulated exchange, in virtual time
    Sim(SimArgs),
    /// Show the calls of the running gateway
    Calls(ListArgs),
    /// Show the telephones of the running gateway
    Phones(ListArgs),
    /// Show the SIP trunks of the running gateway and their registrations
    Trunks(ListArgs),
    /// Show the circuits of the running gateway; block, unblock or reset one
    Circuits {
        /// Only those of this group, NAME or isup/NAME
        group: Option<String>,
        /// The list as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        control: ControlArgs,
        #[command(subcommand)]
        action: Option<CircuitAction>,
    },
    /// How the running gateway is: calls, telephones, trunks, who is shut out
    Status(ListArgs),
    /// Let a telephone of the running gateway ring and, when it answers, call a number for it
    Call {
        /// Who calls: `phone/201`, `station/105`, or its number
        from: String,
        /// The number to call
        to: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        control: ControlArgs,
    },
    /// End a call of the running gateway
    Hangup {
        /// Number of the call, as `tipring calls` shows it
        call: u64,
        #[command(flatten)]
        control: ControlArgs,
    },
    /// Let the running gateway read its certificates again
    Reload {
        #[command(flatten)]
        control: ControlArgs,
    },
    /// Let the running gateway take no new calls
    Drain {
        #[command(flatten)]
        control: ControlArgs,
    },
    /// Move a simulated telephone of the running gateway
    Handset {
        /// The telephone, like station/105
        #[arg(value_parser = station)]
        station: String,
        #[command(flatten)]
        control: ControlArgs,
        /// The answer as JSON
        #[arg(long, global = true)]
        json: bool,
        #[command(subcommand)]
        action: HandsetAction,
    },
    /// Files through a codec
    Codec {
        #[command(subcommand)]
        command: codec::CodecCommand,
    },
    /// Throughput on this machine
    Bench {
        #[command(subcommand)]
        command: BenchCommand,
    },
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// The codecs: samples a second, channels a core, ratio to a copy of the same bytes
    Codec {
        /// The answer as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Which configuration.
#[derive(Clone, Debug, Args)]
struct FileArgs {
    /// Configuration file; the demo exchange when not given
    #[arg(short, long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Which running gateway.
#[derive(Clone, Debug, Args)]
struct ControlArgs {
    /// Control socket of the running gateway
    #[arg(long, global = true, value_name = "PATH", env = "TIPRING_CONTROL")]
    control: Option<PathBuf>,
    /// Configuration file of the running gateway, when it says where the control socket is
    #[arg(short, long = "config", global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Listen for SIP there, UDP and TCP, instead of where the configuration says
    #[arg(long, value_name = "ADDR:PORT")]
    sip: Option<SocketAddr>,
    /// Write what every port and RTP leg heard as WAV, and the packets as pcapng
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// Control socket, instead of the configured one
    #[arg(long, value_name = "PATH", env = "TIPRING_CONTROL")]
    control: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
struct CheckArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Findings as a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the embedded configuration, commented: the file to start from
    Default,
}

#[derive(Debug, Subcommand)]
enum DialplanCommand {
    /// Why a number goes where it goes
    Explain(ExplainArgs),
}

#[derive(Clone, Debug, Args)]
struct ExplainArgs {
    /// The number, as dialled; or `cause`, `status`, `call`
    number: String,
    /// The cause (1 to 127), the status (300 to 699), or the number of a call of the running gateway
    value: Option<String>,
    /// Who dials: phone/201, station/105, trunk/NAME, ...
    #[arg(long, value_name = "KIND/NAME")]
    from: Option<String>,
    /// Of a cause or status: whose table, isup/NAME or trunk/NAME
    #[arg(long, value_name = "NAME")]
    trunk: Option<String>,
    /// Of a call: control socket of the running gateway
    #[arg(long, value_name = "PATH", env = "TIPRING_CONTROL")]
    control: Option<PathBuf>,
    #[command(flatten)]
    file: FileArgs,
    /// The answer as a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Args)]
struct SimArgs {
    /// Scenario file
    file: PathBuf,
    /// Where all chance comes from, instead of what the file says
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Write what every port and RTP leg heard as WAV, and the packets as pcapng
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
struct ListArgs {
    /// The list as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    control: ControlArgs,
}

/// What is done to a circuit.
#[derive(Clone, Debug, Subcommand)]
enum CircuitAction {
    /// Let no new calls on a circuit (BLO); one that is there goes on
    Block(CircuitArgs),
    /// Let calls on it again (UBL)
    Unblock(CircuitArgs),
    /// Make it idle on both ends (RSC); a call on it is over
    Reset(CircuitArgs),
}

#[derive(Clone, Debug, Args)]
struct CircuitArgs {
    /// Its group, NAME or isup/NAME
    group: String,
    /// Its code
    circuit: u16,
}

/// What the hand, mouth or ear at a simulated telephone does.
#[derive(Clone, Debug, Subcommand)]
enum HandsetAction {
    /// Lift the handset
    OffHook,
    /// Put it down
    OnHook,
    /// Tap the hook
    Flash,
    /// Press keys: 0-9, *, #, A-D
    Dial {
        /// The keys
        #[arg(value_parser = keys)]
        digits: String,
    },
    /// Say a WAV file: 8 kHz, mono, 16 bit
    Speak {
        /// The file
        file: PathBuf,
    },
    /// Write what is heard to a WAV file
    Listen {
        /// How long, up to 60
        #[arg(value_parser = seconds)]
        seconds: f64,
        /// The file
        file: PathBuf,
    },
}

/// NAME of `station/NAME`.
fn station(text: &str) -> Result<String, String> {
    match text.strip_prefix("station/").filter(|name| !name.is_empty()) {
        Some(name) => Ok(name.to_owned()),
        None => Err("a simulated telephone is written station/NAME".to_owned()),
    }
}

fn keys(text: &str) -> Result<String, String> {
    match text.chars().find(|&c| tipring_hal::Digit::from_char(c).is_none()) {
        None if !text.is_empty() => Ok(text.to_owned()),
        Some(c) => Err(format!("there is no key `{c}`")),
        None => Err("no key".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 60.0 => Ok(seconds),
        _ => Err("from 0 to 60 seconds".to_owned()),
    }
}

/// What to print, or what to complain about.
type Answer = Result<String, String>;

/// Reads the arguments, does what they ask, and says how it ended.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(complaint) = lower_codec_level() {
        return fail(&complaint);
    }
    let answer = match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(args) => gateway::run(&args),
        Command::Check(args) => return config::check(&args),
        Command::Config { command: ConfigCommand::Default } => Ok(tipring::config::DEFAULT.to_owned()),
        Command::Explain(args) | Command::Dialplan { command: DialplanCommand::Explain(args) } => {
            explain::explain(&args)
        }
        Command::Sim(args) => return gateway::sim(&args),
        Command::Calls(args) => gateway::calls(&args),
        Command::Phones(args) => gateway::phones(&args),
        Command::Trunks(args) => gateway::trunks(&args),
        Command::Circuits { group, json, control, action } => {
            gateway::circuits(group.as_deref(), json, &control, action)
        }
        Command::Status(args) => gateway::status(&args),
        Command::Call { from, to, json, control } => gateway::call(&from, &to, json, &control),
        Command::Hangup { call, control } => gateway::hangup(call, &control),
        Command::Reload { control } => gateway::reload(&control),
        Command::Drain { control } => gateway::drain(&control),
        Command::Handset { station, control, json, action } => gateway::handset(&station, &control, action, json),
        Command::Codec { command } => codec::run(&command).map(|()| String::new()),
        Command::Bench { command: BenchCommand::Codec { json } } => Ok(bench_codec(json)),
        Command::Completions { shell } => Ok(completions(shell)),
    };
    match answer {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(complaint) => fail(&complaint),
    }
}

/// The environment may lower the vector instructions that the codecs use; results stay the same.
fn lower_codec_level() -> Result<(), String> {
    let Ok(name) = std::env::var("G7XX_LEVEL") else { return Ok(()) };
    let level = g7xx::Level::from_name(&name).ok_or_else(|| {
        let names: Vec<&str> = g7xx::Level::ALL.into_iter().map(g7xx::Level::name).collect();
        format!("G7XX_LEVEL: there is no level {name:?}; there are {}", names.join(", "))
    })?;
    g7xx::Level::lower_to(level);
    Ok(())
}

/// `tipring bench codec`
fn bench_codec(json: bool) -> String {
    use std::fmt::Write;
    let bench = tipring::shell::bench::codecs();
    if json {
        // Numbers and short texts always become JSON.
        return serde_json::to_string_pretty(&bench).unwrap_or_default();
    }
    let mut text = format!("one thread, level {}\n", bench.level);
    let _ = writeln!(text, "{:<14} {:>14} {:>15} {:>9}", "CODEC", "MSAMPLES/S", "CHANNELS/CORE", "TO COPY");
    for row in &bench.rows {
        let rate = row.samples_per_second / 1e6;
        let _ = writeln!(text, "{:<14} {:>14.2} {:>15.0} {:>9.5}", row.what, rate, row.channels, row.to_copy);
    }
    text
}

/// Complains; the exit code is 1.
fn fail(complaint: &str) -> ExitCode {
    use std::io::Write;
    // There is nobody left to tell when standard error is closed.
    let _ = writeln!(std::io::stderr(), "tipring: {}", complaint.trim_end());
    ExitCode::FAILURE
}

/// Writes an answer and a line end. A reader who has seen enough (`| head`) is no failure.
fn print(text: &str) {
    use std::io::Write;
    let text = text.trim_end_matches('\n');
    if !text.is_empty() {
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}

fn completions(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tipring", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}
