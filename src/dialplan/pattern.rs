//! Patterns: a list of digit sets with an optional repeat at the end.
//!
//! | write | means |
//! |---|---|
//! | digits, `*`, `#`, leading `+` | themselves |
//! | `X` `Z` `N` | 0-9, 1-9, 2-9 |
//! | `[2-57]` | one digit of the set |
//! | `.` at the end | one or more digits |
//! | `X{6,10}` at the end | six to ten digits |
//! | <code>9&#124;Z.</code> | digits left of the bar are dialled but not sent |
//! | `(ext:2XX)` | a named part |
//! | `any` | every number |
//!
//! So the numbers of one length that a pattern accepts are a product of sets, and "narrower",
//! "crosses" and a witness are one pass over two lists.

use crate::limits::DIGITS_MAX;
use std::ops::Range;

/// Symbols that the automaton tells apart: ten digits, `*`, `#`, `+`, and everything else.
pub(super) const SYMBOLS: usize = 14;
const STAR: usize = 10;
const HASH: usize = 11;
const PLUS: usize = 12;
const OTHER: usize = 13;

/// A set of symbols as bits.
pub(super) type Set = u16;

const DIGITS: Set = 0x3FF;
const ALL: Set = (1 << SYMBOLS) - 1;

/// The symbol of a character.
pub(super) fn symbol(character: char) -> usize {
    match character {
        '0'..='9' => character as usize - '0' as usize,
        '*' => STAR,
        '#' => HASH,
        '+' => PLUS,
        _ => OTHER,
    }
}

/// A compiled pattern: one set for each place, and how it may go on behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    /// Sets of the places that every accepted number has.
    fixed: Vec<Set>,
    /// Set of the further places.
    tail: Set,
    /// How many further places there may be; `None`: any number.
    extra: Option<usize>,
    /// Places left of the bar.
    bar: usize,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    name: String,
    start: usize,
    /// `None`: to the end of the number.
    end: Option<usize>,
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

impl PatternError {
    fn at(range: Range<usize>, message: &str) -> Self {
        PatternError { start: range.start, end: range.end, message: message.to_owned(), help: None }
    }
    fn with_help(self, help: &str) -> Self {
        PatternError { help: Some(help.to_owned()), ..self }
    }
}

impl Pattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Pattern, PatternError> {
        if text == "any" {
            let text = text.to_owned();
            return Ok(Pattern { text, fixed: vec![ALL], tail: ALL, extra: None, bar: 0, parts: Vec::new() });
        }
        let mut parser = Parser { text, at: 0, bar: None, part: None, ended: None, pattern: Pattern::empty(text) };
        while let Some(character) = parser.peek() {
            parser.step(character)?;
        }
        parser.finish()
    }

    fn empty(text: &str) -> Pattern {
        Pattern { text: text.to_owned(), fixed: Vec::new(), tail: 0, extra: Some(0), bar: 0, parts: Vec::new() }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it accepts `dialled`, whatever other patterns do.
    pub fn accepts(&self, dialled: &str) -> bool {
        let length = dialled.chars().count();
        length >= self.shortest() && self.fits(dialled, length)
    }

    /// Whether it accepts something longer that begins with `dialled`.
    pub fn may_begin(&self, dialled: &str) -> bool {
        let length = dialled.chars().count();
        self.reaches(length + 1) && self.fits(dialled, length)
    }

    /// Whether its first `length` places take these characters.
    fn fits(&self, dialled: &str, length: usize) -> bool {
        self.reaches(length)
            && dialled.chars().enumerate().all(|(index, character)| self.place(index) >> symbol(character) & 1 == 1)
    }

    /// Names of its parts.
    pub fn part_names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|p| p.name.as_str())
    }

    /// What `dialled`, which this pattern accepts, has right of the bar.
    pub(super) fn number<'d>(&self, dialled: &'d str) -> &'d str {
        slice(dialled, self.bar, None)
    }

    /// A named part of `dialled`, which this pattern accepts.
    pub(super) fn part<'d>(&self, name: &str, dialled: &'d str) -> Option<&'d str> {
        let part = self.parts.iter().find(|p| p.name == name)?;
        Some(slice(dialled, part.start, part.end))
    }

    /// Length of the shortest number that it accepts; at least 1.
    pub(super) fn shortest(&self) -> usize {
        self.fixed.len()
    }

    /// Whether a number of `length` places may be accepted or go on.
    pub(super) fn reaches(&self, length: usize) -> bool {
        self.extra.is_none_or(|extra| length <= self.fixed.len() + extra)
    }

    /// Whether every accepted number of the greatest `length` can go on for ever the same way, so
    /// that places beyond the fixed ones need not be told apart.
    pub(super) fn is_open(&self) -> bool {
        self.extra.is_none()
    }

    /// The set of a place, counted from 0; empty behind the last.
    pub(super) fn place(&self, index: usize) -> Set {
        match self.fixed.get(index) {
            Some(set) => *set,
            None if self.reaches(index + 1) => self.tail,
            None => 0,
        }
    }

    /// Whether every number that this pattern accepts is accepted by `other` too.
    pub(super) fn is_within(&self, other: &Pattern) -> bool {
        let longest_fits = match (self.extra, other.extra) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(ours), Some(theirs)) => self.fixed.len() + ours <= other.fixed.len() + theirs,
        };
        // One place behind the fixed ones of both stands for all that follow.
        let places = self.fixed.len().max(other.fixed.len()) + 1;
        longest_fits
            && self.fixed.len() >= other.fixed.len()
            && (0..places).all(|index| self.place(index) & !other.place(index) == 0)
    }

    /// The first of the shortest numbers that both accept.
    pub(super) fn common(&self, other: &Pattern) -> Option<String> {
        let length = self.shortest().max(other.shortest());
        if !self.reaches(length) || !other.reaches(length) {
            return None;
        }
        (0..length)
            .map(|index| match self.place(index) & other.place(index) {
                0 => None,
                both => Some(char::from(b"0123456789*#+?"[both.trailing_zeros() as usize])),
            })
            .collect()
    }
}

/// Characters `start` to `end` of `text`; what is not there is left out.
fn slice(text: &str, start: usize, end: Option<usize>) -> &str {
    let byte = |place: usize| text.char_indices().nth(place).map_or(text.len(), |(at, _)| at);
    let start = byte(start);
    let end = end.map_or(text.len(), byte);
    text.get(start..end).unwrap_or("")
}

struct Parser<'t> {
    text: &'t str,
    /// Byte that is looked at.
    at: usize,
    /// Byte of the bar.
    bar: Option<usize>,
    /// An open named part: byte of its parenthesis, its name, its first place.
    part: Option<(usize, String, usize)>,
    /// Bytes of the repeat that ended the pattern.
    ended: Option<Range<usize>>,
    pattern: Pattern,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn step(&mut self, character: char) -> Result<(), PatternError> {
        let start = self.at;
        let here = start..start + character.len_utf8();
        if let Some(ended) = self.ended.clone().filter(|_| character != ')') {
            return Err(PatternError::at(ended, "a repeat must be the end of the pattern"));
        }
        self.at = here.end;
        let set = match character {
            '0'..='9' | '*' | '#' => 1 << symbol(character),
            'X' => DIGITS,
            'Z' => DIGITS & !1,
            'N' => DIGITS & !3,
            '+' if self.pattern.fixed.is_empty() => 1 << PLUS,
            '+' => return Err(PatternError::at(here, "a plus sign can only be the first character")),
            '[' => self.set(start)?,
            '.' => {
                self.pattern.fixed.push(DIGITS);
                self.pattern.tail = DIGITS;
                self.pattern.extra = None;
                self.ended = Some(here);
                return Ok(());
            }
            '(' => return self.open_part(start),
            ')' => return self.close_part(here),
            '|' => return self.set_bar(here),
            _ => return Err(unknown_character(character, here)),
        };
        if self.peek() == Some('{') { self.repeat(set) } else { self.push(set, here) }
    }

    fn push(&mut self, set: Set, here: Range<usize>) -> Result<(), PatternError> {
        if self.pattern.fixed.len() == DIGITS_MAX {
            let message = format!("numbers have at most {DIGITS_MAX} digits");
            return Err(PatternError::at(here, &message));
        }
        self.pattern.fixed.push(set);
        Ok(())
    }

    /// `[2-57]`; the bracket at `start` is taken.
    fn set(&mut self, start: usize) -> Result<Set, PatternError> {
        let Some(length) = self.text.get(self.at..).and_then(|rest| rest.find(']')) else {
            let range = start..self.text.len();
            return Err(PatternError::at(range, "this set has no end").with_help("write it like [2-57]"));
        };
        let inside = self.text.get(self.at..self.at + length).unwrap_or("");
        let first = self.at;
        let whole = start..first + length + 1;
        self.at = whole.end;
        let mut set = 0;
        let mut characters = inside.char_indices().peekable();
        while let Some((at, low)) = characters.next() {
            let here = first + at..first + at + low.len_utf8();
            let Some(low_digit) = low.to_digit(10) else {
                return Err(PatternError::at(here, "a set holds digits only").with_help("write it like [2-57]"));
            };
            if characters.next_if(|(_, c)| *c == '-').is_none() {
                set |= 1 << low_digit;
                continue;
            }
            let range = here.start..(here.end + 2).min(whole.end);
            let Some(high_digit) = characters.next().and_then(|(_, c)| c.to_digit(10)) else {
                return Err(PatternError::at(range, "a range needs a digit on both sides"));
            };
            if low_digit > high_digit {
                return Err(PatternError::at(range, "this range runs backwards"));
            }
            for digit in low_digit..=high_digit {
                set |= 1 << digit;
            }
        }
        if set == 0 { Err(PatternError::at(whole, "this set is empty")) } else { Ok(set) }
    }

    /// `{6,10}` or `{6}` behind `set`.
    fn repeat(&mut self, set: Set) -> Result<(), PatternError> {
        let start = self.at;
        let rest = self.text.get(start..).unwrap_or("");
        let Some(length) = rest.find('}') else {
            return Err(PatternError::at(start..self.text.len(), "this repeat has no end"));
        };
        let whole = start..start + length + 1;
        let inside = rest.get(1..length).unwrap_or("");
        let (low, high) = inside.split_once(',').unwrap_or((inside, inside));
        let (Ok(low), Ok(high)) = (low.trim().parse::<usize>(), high.trim().parse::<usize>()) else {
            return Err(PatternError::at(whole, "a repeat is a count or two").with_help("write it like X{6,10}"));
        };
        if low > high || high == 0 {
            return Err(PatternError::at(whole, "the first count is greater than the second, or both are zero"));
        }
        if self.pattern.fixed.len() + high > DIGITS_MAX {
            let message = format!("numbers have at most {DIGITS_MAX} digits");
            return Err(PatternError::at(whole, &message));
        }
        self.pattern.fixed.extend(std::iter::repeat_n(set, low));
        self.pattern.tail = set;
        self.pattern.extra = Some(high - low);
        self.at = whole.end;
        // A fixed count is no end: "X{4}" is only a short way to write XXXX.
        self.ended = (high > low).then_some(whole);
        Ok(())
    }

    /// `(name:`; the parenthesis at `start` is taken.
    fn open_part(&mut self, start: usize) -> Result<(), PatternError> {
        let here = start..start + 1;
        if self.part.is_some() {
            return Err(PatternError::at(here, "a named part cannot hold another"));
        }
        let rest = self.text.get(self.at..).unwrap_or("");
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        if length == 0 || !rest.get(length..).is_some_and(|r| r.starts_with(':')) {
            let error = PatternError::at(here, "a named part begins with its name and a colon");
            return Err(error.with_help("write it like (ext:2XX)"));
        }
        let name = rest.get(..length).unwrap_or("").to_owned();
        if ["number", "dialled", "caller"].contains(&name.as_str()) || self.pattern.part_names().any(|n| n == name) {
            let range = self.at..self.at + length;
            return Err(PatternError::at(range, "this name is taken").with_help("choose another name"));
        }
        self.at += length + 1;
        self.part = Some((start, name, self.pattern.fixed.len()));
        Ok(())
    }

    fn close_part(&mut self, here: Range<usize>) -> Result<(), PatternError> {
        let Some((opened, name, start)) = self.part.take() else {
            return Err(PatternError::at(here, "this parenthesis was never opened"));
        };
        let end = if self.ended.is_some() { None } else { Some(self.pattern.fixed.len()) };
        if end == Some(start) {
            return Err(PatternError::at(opened..here.end, "this part is empty"));
        }
        self.pattern.parts.push(Part { name, start, end });
        Ok(())
    }

    fn set_bar(&mut self, here: Range<usize>) -> Result<(), PatternError> {
        if self.bar.is_some() {
            return Err(PatternError::at(here, "there can be one bar only"));
        }
        if self.part.is_some() {
            return Err(PatternError::at(here, "the bar cannot stand in a named part"));
        }
        if self.pattern.fixed.is_empty() {
            return Err(PatternError::at(here, "nothing stands left of the bar"));
        }
        self.bar = Some(here.start);
        self.pattern.bar = self.pattern.fixed.len();
        Ok(())
    }

    fn finish(self) -> Result<Pattern, PatternError> {
        let pattern = self.pattern;
        if let Some((opened, ..)) = self.part {
            return Err(PatternError::at(opened..self.text.len(), "this named part has no end"));
        }
        if pattern.fixed.is_empty() {
            let error = PatternError::at(0..self.text.len(), "this pattern accepts the empty number");
            return Err(error.with_help("write \"any\" for every number"));
        }
        if let Some(bar) = self.bar.filter(|_| pattern.bar == pattern.fixed.len()) {
            return Err(PatternError::at(bar..bar + 1, "no digit must follow the bar, so nothing may be sent"));
        }
        Ok(pattern)
    }
}

fn unknown_character(character: char, here: Range<usize>) -> PatternError {
    let error = PatternError::at(here, &format!("`{character}` is no part of a pattern"));
    match character {
        'x' | 'z' | 'n' => error.with_help(&format!("write a capital {}", character.to_ascii_uppercase())),
        '_' => error.with_help("patterns need no underscore here"),
        ' ' | '-' | '/' => error.with_help("write the digits without anything between them"),
        '{' => error.with_help("a repeat stands behind a digit or a set: X{6,10}"),
        '!' => error.with_help("for \"one or more digits\" write a full stop"),
        '^' | '$' | '\\' | '?' => {
            error.with_help("patterns are no regular expressions; they always fit the whole number")
        }
        _ => error.with_help("allowed are digits * # + X Z N [2-5] . X{6,10} | and (name:...)"),
    }
}
