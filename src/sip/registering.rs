//! Registering at a carrier: when to send REGISTER, and what its outcome means (RFC 3261 10.2).
//!
//! ```text
//!   Waiting --time--> Asking --2xx--> Registered --time to refresh--> Asking
//!      ^                |  \              |
//!      |  refused, nobody   \ 423: at once, longer
//!      +--- answers: back-off             | connection lost
//!      +----------------------------------+
//!   any --leave--> Leaving --whatever comes--> Gone
//! ```
//! The waits grow as RFC 5626 4.5 says, and are spread by chance, so that a thousand gateways do not
//! come back to a carrier in the same second. Sending is the caller's.

use super::{Failure, HeaderName, NameAddr, Response};
use crate::time::{Duration, Instant};

/// RFC 5626 4.5: base-time when all flows failed.
const WAIT_FIRST: Duration = Duration::from_secs(30);
/// RFC 5626 4.5: max-time.
const WAIT_MAX: Duration = Duration::from_secs(1800);
/// After the first loss of a connection that was good.
const WAIT_AFTER_LOSS: Duration = Duration::from_secs(2);
/// A refresh begins this much before the end: a transaction takes up to 64 T1.
const REFRESH_AHEAD: Duration = Duration::from_secs(32);
/// Longest life that a registrar may insist on.
const EXPIRES_MAX: Duration = Duration::from_secs(7 * 86_400);
/// Longest Retry-After that is obeyed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// CSeq numbers that one request may use up: itself and two answers to challenges.
const NUMBERS_PER_REQUEST: u32 = 3;

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Until the next attempt.
    Waiting { until: Instant },
    /// REGISTER is under way.
    Asking,
    /// Until the refresh.
    Registered { refresh: Instant },
    /// REGISTER with `Expires: 0` is under way.
    Leaving,
    /// We have left, or never were there and never will be.
    Gone,
}

/// Why it is not registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// This response.
    Refused(u16, String),
    /// No answer.
    Timeout,
    /// It could not be sent.
    Transport,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Refused(status, reason) => write!(f, "{status} {reason}"),
            Trouble::Timeout => f.write_str("no answer"),
            Trouble::Transport => f.write_str("not reachable"),
        }
    }
}

/// A REGISTER to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Call-ID and CSeq number: all requests of a registration share the former (10.2.4).
    pub sequence: (String, u32),
    /// Expires; zero to leave.
    pub expires: Duration,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Registered, for this long.
    Registered(Duration),
    /// Not registered, and when there is another attempt.
    Failed(Trouble, Instant),
    /// The registrar wants a longer life; the next attempt is due at once.
    Longer,
    /// We have left.
    Left,
}

/// A registration of ours.
#[derive(Debug)]
pub struct Registering {
    call_id: String,
    number: u32,
    expires: Duration,
    state: State,
    /// Failures in a row.
    failures: u32,
    /// 423 in a row.
    lengthened: u32,
    /// Until when the registrar keeps us, whatever happens.
    valid_until: Option<Instant>,
    trouble: Option<Trouble>,
}

impl Registering {
    /// Begins at `first`.
    pub fn new(call_id: String, expires: Duration, first: Instant) -> Registering {
        Registering {
            call_id,
            number: 0,
            expires,
            state: State::Waiting { until: first },
            failures: 0,
            lengthened: 0,
            valid_until: None,
            trouble: None,
        }
    }

    /// When the next attempt is due.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Registered { refresh } => Some(refresh),
            State::Asking | State::Leaving | State::Gone => None,
        }
    }

    /// The attempt that is due at `now`, if there is one.
    pub fn attempt(&mut self, now: Instant) -> Option<Attempt> {
        if self.deadline().is_none_or(|at| at > now) {
            return None;
        }
        self.state = State::Asking;
        Some(self.next(self.expires))
    }

    /// The attempt to leave, when the registrar may know us.
    pub fn leave(&mut self, now: Instant) -> Option<Attempt> {
        let known = self.valid_until.is_some_and(|until| until > now) || self.state == State::Asking;
        match self.state {
            State::Leaving | State::Gone => None,
            _ if known => {
                self.state = State::Leaving;
                Some(self.next(Duration::ZERO))
            }
            _ => {
                self.state = State::Gone;
                None
            }
        }
    }

    fn next(&mut self, expires: Duration) -> Attempt {
        // "A UA MUST increment the CSeq value by one for each REGISTER request with the same Call-ID" (10.2).
        self.number = self.number.saturating_add(1);
        Attempt { sequence: (self.call_id.clone(), self.number), expires }
    }

    /// The outcome of the attempt. `contact_user` is the user part of our contact; `spread` is a number
    /// by chance, all of whose values are as likely.
    pub fn answered(
        &mut self,
        now: Instant,
        outcome: Result<&Response, Failure>,
        contact_user: &str,
        spread: u64,
    ) -> News {
        self.number = match outcome.ok().and_then(Response::cseq) {
            Some(cseq) => self.number.max(cseq.number),
            // Who knows how far it came.
            None => self.number.saturating_add(NUMBERS_PER_REQUEST - 1),
        };
        if matches!(self.state, State::Leaving | State::Gone) {
            self.state = State::Gone;
            self.valid_until = None;
            return News::Left;
        }
        match outcome {
            Ok(response) if (200..=299).contains(&response.status) => {
                let granted = granted(response, contact_user).unwrap_or(self.expires).min(EXPIRES_MAX);
                self.registered(now, granted, spread)
            }
            Ok(response) if response.status == 423 => match self.lengthen(response) {
                true => {
                    self.state = State::Waiting { until: now };
                    News::Longer
                }
                false => self.failed(now, trouble_of(response), None, spread),
            },
            Ok(response) => self.failed(now, trouble_of(response), retry_after(response), spread),
            Err(Failure::Transport) => self.failed(now, Trouble::Transport, None, spread),
            Err(Failure::Timeout | Failure::SessionEnded) => self.failed(now, Trouble::Timeout, None, spread),
        }
    }

    fn registered(&mut self, now: Instant, granted: Duration, spread: u64) -> News {
        (self.failures, self.lengthened, self.trouble) = (0, 0, None);
        let ahead = REFRESH_AHEAD + part(granted / 10, spread);
        let until_refresh = granted.checked_sub(ahead).filter(|left| *left > granted / 2).unwrap_or(granted / 2);
        self.valid_until = Some(now + granted);
        // A registrar that grants nothing at all must not be asked all the time.
        self.state = State::Registered { refresh: now + until_refresh.max(Duration::from_secs(1)) };
        News::Registered(granted)
    }

    /// 10.2.8: "the UA MAY retry the registration after making the expiration interval of all contact
    /// addresses equal to or greater than the expiration interval within the Min-Expires".
    fn lengthen(&mut self, response: &Response) -> bool {
        let min = response.headers.text(&HeaderName::MinExpires).and_then(|text| text.trim().parse().ok());
        let min = min.map(Duration::from_secs).filter(|min| *min > self.expires && *min <= EXPIRES_MAX);
        self.lengthened += 1;
        match min.filter(|_| self.lengthened <= 2) {
            Some(min) => {
                self.expires = min;
                true
            }
            None => false,
        }
    }

    fn failed(&mut self, now: Instant, trouble: Trouble, at_least: Option<Duration>, spread: u64) -> News {
        // "W = min( max-time, (base-time * (2 ^ consecutive-failures)))", and of that a "random time between
        // 50 and 100%" (RFC 5626 4.5).
        let doublings = self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        self.lengthened = 0;
        let longest = WAIT_FIRST.saturating_mul(1 << doublings).min(WAIT_MAX);
        let wait = (longest / 2 + part(longest / 2, spread)).max(at_least.unwrap_or_default());
        self.state = State::Waiting { until: now + wait };
        self.trouble = Some(trouble.clone());
        News::Failed(trouble, now + wait)
    }

    /// The connection that we are reached by is gone.
    pub fn connection_lost(&mut self, now: Instant, spread: u64) {
        if let State::Registered { .. } = self.state {
            let wait = WAIT_AFTER_LOSS / 2 + part(WAIT_AFTER_LOSS / 2, spread);
            self.state = State::Waiting { until: now + wait };
            self.valid_until = None;
            self.trouble = Some(Trouble::Transport);
        }
    }

    /// Whether the registrar sends us calls.
    pub fn is_registered(&self, now: Instant) -> bool {
        self.valid_until.is_some_and(|until| until > now)
    }

    /// Whether nothing is under way or to come.
    pub fn is_gone(&self) -> bool {
        self.state == State::Gone
    }

    /// The state in words.
    pub fn in_words(&self, now: Instant) -> String {
        let seconds = |until: Instant| until.since(now).as_secs();
        let trouble = self.trouble.as_ref().map(|trouble| format!(": {trouble}")).unwrap_or_default();
        match (self.state, self.valid_until.filter(|until| *until > now)) {
            (State::Gone, _) => "unregistered".to_owned(),
            (State::Leaving, _) => "unregistering".to_owned(),
            (State::Asking, None) => format!("registering{trouble}"),
            (State::Waiting { until }, None) => {
                format!("not registered{trouble}, next attempt in {} s", seconds(until))
            }
            (State::Registered { .. }, None) => "registration expired".to_owned(),
            (State::Waiting { .. }, Some(until)) => {
                format!("registered for {} s more, refresh failed{trouble}", seconds(until))
            }
            (_, Some(until)) => format!("registered for {} s more", seconds(until)),
        }
    }
}

/// A part of a time, by chance.
fn part(of: Duration, spread: u64) -> Duration {
    let milliseconds = u64::try_from(of.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
    Duration::from_millis(spread % milliseconds)
}

/// The life that a 2xx gives our contact (10.2.4): its own parameter, or Expires for all.
fn granted(response: &Response, contact_user: &str) -> Option<Duration> {
    let contacts = response.headers.all(&HeaderName::Contact);
    let mut contacts = contacts.filter_map(|value| NameAddr::parse_list(value).ok()).flatten();
    let ours = contacts.find(|contact| contact.uri.user().as_deref() == Some(contact_user));
    let own = ours.and_then(|contact| contact.params.get("expires")?.parse().ok());
    let all = || response.headers.text(&HeaderName::Expires).and_then(|text| text.trim().parse().ok());
    own.or_else(all).map(Duration::from_secs)
}

fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers.text(&HeaderName::RetryAfter)?;
    let digits = text.trim_start().split(|c: char| !c.is_ascii_digit()).next()?;
    Some(Duration::from_secs(digits.parse().ok()?).min(RETRY_AFTER_MAX))
}

fn trouble_of(response: &Response) -> Trouble {
    Trouble::Refused(response.status, response.reason.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Instant = Instant::ZERO;

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1_000)
    }

    fn registering() -> Registering {
        let mut it = Registering::new("one".to_owned(), Duration::from_secs(600), T0);
        let attempt = it.attempt(T0).expect("due at once");
        assert_eq!(attempt, Attempt { sequence: ("one".to_owned(), 1), expires: Duration::from_secs(600) });
        assert_eq!(it.attempt(T0), None, "one at a time");
        it
    }

    fn response(status: u16, number: u32) -> Response {
        Response::new(status).with(HeaderName::CSeq, format!("{number} REGISTER"))
    }

    #[test]
    fn a_registration_is_refreshed_before_it_ends() {
        let mut it = registering();
        let ok = response(200, 2).with(HeaderName::Contact, "<sip:other@h>;expires=9, <sip:me@h>;expires=300");
        assert_eq!(it.answered(T0, Ok(&ok), "me", 0), News::Registered(Duration::from_secs(300)));
        assert_eq!(it.deadline(), Some(at(268)));
        assert_eq!(it.in_words(at(10)), "registered for 290 s more");
        let refresh = it.attempt(at(268)).expect("due");
        assert_eq!(refresh.sequence.1, 3, "the challenge took 2");
        assert!(it.is_registered(at(299)) && !it.is_registered(at(300)));
    }

    #[test]
    fn a_short_life_is_refreshed_at_half_time_and_none_at_all_not_at_once() {
        for (granted, refresh) in [(60, 30), (64, 32), (66, 34), (1, 1), (0, 1)] {
            let mut it = registering();
            it.answered(T0, Ok(&response(200, 1).with(HeaderName::Expires, granted)), "me", 0);
            assert_eq!(it.deadline(), Some(at(refresh)), "{granted}");
        }
    }

    #[test]
    fn too_brief_is_answered_with_the_least_that_is_taken() {
        let mut it = registering();
        let brief = |min: u32| response(423, 1).with(HeaderName::MinExpires, min);
        assert_eq!(it.answered(T0, Ok(&brief(1800)), "me", 0), News::Longer);
        assert_eq!(it.attempt(T0).expect("at once").expires, Duration::from_secs(1800));
        // A registrar that is never content is not asked for ever.
        assert_eq!(it.answered(T0, Ok(&brief(3600)), "me", 0), News::Longer);
        it.attempt(T0);
        assert!(matches!(it.answered(T0, Ok(&brief(7200)), "me", 0), News::Failed(..)));
        let mut it = registering();
        assert!(matches!(it.answered(T0, Ok(&brief(60)), "me", 0), News::Failed(..)), "no reason to try again");
    }

    #[test]
    fn waits_double_up_to_half_an_hour_and_are_spread() {
        let (mut it, mut now) = (registering(), T0);
        for longest in [30, 60, 120, 240, 480, 960, 1800, 1800] {
            let News::Failed(Trouble::Timeout, next) = it.answered(now, Err(Failure::Timeout), "me", u64::MAX / 3)
            else {
                panic!()
            };
            let wait = next.since(now);
            assert!(wait >= Duration::from_secs(longest / 2) && wait <= Duration::from_secs(longest), "{wait:?}");
            now = next;
            it.attempt(now).expect("due");
        }
        it.answered(now, Ok(&response(200, 90)), "me", 0);
        now += Duration::from_secs(569);
        it.attempt(now).expect("the refresh");
        let News::Failed(_, next) = it.answered(now, Err(Failure::Transport), "me", 0) else { panic!() };
        assert_eq!(next.since(now), Duration::from_secs(15), "success forgets the failures");
        assert_eq!(it.in_words(now), "registered for 31 s more, refresh failed: not reachable");
    }

    #[test]
    fn retry_after_is_obeyed_and_the_reason_is_said() {
        let mut it = registering();
        let busy = response(503, 1).with(HeaderName::RetryAfter, "120 (maintenance)");
        it.answered(T0, Ok(&busy), "me", 0);
        assert_eq!(it.deadline(), Some(at(120)));
        assert_eq!(it.in_words(T0), "not registered: 503 Service Unavailable, next attempt in 120 s");
    }

    #[test]
    fn a_lost_connection_is_made_good_soon() {
        let mut it = registering();
        it.answered(T0, Ok(&response(200, 1)), "me", 0);
        it.connection_lost(at(5), 0);
        assert!(!it.is_registered(at(5)));
        assert_eq!(it.deadline(), Some(at(6)));
    }

    #[test]
    fn leaving_takes_one_request_and_only_when_somebody_may_know_us() {
        let mut it = registering();
        it.answered(T0, Ok(&response(200, 1)), "me", 0);
        let leave = it.leave(at(1)).expect("known");
        assert_eq!((leave.sequence.1, leave.expires), (2, Duration::ZERO));
        assert_eq!(it.leave(at(1)), None);
        assert!(!it.is_gone());
        assert_eq!(it.answered(at(2), Err(Failure::Timeout), "me", 0), News::Left);
        assert!(it.is_gone() && it.deadline().is_none());

        let mut never = Registering::new("two".to_owned(), Duration::from_secs(600), T0);
        assert_eq!(never.leave(T0), None);
        assert!(never.is_gone());
    }
}
