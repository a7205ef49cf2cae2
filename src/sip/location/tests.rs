use super::*;
use crate::ids::Id;
use crate::rng::Seed;

const ALL: [&str; 3] = ["udp 10.0.0.1:5060", "tcp 10.0.0.1:5060", "tls 10.0.0.1:5061"];

fn listeners(texts: &[&str]) -> Vec<(Transport, SocketAddr)> {
    let one = |text: &&str| {
        let (word, address) = text.split_once(' ').expect("a word and an address");
        let transports = [Transport::Udp, Transport::Tcp, Transport::Tls];
        let transport = transports.into_iter().find(|t| t.word() == word).expect("a transport");
        (transport, address.parse().expect("an address"))
    };
    texts.iter().map(one).collect()
}

/// A zone, a line a record: `NAME naptr ORDER PREFERENCE SERVICE REPLACEMENT`, `NAME srv PRIORITY WEIGHT PORT
/// TARGET`, `NAME a ADDRESS`, `ADDRESS source ADDRESS`.
fn zone(text: &str) -> BTreeMap<Question, Records> {
    let mut zone: BTreeMap<Question, Records> = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |index: usize| words[index].parse::<u16>().expect("a number");
        let name = words[0].to_owned();
        match words[1] {
            "naptr" => zone.entry(Question::Naptr(name)).or_default().naptr.push(NaptrRecord {
                order: number(2),
                preference: number(3),
                flags: "s".to_owned(),
                service: words[4].to_owned(),
                replacement: words[5].to_owned(),
            }),
            "srv" => zone.entry(Question::Srv(name)).or_default().srv.push(SrvRecord {
                priority: number(2),
                weight: number(3),
                port: number(4),
                target: words[5].trim_end_matches('.').to_owned(),
            }),
            kind => {
                let address: IpAddr = words[2].parse().expect("an address");
                let question = match kind {
                    "a" => Question::Ipv4(name),
                    "aaaa" => Question::Ipv6(name),
                    _ => Question::Source(name.parse().expect("an address")),
                };
                zone.entry(question).or_default().addresses.push(address);
            }
        }
    }
    zone
}

/// What is asked, and what is tried in the end: `udp 10.0.0.2:5060`, for TLS with the domain.
fn search(reach: &[&str], uris: &[&str], text: &str, seed: u64) -> (Vec<Question>, Vec<String>) {
    let (reach, zone) = (listeners(reach), zone(text));
    let mut rng = Seed::from_number(seed).rng();
    let locator = Locator::default();
    let mut search = Search::new(uris.iter().map(|uri| uri.parse().expect("a URI")).collect());
    let (mut asked, mut tried) = (Vec::new(), Vec::new());
    loop {
        match search.step(Reach(&reach), &locator, Instant::ZERO, &mut rng) {
            Step::Ask(questions) => {
                for question in questions {
                    assert!(!asked.contains(&question) || uris.len() > 1, "{question:?} is asked twice");
                    search.learn(question.clone(), zone.get(&question).cloned().unwrap_or_default());
                    asked.push(question);
                }
            }
            Step::Try(Attempt { flow, domain }) => {
                let domain = domain.map(|domain| format!(" {domain}")).unwrap_or_default();
                tried.push(format!("{} {}{domain}", flow.transport.word(), flow.remote));
            }
            Step::Exhausted => return (asked, tried),
        }
    }
}

fn tried(uri: &str, text: &str) -> Vec<String> {
    search(&ALL, &[uri], text, 1).1
}

const HOSTS: &str = "example.com a 10.0.0.9
                     one.example.com a 10.0.0.2
                     two.example.com a 10.0.0.3";

#[test]
fn rfc_3263_4_1_numeric_hosts_ports_and_transports_need_no_naptr() {
    let check = |uri: &str, expected: &[&str], naptr: bool| {
        let (asked, tried) = search(&ALL, &[uri], HOSTS, 1);
        assert_eq!(tried, expected, "{uri}");
        assert_eq!(asked.iter().any(|q| matches!(q, Question::Naptr(_))), naptr, "{uri}: {asked:?}");
    };
    check("sip:10.0.0.2", &["udp 10.0.0.2:5060"], false);
    check("sips:10.0.0.2", &["tls 10.0.0.2:5061 10.0.0.2"], false);
    check("sip:10.0.0.2:5070;transport=tcp", &["tcp 10.0.0.2:5070"], false);
    check("sip:example.com:5070", &["udp 10.0.0.9:5070"], false);
    check("sips:example.com:5070", &["tls 10.0.0.9:5070 example.com"], false);
    check("sip:Example.com.;transport=tcp", &["tcp 10.0.0.9:5060"], false);
    check("sip:example.com;transport=tls", &["tls 10.0.0.9:5061 example.com"], false);
    check("sip:example.com", &["udp 10.0.0.9:5060"], true);
    check("sips:example.com", &["tls 10.0.0.9:5061 example.com"], true);
    check("sip:10.0.0.2;transport=sctp", &[], false);
    check("tel:+1", &[], false);
    check("sip:nowhere.example", &[], true);
}

#[test]
fn rfc_3263_4_1_naptr_records_choose_the_transport_by_order_and_preference() {
    let records = "example.com naptr 100 50 SIP+D2U _sip._udp.example.com
                   example.com naptr 50 50 SIPS+D2T _sips._tcp.example.com
                   example.com naptr 90 60 SIP+D2T _sip._tcp.example.com
                   example.com naptr 10 1 SIP+D2S _sip._sctp.example.com
                   example.com naptr 90 50 E2U+sip nowhere.example.com
                   _sips._tcp.example.com srv 1 0 5061 one.example.com
                   _sip._tcp.example.com srv 1 0 5060 one.example.com
                   _sip._udp.example.com srv 1 0 5060 two.example.com";
    let all = format!("{records}\n{HOSTS}");
    let check = |reach: &[&str], uri: &str, expected: &[&str]| {
        assert_eq!(search(reach, &[uri], &all, 1).1, expected, "{reach:?} {uri}");
    };
    let everything = ["tls 10.0.0.2:5061 example.com", "tcp 10.0.0.2:5060", "udp 10.0.0.3:5060"];
    check(&ALL, "sip:bob@example.com", &everything);
    check(&ALL[..2], "sip:bob@example.com", &everything[1..]);
    check(&ALL[..1], "sip:bob@example.com", &everything[2..]);
    // "A client resolving a SIPS URI MUST discard any services that do not contain SIPS."
    check(&ALL, "sips:bob@example.com", &everything[..1]);
    check(&ALL[..2], "sips:bob@example.com", &[]);
}

#[test]
fn rfc_3263_4_1_the_domain_of_a_naptr_replacement_may_differ_but_the_certificate_is_for_the_uri() {
    let text = "example.com naptr 1 1 SIPS+D2T _sips._tcp.provider.net
                _sips._tcp.provider.net srv 1 1 7777 edge.provider.net
                edge.provider.net a 10.0.0.7";
    assert_eq!(tried("sip:example.com", text), ["tls 10.0.0.7:7777 example.com"]);
}

#[test]
fn rfc_3263_4_1_without_naptr_each_transport_is_asked_for() {
    let text = format!("_sip._tcp.example.com srv 1 1 5080 two.example.com\n{HOSTS}");
    let (asked, tried) = search(&ALL, &["sip:example.com"], &text, 1);
    assert_eq!(tried, ["tcp 10.0.0.3:5080"]);
    let services: Vec<&Question> = asked.iter().filter(|q| matches!(q, Question::Srv(_))).collect();
    let names = ["_sip._udp.example.com", "_sip._tcp.example.com", "_sips._tcp.example.com"];
    assert_eq!(services, names.map(|name| Question::Srv(name.to_owned())).iter().collect::<Vec<_>>());
}

#[test]
fn rfc_3263_4_2_a_transport_without_port_asks_for_its_service() {
    let text = format!("_sip._tcp.example.com srv 1 1 5080 two.example.com\n{HOSTS}");
    assert_eq!(tried("sip:example.com;transport=tcp", &text), ["tcp 10.0.0.3:5080"]);
    assert_eq!(tried("sip:example.com:5060;transport=tcp", &text), ["tcp 10.0.0.9:5060"], "a port rules SRV out");
}

#[test]
fn rfc_2782_a_service_that_is_decidedly_not_there_is_not_looked_for_elsewhere() {
    let text = format!("_sip._udp.example.com srv 0 0 0 .\n{HOSTS}");
    assert_eq!(tried("sip:example.com;transport=udp", &text), Vec::<String>::new());
}

#[test]
fn rfc_2782_priorities_come_first_and_weights_are_shares() {
    let text = "_sip._udp.example.com srv 2 5 5060 backup.example.com
                _sip._udp.example.com srv 1 60 5060 big.example.com
                _sip._udp.example.com srv 1 30 5060 small.example.com
                _sip._udp.example.com srv 1 0 5060 zero.example.com
                backup.example.com a 10.0.0.9
                big.example.com a 10.0.0.6
                small.example.com a 10.0.0.3
                zero.example.com a 10.0.0.2";
    let mut first: BTreeMap<String, u32> = BTreeMap::new();
    for seed in 0..900 {
        let tried = search(&ALL, &["sip:example.com;transport=udp"], text, seed).1;
        assert_eq!(tried.len(), 4);
        assert_eq!(tried[3], "udp 10.0.0.9:5060", "the backup comes last");
        *first.entry(tried[0].clone()).or_default() += 1;
    }
    let share = |address: &str| first.get(address).copied().unwrap_or(0);
    assert!((520..680).contains(&share("udp 10.0.0.6:5060")), "{first:?}");
    assert!((220..380).contains(&share("udp 10.0.0.3:5060")), "{first:?}");
    assert!((1..40).contains(&share("udp 10.0.0.2:5060")), "a weight of 0 has a small chance: {first:?}");
}

#[test]
fn addresses_of_both_families_are_tried_as_far_as_we_have_them() {
    let text = "example.com a 10.0.0.2
                example.com a 10.0.0.3
                example.com aaaa 2001:db8::2";
    let check = |reach: &[&str], expected: &[&str]| {
        assert_eq!(search(reach, &["sip:example.com:5060"], text, 1).1, expected);
    };
    check(&["udp 10.0.0.1:5060"], &["udp 10.0.0.2:5060", "udp 10.0.0.3:5060"]);
    check(&["udp [2001:db8::1]:5060"], &["udp [2001:db8::2]:5060"]);
    check(
        &["udp 10.0.0.1:5060", "udp [2001:db8::1]:5060"],
        &["udp [2001:db8::2]:5060", "udp 10.0.0.2:5060", "udp 10.0.0.3:5060"],
    );
}

fn local(reach: &[&str], uri: &str, text: &str) -> Option<SocketAddr> {
    let (reach, zone) = (listeners(reach), zone(text));
    let mut search = Search::new(vec![uri.parse().expect("a URI")]);
    loop {
        match search.step(Reach(&reach), &Locator::default(), Instant::ZERO, &mut Seed::from_number(1).rng()) {
            Step::Ask(questions) => {
                for question in questions {
                    search.learn(question.clone(), zone.get(&question).cloned().unwrap_or_default());
                }
            }
            Step::Try(attempt) => return Some(attempt.flow.local),
            Step::Exhausted => return None,
        }
    }
}

#[test]
fn the_listener_that_fits_the_peer_is_taken() {
    let both = ["udp 127.0.0.1:5060", "udp 10.0.0.1:5062", "udp [::1]:5064"];
    let check = |reach: &[&str], uri: &str, text: &str, expected: Option<&str>| {
        assert_eq!(local(reach, uri, text).map(|a| a.to_string()).as_deref(), expected, "{uri}");
    };
    check(&both, "sip:127.0.0.9", "", Some("127.0.0.1:5060"));
    check(&both, "sip:10.0.0.9", "", Some("10.0.0.1:5062"));
    check(&both, "sip:[::1]:9", "", Some("[::1]:5064"));
    check(&both, "sip:10.0.0.9;transport=tcp", "", None);
    let any = ["udp 0.0.0.0:5060"];
    check(&any, "sip:10.0.0.9", "10.0.0.9 source 10.0.0.77", Some("10.0.0.77:5060"));
    check(&any, "sip:10.0.0.9", "", None);
}

#[test]
fn several_uris_are_tried_in_order_and_the_request_uri_follows() {
    let (_, tried) = search(&ALL, &["sip:nowhere.example", "sip:10.0.0.2", "sip:10.0.0.3;transport=tcp"], "", 1);
    assert_eq!(tried, ["udp 10.0.0.2:5060", "tcp 10.0.0.3:5060"]);
    let uris: Vec<Uri> = ["sip:10.0.0.2", "sip:10.0.0.3;transport=tcp"].map(|u| u.parse().expect("a URI")).into();
    let mut search = Search::new(uris);
    let reach = listeners(&ALL);
    let next = |search: &mut Search| {
        search.step(Reach(&reach), &Locator::default(), Instant::ZERO, &mut Seed::from_number(1).rng())
    };
    let (ours, other): (Uri, Uri) = ("sip:5@10.0.0.2".parse().unwrap(), "sip:5@example.com".parse().unwrap());
    assert!(matches!(next(&mut search), Step::Try(_)));
    assert_eq!(search.readdress(&ours), None);
    assert!(matches!(next(&mut search), Step::Try(_)));
    assert_eq!(search.readdress(&ours).expect("another").to_string(), "sip:5@10.0.0.3;transport=tcp");
    assert_eq!(search.readdress(&other), None, "behind an outbound proxy the address stays");
}

fn nobody() -> ClientId {
    Id::from_bits(0)
}

#[test]
fn answers_are_kept_for_their_time_and_asked_for_once() {
    let mut locator = Locator::default();
    let question = Question::Ipv4("example.com".to_owned());
    let at = Instant::from_millis;
    assert_eq!(locator.look_up(at(0), &question, nobody()), Known::Ask);
    assert_eq!(locator.look_up(at(0), &question, nobody()), Known::Awaited);
    let records = Records { ttl: Duration::from_secs(2), ..Records::default() };
    assert_eq!(locator.answered(at(0), &question, &records).len(), 2, "both are told");
    assert_eq!(locator.look_up(at(1_999), &question, nobody()), Known::Answer(records.clone()));
    assert_eq!(locator.look_up(at(2_000), &question, nobody()), Known::Ask);
    let for_ever = Records { ttl: Duration::from_secs(u32::MAX.into()), ..Records::default() };
    locator.answered(at(0), &question, &for_ever);
    let late = Instant::ZERO + limits::LOCATION_TTL_MAX;
    assert_eq!(locator.look_up(late, &question, nobody()), Known::Ask, "nothing is kept longer than the limit");
    locator.answered(at(0), &question, &Records::default());
    assert_eq!(locator.look_up(at(0), &question, nobody()), Known::Ask, "without time to live it is not kept");
}

#[test]
fn the_cache_and_the_questions_are_bounded() {
    let mut locator = Locator::default();
    let question = |number: usize| Question::Ipv4(format!("h{number}.example"));
    for number in 0..limits::LOCATION_QUESTIONS {
        assert_eq!(locator.look_up(Instant::ZERO, &question(number), nobody()), Known::Ask);
    }
    let one_more = locator.look_up(Instant::ZERO, &question(limits::LOCATION_QUESTIONS), nobody());
    assert_eq!(one_more, Known::Answer(Records::default()), "one more is not located");
    for number in 0..limits::LOCATION_CACHE + 10 {
        let ttl = Duration::from_secs(100 + number as u64);
        locator.answered(Instant::ZERO, &question(number), &Records { ttl, ..Records::default() });
    }
    assert_eq!(locator.cached(), limits::LOCATION_CACHE);
    let last = question(limits::LOCATION_CACHE + 9);
    assert!(matches!(locator.look_up(Instant::ZERO, &last, nobody()), Known::Answer(_)));
    assert_eq!(locator.look_up(Instant::ZERO, &question(0), nobody()), Known::Ask, "what is over first went first");
}

#[test]
fn a_target_that_failed_is_tried_last_for_a_while() {
    let reach = listeners(&ALL);
    let zone = zone("example.com a 10.0.0.2\nexample.com a 10.0.0.3");
    let mut locator = Locator::default();
    let failed = Flow {
        transport: Transport::Udp,
        local: reach[0].1,
        remote: "10.0.0.2:5060".parse().expect("an address"),
        connection: None,
    };
    let first = |locator: &Locator, now: Instant| {
        let mut search = Search::new(vec!["sip:example.com:5060".parse().expect("a URI")]);
        loop {
            match search.step(Reach(&reach), locator, now, &mut Seed::from_number(1).rng()) {
                Step::Ask(questions) => questions
                    .into_iter()
                    .for_each(|q| search.learn(q.clone(), zone.get(&q).cloned().unwrap_or_default())),
                Step::Try(attempt) => return attempt.flow.remote.to_string(),
                Step::Exhausted => panic!("two are there"),
            }
        }
    };
    assert_eq!(first(&locator, Instant::ZERO), "10.0.0.2:5060");
    locator.failed(Instant::ZERO, &failed, Duration::from_secs(5));
    assert_eq!(first(&locator, Instant::ZERO), "10.0.0.3:5060");
    assert_eq!(first(&locator, Instant::from_millis(5_000)), "10.0.0.2:5060");
    locator.failed(Instant::ZERO, &failed, Duration::from_secs(86_400));
    assert_eq!(first(&locator, Instant::ZERO + limits::LOCATION_AVOID_MAX), "10.0.0.2:5060", "for so long at most");
    locator.failed(Instant::ZERO, &failed, Duration::from_secs(5));
    locator.works(&failed);
    assert_eq!(first(&locator, Instant::ZERO), "10.0.0.2:5060");
}
