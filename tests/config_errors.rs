//! Mistakes in configuration files, through the real binary: `tipring check` shows each of them
//! with its code at its line and column.

use std::path::Path;
use std::process::{Command, Output};

/// Line 1 of every test file; mistakes begin at line 2.
const HEAD: &str = "sip.listen = [\"udp:127.0.0.1:5060\"]\n";

fn check_file(directory: &Path, text: &str, arguments: &[&str]) -> Output {
    let file = directory.join("test.toml");
    std::fs::write(&file, text).expect("a temporary file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tipring"));
    command.current_dir(directory).env_remove("TIPRING_NO_SUCH_VARIABLE");
    command.args(["check", "-c", "test.toml"]).args(arguments).output().expect("the binary runs")
}

/// What `tipring check` shows a person.
fn shown(text: &str) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory");
    String::from_utf8(check_file(directory.path(), text, &[]).stdout).expect("text")
}

/// Findings as `line:column code`, sorted by place, from the JSON output; the exit code must fit.
fn findings(text: &str) -> Vec<String> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = check_file(directory.path(), text, &["--json"]);
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let list = list.as_array().expect("an array");
    assert_eq!(output.status.code(), Some(if list.is_empty() { 0 } else { 1 }));
    let place = |f: &serde_json::Value| {
        assert_eq!(f["file"], "test.toml");
        assert!(!f["text"].as_str().expect("a text").is_empty());
        format!("{}:{} {}", f["line"], f["column"], f["code"].as_str().expect("a code"))
    };
    list.iter().map(place).collect()
}

/// Checks that the text behind [`HEAD`] has exactly these findings.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(findings(&format!("{HEAD}{text}")), expected, "\n{text}");
}

const CARD: &str = "card.c.driver = \"virtual\"\n";

#[test]
fn a_small_configuration_without_mistakes() {
    check("", &[]);
    check(
        "phone.201 = { password = \"x\" }\n[[route]]\nname = \"a\"\nmatch = \"2XX\"\nto = \"extension/{number}\"\n",
        &[],
    );
}

#[test]
fn syntax() {
    check("rtp.address = 127.0.0.1\n", &["2:20 C0001"]);
    check("[log\nlevel = \"info\"\n", &["2:5 C0001"]);
    check("[log]\nlevel = \"info\nformat = \"text\"\n", &["3:14 C0001"]);
    // Both syntax errors and the unknown key elsewhere are shown at once.
    check("[log]\nlevel = \n[limits]\ncalls = ]\n[rtp]\nport = 1\n", &["3:9 C0001", "5:9 C0001", "7:1 C0003"]);
}

#[test]
fn unknown_tables_and_keys() {
    check("[phonse.201]\npassword = \"x\"\n", &["2:2 C0002"]);
    check("phone.password = \"x\"\n", &["2:7 C0002"]);
    check("[log]\nlevle = \"info\"\n", &["3:1 C0003"]);
    check("[phone.201]\npassword = \"x\"\npassword2 = \"x\"\n", &["4:1 C0003"]);
    check("[[route]]\nname = \"a\"\nmatch = \"1\"\nto = \"service/echo\"\npriority = 1\n", &["6:1 D0003"]);
    check("[emergency]\nnumbers = [\"911\"]\n", &["2:2 C0006"]);
}

#[test]
fn wrong_types() {
    check("[rtp]\nports = 20000\n", &["3:9 C0004"]);
    check("[limits]\ncalls = \"many\"\n", &["3:9 C0004"]);
    check("[phone.201]\npassword = true\n", &["3:12 C0004"]);
    check("[phone.201]\npassword = \"x\"\ndigest = \"MD5\"\n", &["4:10 C0004"]);
    check("[phone.201]\npassword = \"x\"\ndigest = [\"MD5\", 5]\n", &["4:18 C0004"]);
    check("[phone.201]\npassword = \"x\"\ndigest = []\n", &["4:10 C0007"]);
    check("log = 1\n", &["2:1 C0004"]);
    check("[route]\nname = \"a\"\n", &["2:2 D0004"]);
}

#[test]
fn what_calls_carry_from_leg_to_leg() {
    let trunk = |line: &str| format!("[trunk.a]\nfrom = \"127.0.0.1\"\n{line}\n");
    check(&trunk("pass-headers = [\"User-to-User\", \"X-*\"]\npass-bodies = [\"application/isup\", \"text/*\"]"), &[]);
    check(&trunk("pass-headers = \"none\"\npass-bodies = \"all\""), &[]);
    check("sip.pass-headers = \"none\"\nsip.pass-bodies = []\n", &["3:19 C0007"]);
    check(&trunk("pass-headers = \"some\""), &["4:16 C0022"]);
    check(&trunk("pass-headers = true"), &["4:16 C0004"]);
    check(&trunk("pass-headers = [\"X-A\", \"Bad Name\"]"), &["4:24 C0022"]);
    check(&trunk("pass-headers = [\"Via\", \"P-Asserted-Identity\"]"), &["4:17 C0022", "4:24 C0022"]);
    check(
        &trunk("pass-bodies = [\"isup\", \"*/*\", \"application/sdp\"]"),
        &["4:16 C0022", "4:24 C0022", "4:31 C0022"],
    );
    check("sip.pass-bodies = 7\n", &["2:19 C0004"]);
}

#[test]
fn how_a_user_agent_behaves() {
    // `[sip]` is open already: line 1 has a key of it.
    check("sip.session-expires = \"off\"\n", &[]);
    check("sip.session-expires = \"60s\"\n", &["2:23 C0014"]);
    check("sip.session-expires = 1800\n", &["2:23 C0014"]);
    check("sip.min-se = \"1s\"\n", &["2:14 C0014"]);
    check("sip.session-expires = \"5m\"\nsip.min-se = \"10m\"\n", &["3:14 C0014"]);
    let trunk = |line: &str| format!("[trunk.a]\nfrom = \"127.0.0.1\"\n{line}\n");
    check(&trunk("100rel = \"on\""), &["4:10 C0022"]);
    check(&trunk("100rel = true"), &["4:10 C0004"]);
    check(&trunk("trust = \"yes\""), &["4:9 C0004"]);
    check(&trunk("transfer = \"yes\""), &["4:12 C0004"]);
    check(&trunk("transfer = true"), &[]);
    check(&trunk("early-offer = 1"), &["4:15 C0004"]);
    check(&trunk("early-offer = true"), &[]);
    check(&trunk("identity = \"asserted-identity\""), &["4:12 C0022"]);
    check(&trunk("diversion = \"history\""), &["4:13 C0022"]);
    check(&trunk("dtmf = \"inband\""), &["4:8 C0022"]);
    check(&trunk("encapsulate = \"sip-t\""), &["4:15 C0022"]);
    check(&trunk("encapsulate = true"), &["4:15 C0004"]);
    check(&trunk("keepalive = \"1s\""), &["4:13 C0014"]);
    check(&trunk("keepalive = 30"), &["4:13 C0014"]);
    check(
        &trunk(
            "100rel = \"required\"\ntrust = true\nidentity = \"preferred\"\ndiversion = \"both\"\ndtmf = \"info\"\nencapsulate = \"sip-i\"",
        ),
        &[],
    );
}

#[test]
fn missing_keys() {
    check("[phone.201]\nnumber = \"201\"\n", &["2:1 C0005"]);
    check("[trunk.a]\n", &["2:1 C0005"]);
    check(&format!("{CARD}[station.1]\nport = 0\n"), &["3:1 C0005"]);
    check("[[route]]\nname = \"a\"\nto = \"service/echo\"\n", &["2:1 D0005"]);
    assert_eq!(findings("[log]\nlevel = \"info\"\n"), ["1:1 C0005"], "no [sip]");
}

#[test]
fn addresses_and_ports() {
    check("[rtp]\naddress = \"127.0.0.256\"\n", &["3:12 C0011"]);
    check("[rtp]\naddress = \"0.0.0.0\"\n", &["3:11 C0011"]);
    check("[trunk.a]\nto = \"sip:127.0.0.3:70000\"\n", &["3:21 C0012"]);
    check("[trunk.a]\nto = \"sip:carrier.example.com\"\n", &[]);
    check("[trunk.a]\nto = [\"sip:a.example\", \"sip:10.0.0.1\", \"sip:b.example:5070\"]\n", &[]);
    check("[trunk.a]\nto = \"sip:a.example;transport=tcp\"\n", &["3:6 C0107"]);
    check("[trunk.a]\nto = [\"sip:a.example\", \"sips:b.example\"]\n", &["3:24 C0107"]);
    check("[trunk.a]\nto = \"sip:[2001:db8::1]:5071\"\n", &["3:6 C0107"]);
    check("[trunk.a]\nto = \"sip:carrier_.example.9\"\n", &["3:11 C0011"]);
    check("[trunk.a]\nto = [\"sip:a.example\", \"sip:0.0.0.0\"]\n", &["3:24 C0011"]);
    check("[trunk.a]\nto = \"sip:a.example;transport=sctp\"\n", &["3:21 C0011"]);
    check("[trunk.a]\nto = \"sips:a.example;transport=udp\"\n", &["3:22 C0011"]);
    check("[rtp]\naddress = [\"127.0.0.1\", \"::1\"]\n", &[]);
    check("[rtp]\naddress = [\"127.0.0.1\", \"127.0.0.2\"]\n", &["3:11 C0011"]);
    check("[dns]\nservers = [\"127.0.0.1\", \"127.0.0.1:5353\", \"::1\", \"[::1]:53\"]\n", &[]);
    check("[dns]\nservers = [\"localhost\"]\n", &["3:13 C0011"]);
    check("[dns]\nservers = [\"127.0.0.1:0\"]\n", &["3:23 C0012"]);
    check("[trunk.a]\nto = \"127.0.0.3\"\n", &["3:6 C0011"]);
    check("[trunk.a]\nfrom = [\"127.0.0.2\", \"10.0.0.0/33\"]\n", &["3:32 C0011"]);
    let listen = |text: &str| findings(&format!("[sip]\nlisten = [\"{text}\"]\n"));
    assert_eq!(listen("udp:127.0.0.1:0"), ["2:26 C0012"]);
    assert_eq!(listen("udp:127.0.0.1"), ["2:16 C0011"]);
    assert_eq!(listen("sctp:127.0.0.1:5060"), ["2:12 C0011"]);
    assert_eq!(listen("tls:127.0.0.1:5061"), ["1:1 C0005"], "TLS needs a certificate");
    assert_eq!(listen("udp:localhost:5060"), ["2:16 C0011"]);
    assert_eq!(findings("[sip]\nlisten = [\"udp:0.0.0.0:5060\"]\n"), ["1:1 C0005"], "RTP needs an address");
}

#[test]
fn port_ranges() {
    check("[rtp]\nports = \"29999-20000\"\n", &["3:9 C0013"]);
    check("[rtp]\nports = \"20001-29999\"\n", &["3:10 C0013"]);
    check("[rtp]\nports = \"20000-99999\"\n", &["3:16 C0012"]);
    check("[rtp]\nports = \"20000\"\n", &["3:9 C0013"]);
    check("[rtp]\nports = \"20000-20001\"\n", &["3:9 C0013"]);
}

#[test]
fn numbers_that_two_want() {
    let text =
        format!("{CARD}[station.hall]\ncard = \"c\"\nport = 0\nnumber = \"201\"\n[phone.201]\npassword = \"x\"\n");
    // Phones are read first, so the station is told; both places are shown.
    check(&text, &["6:10 C0101"]);
    let shown = shown(&format!("{HEAD}{text}"));
    assert!(shown.contains("test.toml:6:10") && shown.contains("number = \"201\""), "{shown}");
    assert!(shown.contains("[phone.201]") && shown.contains("phone/201 has it"), "{shown}");
    check("[phone.201]\npassword = \"x\"\nnumber = \"two\"\n", &["4:10 C0020"]);
}

#[test]
fn cards_and_ports_of_cards() {
    let station = |name: &str, card: &str, port: &str| format!("[station.{name}]\ncard = \"{card}\"\nport = {port}\n");
    check(&format!("{CARD}{}", station("1", "d", "0")), &["4:8 C0102"]);
    check(&format!("{CARD}{}", station("1", "c", "256")), &["5:8 C0012"]);
    check(&format!("{CARD}{}", station("1", "c", "-1")), &["5:8 C0012"]);
    check(&format!("{CARD}{}{}", station("1", "c", "3"), station("2", "c", "3")), &["8:8 C0103"]);
    check(&format!("{CARD}{}[line.1]\ncard = \"c\"\nport = 3\n", station("1", "c", "3")), &["8:8 C0103"]);
    check("[card.c]\ndriver = \"vitrual\"\n", &["3:10 C0017"]);
    check("[card.c]\ndriver = \"dahdi\"\n", &["3:10 C0006"]);
    check("[card.c]\ndriver = \"virtual\"\ncrystal-ppm = 5000\n", &["4:15 C0012"]);
}

#[test]
fn choices_and_times() {
    check("[phone.201]\npassword = \"x\"\ndigest = [\"SHA256\"]\n", &["4:11 C0015"]);
    check(&format!("{CARD}[station.1]\ncard = \"c\"\nport = 0\ncountry = \"USA\"\n"), &["6:11 C0016"]);
    check("[trunk.a]\nfrom = \"127.0.0.1\"\ncodecs = [\"g722\"]\n", &["4:11 C0022"]);
    check("[dialling]\nfirst-digit = \"15 s\"\n", &["3:15 C0014"]);
    check("[dialling]\nfirst-digit = 15\n", &["3:15 C0014"]);
    check("[dialling]\nfirst-digit = \"2h\"\n", &["3:15 C0014"]);
    check("[rtp]\njitter-min = \"300ms\"\n", &["3:14 C0014"]);
    let handset = |text: &str| format!("{CARD}[station.1]\ncard = \"c\"\nport = 0\nhandset = {{ {text} }}\n");
    check(&handset("answers-after = \"soon\""), &["6:29 C0014"]);
    check(&handset("plays = { echo-after = \"1s\", tone-hz = 5 }"), &["6:21 C0021"]);
    check(&handset("plays = { tone-hz = 1004, level-dbm0 = 12.5 }"), &["6:52 C0012"]);
    check(&handset("hook = 1"), &["6:13 C0003"]);
}

#[test]
fn passwords() {
    check("[phone.201]\npassword = \"\"\n", &["3:12 C0104"]);
    check("[phone.201]\npassword = { file = \"no-such-file\" }\n", &["3:21 C0104"]);
    check("[phone.201]\npassword = { env = \"TIPRING_NO_SUCH_VARIABLE\" }\n", &["3:20 C0104"]);
    check("[phone.201]\npassword = { }\n", &["3:12 C0104"]);
}

#[test]
fn a_password_may_stand_in_a_file_beside_the_configuration() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("secret"), "x\n").expect("a file");
    let text = format!("{HEAD}[phone.201]\npassword = {{ file = \"secret\" }}\n");
    assert_eq!(check_file(directory.path(), &text, &[]).status.code(), Some(0));
}

/// A route called "a" with these lines, beginning at line 4 of the file.
fn route(lines: &str) -> String {
    format!("[[route]]\nname = \"a\"\n{lines}\n")
}

#[test]
fn routes_to_nowhere() {
    let trunk = "[trunk.voipfone]\nto = \"sip:192.0.2.1\"\n";
    let via = "match = \"2XX\"\nvia = [\"trunk/voipfone\", \"trunk/voipfon\"]";
    check(&format!("{}{trunk}", route(via)), &["5:26 D0103"]);
    check(&route("match = \"2XX\"\nto = \"station/1\""), &["5:6 D0103"]);
    check(&route("match = \"2XX\"\nto = \"phone/1\""), &["5:6 D0103"]);
    check(&route("match = \"2XX\"\nto = \"extension/7\""), &["5:6 D0103"]);
    check(&route("match = \"2XX\"\nto = \"service/fax\""), &["5:6 D0103"]);
    check(&route("match = \"2XX\"\nto = \"phome/1\""), &["5:7 D0103"]);
    check(&route("match = \"2XX\"\nto = \"nowhere\""), &["5:6 D0103"]);
    check(&route("match = \"2XX\""), &["2:1 D0110"]);
    check(&route("match = \"2XX\"\nto = \"service/echo\"\nvia = [\"service/echo\"]"), &["6:7 D0110"]);
    check(&route("match = \"2XX\"\nto = \"refuse/bussy\""), &["5:14 D0122"]);
    check(&route("match = \"2XX\"\nto = \"extension/{ext}\""), &["5:17 D0121"]);
    check(&route("match = \"2XX\"\nfrom = \"trunk/a\"\nto = \"service/echo\""), &["5:8 D0103"]);
    check(&route("match = \"2XX\"\nfrom = \"insde\"\nto = \"service/echo\""), &["5:8 D0105"]);
}

#[test]
fn patterns() {
    check(&route("match = \"2x\"\nto = \"service/echo\""), &["4:11 D0120"]);
    check(&route("match = [\"1\", \"2[5-3]\"]\nto = \"service/echo\""), &["4:18 D0120"]);
    // With an escape in it, columns inside the text are not known; the whole text is marked.
    check(&route("match = \"\\u0032x\"\nto = \"service/echo\""), &["4:9 D0120"]);
}

/// Two routes with these patterns, at lines 4 and 8 of the file.
fn two_routes(first: &str, second: &str) -> String {
    let first = route(&format!("match = \"{first}\"\nto = \"service/echo\""));
    format!("{first}[[route]]\nname = \"b\"\nmatch = \"{second}\"\nto = \"service/echo\"\n")
}

#[test]
fn rules_that_cross_or_are_never_reached() {
    check(&two_routes("12XX", "1XX2"), &["8:9 D0201"]);
    check(&two_routes("2XX", "2[0-9]X"), &["8:9 D0202"]);
    check(&two_routes("2XX", "21X"), &[]);
    check(&two_routes("12XX", "9").replace("\"b\"", "\"a\""), &["7:8 D0104"]);
    let shown = shown(&format!("{HEAD}{}", two_routes("12XX", "1XX2")));
    assert!(shown.contains("error[D0201]") && shown.contains("test.toml:8:9"), "{shown}");
    assert!(shown.contains("accepts 1202 too") && shown.contains("match = \"12XX\""), "{shown}");
}

#[test]
fn tables_and_routes_are_checked_in_one_go() {
    let text = format!("[phone.201]\npassword = 1\n{}", route("match = \"2x\"\nto = \"phone/201\""));
    check(&text, &["3:12 C0004", "6:11 D0120"]);
}

#[test]
fn outside_to_outside_must_be_meant() {
    let trunk = "[trunk.a]\nto = \"sip:192.0.2.1\"\n";
    let lines = "match = \"9.\"\nfrom = \"outside\"\nto = \"trunk/a\"";
    check(&format!("{}{trunk}", route(lines)), &["2:1 D0401"]);
    check(&format!("{}{trunk}", route(&format!("{lines}\ntransit = true"))), &[]);
}

#[test]
fn included_files_are_checked_too() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("more.toml"), "\n[phone.201]\npasword = \"x\"\n").expect("a file");
    let text = format!("include = [\"more.toml\", \"gone.toml\"]\n{HEAD}[phone.201]\npassword = \"x\"\n");
    let output = check_file(directory.path(), &text, &[]);
    let shown = String::from_utf8(output.stdout).expect("text");
    assert!(shown.contains("test.toml:1:25"), "a file that is gone: {shown}");
    assert!(shown.contains("more.toml:2:1") && shown.contains("error[C0106]"), "defined twice: {shown}");
    assert!(shown.contains("test.toml") && shown.contains("first here"), "both places: {shown}");
    assert!(shown.contains("more.toml:3:1") && shown.contains("did you mean \"password\"?"), "{shown}");
    assert_eq!(output.status.code(), Some(1));
}

const TWO: &str = "phone.201.password = \"x\"\nphone.202.password = \"x\"\n";

#[test]
fn groups_forwarding_and_redirects() {
    let good = "[group.a]\nmembers = [\"phone/201\", \"extension/202\"]\nring = \"in-order\"\nfor = \"10s\"\n";
    check(&format!("{TWO}{good}[[route]]\nname = \"a\"\nmatch = \"70\"\nto = \"group/a\"\n"), &[]);
    check(&format!("{TWO}[group.a]\nmembers = [\"phone/203\", \"201\"]\n"), &["5:12 D0103", "5:25 D0103"]);
    check(&format!("{TWO}[group.a]\nmembers = []\n"), &["5:11 C0007"]);
    check(&format!("{TWO}[group.a]\nring = \"all\"\n"), &["4:1 C0005"]);
    check(
        &format!("{TWO}[group.a]\nmembers = [\"phone/201\"]\nring = \"al\"\nfor = \"0s\"\n"),
        &["6:8 C0022", "7:7 C0014"],
    );
    check(&format!("{TWO}[[route]]\nname = \"a\"\nmatch = \"70\"\nto = \"group/b\"\n"), &["7:6 D0103"]);
    let forward = |table: &str| format!("phone.201 = {{ password = \"x\", forward = {table} }}\n");
    check(&forward("{ busy = \"202\", no-answer = \"203\", after = \"10s\" }"), &[]);
    check(&forward("{}"), &["2:41 C0023"]);
    check(&forward("{ busy = \"202\", after = \"10s\" }"), &["2:41 C0023"]);
    check(&forward("{ sometimes = \"202\" }"), &["2:41 C0023", "2:43 C0003"]);
    check("phone.201 = { password = \"x\", redirects = \"folow\" }\n", &["2:43 C0022"]);
    // A member outside makes a group a way out.
    let outside = "[trunk.t]\nfrom = [\"192.0.2.1\"]\n[group.a]\nmembers = [\"trunk/t/123\"]\n[[route]]\nname = \"a\"\nfrom = \"any\"\nmatch = \"70\"\nto = \"group/a\"\n";
    check(outside, &["6:1 D0401"]);
    check(&outside.replace("to = ", "transit = true\nto = "), &[]);
    let ring = |ring: &str| format!("{TWO}{good}[[route]]\nname = \"a\"\nmatch = \"2XX\"\nring = {ring}\n");
    let steps =
        "[{ all = [\"phone/201\", \"extension/{number}\"], for = \"5s\" }, { group = \"a\" }, { to = \"phone/202\" }]";
    check(&ring(steps), &[]);
    check(&ring("[]"), &["11:8 D0110"]);
    check(&ring("[{ for = \"5s\" }]"), &["11:9 D0110"]);
    check(&ring("[{ group = \"b\" }]"), &["11:19 D0103"]);
    check(&ring("[{ all = [\"phone/209\"] }]"), &["11:18 D0103"]);
    check(&ring("[{ to = \"voicemail/1\" }]"), &["11:17 D0006"]);
    check(&ring("[{ to = \"phone/201\", play = \"a.wav\" }]"), &["11:29 D0006"]);
    let many = |members: usize| vec!["\"phone/201\""; members].join(", ");
    check(&format!("{TWO}[group.a]\nmembers = [{}]\n", many(32)), &[]);
    check(&format!("{TWO}[group.a]\nmembers = [{}]\n", many(33)), &["5:11 C0024"]);
}

#[test]
fn a_finding_is_shown_with_its_line_and_a_hint() {
    let shown = shown(&format!("{HEAD}[log]\nlevle = \"info\"\n"));
    for part in [
        "error[C0003]: [log] has no key \"levle\"",
        "--> test.toml:3:1",
        "levle = \"info\"",
        "^^^^^",
        "did you mean \"level\"?",
        "test.toml: 1 error",
    ] {
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
}

#[test]
fn what_is_no_text_or_no_file_is_a_failure_with_a_place() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("latin.toml"), b"a = 1\nb = \"caf\xe9\"\n").expect("a file");
    let run = |file: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tipring"));
        let output = command.current_dir(directory.path()).args(["check", "-c", file]).output().expect("it runs");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).expect("text")
    };
    assert!(run("latin.toml").contains("latin.toml:2:9: this is no UTF-8"), "{}", run("latin.toml"));
    assert!(run("gone.toml").contains("cannot read gone.toml"));
}

#[test]
fn certificates_and_keys() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("a temporary file");
    write("certificate.pem", "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n");
    write("key.pem", "-----BEGIN EC PRIVATE KEY-----\nMA==\n-----END EC PRIVATE KEY-----\n");
    let check = |text: &str, expected: &[&str]| {
        let text = format!("sip.listen = [\"tls:127.0.0.1:5061\"]\n{text}");
        let output = check_file(directory.path(), &text, &["--json"]);
        let list: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let found = list
            .as_array()
            .expect("an array")
            .iter()
            .map(|f| format!("{}:{} {}", f["line"], f["column"], f["code"].as_str().expect("a code")));
        assert_eq!(found.collect::<Vec<_>>(), expected, "\n{text}");
    };
    let both = "sip.certificate = \"certificate.pem\"\nsip.key = \"key.pem\"\n";
    check(both, &[]);
    check("sip.certificate = \"certificate.pem\"\n", &["1:1 C0005"]);
    check("sip.certificate = \"none.pem\"\nsip.key = \"key.pem\"\n", &["2:19 C0104"]);
    check("sip.certificate = \"key.pem\"\nsip.key = \"key.pem\"\n", &["2:19 C0104"]);
    check("sip.certificate = \"certificate.pem\"\nsip.key = \"certificate.pem\"\n", &["3:11 C0104"]);
    check(&format!("{both}[tls]\nauthorities = \"certificate.pem\"\nclient-certificate = \"required\"\n"), &[]);
    check(&format!("{both}[tls]\nclient-certificate = \"maybe\"\n"), &["5:22 C0023"]);
    check(&format!("{both}[tls]\nauthorities = \"none.pem\"\n"), &["5:15 C0104"]);
    check(&format!("{both}[tls]\nauthority = \"certificate.pem\"\n"), &["5:1 C0003"]);
}

#[test]
fn accounts_and_who_is_let_in() {
    let phone = "[phone.201]\npassword = \"x\"\n";
    check(&format!("{phone}digest = [\"SHA-512-256\", \"SHA-256-sess\", \"MD5-sess\"]\nqop = \"none\"\n"), &[]);
    check(&format!("{phone}digest = [\"SHA-512\"]\n"), &["4:11 C0015"]);
    check(&format!("{phone}qop = \"auth-int\"\n"), &["4:7 C0022"]);
    check(&format!("{phone}qop = true\n"), &["4:7 C0004"]);
    check("sip.open = [\"OPTIONS\"]\n", &[]);
    check("sip.open = [\"INVITE\", \"MESSAGE\", \"SUBSCRIBE\"]\n", &[]);
    check("sip.open = [\"OPTIONS\", \"REGISTER\", \"BREW\"]\n", &["2:24 C0022", "2:36 C0022"]);
    let route = "[[route]]\nname = \"door\"\nmatch = \"600\"\nfrom = \"anybody\"\n";
    check(&format!("{route}to = \"service/echo\"\n"), &[]);
    check(&format!("{route}to = \"trunk/a\"\n[trunk.a]\nto = \"sip:192.0.2.1\"\n"), &["2:1 D0401"]);
    check("sip.open = \"options\"\n", &["2:12 C0022"]);
    check("[ban]\nfailures = 5\nwithin = \"1m\"\nlasts = \"1h\"\n", &[]);
    check("[ban]\nfailures = -1\nwithin = \"0s\"\nfor = \"1h\"\n", &["3:12 C0012", "4:10 C0014", "5:1 C0003"]);
    check("[limits]\nrefusals-per-second = 0\ncalls-per-second = 2000000\n", &["3:23 C0012", "4:20 C0012"]);
    check("[registrar]\nexpires-min = \"60s\"\nexpires-max = \"10m\"\n", &[]);
    check("[registrar]\nexpires-min = \"60s\"\nexpires-max = \"30s\"\n", &["2:1 C0014"]);
    check("[registrar]\nexpires = \"0s\"\n", &["3:11 C0014"]);
    check("[store]\n", &["2:1 C0005"]);
    check("[store]\npath = \"\"\n", &["3:8 C0022"]);
    check("[store]\npath = 5\n", &["3:8 C0004"]);
}

#[test]
fn calls_that_are_not_carried() {
    let phone = "[phone.201]\npassword = \"x\"\n";
    for way in ["carry", "proxy", "redirect"] {
        check(&format!("{phone}calls = \"{way}\"\n"), &[]);
    }
    check(&format!("{phone}calls = \"drop\"\n"), &["4:9 C0022"]);
    check(&format!("{phone}calls = true\n"), &["4:9 C0004"]);
    let domain = "[domain.\"other.example\"]\n";
    check(&format!("{domain}to = \"sip:192.0.2.9\"\ncalls = \"proxy\"\n"), &[]);
    check(&format!("{domain}to = \"sip:192.0.2.9\"\ncalls = \"carry\"\n"), &["4:9 C0022"]);
    check(&format!("{domain}to = \"sip:192.0.2.9\"\n"), &["2:1 C0005"]);
    check(&format!("{domain}calls = \"proxy\"\n"), &["2:1 C0005"]);
    check(&format!("{domain}to = \"sip:proxy.example\"\ncalls = \"redirect\"\n"), &[]);
    check(&format!("{domain}to = \"sips:proxy.example\"\ncalls = \"proxy\"\n"), &["3:6 C0107"]);
    check("sip.fail-over-after = \"2s\"\n", &[]);
    check("sip.fail-over-after = \"100ms\"\n", &["2:23 C0014"]);
    check("sip.fail-over-after = 5\n", &["2:23 C0014"]);
    check("[domain.\"a b\"]\nto = \"sip:192.0.2.9\"\ncalls = \"proxy\"\n", &["2:9 C0018"]);
}

#[test]
fn trunks_that_are_logged_in_at() {
    let trunk = "[trunk.a]\nto = \"sip:192.0.2.1\"\n";
    let good = "register = true\nexpires = \"10m\"\nusername = \"u\"\npassword = \"p\"\nrealm = \"r\"\n\
                domain = \"example.com\"\noutbound-proxy = \"sip:192.0.2.2\"\n";
    check(&format!("{trunk}{good}"), &[]);
    check(&format!("{trunk}username = \"u\"\n"), &["4:12 C0005"]);
    check(&format!("{trunk}password = \"p\"\n"), &["4:12 C0005"]);
    check(&format!("{trunk}register = true\n"), &["4:12 C0005"]);
    check(&format!("{trunk}register = 1\n"), &["4:12 C0004"]);
    check(&format!("{trunk}expires = \"10m\"\n"), &["4:11 C0022"]);
    check(&format!("{trunk}register = true\nusername = \"u\"\npassword = \"p\"\nexpires = \"5s\"\n"), &["7:11 C0014"]);
    check("[trunk.a]\nfrom = \"192.0.2.1\"\nregister = true\nusername = \"u\"\npassword = \"p\"\n", &["4:12 C0005"]);
    check(&format!("{trunk}outbound-proxy = \"192.0.2.2\"\n"), &["4:18 C0011"]);
    check(&format!("{trunk}outbound-proxy = \"sip:192.0.2.2;transport=tcp\"\n"), &["4:18 C0107"]);
    check(&format!("{trunk}outbound-proxy = \"sips:proxy.example\"\n"), &["4:18 C0107"]);
    check(&format!("{trunk}domain = \"a b\"\n"), &["4:10 C0011"]);
}

#[test]
fn a_table_between_causes_and_statuses() {
    let with = |key: &str| format!("[isup.a]\ntransport = \"simulated\"\n{key}\n");
    check(&with("interworking = \"q1912.5\"\noverrides = [\"cause 41 -> 500\", \"status 480 -> 20\"]"), &[]);
    check(&with("interworking = \"rfc3399\""), &["4:16 C0022"]);
    check(&with("overrides = [\"cause 128 -> 500\", \"cause 1 -> 200\"]"), &["4:14 C0025", "4:34 C0025"]);
    check(&with("overrides = [\"status 480 -> 0\", \"480 -> 1\"]"), &["4:14 C0025", "4:33 C0025"]);
    check(&with("overrides = [\"cause 1 -> 500\", \"cause 1 -> 404\"]"), &["4:32 C0106"]);
    check("[trunk.a]\nfrom = \"127.0.0.1\"\noverrides = [\"cause 1 => 404\"]\n", &["4:14 C0025"]);
    assert!(shown(&format!("{HEAD}{}", with("overrides = [\"41 500\"]"))).contains("\"cause 41 -> 500\""));
}

#[test]
fn failover_names_failures_and_a_time() {
    check("[failover]\nagain = [\"busy\", \"timeout\"]\nnever = [\"trunk-down\"]\nanswer-within = \"6s\"\n", &[]);
    check("[failover]\nagain = [\"bussy\"]\n", &["3:10 C0022"]);
    check("[failover]\nagain = \"busy\"\n", &["3:9 C0004"]);
    check("[failover]\nagain = []\n", &["3:9 C0007"]);
    check("[failover]\nagain = [\"busy\", \"busy\"]\n", &["3:18 C0106"]);
    check("[failover]\nagain = [\"busy\"]\nnever = [\"timeout\", \"busy\"]\n", &["4:21 C0106"]);
    check("[failover]\nanswer-within = 6\n", &["3:17 C0014"]);
    check("[failover]\nanswer-within = \"500ms\"\n", &["3:17 C0014"]);
    check("[failover]\nwithin = \"6s\"\n", &["3:1 C0003"]);
}

#[test]
fn circuit_groups() {
    let simulated = |line: &str| format!("[isup.a]\ntransport = \"simulated\"\n{line}\n");
    let m3ua = |name: &str, lines: &str| {
        format!(
            "[isup.{name}]\ntransport = \"m3ua\"\nown-point-code = 2\npeer-point-code = 1\n{lines}\n\
             m3ua = {{ peers = \"192.0.2.1:2905\" }}\n"
        )
    };
    check(&simulated(""), &[]);
    check("[isup.a]\n", &["2:1 C0005"]);
    check("[isup.a]\ntransport = \"sigtran\"\ncircuits = \"1\"\n", &["3:13 C0022"]);
    check("[isup.a]\ntransport = \"m3ua\"\n", &["2:1 C0005", "2:1 C0005", "2:1 C0005", "2:1 C0005"]);
    check(&simulated("circuits = \"1-3,x\""), &["4:17 C0026"]);
    check(&simulated("circuits = \"3-1\""), &["4:13 C0026"]);
    check(&simulated("circuits = \"\""), &["4:12 C0026"]);
    check(&simulated("circuits = \"4095\""), &[]);
    check(&simulated("circuits = \"1,4096\""), &["4:15 C0026"]);
    check(&simulated("variant = \"ansi\"\ncircuits = \"16383\""), &[]);
    check(&simulated("variant = \"ansi\"\ncircuits = \"16384\""), &["5:13 C0026"]);
    check(&simulated("variant = \"ansi\"\ncircuits = \"0-4096\""), &["5:12 C0026"]);
    check(&simulated("circuits = \"1-9,5\""), &["4:17 C0106"]);
    check(&simulated("variant = \"etsi\""), &["4:11 C0022"]);
    check(&simulated("selection = \"random\""), &["4:13 C0022"]);
    check(&simulated("control = \"both\""), &["4:11 C0022"]);
    check(&simulated("location = \"here\""), &["4:12 C0022"]);
    check(&simulated("suspend = \"show\""), &["4:11 C0022"]);
    check(&simulated("own-point-code = 16384"), &["4:18 C0012"]);
    check(&simulated("own-point-code = \"7-256-1\""), &["4:18 C0027"]);
    check(&simulated("variant = \"ansi\"\nown-point-code = \"1-2\""), &["5:18 C0027"]);
    check(&simulated("country-code = \"+44\""), &["4:16 C0029"]);
    check(&simulated("timers = { t7 = \"25s\" }"), &[]);
    check(&simulated("timers = { t7 = \"5s\" }"), &["4:17 C0028"]);
    check(&simulated("timers = { t7 = \"5s\", meant = [\"t7\"] }"), &[]);
    check(&simulated("timers = { t36 = \"5s\" }"), &["4:12 C0003"]);
    check(&simulated("timers = { t7 = 5 }"), &["4:17 C0014"]);
    check(&simulated("timers = { t7 = \"5s\", meant = [\"t77\"] }"), &["4:32 C0022"]);
    // The same circuits to another exchange are others.
    check(&format!("{}{}", m3ua("a", "circuits = \"1-9\""), m3ua("b", "circuits = \"10\"")), &[]);
    check(&format!("{}{}", m3ua("a", "circuits = \"1-9\""), m3ua("b", "circuits = \"9-12\"")), &["8:1 C0108"]);
    let shown = shown(&format!("{HEAD}{}", simulated("timers = { t7 = \"5s\" }")));
    assert!(shown.contains("Q.764 has 20s to 30s") && shown.contains("meant = [\"t7\"]"), "{shown}");
}

#[test]
fn m3ua_of_a_circuit_group() {
    let with = |keys: &str| {
        format!(
            "[isup.a]\ntransport = \"m3ua\"\nown-point-code = 2\npeer-point-code = 1\ncircuits = \"1-30\"\n\
             m3ua = {{ {keys} }}\n"
        )
    };
    let peer = "peers = \"192.0.2.1:2905\"";
    check(&with(peer), &[]);
    check(&with("peers = [\"192.0.2.1:2905\", \"[2001:db8::1]:2905\"], role = \"ipsp\""), &[]);
    let all = "routing-context = 7, traffic-mode = \"loadshare\", network-indicator = 0, network-appearance = 1, \
               asp-identifier = 9, ack-time = \"1s\", recovery-time = \"5s\", heartbeat = \"30s\", \
               transport-protocol = \"tcp\", local = \"192.0.2.9\"";
    check(&with(&format!("{peer}, {all}")), &[]);
    let from = "from = [\"192.0.2.1\", \"2001:db8::/32\"]";
    check(&with(&format!("role = \"sgp\", listen = \"192.0.2.9:2905\", {from}")), &[]);
    check(&with(&format!("role = \"ipsp\", listen = [\"192.0.2.9:2905\", \"192.0.2.9:2906\"], {from}")), &[]);
    check(&with("role = \"sgp\", listen = \"192.0.2.9:2905\""), &["7:8 C0005"]);
    check(&with("role = \"sgp\", listen = \"192.0.2.9:2905\", from = \"192.0.2.1/33\""), &["7:69 C0011"]);
    check(&with(&format!("{from}, {peer}")), &["7:17 C0107"]);
    // Who calls and who is called.
    check(&with(""), &["7:8 C0005"]);
    check(&with("role = \"sgp\""), &["7:8 C0005"]);
    check(&with("role = \"ipsp\""), &["7:8 C0005"]);
    check(&with(&format!("{peer}, role = \"sgp\", listen = \"192.0.2.9:2905\"")), &["7:18 C0107"]);
    check(&with(&format!("{peer}, role = \"ipsp\", listen = \"192.0.2.9:2905\"")), &["7:18 C0107"]);
    check(&with("listen = \"192.0.2.9:2905\", peers = \"192.0.2.1:2905\""), &["7:19 C0107"]);
    // Each value.
    check(&with(&format!("role = \"stp\", {peer}")), &["7:17 C0022"]);
    check(&with(&format!("transport-protocol = \"udp\", {peer}")), &["7:31 C0022"]);
    check(&with(&format!("traffic-mode = \"share\", {peer}")), &["7:25 C0022"]);
    check(&with(&format!("routing-context = -1, {peer}")), &["7:28 C0012"]);
    check(&with(&format!("routing-context = 4294967296, {peer}")), &["7:28 C0012"]);
    check(&with(&format!("routing-context = \"7\", {peer}")), &["7:28 C0004"]);
    check(&with(&format!("network-indicator = 4, {peer}")), &["7:30 C0012"]);
    check(&with(&format!("network-appearance = 4294967296, {peer}")), &["7:31 C0012"]);
    check(&with(&format!("asp-identifier = 4294967296, {peer}")), &["7:27 C0012"]);
    check(&with(&format!("ack-time = \"99ms\", {peer}")), &["7:21 C0014"]);
    check(&with(&format!("recovery-time = \"61s\", {peer}")), &["7:26 C0014"]);
    check(&with(&format!("heartbeat = 5, {peer}")), &["7:22 C0014"]);
    check(&with("peers = \"stp.example:2905\""), &["7:19 C0011"]);
    check(&with("peers = \"192.0.2.1\""), &["7:19 C0011"]);
    check(&with("peers = [\"192.0.2.1:2905\", \"192.0.2.1:2905\"]"), &["7:37 C0106"]);
    check(&with("peers = []"), &["7:18 C0007"]);
    let many: Vec<String> = (1..=9).map(|n| format!("\"192.0.2.{n}:2905\"")).collect();
    check(&with(&format!("peers = [{}]", many[..8].join(", "))), &[]);
    check(&with(&format!("peers = [{}]", many.join(", "))), &["7:18 C0024"]);
    check(&with(&format!("rout-context = 7, {peer}")), &["7:10 C0003"]);
    // Where we call from.
    check(&with(&format!("local = \"192.0.2.9:2905\", {peer}")), &[]);
    check(&with(&format!("local = \"2001:db8::9\", {peer}")), &["7:18 C0107"]);
    let two = "peers = [\"192.0.2.1:2905\", \"192.0.2.2:2905\"]";
    check(&with(&format!("local = \"192.0.2.9:2905\", {two}")), &["7:18 C0107"]);
    check(&with(&format!("local = \"192.0.2.9\", {two}")), &[]);
    check(
        &with(&format!("local = \"192.0.2.9\", role = \"sgp\", listen = \"192.0.2.9:2905\", {from}")),
        &["7:18 C0107"],
    );
    check("[isup.a]\ntransport = \"simulated\"\nm3ua = { peers = \"192.0.2.1:2905\" }\n", &["4:8 C0107"]);
    check("[isup.a]\ntransport = \"simulated\"\nm3ua = 5\n", &["4:8 C0107"]);
    let shown = shown(&format!("{HEAD}{}", with("role = \"asp\"")));
    assert!(shown.contains("peers = [\"192.0.2.1:2905\"]"), "{shown}");
}
