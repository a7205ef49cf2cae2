//! Published state: PUBLISH (RFC 3903 6), a machine without I/O.

use super::documents::Package;
use crate::limits;
use crate::sip::subscription::{LIFE_MIN, life_of};
use crate::sip::{Body, HeaderName, Request, Response};
use crate::time::Instant;

#[derive(Debug)]
struct Publication {
    entity: String,
    package: Package,
    tag: String,
    expires: Instant,
    body: Body,
}

/// All that peers have published.
#[derive(Debug, Default)]
pub(super) struct Publications {
    all: Vec<Publication>,
}

impl Publications {
    /// A PUBLISH for `entity` of a peer who may; `tag` is a new entity tag. To its response.
    ///
    /// 412 for a tag that is not known (6 step 4), 423, 400, 415, 503.
    pub(super) fn publish(
        &mut self,
        now: Instant,
        entity: &str,
        package: Package,
        request: &Request,
        tag: String,
    ) -> Response {
        let known = match request.headers.text(&HeaderName::SipIfMatch) {
            Some(wanted) => {
                let found = self.all.iter().position(|p| {
                    p.tag == wanted.trim() && p.entity == entity && p.package == package && p.expires > now
                });
                match found {
                    Some(at) => Some(at),
                    None => return Response::new(412),
                }
            }
            None => None,
        };
        let life = match life_of(&request.headers) {
            Ok(life) => life,
            Err(refusal) => return refusal,
        };
        let body = request.typed_body();
        if body.as_ref().is_some_and(|body| !body.is(package.media_type())) {
            return Response::new(415).with(HeaderName::Accept, package.media_type());
        }
        if body.as_ref().is_some_and(|body| body.bytes.len() > limits::PUBLICATION_BYTES) {
            return Response::new(413);
        }
        match (known, body) {
            (Some(at), _) if life.is_zero() => {
                self.all.remove(at);
            }
            (Some(at), body) => {
                if let Some(publication) = self.all.get_mut(at) {
                    publication.tag.clone_from(&tag);
                    publication.expires = now + life;
                    publication.body = body.unwrap_or_else(|| publication.body.clone());
                }
            }
            // Step 5: an initial publication without state publishes nothing.
            (None, None) => return Response::new(400).with_reason("PUBLISH without SIP-If-Match needs a body"),
            (None, Some(_)) if life.is_zero() => {}
            (None, Some(body)) => {
                if self.all.iter().filter(|p| p.entity == entity).count() >= limits::PUBLICATIONS_PER_ENTITY {
                    return Response::new(503).with(HeaderName::RetryAfter, LIFE_MIN.as_secs());
                }
                let (entity, tag) = (entity.to_owned(), tag.clone());
                self.all.push(Publication { entity, package, tag, expires: now + life, body });
            }
        }
        Response::new(200).with(HeaderName::Expires, life.as_secs()).with(HeaderName::SipETag, tag)
    }

    /// What was published last for `entity`, while it lives.
    pub(super) fn latest(&self, now: Instant, entity: &str, package: Package) -> Option<&Body> {
        let mut live = self.all.iter().filter(|p| p.entity == entity && p.package == package && p.expires > now);
        live.next_back().map(|p| &p.body)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.all.iter().map(|publication| publication.expires).min()
    }

    /// Drops what is over; returns the entities concerned.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<String> {
        let over = self.all.iter().filter(|p| p.expires <= now).map(|p| p.entity.clone()).collect();
        self.all.retain(|publication| publication.expires > now);
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Method;

    struct Bench {
        publications: Publications,
        now: Instant,
        tags: u32,
    }

    impl Bench {
        fn publish(&mut self, if_match: Option<&str>, expires: u32, body: Option<&str>) -> Response {
            let mut request = Request::new(Method::Publish, "sip:201@h".parse().unwrap())
                .with(HeaderName::Event, "presence")
                .with(HeaderName::Expires, expires);
            if let Some(tag) = if_match {
                request = request.with(HeaderName::SipIfMatch, tag);
            }
            let body = body.map(|text| Body { content_type: "application/pidf+xml".into(), bytes: text.into() });
            self.tags += 1;
            let tag = format!("t{}", self.tags);
            self.publications.publish(self.now, "phone/201", Package::Presence, &request.with_body(body), tag)
        }

        fn latest(&self) -> Option<String> {
            let body = self.publications.latest(self.now, "phone/201", Package::Presence)?;
            Some(String::from_utf8_lossy(&body.bytes).into_owned())
        }
    }

    fn bench() -> Bench {
        Bench { publications: Publications::default(), now: Instant::ZERO, tags: 0 }
    }

    #[test]
    fn the_four_operations_of_rfc_3903_4() {
        let mut bench = bench();
        let initial = bench.publish(None, 600, Some("one"));
        assert_eq!((initial.status, initial.headers.text(&HeaderName::SipETag).as_deref()), (200, Some("t1")));
        assert_eq!(bench.latest().as_deref(), Some("one"));
        assert_eq!(bench.publish(Some("t1"), 600, None).status, 200, "refresh");
        assert_eq!(bench.latest().as_deref(), Some("one"));
        assert_eq!(bench.publish(Some("t1"), 600, None).status, 412, "a tag is used once");
        assert_eq!(bench.publish(Some("t2"), 600, Some("two")).status, 200, "modify");
        assert_eq!(bench.latest().as_deref(), Some("two"));
        assert_eq!(bench.publish(Some("t4"), 0, None).status, 200, "remove");
        assert_eq!(bench.latest(), None);
    }

    #[test]
    fn a_publication_ends_with_its_time() {
        let mut bench = bench();
        bench.publish(None, 60, Some("one"));
        assert_eq!(bench.publications.deadline(), Some(Instant::from_millis(60_000)));
        bench.now = Instant::from_millis(60_000);
        assert_eq!(bench.latest(), None);
        assert_eq!(bench.publications.handle_timeout(bench.now), ["phone/201"]);
        assert_eq!(bench.publications.deadline(), None);
    }

    #[test]
    fn what_is_wrong_is_refused_and_changes_nothing() {
        let mut bench = bench();
        assert_eq!(bench.publish(None, 59, Some("one")).status, 423);
        assert_eq!(bench.publish(None, 60, None).status, 400);
        assert_eq!(bench.publish(None, 60, Some(&"x".repeat(limits::PUBLICATION_BYTES + 1))).status, 413);
        assert_eq!(bench.publish(None, 60, Some(&"x".repeat(limits::PUBLICATION_BYTES))).status, 200);
        for _ in 1..limits::PUBLICATIONS_PER_ENTITY {
            assert_eq!(bench.publish(None, 60, Some("x")).status, 200);
        }
        assert_eq!(bench.publish(None, 60, Some("x")).status, 503);
    }
}
