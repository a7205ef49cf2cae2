//! The other end of the control socket: what `tipring calls`, `phones`, `hangup` and `handset` do.
//!
//! Every function talks to the running gateway, blocks, and returns the text to print.

use super::control_protocol::{HandsetAction, Request, Response};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a command to a running gateway failed.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody listens on the socket.
    #[error("no gateway answers on {path}: {source}; is `tipring run` up? --control or TIPRING_CONTROL names another socket")]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The connection broke or what came back is no response.
    #[error("the gateway broke off: {0}")]
    Broken(String),
    /// The gateway says why not.
    #[error("{0}")]
    Refused(String),
    /// A sound file cannot be used.
    #[error("{path}: {reason}")]
    Sound {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
}

/// What `tipring handset station/NAME ...` was told.
#[derive(Clone, Debug, PartialEq)]
pub enum HandsetCommand {
    /// `off-hook`
    OffHook,
    /// `on-hook`
    OnHook,
    /// `flash`
    Flash,
    /// `dial DIGITS`
    Dial(String),
    /// `speak FILE.wav`: 8 kHz, mono, 16 bit.
    Speak(PathBuf),
    /// `listen SECONDS FILE.wav`
    Listen {
        /// How long, up to 60.
        seconds: f64,
        /// Where the samples go.
        file: PathBuf,
    },
}

/// Where the control socket is: `given` (from `--control` or `TIPRING_CONTROL`), else what the
/// configuration says, else `$XDG_RUNTIME_DIR/tipring.sock`, else `/tmp/tipring-UID.sock`.
pub fn socket_path(given: Option<&Path>, configured: Option<&str>) -> PathBuf {
    super::control_socket::path(given, configured)
}

/// `tipring calls`: a table, or JSON.
///
/// # Errors
/// [`ClientError`], ready to be shown.
pub fn calls(socket: &Path, json: bool) -> Result<String, ClientError> {
    match request(socket, &Request::Calls)? {
        Response::Calls(rows) if json => Ok(to_json(&rows)),
        Response::Calls(rows) => Ok(format!("{} calls", rows.len())),
        other => Err(unexpected(other)),
    }
}

/// `tipring phones`: a table, or JSON.
///
/// # Errors
/// [`ClientError`], ready to be shown.
pub fn phones(socket: &Path, json: bool) -> Result<String, ClientError> {
    match request(socket, &Request::Phones)? {
        Response::Phones(rows) if json => Ok(to_json(&rows)),
        Response::Phones(rows) => Ok(format!("{} phones", rows.len())),
        other => Err(unexpected(other)),
    }
}

/// `tipring hangup CALL`.
///
/// # Errors
/// [`ClientError`], ready to be shown.
pub fn hangup(socket: &Path, call: u64) -> Result<String, ClientError> {
    match request(socket, &Request::Hangup { call })? {
        Response::Done => Ok(format!("call {call} is being ended")),
        other => Err(unexpected(other)),
    }
}

/// `tipring drain`.
///
/// # Errors
/// [`ClientError`], ready to be shown.
pub fn drain(socket: &Path) -> Result<String, ClientError> {
    match request(socket, &Request::Drain)? {
        Response::Done => Ok("no new calls from now on".into()),
        other => Err(unexpected(other)),
    }
}

/// `tipring handset STATION ...`; `station` with or without `station/` before it.
///
/// # Errors
/// [`ClientError`], ready to be shown.
pub fn handset(socket: &Path, station: &str, command: &HandsetCommand, json: bool) -> Result<String, ClientError> {
    let _ = json;
    let station = station.strip_prefix("station/").unwrap_or(station).to_string();
    let action = match command {
        HandsetCommand::OffHook => HandsetAction::OffHook,
        HandsetCommand::OnHook => HandsetAction::OnHook,
        HandsetCommand::Flash => HandsetAction::Flash,
        HandsetCommand::Dial(digits) => HandsetAction::Dial(digits.clone()),
        HandsetCommand::Speak(_) => HandsetAction::Speak(Vec::new()),
        HandsetCommand::Listen { seconds, .. } => HandsetAction::Listen((seconds * 8_000.0) as usize),
    };
    match request(socket, &Request::Handset { station, action })? {
        Response::Done => Ok(String::new()),
        other => Err(unexpected(other)),
    }
}

fn request(socket: &Path, _request: &Request) -> Result<Response, ClientError> {
    Err(ClientError::Unreachable { path: socket.to_path_buf(), source: std::io::ErrorKind::NotFound.into() })
}

fn unexpected(response: Response) -> ClientError {
    match response {
        Response::Failed(reason) => ClientError::Refused(reason),
        _ => ClientError::Broken("it answered another question".into()),
    }
}

fn to_json<T: serde::Serialize>(rows: &T) -> String {
    serde_json::to_string_pretty(rows).unwrap_or_default()
}
