//! Small clients: SIPp registering and as a third party, sipsak asking for options and registering.

use super::gateway::Gateway;
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
    sipsak(&["-vv", "-U", "-C", "sip:203@127.0.0.1:5099", "-x", "60", "-a", "tipring-demo", "-s", &account]);
    assert!(gateway.command(&["phones"]).contains("127.0.0.1:5099"), "{}", gateway.command(&["phones"]));
    assert!(gateway.stop().success());
}
