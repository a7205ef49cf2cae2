//! Digits that come in parts (RFC 3578): when a call from a circuit goes off, and when its far exchange is told so.
//!
//! ```text
//!              more digits needed: T35 ── expires ──▶ REL 28
//!   IAM, SAM ─ complete, may grow: T10 ── expires ──▶ goes off ─ T11 ── expires ──▶ early ACM
//!              complete, or ST ─────────────────────▶ goes off     └─ 484 ─▶ waits for SAM: T35
//!              no number can become of it ──────────▶ goes off, and is refused by the route
//! ```
//!
//! The digits are made one block ("en-bloc") before the call goes anywhere (RFC 3578 2). A SIP network that knows better
//! than our dial plan says 484: the call then waits for more digits, and goes off again with all of them (RFC 3578 3.2: "If
//! 4xx, 5xx or 6xx final responses arrive (e.g., 484 address incomplete) [...] the gateway should not send any REL. A REL
//! is sent only if no more SAMs arrive, T10 expires").
//!
//! It holds no call and reads no clock: the gateway asks it and does what it says.

use crate::dialplan::Completeness;
use crate::isup::timers::{Timer, Timers};
use crate::limits;
use crate::time::{Duration, Instant};
use crate::trunk::Cause;

/// What the gateway does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing yet: see [`Overlap::deadline`].
    Wait,
    /// The call goes to this number.
    Route(String),
    /// Say ACM without indication, unless one was said: the far exchange would give up (RFC 3398 8.2.8).
    EarlyAcm,
    /// Release the call.
    Release(Cause),
}

/// Where the digits of a call stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// More are needed (T35), or may come (T10).
    Collecting { until: Instant, is_number: bool },
    /// The call goes its way; the far exchange is told by then that it does.
    Routed { acm_by: Option<Instant> },
    /// The way that it went knows that digits are missing.
    Refused { until: Instant, has_more: bool },
    /// Nothing more is asked.
    Over,
}

/// The digits of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    digits: String,
    is_complete: bool,
    state: State,
    acm_said: bool,
    t10: Duration,
    t11: Duration,
    t35: Duration,
}

impl Overlap {
    /// The digits of an IAM. `more_digits`: no ST came with them. `analyse` is the dial plan: what more digits would
    /// change.
    pub fn begin(
        now: Instant,
        digits: &str,
        more_digits: bool,
        timers: &Timers,
        analyse: impl FnOnce(&str) -> Completeness,
    ) -> (Overlap, Decision) {
        let mut overlap = Overlap {
            digits: digits.to_owned(),
            is_complete: !more_digits,
            state: State::Over,
            acm_said: false,
            t10: timers.of(Timer::T10),
            t11: timers.of(Timer::T11),
            t35: timers.of(Timer::T35),
        };
        let decision = overlap.decide(now, analyse);
        (overlap, decision)
    }

    /// Whether ST said that no more digits follow.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// All digits so far.
    pub fn digits(&self) -> &str {
        &self.digits
    }

    /// The digits of a SAM; an `F` behind them is ST.
    ///
    /// RFC 3578 2.2: "an INVITE with the digits collected so far is sent to the SIP side. After this, any SAM received is
    /// ignored"; it is kept only for the case that they are missed, see [`Overlap::refused`].
    pub fn more(&mut self, now: Instant, sam: &str, analyse: impl FnOnce(&str) -> Completeness) -> Decision {
        if self.is_complete || self.acm_said || self.state == State::Over {
            return Decision::Wait;
        }
        let (digits, has_end) = sam.strip_suffix('F').map_or((sam, false), |digits| (digits, true));
        if self.digits.chars().count() + digits.chars().count() > limits::DIGITS_MAX {
            // What is cut could be somebody else's number. A call that is under way has its digits.
            return match self.state {
                State::Routed { .. } => Decision::Wait,
                _ => self.give_up(),
            };
        }
        self.digits.push_str(digits);
        self.is_complete = has_end;
        match self.state {
            State::Collecting { .. } => self.decide(now, analyse),
            // "an updated Request-URI. The new Request-URI contains all the digits received so far".
            State::Refused { .. } => self.route(now),
            // "T11 [...] after receiving the latest address message".
            State::Routed { .. } => {
                self.state = State::Routed { acm_by: Some(now + self.t11) };
                Decision::Wait
            }
            State::Over => Decision::Wait,
        }
    }

    fn decide(&mut self, now: Instant, analyse: impl FnOnce(&str) -> Completeness) -> Decision {
        if self.is_complete {
            // Whether such a number exists is for the route to say.
            return self.route(now);
        }
        match analyse(&self.digits) {
            Completeness::Complete | Completeness::Impossible => self.route(now),
            Completeness::CompleteMayGrow => {
                self.state = State::Collecting { until: now + self.t10, is_number: true };
                Decision::Wait
            }
            Completeness::Incomplete => {
                self.state = State::Collecting { until: now + self.t35, is_number: false };
                Decision::Wait
            }
        }
    }

    fn give_up(&mut self) -> Decision {
        self.state = State::Over;
        Decision::Release(Cause::INCOMPLETE)
    }

    fn route(&mut self, now: Instant) -> Decision {
        self.state = State::Routed { acm_by: Some(now + self.t11).filter(|_| !self.acm_said) };
        Decision::Route(self.digits.clone())
    }

    /// The way that the call went refused it with 484, or cause 28. `sent`: how many digits it went off with.
    pub fn refused(&mut self, now: Instant, sent: usize) -> Decision {
        let State::Routed { .. } = self.state else { return Decision::Wait };
        let has_more = sent < self.digits.chars().count();
        if self.acm_said || (self.is_complete && !has_more) {
            return self.give_up();
        }
        // Digits that came while it was under way let it go off again as soon as its last way is given up.
        let until = if has_more { now } else { now + self.t35 };
        self.state = State::Refused { until, has_more };
        Decision::Wait
    }

    /// The far exchange was told ACM, CON or ANM, or the call ends: the number is what it is.
    pub fn settled(&mut self) {
        self.acm_said = true;
        self.state = State::Over;
    }

    /// When [`Overlap::handle_timeout`] is to be called.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Collecting { until, .. } | State::Refused { until, .. } => Some(until),
            State::Routed { acm_by } => acm_by,
            State::Over => None,
        }
    }

    /// The deadline has come.
    pub fn handle_timeout(&mut self, now: Instant) -> Decision {
        if self.deadline().is_none_or(|at| at > now) {
            return Decision::Wait;
        }
        match self.state {
            State::Collecting { is_number: true, .. } | State::Refused { has_more: true, .. } => self.route(now),
            // RFC 3578 2.1: "If T35 expires before the minimum amount of digits (or a stop digit) has been received, a
            // REL with cause value 28 is sent".
            State::Collecting { is_number: false, .. } | State::Refused { has_more: false, .. } => self.give_up(),
            State::Routed { .. } => {
                self.acm_said = true;
                self.state = State::Routed { acm_by: None };
                Decision::EarlyAcm
            }
            State::Over => Decision::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// 8000 and 80001 to 80999 are numbers.
    fn plan(digits: &str) -> Completeness {
        match digits {
            "8000" => Completeness::CompleteMayGrow,
            _ if digits.starts_with("80") && digits.len() == 5 => Completeness::Complete,
            _ if "8000".starts_with(digits) || (digits.starts_with("80") && digits.len() < 5) => {
                Completeness::Incomplete
            }
            _ => Completeness::Impossible,
        }
    }

    fn begin(digits: &str, more_digits: bool) -> (Overlap, Decision) {
        Overlap::begin(Instant::ZERO, digits, more_digits, &Timers::default(), plan)
    }

    fn after(timer: Timer) -> Instant {
        Instant::ZERO + Timers::default().of(timer)
    }

    fn route(digits: &str) -> Decision {
        Decision::Route(digits.to_owned())
    }

    #[test]
    fn a_number_that_is_complete_goes_off_at_once_and_digits_behind_st_are_none() {
        let (mut overlap, decision) = begin("80017", true);
        assert_eq!((decision, overlap.deadline()), (route("80017"), Some(after(Timer::T11))));
        assert_eq!(overlap.more(Instant::ZERO, "9", plan), Decision::Wait);
        let (mut overlap, decision) = begin("8000", false);
        assert_eq!(decision, route("8000"), "ST");
        assert_eq!(overlap.more(Instant::ZERO, "1", plan), Decision::Wait);
        assert_eq!(overlap.digits(), "8000");
    }

    #[test]
    fn digits_that_are_missing_are_awaited_and_their_lack_releases_the_call() {
        let (mut overlap, decision) = begin("80", true);
        assert_eq!((decision, overlap.deadline()), (Decision::Wait, Some(after(Timer::T35))));
        let later = Instant::ZERO + SECOND;
        assert_eq!(overlap.more(later, "0", plan), Decision::Wait);
        let until = overlap.deadline().expect("T35 again");
        assert_eq!(until, after(Timer::T35) + SECOND, "every digit starts it anew");
        assert_eq!(overlap.handle_timeout(later), Decision::Wait, "too early");
        assert_eq!(overlap.handle_timeout(until), Decision::Release(Cause::INCOMPLETE));
        assert_eq!((overlap.deadline(), overlap.more(until, "0", plan)), (None, Decision::Wait), "over is over");
    }

    #[test]
    fn a_number_that_may_grow_goes_off_after_t10_or_with_st() {
        let (mut overlap, _) = begin("8000", true);
        assert_eq!(overlap.deadline(), Some(after(Timer::T10)));
        assert_eq!(overlap.clone().handle_timeout(after(Timer::T10)), route("8000"));
        assert_eq!(overlap.clone().more(Instant::ZERO, "F", plan), route("8000"));
        assert_eq!(overlap.more(Instant::ZERO, "7", plan), route("80007"));
    }

    #[test]
    fn what_no_digits_can_make_a_number_goes_off_to_be_refused() {
        assert_eq!(begin("9", true).1, route("9"));
        let (mut overlap, _) = begin("80", true);
        assert_eq!(overlap.more(Instant::ZERO, "0000", plan), route("800000"));
    }

    #[test]
    fn silence_behind_the_call_is_told_as_an_early_acm_once() {
        let (mut overlap, _) = begin("80017", true);
        let at = after(Timer::T11);
        assert_eq!(overlap.handle_timeout(at), Decision::EarlyAcm);
        assert_eq!((overlap.deadline(), overlap.handle_timeout(at + SECOND)), (None, Decision::Wait));
        let (mut overlap, _) = begin("80017", true);
        overlap.settled();
        assert_eq!((overlap.deadline(), overlap.handle_timeout(at)), (None, Decision::Wait), "ACM was said");
    }

    #[test]
    fn after_484_the_call_waits_for_digits_and_goes_off_with_all_of_them() {
        let (mut overlap, _) = begin("80017", true);
        assert_eq!(overlap.refused(Instant::ZERO, 5), Decision::Wait);
        assert_eq!(overlap.deadline(), Some(after(Timer::T35)));
        assert_eq!(overlap.clone().handle_timeout(after(Timer::T35)), Decision::Release(Cause::INCOMPLETE));
        assert_eq!(overlap.more(Instant::ZERO, "23F", plan), route("8001723"));
        assert_eq!(overlap.refused(Instant::ZERO, 7), Decision::Release(Cause::INCOMPLETE), "it was all there is");
    }

    #[test]
    fn digits_that_came_while_the_call_was_under_way_are_not_lost() {
        let (mut overlap, _) = begin("80017", true);
        assert_eq!(overlap.more(Instant::ZERO + SECOND, "2", plan), Decision::Wait);
        assert_eq!(overlap.deadline(), Some(after(Timer::T11) + SECOND), "the latest address message counts");
        let now = Instant::ZERO + SECOND;
        assert_eq!((overlap.refused(now, 5), overlap.deadline()), (Decision::Wait, Some(now)));
        assert_eq!(overlap.handle_timeout(now), route("800172"));
    }

    #[test]
    fn digits_beyond_the_limit_are_refused() {
        let more = |count: usize| {
            let (mut overlap, _) = begin("80", true);
            overlap.more(Instant::ZERO, &"0".repeat(count), |_| Completeness::Incomplete)
        };
        assert_eq!(more(limits::DIGITS_MAX - 2), Decision::Wait);
        assert_eq!(more(limits::DIGITS_MAX - 1), Decision::Release(Cause::INCOMPLETE));
    }
}
