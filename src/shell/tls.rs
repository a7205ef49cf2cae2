//! TLS for SIP (RFC 3261 26.2, RFC 5922): who we are, whom we believe.
//!
//! Certificates are read once and exchanged as a whole on a reload: connections that are open keep
//! what they were made with. The names in a peer's certificate are [`super::certificate`]'s.

use super::certificate::Identities;
use crate::config::{self, ClientCertificate};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use std::sync::{Arc, OnceLock};
use thiserror::Error;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Why certificates cannot be used.
#[derive(Debug, Error)]
pub(super) enum TlsError {
    /// The text is not what it should be.
    #[error("{what}: {why}")]
    Pem {
        /// `certificate`, `key`, `authorities`
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Certificate and key do not fit, or are of an unknown kind.
    #[error("certificate and key: {0}")]
    Identity(rustls::Error),
    /// Nobody is trusted to sign the certificates of clients.
    #[error("client certificates: {0}")]
    Clients(String),
}

/// What connections are made with.
#[derive(Clone)]
pub(super) struct Tls {
    /// For peers that connect; `None` without a certificate of ours.
    pub(super) acceptor: Option<TlsAcceptor>,
    /// For connections that we open; made when the first one is.
    connector: Arc<OnceLock<TlsConnector>>,
}

/// The cryptography of the whole program. Nobody else chooses one.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

impl Tls {
    /// From the configuration.
    ///
    /// # Errors
    /// [`TlsError`] says which text cannot be used.
    pub(super) fn new(config: &config::Tls) -> Result<Tls, TlsError> {
        let connector = Arc::new(OnceLock::new());
        if config.authorities.is_none() && config.identity.is_none() {
            // Reading what the system trusts takes time and memory, and most gateways never ask for it.
            return Ok(Tls { acceptor: None, connector });
        }
        let roots = Arc::new(roots(config.authorities.as_deref())?);
        let identity = match &config.identity {
            Some((certificate, key)) => Some((chain("certificate", certificate)?, private_key(&key.0)?)),
            None => None,
        };
        let _ = connector.set(client(Arc::clone(&roots), identity.as_ref())?); // it was empty
        let acceptor = match identity {
            Some((chain, key)) => Some(acceptor(config.client_certificate, roots, chain, key)?),
            None => None,
        };
        Ok(Tls { acceptor, connector })
    }

    /// What connections are opened with. The first time it may read what the system trusts, which
    /// takes some milliseconds.
    ///
    /// # Errors
    /// [`TlsError`] when the cryptography refuses, which it does not.
    pub(super) fn connector(&self) -> Result<TlsConnector, TlsError> {
        if let Some(connector) = self.connector.get() {
            return Ok(connector.clone());
        }
        let made = client(Arc::new(roots(None)?), None)?;
        Ok(self.connector.get_or_init(|| made).clone())
    }
}

/// For connections that we open; with our certificate, if there is one.
fn client(
    roots: Arc<RootCertStore>,
    identity: Option<&(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<TlsConnector, TlsError> {
    let verifier = SipServerVerifier { roots, algorithms: algorithms() };
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Identity)?
        .dangerous() // own rules for names, see SipServerVerifier
        .with_custom_certificate_verifier(Arc::new(verifier));
    let client = match identity {
        // RFC 5922 7.3: a server may ask us who we are, too.
        Some((chain, key)) => {
            client.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(TlsError::Identity)?
        }
        None => client.with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(client)))
}

fn acceptor(
    ask: ClientCertificate,
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<TlsAcceptor, TlsError> {
    let server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Identity)?;
    let clients = WebPkiClientVerifier::builder_with_provider(roots, provider());
    let verifier = match ask {
        ClientCertificate::Off => WebPkiClientVerifier::no_client_auth(),
        ClientCertificate::Optional => {
            clients.allow_unauthenticated().build().map_err(|error| TlsError::Clients(error.to_string()))?
        }
        ClientCertificate::Required => clients.build().map_err(|error| TlsError::Clients(error.to_string()))?,
    };
    let server = server.with_client_cert_verifier(verifier).with_single_cert(chain, key);
    Ok(TlsAcceptor::from(Arc::new(server.map_err(TlsError::Identity)?)))
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    provider().signature_verification_algorithms
}

fn pem_error(what: &'static str, error: impl ToString) -> TlsError {
    TlsError::Pem { what, why: error.to_string() }
}

fn chain(what: &'static str, text: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    chain.map_err(|error| pem_error(what, error))
}

fn private_key(text: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| pem_error("key", error))
}

/// The authorities of the configuration, or those that the system trusts.
fn roots(authorities: Option<&str>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let Some(text) = authorities else {
        // What the system has and cannot be read is as good as absent: no peer is believed for it.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    for certificate in chain("authorities", text)? {
        roots.add(certificate).map_err(|error| pem_error("authorities", error))?;
    }
    Ok(roots)
}

/// The name that a connection is made for; `None` when it cannot be in any certificate.
pub(super) fn server_name(domain: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(domain.to_owned()).ok()
}

/// Verifies servers by RFC 5922: the chain as everywhere, the names by the rules of SIP.
#[derive(Debug)]
struct SipServerVerifier {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for SipServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        let domain = server_name.to_str();
        match Identities::of(end_entity).match_domain(&domain) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::NotValidForName.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
