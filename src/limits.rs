//! All capacities in one place, with the relations between them.

/// Calls at once.
pub const CALLS_MAX: usize = 10_000;
/// Streams of one media worker.
pub const STREAMS_PER_WORKER: usize = 4_096;
/// Bytes of one RTP packet, header included: 60 ms of 16-bit samples at 16 kHz would not fit, G.711 does.
pub const RTP_PACKET_BYTES: usize = 1_024;
/// Bytes of one SIP message over UDP or TCP (RFC 3261 18.1.1: any datagram up to 65,535 must be read).
pub const SIP_MESSAGE_BYTES: usize = 65_535;
/// Header fields of one SIP message.
pub const SIP_HEADERS: usize = 256;
/// Outputs that one input of the control core may cause.
pub const OUTPUTS_PER_INPUT: usize = 4_096;
/// Commands waiting for one media worker.
pub const MEDIA_COMMANDS: usize = 8_192;
/// Events waiting from one media worker.
pub const MEDIA_EVENTS: usize = 8_192;
/// Samples of one RTP packet that we make, and of one slot of a jitter buffer: 60 ms at 8 kHz.
pub const PACKET_SAMPLES_MAX: usize = 480;
/// Packets that wait in one jitter buffer: 640 ms of the shortest ones.
pub const JITTER_SLOTS: usize = 64;
/// Ids that streams may have (their index, not their number at once): two of each call, and those
/// whose end is still on its way.
pub const STREAM_IDS: usize = 4 * CALLS_MAX;
/// Packets that one `Worker::receive` takes.
pub const PACKETS_PER_BATCH: usize = 256;
/// Blocks that a late card worker catches up; what is beyond counts as lost.
pub const TICKS_CATCH_UP: usize = 8;
/// Contacts that one account may register.
pub const CONTACTS_PER_ACCOUNT: usize = 10;
/// Branches of one call over its whole time: members of groups, contacts, ways out, redirects.
pub const BRANCHES_PER_CALL: usize = 64;
/// Members of one ring group.
pub const GROUP_MEMBERS: usize = 32;
/// How often one call may be forwarded by telephones.
pub const FORWARDS_PER_CALL: usize = 5;
/// How often one call may be redirected (3xx).
pub const REDIRECTS_PER_CALL: usize = 5;
/// Contacts of one redirect that are tried.
pub const CONTACTS_PER_REDIRECT: usize = 8;
/// Server and client transactions at once.
pub const TRANSACTIONS_MAX: usize = 50_000;
/// Subscriptions of peers at once.
pub const SUBSCRIPTIONS_MAX: usize = 20_000;
/// Bytes of one published document.
pub const PUBLICATION_BYTES: usize = 8 * 1024;
/// Published documents of one phone or station.
pub const PUBLICATIONS_PER_ENTITY: usize = 10;
/// Bytes of one text message.
pub const TEXT_BYTES: usize = 8 * 1024;
/// Text messages that wait for one phone.
pub const TEXTS_PER_PHONE: usize = 100;
/// TCP connections at once.
pub const CONNECTIONS_MAX: usize = 1_024;
/// Stations that one call remembers to have passed it on; what is older is forgotten.
pub const DIVERSIONS_MAX: usize = 8;
/// Digits of a dialled number.
pub const DIGITS_MAX: usize = 40;

const _: () = assert!(PACKETS_PER_BATCH * RTP_PACKET_BYTES <= 1 << 20, "a batch fits the second-level cache");
const _: () = assert!(PACKET_SAMPLES_MAX + 12 <= RTP_PACKET_BYTES, "a packet that we make fits its slot");
const _: () = assert!(STREAMS_PER_WORKER <= STREAM_IDS, "every stream has an id");
const _: () = assert!(MEDIA_COMMANDS >= STREAMS_PER_WORKER, "every stream can be stopped at once");
