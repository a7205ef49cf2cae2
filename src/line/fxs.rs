//! We are the exchange: states follow.

use super::{Completeness, LineOutput, LineStatus, Settings};
use crate::time::Instant;
use crate::trunk::{Cause, Release, TrunkEvent};
use tipring_hal::{Abilities, Digit, LineEventKind};

/// The machine of an FXS port.
#[derive(Debug)]
pub(super) struct Fxs {}

impl Fxs {
    pub fn new(_abilities: Abilities, _settings: Settings) -> Self {
        Fxs {}
    }
    pub fn handle_event(
        &mut self,
        _now: Instant,
        _event: &LineEventKind,
        _out: &mut Vec<LineOutput>,
    ) {
    }
    pub fn handle_digit(&mut self, _now: Instant, _digit: Digit, _out: &mut Vec<LineOutput>) {}
    pub fn handle_completeness(
        &mut self,
        _now: Instant,
        _completeness: Completeness,
        _out: &mut Vec<LineOutput>,
    ) {
    }
    pub fn handle_trunk(&mut self, _now: Instant, event: &TrunkEvent, out: &mut Vec<LineOutput>) {
        if let TrunkEvent::Iam(_) = event {
            out.push(LineOutput::Refuse(Release::here(Cause::OUT_OF_ORDER)));
        }
    }
    pub fn handle_timeout(&mut self, _now: Instant, _out: &mut Vec<LineOutput>) {}
    pub fn deadline(&self) -> Option<Instant> {
        None
    }
    pub fn status(&self) -> LineStatus {
        LineStatus::OutOfService
    }
    pub fn has_call(&self) -> bool {
        false
    }
}
