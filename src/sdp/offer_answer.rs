//! Offer and answer (RFC 3264): codecs, direction, telephone-event (RFC 4733), ptime.

use super::{Description, Direction, Media, PayloadType};
use g7xx::spec::{self, CodecSpec};
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

/// Milliseconds a packet where nobody says otherwise (RFC 3551 4.2).
const PTIME_MS: u8 = 20;
/// Events that we send and understand: the sixteen DTMF digits (RFC 4733 3.2).
const OUR_EVENTS: u128 = 0xFFFF;
/// The only transport profile that we speak (RFC 3551).
const PROFILE: &str = "RTP/AVP";

/// A codec that we can negotiate; both at 8000 Hz, one channel (RFC 3551 4.5.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
}

impl Codec {
    const ALL: [Codec; 2] = [Codec::Pcmu, Codec::Pcma];

    /// What the codec crate knows of it: name, payload type, clock.
    fn spec(self) -> &'static CodecSpec {
        match self {
            Codec::Pcmu => spec::Codec::Pcmu.spec(),
            Codec::Pcma => spec::Codec::Pcma.spec(),
        }
    }

    /// The encoding name (RFC 3551 table 4).
    pub fn as_str(self) -> &'static str {
        self.spec().name
    }

    /// Its static payload type (RFC 3551 table 4).
    pub fn payload_type(self) -> PayloadType {
        PayloadType(self.spec().payload_type)
    }
}

/// What we can do, and where we would receive it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Our address for RTP.
    pub address: IpAddr,
    /// Our port for RTP.
    pub port: u16,
    /// Codecs, best first; not empty.
    pub codecs: Vec<Codec>,
    /// Whether digits go as telephone-event where the peer can.
    pub events: bool,
    /// `o=`: the same through a session (RFC 3264 section 8).
    pub session_id: u64,
    /// `o=`: one more with every description that differs from the one before.
    pub version: u64,
}

/// What both sides agreed on, seen from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Where the peer wants RTP, as it said in SDP. The unspecified address (0.0.0.0) is the old
    /// way to hold; `sends` is false then.
    pub remote: SocketAddr,
    /// Codec in both directions.
    pub codec: Codec,
    /// Its payload type in both directions.
    pub payload_type: PayloadType,
    /// Payload type of telephone-event, when both can (digits 0-15 of RFC 4733).
    pub event_payload_type: Option<PayloadType>,
    /// Milliseconds a packet, 10 to 60.
    pub ptime_ms: u8,
    /// Whether we send.
    pub sends: bool,
    /// Whether we listen.
    pub receives: bool,
}

/// Why a description cannot be agreed to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Reject {
    /// 400: cannot be read; 415: not our kind of description; 488: nothing in common.
    pub status: u16,
    /// For the log and a Warning header.
    pub why: String,
}

/// Our offer, to send and to receive.
pub fn offer(ours: &Capabilities) -> String {
    offer_with(ours, Direction::SendRecv)
}

/// Our offer with a direction: `SendOnly` or `Inactive` puts the peer on hold (RFC 3264 8.4).
pub fn offer_with(ours: &Capabilities, direction: Direction) -> String {
    let mut text = session(ours, "0 0");
    let audio = Audio {
        codecs: ours.codecs.iter().map(|&codec| (codec, codec.payload_type())).collect(),
        events: ours.events.then_some((PayloadType::EVENTS, OUR_EVENTS)),
        ptime_ms: PTIME_MS,
        direction,
    };
    audio.print(ours.port, &mut text);
    text
}

/// A further offer in a session in which we `sent` this description last (RFC 3264 section 8: the
/// number of "m=" lines never shrinks, and each keeps its place; what was refused stays at port 0).
pub fn offer_again(sent: &str, ours: &Capabilities, direction: Direction) -> String {
    let text = offer_with(ours, direction);
    let Ok(before) = Description::parse(sent.as_bytes()) else { return text };
    let Some(place) = before.media.iter().position(|media| media.port != 0) else { return text };
    let Some(audio) = text.find("m=") else { return text };
    let (session, audio) = text.split_at(audio);
    let mut again = session.to_owned();
    for (index, media) in before.media.iter().enumerate() {
        if index == place {
            again.push_str(audio);
        } else {
            again.push_str(&media.line());
            again.push_str("\r\n");
        }
    }
    again
}

/// Our answer to an offer, and what is agreed on by it. We send and receive as far as the peer
/// wants it.
pub fn answer(offer: &[u8], ours: &Capabilities) -> Result<(String, Agreed), Reject> {
    answer_with(offer, ours, Direction::SendRecv)
}

/// As [`answer`], but we send and receive at most as `wish` says.
pub fn answer_with(offer: &[u8], ours: &Capabilities, wish: Direction) -> Result<(String, Agreed), Reject> {
    let offer = parse(offer)?;
    let (chosen, found) = offer
        .media
        .iter()
        .enumerate()
        .find_map(|(index, media)| Found::in_media(&offer, media, ours).map(|found| (index, found)))
        .ok_or_else(|| nothing_in_common(&offer, ours))?;
    let agreed = found.agreed(wish);

    // RFC 3264 section 6: "The "t=" line in the answer MUST equal that of the offer."
    let timing = super::value_of(&offer.lines, b't').unwrap_or("0 0");
    let mut text = session(ours, timing);
    for (index, media) in offer.media.iter().enumerate() {
        if index == chosen {
            let audio = Audio {
                codecs: vec![(agreed.codec, agreed.payload_type)],
                events: agreed.event_payload_type.map(|payload_type| (payload_type, found.events)),
                ptime_ms: agreed.ptime_ms,
                direction: Direction::of(agreed.sends, agreed.receives),
            };
            audio.print(ours.port, &mut text);
        } else {
            // RFC 3264 section 6: an offered stream is rejected by port zero, and the answer has
            // as many "m=" lines as the offer.
            let mut refused = Media { port: 0, port_count: None, lines: Vec::new(), ..media.clone() };
            if refused.formats.is_empty() {
                refused.formats.push("0".to_owned());
            }
            text.push_str(&refused.line());
            text.push_str("\r\n");
        }
    }
    Ok((text, agreed))
}

/// Reads the answer to our offer, which had one medium that was not refused already.
pub fn accept(answer: &[u8], ours: &Capabilities) -> Result<Agreed, Reject> {
    let answer = parse(answer)?;
    if answer.media.iter().all(|media| media.port == 0) {
        return Err(reject(488, "the answer has no medium that is not refused"));
    }
    let found = answer.media.iter().find_map(|media| Found::in_media(&answer, media, ours));
    Ok(found.ok_or_else(|| nothing_in_common(&answer, ours))?.agreed(Direction::SendRecv))
}

fn reject(status: u16, why: &str) -> Reject {
    Reject { status, why: why.to_owned() }
}

fn parse(bytes: &[u8]) -> Result<Description, Reject> {
    Description::parse(bytes).map_err(|malformed| Reject { status: 400, why: malformed.to_string() })
}

fn nothing_in_common(theirs: &Description, ours: &Capabilities) -> Reject {
    let names: Vec<&str> = ours.codecs.iter().map(|c| c.as_str()).collect();
    let media: Vec<&str> = theirs.media.iter().map(|m| m.kind.as_str()).take(4).collect();
    let why = format!("no audio over {PROFILE} with {} and an address among: {}", names.join(" or "), media.join(", "));
    Reject { status: 488, why }
}

/// The session part of what we write.
fn session(ours: &Capabilities, timing: &str) -> String {
    let family = if ours.address.is_ipv4() { "IP4" } else { "IP6" };
    let (address, id, version) = (ours.address, ours.session_id, ours.version);
    format!("v=0\r\no=- {id} {version} IN {family} {address}\r\ns=-\r\nc=IN {family} {address}\r\nt={timing}\r\n")
}

/// The audio medium of what we write.
struct Audio {
    codecs: Vec<(Codec, PayloadType)>,
    /// Payload type of telephone-event and the events as bits.
    events: Option<(PayloadType, u128)>,
    ptime_ms: u8,
    direction: Direction,
}

impl Audio {
    fn print(&self, port: u16, text: &mut String) {
        let mut line = format!("m=audio {port} {PROFILE}");
        let mut attributes = String::new();
        for (codec, payload_type) in &self.codecs {
            // Writing to a String cannot fail.
            let _ = write!(line, " {payload_type}");
            let _ = write!(attributes, "a=rtpmap:{payload_type} {}/{}\r\n", codec.as_str(), codec.spec().rtp_clock);
        }
        if let Some((payload_type, events)) = self.events {
            let _ = write!(line, " {payload_type}");
            let _ = write!(attributes, "a=rtpmap:{payload_type} telephone-event/8000\r\n");
            let _ = write!(attributes, "a=fmtp:{payload_type} {}\r\n", print_events(events));
        }
        let _ = write!(text, "{line}\r\n{attributes}a=ptime:{}\r\na={}\r\n", self.ptime_ms, self.direction.as_str());
    }
}

/// What of a peer's medium we can use.
struct Found {
    remote: SocketAddr,
    codec: Codec,
    payload_type: PayloadType,
    event_payload_type: Option<PayloadType>,
    /// Events that both know, as bits; only with `event_payload_type`.
    events: u128,
    ptime_ms: u8,
    /// As the peer wrote it.
    direction: Direction,
}

impl Found {
    /// `None` when the medium is refused, is no audio that we can carry, or has no address.
    fn in_media(theirs: &Description, media: &Media, ours: &Capabilities) -> Option<Found> {
        if media.port == 0 || !media.kind.eq_ignore_ascii_case("audio") || media.protocol != PROFILE {
            return None;
        }
        let remote = SocketAddr::new(theirs.connection(media)?, media.port);
        // RFC 3264 6.1: the answerer follows the offerer's order of preference.
        let (payload_type, codec) = media
            .payload_types()
            .filter_map(|payload_type| Some((payload_type, codec_of(media, payload_type)?)))
            .find(|(_, codec)| ours.codecs.contains(codec))?;
        let events = media
            .payload_types()
            .filter(|_| ours.events)
            .filter(|&payload_type| is_telephone_event(media, payload_type))
            .map(|payload_type| (payload_type, events_of(media, payload_type) & OUR_EVENTS))
            .find(|(_, events)| *events != 0);
        Some(Found {
            remote,
            codec,
            payload_type,
            event_payload_type: events.map(|(payload_type, _)| payload_type),
            events: events.map_or(0, |(_, events)| events),
            ptime_ms: ptime_ms(media),
            direction: theirs.direction(media),
        })
    }

    fn agreed(&self, wish: Direction) -> Agreed {
        // RFC 3264 8.4: an address of 0.0.0.0 means that nothing may be sent to the peer.
        let held = self.remote.ip().is_unspecified();
        Agreed {
            remote: self.remote,
            codec: self.codec,
            payload_type: self.payload_type,
            event_payload_type: self.event_payload_type,
            ptime_ms: self.ptime_ms,
            sends: wish.sends() && self.direction.receives() && !held,
            receives: wish.receives() && self.direction.sends(),
        }
    }
}

/// The codec of a payload type: by its rtpmap, or by the table of static types (RFC 3551 section 6).
fn codec_of(media: &Media, payload_type: PayloadType) -> Option<Codec> {
    match media.rtpmap(payload_type) {
        Some((name, clock, 1)) => {
            let found = spec::Codec::find(name, clock)?;
            Codec::ALL.into_iter().find(|codec| codec.spec().codec == found)
        }
        Some(_) => None,
        None => Codec::ALL.into_iter().find(|codec| codec.payload_type() == payload_type),
    }
}

fn is_telephone_event(media: &Media, payload_type: PayloadType) -> bool {
    matches!(media.rtpmap(payload_type), Some((name, 8000, 1)) if name.eq_ignore_ascii_case("telephone-event"))
}

/// The events that a medium names, as bits. RFC 4733 2.4.1: without fmtp they are 0-15.
fn events_of(media: &Media, payload_type: PayloadType) -> u128 {
    let Some(list) = media.fmtp(payload_type) else { return OUR_EVENTS };
    // RFC 4733 2.5.1.1 writes "events=0-15" in the media type, and some put it in fmtp too.
    let list = list.strip_prefix("events=").unwrap_or(list);
    let mut events = 0u128;
    for part in list.split([',', ' ']).filter(|p| !p.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.trim().parse::<u8>(), last.trim().parse::<u8>()) else { continue };
        for event in first..=last.min(127) {
            events |= 1 << event;
        }
    }
    events
}

/// `0-15`, `0-9,11`: the list of fmtp.
fn print_events(events: u128) -> String {
    let mut ranges: Vec<(u8, u8)> = Vec::new();
    for event in (0..128u8).filter(|e| events >> e & 1 == 1) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == event => *last = event,
            _ => ranges.push((event, event)),
        }
    }
    let parts: Vec<String> = ranges
        .into_iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    parts.join(",")
}

/// Packet time that the medium asks for, as a multiple of 10 from 10 to 60 (RFC 8866 6.4, 6.5).
fn ptime_ms(media: &Media) -> u8 {
    let number = |name: &str| media.attribute(name).and_then(|v| v.parse::<u16>().ok()).filter(|&v| v > 0);
    let wish = number("ptime").unwrap_or(u16::from(PTIME_MS)).min(number("maxptime").unwrap_or(u16::MAX));
    let tens = (wish / 10).clamp(1, 6);
    tens as u8 * 10
}
