//! The connections of somebody who is written by hand, when SIP does not travel in datagrams.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use tipring::simulator::links::{Happened, Links};
use tipring::simulator::network::Packet;
use tipring::sip::transport::{Frame, frame};
use tipring::sip::{ConnectionId, Transport};

/// All connections of one address.
pub struct Wires {
    links: Links,
    /// Open ones, with bytes that are no whole message yet.
    buffers: BTreeMap<ConnectionId, Vec<u8>>,
    /// The one that was last heard of; what is said goes there.
    latest: Option<ConnectionId>,
    opened: u64,
}

impl Wires {
    pub fn new(ip: IpAddr) -> Wires {
        Wires { links: Links::new(ip), buffers: BTreeMap::new(), latest: None, opened: 0 }
    }

    /// Asks for a connection.
    pub fn open(&mut self, by: Transport, remote: SocketAddr) -> Packet {
        self.opened += 1;
        self.links.open(ConnectionId(self.opened), by, remote)
    }

    /// Says something, if a connection is open.
    pub fn say(&self, text: &str) -> Option<Packet> {
        self.links.write(self.latest?, text.as_bytes().to_vec())
    }

    /// Whether a connection is open.
    pub fn is_open(&self) -> bool {
        self.latest.is_some()
    }

    /// Closes all connections.
    pub fn close_all(&mut self) -> Vec<Packet> {
        self.latest = None;
        let heard = std::mem::take(&mut self.buffers).into_keys();
        let all: BTreeSet<ConnectionId> = heard.chain((1..=self.opened).map(ConnectionId)).collect();
        all.into_iter().filter_map(|id| self.links.close(id)).collect()
    }

    /// Takes a packet: the messages that are whole now, and what goes back.
    pub fn take(&mut self, packet: &Packet, listens: Option<Transport>) -> (Vec<Vec<u8>>, Vec<Packet>) {
        let (happened, reply) = self.links.receive(packet, listens);
        let mut replies = Vec::from_iter(reply);
        let mut messages = Vec::new();
        match happened {
            Happened::Nothing => {}
            Happened::Opened(id, _) => self.latest = Some(id),
            Happened::Closed(id) => {
                self.buffers.remove(&id);
                self.latest = self.latest.filter(|latest| *latest != id);
            }
            Happened::Bytes(flow) => {
                let id = flow.connection.expect("bytes come over connections");
                self.latest = Some(id);
                let buffer = self.buffers.entry(id).or_default();
                buffer.extend_from_slice(&packet.bytes);
                loop {
                    match frame(buffer) {
                        Frame::Message(length) => messages.push(buffer.drain(..length).collect()),
                        Frame::KeepAlive { length, ping } => {
                            buffer.drain(..length);
                            replies.extend(ping.then(|| self.links.write(id, b"\r\n".to_vec())).flatten());
                        }
                        Frame::Incomplete => break,
                        Frame::Broken(_) => panic!("bytes without a message: {}", String::from_utf8_lossy(buffer)),
                    }
                }
            }
        }
        (messages, replies)
    }
}
