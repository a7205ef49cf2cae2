//! The other end of the control socket: what `tipring calls`, `phones`, `hangup` and `handset` do.
//!
//! Every function talks to the running gateway, blocks, and returns the text to print.

use super::control_protocol::{
    CallRow, CircuitRow, HandsetAction, LINE_BYTES_MAX, Maintain, PhoneRow, Request, Response, SAMPLES_MAX, StatusRow,
    TrunkRow,
};
use super::sound;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a command to a running gateway failed.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody listens on the socket.
    #[error(
        "no gateway answers on {path}: {source}; is `tipring run` up? --control or TIPRING_CONTROL names another socket"
    )]
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
        Response::Calls(rows) if rows.is_empty() => Ok("no calls".into()),
        Response::Calls(rows) => {
            let cells = |c: &CallRow| {
                let age = format!("{}.{} s", c.age_ms / 1_000, c.age_ms % 1_000 / 100);
                [c.call.to_string(), c.from.clone(), c.number.clone(), c.to.clone(), c.state.clone(), age]
            };
            Ok(table(["CALL", "FROM", "NUMBER", "TO", "STATE", "AGE"], rows.iter().map(cells)))
        }
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
        Response::Phones(rows) => {
            let cells = |p: &PhoneRow| [p.name.clone(), p.number.clone(), p.state.clone()];
            Ok(table(["PHONE", "NUMBER", "STATE"], rows.iter().map(cells)))
        }
        other => Err(unexpected(other)),
    }
}

/// `tipring trunks`.
///
/// # Errors
/// [`ClientError`], ready to be shown.
pub fn trunks(socket: &Path, json: bool) -> Result<String, ClientError> {
    match request(socket, &Request::Trunks)? {
        Response::Trunks(rows) if json => Ok(to_json(&rows)),
        Response::Trunks(rows) if rows.is_empty() => Ok("no trunks".into()),
        Response::Trunks(rows) => Ok(trunk_table(&rows)),
        other => Err(unexpected(other)),
    }
}

fn trunk_table(rows: &[TrunkRow]) -> String {
    let cells = |trunk: &TrunkRow| [trunk.name.clone(), trunk.to.clone(), trunk.state.clone()];
    table(["TRUNK", "TO", "STATE"], rows.iter().map(cells))
}

/// `tipring circuits [NAME]`.
///
/// # Errors
/// [`ClientError`], ready to be shown.
pub fn circuits(socket: &Path, group: Option<&str>, json: bool) -> Result<String, ClientError> {
    match request(socket, &Request::Circuits { group: group.map(str::to_owned) })? {
        Response::Circuits(rows) if json => Ok(to_json(&rows)),
        Response::Circuits(rows) if rows.is_empty() => Ok("no circuits".into()),
        Response::Circuits(rows) => {
            let cells = |row: &CircuitRow| {
                let CircuitRow { group, circuit, state, direction, blocked, call } = row.clone();
                let call = call.map_or_else(String::new, |call| call.to_string());
                [group, circuit.to_string(), state, direction, blocked, call]
            };
            Ok(table(["GROUP", "CIRCUIT", "STATE", "DIRECTION", "BLOCKED", "CALL"], rows.iter().map(cells)))
        }
        other => Err(unexpected(other)),
    }
}

/// `tipring circuits block|unblock|reset NAME CIRCUIT`.
///
/// # Errors
/// [`ClientError`], ready to be shown.
pub fn maintain(socket: &Path, group: &str, circuit: u16, what: Maintain) -> Result<String, ClientError> {
    match request(socket, &Request::Maintain { group: group.to_owned(), circuit, what })? {
        Response::Done => Ok(match what {
            Maintain::Block => format!("circuit {circuit} takes no new calls"),
            Maintain::Unblock => format!("circuit {circuit} takes calls again, once the far end knows"),
            Maintain::Reset => format!("circuit {circuit} is being reset"),
        }),
        other => Err(unexpected(other)),
    }
}

/// `tipring status`.
///
/// # Errors
/// [`ClientError`], ready to be shown.
pub fn status(socket: &Path, json: bool) -> Result<String, ClientError> {
    let status = match request(socket, &Request::Status)? {
        Response::Status(status) if json => return Ok(to_json(&status)),
        Response::Status(status) => status,
        other => return Err(unexpected(other)),
    };
    let StatusRow { calls, phones, registered, trunks, banned, draining } = status;
    let mut text = if draining { "going down: no new calls\n".to_owned() } else { String::new() };
    text.push_str(&format!("calls       {calls}\ntelephones  {registered} of {phones} registered\n"));
    let shut_out = if banned.is_empty() { "nobody".to_owned() } else { banned.join(" ") };
    text.push_str(&format!("shut out    {shut_out}\n"));
    if !trunks.is_empty() {
        text.push_str(&format!("\n{}", trunk_table(&trunks)));
    }
    Ok(text)
}

/// `tipring explain call CALL`.
///
/// # Errors
/// [`ClientError`], ready to be shown.
pub fn explain(socket: &Path, call: u64, json: bool) -> Result<String, ClientError> {
    match request(socket, &Request::Explain { call })? {
        Response::Story(story) if json => Ok(to_json(&story)),
        Response::Story(story) => Ok(story.to_text()),
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

/// `tipring call FROM TO`.
///
/// # Errors
/// [`ClientError`], ready to be shown.
pub fn call(socket: &Path, from: &str, to: &str, json: bool) -> Result<String, ClientError> {
    match request(socket, &Request::Call { from: from.to_owned(), to: to.to_owned() })? {
        Response::Begun { call } if json => Ok(format!("{{\"call\":{call}}}")),
        Response::Begun { call } => Ok(format!("call {call}: {from} rings, then {to} is called")),
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

/// `tipring reload`.
///
/// # Errors
/// [`ClientError`], ready to be shown.
pub fn reload(socket: &Path) -> Result<String, ClientError> {
    match request(socket, &Request::Reload)? {
        Response::Done => Ok("certificates reloaded; anything else needs a restart".into()),
        other => Err(unexpected(other)),
    }
}

/// `tipring handset STATION ...`; `station` with or without `station/` before it. `listen` returns
/// when the recording is complete, and says its level and strongest frequency.
///
/// # Errors
/// [`ClientError`], ready to be shown.
pub fn handset(socket: &Path, station: &str, command: &HandsetCommand, json: bool) -> Result<String, ClientError> {
    let station = station.strip_prefix("station/").unwrap_or(station).to_string();
    let action = match command {
        HandsetCommand::OffHook => HandsetAction::OffHook,
        HandsetCommand::OnHook => HandsetAction::OnHook,
        HandsetCommand::Flash => HandsetAction::Flash,
        HandsetCommand::Dial(digits) => HandsetAction::Dial(digits.clone()),
        HandsetCommand::Speak(file) => HandsetAction::Speak(sound::read(file)?),
        HandsetCommand::Listen { seconds, file } => {
            let samples = (seconds * f64::from(sound::RATE_HZ)).round();
            if !(1.0..=SAMPLES_MAX as f64).contains(&samples) {
                let reason = "listening takes up to 60 seconds".to_string();
                return Err(ClientError::Sound { path: file.clone(), reason });
            }
            sound::writable(file)?;
            HandsetAction::Listen(samples as usize)
        }
    };
    let response = request(socket, &Request::Handset { station: station.clone(), action })?;
    match (response, command) {
        (Response::Done, _) if json => Ok("{}".into()),
        (Response::Done, _) => Ok(String::new()),
        (Response::Heard(samples), HandsetCommand::Listen { file, .. }) => {
            sound::write(file, &samples)?;
            Ok(heard(&station, file, &samples, json))
        }
        (other, _) => Err(unexpected(other)),
    }
}

fn heard(station: &str, file: &Path, samples: &[i16], json: bool) -> String {
    let level = sound::level_dbm0(samples);
    let frequency = sound::dominant_hertz(samples);
    let seconds = samples.len() as f64 / f64::from(sound::RATE_HZ);
    if json {
        return serde_json::json!({
            "station": station,
            "file": file.display().to_string(),
            "seconds": seconds,
            "level-dbm0": level.map(|l| (l * 10.0).round() / 10.0),
            "dominant-hz": frequency.map(|f| (f * 10.0).round() / 10.0),
        })
        .to_string();
    }
    match (level, frequency) {
        (Some(level), Some(hertz)) => {
            format!("{seconds:.2} s in {}: {level:.1} dBm0, strongest at {hertz:.1} Hz", file.display())
        }
        _ => format!("{seconds:.2} s in {}: silence", file.display()),
    }
}

fn request(socket: &Path, request: &Request) -> Result<Response, ClientError> {
    let unreachable = |source| ClientError::Unreachable { path: socket.to_path_buf(), source };
    let broken = |error: std::io::Error| ClientError::Broken(error.to_string());
    let mut stream = UnixStream::connect(socket).map_err(unreachable)?;
    let mut line = serde_json::to_vec(request).map_err(|error| ClientError::Broken(error.to_string()))?;
    line.push(b'\n');
    stream.write_all(&line).map_err(broken)?;
    let mut answer = Vec::new();
    BufReader::new(stream).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut answer).map_err(broken)?;
    if answer.is_empty() {
        return Err(ClientError::Broken("it gave no answer".into()));
    }
    serde_json::from_slice(&answer).map_err(|error| ClientError::Broken(format!("not understood: {error}")))
}

fn unexpected(response: Response) -> ClientError {
    match response {
        Response::Failed(reason) => ClientError::Refused(reason),
        _ => ClientError::Broken("it answered another question".into()),
    }
}

fn to_json<T: serde::Serialize>(rows: &T) -> String {
    serde_json::to_string_pretty(rows).expect("rows are plain text and numbers, which JSON can say")
}

/// Rows under their headings, each column as wide as it must be.
fn table<const N: usize>(headings: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let lines: Vec<[String; N]> = std::iter::once(headings.map(str::to_string)).chain(rows).collect();
    let mut widths = [0; N];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let padded = |line: &[String; N]| {
        let cells: Vec<String> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_string()
    };
    lines.iter().map(padded).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["1".to_string(), "phone/203".to_string()], ["22".to_string(), String::new()]];
        assert_eq!(table(["CALL", "FROM"], rows.into_iter()), "CALL  FROM\n1     phone/203\n22");
    }

    #[test]
    fn a_missing_gateway_is_named_with_what_to_do() {
        let directory = tempfile::tempdir().expect("a directory");
        let error = calls(&directory.path().join("none.sock"), false).expect_err("nobody listens");
        let text = error.to_string();
        assert!(text.contains("none.sock") && text.contains("tipring run"), "{text}");
    }
}
