//! The program, put together: configuration, listeners, desktop, sessions, signals.
//!
//! Only here is the environment read. The order of a start: the configuration is read and checked against the policy (a
//! refusal ends the program before anything listens), the desktop is found, helper processes are started, all listeners are
//! bound, the process shuts itself in, threads are started, the desktop is opened through a helper, system calls are filtered,
//! and when a client can connect each listener is printed on stdout.

mod bench;
mod chosen;
mod control;
mod demo;
mod desktop;
mod doorkeeper;
mod gate;
mod gpu;
mod keeping;
mod keys;
mod lights;
mod logging;
mod processes;
mod prove;
mod record;
mod run;
mod secrets;
mod trail;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::backend::discover::{self, Environment, RouteState};
use crate::clipboard::ClipboardOptions;
use crate::config::{Config, ConfigError, Layers, LogSection, Overrides, POLICY_FOLDER, Policy};
use crate::helper::InProcess;
use crate::helper::private::PrivateError;
use crate::security::PasswordError;

pub use bench::{Benchmark, Encoder, Measured, bench};
pub use control::control_folders;
pub use demo::demo;
pub use desktop::{
    Listed, desktops, log_of, resize_desktop, run_desktop, said_by_desktop, start_desktop, stop_desktop,
};
pub use doorkeeper::run_hooks;
pub use gpu::bench_gpu;
pub use lights::switch_monitors;
pub use processes::hold_keys;
pub use record::{Recording, record};
pub use run::serve;
pub use secrets::{PENALTIES, id, state_folder};

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

impl From<PrivateError> for AppError {
    fn from(error: PrivateError) -> Self {
        AppError::failed(error)
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

/// Everything that has a say in the configuration: the named file, or the first of `~/.config/farpane/farpane.toml` and
/// `/etc/farpane/farpane.toml` that is there, the command line over it, and the administrator's policy over both.
///
/// # Errors
/// When a file cannot be read, or the policy is not to be relied on.
pub fn layers(file: Option<PathBuf>, over: Overrides) -> Result<Layers, AppError> {
    let file = file.or_else(|| default_files().into_iter().find(|path| path.exists()));
    let text = |path: PathBuf| match std::fs::read_to_string(&path) {
        Ok(text) => Ok((path, text)),
        Err(error) => Err(ConfigError::Read(path, error)),
    };
    let file = file.map(text).transpose()?;
    let policy = Policy::read(Path::new(POLICY_FOLDER), 0).map_err(ConfigError::from)?;
    Ok(Layers { file, over, policy })
}

/// The effective configuration.
///
/// # Errors
/// When a file cannot be read, or something in one is wrong.
pub fn effective(file: Option<PathBuf>, over: Overrides) -> Result<Config, AppError> {
    in_force(&layers(file, over)?)
}

/// The effective configuration of these layers, with what hangs on this run filled in.
fn in_force(layers: &Layers) -> Result<Config, AppError> {
    let mut config = layers.effective()?;
    let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    for listener in &mut config.listeners {
        let address = listener.address.clone().in_runtime_dir(runtime_dir.as_deref());
        listener.address = address.map_err(|error| AppError::Usage(error.to_string()))?;
    }
    Ok(config)
}

/// Where the value of a key comes from.
///
/// # Errors
/// When there is no such key, or the configuration is wrong.
pub fn explain(file: Option<PathBuf>, over: Overrides, key: &str) -> Result<String, AppError> {
    Ok(layers(file, over)?.explain(key)?.to_string())
}

/// Prints the effective configuration on stdout.
///
/// # Errors
/// When the configuration is wrong or refused by policy.
pub fn check(file: Option<PathBuf>, over: Overrides) -> Result<String, AppError> {
    let config = effective(file, over)?;
    config.check()?;
    Ok(config.print()?)
}

/// What the backends may know of the process's surroundings.
/// The address of the session bus, as D-Bus clients find it.
#[cfg(feature = "notification")]
fn session_bus() -> Option<String> {
    let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    text("DBUS_SESSION_BUS_ADDRESS").or_else(|| Some(format!("unix:path={}/bus", text("XDG_RUNTIME_DIR")?)))
}

fn environment(clipboard: ClipboardOptions) -> Environment {
    let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut env = Environment::new(rustix::process::getuid().as_raw(), Arc::new(InProcess));
    env.display = text("DISPLAY");
    env.xauthority = text("XAUTHORITY").map(PathBuf::from);
    env.wayland_display = text("WAYLAND_DISPLAY");
    env.home = text("HOME").map(PathBuf::from);
    env.runtime_dir = text("XDG_RUNTIME_DIR").map(PathBuf::from);
    env.session_bus = text("DBUS_SESSION_BUS_ADDRESS");
    env.pipewire_remote = text("PIPEWIRE_REMOTE");
    env.kms_helper = text("FARPANE_KMS_SOCKET").map(PathBuf::from);
    env.clipboard = clipboard;
    env
}

/// Begins to log, for commands that are no server.
pub fn log_to_stderr(log: LogSection) {
    logging::start(log);
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
        route.details.iter().for_each(|line| out.push_str(&format!("      {line}\n")));
    }
    match discover::choose_auto(&routes) {
        Some((source, why)) => out.push_str(&format!("auto takes {source}: {why}\n")),
        None => out.push_str("auto finds nothing to share\n"),
    }
    gpu::lines().iter().for_each(|line| out.push_str(&format!("{line}\n")));
    out
}
