//! What is counted, for people, and how they clear it.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::score::{Rule, Score};
use super::source::{site, site_text};
use super::{Name, Source, Throttle, Wait, device, pair_rule};
use crate::auth::Moment;

/// What failures are counted for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bucket {
    /// A network.
    Network(Source),
    /// An IPv6 /48 network, as text.
    Site(String),
    /// A user at a network. Users who never logged in have no name here.
    Pair(Option<String>, Source),
    /// A user, from wherever.
    User(Option<String>),
    /// A known device, by its fingerprint.
    Device(String),
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |user: &Option<String>| match user.as_deref() {
            None => "a name that never logged in".to_owned(),
            Some("") => "no name".to_owned(),
            // names are whatever somebody sent
            Some(name) => format!("user {}", name.escape_default()),
        };
        match self {
            Bucket::Network(source) => write!(f, "{source}"),
            Bucket::Site(site) => write!(f, "{site}"),
            Bucket::Pair(user, source) => write!(f, "{} from {source}", name(user)),
            Bucket::User(user) => write!(f, "{} (never refused)", name(user)),
            Bucket::Device(fingerprint) => write!(f, "device {fingerprint}"),
        }
    }
}

/// One bucket that is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Penalty {
    /// What for.
    pub bucket: Bucket,
    /// Failures that have not faded.
    pub failures: u32,
    /// How long it has to wait still.
    pub wait: Option<Wait>,
}

/// Which penalties to clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// What is counted for this network, its /48 and its pairs.
    Source(Source),
    /// What is counted for this /48 network alone.
    Site(u64),
    /// What is counted for this user, everywhere.
    User(String),
    /// What is counted for this device.
    Device(String),
}

/// Why a text names no penalties.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} (expected an address, a user, user:NAME, device:FINGERPRINT or all)")]
pub struct WhichError(String);

impl FromStr for Which {
    type Err = WhichError;

    fn from_str(text: &str) -> Result<Self, WhichError> {
        let wrong = || WhichError(text.chars().take(64).collect());
        if let Some(name) = text.strip_prefix("user:") {
            return Ok(Which::User(name.to_owned()));
        }
        if let Some(fingerprint) = text.strip_prefix("device:") {
            return device(fingerprint).map(Which::Device).ok_or_else(wrong);
        }
        if text == "all" {
            return Ok(Which::All);
        }
        if let Some(site) = site(text) {
            return Ok(Which::Site(site));
        }
        match text.parse::<Source>() {
            Ok(source) => Ok(Which::Source(source)),
            // a mistyped network is no user's name
            Err(_) if text.is_empty() || text.contains('/') || text.parse::<IpAddr>().is_ok() => Err(wrong()),
            Err(_) => Ok(Which::User(text.to_owned())),
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Which::All => f.write_str("all"),
            Which::Source(source) => write!(f, "{source}"),
            Which::Site(site) => f.write_str(&site_text(*site)),
            Which::User(name) => write!(f, "user:{name}"),
            Which::Device(fingerprint) => write!(f, "device:{fingerprint}"),
        }
    }
}

impl Throttle {
    /// All that is counted, by kind, the longest wait first.
    pub fn list(&self, now: Moment) -> Vec<Penalty> {
        let mut names: HashMap<Name, String> = HashMap::new();
        names.insert(self.name(""), String::new());
        names.extend(self.known_users.iter().map(|((name, _), known)| (*name, known.name.clone())));
        let named = |name: &Name| names.get(name).cloned();
        let penalty = |bucket: Bucket, score: &Score, rule: Option<Rule>| {
            let mut score = *score;
            score.settle(now);
            Penalty { bucket, failures: score.faded(now), wait: rule.and_then(|rule| score.wait(rule, now)) }
        };
        let v4 = self.v4.iter().map(|(ip, s)| penalty(Bucket::Network(Source::V4(*ip)), s, Some(Rule::PLAIN)));
        let v6 = self.v6.iter().map(|(net, s)| penalty(Bucket::Network(Source::V6(*net)), s, Some(Rule::PLAIN)));
        let sites = self.sites.iter().map(|(net, s)| penalty(Bucket::Site(site_text(*net)), s, Some(Rule::SITE)));
        let pairs = self
            .pairs
            .iter()
            .map(|((name, source), s)| penalty(Bucket::Pair(named(name), *source), s, Some(pair_rule(*source))));
        let users = self.users.iter().map(|(name, s)| penalty(Bucket::User(named(name)), s, None));
        let devices = self.devices.iter().map(|(d, s)| penalty(Bucket::Device(d.clone()), s, Some(Rule::PLAIN)));
        let all = v4.chain(v6).chain(sites).chain(pairs).chain(users).chain(devices);
        let mut all: Vec<Penalty> = all.filter(|p| p.failures > 0).collect();
        all.sort_by(|a, b| (b.wait, b.failures).cmp(&(a.wait, a.failures)).then_with(|| a.bucket.cmp(&b.bucket)));
        all
    }

    /// Forgets failures; who is known stays known. Returns how many buckets were emptied.
    pub fn clear(&mut self, which: &Which) -> usize {
        self.changes = self.changes.wrapping_add(1);
        match which {
            Which::All => [
                self.v4.retain(|_, _| false),
                self.v6.retain(|_, _| false),
                self.sites.retain(|_, _| false),
                self.pairs.retain(|_, _| false),
                self.users.retain(|_, _| false),
                self.devices.retain(|_, _| false),
            ]
            .iter()
            .sum(),
            Which::Source(source) => {
                let own = match source {
                    Source::V4(ip) => self.v4.remove(ip),
                    Source::V6(net) => self.v6.remove(net),
                    Source::Local | Source::Proxy => None,
                };
                let around = source.site().and_then(|site| self.sites.remove(&site));
                usize::from(own.is_some())
                    + usize::from(around.is_some())
                    + self.pairs.retain(|(_, from), _| from != source)
            }
            Which::Site(site) => usize::from(self.sites.remove(site).is_some()),
            Which::User(user) => {
                let name = self.name(user);
                usize::from(self.users.remove(&name).is_some()) + self.pairs.retain(|(whose, _), _| *whose != name)
            }
            Which::Device(fingerprint) => usize::from(self.devices.remove(fingerprint).is_some()),
        }
    }
}
