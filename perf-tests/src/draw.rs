//! The X client that shows a workload: it carries out a scene's operations and notes when each frame was on the screen.

use crate::paint::Picture;
use crate::scene::{Op, Scene};
use anyhow::{Context, bail};
use rustix::event::{PollFd, PollFlags, poll};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use x11rb::connection::{Connection, RequestConnection};
use x11rb::protocol::Event;
use x11rb::protocol::shm::{self, ConnectionExt as _};
use x11rb::protocol::xproto::{
    ChangeGCAux, ConnectionExt as _, CreateGCAux, CreateWindowAux, EventMask, ImageFormat, InputFocus, Rectangle,
    WindowClass,
};
use x11rb::rust_connection::RustConnection;

/// Pictures in files that X servers can map: made once, shared by all servers of a run.
#[derive(Debug)]
pub struct Shared {
    /// The workload.
    pub scene: Scene,
    files: Vec<File>,
}

impl Shared {
    /// Writes the scene's pictures.
    ///
    /// # Errors
    /// When there is no memory file to be had.
    pub fn new(scene: Scene) -> anyhow::Result<Self> {
        let files = scene.pictures.iter().map(memory_file).collect::<anyhow::Result<_>>()?;
        Ok(Self { scene, files })
    }
}

fn memory_file(picture: &Picture) -> anyhow::Result<File> {
    let fd = rustix::fs::memfd_create("farpane-perf-tests", rustix::fs::MemfdFlags::CLOEXEC)?;
    let file = File::from(fd);
    file.set_len(picture.px.len() as u64 * 4)?;
    for (rows, at) in picture.px.chunks(1 << 18).zip(0_u64..) {
        let bytes: Vec<u8> = rows.iter().flat_map(|p| p.to_le_bytes()).collect();
        file.write_all_at(&bytes, at << 20)?;
    }
    Ok(file)
}

/// Where the X server takes a picture's pixels from.
#[derive(Clone, Copy, Debug)]
enum Held {
    /// Memory that we share with it.
    Segment(u32),
    /// A pixmap of its own, for servers that cannot share memory by descriptor.
    Pixmap(u32),
}

/// A connection that shows a scene.
struct Painter {
    connection: RustConnection,
    window: u32,
    gc: u32,
    depth: u8,
    held: Vec<Held>,
}

impl Painter {
    fn new(display: &str, shared: &Shared) -> anyhow::Result<Self> {
        let (connection, screen) =
            RustConnection::connect(Some(display)).with_context(|| format!("display {display}"))?;
        let screen = &connection.setup().roots[screen];
        let (root, depth, visual) = (screen.root, screen.root_depth, screen.root_visual);
        if depth != 24 {
            bail!("display {display} has depth {depth} (expected 24)");
        }
        let (w, h) = (screen.width_in_pixels, screen.height_in_pixels);
        if (u32::from(w), u32::from(h)) != (shared.scene.w, shared.scene.h) {
            bail!("display {display} is {w}x{h} (expected {}x{})", shared.scene.w, shared.scene.h);
        }
        let [window, gc, blank, cursor] = [(); 4].map(|()| connection.generate_id());
        let (window, gc, blank, cursor) = (window?, gc?, blank?, cursor?);
        // no pointer over the picture: some servers draw it in, and a screen's own picture is without
        connection.create_pixmap(1, blank, root, 1, 1)?;
        let blank_gc = connection.generate_id()?;
        connection.create_gc(blank_gc, blank, &CreateGCAux::new().foreground(0))?;
        connection.poly_fill_rectangle(blank, blank_gc, &[Rectangle { x: 0, y: 0, width: 1, height: 1 }])?;
        connection.create_cursor(cursor, blank, blank, 0, 0, 0, 0, 0, 0, 0, 0)?;
        let look = CreateWindowAux::new().override_redirect(1).event_mask(EventMask::KEY_PRESS).cursor(cursor);
        connection.create_window(depth, window, root, 0, 0, w, h, 0, WindowClass::INPUT_OUTPUT, visual, &look)?;
        connection.create_gc(gc, window, &CreateGCAux::new().graphics_exposures(0))?;
        connection.map_window(window)?;
        connection.set_input_focus(InputFocus::PARENT, window, x11rb::CURRENT_TIME)?;
        let mut painter = Self { connection, window, gc, depth, held: Vec::new() };
        painter.hold(shared)?;
        painter.paint_with(&shared.scene.start(), &shared.scene.pictures)?;
        painter.sync()?;
        Ok(painter)
    }

    /// Gives the server the pictures.
    fn hold(&mut self, shared: &Shared) -> anyhow::Result<()> {
        let c = &self.connection;
        let can_share = match c.shm_query_version() {
            Ok(cookie) => cookie.reply().is_ok_and(|v| (v.major_version, v.minor_version) >= (1, 2)),
            Err(_) => false,
        };
        for (picture, file) in shared.scene.pictures.iter().zip(&shared.files) {
            if can_share {
                let segment = c.generate_id()?;
                let fd = rustix::io::dup(file)?;
                if shm::attach_fd(c, segment, fd, true)?.check().is_ok() {
                    self.held.push(Held::Segment(segment));
                    continue;
                }
            }
            let (pixmap, gc) = (c.generate_id()?, c.generate_id()?);
            c.create_pixmap(self.depth, pixmap, self.window, picture.w as u16, picture.h as u16)?.check()?;
            c.create_gc(gc, pixmap, &CreateGCAux::new())?;
            // as many rows as the server takes in one request
            let rows = ((c.maximum_request_bytes() - 64) / (picture.w as usize * 4)).clamp(1, 256) as u32;
            for y in (0..picture.h).step_by(rows as usize) {
                let h = rows.min(picture.h - y);
                let part = &picture.px[(y * picture.w) as usize..((y + h) * picture.w) as usize];
                let bytes: Vec<u8> = part.iter().flat_map(|p| p.to_le_bytes()).collect();
                let (w, h, y) = (picture.w as u16, h as u16, y as i16);
                c.put_image(ImageFormat::Z_PIXMAP, pixmap, gc, w, h, 0, y, 0, self.depth, &bytes)?;
            }
            self.held.push(Held::Pixmap(pixmap));
        }
        Ok(())
    }

    fn paint_with(&self, ops: &[Op], pictures: &[Picture]) -> anyhow::Result<()> {
        let c = &self.connection;
        for op in ops {
            match op {
                Op::Fill(a, colour) => {
                    c.change_gc(self.gc, &ChangeGCAux::new().foreground(*colour))?;
                    let r = Rectangle { x: a.x as i16, y: a.y as i16, width: a.w as u16, height: a.h as u16 };
                    c.poly_fill_rectangle(self.window, self.gc, &[r])?;
                }
                Op::Copy { from_x, from_y, to } => {
                    let (x, y) = (*from_x as i16, *from_y as i16);
                    let (w, h) = (to.w as u16, to.h as u16);
                    c.copy_area(self.window, self.window, self.gc, x, y, to.x as i16, to.y as i16, w, h)?;
                }
                Op::Put { picture, from_x, from_y, to } => {
                    let (w, h, x, y) = (to.w as u16, to.h as u16, to.x as i16, to.y as i16);
                    match self.held[*picture] {
                        Held::Pixmap(p) => {
                            c.copy_area(p, self.window, self.gc, *from_x as i16, *from_y as i16, x, y, w, h)?;
                        }
                        Held::Segment(s) => {
                            let (pw, ph) = (pictures[*picture].w as u16, pictures[*picture].h as u16);
                            let (fx, fy) = (*from_x as u16, *from_y as u16);
                            let z = u8::from(ImageFormat::Z_PIXMAP);
                            c.shm_put_image(
                                self.window,
                                self.gc,
                                pw,
                                ph,
                                fx,
                                fy,
                                w,
                                h,
                                x,
                                y,
                                self.depth,
                                z,
                                false,
                                s,
                                0,
                            )?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns when the server has carried out all that was asked.
    fn sync(&self) -> anyhow::Result<()> {
        self.connection.get_input_focus()?.reply()?;
        Ok(())
    }
}

/// When a frame or a letter was on the screen.
#[derive(Clone, Copy, Debug)]
pub struct Drawn {
    /// Its number; letters count from 0, frames from 1.
    pub number: u32,
    /// After the X server had carried it out.
    pub at: Instant,
}

/// What the drawing thread is told.
enum Order {
    /// Draw one frame and say when.
    One(u32, Sender<Instant>),
    /// Draw frames at a rate until told to stop.
    Run(f64),
    /// Draw letter `k`.
    Letter(u32, Sender<Instant>),
    /// End.
    Quit,
}

/// A thread that draws.
pub struct Drawer {
    orders: Sender<Order>,
    running: Arc<AtomicBool>,
    /// Frames drawn so far; the number of the last one.
    last: Arc<AtomicU32>,
    /// What was drawn, in order.
    drawn: Receiver<Drawn>,
    /// Letters that keys brought about.
    typed: Receiver<Drawn>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
    window: u32,
}

impl Drawer {
    /// Connects, shows the workload's first picture and waits for orders.
    ///
    /// # Errors
    /// When the display cannot be opened or has another size or depth.
    pub fn start(display: &str, shared: Arc<Shared>) -> anyhow::Result<Self> {
        let painter = Painter::new(display, &shared)?;
        let window = painter.window;
        let (orders, inbox) = channel();
        let (drawn_in, drawn) = channel();
        let (typed_in, typed) = channel();
        let (running, last) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let thread = std::thread::Builder::new().name("drawer".into()).spawn({
            let (running, last) = (running.clone(), last.clone());
            move || Work { painter, shared, running, last, drawn: drawn_in, typed: typed_in, letters: 0 }.serve(&inbox)
        })?;
        Ok(Self { orders, running, last, drawn, typed, thread: Some(thread), window })
    }

    /// The window that covers the screen.
    pub fn window(&self) -> u32 {
        self.window
    }

    /// Draws the next frame and returns when it is on the screen.
    ///
    /// # Errors
    /// When the display is gone.
    pub fn one(&self) -> anyhow::Result<Drawn> {
        let number = self.last.load(Ordering::SeqCst) + 1;
        let (tell, told) = channel();
        self.orders.send(Order::One(number, tell)).ok().context("the drawer has ended")?;
        Ok(Drawn { number, at: told.recv().context("the drawer has ended")? })
    }

    /// Draws letter `k` without a key.
    ///
    /// # Errors
    /// When the display is gone.
    pub fn letter(&self, k: u32) -> anyhow::Result<Drawn> {
        let (tell, told) = channel();
        self.orders.send(Order::Letter(k, tell)).ok().context("the drawer has ended")?;
        Ok(Drawn { number: k, at: told.recv().context("the drawer has ended")? })
    }

    /// Begins to draw frames at a steady rate.
    ///
    /// # Errors
    /// When the display is gone.
    pub fn run(&self, hz: f64) -> anyhow::Result<()> {
        self.running.store(true, Ordering::SeqCst);
        self.orders.send(Order::Run(hz)).ok().context("the drawer has ended")
    }

    /// Ends the drawing of frames.
    pub fn stop(&self) {
        self.running.store(false, Ordering::SeqCst);
    }

    /// How many frames were drawn so far.
    pub fn count(&self) -> u32 {
        self.last.load(Ordering::SeqCst)
    }

    /// Frames noted since the last call.
    pub fn take_drawn(&self) -> Vec<Drawn> {
        self.drawn.try_iter().collect()
    }

    /// The next letter that a key brought about, waited for.
    pub fn next_typed(&self, limit: Duration) -> Option<Drawn> {
        self.typed.recv_timeout(limit).ok()
    }
}

impl Drop for Drawer {
    fn drop(&mut self) {
        self.stop();
        // the thread may have ended by itself, with its display
        let _ = self.orders.send(Order::Quit);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Work {
    painter: Painter,
    shared: Arc<Shared>,
    running: Arc<AtomicBool>,
    last: Arc<AtomicU32>,
    drawn: Sender<Drawn>,
    typed: Sender<Drawn>,
    letters: u32,
}

impl Work {
    fn paint(&self, ops: &[Op]) -> anyhow::Result<Instant> {
        self.painter.paint_with(ops, &self.shared.scene.pictures)?;
        self.painter.sync()?;
        Ok(Instant::now())
    }

    fn frame(&self, number: u32) -> anyhow::Result<Instant> {
        let at = self.paint(&self.shared.scene.frame(number))?;
        self.last.store(number, Ordering::SeqCst);
        // nobody may be listening, which is no fault
        let _ = self.drawn.send(Drawn { number, at });
        Ok(at)
    }

    /// Draws a letter for every key that has come.
    fn keys(&mut self) -> anyhow::Result<()> {
        while let Some(event) = self.painter.connection.poll_for_event()? {
            if matches!(event, Event::KeyPress(_)) && self.shared.scene.has_letters() {
                let number = self.letters;
                self.letters += 1;
                let at = self.paint(&self.shared.scene.type_letter(number))?;
                let _ = self.typed.send(Drawn { number, at });
            }
        }
        Ok(())
    }

    /// Waits for a key until a moment, drawing letters meanwhile.
    fn wait(&mut self, until: Instant) -> anyhow::Result<()> {
        loop {
            self.keys()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let limit = rustix::event::Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let stream = self.painter.connection.stream();
            match poll(&mut [PollFd::new(stream, PollFlags::IN)], Some(&limit)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn serve(mut self, inbox: &Receiver<Order>) -> anyhow::Result<()> {
        loop {
            // keys come at any time, orders are looked for between them
            let order = match inbox.try_recv() {
                Ok(order) => order,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return Ok(()),
                Err(std::sync::mpsc::TryRecvError::Empty) => {
                    self.wait(Instant::now() + Duration::from_millis(4))?;
                    continue;
                }
            };
            match order {
                Order::Quit => return Ok(()),
                Order::One(number, tell) => {
                    let at = self.frame(number)?;
                    let _ = tell.send(at);
                }
                Order::Letter(k, tell) => {
                    let at = self.paint(&self.shared.scene.type_letter(k))?;
                    let _ = tell.send(at);
                }
                Order::Run(hz) => self.run(hz)?,
            }
        }
    }

    fn run(&mut self, hz: f64) -> anyhow::Result<()> {
        let step = Duration::from_secs_f64(1.0 / hz);
        let mut due = Instant::now();
        while self.running.load(Ordering::SeqCst) {
            self.wait(due)?;
            self.frame(self.last.load(Ordering::SeqCst) + 1)?;
            due += step;
            // what is late is not made up for
            due = due.max(Instant::now());
        }
        Ok(())
    }
}
