//! What rustls is told: suites, groups, and that nothing is resumed.
//!
//! AES-GCM goes first because processors have it; then ChaCha20-Poly1305. The server's order counts. TLS 1.2 is left for viewers
//! that have no newer one, with forward secrecy, authenticated ciphers and extended master secrets only (a channel binding means
//! nothing without). The first group is a hybrid of X25519 and ML-KEM-768.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite as suite, kx_group as group};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{Error, SupportedCipherSuite};

use super::certificate::Material;

/// Every suite offered, best first, with the bits of its key.
static SUITES: [(u16, SupportedCipherSuite); 9] = [
    (256, suite::TLS13_AES_256_GCM_SHA384),
    (128, suite::TLS13_AES_128_GCM_SHA256),
    (256, suite::TLS13_CHACHA20_POLY1305_SHA256),
    (256, suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    (256, suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    (128, suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    (128, suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    (256, suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    (256, suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// The cryptography of a server whose ciphers have keys of at least `min_bits`.
pub(super) fn provider(min_bits: u16) -> CryptoProvider {
    CryptoProvider {
        cipher_suites: SUITES.iter().filter(|(bits, _)| *bits >= min_bits).map(|(_, suite)| *suite).collect(),
        kx_groups: vec![group::X25519MLKEM768, group::X25519, group::SECP256R1, group::SECP384R1],
        ..aws_lc_rs::default_provider()
    }
}

/// What one kind of connection is accepted with.
///
/// # Errors
/// When rustls finds the pieces not to fit together.
pub(super) fn server_config(
    min_bits: u16,
    material: &Material,
    verifier: Arc<dyn ClientCertVerifier>,
    protocols: &[&[u8]],
) -> Result<Arc<ServerConfig>, Error> {
    let pair = CertifiedKey::new(material.chain.clone(), Arc::clone(&material.key));
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider(min_bits)))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    config.ignore_client_order = true;
    config.require_ems = true;
    config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
    // A session that is resumed shows no certificate: neither a reload nor a new list of revoked ones would reach it.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_is_authenticated_and_has_forward_secrecy() {
        for suite in provider(128).cipher_suites {
            let name = format!("{:?}", suite.suite());
            assert!(name.starts_with("TLS13_") || name.starts_with("TLS_ECDHE_"), "{name}");
            assert!(name.contains("_GCM_") || name.contains("_POLY1305_"), "{name}");
        }
    }

    #[test]
    fn aes_gcm_of_tls_1_3_goes_first_and_256_bits_leave_128_out() {
        let all = provider(128);
        assert_eq!(all.cipher_suites.first(), Some(&suite::TLS13_AES_256_GCM_SHA384));
        assert_eq!(all.kx_groups.first().unwrap().name(), rustls::NamedGroup::X25519MLKEM768);
        let names = |min_bits| -> Vec<String> {
            provider(min_bits).cipher_suites.iter().map(|s| format!("{:?}", s.suite())).collect()
        };
        assert!(names(128).iter().any(|n| n.contains("AES_128")));
        assert!(!names(256).is_empty() && !names(256).iter().any(|n| n.contains("AES_128")));
    }
}
