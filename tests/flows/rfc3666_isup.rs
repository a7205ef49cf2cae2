//! RFC 3666 with both sides message by message: SIP is written by hand here as everywhere, and so are the octets of the
//! exchange on the circuits (Q.763, ITU). Its numbers are those of the figures: Alice is +13145551111, Bob +19725552222, and
//! the country code of the group is 1, so that both are national on the circuit ("NOA=National").
//!
//! 2.4 (ENUM) is asked by nobody here, and 2.2, 2.3, 3.3 are a PBX or a second gateway for what is below.

use super::stage::{Came, Party, Stage, by, sdp};
use std::collections::BTreeMap;
use tipring::call::isup::{Side, iam_of};
use tipring::call::record::Said;
use tipring::config::{Config, DEFAULT};
use tipring::ids::GroupId;
use tipring::isup::{Message, MessageType, Variant};
use tipring::simulator::papers::Papers;
use tipring::sip::{Method, Response};
use tipring::time::Duration;
use tipring::trunk::{Cause, Location, Release};

const SOON: Duration = Duration::from_millis(1_500);
/// The circuit of every call here: the first one.
const CIC: [u8; 2] = [1, 0];

// What the exchange says, behind the circuit.
const ACM_FREE: &[u8] = &[0x06, 0x16, 0x04, 0];
const ACM_NO_INDICATION: &[u8] = &[0x06, 0x12, 0x04, 0];
const ACM_IN_BAND: &[u8] = &[0x06, 0x12, 0x04, 1, 0x29, 1, 1, 0];
const ANM: &[u8] = &[0x09, 0];
const CON: &[u8] = &[0x07, 0x12, 0x04, 0];
const RLC: &[u8] = &[0x10, 0];

/// Location and cause.
fn rel(location: u8, cause: u8) -> Vec<u8> {
    vec![0x0C, 2, 0, 2, 0x80 | location, 0x80 | cause]
}

/// CPG with an event.
fn cpg(event: u8) -> Vec<u8> {
    vec![0x2C, event, 0]
}

/// An IAM, from its type on: nature of connection, forward call indicators, category, medium; called and calling number,
/// both national; and what follows.
fn iam(medium: u8, called: &[u8], calling: &[u8], more: &[u8]) -> Vec<u8> {
    let mut octets = vec![0x01, 0x00, 0x20, 0x00, 0x0A, medium, 2];
    octets.push(u8::try_from(called.len() + 2).expect("short"));
    octets.push(u8::try_from(called.len()).expect("short"));
    octets.extend(called);
    octets.extend([0x0A, u8::try_from(calling.len()).expect("short")]);
    octets.extend(calling);
    octets.extend(more);
    octets.push(0);
    octets
}

/// 972-555-2222 with ST, and 314-555-1111, E.164 national.
const BOB: &[u8] = &[0x83, 0x10, 0x79, 0x52, 0x55, 0x22, 0x22, 0x0F];
const ALICE: &[u8] = &[0x83, 0x10, 0x13, 0x54, 0x55, 0x11, 0x11, 0x0F];
/// The same as calling numbers: presentation allowed, network provided.
const FROM_ALICE: &[u8] = &[0x03, 0x13, 0x13, 0x54, 0x55, 0x11, 0x11];
const FROM_BOB: &[u8] = &[0x03, 0x13, 0x79, 0x52, 0x55, 0x22, 0x22];

/// The stage with the exchange.
struct Flow {
    stage: Stage,
    group: GroupId,
    alice: Party,
}

impl Flow {
    fn new() -> Flow {
        Flow::with("")
    }

    /// `encapsulate` and the like of the trunk that Alice stands behind.
    fn with(trunk: &str) -> Flow {
        let port = if by() == ";transport=tls" { 5061 } else { 5060 };
        let more = format!(
            "[isup.pstn]\ntransport = \"simulated\"\ncircuits = \"1-4\"\ncountry-code = \"1\"\n\
             [trunk.sipnet]\nto = \"sip:127.0.4.2:{port}{}\"\nfrom = \"127.0.4.2\"\n{trunk}\n\
             [[route]]\nname = \"to the PSTN\"\nmatch = \"+1972X{{7}}\"\nfrom = \"trunk/sipnet\"\ntransit = true\n\
             to = \"isup/pstn\"\n\
             [[route]]\nname = \"to SIP, any length\"\nmatch = \"+1515X{{3,9}}\"\nfrom = \"isup/pstn\"\ntransit = true\n\
             to = \"trunk/sipnet\"\n\
             [[route]]\nname = \"to SIP\"\nmatch = \"+1314X{{7}}\"\nfrom = \"isup/pstn\"\ntransit = true\n\
             to = \"trunk/sipnet\"\n",
            by()
        );
        let config = Config::parse("flow.toml", &format!("{DEFAULT}\n{more}"), &Papers).expect("a configuration");
        let index = config.isups.iter().position(|isup| isup.name == "pstn").expect("the group");
        let group = GroupId(u16::try_from(index).expect("few groups"));
        let mut stage = Stage::new(&more);
        stage.world.write_far_end(group);
        let alice = stage.party("+13145551111", 2);
        Flow { stage, group, alice }
    }

    /// The exchange says this.
    fn says(&mut self, octets: &[u8]) {
        let octets = [&CIC, octets].concat();
        self.stage.world.say_isup(self.group, &octets);
    }

    /// The next message on the circuits is this one.
    #[track_caller]
    fn hears(&mut self, octets: &[u8]) {
        self.hears_within(octets, SOON);
    }

    #[track_caller]
    fn hears_within(&mut self, octets: &[u8], time: Duration) {
        let deadline = self.stage.world.now() + time;
        let heard = loop {
            match self.stage.world.take_isup(self.group) {
                Some(octets) => break octets,
                None => assert!(self.stage.world.step(deadline), "the exchange waits for {octets:02x?}"),
            }
        };
        assert_eq!(heard, [&CIC, octets].concat(), "{:02x?} instead of {octets:02x?}", heard);
    }

    /// Nothing is said to anybody for a while.
    #[track_caller]
    fn silence(&mut self, time: Duration) {
        self.stage.silence(time);
        assert_eq!(self.stage.world.take_isup(self.group), None, "nobody expected that on the circuits");
    }

    /// Alice calls Bob: F1 to F5.
    #[track_caller]
    fn calls_bob(&mut self) {
        self.stage.invite(&mut self.alice, "+19725552222");
        self.stage.expects(&mut self.alice, 100);
        // Max-Forwards was 70: a hop counter can't say more than 31. Nothing but G.711 is offered: 3.1 kHz audio.
        self.hears(&iam(3, BOB, FROM_ALICE, &[0x3D, 1, 31]));
    }

    /// Bob calls Alice, F1 to F3.
    #[track_caller]
    fn bob_calls(&mut self) -> tipring::sip::Request {
        self.says(&iam(0, ALICE, FROM_BOB, &[]));
        let invite = self.stage.expect(&mut self.alice, Method::Invite);
        assert_eq!(invite.from().and_then(|from| from.uri.user()).as_deref(), Some("+19725552222"));
        assert_eq!(invite.uri.user().as_deref(), Some("+13145551111"));
        invite
    }

    fn answer(&mut self, status: u16, description: bool) {
        let body = if description { sdp(self.alice.address, 49172) } else { String::new() };
        let text = self.alice.answer(status, "", &body);
        self.stage.send(&self.alice, &text);
    }

    fn says_in_dialog(&mut self, method: &str) {
        let text = self.alice.inside(method, "", "");
        self.stage.send(&self.alice, &text);
    }

    #[track_caller]
    fn refused(&mut self, status: u16) -> Response {
        let response = self.stage.expects(&mut self.alice, status);
        let ack = self.alice.ack_failure();
        self.stage.send(&self.alice, &ack);
        response
    }

    /// Nothing is left, here nor there.
    #[track_caller]
    fn finish(self) {
        self.finish_but("nothing");
    }

    #[track_caller]
    fn finish_but(mut self, expected: &str) {
        assert_eq!(self.stage.world.take_isup(self.group), None);
        self.stage.silence(SOON);
        self.stage.finish_but(1, expected);
    }
}

fn q850(response: &Response) -> Option<(u32, String)> {
    let reason = response.reasons().into_iter().find(|reason| reason.protocol == "Q.850")?;
    Some((reason.cause?, reason.location.unwrap_or_default()))
}

#[test]
fn section_2_1_sip_to_isup_success() {
    let mut flow = Flow::new();
    flow.calls_bob();
    flow.says(ACM_NO_INDICATION); // F6
    let progress = flow.stage.expects(&mut flow.alice, 183); // F8, with SDP: "NGW 1 sends PSTN audio"
    assert!(!progress.body.is_empty());
    flow.says(ANM); // F9
    let ok = flow.stage.expects(&mut flow.alice, 200); // F11
    assert!(!ok.body.is_empty());
    flow.says_in_dialog("ACK"); // F12
    flow.silence(Duration::from_secs(2));
    flow.says_in_dialog("BYE"); // F14
    flow.stage.expects(&mut flow.alice, 200); // F17
    flow.hears(&rel(0, 16)); // F18
    flow.says(RLC); // F19
    flow.finish();
}

#[test]
fn sip_to_isup_the_exchange_rings_and_releases() {
    let mut flow = Flow::new();
    flow.calls_bob();
    flow.says(ACM_FREE);
    flow.stage.expects(&mut flow.alice, 180);
    flow.says(&cpg(6));
    flow.stage.expects(&mut flow.alice, 181);
    flow.says(&cpg(1));
    flow.stage.expects(&mut flow.alice, 180);
    flow.says(&cpg(3));
    assert!(!flow.stage.expects(&mut flow.alice, 183).body.is_empty(), "in-band information opens early media");
    flow.says(ANM);
    flow.stage.expects(&mut flow.alice, 200);
    flow.says_in_dialog("ACK");
    flow.silence(Duration::from_secs(1));
    flow.says(&[0x0D, 1, 0]); // SUS, of the network
    flow.silence(Duration::from_secs(1));
    flow.says(&[0x0E, 1, 0]); // RES
    flow.silence(Duration::from_secs(1));
    flow.says(&rel(4, 16)); // the public network of the remote user
    flow.hears(RLC);
    let bye = flow.stage.expect(&mut flow.alice, Method::Bye);
    let reason = bye.reasons().into_iter().next().expect("a Reason");
    assert_eq!((reason.cause, reason.location.as_deref()), (Some(16), Some("RLN")));
    flow.answer(200, false);
    flow.finish();
}

#[test]
fn sip_to_isup_con_is_the_answer() {
    let mut flow = Flow::new();
    flow.calls_bob();
    flow.says(CON);
    flow.stage.expects(&mut flow.alice, 200);
    flow.says_in_dialog("ACK");
    flow.silence(Duration::from_secs(1));
    flow.says_in_dialog("BYE");
    flow.stage.expects(&mut flow.alice, 200);
    flow.hears(&rel(0, 16));
    flow.says(RLC);
    flow.finish();
}

/// 2.5: "Unsuccessful SIP to ISUP PSTN call: treatment from PSTN": the announcement is heard until Alice gives up.
#[test]
fn section_2_5_sip_to_isup_treatment_by_the_exchange() {
    let mut flow = Flow::new();
    flow.calls_bob();
    flow.says(ACM_IN_BAND);
    assert!(!flow.stage.expects(&mut flow.alice, 183).body.is_empty());
    flow.silence(Duration::from_secs(5));
    let cancel = flow.alice.cancel();
    flow.stage.send(&flow.alice, &cancel);
    flow.stage.expects(&mut flow.alice, 200);
    flow.refused(487);
    flow.hears(&rel(0, 16));
    flow.says(RLC);
    flow.finish();
}

/// 2.6: "REL w/Cause from PSTN": by the table of RFC 3398, which `tests/interworking.rs` holds as a whole.
#[test]
fn section_2_6_sip_to_isup_releases_are_statuses() {
    for (location, cause, status, token) in
        [(2, 1, 404, "LN"), (0, 17, 486, "U"), (0, 21, 603, "U"), (3, 21, 403, "TN"), (10, 34, 503, "BI")]
    {
        let mut flow = Flow::new();
        flow.calls_bob();
        flow.says(&rel(location, cause));
        flow.hears(RLC);
        let refused = flow.refused(status);
        assert_eq!(q850(&refused), Some((u32::from(cause), token.to_owned())), "{status}");
        flow.finish();
    }
}

/// What `tipring explain call` tells of such a call, the row and its table.
#[test]
fn a_refused_call_can_be_explained() {
    let mut flow = Flow::new();
    flow.calls_bob();
    flow.says(&rel(3, 41));
    flow.hears(RLC);
    flow.refused(503);
    let world = flow.stage.finish(1);
    let number = world.records()[0].call;
    let (record, is_over) = world.gateway().call_story(world.now(), number).expect("remembered");
    let [translation] = &record.translations[..] else { panic!("{:?}", record.translations) };
    assert!(is_over);
    let release = Release { cause: Cause::TEMPORARY, location: Location::Transit };
    assert_eq!((translation.original, translation.mapped), (Said::Release(release), Said::Status(503)));
    assert_eq!(translation.source, "RFC 3398 7.2.4.1, resource unavailable");
    assert_eq!(translation.table, Some(("isup/pstn".to_owned(), "rfc3398")));
    // The other way round.
    let mut flow = Flow::new();
    flow.bob_calls();
    flow.answer(480, false);
    flow.stage.expect(&mut flow.alice, Method::Ack);
    flow.hears(&rel(10, 18));
    flow.says(RLC);
    let world = flow.stage.finish(1);
    let [translation] = &world.records()[0].translations[..] else { panic!("{:?}", world.records()) };
    let release = Release { cause: Cause::NO_RESPONSE, location: Location::BeyondInterworking };
    assert_eq!((translation.original, translation.mapped), (Said::Status(480), Said::Release(release)));
    assert_eq!(translation.source, "RFC 3398 8.2.6.1");
}

/// 2.7: "ANM Timeout": the time for an answer is over here, and REL 19 says so.
#[test]
fn section_2_7_sip_to_isup_nobody_answers() {
    let mut flow = Flow::new();
    flow.calls_bob();
    flow.says(ACM_FREE);
    flow.stage.expects(&mut flow.alice, 180);
    let status = loop {
        match flow.stage.next(&flow.alice, Duration::from_secs(200)) {
            Some(Came::Response(response)) if response.status == 180 => {} // RFC 3261 13.3.1.1: again each minute
            Some(Came::Response(response)) => {
                flow.alice.learn(&response);
                break (response.status, q850(&response).map(|(cause, _)| cause));
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(status, (480, Some(19)));
    let ack = flow.alice.ack_failure();
    flow.stage.send(&flow.alice, &ack);
    flow.hears(&rel(2, 19));
    flow.says(RLC);
    flow.finish();
}

/// RFC 3398 7.2.2: T7.
#[test]
fn sip_to_isup_an_exchange_that_says_nothing_is_504() {
    let mut flow = Flow::new();
    flow.calls_bob();
    flow.hears_within(&rel(2, 102), Duration::from_secs(31));
    let refused = flow.refused(504);
    assert_eq!(q850(&refused).map(|(cause, _)| cause), Some(102));
    flow.says(RLC);
    flow.finish();
}

#[test]
fn section_3_1_isup_to_sip_success() {
    let mut flow = Flow::new();
    flow.bob_calls(); // F1 to F3
    flow.answer(180, false); // F5
    flow.hears(ACM_FREE); // F7
    flow.answer(200, true); // F8
    flow.stage.expect(&mut flow.alice, Method::Ack); // F11
    flow.hears(ANM); // F10
    flow.silence(Duration::from_secs(2));
    flow.says_in_dialog("BYE");
    flow.stage.expects(&mut flow.alice, 200);
    flow.hears(&rel(0, 16));
    flow.says(RLC);
    flow.finish();
}

#[test]
fn section_3_2_isup_to_sip_fast_answer() {
    let mut flow = Flow::new();
    flow.bob_calls();
    flow.answer(200, true);
    flow.stage.expect(&mut flow.alice, Method::Ack);
    flow.hears(&[0x07, 0x12, 0x04, 0]); // CON: nothing was said before
    flow.silence(Duration::from_secs(1));
    flow.says(&rel(0, 16));
    flow.hears(RLC);
    flow.stage.expect(&mut flow.alice, Method::Bye);
    flow.answer(200, false);
    flow.finish();
}

/// 3.4, 3.5, 3.6: errors of SIP, by the table; what network it was is beyond the interworking point.
#[test]
fn sections_3_4_to_3_6_isup_to_sip_refusals_are_releases() {
    for (status, location, cause) in [(404, 10, 1), (486, 10, 17), (503, 10, 41), (600, 0, 17), (484, 10, 28)] {
        let mut flow = Flow::new();
        flow.bob_calls();
        flow.answer(status, false);
        flow.stage.expect(&mut flow.alice, Method::Ack);
        flow.hears(&rel(location, cause));
        flow.says(RLC);
        flow.finish();
    }
}

/// 3.7: "ACM Timeout": here T11 tells the exchange in time, and what follows is CPG (RFC 3398 8.2.8).
#[test]
fn section_3_7_isup_to_sip_a_slow_network_is_covered_by_an_early_acm() {
    let mut flow = Flow::new();
    flow.bob_calls();
    flow.answer(100, false);
    flow.hears_within(ACM_NO_INDICATION, Duration::from_secs(21));
    flow.answer(181, false);
    flow.hears(&cpg(6));
    flow.answer(180, false);
    flow.hears(&cpg(1));
    flow.answer(200, true);
    flow.stage.expect(&mut flow.alice, Method::Ack);
    flow.hears(ANM);
    flow.says(&rel(0, 16));
    flow.hears(RLC);
    flow.stage.expect(&mut flow.alice, Method::Bye);
    flow.answer(200, false);
    flow.finish();
}

/// RFC 3398 8.2.3: "181 Call is being forwarded: Early ACM and CPG, event=6".
#[test]
fn isup_to_sip_a_call_that_is_forwarded_first() {
    let mut flow = Flow::new();
    flow.bob_calls();
    flow.answer(181, false);
    flow.hears(ACM_NO_INDICATION);
    flow.hears(&cpg(6));
    flow.answer(183, true);
    flow.hears(&cpg(3)); // with SDP: in-band information
    flow.answer(486, false);
    flow.stage.expect(&mut flow.alice, Method::Ack);
    flow.hears(&rel(10, 17));
    flow.says(RLC);
    flow.finish();
}

/// 3.9 and RFC 3398 8.2.7: "A CANCEL request MUST be issued".
#[test]
fn section_3_9_isup_to_sip_the_caller_gives_up() {
    let mut flow = Flow::new();
    flow.bob_calls();
    let invite = flow.alice.clone();
    flow.answer(180, false);
    flow.hears(ACM_FREE);
    flow.says(&rel(0, 16));
    flow.hears(RLC);
    flow.stage.expect(&mut flow.alice, Method::Cancel);
    flow.answer(200, false);
    let terminated = invite.answer(487, "", "");
    flow.stage.send(&flow.alice, &terminated);
    flow.stage.expect(&mut flow.alice, Method::Ack);
    flow.finish();
}

/// RFC 3578 2: the digits are one block before the call goes off.
#[test]
fn isup_to_sip_digits_that_come_in_parts() {
    let mut flow = Flow::new();
    // 314-555, no ST; then 1111 as a SAM, which makes the number complete.
    flow.says(&iam(0, &[0x03, 0x10, 0x13, 0x54, 0x55], FROM_BOB, &[]));
    flow.silence(Duration::from_secs(3));
    flow.says(&[0x02, 2, 0, 3, 0x00, 0x11, 0x11]);
    let invite = flow.stage.expect(&mut flow.alice, Method::Invite);
    assert_eq!(invite.uri.user().as_deref(), Some("+13145551111"));
    flow.answer(486, false);
    flow.stage.expect(&mut flow.alice, Method::Ack);
    flow.hears(&rel(10, 17));
    flow.says(RLC);
    flow.finish();
}

/// RFC 3578 3.2: "If 4xx, 5xx or 6xx final responses arrive (e.g., 484 address incomplete) [...] the gateway should not
/// send any REL"; the digits that come then make another INVITE.
#[test]
fn isup_to_sip_a_network_that_misses_digits_gets_them() {
    let mut flow = Flow::new();
    flow.says(&iam(0, &[0x03, 0x10, 0x15, 0x35, 0x33], FROM_BOB, &[]));
    let invite = flow.stage.expect_within(&mut flow.alice, Method::Invite, Duration::from_secs(5)); // T10
    assert_eq!(invite.uri.user().as_deref(), Some("+1515333"));
    flow.answer(484, false);
    flow.stage.expect(&mut flow.alice, Method::Ack);
    flow.silence(Duration::from_secs(2));
    flow.says(&[0x02, 2, 0, 3, 0x80, 0x44, 0x0F]); // 44, ST
    let invite = flow.stage.expect(&mut flow.alice, Method::Invite);
    assert_eq!(invite.uri.user().as_deref(), Some("+151533344"));
    flow.answer(180, false);
    flow.hears(ACM_FREE);
    flow.answer(200, true);
    flow.stage.expect(&mut flow.alice, Method::Ack);
    flow.hears(ANM);
    flow.says(&rel(0, 16));
    flow.hears(RLC);
    flow.stage.expect(&mut flow.alice, Method::Bye);
    flow.answer(200, false);
    flow.stage.finish(2);
}

/// The same, and no digits come: T35.
#[test]
fn isup_to_sip_digits_that_never_come_are_cause_28() {
    let mut flow = Flow::new();
    flow.says(&iam(0, &[0x03, 0x10, 0x15, 0x35, 0x33], FROM_BOB, &[]));
    flow.stage.expect_within(&mut flow.alice, Method::Invite, Duration::from_secs(5));
    flow.answer(484, false);
    flow.stage.expect(&mut flow.alice, Method::Ack);
    flow.hears_within(&rel(2, 28), Duration::from_secs(16));
    flow.says(RLC);
    flow.finish();
}

/// INR is answered, FOT is heard and means nothing to SIP.
#[test]
fn isup_messages_that_concern_no_other_leg() {
    let mut flow = Flow::new();
    flow.calls_bob();
    flow.says(&[0x03, 0b1001, 0, 0]); // INR: number and category wanted
    let octets = [0x04, 0b10_0011, 0, 1, 0x0A, 7];
    flow.hears(&[&octets[..], FROM_ALICE, &[0x09, 1, 10, 0]].concat());
    flow.says(&[0x08, 0]); // FOT
    flow.says(&rel(0, 17));
    flow.hears(RLC);
    flow.refused(486);
    flow.finish();
}

/// The ISUP part of a message, and what Content-Type and Content-Disposition say of it.
fn isup_part(body: &[u8]) -> Option<(BTreeMap<String, String>, Vec<u8>)> {
    let text: String = body.iter().map(|byte| char::from(*byte)).collect();
    let part = text.split("--tipring-0").find(|part| part.contains("application/isup"))?;
    let (head, octets) = part.trim_start_matches("\r\n").split_once("\r\n\r\n")?;
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let octets = octets.strip_suffix("\r\n")?.chars().map(|c| c as u8).collect();
    Some((fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(), octets))
}

/// 4.1: PSTN to PSTN by way of SIP, the first gateway: the IAM travels in the INVITE, unknown parameters and all, and
/// ACM and ANM come back in the responses.
#[test]
fn section_4_1_pstn_to_pstn_the_first_gateway_encapsulates() {
    let mut flow = Flow::with("encapsulate = \"sip-i\"");
    let more = [0x3D, 1, 20];
    flow.says(&iam(3, ALICE, FROM_BOB, &more));
    let invite = flow.stage.expect(&mut flow.alice, Method::Invite);
    let (fields, octets) = isup_part(&invite.body).expect("an ISUP part");
    assert_eq!(fields["Content-Type"], "application/isup;version=itu-t92+;base=itu-t92+");
    assert_eq!(fields["Content-Disposition"], "signal;handling=optional");
    let message = Message::decode_body(Variant::Itu, &octets).expect("an IAM");
    let said = iam_of(&message, &Side::default()).expect("a call");
    assert_eq!((said.called.as_str(), said.calling.as_deref()), ("+13145551111", Some("+19725552222")));
    assert_eq!(said.hops, Some(19));
    // The far gateway answers with the ACM of its exchange, which has a parameter that nobody here knows.
    let acm = "\u{6}\u{16}\u{4}\u{1}\u{70}\u{1}\u{5}\u{0}";
    let body = format!("--b\r\nContent-Type: application/isup;version=itu-t92+\r\n\r\n{acm}\r\n--b--\r\n");
    let ringing = flow.alice.answer(180, "", &body);
    let ringing = ringing.replace("application/sdp", "multipart/mixed;boundary=b");
    flow.stage.send(&flow.alice, &ringing);
    flow.hears(acm.as_bytes());
    flow.answer(200, true);
    flow.stage.expect(&mut flow.alice, Method::Ack);
    flow.hears(ANM);
    flow.says(&rel(4, 17));
    flow.hears(RLC);
    let bye = flow.stage.expect(&mut flow.alice, Method::Bye);
    // REL alone: a body of one part.
    assert_eq!(bye.body, rel(4, 17));
    flow.answer(200, false);
    flow.finish();
}

/// 4.1, the second gateway: what the SIP side says wins, the body says the rest, and its answers carry ISUP.
#[test]
fn section_4_1_pstn_to_pstn_the_second_gateway_reads_the_body() {
    let mut flow = Flow::with("encapsulate = \"sip-i\"");
    // Payphone, 3.1 kHz audio; a called number that the Request-URI has replaced; no calling number: all ASCII.
    let inside = "\u{1}\u{0}\u{20}\u{0}\u{f}\u{3}\u{2}\u{7}\u{5}\u{3}\u{10}\u{21}\u{43}\u{65}\u{70}\u{2}\u{1}\u{2}\u{0}";
    let description = sdp(flow.alice.address, 49172);
    let body = format!(
        "--b\r\nContent-Type: application/sdp\r\n\r\n{description}\r\n--b\r\nContent-Type: application/isup;\
         version=itu-t92+\r\nContent-Disposition: signal;handling=required\r\n\r\n{inside}\r\n--b--\r\n"
    );
    let invite = flow.alice.invite("+19725552222", true);
    let (head, _) = invite.split_once("\r\n\r\n").expect("a body");
    let head: String =
        head.lines().filter(|line| !line.starts_with("Content-")).map(|line| format!("{line}\r\n")).collect();
    let kind = "Content-Type: multipart/mixed;boundary=b\r\n";
    let invite = format!("{head}{kind}Content-Length: {}\r\n\r\n{body}", body.len());
    flow.stage.send(&flow.alice, &invite);
    flow.stage.expects(&mut flow.alice, 100);
    // The unknown parameter 0x70 comes through, where it stood: before what SIP said.
    let mut wanted = vec![0x01, 0x00, 0x20, 0x00, 0x0F, 3, 2, 10, 8];
    wanted.extend(BOB);
    wanted.extend([0x70, 2, 1, 2, 0x0A, 7]);
    wanted.extend(FROM_ALICE);
    wanted.extend([0x3D, 1, 31, 0]);
    flow.hears(&wanted);
    flow.says(ACM_FREE);
    let ringing = flow.stage.expects(&mut flow.alice, 180);
    assert_eq!(ringing.body, ACM_FREE);
    flow.says(&rel(0, 17));
    flow.hears(RLC);
    let refused = flow.refused(486);
    assert_eq!(refused.body, rel(0, 17));
    flow.finish();
}

/// RFC 3204 6: what must be read and can't be is 415; what need not be read is as if it were not there.
#[test]
fn a_body_of_another_variant_is_refused_or_ignored() {
    for (handling, accepted) in [("required", false), ("optional", true)] {
        let mut flow = Flow::with("encapsulate = \"sip-i\"");
        let description = sdp(flow.alice.address, 49172);
        let body = format!(
            "--b\r\nContent-Type: application/sdp\r\n\r\n{description}\r\n--b\r\nContent-Type: application/isup;\
             version=ttc87\r\nContent-Disposition: signal;handling={handling}\r\n\r\nX\r\n--b--\r\n"
        );
        let invite = flow.alice.invite("+19725552222", true);
        let (head, _) = invite.split_once("\r\n\r\n").expect("a body");
        let head: String =
            head.lines().filter(|line| !line.starts_with("Content-")).map(|line| format!("{line}\r\n")).collect();
        let kind = "Content-Type: multipart/mixed;boundary=b\r\n";
        let invite = format!("{head}{kind}Content-Length: {}\r\n\r\n{body}", body.len());
        flow.stage.send(&flow.alice, &invite);
        if !accepted {
            let refused = flow.stage.expects_after_trying(&mut flow.alice, 415);
            assert_eq!(refused.status, 415);
            let ack = flow.alice.ack_failure();
            flow.stage.send(&flow.alice, &ack);
            flow.stage.finish(0);
            continue;
        }
        flow.stage.expects(&mut flow.alice, 100);
        flow.hears(&iam(3, BOB, FROM_ALICE, &[0x3D, 1, 31]));
        flow.says(&rel(0, 17));
        flow.hears(RLC);
        assert!(flow.refused(486).body.is_empty(), "who sent no ISUP that is read gets none");
        flow.finish();
    }
}

/// The messages that stand above as octets are those that they are called.
#[test]
fn the_octets_here_are_what_they_are_called() {
    for (octets, kind) in [
        (ACM_FREE, MessageType::ACM),
        (ACM_NO_INDICATION, MessageType::ACM),
        (ACM_IN_BAND, MessageType::ACM),
        (ANM, MessageType::ANM),
        (CON, MessageType::CON),
        (RLC, MessageType::RLC),
    ] {
        assert_eq!(Message::decode_body(Variant::Itu, octets).map(|message| message.kind()), Ok(kind));
    }
}
