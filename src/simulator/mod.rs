//! The world in virtual time: the same two cores as the real gateway, with a made-up clock, network,
//! cards, phones and people.
//!
//! This is a second shell. It knows no clock, no socket and no thread; one seed gives one run, to the
//! last sample, and [`Report::hash`] proves it. Files are touched in [`run_file`] alone.

pub mod checkers;
pub mod links;
pub mod network;
mod noticed;
pub mod papers;
pub mod peers;
pub mod phone_audio;
pub mod player;
pub mod recording;
pub mod scenario;
pub mod sound;
pub mod stations;
pub mod trace;
pub mod wire;
pub mod world;

use crate::config::Config;
use crate::time::Instant;
use scenario::Scenario;
use std::fmt;
use std::path::Path;
use world::World;

/// How a scenario ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Title of the scenario.
    pub title: String,
    /// The seed that was used.
    pub seed: u64,
    /// What happened at each step that was played, in order, and what the checkers found.
    pub steps: Vec<StepReport>,
    /// Steps of the scenario.
    pub steps_total: usize,
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
    /// Whether every step was played and every expectation came true.
    pub fn passed(&self) -> bool {
        self.steps.len() >= self.steps_total && self.steps.iter().all(|step| step.passed != Some(false))
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
        let missing = self.steps_total.saturating_sub(self.steps.len());
        if missing > 0 {
            writeln!(f, "{missing} more steps were not played")?;
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

/// Plays a scenario with a configuration; `seed` overrides its own. The report, and the world as it
/// was at the end.
///
/// # Errors
/// Steps that name somebody who is not in the configuration, and a configuration without UDP: the
/// simulated network has nothing else.
pub fn play(
    scenario: &Scenario,
    config: Config,
    seed: Option<u64>,
    records: bool,
) -> Result<(Report, World), Vec<scenario::Finding>> {
    if !config.sip.listen.iter().any(|listener| listener.transport == crate::sip::Transport::Udp) {
        let message = "the configuration must listen on UDP: add \"udp:ADDR:PORT\" to sip.listen".to_owned();
        return Err(vec![scenario::Finding { line: 1, column: 1, message }]);
    }
    let player = player::Player::new(scenario, config, seed.unwrap_or(scenario.seed), records)?;
    Ok(player.play(scenario))
}

/// Plays a scenario file. `seed` overrides that of the file. With `record`, what every station and RTP
/// leg heard is written into that directory as WAV, and the packets of the gateway as `packets.pcapng`.
///
/// # Errors
/// When a file cannot be read or written, or has mistakes. A failed expectation is no error here but
/// a [`Report`] that did not pass.
pub fn run_file(path: &Path, seed: Option<u64>, record: Option<&Path>) -> Result<Report, RunError> {
    let read =
        |path: &Path| std::fs::read_to_string(path).map_err(|error| RunError::File(path.display().to_string(), error));
    let name = path.display().to_string();
    let mistakes = |findings: Vec<scenario::Finding>| {
        RunError::Mistakes(findings.iter().map(|finding| format!("{name}:{finding}")).collect())
    };
    let scenario = Scenario::parse(&read(path)?).map_err(mistakes)?;
    let config = match &scenario.config {
        None => Config::demo(),
        Some(file) => {
            let file = path.parent().unwrap_or(Path::new("")).join(file);
            let text = read(&file)?;
            let files = Beside(&file);
            Config::parse(&file.display().to_string(), &text, &files)
                .map_err(|findings| RunError::Mistakes(in_configuration(&findings)))?
        }
    };
    let (report, world) = play(&scenario, config, seed, record.is_some()).map_err(mistakes)?;
    if let Some(directory) = record {
        let failed = |path: &Path, error| RunError::File(path.display().to_string(), error);
        std::fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
        for (name, bytes) in recording::files(&world) {
            let path = directory.join(name);
            std::fs::write(&path, bytes).map_err(|error| failed(&path, error))?;
        }
    }
    Ok(report)
}

/// The findings of a configuration, one line each.
fn in_configuration(findings: &crate::config::Findings) -> Vec<String> {
    let line = |finding: &crate::config::Finding| {
        let file = findings.files.get(finding.place.file)?;
        let (line, column) = scenario::position(&file.text, finding.place.span.start);
        Some(format!("{}:{line}:{column}: {}", file.name, finding.message))
    };
    findings.list.iter().map(|finding| line(finding).unwrap_or_else(|| finding.message.clone())).collect()
}

/// Files that a configuration names, relative to its own.
struct Beside<'a>(&'a Path);

impl crate::config::Reader for Beside<'_> {
    fn file(&self, path: &str) -> Result<String, String> {
        let path = self.0.parent().unwrap_or(Path::new("")).join(path);
        std::fs::read_to_string(path).map_err(|error| error.to_string())
    }
    fn variable(&self, _name: &str) -> Option<String> {
        // A run depends on its files and its seed alone.
        None
    }
}
