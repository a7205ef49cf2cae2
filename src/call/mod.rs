//! The call, and the one place where a call ends.
//!
//! A [`Call`] joins two legs ([`leg`]) by one machine ([`b2bua`]). Until somebody has answered, the
//! called side is a [`fork`] of any number of [`branches`]. A call is a value in one slab of the
//! control core; sessions, ports and deadlines refer to it by [`CallId`]. Who carries out what the
//! machine says is [`crate::gateway`].

pub mod b2bua;
pub mod branches;
pub mod fork;
pub mod isup;
pub mod leg;
pub mod record;
pub mod transfer;

use crate::ids::Id;
use crate::ids::WorkerId;
use crate::time::Instant;
pub use crate::trunk::{Diversion, DiversionReason};
use crate::trunk::{Iam, Release};
use b2bua::{Side, State};
use fork::Fork;
use leg::Leg;
use record::{CallRecord, ReleasedBy, Translation};

/// Names a call inside the process.
pub type CallId = Id<Call>;

/// One call attempt from its first message to the last RLC.
#[derive(Debug)]
pub struct Call {
    /// Counted from the start of the process; what people and commands use.
    pub number: u64,
    /// Where the B2BUA machine stands.
    pub state: State,
    /// The calling leg.
    pub a: Leg,
    /// The called leg, once somebody has answered.
    pub b: Option<Leg>,
    /// Those who might, and who of them is through already.
    pub fork: Option<Box<Fork>>,
    /// Where it came from: `phone/201`.
    pub origin: String,
    /// Where it goes: `station/101`.
    pub target: Option<String>,
    /// What the calling side said.
    pub iam: Iam,
    /// The media worker that carries its audio.
    pub worker: WorkerId,
    /// When it began.
    pub began_at: Instant,
    /// When it was answered.
    pub answered_at: Option<Instant>,
    /// When it is given up: no answer in time.
    pub give_up_at: Option<Instant>,
    /// Whether the two sides hear each other.
    pub audio_open: bool,
    /// How it was released, by whom, and when.
    pub released: Option<(Release, ReleasedBy, Instant)>,
    /// SIP status with which the called side refused.
    pub status: Option<u16>,
    /// What a leg said last in ISUP, and which one, for the other leg if that speaks it too.
    pub said_in_isup: Option<Box<(Side, crate::trunk::IsupBody)>>,
    /// What was translated between statuses and causes, in order.
    pub translations: Vec<Translation>,
    /// Who sent the call on, the first one first.
    pub diversions: Vec<Diversion>,
    /// A transfer under way: whoever answers takes the place of the called side.
    pub transfer: Option<Box<transfer::Transfer>>,
    /// REFERs that came in the call.
    pub refers: u32,
    /// Who transferred it.
    pub transferred_by: Option<String>,
    /// Referred-By for whoever is called next.
    pub referred_by: Option<String>,
    /// An operator called: the branches are those of the first party, which calls when it answers.
    pub first_party: bool,
    /// What came with the last refusal of the called side, and its status.
    pub refusal: Option<Box<(u16, crate::sip::Carried)>>,
    /// Contacts of a redirect that is passed on to the caller.
    pub redirected_to: Vec<crate::sip::NameAddr>,
}

impl Call {
    /// The leg of a side; as the called one also a branch whose media the caller hears already.
    pub fn leg(&self, side: Side) -> Option<&Leg> {
        match side {
            Side::A => Some(&self.a),
            Side::B => self.b.as_ref().or_else(|| self.fork.as_ref()?.heard()),
        }
    }

    /// The leg of a side, to be changed.
    pub fn leg_mut(&mut self, side: Side) -> Option<&mut Leg> {
        match side {
            Side::A => Some(&mut self.a),
            Side::B if self.b.is_some() => self.b.as_mut(),
            Side::B => self.fork.as_mut()?.heard_mut(),
        }
    }

    /// Whether nobody released it yet.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Setup | State::Alerting | State::Answered)
    }

    /// Notes a translation; what is too much for a record is not kept.
    pub fn note(&mut self, translation: Translation) {
        if self.translations.len() < crate::limits::TRANSLATIONS_PER_CALL {
            self.translations.push(translation);
        }
    }

    /// The record of a call that has ended at `now`.
    pub fn record(&self, now: Instant) -> CallRecord {
        let (release, released_by, ended_at) =
            self.released.unwrap_or((Release::here(crate::trunk::Cause::UNSPECIFIED), ReleasedBy::Gateway, now));
        CallRecord {
            call: self.number,
            from: self.origin.clone(),
            calling: self.iam.calling.clone(),
            called: self.iam.called.clone(),
            to: self.target.clone(),
            began_at: self.began_at,
            answered_at: self.answered_at,
            ended_at,
            release,
            released_by,
            status: self.status,
            transferred_by: self.transferred_by.clone(),
            translations: self.translations.clone(),
        }
    }
}
