//! Scripts of the simulated switch through the real binary: `tipring check` reads them with the configuration
//! and shows each mistake in its own file, at its line and column.

use std::path::Path;
use std::process::{Command, Output};

const CONFIGURATION: &str =
    "sip.listen = [\"udp:127.0.0.1:5060\"]\n[isup.x]\ntransport = \"simulated\"\nscript = \"far.toml\"\n";

fn check_files(directory: &Path, configuration: &str, script: Option<&str>, arguments: &[&str]) -> Output {
    std::fs::write(directory.join("test.toml"), configuration).expect("a temporary file");
    if let Some(script) = script {
        std::fs::write(directory.join("far.toml"), script).expect("a temporary file");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_tipring"));
    command.current_dir(directory).args(["check", "-c", "test.toml"]).args(arguments).output().expect("the binary runs")
}

/// Findings as `far.toml:line:column code`.
fn findings(configuration: &str, script: Option<&str>) -> Vec<String> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = check_files(directory.path(), configuration, script, &["--json"]);
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let list = list.as_array().expect("an array");
    assert_eq!(output.status.code(), Some(if list.is_empty() { 0 } else { 1 }));
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("").to_owned();
    let place =
        |f: &serde_json::Value| format!("{}:{}:{} {}", text(&f["file"]), f["line"], f["column"], text(&f["code"]));
    list.iter().map(place).collect()
}

#[track_caller]
fn check(script: &str, expected: &[&str]) {
    assert_eq!(findings(CONFIGURATION, Some(script)), expected, "\n{script}");
}

#[test]
fn the_example_of_the_documentation_has_no_mistakes() {
    let example = include_str!("../dialplans/far-end.toml");
    check(example, &[]);
    // Also with what it shows behind a hash in front of a table or key.
    let shown: String = example
        .lines()
        .map(|line| {
            let rest = line.strip_prefix("# ").unwrap_or("");
            let is_key = rest.split_once('=').is_some_and(|(key, _)| {
                !key.starts_with(' ') && key.trim().chars().all(|c| c.is_ascii_lowercase() || c == '-')
            });
            if rest.starts_with("[[") || is_key { format!("{rest}\n") } else { format!("{line}\n") }
        })
        .collect();
    assert_eq!(shown.matches("\n[[call]]\n").count() + shown.matches("\n[[alarm]]\n").count(), 3);
    check(&shown, &[]);
}

#[test]
fn an_empty_script_is_the_demo_exchange() {
    check("", &[]);
}

#[test]
fn what_is_wrong_at_the_top() {
    check("dmeo = true\n", &["far.toml:1:1 C0003"]);
    check("loss = 100.1\n", &["far.toml:1:8 C0012"]);
    check("loss = \"much\"\nloss-until = 3\n", &["far.toml:1:8 C0004", "far.toml:2:14 C0014"]);
    check("delay = \"11s\"\ndigits-wait = \"a while\"\n", &["far.toml:1:9 C0014", "far.toml:2:15 C0014"]);
    check("[number]\n", &["far.toml:1:1 C0004"]);
    check("demo = \n", &["far.toml:1:8 C0001"]);
}

#[test]
fn what_is_wrong_with_a_number() {
    check("[[number]]\n", &["far.toml:1:1 C0005"]);
    check("[[number]]\nmatch = \"55x\"\nsteps = []\n", &["far.toml:2:12 D0120"]);
    let step = |step: &str| format!("[[number]]\nmatch = \"5\"\nsteps = [{step}]\n");
    check(&step("\"anmm\""), &["far.toml:3:10 C0022"]);
    check(&step("7"), &["far.toml:3:10 C0004"]);
    check(&step("{ wait = \"1s\", rel = 16 }"), &["far.toml:3:10 C0104"]);
    check(&step("{ pause = \"1s\" }"), &["far.toml:3:10 C0104", "far.toml:3:12 C0003"]);
    check(&step("{ rel = 128 }, { rel = 0 }"), &["far.toml:3:18 C0012", "far.toml:3:33 C0012"]);
    check(&step("{ rel = 16, location = \"here\" }"), &["far.toml:3:33 C0022"]);
    check(&step("{ acm = \"busy\" }"), &["far.toml:3:18 C0022"]);
    check(&step("{ cpg = \"alert\" }, { sus = \"me\" }"), &["far.toml:3:18 C0022", "far.toml:3:37 C0022"]);
    check(&step("{ raw = \"06 1\" }"), &["far.toml:3:22 C0032"]);
    check(&step("{ raw = \"\" }"), &["far.toml:3:18 C0012"]);
    check(&step("{ tone-hz = 4000 }, { tone-hz = [] }"), &["far.toml:3:22 C0012", "far.toml:3:42 C0012"]);
    check(&step("{ tone-hz = 440, cadence = [\"1s\", \"0ms\"] }"), &["far.toml:3:44 C0014"]);
    check(&step("{ wait = \"1s\", in-band = true }"), &["far.toml:3:25 C0003"]);
}

#[test]
fn what_is_wrong_with_calls_and_alarms() {
    check("[[call]]\nat = \"1s\"\n", &["far.toml:1:1 C0005"]);
    check("[[call]]\nat = \"1s\"\ncalled = \"+1201\"\n", &["far.toml:3:11 C0020"]);
    check("[[call]]\nat = \"1s\"\ncalled = \"1\"\ntimes = 2\n", &["far.toml:1:1 C0005"]);
    check(
        "[[call]]\nat = \"1s\"\ncalled = \"1\"\ntimes = 0\nevery = \"0s\"\n",
        &["far.toml:4:9 C0012", "far.toml:5:9 C0014"],
    );
    check("[[call]]\nat = \"1s\"\ncalled = \"1\"\noverlap = 41\n", &["far.toml:4:11 C0012"]);
    check("[[call]]\nat = \"1s\"\ncalled = \"1\"\nnature = \"local\"\n", &["far.toml:4:10 C0022"]);
    check("[[call]]\nat = \"1s\"\ncalled = \"1\"\ncontinuity = \"yes\"\n", &["far.toml:4:14 C0022"]);
    let alarm = |rest: &str| format!("[[alarm]]\nat = \"1s\"\n{rest}");
    check(&alarm("does = \"fire\"\ncircuits = \"1\"\n"), &["far.toml:3:8 C0022"]);
    check(&alarm("does = \"block\"\ncircuits = \"1-x\"\n"), &["far.toml:4:13 C0013"]);
    check(&alarm("does = \"block\"\ncircuits = \"9-1\"\n"), &["far.toml:4:13 C0013"]);
    check(&alarm("does = \"block\"\ncircuits = \"1\"\nhardware = true\n"), &["far.toml:5:12 C0104"]);
    check(&alarm("does = \"group-block\"\ncircuits = \"1-3\"\nhardware = true\n"), &[]);
}

#[test]
fn too_many_entries_and_steps_are_refused_at_the_limit() {
    let entries = |count: usize| "[[alarm]]\nat = \"1s\"\ndoes = \"reset\"\ncircuits = \"1\"\n".repeat(count);
    let max = tipring::limits::SWITCH_ENTRIES;
    check(&entries(max), &[]);
    assert_eq!(findings(CONFIGURATION, Some(&entries(max + 1))).len(), 1);
    let steps = |count: usize| format!("[[number]]\nmatch = \"5\"\nsteps = [{}]\n", "\"acm\",".repeat(count));
    check(&steps(max), &[]);
    check(&steps(max + 1), &["far.toml:3:9 C0012"]);
}

#[test]
fn a_script_that_is_not_there_or_not_for_this_transport() {
    assert_eq!(findings(CONFIGURATION, None), ["test.toml:4:10 C0105"]);
    let number = CONFIGURATION.replace("\"far.toml\"", "7");
    assert_eq!(findings(&number, None), ["test.toml:4:10 C0004"]);
}

#[test]
fn a_person_is_shown_the_line_and_what_to_do() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let script = "[[number]]\nmatch = \"555X\"\nsteps = [\"anmm\"]\n";
    let output = check_files(directory.path(), CONFIGURATION, Some(script), &[]);
    let shown = String::from_utf8(output.stdout).expect("text");
    assert!(shown.contains("far.toml:3:10") && shown.contains("did you mean \"anm\"?"), "{shown}");
}
