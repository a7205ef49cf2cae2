//! The command line as a script sees it: standard output, standard error, exit codes.

use std::process::{Command, Output};

fn tipring(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tipring"));
    command
        .env_remove("TIPRING_CONTROL")
        .env_remove("XDG_RUNTIME_DIR")
        .args(arguments)
        .output()
        .expect("the binary runs")
}

#[track_caller]
fn answer(arguments: &[&str]) -> String {
    let output = tipring(arguments);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {complaint}");
    String::from_utf8(output.stdout).expect("text")
}

#[track_caller]
fn complaint(arguments: &[&str], code: i32) -> String {
    let output = tipring(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    String::from_utf8(output.stderr).expect("text")
}

fn json(arguments: &[&str]) -> serde_json::Value {
    serde_json::from_str(&answer(arguments)).expect("JSON")
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [
        &["nonsense"][..],
        &["--nonsense"],
        &["explain", "101"],
        &["run", "--sip", "localhost"],
        &["hangup", "first"],
        &["handset", "105", "off-hook"],
        &["handset", "station/105", "dial", "12x"],
        &["handset", "station/105", "listen", "0", "x.wav"],
        &["sim"],
    ] {
        assert!(complaint(arguments, 2).contains("error"), "{arguments:?}");
    }
}

#[test]
fn help_is_everywhere_and_names_every_command() {
    let help = answer(&["--help"]);
    let commands = [
        "run",
        "check",
        "config",
        "explain",
        "dialplan",
        "sim",
        "calls",
        "phones",
        "hangup",
        "drain",
        "handset",
        "completions",
    ];
    for command in commands {
        assert!(help.contains(&format!("\n  {command}")), "{command} in\n{help}");
        assert!(answer(&[command, "--help"]).contains("Usage:"), "{command}");
    }
    assert!(answer(&["--version"]).starts_with("tipring "));
}

#[test]
fn the_embedded_configuration_can_be_printed_and_checked() {
    let text = answer(&["config", "default"]);
    assert!(text.contains("[phone.201]") && text.contains("[station.106]") && text.contains("name  = \"milliwatt\""));
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("mine.toml");
    std::fs::write(&file, text).expect("a file");
    let file = file.to_str().expect("text");
    assert!(answer(&["check", "-c", file]).contains("no errors"));
    assert_eq!(json(&["check", "-c", file, "--json"]), serde_json::json!([]));
    assert!(answer(&["check"]).contains("the demo exchange: no errors"));
}

#[test]
fn explain_says_where_a_number_goes_and_why() {
    let text = answer(&["explain", "95551234", "--from", "station/105"]);
    for part in
        ["station/105 (inside)", "exchange lines", "9|X.", "chosen: narrowest", "line/1, sends 5551234", "line/2"]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert_eq!(text, answer(&["dialplan", "explain", "95551234", "--from", "station/105"]));
    let refused = answer(&["explain", "602", "--from", "phone/201"]);
    assert!(refused.contains("404, cause 1 (unassigned)"), "{refused}");
    let waits = answer(&["explain", "8000", "--from", "phone/201"]);
    assert!(waits.contains("more could follow"), "{waits}");
}

#[test]
fn explain_in_json() {
    let decision = json(&["explain", "101", "--from", "trunk/loopback", "--json"]);
    assert_eq!(decision["targets"], serde_json::json!(["station/101"]));
    assert_eq!(decision["route"], "telephones");
    assert_eq!(decision["inside"], false);
    assert_eq!(decision["dialling"], "complete");
    let refused = json(&["explain", "700", "--from", "trunk/loopback", "--json"]);
    assert_eq!(refused["refused"]["status"], 404);
    assert_eq!(refused["refused"]["cause"], 1);
    assert_eq!(refused["dialling"], "impossible");
}

#[test]
fn explain_refuses_callers_whom_nobody_knows() {
    assert!(complaint(&["explain", "101", "--from", "phone/999"], 1).contains("nobody is called phone/999"));
}

#[test]
fn a_configuration_with_mistakes_starts_nothing_and_is_shown() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("bad.toml");
    std::fs::write(&file, "[sip]\nlisten = [\"udp:127.0.0.1:99999\"]\n").expect("a file");
    let file = file.to_str().expect("text");
    for arguments in [&["-c", file][..], &["run", "-c", file], &["explain", "1", "--from", "phone/1", "-c", file]] {
        let complaint = complaint(arguments, 1);
        assert!(complaint.contains("bad.toml:2:26") && complaint.contains("error[C0012]"), "{complaint}");
    }
}

#[test]
fn commands_to_a_gateway_that_does_not_run_say_so() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let socket = directory.path().join("none.sock");
    let socket = socket.to_str().expect("text");
    for arguments in [
        &["calls", "--control", socket][..],
        &["phones", "--json", "--control", socket],
        &["hangup", "1", "--control", socket],
        &["handset", "station/105", "off-hook", "--control", socket],
        &["handset", "station/105", "dial", "101#", "--control", socket],
    ] {
        let complaint = complaint(arguments, 1);
        assert!(complaint.contains(socket), "{complaint}");
    }
}

#[test]
fn a_scenario_that_is_not_there_is_a_failure() {
    assert!(complaint(&["sim", "no-such-scenario.toml"], 1).contains("no-such-scenario.toml"));
}

#[test]
fn completions_are_scripts() {
    assert!(answer(&["completions", "bash"]).contains("_tipring()"));
    assert!(answer(&["completions", "fish"]).contains("complete -c tipring"));
    complaint(&["completions", "cobol"], 2);
}

#[test]
fn explain_shows_the_row_of_a_cause_and_its_source() {
    let text = answer(&["explain", "cause", "34"]);
    assert!(
        text.contains("503 Service Unavailable") && text.contains("RFC 3398 7.2.4.1, resource unavailable"),
        "{text}"
    );
    let rejected = answer(&["explain", "cause", "21"]);
    assert!(rejected.contains("403 Forbidden") && rejected.contains("603 Decline") && rejected.contains("note (+)"));
    let status = json(&["explain", "status", "480", "--json"]);
    assert_eq!(status["cause"]["value"], 18);
    assert_eq!(status["cause"]["source"], "RFC 3398 8.2.6.1");
}

#[test]
fn explain_shows_where_a_trunk_differs() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("a.toml");
    let text = "sip.listen = [\"udp:127.0.0.1:5060\"]\n[isup.a]\ntransport = \"simulated\"\n\
                interworking = \"q1912.5\"\noverrides = [\"cause 41 -> 503\", \"status 480 -> 18\"]\n";
    std::fs::write(&file, text).expect("a temporary file");
    let file = file.to_str().expect("a path in UTF-8");
    let cause = json(&["explain", "cause", "41", "--trunk", "isup/a", "-c", file, "--json"]);
    assert_eq!((&cause["status"]["value"], &cause["status"]["instead-of"]), (&503.into(), &500.into()));
    let status = answer(&["explain", "status", "480", "--trunk", "a", "-c", file]);
    assert!(status.contains("cause       18 No user responding") && status.contains("instead of  20"), "{status}");
    assert!(answer(&["explain", "cause", "3", "--trunk", "a", "-c", file]).contains("unverified"));
    assert!(complaint(&["explain", "cause", "3", "--trunk", "b", "-c", file], 1).contains("there are: isup/a"));
}

#[test]
fn explain_refuses_what_is_no_cause_and_no_status() {
    assert!(complaint(&["explain", "cause", "128"], 1).contains("from 1 to 127"));
    assert!(complaint(&["explain", "status", "200"], 1).contains("from 300 to 699"));
    for arguments in [
        &["explain", "cause"][..],
        &["explain", "101", "5", "--from", "phone/201"],
        &["explain", "101", "--trunk", "a"],
    ] {
        assert!(complaint(arguments, 2).contains("Usage"), "{arguments:?}");
    }
}
