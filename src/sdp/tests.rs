//! Descriptions in, agreements out; no bytes make it panic.

use super::*;
use proptest::prelude::*;
use std::net::Ipv4Addr;

fn ours(codecs: &[Codec]) -> Capabilities {
    Capabilities {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 20_000,
        codecs: codecs.to_vec(),
        events: true,
        session_id: 7,
        version: 1,
    }
}

fn both() -> Capabilities {
    ours(&[Codec::Pcmu, Codec::Pcma])
}

/// A description with the audio line and attributes given.
fn theirs(media: &str) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=x\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n{media}")
}

fn answered(media: &str) -> (String, Agreed) {
    answer(theirs(media).as_bytes(), &both()).expect("an answer")
}

#[test]
fn our_offer_names_both_laws_and_the_digits() {
    let expected = "v=0\r\no=- 7 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
        m=audio 20000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";
    assert_eq!(offer(&both()), expected);
}

#[test]
fn our_offer_is_answered_by_ourselves() {
    let (text, theirs) = answer(offer(&both()).as_bytes(), &ours(&[Codec::Pcma])).expect("an answer");
    let mine = accept(text.as_bytes(), &both()).expect("accepted");
    assert_eq!(theirs, mine);
    assert_eq!(
        (mine.codec, mine.payload_type, mine.event_payload_type.map(u8::from)),
        (Codec::Pcma, Codec::Pcma.payload_type(), Some(101))
    );
    assert!(mine.sends && mine.receives);
    assert_eq!(mine.remote.to_string(), "127.0.0.1:20000");
}

#[test]
fn an_ipv6_address_is_written_and_read() {
    let caps = Capabilities { address: "2001:db8::1".parse().expect("an address"), ..both() };
    let (_, agreed) = answer(offer(&caps).as_bytes(), &both()).expect("an answer");
    assert_eq!(agreed.remote.to_string(), "[2001:db8::1]:20000");
}

#[test]
fn the_offer_decides_the_order_and_the_payload_types() {
    let (text, agreed) = answered(
        "m=audio 4000 RTP/AVP 18 97 0 96\r\na=rtpmap:97 pcma/8000\r\na=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-11,66\r\n",
    );
    assert_eq!((agreed.codec, agreed.payload_type.value()), (Codec::Pcma, 97));
    assert_eq!(agreed.event_payload_type.map(u8::from), Some(96));
    assert!(text.contains("m=audio 20000 RTP/AVP 97 96\r\n"), "{text}");
    assert!(text.contains("a=rtpmap:97 PCMA/8000\r\n") && text.contains("a=fmtp:96 0-11\r\n"), "{text}");
}

#[test]
fn every_offered_medium_is_answered_and_only_one_is_taken() {
    let (text, agreed) = answered(
        "m=video 4000 RTP/AVP 31\r\nm=audio 4002 RTP/SAVP 0\r\nm=audio 0 RTP/AVP 0\r\nm=audio 4006/2 RTP/AVP 0\r\n\
         m=audio 4008 RTP/AVP 8\r\nm=image 5000 udptl t38\r\n",
    );
    assert_eq!(agreed.remote.port(), 4006);
    let lines: Vec<&str> = text.lines().filter(|l| l.starts_with("m=")).collect();
    let expected = [
        "m=video 0 RTP/AVP 31",
        "m=audio 0 RTP/SAVP 0",
        "m=audio 0 RTP/AVP 0",
        "m=audio 20000 RTP/AVP 0",
        "m=audio 0 RTP/AVP 8",
        "m=image 0 udptl t38",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_further_offer_keeps_every_medium_in_its_place() {
    let (sent, _) = answered("m=video 4000 RTP/AVP 31\r\nm=audio 4002 RTP/AVP 8\r\nm=image 9 udptl t38\r\n");
    let again = offer_again(&sent, &Capabilities { version: 2, ..both() }, Direction::SendRecv);
    let lines: Vec<&str> = again.lines().filter(|l| l.starts_with("m=")).collect();
    assert_eq!(lines, ["m=video 0 RTP/AVP 31", "m=audio 20000 RTP/AVP 0 8 101", "m=image 0 udptl t38"]);
    assert!(again.starts_with("v=0\r\no=- 7 2 "), "{again}");
    let (reply, _) = answer(again.as_bytes(), &both()).expect("an answer");
    assert_eq!(accept(reply.as_bytes(), &both()).expect("accepted").codec, Codec::Pcmu);
    assert_eq!(offer_again("nonsense", &both(), Direction::SendRecv), offer(&both()));
}

#[test]
fn directions_are_mirrored() {
    for (attribute, sends, receives, mine) in [
        ("", true, true, "sendrecv"),
        ("a=sendrecv\r\n", true, true, "sendrecv"),
        ("a=sendonly\r\n", false, true, "recvonly"),
        ("a=recvonly\r\n", true, false, "sendonly"),
        ("a=inactive\r\n", false, false, "inactive"),
    ] {
        let (text, agreed) = answered(&format!("m=audio 4000 RTP/AVP 0\r\n{attribute}"));
        assert_eq!((agreed.sends, agreed.receives), (sends, receives), "{attribute}");
        assert!(text.ends_with(&format!("a={mine}\r\n")), "{text}");
    }
    let session_level = theirs("m=audio 4000 RTP/AVP 0\r\n").replace("t=0 0\r\n", "t=0 0\r\na=sendonly\r\n");
    let (_, agreed) = answer(session_level.as_bytes(), &both()).expect("an answer");
    assert!(!agreed.sends && agreed.receives);
}

#[test]
fn the_old_hold_stops_what_we_send() {
    let (text, agreed) = answered("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n");
    assert!(!agreed.sends && agreed.receives);
    assert!(text.ends_with("a=recvonly\r\n"), "{text}");
}

#[test]
fn we_can_hold_and_stay_on_hold() {
    let text = offer_with(&both(), Direction::SendOnly);
    let (text, agreed) = answer_with(text.as_bytes(), &both(), Direction::SendOnly).expect("an answer");
    assert!(!agreed.sends && !agreed.receives);
    assert!(text.ends_with("a=inactive\r\n"), "{text}");
}

#[test]
fn digits_need_both_sides() {
    let media = "m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";
    assert_eq!(answered(media).1.event_payload_type.map(u8::from), Some(101), "0-15 when nothing is said");
    assert_eq!(answered(&format!("{media}a=fmtp:101 66,70\r\n")).1.event_payload_type, None, "no digit in common");
    assert_eq!(
        answered("m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/16000\r\n").1.event_payload_type,
        None
    );
    let silent = Capabilities { events: false, ..both() };
    let (text, agreed) = answer(theirs(media).as_bytes(), &silent).expect("an answer");
    assert_eq!(agreed.event_payload_type, None);
    assert!(!text.contains("telephone-event") && !offer(&silent).contains("telephone-event"));
}

#[test]
fn packet_times_are_whole_blocks_within_bounds() {
    for (attributes, expected) in [
        ("", 20),
        ("a=ptime:30\r\n", 30),
        ("a=ptime:15\r\n", 10),
        ("a=ptime:0\r\n", 20),
        ("a=ptime:99999999999999\r\n", 20),
        ("a=ptime:400\r\n", 60),
        ("a=ptime:40\r\na=maxptime:20\r\n", 20),
        ("a=maxptime:10\r\n", 10),
        ("a=ptime:twenty\r\n", 20),
    ] {
        let (text, agreed) = answered(&format!("m=audio 4000 RTP/AVP 0\r\n{attributes}"));
        assert_eq!(agreed.ptime_ms, expected, "{attributes}");
        assert!(text.contains(&format!("a=ptime:{expected}\r\n")), "{text}");
    }
}

#[test]
fn what_cannot_be_agreed_to_is_488_and_what_cannot_be_read_is_400() {
    for (media, status) in [
        ("", 488),
        ("m=audio 4000 RTP/AVP 18\r\n", 488),
        ("m=audio 0 RTP/AVP 0\r\n", 488),
        ("m=video 4000 RTP/AVP 0\r\n", 488),
        ("m=audio 4000 RTP/SAVP 0\r\n", 488),
        ("m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 L16/44100\r\n", 488),
        ("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 phone.example.com\r\n", 488),
        ("m=audio 4000 RTP/AVP 300\r\n", 488),
        ("m=audio 4000 RTP/AVP\r\n", 488),
        ("m=audio 70000 RTP/AVP 0\r\n", 400),
        ("m=audio 4000/99999999999 RTP/AVP 0\r\n", 400),
        ("m=audio\r\n", 400),
        ("no line\r\n", 400),
        (&"a=x\r\n".repeat(2_000), 400),
        (&"m=audio 4000 RTP/AVP 0\r\n".repeat(65), 400),
    ] {
        let rejected = answer(theirs(media).as_bytes(), &both()).expect_err(media);
        assert_eq!(rejected.status, status, "{media}: {rejected}");
    }
    assert_eq!(answer(b"", &both()).expect_err("empty").status, 400);
    assert_eq!(answer(b"v=1\r\n", &both()).expect_err("version").status, 400);
    assert_eq!(accept(theirs("m=audio 0 RTP/AVP 0\r\n").as_bytes(), &both()).expect_err("refused").status, 488);
    assert_eq!(accept(theirs("").as_bytes(), &both()).expect_err("no medium").status, 488);
}

#[test]
fn unknown_lines_stay_in_their_places() {
    let text = theirs(
        "k=clear:x\r\nm=audio 4000/2 RTP/AVP 0 8\r\ni=caf\u{e9}\r\nz=1 2\r\na=unknown:thing\r\na=rtpmap:0 PCMU/8000\r\nm=text 9 TCP/x y\r\n",
    );
    let description = Description::parse(text.as_bytes()).expect("a description");
    assert_eq!(String::from_utf8(description.print()).expect("text"), text);
    let mut latin = text.into_bytes();
    latin.extend_from_slice(b"i=caf\xe9\r\n");
    assert_eq!(Description::parse(&latin).expect("a description").print(), latin);
}

#[test]
fn line_feeds_alone_are_line_ends_too() {
    let text = theirs("m=audio 4000 RTP/AVP 0\r\n");
    let bare = text.replace('\r', "");
    assert_eq!(Description::parse(text.as_bytes()), Description::parse(bare.as_bytes()));
}

fn a_line() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]=[ -~]{0,20}",
        "m=(audio|video|x) [0-9]{1,6}(/[0-9]{1,3})?( RTP/AVP)?( [0-9]{1,4}){0,4}",
        "a=(rtpmap|fmtp):[0-9]{1,4} (PCMU|PCMA|telephone-event)?(/[0-9]{1,12}){0,2}",
        "a=fmtp:[0-9]{1,3} [0-9]{1,4}(-[0-9]{1,4})?(,[0-9]{1,4}(-[0-9]{1,4})?){0,3}",
        "a=(ptime|maxptime):[0-9]{0,20}",
        "a=(sendonly|recvonly|inactive|sendrecv)",
        "c=IN IP4 [0-9]{1,3}\\.[0-9]\\.[0-9]\\.[0-9](/[0-9]{1,3})?",
        "\\PC{0,20}",
    ]
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Description::parse(&bytes);
        let _ = answer(&bytes, &both());
        let _ = accept(&bytes, &both());
    }

    #[test]
    fn answers_have_as_many_media_as_offers_and_can_be_read(lines in prop::collection::vec(a_line(), 0..14)) {
        let text = theirs(&(lines.join("\r\n") + "\r\n"));
        if let Ok((reply, agreed)) = answer(text.as_bytes(), &both()) {
            let offered = Description::parse(text.as_bytes()).expect("it was answered");
            let reply = Description::parse(reply.as_bytes()).expect("our own answer");
            prop_assert_eq!(offered.media.len(), reply.media.len());
            prop_assert_eq!(reply.media.iter().filter(|m| m.port != 0).count(), 1);
            prop_assert!(agreed.ptime_ms % 10 == 0 && (10..=60).contains(&agreed.ptime_ms));
        }
    }

    #[test]
    fn print_and_parse_agree(lines in prop::collection::vec(a_line(), 0..14)) {
        if let Ok(description) = Description::parse(theirs(&(lines.join("\r\n") + "\r\n")).as_bytes()) {
            prop_assert_eq!(Description::parse(&description.print()), Ok(description));
        }
    }
}
