//! SIPp calls the numbers of the simulated switch on the running gateway: every cause before and after answer,
//! 8000 and 8301 to 8309; and telephone 105 hears the tone of 8000.

use super::gateway::Gateway;
use super::sipp::CALLER;
use super::{signal, turn};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// RFC 3398 7.2.4.1 by hand, as in `tests/isup/numbers.rs`: causes of each status; 480 for 16, 500 for the rest.
const STATUS_OF_CAUSES: &[(u16, &[u8])] = &[
    (403, &[21, 55, 57, 87]),
    (404, &[1, 2, 3, 26]),
    (408, &[18]),
    (410, &[22, 23]),
    (480, &[16, 19, 20, 31]),
    (484, &[28]),
    (486, &[17]),
    (488, &[65, 70]),
    (501, &[29, 79]),
    (502, &[27]),
    (503, &[34, 38, 41, 42, 47, 58, 88]),
    (504, &[102]),
];

/// SIPp that calls each of some numbers once; the other side's messages must come as the story says.
struct Calls {
    child: Child,
    name: String,
    directory: std::path::PathBuf,
}

impl Calls {
    /// `story`: statuses in order, then `BYE` of the gateway, or `bye` of ours after a second. 180 may come
    /// besides where `rings` is set. `rate`: calls a second.
    fn start(gateway: &Gateway, name: &str, numbers: &[String], story: &[&str], rings: bool, rate: u32) -> Calls {
        let directory = gateway.directory.clone();
        let file = |ending: &str| directory.join(format!("{name}.{ending}"));
        std::fs::write(file("xml"), scenario(story, rings)).expect("a file");
        let mut csv = String::from("SEQUENTIAL\n");
        numbers.iter().for_each(|number| csv.push_str(&format!("{number};\n")));
        std::fs::write(file("csv"), csv).expect("a file");
        let child = Command::new("sipp")
            .current_dir(&directory)
            .arg("-sf")
            .arg(file("xml"))
            .arg("-inf")
            .arg(file("csv"))
            .args(["-i", CALLER, "-mi", CALLER, "-nostdin", "-t", "u1", "-m", &numbers.len().to_string()])
            .args(["-r", &rate.to_string(), "-recv_timeout", "45000", "-timeout", "120s", "-timeout_error"])
            // Those that run side by side have media ports of their own.
            .args(["-mp", &super::gateway::free_port(CALLER).to_string()])
            .args(["-trace_err", "-error_file"])
            .arg(file("err"))
            .args(["-trace_logs", "-log_file"])
            .arg(file("log"))
            .arg(gateway.sip.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sipp runs");
        Calls { child, name: name.to_owned(), directory }
    }

    /// Waits for the end; the cause of Reason for each number.
    fn finish(mut self) -> BTreeMap<String, String> {
        let status = self.child.wait().expect("sipp ran");
        let read = |ending: &str| {
            std::fs::read_to_string(self.directory.join(format!("{}.{ending}", self.name))).unwrap_or_default()
        };
        assert!(status.success(), "{}: {status}\n{}", self.name, read("err"));
        let pair = |line: &str| {
            let (number, cause) = line.split_once(" has ")?;
            Some((number.trim().to_owned(), cause.trim().to_owned()))
        };
        read("log").lines().filter_map(pair).collect()
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        let _ = self.child.kill(); // already ended after `finish`
        let _ = self.child.wait();
    }
}

const HEAD: &str = r#"Max-Forwards: 70
From: "SIPp" <sip:sipp@[local_ip]:[local_port]>;tag=[pid]-[call_number]
To: <sip:[field0]@[remote_ip]:[remote_port]>PEER
Call-ID: [call_id]
CSeq: NUMBER METHOD
Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>
"#;

const SDP: &str = r#"Content-Type: application/sdp
Content-Length: [len]

v=0
o=sipp 1 1 IN IP[media_ip_type] [media_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
"#;

const NO_BODY: &str = "Content-Length: 0\n\n";

/// A SIPp scenario that invites and expects this.
fn scenario(story: &[&str], rings: bool) -> String {
    let head = |method: &str, number: &str, peer: &str| {
        HEAD.replace("METHOD", method).replace("NUMBER", number).replace("PEER", peer)
    };
    let send = |text: String| format!("<send>\n<![CDATA[\n{text}\n]]>\n</send>\n");
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<scenario name=\"switch\">\n");
    let via = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=z9hG4bK-[pid]-[call_number]-";
    let invite =
        format!("INVITE sip:[field0]@[remote_ip]:[remote_port] SIP/2.0\n{via}invite\n{}{SDP}", head("INVITE", "1", ""));
    xml.push_str(&send(invite).replace("<send>", "<send retrans=\"500\">"));
    xml.push_str("<recv response=\"100\" optional=\"true\"/>\n");
    if rings {
        xml.push_str("<recv response=\"180\" optional=\"true\"/>\n<recv response=\"183\" optional=\"true\"/>\n");
    }
    let reason = "<action><ereg regexp=\"cause=([0-9]+)\" search_in=\"hdr\" header=\"Reason:\" check_it=\"true\" \
                  assign_to=\"whole,cause\"/><log message=\"[field0] has [$cause]\"/></action>";
    let mut has_reason = false;
    for word in story {
        match word.parse::<u16>() {
            Ok(status @ 300..) => {
                let _ = writeln!(xml, "<recv response=\"{status}\">{reason}</recv>");
                has_reason = true;
                let ack = format!(
                    "ACK sip:[field0]@[remote_ip]:[remote_port] SIP/2.0\n{via}invite\n{}{NO_BODY}",
                    head("ACK", "1", "[peer_tag_param]")
                );
                xml.push_str(&send(ack));
            }
            Ok(200) => {
                xml.push_str("<recv response=\"200\" rrs=\"true\"/>\n");
                let ack =
                    format!("ACK [next_url] SIP/2.0\n{via}ack\n{}{NO_BODY}", head("ACK", "1", "[peer_tag_param]"));
                xml.push_str(&send(ack));
            }
            Ok(status) => {
                let _ = writeln!(xml, "<recv response=\"{status}\"/>");
            }
            Err(_) if *word == "BYE" => {
                let _ = writeln!(xml, "<recv request=\"BYE\">{reason}</recv>");
                has_reason = true;
                let fields = "[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]\n";
                xml.push_str(&send(format!("SIP/2.0 200 OK\n{fields}{NO_BODY}")));
            }
            Err(_) => {
                xml.push_str("<pause milliseconds=\"1000\"/>\n");
                let bye =
                    format!("BYE [next_url] SIP/2.0\n{via}bye\n{}{NO_BODY}", head("BYE", "2", "[peer_tag_param]"));
                xml.push_str(&send(bye).replace("<send>", "<send retrans=\"500\">"));
                xml.push_str("<recv response=\"200\"/>\n");
            }
        }
    }
    if has_reason {
        xml.push_str("<Reference variables=\"whole\"/>\n");
    }
    xml.push_str("</scenario>\n");
    xml
}

fn numbers(prefix: &str, causes: &[u8]) -> Vec<String> {
    causes.iter().map(|cause| format!("{prefix}{cause:03}")).collect()
}

/// The cause of Reason is that of the number, for each of them.
#[track_caller]
fn check_causes(found: &BTreeMap<String, String>, prefix: &str, causes: &[u8]) {
    assert_eq!(found.len(), causes.len(), "{found:?}");
    for cause in causes {
        assert_eq!(found.get(&format!("{prefix}{cause:03}")), Some(&cause.to_string()), "{found:?}");
    }
}

#[test]
fn every_cause_before_answer_gives_its_status_and_reason() {
    let _turn = turn();
    let gateway = Gateway::start("switch-causes");
    let listed: Vec<u8> = STATUS_OF_CAUSES.iter().flat_map(|(_, causes)| causes.to_vec()).collect();
    let rest: Vec<u8> = (1..=127).filter(|cause| !listed.contains(cause)).collect();
    let mut all: Vec<(u16, &[u8])> = STATUS_OF_CAUSES.to_vec();
    all.push((500, &rest));
    for (status, causes) in all {
        let story = [&*status.to_string()];
        let calls = Calls::start(&gateway, &format!("before-{status}"), &numbers("80", causes), &story, false, 50);
        check_causes(&calls.finish(), "80", causes);
    }
    gateway.wait_until_idle(Duration::from_secs(10));
    assert!(gateway.stop().success());
}

#[test]
fn every_cause_after_answer_ends_the_call_with_its_reason() {
    let _turn = turn();
    let gateway = Gateway::start("switch-after-answer");
    let causes: Vec<u8> = (1..=127).collect();
    // Each has one of thirty circuits for two seconds.
    let calls = Calls::start(&gateway, "after", &numbers("82", &causes), &["200", "BYE"], true, 12);
    check_causes(&calls.finish(), "82", &causes);
    gateway.wait_until_idle(Duration::from_secs(10));
    assert!(gateway.stop().success());
}

#[test]
fn numbers_8000_and_8301_to_8309_behave_as_promised() {
    let _turn = turn();
    let gateway = Gateway::start("switch-numbers");
    // Number, what must come, whether it may ring besides, cause of the end.
    let promises: [(&str, &[&str], bool, &str); 11] = [
        ("8000", &["180", "200", "BYE"], false, "16"),
        ("8301", &["183", "404"], false, "1"),
        ("8302", &["200", "BYE"], false, "16"),
        ("8303", &["180", "480"], false, "19"),
        ("8304", &["504"], false, "102"),
        ("8305", &["200", "BYE"], true, "16"),
        ("8306", &["183", "180", "200", "BYE"], false, "16"),
        ("8307", &["183", "181", "200", "BYE"], false, "16"),
        ("8308", &["484"], false, "28"),
        ("83081234567890", &["180", "200", "bye"], false, ""),
        ("8309", &["180", "200", "BYE"], false, "16"),
    ];
    let running: Vec<_> = promises
        .iter()
        .map(|(number, story, rings, cause)| {
            (Calls::start(&gateway, number, &[(*number).to_owned()], story, *rings, 1), *number, *cause)
        })
        .collect();
    for (calls, number, cause) in running {
        let found = calls.finish();
        assert_eq!(found.get(number).map_or("", String::as_str), cause, "{number}");
    }
    gateway.wait_until_idle(Duration::from_secs(10));
    assert!(gateway.stop().success());
}

#[test]
fn telephone_105_hears_the_tone_of_the_switch() {
    let _turn = turn();
    let gateway = Gateway::start("switch-heard");
    let hand = |arguments: &[&str]| gateway.command(&[&["handset", "station/105"], arguments].concat());
    hand(&["off-hook"]);
    std::thread::sleep(Duration::from_millis(500));
    hand(&["dial", "8000"]);
    // It dials, the switch answers a second later, and the ringback is over.
    std::thread::sleep(Duration::from_secs(6));
    let file = gateway.directory.join("heard-by-105.wav");
    hand(&["listen", "2", file.to_str().expect("text")]);
    let heard = signal::read_wav(&file);
    let found = signal::frequency(&heard, 900.0, 1_100.0);
    let level = signal::tone_dbm0(&heard, found);
    println!("105 hears {found:.1} Hz at {level:.1} dBm0");
    assert!((found - 1_004.0).abs() < 1.0 && (level + 10.0).abs() < 1.5, "{found} Hz at {level} dBm0");
    hand(&["on-hook"]);
    gateway.wait_until_idle(Duration::from_secs(10));
    assert!(gateway.stop().success());
}
