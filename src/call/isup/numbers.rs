//! Numbers as SIP writes them to numbers as ISUP has them, and back (RFC 3398 12).

use super::Side;
use crate::isup::number::NumberingPlan;
use crate::isup::{Digits, NatureOfAddress, Number};
use crate::trunk::Nature;

/// Code 11 and 12 are what telephones write as `*` and `#`. **Unverified**: Q.763 only calls them "code 11" and
/// "code 12"; signalling of old had them so.
const SIGNS: [(char, char); 2] = [('*', 'B'), ('#', 'C')];

/// Address signals of what was dialled; `None` for what is no number.
pub(super) fn digits_of(text: &str) -> Option<Digits> {
    let signal = |c: char| SIGNS.iter().find(|(sign, _)| *sign == c).map_or(c, |(_, code)| *code);
    let is_number = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '*' | '#'));
    Digits::new(&text.chars().map(signal).collect::<String>()).ok().filter(|_| is_number)
}

/// What was dialled, of address signals.
pub(super) fn text_of(digits: &str) -> String {
    digits.chars().map(|c| SIGNS.iter().find(|(_, code)| *code == c).map_or(c, |(sign, _)| *sign)).collect()
}

/// A number as the exchanges of this side write it. `None` for what is no number, and for too many digits.
///
/// RFC 3398 12.2: "If the country code is local to the gateway [...], the gateway SHOULD set the NoA to reflect
/// 'national (significant) number' and strip the country code".
pub(super) fn number_of(text: &str, nature: Nature, side: &Side, is_complete: bool) -> Option<Number> {
    let (nature, digits) = match text.strip_prefix('+') {
        Some(international) => match side.country_code.as_deref().and_then(|code| international.strip_prefix(code)) {
            Some(national) if !national.is_empty() => (NatureOfAddress::NATIONAL, national),
            _ => (NatureOfAddress::INTERNATIONAL, international),
        },
        None => (code_of(nature), text),
    };
    let digits = digits_of(digits)?;
    // ST belongs to called numbers alone.
    let digits = if is_complete { Digits::new(&format!("{}F", digits.as_str())).ok()? } else { digits };
    Some(Number::new(nature, &digits))
}

/// What an exchange of this side means by a number, and what its digits are then.
///
/// RFC 3398 12.1: international digits get `+`, a national number gets `+` and the country code. What would need an
/// area code, and what is private to a country or network, stays as it is.
pub(super) fn written(number: &Number, side: &Side) -> (String, Nature) {
    let digits = number.digits();
    let text = text_of(digits.number());
    // "Note that if the NPI contains a value other than 'ISDN numbering plan', then the tel URL may not be suitable".
    let is_e164 = matches!(number.plan(), NumberingPlan::E164 | NumberingPlan::UNKNOWN);
    match (number.nature(), side.country_code.as_deref()) {
        (NatureOfAddress::INTERNATIONAL, _) if is_e164 && !text.is_empty() => (format!("+{text}"), Nature::AsWritten),
        (NatureOfAddress::NATIONAL, Some(code)) if is_e164 && !text.is_empty() => {
            (format!("+{code}{text}"), Nature::AsWritten)
        }
        (nature, _) => (text, nature_of(nature)),
    }
}

fn code_of(nature: Nature) -> NatureOfAddress {
    match nature {
        Nature::AsWritten => NatureOfAddress::UNKNOWN,
        Nature::Subscriber => NatureOfAddress::SUBSCRIBER,
        Nature::National => NatureOfAddress::NATIONAL,
        Nature::NetworkSpecific => NatureOfAddress::NETWORK_SPECIFIC,
        Nature::Other(code) => NatureOfAddress::new(code & 0x7F),
    }
}

fn nature_of(nature: NatureOfAddress) -> Nature {
    match nature {
        NatureOfAddress::UNKNOWN => Nature::AsWritten,
        NatureOfAddress::SUBSCRIBER => Nature::Subscriber,
        NatureOfAddress::NATIONAL => Nature::National,
        NatureOfAddress::NETWORK_SPECIFIC => Nature::NetworkSpecific,
        other => Nature::Other(other.value()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(country_code: Option<&str>) -> Side {
        Side { country_code: country_code.map(str::to_owned), ..Side::default() }
    }

    #[track_caller]
    fn check(text: &str, nature: Nature, country_code: Option<&str>, code: NatureOfAddress, digits: &str) {
        let side = side(country_code);
        let number = number_of(text, nature, &side, false).expect("a number");
        assert_eq!((number.nature(), number.digits().as_str()), (code, digits), "{text}");
        assert_eq!(written(&number, &side), (text.to_owned(), nature), "back again");
    }

    #[test]
    fn numbers_have_the_nature_that_their_form_says_and_come_back() {
        use NatureOfAddress as N;
        check("+19725552222", Nature::AsWritten, Some("1"), N::NATIONAL, "9725552222");
        check("+4930123", Nature::AsWritten, Some("1"), N::INTERNATIONAL, "4930123");
        check("+19725552222", Nature::AsWritten, None, N::INTERNATIONAL, "19725552222");
        check("9725552222", Nature::National, None, N::NATIONAL, "9725552222");
        check("5552222", Nature::Subscriber, Some("1"), N::SUBSCRIBER, "5552222");
        check("8000", Nature::AsWritten, Some("1"), N::UNKNOWN, "8000");
        check("*21#", Nature::AsWritten, None, N::UNKNOWN, "B21C");
        check("12", Nature::NetworkSpecific, None, N::NETWORK_SPECIFIC, "12");
        check("12", Nature::Other(8), None, N::new(8), "12");
    }

    #[test]
    fn a_country_code_alone_is_no_national_number() {
        let number = number_of("+1", Nature::AsWritten, &side(Some("1")), false).expect("a digit");
        assert_eq!((number.nature(), number.digits().as_str()), (NatureOfAddress::INTERNATIONAL, "1"));
    }

    #[test]
    fn what_is_no_number_and_what_is_too_long_is_none() {
        for text in ["", "+", "alice", "+49 30", "12a", "+4930F"] {
            assert!(number_of(text, Nature::AsWritten, &side(None), false).is_none(), "{text}");
        }
        let longest = "1".repeat(crate::limits::DIGITS_MAX);
        assert!(number_of(&longest, Nature::AsWritten, &side(None), false).is_some());
        assert!(number_of(&longest, Nature::AsWritten, &side(None), true).is_none(), "ST is an address signal too");
        assert!(number_of(&format!("{longest}1"), Nature::AsWritten, &side(None), false).is_none());
    }

    #[test]
    fn st_says_that_a_number_is_complete_and_is_no_digit() {
        let number = number_of("8000", Nature::AsWritten, &side(None), true).expect("a number");
        assert_eq!(number.digits().as_str(), "8000F");
        assert_eq!(written(&number, &side(None)).0, "8000");
    }
}
