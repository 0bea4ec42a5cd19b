//! Virtual desktops: a display server without a screen, the programs on it and a farpane that shares it, under one supervisor each.
//!
//! The supervisor is a process of its own (`farpane desktop run`). It holds the lock of its folder as long as it lives; everything it
//! started ends with it, whichever way it ends.

mod child;
mod door;
mod parts;
mod place;
mod restart;
mod screen;
mod serving;
mod supervise;
mod sway;
mod xvfb;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use farpane_engine::geometry::Size;
use serde::{Deserialize, Serialize};

pub use child::{BECOME, be_child};
pub use parts::{ON_DEMAND, Parts};
pub use place::{Place, Running, running};
pub use restart::Restart;
pub use screen::Kind;
pub use supervise::{READY, supervise};
pub use xvfb::RESIZE;

/// Why there is no desktop, or no longer one.
#[derive(Debug, thiserror::Error)]
pub enum DesktopError {
    /// A name that cannot be that of a folder.
    #[error(
        "desktop name {0:?} (expected up to 32 letters, digits, dashes, dots or underscores, a letter or digit first)"
    )]
    Name(String),
    /// A size that no desktop has.
    #[error("size {0:?} (expected WIDTHxHEIGHT, 64x64 to 16384x16384)")]
    Size(String),
    /// It runs already.
    #[error("desktop {0} runs already; `farpane desktop list` shows it, `farpane desktop stop {0}` ends it")]
    Taken(Name),
    /// There is none of that name.
    #[error("no desktop {0} runs; `farpane desktop list` shows those that do")]
    Unknown(Name),
    /// A program is not installed.
    #[error("{0} is not installed or not in PATH{1}")]
    NoProgram(String, &'static str),
    /// A program of the desktop ended that must not, or did not come up.
    #[error("{what} {how}; its last words are in {}", .log.display())]
    Ended {
        /// Which program.
        what: String,
        /// What became of it.
        how: String,
        /// The desktop's log.
        log: PathBuf,
    },
    /// Files, processes, sockets.
    #[error("{0}: {1}")]
    Io(String, io::Error),
}

impl DesktopError {
    /// The same for clients: no command lines and no paths of this machine.
    fn for_clients(&self) -> String {
        match self {
            Self::Ended { how, .. } => format!("it {how}"),
            Self::Io(_, error) => error.to_string(),
            other => other.to_string(),
        }
    }

    fn io(what: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        let what = what.to_string();
        move |error| Self::Io(what, error)
    }
}

/// What a desktop is called: a folder's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Name(String);

impl FromStr for Name {
    type Err = DesktopError;

    fn from_str(text: &str) -> Result<Self, DesktopError> {
        let first = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let all = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if first && all && text.len() <= 32 { Ok(Self(text.into())) } else { Err(DesktopError::Name(text.into())) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The size of a desktop.
///
/// # Errors
/// When the text is none, or no X server can be of that size.
pub fn size(text: &str) -> Result<Size, DesktopError> {
    let wrong = || DesktopError::Size(text.into());
    let (w, h) = text.split_once('x').ok_or_else(wrong)?;
    let side = |text: &str| text.parse().ok().filter(|side| (64..=16_384).contains(side)).ok_or_else(wrong);
    Ok(Size::new(side(w)?, side(h)?))
}

/// What a desktop is to be.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What it is called.
    pub name: Name,
    /// What it is drawn on.
    pub kind: Kind,
    /// Its size at first.
    pub size: Size,
    /// The largest that viewers may make it where the kind cannot grow.
    pub largest: Size,
    /// What runs on it, and its arguments; the user's session where there is none.
    pub command: Vec<String>,
    /// Whether the command is started again.
    pub restart: Restart,
    /// Arguments for `farpane serve`, besides those for the source and the name.
    pub serve: Vec<String>,
    /// Where it listens; none: on loopback, port 5900 and the display's number.
    pub listen: Vec<String>,
    /// Display server and command are started when the first client has been let in.
    pub on_demand: bool,
    /// What its programs say.
    pub log: PathBuf,
}

/// A desktop as its supervisor tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What it is called.
    pub name: Name,
    /// The supervisor's process.
    pub pid: u32,
    /// The process that serves it.
    pub server: Option<u32>,
    /// The X display (`:7`), or the Wayland one; none while it waits for its first login.
    pub display: Option<String>,
    /// Where it listens.
    pub listens: Vec<String>,
    /// What runs on it.
    pub command: Vec<String>,
    /// Since when it is up, or waits; in seconds since 1970.
    pub since: u64,
    /// How often the command was started again.
    pub restarts: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_of_folders() {
        for good in ["a", "7", "build-box", "A.b_c", &"x".repeat(32)] {
            assert_eq!(good.parse::<Name>().map(|n| n.to_string()).ok().as_deref(), Some(good));
        }
        for bad in ["", ".", "..", "-a", "a/b", "a b", "ä", "a\n", &"x".repeat(33)] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes_are_those_of_x_servers() {
        assert_eq!(size("3840x2160").ok(), Some(Size::new(3840, 2160)));
        for bad in
            ["", "x", "0x0", "63x64", "64", "64x", "-64x64", "16385x64", "64x64x64", "1e3x64", "99999x64", "64 x64"]
        {
            assert!(size(bad).is_err(), "{bad:?}");
        }
    }
}
