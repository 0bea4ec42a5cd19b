//! The demo: the built-in scene on loopback, with everything one has to type to see it.

use std::net::{IpAddr, Ipv4Addr};

use crate::backend::SourceSpec;
use crate::config::{Config, ListenerSection, LogSection, Overrides};
use crate::net::{BindError, HostPort, ListenAddr, Listener, ListenerId};

use super::{AppError, run};

/// Ports that are tried in turn; if all are taken the system picks one.
const PORTS: std::ops::RangeInclusive<u16> = 5900..=5920;

/// Serves the built-in 3840x2160 scene on the first free port of 127.0.0.1 from 5900 on, until a signal ends it.
///
/// # Errors
/// When no port can be had.
pub fn demo(log: LogSection) -> Result<(), AppError> {
    let config = Config { source: SourceSpec::Synthetic(Default::default()), log, ..Config::default() };
    let config = config.with(Overrides::default())?;
    run::run(
        config,
        None,
        |_| free_port(),
        |listeners, password| {
            let port = listeners.first().and_then(|a| a.host_port()).map_or(0, |hp| hp.port());
            println!("farpane: look at it with: vncviewer 127.0.0.1::{port}");
            if let Some(password) = password {
                println!("farpane: one-time password: {password}");
            }
        },
    )
}

fn free_port() -> Result<Vec<Listener>, AppError> {
    for port in PORTS.chain([0]) {
        let address = ListenAddr::Tcp(HostPort::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
        match Listener::bind(ListenerId(0), &ListenerSection::at(address).settings()) {
            Ok(listener) => return Ok(vec![listener]),
            Err(BindError::InUse(_)) => {}
            Err(error) => return Err(AppError::failed(error)),
        }
    }
    Err(AppError::Failed("no free port on 127.0.0.1".into()))
}
