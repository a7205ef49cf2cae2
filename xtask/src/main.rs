//! `cargo xtask test`: every test there is, with what it needs from the distribution.
//!
//! A tool that is missing and cannot be installed is a failure, never a silent skip.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// What the interoperability tests run, and the Debian package that brings it.
const TOOLS: [(&str, &str); 6] = [
    ("sipp", "sip-tester"),
    ("tshark", "tshark"),
    ("dumpcap", "wireshark-common"),
    ("baresip", "baresip-core"),
    ("kamailio", "kamailio"),
    ("sipsak", "sipsak"),
];

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  test      format, lints, all tests, then the interoperability tests
  interop   only the interoperability tests; further arguments go to the test program
  lab       the tests of tests/lab in the hardware laboratory, a virtual machine with SCTP and an STP;
            it is looked for in ../shared/hardware-lab, or where TIPRING_LAB says
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test"] => test(),
        ["interop", rest @ ..] => interop_only(rest),
        ["lab"] => lab(),
        ["--help" | "-h" | "help"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Everything. Goes on after a failed step, so that one run shows all that is wrong.
fn test() -> Result<(), String> {
    prepare()?;
    let steps: [(&str, &[&str]); 5] = [
        ("format", &["fmt", "--all", "--check"]),
        ("lints", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        ("lints of the interoperability tests", &["clippy", "--test", "interop", "--", "-D", "warnings"]),
        ("tests", &["test", "--workspace"]),
        ("interoperability", &["test", "--test", "interop", "--", "--test-threads", "1", "--nocapture"]),
    ];
    run_all(&steps)
}

fn interop_only(rest: &[&str]) -> Result<(), String> {
    prepare()?;
    let mut arguments = vec!["test", "--test", "interop", "--", "--test-threads", "1", "--nocapture"];
    arguments.extend(rest);
    run_all(&[("interoperability", arguments.as_slice())])
}

/// Boots the laboratory with the program, SIPp and the scripts of `tests/lab`. Where there is no laboratory it says so
/// and nothing is tested.
fn lab() -> Result<(), String> {
    let folder = std::env::var_os("TIPRING_LAB").map_or_else(|| root().join("../shared/hardware-lab"), PathBuf::from);
    let lab = folder.join("lab");
    if !lab.is_file() {
        println!("there is no hardware laboratory in {}: nothing was tested", folder.display());
        return Ok(());
    }
    for (tool, package) in [
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("cpio", "cpio"),
        ("depmod", "kmod"),
        ("strip", "binutils"),
        ("sipp", "sip-tester"),
    ] {
        if !is_on_path(tool) {
            return Err(format!("{tool} is missing; install it with\n\n  sudo apt-get install {package}\n"));
        }
    }
    let work = std::env::var_os("LAB_DIR").map_or_else(|| root().join("target/lab"), PathBuf::from);
    std::fs::create_dir_all(&work).map_err(|error| format!("{}: {error}", work.display()))?;
    if !cargo(&["build", "--bin", "tipring"])? {
        return Err("the program cannot be built".to_owned());
    }
    let script = "set -e; PATH=$PATH:/usr/sbin:/sbin
        [ -f \"$LAB_DIR/vmlinuz\" ] || \"$0\" get
        depmod -b \"$LAB_DIR/root\" \"$(cat \"$LAB_DIR/kver\")\"
        strip -o \"$LAB_DIR/tipring\" target/debug/tipring
        \"$0\" image \"$LAB_DIR/tipring\" \"$(command -v sipp)\"
        \"$0\" run '6*'";
    let status = Command::new("bash")
        .args(["-c", script])
        .arg(&lab)
        .current_dir(root())
        .envs([("LAB_MODULES", "sctp"), ("LAB_WAIT", "240")])
        .env("LAB_TESTS", root().join("tests/lab"))
        .env("LAB_DIR", work)
        .status()
        .map_err(|error| format!("bash: {error}"))?;
    if status.success() { Ok(()) } else { Err("the laboratory found something; see what it said above".to_owned()) }
}

fn run_all(steps: &[(&str, &[&str])]) -> Result<(), String> {
    let mut results = Vec::new();
    for (name, arguments) in steps {
        println!("\n== {name}: cargo {}", arguments.join(" "));
        let began = now();
        let passed = cargo(arguments)?;
        results.push((*name, passed, began.elapsed()));
    }
    println!("\n== summary");
    for (name, passed, took) in &results {
        println!("{} {:>5.0} s  {name}", if *passed { "passed" } else { "FAILED" }, took.as_secs_f64());
    }
    let total: Duration = results.iter().map(|(_, _, took)| *took).sum();
    match results.iter().filter(|(_, passed, _)| !passed).count() {
        0 => {
            println!("all passed in {:.0} s", total.as_secs_f64());
            Ok(())
        }
        failed => Err(format!("{failed} of {} steps failed", results.len())),
    }
}

#[allow(clippy::disallowed_methods)] // the time that a step took is for people to read
fn now() -> Instant {
    Instant::now()
}

fn cargo(arguments: &[&str]) -> Result<bool, String> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(&program)
        .args(arguments)
        .current_dir(root())
        .status()
        .map_err(|error| format!("{}: {error}", Path::new(&program).display()))?;
    Ok(status.success())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Sees to it that all tools are there.
fn prepare() -> Result<(), String> {
    let packages = missing();
    if packages.is_empty() {
        return Ok(());
    }
    let install = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
    let by_hand = |reason: &str| format!("{reason}; install what the tests need with\n\n  sudo {install}\n");
    if !is_root() {
        return Err(by_hand("some tools are missing"));
    }
    println!("== installing {}", packages.join(" "));
    // The package lists may be there already; asking for new ones takes longer than the packages.
    let installed = shell(&install) || (shell("apt-get update") && shell(&install));
    if !installed {
        return Err(by_hand("the packages could not be installed"));
    }
    match missing().as_slice() {
        [] => Ok(()),
        left => Err(format!("{} installed, but its program is still not found", left.join(" "))),
    }
}

fn missing() -> Vec<&'static str> {
    TOOLS.iter().filter(|(tool, _)| !is_on_path(tool)).map(|(_, package)| *package).collect()
}

fn is_on_path(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Servers are where only root looks.
    let more = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(more).any(|directory| directory.join(tool).is_file())
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").stderr(Stdio::null()).output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn shell(line: &str) -> bool {
    let status = Command::new("sh").args(["-c", line]).env("DEBIAN_FRONTEND", "noninteractive").status();
    status.is_ok_and(|status| status.success())
}
