//! One RTP stream: codec, digits, statistics.

use super::{StreamConfig, StreamId};

/// One RTP stream with everything it will ever need, allocated by [`Stream::new`].
#[derive(Debug)]
pub struct Stream {
    config: StreamConfig,
}

impl Stream {
    /// Builds a stream; the only place that allocates.
    pub fn new(config: StreamConfig) -> Self {
        Stream { config }
    }

    /// Its name.
    pub fn id(&self) -> StreamId {
        self.config.id
    }
}
