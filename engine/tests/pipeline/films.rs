//! Films: what moves goes as H.264, what stands beside it stays exact, and so does all of it once nothing moves.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::canvas::Canvas;
use super::client::{Client, lossless};
use super::{LIMIT, one_output, pool};
use farpane_engine::encode::h264::{I420, VideoEncoder, VideoError, VideoStep, software};
use farpane_engine::encode::{Codec, JpegStep, Params, Subsampling};
use farpane_engine::geometry::{Rect, Size};
use farpane_engine::pipeline::{Film, FilmWish, Lanes};

const SIZE: Size = Size::new(1000, 600);
const FILM: Rect = Rect { x: 131, y: 77, w: 641, h: 361 };

fn wish() -> FilmWish {
    FilmWish { ceiling: VideoStep::for_quality(92), link: None }
}

/// Soft and moving, with a grain of its own in each picture.
fn frame(x: u16, y: u16, at: u32) -> u32 {
    let wave = |v: u32, period: u32| (v % period).abs_diff(period / 2) * 120 / period;
    let (x, y) = (u32::from(x) + at * 3, u32::from(y) + at);
    let grain =
        ((x * 4099 + y).wrapping_mul(0x9e37_79b1) ^ at.wrapping_mul(0x85eb_ca6b)).wrapping_mul(0x27d4_eb2f) >> 20 & 7;
    (wave(x, 300) << 16 | wave(y, 240) << 8 | wave(x + y, 500)) + 0x0030_3030 + grain * 0x0001_0101
}

fn text(x: u16, y: u16) -> u32 {
    if x.is_multiple_of(7) && y % 12 < 8 { 0 } else { 0x00ff_ffff }
}

fn viewer_of(view: &farpane_engine::pipeline::View) -> Client {
    let mut client = Client::new(view, lossless(Codec::Tight), true);
    client.quiet = Duration::from_millis(400);
    client.picture.set_films(Some(wish()));
    client
}

/// Plays the film until `done`, each client taking updates as they come. Returns the pictures played.
fn play(
    canvas: &Canvas,
    clients: &mut [&mut Client],
    pool: &Lanes,
    mut at: u32,
    mut done: impl FnMut(&[&mut Client], u32) -> bool,
) -> u32 {
    let end = Instant::now() + LIMIT;
    loop {
        canvas.paint(FILM, |x, y| frame(x, y, at));
        at += 1;
        let next = Instant::now() + Duration::from_millis(30);
        while Instant::now() < next {
            for client in &mut *clients {
                if client.picture.has_pending(&client.area) {
                    client.update(1 << 20, pool);
                }
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        if done(clients, at) {
            return at;
        }
        let told = || clients.iter().map(|c| (pictures(c), c.picture.films().collect::<Vec<_>>())).collect::<Vec<_>>();
        assert!(Instant::now() < end, "not within {LIMIT:?}; pictures and films: {:?}", told());
    }
}

fn shows_the_film(client: &Client) -> bool {
    client.picture.films().eq([Film { rect: FILM, is_video: true }])
}

fn pictures(client: &Client) -> u64 {
    client.viewer.decoder().count("h264")
}

/// The differences of luma between what the viewer shows and the source, on average, inside the film; and whether all
/// outside is equal.
fn compare(client: &Client, canvas: &Canvas) -> (f64, bool) {
    let (shown, want) = (client.viewer.decoder().pixels(), canvas.pixels());
    let (mut off, mut exact) = (0u64, true);
    for (i, (a, b)) in shown.iter().zip(&want).enumerate() {
        let (x, y) = ((i % usize::from(SIZE.w)) as u16, (i / usize::from(SIZE.w)) as u16);
        if FILM.contains(&Rect::new(x, y, 1, 1)) {
            off += u64::from((a >> 8 & 0xff).abs_diff(b >> 8 & 0xff));
        } else {
            exact &= a == b;
        }
    }
    (off as f64 / FILM.area() as f64, exact)
}

#[test]
fn a_film_beside_text_goes_as_video_and_ends_exact() {
    let canvas = Canvas::new(SIZE);
    canvas.paint(SIZE.rect(), text);
    let (view, output, _) = one_output(&canvas);
    let pool = pool();
    let mut client = viewer_of(&view);
    client.converge(|| canvas.pixels(), &pool);
    play(&canvas, &mut [&mut client], &pool, 0, |clients, at| {
        // somebody types meanwhile, just below
        canvas.paint(Rect::new(200 + at as u16 % 90, FILM.bottom() + 3, 7, 12), |x, y| {
            text(x, y) ^ if at & 1 == 0 { 0x00ff_ffff } else { 0 }
        });
        pictures(clients[0]) >= 25 && shows_the_film(clients[0])
    });
    client.converge_outside(&canvas, &pool, |c| compare(c, &canvas));
    let (off, _) = compare(&client, &canvas);
    assert!(off < 4.0, "the film is off by {off:.1} on average");
    let stats = output.stats();
    let [made, keys] = [&stats.video_pictures, &stats.video_keys].map(|count| count.load(Relaxed));
    assert!(keys <= 2 + made / 25, "{keys} key pictures of {made}");
    client.converge(|| canvas.pixels(), &pool);
}

#[test]
fn a_photograph_around_a_film_becomes_exact_while_it_plays() {
    let canvas = Canvas::new(SIZE);
    canvas.paint(SIZE.rect(), |x, y| frame(x, y, 1000));
    let (view, _output, _) = one_output(&canvas);
    let pool = pool();
    let jpeg = Some(JpegStep { quality: 60, subsampling: Subsampling::Quarter });
    let mut client = Client::new(&view, Params { jpeg, ..lossless(Codec::Tight) }, true);
    client.quiet = Duration::from_millis(400);
    client.picture.set_films(Some(wish()));
    play(&canvas, &mut [&mut client], &pool, 0, |clients, _| {
        pictures(clients[0]) >= 15 && shows_the_film(clients[0]) && compare(clients[0], &canvas).1
    });
    let (off, _) = compare(&client, &canvas);
    assert!(off > 0.0, "the film is exact: none was sent");
    client.converge(|| canvas.pixels(), &pool);
}

#[test]
fn viewers_share_one_encoder_and_one_that_joins_costs_one_key_picture() {
    let canvas = Canvas::new(SIZE);
    let (view, output, _) = one_output(&canvas);
    let pool = pool();
    let mut first = viewer_of(&view);
    first.converge(|| canvas.pixels(), &pool);
    let at = play(&canvas, &mut [&mut first], &pool, 0, |clients, _| pictures(clients[0]) >= 15);
    let count = |c: &std::sync::atomic::AtomicU64| c.load(Relaxed);
    let (made, keys) = (count(&output.stats().video_pictures), count(&output.stats().video_keys));
    let mut others = [viewer_of(&view), viewer_of(&view)];
    let [second, third] = &mut others;
    play(&canvas, &mut [&mut first, second, third], &pool, at, |clients, _| clients.iter().all(|c| pictures(c) >= 25));
    let made = count(&output.stats().video_pictures) - made;
    let keys = count(&output.stats().video_keys) - keys;
    let shown = pictures(second) + pictures(third);
    assert!(shown * 10 >= made * 9, "{made} pictures encoded, and two who joined show only {shown}");
    assert!((1..=3).contains(&keys), "{keys} key pictures for two who joined");
    for client in [&mut first, second, third] {
        client.converge(|| canvas.pixels(), &pool);
    }
}

#[test]
fn a_viewer_that_asks_for_everything_again_gets_a_key_picture() {
    let canvas = Canvas::new(SIZE);
    let (view, output, _) = one_output(&canvas);
    let pool = pool();
    let mut client = viewer_of(&view);
    client.converge(|| canvas.pixels(), &pool);
    let at = play(&canvas, &mut [&mut client], &pool, 0, |clients, _| pictures(clients[0]) >= 10);
    let before = output.stats().video_keys.load(Relaxed);
    client.picture.ask_all();
    play(&canvas, &mut [&mut client], &pool, at, |_, _| output.stats().video_keys.load(Relaxed) > before);
    client.picture.set_films(None);
    client.converge(|| canvas.pixels(), &pool);
    assert_eq!(client.picture.films().count(), 0);
}

/// Encodes so many pictures in all, and fails from then on.
struct Failing {
    inner: Box<dyn VideoEncoder>,
    left: Arc<AtomicU64>,
}

impl VideoEncoder for Failing {
    fn encode(&mut self, picture: &I420, key: bool, step: VideoStep, out: &mut Vec<u8>) -> Result<bool, VideoError> {
        match self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)) {
            Ok(_) => self.inner.encode(picture, key, step, out),
            Err(_) => Err(VideoError::Codec("no more".into())),
        }
    }

    fn name(&self) -> &'static str {
        "failing"
    }
}

#[test]
fn an_encoder_that_fails_leaves_the_film_to_jpeg_and_loses_no_picture() {
    for good in [0, 5] {
        let canvas = Canvas::new(SIZE);
        let (view, output, _) = one_output(&canvas);
        let (left, made) = (Arc::new(AtomicU64::new(good)), Arc::new(AtomicU64::new(0)));
        output.set_video_encoder(Arc::new({
            let (left, made) = (Arc::clone(&left), Arc::clone(&made));
            move || {
                made.fetch_add(1, Relaxed);
                software().map(|inner| Box::new(Failing { inner, left: Arc::clone(&left) }) as Box<dyn VideoEncoder>)
            }
        }));
        let pool = pool();
        let jpeg = Some(JpegStep { quality: 60, subsampling: Subsampling::Quarter });
        let mut client = Client::new(&view, Params { jpeg, ..lossless(Codec::Tight) }, true);
        client.quiet = Duration::from_millis(400);
        client.picture.set_films(Some(wish()));
        client.converge(|| canvas.pixels(), &pool);
        let failed = |c: &Client| c.picture.films().any(|f| !f.is_video);
        let at = play(&canvas, &mut [&mut client], &pool, 0, |clients, _| failed(clients[0]));
        assert_eq!(pictures(&client), good);
        // it goes on as JPEG, picture by picture: what is shown is the newest one, nearly
        let (mut near, begun) = (0, made.load(Relaxed));
        play(&canvas, &mut [&mut client], &pool, at, |clients, _| {
            near += u32::from(compare(clients[0], &canvas).0 < 6.0);
            near >= 10
        });
        assert_eq!(pictures(&client), good, "nothing comes from an encoder that failed");
        // one for each rectangle that the film was found in
        assert!(made.load(Relaxed) <= begun + 1, "{} encoders, after {begun}", made.load(Relaxed));
        client.converge(|| canvas.pixels(), &pool);
    }
}

#[test]
fn without_an_encoder_films_are_jpeg() {
    let canvas = Canvas::new(SIZE);
    let (view, output, _) = one_output(&canvas);
    output.set_video_encoder(Arc::new(|| None));
    let pool = pool();
    let mut client = viewer_of(&view);
    client.converge(|| canvas.pixels(), &pool);
    play(&canvas, &mut [&mut client], &pool, 0, |clients, _| clients[0].picture.films().any(|f| !f.is_video));
    client.converge(|| canvas.pixels(), &pool);
    assert_eq!(pictures(&client), 0);
}
