//! What a desktop's programs draw on: a display server that needs no screen.

use std::fs::File;

use tokio::process::Command;

use super::child::Child;
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

/// What programs must not take for theirs: the desktop on which the supervisor was started.
const OTHERS: [&str; 6] = ["DISPLAY", "XAUTHORITY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET", "SWAYSOCK", "NOTIFY_SOCKET"];

/// A display server that runs.
pub(super) struct Screen {
    pub child: Child,
    /// Its program.
    pub name: &'static str,
    /// What programs need to draw on it.
    pub env: Vec<(&'static str, String)>,
    /// What `farpane serve` calls it.
    pub source: String,
    /// What people call it: `:7`, `wayland-1`.
    pub display: String,
    /// The port on loopback that its server has unless told otherwise; 0 for any.
    pub port: u16,
}

impl Screen {
    pub async fn start(wish: &Wish, place: &Place, log: &File) -> Result<Self, DesktopError> {
        match wish.kind {
            Kind::Xvfb => xvfb::start(wish, place, log).await,
            Kind::Sway => sway::start(wish, place, log).await,
        }
    }

    /// Gives a command the surroundings of the desktop's programs.
    pub fn surround<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        for other in OTHERS {
            command.env_remove(other);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)))
    }
}
