//! A card with somebody who draws, a helper, a server, a viewer.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use farpane_test_support::screens::Painter;
use farpane_test_support::xvfb::skip;
use farpane_test_support::{Client, PATIENCE, Server, encoding};

pub const FARPANE: &str = env!("CARGO_BIN_EXE_farpane");
pub const CARD: &str = "/dev/dri/card0";

/// Whether this is the guest; where it is not, says so, which with FARPANE_REQUIRE_ALL=1 is a failure.
pub fn in_guest() -> bool {
    let inside = std::env::var("FARPANE_GUEST").is_ok_and(|v| v == "1");
    if !inside {
        skip("this runs in the guest alone: tests/run.py --group guest");
    }
    inside
}

/// A picture unlike its neighbours and unlike the next one.
pub fn scene(number: u32) -> impl Fn(u32, u32) -> u32 + Copy {
    move |x, y| (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503) ^ number.wrapping_mul(0x9e37_79b9)) >> 8
}

/// A running helper.
pub struct Helper {
    child: Child,
    pub socket: PathBuf,
}

impl Helper {
    pub fn start(words: &[&str]) -> Self {
        Self::start_as(Command::new(FARPANE), words)
    }

    /// Starts it by another command, whose last words are the helper's own.
    pub fn start_as(command: Command, words: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let socket = std::env::temp_dir().join(format!("farpane-kms-{}-{number}", std::process::id()));
        Self { child: launch(command, &socket, words), socket }
    }

    pub fn environment(&self) -> [(&'static str, &str); 1] {
        [("FARPANE_KMS_SOCKET", self.socket.to_str().expect("a name"))]
    }

    pub fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.socket).expect("listens")
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("runs");
        self.child.wait().expect("ends");
    }

    pub fn again(&mut self, words: &[&str]) {
        self.child = launch(Command::new(FARPANE), &self.socket, words);
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("is a child").is_none()
    }
}

fn launch(mut command: Command, socket: &Path, words: &[&str]) -> Child {
    command.args(["kms-helper", "--log-level", "debug", "--socket"]).arg(socket).args(words);
    let mut child = command.stdin(Stdio::null()).spawn().expect("starts");
    let end = Instant::now() + PATIENCE;
    while UnixStream::connect(socket).is_err() {
        assert!(child.try_wait().expect("is a child").is_none(), "the helper ended");
        assert!(Instant::now() < end, "the helper does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that shares screens, shut in as always.
pub fn share(helper: &Helper, source: &str) -> Server {
    share_with(helper, source, &[])
}

/// The same with further words on its command line.
pub fn share_with(helper: &Helper, source: &str, more: &[&str]) -> Server {
    let words = ["serve", "--source", source, "--listen", "127.0.0.1:0", "--security", "none", "--log-level", "debug"];
    let server = Server::start_in(FARPANE, &[&words[..], more].concat(), &helper.environment());
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("runs");
    assert!(status.lines().any(|l| l.starts_with("Seccomp:") && l.ends_with('2')), "{status}");
    server
}

pub fn viewer(server: &Server) -> Client {
    let mut client = server.client().expect("is let in");
    let list = [encoding::ZRLE, encoding::CURSOR, encoding::LAST_RECT, encoding::EXTENDED_DESKTOP_SIZE];
    client.set_encodings(&list).expect("a list");
    client.watch().expect("asks");
    client
}

/// Waits until a viewer shows this.
pub fn shows(server: &Server, client: &mut Client, want: &[u8], what: &str) {
    if let Err(error) = client.wait_for_picture(want) {
        panic!("{what}: {error:?}; the server: {}", server.log());
    }
}

/// What a viewer shows of screens side by side.
pub fn side_by_side(sizes: &[(u16, u16)], pixel: impl Fn(usize, u32, u32) -> u32) -> Vec<u8> {
    let width: usize = sizes.iter().map(|(w, _)| usize::from(*w)).sum();
    let height = sizes.iter().map(|(_, h)| usize::from(*h)).max().unwrap_or(0);
    let mut out = vec![0; width * height * 3];
    let mut left = 0;
    for (i, &(w, h)) in sizes.iter().enumerate() {
        for y in 0..u32::from(h) {
            for x in 0..u32::from(w) {
                let at = (y as usize * width + left + x as usize) * 3;
                out[at..at + 3].copy_from_slice(&pixel(i, x, y).to_be_bytes()[1..]);
            }
        }
        left += usize::from(w);
    }
    out
}

/// The screens of a painter with a picture each.
pub fn painter(sizes: &[(u16, u16)]) -> Painter {
    let mut painter = Painter::start(CARD, sizes);
    for i in 0..sizes.len() {
        painter.paint(i, scene(i as u32));
    }
    painter
}

/// What a program says when it ends.
pub fn said(mut command: Command) -> (bool, String) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let status = child.wait().expect("ends");
    let mut text = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut text).expect("text");
    child.stderr.take().expect("piped").read_to_string(&mut text).expect("text");
    (status.success(), text)
}
