//! Sessions over a pair of sockets in one process: a scripted desktop on one side, strict viewers on the other.

mod clients;
mod clipboard;
mod desk;
mod during_encodes;
mod events;
mod gate;
mod input;
mod layouts;
mod mixed;
mod permissions;
mod resized;
mod scales;
mod terms;
mod vanishing;

use desk::{Desk, layout, picture_of};
use farpane_engine::geometry::Size;
use farpane_server::backend::BackendEvent;
use farpane_test_support::{Client, encoding};

const SCENE: &str = "96x64:still";
const PLAIN: &[i32] = &[encoding::ZRLE, encoding::CURSOR];

/// A client that lists `encodings` and shows the scene already.
fn watching(desk: &Desk, encodings: &[i32]) -> Client {
    watching_as(desk, "viewer", encodings)
}

/// The same, called `peer`.
fn watching_as(desk: &Desk, peer: &str, encodings: &[i32]) -> Client {
    let mut client = desk.client(peer);
    client.set_encodings(encodings).expect("a list");
    client.watch().expect("a request");
    client.wait_for_picture(&picture_of(SCENE)).expect("the scene");
    client
}

fn wish(client: &mut Client, size: Size) {
    client.set_desktop_size(size, &[(0, size.rect())]).expect("a wish");
}

/// The answers that a client got to its own wishes: reason 1.
fn own(client: &Client) -> Vec<u16> {
    client.picture().resize_answers().iter().filter(|(reason, _)| *reason == 1).map(|(_, status)| *status).collect()
}

/// Sends a fence and waits for its answer: all sent before it has been carried out, and an update begun if one was due.
fn settle(client: &mut Client) {
    let before = client.traffic.pongs.len();
    client.send_fence(0, b"settle").expect("a fence");
    client.wait_until("the fence's answer", |c| c.traffic.pongs.len() > before).expect("an answer");
}

/// Waits until the hub has taken in what it was told so far, and the client lives.
fn settle_plain(desk: &Desk, client: &mut Client) {
    desk.tell(BackendEvent::Bell);
    let before = client.traffic.bells;
    client.wait_until("the bell", |c| c.traffic.bells > before).expect("a bell");
}

#[test]
fn the_comparison_sees_one_wrong_pixel() {
    let desk = Desk::open(SCENE);
    let client = watching(&desk, PLAIN);
    let mut want = picture_of(SCENE);
    want[3 * (20 * 96 + 30) + 1] ^= 1;
    let difference = client.first_difference(&want).expect("a difference");
    assert!(difference.contains("(30, 20)"), "{difference}");
    assert_eq!(layout(Size::new(96, 64)).size, desk.hub.desktop().layout.size);
}
