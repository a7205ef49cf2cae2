//! What was heard and sent, as files: pcapng for packets, WAV for samples. Bytes out, no files here.
//!
//! The packets that the gateway sees are payloads with addresses; [`PacketCapture`] makes the IP, UDP
//! and TCP headers up around them, with checksums, so that tshark and Wireshark read them like a
//! capture from a wire (link type "raw IP", draft-ietf-opsawg-pcapng). Times are nanoseconds. Each
//! packet may carry a comment, for example which call it belongs to.
//!
//! Nothing here allocates per packet but what the output buffer needs. The caller appends the buffer
//! to a file when it likes and empties it.

use crate::time::Instant;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Link type of packets that begin with their IPv4 or IPv6 header.
const LINKTYPE_RAW: u16 = 101;
/// Bytes of payload in one made-up TCP segment: what a path with an MTU of 1,500 carries.
const TCP_SEGMENT_BYTES: usize = 1_440;
/// TCP connections whose sequence numbers are remembered; the oldest address pair is dropped first.
const TCP_FLOWS: usize = 4_096;

/// Writes packets as pcapng blocks into a buffer of the caller.
#[derive(Debug)]
pub struct PacketCapture {
    /// Wall-clock nanoseconds since 1970 at [`Instant::ZERO`].
    epoch_nanos: u64,
    /// Next sequence number of each direction of a TCP connection.
    sequences: BTreeMap<(SocketAddr, SocketAddr), u32>,
    /// IPv4 identification of the next packet.
    identification: u16,
}

impl PacketCapture {
    /// A capture in which [`Instant::ZERO`] is `epoch_nanos` nanoseconds after 1970. Appends the
    /// section header and the description of the one interface to `out`.
    pub fn begin(epoch_nanos: u64, out: &mut Vec<u8>) -> Self {
        block(out, 0x0A0D_0D0A, |body| {
            body.extend(0x1A2B_3C4D_u32.to_le_bytes()); // byte-order magic
            body.extend(1_u16.to_le_bytes()); // version 1.0
            body.extend(0_u16.to_le_bytes());
            body.extend(u64::MAX.to_le_bytes()); // section length: unknown
            option(body, 4, b"tipring"); // shb_userappl
            option(body, 0, b"");
        });
        block(out, 1, |body| {
            body.extend(LINKTYPE_RAW.to_le_bytes());
            body.extend(0_u16.to_le_bytes());
            body.extend(0_u32.to_le_bytes()); // no limit on length
            option(body, 9, &[9]); // if_tsresol: 10^-9 s
            option(body, 0, b"");
        });
        PacketCapture { epoch_nanos, sequences: BTreeMap::new(), identification: 0 }
    }

    /// Appends a UDP datagram. An empty `comment` is left out.
    pub fn datagram(
        &mut self,
        out: &mut Vec<u8>,
        at: Instant,
        from: SocketAddr,
        to: SocketAddr,
        payload: &[u8],
        comment: &str,
    ) {
        // UDP and IP have 16-bit lengths; what could not have been sent is cut, not wrapped.
        let payload = &payload[..payload.len().min(65_507)];
        let mut segment = Vec::with_capacity(8 + payload.len());
        segment.extend(from.port().to_be_bytes());
        segment.extend(to.port().to_be_bytes());
        segment.extend(((8 + payload.len()) as u16).to_be_bytes());
        segment.extend([0, 0]);
        segment.extend(payload);
        self.packet(out, at, from, to, 17, 6, segment, comment);
    }

    /// Appends bytes of a TCP connection as one or more segments. The handshake is not made up;
    /// sequence numbers run on from 1.
    pub fn stream_bytes(
        &mut self,
        out: &mut Vec<u8>,
        at: Instant,
        from: SocketAddr,
        to: SocketAddr,
        payload: &[u8],
        comment: &str,
    ) {
        if self.sequences.len() >= TCP_FLOWS {
            self.sequences.pop_first();
        }
        for chunk in payload.chunks(TCP_SEGMENT_BYTES) {
            let acknowledged = self.sequences.get(&(to, from)).copied().unwrap_or(1);
            let sequence = self.sequences.entry((from, to)).or_insert(1);
            let mut segment = Vec::with_capacity(20 + chunk.len());
            segment.extend(from.port().to_be_bytes());
            segment.extend(to.port().to_be_bytes());
            segment.extend(sequence.to_be_bytes());
            segment.extend(acknowledged.to_be_bytes());
            segment.extend([5 << 4, 0x18]); // header of five words; PSH, ACK
            segment.extend(u16::MAX.to_be_bytes()); // window
            segment.extend([0, 0, 0, 0]); // checksum, urgent pointer
            segment.extend(chunk);
            *sequence = sequence.wrapping_add(chunk.len() as u32);
            self.packet(out, at, from, to, 6, 16, segment, comment);
        }
    }

    /// Puts an IP header before `segment`, fills in its checksum at `checksum_at`, appends the block.
    #[allow(clippy::too_many_arguments)] // the fields of one packet, used in one place
    fn packet(
        &mut self,
        out: &mut Vec<u8>,
        at: Instant,
        from: SocketAddr,
        to: SocketAddr,
        protocol: u8,
        checksum_at: usize,
        mut segment: Vec<u8>,
        comment: &str,
    ) {
        let length = segment.len() as u32;
        let (header, pseudo) = match (from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let mut header = vec![0x45, 0];
                header.extend(((20 + segment.len()).min(65_535) as u16).to_be_bytes());
                header.extend(self.identification.to_be_bytes());
                header.extend([0x40, 0, 64, protocol, 0, 0]); // don't fragment, TTL 64
                header.extend(from.octets());
                header.extend(to.octets());
                let sum = checksum(&[&header]);
                header[10..12].copy_from_slice(&sum.to_be_bytes());
                self.identification = self.identification.wrapping_add(1);
                let mut pseudo = [from.octets(), to.octets()].concat();
                pseudo.extend([0, protocol]);
                pseudo.extend((length as u16).to_be_bytes());
                (header, pseudo)
            }
            (from, to) => {
                let (from, to) = (as_v6(from).octets(), as_v6(to).octets());
                let mut header = vec![0x60, 0, 0, 0];
                header.extend((length.min(65_535) as u16).to_be_bytes());
                header.extend([protocol, 64]);
                header.extend(from);
                header.extend(to);
                let mut pseudo = [from, to].concat();
                pseudo.extend(length.to_be_bytes());
                pseudo.extend([0, 0, 0, protocol]);
                (header, pseudo)
            }
        };
        let sum = match checksum(&[&pseudo, &segment]) {
            0 if protocol == 17 => u16::MAX, // RFC 768: zero would mean "no checksum"
            sum => sum,
        };
        segment[checksum_at..checksum_at + 2].copy_from_slice(&sum.to_be_bytes());
        let time = self.epoch_nanos.saturating_add(at.as_nanos());
        let captured = (header.len() + segment.len()) as u32;
        block(out, 6, |body| {
            body.extend(0_u32.to_le_bytes()); // interface
            body.extend(((time >> 32) as u32).to_le_bytes());
            body.extend((time as u32).to_le_bytes());
            body.extend(captured.to_le_bytes());
            body.extend(captured.to_le_bytes());
            body.extend(&header);
            body.extend(&segment);
            pad(body);
            if !comment.is_empty() {
                option(body, 1, comment.as_bytes()); // opt_comment
                option(body, 0, b"");
            }
        });
    }
}

/// A WAV file of one channel of 16-bit samples.
pub fn wav(rate_hz: u32, samples: &[i16]) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::with_capacity(44 + samples.len() * 2));
    // Writing to memory fails only above 4 GiB of samples; then there is no such file.
    let written = hound::WavWriter::new(&mut bytes, wav_format(rate_hz)).and_then(|mut writer| {
        samples.iter().try_for_each(|sample| writer.write_sample(*sample))?;
        writer.finalize()
    });
    if written.is_err() { Vec::new() } else { bytes.into_inner() }
}

/// The format of every recording: one channel, 16-bit linear. For writers that append as they go.
pub fn wav_format(rate_hz: u32) -> hound::WavSpec {
    hound::WavSpec { channels: 1, sample_rate: rate_hz, bits_per_sample: 16, sample_format: hound::SampleFormat::Int }
}

/// The samples of a WAV file of one channel, 16 bits, and its rate.
///
/// # Errors
/// A sentence for the user when the bytes are something else.
pub fn read_wav(bytes: &[u8]) -> Result<(u32, Vec<i16>), String> {
    let mut reader = hound::WavReader::new(bytes).map_err(|error| error.to_string())?;
    let format = reader.spec();
    if format.channels != 1 || format.bits_per_sample != 16 || format.sample_format != hound::SampleFormat::Int {
        return Err("one channel of 16-bit samples is needed".to_owned());
    }
    let samples = reader.samples::<i16>().collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    Ok((format.sample_rate, samples))
}

/// Appends a block with both of its length fields around what `fill` writes.
fn block(out: &mut Vec<u8>, kind: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(kind.to_le_bytes());
    out.extend([0; 4]);
    let mut body = std::mem::take(out);
    fill(&mut body);
    *out = body;
    let length = ((out.len() - start + 4) as u32).to_le_bytes();
    out[start + 4..start + 8].copy_from_slice(&length);
    out.extend(length);
}

/// Appends an option of a block; code 0 ends the options.
fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    body.extend(code.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    body.extend(value);
    pad(body);
}

/// Blocks begin at multiples of four, so what stands inside them is padded by the same measure.
fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// RFC 1071: ones' complement sum over the parts, each of even length but the last.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
        }
    }
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    /// The blocks of a capture: kind and body, checked for equal lengths before and after.
    fn blocks(mut bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let word = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"));
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let length = word(&bytes[4..]) as usize;
            assert_eq!(length % 4, 0);
            assert_eq!(word(&bytes[length - 4..]) as usize, length);
            found.push((word(bytes), bytes[8..length - 4].to_vec()));
            bytes = &bytes[length..];
        }
        found
    }

    #[test]
    fn datagrams_become_packets_with_right_lengths_sums_and_times() {
        let mut out = Vec::new();
        let mut capture = PacketCapture::begin(1_000_000_000_000_000_000, &mut out);
        let (from, to) = (address("127.0.0.1:5060"), address("127.0.0.2:5061"));
        capture.datagram(&mut out, Instant::from_nanos(5), from, to, b"OPTIONS", "call 1");
        let blocks = blocks(&out);
        assert_eq!(blocks.iter().map(|b| b.0).collect::<Vec<_>>(), [0x0A0D_0D0A, 1, 6]);
        let body = &blocks[2].1;
        let high = u64::from(u32::from_le_bytes(body[4..8].try_into().unwrap()));
        let low = u64::from(u32::from_le_bytes(body[8..12].try_into().unwrap()));
        assert_eq!(high << 32 | low, 1_000_000_000_000_000_005);
        let packet = &body[20..20 + 35];
        assert_eq!(checksum(&[&packet[..20]]), 0, "a header with its sum adds up to zero");
        assert_eq!(&packet[28..], b"OPTIONS");
        let pseudo = [127, 0, 0, 1, 127, 0, 0, 2, 0, 17, 0, 15];
        assert_eq!(checksum(&[&pseudo, &packet[20..]]), 0);
        assert!(body.windows(6).any(|w| w == b"call 1"));
    }

    #[test]
    fn bytes_of_a_connection_are_cut_into_segments_that_follow_each_other() {
        let mut out = Vec::new();
        let mut capture = PacketCapture::begin(0, &mut out);
        let (from, to) = (address("[::1]:5060"), address("[::1]:5061"));
        capture.stream_bytes(&mut out, Instant::ZERO, from, to, &[b'x'; 2_000], "");
        capture.stream_bytes(&mut out, Instant::ZERO, to, from, b"y", "");
        let sequences: Vec<(u32, u32)> = blocks(&out)[2..]
            .iter()
            .map(|(_, body)| {
                let tcp = &body[20 + 40..];
                let word = |at: usize| u32::from_be_bytes(tcp[at..at + 4].try_into().unwrap());
                (word(4), word(8))
            })
            .collect();
        assert_eq!(sequences, [(1, 1), (1_441, 1), (1, 2_001)]);
    }

    #[test]
    fn samples_come_back_from_a_wav_file() {
        let samples = [0, 1, -1, i16::MAX, i16::MIN];
        assert_eq!(read_wav(&wav(8_000, &samples)), Ok((8_000, samples.to_vec())));
        assert!(read_wav(b"RIFFxxxx").is_err());
    }
}
