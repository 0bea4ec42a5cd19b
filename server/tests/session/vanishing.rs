//! An output that goes while a picture of it is being taken, or encoded.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::desk::{Desk, Held, picture_of};
use super::{own, settle, wish};
use farpane_engine::capture::synthetic::{self, SyntheticSource};
use farpane_engine::capture::{Doorbell, OutputInfo, Source, SourceError, SourceEvent};
use farpane_engine::geometry::{Rect, Size};
use farpane_server::backend::{BackendEvent, Layout, LayoutOutput, OutputId};
use farpane_server::session::{Settings, ViewSpec};
use farpane_test_support::{Client, UpdateStat, encoding};

const H: u16 = 240;
const STAYS: &str = "320x240:still";
const GOES: &str = "256x240:still";
const COMES: &str = "200x240:still";
const LIST: &[i32] = &[encoding::ZRLE, encoding::CURSOR, encoding::EXTENDED_DESKTOP_SIZE, encoding::FENCE];

fn width(scene: &str) -> u16 {
    synthetic::parse(scene).expect("a good scene").size.w
}

/// Outputs in a row that show these scenes.
fn row(scenes: &[&str]) -> Layout {
    let (mut x, mut outputs) = (0, Vec::new());
    for (id, scene) in (0..).zip(scenes) {
        let rect = Rect::new(x, 0, width(scene), H);
        outputs.push(LayoutOutput { id: OutputId(id), name: format!("output-{id}"), rect });
        x = rect.right();
    }
    Layout { size: Size::new(x, H), outputs }
}

fn source(scene: &str) -> Box<SyntheticSource> {
    Box::new(SyntheticSource::new(synthetic::parse(scene).expect("a good scene"), Instant::now()))
}

/// What a source says that was held up while its output went.
#[derive(Clone, Copy, Debug)]
enum Last {
    Picture,
    Size,
    End,
}

/// A source whose pictures take until they are let go, once it was told so.
struct Slow {
    scene: Box<SyntheticSource>,
    /// Whether the next picture is held up, and what comes in place of it.
    hold: Arc<Mutex<Option<Last>>>,
    entered: Sender<()>,
    go: Receiver<()>,
    bell: Arc<Mutex<Option<Arc<Doorbell>>>>,
}

impl Source for Slow {
    fn info(&self) -> OutputInfo {
        self.scene.info()
    }

    fn start(&mut self, bell: Arc<Doorbell>) -> Result<(), SourceError> {
        *self.bell.lock().expect("whole") = Some(Arc::clone(&bell));
        self.scene.start(bell)
    }

    fn stop(&mut self) {
        self.scene.stop();
    }

    fn take(&mut self, now: Instant) -> Option<SourceEvent> {
        let held = self.hold.lock().expect("whole").take();
        let Some(last) = held else { return self.scene.take(now) };
        self.entered.send(()).expect("the test waits");
        let _ = self.go.recv();
        match last {
            Last::Size => Some(SourceEvent::Resized(Size::new(100, 100))),
            Last::End => Some(SourceEvent::Lost(SourceError::Gone("it was plugged out".into()))),
            Last::Picture => {
                // the first picture after a start is whole
                self.scene.start(Doorbell::new()).expect("starts");
                self.scene.take(now)
            }
        }
    }
}

fn wait_for_outputs(desk: &Desk, count: usize) {
    desk.wait_for("the layout", || desk.hub.desktop().layout.outputs.len() == count);
}

/// A desktop of two outputs, and a client that shows both.
fn two(goes: Box<dyn Source>) -> (Desk, Client) {
    let desk = Desk::with(STAYS, Settings { max_fps: 0, ..Settings::default() });
    desk.tell(BackendEvent::OutputAdded(OutputId(1), goes));
    desk.tell(BackendEvent::LayoutChanged(row(&[STAYS, GOES])));
    wait_for_outputs(&desk, 2);
    let mut client = desk.client("viewer");
    client.set_encodings(LIST).expect("a list");
    client.wait_until("fences", |c| c.traffic.fences > 0).expect("fences");
    client.watch().expect("a request");
    client.wait_for_picture(&beside(&[STAYS, GOES])).expect("both outputs");
    (desk, client)
}

/// Pictures in a row.
fn beside(scenes: &[&str]) -> Vec<u8> {
    let pictures: Vec<_> = scenes.iter().map(|scene| (picture_of(scene), usize::from(width(scene)) * 3)).collect();
    let line = |y: usize| pictures.iter().flat_map(move |(p, bytes)| p[y * bytes..][..*bytes].to_vec());
    (0..usize::from(H)).flat_map(line).collect()
}

/// The second output goes; the hub knows it.
fn unplug(desk: &Desk) {
    desk.tell(BackendEvent::OutputRemoved(OutputId(1)));
    desk.tell(BackendEvent::LayoutChanged(row(&[STAYS])));
    wait_for_outputs(desk, 1);
}

/// The client shows what is left, and then a new output in the old one's place.
fn goes_on(desk: &Desk, client: &mut Client, what: &str) {
    client.wait_for_picture(&picture_of(STAYS)).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(client.picture().layout().len(), 1, "{what}");
    desk.tell(BackendEvent::OutputAdded(OutputId(1), source(COMES)));
    desk.tell(BackendEvent::LayoutChanged(row(&[STAYS, COMES])));
    client.wait_for_picture(&beside(&[STAYS, COMES])).unwrap_or_else(|e| panic!("{what}, again: {e}"));
}

#[test]
fn an_output_that_goes_while_its_picture_is_taken_leaves_the_others_right() {
    for last in [Last::Picture, Last::Size, Last::End] {
        let (hold, bell) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(None)));
        let ((entered, enters), (let_go, go)) = (channel(), channel());
        let slow = Slow { scene: source(GOES), hold: Arc::clone(&hold), entered, go, bell: Arc::clone(&bell) };
        let (desk, mut client) = two(Box::new(slow));
        *hold.lock().expect("whole") = Some(last);
        bell.lock().expect("whole").as_ref().expect("it was started").ring();
        enters.recv_timeout(farpane_test_support::PATIENCE).expect("a picture is being taken");
        unplug(&desk);
        let_go.send(()).expect("it waits");
        goes_on(&desk, &mut client, &format!("{last:?}"));
    }
}

/// Updates with pixels in them.
fn pictures(client: &Client) -> usize {
    let has_pixels = |u: &&UpdateStat| u.update.rects.iter().any(|r| r.head.encoding == encoding::ZRLE);
    client.traffic.updates.iter().filter(has_pixels).count()
}

#[test]
fn an_output_that_goes_while_its_picture_is_encoded_leaves_the_others_right() {
    for again in [false, true] {
        let (desk, mut client) = two(source(GOES));
        let busy: Held = desk.occupy_encoders();
        let before = pictures(&client);
        client.request(false, Rect::new(0, 0, width(STAYS) + width(GOES), H)).expect("a request");
        // the layout comes first, in an update of its own, after which the client asks again
        settle(&mut client);
        settle(&mut client);
        assert_eq!(pictures(&client), before, "the encoders were not occupied");
        unplug(&desk);
        if again {
            // and is back, as another one, before the picture of the first is encoded
            desk.tell(BackendEvent::OutputAdded(OutputId(1), source(COMES)));
            desk.tell(BackendEvent::LayoutChanged(row(&[STAYS, COMES])));
            wait_for_outputs(&desk, 2);
        }
        settle(&mut client);
        drop(busy);
        if again {
            client.wait_for_picture(&beside(&[STAYS, COMES])).expect("both outputs");
            unplug(&desk);
        }
        goes_on(&desk, &mut client, "after the encode");
    }
}

#[test]
fn whoever_looks_at_an_output_that_is_gone_is_answered_and_has_no_say_in_what_is_left() {
    let view = ViewSpec::Output("output-1".into());
    let desk = Desk::with(STAYS, Settings { view, ..Settings::default() });
    desk.tell(BackendEvent::OutputAdded(OutputId(1), source(GOES)));
    desk.tell(BackendEvent::LayoutChanged(row(&[STAYS, GOES])));
    wait_for_outputs(&desk, 2);
    let mut client = desk.client("viewer");
    client.set_encodings(LIST).expect("a list");
    client.watch().expect("a request");
    client.wait_for_picture(&picture_of(GOES)).expect("its output");
    unplug(&desk);
    wish(&mut client, Size::new(100, 100));
    client.wait_until("an answer", |c| own(c).len() == 1).expect("an answer");
    assert_eq!((own(&client), desk.backend.wishes().len()), (vec![1], 0));
    client.wait_for_picture(&picture_of(GOES)).expect("what it showed last");
    desk.tell(BackendEvent::OutputAdded(OutputId(1), source(COMES)));
    desk.tell(BackendEvent::LayoutChanged(row(&[STAYS, COMES])));
    client.wait_for_picture(&picture_of(COMES)).expect("its output again");
}
