//! What every server core checks before a request reaches anybody: RFC 3261 8.2.1 to 8.2.3.
//!
//! Merged requests (8.2.2.2) are found by the transaction table; Max-Forwards is for those who
//! forward, so the call layer answers 483 when it would.

use super::grammar::text_of;
use super::headers::NameAddr;
use super::message::{Body, HeaderName, Method, Request, Response, decode, media_type_of};
use super::parser::{Lines, Message, Start, split_list};
use super::{Settings, Uri};

/// Methods, extensions and bodies that we understand, as header values.
pub fn allow(settings: &Settings) -> String {
    join(settings.allow.iter().map(Method::as_str))
}

fn join<'a>(items: impl Iterator<Item = &'a str>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

/// 12.1.1: whether our Contact must be a `sips:` URI, since the Request-URI is one, or the topmost
/// Record-Route, or the Contact if there is no Record-Route.
pub fn wants_secure(request: &Request) -> bool {
    let route = request.headers.get(&HeaderName::RecordRoute).and_then(|value| split_list(value).next());
    let hop = match route {
        Some(route) => NameAddr::parse(route).ok(),
        None => request.contact(),
    };
    request.uri.is_secure() || hop.is_some_and(|hop| hop.uri.is_secure())
}

/// Checks a request; an error is the response to it.
pub fn inspect(message: &Message<'_>, settings: &Settings) -> Result<(), Box<Response>> {
    let Start::Request { method, uri } = &message.start else { return Ok(()) };
    check_method(method, settings)?;
    // "If the Request-URI uses a scheme not supported by the UAS, it SHOULD reject the request with 416" (8.2.2.1).
    if matches!(uri, Uri::Other { .. }) {
        return Err(Box::new(Response::new(416)));
    }
    check_extensions(&message.lines, settings)?;
    if matches!(method, Method::Invite | Method::Update) && !settings.routes_unread_bodies {
        check_body(&message.lines, settings)?;
    }
    if *method == Method::Invite {
        super::session::expiry::check_interval(message, settings)?;
        check_accept(&message.lines, settings)?;
    }
    Ok(())
}

/// 8.2.1, with 501 for methods that nobody knows (21.5.2).
pub fn check_method(method: &Method, settings: &Settings) -> Result<(), Box<Response>> {
    if settings.allow.contains(method) {
        return Ok(());
    }
    let status = if matches!(method, Method::Other(_)) { 501 } else { 405 };
    Err(Box::new(Response::new(status).with(HeaderName::Allow, allow(settings))))
}

/// 8.2.2.3.
fn check_extensions(lines: &Lines<'_>, settings: &Settings) -> Result<(), Box<Response>> {
    let wanted = lines.all(&HeaderName::Require).flat_map(split_list).map(decode);
    let unknown: Vec<String> = wanted
        .filter(|tag| !settings.supported.iter().any(|known| known.eq_ignore_ascii_case(tag)))
        .map(std::borrow::Cow::into_owned)
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Box::new(Response::new(420).with(HeaderName::Unsupported, unknown.join(", "))))
}

/// 8.2.3.
fn check_body(lines: &Lines<'_>, settings: &Settings) -> Result<(), Box<Response>> {
    check_content(lines.body, |name| lines.get(name), settings)
}

/// The same for a request whose body may be read by somebody else ([`Settings::routes_unread_bodies`]).
pub fn check_body_of(request: &Request, settings: &Settings) -> Result<(), Box<Response>> {
    check_content(&request.body, |name| request.headers.get(name), settings)
}

fn check_content<'m>(
    body: &[u8],
    field: impl Fn(&HeaderName) -> Option<&'m [u8]>,
    settings: &Settings,
) -> Result<(), Box<Response>> {
    if body.is_empty() {
        return Ok(());
    }
    let disposition = field(&HeaderName::ContentDisposition).map(text_of).unwrap_or_default();
    if disposition.to_ascii_lowercase().replace([' ', '\t'], "").contains(";handling=optional") {
        return Ok(());
    }
    let refuse = || {
        let accept = join(settings.accept.iter().map(String::as_str));
        let response = Response::new(415).with(HeaderName::Accept, accept);
        Err(Box::new(response.with(HeaderName::AcceptEncoding, "identity")))
    };
    let encoding = field(&HeaderName::ContentEncoding).map(text_of);
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return refuse();
    }
    let Some(content_type) = field(&HeaderName::ContentType) else { return refuse() };
    let content_type = decode(content_type);
    let media_type: String = media_type_of(&content_type).chars().filter(|c| !c.is_whitespace()).collect();
    let is_known = |media_type: &str| settings.accept.iter().any(|known| known.eq_ignore_ascii_case(media_type));
    let is_multipart = |media_type: &String| media_type.to_ascii_lowercase().starts_with("multipart/");
    // RFC 5621 3.1: of several parts those count that are understood; there has to be one.
    let holds_known = || {
        let body = Body { content_type: content_type.clone().into_owned(), bytes: body.to_vec() };
        settings.accept.iter().filter(|known| !is_multipart(known)).any(|known| body.part(known).is_some())
    };
    match if is_multipart(&media_type) { holds_known() } else { is_known(&media_type) } {
        true => Ok(()),
        false => refuse(),
    }
}

/// 21.4.7: what we would answer with must be acceptable; no Accept means `application/sdp` (20.1).
fn check_accept(lines: &Lines<'_>, settings: &Settings) -> Result<(), Box<Response>> {
    let mut ranges = lines.all(&HeaderName::Accept).flat_map(split_list).map(decode).peekable();
    if ranges.peek().is_none() {
        return Ok(());
    }
    let acceptable = ranges.any(|range| {
        let range = media_type_of(&range);
        range == "*/*"
            || settings.accept.iter().any(|ours| {
                let group = range.strip_suffix("/*").zip(ours.split('/').next());
                ours.eq_ignore_ascii_case(range) || group.is_some_and(|(a, b)| a.eq_ignore_ascii_case(b))
            })
    });
    if acceptable {
        return Ok(());
    }
    let warning = "399 tipring \"No body that Accept allows\"";
    Err(Box::new(Response::new(406).with(HeaderName::Warning, warning)))
}

#[cfg(test)]
mod tests {
    use super::super::parser::parse;
    use super::*;

    fn check(method: &str, headers: &str, body: &str) -> Option<Response> {
        let text = format!(
            "{method} sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:b@h>;tag=1\r\nTo: <sip:a@h>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n{headers}\r\n{body}"
        );
        inspect(&parse(text.as_bytes()).unwrap(), &Settings::default()).err().map(|r| *r)
    }

    #[test]
    fn methods_are_refused_with_what_is_allowed() {
        let refused = check("SUBSCRIBE", "", "").unwrap();
        assert_eq!(refused.status, 405);
        assert!(refused.headers.tokens(&HeaderName::Allow).contains(&"INVITE".to_owned()));
        assert_eq!(check("invite", "", "").unwrap().status, 501, "methods have a case");
        assert_eq!(check("OPTIONS", "", ""), None);
    }

    #[test]
    fn unknown_extensions_are_named() {
        let refused = check("INVITE", "Require: 100rel, x\r\nRequire: y\r\n", "").unwrap();
        assert_eq!(
            (refused.status, refused.headers.tokens(&HeaderName::Unsupported)),
            (420, vec!["100rel".into(), "x".into(), "y".into()])
        );
        assert_eq!(check("INVITE", "Require:\r\nProxy-Require: z\r\n", ""), None);
    }

    #[test]
    fn bodies_must_be_understood_or_optional() {
        assert_eq!(check("INVITE", "Content-Type: Application / SDP ;x=y\r\n", "v"), None);
        let refused = check("INVITE", "Content-Type: application/isup\r\n", "v").unwrap();
        assert_eq!(
            (refused.status, refused.headers.tokens(&HeaderName::Accept)),
            (415, vec!["application/sdp".to_owned()])
        );
        assert_eq!(
            check(
                "INVITE",
                "Content-Type: application/isup\r\nContent-Disposition: signal; handling=optional\r\n",
                "v"
            ),
            None
        );
        assert_eq!(
            check("INVITE", "Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n", "v").unwrap().status,
            415
        );
        let parts = |t: &str| format!("--x\r\nContent-Type: {t}\r\n\r\nv\r\n--x--\r\n");
        let mixed = "Content-Type: multipart/mixed;boundary=x\r\n";
        assert_eq!(check("INVITE", mixed, &parts("application/sdp")), None);
        assert_eq!(check("INVITE", mixed, &parts("application/isup")).unwrap().status, 415);
        assert_eq!(check("INVITE", "", "v").unwrap().status, 415);
        assert_eq!(check("OPTIONS", "Content-Type: text/plain\r\n", "v"), None);
    }

    #[test]
    fn an_answer_must_be_acceptable() {
        assert_eq!(check("INVITE", "Accept: text/plain, application/sdp;q=0.3\r\n", ""), None);
        assert_eq!(check("INVITE", "Accept: application/*\r\n", ""), None);
        assert_eq!(check("INVITE", "Accept: text/*\r\n", "").unwrap().status, 406);
        assert_eq!(check("INVITE", "Accept:\r\n", ""), None);
    }
}
