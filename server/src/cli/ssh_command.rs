//! `farpane ssh-command`: what to type on the viewer's machine.

use std::path::PathBuf;

use clap::{Args, value_parser};

use crate::app::{self, AppError};
use crate::config::Overrides;
use crate::exposure::tunnel::Tunnel;
use crate::net::ListenAddr;

#[derive(Args, Debug)]
pub(super) struct SshCommandArgs {
    /// Your name on this machine [default: who runs this]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// This machine, as the viewer's knows it [default: its own name]
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// The port of this machine's SSH server [default: 22]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// The port on the viewer's machine
    #[arg(long, value_name = "N", default_value_t = 5901, value_parser = value_parser!(u16).range(1..))]
    local_port: u16,
    /// Listeners in place of the configuration's, as in `farpane serve`
    #[arg(long, value_name = "ADDR")]
    listen: Vec<ListenAddr>,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The text to print.
///
/// # Errors
/// When the configuration is wrong, or no listener can be reached through a tunnel.
pub(super) fn run(args: SshCommandArgs) -> Result<String, AppError> {
    let config = app::effective(args.config, Overrides { listen: args.listen, ..Overrides::default() })?;
    let listeners: Vec<ListenAddr> = config.listeners.into_iter().map(|l| absolute(l.address)).collect();
    let own = || std::env::var("LOGNAME").or_else(|_| std::env::var("USER")).ok().filter(|name| !name.is_empty());
    let host = args.host.unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
    let tunnel = Tunnel { user: args.user.or_else(own), host, ssh_port: args.port, local_port: args.local_port };
    tunnel.lines(&listeners).map_err(|error| AppError::Usage(error.to_string()))
}

/// A socket's path from the root on, as a server started here would have it.
fn absolute(listener: ListenAddr) -> ListenAddr {
    match listener {
        ListenAddr::Unix(path) => ListenAddr::Unix(std::path::absolute(&path).unwrap_or(path)),
        other => other,
    }
}
