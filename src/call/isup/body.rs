//! ISUP in the bodies of SIP (RFC 3204, RFC 3372): what is written there, and who can read it.
//!
//! A body names its version and may name a base. We write and read what ITU-T has since 1992 and ANSI since 1988;
//! the ETSI variants are profiles of the former, GR-317 is one of the latter.

use super::{Side, event_of, iam_of, messages_of};
use crate::isup::compatibility::{Role, Treatment, treat};
use crate::isup::{Message, MessageType, Variant};
use crate::sdp::Description;
use crate::sip::{Body, Header, HeaderName, Part};
use crate::trunk::{Diversion, Iam, IsupBody, Medium, TrunkEvent};

/// The type of such a body.
pub const MEDIA_TYPE: &str = "application/isup";

/// Versions and bases (RFC 3204 table 1) that each variant reads; the first one is what it writes.
const ITU: [&str; 4] = ["itu-t92+", "itu-t88", "etsi356", "etsi121"];
const ANSI: [&str; 3] = ["ansi00", "ansi88", "gr317"];

/// The part of a SIP body that carries this message. `None` for one that can't be written.
///
/// "handling=optional": who doesn't read it finds in the SIP message what it needs (RFC 3372 5: translation goes
/// with encapsulation).
pub fn part_of(body: &IsupBody) -> Part {
    let version = if body.is_ansi { ANSI[0] } else { ITU[0] };
    let content_type = format!("{MEDIA_TYPE};version={version};base={version}");
    let field = Header::new(HeaderName::Other("Content-Disposition".to_owned()), "signal;handling=optional");
    Part { body: Body { content_type, bytes: body.octets.clone() }, fields: vec![field] }
}

/// A message as octets; `None` for one that can't be written.
pub fn octets_of(message: &Message, side: &Side) -> Option<IsupBody> {
    let octets = message.encode_body(side.variant).ok()?;
    Some(IsupBody { is_ansi: side.variant == Variant::Ansi, octets })
}

/// The message in a body; `None` when it is of another type, of another variant than the side's, or can't be read.
pub fn message_in(body: &Body, side: &Side) -> Option<Message> {
    if !body.is(MEDIA_TYPE) || !reads(&body.content_type, side.variant) {
        return None;
    }
    Message::decode_body(side.variant, &body.bytes).ok()
}

/// Whether version or base is one of the variant's. A body that names neither, although RFC 3204 3.1 requires the
/// version, is of the variant that was agreed for the trunk.
fn reads(content_type: &str, variant: Variant) -> bool {
    let parameters = || content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let value = |name: &str| {
        let found = parameters().find(|(known, _)| known.trim().eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim().trim_matches('"'))
    };
    let known: &[&str] = match variant {
        Variant::Itu => &ITU,
        Variant::Ansi => &ANSI,
    };
    let named = [value("version"), value("base")];
    let is_known = |name: &str| known.iter().any(|known| known.eq_ignore_ascii_case(name));
    named.iter().all(Option::is_none) || named.into_iter().flatten().any(is_known)
}

/// RFC 3204 6: "If the parameter has the value 'optional', the UAS MUST ignore the message body; if it has the value
/// 'required', the UAS MUST return 415 (Unsupported Media Type). If the handling parameter is missing, the value
/// 'required' is to be assumed."
pub fn must_be_read(part: &Part) -> bool {
    let is_disposition = |field: &&Header| field.name.as_str().eq_ignore_ascii_case("Content-Disposition");
    let Some(field) = part.fields.iter().find(is_disposition) else { return true };
    let text = field.text().to_ascii_lowercase();
    let handling = text.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let mut handling = handling.filter(|(name, _)| name.trim() == "handling");
    handling.next().is_none_or(|(_, value)| value.trim().trim_matches('"') != "optional")
}

/// What a call says of itself once the IAM of its INVITE was read: the header fields win (RFC 3398 7.2.1.1: "the
/// relevant values of SIP header fields MUST 'overwrite' [...] the parameter values"), the IAM says what they don't.
///
/// `by`: whose word on diversions it is, `trunk/NAME`.
pub fn merged(iam: Iam, message: &Message, side: &Side, by: &str) -> Iam {
    let Some(octets) = octets_of(message, side).filter(|_| message.kind() == MessageType::IAM) else { return iam };
    let Ok(said) = iam_of(message, side) else { return iam };
    let is_same = iam.called == said.called;
    let mut merged = Iam { isup: Some(Box::new(octets)), ..iam };
    if is_same {
        merged.called_nature = said.called_nature;
    }
    // A number that the header fields have is the caller's; its screening is of the IAM when it has the same one.
    if merged.calling.is_none() || merged.calling == said.calling {
        merged.calling_nature = said.calling_nature;
        merged.screening = said.screening;
    }
    if merged.calling.is_none() {
        merged.calling = said.calling;
        merged.presentation = said.presentation;
    }
    merged.calling_name = merged.calling_name.or(said.calling_name);
    if merged.category == Default::default() {
        merged.category = said.category;
    }
    if said.medium == Medium::Audio {
        merged.medium = Medium::Audio;
    }
    if merged.diversions.is_empty() {
        merged.diversions =
            said.diversions.into_iter().map(|diversion| Diversion { by: by.to_owned(), ..diversion }).collect();
        merged.redirections = said.redirections;
    }
    merged
}

/// The message that says `event` to the exchanges of a side: what the other leg said itself where that was the same
/// (RFC 3398 8.2.3: "the gateway SHOULD re-use the appropriate parameters of the ISUP message", unknown ones among
/// them), less what its sender doesn't want to be passed on.
#[must_use]
pub fn renewed(message: Message, heard: Option<&IsupBody>, event: &TrunkEvent, side: &Side) -> Message {
    let is_same_variant = |body: &&IsupBody| body.is_ansi == (side.variant == Variant::Ansi);
    let original = heard.filter(is_same_variant).and_then(|body| Message::decode_body(side.variant, &body.octets).ok());
    let Some(original) = original else { return message };
    if original.kind() != message.kind() || event_of(&original, side).as_ref() != Some(event) {
        return message;
    }
    match treat(side.variant, &original, Role::Transit).0 {
        Treatment::Accept { without } => without.into_iter().fold(original, Message::without),
        Treatment::Discard | Treatment::Release(_) => message,
    }
}

/// The one message with which a SIP message says `event` in its body.
pub fn message_for_body(event: &TrunkEvent, heard: Option<&IsupBody>, side: &Side) -> Option<Message> {
    let is_first = matches!(event, TrunkEvent::Acm { .. } | TrunkEvent::Con);
    let message = messages_of(event, !is_first, side).pop()?;
    Some(renewed(message, heard, event, side))
}

/// What the way of a call must carry by the offer of its caller: 3.1 kHz audio for facsimile, and for who offers
/// nothing but G.711, as fax adapters and modems do; else speech.
///
/// RFC 3398 7.2.1.1 leaves it to the gateway ("MUST be provisioned with default values").
pub fn medium_of_offer(offer: &[u8]) -> Medium {
    /// Static payload types of G.711 (RFC 3551 table 4).
    const G711: [u8; 2] = [0, 8];
    let Ok(description) = Description::parse(offer) else { return Medium::Speech };
    let is_image = description.media.iter().any(|media| media.kind == "image");
    let audio = description.media.iter().filter(|media| media.kind == "audio");
    let mut codecs = audio.flat_map(|media| {
        let is_codec = |payload: &crate::sdp::PayloadType| {
            let name = media.rtpmap(*payload).map(|(name, ..)| name.to_ascii_lowercase());
            !matches!(name.as_deref(), Some("telephone-event" | "cn" | "red"))
        };
        media.payload_types().filter(is_codec).collect::<Vec<_>>()
    });
    let has_audio = codecs.next();
    let is_g711 = |payload: crate::sdp::PayloadType| G711.contains(&payload.value());
    let only_g711 = has_audio.is_some_and(is_g711) && codecs.all(is_g711);
    if is_image || only_g711 { Medium::Audio } else { Medium::Speech }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::isup::iam_message;
    use crate::isup::{Parameter, ParameterCode};
    use crate::trunk::{CalledStatus, CallingCategory, Cause, Release, Screening};

    fn side(variant: Variant) -> Side {
        Side { variant, ..Side::default() }
    }

    fn iam() -> Iam {
        Iam { called: "+4930123".into(), calling: Some("+4930200".into()), ..Iam::default() }
    }

    #[test]
    fn a_body_is_read_by_who_speaks_its_variant() {
        for variant in Variant::ALL {
            let side = side(variant);
            let message = iam_message(&iam(), &side).expect("an IAM");
            let part = part_of(&octets_of(&message, &side).expect("short"));
            assert_eq!(message_in(&part.body, &side), Some(message));
            let other = Variant::ALL.into_iter().find(|v| *v != variant).expect("two");
            assert_eq!(message_in(&part.body, &Side { variant: other, ..Side::default() }), None);
            assert!(!must_be_read(&part));
        }
    }

    #[test]
    fn versions_and_bases_are_those_of_rfc_3204() {
        let check = |content_type: &str, itu: bool, ansi: bool| {
            let found = (reads(content_type, Variant::Itu), reads(content_type, Variant::Ansi));
            assert_eq!(found, (itu, ansi), "{content_type}");
        };
        check("application/ISUP; version=nxv3; base=etsi121", true, false);
        check("application/isup;version=itu-t92+", true, false);
        check("application/isup;version=\"ANSI00\"", false, true);
        check("application/isup;version=nxv3", false, false);
        check("application/isup;version=ttc87;base=ttc87", false, false);
        check("application/isup", true, true);
    }

    #[test]
    fn a_body_must_be_read_unless_it_says_that_it_need_not() {
        let check = |field: Option<&str>, expected| {
            let name = || HeaderName::Other("content-disposition".to_owned());
            let fields = field.map(|value| Header::new(name(), value)).into_iter().collect();
            let body = Body { content_type: MEDIA_TYPE.to_owned(), bytes: vec![1] };
            assert_eq!(must_be_read(&Part { body, fields }), expected, "{field:?}");
        };
        check(None, true);
        check(Some("signal"), true);
        check(Some("signal;handling=required"), true);
        check(Some("signal; handling=Optional"), false);
    }

    #[test]
    fn header_fields_win_over_the_iam_which_says_the_rest() {
        let side = side(Variant::Itu);
        let inside = Iam {
            called: "+12025332699".into(),
            calling: Some("+4930999".into()),
            screening: Screening::NotVerified,
            category: CallingCategory(15),
            medium: Medium::Audio,
            ..Iam::default()
        };
        let message = iam_message(&inside, &side).expect("an IAM").with(Parameter::read(ParameterCode::new(200), &[9]));
        // The example of RFC 3398 7.2.1.1.
        let outside = Iam { called: "+15105550110".into(), ..Iam::default() };
        let merged = merged(outside, &message, &side, "trunk/peer");
        assert_eq!((merged.called.as_str(), merged.calling.as_deref()), ("+15105550110", Some("+4930999")));
        assert_eq!((merged.category, merged.medium), (CallingCategory(15), Medium::Audio));
        assert_eq!(merged.screening, Screening::NotVerified);
        let sent = iam_message(&merged, &side).expect("an IAM");
        assert_eq!(sent.called_number().expect("mandatory").digits().number(), "15105550110");
        let kept = sent.parameters().iter().find(|parameter| parameter.code().value() == 200);
        assert_eq!(kept.map(Parameter::octets), Some(&[9][..]), "an unknown parameter goes through");
    }

    #[test]
    fn what_the_other_leg_said_itself_is_said_again_when_it_means_the_same() {
        let side = side(Variant::Itu);
        let busy = TrunkEvent::Rel(Release::user(Cause::BUSY));
        let unknown = Parameter::read(ParameterCode::new(200), &[1, 2]);
        let heard = messages_of(&busy, true, &side).pop().expect("REL").with(unknown);
        let body = octets_of(&heard, &side).expect("short");
        assert_eq!(message_for_body(&busy, Some(&body), &side), Some(heard));
        let other = TrunkEvent::Rel(Release::user(Cause::NORMAL));
        let fresh = messages_of(&other, true, &side).pop();
        assert_eq!(message_for_body(&other, Some(&body), &side), fresh);
        let free = TrunkEvent::Acm { status: CalledStatus::SubscriberFree, in_band: false };
        assert_eq!(message_for_body(&free, Some(&body), &side).expect("ACM").kind(), MessageType::ACM);
    }

    #[test]
    fn the_offer_decides_on_the_medium() {
        let check = |media: &str, expected| {
            let offer = format!("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n{media}");
            assert_eq!(medium_of_offer(offer.as_bytes()), expected, "{media}");
        };
        check("m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n", Medium::Audio);
        check("m=audio 4000 RTP/AVP 18 0\r\n", Medium::Speech);
        check("m=audio 4000 RTP/AVP 9\r\n", Medium::Speech);
        check("m=image 4000 udptl t38\r\n", Medium::Audio);
        check("", Medium::Speech);
        assert_eq!(medium_of_offer(b"nothing"), Medium::Speech);
    }
}
