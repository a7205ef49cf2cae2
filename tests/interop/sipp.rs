//! SIPp as caller and as callee, with the scenarios beside this file.

use super::gateway::Gateway;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where the caller is.
pub const CALLER: &str = "127.0.0.2";
/// Where the callee is.
pub const CALLEE: &str = "127.0.0.3";

/// How SIP travels.
#[derive(Clone, Copy, Debug)]
pub enum By {
    Udp,
    Tcp,
}

/// One run of SIPp as a caller.
pub struct Caller<'a> {
    gateway: &'a Gateway,
    scenario: &'a str,
    number: &'a str,
    by: By,
    calls: u32,
    rate: u32,
    duration_ms: u32,
    media_port: u16,
    /// Where the calls go instead of to the gateway.
    through: Option<(&'a str, u16)>,
    /// What `[NAME]` of the scenario stands for.
    keys: Vec<(&'a str, String)>,
}

/// A caller that runs beside the test.
pub struct Running {
    child: Child,
    what: String,
    errors: PathBuf,
}

impl Running {
    /// Waits for its end; a single failed call fails the test.
    pub fn finish(mut self) {
        let status = self.child.wait().expect("sipp ran");
        let errors = std::fs::read_to_string(&self.errors).unwrap_or_default();
        assert!(status.success(), "sipp {}: {status}\n{}", self.what, tail(&errors, 60));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill(); // already ended after `finish`
        let _ = self.child.wait();
    }
}

impl<'a> Caller<'a> {
    /// One call to `number`, by UDP, that stays half a second.
    pub fn new(gateway: &'a Gateway, scenario: &'a str, number: &'a str) -> Self {
        Caller {
            gateway,
            scenario,
            number,
            by: By::Udp,
            calls: 1,
            rate: 10,
            duration_ms: 500,
            media_port: 6_000,
            through: None,
            keys: Vec::new(),
        }
    }

    pub fn by(self, by: By) -> Self {
        Caller { by, ..self }
    }

    pub fn calls(self, calls: u32, rate: u32) -> Self {
        Caller { calls, rate, ..self }
    }

    /// The calls go to this address.
    pub fn through(self, address: &'a str, port: u16) -> Self {
        Caller { through: Some((address, port)), ..self }
    }

    pub fn lasting_ms(self, duration_ms: u32) -> Self {
        Caller { duration_ms, ..self }
    }

    pub fn media_port(self, media_port: u16) -> Self {
        Caller { media_port, ..self }
    }

    /// What `[name]` of the scenario stands for.
    pub fn key(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.keys.push((name, value.into()));
        self
    }

    /// Begins, and runs beside the test.
    pub fn start(self) -> Running {
        let what = format!("{} to {}", self.scenario, self.number);
        let errors = errors(self.gateway, self.scenario);
        let child = self.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("sipp runs");
        Running { child, what, errors }
    }

    /// Runs to the end; a single failed call fails the test.
    pub fn run(self) {
        let output = self.command().output().expect("sipp runs");
        assert!(
            output.status.success(),
            "sipp {} to {} by {:?}: {}\n{}\n{}",
            self.scenario,
            self.number,
            self.by,
            output.status,
            tail(&String::from_utf8_lossy(&output.stdout), 60),
            tail(&std::fs::read_to_string(errors(self.gateway, self.scenario)).unwrap_or_default(), 60),
        );
    }

    fn command(&self) -> Command {
        let mut command = sipp(self.gateway, self.scenario, CALLER, self.by);
        command
            .args([
                "-s",
                self.number,
                "-au",
                self.number,
                "-ap",
                "tipring-demo",
                "-m",
                &self.calls.to_string(),
                "-r",
                &self.rate.to_string(),
            ])
            .args(["-d", &self.duration_ms.to_string(), "-mp", &self.media_port.to_string()])
            .args(["-l", "1000", "-recv_timeout", "40000", "-timeout", "180s", "-timeout_error"])
            .arg(self.through.map_or(self.gateway.sip.to_string(), |(address, port)| format!("{address}:{port}")));
        for (name, value) in &self.keys {
            command.args(["-key", name, value]);
        }
        command
    }
}

/// SIPp as a third party that joins `a` and `b` (RFC 3725 flow I): it invites `a` without a
/// description, offers `b` what `a` offered, and brings back the answer in the ACK.
pub fn third_party(gateway: &Gateway, a: &str, b: &str, calls: u32) {
    let twin = format!("127.0.0.1:{}", super::gateway::free_port("127.0.0.1"));
    let side = |scenario: &str, number: &str| {
        let mut command = Command::new("sipp");
        command
            .current_dir(&gateway.directory)
            .args(["-sn", scenario, "-3pcc", &twin, "-s", number, "-i", CALLER, "-nostdin", "-m", &calls.to_string()])
            .args(["-r", "5", "-timeout", "30s", "-timeout_error", "-trace_err", "-error_file"])
            .arg(errors(gateway, scenario))
            .arg(gateway.sip.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().expect("sipp runs")
    };
    let mut second = side("3pcc-C-B", b);
    // It takes connections of its twin; there is no other sign of it.
    super::wait_for("sipp to wait for its twin", std::time::Duration::from_secs(5), || {
        std::net::TcpListener::bind(&twin).is_err().then_some(())
    });
    let mut first = side("3pcc-C-A", a);
    for (scenario, child) in [("3pcc-C-A", &mut first), ("3pcc-C-B", &mut second)] {
        let status = child.wait().expect("sipp ran");
        let errors = std::fs::read_to_string(errors(gateway, scenario)).unwrap_or_default();
        assert!(status.success(), "sipp {scenario}: {status}\n{}", tail(&errors, 60));
    }
}

/// SIPp as the peer that 70XXXX and 71XXXX lead to. Ended when dropped.
pub struct Callee {
    child: Child,
    errors: PathBuf,
}

impl Callee {
    /// Waits for calls.
    pub fn start(gateway: &Gateway, scenario: &str, by: By) -> Callee {
        Callee::start_at(gateway, scenario, by, gateway.callee_port)
    }

    /// Waits for calls at this port.
    pub fn start_at(gateway: &Gateway, scenario: &str, by: By, port: u16) -> Callee {
        // Each has media ports of its own.
        let media_port = (7_000 + (port % 100) * 20).to_string();
        let child = sipp(gateway, scenario, CALLEE, by)
            .args(["-p", &port.to_string(), "-mp", &media_port])
            .arg(gateway.sip.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sipp runs");
        // It has no sign of being ready; it is when its port is taken.
        super::wait_for("sipp to listen", std::time::Duration::from_secs(5), || {
            let taken = match by {
                By::Udp => std::net::UdpSocket::bind((CALLEE, port)).is_err(),
                By::Tcp => std::net::TcpListener::bind((CALLEE, port)).is_err(),
            };
            taken.then_some(())
        });
        Callee { child, errors: errors(gateway, scenario) }
    }

    /// Ends it, and fails when anything came that its scenario does not expect.
    pub fn finish(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let errors = std::fs::read_to_string(&self.errors).unwrap_or_default();
        assert!(!errors.contains("unexpected") && !errors.contains("Aborting"), "{}", tail(&errors, 60));
    }
}

impl Drop for Callee {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn sipp(gateway: &Gateway, scenario: &str, address: &str, by: By) -> Command {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/sipp").join(scenario).with_extension("xml");
    assert!(file.is_file(), "{} is missing", file.display());
    let mut command = Command::new("sipp");
    command
        .current_dir(&gateway.directory)
        .arg("-sf")
        .arg(file)
        .args(["-i", address, "-mi", address, "-nostdin", "-trace_err", "-error_file"])
        .arg(errors(gateway, scenario))
        .args([
            "-t",
            match by {
                By::Udp => "u1",
                By::Tcp => "t1",
            },
        ])
        .stdin(Stdio::null());
    command
}

fn errors(gateway: &Gateway, scenario: &str) -> PathBuf {
    gateway.directory.join(format!("sipp-{scenario}.err"))
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
