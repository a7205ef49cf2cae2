//! SIP status and Reason to and from trunk events (RFC 3398, RFC 3326, RFC 6432).
//!
//! The tables are data ([`super::tables`]), so that they can be printed and explained; a trunk may go by another profile
//! and differ from it row by row. A Q.850 Reason header wins over the status it came with: it is what the far end really said.

use super::tables::{Group, NAMES, Q_1912_5, RFC_3398, Tables};
use super::{Cause, Location, Release};
use crate::sip::Reason;
use std::collections::BTreeMap;

/// Which tables a trunk goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// `"rfc3398"`: RFC 3398.
    #[default]
    Rfc3398,
    /// `"q1912.5"`: Q.1912.5, which 3GPP TS 29.163 follows.
    Q1912,
}

impl Profile {
    /// Each with its name in the configuration.
    pub const ALL: [(&'static str, Profile); 2] = [("rfc3398", Profile::Rfc3398), ("q1912.5", Profile::Q1912)];

    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, profile)| *profile == self).map_or("rfc3398", |(name, _)| name)
    }

    /// Its tables.
    pub fn tables(self) -> &'static Tables {
        match self {
            Profile::Rfc3398 => &RFC_3398,
            Profile::Q1912 => &Q_1912_5,
        }
    }
}

/// How a trunk translates between SIP statuses and Q.850 causes: a profile, and where it differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interworking {
    /// The tables.
    pub profile: Profile,
    /// Causes that this trunk answers with another status.
    pub statuses: BTreeMap<u8, u16>,
    /// Statuses that this trunk releases with another cause.
    pub causes: BTreeMap<u16, u8>,
}

/// The row that applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule<V> {
    /// What it gives.
    pub value: V,
    /// Where it stands.
    pub source: &'static str,
    /// Whether it was compared with the text of its source.
    pub verified: bool,
    /// What the table would have given, where the configuration of the trunk says otherwise.
    pub instead_of: Option<V>,
}

/// The source of a rule that the configuration made.
pub const OVERRIDE: &str = "`overrides` of the trunk";

impl Interworking {
    /// RFC 3398 as it stands.
    pub const RFC_3398: Interworking =
        Interworking { profile: Profile::Rfc3398, statuses: BTreeMap::new(), causes: BTreeMap::new() };

    /// The status that refuses an INVITE released with `release`.
    pub fn status_rule(&self, release: Release) -> Rule<u16> {
        let cause = release.cause.value();
        let by_table = self.table_status(release);
        match self.statuses.get(&cause) {
            Some(status) => Rule { value: *status, source: OVERRIDE, verified: true, instead_of: Some(by_table.value) },
            None => by_table,
        }
    }

    fn table_status(&self, release: Release) -> Rule<u16> {
        let cause = release.cause.value();
        if self.profile == Profile::Rfc3398 && release.cause == Cause::REJECTED && release.location == Location::User {
            let source = "RFC 3398 7.2.4.1, note (+): rejected by the user, 603 instead of 403";
            return Rule { value: 603, source, verified: true, instead_of: None };
        }
        let tables = self.profile.tables();
        if let Some((value, group)) = row(tables.statuses, cause) {
            return Rule { value, source: group.source, verified: group.verified, instead_of: None };
        }
        let rest = tables.other_causes.iter().find(|(up_to, _)| cause <= *up_to).map(|(_, rest)| rest);
        match rest {
            Some(rest) => Rule { value: rest.value, source: rest.source, verified: rest.verified, instead_of: None },
            None => Rule { value: 500, source: "no table has this cause", verified: false, instead_of: None },
        }
    }

    /// The cause that a final status means. `warning`: the code of a Warning header, which decides
    /// for 488 and 606.
    pub fn cause_rule(&self, status: u16, warning: Option<u16>) -> Rule<Cause> {
        let by_table = self.table_cause(status, warning);
        match self.causes.get(&status).and_then(|value| Cause::new(*value)) {
            Some(value) => Rule { value, source: OVERRIDE, verified: true, instead_of: Some(by_table.value) },
            None => by_table,
        }
    }

    fn table_cause(&self, status: u16, warning: Option<u16>) -> Rule<Cause> {
        // RFC 3261 20.43: 304 media type not available, 305 incompatible media format.
        if self.profile == Profile::Rfc3398 && matches!(status, 488 | 606) && matches!(warning, Some(304 | 305)) {
            let source = "RFC 3398 8.2.6.1: a Warning that speaks of the bearer (304, 305) is 65";
            return Rule { value: Cause::BEARER, source, verified: true, instead_of: None };
        }
        let tables = self.profile.tables();
        let (value, source, verified) = match row(tables.causes, status) {
            Some((value, group)) => (value, group.source, group.verified),
            None => {
                let rest = &tables.other_statuses;
                (rest.value, rest.source, rest.verified)
            }
        };
        Rule { value: Cause::new(value).unwrap_or(Cause::UNSPECIFIED), source, verified, instead_of: None }
    }

    /// The final status that refuses an INVITE released with `release`.
    pub fn status_of(&self, release: Release) -> u16 {
        self.status_rule(release).value
    }

    /// The release that a final status means, when no Reason header says better.
    ///
    /// RFC 3398 8.2.6.1: "6xx codes are given the location 'user', whereas 4xx and 5xx codes are given
    /// a 'network' location"; ours is the network beyond the interworking point.
    pub fn release_of(&self, status: u16, warning: Option<u16>) -> Release {
        let location = if status >= 600 { Location::User } else { Location::BeyondInterworking };
        Release { cause: self.cause_rule(status, warning).value, location }
    }
}

fn row<K: PartialEq, V: Copy>(groups: &'static [Group<K, V>], key: K) -> Option<(V, &'static Group<K, V>)> {
    groups.iter().find_map(|group| {
        let row = group.rows.iter().find(|(from, _)| *from == key)?;
        Some((row.1, group))
    })
}

/// [`Interworking::status_of`] of RFC 3398 as it stands.
pub fn status_of(release: Release) -> u16 {
    Interworking::RFC_3398.status_of(release)
}

/// [`Interworking::release_of`] of RFC 3398 as it stands.
pub fn release_of(status: u16) -> Release {
    Interworking::RFC_3398.release_of(status, None)
}

/// The Reason header that carries `cause` (RFC 3326 2, in responses RFC 6432).
pub fn reason_of(cause: Cause) -> Reason {
    let reason = Reason::q850(u32::from(cause.value()));
    match name_of(cause) {
        Some(name) => reason.with_text(name),
        None => reason,
    }
}

/// The Reason header of a release, with where it was decided (RFC 8606 3: "SHALL include the location
/// parameter [...] when the ISUP location is available").
pub fn reason_of_release(release: Release) -> Reason {
    reason_of(release.cause).at(release.location.as_token())
}

/// The location that comes with the first Q.850 cause.
pub fn location_of_reasons(reasons: &[Reason]) -> Option<Location> {
    let mut causes = reasons.iter().filter(|reason| reason.protocol.eq_ignore_ascii_case("Q.850"));
    causes.find(|reason| reason.cause.is_some()).and_then(|reason| Location::of_token(reason.location.as_deref()?))
}

/// The first Q.850 cause among Reason headers (RFC 3326 2: one value a protocol).
pub fn cause_of_reasons(reasons: &[Reason]) -> Option<Cause> {
    reasons
        .iter()
        .filter(|reason| reason.protocol.eq_ignore_ascii_case("Q.850"))
        .find_map(|reason| Cause::new(u8::try_from(reason.cause?).ok()?))
}

/// The short name of a cause in Q.850, for Reason text, logs and `explain`.
pub fn name_of(cause: Cause) -> Option<&'static str> {
    NAMES.iter().find(|(value, _)| *value == cause.value()).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(value: u8) -> Cause {
        Cause::new(value).expect("the test names a cause from 1 to 127")
    }

    #[test]
    fn causes_become_the_status_of_the_rfc() {
        for (value, status) in [(1, 404), (17, 486), (19, 480), (27, 502), (34, 503), (102, 504), (99, 500)] {
            let release = Release { cause: cause(value), location: Location::LocalNetwork };
            assert_eq!(status_of(release), status, "cause {value}");
        }
    }

    #[test]
    fn a_user_who_rejects_gives_603_and_a_network_403() {
        assert_eq!(status_of(Release::user(Cause::REJECTED)), 603);
        assert_eq!(status_of(Release::here(Cause::REJECTED)), 403);
    }

    #[test]
    fn statuses_become_the_cause_of_the_rfc() {
        for (status, value) in [(404, 1), (480, 18), (486, 17), (503, 41), (505, 127), (699, 31), (488, 31)] {
            assert_eq!(release_of(status).cause, cause(value), "status {status}");
        }
        assert_eq!(release_of(600).location, Location::User);
        assert_eq!(release_of(486).location, Location::BeyondInterworking);
    }

    #[test]
    fn the_first_q850_cause_counts() {
        let reasons = [Reason::sip(200), Reason::q850(0), Reason::q850(34), Reason::q850(1)];
        assert_eq!(cause_of_reasons(&reasons), Some(Cause::NO_CIRCUIT));
        assert_eq!(cause_of_reasons(&[reason_of(Cause::BUSY)]), Some(Cause::BUSY));
        let located = reason_of_release(Release::user(Cause::BUSY));
        assert_eq!(location_of_reasons(&[Reason::sip(486).at("LN"), located]), Some(Location::User));
        assert_eq!(location_of_reasons(&[Reason::q850(17), Reason::q850(16).at("LN")]), None);
        assert_eq!(location_of_reasons(&[Reason::q850(17).at("LOC-9")]), None);
        assert_eq!(cause_of_reasons(&[Reason::q850(128), Reason::q850(99_999)]), None);
        assert_eq!(cause_of_reasons(&[Reason::sip(486)]), None);
    }

    #[test]
    fn what_a_trunk_says_otherwise_wins_and_names_what_it_replaces() {
        let mut table = Interworking { profile: Profile::Rfc3398, ..Interworking::default() };
        table.statuses.insert(21, 488);
        table.causes.insert(480, 20);
        let rule = table.status_rule(Release::user(Cause::REJECTED));
        assert_eq!((rule.value, rule.instead_of, rule.source), (488, Some(603), OVERRIDE));
        let rule = table.cause_rule(480, None);
        assert_eq!((rule.value, rule.instead_of), (cause(20), Some(cause(18))));
        assert_eq!(table.status_rule(Release::here(Cause::BUSY)).instead_of, None);
    }

    #[test]
    fn a_warning_about_the_bearer_makes_it_65() {
        let table = Interworking::default();
        for (status, warning, value) in
            [(488, Some(304), 65), (606, Some(305), 65), (488, Some(370), 31), (488, None, 31), (486, Some(304), 17)]
        {
            assert_eq!(table.release_of(status, warning).cause, cause(value), "{status} {warning:?}");
        }
    }

    #[test]
    fn the_other_profile_has_rows_and_classes_of_its_own() {
        let table = Interworking { profile: Profile::Q1912, ..Interworking::default() };
        for (value, status) in [
            (3, 500),
            (21, 480),
            (22, 410),
            (29, 480),
            (34, 480),
            (38, 500),
            (63, 500),
            (111, 500),
            (112, 480),
            (127, 480),
        ] {
            assert_eq!(table.status_of(Release::user(cause(value))), status, "cause {value}");
        }
        assert_eq!(table.release_of(403, None).cause, Cause::INTERWORKING);
        assert!(!table.status_rule(Release::here(Cause::BUSY)).verified);
    }
}
