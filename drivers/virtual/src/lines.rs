//! The line half: carries out commands, and tells what the hooks do.

use crate::VirtualConfig;
use crate::hand::LineWires;
use crate::port::Port;
use tipring_hal::{CardError, CardErrorKind, Instant, LineCommand, LineEvent, Lines, PortIndex, Readiness};

/// The line half of a virtual card.
pub(crate) struct VirtualLines {
    ports: Vec<Port>,
    /// Events are told in order of time, also when a hand gave its order late.
    last_at: Instant,
}

impl VirtualLines {
    /// Connects the telephones at `now`.
    pub fn new(config: &VirtualConfig, wires: Vec<LineWires>, now: Instant) -> Self {
        let ports = config.ports.iter().zip(wires).enumerate();
        let ports = ports.map(|(index, (port, wires))| {
            // Each port has its own stream of chance, so a further port does not shift the others.
            Port::new(port, config.seed ^ (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15), wires, now)
        });
        VirtualLines { ports: ports.collect(), last_at: now }
    }
}

impl Lines for VirtualLines {
    fn readiness(&self) -> Readiness {
        self.ports.iter().filter_map(Port::next_at).min().map_or(Readiness::Never, Readiness::At)
    }

    fn event(&mut self, now: Instant) -> Option<LineEvent> {
        // Ends: each step takes something from a queue of its port, and puts in only what is later.
        loop {
            let due = self.ports.iter().enumerate().filter_map(|(index, port)| Some((port.next_at()?, index))).min();
            let (at, index) = due.filter(|&(at, _)| at <= now)?;
            self.last_at = self.last_at.max(at);
            if let Some(kind) = self.ports[index].step(self.last_at, now) {
                let at = self.last_at;
                return Some(LineEvent { at, port: PortIndex(index as u16), kind });
            }
        }
    }

    fn command(&mut self, now: Instant, port: PortIndex, command: LineCommand) -> Result<(), CardError> {
        let Some(line) = self.ports.get_mut(usize::from(port.0)) else {
            let message = format!("there is no port {}", port.0);
            return Err(CardError { kind: CardErrorKind::Unsupported, message });
        };
        if !line.command(now, &command) {
            let message = format!("port {} cannot do {command:?}", port.0);
            return Err(CardError { kind: CardErrorKind::Unsupported, message });
        }
        Ok(())
    }
}
