//! Monitors for viewers on an X server: outputs that nothing is plugged into, switched on beside the others.

use x11rb::protocol::randr::{Connection as Plug, ConnectionExt as _, GetOutputInfoReply, Rotation};
use x11rb::protocol::xproto::{AtomEnum, ConnectionExt as _};

use super::lights::{Outputs, XLights};
use super::resize::{MADE, mode};
use crate::backend::lights::LightsError;
use crate::backend::side_car::{Makes, run_of};
use crate::helper::DisplayAddress;
use farpane_engine::geometry::Size;

/// What drivers call outputs that are none: the first to be taken.
const PRETENDED: [&str; 3] = ["VIRTUAL", "DUMMY", "HEADLESS"];

impl Makes for XLights<'_> {
    fn run(&self) -> String {
        match &self.target.address {
            DisplayAddress::Unix(path) => run_of(path),
            _ => String::new(),
        }
    }

    fn has(&mut self, name: &str) -> Result<bool, LightsError> {
        let outputs = self.look()?;
        Ok(outputs.outputs.values().any(|(its, info)| its == name && info.crtc != 0))
    }

    fn make(&mut self, size: Size, taken: &[String]) -> Result<String, LightsError> {
        let outputs = self.look()?;
        let mut last = LightsError::Refused("it has no output that is off and has nothing plugged in".into());
        for (number, name) in outputs.spare()?.into_iter().filter(|(_, name)| !taken.contains(name)) {
            match outputs.add(number, size) {
                Ok(()) => return Ok(name),
                Err(LightsError::Refused(why)) => last = LightsError::Refused(format!("{name}: {why}")),
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    fn resize(&mut self, name: &str, size: Size) -> Result<(), LightsError> {
        let outputs = self.look()?;
        let gone = || LightsError::Refused(format!("{name} is not on"));
        let (number, info) = outputs.named(name).ok_or_else(gone)?;
        let lit = outputs.crtcs()?;
        let (crtc, now) = lit.iter().find(|(crtc, _)| *crtc == info.crtc).ok_or_else(gone)?;
        let mode = mode(&outputs.conn, outputs.root, &outputs.resources, (number, info), (size.w, size.h))?;
        // what lies right of it stays beside it
        let old_end = now.x.saturating_add_unsigned(now.width);
        let further = i32::from(size.w) - i32::from(now.width);
        let right = lit.iter().map(|(_, c)| i32::from(c.x) + i32::from(c.width)).max().unwrap_or(0);
        outputs.hold((0, now.y.into()), (right + further.max(0), size.h.into()))?;
        outputs.set(*crtc, (now.x, now.y), mode, Rotation::ROTATE0, &[number])?;
        for (behind, c) in lit.iter().filter(|(_, c)| c.x >= old_end) {
            let x = i16::try_from(i32::from(c.x) + further).unwrap_or(c.x);
            outputs.set(*behind, (x, c.y), c.mode, c.rotation, &c.outputs)?;
        }
        outputs.fit()
    }

    fn remove(&mut self, name: &str) -> Result<(), LightsError> {
        let outputs = self.look()?;
        let Some((number, info)) = outputs.named(name).filter(|(_, info)| info.crtc != 0) else { return Ok(()) };
        outputs.set(info.crtc, (0, 0), 0, Rotation::ROTATE0, &[])?;
        outputs.forget_modes(number)?;
        outputs.fit()
    }
}

impl Outputs {
    fn named(&self, name: &str) -> Option<(u32, &GetOutputInfoReply)> {
        self.outputs.iter().find(|(_, (its, _))| its == name).map(|(number, (_, info))| (*number, info))
    }

    /// Outputs that are off and show nobody anything: those that drivers pretend to have first, then empty sockets.
    fn spare(&self) -> Result<Vec<(u32, String)>, LightsError> {
        let mut spare = Vec::new();
        for number in &self.resources.outputs {
            let Some((name, info)) = self.outputs.get(number) else { continue };
            if info.crtc == 0 && !self.is_real(*number)? {
                let pretended = PRETENDED.iter().any(|word| name.to_ascii_uppercase().starts_with(word));
                let plugged = info.connection == Plug::CONNECTED;
                spare.push(((!pretended, plugged && !pretended), *number, name.clone()));
            }
        }
        // in the server's own order otherwise
        spare.sort_by_key(|(kind, ..)| *kind);
        Ok(spare.into_iter().map(|(_, number, name)| (number, name)).collect())
    }

    /// A monitor is there and says what it is.
    fn is_real(&self, output: u32) -> Result<bool, LightsError> {
        let edid = self.conn.intern_atom(true, b"EDID")?.reply()?.atom;
        if edid == u32::from(AtomEnum::NONE) {
            return Ok(false);
        }
        let any = u32::from(AtomEnum::ANY);
        let told = self.conn.randr_get_output_property(output, edid, any, 0, 1, false, false)?.reply()?;
        Ok(told.num_items > 0)
    }

    /// Switches one on, right of the others.
    fn add(&self, number: u32, size: Size) -> Result<(), LightsError> {
        let Some((name, info)) = self.outputs.get(&number) else { return Ok(()) };
        let crtc = self.free_crtc(name, info)?;
        let right = self.crtcs()?.iter().map(|(_, c)| i32::from(c.x) + i32::from(c.width)).max().unwrap_or(0);
        let x = i16::try_from(right).map_err(|_| LightsError::Refused("there is no room beside the others".into()))?;
        let before = self.conn.get_geometry(self.root)?.reply()?;
        let mode = mode(&self.conn, self.root, &self.resources, (number, info), (size.w, size.h))?;
        let done = self
            .hold((right, 0), (size.w.into(), size.h.into()))
            .and_then(|()| self.set(crtc, (x, 0), mode, Rotation::ROTATE0, &[number]));
        if done.is_err() {
            self.set_canvas(before.width, before.height)?;
            self.forget_modes(number)?;
        }
        done
    }

    /// Takes the modes away from an output that were made for it.
    fn forget_modes(&self, number: u32) -> Result<(), LightsError> {
        // those that were made since are not in what was told before
        let resources = self.conn.randr_get_screen_resources_current(self.root)?.reply()?;
        let now = self.conn.randr_get_output_info(number, resources.config_timestamp)?.reply()?;
        let mut names = resources.names.as_slice();
        for mode in &resources.modes {
            let (name, rest) = names.split_at_checked(usize::from(mode.name_len)).unwrap_or_default();
            names = rest;
            if name.ends_with(MADE.as_bytes()) && now.modes.contains(&mode.id) {
                self.conn.randr_delete_output_mode(number, mode.id)?.check()?;
                // another output may have it
                let _ = self.conn.randr_destroy_mode(mode.id)?.check();
            }
        }
        Ok(())
    }

    /// Takes from the canvas what no monitor shows any more.
    fn fit(&self) -> Result<(), LightsError> {
        let lit = self.crtcs()?;
        let end = |at: i16, length: u16| u16::try_from(i32::from(at) + i32::from(length)).unwrap_or(u16::MAX);
        let w = lit.iter().map(|(_, c)| end(c.x, c.width)).max().unwrap_or(0);
        let h = lit.iter().map(|(_, c)| end(c.y, c.height)).max().unwrap_or(0);
        if w == 0 || h == 0 { Ok(()) } else { self.set_canvas(w, h) }
    }
}
