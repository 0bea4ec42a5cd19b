//! What TLS connections are accepted with, and its replacement while they live.

use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use rustls::ServerConfig;

use super::certificate::{CertificateError, CertificateFacts, CertificateSource};
use super::settings::{ClientCertificates, Settings};
use super::stream::{self, TlsError};
use super::{clients, config, identity};
use crate::net::{Identity, Secure, SecureError, Transport, limits};

/// What TLS carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// RFB, inside of this subtype of VeNCrypt by its name in the configuration.
    VeNCrypt(&'static str),
    /// HTTP, from which WebSocket follows.
    Https,
}

/// Why there is nothing to accept connections with.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A certificate cannot be served with.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The pieces do not fit together.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
    /// A reload that came to nothing.
    #[error("{0}; the certificate in use stays")]
    Kept(Box<StoreError>),
}

/// What one load came to.
struct Current {
    vencrypt: Arc<ServerConfig>,
    https: Arc<ServerConfig>,
    facts: CertificateFacts,
}

/// The server's certificate and whom it takes certificates from, as they are now.
///
/// Connections keep what they began with; [`CertificateStore::reload`] is for those that come after.
pub struct CertificateStore {
    source: Box<dyn CertificateSource>,
    settings: Settings,
    current: RwLock<Arc<Current>>,
}

impl std::fmt::Debug for CertificateStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateStore").field("facts", &self.facts()).finish_non_exhaustive()
    }
}

fn load(source: &dyn CertificateSource, settings: &Settings, now: SystemTime) -> Result<Current, StoreError> {
    let material = source.load(now)?;
    let facts = CertificateFacts::of(&material.chain).ok_or_else(|| StoreError::Setup("no certificate".into()))?;
    let verifier = clients::verifier(&material, settings.client_certificates);
    let verifier = verifier.map_err(|e| StoreError::Setup(e.to_string()))?;
    let config = |protocols: &[&[u8]]| {
        config::server_config(settings.min_bits, &material, Arc::clone(&verifier), protocols)
            .map_err(|e| StoreError::Setup(e.to_string()))
    };
    Ok(Current { vencrypt: config(&[])?, https: config(&[b"http/1.1"])?, facts })
}

impl CertificateStore {
    /// Loads everything for the first time.
    ///
    /// # Errors
    /// When there is nothing to serve with: one line that names the file and what to do.
    pub fn open(settings: Settings, source: Box<dyn CertificateSource>, now: SystemTime) -> Result<Self, StoreError> {
        let current = RwLock::new(Arc::new(load(source.as_ref(), &settings, now)?));
        Ok(CertificateStore { source, settings, current })
    }

    /// Loads everything again, for connections to come. Reads files: not for a thread that must not wait.
    ///
    /// # Errors
    /// When what is there now cannot be served with; what was in use stays in use.
    pub fn reload(&self, now: SystemTime) -> Result<CertificateFacts, StoreError> {
        let loaded = load(self.source.as_ref(), &self.settings, now);
        let fresh = Arc::new(loaded.map_err(|e| StoreError::Kept(Box::new(e)))?);
        let facts = fresh.facts.clone();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(facts)
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What people compare.
    pub fn facts(&self) -> CertificateFacts {
        self.current().facts.clone()
    }

    /// Whether clients show a certificate.
    pub fn client_certificates(&self) -> ClientCertificates {
        self.settings.client_certificates
    }

    /// Puts TLS on a transport. In `info` it then says that it is encrypted and how, what binds a login to it, the client's
    /// certificate and, when that names a user, whose it is. The client's hello has [`limits::KEY_EXCHANGE`] from now on; the
    /// caller bounds the time of the whole.
    ///
    /// # Errors
    /// When client and server do not come together, or the client's certificate is not good.
    pub async fn accept(&self, transport: Transport, purpose: Purpose) -> Result<Transport, TlsError> {
        self.accept_by(transport, purpose, Instant::now() + limits::KEY_EXCHANGE).await
    }

    /// The same with another end of the time for the client's hello.
    ///
    /// # Errors
    /// As [`CertificateStore::accept`].
    pub async fn accept_by(
        &self,
        transport: Transport,
        purpose: Purpose,
        deadline: Instant,
    ) -> Result<Transport, TlsError> {
        let current = self.current();
        let (config, by) = match purpose {
            Purpose::VeNCrypt(by) => (&current.vencrypt, by),
            Purpose::Https => (&current.https, "wss"),
        };
        let mut parts = stream::accept(transport, Arc::clone(config), by, deadline).await?.into_parts();
        if let Some(der) = &parts.info.certificate {
            match identity::user(der, self.settings.client_name, &self.settings.client_users) {
                Ok(name) => parts.info.identity = Some(Identity { name, method: "x509" }),
                Err(error) => tracing::warn!(peer = %parts.info.peer, %error, "client certificate names no user"),
            }
        }
        Ok(Transport::from_parts(parts))
    }
}

impl Secure for CertificateStore {
    fn secure(
        &self,
        transport: Transport,
    ) -> Pin<Box<dyn Future<Output = Result<Transport, SecureError>> + Send + '_>> {
        Box::pin(async {
            let accepted = self.accept(transport, Purpose::Https).await;
            accepted.map_err(|error| SecureError::Layer(Box::new(error)))
        })
    }
}
