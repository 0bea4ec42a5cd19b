//! A client of the pipeline, with a viewer behind it.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::LIMIT;
use farpane_engine::encode::{Codec, Params};
use farpane_engine::geometry::Region;
use farpane_engine::pipeline::{Budget, ClientPicture, EncodedUpdate, Lanes, View};
use farpane_engine::pixel::ClientFormat;
use farpane_engine::refdec::Viewer;

/// A client: its server-side picture and what a viewer makes of the bytes.
pub struct Client {
    pub picture: ClientPicture,
    pub viewer: Viewer,
    params: Params,
    pub quiet: Duration,
    woken: Arc<(Mutex<bool>, Condvar)>,
    pub area: Region,
}

pub fn lossless(codec: Codec) -> Params {
    Params { codec, format: ClientFormat::BGRX, compression: 2, jpeg: None }
}

impl Client {
    pub fn new(view: &View, params: Params, can_copy: bool) -> Self {
        let woken = Arc::new((Mutex::new(false), Condvar::new()));
        let notify: Arc<dyn Fn() + Send + Sync> = Arc::new({
            let woken = Arc::clone(&woken);
            move || {
                *woken.0.lock().unwrap() = true;
                woken.1.notify_all();
            }
        });
        let mut picture = ClientPicture::new();
        picture.set_can_copy(can_copy);
        picture.set_view(view, &notify);
        picture.set_wants(true);
        let viewer = Viewer::new(params.format, view.canvas).unwrap();
        Self {
            picture,
            viewer,
            params,
            quiet: Duration::from_millis(50),
            woken,
            area: Region::from(view.canvas.rect()),
        }
    }

    pub fn update(&mut self, budget: impl Into<Budget>, pool: &Lanes) -> EncodedUpdate {
        let update = self.picture.encode(&self.area, budget, &self.params, self.quiet, pool, Instant::now());
        let mut message = vec![0, 0];
        message.extend_from_slice(&update.rects.to_be_bytes());
        message.extend_from_slice(&update.bytes);
        self.viewer.feed(&message).expect("a legal update");
        assert!(self.viewer.is_between_messages(), "the update is shorter than it says");
        update
    }

    /// Takes updates until the viewer shows `want`; returns the bytes it took.
    pub fn converge(&mut self, want: impl Fn() -> Vec<u32>, pool: &Lanes) -> usize {
        let end = Instant::now() + LIMIT;
        let mut bytes = 0;
        loop {
            bytes += self.update(1 << 20, pool).bytes.len();
            if self.viewer.decoder().pixels() == want() {
                return bytes;
            }
            assert!(Instant::now() < end, "the viewer does not become the source's picture within {LIMIT:?}");
            let wait = Duration::from_millis(20);
            let (lock, cond) = &*self.woken;
            let (mut woken, _) = cond.wait_timeout(lock.lock().unwrap(), wait).unwrap();
            *woken = false;
        }
    }

    /// Takes updates until everything outside of what moves is exact.
    #[cfg(feature = "h264")]
    pub fn converge_outside(
        &mut self,
        canvas: &super::canvas::Canvas,
        pool: &Lanes,
        compare: impl Fn(&Self) -> (f64, bool),
    ) {
        let end = Instant::now() + LIMIT;
        while !compare(self).1 || self.picture.has_pending(&self.area) {
            self.update(1 << 20, pool);
            assert!(Instant::now() < end, "not exact beside the film within {LIMIT:?}: {}", canvas.pixels().len());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
