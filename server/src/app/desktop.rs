//! Virtual desktops, as the command line asks for them.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use farpane_engine::geometry::Size;

use crate::config::LogSection;
use crate::control::{Control, Request};
use crate::desktop::{self, DesktopError, Name, Running, Wish};
use crate::helper::THIS_PROGRAM;

use super::control::runtime_folder;
use super::{AppError, logging};

/// A desktop that runs, and how many look at it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The desktop.
    pub running: Running,
    /// None when its server does not say.
    pub viewers: Option<usize>,
}

fn folder() -> Result<PathBuf, AppError> {
    let hint = "XDG_RUNTIME_DIR is not set; desktops need a folder for sockets (log in, or: loginctl enable-linger)";
    runtime_folder().ok_or_else(|| AppError::Usage(hint.into()))
}

/// Where a desktop's programs write: the file outlives the desktop, and the next one of that name begins it anew.
pub fn log_of(name: &Name) -> Result<PathBuf, AppError> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let state = state.or_else(home).ok_or_else(|| AppError::Usage("neither XDG_STATE_HOME nor HOME is set".into()))?;
    let folder = state.join("farpane/desktops");
    std::fs::create_dir_all(&folder).map_err(|error| AppError::Failed(format!("{}: {error}", folder.display())))?;
    Ok(folder.join(format!("{name}.log")))
}

/// Runs a desktop until it ends. `detached`: it belongs to no terminal. `log`: how what becomes of it is told.
///
/// # Errors
/// When it does not come up, or ends as it should not.
pub fn run_desktop(wish: &Wish, detached: bool, log: LogSection) -> Result<(), AppError> {
    if detached {
        // a process that leads its group already cannot, and needs not
        let _ = rustix::process::setsid();
    }
    let runtime_folder = folder()?;
    logging::start(log);
    let path = std::env::var("PATH").unwrap_or_default();
    let mut tell = |line: &str| {
        // whoever read it may have gone
        let _ = writeln!(std::io::stdout(), "{line}");
    };
    // one thread: programs end with the thread that started them
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AppError::failed)?;
    runtime.block_on(desktop::supervise(wish, &runtime_folder, &path, &mut tell)).map_err(AppError::failed)
}

/// Starts a desktop that stays: `words` is the command line behind `farpane` that runs it. Prints what people need to look at it.
///
/// # Errors
/// When it does not come up.
pub fn start_desktop(wish: &Wish, words: &[OsString]) -> Result<(), AppError> {
    if desktop::running(&folder()?).iter().any(|running| running.name == wish.name) {
        return Err(AppError::failed(DesktopError::Taken(wish.name.clone())));
    }
    // begun anew, then added to by all who write
    let log = std::fs::write(&wish.log, "").and_then(|()| std::fs::File::options().append(true).open(&wish.log));
    let log = log.map_err(|error| AppError::Failed(format!("{}: {error}", wish.log.display())))?;
    let mut supervisor = Command::new(THIS_PROGRAM)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(AppError::failed)?;
    let lines = supervisor.stdout.take().map(|output| BufReader::new(output).lines());
    for line in lines.into_iter().flatten().map_while(Result::ok) {
        println!("{line}");
        if line.starts_with(desktop::READY) {
            return Ok(());
        }
    }
    // it has closed its output, and so ended
    let _ = supervisor.wait();
    let text = std::fs::read_to_string(&wish.log).unwrap_or_default();
    let why = text.lines().rev().find_map(|line| line.strip_prefix("farpane: "));
    Err(AppError::Failed(why.map_or_else(|| format!("it did not come up; see {}", wish.log.display()), str::to_owned)))
}

/// The desktops that run.
///
/// # Errors
/// When there is no folder where they would be.
pub fn desktops() -> Result<Vec<Listed>, AppError> {
    let folder = folder()?;
    let viewers = |running: &Running| {
        let server = running.told.as_ref()?.server?;
        let mut control = Control::connect(&folder.join(format!("control-{server}.sock"))).ok()?;
        Some(control.ask(&Request::List {}).ok()?.sessions.len())
    };
    let all = desktop::running(&folder);
    Ok(all.into_iter().map(|running| Listed { viewers: viewers(&running), running }).collect())
}

fn find(name: &Name) -> Result<Running, AppError> {
    let found = desktop::running(&folder()?).into_iter().find(|running| running.name == *name);
    found.ok_or_else(|| AppError::failed(DesktopError::Unknown(name.clone())))
}

/// What a desktop's server said when it came up.
///
/// # Errors
/// When none of that name runs, or it is not up yet.
pub fn said_by_desktop(name: &Name) -> Result<String, AppError> {
    find(name)?.said().ok_or_else(|| AppError::Failed(format!("desktop {name} is not up yet")))
}

/// Ends one desktop.
///
/// # Errors
/// When none of that name runs, or it does not end.
pub fn stop_desktop(name: &Name) -> Result<(), AppError> {
    find(name)?.stop().map_err(AppError::failed)
}

/// Gives the X desktop that the environment names a size.
///
/// # Errors
/// When it does not take it.
pub fn resize_desktop(size: Size) -> Result<(), AppError> {
    #[cfg(feature = "x11")]
    return crate::backend::x11::set_size(size).map_err(AppError::Failed);
    #[cfg(not(feature = "x11"))]
    Err(AppError::Failed(format!("no X11 in this build: no size {}x{}", size.w, size.h)))
}
