//! The processes that `serve` starts: nobody types these commands.

use std::ffi::CStr;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::app::{self, AppError};
use crate::{helper, sandbox};

fn failed(error: impl std::fmt::Display) -> AppError {
    AppError::Failed(error.to_string())
}

/// The socket to the server, once this process is called by `name` and nobody looks into it.
fn begin(name: &CStr) -> Result<UnixStream, AppError> {
    let socket = helper::own_socket().map_err(failed)?;
    // a name is for people: without it the process is called after its file
    let _ = rustix::thread::set_name(name);
    sandbox::keep_private().map_err(failed)?;
    Ok(socket)
}

/// Starts helpers for a server until the server ends, and again when they end. They may gain rights by running a program: PAM's own
/// need to.
///
/// # Errors
/// When it was not started by a server, or is told what it does not understand.
pub(super) fn start_helper() -> Result<(), AppError> {
    let socket = begin(c"farpane-start")?;
    let program = Path::new(helper::THIS_PROGRAM);
    helper::start_helper::serve(socket, program).map_err(|error| failed(format_args!("start-helper: {error}")))
}

/// Opens what a server asks for until the server ends.
///
/// # Errors
/// When it was not started by a server, or is told what it does not understand.
pub(super) fn open_helper() -> Result<(), AppError> {
    let socket = begin(c"farpane-open")?;
    sandbox::gain_nothing().map_err(failed)?;
    helper::open_helper::serve(socket).map_err(|error| failed(format_args!("open-helper: {error}")))
}

/// Holds keys and users for a server until the server ends. It may gain rights by running a program: PAM's own need to.
///
/// # Errors
/// When it was not started by a server, or is told what it does not understand.
pub(super) fn auth_helper() -> Result<(), AppError> {
    app::hold_keys(begin(c"farpane-auth")?)
}

/// Runs the gatekeeping hook for a server until the server ends.
///
/// # Errors
/// When it was not started by a server, or is told what it does not understand.
pub(super) fn hook_helper() -> Result<(), AppError> {
    app::run_hooks(begin(c"farpane-hook")?)
}

/// Switches monitors for a server and makes some, and leaves all as it was when the server ends.
///
/// # Errors
/// When it was not started by a server, or is told what it does not understand.
pub(super) fn lights_helper() -> Result<(), AppError> {
    let socket = begin(c"farpane-lights")?;
    sandbox::gain_nothing().map_err(failed)?;
    app::switch_monitors(socket)
}
