//! The compositor on a thread of its own, as tests hold it.

use wayland_protocols::wp::linux_dmabuf::zv1::server::zwp_linux_dmabuf_v1::ZwpLinuxDmabufV1;

use super::*;

/// A running one.
pub struct Fake {
    orders: Sender<Order>,
    thread: Option<std::thread::JoinHandle<()>>,
    dir: PathBuf,
}

impl Fake {
    /// Starts one with an output of that size; `ext` says by which protocol it shows it.
    pub fn start(size: Size, ext: bool, manners: Manners) -> Self {
        Self::start_with(size, ext, manners, in_memory)
    }

    /// The same for dma-bufs that are reached in another way than files.
    pub fn start_with(size: Size, ext: bool, manners: Manners, reach: Reach) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("farpane-fake-{}-{count}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a folder");
        let listener = ListeningSocket::bind_absolute(dir.join("wayland-0")).expect("a socket");
        let (orders, inbox) = channel::<Order>();
        let mut display = Display::<State>::new().expect("a display");
        let handle = display.handle();
        handle.create_global::<State, WlShm, ()>(1, ());
        if ext {
            handle.create_global::<State, WlSeat, ()>(5, ());
            handle.create_global::<State, ExtOutputImageCaptureSourceManagerV1, ()>(1, ());
            handle.create_global::<State, ExtImageCopyCaptureManagerV1, ()>(1, ());
        } else {
            handle.create_global::<State, ZwlrScreencopyManagerV1, ()>(3, ());
        }
        if manners.dmabuf {
            handle.create_global::<State, ZwpLinuxDmabufV1, ()>(5, ());
        }
        let mut state = State {
            display: handle,
            monitors: Vec::new(),
            sessions: Vec::new(),
            frames: Vec::new(),
            copies: Vec::new(),
            shapes: Vec::new(),
            shape: ((1, 1), vec![0], (0, 0)),
            seats: Vec::new(),
            painted: Vec::new(),
            dirty: Vec::new(),
            manners,
            written: 0,
            pictures: 0,
            taken: 0,
            drawn: 0,
            reach,
        };
        state.add_output(size);
        let thread = std::thread::spawn(move || run(&mut display, &mut state, &listener, &inbox));
        Self { orders, thread: Some(thread), dir }
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.join("wayland-0")
    }

    /// Does something inside and hands out what it found.
    pub fn with<T: Send + 'static>(&self, order: impl FnOnce(&mut State) -> T + Send + 'static) -> T {
        let (tell, told) = channel();
        self.orders.send(Box::new(move |state| drop(tell.send(order(state))))).expect("it runs");
        told.recv_timeout(crate::PATIENCE).expect("it runs")
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let (orders, _) = channel();
        self.orders = orders;
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the compositor of the tests failed");
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
