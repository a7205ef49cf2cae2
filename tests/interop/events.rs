//! Lamps, presence, message waiting and texts, with SIPp and baresip as watchers and writers.

use super::baresip::Baresip;
use super::capture::Capture;
use super::gateway::{Gateway, Place};
use super::sipp::{By, CALLEE, Callee, Caller};
use super::{signal, turn};
use std::time::Duration;

/// A telephone beside those of the demo exchange: SIPp plays it.
const PLAYED: &str = r#"
[phone.205]
password = "tipring-demo"
digest = ["MD5"]
"#;

/// Registers the callee that SIPp plays.
fn register_callee(gateway: &Gateway, account: &str) {
    let contact = format!("<sip:{account}@{CALLEE}:{}>", gateway.callee_port);
    Caller::new(gateway, "register_at", account).key("contacts", contact).run();
}

#[test]
fn sipp_watches_the_lamp_of_a_telephone_through_a_call() {
    let _turn = turn();
    let gateway = Gateway::start("watches-dialog");
    let capture = Capture::start(&gateway, "packets");
    for by in [By::Udp, By::Tcp] {
        let watcher = Caller::new(&gateway, "watch_dialog", "101").by(by).media_port(6_400).start();
        std::thread::sleep(Duration::from_millis(200)); // it subscribes before the call begins
        Caller::new(&gateway, "call", "101").lasting_ms(300).run();
        watcher.finish();
    }
    gateway.wait_until_idle(Duration::from_secs(5));
    let captured = capture.finish();
    captured.assert_well_formed();
    assert!(
        !captured.sip("sip.Method == \"NOTIFY\" && frame contains \"<state>confirmed\"").is_empty(),
        "dialog-info is XML"
    );
    assert!(gateway.stop().success());
}

#[test]
fn sipp_watches_the_presence_of_one_who_registers_and_publishes() {
    let _turn = turn();
    let gateway = Gateway::start_at(Place::choose("watches-presence"), PLAYED);
    let capture = Capture::start(&gateway, "packets");
    let watcher = Caller::new(&gateway, "watch_presence", "205").media_port(6_400).start();
    std::thread::sleep(Duration::from_millis(200)); // the watcher hears "closed" first
    register_callee(&gateway, "205");
    Caller::new(&gateway, "publish_presence", "205").run();
    watcher.finish();
    capture.finish().assert_well_formed();
    assert!(gateway.stop().success());
}

#[test]
fn texts_wait_for_a_phone_that_registers_later() {
    let _turn = turn();
    let gateway = Gateway::start_at(Place::choose("texts-wait"), PLAYED);
    let capture = Capture::start(&gateway, "packets");
    Caller::new(&gateway, "text_kept", "205").calls(3, 100).run();
    let phone = Callee::start(&gateway, "takes_text", By::Udp);
    register_callee(&gateway, "205");
    let captured = wait_for_texts(capture, 3);
    phone.finish();
    captured.assert_well_formed();
    // Nothing waits any more: the next one goes there at once.
    assert!(gateway.stop().success());
}

/// The capture, once it surely holds this many texts that the callee took.
fn wait_for_texts(capture: Capture, texts: usize) -> super::capture::Captured {
    std::thread::sleep(Duration::from_millis(500));
    let captured = capture.finish();
    let taken =
        captured.sip(&format!("ip.src == {CALLEE} && sip.Status-Code == 200 && sip.CSeq.method == \"MESSAGE\""));
    assert_eq!(taken.len(), texts, "{taken:?}");
    captured
}

#[test]
fn baresip_watches_a_friend_and_writes() {
    let _turn = turn();
    let gateway = Gateway::start_at(Place::choose("baresip-events"), PLAYED);
    let capture = Capture::start(&gateway, "packets");
    let phone = Callee::start(&gateway, "takes_text", By::Udp);
    let file = gateway.directory.join("silence.wav");
    signal::write_wav(&file, &[0; 8_000]);
    let mut baresip = Baresip::start_watching(&gateway, "204", &file);
    baresip.wait_until_registered(&gateway, "204");
    std::thread::sleep(Duration::from_millis(1_200)); // it subscribes a second after it has begun
    register_callee(&gateway, "205");
    baresip.wait_for_text("Online");

    Caller::new(&gateway, "text", "204").run();
    baresip.command_with("message", "hello from baresip");
    let captured = wait_for_texts(capture, 1);
    phone.finish();
    captured.assert_well_formed();
    assert!(gateway.stop().success());
}
