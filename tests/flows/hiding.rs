//! Topology hiding: what one side of a call reads names nothing of the other but what it is told on purpose.

use super::stage::{Stage, by, sdp};
use tipring::sip::Method;

#[test]
fn call_id_tags_via_contact_routes_and_addresses_stay_on_their_side() {
    let mut stage = Stage::new("");
    let (mut alice, mut bob) = (stage.party("peer", 2), stage.party("201", 1));
    stage.register(&mut bob);
    bob.again();
    let hidden = [
        "Record-Route: <sip:10.9.8.7;lr>\r\n",
        "Via: SIP/2.0/UDP 10.9.8.6;branch=z9hG4bKfar\r\n",
        "In-Reply-To: secret@10.9.8.5\r\n",
        "User-Agent: Alicephone\r\n",
    ];
    let invite = alice.invite("201", true);
    let at = invite.find("Max-Forwards").expect("a header");
    let invite = format!("{}{}{}", &invite[..at], hidden.concat(), &invite[at..]);
    stage.send(&alice, &invite);
    let branch = invite.split("branch=").nth(1).and_then(|rest| rest.split("\r\n").next()).expect("a branch");
    let received = String::from_utf8(stage.expect(&mut bob, Method::Invite).to_bytes()).expect("text");
    for word in ["127.0.4.2", "10.9.8", "peer-call-1", "peer-tag-1", branch, "z9hG4bKfar", "secret", "Alicephone"] {
        assert!(!received.contains(word), "{word} in\n{received}");
    }
    let ringing = bob.answer(180, "Record-Route: <sip:10.7.7.7;lr>\r\nServer: Bobphone\r\n", "");
    stage.send(&bob, &ringing);
    let route = format!("Record-Route: <sip:{}{};lr>\r\nServer: Bobphone\r\n", bob.address, by());
    let ok = bob.answer(200, &route, &sdp(bob.address, 3456));
    let told = stage.expects_after_trying(&mut alice, 180);
    stage.send(&bob, &ok);
    stage.expect(&mut bob, Method::Ack);
    let answered = stage.expects(&mut alice, 200);
    let bob_call_id = bob.call_id().to_owned();
    for response in [told, answered] {
        let text = String::from_utf8(response.to_bytes()).expect("text");
        for word in ["127.0.4.1", "10.7.7.7", "201-tag-1", "Bobphone", bob_call_id.as_str()] {
            assert!(!text.contains(word), "{word} in\n{text}");
        }
    }
    let ack = alice.ack("");
    stage.send(&alice, &ack);
    let bye = alice.inside("BYE", "In-Reply-To: secret@10.9.8.5\r\n", "");
    stage.send(&alice, &bye);
    stage.expects(&mut alice, 200);
    let bye = String::from_utf8(stage.expect(&mut bob, Method::Bye).to_bytes()).expect("text");
    for word in ["127.0.4.2", "10.9.8", "peer-call-1", "peer-tag-1", "secret"] {
        assert!(!bye.contains(word), "{word} in\n{bye}");
    }
    let ok = bob.answer(200, "", "");
    stage.send(&bob, &ok);
    stage.finish(1);
}
