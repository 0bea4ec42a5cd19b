//! Looks at a screen as the helper does, and shows what it sees to a source and its damage stage.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use farpane_engine::capture::drm::{Card, Device, Feed, KmsSource, Look, Pointer, Screen, Watch, Wish, screens};
use farpane_engine::capture::{Doorbell, Source, SourceEvent};
use farpane_engine::damage::{CpuDamage, DamageEngine, Mirror, Progress};
use farpane_engine::geometry::{Point, Size};
use farpane_test_support::screens::Painter;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub const CARD: &str = "/dev/dri/card0";
const PATIENCE: Duration = Duration::from_secs(20);

pub fn painter(sizes: &[(u16, u16)]) -> Painter {
    Painter::start(CARD, sizes)
}

/// One screen with all that follows it.
pub struct Watcher {
    pub device: Device,
    pub screen: Screen,
    pub watch: Watch,
    pub source: KmsSource,
    pub feed: Arc<Feed>,
    pub pointer: Option<Pointer>,
    wishes: Arc<Mutex<Vec<Wish>>>,
    damage: CpuDamage,
    pub mirror: Mirror,
    pub frames: BTreeMap<u64, u64>,
}

impl Watcher {
    pub fn new(index: usize) -> Self {
        let device = Device::open(Path::new(CARD)).expect("the card").expect("has screens");
        let screen = screens(&device).expect("screens").into_iter().nth(index).expect("a screen");
        let wishes = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&wishes);
        let ask = Box::new(move |wish| noted.lock().expect("no test panics here").push(wish));
        let feed = Feed::new(&screen.driver, screen.size, ask);
        let mut source = KmsSource::new(Arc::clone(&feed), &screen.name(), Point::default(), screen.rate);
        source.start(Doorbell::new()).expect("starts");
        let layout = source.info().fourcc.layout().expect("32 bits");
        Self {
            watch: Watch::new(&device, screen.crtc).expect("a CRTC"),
            mirror: Mirror::new(screen.size, layout, Instant::now()),
            damage: CpuDamage::new(),
            frames: BTreeMap::new(),
            pointer: None,
            device,
            screen,
            source,
            feed,
            wishes,
        }
    }

    pub fn wishes(&self) -> Vec<Wish> {
        std::mem::take(&mut *self.wishes.lock().expect("no test panics here"))
    }

    /// Waits for a vertical blank and looks.
    pub fn look(&mut self) -> bool {
        self.device.ask_vblank(self.screen.crtc).expect("there are vertical blanks");
        let limit = Timespec::try_from(Duration::from_secs(5)).expect("a time");
        let ready = poll(&mut [PollFd::from_borrowed_fd(self.device.as_fd(), PollFlags::IN)], Some(&limit));
        assert_eq!(ready, Ok(1), "no vertical blank");
        assert!(!self.device.vblanks().expect("vertical blanks").is_empty());
        self.look_now(false)
    }

    /// Looks; says whether there was another picture.
    pub fn look_now(&mut self, missed: bool) -> bool {
        let Look { fresh, forgotten, picture, pointer } = self.watch.look(&self.device, missed).expect("a look");
        forgotten.into_iter().for_each(|id| self.feed.forget(id));
        fresh.into_iter().for_each(|(id, buffer)| self.feed.buffer(id, buffer));
        if let Some(pointer) = pointer {
            self.pointer = pointer;
        }
        let other = picture.is_some();
        picture.into_iter().for_each(|picture| self.feed.show(picture));
        other
    }

    /// Takes what the source has at a time; says how many pixels changed.
    pub fn take(&mut self, now: Instant) -> u64 {
        let mut changed = 0;
        while let Some(event) = self.source.take(now) {
            match event {
                SourceEvent::Frame(frame) => {
                    *self.frames.entry(frame.pieces.iter().map(|p| p.rect.area()).sum()).or_default() += 1;
                    let layout = frame.fourcc.layout().expect("32 bits");
                    if (self.mirror.read().size(), self.mirror.read().layout) != (frame.size, layout) {
                        self.mirror = Mirror::new(frame.size, layout, now);
                    }
                    let ticket = self.damage.submit(frame, &self.mirror, now);
                    let Progress::Done(damage) = self.damage.poll(ticket, &self.mirror, now) else {
                        panic!("a frame that cannot be compared")
                    };
                    self.source.compared(!damage.changed.is_empty(), now);
                    changed += damage.changed.area();
                }
                SourceEvent::Resized(size) => assert!(size.area() > 0),
                SourceEvent::Lost(error) => panic!("{error}"),
            }
        }
        changed
    }

    /// Looks until something else is shown, and takes that.
    pub fn follow(&mut self) -> u64 {
        let end = Instant::now() + PATIENCE;
        while !self.look() {
            assert!(Instant::now() < end, "nothing else within {PATIENCE:?}");
        }
        self.take(Instant::now())
    }

    pub fn size(&self) -> Size {
        self.mirror.read().size()
    }

    /// That all pixels are these.
    pub fn assert_shows(&self, what: &str, pixel: impl Fn(u32, u32) -> u32) {
        let data = self.mirror.read();
        let width = u32::from(data.size().w);
        let differs = |(i, seen): (u32, &u32)| {
            let want = pixel(i % width, i / width) & 0x00ff_ffff;
            (seen & 0x00ff_ffff != want)
                .then(|| format!("{what}: pixel {},{} is {seen:06x}, not {want:06x}", i % width, i / width))
        };
        let wrong: Vec<String> = (0u32..).zip(&data.pixels).filter_map(differs).collect();
        assert!(wrong.is_empty(), "{} pixels: {}", wrong.len(), wrong[0]);
    }
}
