//! Text with names to be filled in: `extension/{number}`.

use super::Pattern;

/// Text with `{names}` to be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Name(String),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// Byte range inside the text.
    pub start: usize,
    /// End of the range.
    pub end: usize,
    /// What is wrong there.
    pub message: String,
}

impl Template {
    /// Reads a template whose names are `number`, `dialled`, or parts of every one of `patterns`.
    pub fn parse(text: &str, patterns: &[Pattern]) -> Result<Template, TemplateError> {
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let error = |start: usize, end: usize, message: String| Err(TemplateError { start, end, message });
            match rest.find(['{', '}']) {
                None => {
                    pieces.push(Piece::Text(rest.to_owned()));
                    break;
                }
                Some(0) if rest.starts_with('}') => {
                    return error(at, at + 1, "this brace was never opened".to_owned());
                }
                Some(0) => {
                    let Some(length) = rest.find('}') else {
                        return error(at, text.len(), "this brace is never closed".to_owned());
                    };
                    let name = rest.get(1..length).unwrap_or("");
                    let known = |pattern: &Pattern| pattern.part_names().any(|part| part == name);
                    let in_all = !patterns.is_empty() && patterns.iter().all(known);
                    if !in_all && !["number", "dialled"].contains(&name) {
                        let message = format!("no part called \"{name}\" in every pattern of this rule");
                        return error(at, at + length + 1, message);
                    }
                    pieces.push(Piece::Name(name.to_owned()));
                    at += length + 1;
                }
                Some(length) => {
                    pieces.push(Piece::Text(rest.get(..length).unwrap_or("").to_owned()));
                    at += length;
                }
            }
        }
        Ok(Template { pieces })
    }

    /// The text, when there is nothing to fill in.
    pub fn constant(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text for `dialled`, which `pattern` accepts.
    pub(super) fn fill(&self, pattern: &Pattern, dialled: &str) -> String {
        let mut filled = String::new();
        for piece in &self.pieces {
            filled.push_str(match piece {
                Piece::Text(text) => text,
                Piece::Name(name) if name == "number" => pattern.number(dialled),
                Piece::Name(name) if name == "dialled" => dialled,
                Piece::Name(name) => pattern.part(name, dialled).unwrap_or(""),
            });
        }
        filled
    }
}
