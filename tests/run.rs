//! `tipring run` as a process: it starts, says where it listens, obeys its control socket, ends.
//!
//! Real time and real sockets, but nothing that is not in this repository. Foreign programs talk
//! to it in `tests/interop`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// A gateway of its own on ports that the system chooses. Killed when dropped.
struct Running {
    child: Child,
    welcome: Vec<String>,
    directory: tempfile::TempDir,
}

impl Running {
    fn start() -> Running {
        let directory = tempfile::tempdir().expect("a directory");
        let mut child = tipring(directory.path())
            .args(["run", "--sip", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tipring runs");
        let mut welcome = Vec::new();
        for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
            let line = line.expect("text");
            let is_last = line.starts_with("Ctrl-C");
            welcome.push(line);
            if is_last {
                break;
            }
        }
        Running { child, welcome, directory }
    }

    fn tell(&self, arguments: &[&str]) -> Output {
        tipring(self.directory.path()).args(arguments).output().expect("tipring runs")
    }

    fn says(&self, arguments: &[&str]) -> String {
        let output = self.tell(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tipring(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tipring"));
    command.env("TIPRING_CONTROL", directory.join("control.sock"));
    command
}

#[test]
fn the_start_up_text_fits_a_screen_and_names_what_matters() {
    let running = Running::start();
    let text = running.welcome.join("\n");
    assert!(running.welcome.len() < 24, "{} lines", running.welcome.len());
    let port = |transport: &str| {
        text.split(transport).nth(1).and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next())
    };
    assert_eq!(port("udp:127.0.0.1:"), port("tcp:127.0.0.1:"), "a port of any number is the same for both");
    for part in ["udp:127.0.0.1:", "tcp:127.0.0.1:", "control.sock", "101", "tipring-demo", "handset station/105"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(running.welcome.iter().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn a_simulated_telephone_is_moved_and_heard_through_the_control_socket() {
    let running = Running::start();
    assert!(running.says(&["phones"]).contains("station/105"));
    assert_eq!(running.says(&["calls"]).trim(), "no calls");

    running.says(&["handset", "station/105", "off-hook"]);
    let file = running.directory.path().join("heard.wav");
    // The first block of dial tone comes a moment after the hook is debounced.
    running.says(&["handset", "station/105", "listen", "0.3", file.to_str().expect("text")]);
    let told = running.says(&["handset", "station/105", "listen", "0.5", file.to_str().expect("text")]);
    assert!(told.contains("dBm0") && told.contains("350.") || told.contains("440."), "dial tone: {told}");
    let samples = hound::WavReader::open(&file).expect("a file").len();
    assert_eq!(samples, 4_000);
    running.says(&["handset", "station/105", "on-hook"]);
}

#[test]
fn click_to_dial_rings_one_telephone_and_then_another() {
    let running = Running::start();
    let told = running.says(&["call", "station/105", "102"]);
    assert!(told.starts_with("call 1: station/105 rings"), "{told}");
    let calls = running.says(&["calls"]);
    assert!(calls.contains("station/105") && calls.contains("102"), "{calls}");
    running.says(&["handset", "station/105", "off-hook"]);
    // 102 answers after a second; what its microphone plays is heard at 105.
    let file = running.directory.path().join("heard.wav");
    let heard = running.says(&["handset", "station/105", "listen", "3", file.to_str().expect("text")]);
    assert!(heard.contains("dBm0"), "{heard}");
    let calls = running.says(&["calls"]);
    assert!(calls.contains("talking") && calls.contains("station/102"), "{calls}");
    running.says(&["handset", "station/105", "on-hook"]);

    for (arguments, complaint) in [
        (["call", "station/999", "102"], "nobody here is called station/999"),
        (["call", "105", "199"], "station/105 cannot call 199: unassigned"),
        (["call", "105", ""], "is no number"),
    ] {
        let output = running.tell(&arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(complaint), "{output:?}");
    }
    let json = running.says(&["call", "103", "102", "--json"]);
    assert_eq!(json.trim(), "{\"call\":2}");
}

#[test]
fn circuits_are_shown_and_maintained() {
    let running = Running::start();
    let idle = running.says(&["circuits"]);
    assert_eq!(idle.lines().count(), 31, "a heading and thirty circuits: {idle}");
    let of = |circuit: &str| {
        let shown = running.says(&["circuits", "switch"]);
        let row = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let row = row.into_iter().find(|row| row.get(1) == Some(&circuit)).expect("a row");
        row[2..].join(" ")
    };
    assert_eq!(of("1"), "idle");
    running.says(&["circuits", "block", "switch", "1"]);
    assert_eq!(of("1"), "idle here");
    running.says(&["call", "station/105", "8000"]);
    running.says(&["handset", "station/105", "off-hook"]);
    let file = running.directory.path().join("heard.wav");
    let heard = running.says(&["handset", "station/105", "listen", "3", file.to_str().expect("text")]);
    assert!(heard.contains("dBm0"), "{heard}");
    assert_eq!(of("2"), "talking out 1", "on the next circuit");
    running.says(&["circuits", "unblock", "isup/switch", "1"]);
    assert_eq!(of("1"), "idle");
    running.says(&["circuits", "reset", "switch", "2"]);
    assert_eq!(of("2"), "idle");
    let json: serde_json::Value = serde_json::from_str(&running.says(&["circuits", "--json"])).expect("JSON");
    assert_eq!(json[1]["circuit"], 2);
    for (arguments, complaint) in [
        (&["circuits", "nobody"][..], "no circuit group nobody"),
        (&["circuits", "block", "nobody", "1"], "no circuit group isup/nobody"),
        (&["circuits", "block", "switch", "31"], "31 is not in this group"),
    ] {
        let output = running.tell(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(complaint), "{output:?}");
    }
}

#[test]
fn what_cannot_be_done_is_said_with_the_reason() {
    let running = Running::start();
    let output = running.tell(&["handset", "station/999", "off-hook"]);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint.contains("station/999") && complaint.contains("105"), "{complaint}");
    let output = running.tell(&["handset", "station/103", "dial", "101"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("off-hook first"), "{output:?}");
    let output = running.tell(&["hangup", "12345"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no call 12345"), "{output:?}");
}

#[test]
fn a_second_gateway_on_the_same_socket_is_refused_and_the_first_ends_when_told() {
    let mut running = Running::start();
    let second = running.tell(&["run", "--sip", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(1));
    let complaint = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(complaint.contains("--control"), "{complaint}");

    let told = Command::new("sh").args(["-c", &format!("kill -TERM {}", running.child.id())]).status();
    assert!(told.is_ok_and(|s| s.success()));
    let status = running.child.wait().expect("it ran");
    assert!(status.success(), "{status}");
    assert!(!running.directory.path().join("control.sock").exists());
}
