//! What is wrong with a configuration: every finding at once, with file, line, column and a hint.

use annotate_snippets::{AnnotationKind, Group, Level as Severity, Renderer, Snippet};
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
    /// What to say beside the marked text; may be empty.
    pub label: String,
    /// Other places that matter, each with what to say there.
    pub others: Vec<(Place, String)>,
    /// What to do.
    pub help: Option<String>,
}

impl Finding {
    /// An error.
    pub(super) fn error(code: &'static str, place: &Place, message: impl Into<String>) -> Self {
        Finding {
            code,
            level: Level::Error,
            message: message.into(),
            place: place.clone(),
            label: String::new(),
            others: Vec::new(),
            help: None,
        }
    }

    /// With words beside the marked text.
    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With another place.
    pub(super) fn other(mut self, place: &Place, label: impl Into<String>) -> Self {
        self.others.push((place.clone(), label.into()));
        self
    }

    /// With advice.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With "did you mean", when one of `known` is close to `written`.
    pub(super) fn did_you_mean<'k>(self, written: &str, known: impl IntoIterator<Item = &'k str>) -> Self {
        match closest(written, known) {
            Some(name) => self.help(format!("did you mean \"{name}\"?")),
            None => self,
        }
    }
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

impl Findings {
    /// Sorts by place. Of two findings about the same bytes with the same code one is kept.
    pub(super) fn new(files: Vec<SourceFile>, mut list: Vec<Finding>) -> Self {
        let key = |f: &Finding| (f.place.file, f.place.span.start, f.place.span.end, f.code);
        list.sort_by_key(key);
        list.dedup_by_key(|f| key(f));
        Findings { files, list }
    }

    /// Whether the configuration is refused.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|f| f.level == Level::Error)
    }

    /// File name, line and column of a place; both count from 1, columns in characters.
    pub fn position(&self, place: &Place) -> (&str, usize, usize) {
        let Some(file) = self.files.get(place.file) else { return ("", 1, 1) };
        let (line, column) = line_and_column(&file.text, place.span.start);
        (&file.name, line, column)
    }

    /// For a person: each finding with its line, as a compiler shows it; `styled` with colours.
    pub fn render(&self, styled: bool) -> String {
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for finding in &self.list {
            text.push_str(&renderer.render(&[self.group(finding)]));
            text.push_str("\n\n");
        }
        text
    }

    fn group<'f>(&'f self, finding: &'f Finding) -> Group<'f> {
        let severity = match finding.level {
            Level::Error => Severity::ERROR,
            Level::Warning => Severity::WARNING,
        };
        let mut group =
            severity.primary_title(finding.message.as_str()).id(finding.code).elements(self.snippets(finding));
        if let Some(help) = &finding.help {
            group = group.element(Severity::HELP.message(help.as_str()));
        }
        group
    }

    /// One snippet for each file that the finding speaks of, its own file first.
    fn snippets<'f>(&'f self, finding: &'f Finding) -> Vec<Snippet<'f, annotate_snippets::Annotation<'f>>> {
        let mut files = vec![finding.place.file];
        files.extend(finding.others.iter().map(|(place, _)| place.file).filter(|&f| f != finding.place.file));
        files.dedup();
        let mut snippets = Vec::new();
        for index in files {
            let Some(file) = self.files.get(index) else { continue };
            let mut snippet = Snippet::source(file.text.as_str()).path(file.name.as_str());
            if finding.place.file == index {
                let mark = AnnotationKind::Primary.span(on_characters(&file.text, &finding.place.span));
                snippet = snippet.annotation(mark.label(finding.label.as_str()));
            }
            for (place, label) in finding.others.iter().filter(|(place, _)| place.file == index) {
                let mark = AnnotationKind::Context.span(on_characters(&file.text, &place.span));
                snippet = snippet.annotation(mark.label(label.as_str()));
            }
            snippets.push(snippet);
        }
        snippets
    }

    /// For a program: a JSON array of objects with `file line column end-line end-column code level
    /// text label help`, and `others` with `file line column text`.
    pub fn to_json(&self) -> String {
        let list: Vec<serde_json::Value> = self.list.iter().map(|finding| self.json(finding)).collect();
        serde_json::Value::Array(list).to_string()
    }

    fn json(&self, finding: &Finding) -> serde_json::Value {
        let (file, line, column) = self.position(&finding.place);
        let end = Place { file: finding.place.file, span: finding.place.span.end..finding.place.span.end };
        let (_, end_line, end_column) = self.position(&end);
        let other = |(place, label): &(Place, String)| {
            let (file, line, column) = self.position(place);
            serde_json::json!({ "file": file, "line": line, "column": column, "text": label })
        };
        serde_json::json!({
            "file": file,
            "line": line,
            "column": column,
            "end-line": end_line,
            "end-column": end_column,
            "code": finding.code,
            "level": match finding.level { Level::Error => "error", Level::Warning => "warning" },
            "text": finding.message,
            "label": finding.label,
            "help": finding.help,
            "others": finding.others.iter().map(other).collect::<Vec<_>>(),
        })
    }
}

/// Line and column of a byte, from 1, columns in characters.
pub(super) fn line_and_column(text: &str, byte: usize) -> (usize, usize) {
    let byte = on_characters(text, &(byte..byte)).start;
    let before = text.get(..byte).unwrap_or("");
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.matches('\n').count() + 1;
    (line, before.get(line_start..).unwrap_or("").chars().count() + 1)
}

/// The range moved to the borders of characters and into the text.
fn on_characters(text: &str, span: &Range<usize>) -> Range<usize> {
    let border = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = border(span.start);
    start..border(span.end).max(start)
}

/// The name that was probably meant: the closest, if it is close enough for its length.
pub(super) fn closest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let allowed = (written.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|name| (distance(written, name), name))
        .filter(|(distance, name)| *distance <= allowed && *distance < name.chars().count())
        .min()
        .map(|(_, name)| name)
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one to the other.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().take(64).collect(), other.chars().take(64).collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let mut least = (rows[i][j + 1] + 1).min(row[j] + 1).min(rows[i][j] + usize::from(a != b));
            if i > 0 && j > 0 && one[i - 1] == *b && *a == other[j - 1] {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_name_that_was_meant_and_a_stranger_finds_none() {
        let known = ["listen", "domain", "certificate"];
        assert_eq!(closest("lisetn", known), Some("listen"));
        assert_eq!(closest("domian", known), Some("domain"));
        assert_eq!(closest("certficate", known), Some("certificate"));
        assert_eq!(closest("voicemail", known), None);
        assert_eq!(closest("to", ["t1"]), Some("t1"));
        assert_eq!(closest("x", ["y"]), None);
    }

    #[test]
    fn columns_count_characters_from_one() {
        let text = "a\n\u{e9}b = 1\n";
        assert_eq!(line_and_column(text, 0), (1, 1));
        assert_eq!(line_and_column(text, 4), (2, 2));
        assert_eq!(line_and_column(text, 3), (2, 1), "inside a character counts as its beginning");
        assert_eq!(line_and_column(text, 999), (3, 1));
    }
}
