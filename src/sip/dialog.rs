//! Dialogs: identity, route set, sequence numbers, remote target (RFC 3261 12).
//!
//! A dialog here has no state of its own: early, confirmed and terminated are states of the
//! session that owns it ([`super::session`]).

use super::headers::{CSeq, NameAddr};
use super::message::{Header, HeaderName, Method, Request, Response};
use super::parser::split_list;
use super::uri::{Host, Uri};
use super::{Flow, NextHop, Transport};

/// One side of a dialog.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// Call-ID.
    pub call_id: String,
    /// Our address with our tag.
    pub local: NameAddr,
    /// The peer's address with its tag; RFC 2543 peers have none.
    pub remote: NameAddr,
    /// The number of our last request.
    pub local_seq: u32,
    /// The number of the peer's last request.
    pub remote_seq: Option<u32>,
    /// Where requests are addressed.
    pub remote_target: Uri,
    /// Proxies on the way, nearest first.
    pub route_set: Vec<NameAddr>,
    /// Our Contact.
    pub contact: NameAddr,
    /// Where the message came from that made the dialog, or where it went.
    pub flow: Flow,
    /// Its Contact cannot be reached from here; the flow is taken instead.
    pub behind_nat: bool,
}

/// A request of the peer that comes out of order (RFC 3261 12.2.2): 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfOrder;

fn record_routes(headers: &super::Headers) -> Vec<NameAddr> {
    headers
        .all(&HeaderName::RecordRoute)
        .flat_map(|value| split_list(value).collect::<Vec<_>>())
        .filter_map(|value| NameAddr::parse(value).ok())
        .collect()
}

impl Dialog {
    /// 12.1.1: the dialog that our response to an INVITE makes. `None` for a request without From or
    /// Call-ID, which the parser has refused already.
    pub fn of_server(request: &Request, local_tag: &str, contact: NameAddr, flow: Flow) -> Option<Dialog> {
        let from = request.from()?;
        let via = request.via()?;
        // A request without Contact is from an RFC 2543 peer, which is then reached by its From.
        let remote_target = request.contact().map_or_else(|| from.uri.clone(), |contact| contact.uri);
        // A name may lead anywhere; who it is for is known only to the resolver.
        let is_elsewhere = matches!(via.host, Host::Ip(ip) if ip != flow.remote.ip());
        let behind_nat = remote_target.host() == Some(&via.host) && is_elsewhere;
        Some(Dialog {
            call_id: request.call_id()?.into_owned(),
            local: request.to()?.with_tag(local_tag),
            remote: from,
            local_seq: 0,
            remote_seq: request.cseq().map(|cseq| cseq.number),
            remote_target,
            route_set: record_routes(&request.headers),
            contact,
            flow,
            behind_nat,
        })
    }

    /// 12.1.2: the dialog that a response to our INVITE makes.
    pub fn of_client(invite: &Request, response: &Response, contact: NameAddr, flow: Flow) -> Option<Dialog> {
        let remote_target = response.contact().map_or_else(|| invite.uri.clone(), |contact| contact.uri);
        let mut route_set = record_routes(&response.headers);
        route_set.reverse();
        // The INVITE went elsewhere than its URI says, and the answer names the same unreachable host.
        let elsewhere = invite.uri.host().is_some_and(|host| *host != Host::Ip(flow.remote.ip()));
        let behind_nat = elsewhere && invite.uri.host() == remote_target.host();
        Some(Dialog {
            call_id: invite.call_id()?.into_owned(),
            local: invite.from()?,
            remote: response.to()?,
            local_seq: invite.cseq()?.number,
            remote_seq: None,
            remote_target,
            route_set,
            contact,
            flow,
            behind_nat,
        })
    }

    /// Whether a message with this tag of the peer belongs here. A peer without tag is one of
    /// RFC 2543 (12.2.2: "a tag that is not present is considered to be null").
    pub fn is_remote_tag(&self, tag: Option<&str>) -> bool {
        self.remote.tag() == tag
    }

    /// 12.2.2: a request that does not come in order is refused; ACK and CANCEL are not asked.
    pub fn check_sequence(&mut self, cseq: &CSeq) -> Result<(), OutOfOrder> {
        match self.remote_seq {
            Some(last) if cseq.number <= last => Err(OutOfOrder),
            _ => {
                self.remote_seq = Some(cseq.number);
                Ok(())
            }
        }
    }

    /// 12.2: the remote target follows the Contact of a target refresh.
    pub fn refresh_target(&mut self, contact: Option<NameAddr>) {
        if let Some(contact) = contact {
            self.remote_target = contact.uri;
        }
    }

    /// 12.2.1.1: the next request of ours. Via is added by who sends it.
    pub fn request(&mut self, method: Method) -> Request {
        self.local_seq = self.local_seq.saturating_add(1);
        self.numbered(method, self.local_seq)
    }

    /// 13.2.2.4: the ACK to a 2xx to the INVITE with this number.
    pub fn acknowledge(&self, number: u32) -> Request {
        self.numbered(Method::Ack, number)
    }

    fn numbered(&self, method: Method, number: u32) -> Request {
        let mut routes: Vec<Uri> = self.route_set.iter().map(|route| route.uri.clone()).collect();
        let strict = routes.first().is_some_and(|first| !first.has_param("lr"));
        // "If the first URI of the route set does not contain the lr parameter, the UAC MUST place the
        // first URI into the Request-URI [...] and place the remote target URI as the last Route value."
        let uri = if strict {
            routes.push(self.remote_target.clone());
            match routes.remove(0) {
                Uri::Sip(mut sip) => {
                    sip.headers = None;
                    sip.params.remove("method");
                    Uri::Sip(sip)
                }
                other => other,
            }
        } else {
            self.remote_target.clone()
        };
        let mut request = Request::new(method.clone(), uri);
        for route in routes {
            request.headers.push(Header::new(HeaderName::Route, NameAddr::new(route)));
        }
        request
            .with(HeaderName::From, &self.local)
            .with(HeaderName::To, &self.remote)
            .with(HeaderName::CallId, &self.call_id)
            .with(HeaderName::CSeq, CSeq { number, method })
            .with(HeaderName::MaxForwards, 70)
    }

    /// 8.1.2: where a request of this dialog is sent: the first route, or the remote target, by RFC 3263. What is
    /// neither address nor name goes where the dialog came from.
    pub fn next_hop(&self) -> NextHop {
        let hop = self.route_set.first().map_or(&self.remote_target, |route| &route.uri);
        let is_reachable = !self.behind_nat || !self.route_set.is_empty();
        match (hop.address(), hop.host()) {
            (Some(remote), _) if is_reachable => NextHop::Flow(self.flow_to(hop, remote)),
            (None, Some(Host::Name(_))) if is_reachable => NextHop::Dialog { uri: hop.clone(), flow: self.flow },
            _ => NextHop::Flow(self.flow),
        }
    }

    fn flow_to(&self, hop: &Uri, remote: std::net::SocketAddr) -> Flow {
        // Without a word on transport it stays what it was, as far as the peer is the same.
        let same_peer = remote.ip() == self.flow.remote.ip();
        let transport = hop.transport().unwrap_or(if same_peer { self.flow.transport } else { Transport::Udp });
        match transport {
            // Its connection while it lasts, and a new one to where it listens when it does not.
            stream if stream.is_stream() && same_peer && self.flow.transport == stream => Flow { remote, ..self.flow },
            transport if transport == self.flow.transport => Flow { remote, connection: None, ..self.flow },
            transport => Flow { transport, remote, connection: None, local: self.flow.local },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parser::parse;
    use super::*;

    fn flow(remote: &str) -> Flow {
        let local = "10.0.0.1:5060".parse().unwrap();
        Flow { transport: Transport::Udp, local, remote: remote.parse().unwrap(), connection: None }
    }

    fn server_dialog(headers: &str) -> Dialog {
        let text = format!(
            "INVITE sip:101@h SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK1\r\nFrom: <sip:b@h>;tag=1\r\nTo: <sip:a@h>\r\nCall-ID: c\r\nCSeq: 4 INVITE\r\n{headers}\r\n"
        );
        let request = parse(text.as_bytes()).unwrap().to_request().unwrap();
        let contact = NameAddr::new("sip:101@10.0.0.1".parse().unwrap());
        Dialog::of_server(&request, "ours", contact, flow("10.0.0.2:5060")).unwrap()
    }

    fn lines(request: &Request) -> Vec<String> {
        let text = String::from_utf8(request.to_bytes()).unwrap();
        text.lines()
            .filter(|l| l.starts_with(request.method.as_str()) || l.starts_with("Route"))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn loose_routes_stand_above_the_remote_target() {
        let mut dialog =
            server_dialog("Contact: <sip:b@10.0.0.3:5070>\r\nRecord-Route: <sip:10.0.0.8;lr>, <sip:p2;lr>\r\n");
        let bye = dialog.request(Method::Bye);
        assert_eq!(lines(&bye), ["BYE sip:b@10.0.0.3:5070 SIP/2.0", "Route: <sip:10.0.0.8;lr>", "Route: <sip:p2;lr>"]);
        assert_eq!(dialog.next_hop().flow().unwrap().remote.to_string(), "10.0.0.8:5060");
        assert_eq!((bye.from().unwrap().tag().unwrap(), bye.to().unwrap().tag().unwrap()), ("ours", "1"));
        assert_eq!(bye.cseq().unwrap().number, 1);
        assert_eq!(dialog.request(Method::Info).cseq().unwrap().number, 2);
    }

    #[test]
    fn a_strict_router_becomes_the_request_uri() {
        let mut dialog = server_dialog(
            "Contact: <sip:b@10.0.0.3>\r\nRecord-Route: <sip:p1;method=INVITE?x=y>\r\nRecord-Route: <sip:p2;lr>\r\n",
        );
        assert_eq!(
            lines(&dialog.request(Method::Bye)),
            ["BYE sip:p1 SIP/2.0", "Route: <sip:p2;lr>", "Route: <sip:b@10.0.0.3>"]
        );
    }

    /// A route set as messages of RFC 3261 16.12.1 bring it, and the dialog of whoever is called.
    fn request_line_and_routes(record_routes: &str) -> Vec<String> {
        let mut dialog = server_dialog(&format!("Contact: <sip:caller@u1.example.com>\r\n{record_routes}"));
        lines(&dialog.request(Method::Bye))
    }

    #[test]
    fn rfc_3261_16_12_1_1_basic_trapezoid() {
        // U1 -> P1 -> P2 -> U2, both proxies loose: "BYE sip:caller@u1.example.com; Route: p2, p1".
        assert_eq!(
            request_line_and_routes(
                "Record-Route: <sip:p2.domain.com;lr>\r\nRecord-Route: <sip:p1.example.com;lr>\r\n"
            ),
            [
                "BYE sip:caller@u1.example.com SIP/2.0",
                "Route: <sip:p2.domain.com;lr>",
                "Route: <sip:p1.example.com;lr>"
            ]
        );
    }

    #[test]
    fn rfc_3261_16_12_1_2_traversing_a_strict_router() {
        // The nearest proxy is strict, and the others stay in Route with the remote target at the end.
        assert_eq!(
            request_line_and_routes(
                "Record-Route: <sip:p3.middle.com>\r\nRecord-Route: <sip:p2.example.com;lr>, <sip:p1.example.com;lr>\r\n"
            ),
            [
                "BYE sip:p3.middle.com SIP/2.0",
                "Route: <sip:p2.example.com;lr>",
                "Route: <sip:p1.example.com;lr>",
                "Route: <sip:caller@u1.example.com>"
            ]
        );
        // A strict one farther away changes nothing for us.
        assert_eq!(
            request_line_and_routes("Record-Route: <sip:p2.example.com;lr>\r\nRecord-Route: <sip:p3.middle.com>\r\n")
                [0],
            "BYE sip:caller@u1.example.com SIP/2.0"
        );
    }

    #[test]
    fn rfc_3261_12_2_1_2_a_target_refresh_moves_the_target_and_no_route() {
        let mut dialog = server_dialog("Contact: <sip:b@10.0.0.3>\r\nRecord-Route: <sip:10.0.0.8;lr>\r\n");
        dialog.refresh_target(Some(NameAddr::new("sip:b@10.0.0.9:5080".parse().unwrap())));
        dialog.refresh_target(None);
        assert_eq!(
            lines(&dialog.request(Method::Bye)),
            ["BYE sip:b@10.0.0.9:5080 SIP/2.0", "Route: <sip:10.0.0.8;lr>"]
        );
    }

    #[test]
    fn the_caller_reverses_the_route_set() {
        let invite = Request::new(Method::Invite, "sip:a@10.0.0.2".parse().unwrap())
            .with(HeaderName::From, "<sip:b@h>;tag=1")
            .with(HeaderName::To, "<sip:a@h>")
            .with(HeaderName::CallId, "c")
            .with(HeaderName::CSeq, "9 INVITE");
        let response = Response::new(200)
            .with(HeaderName::To, "<sip:a@h>;tag=2")
            .with(HeaderName::Contact, "<sip:a@10.0.0.4>")
            .with(HeaderName::RecordRoute, "<sip:p1;lr>, <sip:p2;lr>");
        let contact = NameAddr::new("sip:b@10.0.0.1".parse().unwrap());
        let mut dialog = Dialog::of_client(&invite, &response, contact, flow("10.0.0.2:5060")).unwrap();
        assert_eq!(
            lines(&dialog.request(Method::Bye)),
            ["BYE sip:a@10.0.0.4 SIP/2.0", "Route: <sip:p2;lr>", "Route: <sip:p1;lr>"]
        );
        assert_eq!(dialog.acknowledge(9).cseq().unwrap().to_string(), "9 ACK");
        assert_eq!(dialog.local_seq, 10);
    }

    #[test]
    fn requests_out_of_order_are_refused() {
        let mut dialog = server_dialog("");
        let cseq = |number| CSeq { number, method: Method::Info };
        assert_eq!(dialog.check_sequence(&cseq(4)), Err(OutOfOrder));
        assert_eq!(dialog.check_sequence(&cseq(9)), Ok(()), "gaps are allowed");
        assert_eq!(dialog.check_sequence(&cseq(8)), Err(OutOfOrder));
    }

    #[test]
    fn requests_go_to_the_contact_unless_it_is_behind_a_nat() {
        let hop = |headers: &str| server_dialog(headers).next_hop().flow().unwrap();
        assert_eq!(hop("Contact: <sip:b@10.0.0.2:5099>\r\n").remote.to_string(), "10.0.0.2:5099");
        assert_eq!(hop("Contact: <sip:b@10.0.0.7>\r\n").remote.to_string(), "10.0.0.7:5060");
        assert_eq!(hop("Contact: <sip:b@10.0.0.7;transport=tcp>\r\n").transport, Transport::Tcp);
        let none = server_dialog("").next_hop();
        assert!(matches!(none, NextHop::Dialog { ref uri, .. } if uri.to_string() == "sip:b@h"), "RFC 2543: From");
    }

    #[test]
    fn a_name_is_left_to_the_resolver_with_the_way_of_the_dialog_behind_it() {
        for (headers, name) in [
            ("Contact: <sip:b@phone.example>\r\n", "sip:b@phone.example"),
            ("Contact: <sip:b@10.0.0.7>\r\nRecord-Route: <sip:p.example;lr>\r\n", "sip:p.example;lr"),
        ] {
            let uri = name.parse().unwrap();
            assert_eq!(server_dialog(headers).next_hop(), NextHop::Dialog { uri, flow: flow("10.0.0.2:5060") });
        }
    }
}
