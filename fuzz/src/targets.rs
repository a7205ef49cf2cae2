//! What is fuzzed: functions that take any bytes and must come back. `cargo fuzz` calls them with
//! what it grows, and `tests/fuzz.rs` with the saved corpus and with bytes from a seed.

use g7xx::comfort_noise::{Analyser, Generator, MAX_PAYLOAD};
use g7xx::conceal::{DelayedNarrow, Narrow, Wide};
use g7xx::g711::{self, Law};
use g7xx::g722::{self, ConcealingDecoder};
use g7xx::g729::{self, FrameInput, Variant};
use g7xx::plc;
use tipring::config::{Config, NoReader};
use tipring::dialplan::Pattern;
use tipring::isup::{self, EncodeError, Message, compatibility};
use tipring::media::{JitterBounds, JitterBuffer, Statistics};
use tipring::rtp;
use tipring::sdp::Description;
use tipring::sip::headers::AuthParams;
use tipring::sip::parser::{Refusal, parse};
use tipring::sip::{CSeq, NameAddr, Reason, Uri, Via};

/// A name, which is also that of the corpus folder, and the function.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 14] = [
    ("sip", sip),
    ("sip_headers", sip_headers),
    ("sdp", sdp),
    ("rtp", rtp),
    ("config", config),
    ("isup", isup),
    ("m3ua", m3ua),
    ("jitter", jitter),
    ("g711", g711),
    ("g722", g722),
    ("g729_decode", g729_decode),
    ("g729_encode", g729_encode),
    ("conceal", conceal),
    ("comfort_noise", comfort_noise),
];

/// A datagram: what is read can be printed, and what was printed is read again.
pub fn sip(bytes: &[u8]) {
    match parse(bytes) {
        Ok(message) => {
            let printed = match (message.to_request(), message.to_response()) {
                (Some(request), None) => request.to_bytes(),
                (None, Some(response)) => response.to_bytes(),
                _ => panic!("a message is either a request or a response"),
            };
            assert!(parse(&printed).is_ok(), "{}", String::from_utf8_lossy(&printed));
        }
        Err(Refusal::Answer { lines, .. }) => drop(lines.to_headers()),
        Err(Refusal::Drop(_)) => {}
    }
}

/// A message of ISUP: what is read can be written, unless pointers of the peer overlapped, and is read as the
/// same again; and something is done with what isn't known.
pub fn isup(bytes: &[u8]) {
    let Some((first, octets)) = bytes.split_first() else { return };
    let variant = if first & 1 == 0 { isup::Variant::Itu } else { isup::Variant::Ansi };
    let role = if first & 2 == 0 { compatibility::Role::EndNode } else { compatibility::Role::Transit };
    match Message::decode(variant, octets) {
        Ok((cic, message)) => {
            let _ = format!("{message:?} {:?}", compatibility::treat(variant, &message, role));
            match message.encode(variant, cic) {
                Ok(written) => assert_eq!(Message::decode(variant, &written), Ok((cic, message))),
                Err(EncodeError::Pointer { .. } | EncodeError::MessageTooLong { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        Err(error) => assert!(error.offset <= octets.len(), "{error}"),
    }
    let _ = Message::decode_body(variant, octets);
}

/// What a peer sends over an association, to an end that calls or is called, in whatever state it gets into: each
/// message is led by an octet that says what else happens, and one that says how long it is.
pub fn m3ua(bytes: &[u8]) {
    use tipring::isup::m3ua::{Endpoint, Output, Role, Settings};
    use tipring::isup::{PointCode, Variant};
    use tipring::rng::Seed;
    use tipring::time::{Duration, Instant};
    let Some((first, mut rest)) = bytes.split_first() else { return };
    let role = [Role::Asp, Role::Ipsp, Role::Sgp][usize::from(first % 3)];
    let peers = if role == Role::Sgp { vec![] } else { vec!["192.0.2.1:2905".parse().expect("an address")] };
    let point = |code| PointCode::new(Variant::Itu, code).expect("a point code");
    let settings = Settings {
        role,
        variant: Variant::Itu,
        own: point(1),
        peer: point(2),
        network: 2,
        mode: None,
        context: (first & 0x80 != 0).then_some(7),
        appearance: None,
        asp: None,
        peers,
        ack: Duration::from_secs(2),
        recovery: Duration::from_secs(2),
        heartbeat: (first & 0x40 != 0).then_some(Duration::from_secs(10)),
    };
    let mut end = Endpoint::new(settings, &Seed::from_number(1));
    let mut now = Instant::from_millis(1);
    let mut association = end.handle_accepted(now, "192.0.2.2:2905".parse().expect("an address"));
    while let [what, length, after @ ..] = rest {
        let (octets, left) = after.split_at(usize::from(*length).min(after.len()));
        rest = left;
        let mut out = Vec::new();
        now += Duration::from_millis(u64::from(what >> 4) * 250);
        end.handle_timeout(now, &mut out);
        match (what & 0x0F, association) {
            (0, Some(id)) => end.handle_opened(now, id, &mut out),
            (1, Some(id)) => end.handle_closed(now, id, "cut", &mut out),
            (2, _) => end.send(now, octets.to_vec(), &mut out),
            (3, _) => end.withdraw(now, &mut out),
            (_, Some(id)) => end.handle_octets(now, id, octets, &mut out),
            _ => {}
        }
        let _ = (end.summary(now), end.deadline());
        for output in out {
            match output {
                Output::Connect { association: id, .. } => association = Some(id),
                Output::Transmit { octets, .. } => assert!(isup::m3ua::Message::decode(&octets).is_ok()),
                Output::Notice(notice) => drop(notice.to_string()),
                _ => {}
            }
        }
    }
}

/// Values of headers.
pub fn sip_headers(bytes: &[u8]) {
    let _ = NameAddr::parse_list(bytes);
    let _ = Via::parse(bytes);
    let _ = CSeq::parse(bytes);
    let _ = Reason::parse(bytes);
    let _ = AuthParams::parse(bytes);
    let _ = Uri::parse(bytes);
}

/// A session description: what was printed reads as the same.
pub fn sdp(bytes: &[u8]) {
    if let Ok(description) = Description::parse(bytes) {
        let printed = description.print();
        assert_eq!(Description::parse(&printed).ok(), Some(description), "{}", String::from_utf8_lossy(&printed));
    }
}

/// RTP header, telephone-event, RTCP report.
pub fn rtp(bytes: &[u8]) {
    if let Ok((_, payload)) = rtp::Header::parse(bytes) {
        let _ = rtp::telephone_event::Payload::parse(&bytes[payload]);
    }
    let _ = rtp::rtcp::Report::parse(bytes);
}

/// A configuration file, and a pattern of the dial plan.
pub fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = Pattern::parse(&text);
    let (_, findings) = Config::check("fuzz.toml", &text, &NoReader);
    let _ = format!("{findings:?}");
}

/// Six octets a step: a packet with any timestamp, or ticks.
pub fn jitter(bytes: &[u8]) {
    let mut buffer = JitterBuffer::new(JitterBounds { min_ms: 20, max_ms: 200 });
    let mut statistics = Statistics::default();
    let mut near = 0u32;
    for step in bytes.as_chunks::<6>().0 {
        let [kind, a, b, c, d, length] = *step;
        let timestamp = match kind & 1 {
            0 => near.wrapping_add(u32::from(a) * 80).wrapping_sub(u32::from(b) * 8),
            _ => u32::from_be_bytes([a, b, c, d]),
        };
        near = timestamp;
        let law = if kind & 2 == 0 { Law::Mu } else { Law::A };
        buffer.put(timestamp, law, &vec![d; usize::from(length) * 3], &mut statistics);
        for _ in 0..kind >> 4 {
            buffer.get(&mut [0; 80], &mut statistics);
        }
    }
}

fn samples(bytes: &[u8]) -> Vec<i16> {
    bytes.as_chunks::<2>().0.iter().map(|b| i16::from_le_bytes(*b)).collect()
}

/// Slices of any two lengths.
pub fn g711(bytes: &[u8]) {
    let (first, bytes) = bytes.split_at(bytes.len().min(2));
    let shorter = first.first().map_or(0, |n| usize::from(*n));
    let linear = samples(bytes);
    for law in [Law::Mu, Law::A] {
        let mut coded = vec![0; linear.len().saturating_sub(shorter)];
        g711::encode(law, &linear, &mut coded);
        let mut decoded = vec![0; bytes.len().saturating_sub(shorter)];
        g711::decode(law, bytes, &mut decoded);
        let mut again = vec![0; decoded.len()];
        g711::encode(law, &decoded, &mut again);
        let mut third = vec![0; decoded.len()];
        g711::decode(law, &again, &mut third);
        assert_eq!(decoded, third, "a decoded sample has a code");
    }
}

/// Any octets in any rate, with losses.
pub fn g722(bytes: &[u8]) {
    let mut linear = [0; 320];
    let mut coded = [0; 160];
    let mut encoder = g722::Encoder::new();
    let mut decoder = ConcealingDecoder::new(g722::Rate::Kbit64);
    for packet in bytes.chunks(160) {
        match packet[0] & 7 {
            0 => decoder.set_rate(g722::Rate::Kbit48),
            1 => decoder.set_rate(g722::Rate::Kbit56),
            2 => decoder.lost(&mut linear[..packet.len()]),
            _ => {}
        }
        decoder.received(packet, &mut linear);
        encoder.encode(&samples(packet), &mut coded);
    }
}

/// The first octet of eleven says what kind of frame the rest is.
pub fn g729_decode(bytes: &[u8]) {
    let mut decoders = [g729::Decoder::new(Variant::A), g729::Decoder::new(Variant::Base)];
    let mut output = [0; g729::FRAME];
    for frame in bytes.as_chunks::<11>().0 {
        let [kind, a, b, ..] = *frame;
        let mut speech = [0; 10];
        speech.copy_from_slice(&frame[1..]);
        let sid = [a, b];
        let input = match kind % 8 {
            0 => FrameInput::Sid(&sid),
            1 => FrameInput::Untransmitted,
            2 => FrameInput::Erased,
            _ => FrameInput::Speech(&speech),
        };
        decoders.iter_mut().for_each(|decoder| decoder.decode(input, &mut output));
    }
    if let Some(frames) = g729::bits::payload_frames(bytes) {
        frames.for_each(drop);
    }
    let words: Vec<u16> = samples(bytes).into_iter().map(|word| word as u16).collect();
    let _ = g729::bits::from_serial(&words);
}

/// Any samples.
pub fn g729_encode(bytes: &[u8]) {
    let mut encoders = [g729::Encoder::new(Variant::A, true), g729::Encoder::new(Variant::Base, true)];
    for frame in samples(bytes).as_chunks::<80>().0 {
        for encoder in &mut encoders {
            let _ = encoder.encode(frame);
        }
    }
}

/// Frames of any samples, received and lost in any order, by every concealer.
pub fn conceal(bytes: &[u8]) {
    let mut appendix = plc::Concealer::new();
    let (mut narrow, mut wide, mut delayed) = (Narrow::new(), Wide::new(), DelayedNarrow::new());
    for step in bytes.chunks(162) {
        let Some((kind, ahead, rest)) = step.split_first().and_then(|(a, b)| Some((a, b.first()?, &b[1..]))) else {
            continue;
        };
        let mut signal = samples(rest);
        let mut frame = [0; 80];
        frame[..signal.len()].copy_from_slice(&signal);
        if kind & 1 == 0 {
            appendix.received(&mut frame);
            delayed.received(&mut frame);
            wide.received(&mut signal);
            narrow.received(&mut signal);
        } else {
            let after = if kind & 2 == 0 { &frame[..] } else { &[] };
            narrow.lost(&mut signal, usize::from(*ahead), after);
            wide.lost(&mut signal, usize::from(*ahead) * 4, after);
            appendix.lost(&mut frame);
            delayed.lost(&mut frame);
        }
    }
}

/// Any payload, then any samples.
pub fn comfort_noise(bytes: &[u8]) {
    let mut generator = Generator::new(bytes.len() as u32);
    let mut noise = [0; 80];
    for payload in bytes.chunks(MAX_PAYLOAD + 2) {
        generator.update(payload);
        generator.generate(&mut noise);
    }
    let mut analyser = Analyser::new();
    let mut payload = [0; MAX_PAYLOAD];
    for frame in samples(bytes).as_chunks::<80>().0 {
        analyser.analyse(frame);
        let length = analyser.payload(&mut payload);
        generator.update(&payload[..length]);
    }
}
