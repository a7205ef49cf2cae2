//! From the text of the files to a [`Config`]: syntax, included files, tables, dial plan.

use super::findings::{Finding, Findings, Place, SourceFile};
use super::section::{Lowering, Section};
use super::{Config, Reader, far_end, routes, tables};
use std::collections::BTreeMap;
use toml::de::{DeTable, DeValue};

/// Most files that one configuration includes.
const INCLUDES_MAX: usize = 100;

/// Tables that stand alone: `[sip]`.
const SINGLE: [&str; 12] =
    ["sip", "tls", "dns", "rtp", "control", "log", "limits", "dialling", "ban", "registrar", "store", "failover"];
/// Tables that have names: `[phone.NAME]`.
const NAMED: [&str; 8] = ["phone", "trunk", "card", "station", "line", "isup", "group", "domain"];
/// Tables that are promised and not built yet.
const LATER: [&str; 9] = ["records", "modem", "site", "emergency", "schedule", "class", "assign", "screen", "test"];

/// All tables of all files.
#[derive(Default)]
pub(super) struct Tables<'v> {
    /// By name of the table.
    single: BTreeMap<&'static str, (Place, &'v DeTable<'v>)>,
    /// By name of the table, then in the order of names.
    named: BTreeMap<&'static str, BTreeMap<String, (Place, &'v DeTable<'v>)>>,
    /// `[[route]]` in the order of the files.
    pub(super) routes: Vec<(Place, &'v DeTable<'v>)>,
}

impl<'v> Tables<'v> {
    /// The table `[name]`.
    pub(super) fn single(&self, name: &'static str) -> Option<Section<'v>> {
        let (place, table) = self.single.get(name)?;
        Some(Section::new(format!("[{name}]"), place.clone(), table))
    }

    /// The tables `[kind.NAME]` in the order of names, each with its name.
    pub(super) fn named(&self, kind: &'static str) -> Vec<(String, Section<'v>)> {
        let Some(tables) = self.named.get(kind) else { return Vec::new() };
        let section = |name: &str, place: &Place, table| Section::new(format!("[{kind}.{name}]"), place.clone(), table);
        tables.iter().map(|(name, (place, table))| (name.clone(), section(name, place, table))).collect()
    }
}

/// See [`Config::check`].
pub(super) fn check(name: &str, text: &str, reader: &dyn Reader) -> (Option<Config>, Findings) {
    let mut files = vec![SourceFile { name: name.to_owned(), text: text.to_owned() }];
    let mut first = Vec::new();
    included(&mut files, &mut first, reader);
    let configuration_files = files.len();
    far_end::read(&mut files, &mut first, reader);

    let parsed: Vec<_> = files.iter().map(|file| DeTable::parse_recoverable(&file.text)).collect();
    let mut lowering = Lowering { findings: Vec::new(), files: &files, configuration_files, reader };
    let mut all = Tables::default();
    for (file, (document, _)) in parsed.iter().enumerate().take(configuration_files) {
        gather(&mut all, file, document.get_ref(), &mut lowering);
    }
    let whole = Place { file: 0, span: 0..0 };
    let (config, extensions) = tables::config(&all, &whole, &mut lowering);
    // The plan is read even if a table cannot be: everything is to be said at once.
    let plan = routes::plan(&extensions, &all, &mut lowering);
    let config = config.zip(plan).map(|(config, plan)| Config { plan, ..config });

    let mut list = first;
    list.append(&mut lowering.findings);
    let syntax: Vec<Finding> = parsed.iter().enumerate().flat_map(|(file, (_, errors))| syntax(file, errors)).collect();
    if !syntax.is_empty() {
        list.retain(|finding| !follows_from_syntax(finding, &syntax, &files));
        list.extend(syntax);
    }
    let findings = Findings::new(files, list);
    (config.filter(|_| !findings.has_errors()), findings)
}

/// Reads what `include` of the first file names.
fn included(files: &mut Vec<SourceFile>, findings: &mut Vec<Finding>, reader: &dyn Reader) {
    let text = files[0].text.clone();
    let (document, _) = DeTable::parse_recoverable(&text);
    let Some(value) = document.get_ref().get("include") else { return };
    let place = |span| Place { file: 0, span };
    let DeValue::Array(items) = value.get_ref() else {
        findings.push(Finding::error("C0004", &place(value.span()), "expected a list of file names"));
        return;
    };
    for item in items.iter() {
        let here = place(item.span());
        let DeValue::String(path) = item.get_ref() else {
            findings.push(Finding::error("C0004", &here, "expected the name of a file in quotes"));
            continue;
        };
        if files.len() > INCLUDES_MAX {
            findings.push(Finding::error("C0105", &here, format!("more than {INCLUDES_MAX} files")));
            return;
        }
        match reader.file(path) {
            Ok(text) => files.push(SourceFile { name: path.to_string(), text }),
            Err(error) => findings.push(Finding::error("C0105", &here, format!("cannot read {path}: {error}"))),
        }
    }
}

fn syntax(file: usize, errors: &[toml::de::Error]) -> Vec<Finding> {
    let finding = |error: &toml::de::Error| {
        let place = Place { file, span: error.span().unwrap_or(0..0) };
        // The parser speaks in sentences without a capital; only the first part is the message.
        let (message, expected) = error.message().split_once(", ").unwrap_or((error.message(), ""));
        let expected = Some(expected).filter(|text| *text != "expected nothing");
        Finding::error("C0001", &place, message).label(expected.unwrap_or("not expected here"))
    };
    errors.iter().map(finding).collect()
}

/// Whether a finding may exist only because a line could not be read: things are missing, or it
/// stands on that very line.
fn follows_from_syntax(finding: &Finding, syntax: &[Finding], files: &[SourceFile]) -> bool {
    let line = |f: &Finding| {
        let text = files.get(f.place.file).map_or("", |file| file.text.as_str());
        (f.place.file, super::findings::line_and_column(text, f.place.span.start).0)
    };
    let about_absence = ["C0002", "C0005", "C0102", "D0005", "D0103", "D0110"].contains(&finding.code);
    about_absence || syntax.iter().any(|error| line(error) == line(finding))
}

/// Sorts the tables of one file in; reports what is unknown or there twice.
fn gather<'v>(all: &mut Tables<'v>, file: usize, document: &'v DeTable<'v>, lowering: &mut Lowering<'_>) {
    for (key, value) in document.iter() {
        let name: &str = key.get_ref();
        let here = Place { file, span: key.span() };
        if name == "include" {
            if file != 0 {
                let message = "an included file cannot include others";
                lowering.push(Finding::error("C0105", &here, message).help("name all files in the first one"));
            }
        } else if let Some(&single) = SINGLE.iter().find(|&&s| s == name) {
            let DeValue::Table(table) = value.get_ref() else {
                no_table(&here, &format!("[{name}]"), lowering);
                continue;
            };
            let place = Place { file, span: value.span() };
            if let Some((earlier, _)) = all.single.insert(single, (place.clone(), table)) {
                twice(&place, &earlier, &format!("[{name}]"), lowering);
            }
        } else if let Some(&kind) = NAMED.iter().find(|&&n| n == name) {
            let DeValue::Table(tables) = value.get_ref() else {
                no_table(&here, &format!("[{name}.NAME]"), lowering);
                continue;
            };
            gather_named(all, file, kind, tables, lowering);
        } else if name == "route" {
            gather_routes(all, file, &here, value.get_ref(), lowering);
        } else {
            unknown(name, &here, lowering);
        }
    }
}

fn gather_named<'v>(
    all: &mut Tables<'v>,
    file: usize,
    kind: &'static str,
    tables: &'v DeTable<'v>,
    lowering: &mut Lowering<'_>,
) {
    for (key, value) in tables.iter() {
        let name: &str = key.get_ref();
        let here = Place { file, span: key.span() };
        let DeValue::Table(table) = value.get_ref() else {
            let finding = Finding::error("C0002", &here, format!("[{kind}] holds tables with names only"));
            lowering
                .push(finding.label("this is a key, not a table").help(format!("write it in a table [{kind}.NAME]")));
            continue;
        };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
            let finding = Finding::error("C0018", &here, format!("\"{name}\" cannot be a name"));
            lowering.push(finding.label("letters, digits, dots, hyphens and underscores only"));
        }
        let place = Place { file, span: value.span() };
        let entry = all.named.entry(kind).or_default();
        if let Some((earlier, _)) = entry.insert(name.to_owned(), (place.clone(), table)) {
            twice(&place, &earlier, &format!("[{kind}.{name}]"), lowering);
        }
    }
}

fn gather_routes<'v>(
    all: &mut Tables<'v>,
    file: usize,
    here: &Place,
    value: &'v DeValue<'v>,
    lowering: &mut Lowering<'_>,
) {
    let DeValue::Array(items) = value else {
        let finding = Finding::error("D0004", here, "routes are a list of tables");
        lowering.push(finding.help("write [[route]] with two brackets"));
        return;
    };
    for item in items.iter() {
        let place = Place { file, span: item.span() };
        match item.get_ref() {
            DeValue::Table(table) => all.routes.push((place, table)),
            _ => lowering.push(Finding::error("D0004", &place, "a route is a table")),
        }
    }
}

fn no_table(here: &Place, written: &str, lowering: &mut Lowering<'_>) {
    let finding = Finding::error("C0004", here, "expected a table");
    lowering.push(finding.label(format!("this is written {written}")));
}

fn twice(place: &Place, earlier: &Place, name: &str, lowering: &mut Lowering<'_>) {
    let finding = Finding::error("C0106", place, format!("{name} is there twice"));
    lowering.push(finding.label("again here").other(earlier, "first here"));
}

fn unknown(name: &str, here: &Place, lowering: &mut Lowering<'_>) {
    if LATER.contains(&name) {
        let finding = Finding::error("C0006", here, format!("[{name}] is not built yet"));
        lowering.push(finding.help("leave it out"));
        return;
    }
    let known = SINGLE.into_iter().chain(NAMED).chain(["route", "include"]);
    let finding = Finding::error("C0002", here, format!("there is no table \"{name}\""));
    let mut finding = finding.label("unknown table").did_you_mean(name, known);
    if finding.help.is_none() {
        let names = SINGLE.into_iter().chain(NAMED).collect::<Vec<_>>().join(", ");
        finding = finding.help(format!("there are: {names}, route"));
    }
    lowering.push(finding);
}
