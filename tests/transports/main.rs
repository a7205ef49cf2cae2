//! The running gateway over TLS and by names: certificates, reload, NAPTR and SRV, fail-over.
//!
//! Real time and real sockets, but nothing that is not in this repository.

mod dns;

use dns::Record;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Longer than anything takes here; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who signs certificates in a test.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// A certificate for these names, with its key.
    fn issue(&self, names: &[&str]) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::default();
        let name = |name: &&str| SanType::DnsName((*name).try_into().expect("a name"));
        params.subject_alt_names = names.iter().map(name).collect();
        let key = KeyPair::generate().expect("a key");
        (params.signed_by(&key, &self.0).expect("a certificate"), key)
    }

    /// Writes a certificate for these names where the gateway looks for it; returns it.
    fn write(&self, directory: &Path, names: &[&str]) -> CertificateDer<'static> {
        let (certificate, key) = self.issue(names);
        let write = |file: &str, text: String| std::fs::write(directory.join(file), text).expect("a file");
        write("certificate.pem", certificate.pem());
        write("key.pem", key.serialize_pem());
        write("authorities.pem", self.0.pem());
        certificate.der().clone()
    }
}

/// A free port for UDP and TCP on the loopback.
fn free_port() -> u16 {
    for _ in 0..100 {
        let port = UdpSocket::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}

/// A gateway with a configuration of its own; killed when dropped.
struct Gateway {
    child: Child,
    directory: tempfile::TempDir,
}

impl Gateway {
    fn start(directory: tempfile::TempDir, config: &str) -> Gateway {
        let file = directory.path().join("tipring.toml");
        std::fs::write(&file, config).expect("a file");
        let mut command = tipring(directory.path());
        let child = command.args(["run", "-c"]).arg(&file).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("tipring runs");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let up = output.lines().map_while(Result::ok).any(|line| line.starts_with("Ctrl-C"));
        assert!(up, "the gateway did not start with\n{config}");
        Gateway { child, directory }
    }

    fn reload(&self) {
        let output = tipring(self.directory.path()).arg("reload").output().expect("tipring runs");
        assert!(output.status.success(), "{output:?}");
    }
}

impl Drop for Gateway {
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

/// A gateway that answers 600 by its echo, and trusts the loopback.
fn echo_config(udp: u16, tls: u16, more: &str) -> String {
    format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:{udp}\", \"tls:127.0.0.1:{tls}\"]\ncertificate = \"certificate.pem\"\n\
         key = \"key.pem\"\n[tls]\nauthorities = \"authorities.pem\"\n{more}\n[rtp]\nports = \"19000-19999\"\n\
         [trunk.loopback]\nfrom = \"127.0.0.0/8\"\n[[route]]\nname = \"echo\"\nmatch = \"600\"\n\
         from = \"trunk/loopback\"\nto = \"service/echo\"\n"
    )
}

/// A client that believes `authority`, with a certificate of its own or without.
fn client(authority: &Authority, own: Option<(rcgen::Certificate, KeyPair)>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone()).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_root_certificates(roots);
    Arc::new(match own {
        Some((certificate, key)) => {
            let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
            config.with_client_auth_cert(vec![certificate.der().clone()], key).expect("an identity")
        }
        None => config.with_no_client_auth(),
    })
}

type TlsStream = StreamOwned<ClientConnection, TcpStream>;

fn connect(config: &Arc<ClientConfig>, port: u16, name: &str) -> TlsStream {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    StreamOwned::new(ClientConnection::new(Arc::clone(config), name).expect("a connection"), stream)
}

/// Sends OPTIONS; the response, or why there is none.
fn options(stream: &mut TlsStream, number: u32) -> std::io::Result<String> {
    let text = format!(
        "OPTIONS sip:gw SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:9;branch=z9hG4bK{number};rport\r\n\
         From: <sip:a@h>;tag=1\r\nTo: <sip:gw>\r\nCall-ID: options{number}\r\nCSeq: 1 OPTIONS\r\n\
         Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(text.as_bytes())?;
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        response.push(byte[0]);
    }
    Ok(String::from_utf8(response).expect("text"))
}

#[test]
fn certificates_are_exchanged_while_connections_go_on() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().expect("a directory");
    let first = authority.write(directory.path(), &["gw.example"]);
    let (udp, tls) = (free_port(), free_port());
    let gateway = Gateway::start(directory, &echo_config(udp, tls, ""));
    let config = client(&authority, None);
    let mut old = connect(&config, tls, "gw.example");
    let response = options(&mut old, 1).expect("an answer");
    assert!(response.starts_with("SIP/2.0 200 "), "{response}");
    assert_eq!(old.conn.peer_certificates().expect("certificates")[0], first);
    // RFC 5626 4.4.1: two line ends are answered by one.
    old.write_all(b"\r\n\r\n").expect("open");
    let mut pong = [0; 2];
    old.read_exact(&mut pong).expect("a pong");
    assert_eq!(&pong, b"\r\n");

    let second = authority.write(gateway.directory.path(), &["gw.example"]);
    gateway.reload();
    assert!(options(&mut old, 2).expect("an answer").starts_with("SIP/2.0 200 "), "the connection goes on");
    let mut new = connect(&config, tls, "gw.example");
    assert!(options(&mut new, 3).expect("an answer").starts_with("SIP/2.0 200 "));
    assert_eq!(new.conn.peer_certificates().expect("certificates")[0], second);
}

#[test]
fn sighup_exchanges_certificates_and_a_running_call_and_a_connection_go_on() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().expect("a directory");
    let first = authority.write(directory.path(), &["gw.example"]);
    let (udp, tls) = (free_port(), free_port());
    let gateway = Gateway::start(directory, &echo_config(udp, tls, ""));
    let config = client(&authority, None);
    let mut old = connect(&config, tls, "gw.example");
    assert!(options(&mut old, 1).expect("an answer").starts_with("SIP/2.0 200 "));
    let caller = Peer::new();
    assert!(caller.call("600", udp).starts_with("SIP/2.0 200 "));

    let second = authority.write(gateway.directory.path(), &["gw.example"]);
    let told = Command::new("sh").args(["-c", &format!("kill -HUP {}", gateway.child.id())]).status();
    assert!(told.is_ok_and(|status| status.success()));
    // A signal has no answer: who connects sees the old certificate until it has been heard.
    let mut looks = (0..100).map(|_| {
        // A question in between, so that handshakes stay below the limit of one source.
        assert!(tipring(gateway.directory.path()).arg("status").output().is_ok());
        let mut new = connect(&config, tls, "gw.example");
        assert!(options(&mut new, 2).expect("an answer").starts_with("SIP/2.0 200 "));
        new.conn.peer_certificates().expect("certificates")[0].clone().into_owned()
    });
    assert_eq!(looks.find(|seen| *seen != first), Some(second.clone()));
    assert!(options(&mut old, 3).expect("an answer").starts_with("SIP/2.0 200 "), "the connection goes on");
    let calls = tipring(gateway.directory.path()).arg("calls").output().expect("tipring runs");
    let calls = String::from_utf8(calls.stdout).expect("text");
    assert!(calls.contains("600") && calls.contains("talking"), "{calls}");

    // Files that cannot be used change nothing.
    std::fs::write(gateway.directory.path().join("key.pem"), "no key").expect("written");
    let output = tipring(gateway.directory.path()).arg("reload").output().expect("tipring runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let mut new = connect(&config, tls, "gw.example");
    assert!(options(&mut new, 4).expect("an answer").starts_with("SIP/2.0 200 "));
    assert_eq!(new.conn.peer_certificates().expect("certificates")[0], second);
}

#[test]
fn a_client_certificate_can_be_required() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().expect("a directory");
    authority.write(directory.path(), &["gw.example"]);
    let (udp, tls) = (free_port(), free_port());
    let _gateway = Gateway::start(directory, &echo_config(udp, tls, "client-certificate = \"required\""));
    let mut nobody = connect(&client(&authority, None), tls, "gw.example");
    assert!(options(&mut nobody, 1).is_err(), "a client without certificate is refused");
    let stranger = Authority::new().issue(&["peer.example"]);
    let mut stranger = connect(&client(&authority, Some(stranger)), tls, "gw.example");
    assert!(options(&mut stranger, 2).is_err(), "so is one whose authority is unknown");
    let known = authority.issue(&["peer.example"]);
    let mut known = connect(&client(&authority, Some(known)), tls, "gw.example");
    assert!(options(&mut known, 3).expect("an answer").starts_with("SIP/2.0 200 "));
}

/// A SIP end on UDP that is moved by hand.
struct Peer(UdpSocket);

impl Peer {
    fn new() -> Peer {
        Peer::on(UdpSocket::bind("127.0.0.1:0").expect("a port"))
    }

    fn on(socket: UdpSocket) -> Peer {
        socket.set_read_timeout(Some(PATIENCE)).expect("a time");
        Peer(socket)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().expect("bound").port()
    }

    fn receive(&self) -> (String, SocketAddr) {
        let mut buffer = [0; 65_535];
        let (length, from) = self.0.recv_from(&mut buffer).expect("a message in time");
        (String::from_utf8(buffer[..length].to_vec()).expect("text"), from)
    }

    /// Calls `number` at a gateway; the first final response.
    fn call(&self, number: &str, gateway: u16) -> String {
        let own = self.0.local_addr().expect("bound");
        let (ip, version) = (own.ip(), if own.is_ipv4() { "IP4" } else { "IP6" });
        let sdp = format!(
            "v=0\r\no=- 1 1 IN {version} {ip}\r\ns=-\r\nc=IN {version} {ip}\r\nt=0 0\r\nm=audio 9000 RTP/AVP 0\r\n"
        );
        let text = format!(
            "INVITE sip:{number}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKcall{number}\r\n\
             From: <sip:caller@h>;tag=1\r\nTo: <sip:{number}@h>\r\nCall-ID: call{number}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:caller@{own}>\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        );
        self.0.send_to(text.as_bytes(), (ip, gateway)).expect("sent");
        loop {
            let (response, _) = self.receive();
            if !response.starts_with("SIP/2.0 1") {
                return response;
            }
        }
    }

    /// Takes an INVITE and refuses it with `status`; returns it.
    fn refuse(&self, status: u16) -> String {
        let (invite, from) = self.receive();
        assert!(invite.starts_with("INVITE "), "{invite}");
        let field = |name: &str| invite.lines().find(|line| line.starts_with(name)).expect("a header field");
        let response = format!(
            "SIP/2.0 {status} X\r\n{}\r\n{}\r\n{};tag=x\r\n{}\r\n{}\r\nContent-Length: 0\r\n\r\n",
            field("Via:"),
            field("From:"),
            field("To:"),
            field("Call-ID:"),
            field("CSeq:")
        );
        self.0.send_to(response.as_bytes(), from).expect("sent");
        invite
    }
}

fn to_trunk(udp: u16, more_listeners: &str, dns: SocketAddr, to: &str, more: &str) -> String {
    format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:{udp}\"{more_listeners}]\n{more}\n[dns]\nservers = [\"{dns}\"]\n\
         [rtp]\nports = \"20000-20999\"\n[trunk.loopback]\nfrom = \"127.0.0.0/8\"\n\
         [trunk.carrier]\nto = \"{to}\"\n[[route]]\nname = \"out\"\nmatch = \"600\"\nfrom = \"trunk/loopback\"\n\
         transit = true\nto = \"trunk/carrier\"\n"
    )
}

#[test]
fn a_carrier_is_found_by_naptr_and_srv_and_its_second_server_takes_the_call() {
    let (first, second) = (Peer::new(), Peer::new());
    let (one, two) = (first.port(), second.port());
    let dns = dns::serve(vec![
        ("carrier.example", Record::Naptr(10, "SIPS+D2T", "_sips._tcp.carrier.example")),
        ("carrier.example", Record::Naptr(20, "SIP+D2U", "_sip._udp.carrier.example")),
        ("_sip._udp.carrier.example", Record::Srv(2, two, "b.carrier.example")),
        ("_sip._udp.carrier.example", Record::Srv(1, one, "a.carrier.example")),
        ("a.carrier.example", Record::A(1)),
        ("b.carrier.example", Record::A(1)),
    ]);
    let udp = free_port();
    let directory = tempfile::tempdir().expect("a directory");
    let _gateway = Gateway::start(directory, &to_trunk(udp, "", dns, "sip:carrier.example", ""));
    let servers = std::thread::spawn(move || (first.refuse(503), second.refuse(404)));
    let response = Peer::new().call("600", udp);
    assert!(response.starts_with("SIP/2.0 404 "), "{response}");
    let (to_first, to_second) = servers.join().expect("both were called");
    assert!(to_first.starts_with("INVITE sip:600@carrier.example SIP/2.0\r\n"), "{to_first}");
    let field = |text: &str, name: &str| text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
    assert_eq!(field(&to_first, "Call-ID:"), field(&to_second, "Call-ID:"));
    assert_ne!(field(&to_first, "Via:"), field(&to_second, "Via:"));
}

#[test]
fn a_server_that_is_silent_is_left_for_the_next_one_in_the_time_that_the_configuration_says() {
    let (silent, second) = (Peer::new(), Peer::new());
    let to = format!("sip:127.0.0.1:{}\", \"sip:127.0.0.1:{}", silent.port(), second.port());
    let udp = free_port();
    let directory = tempfile::tempdir().expect("a directory");
    let config = to_trunk(udp, "", dns::serve(Vec::new()), &to, "fail-over-after = \"500ms\"");
    let config = config.replace(&format!("to = \"{to}\""), &format!("to = [\"{to}\"]"));
    let _gateway = Gateway::start(directory, &config);
    let server = std::thread::spawn(move || second.refuse(404));
    let response = Peer::new().call("600", udp);
    assert!(response.starts_with("SIP/2.0 404 "), "{response}");
    server.join().expect("it was called");
    assert!(silent.receive().0.starts_with("INVITE "), "it had its turn");
}

#[test]
fn a_call_goes_by_tls_to_a_server_that_proves_its_domain_and_to_no_other() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().expect("a directory");
    authority.write(directory.path(), &["right.example"]);
    let (far_udp, far_tls) = (free_port(), free_port());
    let _far = Gateway::start(directory, &echo_config(far_udp, far_tls, ""));
    let zone = vec![("right.example", Record::A(1)), ("wrong.example", Record::A(1))];
    let dns = dns::serve(zone);
    for (domain, status) in [("right.example", "SIP/2.0 200 "), ("wrong.example", "SIP/2.0 503 ")] {
        let directory = tempfile::tempdir().expect("a directory");
        authority.write(directory.path(), &["near.example"]);
        let (udp, tls) = (free_port(), free_port());
        let listener = format!(", \"tls:127.0.0.1:{tls}\"");
        let more = "certificate = \"certificate.pem\"\nkey = \"key.pem\"\n[tls]\nauthorities = \"authorities.pem\"";
        let to = format!("sips:{domain}:{far_tls}");
        let _near = Gateway::start(directory, &to_trunk(udp, &listener, dns, &to, more));
        let response = Peer::new().call("600", udp);
        assert!(response.starts_with(status), "{domain}: {response}");
    }
}

#[test]
fn a_caller_with_ipv6_gets_ipv6_in_contact_and_sdp_and_one_with_ipv4_gets_ipv4() {
    let Ok(socket) = UdpSocket::bind("[::1]:0") else {
        println!("this machine has no IPv6: nothing is tested");
        return;
    };
    let udp = free_port();
    let config = format!(
        "[sip]\nlisten = [\"udp:0.0.0.0:{udp}\", \"udp:[::]:{udp}\"]\n[rtp]\naddress = [\"127.0.0.1\", \"::1\"]\n\
         ports = \"21000-21999\"\n[trunk.loopback]\nfrom = [\"127.0.0.0/8\", \"::1\"]\n[[route]]\nname = \"echo\"\n\
         match = \"60X\"\nfrom = \"trunk/loopback\"\nto = \"service/echo\"\n"
    );
    let _gateway = Gateway::start(tempfile::tempdir().expect("a directory"), &config);
    socket.set_read_timeout(Some(PATIENCE)).expect("a time");
    let check = |response: &str, contact: &str, media: &str| {
        assert!(response.starts_with("SIP/2.0 200 "), "{response}");
        assert!(response.contains(&format!("@{contact}:{udp}>")), "{response}");
        assert!(response.contains(media), "{response}");
    };
    check(&Peer::on(socket).call("600", udp), "[::1]", "c=IN IP6 ::1\r\n");
    check(&Peer::new().call("601", udp), "127.0.0.1", "c=IN IP4 127.0.0.1\r\n");
}
