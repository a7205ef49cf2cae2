//! Typed access to TOML tables that collects findings and goes on.
//!
//! A [`Section`] notes every key that it is asked for. What is left when it is finished is an
//! unknown key, and the keys asked for are what may have been meant: one list serves both.

use super::Reader;
use super::findings::{Finding, Place, SourceFile};
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::de::{DeTable, DeValue};

/// A TOML value with its place.
#[derive(Clone, Copy)]
pub(super) struct Value<'v> {
    pub(super) file: usize,
    pub(super) item: &'v toml::Spanned<DeValue<'v>>,
    /// Whether a table of the dial plan holds it.
    plan: bool,
}

impl Value<'_> {
    pub(super) fn place(&self) -> Place {
        Place { file: self.file, span: self.item.span() }
    }

    /// Whether it is this text, for a word that stands in the place of something else.
    pub(super) fn is_text(&self, word: &str) -> bool {
        matches!(self.item.get_ref(), DeValue::String(text) if **text == *word)
    }

    /// Whether it is a text at all.
    pub(super) fn is_any_text(&self) -> bool {
        matches!(self.item.get_ref(), DeValue::String(_))
    }
}

/// A text with its place.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) text: String,
    pub(super) place: Place,
    /// Whether a byte of the text is at `span.start + 1 +` its index: true without escapes.
    exact: bool,
}

impl Text {
    /// The place of bytes `start..end` of the text.
    pub(super) fn part(&self, start: usize, end: usize) -> Place {
        if !self.exact {
            return self.place.clone();
        }
        let first = self.place.span.start + 1;
        Place { file: self.place.file, span: first + start..first + end }
    }
}

/// What all lowering shares: findings, files, and the way to what lies outside.
pub(super) struct Lowering<'r> {
    pub(super) findings: Vec<Finding>,
    pub(super) files: &'r [SourceFile],
    /// Files of the configuration; behind them are scripts of far ends.
    pub(super) configuration_files: usize,
    pub(super) reader: &'r dyn Reader,
}

/// A table that is being read.
pub(super) struct Section<'v> {
    /// `[phone.201]`, for messages.
    pub(super) title: String,
    /// Its header, for what is missing.
    pub(super) place: Place,
    table: &'v DeTable<'v>,
    /// A table of the dial plan; its codes begin with D.
    plan: bool,
    asked: Vec<&'static str>,
    later: Vec<&'static str>,
}

impl<'v> Section<'v> {
    pub(super) fn new(title: String, place: Place, table: &'v DeTable<'v>) -> Self {
        Section { title, place, table, plan: false, asked: Vec::new(), later: Vec::new() }
    }

    /// A table of the dial plan.
    pub(super) fn of_plan(title: String, place: Place, table: &'v DeTable<'v>) -> Self {
        Section { plan: true, ..Section::new(title, place, table) }
    }

    /// The value of a key, if it is there.
    pub(super) fn get(&mut self, key: &'static str) -> Option<Value<'v>> {
        self.asked.push(key);
        let item = self.table.get(key)?;
        Some(Value { file: self.place.file, item, plan: self.plan })
    }

    /// The value of a key that must be there.
    pub(super) fn require(&mut self, key: &'static str, lowering: &mut Lowering<'_>) -> Option<Value<'v>> {
        let value = self.get(key);
        if value.is_none() {
            let message = format!("{} needs a key \"{key}\"", self.title);
            let code = if self.plan { "D0005" } else { "C0005" };
            lowering.push(Finding::error(code, &self.place, message).label(format!("\"{key}\" is missing")));
        }
        value
    }

    /// Whether a key is there; it is to be asked for elsewhere.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// Whether the list `key` has a text that `is_meant`; what is no list of texts has none.
    pub(super) fn lists_text(&self, key: &str, is_meant: impl Fn(&str) -> bool) -> bool {
        let Some(DeValue::Array(items)) = self.table.get(key).map(toml::Spanned::get_ref) else { return false };
        items.iter().any(|item| matches!(item.get_ref(), DeValue::String(text) if is_meant(text)))
    }

    /// Keys that are promised and not built yet.
    pub(super) fn later(&mut self, keys: &[&'static str]) {
        self.later.extend_from_slice(keys);
    }

    /// Reports keys that nobody asked for.
    pub(super) fn finish(self, lowering: &mut Lowering<'_>) {
        for (key, _) in self.table.iter() {
            let name: &str = key.get_ref();
            let place = Place { file: self.place.file, span: key.span() };
            if self.asked.contains(&name) {
                continue;
            }
            if self.later.contains(&name) {
                let message = format!("\"{name}\" of {} is not built yet", self.title);
                let code = if self.plan { "D0006" } else { "C0006" };
                lowering.push(Finding::error(code, &place, message).help("leave it out"));
                continue;
            }
            let code = if self.plan { "D0003" } else { "C0003" };
            let finding = Finding::error(code, &place, format!("{} has no key \"{name}\"", self.title));
            let mut finding = finding.label("unknown key").did_you_mean(name, self.asked.iter().copied());
            if finding.help.is_none() {
                finding = finding.help(format!("it knows: {}", self.asked.join(", ")));
            }
            lowering.push(finding);
        }
    }
}

impl Lowering<'_> {
    pub(super) fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Reports that a value is not `expected`.
    pub(super) fn wrong_type(&mut self, value: Value<'_>, expected: &str) {
        let found = match value.item.get_ref() {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let code = if value.plan { "D0004" } else { "C0004" };
        let message = format!("expected {expected}, found {found}");
        self.push(Finding::error(code, &value.place(), message).label(format!("this must be {expected}")));
    }

    pub(super) fn text(&mut self, value: Value<'_>) -> Option<Text> {
        let DeValue::String(text) = value.item.get_ref() else {
            self.wrong_type(value, "text in quotes");
            return None;
        };
        let place = value.place();
        let raw = self.files.get(value.file).and_then(|f| f.text.get(place.span.clone())).unwrap_or("");
        let exact = raw.get(1..).is_some_and(|inner| inner.starts_with(&**text)) && raw.len() == text.len() + 2;
        Some(Text { text: text.to_string(), place, exact })
    }

    /// One text, or a list of texts.
    pub(super) fn texts(&mut self, value: Value<'_>) -> Option<Vec<Text>> {
        match value.item.get_ref() {
            DeValue::Array(_) => self.list(value),
            _ => self.text(value).map(|text| vec![text]),
        }
    }

    /// A list of texts that is not empty.
    pub(super) fn list(&mut self, value: Value<'_>) -> Option<Vec<Text>> {
        let DeValue::Array(items) = value.item.get_ref() else {
            self.wrong_type(value, "a list of texts");
            return None;
        };
        if items.is_empty() {
            let code = if value.plan { "D0007" } else { "C0007" };
            self.push(Finding::error(code, &value.place(), "this list is empty"));
            return None;
        }
        let texts: Vec<Option<Text>> = items.iter().map(|item| self.text(Value { item, ..value })).collect();
        texts.into_iter().collect()
    }

    pub(super) fn boolean(&mut self, value: Value<'_>) -> Option<bool> {
        match value.item.get_ref() {
            DeValue::Boolean(boolean) => Some(*boolean),
            _ => {
                self.wrong_type(value, "true or false");
                None
            }
        }
    }

    /// A whole number within `range`; `code` when it is outside.
    pub(super) fn integer(&mut self, value: Value<'_>, range: RangeInclusive<i64>, code: &'static str) -> Option<i64> {
        let DeValue::Integer(integer) = value.item.get_ref() else {
            self.wrong_type(value, "a whole number");
            return None;
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok().filter(|n| range.contains(n));
        if number.is_none() {
            let message = format!("{integer} is out of range");
            let label = format!("from {} to {}", range.start(), range.end());
            self.push(Finding::error(code, &value.place(), message).label(label));
        }
        number
    }

    /// A number with at most one digit behind the point, in tenths, within `range` (in tenths too).
    pub(super) fn tenths(&mut self, value: Value<'_>, range: RangeInclusive<i64>) -> Option<i64> {
        let number = match value.item.get_ref() {
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).ok(),
            DeValue::Float(float) => match float.as_str().parse::<f64>() {
                Ok(number) if ((number * 10.0).round() - number * 10.0).abs() < 1e-6 && number.abs() < 1e6 => {
                    return self.tenths_in_range((number * 10.0).round() as i64, value, range);
                }
                _ => None,
            },
            _ => {
                self.wrong_type(value, "a number");
                return None;
            }
        };
        match number.and_then(|n| n.checked_mul(10)) {
            Some(tenths) => self.tenths_in_range(tenths, value, range),
            None => self.tenths_in_range(i64::MAX, value, range),
        }
    }

    fn tenths_in_range(&mut self, tenths: i64, value: Value<'_>, range: RangeInclusive<i64>) -> Option<i64> {
        if range.contains(&tenths) {
            return Some(tenths);
        }
        let label = format!("from {} to {}, in steps of 0.1", range.start() / 10, range.end() / 10);
        self.push(Finding::error("C0012", &value.place(), "this number is out of range").label(label));
        None
    }

    /// `"500ms"`, `"15s"`, `"2m"` within `range`.
    pub(super) fn duration(&mut self, value: Value<'_>, range: RangeInclusive<Duration>) -> Option<Duration> {
        if let DeValue::Integer(integer) = value.item.get_ref() {
            let finding = Finding::error("C0014", &value.place(), "a time needs a unit");
            self.push(finding.help(format!("write \"{integer}ms\" or \"{integer}s\"")));
            return None;
        }
        let text = self.text(value)?;
        let Some(duration) = parse_duration(&text.text) else {
            let finding = Finding::error("C0014", &text.place, format!("\"{}\" is no time", text.text));
            self.push(finding.help("write a whole number and ms, s, m or h: \"500ms\", \"15s\""));
            return None;
        };
        if range.contains(&duration) {
            return Some(duration);
        }
        let label = format!("from {:?} to {:?}", range.start(), range.end());
        self.push(Finding::error("C0014", &text.place, "this time is out of range").label(label));
        None
    }

    /// The values in a list.
    pub(super) fn items<'v>(&mut self, value: Value<'v>) -> Option<Vec<Value<'v>>> {
        let DeValue::Array(items) = value.item.get_ref() else {
            self.wrong_type(value, "a list");
            return None;
        };
        Some(items.iter().map(|item| Value { item, ..value }).collect())
    }

    /// The tables in a list, each with this title.
    pub(super) fn tables<'v>(&mut self, value: Value<'v>, title: &str) -> Option<Vec<Section<'v>>> {
        let DeValue::Array(items) = value.item.get_ref() else {
            self.wrong_type(value, "a list of tables");
            return None;
        };
        let tables: Vec<_> = items.iter().map(|item| self.table(Value { item, ..value }, title.to_owned())).collect();
        tables.into_iter().collect()
    }

    /// The table inside a value.
    pub(super) fn table<'v>(&mut self, value: Value<'v>, title: String) -> Option<Section<'v>> {
        let DeValue::Table(table) = value.item.get_ref() else {
            self.wrong_type(value, "a table");
            return None;
        };
        let section = Section::new(title, value.place(), table);
        Some(Section { plan: value.plan, ..section })
    }
}

/// A whole number with a unit.
fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}
