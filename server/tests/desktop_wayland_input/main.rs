//! Input, clipboard, sizes and storms of changes of a private sway through the built server, with the sandbox on: judged by real programs of that desktop.

#![cfg(feature = "wayland")]

mod clipboard;
mod pointing;
mod resizing;
mod side_car;
mod storm;
mod typing;

use std::time::{Duration, Instant};

use farpane_test_support::ears::Ears;
use farpane_test_support::painter::Painter;
use farpane_test_support::sway::Sway;
use farpane_test_support::{Client, PATIENCE, Server, encoding};

const FARPANE: &str = env!("CARGO_BIN_EXE_farpane");

/// A viewer of a server of a sway; they end in this order.
struct Desk {
    client: Client,
    server: Server,
    sway: Sway,
}

impl Desk {
    /// Outputs of these sizes, once sway was told these things. None, having said so, where there is no sway.
    fn open(sizes: &[&str], told: &[&str]) -> Option<Self> {
        let sway = Sway::start(sizes)?;
        told.iter().for_each(|words| sway.tell(words));
        let environment = sway.environment();
        let mut variables: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        variables.push(("DISPLAY", ""));
        let arguments =
            ["serve", "--source", "wlroots", "--listen", "127.0.0.1:0", "--security", "none", "--log-level", "debug"];
        let server = Server::start_in(FARPANE, &arguments, &variables);
        server.wait_for_log("input is ready");
        let client = watching(&server);
        Some(Self { client, server, sway })
    }

    /// Goes on until something is so.
    fn until(&mut self, what: &str, mut so: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            self.client.pump(Instant::now() + Duration::from_millis(20)).expect("goes on");
            if so(self) {
                return;
            }
            assert!(Instant::now() < end, "{what}\n{}", self.server.log());
        }
    }

    /// Listens on behalf of a window. It loses the focus and gets it back: compositors tell only those who listen already.
    fn ears(&self, painter: &Painter) -> Ears {
        let ears = Ears::new(painter.connection());
        self.sway.tell("workspace aside");
        self.sway.tell("workspace back_and_forth");
        ears
    }

    fn tap(&mut self, keysym: u32) {
        self.client.key(keysym, true).expect("a key");
        self.client.key(keysym, false).expect("a key");
    }

    fn type_text(&mut self, text: &str) {
        text.chars().for_each(|c| self.tap(if c == '\n' { 0xff0d } else { xkeysym::Keysym::from_char(c).raw() }));
    }
}

fn watching(server: &Server) -> Client {
    let mut client = server.client().expect("is let in");
    let list = [
        encoding::ZRLE,
        encoding::CURSOR,
        encoding::EXTENDED_DESKTOP_SIZE,
        encoding::LAST_RECT,
        encoding::QEMU_KEY,
        encoding::EXTENDED_MOUSE_BUTTONS,
        encoding::EXTENDED_CLIPBOARD,
        encoding::LED_STATE,
    ];
    client.set_encodings(&list).expect("a list");
    client.watch().expect("asks");
    client.wait_until("the server's capabilities", |c| c.clipboard.extended).expect("capabilities");
    client.wait_until("a picture", |c| !c.traffic.updates.is_empty()).expect("a picture");
    client
}
