//! We are the telephone: not yet implemented, and the machine says so.
//!
//! Until it can seize and supervise an exchange line, every call to it is refused with cause 27,
//! destination out of order, and whatever the line does is ignored.

use super::LineOutput;
use crate::trunk::{Cause, Release, TrunkEvent};
use tipring_hal::LineEventKind;

/// The machine of an FXO port.
#[derive(Debug, Default)]
pub(super) struct Fxo {}

impl Fxo {
    /// Nothing that the line does begins a call.
    pub fn handle_event(&mut self, _event: &LineEventKind) {}

    /// Refuses calls. No call ever begins, so nothing else can be meant for this port.
    pub fn handle_trunk(&mut self, event: &TrunkEvent, out: &mut Vec<LineOutput>) {
        if let TrunkEvent::Iam(_) = event {
            out.push(LineOutput::Refuse(Release::here(Cause::OUT_OF_ORDER)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trunk::{CalledStatus, Iam};

    #[test]
    fn a_call_to_an_exchange_line_is_refused_as_out_of_order() {
        let mut machine = Fxo::default();
        let mut out = Vec::new();
        machine.handle_event(&LineEventKind::RingStart);
        machine.handle_trunk(&TrunkEvent::Iam(Iam { called: String::from("2"), ..Iam::default() }), &mut out);
        assert_eq!(out, [LineOutput::Refuse(Release::here(Cause::OUT_OF_ORDER))]);
        out.clear();
        machine.handle_trunk(&TrunkEvent::Acm { status: CalledStatus::NoIndication, in_band: false }, &mut out);
        machine.handle_trunk(&TrunkEvent::Rlc, &mut out);
        assert_eq!(out, []);
    }
}
