//! What a desktop's programs draw on: a display server that needs no screen.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use tokio::process::Command;

use super::child::Child;
use super::parts::{DISPLAY, ON_DEMAND, SCREEN};
use super::{DesktopError, Place, Wish, sway, xvfb};

/// Which display server a desktop has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// X11, by Xvfb.
    #[default]
    Xvfb,
    /// Wayland, by sway without a screen.
    Sway,
}

impl Kind {
    /// What `farpane serve` calls it when there is none yet.
    pub(super) fn source(self) -> &'static str {
        match self {
            Kind::Xvfb => "x11",
            Kind::Sway => "wlroots",
        }
    }
}

/// What programs must not take for theirs: the desktop on which the supervisor was started.
const OTHERS: [&str; 7] =
    ["DISPLAY", "XAUTHORITY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET", "SWAYSOCK", "NOTIFY_SOCKET", ON_DEMAND];

/// Between being asked to end and being ended.
const PATIENCE: Duration = Duration::from_secs(1);

/// A display server that runs.
pub(super) struct Screen {
    pub child: Child,
    /// Its program.
    pub name: &'static str,
    /// What programs need to draw on it.
    pub env: Vec<(&'static str, String)>,
    /// What `farpane serve` calls it.
    pub source: String,
    /// Where it listens.
    pub socket: PathBuf,
    /// What people call it: `:7`, `wayland-1`.
    pub display: String,
    /// The port on loopback that its server has unless told otherwise; 0 for any.
    pub port: u16,
}

impl Screen {
    pub async fn start(wish: &Wish, place: &Place, log: &File) -> Result<Self, DesktopError> {
        place.folder(SCREEN)?;
        let mut screen = match wish.kind {
            Kind::Xvfb => xvfb::start(wish, place, log).await?,
            Kind::Sway => sway::start(wish, place, log).await?,
        };
        // what a server on demand was told beforehand
        let link = place.path(DISPLAY);
        if let Err(error) = std::os::unix::fs::symlink(&screen.socket, &link) {
            screen.child.end(PATIENCE).await;
            return Err(DesktopError::Io(link.display().to_string(), error));
        }
        Ok(screen)
    }

    /// Gives a command the surroundings of the desktop's programs.
    pub fn surround<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        bare(command).envs(self.env.iter().map(|(name, value)| (name, value)))
    }
}

/// Takes from a command what belongs to the desktop on which the supervisor was started.
pub(super) fn bare(command: &mut Command) -> &mut Command {
    for other in OTHERS {
        command.env_remove(other);
    }
    command
}
