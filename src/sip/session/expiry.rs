//! Session timers (RFC 4028): a session that nobody refreshes is ended, so that a lost BYE does not
//! keep it up forever.
//!
//! Whoever is the refresher sends UPDATE (re-INVITE to a peer that does not allow UPDATE) after half
//! of the interval; when no refresh went through, both sides say BYE shortly before its end. A peer
//! without session timers is refreshed by us all the same (7.2: "it has to perform them").

use super::super::endpoint::{Endpoint, Owner};
use super::super::headers::split_params;
use super::super::message::{Header, HeaderName, Headers, Method, Request, Response};
use super::super::parser::{Message, split_list};
use super::super::{Actions, Ended, Params, Reason, Reliable, SessionId, Settings};
use super::{Session, State};
use crate::time::{Duration, Instant};

/// RFC 4028 5: "The minimum session interval is 90 seconds", and the default of Min-SE.
pub const MIN_SE: Duration = Duration::from_secs(90);

/// Longest interval that is taken from a peer; a longer one would not end anything.
const SE_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// A refused refresh is tried again no sooner; half of what is left is waited for, so there are few of them.
const AGAIN_AFTER_MIN: Duration = Duration::from_secs(5);

/// When a session is refreshed, and when it is taken for dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sip) struct Expiry {
    /// When we refresh; `None` when the peer does, while our refresh is under way, or when another would come too late.
    refresh_at: Option<Instant>,
    /// When BYE is sent.
    bye_at: Instant,
}

impl Expiry {
    fn new(now: Instant, interval: Duration, we_refresh: bool) -> Expiry {
        // "The UA SHOULD send a BYE [...] slightly before the session expiration. The minimum of 32 seconds
        // and one third of the session interval is RECOMMENDED" (10).
        let margin = Duration::from_secs(32).min(interval / 3);
        Expiry { refresh_at: we_refresh.then(|| now + interval / 2), bye_at: now + interval.saturating_sub(margin) }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.refresh_at.map_or(self.bye_at, |at| at.min(self.bye_at))
    }
}

/// Who refreshes, seen from a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refresher {
    Uac,
    Uas,
}

/// Session-Expires: interval and refresher (RFC 4028 4).
fn session_expires(value: &[u8]) -> Option<(Duration, Option<Refresher>)> {
    let (seconds, params): (u64, Params) = split_params(value)?;
    let refresher = match params.get("refresher") {
        Some(who) if who.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
        Some(who) if who.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
        _ => None,
    };
    Some((Duration::from_secs(seconds).min(SE_MAX), refresher))
}

/// Min-SE (RFC 4028 5).
fn min_se(headers: &Headers) -> Option<Duration> {
    let (seconds, _): (u64, Params) = split_params(headers.get(&HeaderName::MinSe)?)?;
    Some(Duration::from_secs(seconds).min(SE_MAX))
}

fn value_of(interval: Duration, refresher: Option<Refresher>) -> String {
    let seconds = interval.as_secs();
    match refresher {
        Some(Refresher::Uac) => format!("{seconds};refresher=uac"),
        Some(Refresher::Uas) => format!("{seconds};refresher=uas"),
        None => seconds.to_string(),
    }
}

fn supports_timer(headers: &Headers) -> bool {
    let lists = [&HeaderName::Supported, &HeaderName::Require];
    lists.into_iter().any(|name| headers.tokens(name).iter().any(|tag| tag.eq_ignore_ascii_case("timer")))
}

/// 9: "the UAS MAY reject the INVITE request with a 422 [...] if the session interval in the SE is smaller
/// than the minimum interval defined by the UAS' local policy", of a peer that understands it.
pub(in crate::sip) fn check_interval(message: &Message<'_>, settings: &Settings) -> Result<(), Box<Response>> {
    let asked = message.lines.get(&HeaderName::SessionExpires).and_then(session_expires);
    let Some((asked, _)) = asked.filter(|_| settings.session_expires.is_some()) else { return Ok(()) };
    let tags = message.lines.all(&HeaderName::Supported).chain(message.lines.all(&HeaderName::Require));
    let understands = tags.flat_map(split_list).any(|tag| tag.eq_ignore_ascii_case(b"timer"));
    if asked >= settings.min_se || !understands {
        return Ok(());
    }
    Err(Box::new(Response::new(422).with(HeaderName::MinSe, settings.min_se.as_secs())))
}

impl Session {
    /// What a session refresh request of ours says (7.1, 7.4). In the dialog the roles stay: "the
    /// refresher does not change on each refresh".
    pub(super) fn timer_headers(&self, settings: &Settings) -> Vec<Header> {
        let Some(ours) = settings.session_expires else { return Vec::new() };
        let interval = ours.max(self.min_se);
        let refresher = self.expiry.map(|_| if self.we_refresh { Refresher::Uac } else { Refresher::Uas });
        let mut headers = vec![Header::new(HeaderName::SessionExpires, value_of(interval, refresher))];
        if self.min_se > MIN_SE {
            headers.push(Header::new(HeaderName::MinSe, self.min_se.as_secs()));
        }
        headers
    }

    /// 7.3: a 422 says the interval that some hop insists on; whether to try again with it.
    pub(super) fn longer_interval(&mut self, response: &Response) -> bool {
        let wanted = min_se(&response.headers).filter(|wanted| response.status == 422 && *wanted > self.min_se);
        self.min_se = wanted.unwrap_or(self.min_se);
        wanted.is_some()
    }

    /// 7.2: a 2xx to a session refresh request of ours.
    pub(super) fn refreshed_by_us(&mut self, now: Instant, response: &Response, settings: &Settings) {
        let Some(ours) = settings.session_expires else { return };
        let said = response.headers.get(&HeaderName::SessionExpires).and_then(session_expires);
        let (interval, refresher) = said.unwrap_or((ours.max(self.min_se), Some(Refresher::Uac)));
        self.we_refresh = refresher != Some(Refresher::Uas);
        self.expiry = Some(Expiry::new(now, interval.max(MIN_SE), self.we_refresh));
    }

    /// 9 and its table 2: what our 2xx to a session refresh request says.
    pub(super) fn refreshed_by_peer(&mut self, now: Instant, request: &Request, settings: &Settings) -> Vec<Header> {
        let Some(ours) = settings.session_expires else { return Vec::new() };
        let understood = supports_timer(&request.headers);
        let said = request.headers.get(&HeaderName::SessionExpires).and_then(session_expires);
        let least = min_se(&request.headers).unwrap_or(MIN_SE).max(MIN_SE);
        // "The UAS MAY reduce the value [...] but it MUST NOT set it to a duration lower than the Min-SE".
        let interval = said.map_or(ours, |(asked, _)| asked.min(ours)).max(least);
        let refresher = match said {
            _ if !understood => Refresher::Uas,
            Some((_, Some(refresher))) => refresher,
            Some((_, None)) => Refresher::Uac,
            // Nobody asked: what we want for ourselves we do ourselves.
            None => Refresher::Uas,
        };
        self.we_refresh = refresher == Refresher::Uas;
        self.expiry = Some(Expiry::new(now, interval, self.we_refresh));
        let mut headers = vec![Header::new(HeaderName::SessionExpires, value_of(interval, Some(refresher)))];
        if refresher == Refresher::Uac {
            // "If the refresher parameter [...] has a value of 'uac', the UAS MUST place a Require header field
            // into the response with the value 'timer'".
            headers.push(Header::new(HeaderName::Require, "timer"));
        }
        headers
    }

    /// Extensions that our requests name: 100rel only where provisional responses may be reliable.
    pub(super) fn extension_headers(&self, settings: &Settings, is_initial: bool) -> Vec<Header> {
        let is_100rel = |tag: &String| tag.eq_ignore_ascii_case("100rel");
        let names = |tag: &&String| !is_100rel(tag) || self.reliable != Reliable::Off;
        let supported: Vec<&str> = settings.supported.iter().filter(names).map(String::as_str).collect();
        let mut headers = Vec::new();
        if !supported.is_empty() {
            headers.push(Header::new(HeaderName::Supported, supported.join(", ")));
        }
        // RFC 3262 4: Require only in the INVITE that makes the session; others have no provisional response to lose.
        if is_initial && self.reliable == Reliable::Required && settings.supported.iter().any(is_100rel) {
            headers.push(Header::new(HeaderName::Require, "100rel"));
        }
        headers
    }
}

impl Endpoint {
    /// Refreshes a session, or ends it, when its time has come.
    pub(super) fn time_expiry(&mut self, now: Instant, id: SessionId, out: &mut Actions) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if !matches!(session.state, State::Established(_)) {
            return;
        }
        let Some(expiry) = &mut session.expiry else { return };
        if expiry.bye_at <= now {
            if let State::Established(established) = self.take_state(id) {
                // Q.850 102: recovery on timer expiry.
                let reason = Reason::q850(102).with_text("session timer");
                self.close(now, id, *established, reason.into(), out);
            }
            return self.tell_end(id, Ended::Expired, out);
        }
        if expiry.refresh_at.is_some_and(|at| at <= now) {
            expiry.refresh_at = None;
            self.refresh(now, id, out);
        }
    }

    /// 7.4: by UPDATE where the peer allows it, which leaves the media alone, else by re-INVITE with the
    /// description that stands.
    fn refresh(&mut self, now: Instant, id: SessionId, out: &mut Actions) {
        let Some(session) = self.sessions.get(id) else { return };
        // An offer that waits for its turn refreshes as well.
        if session.waiting.is_some() {
            return;
        }
        match session.peer.update {
            true => self.request_silently(now, id, Method::Update, out),
            false => self.refresh_by_invite(now, id, out),
        }
    }

    /// 7.2: "the UAC SHOULD follow the rules specific to that response code and retry if possible", before the
    /// session ends by itself (10); 14.1 of RFC 3261 after a glare. `None`: it could not even be sent.
    pub(super) fn refresh_failed(&mut self, now: Instant, id: SessionId, refusal: Option<&Response>) {
        let is_glare = refusal.is_some_and(|response| response.status == 491);
        let glare = self.sessions.get(id).filter(|_| is_glare).map(|session| session.caller);
        let glare = glare.map(|caller| self.glare_wait(caller));
        let Some(session) = self.sessions.get_mut(id).filter(|session| session.we_refresh) else { return };
        // One that waits for its turn, or is due by itself, needs no other.
        let is_due = session.waiting.is_some();
        let Some(expiry) = session.expiry.as_mut().filter(|expiry| expiry.refresh_at.is_none() && !is_due) else {
            return;
        };
        let left = expiry.bye_at.since(now);
        let asked = refusal.and_then(super::offers::retry_after);
        let wait = glare.or(asked).unwrap_or((left / 2).max(AGAIN_AFTER_MIN));
        expiry.refresh_at = Some(now + wait).filter(|at| *at < expiry.bye_at);
        self.schedule(Owner::Session(id));
    }

    pub(super) fn refresh_by_invite(&mut self, now: Instant, id: SessionId, out: &mut Actions) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.peer.update = false;
        if let Some(body) = session.described.clone() {
            self.offer(now, id, Some(body), Vec::new(), out);
        }
    }
}
