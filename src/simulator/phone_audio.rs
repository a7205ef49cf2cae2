//! The media of a simulated SIP phone: its own small SDP, RTP and telephone-events, apart from the
//! gateway's. G.711, 20 ms a packet, a clock of its own.

use super::sound::{Noise, Sine, Track};
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use g7xx::g711::{self, Law};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use tipring_hal::Digit;

/// Samples a packet.
const FRAME_SAMPLES: usize = 160;
/// Frames that a key is held down, and then not: 100 ms each.
const KEY_FRAMES: u16 = 5;
/// Payload type of telephone-event in our own descriptions.
const EVENTS: u8 = 101;
/// How long the phone keeps a sample before its ear hears it.
const PLAYOUT: Duration = Duration::from_millis(40);
/// Packets over which the buffer is judged: two seconds.
const JUDGED: u32 = 100;

/// What a session description of the other side says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Far {
    /// Where it wants RTP.
    pub address: SocketAddr,
    /// The first of its codecs that we know.
    pub law: Law,
    /// What it calls telephone-event.
    pub events: Option<u8>,
    /// Whether it listens.
    pub listens: bool,
}

impl Far {
    /// Reads a description; `None` when it has no audio that we can take.
    pub fn read(description: &[u8], laws: &[Law]) -> Option<Far> {
        let text = std::str::from_utf8(description).ok()?;
        let (mut address, mut port, mut law, mut events, mut listens) = (None, None, None, None, true);
        for line in text.lines() {
            if let Some(ip) = line.strip_prefix("c=IN IP4 ").or_else(|| line.strip_prefix("c=IN IP6 ")) {
                address = ip.trim().parse::<IpAddr>().ok();
            } else if let Some(media) = line.strip_prefix("m=audio ") {
                let mut words = media.split_ascii_whitespace();
                port = words.next().and_then(|p| p.parse::<u16>().ok()).filter(|p| *p != 0);
                law = words.skip(1).find_map(|format| laws.iter().copied().find(|law| format == number(*law)));
            } else if let Some((format, "telephone-event/8000")) =
                line.strip_prefix("a=rtpmap:").and_then(|map| map.trim().split_once(' '))
            {
                events = format.parse().ok();
            } else if matches!(line.trim(), "a=sendonly" | "a=inactive") {
                listens = false;
            }
        }
        Some(Far { address: SocketAddr::new(address?, port?), law: law?, events, listens })
    }
}

/// RFC 3551 table 4.
fn payload_type(law: Law) -> u8 {
    match law {
        Law::A => 8,
        Law::Mu => 0,
    }
}

fn number(law: Law) -> &'static str {
    match law {
        Law::A => "8",
        Law::Mu => "0",
    }
}

/// Our own description, offer or answer.
pub fn describe(local: SocketAddr, version: u64, laws: &[Law], events: Option<u8>) -> Vec<u8> {
    let ip = local.ip();
    let formats = laws.iter().map(|law| number(*law)).collect::<Vec<_>>().join(" ");
    let events_format = events.map(|e| format!(" {e}")).unwrap_or_default();
    let mut text = format!(
        "v=0\r\no=- 1 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {} RTP/AVP {formats}{events_format}\r\n",
        local.port()
    );
    for law in laws {
        let name = if *law == Law::A { "PCMA" } else { "PCMU" };
        text += &format!("a=rtpmap:{} {name}/8000\r\n", number(*law));
    }
    if let Some(events) = events {
        text += &format!("a=rtpmap:{events} telephone-event/8000\r\na=fmtp:{events} 0-15\r\n");
    }
    text += "a=ptime:20\r\na=sendrecv\r\n";
    text.into_bytes()
}

/// What we call telephone-event when we offer.
pub fn offered_events() -> Option<u8> {
    Some(EVENTS)
}

/// What a mouth says.
#[derive(Clone, Debug, Default)]
pub enum Voice {
    /// Nothing.
    #[default]
    Silent,
    /// Noise that can be found again.
    Noise(Noise),
    /// A tone.
    Tone(Sine),
}

impl Voice {
    /// The next samples.
    pub fn fill(&mut self, samples: &mut [i16]) {
        match self {
            Voice::Silent => samples.fill(0),
            Voice::Noise(noise) => noise.fill(samples),
            Voice::Tone(sine) => sine.fill(samples),
        }
    }
}

/// What came in on an RTP leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Packets of audio.
    pub packets: u64,
    /// Packets that the sequence numbers say are missing.
    pub missing: u64,
    /// Packets that came too late to be heard in time.
    pub late: u64,
    /// Datagrams that are no RTP of this session.
    pub strange: u64,
}

/// One RTP leg of a phone.
#[derive(Debug)]
pub struct PhoneAudio {
    /// Our address.
    pub local: SocketAddr,
    /// What the other side said, once it did.
    pub far: Option<Far>,
    /// What our mouth said, in time.
    pub mouth: Track,
    /// What our ear heard, in time.
    pub ear: Track,
    /// What our mouth says from now on.
    pub voice: Voice,
    /// When the voice falls silent.
    pub until: Option<Instant>,
    /// What came in.
    pub received: Received,
    frames: u64,
    frame_nanos: f64,
    started: Instant,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    keys: VecDeque<Digit>,
    key: Option<(Digit, u32, u16)>,
    incoming: Option<Incoming>,
    last_event: Option<u32>,
}

/// Where we are in the stream of the other side.
#[derive(Debug)]
struct Incoming {
    ssrc: u32,
    /// Timestamp that is heard at `position` of the ear.
    timestamp: u32,
    position: u64,
    next_sequence: u16,
    /// Least time that a packet lay in the buffer, of those judged now.
    slack_min: Duration,
    judged: u32,
}

impl PhoneAudio {
    /// A leg that begins to send at `now`, on a clock that is off by `ppm`.
    pub fn new(now: Instant, local: SocketAddr, ppm: i32, keeps_all: bool, rng: &mut Rng) -> Self {
        PhoneAudio {
            local,
            far: None,
            mouth: Track::new(now, ppm, keeps_all),
            ear: Track::new(now, 0, keeps_all),
            voice: Voice::Silent,
            until: None,
            received: Received::default(),
            frames: 0,
            frame_nanos: 20e6 / (1.0 + f64::from(ppm) * 1e-6),
            started: now,
            ssrc: rng.next_u64() as u32,
            sequence: rng.next_u64() as u16,
            timestamp: rng.next_u64() as u32,
            keys: VecDeque::new(),
            key: None,
            incoming: None,
            last_event: None,
        }
    }

    /// When the next frame is spoken.
    pub fn next(&self) -> Instant {
        self.started + Duration::from_nanos(((self.frames + 1) as f64 * self.frame_nanos) as u64)
    }

    /// Presses keys, one after the other.
    pub fn press(&mut self, digits: &[Digit]) {
        self.keys.extend(digits);
    }

    /// Speaks the frame that is due; packets go to `send`.
    pub fn speak(&mut self, now: Instant, mut send: impl FnMut(Vec<u8>)) {
        self.frames += 1;
        let timestamp = self.timestamp;
        self.timestamp = timestamp.wrapping_add(FRAME_SAMPLES as u32);
        if self.until.is_some_and(|until| until <= now) {
            (self.voice, self.until) = (Voice::Silent, None);
        }
        let far = self.far;
        if self.key.is_none() && far.is_some_and(|far| far.events.is_some()) {
            self.key = self.keys.pop_front().map(|digit| (digit, timestamp, 0));
        }
        let mut samples = [0; FRAME_SAMPLES];
        if let Some((digit, began, frames)) = self.key {
            self.mouth.push(&samples);
            self.key = (frames + 1 < 2 * KEY_FRAMES).then_some((digit, began, frames + 1));
            if frames < KEY_FRAMES {
                self.send_key(far, digit, began, frames + 1, &mut send);
                return;
            }
        } else {
            self.voice.fill(&mut samples);
            self.mouth.push(&samples);
        }
        if let Some(far) = far.filter(|far| far.listens) {
            let mut packet = self.header(payload_type(far.law), frames_marker(self.frames), timestamp);
            let start = packet.len();
            packet.resize(start + FRAME_SAMPLES, 0);
            g711::encode(far.law, &samples, &mut packet[start..]);
            send(packet);
        }
    }

    /// RFC 4733 2.5.1: the same timestamp throughout, a growing duration, the end three times.
    fn send_key(&mut self, far: Option<Far>, digit: Digit, began: u32, frames: u16, send: &mut impl FnMut(Vec<u8>)) {
        let Some(events) = far.filter(|far| far.listens).and_then(|far| far.events) else { return };
        let ends = frames == KEY_FRAMES;
        for _ in 0..if ends { 3 } else { 1 } {
            let mut packet = self.header(events, frames == 1, began);
            packet.extend([digit.event(), if ends { 0x80 | 10 } else { 10 }]);
            packet.extend((frames * FRAME_SAMPLES as u16).to_be_bytes());
            send(packet);
        }
    }

    /// The RTP header of the next packet (RFC 3550 5.1).
    fn header(&mut self, payload_type: u8, marker: bool, timestamp: u32) -> Vec<u8> {
        let mut packet = Vec::with_capacity(12 + FRAME_SAMPLES);
        packet.extend([0x80, payload_type | if marker { 0x80 } else { 0 }]);
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        self.sequence = self.sequence.wrapping_add(1);
        packet
    }

    /// Takes a datagram; a digit when it begins one.
    pub fn receive(&mut self, now: Instant, bytes: &[u8]) -> Option<Digit> {
        let (Some(far), Some((header, payload))) = (self.far, bytes.split_at_checked(12)) else {
            self.received.strange += 1;
            return None;
        };
        let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (timestamp, ssrc) = (word(4), word(8));
        let sequence = u16::from_be_bytes([header[2], header[3]]);
        let kind = header[1] & 0x7F;
        if header[0] == 0x80 && Some(kind) == far.events && payload.len() >= 4 {
            self.count(ssrc, sequence);
            let fresh = self.last_event.is_none_or(|last| (timestamp.wrapping_sub(last) as i32) > 0);
            self.last_event = if fresh { Some(timestamp) } else { self.last_event };
            return Digit::from_event(payload[0]).filter(|_| fresh);
        }
        let law = [Law::Mu, Law::A].into_iter().find(|law| payload_type(*law) == kind);
        let Some(law) = law.filter(|_| header[0] == 0x80 && !payload.is_empty()) else {
            self.received.strange += 1;
            return None;
        };
        self.received.packets += 1;
        let mut samples = vec![0; payload.len()];
        g711::decode(law, payload, &mut samples);
        self.hear(now, ssrc, sequence, timestamp, &samples);
        None
    }

    fn count(&mut self, ssrc: u32, sequence: u16) {
        if let Some(incoming) = self.incoming.as_mut().filter(|incoming| incoming.ssrc == ssrc) {
            let ahead = sequence.wrapping_sub(incoming.next_sequence);
            if ahead < 0x8000 {
                self.received.missing += u64::from(ahead);
                incoming.next_sequence = sequence.wrapping_add(1);
            } else {
                // It was counted as missing when a later one came.
                self.received.missing = self.received.missing.saturating_sub(1);
            }
        }
    }

    fn hear(&mut self, now: Instant, ssrc: u32, sequence: u16, timestamp: u32, samples: &[i16]) {
        self.count(ssrc, sequence);
        let ahead = |incoming: &Incoming| i64::from(timestamp.wrapping_sub(incoming.timestamp) as i32);
        // A stream that jumps by more than two seconds is a new one.
        let known = self.incoming.as_ref().filter(|i| i.ssrc == ssrc && ahead(i).abs() < 16_000);
        let Some(incoming) = known else {
            let position = self.ear.end();
            self.incoming = Some(Incoming {
                ssrc,
                timestamp,
                position,
                next_sequence: sequence.wrapping_add(1),
                slack_min: Duration::MAX,
                judged: 0,
            });
            self.ear.anchor(position, now + PLAYOUT);
            self.ear.push(samples);
            return;
        };
        let Some(position) = incoming.position.checked_add_signed(ahead(incoming)) else { return };
        self.ear.put(position, samples);
        let heard_at = self.ear.time_of(position);
        let Some(incoming) = &mut self.incoming else { return };
        (incoming.timestamp, incoming.position) = (timestamp, position);
        incoming.slack_min = incoming.slack_min.min(heard_at.since(now));
        incoming.judged += 1;
        if heard_at < now {
            self.received.late += 1;
            self.ear.anchor(position, now + PLAYOUT / 2);
        } else if incoming.judged >= JUDGED && incoming.slack_min > PLAYOUT + PLAYOUT / 2 {
            self.ear.anchor(position, heard_at - PLAYOUT / 2);
        } else {
            // Kept near, so that a slow drift of our reading of the stream cannot add up.
            self.ear.anchor(position, heard_at);
        }
        if incoming.judged >= JUDGED {
            (incoming.judged, incoming.slack_min) = (0, Duration::MAX);
        }
    }
}

/// The marker begins a talk spurt (RFC 3551 4.1); the first frame does.
fn frames_marker(frames: u64) -> bool {
    frames == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;

    fn pair() -> (PhoneAudio, PhoneAudio) {
        let mut rng = Seed::from_number(1).rng();
        let address = |port| SocketAddr::from(([127, 0, 1, 1], port));
        let mut phones = [1u16, 2].map(|n| PhoneAudio::new(Instant::ZERO, address(n), 0, false, &mut rng));
        let (one, two) = phones.split_at_mut(1);
        let read = |audio: &PhoneAudio| Far::read(&describe(audio.local, 1, &[Law::A], Some(101)), &[Law::Mu, Law::A]);
        one[0].far = read(&two[0]);
        two[0].far = read(&one[0]);
        let [one, two] = phones;
        (one, two)
    }

    #[test]
    fn a_description_is_read_back() {
        let local = SocketAddr::from(([127, 0, 1, 1], 4_000));
        let far = Far::read(&describe(local, 1, &[Law::Mu, Law::A], Some(96)), &[Law::A]).expect("audio");
        assert_eq!(far, Far { address: local, law: Law::A, events: Some(96), listens: true });
        assert_eq!(Far::read(b"v=0\r\nm=audio 0 RTP/AVP 0\r\nc=IN IP4 1.2.3.4\r\n", &[Law::Mu]), None);
    }

    #[test]
    fn what_one_phone_says_the_other_hears_40_ms_later() {
        let (mut one, mut two) = pair();
        one.voice = Voice::Noise(Noise::new(Seed::from_number(2).rng()));
        for frame in 0..100 {
            let now = one.next();
            let mut packets = Vec::new();
            one.speak(now, |packet| packets.push(packet));
            if frame % 7 != 3 {
                for packet in packets {
                    two.receive(now + Duration::from_millis(10), &packet);
                }
            }
        }
        let heard = super::super::sound::delay(&one.mouth, &two.ear, Duration::ZERO, Duration::from_millis(200));
        // 20 ms of packet, 10 ms of network, 40 ms of buffer.
        assert_eq!(heard.expect("heard").0, Duration::from_millis(70));
        assert_eq!((two.received.packets, two.received.missing, two.received.strange), (86, 14, 0));
    }

    #[test]
    fn keys_arrive_once_each_and_in_order() {
        let (mut one, mut two) = pair();
        let keys: Vec<Digit> = "1125#".chars().filter_map(Digit::from_char).collect();
        one.press(&keys);
        let mut heard = Vec::new();
        for _ in 0..100 {
            let now = one.next();
            one.speak(now, |packet| heard.extend(two.receive(now, &packet)));
        }
        assert_eq!(heard, keys);
    }
}
