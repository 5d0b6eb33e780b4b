//! The listener's certificate and key.

use std::fmt;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

/// A certificate with its chain, and its key.
#[derive(Clone)]
pub struct Tls(pub(super) TlsAcceptor);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// Why there can be no TLS with a certificate and a key. The text holds nothing of either.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTls {
    /// No certificate.
    #[error("holds no certificate in PEM")]
    Certificate,
    /// No key.
    #[error("holds no private key in PEM")]
    Key,
    /// Both, and they can't be used together.
    #[error("the certificate and the key can't be used: {0}")]
    Unusable(String),
}

impl Tls {
    /// Of PEM texts: the certificate first and the chain behind it.
    ///
    /// # Errors
    /// Which of them is none, or that they don't belong together.
    pub fn new(certificates: &[u8], key: &[u8]) -> Result<Self, BadTls> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .ok()
            .filter(|chain: &Vec<_>| !chain.is_empty())
            .ok_or(BadTls::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| BadTls::Key)?;
        let unusable = |error: rustls::Error| BadTls::Unusable(error.to_string());
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }
}
