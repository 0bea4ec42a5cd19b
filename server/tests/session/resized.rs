//! An output of another size whose first picture takes its time.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::desk::{Desk, layout, picture_of};
use super::settle;
use farpane_engine::capture::synthetic::{self, SyntheticSource};
use farpane_engine::capture::{Doorbell, OutputInfo, Source, SourceError, SourceEvent};
use farpane_server::backend::{BackendEvent, OutputId};
use farpane_server::session::Settings;
use farpane_test_support::{Client, PATIENCE, encoding};

const BEFORE: &str = "320x240:still";
const AFTER: &str = "400x300:still";

fn scene(scene: &str) -> SyntheticSource {
    SyntheticSource::new(synthetic::parse(scene).expect("a good scene"), Instant::now())
}

/// Shows one scene, and once it is told to, another of another size, whose first picture it is to be allowed.
struct Resizes {
    now: SyntheticSource,
    told: Arc<Mutex<bool>>,
    entered: Sender<()>,
    go: Receiver<()>,
    waits: bool,
    bell: Arc<Mutex<Option<Arc<Doorbell>>>>,
}

impl Source for Resizes {
    fn info(&self) -> OutputInfo {
        self.now.info()
    }

    fn start(&mut self, bell: Arc<Doorbell>) -> Result<(), SourceError> {
        *self.bell.lock().expect("whole") = Some(Arc::clone(&bell));
        self.now.start(bell)
    }

    fn stop(&mut self) {
        self.now.stop();
    }

    fn take(&mut self, now: Instant) -> Option<SourceEvent> {
        if std::mem::take(&mut *self.told.lock().expect("whole")) {
            self.now = scene(AFTER);
            self.now.start(Doorbell::new()).expect("starts");
            self.waits = true;
            return Some(SourceEvent::Resized(self.now.info().size));
        }
        if std::mem::take(&mut self.waits) {
            self.entered.send(()).expect("the test waits");
            let _ = self.go.recv();
        }
        self.now.take(now)
    }
}

fn sent_pixels(client: &Client) -> usize {
    let rects = client.traffic.updates.iter().flat_map(|u| &u.update.rects);
    rects.filter(|r| r.head.encoding == encoding::ZRLE).count()
}

#[test]
fn no_pixel_is_sent_of_a_new_size_before_there_is_a_picture_of_it() {
    let desk = Desk::with(BEFORE, Settings { max_fps: 0, ..Settings::default() });
    let (told, bell) = (Arc::new(Mutex::new(false)), Arc::new(Mutex::new(None)));
    let ((entered, enters), (let_go, go)) = (channel(), channel());
    let source = Resizes { now: scene(BEFORE), told: told.clone(), entered, go, waits: false, bell: bell.clone() };
    let size = source.info().size;
    desk.tell(BackendEvent::OutputAdded(OutputId(0), Box::new(source)));
    desk.tell(BackendEvent::LayoutChanged(layout(size)));
    let mut client = desk.client("viewer");
    let list = [encoding::ZRLE, encoding::CURSOR, encoding::EXTENDED_DESKTOP_SIZE, encoding::FENCE];
    client.set_encodings(&list).expect("a list");
    client.wait_until("fences", |c| c.traffic.fences > 0).expect("fences");
    client.watch().expect("a request");
    client.wait_for_picture(&picture_of(BEFORE)).expect("the first size");
    settle(&mut client);
    let before = sent_pixels(&client);

    *told.lock().expect("whole") = true;
    bell.lock().expect("whole").as_ref().expect("it was started").ring();
    let end = Instant::now() + PATIENCE;
    while enters.try_recv().is_err() {
        assert!(Instant::now() < end, "the first picture is asked for");
        client.pump(Instant::now() + Duration::from_millis(5)).expect("goes on");
    }
    let after = synthetic::parse(AFTER).expect("a good scene").size;
    desk.tell(BackendEvent::LayoutChanged(layout(after)));
    client.wait_until("the layout", |c| c.picture().size() == after).expect("a layout");
    // all of the new size is asked for by now, and what could be sent would be
    for _ in 0..3 {
        settle(&mut client);
    }
    assert_eq!(sent_pixels(&client), before, "pixels of a picture that nobody has taken");
    let_go.send(()).expect("it waits");
    client.wait_for_picture(&picture_of(AFTER)).expect("the new size");
}
