//! baresip as a telephone: registers, is called, speaks a file, moved through its ctrl_tcp module.

use super::gateway::{Gateway, free_port};
use super::wait_for;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A running baresip. Ended when dropped.
pub struct Baresip {
    child: Child,
    control: TcpStream,
    said: Arc<Mutex<String>>,
    log: std::path::PathBuf,
}

impl Baresip {
    /// Starts one that registers as `account` with the demo's password, and speaks `speech`.
    pub fn start(gateway: &Gateway, account: &str, speech: &Path) -> Baresip {
        Baresip::start_by(gateway, account, speech, "udp")
    }

    /// The same by `udp`, `tcp` or `tls`.
    pub fn start_by(gateway: &Gateway, account: &str, speech: &Path, transport: &str) -> Baresip {
        Baresip::start_in("baresip", gateway, account, speech, transport)
    }

    /// The same in a directory of this name, so that there can be several.
    pub fn start_in(name: &str, gateway: &Gateway, account: &str, speech: &Path, transport: &str) -> Baresip {
        Baresip::start_with(name, gateway, account, speech, transport, "")
    }

    /// One that watches its friend, by UDP. Not its own messages: its module for that has been seen to subscribe
    /// again without end, as fast as it can, after a first NOTIFY that was as it should be.
    pub fn start_watching(gateway: &Gateway, account: &str, speech: &Path) -> Baresip {
        let modules = "module_app contact.so\nmodule_app presence.so\n";
        Baresip::start_with("baresip", gateway, account, speech, "udp", modules)
    }

    fn start_with(name: &str, gateway: &Gateway, account: &str, speech: &Path, transport: &str, more: &str) -> Baresip {
        let directory = gateway.directory.join(name);
        std::fs::create_dir_all(&directory).expect("a directory");
        let control = free_port("127.0.0.1");
        let config = format!(
            "{network}poll_method epoll\n\
             sip_listen 127.0.0.1:{sip}\n\
             rtp_ports 19000-19100\n\
             audio_source aufile,{speech}\n\
             audio_player aubridge,nil\n\
             audio_alert aubridge,nil\n\
             ausrc_srate 8000\n\
             auplay_srate 8000\n\
             ausrc_channels 1\n\
             auplay_channels 1\n\
             snd_path {directory}\n\
             ctrl_tcp_listen 127.0.0.1:{control}\n\
             module_path {modules}\n\
             module g711.so\n\
             module aufile.so\n\
             module aubridge.so\n\
             module sndfile.so\n\
             module_tmp uuid.so\n\
             module_tmp account.so\n\
             module_app menu.so\n\
             {more}module_app ctrl_tcp.so\n",
            // Left alone it signals the machine's outer address and sends from the loopback, as most
            // softphones do, and that must work; without such an address it would not start.
            network = if has_route() { "" } else { "net_interface 127.0.0.1\n" },
            sip = free_port("127.0.0.1"),
            speech = speech.display(),
            directory = directory.display(),
            modules = modules(),
        );
        std::fs::write(directory.join("config"), config).expect("written");
        let line = format!(
            "<sip:{account}@{};transport={transport}>;auth_user={account};auth_pass=tipring-demo;regint=600;answermode=manual\n",
            gateway.address_for(transport)
        );
        std::fs::write(directory.join("accounts"), line).expect("written");
        // Whom `message` writes to, and whose presence is watched.
        let friend = format!("\"Friend\" <sip:205@{}>;presence=p2p\n", gateway.address_for(transport));
        std::fs::write(directory.join("contacts"), friend).expect("written");

        let log = std::fs::File::create(directory.join("baresip.log")).expect("a log file");
        let child = Command::new("baresip")
            .arg("-v")
            .arg("-f")
            .arg(&directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log)
            .spawn()
            .expect("baresip runs");
        let control = wait_for("baresip's control port", Duration::from_secs(10), || {
            TcpStream::connect(("127.0.0.1", control)).ok()
        });
        let said = Arc::new(Mutex::new(String::new()));
        let (mut reader, heard) = (control.try_clone().expect("a descriptor"), Arc::clone(&said));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]);
                heard.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
        });
        Baresip { child, control, said, log: directory.join("baresip.log") }
    }

    /// Waits until its account is registered.
    pub fn wait_until_registered(&self, gateway: &Gateway, account: &str) {
        wait_for("baresip's registration", Duration::from_secs(20), || {
            let phones = gateway.command(&["phones"]);
            let row = phones.lines().find(|line| line.starts_with(&format!("phone/{account}"))).expect("it is listed");
            (!row.contains("not registered")).then_some(())
        });
    }

    /// Waits until it has printed this, or said it in an event.
    pub fn wait_for_text(&self, text: &str) {
        wait_for(&format!("baresip to say {text}"), Duration::from_secs(20), || {
            let log = std::fs::read(&self.log).unwrap_or_default();
            let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            (said.contains(text) || String::from_utf8_lossy(&log).contains(text)).then_some(())
        });
    }

    /// Waits for an event such as `CALL_INCOMING`.
    pub fn wait_for(&self, event: &str) {
        let kind = format!("\"type\":\"{event}\"");
        wait_for(&format!("baresip's {event}"), Duration::from_secs(20), || {
            self.said.lock().unwrap_or_else(PoisonError::into_inner).contains(&kind).then_some(())
        });
    }

    /// Gives a command such as `accept` or `hangup`.
    pub fn command(&mut self, command: &str) {
        self.command_with(command, "");
    }

    /// Gives a command with what it is about, such as `dial` and an address.
    pub fn command_with(&mut self, command: &str, what: &str) {
        let text = format!("{{\"command\":\"{command}\",\"params\":\"{what}\",\"token\":\"t\"}}");
        write!(self.control, "{}:{text},", text.len()).expect("baresip listens");
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read(&self.log).unwrap_or_default();
            eprintln!("-- printed by baresip\n{}", String::from_utf8_lossy(&log));
            eprintln!("-- events of baresip\n{}", self.said.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// Whether the machine has an address beside the loopback. Connecting a UDP socket sends nothing.
fn has_route() -> bool {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a port");
    socket.connect("192.0.2.1:9").is_ok()
}

/// Where the distribution keeps baresip's modules.
fn modules() -> String {
    let known = [
        "/usr/lib/baresip/modules",
        "/usr/lib/x86_64-linux-gnu/baresip/modules",
        "/usr/lib/aarch64-linux-gnu/baresip/modules",
    ];
    let found = known.into_iter().find(|path| Path::new(path).join("ctrl_tcp.so").is_file());
    found.expect("baresip's modules are where Debian puts them").to_string()
}
