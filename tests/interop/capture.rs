//! What went over the loopback, captured by dumpcap and read by tshark.

use super::gateway::Gateway;
use super::{send_signal, wait_for};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A capture that runs.
pub struct Capture {
    child: Child,
    file: PathBuf,
    decode: Vec<String>,
}

/// A finished capture.
pub struct Captured {
    file: PathBuf,
    decode: Vec<String>,
}

/// An RTP packet as tshark saw it.
#[derive(Clone, Debug)]
pub struct RtpPacket {
    /// Seconds since 1970.
    pub time: f64,
    pub from: (String, u16),
    pub to: (String, u16),
    pub ssrc: String,
    pub sequence: u16,
    pub payload_type: u8,
    pub payload: Vec<u8>,
}

impl Capture {
    /// Captures all UDP and TCP of the loopback into `NAME.pcapng` of the test's directory.
    pub fn start(gateway: &Gateway, name: &str) -> Capture {
        let file = gateway.directory.join(format!("{name}.pcapng"));
        let log = gateway.directory.join(format!("{name}.dumpcap.log"));
        let child = Command::new("dumpcap")
            .args(["-q", "-B", "16", "-i", "lo", "-f", "udp or tcp", "-w"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).expect("a log file"))
            .spawn()
            .expect("dumpcap runs");
        wait_for("dumpcap to capture (it may need CAP_NET_RAW)", Duration::from_secs(10), || {
            std::fs::read_to_string(&log).unwrap_or_default().contains("File:").then_some(())
        });
        // tshark knows SIP by its port; RTP it finds by the SDP inside.
        let mut decode = Vec::new();
        for port in [gateway.sip.port(), gateway.callee_port, gateway.proxy_port] {
            decode.extend([format!("udp.port=={port},sip"), format!("tcp.port=={port},sip")]);
        }
        Capture { child, file, decode }
    }

    /// Ends the capture.
    pub fn finish(mut self) -> Captured {
        std::thread::sleep(Duration::from_millis(300)); // dumpcap is handed packets in batches
        send_signal("TERM", self.child.id());
        let status = self.child.wait().expect("dumpcap ran");
        assert!(status.success(), "dumpcap: {status}");
        Captured { file: std::mem::take(&mut self.file), decode: std::mem::take(&mut self.decode) }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.child.kill(); // already ended after `finish`
        let _ = self.child.wait();
    }
}

impl Captured {
    fn tshark(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tshark");
        command.arg("-n").arg("-r").arg(&self.file);
        for rule in &self.decode {
            command.args(["-d", rule]);
        }
        let output = command.args(arguments).output().expect("tshark runs");
        assert!(output.status.success(), "tshark {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Fails when a packet is malformed, or when there was nothing of SIP to look at.
    pub fn assert_well_formed(&self) {
        let malformed = self.tshark(&["-Y", "_ws.malformed"]);
        assert!(malformed.is_empty(), "malformed packets in {}:\n{malformed}", self.file.display());
        let sip = self.tshark(&["-Y", "sip", "-T", "fields", "-e", "frame.number"]);
        assert!(sip.lines().count() > 0, "no SIP in {}", self.file.display());
    }

    /// The SIP messages that a filter picks, as tshark describes them.
    pub fn sip(&self, filter: &str) -> Vec<String> {
        let text = self.tshark(&["-Y", filter]);
        text.lines().map(str::to_owned).collect()
    }

    /// Every RTP packet.
    pub fn rtp(&self) -> Vec<RtpPacket> {
        let fields = [
            "frame.time_epoch",
            "ip.src",
            "udp.srcport",
            "ip.dst",
            "udp.dstport",
            "rtp.ssrc",
            "rtp.seq",
            "rtp.p_type",
            "rtp.payload",
        ];
        let mut arguments = vec!["-Y", "rtp", "-T", "fields", "-E", "separator=|"];
        for field in fields {
            arguments.extend(["-e", field]);
        }
        self.tshark(&arguments).lines().filter_map(RtpPacket::parse).collect()
    }

    /// Fails unless there are RTP streams, and none has a loss or an error of sequence: neither by
    /// tshark's own account nor counted here.
    pub fn assert_streams_whole(&self, streams_min: usize) {
        let table = self.tshark(&["-q", "-z", "rtp,streams"]);
        let rows: Vec<&str> = table.lines().filter(|line| line.contains("0x")).collect();
        assert!(rows.len() >= streams_min, "{} RTP streams, {streams_min} wanted:\n{table}", rows.len());
        for row in &rows {
            assert!(row.contains(" 0 (0.0%)"), "packets are missing:\n{table}");
        }
        let mut last: BTreeMap<(String, u16, String), u16> = BTreeMap::new();
        for packet in self.rtp() {
            let stream = (packet.from.0.clone(), packet.from.1, packet.ssrc.clone());
            if let Some(before) = last.insert(stream.clone(), packet.sequence) {
                assert_eq!(packet.sequence, before.wrapping_add(1), "sequence of {stream:?} at {}", packet.time);
            }
        }
    }
}

impl RtpPacket {
    fn parse(line: &str) -> Option<RtpPacket> {
        let fields: Vec<&str> = line.split('|').collect();
        let [time, from, from_port, to, to_port, ssrc, sequence, payload_type, payload] = fields[..] else {
            return None;
        };
        let hex: Vec<u8> = payload.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        Some(RtpPacket {
            time: time.parse().ok()?,
            from: (from.into(), from_port.parse().ok()?),
            to: (to.into(), to_port.parse().ok()?),
            ssrc: ssrc.into(),
            sequence: sequence.parse().ok()?,
            payload_type: payload_type.parse().ok()?,
            payload: hex.chunks_exact(2).map(byte).collect::<Option<_>>()?,
        })
    }
}
