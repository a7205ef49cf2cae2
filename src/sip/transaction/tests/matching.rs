//! Which transaction a message belongs to: RFC 3261 17.1.3, 17.2.3, 8.2.2.2.

use super::*;

fn message(method: &str, via: &str, to_tag: &str, uri: &str) -> Vec<u8> {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: {via}\r\nFrom: <sip:b@h>;tag=f\r\nTo: <sip:a@h>{to_tag}\r\nCall-ID: c\r\nCSeq: 7 {method}\r\n\r\n"
    )
    .into_bytes()
}

fn add(table: &mut Table, bytes: &[u8]) -> ServerId {
    let flow = Flow {
        transport: Transport::Udp,
        local: "127.0.0.1:5060".parse().unwrap(),
        remote: "127.0.0.2:5060".parse().unwrap(),
        connection: None,
    };
    let message = crate::sip::parser::parse(bytes).unwrap();
    let request = message.to_request().unwrap();
    table.add_server(at(0), &TIMERS, flow, &message, request, "ours".to_owned())
}

fn find(table: &Table, bytes: &[u8]) -> Option<ServerId> {
    let message = crate::sip::parser::parse(bytes).unwrap();
    table.server_of(&message, &message.cseq.method.clone())
}

#[test]
fn requests_find_their_transaction_by_branch_sent_by_and_method() {
    let mut table = Table::new(|| 1);
    let via = "SIP/2.0/UDP Host:5060;branch=z9hG4bKx";
    let id = add(&mut table, &message("INVITE", via, "", "sip:a@h"));
    assert_eq!(find(&table, &message("INVITE", via, "", "sip:a@h")), Some(id));
    assert_eq!(find(&table, &message("ACK", "SIP/2.0/UDP host;branch=z9hG4bKx", ";tag=any", "sip:other@h")), Some(id));
    assert_eq!(find(&table, &message("INVITE", "SIP/2.0/UDP host:5061;branch=z9hG4bKx", "", "sip:a@h")), None);
    assert_eq!(find(&table, &message("INVITE", "SIP/2.0/UDP host;branch=z9hG4bKX", "", "sip:a@h")), None);
    assert_eq!(find(&table, &message("CANCEL", via, "", "sip:a@h")), None, "a CANCEL is a transaction of its own");
    let cancel = message("CANCEL", via, "", "sip:a@h");
    assert_eq!(table.cancelled_by(&crate::sip::parser::parse(&cancel).unwrap()), Some(id));
    table.remove_server(id);
    assert_eq!(find(&table, &message("INVITE", via, "", "sip:a@h")), None);
}

#[test]
fn requests_without_unique_branch_match_as_in_rfc_2543() {
    for via in ["SIP/2.0/UDP host", "SIP/2.0/UDP host;branch=1", "SIP/2.0/UDP host;branch=z9hG4bK"] {
        let mut table = Table::new(|| 1);
        let id = add(&mut table, &message("INVITE", via, "", "sip:a@h"));
        assert_eq!(find(&table, &message("INVITE", via, "", "sip:a@h")), Some(id));
        assert_eq!(find(&table, &message("INVITE", via, "", "sip:other@h")), None);
        assert_eq!(find(&table, &message("INVITE", "SIP/2.0/UDP host2", "", "sip:a@h")), None);
        assert_eq!(find(&table, &message("ACK", via, ";tag=ours", "sip:a@h")), Some(id));
        assert_eq!(find(&table, &message("ACK", via, ";tag=theirs", "sip:a@h")), None);
        let cancel = message("CANCEL", via, "", "sip:a@h");
        assert_eq!(table.cancelled_by(&crate::sip::parser::parse(&cancel).unwrap()), Some(id));
    }
}

#[test]
fn the_same_request_on_another_way_is_merged() {
    let mut table = Table::new(|| 1);
    let id = add(&mut table, &message("INVITE", "SIP/2.0/UDP host;branch=z9hG4bKx", "", "sip:a@h"));
    let is_merged = |table: &Table, bytes: &[u8]| table.is_merged(&crate::sip::parser::parse(bytes).unwrap());
    let other = "SIP/2.0/UDP host;branch=z9hG4bKy";
    assert!(is_merged(&table, &message("INVITE", other, "", "sip:a@h")));
    assert!(!is_merged(&table, &message("INVITE", other, ";tag=x", "sip:a@h")));
    table.remove_server(id);
    assert!(!is_merged(&table, &message("INVITE", other, "", "sip:a@h")));
}
