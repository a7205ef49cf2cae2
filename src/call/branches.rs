//! The branches of a fork: events of branch *n* to what the called side says.
//!
//! ```text
//!                    ACM, CPG                       ANM of one
//!   ring(n) ─▶ Calling ───▶ Rings ─────────────────────────▶ Won; REL 26 to all others
//!                 │            │
//!                 │  REL of n  │  time is over, the caller gave up: REL to n
//!                 ▼            ▼
//!            failure noted   Clearing ── RLC, REL of n ──▶ gone
//! ```
//!
//! One call rings any number of branches, at once or one after the other; towards the machine that
//! joins two legs ([`super::b2bua`]) they are one called side. The rules are those of a forking
//! proxy (RFC 3261 16.7), told in trunk events so that a telephone line may be a branch as well.
//!
//! - The first answer wins. The others are released with cause 26, non-selected user clearing; one that
//!   answers at the same moment is released like one that rings, by its leg (BYE instead of CANCEL).
//! - The caller hears the first branch that has media, and ringback while there is none.
//! - A branch that is alone is passed on word for word. Of several the caller is told only what is
//!   new to it: that the call rings, is forwarded or queued.
//! - When all have failed, the best failure is the one of the called side, see [`Failure::is_better`].
//!
//! It does not know what a leg is, which branch comes next, or how long one may ring.

use crate::trunk::{CalledStatus, Cause, Progress, Release, TrunkEvent, interwork};

/// Names a branch inside its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BranchId(pub u16);

/// Names whom a branch belongs to: the contacts of one telephone are one party.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Party(pub u16);

/// How a branch failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it said.
    pub release: Release,
    /// The SIP status with which it said so, if it did.
    pub status: Option<u16>,
    /// Whether it rang before.
    pub rang: bool,
}

impl Failure {
    /// A failure before anything was sent.
    pub fn at_once(release: Release) -> Failure {
        Failure { release, status: None, rang: false }
    }

    /// The SIP status, or what the release becomes (RFC 3398 7.2.4.1).
    pub fn status(&self) -> u16 {
        self.status.unwrap_or_else(|| interwork::status_of(self.release))
    }

    /// RFC 3261 16.7 step 6: "the proxy MUST forward [a 6xx] [...]. Otherwise [...] the lowest response
    /// class [...]. A proxy SHOULD give preference to responses that provide information affecting
    /// resubmission [...] 401, 407, 415, 420, and 484". Among equals the first one stays.
    pub fn is_better(&self, than: &Failure) -> bool {
        self.rank() < than.rank()
    }

    fn rank(&self) -> (u16, u16) {
        let status = self.status();
        let class = match status / 100 {
            6 => 0,
            class => class,
        };
        let preferred = match status {
            401 | 407 | 415 | 420 | 484 => 0,
            // A person who is there and busy says more than one who is not.
            486 => 1,
            // "A proxy which receives a 503 [...] SHOULD NOT forward it": any other 5xx says more.
            503 => 3,
            _ => 2,
        };
        (class, preferred)
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Do {
    /// The called side says this to the machine that joins two legs.
    Say(TrunkEvent),
    /// Say this to the leg of a branch.
    Tell(BranchId, TrunkEvent),
    /// From now on the caller hears this branch.
    Hear(BranchId),
    /// This branch is the called side. Once a fork.
    Win(BranchId),
    /// The branch is over; its leg can be forgotten.
    Gone(BranchId),
    /// Nothing rings any more, and nobody has answered or given up.
    AllFailed,
}

/// Where a branch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    /// IAM went out.
    Calling,
    /// It said that it rings.
    Rings,
    /// REL went out; RLC is owed.
    Clearing,
}

#[derive(Clone, Copy, Debug)]
struct Branch {
    id: BranchId,
    party: Party,
    stand: Stand,
}

/// Where the fork stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Somebody may answer.
    Open,
    /// Somebody has.
    Won,
    /// The other side released; RLC is owed to it as long as a branch owes one.
    Released,
    /// RLC was said.
    Over,
}

/// All branches of a call.
#[derive(Clone, Debug)]
pub struct Branches {
    live: Vec<Branch>,
    next: u16,
    state: State,
    /// Whose media the caller hears.
    heard: Option<BranchId>,
    /// The caller was told that it rings.
    told_ringing: bool,
    /// Parties of whom a branch refused for all (6xx).
    declined: Vec<Party>,
    best: Option<Failure>,
    /// The best one since [`Branches::begin_stage`].
    best_of_stage: Option<Failure>,
}

impl Default for Branches {
    fn default() -> Self {
        Branches {
            live: Vec::new(),
            next: 0,
            state: State::Open,
            heard: None,
            told_ringing: false,
            declined: Vec::new(),
            best: None,
            best_of_stage: None,
        }
    }
}

impl Branches {
    /// A new branch: IAM goes out to it.
    pub fn ring(&mut self, party: Party) -> BranchId {
        let id = BranchId(self.next);
        self.next = self.next.saturating_add(1);
        self.live.push(Branch { id, party, stand: Stand::Calling });
        id
    }

    /// Takes a branch back whose leg could not be made, and notes why.
    pub fn take_back(&mut self, id: BranchId, failure: Failure) {
        self.live.retain(|branch| branch.id != id);
        self.note(failure);
    }

    /// Notes a failure of somebody who never became a branch.
    pub fn note(&mut self, failure: Failure) {
        for best in [&mut self.best, &mut self.best_of_stage] {
            if best.is_none_or(|best| failure.is_better(&best)) {
                *best = Some(failure);
            }
        }
    }

    /// Others are tried from now on; what failed before stays noted for the end.
    pub fn begin_stage(&mut self) {
        self.best_of_stage = None;
    }

    /// The best failure of all.
    pub fn best(&self) -> Option<Failure> {
        self.best
    }

    /// The best failure since the last [`Branches::begin_stage`].
    pub fn best_of_stage(&self) -> Option<Failure> {
        self.best_of_stage
    }

    /// How many branches were made.
    pub fn made(&self) -> usize {
        usize::from(self.next)
    }

    /// Whose media the caller hears.
    pub fn heard(&self) -> Option<BranchId> {
        self.heard
    }

    /// Whom a branch belongs to; `None` once it is gone.
    pub fn party_of(&self, id: BranchId) -> Option<Party> {
        self.live.iter().find(|branch| branch.id == id).map(|branch| branch.party)
    }

    /// Whether somebody may still answer.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether a branch is there that was not released.
    pub fn rings(&self) -> bool {
        self.live.iter().any(|branch| branch.stand != Stand::Clearing)
    }

    /// Whether a branch said that it rings, and was not released.
    pub fn has_rung(&self) -> bool {
        self.live.iter().any(|branch| branch.stand == Stand::Rings)
    }

    /// Whether this branch is there and was not released.
    pub fn awaits(&self, id: BranchId) -> bool {
        self.live.iter().any(|branch| branch.id == id && branch.stand != Stand::Clearing)
    }

    /// Whether no branch is left at all.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Whether this party refused the call for all its contacts (RFC 3261 21.6).
    pub fn has_declined(&self, party: Party) -> bool {
        self.declined.contains(&party)
    }

    /// A branch said something. `status` is the SIP status of a REL that was one; `may_be_heard`
    /// says whether its media can be given to the caller before an answer.
    pub fn heard_from(&mut self, id: BranchId, event: &TrunkEvent, status: Option<u16>, may_be_heard: bool) -> Vec<Do> {
        let Some(at) = self.live.iter().position(|branch| branch.id == id) else { return Vec::new() };
        match (self.live[at].stand, event) {
            (Stand::Clearing, TrunkEvent::Rlc) => self.remove(at, Vec::new()),
            // Two RELs crossed: each is answered (Q.764 2.3.1 e).
            (Stand::Clearing, TrunkEvent::Rel(_)) => self.remove(at, vec![Do::Tell(id, TrunkEvent::Rlc)]),
            (Stand::Clearing, _) => Vec::new(),
            (_, TrunkEvent::Acm { .. } | TrunkEvent::Cpg { .. }) => {
                self.live[at].stand = Stand::Rings;
                self.progress(id, event, may_be_heard)
            }
            (_, TrunkEvent::Anm | TrunkEvent::Con) => self.win(at, event),
            (stand, TrunkEvent::Rel(release)) => {
                let failure = Failure { release: *release, status, rang: stand == Stand::Rings };
                self.fail(at, failure)
            }
            (
                _,
                TrunkEvent::Iam(_)
                | TrunkEvent::Rlc
                | TrunkEvent::Sam(_)
                | TrunkEvent::Sus { .. }
                | TrunkEvent::Res { .. },
            ) => Vec::new(),
        }
    }

    /// A branch is over, and others took its place (RFC 3261 16.7 step 4: a redirect that was
    /// followed is no failure).
    pub fn replaced(&mut self, id: BranchId) -> Vec<Do> {
        let Some(at) = self.live.iter().position(|branch| branch.id == id) else { return Vec::new() };
        let actions = self.remove(at, vec![Do::Tell(id, TrunkEvent::Rlc)]);
        self.all_failed(actions)
    }

    /// Those that ring have rung long enough.
    pub fn give_up(&mut self) -> Vec<Do> {
        let mut actions = Vec::new();
        for at in 0..self.live.len() {
            let rang = match self.live[at].stand {
                Stand::Clearing => continue,
                stand => stand == Stand::Rings,
            };
            let cause = if rang { Cause::NO_ANSWER } else { Cause::NO_RESPONSE };
            let release = Release::here(cause);
            self.note(Failure { release, status: None, rang });
            actions.push(self.clear(at, release));
        }
        self.all_failed(actions)
    }

    /// The other side of the call releases: every branch is told, and RLC follows when all are through.
    pub fn release(&mut self, release: Release) -> Vec<Do> {
        if !matches!(self.state, State::Open) {
            return Vec::new();
        }
        self.state = State::Released;
        let rest: Vec<usize> = (0..self.live.len()).filter(|at| self.live[*at].stand != Stand::Clearing).collect();
        let mut actions: Vec<Do> = rest.into_iter().map(|at| self.clear(at, release)).collect();
        self.close(&mut actions);
        actions
    }

    fn progress(&mut self, id: BranchId, event: &TrunkEvent, may_be_heard: bool) -> Vec<Do> {
        if self.state != State::Open {
            return Vec::new();
        }
        let has_media = may_be_heard && in_band(event);
        let mut actions = Vec::with_capacity(2);
        if has_media && self.heard.is_none() {
            self.heard = Some(id);
            actions.push(Do::Hear(id));
        }
        let is_heard = self.heard == Some(id);
        let event = with_media(event, has_media && is_heard);
        let alone = self.live.len() == 1;
        let rings = is_ringing(&event);
        let is_new = match &event {
            _ if alone || is_heard => true,
            TrunkEvent::Cpg { event, .. } if event.is_forwarding() || *event == Progress::Queued => !self.told_ringing,
            // Whoever hears an announcement needs no ringback.
            _ => rings && !self.told_ringing && self.heard.is_none(),
        };
        if is_new {
            self.told_ringing |= rings;
            actions.push(Do::Say(event));
        }
        actions
    }

    fn win(&mut self, at: usize, event: &TrunkEvent) -> Vec<Do> {
        let winner = self.live.remove(at);
        if self.state != State::Open {
            // Cannot be: whoever may not answer any more was released, and is clearing.
            return vec![Do::Tell(winner.id, TrunkEvent::Rel(Release::here(Cause::NON_SELECTED)))];
        }
        self.state = State::Won;
        let others: Vec<usize> = (0..self.live.len()).filter(|at| self.live[*at].stand != Stand::Clearing).collect();
        let others = others.into_iter().map(|at| self.clear(at, Release::here(Cause::NON_SELECTED)));
        let mut actions: Vec<Do> = others.collect();
        self.heard = None;
        actions.push(Do::Win(winner.id));
        actions.push(Do::Say(event.clone()));
        actions
    }

    fn fail(&mut self, at: usize, failure: Failure) -> Vec<Do> {
        let Branch { id, party, .. } = self.live[at];
        self.note(failure);
        let mut actions = self.remove(at, vec![Do::Tell(id, TrunkEvent::Rlc)]);
        if failure.status() / 100 == 6 {
            // RFC 3261 16.7 step 5: "If a 6xx response is received, it is not immediately forwarded, but the
            // stateful proxy SHOULD cancel all client pending transactions". A party is one address-of-record.
            self.declined.push(party);
            let mates: Vec<usize> = (0..self.live.len())
                .filter(|at| self.live[*at].party == party && self.live[*at].stand != Stand::Clearing)
                .collect();
            for at in mates {
                actions.push(self.clear(at, failure.release));
            }
        }
        self.all_failed(actions)
    }

    fn all_failed(&mut self, mut actions: Vec<Do>) -> Vec<Do> {
        if self.state == State::Open && !self.rings() {
            actions.push(Do::AllFailed);
        }
        actions
    }

    fn clear(&mut self, at: usize, release: Release) -> Do {
        self.live[at].stand = Stand::Clearing;
        let id = self.live[at].id;
        self.unhear(id);
        Do::Tell(id, TrunkEvent::Rel(release))
    }

    fn remove(&mut self, at: usize, mut actions: Vec<Do>) -> Vec<Do> {
        let branch = self.live.remove(at);
        self.unhear(branch.id);
        actions.push(Do::Gone(branch.id));
        self.close(&mut actions);
        actions
    }

    /// Its media is over; the next one that rings is told to the caller again.
    fn unhear(&mut self, id: BranchId) {
        if self.heard == Some(id) {
            self.heard = None;
            self.told_ringing = false;
        }
    }

    fn close(&mut self, actions: &mut Vec<Do>) {
        if self.state == State::Released && self.live.is_empty() {
            self.state = State::Over;
            actions.push(Do::Say(TrunkEvent::Rlc));
        }
    }
}

fn in_band(event: &TrunkEvent) -> bool {
    matches!(event, TrunkEvent::Acm { in_band: true, .. } | TrunkEvent::Cpg { in_band: true, .. })
}

fn is_ringing(event: &TrunkEvent) -> bool {
    matches!(
        event,
        TrunkEvent::Acm { status: CalledStatus::SubscriberFree, .. }
            | TrunkEvent::Cpg { event: Progress::Alerting, .. }
    )
}

/// The event with or without its media. In-band information that nobody hears is mere progress.
fn with_media(event: &TrunkEvent, in_band: bool) -> TrunkEvent {
    match event {
        TrunkEvent::Acm { status, .. } => TrunkEvent::Acm { status: *status, in_band },
        TrunkEvent::Cpg { event: Progress::InBand, .. } if !in_band => {
            TrunkEvent::Cpg { event: Progress::Progress, in_band }
        }
        TrunkEvent::Cpg { event, .. } => TrunkEvent::Cpg { event: *event, in_band },
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests;
