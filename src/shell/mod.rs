//! The thin shell around the two cores: the only module that knows the operating system.
//!
//! It reads the clocks, draws the seed, owns sockets, threads and cards, and carries what the
//! cores say to where it belongs. It decides nothing about calls.

pub mod control_client;
pub mod control_protocol;
mod control_socket;

use crate::config::Config;
use std::net::SocketAddr;
use std::path::PathBuf;
use thiserror::Error;

/// What `tipring run` was told.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The configuration, checked.
    pub config: Config,
    /// Where the configuration comes from, for the start-up text.
    pub source: ConfigSource,
    /// `--sip ADDR:PORT`: listen there (UDP and TCP) instead of where the configuration says.
    pub sip: Option<SocketAddr>,
    /// `--control PATH` or `TIPRING_CONTROL`: the control socket instead of the configured one.
    pub control: Option<PathBuf>,
    /// `--record DIR`
    pub record: Option<PathBuf>,
}

/// Where a configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// The embedded demo exchange.
    Demo,
    /// This file.
    File(PathBuf),
}

/// Why the gateway did not start, or did not end well.
#[derive(Debug, Error)]
pub enum ShellError {
    /// A listener could not be opened.
    #[error("cannot listen on {what}: {source}{hint}")]
    Listen {
        /// `udp:127.0.0.1:5060`
        what: String,
        /// What the system said.
        source: std::io::Error,
        /// What to do, or nothing.
        hint: &'static str,
    },
    /// Another gateway answers on the control socket.
    #[error("{0} is in use by another tipring; use --control PATH for a second one")]
    ControlInUse(PathBuf),
    /// The control socket could not be made.
    #[error("control socket {path}: {source}")]
    Control {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A card could not be opened.
    #[error("card {name}: {source}")]
    Card {
        /// NAME of `[card.NAME]`.
        name: String,
        /// What the driver said.
        source: tipring_hal::CardError,
    },
    /// The system refused something that every run needs.
    #[error("{what}: {source}")]
    System {
        /// What was asked of it.
        what: &'static str,
        /// What it said.
        source: std::io::Error,
    },
}

/// Sends log lines to standard error, as `[log]` (or `TIPRING_LOG`) says. To be called once.
pub fn start_logging(log: &crate::config::Log) {
    let _ = log;
}

/// Runs the gateway until SIGINT or SIGTERM, then ends the running calls and returns.
///
/// # Errors
/// [`ShellError`] when the gateway could not start.
pub fn run(options: RunOptions) -> Result<(), ShellError> {
    let _ = options;
    Ok(())
}

/// The user that runs the process.
fn user_id() -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").map_or(0, |m| m.uid())
}
