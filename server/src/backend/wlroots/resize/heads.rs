//! What output management tells and is told.

use std::sync::Arc;
use std::time::Instant;

use farpane_engine::capture::wayland::Connection;
use wayland_client::backend::ObjectData;
use wayland_client::protocol::wl_callback::WlCallback;
use wayland_client::protocol::wl_output::Transform;
use wayland_client::protocol::wl_registry::WlRegistry;
use wayland_client::{Dispatch, QueueHandle, delegate_dispatch, delegate_noop};
use wayland_protocols_wlr::output_management::v1::client::{
    zwlr_output_configuration_head_v1::ZwlrOutputConfigurationHeadV1,
    zwlr_output_configuration_v1::{self, ZwlrOutputConfigurationV1},
    zwlr_output_head_v1::{self, ZwlrOutputHeadV1},
    zwlr_output_manager_v1::{self, ZwlrOutputManagerV1},
    zwlr_output_mode_v1::{self, ZwlrOutputModeV1},
};

use super::super::wire::{Answered, Globals, Plumbing, Wire, WireError};
use super::plan::{Facts, Mode, Setting, Size};

/// Outputs, and modes of one, that are looked at.
const MOST: usize = 1024;

/// How a configuration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Succeeded,
    Failed,
    /// Somebody else changed outputs meanwhile.
    Cancelled,
}

struct Head {
    proxy: ZwlrOutputHeadV1,
    modes: Vec<(ZwlrOutputModeV1, Mode)>,
    facts: Facts,
}

/// Every output, and what became of a configuration.
#[derive(Default)]
pub struct Heads {
    manager: Option<ZwlrOutputManagerV1>,
    all: Vec<Head>,
    serial: Option<u32>,
    outcome: Option<Outcome>,
}

impl Heads {
    /// Asks for the outputs. False where the compositor lets nobody manage them.
    pub fn start(&mut self, wire: &Wire<Self>) -> bool {
        self.manager = wire.bind(2, ());
        self.manager.is_some()
    }

    /// Waits until the outputs are known as they are now.
    pub fn await_serial(&mut self, wire: &mut Wire<Self>, end: Instant) -> Result<(), WireError> {
        until(self, wire, end, |heads| heads.serial.is_some())
    }

    /// Waits for the answer to a configuration.
    pub fn await_outcome(&mut self, wire: &mut Wire<Self>, end: Instant) -> Result<Outcome, WireError> {
        until(self, wire, end, |heads| heads.outcome.is_some())?;
        self.outcome.take().ok_or(WireError::Silent)
    }

    /// What is known of each.
    pub fn facts(&self) -> Vec<Facts> {
        let with_modes = |h: &Head| Facts { modes: h.modes.iter().map(|(_, mode)| *mode).collect(), ..h.facts.clone() };
        self.all.iter().map(with_modes).collect()
    }

    /// Asks for settings, one for each of [`Heads::facts`].
    pub fn apply(&mut self, handle: &QueueHandle<Self>, settings: &[Setting]) {
        let (Some(manager), Some(serial)) = (self.manager.as_ref(), self.serial.take()) else { return };
        let configuration = manager.create_configuration(serial, handle, ());
        for (head, setting) in self.all.iter().zip(settings) {
            match *setting {
                Setting::Off => configuration.disable_head(&head.proxy),
                Setting::Kept => drop(configuration.enable_head(&head.proxy, handle, ())),
                Setting::On { size, at, transform, scale } => {
                    let on = configuration.enable_head(&head.proxy, handle, ());
                    match size {
                        Size::Listed(i) => {
                            if let Some((mode, _)) = head.modes.get(i) {
                                on.set_mode(mode);
                            }
                        }
                        Size::Custom(w, h) => on.set_custom_mode(w, h, 0),
                    }
                    on.set_position(at.0, at.1);
                    on.set_transform(Transform::try_from(transform).unwrap_or(Transform::Normal));
                    on.set_scale(scale);
                }
            }
        }
        configuration.apply();
    }
}

fn until(
    heads: &mut Heads,
    wire: &mut Wire<Heads>,
    end: Instant,
    done: impl Fn(&Heads) -> bool,
) -> Result<(), WireError> {
    loop {
        wire.dispatch(heads)?;
        if done(heads) {
            return Ok(());
        }
        if Instant::now() >= end {
            return Err(WireError::Silent);
        }
        wire.wait(&[], Some(end))?;
    }
}

impl Dispatch<ZwlrOutputManagerV1, ()> for Heads {
    fn event(
        heads: &mut Self,
        _: &ZwlrOutputManagerV1,
        event: zwlr_output_manager_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            zwlr_output_manager_v1::Event::Head { head } if heads.all.len() < MOST => {
                let facts = Facts { name: String::new(), enabled: false, modes: Vec::new(), current: None, scale: 1.0 };
                heads.all.push(Head { proxy: head, modes: Vec::new(), facts });
            }
            zwlr_output_manager_v1::Event::Done { serial } => heads.serial = Some(serial),
            zwlr_output_manager_v1::Event::Finished => heads.manager = None,
            _ => {}
        }
    }

    fn event_created_child(opcode: u16, handle: &QueueHandle<Self>) -> Arc<dyn ObjectData> {
        // outputs are the only objects that a manager makes
        debug_assert_eq!(opcode, zwlr_output_manager_v1::EVT_HEAD_OPCODE);
        handle.make_data::<ZwlrOutputHeadV1, ()>(())
    }
}

impl Dispatch<ZwlrOutputHeadV1, ()> for Heads {
    fn event(
        heads: &mut Self,
        proxy: &ZwlrOutputHeadV1,
        event: zwlr_output_head_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let Some(head) = heads.all.iter_mut().find(|h| h.proxy == *proxy) else { return };
        match event {
            zwlr_output_head_v1::Event::Name { name } => head.facts.name = name,
            zwlr_output_head_v1::Event::Mode { mode } if head.modes.len() < MOST => {
                head.modes.push((mode, Mode { w: 0, h: 0, preferred: false }));
            }
            zwlr_output_head_v1::Event::Enabled { enabled } => head.facts.enabled = enabled != 0,
            zwlr_output_head_v1::Event::CurrentMode { mode } => {
                head.facts.current = head.modes.iter().position(|(m, _)| *m == mode);
            }
            zwlr_output_head_v1::Event::Scale { scale } => head.facts.scale = scale,
            zwlr_output_head_v1::Event::Finished => heads.all.retain(|h| h.proxy != *proxy),
            _ => {}
        }
    }

    fn event_created_child(opcode: u16, handle: &QueueHandle<Self>) -> Arc<dyn ObjectData> {
        // modes are the only objects that an output makes
        debug_assert_eq!(opcode, zwlr_output_head_v1::EVT_MODE_OPCODE);
        handle.make_data::<ZwlrOutputModeV1, ()>(())
    }
}

impl Dispatch<ZwlrOutputModeV1, ()> for Heads {
    fn event(
        heads: &mut Self,
        proxy: &ZwlrOutputModeV1,
        event: zwlr_output_mode_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        for head in &mut heads.all {
            let Some(at) = head.modes.iter().position(|(m, _)| m == proxy) else { continue };
            if matches!(event, zwlr_output_mode_v1::Event::Finished) {
                let current = head.facts.current.and_then(|i| head.modes.get(i)).map(|(m, _)| m.clone());
                head.modes.remove(at);
                head.facts.current = head.modes.iter().position(|(m, _)| Some(m) == current.as_ref());
            } else if let Some((_, mode)) = head.modes.get_mut(at) {
                match event {
                    zwlr_output_mode_v1::Event::Size { width, height } => (mode.w, mode.h) = (width, height),
                    zwlr_output_mode_v1::Event::Preferred => mode.preferred = true,
                    _ => {}
                }
            }
            return;
        }
    }
}

impl Dispatch<ZwlrOutputConfigurationV1, ()> for Heads {
    fn event(
        heads: &mut Self,
        configuration: &ZwlrOutputConfigurationV1,
        event: zwlr_output_configuration_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        heads.outcome = match event {
            zwlr_output_configuration_v1::Event::Succeeded => Some(Outcome::Succeeded),
            zwlr_output_configuration_v1::Event::Failed => Some(Outcome::Failed),
            zwlr_output_configuration_v1::Event::Cancelled => Some(Outcome::Cancelled),
            _ => return,
        };
        configuration.destroy();
    }
}

delegate_dispatch!(Heads: [WlRegistry: Globals] => Plumbing);
delegate_dispatch!(Heads: [WlCallback: Answered] => Plumbing);
delegate_noop!(Heads: ZwlrOutputConfigurationHeadV1);
