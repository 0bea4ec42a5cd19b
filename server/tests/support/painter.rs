//! A Wayland client that fills an output and paints what a test tells it.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use farpane_engine::geometry::{Rect, Size};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wayland_client::protocol::{
    wl_buffer::WlBuffer, wl_compositor::WlCompositor, wl_output, wl_registry, wl_shm, wl_shm_pool::WlShmPool,
    wl_surface::WlSurface,
};
use wayland_client::{Connection, Dispatch, EventQueue, QueueHandle, delegate_noop};
use wayland_protocols::xdg::shell::client::{xdg_surface, xdg_toplevel, xdg_wm_base};

use crate::PATIENCE;

#[derive(Default)]
struct Seen {
    globals: Vec<(u32, String, u32)>,
    outputs: Vec<(wl_output::WlOutput, String)>,
    configured: Option<Size>,
    coming: Size,
}

impl Seen {
    /// The output of that name; the only one where the compositor is too old to tell names.
    fn output(&self, name: &str) -> Option<wl_output::WlOutput> {
        match self.outputs.as_slice() {
            [(only, told)] if told.is_empty() => Some(only.clone()),
            all => all.iter().find(|o| o.1 == name).map(|o| o.0.clone()),
        }
    }
}

/// A window that fills one output, and its pixels.
pub struct Painter {
    connection: Connection,
    queue: EventQueue<Seen>,
    seen: Seen,
    surface: WlSurface,
    toplevel: xdg_toplevel::XdgToplevel,
    shm: wl_shm::WlShm,
    buffer: Option<(WlBuffer, File)>,
    /// The window's size.
    pub size: Size,
    /// Its pixels, `0x00RRGGBB`, row by row.
    pub px: Vec<u32>,
}

impl Painter {
    /// Opens a window on the output of that name.
    ///
    /// # Panics
    /// When the compositor lacks what windows need or does not answer.
    pub fn open(socket: &Path, output: &str) -> Self {
        let stream = UnixStream::connect(socket).expect("the compositor listens");
        let connection = Connection::from_socket(stream).expect("a connection");
        let mut queue = connection.new_event_queue();
        let handle = queue.handle();
        let registry = connection.display().get_registry(&handle, ());
        let mut seen = Seen::default();
        queue.roundtrip(&mut seen).expect("globals");
        let find = |seen: &Seen, name: &str| {
            let found = seen.globals.iter().find(|g| g.1 == name);
            found.unwrap_or_else(|| panic!("the compositor has no {name}")).0
        };
        let compositor: WlCompositor = registry.bind(find(&seen, "wl_compositor"), 4, &handle, ());
        let shm: wl_shm::WlShm = registry.bind(find(&seen, "wl_shm"), 1, &handle, ());
        let base: xdg_wm_base::XdgWmBase = registry.bind(find(&seen, "xdg_wm_base"), 1, &handle, ());
        let found = seen.globals.iter().filter(|g| g.1 == "wl_output");
        let numbers: Vec<(u32, u32)> = found.map(|g| (g.0, g.2)).collect();
        for (number, version) in numbers {
            let bound = registry.bind(number, version.min(4), &handle, ());
            seen.outputs.push((bound, String::new()));
        }
        queue.roundtrip(&mut seen).expect("names of outputs");
        let target = seen.output(output);
        let surface = compositor.create_surface(&handle, ());
        let shell = base.get_xdg_surface(&surface, &handle, ());
        let toplevel = shell.get_toplevel(&handle, ());
        toplevel.set_fullscreen(Some(&target.unwrap_or_else(|| panic!("no output {output}"))));
        surface.commit();
        let mut painter = Self {
            connection,
            queue,
            seen,
            surface,
            toplevel,
            shm,
            buffer: None,
            size: Size::default(),
            px: Vec::new(),
        };
        let end = Instant::now() + PATIENCE;
        while painter.seen.configured.is_none() {
            assert!(Instant::now() < end, "the window is not configured");
            painter.read(end);
        }
        // some compositors size a window when it is shown
        if painter.seen.configured.is_some_and(|size| size.area() == 0) {
            painter.make(Size::new(16, 16));
        }
        painter.fit();
        painter
    }

    /// Takes the size that the compositor gives the window by now, all of it in one colour.
    ///
    /// # Panics
    /// When the compositor gives none.
    pub fn fit(&mut self) {
        let end = Instant::now() + PATIENCE;
        while self.seen.configured.is_none_or(|size| size.area() == 0 || size == self.size) {
            assert!(Instant::now() < end, "the window gets no size");
            self.read(end);
        }
        self.make(self.seen.configured.expect("seen above"));
    }

    /// Takes the size that the compositor has told by now, if it is another one. What is painted is gone then.
    ///
    /// # Panics
    /// When the compositor is gone.
    pub fn follow(&mut self) {
        self.queue.roundtrip(&mut self.seen).expect("the compositor lives");
        if let Some(size) = self.seen.configured.filter(|size| size.area() > 0 && *size != self.size) {
            self.make(size);
        }
    }

    fn make(&mut self, size: Size) {
        self.size = size;
        let (w, h) = (i32::from(self.size.w), i32::from(self.size.h));
        let fd = rustix::fs::memfd_create("painter", rustix::fs::MemfdFlags::CLOEXEC).expect("memory");
        let file = File::from(fd);
        file.set_len(self.size.area() * 4).expect("memory");
        let pool = self.shm.create_pool(file.as_fd(), w * h * 4, &self.queue.handle(), ());
        let buffer = pool.create_buffer(0, w, h, w * 4, wl_shm::Format::Xrgb8888, &self.queue.handle(), ());
        pool.destroy();
        self.buffer = Some((buffer, file));
        self.px = vec![0; self.size.area() as usize];
        self.paint(self.size.rect(), |_, _| 0x20_4060);
    }

    fn read(&mut self, end: Instant) {
        self.queue.dispatch_pending(&mut self.seen).expect("the compositor lives");
        self.queue.flush().expect("the compositor lives");
        if let Some(guard) = self.queue.prepare_read() {
            let left = end.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::from_borrowed_fd(guard.connection_fd(), PollFlags::IN)];
            let some = poll(&mut fds, Some(&Timespec::try_from(left).expect("short"))).expect("waits");
            if some > 0 {
                guard.read().expect("the compositor lives");
            }
        }
        self.queue.dispatch_pending(&mut self.seen).expect("the compositor lives");
    }

    /// Paints a part and shows it.
    ///
    /// # Panics
    /// When the compositor is gone.
    pub fn paint(&mut self, part: Rect, mut colour: impl FnMut(u16, u16) -> u32) {
        let (buffer, file) = self.buffer.as_ref().expect("the window has a size");
        let width = usize::from(self.size.w);
        for y in part.y..part.bottom() {
            let at = usize::from(y) * width + usize::from(part.x);
            let row = &mut self.px[at..at + usize::from(part.w)];
            row.iter_mut().zip(part.x..).for_each(|(p, x)| *p = colour(x, y) & 0xff_ffff);
            let bytes: Vec<u8> = row.iter().flat_map(|p| p.to_le_bytes()).collect();
            file.write_all_at(&bytes, at as u64 * 4).expect("memory");
        }
        self.surface.attach(Some(buffer), 0, 0);
        self.surface.damage_buffer(part.x.into(), part.y.into(), part.w.into(), part.h.into());
        self.surface.commit();
        self.queue.roundtrip(&mut self.seen).expect("the compositor lives");
    }

    /// Goes to another output.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn go(&mut self, output: &str) {
        let target = self.seen.output(output);
        self.toplevel.set_fullscreen(Some(&target.unwrap_or_else(|| panic!("no output {output}"))));
        self.fit();
    }

    /// The connection, for what else a test wants of the compositor.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl Dispatch<wl_registry::WlRegistry, ()> for Seen {
    fn event(
        seen: &mut Self,
        _: &wl_registry::WlRegistry,
        event: wl_registry::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wl_registry::Event::Global { name, interface, version } = event {
            seen.globals.push((name, interface, version));
        }
    }
}

impl Dispatch<wl_output::WlOutput, ()> for Seen {
    fn event(
        seen: &mut Self,
        output: &wl_output::WlOutput,
        event: wl_output::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wl_output::Event::Name { name } = event
            && let Some(known) = seen.outputs.iter_mut().find(|o| o.0 == *output)
        {
            known.1 = name;
        }
    }
}

impl Dispatch<xdg_wm_base::XdgWmBase, ()> for Seen {
    fn event(
        _: &mut Self,
        base: &xdg_wm_base::XdgWmBase,
        event: xdg_wm_base::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let xdg_wm_base::Event::Ping { serial } = event {
            base.pong(serial);
        }
    }
}

impl Dispatch<xdg_surface::XdgSurface, ()> for Seen {
    fn event(
        seen: &mut Self,
        surface: &xdg_surface::XdgSurface,
        event: xdg_surface::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let xdg_surface::Event::Configure { serial } = event {
            surface.ack_configure(serial);
            seen.configured = Some(seen.coming);
        }
    }
}

impl Dispatch<xdg_toplevel::XdgToplevel, ()> for Seen {
    fn event(
        seen: &mut Self,
        _: &xdg_toplevel::XdgToplevel,
        event: xdg_toplevel::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let xdg_toplevel::Event::Configure { width, height, .. } = event {
            let side = |v: i32| u16::try_from(v).expect("a side");
            seen.coming = Size::new(side(width), side(height));
        }
    }
}

delegate_noop!(Seen: WlCompositor);
delegate_noop!(Seen: ignore WlSurface);
delegate_noop!(Seen: ignore wl_shm::WlShm);
delegate_noop!(Seen: WlShmPool);
delegate_noop!(Seen: ignore WlBuffer);
