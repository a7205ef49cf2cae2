//! ISUP over M3UA from outside: two gateways as processes, joined by TCP in the place of SCTP, which the kernel of a
//! test machine may not have. `tests/lab` does the same with kernel SCTP and a signalling transfer point.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long a line of the log may let us wait before the test has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway with a configuration of its own, and its log. Killed when dropped.
struct Running {
    child: Child,
    log: mpsc::Receiver<String>,
    directory: tempfile::TempDir,
}

impl Running {
    fn start(config: &str) -> Running {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("test.toml"), config).expect("a file");
        let mut child = tipring(directory.path())
            .args(["run", "-c", "test.toml", "--sip", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tipring runs");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (lines, log) = mpsc::channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
        let mut welcome = BufReader::new(child.stdout.take().expect("piped")).lines();
        let started = welcome.any(|line| line.expect("text").starts_with("Ctrl-C"));
        assert!(started, "{:#?}", log.iter().collect::<Vec<_>>());
        Running { child, log, directory }
    }

    /// Waits for a line of the log that has all of these.
    #[track_caller]
    fn logs(&mut self, parts: &[&str]) -> String {
        let mut seen = Vec::new();
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) if parts.iter().all(|part| line.contains(part)) => return line,
                Ok(line) => seen.push(line),
                Err(_) => panic!("no line has {parts:?}: {seen:#?}"),
            }
        }
    }

    fn says(&self, arguments: &[&str]) -> String {
        let output: Output = tipring(self.directory.path()).args(arguments).output().expect("tipring runs");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Tells it to end, and waits until it has.
    fn end(&mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
        assert!(self.child.wait().expect("a child").success());
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
    command.current_dir(directory).env_remove("TIPRING_LOG");
    command.env("TIPRING_CONTROL", directory.join("control.sock"));
    command
}

/// Addresses that nobody listens at.
fn free<const N: usize>() -> [String; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("an address").to_string())
}

fn near(m3ua: &str) -> String {
    format!(
        r#"
sip.listen = ["udp:127.0.0.1:5060"]
[card.demo]
driver = "virtual"
[station.105]
card = "demo"
port = 0
country = "US"
[isup.far]
transport = "m3ua"
circuits = "1-30"
own-point-code = "1-1-1"
peer-point-code = "1-1-2"
m3ua = {{ {m3ua} }}
[[route]]
name = "far"
match = "7|1XX"
to = "isup/far"
"#
    )
}

fn far(m3ua: &str) -> String {
    format!(
        r#"
sip.listen = ["udp:127.0.0.1:5060"]
[card.demo]
driver = "virtual"
[station.102]
card = "demo"
port = 0
country = "US"
handset = {{ answers-after = "200ms", plays = {{ tone-hz = 1004, level-dbm0 = -10 }} }}
[isup.near]
transport = "m3ua"
circuits = "1-30"
own-point-code = "1-1-2"
peer-point-code = "1-1-1"
m3ua = {{ {m3ua} }}
[[route]]
name = "own"
match = "1XX"
from = ["inside", "isup/near"]
to = "extension/{{number}}"
"#
    )
}

#[test]
fn a_call_goes_from_one_gateway_to_the_other_and_finds_the_way_that_is_left() {
    let [first, second] = free();
    let keys = "transport-protocol = \"tcp\", routing-context = 7, traffic-mode = \"override\"";
    let mut one = Running::start(&far(&format!("role = \"sgp\", from = \"127.0.0.1\", listen = \"{first}\", {keys}")));
    let mut near = Running::start(&near(&format!("peers = [\"{first}\", \"{second}\"], {keys}")));
    near.logs(&["isup/far: available"]);
    let trunks = near.says(&["trunks"]);
    assert!(trunks.contains("point code 1-1-2") && trunks.contains(&format!("active: {first} active;")), "{trunks}");
    one.logs(&["isup/near: available"]);
    let mut other =
        Running::start(&far(&format!("role = \"sgp\", from = \"127.0.0.1\", listen = \"{second}\", {keys}")));

    near.says(&["handset", "station/105", "off-hook"]);
    near.says(&["handset", "station/105", "dial", "7102"]);
    near.logs(&["call answered", "isup/far"]);
    one.logs(&["call answered", "station/102"]);
    let calls = one.says(&["calls"]);
    assert!(calls.contains("isup/near") && calls.contains("station/102"), "{calls}");
    near.says(&["handset", "station/105", "on-hook"]);
    one.logs(&["call released", "isup/near", "cause=16"]);

    // The first goes down, and the second, which stood by, takes over.
    one.end();
    near.says(&["handset", "station/105", "off-hook"]);
    near.says(&["handset", "station/105", "dial", "7102"]);
    other.logs(&["call answered", "station/102"]);
    near.says(&["handset", "station/105", "on-hook"]);
    near.end();
    other.logs(&["isup/near", "down"]);
}

#[test]
fn peers_without_a_gateway_between_them_do_without_routing_contexts() {
    let [address] = free();
    let keys = "role = \"ipsp\", transport-protocol = \"tcp\"";
    let mut far = Running::start(&far(&format!("{keys}, from = \"127.0.0.0/8\", listen = \"{address}\"")));
    let mut near = Running::start(&near(&format!("{keys}, peers = \"{address}\"")));
    near.logs(&["isup/far: available"]);
    near.says(&["handset", "station/105", "off-hook"]);
    near.says(&["handset", "station/105", "dial", "7102"]);
    far.logs(&["call answered", "station/102"]);
}

#[test]
fn nobody_gets_the_traffic_who_is_not_named() {
    let [address] = free();
    let keys = "transport-protocol = \"tcp\"";
    let mut far =
        Running::start(&far(&format!("role = \"sgp\", from = \"192.0.2.1\", listen = \"{address}\", {keys}")));
    let mut near = Running::start(&near(&format!("peers = \"{address}\", {keys}")));
    far.logs(&["isup/near: 127.0.0.1:", "not among those who may call"]);
    near.logs(&["isup/far: ", "no association"]);
    assert!(far.says(&["trunks"]).contains("down: nobody has connected"));
}

#[test]
fn a_kernel_without_sctp_is_told_and_the_gateway_goes_on() {
    let mut near = Running::start(&near("peers = \"127.0.0.1:2905\""));
    let line = near.logs(&["isup/far: 127.0.0.1:2905: no association: "]);
    let has_sctp = std::fs::read_to_string("/proc/net/protocols").is_ok_and(|text| text.contains("SCTP"));
    let reason = if has_sctp { "connection refused" } else { "this kernel has no SCTP (modprobe sctp)" };
    assert!(line.contains(reason), "{line}");
    let trunks = near.says(&["trunks"]);
    assert!(trunks.contains(&format!("down: 127.0.0.1:2905 no association ({reason}), next attempt in")), "{trunks}");
    assert!(near.says(&["status"]).contains("isup/far"), "it goes on");
}
