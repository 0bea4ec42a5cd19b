//! Monitors for viewers under sway: outputs without hardware, by its own socket. No other compositor of the family is asked.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farpane_engine::geometry::Size;
use rustix::net::sockopt::socket_peercred;
use swayipc::{Connection, Output};

use super::connect::Target;
use crate::backend::lights::LightsError;
use crate::backend::side_car::{Makes, run_of};

/// How long sway may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Makes outputs of one sway, over a connection of its own each time: it happens rarely.
pub struct SwaySideCar<'a> {
    /// The compositor.
    pub target: &'a Target,
    /// Where `SWAYSOCK` says that a sway takes commands; the right one or another.
    pub control: Option<&'a Path>,
}

fn gone(error: impl std::fmt::Display) -> LightsError {
    LightsError::Gone(error.to_string())
}

impl SwaySideCar<'_> {
    /// The socket that this compositor takes commands at: the same process has to listen there.
    fn connect(&self) -> Result<Connection, LightsError> {
        let its = socket_peercred(UnixStream::connect(&self.target.socket).map_err(gone)?).map_err(gone)?;
        let pid = its.pid.as_raw_nonzero();
        let usual = || Some(self.target.socket.parent()?.join(format!("sway-ipc.{}.{pid}.sock", its.uid.as_raw())));
        for path in self.control.map(PathBuf::from).into_iter().chain(usual()) {
            let Ok(stream) = UnixStream::connect(path) else { continue };
            if socket_peercred(&stream).is_ok_and(|other| other.pid == its.pid) {
                stream.set_read_timeout(Some(PATIENCE)).map_err(gone)?;
                stream.set_write_timeout(Some(PATIENCE)).map_err(gone)?;
                return Ok(stream.into());
            }
        }
        Err(LightsError::Refused("it is no sway, which alone makes outputs when it is told to".into()))
    }
}

fn outputs(sway: &mut Connection) -> Result<Vec<Output>, LightsError> {
    sway.get_outputs().map_err(gone)
}

fn tell(sway: &mut Connection, command: &str) -> Result<(), LightsError> {
    let done = sway.run_command(command).map_err(gone)?;
    done.into_iter().collect::<Result<(), _>>().map_err(|error| LightsError::Refused(error.to_string()))
}

/// A name as sway reads it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace(['"', '\\', '\n'], ""))
}

fn set_size(sway: &mut Connection, name: &str, size: Size) -> Result<(), LightsError> {
    tell(sway, &format!("output {} mode --custom {}x{}", quoted(name), size.w, size.h))
}

impl Makes for SwaySideCar<'_> {
    fn run(&self) -> String {
        run_of(&self.target.socket)
    }

    fn has(&mut self, name: &str) -> Result<bool, LightsError> {
        Ok(outputs(&mut self.connect()?)?.iter().any(|output| output.name == name))
    }

    fn make(&mut self, size: Size, _: &[String]) -> Result<String, LightsError> {
        let mut sway = self.connect()?;
        let before = outputs(&mut sway)?;
        tell(&mut sway, "create_output").map_err(|error| match error {
            LightsError::Refused(why) => {
                LightsError::Refused(format!("{why} (on a card, start sway with WLR_BACKENDS=drm,libinput,headless)"))
            }
            error => error,
        })?;
        let is_new = |output: &Output| before.iter().all(|other| other.name != output.name);
        let made = outputs(&mut sway)?.into_iter().find(is_new);
        let name = made.ok_or_else(|| LightsError::Refused("it made no output".into()))?.name;
        match set_size(&mut sway, &name, size) {
            Ok(()) => Ok(name),
            Err(error) => {
                let _ = remove(&mut sway, &name);
                Err(error)
            }
        }
    }

    fn resize(&mut self, name: &str, size: Size) -> Result<(), LightsError> {
        set_size(&mut self.connect()?, name, size)
    }

    fn remove(&mut self, name: &str) -> Result<(), LightsError> {
        let mut sway = self.connect()?;
        if outputs(&mut sway)?.iter().all(|output| output.name != name) {
            return Ok(());
        }
        remove(&mut sway, name)
    }
}

fn remove(sway: &mut Connection, name: &str) -> Result<(), LightsError> {
    tell(sway, &format!("output {} unplug", quoted(name))).map_err(|error| match error {
        LightsError::Refused(why) => {
            LightsError::Refused(format!("{why} (sway takes outputs away from version 1.8 on; until then it stays)"))
        }
        error => error,
    })
}
