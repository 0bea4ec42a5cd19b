//! What the administrator says about who may come and what they may do.

mod ip_rules;
mod permissions;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use ip_rules::{IpRule, IpRules, RuleError, Verdict};
pub use permissions::{Entry, Permission, PermissionSettings, Permissions, UnknownPermission};

/// `[access]`: from where connections are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessSettings {
    /// Networks that may connect or may not, the first that matches decides; those that nothing matches may.
    pub rules: IpRules,
    /// Proxies that tell the true address by PROXY protocol version 2. They are refused without it.
    pub proxies: Vec<Proxy>,
}

/// A proxy or a network of proxies, as it is written: `10.0.0.5` or `10.0.0.0/28`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Proxy(pub IpNet);

impl TryFrom<String> for Proxy {
    type Error = RuleError;

    fn try_from(text: String) -> Result<Self, RuleError> {
        ip_rules::network(&text).map(Proxy)
    }
}

impl From<Proxy> for String {
    fn from(proxy: Proxy) -> Self {
        ip_rules::network_text(proxy.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_as_they_are_written_and_typos_are_errors() {
        let text = "rules = [\"deny 10.1.0.0/16\", \"allow 10.0.0.0/8\", \"deny all\"]\nproxies = [\"10.0.0.5\", \"2001:db8::/64\"]\n";
        let read: AccessSettings = toml::from_str(text).unwrap();
        assert_eq!(toml::from_str::<AccessSettings>(&toml::to_string(&read).unwrap()).unwrap(), read);
        assert_eq!(toml::to_string(&read).unwrap(), text);
        for wrong in
            ["rule = []", "rules = [\"permit all\"]", "proxies = [\"proxy.example\"]", "proxies = [\"10.0.0.5/8\"]"]
        {
            assert!(toml::from_str::<AccessSettings>(wrong).is_err(), "{wrong}");
        }
        assert_eq!(toml::from_str::<AccessSettings>("").unwrap(), AccessSettings::default());
    }
}
