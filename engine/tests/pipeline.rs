//! The pipeline as a whole: a scripted source on one side, clients with the reference decoder on the other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use farpane_engine::capture::{Doorbell, OutputInfo, Source, SourceError, SourceEvent};
use farpane_engine::damage::CpuDamage;
use farpane_engine::encode::{Codec, JpegStep, Params, Subsampling};
use farpane_engine::frame::{CursorImage, Frame, Hint, Memory, Piece};
use farpane_engine::geometry::{Point, Rect, Region, Size};
use farpane_engine::pipeline::{ClientPicture, EncodedUpdate, Output, OutputEvent, Pointer, View, ViewOutput};
use farpane_engine::pixel::{ClientFormat, Fourcc, Layout, Modifier};
use farpane_engine::refdec::Viewer;

const LIMIT: Duration = Duration::from_secs(20);

/// A picture that the test paints and a source hands out.
#[derive(Clone)]
struct Canvas {
    inner: Arc<Mutex<Inner>>,
    started: Arc<AtomicBool>,
    taken: Arc<AtomicU64>,
}

struct Inner {
    size: Size,
    pixels: Vec<u32>,
    changed: bool,
    resized: bool,
    fail: bool,
    bell: Option<Arc<Doorbell>>,
}

impl Canvas {
    fn new(size: Size) -> Self {
        let pixels = vec![0x0020_4060; size.area() as usize];
        Self {
            inner: Arc::new(Mutex::new(Inner {
                size,
                pixels,
                changed: false,
                resized: false,
                fail: false,
                bell: None,
            })),
            started: Arc::default(),
            taken: Arc::default(),
        }
    }

    fn change(&self, f: impl FnOnce(&mut Inner)) {
        let mut inner = self.inner.lock().unwrap();
        f(&mut inner);
        inner.changed = true;
        if let Some(bell) = &inner.bell {
            bell.ring();
        }
    }

    fn paint(&self, rect: Rect, mut colour: impl FnMut(u16, u16) -> u32) {
        self.change(|i| {
            for y in rect.y..rect.bottom() {
                for x in rect.x..rect.right() {
                    i.pixels[usize::from(y) * usize::from(i.size.w) + usize::from(x)] = colour(x, y) & 0x00ff_ffff;
                }
            }
        });
    }

    fn scroll_up(&self, rows: u16) {
        self.change(|i| {
            let w = usize::from(i.size.w);
            i.pixels.copy_within(usize::from(rows) * w.., 0);
        });
    }

    fn pixels(&self) -> Vec<u32> {
        self.inner.lock().unwrap().pixels.clone()
    }

    fn source(&self) -> Box<dyn Source> {
        Box::new(CanvasSource { canvas: self.clone(), seq: 0 })
    }
}

struct CanvasSource {
    canvas: Canvas,
    seq: u64,
}

impl Source for CanvasSource {
    fn info(&self) -> OutputInfo {
        let size = self.canvas.inner.lock().unwrap().size;
        OutputInfo { name: "test".into(), position: Point::new(0, 0), size, fourcc: Fourcc::XRGB8888 }
    }

    fn start(&mut self, bell: Arc<Doorbell>) -> Result<(), SourceError> {
        let mut inner = self.canvas.inner.lock().unwrap();
        if inner.fail {
            return Err(SourceError::Gone("the test says no".into()));
        }
        inner.bell = Some(bell);
        inner.changed = true;
        self.canvas.started.store(true, SeqCst);
        Ok(())
    }

    fn stop(&mut self) {
        self.canvas.inner.lock().unwrap().bell = None;
        self.canvas.started.store(false, SeqCst);
    }

    fn take(&mut self, now: Instant) -> Option<SourceEvent> {
        let mut inner = self.canvas.inner.lock().unwrap();
        if inner.fail {
            return Some(SourceEvent::Lost(SourceError::Gone("the test says no".into())));
        }
        if std::mem::take(&mut inner.resized) {
            return Some(SourceEvent::Resized(inner.size));
        }
        if !std::mem::take(&mut inner.changed) {
            return None;
        }
        self.canvas.taken.fetch_add(1, SeqCst);
        self.seq += 1;
        Some(SourceEvent::Frame(Frame {
            size: inner.size,
            fourcc: Fourcc::XRGB8888,
            modifier: Modifier::LINEAR,
            pieces: vec![Piece { rect: inner.size.rect(), offset: 0, stride: usize::from(inner.size.w) * 4 }],
            memory: Memory::Heap(inner.pixels.clone().into()),
            hint: Hint::Everything,
            acquire: None,
            seq: self.seq,
            captured_at: now,
            release: None,
        }))
    }
}

/// A client: its server-side picture and what a viewer makes of the bytes.
struct Client {
    picture: ClientPicture,
    viewer: Viewer,
    params: Params,
    quiet: Duration,
    woken: Arc<(Mutex<bool>, Condvar)>,
    area: Region,
}

fn pool() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap()
}

fn lossless(codec: Codec) -> Params {
    Params { codec, format: ClientFormat::BGRX, compression: 2, jpeg: None }
}

impl Client {
    fn new(view: &View, params: Params, can_copy: bool) -> Self {
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

    fn update(&mut self, budget: usize, pool: &rayon::ThreadPool) -> EncodedUpdate {
        let update = self.picture.encode(&self.area, budget, &self.params, self.quiet, pool, Instant::now());
        let mut message = vec![0, 0];
        message.extend_from_slice(&update.rects.to_be_bytes());
        message.extend_from_slice(&update.bytes);
        self.viewer.feed(&message).expect("a legal update");
        assert!(self.viewer.is_between_messages(), "the update is shorter than it says");
        update
    }

    /// Takes updates until the viewer shows `want`; returns the bytes it took.
    fn converge(&mut self, want: impl Fn() -> Vec<u32>, pool: &rayon::ThreadPool) -> usize {
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
}

fn one_output(canvas: &Canvas) -> (View, Arc<Output>, Arc<Mutex<Vec<String>>>) {
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let events = {
        let log = Arc::clone(&log);
        Box::new(move |e: OutputEvent| log.lock().unwrap().push(format!("{e:?}")))
    };
    let output = Output::spawn(canvas.source(), Box::new(CpuDamage::new()), events, Instant::now()).unwrap();
    let output = Arc::new(output);
    let size = output.info().size;
    let view =
        View { canvas: size, outputs: vec![ViewOutput { output: Arc::clone(&output), at: Point::new(0, 0), size }] };
    (view, output, log)
}

fn wait_for(what: &str, mut test: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !test() {
        assert!(Instant::now() < end, "{what}: not within {LIMIT:?}");
        std::thread::yield_now();
    }
}

fn noise(x: u16, y: u16) -> u32 {
    let v = (u32::from(x) << 16 | u32::from(y)).wrapping_mul(0x9e37_79b9);
    let v = (v ^ v >> 15).wrapping_mul(0x85eb_ca6b);
    (v ^ v >> 13) & 0x00ff_ffff
}

#[test]
fn every_codec_converges_to_the_source_picture() {
    let canvas = Canvas::new(Size::new(700, 300));
    let (view, _output, _) = one_output(&canvas);
    let pool = pool();
    for codec in Codec::ALL {
        let mut client = Client::new(&view, lossless(codec), true);
        client.converge(|| canvas.pixels(), &pool);
        canvas.paint(Rect::new(13, 7, 300, 111), noise);
        client.converge(|| canvas.pixels(), &pool);
        canvas.paint(Rect::new(600, 290, 10, 10), |_, _| 0x00ff_0000);
        client.converge(|| canvas.pixels(), &pool);
    }
}

#[test]
fn a_letter_costs_a_letter() {
    let canvas = Canvas::new(Size::new(3840, 2160));
    let (view, _output, _) = one_output(&canvas);
    let pool = pool();
    for codec in [Codec::Zrle, Codec::Tight] {
        let mut client = Client::new(&view, lossless(codec), true);
        client.converge(|| canvas.pixels(), &pool);
        canvas.paint(Rect::new(1000, 1003, 10, 20), |x, y| if (x ^ y) & 3 == 0 { 0 } else { 0x00ff_ffff });
        let bytes = client.converge(|| canvas.pixels(), &pool);
        assert!(bytes < 300, "{codec:?}: {bytes} bytes for one letter");
        canvas.paint(Rect::new(1000, 1003, 10, 20), |_, _| 0x0020_4060);
    }
}

#[test]
fn a_client_that_wants_nothing_makes_no_captures_and_without_clients_the_source_stops() {
    let canvas = Canvas::new(Size::new(128, 128));
    let (view, _output, _) = one_output(&canvas);
    assert!(!canvas.started.load(SeqCst), "captured before anybody watched");
    let pool = pool();
    let mut client = Client::new(&view, lossless(Codec::Zrle), true);
    client.converge(|| canvas.pixels(), &pool);
    client.picture.set_wants(false);
    // a second client shows when the thread has seen the first one's wish
    let before = {
        let mut other = Client::new(&view, lossless(Codec::Raw), false);
        other.converge(|| canvas.pixels(), &pool);
        canvas.taken.load(SeqCst)
    };
    for i in 0..50 {
        canvas.paint(Rect::new(0, 0, 64, 64), |x, y| noise(x + i, y));
    }
    client.picture.set_wants(true);
    client.converge(|| canvas.pixels(), &pool);
    let taken = canvas.taken.load(SeqCst) - before;
    assert!(taken <= 3, "{taken} frames captured for one that was wanted");
    drop(client);
    wait_for("the source stops", || !canvas.started.load(SeqCst));
}

#[test]
fn a_still_picture_gives_empty_updates_and_no_frames() {
    let canvas = Canvas::new(Size::new(640, 480));
    let (view, _output, _) = one_output(&canvas);
    let pool = pool();
    let mut client = Client::new(&view, lossless(Codec::Tight), true);
    client.converge(|| canvas.pixels(), &pool);
    let taken = canvas.taken.load(SeqCst);
    assert!(!client.picture.has_pending(&client.area));
    assert_eq!(client.update(1 << 20, &pool), EncodedUpdate::default());
    assert_eq!(client.picture.refresh_at(client.quiet), None);
    assert_eq!(canvas.taken.load(SeqCst), taken);
}

#[test]
fn small_budgets_send_a_large_change_in_pieces_that_end_exact() {
    let canvas = Canvas::new(Size::new(1024, 1024));
    let (view, _output, _) = one_output(&canvas);
    let pool = pool();
    let mut client = Client::new(&view, lossless(Codec::Zrle), true);
    client.converge(|| canvas.pixels(), &pool);
    canvas.paint(Rect::new(0, 0, 1024, 1024), noise);
    wait_for("damage", || client.picture.has_pending(&client.area));
    let mut updates = 0;
    let end = Instant::now() + LIMIT;
    while client.viewer.decoder().pixels() != canvas.pixels() {
        let update = client.update(64 * 1024, &pool);
        assert!(update.bytes.len() < 64 * 1024 * 2, "an update of {} bytes for a budget of 64 KiB", update.bytes.len());
        updates += u32::from(update.rects > 0);
        assert!(Instant::now() < end);
    }
    assert!(updates >= 8, "{updates} updates for 3 MB at 64 KiB each");
}

#[test]
fn scrolls_travel_as_copies_even_for_a_client_that_is_behind() {
    let canvas = Canvas::new(Size::new(640, 640));
    canvas.paint(Rect::new(0, 0, 640, 640), |x, y| if noise(x / 3, y) & 1 == 0 { 0 } else { 0x00ff_ffff });
    let (view, _output, _) = one_output(&canvas);
    let pool = pool();
    let mut client = Client::new(&view, lossless(Codec::Zrle), true);
    let whole = client.converge(|| canvas.pixels(), &pool);
    let mut bytes = 0;
    for i in 0..6u16 {
        canvas.scroll_up(20);
        canvas.paint(Rect::new(0, 620, 640, 20), |x, y| noise(x / 3, y + 700 * (i + 1)) & 1);
        if i % 2 == 1 {
            bytes += client.converge(|| canvas.pixels(), &pool);
        }
    }
    bytes += client.converge(|| canvas.pixels(), &pool);
    assert!(bytes < whole, "six scrolls by 20 of 640 rows took {bytes} bytes, the whole picture {whole}");
}

#[test]
fn lossy_pixels_become_exact_once_quiet() {
    let canvas = Canvas::new(Size::new(512, 256));
    let photo = |x: u16, y: u16| {
        let (x, y) = (u32::from(x), u32::from(y));
        let n = (x.wrapping_mul(31) ^ y.wrapping_mul(17)).wrapping_mul(2_654_435_761) >> 29;
        let v = |a: u32| ((a + n) & 0xff).min(255);
        v(x / 3 + y / 5) | v(x / 7 + y / 2) << 8 | v((x + y) / 4) << 16
    };
    canvas.paint(Rect::new(0, 0, 512, 256), photo);
    let (view, _output, _) = one_output(&canvas);
    let pool = pool();
    let jpeg = Some(JpegStep { quality: 60, subsampling: Subsampling::Quarter });
    let mut client = Client::new(&view, Params { jpeg, ..lossless(Codec::Tight) }, true);
    wait_for("the first picture", || client.picture.has_pending(&client.area));
    client.update(4 << 20, &pool);
    assert_ne!(client.viewer.decoder().pixels(), canvas.pixels(), "a photograph was not sent lossy");
    let due = client.picture.refresh_at(client.quiet).expect("a refresh is due");
    assert!(due <= Instant::now() + client.quiet);
    client.converge(|| canvas.pixels(), &pool);
    assert_eq!(client.picture.refresh_at(client.quiet), None);
}

#[test]
fn a_drawn_pointer_leaves_no_trace() {
    let canvas = Canvas::new(Size::new(300, 200));
    canvas.paint(Rect::new(0, 0, 300, 200), noise);
    let (view, _output, _) = one_output(&canvas);
    let pool = pool();
    let mut client = Client::new(&view, lossless(Codec::Tight), true);
    client.converge(|| canvas.pixels(), &pool);
    let image = Arc::new(CursorImage {
        size: Size::new(9, 9),
        hotspot: Point::new(4, 4),
        rgba: [255, 0, 0, 255].repeat(81),
        serial: 1,
    });
    let mut with = canvas.pixels();
    for y in 96..105 {
        with[y * 300 + 146..y * 300 + 155].fill(0x00ff_0000);
    }
    client.picture.set_pointer(Some(Pointer { image: Arc::clone(&image), at: Point::new(150, 100) }));
    client.converge(|| with.clone(), &pool);
    client.picture.set_pointer(Some(Pointer { image, at: Point::new(2, 199) }));
    client.update(1 << 20, &pool);
    client.picture.set_pointer(None);
    client.converge(|| canvas.pixels(), &pool);
}

#[test]
fn two_outputs_with_a_gap_make_one_canvas() {
    let (left, right) = (Canvas::new(Size::new(100, 80)), Canvas::new(Size::new(60, 120)));
    right.paint(Rect::new(0, 0, 60, 120), noise);
    let (a, _out_a, _) = one_output(&left);
    let (b, _out_b, _) = one_output(&right);
    let mut outputs = a.outputs;
    outputs.push(ViewOutput { at: Point::new(110, 10), ..b.outputs[0].clone() });
    let view = View { canvas: Size::new(170, 130), outputs };
    let want = || {
        let mut all = vec![0; 170 * 130];
        for (canvas, w, x, y) in [(&left, 100, 0, 0), (&right, 60, 110, 10)] {
            for (i, row) in canvas.pixels().chunks(w).enumerate() {
                all[(y + i) * 170 + x..][..w].copy_from_slice(row);
            }
        }
        all
    };
    let pool = pool();
    let mut client = Client::new(&view, lossless(Codec::Zrle), true);
    client.converge(want, &pool);
    left.paint(Rect::new(90, 70, 10, 10), |_, _| 0x0000_ff00);
    right.paint(Rect::new(0, 0, 10, 10), |_, _| 0x0000_00ff);
    client.converge(want, &pool);
}

#[test]
fn equal_clients_share_what_was_encoded() {
    let canvas = Canvas::new(Size::new(640, 480));
    canvas.paint(Rect::new(0, 0, 640, 480), noise);
    let (view, output, _) = one_output(&canvas);
    let pool = pool();
    let mut clients: Vec<_> = (0..4).map(|_| Client::new(&view, lossless(Codec::Zrle), true)).collect();
    for c in &mut clients {
        c.converge(|| canvas.pixels(), &pool);
    }
    let stats = output.stats();
    let (made, shared) = (stats.encoded_rects.load(SeqCst), stats.shared_rects.load(SeqCst));
    assert!(shared >= made * 2, "{made} rectangles encoded, {shared} shared by four clients");
}

#[test]
fn a_resize_gives_everybody_the_new_picture() {
    let canvas = Canvas::new(Size::new(200, 100));
    let (view, output, _) = one_output(&canvas);
    let pool = pool();
    let mut client = Client::new(&view, lossless(Codec::Zrle), true);
    client.converge(|| canvas.pixels(), &pool);
    canvas.change(|i| {
        i.size = Size::new(160, 150);
        i.pixels = (0..160 * 150).map(|p| p & 0x00ff_ffff).collect();
        i.resized = true;
    });
    wait_for("the new size", || output.size() == Size::new(160, 150));
    let view = View {
        canvas: Size::new(160, 150),
        outputs: vec![ViewOutput { output, at: Point::new(0, 0), size: Size::new(160, 150) }],
    };
    let mut client = Client::new(&view, lossless(Codec::Zrle), true);
    client.converge(|| canvas.pixels(), &pool);
}

#[test]
fn a_source_that_fails_is_reported_once_and_comes_back() {
    let canvas = Canvas::new(Size::new(64, 64));
    let (view, _output, log) = one_output(&canvas);
    let pool = pool();
    let mut client = Client::new(&view, lossless(Codec::Zrle), true);
    client.converge(|| canvas.pixels(), &pool);
    canvas.change(|i| i.fail = true);
    wait_for("the loss", || log.lock().unwrap().iter().any(|l| l.contains("Lost")));
    canvas.change(|i| i.fail = false);
    canvas.paint(Rect::new(1, 1, 5, 5), |_, _| 0x00ab_cdef);
    client.converge(|| canvas.pixels(), &pool);
    let log = log.lock().unwrap();
    assert_eq!(log.len(), 2, "{log:?}");
}

#[test]
fn the_comparison_sees_one_wrong_pixel() {
    let canvas = Canvas::new(Size::new(64, 64));
    let (view, _output, _) = one_output(&canvas);
    let pool = pool();
    let mut client = Client::new(&view, lossless(Codec::Raw), false);
    client.converge(|| canvas.pixels(), &pool);
    let mut wrong = canvas.pixels();
    wrong[64 * 63 + 63] ^= Layout::BGRX.pixel([0, 0, 1]);
    assert_ne!(client.viewer.decoder().pixels(), wrong);
}

#[test]
fn damage_that_comes_late_or_never_is_survived() {
    use farpane_engine::damage::delayed::{Delay, Delayed};
    let canvas = Canvas::new(Size::new(320, 200));
    let plan = [Delay::Polls(3), Delay::For(Duration::from_millis(30)), Delay::Fail, Delay::Polls(1), Delay::Never];
    let damage = Delayed::new(CpuDamage::new(), plan);
    let output = Output::spawn(canvas.source(), Box::new(damage), Box::new(|_| {}), Instant::now()).unwrap();
    let size = output.info().size;
    let output = Arc::new(output);
    let view = View { canvas: size, outputs: vec![ViewOutput { output, at: Point::new(0, 0), size }] };
    let pool = pool();
    let mut client = Client::new(&view, lossless(Codec::Zrle), true);
    for i in 0..8u16 {
        canvas.paint(Rect::new(i * 20, i * 10, 60, 40), move |x, y| noise(x, y + i));
        client.converge(|| canvas.pixels(), &pool);
    }
}
