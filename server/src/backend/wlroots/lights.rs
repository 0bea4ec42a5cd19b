//! Outputs of a compositor off and on again, by wlr-output-management.

use std::time::Instant;

use farpane_engine::capture::wayland::{Monitor, WaylandDisplay};
use farpane_engine::frame::DmaBufs;

use super::connect::Target;
use super::resize::{Facts, Heads, Outcome, Setting, size};
use super::wire::{PATIENCE, Wire, WireError};
use crate::backend::lights::{Dark, Lights, LightsError};
use crate::helper::Opener;

/// Attempts where somebody else changes outputs meanwhile.
const ATTEMPTS: usize = 3;

/// Switches the outputs of one compositor, over a connection of its own each time: it happens rarely.
pub struct WaylandLights<'a> {
    /// The compositor.
    pub target: &'a Target,
    /// Who opens its socket.
    pub opener: &'a dyn Opener,
}

impl From<WireError> for LightsError {
    fn from(error: WireError) -> Self {
        LightsError::Gone(error.to_string())
    }
}

impl WaylandLights<'_> {
    /// The outputs that are on: what manages outputs may tell stale facts of them.
    fn monitors(&self) -> Result<Vec<Monitor>, LightsError> {
        let gone = |error: &dyn std::fmt::Display| LightsError::Gone(error.to_string());
        let connection = self.target.connect(self.opener).map_err(|error| gone(&error.reason()))?;
        let display = WaylandDisplay::new(connection, DmaBufs::None, Box::new(|_| ())).map_err(|e| gone(&e))?;
        Ok(display.monitors())
    }

    /// Has each output be what is planned for it.
    fn apply(&self, plan: impl Fn(&Facts) -> Result<Setting, LightsError>) -> Result<(), LightsError> {
        let connection = self.target.connect(self.opener).map_err(|error| LightsError::Gone(error.reason()))?;
        let mut heads = Heads::default();
        let mut wire = Wire::open(connection, &mut heads)?;
        if !heads.start(&wire) {
            return Err(LightsError::Refused("nobody may manage its outputs".into()));
        }
        let end = Instant::now() + PATIENCE;
        for _ in 0..ATTEMPTS {
            heads.await_serial(&mut wire, end)?;
            let settings = heads.facts().iter().map(&plan).collect::<Result<Vec<_>, _>>()?;
            heads.apply(&wire.handle(), &settings);
            match heads.await_outcome(&mut wire, end)? {
                Outcome::Succeeded => return Ok(()),
                Outcome::Failed => return Err(LightsError::Refused("it does not take these outputs".into())),
                Outcome::Cancelled => {}
            }
        }
        Err(LightsError::Refused("somebody else keeps changing its outputs".into()))
    }
}

/// An output as it is now. Its mode is told before it is turned.
fn as_it_is(monitor: &Monitor, scale: f64) -> Dark {
    let (w, h) = (i32::from(monitor.size.w), i32::from(monitor.size.h));
    Dark {
        name: monitor.name.clone(),
        at: (monitor.logical.x, monitor.logical.y),
        size: if monitor.transform & 1 == 1 { (h, w) } else { (w, h) },
        mode: 0,
        turn: monitor.transform,
        scale,
        primary: false,
    }
}

/// Pixels of the canvas to one of the compositor's units, in the parts that scales are counted in.
///
/// SOURCE: fractional-scale-v1.
fn scale(monitor: &Monitor) -> f64 {
    let seen = f64::from(monitor.size.w) / f64::from(monitor.logical.w.max(1));
    (seen * 120.0).round() / 120.0
}

impl Lights for WaylandLights<'_> {
    fn lit(&mut self) -> Result<Vec<Dark>, LightsError> {
        Ok(self.monitors()?.iter().map(|monitor| as_it_is(monitor, scale(monitor))).collect())
    }

    fn off(&mut self, _: &[Dark], stay: &[Dark]) -> Result<(), LightsError> {
        let stays = |head: &Facts| stay.iter().any(|monitor| monitor.name == head.name);
        self.apply(|head| Ok(if stays(head) { Setting::Kept } else { Setting::Off }))
    }

    fn on(&mut self, dark: &[Dark]) -> Result<(), LightsError> {
        let lit = self.monitors()?;
        let is_lit = |name: &str| lit.iter().any(|monitor| monitor.name == name);
        self.apply(|head| {
            let Some(dark) = dark.iter().find(|dark| dark.name == head.name && !is_lit(&dark.name)) else {
                return Ok(if is_lit(&head.name) { Setting::Kept } else { Setting::Off });
            };
            let size = size(head, dark.size)
                .map_err(|_| LightsError::Refused(format!("{} has no mode of its size any more", dark.name)))?;
            Ok(Setting::On { size, at: dark.at, transform: dark.turn, scale: dark.scale })
        })
    }
}
