//! Logins against the real binary, through every security type that is offered by default.

mod channel;
mod offer;
mod share;
mod traces;
mod viewers;

use farpane_engine::capture::synthetic::{self, picture};
use farpane_engine::pixel::Layout;
use farpane_test_support::{PATIENCE, Raw, Server, rsa_aes};

const BINARY: &str = env!("CARGO_BIN_EXE_farpane");
const SCENE: &str = "64x48:still";

/// What a client of [`serve`] must show.
fn scene() -> Vec<u8> {
    let spec = synthetic::parse(SCENE).expect("a good scene");
    picture(&spec, 0).iter().flat_map(|p| Layout::BGRX.rgb(*p)).collect()
}

/// A server on loopback as somebody gets it who configures nothing, and `more` arguments.
fn serve(more: &[&str]) -> Server {
    let source = format!("synthetic:{SCENE}");
    let mut arguments = vec!["serve", "--source", &source, "--listen", "127.0.0.1:0"];
    arguments.extend(more);
    Server::start(BINARY, &arguments)
}

/// What follows `farpane: WHAT: ` on stdout.
fn told(server: &Server, what: &str) -> String {
    let start = format!("farpane: {what}: ");
    server.wait_for_line(&start);
    let lines = server.lines();
    let line = lines.iter().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("no line {start:?} in {lines:?}")).to_owned()
}

/// The password of the run.
fn password(server: &Server) -> String {
    told(server, "password for this run, with any user name")
}

/// The folder of the servers' keys.
fn state() -> std::path::PathBuf {
    Server::state_folder()
}

/// Shakes hands up to the choice of this type.
fn choose(mut raw: Raw, number: u8) -> Raw {
    raw.versions("RFB 003.008\n").expect("versions");
    assert!(raw.security_types().expect("types").contains(&number));
    raw.send(&[number]).expect("a choice");
    raw
}

/// A login through RSA-AES with 256 bits, up to SecurityResult.
fn rsa_login(server: &Server, user: &str, password: &str) -> (Raw, rsa_aes::Shown) {
    rsa_aes::log_in(connect(server), 129, user, password, PATIENCE).expect("a login")
}

/// A connection before any byte.
fn connect(server: &Server) -> Raw {
    Raw::connect(&server.listener(), PATIENCE).expect("a connection")
}
