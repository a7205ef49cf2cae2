//! Reading configuration files, and `tipring check`.

use super::{CheckArgs, FileArgs, print};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tipring::config::{Config, DEFAULT, Findings, Level, Reader};

/// Reads what a configuration names from the disk and the environment.
struct Disk {
    /// Relative names start here: where the configuration is.
    directory: PathBuf,
}

impl Disk {
    fn of(file: &Path) -> Disk {
        Disk { directory: file.parent().map(Path::to_owned).unwrap_or_default() }
    }
}

impl Reader for Disk {
    fn file(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(self.directory.join(path)).map_err(|error| error.to_string())
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// Reads and checks a configuration. The outer error says why the file cannot be read.
fn read(file: &FileArgs) -> Result<(Option<Config>, Findings), String> {
    let Some(path) = &file.config else {
        let reader = Disk { directory: PathBuf::new() };
        return Ok(Config::check("default.toml", DEFAULT, &reader));
    };
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| format!("cannot read {name}: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..at];
        let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
        let column =
            String::from_utf8_lossy(before.rsplit(|&b| b == b'\n').next().unwrap_or(before)).chars().count() + 1;
        format!("{name}:{line}:{column}: this is no UTF-8 text; save the file as UTF-8")
    })?;
    Ok(Config::check(&name, &text, &Disk::of(path)))
}

/// A configuration to be used; the error is ready to be shown.
pub(super) fn load(file: &FileArgs) -> Result<Config, String> {
    let (config, findings) = read(file)?;
    config.ok_or_else(|| {
        let text = findings.render(is_styled(&std::io::stderr()));
        format!("the configuration is refused\n\n{}", text.trim_end())
    })
}

/// `tipring check`
pub(super) fn check(args: &CheckArgs) -> ExitCode {
    let (config, findings) = match read(&args.file) {
        Ok(read) => read,
        Err(error) => return super::fail(&error),
    };
    if args.json {
        print(&findings.to_json());
    } else {
        print(&findings.render(is_styled(&std::io::stdout())));
        let count = |level: Level| findings.list.iter().filter(|finding| finding.level == level).count();
        let name = args.file.config.as_ref().map_or("the demo exchange".to_owned(), |path| path.display().to_string());
        let errors = match count(Level::Error) {
            0 => "no errors".to_owned(),
            1 => "1 error".to_owned(),
            many => format!("{many} errors"),
        };
        let warnings = match count(Level::Warning) {
            0 => String::new(),
            1 => ", 1 warning".to_owned(),
            many => format!(", {many} warnings"),
        };
        let routes = config.as_ref().map_or(String::new(), |c| format!(", {} routes", c.plan.rules().len()));
        let gap = if findings.list.is_empty() { "" } else { "\n" };
        print(&format!("{gap}{name}: {errors}{warnings}{routes}"));
    }
    if config.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Colours for a person at a terminal who did not forbid them (no-color.org).
fn is_styled(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
