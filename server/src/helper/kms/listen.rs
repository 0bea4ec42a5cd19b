//! The helper's door: who may come in, and a thread for each who does.

use std::convert::Infallible;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::client::Client;
use crate::helper::uinput::{Devices, NODE};

/// Clients at once: servers, of which a machine has few.
const MOST_CLIENTS: usize = 8;

/// Why the helper cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum KmsHelperError {
    /// Another one answers there.
    #[error("{0}: another helper listens there; end it, or name another socket with --socket")]
    Taken(PathBuf),
    /// Something else is there.
    #[error("{0}: is there and is no socket; name another one with --socket")]
    NoSocket(PathBuf),
    /// The system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was to be done.
        what: String,
        /// The system's error.
        source: io::Error,
    },
    /// Nobody could use it.
    #[error("no user may look at screens; name one with --allow USER")]
    Nobody,
}

/// A user who may look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// By number.
    Number(u32),
    /// By name. Whose it is is asked each time that somebody comes: accounts of services may be there only while these run.
    Name(String),
}

impl Allowed {
    fn is(&self, uid: u32) -> bool {
        match self {
            Self::Number(number) => *number == uid,
            Self::Name(name) => {
                matches!(nix::unistd::User::from_name(name), Ok(Some(user)) if user.uid.as_raw() == uid)
            }
        }
    }
}

impl FromStr for Allowed {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Number))
    }
}

/// A helper that listens.
pub struct KmsHelper {
    listener: UnixListener,
    users: Vec<Allowed>,
    input: bool,
}

impl KmsHelper {
    /// Listens at a path for these users; `input` says whether they may type and point, too.
    ///
    /// # Errors
    /// When the system refuses, or somebody else listens there.
    pub fn bind(path: &Path, users: Vec<Allowed>, input: bool) -> Result<Self, KmsHelperError> {
        if users.is_empty() {
            return Err(KmsHelperError::Nobody);
        }
        let failed = |source| KmsHelperError::Io { what: path.display().to_string(), source };
        match std::fs::symlink_metadata(path) {
            Ok(there) if !there.file_type().is_socket() => return Err(KmsHelperError::NoSocket(path.to_owned())),
            Ok(_) if UnixStream::connect(path).is_ok() => return Err(KmsHelperError::Taken(path.to_owned())),
            // one that nobody answers at is left from before
            Ok(_) => std::fs::remove_file(path).map_err(failed)?,
            Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        // whoever connects is asked for his user: the file cannot name several
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).map_err(failed)?;
        Ok(Self { listener, users, input })
    }

    /// Serves until the process is ended.
    ///
    /// # Errors
    /// When nobody can connect any more.
    pub fn serve(self) -> Result<(), KmsHelperError> {
        let busy = Arc::new(AtomicUsize::new(0));
        let users = self.users;
        for socket in self.listener.incoming() {
            let socket = match socket {
                Ok(socket) => socket,
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
                    tracing::warn!(%error, "a client is left waiting");
                    std::thread::sleep(std::time::Duration::from_millis(100));
                    continue;
                }
                Err(source) => return Err(KmsHelperError::Io { what: "accept".into(), source }),
            };
            let Some(uid) = may(&socket, &users) else { continue };
            let place = Place::take(&busy);
            let Some(place) = place else {
                tracing::warn!(uid, "a client is refused: {MOST_CLIENTS} are there");
                continue;
            };
            let input = self.input;
            let run = move || {
                tracing::info!(uid, "a server looks");
                let open = move || {
                    if input {
                        Devices::open(Path::new(NODE)).map_err(|e| e.to_string())
                    } else {
                        Err("the helper was started with --no-input".into())
                    }
                };
                match Client::new(socket, &open).map_err(Into::into).and_then(Client::run) {
                    Ok(()) => tracing::info!(uid, "the server has gone"),
                    Err(error) => tracing::warn!(uid, %error, "a server is left"),
                }
                drop(place);
            };
            if let Err(error) = std::thread::Builder::new().name("kms-client".into()).spawn(run) {
                tracing::warn!(%error, "no thread for a client");
            }
        }
        Ok(())
    }
}

/// The user at the other end, where it may look.
fn may(socket: &UnixStream, users: &[Allowed]) -> Option<u32> {
    let uid = match rustix::net::sockopt::socket_peercred(socket) {
        Ok(peer) => peer.uid.as_raw(),
        Err(error) => {
            tracing::warn!(%error, "a client whose user is not known");
            return None;
        }
    };
    if users.iter().any(|user| user.is(uid)) {
        return Some(uid);
    }
    tracing::warn!(uid, "a user who may not look at screens; the helper's --allow names those who may");
    None
}

/// One of the places for clients.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(busy: &Arc<AtomicUsize>) -> Option<Self> {
        let more = |n| (n < MOST_CLIENTS).then_some(n + 1);
        busy.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok().map(|_| Self(Arc::clone(busy)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_named_or_numbered() {
        let allowed = |text: &str| text.parse::<Allowed>().expect("is one");
        assert!(allowed("0").is(0) && allowed("root").is(0));
        assert!(!allowed("1").is(0) && !allowed("nobody at all").is(0));
        assert_eq!(allowed("65534"), Allowed::Number(65_534));
    }

    #[test]
    fn what_is_no_socket_stays() {
        let path = std::env::temp_dir().join(format!("farpane-kms-listen-{}", std::process::id()));
        std::fs::write(&path, "mine").expect("a file");
        let bind = || KmsHelper::bind(&path, vec![Allowed::Number(0)], false).map(|_| ());
        assert!(matches!(bind(), Err(KmsHelperError::NoSocket(_))));
        std::fs::remove_file(&path).expect("is there");
        let first = KmsHelper::bind(&path, vec![Allowed::Number(0)], false).expect("listens");
        assert!(matches!(bind(), Err(KmsHelperError::Taken(_))));
        drop(first);
        bind().expect("one that nobody answers at is replaced");
        std::fs::remove_file(&path).expect("is there");
        assert!(matches!(KmsHelper::bind(&path, Vec::new(), false), Err(KmsHelperError::Nobody)));
    }
}
