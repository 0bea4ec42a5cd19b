//! Outputs of an X server off and on again, by RandR.

use std::collections::HashMap;

use x11rb::connection::Connection;
use x11rb::errors::ReplyError;
use x11rb::protocol::randr::{
    ConnectionExt as _, GetCrtcInfoReply, GetOutputInfoReply, GetScreenResourcesCurrentReply, Rotation, SetConfig,
};
use x11rb::protocol::xproto::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

use super::connect::Target;
use crate::backend::lights::{Dark, Lights, LightsError};
use crate::helper::Opener;

/// Switches the outputs of one X server, over a connection of its own each time: it happens rarely, and the server may have been
/// started anew since.
pub struct XLights<'a> {
    /// The server.
    pub target: &'a Target,
    /// Who opens its socket.
    pub opener: &'a dyn Opener,
}

impl From<ReplyError> for LightsError {
    fn from(error: ReplyError) -> Self {
        LightsError::Refused(error.to_string())
    }
}

impl From<x11rb::errors::ConnectionError> for LightsError {
    fn from(error: x11rb::errors::ConnectionError) -> Self {
        LightsError::Gone(error.to_string())
    }
}

/// The server's outputs as they are while it answers to nobody else.
pub(super) struct Outputs {
    pub conn: RustConnection,
    pub root: u32,
    pub resources: GetScreenResourcesCurrentReply,
    /// By number.
    pub outputs: HashMap<u32, (String, GetOutputInfoReply)>,
}

impl XLights<'_> {
    pub(super) fn look(&self) -> Result<Outputs, LightsError> {
        let conn = self.target.connect(self.opener).map_err(|error| LightsError::Gone(error.reason()))?;
        let screen = conn.setup().roots.get(self.target.screen);
        let root = screen.ok_or_else(|| LightsError::Gone("it has no such screen".into()))?.root;
        conn.randr_query_version(1, 5)?.reply()?;
        // it ends with the connection
        conn.grab_server()?.check()?;
        let resources = conn.randr_get_screen_resources_current(root)?.reply()?;
        let mut outputs = HashMap::new();
        for output in &resources.outputs {
            let info = conn.randr_get_output_info(*output, resources.config_timestamp)?.reply()?;
            outputs.insert(*output, (String::from_utf8_lossy(&info.name).into_owned(), info));
        }
        Ok(Outputs { conn, root, resources, outputs })
    }
}

impl Lights for XLights<'_> {
    fn lit(&mut self) -> Result<Vec<Dark>, LightsError> {
        let outputs = self.look()?;
        let primary = outputs.conn.randr_get_output_primary(outputs.root)?.reply()?.output;
        let mut lit = Vec::new();
        for (_, crtc) in outputs.crtcs()? {
            let mode = outputs.resources.modes.iter().find(|mode| mode.id == crtc.mode);
            let as_it_is = |number: &u32| {
                Some(Dark {
                    name: outputs.outputs.get(number)?.0.clone(),
                    at: (crtc.x.into(), crtc.y.into()),
                    size: mode.map_or((0, 0), |mode| (mode.width.into(), mode.height.into())),
                    mode: crtc.mode,
                    turn: u32::from(u16::from(crtc.rotation)),
                    scale: 1.0,
                    primary: *number == primary,
                })
            };
            lit.extend(crtc.outputs.iter().filter_map(as_it_is));
        }
        Ok(lit)
    }

    fn off(&mut self, off: &[Dark], _: &[Dark]) -> Result<(), LightsError> {
        let outputs = self.look()?;
        let stays = |number: &u32| {
            let name = outputs.outputs.get(number).map(|(name, _)| name);
            !off.iter().any(|dark| Some(&dark.name) == name)
        };
        for (number, crtc) in outputs.crtcs()? {
            let left: Vec<u32> = crtc.outputs.iter().copied().filter(|output| stays(output)).collect();
            if left.is_empty() {
                outputs.set(number, (0, 0), 0, Rotation::ROTATE0, &[])?;
            } else if left.len() < crtc.outputs.len() {
                outputs.set(number, (crtc.x, crtc.y), crtc.mode, crtc.rotation, &left)?;
            }
        }
        Ok(())
    }

    fn on(&mut self, dark: &[Dark]) -> Result<(), LightsError> {
        let mut outputs = self.look()?;
        let mut refused = None;
        for dark in dark {
            match outputs.light(dark) {
                Err(LightsError::Refused(why)) => refused = Some(LightsError::Refused(why)),
                done => done?,
            }
        }
        refused.map_or(Ok(()), Err)
    }
}

impl Outputs {
    /// Every CRTC that shows something, with its number.
    pub fn crtcs(&self) -> Result<Vec<(u32, GetCrtcInfoReply)>, LightsError> {
        let mut lit = Vec::new();
        for number in &self.resources.crtcs {
            let crtc = self.conn.randr_get_crtc_info(*number, self.resources.config_timestamp)?.reply()?;
            if crtc.mode != 0 && !crtc.outputs.is_empty() {
                lit.push((*number, crtc));
            }
        }
        Ok(lit)
    }

    /// Has a CRTC show a mode on outputs, or nothing.
    pub fn set(
        &self,
        crtc: u32,
        at: (i16, i16),
        mode: u32,
        rotation: Rotation,
        outputs: &[u32],
    ) -> Result<(), LightsError> {
        let (now, config) = (x11rb::CURRENT_TIME, self.resources.config_timestamp);
        let set = self.conn.randr_set_crtc_config(crtc, now, config, at.0, at.1, mode, rotation, outputs)?;
        match set.reply()?.status {
            SetConfig::SUCCESS => Ok(()),
            status => Err(LightsError::Refused(format!("RandR status {}", u8::from(status)))),
        }
    }

    /// The mode that it had; one of the same size where the server numbers its modes anew.
    fn mode(&self, dark: &Dark, info: &GetOutputInfoReply) -> Option<u32> {
        let same = |mode: &u32| {
            let of_that = self.resources.modes.iter().find(|m| m.id == *mode);
            of_that.is_some_and(|m| (i32::from(m.width), i32::from(m.height)) == dark.size)
        };
        info.modes
            .iter()
            .find(|mode| **mode == dark.mode && same(mode))
            .or_else(|| info.modes.iter().find(|m| same(m)))
            .copied()
    }

    /// Lights one, where it is dark.
    fn light(&mut self, dark: &Dark) -> Result<(), LightsError> {
        let here = self.outputs.iter().find(|(_, (name, _))| *name == dark.name);
        let Some((number, (_, info))) = here.filter(|(_, (_, info))| info.crtc == 0) else { return Ok(()) };
        let number = *number;
        let no_mode = || LightsError::Refused(format!("{} has no mode of its size any more", dark.name));
        let mode = self.mode(dark, info).ok_or_else(no_mode)?;
        let crtc = self.free_crtc(&dark.name, info)?;
        let rotation = Rotation::from(u16::try_from(dark.turn).unwrap_or(1));
        let at = |value: i32| i16::try_from(value).unwrap_or(0);
        let turned = rotation.contains(Rotation::ROTATE90) || rotation.contains(Rotation::ROTATE270);
        self.hold(dark.at, if turned { (dark.size.1, dark.size.0) } else { dark.size })?;
        self.set(crtc, (at(dark.at.0), at(dark.at.1)), mode, rotation, &[number])?;
        if dark.primary {
            self.conn.randr_set_output_primary(self.root, number)?.check()?;
        }
        if let Some((_, info)) = self.outputs.get_mut(&number) {
            info.crtc = crtc;
        }
        Ok(())
    }

    /// A CRTC that shows nothing and can show that output.
    pub fn free_crtc(&self, name: &str, info: &GetOutputInfoReply) -> Result<u32, LightsError> {
        let taken: Vec<u32> = self.crtcs()?.into_iter().map(|(number, _)| number).collect();
        let free = info.crtcs.iter().copied().find(|crtc| !taken.contains(crtc));
        free.ok_or_else(|| LightsError::Refused(format!("{name} has no free CRTC")))
    }

    /// Makes the canvas as large as it has to be for a monitor of that size there.
    pub fn hold(&self, at: (i32, i32), (w, h): (i32, i32)) -> Result<(), LightsError> {
        let end = |at: i32, length: i32| u16::try_from(at.saturating_add(length)).unwrap_or(0);
        let now = self.conn.get_geometry(self.root)?.reply()?;
        self.set_canvas(now.width.max(end(at.0, w)), now.height.max(end(at.1, h)))
    }

    /// Gives the canvas a size, where it has another.
    pub fn set_canvas(&self, w: u16, h: u16) -> Result<(), LightsError> {
        let now = self.conn.get_geometry(self.root)?.reply()?;
        if (w, h) != (now.width, now.height) {
            let mm = |px: u16| u32::from(px) * 254 / 960;
            self.conn.randr_set_screen_size(self.root, w, h, mm(w), mm(h))?.check()?;
        }
        Ok(())
    }
}
