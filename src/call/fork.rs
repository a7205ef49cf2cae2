//! Whom a call is to reach, and the branches that try.
//!
//! A [`Fork`] is a list of [`Step`]s still to be taken and the legs of those that ring now. Which
//! event of which branch means what is the matter of [`super::branches`]; who carries steps out is
//! [`crate::gateway`].

use super::branches::{BranchId, Branches, Failure, Party};
use super::leg::Leg;
use crate::dialplan::{FailureName, Target};
use crate::sdp::Codec;
use crate::sip::{Credentials, Header, NextHop, Uri};
use crate::time::{Duration, Instant};
use crate::trunk::Cause;
use std::collections::VecDeque;

/// Where a SIP call goes.
#[derive(Clone, Debug)]
pub struct SipTarget {
    /// The Request-URI.
    pub uri: Uri,
    /// The way there.
    pub next_hop: NextHop,
    /// What is offered, best first.
    pub codecs: Vec<Codec>,
    /// Route, for a contact that registered through proxies or a trunk behind one.
    pub headers: Vec<Header>,
    /// Our account there.
    pub credentials: Option<Credentials>,
}

/// Somebody to be rung.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Who it is.
    pub target: Target,
    /// What it is sent as the called number.
    pub number: String,
    /// A contact of it, when that is known already (a lower q, a redirect).
    pub contact: Option<SipTarget>,
    /// Its party, when one of its contacts was tried before.
    pub party: Option<Party>,
}

/// When the next step is taken after a ringing one failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoesOn {
    /// For any failure.
    Always,
    /// Only for those of `[failover]`: when the way was at fault, not the person.
    ByName,
}

/// What is still to be done.
#[derive(Clone, Debug)]
pub enum Step {
    /// Ring these at once.
    Ring {
        /// Who.
        candidates: Vec<Candidate>,
        /// How long; `None`: until the call itself is given up.
        rings_for: Option<Duration>,
        /// What follows.
        goes_on: GoesOn,
    },
    /// The steps before have failed: follow the forwarding of this telephone, if it has one for
    /// that failure. Whatever comes after stands back.
    Forward(Target),
}

/// A leg that rings, with what is known of it.
#[derive(Debug)]
pub struct BranchLeg {
    /// Its branch.
    pub id: BranchId,
    /// The leg.
    pub leg: Leg,
    /// Who it is, for records.
    pub target: Target,
}

/// Whom a call still tries to reach.
#[derive(Debug, Default)]
pub struct Fork {
    /// The machine.
    pub branches: Branches,
    /// Legs of branches that have not won.
    pub legs: Vec<BranchLeg>,
    /// What is still to be done, in order.
    pub steps: VecDeque<Step>,
    /// What follows the step at hand.
    pub goes_on: Option<GoesOn>,
    /// When those that ring have rung enough.
    pub step_ends_at: Option<Instant>,
    /// When the step at hand has failed unless somebody rings by then.
    pub rings_by: Option<Instant>,
    /// The branch whose media was joined with the caller's last.
    pub joined: Option<BranchId>,
    /// Parties named so far.
    pub parties: u16,
    /// Request-URIs tried so far, so that redirects cannot go round (RFC 3261 8.1.3.4).
    pub tried: Vec<Uri>,
    /// How often the call was redirected.
    pub redirects: usize,
}

impl Fork {
    /// A fork with these steps before it.
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Fork {
        Fork { steps: steps.into_iter().collect(), ..Fork::default() }
    }

    /// A new party.
    pub fn new_party(&mut self) -> Party {
        let party = Party(self.parties);
        self.parties = self.parties.saturating_add(1);
        party
    }

    /// The leg of a branch.
    pub fn leg(&self, id: BranchId) -> Option<&BranchLeg> {
        self.legs.iter().find(|branch| branch.id == id)
    }

    /// The leg of a branch, to be changed.
    pub fn leg_mut(&mut self, id: BranchId) -> Option<&mut BranchLeg> {
        self.legs.iter_mut().find(|branch| branch.id == id)
    }

    /// The leg that the caller hears before anybody has answered.
    pub fn heard(&self) -> Option<&Leg> {
        self.leg(self.branches.heard()?).map(|branch| &branch.leg)
    }

    /// The same, to be changed.
    pub fn heard_mut(&mut self) -> Option<&mut Leg> {
        let id = self.branches.heard()?;
        self.leg_mut(id).map(|branch| &mut branch.leg)
    }

    /// Takes the leg of a branch out.
    pub fn take(&mut self, id: BranchId) -> Option<BranchLeg> {
        let at = self.legs.iter().position(|branch| branch.id == id)?;
        Some(self.legs.remove(at))
    }
}

/// What the dial plan calls a failure. The cause decides, and the SIP status where the cause says too little.
pub fn name_of(failure: &Failure) -> FailureName {
    match failure.release.cause {
        Cause::BUSY => FailureName::Busy,
        // RFC 3398 makes 408 and 480 of them: before it rang, nobody responded at all.
        Cause::NO_RESPONSE | Cause::NO_ANSWER if failure.rang => FailureName::NoAnswer,
        Cause::NO_RESPONSE | Cause::NO_ANSWER if failure.status == Some(480) => FailureName::Congestion,
        Cause::NO_RESPONSE | Cause::NO_ANSWER | Cause::TIMER => FailureName::Timeout,
        Cause::ABSENT => FailureName::NoAnswer,
        Cause::REJECTED => FailureName::Rejected,
        Cause::UNALLOCATED | Cause::INCOMPLETE => FailureName::Unassigned,
        Cause::NO_CIRCUIT | Cause::CONGESTION | Cause::NO_RESOURCE => FailureName::Congestion,
        // What nobody answered was not sent at all, see `Gateway::trunk_target`.
        Cause::OUT_OF_ORDER if failure.status.is_none() => FailureName::TrunkDown,
        Cause::OUT_OF_ORDER | Cause::TEMPORARY | Cause::BEARER => FailureName::Unavailable,
        // 38 network out of order, 44 requested circuit not available.
        cause => match cause.value() {
            38 => FailureName::Unavailable,
            44 => FailureName::Congestion,
            _ => FailureName::Cleared,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trunk::Release;

    #[test]
    fn another_way_is_tried_when_the_way_was_at_fault_and_not_the_person() {
        let check = |cause: u8, rang: bool| {
            let release = Release::here(Cause::new(cause).expect("a cause"));
            FailureName::FAULTS.contains(&name_of(&Failure { release, status: None, rang }))
        };
        for cause in [27, 34, 38, 41, 42, 44, 47, 102] {
            assert!(check(cause, false) && check(cause, true), "{cause}");
        }
        for cause in [1, 16, 17, 20, 21, 28] {
            assert!(!check(cause, false) && !check(cause, true), "{cause}");
        }
        assert!(check(18, false) && !check(18, true) && check(19, false) && !check(19, true));
    }

    #[test]
    fn a_status_tells_apart_what_one_cause_stands_for() {
        let name = |cause, status, rang| name_of(&Failure { release: Release::here(cause), status, rang });
        assert_eq!(name(Cause::NO_RESPONSE, Some(480), false), FailureName::Congestion);
        assert_eq!(name(Cause::NO_RESPONSE, Some(480), true), FailureName::NoAnswer);
        assert_eq!(name(Cause::TIMER, Some(408), false), FailureName::Timeout);
        assert_eq!(name(Cause::OUT_OF_ORDER, Some(502), false), FailureName::Unavailable);
        assert_eq!(name(Cause::OUT_OF_ORDER, None, false), FailureName::TrunkDown);
    }
}
