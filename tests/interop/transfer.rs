//! Transfers ordered by baresip.

use super::baresip::Baresip;
use super::capture::Capture;
use super::gateway::Gateway;
use super::{signal, turn, wait_for};
use std::time::Duration;

#[test]
fn baresip_transfers_another_one_to_a_telephone() {
    let _turn = turn();
    let gateway = Gateway::start("baresip-transfers");
    let capture = Capture::start(&gateway, "packets");
    let file = gateway.directory.join("silence.wav");
    signal::write_wav(&file, &[0; 30 * 8_000]);
    let mut caller = Baresip::start_in("caller", &gateway, "203", &file, "udp");
    let mut office = Baresip::start_in("office", &gateway, "204", &file, "tcp");
    caller.wait_until_registered(&gateway, "203");
    office.wait_until_registered(&gateway, "204");

    caller.command_with("dial", &format!("sip:204@{}", gateway.sip));
    office.wait_for("CALL_INCOMING");
    office.command("accept");
    office.wait_for("CALL_ESTABLISHED");
    caller.wait_for("CALL_ESTABLISHED");

    // 102 answers after a second and sends a tone; whoever transferred is told, and released.
    office.command_with("transfer", &format!("sip:102@{}", gateway.sip));
    office.wait_for("CALL_CLOSED");
    wait_for("the call of the two others", Duration::from_secs(5), || {
        let rows = gateway.command(&["calls", "--json"]);
        (rows.contains("phone/203") && rows.contains("station/102")).then_some(())
    });
    std::thread::sleep(Duration::from_millis(1_000));
    caller.command("hangup");
    caller.wait_for("CALL_CLOSED");
    gateway.wait_until_idle(Duration::from_secs(5));

    let captured = capture.finish();
    captured.assert_well_formed();
    let told = captured.sip("sip.Method == \"NOTIFY\" && sip.Event contains \"refer\"");
    assert!(told.len() >= 3, "trying, ringing, answered: {told:?}");
    let tone: Vec<_> = captured.rtp().into_iter().filter(|p| p.from.0 == "127.0.0.1").collect();
    let last: Vec<_> = tone.iter().rev().take(40).rev().cloned().collect();
    let hertz = signal::frequency(&signal::sound_of(&last), 300.0, 3_400.0);
    println!("the transferred one hears {hertz:.1} Hz");
    assert!(gateway.stop().success());
}
