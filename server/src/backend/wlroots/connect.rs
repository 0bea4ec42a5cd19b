//! How a compositor is reached: its name, its socket, what it offers.

use std::path::{Path, PathBuf};

use farpane_engine::capture::wayland::{Connection, Offers, Route, WaylandError, connect_over, offers};
use serde::{Deserialize, Serialize};

use crate::helper::{OpenRequest, Opener, OpenerError};

/// One compositor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its name, as in `WAYLAND_DISPLAY`.
    pub name: String,
    /// Where it listens.
    pub socket: PathBuf,
}

/// Why a compositor cannot be shared; one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answers there.
    #[error("no Wayland compositor at {name}: {source}; start one, or set WAYLAND_DISPLAY to another")]
    Socket {
        /// The compositor.
        name: String,
        /// What the opener said.
        source: OpenerError,
    },
    /// It cannot be captured.
    #[error("{name}: {source}; share it with --source portal, or take a compositor that has one of them")]
    Capture {
        /// The compositor.
        name: String,
        /// What it lacks.
        source: WaylandError,
    },
}

impl ConnectError {
    /// Why, without the advice.
    pub fn reason(&self) -> String {
        match self {
            Self::Socket { source, .. } => source.to_string(),
            Self::Capture { source, .. } => source.to_string(),
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Socket { .. } => "start a compositor there",
            Self::Capture { .. } => "share it with --source portal",
        }
    }
}

impl Target {
    /// The compositor of that name; names without a folder are sockets in the runtime folder.
    pub fn named(name: &str, runtime: &Path) -> Self {
        Self { name: name.to_owned(), socket: runtime.join(name) }
    }

    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn connect(&self, opener: &dyn Opener) -> Result<Connection, ConnectError> {
        let fd = opener
            .open(&OpenRequest::Wayland(self.socket.clone()))
            .map_err(|source| ConnectError::Socket { name: self.name.clone(), source })?;
        connect_over(fd).map_err(|source| self.cannot(source))
    }

    /// Connects and asks what it offers.
    ///
    /// # Errors
    /// When nobody listens or answers.
    pub fn look(&self, opener: &dyn Opener) -> Result<Offers, ConnectError> {
        offers(&self.connect(opener)?).map_err(|source| self.cannot(source))
    }

    /// Connects and finds out how it can be captured.
    ///
    /// # Errors
    /// When nobody listens, or it cannot.
    pub fn route(&self, opener: &dyn Opener) -> Result<Route, ConnectError> {
        self.look(opener)?.route().map_err(|source| self.cannot(source))
    }

    /// What it lacks, with its name.
    pub fn cannot(&self, source: WaylandError) -> ConnectError {
        ConnectError::Capture { name: self.name.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::InProcess;

    #[test]
    fn names_are_sockets_in_the_runtime_folder_or_paths_of_their_own() {
        let runtime = Path::new("/run/user/7");
        assert_eq!(Target::named("wayland-0", runtime).socket, Path::new("/run/user/7/wayland-0"));
        assert_eq!(Target::named("/else/where", runtime).socket, Path::new("/else/where"));
    }

    #[test]
    fn a_socket_that_is_not_there_is_one_line_that_says_what_to_do() {
        let target = Target::named("wayland-9", Path::new("/nonexistent"));
        let said = target.route(&InProcess).expect_err("nobody there").to_string();
        assert!(said.starts_with("no Wayland compositor at wayland-9: /nonexistent/wayland-9: "), "{said}");
        assert!(said.contains("WAYLAND_DISPLAY") && !said.contains('\n'), "{said}");
    }
}
