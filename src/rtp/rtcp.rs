//! RTCP: sender and receiver reports (RFC 3550 6.4), built and read.
//!
//! Reports with their SDES and BYE are not sent yet; this is the part that reads and writes bytes.

/// Packet type of a sender report.
const SENDER_REPORT: u8 = 200;
/// Packet type of a receiver report.
const RECEIVER_REPORT: u8 = 201;

/// One report block (RFC 3550 6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// Whom it is about.
    pub ssrc: u32,
    /// Part of the packets lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning, -2^23 to 2^23 - 1; duplicates make it negative.
    pub lost: i32,
    /// Extended highest sequence number.
    pub highest_sequence: u32,
    /// Interarrival jitter in timestamp units.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report.
    pub last_report: u32,
    /// Time since then in 1/65536 s.
    pub delay_since: u32,
}

/// What a sender says about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// NTP time of this report: seconds since 1900 in the upper half.
    pub ntp: u64,
    /// The same moment in timestamp units.
    pub timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload octets sent.
    pub octets: u32,
}

/// A sender report, or without `sender` a receiver report, about at most one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Who reports.
    pub ssrc: u32,
    /// Only of one who sends.
    pub sender: Option<SenderInfo>,
    /// The first report block; further ones are skipped when reading.
    pub block: Option<ReportBlock>,
}

impl Report {
    /// Most bytes that [`Report::write`] needs.
    pub const BYTES_MAX: usize = 8 + 20 + 24;

    /// Writes the report and returns its length in bytes.
    pub fn write(&self, bytes: &mut [u8; Self::BYTES_MAX]) -> usize {
        let mut words = [0u32; Self::BYTES_MAX / 4];
        let mut count = 2;
        words[1] = self.ssrc;
        if let Some(sender) = self.sender {
            words[2] = (sender.ntp >> 32) as u32;
            words[3] = sender.ntp as u32;
            words[4..7].copy_from_slice(&[sender.timestamp, sender.packets, sender.octets]);
            count = 7;
        }
        if let Some(block) = self.block {
            let lost = block.lost.clamp(-0x80_0000, 0x7F_FFFF) as u32 & 0xFF_FFFF;
            words[count..count + 6].copy_from_slice(&[
                block.ssrc,
                u32::from(block.fraction_lost) << 24 | lost,
                block.highest_sequence,
                block.jitter,
                block.last_report,
                block.delay_since,
            ]);
            count += 6;
        }
        let packet_type = if self.sender.is_some() { SENDER_REPORT } else { RECEIVER_REPORT };
        words[0] = 2 << 30 | u32::from(self.block.is_some()) << 24 | u32::from(packet_type) << 16 | (count as u32 - 1);
        for (place, word) in bytes.chunks_exact_mut(4).zip(&words[..count]) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        count * 4
    }

    /// Reads the first packet of a compound packet, which must be a report (RFC 3550 6.1);
    /// `None` when it is not.
    pub fn parse(bytes: &[u8]) -> Option<Report> {
        let word = |index: usize| -> Option<u32> {
            bytes.get(index * 4..index * 4 + 4)?.first_chunk().map(|b| u32::from_be_bytes(*b))
        };
        let first = word(0)?;
        let (version, blocks, packet_type) = (first >> 30, first >> 24 & 0x1F, (first >> 16) as u8);
        let words = (first & 0xFFFF) as usize + 1;
        if version != 2 || words * 4 > bytes.len() {
            return None;
        }
        let (sender, start) = match packet_type {
            SENDER_REPORT if words >= 7 => {
                let ntp = u64::from(word(2)?) << 32 | u64::from(word(3)?);
                (Some(SenderInfo { ntp, timestamp: word(4)?, packets: word(5)?, octets: word(6)? }), 7)
            }
            RECEIVER_REPORT if words >= 2 => (None, 2),
            _ => return None,
        };
        if start + 6 * blocks as usize > words {
            return None;
        }
        let block = match blocks {
            0 => None,
            _ => Some(ReportBlock {
                ssrc: word(start)?,
                fraction_lost: (word(start + 1)? >> 24) as u8,
                // Sign-extends the 24 bits.
                lost: (word(start + 1)? << 8) as i32 >> 8,
                highest_sequence: word(start + 2)?,
                jitter: word(start + 3)?,
                last_report: word(start + 4)?,
                delay_since: word(start + 5)?,
            }),
        };
        Some(Report { ssrc: word(1)?, sender, block })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: ReportBlock = ReportBlock {
        ssrc: 7,
        fraction_lost: 12,
        lost: -3,
        highest_sequence: 0x1_0005,
        jitter: 9,
        last_report: 10,
        delay_since: 11,
    };
    const SENDER: SenderInfo = SenderInfo { ntp: 0x0123_4567_89AB_CDEF, timestamp: 1, packets: 2, octets: 3 };

    #[test]
    fn reports_read_back_as_they_were_written() {
        for sender in [None, Some(SENDER)] {
            for block in [None, Some(BLOCK)] {
                let report = Report { ssrc: 0xAABB_CCDD, sender, block };
                let mut bytes = [0; Report::BYTES_MAX];
                let length = report.write(&mut bytes);
                assert_eq!(length, 8 + 20 * usize::from(sender.is_some()) + 24 * usize::from(block.is_some()));
                assert_eq!(Report::parse(&bytes[..length]), Some(report));
                assert_eq!(Report::parse(&bytes[..length - 1]), None, "cut short");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64), sender: bool) {
            if let Some(start) = bytes.first_chunk_mut::<2>() {
                *start = [0x81, if sender { 200 } else { 201 }];
            }
            let _ = Report::parse(&bytes);
        }
    }
}
