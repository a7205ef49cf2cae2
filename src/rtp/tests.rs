use super::*;
use std::time::Duration;

const HEADER: Header =
    Header { marker: true, payload_type: 8, sequence: 0xFFFE, timestamp: 0xFFFF_FF60, ssrc: 0xDEAD_BEEF };

#[test]
fn a_written_header_reads_back_the_same() {
    let mut packet = HEADER.to_bytes().to_vec();
    packet.extend([1, 2, 3]);
    assert_eq!(Header::parse(&packet), Ok((HEADER, 12..15)));
}

#[test]
fn contributing_sources_extension_and_padding_are_skipped() {
    let mut packet = HEADER.to_bytes().to_vec();
    packet[0] = 0xB2;
    packet.extend([0; 8]); // two contributing sources
    packet.extend([0xBE, 0xDE, 0, 1, 9, 9, 9, 9]);
    packet.extend([1, 2, 3, 0, 0, 3]);
    assert_eq!(Header::parse(&packet), Ok((HEADER, 28..31)));
}

#[test]
fn what_is_not_rtp_is_refused() {
    let fixed = HEADER.to_bytes();
    assert_eq!(Header::parse(&fixed[..11]), Err(Malformed::Short));
    assert_eq!(Header::parse(&[]), Err(Malformed::Short));
    let with_first = |first: u8, tail: &[u8]| {
        let mut packet = fixed.to_vec();
        packet[0] = first;
        packet.extend(tail);
        Header::parse(&packet).map(|_| ())
    };
    assert_eq!(with_first(0x40, &[]), Err(Malformed::Version));
    assert_eq!(with_first(0x81, &[0; 3]), Err(Malformed::Short));
    assert_eq!(with_first(0x90, &[0, 0, 0xFF, 0xFF]), Err(Malformed::Short));
    assert_eq!(with_first(0x90, &[]), Err(Malformed::Short));
    assert_eq!(with_first(0xA0, &[1, 2, 0]), Err(Malformed::Padding));
    assert_eq!(with_first(0xA0, &[1, 2, 4]), Err(Malformed::Padding));
    assert_eq!(with_first(0xA0, &[1, 2, 3]), Ok(()));
}

fn arrivals(sequences: &[u16]) -> (Vec<Arrival>, Reception) {
    let mut books = Reception::default();
    (sequences.iter().map(|s| books.arrive(*s)).collect(), books)
}

#[test]
fn sequences_run_on_across_the_wrap_and_count_what_is_missing() {
    use Arrival::*;
    let (seen, books) = arrivals(&[65_533, 65_534, 0, 65_535, 0, 3, 65_533]);
    assert_eq!(seen, [Newest, Newest, Newest, Reordered, Duplicate, Newest, Duplicate]);
    assert_eq!((books.expected(), books.received(), books.lost()), (7, 5, 2));
    assert_eq!(books.highest(), 0x1_0003);
}

#[test]
fn a_packet_before_the_first_one_moves_the_beginning() {
    let (seen, books) = arrivals(&[10, 8, 9]);
    assert_eq!(seen, [Arrival::Newest, Arrival::Reordered, Arrival::Reordered]);
    assert_eq!((books.expected(), books.lost()), (3, 0));
}

#[test]
fn one_stray_is_not_believed_but_two_in_a_row_are_a_restart() {
    use Arrival::*;
    let (seen, books) = arrivals(&[1, 2, 30_000, 3, 40_000, 40_001, 40_002]);
    assert_eq!(seen, [Newest, Newest, Stray, Newest, Stray, Restart, Newest]);
    assert_eq!(books.lost(), 0);
}

#[test]
fn jitter_follows_the_formula_of_the_standard() {
    let mut books = Reception::default();
    let mut at = Instant::from_millis(1);
    books.time(0, at);
    at += Duration::from_millis(20);
    books.time(160, at);
    assert_eq!(books.jitter(), 0, "steady packets have none");
    at += Duration::from_millis(30);
    books.time(320, at);
    assert_eq!(books.jitter(), 80 / 16, "10 ms late is 80 samples, a sixteenth of which counts");
    books.time(1_000_000, at);
    assert_eq!(books.jitter(), 80 / 16, "a new timestamp base is not jitter");
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
        if let Ok((_, payload)) = Header::parse(&bytes) {
            assert!(payload.start <= payload.end && payload.end <= bytes.len());
        }
    }
}
