//! SIP status and Reason to and from trunk events (RFC 3398, RFC 3326, RFC 6432).
//!
//! The tables are data, one row a line, so that they can be printed and explained. A Q.850 Reason
//! header wins over the status it came with: it is what the far end really said.

use super::{Cause, Location, Release};
use crate::sip::Reason;

/// RFC 3398 7.2.4.1, ISUP cause to SIP status. What is not listed becomes 500.
///
/// 22 stands without diagnostic (410); 16 has no row in the RFC, since it "usually results in a BYE
/// or CANCEL": before an answer we say 480, the nearest to "the callee is not there".
pub const STATUS_OF_CAUSE: &[(u8, u16)] = &[
    (1, 404),
    (2, 404),
    (3, 404),
    (16, 480),
    (17, 486),
    (18, 408),
    (19, 480),
    (20, 480),
    (21, 403),
    (22, 410),
    (23, 410),
    (26, 404),
    (27, 502),
    (28, 484),
    (29, 501),
    (31, 480),
    (34, 503),
    (38, 503),
    (41, 503),
    (42, 503),
    (47, 503),
    (55, 403),
    (57, 403),
    (58, 503),
    (65, 488),
    (70, 488),
    (79, 501),
    (87, 403),
    (88, 503),
    (102, 504),
    (111, 500),
    (127, 500),
];

/// RFC 3398 8.2.6.1, SIP status to ISUP cause. What is not listed becomes 31.
///
/// 487 has no mapping (it is the echo of our own CANCEL); 488 and 606 go "by Warning header", whose
/// default is 31. The RFC's second row "504 Version Not Supported" is 505.
pub const CAUSE_OF_STATUS: &[(u16, u8)] = &[
    (400, 41),
    (401, 21),
    (402, 21),
    (403, 21),
    (404, 1),
    (405, 63),
    (406, 79),
    (407, 21),
    (408, 102),
    (410, 22),
    (413, 127),
    (414, 127),
    (415, 79),
    (416, 127),
    (420, 127),
    (421, 127),
    (423, 127),
    (480, 18),
    (481, 41),
    (482, 25),
    (483, 25),
    (484, 28),
    (485, 1),
    (486, 17),
    (500, 41),
    (501, 79),
    (502, 38),
    (503, 41),
    (504, 102),
    (505, 127),
    (513, 127),
    (600, 17),
    (603, 21),
    (604, 1),
];

/// The final status that refuses an INVITE released with `release`.
///
/// RFC 3398 7.2.4.1, note (+): a rejection by the user himself is 603 instead of 403.
pub fn status_of(release: Release) -> u16 {
    if release.cause == Cause::REJECTED && release.location == Location::User {
        return 603;
    }
    STATUS_OF_CAUSE.iter().find(|(cause, _)| *cause == release.cause.value()).map_or(500, |(_, status)| *status)
}

/// The release that a final status means, when no Reason header says better.
///
/// RFC 3398 8.2.6.1: "6xx codes are given the location 'user', whereas 4xx and 5xx codes are given
/// a 'network' location"; ours is the network beyond the interworking point.
pub fn release_of(status: u16) -> Release {
    let value = CAUSE_OF_STATUS.iter().find(|(s, _)| *s == status).map_or(31, |(_, cause)| *cause);
    let location = if status >= 600 { Location::User } else { Location::BeyondInterworking };
    Release { cause: Cause::new(value).unwrap_or(Cause::UNSPECIFIED), location }
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
    Some(match cause.value() {
        1 => "Unallocated (unassigned) number",
        2 => "No route to specified transit network",
        3 => "No route to destination",
        16 => "Normal call clearing",
        17 => "User busy",
        18 => "No user responding",
        19 => "No answer from user (user alerted)",
        20 => "Subscriber absent",
        21 => "Call rejected",
        22 => "Number changed",
        23 => "Redirection to new destination",
        25 => "Exchange routing error",
        26 => "Non-selected user clearing",
        27 => "Destination out of order",
        28 => "Invalid number format (address incomplete)",
        29 => "Facility rejected",
        31 => "Normal, unspecified",
        34 => "No circuit/channel available",
        38 => "Network out of order",
        41 => "Temporary failure",
        42 => "Switching equipment congestion",
        47 => "Resource unavailable, unspecified",
        55 => "Incoming calls barred within CUG",
        57 => "Bearer capability not authorized",
        58 => "Bearer capability not presently available",
        63 => "Service or option not available, unspecified",
        65 => "Bearer capability not implemented",
        70 => "Only restricted digital information bearer capability is available",
        79 => "Service or option not implemented, unspecified",
        87 => "User not member of CUG",
        88 => "Incompatible destination",
        102 => "Recovery on timer expiry",
        111 => "Protocol error, unspecified",
        127 => "Interworking, unspecified",
        _ => return None,
    })
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
}
