//! Starting a helper, and being one.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// This program, whatever became of its file.
pub const THIS_PROGRAM: &str = "/proc/self/exe";

/// Why a helper could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The system refused.
    #[error("helper {0} cannot be started: {1}")]
    Start(&'static str, io::Error),
    /// Standard input is not the socket that a helper gets.
    #[error("standard input is no socket; `farpane serve` starts this by itself")]
    NoSocket,
}

/// What a helper gets of the server's environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surroundings {
    /// Nothing.
    Bare,
    /// All of it, for one that runs what belongs to a desktop.
    Inherited,
}

/// Starts a helper: `program` with the subcommand, in a process group of its own, so that what ends the server from a terminal
/// reaches the helper last. Returns our end of its socket, and the process: it ends when that socket closes, which the end of this
/// process does at the latest, so that nobody needs to wait for it.
///
/// # Errors
/// When the system refuses.
pub fn spawn(
    program: &Path,
    subcommand: &'static str,
    surroundings: Surroundings,
) -> Result<(UnixStream, Child), SpawnError> {
    let start = || {
        let (ours, its) = UnixStream::pair()?;
        let mut command = Command::new(program);
        command.arg0("farpane").arg(subcommand).process_group(0);
        if surroundings == Surroundings::Bare {
            command.env_clear();
        }
        command.stdin(OwnedFd::from(its)).stdout(Stdio::null());
        Ok((ours, command.spawn()?))
    };
    start().map_err(|error| SpawnError::Start(subcommand, error))
}

/// The socket that this process was started with as a helper.
///
/// # Errors
/// When it was not started as one.
pub fn own_socket() -> Result<UnixStream, SpawnError> {
    let input = io::stdin().as_fd().try_clone_to_owned().map_err(|_| SpawnError::NoSocket)?;
    let kind = rustix::net::sockopt::socket_type(&input).map_err(|_| SpawnError::NoSocket)?;
    let family = rustix::net::sockopt::socket_domain(&input).map_err(|_| SpawnError::NoSocket)?;
    if kind != rustix::net::SocketType::STREAM || family != rustix::net::AddressFamily::UNIX {
        return Err(SpawnError::NoSocket);
    }
    Ok(UnixStream::from(input))
}
