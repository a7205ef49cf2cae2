//! Patterns against a naive reading of their text, plans against a naive search.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn callers(text: &str) -> Callers {
    match text {
        "inside" => Callers::Inside,
        "outside" => Callers::Outside,
        "any" => Callers::Any,
        name => Callers::Named(name.to_owned()),
    }
}

/// A rule that leads to `trunk/NAME`.
fn rule(name: &str, from: &[&str], patterns: &[&str]) -> Rule {
    let patterns: Vec<Pattern> = patterns.iter().map(|p| pattern(p)).collect();
    let template = Template::parse(name, &patterns).expect("a template");
    Rule {
        name: name.to_owned(),
        place: "test".to_owned(),
        patterns,
        from: from.iter().map(|f| callers(f)).collect(),
        action: Action::Targets(vec![(TargetKind::Trunk, template)]),
        send: None,
    }
}

fn plan(rules: Vec<Rule>) -> Plan {
    Plan::compile(rules, BTreeMap::new()).expect("no flaws")
}

fn chosen(plan: &Plan, origin: &str, digits: &str) -> Option<String> {
    plan.route(origin, is_inside(origin), digits).chosen.map(|c| c.name)
}

/// Whether `digits` fit a pattern, by trying: slow, and another way than the automaton's.
fn fits(pattern: &str, digits: &str) -> bool {
    if pattern == "any" {
        return !digits.is_empty();
    }
    let plain: String = {
        let mut plain = String::new();
        let mut characters = pattern.chars();
        while let Some(c) = characters.next() {
            match c {
                '(' => while characters.next().is_some_and(|c| c != ':') {},
                ')' | '|' => {}
                c => plain.push(c),
            }
        }
        plain
    };
    fits_plain(&plain, digits)
}

fn fits_plain(pattern: &str, digits: &str) -> bool {
    let Some(first) = pattern.chars().next() else { return digits.is_empty() };
    let is_digit = |c: char| c.is_ascii_digit();
    if first == '.' {
        return !digits.is_empty() && digits.chars().all(is_digit);
    }
    let (unit, rest) = match first {
        '[' => pattern.split_at(pattern.find(']').expect("a set") + 1),
        _ => pattern.split_at(1),
    };
    let unit_fits = |c: char| match first {
        'X' => is_digit(c),
        'Z' => is_digit(c) && c != '0',
        'N' => is_digit(c) && c > '1',
        '[' => {
            let inside: Vec<char> = unit[1..unit.len() - 1].chars().collect();
            let ranges = inside.windows(3).any(|w| w[1] == '-' && (w[0]..=w[2]).contains(&c));
            is_digit(c) && (ranges || inside.contains(&c))
        }
        literal => c == literal,
    };
    if let Some(repeat) = rest.strip_prefix('{') {
        let (counts, rest) = repeat.split_once('}').expect("a repeat");
        let (low, high) = counts.split_once(',').unwrap_or((counts, counts));
        let (low, high): (usize, usize) = (low.parse().expect("a count"), high.parse().expect("a count"));
        return (low..=high).any(|count| {
            digits.len() >= count && digits[..count].chars().all(unit_fits) && fits_plain(rest, &digits[count..])
        });
    }
    digits.chars().next().is_some_and(unit_fits) && fits_plain(rest, &digits[1..])
}

#[test]
fn a_stranger_is_served_only_by_a_rule_that_names_him() {
    for (callers, serves) in [
        (Callers::Any, false),
        (Callers::Outside, false),
        (Callers::Inside, false),
        (Callers::Named("trunk/a".to_owned()), false),
        (Callers::Named(ANYBODY.to_owned()), true),
    ] {
        assert_eq!(callers.serves(ANYBODY, false), serves, "{callers:?}");
        assert_eq!(callers.covers(&Callers::Named(ANYBODY.to_owned())), serves, "{callers:?}");
    }
    assert!(Callers::Named(ANYBODY.to_owned()).include_outside(), "such a call must not leave by accident");
}

#[test]
fn the_narrower_rule_wins_wherever_it_stands() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let rules = [
            rule("all", &["any"], &["+."]),
            rule("gb", &["any"], &["+44."]),
            rule("mobile", &["any"], &["+447XXXXXXXXX"]),
        ];
        let plan = plan(order.iter().map(|&i| rules[i].clone()).collect());
        assert_eq!(chosen(&plan, "phone/1", "+447700900123").as_deref(), Some("mobile"));
        assert_eq!(chosen(&plan, "phone/1", "+44770090").as_deref(), Some("gb"));
        assert_eq!(chosen(&plan, "phone/1", "+33142685300").as_deref(), Some("all"));
        assert_eq!(chosen(&plan, "phone/1", "33142685300"), None);
    }
}

#[test]
fn crossing_rules_are_shown_with_a_number_that_fits_both() {
    let rules = vec![rule("a", &["inside"], &["12XX"]), rule("b", &["any"], &["999", "1XX2"])];
    let flaws = Plan::compile(rules, BTreeMap::new()).expect_err("they cross");
    assert_eq!(flaws, [Flaw::Crossing { first: (0, 0), second: (1, 1), witness: "1202".to_owned() }]);
}

#[test]
fn rules_for_different_callers_cannot_cross() {
    let plan = plan(vec![rule("a", &["inside"], &["12XX"]), rule("b", &["trunk/x"], &["1XX2"])]);
    assert_eq!(chosen(&plan, "phone/1", "1202").as_deref(), Some("a"));
    assert_eq!(chosen(&plan, "trunk/x", "1202").as_deref(), Some("b"));
    assert_eq!(chosen(&plan, "trunk/y", "1202"), None);
}

#[test]
fn a_rule_behind_the_same_pattern_is_unreachable_unless_it_serves_others() {
    let same = vec![rule("a", &["any"], &["2[0-9]X"]), rule("b", &["inside"], &["2XX"])];
    let flaws = Plan::compile(same, BTreeMap::new()).expect_err("b is never reached");
    assert_eq!(flaws, [Flaw::Unreachable { first: (0, 0), second: (1, 0) }]);
    let plan = plan(vec![rule("one", &["phone/1"], &["2XX"]), rule("rest", &["inside"], &["2XX"])]);
    assert_eq!(chosen(&plan, "phone/1", "200").as_deref(), Some("one"));
    assert_eq!(chosen(&plan, "station/2", "200").as_deref(), Some("rest"));
}

#[test]
fn the_bar_the_parts_and_send_make_the_number() {
    let send = |mut rule: Rule, text: &str| {
        rule.send = Some(Template::parse(text, &rule.patterns).expect("a template"));
        rule
    };
    let plan = plan(vec![
        rule("out", &["any"], &["9|Z."]),
        send(rule("berlin", &["any"], &["+4930(subscriber:.)"]), "0{subscriber}*{dialled}"),
        send(rule("direct", &["any"], &["5(ext:2XX)7"]), "{ext}"),
        rule("{unit}", &["any"], &["7(unit:XX)8"]),
    ]);
    let number = |digits: &str| plan.route("phone/1", true, digits).number;
    assert_eq!(number("9123"), "123");
    assert_eq!(number("+493012"), "012*+493012");
    assert_eq!(number("52127"), "212");
    let target = Target { kind: TargetKind::Trunk, name: "42".to_owned() };
    assert_eq!(plan.route("phone/1", true, "7428").verdict, Verdict::Targets(vec![target]));
}

#[test]
fn extensions_lead_to_whoever_has_the_number() {
    let patterns = vec![pattern("1XX")];
    let action = Action::Extension(Template::parse("{number}", &patterns).expect("a template"));
    let extensions = rule("extensions", &["any"], &["1XX"]);
    let busy = Rule { action: Action::Refuse(Refusal::Busy), ..rule("busy", &["any"], &["2"]) };
    let owner = Target { kind: TargetKind::Station, name: "hall".to_owned() };
    let owners = BTreeMap::from([("101".to_owned(), owner.clone())]);
    let plan = Plan::compile(vec![Rule { action, ..extensions }, busy], owners).expect("no flaws");
    let verdict = |digits: &str| plan.route("phone/1", true, digits).verdict;
    assert_eq!(verdict("101"), Verdict::Targets(vec![owner]));
    assert_eq!(verdict("102"), Verdict::Refused(Refusal::Unassigned));
    assert_eq!(verdict("2"), Verdict::Refused(Refusal::Busy));
    assert_eq!(verdict("10"), Verdict::Refused(Refusal::Incomplete));
    assert_eq!(verdict("3"), Verdict::Refused(Refusal::Unassigned));
    assert_eq!(Plan::default().route("phone/1", true, "3").verdict, Verdict::Refused(Refusal::Unassigned));
}

#[test]
fn a_number_for_others_only_has_no_route_and_says_why() {
    let plan = plan(vec![rule("out", &["inside"], &["9."]), rule("wide", &["phone/x"], &["any"])]);
    let decision = plan.route("trunk/x", false, "91");
    assert_eq!(decision.verdict, Verdict::Refused(Refusal::NoRoute));
    let why: Vec<(&str, &str)> = decision.considered.iter().map(|c| (c.name.as_str(), c.why)).collect();
    assert_eq!(why, [("out", "not for this caller"), ("wide", "not for this caller")]);
}

#[test]
fn digit_by_digit_the_plan_knows_when_a_number_is_complete() {
    let plan = plan(vec![
        rule("two", &["any"], &["2XX"]),
        rule("long", &["phone/2"], &["2XXXX"]),
        rule("out", &["any"], &["9."]),
        rule("code", &["any"], &["*21*XX#"]),
        rule("some", &["any"], &["5X{2,3}"]),
    ]);
    use Completeness::*;
    for (origin, digits, expected) in [
        ("phone/1", "", Incomplete),
        ("phone/1", "2", Incomplete),
        ("phone/1", "201", Complete),
        ("phone/2", "201", CompleteMayGrow),
        ("phone/2", "20111", Complete),
        ("phone/1", "2011", Impossible),
        ("phone/1", "9", Incomplete),
        ("phone/1", "94", CompleteMayGrow),
        ("phone/1", "*21*55", Incomplete),
        ("phone/1", "*21*55#", Complete),
        ("phone/1", "512", CompleteMayGrow),
        ("phone/1", "5123", Complete),
        ("phone/1", "7", Impossible),
        ("phone/1", "alice", Impossible),
    ] {
        assert_eq!(plan.completeness(origin, true, digits), expected, "{origin} {digits}");
    }
}

#[test]
fn bad_patterns_are_refused_at_the_place_of_the_mistake() {
    for (text, start, end) in [
        ("", 0, 0),
        ("_2XX", 0, 1),
        ("2x", 1, 2),
        ("2+", 1, 2),
        ("2.3", 1, 2),
        ("X{2,3}4", 1, 6),
        ("X{3,2}", 1, 6),
        ("X{0}", 1, 4),
        ("X{a}", 1, 4),
        ("X{2", 1, 3),
        ("X{99}", 1, 5),
        ("[5-2]", 1, 4),
        ("[5-]", 1, 4),
        ("[a]", 1, 2),
        ("[]", 0, 2),
        ("1[2", 1, 3),
        ("(2XX)", 0, 1),
        ("(ext:2(a:3))", 6, 7),
        ("(ext:)", 0, 6),
        ("(ext:2", 0, 6),
        ("(number:2)", 1, 7),
        ("(a:2)(a:3)", 6, 7),
        ("2)", 1, 2),
        ("9|1|2", 3, 4),
        ("|1", 0, 1),
        ("9|", 1, 2),
        ("9|X{0,3}", 1, 2),
        ("(a:9|1)", 4, 5),
        ("1 2", 1, 2),
        ("2\u{e9}", 1, 3),
        ("11111111111111111111111111111111111111112", 40, 41),
    ] {
        let error = Pattern::parse(text).expect_err(text);
        assert_eq!((error.start, error.end), (start, end), "{text}: {error}");
    }
}

#[test]
fn a_count_without_a_range_may_stand_in_the_middle() {
    let plan = plan(vec![rule("a", &["any"], &["1X{3}9"])]);
    assert!(chosen(&plan, "phone/1", "12349").is_some());
    assert!(chosen(&plan, "phone/1", "1239").is_none());
}

#[test]
fn templates_know_only_what_every_pattern_has() {
    let patterns = [pattern("1(a:X)"), pattern("2X")];
    for (text, start, end) in [("x{a}", 1, 4), ("{", 0, 1), ("x}", 1, 2), ("{caller}", 0, 8)] {
        let error = Template::parse(text, &patterns).expect_err(text);
        assert_eq!((error.start, error.end), (start, end), "{text}: {error}");
    }
    assert!(Template::parse("{a}{number}{dialled}", &patterns[..1]).is_ok());
}

#[test]
fn a_plan_that_would_explode_is_refused() {
    // Rules for different callers may cross; many that differ in one far place each need a state
    // for every subset.
    let rules = (0..20)
        .map(|i| {
            let text = format!("{}1.", "X".repeat(i));
            rule(&i.to_string(), &[&format!("phone/{i}")], &[&text])
        })
        .collect();
    assert_eq!(Plan::compile(rules, BTreeMap::new()).expect_err("too large"), [Flaw::TooLarge]);
}

fn a_pattern() -> impl Strategy<Value = String> {
    let unit = prop_oneof![
        4 => "[0-3]",
        2 => Just("X".to_owned()),
        1 => Just("Z".to_owned()),
        1 => Just("N".to_owned()),
        1 => Just("[1-2]".to_owned()),
        1 => Just("[03]".to_owned()),
        1 => Just("#".to_owned()),
        1 => Just("(p:X)".to_owned()),
        1 => Just("X{2}".to_owned()),
    ];
    let end = prop_oneof![
        5 => Just(String::new()),
        2 => Just(".".to_owned()),
        1 => Just("X{1,3}".to_owned()),
        1 => Just("N{0,2}".to_owned()),
        1 => Just("(q:.)".to_owned()),
    ];
    let built =
        ("\\+?", prop::collection::vec(unit, 0..4), end).prop_map(|(plus, units, end)| plus + &units.concat() + &end);
    prop_oneof![12 => built, 1 => Just("any".to_owned())].prop_filter("a pattern", |text| Pattern::parse(text).is_ok())
}

const ORIGINS: [&str; 4] = ["phone/1", "station/2", "trunk/a", "trunk/b"];

fn a_rule() -> impl Strategy<Value = (Vec<String>, Vec<&'static str>)> {
    let from = prop::sample::subsequence(vec!["inside", "outside", "any", "phone/1", "trunk/a"], 1..3);
    (prop::collection::vec(a_pattern(), 1..3), from)
}

fn is_served(from: &[&str], origin: &str) -> bool {
    let inside = is_inside(origin);
    from.iter().any(|f| *f == origin || *f == "any" || (*f == "inside" && inside) || (*f == "outside" && !inside))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_makes_the_pattern_reader_panic(text in "[0-9XZNa-c*#+.|(){}\\[\\],: -]{0,16}|\\PC{0,10}") {
        match Pattern::parse(&text) {
            Ok(pattern) => prop_assert_eq!(pattern.as_str(), text),
            Err(error) => prop_assert!(error.start <= error.end && text.get(error.start..error.end).is_some()),
        }
    }

    #[test]
    fn the_automaton_accepts_what_the_naive_matcher_accepts(
        rules in prop::collection::vec(a_rule(), 1..6),
        numbers in prop::collection::vec("[+]?[0-4#]{0,6}", 24),
    ) {
        let built = rules.iter().enumerate().map(|(i, (patterns, from))| {
            rule(&i.to_string(), from, &patterns.iter().map(String::as_str).collect::<Vec<_>>())
        });
        let plan = match Plan::compile(built.collect(), BTreeMap::new()) {
            Ok(plan) => plan,
            Err(flaws) => {
                for flaw in flaws {
                    let Flaw::Crossing { first, second, witness } = flaw else { continue };
                    prop_assert!(fits(&rules[first.0].0[first.1], &witness), "{witness}");
                    prop_assert!(fits(&rules[second.0].0[second.1], &witness), "{witness}");
                }
                return Ok(());
            }
        };
        for origin in ORIGINS {
            for number in &numbers {
                let decision = plan.route(origin, is_inside(origin), number);
                let fitting: Vec<usize> = (0..rules.len())
                    .filter(|&i| is_served(&rules[i].1, origin) && rules[i].0.iter().any(|p| fits(p, number)))
                    .collect();
                match &decision.chosen {
                    None => prop_assert!(fitting.is_empty(), "{origin} {number}: {fitting:?}"),
                    Some(chosen) => {
                        prop_assert!(fitting.contains(&chosen.rule));
                        prop_assert!(fits(&chosen.pattern, number));
                        // Nothing that fits and serves is narrower than what was chosen.
                        let taken = pattern(&chosen.pattern);
                        for text in fitting.iter().flat_map(|&i| &rules[i].0).filter(|p| fits(p, number)) {
                            let other = pattern(text);
                            prop_assert!(!other.is_within(&taken) || taken.is_within(&other), "{text} in {}", chosen.pattern);
                        }
                    }
                }
                let complete = plan.completeness(origin, is_inside(origin), number);
                let accepted = matches!(complete, Completeness::Complete | Completeness::CompleteMayGrow);
                prop_assert_eq!(accepted, decision.chosen.is_some());
            }
        }
    }

    #[test]
    fn completeness_foresees_every_longer_number(
        texts in prop::collection::vec(a_pattern(), 1..4), number in "[+]?[0-4#]{0,6}", cut in 0usize..7,
    ) {
        let rules = texts.iter().enumerate().map(|(i, t)| rule(&i.to_string(), &["any"], &[t])).collect();
        let Ok(plan) = Plan::compile(rules, BTreeMap::new()) else { return Ok(()) };
        let cut = cut.min(number.len());
        if texts.iter().any(|t| fits(t, &number)) && cut < number.len() {
            let foreseen = plan.completeness("phone/1", true, &number[..cut]);
            prop_assert!(matches!(foreseen, Completeness::Incomplete | Completeness::CompleteMayGrow), "{foreseen:?}");
        }
    }

    #[test]
    fn narrower_is_what_counting_says(a in a_pattern(), b in a_pattern(), numbers in prop::collection::vec("[+]?[0-4#]{0,5}", 40)) {
        let (one, other) = (pattern(&a), pattern(&b));
        prop_assert!(one.is_within(&one));
        if one.is_within(&other) {
            prop_assert!(numbers.iter().all(|n| !fits(&a, n) || fits(&b, n)));
        }
        match one.common(&other) {
            Some(witness) => prop_assert!(fits(&a, &witness) && fits(&b, &witness), "{witness}"),
            None => prop_assert!(numbers.iter().all(|n| !(fits(&a, n) && fits(&b, n)))),
        }
    }
}
