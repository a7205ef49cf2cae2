//! One RTP stream: codec, digits, statistics.

use super::{StreamConfig, StreamId, StreamSettings};

/// What happened on one stream, counted by its worker. Packets unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Received from the signalled address with a negotiated payload type, duplicates not counted.
    pub received: u64,
    /// Payload octets of those.
    pub received_octets: u64,
    /// Missing in the sequence so far.
    pub lost: u64,
    /// Came after its time of playing. Only towards a port.
    pub late: u64,
    /// Came more than once.
    pub duplicate: u64,
    /// Came after a packet with a higher sequence number.
    pub reordered: u64,
    /// Came from an address that was not signalled.
    pub wrong_source: u64,
    /// Had a payload type that was not negotiated.
    pub wrong_payload: u64,
    /// Were no RTP packets at all.
    pub malformed: u64,
    /// Came from another synchronisation source than the one that is heard.
    pub wrong_ssrc: u64,
    /// Times that the synchronisation source changed.
    pub ssrc_changes: u64,
    /// Sent.
    pub sent: u64,
    /// Payload octets of those.
    pub sent_octets: u64,
    /// Interarrival jitter of RFC 3550 section 6.4.1, in samples of 125 microseconds.
    pub jitter: u32,
    /// Samples that were made up because nothing was there to be played.
    pub concealed_samples: u64,
    /// Samples that were taken out or put in to hold the playout level.
    pub adjusted_samples: u64,
    /// Telephone-event digits received.
    pub digits_received: u64,
    /// Telephone-event digits sent.
    pub digits_sent: u64,
}

/// One RTP stream with everything it will ever need, allocated by [`Stream::new`].
#[derive(Debug)]
pub struct Stream {
    config: StreamConfig,
    statistics: Statistics,
}

impl Stream {
    /// Builds a stream; the only place that allocates.
    pub fn new(config: StreamConfig) -> Self {
        Stream { config, statistics: Statistics::default() }
    }

    /// Its name.
    pub fn id(&self) -> StreamId {
        self.config.id
    }

    /// What it was built from, with the settings as they are now.
    pub fn config(&self) -> &StreamConfig {
        &self.config
    }

    /// What is negotiated now.
    pub fn settings(&self) -> &StreamSettings {
        &self.config.settings
    }

    /// What happened so far.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }
}
