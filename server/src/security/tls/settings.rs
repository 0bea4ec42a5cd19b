//! `[tls]` of the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::identity::NameField;
use crate::auth::login::MAX_NAME;

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificates {
    /// None is asked for.
    #[default]
    Off,
    /// One is asked for. A client without one goes on; a client with a bad one does not.
    Optional,
    /// Nobody gets in without a good one.
    Demanded,
}

/// `[tls]`: the server's certificate, and who signs those of clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The server's certificate chain in PEM, its own first; farpane makes one of its own when none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// The private key of that certificate in PEM, without a passphrase, readable by its owner alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Fewest bits of a key that encrypts: 128, or 256 to leave AES-128 out.
    pub min_bits: u16,
    /// Whether clients show a certificate.
    pub client_certificates: ClientCertificates,
    /// Who may sign certificates of clients: CA certificates in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// Revoked certificates of clients: lists in PEM or DER, one of each CA that signs for clients.
    pub client_crl: Vec<PathBuf>,
    /// Which part of a client's certificate names the user.
    pub client_name: NameField,
    /// Which user stands behind a name in a certificate. When empty, the name is the user's; otherwise names that are not
    /// listed are nobody's.
    pub client_users: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            certificate: None,
            key: None,
            min_bits: 128,
            client_certificates: ClientCertificates::Off,
            client_ca: None,
            client_crl: Vec::new(),
            client_name: NameField::CommonName,
            client_users: BTreeMap::new(),
        }
    }
}

/// Settings that do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// One file of two.
    #[error("[tls] certificate and key go together: only {0} is named (name both, or none for farpane's own)")]
    Half(&'static str),
    /// A number that means nothing.
    #[error("[tls] min_bits {0} (expected 128 or 256)")]
    MinBits(u16),
    /// Certificates are wanted and nobody may sign them.
    #[error("[tls] client_certificates needs client_ca: name the CA certificates that sign for clients")]
    NoCa,
    /// A CA or list that nothing uses.
    #[error("[tls] {0} is named, but client_certificates is off (expected optional or demanded)")]
    Unused(&'static str),
    /// A user's name that cannot be one.
    #[error("[tls] client_users {0:?}: user name of {1} bytes (expected 1..=255, no control characters)")]
    User(String, usize),
}

impl Settings {
    /// # Errors
    /// The first thing that does not go together.
    pub fn check(&self) -> Result<(), SettingsError> {
        match (&self.certificate, &self.key) {
            (Some(_), None) => return Err(SettingsError::Half("certificate")),
            (None, Some(_)) => return Err(SettingsError::Half("key")),
            _ => {}
        }
        if !matches!(self.min_bits, 128 | 256) {
            return Err(SettingsError::MinBits(self.min_bits));
        }
        if self.client_certificates == ClientCertificates::Off {
            if self.client_ca.is_some() {
                return Err(SettingsError::Unused("client_ca"));
            }
            if !self.client_crl.is_empty() {
                return Err(SettingsError::Unused("client_crl"));
            }
        } else if self.client_ca.is_none() {
            return Err(SettingsError::NoCa);
        }
        let wrong = |user: &str| user.is_empty() || user.len() > MAX_NAME || user.chars().any(char::is_control);
        match self.client_users.iter().find(|(_, user)| wrong(user)) {
            Some((name, user)) => Err(SettingsError::User(name.clone(), user.len())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_print_and_read_back_and_unknown_keys_are_refused() {
        let mut settings = Settings { client_certificates: ClientCertificates::Demanded, ..Settings::default() };
        settings.client_ca = Some("/etc/farpane/clients.pem".into());
        settings.client_users.insert("Alice Example".into(), "alice".into());
        let text = toml::to_string(&settings).unwrap();
        assert_eq!(toml::from_str::<Settings>(&text).unwrap(), settings);
        assert_eq!(toml::from_str::<Settings>("").unwrap(), Settings::default());
        assert!(toml::from_str::<Settings>("certificat = \"x\"").is_err());
        assert!(toml::from_str::<Settings>("client_name = \"mail\"").is_err());
    }

    #[test]
    fn what_does_not_go_together_is_named() {
        for (text, says) in [
            ("certificate = \"a\"", "only certificate is named"),
            ("key = \"a\"", "only key is named"),
            ("min_bits = 192", "expected 128 or 256"),
            ("client_certificates = \"optional\"", "needs client_ca"),
            ("client_ca = \"a\"", "client_ca is named"),
            ("client_crl = [\"a\"]", "client_crl is named"),
            ("client_users = { a = \"\" }", "expected 1..=255"),
            ("client_users = { a = \"x\\n\" }", "no control characters"),
        ] {
            let said = toml::from_str::<Settings>(text).unwrap().check().unwrap_err().to_string();
            assert!(said.contains(says), "{text}: {said}");
        }
        assert_eq!(Settings::default().check(), Ok(()));
    }
}
