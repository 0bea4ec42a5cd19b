//! Who says what: the effective configuration out of default, file, command line and policy, and where each value comes from.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::policy::{self, Lock, Policy};
use super::{Config, ConfigError, Overrides};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// The command line.
    CommandLine,
    /// The administrator's policy.
    Policy(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path) => write!(f, "file {}", path.display()),
            Origin::CommandLine => f.write_str("command line"),
            Origin::Policy(path) => write!(f, "policy {} (locked)", path.display()),
        }
    }
}

/// An attempt to change what policy has locked.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// The lock.
    pub lock: Lock,
    /// Who tried.
    pub by: Origin,
    /// What it was to be.
    pub value: Value,
}

/// A value, and who had a say in it, the strongest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// The key with its section.
    pub key: String,
    /// What is in force; none when nothing is set.
    pub value: Option<Value>,
    /// Everybody who named it.
    pub said: Vec<(Origin, Value)>,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.as_ref().map_or_else(|| "not set".to_owned(), Value::to_string);
        let origin = self.said.first().map_or(&Origin::Default, |(origin, _)| origin);
        writeln!(f, "{} = {value}", self.key)?;
        writeln!(f, "  from {origin}")?;
        self.said.iter().skip(1).try_for_each(|(origin, value)| writeln!(f, "  over {origin}: {value}"))
    }
}

/// Everything that has a say.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The configuration file and its text.
    pub file: Option<(PathBuf, String)>,
    /// The command line.
    pub over: Overrides,
    /// The administrator's policy.
    pub policy: Policy,
}

impl Layers {
    /// The configuration in force.
    ///
    /// # Errors
    /// When a layer is wrong, or they do not go together.
    pub fn effective(&self) -> Result<Config, ConfigError> {
        let base = match &self.file {
            Some((path, text)) => Config::parse(text, Some(path))?,
            None => Config::default(),
        };
        base.lay(self.over.clone()).under(&self.policy)?.finish()
    }

    /// What the layers below policy say of a key.
    fn said(&self, key: &str) -> Vec<(Origin, Value)> {
        let command_line = self.over.told().into_iter().find(|(told, _)| *told == key);
        let command_line = command_line.map(|(_, value)| (Origin::CommandLine, value));
        let file = self.file.as_ref().and_then(|(path, text)| {
            let table: Table = toml::from_str(text).ok()?;
            Some((Origin::File(path.clone()), policy::get(&table, key)?.clone()))
        });
        command_line.into_iter().chain(file).collect()
    }

    /// Where a key's value comes from.
    ///
    /// # Errors
    /// When there is no such key, with the nearest one, or the layers are wrong.
    pub fn explain(&self, key: &str) -> Result<Explained, ConfigError> {
        known(key)?;
        let table = Table::try_from(self.effective()?).map_err(ConfigError::Print)?;
        let lock = self.policy.lock(key).map(|lock| (Origin::Policy(lock.file.clone()), lock.value.clone()));
        let said = lock.into_iter().chain(self.said(key)).collect();
        Ok(Explained { key: key.to_owned(), value: policy::get(&table, key).cloned(), said })
    }

    /// Who tried to change what is locked.
    pub fn attempts(&self) -> Vec<Attempt> {
        let of = |lock: &Lock| {
            let differs = self.said(&lock.key).into_iter().filter(|(_, value)| *value != lock.value);
            let lock = lock.clone();
            differs.map(move |(by, value)| Attempt { lock: lock.clone(), by, value }).collect::<Vec<_>>()
        };
        self.policy.locks().iter().flat_map(of).collect()
    }
}

/// Whether there is such a key: a configuration that sets it says so.
fn known(key: &str) -> Result<(), ConfigError> {
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !key.split('.').all(plain) {
        return Err(ConfigError::Key(key.to_owned(), "expected KEY or SECTION.KEY".into()));
    }
    let text = match key.rsplit_once('.') {
        Some((section, last)) => format!("[{section}]\n{last} = 0"),
        None => format!("{key} = 0"),
    };
    match Config::parse(&text, None::<&Path>) {
        Err(ConfigError::Parse(_, said)) if said.starts_with("unknown key") => {
            Err(ConfigError::Key(key.to_owned(), said))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(file: &str, over: Overrides, locked: &str) -> Layers {
        let mut policy = Policy::default();
        policy.add(locked, Path::new("/policy/a.toml")).unwrap();
        Layers { file: Some(("/f.toml".into(), file.into())), over, policy }
    }

    #[test]
    fn policy_is_over_the_command_line_over_the_file_over_the_default() {
        let file = "[session]\nmax_fps = 7\nlossless = true\nmax_clients = 3";
        let over = Overrides { max_fps: Some(9), max_rate_kbps: Some(10), ..Overrides::default() };
        let layers = layers(file, over, "[session]\nmax_fps = 5\n[log]\nlevel = \"warn\"");
        let config = layers.effective().unwrap();
        assert_eq!((config.session.max_fps, config.session.lossless, config.session.max_clients), (5, true, 3));
        let told = |key: &str| layers.explain(key).unwrap().to_string();
        assert_eq!(
            told("session.max_fps"),
            "session.max_fps = 5\n  from policy /policy/a.toml (locked)\n  over command line: 9\n  over file /f.toml: 7\n"
        );
        assert_eq!(told("session.max_rate_kbps"), "session.max_rate_kbps = 10\n  from command line\n");
        assert_eq!(told("session.lossless"), "session.lossless = true\n  from file /f.toml\n");
        assert_eq!(told("session.view_only"), "session.view_only = false\n  from default\n");
        assert_eq!(told("password_file"), "password_file = not set\n  from default\n");
        let attempts = layers.attempts();
        let tried: Vec<_> = attempts.iter().map(|a| (a.lock.key.as_str(), a.by.clone(), a.value.to_string())).collect();
        assert_eq!(
            tried,
            [
                ("session.max_fps", Origin::CommandLine, "9".into()),
                ("session.max_fps", Origin::File("/f.toml".into()), "7".into())
            ]
        );
    }

    #[test]
    fn several_sources_are_told_and_locked_like_one() {
        let file = "source = [\"x11::1\", \"wlroots\"]\narrange = \"down\"";
        let told = |layers: &Layers, key: &str| layers.explain(key).unwrap().to_string();
        let over = Overrides { source: Some("x11::2".parse().unwrap()), ..Overrides::default() };
        let free = layers(file, over.clone(), "");
        assert_eq!(
            told(&free, "source"),
            "source = \"x11::2\"\n  from command line\n  over file /f.toml: [\"x11::1\", \"wlroots\"]\n"
        );
        assert_eq!(told(&free, "arrange"), "arrange = \"down\"\n  from file /f.toml\n");
        let locked = layers(file, over, "source = [\"kms\", \"x11::1\"]");
        assert_eq!(locked.effective().unwrap().source.all().len(), 2);
        assert!(
            told(&locked, "source")
                .starts_with("source = [\"kms\", \"x11::1\"]\n  from policy /policy/a.toml (locked)")
        );
        assert_eq!(locked.attempts().len(), 2);
    }

    #[test]
    fn locked_security_is_that_of_every_listener() {
        let file = "[[listener]]\naddress = \"127.0.0.1:1\"\nsecurity = \"none\"";
        let over = Overrides { listen: vec!["127.0.0.1:2".parse().unwrap()], ..Overrides::default() };
        let locked = layers(file, over, "security = [\"vncauth\"]").effective().unwrap();
        assert_eq!(locked.listeners.len(), 1);
        assert_eq!(locked.offer(&locked.listeners[0]), ["vncauth".parse().unwrap()]);
        let whole = layers(file, Overrides::default(), "[[listener]]\naddress = \"unix:/x\"");
        assert_eq!(whole.effective().unwrap().listeners[0].address.to_string(), "unix:/x");
        assert_eq!(whole.attempts().len(), 1);
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest() {
        let said = |key: &str| Layers::default().explain(key).unwrap_err().to_string();
        assert!(said("session.max_fsp").contains("did you mean `max_fps`?"), "{}", said("session.max_fsp"));
        assert!(said("max_fps").contains("belongs into [session]"), "{}", said("max_fps"));
        assert!(said("a b").contains("expected KEY or SECTION.KEY"));
        assert!(said("").contains("expected KEY or SECTION.KEY"));
    }
}
