//! Causes and statuses against the text of RFC 3398, whose lines stand here as the RFC prints them.

use tipring::trunk::interwork::{Interworking, Profile};
use tipring::trunk::{Cause, Location, Release};

/// RFC 3398 7.2.4.1.
const CAUSE_TO_STATUS: &str = "
   1  unallocated number                   404 Not Found
   2  no route to network                  404 Not found
   3  no route to destination              404 Not found
   17 user busy                            486 Busy here
   18 no user responding                   408 Request Timeout
   19 no answer from the user              480 Temporarily unavailable
   20 subscriber absent                    480 Temporarily unavailable
   21 call rejected                        403 Forbidden (+)
   22 number changed (w/o diagnostic)      410 Gone
   23 redirection to new destination       410 Gone
   26 non-selected user clearing           404 Not Found (=)
   27 destination out of order             502 Bad Gateway
   28 address incomplete                   484 Address incomplete
   29 facility rejected                    501 Not implemented
   31 normal unspecified                   480 Temporarily unavailable
   34 no circuit available                 503 Service unavailable
   38 network out of order                 503 Service unavailable
   41 temporary failure                    503 Service unavailable
   42 switching equipment congestion       503 Service unavailable
   47 resource unavailable                 503 Service unavailable
   55 incoming calls barred within CUG     403 Forbidden
   57 bearer capability not authorized     403 Forbidden
   58 bearer capability not presently      503 Service unavailable
   65 bearer capability not implemented    488 Not Acceptable Here
   70 only restricted digital avail        488 Not Acceptable Here
   79 service or option not implemented    501 Not implemented
   87 user not member of CUG               403 Forbidden
   88 incompatible destination             503 Service unavailable
   102 recovery of timer expiry            504 Gateway timeout
   111 protocol error                      500 Server internal error
   127 interworking unspecified            500 Server internal error
";

/// RFC 3398 8.2.6.1. Its second 504, "Version Not Supported", is 505.
const STATUS_TO_CAUSE: &str = "
   400 Bad Request                       41 Temporary Failure
   401 Unauthorized                      21 Call rejected (*)
   402 Payment required                  21 Call rejected
   403 Forbidden                         21 Call rejected
   404 Not found                          1 Unallocated number
   405 Method not allowed                63 Service or option
   406 Not acceptable                    79 Service/option not
   407 Proxy authentication required     21 Call rejected (*)
   408 Request timeout                  102 Recovery on timer expiry
   410 Gone                              22 Number changed
   413 Request Entity too long          127 Interworking (+)
   414 Request-URI too long             127 Interworking (+)
   415 Unsupported media type            79 Service/option not
   416 Unsupported URI Scheme           127 Interworking (+)
   420 Bad extension                    127 Interworking (+)
   421 Extension Required               127 Interworking (+)
   423 Interval Too Brief               127 Interworking (+)
   480 Temporarily unavailable           18 No user responding
   481 Call/Transaction Does not Exist   41 Temporary Failure
   482 Loop Detected                     25 Exchange - routing error
   483 Too many hops                     25 Exchange - routing error
   484 Address incomplete                28 Invalid Number Format (+)
   485 Ambiguous                          1 Unallocated number
   486 Busy here                         17 User busy
   500 Server internal error             41 Temporary failure
   501 Not implemented                   79 Not implemented, unspecified
   502 Bad gateway                       38 Network out of order
   503 Service unavailable               41 Temporary failure
   504 Server time-out                  102 Recovery on timer expiry
   505 Version Not Supported            127 Interworking (+)
   513 Message Too Large                127 Interworking (+)
   600 Busy everywhere                   17 User busy
   603 Decline                           21 Call rejected
   604 Does not exist anywhere            1 Unallocated number
";

const LOCATIONS: [Location; 8] = [
    Location::User,
    Location::LocalPrivate,
    Location::LocalNetwork,
    Location::Transit,
    Location::RemoteNetwork,
    Location::RemotePrivate,
    Location::International,
    Location::BeyondInterworking,
];

/// The first number of a line and the next one that stands alone behind two blanks.
fn rows(text: &str) -> Vec<(u16, u16)> {
    let row = |line: &str| {
        let line = line.trim();
        let (from, rest) = line.split_once(' ').expect("a number and words");
        let to = rest.split("  ").filter_map(|part| part.trim().split(' ').next()?.parse().ok()).last();
        (from.parse().expect("a number"), to.unwrap_or_else(|| panic!("no second number: {line}")))
    };
    text.lines().filter(|line| !line.trim().is_empty()).map(row).collect()
}

#[test]
fn every_cause_at_every_location_becomes_the_status_of_the_rfc() {
    let table = rows(CAUSE_TO_STATUS);
    assert_eq!(table.len(), 31);
    for value in 1..=127 {
        for location in LOCATIONS {
            let cause = Cause::new(value).expect("1 to 127 are causes");
            let listed = table.iter().find(|(from, _)| *from == u16::from(value)).map(|(_, to)| *to);
            let expected = match (value, location) {
                // Note (+): "If the cause location is 'user' than the 6xx code could be given".
                (21, Location::User) => 603,
                // The RFC has no status for 16; README promises 480.
                (16, _) => 480,
                // "the default response '500 Server internal error' SHOULD be used"
                _ => listed.unwrap_or(500),
            };
            let rule = Interworking::RFC_3398.status_rule(Release { cause, location });
            assert_eq!(rule.value, expected, "cause {value} at {location:?}");
            assert!(rule.source.contains("RFC 3398") && rule.verified);
        }
    }
    assert!(Cause::new(0).is_none() && Cause::new(128).is_none());
}

#[test]
fn every_status_becomes_the_cause_of_the_rfc() {
    let table = rows(STATUS_TO_CAUSE);
    assert_eq!(table.len(), 34);
    for status in 300..=699_u16 {
        let listed = table.iter().find(|(from, _)| *from == status).map(|(_, to)| *to);
        // "should be mapping to cause code 31"; 488 and 606 "by Warning header", whose default is 31.
        let expected = listed.unwrap_or(31);
        let release = Interworking::RFC_3398.release_of(status, None);
        assert_eq!(u16::from(release.cause.value()), expected, "status {status}");
        let network = if status >= 600 { Location::User } else { Location::BeyondInterworking };
        assert_eq!(release.location, network, "status {status}");
    }
}

#[test]
fn no_profile_leaves_a_cause_or_a_status_without_an_answer() {
    for (_, profile) in Profile::ALL {
        let table = Interworking { profile, ..Interworking::default() };
        for value in 1..=127 {
            let rule = table.status_rule(Release::here(Cause::new(value).expect("a cause")));
            assert!((400..=699).contains(&rule.value) && !rule.source.is_empty(), "{value}: {rule:?}");
        }
        for status in 300..=699 {
            assert!(!table.cause_rule(status, None).source.is_empty(), "{status}");
        }
    }
}

#[test]
fn the_lines_here_are_those_of_the_rfc() {
    let Ok(rfc) = std::fs::read_to_string("../shared/rfc/rfc3398.txt") else {
        println!("../shared/rfc is absent: the lines were not compared with the text of the RFC");
        return;
    };
    for line in CAUSE_TO_STATUS.lines().chain(STATUS_TO_CAUSE.lines()).filter(|line| !line.trim().is_empty()) {
        let line = line.replace("505 Version", "504 Version");
        assert!(rfc.contains(line.trim_end()), "not in the RFC: {line}");
    }
}
