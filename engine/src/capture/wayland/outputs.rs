//! What a compositor tells of its outputs, piece by piece, until it says that it is done.

use std::collections::BTreeMap;

use wayland_client::protocol::wl_output::{self, WlOutput};
use wayland_client::{Connection, Dispatch, QueueHandle, WEnum};
use wayland_protocols::xdg::xdg_output::zv1::client::zxdg_output_v1::{self, ZxdgOutputV1};

use super::reader::Reader;
use super::turn::Turn;
use super::{Logical, Monitor};
use crate::geometry::Size;

/// The longest name that is kept.
const MAX_NAME: usize = 64;

/// What was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Facts {
    name: Option<String>,
    /// Place of outputs of compositors without xdg-output.
    at: (i32, i32),
    mode: Option<(i32, i32)>,
    transform: u32,
    scale: i32,
    logical_at: Option<(i32, i32)>,
    logical_size: Option<(i32, i32)>,
}

/// One output and what was heard of it.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) wl: WlOutput,
    pub(super) xdg: Option<ZxdgOutputV1>,
    coming: Facts,
    /// What holds since the compositor last said that it is done.
    known: Option<Facts>,
}

impl Heard {
    pub(super) fn new(wl: WlOutput) -> Self {
        Self { wl, xdg: None, coming: Facts { scale: 1, ..Facts::default() }, known: None }
    }

    /// The output as all else sees it; none while too little is known or it shows nothing.
    pub(super) fn monitor(&self, id: u32) -> Option<Monitor> {
        let known = self.known.as_ref()?;
        let scale = known.scale.clamp(1, 64);
        let side = |v: i32| u16::try_from(v).ok().filter(|v| *v > 0);
        let turn = Turn::of(known.transform);
        let from_mode = known.mode.and_then(|(w, h)| Some(turn.size(Size::new(side(w)?, side(h)?))));
        let from_logical = || {
            known
                .logical_size
                .and_then(|(w, h)| Some(Size::new(side(w.checked_mul(scale)?)?, side(h.checked_mul(scale)?)?)))
        };
        let size = from_mode.or_else(from_logical)?;
        let (x, y) = known.logical_at.unwrap_or(known.at);
        let (w, h) = known
            .logical_size
            .filter(|(w, h)| *w > 0 && *h > 0)
            .unwrap_or((i32::from(size.w) / scale, i32::from(size.h) / scale));
        let name = known.name.clone().unwrap_or_else(|| format!("output-{id}"));
        Some(Monitor { id, name, size, transform: known.transform, logical: Logical { x, y, w, h } })
    }

    pub(super) fn done(&mut self) {
        self.known = Some(self.coming.clone());
    }
}

/// Everything heard, by the compositor's number.
pub(super) type All = BTreeMap<u32, Heard>;

fn kept(name: String) -> String {
    name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect()
}

impl Dispatch<WlOutput, u32> for Reader {
    fn event(
        reader: &mut Self,
        _: &WlOutput,
        event: wl_output::Event,
        id: &u32,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let Some(heard) = reader.outputs.get_mut(id) else { return };
        match event {
            wl_output::Event::Geometry { x, y, transform, .. } => {
                heard.coming.at = (x, y);
                heard.coming.transform = match transform {
                    WEnum::Value(known) => known.into(),
                    WEnum::Unknown(_) => 0,
                };
            }
            wl_output::Event::Mode { flags: WEnum::Value(flags), width, height, .. }
                if flags.contains(wl_output::Mode::Current) =>
            {
                heard.coming.mode = Some((width, height));
            }
            wl_output::Event::Scale { factor } => heard.coming.scale = factor,
            wl_output::Event::Name { name } if !name.is_empty() => heard.coming.name = Some(kept(name)),
            wl_output::Event::Done => reader.told(*id),
            _ => {}
        }
    }
}

impl Dispatch<ZxdgOutputV1, u32> for Reader {
    fn event(
        reader: &mut Self,
        _: &ZxdgOutputV1,
        event: zxdg_output_v1::Event,
        id: &u32,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let Some(heard) = reader.outputs.get_mut(id) else { return };
        match event {
            zxdg_output_v1::Event::LogicalPosition { x, y } => heard.coming.logical_at = Some((x, y)),
            zxdg_output_v1::Event::LogicalSize { width, height } => heard.coming.logical_size = Some((width, height)),
            // wl_output's own name came first, or comes from version 4 on
            zxdg_output_v1::Event::Name { name } if heard.coming.name.is_none() && !name.is_empty() => {
                heard.coming.name = Some(kept(name));
            }
            // before version 3 this ends what xdg-output tells; later wl_output's own does
            zxdg_output_v1::Event::Done => heard.done(),
            _ => {}
        }
    }
}
