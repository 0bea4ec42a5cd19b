//! `[permissions]` from a configuration, on an X server that shows what came about.

use std::io::Write;
use std::process::Stdio;

use farpane_engine::geometry::Size;
use farpane_test_support::xvfb::{Xvfb, skip};
use farpane_test_support::{Client, ClientError, encoding};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

use super::wait_for;
use super::world::{World, sees};

/// What can be tried from within a session, in the order in which [`tries`] tries it.
const TRIED: [&str; 5] = ["keyboard", "pointer", "clip-in", "clip-out", "resize"];

/// The desktop as programs on it see it.
struct Screen {
    xvfb: Xvfb,
    conn: RustConnection,
    root: u32,
}

impl Screen {
    fn open() -> Option<Self> {
        let xvfb = Xvfb::start("1280x720")?;
        if xvfb.command("xclip").arg("-version").stderr(Stdio::null()).status().is_err() {
            skip("xclip is not installed");
            return None;
        }
        let (conn, screen) = x11rb::connect(Some(&xvfb.display)).expect("connects");
        let root = conn.setup().roots[screen].root;
        Some(Screen { xvfb, conn, root })
    }

    fn is_key_down(&self) -> bool {
        self.conn.query_keymap().expect("sends").reply().expect("keys").keys.iter().any(|bits| *bits != 0)
    }

    fn pointer(&self) -> (i16, i16) {
        let at = self.conn.query_pointer(self.root).expect("sends").reply().expect("a place");
        (at.root_x, at.root_y)
    }

    fn width(&self) -> u16 {
        self.conn.get_geometry(self.root).expect("sends").reply().expect("a size").width
    }

    fn pasted(&self) -> String {
        let xclip = self.xvfb.command("xclip").args(["-o", "-selection", "clipboard", "-t", "UTF8_STRING"]).output();
        String::from_utf8_lossy(&xclip.expect("xclip runs").stdout).into_owned()
    }

    fn copy(&self, text: &str) {
        let mut xclip = self.xvfb.command("xclip");
        let mut child =
            xclip.args(["-i", "-selection", "clipboard"]).stdin(Stdio::piped()).spawn().expect("xclip runs");
        child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
        assert!(child.wait().expect("it ends").success());
    }
}

fn settle(client: &mut Client) {
    let before = client.traffic.pongs.len();
    client.send_fence(0, b"settle").expect("a fence");
    client.wait_until("the fence's answer", |c| c.traffic.pongs.len() > before).expect("an answer");
}

fn watch(world: &World, server: &farpane_test_support::Server, user: &str) -> Client {
    let mut client = world.log_in(server, user).expect("let in");
    let list = [encoding::ZRLE, encoding::CURSOR, encoding::FENCE, encoding::EXTENDED_DESKTOP_SIZE];
    client.set_encodings(&list).expect("a list");
    client.watch().expect("a request");
    client.wait_until("a picture", |c| !c.traffic.updates.is_empty()).expect("a picture");
    client
}

/// Tries everything as `user`; what came about. `witness` may do everything, and is `n` the how manieth this is.
fn tries(screen: &Screen, client: &mut Client, witness: &mut Client, user: &str, n: u16) -> Vec<&'static str> {
    let (x, text, width) = (100 + n, format!("from {user}"), 600 + 8 * n);
    for _ in 0..3 {
        client.key(0x61, true).expect("a key");
        client.key(0x61, false).expect("a key");
    }
    client.key(0x61, true).expect("a key");
    client.pointer(x, 50, 0).expect("a pointer");
    client.pointer(x, 51, 0).expect("a pointer");
    client.send_text(&text).expect("a text");
    let size = Size::new(width, 400);
    client.set_desktop_size(size, &[(0, size.rect())]).expect("a wish");
    let own = |c: &Client| c.picture().resize_answers().iter().filter(|(reason, _)| *reason == 1).count();
    client.wait_until("an answer", |c| own(c) > 0).expect("an answer");
    settle(client);
    // all of it went before this on the server's one connection to the desktop
    witness.pointer(7, n, 0).expect("a pointer");
    let touched = wait_for("the pointer of either", || {
        let at = screen.pointer();
        (at.1 == n as i16 && at.0 == 7).then(|| screen.is_key_down())
    });
    let mut came = Vec::new();
    let mut note = |happened: bool, what: &'static str| came.extend(Some(what).filter(|_| happened));
    note(touched, "keyboard");
    client.key(0x61, false).expect("a key");
    client.pointer(x, 52, 0).expect("a pointer");
    settle(client);
    // where the pointer is now shows whether that one came: the witness does not move any more
    let moved = |wanted: bool| if wanted { Some(()) } else { None };
    let pointer = match user.strip_prefix("no-") {
        Some("pointer") => screen.pointer() == (x as i16, 52),
        _ if user == "looker" => screen.pointer() == (x as i16, 52),
        _ => {
            wait_for("the pointer", || moved(screen.pointer() == (x as i16, 52)));
            true
        }
    };
    note(pointer, "pointer");
    let clip_in = match user {
        "no-clip-in" | "looker" => screen.pasted() == text,
        _ => {
            wait_for("the text on the desktop", || moved(screen.pasted() == text));
            true
        }
    };
    note(clip_in, "clip-in");
    let copied = format!("to {user}");
    screen.copy(&copied);
    witness.wait_until("the copied text", |c| c.clipboard.plain.contains(&copied)).expect("the text");
    settle(client);
    settle(client);
    note(client.clipboard.plain.contains(&copied), "clip-out");
    note(screen.width() == width, "resize");
    came
}

#[test]
fn each_permission_that_is_denied_by_name_takes_its_own_effect_away_and_no_other() {
    let Some(screen) = Screen::open() else { return };
    let users =
        TRIED.map(|what| (format!("no-{what} staff"), format!("[permissions.users.no-{what}]\ndeny = [{what:?}]\n")));
    let config: String = users.iter().map(|(_, rule)| rule.as_str()).collect();
    let config = format!(
        "[permissions.groups.staff]\nallow = [\"all\"]\n{config}[permissions.users.looker]\nallow = [\"view\"]\n\
         [permissions.users.blind]\nallow = [\"keyboard\", \"pointer\"]\n"
    );
    let mut names: Vec<&str> = users.iter().map(|(words, _)| words.as_str()).collect();
    names.extend(["ann staff", "witness staff", "looker", "blind", "stranger"]);
    let world = World::new(&names, &config);
    let server = world.serve_source(&format!("x11:{}", screen.xvfb.display), &[]);
    let mut witness = watch(&world, &server, "witness");
    let users = TRIED.map(|what| format!("no-{what}"));
    let users = users.iter().map(String::as_str).chain(["ann", "looker"]);
    for (n, user) in users.enumerate() {
        let mut client = watch(&world, &server, user);
        let came = tries(&screen, &mut client, &mut witness, user, n as u16 + 1);
        let may = |what: &&str| user != "looker" && user.strip_prefix("no-") != Some(what);
        let expected: Vec<&str> = TRIED.into_iter().filter(may).collect();
        assert_eq!(came, expected, "{user}");
        // each was tried several times and is told once; nothing that a client does asks for what is copied on the desktop
        let mut denied: Vec<String> =
            TRIED.into_iter().filter(|what| !may(what) && *what != "clip-out").map(str::to_owned).collect();
        drop(client);
        world.event("end", &[("user", user)]);
        let events = world.events("perm-denied").into_iter().filter(|event| event["user"] == user);
        let mut told: Vec<String> = events.map(|event| super::world::text(&event["permission"])).collect();
        denied.sort();
        told.sort();
        assert_eq!(told, denied, "{user}");
    }
    for user in ["blind", "stranger"] {
        match world.log_in(&server, user) {
            Err(ClientError::Refused(reason)) => assert!(reason.contains("not permitted to see"), "{reason}"),
            other => panic!("{user}: {other:?}"),
        }
        world.event("perm-denied", &[("user", user), ("permission", "view")]);
    }
    world.event("end", &[("reason", "no-permission")]);
    assert!(world.events("start").iter().all(|event| event["user"] != "blind" && event["user"] != "stranger"));
}

#[test]
fn view_only_by_configuration_leaves_the_picture_to_everybody() {
    let world = World::new(&["ann"], "[session]\nview_only = true\n");
    let server = world.serve(&[]);
    let mut client = world.log_in(&server, "ann").unwrap();
    sees(&mut client);
    for _ in 0..5 {
        client.key(0x61, true).unwrap();
        client.pointer(1, 1, 1).unwrap();
    }
    settle(&mut client);
    drop(client);
    let start = world.event("start", &[("user", "ann")]);
    assert_eq!(start["permissions"], serde_json::json!(["view", "clip-out", "audio", "chat"]));
    world.event("end", &[("user", "ann")]);
    let mut told: Vec<_> = world.events("perm-denied").iter().map(|e| super::world::text(&e["permission"])).collect();
    told.sort();
    assert_eq!(told, ["keyboard", "pointer"]);
}
