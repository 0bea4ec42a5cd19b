//! The program, put together: configuration, listeners, desktop, sessions, signals.
//!
//! Only here is the environment read. The order of a start: the configuration is read and checked against the policy (a
//! refusal ends the program before anything listens), all listeners are bound, the desktop is opened, and when a client can
//! connect each listener is printed on stdout.

mod bench;
mod demo;
mod gate;
mod logging;
mod record;
mod run;

use std::path::PathBuf;
use std::sync::Arc;

use crate::backend::discover::{self, Environment, RouteState};
use crate::clipboard::ClipboardOptions;
use crate::config::{Config, ConfigError, Overrides};
use crate::helper::InProcess;
use crate::security::{PasswordError, Passwords, SecurityKind};

pub use bench::{Benchmark, Encoder, Measured, bench};
pub use demo::demo;
pub use record::{Recording, record};
pub use run::serve;

/// Why the program ends before its time; decides its exit status.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// What the user asked for cannot be or is refused by policy: status 2.
    #[error("{0}")]
    Usage(String),
    /// Something failed: status 1.
    #[error("{0}")]
    Failed(String),
}

impl AppError {
    /// The exit status.
    pub fn status(&self) -> u8 {
        match self {
            AppError::Usage(_) => 2,
            AppError::Failed(_) => 1,
        }
    }

    fn failed(error: impl std::fmt::Display) -> Self {
        AppError::Failed(error.to_string())
    }
}

impl From<ConfigError> for AppError {
    fn from(error: ConfigError) -> Self {
        AppError::Usage(error.to_string())
    }
}

impl From<PasswordError> for AppError {
    fn from(error: PasswordError) -> Self {
        AppError::failed(error)
    }
}

/// The files that are looked at when none is named, best first.
fn default_files() -> Vec<PathBuf> {
    let home = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
    let own = home.map(|folder| folder.join("farpane/farpane.toml"));
    own.into_iter().chain([PathBuf::from("/etc/farpane/farpane.toml")]).collect()
}

/// The effective configuration: the named file, or the first of `~/.config/farpane/farpane.toml` and
/// `/etc/farpane/farpane.toml` that is there, with the command line over it; and where it came from.
///
/// # Errors
/// When the file cannot be read or something in it is wrong.
pub fn effective(file: Option<PathBuf>, over: Overrides) -> Result<(Config, Option<PathBuf>), AppError> {
    let file = file.or_else(|| default_files().into_iter().find(|path| path.exists()));
    let base = file.as_deref().map_or_else(|| Ok(Config::default()), Config::read)?;
    let mut config = base.with(over)?;
    let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    for listener in &mut config.listeners {
        let address = listener.address.clone().in_runtime_dir(runtime_dir.as_deref());
        listener.address = address.map_err(|error| AppError::Usage(error.to_string()))?;
    }
    Ok((config, file))
}

/// Prints the effective configuration on stdout.
///
/// # Errors
/// When the configuration is wrong or refused by policy.
pub fn check(file: Option<PathBuf>, over: Overrides) -> Result<String, AppError> {
    let (config, _) = effective(file, over)?;
    config.check()?;
    Ok(config.print()?)
}

/// What the backends may know of the process's surroundings.
fn environment(clipboard: ClipboardOptions) -> Environment {
    let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut env = Environment::new(rustix::process::getuid().as_raw(), Arc::new(InProcess));
    env.display = text("DISPLAY");
    env.xauthority = text("XAUTHORITY").map(PathBuf::from);
    env.wayland_display = text("WAYLAND_DISPLAY");
    env.home = text("HOME").map(PathBuf::from);
    env.runtime_dir = text("XDG_RUNTIME_DIR").map(PathBuf::from);
    env.clipboard = clipboard;
    env
}

/// What could be shared here, one line each, with the reason for every no.
pub fn probe() -> String {
    let routes = discover::probe(&environment(ClipboardOptions::default()));
    let mut out = String::new();
    for route in &routes {
        let (word, rest) = match &route.state {
            RouteState::Usable => ("yes", String::new()),
            RouteState::Unusable { reason, advice } if advice.is_empty() => ("no ", format!(": {reason}")),
            RouteState::Unusable { reason, advice } => ("no ", format!(": {reason}; {advice}")),
        };
        out.push_str(&format!("{word} {:<12} {}{rest}\n", route.source.to_string(), route.what));
    }
    match discover::choose_auto(&routes) {
        Some((source, why)) => out.push_str(&format!("auto takes {source}: {why}\n")),
        None => out.push_str("auto finds nothing to share\n"),
    }
    out
}

/// The passwords of a server: those of the file, or a new one-time password, which is returned to be told.
fn passwords(config: &Config) -> Result<(Option<Passwords>, Option<String>), AppError> {
    let asked = |l| config.offer(l).contains(&SecurityKind::VncAuth);
    if !config.listeners.iter().any(asked) {
        return Ok((None, None));
    }
    match &config.password_file {
        Some(path) => Ok((Some(Passwords::read(path)?), None)),
        None => {
            let (text, passwords) = Passwords::one_time()?;
            Ok((Some(passwords), Some(text)))
        }
    }
}
