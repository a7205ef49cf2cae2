//! Kamailio beside the gateway: as proxy in front of it and behind it, with Record-Route.

use super::capture::{Capture, Captured};
use super::gateway::{Gateway, Place};
use super::sipp::{By, Callee, Caller};
use super::{send_signal, turn, wait_for};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where Kamailio is.
pub const ADDRESS: &str = "127.0.0.5";

/// Seconds for which Kamailio grants a registration: a test sees some of them pass.
const EXPIRES: u32 = 8;

/// A Kamailio that runs. Ended when dropped.
pub struct Kamailio {
    child: Child,
    pub port: u16,
}

/// Sends calls to whom is registered; others from the gateway to the callee, all others to the gateway. It
/// stays in the way of what follows. REGISTER is challenged and kept, for accounts with the password
/// `tipring-demo`.
const CONFIG: &str = r#"#!KAMAILIO
debug=2
log_stderror=yes
children=2
tcp_children=2
disable_tcp=no
auto_aliases=no
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/aarch64-linux-gnu/kamailio/modules/:/usr/lib/kamailio/modules/"
listen=udp:ADDRESS:PORT
listen=tcp:ADDRESS:PORT
loadmodule "kex.so"
loadmodule "corex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("rr", "enable_full_lr", 1)
modparam("tm", "fr_inv_timer", 60000)
modparam("auth", "nonce_expire", 300)
modparam("registrar", "min_expires", 1)
modparam("registrar", "max_expires", EXPIRES)

request_route {
    if (!mf_process_maxfwd_header("10")) {
        sl_send_reply("483", "Too Many Hops");
        exit;
    }
    if (is_method("OPTIONS") && uri == myself) {
        sl_send_reply("200", "OK");
        exit;
    }
    if (is_method("CANCEL")) {
        if (t_check_trans()) t_relay();
        exit;
    }
    if (has_totag()) {
        if (!loose_route() && !is_method("ACK")) {
            sl_send_reply("404", "No Route");
            exit;
        }
        t_relay();
        exit;
    }
    t_check_trans();
    if (is_method("REGISTER")) {
        if (!pv_www_authenticate("ADDRESS", "tipring-demo", "0")) {
            www_challenge("ADDRESS", "1");
            exit;
        }
        save("location");
        exit;
    }
    record_route();
    if (lookup("location")) {
        t_relay();
        exit;
    }
    if (src_ip == GATEWAY_IP) {
        $du = "sip:CALLEE;transport=" + $proto;
    } else {
        $du = "sip:GATEWAY;transport=" + $proto;
    }
    t_relay();
}
"#;

impl Kamailio {
    /// Starts it between the gateway there and what listens at its callee's port.
    pub fn start(gateway: &Place, callee_ip: &str) -> Kamailio {
        let port = gateway.proxy_port;
        let file = gateway.directory.join("kamailio.cfg");
        let config = CONFIG
            .replace("GATEWAY_IP", &gateway.sip.ip().to_string())
            .replace("GATEWAY", &gateway.sip.to_string())
            .replace("CALLEE", &format!("{callee_ip}:{}", gateway.callee_port))
            .replace("ADDRESS", ADDRESS)
            .replace("EXPIRES", &EXPIRES.to_string())
            .replace("PORT", &port.to_string());
        std::fs::write(&file, config).expect("written");
        let log = std::fs::File::create(gateway.directory.join("kamailio.log")).expect("a log file");
        let child = Command::new(program())
            // In the foreground, but with its processes; a little memory is enough.
            .args(["-DD", "-E", "-m", "16", "-M", "4", "-Y"])
            .arg(&gateway.directory)
            .arg("-f")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log)
            .spawn()
            .expect("kamailio runs");
        let mut kamailio = Kamailio { child, port };
        wait_for("kamailio to answer OPTIONS", Duration::from_secs(15), || {
            let ended = kamailio.child.try_wait().expect("a child");
            let log = || std::fs::read_to_string(gateway.directory.join("kamailio.log")).unwrap_or_default();
            assert!(ended.is_none(), "kamailio ended: {ended:?}\n{}", log());
            kamailio.answers().then_some(())
        });
        kamailio
    }

    fn answers(&self) -> bool {
        let socket = UdpSocket::bind("127.0.0.2:0").expect("a port");
        socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
        let local = socket.local_addr().expect("bound");
        let request = format!(
            "OPTIONS sip:{ADDRESS}:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK-{own}\r\nMax-Forwards: 9\r\n\
             From: <sip:p@{local}>;tag=p\r\nTo: <sip:{ADDRESS}>\r\nCall-ID: {own}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
            port = self.port,
            own = local.port(),
        );
        let _ = socket.send_to(request.as_bytes(), (ADDRESS, self.port));
        let mut buffer = [0; 2048];
        socket.recv_from(&mut buffer).is_ok_and(|(length, _)| buffer[..length].starts_with(b"SIP/2.0 200"))
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // The first process ends the others.
        send_signal("TERM", self.child.id());
        let _ = self.child.wait();
    }
}

/// Debian has it where only root looks.
fn program() -> &'static str {
    ["/usr/sbin/kamailio", "/usr/local/sbin/kamailio"]
        .into_iter()
        .find(|p| Path::new(p).is_file())
        .unwrap_or("kamailio")
}

/// Every request that came to this address had been through the proxy, which leaves its Via.
fn assert_none_past(captured: &Captured, to: &str) {
    let past = captured.sip(&format!("sip.Method && ip.dst == {to} && !(sip.Via contains \"{ADDRESS}\")"));
    assert!(past.is_empty(), "requests that bypassed the proxy: {past:?}");
}

#[test]
fn a_proxy_in_front_stays_in_the_way_of_a_call() {
    let _turn = turn();
    let gateway = Gateway::start("kamailio-in-front");
    let kamailio = Kamailio::start(&gateway.place(), super::sipp::CALLEE);
    let capture = Capture::start(&gateway, "packets");
    for by in [By::Udp, By::Tcp] {
        Caller::new(&gateway, "call", "600").through(ADDRESS, kamailio.port).by(by).calls(5, 10).run();
        // 106 hangs up after three seconds: our BYE takes the recorded route.
        Caller::new(&gateway, "call_ended_by_callee", "106").through(ADDRESS, kamailio.port).by(by).run();
    }
    Caller::new(&gateway, "busy", "104").through(ADDRESS, kamailio.port).run();
    Caller::new(&gateway, "cancel", "105").through(ADDRESS, kamailio.port).run();
    gateway.wait_until_idle(Duration::from_secs(5));
    let captured = capture.finish();
    captured.assert_well_formed();
    assert_none_past(&captured, super::sipp::CALLER);
}

#[test]
fn a_proxy_behind_stays_in_the_way_of_a_call() {
    let _turn = turn();
    let gateway = Gateway::start("kamailio-behind");
    let _kamailio = Kamailio::start(&gateway.place(), super::sipp::CALLEE);
    let capture = Capture::start(&gateway, "packets");
    let callee = Callee::start(&gateway, "callee", By::Udp);
    Caller::new(&gateway, "call", "720001").calls(5, 10).run();
    drop(callee);
    let callee = Callee::start(&gateway, "callee", By::Tcp);
    Caller::new(&gateway, "call", "730001").calls(5, 10).run();
    drop(callee);
    let callee = Callee::start(&gateway, "callee_hangs_up", By::Udp);
    Caller::new(&gateway, "call_ended_by_callee", "720001").calls(2, 10).run();
    drop(callee);
    gateway.wait_until_idle(Duration::from_secs(5));
    let captured = capture.finish();
    captured.assert_well_formed();
    assert_none_past(&captured, super::sipp::CALLEE);
}

/// A carrier at which we register; calls to its number 650 come to the contact that we gave it.
const CARRIER: &str = r#"
[trunk.carrier]
to = "sip:127.0.0.5:PROXY"
register = true
expires = "1m"
username = "650"
password = "tipring-demo"
realm = "127.0.0.5"

[[route]]
name = "from the carrier"
match = "650"
from = ["trunk/carrier"]
to = "service/echo"
"#;

#[test]
fn we_register_there_are_called_there_refresh_and_leave() {
    let _turn = turn();
    let place = Place::choose("kamailio-registrar");
    let kamailio = Kamailio::start(&place, super::sipp::CALLEE);
    let gateway = Gateway::start_at(place, CARRIER);
    let capture = Capture::start(&gateway, "packets");
    let state = || gateway.command(&["trunks"]);
    wait_for("the registration", Duration::from_secs(10), || state().contains("registered for").then_some(()));
    for by in [By::Udp, By::Tcp] {
        Caller::new(&gateway, "call", "650").through(ADDRESS, kamailio.port).by(by).calls(3, 10).run();
    }
    gateway.wait_until_idle(Duration::from_secs(5));
    // Two refreshes, each before the grant of a few seconds is over.
    std::thread::sleep(Duration::from_secs(u64::from(2 * EXPIRES)));
    assert!(state().contains("registered for"), "{}", state());
    Caller::new(&gateway, "call", "650").through(ADDRESS, kamailio.port).run();
    gateway.wait_until_idle(Duration::from_secs(5));
    let ours = gateway.sip.ip().to_string();
    assert!(gateway.stop().success());
    let captured = capture.finish();
    captured.assert_well_formed();
    let sent = captured.sip(&format!("sip.Method == REGISTER && ip.src == {ours}"));
    let granted = captured.sip("sip.CSeq.method == REGISTER && sip.Status-Code == 200");
    let refused = captured.sip("sip.CSeq.method == REGISTER && sip.Status-Code >= 300 && sip.Status-Code != 401");
    assert!(granted.len() >= 3 && sent.len() >= granted.len(), "{sent:#?}\n{granted:#?}");
    assert!(refused.is_empty(), "{refused:#?}");
    let left = captured.sip(&format!("sip.Method == REGISTER && ip.src == {ours} && sip.Expires == 0"));
    assert!(!left.is_empty(), "deregistered at the end: {sent:#?}");
}
