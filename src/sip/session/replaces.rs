//! A dialog named by another message: Call-ID and both tags (RFC 3891 3).

use super::super::endpoint::Endpoint;
use super::super::{SessionId, dialog::Dialog};
use super::State;

/// Where a named dialog stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// Our INVITE has no final response yet.
    EarlyByUs,
    /// The peer's INVITE has no final response yet.
    EarlyByPeer,
    /// Answered.
    Confirmed,
    /// It has ended, and is remembered only for what may still come.
    Over,
}

impl Endpoint {
    /// The session whose dialog has these names: `local_tag` is ours, `remote_tag` that of the peer.
    pub fn named(&self, call_id: &str, local_tag: &str, remote_tag: &str) -> Option<(SessionId, Named)> {
        let id = *self.by_tag.get(local_tag)?;
        let session = self.sessions.get(id).filter(|session| session.call_id == call_id)?;
        let is_it = |dialog: &Dialog| dialog.is_remote_tag(Some(remote_tag));
        let named = match &session.state {
            State::Calling(calling) => {
                calling.early.iter().any(|early| is_it(&early.dialog)).then_some(Named::EarlyByUs)
            }
            State::Ringing(ringing) => is_it(&ringing.dialog).then_some(Named::EarlyByPeer),
            State::Answered(answered) => is_it(&answered.dialog).then_some(Named::Confirmed),
            State::Established(established) => is_it(&established.dialog).then_some(Named::Confirmed),
            State::Gone => Some(Named::Over),
        };
        named.map(|named| (id, named))
    }

    /// Call-ID, our tag and the peer's tag of the dialog of a session, once there is one.
    pub fn names(&self, session: SessionId) -> Option<(String, String, String)> {
        let session = self.sessions.get(session)?;
        let dialog = match &session.state {
            State::Calling(calling) => &calling.early.first()?.dialog,
            State::Ringing(ringing) => &ringing.dialog,
            State::Answered(answered) => &answered.dialog,
            State::Established(established) => &established.dialog,
            State::Gone => return None,
        };
        Some((session.call_id.clone(), session.local_tag.clone(), dialog.remote.tag()?.to_owned()))
    }
}
