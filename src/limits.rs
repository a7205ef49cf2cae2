//! All capacities in one place, with the relations between them.

use crate::time::Duration;

/// Calls at once.
pub const CALLS_MAX: usize = 10_000;
/// Streams of one media worker.
pub const STREAMS_PER_WORKER: usize = 8_192;
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
/// Events waiting from one media worker: the ends of all streams, and digits.
pub const MEDIA_EVENTS: usize = 12_288;
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
/// Server transactions at once. An answered one lives on for 32 s (RFC 3261 timers J and L), and a call has two of them:
/// 2,000 calls a second have 128,000.
pub const TRANSACTIONS_MAX: usize = 160_000;
/// SIP sessions at once, those included that have ended and whose INVITE waits for answers of other branches
/// (RFC 6026 timer M, 32 s): 2,000 calls a second have 64,000 of them.
pub const SESSIONS_MAX: usize = 2 * CALLS_MAX + TRANSACTIONS_MAX / 2;
/// TCP and TLS connections at once.
pub const CONNECTIONS_MAX: usize = 1_024;
/// Of these, those that one source may open: one IPv4 address, or one /64 of IPv6.
pub const CONNECTIONS_PER_SOURCE: usize = 256;
/// TLS handshakes that one source may begin in a second, and twice as many at once.
pub const TLS_HANDSHAKES_PER_SECOND: u64 = 50;
/// Answered calls that were passed on and wait for the BYE that ends their record.
pub const PASSED_CALLS: usize = 2_048;
/// Answers of the resolver that are kept.
pub const LOCATION_CACHE: usize = 1_024;
/// Longest time that one of them is kept, whatever its time to live.
pub const LOCATION_TTL_MAX: Duration = Duration::from_secs(3_600);
/// Questions to the resolver under way at once; a request that needs one more is not located.
pub const LOCATION_QUESTIONS: usize = 256;
/// Questions for one request.
pub const LOCATION_QUESTIONS_PER_SEARCH: usize = 80;
/// Targets that one URI may lead to.
pub const LOCATION_TARGETS: usize = 16;
/// Targets that are remembered because they failed.
pub const LOCATION_FAILED: usize = 1_024;
/// Longest time that a target is avoided, whatever its `Retry-After` says.
pub const LOCATION_AVOID_MAX: Duration = Duration::from_secs(300);
/// Bytes of a request that go by UDP: more need TCP (RFC 3261 18.1.1, for a path of unknown MTU).
pub const SIP_DATAGRAM_BYTES: usize = 1_300;
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
/// Text messages that wait for all phones together, in memory and in the store.
pub const TEXTS_MAX: usize = 10_000;
/// How long a text waits for its phone at most, whatever its `Expires` says.
pub const TEXT_LIFE_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Changes of registrations and texts that wait to be written.
pub const STORE_QUEUE: usize = 8_192;
/// Buffers of datagrams that are kept for the next ones.
pub const SPARE_BUFFERS: usize = 4;
/// Digest nonces in use that are remembered; when there are more, the oldest count as stale.
pub const NONCES_MAX: usize = 16_384;
/// Counts of one nonce below the highest seen that may still come, out of order.
pub const NONCE_COUNT_WINDOW: u32 = 64;
/// Peers whose last challenge is remembered, to log in at them ahead of the next one.
pub const LOGINS_MAX: usize = 1_024;
/// Source addresses whose failures and refusals are counted at once.
pub const SOURCES_MAX: usize = 4_096;
/// Path elements of one registered contact (RFC 3327).
pub const PATHS_PER_CONTACT: usize = 8;
/// Elements of the Service-Route of one registration of ours (RFC 3608).
pub const SERVICE_ROUTES: usize = 8;
/// Stations that one call remembers to have passed it on; what is older is forgotten.
pub const DIVERSIONS_MAX: usize = 8;
/// Header fields of one message that are carried to the other leg of its call.
pub const CARRIED_HEADERS: usize = 48;
/// Parts of one body that are carried to the other leg.
pub const CARRIED_PARTS: usize = 8;
/// Bytes of header fields and parts of one message that are carried to the other leg.
pub const CARRIED_BYTES: usize = 16 * 1024;
/// INFO and MESSAGE of one leg that wait for the answer of the other leg.
pub const CROSSING_PER_LEG: usize = 8;
/// Translations between statuses and causes that the record of one call keeps: one for each refused branch, and one for
/// the caller.
pub const TRANSLATIONS_PER_CALL: usize = 16;
/// Calls that have ended and can still be explained.
pub const ENDED_CALLS: usize = 256;
/// Octets of the signalling information field of MTP, routing label and ISUP message (Q.703 2.3.8).
pub const ISUP_FIELD_OCTETS: usize = 272;
/// Parameters of one ISUP message.
pub const ISUP_PARAMETERS: usize = 64;
/// Circuits that one message about a group names, itself included (Q.763 3.43).
pub const ISUP_GROUP_CIRCUITS: usize = 32;
/// Octets of one M3UA message; a multiple of four.
pub const M3UA_OCTETS: usize = 4_096;
/// Parameters of one M3UA message.
pub const M3UA_PARAMETERS: usize = 32;
/// Peers that one trunk group sets up associations to.
pub const M3UA_PEERS: usize = 8;
/// Associations that one trunk group accepts.
pub const M3UA_ASSOCIATIONS: usize = 16;
/// ISUP messages of one trunk group that wait while no process is active.
pub const M3UA_WAITING: usize = 512;
/// How often a request that is not acknowledged is said again, before the association is given up.
pub const M3UA_REPEATS: u8 = 2;
/// How long setting up an association may take.
pub const M3UA_CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long to wait after an association was lost for the first time; twice as long each time after that.
pub const M3UA_RETRY: Duration = Duration::from_secs(1);
/// The longest of these waits.
pub const M3UA_RETRY_MAX: Duration = Duration::from_secs(32);
/// How long calls stay away from an exchange that is said to have no ISUP.
pub const M3UA_USER_PART_PAUSE: Duration = Duration::from_secs(30);
/// Circuits of one trunk group: as many as ITU codes can name.
pub const ISUP_CIRCUITS: usize = 4_096;
/// Circuits that one call tries, one after the other.
pub const ISUP_ATTEMPTS: usize = 3;
/// Address messages of one call that are kept to be said again on another circuit.
pub const ISUP_ADDRESS_MESSAGES: usize = 20;
/// Messages that are on their way to or from a simulated switch.
pub const SWITCH_MESSAGES: usize = 65_536;
/// Entries of each kind, and steps of one entry, in the script of a simulated switch.
pub const SWITCH_ENTRIES: usize = 1_024;
/// Digits of a dialled number.
pub const DIGITS_MAX: usize = 40;

const _: () = assert!(PACKETS_PER_BATCH * RTP_PACKET_BYTES <= 1 << 20, "a batch fits the second-level cache");
const _: () = assert!(PACKET_SAMPLES_MAX + 12 <= RTP_PACKET_BYTES, "a packet that we make fits its slot");
const _: () =
    assert!(5 * LOCATION_TARGETS <= LOCATION_QUESTIONS_PER_SEARCH, "NAPTR, SRV, A, AAAA and source of every target");
const _: () = assert!(STREAMS_PER_WORKER <= STREAM_IDS, "every stream has an id");
const _: () = assert!(MEDIA_COMMANDS >= STREAMS_PER_WORKER, "every stream can be stopped at once");
const _: () = assert!(MEDIA_EVENTS > STREAMS_PER_WORKER, "digits find room beside the ends of all streams");
const _: () = assert!(TEXTS_MAX * TEXT_BYTES <= 128 << 20, "waiting texts fit the memory of a small machine");
const _: () = assert!(NONCE_COUNT_WINDOW <= u64::BITS, "the window of a nonce is one word");
