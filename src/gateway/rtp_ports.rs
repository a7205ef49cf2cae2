//! The RTP ports that are free: even ones, the port above each is left to RTCP (RFC 3550 11).

use std::collections::VecDeque;

/// A pool of even ports. The one that was free longest is given next, so that late packets of an
/// ended call do not reach a new one.
#[derive(Debug)]
pub struct RtpPorts {
    free: VecDeque<u16>,
    capacity: usize,
}

impl RtpPorts {
    /// The even ports from `first` to `last`, each with the odd one above it inside the range.
    pub fn new(first: u16, last: u16) -> Self {
        let even = first.saturating_add(first & 1);
        let free: VecDeque<u16> = (even..last).step_by(2).collect();
        RtpPorts { capacity: free.len(), free }
    }

    /// Takes a port; `None` when all are in use.
    pub fn take(&mut self) -> Option<u16> {
        self.free.pop_front()
    }

    /// Gives a port back.
    pub fn give_back(&mut self, port: u16) {
        self.free.push_back(port);
    }

    /// Ports in use.
    pub fn in_use(&self) -> usize {
        self.capacity - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_even_and_leave_room_for_rtcp() {
        let mut ports = RtpPorts::new(20_001, 20_006);
        assert_eq!((ports.take(), ports.take(), ports.take()), (Some(20_002), Some(20_004), None));
        assert_eq!(ports.in_use(), 2);
        ports.give_back(20_004);
        ports.give_back(20_002);
        assert_eq!((ports.take(), ports.in_use()), (Some(20_004), 1));
    }

    #[test]
    fn the_last_port_of_all_is_no_trouble() {
        let mut ports = RtpPorts::new(65_534, 65_535);
        assert_eq!((ports.take(), ports.take()), (Some(65_534), None));
        assert_eq!(RtpPorts::new(65_535, 65_535).take(), None);
    }
}
