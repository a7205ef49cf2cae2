//! Random and mutated datagrams at the SIP port and at the RTP ports of running calls.

use super::gateway::Gateway;
use super::turn;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// Datagrams in each of the two rounds.
const DATAGRAMS: usize = 10_000;
/// What memory may grow by from the end of the first round to the end of the second: the first
/// has already made everything as large as such traffic makes it.
const GROWTH_KIB: u64 = 4_096;

#[test]
fn twenty_thousand_broken_datagrams_change_nothing() {
    let _turn = turn();
    let gateway = Gateway::start("noise");
    let mut noise = Noise::new(20_261_124);
    noise.round(&gateway);
    // Nobody ends what looked like calls: those whose ACK never came are given up after 64 T1.
    gateway.wait_until_idle(Duration::from_secs(60));
    let before = gateway.memory_kib();
    noise.round(&gateway);
    gateway.wait_until_idle(Duration::from_secs(60));
    let after = gateway.memory_kib();
    println!("noise: {before} KiB after the first round, {after} KiB after the second");
    assert!(after <= before + GROWTH_KIB, "memory grew from {before} to {after} KiB");
    assert!(!gateway.log().contains("panicked"), "nothing panicked");
    assert!(gateway.stop().success());
}

struct Noise {
    socket: UdpSocket,
    state: u64,
    sent: u32,
}

impl Noise {
    fn new(seed: u64) -> Noise {
        println!("noise: seed {seed}");
        Noise { socket: UdpSocket::bind("127.0.0.4:0").expect("a port"), state: seed, sent: 0 }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) as usize % bound.max(1)
    }

    fn round(&mut self, gateway: &Gateway) {
        let media = self.call_echo(gateway);
        for number in 0..DATAGRAMS {
            let (bytes, to) = match number % 4 {
                0 => (self.random(1_500), gateway.sip),
                1 | 2 => (self.mutated_sip(gateway.sip), gateway.sip),
                _ => (self.mutated_rtp(), media),
            };
            let _ = self.socket.send_to(&bytes, to);
            if number % 500 == 499 {
                // Also gives the gateway the time to read: what it never got proves nothing.
                assert!(gateway.answers_options(), "no answer to OPTIONS after {number} datagrams");
            }
        }
    }

    /// Calls the echo test and stays; gives the gateway's RTP address.
    fn call_echo(&mut self, gateway: &Gateway) -> SocketAddr {
        self.sent += 1;
        let invite = self.request("INVITE", "600", gateway.sip);
        let socket = UdpSocket::bind("127.0.0.5:0").expect("a port");
        socket.set_read_timeout(Some(Duration::from_secs(3))).expect("a timeout");
        socket.send_to(&invite, gateway.sip).expect("sent");
        let mut buffer = [0; 4096];
        loop {
            let length = socket.recv(&mut buffer).expect("an answer to INVITE");
            let text = String::from_utf8_lossy(&buffer[..length]);
            if !text.starts_with("SIP/2.0 200") {
                assert!(text.starts_with("SIP/2.0 1"), "{text}");
                continue;
            }
            let port = text.split("m=audio ").nth(1).and_then(|rest| rest.split(' ').next());
            let port: u16 = port.and_then(|p| p.parse().ok()).expect("a port in the SDP");
            return SocketAddr::from(([127, 0, 0, 1], port));
        }
    }

    fn request(&self, method: &str, user: &str, to: SocketAddr) -> Vec<u8> {
        let number = self.sent;
        let body = "v=0\r\no=- 1 1 IN IP4 127.0.0.4\r\ns=-\r\nc=IN IP4 127.0.0.4\r\nt=0 0\r\nm=audio 9000 RTP/AVP 0 101\r\n\
                    a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n";
        format!(
            "{method} sip:{user}@{to} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.4:9;rport;branch=z9hG4bKnoise{number}\r\n\
             Max-Forwards: 70\r\nFrom: \"A noise\" <sip:noise@127.0.0.4>;tag=n{number}\r\nTo: <sip:{user}@{to}>\r\n\
             Call-ID: noise-{number}@127.0.0.4\r\nCSeq: {number} {method}\r\nContact: <sip:noise@127.0.0.4:9>\r\n\
             Supported: timer, 100rel\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    fn random(&mut self, longest: usize) -> Vec<u8> {
        let length = self.below(longest);
        (0..length).map(|_| self.below(256) as u8).collect()
    }

    fn mutated_sip(&mut self, to: SocketAddr) -> Vec<u8> {
        self.sent += 1;
        let methods = ["INVITE", "OPTIONS", "REGISTER", "BYE", "CANCEL", "ACK", "MESSAGE", "PRACK"];
        let users = ["199", "600", "201", "", "%41%00", "104"];
        let (method, user) = (methods[self.below(methods.len())], users[self.below(users.len())]);
        let mut bytes = self.request(method, user, to);
        if self.below(8) == 0 {
            let status = b"SIP/2.0 200 OK";
            let end = bytes.iter().position(|&b| b == b'\r').unwrap_or(0);
            bytes.splice(0..end, status.iter().copied());
        }
        for _ in 0..1 + self.below(4) {
            self.mutate(&mut bytes);
        }
        bytes
    }

    fn mutated_rtp(&mut self) -> Vec<u8> {
        let mut bytes = vec![0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
        let sequence = self.below(65_536) as u16;
        bytes[2..4].copy_from_slice(&sequence.to_be_bytes());
        bytes.extend(self.random(400));
        if self.below(3) == 0 {
            bytes[1] = 101;
        }
        self.mutate(&mut bytes);
        bytes
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        match self.below(7) {
            0 => bytes.truncate(at),
            1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
            2 => {
                let piece = self.random(40);
                bytes.splice(at..at, piece);
            }
            3 => {
                let end = (at + self.below(60)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let end = (at + self.below(200)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            5 => bytes.splice(at..at, b"99999999999999999999".iter().copied()).for_each(drop),
            _ => {
                let byte = self.below(256) as u8;
                let count = self.below(4_000);
                bytes.splice(at..at, std::iter::repeat_n(byte, count));
            }
        }
        bytes.truncate(60_000);
    }
}
