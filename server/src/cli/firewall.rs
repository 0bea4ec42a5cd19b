//! `farpane firewall`: the rule set of the listeners in force.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::app::{self, AppError};
use crate::config::Overrides;
use crate::exposure::firewall::{self, Backend, Network};
use crate::net::ListenAddr;

#[derive(Args, Debug)]
pub(super) struct FirewallArgs {
    /// What loads it
    #[arg(long, value_enum)]
    backend: Loader,
    /// A network that may connect, like 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7; may be given more than once
    #[arg(long, value_name = "NET", conflicts_with = "remove")]
    allow: Vec<Network>,
    /// Print what takes the rules away again
    #[arg(long)]
    remove: bool,
    /// Listeners in place of the configuration's, as in `farpane serve`
    #[arg(long, value_name = "ADDR")]
    listen: Vec<ListenAddr>,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Loader {
    /// `nft -f -`
    Nftables,
    /// `iptables-restore --noflush` and `ip6tables-restore --noflush`
    Iptables,
}

/// The text to print.
///
/// # Errors
/// When the configuration is wrong, or there is nothing that rules could say.
pub(super) fn run(args: FirewallArgs) -> Result<String, AppError> {
    let backend = match args.backend {
        Loader::Nftables => Backend::Nftables,
        Loader::Iptables => Backend::Iptables,
    };
    if args.remove {
        return Ok(firewall::removal(backend).to_owned());
    }
    let config = app::effective(args.config, Overrides { listen: args.listen, ..Overrides::default() })?;
    let listeners: Vec<ListenAddr> = config.listeners.into_iter().map(|l| l.address).collect();
    firewall::rules(backend, &listeners, &args.allow).map_err(|error| AppError::Usage(error.to_string()))
}
