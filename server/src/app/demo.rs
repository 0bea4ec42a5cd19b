//! The demo: the built-in scene on loopback, with everything one has to type to see it.

use std::net::{IpAddr, Ipv4Addr};

use crate::backend::SourceSpec;
use crate::config::{Config, ListenerSection, LogSection, Overrides, SecurityList};
use crate::net::{BindError, Bound, HostPort, ListenAddr, ListenerId};
use crate::security::SecurityKind;

use super::{AppError, logging, run};

/// Ports that are tried in turn; if all are taken the system picks one.
const PORTS: std::ops::RangeInclusive<u16> = 5900..=5920;

/// Serves the built-in 3840x2160 scene on the first free port of 127.0.0.1 from 5900 on, until a signal ends it.
///
/// # Errors
/// When no port can be had.
pub fn demo(log: LogSection) -> Result<(), AppError> {
    // a one-time password and no dialogues: nobody but this machine's users can connect, and it ends with the terminal
    let security = Some(SecurityList(vec![SecurityKind::VncAuth]));
    let config =
        Config { source: SourceSpec::Synthetic(Default::default()).into(), security, log, ..Config::default() };
    let config = config.with(Overrides::default())?;
    logging::start(config.log);
    run::run(config, &[], &[], |_, _| free_port())
}

fn free_port() -> Result<Vec<Bound>, AppError> {
    for port in PORTS.chain([0]) {
        let address = ListenAddr::Tcp(HostPort::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
        match Bound::bind(ListenerId(0), &ListenerSection::at(address).settings()) {
            Ok(listener) => return Ok(vec![listener]),
            Err(BindError::InUse(_)) => {}
            Err(error) => return Err(AppError::failed(error)),
        }
    }
    Err(AppError::Failed("no free port on 127.0.0.1".into()))
}
