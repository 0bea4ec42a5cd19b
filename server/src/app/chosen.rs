//! Whom the administrator has chosen one by one, where no permissions say who may do what.

use std::collections::BTreeSet;

use nix::unistd::{Uid, User};

use crate::auth::FactorName;
use crate::config::Config;

/// Users who may do everything where `[permissions]` names nobody.
pub(super) struct Chosen {
    /// The account that the server runs as.
    own: Option<String>,
    /// Those whom `tls.client_users` names.
    listed: BTreeSet<String>,
}

impl Chosen {
    /// Those of a configuration. Asks the system for the name of the server's own account.
    pub(super) fn of(config: &Config) -> Self {
        let own = User::from_uid(Uid::effective()).ok().flatten().map(|user| user.name);
        Chosen { own, listed: config.tls.client_users.values().cloned().collect() }
    }

    /// Whether a user who proved these factors is one of them: in the user file by hand, listed for a certificate, or the
    /// owner of the server.
    pub(super) fn has(&self, user: &str, factors: &[String]) -> bool {
        let by = |factor: FactorName| factors.iter().any(|name| name == factor.name());
        by(FactorName::UserFile)
            || (by(FactorName::Certificate) && self.listed.contains(user))
            || (by(FactorName::System) && self.own.as_deref() == Some(user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_of_the_machine_and_certificates_of_a_company_are_not_chosen_by_being_there() {
        let own = User::from_uid(Uid::effective()).unwrap().unwrap().name;
        let text = "[tls]\nclient_ca = \"/ca\"\nclient_certificates = \"optional\"\n[tls.client_users]\n\"Ann Example\" = \"ann\"";
        let chosen = Chosen::of(&Config::parse(text, None).unwrap());
        let has = |user: &str, factors: &[&str]| {
            chosen.has(user, &factors.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>())
        };
        assert!(
            has("bob", &["userfile"]) && has("bob", &["userfile", "totp"]) && has("bob", &["certificate", "userfile"])
        );
        assert!(has("ann", &["certificate"]) && !has("bob", &["certificate"]) && !has("ann", &["system"]));
        assert!(has(&own, &["system"]) && !has("somebody-else", &["system"]));
        assert!(!has(&own, &["certificate"]) && !has(&own, &["totp"]) && !has(&own, &[]));
    }
}
