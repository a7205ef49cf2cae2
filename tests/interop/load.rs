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
fn five_hundred_calls_to_the_echo_test_and_five_hundred_relayed_at_the_same_time() {
    let _turn = turn();
    let gateway = Gateway::start("load");
    let callee = Callee::start(&gateway, "callee", By::Udp);
    std::thread::scope(|scope| {
        for (number, media_port) in [("600", 6_000), ("700001", 8_000)] {
            let gateway = &gateway;
            let caller = Caller::new(gateway, "call", number).calls(CALLS, RATE).lasting_ms(1_000);
            scope.spawn(move || caller.media_port(media_port).run());
        }
    });
    drop(callee);
    gateway.wait_until_idle(Duration::from_secs(10));
    println!(
        "2 x {CALLS} calls at 2 x {RATE}/s: {:.2} s of processor time, {} KiB",
        gateway.processor_seconds(),
        gateway.memory_kib()
    );
    assert!(gateway.answers_options());
    assert!(gateway.stop().success());
}
