//! Services of the exchange through the whole gateway in virtual time: ring groups, several contacts,
//! races, redirects, forwarding, transfer, pick-up, click-to-dial. Every test ends with nothing left.

mod office;
mod ringing;
mod sending_on;
mod transfer;
mod ways_out;

#[test]
fn worked_example_ring_group_and_transfer() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/ring-group-and-transfer.toml");
    let report = tipring::simulator::run_file(&path, None, None).expect("a scenario without mistakes");
    assert!(report.passed(), "{report}");
}
