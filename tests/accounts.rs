//! Accounts, carriers and who is kept out, through the running program: a SIP client and a registrar of
//! the test's own, with a digest of their own, over real sockets.

use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// A gateway with a configuration of its own. Killed when dropped.
struct Running {
    child: Child,
    sip: SocketAddr,
    /// Where it listens for TCP.
    sip_tcp: SocketAddr,
}

impl Running {
    /// Starts in `directory`, where its configuration, control socket and log are.
    fn start(directory: &Path, config: &str) -> Running {
        let text = format!("[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\ndomain = \"example.com\"\n{config}");
        std::fs::write(directory.join("tipring.toml"), text).expect("written");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(directory.join("log")).expect("a log");
        let mut child = tipring(directory)
            .args(["run", "--sip", "127.0.0.1:0", "-c"])
            .arg(directory.join("tipring.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("tipring runs");
        let (mut sip, mut sip_tcp) = (None, None);
        let told = |line: &str, transport: &str| -> Option<SocketAddr> {
            let (_, address) = line.split_once(transport)?;
            let end = address.find(|c: char| !c.is_ascii_digit() && !".:".contains(c)).unwrap_or(address.len());
            address[..end].trim_end_matches(['.', ':']).parse().ok()
        };
        for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
            let line = line.expect("text");
            sip = sip.or_else(|| told(&line, "udp:"));
            sip_tcp = sip_tcp.or_else(|| told(&line, "tcp:"));
            if line.starts_with("Ctrl-C") {
                break;
            }
        }
        let (sip, sip_tcp) = sip.zip(sip_tcp).expect("it says where it listens");
        Running { child, sip, sip_tcp }
    }

    /// Ends it as an operator does.
    fn terminate(&mut self) {
        let told = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status();
        assert!(told.is_ok_and(|status| status.success()));
        assert!(self.child.wait().expect("it ran").success());
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

fn says(directory: &Path, arguments: &[&str]) -> String {
    let output = tipring(directory).args(arguments).output().expect("tipring runs");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// A SIP telephone of one account.
struct Telephone {
    wire: Wire,
    local: SocketAddr,
    user: &'static str,
    sent: u32,
    /// Where it says that it is reached.
    contact: SocketAddr,
}

enum Wire {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Telephone {
    fn by_udp(gateway: &Running, user: &'static str) -> Telephone {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.connect(gateway.sip).expect("an address");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let local = socket.local_addr().expect("bound");
        Telephone { wire: Wire::Udp(socket), local, user, sent: 0, contact: local }
    }

    fn by_tcp(gateway: &Running, user: &'static str) -> Telephone {
        let stream = TcpStream::connect(gateway.sip_tcp).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let local = stream.local_addr().expect("bound");
        Telephone { wire: Wire::Tcp(stream), local, user, sent: 0, contact: local }
    }

    fn send(&mut self, method: &str, tag: &str, more: &str) {
        self.sent += 1;
        let (user, local, n, contact) = (self.user, self.local, self.sent, self.contact);
        let (transport, suffix) = match self.wire {
            Wire::Udp(_) => ("UDP", ""),
            Wire::Tcp(_) => ("TCP", ";transport=tcp"),
        };
        let text = format!(
            "{method} sip:example.com SIP/2.0\r\nVia: SIP/2.0/{transport} {local};branch=z9hG4bK{}-{n};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@example.com>;tag=f\r\nTo: <sip:{user}@example.com>{tag}\r\n\
             Call-ID: {}@127.0.0.1\r\nCSeq: {n} {method}\r\nContact: <sip:{user}@{contact}{suffix}>\r\n\
             Expires: 600\r\n{more}Content-Length: 0\r\n\r\n",
            local.port(),
            local.port(),
        );
        match &mut self.wire {
            Wire::Udp(socket) => drop(socket.send(text.as_bytes()).expect("sent")),
            Wire::Tcp(stream) => stream.write_all(text.as_bytes()).expect("sent"),
        }
    }

    fn receive(&mut self) -> String {
        let mut buffer = [0; 4096];
        let length = match &mut self.wire {
            Wire::Udp(socket) => socket.recv(&mut buffer).expect("an answer"),
            Wire::Tcp(stream) => stream.read(&mut buffer).expect("an answer"),
        };
        String::from_utf8(buffer[..length].to_vec()).expect("text")
    }

    /// Registers with this password by SHA-256; gives the last answer.
    fn register(&mut self, password: &str) -> String {
        self.send("REGISTER", "", "");
        let challenge = self.receive();
        assert!(challenge.starts_with("SIP/2.0 401"), "{challenge}");
        let proof = proof(&challenge, self.user, password);
        self.send("REGISTER", "", &proof);
        self.receive()
    }
}

/// RFC 7616 by hand, with SHA-256.
fn proof(challenge: &str, user: &str, password: &str) -> String {
    let line = challenge.lines().find(|line| line.contains("algorithm=SHA-256,")).expect("SHA-256 is offered");
    let nonce = line.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a nonce");
    let hash = |text: String| Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let a1 = hash(format!("{user}:example.com:{password}"));
    let a2 = hash("REGISTER:sip:example.com".to_owned());
    let response = hash(format!("{a1}:{nonce}:00000001:c:auth:{a2}"));
    format!(
        "Authorization: Digest username=\"{user}\", realm=\"example.com\", nonce=\"{nonce}\", uri=\"sip:example.com\", \
         algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\"c\", response=\"{response}\"\r\n"
    )
}

const PHONES: &str = "[phone.201]\npassword = \"right\"\n[phone.202]\npassword = \"right\"\n";

#[test]
fn a_telephone_registers_with_sha_256_by_udp_and_by_tcp() {
    let directory = tempfile::tempdir().expect("a directory");
    let gateway = Running::start(directory.path(), PHONES);
    for mut telephone in [Telephone::by_udp(&gateway, "201"), Telephone::by_tcp(&gateway, "202")] {
        let answer = telephone.register("right");
        assert!(answer.starts_with("SIP/2.0 200") && answer.contains(";expires=600"), "{answer}");
        let phones = says(directory.path(), &["phones"]);
        assert!(phones.contains(&format!("sip:{}@{}", telephone.user, telephone.local)), "{phones}");
        let refused = telephone.register("wrong");
        assert!(refused.starts_with("SIP/2.0 401"), "{refused}");
    }
}

#[test]
#[cfg(feature = "store-sqlite")]
fn a_restart_keeps_registrations_and_a_damaged_file_costs_only_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = format!("{PHONES}[store]\npath = \"kept.db\"\n");
    let mut gateway = Running::start(directory.path(), &config);
    let mut telephone = Telephone::by_udp(&gateway, "201");
    assert!(telephone.register("right").starts_with("SIP/2.0 200"));
    gateway.terminate();
    assert!(directory.path().join("kept.db").exists(), "beside the configuration");

    let contact = format!("sip:201@{}", telephone.local);
    let mut gateway = Running::start(directory.path(), &config);
    assert!(says(directory.path(), &["phones"]).contains(&contact));
    gateway.terminate();

    for leftover in ["kept.db-wal", "kept.db-shm"] {
        let _ = std::fs::remove_file(directory.path().join(leftover));
    }
    std::fs::write(directory.path().join("kept.db"), "not a database at all".repeat(100)).expect("written");
    let gateway = Running::start(directory.path(), &config);
    assert!(!says(directory.path(), &["phones"]).contains(&contact));
    let log = std::fs::read_to_string(directory.path().join("log")).expect("a log");
    assert!(log.contains("kept.db is damaged or no store") && log.contains("move it away"), "{log}");
    assert!(Telephone::by_udp(&gateway, "202").register("right").starts_with("SIP/2.0 200"));
}

/// Answers 200 to a request that came.
fn accepted(request: &str) -> String {
    let copied = |line: &&str| ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name));
    let lines: String = request.lines().filter(copied).map(|line| format!("{line}\r\n")).collect();
    format!("SIP/2.0 200 OK\r\n{lines}Content-Length: 0\r\n\r\n")
}

#[test]
#[cfg(feature = "store-sqlite")]
fn a_text_waits_for_its_telephone_over_a_restart_and_is_delivered_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = format!("{PHONES}[store]\npath = \"kept.db\"\n[trunk.office]\nfrom = \"127.0.0.1\"\n");
    let mut gateway = Running::start(directory.path(), &config);
    let office = UdpSocket::bind("127.0.0.1:0").expect("a port");
    office.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let local = office.local_addr().expect("bound");
    let text = format!(
        "MESSAGE sip:202@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKm;rport\r\nMax-Forwards: 70\r\n\
         From: <sip:1000@office.example>;tag=m\r\nTo: <sip:202@example.com>\r\nCall-ID: m\r\nCSeq: 1 MESSAGE\r\n\
         Content-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello!"
    );
    office.send_to(text.as_bytes(), gateway.sip).expect("sent");
    let mut buffer = [0; 2048];
    let length = office.recv(&mut buffer).expect("an answer");
    assert!(buffer[..length].starts_with(b"SIP/2.0 202 "));
    gateway.terminate();

    let mut gateway = Running::start(directory.path(), &config);
    let mut telephone = Telephone::by_udp(&gateway, "202");
    assert!(telephone.register("right").starts_with("SIP/2.0 200"));
    let message = telephone.receive();
    assert!(message.starts_with("MESSAGE ") && message.ends_with("\r\n\r\nhello!"), "{message}");
    assert!(message.contains("From: <sip:1000@example.com>"), "{message}");
    let Wire::Udp(socket) = &telephone.wire else { panic!() };
    socket.send(accepted(&message).as_bytes()).expect("sent");
    // Behind the answer comes one more request, so that the answer has been read.
    telephone.send("BYE", ";tag=none", "");
    assert!(telephone.receive().starts_with("SIP/2.0 481"));
    gateway.terminate();

    let gateway = Running::start(directory.path(), &config);
    let mut telephone = Telephone::by_udp(&gateway, "202");
    assert!(telephone.register("right").starts_with("SIP/2.0 200"));
    telephone.send("BYE", ";tag=none", "");
    assert!(telephone.receive().starts_with("SIP/2.0 481"), "no text comes again");
}

#[test]
#[cfg(feature = "store-sqlite")]
fn a_telephone_on_tcp_that_listens_is_reached_by_a_new_connection_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let route = "[[route]]\nname = \"telephones\"\nmatch = \"2XX\"\nto = \"extension/{number}\"\n";
    let config = format!("{PHONES}[store]\npath = \"kept.db\"\n{route}");
    let mut gateway = Running::start(directory.path(), &config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut listens = Telephone::by_tcp(&gateway, "201");
    listens.contact = listener.local_addr().expect("bound");
    assert!(listens.register("right").starts_with("SIP/2.0 200"));
    let mut by_flow = Telephone::by_tcp(&gateway, "202");
    assert!(by_flow.register("right").starts_with("SIP/2.0 200"));
    gateway.terminate();

    let _gateway = Running::start(directory.path(), &config);
    let phones = says(directory.path(), &["phones"]);
    assert!(phones.contains(&format!("sip:201@{}", listens.contact)), "{phones}");
    assert!(!phones.contains("sip:202@"), "a flow ends with its process: {phones}");
    // Whoever is called is called over a connection that the gateway opens.
    says(directory.path(), &["call", "phone/201", "202"]);
    let (mut stream, _) = listener.accept().expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut start = [0; 7];
    stream.read_exact(&mut start).expect("a request");
    assert_eq!(&start, b"INVITE ");
}

#[test]
fn who_tries_passwords_is_shut_out_and_named_for_fail2ban() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = format!("{PHONES}[ban]\nfailures = 3\nwithin = \"1m\"\nlasts = \"1h\"\n");
    let gateway = Running::start(directory.path(), &config);
    let mut telephone = Telephone::by_udp(&gateway, "201");
    for _ in 0..2 {
        assert!(telephone.register("guess").starts_with("SIP/2.0 401"));
    }
    telephone.send("REGISTER", "", "");
    let challenge = telephone.receive();
    let guess = proof(&challenge, "201", "guess");
    telephone.send("REGISTER", "", &guess);
    // Nothing comes for that one and the next; what belongs to a dialog still has an answer.
    telephone.send("REGISTER", "", "");
    telephone.send("BYE", ";tag=none", "");
    let answer = telephone.receive();
    assert!(answer.starts_with("SIP/2.0 481") && answer.contains("CSeq: 8 BYE"), "{answer}");

    let status = says(directory.path(), &["status"]);
    assert!(status.contains("shut out    127.0.0.1") && status.contains("0 of 2 registered"), "{status}");
    let log = std::fs::read_to_string(directory.path().join("log")).expect("a log");
    let line = |reason: &str| {
        format!("auth failed peer={} transport=udp method=REGISTER account=\"201\" reason={reason}", telephone.local)
    };
    assert_eq!(log.matches(&line("wrong-password")).count(), 3, "{log}");
    assert_eq!(log.matches(&line("banned")).count(), 1, "{log}");
}

/// The few elements that the expression of the documentation is made of.
#[derive(Clone, Debug)]
enum Element {
    Start,
    End,
    Literal(char),
    /// At least so many characters that fit.
    Many(usize, fn(char) -> bool),
    /// `<HOST>`
    Host,
    OneOf(Vec<String>),
}

fn elements(mut text: &str) -> Vec<Element> {
    let known: [(&str, Element); 7] = [
        ("<HOST>", Element::Host),
        ("[^\"]*", Element::Many(0, |c| c != '"')),
        ("\\d+", Element::Many(1, |c| c.is_ascii_digit())),
        ("\\S+", Element::Many(1, |c| !c.is_whitespace())),
        (".*", Element::Many(0, |_| true)),
        ("^", Element::Start),
        ("$", Element::End),
    ];
    let mut found = Vec::new();
    while let Some(first) = text.chars().next() {
        if let Some((written, element)) = known.iter().find(|(written, _)| text.starts_with(written)) {
            found.push(element.clone());
            text = &text[written.len()..];
        } else if let Some((words, rest)) = text.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            found.push(Element::OneOf(words.split('|').map(str::to_owned).collect()));
            text = rest;
        } else {
            assert!(!"\\[]()+*?".contains(first), "the test does not know {text}");
            found.push(Element::Literal(first));
            text = &text[first.len_utf8()..];
        }
    }
    found
}

/// The host, when the rest of a line matches.
fn host_of(elements: &[Element], at_start: bool, line: &str, host: Option<&str>) -> Option<String> {
    let Some((first, rest)) = elements.split_first() else { return host.map(str::to_owned) };
    let many = |least: usize, fits: fn(char) -> bool, is_host: bool| {
        let end = line.find(|c| !fits(c)).unwrap_or(line.len());
        let ends = line.char_indices().map(|(at, _)| at).chain([line.len()]).filter(|at| *at >= least && *at <= end);
        let ends: Vec<usize> = ends.collect();
        ends.into_iter()
            .rev()
            .find_map(|at| host_of(rest, false, &line[at..], if is_host { Some(&line[..at]) } else { host }))
    };
    match first {
        Element::Start => at_start.then(|| host_of(rest, true, line, host)).flatten(),
        Element::End => line.is_empty().then(|| host_of(rest, false, line, host)).flatten(),
        Element::Literal(c) => line.strip_prefix(*c).and_then(|line| host_of(rest, false, line, host)),
        Element::Many(least, fits) => many(*least, *fits, false),
        Element::Host => many(1, |c| c.is_ascii_hexdigit() || "[]:.".contains(c), true),
        Element::OneOf(words) => words
            .iter()
            .find_map(|word| line.strip_prefix(word.as_str()).and_then(|line| host_of(rest, false, line, host))),
    }
}

#[test]
fn the_expression_for_fail2ban_finds_the_peer_in_what_is_logged_and_nobody_can_name_another() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("a file");
    let expression = readme.lines().find_map(|line| line.strip_prefix("failregex = ")).expect("it is documented");
    let expression = elements(expression);
    // What fail2ban does: it looks for the expression anywhere in the line, without the time.
    let found = |line: &str| (0..line.len()).find_map(|at| host_of(&expression, at == 0, line.get(at..)?, None));

    let directory = tempfile::tempdir().expect("a directory");
    let gateway = Running::start(directory.path(), PHONES);
    let forged = "auth%20failed%20peer=192.0.2.66:5060%20transport=udp%20method=INVITE%20account=%22";
    for user in ["201", forged] {
        let mut telephone = Telephone::by_udp(&gateway, user);
        telephone.send("REGISTER", "", "");
        let challenge = telephone.receive();
        let proof = proof(&challenge, if user == "201" { user } else { "x" }, "guess");
        telephone.send("REGISTER", "", &proof);
        assert!(telephone.receive().starts_with("SIP/2.0 401"));
    }
    let log = std::fs::read_to_string(directory.path().join("log")).expect("a log");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("auth failed")).collect();
    assert_eq!(lines.len(), 2, "{log}");
    for line in lines {
        let (_, told) = line.split_once(' ').expect("a time in front");
        assert_eq!(found(told).as_deref(), Some("127.0.0.1"), "{line}");
    }
    let told = |peer: &str, reason: &str| {
        format!(
            " WARN tipring: auth failed peer={peer} transport=tls method=INVITE account=\"a\\\" b\" reason={reason}"
        )
    };
    assert_eq!(found(&told("[2001:db8::1]:5061", "banned")).as_deref(), Some("[2001:db8::1]"));
    assert_eq!(found(&told("192.0.2.1:5060", "unknown-account")).as_deref(), Some("192.0.2.1"));
    assert_eq!(found(&told("192.0.2.1:5060", "flood")), None, "whose address may be made up");
    assert_eq!(found(&told("here", "banned")), None);
}

#[test]
fn what_a_stranger_writes_cannot_forge_a_line_of_the_log() {
    let directory = tempfile::tempdir().expect("a directory");
    let gateway = Running::start(directory.path(), PHONES);
    let mut telephone = Telephone::by_udp(&gateway, "x%0aauth%20failed%1b%22");
    telephone.send("REGISTER", "", "");
    let challenge = telephone.receive();
    let proof = match challenge.contains("SHA-256") {
        true => proof(&challenge, "x", "y"),
        false => panic!("{challenge}"),
    };
    telephone.send("REGISTER", "", &proof);
    assert!(telephone.receive().starts_with("SIP/2.0 401"));
    let log = std::fs::read_to_string(directory.path().join("log")).expect("a log");
    assert!(log.contains("account=\"x\\nauth failed\\u{1b}\\\"\" reason=unknown-account"), "{log}");
}

/// The carrier's registrar: answers one request, says what it was.
fn answer(carrier: &UdpSocket, status: &str, more: &str) -> String {
    let mut buffer = [0; 4096];
    let (length, from) = carrier.recv_from(&mut buffer).expect("a request");
    let request = String::from_utf8(buffer[..length].to_vec()).expect("text");
    let copied: String = request
        .lines()
        .filter(|line| ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name)))
        .map(|line| if line.starts_with("To:") { format!("{line};tag=c\r\n") } else { format!("{line}\r\n") })
        .collect();
    let response = format!("SIP/2.0 {status}\r\n{copied}{more}Content-Length: 0\r\n\r\n");
    carrier.send_to(response.as_bytes(), from).expect("sent");
    request
}

#[test]
fn a_trunk_registers_says_so_and_leaves_when_the_gateway_ends() {
    let directory = tempfile::tempdir().expect("a directory");
    let carrier = UdpSocket::bind("127.0.0.1:0").expect("a port");
    carrier.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let config = format!(
        "[trunk.carrier]\nto = \"sip:{}\"\nregister = true\nusername = \"me\"\npassword = \"secret\"\nrealm = \"carrier\"\n",
        carrier.local_addr().expect("bound")
    );
    let mut gateway = Running::start(directory.path(), &config);
    let challenge =
        "WWW-Authenticate: Digest realm=\"carrier\", nonce=\"n\", algorithm=SHA-256, qop=\"auth,auth-int\"\r\n";
    let first = answer(&carrier, "401 Unauthorized", challenge);
    assert!(first.starts_with("REGISTER sip:") && !first.contains("Authorization"), "{first}");
    let second = answer(&carrier, "200 OK", "Expires: 1800\r\n");
    assert!(second.contains("username=\"me\"") && second.contains("nc=00000001"), "{second}");
    // The answer may still be on its way to the gateway.
    let state = (0..500).map(|_| says(directory.path(), &["trunks"])).find(|text| text.contains("registered for"));
    assert!(state.is_some(), "{}", says(directory.path(), &["trunks"]));

    let told = Command::new("sh").args(["-c", &format!("kill -TERM {}", gateway.child.id())]).status();
    assert!(told.is_ok_and(|status| status.success()));
    let last = answer(&carrier, "200 OK", "");
    assert!(last.contains("\r\nExpires: 0\r\n") && last.contains("nc=00000002"), "{last}");
    assert!(gateway.child.wait().expect("it ran").success());
}
