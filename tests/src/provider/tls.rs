//! Certificates for providers, from a certificate authority that only the test's own clients trust.

use crate::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;

/// A certificate authority, and a server configuration with a certificate that it has issued.
#[derive(Debug)]
pub(super) struct Authority {
    certificate: String,
    server: Arc<ServerConfig>,
}

impl Authority {
    pub(super) fn new() -> Result<Self> {
        Self::with(Vec::new())
    }

    /// As [`Self::new`], for a server that supports HTTP/2 only.
    pub(super) fn with_http2() -> Result<Self> {
        Self::with(vec![b"h2".to_vec()])
    }

    fn with(protocols: Vec<Vec<u8>>) -> Result<Self> {
        let mut authority = CertificateParams::new(Vec::<String>::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names)?.signed_by(&key, &authority)?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)?;
        server.alpn_protocols = protocols;
        Ok(Self { certificate: authority.pem(), server: Arc::new(server) })
    }

    pub(super) fn certificate(&self) -> &str {
        &self.certificate
    }

    pub(super) fn server(&self) -> Arc<ServerConfig> {
        self.server.clone()
    }
}
