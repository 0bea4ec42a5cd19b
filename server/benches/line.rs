//! What one changed line on a 3840x2160 desktop costs the whole server: under sway and under Xvfb, in turns.
//!
//! `cargo bench -p farpane-server --bench line`. A viewer with ZRLE and continuous requests watches; a client of the desktop paints a line of
//! 800x20 pixels, waits until the viewer shows it, and paints the next. Counted is CPU time of the server's threads, and beside it that of
//! the desktop. Before that, both desktops stand still for a while.

#[cfg(all(feature = "wayland", feature = "x11"))]
fn main() {
    bench::run();
}

#[cfg(not(all(feature = "wayland", feature = "x11")))]
fn main() {
    println!("needs the features wayland and x11");
}

#[cfg(all(feature = "wayland", feature = "x11"))]
mod bench {
    use std::collections::HashMap;
    use std::ffi::OsString;
    use std::time::{Duration, Instant};

    use farpane_engine::geometry::{Rect, Size};
    use farpane_test_support::painter::Painter;
    use farpane_test_support::sway::Sway;
    use farpane_test_support::xvfb::Xvfb;
    use farpane_test_support::{Client, PATIENCE, Server, encoding};
    use x11rb::connection::Connection;
    use x11rb::protocol::xproto::{ChangeGCAux, ConnectionExt as _, CreateGCAux, Rectangle};
    use x11rb::rust_connection::RustConnection;
    use x11rb::wrapper::ConnectionExt as _;

    const FARPANE: &str = env!("CARGO_BIN_EXE_farpane");
    const SIZE: &str = "3840x2160";
    const LINES: u32 = 200;
    const ROUNDS: usize = 3;
    const STILL: Duration = Duration::from_secs(10);
    const LINE: Rect = Rect { x: 100, y: 700, w: 800, h: 20 };

    /// CPU time of each thread of a process so far.
    fn cpu(pid: u32) -> HashMap<OsString, Duration> {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("runs").flatten();
        let of = |task: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            Some((task.file_name(), Duration::from_nanos(stat.split_whitespace().next()?.parse().ok()?)))
        };
        tasks.filter_map(of).collect()
    }

    /// CPU time since then, without that of threads that have ended.
    fn since(pid: u32, before: &HashMap<OsString, Duration>) -> Duration {
        cpu(pid).iter().map(|(thread, now)| *now - before.get(thread).copied().unwrap_or_default()).sum()
    }

    trait Desktop {
        fn name(&self) -> &'static str;
        fn pid(&self) -> u32;
        fn share(&self) -> Server;
        fn paint(&mut self, colour: u32);
    }

    struct Wayland {
        sway: Sway,
        painter: Painter,
    }

    impl Desktop for Wayland {
        fn name(&self) -> &'static str {
            "sway"
        }

        fn pid(&self) -> u32 {
            self.sway.pid()
        }

        fn share(&self) -> Server {
            let environment = self.sway.environment();
            let variables: Vec<(&str, &str)> = environment.iter().map(|(n, v)| (*n, v.as_str())).collect();
            let arguments = ["serve", "--source", "wlroots", "--listen", "127.0.0.1:0", "--security", "none"];
            Server::start_in(FARPANE, &arguments, &variables)
        }

        fn paint(&mut self, colour: u32) {
            self.painter.paint(LINE, |_, _| colour);
        }
    }

    struct X11 {
        x: Xvfb,
        connection: RustConnection,
        root: u32,
        pen: u32,
    }

    impl Desktop for X11 {
        fn name(&self) -> &'static str {
            "Xvfb"
        }

        fn pid(&self) -> u32 {
            self.x.pid()
        }

        fn share(&self) -> Server {
            let source = format!("x11:{}", self.x.display);
            Server::start(FARPANE, &["serve", "--source", &source, "--listen", "127.0.0.1:0", "--security", "none"])
        }

        fn paint(&mut self, colour: u32) {
            let c = &self.connection;
            c.change_gc(self.pen, &ChangeGCAux::new().foreground(colour)).expect("sent");
            let r = Rectangle { x: LINE.x as i16, y: LINE.y as i16, width: LINE.w, height: LINE.h };
            c.poly_fill_rectangle(self.root, self.pen, &[r]).expect("sent");
            c.sync().expect("a round trip");
        }
    }

    fn quiet(client: &mut Client) {
        let end = Instant::now() + PATIENCE;
        while client.bytes_within(Duration::from_millis(1_000)).expect("goes on") > 0 {
            assert!(Instant::now() < end, "the server never stops sending");
        }
    }

    fn measure(desktop: &mut dyn Desktop) {
        let server = desktop.share();
        let mut client = server.client().expect("is let in");
        client.set_encodings(&[encoding::ZRLE, encoding::LAST_RECT]).expect("a list");
        client.watch().expect("asks");
        client.wait_until("a picture", |c| !c.traffic.updates.is_empty()).expect("a picture");
        assert_eq!(client.picture().size(), Size::new(3840, 2160));
        quiet(&mut client);
        let (ours, theirs) = (cpu(server.pid()), cpu(desktop.pid()));
        client.bytes_within(STILL).expect("goes on");
        let still = since(server.pid(), &ours);
        let still_desktop = since(desktop.pid(), &theirs);

        let (ours, theirs) = (cpu(server.pid()), cpu(desktop.pid()));
        for i in 0..LINES {
            let colour = 0x10_2030 + i * 0x01_0203;
            let [_, r, g, b] = colour.to_be_bytes();
            desktop.paint(colour);
            let shown = |c: &Client| c.picture().rgb_at(LINE.right() - 1, LINE.bottom() - 1) == [r, g, b];
            client.wait_until("the line", shown).expect("the line");
        }
        let per = |d: Duration| d.as_secs_f64() * 1e3 / f64::from(LINES);
        println!(
            "{:>5}: still {:.3} % of a core (desktop {:.3} %); a line {:.3} ms (desktop {:.3} ms)",
            desktop.name(),
            still.as_secs_f64() * 100.0 / STILL.as_secs_f64(),
            still_desktop.as_secs_f64() * 100.0 / STILL.as_secs_f64(),
            per(since(server.pid(), &ours)),
            per(since(desktop.pid(), &theirs)),
        );
    }

    pub fn run() {
        let (Some(sway), Some(x)) = (Sway::start(&[SIZE]), Xvfb::start(SIZE)) else { return };
        let painter = Painter::open(&sway.socket(), "HEADLESS-1");
        let (connection, screen) = RustConnection::connect(Some(&x.display)).expect("the display");
        let root = connection.setup().roots[screen].root;
        let pen = connection.generate_id().expect("an id");
        connection.create_gc(pen, root, &CreateGCAux::new()).expect("sent");
        let mut desktops: [Box<dyn Desktop>; 2] =
            [Box::new(Wayland { sway, painter }), Box::new(X11 { x, connection, root, pen })];
        for _ in 0..ROUNDS {
            desktops.iter_mut().for_each(|d| measure(&mut **d));
        }
    }
}
