//! Patterns: a list of digit sets with an optional repeat at the end.

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PatternError {
    /// Byte range inside the text.
    pub start: usize,
    /// End of the range.
    pub end: usize,
    /// What is wrong there.
    pub message: String,
    /// What to do instead.
    pub help: Option<String>,
}
