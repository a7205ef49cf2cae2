//! The hook: from a bouncing contact to what the user did.
//!
//! ```text
//!   raw contact  --debounce-->  settled  --length of the break-->  lifted | break ended | hung up
//! ```
//!
//! Two rules. *Settling*: a contact is believed when it has rested for [`HOOK_SETTLES`]; the time of
//! the change is the first transition of the bounce, so that breaks keep their length. *Breaks*: an
//! open loop is a break until it has lasted longer than a break can in that state; only then the
//! user has hung up.

use crate::time::{Duration, Instant};

/// Contacts of a hook switch bounce for up to 10 ms; the shortest make of a dial is 30 ms.
pub(super) const HOOK_SETTLES: Duration = Duration::from_millis(20);

/// A hook switch.
#[derive(Debug)]
pub(super) struct Hook {
    settles: Duration,
    raw: bool,
    raw_since: Instant,
    settled: bool,
    /// First transition of the bounce that led away from `settled`.
    leaving_since: Instant,
    handset: Handset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handset {
    Down,
    Lifted,
    /// Lifted, and the loop is open: a break, or the beginning of a hang-up.
    Break {
        since: Instant,
    },
}

/// What the user did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HookAct {
    /// The handset was lifted.
    Lifted,
    /// The loop was open for so long, and closed again at `closed_at`.
    BreakEnded { length: Duration, closed_at: Instant },
    /// The handset was put down.
    HungUp,
}

impl Hook {
    /// A hook whose handset is down.
    pub fn new(settles: Duration) -> Self {
        Hook {
            settles,
            raw: false,
            raw_since: Instant::ZERO,
            settled: false,
            leaving_since: Instant::ZERO,
            handset: Handset::Down,
        }
    }

    /// The card says that the contact closed (`true`) or opened.
    pub fn handle_contact(&mut self, now: Instant, closed: bool) {
        if closed == self.raw {
            return;
        }
        // A contact that had not rested is still in the bounce that began earlier.
        if closed != self.settled && now.since(self.raw_since) >= self.settles {
            self.leaving_since = now;
        }
        self.raw = closed;
        self.raw_since = now;
    }

    /// Whether the handset is lifted, breaks included.
    pub fn is_lifted(&self) -> bool {
        self.handset != Handset::Down
    }

    /// When a contact that moved is believed; `None` when it rests.
    pub fn settles_at(&self) -> Option<Instant> {
        (self.raw != self.settled).then(|| self.raw_since + self.settles)
    }

    /// Believes a hang-up if the loop is open, however short the break is; says whether it was.
    pub fn end_break(&mut self) -> bool {
        let is_open = matches!(self.handset, Handset::Break { .. });
        if is_open {
            self.handset = Handset::Down;
        }
        is_open
    }

    /// When [`Hook::poll`] has something to say; `break_max` is how long a break may last.
    pub fn deadline(&self, break_max: Option<Duration>) -> Option<Instant> {
        self.settles_at().into_iter().chain(self.hung_up_at(break_max)).min()
    }

    /// The next thing that the user has done by `now`. `break_max` is how long a break may last in
    /// the present state; `None`: a hang-up is not believed at all.
    pub fn poll(&mut self, now: Instant, break_max: Option<Duration>) -> Option<HookAct> {
        if self.settles_at().is_some_and(|at| at <= now) {
            self.settled = self.raw;
            if let Some(act) = self.settle() {
                return Some(act);
            }
        }
        if self.hung_up_at(break_max).is_some_and(|at| at <= now) {
            self.handset = Handset::Down;
            return Some(HookAct::HungUp);
        }
        None
    }

    fn settle(&mut self) -> Option<HookAct> {
        let since = self.leaving_since;
        match (self.handset, self.settled) {
            (Handset::Down, true) => {
                self.handset = Handset::Lifted;
                Some(HookAct::Lifted)
            }
            (Handset::Break { since: opened_at }, true) => {
                self.handset = Handset::Lifted;
                Some(HookAct::BreakEnded { length: since.since(opened_at), closed_at: since })
            }
            (Handset::Lifted, false) => {
                self.handset = Handset::Break { since };
                None
            }
            (Handset::Lifted, true) | (Handset::Down | Handset::Break { .. }, false) => None,
        }
    }

    fn hung_up_at(&self, break_max: Option<Duration>) -> Option<Instant> {
        // The contact may be closed already and only not have rested yet: then the break ended in time.
        match self.handset {
            Handset::Break { since } if self.raw == self.settled => Some(since + break_max?),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_BREAKS: Option<Duration> = Some(Duration::ZERO);

    fn ms(millis: u64) -> Instant {
        Instant::from_millis(1000 + millis)
    }

    /// Feeds transitions, alternating from "closed", and collects what the user did and when.
    fn acts(hook: &mut Hook, transitions: &[u64], until: u64, break_max: Option<Duration>) -> Vec<(u64, HookAct)> {
        let mut acts = Vec::new();
        for millis in 0..=until {
            while let Some(act) = hook.poll(ms(millis), break_max) {
                acts.push((millis, act));
            }
            for (index, _) in transitions.iter().enumerate().filter(|&(_, &at)| at == millis) {
                hook.handle_contact(ms(millis), index % 2 == 0);
            }
        }
        acts
    }

    #[test]
    fn a_bouncing_contact_is_one_lift() {
        let mut hook = Hook::new(HOOK_SETTLES);
        assert_eq!(acts(&mut hook, &[5, 7, 8, 11, 13], 100, NO_BREAKS), [(33, HookAct::Lifted)]);
    }

    #[test]
    fn a_contact_that_does_not_rest_is_nothing() {
        let mut hook = Hook::new(HOOK_SETTLES);
        assert_eq!(acts(&mut hook, &[5, 24, 30, 49], 100, NO_BREAKS), []);
        assert!(!hook.is_lifted());
    }

    #[test]
    fn a_break_keeps_its_length_although_both_ends_bounce() {
        let mut hook = Hook::new(HOOK_SETTLES);
        let transitions = [0, 100, 102, 104, 161, 163, 166];
        let ended = HookAct::BreakEnded { length: Duration::from_millis(61), closed_at: ms(161) };
        let all = acts(&mut hook, &transitions, 400, Some(Duration::from_millis(200)));
        assert_eq!(all, [(20, HookAct::Lifted), (186, ended)]);
    }

    #[test]
    fn a_hang_up_is_known_when_no_break_can_be_that_long() {
        for (break_max, at) in [(0, 120), (200, 300), (1000, 1100)] {
            let mut hook = Hook::new(HOOK_SETTLES);
            let all = acts(&mut hook, &[0, 100], 2000, Some(Duration::from_millis(break_max)));
            assert_eq!(all, [(20, HookAct::Lifted), (at, HookAct::HungUp)]);
            assert!(!hook.is_lifted());
        }
        let mut hook = Hook::new(HOOK_SETTLES);
        assert_eq!(acts(&mut hook, &[0, 100], 2000, None), [(20, HookAct::Lifted)]);
        assert!(hook.is_lifted());
        assert!(hook.end_break() && !hook.is_lifted() && !hook.end_break());
    }

    #[test]
    fn the_deadline_is_when_something_is_known() {
        let mut hook = Hook::new(HOOK_SETTLES);
        assert_eq!(hook.deadline(NO_BREAKS), None);
        hook.handle_contact(ms(0), true);
        assert_eq!(hook.deadline(NO_BREAKS), Some(ms(20)));
        assert_eq!(hook.poll(ms(20), NO_BREAKS), Some(HookAct::Lifted));
        hook.handle_contact(ms(50), false);
        assert_eq!(hook.poll(ms(70), Some(Duration::from_millis(200))), None);
        assert_eq!(hook.deadline(Some(Duration::from_millis(200))), Some(ms(250)));
        assert_eq!(hook.deadline(None), None);
    }

    #[test]
    fn a_card_that_debounces_is_believed_at_once() {
        let mut hook = Hook::new(Duration::ZERO);
        hook.handle_contact(ms(0), true);
        assert_eq!(hook.poll(ms(0), NO_BREAKS), Some(HookAct::Lifted));
        hook.handle_contact(ms(9), false);
        assert_eq!(hook.poll(ms(9), NO_BREAKS), Some(HookAct::HungUp));
    }
}
