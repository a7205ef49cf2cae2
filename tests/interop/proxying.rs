//! The roles of proxy and redirect server, with SIPp on both sides.

use super::capture::{Capture, Captured};
use super::gateway::{Gateway, Place, free_port};
use super::sipp::{By, CALLEE, CALLER, Callee, Caller};
use super::turn;
use std::time::Duration;

/// Telephones whose calls are not carried, beside those of the demo exchange.
const ROLES: &str = r#"
[phone.205]
password = "tipring-demo"
digest = ["MD5"]
calls = "proxy"

[phone.206]
password = "tipring-demo"
digest = ["MD5"]
calls = "redirect"

"#;

fn start(name: &str) -> (Gateway, Capture) {
    let gateway = Gateway::start_at(Place::choose(name), ROLES);
    let capture = Capture::start(&gateway, "packets");
    (gateway, capture)
}

/// Registers `account` at these ports of the callee, each with its q.
fn register(gateway: &Gateway, account: &str, ports: &[(u16, &str)]) {
    let contacts: Vec<String> =
        ports.iter().map(|(port, q)| format!("<sip:{account}@{CALLEE}:{port}>;q={q}")).collect();
    Caller::new(gateway, "register_at", account).key("contacts", contacts.join(", ")).run();
}

/// Ends the capture and holds it to what is true of every call that is passed on: the gateway has no part in
/// its media, and is in the way of everything else.
fn judge(capture: Capture) -> Captured {
    let captured = capture.finish();
    captured.assert_well_formed();
    let past = captured.sip(&format!(
        "sip.Method && ((ip.src == {CALLER} && ip.dst == {CALLEE}) || (ip.src == {CALLEE} && ip.dst == {CALLER}))"
    ));
    assert!(past.is_empty(), "requests that went past the gateway: {past:?}");
    captured
}

#[test]
fn a_call_is_passed_on_from_invite_to_bye_and_its_media_is_the_peers_own() {
    let _turn = turn();
    let (gateway, capture) = start("proxy-call");
    let callee = Callee::start(&gateway, "callee", By::Udp);
    register(&gateway, "205", &[(gateway.callee_port, "1.0")]);
    for by in [By::Udp, By::Tcp] {
        // With TCP on one side and UDP on the other the route is recorded twice (RFC 5658).
        Caller::new(&gateway, "call", "205").by(by).calls(3, 20).lasting_ms(200).run();
    }
    callee.finish();
    let callee = Callee::start(&gateway, "callee_hangs_up", By::Udp);
    Caller::new(&gateway, "call_ended_by_callee", "205").run();
    callee.finish();
    let captured = judge(capture);
    let at_callee = |what: &str| captured.sip(&format!("sip.Method == \"{what}\" && ip.dst == {CALLEE}")).len();
    assert_eq!((at_callee("INVITE"), at_callee("ACK"), at_callee("BYE")), (7, 7, 6));
    let recorded = captured.sip(&format!("sip.Method == \"INVITE\" && ip.dst == {CALLEE} && sip.Record-Route"));
    assert_eq!(recorded.len(), 7, "every INVITE has our Record-Route");
    // RFC 3264: the description is the caller's own, so media never comes to us.
    let ours = captured.sip(&format!("ip.dst == {CALLEE} && sdp.connection_info.address == \"127.0.0.1\""));
    assert!(ours.is_empty(), "{ours:?}");
    assert_eq!(gateway.calls(), 0);
    assert!(gateway.stop().success());
}

#[test]
fn a_call_forks_to_all_contacts_and_those_that_did_not_answer_are_cancelled() {
    let _turn = turn();
    let (gateway, capture) = start("proxy-forks");
    let (rings, answers, busy) = (gateway.callee_port, free_port(CALLEE), free_port(CALLEE));
    let ringing = Callee::start_at(&gateway, "callee_cancelled", By::Udp, rings);
    let answering = Callee::start_at(&gateway, "callee", By::Udp, answers);
    let engaged = Callee::start_at(&gateway, "callee_busy", By::Udp, busy);
    register(&gateway, "205", &[(rings, "0.5"), (answers, "0.5"), (busy, "0.9")]);
    Caller::new(&gateway, "call", "205").calls(2, 20).lasting_ms(200).run();
    std::thread::sleep(Duration::from_millis(100)); // 487 and its ACK follow the answer of the other
    ringing.finish();
    answering.finish();
    engaged.finish();
    let captured = judge(capture);
    let cancelled = captured.sip(&format!("sip.Method == \"CANCEL\" && ip.dst == {CALLEE}"));
    assert_eq!(cancelled.len(), 2, "{cancelled:?}");
    assert!(gateway.stop().success());
}

#[test]
fn a_caller_who_gives_up_and_one_who_is_declined_hear_so_through_the_proxy() {
    let _turn = turn();
    let (gateway, capture) = start("proxy-fails");
    let (first, second) = (gateway.callee_port, free_port(CALLEE));
    let ringing = Callee::start_at(&gateway, "callee_cancelled", By::Udp, first);
    register(&gateway, "205", &[(first, "1.0")]);
    Caller::new(&gateway, "cancel", "205").run();
    // RFC 3261 16.7 step 5: 6xx ends the search, and the one that still rings is cancelled.
    let declining = Callee::start_at(&gateway, "callee_declines", By::Udp, second);
    register(&gateway, "205", &[(second, "1.0")]);
    Caller::new(&gateway, "declined", "205").run();
    ringing.finish();
    declining.finish();
    let captured = judge(capture);
    let declined = captured.sip(&format!("sip.Status-Code == 603 && ip.dst == {CALLER}"));
    assert_eq!(declined.len(), 1, "{declined:?}");
    assert!(gateway.stop().success());
}

#[test]
fn a_caller_is_redirected_to_the_contacts() {
    let _turn = turn();
    let (gateway, capture) = start("redirects");
    register(&gateway, "206", &[(gateway.callee_port, "1.0"), (free_port(CALLEE), "0.5")]);
    for by in [By::Udp, By::Tcp] {
        Caller::new(&gateway, "redirected", "206").by(by).run();
    }
    judge(capture);
    assert!(gateway.stop().success());
}
