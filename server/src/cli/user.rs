//! `farpane user`: the server's own users.
//!
//! Passwords and codes come from the terminal or as lines of standard input, never from arguments, which other users see.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::password;
use crate::app;
use crate::auth::Stored;
use crate::auth::login::MAX_REPLY;
use crate::auth::totp::{CodeHash, Recovery, Seed, Used};
use crate::auth::users::{User, UserFile, UserFileError, Users};
use crate::config::Overrides;

/// A shorter password is guessed too soon.
const LEAST_PASSWORD: usize = 8;
/// The largest file that is imported.
const MOST_IMPORT: u64 = 1024 * 1024;
/// How apps name the account.
const ISSUER: &str = "farpane";

#[derive(Args, Debug)]
pub(super) struct UserArgs {
    #[command(subcommand)]
    what: What,
    /// The user file [default: auth.users of the configuration, else users in the folder for keys and state]
    #[arg(long, value_name = "FILE", global = true)]
    file: Option<PathBuf>,
    /// The configuration file
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Add a user; asks for the password on the terminal, or reads a line of stdin
    Add {
        name: String,
        /// The user's groups, with commas
        #[arg(long, value_name = "LIST", value_delimiter = ',')]
        groups: Vec<String>,
    },
    /// Give a user another password
    Passwd { name: String },
    /// Set up codes of an authenticator app for a user, and recovery codes; those before are void
    Totp {
        name: String,
        /// Make codes with SHA-256, which some apps cannot do
        #[arg(long)]
        sha256: bool,
    },
    /// List the users and what they log in with
    List,
    /// Remove a user
    Remove { name: String },
    /// Let a user log in no more, and keep what is in the file
    Disable { name: String },
    /// Let a disabled user log in again
    Enable { name: String },
    /// Add the users of a file of lines NAME:BCRYPT (as htpasswd -B makes it), or one user with the password of a VNC password file
    Import {
        #[arg(value_name = "PATH")]
        from: PathBuf,
        /// The user that a VNC password file is for
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
}

/// Where replies come from.
enum Replies<'a> {
    Terminal,
    Lines(&'a mut dyn BufRead),
}

impl Replies<'_> {
    fn one(&mut self, prompt: &str) -> anyhow::Result<Zeroizing<String>> {
        let mut text = match self {
            Replies::Terminal => Zeroizing::new(password::ask(prompt)?),
            Replies::Lines(input) => {
                // room from the start: growing would leave copies behind
                let mut text = Zeroizing::new(String::with_capacity(MAX_REPLY.saturating_add(2)));
                let most = u64::try_from(MAX_REPLY.saturating_add(2)).unwrap_or(u64::MAX);
                let n = input.take(most).read_line(&mut text)?;
                if n == 0 {
                    bail!("no {} on stdin (expected a line)", prompt.to_lowercase());
                }
                text
            }
        };
        let length = text.trim_end_matches(['\n', '\r']).len();
        text.truncate(length);
        if text.len() > MAX_REPLY {
            bail!("{} of more than {MAX_REPLY} bytes", prompt.to_lowercase());
        }
        Ok(text)
    }

    fn new_password(&mut self) -> anyhow::Result<Stored> {
        let first = self.one("Password")?;
        if matches!(self, Replies::Terminal) && *first != *self.one("Again")? {
            bail!("the two passwords differ");
        }
        if first.chars().count() < LEAST_PASSWORD {
            bail!("password of {} characters (expected at least {LEAST_PASSWORD})", first.chars().count());
        }
        Ok(Stored::new(&first)?)
    }
}

/// What one user logs in with, without anything that helps to do so.
fn row(user: &User) -> String {
    let mut parts = Vec::new();
    if user.disabled {
        parts.push("disabled".to_owned());
    }
    match &user.password {
        Some(stored) => parts.push(format!("password ({})", stored.kind())),
        None => parts.push("no password".to_owned()),
    }
    if let Some(seed) = &user.seed {
        parts.push(format!("codes ({}), {} recovery codes left", seed.hash().name(), user.recovery.left()));
    }
    if !user.groups.is_empty() {
        parts.push(format!("groups {}", user.groups.join(", ")));
    }
    format!("{:<16} {}\n", user.name, parts.join("; "))
}

fn set_up_codes(
    file: &UserFile,
    name: &str,
    hash: CodeHash,
    replies: &mut Replies<'_>,
    out: &mut dyn Write,
    now_s: u64,
) -> anyhow::Result<()> {
    if file.load()?.get(name).is_none() {
        return Err(UserFileError::Unknown(name.to_owned()).into());
    }
    let seed = Seed::generate(hash)?;
    writeln!(out, "{}", seed.url(name, ISSUER).reveal())?;
    writeln!(out, "secret for the app: {}", seed.base32().reveal())?;
    out.flush()?;
    let code = replies.one("Code that the app shows")?;
    let mut used = Used::default();
    let Some(step) = seed.step_of(code.trim(), now_s, &used) else {
        bail!("that is not the code of this secret at this time; nothing was changed (is the clock right?)");
    };
    used.spend(step);
    let (texts, recovery) = Recovery::generate()?;
    file.change(|users| {
        let user = users.get_mut(name)?;
        (user.seed, user.used, user.recovery) = (Some(seed), used, recovery);
        Ok(())
    })?;
    writeln!(out, "recovery codes, each good once in place of a code; they are shown only here:")?;
    for text in &texts {
        writeln!(out, "  {}", text.reveal())?;
    }
    writeln!(out, "codes are asked for where auth.chains says so, as in: chains = [[\"userfile\", \"totp\"]]")?;
    Ok(())
}

/// The users of a file that another program made.
fn imported(bytes: &[u8], name: Option<&str>) -> anyhow::Result<Vec<User>> {
    if let (Some(first), 8 | 16) = (bytes.first_chunk::<8>(), bytes.len())
        && !bytes.contains(&b':')
    {
        let name = name.context("a VNC password file names no user (expected --name NAME)")?;
        return Ok(vec![User { password: Some(Stored::from_vnc_file(*first)), ..User::named(name)? }]);
    }
    if name.is_some() {
        bail!(
            "{} bytes are no VNC password file (expected 8 or 16); leave out --name for a file of lines",
            bytes.len()
        );
    }
    let text = std::str::from_utf8(bytes).context("neither a VNC password file nor text")?;
    let mut users = Vec::new();
    for (line, number) in text.lines().zip(1u32..) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, hash) = line.split_once(':').with_context(|| format!("line {number}: no NAME:BCRYPT"))?;
        let user = User::named(name).with_context(|| format!("line {number}"))?;
        if !hash.starts_with("$2") {
            bail!(
                "line {number}: user {name} has no bcrypt hash (expected $2a$, $2b$, $2x$ or $2y$); nothing was imported"
            );
        }
        let stored = Stored::parse(hash.trim_end()).with_context(|| format!("line {number}: user {name}"))?;
        users.push(User { password: Some(stored), ..user });
    }
    Ok(users)
}

fn import(file: &UserFile, from: &Path, name: Option<&str>, out: &mut dyn Write) -> anyhow::Result<()> {
    let shown = from.display();
    let mut bytes = Zeroizing::new(Vec::new());
    let opened = std::fs::File::open(from).with_context(|| shown.to_string())?;
    opened.take(MOST_IMPORT.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_IMPORT {
        bail!("{shown}: more than {MOST_IMPORT} bytes");
    }
    let new = imported(&bytes, name).with_context(|| shown.to_string())?;
    let names: Vec<String> = new.iter().map(|user| user.name.clone()).collect();
    let weak = new.iter().any(|user| user.password.as_ref().is_some_and(|p| p.kind().contains("weak")));
    file.change(|users| new.into_iter().try_for_each(|user| users.add(user)))?;
    writeln!(out, "imported: {}", names.join(" "))?;
    if weak {
        writeln!(
            out,
            "of a VNC password only the first 8 bytes count, for ever; `farpane user passwd NAME` makes a better one"
        )?;
        if bytes.len() == 16 {
            writeln!(out, "the view-only password was left out")?;
        }
    }
    Ok(())
}

fn carry_out(
    what: &What,
    file: &UserFile,
    replies: &mut Replies<'_>,
    out: &mut dyn Write,
    now_s: u64,
) -> anyhow::Result<()> {
    let switch = |name: &str, disabled| {
        let change = |users: &mut Users| users.get_mut(name).map(|user| user.disabled = disabled);
        file.change(change)
    };
    match what {
        What::Add { name, groups } => {
            let user = User { groups: groups.clone(), ..User::named(name)? };
            // before anybody types a password for nothing
            if file.load()?.get(name).is_some() {
                return Err(UserFileError::Exists(name.clone()).into());
            }
            let user = User { password: Some(replies.new_password()?), ..user };
            file.change(|users| users.add(user))?;
        }
        What::Passwd { name } => {
            file.load()?.get(name).ok_or_else(|| UserFileError::Unknown(name.clone()))?;
            let stored = replies.new_password()?;
            file.change(|users| users.get_mut(name).map(|user| user.password = Some(stored)))?;
        }
        What::Totp { name, sha256 } => {
            let hash = if *sha256 { CodeHash::Sha256 } else { CodeHash::Sha1 };
            set_up_codes(file, name, hash, replies, out, now_s)?;
        }
        What::List => {
            let users = file.load()?;
            if users.iter().next().is_none() {
                writeln!(out, "no users in {}; `farpane user add NAME` adds one", file.path().display())?;
            }
            for user in users.iter() {
                out.write_all(row(user).as_bytes())?;
            }
        }
        What::Remove { name } => file.change(|users| users.remove(name))?,
        What::Disable { name } => switch(name, true)?,
        What::Enable { name } => switch(name, false)?,
        What::Import { from, name } => import(file, from, name.as_deref(), out)?,
    }
    Ok(())
}

/// Does what was asked.
pub(super) fn run(args: &UserArgs) -> anyhow::Result<()> {
    let path = match &args.file {
        Some(file) => file.clone(),
        None => {
            let config = app::effective(args.config.clone(), Overrides::default())?;
            match &config.auth.users {
                Some(file) => file.clone(),
                None => app::state_folder(&config)?.join("users"),
            }
        }
    };
    let file = UserFile::new(path);
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let stdin = io::stdin();
    let out = &mut io::stdout();
    if stdin.is_terminal() {
        return carry_out(&args.what, &file, &mut Replies::Terminal, out, now_s);
    }
    carry_out(&args.what, &file, &mut Replies::Lines(&mut stdin.lock()), out, now_s)
}

/// Runs one login through PAM for the judge at the other end of standard input.
#[cfg(feature = "pam")]
pub(super) fn pam_helper() -> anyhow::Result<()> {
    use std::os::fd::AsFd;
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    Ok(crate::auth::pam_helper(&socket.into())?)
}

#[cfg(test)]
mod tests;
