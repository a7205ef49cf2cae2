use super::*;

/// The findings of a text that has mistakes, as they are printed.
#[track_caller]
fn check_findings(text: &str, expected: &[&str]) {
    let findings = Scenario::parse(text).expect_err("mistakes");
    let printed: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(printed.len(), expected.len(), "{printed:#?}");
    for (found, start) in printed.iter().zip(expected) {
        assert!(found.starts_with(start), "{found:?} does not start with {start:?}");
    }
}

#[test]
fn a_whole_scenario_is_read() {
    let text = r##"
title = "everything"
seed = 7
limit = "1m"
[network]
delay = "5ms"
loss = 5
[media]
loss = 0.5
[[cut]]
who = "phone/203"
from = "1s"
until = "1.5s"
[card.demo]
crystal-ppm = -50
[[step]]
who = "phone/203"
does = "call"
number = "105"
[[step]]
wait = "200ms"
[[step]]
who = "station/105"
expect = "tone"
hz = [350, 440]
level-dbm0 = -13
within = "2s"
[[step]]
expect = "nothing-left"
"##;
    let scenario = Scenario::parse(text).expect("no mistakes");
    assert_eq!((scenario.seed, scenario.limit), (7, Duration::from_secs(60)));
    assert_eq!(scenario.signalling.loss, Millionths(50_000));
    assert_eq!(scenario.media.loss, Millionths(5_000));
    assert_eq!(scenario.media.delay, Duration::from_millis(5));
    assert_eq!(scenario.crystals["demo"], -50);
    assert_eq!(scenario.cuts[0].until, Duration::from_millis(1_500));
    let steps: Vec<&What> = scenario.steps.iter().map(|step| &step.what).collect();
    assert_eq!(steps[0], &What::Do(Actor::Phone("203".to_owned()), Action::Call("105".to_owned())));
    assert_eq!(steps[1], &What::Wait(Duration::from_millis(200)));
    let tone = Expectation::Tone {
        who: Actor::Station("105".to_owned()),
        hertz: vec![350.0, 440.0],
        level_dbm0: Some(-13.0),
        tolerance_db: 1.0,
    };
    assert_eq!(steps[2], &What::Expect { what: tone, within: Duration::from_secs(2) });
    assert_eq!(steps[3], &What::Expect { what: Expectation::NothingLeft, within: WITHIN });
    assert_eq!(scenario.steps[0].line, 16);
}

#[test]
fn mistakes_are_named_with_line_and_column() {
    check_findings("title = \"x\"\ncolour = 1\n", &["2:1: unknown field `colour`"]);
    check_findings("seed = \"x\"\n", &["1:8: invalid type"]);
    check_findings("[network]\nloss = 101\ndelay = \"5 parsecs\"\nspeed = 1\n", &["2:8: ", "3:9: ", "4:1: `speed`"]);
    check_findings("[[step]]\nwho = \"phone/1\"\ndoes = \"fly\"\n", &["3:8: nobody can \"fly\""]);
    check_findings("[[step]]\nwho = \"phone/1\"\n", &["1:1: a step needs"]);
    check_findings("[[step]]\nwho = \"phone/1\"\ndoes = \"off-hook\"\n", &["2:7: phone/1 cannot \"off-hook\""]);
    check_findings("[[step]]\nwho = \"station/1\"\nexpect = \"answered\"\n", &["2:7: station/1 cannot"]);
    check_findings("[[step]]\nwho = \"cat\"\ndoes = \"flash\"\n", &["2:7: \"cat\" is nobody"]);
    check_findings("[[step]]\nwho = \"station/1\"\ndoes = \"dial\"\ndigits = \"12x\"\n", &["4:10: digits are"]);
    check_findings("[[step]]\nwho = \"station/1\"\ndoes = \"dial\"\n", &["1:1: `digits` is missing"]);
    check_findings("[[step]]\nwait = \"1s\"\nnumber = \"5\"\n", &["3:1: `number` has no meaning here"]);
    check_findings("[[step]]\nwho = \"phone/1\"\ndoes = \"reject\"\nstatus = 200\n", &["4:10: `status` is 400"]);
    check_findings("[[step]]\nwait = 3\n[[step]]\nwait = \"-1s\"\n", &["2:8: a time is text", "4:8: "]);
    check_findings("[[step]\n", &["1:"]);
}

#[test]
fn the_worked_examples_have_no_mistakes() {
    for text in [
        include_str!("../../tests/scenarios/call-an-analog-phone.toml"),
        include_str!("../../tests/scenarios/analog-dials-sip.toml"),
        include_str!("../../tests/scenarios/busy-and-no-answer.toml"),
    ] {
        let scenario = Scenario::parse(text).expect("no mistakes");
        assert!(scenario.steps.len() > 3);
    }
}
