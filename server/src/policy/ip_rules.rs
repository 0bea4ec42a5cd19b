//! Which networks may connect: an ordered list, the first rule that matches decides, and what none matches may.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

/// Rules at most.
const MOST: usize = 10_000;

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// May connect.
    Allow,
    /// May not.
    Deny,
}

/// One rule: `allow 10.0.0.0/8`, `deny 2001:db8::1` or `deny all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IpRule {
    /// What it says.
    pub verdict: Verdict,
    /// Of which network; none is all.
    pub network: Option<IpNet>,
}

/// Why a text is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// It has another form.
    #[error("rule {0:?} (expected allow or deny, and a network, an address or all)")]
    Form(String),
    /// The network is none.
    #[error("network {0:?} (expected an address, or one with a prefix length such as 10.0.0.0/8)")]
    Network(String),
    /// Bits are set that the prefix length leaves out.
    #[error("network {0} (expected {1}, or the address alone)")]
    HostBits(IpNet, IpNet),
    /// There are too many.
    #[error("{0} rules (expected at most {MOST})")]
    TooMany(usize),
}

fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

/// An IPv4 network that is written as an IPv6 one is what it means.
fn canonical(net: IpNet) -> Option<IpNet> {
    match net {
        IpNet::V6(v6) => match v6.addr().to_ipv4_mapped() {
            Some(v4) => Some(IpNet::V4(Ipv4Net::new(v4, v6.prefix_len().checked_sub(96)?).ok()?)),
            None => Some(net),
        },
        IpNet::V4(_) => Some(net),
    }
}

/// Reads a network or an address.
pub(super) fn network(text: &str) -> Result<IpNet, RuleError> {
    let wrong = || RuleError::Network(shortened(text));
    let net = match text.parse::<IpAddr>() {
        Ok(ip) => IpNet::from(ip),
        Err(_) => text.parse::<IpNet>().map_err(|_| wrong())?,
    };
    let net = canonical(net).ok_or_else(wrong)?;
    if net.trunc() == net { Ok(net) } else { Err(RuleError::HostBits(net, net.trunc())) }
}

/// A single address stands without a prefix length.
pub(super) fn network_text(net: IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

impl FromStr for IpRule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let mut words = text.split_ascii_whitespace();
        let (Some(verdict), Some(rest), None) = (words.next(), words.next(), words.next()) else {
            return Err(RuleError::Form(shortened(text)));
        };
        let verdict = match verdict {
            "allow" => Verdict::Allow,
            "deny" => Verdict::Deny,
            _ => return Err(RuleError::Form(shortened(text))),
        };
        let network = if rest == "all" { None } else { Some(network(rest)?) };
        Ok(IpRule { verdict, network })
    }
}

impl fmt::Display for IpRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.verdict {
            Verdict::Allow => "allow ",
            Verdict::Deny => "deny ",
        })?;
        match self.network {
            None => f.write_str("all"),
            Some(net) => f.write_str(&network_text(net)),
        }
    }
}

impl TryFrom<String> for IpRule {
    type Error = RuleError;

    fn try_from(text: String) -> Result<Self, RuleError> {
        text.parse()
    }
}

impl From<IpRule> for String {
    fn from(rule: IpRule) -> Self {
        rule.to_string()
    }
}

/// Rules in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<IpRule>", into = "Vec<IpRule>")]
pub struct IpRules(Vec<IpRule>);

impl TryFrom<Vec<IpRule>> for IpRules {
    type Error = RuleError;

    fn try_from(rules: Vec<IpRule>) -> Result<Self, RuleError> {
        if rules.len() > MOST { Err(RuleError::TooMany(rules.len())) } else { Ok(IpRules(rules)) }
    }
}

impl From<IpRules> for Vec<IpRule> {
    fn from(rules: IpRules) -> Self {
        rules.0
    }
}

impl IpRules {
    /// Whether an address may connect, and which rule says so; none is the default, which allows.
    pub fn judge(&self, ip: IpAddr) -> (Verdict, Option<IpRule>) {
        let ip = ip.to_canonical();
        let matches = |rule: &&IpRule| rule.network.is_none_or(|net| net.contains(&ip));
        let rule = self.0.iter().find(matches).copied();
        (rule.map_or(Verdict::Allow, |rule| rule.verdict), rule)
    }

    /// Whether an address may connect.
    pub fn allow(&self, ip: IpAddr) -> bool {
        self.judge(ip).0 == Verdict::Allow
    }

    /// The rules.
    pub fn as_slice(&self) -> &[IpRule] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules(texts: &[&str]) -> IpRules {
        IpRules::try_from(texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn the_first_rule_that_matches_decides_and_nothing_allows() {
        let table: &[(&[&str], &str, bool)] = &[
            (&[], "192.0.2.1", true),
            (&["deny all"], "192.0.2.1", false),
            (&["deny all"], "2001:db8::1", false),
            (&["allow 10.0.0.0/8", "deny all"], "10.255.0.1", true),
            (&["allow 10.0.0.0/8", "deny all"], "11.0.0.1", false),
            (&["deny 10.1.0.0/16", "allow 10.0.0.0/8", "deny all"], "10.1.2.3", false),
            (&["allow 10.0.0.0/8", "deny 10.1.0.0/16", "deny all"], "10.1.2.3", true),
            (&["deny 192.0.2.1"], "192.0.2.1", false),
            (&["deny 192.0.2.1"], "192.0.2.2", true),
            (&["deny 0.0.0.0/0"], "2001:db8::1", true),
            (&["deny ::/0"], "192.0.2.1", true),
            (&["deny 192.0.2.0/24"], "::ffff:192.0.2.9", false),
            (&["deny ::ffff:192.0.2.0/120"], "192.0.2.9", false),
            (&["deny 2001:db8::/32"], "2001:db8:ffff::1", false),
            (&["deny 2001:db8::/32"], "2001:db9::1", true),
        ];
        for (texts, ip, allowed) in table {
            assert_eq!(rules(texts).allow(ip.parse().unwrap()), *allowed, "{texts:?} {ip}");
        }
        let (verdict, rule) = rules(&["allow 10.0.0.0/8", "deny all"]).judge("11.0.0.1".parse().unwrap());
        assert_eq!((verdict, rule.map(|r| r.to_string())), (Verdict::Deny, Some("deny all".into())));
    }

    #[test]
    fn wrong_rules_say_what_was_expected() {
        for (text, says) in [
            ("", "expected allow or deny"),
            ("allow", "expected allow or deny"),
            ("allow 10.0.0.0/8 tcp", "expected allow or deny"),
            ("Allow all", "expected allow or deny"),
            ("allow 10.0.0.0/33", "expected an address"),
            ("allow example.org", "expected an address"),
            ("allow 10", "expected an address"),
            ("allow ::ffff:192.0.2.0/40", "expected an address"),
            ("deny 10.0.0.1/8", "expected 10.0.0.0/8"),
        ] {
            let said = text.parse::<IpRule>().unwrap_err().to_string();
            assert!(said.contains(says), "{text}: {said}");
        }
        let rule: IpRule = "deny all".parse().unwrap();
        assert!(IpRules::try_from(vec![rule; MOST + 1]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn what_parses_prints_to_itself(text in "(allow|deny) ([0-9.]{1,11}|[0-9a-f:]{1,12}|all)(/[0-9]{1,3})?") {
            if let Ok(rule) = text.parse::<IpRule>() {
                prop_assert_eq!(rule.to_string().parse::<IpRule>(), Ok(rule));
            }
        }
    }
}
