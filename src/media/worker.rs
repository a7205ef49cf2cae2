//! One clock domain: receive, tick.

use super::{MediaCommand, MediaOut, PacketBatch, Stream};
use crate::time::Instant;
use tipring_hal::Block;

/// What a worker allocates when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerLayout {
    /// Ports of its card; 0: a worker that is ticked by a timer and only relays and serves.
    pub ports: u16,
    /// Samples of one port in one block, at 8 kHz: 80 is 10 ms.
    pub block_samples: u16,
    /// Most streams at once.
    pub streams_max: usize,
}

/// One clock domain of the media plane: the ports of a card and the streams that belong to them,
/// or streams alone.
#[derive(Debug)]
pub struct Worker {
    layout: WorkerLayout,
    streams: Vec<Box<Stream>>,
}

impl Worker {
    /// Allocates all that it will ever need.
    pub fn new(layout: WorkerLayout, _now: Instant) -> Self {
        Worker { layout, streams: Vec::with_capacity(layout.streams_max) }
    }

    /// Carries out one command.
    pub fn command(&mut self, _now: Instant, command: MediaCommand, out: &mut MediaOut) {
        match command {
            MediaCommand::Start(stream) => self.streams.push(stream),
            MediaCommand::Stop(id) => {
                if let Some(at) = self.streams.iter().position(|s| s.id() == id) {
                    let _ = out.stopped(self.streams.swap_remove(at));
                }
            }
            _ => {}
        }
    }

    /// Takes received packets. What only passes through is marked in `packets` to be sent on
    /// ([`PacketBatch::forwards`]); what goes to a port waits for the tick.
    pub fn receive(&mut self, _now: Instant, _packets: &mut PacketBatch, _out: &mut MediaOut) {}

    /// Card worker: `input` is the block that the lines said, `output` is filled with the one that
    /// they hear next. Software worker: called every 10 ms with blocks of no port.
    pub fn tick(&mut self, _now: Instant, _input: &Block, output: &mut Block, _out: &mut MediaOut) {
        output.clear();
    }

    /// Streams that live in it.
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// What it was made for.
    pub fn layout(&self) -> WorkerLayout {
        self.layout
    }
}
