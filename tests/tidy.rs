//! Rules that the compiler does not know: who may import whom, length of files, where `unsafe` may
//! stand, files that the architecture names. Each check is a function of file names and texts, so
//! that tests at the end show that it finds what it looks for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Lines of a file, its tests not counted.
const LINES_MAX: usize = 800;

/// Known to every module.
const FOUNDATION: &str = "time ids rng limits recorder capture";

/// Module of the root package, modules that it may use besides the foundation, and watched crates
/// that it may use. The table of ARCHITECTURE.md with its reasons:
/// `rtp` takes the sixteen digits from the HAL; `config` takes transports, codecs and countries from
/// where they are defined; `trunk` needs Reason headers; `call` speaks to `media` in its messages.
const MAY_USE: &[(&str, &str, &str)] = &[
    ("time", "", "tipring_hal"),
    ("ids", "", "tipring_hal"),
    ("rng", "", ""),
    ("limits", "", ""),
    ("recorder", "", ""),
    ("capture", "", ""),
    ("sip", "", ""),
    ("sdp", "", "g7xx"),
    ("rtp", "", "tipring_hal"),
    ("dialplan", "", ""),
    ("trunk", "sip", ""),
    ("isup", "trunk", ""),
    ("switch", "isup trunk dialplan media", ""),
    ("line", "trunk", "tipring_hal"),
    ("call", "sip sdp line trunk dialplan media isup", "tipring_hal"),
    ("config", "dialplan sip sdp line trunk isup switch media", "tipring_hal"),
    ("gateway", "call config sip sdp line trunk dialplan media isup", "tipring_hal g7xx tracing"),
    ("media", "rtp", "tipring_hal g7xx"),
    (
        "shell",
        "gateway call config sip sdp rtp line trunk dialplan media switch isup",
        "tipring_hal tipring_virtual g7xx tracing tokio",
    ),
    (
        "simulator",
        "gateway call config sip sdp rtp line trunk dialplan media switch",
        "tipring_hal tipring_virtual g7xx",
    ),
    ("cli", "shell simulator gateway call config sip sdp rtp line trunk dialplan media", "tipring_hal g7xx tracing"),
    ("main", "cli", ""),
    ("lib", "", ""),
];

/// Crates that not everybody may use. Others are plain libraries.
const WATCHED: [&str; 5] = ["tipring_hal", "tipring_virtual", "g7xx", "tracing", "tokio"];

/// What only the shell, the command line and the simulator may touch: the operating system.
const SYSTEM: [&str; 10] = [
    "std::fs",
    "std::thread",
    "std::env",
    "std::process",
    "std::os",
    "UdpSocket",
    "TcpListener",
    "TcpStream",
    "UnixStream",
    "SystemTime",
];
const SYSTEM_USERS: [&str; 4] = ["shell", "cli", "main", "simulator"];

/// Nobody waits for anybody in the media plane.
const LOCKS: [&str; 4] = ["Mutex", "RwLock", "Condvar", "mpsc"];

/// Files that may hold `unsafe`; a name that ends in `/` stands for all files below it.
const UNSAFE: [&str; 8] = [
    "g7xx/src/arch/",
    "drivers/dahdi/src/ioctl.rs",
    "drivers/virtual/tests/no_allocation.rs",
    "src/shell/rtp_io.rs",
    "src/shell/media_thread.rs",
    "src/shell/sctp_io.rs",
    "tests/media_path.rs",
    "tests/refused.rs",
];

/// A file of the repository.
struct Source {
    /// From the root of the repository, with `/`.
    path: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All text files of the repository with one of these endings, in order.
fn sources(endings: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(directory) = waiting.pop() {
        let entries = std::fs::read_dir(root().join(&directory)).expect("a directory of the repository");
        for entry in entries {
            let entry = entry.expect("an entry of a directory");
            let name = entry.file_name().into_string().expect("names are ASCII");
            let path = directory.join(&name);
            if entry.file_type().expect("a type").is_dir() {
                if name != "target" && name != ".git" && name != "node_modules" {
                    waiting.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let text = std::fs::read_to_string(root().join(&path)).expect("text");
                found.push(Source { path: path.to_str().expect("ASCII").replace('\\', "/"), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn rust() -> Vec<Source> {
    sources(&[".rs"])
}

#[track_caller]
fn assert_none(what: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

/// Whether the whole file is tests.
fn is_test_file(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "tests.rs" || part == "benches")
}

/// The text before its `#[cfg(test)] mod tests {`: by rule tests stand last.
fn without_tests(text: &str) -> &str {
    let tests = text.match_indices("#[cfg(test)]").find(|(at, _)| {
        let rest = text[at + "#[cfg(test)]".len()..].trim_start();
        rest.strip_prefix("mod ").is_some_and(|rest| rest.lines().next().unwrap_or("").ends_with('{'))
    });
    &text[..tests.map_or(text.len(), |(at, _)| at)]
}

/// The text without comments and without what stands in quotes on one line.
fn code(text: &str) -> String {
    let mut code = String::new();
    for line in text.lines() {
        let mut characters = line.chars().peekable();
        let mut quoted = false;
        while let Some(c) = characters.next() {
            match c {
                '\\' if quoted => drop(characters.next()),
                '\'' if !quoted && characters.clone().nth(1) == Some('\'') => {
                    // A character literal, which may be a quotation mark.
                    characters.nth(1);
                }
                '"' => quoted = !quoted,
                '/' if !quoted && characters.peek() == Some(&'/') => break,
                _ if quoted => {}
                _ => code.push(c),
            }
        }
        code.push('\n');
    }
    code
}

/// Places of `word` in `code` where it stands alone.
fn words<'c>(code: &'c str, word: &'c str) -> impl Iterator<Item = usize> + 'c {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |&at| !code[..at].ends_with(is_part) && !code[at + word.len()..].starts_with(is_part))
}

/// Names right behind `prefix` at `at`: one, or the first of each path in braces.
fn names_behind(code: &str, at: usize) -> Vec<String> {
    let rest = &code[at..];
    let identifier = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = rest.strip_prefix('{') else { return vec![identifier(rest)] };
    let mut names = vec![identifier(group)];
    let mut depth = 0;
    for (index, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(identifier(&group[index + 1..])),
            _ => {}
        }
    }
    names
}

/// How many `super::` lead from the file to the root of the crate, and its top module.
fn place_in_crate(path: &str) -> Option<(&str, usize)> {
    let inner = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let parts: Vec<&str> = inner.split('/').collect();
    let depth = if parts.last() == Some(&"mod") { parts.len() - 1 } else { parts.len() };
    Some((parts[0], depth))
}

/// Modules of the crate that a file names: by `crate::`, `tipring::`, or enough `super::`.
fn modules_named(path: &str, code: &str) -> BTreeSet<String> {
    let depth = place_in_crate(path).map_or(usize::MAX, |(_, depth)| depth);
    let mut names = BTreeSet::new();
    for prefix in ["crate::", "tipring::"] {
        for at in words(code, prefix.trim_end_matches(':')).filter(|at| code[*at..].starts_with(prefix)) {
            names.extend(names_behind(code, at + prefix.len()));
        }
    }
    let chain = "super::";
    let mut at = 0;
    while let Some(found) = code[at..].find(chain) {
        let start = at + found;
        let mut end = start;
        let mut count = 0;
        while code[end..].starts_with(chain) {
            end += chain.len();
            count += 1;
        }
        if count == depth {
            names.extend(names_behind(code, end));
        }
        at = end;
    }
    names
}

/// Every import that the table forbids.
fn forbidden_imports(files: &[Source]) -> Vec<String> {
    let modules: BTreeSet<&str> = MAY_USE.iter().map(|(module, ..)| *module).collect();
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with("src/") && !is_test_file(&file.path)) {
        let Some((module, _)) = place_in_crate(&file.path) else { continue };
        let Some((_, allowed, crates)) = MAY_USE.iter().find(|(name, ..)| *name == module) else {
            found.push(format!("{}: the module {module} is not in the table of tests/tidy.rs", file.path));
            continue;
        };
        let code = code(without_tests(&file.text));
        let may = |name: &str| allowed.split(' ').chain(FOUNDATION.split(' ')).any(|allowed| allowed == name);
        for name in modules_named(&file.path, &code) {
            if modules.contains(name.as_str()) && name != module && !may(&name) {
                found.push(format!("{}: {module} must not know {name}", file.path));
            }
        }
        for name in WATCHED {
            let named = words(&code, name).next().is_some();
            let driver_elsewhere = name == "tipring_virtual" && module == "shell" && file.path != "src/shell/cards.rs";
            if named && (!crates.split(' ').any(|allowed| allowed == name) || driver_elsewhere) {
                found.push(format!("{}: {module} must not use the crate {name} here", file.path));
            }
        }
        for name in SYSTEM.iter().filter(|_| !SYSTEM_USERS.contains(&module)) {
            if words(&code, name).next().is_some() {
                found.push(format!("{}: {name} belongs to the shell", file.path));
            }
        }
        for name in LOCKS.iter().filter(|_| module == "media") {
            if words(&code, name).next().is_some() {
                found.push(format!("{}: no {name} in the media plane", file.path));
            }
        }
    }
    found
}

/// Drivers know the HAL and nothing else of us; codecs know nothing.
fn forbidden_in_crates(files: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !is_test_file(&file.path)) {
        let forbidden: &[&str] = match file.path.split('/').collect::<Vec<_>>()[..] {
            ["drivers", "hal", ..] => &["tipring", "tipring_virtual", "g7xx", "tokio", "tracing"],
            ["drivers", ..] => &["tipring", "g7xx", "tokio", "tracing"],
            ["g7xx", ..] => &["tipring", "tipring_hal", "tipring_virtual", "tokio", "tracing"],
            _ => continue,
        };
        let code = code(without_tests(&file.text));
        for name in
            forbidden.iter().filter(|name| words(&code, name).any(|at| code[at + name.len()..].starts_with("::")))
        {
            found.push(format!("{}: must not know {name}", file.path));
        }
    }
    found
}

fn too_long(files: &[Source]) -> Vec<String> {
    let lines = |file: &Source| without_tests(&file.text).lines().count();
    let long = files.iter().filter(|file| !is_test_file(&file.path) && !is_table(file) && lines(file) > LINES_MAX);
    long.map(|file| format!("{}: {} lines", file.path, lines(file))).collect()
}

/// Tables of a standard, copied number by number, are data and may be long.
fn is_table(file: &Source) -> bool {
    file.path.starts_with("g7xx/src/") && file.path.ends_with("/tables.rs")
}

fn unsafe_elsewhere(files: &[Source]) -> Vec<String> {
    let listed =
        |path: &str| UNSAFE.iter().any(|entry| path == *entry || (entry.ends_with('/') && path.starts_with(entry)));
    let has_unsafe = |file: &&Source| words(&code(&file.text), "unsafe").next().is_some();
    files.iter().filter(|file| !listed(&file.path)).filter(has_unsafe).map(|file| file.path.clone()).collect()
}

/// What must not stay in the code. The words are put together here, so that this file has none.
fn left_overs(files: &[Source]) -> Vec<String> {
    let marks = [concat!("#[", "ignore"), concat!("todo", "!("), concat!("unimplemented", "!("), concat!("dbg", "!(")];
    let mut found = Vec::new();
    for file in files {
        let code = code(&file.text);
        for mark in marks.iter().filter(|mark| code.contains(**mark)) {
            found.push(format!("{}: {mark}", file.path));
        }
    }
    found
}

/// Places of one machine: they are of no use on another.
fn machine_paths(files: &[Source]) -> Vec<String> {
    let places = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
    let mut found = Vec::new();
    for file in files {
        for (index, line) in file.text.lines().enumerate() {
            if places.iter().any(|place| line.contains(place)) {
                found.push(format!("{}:{}: {}", file.path, index + 1, line.trim()));
            }
        }
    }
    found
}

/// Files that a text names in backticks and that are not there, from the root or from `src`.
fn missing_files(text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let is_file = |name: &&str| {
        let ending = name.ends_with(".rs") || name.ends_with(".toml") || name.ends_with(".md") || name.ends_with('/');
        ending && !name.contains(['<', '*', ' ', '{'])
    };
    quoted.filter(is_file).filter(|name| !exists(name) && !exists(&format!("src/{name}"))).map(str::to_owned).collect()
}

#[test]
fn modules_import_only_what_the_table_allows() {
    assert_none("forbidden imports", forbidden_imports(&rust()));
    assert_none("forbidden in member crates", forbidden_in_crates(&rust()));
}

#[test]
fn files_are_short_enough_to_read() {
    assert_none("files over the limit, tests not counted", too_long(&rust()));
}

#[test]
fn unsafe_stands_only_where_the_list_says() {
    assert_none("unsafe in files that are not listed", unsafe_elsewhere(&rust()));
}

#[test]
fn nothing_is_left_over() {
    assert_none("left over", left_overs(&rust()));
    assert_none(
        "paths of one machine",
        machine_paths(&sources(&[".rs", ".toml", ".md", ".sh", ".xml", "run", ".yml"])),
    );
}

#[test]
fn files_that_the_architecture_names_exist() {
    let Ok(text) = std::fs::read_to_string(root().join("ARCHITECTURE.md")) else {
        println!("ARCHITECTURE.md is not there yet: nothing to hold it against");
        return;
    };
    assert_none("ARCHITECTURE.md names", missing_files(&text, |name| root().join(name).exists()));
}

// --- the checks find what they look for ----------------------------------------------------------

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

#[test]
fn a_forbidden_import_is_found_in_every_spelling() {
    for (path, text) in [
        ("src/sip/parser.rs", "use crate::sdp::Description;"),
        ("src/sip/mod.rs", "use crate::{time::Instant, sdp::{self, Codec}};"),
        ("src/sip/mod.rs", "use crate::{\n    time::{Duration, Instant},\n    call,\n};"),
        ("src/sip/transaction/mod.rs", "use super::super::sdp;"),
        ("src/sip/transaction/client.rs", "fn f() -> super::super::super::sdp::Codec {}"),
        ("src/dialplan/mod.rs", "use super::config;"),
        ("src/media/worker.rs", "fn f() { crate::line::f(); }"),
        ("src/media/worker.rs", "use tracing::info;"),
        ("src/media/worker.rs", "use std::sync::Mutex;"),
        ("src/gateway.rs", "use tokio::net::TcpStream;"),
        ("src/gateway/audio.rs", "fn f() { std::fs::read(p); }"),
        ("src/config/mod.rs", "use crate::shell;"),
        ("src/simulator/mod.rs", "use crate::shell::run;"),
        ("src/shell/control.rs", "use tipring_virtual::VirtualCard;"),
        ("src/surprise.rs", ""),
    ] {
        assert!(!forbidden_imports(&[source(path, text)]).is_empty(), "{path}: {text}");
    }
    for (path, text) in [
        ("drivers/virtual/src/lib.rs", "use tipring::sip;"),
        ("drivers/hal/src/lib.rs", "use tipring_virtual::X;"),
        ("g7xx/src/lib.rs", "use tipring_hal::Instant;"),
    ] {
        assert!(!forbidden_in_crates(&[source(path, text)]).is_empty(), "{path}: {text}");
    }
}

#[test]
fn allowed_imports_comments_texts_and_tests_are_no_finding() {
    for (path, text) in [
        ("src/sip/parser.rs", "use crate::{time::Instant, limits, sip::message};\nuse super::headers;"),
        ("src/sip/parser.rs", "// crate::sdp would be wrong\n/// [`crate::sdp`]\nconst A: &str = \"crate::sdp\";"),
        ("src/sip/parser.rs", "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::sdp;\n}"),
        ("src/sip/tests.rs", "use crate::sdp;"),
        ("src/sip/transaction/mod.rs", "use super::sdp_like;"),
        ("src/shell/cards.rs", "use tipring_virtual::VirtualCard;"),
        ("src/call/mod.rs", "use crate::media::MediaCommand;"),
    ] {
        assert_none(path, forbidden_imports(&[source(path, text)]));
    }
    assert_none("a driver", forbidden_in_crates(&[source("drivers/virtual/src/lib.rs", "use tipring_hal::Card;")]));
}

#[test]
fn long_files_unsafe_left_overs_and_missing_files_are_found() {
    let long = "fn f() {}\n".repeat(LINES_MAX + 1);
    assert_eq!(too_long(&[source("src/a.rs", &long)]).len(), 1);
    assert_eq!(too_long(&[source("src/a.rs", &format!("#[cfg(test)]\nmod tests {{\n{long}"))]), [""; 0]);
    assert_eq!(unsafe_elsewhere(&[source("src/a.rs", "unsafe { f() }")]), ["src/a.rs"]);
    assert_eq!(unsafe_elsewhere(&[source("src/a.rs", "#![deny(unsafe_code)] // unsafe")]), [""; 0]);
    assert_eq!(unsafe_elsewhere(&[source("g7xx/src/arch/x86_64.rs", "unsafe {}")]), [""; 0]);
    assert_eq!(left_overs(&[source("src/a.rs", concat!("fn f() { todo", "!() }"))]).len(), 1);
    assert_eq!(machine_paths(&[source("a.md", concat!("see /wo", "rk/x"))]).len(), 1);
    assert_eq!(missing_files("`src/gone.rs`, `here.rs` and `f(x)`", |name| name == "src/here.rs"), ["src/gone.rs"]);
}
