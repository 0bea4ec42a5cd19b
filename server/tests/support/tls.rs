//! TLS as a viewer has it, and VeNCrypt: blocking, over rustls's client.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::raw::Wire;
use crate::{ClientError, Raw};

/// The subtype of VeNCrypt with user and password inside of TLS.
const X509_PLAIN: u32 = 262;

/// What a client trusts, under which name it looks for the server, and what it shows of itself.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// The same configuration, not a like one.
impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config) && self.name == other.name
    }
}

impl Eq for Tls {}

/// What a TLS handshake came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// The channel binding of RFC 9266.
    pub binding: [u8; 32],
    /// The cipher suite's name.
    pub suite: String,
    /// The key exchange's name.
    pub group: String,
    /// The server's own certificate, DER.
    pub certificate: Vec<u8>,
}

fn wrong(error: impl std::fmt::Display) -> ClientError {
    ClientError::Handshake(format!("TLS: {error}"))
}

impl Tls {
    /// A client that takes servers whose certificates lead to one of those in the PEM file `trusted`, under `name`, and shows
    /// the certificate and key of the two PEM files in `own`, if any.
    ///
    /// # Errors
    /// When a file holds nothing of use.
    pub fn new(trusted: &Path, name: &str, own: Option<(&Path, &Path)>) -> Result<Self, ClientError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(trusted).map_err(wrong)? {
            roots.add(certificate.map_err(wrong)?).map_err(wrong)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(wrong)?
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(chain).map_err(wrong)?.collect();
                let key = PrivateKeyDer::from_pem_file(key).map_err(wrong)?;
                builder.with_client_auth_cert(chain.map_err(wrong)?, key).map_err(wrong)?
            }
        };
        let name = ServerName::try_from(name.to_owned()).map_err(wrong)?;
        Ok(Tls { config: Arc::new(config), name })
    }

    pub(crate) fn over(&self, mut wire: Box<dyn Wire>) -> Result<(Box<dyn Wire>, TlsFacts), ClientError> {
        let mut session = ClientConnection::new(Arc::clone(&self.config), self.name.clone()).map_err(wrong)?;
        while session.is_handshaking() {
            session.complete_io(&mut wire)?;
        }
        let binding = session.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).map_err(wrong)?;
        let facts = TlsFacts {
            binding,
            suite: session.negotiated_cipher_suite().map(|s| format!("{:?}", s.suite())).unwrap_or_default(),
            group: session.negotiated_key_exchange_group().map(|g| format!("{:?}", g.name())).unwrap_or_default(),
            certificate: session.peer_certificates().and_then(|c| c.first()).map(|c| c.to_vec()).unwrap_or_default(),
        };
        Ok((Box::new(TlsWire(StreamOwned::new(session, wire))), facts))
    }
}

struct TlsWire(StreamOwned<ClientConnection, Box<dyn Wire>>);

impl Read for TlsWire {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for TlsWire {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Wire for TlsWire {
    fn set_timeout(&mut self, limit: Duration) -> std::io::Result<()> {
        self.0.sock.set_timeout(limit)
    }
}

impl Raw {
    /// Agrees on VeNCrypt 0.2 after type 19 was chosen, and reads the subtypes that the server offers.
    ///
    /// # Errors
    /// When the server speaks another version.
    pub fn vencrypt_offer(&mut self) -> Result<Vec<u32>, ClientError> {
        let version = self.read(2)?;
        if version != [0, 2] {
            return Err(ClientError::Handshake(format!("VeNCrypt version {version:?}")));
        }
        self.send(&[0, 2])?;
        match self.read(2)?[..] {
            [0, count] if count > 0 => (0..count).map(|_| self.u32()).collect(),
            ref other => Err(ClientError::Handshake(format!("VeNCrypt answer {other:?}"))),
        }
    }

    /// Chooses a subtype of VeNCrypt; all but Plain (256) are acknowledged.
    ///
    /// # Errors
    /// When the server does not take it.
    pub fn vencrypt_choose(&mut self, subtype: u32) -> Result<(), ClientError> {
        self.send(&subtype.to_be_bytes())?;
        if subtype != 256 && self.read(1)? != [1] {
            return Err(ClientError::Handshake(format!("VeNCrypt subtype {subtype} not taken")));
        }
        Ok(())
    }

    /// Goes on inside of TLS.
    ///
    /// # Errors
    /// When client and server do not come together.
    pub fn start_tls(&mut self, tls: &Tls) -> Result<TlsFacts, ClientError> {
        self.layered(|wire| tls.over(wire))
    }

    /// Says who this is, as Plain has it.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn plain(&mut self, user: &str, password: &str) -> Result<(), ClientError> {
        crate::secrets::tell(password);
        let length = |text: &str| (text.len() as u32).to_be_bytes();
        self.send(&[&length(user), &length(password), user.as_bytes(), password.as_bytes()].concat())
    }

    /// The whole of VeNCrypt with X509Plain, after type 19 was chosen and up to SecurityResult.
    ///
    /// # Errors
    /// When the server does not offer it or TLS does not come about.
    pub fn x509_plain(&mut self, tls: &Tls, user: &str, password: &str) -> Result<(), ClientError> {
        let offer = self.vencrypt_offer()?;
        if !offer.contains(&X509_PLAIN) {
            return Err(ClientError::Handshake(format!("VeNCrypt subtypes {offer:?} offered")));
        }
        self.vencrypt_choose(X509_PLAIN)?;
        self.start_tls(tls)?;
        self.plain(user, password)
    }
}
