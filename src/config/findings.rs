//! What is wrong with a configuration: every finding at once, with file, line, column and a hint.

use std::ops::Range;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The configuration is refused.
    Error,
    /// It works, but probably not as meant.
    Warning,
}

/// A place in one of the files that were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index into [`Findings::files`].
    pub file: usize,
    /// Bytes in it.
    pub span: Range<usize>,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `C....` for the configuration, `D....` for the dial plan.
    pub code: &'static str,
    /// How bad.
    pub level: Level,
    /// What is wrong, without a full stop.
    pub message: String,
    /// Where.
    pub place: Place,
    /// What to say beside the marked text.
    pub label: String,
    /// Other places that matter, each with what to say there.
    pub others: Vec<(Place, String)>,
    /// What to do.
    pub help: Option<String>,
}

/// A file that was read: its name as given and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Name, for messages.
    pub name: String,
    /// Text.
    pub text: String,
}

/// All findings, sorted by place, with the files that they speak of.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// The files.
    pub files: Vec<SourceFile>,
    /// The findings.
    pub list: Vec<Finding>,
}
