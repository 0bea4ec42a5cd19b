//! Who may sign certificates of clients, and which of those are revoked.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use super::certificate::Material;
use super::config;
use super::settings::ClientCertificates;

/// What asks clients for a certificate and judges it: the chain, the dates, the purpose (client authentication, where the
/// certificate names purposes) and, with lists of revoked ones, that it is on none.
///
/// With lists, the issuer of the client's own certificate must have one that is not out of date: who is on no list because there
/// is none does not get in. CAs in between are looked up in the lists that are there.
///
/// # Errors
/// When a CA certificate or a list cannot be used.
pub(super) fn verifier(
    material: &Material,
    asked: ClientCertificates,
) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
    if asked == ClientCertificates::Off {
        return Ok(WebPkiClientVerifier::no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(material.client_ca.iter().cloned());
    if added < material.client_ca.len() {
        // a CA that is left out unseen would shut its clients out
        return Err(VerifierBuilderError::NoRootAnchors);
    }
    let roots = Arc::new(roots);
    let provider = Arc::new(config::provider(128));
    let builder = || {
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
        let builder = builder.with_crls(material.client_crl.iter().cloned()).enforce_revocation_expiration();
        if asked == ClientCertificates::Optional { builder.allow_unauthenticated() } else { builder }
    };
    if material.client_crl.is_empty() {
        return builder().build();
    }
    let own = builder().only_check_end_entity_revocation().build()?;
    let chain = builder().allow_unknown_revocation_status().build()?;
    Ok(Arc::new(Both { own, chain }))
}

/// Two looks at one certificate: its own status must be known, and no CA above it may be known as revoked.
#[derive(Debug)]
struct Both {
    own: Arc<dyn ClientCertVerifier>,
    chain: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for Both {
    fn client_auth_mandatory(&self) -> bool {
        self.own.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.own.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.chain.verify_client_cert(end_entity, intermediates, now)?;
        self.own.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.own.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.own.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.own.supported_verify_schemes()
    }
}
