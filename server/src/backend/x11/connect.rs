//! How an X server is reached: display name, socket, authority.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use farpane_engine::capture::x11::{X11Error, connect_over};
use serde::{Deserialize, Serialize};
use x11rb::rust_connection::RustConnection;

use crate::helper::{DisplayAddress, OpenRequest, Opener, OpenerError};

/// The largest authority file that is read.
const MAX_AUTHORITY: u64 = 256 * 1024;

/// One X server and how it lets us in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The display's name, as in `DISPLAY`.
    pub name: String,
    /// Where it listens.
    pub address: DisplayAddress,
    /// Its number.
    pub number: u16,
    /// The screen of it.
    pub screen: usize,
    /// The file with its cookie.
    pub authority: Option<PathBuf>,
    /// The file that its picture lies in, for a server that has one (Xvfb's `-fbdir`).
    pub framebuffer: Option<PathBuf>,
}

impl ConnectError {
    /// Why, without the advice.
    pub fn reason(&self) -> String {
        match self {
            Self::Name(_) => self.to_string(),
            Self::Socket { source, .. } => source.to_string(),
            Self::Refused { reason, .. } => reason.clone(),
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Name(_) => "",
            Self::Socket { .. } => "start an X server there",
            Self::Refused { .. } => "set XAUTHORITY to its owner's authority file",
        }
    }
}

/// Why an X server could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The display's name has another form.
    #[error("display {0:?} (expected :N, :N.SCREEN or HOST:N)")]
    Name(String),
    /// Nobody answers there.
    #[error("no X server at display {display}: {source}; start one, or name another with --source x11:DISPLAY")]
    Socket {
        /// The display.
        display: String,
        /// What the opener said.
        source: OpenerError,
    },
    /// The server does not let us in.
    #[error("display {display} refuses the connection: {reason}; set XAUTHORITY to its owner's authority file")]
    Refused {
        /// The display.
        display: String,
        /// The server's words.
        reason: String,
    },
}

impl Target {
    /// Reads a display's name; `sockets` is the folder with local displays' sockets (`/tmp/.X11-unix`).
    ///
    /// # Errors
    /// When the name is no display's.
    pub fn parse(name: &str, sockets: &std::path::Path, authority: Option<PathBuf>) -> Result<Self, ConnectError> {
        let wrong = || ConnectError::Name(name.to_owned());
        let (host, rest) = name.rsplit_once(':').ok_or_else(wrong)?;
        let (number, screen) = rest.split_once('.').unwrap_or((rest, "0"));
        let number: u16 = number.parse().map_err(|_| wrong())?;
        let screen = screen.parse().map_err(|_| wrong())?;
        let address = match host {
            "" | "unix" => DisplayAddress::Unix(sockets.join(format!("X{number}"))),
            host => DisplayAddress::Tcp { host: host.trim_matches(['[', ']']).to_owned(), number },
        };
        Ok(Self { name: name.to_owned(), address, number, screen, authority, framebuffer: None })
    }

    /// Connects and says who we are.
    ///
    /// # Errors
    /// When nobody listens, or the server refuses.
    pub fn connect(&self, opener: &dyn Opener) -> Result<RustConnection, ConnectError> {
        let fd = opener
            .open(&OpenRequest::Display(self.address.clone()))
            .map_err(|source| ConnectError::Socket { display: self.name.clone(), source })?;
        let authority = self.authority_bytes(opener);
        connect_over(fd, &authority, self.number, self.screen).map_err(|error| {
            let reason = match error {
                X11Error::Unreachable { reason, .. } => reason,
                other => other.to_string(),
            };
            ConnectError::Refused { display: self.name.clone(), reason: reason.trim().replace('\n', " ") }
        })
    }

    /// The authority file, or nothing: many servers ask for none.
    fn authority_bytes(&self, opener: &dyn Opener) -> Vec<u8> {
        use std::io::Read;
        let Some(path) = &self.authority else { return Vec::new() };
        let mut bytes = Vec::new();
        if let Ok(fd) = opener.open(&OpenRequest::XAuthority(path.clone())) {
            let _ = std::fs::File::from(fd).take(MAX_AUTHORITY).read_to_end(&mut bytes);
        }
        bytes
    }

    /// The server's framebuffer file, when it has one that we may read.
    pub fn framebuffer(&self, opener: &dyn Opener) -> Option<OwnedFd> {
        opener.open(&OpenRequest::Framebuffer(self.framebuffer.clone()?)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_parse_to_addresses() {
        let sockets = std::path::Path::new("/s");
        let unix = Target::parse(":3.1", sockets, None).expect("a display");
        assert_eq!((unix.address, unix.screen), (DisplayAddress::Unix("/s/X3".into()), 1));
        let tcp = Target::parse("far:10", sockets, None).expect("a display");
        assert_eq!(tcp.address, DisplayAddress::Tcp { host: "far".into(), number: 10 });
        for wrong in ["", "3", ":", ":x", ":99999", ":1.x"] {
            assert!(Target::parse(wrong, sockets, None).is_err(), "{wrong}");
        }
    }
}
