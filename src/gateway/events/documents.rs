//! What a NOTIFY says: the documents of the event packages, as functions of plain values.

use std::fmt::Write;

/// An event package that phones may subscribe to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Package {
    /// RFC 4235: the busy lamp.
    Dialog,
    /// RFC 3856: open or closed.
    Presence,
    /// RFC 3842: messages that wait.
    MessageSummary,
    /// RFC 3680: where an account is registered.
    Reg,
}

const PACKAGES: [(Package, &str, &str); 4] = [
    (Package::Dialog, "dialog", "application/dialog-info+xml"),
    (Package::Presence, "presence", "application/pidf+xml"),
    (Package::MessageSummary, "message-summary", "application/simple-message-summary"),
    (Package::Reg, "reg", "application/reginfo+xml"),
];

/// `Allow-Events`: every package by name.
pub(super) const ALLOW_EVENTS: &str = "dialog, presence, message-summary, reg";

impl Package {
    /// The package that an `Event` header names; its parameters don't count (RFC 6665 8.2.1).
    pub(super) fn of_event(event: &str) -> Option<Package> {
        let name = event.split(';').next().unwrap_or_default().trim();
        PACKAGES.iter().find(|(_, known, _)| known.eq_ignore_ascii_case(name)).map(|(package, ..)| *package)
    }

    /// The media type of its document.
    pub(super) fn media_type(self) -> &'static str {
        PACKAGES.iter().find(|(package, ..)| *package == self).map_or("", |(.., media_type)| media_type)
    }
}

/// One call of whoever is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WatchedCall {
    /// The number of the call.
    pub call: u64,
    /// Whether the watched one is the caller.
    pub is_caller: bool,
    /// `trying`, `early`, `confirmed` (RFC 4235 3.7.1).
    pub state: &'static str,
    /// The number at the other end, when it is known.
    pub remote: Option<String>,
}

/// A dialog-info document (RFC 4235 4.1): full state, an idle one names no dialog.
pub(super) fn dialog_info(version: u32, entity: &str, domain: &str, calls: &[WatchedCall]) -> String {
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{version}\" state=\"full\" \
         entity=\"sip:{}\">\n",
        escape(entity)
    );
    for call in calls {
        let direction = if call.is_caller { "initiator" } else { "recipient" };
        let _ = write!(
            text,
            "  <dialog id=\"call-{}\" direction=\"{direction}\">\n    <state>{}</state>\n    \
             <local><identity>sip:{}</identity></local>\n",
            call.call,
            call.state,
            escape(entity)
        );
        if let Some(remote) = &call.remote {
            let _ = writeln!(
                text,
                "    <remote><identity>sip:{}@{}</identity></remote>",
                escape(&user_part(remote)),
                escape(domain)
            );
        }
        text.push_str("  </dialog>\n");
    }
    text.push_str("</dialog-info>\n");
    text
}

/// A presence document (RFC 3863) of one tuple.
pub(super) fn presence(entity: &str, is_open: bool) -> String {
    let basic = if is_open { "open" } else { "closed" };
    let entity = escape(entity);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"pres:{entity}\">\n  \
         <tuple id=\"line\">\n    <status><basic>{basic}</basic></status>\n    \
         <contact>sip:{entity}</contact>\n  </tuple>\n</presence>\n"
    )
}

/// A registration document (RFC 3680 5): full state.
pub(super) fn reg_info(version: u32, entity: &str, contacts: &[String]) -> String {
    let state = if contacts.is_empty() { "init" } else { "active" };
    let entity = escape(entity);
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"{version}\" state=\"full\">\n  \
         <registration aor=\"sip:{entity}\" id=\"account\" state=\"{state}\">\n"
    );
    for (number, contact) in contacts.iter().enumerate() {
        let _ = writeln!(
            text,
            "    <contact id=\"c{number}\" state=\"active\" event=\"registered\"><uri>{}</uri></contact>",
            escape(contact)
        );
    }
    text.push_str("  </registration>\n</reginfo>\n");
    text
}

/// A message summary (RFC 3842 5.2) of text messages alone.
pub(super) fn message_summary(entity: &str, texts: usize) -> String {
    let waiting = if texts > 0 { "yes" } else { "no" };
    let mut text = format!("Messages-Waiting: {waiting}\r\nMessage-Account: sip:{entity}\r\n");
    if texts > 0 {
        let _ = write!(text, "Text-Message: {texts}/0\r\n");
    }
    text
}

/// Text inside XML. What no XML document may hold (control characters) is left out.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {}
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// A number as the user part of a URI: `#` and the like percent-encoded (RFC 3261 25.1).
fn user_part(number: &str) -> String {
    let mut text = String::with_capacity(number.len());
    for byte in number.bytes() {
        match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'-'
            | b'_'
            | b'.'
            | b'!'
            | b'~'
            | b'*'
            | b'\''
            | b'('
            | b')'
            | b'&'
            | b'='
            | b'+'
            | b'$'
            | b','
            | b';'
            | b'?'
            | b'/' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_named_by_its_event() {
        assert_eq!(Package::of_event(" Dialog;id=7"), Some(Package::Dialog));
        assert_eq!(Package::of_event("presence.winfo"), None);
        for (package, name, media_type) in PACKAGES {
            assert_eq!(Package::of_event(name), Some(package));
            assert_eq!(package.media_type(), media_type);
            assert!(ALLOW_EVENTS.split(", ").any(|known| known == name));
        }
    }

    #[test]
    fn a_ringing_line_is_an_early_dialog() {
        let call = WatchedCall { call: 7, is_caller: false, state: "early", remote: Some("#31".to_owned()) };
        let text = dialog_info(3, "105@h", "h", &[call]);
        for part in [
            "version=\"3\" state=\"full\" entity=\"sip:105@h\"",
            "<dialog id=\"call-7\" direction=\"recipient\">",
            "<state>early</state>",
            "<remote><identity>sip:%2331@h</identity></remote>",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!dialog_info(0, "105@h", "h", &[]).contains("<dialog "), "idle");
    }

    #[test]
    fn nothing_that_is_shown_can_break_out_of_the_document() {
        let text = reg_info(0, "201@h", &["sip:a\"<&>\u{1}@h".to_owned()]);
        assert!(text.contains("<uri>sip:a&quot;&lt;&amp;&gt;@h</uri>"), "{text}");
    }

    #[test]
    fn a_summary_counts_text_messages() {
        assert_eq!(message_summary("201@h", 0), "Messages-Waiting: no\r\nMessage-Account: sip:201@h\r\n");
        assert!(message_summary("201@h", 2).ends_with("Text-Message: 2/0\r\n"));
        assert!(presence("101@h", true).contains("<basic>open</basic>"));
        assert!(presence("101@h", false).contains("<basic>closed</basic>"));
    }
}
