//! The resolver: questions of the core to the name servers, answers back (RFC 3263).
//!
//! What is asked and in which order is the core's business, and so is remembering the answers.

use crate::config::Dns;
use crate::limits;
use crate::sip::{NaptrRecord, Question, Records, SrvRecord};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use std::cell::OnceCell;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long one name server may think; it is asked twice.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How long it holds that there is no such record, when the zone does not say.
const NEGATIVE_TTL: Duration = Duration::from_secs(30);
/// How long it holds that nobody could be asked: calls that follow each other do not each wait again.
const FAILURE_TTL: Duration = Duration::from_secs(5);

/// An answer on its way to the core.
pub(super) type Resolved = (Question, Records);

/// Asks name servers.
pub(super) struct Resolver {
    config: Dns,
    /// Made for the first question; `None` in it: there is nobody to ask.
    resolver: OnceCell<Option<Arc<TokioResolver>>>,
    answers: mpsc::Sender<Resolved>,
}

impl Resolver {
    /// Asks the servers of the configuration, or those that the system asks. Answers come out of the receiver.
    pub(super) fn new(config: &Dns) -> (Resolver, mpsc::Receiver<Resolved>) {
        let (answers, inbox) = mpsc::channel(limits::LOCATION_QUESTIONS);
        (Resolver { config: config.clone(), resolver: OnceCell::new(), answers }, inbox)
    }

    fn make(config: &Dns) -> Option<Arc<TokioResolver>> {
        let builder = if config.servers.is_empty() {
            TokioResolver::builder_tokio()
        } else {
            let servers = config.servers.iter().map(|server| name_server(*server)).collect();
            let config = ResolverConfig::from_name_servers(servers);
            Ok(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()))
        };
        let resolver = builder.and_then(|mut builder| {
            let options = builder.options_mut();
            options.cache_size = 0; // the core remembers
            options.timeout = ANSWER_WITHIN;
            options.attempts = 2;
            builder.build()
        });
        match resolver {
            Ok(resolver) => Some(Arc::new(resolver)),
            Err(error) => {
                tracing::warn!(%error, "no name server: host names cannot be looked up; [dns] servers = [...] helps");
                None
            }
        }
    }

    /// Asks; the answer follows, with nothing in it when there is none.
    pub(super) fn ask(&self, question: Question) {
        let resolver = self.resolver.get_or_init(|| Resolver::make(&self.config)).clone();
        let answers = self.answers.clone();
        tokio::spawn(async move {
            let records = match resolver {
                Some(resolver) => look_up(&resolver, &question).await,
                None => Records { ttl: FAILURE_TTL, ..Records::default() },
            };
            tracing::debug!(?question, ?records, "name looked up");
            let _ = answers.send((question, records)).await; // fails only when the process is going down
        });
    }
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    let with_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    server.connections = server.connections.drain(..).map(with_port).collect();
    server
}

async fn look_up(resolver: &TokioResolver, question: &Question) -> Records {
    let (name, kind) = match question {
        Question::Naptr(name) => (name, RecordType::NAPTR),
        Question::Srv(name) => (name, RecordType::SRV),
        Question::Ipv4(name) => (name, RecordType::A),
        Question::Ipv6(name) => (name, RecordType::AAAA),
        Question::Source(_) => return Records::default(), // the sockets know that one
    };
    // With a dot at the end nobody tries the domains of the system behind it.
    let Ok(name) = Name::from_ascii(format!("{name}.")) else { return Records::default() };
    let failed = |ttl| Records { ttl, ..Records::default() };
    let lookup = match resolver.lookup(name, kind).await {
        Ok(lookup) => lookup,
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
            let ttl = none.negative_ttl.map_or(NEGATIVE_TTL, |ttl| Duration::from_secs(ttl.into()));
            return failed(ttl);
        }
        Err(_) => return failed(FAILURE_TTL),
    };
    let mut records = Records::default();
    let mut ttl = u32::MAX;
    for record in lookup.answers() {
        ttl = ttl.min(record.ttl);
        match &record.data {
            RData::NAPTR(naptr) if naptr.regexp.is_empty() => records.naptr.push(NaptrRecord {
                order: naptr.order,
                preference: naptr.preference,
                flags: String::from_utf8_lossy(&naptr.flags).into_owned(),
                service: String::from_utf8_lossy(&naptr.services).into_owned(),
                replacement: plain(&naptr.replacement),
            }),
            RData::SRV(srv) => records.srv.push(SrvRecord {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: plain(&srv.target),
            }),
            RData::A(address) => records.addresses.push(IpAddr::V4(address.0)),
            RData::AAAA(address) => records.addresses.push(IpAddr::V6(address.0)),
            _ => {}
        }
    }
    records.ttl = Duration::from_secs(ttl.into());
    records
}

fn plain(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}
