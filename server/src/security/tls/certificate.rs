//! The server's certificate: farpane's own, made at the first start, or the administrator's.
//!
//! Its own is signed by itself: viewers ask at the first visit, and the person compares the fingerprint or the six words that
//! the server prints. They are of the key, which stays when the certificate is made anew.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use farpane_channel::phrase::{Fingerprint, KeyKind};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::clients;
use super::settings::{ClientCertificates, Settings};
use crate::helper::private::{self, PrivateError};
use crate::net::ListenAddr;

/// Largest file of certificates taken.
const MAX_CHAIN: u64 = 1 << 20;
/// Largest private key taken.
const MAX_KEY: u64 = 64 * 1024;
/// Largest list of revoked certificates taken.
const MAX_CRL: u64 = 16 << 20;
/// How long our own certificate is good.
const OWN_LIFE: Duration = Duration::from_secs(3653 * 86_400);
/// Clocks of viewers may be this far behind ours.
const CLOCK_SLACK: Duration = Duration::from_secs(86_400);

/// Why there is no certificate to serve with; each names the file and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file that only its owner may read cannot be used.
    #[error("{0}")]
    Private(#[from] PrivateError),
    /// A file cannot be read.
    #[error("{0}: {1}; check its path and rights")]
    Read(PathBuf, io::Error),
    /// A file is not there.
    #[error("{0}: no such file; check {1} in [tls]")]
    Missing(PathBuf, &'static str),
    /// A file is larger than anything that belongs there.
    #[error("{0}: more than {1} bytes (expected PEM)")]
    Large(PathBuf, u64),
    /// There is no certificate in the file.
    #[error("{0}: no certificate in it (expected PEM, `-----BEGIN CERTIFICATE-----`)")]
    NoCertificate(PathBuf),
    /// There is no list of revoked certificates in the file.
    #[error("{0}: no list of revoked certificates in it (expected a CRL of version 2, PEM or DER)")]
    NoCrl(PathBuf),
    /// A certificate or list cannot be read.
    #[error("{0}: {1}; it is damaged or of an unknown kind, fetch it again")]
    Unreadable(PathBuf, String),
    /// There is no private key in the file.
    #[error("{0}: no private key in it (expected PEM without a passphrase: PKCS#8, PKCS#1 or SEC1)")]
    NoKey(PathBuf),
    /// The key is of a kind that TLS has no use for.
    #[error("{0}: this key cannot be used: {1} (expected ECDSA P-256 or P-384, Ed25519, or RSA of 2048 bits or more)")]
    BadKey(PathBuf, rustls::Error),
    /// Key and certificate are of different pairs.
    #[error(
        "{key}: is not the key of {certificate}; name the key that was made with it, and put the server's own certificate first"
    )]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// Past its last day.
    #[error("{0}: expired on {1}; renew it")]
    Expired(PathBuf, String),
    /// Before its first day.
    #[error("{0}: not valid before {1}; check this machine's clock")]
    TooEarly(PathBuf, String),
    /// Our own certificate is there and its key is not.
    #[error(
        "{key}: missing beside {certificate}; put it back, or remove {certificate} too: viewers must then trust a new one"
    )]
    KeyGone {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// A name that no certificate can carry.
    #[error("certificate not made: {0}")]
    Make(#[from] rcgen::Error),
    /// In the words of the process that holds the key.
    #[error("{0}")]
    Elsewhere(String),
    /// The CA of clients, or a list of revoked certificates, cannot be used.
    #[error("{0}: {1}")]
    Clients(PathBuf, String),
}

/// What is served with, loaded and checked.
#[derive(Clone, Debug)]
pub struct Material {
    /// The server's own certificate first, then those that lead to a CA.
    pub chain: Vec<CertificateDer<'static>>,
    /// What signs with its key: in this process, or in another one.
    pub key: Arc<dyn SigningKey>,
    /// Who may sign certificates of clients.
    pub client_ca: Vec<CertificateDer<'static>>,
    /// Which of those are revoked.
    pub client_crl: Vec<CertificateRevocationListDer<'static>>,
}

/// Where certificates come from; asked at the start and at every reload.
pub trait CertificateSource: Send + Sync {
    /// Loads and checks everything anew.
    ///
    /// # Errors
    /// The first thing that cannot be served with.
    fn load(&self, now: SystemTime) -> Result<Material, CertificateError>;
}

/// Certificates in files of this machine: those that the settings name, or `tls.crt` and `tls.key` in the folder of the server's
/// state, made when they are not there.
#[derive(Clone, Debug)]
pub struct Files {
    settings: Settings,
    state: PathBuf,
    names: Vec<String>,
}

impl Files {
    /// Certificates as `settings` name them; farpane's own is in the folder `state`, for these `names`.
    pub fn new(settings: Settings, state: PathBuf, names: Vec<String>) -> Self {
        Files { settings, state, names }
    }

    /// The files of certificate and key.
    pub fn paths(&self) -> (PathBuf, PathBuf) {
        match (&self.settings.certificate, &self.settings.key) {
            (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
            _ => (self.state.join("tls.crt"), self.state.join("tls.key")),
        }
    }

    /// Makes what is missing of farpane's own certificate, and makes it anew from the same key when it has expired.
    fn make_own(&self, now: SystemTime) -> Result<(), CertificateError> {
        let (certificate, key) = self.paths();
        let pem = private::read(&key, MAX_KEY)?;
        let there = certificate.try_exists().map_err(|e| CertificateError::Read(certificate.clone(), e))?;
        let pair = match pem {
            None if there => return Err(CertificateError::KeyGone { key, certificate }),
            None => {
                let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
                private::write(&key, Zeroizing::new(pair.serialize_pem()).as_bytes())?;
                pair
            }
            Some(_) if there => match check_dates(&certificate, &read_chain(&certificate, "certificate")?, now) {
                Err(CertificateError::Expired(..)) => own_pair(&key)?,
                _ => return Ok(()),
            },
            Some(_) => own_pair(&key)?,
        };
        let made = own_certificate(&pair, &self.names, now)?;
        Ok(private::write(&certificate, made.pem().as_bytes())?)
    }
}

impl CertificateSource for Files {
    fn load(&self, now: SystemTime) -> Result<Material, CertificateError> {
        if self.settings.certificate.is_none() {
            self.make_own(now)?;
        }
        let (certificate, key) = self.paths();
        let chain = read_chain(&certificate, "certificate")?;
        check_dates(&certificate, &chain, now)?;
        let signer = read_key(&key)?;
        let pair = CertifiedKey::new(chain.clone(), Arc::clone(&signer));
        if pair.keys_match().is_err() {
            return Err(CertificateError::Mismatch { key, certificate });
        }
        let mut material = Material { chain, key: signer, client_ca: Vec::new(), client_crl: Vec::new() };
        if let (Some(ca), false) =
            (&self.settings.client_ca, self.settings.client_certificates == ClientCertificates::Off)
        {
            material.client_ca = read_chain(ca, "client_ca")?;
            for path in &self.settings.client_crl {
                material.client_crl.extend(read_crl(path, now)?);
            }
            let named = self.settings.client_crl.first().unwrap_or(ca);
            clients::verifier(&material, self.settings.client_certificates)
                .map_err(|e| CertificateError::Clients(named.clone(), e.to_string()))?;
        }
        Ok(material)
    }
}

/// Names for farpane's own certificate: the host's, and the addresses of the listeners that can be named.
pub fn own_names<'a>(host: &str, listeners: impl IntoIterator<Item = &'a ListenAddr>) -> Vec<String> {
    let mut names: Vec<String> = vec!["localhost".into(), "127.0.0.1".into(), "::1".into()];
    let addresses = listeners.into_iter().filter_map(ListenAddr::host_port).filter_map(|at| at.ip());
    let all = std::iter::once(host.to_owned())
        .filter(|name| !name.is_empty() && name.is_ascii())
        .chain(addresses.filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string()));
    for name in all {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Our certificate for a key, signed with it.
fn own_certificate(pair: &KeyPair, names: &[String], now: SystemTime) -> Result<rcgen::Certificate, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    let mut subject = DistinguishedName::new();
    // a common name has at most 64 letters (RFC 5280, appendix A.1); the names that count are in the alternative names
    let host = names.iter().find(|n| n.len() <= 64 && !matches!(n.as_str(), "localhost" | "127.0.0.1" | "::1"));
    subject.push(DnType::CommonName, host.map_or("localhost", String::as_str));
    subject.push(DnType::OrganizationName, "farpane");
    params.distinguished_name = subject;
    params.not_before = now.checked_sub(CLOCK_SLACK).unwrap_or(now).into();
    params.not_after = now.checked_add(OWN_LIFE).unwrap_or(now).into();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.self_signed(pair)
}

fn own_pair(path: &Path) -> Result<KeyPair, CertificateError> {
    let bytes = private::read(path, MAX_KEY)?.ok_or_else(|| CertificateError::Missing(path.to_owned(), "key"))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| CertificateError::NoKey(path.to_owned()))?;
    KeyPair::from_pem(text).map_err(|_| CertificateError::NoKey(path.to_owned()))
}

/// Reads a file that anybody may read.
fn read_public(path: &Path, most: u64, setting: &'static str) -> Result<Vec<u8>, CertificateError> {
    let fail = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => CertificateError::Missing(path.to_owned(), setting),
        _ => CertificateError::Read(path.to_owned(), error),
    };
    let file = std::fs::File::open(path).map_err(fail)?;
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > most {
        return Err(CertificateError::Large(path.to_owned(), most));
    }
    Ok(bytes)
}

/// The certificates in a PEM file, in its order; `setting` is the key in `[tls]` that names it.
///
/// # Errors
/// When the file cannot be read or holds none.
pub fn read_chain(path: &Path, setting: &'static str) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let bytes = read_public(path, MAX_CHAIN, setting)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|e| CertificateError::Unreadable(path.to_owned(), e.to_string()))?;
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate(path.to_owned()));
    }
    Ok(chain)
}

/// The private key in a PEM file that only its owner can read.
///
/// # Errors
/// When others could read it, or it holds no key that TLS can use.
pub fn read_key(path: &Path) -> Result<Arc<dyn SigningKey>, CertificateError> {
    let bytes =
        private::read_linked(path, MAX_KEY)?.ok_or_else(|| CertificateError::Missing(path.to_owned(), "key"))?;
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| CertificateError::NoKey(path.to_owned()))?;
    let key = Zeroizing::new(key);
    rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)
        .map_err(|error| CertificateError::BadKey(path.to_owned(), error))
}

fn read_crl(path: &Path, now: SystemTime) -> Result<Vec<CertificateRevocationListDer<'static>>, CertificateError> {
    let bytes = read_public(path, MAX_CRL, "client_crl")?;
    let lists: Vec<CertificateRevocationListDer<'static>> = if bytes.first() == Some(&0x30) {
        vec![bytes.into()]
    } else {
        CertificateRevocationListDer::pem_slice_iter(&bytes)
            .collect::<Result<_, _>>()
            .map_err(|e| CertificateError::Unreadable(path.to_owned(), e.to_string()))?
    };
    if lists.is_empty() {
        return Err(CertificateError::NoCrl(path.to_owned()));
    }
    for list in &lists {
        let (_, parsed) = x509_parser::parse_x509_crl(list).map_err(|_| CertificateError::NoCrl(path.to_owned()))?;
        if let Some(next) = parsed.next_update().filter(|next| next.timestamp() < seconds(now)) {
            return Err(CertificateError::Expired(path.to_owned(), next.to_string()));
        }
    }
    Ok(lists)
}

fn seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).ok().and_then(|t| i64::try_from(t.as_secs()).ok()).unwrap_or(0)
}

fn first<'a>(path: &Path, chain: &'a [CertificateDer<'_>]) -> Result<X509Certificate<'a>, CertificateError> {
    let der = chain.first().ok_or_else(|| CertificateError::NoCertificate(path.to_owned()))?;
    let parsed = X509Certificate::from_der(der);
    Ok(parsed.map_err(|e| CertificateError::Unreadable(path.to_owned(), e.to_string()))?.1)
}

fn check_dates(path: &Path, chain: &[CertificateDer<'_>], now: SystemTime) -> Result<(), CertificateError> {
    let certificate = first(path, chain)?;
    let (validity, now) = (certificate.validity(), seconds(now));
    if validity.not_after.timestamp() < now {
        return Err(CertificateError::Expired(path.to_owned(), validity.not_after.to_string()));
    }
    if validity.not_before.timestamp() > now {
        return Err(CertificateError::TooEarly(path.to_owned(), validity.not_before.to_string()));
    }
    Ok(())
}

/// What people compare, and when the certificate ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` prints it.
    pub sha256: String,
    /// The fingerprint of its key; [`Fingerprint::phrase`] makes six words of it.
    pub key: Fingerprint,
    /// Its last second, since 1970.
    pub not_after_s: i64,
    /// Its last second, for people.
    pub not_after: String,
}

impl CertificateFacts {
    /// The facts of the first certificate of a chain; none when it cannot be read.
    pub fn of(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let der = chain.first()?;
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let pairs: Vec<String> = Sha256::digest(der).iter().map(|byte| format!("{byte:02X}")).collect();
        let end = parsed.validity().not_after;
        Some(CertificateFacts {
            sha256: pairs.join(":"),
            key: Fingerprint::of(KeyKind::Tls, parsed.public_key().raw),
            not_after_s: end.timestamp(),
            not_after: end.to_string(),
        })
    }
}
