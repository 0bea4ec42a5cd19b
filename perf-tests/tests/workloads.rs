//! Workloads are the same everywhere and always, and each of their frames is new all over.

use farpane_perf_tests::definition::{Definition, Mode, SceneKind, built_in, parse, servers};
use farpane_perf_tests::marker::{self, MARKER_H, MARKER_W};
use farpane_perf_tests::paint::{Area, Picture};
use farpane_perf_tests::scene::{Scene, apply};

const SIZE: (u32, u32) = (1024, 576);

/// The definitions, one for each scene and mode.
fn kinds() -> Vec<Definition> {
    let mut all = built_in().expect("definitions");
    let keys: Vec<_> = all.iter().map(|d| (d.scene, d.mode)).collect();
    let mut at = 0;
    all.retain(|_| {
        at += 1;
        !keys[..at - 1].contains(&keys[at - 1])
    });
    all
}

fn small(d: &Definition) -> Scene {
    Scene::new(d, SIZE.0, SIZE.1)
}

/// The screen after the first picture and after each of some frames.
fn shown(scene: &Scene, frames: u32) -> Vec<Picture> {
    let mut screen = Picture::new(SIZE.0, SIZE.1, 0);
    apply(&mut screen, &scene.pictures, &scene.start());
    let mut out = vec![screen.clone()];
    for n in 1..=frames {
        apply(&mut screen, &scene.pictures, &scene.frame(n));
        out.push(screen.clone());
    }
    out
}

/// The share of 64-px tiles of an area in which a pixel differs.
fn tiles_changed(a: &Picture, b: &Picture, area: Area) -> f64 {
    let (mut changed, mut all) = (0, 0);
    for y in (area.y..area.y + area.h).step_by(64) {
        for x in (area.x..area.x + area.w).step_by(64) {
            let (right, bottom) = ((x + 64).min(area.x + area.w), (y + 64).min(area.y + area.h));
            all += 1;
            changed +=
                i32::from((y..bottom).any(|row| (x..right).any(|column| a.at(column, row) != b.at(column, row))));
        }
    }
    f64::from(changed) / f64::from(all)
}

#[test]
fn the_same_seed_gives_the_same_frames() {
    for d in kinds() {
        let hashes = |scene: &Scene| shown(scene, 3).iter().map(Picture::hash).collect::<Vec<_>>();
        let (one, two) = (hashes(&small(&d)), hashes(&small(&d)));
        assert_eq!(one, two, "{}", d.name);
        let other = hashes(&small(&Definition { seed: d.seed + 1000, ..d.clone() }));
        assert_ne!(one, other, "{}: the seed makes no difference", d.name);
    }
}

#[test]
fn every_timed_frame_differs_from_the_one_before_over_the_whole_area() {
    let mut looked_at = 0;
    for d in kinds() {
        let whole = matches!(d.mode, Mode::Stream | Mode::Encoder | Mode::KeysBeside) && d.scene != SceneKind::Drag;
        if !whole {
            continue;
        }
        looked_at += 1;
        let scene = small(&d);
        let screens = shown(&scene, 12);
        for (n, pair) in screens.windows(2).enumerate() {
            let share = tiles_changed(&pair[0], &pair[1], scene.timed);
            assert!(share == 1.0, "{}: frame {} changes {:.3} of the tiles", d.name, n + 1, share);
        }
        // and none of them comes back soon
        for (n, screen) in screens.iter().enumerate() {
            assert!(screens[..n].iter().all(|s| s.hash() != screen.hash()), "{}: frame {n} was there before", d.name);
        }
    }
    assert!(looked_at >= 8, "only {looked_at} workloads");
}

#[test]
fn most_pixels_of_photographs_change() {
    for name in ["video-region", "video-full", "encoder-photo"] {
        let d = built_in().expect("definitions").into_iter().find(|d| d.name == name).expect("the workload");
        let scene = small(&d);
        for pair in shown(&scene, 6).windows(2) {
            let same = pair[0].px.iter().zip(&pair[1].px).filter(|(a, b)| a == b).count() as u64;
            let still = u64::from(SIZE.0) * u64::from(SIZE.1) - scene.timed.px();
            assert!(same - still < scene.timed.px() / 20, "{name}: {} of {}", same - still, scene.timed.px());
        }
    }
}

#[test]
fn a_copied_scroll_shows_what_a_redrawn_one_shows() {
    let all = built_in().expect("definitions");
    let scene = |name: &str| small(all.iter().find(|d| d.name == name).expect("the workload"));
    let (copied, redrawn) = (scene("terminal-scroll"), scene("terminal-scroll-redraw"));
    for (n, (a, b)) in shown(&copied, 30).iter().zip(shown(&redrawn, 30)).enumerate() {
        assert!(*a == b, "frame {n} differs");
    }
}

#[test]
fn a_dragged_window_leaves_nothing_behind() {
    let d = built_in().expect("definitions").into_iter().find(|d| d.name == "window-drag").expect("the workload");
    let scene = small(&d);
    for (n, screen) in (0..).zip(shown(&scene, 80)) {
        let mut want = scene.pictures[0].clone();
        let at = Area::new(0, scene.timed.y, 0, 0);
        let found = (0..SIZE.0 - scene.pictures[1].w)
            .flat_map(|x| (at.y..SIZE.1 - scene.pictures[1].h).map(move |y| (x, y)))
            .find(|(x, y)| {
                (0..8).all(|i| screen.at(x + i, *y) == scene.pictures[1].at(i, 0))
                    && screen.at(*x, y + 40) == scene.pictures[1].at(0, 40)
            });
        let (x, y) = found.expect("the window is somewhere");
        want.put(&scene.pictures[1], x, y);
        for (mx, my) in &scene.markers {
            for (area, colour) in marker::draw(*mx, *my, n) {
                want.fill(area, colour);
            }
        }
        assert!(screen == want, "frame {n}");
    }
}

#[test]
fn every_frame_shows_its_number_at_every_marker() {
    for d in kinds() {
        let scene = small(&d);
        for (n, screen) in (0..).zip(shown(&scene, 3)) {
            for (x, y) in &scene.markers {
                assert!(x + MARKER_W <= SIZE.0 && y + MARKER_H <= SIZE.1);
                let got =
                    marker::read(*x, *y, |x, y| screen.at(x, y).to_be_bytes()[1..].try_into().expect("three bytes"));
                assert_eq!(got, Some(n), "{} at ({x}, {y})", d.name);
            }
        }
    }
}

#[test]
fn letters_stand_clear_of_each_other_and_of_the_video() {
    for d in kinds() {
        if !matches!(d.scene, SceneKind::Typing | SceneKind::VideoTyping) {
            continue;
        }
        let scene = Scene::new(&d, 1920, 1080);
        let places: Vec<Area> = (0..320).map(Scene::letter_at).collect();
        for (i, a) in places.iter().enumerate() {
            assert!(places[..i].iter().all(|b| !a.meets(b)), "letter {i} lies on another");
            assert!(d.scene == SceneKind::Typing || !a.meets(&scene.timed), "letter {i} lies on the video");
        }
        let mut screen = Picture::new(1920, 1080, 0);
        apply(&mut screen, &scene.pictures, &scene.start());
        let before = screen.clone();
        apply(&mut screen, &scene.pictures, &scene.type_letter(5));
        assert!(screen != before);
        let again = screen.clone();
        apply(&mut screen, &scene.pictures, &scene.type_letter(5 + 320));
        assert!(screen != again, "a letter typed over another is another letter");
    }
}

#[test]
fn definitions_out_of_range_are_refused_with_their_value() {
    let with = |line: &str| {
        parse(&format!(
            "[[workload]]\nname = \"x\"\nabout = \"x\"\nscene = \"video\"\nmode = \"stream\"\nseed = 1\n{line}\n"
        ))
    };
    assert!(with("hz = 30.0").is_ok());
    for (line, word) in
        [("hz = 0.0", "hz 0"), ("hz = 30.0\nviewers = 0", "viewers 0"), ("hz = 30.0\nstep = 501", "501")]
    {
        let error = with(line).expect_err(line).to_string();
        assert!(error.contains(word), "{error}");
    }
    assert!(with("hz = 30.0\nnovelty = 1").is_err());
    assert!(parse("workload = 3").is_err());
}

#[test]
fn the_built_in_servers_are_sound() {
    let all = servers(None).expect("servers.toml");
    for name in ["farpane", "x0tigervncserver", "Xtigervnc", "x11vnc", "Xtightvnc", "wayvnc", "TurboVNC"] {
        let server = all.iter().find(|s| s.name == name).expect(name);
        assert!(server.args.iter().any(|a| a.contains("{port}")), "{name} is not told its port");
    }
}
