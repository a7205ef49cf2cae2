//! The control core: inputs, outputs, dispatch, deadline.

use crate::config::Config;
use crate::media::{MediaCommand, MediaEvent};
use crate::sip::{ConnectionId, Flow};
use std::net::SocketAddr;
use tipring_hal::{LineCommand, LineEvent, PortIndex};

/// Number of a card, in the order of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CardId(pub u16);

/// A port of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId {
    /// The card.
    pub card: CardId,
    /// The port on it.
    pub port: PortIndex,
}

/// Which media worker: one a card, in card order, then the software-clocked ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u16);

/// What can happen to the control core. One closed enum.
pub enum Input<'a> {
    /// A UDP datagram; `flow.local` is the address it was sent to.
    Datagram { flow: Flow, bytes: &'a [u8] },
    /// Bytes of a TCP connection, either side opened.
    StreamBytes { flow: Flow, bytes: &'a [u8] },
    /// A connection that we asked for is open.
    StreamOpened { connection: ConnectionId, flow: Flow },
    /// A connection closed, or could not be opened.
    StreamClosed { connection: ConnectionId },
    /// A datagram could not be sent (ICMP, no route).
    Unreachable { flow: Flow },
    /// Something happened on a line.
    Line(CardId, LineEvent),
    /// A media worker says something.
    Media(WorkerId, MediaEvent),
    /// An operator ends a call.
    Hangup { call: u64 },
    /// An operator wants no new calls.
    Drain,
    /// The deadline has come.
    Tick,
}

/// What the control core wants done.
#[derive(Debug)]
pub enum Output {
    /// Send a datagram from `flow.local` to `flow.remote`.
    Datagram { flow: Flow, bytes: Vec<u8> },
    /// Write to an open connection.
    StreamBytes { connection: ConnectionId, bytes: Vec<u8> },
    /// Open a TCP connection and call it `connection`.
    OpenStream { connection: ConnectionId, remote: SocketAddr },
    /// Close a connection.
    CloseStream { connection: ConnectionId },
    /// Command a port.
    Line(PortId, LineCommand),
    /// Command a media worker. `Start` is to be preceded by binding the stream's local address.
    Media(WorkerId, MediaCommand),
    /// A call ended.
    Record(crate::call::record::CallRecord),
}

/// Outputs of one input, in order. Empty when `handle` starts.
#[derive(Debug, Default)]
pub struct Outbox {
    outputs: Vec<Output>,
}

impl Outbox {
    /// Adds an output.
    pub fn push(&mut self, output: Output) {
        self.outputs.push(output);
    }
    /// Takes all outputs out, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = Output> + '_ {
        self.outputs.drain(..)
    }
    /// Number of outputs.
    pub fn len(&self) -> usize {
        self.outputs.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }
}

/// The control plane: every call, dialog, transaction and line state.
#[derive(Debug)]
pub struct Gateway {
    config: Config,
}
