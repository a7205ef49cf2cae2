//! What a run leaves behind: the packets of the gateway as pcapng, what everybody heard as WAV.

use super::network::{Form, Packet, Traffic};
use super::sound::RATE_HZ;
use super::wire::Glimpse;
use super::world::World;
use crate::capture::{PacketCapture, wav};
use crate::time::Instant;

/// Wall-clock time of the beginning of every run: 2026-01-01 00:00 UTC. The world has no calendar.
const EPOCH_NANOS: u64 = 1_767_225_600_000_000_000;

/// A file to be written: its name, and its bytes.
pub type File = (String, Vec<u8>);

/// Packets seen at the gateway's interface.
#[derive(Debug)]
pub struct Recording {
    capture: PacketCapture,
    bytes: Vec<u8>,
}

impl Default for Recording {
    fn default() -> Self {
        let mut bytes = Vec::new();
        Recording { capture: PacketCapture::begin(EPOCH_NANOS, &mut bytes), bytes }
    }
}

impl Recording {
    /// Notes a packet that the gateway sends or receives.
    pub fn packet(&mut self, now: Instant, packet: &Packet) {
        let comment = match packet.traffic {
            Traffic::Signalling => Glimpse::of(&packet.bytes).map(|g| format!("{} {}", g.title(), g.call_id)),
            Traffic::Media => None,
        };
        let comment = comment.unwrap_or_default();
        match packet.form {
            Form::Datagram => {
                self.capture.datagram(&mut self.bytes, now, packet.from, packet.to, &packet.bytes, &comment);
            }
            Form::Bytes => {
                self.capture.stream_bytes(&mut self.bytes, now, packet.from, packet.to, &packet.bytes, &comment);
            }
            // TLS stands there as one reads it with its keys. The capture makes up neither the beginning nor the end of a connection.
            Form::Open | Form::Accept | Form::Hello | Form::Welcome | Form::Close => {}
        }
    }

    /// All packets so far, as a pcapng file.
    pub fn packets(&self) -> &[u8] {
        &self.bytes
    }
}

/// All files of a run that recorded; none when it did not.
pub fn files(world: &World) -> Vec<File> {
    let Some(recording) = world.recording() else { return Vec::new() };
    let mut files = vec![("packets.pcapng".to_owned(), recording.packets().to_vec())];
    for station in world.stations() {
        files.push((format!("station-{}.wav", station.name), wav(RATE_HZ, station.ear.samples())));
    }
    for phone in world.phones() {
        for (call, leg) in phone.legs().filter(|(_, leg)| leg.ear.end() > 0) {
            let name = format!("{}-call-{call}.wav", phone.settings().user);
            files.push((name, wav(RATE_HZ, leg.ear.samples())));
        }
    }
    files
}
