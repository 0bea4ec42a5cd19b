//! `[auth]` of the configuration: which proofs let somebody in.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Chains at most.
const MOST_CHAINS: usize = 8;

/// One way to prove something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FactorName {
    /// The one-time password of this run; proves no name.
    Session,
    /// A password of the own user file.
    UserFile,
    /// A code of an authenticator app, or a recovery code; its secret is in the user file.
    Totp,
    /// Whatever PAM asks.
    System,
    /// A client certificate.
    Certificate,
}

const NAMES: [(&str, FactorName); 5] = [
    ("session", FactorName::Session),
    ("userfile", FactorName::UserFile),
    ("totp", FactorName::Totp),
    ("system", FactorName::System),
    ("certificate", FactorName::Certificate),
];

impl FactorName {
    /// As it is written.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, factor)| *factor == self).map_or("", |(name, _)| name)
    }

    /// Whether it asks for a password.
    pub fn is_password(self) -> bool {
        matches!(self, FactorName::Session | FactorName::UserFile | FactorName::System)
    }
}

/// What is wrong with `[auth]`: for the administrator to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// No factor has this name.
    #[error("unknown factor {0:?} (expected session, userfile, totp, system or certificate)")]
    Factor(String),
    /// A chain that lets everybody in.
    #[error("auth.chains has an empty chain (expected at least one factor in each)")]
    Empty,
    /// More than anybody can oversee.
    #[error("auth.chains has {0} chains (expected at most {MOST_CHAINS})")]
    TooMany(usize),
    /// A factor is asked for twice.
    #[error("auth.chains: {0} stands twice in one chain (expected each once)")]
    Twice(&'static str),
    /// Six digits alone can be guessed.
    #[error("auth.chains: a chain of totp alone (expected another factor beside it)")]
    CodeAlone,
    /// The last characters of a password cannot be a code.
    #[error("auth.append_otp {0} (expected 0 for no, or 6: the last six characters of a password are the code)")]
    AppendOtp(u8),
    /// PAM takes no such name.
    #[error("auth.pam_service {0:?} (expected a file name of letters, digits, - and _)")]
    Service(String),
    /// This build cannot.
    #[error("auth.chains: system is not in this build (expected a build with the feature pam)")]
    NoPam,
}

impl FromStr for FactorName {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let found = NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, factor)| *factor).ok_or_else(|| SettingsError::Factor(text.to_owned()))
    }
}

impl fmt::Display for FactorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<FactorName> for String {
    fn from(factor: FactorName) -> Self {
        factor.to_string()
    }
}

impl TryFrom<String> for FactorName {
    type Error = SettingsError;

    fn try_from(text: String) -> Result<Self, SettingsError> {
        text.parse()
    }
}

/// Factors that must all be proved.
pub type Chain = Vec<FactorName>;

/// `[auth]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Chains of factors: all of a chain must be proved, and any one chain lets in; they are tried in this order. Where there
    /// is none: `[["userfile"]]` once the user file has a user, `[["session"]]` before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chains: Option<Vec<Chain>>,
    /// The user file, made by `farpane user add`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<PathBuf>,
    /// 6: viewers that send only a name and a password may send the password with the six digits of the code after it.
    pub append_otp: u8,
    /// The PAM service: a file of this name in /etc/pam.d.
    pub pam_service: String,
    /// A folder of PAM service files in place of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pam_folder: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { chains: None, users: None, append_otp: 0, pam_service: "farpane".into(), pam_folder: None }
    }
}

impl Settings {
    /// Checks what can be checked without looking at files.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), SettingsError> {
        let chains = self.chains.as_deref().unwrap_or_default();
        if chains.len() > MOST_CHAINS {
            return Err(SettingsError::TooMany(chains.len()));
        }
        if self.chains.as_ref().is_some_and(Vec::is_empty) || chains.iter().any(Vec::is_empty) {
            return Err(SettingsError::Empty);
        }
        for chain in chains {
            if let Some((_, twice)) = chain.iter().enumerate().find(|(n, f)| chain.iter().take(*n).any(|g| g == *f)) {
                return Err(SettingsError::Twice(twice.name()));
            }
            if chain.iter().all(|factor| *factor == FactorName::Totp) {
                return Err(SettingsError::CodeAlone);
            }
            if chain.contains(&FactorName::System) && !cfg!(feature = "pam") {
                return Err(SettingsError::NoPam);
            }
        }
        if ![0, 6].contains(&self.append_otp) {
            return Err(SettingsError::AppendOtp(self.append_otp));
        }
        let service = self.pam_service.as_bytes();
        let plain = service.iter().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b));
        if !plain || !(1..=64).contains(&service.len()) {
            return Err(SettingsError::Service(self.pam_service.clone()));
        }
        Ok(())
    }

    /// The chains that are in force where the user file has users, or has none.
    pub fn chains_in_force(&self, has_users: bool) -> Vec<Chain> {
        let own = if has_users { FactorName::UserFile } else { FactorName::Session };
        self.chains.clone().unwrap_or_else(|| vec![vec![own]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        let settings: Settings = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        settings.check().map(|()| settings).map_err(|error| error.to_string())
    }

    #[test]
    fn chains_read_and_print_and_have_defaults() {
        let settings = read(r#"chains = [["certificate"], ["userfile", "totp"]]"#).unwrap();
        let chains = [vec![FactorName::Certificate], vec![FactorName::UserFile, FactorName::Totp]];
        assert_eq!(settings.chains_in_force(false), chains);
        assert_eq!(toml::from_str::<Settings>(&toml::to_string(&settings).unwrap()).unwrap(), settings);
        let settings = read("").unwrap();
        assert_eq!(settings, Settings::default());
        assert_eq!(settings.chains_in_force(false), [[FactorName::Session]]);
        assert_eq!(settings.chains_in_force(true), [[FactorName::UserFile]]);
    }

    #[test]
    fn what_would_let_too_many_in_or_nobody_is_refused() {
        for (text, says) in [
            ("chains = []", "empty"),
            ("chains = [[]]", "empty"),
            (r#"chains = [["userfile"], []]"#, "empty"),
            (r#"chains = [["totp"]]"#, "totp alone"),
            (r#"chains = [["userfile", "userfile"]]"#, "userfile stands twice"),
            (r#"chains = [["pam"]]"#, "unknown factor \"pam\" (expected session"),
            ("append_otp = 8", "append_otp 8 (expected 0 for no, or 6"),
            (r#"pam_service = "../x""#, "pam_service"),
            (r#"pam_service = """#, "pam_service"),
            ("chain = []", "unknown field"),
        ] {
            let said = read(text).expect_err(text);
            assert!(said.contains(says), "{said}");
        }
        let many = format!("chains = [{}]", r#"["session"],"#.repeat(9));
        assert!(read(&many).unwrap_err().contains("9 chains"));
        assert_eq!(read(r#"chains = [["system"]]"#).is_ok(), cfg!(feature = "pam"));
    }
}
