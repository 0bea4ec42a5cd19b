//! Where control sockets lie: one for each server, called after its process.

use std::path::PathBuf;

use crate::control::Bound;

/// Where a service of the system has its control socket when systemd makes the folder (`RuntimeDirectory=farpane`).
const OF_THE_SYSTEM: &str = "/run/farpane";

fn absolute(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

fn of_the_user() -> Option<PathBuf> {
    absolute("XDG_RUNTIME_DIR").map(|folder| folder.join("farpane"))
}

/// The folders in which servers of this user have their control sockets.
pub fn control_folders() -> Vec<PathBuf> {
    of_the_user().into_iter().chain([PathBuf::from(OF_THE_SYSTEM)]).collect()
}

/// The folder for this process's sockets.
pub(super) fn runtime_folder() -> Option<PathBuf> {
    absolute("RUNTIME_DIRECTORY").or_else(of_the_user)
}

/// Opens the control socket of this process. A server without one serves all the same.
pub(super) fn open() -> Option<Bound> {
    let Some(folder) = runtime_folder() else {
        tracing::debug!("no control socket: XDG_RUNTIME_DIR is not set");
        return None;
    };
    let path = folder.join(format!("control-{}.sock", std::process::id()));
    match Bound::bind(&path) {
        Ok(bound) => {
            tracing::debug!(path = %bound.path().display(), "control socket");
            Some(bound)
        }
        Err(error) => {
            tracing::warn!(%error, "no control socket");
            None
        }
    }
}
