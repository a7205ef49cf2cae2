//! Telephone 105 of the running gateway, moved by `tipring handset`, calls baresip.

use super::baresip::Baresip;
use super::capture::{Capture, RtpPacket};
use super::gateway::Gateway;
use super::{signal, turn};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Samples of a piece of sound that is looked for: half a second.
const PIECE: usize = 4_000;

fn seconds_since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

/// Moves telephone 105.
fn hand(gateway: &Gateway, arguments: &[&str]) -> String {
    let mut all = vec!["handset", "station/105"];
    all.extend(arguments);
    gateway.command(&all)
}

/// Lets telephone 105 listen; gives what it heard and when the first sample of it was heard.
fn listen(gateway: &Gateway, seconds: &str, name: &str) -> (f64, Vec<f64>) {
    let file: PathBuf = gateway.directory.join(format!("{name}.wav"));
    let began = seconds_since_1970();
    print!("{name}: {}", hand(gateway, &["listen", seconds, file.to_str().expect("text")]));
    (began, signal::read_wav(&file))
}

#[test]
fn a_simulated_telephone_dials_baresip_and_both_hear_each_other() {
    let _turn = turn();
    let gateway = Gateway::start("handset");
    let speech = signal::probe(203, 60 * 8_000);
    let file = gateway.directory.join("baresip-speaks.wav");
    signal::write_wav(&file, &speech);
    let mut baresip = Baresip::start(&gateway, "203", &file);
    super::wait_for("baresip's registration", Duration::from_secs(20), || {
        let phones = gateway.command(&["phones"]);
        let row = phones.lines().find(|line| line.starts_with("phone/203")).expect("203 is listed");
        (!row.contains("not registered")).then_some(())
    });
    let capture = Capture::start(&gateway, "handset");

    hand(&gateway, &["off-hook"]);
    std::thread::sleep(Duration::from_millis(300));
    let (_, dial_tone) = listen(&gateway, "1", "dial-tone");
    for hertz in [350.0, 440.0] {
        let found = signal::frequency(&dial_tone, hertz - 20.0, hertz + 20.0);
        let level = signal::tone_dbm0(&dial_tone, found);
        println!("dial tone: {found:.1} Hz at {level:.1} dBm0");
        assert!((found - hertz).abs() < 1.0 && (level + 13.0).abs() < 0.7, "{found} Hz at {level} dBm0");
    }

    hand(&gateway, &["dial", "203"]);
    baresip.wait_for("CALL_INCOMING");
    // Ringback is two seconds of sound and four of silence: six seconds show both.
    let (_, ringback) = listen(&gateway, "6", "ringback");
    let loud = ringback.chunks(400).filter(|c| signal::level_dbm0(c) > -30.0).count() as f64 * 0.05;
    println!("ringback: {loud:.2} s of 6 s are loud");
    assert!((1.5..2.6).contains(&loud), "{loud} s of ringback in 6 s");
    let sounding: Vec<f64> =
        ringback.chunks(400).filter(|c| signal::level_dbm0(c) > -30.0).flatten().copied().collect();
    for hertz in [440.0, 480.0] {
        let level = signal::tone_dbm0(&sounding[..PIECE.min(sounding.len())], hertz);
        assert!(level > -25.0, "{hertz} Hz of ringback at {level} dBm0");
    }

    baresip.command("accept");
    baresip.wait_for("CALL_ESTABLISHED");
    std::thread::sleep(Duration::from_secs(1));
    let (heard_at, heard) = listen(&gateway, "3", "heard-by-105");

    let words = signal::probe(105, 2 * 8_000);
    let words_file = gateway.directory.join("105-speaks.wav");
    signal::write_wav(&words_file, &words);
    let spoken_at = seconds_since_1970();
    hand(&gateway, &["speak", words_file.to_str().expect("text")]);
    std::thread::sleep(Duration::from_secs(4));
    hand(&gateway, &["on-hook"]);
    baresip.wait_for("CALL_CLOSED");
    gateway.wait_until_idle(Duration::from_secs(10));

    let captured = capture.finish();
    captured.assert_well_formed();
    captured.assert_streams_whole(2);
    let packets = captured.rtp();
    let baresip_is_there = |port: u16| (19_000..=19_100).contains(&port);
    let to_baresip: Vec<RtpPacket> = packets.iter().filter(|p| baresip_is_there(p.to.1)).cloned().collect();
    let from_baresip: Vec<RtpPacket> = packets.iter().filter(|p| baresip_is_there(p.from.1)).cloned().collect();
    baresip_is_heard(heard_at, &heard, &speech, &from_baresip);
    telephone_is_heard(spoken_at, &words, &to_baresip);
    drop(baresip);
    let recorded = std::fs::read_dir(gateway.directory.join("baresip")).expect("a directory");
    let recorded: Vec<PathBuf> = recorded.filter_map(|e| Some(e.ok()?.path())).collect();
    let decoded = recorded.iter().find(|p| p.to_string_lossy().ends_with("-dec.wav")).expect("baresip records");
    let words: Vec<f64> = words.into_iter().map(f64::from).collect();
    let (_, alike) = signal::find(&words[PIECE..2 * PIECE], &signal::read_wav(decoded));
    println!("in baresip's own recording: likeness {alike:.3}");
    assert!(alike.abs() > 0.8, "likeness {alike}");
    assert!(gateway.stop().success());
}

/// What 105 heard is what baresip spoke, and came soon after baresip sent it.
fn baresip_is_heard(heard_at: f64, heard: &[f64], speech: &[i16], sent: &[RtpPacket]) {
    let speech: Vec<f64> = speech.iter().map(|&s| f64::from(s)).collect();
    let piece = &heard[12_000..12_000 + PIECE];
    let (place, alike) = signal::find(piece, &speech[..30 * 8_000]);
    assert!(alike.abs() > 0.8, "105 hears baresip: likeness {alike:.3}");
    let (first, _) = signal::find(&signal::sound_of(sent)[..PIECE], &speech[..30 * 8_000]);
    let packet = place.checked_sub(first).expect("heard after it was sent") / 160;
    let delay_ms = (heard_at + 12_000.0 / signal::RATE - sent[packet].time) * 1_000.0;
    println!("baresip to 105: likeness {alike:.3}, {delay_ms:.0} ms from its packet to the ear");
    assert!((0.0..400.0).contains(&delay_ms), "{delay_ms} ms");
}

/// What baresip got is what 105 spoke, and was sent soon after it was spoken.
fn telephone_is_heard(spoken_at: f64, words: &[i16], received: &[RtpPacket]) {
    let words: Vec<f64> = words.iter().map(|&s| f64::from(s)).collect();
    let sound = signal::sound_of(received);
    let (place, alike) = signal::find(&words[PIECE..2 * PIECE], &sound);
    assert!(alike.abs() > 0.8, "baresip hears 105: likeness {alike:.3}");
    let delay_ms = (received[place / 160].time - spoken_at - PIECE as f64 / signal::RATE) * 1_000.0;
    println!("105 to baresip: likeness {alike:.3}, {delay_ms:.0} ms from the mouth to the packet");
    assert!((0.0..400.0).contains(&delay_ms), "{delay_ms} ms");
}
