//! What is small on one output need not wait for the end of what is large on another.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

use super::canvas::Canvas;
use super::client::{Client, lossless};
use super::{noise, one_output, wait_for};
use farpane_engine::encode::{Codec, Params};
use farpane_engine::geometry::{Point, Rect, Region, Size};
use farpane_engine::pipeline::{Budget, Lanes, Output, Small, View, ViewOutput};

const FILM: Size = Size::new(1920, 1080);
const DESK: Size = Size::new(128, 1080);
const LETTER: Rect = Rect { x: 20, y: 40, w: 9, h: 18 };
/// More than all of it takes.
const ALL: Budget = Budget { bytes: 64 << 20, small: Small::First, yields: false };

/// A desk with a film to its right, shown by a viewer that takes long to encode for.
struct Scene {
    desk: Canvas,
    film: Canvas,
    outputs: [std::sync::Arc<Output>; 2],
    client: Client,
    pool: Lanes,
}

impl Scene {
    fn new() -> Self {
        let (desk, film) = (Canvas::new(DESK), Canvas::new(FILM));
        let ((near, desk_output, _), (far, film_output, _)) = (one_output(&desk), one_output(&film));
        let at_right = ViewOutput { at: Point::new(DESK.w, 0), ..far.outputs[0].clone() };
        let view = View { canvas: Size::new(DESK.w + FILM.w, 1080), outputs: vec![near.outputs[0].clone(), at_right] };
        let slow = Params { compression: 9, ..lossless(Codec::Zlib) };
        // one thread: a picture of the film takes it some tenths of a second
        let pool = Lanes::new(1, 0).expect("threads");
        let mut scene =
            Self { client: Client::new(&view, slow, false), desk, film, outputs: [desk_output, film_output], pool };
        scene.settle();
        scene
    }

    fn settle(&mut self) {
        let (desk, film) = (&self.desk, &self.film);
        let rows = || {
            let (desk, film) = (desk.pixels(), film.pixels());
            let pairs = desk.chunks(DESK.w.into()).zip(film.chunks(FILM.w.into()));
            pairs.flat_map(|(a, b)| [a, b].concat()).collect::<Vec<_>>()
        };
        self.client.picture.set_wants(true);
        self.client.converge(rows, &self.pool);
    }

    fn frames(&self, i: usize) -> u64 {
        self.outputs[i].stats().frames.load(SeqCst)
    }

    fn encoded(&self) -> u64 {
        self.outputs[1].stats().encoded_px.load(SeqCst)
    }

    /// Draws on one of them and waits until that is to be sent.
    fn draw(&self, i: usize, rect: Rect, shift: u16) {
        [&self.desk, &self.film][i].paint(rect, |x, y| noise(x.wrapping_add(shift), y));
        let place = [DESK.rect(), Rect::new(DESK.w, 0, FILM.w, FILM.h)][i];
        wait_for("it is captured", || self.client.picture.has_pending(&Region::from(place)));
    }

    /// Encodes an update, and writes a letter once it has begun. Returns how many pixels of the film it holds, and whether the letter was
    /// captured meanwhile.
    fn update_while_typing(&mut self, budget: Budget, shift: u16) -> (u64, bool) {
        let (before, done) = (self.encoded(), AtomicBool::new(false));
        let seen = self.frames(0);
        let (desk, outputs, pool) = (&self.desk, &self.outputs, &self.pool);
        let client = &mut self.client;
        let meanwhile = std::thread::scope(|scope| {
            let typist = scope.spawn(|| {
                let stats = [outputs[0].stats(), outputs[1].stats()];
                wait_for("the update begins", || stats[1].encoded_px.load(SeqCst) > before);
                desk.paint(LETTER, |x, y| noise(x, y.wrapping_add(shift)));
                wait_for("the letter is captured", || stats[0].frames.load(SeqCst) > seen);
                !done.load(SeqCst)
            });
            client.update(budget, pool);
            done.store(true, SeqCst);
            // an update that let nobody in would have the letter wait for ever
            client.picture.set_wants(true);
            typist.join().expect("types")
        });
        (self.encoded() - before, meanwhile)
    }
}

#[test]
fn an_update_of_a_film_ends_early_when_a_letter_is_typed_on_another_output() {
    let mut scene = Scene::new();
    for (yields, shift) in [(true, 1), (false, 2), (true, 3)] {
        scene.draw(1, FILM.rect(), shift);
        scene.client.picture.wait_for_small(yields);
        let (px, meanwhile) = scene.update_while_typing(Budget { yields, ..ALL }, shift);
        assert_eq!(meanwhile, yields, "only who yields has the letter captured");
        assert_eq!(px < FILM.rect().area(), yields, "{px} px of the film");
        let area = scene.client.area.clone();
        if yields {
            wait_for("the letter is next", || scene.client.picture.goes_ahead(&area, Small::Ahead));
            let before = scene.encoded();
            let letter = scene.client.update(Budget { small: Small::Ahead, ..ALL }, &scene.pool);
            assert!(letter.rects > 0 && letter.bytes.len() < 4096 && scene.encoded() == before, "{letter:?}");
        }
        scene.settle();
    }
}

#[test]
fn who_types_without_end_does_not_stop_a_film() {
    let mut scene = Scene::new();
    scene.draw(1, FILM.rect(), 1);
    let mut px = 0;
    for shift in 1..100 {
        scene.client.picture.wait_for_small(true);
        let (more, _) = scene.update_while_typing(Budget { yields: true, ..ALL }, shift);
        assert!(more > 0);
        px += more;
        if px == FILM.rect().area() {
            return scene.settle();
        }
    }
    panic!("{px} px of the film after a hundred updates");
}

#[test]
fn an_output_whose_letter_leads_an_update_does_not_wait_for_the_rest_of_it() {
    let mut scene = Scene::new();
    scene.draw(0, LETTER, 1);
    scene.draw(1, FILM.rect(), 1);
    let (px, meanwhile) = scene.update_while_typing(ALL, 2);
    assert_eq!((px, meanwhile), (FILM.rect().area(), true));
    scene.settle();
}
