//! The built server against a client that shares no code with it.
//!
//! Every test starts its own server on a loopback port; the picture expected is the scene's, made by rule.

mod bad_input;
mod handshake;
mod passwords;
mod pictures;
mod process;

use farpane_engine::capture::synthetic::{self, picture};
use farpane_engine::pixel::Layout;
use farpane_test_support::{Server, encoding};

const BINARY: &str = env!("CARGO_BIN_EXE_farpane");
/// Odd in both directions, so that no tile ends where the picture does.
const STILL: &str = "333x227:still";
const V38: &str = "RFB 003.008\n";

fn serve() -> Server {
    Server::synthetic(BINARY, STILL, &[])
}

/// Picture 0 of a scene as bytes R, G, B.
fn expected(scene: &str) -> Vec<u8> {
    let spec = synthetic::parse(scene).expect("a good scene");
    picture(&spec, 0).iter().flat_map(|p| Layout::BGRX.rgb(*p)).collect()
}

/// Checks that the server still serves whoever comes.
fn still_serves(server: &Server) {
    let mut client = server.client().expect("another client");
    client.set_encodings(&[encoding::RAW, encoding::CURSOR]).expect("a list");
    client.watch().expect("a request");
    client.wait_for_picture(&expected(STILL)).expect("the scene");
}
