//! SIPp calls the numbers of the demo exchange, by UDP and by TCP.

use super::capture::{Capture, RtpPacket};
use super::gateway::Gateway;
use super::sipp::{By, CALLER, Callee, Caller};
use super::{signal, turn};
use std::time::Duration;

/// Ordinary calls take a few seconds to end on every side.
const IDLE: Duration = Duration::from_secs(10);

/// Packets that the caller got on its media port, the first of a call left out of judgement.
fn heard_at(packets: &[RtpPacket], port: u16) -> Vec<RtpPacket> {
    packets.iter().filter(|p| p.to == (CALLER.to_string(), port)).cloned().collect()
}

#[test]
fn options_are_answered() {
    let _turn = turn();
    let gateway = Gateway::start("options");
    for by in [By::Udp, By::Tcp] {
        Caller::new(&gateway, "options", "ping").by(by).run();
    }
    assert!(gateway.stop().success(), "it ends well when told to");
}

#[test]
fn telephones_101_to_106_behave_as_promised() {
    let _turn = turn();
    let gateway = Gateway::start("telephones");
    let capture = Capture::start(&gateway, "telephones");
    for by in [By::Udp, By::Tcp] {
        // Each telephone can be called again as soon as its last call is over.
        Caller::new(&gateway, "call", "101").by(by).lasting_ms(1_000).run();
        Caller::new(&gateway, "call", "102").by(by).lasting_ms(1_000).run();
        Caller::new(&gateway, "cancel", "103").by(by).run();
        Caller::new(&gateway, "busy", "104").by(by).run();
        Caller::new(&gateway, "cancel", "105").by(by).run();
        Caller::new(&gateway, "call_ended_by_callee", "106").by(by).run();
        Caller::new(&gateway, "unknown", "199").by(by).run();
        gateway.wait_until_idle(IDLE);
    }
    let captured = capture.finish();
    captured.assert_well_formed();
    captured.assert_streams_whole(6);
    assert!(gateway.stop().success());
}

#[test]
fn the_tone_of_102_comes_at_its_frequency_and_level() {
    let _turn = turn();
    let gateway = Gateway::start("tone");
    let capture = Capture::start(&gateway, "tone");
    Caller::new(&gateway, "call", "102").lasting_ms(3_000).media_port(6_100).run();
    let captured = capture.finish();
    captured.assert_well_formed();
    captured.assert_streams_whole(1);

    let packets = heard_at(&captured.rtp(), 6_100);
    let sound = signal::sound_of(&packets);
    let seconds = sound.len() as f64 / signal::RATE;
    assert!(seconds > 2.0, "{seconds:.2} s of sound");
    let steady = &sound[sound.len() - 14_000..sound.len() - 2_000];
    let (hertz, dbm0) = (signal::frequency(steady, 300.0, 3_400.0), signal::level_dbm0(steady));
    println!("102: {hertz:.1} Hz at {dbm0:.2} dBm0 in {} packets", packets.len());
    assert!((hertz - 1004.0).abs() < 1.0, "{hertz} Hz");
    assert!((dbm0 + 10.0).abs() < 0.5, "{dbm0} dBm0");
    let rest = 10f64.powf(dbm0 / 10.0) - 10f64.powf(signal::tone_dbm0(steady, hertz) / 10.0);
    assert!(rest < 10f64.powf((dbm0 - 25.0) / 10.0), "the tone is pure: noise of G.711 is 38 dB below");
}

#[test]
fn the_echo_test_gives_every_packet_back() {
    let _turn = turn();
    let gateway = Gateway::start("echo");
    let speech = gateway.directory.join("speech.ulaw");
    let bytes: Vec<u8> = signal::probe(600, 24_000).iter().map(|s| (s >> 4) as u8 | 1).collect();
    std::fs::write(&speech, &bytes).expect("written");
    let capture = Capture::start(&gateway, "echo");
    Caller::new(&gateway, "call_with_sound", "600").lasting_ms(4_000).media_port(6_200).run();
    let captured = capture.finish();
    captured.assert_well_formed();
    captured.assert_streams_whole(2);

    let packets = captured.rtp();
    let payload = |packets: Vec<RtpPacket>| packets.into_iter().flat_map(|p| p.payload).collect::<Vec<u8>>();
    let sent = payload(packets.iter().filter(|p| p.from == (CALLER.to_string(), 6_200)).cloned().collect());
    let back = payload(heard_at(&packets, 6_200));
    assert!(sent.len() >= 16_000, "SIPp sent {} bytes", sent.len());
    assert_eq!(back, sent, "what is sent comes back");
}

#[test]
fn the_milliwatt_is_1004_hertz_at_0_dbm0() {
    let _turn = turn();
    let gateway = Gateway::start("milliwatt");
    let capture = Capture::start(&gateway, "milliwatt");
    Caller::new(&gateway, "call", "601").lasting_ms(2_000).media_port(6_300).run();
    let captured = capture.finish();
    captured.assert_streams_whole(1);
    let sound = signal::sound_of(&heard_at(&captured.rtp(), 6_300));
    assert!(sound.len() > 12_000, "{} samples", sound.len());
    let steady = &sound[2_000..12_000];
    let (hertz, dbm0) = (signal::frequency(steady, 300.0, 3_400.0), signal::level_dbm0(steady));
    println!("601: {hertz:.1} Hz at {dbm0:.2} dBm0");
    assert!((hertz - 1004.0).abs() < 1.0 && dbm0.abs() < 0.3, "{hertz} Hz at {dbm0} dBm0");
}

#[test]
fn either_side_of_a_relayed_call_may_hang_up() {
    let _turn = turn();
    let gateway = Gateway::start("hang-up");
    let capture = Capture::start(&gateway, "hang-up");
    for (by, number) in [(By::Udp, "700001"), (By::Tcp, "710001")] {
        {
            let _callee = Callee::start(&gateway, "callee", by);
            Caller::new(&gateway, "call", number).by(by).run();
        }
        gateway.wait_until_idle(IDLE);
        {
            let _callee = Callee::start(&gateway, "callee_hangs_up", by);
            Caller::new(&gateway, "call_ended_by_callee", number).by(by).run();
            gateway.wait_until_idle(IDLE);
        }
    }
    capture.finish().assert_well_formed();
}

#[test]
fn running_calls_are_ended_when_the_gateway_is_told_to_end() {
    let _turn = turn();
    let gateway = Gateway::start("drain");
    std::thread::scope(|scope| {
        let caller = scope.spawn(|| Caller::new(&gateway, "call_ended_by_callee", "600").run());
        super::wait_for("the call", IDLE, || (gateway.calls() == 1).then_some(()));
        std::thread::sleep(Duration::from_millis(300));
        gateway.command(&["drain"]);
        caller.join().expect("the caller got BYE");
    });
    assert!(gateway.stop().success());
}
