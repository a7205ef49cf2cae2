//! Facts about the codecs as SDP (RFC 3551, RFC 4566) and RTP need them, each written once.

use core::time::Duration;

/// Names a codec of this crate, as it is offered to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722 at 64 kbit/s.
    G722,
    /// G.729, any flavour: base and Annex A share the bit stream.
    G729,
    /// Comfort noise of RFC 3389, which goes with the sample codecs.
    ComfortNoise,
}

/// What is to be said about a codec in SDP, and how its payload relates to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodecSpec {
    /// Which codec.
    pub codec: Codec,
    /// Encoding name of `a=rtpmap`; compared without regard to case.
    pub name: &'static str,
    /// Static payload type of RFC 3551.
    pub payload_type: u8,
    /// RTP clock of `a=rtpmap`, in hertz. G.722 says 8000 by an old mistake that RFC 3551 4.5.2 keeps.
    pub rtp_clock: u32,
    /// Samples a second of the linear side.
    pub sample_rate: u32,
    /// Length of the smallest payload.
    pub frame: Duration,
    /// Octets of one frame. Zero: not fixed (comfort noise).
    pub frame_octets: usize,
    /// Default of `a=ptime`.
    pub packet: Duration,
    /// `a=fmtp` value to send; `None` when there is nothing to say. G.729: RFC 4856 makes
    /// `annexb=yes` the default, so a party without it has to say `annexb=no`.
    pub fmtp: Option<&'static str>,
    /// Bits a second of the payload alone.
    pub bit_rate: u32,
}

impl CodecSpec {
    /// `b=AS` in kbit/s for packets of `packet` length over IPv4: payload, RTP, UDP and IP headers
    /// (40 octets), rounded up.
    pub fn bandwidth_kbit(&self, packet: Duration) -> u32 {
        let packet_us = packet.as_micros().max(1000) as u64;
        let headers = 40 * 8 * 1_000_000 / packet_us;
        (u64::from(self.bit_rate) + headers).div_ceil(1000) as u32
    }
}

/// All codecs, in the order in which the gateway prefers them when nothing else is said.
pub const CODECS: [CodecSpec; 5] = [
    CodecSpec {
        codec: Codec::Pcmu,
        name: "PCMU",
        payload_type: 0,
        rtp_clock: 8000,
        sample_rate: 8000,
        frame: Duration::from_micros(125),
        frame_octets: 1,
        packet: Duration::from_millis(20),
        fmtp: None,
        bit_rate: 64_000,
    },
    CodecSpec {
        codec: Codec::Pcma,
        name: "PCMA",
        payload_type: 8,
        rtp_clock: 8000,
        sample_rate: 8000,
        frame: Duration::from_micros(125),
        frame_octets: 1,
        packet: Duration::from_millis(20),
        fmtp: None,
        bit_rate: 64_000,
    },
    CodecSpec {
        codec: Codec::G722,
        name: "G722",
        payload_type: 9,
        rtp_clock: 8000,
        sample_rate: 16_000,
        frame: Duration::from_micros(125),
        frame_octets: 1,
        packet: Duration::from_millis(20),
        fmtp: None,
        bit_rate: 64_000,
    },
    CodecSpec {
        codec: Codec::G729,
        name: "G729",
        payload_type: 18,
        rtp_clock: 8000,
        sample_rate: 8000,
        frame: Duration::from_millis(10),
        frame_octets: 10,
        packet: Duration::from_millis(20),
        fmtp: Some("annexb=no"),
        bit_rate: 8000,
    },
    CodecSpec {
        codec: Codec::ComfortNoise,
        name: "CN",
        payload_type: 13,
        rtp_clock: 8000,
        sample_rate: 8000,
        frame: Duration::from_millis(10),
        frame_octets: 0,
        packet: Duration::from_millis(20),
        fmtp: None,
        bit_rate: 0,
    },
];

impl Codec {
    /// The facts about this codec.
    pub const fn spec(self) -> &'static CodecSpec {
        match self {
            Codec::Pcmu => &CODECS[0],
            Codec::Pcma => &CODECS[1],
            Codec::G722 => &CODECS[2],
            Codec::G729 => &CODECS[3],
            Codec::ComfortNoise => &CODECS[4],
        }
    }

    /// Finds a codec by the encoding name and clock of an `a=rtpmap` line.
    ///
    /// ```
    /// use g7xx::spec::Codec;
    /// assert_eq!(Codec::find("pcma", 8000), Some(Codec::Pcma));
    /// assert_eq!(Codec::find("PCMA", 16000), None);
    /// ```
    pub fn find(name: &str, rtp_clock: u32) -> Option<Codec> {
        CODECS
            .iter()
            .find(|spec| spec.rtp_clock == rtp_clock && spec.name.eq_ignore_ascii_case(name))
            .map(|spec| spec.codec)
    }

    /// Finds the codec of a static payload type, for an `m=` line without `a=rtpmap`.
    pub fn of_static_payload_type(payload_type: u8) -> Option<Codec> {
        CODECS
            .iter()
            .find(|spec| spec.payload_type == payload_type)
            .map(|spec| spec.codec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_finds_its_own_facts() {
        for spec in &CODECS {
            assert_eq!(spec.codec.spec(), spec);
            assert_eq!(Codec::find(spec.name, spec.rtp_clock), Some(spec.codec));
            assert_eq!(
                Codec::of_static_payload_type(spec.payload_type),
                Some(spec.codec)
            );
        }
    }

    #[test]
    fn bandwidth_counts_the_headers_of_every_packet() {
        // 160 + 40 octets each 20 ms are 80 kbit/s; 20 + 40 octets are 24 kbit/s.
        assert_eq!(
            Codec::Pcmu.spec().bandwidth_kbit(Duration::from_millis(20)),
            80
        );
        assert_eq!(
            Codec::G729.spec().bandwidth_kbit(Duration::from_millis(20)),
            24
        );
    }
}
