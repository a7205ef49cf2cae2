//! The embedded configuration and the bounds of the parser; mistakes are in `tests/config_errors.rs`.

use super::*;
use crate::dialplan::{Completeness, Refusal, Target, TargetKind, Verdict, is_inside};
use proptest::prelude::*;

fn to(kind: TargetKind, name: &str) -> Verdict {
    Verdict::Targets(vec![Target { kind, name: name.to_owned() }])
}

#[test]
fn the_demo_exchange_is_free_of_findings() {
    let (config, findings) = Config::check("default.toml", DEFAULT, &NoReader);
    assert_eq!(findings.list, [], "{}", findings.render(false));
    let config = config.expect("no findings");
    assert_eq!(config.sip.listen.len(), 2);
    assert_eq!((config.rtp.first_port, config.rtp.last_port), (20_000, 29_999));
    assert_eq!(config.phones.iter().map(|p| p.digest.len()).collect::<Vec<_>>(), [2, 2, 1, 1]);
    assert_eq!(config.stations.len(), 6);
    assert_eq!(
        config.stations[0].handset.plays,
        Plays::Echo { after: Duration::from_millis(200), weaker_tenth_db: 60 }
    );
    assert_eq!(config.stations[1].handset.plays, Plays::Tone { hertz: 1004, level_tenth_dbm0: -100 });
    assert!(config.stations[3].handset.off_hook);
    let Driver::Virtual { ports, crystal_ppm } = config.cards[0].driver;
    assert_eq!((ports, crystal_ppm), (8, 0));
    assert!(config.trunks[0].from.iter().any(|p| p.contains(IpAddr::from([127, 0, 0, 9]))));
    assert!(!config.trunks[0].from.iter().any(|p| p.contains(IpAddr::from([128, 0, 0, 1]))));
    assert_eq!(config.dialling, Dialling::default());
}

#[test]
fn the_numbers_of_the_demo_exchange_go_where_its_table_says() {
    let plan = Config::demo().plan;
    for origin in ["phone/201", "station/105", "trunk/loopback"] {
        let verdict = |digits: &str| plan.route(origin, is_inside(origin), digits).verdict;
        assert_eq!(verdict("101"), to(TargetKind::Station, "101"));
        assert_eq!(verdict("204"), to(TargetKind::Phone, "204"));
        assert_eq!(verdict("600"), to(TargetKind::Service, "echo"));
        assert_eq!(verdict("601"), to(TargetKind::Service, "milliwatt"));
        for switch in ["8000", "80001", "80127", "80010", "82001", "82127", "8301", "8309", "83081234567890"] {
            assert_eq!(verdict(switch), to(TargetKind::Isup, "switch"), "{switch}");
        }
        let lines = ["1", "2"].map(|name| Target { kind: TargetKind::Line, name: name.to_owned() });
        assert_eq!(verdict("95551234"), Verdict::Targets(lines.to_vec()));
        assert_eq!(plan.route(origin, is_inside(origin), "95551234").number, "5551234");
        for nobody in ["602", "603", "107", "205", "80128", "80000", "82128", "8300", "700", "alice", "+1"] {
            assert_eq!(verdict(nobody), Verdict::Refused(Refusal::Unassigned), "{nobody}");
        }
    }
    let completeness = |digits: &str| plan.completeness("station/105", true, digits);
    assert_eq!(completeness("203"), Completeness::Complete);
    assert_eq!(completeness("8000"), Completeness::CompleteMayGrow);
    assert_eq!(completeness("602"), Completeness::Impossible);
}

#[test]
fn the_configuration_for_measuring_relays() {
    let text = include_str!("../../dialplans/bench.toml");
    let config = Config::parse("bench.toml", text, &NoReader).unwrap_or_else(|f| panic!("{}", f.render(false)));
    assert_eq!(config.plan.route("trunk/caller", false, "200001").verdict, to(TargetKind::Trunk, "callee"));
    assert_eq!(config.plan.route("trunk/caller", false, "300001").verdict, to(TargetKind::Trunk, "callee-alaw"));
    assert_eq!(config.trunks.iter().find(|t| t.name == "callee-alaw").expect("a trunk").codecs, [Codec::Pcma]);
}

#[test]
fn an_ipv4_address_inside_ipv6_counts_as_ipv4() {
    let prefix = Prefix { address: IpAddr::from([10, 0, 0, 0]), bits: 8 };
    assert!(prefix.contains("::ffff:10.1.2.3".parse().expect("an address")));
    assert!(!prefix.contains("::a01:203".parse().expect("an address")));
    let all = Prefix { address: "::".parse().expect("an address"), bits: 0 };
    assert!(all.contains("2001:db8::1".parse().expect("an address")));
}

proptest! {
    /// The demo exchange with a piece cut out, doubled or replaced: findings, never a panic.
    #[test]
    fn damaged_files_are_findings(at in 0usize..DEFAULT.len(), length in 0usize..60, insert in "[\\]\\[=\"{}., \n#a1-]{0,6}|\\PC{0,3}") {
        let border = |mut i: usize| { while !DEFAULT.is_char_boundary(i) { i -= 1; } i };
        let (start, end) = (border(at), border((at + length).min(DEFAULT.len())));
        let text = format!("{}{insert}{}", &DEFAULT[..start], &DEFAULT[end..]);
        let (config, findings) = Config::check("x.toml", &text, &NoReader);
        prop_assert_eq!(config.is_none(), findings.has_errors());
        let _ = (findings.render(false), findings.to_json());
    }
}
