//! The administrator's word: settings that neither the configuration file nor the command line can change.
//!
//! A folder of TOML files, read in the order of their names, each with the same keys as the configuration. Whatever stands there
//! is locked; of a key that stands in several, the last file's value counts. The folder and its files belong to root and nobody
//! else can change them: a server that finds it otherwise does not start.

use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{Config, ConfigError};
use crate::helper::folder::{self, FolderError};

/// Where policy files lie.
pub const POLICY_FOLDER: &str = "/etc/farpane/policy.d";
/// No file there is larger.
const MOST_BYTES: u64 = 1 << 20;

/// One locked value.
#[derive(Clone, Debug, PartialEq)]
pub struct Lock {
    /// The key with its section: `session.view_only`.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// The file that says so.
    pub file: PathBuf,
}

/// All locked values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    locks: Vec<Lock>,
}

/// Why the policy cannot be relied on.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// It cannot be read.
    #[error("policy {0}: {1}")]
    Read(PathBuf, io::Error),
    /// Somebody else could change it.
    #[error(
        "policy {0}: belongs to user {1} with mode {2:o} (expected root, and no writing by others); run: chown root {0}; chmod go-w {0}"
    )]
    Open(PathBuf, u32, u32),
    /// Somebody else could put another folder in its place.
    #[error("policy: {0}; it and all folders above must belong to root, and nobody else may write there")]
    Folder(#[from] FolderError),
    /// It is larger than any policy, or no file.
    #[error("policy {0}: is no regular file of at most {MOST_BYTES} bytes")]
    Kind(PathBuf),
    /// It is no configuration.
    #[error("policy: {0}")]
    Parse(#[from] Box<ConfigError>),
}

fn trusted(path: &Path, meta: &std::fs::Metadata, owner: u32) -> Result<(), PolicyFileError> {
    if meta.uid() != owner || meta.mode() & 0o022 != 0 {
        return Err(PolicyFileError::Open(path.to_owned(), meta.uid(), meta.mode() & 0o7777));
    }
    Ok(())
}

/// Reads the very file that was looked at, without being kept waiting by a pipe.
fn text_of(path: &Path, owner: u32) -> Result<String, PolicyFileError> {
    let fail = |error| PolicyFileError::Read(path.to_owned(), error);
    let wait_for_nobody = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(wait_for_nobody).open(path).map_err(fail)?;
    let meta = file.metadata().map_err(fail)?;
    trusted(path, &meta, owner)?;
    if !meta.is_file() || meta.len() > MOST_BYTES {
        return Err(PolicyFileError::Kind(path.to_owned()));
    }
    let mut text = String::new();
    file.take(MOST_BYTES).read_to_string(&mut text).map_err(fail)?;
    Ok(text)
}

impl Policy {
    /// Reads the files `*.toml` of a folder; one that is not there locks nothing. `owner` is whom everything must belong to: root,
    /// but in tests.
    ///
    /// # Errors
    /// When anybody else could change it, or something in it is wrong.
    pub fn read(folder: &Path, owner: u32) -> Result<Self, PolicyFileError> {
        let fail = |error| PolicyFileError::Read(folder.to_owned(), error);
        let entries = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Policy::default()),
            entries => entries.map_err(fail)?,
        };
        trusted(folder, &std::fs::metadata(folder).map_err(fail)?, owner)?;
        folder::trusted_to_the_top(folder, owner)?;
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(fail)?.path();
            if path.extension().is_some_and(|e| e == "toml") {
                files.push(path);
            }
        }
        files.sort();
        let mut policy = Policy::default();
        for path in files {
            let text = text_of(&path, owner)?;
            policy.add(&text, &path).map_err(|error| PolicyFileError::Parse(Box::new(error)))?;
        }
        Ok(policy)
    }

    /// Adds the values of one file's text.
    ///
    /// # Errors
    /// When it is no configuration.
    pub fn add(&mut self, text: &str, file: &Path) -> Result<(), ConfigError> {
        Config::parse(text, Some(file))?;
        // what parsed as a configuration parses as a table
        let table: Table = toml::from_str(text).unwrap_or_default();
        for (key, value) in flat(&table) {
            self.locks.retain(|lock| lock.key != key);
            self.locks.push(Lock { key, value, file: file.to_owned() });
        }
        Ok(())
    }

    /// The locked values, in no particular order.
    pub fn locks(&self) -> &[Lock] {
        &self.locks
    }

    /// The lock that a key is under.
    pub fn lock(&self, key: &str) -> Option<&Lock> {
        let over =
            |lock: &&Lock| key.strip_prefix(&lock.key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        self.locks.iter().find(over)
    }

    /// Lays the locked values over a configuration.
    pub(super) fn lay_over(&self, table: &mut Table) {
        for lock in &self.locks {
            put(table, &lock.key, lock.value.clone());
            if lock.key == "security" {
                forget_listeners_security(table);
            }
        }
    }
}

/// What every listener offers has been decided in one place: none keeps a list of its own.
fn forget_listeners_security(table: &mut Table) {
    for listener in table.get_mut("listener").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(listener) = listener.as_table_mut() {
            listener.remove("security");
        }
    }
}

/// Tables whose keys are names that the administrator makes up. Each is one value: where one name is locked, nobody adds another.
const LISTS_OF_NAMES: [&str; 3] = ["permissions.users", "permissions.groups", "tls.client_users"];

/// Every value of a table by its dotted key. A list is one value, the listeners too, and so are tables of names.
pub(super) fn flat(table: &Table) -> Vec<(String, Value)> {
    fn add(table: &Table, above: &str, all: &mut Vec<(String, Value)>) {
        for (key, value) in table {
            let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
            match value {
                Value::Table(inner) if !LISTS_OF_NAMES.contains(&path.as_str()) => add(inner, &path, all),
                value => all.push((path, value.clone())),
            }
        }
    }
    let mut all = Vec::new();
    add(table, "", &mut all);
    all
}

/// The value of a dotted key.
pub(super) fn get<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((section, within)) => get(table.get(section)?.as_table()?, within),
        None => table.get(key),
    }
}

fn put(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        Some((section, within)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Some(inner) = inner.as_table_mut() {
                put(inner, within, value);
            }
        }
        None => {
            table.insert(key.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_table_of_names_is_locked_as_a_whole_whatever_the_names_are() {
        let mut policy = Policy::default();
        let locked = "[permissions.users.\"john.doe\"]\nallow = [\"view\"]\n[tls]\nmin_bits = 256";
        policy.add(locked, Path::new("/policy/a.toml")).unwrap();
        let file = "[permissions.users.mallory]\nallow = [\"all\"]\n[permissions.groups.staff]\nallow = [\"chat\"]";
        let layers = super::super::Layers { file: Some(("/f".into(), file.into())), policy, ..Default::default() };
        let permissions = layers.effective().unwrap().permissions;
        assert_eq!(permissions.users.keys().collect::<Vec<_>>(), ["john.doe"]);
        assert!(permissions.groups.contains_key("staff"), "another table");
        let tried: Vec<String> = layers.attempts().into_iter().map(|a| a.lock.key).collect();
        assert_eq!(tried, ["permissions.users"]);
        let told = layers.explain("permissions.users").unwrap().to_string();
        assert!(told.contains("john.doe") && told.contains("from policy /policy/a.toml (locked)"), "{told}");
    }

    #[test]
    fn every_table_of_names_is_listed() {
        // whatever takes a name that nobody has thought of takes it under one of these
        let name = "nobody-thought-of-this";
        let table = Table::try_from(Config::default()).unwrap();
        let sections = table.iter().filter_map(|(key, value)| Some((key.clone(), value.as_table()?.clone())));
        let mut seen = Vec::new();
        for (section, inner) in sections {
            for key in inner.iter().filter(|(_, value)| value.is_table()).map(|(key, _)| key) {
                let wild = ["\"x\"", "{}"]
                    .iter()
                    .any(|value| Config::parse(&format!("[{section}.{key}]\n{name} = {value}"), None).is_ok());
                if wild {
                    seen.push(format!("{section}.{key}"));
                }
            }
        }
        seen.sort();
        let mut listed = LISTS_OF_NAMES.to_vec();
        listed.sort_unstable();
        assert_eq!(seen, listed);
    }

    #[test]
    fn files_count_in_the_order_of_their_names_and_others_cannot_write_them() {
        let folder = std::env::temp_dir().join(format!("farpane-policy-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let us = rustix::process::geteuid().as_raw();
        assert_eq!(Policy::read(&folder, us).unwrap(), Policy::default());
        std::fs::create_dir(&folder).unwrap();
        let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(&folder, 0o755);
        let write = |name: &str, text: &str| {
            std::fs::write(folder.join(name), text).unwrap();
            mode(&folder.join(name), 0o644);
        };
        write("20-later.toml", "[session]\nview_only = false\nmax_fps = 5");
        write("10-first.toml", "[session]\nview_only = true\n[log]\nlevel = \"warn\"");
        write("readme.txt", "not = a policy");
        let policy = Policy::read(&folder, us).unwrap();
        assert_eq!(policy.locks().len(), 3);
        assert_eq!(policy.lock("session.view_only").unwrap().value, Value::Boolean(false));
        assert!(policy.lock("session.view_only").unwrap().file.ends_with("20-later.toml"));
        assert!(policy.lock("session").is_none());
        assert!(matches!(Policy::read(&folder, us + 1), Err(PolicyFileError::Open(..))));
        mode(&folder.join("20-later.toml"), 0o664);
        let said = Policy::read(&folder, us).unwrap_err().to_string();
        assert!(said.contains("20-later.toml: belongs to user") && said.contains("chmod go-w"), "{said}");
        write("20-later.toml", "[session]\nview_onyl = true");
        let said = Policy::read(&folder, us).unwrap_err().to_string();
        assert!(said.contains("20-later.toml, line 2: unknown key `view_onyl`: did you mean `view_only`?"), "{said}");
        mode(&folder, 0o777);
        assert!(matches!(Policy::read(&folder, us), Err(PolicyFileError::Open(..))));
        std::fs::remove_dir_all(&folder).unwrap();
        // good by itself, in a folder where others can put another in its place
        let inner = folder.join("policy.d");
        std::fs::create_dir_all(&inner).unwrap();
        mode(&inner, 0o755);
        mode(&folder, 0o777);
        let said = Policy::read(&inner, us).unwrap_err().to_string();
        assert!(said.contains(&*folder.to_string_lossy()) && said.contains("chmod go-w"), "{said}");
        mode(&folder, 0o755);
        assert_eq!(Policy::read(&inner, us).unwrap(), Policy::default());
        let pipe = inner.join("waits.toml");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(matches!(Policy::read(&inner, us), Err(PolicyFileError::Kind(_))));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
