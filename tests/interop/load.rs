//! Many calls one after the other and at once: none may fail.

use super::gateway::Gateway;
use super::sipp::{By, Callee, Caller};
use super::turn;
use std::time::Duration;

/// Calls of each kind.
const CALLS: u32 = 500;
/// Calls a second.
const RATE: u32 = 20;

#[test]
fn five_hundred_calls_to_the_echo_test() {
    let _turn = turn();
    let gateway = Gateway::start("load-echo");
    Caller::new(&gateway, "call", "600").calls(CALLS, RATE).lasting_ms(1_000).run();
    finish(gateway);
}

#[test]
fn five_hundred_relayed_calls() {
    let _turn = turn();
    let gateway = Gateway::start("load-relay");
    let callee = Callee::start(&gateway, "callee", By::Udp);
    Caller::new(&gateway, "call", "700001").calls(CALLS, RATE).lasting_ms(1_000).run();
    drop(callee);
    finish(gateway);
}

fn finish(gateway: Gateway) {
    gateway.wait_until_idle(Duration::from_secs(10));
    println!(
        "{CALLS} calls at {RATE}/s: {:.2} s of processor time, {} KiB",
        gateway.processor_seconds(),
        gateway.memory_kib()
    );
    assert!(gateway.answers_options());
    assert!(gateway.stop().success());
}
