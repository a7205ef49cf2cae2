//! A running `tipring run` with the demo exchange on ports of its own.

use super::{directory, send_signal, wait_for};
use std::fs::File;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// RTP ports of the gateway under test: not the demo's, which may be in use by hand.
const RTP_PORTS: &str = "12000-18999";

/// What the gateway gets beside the demo exchange: a peer that SIPp plays, by UDP and by TCP.
const PEERS: &str = r#"
[trunk.callee]
to = "sip:127.0.0.3:CALLEE"

[trunk.callee-tcp]
to = "sip:127.0.0.3:CALLEE;transport=tcp"

[trunk.proxy]
to = "sip:127.0.0.5:PROXY"

[trunk.proxy-tcp]
to = "sip:127.0.0.5:PROXY;transport=tcp"

[[route]]
name = "to the peer"
match = "70XXXX"
from = ["inside", "trunk/loopback"]
transit = true
to = "trunk/callee"

[[route]]
name = "to the peer by TCP"
match = "71XXXX"
from = ["inside", "trunk/loopback"]
transit = true
to = "trunk/callee-tcp"

[[route]]
name = "to the proxy"
match = "72XXXX"
from = ["inside", "trunk/loopback"]
transit = true
to = "trunk/proxy"

[[route]]
name = "to the proxy by TCP"
match = "73XXXX"
from = ["inside", "trunk/loopback"]
transit = true
to = "trunk/proxy-tcp"
"#;

/// Where a test takes place: ports that were free a moment ago, and a directory.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where the gateway listens for SIP, by UDP and TCP.
    pub sip: SocketAddr,
    /// Port of the peer on 127.0.0.3 that 70XXXX and 71XXXX lead to.
    pub callee_port: u16,
    /// Port of the proxy on 127.0.0.5 that 72XXXX and 73XXXX lead to.
    pub proxy_port: u16,
    /// Port for TLS, when there is a certificate in the directory.
    pub tls_port: Option<u16>,
    /// Where this test leaves things.
    pub directory: PathBuf,
}

impl Place {
    /// One for the test called `name`.
    pub fn choose(name: &str) -> Place {
        Place {
            sip: SocketAddr::from(([127, 0, 0, 1], free_port("127.0.0.1"))),
            callee_port: free_port("127.0.0.3"),
            proxy_port: free_port("127.0.0.5"),
            tls_port: None,
            directory: directory(name),
        }
    }

    /// The same with TLS and a certificate that nobody signed but itself.
    pub fn with_tls(self) -> Place {
        let names = vec!["127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let write = |file: &str, text: String| std::fs::write(self.directory.join(file), text).expect("written");
        write("certificate.pem", made.cert.pem());
        write("key.pem", made.signing_key.serialize_pem());
        Place { tls_port: Some(free_port("127.0.0.1")), ..self }
    }
}

/// The gateway under test. Told to end when dropped.
pub struct Gateway {
    child: Option<Child>,
    /// Where it listens for SIP, by UDP and TCP.
    pub sip: SocketAddr,
    /// Port of the peer on 127.0.0.3 that 70XXXX and 71XXXX lead to.
    pub callee_port: u16,
    /// Port of the proxy on 127.0.0.5 that 72XXXX and 73XXXX lead to.
    pub proxy_port: u16,
    /// Its port for TLS, if it has one.
    pub tls_port: Option<u16>,
    /// Where this test leaves things.
    pub directory: PathBuf,
    control: PathBuf,
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tipring"))
}

/// A port that is free for UDP and TCP on `address`.
pub fn free_port(address: &str) -> u16 {
    for _ in 0..100 {
        let socket = UdpSocket::bind((address, 0)).expect("a loopback address");
        let port = socket.local_addr().expect("bound").port();
        if TcpListener::bind((address, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port on {address}");
}

impl Gateway {
    /// Starts one for the test called `name` and waits until it answers.
    pub fn start(name: &str) -> Gateway {
        Gateway::start_at(Place::choose(name), "")
    }

    /// Starts one at this place, with more tables in its configuration, where PROXY stands for the port
    /// of the proxy.
    pub fn start_at(place: Place, more: &str) -> Gateway {
        let Place { sip, callee_port, proxy_port, tls_port, directory } = place;
        let peers = format!("{PEERS}{more}").replace("CALLEE", &callee_port.to_string());
        let peers = peers.replace("PROXY", &proxy_port.to_string());
        let output = program().args(["config", "default"]).output().expect("tipring runs");
        assert!(output.status.success(), "tipring config default: {output:?}");
        let mut text = String::from_utf8(output.stdout).expect("text");
        if let Some(port) = tls_port {
            let listen =
                format!("certificate = \"certificate.pem\"\nkey = \"key.pem\"\nlisten = [\"tls:127.0.0.1:{port}\", ");
            text = text.replacen("listen = [", &listen, 1);
        }
        let changed = text.replace("127.0.0.1:5060", &sip.to_string()).replace("20000-29999", RTP_PORTS) + &peers;
        let config = directory.join("tipring.toml");
        std::fs::write(&config, changed).expect("written");
        let control = std::env::temp_dir().join(format!("tipring-interop-{}.sock", std::process::id()));

        let log = File::create(directory.join("tipring.log")).expect("a log file");
        let child = program()
            .args(["run", "-c"])
            .arg(&config)
            .env("TIPRING_CONTROL", &control)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log)
            .spawn()
            .expect("tipring runs");
        let mut gateway = Gateway { child: Some(child), sip, callee_port, proxy_port, tls_port, directory, control };
        wait_for("an answer to OPTIONS", Duration::from_secs(20), || {
            let ended = gateway.child.as_mut().and_then(|c| c.try_wait().expect("a child"));
            assert!(ended.is_none(), "tipring ended: {ended:?}\n{}", gateway.log());
            gateway.answers_options().then_some(())
        });
        gateway
    }

    /// Where it listens for `udp`, `tcp` or `tls`.
    pub fn address_for(&self, transport: &str) -> SocketAddr {
        let mut address = self.sip;
        if transport == "tls" {
            address.set_port(self.tls_port.expect("a gateway with TLS"));
        }
        address
    }

    /// Where it runs.
    pub fn place(&self) -> Place {
        let directory = self.directory.clone();
        let (callee_port, proxy_port, tls_port) = (self.callee_port, self.proxy_port, self.tls_port);
        Place { sip: self.sip, callee_port, proxy_port, tls_port, directory }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("tipring.log")).unwrap_or_default()
    }

    /// Whether OPTIONS is answered with 200 within half a second.
    pub fn answers_options(&self) -> bool {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
        let local = socket.local_addr().expect("bound");
        let request = format!(
            "OPTIONS sip:{0} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK-ping-{1}\r\nMax-Forwards: 70\r\n\
             From: <sip:ping@{local}>;tag=ping\r\nTo: <sip:{0}>\r\nCall-ID: ping-{1}\r\nCSeq: 1 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n",
            self.sip,
            local.port(),
        );
        socket.send_to(request.as_bytes(), self.sip).expect("sent");
        let mut buffer = [0; 2048];
        socket.recv_from(&mut buffer).is_ok_and(|(length, _)| buffer[..length].starts_with(b"SIP/2.0 200"))
    }

    /// Runs a command of the same program against it: `calls --json`. Gives what it printed.
    pub fn command(&self, arguments: &[&str]) -> String {
        let output = program().args(arguments).env("TIPRING_CONTROL", &self.control).output().expect("tipring runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "tipring {arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// Number of calls that `tipring calls` shows.
    pub fn calls(&self) -> usize {
        self.call_rows().len()
    }

    fn call_rows(&self) -> Vec<serde_json::Value> {
        let text = self.command(&["calls", "--json"]);
        let rows: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        rows.as_array().expect("a list").clone()
    }

    /// Waits until no call is left.
    pub fn wait_until_idle(&self, limit: Duration) {
        wait_for("the end of all calls", limit, || (self.calls() == 0).then_some(()));
    }

    /// Memory that it uses, in KiB.
    pub fn memory_kib(&self) -> u64 {
        let process = self.child.as_ref().expect("it runs").id();
        let status = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status"));
        let status = status.expect("it runs");
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("a size");
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
    }

    /// Seconds of processor time that it has used.
    pub fn processor_seconds(&self) -> f64 {
        let process = self.child.as_ref().expect("it runs").id();
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        let ticks = |n: usize| fields.split_whitespace().nth(n).and_then(|t| t.parse::<f64>().ok()).expect("a number");
        (ticks(11) + ticks(12)) / 100.0
    }

    /// Tells it to end, as an operator does, and gives how it ended.
    pub fn stop(mut self) -> ExitStatus {
        self.end().expect("it ran")
    }

    fn end(&mut self) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        send_signal("TERM", child.id());
        for _ in 0..800 {
            if let Ok(Some(status)) = child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        child.wait().ok()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.end();
        if std::thread::panicking() {
            let log = self.log();
            let last: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("-- end of {}/tipring.log", self.directory.display());
            last.into_iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}
