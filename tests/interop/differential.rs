//! What tshark reads in our messages is what we meant.
//!
//! A busy hour of the simulated exchange becomes a pcapng file; tshark takes it apart by its own rules,
//! and field by field it must have seen what our own parser sees: method and status, Call-ID, CSeq,
//! tags, branches, addresses, and the media lines of the descriptions.

use super::{directory, turn};
use std::path::Path;
use std::process::Command;
use tipring::config::Config;
use tipring::sdp::Description;
use tipring::simulator::network::{Faults, Millionths};
use tipring::simulator::peers::Habits;
use tipring::simulator::player::phone_settings;
use tipring::simulator::recording;
use tipring::simulator::world::{World, WorldSettings};
use tipring::sip::parser::{Start, parse, split_list};
use tipring::sip::{HeaderName, Transport, Via};
use tipring::time::Duration;

/// Fields of tshark, and ours in the same order by [`ours`].
const FIELDS: [&str; 15] = [
    "sip.Method",
    "sip.r-uri",
    "sip.Status-Code",
    "sip.Call-ID",
    "sip.CSeq.seq",
    "sip.CSeq.method",
    "sip.from.addr",
    "sip.from.tag",
    "sip.to.addr",
    "sip.to.tag",
    "sip.Via.branch",
    "sip.Via.transport",
    "sip.contact.uri",
    "sdp.media",
    "sdp.connection_info.address",
];

/// Calls between telephones on UDP and TCP and the lines of the demo exchange, recorded.
fn busy_hour() -> World {
    let config = Config::demo();
    let signalling = Faults { loss: Millionths(30_000), delay: Duration::from_millis(5), ..Faults::default() };
    let settings = WorldSettings { signalling, records: true, ..WorldSettings::new(config.clone(), 7) };
    let mut world = World::new(settings);
    let mut phones = Vec::new();
    for (index, name) in ["201", "202", "203", "204", "peer"].iter().enumerate() {
        let account = config.phones.iter().find(|phone| phone.name == *name);
        let user = if account.is_some() { name } else { "peer-1" };
        let address = ([127, 0, 3, 1 + index as u8], 5_060).into();
        let mut settings = phone_settings(&config, user, address, account.map(|a| a.password.0.clone()));
        settings.transport = if index % 2 == 0 { Transport::Udp } else { Transport::Tcp };
        settings.habits = Habits {
            answers_after: Some(Duration::from_millis(700)),
            hangs_up_after: Some(Duration::from_millis(900 + 300 * index as u64)),
            gives_up_after: Some(Duration::from_millis(2_500)),
            ..Habits::default()
        };
        phones.push(world.add_phone(settings));
    }
    for phone in &phones {
        world.at_phone(*phone, |phone, now, sent| phone.register(now, true, sent));
    }
    world.run_for(Duration::from_secs(5));
    // Phones log in ahead after their first challenge, so it takes some calls for as many messages.
    for round in 0..14 {
        for (index, phone) in phones.iter().enumerate() {
            let numbers = ["600", "101", "105", "106", "199", "201", "202", "203", "204"];
            let number = numbers[(3 * round + 2 * index) % numbers.len()];
            world.at_phone(*phone, |phone, now, sent| phone.call(now, number, sent));
            world.run_for(Duration::from_millis(800));
        }
        world.run_for(Duration::from_secs(5));
    }
    world.run_for(Duration::from_secs(40));
    world
}

/// The UDP payloads of a pcapng file of ours, with their numbers as tshark counts them. TCP is left to
/// the other half of the test: tshark puts its messages together itself.
fn payloads(file: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let mut found = Vec::new();
    let (mut rest, mut number) = (file, 0);
    while let Some((head, _)) = rest.split_first_chunk::<8>() {
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
        let (kind, length) = (word(0), word(4));
        let block = &rest[..length];
        rest = &rest[length..];
        if kind != 6 {
            continue;
        }
        number += 1;
        let captured = u32::from_le_bytes(block[20..24].try_into().expect("four bytes")) as usize;
        let packet = &block[28..28 + captured];
        let header = usize::from(packet[0] & 15) * 4;
        match packet[9] {
            17 => found.push((number, packet[header + 8..].to_vec())),
            6 => found.push((number, packet[header + 20..].to_vec())),
            other => panic!("protocol {other}"),
        }
    }
    found
}

/// What our parser reads in a message, one text for each of [`FIELDS`].
fn ours(bytes: &[u8]) -> Option<Vec<String>> {
    let message = parse(bytes).ok()?;
    let (method, uri, status) = match &message.start {
        Start::Request { method, uri } => (method.to_string(), uri.to_string(), String::new()),
        Start::Response(status) => (String::new(), String::new(), status.to_string()),
    };
    let vias: Vec<Via> = message
        .lines
        .all(&HeaderName::Via)
        .flat_map(split_list)
        .map(|via| Via::parse(via).expect("well-formed"))
        .collect();
    let list = |items: Vec<String>| items.join("|");
    let branches = vias.iter().filter_map(|via| via.params.get("branch").map(str::to_owned)).collect();
    let transports = vias.iter().map(|via| via.transport.clone()).collect();
    let request = message.to_request().map(|r| r.headers).or(message.to_response().map(|r| r.headers))?;
    let contacts = request
        .all(&HeaderName::Contact)
        .flat_map(|value| tipring::sip::NameAddr::parse_list(value).expect("well-formed"))
        .map(|contact| contact.uri.to_string())
        .collect();
    let description = (!message.lines.body.is_empty()).then(|| Description::parse(message.lines.body).expect("SDP"));
    let media = description.iter().flat_map(|d| &d.media).map(|m| {
        let formats: Vec<String> = m.payload_types().map(|p| p.value().to_string()).collect();
        format!("{} {} RTP/AVP {}", m.kind, m.port, formats.join(" "))
    });
    // tshark lists the session's line and those of media; we have one or the other.
    let connection = description.iter().flat_map(|d| d.media.iter().map(|m| d.connection(m)));
    let connection = connection.map(|ip| ip.map(|ip| ip.to_string()).unwrap_or_default());
    Some(vec![
        method,
        uri,
        status,
        message.call_id.to_owned(),
        message.cseq.number.to_string(),
        message.cseq.method.to_string(),
        message.from.uri.to_string(),
        message.from.tag().unwrap_or("").to_owned(),
        message.to.uri.to_string(),
        message.to.tag().unwrap_or("").to_owned(),
        list(branches),
        list(transports),
        list(contacts),
        list(media.collect()),
        list(connection.collect()),
    ])
}

/// What tshark reads: number of the packet and the texts of [`FIELDS`].
fn theirs(file: &Path) -> Vec<(usize, Vec<String>)> {
    let mut command = Command::new("tshark");
    command.arg("-n").arg("-r").arg(file).args([
        "-Y",
        "sip",
        "-T",
        "fields",
        "-E",
        "separator=/t",
        "-E",
        "aggregator=|",
    ]);
    command.args(["-e", "frame.number"]);
    for field in FIELDS {
        command.args(["-e", field]);
    }
    let output = command.output().expect("tshark runs");
    assert!(output.status.success(), "tshark: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines()
        .map(|line| {
            let mut fields = line.split('\t').map(str::to_owned);
            let number = fields.next().and_then(|n| n.parse().ok()).expect("a number");
            (number, fields.collect())
        })
        .collect()
}

#[test]
fn tshark_reads_what_was_meant() {
    let _turn = turn();
    let directory = directory("differential");
    let world = busy_hour();
    let (_, bytes) = recording::files(&world).into_iter().next().expect("packets");
    let file = directory.join("packets.pcapng");
    std::fs::write(&file, &bytes).expect("written");

    let payloads = payloads(&bytes);
    let mut compared = 0;
    let mut wrong = Vec::new();
    for (number, theirs) in theirs(&file) {
        let (_, payload) = payloads.iter().find(|(n, _)| *n == number).expect("the same packets");
        let Some(ours) = ours(payload) else {
            wrong.push(format!("packet {number}: tshark sees SIP, our parser does not"));
            continue;
        };
        compared += 1;
        for (index, field) in FIELDS.iter().enumerate() {
            let (a, b) = (&ours[index], theirs.get(index).map_or("", String::as_str));
            if a != b {
                wrong.push(format!("packet {number}, {field}: we meant {a:?}, tshark reads {b:?}"));
            }
        }
    }
    let sip = payloads.iter().filter(|(_, payload)| ours(payload).is_some()).count();
    println!("{compared} messages compared");
    assert_eq!(compared, sip, "tshark sees every message as SIP");
    assert!(compared > 400, "only {compared} messages");
    wrong.truncate(40);
    assert!(wrong.is_empty(), "{wrong:#?}");
    let malformed = Command::new("tshark").arg("-n").arg("-r").arg(&file).args(["-Y", "_ws.malformed"]).output();
    assert!(malformed.expect("tshark runs").stdout.is_empty(), "malformed packets in {}", file.display());
}
