//! Screens reach viewers: all of them, one by name, through restarts, asleep and awake.

use std::process::Command;

use farpane_test_support::screens::Shown;
use farpane_test_support::{Server, encoding};

use crate::room::{FARPANE, Helper, in_guest, painter, said, scene, share, share_with, shows, side_by_side, viewer};

const TWO: [(u16, u16); 2] = [(640, 480), (800, 600)];
const THREE: [(u16, u16); 3] = [(640, 480), (800, 600), (640, 480)];

#[test]
fn three_screens_reach_a_viewer_while_they_flip() {
    if !in_guest() {
        return;
    }
    let mut painter = painter(&THREE);
    let helper = Helper::start(&["--allow", "root"]);
    let server = share(&helper, "kms");
    let mut client = viewer(&server);
    let mut shown = [0, 1, 2];
    shows(&server, &mut client, &side_by_side(&THREE, |i, x, y| scene(shown[i])(x, y)), "the first picture");
    for round in 1..4 {
        for (i, shown) in shown.iter_mut().enumerate() {
            *shown = round * 10 + i as u32;
            painter.paint(i, scene(*shown));
        }
        shows(&server, &mut client, &side_by_side(&THREE, |i, x, y| scene(shown[i])(x, y)), "the next picture");
    }
    drop(client);
    server.wait_for_log("nobody watches: capture stops");
    assert!(server.log().contains("staged_bytes=0"), "nothing is copied on the way: {}", server.log());
}

#[test]
fn a_gpu_that_cannot_read_a_screen_leaves_it_to_the_processor() {
    if !in_guest() {
        return;
    }
    let mut painter = painter(&TWO[..1]);
    let helper = Helper::start(&["--allow", "root"]);
    // buffers are handed out for reading; programs that play a GPU want to write, too
    let server = share_with(&helper, "kms", &["--gpu", "force"]);
    let mut client = viewer(&server);
    shows(&server, &mut client, &side_by_side(&TWO[..1], |_, x, y| scene(0)(x, y)), "the first picture");
    for number in 10..14 {
        painter.paint(0, scene(number));
        shows(&server, &mut client, &side_by_side(&TWO[..1], |_, x, y| scene(number)(x, y)), "the next picture");
    }
    assert!(server.log().contains("a frame for the CPU"), "{}", server.log());
}

#[test]
fn one_screen_is_shared_by_its_name() {
    if !in_guest() {
        return;
    }
    let painter = painter(&TWO);
    let helper = Helper::start(&["--allow", "0"]);
    let name = format!("card0-{}", painter.outputs[1].name);
    let server = share(&helper, &format!("kms:{name}"));
    let mut client = viewer(&server);
    shows(&server, &mut client, &side_by_side(&TWO[1..], |_, x, y| scene(1)(x, y)), "that screen's picture");
    let mut probe = Command::new(FARPANE);
    probe.arg("probe").envs(helper.environment());
    let (good, text) = said(probe);
    assert!(good && text.contains(&format!("{name} 800x600 at 60 Hz, driver vkms: can be captured")), "{text}");
}

#[test]
fn a_screen_that_is_not_there_is_named_with_those_that_are() {
    if !in_guest() {
        return;
    }
    let _painter = painter(&TWO[..1]);
    let helper = Helper::start(&["--allow", "root"]);
    let mut serve = Command::new(FARPANE);
    serve.args(["serve", "--source", "kms:card0-DP-9", "--listen", "127.0.0.1:0", "--security", "none"]);
    serve.envs(helper.environment());
    let (good, text) = said(serve);
    assert!(!good && text.contains("no screen card0-DP-9; there are: card0-Virtual-1"), "{text}");
}

#[test]
fn what_is_drawn_in_place_reaches_a_viewer() {
    if !in_guest() {
        return;
    }
    let mut painter = painter(&TWO[..1]);
    let helper = Helper::start(&["--allow", "root"]);
    let server = share(&helper, "kms");
    let mut client = viewer(&server);
    shows(&server, &mut client, &side_by_side(&TWO[..1], |_, x, y| scene(0)(x, y)), "the first picture");
    painter.paint_in_place(0, scene(5));
    shows(&server, &mut client, &side_by_side(&TWO[..1], |_, x, y| scene(5)(x, y)), "what was drawn");
}

#[test]
fn a_helper_that_is_killed_is_found_again() {
    if !in_guest() {
        return;
    }
    let mut painter = painter(&TWO);
    let mut helper = Helper::start(&["--allow", "root"]);
    let server = share(&helper, "kms");
    let mut client = viewer(&server);
    shows(&server, &mut client, &side_by_side(&TWO, |i, x, y| scene(i as u32)(x, y)), "the first picture");
    helper.kill();
    server.wait_for_log("the helper at");
    painter.paint(0, scene(7));
    helper.again(&["--allow", "root"]);
    let want = [7, 1];
    shows(&server, &mut client, &side_by_side(&TWO, |i, x, y| scene(want[i])(x, y)), "the picture since then");
}

#[test]
fn a_screen_that_sleeps_is_dark_and_shows_what_it_shows_when_it_wakes() {
    if !in_guest() {
        return;
    }
    let painter = painter(&TWO);
    let helper = Helper::start(&["--allow", "root"]);
    let server = share(&helper, "kms");
    let mut client = viewer(&server);
    shows(&server, &mut client, &side_by_side(&TWO, |i, x, y| scene(i as u32)(x, y)), "the first picture");
    painter.sleep(0, true);
    let dark = side_by_side(&TWO, |i, x, y| if i == 0 { 0 } else { scene(1)(x, y) });
    shows(&server, &mut client, &dark, "a dark screen");
    painter.sleep(0, false);
    shows(&server, &mut client, &side_by_side(&TWO, |i, x, y| scene(i as u32)(x, y)), "the picture again");
}

#[test]
fn screens_come_and_go_while_a_viewer_watches() {
    if !in_guest() {
        return;
    }
    let painter = painter(&TWO);
    let helper = Helper::start(&["--allow", "root"]);
    let server = share(&helper, "kms");
    let mut client = viewer(&server);
    shows(&server, &mut client, &side_by_side(&TWO, |i, x, y| scene(i as u32)(x, y)), "the first picture");
    painter.darken(1);
    shows(&server, &mut client, &side_by_side(&TWO[..1], |_, x, y| scene(0)(x, y)), "one screen");
    painter.light(1);
    shows(&server, &mut client, &side_by_side(&TWO, |i, x, y| scene(i as u32)(x, y)), "both again");
}

#[test]
fn a_pointer_is_a_shape_of_its_own() {
    if !in_guest() {
        return;
    }
    let painter = painter(&TWO[..1]);
    let mut arrow = painter.canvas((64, 64), drm::buffer::DrmFourcc::Argb8888);
    painter.draw(&mut arrow, |x, y| if x <= y { 0xff10_2030 } else { 0 });
    let at = Shown { canvas: &arrow, part: [0, 0, 64, 64], place: [100, 50, 64, 64], besides: &[] };
    painter.show(0, drm::control::PlaneType::Cursor, Some(at));
    let helper = Helper::start(&["--allow", "root"]);
    let server = share(&helper, "kms");
    let mut client = viewer(&server);
    shows(&server, &mut client, &side_by_side(&TWO[..1], |_, x, y| scene(0)(x, y)), "no pointer in the picture");
    client.wait_until("a shape", |client| client.picture().cursor().is_some()).expect("a shape");
}

#[test]
fn a_helper_with_one_right_and_a_server_with_none_are_enough() {
    if !in_guest() {
        return;
    }
    let mut painter = painter(&TWO);
    let mut nobody = Command::new("setpriv");
    nobody.args(["--reuid=65534", "--regid=65534", "--groups=44", "--bounding-set=-all,+sys_admin"]);
    nobody.args(["--inh-caps=-all,+sys_admin", "--ambient-caps=-all,+sys_admin", FARPANE]);
    let helper = Helper::start_as(nobody, &["--allow", "1000"]);
    let caps = std::fs::read_to_string(format!("/proc/{}/status", helper.pid())).expect("runs");
    assert!(caps.lines().any(|line| line == "CapEff:\t0000000000200000"), "{caps}");
    let words = ["--reuid=1000", "--regid=1000", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all", FARPANE];
    let serve = ["serve", "--source", "kms", "--listen", "127.0.0.1:0", "--security", "none", "--log-level", "debug"];
    let server = Server::start_in("setpriv", &[&words[..], &serve].concat(), &helper.environment());
    let mut client = server.client().expect("is let in");
    client.set_encodings(&[encoding::ZRLE]).expect("a list");
    client.watch().expect("asks");
    shows(&server, &mut client, &side_by_side(&TWO, |i, x, y| scene(i as u32)(x, y)), "the first picture");
    painter.paint(1, scene(4));
    let want = [0, 4];
    shows(&server, &mut client, &side_by_side(&TWO, |i, x, y| scene(want[i])(x, y)), "the next picture");
}
