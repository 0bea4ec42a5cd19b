//! The thread that reads a display's events.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use wayland_client::protocol::wl_callback::WlCallback;
use wayland_client::protocol::wl_output::WlOutput;
use wayland_client::protocol::wl_pointer::WlPointer;
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::protocol::{wl_buffer::WlBuffer, wl_shm::WlShm, wl_shm_pool::WlShmPool};
use wayland_client::{Connection, Dispatch, EventQueue, QueueHandle, delegate_dispatch, delegate_noop};
use wayland_protocols::ext::image_capture_source::v1::client::ext_image_capture_source_v1::ExtImageCaptureSourceV1;
use wayland_protocols::ext::image_capture_source::v1::client::ext_output_image_capture_source_manager_v1::ExtOutputImageCaptureSourceManagerV1;
use wayland_protocols::ext::image_copy_capture::v1::client::ext_image_copy_capture_manager_v1::ExtImageCopyCaptureManagerV1;
use wayland_protocols::xdg::xdg_output::zv1::client::zxdg_output_manager_v1::ZxdgOutputManagerV1;
use wayland_protocols_wlr::screencopy::v1::client::zwlr_screencopy_manager_v1::ZwlrScreencopyManagerV1;

use super::connect::{Answered, at_most, round_trip};
use super::dma_buf::LinuxDmabuf;
use super::outputs::{All, Heard};
use super::shared::{Managers, Shared};
use super::{Monitor, Offers, Route, WaylandError, WaylandEvent};
use crate::frame::DmaBufs;
use crate::geometry::Size;

/// What events are told to: everything that only the reader thread knows.
pub(super) struct Reader {
    pub(super) shared: Arc<Shared>,
    pub(super) outputs: All,
    names: Option<ZxdgOutputManagerV1>,
    events: Box<dyn Fn(WaylandEvent) + Send>,
}

/// Globals by number, while the connection is opened.
#[derive(Default)]
struct Globals(BTreeMap<u32, (String, u32)>);

impl Dispatch<WlRegistry, ()> for Globals {
    fn event(
        globals: &mut Self,
        _: &WlRegistry,
        event: wl_registry::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            wl_registry::Event::Global { name, interface, version } => {
                globals.0.insert(name, (interface, version));
            }
            wl_registry::Event::GlobalRemove { name } => {
                globals.0.remove(&name);
            }
            _ => {}
        }
    }
}

delegate_dispatch!(Globals: [WlCallback: Arc<Answered>] => Answered);
delegate_dispatch!(Reader: [WlCallback: Arc<Answered>] => Answered);
delegate_noop!(Reader: ignore WlShm);
delegate_noop!(Reader: WlShmPool);
delegate_noop!(Reader: ignore WlBuffer);
delegate_noop!(Reader: ignore WlPointer);
delegate_noop!(Reader: ZxdgOutputManagerV1);
delegate_noop!(Reader: ZwlrScreencopyManagerV1);
delegate_noop!(Reader: ExtImageCaptureSourceV1);
delegate_noop!(Reader: ExtOutputImageCaptureSourceManagerV1);
delegate_noop!(Reader: ExtImageCopyCaptureManagerV1);

/// Finds the route, binds what it needs and learns the outputs.
pub(super) fn open(
    connection: Connection,
    dma_bufs: DmaBufs,
    events: Box<dyn Fn(WaylandEvent) + Send>,
) -> Result<(EventQueue<Reader>, Reader), WaylandError> {
    let socket = connection.as_fd().try_clone_to_owned();
    let socket = socket.map_err(|source| WaylandError::System { what: "a copy of the compositor's socket", source })?;
    let mut first = connection.new_event_queue::<Globals>();
    let _registry = connection.display().get_registry(&first.handle(), ());
    let mut globals = Globals::default();
    round_trip(&connection, &mut first, &mut globals)?;
    let offered = Offers { interfaces: globals.0.values().cloned().collect() };
    let route = offered.route()?;

    let mut queue = connection.new_event_queue::<Reader>();
    let handle = queue.handle();
    // it tells of all globals again, and from then on of those that come and go
    let registry = connection.display().get_registry(&handle, ());
    let find = |interface: &str| {
        let found = globals.0.iter().find(|(_, (name, _))| name == interface);
        found.map(|(number, (_, version))| (*number, *version))
    };
    let missing = |interface: &str| WaylandError::Missing(interface.to_owned());
    let shm = find("wl_shm").ok_or_else(|| missing("wl_shm"))?;
    let shm = registry.bind::<WlShm, _, _>(shm.0, 1, &handle, ());
    // only a device makes any
    let wanted = matches!(dma_bufs, DmaBufs::Taken(_));
    let dmabuf = find("zwp_linux_dmabuf_v1").filter(|(_, version)| wanted && *version >= LinuxDmabuf::VERSION);
    let dmabuf = dmabuf.map(|(number, _)| LinuxDmabuf::new(registry.bind(number, LinuxDmabuf::VERSION, &handle, ())));
    let managers = match route {
        Route::Screencopy => {
            let (global, version) =
                find("zwlr_screencopy_manager_v1").ok_or_else(|| missing("zwlr_screencopy_manager_v1"))?;
            let version = at_most::<ZwlrScreencopyManagerV1>(version, 3);
            Managers::Screencopy { registry: registry.clone(), global, version }
        }
        Route::ImageCopy => {
            let names = ["ext_image_copy_capture_manager_v1", "ext_output_image_capture_source_manager_v1"];
            let (capture, _) = find(names[0]).ok_or_else(|| missing(names[0]))?;
            let (sources, _) = find(names[1]).ok_or_else(|| missing(names[1]))?;
            Managers::ImageCopy {
                capture: registry.bind(capture, 1, &handle, ()),
                sources: registry.bind(sources, 1, &handle, ()),
            }
        }
    };
    let names = find("zxdg_output_manager_v1")
        .map(|(number, version)| registry.bind(number, at_most::<ZxdgOutputManagerV1>(version, 3), &handle, ()));
    let socket = UnixStream::from(socket);
    let shared = Shared::new(connection.clone(), handle.clone(), socket, shm, (dma_bufs, dmabuf), managers);
    let mut reader = Reader { shared: Arc::new(shared), outputs: All::new(), names, events };
    // the first answer brings the outputs, the second what they are
    for _ in 0..2 {
        round_trip(&connection, &mut queue, &mut reader)?;
    }
    reader.settle();
    Ok((queue, reader))
}

impl Dispatch<WlRegistry, ()> for Reader {
    fn event(
        reader: &mut Self,
        registry: &WlRegistry,
        event: wl_registry::Event,
        (): &(),
        _: &Connection,
        queue: &QueueHandle<Self>,
    ) {
        match event {
            wl_registry::Event::Global { name, interface, version } if interface == "wl_output" => {
                let wl = registry.bind::<WlOutput, _, _>(name, at_most::<WlOutput>(version, 4), queue, name);
                reader.shared.state().outputs.insert(name, wl.clone());
                let mut heard = Heard::new(wl);
                heard.xdg = reader.names.as_ref().map(|manager| manager.get_xdg_output(&heard.wl, queue, name));
                reader.outputs.insert(name, heard);
            }
            wl_registry::Event::Global { name, interface, version }
                if interface == "wl_seat" && reader.shared.route.name() == Route::ImageCopy =>
            {
                let seat = registry.bind::<WlSeat, _, _>(name, at_most::<WlSeat>(version, 5), queue, ());
                reader.shared.pointer().take_seat(name, seat);
            }
            wl_registry::Event::GlobalRemove { name } => {
                if reader.shared.pointer().removed(name) {
                    return reader.pointer_changed(false);
                }
                let Some(heard) = reader.outputs.remove(&name) else { return };
                if let Some(xdg) = heard.xdg {
                    xdg.destroy();
                }
                if wayland_client::Proxy::version(&heard.wl) >= 3 {
                    heard.wl.release();
                }
                let mut state = reader.shared.state();
                state.outputs.remove(&name);
                state.seen.remove(&name);
                drop(state);
                // nothing may be asked of it from here on
                for slot in reader.shared.slots().iter().filter(|slot| slot.id == name) {
                    slot.grab().layout(None);
                }
            }
            _ => {}
        }
    }
}

impl Reader {
    /// Reads until the display is closed or the compositor gone.
    pub(super) fn run(mut self, mut queue: EventQueue<Self>) {
        let reason = loop {
            let round = queue.blocking_dispatch(&mut self);
            if self.shared.closing.load(Ordering::Acquire) {
                return;
            }
            match round {
                Ok(_) => {
                    self.settle();
                    self.shared.flush();
                }
                Err(error) => break error.to_string(),
            }
        };
        let reason = format!("the Wayland compositor is gone: {}", reason.trim().replace('\n', " "));
        if self.shared.lose(&reason) {
            self.tell(WaylandEvent::Lost(reason));
        }
    }

    /// Tells whoever opened the display.
    pub(super) fn tell(&self, event: WaylandEvent) {
        (self.events)(event);
    }

    /// An output is as it was told. Where it has another size or turn, what is under way for it is dropped here: a picture of the old form may
    /// lie behind this event already, and nothing would change any more to bring a new one.
    pub(super) fn told(&mut self, id: u32) {
        let Some(heard) = self.outputs.get_mut(&id) else { return };
        let form = |heard: &Heard| heard.monitor(id).map(|m| (m.size, m.transform));
        let before = form(heard);
        heard.done();
        let Some(monitor) = heard.monitor(id).filter(|_| form(heard) != before) else { return };
        self.shared.state().seen.remove(&id);
        for slot in self.shared.slots().iter().filter(|slot| slot.id == id) {
            let mut grab = slot.grab();
            grab.layout(Some(&monitor));
            slot.pump(&self.shared, &mut grab);
        }
    }

    /// Notes the size that an output's pictures have.
    pub(super) fn saw(&self, id: u32, size: Size) {
        let told = self.outputs.get(&id).and_then(|heard| heard.monitor(id)).map(|m| m.size);
        let mut state = self.shared.state();
        if told == Some(size) {
            state.seen.remove(&id);
        } else {
            state.seen.insert(id, size);
        }
    }

    /// Tells what is new about outputs, as one change.
    fn settle(&mut self) {
        let mut state = self.shared.state();
        let monitors: Vec<Monitor> = self
            .outputs
            .iter()
            .filter_map(|(id, heard)| {
                let monitor = heard.monitor(*id)?;
                let size = state.seen.get(id).copied().unwrap_or(monitor.size);
                Some(Monitor { size, ..monitor })
            })
            .collect();
        if state.monitors == monitors {
            return;
        }
        state.monitors = monitors.clone();
        drop(state);
        for slot in self.shared.slots() {
            let mut grab = slot.grab();
            grab.layout(monitors.iter().find(|m| m.id == slot.id));
            slot.pump(&self.shared, &mut grab);
        }
        self.shared.pointer().follow(&self.shared);
        self.tell(WaylandEvent::Layout(monitors));
    }
}
