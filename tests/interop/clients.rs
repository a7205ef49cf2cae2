//! Small clients: SIPp registering and as a third party, sipsak asking for options and registering.

use super::baresip::Baresip;
use super::gateway::{Gateway, Place};
use super::signal;
use super::sipp::{By, Caller, third_party};
use super::{capture::Capture, turn};
use std::process::Command;
use std::time::Duration;

#[test]
fn sipp_registers_with_md5_by_udp_and_tcp() {
    let _turn = turn();
    let gateway = Gateway::start("sipp-registers");
    for by in [By::Udp, By::Tcp] {
        // 201 is offered SHA-256 as well, in a challenge of its own, and SIPp takes the one it knows.
        Caller::new(&gateway, "register", "203").by(by).calls(3, 10).run();
    }
    assert!(gateway.stop().success());
}

#[test]
fn sipp_as_a_third_party_joins_two_numbers() {
    let _turn = turn();
    let gateway = Gateway::start("third-party");
    let capture = Capture::start(&gateway, "packets");
    third_party(&gateway, "600", "601", 3);
    gateway.wait_until_idle(Duration::from_secs(5));
    capture.finish().assert_well_formed();
}

/// A phone with an MD5 account registers, calls, holds the call and takes it back.
fn baresip_holds(gateway: &Gateway, transport: &str) {
    let file = gateway.directory.join("baresip-speaks.wav");
    signal::write_wav(&file, &signal::probe(204, 30 * 8_000));
    let mut baresip = Baresip::start_by(gateway, "204", &file, transport);
    super::wait_for("baresip's registration", Duration::from_secs(20), || {
        let phones = gateway.command(&["phones"]);
        let row = phones.lines().find(|line| line.starts_with("phone/204")).expect("204 is listed");
        (!row.contains("not registered")).then_some(())
    });
    baresip.command_with("dial", &format!("sip:600@{};transport={transport}", gateway.address_for(transport)));
    baresip.wait_for("CALL_ESTABLISHED");
    std::thread::sleep(Duration::from_millis(500));
    for command in ["hold", "resume"] {
        baresip.command(command);
        std::thread::sleep(Duration::from_millis(800));
        assert_eq!(gateway.calls(), 1, "the call outlives {command}");
    }
    baresip.command("hangup");
    gateway.wait_until_idle(Duration::from_secs(10));
}

#[test]
fn baresip_by_tcp_holds_a_call_and_takes_it_back() {
    let _turn = turn();
    let gateway = Gateway::start("baresip-holds");
    let capture = Capture::start(&gateway, "packets");
    baresip_holds(&gateway, "tcp");
    let captured = capture.finish();
    captured.assert_well_formed();
    // "If the offerer wishes to put the stream on hold it marks it as sendonly" (RFC 3264 8.4).
    let held = captured.sip("sip.Method == \"INVITE\" && sdp.media_attr == \"sendonly\"");
    let agreed = captured.sip("sip.Status-Code == 200 && sdp.media_attr == \"recvonly\"");
    assert!(!held.is_empty() && !agreed.is_empty(), "hold: {held:?}, answered {agreed:?}");
    assert!(gateway.stop().success());
}

#[test]
fn baresip_by_tls_holds_a_call_and_takes_it_back() {
    let _turn = turn();
    let gateway = Gateway::start_at(Place::choose("baresip-tls").with_tls(), "");
    baresip_holds(&gateway, "tls");
    assert!(gateway.stop().success());
}

fn sipsak(arguments: &[&str]) {
    let output = Command::new("sipsak").args(arguments).output().expect("sipsak runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "sipsak {arguments:?}: {}\n{text}\n{errors}", output.status);
}

#[test]
fn sipsak_gets_options_answered_and_registers() {
    let _turn = turn();
    let gateway = Gateway::start("sipsak");
    let (ping, account) = (format!("sip:ping@{}", gateway.sip), format!("sip:203@{}", gateway.sip));
    sipsak(&["-vv", "-s", &ping]);
    sipsak(&["-vv", "-E", "tcp", "-s", &ping]);
    sipsak(&[
        "-vv",
        "-U",
        "-C",
        "sip:203@127.0.0.1:5099",
        "-x",
        "60",
        "-a",
        "tipring-demo",
        "-u",
        "203",
        "-s",
        &account,
    ]);
    assert!(gateway.command(&["phones"]).contains("127.0.0.1:5099"), "{}", gateway.command(&["phones"]));
    assert!(gateway.stop().success());
}
