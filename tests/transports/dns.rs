//! A name server of a few records on a UDP port of the loopback.

use std::net::{SocketAddr, UdpSocket};

/// One record; whatever has none does not exist.
pub enum Record {
    /// Order, service, replacement.
    Naptr(u16, &'static str, &'static str),
    /// Priority, port, target.
    Srv(u16, u16, &'static str),
    /// 127.0.0.N
    A(u8),
}

/// Answers for as long as the test runs; returns where.
pub fn serve(zone: Vec<(&'static str, Record)>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("bound");
    std::thread::spawn(move || {
        let mut buffer = [0; 1_500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&answer(&buffer[..length], &zone), from);
        }
    });
    address
}

fn name_of(query: &[u8]) -> (String, usize) {
    let (mut labels, mut at) = (Vec::new(), 12);
    while query[at] != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..at + 1 + length]).to_ascii_lowercase());
        at += 1 + length;
    }
    (labels.join("."), at + 1)
}

fn put_name(name: &str, into: &mut Vec<u8>) {
    for label in name.split('.').filter(|label| !label.is_empty()) {
        into.push(label.len() as u8);
        into.extend(label.as_bytes());
    }
    into.push(0);
}

fn answer(query: &[u8], zone: &[(&'static str, Record)]) -> Vec<u8> {
    let (name, end) = name_of(query);
    let kind = u16::from_be_bytes([query[end], query[end + 1]]);
    let (mut records, mut count, mut exists) = (Vec::new(), 0u16, false);
    for (owner, record) in zone.iter().filter(|(owner, _)| *owner == name) {
        exists = true;
        let (number, mut data) = (
            match record {
                Record::Naptr(..) => 35u16,
                Record::Srv(..) => 33,
                Record::A(_) => 1,
            },
            Vec::new(),
        );
        if number != kind {
            continue;
        }
        match record {
            Record::Naptr(order, service, replacement) => {
                data.extend([order.to_be_bytes(), 50u16.to_be_bytes()].concat());
                for text in ["s", service, ""] {
                    data.push(text.len() as u8);
                    data.extend(text.as_bytes());
                }
                put_name(replacement, &mut data);
            }
            Record::Srv(priority, port, target) => {
                data.extend([priority.to_be_bytes(), 1u16.to_be_bytes(), port.to_be_bytes()].concat());
                put_name(target, &mut data);
            }
            Record::A(last) => data.extend([127, 0, 0, *last]),
        }
        put_name(owner, &mut records);
        records.extend([number.to_be_bytes(), 1u16.to_be_bytes()].concat());
        records.extend(60u32.to_be_bytes());
        records.extend((data.len() as u16).to_be_bytes());
        records.extend(data);
        count += 1;
    }
    let code = if exists { 0 } else { 3 };
    let mut answer = query[..2].to_vec();
    answer.extend([0x85, 0x80 | code, 0, 1]);
    answer.extend(count.to_be_bytes());
    answer.extend([0, 0, 0, 0]);
    answer.extend(&query[12..end + 4]);
    answer.extend(records);
    answer
}
