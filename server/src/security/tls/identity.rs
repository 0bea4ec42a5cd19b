//! From a client's certificate to a user's name.
//!
//! The certificate's chain, dates, purpose and revocation were checked before: here it only says whose it is. A certificate
//! that names several people names nobody.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::auth::login::MAX_NAME;

/// `id-ms-san-upn`: the user principal name, as smart cards of Windows domains have it.
const UPN: &str = "1.3.6.1.4.1.311.20.2.3";
/// DER: `[0]`, constructed.
const EXPLICIT_0: u8 = 0xa0;
/// DER: UTF8String.
const UTF8_STRING: u8 = 0x0c;

/// The part of a certificate that names its user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameField {
    /// The subject's common name.
    #[default]
    CommonName,
    /// The e-mail address in the subject alternative names.
    Email,
    /// The user principal name in the subject alternative names.
    Upn,
}

impl NameField {
    fn words(self) -> &'static str {
        match self {
            NameField::CommonName => "common name",
            NameField::Email => "e-mail address",
            NameField::Upn => "user principal name",
        }
    }
}

/// Why a certificate is nobody's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It cannot be read.
    #[error("client certificate cannot be read")]
    Unreadable,
    /// Nothing in it can be a user's name.
    #[error("client certificate without {0} (expected one, of 1..=255 bytes, no control characters)")]
    Nameless(&'static str),
    /// Its names are not in the table.
    #[error("client certificate of {0:?} (expected a name in [tls] client_users)")]
    Unlisted(String),
    /// More than one person.
    #[error("client certificate of {0} users (expected 1)")]
    Several(usize),
}

/// The user behind a certificate whose chain was checked.
///
/// # Errors
/// When it names nobody, somebody who is not in a `table` that lists others, or several users.
///
/// # Example
/// ```
/// use farpane_server::security::tls::identity::{IdentityError, NameField, user};
/// let garbage = user(b"no certificate", NameField::CommonName, &Default::default());
/// assert_eq!(garbage, Err(IdentityError::Unreadable));
/// ```
pub fn user(der: &[u8], field: NameField, table: &BTreeMap<String, String>) -> Result<String, IdentityError> {
    let names = names(der, field)?;
    let Some(first) = names.first() else { return Err(IdentityError::Nameless(field.words())) };
    let users: BTreeSet<&String> =
        if table.is_empty() { names.iter().collect() } else { names.iter().filter_map(|n| table.get(n)).collect() };
    let mut users = users.into_iter();
    match (users.next(), users.len()) {
        (None, _) => Err(IdentityError::Unlisted(first.clone())),
        (Some(user), 0) => Ok(user.clone()),
        (Some(_), more) => Err(IdentityError::Several(more.saturating_add(1))),
    }
}

/// What a certificate says in `field`, as far as it can be a name.
fn names(der: &[u8], field: NameField) -> Result<BTreeSet<String>, IdentityError> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| IdentityError::Unreadable)?;
    if !rest.is_empty() {
        return Err(IdentityError::Unreadable);
    }
    let usable = |name: &str| !name.is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control);
    let found: BTreeSet<String> = match field {
        NameField::CommonName => {
            certificate.subject().iter_common_name().filter_map(|cn| cn.as_str().ok()).map(str::to_owned).collect()
        }
        NameField::Email | NameField::Upn => {
            let extension = certificate.subject_alternative_name().map_err(|_| IdentityError::Unreadable)?;
            let all = extension.iter().flat_map(|e| e.value.general_names.iter());
            all.filter_map(|name| match (field, name) {
                (NameField::Email, GeneralName::RFC822Name(text)) => Some((*text).to_owned()),
                (NameField::Upn, GeneralName::OtherName(kind, value)) if kind.to_id_string() == UPN => upn(value),
                _ => None,
            })
            .collect()
        }
    };
    Ok(found.into_iter().filter(|name| usable(name)).collect())
}

/// The text in `[0] EXPLICIT UTF8String`.
fn upn(value: &[u8]) -> Option<String> {
    let inner = contents(value, EXPLICIT_0)?;
    std::str::from_utf8(contents(inner, UTF8_STRING)?).ok().map(str::to_owned)
}

/// The contents of the one DER element that `bytes` are, if it has this tag. Lengths up to 65,535.
fn contents(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let (head, rest) = bytes.split_first()?;
    let (length, rest) = match rest {
        [short @ 0..=0x7f, rest @ ..] => (usize::from(*short), rest),
        [0x81, long @ 0x80..=0xff, rest @ ..] => (usize::from(*long), rest),
        [0x82, high @ 1..=0xff, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    (*head == tag && rest.len() == length).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    fn certificate(common_names: &[&str], emails: &[&str], upns: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for name in common_names {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        for email in emails {
            params.subject_alt_names.push(SanType::Rfc822Name((*email).try_into().unwrap()));
        }
        for upn in upns {
            let kind = vec![1, 3, 6, 1, 4, 1, 311, 20, 2, 3];
            params.subject_alt_names.push(SanType::OtherName((kind, (*upn).into())));
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn table(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, user)| ((*name).to_owned(), (*user).to_owned())).collect()
    }

    #[test]
    fn each_field_is_read_and_no_other() {
        let der = certificate(&["Alice"], &["alice@example.org"], &["alice@corp.example"]);
        let of = |field| user(&der, field, &BTreeMap::new());
        assert_eq!(of(NameField::CommonName).unwrap(), "Alice");
        assert_eq!(of(NameField::Email).unwrap(), "alice@example.org");
        assert_eq!(of(NameField::Upn).unwrap(), "alice@corp.example");
        let der = certificate(&["Alice"], &[], &[]);
        for field in [NameField::Email, NameField::Upn] {
            assert!(matches!(user(&der, field, &BTreeMap::new()), Err(IdentityError::Nameless(_))));
        }
    }

    #[test]
    fn a_table_is_exact_and_the_only_way() {
        let der = certificate(&["Alice"], &[], &[]);
        let of = |pairs: &[(&str, &str)]| user(&der, NameField::CommonName, &table(pairs));
        assert_eq!(of(&[("Alice", "al"), ("Bob", "bob")]).unwrap(), "al");
        assert_eq!(of(&[("alice", "al")]), Err(IdentityError::Unlisted("Alice".into())));
        assert_eq!(of(&[("Bob", "Alice")]), Err(IdentityError::Unlisted("Alice".into())));
    }

    #[test]
    fn who_is_several_people_is_nobody() {
        let der = certificate(&[], &["a@x.example", "b@x.example"], &[]);
        let of = |pairs: &[(&str, &str)]| user(&der, NameField::Email, &table(pairs));
        assert_eq!(of(&[]), Err(IdentityError::Several(2)));
        assert_eq!(of(&[("a@x.example", "ann"), ("b@x.example", "bob")]), Err(IdentityError::Several(2)));
        assert_eq!(of(&[("a@x.example", "ann"), ("b@x.example", "ann")]).unwrap(), "ann");
        assert_eq!(of(&[("b@x.example", "bob")]).unwrap(), "bob");
    }

    #[test]
    fn names_that_could_deceive_are_none() {
        for name in ["", "root\0", "a\nb", &"x".repeat(256)] {
            let der = certificate(&[name], &[], &[]);
            let found = user(&der, NameField::CommonName, &BTreeMap::new());
            assert!(matches!(found, Err(IdentityError::Nameless(_))), "{name:?}: {found:?}");
        }
        let longest = "x".repeat(255);
        assert_eq!(user(&certificate(&[&longest], &[], &[]), NameField::CommonName, &BTreeMap::new()), Ok(longest));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn a_broken_certificate_is_an_error_and_no_panic(at in 0usize..400, flip in 1u8..) {
            let mut der = certificate(&["Alice"], &["alice@example.org"], &["alice@corp.example"]);
            let at = at % der.len();
            der[at] ^= flip;
            for field in [NameField::CommonName, NameField::Email, NameField::Upn] {
                let _ = user(&der, field, &BTreeMap::new());
                prop_assert!(user(&der[..at], field, &BTreeMap::new()).is_err());
            }
        }

        #[test]
        fn lengths_that_lie_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            if let Some(inner) = contents(&bytes, EXPLICIT_0) {
                prop_assert!(inner.len() < bytes.len());
            }
        }
    }
}
