//! An X screen as a program of that desktop sees and changes it.

use farpane_engine::geometry::{Rect, Size};
use farpane_test_support::crowd::Shown;
use x11rb::connection::Connection;
use x11rb::protocol::randr::{ConnectionExt as _, ModeFlag, ModeInfo, MonitorInfo, Rotation, SetConfig};
use x11rb::protocol::xproto::{ConnectionExt as _, CreateGCAux, ImageFormat, Rectangle, SubwindowMode};
use x11rb::rust_connection::RustConnection;

/// A connection to it.
pub struct Screen {
    pub connection: RustConnection,
    pub root: u32,
}

impl Screen {
    pub fn open(display: &str) -> Self {
        let (connection, screen) = RustConnection::connect(Some(display)).expect("the desktop");
        let root = connection.setup().roots[screen].root;
        Self { connection, root }
    }

    /// Has the server carry out all that it was told.
    pub fn sync(&self) {
        self.connection.get_input_focus().expect("sent").reply().expect("the server lives");
    }

    fn gc(&self, colour: u32) -> u32 {
        let gc = self.connection.generate_id().expect("an id");
        let aux = CreateGCAux::new().foreground(colour).subwindow_mode(SubwindowMode::INCLUDE_INFERIORS);
        self.connection.create_gc(gc, self.root, &aux.graphics_exposures(0)).expect("sent");
        gc
    }

    pub fn fill(&self, rect: Rect, colour: u32) {
        let gc = self.gc(colour);
        let r = Rectangle { x: rect.x as i16, y: rect.y as i16, width: rect.w, height: rect.h };
        self.connection.poly_fill_rectangle(self.root, gc, &[r]).expect("sent");
        self.connection.free_gc(gc).expect("sent");
        self.connection.flush().expect("sent");
    }

    /// Puts pixels there, row by row.
    pub fn put(&self, rect: Rect, pixel: impl Fn(u16, u16) -> u32) {
        let gc = self.gc(0);
        let all = (rect.y..rect.bottom()).flat_map(|y| (rect.x..rect.right()).map(move |x| (x, y)));
        let data: Vec<u8> = all.flat_map(|(x, y)| pixel(x, y).to_le_bytes()).collect();
        let (x, y) = (rect.x as i16, rect.y as i16);
        self.connection
            .put_image(ImageFormat::Z_PIXMAP, self.root, gc, rect.w, rect.h, x, y, 0, 24, &data)
            .expect("sent");
        self.connection.free_gc(gc).expect("sent");
        self.connection.flush().expect("sent");
    }

    /// Moves what is shown.
    pub fn copy(&self, from: Rect, to: (u16, u16)) {
        let gc = self.gc(0);
        let (x, y) = (from.x as i16, from.y as i16);
        self.connection
            .copy_area(self.root, self.root, gc, x, y, to.0 as i16, to.1 as i16, from.w, from.h)
            .expect("sent");
        self.connection.free_gc(gc).expect("sent");
        self.connection.flush().expect("sent");
    }

    pub fn size(&self) -> Size {
        let now = self.connection.get_geometry(self.root).expect("sent").reply().expect("a root");
        Size::new(now.width, now.height)
    }

    /// The monitors, as far as they lie on the screen.
    pub fn monitors(&self) -> Vec<(String, Rect)> {
        let whole = self.size().rect();
        let told = self.connection.randr_get_monitors(self.root, true).expect("sent").reply().expect("monitors");
        let named = told.monitors.iter().map(|m| {
            let name = self.connection.get_atom_name(m.name).expect("sent").reply().expect("a name").name;
            let rect = Rect::new(m.x as u16, m.y as u16, m.width, m.height).intersect(&whole);
            (String::from_utf8(name).expect("text"), rect)
        });
        named.filter(|(_, rect)| !rect.is_empty()).collect()
    }

    /// What the server shows in a part of its screen.
    pub fn pixels(&self, r: Rect) -> Vec<u32> {
        let (x, y) = (r.x as i16, r.y as i16);
        let image = self.connection.get_image(ImageFormat::Z_PIXMAP, self.root, x, y, r.w, r.h, !0).expect("sent");
        let image = image.reply().expect("an image");
        image.data.as_chunks::<4>().0.iter().map(|p| u32::from_le_bytes(*p) & 0xff_ffff).collect()
    }

    /// The same as bytes R, G, B.
    pub fn rgb(&self, r: Rect) -> Vec<u8> {
        self.pixels(r).iter().flat_map(|p| p.to_be_bytes().into_iter().skip(1)).collect()
    }

    /// All of it, and its monitors.
    pub fn shown(&self) -> Shown {
        let size = self.size();
        Shown { size, px: self.pixels(size.rect()), outputs: self.monitors() }
    }

    pub fn pointer(&self) -> (i16, i16) {
        let reply = self.connection.query_pointer(self.root).expect("sent").reply().expect("a pointer");
        (reply.root_x, reply.root_y)
    }

    /// Makes a monitor; one of that name goes before. The one that takes the output replaces the server's own monitor for it.
    pub fn set_monitor(&self, name: &str, rect: Rect, takes_output: bool) {
        let c = &self.connection;
        let atom = c.intern_atom(false, name.as_bytes()).expect("sent").reply().expect("an atom").atom;
        let resources = c.randr_get_screen_resources_current(self.root).expect("sent").reply().expect("resources");
        let info = MonitorInfo {
            name: atom,
            primary: false,
            automatic: false,
            x: rect.x as i16,
            y: rect.y as i16,
            width: rect.w,
            height: rect.h,
            width_in_millimeters: 100,
            height_in_millimeters: 100,
            outputs: if takes_output { resources.outputs[..1].to_vec() } else { Vec::new() },
        };
        // the server refuses a name that is taken
        let _ = c.randr_delete_monitor(self.root, atom).expect("sent").check();
        c.randr_set_monitor(self.root, info).expect("sent").check().expect("a monitor");
    }

    pub fn delete_monitor(&self, name: &str) {
        let c = &self.connection;
        let atom = c.intern_atom(false, name.as_bytes()).expect("sent").reply().expect("an atom").atom;
        c.randr_delete_monitor(self.root, atom).expect("sent").check().expect("it was there");
    }

    /// Another size of the screen of a server with one output.
    pub fn set_size(&self, size: Size) {
        let c = &self.connection;
        let resources = c.randr_get_screen_resources_current(self.root).expect("sent").reply().expect("resources");
        let (crtc, output) = (resources.crtcs[0], resources.outputs[0]);
        let known = resources.modes.iter().find(|m| (m.width, m.height) == (size.w, size.h)).map(|m| m.id);
        let mode = known.unwrap_or_else(|| {
            let name = format!("{size}_test");
            let info = ModeInfo {
                width: size.w,
                height: size.h,
                dot_clock: 1_000_000,
                hsync_start: size.w,
                hsync_end: size.w,
                htotal: size.w,
                vsync_start: size.h,
                vsync_end: size.h,
                vtotal: size.h,
                name_len: name.len() as u16,
                mode_flags: ModeFlag::from(0u32),
                ..ModeInfo::default()
            };
            c.randr_create_mode(self.root, info, name.as_bytes()).expect("sent").reply().expect("a mode").mode
        });
        c.randr_add_output_mode(output, mode).expect("sent").check().expect("the output takes it");
        let now = self.size();
        let resize = |w: u16, h: u16| {
            let done = c.randr_set_screen_size(self.root, w, h, w.into(), h.into());
            done.expect("sent").check().expect("the screen takes it");
        };
        // what is lit lies on the screen at all times
        if (size.w.max(now.w), size.h.max(now.h)) != (now.w, now.h) {
            resize(size.w.max(now.w), size.h.max(now.h));
        }
        let (time, config) = (x11rb::CURRENT_TIME, resources.config_timestamp);
        let done = c.randr_set_crtc_config(crtc, time, config, 0, 0, mode, Rotation::ROTATE0, &[output]);
        assert_eq!(done.expect("sent").reply().expect("an answer").status, SetConfig::SUCCESS, "{size}");
        if self.size() != size {
            resize(size.w, size.h);
        }
    }
}
