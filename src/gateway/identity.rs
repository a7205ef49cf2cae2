//! Who calls, and who is told so: P-Asserted-Identity and P-Preferred-Identity (RFC 3325), Privacy
//! (RFC 3323), Diversion (RFC 5806) and History-Info (RFC 7044), by the trust in each peer.
//!
//! An account is who its configuration says. The word of a trunk counts as far as it is trusted
//! (RFC 3325 2.4, Spec(T)): without trust there is only its From, and nobody learns of diversions
//! that it claims. Anonymous callers stay so towards whoever is not trusted.

use super::Gateway;
use super::access::number_of;
use crate::call::fork::SipTarget;
use crate::config::{DivertedBy, Identity, Profile};
use crate::dialplan::{Target, TargetKind};
use crate::limits;
use crate::sip::{Header, HeaderName, Host, NameAddr, Reliable, Request, Uri};
use crate::trunk::{CallingCategory, Diversion, DiversionReason, Iam, Presentation};

/// What a request of a trunk says of who calls.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Claims {
    pub number: Option<String>,
    pub name: Option<String>,
    pub presentation: Presentation,
    pub diversions: Vec<Diversion>,
    /// By the `cpc` parameter of whoever is trusted.
    pub category: CallingCategory,
    /// By the counters of Diversion fields, where they say more than there are.
    pub redirections: u8,
}

/// Whether the caller asks not to be shown (RFC 3323 4.2, RFC 3325 9.3).
pub(super) fn presentation_of(request: &Request) -> Presentation {
    let values = request.headers.all(&HeaderName::Privacy).flat_map(|value| value.split(|b| matches!(b, b';' | b',')));
    let wants = |value: &[u8]| [&b"id"[..], b"user", b"header"].iter().any(|v| value.eq_ignore_ascii_case(v));
    let mut values = values.map(<[u8]>::trim_ascii).peekable();
    // "none": "the user requests that a privacy service apply no privacy functions".
    let is_said = values.peek().is_some();
    let is_wanted = values.any(wants);
    let is_nameless = request.from().is_some_and(|from| is_anonymous(&from.uri));
    match is_wanted || (is_nameless && !is_said) {
        true => Presentation::Restricted,
        false => Presentation::Allowed,
    }
}

/// RFC 3323 4.1.1.3: `anonymous@anonymous.invalid`, or another host.
fn is_anonymous(uri: &Uri) -> bool {
    uri.user().is_some_and(|user| user.eq_ignore_ascii_case("anonymous"))
        || matches!(uri.host(), Some(Host::Name(name)) if name.eq_ignore_ascii_case("anonymous.invalid"))
}

/// What is taken from a request of a trunk.
pub(super) fn claims_of(request: &Request, profile: &Profile, trunk: &str) -> Claims {
    let presentation = presentation_of(request);
    let asserted = request
        .headers
        .all(&HeaderName::PAssertedIdentity)
        .filter(|_| profile.trust)
        .filter_map(|value| NameAddr::parse_list(value).ok())
        .flatten()
        .find(|identity| number_of(&identity.uri).is_some());
    let from = request.from().filter(|from| !is_anonymous(&from.uri));
    let who = asserted.or(from);
    let category = who.as_ref().filter(|_| profile.trust).and_then(|who| category_of(&who.uri)).unwrap_or_default();
    let (diversions, redirections) = if profile.trust { diversions_of(request, trunk) } else { (Vec::new(), 0) };
    Claims {
        number: who.as_ref().and_then(|who| number_of(&who.uri)),
        name: who.and_then(|who| who.display).filter(|name| !name.is_empty()),
        presentation,
        diversions,
        category,
        redirections,
    }
}

/// The calling party's category in a URI: `cpc` beside the number of a user part or `tel:` URI, or behind the host.
fn category_of(uri: &Uri) -> Option<CallingCategory> {
    let user = uri.user().unwrap_or_default();
    let beside = user.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let beside = beside.filter(|(name, _)| name.eq_ignore_ascii_case("cpc")).map(|(_, value)| value).next();
    let behind = match uri {
        Uri::Sip(sip) => sip.params.get("cpc"),
        Uri::Tel { params, .. } => params.get("cpc"),
        Uri::Other { .. } => None,
    };
    CallingCategory::of_cpc(beside.or(behind)?)
}

/// Who sent the call on before, the first one first, and how often it was sent on where that is more: by Diversion, or else by History-Info.
fn diversions_of(request: &Request, trunk: &str) -> (Vec<Diversion>, u8) {
    let list = |name: &HeaderName| {
        let values = request.headers.all(name).filter_map(|value| NameAddr::parse_list(value).ok());
        values.flatten().collect::<Vec<NameAddr>>()
    };
    let diversion =
        |number: String, why, presentation| Diversion { by: format!("trunk/{trunk}"), number, why, presentation };
    let mut counted = 0_u8;
    // RFC 5806 5: the last diversion stands on top.
    let mut found: Vec<Diversion> = list(&HeaderName::Diversion)
        .into_iter()
        .rev()
        .filter_map(|entry| {
            let why = entry
                .params
                .unquoted("reason")
                .map_or(DiversionReason::Unknown, |word| DiversionReason::of_diversion(&word));
            // RFC 5806 4.1: "full", "name", "uri", "off".
            let is_private =
                entry.params.unquoted("privacy").is_some_and(|privacy| matches!(&*privacy, "full" | "uri"));
            let presentation = if is_private { Presentation::Restricted } else { Presentation::Allowed };
            // "counter" is 1 when it is not there.
            let counter = entry.params.unquoted("counter").and_then(|counter| counter.parse().ok()).unwrap_or(1_u8);
            counted = counted.saturating_add(counter);
            Some(diversion(number_of(&entry.uri)?, why, presentation))
        })
        .collect();
    if found.is_empty() {
        // RFC 7044 10.3: an entry that others were mapped from has the Reason of that in its URI.
        found = list(&HeaderName::HistoryInfo)
            .into_iter()
            .filter_map(|entry| {
                let headers = entry.uri.as_sip()?.headers.clone()?.to_ascii_lowercase();
                let (_, cause) = headers.split_once("cause%3d")?;
                let digits: String = cause.chars().take_while(char::is_ascii_digit).collect();
                let why = DiversionReason::of_status(digits.parse().ok()?);
                // RFC 7044 10.1: an entry that is not to be shown has Privacy in its URI.
                let presentation = match headers.contains("privacy=") && !headers.contains("privacy=none") {
                    true => Presentation::Restricted,
                    false => Presentation::Allowed,
                };
                Some(diversion(number_of(&entry.uri)?, why, presentation))
            })
            .collect();
    }
    let surplus = found.len().saturating_sub(limits::DIVERSIONS_MAX);
    found.drain(..surplus);
    let redirections = if usize::from(counted) > found.len() { counted } else { 0 };
    (found, redirections)
}

/// From and what stands beside it, for an INVITE to a peer.
pub(super) struct Shown {
    pub from: NameAddr,
    /// User part of our Contact.
    pub contact_user: String,
    pub headers: Vec<Header>,
}

/// How a caller is shown to a peer.
pub(super) fn shown_to(iam: &Iam, profile: &Profile, domain: &str) -> Shown {
    let uri = |user: &str| Uri::sip(Some(user), Host::from_text(domain), None);
    // The category is for networks that trust each other.
    let category = iam.category.as_cpc().filter(|_| profile.trust && iam.category != CallingCategory::ORDINARY);
    let user = |number: &str| category.map_or_else(|| number.to_owned(), |cpc| format!("{number};cpc={cpc}"));
    let identity = iam
        .calling
        .as_deref()
        .map(|number| NameAddr::new(uri(&user(number))).with_display(iam.calling_name.as_deref()));
    let is_restricted = iam.presentation == Presentation::Restricted;
    let name = match profile.identity {
        // RFC 3325 7: to an element that is not trusted no P-Asserted-Identity of an anonymous caller goes.
        Identity::Asserted if profile.trust || !is_restricted => Some(HeaderName::PAssertedIdentity),
        Identity::Preferred => Some(HeaderName::PPreferredIdentity),
        Identity::Asserted | Identity::From => None,
    };
    let mut headers: Vec<Header> =
        name.zip(identity.as_ref()).map(|(name, who)| Header::new(name, who)).into_iter().collect();
    if is_restricted {
        headers.push(Header::new(HeaderName::Privacy, "id"));
        // RFC 3323 4.1.1.3.
        let nowhere = Uri::sip(Some("anonymous"), Host::Name("anonymous.invalid".to_owned()), None);
        let from = NameAddr::new(nowhere).with_display(Some("Anonymous"));
        return Shown { from, contact_user: "anonymous".to_owned(), headers };
    }
    // A caller without a number is anonymous as well, and asks for nothing.
    let from = identity.unwrap_or_else(|| NameAddr::new(uri("anonymous")).with_display(iam.calling_name.as_deref()));
    let contact_user = iam.calling.clone().unwrap_or_else(|| "anonymous".to_owned());
    Shown { from, contact_user, headers }
}

impl Gateway {
    /// How somebody is to be treated as a user agent: a trunk as it is configured, our own phones as
    /// people who may know who sent a call on.
    pub(super) fn profile_of(&self, target: &Target) -> Profile {
        let trunk = self.config.trunks.iter().find(|t| target.kind == TargetKind::Trunk && t.name == target.name);
        let phone = Profile { diverted_by: DivertedBy::Both, reliable: Reliable::Supported, ..Profile::default() };
        trunk.map_or(phone, |trunk| trunk.profile)
    }

    /// Everything of an INVITE that says who calls and who sent the call on.
    pub(super) fn show_caller(
        &self,
        call: &crate::call::Call,
        named: &Target,
        target: &SipTarget,
    ) -> (Shown, Reliable) {
        let profile = self.profile_of(named);
        let mut shown = shown_to(&call.iam, &profile, &self.config.sip.domain);
        let history = super::forwarding::history_headers(call, &self.config.sip.domain, &target.uri);
        let is_told = |header: &Header| match profile.diverted_by {
            DivertedBy::Nobody => false,
            DivertedBy::Diversion => header.name == HeaderName::Diversion,
            DivertedBy::HistoryInfo => header.name == HeaderName::HistoryInfo,
            DivertedBy::Both => true,
        };
        shown.headers.extend(history.into_iter().filter(is_told));
        (shown, profile.reliable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Method;

    fn request(fields: &[(HeaderName, &str)]) -> Request {
        let fields = fields.iter().map(|(name, value)| Header::new(name.clone(), value));
        Request::new(Method::Invite, Uri::sip(Some("1"), Host::from_text("h"), None)).with_headers(fields)
    }

    fn profile(trust: bool, identity: Identity) -> Profile {
        Profile { trust, identity, ..Profile::default() }
    }

    #[test]
    fn only_a_trusted_peer_asserts_who_calls() {
        let request = request(&[
            (HeaderName::From, "\"F\" <sip:100@h>;tag=1"),
            (HeaderName::PAssertedIdentity, "\"A\" <sip:+4930200@h>, <tel:+4930200>"),
            (HeaderName::Diversion, "<sip:300@h>;reason=user-busy"),
        ]);
        let claims = claims_of(&request, &profile(true, Identity::From), "t");
        assert_eq!((claims.number.as_deref(), claims.name.as_deref()), (Some("+4930200"), Some("A")));
        assert_eq!(claims.diversions.len(), 1);
        let claims = claims_of(&request, &profile(false, Identity::From), "t");
        assert_eq!((claims.number.as_deref(), claims.name.as_deref()), (Some("100"), Some("F")));
        assert_eq!(claims.diversions, []);
    }

    #[test]
    fn anonymous_callers_are_known_to_those_who_are_trusted() {
        let anonymous = (HeaderName::From, "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=1");
        let request = request(&[
            anonymous,
            (HeaderName::PAssertedIdentity, "<tel:+4930200>"),
            (HeaderName::Privacy, "id;critical"),
        ]);
        let claims = claims_of(&request, &profile(true, Identity::From), "t");
        assert_eq!((claims.number.as_deref(), claims.presentation), (Some("+4930200"), Presentation::Restricted));
        let claims = claims_of(&request, &profile(false, Identity::From), "t");
        assert_eq!((claims.number, claims.presentation), (None, Presentation::Restricted));
    }

    #[test]
    fn privacy_is_what_the_caller_asks_for() {
        let check = |from: &str, privacy: Option<&str>, expected| {
            let mut fields = vec![(HeaderName::From, from)];
            fields.extend(privacy.map(|value| (HeaderName::Privacy, value)));
            assert_eq!(presentation_of(&request(&fields)), expected, "{from} {privacy:?}");
        };
        check("<sip:100@h>;tag=1", None, Presentation::Allowed);
        check("<sip:100@h>;tag=1", Some("none"), Presentation::Allowed);
        check("<sip:100@h>;tag=1", Some("session"), Presentation::Allowed);
        for value in ["id", "user", "header", "ID ; critical", "session; user"] {
            check("<sip:100@h>;tag=1", Some(value), Presentation::Restricted);
        }
        check("<sip:anonymous@anonymous.invalid>;tag=1", None, Presentation::Restricted);
        check("<sip:anonymous@carrier.example>;tag=1", None, Presentation::Restricted);
    }

    fn lines(iam: &Iam, profile: &Profile) -> (String, Vec<String>) {
        let shown = shown_to(iam, profile, "example.com");
        let headers = shown.headers.iter().map(|h| format!("{}: {}", h.name.as_str(), h.text())).collect();
        (shown.from.to_string(), headers)
    }

    #[test]
    fn a_caller_is_shown_as_the_peer_wants_it() {
        let iam = Iam { calling: Some("201".into()), calling_name: Some("Ann".into()), ..Iam::default() };
        let from = "\"Ann\" <sip:201@example.com>";
        let check = |identity, headers: &[&str]| {
            let (shown, found) = lines(&iam, &profile(false, identity));
            assert_eq!((shown.as_str(), found), (from, headers.iter().map(|h| (*h).to_owned()).collect()));
        };
        check(Identity::From, &[]);
        check(Identity::Asserted, &["P-Asserted-Identity: \"Ann\" <sip:201@example.com>"]);
        check(Identity::Preferred, &["P-Preferred-Identity: \"Ann\" <sip:201@example.com>"]);
    }

    #[test]
    fn an_anonymous_caller_is_shown_to_the_trusted_alone() {
        let iam = Iam { calling: Some("201".into()), presentation: Presentation::Restricted, ..Iam::default() };
        let from = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";
        let check = |trust, identity, headers: &[&str]| {
            let (shown, found) = lines(&iam, &profile(trust, identity));
            assert_eq!((shown.as_str(), found), (from, headers.iter().map(|h| (*h).to_owned()).collect()));
        };
        check(true, Identity::Asserted, &["P-Asserted-Identity: <sip:201@example.com>", "Privacy: id"]);
        check(false, Identity::Asserted, &["Privacy: id"]);
        check(false, Identity::From, &["Privacy: id"]);
        check(false, Identity::Preferred, &["P-Preferred-Identity: <sip:201@example.com>", "Privacy: id"]);
    }

    #[test]
    fn diversions_are_read_first_one_first_from_either_field() {
        let expected = [("300", DiversionReason::Always), ("301", DiversionReason::Busy)];
        let check = |fields: &[(HeaderName, &str)]| {
            let (found, _) = diversions_of(&request(fields), "t");
            let found: Vec<_> = found.iter().map(|d| (d.number.as_str(), d.why)).collect();
            assert_eq!(found, expected);
        };
        check(&[
            (HeaderName::Diversion, "<sip:301@h>;reason=\"user-busy\";counter=1"),
            (HeaderName::Diversion, "<sip:300@h>;reason=unconditional"),
        ]);
        check(&[(
            HeaderName::HistoryInfo,
            "<sip:300@h?Reason=SIP%3Bcause%3D302>;index=1, <sip:301@h?Reason=SIP%3Bcause%3D486>;index=1.1;mp=1, <sip:302@h>;index=1.1.1;mp=1.1",
        )]);
        let many: Vec<_> = (0..20).map(|_| (HeaderName::Diversion, "<sip:1@h>")).collect();
        assert_eq!(diversions_of(&request(&many), "t").0.len(), limits::DIVERSIONS_MAX);
    }

    #[test]
    fn the_category_of_a_caller_is_believed_and_told_among_those_who_trust() {
        let check = |uri: &str, expected: u8| {
            let request = request(&[(HeaderName::From, &format!("<{uri}>;tag=1"))]);
            let claims = claims_of(&request, &profile(true, Identity::From), "t");
            assert_eq!(claims.category, CallingCategory(expected), "{uri}");
            let claims = claims_of(&request, &profile(false, Identity::From), "t");
            assert_eq!(claims.category, CallingCategory::ORDINARY, "{uri}");
        };
        check("sip:+4930200;cpc=payphone@h;user=phone", 15);
        check("sip:+4930200@h;cpc=TEST", 13);
        check("tel:+4930200;cpc=operator", 2);
        check("sip:+4930200;cpc=unheard-of@h", 10);
        let iam = Iam { calling: Some("+4930200".into()), category: CallingCategory(15), ..Iam::default() };
        assert_eq!(lines(&iam, &profile(true, Identity::From)).0, "<sip:+4930200;cpc=payphone@example.com>");
        assert_eq!(lines(&iam, &profile(false, Identity::From)).0, "<sip:+4930200@example.com>");
    }

    #[test]
    fn diversions_are_hidden_and_counted_as_their_fields_say() {
        let request = request(&[
            (HeaderName::Diversion, "<sip:301@h>;reason=user-busy;counter=3;privacy=full"),
            (HeaderName::Diversion, "<sip:300@h>;reason=deflection;privacy=off"),
        ]);
        let (found, redirections) = diversions_of(&request, "t");
        let shown: Vec<_> = found.iter().map(|d| (d.why, d.presentation)).collect();
        let expected = [
            (DiversionReason::DeflectedAtOnce, Presentation::Allowed),
            (DiversionReason::Busy, Presentation::Restricted),
        ];
        assert_eq!((shown, redirections), (expected.to_vec(), 4));
    }
}
