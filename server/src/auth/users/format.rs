//! The form of the user file: `farpane-users 1`, then a line a user: the name, and words after it.
//!
//! ```text
//! farpane-users 1
//! # comments and empty lines stay where they are
//! alice groups=staff,admin password=$argon2id$v=19$… totp=sha1:BASE32 used=FLOOR,STEP,… recovery=SALT:HASH,…
//! bob disabled password=$argon2id$v=19$…
//! ```

use std::collections::HashSet;

use zeroize::Zeroizing;

use super::{Line, User, UserFileError, Users};
use crate::auth::login::MAX_NAME;
use crate::auth::stored::Stored;
use crate::auth::totp::{CodeHash, Recovery, Seed, Used};

/// The first line.
const HEADER: &str = "farpane-users 1";

/// Whether this can be a user's name.
pub(super) fn is_name(text: &str) -> bool {
    is_group(text) && !text.starts_with('#')
}

/// Whether this can be a group's name.
pub(super) fn is_group(text: &str) -> bool {
    let length = (1..=MAX_NAME).contains(&text.len());
    length && !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == ',')
}

/// Reads a user file.
///
/// # Errors
/// With the line that is wrong, and what to do.
pub fn parse(bytes: &[u8]) -> Result<Users, UserFileError> {
    let wrong = |line: usize, what: String| UserFileError::Line { path: None, line, what };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|b| **b == b'\n').count().saturating_add(1);
        wrong(line, "not UTF-8; remove what is not text".into())
    })?;
    let mut lines = text.lines().zip(1usize..);
    match lines.next() {
        Some((HEADER, _)) => {}
        Some((other, _)) if other.starts_with("farpane-users ") => {
            let said = format!("{other:?} is of another version (expected {HEADER:?}); use the farpane that wrote it");
            return Err(wrong(1, said));
        }
        _ => return Err(wrong(1, format!("no user file (expected {HEADER:?}); `farpane user add` makes one"))),
    }
    let mut users = Users::default();
    let mut names = HashSet::new();
    for (line, number) in lines {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with('#') {
            users.lines.push(Line::Kept(line.trim_end().to_owned()));
            continue;
        }
        let user = user(bare).map_err(|what| wrong(number, what))?;
        if !names.insert(user.name.clone()) {
            return Err(wrong(number, format!("user {} stands here again; remove one of the lines", user.name)));
        }
        users.lines.push(Line::User(Box::new(user)));
    }
    Ok(users)
}

fn user(line: &str) -> Result<User, String> {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or_default();
    let mut user = User::named(name).map_err(|error| error.to_string())?;
    let mut seen: Vec<&str> = Vec::new();
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        // the value may be a secret: only the key is told
        if seen.contains(&key) {
            return Err(format!("user {name}: {key} stands twice; remove one"));
        }
        seen.push(key);
        match key {
            "groups" => {
                user.groups = value.split(',').map(str::to_owned).collect();
                if let Some(wrong) = user.groups.iter().find(|group| !is_group(group)) {
                    return Err(UserFileError::Group(wrong.clone()).to_string());
                }
            }
            "disabled" if value.is_empty() => user.disabled = true,
            "password" => {
                let stored = Stored::parse(value);
                let advice = |error| format!("user {name}: {error}; `farpane user passwd {name}` makes a new one");
                user.password = Some(stored.map_err(advice)?);
            }
            "totp" => {
                let seed =
                    value.split_once(':').and_then(|(hash, text)| Seed::from_base32(text, CodeHash::named(hash)?));
                user.seed = Some(seed.ok_or_else(|| {
                    format!("user {name}: totp is damaged (expected sha1: or sha256: and 32 letters); `farpane user totp {name}` makes a new one")
                })?);
            }
            "used" => {
                user.used = Used::parse(value).ok_or_else(|| {
                    format!("user {name}: used is damaged (expected numbers with commas); `farpane user totp {name}` begins anew")
                })?;
            }
            "recovery" => {
                user.recovery = Recovery::parse(value).ok_or_else(|| {
                    format!("user {name}: recovery is damaged (expected hexadecimal digits); `farpane user totp {name}` makes new codes")
                })?;
            }
            _ => {
                let key: String = key.chars().take(32).collect();
                return Err(format!(
                    "user {name}: unknown word {key:?} (expected groups=, disabled, password=, totp=, used= or recovery=)"
                ));
            }
        }
    }
    Ok(user)
}

impl Users {
    /// As it stands in the file.
    pub fn print(&self) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity(64 + 512 * self.lines.len()));
        out.push_str(HEADER);
        out.push('\n');
        for line in &self.lines {
            match line {
                Line::Kept(text) => out.push_str(text),
                Line::User(user) => print(user, &mut out),
            }
            out.push('\n');
        }
        out
    }
}

fn print(user: &User, out: &mut String) {
    out.push_str(&user.name);
    if user.disabled {
        out.push_str(" disabled");
    }
    if !user.groups.is_empty() {
        out.push_str(" groups=");
        out.push_str(&user.groups.join(","));
    }
    if let Some(password) = &user.password {
        out.push_str(" password=");
        out.push_str(&password.print());
    }
    if let Some(seed) = &user.seed {
        out.push_str(" totp=");
        out.push_str(seed.hash().name());
        out.push(':');
        out.push_str(seed.base32().reveal());
    }
    if user.used != Used::default() {
        out.push_str(" used=");
        out.push_str(&user.used.print());
    }
    if user.recovery != Recovery::default() {
        out.push_str(" recovery=");
        out.push_str(&user.recovery.print());
    }
}
